//! Credentials that workflows' calls carry.

use actix_web::{HttpResponse, delete, get, patch, post, web};
use jiff::Timestamp;
use plinth_core::UserId;
use plinth_workflows::secrets::{
    CredentialChange, CredentialId, CredentialKind, NewCredential, StoredCredential,
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use super::envelope::{Reply, envelope, page_envelope};
use super::etag::{IfMatch, tagged};
use super::input::{Paging, Valid};
use super::problem::{EditProblems, Problems};
use super::{Caller, Problem, Services};

const LIST: &str = "credentials";

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_credentials)
        .service(create_credential)
        .service(get_credential)
        .service(update_credential)
        .service(delete_credential);
}

/// List credentials
///
/// Newest first, without their secrets. Needs the scope `workflows:read`.
#[utoipa::path(
    tag = "credentials",
    params(Paging),
    responses((status = 200, body = CredentialPage, description = "A page of credentials."), Problems),
)]
#[get("/credentials")]
async fn list_credentials(
    caller: Caller,
    services: web::Data<Services>,
    paging: web::Query<Paging>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let after = paging.cursor(&services.cursors, LIST)?;
    let page = services.credentials.list(&permit, after, paging.limit()?).await?;
    let next = page.next.map(|it| services.cursors.seal(LIST, it));
    Ok(reply.page(page.items.into_iter().map(CredentialBody::from).collect(), next))
}

/// Keep a credential
///
/// For one receiver, sealed, and never readable again; actions of workflows use it by its name, and it is sent to no other
/// origin. Needs the scope `workflows:write`.
#[utoipa::path(
    tag = "credentials",
    request_body = CreateCredential,
    responses((status = 201, body = CredentialEnvelope, description = "The credential."), Problems),
)]
#[post("/credentials")]
async fn create_credential(
    caller: Caller,
    services: web::Data<Services>,
    body: Valid<CreateCredential>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let (permit, body) = (caller.permit()?, body.0);
    let kind = body.kind()?;
    let new = NewCredential { name: body.name, origin: body.origin, kind, secret: body.secret };
    let made = services.credentials.create(&permit, new).await?;
    let (location, revision) = (format!("/v1/credentials/{}", made.id), made.revision);
    Ok(tagged(reply.created(location, CredentialBody::from(made)), revision))
}

/// Read a credential
///
/// Without its secret. `ETag` is its revision. Needs the scope `workflows:read`.
#[utoipa::path(
    tag = "credentials",
    params(("id" = String, Path, description = "The credential's id.", example = "cred_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 200, body = CredentialEnvelope, description = "The credential."), Problems),
)]
#[get("/credentials/{id}")]
async fn get_credential(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<CredentialId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let found = services.credentials.get(&caller.permit()?, id.into_inner()).await?;
    let revision = found.revision;
    Ok(tagged(reply.ok(CredentialBody::from(found)), revision))
}

/// Change a credential
///
/// Its name, or its secret. Where it goes and how it is sent never changes: make another one. With `If-Match` only what was
/// read is changed. Needs the scope `workflows:write`.
#[utoipa::path(
    tag = "credentials",
    params(("id" = String, Path, description = "The credential's id.", example = "cred_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"), IfMatch),
    request_body = UpdateCredential,
    responses((status = 200, body = CredentialEnvelope, description = "The credential."), Problems, EditProblems),
)]
#[patch("/credentials/{id}")]
async fn update_credential(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<CredentialId>,
    seen: IfMatch,
    body: Valid<UpdateCredential>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let (permit, body) = (caller.permit()?, body.0);
    let change = CredentialChange {
        name: body.name,
        secret: body.secret,
        // Of several that the caller may have read, the newest can be the current one; none at all matches nothing.
        expected: seen.revisions().map(|it| it.iter().copied().max().unwrap_or(-1)),
    };
    let changed = services.credentials.change(&permit, id.into_inner(), change).await?;
    let revision = changed.revision;
    Ok(tagged(reply.ok(CredentialBody::from(changed)), revision))
}

/// Delete a credential
///
/// Actions that name it fail from then on. Needs the scope `workflows:write`.
#[utoipa::path(
    tag = "credentials",
    params(("id" = String, Path, description = "The credential's id.", example = "cred_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"), IfMatch),
    responses((status = 204, description = "It is gone."), Problems, EditProblems),
)]
#[delete("/credentials/{id}")]
async fn delete_credential(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<CredentialId>,
    seen: IfMatch,
) -> Result<HttpResponse, Problem> {
    services.credentials.remove(&caller.permit()?, id.into_inner(), seen.revisions()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A credential to keep.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct CreateCredential {
    /// 1 to 63 lower-case letters, digits, `_` and `-`; unique in the organization.
    #[schema(example = "slack-bot")]
    name: String,
    /// Scheme, host and port of the only receiver that gets it; https, but for the machine itself.
    #[schema(example = "https://slack.com")]
    origin: String,
    /// `bearer` (also a bot token of Slack), `basic` (with `username`), `header` (with `header`), or `url`: the secret is
    /// the whole URL of an incoming webhook of Slack.
    #[serde(rename = "type")]
    #[schema(example = "bearer")]
    kind: String,
    /// Of `basic`.
    username: Option<String>,
    /// The header's name, of `header`.
    header: Option<String>,
    /// The secret; up to 4,096 characters.
    #[schema(value_type = String, example = "xoxb-…")]
    secret: SecretString,
}

impl CreateCredential {
    fn kind(&self) -> Result<CredentialKind, Problem> {
        let label = match self.kind.as_str() {
            "basic" => self.username.as_deref().filter(|_| self.header.is_none()),
            "header" => self.header.as_deref().filter(|_| self.username.is_none()),
            "bearer" | "url" => self.username.as_deref().or(self.header.as_deref()),
            _ => None,
        };
        CredentialKind::from_parts(&self.kind, label).ok_or_else(|| {
            let rule =
                "has to be `bearer`, `url`, `basic` with `username`, or `header` with `header`";
            Problem::invalid(format!("type {rule}"), json!({ "type": rule }))
        })
    }
}

/// What to change; what is left out stays.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct UpdateCredential {
    /// 1 to 63 lower-case letters, digits, `_` and `-`; unique in the organization.
    #[schema(example = "slack-bot")]
    name: Option<String>,
    /// Another secret in its place.
    #[schema(value_type = Option<String>, example = "xoxb-…")]
    secret: Option<SecretString>,
}

/// A credential, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StoredCredential)]
struct CredentialBody {
    #[schema(value_type = String, example = "cred_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: CredentialId,
    #[schema(example = "slack-bot")]
    name: String,
    #[schema(example = "https://slack.com")]
    origin: String,
    /// `bearer`, `basic`, `header` or `url`.
    #[serde(rename = "type")]
    #[schema(example = "bearer")]
    kind: &'static str,
    #[schema(required = true)]
    username: Option<String>,
    #[schema(required = true)]
    header: Option<String>,
    #[schema(value_type = String, example = "user_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    created_by: UserId,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<StoredCredential> for CredentialBody {
    fn from(it: StoredCredential) -> Self {
        let label = it.kind.label().map(str::to_owned);
        let is_basic = matches!(it.kind, CredentialKind::Basic(_));
        Self {
            id: it.id,
            name: it.name,
            origin: it.origin,
            username: label.clone().filter(|_| is_basic),
            header: label.filter(|_| !is_basic),
            kind: it.kind.as_str(),
            created_by: it.by,
            created_at: it.created_at,
            updated_at: it.updated_at,
        }
    }
}

envelope! {
    /// A credential.
    CredentialEnvelope(CredentialBody)
}
page_envelope! {
    /// A page of credentials.
    CredentialPage(CredentialBody)
}
