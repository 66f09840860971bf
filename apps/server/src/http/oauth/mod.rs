//! OAuth 2.0 for third-party apps: the page on which people consent, what apps ask for tokens, and where both are
//! looked after.

mod apps;
mod consent;
mod grants;
mod token;

use actix_web::web;
use utoipa_actix_web::service_config::ServiceConfig;

/// The routes below `/v1`.
pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    apps::routes(config);
    grants::routes(config);
}

/// The routes that apps' OAuth libraries find by the server's metadata.
pub(super) fn protocol(config: &mut ServiceConfig<'_>) {
    config
        .service(token::metadata)
        .service(token::exchange)
        .service(token::revoke)
        .service(token::introspect);
}

/// The pages that people see in their browser.
pub(super) fn pages(config: &mut web::ServiceConfig) {
    config.service(consent::show).service(consent::submit);
}
