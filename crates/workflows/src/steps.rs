use async_trait::async_trait;
use plinth_core::{Classify as _, ErrorKind, Permit, Principal, QueriesRead};
use plinth_queries::{
    Answer, Ask, CallerLimits, Input, JsonRows, Notes, Purpose, Queries, QueryError, RunAgain,
    RunError, Running, StatementRun,
};
use serde_json::Value;

use crate::definition::{Step, StepKind};
use crate::ports::{Fault, Found, StepRunner};
use crate::result::{StepResult, storable};
use crate::template::{Context, aside};

/// The largest result of a step, in bytes of its values as JSON: it is kept, and every later step and action reads it.
const LARGEST: usize = 4 * 1024 * 1024;

/// [`StepRunner`] over [`Queries`]: the same way to a customer's database as everybody's.
#[derive(Clone)]
pub struct QuerySteps {
    queries: Queries,
    in_background: bool,
}

impl QuerySteps {
    /// Asks by that service, for somebody who waits.
    pub fn new(queries: Queries) -> Self {
        Self { queries, in_background: false }
    }

    /// The same for runs: people who ask over the same connection go first.
    #[must_use]
    pub fn in_background(&self) -> Self {
        Self { in_background: true, ..self.clone() }
    }

    async fn ask(
        &self,
        caller: &Principal,
        step: &Step,
        context: &Context,
    ) -> Result<Running, Fault> {
        let permit = Permit::<QueriesRead>::check(caller)
            .map_err(|err| Fault::permanent(err.to_string()))?;
        // One row more than may come shows that there are more.
        let row_limit = Some(step.row_limit + 1);
        let timeout_ms = step.time.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX));
        let in_background = self.in_background;
        let limits =
            CallerLimits { row_limit, timeout_ms, in_background, ..CallerLimits::default() };
        let answer = match &step.kind {
            StepKind::Question { connection, question } => {
                let ask = Ask {
                    connection: *connection,
                    input: Input::Question(question.clone()),
                    conversation: None,
                    model: None,
                    limits,
                    purpose: Purpose::Run,
                    told: None,
                };
                // Boxed, as the next but one: what it keeps is large, and most steps are statements.
                Box::pin(self.queries.ask(&permit, ask)).await
            }
            StepKind::Sql { connection, sql } => {
                // The role may have become another since the workflow was published.
                if caller.saved_queries_only {
                    return Err(Fault::permanent(
                        "the workflow's owner may run saved queries only; somebody who may write statements has to publish it",
                    ));
                }
                let parameters = if sql.has_values() {
                    let (sql, context) = (sql.clone(), context.clone());
                    aside(move || sql.bind(&context).map_err(Fault::permanent)).await?
                } else {
                    Vec::new()
                };
                let run = StatementRun {
                    connection: *connection,
                    sql: sql.sql().to_owned(),
                    parameters,
                    question: None,
                    notes: Notes::default(),
                    limits,
                };
                let running = self.queries.run_as(caller, run).await;
                running.map(|it| Answer::Rows(Box::new(it)))
            }
            StepKind::Query { query, parameters, version } => {
                let (templates, context) = (Value::Object(parameters.clone()), context.clone());
                let fill = move || context.render_json(&templates).map_err(Fault::permanent);
                let Value::Object(parameters) = aside(fill).await? else {
                    unreachable!("an object stays one");
                };
                let run = RunAgain {
                    parameters,
                    // What acts on rows acts on those that are there.
                    max_age_seconds: Some(0),
                    limits,
                    version: *version,
                    told: None,
                };
                let running = Box::pin(self.queries.run_again(&permit, *query, run)).await;
                running.map(|it| Answer::Rows(Box::new(it)))
            }
        };
        match answer.map_err(|err| fault(&err))? {
            Answer::Rows(running) => Ok(*running),
            Answer::Meta(_) | Answer::Planned(_) => Err(Fault::permanent(
                "the question is about the schema, and has no rows as its answer",
            )),
        }
    }
}

#[async_trait]
impl StepRunner for QuerySteps {
    async fn run(
        &self,
        caller: &Principal,
        step: &Step,
        context: &Context,
    ) -> Result<Found, Fault> {
        let mut running = self.ask(caller, step, context).await?;
        let query = running.id();
        let mut columns: Vec<String> = Vec::new();
        for it in running.columns() {
            let taken = |name: &String| columns.contains(name);
            let name = std::iter::once(it.name.clone())
                .chain((2..).map(|number| format!("{}_{number}", it.name)))
                .find(|name| !taken(name));
            columns.extend(name);
        }
        let mut json = JsonRows::new(running.columns(), running.types());
        let (mut rows, mut size) = (Vec::new(), 0);
        loop {
            let more = running.next().await.map_err(|err| fault(&err))?;
            if more.is_empty() {
                break;
            }
            for row in &more {
                size += row.size_bytes();
                rows.push(json.values(row).into_iter().map(storable).collect());
            }
            if rows.len() as u64 > step.row_limit {
                return Err(Fault::permanent(format!(
                    "there are more than {} rows; select fewer, or raise the step's `row_limit`",
                    step.row_limit
                )));
            }
            if size > LARGEST {
                return Err(Fault::permanent(format!(
                    "the result is larger than {LARGEST} bytes; select fewer or shorter columns"
                )));
            }
        }
        if running.summary().is_some_and(|it| it.cut_off.is_some()) {
            return Err(Fault::permanent("the result is larger than a statement's may be"));
        }
        Ok(Found { result: StepResult { columns, rows }, query })
    }
}

fn fault(err: &QueryError) -> Fault {
    let retryable = err.details().and_then(|it| it["retryable"].as_bool());
    let is_temporary = match err.kind() {
        ErrorKind::Connection | ErrorKind::Unavailable | ErrorKind::RateLimited => true,
        ErrorKind::Query => retryable.unwrap_or(false),
        _ => false,
    };
    let had_no_turn = matches!(err, QueryError::Run { source: RunError::Busy, .. });
    // What is ours stays ours.
    let message = match err.kind() {
        kind if kind.is_ours() => "the server could not run the statement now".to_owned(),
        _ if matches!(err, QueryError::NoVersion { .. }) => {
            "the query is another than when it was published; somebody has to publish it again"
                .to_owned()
        }
        _ => err.to_string(),
    };
    let is_temporary = is_temporary || err.kind().is_ours();
    Fault { is_temporary, had_no_turn, ..Fault::permanent(message) }
}
