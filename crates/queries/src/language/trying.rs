//! Trying entries out: guard and planner say whether they fit a schema.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plinth_connections::{ConnectionId, Opened};
use plinth_core::{OrgId, StoreError};
use plinth_nl2sql::SchemaIndex;
use plinth_schema_introspect::{SnapshotId, StructureDigest};
use tokio::time::{Instant, timeout};

use super::{Entry, EntryBody, EntryId, Language};
use crate::knowledge::Knowledge;
use crate::{Queries, QueryError, RunLimits};

/// How long a reader of the language waits for what is being tried; then it is shown as it was found the last time.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long one catching up may take. What is left is tried when the next one comes.
const CATCH_UP_LIMIT: Duration = Duration::from_mins(1);

/// After so many failures one after the other the database counts as away.
const FAILURES: usize = 3;

/// Of how many connections is remembered over what their languages were tried.
const REMEMBERED: usize = 256;

/// Why an entry does not fit, or that it does.
type Fit = Option<String>;

/// Who tries which connection's language: one at a time, or many questions after a change would each try all of it.
#[derive(Default)]
pub(crate) struct Trials(Mutex<HashMap<(OrgId, ConnectionId), Arc<Trial>>>);

/// Held by whoever tries; over which state of the schema was tried the last time.
type Trial = tokio::sync::Mutex<Option<(SnapshotId, StructureDigest)>>;

impl Trials {
    fn of(&self, opened: &Opened) -> Arc<Trial> {
        let mut all = self.0.lock().expect("not poisoned");
        if all.len() >= REMEMBERED {
            all.retain(|_, it| Arc::strong_count(it) > 1);
        }
        all.entry((opened.connection.org, opened.connection.id)).or_default().clone()
    }
}

/// The statements that are planned to try an entry.
pub(super) fn statements(entry: &Entry) -> Vec<String> {
    let from = |table: &str| {
        let parts: Vec<String> =
            table.splitn(2, '.').map(|it| format!("\"{}\"", it.replace('"', "\"\""))).collect();
        parts.join(".")
    };
    match &entry.body {
        EntryBody::Term { table, predicate, expression, .. } => {
            let table = from(table);
            let held = predicate.iter().map(|it| format!("SELECT 1 FROM {table} WHERE ({it}\n)"));
            let counted = expression.iter().map(|it| format!("SELECT sum(({it}\n)) FROM {table}"));
            held.chain(counted).collect()
        }
        EntryBody::Metric { table, expression, filter, time, .. } => {
            let table = from(table);
            let whole = std::iter::once(format!("SELECT ({expression}\n) FROM {table}"));
            let held = filter.iter().map(|it| format!("SELECT 1 FROM {table} WHERE ({it}\n)"));
            let timed =
                time.iter().map(|it| format!("SELECT date_trunc('day', ({it}\n)) FROM {table}"));
            whole.chain(held).chain(timed).collect()
        }
        EntryBody::Example { sql, .. } => vec![sql.clone()],
    }
}

impl Queries {
    /// Says why an entry cannot be used over the schema as it is; `None` if it can.
    ///
    /// # Errors
    ///
    /// Only when it could not be found out: the database is away, say.
    pub(super) async fn try_out(
        &self,
        opened: &Opened,
        knowledge: &Arc<Knowledge>,
        limits: &RunLimits,
        entry: &Entry,
    ) -> Result<Fit, QueryError> {
        let mut unfit = unfit_for_the_engine(knowledge, std::slice::from_ref(entry)).await?;
        match unfit.remove(&entry.id.to_string()) {
            Some(why) => Ok(Some(why)),
            None => self.plan_out(opened, knowledge, limits, entry).await,
        }
    }

    /// The part that guard and planner have in it.
    async fn plan_out(
        &self,
        opened: &Opened,
        knowledge: &Arc<Knowledge>,
        limits: &RunLimits,
        entry: &Entry,
    ) -> Result<Fit, QueryError> {
        for sql in statements(entry) {
            if let Some(why) = self.fits(opened, knowledge, limits, &sql, &[]).await? {
                return Ok(Some(why));
            }
        }
        Ok(None)
    }

    /// What was tried over another state of the schema is tried again, beside the question that found it.
    pub(crate) fn catch_up_beside(&self, opened: &Opened, now: SnapshotId, language: &Language) {
        if language.entries.iter().all(|it| it.checked == Some(now)) {
            return;
        }
        // Who tries already finds it too, or the next question does.
        let trial = self.trials.of(opened);
        let Ok(mut last) = trial.try_lock_owned() else { return };
        let (queries, opened) = (self.clone(), opened.clone());
        tokio::spawn(async move {
            if let Err(err) = queries.catch_up(&opened, &mut last).await {
                let error = plinth_core::chain(&err);
                tracing::warn!(error, "the organization's language was not tried again");
            }
        });
    }

    /// The same for somebody who wants to read what comes of it, and waits for it a while. It goes on when they do not.
    pub(super) async fn catch_up_a_while(&self, opened: &Opened) {
        let (queries, opened) = (self.clone(), opened.clone());
        let catching_up = tokio::spawn(async move {
            let mut last = queries.trials.of(&opened).lock_owned().await;
            if let Err(err) = queries.catch_up(&opened, &mut last).await {
                let error = plinth_core::chain(&err);
                tracing::info!(error, "the organization's language was not tried again");
            }
        });
        let _ = timeout(PATIENCE, catching_up).await;
    }

    /// Tries again what was tried over another state of the schema, and notes what does not fit any more. Where only
    /// numbers differ between the two states, what was found holds.
    ///
    /// # Errors
    ///
    /// Only when our own storage or the schema cannot be read; a database that is away leaves entries as they are.
    async fn catch_up(
        &self,
        opened: &Opened,
        last: &mut Option<(SnapshotId, StructureDigest)>,
    ) -> Result<(), QueryError> {
        // Whether an entry fits the schema is the same for everybody.
        let knowledge = self.knowledge_of_all(opened).await?;
        let now = knowledge.snapshot().id;
        let language = knowledge.language();
        let old: Vec<&Entry> =
            language.entries.iter().filter(|it| it.checked != Some(now)).collect();
        if old.is_empty() {
            return Ok(());
        }
        let structure = structure(&knowledge).await?;
        let same = last.filter(|it| it.1 == structure).map(|it| it.0);
        let (known, untried): (Vec<&Entry>, Vec<&Entry>) =
            old.into_iter().partition(|it| it.checked.is_some() && it.checked == same);
        let mut marks: Vec<(EntryId, i64, Fit)> =
            known.into_iter().map(|it| (it.id, it.version, it.broken.clone())).collect();
        marks.extend(self.try_all(opened, &knowledge, &untried).await?);
        // A change would make every server try again at once.
        if marks.is_empty() {
            return Ok(());
        }
        let (org, connection) = (opened.connection.org, opened.connection.id);
        self.language_store.mark(org, connection, now, &marks).await?;
        *last = Some((now, structure));
        self.forget_language(opened);
        Ok(())
    }

    /// Tries entries one after the other, as many as time and the database allow.
    async fn try_all(
        &self,
        opened: &Opened,
        knowledge: &Arc<Knowledge>,
        entries: &[&Entry],
    ) -> Result<Vec<(EntryId, i64, Fit)>, QueryError> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let limits = self.trial_limits(opened).await?;
        let owned: Vec<Entry> = entries.iter().copied().cloned().collect();
        let mut unfit = unfit_for_the_engine(knowledge, &owned).await?;
        let deadline = Instant::now() + CATCH_UP_LIMIT;
        let mut marks = Vec::with_capacity(entries.len());
        let mut failures = 0;
        for entry in entries {
            if failures == FAILURES || Instant::now() >= deadline {
                break;
            }
            let fit = match unfit.remove(&entry.id.to_string()) {
                Some(why) => Ok(Some(why)),
                None => self.plan_out(opened, knowledge, &limits, entry).await,
            };
            match fit {
                Ok(fit) => {
                    failures = 0;
                    marks.push((entry.id, entry.version, fit));
                }
                Err(err) => {
                    failures += 1;
                    let error = plinth_core::chain(&err);
                    tracing::info!(error, entry.id = %entry.id, "an entry of the organization's language cannot be tried now");
                }
            }
        }
        Ok(marks)
    }
}

/// The terms and metrics with which the engine can do nothing over this schema, and why. All are read into one index, which
/// is what a large schema's costs are.
async fn unfit_for_the_engine(
    knowledge: &Arc<Knowledge>,
    entries: &[Entry],
) -> Result<HashMap<String, String>, QueryError> {
    let terms: Vec<_> = entries.iter().filter_map(Entry::term).collect();
    let metrics: Vec<_> = entries.iter().filter_map(Entry::metric).collect();
    if terms.is_empty() && metrics.is_empty() {
        return Ok(HashMap::new());
    }
    let held = knowledge.clone();
    let unusable = off_thread(move || {
        let mut index = SchemaIndex::build(held.askable(), held.allowed());
        index.speak(&terms, &metrics, held.guard())
    });
    Ok(unusable.await?.into_iter().map(|it| (it.id, it.why)).collect())
}

async fn structure(knowledge: &Arc<Knowledge>) -> Result<StructureDigest, QueryError> {
    let held = knowledge.clone();
    off_thread(move || held.snapshot().catalog.structure_digest()).await
}

/// What computes for long must not hold up others' requests.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, QueryError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|err| QueryError::Store(StoreError::Internal(err.into())))
}
