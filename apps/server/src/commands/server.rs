use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer};
use anyhow::Context as _;
use jiff::SignedDuration;
use plinth_adapter_http::{HttpCalls, HttpKeySets};
use plinth_adapter_llm::{ClientSettings, Dialer, Endpoint, ModelClient};
use plinth_adapter_neon::{NeonPlane, NeonSettings};
use plinth_adapter_target::{SystemResolver, TargetSettings};
use plinth_control_plane::NodeStarter;
use plinth_core::SystemClock;
use plinth_egress::{Gate, Network, Own, Resolver as _};
use plinth_models::InstallationModel;
use plinth_queries::QuerySettings;
use plinth_workflows::WorkerSettings;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::{jobs, open_files};
use crate::boot::{EmbeddedAddress, NodeKeeper, Services, Storage, WiringParts, mailer};
use crate::settings::{LimitSettings, ModelSettings, ServeSettings};
use crate::{http, telemetry};

/// How often measurements are folded into their buckets.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// How often waiting history entries are written: they are at most a second behind.
const FLUSH_EVERY: Duration = Duration::from_millis(500);

/// How long the last entries are tried to be written at a stop.
const LAST_FLUSH: Duration = Duration::from_secs(5);

/// How soon that is tried again.
const FLUSH_AGAIN: Duration = Duration::from_millis(50);

/// How long an answer about projects waits for the operations that it tells of.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long requests that are under way at a stop may take to end.
const STOP_SECONDS: u64 = 30;

/// A server that runs, with all that belongs to it.
pub(crate) struct Server {
    /// The services behind the routes.
    pub(crate) services: Services,
    /// Where things are kept.
    pub(crate) storage: Storage,
    /// The address that it listens on.
    pub(crate) listen: SocketAddr,
    handle: ServerHandle,
    serving: JoinHandle<std::io::Result<()>>,
    flushing: JoinHandle<()>,
    jobs: JoinSet<()>,
    stopping: watch::Sender<bool>,
}

impl Server {
    /// Starts everything; comes back when requests are answered.
    ///
    /// # Errors
    ///
    /// With what the operator can do; nothing is left running.
    pub(crate) async fn start(settings: &ServeSettings) -> anyhow::Result<Self> {
        let metrics = telemetry::start_metrics()?;
        let storage = Storage::open(&settings.storage).await?;
        // After the embedded database is up, which keeps to the limit that it was started with.
        open_files::raise();
        match Self::on(settings, storage, metrics).await {
            Ok(server) => Ok(server),
            Err((storage, err)) => {
                storage.close().await?;
                Err(err)
            }
        }
    }

    async fn on(
        settings: &ServeSettings,
        storage: Storage,
        metrics: metrics_exporter_prometheus::PrometheusHandle,
    ) -> Result<Self, (Storage, anyhow::Error)> {
        let made = async {
            // Bound before anything is told to anybody: a taken port is the most common mistake.
            let listener = std::net::TcpListener::bind(settings.listen).with_context(|| {
                format!("cannot listen on {}; choose another with --listen", settings.listen)
            })?;
            let listen = listener.local_addr()?;
            let nodes = NodeKeeper::new(settings, &storage).map(Arc::new);
            let services = services(settings, &storage, listen, nodes.clone(), metrics).await?;
            anyhow::Ok((listener, listen, services, nodes))
        };
        let (listener, listen, services, nodes) = match made.await {
            Ok(made) => made,
            Err(err) => return Err((storage, err)),
        };
        let app = services.clone();
        let mut server = HttpServer::new(move || {
            App::new().wrap(from_fn(http::observe)).configure(http::configure(app.clone()))
        })
        // Without it a streamed answer waits for the client's delayed acknowledgement at every piece.
        .tcp_nodelay(true)
        // Who hangs up wants no answer any more: the handler is dropped, and with it what runs in the database.
        .h1_allow_half_closed(false)
        .shutdown_timeout(STOP_SECONDS)
        .disable_signals();
        if let Some(workers) = settings.http_workers {
            server = server.workers(workers.max(1));
        }
        let server = match server.listen(listener) {
            Ok(server) => server.run(),
            Err(err) => return Err((storage, err.into())),
        };
        let handle = server.handle();
        let serving = tokio::spawn(server);
        let (stopping, stopped) = watch::channel(false);
        let runs = settings.workflow_runs;
        let jobs = jobs::start(&services, settings.health_check_seconds, nodes, runs, &stopped);
        let flushing = tokio::spawn(flush(services.clone(), stopped));
        Ok(Self { services, storage, listen, handle, serving, flushing, jobs, stopping })
    }

    /// Lets requests that are under way end, writes what waits, and stops what was started.
    ///
    /// # Errors
    ///
    /// If something could not be stopped.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.handle.stop(true).await;
        self.serving.await??;
        self.services.query_runs.stop().await;
        let _ = self.stopping.send(true);
        self.flushing.await?;
        // What they had taken they finish: a mail that was sent is noted as sent.
        self.jobs.join_all().await;
        drop(self.services);
        self.storage.close().await
    }
}

/// The services of a process that stands at `listen`, or beside whoever does.
pub(super) async fn services(
    settings: &ServeSettings,
    storage: &Storage,
    listen: SocketAddr,
    nodes: Option<Arc<NodeKeeper>>,
    metrics: metrics_exporter_prometheus::PrometheusHandle,
) -> anyhow::Result<Services> {
    let gate = gate(settings, storage, listen).await?;
    let managed = match &storage.embedded {
        Some(embedded) => embedded.address()?,
        None => EmbeddedAddress::default(),
    };
    let model = model(&settings.model, &gate)?;
    let dialer = Arc::new(Dialer::new(gate.clone()));
    let mailer = mailer(&settings.mail, storage, &gate, Arc::new(SystemClock))?;
    let key_sets = Arc::new(HttpKeySets::new(gate.clone())?);
    let outward = Arc::new(HttpCalls::new(gate.clone())?);
    let remotes = Arc::new(NeonPlane::new(NeonSettings::new(gate.clone()))?);
    let mut targets = TargetSettings::new(gate, Arc::new(managed));
    targets.sessions_per_connection = settings.limits.sessions_per_connection;
    Ok(Services::new(WiringParts {
        database: storage.database.clone(),
        master: storage.master.clone(),
        installation: storage.installation.clone(),
        public_url: super::serve::public_url(settings, listen),
        trusted_proxies: settings.trusted_proxies.clone(),
        deletion_grace: SignedDuration::from_hours(24 * settings.deletion_grace_days),
        targets,
        key_sets,
        queries: query_settings(&settings.limits),
        model,
        dialer,
        mailer,
        patience: PATIENCE,
        nodes: nodes.map(|it| it as Arc<dyn NodeStarter>),
        remotes,
        outward,
        runs: WorkerSettings {
            runs: settings.workflow_runs,
            runs_per_organization: settings.workflow_runs_per_organization,
            ..WorkerSettings::default()
        },
        clock: Arc::new(SystemClock),
        metrics: Some(metrics),
    })?)
}

/// Writes the history behind the requests; at the end until all of it is written, as nobody will do it later.
pub(super) async fn flush(services: Services, mut stopped: watch::Receiver<bool>) {
    let mut deadline = None;
    let mut kept_up = Instant::now();
    loop {
        // Without it what was measured grows until somebody asks for `/metrics`.
        if let Some(metrics) =
            services.metrics.as_ref().filter(|_| kept_up.elapsed() > UPKEEP_EVERY)
        {
            metrics.run_upkeep();
            kept_up = Instant::now();
        }
        if deadline.is_none() {
            tokio::select! {
                () = tokio::time::sleep(FLUSH_EVERY) => {}
                _ = stopped.changed() => deadline = Some(Instant::now() + LAST_FLUSH),
            }
        }
        let flushed = match services.queries.flush_history().await {
            Ok(()) => services.models.flush().await,
            failed => failed,
        };
        if let Err(err) = &flushed {
            tracing::warn!(
                error = plinth_core::chain(err),
                "the history, or what models used, waits for the database"
            );
        }
        match deadline {
            Some(deadline) if flushed.is_ok() || Instant::now() > deadline => return,
            // Its Postgres may just be coming back, or a pooled connection was dead.
            Some(_) => tokio::time::sleep(FLUSH_AGAIN).await,
            None => {}
        }
    }
}

/// What tenants' connections may reach: public addresses, what the operator allows, in embedded mode this machine; and
/// never Plinth itself.
async fn gate(
    settings: &ServeSettings,
    storage: &Storage,
    listen: SocketAddr,
) -> anyhow::Result<Gate> {
    let mut allowed = settings.egress_allow.clone();
    if storage.embedded.is_some() {
        allowed.extend([Network::LOOPBACK_V4, Network::LOOPBACK_V6]);
    }
    let interfaces = nix::ifaddrs::getifaddrs().context("cannot list this machine's addresses")?;
    let local: Vec<_> = interfaces
        .filter_map(|it| {
            let address = it.address?;
            let v4 = address.as_sockaddr_in().map(|it| it.ip().into());
            v4.or_else(|| address.as_sockaddr_in6().map(|it| it.ip().into()))
        })
        .collect();
    let gate = Gate::new(Arc::new(SystemResolver), allowed, local);
    gate.protect(Own::LocalPort(listen.port()));
    gate.protect(Own::LocalPorts(settings.endpoints.node_ports.clone()));
    if let Some(embedded) = &storage.embedded {
        gate.protect(Own::LocalPort(embedded.port()));
    } else {
        for url in [Some(&storage.url), storage.migrate_url.as_ref()].into_iter().flatten() {
            for (host, port) in url.addresses() {
                // Unprotected we do not serve.
                let found = SystemResolver.resolve(&host).await;
                for ip in found.with_context(|| format!("cannot resolve {host}"))? {
                    let address = SocketAddr::new(ip, port);
                    gate.protect(Own::Database { address, name: url.database().to_owned() });
                }
            }
        }
    }
    Ok(gate)
}

fn query_settings(limits: &LimitSettings) -> QuerySettings {
    QuerySettings {
        default_rows: limits.default_rows.min(limits.max_rows),
        max_rows: limits.max_rows,
        max_bytes: limits.max_result_mib.saturating_mul(1 << 20),
        default_time: limits.statement_seconds.min(limits.max_statement_seconds),
        max_time: limits.max_statement_seconds,
        ..QuerySettings::default()
    }
}

/// The configured model, if there is one. Its address is the operator's own word, so the gate lets it be anywhere.
fn model(settings: &ModelSettings, gate: &Gate) -> anyhow::Result<Option<InstallationModel>> {
    let (Some(url), Some(name)) = (&settings.llm_base_url, &settings.llm_model) else {
        return Ok(None);
    };
    let endpoint = Endpoint::new(url, gate.of_operator()).context("PLINTH_LLM_BASE_URL")?;
    let (provider, key) = (settings.llm_provider, settings.llm_api_key.clone());
    let mut client =
        ClientSettings::new(provider, endpoint, name.clone(), key, settings.llm_seconds);
    if let Some(file) = &settings.llm_ca_file {
        let pem = std::fs::read_to_string(file)
            .with_context(|| format!("PLINTH_LLM_CA_FILE: cannot read {}", file.display()))?;
        client.authorities = Some(pem);
    }
    let model = ModelClient::new(client).context("the settings PLINTH_LLM_… cannot be used")?;
    Ok(Some(InstallationModel { provider, model: Arc::new(model) }))
}
