//! Vocabulary that every crate shares: typed ids, who acts and what they may do, pages and cursors, time, and how
//! errors are classified.
//!
//! Start with [`Principal`] and [`Permit`], then [`Classify`].
//!
//! **Invariant:** no I/O, no HTTP, no SQL in this crate.

// `typed_id!` names this crate by its public name, also from inside.
extern crate self as plinth_core;

mod attribute;
mod clock;
mod error;
mod fast_map;
mod id;
mod page;
mod permit;
mod principal;
mod recent;
mod scope;
mod sweep;

pub use attribute::{
    Attribute, AttributeKind, AttributeName, AttributeType, BUILT_IN_ATTRIBUTES, InvalidAttribute,
    MAX_ATTRIBUTES,
};
#[cfg(feature = "testing")]
pub use clock::ManualClock;
pub use clock::{Clock, SystemClock};
pub use error::{Classify, ErrorKind, StoreError, chain};
pub use fast_map::FastMap;
pub use id::{AppId, InvalidId, KeyId, OrgId, ProviderId, SessionId, UserId};
pub use page::{Cursor, CursorKey, InvalidCursor, InvalidLimit, Limit, Page};
pub use permit::{
    AdminAll, AllProjects, ConnectionsRead, ConnectionsWrite, DashboardsRead, DashboardsWrite,
    Member, OwnKeys, Ownership, Permission, Permit, PermitError, ProjectsRead, ProjectsWrite,
    QueriesRead, QueriesWrite, SignedIn, TeamRead, TeamWrite, WorkflowsRead, WorkflowsWrite,
};
pub use principal::{Credential, Origin, Principal};
pub use recent::Recent;
pub use scope::{Scope, ScopeSet, UnknownScope};
pub use sweep::sweep_each;

#[doc(hidden)]
pub mod __private {
    pub use serde;
    pub use uuid;
}
