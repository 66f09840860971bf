//! Outside identity providers: an organization says whose tokens it takes, and what the groups in them mean.

mod error;
mod jwk;
mod keys;
mod ports;
mod provider;
mod service;
#[cfg(test)]
mod tests;
mod token;

pub use error::IdentityError;
pub use ports::{IdentityStore, KnownIdentity, PutProviderError};
pub use provider::{IdentityProvider, InvalidProvider, NewProvider};
pub use service::Identities;
