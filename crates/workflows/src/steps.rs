use async_trait::async_trait;
use plinth_core::{Classify as _, ErrorKind, Permit, Principal, QueriesRead};
use plinth_queries::{
    Answer, Ask, CallerLimits, Input, JsonRows, Notes, Purpose, Queries, QueryError, RunAgain,
    RunError, Running, StatementRun,
};
use serde_json::Value;

use crate::definition::{Step, StepKind};
use crate::places::Places;
use crate::ports::{Fault, Found, StepRunner};
use crate::result::{StepResult, storable};
use crate::template::{Context, aside};

/// The largest result of a step, in bytes as the database sends it: it is kept, and every later step and action reads it.
const LARGEST: usize = 4 * 1024 * 1024;

/// What a result takes in memory at most, in bytes: many small values, or many of long names, are large although they are
/// sent as little. As many rows and columns of plain values as fit into [`LARGEST`] fit into this.
const LARGEST_HELD: usize = 8 * LARGEST;

/// What a value takes in memory beside its letters, and a name in an object.
const NODE: usize = 64;

/// What an object takes beside that, however little is in it: it has room for some more.
const OBJECT: usize = 10 * NODE;

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
        let mut places = Places::of(running.columns());
        let mut rows = Vec::new();
        let mut size = Size::of(&columns);
        loop {
            let more = running.next().await.map_err(|err| fault(&err))?;
            if more.is_empty() {
                break;
            }
            for row in &more {
                let values: Vec<Value> = json.values(row).into_iter().map(storable).collect();
                size.add(row.size_bytes(), &values)?;
                places.add(row, &values);
                rows.push(values);
            }
            if rows.len() as u64 > step.row_limit {
                return Err(Fault::permanent(format!(
                    "there are more than {} rows; select fewer, or raise the step's `row_limit`",
                    step.row_limit
                )));
            }
        }
        if running.summary().is_some_and(|it| it.cut_off.is_some()) {
            return Err(Fault::permanent("the result is larger than a statement's may be"));
        }
        let (decimals, long_numbers) = (places.decimals(), places.long_numbers());
        Ok(Found { result: StepResult { columns, rows, decimals, long_numbers }, query })
    }
}

/// How large a result is so far.
struct Size {
    names: usize,
    sent: usize,
    held: usize,
}

impl Size {
    fn of(columns: &[String]) -> Self {
        Self { names: columns.iter().map(String::len).sum(), sent: 0, held: 0 }
    }

    /// Counts one more row, which came as so many bytes.
    fn add(&mut self, sent: usize, row: &[Value]) -> Result<(), Fault> {
        self.sent += sent;
        self.held += self.names + row.iter().map(held).sum::<usize>();
        if self.sent > LARGEST {
            return Err(Fault::permanent(format!(
                "the result is larger than {LARGEST} bytes; select fewer or shorter columns"
            )));
        }
        if self.held > LARGEST_HELD {
            return Err(Fault::permanent(format!(
                "the result would take more than {LARGEST_HELD} bytes of memory; select fewer rows or columns, \
                 give columns shorter names, or take only what is needed out of JSON"
            )));
        }
        Ok(())
    }
}

/// What a value takes in memory, with all that is in it. It is nested no deeper than what is kept may be.
fn held(value: &Value) -> usize {
    NODE + match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(all) => all.iter().map(held).sum(),
        Value::Object(all) => {
            OBJECT + all.iter().map(|(name, it)| NODE + name.len() + held(it)).sum::<usize>()
        }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// How many such rows there can be, and what is said of one more; `None` if there is no end to them.
    fn rows(columns: usize, name: usize, sent: usize, value: &Value) -> (usize, Option<String>) {
        let mut size = Size::of(&vec!["n".repeat(name); columns]);
        let row = vec![value.clone(); columns];
        for at in 0..10_000 {
            if let Err(fault) = size.add(columns * sent, &row) {
                return (at, Some(fault.message));
            }
        }
        (10_000, None)
    }

    #[test]
    fn a_result_is_as_large_as_it_is_in_memory() {
        assert_eq!(rows(40, 12, 10, &json!(123_456)), (10_000, None), "as large as it is sent");
        let (most, said) = rows(1, 1, 1_000, &json!("x".repeat(996)));
        assert_eq!(most, LARGEST / 1_000);
        assert!(said.is_some_and(|it| it.contains("shorter columns")));
        let (most, said) = rows(90, 60, 4, &Value::Null);
        assert!(most < 3_100, "{most}");
        assert!(said.is_some_and(|it| it.contains("shorter names")));
        let (most, said) = rows(1, 1, 350_000, &json!(vec![json!({ "": 0 }); 50_000]));
        assert_eq!(most, 0);
        assert!(said.is_some_and(|it| it.contains("out of JSON")));
        assert_eq!(held(&json!({ "ab": ["cde", 1, null] })), OBJECT + 6 * NODE + 5);
    }
}
