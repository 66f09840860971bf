//! Who belongs to which organization, what they may do there, and how a caller shows who they are.
//!
//! Read in this order: [`Organization`], [`Role`], [`ApiKey`] and [`KeySecret`], then [`Tenancy`] and the port
//! [`TenancyStore`].
//!
//! How people sign in: [`accounts`], with [`password`], [`session`] and [`signing`] below it.
//!
//! What a change leaves behind: [`audit`] tells of it, and [`outbox`] holds what it makes necessary elsewhere.
//!
//! **Invariant:** a key's secret leaves this crate once, when it is made; what is stored is its SHA-256. A password is
//! kept as its Argon2id hash, and the tokens of sessions and of links in mails not at all. Every change is
//! written together with its [`AuditEntry`].

pub mod accounts;
pub mod audit;
mod error;
pub mod idempotency;
pub mod identity;
mod key;
mod key_set;
pub mod limits;
mod link;
mod mail;
pub mod oauth;
mod organization;
pub mod organizations;
pub mod outbox;
pub mod password;
mod ports;
mod role;
mod service;
pub mod session;
pub mod signing;
pub mod team;
#[cfg(feature = "testing")]
pub mod testing;

pub use accounts::{AccountError, Accounts};
pub use audit::{AuditEntry, TrailKey};
pub use error::TenancyError;
pub use key::{
    ApiKey, InvalidKey, KeyChange, KeyHash, KeyKind, KeyLimits, KeyScope, KeySecret, NewKey,
};
pub use key_set::{KeySetDocument, KeySetError, KeySetSource};
pub use link::{LinkKey, LinkPurpose};
#[cfg(feature = "testing")]
pub use mail::RecordingMailer;
pub use mail::{Attachment, Mail, MailError, Mailer, Subject};
pub use organization::{
    Email, InvalidName, Organization, OrganizationName, OrganizationSettings, TimeZoneName, User,
};
pub use ports::{DecideKey, FoundKey, FoundingError, NewOwner, TenancyStore};
pub use role::{
    CustomRole, Grantor, InvalidRole, MemberRole, NewRole, Role, RoleChange, RoleId, RoleKey,
    RoleName, UnknownRole, scope_set,
};
pub use service::{Founded, SetupToken, Tenancy};
pub use team::{InvitationId, Member, MemberId};
