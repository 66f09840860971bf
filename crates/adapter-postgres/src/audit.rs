use std::borrow::Cow;
use std::net::IpAddr;

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use futures_util::future::join;
use plinth_core::{Cursor, Limit, OrgId, StoreError, UserId};
use plinth_tenancy::AuditEntry;
use plinth_tenancy::audit::{
    AuditFilter, AuditId, AuditOutcome, AuditStore, ChainedEntry, Link, TrailPart,
};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::database::{internal, store};
use crate::{Database, idempotency};

/// [`AuditStore`] in our own database.
#[derive(Clone)]
pub struct PostgresAudit {
    database: Database,
}

impl PostgresAudit {
    /// Reads the trail in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

const COLUMNS: &str = "number, id, org_id, at, user_id, credential_kind, credential_id, action, target_kind, target_id,
    outcome, address, request_id, details::text AS details, hash";

/// Adds entries to their organization's trail, in the transaction of the change that they tell of.
///
/// The last thing a transaction does: from here until it commits, other changes of the organization wait. In the same
/// order everywhere, two transactions never wait for each other.
pub(crate) async fn append(
    database: &Database,
    tx: &Transaction<'_>,
    entry: &AuditEntry,
) -> Result<(), StoreError> {
    append_all(database, tx, entry.org, std::slice::from_ref(entry)).await
}

/// Adds several entries of one organization, in their order.
pub(crate) async fn append_all(
    database: &Database,
    tx: &Transaction<'_>,
    org: OrgId,
    entries: &[AuditEntry],
) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    let key = database.trail()?;
    let org_id = org.as_uuid();
    let found = tx
        .prepare_cached("SELECT number, hash FROM audit_heads WHERE org_id = $1 FOR UPDATE")
        .await
        .map_err(store)?;
    let found = tx.query_opt(&found, &[&org_id]).await.map_err(store)?;
    let mut head = if let Some(row) = found {
        read_link(&row)?
    } else {
        // The first entry: whoever comes second waits here for the first.
        let first = Link::default();
        let insert = "INSERT INTO audit_heads (org_id, number, hash, signature) VALUES ($1, 0, $2, $3)
                 ON CONFLICT (org_id) DO UPDATE SET org_id = excluded.org_id RETURNING number, hash";
        let signature = key.sign(org, &first);
        let row = tx
            .query_one(insert, &[&org_id, &first.hash.as_slice(), &signature.as_slice()])
            .await
            .map_err(store)?;
        read_link(&row)?
    };
    // One statement for many rows: a busy server tells of thousands of questions a second.
    let insert = tx
        .prepare_cached(
            "INSERT INTO audit_entries (org_id, number, id, at, user_id, credential_kind, credential_id, action,
                 target_kind, target_id, outcome, address, request_id, details, hash)
             SELECT $1, a, b, c, d, e, f, g, h, i, j, k, l, m::json, n
             FROM unnest($2::bigint[], $3::uuid[], $4::timestamptz[], $5::uuid[], $6::text[], $7::text[], $8::text[],
                 $9::text[], $10::text[], $11::text[], $12::inet[], $13::text[], $14::text[], $15::bytea[])
                 AS it (a, b, c, d, e, f, g, h, i, j, k, l, m, n)",
        )
        .await
        .map_err(store)?;
    let update = tx
        .prepare_cached(
            "UPDATE audit_heads SET number = $2, hash = $3, signature = $4 WHERE org_id = $1",
        )
        .await
        .map_err(store)?;
    for entries in entries.chunks(BATCH) {
        let entries: Vec<_> = entries.iter().map(storable).collect();
        let details: Vec<_> = entries.iter().map(|it| it.details.to_string()).collect();
        let links: Vec<Link> = entries
            .iter()
            .zip(&details)
            .map(|(entry, details)| {
                head = key.link(&head, entry, details);
                head
            })
            .collect();
        let parameters: [&(dyn ToSql + Sync); 15] = [
            &org_id,
            &links.iter().map(|it| it.number).collect::<Vec<_>>(),
            &column(&entries, |it| it.id.as_uuid()),
            &column(&entries, |it| it.at),
            &column(&entries, |it| it.user.map(UserId::as_uuid)),
            &column(&entries, |it| it.credential_kind.as_str()),
            &column(&entries, |it| it.credential_id.as_deref()),
            &column(&entries, |it| it.action.as_str()),
            &column(&entries, |it| it.target_kind.as_deref()),
            &column(&entries, |it| it.target_id.as_deref()),
            &column(&entries, |it| it.outcome.as_str()),
            &column(&entries, |it| it.address),
            &column(&entries, |it| it.request_id.as_str()),
            &details,
            &links.iter().map(|it| it.hash.as_slice()).collect::<Vec<_>>(),
        ];
        // Sent together: everybody of the organization waits meanwhile.
        let (hash, signature) = (head.hash.as_slice(), key.sign(org, &head));
        let signature = signature.as_slice();
        let moved: [&(dyn ToSql + Sync); 4] = [&org_id, &head.number, &hash, &signature];
        let (inserted, moved) =
            join(tx.execute(&insert, &parameters), tx.execute(&update, &moved)).await;
        inserted.map_err(store)?;
        moved.map_err(store)?;
        for entry in &entries {
            idempotency::mark(tx, entry).await?;
        }
    }
    Ok(())
}

/// How many entries one statement writes.
const BATCH: usize = 500;

/// One column of many entries.
fn column<'a, T>(entries: &'a [Cow<'_, AuditEntry>], of: impl Fn(&'a AuditEntry) -> T) -> Vec<T> {
    entries.iter().map(|it| of(it)).collect()
}

/// Postgres keeps no zero bytes in a text; what is hashed has to be what is kept.
fn storable(entry: &AuditEntry) -> Cow<'_, AuditEntry> {
    let AuditEntry {
        credential_kind,
        credential_id,
        action,
        target_kind,
        target_id,
        request_id,
        ..
    } = entry;
    let texts = [Some(credential_kind), Some(action), Some(request_id)];
    let mut texts =
        texts.into_iter().chain([credential_id, target_kind, target_id].map(Option::as_ref));
    // Nearly none has one, and a copy of each is a good part of what writing it costs.
    if !texts.any(|it| it.is_some_and(|it| it.contains('\0'))) {
        return Cow::Borrowed(entry);
    }
    let text = |it: &String| it.replace('\0', "\u{fffd}");
    Cow::Owned(AuditEntry {
        credential_kind: text(credential_kind),
        credential_id: credential_id.as_ref().map(text),
        action: text(action),
        target_kind: target_kind.as_ref().map(text),
        target_id: target_id.as_ref().map(text),
        request_id: text(request_id),
        // Its text escapes them: a `json` column keeps `\u0000` as it stands.
        ..entry.clone()
    })
}

#[async_trait]
impl AuditStore for PostgresAudit {
    async fn append(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let database = &self.database;
        database.for_org(entry.org, async |tx| append(database, tx, entry).await).await
    }

    async fn list(
        &self,
        org: OrgId,
        filter: &AuditFilter,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<ChainedEntry>, StoreError> {
        let query = format!(
            "SELECT {COLUMNS} FROM audit_entries
             WHERE org_id = $1
               AND ($2::timestamptz IS NULL OR (at, id) < ($2, $3))
               AND ($5::uuid IS NULL OR user_id = $5)
               AND ($6::text IS NULL OR action = $6 OR ($6 LIKE '%.' AND starts_with(action, $6)))
               AND ($7::text IS NULL OR target_kind = $7)
               AND ($8::text IS NULL OR target_id = $8)
               AND ($9::text IS NULL OR request_id = $9)
               AND ($10::text IS NULL OR outcome = $10)
               AND ($11::timestamptz IS NULL OR at >= $11)
               AND ($12::timestamptz IS NULL OR at < $12)
             ORDER BY at DESC, id DESC LIMIT $4"
        );
        let (at, id) = (after.map(|it| it.created_at), after.map(|it| it.id));
        let limit = i64::from(limit.get()) + 1;
        self.database
            .for_org(org, async |tx| {
                let rows = tx
                    .query(
                        &query,
                        &[
                            &org.as_uuid(),
                            &at,
                            &id,
                            &limit,
                            &filter.user.map(UserId::as_uuid),
                            &filter.action,
                            &filter.target_kind,
                            &filter.target_id,
                            &filter.request_id,
                            &filter.outcome.map(AuditOutcome::as_str),
                            &filter.from,
                            &filter.until,
                        ],
                    )
                    .await;
                rows.map_err(store)?.iter().map(read).collect()
            })
            .await
    }

    async fn part(&self, org: OrgId, number: i64, limit: usize) -> Result<TrailPart, StoreError> {
        let query = format!(
            "SELECT {COLUMNS} FROM audit_entries WHERE org_id = $1 AND number > $2 ORDER BY number LIMIT $3"
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        // Entries and head as of one moment, while others go on writing. Whoever writes down where the trail stood is told
        // nothing that a crash could take back.
        self.database
            .for_org_as_on_disk(org, async |tx| {
                let rows = tx.query(&query, &[&org.as_uuid(), &number, &limit]).await;
                let entries = rows.map_err(store)?.iter().map(read).collect::<Result<_, _>>()?;
                let head = "SELECT number, hash, signature FROM audit_heads WHERE org_id = $1";
                let head = tx.query_opt(head, &[&org.as_uuid()]).await.map_err(store)?;
                let head = head
                    .map(|row| {
                        let signature = row.try_get("signature").map_err(internal)?;
                        Ok((read_link(&row)?, signature))
                    })
                    .transpose()?;
                Ok(TrailPart { entries, head })
            })
            .await
    }

    async fn organizations(&self) -> Result<Vec<OrgId>, StoreError> {
        self.database.organizations().await
    }
}

fn read_link(row: &Row) -> Result<Link, StoreError> {
    Ok(Link { number: row.try_get("number").map_err(internal)?, hash: read_hash(row)? })
}

fn read_hash(row: &Row) -> Result<[u8; 32], StoreError> {
    let hash: &[u8] = row.try_get("hash").map_err(internal)?;
    hash.try_into().map_err(internal)
}

fn read(row: &Row) -> Result<ChainedEntry, StoreError> {
    let details_text: String = row.try_get("details").map_err(internal)?;
    let outcome: &str = row.try_get("outcome").map_err(internal)?;
    let outcome = AuditOutcome::ALL
        .into_iter()
        .find(|it| it.as_str() == outcome)
        .ok_or_else(|| internal(format!("no outcome: {outcome}")))?;
    let entry = AuditEntry {
        id: AuditId::from_uuid(row.try_get("id").map_err(internal)?),
        org: OrgId::from_uuid(row.try_get("org_id").map_err(internal)?),
        at: row.try_get("at").map_err(internal)?,
        user: row.try_get::<_, Option<Uuid>>("user_id").map_err(internal)?.map(UserId::from_uuid),
        credential_kind: row.try_get("credential_kind").map_err(internal)?,
        credential_id: row.try_get("credential_id").map_err(internal)?,
        action: row.try_get("action").map_err(internal)?,
        target_kind: row.try_get("target_kind").map_err(internal)?,
        target_id: row.try_get("target_id").map_err(internal)?,
        outcome,
        address: row.try_get::<_, Option<IpAddr>>("address").map_err(internal)?,
        request_id: row.try_get("request_id").map_err(internal)?,
        // Who changed the text under us finds out by verifying, and must not break the list.
        details: serde_json::from_str(&details_text).unwrap_or_default(),
        idempotency: None,
    };
    Ok(ChainedEntry {
        entry,
        details_text,
        number: row.try_get("number").map_err(internal)?,
        hash: read_hash(row)?,
    })
}
