//! People and their sessions: signing in and out, tokens, passwords.

mod apps;
mod authenticate;
mod error;
mod passwords;
mod ports;
mod service;
mod sessions;
#[cfg(feature = "testing")]
pub mod testing;
mod throttle;

pub use apps::LiveToken;
pub(crate) use apps::NewGrant;
pub use authenticate::Person;
pub use error::AccountError;
pub use ports::{
    Account, AccountStore, AttemptStore, LiveSession, Membership, NewPassword, Refused, Reuse,
};
pub use service::{AccountParts, Accounts, Tokens};
pub use throttle::{Subject, WINDOW};
