//! Alerts and their evaluations.

use std::time::Duration;

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use jiff::SignedDuration;
use plinth_core::{Cursor, Limit, OrgId, StoreError, UserId};
use plinth_queries::QueryId;
use plinth_tenancy::AuditEntry;
use plinth_tenancy::outbox::{LetterTo, Message};
use plinth_workflows::alerts::{
    Alert, AlertError, AlertId, AlertState, AlertStore, Conclusion, DecideAlert, Episode,
    Evaluation, EvaluationId, Mute, Notice, Standing, Whom,
};
use plinth_workflows::condition::{Earlier, Verdict};
use plinth_workflows::events::EventKind;
use serde_json::json;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Json, ToSql};
use uuid::Uuid;

use crate::database::{Deletion, broken_constraint, delete, internal, store};
use crate::sweep::Old;
use crate::{Database, audit, events, outbox};

/// At how many evaluations it is looked for those of one owner. Where nobody took the alert over, no more are read than are wanted.
const LOOKED_AT: i64 = 1_000;

/// How long an error is kept, in characters.
const ERROR_CHARS: usize = 1_000;

const ALERT: &str = "id, org_id, name, description, owner_id, query_id, query_version, parameters, condition, schedule, notify,
    rearm_seconds, enabled, muted, muted_until, paused_at, paused_why, state, state_since, episode_since, told_at, trouble_told, due_at,
    tried, fence, revision, created_at, updated_at";

const INSERT: &str = "INSERT INTO alerts (id, org_id, name, description, owner_id, query_id, parameters, condition, schedule,
         notify, rearm_seconds, enabled, muted, muted_until, paused_at, paused_why, state, state_since, episode_since, told_at,
         trouble_told, due_at, tried, fence, revision, created_at, updated_at, query_version)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
         $25, $26, $27, $28)";

/// A change takes it from whoever evaluates it.
const UPDATE: &str = "UPDATE alerts SET name = $3, description = $4, owner_id = $5, query_id = $6, parameters = $7,
         condition = $8, schedule = $9, notify = $10, rearm_seconds = $11, enabled = $12, muted = $13, muted_until = $14,
         paused_at = $15, paused_why = $16, state = $17, state_since = $18, episode_since = $19, told_at = $20,
         trouble_told = $21, due_at = $22, tried = $23, fence = $24::bigint + 1, revision = $25, created_at = $26, updated_at = $27,
         query_version = $28, lease_until = NULL
     WHERE id = $1 AND org_id = $2";

/// [`AlertStore`] in our own database.
#[derive(Clone)]
pub struct PostgresAlerts {
    database: Database,
}

impl PostgresAlerts {
    /// Keeps alerts in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

/// What is forgotten of an alert, found in the index of its evaluations from the oldest on.
const OLD: Old<'_> = Old {
    table: "alert_evaluations",
    which: "alert_id = $2 AND ended_at < (SELECT db_now() - make_interval(secs => $3)) ORDER BY ended_at, id",
    part: 1_000,
};

const BEYOND: Old<'_> = Old {
    table: "alert_evaluations",
    which: "alert_id = $2 AND (ended_at, id) <= ($3, $4) ORDER BY ended_at, id",
    part: 1_000,
};

fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<T, StoreError> {
    row.try_get(column).map_err(internal)
}

/// The one of these whose name that is.
fn named<T: Copy>(
    all: &[T],
    name: impl Fn(T) -> &'static str,
    text: &str,
) -> Result<T, StoreError> {
    let found = all.iter().copied().find(|it| name(*it) == text);
    found.ok_or_else(|| internal(format!("`{text}` is none of ours")))
}

fn state(row: &Row) -> Result<AlertState, StoreError> {
    named(&AlertState::ALL, AlertState::as_str, get(row, "state")?)
}

fn alert(row: &Row) -> Result<Alert, StoreError> {
    let since: Option<_> = get(row, "episode_since")?;
    let told_at = get(row, "told_at")?;
    let version: Option<i32> = get(row, "query_version")?;
    let paused_at: Option<_> = get(row, "paused_at")?;
    let mute = match (get(row, "muted")?, get(row, "muted_until")?) {
        (false, _) => None,
        (true, None) => Some(Mute::Forever),
        (true, Some(until)) => Some(Mute::Until(until)),
    };
    Ok(Alert {
        id: AlertId::from_uuid(get(row, "id")?),
        org: OrgId::from_uuid(get(row, "org_id")?),
        name: get(row, "name")?,
        description: get(row, "description")?,
        owner: UserId::from_uuid(get(row, "owner_id")?),
        query: QueryId::from_uuid(get(row, "query_id")?),
        query_version: version.map(u32::try_from).transpose().map_err(internal)?,
        parameters: get::<Json<_>>(row, "parameters")?.0,
        condition: get::<Json<_>>(row, "condition")?.0,
        schedule: get::<Json<_>>(row, "schedule")?.0,
        notify: get::<Json<_>>(row, "notify")?.0,
        rearm_seconds: get(row, "rearm_seconds")?,
        enabled: get(row, "enabled")?,
        mute,
        paused: paused_at.zip(get(row, "paused_why")?),
        standing: Standing {
            state: state(row)?,
            since: get(row, "state_since")?,
            episode: since.map(|since| Episode { since, told_at }),
            trouble_told: get(row, "trouble_told")?,
        },
        due_at: get(row, "due_at")?,
        tried: get(row, "tried")?,
        fence: get(row, "fence")?,
        revision: get(row, "revision")?,
        created_at: get(row, "created_at")?,
        updated_at: get(row, "updated_at")?,
    })
}

fn verdict(it: Verdict) -> &'static str {
    match it {
        Verdict::Met => "met",
        Verdict::NotMet => "not_met",
        Verdict::Unknown => "unknown",
    }
}

fn evaluation(row: &Row) -> Result<Evaluation, StoreError> {
    let read: Option<&str> = get(row, "verdict")?;
    let verdicts = [Verdict::Met, Verdict::NotMet, Verdict::Unknown];
    let notice: Option<&str> = get(row, "notice")?;
    Ok(Evaluation {
        id: EvaluationId::from_uuid(get(row, "id")?),
        owner: get::<Option<_>>(row, "owner_id")?.map(UserId::from_uuid),
        state: state(row)?,
        verdict: read.map(|it| named(&verdicts, verdict, it)).transpose()?,
        glance: get::<Option<Json<_>>>(row, "glance")?.map(|it| it.0),
        error: get(row, "error")?,
        query: get::<Option<_>>(row, "query_id")?.map(QueryId::from_uuid),
        notice: notice.map(|it| named(&Notice::ALL, Notice::as_str, it)).transpose()?,
        tries: get(row, "tries")?,
        started_at: get(row, "started_at")?,
        ended_at: get(row, "ended_at")?,
    })
}

/// Runs the statement, which is one of the two above.
async fn write(tx: &Transaction<'_>, sql: &str, it: &Alert) -> Result<(), AlertError> {
    let (paused_at, paused_why) = it.paused.clone().unzip();
    let (id, org, owner) = (it.id.as_uuid(), it.org.as_uuid(), it.owner.as_uuid());
    let (query, state) = (it.query.as_uuid(), it.standing.state.as_str());
    let version = it.query_version.map(i32::try_from).transpose().map_err(internal)?;
    let (muted, muted_until) = (it.mute.is_some(), it.mute.and_then(Mute::until));
    let since = it.standing.episode.map(|it| it.since);
    let told_at = it.standing.episode.and_then(|it| it.told_at);
    let (parameters, condition) = (Json(&it.parameters), Json(&it.condition));
    let (schedule, notify) = (Json(&it.schedule), Json(&it.notify));
    let parameters: [&(dyn ToSql + Sync); 28] = [
        &id,
        &org,
        &it.name,
        &it.description,
        &owner,
        &query,
        &parameters,
        &condition,
        &schedule,
        &notify,
        &it.rearm_seconds,
        &it.enabled,
        &muted,
        &muted_until,
        &paused_at,
        &paused_why,
        &state,
        &it.standing.since,
        &since,
        &told_at,
        &it.standing.trouble_told,
        &it.due_at,
        &it.tried,
        &it.fence,
        &it.revision,
        &it.created_at,
        &it.updated_at,
        &version,
    ];
    tx.execute(sql, &parameters).await.map_err(|err| match broken_constraint(&err) {
        Some("alerts_name_key") => AlertError::NameTaken(it.name.clone()),
        _ => store(err).into(),
    })?;
    Ok(())
}

async fn find(
    tx: &Transaction<'_>,
    org: OrgId,
    id: AlertId,
    lock: &str,
) -> Result<Option<Alert>, StoreError> {
    let query = format!("SELECT {ALERT} FROM alerts WHERE org_id = $1 AND id = $2 {lock}");
    let found = tx.query_opt(&query, &[&org.as_uuid(), &id.as_uuid()]).await;
    found.map_err(store)?.as_ref().map(alert).transpose()
}

#[async_trait]
impl AlertStore for PostgresAlerts {
    async fn insert(&self, alert: &Alert, most: i64, entry: &AuditEntry) -> Result<(), AlertError> {
        let count = "SELECT count(*) FROM alerts WHERE org_id = $1";
        self.database
            .for_org(alert.org, async |tx| {
                let count = tx.query_one(count, &[&alert.org.as_uuid()]).await.map_err(store)?;
                if count.get::<_, i64>(0) >= most {
                    return Err(AlertError::TooMany(most));
                }
                write(tx, INSERT, alert).await?;
                Ok(audit::append(&self.database, tx, entry).await?)
            })
            .await
    }

    async fn find(&self, org: OrgId, id: AlertId) -> Result<Option<Alert>, StoreError> {
        self.database.for_org(org, async |tx| find(tx, org, id, "").await).await
    }

    async fn list(
        &self,
        org: OrgId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<Alert>, StoreError> {
        self.database.newest_of(org, ALERT, "alerts", after, limit, alert).await
    }

    async fn change(
        &self,
        org: OrgId,
        id: AlertId,
        decide: DecideAlert<'_>,
    ) -> Result<Option<Alert>, AlertError> {
        self.database
            .for_org(org, async |tx| {
                let Some(mut alert) = find(tx, org, id, "FOR UPDATE").await? else {
                    return Ok(None);
                };
                let Some(entry) = decide(&mut alert)? else { return Ok(Some(alert)) };
                write(tx, UPDATE, &alert).await?;
                audit::append(&self.database, tx, &entry).await?;
                Ok(Some(alert))
            })
            .await
    }

    async fn remove(
        &self,
        org: OrgId,
        id: AlertId,
        expected: Option<&[i64]>,
        entry: &AuditEntry,
    ) -> Result<bool, AlertError> {
        self.database
            .for_org(org, async |tx| {
                match delete(tx, "alerts", (org, id.as_uuid()), expected).await? {
                    Deletion::Missing => return Ok(false),
                    Deletion::Changed => return Err(AlertError::Changed),
                    Deletion::Done => {}
                }
                audit::append(&self.database, tx, entry).await?;
                Ok(true)
            })
            .await
    }

    async fn evaluations(
        &self,
        org: OrgId,
        id: AlertId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<Evaluation>, StoreError> {
        let query = "SELECT * FROM alert_evaluations WHERE org_id = $1 AND alert_id = $2
                 AND ($3::timestamptz IS NULL OR (ended_at, id) < ($3, $4))
             ORDER BY ended_at DESC, id DESC LIMIT $5";
        let (at, last) = (after.map(|it| it.created_at), after.map(|it| it.id));
        let limit = i64::from(limit.get()) + 1;
        self.database
            .for_org(org, async |tx| {
                let parameters: [&(dyn ToSql + Sync); 5] =
                    [&org.as_uuid(), &id.as_uuid(), &at, &last, &limit];
                let found = tx.query(query, &parameters).await.map_err(store)?;
                found.iter().map(evaluation).collect()
            })
            .await
    }

    async fn take(
        &self,
        most: usize,
        per_organization: i32,
        lease: Duration,
    ) -> Result<Vec<Alert>, StoreError> {
        let most = i32::try_from(most).unwrap_or(i32::MAX);
        let ids: Vec<(OrgId, AlertId)> = self
            .database
            .for_nobody(async |tx| {
                let take = "SELECT taken_org, taken_alert FROM take_alerts($1, make_interval(secs => $2), $3)";
                let take = tx.prepare_cached(take).await.map_err(store)?;
                let parameters: [&(dyn ToSql + Sync); 3] =
                    [&most, &lease.as_secs_f64(), &per_organization];
                let rows = tx.query(&take, &parameters).await.map_err(store)?;
                let ids = |row: &Row| {
                    (OrgId::from_uuid(row.get(0)), AlertId::from_uuid(row.get(1)))
                };
                Ok::<_, StoreError>(rows.iter().map(ids).collect())
            })
            .await?;
        let mut taken = Vec::with_capacity(ids.len());
        for (org, id) in ids {
            // From here on as everywhere: in the organization's own view.
            taken.extend(self.find(org, id).await?);
        }
        Ok(taken)
    }

    async fn keep(
        &self,
        org: OrgId,
        id: AlertId,
        fence: i64,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        let update = "UPDATE alerts SET lease_until = db_now() + make_interval(secs => $4)
             WHERE org_id = $1 AND id = $2 AND fence = $3";
        self.database
            .for_org(org, async |tx| {
                let parameters: [&(dyn ToSql + Sync); 4] =
                    [&org.as_uuid(), &id.as_uuid(), &fence, &lease.as_secs_f64()];
                Ok(tx.execute(update, &parameters).await.map_err(store)? == 1)
            })
            .await
    }

    async fn glances(
        &self,
        org: OrgId,
        id: AlertId,
        owner: UserId,
        most: usize,
    ) -> Result<Vec<Earlier>, StoreError> {
        let query = "SELECT glance FROM (
                 SELECT glance, owner_id, ended_at, id FROM alert_evaluations
                 WHERE org_id = $1 AND alert_id = $2 AND glance IS NOT NULL ORDER BY ended_at DESC, id DESC LIMIT $5
             ) it
             WHERE owner_id = $4 ORDER BY ended_at DESC, id DESC LIMIT $3";
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.database
            .for_org(org, async |tx| {
                let parameters: [&(dyn ToSql + Sync); 5] =
                    [&org.as_uuid(), &id.as_uuid(), &most, &owner.as_uuid(), &LOOKED_AT];
                let found = tx.query(query, &parameters).await;
                // One that cannot be read is as good as none: the alert would stand still for it.
                let earlier = |row: &Row| {
                    let glance: Json<_> = row.try_get(0).ok()?;
                    Some(Earlier::from([("query".to_owned(), glance.0)]))
                };
                Ok(found.map_err(store)?.iter().filter_map(earlier).collect())
            })
            .await
    }

    async fn conclude(
        &self,
        org: OrgId,
        id: AlertId,
        fence: i64,
        conclusion: &Conclusion,
    ) -> Result<bool, StoreError> {
        self.database
            .for_org(org, async |tx| {
                let Some(owner) = settle(tx, org, id, fence, conclusion).await? else {
                    return Ok(false);
                };
                if let Some(evaluation) = &conclusion.evaluation {
                    note(tx, org, id, evaluation).await?;
                }
                announce(tx, org, id, conclusion).await?;
                for told in &conclusion.told {
                    let to = match &told.to {
                        // Of an owner who left meanwhile, the managers hear.
                        Whom::Owner => owner.clone().map_or(LetterTo::Managers, LetterTo::Address),
                        Whom::Managers => LetterTo::Managers,
                        Whom::Address(email) => LetterTo::Address(email.as_str().to_owned()),
                    };
                    outbox::put(tx, &Message::mail(org, conclusion.at, &to, &told.letter)).await?;
                }
                Ok(true)
            })
            .await
    }

    async fn again(
        &self,
        org: OrgId,
        id: AlertId,
        fence: i64,
        pause: Duration,
    ) -> Result<bool, StoreError> {
        let update = "UPDATE alerts SET due_at = db_now() + make_interval(secs => $4), lease_until = NULL, tried = tried + 1
             WHERE org_id = $1 AND id = $2 AND fence = $3";
        self.database
            .for_org(org, async |tx| {
                let parameters: [&(dyn ToSql + Sync); 4] =
                    [&org.as_uuid(), &id.as_uuid(), &fence, &pause.as_secs_f64()];
                Ok(tx.execute(update, &parameters).await.map_err(store)? == 1)
            })
            .await
    }

    async fn sweep(&self, org: OrgId, age: SignedDuration, count: i64) -> Result<u64, StoreError> {
        let all = "SELECT id FROM alerts WHERE org_id = $1";
        let beyond =
            "SELECT ended_at, id FROM alert_evaluations WHERE org_id = $1 AND alert_id = $2
             ORDER BY ended_at DESC, id DESC OFFSET $3 LIMIT 1";
        let (id, age) = (org.as_uuid(), age.as_secs_f64());
        let mut forgotten = 0;
        for row in self.database.rows_of_org(org, all, &[&id]).await? {
            let alert: Uuid = get(&row, "id")?;
            forgotten += self.database.delete_old(org, &OLD, &[&id, &alert, &age]).await?;
            if let Some((at, newest)) =
                self.database.first_beyond(org, beyond, alert, count).await?
            {
                let parameters: [&(dyn ToSql + Sync); 4] = [&id, &alert, &at, &newest];
                forgotten += self.database.delete_old(org, &BEYOND, &parameters).await?;
            }
        }
        Ok(forgotten)
    }

    async fn organizations(&self) -> Result<Vec<OrgId>, StoreError> {
        self.database.organizations().await
    }
}

/// Writes how the alert stands; gives its owner's address, if they are a member still. `None` if the alert is lost.
async fn settle(
    tx: &Transaction<'_>,
    org: OrgId,
    id: AlertId,
    fence: i64,
    conclusion: &Conclusion,
) -> Result<Option<Option<String>>, StoreError> {
    let update = "UPDATE alerts a SET state = $4, state_since = $5, episode_since = $6, told_at = $7, trouble_told = $8,
             due_at = $9, paused_at = CASE WHEN $10::text IS NULL THEN paused_at ELSE $11 END,
             paused_why = coalesce($10, paused_why), tried = 0, lease_until = NULL
         WHERE a.org_id = $1 AND a.id = $2 AND a.fence = $3
         RETURNING (SELECT u.email FROM members m JOIN users u ON u.id = m.user_id
             WHERE m.org_id = a.org_id AND m.user_id = a.owner_id)";
    let Standing { state, since, episode, trouble_told } = &conclusion.standing;
    let (episode_since, told_at) = (episode.map(|it| it.since), episode.and_then(|it| it.told_at));
    let (org, id): (Uuid, Uuid) = (org.as_uuid(), id.as_uuid());
    let state = state.as_str();
    let parameters: [&(dyn ToSql + Sync); 11] = [
        &org,
        &id,
        &fence,
        &state,
        since,
        &episode_since,
        &told_at,
        trouble_told,
        &conclusion.due_at,
        &conclusion.pause,
        &conclusion.at,
    ];
    let row = tx.query_opt(update, &parameters).await.map_err(store)?;
    row.map(|it| it.try_get(0).map_err(internal)).transpose()
}

/// Tells others' servers that an episode began or ended; a mute is about letters.
async fn announce(
    tx: &Transaction<'_>,
    org: OrgId,
    id: AlertId,
    conclusion: &Conclusion,
) -> Result<(), StoreError> {
    let episode = conclusion.standing.episode;
    let (kind, since) = match (conclusion.episode_before, episode) {
        (None, Some(begun)) => (EventKind::AlertTriggered, begun.since),
        (Some(ended), None) => (EventKind::AlertResolved, ended.since),
        _ => return Ok(()),
    };
    let data = json!({ "alert_id": id, "alert": conclusion.name, "since": since });
    events::announce(tx, org, kind, || vec![(conclusion.at, data)]).await
}

async fn note(
    tx: &Transaction<'_>,
    org: OrgId,
    id: AlertId,
    it: &Evaluation,
) -> Result<(), StoreError> {
    let insert = "INSERT INTO alert_evaluations
             (id, org_id, alert_id, state, verdict, glance, error, query_id, notice, tries, started_at, ended_at, owner_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    let storable =
        |it: &String| -> String { it.chars().filter(|it| *it != '\0').take(ERROR_CHARS).collect() };
    let (own, org, id) = (it.id.as_uuid(), org.as_uuid(), id.as_uuid());
    let (state, verdict) = (it.state.as_str(), it.verdict.map(verdict));
    let (glance, error) = (it.glance.as_ref().map(Json), it.error.as_ref().map(storable));
    let (query, notice) = (it.query.map(QueryId::as_uuid), it.notice.map(Notice::as_str));
    let owner = it.owner.map(UserId::as_uuid);
    let parameters: [&(dyn ToSql + Sync); 13] = [
        &own,
        &org,
        &id,
        &state,
        &verdict,
        &glance,
        &error,
        &query,
        &notice,
        &it.tries,
        &it.started_at,
        &it.ended_at,
        &owner,
    ];
    tx.execute(insert, &parameters).await.map_err(store)?;
    Ok(())
}
