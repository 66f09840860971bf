//! What a customer's database looks like: the catalog model, and reading, keeping and refreshing it.
//!
//! Start with [`Catalog`], then [`Schemas`] and its ports.

mod catalog;
mod constraint;
mod objects;
mod ports;
mod relation;
mod service;

pub use catalog::{Catalog, Schema};
pub use constraint::{Check, Deferral, Exclusion, ForeignKey, Index, Key, ReferenceAction};
pub use objects::{
    Attribute, DomainCheck, FunctionKind, Sequence, UserCast, UserFunction, UserOperator, UserType,
    UserTypeKind,
};
pub use ports::{CatalogReader, InsertSnapshotError, ReadOptions, Sampling, SnapshotStore};
pub use relation::{
    Column, Generation, Measures, PartitionKey, PartitionStrategy, Relation, RelationKind, Samples,
    TypeClass,
};
pub use service::{SchemaError, Schemas, Snapshot, SnapshotId};
