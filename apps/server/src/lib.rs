//! Plinth's server: HTTP in front, wiring behind, commands around it.
//!
//! Start with [`run`], then `commands/serve.rs` (what starts in which order), `boot/wiring.rs` (which adapter stands
//! behind which port) and `http/mod.rs` (the routes). There are no rules of the domain here.

mod boot;
mod commands;
pub mod http;
mod settings;
mod telemetry;

pub use boot::{
    AuthorityKeeper, NodeParts, Services, WiringParts, endpoint_port, run_node, unlock,
};
pub use commands::run;
