use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plinth_adapter_postgres::{PostgresControlPlane, PostgresKeys};
use plinth_connections::Vault;
use plinth_core::SystemClock;
use secrecy::SecretString;
use tokio::sync::watch;

use super::serve::stop_signal;
use crate::boot::{
    AuthorityKeeper, LOCAL, NodeParts, Runtime, Storage, data_dir, node_folder, open_node,
    run_node, stop_node,
};
use crate::settings::NodeSettings;

/// How often it is looked for the database of a server that is not up, and whether it moved.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Runs a node until it is told to stop.
pub(crate) async fn node(settings: NodeSettings) -> anyhow::Result<()> {
    let data_dir = data_dir(&settings.storage)?;
    if settings.stop {
        return stop(&data_dir).await;
    }
    let (stopping, mut stopped) = watch::channel(false);
    let signal = stop_signal()?;
    let folder = node_folder(&data_dir);
    tokio::spawn(async move {
        tokio::select! {
            () = signal => {}
            () = gone(&folder) => {}
        }
        let _ = stopping.send(true);
    });
    let is_embedded = settings.storage.database_url.is_none();
    let mut branches = None;
    while !*stopped.borrow() {
        let url = is_embedded.then(|| Runtime::read(&data_dir).map(|it| it.database_url)).flatten();
        let storage = match open(&settings, url.clone(), is_embedded).await {
            Ok(storage) => storage,
            Err(err) => {
                if !is_embedded {
                    return Err(err);
                }
                tracing::debug!(error = %err, "the node waits for the server's database");
                tokio::select! {
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                    _ = stopped.changed() => {}
                }
                continue;
            }
        };
        let store = Arc::new(PostgresControlPlane::new(storage.database.clone()));
        let clock = Arc::new(SystemClock);
        let branches = if let Some(branches) = &branches {
            branches
        } else {
            let keeper = AuthorityKeeper::new(store.clone(), &storage.installation);
            let opened = open_node(&data_dir, &settings, keeper.open().await?, clock.clone())?;
            &*branches.insert(opened)
        };
        let keys = Arc::new(PostgresKeys::new(storage.database.clone()));
        let parts = NodeParts {
            store,
            vault: Vault::new(keys, storage.master.clone()),
            clock,
            name: LOCAL.to_owned(),
            ports: settings.endpoints.endpoint_ports(),
        };
        tracing::info!(pid = std::process::id(), "the node is up");
        let until = async {
            loop {
                tokio::select! {
                    _ = stopped.changed() => return,
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
                // A server that was started again may have its database elsewhere.
                let now = Runtime::read(&data_dir).map(|it| it.database_url);
                if is_embedded && now.is_some() && now != url {
                    return;
                }
            }
        };
        run_node(branches, parts, &settings.endpoints.advertised_host, until).await;
    }
    tracing::info!("the node stops");
    if let Some(branches) = &branches {
        stop_node(branches).await;
    }
    Ok(())
}

async fn open(
    settings: &NodeSettings,
    url: Option<String>,
    is_embedded: bool,
) -> anyhow::Result<Storage> {
    if !is_embedded {
        return Storage::open(&settings.storage).await;
    }
    let url: SecretString = url.context("no server runs on the data folder")?.into();
    Storage::at(&settings.storage, &url).await
}

/// Completes when the folder is not this process's any more: somebody removed it.
async fn gone(folder: &Path) {
    let ours = std::process::id().to_string();
    let mut was_there = false;
    loop {
        match fs::read_to_string(folder.join("node.pid")) {
            Ok(pid) if pid == ours => was_there = true,
            _ if was_there => return,
            _ => {}
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Tells the node of the data folder to stop, and waits until it has.
async fn stop(data_dir: &Path) -> anyhow::Result<()> {
    let file = node_folder(data_dir).join("node.pid");
    let Some(pid) = fs::read_to_string(&file).ok().and_then(|it| it.trim().parse().ok()) else {
        bail!("no node runs on {}", data_dir.display());
    };
    let pid = Pid::from_raw(pid);
    if !fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|it| it.windows(4).any(|it| it == b"node"))
    {
        bail!("no node runs on {}", data_dir.display());
    }
    kill(pid, Signal::SIGTERM).context("the node cannot be told to stop")?;
    while kill(pid, None).is_ok() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
