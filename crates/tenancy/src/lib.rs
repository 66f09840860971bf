//! Who belongs to which organization, what they may do there, and how a caller shows who they are.
//!
//! Read in this order: [`Organization`], [`Role`], [`ApiKey`] and [`KeySecret`], then [`Tenancy`] and the port
//! [`TenancyStore`].
//!
//! What a change leaves behind: [`audit`] tells of it, and [`outbox`] holds what it makes necessary elsewhere.
//!
//! **Invariant:** a key's secret leaves this crate once, when it is made; what is stored is its SHA-256. Every change is
//! written together with its [`AuditEntry`].

pub mod audit;
mod error;
pub mod idempotency;
mod invitation;
mod key;
mod key_set;
pub mod limits;
mod link;
mod mail;
mod organization;
pub mod outbox;
mod ports;
mod role;
mod service;
#[cfg(feature = "testing")]
pub mod testing;

pub use audit::{AuditEntry, TrailKey};
pub use error::TenancyError;
pub use invitation::InvitationId;
pub use key::{ApiKey, InvalidKey, KeyHash, KeyKind, KeyScope, KeySecret, NewKey};
pub use key_set::{KeySetDocument, KeySetError, KeySetSource};
pub use link::{LinkKey, LinkPurpose};
pub use mail::{Mail, MailError, Mailer, Subject};
pub use organization::{Email, InvalidName, Organization, OrganizationName, User};
pub use ports::{FoundKey, FoundingError, NewOwner, TenancyStore};
pub use role::{Role, UnknownRole};
pub use service::{Founded, SetupToken, Tenancy};
