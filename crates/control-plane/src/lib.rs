//! Projects, branches, endpoints, roles and databases on plain Postgres: what the management API under `/api/v2` is
//! about.
//!
//! Start with [`Tree`] (a project with everything in it, and the rules), then [`ControlPlane`] (what callers may do) and
//! [`Runner`] (what a node does about it). A change is written together with the operations that follow from it; a node
//! takes them, in their order, under a lease, and every step can be done again after a crash.
//!
//! **Invariant:** a project has at most one chain of operations that is not finished, and the rows say of a thing that
//! it is ready only after the step that made it.

mod allowed;
mod backup;
mod chain;
mod error;
mod id;
mod inquiry;
mod model;
mod outcome;
mod permission;
mod ports;
mod preload;
pub mod remote;
mod runner;
mod secret;
mod service;
#[cfg(feature = "testing")]
pub mod testing;
mod tree;
mod upkeep;
mod usage;

/// For how long what was deleted can be recovered.
pub const RECOVERABLE: jiff::SignedDuration = jiff::SignedDuration::from_hours(24 * 7);

pub use allowed::AddressRange;
pub use backup::{BackupItem, Frequency};
pub use chain::{Chain, Operation, OperationAction, OperationId, OperationStatus, Step};
pub use error::{ControlPlaneError, Rule};
pub use id::{BranchId, EndpointId, InvalidTextId, ProjectId};
pub use inquiry::{Answer, Inquiry, InquiryStore, TakenInquiry};
pub use model::{
    Branch, BranchState, Computes, Database, Endpoint, EndpointKind, EndpointState, InvalidName,
    KeySetRecord, Lsn, NodeInfo, NodeOffers, Person, Point, Project, Role, Snapshot, SqlName,
    StorageMethod,
};
pub use permission::{PermissionStore, ProjectPermission};
pub use ports::{
    BranchPlace, Census, Change, ChangeError, ControlPlaneStore, EndpointEvent, EndpointPlace,
    Made, NodeStarter, ProjectFilter, Substrate, SubstrateError, TakenChain, Transfer,
    TransferRequest, Wanted, WantedDatabase, WantedRole,
};
pub use preload::{KnownLibrary, LIBRARIES, OfferedLibrary};
pub use runner::{Runner, RunnerParts};
pub use secret::role_password;
pub use service::{
    BranchCreated, BranchPatch, ControlPlane, ControlPlaneParts, EndpointPatch, NewBranch,
    NewEndpoint, NewKeySet, NewProject, NewSnapshot, Outcome, OwnDatabase, ProjectCreated,
    ProjectPatch, Restore, RestoreSnapshot, SchemaOf, SnapshotPatch, no_pooler,
};
pub use tree::Tree;
pub use usage::{BranchFrame, Frame, Granularity, UsageStore, Used};
