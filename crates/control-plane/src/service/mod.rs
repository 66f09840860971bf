mod branches;
mod consumption;
mod endpoints;
mod inherit;
mod key_sets;
pub(crate) mod own;
mod permissions;
mod projects;
mod roles;
mod schemas;
pub(crate) mod snapshots;
mod transfers;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use plinth_connections::{Location, Sealed, Vault};
use plinth_core::{Clock, Cursor, OrgId, Permit, ProjectsRead};
use plinth_tenancy::{AuditEntry, KeySetSource};
use secrecy::SecretString;
use uuid::Uuid;

pub use self::branches::{BranchCreated, BranchPatch, NewBranch, Restore};
pub use self::endpoints::{EndpointPatch, NewEndpoint};
pub use self::key_sets::NewKeySet;
pub use self::own::OwnDatabase;
pub use self::projects::{NewProject, ProjectCreated, ProjectPatch};
pub use self::schemas::SchemaOf;
pub use self::snapshots::{NewSnapshot, RestoreSnapshot, SnapshotPatch};
use crate::{
    BranchId, Change, ChangeError, ControlPlaneError, ControlPlaneStore, EndpointId, NodeInfo,
    NodeStarter, OfferedLibrary, Operation, OperationId, OperationStatus, ProjectId, Step, Tree,
};

/// How often a change is tried when others change the same project at the same moment.
const ATTEMPTS: usize = 8;

/// A node that has not said for so long that it lives does not.
const ALIVE: SignedDuration = SignedDuration::from_secs(15);

/// How long a node may take to start.
const START_LIMIT: Duration = Duration::from_secs(20);

/// How often it is looked whether operations that somebody waits for are done.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// What the service is made from.
pub struct ControlPlaneParts {
    /// Where projects are kept.
    pub store: Arc<dyn ControlPlaneStore>,
    /// Seals passwords.
    pub vault: Vault,
    /// Reads key sets, to see that they are some.
    pub key_sets: Arc<dyn KeySetSource>,
    /// Sees to it that a node runs; `None` where an operator does.
    pub nodes: Option<Arc<dyn NodeStarter>>,
    /// How long an answer waits for the operations that it tells of: most are done by then, so that a client which does not
    /// wait for them finds what it asked for.
    pub patience: Duration,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// What callers may do with projects.
#[derive(Clone)]
pub struct ControlPlane {
    store: Arc<dyn ControlPlaneStore>,
    vault: Vault,
    key_sets: Arc<dyn KeySetSource>,
    nodes: Option<Arc<dyn NodeStarter>>,
    patience: Duration,
    clock: Arc<dyn Clock>,
}

/// A project after a change, and what is being done about it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The project as it is now.
    pub tree: Tree,
    /// The operations that follow from the change, in their order.
    pub operations: Vec<Operation>,
}

impl ControlPlane {
    /// Puts the service together from its ports.
    pub fn new(parts: ControlPlaneParts) -> Self {
        let ControlPlaneParts { store, vault, key_sets, nodes, patience, clock } = parts;
        Self { store, vault, key_sets, nodes, patience, clock }
    }

    /// A project with everything in it.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::NotFound`] if the organization has none of that id.
    pub async fn get(
        &self,
        permit: &Permit<ProjectsRead>,
        project: &ProjectId,
    ) -> Result<Tree, ControlPlaneError> {
        self.reach(permit, project).await
    }

    /// A project's operations, newest first.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::NotFound`] if the organization has no project of that id.
    pub async fn operations(
        &self,
        permit: &Permit<ProjectsRead>,
        project: &ProjectId,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Vec<Operation>, ControlPlaneError> {
        permissions::within(permit, project)?;
        // Of a project that was deleted, too: whoever deleted it asks how far that is.
        let org = match self.store.load(permit.org(), project).await? {
            Some(_) => permit.org(),
            None => self.reach(permit, project).await?.project.org,
        };
        Ok(self.store.operations(org, project, after, limit).await?)
    }

    /// One operation.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::NotFound`] if the project has none of that id.
    pub async fn operation(
        &self,
        permit: &Permit<ProjectsRead>,
        project: &ProjectId,
        id: OperationId,
    ) -> Result<Operation, ControlPlaneError> {
        permissions::within(permit, project)?;
        let mut found = self.store.operation(permit.org(), project, id).await?;
        if found.is_none() {
            let org = self.reach(permit, project).await?.project.org;
            found = self.store.operation(org, project, id).await?;
        }
        found.ok_or(ControlPlaneError::NotFound("operation"))
    }

    /// The nodes that live.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn nodes(&self) -> Result<Vec<NodeInfo>, ControlPlaneError> {
        Ok(self.store.nodes(ALIVE).await?)
    }

    /// The libraries that a project's servers can load.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::NotFound`] if there is no such project; [`ControlPlaneError::NoNode`] if its node does not live.
    pub async fn libraries(
        &self,
        permit: &Permit<ProjectsRead>,
        project: &ProjectId,
    ) -> Result<Vec<OfferedLibrary>, ControlPlaneError> {
        let tree = self.reach(permit, project).await?;
        let mut all = self.node_of(&tree.project.node).await?.offers.libraries;
        all.retain(|it| it.known().is_some());
        Ok(all)
    }

    async fn tree(&self, org: OrgId, project: &ProjectId) -> Result<Tree, ControlPlaneError> {
        let found = self.store.load(org, project).await?;
        found
            .filter(|it| it.project.deleted_at.is_none())
            .ok_or(ControlPlaneError::NotFound("project"))
    }

    /// Changes a project: `make` says how, from what is there, and is asked again when somebody else was faster.
    async fn change<P, T>(
        &self,
        permit: &Permit<P>,
        project: &ProjectId,
        make: impl AsyncFn(&Tree, Timestamp) -> Result<(Change, T), ControlPlaneError>,
    ) -> Result<(Outcome, T), ControlPlaneError> {
        let mut attempt = 1;
        loop {
            let tree = self.reach(permit, project).await?;
            let (mut change, made) = make(&tree, self.clock.now()).await?;
            // It stands in the trail of whose project it is.
            if let Some(entry) = change.entry.as_mut().filter(|it| it.org != change.org) {
                entry.org = change.org;
                entry.idempotency = None;
            }
            match self.store.commit(&change).await {
                Ok(()) => {
                    let outcome = self.settled(change.org, project, change.chain).await?;
                    return Ok((outcome, made));
                }
                Err(ChangeError::Changed | ChangeError::PortTaken) if attempt < ATTEMPTS => {
                    attempt += 1;
                }
                Err(err) => return Err(refused(err, &change)),
            }
        }
    }

    /// Waits for operations, but not forever; gives the project as it is then.
    async fn settled(
        &self,
        org: OrgId,
        project: &ProjectId,
        mut operations: Vec<Operation>,
    ) -> Result<Outcome, ControlPlaneError> {
        let deadline = tokio::time::Instant::now() + self.patience;
        while operations.iter().any(|it| !it.status.is_final()) {
            for operation in operations.iter_mut().filter(|it| !it.status.is_final()) {
                if let Some(found) = self.store.operation(org, project, operation.id).await? {
                    *operation = found;
                }
            }
            if tokio::time::Instant::now() > deadline {
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let tree = self.store.load(org, project).await?;
        let tree = tree.ok_or(ControlPlaneError::NotFound("project"))?;
        // What a node refuses while somebody waits is an answer to them; nothing of it was left.
        let failed = operations.iter().find_map(|it| it.error.as_ref());
        if let Some(error) = failed {
            return Err(ControlPlaneError::Failed(error.clone()));
        }
        Ok(Outcome { tree, operations })
    }

    /// Operations for these steps.
    pub(crate) fn chain(tree: &Tree, now: Timestamp, steps: Vec<Step>) -> Vec<Operation> {
        let make = |step: Step| {
            let (branch, endpoint) = about(tree, &step);
            Operation {
                id: OperationId::new(now),
                org: tree.project.org,
                project: tree.project.id.clone(),
                branch,
                endpoint,
                action: step.action(),
                step,
                status: OperationStatus::Scheduling,
                error: None,
                failures: 0,
                created_at: now,
                updated_at: now,
                duration_ms: 0,
            }
        };
        steps.into_iter().map(make).collect()
    }

    /// A port that no endpoint of the node has, and that is none of those either. Where the node has a pooler, one after
    /// which the next is free as well.
    async fn free_port(
        &self,
        node: &NodeInfo,
        but: impl IntoIterator<Item = u16>,
    ) -> Result<FreePort, ControlPlaneError> {
        let mut taken = self.store.ports(&node.name).await?;
        taken.extend(but);
        let mut bytes = [0_u8; 2];
        getrandom::fill(&mut bytes)?;
        let count = u32::from(node.last_port - node.first_port) + 1;
        let start = u32::from(u16::from_le_bytes(bytes)) % count;
        // Not the lowest: a port that was given back a moment ago may still be in somebody's settings.
        let port = |at: u32| u16::try_from(u32::from(node.first_port) + (start + at) % count).ok();
        let is_free = |port: u16| port <= node.last_port && !taken.contains(&port);
        let mut free = (0..count).filter_map(port).filter(|it| is_free(*it));
        if !node.offers.pooler {
            let port = free.next().ok_or(ControlPlaneError::NoPort)?;
            return Ok(FreePort { port, pooled: false });
        }
        // Pairs stand on even places, so that as many as can be find room.
        let is_pair = |it: &u16| {
            (it - node.first_port).is_multiple_of(2) && it.checked_add(1).is_some_and(is_free)
        };
        let port = free.find(is_pair).ok_or(ControlPlaneError::NoPort)?;
        Ok(FreePort { port, pooled: true })
    }

    /// Gives an endpoint a pooler, if its node has one and the port after the endpoint's is free.
    async fn pool(
        &self,
        tree: &Tree,
        endpoint: &mut crate::Endpoint,
    ) -> Result<(), ControlPlaneError> {
        let node = self.node_of(&tree.project.node).await?;
        if !node.offers.pooler {
            return Err(no_pooler());
        }
        let taken = self.store.ports(&node.name).await?;
        let next = endpoint.port.checked_add(1);
        if next.is_none_or(|it| it > node.last_port || taken.contains(&it)) {
            let rule = "the port after the endpoint's is not free: make another endpoint instead";
            return Err(ControlPlaneError::invalid("pooler_enabled", rule));
        }
        endpoint.pooled = true;
        Ok(())
    }

    /// A node that lives; one is started if there is none and that is ours to do.
    async fn any_node(&self) -> Result<NodeInfo, ControlPlaneError> {
        if let Some(node) = self.nodes().await?.into_iter().next() {
            return Ok(node);
        }
        let Some(starter) = &self.nodes else { return Err(ControlPlaneError::NoNode) };
        starter.start().await.map_err(ControlPlaneError::Node)?;
        let deadline = tokio::time::Instant::now() + START_LIMIT;
        loop {
            if let Some(node) = self.nodes().await?.into_iter().next() {
                return Ok(node);
            }
            if tokio::time::Instant::now() > deadline {
                return Err(ControlPlaneError::NoNode);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn node_of(&self, name: &str) -> Result<NodeInfo, ControlPlaneError> {
        let nodes = self.nodes().await?;
        nodes.into_iter().find(|it| it.name == name).ok_or(ControlPlaneError::NoNode)
    }

    async fn seal(
        &self,
        org: OrgId,
        record: Uuid,
        password: &SecretString,
    ) -> Result<Sealed, ControlPlaneError> {
        Ok(self.vault.seal(at(org, record), password).await?)
    }

    async fn reveal(
        &self,
        org: OrgId,
        role: &crate::Role,
    ) -> Result<Option<SecretString>, ControlPlaneError> {
        let Some(sealed) = &role.password else { return Ok(None) };
        Ok(Some(self.vault.open(at(org, role.id), sealed).await?))
    }
}

/// Where an endpoint can be.
#[derive(Clone, Copy)]
pub(super) struct FreePort {
    port: u16,
    /// Whether the next one is its pooler's.
    pooled: bool,
}

/// What whoever asks for a pooler is told where there is none.
pub fn no_pooler() -> ControlPlaneError {
    let text = "the endpoint has no pooled port: PgBouncer was not on its node's machine when it was made. Install it there, for \
                example `apt-get install pgbouncer`, wait half a minute, and set `pooler_enabled` of the endpoint";
    ControlPlaneError::Missing(text.to_owned())
}

fn at(org: OrgId, record: Uuid) -> Location<'static> {
    Location { org, table: "cp_roles", column: "password", record }
}

/// What callers are told that a step is about.
fn about(tree: &Tree, step: &Step) -> (Option<BranchId>, Option<EndpointId>) {
    match step {
        Step::MakeRoot { branch }
        | Step::Copy { branch, .. }
        | Step::CopySchema { branch, .. }
        | Step::Replace { branch, .. }
        | Step::Configure { branch, .. }
        | Step::Own { branch, .. }
        | Step::Finalize { branch, .. }
        | Step::Remove { branch } => (Some(branch.clone()), None),
        Step::Snapshot { source, .. } => (Some(source.clone()), None),
        Step::Start { endpoint }
        | Step::Reopen { endpoint }
        | Step::Suspend { endpoint }
        | Step::Close { endpoint } => {
            (tree.endpoint(endpoint).map(|it| it.branch.clone()), Some(endpoint.clone()))
        }
    }
}

fn refused(err: ChangeError, change: &Change) -> ControlPlaneError {
    match err {
        ChangeError::Changed | ChangeError::Busy => ControlPlaneError::Busy,
        ChangeError::PortTaken => ControlPlaneError::NoPort,
        ChangeError::Exists(kind) => {
            let name = match kind {
                "branch" => change.branches.last().map(|it| it.name.clone()),
                "role" => change.roles.last().map(|it| it.name.to_string()),
                "database" => change.databases.last().map(|it| it.name.to_string()),
                _ => None,
            };
            if kind == "endpoint" {
                return crate::Rule::SecondReadWrite.into();
            }
            ControlPlaneError::Exists { kind, name: name.unwrap_or_default() }
        }
        ChangeError::Store(err) => err.into(),
    }
}

/// An entry of the trail about something of a project.
fn entry<P>(
    permit: &Permit<P>,
    now: Timestamp,
    action: &str,
    kind: &str,
    id: impl ToString,
    project: &ProjectId,
) -> AuditEntry {
    AuditEntry::of(permit.principal(), now, action)
        .on(kind, id)
        .with(serde_json::json!({ "project_id": project.as_str() }))
}

/// What people call a thing.
fn name(field: &'static str, text: &str) -> Result<String, ControlPlaneError> {
    let text = text.trim();
    if !(1..=256).contains(&text.chars().count()) || text.chars().any(char::is_control) {
        let rule = "must have 1 to 256 characters, none of them control characters";
        return Err(ControlPlaneError::invalid(field, rule));
    }
    Ok(text.to_owned())
}
