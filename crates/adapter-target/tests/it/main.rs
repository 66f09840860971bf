//! Against a real Postgres, and against servers that do not behave.

mod introspection;
mod support;

mod hostile;
mod pooling;
mod reaching;
mod rendering;
mod running;
