use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;
use plinth_core::{Cursor, Limit, OrgId, StoreError};
use plinth_tenancy::AuditEntry;

use super::delivery::{Delivery, Subscription, Try};
use super::{DeliveryId, EventError, SubscriptionId};

/// A decision about one subscription: pure, so that it can be taken again.
pub type DecideSubscription<'a> =
    &'a mut (dyn FnMut(&mut Subscription) -> Result<AuditEntry, EventError> + Send);

/// A delivery that a worker has taken, and has to itself until its lease ends.
#[derive(Clone, Debug)]
pub struct TakenDelivery {
    /// The delivery; its `tries` counts the one that begins.
    pub delivery: Delivery,
    /// Who gets it.
    pub subscription: Subscription,
}

/// How many deliveries are under way at most.
#[derive(Clone, Copy, Debug)]
pub struct SendLimits {
    /// That the caller takes now.
    pub most: usize,
    /// Of one subscription, on all servers.
    pub per_subscription: usize,
    /// Of one organization, on all servers.
    pub per_org: usize,
}

/// How much may wait for one subscription, and why what does not may not.
#[derive(Clone, Copy, Debug)]
pub struct Backlog {
    /// How long it waits at most, from when it was written.
    pub age: SignedDuration,
    /// Why what waited for longer is given up.
    pub too_old: &'static str,
    /// How many wait at most: the newest.
    pub count: i64,
    /// Why older ones are given up.
    pub too_many: &'static str,
}

/// What comes of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The receiver took it.
    Delivered,
    /// The receiver took it, after it took nothing for a while: what else waits for it is due at once.
    Back,
    /// It is tried again in so long.
    Again(SignedDuration),
    /// It is given up.
    Failed,
    /// It is given up, and the subscription is disabled, for this reason.
    Ended(&'static str),
}

/// Where subscriptions are kept, and the queue of deliveries. Deliveries are written by the stores whose changes make them,
/// in the changes' transactions. Every method is one transaction for each organization. Time is the database's.
#[async_trait]
pub trait EventStore: Send + Sync + 'static {
    /// Keeps a new subscription.
    ///
    /// # Errors
    ///
    /// [`EventError::TooMany`] if there are `most` already; nothing changes.
    async fn insert(
        &self,
        subscription: &Subscription,
        most: i64,
        entry: &AuditEntry,
    ) -> Result<(), EventError>;

    /// One subscription.
    async fn find(
        &self,
        org: OrgId,
        id: SubscriptionId,
    ) -> Result<Option<Subscription>, StoreError>;

    /// The organization's subscriptions, newest first; one more than `limit` if there are more.
    async fn list(
        &self,
        org: OrgId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<Subscription>, StoreError>;

    /// Changes a subscription as `decide` says; `None` if there is none.
    ///
    /// # Errors
    ///
    /// What `decide` says; nothing changes.
    async fn change(
        &self,
        org: OrgId,
        id: SubscriptionId,
        decide: DecideSubscription<'_>,
    ) -> Result<Option<Subscription>, EventError>;

    /// Removes a subscription with its deliveries, if its revision is one of `expected`; `false` if there is none.
    ///
    /// # Errors
    ///
    /// [`EventError::Changed`] if it has another revision.
    async fn remove(
        &self,
        org: OrgId,
        id: SubscriptionId,
        expected: Option<&[i64]>,
        entry: &AuditEntry,
    ) -> Result<bool, EventError>;

    /// What was and is sent, newest first; one more than `limit` if there are more.
    async fn deliveries(
        &self,
        org: OrgId,
        id: SubscriptionId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<Delivery>, StoreError>;

    /// One delivery with its tries, in order.
    async fn delivery(
        &self,
        org: OrgId,
        id: DeliveryId,
    ) -> Result<Option<(Delivery, Vec<Try>)>, StoreError>;

    /// Writes a delivery that no change makes necessary.
    async fn put(
        &self,
        org: OrgId,
        delivery: &Delivery,
        entry: &AuditEntry,
    ) -> Result<(), StoreError>;

    /// Takes deliveries of all organizations that are due, for so long. Those that are under way count for the limits: a
    /// receiver that takes long fills its own places and no others. No two callers get the same one.
    async fn take(
        &self,
        limits: SendLimits,
        lease: Duration,
    ) -> Result<Vec<TakenDelivery>, StoreError>;

    /// Writes what came of a try, also how often the receiver took nothing since it last took something; `false` if another
    /// has taken the delivery since, and then nothing is written.
    async fn conclude(
        &self,
        org: OrgId,
        id: DeliveryId,
        tried: &Try,
        next: &Next,
    ) -> Result<bool, StoreError>;

    /// Organizations for which something waits.
    async fn waiting(&self) -> Result<Vec<OrgId>, StoreError>;

    /// Gives up what may not wait any more, with the reason as its last try; what is being tried is left. Says how many.
    async fn give_up(&self, org: OrgId, limits: &Backlog) -> Result<u64, StoreError>;

    /// Forgets deliveries that were written more than `age` ago and do not wait any more; says how many.
    async fn sweep(&self, org: OrgId, age: SignedDuration) -> Result<u64, StoreError>;

    /// Every organization.
    async fn organizations(&self) -> Result<Vec<OrgId>, StoreError>;
}
