//! Subscriptions to events, their deliveries, and how changes announce what they did.

use std::time::Duration;

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use jiff::{SignedDuration, Timestamp};
use plinth_core::{Cursor, Limit, OrgId, StoreError, UserId};
use plinth_tenancy::AuditEntry;
use plinth_tenancy::outbox::{Letter, LetterTo, Message};
use plinth_workflows::events::{
    Backlog, DecideSubscription, Delivery, DeliveryId, DeliveryState, EventError, EventKind,
    EventStore, Failing, HappenedId, Next, SendLimits, Subscription, SubscriptionId, TakenDelivery,
    Try,
};
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql};
use uuid::Uuid;

use crate::database::{Deletion, delete, internal, store};
use crate::sweep::Old;
use crate::{Database, audit, outbox};

/// Announces what happened to whoever subscribed to it, in the transaction of the change. `happened` is asked only if
/// somebody did.
pub(crate) async fn announce(
    tx: &Transaction<'_>,
    org: OrgId,
    kind: EventKind,
    happened: impl FnOnce() -> Vec<(Timestamp, Value)>,
) -> Result<(), StoreError> {
    let wanted = "SELECT EXISTS (SELECT FROM event_subscriptions WHERE org_id = $1 AND enabled AND $2 = ANY (kinds))";
    let wanted = tx.prepare_cached(wanted).await.map_err(store)?;
    let (org_id, name) = (org.as_uuid(), kind.as_str());
    if !tx.query_one(&wanted, &[&org_id, &name]).await.map_err(store)?.get::<_, bool>(0) {
        return Ok(());
    }
    let happened = happened();
    let ids: Vec<Uuid> = happened.iter().map(|it| HappenedId::new(it.0).as_uuid()).collect();
    let bodies: Vec<String> = happened.iter().map(|(at, it)| kind.body(org, *at, it)).collect();
    let times: Vec<Timestamp> = happened.iter().map(|it| it.0).collect();
    let insert = "INSERT INTO event_deliveries
             (id, org_id, subscription_id, event_id, kind, body, state, due_at, tries, created_at)
         SELECT gen_random_uuid(), $1, s.id, it.id, $2, it.body, 'waiting', db_now(), 0, it.at
         FROM event_subscriptions s, unnest($3::uuid[], $4::text[], $5::timestamptz[]) AS it (id, body, at)
         WHERE s.org_id = $1 AND s.enabled AND $2 = ANY (s.kinds)";
    let insert = tx.prepare_cached(insert).await.map_err(store)?;
    tx.execute(&insert, &[&org_id, &name, &ids, &bodies, &times]).await.map_err(store)?;
    Ok(())
}

const SUBSCRIPTION: &str =
    "id, org_id, url, description, kinds, enabled, ended_why, secret_number, previous_until,
    failing_since, failed_tries, made_by, revision, created_at, updated_at";

const DELIVERY: &str =
    "id, subscription_id, event_id, kind, body, state, tries, due_at, created_at, ended_at";

/// [`EventStore`] in our own database.
#[derive(Clone)]
pub struct PostgresEvents {
    database: Database,
}

impl PostgresEvents {
    /// Keeps subscriptions and deliveries in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<T, StoreError> {
    row.try_get(column).map_err(internal)
}

fn kind(name: &str) -> Result<EventKind, StoreError> {
    EventKind::from_name(name).ok_or_else(|| internal(format!("no event is called `{name}`")))
}

fn subscription(row: &Row) -> Result<Subscription, StoreError> {
    let kinds: Vec<&str> = get(row, "kinds")?;
    Ok(Subscription {
        id: SubscriptionId::from_uuid(get(row, "id")?),
        org: OrgId::from_uuid(get(row, "org_id")?),
        url: get(row, "url")?,
        description: get(row, "description")?,
        // A newer server may know more.
        kinds: kinds.into_iter().filter_map(EventKind::from_name).collect(),
        enabled: get(row, "enabled")?,
        ended_why: get(row, "ended_why")?,
        secret_number: get(row, "secret_number")?,
        previous_until: get(row, "previous_until")?,
        failing: match get(row, "failing_since")? {
            Some(since) => Some(Failing { since, tries: get(row, "failed_tries")? }),
            None => None,
        },
        by: UserId::from_uuid(get(row, "made_by")?),
        revision: get(row, "revision")?,
        created_at: get(row, "created_at")?,
        updated_at: get(row, "updated_at")?,
    })
}

fn delivery(row: &Row) -> Result<Delivery, StoreError> {
    let state: &str = get(row, "state")?;
    let state = DeliveryState::ALL.into_iter().find(|it| it.as_str() == state);
    Ok(Delivery {
        id: DeliveryId::from_uuid(get(row, "id")?),
        subscription: SubscriptionId::from_uuid(get(row, "subscription_id")?),
        happened: HappenedId::from_uuid(get(row, "event_id")?),
        kind: kind(get(row, "kind")?)?,
        body: get(row, "body")?,
        state: state.ok_or_else(|| internal("a delivery of no state"))?,
        tries: get(row, "tries")?,
        due_at: get(row, "due_at")?,
        created_at: get(row, "created_at")?,
        ended_at: get(row, "ended_at")?,
    })
}

fn tried(row: &Row) -> Result<Try, StoreError> {
    Ok(Try {
        number: get(row, "number")?,
        status: get(row, "status")?,
        response: get(row, "response")?,
        error: get(row, "error")?,
        duration_ms: get(row, "duration_ms")?,
        at: get(row, "at")?,
    })
}

fn names(it: &Subscription) -> Vec<&'static str> {
    it.kinds.iter().map(|it| it.as_str()).collect()
}

async fn find(
    tx: &Transaction<'_>,
    org: OrgId,
    id: SubscriptionId,
    lock: &str,
) -> Result<Option<Subscription>, StoreError> {
    let query = format!(
        "SELECT {SUBSCRIPTION} FROM event_subscriptions WHERE org_id = $1 AND id = $2 {lock}"
    );
    let found = tx.query_opt(&query, &[&org.as_uuid(), &id.as_uuid()]).await;
    found.map_err(store)?.as_ref().map(subscription).transpose()
}

async fn find_delivery(
    tx: &Transaction<'_>,
    org: OrgId,
    id: DeliveryId,
) -> Result<Option<Delivery>, StoreError> {
    let query = format!("SELECT {DELIVERY} FROM event_deliveries WHERE org_id = $1 AND id = $2");
    let found = tx.query_opt(&query, &[&org.as_uuid(), &id.as_uuid()]).await;
    found.map_err(store)?.as_ref().map(delivery).transpose()
}

#[async_trait]
impl EventStore for PostgresEvents {
    async fn insert(
        &self,
        it: &Subscription,
        most: i64,
        entry: &AuditEntry,
    ) -> Result<(), EventError> {
        let count = "SELECT count(*) FROM event_subscriptions WHERE org_id = $1";
        let insert = "INSERT INTO event_subscriptions (id, org_id, url, description, kinds, enabled, ended_why, secret_number,
                 previous_until, made_by, revision, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
        let (id, org, by) = (it.id.as_uuid(), it.org.as_uuid(), it.by.as_uuid());
        let kinds = names(it);
        self.database
            .for_org(it.org, async |tx| {
                let count = tx.query_one(count, &[&org]).await.map_err(store)?;
                if count.get::<_, i64>(0) >= most {
                    return Err(EventError::TooMany(most));
                }
                let parameters: [&(dyn ToSql + Sync); 13] = [
                    &id,
                    &org,
                    &it.url,
                    &it.description,
                    &kinds,
                    &it.enabled,
                    &it.ended_why,
                    &it.secret_number,
                    &it.previous_until,
                    &by,
                    &it.revision,
                    &it.created_at,
                    &it.updated_at,
                ];
                tx.execute(insert, &parameters).await.map_err(store)?;
                Ok(audit::append(&self.database, tx, entry).await?)
            })
            .await
    }

    async fn find(
        &self,
        org: OrgId,
        id: SubscriptionId,
    ) -> Result<Option<Subscription>, StoreError> {
        self.database.for_org(org, async |tx| find(tx, org, id, "").await).await
    }

    async fn list(
        &self,
        org: OrgId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<Subscription>, StoreError> {
        self.database
            .newest_of(org, SUBSCRIPTION, "event_subscriptions", after, limit, subscription)
            .await
    }

    async fn change(
        &self,
        org: OrgId,
        id: SubscriptionId,
        decide: DecideSubscription<'_>,
    ) -> Result<Option<Subscription>, EventError> {
        let update = "UPDATE event_subscriptions SET url = $3, description = $4, kinds = $5, enabled = $6, ended_why = $7,
                 secret_number = $8, previous_until = $9, revision = $10, updated_at = $11, failing_since = $12,
                 failed_tries = $13
             WHERE org_id = $1 AND id = $2";
        self.database
            .for_org(org, async |tx| {
                let Some(mut it) = find(tx, org, id, "FOR UPDATE").await? else {
                    return Ok(None);
                };
                let entry = decide(&mut it)?;
                let (org_id, own, kinds) = (org.as_uuid(), id.as_uuid(), names(&it));
                let (since, tries) = it.failing.map(|it| (it.since, it.tries)).unzip();
                let tries = tries.unwrap_or(0);
                let parameters: [&(dyn ToSql + Sync); 13] = [
                    &org_id,
                    &own,
                    &it.url,
                    &it.description,
                    &kinds,
                    &it.enabled,
                    &it.ended_why,
                    &it.secret_number,
                    &it.previous_until,
                    &it.revision,
                    &it.updated_at,
                    &since,
                    &tries,
                ];
                tx.execute(update, &parameters).await.map_err(store)?;
                audit::append(&self.database, tx, &entry).await?;
                Ok(Some(it))
            })
            .await
    }

    async fn remove(
        &self,
        org: OrgId,
        id: SubscriptionId,
        expected: Option<&[i64]>,
        entry: &AuditEntry,
    ) -> Result<bool, EventError> {
        self.database
            .for_org(org, async |tx| {
                match delete(tx, "event_subscriptions", (org, id.as_uuid()), expected).await? {
                    Deletion::Missing => return Ok(false),
                    Deletion::Changed => return Err(EventError::Changed),
                    Deletion::Done => {}
                }
                audit::append(&self.database, tx, entry).await?;
                Ok(true)
            })
            .await
    }

    async fn deliveries(
        &self,
        org: OrgId,
        id: SubscriptionId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<Delivery>, StoreError> {
        let query = format!(
            "SELECT {DELIVERY} FROM event_deliveries WHERE org_id = $1 AND subscription_id = $2
                 AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4))
             ORDER BY created_at DESC, id DESC LIMIT $5"
        );
        let (at, last) = (after.map(|it| it.created_at), after.map(|it| it.id));
        let limit = i64::from(limit.get()) + 1;
        self.database
            .for_org(org, async |tx| {
                let parameters: [&(dyn ToSql + Sync); 5] =
                    [&org.as_uuid(), &id.as_uuid(), &at, &last, &limit];
                let found = tx.query(&query, &parameters).await.map_err(store)?;
                found.iter().map(delivery).collect()
            })
            .await
    }

    async fn delivery(
        &self,
        org: OrgId,
        id: DeliveryId,
    ) -> Result<Option<(Delivery, Vec<Try>)>, StoreError> {
        let tries =
            "SELECT * FROM event_tries WHERE org_id = $1 AND delivery_id = $2 ORDER BY number";
        self.database
            .for_org_as_of_now(org, async |tx| {
                let Some(found) = find_delivery(tx, org, id).await? else { return Ok(None) };
                let tries = tx.query(tries, &[&org.as_uuid(), &id.as_uuid()]).await;
                let tries = tries.map_err(store)?.iter().map(tried).collect::<Result<_, _>>()?;
                Ok(Some((found, tries)))
            })
            .await
    }

    async fn put(&self, org: OrgId, it: &Delivery, entry: &AuditEntry) -> Result<(), StoreError> {
        // Only of a subscription that is still there.
        let insert = "INSERT INTO event_deliveries
                 (id, org_id, subscription_id, event_id, kind, body, state, due_at, tries, created_at)
             SELECT $1, org_id, id, $4, $5, $6, 'waiting', db_now(), 0, $7 FROM event_subscriptions
             WHERE org_id = $2 AND id = $3";
        let (id, org_id) = (it.id.as_uuid(), org.as_uuid());
        let (to, happened, kind) =
            (it.subscription.as_uuid(), it.happened.as_uuid(), it.kind.as_str());
        self.database
            .for_org(org, async |tx| {
                let parameters: [&(dyn ToSql + Sync); 7] =
                    [&id, &org_id, &to, &happened, &kind, &it.body, &it.created_at];
                tx.execute(insert, &parameters).await.map_err(store)?;
                audit::append(&self.database, tx, entry).await
            })
            .await
    }

    async fn take(
        &self,
        limits: SendLimits,
        lease: Duration,
    ) -> Result<Vec<TakenDelivery>, StoreError> {
        let number = |it: usize| i32::try_from(it).unwrap_or(i32::MAX);
        let (most, of_org) = (number(limits.most), number(limits.per_org));
        let of_one = number(limits.per_subscription);
        let ids: Vec<(OrgId, DeliveryId)> = self
            .database
            .for_nobody(async |tx| {
                let take = "SELECT taken_org, taken_delivery FROM take_event_deliveries($1, make_interval(secs => $2), $3, $4)";
                let take = tx.prepare_cached(take).await.map_err(store)?;
                let parameters: [&(dyn ToSql + Sync); 4] =
                    [&most, &lease.as_secs_f64(), &of_one, &of_org];
                let rows = tx.query(&take, &parameters).await.map_err(store)?;
                let ids = |row: &Row| {
                    (OrgId::from_uuid(row.get(0)), DeliveryId::from_uuid(row.get(1)))
                };
                Ok::<_, StoreError>(rows.iter().map(ids).collect())
            })
            .await?;
        let mut taken = Vec::with_capacity(ids.len());
        for (org, id) in ids {
            // From here on as everywhere: in the organization's own view.
            let found = self.database.for_org(org, async |tx| {
                let Some(delivery) = find_delivery(tx, org, id).await? else { return Ok(None) };
                let subscription = find(tx, org, delivery.subscription, "").await?;
                Ok::<_, StoreError>(
                    subscription.map(|subscription| TakenDelivery { delivery, subscription }),
                )
            });
            taken.extend(found.await?);
        }
        Ok(taken)
    }

    async fn conclude(
        &self,
        org: OrgId,
        id: DeliveryId,
        tried: &Try,
        next: &Next,
    ) -> Result<bool, StoreError> {
        // The subscription before its delivery, as whoever removes it has them. While its receiver takes what it gets,
        // nothing is written, and nobody waits for anybody.
        let took = "UPDATE event_subscriptions SET failing_since = NULL, failed_tries = 0
             WHERE org_id = $1 AND failing_since IS NOT NULL AND id = (
                 SELECT subscription_id FROM event_deliveries
                 WHERE org_id = $1 AND id = $2 AND tries = $3 AND state = 'waiting')";
        let took_not = "UPDATE event_subscriptions
             SET failing_since = coalesce(failing_since, db_now()), failed_tries = failed_tries + 1
             WHERE org_id = $1 AND id = (
                 SELECT subscription_id FROM event_deliveries
                 WHERE org_id = $1 AND id = $2 AND tries = $3 AND state = 'waiting')";
        // In the order in which it was written, and before what is new.
        let back = "UPDATE event_deliveries SET due_at = least(created_at, db_now())
             WHERE org_id = $1 AND due_at > db_now() AND NOT taken AND subscription_id = (
                 SELECT subscription_id FROM event_deliveries WHERE org_id = $1 AND id = $2)";
        // The number of the try says whether it is still this worker's.
        let update =
            "UPDATE event_deliveries SET state = $4, due_at = db_now() + make_interval(secs => $5),
                 taken = false, ended_at = CASE WHEN $4 <> 'waiting' THEN db_now() END
             WHERE org_id = $1 AND id = $2 AND tries = $3 AND state = 'waiting'";
        let note = "INSERT INTO event_tries (org_id, delivery_id, number, status, response, error, duration_ms, at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let end = "UPDATE event_subscriptions SET enabled = false, ended_why = $3, revision = revision + 1
             WHERE org_id = $1 AND enabled AND id = (SELECT subscription_id FROM event_deliveries WHERE org_id = $1 AND id = $2)
             RETURNING id, url, description";
        let (state, pause) = match next {
            Next::Delivered | Next::Back => (DeliveryState::Delivered, None),
            Next::Again(pause) => (DeliveryState::Waiting, Some(pause.as_secs_f64())),
            Next::Failed | Next::Ended(_) => (DeliveryState::Failed, None),
        };
        let noted = if state == DeliveryState::Delivered { took } else { took_not };
        let state = state.as_str();
        self.database
            .for_org(org, async |tx| {
                let (org_id, delivery, id) = (org, id, id.as_uuid());
                let org = org.as_uuid();
                tx.execute(noted, &[&org, &id, &tried.number]).await.map_err(store)?;
                let parameters: [&(dyn ToSql + Sync); 5] =
                    [&org, &id, &tried.number, &state, &pause];
                if tx.execute(update, &parameters).await.map_err(store)? == 0 {
                    return Ok(false);
                }
                let parameters: [&(dyn ToSql + Sync); 8] = [
                    &org,
                    &id,
                    &tried.number,
                    &tried.status,
                    &tried.response,
                    &tried.error,
                    &tried.duration_ms,
                    &tried.at,
                ];
                tx.execute(note, &parameters).await.map_err(store)?;
                if *next == Next::Back {
                    tx.execute(back, &[&org, &id]).await.map_err(store)?;
                }
                if let Next::Ended(why) = next {
                    let ended = tx.query_opt(end, &[&org, &id, why]).await.map_err(store)?;
                    if let Some(ended) = ended {
                        tell_end(&self.database, tx, org_id, &ended, (delivery, why, tried.at))
                            .await?;
                    }
                }
                Ok(true)
            })
            .await
    }

    async fn waiting(&self) -> Result<Vec<OrgId>, StoreError> {
        let query = "SELECT organizations_with_waiting_deliveries()";
        let rows = self.database.rows_of_nobody(query, &[]).await?;
        rows.iter().map(|it| it.try_get(0).map(OrgId::from_uuid).map_err(internal)).collect()
    }

    async fn give_up(&self, org: OrgId, limits: &Backlog) -> Result<u64, StoreError> {
        let all = "SELECT id FROM event_subscriptions WHERE org_id = $1";
        // Nearly always there are fewer: then only the index of what waits is read.
        let beyond = "SELECT created_at, id FROM event_deliveries
             WHERE org_id = $1 AND subscription_id = $2 AND state = 'waiting'
                 AND (SELECT true FROM event_deliveries
                      WHERE org_id = $1 AND subscription_id = $2 AND due_at IS NOT NULL OFFSET $3 LIMIT 1)
             ORDER BY created_at DESC, id DESC OFFSET $3 LIMIT 1";
        let old = "created_at < db_now() - make_interval(secs => $4)";
        let many = "(created_at, id) <= ($4, $5)";
        let (id, age) = (org.as_uuid(), limits.age.as_secs_f64());
        let mut given_up = 0;
        for row in self.database.rows_of_org(org, all, &[&id]).await? {
            let subscription: Uuid = get(&row, "id")?;
            let parameters: [&(dyn ToSql + Sync); 4] = [&id, &subscription, &limits.too_old, &age];
            given_up += self.give_up_part_by_part(org, old, &parameters).await?;
            let beyond =
                self.database.first_beyond(org, beyond, subscription, limits.count).await?;
            if let Some((at, newest)) = beyond {
                let parameters: [&(dyn ToSql + Sync); 5] =
                    [&id, &subscription, &limits.too_many, &at, &newest];
                given_up += self.give_up_part_by_part(org, many, &parameters).await?;
            }
        }
        Ok(given_up)
    }

    async fn sweep(&self, org: OrgId, age: SignedDuration) -> Result<u64, StoreError> {
        let old = Old {
            table: "event_deliveries",
            which: "created_at < (SELECT db_now() - make_interval(secs => $2)) AND state <> 'waiting' ORDER BY created_at",
            part: 1_000,
        };
        self.database.delete_old(org, &old, &[&org.as_uuid(), &age.as_secs_f64()]).await
    }

    async fn organizations(&self) -> Result<Vec<OrgId>, StoreError> {
        self.database.organizations().await
    }
}

impl PostgresEvents {
    /// Gives up what waits for the subscription `$2` and is `which`, because of `$3`.
    async fn give_up_part_by_part(
        &self,
        org: OrgId,
        which: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, StoreError> {
        const PART: u64 = 1_000;
        let give_up = format!(
            "WITH part AS (
                 SELECT id FROM event_deliveries
                 WHERE org_id = $1 AND subscription_id = $2 AND due_at IS NOT NULL AND {which}
                     AND NOT (taken AND due_at > db_now())
                 LIMIT {PART} FOR UPDATE SKIP LOCKED
             ), given_up AS (
                 UPDATE event_deliveries d
                 SET state = 'failed', due_at = NULL, taken = false, ended_at = db_now(), tries = d.tries + 1
                 FROM part WHERE d.id = part.id RETURNING d.id, d.tries
             )
             INSERT INTO event_tries (org_id, delivery_id, number, error, duration_ms, at)
             SELECT $1, id, tries, $3::text, 0, db_now() FROM given_up"
        );
        let mut all = 0;
        loop {
            let part = self
                .database
                .for_org(org, async |tx| tx.execute(&give_up, parameters).await.map_err(store))
                .await?;
            all += part;
            if part < PART {
                return Ok(all);
            }
        }
    }
}

/// Tells the trail and those who run the organization that a subscription ended, by its receiver's word or silence.
async fn tell_end(
    database: &Database,
    tx: &Transaction<'_>,
    org: OrgId,
    ended: &Row,
    (delivery, why, at): (DeliveryId, &str, Timestamp),
) -> Result<(), StoreError> {
    let id = SubscriptionId::from_uuid(get(ended, "id")?);
    let url: &str = get(ended, "url")?;
    // The rest of the URL may be a secret.
    let host = url.split_once("://").map_or(url, |it| it.1);
    let host = host.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |it| it.1).to_owned();
    let letter = Letter::SubscriptionEnded {
        description: get(ended, "description")?,
        host,
        subscription: id.to_string(),
        reason: why.to_owned(),
        at,
    };
    outbox::put(tx, &Message::mail(org, at, &LetterTo::Managers, &letter)).await?;
    let entry = AuditEntry::of_plinth(org, at, "system", "event_subscription.ended")
        .on("event_subscription", id)
        .with(serde_json::json!({ "reason": why, "delivery": delivery }));
    audit::append(database, tx, &entry).await
}
