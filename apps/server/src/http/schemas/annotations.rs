//! What people write beside tables and columns.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, delete, get, put, web};
use jiff::Timestamp;
use plinth_connections::ConnectionId;
use plinth_core::ErrorKind;
use plinth_schema_introspect::{Annotation, AnnotationText, ListedAnnotation};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::http::envelope::{Reply, envelope, page_envelope};
use crate::http::input::Paging;
use crate::http::problem::{DatabaseProblems, ErrorBody, Problems};
use crate::http::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_annotations)
        .service(put_table_annotation)
        .service(delete_table_annotation)
        .service(put_column_annotation)
        .service(delete_column_annotation);
}

/// The name of the list in cursors.
const LIST: &str = "annotations";

/// List annotations of a schema
///
/// What people wrote about the tables and columns that this connection shows, and about such as are not there any more,
/// by schema, table and column. Needs the scope `connections:read`.
#[utoipa::path(
    tag = "schemas",
    params(("id" = String, Path, description = "The connection's id."), Paging),
    responses((status = 200, body = AnnotationPage, description = "A page of annotations."), Problems, DatabaseProblems),
)]
#[get("/connections/{id}/schema/annotations")]
async fn list_annotations(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ConnectionId>,
    paging: web::Query<Paging>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let limit = paging.limit()?.get() as usize;
    let after = paging.place(&services.cursors, LIST)?;
    let mut all = services.annotations.list(&permit, id.into_inner()).await?;
    if let Some(after) = after {
        all.retain(|it| place(&it.annotation) > after);
    }
    let more = all.len() > limit;
    all.truncate(limit);
    let next = all.last().filter(|_| more).map(|it| place(&it.annotation));
    let next = next.map(|it| services.cursors.seal_bytes(LIST, &it));
    Ok(reply.page(all.iter().map(AnnotationBody::from).collect::<Vec<_>>(), next))
}

/// Sorts as annotations do; no name in Postgres holds a zero byte.
fn place(of: &Annotation) -> Vec<u8> {
    let target = &of.target;
    let column = target.column.as_deref().unwrap_or_default();
    format!("{}\0{}\0{column}", target.schema, target.table).into_bytes()
}

/// Write about a table
///
/// What it is, what else people call it, or both. It stands beside the database's own comments, outlives every refresh,
/// and helps the engine to understand questions. Needs the scope `connections:write`.
#[utoipa::path(
    tag = "schemas",
    params(
        ("id" = String, Path, description = "The connection's id."),
        ("table" = String, Path, description = "The table, as `schema.table`.", example = "public.orders"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the annotation that is to be replaced."),
    ),
    request_body = PutAnnotation,
    responses(
        (status = 200, body = AnnotationEnvelope, description = "Written.", headers(("ETag" = String, description = "Names this text."))),
        (status = 412, body = ErrorBody, description = "`precondition_failed`: it has changed since it was read."),
        Problems, DatabaseProblems,
    ),
)]
#[put("/connections/{id}/schema/tables/{table}/annotation")]
async fn put_table_annotation(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ConnectionId, String)>,
    request: HttpRequest,
    body: web::Json<PutAnnotation>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let (id, table) = path.into_inner();
    put_annotation(&caller, &services, (id, &table, None), &request, &body, &reply).await
}

/// Take back what was written about a table
///
/// Also where the table is not there any more. Needs the scope `connections:write`.
#[utoipa::path(
    tag = "schemas",
    params(
        ("id" = String, Path, description = "The connection's id."),
        ("table" = String, Path, description = "The table, as `schema.table`.", example = "public.orders"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the annotation that is to be removed."),
    ),
    responses(
        (status = 204, description = "Removed."),
        (status = 412, body = ErrorBody, description = "`precondition_failed`: it has changed since it was read."),
        Problems, DatabaseProblems,
    ),
)]
#[delete("/connections/{id}/schema/tables/{table}/annotation")]
async fn delete_table_annotation(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ConnectionId, String)>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let (id, table) = path.into_inner();
    delete_annotation(&caller, &services, (id, &table, None), &request).await
}

/// Write about a column
///
/// As for a table. Needs the scope `connections:write`.
#[utoipa::path(
    tag = "schemas",
    params(
        ("id" = String, Path, description = "The connection's id."),
        ("table" = String, Path, description = "The table, as `schema.table`.", example = "public.orders"),
        ("column" = String, Path, description = "The column.", example = "total"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the annotation that is to be replaced."),
    ),
    request_body = PutAnnotation,
    responses(
        (status = 200, body = AnnotationEnvelope, description = "Written.", headers(("ETag" = String, description = "Names this text."))),
        (status = 412, body = ErrorBody, description = "`precondition_failed`: it has changed since it was read."),
        Problems, DatabaseProblems,
    ),
)]
#[put("/connections/{id}/schema/tables/{table}/columns/{column}/annotation")]
async fn put_column_annotation(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ConnectionId, String, String)>,
    request: HttpRequest,
    body: web::Json<PutAnnotation>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let (id, table, column) = path.into_inner();
    put_annotation(&caller, &services, (id, &table, Some(&column)), &request, &body, &reply).await
}

/// Take back what was written about a column
///
/// Also where the column is not there any more. Needs the scope `connections:write`.
#[utoipa::path(
    tag = "schemas",
    params(
        ("id" = String, Path, description = "The connection's id."),
        ("table" = String, Path, description = "The table, as `schema.table`.", example = "public.orders"),
        ("column" = String, Path, description = "The column.", example = "total"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the annotation that is to be removed."),
    ),
    responses(
        (status = 204, description = "Removed."),
        (status = 412, body = ErrorBody, description = "`precondition_failed`: it has changed since it was read."),
        Problems, DatabaseProblems,
    ),
)]
#[delete("/connections/{id}/schema/tables/{table}/columns/{column}/annotation")]
async fn delete_column_annotation(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ConnectionId, String, String)>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let (id, table, column) = path.into_inner();
    delete_annotation(&caller, &services, (id, &table, Some(&column)), &request).await
}

/// A connection, a table of it as the caller names it, and perhaps a column.
type About<'a> = (ConnectionId, &'a str, Option<&'a str>);

async fn put_annotation(
    caller: &Caller,
    services: &Services,
    (id, table, column): About<'_>,
    request: &HttpRequest,
    body: &PutAnnotation,
    reply: &Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let text = AnnotationText::parse(body.description.as_deref(), &body.synonyms)?;
    let expected = expected(request)?;
    let written = services.annotations.put(&permit, id, table, column, text, expected).await?;
    let tag = format!("\"{}\"", written.version);
    let listed = ListedAnnotation { annotation: written, orphaned: false };
    let mut response = reply.ok(AnnotationBody::from(&listed));
    if let Ok(tag) = header::HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

async fn delete_annotation(
    caller: &Caller,
    services: &Services,
    (id, table, column): About<'_>,
    request: &HttpRequest,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    services.annotations.remove(&permit, id, table, column, expected(request)?).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Which text the caller means to change; `None` if whatever is there.
fn expected(request: &HttpRequest) -> Result<Option<i64>, Problem> {
    let Some(sent) = request.headers().get(header::IF_MATCH) else { return Ok(None) };
    let number = sent.to_str().ok().and_then(|it| it.trim().strip_prefix('"')?.strip_suffix('"'));
    number.and_then(|it| it.parse().ok()).map(Some).ok_or_else(|| {
        let text = "send the ETag of the annotation as it was given, like \"3\"";
        Problem::new(
            ErrorKind::Invalid,
            format!("If-Match: {text}"),
            Some(json!({ "If-Match": text })),
        )
    })
}

/// What to write.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PutAnnotation {
    /// What it is, in 1 to 2000 characters.
    #[schema(
        example = "One row for each order that was placed in the shop.",
        min_length = 1,
        max_length = 2000
    )]
    description: Option<String>,
    /// What else people call it: at most 20, each of 1 to 60 characters.
    #[serde(default)]
    #[schema(example = json!(["purchases", "sales"]), max_items = 20)]
    synonyms: Vec<String>,
}

/// What people wrote about a table or column.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Annotation)]
struct AnnotationBody<'a> {
    #[schema(example = "public")]
    schema: &'a str,
    #[schema(example = "orders")]
    table: &'a str,
    /// Null: it is about the table itself.
    #[schema(required = true, example = "total")]
    column: Option<&'a str>,
    #[serde(flatten)]
    note: NoteBody<'a>,
    /// Whether what it is about is not there any more, perhaps because it was renamed.
    orphaned: bool,
}

impl<'a> From<&'a ListedAnnotation> for AnnotationBody<'a> {
    fn from(it: &'a ListedAnnotation) -> Self {
        let target = &it.annotation.target;
        Self {
            schema: &target.schema,
            table: &target.table,
            column: target.column.as_deref(),
            note: NoteBody::from(&it.annotation),
            orphaned: it.orphaned,
        }
    }
}

/// The text of an annotation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AnnotationText)]
pub(super) struct NoteBody<'a> {
    #[schema(example = "One row for each order that was placed in the shop.")]
    description: Option<&'a str>,
    #[schema(example = json!(["purchases", "sales"]))]
    synonyms: &'a [String],
    /// Grows with each change; in quotes it is the `ETag`.
    version: i64,
    updated_by: Uuid,
    updated_at: Timestamp,
}

impl<'a> From<&'a Annotation> for NoteBody<'a> {
    fn from(it: &'a Annotation) -> Self {
        Self {
            description: it.text.description(),
            synonyms: it.text.synonyms(),
            version: it.version,
            updated_by: it.updated_by.as_uuid(),
            updated_at: it.updated_at,
        }
    }
}

envelope! {
    /// What people wrote about a table or column.
    AnnotationEnvelope(AnnotationBody<'static>)
}
page_envelope! {
    /// A page of annotations.
    AnnotationPage(AnnotationBody<'static>)
}
