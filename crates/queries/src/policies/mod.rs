//! Who sees which rows and values of a connected database.
//!
//! A [`Policy`] says for some roles what they see of one table: rows that satisfy a condition over the reader's attributes,
//! and columns under masks. [`Policies`] keeps them and says what holds for somebody; [`crate::Queries`] applies it where
//! statements are judged, which is the only way to a customer's database. So what asks, runs, exports or works by schedule in
//! somebody's name is bound alike.

mod error;
mod key;
mod limits;
mod policy;
mod ports;
mod restrict;
mod service;
mod tell;

pub use error::PolicyError;
pub use key::MaskKey;
pub use limits::Narrowing;
pub(crate) use limits::{Limits, Shape};
pub use policy::{
    Audience, ColumnMask, Policy, PolicyChange, PolicyDraft, PolicyId, PolicyName, mask_from_json,
    mask_json,
};
pub use ports::{PolicyStore, Viewer, WritePolicyError};
pub(crate) use restrict::{redacted, restrictions, restrictions_of};
pub use service::{Policies, PolicyParts};
pub use tell::{Effective, EffectiveTable};
