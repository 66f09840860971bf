use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use async_trait::async_trait;
use nix::fcntl::{Flock, FlockArg};
use plinth_control_plane::{ControlPlaneStore, NodeStarter};
use plinth_core::StoreError;

use super::Storage;
use super::node::{LOCAL, folder};
use crate::settings::ServeSettings;

/// Sees to it that a node runs beside an embedded server, once there is a project. The node is a process of its own and
/// goes on when this one ends: a restart of the server cuts nobody's session.
pub(crate) struct NodeKeeper {
    folder: PathBuf,
    arguments: Vec<String>,
}

impl NodeKeeper {
    /// `None` where the operator runs nodes: where Plinth was given a database.
    pub(crate) fn new(settings: &ServeSettings, storage: &Storage) -> Option<Self> {
        let data_dir = storage.data_dir.as_ref()?;
        let it = &settings.endpoints;
        let mut arguments = vec![
            "node".to_owned(),
            "--data-dir".to_owned(),
            data_dir.to_str()?.to_owned(),
            "--advertised-host".to_owned(),
            it.advertised_host.clone(),
            "--node-listen".to_owned(),
            it.listen().to_string(),
            "--node-ports".to_owned(),
            format!("{}-{}", it.node_ports.start(), it.node_ports.end()),
            "--node-first-uid".to_owned(),
            it.node_first_uid.to_string(),
        ];
        if let Some(bin) = settings.storage.postgres_bin.as_ref().and_then(|it| it.to_str()) {
            arguments.extend(["--postgres-bin".to_owned(), bin.to_owned()]);
        }
        Some(Self { folder: folder(data_dir), arguments })
    }

    /// Starts a node where there is a project and none runs.
    pub(crate) async fn keep(&self, store: &dyn ControlPlaneStore) -> Result<(), StoreError> {
        if store.projects_of(LOCAL).await?.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.start().await {
            tracing::error!(error, "the node could not be started");
        }
        Ok(())
    }

    /// Whether a process holds the node's folder.
    fn runs(&self) -> bool {
        let Ok(file) = File::open(self.folder.join("node.lock")) else { return false };
        Flock::lock(file, FlockArg::LockExclusiveNonblock).is_err()
    }

    fn spawn(&self) -> std::io::Result<()> {
        super::folder::make_data_dir(&self.folder).map_err(std::io::Error::other)?;
        let log = File::options().create(true).append(true).open(self.folder.join("node.log"))?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(&self.arguments)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // A Ctrl-C on our terminal is not for it.
            .process_group(0);
        let mut child = command.spawn()?;
        tracing::info!(pid = child.id(), "started a node for the Postgres processes of branches");
        // Waited for, so that it does not stay behind as a zombie while we live.
        std::thread::spawn(move || child.wait());
        Ok(())
    }
}

#[async_trait]
impl NodeStarter for NodeKeeper {
    async fn start(&self) -> Result<(), String> {
        if self.runs() {
            return Ok(());
        }
        // A log of earlier nodes is kept small.
        let log = self.folder.join("node.log");
        if fs::metadata(&log).is_ok_and(|it| it.len() > 8 << 20) {
            let _ = fs::rename(&log, self.folder.join("node.log.1"));
        }
        self.spawn().map_err(|err| format!("a node could not be started: {err}"))
    }
}
