//! Asking and running: from a question or a statement to rows.

mod ports;
mod render;
mod result;

pub use ports::{
    CutOff, DatabaseMessage, Plan, Rows, RunError, RunLimits, Statement, StatementRunner,
};
pub use render::{
    CsvRows, ElementKind, JsonRows, Shape, TableFormat, UserTypes, ValueKind, format_table,
    type_name,
};
pub use result::{RawRow, ResultColumn, Values};
