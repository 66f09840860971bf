//! The databases that an organization connects: what is known of them, how their credentials are kept, and how to
//! reach them.

mod allowed;

pub use allowed::{AllowedTables, InvalidTableName, TableName};
