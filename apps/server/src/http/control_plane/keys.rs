use std::collections::HashMap;

use actix_web::{HttpResponse, delete, get, post, web};
use plinth_core::{AdminAll, ErrorKind, KeyId, Member, OwnKeys, Permit, TeamRead, UserId};
use plinth_tenancy::{ApiKey, KeyKind, KeyLimits, KeyScope, NewKey};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::optional;
use super::organizations::{all_of, members};
use super::projects::{of_caller, org};
use crate::http::problem::ControlPlaneProblems;
use crate::http::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_own_api_keys)
        .service(create_own_api_key)
        .service(revoke_own_api_key)
        .service(list_organization_api_keys)
        .service(create_organization_api_key)
        .service(revoke_organization_api_key);
}

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = ApiKeyCreateRequest)]
struct CreateKey {
    #[schema(example = "deployment")]
    key_name: String,
    /// A key for one project; there are none here.
    project_id: Option<String>,
}

/// Keys with the numbers that this API names them by, and who made them.
struct Keys {
    all: Vec<ApiKey>,
    numbers: HashMap<KeyId, i64>,
    names: HashMap<UserId, String>,
}

impl Keys {
    /// The keys that work.
    async fn read(caller: &Caller, services: &Services) -> Result<Self, Problem> {
        let permit = caller.permit::<OwnKeys>()?;
        let tenancy = &services.tenancy;
        let now = services.clock.now();
        let mut all =
            all_of(async |after, limit| tenancy.list_keys(&permit, after, limit).await).await?;
        all.retain(|it| it.is_valid(now));
        let numbers = tenancy.key_numbers(&permit).await?;
        let mut names = HashMap::new();
        if let Ok(permit) = caller.permit::<TeamRead>() {
            let team = members(services, &permit).await?;
            names.extend(team.into_iter().map(|it| (it.user, it.email.as_str().to_owned())));
        } else {
            let me: Permit<Member> = caller.permit()?;
            let (user, _) = services.accounts.me(&me).await?;
            names.insert(user.id, user.email.as_str().to_owned());
        }
        Ok(Self { all, numbers, names })
    }

    /// Those of one person.
    fn of(mut self, user: UserId) -> Self {
        self.all.retain(|it| it.user == user);
        self
    }

    fn bodies(&self) -> Vec<Value> {
        let body = |it: &ApiKey| {
            json!({
                "id": self.number(it),
                "name": it.name,
                "created_at": it.created_at,
                "created_by": {
                    "id": it.user.as_uuid(),
                    "name": self.names.get(&it.user).map_or("", String::as_str),
                    "image": "",
                },
                "last_used_at": it.last_used_at,
                // From where is in the audit trail.
                "last_used_from_addr": "",
            })
        };
        self.all.iter().map(body).collect()
    }

    fn number(&self, key: &ApiKey) -> i64 {
        self.numbers.get(&key.id).copied().unwrap_or_default()
    }

    /// Ends the key of that number.
    async fn revoke(
        &self,
        caller: &Caller,
        services: &Services,
        number: i64,
    ) -> Result<HttpResponse, Problem> {
        let not_found = || Problem::new(ErrorKind::NotFound, "API key not found", None);
        let key = self.all.iter().find(|it| self.number(it) == number).ok_or_else(not_found)?;
        services.tenancy.revoke_key(&caller.permit()?, key.id).await?;
        Ok(HttpResponse::Ok().json(json!({
            "id": number,
            "name": key.name,
            "created_at": key.created_at,
            "created_by": key.user.as_uuid(),
            "last_used_at": key.last_used_at,
            "last_used_from_addr": "",
            "revoked": true,
        })))
    }
}

/// Makes a key of all that the caller may.
async fn create(
    caller: &Caller,
    services: &Services,
    body: &[u8],
) -> Result<HttpResponse, Problem> {
    let CreateKey { key_name, project_id } = optional(body)?;
    if project_id.is_some() {
        let rule = plinth_control_plane::Rule::NotHere("an API key for one project");
        return Err(plinth_control_plane::ControlPlaneError::from(rule).into());
    }
    let permit = caller.permit()?;
    let new = NewKey {
        name: key_name,
        kind: KeyKind::Live,
        scope: KeyScope::Full,
        expires_at: None,
        limits: KeyLimits::default(),
    };
    let (key, secret) = services.tenancy.create_key(&permit, new).await?;
    let number = services.tenancy.key_numbers(&permit).await?.get(&key.id).copied();
    Ok(HttpResponse::Ok().json(json!({
        "id": number.unwrap_or_default(),
        "key": secret.expose(),
        "name": key.name,
        "created_at": key.created_at,
        "created_by": key.user.as_uuid(),
    })))
}

/// Keys of everybody in the organization are the admins' to see and end.
fn admin(caller: &Caller, named: &str) -> Result<(), Problem> {
    of_caller(caller, Some(&org(named)?.to_string()))?;
    caller.permit::<AdminAll>()?;
    Ok(())
}

/// List one's own API keys
///
/// Those that work, never their secrets. Needs the scope `admin`, or a sign-in.
#[utoipa::path(
    tag = "account",
    responses((status = 200, description = "An array of keys."), ControlPlaneProblems),
)]
#[get("/api_keys")]
async fn list_own_api_keys(
    caller: Caller,
    services: web::Data<Services>,
) -> Result<HttpResponse, Problem> {
    let keys = Keys::read(&caller, &services).await?.of(caller.principal().user);
    Ok(HttpResponse::Ok().json(keys.bodies()))
}

/// Make an API key
///
/// It carries all that its maker may, in the organization that they call for. Its secret is in this answer and nowhere else.
/// Needs the scope `admin`, or a sign-in where the organization lets its members make keys.
#[utoipa::path(
    tag = "account",
    request_body = CreateKey,
    responses((status = 200, description = "The key, with its secret."), ControlPlaneProblems),
)]
#[post("/api_keys")]
async fn create_own_api_key(
    caller: Caller,
    services: web::Data<Services>,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    create(&caller, &services, &body).await
}

/// Revoke one's own API key
///
/// It stops working at once. Needs the scope `admin`, or a sign-in.
#[utoipa::path(
    tag = "account",
    params(("key_id" = i64, Path, description = "The key's number.")),
    responses((status = 200, description = "The key."), ControlPlaneProblems),
)]
#[delete("/api_keys/{key_id}")]
async fn revoke_own_api_key(
    caller: Caller,
    services: web::Data<Services>,
    number: web::Path<i64>,
) -> Result<HttpResponse, Problem> {
    let keys = Keys::read(&caller, &services).await?.of(caller.principal().user);
    keys.revoke(&caller, &services, *number).await
}

/// List an organization's API keys
///
/// Everybody's that work, never their secrets. Needs the scope `admin`.
#[utoipa::path(
    tag = "account",
    params(("org_id" = uuid::Uuid, Path, description = "The organization's id.")),
    responses((status = 200, description = "An array of keys."), ControlPlaneProblems),
)]
#[get("/organizations/{org_id}/api_keys")]
async fn list_organization_api_keys(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    admin(&caller, &id)?;
    Ok(HttpResponse::Ok().json(Keys::read(&caller, &services).await?.bodies()))
}

/// Make an API key of an organization
///
/// Like the caller's own keys it carries all that its maker may, and ends with their membership. Needs the scope `admin`.
#[utoipa::path(
    tag = "account",
    params(("org_id" = uuid::Uuid, Path, description = "The organization's id.")),
    request_body = CreateKey,
    responses((status = 200, description = "The key, with its secret."), ControlPlaneProblems),
)]
#[post("/organizations/{org_id}/api_keys")]
async fn create_organization_api_key(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<String>,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    admin(&caller, &id)?;
    create(&caller, &services, &body).await
}

/// Revoke an API key of an organization
///
/// It stops working at once. Needs the scope `admin`.
#[utoipa::path(
    tag = "account",
    params(("org_id" = uuid::Uuid, Path, description = "The organization's id."), ("key_id" = i64, Path, description = "The key's number.")),
    responses((status = 200, description = "The key."), ControlPlaneProblems),
)]
#[delete("/organizations/{org_id}/api_keys/{key_id}")]
async fn revoke_organization_api_key(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(String, i64)>,
) -> Result<HttpResponse, Problem> {
    let (id, number) = path.into_inner();
    admin(&caller, &id)?;
    Keys::read(&caller, &services).await?.revoke(&caller, &services, number).await
}
