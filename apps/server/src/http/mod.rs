//! Routes and what they share. A handler parses, takes a permit, calls one service and answers.

mod alerts;
mod area;
mod audit;
mod auth;
mod caller;
mod client_address;
mod connections;
mod control_plane;
mod credentials;
mod dashboards;
mod database_configs;
mod document;
mod envelope;
mod etag;
mod events;
mod fallback;
mod idempotency;
mod identity_providers;
mod input;
mod invitation_page;
mod keys;
mod limits;
mod me;
mod misc;
mod models;
mod moment;
mod oauth;
mod observe;
mod operation;
mod organizations;
mod page;
mod password_page;
mod policies;
mod problem;
mod queries;
mod refusals;
mod remotes;
mod schemas;
mod team;
mod visit;
mod workflows;
mod write_connections;

use actix_web::web;
use utoipa_actix_web::service_config::ServiceConfig;

use area::area;
pub(crate) use caller::{Caller, SignedInCaller};
pub use control_plane::openapi as control_plane_openapi;
pub(crate) use control_plane::text as control_plane_document_text;
pub use document::openapi;
pub use document::text as document_text;
pub use problem::Problem;

use crate::boot::Services;

/// The routes of the platform family, below `/v1` and below `/api/v1`. Those of an area are looked through only for paths
/// that begin with one of its words, and for these no others are: all routes of a word stand in one area.
fn platform(config: &mut ServiceConfig<'_>) {
    config
        .service(area(&["connections"], |config| {
            connections::routes(config);
            schemas::routes(config);
            policies::routes(config);
            queries::language_routes(config);
        }))
        .service(area(&["queries", "query-runs", "conversations"], queries::routes))
        .service(area(&["models", "model-settings", "usage"], models::routes))
        .service(area(&["api-keys", "setup"], keys::routes))
        .service(area(&["auth"], auth::routes))
        .service(area(&["me", "oauth-apps"], |config| {
            me::routes(config);
            oauth::routes(config);
        }))
        .service(area(&["identity-providers"], identity_providers::routes))
        .service(area(&["team", "invitations", "roles"], team::routes))
        .service(area(&["organizations"], organizations::routes))
        .service(area(&["audit"], audit::routes))
        .service(area(&["misc"], misc::routes))
        .service(area(&["dashboards", "shared-dashboards"], dashboards::routes))
        .service(area(&["workflows", "hooks"], workflows::routes))
        .service(area(&["credentials"], credentials::routes))
        .service(area(&["alerts"], alerts::routes))
        .service(area(&["event-subscriptions", "event-types"], events::routes))
        .service(area(&["write-connections"], write_connections::routes))
        .service(area(&["remotes"], remotes::routes));
}

/// Everything that a server answers; `main` and tests use the same.
pub fn configure(services: Services) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        config
            .app_data(web::Data::new(services))
            .app_data(input::json_config())
            .app_data(input::query_config())
            .app_data(input::path_config())
            .app_data(web::PayloadConfig::new(input::MAX_BODY_BYTES))
            .service(operation::healthz);
        // First, because they are asked most. `/api/v1` is the self-hosted address of the same routes.
        for prefix in ["/v1", "/api/v1"] {
            let routes =
                |config: &mut web::ServiceConfig| platform(&mut ServiceConfig::new(config));
            config.service(web::scope(prefix).configure(routes));
        }
        config
            .service(document::openapi_json)
            .service(control_plane::openapi_json)
            .service(document::docs)
            .service(document::swagger_ui())
            .service(operation::readyz)
            .service(operation::metrics)
            .service(auth::jwks)
            .service(invitation_page::show)
            .service(invitation_page::submit)
            .service(password_page::show)
            .service(password_page::submit)
            .service(remotes::returned)
            .configure(oauth::pages)
            .configure(|config| oauth::protocol(&mut ServiceConfig::new(config)));
        database_configs::routes(&mut ServiceConfig::new(config));
        let routes = |config: &mut web::ServiceConfig| {
            control_plane::routes(&mut ServiceConfig::new(config));
        };
        let remote = actix_web::middleware::from_fn(control_plane::pass);
        config.service(web::scope("/api/v2").configure(routes).wrap(remote));
        config.default_service(web::to(fallback::unmatched));
    }
}

/// What goes around every request; wrap the app in it.
pub use observe::observe;
