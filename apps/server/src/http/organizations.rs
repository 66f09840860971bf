use actix_web::{HttpResponse, delete, get, patch, post, web};
use jiff::Timestamp;
use plinth_core::OrgId;
use plinth_tenancy::organizations::{NewOrganization, OrganizationChange};
use plinth_tenancy::{MemberId, Organization, OrganizationName, TimeZoneName};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;
use validator::Validate;

use super::caller::CallerOfClosing;
use super::envelope::{Meta, Reply, envelope};
use super::input::{Valid, nested_object};
use super::keys::given;
use super::problem::Problems;
use super::team::{MemberBody, MemberEnvelope};
use super::{Caller, Problem, Services, SignedInCaller};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_organizations)
        .service(create_organization)
        .service(get_organization)
        .service(update_organization)
        .service(transfer_organization)
        .service(delete_organization)
        .service(restore_organization);
}

/// List organizations
///
/// Those that you belong to, oldest membership first, also while they are being deleted. Needs a sign-in.
#[utoipa::path(
    tag = "organizations",
    responses((status = 200, body = OrganizationsEnvelope, description = "The organizations."), Problems),
    security(("bearer" = [])),
)]
#[get("/organizations")]
async fn list_organizations(
    person: SignedInCaller,
    services: web::Data<Services>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let all = services.organizations.list(&person).await?;
    Ok(reply.ok(all.iter().map(|it| OrganizationBody::from(it.as_ref())).collect::<Vec<_>>()))
}

/// Make an organization
///
/// You own it, and pick it with `x-tenant-id`. Needs a sign-in.
#[utoipa::path(
    tag = "organizations",
    request_body = CreateOrganization,
    responses((status = 201, body = OrganizationEnvelope, description = "The organization."), Problems),
    security(("bearer" = [])),
)]
#[post("/organizations")]
async fn create_organization(
    person: SignedInCaller,
    services: web::Data<Services>,
    body: Valid<CreateOrganization>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let time_zone = body.time_zone.as_deref().map(TimeZoneName::parse).transpose()?;
    let new = NewOrganization {
        name: OrganizationName::parse(&body.name)?,
        time_zone: time_zone.unwrap_or_else(TimeZoneName::utc),
    };
    let made = services.organizations.create(&person, new).await?;
    Ok(reply.created(format!("/v1/organizations/{}", made.id), OrganizationBody::from(&made)))
}

/// Read an organization
///
/// The one that the call is for (`x-tenant-id` picks another), also while it is being deleted. Any member may.
#[utoipa::path(
    tag = "organizations",
    params(("id" = Uuid, Path, description = "The organization's id.")),
    responses((status = 200, body = OrganizationEnvelope, description = "The organization."), Problems),
)]
#[get("/organizations/{id}")]
async fn get_organization(
    caller: CallerOfClosing,
    services: web::Data<Services>,
    id: web::Path<OrgId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let found = services.organizations.get(&caller.permit()?, id.into_inner()).await?;
    Ok(reply.ok(OrganizationBody::from(&found)))
}

/// Change an organization
///
/// Its name, its time zone and its settings; here at once and on every server within a second. Needs the scope `admin`.
#[utoipa::path(
    tag = "organizations",
    params(("id" = Uuid, Path, description = "The organization's id.")),
    request_body = UpdateOrganization,
    responses((status = 200, body = OrganizationEnvelope, description = "The organization."), Problems),
)]
#[patch("/organizations/{id}")]
async fn update_organization(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<OrgId>,
    body: Valid<UpdateOrganization>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let UpdateOrganization { name, time_zone, settings } = body.0;
    let change = OrganizationChange {
        name: name.as_deref().map(OrganizationName::parse).transpose()?,
        time_zone: time_zone.as_deref().map(TimeZoneName::parse).transpose()?,
        member_keys: settings.as_ref().and_then(|it| it.member_keys),
        plan_cost_limit: settings.as_ref().and_then(|it| it.plan_cost_limit),
        plan_row_limit: settings.as_ref().and_then(|it| it.plan_row_limit),
    };
    if change.plan_cost_limit.flatten().is_some_and(|it| !it.is_finite() || it <= 0.0) {
        return Err(above_zero("plan_cost_limit"));
    }
    if change.plan_row_limit.flatten().is_some_and(|it| it == 0 || i64::try_from(it).is_err()) {
        return Err(above_zero("plan_row_limit"));
    }
    let changed = services.organizations.change(&permit, id.into_inner(), &change).await?;
    Ok(reply.ok(OrganizationBody::from(&changed)))
}

fn above_zero(field: &'static str) -> Problem {
    let rule = "a number above 0, or null for no limit";
    Problem::invalid(format!("{field}: {rule}"), json!({ field: rule }))
}

/// Hand an organization over
///
/// The member becomes its owner, the owner an admin; both get a letter. Needs the owner, signed in.
#[utoipa::path(
    tag = "organizations",
    params(("id" = Uuid, Path, description = "The organization's id.")),
    request_body = TransferOrganization,
    responses((status = 200, body = MemberEnvelope, description = "The new owner."), Problems),
    security(("bearer" = [])),
)]
#[post("/organizations/{id}/transfer")]
async fn transfer_organization(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<OrgId>,
    body: Valid<TransferOrganization>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let to = body.member_id;
    let owner = services.organizations.hand_over(&permit, id.into_inner(), to).await?;
    Ok(reply.ok(MemberBody::from(owner)))
}

/// Delete an organization
///
/// Until `deleting_at` every call for it answers 409, and its owner can restore it; then it is gone, with its members,
/// keys, connections, history and trail. Its owner and admins get a letter. Needs the owner, signed in, and the
/// organization's name as `confirm`.
#[utoipa::path(
    tag = "organizations",
    params(("id" = Uuid, Path, description = "The organization's id."), Confirmation),
    responses((status = 202, body = OrganizationEnvelope, description = "It will be deleted at `deleting_at`."), Problems),
    security(("bearer" = [])),
)]
#[delete("/organizations/{id}")]
async fn delete_organization(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<OrgId>,
    query: web::Query<Confirmation>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let marked = services.organizations.delete(&permit, id.into_inner(), &query.confirm).await?;
    Ok(reply.accepted(OrganizationBody::from(&marked)))
}

/// Restore an organization
///
/// Takes its deletion back. Needs the owner, signed in.
#[utoipa::path(
    tag = "organizations",
    params(("id" = Uuid, Path, description = "The organization's id.")),
    responses((status = 200, body = OrganizationEnvelope, description = "The organization."), Problems),
    security(("bearer" = [])),
)]
#[post("/organizations/{id}/restore")]
async fn restore_organization(
    caller: CallerOfClosing,
    services: web::Data<Services>,
    id: web::Path<OrgId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let restored = services.organizations.restore(&caller.permit()?, id.into_inner()).await?;
    Ok(reply.ok(OrganizationBody::from(&restored)))
}

/// An organization to make.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct CreateOrganization {
    /// 1 to 100 characters; unique in the installation.
    #[schema(example = "Example Shop")]
    name: String,
    /// An IANA name: what "today" and "this week" mean there; UTC if left out.
    #[schema(example = "Europe/Berlin")]
    time_zone: Option<String>,
}

/// What to change; what is left out stays.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct UpdateOrganization {
    /// 1 to 100 characters; unique in the installation.
    #[schema(example = "Example Shop")]
    name: Option<String>,
    /// An IANA name: what "today" and "this week" mean there.
    #[schema(example = "Europe/Berlin")]
    time_zone: Option<String>,
    #[serde(default, deserialize_with = "nested_object")]
    settings: Option<UpdateSettings>,
}

/// Settings to change; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct UpdateSettings {
    /// Whether members without the scope `admin` may make API keys for themselves.
    member_keys: Option<bool>,
    /// The planner's cost above which no statement is run; null: no limit.
    #[serde(default, deserialize_with = "given")]
    #[expect(clippy::option_option, reason = "left out, null and a value mean three things")]
    #[schema(value_type = Option<f64>, exclusive_minimum = 0, example = json!(1_000_000.0))]
    plan_cost_limit: Option<Option<f64>>,
    /// How many rows the planner may expect of a statement that is run; null: no limit.
    #[serde(default, deserialize_with = "given")]
    #[expect(clippy::option_option, reason = "left out, null and a value mean three things")]
    #[schema(value_type = Option<u64>, minimum = 1, example = json!(10_000_000))]
    plan_row_limit: Option<Option<u64>>,
}

/// To whom to hand over.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct TransferOrganization {
    /// The member who becomes the owner.
    #[schema(value_type = String, example = "mem_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    member_id: MemberId,
}

/// That it is meant.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Confirmation {
    /// The organization's name.
    #[param(example = "Example Shop")]
    confirm: String,
}

/// An organization.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Organization)]
struct OrganizationBody {
    id: Uuid,
    #[schema(example = "Example Shop")]
    name: String,
    #[schema(example = "Europe/Berlin")]
    time_zone: String,
    settings: SettingsBody,
    plan: PlanBody,
    created_at: Timestamp,
    /// When it will be deleted for good; null unless its owner asked for that.
    #[schema(required = true)]
    deleting_at: Option<Timestamp>,
}

/// What an organization's admins decide.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrganizationSettings)]
struct SettingsBody {
    /// Whether members without the scope `admin` may make API keys for themselves.
    member_keys: bool,
    /// The planner's cost above which no statement is run; null: no limit.
    #[schema(required = true)]
    plan_cost_limit: Option<f64>,
    /// How many rows the planner may expect of a statement that is run; null: no limit.
    #[schema(required = true)]
    plan_row_limit: Option<u64>,
}

/// How much it may call; the operator's to say.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Plan)]
struct PlanBody {
    /// `self-hosted`, `free`, `pro` or `custom`.
    #[schema(example = "self-hosted")]
    name: &'static str,
    /// Requests a minute.
    per_minute: u32,
    /// Requests a day (UTC).
    per_day: u32,
}

impl From<&Organization> for OrganizationBody {
    fn from(it: &Organization) -> Self {
        let rate = it.plan.rate();
        Self {
            id: it.id.as_uuid(),
            name: it.name.as_str().to_owned(),
            time_zone: it.time_zone.clone(),
            settings: SettingsBody {
                member_keys: it.settings.member_keys,
                plan_cost_limit: it.settings.plan_cost_limit,
                plan_row_limit: it.settings.plan_row_limit,
            },
            plan: PlanBody {
                name: it.plan.as_str(),
                per_minute: rate.per_minute,
                per_day: rate.per_day,
            },
            created_at: it.created_at,
            deleting_at: it.deleting_at,
        }
    }
}

envelope! {
    /// An organization.
    OrganizationEnvelope(OrganizationBody)
}

/// Organizations.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its derive is used; the answers are written by Reply")]
struct OrganizationsEnvelope {
    data: Vec<OrganizationBody>,
    meta: Meta,
}
