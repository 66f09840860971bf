//! Events for others' servers: what happened, sent as Standard Webhooks to whoever subscribed to it.
//!
//! Read in this order: [`EventKind`] (the published list), [`Events`] (what admins do with subscriptions), [`EventWorker`]
//! (what sends), then the port [`EventStore`].
//!
//! **Invariant:** a delivery is written in the transaction of the change that it tells of; it is sent at least once, under
//! the same `webhook-id` each time; and it tells that something happened, never what a customer's database holds.

mod delivery;
mod error;
mod key;
mod kind;
mod ports;
mod service;
#[cfg(feature = "testing")]
pub mod testing;
mod worker;

pub use delivery::{Delivery, DeliveryState, Failing, Subscription, Try};
pub use error::EventError;
pub use key::EventKey;
pub use kind::EventKind;
pub use ports::{Backlog, DecideSubscription, EventStore, Next, SendLimits, TakenDelivery};
pub use service::{EventParts, Events, NewSubscription, SubscriptionChange};
pub use worker::{EventWorker, EventWorkerParts};

plinth_core::typed_id! {
    /// Identifies a subscription to events.
    SubscriptionId, "sub"
}
plinth_core::typed_id! {
    /// Identifies something that happened; all deliveries of it carry it as `webhook-id`.
    HappenedId, "evt"
}
plinth_core::typed_id! {
    /// Identifies one event on its way to one subscriber.
    DeliveryId, "dlv"
}
