//! From the changes that a query meets to what it would have to be, tried.

use std::sync::Arc;
use std::time::{Duration, Instant};

use plinth_core::{Permit, QueriesRead, StoreError, UserId};
use plinth_schema_introspect::{Change, Snapshot};
use plinth_sql_guard::{Action, Fix, Mending, ResultColumn as Known, Step, mend};

use super::check::{Era, broke_off};
use super::{DryRun, Proposal, ProposedAction, ProposedStep, Repairs};
use crate::saved::{Template, for_planning};
use crate::service::Begun;
use crate::{Purpose, QueryError, QueryRecord, ResultColumn, RunError, RunLimits};

/// How far a proposal is run.
const TRIED_ROWS: u64 = 20;
const TRIED_TIME: Duration = Duration::from_secs(10);

/// What a drift means for a statement.
pub(super) struct Met {
    /// The changes that it meets, by their places in the era.
    pub(super) changes: Vec<usize>,
    columns: Vec<Known>,
    fix: Result<Fix, String>,
}

/// Finds the changes that a statement meets. A large schema is not gone through on a thread that others' requests wait for.
pub(super) async fn met(sql: &str, era: &Arc<Era>, now: &Arc<Snapshot>) -> Result<Met, QueryError> {
    let (text, era, now) = (sql.to_owned(), era.clone(), now.clone());
    let found = tokio::task::spawn_blocking(move || {
        mend(&text, &era.before.catalog, &now.catalog, &era.changes)
    });
    let Mending { concerned, columns, fix } = found.await.map_err(broke_off)??;
    Ok(Met { changes: concerned, columns, fix })
}

impl Repairs {
    /// What a query would have to be, tried; else why nothing is proposed.
    pub(super) async fn propose(
        &self,
        record: &QueryRecord,
        template: &Template,
        era: &Era,
        met: Met,
    ) -> Result<Result<Proposal, String>, QueryError> {
        let fix = match met.fix {
            Ok(fix) => fix,
            Err(why) => return Ok(Err(why)),
        };
        let before = record.sql.as_deref().unwrap_or_default();
        let declared = &record.definition.parameters;
        let carried = template.carry(before, &fix.edits).and_then(|sql| {
            let read = Template::parse(&sql, declared).ok()?;
            // Where a value stands next to what changes, the text may read otherwise than the statement.
            (read.sql == fix.sql && read.places == template.places).then_some(sql)
        });
        let Some(sql) = carried else {
            let why = "its parameters stand where it would have to be changed";
            return Ok(Err(why.to_owned()));
        };
        let mut expected = met.columns;
        for step in &fix.steps {
            if let Action::LeftOut { column } = &step.action
                && let Some(at) = expected.iter().position(|it| it.name.as_ref() == Some(column))
            {
                expected.remove(at);
            }
        }
        let left_out = fix.steps.iter().any(|it| matches!(it.action, Action::LeftOut { .. }));
        let owner = self.tried_as(record).await?;
        let defaults = for_planning(declared);
        let values: Vec<_> = template.places.iter().map(|at| defaults[*at].clone()).collect();
        let dry_run = self.dry_run(record, owner, &fix.sql, &values, &expected).await?;
        Ok(Ok(Proposal {
            sql,
            is_certain: !left_out && is_certain(&fix.steps, &met.changes, &era.changes),
            steps: fix.steps.iter().filter_map(|it| proposed(it, &met.changes)).collect(),
            dry_run,
        }))
    }

    /// As whom a query is tried: its owner, but whoever wrote its words where something is hidden from them. Else somebody
    /// could have the owner run what they may not ask, and read from the trial what came of it.
    async fn tried_as(&self, record: &QueryRecord) -> Result<UserId, StoreError> {
        let owner = record.definition.owner.unwrap_or(record.user);
        let (org, saved) = (record.org, &self.queries.saved);
        let mut said = saved.version(org, record.id, record.definition.version).await?;
        // A certain repair says what was said before.
        while let Some(of) = said
            .as_ref()
            .and_then(|it| it.repair.as_ref())
            .filter(|it| it.is_certain)
            .map(|it| it.of)
        {
            said = saved.version(org, record.id, of).await?;
        }
        let author = said.map_or(owner, |it| it.made_by);
        if author == owner
            || self.queries.policies().sees_all(org, record.connection, author).await?
        {
            return Ok(owner);
        }
        Ok(author)
    }

    /// Plans a statement and runs it for its first rows as that person, under the policies that bind them. Its rows go nowhere.
    async fn dry_run(
        &self,
        record: &QueryRecord,
        owner: UserId,
        sql: &str,
        values: &[Option<String>],
        expected: &[Known],
    ) -> Result<DryRun, QueryError> {
        let (at, began) = (self.queries.clock.now(), Instant::now());
        let mut tried = DryRun {
            succeeded: false,
            error: None,
            differences: Vec::new(),
            rows: 0,
            duration_ms: 0.0,
            at,
        };
        let ran = self.try_as(record, owner, sql, values).await;
        tried.duration_ms = began.elapsed().as_secs_f64() * 1000.0;
        match ran {
            Ok(Ok((columns, is_masked, rows))) => {
                tried.succeeded = true;
                tried.rows = rows;
                tried.differences = differences(expected, &columns, is_masked);
            }
            Ok(Err(why)) => tried.error = Some(why),
            Err(err) => tried.error = Some(told(err)?),
        }
        Ok(tried)
    }

    async fn try_as(
        &self,
        record: &QueryRecord,
        owner: UserId,
        sql: &str,
        values: &[Option<String>],
    ) -> Result<Result<(Vec<ResultColumn>, bool, u64), String>, QueryError> {
        let Some(owner) = self.members.acting(record.org, owner).await? else {
            return Ok(Err("its owner has left the organization".to_owned()));
        };
        if Permit::<QueriesRead>::check(&owner).is_err() {
            return Ok(Err("its owner may not run queries any more".to_owned()));
        }
        let queries = &self.queries;
        let opened = queries.connections.open(&owner, record.connection).await?;
        let knowledge = queries.knowledge(&opened, owner.user).await?;
        let limits = RunLimits {
            rows: TRIED_ROWS,
            time: TRIED_TIME.min(queries.settings.default_time),
            ..queries.trial_limits(&opened).await?
        };
        let run = Purpose::Run;
        let begun = queries.start(&opened, &knowledge, sql, values, &limits, run).await?;
        let Begun::Rows(mut started) = begun else { unreachable!("it is for running") };
        let is_masked = !knowledge.restricted(sql, values.len()).is_empty();
        let mut read = 0;
        loop {
            let some = started.rows.next().await;
            let some = some.map_err(|source| QueryError::Run { sql: sql.to_owned(), source })?;
            if some.is_empty() {
                break;
            }
            read += some.len() as u64;
        }
        Ok(Ok((started.rows.columns().to_vec(), is_masked, read)))
    }
}

/// Why a dry run failed, without what could quote a value.
///
/// # Errors
///
/// What says nothing about the statement: the database is away, say.
fn told(err: QueryError) -> Result<String, QueryError> {
    match err {
        QueryError::Run { source: RunError::Database(said), .. } => {
            Ok(if crate::discretion::OF_THE_STATEMENT.contains(&said.sqlstate.as_str()) {
                said.message
            } else {
                format!("the database could not run it (SQLSTATE {})", said.sqlstate)
            })
        }
        QueryError::Run { source: RunError::TimedOut(_), .. } => {
            Ok("it took too long to be tried".to_owned())
        }
        QueryError::Run { source: RunError::RowTooLarge { .. }, .. } => {
            Ok("a row of it is too large to be tried".to_owned())
        }
        // Its estimates are of rows that may be hidden from whoever reads this.
        QueryError::TooCostly { .. } => {
            Ok("it would cost more than the organization allows".to_owned())
        }
        err @ (QueryError::Rejected(_)
        | QueryError::TableNotAllowed { .. }
        | QueryError::Attribute { .. }) => Ok(err.to_string()),
        err => Err(err),
    }
}

/// Whether the database itself shows that everything which the statement meets is the same thing under another name.
fn is_certain(steps: &[Step], met: &[usize], changes: &[Change]) -> bool {
    let named = |it: &Step| {
        it.action == Action::Renamed && changes[it.change].confidence.is_some_and(|it| it >= 1.0)
    };
    let breaking = |it: &&usize| changes[**it].breaking;
    let mended = |it: &usize| steps.iter().any(|step| step.change == *it);
    steps.iter().all(named) && met.iter().filter(breaking).all(mended)
}

fn proposed(step: &Step, met: &[usize]) -> Option<ProposedStep> {
    let change = met.iter().position(|it| *it == step.change)?;
    let (action, detail) = match &step.action {
        Action::Renamed => (ProposedAction::Rename, None),
        Action::Cast { to } => (ProposedAction::Cast, Some(to.clone())),
        Action::LeftOut { column } => (ProposedAction::LeaveOut, Some(column.clone())),
    };
    Some(ProposedStep { change, action, detail })
}

/// How a result differs from what it was, as far as that is known. Under a mask types are not what they are.
fn differences(expected: &[Known], columns: &[ResultColumn], is_masked: bool) -> Vec<String> {
    let mut found = Vec::new();
    if expected.len() != columns.len() {
        found.push(format!("it has {} columns and had {}", columns.len(), expected.len()));
    }
    for (was, is) in expected.iter().zip(columns) {
        if let Some(name) = was.name.as_ref().filter(|it| **it != is.name) {
            found.push(format!("the column `{name}` is called `{}`", is.name));
        }
        if was.type_oid.is_some_and(|it| it != is.type_oid) && !is_masked {
            found.push(format!("the column `{}` is of another type", is.name));
        }
    }
    found
}
