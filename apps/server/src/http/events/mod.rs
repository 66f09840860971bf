//! Subscriptions to events, and what was sent.

mod body;

use actix_web::{HttpResponse, delete, get, patch, post, web};
use plinth_workflows::events::{
    DeliveryId, EventKind, NewSubscription, SubscriptionChange, SubscriptionId,
};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use self::body::{
    DeliveryBody, DeliveryDetailBody, DeliveryDetailEnvelope, DeliveryEnvelope, DeliveryPage,
    EventTypeBody, EventTypesEnvelope, SecretBody, SecretEnvelope, SubscriptionBody,
    SubscriptionEnvelope, SubscriptionPage,
};
use super::envelope::Reply;
use super::etag::{IfMatch, tagged};
use super::input::{Paging, Valid};
use super::problem::{EditProblems, Problems};
use super::{Caller, Problem, Services};

const LIST: &str = "event subscriptions";
const DELIVERIES: &str = "event deliveries";

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_event_types)
        .service(list_event_subscriptions)
        .service(create_event_subscription)
        .service(get_event_subscription)
        .service(update_event_subscription)
        .service(delete_event_subscription)
        .service(get_event_secret)
        .service(rotate_event_secret)
        .service(ping_event_subscription)
        .service(list_event_deliveries)
        .service(get_event_delivery)
        .service(redeliver_event);
}

/// The document's `webhooks`: what is sent to subscribers, each with an example.
pub(super) fn webhooks() -> Value {
    let mut webhooks = Map::new();
    for kind in EventKind::ALL {
        let name = kind.as_str();
        let example = json!({
            "type": name, "timestamp": "2026-03-04T05:10:00Z",
            "organization_id": "018f3a2b-4c5d-7e6f-8091-a2b3c4d5e6f7", "data": kind.example(),
        });
        let header = |name: &str, about: &str, example: &str| {
            json!({
                "name": name, "in": "header", "required": true, "description": about,
                "schema": { "type": "string" }, "example": example,
            })
        };
        let operation = json!({ "post": {
            "operationId": format!("on_{}", name.replace('.', "_")),
            "summary": name,
            "description": kind.about(),
            "tags": ["events"],
            "security": [],
            "parameters": [
                header("webhook-id", "The event; the same each time it is sent.", "evt_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
                header("webhook-timestamp", "When it was sent, in Unix seconds.", "1772600767"),
                header("webhook-signature", "By Standard Webhooks; several, with blanks between, while a secret is replaced.", "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="),
            ],
            "requestBody": { "required": true, "content": { "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["type", "timestamp", "organization_id", "data"],
                    "properties": {
                        "type": { "type": "string", "const": name },
                        "timestamp": { "type": "string", "format": "date-time" },
                        "organization_id": { "type": "string", "format": "uuid" },
                        "data": { "type": "object" },
                    },
                },
                "example": example,
            } } },
            "responses": {
                "2XX": { "description": "Taken. Anything else is tried again, for about a day." },
                "410": { "description": "No more: the subscription is disabled." },
            },
        } });
        webhooks.insert(name.to_owned(), operation);
    }
    webhooks.into()
}

/// List event types
///
/// What can be subscribed to, each with an example of its data. The document's `webhooks` tell the same. Needs the scope
/// `admin`.
#[utoipa::path(
    tag = "events",
    responses((status = 200, body = EventTypesEnvelope, description = "The types."), Problems),
)]
#[get("/event-types")]
async fn list_event_types(caller: Caller, reply: Reply) -> Result<HttpResponse, Problem> {
    caller.permit::<plinth_core::AdminAll>()?;
    Ok(reply.ok(EventKind::ALL.map(EventTypeBody::from)))
}

/// List subscriptions
///
/// Newest first. Needs the scope `admin`.
#[utoipa::path(
    tag = "events",
    params(Paging),
    responses((status = 200, body = SubscriptionPage, description = "A page of subscriptions."), Problems),
)]
#[get("/event-subscriptions")]
async fn list_event_subscriptions(
    caller: Caller,
    services: web::Data<Services>,
    paging: web::Query<Paging>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let after = paging.cursor(&services.cursors, LIST)?;
    let page = services.events.list(&permit, after, paging.limit()?).await?;
    let next = page.next.map(|it| services.cursors.seal(LIST, it));
    Ok(reply.page(page.items.into_iter().map(SubscriptionBody::from).collect(), next))
}

/// Subscribe to events
///
/// What happens from now on is sent to the URL as Standard Webhooks says, signed with the secret of
/// `GET /v1/event-subscriptions/{id}/secret`. Needs the scope `admin`.
#[utoipa::path(
    tag = "events",
    request_body = CreateSubscription,
    responses((status = 201, body = SubscriptionEnvelope, description = "The subscription."), Problems),
)]
#[post("/event-subscriptions")]
async fn create_event_subscription(
    caller: Caller,
    services: web::Data<Services>,
    body: Valid<CreateSubscription>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let (permit, body) = (caller.permit()?, body.0);
    let new = NewSubscription {
        url: body.url,
        description: body.description.unwrap_or_default(),
        kinds: body.types,
        enabled: body.enabled.unwrap_or(true),
    };
    let made = services.events.create(&permit, new).await?;
    let (location, revision) = (format!("/v1/event-subscriptions/{}", made.id), made.revision);
    Ok(tagged(reply.created(location, SubscriptionBody::from(made)), revision))
}

/// Read a subscription
///
/// `ETag` is its revision. Needs the scope `admin`.
#[utoipa::path(
    tag = "events",
    params(("id" = String, Path, description = "The subscription's id.", example = "sub_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 200, body = SubscriptionEnvelope, description = "The subscription."), Problems),
)]
#[get("/event-subscriptions/{id}")]
async fn get_event_subscription(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<SubscriptionId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let found = services.events.get(&caller.permit()?, id.into_inner()).await?;
    let revision = found.revision;
    Ok(tagged(reply.ok(SubscriptionBody::from(found)), revision))
}

/// Change a subscription
///
/// What is left out stays. What waits is sent to the new URL. With `If-Match` only what was read is changed. Needs the scope
/// `admin`.
#[utoipa::path(
    tag = "events",
    params(("id" = String, Path, description = "The subscription's id.", example = "sub_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"), IfMatch),
    request_body = UpdateSubscription,
    responses((status = 200, body = SubscriptionEnvelope, description = "The subscription."), Problems, EditProblems),
)]
#[patch("/event-subscriptions/{id}")]
async fn update_event_subscription(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<SubscriptionId>,
    seen: IfMatch,
    body: Valid<UpdateSubscription>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let (permit, body) = (caller.permit()?, body.0);
    let change = SubscriptionChange {
        url: body.url,
        description: body.description,
        kinds: body.types,
        enabled: body.enabled,
        // Of several that the caller may have read, the newest can be the current one; none at all matches nothing.
        expected: seen.revisions().map(|it| it.iter().copied().max().unwrap_or(-1)),
    };
    let changed = services.events.change(&permit, id.into_inner(), change).await?;
    let revision = changed.revision;
    Ok(tagged(reply.ok(SubscriptionBody::from(changed)), revision))
}

/// Delete a subscription
///
/// With its deliveries; what waits is not sent. Needs the scope `admin`.
#[utoipa::path(
    tag = "events",
    params(("id" = String, Path, description = "The subscription's id.", example = "sub_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"), IfMatch),
    responses((status = 204, description = "It is gone."), Problems, EditProblems),
)]
#[delete("/event-subscriptions/{id}")]
async fn delete_event_subscription(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<SubscriptionId>,
    seen: IfMatch,
) -> Result<HttpResponse, Problem> {
    services.events.remove(&caller.permit()?, id.into_inner(), seen.revisions()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Read a subscription's secret
///
/// For checking signatures. Needs the scope `admin`.
#[utoipa::path(
    tag = "events",
    params(("id" = String, Path, description = "The subscription's id.", example = "sub_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 200, body = SecretEnvelope, description = "The secret."), Problems),
)]
#[get("/event-subscriptions/{id}/secret")]
async fn get_event_secret(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<SubscriptionId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let (secret, until) = services.events.secret(&caller.permit()?, id.into_inner()).await?;
    let secret = secret.expose_secret().to_owned();
    Ok(reply.ok(SecretBody { secret, previous_secret_until: until }))
}

/// Replace a subscription's secret
///
/// For 24 hours what is sent is signed with the new one and the one before. Read it at
/// `GET /v1/event-subscriptions/{id}/secret`. Needs the scope `admin`.
#[utoipa::path(
    tag = "events",
    params(("id" = String, Path, description = "The subscription's id.", example = "sub_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 204, description = "There is another."), Problems),
)]
#[post("/event-subscriptions/{id}/secret/rotate")]
async fn rotate_event_secret(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<SubscriptionId>,
) -> Result<HttpResponse, Problem> {
    services.events.rotate(&caller.permit()?, id.into_inner()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Try a subscription
///
/// Sends an event of the type `ping`; what comes of it is told by the delivery. 409 while it is disabled. Needs the scope
/// `admin`.
#[utoipa::path(
    tag = "events",
    params(("id" = String, Path, description = "The subscription's id.", example = "sub_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 202, body = DeliveryEnvelope, description = "The delivery, which waits."), Problems),
)]
#[post("/event-subscriptions/{id}/ping")]
async fn ping_event_subscription(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<SubscriptionId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let sent = services.events.ping(&caller.permit()?, id.into_inner()).await?;
    Ok(reply.accepted(DeliveryBody::from(&sent)))
}

/// List a subscription's deliveries
///
/// Newest first. They are kept for 30 days. Needs the scope `admin`.
#[utoipa::path(
    tag = "events",
    params(("id" = String, Path, description = "The subscription's id.", example = "sub_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"), Paging),
    responses((status = 200, body = DeliveryPage, description = "A page of deliveries."), Problems),
)]
#[get("/event-subscriptions/{id}/deliveries")]
async fn list_event_deliveries(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<SubscriptionId>,
    paging: web::Query<Paging>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let after = paging.cursor(&services.cursors, DELIVERIES)?;
    let page = services.events.deliveries(&permit, id.into_inner(), after, paging.limit()?).await?;
    let next = page.next.map(|it| services.cursors.seal(DELIVERIES, it));
    Ok(reply.page(page.items.iter().map(DeliveryBody::from).collect(), next))
}

/// Read a delivery
///
/// With what was sent, and every try. Needs the scope `admin`.
#[utoipa::path(
    tag = "events",
    params(
        ("id" = String, Path, description = "The subscription's id.", example = "sub_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
        ("delivery_id" = String, Path, description = "The delivery's id.", example = "dlv_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
    ),
    responses((status = 200, body = DeliveryDetailEnvelope, description = "The delivery."), Problems),
)]
#[get("/event-subscriptions/{id}/deliveries/{delivery_id}")]
async fn get_event_delivery(
    caller: Caller,
    services: web::Data<Services>,
    ids: web::Path<(SubscriptionId, DeliveryId)>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let (id, delivery) = ids.into_inner();
    let found = services.events.delivery(&caller.permit()?, id, delivery).await?;
    Ok(reply.ok(DeliveryDetailBody::from(found)))
}

/// Send an event again
///
/// As it was, under the same `webhook-id`, whatever became of it before; as a delivery of its own. 409 while the subscription
/// is disabled. Needs the scope `admin`.
#[utoipa::path(
    tag = "events",
    params(
        ("id" = String, Path, description = "The subscription's id.", example = "sub_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
        ("delivery_id" = String, Path, description = "The delivery's id.", example = "dlv_018f3a2b4c5d7e6f8091a2b3c4d5e6f7"),
    ),
    responses((status = 202, body = DeliveryEnvelope, description = "The new delivery, which waits."), Problems),
)]
#[post("/event-subscriptions/{id}/deliveries/{delivery_id}/redeliver")]
async fn redeliver_event(
    caller: Caller,
    services: web::Data<Services>,
    ids: web::Path<(SubscriptionId, DeliveryId)>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let (id, delivery) = ids.into_inner();
    let sent = services.events.redeliver(&caller.permit()?, id, delivery).await?;
    Ok(reply.accepted(DeliveryBody::from(&sent)))
}

/// A subscription to make.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct CreateSubscription {
    /// Where events are sent. It may hold a secret: admins alone see it.
    #[schema(example = "https://events.example.com/plinth")]
    url: String,
    /// Up to 500 characters.
    description: Option<String>,
    /// At least one of `GET /v1/event-types`.
    #[schema(example = json!(["workflow.run.failed"]))]
    types: Vec<String>,
    /// Whether events are sent, as without it.
    enabled: Option<bool>,
}

/// What to change; what is left out stays.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct UpdateSubscription {
    #[schema(example = "https://events.example.com/plinth")]
    url: Option<String>,
    /// Up to 500 characters.
    description: Option<String>,
    /// At least one of `GET /v1/event-types`.
    types: Option<Vec<String>>,
    /// Whether events are sent. `true` also takes back that Plinth disabled it.
    enabled: Option<bool>,
}
