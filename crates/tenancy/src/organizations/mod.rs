//! What becomes of an organization: made, renamed, handed over, deleted after a time to think again.

mod error;
mod ports;
mod service;

pub use error::OrganizationError;
pub use ports::{ChangeOrganization, Changed, HandOver, HandOverLetters, OrganizationStore};
pub use service::{DELETION_GRACE, NewOrganization, OrganizationChange, Organizations};
