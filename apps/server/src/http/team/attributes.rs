use std::collections::BTreeMap;

use actix_web::{HttpResponse, get, put, web};
use plinth_core::Attribute;
use plinth_tenancy::MemberId;
use plinth_tenancy::team::{MemberAttributes, TeamError, parse_attributes};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use crate::http::envelope::{Reply, envelope};
use crate::http::etag::{IfMatch, tagged};
use crate::http::input::Valid;
use crate::http::problem::{ErrorBody, Problems};
use crate::http::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(get_member_attributes).service(put_member_attributes);
}

/// Show a member's attributes
///
/// What the organization says of the member, for policies to go by. Needs the scope `team:read`.
#[utoipa::path(
    tag = "team",
    params(("member_id" = String, Path, description = "The member's id.", example = "mem_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses(
        (status = 200, body = AttributesEnvelope, description = "The attributes.", headers(("ETag" = String, description = "Names this revision."))),
        Problems,
    ),
)]
#[get("/team/members/{member_id}/attributes")]
async fn get_member_attributes(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<MemberId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let found = services.team.attributes(&permit, id.into_inner()).await?;
    Ok(answer(&found, &reply))
}

/// Set a member's attributes
///
/// All of them: what is left out goes. Policies of connections go by them within a second, as `{{user.name}}`; `id`, `email`
/// and `role` everybody has by themselves. Needs the scope `team:write`, or `admin` where it is about yourself; the member
/// may not be above you.
#[utoipa::path(
    tag = "team",
    params(
        ("member_id" = String, Path, description = "The member's id.", example = "mem_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the attributes as you read them."),
    ),
    request_body = PutAttributes,
    responses(
        (status = 200, body = AttributesEnvelope, description = "The attributes.", headers(("ETag" = String, description = "Names this revision."))),
        (status = 412, body = ErrorBody, description = "`precondition_failed`: they have changed since they were read."),
        Problems,
    ),
)]
#[put("/team/members/{member_id}/attributes")]
async fn put_member_attributes(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<MemberId>,
    expected: IfMatch,
    body: Valid<PutAttributes>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let attributes = read(body.0.attributes)?;
    let id = id.into_inner();
    let set = services.team.set_attributes(&permit, id, attributes, expected.revisions()).await?;
    Ok(answer(&set, &reply))
}

fn answer(of: &MemberAttributes, reply: &Reply) -> HttpResponse {
    tagged(reply.ok(AttributesBody { attributes: shown(&of.attributes) }), of.revision)
}

/// Reads attributes by name.
pub(in crate::http) fn read(
    sent: BTreeMap<String, AttributeBody>,
) -> Result<BTreeMap<String, Attribute>, TeamError> {
    parse_attributes(sent.into_iter().map(|(name, it)| (name, it.of, it.value)))
}

/// Shows them.
pub(in crate::http) fn shown(of: &BTreeMap<String, Attribute>) -> BTreeMap<String, AttributeBody> {
    let body =
        |it: &Attribute| AttributeBody { of: it.of().to_string(), value: it.value().clone() };
    of.iter().map(|(name, it)| (name.clone(), body(it))).collect()
}

/// What is said of a member from now on.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct PutAttributes {
    /// By name: a lower-case letter, then such letters, digits and underscores. At most 50.
    #[schema(example = json!({ "country": { "type": "text", "value": "Germany" } }))]
    attributes: BTreeMap<String, AttributeBody>,
}

/// What is said of a member.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MemberAttributes)]
struct AttributesBody {
    /// By name.
    #[schema(example = json!({ "country": { "type": "text", "value": "Germany" } }))]
    attributes: BTreeMap<String, AttributeBody>,
}

/// A value with its type.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Attribute)]
pub(in crate::http) struct AttributeBody {
    /// `text`, `integer`, `number`, `boolean`, `date`, `timestamp` or `uuid`; with `[]` after it a list of such.
    #[serde(rename = "type")]
    #[schema(example = "text")]
    of: String,
    /// A JSON value that fits the type: dates, moments and UUIDs are texts.
    #[schema(value_type = Value, example = json!("Germany"))]
    value: Value,
}

envelope! {
    /// A member's attributes.
    AttributesEnvelope(AttributesBody)
}
