//! Servers of others that speak Neon's management API, and the projects that live there.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, delete, get, patch, post, web};
use jiff::Timestamp;
use plinth_control_plane::ProjectId;
use plinth_control_plane::remote::{
    Authorization, NewOAuth, NewRemote, NewSignIn, Remote, RemoteChange, RemoteId, RemoteProject,
    Tested,
};
use plinth_core::UserId;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use super::envelope::{Reply, envelope, page_envelope};
use super::etag::{IfMatch, tagged};
use super::input::{Paging, Valid, nested_object};
use super::keys::given;
use super::page::Page;
use super::problem::{EditProblems, Problems};
use super::{Caller, Problem, Services};

const LIST: &str = "remotes";

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_remotes)
        .service(create_remote)
        .service(get_remote)
        .service(update_remote)
        .service(delete_remote)
        .service(test_remote)
        .service(authorize_remote)
        .service(connect_remote)
        .service(add_remote_project)
        .service(remove_remote_project);
}

/// List remotes
///
/// Newest first, without their keys. Needs the scope `projects:read`.
#[utoipa::path(
    tag = "remotes",
    params(Paging),
    responses((status = 200, body = RemotePage, description = "A page of remotes."), Problems),
)]
#[get("/remotes")]
async fn list_remotes(
    caller: Caller,
    services: web::Data<Services>,
    paging: web::Query<Paging>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let after = paging.cursor(&services.cursors, LIST)?;
    let page = services.remotes.list(&permit, after, paging.limit()?).await?;
    let next = page.next.map(|it| services.cursors.seal(LIST, it));
    Ok(reply.page(page.items.into_iter().map(RemoteBody::from).collect(), next))
}

/// Add a remote
///
/// Neon, or another server that speaks its management API. With an API key, which is tried at once (`GET /users/me` there),
/// sealed, and never readable again; or with `oauth`, where somebody says yes in a browser afterwards: see
/// `POST /remotes/{id}/authorization`. Projects are made there with the `region_id` that the answer has. Needs the scope
/// `projects:write`.
#[utoipa::path(
    tag = "remotes",
    request_body = CreateRemote,
    responses((status = 201, body = RemoteEnvelope, description = "The remote."), Problems),
)]
#[post("/remotes")]
async fn create_remote(
    caller: Caller,
    services: web::Data<Services>,
    body: Valid<CreateRemote>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let (permit, body) = (caller.permit()?, body.0);
    let sign_in = match (body.key, body.oauth) {
        (Some(key), None) => NewSignIn::Key(key),
        (None, Some(it)) => NewSignIn::OAuth(NewOAuth {
            issuer: it.issuer,
            client_id: it.client_id,
            client_secret: it.client_secret,
            scopes: it.scopes,
        }),
        _ => {
            let rule = "either this or `oauth` has to be given";
            return Err(Problem::invalid(format!("key: {rule}"), json!({ "key": rule })));
        }
    };
    let new = NewRemote {
        name: body.name,
        base_url: body.base_url,
        sign_in,
        org_there: body.org_id,
        region: body.region_id,
    };
    let made = services.remotes.create(&permit, new).await?;
    let (location, revision) = (format!("/v1/remotes/{}", made.id), made.revision);
    Ok(tagged(reply.created(location, RemoteBody::from(made)), revision))
}

/// Read a remote
///
/// Without its key. `ETag` is its revision. Needs the scope `projects:read`.
#[utoipa::path(
    tag = "remotes",
    params(("id" = String, Path, description = "The remote's id.", example = "rem_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 200, body = RemoteEnvelope, description = "The remote."), Problems),
)]
#[get("/remotes/{id}")]
async fn get_remote(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<RemoteId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let found = services.remotes.get(&caller.permit()?, id.into_inner()).await?;
    let revision = found.revision;
    Ok(tagged(reply.ok(RemoteBody::from(found)), revision))
}

/// Change a remote
///
/// Its name, its key, which is tried at once, or where projects are made there. Where the remote is never changes: add
/// another one. With `If-Match` only what was read is changed. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "remotes",
    params(("id" = String, Path, description = "The remote's id.", example = "rem_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"), IfMatch),
    request_body = UpdateRemote,
    responses((status = 200, body = RemoteEnvelope, description = "The remote."), Problems, EditProblems),
)]
#[patch("/remotes/{id}")]
async fn update_remote(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<RemoteId>,
    seen: IfMatch,
    body: Valid<UpdateRemote>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let (permit, body) = (caller.permit()?, body.0);
    let change = RemoteChange {
        name: body.name,
        key: body.key,
        org_there: body.org_id,
        region: body.region_id,
        // Of several that the caller may have read, the newest can be the current one; none at all matches nothing.
        expected: seen.revisions().map(|it| it.iter().copied().max().unwrap_or(-1)),
    };
    let changed = services.remotes.change(&permit, id.into_inner(), change).await?;
    let revision = changed.revision;
    Ok(tagged(reply.ok(RemoteBody::from(changed)), revision))
}

/// Remove a remote
///
/// With its key. 409 while projects live there: delete them, or let them go. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "remotes",
    params(("id" = String, Path, description = "The remote's id.", example = "rem_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 204, description = "It is gone."), Problems),
)]
#[delete("/remotes/{id}")]
async fn delete_remote(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<RemoteId>,
) -> Result<HttpResponse, Problem> {
    services.remotes.remove(&caller.permit()?, id.into_inner()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Try a remote
///
/// Asks it who its key is. That it does not answer as it should is told in the answer. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "remotes",
    params(("id" = String, Path, description = "The remote's id.", example = "rem_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 200, body = RemoteTestEnvelope, description = "How it answered."), Problems),
)]
#[post("/remotes/{id}/test")]
async fn test_remote(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<RemoteId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let tested = services.remotes.test(&caller.permit()?, id.into_inner()).await?;
    Ok(reply.ok(RemoteTestBody::from(tested)))
}

/// Begin to sign in to a remote
///
/// By OAuth 2.0 with PKCE: open `authorize_url` in a browser and say yes there. The browser comes back to a page of this server
/// (`redirect_uri`, which has to be registered for the client) with a code and a state, and both go to
/// `POST /remotes/{id}/connection`. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "remotes",
    params(("id" = String, Path, description = "The remote's id.", example = "rem_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 200, body = RemoteAuthorizationEnvelope, description = "Where to say yes."), Problems),
)]
#[post("/remotes/{id}/authorization")]
async fn authorize_remote(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<RemoteId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let asked = services.remotes.authorize(&caller.permit()?, id.into_inner()).await?;
    let Authorization { url, expires_at } = asked;
    let redirect_uri = services.remotes.redirect_uri();
    Ok(reply.ok(RemoteAuthorizationBody { authorize_url: url, redirect_uri, expires_at }))
}

/// End signing in to a remote
///
/// With what the browser came back with. The tokens are tried at once, sealed, and renewed by themselves. Needs the scope
/// `projects:write`.
#[utoipa::path(
    tag = "remotes",
    params(("id" = String, Path, description = "The remote's id.", example = "rem_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    request_body = ConnectRemote,
    responses((status = 200, body = RemoteEnvelope, description = "The remote."), Problems),
)]
#[post("/remotes/{id}/connection")]
async fn connect_remote(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<RemoteId>,
    body: Valid<ConnectRemote>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let (permit, body) = (caller.permit()?, body.0);
    let remotes = &services.remotes;
    let remote = remotes.connect(&permit, id.into_inner(), &body.code, &body.state).await?;
    let revision = remote.revision;
    Ok(tagged(reply.ok(RemoteBody::from(remote)), revision))
}

#[derive(Deserialize)]
pub(super) struct Returned {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// Where browsers come back to from a remote's authorization server. It only shows what they bring: who has begun to sign in
/// has to hand it over themselves, so that nobody's yes ends up with somebody else.
#[get("/oauth/remote")]
pub(super) async fn returned(query: web::Query<Returned>) -> HttpResponse {
    let Returned { code, state, error, error_description } = query.into_inner();
    let page = Page::new("Sign in to a remote");
    match (code, state) {
        (Some(code), Some(state)) if error.is_none() => page
            .say("The remote has said yes. Give this to whoever asked you to sign in, if that is not yourself: it is good once, for some minutes, and only with Plinth.")
            .say("Send both as a JSON body to POST /v1/remotes/{id}/connection:")
            .say(&json!({ "code": code, "state": state }).to_string()),
        _ => {
            let why = error_description.or(error);
            let why = why.unwrap_or_else(|| "it came back without a code".to_owned());
            page.status(StatusCode::BAD_REQUEST)
                .fault(&format!("The remote has not said yes: {why}"))
                .say("Begin anew with POST /v1/remotes/{id}/authorization.")
        }
    }
    .answer()
}

/// Bring in a project of a remote
///
/// One that lives there already: from then on it is among the organization's at `/api/v2`. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "remotes",
    params(("id" = String, Path, description = "The remote's id.", example = "rem_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    request_body = AddRemoteProject,
    responses((status = 201, body = RemoteProjectEnvelope, description = "The project."), Problems),
)]
#[post("/remotes/{id}/projects")]
async fn add_remote_project(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<RemoteId>,
    body: Valid<AddRemoteProject>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let (permit, body) = (caller.permit()?, body.0);
    let project = services.remotes.adopt(&permit, id.into_inner(), &body.project_id).await?;
    let location = format!("/api/v2/projects/{}", project.id);
    Ok(reply.created(location, RemoteProjectBody::from(project)))
}

/// Let a project of a remote go
///
/// It is no longer among the organization's here, and goes on living there. Needs the scope `projects:write`.
#[utoipa::path(
    tag = "remotes",
    params(
        ("id" = String, Path, description = "The remote's id.", example = "rem_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
        ("project_id" = String, Path, description = "The project's id.", example = "still-meadow-47437464"),
    ),
    responses((status = 204, description = "It is not known here any more."), Problems),
)]
#[delete("/remotes/{id}/projects/{project_id}")]
async fn remove_remote_project(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(RemoteId, ProjectId)>,
) -> Result<HttpResponse, Problem> {
    let (id, project) = path.into_inner();
    services.remotes.forget(&caller.permit()?, id, &project).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A remote to add.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct CreateRemote {
    /// 1 to 40 lower-case letters, digits, `_` and `-`; unique in the organization.
    #[schema(example = "neon")]
    name: String,
    /// What comes before `/projects`: https, but for the machine itself. By default Neon's own.
    #[schema(example = "https://console.neon.tech/api/v2")]
    base_url: Option<String>,
    /// The API key; up to 1,000 characters. Without it there has to be `oauth`.
    #[schema(value_type = Option<String>, example = "napi_…")]
    key: Option<SecretString>,
    /// How to sign in instead of with a key.
    #[serde(default, deserialize_with = "nested_object")]
    #[schema(value_type = Option<CreateRemoteOAuth>)]
    oauth: Option<CreateRemoteOAuth>,
    /// The organization there in which projects are made; by default what its key means by none.
    #[schema(example = "org-morning-bread-81040908")]
    org_id: Option<String>,
    /// The region there in which projects are made unless said; by default the remote's.
    #[schema(example = "aws-eu-central-1")]
    region_id: Option<String>,
}

/// How Plinth signs in by OAuth 2.0.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateRemoteOAuth {
    /// Who gives the tokens; its metadata is read at once. By default Neon's own.
    #[schema(example = "https://oauth2.neon.tech")]
    issuer: Option<String>,
    /// What Plinth is called there.
    #[schema(example = "plinth")]
    client_id: String,
    /// The client's secret; none for a public client.
    #[schema(value_type = Option<String>)]
    client_secret: Option<SecretString>,
    /// What is asked for; by default what Neon needs for projects.
    scopes: Option<Vec<String>>,
}

/// What the browser came back with.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct ConnectRemote {
    #[schema(value_type = String)]
    code: SecretString,
    state: String,
}

/// Where to say yes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RemoteAuthorization)]
struct RemoteAuthorizationBody {
    authorize_url: String,
    /// Where the browser comes back to.
    redirect_uri: String,
    /// Until when what it comes back with is taken.
    expires_at: Timestamp,
}

/// What to change; what is left out stays.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct UpdateRemote {
    /// 1 to 40 lower-case letters, digits, `_` and `-`; unique in the organization.
    #[schema(example = "neon")]
    name: Option<String>,
    /// Another key in its place.
    #[schema(value_type = Option<String>, example = "napi_…")]
    key: Option<SecretString>,
    /// The organization there in which projects are made; null for what its key means by none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, example = "org-morning-bread-81040908")]
    org_id: Option<Option<String>>,
    /// The region there in which projects are made unless said; null for the remote's.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, example = "aws-eu-central-1")]
    region_id: Option<Option<String>>,
}

/// A project that lives at a remote.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct AddRemoteProject {
    /// Its id there.
    #[schema(example = "still-meadow-47437464")]
    project_id: String,
}

/// A remote, without its key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Remote)]
struct RemoteBody {
    #[schema(value_type = String, example = "rem_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: RemoteId,
    #[schema(example = "neon")]
    name: String,
    #[schema(example = "https://console.neon.tech/api/v2")]
    base_url: String,
    /// What names it in `POST /api/v2/projects`; a region there can follow, as in `neon:lab:aws-eu-central-1`.
    #[schema(example = "neon:neon")]
    region: String,
    /// The organization there in which projects are made.
    #[schema(required = true)]
    org_id: Option<String>,
    /// The region there in which projects are made unless said.
    #[schema(required = true)]
    region_id: Option<String>,
    /// `key` or `oauth`.
    #[schema(example = "key")]
    sign_in: &'static str,
    /// As whom it was last let in there; null where nobody has signed in yet.
    #[schema(required = true, example = "ann@example.com")]
    account: Option<String>,
    #[schema(value_type = String, example = "user_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    created_by: UserId,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<Remote> for RemoteBody {
    fn from(it: Remote) -> Self {
        Self {
            id: it.id,
            region: it.region_id(),
            name: it.name,
            base_url: it.base_url,
            org_id: it.org_there,
            region_id: it.region,
            sign_in: if it.oauth.is_some() { "oauth" } else { "key" },
            account: it.account,
            created_by: it.by,
            created_at: it.created_at,
            updated_at: it.updated_at,
        }
    }
}

/// How a remote answered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RemoteTest)]
struct RemoteTestBody {
    success: bool,
    /// As whom its key is let in.
    #[schema(required = true, example = "ann@example.com")]
    account: Option<String>,
    /// What is wrong, and what to do about it.
    #[schema(required = true)]
    fault: Option<String>,
    /// How long it took to answer.
    latency_ms: u64,
}

impl From<Tested> for RemoteTestBody {
    fn from(it: Tested) -> Self {
        let Tested { account, fault, latency_ms } = it;
        Self { success: fault.is_none(), account, fault, latency_ms }
    }
}

/// A project that lives at a remote.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RemoteProject)]
struct RemoteProjectBody {
    #[schema(value_type = String, example = "still-meadow-47437464")]
    id: ProjectId,
    name: String,
    #[schema(value_type = String, example = "rem_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    remote_id: RemoteId,
    /// Since when it is known here.
    created_at: Timestamp,
}

impl From<RemoteProject> for RemoteProjectBody {
    fn from(it: RemoteProject) -> Self {
        Self { id: it.id, name: it.name, remote_id: it.remote, created_at: it.created_at }
    }
}

envelope! {
    /// A remote.
    RemoteEnvelope(RemoteBody)
}
envelope! {
    /// Where to say yes.
    RemoteAuthorizationEnvelope(RemoteAuthorizationBody)
}
envelope! {
    /// How a remote answered.
    RemoteTestEnvelope(RemoteTestBody)
}
envelope! {
    /// A project that lives at a remote.
    RemoteProjectEnvelope(RemoteProjectBody)
}
page_envelope! {
    /// A page of remotes.
    RemotePage(RemoteBody)
}
