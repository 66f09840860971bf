//! What a customer's database looks like: the catalog model, and reading, keeping and refreshing it.
//!
//! Start with [`Catalog`], then [`Schemas`] and its ports.

mod catalog;
mod constraint;
mod drift;
mod objects;
mod ports;
mod relation;
mod service;
mod visible;
mod words;

pub use catalog::{Catalog, Schema};
pub use constraint::{Check, Deferral, Exclusion, ForeignKey, Index, Key, ReferenceAction};
pub use drift::{Aspect, Change, ChangeKind, ObjectKind, changes_between};
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
pub use visible::{Reference, Visible, readable_columns, readable_names, readable_text};
