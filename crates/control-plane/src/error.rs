use plinth_connections::KeyError;
use plinth_core::{Classify, ErrorKind, PermitError, StoreError};
use serde_json::{Value, json};

use crate::{InvalidName, InvalidTextId};

/// Why a call on projects failed.
#[derive(Debug, thiserror::Error)]
pub enum ControlPlaneError {
    /// There is no such thing in the organization; with its kind, as in `project not found`.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// Something of that name is there.
    #[error("{kind} already exists; {kind}_name:\"{name}\"")]
    Exists {
        /// Of which kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A rule forbids it, whatever is sent.
    #[error("{}", .0.text())]
    Rule(Rule),
    /// A value that breaks a rule.
    #[error("{field}: {reason}")]
    Invalid {
        /// Which field of the request.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Another chain of operations is under way.
    #[error(
        "project already has running conflicting operations, scheduling of new ones is prohibited"
    )]
    Busy,
    /// Passwords are not kept.
    #[error("the project does not store passwords: reset the role's password to get a new one")]
    NoPassword,
    /// No node runs that could do it.
    #[error("no node is running that could do this: start one with `plinth node`")]
    NoNode,
    /// Every port is taken.
    #[error("the node has no free port left for another endpoint")]
    NoPort,
    /// A node could not do it, and undid what it had begun.
    #[error("the operation failed: {0}")]
    Failed(String),
    /// The node lacks a program; with what to install.
    #[error("{0}")]
    Missing(String),
    /// No node could be started, or it does not answer.
    #[error("{0}")]
    Node(String),
    /// The caller may not.
    #[error(transparent)]
    Permit(#[from] PermitError),
    /// A password could not be sealed or opened.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Our own storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system has no randomness.
    #[error("the system has no randomness")]
    Random(#[from] getrandom::Error),
}

/// What is never allowed in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Roots stay as long as their project.
    DeleteRoot,
    /// So does the default branch.
    DeleteDefault,
    /// A branch with children stays.
    DeleteParent,
    /// A protected branch stays.
    DeleteProtected,
    /// A protected branch is not set back.
    ResetProtected,
    /// A root has nothing to be set back to.
    ResetRoot,
    /// Its files are being made.
    NotReady,
    /// One endpoint that writes.
    SecondReadWrite,
    /// The organization's own database is nobody else's.
    OwnDatabase,
    /// What cannot be deleted cannot expire.
    NeverExpires,
    /// It was not made from a snapshot, or has taken its place already.
    NotRestored,
    /// In whose place it was to come is gone.
    NothingToReplace,
    /// A role that owns a database stays.
    RoleOwnsDatabase,
    /// What was is kept under a name, because others hang on it.
    PreserveNeeded,
    /// Nothing leads before the oldest base or into the future.
    OutOfHistory,
    /// One machine cannot be that.
    NotHere(&'static str),
}

impl Rule {
    fn text(self) -> String {
        match self {
            Self::DeleteRoot => "cannot delete the root branch".to_owned(),
            Self::DeleteDefault => "cannot delete the default branch".to_owned(),
            Self::DeleteParent => "cannot delete branch that has children".to_owned(),
            Self::DeleteProtected => "cannot delete protected branch".to_owned(),
            Self::ResetProtected => "cannot reset protected branch".to_owned(),
            Self::ResetRoot => "cannot reset a root branch: it has no parent".to_owned(),
            Self::NotReady => "branch not ready yet".to_owned(),
            Self::SecondReadWrite => "read_write endpoint already exists".to_owned(),
            Self::OwnDatabase => {
                "the organization's own database cannot be given away".to_owned()
            }
            Self::NeverExpires => {
                "the default branch, protected branches and those with children cannot expire".to_owned()
            }
            Self::NotRestored => {
                "the branch was not restored from a snapshot, or its restore is finalized already".to_owned()
            }
            Self::NothingToReplace => {
                "the branch that was to be replaced is not there: name one by target_branch_id".to_owned()
            }
            Self::RoleOwnsDatabase => {
                "cannot delete a role that owns a database: give the database to another role first".to_owned()
            }
            Self::PreserveNeeded => {
                "preserve_under_name is required: the branch has children, or is restored from itself".to_owned()
            }
            Self::OutOfHistory => {
                "the requested point lies outside the branch's history".to_owned()
            }
            Self::NotHere(what) => format!("{what} is not available on this installation"),
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::DeleteRoot => "ROOT_BRANCH",
            Self::DeleteDefault => "DEFAULT_BRANCH",
            Self::DeleteParent => "BRANCH_HAS_CHILDREN",
            Self::DeleteProtected | Self::ResetProtected => "BRANCH_PROTECTED",
            Self::ResetRoot => "ROOT_BRANCH",
            Self::NotReady => "BRANCH_NOT_READY",
            Self::SecondReadWrite => "READ_WRITE_ENDPOINT_ALREADY_EXISTS",
            Self::OwnDatabase => "OWN_DATABASE",
            Self::NeverExpires => "BRANCH_CANNOT_EXPIRE",
            Self::NotRestored => "BRANCH_NOT_RESTORED",
            Self::NothingToReplace => "TARGET_BRANCH_MISSING",
            Self::RoleOwnsDatabase => "ROLE_OWNS_DATABASE",
            Self::PreserveNeeded => "PRESERVE_UNDER_NAME_REQUIRED",
            Self::OutOfHistory => "OUT_OF_HISTORY",
            Self::NotHere(_) => "NOT_AVAILABLE",
        }
    }
}

impl ControlPlaneError {
    pub(crate) fn invalid(field: &'static str, reason: impl ToString) -> Self {
        Self::Invalid { field, reason: reason.to_string() }
    }
}

impl From<Rule> for ControlPlaneError {
    fn from(rule: Rule) -> Self {
        Self::Rule(rule)
    }
}

impl From<InvalidName> for ControlPlaneError {
    fn from(err: InvalidName) -> Self {
        Self::invalid("name", err.0)
    }
}

impl From<InvalidTextId> for ControlPlaneError {
    fn from(_: InvalidTextId) -> Self {
        Self::NotFound("resource")
    }
}

impl Classify for ControlPlaneError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Exists { .. } | Self::Rule(Rule::SecondReadWrite) => ErrorKind::Conflict,
            Self::Rule(_) | Self::Invalid { .. } | Self::NoPort | Self::Failed(_) => {
                ErrorKind::Invalid
            }
            Self::Busy => ErrorKind::Busy,
            Self::NoPassword | Self::Missing(_) => ErrorKind::PreconditionFailed,
            Self::NoNode | Self::Node(_) => ErrorKind::Unavailable,
            Self::Permit(err) => err.kind(),
            Self::Key(err) => err.kind(),
            Self::Store(err) => err.kind(),
            Self::Random(_) => ErrorKind::Internal,
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::Exists { kind, .. } => {
                Some(json!({ "code": format!("{}_ALREADY_EXISTS", kind.to_uppercase()) }))
            }
            Self::Rule(rule) => Some(json!({ "code": rule.code() })),
            Self::Failed(_) => Some(json!({ "code": "OPERATION_FAILED" })),
            Self::Missing(_) => Some(json!({ "code": "PROGRAM_MISSING" })),
            Self::Busy => Some(json!({ "code": "RUNNING_OPERATIONS", "retry_after_seconds": 1 })),
            Self::Invalid { field, reason } => Some(json!({ *field: reason })),
            Self::NoPort => Some(json!({ "code": "ENDPOINTS_LIMIT_EXCEEDED" })),
            Self::Permit(err) => err.details(),
            _ => None,
        }
    }
}
