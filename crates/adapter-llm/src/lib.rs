//! Language models behind HTTP.
//!
//! Start with [`ModelClient`]: one client for the protocols of [`Provider`](plinth_models::Provider), thin and our own.
//! [`Endpoint`] says where a model is and which gate stands before it; `wire` has what each protocol sends and what its
//! answers mean, `stream` cuts an answer into its events. [`Dialer`] makes clients for what organizations configured.
//!
//! **Invariant:** a key is in a request's header and nowhere else: in no error, no log line, no debug output.

mod client;
mod dialer;
mod endpoint;
mod stream;
mod tally;
mod wire;

pub use client::{ClientSettings, InvalidClient, ModelClient};
pub use dialer::Dialer;
pub use endpoint::{Endpoint, InvalidEndpoint};
