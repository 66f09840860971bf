//! Against a real Postgres, and against servers that do not behave.

mod support;

mod running;
