use std::sync::Arc;

use jiff::Timestamp;
use plinth_schema_introspect::{
    Annotations, Column, Generation, Measures, PartitionStrategy, ReferenceAction, Relation,
    RelationKind, Snapshot, Visible, readable_columns, readable_names, readable_text,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::annotations::NoteBody;
use super::listing::Listed;

/// What was read.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SchemaSummary {
    #[schema(example = "snap_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    snapshot_id: String,
    connection_id: String,
    database: String,
    server_version_num: u32,
    /// How many tables and views may be asked about.
    table_count: usize,
    /// How many columns they have together.
    column_count: usize,
    /// How long reading took, in milliseconds.
    duration_ms: u64,
    refreshed_at: Timestamp,
}

impl SchemaSummary {
    pub(super) fn new(visible: &Visible<'_>, snapshot: &Arc<Snapshot>) -> Self {
        Self {
            snapshot_id: snapshot.id.to_string(),
            connection_id: snapshot.connection.to_string(),
            database: snapshot.catalog.database.clone(),
            server_version_num: snapshot.catalog.server_version_num,
            table_count: visible.len(),
            column_count: visible.relations().map(|it| it.columns.len()).sum(),
            duration_ms: snapshot.duration_ms,
            refreshed_at: snapshot.taken_at,
        }
    }
}

/// A database's schema, as far as this connection allows.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Schema)]
pub(super) struct SchemaBody<'a> {
    #[serde(flatten)]
    pub(super) about: SchemaSummary,
    /// Sorted by schema and name; where words were looked for, by how well they fit.
    pub(super) tables: Vec<TableBody<'a>>,
}

/// A table or view.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Table)]
pub(super) struct TableBody<'a> {
    schema: &'a str,
    name: &'a str,
    /// `table`, `partitioned_table`, `view`, `materialized_view` or `foreign_table`.
    #[schema(value_type = String)]
    kind: RelationKind,
    comment: Option<&'a str>,
    /// What people wrote about it here.
    annotation: Option<NoteBody<'a>>,
    columns: Vec<ColumnBody<'a>>,
    /// The names of the primary key's columns.
    primary_key: Vec<&'a str>,
    /// Unique keys beside the primary one.
    unique_keys: Vec<Vec<&'a str>>,
    foreign_keys: Vec<ForeignKeyBody<'a>>,
    indexes: Vec<IndexBody<'a>>,
    /// `CHECK` and `EXCLUDE` constraints.
    constraints: Vec<ConstraintBody<'a>>,
    /// The planner's estimate; null if it was never analyzed.
    estimated_rows: Option<f64>,
    /// What it takes on disk, and when it was analyzed; null if that was not measured or it has no rows of its own.
    measures: Option<MeasuresBody>,
    /// The table it is a partition of.
    partition_of: Option<String>,
    /// Which rows it holds of that table.
    partition_bound: Option<&'a str>,
    /// How its rows are spread over partitions; null if it has none.
    partition_key: Option<PartitionKeyBody<'a>>,
    /// A view's or materialized view's query; null also if it reads what this connection hides.
    definition: Option<&'a str>,
    /// The tables and views that a view reads, as far as this connection shows them.
    reads: Vec<String>,
    /// Whether row-level security restricts the connection's role here.
    row_security: bool,
    /// Why it was found; only where words were looked for.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    hit: Option<MatchBody<'a>>,
}

impl<'a> TableBody<'a> {
    pub(super) fn new(
        listed: &Listed<'a>,
        visible: &Visible<'a>,
        annotations: &'a Annotations,
    ) -> Self {
        let it = listed.relation;
        // What names a column that the role may not read is left out as a whole.
        let keys = it.keys.iter().filter(|it| !it.primary);
        let checks = it.checks.iter().map(|it| (&it.name, &it.definition));
        let exclusions = it.exclusions.iter().map(|it| (&it.name, &it.definition));
        Self {
            schema: &it.schema,
            name: &it.name,
            kind: it.kind,
            comment: it.comment.as_deref(),
            annotation: annotations.table(&it.schema, &it.name).map(NoteBody::from),
            columns: readable_columns(it)
                .map(|column| ColumnBody::new(it, column, annotations))
                .collect(),
            primary_key: readable_names(it, it.primary_key()).unwrap_or_default(),
            unique_keys: keys.filter_map(|key| readable_names(it, &key.columns)).collect(),
            foreign_keys: it
                .foreign_keys
                .iter()
                .filter_map(|key| {
                    let reference = visible.reference(it, key)?;
                    Some(ForeignKeyBody {
                        columns: reference.columns,
                        references: reference.target.full_name(),
                        referenced_columns: reference.target_columns,
                        on_delete: key.on_delete,
                        on_update: key.on_update,
                    })
                })
                .collect(),
            indexes: it
                .indexes
                .iter()
                .filter_map(|index| {
                    let shown = index.definition.as_deref();
                    shown.is_none_or(|text| readable_text(it, text).is_some()).then_some(())?;
                    Some(IndexBody {
                        name: &index.name,
                        columns: readable_names(it, &index.columns)?,
                        unique: index.unique,
                        method: &index.method,
                        definition: shown,
                    })
                })
                .collect(),
            constraints: checks
                .chain(exclusions)
                .filter_map(|(name, text)| {
                    Some(ConstraintBody { name, definition: readable_text(it, text)? })
                })
                .collect(),
            estimated_rows: it.estimated_rows,
            measures: it.measures.as_ref().map(MeasuresBody::from),
            partition_of: it
                .partition_of
                .and_then(|oid| visible.relation(oid))
                .map(Relation::full_name),
            partition_bound: it.partition_bound.as_deref(),
            partition_key: it.partition_key.as_ref().and_then(|key| {
                let definition = readable_text(it, &key.definition)?;
                Some(PartitionKeyBody { strategy: key.strategy, definition })
            }),
            definition: visible.definition(it),
            reads: it
                .reads
                .iter()
                .filter_map(|oid| visible.relation(*oid))
                .map(Relation::full_name)
                .collect(),
            row_security: it.row_security,
            hit: listed.hit.as_ref().map(|hit| MatchBody {
                score: rounded(hit.score),
                columns: hit
                    .columns
                    .iter()
                    .map(|it| ColumnMatch { name: &it.column.name, score: rounded(it.score) })
                    .collect(),
            }),
        }
    }
}

/// Why a table was found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SchemaMatch)]
struct MatchBody<'a> {
    /// How well it fits, above 0: comparable within one search only.
    score: f64,
    /// The columns that fit, the best first.
    columns: Vec<ColumnMatch<'a>>,
}

/// A column that fits.
#[derive(Debug, Serialize, ToSchema)]
struct ColumnMatch<'a> {
    name: &'a str,
    /// How well it fits, above 0.
    score: f64,
}

fn rounded(score: f64) -> f64 {
    (score * 10_000.0).round() / 10_000.0
}

/// A column.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Column)]
struct ColumnBody<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    #[schema(example = "numeric(12,2)")]
    type_name: &'a str,
    nullable: bool,
    /// The default expression, or that of a generated column, as the server prints it.
    default: Option<&'a str>,
    /// Whether the server makes the value (identity or generated).
    generated: bool,
    /// How: `identity_always`, `identity_by_default`, `stored` or `virtual`; null if it does not.
    #[schema(value_type = Option<String>)]
    generation: Option<Generation>,
    /// Its collation, where that is not the type's.
    collation: Option<&'a str>,
    comment: Option<&'a str>,
    /// What people wrote about it here.
    annotation: Option<NoteBody<'a>>,
    /// The labels of its enum type, in order.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    enum_values: &'a [String],
}

impl<'a> ColumnBody<'a> {
    fn new(table: &'a Relation, it: &'a Column, annotations: &'a Annotations) -> Self {
        let annotation = annotations.column(&table.schema, &table.name, &it.name);
        Self {
            name: &it.name,
            type_name: &it.type_name,
            nullable: it.nullable,
            default: it.default.as_deref().and_then(|text| readable_text(table, text)),
            generated: it.generated,
            generation: it.generation,
            collation: it.collation.as_deref(),
            comment: it.comment.as_deref(),
            annotation: annotation.map(NoteBody::from),
            enum_values: &it.enum_values,
        }
    }
}

/// A reference to another table.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ForeignKey)]
struct ForeignKeyBody<'a> {
    columns: Vec<&'a str>,
    /// The other table, as `schema.table`.
    #[schema(example = "public.customers")]
    references: String,
    referenced_columns: Vec<&'a str>,
    /// What happens when the other row is deleted: `no_action`, `restrict`, `cascade`, `set_null` or `set_default`.
    #[schema(value_type = String)]
    on_delete: ReferenceAction,
    /// What happens when the other row's key changes.
    #[schema(value_type = String)]
    on_update: ReferenceAction,
}

/// An index.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Index)]
struct IndexBody<'a> {
    name: &'a str,
    /// Expressions are left out.
    columns: Vec<&'a str>,
    unique: bool,
    #[schema(example = "btree")]
    method: &'a str,
    /// As the server prints it, where the other fields do not say all.
    definition: Option<&'a str>,
}

/// A `CHECK` or `EXCLUDE` constraint.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Constraint)]
struct ConstraintBody<'a> {
    name: &'a str,
    #[schema(example = "CHECK ((total >= 0))")]
    definition: &'a str,
}

/// How rows are spread over partitions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PartitionKey)]
struct PartitionKeyBody<'a> {
    /// `range`, `list` or `hash`.
    #[schema(value_type = String)]
    strategy: PartitionStrategy,
    #[schema(example = "RANGE (placed_on)")]
    definition: &'a str,
}

/// What a table takes on disk, and when it was analyzed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Measures)]
struct MeasuresBody {
    table_bytes: u64,
    index_bytes: u64,
    /// When somebody last analyzed it.
    last_analyze: Option<Timestamp>,
    /// When the server last analyzed it by itself.
    last_autoanalyze: Option<Timestamp>,
}

impl From<&Measures> for MeasuresBody {
    fn from(it: &Measures) -> Self {
        let Measures { table_bytes, index_bytes, last_analyze, last_autoanalyze } = *it;
        Self { table_bytes, index_bytes, last_analyze, last_autoanalyze }
    }
}
