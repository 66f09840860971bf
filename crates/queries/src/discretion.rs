//! What is told of a failure where policies hide something: the database's message may quote a value that is hidden.

use async_trait::async_trait;
use serde_json::json;

use crate::{CutOff, DatabaseMessage, QueryRecord, RawRow, ResultColumn, Rows, RunError};

/// Failures that the server finds while it reads the statement, before it reads a row: their messages are made of the
/// statement's own words and the schema's.
pub(crate) const OF_THE_STATEMENT: [&str; 11] = [
    "42703", // undefined column
    "42P01", // undefined table
    "42883", // undefined function or operator
    "42803", // grouping
    "42702", // ambiguous column
    "42725", // ambiguous function
    "42712", // duplicate alias
    "42P10", // invalid column reference
    "42P18", // indeterminate type
    "42P08", // ambiguous parameter
    "42501", // insufficient privilege
];

/// The failure without what could quote a value; where in the statement it was is left out too, for the statement that ran
/// is not the caller's.
pub(crate) fn told(source: RunError) -> RunError {
    let RunError::Database(said) = source else { return source };
    let DatabaseMessage { sqlstate, message, .. } = *said;
    let message = if OF_THE_STATEMENT.contains(&sqlstate.as_str()) {
        message
    } else {
        let what = match sqlstate.as_str() {
            "22012" => "division by zero",
            "22P02" | "22007" | "22018" | "22023" => {
                "a value cannot be read as the type or argument that is asked for"
            }
            "22003" | "22008" => "a value is out of range",
            "21000" => "a subquery gave more than one row",
            _ => "the database could not run the statement",
        };
        format!(
            "{what}; policies hide some of what it reads, so the database's own words are not told"
        )
    };
    RunError::Database(Box::new(DatabaseMessage {
        sqlstate,
        message,
        detail: None,
        hint: None,
        position: None,
    }))
}

/// Whether the statement was made of a question, and nobody has saved it for others to run. It may hold values that were looked
/// up as whoever asked.
fn is_made_of_question(record: &QueryRecord) -> bool {
    record.question.is_some() && !record.saved && record.run_of.is_none()
}

/// Whether something of the entry is not told to those whom policies bind, if they did not make it.
pub(crate) fn concerns(record: &QueryRecord) -> bool {
    record.error.is_some() || is_made_of_question(record)
}

/// What somebody whom policies bind is told of another's entry: the question in its asker's words, not what was made of it, and
/// of a failure not the database's words.
pub(crate) fn of_others(record: &mut QueryRecord) {
    if is_made_of_question(record) {
        record.sql = None;
        record.row_count = None;
        record.truncated = false;
        let notes = &mut record.notes;
        notes.explanation = None;
        notes.answer = None;
        notes.narrowed = None;
        notes.assumptions.clear();
        notes.taken_over.clear();
        notes.used.clear();
        if let Some(model) = &mut notes.model {
            model.reason = None;
        }
    }
    let of_question = is_made_of_question(record);
    let Some(error) = &mut record.error else { return };
    let detail = |name: &str| error.details.as_ref().and_then(|it| it[name].as_str());
    let (state, reason) =
        (detail("sqlstate").map(str::to_owned), detail("reason").map(str::to_owned));
    if let Some(state) = state {
        "the database could not run the statement".clone_into(&mut error.message);
        error.details = Some(json!({ "sqlstate": state }));
    } else if of_question {
        "the question was not answered; policies bind you, so it is not told what its readings were"
            .clone_into(&mut error.message);
        error.details = reason.map(|it| json!({ "reason": it }));
    }
}

/// Rows of a statement that reads what policies hide something of.
pub(crate) struct Discreet(pub(crate) Box<dyn Rows>);

#[async_trait]
impl Rows for Discreet {
    fn columns(&self) -> &[ResultColumn] {
        self.0.columns()
    }

    async fn next(&mut self) -> Result<Vec<RawRow>, RunError> {
        self.0.next().await.map_err(told)
    }

    fn cut_off(&self) -> Option<CutOff> {
        self.0.cut_off()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(sqlstate: &str, message: &str) -> RunError {
        RunError::Database(Box::new(DatabaseMessage {
            sqlstate: sqlstate.to_owned(),
            message: message.to_owned(),
            detail: Some("secret".to_owned()),
            hint: Some("secret".to_owned()),
            position: Some(7),
        }))
    }

    #[test]
    fn values_are_not_quoted_and_names_are() {
        for (state, message) in [
            ("22P02", "invalid input syntax for type integer: \"secret\""),
            ("42601", "syntax error in tsquery: \"secret\""),
            ("XX000", "secret"),
        ] {
            let told = format!("{:?}", told(database(state, message)));
            assert!(!told.contains("secret") && told.contains(state), "{told}");
        }
        let told = format!("{:?}", told(database("42703", "column \"totl\" does not exist")));
        assert!(told.contains("totl") && !told.contains("secret"), "{told}");
    }
}
