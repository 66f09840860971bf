use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use plinth_core::{AdminAll, Clock, Cursor, Limit, Page, Permit};
use plinth_egress::{Scheme, WebAddress};
use plinth_tenancy::AuditEntry;
use secrecy::SecretString;
use serde_json::json;
use tokio::sync::Notify;

use super::delivery::{Delivery, DeliveryState, Subscription, Try};
use super::key::EventKey;
use super::ports::EventStore;
use super::{DeliveryId, EventError, EventKind, HappenedId, SubscriptionId};

/// The most subscriptions of one organization.
const MOST: i64 = 50;

/// How long the secret before signs beside a new one.
const OVERLAP: SignedDuration = SignedDuration::from_hours(24);

/// What is needed to subscribe.
#[derive(Clone, Debug)]
pub struct NewSubscription {
    /// Where events are sent.
    pub url: String,
    /// Up to 500 characters.
    pub description: String,
    /// Names of kinds, at least one.
    pub kinds: Vec<String>,
    /// Whether events are sent.
    pub enabled: bool,
}

/// What to change; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct SubscriptionChange {
    /// See [`NewSubscription::url`].
    pub url: Option<String>,
    /// See [`NewSubscription::description`].
    pub description: Option<String>,
    /// See [`NewSubscription::kinds`].
    pub kinds: Option<Vec<String>>,
    /// Whether events are sent. `true` also takes back that Plinth disabled it.
    pub enabled: Option<bool>,
    /// The revision that the caller has seen; `None` changes whatever is there.
    pub expected: Option<i64>,
}

/// What [`Events`] is put together from.
pub struct EventParts {
    /// Where subscriptions are kept.
    pub store: Arc<dyn EventStore>,
    /// Makes the secrets that events are signed with.
    pub key: EventKey,
    /// Wakes the sender of this process.
    pub woken: Arc<Notify>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Subscriptions of organizations. Events tell of everything in an organization, so they are for its admins.
#[derive(Clone)]
pub struct Events {
    parts: Arc<EventParts>,
}

impl Events {
    /// Puts the service together.
    pub fn new(parts: EventParts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// Subscribes. What happened before is not sent.
    ///
    /// # Errors
    ///
    /// [`EventError::Field`], [`EventError::TooMany`].
    pub async fn create(
        &self,
        permit: &Permit<AdminAll>,
        new: NewSubscription,
    ) -> Result<Subscription, EventError> {
        let now = self.parts.clock.now();
        let subscription = Subscription {
            id: SubscriptionId::new(now),
            org: permit.org(),
            url: url(&new.url)?,
            description: description(new.description)?,
            kinds: kinds(&new.kinds)?,
            enabled: new.enabled,
            ended_why: None,
            secret_number: 1,
            previous_until: None,
            failing: None,
            by: permit.user(),
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        let entry = AuditEntry::of(permit.principal(), now, "event_subscription.created")
            .on("event_subscription", subscription.id)
            .with(json!({ "types": names(&subscription.kinds) }));
        self.parts.store.insert(&subscription, MOST, &entry).await?;
        Ok(subscription)
    }

    /// The organization's subscriptions, newest first.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn list(
        &self,
        permit: &Permit<AdminAll>,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<Subscription>, EventError> {
        let items = self.parts.store.list(permit.org(), after, limit).await?;
        Ok(Page::cut(items, limit, |it| Cursor { created_at: it.created_at, id: it.id.as_uuid() }))
    }

    /// One subscription.
    ///
    /// # Errors
    ///
    /// [`EventError::NotFound`], also when it is another organization's.
    pub async fn get(
        &self,
        permit: &Permit<AdminAll>,
        id: SubscriptionId,
    ) -> Result<Subscription, EventError> {
        self.parts.store.find(permit.org(), id).await?.ok_or(EventError::NotFound(id))
    }

    /// Changes a subscription. What waits is sent to the new URL.
    ///
    /// # Errors
    ///
    /// As for [`Events::create`], [`EventError::NotFound`], [`EventError::Changed`] if it is not as expected.
    pub async fn change(
        &self,
        permit: &Permit<AdminAll>,
        id: SubscriptionId,
        change: SubscriptionChange,
    ) -> Result<Subscription, EventError> {
        let now = self.parts.clock.now();
        let new_url = change.url.as_deref().map(url).transpose()?;
        let new_kinds = change.kinds.as_deref().map(kinds).transpose()?;
        let new_description = change.description.map(description).transpose()?;
        let mut decide = |it: &mut Subscription| {
            if change.expected.is_some_and(|expected| expected != it.revision) {
                return Err(EventError::Changed);
            }
            if let Some(url) = &new_url {
                it.url.clone_from(url);
                it.failing = None;
            }
            if let Some(kinds) = &new_kinds {
                it.kinds.clone_from(kinds);
            }
            if let Some(description) = &new_description {
                it.description.clone_from(description);
            }
            if let Some(enabled) = change.enabled {
                it.enabled = enabled;
                if enabled {
                    it.failing = None;
                    it.ended_why = None;
                }
            }
            it.revision += 1;
            it.updated_at = now;
            Ok(AuditEntry::of(permit.principal(), now, "event_subscription.changed")
                .on("event_subscription", id)
                .with(json!({ "types": names(&it.kinds), "enabled": it.enabled })))
        };
        let changed = self.parts.store.change(permit.org(), id, &mut decide).await?;
        self.parts.woken.notify_one();
        changed.ok_or(EventError::NotFound(id))
    }

    /// Removes a subscription with its deliveries; what waits is not sent.
    ///
    /// # Errors
    ///
    /// [`EventError::NotFound`], and [`EventError::Changed`] if it has none of the revisions that are expected.
    pub async fn remove(
        &self,
        permit: &Permit<AdminAll>,
        id: SubscriptionId,
        expected: Option<&[i64]>,
    ) -> Result<(), EventError> {
        let now = self.parts.clock.now();
        let entry = AuditEntry::of(permit.principal(), now, "event_subscription.deleted")
            .on("event_subscription", id);
        let removed = self.parts.store.remove(permit.org(), id, expected, &entry).await?;
        if removed { Ok(()) } else { Err(EventError::NotFound(id)) }
    }

    /// What the subscription's events are signed with.
    ///
    /// # Errors
    ///
    /// [`EventError::NotFound`].
    pub async fn secret(
        &self,
        permit: &Permit<AdminAll>,
        id: SubscriptionId,
    ) -> Result<(SecretString, Option<Timestamp>), EventError> {
        let it = self.get(permit, id).await?;
        Ok((self.parts.key.secret(id, it.secret_number), it.previous_until))
    }

    /// Gives the subscription another secret. For a day what is sent is signed with both.
    ///
    /// # Errors
    ///
    /// [`EventError::NotFound`].
    pub async fn rotate(
        &self,
        permit: &Permit<AdminAll>,
        id: SubscriptionId,
    ) -> Result<(SecretString, Option<Timestamp>), EventError> {
        let now = self.parts.clock.now();
        let mut decide = |it: &mut Subscription| {
            it.secret_number += 1;
            it.previous_until = Some(now + OVERLAP);
            it.revision += 1;
            it.updated_at = now;
            Ok(AuditEntry::of(permit.principal(), now, "event_subscription.secret_rotated")
                .on("event_subscription", id))
        };
        let changed = self.parts.store.change(permit.org(), id, &mut decide).await?;
        let it = changed.ok_or(EventError::NotFound(id))?;
        Ok((self.parts.key.secret(id, it.secret_number), it.previous_until))
    }

    /// Sends a `ping`, to try whether it arrives.
    ///
    /// # Errors
    ///
    /// [`EventError::NotFound`], [`EventError::Disabled`].
    pub async fn ping(
        &self,
        permit: &Permit<AdminAll>,
        id: SubscriptionId,
    ) -> Result<Delivery, EventError> {
        let now = self.parts.clock.now();
        let it = self.get(permit, id).await?;
        let kind = EventKind::Ping;
        let body = kind.body(it.org, now, &json!({ "subscription_id": id }));
        self.send(permit, &it, (HappenedId::new(now), kind, body), now).await
    }

    /// Sends an event again, as it was, under the same `webhook-id`.
    ///
    /// # Errors
    ///
    /// [`EventError::NotFound`], [`EventError::NoDelivery`], [`EventError::Disabled`].
    pub async fn redeliver(
        &self,
        permit: &Permit<AdminAll>,
        id: SubscriptionId,
        delivery: DeliveryId,
    ) -> Result<Delivery, EventError> {
        let now = self.parts.clock.now();
        let it = self.get(permit, id).await?;
        let (before, _) = self.delivery(permit, id, delivery).await?;
        self.send(permit, &it, (before.happened, before.kind, before.body), now).await
    }

    async fn send(
        &self,
        permit: &Permit<AdminAll>,
        to: &Subscription,
        (happened, kind, body): (HappenedId, EventKind, String),
        now: Timestamp,
    ) -> Result<Delivery, EventError> {
        if !to.enabled {
            return Err(EventError::Disabled);
        }
        let delivery = Delivery {
            id: DeliveryId::new(now),
            subscription: to.id,
            happened,
            kind,
            body,
            state: DeliveryState::Waiting,
            tries: 0,
            due_at: Some(now),
            created_at: now,
            ended_at: None,
        };
        let entry = AuditEntry::of(permit.principal(), now, "event_subscription.sent")
            .on("event_subscription", to.id)
            .with(json!({ "event": happened, "type": kind.as_str() }));
        self.parts.store.put(to.org, &delivery, &entry).await?;
        self.parts.woken.notify_one();
        Ok(delivery)
    }

    /// What was and is sent, newest first.
    ///
    /// # Errors
    ///
    /// [`EventError::NotFound`].
    pub async fn deliveries(
        &self,
        permit: &Permit<AdminAll>,
        id: SubscriptionId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<Delivery>, EventError> {
        self.get(permit, id).await?;
        let items = self.parts.store.deliveries(permit.org(), id, after, limit).await?;
        Ok(Page::cut(items, limit, |it| Cursor { created_at: it.created_at, id: it.id.as_uuid() }))
    }

    /// One delivery with its tries.
    ///
    /// # Errors
    ///
    /// [`EventError::NoDelivery`].
    pub async fn delivery(
        &self,
        permit: &Permit<AdminAll>,
        id: SubscriptionId,
        delivery: DeliveryId,
    ) -> Result<(Delivery, Vec<Try>), EventError> {
        let found = self.parts.store.delivery(permit.org(), delivery).await?;
        found.filter(|it| it.0.subscription == id).ok_or(EventError::NoDelivery(delivery))
    }
}

fn names(kinds: &[EventKind]) -> Vec<&'static str> {
    kinds.iter().map(|it| it.as_str()).collect()
}

fn url(text: &str) -> Result<String, EventError> {
    let broken = |rule: String| EventError::Field { field: "url", rule };
    if text.chars().count() > 2_000 {
        return Err(broken("has to be at most 2000 characters".to_owned()));
    }
    WebAddress::parse(text, Scheme::Any).map_err(|err| broken(err.to_string()))?;
    Ok(text.trim().to_owned())
}

fn description(text: String) -> Result<String, EventError> {
    if text.chars().count() > 500 || text.contains('\0') {
        let rule = "has to be at most 500 characters".to_owned();
        return Err(EventError::Field { field: "description", rule });
    }
    Ok(text)
}

fn kinds(names: &[String]) -> Result<Vec<EventKind>, EventError> {
    let broken = |rule: String| EventError::Field { field: "types", rule };
    let mut kinds = Vec::new();
    for name in names {
        let kind = EventKind::ALL.into_iter().find(|it| it.as_str() == name);
        let kind = kind.ok_or_else(|| {
            let all: Vec<_> = EventKind::ALL.iter().map(|it| it.as_str()).collect();
            broken(format!("holds something that is none of {}", all.join(", ")))
        })?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    if kinds.is_empty() {
        return Err(broken("has to name at least one type".to_owned()));
    }
    Ok(kinds)
}
