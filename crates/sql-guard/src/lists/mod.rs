//! What is known to be harmless, by group, with the reasons. All of it is an allow-list: what stands nowhere here is
//! refused, also what a later version of Postgres adds.

pub(crate) mod attributes;
pub(crate) mod extensions;
pub(crate) mod functions;
pub(crate) mod operators;
pub(crate) mod types;
