//! The tokens that we sign, the keys that we sign them with, and how those take turns.

mod key;
mod schedule;
mod service;
mod token;

pub use key::{PublishedKey, SealedKey, SigningError, SigningKey};
pub use schedule::{Plan, Rotation, ScheduledKey};
pub use service::{DecideKeys, SentToken, SigningKeyStore, SigningKeys};
pub use token::{AccessToken, Claims, LIFETIME, TOKEN_BYTES_AT_MOST};
