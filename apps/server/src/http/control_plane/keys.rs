use std::collections::HashMap;

use actix_web::{HttpResponse, delete, get, post, web};
use plinth_control_plane::ProjectId;
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
    /// The only project that the key is to reach; only for an organization's keys.
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
            let mut body = json!({
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
            });
            put_project(&mut body, it);
            body
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
        let mut body = json!({
            "id": number,
            "name": key.name,
            "created_at": key.created_at,
            "created_by": key.user.as_uuid(),
            "last_used_at": key.last_used_at,
            "last_used_from_addr": "",
            "revoked": true,
        });
        put_project(&mut body, key);
        Ok(HttpResponse::Ok().json(body))
    }
}

/// Tells which project a key is for, if it is for one.
fn put_project(body: &mut Value, key: &ApiKey) {
    if let Some(project) = &key.project {
        body["project_id"] = json!(project);
    }
}

/// Makes a key of all that the caller may; for one project, if it names one of the organization's.
async fn create(
    caller: &Caller,
    services: &Services,
    wanted: CreateKey,
) -> Result<HttpResponse, Problem> {
    let CreateKey { key_name, project_id } = wanted;
    let permit = caller.permit()?;
    let project = match project_id {
        Some(id) => {
            let not_found = || Problem::new(ErrorKind::NotFound, "project not found", None);
            let id: ProjectId = id.parse().map_err(|_| not_found())?;
            let away = services.remotes.project(caller.principal(), &id).await?;
            if away.is_none_or(|it| it.deleted_at.is_some()) {
                let tree = services.control_plane.get(&caller.permit()?, &id).await?;
                // One that is shared with the caller is another organization's to give keys for.
                if tree.project.org != caller.principal().org {
                    return Err(not_found());
                }
            }
            Some(id.to_string())
        }
        None => None,
    };
    let new = NewKey {
        name: key_name,
        kind: KeyKind::Live,
        scope: if project.is_some() { KeyScope::of_project() } else { KeyScope::Full },
        expires_at: None,
        limits: KeyLimits::default(),
        project,
    };
    let (key, secret) = services.tenancy.create_key(&permit, new).await?;
    let number = services.tenancy.key_numbers(&permit).await?.get(&key.id).copied();
    let mut body = json!({
        "id": number.unwrap_or_default(),
        "key": secret.expose(),
        "name": key.name,
        "created_at": key.created_at,
        "created_by": key.user.as_uuid(),
    });
    put_project(&mut body, &key);
    Ok(HttpResponse::Ok().json(body))
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
    let wanted: CreateKey = optional(&body)?;
    if wanted.project_id.is_some() {
        // Left unheeded, it would make a key that reaches more than was asked for.
        let rule = "is for an organization's keys: POST /organizations/{org_id}/api_keys";
        return Err(Problem::invalid(format!("project_id {rule}"), json!({ "project_id": rule })));
    }
    create(&caller, &services, wanted).await
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
/// Like the caller's own keys it carries all that its maker may, and ends with their membership. With `project_id` it reaches
/// that project and nothing else, and can neither delete it nor give it away. Needs the scope `admin`.
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
    create(&caller, &services, optional(&body)?).await
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
