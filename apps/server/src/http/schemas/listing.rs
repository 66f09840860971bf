//! The whole schema, parts of it, and what fits some words.

use actix_web::{HttpResponse, get, web};
use plinth_connections::ConnectionId;
use plinth_core::{ErrorKind, InvalidCursor};
use plinth_schema_introspect::{MAX_SEARCH_CHARS, Relation, SearchHit, Visible, search};
use serde::Deserialize;
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::bodies::{SchemaBody, SchemaSummary, TableBody};
use crate::http::envelope::{PageMeta, Reply};
use crate::http::input::Paging;
use crate::http::problem::{DatabaseProblems, Problems};
use crate::http::{Caller, Problem, Services};

/// What of a schema is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SchemaQuery {
    /// Words to look for in the names of tables and columns, and in what is written about them. The tables that fit come
    /// with the best first, each with `match`.
    #[param(example = "customer email", max_length = 200)]
    search: Option<String>,
    /// Tables on a page, 1 to 100. Without `search`, `limit` and `cursor` all tables come at once; with one of them 20
    /// unless told.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `meta.next_cursor` of the page before.
    cursor: Option<String>,
}

/// Show a schema
///
/// What may be asked about over this connection: the readable, allowed tables and views with their columns, keys and
/// references, from the newest snapshot; the first call reads it. With `search` only what fits, the best first. Needs
/// the scope `connections:read`.
#[utoipa::path(
    tag = "schemas",
    params(("id" = String, Path, description = "The connection's id."), SchemaQuery),
    responses((status = 200, body = SchemaEnvelope, description = "The schema."), Problems, DatabaseProblems),
)]
#[get("/connections/{id}/schema")]
pub(super) async fn get_schema(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ConnectionId>,
    query: web::Query<SchemaQuery>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let SchemaQuery { search: words, limit, cursor } = query.into_inner();
    let paged = words.is_some() || limit.is_some() || cursor.is_some();
    let limit = Paging::new(limit, None).limit()?.get() as usize;
    if words.as_ref().is_some_and(|it| it.chars().count() > MAX_SEARCH_CHARS) {
        let text = format!("at most {MAX_SEARCH_CHARS} characters");
        return Err(Problem::invalid(format!("search: {text}"), json!({ "search": text })));
    }
    let id = id.into_inner();
    let list = match &words {
        Some(words) => format!("schema of {id}, found by {words}"),
        None => format!("schema of {id}"),
    };
    let after = match &cursor {
        Some(text) => Some(Place::read(&services.cursors.open_bytes(&list, text)?)?),
        None => None,
    };
    let (opened, snapshot) = services.schemas.get(&permit, id).await?;
    let policies = services.queries.policies();
    let snapshot = policies.shown(permit.principal(), &opened, snapshot).await?;
    let written = services.annotations.current(&opened).await?;
    let key = services.cursors.clone();
    // Ten thousand tables take a while: not on a thread that others' requests wait for.
    let body = web::block(move || {
        let visible = Visible::new(&snapshot.catalog, &opened.connection.allowed_tables);
        let mut tables: Vec<Listed<'_>> = match &words {
            Some(words) => {
                search(&visible, &written, words).into_iter().map(Listed::from).collect()
            }
            None => visible.relations().map(Listed::from).collect(),
        };
        if let Some(after) = &after {
            tables.retain(|it| it.place() > *after);
        }
        let more = paged && tables.len() > limit;
        if paged {
            tables.truncate(limit);
        }
        let next = tables.last().filter(|_| more);
        let next = next.map(|it| key.seal_bytes(&list, &it.place().bytes()));
        let tables = tables.iter().map(|it| TableBody::new(it, &visible, &written)).collect();
        let about = SchemaSummary::new(&visible, &snapshot);
        reply.written(&SchemaBody { about, tables }, next)
    });
    let stopped = |_| Problem::new(ErrorKind::Unavailable, "the server is stopping", None);
    Ok(HttpResponse::Ok().content_type("application/json").body(body.await.map_err(stopped)?))
}

/// A table in a list, and why it is there where words were looked for.
pub(super) struct Listed<'a> {
    pub(super) relation: &'a Relation,
    pub(super) hit: Option<SearchHit<'a>>,
}

impl<'a> From<&'a Relation> for Listed<'a> {
    fn from(relation: &'a Relation) -> Self {
        Self { relation, hit: None }
    }
}

impl<'a> From<SearchHit<'a>> for Listed<'a> {
    fn from(hit: SearchHit<'a>) -> Self {
        Self { relation: hit.relation, hit: Some(hit) }
    }
}

impl Listed<'_> {
    fn place(&self) -> Place {
        // The larger score comes first; scores are not negative, so their bits sort as they do.
        let score = self.hit.as_ref().map_or(0, |it| !it.score.to_bits());
        Place { score, schema: self.relation.schema.clone(), name: self.relation.name.clone() }
    }
}

/// Where a table stands in a list. Names and scores stay what they are when the schema is read anew, so a cursor goes on
/// where it was.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    score: u64,
    schema: String,
    name: String,
}

impl Place {
    fn bytes(&self) -> Vec<u8> {
        // No name in Postgres holds a zero byte.
        let names = format!("{}\0{}", self.schema, self.name);
        [self.score.to_be_bytes().as_slice(), names.as_bytes()].concat()
    }

    fn read(bytes: &[u8]) -> Result<Self, InvalidCursor> {
        let (score, names) = bytes.split_first_chunk().ok_or(InvalidCursor)?;
        let names = std::str::from_utf8(names).map_err(|_| InvalidCursor)?;
        let (schema, name) = names.split_once('\0').ok_or(InvalidCursor)?;
        let score = u64::from_be_bytes(*score);
        Ok(Self { score, schema: schema.to_owned(), name: name.to_owned() })
    }
}

/// A schema, or a page of its tables.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its derive is used; the answers are written by Reply")]
pub(super) struct SchemaEnvelope {
    data: SchemaBody<'static>,
    meta: PageMeta,
}
