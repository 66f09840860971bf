use async_trait::async_trait;
use jiff::Timestamp;
use plinth_connections::ConnectionId;
use plinth_core::{Cursor, Limit, OrgId, StoreError, UserId};
use plinth_queries::{
    Conversation, ConversationFilter, ConversationId, ConversationStore, KEPT_TURNS, QueryId,
    QueryOutcome, Turn,
};
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};

use crate::Database;
use crate::database::{internal, store};
use crate::queries::{storable, storable_json};
use crate::sweep::Old;

/// [`ConversationStore`] in our own database.
#[derive(Clone)]
pub struct PostgresConversations {
    database: Database,
}

impl PostgresConversations {
    /// Keeps conversations in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

const COLUMNS: &str =
    "id, org_id, user_id, connection_id, title, turns, created_at, updated_at, expires_at";

const TURN: &str =
    "number, query_id, question, sql, outcome, answer, state, before_number, created_at";

/// What a filter lets through; `$1` to `$4` are its sides.
const FILTER: &str = "org_id = $1 AND user_id = $2 AND expires_at > $4 AND connection_id IN (
    SELECT id FROM connections WHERE org_id = $1 AND deleted_at IS NULL AND (is_test OR NOT $3))";

#[async_trait]
impl ConversationStore for PostgresConversations {
    async fn add(
        &self,
        conversation: &Conversation,
        begins: bool,
        turn: &Turn,
    ) -> Result<Option<u32>, StoreError> {
        let it = conversation;
        let (org, id) = (it.org.as_uuid(), it.id.as_uuid());
        self.database
            .for_org_unflushed(it.org, async |tx| {
                let number = if begins {
                    let insert = tx
                        .prepare_cached(
                            "INSERT INTO conversations (id, org_id, user_id, connection_id, title, turns, created_at,
                                 updated_at, expires_at)
                             SELECT $1, $2, $3, id, $5, 1, $6, $7, $8 FROM connections
                             WHERE org_id = $2 AND id = $4 AND deleted_at IS NULL RETURNING turns",
                        )
                        .await
                        .map_err(store)?;
                    let parameters: [&(dyn ToSql + Sync); 8] = [
                        &id,
                        &org,
                        &it.user.as_uuid(),
                        &it.connection.as_uuid(),
                        &storable(&it.title),
                        &it.created_at,
                        &it.updated_at,
                        &it.expires_at,
                    ];
                    tx.query_opt(&insert, &parameters).await
                } else {
                    let update = tx
                        .prepare_cached(
                            "UPDATE conversations SET turns = turns + 1, updated_at = $3, expires_at = $4
                             WHERE org_id = $1 AND id = $2 RETURNING turns",
                        )
                        .await
                        .map_err(store)?;
                    tx.query_opt(&update, &[&org, &id, &it.updated_at, &it.expires_at]).await
                };
                let Some(row) = number.map_err(store)? else { return Ok(None) };
                let number: i32 = row.try_get(0).map_err(internal)?;
                let insert = tx
                    .prepare_cached(
                        "INSERT INTO conversation_turns (org_id, conversation_id, number, query_id, question, sql,
                             outcome, answer, state, before_number, created_at)
                         VALUES ($1, $2, $3, $4, $5, $6, $7, ($8::text)::jsonb, ($9::text)::jsonb, $10, $11)",
                    )
                    .await
                    .map_err(store)?;
                let before = turn.before.map(i32::try_from).transpose().map_err(internal)?;
                let parameters: [&(dyn ToSql + Sync); 11] = [
                    &org,
                    &id,
                    &number,
                    &turn.query.as_uuid(),
                    &turn.question.as_deref().map(storable),
                    &turn.sql.as_deref().map(storable),
                    &turn.outcome.as_str(),
                    &storable_json(&turn.notes),
                    &turn.state.as_ref().map(storable_json),
                    &before,
                    &turn.created_at,
                ];
                tx.execute(&insert, &parameters).await.map_err(store)?;
                let kept = i32::try_from(KEPT_TURNS).map_err(internal)?;
                if number > kept {
                    let delete = "DELETE FROM conversation_turns
                                  WHERE org_id = $1 AND conversation_id = $2 AND number <= $3";
                    tx.execute(delete, &[&org, &id, &(number - kept)]).await.map_err(store)?;
                }
                Ok(Some(u32::try_from(number).map_err(internal)?))
            })
            .await
    }

    async fn find(
        &self,
        filter: ConversationFilter,
        id: ConversationId,
    ) -> Result<Option<Conversation>, StoreError> {
        let query = format!("SELECT {COLUMNS} FROM conversations WHERE {FILTER} AND id = $5");
        let ConversationFilter { org, user, test_only, now } = filter;
        self.database
            .for_org(org, async |tx| {
                let query = tx.prepare_cached(&query).await.map_err(store)?;
                let parameters: [&(dyn ToSql + Sync); 5] =
                    [&org.as_uuid(), &user.as_uuid(), &test_only, &now, &id.as_uuid()];
                let row = tx.query_opt(&query, &parameters).await.map_err(store)?;
                row.as_ref().map(read).transpose()
            })
            .await
    }

    async fn turns(&self, org: OrgId, id: ConversationId) -> Result<Vec<Turn>, StoreError> {
        let query = format!(
            "SELECT {TURN} FROM conversation_turns WHERE org_id = $1 AND conversation_id = $2 ORDER BY number"
        );
        self.database
            .for_org(org, async |tx| {
                let rows = tx.query(&query, &[&org.as_uuid(), &id.as_uuid()]).await;
                rows.map_err(store)?.iter().map(read_turn).collect()
            })
            .await
    }

    async fn answered(
        &self,
        org: OrgId,
        id: ConversationId,
        number: Option<u32>,
    ) -> Result<Option<Turn>, StoreError> {
        let query = format!(
            "SELECT {TURN} FROM conversation_turns
             WHERE org_id = $1 AND conversation_id = $2 AND outcome = 'answered' AND ($3::integer IS NULL OR number = $3)
             ORDER BY number DESC LIMIT 1"
        );
        let number = number.map(i32::try_from).transpose().map_err(internal)?;
        self.database
            .for_org(org, async |tx| {
                let query = tx.prepare_cached(&query).await.map_err(store)?;
                let row = tx.query_opt(&query, &[&org.as_uuid(), &id.as_uuid(), &number]).await;
                row.map_err(store)?.as_ref().map(read_turn).transpose()
            })
            .await
    }

    async fn list(
        &self,
        filter: ConversationFilter,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<Conversation>, StoreError> {
        let query = format!(
            "SELECT {COLUMNS} FROM conversations
             WHERE {FILTER} AND ($5::timestamptz IS NULL OR (updated_at, id) < ($5, $6))
             ORDER BY updated_at DESC, id DESC LIMIT $7"
        );
        let ConversationFilter { org, user, test_only, now } = filter;
        let (at, id) = (after.map(|it| it.created_at), after.map(|it| it.id));
        let limit = i64::from(limit.get()) + 1;
        self.database
            .for_org(org, async |tx| {
                let parameters: [&(dyn ToSql + Sync); 7] =
                    [&org.as_uuid(), &user.as_uuid(), &test_only, &now, &at, &id, &limit];
                let rows = tx.query(&query, &parameters).await.map_err(store)?;
                rows.iter().map(read).collect()
            })
            .await
    }

    async fn remove(
        &self,
        filter: ConversationFilter,
        id: ConversationId,
    ) -> Result<bool, StoreError> {
        let delete = format!("DELETE FROM conversations WHERE {FILTER} AND id = $5");
        let ConversationFilter { org, user, test_only, now } = filter;
        self.database
            .for_org(org, async |tx| {
                let parameters: [&(dyn ToSql + Sync); 5] =
                    [&org.as_uuid(), &user.as_uuid(), &test_only, &now, &id.as_uuid()];
                Ok(tx.execute(&delete, &parameters).await.map_err(store)? == 1)
            })
            .await
    }

    async fn sweep(&self, org: OrgId, now: Timestamp, most: u32) -> Result<u64, StoreError> {
        let expired = Old {
            table: "conversations",
            which: "expires_at <= $2 ORDER BY expires_at",
            part: 1_000,
        };
        let beyond = Old {
            table: "conversations",
            which: "id IN (
                 SELECT id FROM (
                     SELECT id, row_number() OVER (PARTITION BY user_id ORDER BY updated_at DESC, id DESC) AS place
                     FROM conversations WHERE org_id = $1) AS placed
                 WHERE place > $2)",
            part: 1_000,
        };
        let id = org.as_uuid();
        let gone = self.database.delete_old(org, &expired, &[&id, &now]).await?;
        Ok(gone + self.database.delete_old(org, &beyond, &[&id, &i64::from(most)]).await?)
    }

    async fn organizations(&self) -> Result<Vec<OrgId>, StoreError> {
        self.database.organizations().await
    }
}

fn read(row: &Row) -> Result<Conversation, StoreError> {
    let turns: i32 = row.try_get("turns").map_err(internal)?;
    Ok(Conversation {
        id: ConversationId::from_uuid(row.try_get("id").map_err(internal)?),
        org: OrgId::from_uuid(row.try_get("org_id").map_err(internal)?),
        user: UserId::from_uuid(row.try_get("user_id").map_err(internal)?),
        connection: ConnectionId::from_uuid(row.try_get("connection_id").map_err(internal)?),
        title: row.try_get("title").map_err(internal)?,
        turns: u32::try_from(turns).map_err(internal)?,
        created_at: row.try_get("created_at").map_err(internal)?,
        updated_at: row.try_get("updated_at").map_err(internal)?,
        expires_at: row.try_get("expires_at").map_err(internal)?,
    })
}

fn read_turn(row: &Row) -> Result<Turn, StoreError> {
    let outcome: &str = row.try_get("outcome").map_err(internal)?;
    let outcome = QueryOutcome::ALL
        .into_iter()
        .find(|it| it.as_str() == outcome)
        .ok_or_else(|| internal(format!("no outcome: {outcome}")))?;
    let number: i32 = row.try_get("number").map_err(internal)?;
    let before: Option<i32> = row.try_get("before_number").map_err(internal)?;
    Ok(Turn {
        number: u32::try_from(number).map_err(internal)?,
        query: QueryId::from_uuid(row.try_get("query_id").map_err(internal)?),
        question: row.try_get("question").map_err(internal)?,
        sql: row.try_get("sql").map_err(internal)?,
        outcome,
        notes: row.try_get::<_, Json<_>>("answer").map_err(internal)?.0,
        state: row.try_get::<_, Option<Json<_>>>("state").map_err(internal)?.map(|it| it.0),
        before: before.map(u32::try_from).transpose().map_err(internal)?,
        created_at: row.try_get("created_at").map_err(internal)?,
    })
}
