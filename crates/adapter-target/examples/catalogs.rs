//! Reads the catalogs of databases as a server would and writes each as JSON, for measuring the language engine without one:
//! `catalogs HOST PORT USER FOLDER DATABASE…` makes `FOLDER/<database>.json`.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use plinth_adapter_target::{ManagedServers, SystemResolver, TargetDatabases, TargetSettings};
use plinth_connections::{ConnectionId, Host, Place, SslMode, Target, TlsMaterial};
use plinth_core::{Clock as _, OrgId, SystemClock};
use plinth_egress::Gate;
use plinth_schema_introspect::{CatalogReader as _, ReadOptions};

struct NoServers;

impl ManagedServers for NoServers {
    fn address(&self, _: &str) -> Option<SocketAddr> {
        None
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [host, port, user, folder, names @ ..] = arguments.as_slice() else {
        bail!("usage: catalogs HOST PORT USER FOLDER DATABASE…");
    };
    for name in names {
        // one after the other, so that a small server's sessions suffice
        let gate = Gate::new(Arc::new(SystemResolver), ["127.0.0.0/8".parse()?], []);
        let databases = TargetDatabases::new(TargetSettings::new(gate, Arc::new(NoServers)))?;
        let target = Target {
            connection: Some(ConnectionId::new(SystemClock.now())),
            org: OrgId::new(SystemClock.now()),
            place: Place::Typed { host: Host::parse(host)?, port: port.parse()? },
            database: name.clone(),
            username: user.clone(),
            password: String::new().into(),
            ssl_mode: SslMode::Disable,
            tls: TlsMaterial::default(),
            tunnel: None,
            version: 1,
        };
        let catalog = databases.read(&target, ReadOptions::default()).await;
        let catalog = catalog.with_context(|| format!("reading {name}"))?;
        std::fs::write(
            Path::new(folder).join(format!("{name}.json")),
            serde_json::to_vec(&catalog)?,
        )?;
    }
    Ok(())
}
