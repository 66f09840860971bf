//! What a customer's database looks like: the catalog model, and reading, keeping and refreshing it.
//!
//! Start with [`Catalog`], then [`Schemas`] and its ports.

mod catalog;
mod ports;
mod service;

pub use catalog::{
    Catalog, Column, ForeignKey, FunctionKind, Index, Key, Relation, RelationKind, Samples, Schema,
    TypeClass, UserCast, UserFunction, UserOperator, UserType, UserTypeKind,
};
pub use ports::{CatalogReader, InsertSnapshotError, Sampling, SnapshotStore};
pub use service::{SchemaError, Schemas, Snapshot, SnapshotId};
