use crate::allowed::allowed;
use crate::preload;
use crate::{
    Branch, BranchId, BranchPlace, BranchState, Database, Endpoint, EndpointId, EndpointKind,
    EndpointPlace, Project, Role, Rule, Snapshot, SqlName,
};

/// What an endpoint gets that says 0.
const USUAL_SUSPEND_SECONDS: u32 = 300;

/// A project with everything in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// The project.
    pub project: Project,
    /// The name under which its node is reached.
    pub host: String,
    /// Whether its node can hold servers to their endpoints' compute units.
    pub holds_limits: bool,
    /// Its branches, oldest first.
    pub branches: Vec<Branch>,
    /// Snapshots of them, oldest first.
    pub snapshots: Vec<Snapshot>,
    /// Their endpoints, oldest first.
    pub endpoints: Vec<Endpoint>,
    /// Their roles, by name.
    pub roles: Vec<Role>,
    /// Their databases, by number.
    pub databases: Vec<Database>,
}

impl Tree {
    /// A branch by its id.
    pub fn branch(&self, id: &BranchId) -> Option<&Branch> {
        self.branches.iter().find(|it| it.id == *id)
    }

    /// The branch to use when nobody says which.
    pub fn default_branch(&self) -> Option<&Branch> {
        self.branches.iter().find(|it| it.is_default)
    }

    /// An endpoint by its id.
    pub fn endpoint(&self, id: &EndpointId) -> Option<&Endpoint> {
        self.endpoints.iter().find(|it| it.id == *id)
    }

    /// A snapshot by its id.
    pub fn snapshot(&self, id: &BranchId) -> Option<&Snapshot> {
        self.snapshots.iter().find(|it| it.files.id == *id)
    }

    /// A name that no branch has: the wanted one, with a number where that is taken.
    pub fn free_name(&self, wanted: &str) -> String {
        let is_free = |name: &str| self.branches.iter().all(|it| it.name != name);
        if is_free(wanted) {
            return wanted.to_owned();
        }
        let mut names = (2_u32..).map(|number| format!("{wanted}_{number}"));
        names.find(|it| is_free(it)).unwrap_or_else(|| wanted.to_owned())
    }

    /// A branch's endpoints.
    pub fn endpoints_of<'a>(&'a self, branch: &'a BranchId) -> impl Iterator<Item = &'a Endpoint> {
        self.endpoints.iter().filter(move |it| it.branch == *branch)
    }

    /// The endpoint through which a branch is written to.
    pub fn writer_of(&self, branch: &BranchId) -> Option<&Endpoint> {
        self.endpoints.iter().find(|it| it.branch == *branch && it.kind == EndpointKind::ReadWrite)
    }

    /// A branch's roles.
    pub fn roles_of<'a>(&'a self, branch: &'a BranchId) -> impl Iterator<Item = &'a Role> {
        self.roles.iter().filter(move |it| it.branch == *branch)
    }

    /// A branch's role by its name.
    pub fn role(&self, branch: &BranchId, name: &SqlName) -> Option<&Role> {
        self.roles.iter().find(|it| it.branch == *branch && it.name == *name)
    }

    /// A branch's databases.
    pub fn databases_of<'a>(&'a self, branch: &'a BranchId) -> impl Iterator<Item = &'a Database> {
        self.databases.iter().filter(move |it| it.branch == *branch)
    }

    /// A branch's database by its name.
    pub fn database(&self, branch: &BranchId, name: &SqlName) -> Option<&Database> {
        self.databases.iter().find(|it| it.branch == *branch && it.name == *name)
    }

    /// Whether another branch was made from it.
    pub fn has_children(&self, branch: &BranchId) -> bool {
        self.branches.iter().any(|it| it.parent.as_ref() == Some(branch))
    }

    /// Whether a branch may be deleted now.
    ///
    /// # Errors
    ///
    /// The rule that forbids it.
    pub fn may_delete(&self, branch: &Branch) -> Result<(), Rule> {
        if branch.is_default {
            return Err(Rule::DeleteDefault);
        }
        if branch.protected {
            return Err(Rule::DeleteProtected);
        }
        if self.has_children(&branch.id) {
            return Err(Rule::DeleteParent);
        }
        Ok(())
    }

    /// Whether a branch can be used now.
    ///
    /// # Errors
    ///
    /// [`Rule::NotReady`] while its files are being made.
    pub fn must_be_ready(branch: &Branch) -> Result<(), Rule> {
        (branch.state == BranchState::Ready).then_some(()).ok_or(Rule::NotReady)
    }

    /// Where a branch's files are.
    pub fn place(&self, branch: &BranchId) -> BranchPlace {
        let settings = self.writer_of(branch).map(|it| it.settings["pg_settings"].clone());
        BranchPlace {
            project: self.project.id.clone(),
            number: self.project.number,
            branch: branch.clone(),
            settings: settings.unwrap_or_default(),
            libraries: preload::chosen(&self.project.settings).iter().map(|it| it.name).collect(),
            history_retention_seconds: self.project.history_retention_seconds,
            computes: self.writer_of(branch).map(|it| it.computes),
        }
    }

    /// An endpoint as its node has it.
    pub fn endpoint_place(&self, endpoint: &Endpoint) -> EndpointPlace {
        let seconds = match endpoint.suspend_timeout_seconds {
            0 => Some(USUAL_SUSPEND_SECONDS),
            never if never < 0 => None,
            other => Some(u32::try_from(other).unwrap_or(u32::MAX)),
        };
        let is_protected = self.branch(&endpoint.branch).is_some_and(|it| it.protected);
        EndpointPlace {
            org: self.project.org,
            id: endpoint.id.clone(),
            branch: self.place(&endpoint.branch),
            kind: endpoint.kind,
            settings: endpoint.settings["pg_settings"].clone(),
            computes: endpoint.computes,
            port: endpoint.port,
            pooled: endpoint.pooled,
            suspend_after_seconds: seconds,
            disabled: endpoint.disabled,
            allowed: allowed(&self.project.settings, is_protected),
        }
    }

    /// Under which name and port an endpoint is reached.
    pub fn address(&self, endpoint: &Endpoint) -> String {
        self.with_port(endpoint.port)
    }

    /// Under which name and port its pooler is reached, if it has one.
    pub fn pooled_address(&self, endpoint: &Endpoint) -> Option<String> {
        endpoint.pooled_port().map(|port| self.with_port(port))
    }

    fn with_port(&self, port: u16) -> String {
        if self.host.contains(':') {
            format!("[{}]:{port}", self.host)
        } else {
            format!("{}:{port}", self.host)
        }
    }
}
