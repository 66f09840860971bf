use anyhow::bail;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{jobs, serve, server};
use crate::boot::Storage;
use crate::settings::ServeSettings;
use crate::telemetry;

/// Does runs of workflows until it is told to stop.
pub(crate) async fn work(settings: ServeSettings) -> anyhow::Result<()> {
    if settings.storage.database_url.is_none() {
        bail!(
            "a worker of its own needs PLINTH_DATABASE_URL, the database of the servers that it works for; \
             a server with a Postgres of its own does its runs itself"
        );
    }
    if settings.workflow_runs == 0 {
        bail!("PLINTH_WORKFLOW_RUNS is 0: a worker without runs has nothing to do");
    }
    let stop = serve::stop_signal()?;
    let metrics = telemetry::start_metrics()?;
    let storage = Storage::open(&settings.storage).await?;
    let services = server::services(&settings, &storage, settings.listen, None, metrics).await?;
    let (stopping, stopped) = watch::channel(false);
    let mut working = JoinSet::new();
    jobs::workflows(&services, settings.workflow_runs, &stopped, &mut working);
    let flushing = tokio::spawn(server::flush(services.clone(), stopped));
    tracing::info!("plinth works");
    stop.await;
    tracing::info!("stopping");
    let _ = stopping.send(true);
    working.join_all().await;
    flushing.await?;
    drop(services);
    storage.close().await?;
    tracing::info!("stopped");
    Ok(())
}
