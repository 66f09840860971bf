use std::time::Duration;

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use jiff::civil::Date;
use plinth_connections::Sealed;
use plinth_core::{OrgId, StoreError, UserId};
use plinth_models::{
    Budget, ModelConfig, ModelId, ModelName, ModelPolicy, ModelRef, ModelStore, Money, OrgModels,
    Prices, PutModelError, StoredModel, UsageRow, UsageStore,
};
use plinth_nl2sql::model::Usage;
use plinth_tenancy::AuditEntry;
use tokio_postgres::Row;

use crate::database::{broken_constraint, internal, store};
use crate::{Database, audit};

/// [`ModelStore`] and [`UsageStore`] in our own database.
#[derive(Clone)]
pub struct PostgresModels {
    database: Database,
}

impl PostgresModels {
    /// Keeps models in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

const COLUMNS: &str = "id, org_id, name, provider, base_url, model, key_version, key_sealed, ca_certificate,
    time_limit_ms, input_price, output_price, is_active, revision, created_by, created_at, updated_at";

const USED: &str =
    "SELECT day, model, label, calls, prompt_tokens, completion_tokens, cost FROM model_usage
    WHERE org_id = $1 AND day BETWEEN $2 AND $3 ORDER BY day, model";

#[async_trait]
impl ModelStore for PostgresModels {
    async fn read(&self, org: OrgId, since: Date) -> Result<OrgModels, StoreError> {
        let models =
            format!("SELECT {COLUMNS} FROM models WHERE org_id = $1 ORDER BY created_at, id");
        let policy = "SELECT default_model, token_budget, cost_budget, input_price, output_price, currency, revision
                      FROM model_settings WHERE org_id = $1";
        let id = org.as_uuid();
        self.database
            .for_org_as_of_now(org, async |tx| {
                let models = tx.prepare_cached(&models).await.map_err(store)?;
                let rows = tx.query(&models, &[&id]).await.map_err(store)?;
                let models = rows.iter().map(read_model).collect::<Result<Vec<_>, StoreError>>()?;
                let policy = tx.prepare_cached(policy).await.map_err(store)?;
                let policy = tx.query_opt(&policy, &[&id]).await.map_err(store)?;
                let policy = policy.as_ref().map(read_policy).transpose()?.unwrap_or_default();
                let used = read_used(tx, org, since, Date::MAX).await?;
                Ok(OrgModels { policy, models, used })
            })
            .await
    }

    async fn insert(&self, model: &StoredModel, entry: &AuditEntry) -> Result<(), PutModelError> {
        let insert = format!(
            "INSERT INTO models ({COLUMNS})
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)"
        );
        self.database
            .for_org(model.config.org, async |tx| {
                write(tx, &insert, model).await?;
                Ok(audit::append(&self.database, tx, entry).await?)
            })
            .await
    }

    async fn update(&self, model: &StoredModel, entry: &AuditEntry) -> Result<(), PutModelError> {
        let update = "UPDATE models SET name = $3, provider = $4, base_url = $5, model = $6, key_version = $7,
                 key_sealed = $8, ca_certificate = $9, time_limit_ms = $10, input_price = $11, output_price = $12,
                 is_active = $13, revision = $14, created_by = $15, created_at = $16, updated_at = $17
             WHERE id = $1 AND org_id = $2 AND revision + 1 = $14";
        self.database
            .for_org(model.config.org, async |tx| {
                if write(tx, update, model).await? == 0 {
                    return Err(PutModelError::Changed);
                }
                Ok(audit::append(&self.database, tx, entry).await?)
            })
            .await
    }

    async fn remove(
        &self,
        org: OrgId,
        id: ModelId,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let delete = "DELETE FROM models WHERE org_id = $1 AND id = $2";
        let default = "UPDATE model_settings SET default_model = NULL, revision = revision + 1
                       WHERE org_id = $1 AND default_model = $2";
        self.database
            .for_org(org, async |tx| {
                let gone = tx.execute(delete, &[&org.as_uuid(), &id.as_uuid()]).await;
                if gone.map_err(store)? == 0 {
                    return Ok(false);
                }
                tx.execute(default, &[&org.as_uuid(), &id.to_string()]).await.map_err(store)?;
                audit::append(&self.database, tx, entry).await?;
                Ok(true)
            })
            .await
    }

    async fn put_policy(
        &self,
        org: OrgId,
        it: &ModelPolicy,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let put = "INSERT INTO model_settings AS it (org_id, default_model, token_budget, cost_budget, input_price,
                 output_price, currency, revision)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (org_id) DO UPDATE SET default_model = excluded.default_model,
                 token_budget = excluded.token_budget, cost_budget = excluded.cost_budget,
                 input_price = excluded.input_price, output_price = excluded.output_price,
                 currency = excluded.currency, revision = excluded.revision
             WHERE it.revision = excluded.revision - 1";
        let tokens = it.budget.tokens.map(i64::try_from).transpose().map_err(internal)?;
        self.database
            .for_org(org, async |tx| {
                let put = tx
                    .execute(
                        put,
                        &[
                            &org.as_uuid(),
                            &it.default_model.map(|it| it.to_string()),
                            &tokens,
                            &it.budget.cost.map(Money::nanos),
                            &it.installation_prices.input.nanos(),
                            &it.installation_prices.output.nanos(),
                            &it.currency,
                            &it.revision,
                        ],
                    )
                    .await
                    .map_err(store)?;
                if put == 0 {
                    return Ok(false);
                }
                audit::append(&self.database, tx, entry).await?;
                Ok(true)
            })
            .await
    }
}

#[async_trait]
impl UsageStore for PostgresModels {
    async fn add(&self, org: OrgId, rows: &[UsageRow]) -> Result<(), StoreError> {
        // An organization that was deleted meanwhile used nothing.
        let add = "INSERT INTO model_usage AS it (org_id, day, model, label, calls, prompt_tokens,
                 completion_tokens, cost)
             SELECT id, $2, $3, $4, $5, $6, $7, $8 FROM organizations WHERE id = $1
             ON CONFLICT (org_id, day, model) DO UPDATE SET label = excluded.label,
                 calls = it.calls + excluded.calls,
                 prompt_tokens = it.prompt_tokens + excluded.prompt_tokens,
                 completion_tokens = it.completion_tokens + excluded.completion_tokens,
                 cost = it.cost + excluded.cost";
        self.database
            .for_org(org, async |tx| {
                let add = tx.prepare_cached(add).await.map_err(store)?;
                for it in rows {
                    let tokens = |it: u64| i64::try_from(it).map_err(internal);
                    tx.execute(
                        &add,
                        &[
                            &org.as_uuid(),
                            &it.day,
                            &it.model.to_string(),
                            &it.label,
                            &i64::from(it.usage.calls),
                            &tokens(it.usage.prompt_tokens)?,
                            &tokens(it.usage.completion_tokens)?,
                            &it.cost.nanos(),
                        ],
                    )
                    .await
                    .map_err(store)?;
                }
                Ok(())
            })
            .await
    }

    async fn between(
        &self,
        org: OrgId,
        first: Date,
        last: Date,
    ) -> Result<Vec<UsageRow>, StoreError> {
        self.database.for_org(org, async |tx| read_used(tx, org, first, last).await).await
    }
}

async fn write(
    tx: &Transaction<'_>,
    statement: &str,
    model: &StoredModel,
) -> Result<u64, PutModelError> {
    let (it, key) = (&model.config, model.key.as_ref());
    let time_limit_ms = i32::try_from(it.time_limit.as_millis()).map_err(internal)?;
    let written = tx
        .execute(
            statement,
            &[
                &it.id.as_uuid(),
                &it.org.as_uuid(),
                &it.name.as_str(),
                &it.provider.as_str(),
                &it.base_url,
                &it.model,
                &key.map(|it| it.key_version),
                &key.map(|it| &it.bytes),
                &it.ca_certificate,
                &time_limit_ms,
                &it.prices.input.nanos(),
                &it.prices.output.nanos(),
                &it.is_active,
                &it.revision,
                &it.created_by.as_uuid(),
                &it.created_at,
                &it.updated_at,
            ],
        )
        .await;
    written.map_err(|err| match broken_constraint(&err) {
        Some("models_name_key") => PutModelError::NameTaken,
        _ => store(err).into(),
    })
}

fn read_model(row: &Row) -> Result<StoredModel, StoreError> {
    let text = |name: &str| row.try_get::<_, String>(name).map_err(internal);
    let price = |name: &str| row.try_get(name).map(Money::from_nanos).map_err(internal);
    let key_version: Option<i32> = row.try_get("key_version").map_err(internal)?;
    let bytes: Option<Vec<u8>> = row.try_get("key_sealed").map_err(internal)?;
    let key = key_version.zip(bytes).map(|(key_version, bytes)| Sealed { key_version, bytes });
    let time_limit_ms: i32 = row.try_get("time_limit_ms").map_err(internal)?;
    let config = ModelConfig {
        id: ModelId::from_uuid(row.try_get("id").map_err(internal)?),
        org: OrgId::from_uuid(row.try_get("org_id").map_err(internal)?),
        name: ModelName::parse(&text("name")?).map_err(internal)?,
        provider: text("provider")?.parse().map_err(internal)?,
        base_url: text("base_url")?,
        model: text("model")?,
        has_key: key.is_some(),
        ca_certificate: row.try_get("ca_certificate").map_err(internal)?,
        time_limit: Duration::from_millis(u64::try_from(time_limit_ms).map_err(internal)?),
        prices: Prices { input: price("input_price")?, output: price("output_price")? },
        is_active: row.try_get("is_active").map_err(internal)?,
        revision: row.try_get("revision").map_err(internal)?,
        created_by: UserId::from_uuid(row.try_get("created_by").map_err(internal)?),
        created_at: row.try_get("created_at").map_err(internal)?,
        updated_at: row.try_get("updated_at").map_err(internal)?,
    };
    Ok(StoredModel { config, key })
}

fn read_policy(row: &Row) -> Result<ModelPolicy, StoreError> {
    let number = |name: &str| row.try_get::<_, Option<i64>>(name).map_err(internal);
    let price = |name: &str| row.try_get(name).map(Money::from_nanos).map_err(internal);
    let default_model: Option<&str> = row.try_get("default_model").map_err(internal)?;
    let tokens = number("token_budget")?.map(u64::try_from).transpose().map_err(internal)?;
    Ok(ModelPolicy {
        default_model: default_model.map(str::parse).transpose().map_err(internal)?,
        budget: Budget { tokens, cost: number("cost_budget")?.map(Money::from_nanos) },
        installation_prices: Prices {
            input: price("input_price")?,
            output: price("output_price")?,
        },
        currency: row.try_get("currency").map_err(internal)?,
        revision: row.try_get("revision").map_err(internal)?,
    })
}

async fn read_used(
    tx: &Transaction<'_>,
    org: OrgId,
    first: Date,
    last: Date,
) -> Result<Vec<UsageRow>, StoreError> {
    let used = tx.prepare_cached(USED).await.map_err(store)?;
    let rows = tx.query(&used, &[&org.as_uuid(), &first, &last]).await.map_err(store)?;
    let read = |row: &Row| {
        let number = |name: &str| row.try_get::<_, i64>(name).map_err(internal);
        let count = |name: &str| u64::try_from(number(name)?).map_err(internal);
        let model: &str = row.try_get("model").map_err(internal)?;
        Ok(UsageRow {
            day: row.try_get("day").map_err(internal)?,
            model: model.parse::<ModelRef>().map_err(internal)?,
            label: row.try_get("label").map_err(internal)?,
            usage: Usage {
                calls: u32::try_from(number("calls")?).unwrap_or(u32::MAX),
                prompt_tokens: count("prompt_tokens")?,
                completion_tokens: count("completion_tokens")?,
            },
            cost: Money::from_nanos(number("cost")?),
        })
    };
    rows.iter().map(read).collect()
}
