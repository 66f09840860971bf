//! What a customer's database looks like: the catalog model, and reading, keeping and refreshing it.
//!
//! Start with [`Catalog`].

mod catalog;

pub use catalog::{
    Catalog, Column, ForeignKey, FunctionKind, Index, Key, Relation, RelationKind, Samples, Schema,
    TypeClass, UserCast, UserFunction, UserOperator, UserType, UserTypeKind,
};
