use jiff::Timestamp;
use plinth_core::{OrgId, UserId};

use super::{DeliveryId, EventKind, HappenedId, SubscriptionId};

/// Who wants to be told of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// Whose.
    pub org: OrgId,
    /// Where events are sent.
    pub url: String,
    /// What it is for.
    pub description: String,
    /// Of which kinds; at least one.
    pub kinds: Vec<EventKind>,
    /// Whether events are sent.
    pub enabled: bool,
    /// Why Plinth disabled it; `None` if it did not.
    pub ended_why: Option<String>,
    /// Counts the secrets that it had: the newest counts.
    pub secret_number: i32,
    /// Until when what is sent is also signed with the secret before.
    pub previous_until: Option<Timestamp>,
    /// Since when its receiver takes nothing; `None` if it took the last that was sent.
    pub failing: Option<Failing>,
    /// Who made it.
    pub by: UserId,
    /// Counts changes, for `ETag`.
    pub revision: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed.
    pub updated_at: Timestamp,
}

/// That a receiver takes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failing {
    /// When it first did not, after it last did.
    pub since: Timestamp,
    /// How many tries failed since, of whatever deliveries.
    pub tries: i32,
}

/// How a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It waits for its first or next try.
    Waiting,
    /// The receiver took it.
    Delivered,
    /// It was given up.
    Failed,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Delivered, Self::Failed];

    /// Its name in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

/// One event on its way to one subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// Of which subscription.
    pub subscription: SubscriptionId,
    /// What happened: the same for everybody who is told of it, and at each redelivery.
    pub happened: HappenedId,
    /// Of which kind.
    pub kind: EventKind,
    /// What is sent: the same bytes at each try.
    pub body: String,
    /// How it stands.
    pub state: DeliveryState,
    /// How often it was tried.
    pub tries: i32,
    /// When it is tried next; `None` when it is over.
    pub due_at: Option<Timestamp>,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
}

/// One try of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Try {
    /// The number of the try, from 1.
    pub number: i32,
    /// The status of the answer; `None` if there was none.
    pub status: Option<i32>,
    /// The beginning of the answer.
    pub response: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// How long it took.
    pub duration_ms: i64,
    /// When it was begun.
    pub at: Timestamp,
}
