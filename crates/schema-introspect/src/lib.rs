//! What a customer's database looks like: the catalog model, and reading, keeping and refreshing it.
//!
//! Start with [`Catalog`], then [`Schemas`] and its ports.

mod annotating;
mod annotation;
mod catalog;
mod constraint;
mod ddl;
mod diagram;
mod digest;
mod discovery;
mod drift;
mod history;
mod objects;
mod patch;
mod ports;
mod references;
mod relation;
mod search;
mod secrecy;
mod service;
#[cfg(feature = "testing")]
pub mod testing;
mod visible;
mod words;

pub use annotating::{ListedAnnotation, SchemaAnnotations};
pub use annotation::{
    Annotation, AnnotationTarget, AnnotationText, Annotations, InvalidAnnotation,
    MAX_DESCRIPTION_CHARS, MAX_SYNONYM_CHARS, MAX_SYNONYMS,
};
pub use catalog::{Catalog, Schema};
pub use constraint::{Check, Deferral, Exclusion, ForeignKey, Index, Key, ReferenceAction};
pub use ddl::{TableDdl, table_ddl};
pub use diagram::{
    Diagram, DiagramColumn, DiagramEdge, DiagramOptions, DiagramTable, MAX_DIAGRAM_TABLES, diagram,
    mermaid, svg,
};
pub use digest::{Digests, StructureDigest};
pub use discovery::{Discovered, DiscoveredTable, Discovery};
pub use drift::{Aspect, Change, ChangeKind, ObjectKind, changes_between};
pub use history::{SchemaDrift, SnapshotSummary};
pub use objects::{
    Attribute, DomainCheck, FunctionKind, Sequence, UserCast, UserFunction, UserOperator, UserType,
    UserTypeKind,
};
pub use patch::CatalogPatch;
pub use ports::{
    AnnotationStore, CatalogReader, InsertSnapshotError, KEPT_DAYS, KEPT_SNAPSHOTS,
    PutAnnotationError, ReadOptions, Sampling, SnapshotStore, TablePart, TableRead,
};
pub use references::{InferredKey, ReferenceCandidate, reference_candidates};
pub use relation::{
    Column, Generation, Measures, PartitionKey, PartitionStrategy, Relation, RelationKind, Samples,
    TypeClass,
};
pub use search::{ColumnHit, MAX_SEARCH_CHARS, SearchHit, search};
pub use secrecy::{are_secret_values, is_secret_name, is_secret_value};
pub use service::{Freshness, Parts, SchemaError, Schemas, Snapshot, SnapshotId};
pub use visible::{Reference, Visible, readable_columns, readable_names, readable_text};
