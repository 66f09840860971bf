use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use plinth_connections::HealthChecks;
use plinth_tenancy::signing::Rotation;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::census::Counted;
use crate::boot::{NodeKeeper, Services};

/// How often the outbox is looked at: a mail leaves at most this long after what made it necessary.
const OUTBOX_EVERY: Duration = Duration::from_secs(1);

/// How often reserved requests that are not used are given back to other servers.
const LIMITS_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked whether a new signing key is due: much more often than a new one has to be known in advance.
const SIGNING_KEYS_EVERY: Duration = Duration::from_mins(10);

/// How often counts of attempts that are over are forgotten.
const ATTEMPTS_EVERY: Duration = Duration::from_mins(10);

/// How often it is looked whether a connection is due to be checked.
const CHECKS_EVERY: Duration = Duration::from_secs(5);

/// How often it is looked whether the node runs, where projects need one.
const NODE_EVERY: Duration = Duration::from_secs(2);

/// How often it is looked for organizations whose time to think again is over, and for invitations that expired long ago.
const DELETION_EVERY: Duration = Duration::from_mins(1);

/// How often expired conversations are forgotten.
const CONVERSATIONS_EVERY: Duration = Duration::from_mins(10);

/// How often kept rows of runs that have expired are forgotten.
const QUERY_RUNS_EVERY: Duration = Duration::from_mins(1);

/// How often runs are ended whose server died: with the six seconds that they are held, somebody who only waits for a run's
/// end waits about seven.
const LOST_QUERY_RUNS_EVERY: Duration = Duration::from_secs(1);

/// How long that look may take, and how long it is left off after one that failed: while the database is away nobody can say
/// that a run is alive, and the leases of all are over when it is back.
const LOST_QUERY_RUNS_LIMIT: Duration = Duration::from_secs(2);
const AFTER_OUTAGE: Duration = Duration::from_secs(6);

/// How often it is looked after calls of remotes whose end is not known here.
const REMOTES_EVERY: Duration = Duration::from_secs(10);

/// How often branches, endpoints and operations are counted for the metrics.
const CENSUS_EVERY: Duration = Duration::from_secs(5);

/// How often it is looked for schedules that are due.
const SCHEDULES_EVERY: Duration = Duration::from_secs(1);

/// How often old runs of workflows are forgotten.
const OLD_RUNS_EVERY: Duration = Duration::from_mins(30);

/// How often events are given up that waited for too long, or behind too many.
const GIVING_UP_EVERY: Duration = Duration::from_mins(1);

/// What a server does beside answering. Each job may run in any number of servers at once. Connections are checked about
/// every `check_seconds`, not at all if that is 0; at most `runs` runs of workflows are under way here at once.
pub(super) fn start(
    services: &Services,
    check_seconds: u32,
    nodes: Option<Arc<NodeKeeper>>,
    runs: usize,
    stopped: &watch::Receiver<bool>,
) -> JoinSet<()> {
    let mut jobs = JoinSet::new();
    let outbox = services.outbox.clone();
    jobs.spawn(every("outbox", OUTBOX_EVERY, stopped.clone(), async move || {
        outbox.drain().await.map(|_| ())
    }));
    let mut counted = Counted::new(services.control_plane_store.clone());
    jobs.spawn(every("census", CENSUS_EVERY, stopped.clone(), async move || counted.tick().await));
    if let Some(nodes) = nodes {
        let store = services.control_plane_store.clone();
        jobs.spawn(every("node", NODE_EVERY, stopped.clone(), async move || {
            nodes.keep(&*store).await
        }));
    }
    let limiter = services.limiter.clone();
    jobs.spawn(every("limits", LIMITS_EVERY, stopped.clone(), async move || limiter.tick().await));
    if check_seconds > 0 {
        let interval = SignedDuration::from_secs(check_seconds.into());
        let checks = HealthChecks::new(services.connections.clone(), interval);
        jobs.spawn(every("health checks", CHECKS_EVERY, stopped.clone(), async move || {
            checks.tick().await.map(|_| ())
        }));
    }
    let (organizations, team) = (services.organizations.clone(), services.team.clone());
    jobs.spawn(every("deletion", DELETION_EVERY, stopped.clone(), async move || {
        organizations.sweep().await?;
        team.sweep().await.map(|_| ())
    }));
    let conversations = services.conversations.clone();
    jobs.spawn(every("conversations", CONVERSATIONS_EVERY, stopped.clone(), async move || {
        conversations.sweep().await.map(|_| ())
    }));
    let query_runs = services.query_runs.clone();
    jobs.spawn(every("rows of runs", QUERY_RUNS_EVERY, stopped.clone(), async move || {
        query_runs.sweep().await.map(|_| ())
    }));
    let query_runs = services.query_runs.clone();
    let mut from = Instant::now();
    jobs.spawn(every("lost runs", LOST_QUERY_RUNS_EVERY, stopped.clone(), async move || {
        if Instant::now() < from {
            return Ok(());
        }
        let ended = tokio::time::timeout(LOST_QUERY_RUNS_LIMIT, query_runs.end_lost()).await;
        if !matches!(ended, Ok(Ok(_))) {
            from = Instant::now() + AFTER_OUTAGE;
        }
        ended.map_or(Ok(()), |it| it.map(|_| ()))
    }));
    let remotes = services.remotes.clone();
    jobs.spawn(every("calls of remotes", REMOTES_EVERY, stopped.clone(), async move || {
        remotes.sweep().await.map(|_| ())
    }));
    let (accounts, signing) = (services.accounts.clone(), services.accounts.signing().clone());
    jobs.spawn(every("signing keys", SIGNING_KEYS_EVERY, stopped.clone(), async move || {
        signing.rotate(Rotation::WhenDue).await.map(|_| ())
    }));
    jobs.spawn(every("attempts", ATTEMPTS_EVERY, stopped.clone(), async move || {
        accounts.sweep().await
    }));
    workflows(services, runs, stopped, &mut jobs);
    jobs
}

/// What workflows, alerts and events need: schedules and tidying up in every process, and runs in those that do any.
pub(super) fn workflows(
    services: &Services,
    runs: usize,
    stopped: &watch::Receiver<bool>,
    jobs: &mut JoinSet<()>,
) {
    let workflows = services.workflows.clone();
    jobs.spawn(every("schedules", SCHEDULES_EVERY, stopped.clone(), async move || {
        workflows.tick().await.map(|_| ())
    }));
    let workflows = services.workflows.clone();
    jobs.spawn(every("old runs", OLD_RUNS_EVERY, stopped.clone(), async move || {
        workflows.sweep().await.map(|_| ())
    }));
    let alerts = services.alert_worker.clone();
    jobs.spawn(every("old evaluations", OLD_RUNS_EVERY, stopped.clone(), async move || {
        alerts.sweep().await.map(|_| ())
    }));
    let events = services.event_worker.clone();
    jobs.spawn(every("old events", OLD_RUNS_EVERY, stopped.clone(), async move || {
        events.sweep().await.map(|_| ())
    }));
    let events = services.event_worker.clone();
    jobs.spawn(every("events to give up", GIVING_UP_EVERY, stopped.clone(), async move || {
        events.give_up().await.map(|_| ())
    }));
    let (listening, until) = (services.listen_worker.clone(), stopped.clone());
    jobs.spawn(async move { listening.work(until).await });
    let (bell, until) = (services.bell.clone(), stopped.clone());
    jobs.spawn(async move { bell.work(runs > 0, until).await });
    if runs > 0 {
        let (worker, stop) = (services.worker.clone(), stopped.clone());
        jobs.spawn(async move { worker.work(stop).await });
        let (alerts, stop) = (services.alert_worker.clone(), stopped.clone());
        jobs.spawn(async move { alerts.work(stop).await });
        let (events, stop) = (services.event_worker.clone(), stopped.clone());
        jobs.spawn(async move { events.work(stop).await });
    }
}

/// Does `job` again and again with a pause between, until it is told to stop. What fails is tried again after the pause.
async fn every<E: Error>(
    name: &'static str,
    pause: Duration,
    mut stopped: watch::Receiver<bool>,
    mut job: impl AsyncFnMut() -> Result<(), E>,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopped.changed() => return,
        }
        if let Err(err) = job().await {
            tracing::warn!(
                job = name,
                error = plinth_core::chain(&err),
                "a job failed and will be tried again"
            );
        }
    }
}
