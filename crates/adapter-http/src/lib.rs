//! What the server itself fetches over HTTP, for whomever: one client, behind the egress gate.
//!
//! Start with [`HttpClient`]. [`HttpKeySets`] fetches identity providers' documents with it, [`HttpCalls`]
//! makes the calls of workflows; the crates for language
//! models and for other outside APIs stand on it too.
//!
//! **Invariant:** nobody else in the workspace makes an HTTP client (`cargo xtask check` looks for it), and this one dials
//! only addresses that the gate admitted for the very request.

mod client;
mod key_set;
mod outward;
mod pin;
mod tls;

pub use client::{
    HttpAnswer, HttpClient, HttpError, HttpRequest, HttpSettings, HttpStream, InvalidHttpSettings,
};
pub use key_set::HttpKeySets;
pub use outward::HttpCalls;
pub use reqwest::{Method, header};
pub use tls::{InvalidAuthorities, authorities, tls_config};
