use std::time::Duration;

use plinth_connections::ConnectionId;
use plinth_queries::{MAX_QUESTION_CHARS, QueryId};
use serde_json::{Map, Value};

use super::{Faults, Fields};
use crate::sql_template::SqlTemplate;
use crate::template::{Names, check_json};

/// One query of a workflow. Its result is kept, and later steps and actions read it under the step's name.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its name, good as a name in templates.
    pub name: String,
    /// What is asked.
    pub kind: StepKind,
    /// Rows that are kept at most. A result with more ends the step with an error: actions must not act on a part that
    /// passes for the whole.
    pub row_limit: u64,
    /// How long the statement may run; `None` for the server's usual time.
    pub time: Option<Duration>,
}

/// What a step asks.
#[derive(Clone, Debug, PartialEq)]
pub enum StepKind {
    /// In plain language.
    Question {
        /// Over which database.
        connection: ConnectionId,
        /// The words.
        question: String,
    },
    /// One read-only statement, in which values of templates are bound.
    Sql {
        /// Over which database.
        connection: ConnectionId,
        /// The statement.
        sql: SqlTemplate,
    },
    /// A query of the history, run again over its own connection.
    Query {
        /// Which.
        query: QueryId,
        /// Values of its parameters by name, with templates in them.
        parameters: Map<String, Value>,
        /// The version that whoever it runs as stands for; `None`, where nobody published it, is the newest.
        version: Option<u32>,
    },
}

/// Rows kept of a step unless it says otherwise, and at most.
const USUAL_ROWS: u64 = 1_000;
const MOST_ROWS: u64 = 10_000;

impl Step {
    pub(super) fn read(
        value: &Value,
        pointer: &str,
        names: &mut Names,
        faults: &mut Faults,
    ) -> Option<Self> {
        let mut fields = Fields::of(value, pointer, faults);
        let name = read_name(&mut fields, names, faults);
        let row_limit = fields.whole("row_limit", 1..=MOST_ROWS, faults).unwrap_or(USUAL_ROWS);
        let time = fields.whole("timeout_seconds", 1..=3_600, faults).map(Duration::from_secs);
        let kinds = [("question", 'q'), ("sql", 's'), ("saved_query", 'h')];
        fields.need("type", faults);
        let kind = match fields.word("type", &kinds, faults) {
            None => None,
            Some('h') => {
                let parameters = read_parameters(&mut fields, names, faults);
                let query = read_id(&mut fields, "query_id", faults);
                query.map(|query| StepKind::Query { query, parameters, version: None })
            }
            Some('q') => {
                let connection = read_id(&mut fields, "connection_id", faults);
                let question = fields.need_text("question", MAX_QUESTION_CHARS, faults);
                connection.zip(question).map(|(connection, it)| StepKind::Question {
                    connection,
                    question: it.to_owned(),
                })
            }
            Some(_) => {
                let connection = read_id(&mut fields, "connection_id", faults);
                let sql = fields.need_text("sql", 100_000, faults).and_then(|it| {
                    SqlTemplate::parse(it, names)
                        .map_err(|err| faults.add(&format!("{pointer}/sql"), err))
                        .ok()
                });
                connection.zip(sql).map(|(connection, sql)| StepKind::Sql { connection, sql })
            }
        };
        // What a step of an unknown type may hold is not known either.
        if value.get("type").is_some_and(|it| kinds.iter().any(|kind| it == kind.0)) {
            fields.end(faults);
        }
        if let Some(name) = &name {
            names.add_step(name);
        }
        Some(Self { name: name?, kind: kind?, row_limit, time })
    }
}

/// Values of a saved query's parameters. Whether they fit is found when it runs: templates have no values before.
fn read_parameters(
    fields: &mut Fields<'_>,
    names: &Names,
    faults: &mut Faults,
) -> Map<String, Value> {
    let Some(value) = fields.get("parameters") else { return Map::new() };
    let pointer = fields.at("parameters");
    let Some(parameters) = value.as_object() else {
        faults.add(&pointer, "has to be an object of values by name");
        return Map::new();
    };
    check_json(value, &pointer, names, &mut |pointer, err| faults.add(pointer, err));
    parameters.clone()
}

/// A name that templates can say, and that nothing before has.
pub(super) fn read_name(
    fields: &mut Fields<'_>,
    names: &Names,
    faults: &mut Faults,
) -> Option<String> {
    let name = fields.need_text("name", 63, faults)?;
    let pointer = fields.at("name");
    let begins = name.starts_with(|it: char| it.is_ascii_lowercase() || it == '_');
    if !begins
        || !name.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_')
    {
        faults.add(
            &pointer,
            "has to be of lower-case letters, digits and `_`, not beginning with a digit",
        );
        return None;
    }
    if names.is_taken(name) {
        faults.add(&pointer, format!("`{name}` is the name of an earlier step or action"));
        return None;
    }
    Some(name.to_owned())
}

pub(super) fn read_id<T: std::str::FromStr<Err = plinth_core::InvalidId>>(
    fields: &mut Fields<'_>,
    name: &'static str,
    faults: &mut Faults,
) -> Option<T> {
    let text = fields.need_text(name, 100, faults)?;
    text.parse()
        .map_err(|err: plinth_core::InvalidId| faults.add(&fields.at(name), err.to_string()))
        .ok()
}
