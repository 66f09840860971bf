use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use plinth_connections::Sealed;
use plinth_core::{Cursor, OrgId, StoreError, UserId};
use plinth_tenancy::AuditEntry;
use secrecy::SecretString;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    AddressRange, Branch, BranchId, Chain, Computes, Database, Endpoint, EndpointId, EndpointKind,
    Inquiry, InquiryStore, Lsn, NodeInfo, NodeOffers, Operation, OperationId, PermissionStore,
    Person, Point, Project, ProjectId, Role, Snapshot, SqlName, StorageMethod, Tree, UsageStore,
    Used,
};

/// A change of one project: all of it is written, or nothing.
#[derive(Clone, Debug)]
pub struct Change {
    /// Whose project it is.
    pub org: OrgId,
    /// The project.
    pub project: ProjectId,
    /// Which revision it is a change of; `None` for a project that is new.
    pub revision: Option<i64>,
    /// The project, if it is new or has changed.
    pub put_project: Option<Project>,
    /// Branches that are new or have changed.
    pub branches: Vec<Branch>,
    /// Snapshots that are new or have changed.
    pub snapshots: Vec<Snapshot>,
    /// Endpoints that are new or have changed.
    pub endpoints: Vec<Endpoint>,
    /// Roles that are new or have changed.
    pub roles: Vec<Role>,
    /// Databases that are new or have changed.
    pub databases: Vec<Database>,
    /// Roles that are no more.
    pub remove_roles: Vec<Uuid>,
    /// Databases that are no more.
    pub remove_databases: Vec<i64>,
    /// What a node has to do about it; empty for nothing.
    pub chain: Vec<Operation>,
    /// Operations that are further than they were.
    pub operations: Vec<Operation>,
    /// The chain that is finished with this.
    pub finished: Option<OperationId>,
    /// What the trail says of it; `None` for what nodes find out.
    pub entry: Option<AuditEntry>,
}

impl Change {
    /// A change of that project in which nothing changes yet.
    pub fn of(tree: &Tree) -> Self {
        Self {
            revision: Some(tree.project.revision),
            ..Self::new(tree.project.org, tree.project.id.clone())
        }
    }

    /// The making of a project.
    pub fn new(org: OrgId, project: ProjectId) -> Self {
        Self {
            org,
            project,
            revision: None,
            put_project: None,
            branches: Vec::new(),
            snapshots: Vec::new(),
            endpoints: Vec::new(),
            roles: Vec::new(),
            databases: Vec::new(),
            remove_roles: Vec::new(),
            remove_databases: Vec::new(),
            chain: Vec::new(),
            operations: Vec::new(),
            finished: None,
            entry: None,
        }
    }
}

/// An offer of a project to whoever is told its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferRequest {
    /// Its id.
    pub id: Uuid,
    /// Whose project it is.
    pub org: OrgId,
    /// The project.
    pub project: ProjectId,
    /// Who made it.
    pub created_by: UserId,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it stands.
    pub expires_at: Timestamp,
}

/// A project that goes to another organization: all of it, or nothing.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// Whose it was.
    pub from: OrgId,
    /// Which revision of it goes.
    pub revision: i64,
    /// The offer that is taken up; `None` where both organizations agree.
    pub request: Option<Uuid>,
    /// When.
    pub at: Timestamp,
    /// The passwords of its roles, sealed for whose it is to be.
    pub passwords: Vec<(Uuid, Sealed)>,
    /// What is done then, in the organization whose it is to be.
    pub change: Change,
    /// What the trail says of it where it was.
    pub entry: AuditEntry,
}

/// Why a change was not written; nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Somebody else was faster: read again.
    #[error("the project has changed meanwhile")]
    Changed,
    /// Another chain is not finished.
    #[error("another chain of operations is under way")]
    Busy,
    /// Something of that kind and name is there.
    #[error("there is another {0} of that name")]
    Exists(&'static str),
    /// Another endpoint of the node has the port.
    #[error("the port is taken")]
    PortTaken,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which projects are listed.
#[derive(Clone, Debug, Default)]
pub struct ProjectFilter {
    /// Part of the name or id.
    pub search: Option<String>,
    /// After which place.
    pub after: Option<Cursor>,
    /// At most.
    pub limit: u32,
    /// Those that were deleted after then and can be recovered, instead of those that are there.
    pub deleted_since: Option<Timestamp>,
    /// This one, if it is among them, and no other.
    pub only: Option<ProjectId>,
}

/// A chain that a node has taken, and has to itself until its lease ends.
#[derive(Clone, Debug)]
pub struct TakenChain {
    /// The chain's id: its first operation's.
    pub id: OperationId,
    /// Whose it is.
    pub org: OrgId,
    /// The project.
    pub project: ProjectId,
    /// What is to be done.
    pub chain: Chain,
}

/// How many things there are of a kind and in a state, in all organizations together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census {
    /// `branches`, `endpoints` or `operations`.
    pub what: String,
    /// The endpoints' type or the operations' action; empty for branches.
    pub kind: String,
    /// Their state or status.
    pub state: String,
    /// How many.
    pub many: i64,
}

/// Where projects are kept. Every method is one transaction.
#[async_trait]
pub trait ControlPlaneStore: InquiryStore + UsageStore + PermissionStore {
    /// The organization's projects, newest first.
    async fn projects(
        &self,
        org: OrgId,
        filter: &ProjectFilter,
    ) -> Result<Vec<Project>, StoreError>;

    /// A project with everything in it that is not deleted, and also itself if it is.
    async fn load(&self, org: OrgId, project: &ProjectId) -> Result<Option<Tree>, StoreError>;

    /// The project of the organization's own database, if it was made.
    async fn own_project(&self, org: OrgId) -> Result<Option<ProjectId>, StoreError>;

    /// The organization's team, by id.
    async fn people(&self, org: OrgId) -> Result<Vec<Person>, StoreError>;

    /// A branch that was deleted after `since` and can be recovered.
    async fn deleted_branch(
        &self,
        org: OrgId,
        project: &ProjectId,
        id: &BranchId,
        since: Timestamp,
    ) -> Result<Option<Branch>, StoreError>;

    /// Writes a change.
    async fn commit(&self, change: &Change) -> Result<(), ChangeError>;

    /// A project's operations, newest first, also those of a project that was deleted.
    async fn operations(
        &self,
        org: OrgId,
        project: &ProjectId,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Vec<Operation>, StoreError>;

    /// One of them.
    async fn operation(
        &self,
        org: OrgId,
        project: &ProjectId,
        id: OperationId,
    ) -> Result<Option<Operation>, StoreError>;

    /// The roles of all branches of a project, also of those that were deleted.
    async fn all_roles(&self, org: OrgId, project: &ProjectId) -> Result<Vec<Role>, StoreError>;

    /// Keeps an offer.
    async fn put_transfer_request(
        &self,
        request: &TransferRequest,
        entry: &AuditEntry,
    ) -> Result<(), StoreError>;

    /// Whose project an offer is of, if it stands then.
    async fn find_transfer(
        &self,
        request: Uuid,
        project: &ProjectId,
        now: Timestamp,
    ) -> Result<Option<OrgId>, StoreError>;

    /// Gives a project to another organization.
    async fn transfer(&self, transfer: &Transfer) -> Result<(), ChangeError>;

    /// Says that a node lives.
    async fn beat(&self, node: &NodeInfo) -> Result<(), StoreError>;

    /// The nodes that said so within `within`.
    async fn nodes(&self, within: SignedDuration) -> Result<Vec<NodeInfo>, StoreError>;

    /// The ports that endpoints of a node have.
    async fn ports(&self, node: &str) -> Result<Vec<u16>, StoreError>;

    /// The projects of a node that are not deleted.
    async fn projects_of(&self, node: &str) -> Result<Vec<(OrgId, ProjectId)>, StoreError>;

    /// The branches whose files a node must keep: those that are there, and those that were deleted after `since` and can
    /// be recovered.
    async fn kept(
        &self,
        node: &str,
        since: Timestamp,
    ) -> Result<Vec<(ProjectId, BranchId)>, StoreError>;

    /// The projects of a node in which something is deleted by itself, or a snapshot is due, by `now`.
    async fn due(&self, node: &str, now: Timestamp) -> Result<Vec<(OrgId, ProjectId)>, StoreError>;

    /// Takes a chain of a node's projects that nobody else works on. An `instance` is one process: what another process of
    /// the same node held, it holds no more.
    async fn take(
        &self,
        node: &str,
        instance: Uuid,
        lease: SignedDuration,
    ) -> Result<Option<TakenChain>, StoreError>;

    /// Keeps a chain for another while. `false` if it was taken by somebody else.
    async fn extend(
        &self,
        org: OrgId,
        chain: OperationId,
        instance: Uuid,
        lease: SignedDuration,
    ) -> Result<bool, StoreError>;

    /// How many branches, endpoints and operations of the last hour there are in all organizations.
    async fn census(&self) -> Result<Vec<Census>, StoreError>;

    /// The certificate and sealed key of Plinth's own authority: those given, if there were none.
    async fn keep_authority(
        &self,
        certificate: &str,
        key: &Sealed,
    ) -> Result<(String, Sealed), StoreError>;

    /// The same, if they were made.
    async fn authority(&self) -> Result<Option<(String, Sealed)>, StoreError>;
}

/// Starts a node on this machine.
#[async_trait]
pub trait NodeStarter: Send + Sync + 'static {
    /// Starts one, unless it runs; it may take a moment until it lives.
    ///
    /// # Errors
    ///
    /// What the operator can do.
    async fn start(&self) -> Result<(), String>;
}

/// Where a branch's files are, and as what they are used.
#[derive(Clone, Debug, PartialEq)]
pub struct BranchPlace {
    /// Its project.
    pub project: ProjectId,
    /// The project's number.
    pub number: i64,
    /// The branch.
    pub branch: BranchId,
    /// `pg_settings` that hold for it.
    pub settings: Value,
    /// What its server loads at its start.
    pub libraries: Vec<&'static str>,
    /// For how long its history is kept.
    pub history_retention_seconds: i32,
    /// How much of the machine its server may use, where the machine can hold it to that; `None` for as much as there is.
    pub computes: Option<Computes>,
}

/// An endpoint as a node has it.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointPlace {
    /// The organization, for who tells of it.
    pub org: OrgId,
    /// The endpoint.
    pub id: EndpointId,
    /// What it leads to.
    pub branch: BranchPlace,
    /// What may be done through it. One that reads only has a server of its own, which follows the branch's.
    pub kind: EndpointKind,
    /// `pg_settings` that hold for its own server, if it has one, instead of the branch's.
    pub settings: Value,
    /// How much of the machine its own server may use, if it has one.
    pub computes: Computes,
    /// Its port.
    pub port: u16,
    /// Whether the next port leads there through a pooler.
    pub pooled: bool,
    /// After how many seconds without activity its Postgres is stopped; `None` for never.
    pub suspend_after_seconds: Option<u32>,
    /// Whether connections are refused.
    pub disabled: bool,
    /// From where connections may come; `None` for anywhere.
    pub allowed: Option<Vec<AddressRange>>,
}

impl EndpointPlace {
    /// The port that leads there through a pooler, if there is one.
    pub fn pooled_port(&self) -> Option<u16> {
        self.pooled.then(|| self.port + 1)
    }
}

/// What was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// How.
    pub storage: StorageMethod,
    /// The size of the files.
    pub size_bytes: i64,
    /// Where in the source's history it begins, if it has one.
    pub lsn: Option<Lsn>,
    /// When in the source's history it begins.
    pub at: Option<Timestamp>,
}

/// A role as it is to be.
#[derive(Clone, Debug)]
pub struct WantedRole {
    /// Its name.
    pub name: SqlName,
    /// Its password; `None` if it cannot log in.
    pub password: Option<SecretString>,
}

/// A database as it is to be.
#[derive(Clone, Debug)]
pub struct WantedDatabase {
    /// Its name.
    pub name: SqlName,
    /// Its owner.
    pub owner: SqlName,
}

/// What is to be in a branch.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The roles.
    pub roles: Vec<WantedRole>,
    /// The databases.
    pub databases: Vec<WantedDatabase>,
    /// Extensions that every database is to have, as far as it can.
    pub extensions: Vec<&'static str>,
    /// Roles that are no more.
    pub drop_roles: Vec<SqlName>,
    /// Databases that are no more.
    pub drop_databases: Vec<SqlName>,
    /// A database that has another name now: from, to.
    pub rename_database: Option<(SqlName, SqlName)>,
    /// A role whose sessions end.
    pub cut_sessions_of: Option<SqlName>,
}

impl Wanted {
    /// Whether sessions that there are have to end: somebody may not log in any more as they did, or what they are in is
    /// not there any more.
    pub fn ends_sessions(&self) -> bool {
        let gone = !(self.drop_roles.is_empty() && self.drop_databases.is_empty());
        gone || self.rename_database.is_some() || self.cut_sessions_of.is_some()
    }
}

/// What an endpoint did by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointEvent {
    /// A connection woke it.
    Started {
        /// The organization.
        org: OrgId,
        /// The project.
        project: ProjectId,
        /// The endpoint.
        endpoint: EndpointId,
    },
    /// Nobody used it.
    Suspended {
        /// The organization.
        org: OrgId,
        /// The project.
        project: ProjectId,
        /// The endpoint.
        endpoint: EndpointId,
        /// When it was last used.
        last_active: Timestamp,
    },
}

/// Why a node could not do a step. The text is shown to callers.
#[derive(Debug, thiserror::Error)]
pub enum SubstrateError {
    /// Doing it again would not help.
    #[error("{0}")]
    Refused(String),
    /// It may help.
    #[error("{0}")]
    Failed(String),
    /// A program is not installed; with what to install.
    #[error("{0}")]
    Missing(String),
}

/// Files, processes and ports. Every method can be called again after it was cut off anywhere, and after it succeeded.
#[async_trait]
pub trait Substrate: Send + Sync + 'static {
    /// Makes a root's files, if they are not there.
    async fn make_root(&self, branch: &BranchPlace) -> Result<Made, SubstrateError>;

    /// Makes a branch's files from another's, which may be in use, if they are not there.
    async fn copy(
        &self,
        source: &BranchPlace,
        point: Point,
        branch: &BranchPlace,
    ) -> Result<Made, SubstrateError>;

    /// Puts the definitions that databases have in one branch into another, which has these databases and nothing of
    /// value in them: each is made anew.
    async fn copy_schema(
        &self,
        source: &BranchPlace,
        branch: &BranchPlace,
        databases: &[WantedDatabase],
    ) -> Result<(), SubstrateError>;

    /// Keeps a branch's state, if that is not done: nothing will run on these files.
    async fn snapshot(
        &self,
        source: &BranchPlace,
        point: Point,
        snapshot: &BranchPlace,
    ) -> Result<Made, SubstrateError>;

    /// Puts other files in the place of a branch's. What was there becomes `preserve`'s, or is removed.
    async fn replace(
        &self,
        branch: &BranchPlace,
        source: &BranchPlace,
        point: Point,
        preserve: Option<&BranchPlace>,
    ) -> Result<Made, SubstrateError>;

    /// Makes roles and databases be as they are to be.
    async fn configure(&self, branch: &BranchPlace, wanted: &Wanted) -> Result<(), SubstrateError>;

    /// Makes the tables of an organization's own database and shows the team in it.
    async fn own(
        &self,
        branch: &BranchPlace,
        database: &WantedDatabase,
        people: &[Person],
    ) -> Result<(), SubstrateError>;

    /// Opens an endpoint's port, or changes how it leads on; starts nothing, and takes over what runs. Says whether its
    /// Postgres runs.
    async fn open(&self, endpoint: &EndpointPlace) -> Result<bool, SubstrateError>;

    /// Whether an endpoint's Postgres runs, as far as that is known without waiting for anything.
    fn is_running(&self, endpoint: &EndpointPlace) -> bool;

    /// Starts an endpoint's Postgres, unless it runs.
    async fn start(&self, endpoint: &EndpointPlace) -> Result<(), SubstrateError>;

    /// Stops an endpoint's Postgres, if it runs.
    async fn suspend(&self, endpoint: &EndpointPlace) -> Result<(), SubstrateError>;

    /// Closes an endpoint's port and stops its Postgres.
    async fn close(&self, endpoint: &EndpointPlace) -> Result<(), SubstrateError>;

    /// Removes a branch's files and whatever runs on them.
    async fn remove(&self, branch: &BranchPlace) -> Result<(), SubstrateError>;

    /// Removes what belongs to none of these branches and is left of work that was cut off.
    async fn sweep(&self, kept: &[(ProjectId, BranchId)]) -> Result<(), SubstrateError>;

    /// Finds out about a branch, and leaves it as it is.
    async fn inquire(
        &self,
        branch: &BranchPlace,
        inquiry: &Inquiry,
    ) -> Result<String, SubstrateError>;

    /// What a branch has used since this was last asked, and how much room it takes. Starts nothing.
    async fn usage(&self, branch: &BranchPlace) -> Result<Used, SubstrateError>;

    /// Takes a new base of a branch if one is due, and removes what is older than its history.
    async fn maintain(&self, branch: &BranchPlace) -> Result<(), SubstrateError>;

    /// What it can do just now beside running Postgres.
    fn offers(&self) -> NodeOffers;

    /// The next thing that an endpoint did by itself.
    async fn event(&self) -> EndpointEvent;

    /// Stops everything.
    async fn stop(&self);
}
