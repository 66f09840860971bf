//! From a judged statement to its rows.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use plinth_connections::Opened;

use super::knowing::names_what_is_gone;
use super::{CALLER, Queries};
use crate::ask::Purpose;
use crate::discretion::Discreet;
use crate::explain::Ceiling;
use crate::knowledge::{Judged, Knowledge};
use crate::running::Entry;
use crate::{DatabaseMessage, Plan, QueryError, RunError, RunLimits, Statement};

/// How long somebody waits for another who has the same statement planned.
const PATIENCE: Duration = Duration::from_secs(1);

/// A statement that runs.
pub(crate) struct Started {
    pub(crate) at: Instant,
    pub(crate) rows: Box<dyn crate::Rows>,
    pub(crate) types: Arc<crate::UserTypes>,
}

/// What came of a statement that was let through.
pub(crate) enum Begun {
    Rows(Started),
    /// What the planner says, and whether policies hide something of what it reads.
    Planned(Box<Plan>, bool),
}

impl Queries {
    /// Runs a statement; with how old an answer to it may be.
    pub(super) async fn run_judged(
        &self,
        opened: &Opened,
        sql: &str,
        parameters: &[Option<String>],
        limits: &RunLimits,
        how: (Purpose, Option<Duration>),
        entry: &mut Entry,
    ) -> Result<Begun, QueryError> {
        if entry.record.notes.engine.is_empty() {
            CALLER.clone_into(&mut entry.record.notes.engine);
        }
        let (user, link) = (entry.record.user, entry.narrowing.clone());
        let (link, text) = (link.as_deref(), (sql, parameters.len()));
        let mut knowledge = self.knowledge_through(opened, user, link).await?;
        if let Some(link) = link {
            self.hold_to_link(opened, user, text, link, &knowledge).await?;
        }
        entry.tell();
        let mut started =
            self.start_or_reuse(opened, &knowledge, sql, parameters, limits, how).await;
        if let Err(err) = &started
            && names_what_is_gone(err)
            && self.is_stale(&knowledge)
        {
            knowledge = self.renew_through(opened, user, link).await?;
            if let Some(link) = link {
                self.hold_to_link(opened, user, text, link, &knowledge).await?;
            }
            started = self.start_or_reuse(opened, &knowledge, sql, parameters, limits, how).await;
        }
        entry.record.notes.restricted = knowledge.restricted(sql, parameters.len());
        if entry.record.notes.tables.is_empty()
            && let Ok(judged) = knowledge.judge_with(sql, parameters.len())
        {
            entry.record.notes.tables =
                judged.approved.relations.iter().map(ToString::to_string).collect();
        }
        let (begun, cached_at) = started?;
        entry.record.notes.cached_at = cached_at;
        Ok(begun)
    }

    /// Policies and guard, plan, run: the one way to a customer's database.
    pub(crate) async fn start(
        &self,
        opened: &Opened,
        knowledge: &Arc<Knowledge>,
        sql: &str,
        parameters: &[Option<String>],
        limits: &RunLimits,
        purpose: Purpose,
    ) -> Result<Begun, QueryError> {
        let judged = knowledge.judge_with(sql, parameters.len())?;
        let statement = knowledge.statement_with(&judged, parameters.to_vec())?;
        let begun =
            self.start_judged(opened, knowledge, &judged, &statement, limits, (sql, purpose)).await;
        match begun {
            Err(err) if may_be_of_value(&err, parameters) => {
                // Whoever plans binds the same values and reads no row: what is said then tells of nothing else.
                match self.runner.plan(&opened.target, &statement, limits).await {
                    Err(RunError::Database(said)) => match quoted(&said, parameters) {
                        Some(place) => Err(QueryError::Value { place, rule: said.message }),
                        None => Err(err),
                    },
                    _ => Err(err),
                }
            }
            begun => begun,
        }
    }

    async fn start_judged(
        &self,
        opened: &Opened,
        knowledge: &Arc<Knowledge>,
        judged: &Judged,
        statement: &Statement,
        limits: &RunLimits,
        (sql, purpose): (&str, Purpose),
    ) -> Result<Begun, QueryError> {
        let restricted = judged.is_restricted();
        let settings = self.tenancy.current(opened.connection.org).await?.settings;
        let ceiling = Ceiling { cost: settings.plan_cost_limit, rows: settings.plan_row_limit };
        let estimates_needed = purpose == Purpose::Explain || !ceiling.is_none();
        let is_planned = || judged.planned.load(Ordering::Relaxed);
        // Of many runs that send the same for the first time one has it planned.
        let turn = if limits.in_background && !estimates_needed && !is_planned() {
            tokio::time::timeout(PATIENCE, judged.planning.lock()).await.ok()
        } else {
            None
        };
        if estimates_needed || !is_planned() {
            let mut plan =
                self.hold_against_plan(opened, knowledge, judged, statement, limits, sql).await?;
            if let Some(text) = judged.approved.for_estimates.clone().filter(|_| estimates_needed) {
                let statement = Statement { sql: text, ..statement.clone() };
                plan = self.plan(opened, judged, &statement, limits, sql).await?;
            }
            ceiling.check(&plan, restricted)?;
            if purpose == Purpose::Explain {
                return Ok(Begun::Planned(Box::new(plan), restricted));
            }
        }
        drop(turn);
        let at = Instant::now();
        let run_error =
            |source| QueryError::Run { sql: sql.to_owned(), source: judged.told(source) };
        let mut rows =
            self.runner.run(&opened.target, statement, limits).await.map_err(run_error)?;
        if restricted {
            rows = Box::new(Discreet(rows));
        }
        Ok(Begun::Rows(Started { at, rows, types: knowledge.types.clone() }))
    }

    pub(super) async fn plan(
        &self,
        opened: &Opened,
        judged: &Judged,
        statement: &Statement,
        limits: &RunLimits,
        sql: &str,
    ) -> Result<Plan, QueryError> {
        let planned = self.runner.plan(&opened.target, statement, limits).await;
        planned
            .map_err(|source| QueryError::Run { sql: sql.to_owned(), source: judged.told(source) })
    }

    /// The second judge: whatever the statement's text looked like, the planner's relations are what will be read.
    pub(crate) async fn hold_against_plan(
        &self,
        opened: &Opened,
        knowledge: &Knowledge,
        judged: &Judged,
        statement: &Statement,
        limits: &RunLimits,
        sql: &str,
    ) -> Result<Plan, QueryError> {
        let plan = self.plan(opened, judged, statement, limits, sql).await?;
        for (schema, name) in &plan.relations {
            if !knowledge.may_be_read(&judged.approved, schema, name) {
                tracing::warn!(
                    connection.id = %opened.connection.id, table = %format!("{schema}.{name}"),
                    "the plan reads a relation that the guard did not see"
                );
                return Err(QueryError::TableNotAllowed { table: format!("{schema}.{name}") });
            }
        }
        judged.planned.store(true, Ordering::Relaxed);
        Ok(plan)
    }
}

/// Whether a statement with these values may have failed because the database reads one of them as no value of the type that
/// stands there, or as one out of its range.
fn may_be_of_value(err: &QueryError, values: &[Option<String>]) -> bool {
    let QueryError::Run { source: RunError::Database(said), .. } = err else { return false };
    !values.is_empty() && matches!(said.sqlstate.as_str(), "22P02" | "22003" | "22007" | "22008")
}

/// Of which value a message speaks: it stands there in quotation marks, in those of the language that the server speaks.
fn quoted(said: &DatabaseMessage, values: &[Option<String>]) -> Option<usize> {
    const MARKS: [(&str, &str); 5] =
        [("\"", "\""), ("«", "»"), ("« ", " »"), ("«\u{a0}", "\u{a0}»"), ("„", "“")];
    let is_quoted = |it: &String| {
        MARKS.iter().any(|(open, close)| said.message.contains(&format!("{open}{it}{close}")))
    };
    values.iter().position(|it| it.as_ref().is_some_and(is_quoted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_the_database_does_not_take_is_told_from_one_that_it_reads_itself() {
        let said = |sqlstate: &str, message: &str| DatabaseMessage {
            sqlstate: sqlstate.to_owned(),
            message: message.to_owned(),
            detail: None,
            hint: None,
            position: None,
        };
        let values = [None, Some("1".to_owned()), Some("1000.5".to_owned())];
        let is = |message: &str| quoted(&said("22P02", message), &values);
        assert_eq!(is("invalid input syntax for type integer: \"1000.5\""), Some(2));
        assert_eq!(is("syntaxe en entrée invalide pour le type integer : « 1000.5 »"), Some(2));
        assert_eq!(is("invalid input syntax for type integer: \"x 1\""), None);

        let err = |state: &str| QueryError::Run {
            sql: String::new(),
            source: RunError::Database(Box::new(said(state, ""))),
        };
        assert!(may_be_of_value(&err("22P02"), &values) && !may_be_of_value(&err("22P02"), &[]));
        assert!(!may_be_of_value(&err("22012"), &values));
    }
}
