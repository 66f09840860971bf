//! Saved queries that a change of a schema broke.

use std::collections::BTreeMap;

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use jiff::{SignedDuration, Timestamp};
use plinth_connections::ConnectionId;
use plinth_core::{Cursor, Limit, OrgId, StoreError, UserId};
use plinth_queries::repairs::{
    ModeOf, OwnMode, Repair, RepairFilter, RepairId, RepairMode, RepairState, RepairStore,
};
use plinth_queries::{QueryId, QueryRecord, Version};
use plinth_schema_introspect::SnapshotId;
use plinth_tenancy::AuditEntry;
use plinth_tenancy::outbox::{Letter, LetterTo, Message};
use plinth_workflows::events::EventKind;
use serde_json::json;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Json, ToSql};
use uuid::Uuid;

use crate::database::{internal, store};
use crate::queries::{COLUMNS, PostgresQueries, read, storable, storable_json};
use crate::{audit, events, outbox};

/// How many queries a letter names.
const NAMED: usize = 50;

/// How long repairs that are settled are kept.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(24 * 90);

fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<T, StoreError> {
    row.try_get(column).map_err(internal)
}

fn mode(name: &str) -> Result<RepairMode, StoreError> {
    let found = RepairMode::ALL.into_iter().find(|it| it.as_str() == name);
    found.ok_or_else(|| internal(format!("`{name}` is no mode of repairs")))
}

fn repair(row: &Row) -> Result<Repair, StoreError> {
    let state: &str = get(row, "state")?;
    let state = RepairState::ALL.into_iter().find(|it| it.as_str() == state);
    let number = |column| -> Result<Option<u32>, StoreError> {
        let number: Option<i32> = get(row, column)?;
        number.map(u32::try_from).transpose().map_err(internal)
    };
    Ok(Repair {
        id: RepairId::from_uuid(get(row, "id")?),
        org: OrgId::from_uuid(get(row, "org_id")?),
        query: QueryId::from_uuid(get(row, "query_id")?),
        connection: ConnectionId::from_uuid(get(row, "connection_id")?),
        version: number("version")?.unwrap_or_default(),
        state: state.ok_or_else(|| internal("a repair of no state"))?,
        from: SnapshotId::from_uuid(get(row, "from_id")?),
        to: SnapshotId::from_uuid(get(row, "to_id")?),
        why: get(row, "why")?,
        changes: get::<Json<_>>(row, "changes")?.0,
        proposal: get::<Option<Json<_>>>(row, "proposal")?.map(|it| it.0),
        no_proposal: get(row, "no_proposal")?,
        applied_version: number("applied_version")?,
        settled_by: get::<Option<_>>(row, "settled_by")?.map(UserId::from_uuid),
        created_at: get(row, "created_at")?,
        updated_at: get(row, "updated_at")?,
    })
}

/// Whether the repair that a version is can still be settled; it is locked until the transaction ends.
pub(crate) async fn may_settle(
    tx: &Transaction<'_>,
    org: OrgId,
    version: Option<&Version>,
) -> Result<bool, StoreError> {
    let Some(made_as) = version.and_then(|it| it.repair.as_ref()) else { return Ok(true) };
    // The query before its repair, as whoever saves it by hand has it.
    let query = "SELECT FROM queries WHERE org_id = $1 AND id = $2 FOR UPDATE";
    let of_query = version.map(|it| it.query.as_uuid());
    tx.execute(query, &[&org.as_uuid(), &of_query]).await.map_err(store)?;
    let lock = "SELECT FROM query_repairs WHERE org_id = $1 AND id = $2 AND version = $3
             AND state IN ('open', 'dismissed') FOR UPDATE";
    let of = i32::try_from(made_as.of).map_err(internal)?;
    let found = tx.query_opt(lock, &[&org.as_uuid(), &made_as.repair.as_uuid(), &of]).await;
    Ok(found.map_err(store)?.is_some())
}

/// Settles the repair of a query that has a new version: that is the repair, or makes it needless.
pub(crate) async fn settle(
    tx: &Transaction<'_>,
    record: &QueryRecord,
    version: &Version,
) -> Result<(), StoreError> {
    let update = "UPDATE query_repairs SET state = $3, applied_version = $4, settled_by = $5, updated_at = $6
         WHERE org_id = $1 AND query_id = $2 AND state IN ('open', 'dismissed') RETURNING *";
    let made_as = version.repair.as_ref();
    let state = if made_as.is_some() { RepairState::Applied } else { RepairState::Resolved };
    let number = i32::try_from(version.number).map_err(internal)?;
    let by = made_as.is_none_or(|it| !it.by_itself).then(|| version.made_by.as_uuid());
    let parameters: [&(dyn ToSql + Sync); 6] = [
        &record.org.as_uuid(),
        &record.id.as_uuid(),
        &state.as_str(),
        &made_as.map(|_| number),
        &by,
        &version.made_at,
    ];
    let settled = tx.query_opt(update, &parameters).await.map_err(store)?;
    let Some(settled) = settled.as_ref().map(repair).transpose()? else { return Ok(()) };
    announce(tx, EventKind::QueryRepaired, &settled, version.made_at).await
}

async fn announce(
    tx: &Transaction<'_>,
    kind: EventKind,
    it: &Repair,
    at: Timestamp,
) -> Result<(), StoreError> {
    let data = json!({
        "query_id": it.query, "connection_id": it.connection, "repair_id": it.id,
        "state": it.state.as_str(), "version": it.applied_version.unwrap_or(it.version),
    });
    events::announce(tx, it.org, kind, || vec![(at, data)]).await
}

/// A new row, or what the one that is not settled becomes: by what changed since the same schema only, or for a newer version.
const NOTE: &str = "INSERT INTO query_repairs AS known (id, org_id, query_id, connection_id, version, state, from_id, to_id, why,
         changes, proposal, no_proposal, created_at, updated_at)
     SELECT $1, q.org_id, q.id, q.connection_id, q.version, 'open', $5, $6, $7, ($8::text)::jsonb, ($9::text)::jsonb, $10, $11, $11
     FROM queries q WHERE q.org_id = $2 AND q.id = $3 AND q.version = $4 AND q.saved
     ON CONFLICT (org_id, query_id) WHERE state IN ('open', 'dismissed') DO UPDATE
     SET version = excluded.version, from_id = excluded.from_id, to_id = excluded.to_id, why = excluded.why,
         changes = excluded.changes, proposal = excluded.proposal, no_proposal = excluded.no_proposal,
         updated_at = excluded.updated_at,
         state = CASE WHEN known.version = excluded.version AND known.changes = excluded.changes
             THEN known.state ELSE 'open' END
     WHERE known.version <> excluded.version OR known.from_id = excluded.from_id
     RETURNING *";

#[async_trait]
impl RepairStore for PostgresQueries {
    async fn saved_over(
        &self,
        org: OrgId,
        connection: ConnectionId,
        after: Option<QueryId>,
        limit: u32,
    ) -> Result<Vec<QueryRecord>, StoreError> {
        let select = format!(
            "SELECT {COLUMNS} FROM queries WHERE org_id = $1 AND connection_id = $2 AND saved AND version > 0
                 AND sql IS NOT NULL AND id > $3 ORDER BY id LIMIT $4"
        );
        let after = after.map_or(Uuid::nil(), QueryId::as_uuid);
        let parameters: [&(dyn ToSql + Sync); 4] =
            [&org.as_uuid(), &connection.as_uuid(), &after, &i64::from(limit)];
        self.database
            .for_org(org, async |tx| {
                let found = tx.query(&select, &parameters).await.map_err(store)?;
                found.iter().map(read).collect()
            })
            .await
    }

    async fn unsettled(
        &self,
        org: OrgId,
        connection: ConnectionId,
    ) -> Result<Vec<Repair>, StoreError> {
        let select = "SELECT * FROM query_repairs WHERE org_id = $1 AND connection_id = $2
                 AND state IN ('open', 'dismissed')";
        self.database
            .for_org(org, async |tx| {
                let found = tx.query(select, &[&org.as_uuid(), &connection.as_uuid()]).await;
                found.map_err(store)?.iter().map(repair).collect()
            })
            .await
    }

    async fn list(
        &self,
        org: OrgId,
        filter: &RepairFilter,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<Repair>, StoreError> {
        let select = "SELECT r.* FROM query_repairs r JOIN queries q ON q.org_id = $1 AND q.id = r.query_id
             WHERE r.org_id = $1 AND q.saved AND (q.visibility = 'organization' OR q.owner_id = $2)
                 AND (NOT $3 OR r.connection_id IN (SELECT id FROM connections WHERE org_id = $1 AND is_test))
                 AND (cardinality($4::text[]) = 0 OR r.state = ANY ($4))
                 AND ($5::uuid[] IS NULL OR r.query_id = ANY ($5))
                 AND ($6::uuid IS NULL OR r.id = $6)
                 AND ($7::timestamptz IS NULL OR (r.created_at, r.id) < ($7, $8))
             ORDER BY r.created_at DESC, r.id DESC LIMIT $9";
        let states: Vec<&str> = filter.states.iter().map(|it| it.as_str()).collect();
        let queries: Option<Vec<Uuid>> =
            filter.queries.as_ref().map(|it| it.iter().map(|it| it.as_uuid()).collect());
        let (at, last) = (after.map(|it| it.created_at), after.map(|it| it.id));
        let parameters: [&(dyn ToSql + Sync); 9] = [
            &org.as_uuid(),
            &filter.viewer.as_uuid(),
            &filter.test_only,
            &states,
            &queries,
            &filter.id.map(RepairId::as_uuid),
            &at,
            &last,
            &(i64::from(limit.get()) + 1),
        ];
        self.database
            .for_org(org, async |tx| {
                let found = tx.query(select, &parameters).await.map_err(store)?;
                found.iter().map(repair).collect()
            })
            .await
    }

    async fn note(&self, it: &Repair, entry: &AuditEntry) -> Result<Option<Repair>, StoreError> {
        let version = i32::try_from(it.version).map_err(internal)?;
        let parameters: [&(dyn ToSql + Sync); 11] = [
            &it.id.as_uuid(),
            &it.org.as_uuid(),
            &it.query.as_uuid(),
            &version,
            &it.from.as_uuid(),
            &it.to.as_uuid(),
            &storable(&it.why),
            &storable_json(&it.changes),
            &it.proposal.as_ref().map(storable_json),
            &it.no_proposal,
            &it.updated_at,
        ];
        self.database
            .for_org(it.org, async |tx| {
                let noted = tx.query_opt(NOTE, &parameters).await.map_err(store)?;
                let Some(noted) = noted.as_ref().map(repair).transpose()? else { return Ok(None) };
                if noted.id == it.id {
                    audit::append(&self.database, tx, entry).await?;
                    announce(tx, EventKind::QueryBroken, &noted, it.updated_at).await?;
                }
                Ok(Some(noted))
            })
            .await
    }

    async fn resolve(
        &self,
        org: OrgId,
        query: QueryId,
        at: Timestamp,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let update = "UPDATE query_repairs SET state = 'resolved', updated_at = $3
             WHERE org_id = $1 AND query_id = $2 AND state IN ('open', 'dismissed') RETURNING *";
        self.database
            .for_org(org, async |tx| {
                let row = tx.query_opt(update, &[&org.as_uuid(), &query.as_uuid(), &at]).await;
                let row = row.map_err(store)?;
                let Some(it) = row.as_ref().map(repair).transpose()? else { return Ok(false) };
                audit::append(&self.database, tx, entry).await?;
                announce(tx, EventKind::QueryRepaired, &it, at).await?;
                Ok(true)
            })
            .await
    }

    async fn dismiss(
        &self,
        org: OrgId,
        id: RepairId,
        by: UserId,
        at: Timestamp,
        entry: &AuditEntry,
    ) -> Result<Option<Repair>, StoreError> {
        let update =
            "UPDATE query_repairs SET state = 'dismissed', settled_by = $3, updated_at = $4
             WHERE org_id = $1 AND id = $2 AND state = 'open' RETURNING *";
        self.database
            .for_org(org, async |tx| {
                let parameters: [&(dyn ToSql + Sync); 4] =
                    [&org.as_uuid(), &id.as_uuid(), &by.as_uuid(), &at];
                let row = tx.query_opt(update, &parameters).await.map_err(store)?;
                let Some(row) = row else { return Ok(None) };
                audit::append(&self.database, tx, entry).await?;
                Ok(Some(repair(&row)?))
            })
            .await
    }

    async fn tell(
        &self,
        org: OrgId,
        connection: ConnectionId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let told = "UPDATE query_repairs r SET told_at = $3
             FROM queries q JOIN connections c ON c.org_id = q.org_id AND c.id = q.connection_id
             WHERE r.org_id = $1 AND r.connection_id = $2 AND r.told_at IS NULL AND r.state IN ('open', 'applied')
                 AND q.org_id = $1 AND q.id = r.query_id
             RETURNING r.state, r.query_id, q.name, q.visibility, c.name AS connection,
                 (SELECT u.email FROM members m JOIN users u ON u.id = m.user_id
                  WHERE m.org_id = q.org_id AND m.user_id = coalesce(q.owner_id, q.user_id)) AS email";
        let forget = "DELETE FROM query_repairs WHERE org_id = $1 AND connection_id = $2
             AND state IN ('applied', 'resolved') AND updated_at < $3";
        self.database
            .for_org(org, async |tx| {
                let (org_id, connection_id) = (org.as_uuid(), connection.as_uuid());
                let rows = tx.query(told, &[&org_id, &connection_id, &at]).await.map_err(store)?;
                for message in letters(org, at, &rows)? {
                    outbox::put(tx, &message).await?;
                }
                let old = at - KEPT_FOR;
                tx.execute(forget, &[&org_id, &connection_id, &old]).await.map_err(store)?;
                Ok(())
            })
            .await
    }

    async fn mode(&self, org: OrgId, query: QueryId) -> Result<RepairMode, StoreError> {
        let select = "SELECT coalesce(
                 (SELECT mode FROM repair_modes WHERE org_id = $1 AND query_id = $2),
                 (SELECT m.mode FROM repair_modes m JOIN dashboards d ON d.org_id = $1 AND d.id = m.dashboard_id
                  WHERE m.org_id = $1 AND d.widgets @> jsonb_build_array(jsonb_build_object('query', $3::text))
                  ORDER BY array_position(ARRAY['off', 'suggest', 'auto'], m.mode) LIMIT 1),
                 (SELECT mode FROM repair_modes WHERE org_id = $1 AND query_id IS NULL AND dashboard_id IS NULL))";
        self.database
            .for_org(org, async |tx| {
                let parameters: [&(dyn ToSql + Sync); 3] =
                    [&org.as_uuid(), &query.as_uuid(), &query.to_string()];
                let row = tx.query_one(select, &parameters).await.map_err(store)?;
                let name: Option<&str> = row.try_get(0).map_err(internal)?;
                name.map_or(Ok(RepairMode::default()), mode)
            })
            .await
    }

    async fn modes(&self, org: OrgId, viewer: UserId) -> Result<Vec<OwnMode>, StoreError> {
        let select = "SELECT m.query_id, m.dashboard_id, m.mode
             FROM repair_modes m LEFT JOIN queries q ON q.org_id = $1 AND q.id = m.query_id
             WHERE m.org_id = $1 AND (m.query_id IS NULL OR q.visibility = 'organization' OR q.owner_id = $2)
             ORDER BY m.query_id NULLS FIRST, m.dashboard_id NULLS FIRST";
        self.database
            .for_org(org, async |tx| {
                let rows = tx.query(select, &[&org.as_uuid(), &viewer.as_uuid()]).await;
                let own = |row: &Row| {
                    let of =
                        match (get::<Option<Uuid>>(row, "query_id")?, get(row, "dashboard_id")?) {
                            (Some(id), _) => ModeOf::Query(QueryId::from_uuid(id)),
                            (None, Some(id)) => ModeOf::Dashboard(id),
                            (None, None) => ModeOf::Organization,
                        };
                    Ok(OwnMode { of, mode: mode(get(row, "mode")?)? })
                };
                rows.map_err(store)?.iter().map(own).collect()
            })
            .await
    }

    async fn set_mode(
        &self,
        org: OrgId,
        viewer: UserId,
        of: ModeOf,
        mode: Option<RepairMode>,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let (query, dashboard) = match of {
            ModeOf::Organization => (None, None),
            ModeOf::Query(id) => (Some(id.as_uuid()), None),
            ModeOf::Dashboard(id) => (None, Some(id)),
        };
        let known = "SELECT ($2::uuid IS NULL OR EXISTS (
                 SELECT FROM queries WHERE org_id = $1 AND id = $2 AND saved
                     AND (visibility = 'organization' OR owner_id = $4)))
             AND ($3::uuid IS NULL OR EXISTS (SELECT FROM dashboards WHERE org_id = $1 AND id = $3))";
        let set = "INSERT INTO repair_modes (org_id, query_id, dashboard_id, mode) VALUES ($1, $2, $3, $4)
             ON CONFLICT (org_id, subject) DO UPDATE SET mode = excluded.mode";
        let unset =
            "DELETE FROM repair_modes WHERE org_id = $1 AND query_id IS NOT DISTINCT FROM $2
             AND dashboard_id IS NOT DISTINCT FROM $3";
        let (org_id, viewer) = (org.as_uuid(), viewer.as_uuid());
        self.database
            .for_org(org, async |tx| {
                let parameters: [&(dyn ToSql + Sync); 4] = [&org_id, &query, &dashboard, &viewer];
                let row = tx.query_one(known, &parameters).await.map_err(store)?;
                if !row.try_get::<_, bool>(0).map_err(internal)? {
                    return Ok(false);
                }
                if let Some(mode) = mode.map(RepairMode::as_str) {
                    let parameters: [&(dyn ToSql + Sync); 4] = [&org_id, &query, &dashboard, &mode];
                    tx.execute(set, &parameters).await.map_err(store)?;
                } else {
                    let parameters: [&(dyn ToSql + Sync); 3] = [&org_id, &query, &dashboard];
                    tx.execute(unset, &parameters).await.map_err(store)?;
                }
                audit::append(&self.database, tx, entry).await?;
                Ok(true)
            })
            .await
    }
}

/// What one person is told.
#[derive(Default)]
struct Told {
    connection: String,
    broken: Vec<String>,
    repaired: Vec<String>,
}

/// One letter for each owner; where one has left, for those who manage the organization, but not about what was private.
fn letters(org: OrgId, at: Timestamp, rows: &[Row]) -> Result<Vec<Message>, StoreError> {
    let mut all: BTreeMap<Option<String>, Told> = BTreeMap::new();
    for row in rows {
        let email: Option<String> = get(row, "email")?;
        if email.is_none() && get::<&str>(row, "visibility")? == "private" {
            continue;
        }
        let told = all.entry(email).or_default();
        told.connection = get(row, "connection")?;
        let id = QueryId::from_uuid(get(row, "query_id")?);
        let name = get::<Option<String>>(row, "name")?.unwrap_or_else(|| id.to_string());
        match get::<&str>(row, "state")? {
            "applied" => told.repaired.push(name),
            _ => told.broken.push(name),
        }
    }
    let letter = |(email, mut it): (Option<String>, Told)| {
        let to = email.map_or(LetterTo::Managers, LetterTo::Address);
        let more = it.broken.len().saturating_sub(NAMED) + it.repaired.len().saturating_sub(NAMED);
        for names in [&mut it.broken, &mut it.repaired] {
            names.sort();
            names.truncate(NAMED);
        }
        let Told { connection, broken, repaired } = it;
        Message::mail(
            org,
            at,
            &to,
            &Letter::QueriesBroken { connection, broken, repaired, more, at },
        )
    };
    Ok(all.into_iter().map(letter).collect())
}
