//! Who sees which rows and values of a connection.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, delete, get, patch, post, web};
use jiff::Timestamp;
use plinth_connections::ConnectionId;
use plinth_queries::policies::{
    Audience, Effective, EffectiveTable, Policy, PolicyChange, PolicyDraft, PolicyId, PolicyName,
};
use plinth_sql_guard::Mask;
use plinth_tenancy::{MemberId, RoleKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use super::envelope::{Meta, Reply, envelope};
use super::etag::{IfMatch, tagged};
use super::input::Valid;
use super::keys::given;
use super::problem::{DatabaseProblems, ErrorBody, Problems};
use super::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_policies)
        .service(create_policy)
        // Before the one with an id in its place.
        .service(get_effective_policies)
        .service(get_policy)
        .service(update_policy)
        .service(delete_policy);
}

/// List policies of a connection
///
/// All of them, by name. Needs the scope `connections:write`.
#[utoipa::path(
    tag = "policies",
    params(("id" = String, Path, description = "The connection's id.")),
    responses((status = 200, body = PoliciesEnvelope, description = "The policies."), Problems),
)]
#[get("/connections/{id}/policies")]
async fn list_policies(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ConnectionId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let all = services.queries.policies().list(&permit, id.into_inner()).await?;
    Ok(reply.ok(all.iter().map(PolicyBody::from).collect::<Vec<_>>()))
}

/// Write a policy
///
/// What members with some roles see of one table or view: the rows that satisfy a condition, and some columns under a mask.
/// Several policies of a table add up: a row has to satisfy every condition, and the stricter mask counts. It binds every
/// question and statement, whoever's key it comes with, here at once and on every server within a second.
///
/// In `rows`, `{{user.name}}` is an attribute of whoever reads that is a text, and `{{user.name::type}}` one of another type;
/// `id`, `email` and `role` everybody has. The guard and the database try the policy out before it is kept.
///
/// A view or materialized view over a table with a policy is closed to those whom the policy binds until it has a policy of
/// its own; one without `rows` and `masks` opens it as it is. Needs the scope `connections:write`, and that no policy of the
/// connection binds you, unless you are the owner.
#[utoipa::path(
    tag = "policies",
    params(("id" = String, Path, description = "The connection's id.")),
    request_body = CreatePolicy,
    responses(
        (status = 201, body = PolicyEnvelope, description = "The policy.", headers(("ETag" = String, description = "Names this revision."))),
        Problems, DatabaseProblems,
    ),
)]
#[post("/connections/{id}/policies")]
async fn create_policy(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ConnectionId>,
    body: Valid<CreatePolicy>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let connection = id.into_inner();
    let CreatePolicy { name, description, table, roles, except_roles, rows, masks, active } =
        body.0;
    let audience = audience(roles, except_roles)?.ok_or_else(one_audience)?;
    let draft = PolicyDraft {
        name: PolicyName::parse(&name)?,
        description,
        table,
        audience,
        rows,
        masks: read_masks(masks)?,
        is_active: active.unwrap_or(true),
    };
    let policy = services.queries.policies().create(&permit, connection, draft).await?;
    let location = format!("/v1/connections/{connection}/policies/{}", policy.id);
    Ok(tagged(reply.created(location, PolicyBody::from(&policy)), policy.revision))
}

/// Show a policy
///
/// Needs the scope `connections:write`.
#[utoipa::path(
    tag = "policies",
    params(
        ("id" = String, Path, description = "The connection's id."),
        ("policy_id" = String, Path, description = "The policy's id.", example = "pol_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
    ),
    responses(
        (status = 200, body = PolicyEnvelope, description = "The policy.", headers(("ETag" = String, description = "Names this revision."))),
        Problems,
    ),
)]
#[get("/connections/{id}/policies/{policy_id}")]
async fn get_policy(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ConnectionId, PolicyId)>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (connection, id) = path.into_inner();
    let policy = services.queries.policies().get(&permit, connection, id).await?;
    Ok(tagged(reply.ok(PolicyBody::from(&policy)), policy.revision))
}

/// Change a policy
///
/// What is left out stays; the table is the policy's for good. Tried out and in force as when it is written. Needs the scope
/// `connections:write`, and that no policy of the connection binds you, unless you are the owner.
#[utoipa::path(
    tag = "policies",
    params(
        ("id" = String, Path, description = "The connection's id."),
        ("policy_id" = String, Path, description = "The policy's id.", example = "pol_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the policy as you read it."),
    ),
    request_body = UpdatePolicy,
    responses(
        (status = 200, body = PolicyEnvelope, description = "The policy.", headers(("ETag" = String, description = "Names this revision."))),
        (status = 412, body = ErrorBody, description = "`precondition_failed`: it has changed since it was read."),
        Problems, DatabaseProblems,
    ),
)]
#[patch("/connections/{id}/policies/{policy_id}")]
async fn update_policy(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ConnectionId, PolicyId)>,
    expected: IfMatch,
    body: Valid<UpdatePolicy>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (connection, id) = path.into_inner();
    let UpdatePolicy { name, description, roles, except_roles, rows, masks, active } = body.0;
    let change = PolicyChange {
        name: name.as_deref().map(PolicyName::parse).transpose()?,
        description,
        audience: audience(roles, except_roles)?,
        rows,
        masks: masks.map(read_masks).transpose()?,
        is_active: active,
    };
    let policies = services.queries.policies();
    let policy = policies.update(&permit, connection, id, change, expected.revisions()).await?;
    Ok(tagged(reply.ok(PolicyBody::from(&policy)), policy.revision))
}

/// Delete a policy
///
/// Those whom it bound see what it hid, here at once and on every server within a second. Needs the scope
/// `connections:write`, and that no policy of the connection binds you, unless you are the owner.
#[utoipa::path(
    tag = "policies",
    params(
        ("id" = String, Path, description = "The connection's id."),
        ("policy_id" = String, Path, description = "The policy's id.", example = "pol_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the policy as you read it."),
    ),
    responses(
        (status = 204, description = "Deleted."),
        (status = 412, body = ErrorBody, description = "`precondition_failed`: it has changed since it was read."),
        Problems,
    ),
)]
#[delete("/connections/{id}/policies/{policy_id}")]
async fn delete_policy(
    caller: Caller,
    services: web::Data<Services>,
    path: web::Path<(ConnectionId, PolicyId)>,
    expected: IfMatch,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (connection, id) = path.into_inner();
    services.queries.policies().remove(&permit, connection, id, expected.revisions()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Whose view of the tables.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Whose {
    /// The member; yourself if left out.
    #[param(value_type = Option<String>, example = "mem_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    member: Option<MemberId>,
}

/// Show what a member gets to see
///
/// The tables and views that policies limit for the member or close to them; everything else is seen as the connection shows
/// it. Your own needs the scope `connections:read`, another member's `connections:write`.
#[utoipa::path(
    tag = "policies",
    params(("id" = String, Path, description = "The connection's id."), Whose),
    responses((status = 200, body = EffectiveEnvelope, description = "What they see."), Problems, DatabaseProblems),
)]
#[get("/connections/{id}/policies/effective")]
async fn get_effective_policies(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ConnectionId>,
    whose: web::Query<Whose>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let policies = services.queries.policies();
    let found = policies.effective(&permit, id.into_inner(), whose.member).await??;
    Ok(reply.ok(EffectiveBody::from(&found)))
}

fn one_audience() -> Problem {
    let rule = "name either roles or except_roles";
    Problem::invalid(rule, json!({ "roles": rule, "except_roles": rule }))
}

fn audience(
    roles: Option<Vec<String>>,
    except_roles: Option<Vec<String>>,
) -> Result<Option<Audience>, Problem> {
    let read = |names: Vec<String>, field: &'static str| {
        let keys = names.iter().map(|it| it.parse::<RoleKey>()).collect::<Result<Vec<_>, _>>();
        keys.map_err(|it| Problem::invalid(it.to_string(), json!({ field: it.to_string() })))
    };
    match (roles, except_roles) {
        (Some(_), Some(_)) => Err(one_audience()),
        (Some(names), None) => Ok(Some(Audience::Roles(read(names, "roles")?))),
        (None, Some(names)) => Ok(Some(Audience::Except(read(names, "except_roles")?))),
        (None, None) => Ok(None),
    }
}

fn read_masks(sent: BTreeMap<String, MaskBody>) -> Result<BTreeMap<String, Mask>, Problem> {
    let read = |(column, it): (String, MaskBody)| {
        let mask = match it {
            MaskBody::Full {} => Mask::Full,
            MaskBody::Null {} => Mask::Null,
            MaskBody::Hash {} => Mask::Hash,
            MaskBody::Partial { keep_last } if (1..=32).contains(&keep_last) => {
                Mask::Partial { keep_last }
            }
            MaskBody::Partial { .. } => {
                let rule = "keep_last is 1 to 32";
                return Err(Problem::invalid(rule, json!({ "masks": rule })));
            }
        };
        Ok((column, mask))
    };
    sent.into_iter().map(read).collect()
}

/// What stands in the place of a column's values.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = Mask)]
enum MaskBody {
    /// `***` in a column of words, null in any other.
    Full {},
    /// `***` and the last characters of the text.
    Partial {
        /// How many of them.
        #[schema(minimum = 1, maximum = 32, example = 4)]
        keep_last: u8,
    },
    /// A keyed hash of the text, the same for the same value throughout the connection.
    Hash {},
    /// Null.
    Null {},
}

impl From<Mask> for MaskBody {
    fn from(it: Mask) -> Self {
        match it {
            Mask::Full => Self::Full {},
            Mask::Null => Self::Null {},
            Mask::Hash => Self::Hash {},
            Mask::Partial { keep_last } => Self::Partial { keep_last },
        }
    }
}

/// A policy to be written.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct CreatePolicy {
    /// Unique for the connection.
    #[schema(example = "Regions", min_length = 1, max_length = 100)]
    name: String,
    /// What it is for.
    #[schema(max_length = 2000)]
    #[validate(length(max = 2000, message = "a description has at most 2000 characters"))]
    description: Option<String>,
    /// The table or view, as `schema.table`.
    #[schema(example = "public.customers")]
    table: String,
    /// Whom it binds: `owner`, `admin`, `editor`, `viewer`, or ids of roles of your own. Either this or `except_roles`.
    #[schema(example = json!(["editor", "viewer"]))]
    roles: Option<Vec<String>>,
    /// It binds everybody but these roles, also roles that are made later.
    #[schema(example = json!(null))]
    except_roles: Option<Vec<String>>,
    /// Which rows they see, as a condition of SQL over the table's columns; all if left out.
    #[schema(example = "country = {{user.country}}", max_length = 4000)]
    rows: Option<String>,
    /// Columns that they see under a mask.
    #[serde(default)]
    #[schema(example = json!({ "email": { "type": "partial", "keep_last": 4 } }))]
    masks: BTreeMap<String, MaskBody>,
    /// Whether it holds at once; it does if left out.
    active: Option<bool>,
}

/// What to change; what is left out stays.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct UpdatePolicy {
    /// Unique for the connection.
    #[schema(example = "Regions", min_length = 1, max_length = 100)]
    name: Option<String>,
    /// What it is for; null takes it away.
    #[serde(default, deserialize_with = "given")]
    #[expect(clippy::option_option, reason = "left out, null and a value mean three things")]
    #[schema(value_type = Option<String>, max_length = 2000)]
    #[validate(length(max = 2000, message = "a description has at most 2000 characters"))]
    description: Option<Option<String>>,
    /// Whom it binds, instead of before. Either this or `except_roles`.
    #[schema(example = json!(["viewer"]))]
    roles: Option<Vec<String>>,
    /// Whom it does not bind, instead of before.
    #[schema(example = json!(null))]
    except_roles: Option<Vec<String>>,
    /// Which rows they see; null: all.
    #[serde(default, deserialize_with = "given")]
    #[expect(clippy::option_option, reason = "left out, null and a value mean three things")]
    #[schema(value_type = Option<String>, example = "country = {{user.country}}", max_length = 4000)]
    rows: Option<Option<String>>,
    /// All the columns that they see under a mask.
    #[schema(example = json!({ "email": { "type": "hash" } }))]
    masks: Option<BTreeMap<String, MaskBody>>,
    /// Whether it holds.
    active: Option<bool>,
}

/// What some roles see of one table.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Policy)]
struct PolicyBody {
    #[schema(example = "pol_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: String,
    connection_id: String,
    #[schema(example = "Regions")]
    name: String,
    #[schema(required = true)]
    description: Option<String>,
    /// As `schema.table`, by the name that it had when the policy was written; it follows when the table is renamed.
    #[schema(example = "public.customers")]
    table: String,
    /// Whom it binds; null if it binds everybody but `except_roles`.
    #[schema(required = true, example = json!(["editor", "viewer"]))]
    roles: Option<Vec<String>>,
    /// Whom it does not bind; null if it binds `roles`.
    #[schema(required = true)]
    except_roles: Option<Vec<String>>,
    /// Which rows they see; null: all.
    #[schema(required = true, example = "country = {{user.country}}")]
    rows: Option<String>,
    /// Columns that they see under a mask.
    masks: BTreeMap<String, MaskBody>,
    /// Whether it holds.
    active: bool,
    created_by: String,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<&Policy> for PolicyBody {
    fn from(it: &Policy) -> Self {
        let names = it.audience.roles().iter().map(ToString::to_string).collect();
        let (roles, except_roles) = match it.audience {
            Audience::Roles(_) => (Some(names), None),
            Audience::Except(_) => (None, Some(names)),
        };
        Self {
            id: it.id.to_string(),
            connection_id: it.connection.to_string(),
            name: it.name.as_str().to_owned(),
            description: it.description.clone(),
            table: it.table.to_string(),
            roles,
            except_roles,
            rows: it.rows.clone(),
            masks: it.masks.iter().map(|(column, it)| (column.clone(), it.mask.into())).collect(),
            active: it.is_active,
            created_by: it.created_by.to_string(),
            created_at: it.created_at,
            updated_at: it.updated_at,
        }
    }
}

/// What policies leave a member to see.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EffectivePolicies)]
struct EffectiveBody {
    #[schema(example = "mem_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    member_id: String,
    #[schema(example = "ben@example.com")]
    email: String,
    #[schema(example = "editor")]
    role: String,
    /// What the organization says of the member.
    #[schema(value_type = BTreeMap<String, Value>, example = json!({ "country": { "type": "text", "value": "Germany" } }))]
    attributes: BTreeMap<String, Value>,
    /// Attributes that the policies need and that the member lacks, or has as another type, with the type that is needed:
    /// statements over such tables are refused.
    #[schema(example = json!({}))]
    missing_attributes: BTreeMap<String, String>,
    /// Tables and views that are limited or closed.
    tables: Vec<EffectiveTableBody>,
}

/// What a member sees of one table or view.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EffectiveTable)]
struct EffectiveTableBody {
    #[schema(example = "public.customers")]
    table: String,
    /// The policies behind it.
    policies: Vec<String>,
    /// Conditions that a row has to satisfy, all of them; none: every row is seen.
    #[schema(example = json!(["country = {{user.country}}"]))]
    rows: Vec<String>,
    /// Columns under a mask.
    masks: BTreeMap<String, MaskBody>,
    /// Why it cannot be read at all; null if it can.
    #[schema(required = true)]
    closed: Option<String>,
}

impl From<&Effective> for EffectiveBody {
    fn from(it: &Effective) -> Self {
        let viewer = &it.viewer;
        let attributes = viewer.attributes.iter();
        let missing = it.missing.iter();
        Self {
            member_id: viewer.member.to_string(),
            email: viewer.email.clone(),
            role: viewer.role.to_string(),
            attributes: attributes.map(|(name, it)| (name.clone(), it.to_json())).collect(),
            missing_attributes: missing.map(|(name, of)| (name.clone(), of.to_string())).collect(),
            tables: it.tables.iter().map(EffectiveTableBody::from).collect(),
        }
    }
}

impl From<&EffectiveTable> for EffectiveTableBody {
    fn from(it: &EffectiveTable) -> Self {
        Self {
            table: it.table.to_string(),
            policies: it.policies.iter().map(ToString::to_string).collect(),
            rows: it.rows.clone(),
            masks: it.masks.iter().map(|(column, mask)| (column.clone(), (*mask).into())).collect(),
            closed: it.closed.clone(),
        }
    }
}

envelope! {
    /// A policy.
    PolicyEnvelope(PolicyBody)
}
envelope! {
    /// What a member gets to see.
    EffectiveEnvelope(EffectiveBody)
}

/// Policies.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its derive is used; the answers are written by Reply")]
struct PoliciesEnvelope {
    data: Vec<PolicyBody>,
    meta: Meta,
}
