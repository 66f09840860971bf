use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use plinth_adapter_branches::{Authority, LocalBranches, NodeSettings};
use plinth_connections::{DataKey, InstallationKey, Location, Vault};
use plinth_control_plane::{ControlPlaneStore, NodeInfo, Runner, RunnerParts, Substrate as _};
use plinth_core::{Clock, OrgId};

/// Keeps Plinth's own certificate authority: made when it is first needed, its key sealed.
#[derive(Clone)]
pub struct AuthorityKeeper {
    store: Arc<dyn ControlPlaneStore>,
    key: DataKey,
}

impl AuthorityKeeper {
    /// The authority of an installation.
    pub fn new(store: Arc<dyn ControlPlaneStore>, installation: &InstallationKey) -> Self {
        Self { store, key: installation.data_key("certificate authority") }
    }

    /// The authority, ready to sign.
    ///
    /// # Errors
    ///
    /// If storage fails, or its key does not open.
    pub async fn open(&self) -> anyhow::Result<Authority> {
        let nobody = uuid::Uuid::nil();
        let at = Location {
            org: OrgId::from_uuid(nobody),
            table: "installation",
            column: "authority_key",
            record: nobody,
        };
        let (certificate, sealed) = if let Some(kept) = self.store.authority().await? {
            kept
        } else {
            let (certificate, key) = Authority::make()?;
            // Two servers may make one at once: the store keeps the first and gives it to both.
            self.store.keep_authority(&certificate, &self.key.seal(at, &key)?).await?
        };
        let key = self.key.open(at, &sealed).context("the authority's key does not open")?;
        Ok(Authority::open(certificate, &key)?)
    }
}

/// What a node is made from.
pub struct NodeParts {
    /// Where projects are kept.
    pub store: Arc<dyn ControlPlaneStore>,
    /// Opens passwords.
    pub vault: Vault,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The node's name.
    pub name: String,
    /// The ports of its endpoints.
    pub ports: std::ops::RangeInclusive<u16>,
}

/// Works as a node on what `branches` has, until `until` is done. What runs there goes on afterwards.
pub async fn run_node(
    branches: &LocalBranches,
    parts: NodeParts,
    host: &str,
    until: impl Future<Output = ()>,
) {
    let node = NodeInfo {
        name: parts.name,
        host: host.to_owned(),
        first_port: *parts.ports.start(),
        last_port: *parts.ports.end(),
        pg_version: branches.pg_version(),
        offers: branches.offers(),
    };
    let runner = Runner::new(RunnerParts {
        store: parts.store,
        vault: parts.vault,
        substrate: Arc::new(branches.clone()),
        node,
        clock: parts.clock,
    });
    runner.run(until).await;
}

/// The name of the node that embedded mode runs.
pub(crate) const LOCAL: &str = "local";

/// Opens the node's folder below the data folder.
pub(crate) fn open(
    data_dir: &std::path::Path,
    settings: &crate::settings::NodeSettings,
    authority: Authority,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<LocalBranches> {
    let settings = NodeSettings {
        folder: folder(data_dir),
        postgres_bin: settings.storage.postgres_bin.clone(),
        listen: settings.endpoints.listen(),
        host: settings.endpoints.advertised_host.clone(),
        server_ports: settings.endpoints.server_ports(),
        first_uid: settings.endpoints.node_first_uid,
    };
    Ok(LocalBranches::open(settings, authority, clock)?)
}

/// Where a node keeps its files.
pub(crate) fn folder(data_dir: &std::path::Path) -> PathBuf {
    data_dir.join("node")
}

/// Stops what runs in order.
pub(crate) async fn stop(branches: &LocalBranches) {
    branches.stop().await;
}
