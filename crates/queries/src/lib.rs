//! Asking and running: from a question or a statement to rows.

mod ports;
mod result;

pub use ports::{
    CutOff, DatabaseMessage, Plan, Rows, RunError, RunLimits, Statement, StatementRunner,
};
pub use result::{RawRow, ResultColumn, Values};
