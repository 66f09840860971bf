//! Servers that speak Neon's management API, behind the port [`RemotePlane`]: Neon's own, or another Plinth.
//!
//! Start with [`NeonPlane`]. When a call may be sent again is decided in `retry.rs`.
//!
//! **Invariant:** what changes something is sent again only where the API says that nothing was done (423, 429), or where
//! nothing was sent; whatever else goes wrong is [`RemoteFault::Unknown`], or the answer as it is.
//!
//! [`RemotePlane`]: plinth_control_plane::remote::RemotePlane
//! [`RemoteFault::Unknown`]: plinth_control_plane::remote::RemoteFault::Unknown

mod plane;
mod retry;

pub use plane::{InvalidNeonSettings, NeonPlane, NeonSettings};
