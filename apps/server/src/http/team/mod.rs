//! Members, invitations and roles of an organization.

pub(super) mod attributes;
mod invitations;
mod members;
mod roles;

pub(super) use members::{MemberBody, MemberEnvelope};

use utoipa_actix_web::service_config::ServiceConfig;

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    members::routes(config);
    attributes::routes(config);
    invitations::routes(config);
    roles::routes(config);
}
