//! How secrets are kept: an organization's data key seals them, the master key wraps data keys.
//!
//! [`Vault`] is what others ask; [`Rotation`] puts everything under a new master key while others go on.

mod keys;
mod ring;
mod rotation;
mod seal;
mod service;

pub use keys::{DataKey, InstallationKey, MasterKey, MasterKeyId};
pub use ring::{KeySource, MasterKeys};
pub use rotation::{KeyCensus, MASTER_KEY_CHECK, Rotation, RotationError, Step};
pub use seal::{Location, Sealed, VaultError};
pub use service::{KeyError, KeyStore, Vault};
