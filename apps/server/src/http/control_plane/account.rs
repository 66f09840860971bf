use actix_web::{HttpResponse, get, web};
use jiff::Timestamp;
use plinth_core::{Credential, Member, Permit, ProjectsRead};
use plinth_tenancy::Organization;
use serde_json::{Value, json};
use utoipa_actix_web::service_config::ServiceConfig;

use super::body::REGION;
use super::projects::{of_caller, org};
use crate::http::problem::ControlPlaneProblems;
use crate::http::{Caller, Problem, Services, SignedInCaller};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(get_current_user)
        .service(get_current_user_organizations)
        .service(get_auth_details)
        .service(get_organization)
        .service(list_regions);
}

/// Who is calling
///
/// Any key or token may ask.
#[utoipa::path(
    tag = "account",
    responses((status = 200, description = "The user; limits of 0 mean none."), ControlPlaneProblems),
)]
#[get("/users/me")]
async fn get_current_user(
    caller: Caller,
    services: web::Data<Services>,
) -> Result<HttpResponse, Problem> {
    let permit: Permit<Member> = caller.permit()?;
    let (user, _) = services.accounts.me(&permit).await?;
    let email = user.email.as_str();
    Ok(HttpResponse::Ok().json(json!({
        "id": user.id.as_uuid(),
        "email": email,
        "login": email,
        "name": email.split('@').next(),
        "last_name": "",
        "image": "",
        "auth_accounts": [],
        "plan": "free_v3",
        "billing_account": nobody_pays(email, user.created_at),
        "active_seconds_limit": 0,
        "projects_limit": 0,
        "branches_limit": 0,
        "max_autoscaling_limit": 64.0,
        "compute_seconds_limit": 0,
    })))
}

/// That nothing is billed here. Neon's description lets it be left out, its client for Python does not.
fn nobody_pays(email: &str, since: Timestamp) -> Value {
    json!({
        "state": "UNKNOWN",
        "payment_source": { "type": "" },
        "subscription_type": "UNKNOWN",
        "payment_method": "none",
        "quota_reset_at_last": since,
        "name": "",
        "email": email,
        "address_city": "",
        "address_country": "",
        "address_line1": "",
        "address_line2": "",
        "address_postal_code": "",
        "address_state": "",
    })
}

/// The caller's organizations
///
/// All that they belong to, for who signed in; else the one that the key or token is for. Any key or token may ask.
#[utoipa::path(
    tag = "account",
    responses((status = 200, description = "`organizations`."), ControlPlaneProblems),
)]
#[get("/users/me/organizations")]
async fn get_current_user_organizations(
    caller: Caller,
    person: Result<SignedInCaller, Problem>,
    services: web::Data<Services>,
) -> Result<HttpResponse, Problem> {
    let all = match person {
        Ok(person) => {
            let all = services.organizations.list(&person).await?;
            all.iter().filter(|it| it.deleting_at.is_none()).map(|it| body(it)).collect()
        }
        Err(_) => vec![organization(&caller, &services).await?],
    };
    Ok(HttpResponse::Ok().json(json!({ "organizations": all })))
}

/// Read an organization
///
/// The caller's own. Any key or token may ask.
#[utoipa::path(
    tag = "account",
    params(("org_id" = uuid::Uuid, Path, description = "The organization's id.")),
    responses((status = 200, description = "The organization."), ControlPlaneProblems),
)]
#[get("/organizations/{org_id}")]
async fn get_organization(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    of_caller(&caller, Some(&org(&id)?.to_string()))?;
    Ok(HttpResponse::Ok().json(organization(&caller, &services).await?))
}

async fn organization(caller: &Caller, services: &Services) -> Result<Value, Problem> {
    let permit: Permit<Member> = caller.permit()?;
    Ok(body(&services.organizations.get(&permit, permit.org()).await?))
}

fn body(it: &Organization) -> Value {
    json!({
        "id": it.id,
        "name": it.name.as_str(),
        "handle": it.id,
        "plan": "free_v3",
        "managed_by": "console",
        "created_at": it.created_at,
        "updated_at": it.created_at,
    })
}

/// How the caller showed who they are
///
/// Any key or token may ask.
#[utoipa::path(
    tag = "account",
    responses((status = 200, description = "The account and the method."), ControlPlaneProblems),
)]
#[get("/auth")]
async fn get_auth_details(caller: Caller) -> Result<HttpResponse, Problem> {
    let principal = caller.principal();
    let method = match principal.credential {
        Credential::Key(_) => "api_key_user",
        _ => "oauth",
    };
    Ok(HttpResponse::Ok().json(json!({
        "account_id": principal.user.as_uuid(), "auth_method": method,
    })))
}

/// List regions
///
/// This installation is one, and each remote of the organization another. Needs the scope `projects:read`.
#[utoipa::path(
    tag = "account",
    responses((status = 200, description = "`regions`."), ControlPlaneProblems),
)]
#[get("/regions")]
async fn list_regions(
    caller: Caller,
    services: web::Data<Services>,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit::<ProjectsRead>()?;
    let region = |id: &str, name: &str, is_default: bool| {
        json!({
            "region_id": id, "name": name, "default": is_default, "geo_lat": "0", "geo_long": "0",
        })
    };
    let mut all = vec![region(REGION, "This installation", true)];
    let remotes = services.remotes.regions(&permit).await?;
    all.extend(remotes.iter().map(|it| region(&it.region_id(), &it.base_url, false)));
    Ok(HttpResponse::Ok().json(json!({ "regions": all })))
}
