//! What connected databases look like.

mod annotations;
mod bodies;
mod diagram;
mod freshness;
mod history;
mod listing;
mod tables;

use actix_web::{HttpResponse, post, web};
use plinth_connections::ConnectionId;
use plinth_schema_introspect::Visible;
use utoipa_actix_web::service_config::ServiceConfig;

use self::bodies::SchemaSummary;
use super::envelope::{Reply, envelope};
use super::problem::{DatabaseProblems, Problems};
use super::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(listing::get_schema)
        .service(refresh_schema)
        .service(freshness::get_schema_freshness);
    tables::routes(config);
    history::routes(config);
    annotations::routes(config);
    diagram::routes(config);
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
    let visible = Visible::new(&snapshot.catalog, &opened.connection.allowed_tables);
    Ok(reply.ok(SchemaSummary::new(&visible, &snapshot)))
}

envelope! {
    /// What was read.
    SchemaSummaryEnvelope(SchemaSummary)
}
