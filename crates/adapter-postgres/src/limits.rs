use async_trait::async_trait;
use jiff::Timestamp;
use plinth_core::{KeyId, OrgId, StoreError};
use plinth_tenancy::limits::{Bucket, Plan, Rate, RateStore, Rates};
use uuid::Uuid;

use crate::Database;
use crate::database::{internal, store};

/// [`RateStore`] in our own database.
#[derive(Clone)]
pub struct PostgresRates {
    database: Database,
}

impl PostgresRates {
    /// Keeps the counts in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl RateStore for PostgresRates {
    async fn rates(&self, org: OrgId, key: Option<KeyId>) -> Result<Rates, StoreError> {
        let query = "SELECT o.plan, o.plan_per_minute, o.plan_per_day, k.rate_limit_per_minute, k.rate_limit_per_day
             FROM organizations o LEFT JOIN api_keys k ON k.org_id = o.id AND k.id = $2
             WHERE o.id = $1";
        let key_id = key.map(KeyId::as_uuid);
        let row = self
            .database
            .for_org(org, async |tx| {
                let query = tx.prepare_cached(query).await.map_err(store)?;
                tx.query_opt(&query, &[&org.as_uuid(), &key_id]).await.map_err(store)
            })
            .await?;
        let Some(row) = row else {
            // It is being deleted; whoever let the caller in will see that too.
            return Ok(Rates { organization: Plan::Free.rate(), key: None });
        };
        let number = |at: usize| {
            row.try_get::<_, Option<i32>>(at)
                .map(|it| it.and_then(|it| u32::try_from(it).ok()))
                .map_err(internal)
        };
        let custom = number(1)?.zip(number(2)?);
        let custom = custom.map(|(per_minute, per_day)| Rate { per_minute, per_day });
        let name: &str = row.try_get(0).map_err(internal)?;
        let plan = Plan::read(name, custom);
        let organization = plan.ok_or_else(|| internal(format!("no plan: {name}")))?.rate();
        let own = Rate {
            per_minute: number(3)?.unwrap_or(organization.per_minute),
            per_day: number(4)?.unwrap_or(organization.per_day),
        };
        Ok(Rates { organization, key: key.map(|_| own) })
    }

    async fn reserve(
        &self,
        bucket: Bucket,
        start: i64,
        want: u32,
        limit: u32,
    ) -> Result<(u32, u32), StoreError> {
        let (org, subject) = (bucket.org.as_uuid(), bucket.subject());
        let period = bucket.period.as_str();
        let start = Timestamp::from_second(start).map_err(internal)?;
        self.database
            .for_org(bucket.org, async |tx| {
                // One row for each bucket: a new window takes the place of the one before. A server whose clock is behind
                // never brings an old window back.
                let open = "INSERT INTO rate_windows (org_id, subject, period, starts_at, reserved)
                     VALUES ($1, $2, $3, $4, 0)
                     ON CONFLICT (org_id, subject, period) DO UPDATE SET
                         reserved = CASE WHEN rate_windows.starts_at >= excluded.starts_at
                                    THEN rate_windows.reserved ELSE 0 END,
                         starts_at = greatest(rate_windows.starts_at, excluded.starts_at)
                     RETURNING reserved";
                let open = tx.prepare_cached(open).await.map_err(store)?;
                let row = tx.query_one(&open, &[&org, &subject, &period, &start]).await;
                let reserved: i32 = row.map_err(store)?.try_get(0).map_err(internal)?;
                let reserved = u32::try_from(reserved).unwrap_or(0);
                let got = want.min(limit.saturating_sub(reserved));
                if got > 0 {
                    let add = "UPDATE rate_windows SET reserved = reserved + $4
                         WHERE org_id = $1 AND subject = $2 AND period = $3";
                    let add = tx.prepare_cached(add).await.map_err(store)?;
                    let more = i32::try_from(got).map_err(internal)?;
                    tx.execute(&add, &[&org, &subject, &period, &more]).await.map_err(store)?;
                }
                Ok((got, reserved + got))
            })
            .await
    }

    async fn give_back(&self, bucket: Bucket, start: i64, unused: u32) -> Result<(), StoreError> {
        let (org, subject): (Uuid, Uuid) = (bucket.org.as_uuid(), bucket.subject());
        let start = Timestamp::from_second(start).map_err(internal)?;
        let unused = i32::try_from(unused).map_err(internal)?;
        let update = "UPDATE rate_windows SET reserved = greatest(reserved - $5, 0)
             WHERE org_id = $1 AND subject = $2 AND period = $3 AND starts_at = $4";
        self.database
            .for_org(bucket.org, async |tx| {
                let update = tx.prepare_cached(update).await.map_err(store)?;
                tx.execute(&update, &[&org, &subject, &bucket.period.as_str(), &start, &unused])
                    .await
                    .map_err(store)?;
                Ok(())
            })
            .await
    }
}
