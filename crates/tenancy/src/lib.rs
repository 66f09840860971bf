//! Who belongs to which organization, what they may do there, and how a caller shows who they are.
//!
//! Read in this order: [`Organization`], [`Role`], [`ApiKey`] and [`KeySecret`], then [`Tenancy`] and the port
//! [`TenancyStore`].
//!
//! **Invariant:** a key's secret leaves this crate once, when it is made; what is stored is its SHA-256.

mod error;
mod key;
mod key_set;
mod mail;
mod organization;
mod ports;
mod role;
mod service;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::TenancyError;
pub use key::{ApiKey, InvalidKey, KeyHash, KeyKind, KeyScope, KeySecret, NewKey};
pub use key_set::{KeySetDocument, KeySetError, KeySetSource};
pub use mail::{Mail, MailError, Mailer, Subject};
pub use organization::{Email, InvalidName, Organization, OrganizationName, User};
pub use ports::{FoundKey, FoundingError, NewOwner, TenancyStore};
pub use role::{Role, UnknownRole};
pub use service::{Founded, SetupToken, Tenancy};
