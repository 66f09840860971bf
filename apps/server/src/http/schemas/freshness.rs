//! Whether what is known of a schema still holds.

use actix_web::{HttpResponse, get, web};
use jiff::Timestamp;
use plinth_connections::ConnectionId;
use plinth_schema_introspect::Freshness;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::http::envelope::{Reply, envelope};
use crate::http::problem::Problems;
use crate::http::{Caller, Problem, Services};

/// How it is found out.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FreshnessQuery {
    /// Ask the database whether its schema has changed, too; else only the age decides, and nothing is dialled.
    #[serde(default)]
    #[param(default = false)]
    check: bool,
}

/// Say how fresh a schema is
///
/// Whether the schema should be read anew: it never was, or more than a day ago, or, with `check=true`, the database says
/// that it has changed since. Reads nothing anew. A database that cannot be reached is no error: then `changed` is null.
/// Needs the scope `connections:read`.
#[utoipa::path(
    tag = "schemas",
    params(("id" = String, Path, description = "The connection's id."), FreshnessQuery),
    responses((status = 200, body = FreshnessEnvelope, description = "How fresh it is."), Problems),
)]
#[get("/connections/{id}/schema/freshness")]
pub(super) async fn get_schema_freshness(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ConnectionId>,
    query: web::Query<FreshnessQuery>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let found = services.schemas.freshness(&permit, id.into_inner(), query.check).await?;
    Ok(reply.ok(FreshnessBody::new(found, services.clock.now())))
}

/// How fresh a schema is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SchemaFreshness)]
struct FreshnessBody {
    /// Whether it should be read anew.
    needs_refresh: bool,
    /// When all of it was last read; null if that was never done.
    #[schema(required = true)]
    last_refresh: Option<Timestamp>,
    /// How long ago that was, in hours; null if that was never done.
    #[schema(required = true, example = 1.5)]
    age_hours: Option<f64>,
    /// Whether the database says that its schema has changed since; null if it was not asked or did not answer.
    #[schema(required = true)]
    changed: Option<bool>,
}

impl FreshnessBody {
    fn new(found: Freshness, now: Timestamp) -> Self {
        let age = found.read_at.map(|it| now.duration_since(it).as_secs_f64() / 3600.0);
        Self {
            needs_refresh: found.needs_refresh,
            last_refresh: found.read_at,
            age_hours: age.map(|it| it.max(0.0)),
            changed: found.changed,
        }
    }
}

envelope! {
    /// How fresh a schema is.
    FreshnessEnvelope(FreshnessBody)
}
