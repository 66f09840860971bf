//! Running without being asked in a request of one's own, and looking at a statement without running it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use plinth_connections::Opened;
use plinth_core::{Principal, UserId};

use super::knowing::names_what_is_gone;
use super::{Begun, Queries, Started};
use crate::ask::{Input, Purpose, StatementRun, Told};
use crate::kept::{Claim, Hurried, Key};
use crate::knowledge::Knowledge;
use crate::policies::Narrowing;
use crate::{QueryError, RunError, RunLimits, RunOf, Running, Visibility};

/// What else there is to a run of a saved query.
#[derive(Clone, Debug, Default)]
pub(crate) struct Noted {
    /// Which query it is a run of.
    pub(crate) of: Option<RunOf>,
    /// Whether others are not to see that it ran.
    pub(crate) is_private: bool,
    /// How old an answer may be, and that the new one may be given to others; `None` for neither.
    pub(crate) max_age: Option<Duration>,
    /// The link through which somebody looks at what comes of it.
    pub(crate) narrowing: Option<Arc<Narrowing>>,
}

impl Queries {
    /// Runs a statement with bound parameters in somebody's name: under the policies that bind them, the guard, and the
    /// limits, with an entry in the history. It is the way of everything that runs without being asked in a request of its own:
    /// saved queries, widgets, exports, steps of workflows. Whether the person may do *that* is the calling service's to check.
    ///
    /// # Errors
    ///
    /// As for [`Queries::ask`].
    pub async fn run_as(
        &self,
        caller: &Principal,
        run: StatementRun,
    ) -> Result<Running, QueryError> {
        self.run_noted(caller, run, Noted::default(), None).await
    }

    /// The same for a saved query.
    pub(crate) async fn run_noted(
        &self,
        caller: &Principal,
        run: StatementRun,
        noted: Noted,
        told: Option<Told>,
    ) -> Result<Running, QueryError> {
        let limits = self.limits(run.limits, caller).await?;
        let opened = self.connections.open(caller, run.connection).await?;
        let StatementRun { connection, sql, parameters, question, notes, .. } = run;
        let input = Input::Sql(sql);
        let mut entry = self.entry(caller, connection, &input);
        entry.tell_to(told);
        entry.narrowing = noted.narrowing;
        entry.record.question = question;
        entry.record.notes = notes;
        entry.record.run_of = noted.of;
        if noted.is_private {
            entry.record.definition.visibility = Visibility::Private;
            entry.record.definition.owner = Some(caller.user);
        }
        let Input::Sql(sql) = &input else { unreachable!("made above") };
        let how = (Purpose::Run, noted.max_age);
        match self.run_judged(&opened, sql, &parameters, &limits, how, &mut entry).await {
            Ok(Begun::Rows(started)) => Ok(Running::new(started, limits.rows, entry)),
            Ok(Begun::Planned(..)) => unreachable!("it is for running"),
            Err(err) => {
                entry.end_with(&err, None);
                Err(err)
            }
        }
    }

    /// The tables that a statement reads, if guard and planner let it through. Nothing is run, and nothing stands in the
    /// history.
    ///
    /// # Errors
    ///
    /// As for [`Queries::ask`] of a statement.
    pub(crate) async fn plan_judged(
        &self,
        opened: &Opened,
        user: UserId,
        sql: &str,
        parameters: &[Option<String>],
        limits: &RunLimits,
    ) -> Result<Vec<String>, QueryError> {
        let mut knowledge = self.knowledge(opened, user).await?;
        let explain = Purpose::Explain;
        let planned = self.start(opened, &knowledge, sql, parameters, limits, explain).await;
        match planned {
            Err(err) if names_what_is_gone(&err) && self.is_stale(&knowledge) => {
                knowledge = self.renew(opened, user).await?;
                self.start(opened, &knowledge, sql, parameters, limits, explain).await?;
            }
            planned => drop(planned?),
        }
        let judged = knowledge.judge_with(sql, parameters.len())?;
        Ok(judged.approved.relations.iter().map(ToString::to_string).collect())
    }

    /// Starts a statement, or gives the rows of one that ran before; with when those were read.
    pub(super) async fn start_or_reuse(
        &self,
        opened: &Opened,
        knowledge: &Arc<Knowledge>,
        sql: &str,
        parameters: &[Option<String>],
        limits: &RunLimits,
        (purpose, max_age): (Purpose, Option<Duration>),
    ) -> Result<(Begun, Option<Timestamp>), QueryError> {
        // Nobody waits for what waits for its own turn.
        let is_shared = purpose == Purpose::Run && !limits.in_background;
        let Some(max_age) = max_age.filter(|_| is_shared) else {
            let begun = self.start(opened, knowledge, sql, parameters, limits, purpose).await?;
            return Ok((begun, None));
        };
        let judged = knowledge.judge_with(sql, parameters.len())?;
        let statement = knowledge.statement_with(&judged, parameters.to_vec())?;
        let key = Key::new(opened, knowledge, &statement, limits);
        let at = Instant::now();
        let (said, mut left) = (limits.time, limits.time);
        let types = knowledge.types.clone();
        let failed = |source| QueryError::Run { sql: sql.to_owned(), source };
        let ticket = match self.kept.claim(&key, max_age, &mut left, self.clock.as_ref()).await {
            Claim::Kept(kept) => {
                let made_at = kept.made_at();
                let rows = Box::new(kept.replay());
                return Ok((Begun::Rows(Started { at, rows, types }), Some(made_at)));
            }
            Claim::Failed(source) => return Err(failed(source)),
            Claim::Late => return Err(failed(RunError::TimedOut(said))),
            Claim::Alone => None,
            Claim::Ours(ticket) => Some(ticket),
        };
        let made_at = self.clock.now();
        let begun = if left == said {
            self.start(opened, knowledge, sql, parameters, limits, purpose).await
        } else if left.is_zero() {
            Err(failed(RunError::TimedOut(said)))
        } else {
            // Whoever waited for another's run in vain has so much less for their own.
            let limits = RunLimits { time: left, ..limits.clone() };
            let begun = self.start(opened, knowledge, sql, parameters, &limits, purpose).await;
            hurried(begun, said)
        };
        let Some(ticket) = ticket else { return Ok((begun?, None)) };
        match begun {
            Ok(Begun::Rows(Started { at, rows, types })) => {
                let rows = ticket.gather(rows, made_at).await.map_err(failed)?;
                Ok((Begun::Rows(Started { at, rows, types }), None))
            }
            Ok(planned) => Ok((planned, None)),
            Err(QueryError::Run { sql, source }) => {
                ticket.fail(&source);
                Err(QueryError::Run { sql, source })
            }
            Err(err) => Err(err),
        }
    }
}

/// What came of a run with less time than the caller `said`.
fn hurried(begun: Result<Begun, QueryError>, said: Duration) -> Result<Begun, QueryError> {
    match begun {
        Ok(Begun::Rows(Started { at, rows, types })) => {
            let rows = Box::new(Hurried { rows, said });
            Ok(Begun::Rows(Started { at, rows, types }))
        }
        Err(QueryError::Run { sql, source }) => {
            Err(QueryError::Run { sql, source: Hurried::told(source, said) })
        }
        begun => begun,
    }
}
