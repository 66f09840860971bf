use jiff::Timestamp;
use plinth_core::UserId;
use plinth_workflows::events::{
    Delivery, DeliveryId, EventKind, HappenedId, Subscription, SubscriptionId, Try,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::http::envelope::{Meta, envelope, page_envelope};

/// Something that can be subscribed to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventType)]
pub(super) struct EventTypeBody {
    #[serde(rename = "type")]
    #[schema(example = "workflow.run.failed")]
    name: &'static str,
    /// When it comes.
    description: &'static str,
    /// What its `data` looks like.
    #[schema(value_type = Object)]
    example: Value,
}

impl From<EventKind> for EventTypeBody {
    fn from(it: EventKind) -> Self {
        Self { name: it.as_str(), description: it.about(), example: it.example() }
    }
}

/// A subscription.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventSubscription)]
pub(super) struct SubscriptionBody {
    #[schema(value_type = String, example = "sub_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: SubscriptionId,
    #[schema(example = "https://events.example.com/plinth")]
    url: String,
    description: String,
    types: Vec<&'static str>,
    enabled: bool,
    /// Why Plinth disabled it; null if it did not.
    #[schema(required = true)]
    disabled_reason: Option<String>,
    #[schema(value_type = String, example = "user_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    created_by: UserId,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<Subscription> for SubscriptionBody {
    fn from(it: Subscription) -> Self {
        Self {
            id: it.id,
            url: it.url,
            description: it.description,
            types: it.kinds.into_iter().map(EventKind::as_str).collect(),
            enabled: it.enabled,
            disabled_reason: it.ended_why,
            created_by: it.by,
            created_at: it.created_at,
            updated_at: it.updated_at,
        }
    }
}

/// With what events are signed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventSecret)]
pub(super) struct SecretBody {
    #[schema(example = "whsec_…")]
    pub(super) secret: String,
    /// Until when what is sent is also signed with the secret before; null where there was none.
    #[schema(required = true)]
    pub(super) previous_secret_until: Option<Timestamp>,
}

/// An event on its way to a subscriber.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventDelivery)]
pub(super) struct DeliveryBody {
    #[schema(value_type = String, example = "dlv_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: DeliveryId,
    /// What happened; sent as `webhook-id`.
    #[schema(value_type = String, example = "evt_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    event_id: HappenedId,
    #[serde(rename = "type")]
    #[schema(example = "workflow.run.failed")]
    kind: &'static str,
    /// `waiting`, `delivered` or `failed`.
    #[schema(example = "delivered")]
    status: &'static str,
    /// How often it was tried.
    attempt_count: i32,
    /// When it is tried next; null when it is over.
    #[schema(required = true)]
    next_attempt_at: Option<Timestamp>,
    created_at: Timestamp,
    #[schema(required = true)]
    ended_at: Option<Timestamp>,
}

impl From<&Delivery> for DeliveryBody {
    fn from(it: &Delivery) -> Self {
        Self {
            id: it.id,
            event_id: it.happened,
            kind: it.kind.as_str(),
            status: it.state.as_str(),
            attempt_count: it.tries,
            next_attempt_at: it.due_at,
            created_at: it.created_at,
            ended_at: it.ended_at,
        }
    }
}

/// A delivery with all that happened to it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventDeliveryDetail)]
pub(super) struct DeliveryDetailBody {
    #[serde(flatten)]
    delivery: DeliveryBody,
    /// What is sent.
    #[schema(value_type = Object)]
    payload: Value,
    attempts: Vec<TryBody>,
}

/// One try.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventDeliveryAttempt)]
struct TryBody {
    number: i32,
    /// Of the answer; null if there was none.
    #[schema(required = true)]
    status_code: Option<i32>,
    /// The beginning of the answer.
    #[schema(required = true)]
    response: Option<String>,
    #[schema(required = true)]
    error: Option<String>,
    duration_ms: i64,
    at: Timestamp,
}

impl From<(Delivery, Vec<Try>)> for DeliveryDetailBody {
    fn from((delivery, tries): (Delivery, Vec<Try>)) -> Self {
        let attempts = tries.into_iter().map(|it| TryBody {
            number: it.number,
            status_code: it.status,
            response: it.response,
            error: it.error,
            duration_ms: it.duration_ms,
            at: it.at,
        });
        Self {
            payload: serde_json::from_str(&delivery.body).unwrap_or_default(),
            delivery: DeliveryBody::from(&delivery),
            attempts: attempts.collect(),
        }
    }
}

envelope! {
    /// A subscription.
    SubscriptionEnvelope(SubscriptionBody)
}
envelope! {
    /// With what events are signed.
    SecretEnvelope(SecretBody)
}
envelope! {
    /// A delivery.
    DeliveryEnvelope(DeliveryBody)
}
envelope! {
    /// A delivery with all that happened to it.
    DeliveryDetailEnvelope(DeliveryDetailBody)
}
page_envelope! {
    /// A page of subscriptions.
    SubscriptionPage(SubscriptionBody)
}
page_envelope! {
    /// A page of deliveries.
    DeliveryPage(DeliveryBody)
}

/// Types of events.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its derive is used; the answers are written by Reply")]
pub(super) struct EventTypesEnvelope {
    data: Vec<EventTypeBody>,
    meta: Meta,
}
