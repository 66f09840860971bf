//! Against a real Postgres, and against servers that do not behave.

mod introspection;
mod support;

mod binding;
mod bounds;
mod certificates;
mod ddl;
mod details;
mod fingerprint;
mod hostile;
mod one_table;
mod pooling;
mod reaching;
mod rendering;
mod running;
mod tunnel;
mod writing;
