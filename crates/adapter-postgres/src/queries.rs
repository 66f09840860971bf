use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use plinth_connections::ConnectionId;
use plinth_core::{Cursor, KeyId, Limit, OrgId, StoreError, UserId};
use plinth_queries::{
    Definition, HistoryEntry, HistoryFilter, QueryId, QueryOutcome, QueryRecord, QueryStore, RunOf,
    Visibility,
};
use plinth_tenancy::AuditEntry;
use plinth_workflows::events::EventKind;
use serde_json::{Value, json};
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

use crate::database::{Hurry, broken_constraint, internal, store};
use crate::{Database, audit, events};

/// [`QueryStore`] in our own database.
#[derive(Clone)]
pub struct PostgresQueries {
    pub(crate) database: Database,
}

impl PostgresQueries {
    /// Keeps the history in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Writes a part of new entries, and says whether it did: not if one of them was written before, by a try whose end was lost,
    /// unless `again`. To be ready for that takes a third more, and it hardly ever happens.
    async fn insert_part(
        &self,
        hurry: &mut Hurry<'_>,
        org: OrgId,
        records: &[Arc<HistoryEntry>],
        again: bool,
    ) -> Result<bool, StoreError> {
        let end = if again { "ON CONFLICT (id) DO NOTHING RETURNING id" } else { "" };
        // One statement for many rows: a busy server writes thousands of entries a second.
        let insert = format!(
            "INSERT INTO queries ({NEW_COLUMNS})
             SELECT a, b, c, d, e, f, g, h, i::jsonb, j::jsonb, k, l, m, n, o, p, q, r, s
             FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[],
                 $8::text[], $9::text[], $10::text[], $11::bigint[], $12::boolean[], $13::double precision[],
                 $14::boolean[], $15::timestamptz[], $16::uuid[], $17::text[], $18::uuid[], $19::integer[])
                 AS it (a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s) {end}"
        );
        let tx = hurry.begin().await?;
        let insert = tx.prepare_cached(&insert).await.map_err(store)?;
        let ids = column(records, |it| it.id.as_uuid());
        let parameters: [&(dyn ToSql + Sync); 19] = [
            &ids,
            &column(records, |it| it.org.as_uuid()),
            &column(records, |it| it.connection.as_uuid()),
            &column(records, |it| it.user.as_uuid()),
            &column(records, |it| it.key.map(KeyId::as_uuid)),
            &column(records, |it| it.question.as_deref().map(storable)),
            &column(records, |it| it.sql.as_deref().map(storable)),
            &column(records, |it| it.outcome.as_str()),
            &column(records, |it| storable_json(&it.notes)),
            &column(records, |it| it.error.as_ref().map(storable_json)),
            &column(records, |it| it.row_count.map(|it| i64::try_from(it).unwrap_or(i64::MAX))),
            &column(records, |it| it.truncated),
            &column(records, |it| it.execution_time_ms),
            &column(records, |it| it.saved),
            &column(records, |it| it.created_at),
            &column(records, |it| it.definition.owner.map(UserId::as_uuid)),
            &column(records, |it| it.definition.visibility.as_str()),
            &column(records, |it| it.run_of.map(|it| it.query.as_uuid())),
            &column(records, |it| {
                it.run_of.map(|it| i32::try_from(it.version).unwrap_or(i32::MAX))
            }),
        ];
        let mut new: HashSet<Uuid> = match tx.query(&insert, &parameters).await {
            Err(err) if !again && broken_constraint(&err) == Some("queries_pkey") => {
                return Ok(false);
            }
            // What was written before was told of already.
            Ok(rows) if again => rows.iter().map(|row| row.get(0)).collect(),
            done => done.map(|_| ids.into_iter().collect()).map_err(store)?,
        };
        for id in take_back(&tx, org, &new).await? {
            new.remove(&id);
        }
        let new: Vec<_> = records.iter().filter(|it| new.contains(&it.id.as_uuid())).collect();
        let happened = || new.iter().filter_map(|it| Some((it.created_at, event(it)?))).collect();
        events::announce(&tx, org, EventKind::QueryCompleted, happened).await?;
        let told: Vec<_> = new.iter().map(|it| it.audit_entry()).collect();
        audit::append_all(&self.database, &tx, org, &told).await?;
        tx.commit().await.map_err(store)?;
        Ok(true)
    }
}

pub(crate) const COLUMNS: &str =
    "id, org_id, connection_id, user_id, key_id, question, sql, outcome, answer, error, row_count,
    truncated, execution_time_ms, saved, name, description, tags, owner_id, visibility, parameters, max_age_seconds, version,
    revision, updated_at, run_of, run_of_version, created_at";

/// The columns that an entry is made with.
const NEW_COLUMNS: &str =
    "id, org_id, connection_id, user_id, key_id, question, sql, outcome, answer, error, row_count,
    truncated, execution_time_ms, saved, created_at, owner_id, visibility, run_of, run_of_version";

/// What is told of an entry to others' servers; `None` of one that ran nothing.
fn event(it: &QueryRecord) -> Option<Value> {
    use QueryOutcome::{Answered, Cancelled, Failed, TimedOut};
    matches!(it.outcome, Answered | Failed | TimedOut | Cancelled).then(|| {
        json!({
            "query_id": it.id, "connection_id": it.connection, "user_id": it.user,
            "outcome": it.outcome.as_str(), "row_count": it.row_count,
            "execution_time_ms": it.execution_time_ms,
        })
    })
}

/// A statement's condition and the values that it is given, in order.
struct Condition<'a> {
    sql: String,
    values: Vec<Box<dyn ToSql + Sync + Send + 'a>>,
}

impl<'a> Condition<'a> {
    /// What a filter lets through of an organization's entries. Only what is asked for stands in it, so that the planner sees
    /// which index fits.
    fn new(org: OrgId, filter: &'a HistoryFilter) -> Self {
        let mut it = Self { sql: "org_id = $1".to_owned(), values: vec![Box::new(org.as_uuid())] };
        if filter.saved_only {
            it.sql.push_str(" AND saved");
        }
        if filter.test_only {
            it.sql.push_str(
                " AND connection_id IN (SELECT id FROM connections WHERE org_id = $1 AND is_test)",
            );
        }
        it.equals("connection_id", filter.connection.map(ConnectionId::as_uuid));
        it.equals("user_id", filter.user.map(UserId::as_uuid));
        it.equals("outcome", filter.outcome.map(QueryOutcome::as_str));
        it.equals("answer ->> 'engine'", filter.engine.as_deref());
        if let Some(from) = filter.from {
            it.and("created_at >= $", from);
        }
        if let Some(to) = filter.to {
            it.and("created_at < $", to);
        }
        if let Some(tag) = &filter.tag {
            it.and("tags @> ARRAY[$]", tag.as_str());
        }
        it.equals("run_of", filter.run_of.map(QueryId::as_uuid));
        if let Some(viewer) = filter.viewer {
            it.and("(visibility = 'organization' OR owner_id = $)", viewer.as_uuid());
        }
        let viewer = filter.viewer.filter(|_| !filter.words.is_empty());
        let viewer = viewer.map(|viewer| it.value(viewer.as_uuid()));
        for word in &filter.words {
            let word = it.value(like(word));
            it.sql.push_str(&format!(" AND {SEARCHED} LIKE {word}"));
            if let Some(viewer) = &viewer {
                it.sql.push_str(&format!(" AND ({ASKED} LIKE {word} OR {})", open_to(viewer)));
            }
        }
        it
    }

    fn equals(&mut self, what: &str, value: Option<impl ToSql + Sync + Send + 'a>) {
        if let Some(value) = value {
            self.and(&format!("{what} = $"), value);
        }
    }

    /// Adds a condition in which `$` stands for the value.
    fn and(&mut self, condition: &str, value: impl ToSql + Sync + Send + 'a) {
        let place = self.value(value);
        self.sql.push_str(" AND ");
        self.sql.push_str(&condition.replace('$', &place));
    }

    fn value(&mut self, value: impl ToSql + Sync + Send + 'a) -> String {
        self.values.push(Box::new(value));
        format!("${}", self.values.len())
    }

    fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|it| -> &(dyn ToSql + Sync) { it.as_ref() }).collect()
    }
}

/// What is searched, as the index has it.
const SEARCHED: &str =
    "lower(coalesce(name, '') || ' ' || coalesce(question, '') || ' ' || coalesce(sql, ''))";

/// What is searched of an entry in any case.
const ASKED: &str = "lower(coalesce(name, '') || ' ' || coalesce(question, ''))";

/// Whether the statement is searched for that viewer too: one that was made of another's question may hold values that policies
/// hide from them, and that it is found would tell those. It is what `Queries::keep_discretion` shows them: as
/// `Audience::binds` says, and whoever is no member is bound by everything.
fn open_to(viewer: &str) -> String {
    format!(
        "user_id = {viewer} OR saved OR run_of IS NOT NULL OR question IS NULL OR NOT EXISTS (
             SELECT FROM policies p
             LEFT JOIN members m ON m.org_id = p.org_id AND m.user_id = {viewer}
             WHERE p.org_id = $1 AND p.connection_id = queries.connection_id AND p.is_active
                 AND (m.user_id IS NULL
                     OR (CASE m.role WHEN 'custom' THEN 'role_' || replace(m.custom_role::text, '-', '')
                         ELSE m.role END = ANY (p.roles)) <> p.all_but))"
    )
}

/// A pattern for whatever holds the word.
fn like(word: &str) -> String {
    let word = word.to_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{}%", storable(&word))
}

#[async_trait]
impl QueryStore for PostgresQueries {
    async fn insert(&self, org: OrgId, entries: &[Arc<HistoryEntry>]) -> Result<(), StoreError> {
        // Whoever changes something of the organization waits while entries are added to its trail: for a part of them at a
        // time, and not for the disk.
        let mut hurry = self.database.hurry(org).await?;
        for records in entries.chunks(BATCH) {
            if !self.insert_part(&mut hurry, org, records, false).await? {
                self.insert_part(&mut hurry, org, records, true).await?;
            }
        }
        hurry.flush().await
    }

    async fn find(
        &self,
        org: OrgId,
        id: QueryId,
        filter: HistoryFilter,
    ) -> Result<Option<QueryRecord>, StoreError> {
        let mut condition = Condition::new(org, &filter);
        condition.and("id = $", id.as_uuid());
        let query = format!("SELECT {COLUMNS} FROM queries WHERE {}", condition.sql);
        self.database
            .for_org(org, async |tx| {
                let row = tx.query_opt(&query, &condition.values()).await;
                row.map_err(store)?.as_ref().map(read).transpose()
            })
            .await
    }

    async fn list(
        &self,
        org: OrgId,
        filter: HistoryFilter,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<QueryRecord>, StoreError> {
        let mut condition = Condition::new(org, &filter);
        if let Some(after) = after {
            let (at, id) = (condition.value(after.created_at), condition.value(after.id));
            condition.sql.push_str(&format!(" AND (created_at, id) < ({at}, {id})"));
        }
        let limit = condition.value(i64::from(limit.get()) + 1);
        let query = format!(
            "SELECT {COLUMNS} FROM queries WHERE {} ORDER BY created_at DESC, id DESC LIMIT {limit}",
            condition.sql
        );
        self.database
            .for_org(org, async |tx| {
                let rows = tx.query(&query, &condition.values()).await;
                rows.map_err(store)?.iter().map(read).collect()
            })
            .await
    }

    async fn remove(
        &self,
        org: OrgId,
        id: QueryId,
        filter: HistoryFilter,
        revision: i64,
        told: Option<&AuditEntry>,
    ) -> Result<bool, StoreError> {
        let mut condition = Condition::new(org, &filter);
        condition.and("id = $", id.as_uuid());
        condition.and("revision = $", revision);
        let delete = format!(
            "WITH gone AS (DELETE FROM queries WHERE {} RETURNING id),
                 noted AS (INSERT INTO removed_queries (org_id, query_id) SELECT $1, id FROM gone ON CONFLICT DO NOTHING)
             SELECT count(*) FROM gone",
            condition.sql
        );
        self.database
            .for_org(org, async |tx| {
                let removed = tx.query_one(&delete, &condition.values()).await;
                if removed.map_err(store)?.get::<_, i64>(0) == 0 {
                    return Ok(false);
                }
                if let Some(told) = told {
                    audit::append(&self.database, tx, told).await?;
                }
                Ok(true)
            })
            .await
    }
}

/// Takes those of the just inserted entries out again that somebody removed, and says which. They are there because a try
/// whose end was lost, or that failed after its first entries, had written them before.
///
/// This is a statement of its own, after the insertion: that waits where somebody is just removing an entry of the same id,
/// and only what begins after it sees that they did.
async fn take_back(
    tx: &Transaction<'_>,
    org: OrgId,
    new: &HashSet<Uuid>,
) -> Result<Vec<Uuid>, StoreError> {
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let delete = "DELETE FROM queries q USING removed_queries r
         WHERE r.org_id = $1 AND r.query_id = ANY($2) AND q.org_id = r.org_id AND q.id = r.query_id RETURNING q.id";
    let delete = tx.prepare_cached(delete).await.map_err(store)?;
    let new: Vec<Uuid> = new.iter().copied().collect();
    let rows = tx.query(&delete, &[&org.as_uuid(), &new]).await.map_err(store)?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// How many entries one transaction writes.
const BATCH: usize = 200;

/// One column of many records.
fn column<'a, T>(records: &'a [Arc<HistoryEntry>], of: impl Fn(&'a QueryRecord) -> T) -> Vec<T> {
    records.iter().map(|it| of(it)).collect()
}

/// Postgres keeps no NUL in a text; what callers send may hold one, and is still worth remembering.
pub(crate) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// The same for what is kept as JSON, where a NUL stands as an escape.
pub(crate) fn storable_json(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
    if text.contains("\\u0000") { text.replace("\\u0000", "\\ufffd") } else { text }
}

pub(crate) fn read(row: &Row) -> Result<QueryRecord, StoreError> {
    let outcome: &str = row.try_get("outcome").map_err(internal)?;
    let outcome = QueryOutcome::ALL
        .into_iter()
        .find(|it| it.as_str() == outcome)
        .ok_or_else(|| internal(format!("no outcome: {outcome}")))?;
    let row_count: Option<i64> = row.try_get("row_count").map_err(internal)?;
    Ok(QueryRecord {
        id: QueryId::from_uuid(row.try_get("id").map_err(internal)?),
        org: OrgId::from_uuid(row.try_get("org_id").map_err(internal)?),
        connection: ConnectionId::from_uuid(row.try_get("connection_id").map_err(internal)?),
        user: UserId::from_uuid(row.try_get("user_id").map_err(internal)?),
        key: row.try_get::<_, Option<_>>("key_id").map_err(internal)?.map(KeyId::from_uuid),
        question: row.try_get("question").map_err(internal)?,
        sql: row.try_get("sql").map_err(internal)?,
        outcome,
        notes: row.try_get::<_, Json<_>>("answer").map_err(internal)?.0,
        error: row.try_get::<_, Option<Json<_>>>("error").map_err(internal)?.map(|it| it.0),
        row_count: row_count.map(u64::try_from).transpose().map_err(internal)?,
        truncated: row.try_get("truncated").map_err(internal)?,
        execution_time_ms: row.try_get("execution_time_ms").map_err(internal)?,
        saved: row.try_get("saved").map_err(internal)?,
        name: row.try_get("name").map_err(internal)?,
        description: row.try_get("description").map_err(internal)?,
        tags: row.try_get("tags").map_err(internal)?,
        definition: read_definition(row)?,
        run_of: read_run_of(row)?,
        created_at: row.try_get("created_at").map_err(internal)?,
    })
}

fn read_definition(row: &Row) -> Result<Definition, StoreError> {
    let visibility: &str = row.try_get("visibility").map_err(internal)?;
    let visibility = [Visibility::Private, Visibility::Organization]
        .into_iter()
        .find(|it| it.as_str() == visibility)
        .ok_or_else(|| internal(format!("no visibility: {visibility}")))?;
    let parameters: Option<Json<_>> = row.try_get("parameters").map_err(internal)?;
    let seconds: Option<i32> = row.try_get("max_age_seconds").map_err(internal)?;
    let version: i32 = row.try_get("version").map_err(internal)?;
    Ok(Definition {
        owner: row.try_get::<_, Option<_>>("owner_id").map_err(internal)?.map(UserId::from_uuid),
        visibility,
        parameters: parameters.map(|it| it.0).unwrap_or_default(),
        max_age_seconds: seconds.map(u32::try_from).transpose().map_err(internal)?,
        version: u32::try_from(version).map_err(internal)?,
        revision: row.try_get("revision").map_err(internal)?,
        updated_at: row.try_get("updated_at").map_err(internal)?,
    })
}

fn read_run_of(row: &Row) -> Result<Option<RunOf>, StoreError> {
    let query: Option<Uuid> = row.try_get("run_of").map_err(internal)?;
    let version: Option<i32> = row.try_get("run_of_version").map_err(internal)?;
    let Some((query, version)) = query.zip(version) else { return Ok(None) };
    let version = u32::try_from(version).map_err(internal)?;
    Ok(Some(RunOf { query: QueryId::from_uuid(query), version }))
}
