//! OAuth 2.0: third-party apps that people let act for them.
//!
//! **Invariant:** what an app may do is what the person granted, at most what the app was registered for, and never more
//! than the person may at that moment; an app never owns an organization.

mod app;
mod code;
mod error;
mod ports;
mod service;

pub use app::{App, ClientSecret, ClientSecretHash, InvalidApp, NewApp, RedirectUri};
pub use code::{Challenge, Code, CodeKey};
pub use error::{AppError, ConsentError, GrantError};
pub use ports::{AppStore, PutAppError};
pub use service::{Client, Consent, ConsentRequest, Grant, OAuth};
