//! The management API of projects and branches, below `/api/v2`: Neon's API v2 over plain Postgres on this machine.
//!
//! Its shapes are those that Neon's own clients know. What they send and Plinth does not know is ignored.

mod absent;
mod account;
mod body;
mod branches;
mod consumption;
mod consumption_v2;
mod databases;
mod endpoints;
mod jwks;
mod keys;
mod operations;
mod organizations;
mod permissions;
mod projects;
mod remote;
mod roles;
mod schemas;
mod snapshots;
mod transfers;

use std::sync::OnceLock;

use actix_web::http::header;
use actix_web::{HttpResponse, get};
use serde::de::DeserializeOwned;
use serde_json::json;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_actix_web::service_config::ServiceConfig;
use utoipa_actix_web::{AppExt as _, scope};

pub(super) use self::absent::absent;
pub(crate) use self::body::uri;
pub(super) use self::remote::pass;
use super::Problem;
use super::problem::ControlPlaneError;

/// The routes, below `/api/v2`.
pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    projects::routes(config);
    branches::routes(config);
    schemas::routes(config);
    snapshots::routes(config);
    endpoints::routes(config);
    roles::routes(config);
    databases::routes(config);
    operations::routes(config);
    account::routes(config);
    organizations::routes(config);
    keys::routes(config);
    transfers::routes(config);
    jwks::routes(config);
    permissions::routes(config);
    consumption::routes(config);
    consumption_v2::routes(config);
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Plinth control plane",
        description = "Projects, branches, endpoints, roles and databases on plain Postgres, in the shapes of Neon's API v2: its own clients work here unmodified when they are told this address.\n\nSend an API key or an access token as `Authorization: Bearer …`; it needs the scope `projects:read` to look and `projects:write` to change. Errors are `{\"request_id\", \"code\", \"message\"}`. A project has one chain of operations at a time: 423 says that one is under way, and that trying again is safe. An answer waits some seconds for its operations, so that most are finished in it.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(ControlPlaneError)),
    modifiers(&Keys),
    security(("bearer" = [])),
    tags(
        (name = "projects", description = "A project is a Postgres installation with branches."),
        (name = "branches", description = "A branch is a data directory of its own."),
        (name = "snapshots", description = "A snapshot is a branch's state at a moment, kept."),
        (name = "endpoints", description = "An endpoint is a port, and a Postgres that runs while it is used."),
        (name = "roles", description = "Who can log in."),
        (name = "databases", description = "What they find."),
        (name = "operations", description = "What is being done."),
        (name = "consumption", description = "What projects use."),
        (name = "account", description = "Who is calling."),
    ),
)]
struct Document;

struct Keys;

impl utoipa::Modify for Keys {
    fn modify(&self, api: &mut OpenApi) {
        let bearer = Http::builder()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API key (`plinth_live_…`), or the access token of a sign-in."))
            .build();
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    }
}

/// The document of these routes.
pub fn openapi() -> OpenApi {
    let (_, api) = actix_web::App::new()
        .into_utoipa_app()
        .openapi(Document::openapi())
        .service(scope("/api/v2").configure(routes))
        .split_for_parts();
    api
}

/// The document as it is checked in and served.
pub(crate) fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| openapi().to_pretty_json().expect("the document can be written") + "\n")
}

#[get("/openapi/control-plane.json")]
pub(super) async fn openapi_json() -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CONTENT_TYPE, "application/json")).body(text())
}

/// A body that may be missing.
fn optional<T: DeserializeOwned + Default>(bytes: &[u8]) -> Result<T, Problem> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    serde_json::from_slice(bytes).map_err(|err| {
        Problem::invalid(
            format!("the body does not fit: {err}"),
            json!({ "body": err.to_string() }),
        )
    })
}

/// A list's length that a caller asks for.
fn limit(asked: Option<u32>, usual: u32, most: u32) -> Result<u32, Problem> {
    match asked.unwrap_or(usual) {
        fits @ 1.. if fits <= most => Ok(fits),
        _ => {
            let rule = format!("must be 1 to {most}");
            Err(Problem::invalid(format!("limit: {rule}"), json!({ "limit": rule })))
        }
    }
}
