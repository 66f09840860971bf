//! The OpenAPI document, made from the code, and the page to try it out.

use std::sync::OnceLock;

use actix_web::http::header;
use actix_web::{HttpResponse, get};
use utoipa::OpenApi as _;
use utoipa::openapi::path::{ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{OpenApi, Required};
use utoipa_actix_web::{AppExt as _, scope};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::problem::{ConfigError, ErrorBody};
use super::{auth, database_configs, events, oauth, operation, platform};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Plinth",
        description = "Makes Postgres answer people: questions in plain language in, SQL and rows out.\n\nSend an API key as `Authorization: Bearer …` or as `x-api-key`. Every answer is `{\"data\": …, \"meta\": …}`, every error `{\"error\": {\"code\", \"message\", \"details\"}, \"meta\": …}`; with `Accept: application/problem+json` errors come as RFC 9457. Answers to requests with credentials carry `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset` (Unix seconds), and `Retry-After` on 429. All routes below `/v1` also answer below `/api/v1`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    // Listed here because schemas that are used only in error answers are not collected.
    components(schemas(ErrorBody, ConfigError)),
    modifiers(&Keys),
    security(("bearer" = []), ("api_key" = [])),
    tags(
        (name = "queries", description = "Ask, run, and the history of both."),
        (name = "models", description = "Language models beside the embedded engine: which there are, and what they cost."),
        (name = "connections", description = "The databases that an organization connects."),
        (name = "database configs", description = "The same connections, as an agent platform's back end knows them. Errors there are `{\"success\": false, \"error\", \"message\", \"status\": \"error\", \"details\"}`."),
        (name = "schemas", description = "What those databases look like."),
        (name = "dashboards", description = "Saved queries side by side, with what they give now; pictures of them, and links that show them."),
        (name = "workflows", description = "Queries that run by themselves, and what is done with the answers."),
        (name = "credentials", description = "Secrets that workflows' calls carry: each for one receiver, used by name, never readable again."),
        (name = "remotes", description = "Neon, or other servers that speak its management API, where projects of `/api/v2` can live."),
        (name = "alerts", description = "Conditions on saved queries, and who is told when they begin and end to hold."),
        (name = "events", description = "What happens, sent to others' servers as Standard Webhooks; `webhooks` lists what."),
        (name = "authentication", description = "Signing in and out, tokens and passwords."),
        (name = "me", description = "Who is calling, and what is theirs."),
        (name = "organizations", description = "Made, changed, handed over, deleted."),
        (name = "audit", description = "Who did what."),
        (name = "policies", description = "Who sees which rows and values of a connection."),
        (name = "team", description = "Members, invitations and roles."),
        (name = "api keys", description = "Who may call."),
        (name = "oauth", description = "Third-party apps that people let act for them."),
        (name = "identity providers", description = "Whose tokens an organization takes beside Plinth's own."),
        (name = "misc", description = "The organization's own database, and whom to trust."),
        (name = "operation", description = "For whoever runs the server."),
    ),
)]
struct Document;

struct Keys;

impl utoipa::Modify for Keys {
    fn modify(&self, api: &mut OpenApi) {
        let components = api.components.get_or_insert_default();
        let bearer = Http::builder()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API key (`plinth_live_…` or `plinth_test_…`), or the access token of a sign-in."))
            .build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let header = ApiKeyValue::with_description("x-api-key", "The same key in another header.");
        components.add_security_scheme("api_key", SecurityScheme::ApiKey(ApiKey::Header(header)));
    }
}

/// The document of every route.
pub fn openapi() -> OpenApi {
    let (_, mut api) = actix_web::App::new()
        .into_utoipa_app()
        .openapi(Document::openapi())
        .service(scope("/v1").configure(platform))
        .configure(|config| {
            database_configs::routes(config);
            config
                .service(operation::healthz)
                .service(operation::readyz)
                .service(operation::metrics)
                .service(auth::jwks);
            oauth::protocol(config);
        })
        .split_for_parts();
    idempotent(&mut api);
    api
}

/// Says of every POST that takes credentials that it takes an `Idempotency-Key` too: the middleware sees to it for all.
fn idempotent(api: &mut OpenApi) {
    let header = ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Any text of 1 to 255 printable ASCII characters, new for each request. The same request sent again within \
             24 hours takes effect once and gets the first answer, with `Idempotent-Replayed: true` (a secret that is \
             shown once is not in it). Another request with the same key is refused with 422, and the same one while \
             the first still runs with 409.",
        ))
        .schema(Some(
            ObjectBuilder::new()
                .schema_type(SchemaType::Type(Type::String))
                .min_length(Some(1))
                .max_length(Some(255))
                .pattern(Some("^[!-~]+$")),
        ))
        .example(Some("7c2f1d52-0d5b-4c2a-9c43-52c1a4bb1f0e".into()))
        .build();
    let posts = api.paths.paths.values_mut().filter_map(|it| it.post.as_mut());
    // Public operations name an empty requirement of their own.
    for post in posts.filter(|it| it.security.is_none()) {
        post.parameters.get_or_insert_default().push(header.clone().into());
    }
}

/// The document as it is checked in and served: that of every route, and what is sent to subscribers.
pub fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let document = openapi().to_pretty_json().expect("the document can be written");
        let webhooks = serde_json::to_string_pretty(&events::webhooks()).expect("JSON");
        // The library has no place for them; they come last, indented as the rest is.
        let open = document.trim_end().strip_suffix('}').expect("an object").trim_end();
        format!("{open},\n  \"webhooks\": {}\n}}\n", webhooks.replace('\n', "\n  "))
    })
}

#[get("/openapi.json")]
pub(super) async fn openapi_json() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(text())
}

#[get("/docs")]
pub(super) async fn docs() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "/docs/")).finish()
}

pub(super) fn swagger_ui() -> SwaggerUi {
    let config = Config::new(["/openapi.json", "/openapi/control-plane.json"])
        .try_it_out_enabled(true)
        .persist_authorization(true)
        .display_request_duration(true);
    SwaggerUi::new("/docs/{_:.*}").config(config)
}
