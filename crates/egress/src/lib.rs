//! Which addresses may be reached from here: resolve a name, judge every address behind it, and hand out only judged
//! addresses to dial.
//!
//! Start with [`Gate`].
//!
//! **Invariant:** whoever dials, dials an address that [`Gate::admit`] returned, never the name: a second look-up could
//! answer differently.

mod gate;
mod network;
mod reach;

pub use gate::{Gate, Own, Refusal, Resolver};
pub use network::{InvalidNetwork, Network};
pub use reach::{Reach, reach};
