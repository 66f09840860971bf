//! Which addresses may be reached from here: resolve a name, judge every address behind it, and hand out only judged
//! addresses to dial.
//!
//! Start with [`Gate`]; [`WebAddress`] is for what goes out over HTTP. How a host is read is in `host.rs`, the tables of
//! special addresses are in `registry.rs`.
//!
//! **Invariant:** whoever dials, dials an address that [`Gate::admit`] returned, never the name: a second look-up could
//! answer differently.

mod gate;
mod host;
mod network;
mod reach;
mod registry;
mod web;

pub use gate::{Gate, Own, Refusal, Resolver};
pub use network::{InvalidNetwork, Network};
pub use reach::{Reach, reach};
pub use web::{InvalidWebAddress, Scheme, WebAddress};
