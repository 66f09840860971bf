use std::sync::Arc;
use std::time::Duration;

use super::node::AuthorityKeeper;
use super::schema_followed::SchemaFollowed;
use super::team_shown::TeamShown;
use jiff::SignedDuration;
use metrics_exporter_prometheus::PrometheusHandle;
use plinth_adapter_postgres::{
    Database, PostgresAccounts, PostgresAlerts, PostgresAnnotations, PostgresApps,
    PostgresAttempts, PostgresAudit, PostgresConnections, PostgresControlPlane,
    PostgresConversations, PostgresCredentials, PostgresDashboards, PostgresEvents,
    PostgresIdempotency, PostgresIdentities, PostgresKeys, PostgresLanguage, PostgresListeners,
    PostgresModels, PostgresOrganizations, PostgresOutbox, PostgresPolicies, PostgresQueries,
    PostgresQueryRuns, PostgresRates, PostgresRemotes, PostgresRope, PostgresRuns,
    PostgresSigningKeys, PostgresSnapshots, PostgresTeam, PostgresTenancy, PostgresWorkflows,
    PostgresWriteConnections,
};
use plinth_adapter_target::{TargetDatabases, TargetSettings};
use plinth_connections::writes::{WriteConnectionParts, WriteConnections};
use plinth_connections::{
    ConnectionParts, Connections, DataKey, InstallationKey, MasterKeys, Vault,
};
use plinth_control_plane::remote::{RemoteParts, RemotePlane, Remotes};
use plinth_control_plane::{ControlPlane, ControlPlaneParts, ControlPlaneStore};
use plinth_core::{Clock, CursorKey};
use plinth_dashboards::{DashboardParts, Dashboards, SavedQueries, ShareKey};
use plinth_egress::Network;
use plinth_models::{InstallationModel, ModelDialer, ModelParts, Models};
use plinth_nl2sql::Engine;
use plinth_queries::policies::{MaskKey, Policies, PolicyParts};
use plinth_queries::repairs::{RepairParts, Repairs};
use plinth_queries::{
    BackgroundRuns, Conversations, Members, Queries, QueryParts, QuerySettings, RunParts,
};
use plinth_schema_introspect::{Discovery, SchemaAnnotations, Schemas};
use plinth_tenancy::accounts::{AccountParts, Accounts};
use plinth_tenancy::audit::AuditTrail;
use plinth_tenancy::idempotency::{FingerprintKey, Idempotency};
use plinth_tenancy::identity::Identities;
use plinth_tenancy::limits::Limiter;
use plinth_tenancy::oauth::{CodeKey, OAuth};
use plinth_tenancy::organizations::Organizations;
use plinth_tenancy::outbox::{Delivery, MailDelivery, Message, Outbox};
use plinth_tenancy::password::PasswordHashing;
use plinth_tenancy::session::RefreshKey;
use plinth_tenancy::signing::SigningKeys;
use plinth_tenancy::team::Team;
use plinth_tenancy::{KeySetSource, LinkKey, Mailer, Tenancy, TrailKey};
use plinth_workflows::actions::Actions;
use plinth_workflows::alerts::{AlertParts, AlertWorker, AlertWorkerParts, Alerts};
use plinth_workflows::bell::Bell;
use plinth_workflows::events::{EventKey, EventParts, EventWorker, EventWorkerParts, Events};
use plinth_workflows::hook::HookKey;
use plinth_workflows::listening::{ListenParts, ListenWorker};
use plinth_workflows::secrets::StoredCredentials;
use plinth_workflows::writes::DatabaseWriter;
use plinth_workflows::{
    Outward, QuerySteps, TeamMembers, Worker, WorkerParts, WorkerSettings, WorkflowParts, Workflows,
};
use tokio::sync::Notify;

/// Every service that handlers can ask for, put together once.
#[derive(Clone)]
pub struct Services {
    /// Organizations, keys, and who a caller is.
    pub tenancy: Tenancy,
    /// People, their sessions, and who a token is.
    pub accounts: Accounts,
    /// What becomes of organizations.
    pub organizations: Organizations,
    /// Members, invitations and roles.
    pub team: Team,
    /// Who did what.
    pub audit: AuditTrail,
    /// How many requests are let through.
    pub limiter: Limiter,
    /// Requests that may be sent twice.
    pub idempotency: Idempotency,
    /// Seals the answers that are given again.
    pub answers: DataKey,
    /// Outside identity providers.
    pub identities: Identities,
    /// Third-party apps.
    pub oauth: OAuth,
    /// What changes have left to be done.
    pub outbox: Outbox,
    /// Sends mail; for workers, never while a caller waits.
    pub mailer: Arc<dyn Mailer>,
    /// Seals the secrets of organizations.
    pub vault: Vault,
    /// The connected databases.
    pub connections: Connections,
    /// What workflows write through.
    pub write_connections: WriteConnections,
    /// Looking through databases that are not connected yet.
    pub discovery: Discovery,
    /// Their schemas.
    pub schemas: Schemas,
    /// What people write beside the schemas.
    pub annotations: SchemaAnnotations,
    /// Which language models there are, and what is spent on them.
    pub models: Models,
    /// Asking and running.
    pub queries: Queries,
    /// Those that a change of a schema broke.
    pub repairs: Repairs,
    /// The same for who does not wait.
    pub query_runs: BackgroundRuns,
    /// What was asked one after the other.
    pub conversations: Conversations,
    /// Projects and branches.
    pub control_plane: ControlPlane,
    /// Where they are kept.
    pub control_plane_store: Arc<dyn ControlPlaneStore>,
    /// Servers of others, and the projects that live there.
    pub remotes: Remotes,
    /// Plinth's own certificate authority.
    pub authority: AuthorityKeeper,
    /// Widgets on saved queries, and links that show them.
    pub dashboards: Dashboards,
    /// What runs by itself.
    pub workflows: Workflows,
    /// Runs it.
    pub worker: Arc<Worker>,
    /// Listens to databases that start workflows.
    pub listen_worker: ListenWorker,
    /// Tells workers that runs wait.
    pub bell: Arc<Bell>,
    /// Conditions on saved queries, and who is told.
    pub alerts: Alerts,
    /// Evaluates them.
    pub alert_worker: AlertWorker,
    /// What calls of workflows may carry.
    pub credentials: StoredCredentials,
    /// Who is told of what happens.
    pub events: Events,
    /// Tells them.
    pub event_worker: EventWorker,
    /// Signs cursors.
    pub cursors: CursorKey,
    /// Under which URL callers reach the server, without a slash at its end.
    pub public_url: Arc<str>,
    /// The proxies in front, whose word is believed about where a request came from.
    pub trusted_proxies: Arc<[Network]>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Our own database, to say whether it answers.
    pub database: Database,
    /// Renders `/metrics`; `None` where nobody collects.
    pub metrics: Option<PrometheusHandle>,
}

/// What the services are made from.
pub struct WiringParts {
    /// Our own database.
    pub database: Database,
    /// Seals every stored credential.
    pub master: Arc<MasterKeys>,
    /// What the installation's own keys derive from.
    pub installation: InstallationKey,
    /// Under which URL callers reach the server, without a slash at its end.
    pub public_url: String,
    /// The proxies in front, whose word is believed about where a request came from.
    pub trusted_proxies: Vec<Network>,
    /// How long an owner who deletes an organization may think again.
    pub deletion_grace: SignedDuration,
    /// How customers' databases are reached.
    pub targets: TargetSettings,
    /// How identity providers' keys are read.
    pub key_sets: Arc<dyn KeySetSource>,
    /// How far a question or statement may go.
    pub queries: QuerySettings,
    /// The installation's language model beside the embedded engine.
    pub model: Option<InstallationModel>,
    /// Makes clients of the models that organizations configure.
    pub dialer: Arc<dyn ModelDialer>,
    /// Sends mail.
    pub mailer: Arc<dyn Mailer>,
    /// How long an answer about projects waits for the operations that it tells of.
    pub patience: Duration,
    /// Sees to it that a node runs; `None` where an operator does.
    pub nodes: Option<Arc<dyn plinth_control_plane::NodeStarter>>,
    /// Calls servers that speak the management API.
    pub remotes: Arc<dyn RemotePlane>,
    /// Calls what workflows call.
    pub outward: Arc<dyn Outward>,
    /// How many runs of workflows this process has under way at once.
    pub runs: WorkerSettings,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Renders `/metrics`.
    pub metrics: Option<PrometheusHandle>,
}

impl Services {
    /// Plugs the adapters into the ports.
    ///
    /// # Errors
    ///
    /// If the system's certificates cannot be read, or it has no randomness.
    pub fn new(parts: WiringParts) -> std::io::Result<Self> {
        let WiringParts {
            database,
            master,
            installation,
            public_url,
            trusted_proxies,
            deletion_grace,
            targets,
            key_sets,
            queries,
            model,
            dialer,
            mailer,
            patience,
            nodes,
            remotes,
            outward,
            runs,
            clock,
            metrics,
        } = parts;
        let cursors = CursorKey::new(installation.derive("cursors").as_slice());
        let audit = AuditTrail::new(
            Arc::new(PostgresAudit::new(database.clone())),
            TrailKey::new(*installation.derive("audit trail")),
        );
        let limiter = Limiter::new(Arc::new(PostgresRates::new(database.clone())), clock.clone());
        let idempotency = Idempotency::new(
            Arc::new(PostgresIdempotency::new(database.clone())),
            FingerprintKey::new(*installation.derive("fingerprints of requests")),
            clock.clone(),
        );
        let project_key_sets = key_sets.clone();
        let identities = Identities::new(
            Arc::new(PostgresIdentities::new(database.clone())),
            key_sets,
            clock.clone(),
        );
        let answers = installation.data_key("idempotent answers");
        let targets = Arc::new(TargetDatabases::new(targets)?);
        let tenancy = Tenancy::new(Arc::new(PostgresTenancy::new(database.clone())), clock.clone());
        let accounts = accounts(&database, &installation, &public_url, clock.clone())?;
        let organizations = Organizations::new(
            Arc::new(PostgresOrganizations::new(database.clone())),
            tenancy.clone(),
            accounts.clone(),
            deletion_grace,
            clock.clone(),
        );
        let links = LinkKey::new(*installation.derive("mailed links"));
        let team = Team::new(
            Arc::new(PostgresTeam::new(database.clone())),
            tenancy.clone(),
            accounts.clone(),
            links.clone(),
            clock.clone(),
        );
        let letters: Arc<dyn Delivery> = Arc::new(MailDelivery::new(
            mailer.clone(),
            Arc::new(PostgresAccounts::new(database.clone())),
            links,
            public_url.as_str().into(),
            clock.clone(),
        ));
        let oauth = OAuth::new(
            Arc::new(PostgresApps::new(database.clone())),
            accounts.clone(),
            CodeKey::new(*installation.derive("codes of apps")),
            clock.clone(),
        );
        let vault = Vault::new(Arc::new(PostgresKeys::new(database.clone())), master);
        let connections = Connections::new(ConnectionParts {
            store: Arc::new(PostgresConnections::new(database.clone())),
            databases: targets.clone(),
            tables: targets.clone(),
            vault: vault.clone(),
            clock: clock.clone(),
        });
        let write_connections = WriteConnections::new(WriteConnectionParts {
            store: Arc::new(PostgresWriteConnections::new(database.clone())),
            connections: connections.clone(),
            databases: targets.clone(),
            writer: targets.clone(),
            vault: vault.clone(),
            clock: clock.clone(),
        });
        let discovery =
            Discovery::new(connections.clone(), targets.clone(), targets.clone(), clock.clone());
        let schemas = Schemas::new(
            connections.clone(),
            targets.clone(),
            Arc::new(PostgresSnapshots::new(database.clone())),
            clock.clone(),
        );
        let annotations = SchemaAnnotations::new(
            schemas.clone(),
            Arc::new(PostgresAnnotations::new(database.clone())),
            clock.clone(),
        );
        let conversations = Conversations::new(
            Arc::new(PostgresConversations::new(database.clone())),
            clock.clone(),
        );
        let models = Models::new(ModelParts {
            store: Arc::new(PostgresModels::new(database.clone())),
            usage: Arc::new(PostgresModels::new(database.clone())),
            vault: vault.clone(),
            dialer,
            installation: model,
            tenancy: tenancy.clone(),
            clock: clock.clone(),
        });
        let policies = Policies::new(PolicyParts {
            store: Arc::new(PostgresPolicies::new(database.clone())),
            connections: connections.clone(),
            schemas: schemas.clone(),
            runner: targets.clone(),
            key: MaskKey::new(*installation.derive("hashes of masked columns")),
            clock: clock.clone(),
        });
        let history = Arc::new(PostgresQueries::new(database.clone()));
        let queries = Queries::new(QueryParts {
            conversations: conversations.clone(),
            language: Arc::new(PostgresLanguage::new(database.clone())),
            connections: connections.clone(),
            schemas: schemas.clone(),
            annotations: annotations.clone(),
            tenancy: tenancy.clone(),
            policies,
            engine: Arc::new(Engine::new()),
            models: models.clone(),
            runner: targets.clone(),
            store: history.clone(),
            saved: history.clone(),
            settings: queries,
            clock: clock.clone(),
        });
        let team_store = Arc::new(PostgresTeam::new(database.clone()));
        let members: Arc<dyn Members> = Arc::new(plinth_queries::TeamMembers::new(team_store));
        let repairs = Repairs::new(RepairParts {
            queries: queries.clone(),
            store: history,
            members: members.clone(),
        });
        let query_runs = BackgroundRuns::new(RunParts {
            queries: queries.clone(),
            store: Arc::new(PostgresQueryRuns::new(database.clone())),
            key: installation.data_key("rows of runs"),
            clock: clock.clone(),
        });
        let control_plane_store: Arc<dyn ControlPlaneStore> =
            Arc::new(PostgresControlPlane::new(database.clone()));
        let control_plane = ControlPlane::new(ControlPlaneParts {
            store: control_plane_store.clone(),
            vault: vault.clone(),
            key_sets: project_key_sets,
            nodes,
            patience,
            clock: clock.clone(),
        });
        let remotes = Remotes::new(RemoteParts {
            store: Arc::new(PostgresRemotes::new(database.clone())),
            plane: remotes,
            vault: vault.clone(),
            public_url: public_url.as_str().into(),
            patience,
            clock: clock.clone(),
        });
        let team_shown: Arc<dyn Delivery> = Arc::new(TeamShown::new(control_plane.clone()));
        let messages = Arc::new(PostgresOutbox::new(database.clone()));
        let followed: Arc<dyn Delivery> =
            Arc::new(SchemaFollowed::new(repairs.clone(), messages.clone(), clock.clone()));
        let outbox = Outbox::new(
            messages,
            [(Message::MAIL, letters), (Message::TEAM, team_shown), (Message::SCHEMA, followed)],
        );
        let authority = AuthorityKeeper::new(control_plane_store.clone(), &installation);
        let hooks = HookKey::new(*installation.derive("webhooks of workflows"));
        let event_key = EventKey::new(*installation.derive("signatures of events"));
        // What is under a lease does not wait for those who call.
        let own = database.for_workers();
        let (events, event_worker) = events((&database, &own), event_key, outward.clone(), &clock);
        let credentials = StoredCredentials::new(
            Arc::new(PostgresCredentials::new(database.clone())),
            vault.clone(),
            clock.clone(),
        );
        let writer = DatabaseWriter::new(queries.clone(), write_connections.clone());
        let actions = Actions::new(mailer.clone(), outward)
            .with_credentials(credentials.clone())
            .with_writer(writer);
        let (workflows, worker, listen_worker, bell) = workflows(
            (&database, &own),
            targets.clone(),
            (&tenancy, &connections, &queries),
            (actions, hooks, runs),
            &clock,
        );
        let (alerts, alert_worker) = alerts((&database, &own), &tenancy, &queries, &clock);
        let dashboards = Dashboards::new(DashboardParts {
            store: Arc::new(PostgresDashboards::new(database.clone())),
            runner: Arc::new(SavedQueries::new(queries.clone(), repairs.clone())),
            members,
            tenancy: tenancy.clone(),
            key: ShareKey::new(*installation.derive("links to dashboards")),
            clock: clock.clone(),
        });
        let public_url = public_url.into();
        Ok(Self {
            dashboards,
            workflows,
            worker,
            bell,
            listen_worker,
            alerts,
            alert_worker,
            credentials,
            events,
            event_worker,
            tenancy,
            accounts,
            organizations,
            team,
            audit,
            limiter,
            idempotency,
            answers,
            identities,
            oauth,
            outbox,
            mailer,
            vault,
            connections,
            write_connections,
            discovery,
            schemas,
            annotations,
            models,
            queries,
            repairs,
            query_runs,
            conversations,
            control_plane,
            control_plane_store,
            remotes,
            authority,
            cursors,
            public_url,
            trusted_proxies: trusted_proxies.into(),
            clock,
            database,
            metrics,
        })
    }
}

/// Workflows, and what runs them here, over its own connections.
fn workflows(
    (database, own): (&Database, &Database),
    targets: Arc<TargetDatabases>,
    (tenancy, connections, queries): (&Tenancy, &Connections, &Queries),
    (actions, hooks, settings): (Actions, HookKey, WorkerSettings),
    clock: &Arc<dyn Clock>,
) -> (Workflows, Arc<Worker>, ListenWorker, Arc<Bell>) {
    let store = Arc::new(PostgresWorkflows::new(database.clone()));
    let steps = QuerySteps::new(queries.clone());
    // The worker of this process begins at once with what this process queued, and those of others if it cannot.
    let bell = Arc::new(Bell::new(Arc::new(PostgresRope::new(database.clone()))));
    let team = Arc::new(PostgresTeam::new(database.clone()));
    let members = Arc::new(TeamMembers::new(team));
    let workflows = Workflows::new(WorkflowParts {
        store,
        tenancy: tenancy.clone(),
        connections: connections.clone(),
        queries: queries.clone(),
        steps: Arc::new(steps.clone()),
        actions: actions.clone(),
        members: members.clone(),
        hooks: hooks.clone(),
        bell: bell.clone(),
        clock: clock.clone(),
    });
    let listen_worker = ListenWorker::new(ListenParts {
        store: Arc::new(PostgresListeners::new(database.clone(), clock.clone())),
        connections: connections.clone(),
        databases: targets,
        members: members.clone(),
        bell: bell.clone(),
        clock: clock.clone(),
    });
    let worker = Worker::new(WorkerParts {
        queue: Arc::new(PostgresRuns::new(own.clone(), clock.clone())),
        store: Arc::new(PostgresWorkflows::new(own.clone())),
        members: Arc::new(TeamMembers::new(Arc::new(PostgresTeam::new(own.clone())))),
        steps: Arc::new(steps.in_background()),
        actions,
        hooks,
        clock: clock.clone(),
        bell: bell.clone(),
        settings,
    });
    (workflows, Arc::new(worker), listen_worker, bell)
}

/// Subscriptions to events, and what sends them here, over its own connections.
fn events(
    (database, own): (&Database, &Database),
    key: EventKey,
    outward: Arc<dyn Outward>,
    clock: &Arc<dyn Clock>,
) -> (Events, EventWorker) {
    let store = Arc::new(PostgresEvents::new(database.clone()));
    let woken = Arc::new(Notify::new());
    let events = Events::new(EventParts {
        store,
        key: key.clone(),
        woken: woken.clone(),
        clock: clock.clone(),
    });
    let store = Arc::new(PostgresEvents::new(own.clone()));
    let worker =
        EventWorker::new(EventWorkerParts { store, outward, key, woken, clock: clock.clone() });
    (events, worker)
}

/// Alerts, and what evaluates them here, over its own connections.
fn alerts(
    (database, own): (&Database, &Database),
    tenancy: &Tenancy,
    queries: &Queries,
    clock: &Arc<dyn Clock>,
) -> (Alerts, AlertWorker) {
    let store = Arc::new(PostgresAlerts::new(database.clone()));
    let woken = Arc::new(Notify::new());
    let alerts = Alerts::new(AlertParts {
        store,
        queries: queries.clone(),
        woken: woken.clone(),
        clock: clock.clone(),
    });
    let worker = AlertWorker::new(AlertWorkerParts {
        store: Arc::new(PostgresAlerts::new(own.clone())),
        members: Arc::new(TeamMembers::new(Arc::new(PostgresTeam::new(own.clone())))),
        steps: Arc::new(QuerySteps::new(queries.clone())),
        tenancy: tenancy.clone(),
        woken,
        clock: clock.clone(),
    });
    (alerts, worker)
}

/// People and their sessions, also for commands that serve nothing.
///
/// # Errors
///
/// If the system has no randomness.
pub(crate) fn accounts(
    database: &Database,
    installation: &InstallationKey,
    public_url: &str,
    clock: Arc<dyn Clock>,
) -> std::io::Result<Accounts> {
    let signing = SigningKeys::new(
        Arc::new(PostgresSigningKeys::new(database.clone())),
        clock.clone(),
        *installation.derive("signing keys"),
        public_url,
    );
    Ok(Accounts::new(AccountParts {
        store: Arc::new(PostgresAccounts::new(database.clone())),
        attempts: Arc::new(PostgresAttempts::new(database.clone())),
        hashing: PasswordHashing::new().map_err(std::io::Error::other)?,
        signing,
        refresh: RefreshKey::new(*installation.derive("refresh tokens")),
        links: LinkKey::new(*installation.derive("mailed links")),
        subjects: installation.derive("attempts"),
        clock,
    }))
}
