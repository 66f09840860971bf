//! The states that a schema was in, and what changed between them.

use actix_web::{HttpResponse, get, web};
use jiff::Timestamp;
use plinth_connections::ConnectionId;
use plinth_core::InvalidCursor;
use plinth_schema_introspect::{
    Aspect, Change, ChangeKind, ObjectKind, Snapshot, SnapshotId, SnapshotSummary,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::http::envelope::{PageMeta, Reply, page_envelope};
use crate::http::input::Paging;
use crate::http::problem::{DatabaseProblems, Problems};
use crate::http::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list_snapshots).service(get_drift);
}

/// The name of the list in cursors.
const LIST: &str = "snapshots";

/// List snapshots of a schema
///
/// The states that the schema was in, newest first. Reading it again without a change adds none. The newest 30 are kept,
/// and for 90 days the last one of each day. Needs the scope `connections:read`.
#[utoipa::path(
    tag = "schemas",
    params(("id" = String, Path, description = "The connection's id."), Paging),
    responses((status = 200, body = SnapshotPage, description = "A page of snapshots."), Problems),
)]
#[get("/connections/{id}/schema/snapshots")]
async fn list_snapshots(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ConnectionId>,
    paging: web::Query<Paging>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let after = paging.cursor(&services.cursors, LIST)?;
    let page = services.schemas.history(&permit, id.into_inner(), after, paging.limit()?).await?;
    let next = page.next.map(|it| services.cursors.seal(LIST, it));
    Ok(reply.page(page.items.iter().map(SnapshotBody::from).collect::<Vec<_>>(), next))
}

/// One state that a schema was in.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Snapshot)]
struct SnapshotBody {
    #[schema(example = "snap_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: String,
    /// When that state was first read.
    first_read_at: Timestamp,
    /// When it was last read.
    taken_at: Timestamp,
    /// How long reading took then, in milliseconds.
    duration_ms: u64,
}

impl From<&SnapshotSummary> for SnapshotBody {
    fn from(it: &SnapshotSummary) -> Self {
        let SnapshotSummary { id, first_read_at, taken_at, duration_ms } = *it;
        Self { id: id.to_string(), first_read_at, taken_at, duration_ms }
    }
}

/// Which states are compared, and which part of the differences is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DriftQuery {
    /// The older snapshot; the one before `to` unless told.
    #[param(value_type = Option<String>, example = "snap_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    from: Option<SnapshotId>,
    /// The newer snapshot; the newest unless told.
    #[param(value_type = Option<String>)]
    to: Option<SnapshotId>,
    /// Changes on a page, 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u32>,
    /// `meta.next_cursor` of the page before. It ends when another snapshot becomes the newest, unless `from` and `to`
    /// name both.
    cursor: Option<String>,
}

/// Show what changed in a schema
///
/// The differences between two snapshots, as far as this connection shows what they are about: tables, columns, keys,
/// references, constraints, indexes and types that were added, removed, changed or, as a guess with a confidence,
/// renamed. Unless told, between the last two states that differ. Needs the scope `connections:read`.
#[utoipa::path(
    tag = "schemas",
    params(("id" = String, Path, description = "The connection's id."), DriftQuery),
    responses((status = 200, body = DriftEnvelope, description = "What changed."), Problems, DatabaseProblems),
)]
#[get("/connections/{id}/schema/drift")]
async fn get_drift(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ConnectionId>,
    query: web::Query<DriftQuery>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let DriftQuery { from, to, limit, cursor } = query.into_inner();
    let limit = Paging::new(limit, None).limit()?.get() as usize;
    let drift = services.schemas.drift(&permit, id.into_inner(), from, to).await?;
    let former = drift.from.as_ref().map(|it| it.id.to_string()).unwrap_or_default();
    let list = format!("drift from {former} to {}", drift.to.id);
    let begin = match &cursor {
        Some(text) => {
            let bytes = services.cursors.open_bytes(&list, text)?;
            usize::from_be_bytes(bytes.try_into().map_err(|_| InvalidCursor)?)
        }
        None => 0,
    };
    let changes = drift.changes.get(begin..).unwrap_or_default();
    let next = (changes.len() > limit)
        .then(|| services.cursors.seal_bytes(&list, &(begin + limit).to_be_bytes()));
    let count = |kind| drift.changes.iter().filter(|it| it.kind == kind).count();
    let body = DriftBody {
        from: drift.from.as_deref().map(StateBody::from),
        to: StateBody::from(&*drift.to),
        summary: DriftSummary {
            added: count(ChangeKind::Added),
            removed: count(ChangeKind::Removed),
            renamed: count(ChangeKind::Renamed),
            changed: count(ChangeKind::Changed),
            breaking: drift.changes.iter().filter(|it| it.breaking).count(),
        },
        changes: changes.iter().take(limit).map(ChangeBody::from).collect(),
    };
    let text = reply.written(&body, next);
    Ok(HttpResponse::Ok().content_type("application/json").body(text))
}

/// What changed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SchemaDrift)]
struct DriftBody<'a> {
    /// The older state; null if there is none, and then there are no changes.
    from: Option<StateBody>,
    /// The newer state.
    to: StateBody,
    /// All changes, counted.
    summary: DriftSummary,
    /// By table, its own changes first; types last.
    changes: Vec<ChangeBody<'a>>,
}

/// A state that was compared.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SchemaState)]
struct StateBody {
    #[schema(example = "snap_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    snapshot_id: String,
    /// When it was last read.
    taken_at: Timestamp,
}

impl From<&Snapshot> for StateBody {
    fn from(it: &Snapshot) -> Self {
        Self { snapshot_id: it.id.to_string(), taken_at: it.taken_at }
    }
}

/// Changes, counted.
#[derive(Debug, Serialize, ToSchema)]
struct DriftSummary {
    added: usize,
    removed: usize,
    renamed: usize,
    changed: usize,
    /// Those after which statements that worked before may fail or mean something else.
    breaking: usize,
}

/// One difference.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SchemaChange)]
struct ChangeBody<'a> {
    /// `added`, `removed`, `renamed` or `changed`.
    #[schema(value_type = String, example = "renamed")]
    change: ChangeKind,
    /// `table`, `view`, `materialized_view`, `column`, `primary_key`, `unique_key`, `foreign_key`, `constraint`, `index`,
    /// `enum`, `domain` or `type`.
    #[schema(value_type = String, example = "column")]
    object: ObjectKind,
    /// The table it belongs to; null for types.
    #[schema(example = "public.orders")]
    table: Option<&'a str>,
    /// Its name now; the last one it had if it was removed.
    #[schema(example = "total_amount")]
    name: &'a str,
    /// Which side of it changed: `kind`, `type`, `nullable`, `default`, `generated`, `comment`, `definition`, `labels`,
    /// `partitioning` or `row_security`; null if it was added, removed or renamed as a whole.
    #[schema(value_type = Option<String>)]
    aspect: Option<Aspect>,
    #[schema(example = "total")]
    before: Option<&'a str>,
    #[schema(example = "total_amount")]
    after: Option<&'a str>,
    /// For a rename, how sure it is, from 0 to 1; 1 only if the database itself shows that it is the same thing.
    confidence: Option<f64>,
    /// Whether statements that worked before may fail or mean something else.
    breaking: bool,
}

impl<'a> From<&'a Change> for ChangeBody<'a> {
    fn from(it: &'a Change) -> Self {
        Self {
            change: it.kind,
            object: it.object,
            table: it.table.as_deref(),
            name: &it.name,
            aspect: it.aspect,
            before: it.before.as_deref(),
            after: it.after.as_deref(),
            confidence: it.confidence,
            breaking: it.breaking,
        }
    }
}

page_envelope! {
    /// A page of snapshots.
    SnapshotPage(SnapshotBody)
}

/// A page of what changed.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its derive is used; the answers are written by Reply")]
struct DriftEnvelope {
    data: DriftBody<'static>,
    meta: PageMeta,
}
