use std::collections::HashMap;
use std::sync::Arc;

use actix_web::{HttpResponse, get, post, web};
use jiff::Timestamp;
use plinth_connections::{ConnectionId, Opened};
use plinth_schema_introspect::{Catalog, Column, Relation, RelationKind, Snapshot};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::envelope::{Reply, envelope};
use super::problem::{DatabaseProblems, Problems};
use super::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(get_schema).service(refresh_schema);
}

/// Show a schema
///
/// What may be asked about over this connection: the readable, allowed tables and views with their columns, keys and
/// references, from the newest snapshot; the first call reads it. Needs the scope `connections:read`.
#[utoipa::path(
    tag = "schemas",
    params(("id" = String, Path, description = "The connection's id.")),
    responses((status = 200, body = SchemaEnvelope, description = "The schema."), Problems, DatabaseProblems),
)]
#[get("/connections/{id}/schema")]
async fn get_schema(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ConnectionId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (opened, snapshot) = services.schemas.get(&permit, id.into_inner()).await?;
    Ok(reply.ok(SchemaBody::new(&opened, &snapshot)))
}

/// Read a schema anew
///
/// Reads the database's catalog now and keeps it as the newest snapshot. Needs the scope `connections:write`.
#[utoipa::path(
    tag = "schemas",
    params(("id" = String, Path, description = "The connection's id.")),
    responses((status = 200, body = SchemaSummaryEnvelope, description = "What was read."), Problems, DatabaseProblems),
)]
#[post("/connections/{id}/schema/refresh")]
async fn refresh_schema(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ConnectionId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (opened, snapshot) = services.schemas.refresh(&permit, id.into_inner()).await?;
    Ok(reply.ok(SchemaSummary::new(&opened, &snapshot)))
}

/// What was read.
#[derive(Debug, Serialize, ToSchema)]
struct SchemaSummary {
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
    fn new(opened: &Opened, snapshot: &Arc<Snapshot>) -> Self {
        let visible: Vec<_> = visible(opened, &snapshot.catalog).collect();
        Self {
            snapshot_id: snapshot.id.to_string(),
            connection_id: snapshot.connection.to_string(),
            database: snapshot.catalog.database.clone(),
            server_version_num: snapshot.catalog.server_version_num,
            table_count: visible.len(),
            column_count: visible.iter().map(|it| it.columns.len()).sum(),
            duration_ms: snapshot.duration_ms,
            refreshed_at: snapshot.taken_at,
        }
    }
}

/// A database's schema, as far as this connection allows.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Schema)]
struct SchemaBody<'a> {
    #[serde(flatten)]
    about: SchemaSummary,
    /// Sorted by schema and name.
    tables: Vec<TableBody<'a>>,
}

impl<'a> SchemaBody<'a> {
    fn new(opened: &Opened, snapshot: &'a Arc<Snapshot>) -> Self {
        let catalog = &snapshot.catalog;
        let shown: HashMap<u32, &Relation> =
            visible(opened, catalog).map(|it| (it.oid, it)).collect();
        let tables = visible(opened, catalog).map(|it| TableBody::new(it, &shown)).collect();
        Self { about: SchemaSummary::new(opened, snapshot), tables }
    }
}

/// What a connection lets people know of: a table that may not be read is not even named.
fn visible<'a>(opened: &Opened, catalog: &'a Catalog) -> impl Iterator<Item = &'a Relation> {
    let allowed = opened.connection.allowed_tables.clone();
    catalog.relations.iter().map(AsRef::as_ref).filter(move |it: &&Relation| {
        it.columns.iter().any(|column| column.readable) && allowed.allows(&it.schema, &it.name)
    })
}

/// A table or view.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Table)]
struct TableBody<'a> {
    schema: &'a str,
    name: &'a str,
    /// `table`, `partitioned_table`, `view`, `materialized_view` or `foreign_table`.
    #[schema(value_type = String)]
    kind: RelationKind,
    comment: Option<&'a str>,
    columns: Vec<ColumnBody<'a>>,
    /// The names of the primary key's columns.
    primary_key: Vec<&'a str>,
    /// Unique keys beside the primary one.
    unique_keys: Vec<Vec<&'a str>>,
    foreign_keys: Vec<ForeignKeyBody<'a>>,
    indexes: Vec<IndexBody<'a>>,
    /// The planner's estimate; null if it was never analyzed.
    estimated_rows: Option<f64>,
    /// The table it is a partition of.
    partition_of: Option<String>,
}

impl<'a> TableBody<'a> {
    fn new(it: &'a Relation, shown: &HashMap<u32, &'a Relation>) -> Self {
        // What names a column that the role may not read is left out as a whole.
        let readable = |columns: &[usize]| {
            columns.iter().all(|at| it.columns.get(*at).is_some_and(|it| it.readable))
        };
        let names = |columns: &[usize]| -> Vec<&'a str> {
            columns.iter().filter_map(|at| it.columns.get(*at)).map(|it| it.name.as_str()).collect()
        };
        let foreign_key = |key: &'a plinth_schema_introspect::ForeignKey| {
            // A reference to a table that is not shown would name it.
            let target = shown.get(&key.target)?;
            let theirs = |at: &usize| target.columns.get(*at).is_some_and(|it| it.readable);
            if !readable(&key.columns) || !key.target_columns.iter().all(theirs) {
                return None;
            }
            let target_columns = key.target_columns.iter().filter_map(|at| target.columns.get(*at));
            Some(ForeignKeyBody {
                columns: names(&key.columns),
                references: target.full_name(),
                referenced_columns: target_columns.map(|it| it.name.as_str()).collect(),
            })
        };
        Self {
            schema: &it.schema,
            name: &it.name,
            kind: it.kind,
            comment: it.comment.as_deref(),
            columns: it.columns.iter().filter(|it| it.readable).map(ColumnBody::from).collect(),
            primary_key: if readable(it.primary_key()) {
                names(it.primary_key())
            } else {
                Vec::new()
            },
            unique_keys: it
                .keys
                .iter()
                .filter(|it| !it.primary && readable(&it.columns))
                .map(|it| names(&it.columns))
                .collect(),
            foreign_keys: it.foreign_keys.iter().filter_map(foreign_key).collect(),
            indexes: it
                .indexes
                .iter()
                .filter(|it| readable(&it.columns))
                .map(|index| IndexBody {
                    name: &index.name,
                    columns: names(&index.columns),
                    unique: index.unique,
                    method: &index.method,
                })
                .collect(),
            estimated_rows: it.estimated_rows,
            partition_of: it
                .partition_of
                .and_then(|oid| shown.get(&oid))
                .map(|parent| parent.full_name()),
        }
    }
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
    /// The default expression, as the server prints it.
    default: Option<&'a str>,
    /// Whether the server makes the value (identity or generated).
    generated: bool,
    comment: Option<&'a str>,
    /// The labels of its enum type, in order.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    enum_values: &'a [String],
}

impl<'a> From<&'a Column> for ColumnBody<'a> {
    fn from(it: &'a Column) -> Self {
        Self {
            name: &it.name,
            type_name: &it.type_name,
            nullable: it.nullable,
            default: it.default.as_deref(),
            generated: it.generated,
            comment: it.comment.as_deref(),
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
}

envelope! {
    /// A schema.
    SchemaEnvelope(SchemaBody<'static>)
}
envelope! {
    /// What was read.
    SchemaSummaryEnvelope(SchemaSummary)
}
