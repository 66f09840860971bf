//! Trying every saved query of a connection after its schema has changed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use plinth_connections::{ConnectionError, ConnectionId, Opened};
use plinth_core::{Credential, OrgId, Principal, ScopeSet, StoreError, UserId};
use plinth_schema_introspect::{Change, Snapshot, SnapshotId};
use plinth_sql_guard::Guard;
use plinth_tenancy::AuditEntry;
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::propose::{Met, met};
use super::{MetChange, Repair, RepairId, RepairMode, RepairState, Repairs};
use crate::knowledge::Knowledge;
use crate::saved::{Template, for_planning};
use crate::{QueryError, QueryId, QueryRecord, RunLimits};

/// How many queries are read at once.
const PAGE: u32 = 100;

/// How long one check goes on; what is left is for the next.
const AT_MOST: Duration = Duration::from_secs(40);

/// So many queries that cannot be tried are passed over; with more the database counts as away.
const FAILURES: usize = 3;

/// What a check found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Queries that were tried.
    pub tried: u64,
    /// Those that do not work, and did at the check before.
    pub broken: u64,
    /// Those that were repaired without anybody.
    pub repaired: u64,
    /// Those that work again.
    pub recovered: u64,
}

/// How far a check came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// What it found.
    pub counts: Counts,
    /// After which query to go on; `None` if all were tried.
    pub next: Option<QueryId>,
}

/// What happened to a schema since a state of it.
pub(super) struct Era {
    pub(super) before: Arc<Snapshot>,
    pub(super) changes: Vec<Change>,
    /// Judges as it would have then.
    guard: Guard,
}

/// What one check goes by.
pub(super) struct Over {
    pub(super) opened: Arc<Opened>,
    pub(super) now: Arc<Snapshot>,
    knowledge: Arc<Knowledge>,
    limits: RunLimits,
    eras: HashMap<SnapshotId, Option<Arc<Era>>>,
}

impl Repairs {
    /// Tries the saved queries of a connection, those after `after`, over its newest schema; `from` is the state before it, over
    /// which they worked. Marks those that work no more, proposes what they would have to be, applies that where a mode wants
    /// it, takes the marks of those that work again, and tells owners once. To do it twice changes nothing more.
    ///
    /// # Errors
    ///
    /// [`QueryError`] if the database or our own storage is away: then it is to be tried again.
    pub async fn check(
        &self,
        org: OrgId,
        connection: ConnectionId,
        from: SnapshotId,
        mut after: Option<QueryId>,
    ) -> Result<Checked, QueryError> {
        let began = Instant::now();
        let opened = match self.queries.connections.open(&nobody(org), connection).await {
            Ok(opened) => opened,
            Err(ConnectionError::NotFound(_)) => return Ok(Checked::default()),
            Err(err) => return Err(err.into()),
        };
        let unsettled = self.store.unsettled(org, connection).await?;
        let unsettled: HashMap<QueryId, Repair> =
            unsettled.into_iter().map(|it| (it.query, it)).collect();
        let (mut counts, mut failures) = (Counts::default(), 0);
        // What a large schema lets through takes tens of milliseconds to work out, at each change of any of its tables: most
        // connections have nothing saved that would have to be judged by it.
        let mut over = None;
        'all: loop {
            let page = self.store.saved_over(org, connection, after, PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            for record in page {
                let over = match &mut over {
                    Some(over) => over,
                    none => none.insert(self.over(opened.clone()).await?),
                };
                if began.elapsed() >= AT_MOST && after.is_some() {
                    break 'all;
                }
                after = Some(record.id);
                let known = unsettled.get(&record.id);
                match self.check_one(over, from, &record, known, &mut counts).await {
                    Ok(()) => counts.tried += 1,
                    Err(err @ QueryError::Store(_)) => return Err(err),
                    Err(err) if failures == FAILURES => return Err(err),
                    Err(err) => {
                        failures += 1;
                        let error = plinth_core::chain(&err);
                        tracing::warn!(error, query.id = %record.id, "a saved query cannot be tried over a changed schema");
                    }
                }
            }
            if is_last {
                after = None;
                break;
            }
        }
        self.store.tell(org, connection, self.queries.clock.now()).await?;
        Ok(Checked { counts, next: after })
    }

    async fn over(&self, opened: Arc<Opened>) -> Result<Over, QueryError> {
        // Whether a statement fits the schema is the same for everybody.
        let knowledge = self.queries.knowledge_of_all(&opened).await?;
        let now = self.queries.schemas().current(&opened).await?;
        let limits = self.queries.trial_limits(&opened).await?;
        Ok(Over { opened, now, knowledge, limits, eras: HashMap::new() })
    }

    async fn check_one(
        &self,
        over: &mut Over,
        from: SnapshotId,
        record: &QueryRecord,
        known: Option<&Repair>,
        counts: &mut Counts,
    ) -> Result<(), QueryError> {
        let sql = record.sql.as_deref().unwrap_or_default();
        let declared = &record.definition.parameters;
        // What does not parse was never a version.
        let Ok(template) = Template::parse(sql, declared) else { return Ok(()) };
        let defaults = for_planning(declared);
        let values: Vec<_> = template.places.iter().map(|at| defaults[*at].clone()).collect();
        let fits =
            self.queries.fits(&over.opened, &over.knowledge, &over.limits, &template.sql, &values);
        let (org, at) = (record.org, self.queries.clock.now());
        let Some(why) = fits.await? else {
            if let Some(known) = known {
                let entry = AuditEntry::of_plinth(org, at, "system", "query.works_again")
                    .on("query", record.id)
                    .with(json!({ "repair": known.id }));
                let resolved = self.store.resolve(org, record.id, at, &entry).await?;
                counts.recovered += u64::from(resolved);
            }
            return Ok(());
        };
        let known = known.filter(|it| it.version == record.definition.version);
        let from = known.map_or(from, |it| it.from);
        let Some(era) = self.era(over, from).await? else { return Ok(()) };
        // What was refused before the change was not broken by it.
        if known.is_none() && era.guard.check_with_params(&template.sql, values.len()).is_err() {
            return Ok(());
        }
        let met = met(&template.sql, &era, &over.now).await?;
        if known.is_none() && met.changes.is_empty() {
            return Ok(());
        }
        let mode = self.store.mode(org, record.id).await?;
        let mut repair = Repair {
            id: RepairId::new(at),
            org,
            query: record.id,
            connection: record.connection,
            version: record.definition.version,
            state: RepairState::Open,
            from,
            to: over.now.id,
            why,
            changes: met.changes.iter().map(|it| MetChange::of(&era.changes[*it])).collect(),
            proposal: None,
            no_proposal: None,
            applied_version: None,
            settled_by: None,
            created_at: at,
            updated_at: at,
        };
        if mode != RepairMode::Off {
            self.fill(record, &template, &era, met, &mut repair).await?;
        }
        let entry = AuditEntry::of_plinth(org, at, "system", "query.broken")
            .on("query", record.id)
            .with(json!({ "repair": repair.id, "version": repair.version, "changes": repair.changes }));
        let Some(noted) = self.store.note(&repair, &entry).await? else { return Ok(()) };
        counts.broken += u64::from(noted.id == repair.id);
        if mode == RepairMode::Auto && noted.state == RepairState::Open {
            counts.repaired += u64::from(self.apply_alone(record, &noted).await?);
        }
        Ok(())
    }

    async fn fill(
        &self,
        record: &QueryRecord,
        template: &Template,
        era: &Era,
        met: Met,
        repair: &mut Repair,
    ) -> Result<(), QueryError> {
        match self.propose(record, template, era, met).await {
            Ok(Ok(proposal)) => repair.proposal = Some(proposal),
            Ok(Err(why)) => repair.no_proposal = Some(why),
            Err(err @ QueryError::Store(_)) => return Err(err),
            // That it is broken is known all the same.
            Err(err) => {
                let error = plinth_core::chain(&err);
                tracing::warn!(error, query.id = %record.id, "what would mend a saved query cannot be tried");
                let why = "what would be proposed could not be tried; it is tried again when the schema changes";
                repair.no_proposal = Some(why.to_owned());
            }
        }
        Ok(())
    }

    /// Applies what is certain; says whether it was.
    async fn apply_alone(&self, record: &QueryRecord, repair: &Repair) -> Result<bool, QueryError> {
        let Some(proposal) = repair.proposal.as_ref().filter(|it| it.is_safe()) else {
            return Ok(false);
        };
        let owner = record.definition.owner.unwrap_or(record.user);
        let Some(owner) = self.members.acting(record.org, owner).await? else { return Ok(false) };
        let version = self.queries.saved.version(record.org, record.id, repair.version).await?;
        // The words are still those of whoever wrote them.
        let Some(author) = version.map(|it| it.made_by) else { return Ok(false) };
        match self.put(&owner, Some(author), repair, proposal).await {
            Ok(()) => Ok(true),
            Err(super::RepairError::Store(err)) => Err(err.into()),
            Err(err) => {
                let error = plinth_core::chain(&err);
                tracing::info!(error, query.id = %record.id, "a repair is left to people");
                Ok(false)
            }
        }
    }

    /// What changed since that state; `None` if the history does not have it any more.
    async fn era(&self, over: &mut Over, from: SnapshotId) -> Result<Option<Arc<Era>>, QueryError> {
        if let Some(known) = over.eras.get(&from) {
            return Ok(known.clone());
        }
        let before = self.queries.schemas().state(&over.opened, from).await?;
        let era = match before {
            None => None,
            Some(before) => {
                let (opened, now) = (over.opened.clone(), over.now.clone());
                let changes = self.queries.schemas().changes(&opened, before.clone(), now).await?;
                let (allowed, held) = (opened.connection.allowed_tables.clone(), before.clone());
                let guard = move || Guard::new(&held.catalog, &allowed);
                let guard = tokio::task::spawn_blocking(guard).await.map_err(broke_off)?;
                Some(Arc::new(Era { before, changes, guard }))
            }
        };
        over.eras.insert(from, era.clone());
        Ok(era)
    }
}

pub(super) fn broke_off(err: tokio::task::JoinError) -> QueryError {
    QueryError::Store(StoreError::Internal(err.into()))
}

/// Who opens a connection only to see whether statements fit its schema: nobody, who may nothing.
fn nobody(org: OrgId) -> Principal {
    Principal {
        org,
        user: UserId::from_uuid(Uuid::nil()),
        credential: Credential::Job,
        scopes: ScopeSet::default(),
        is_owner: false,
        project: None,
        test_only: false,
        saved_queries_only: true,
        origin: Arc::default(),
    }
}
