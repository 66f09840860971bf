//! What is told of a failure to those who do not see what was read: the words of a database, or of what stands between, may
//! quote it. Stored is one text, so it is told apart by what failed, and by how the text begins; what is not known to be
//! our own is not told.

use crate::definition::{ActionKind, Definition};

/// How texts about statements begin that are our own, and repeat nothing that was read.
const OWN: [&str; 24] = [
    // Why it was not asked.
    "the workflow's owner may ",
    "the query is another than when it was published",
    "the question is about the schema",
    "the server could not ",
    "too many statements are running on this ",
    "the database could not be reached: ",
    "there is no value for `",
    "says a name that has no value",
    "nothing is written to databases here",
    // What came back.
    "there are more than ",
    "the result is larger than ",
    "a row of the result is larger than ",
    "what it found cannot be stored",
    "what came of it cannot be stored",
    // How it ended.
    "the statement ran longer than ",
    "the statement took longer than ",
    "the statement was cancelled",
    "the statement would have changed ",
    "the connection was cut while the database committed",
    "a try of it was cut off",
    "the run's time was over",
    // Who did not let it.
    "what it would do now is not what was approved",
    "nobody with the role `",
    "it was declined",
];

/// How texts about a whole run begin that look as if they named a step.
const OF_RUNS: [&str; 2] = ["workflow_disabled: ", "a try: what came of it cannot be stored"];

/// Why a statement was not run, without what was read.
pub(crate) fn of_statement(error: &str) -> String {
    if OWN.iter().any(|it| error.starts_with(it)) {
        return error.to_owned();
    }
    let what = if error.starts_with("the database ") {
        "the database could not run the statement"
    } else {
        "it could not be run"
    };
    format!("{what}; its owner sees why")
}

/// Why the step or action at that place failed, without what was read. Where it is not known what that is, it counts as a
/// statement.
pub(crate) fn of_place(definition: Option<&Definition>, position: i32, error: &str) -> String {
    let kind = definition.and_then(|it| {
        let at = usize::try_from(position).ok()?.checked_sub(it.steps.len())?;
        it.actions.get(at).map(|it| &it.kind)
    });
    match kind {
        Some(ActionKind::Email(_) | ActionKind::Http(_) | ActionKind::Slack(_)) => error.to_owned(),
        Some(ActionKind::Write(_)) | None => of_statement(error),
    }
}

/// Why a run failed, without what was read.
pub(crate) fn of_run(definition: Option<&Definition>, error: &str) -> String {
    if OF_RUNS.iter().any(|it| error.starts_with(it)) {
        return error.to_owned();
    }
    // No name holds a colon. What is not about a step holds none either.
    let Some((name, why)) = error.split_once(": ") else { return error.to_owned() };
    let place = definition.and_then(|it| it.names().position(|it| it == name));
    let place = place.and_then(|it| i32::try_from(it).ok());
    match place {
        Some(position) => format!("{name}: {}", of_place(definition, position, why)),
        None => of_statement(error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use plinth_connections::writes::WriteFailure;
    use plinth_queries::{DatabaseMessage, QueryError, RunError};
    use serde_json::json;

    use super::*;

    const CONN: &str = "conn_018f3a2b4c5d7e6f8091a2b3c4d5e6f7";
    const WCONN: &str = "wconn_018f3a2b4c5d7e6f8091a2b3c4d5e6f7";

    fn definition() -> Definition {
        Definition::parse(&json!({
            "trigger": { "type": "manual" },
            "steps": [{ "name": "q", "type": "sql", "connection_id": CONN, "sql": "SELECT 1" }],
            "actions": [
                { "name": "post", "type": "http", "url": "https://example.com/" },
                { "name": "put", "type": "write", "write_connection_id": WCONN, "sql": "DELETE FROM x" },
            ],
        }))
        .expect("good")
    }

    fn said_by_a_step(words: &str) -> String {
        let message = DatabaseMessage {
            sqlstate: "22P02".to_owned(),
            message: words.to_owned(),
            detail: None,
            hint: None,
            position: None,
        };
        let source = RunError::Database(Box::new(message));
        QueryError::Run { sql: String::new(), source }.to_string()
    }

    fn said_by_a_write(words: &str) -> String {
        let (sqlstate, message) = ("22P02".to_owned(), words.to_owned());
        WriteFailure::Refused { sqlstate, message, is_temporary: false }.to_string()
    }

    #[test]
    fn the_databases_words_are_not_told_however_they_begin() {
        let definition = definition();
        let known = Some(&definition);
        for words in OWN.iter().chain(&OF_RUNS).map(|it| format!("{it}secret")) {
            for (said, name, position) in
                [(said_by_a_step(&words), "q", 0), (said_by_a_write(&words), "put", 2)]
            {
                let sentence = "the database could not run the statement; its owner sees why";
                assert_eq!(of_statement(&said), sentence);
                assert_eq!(of_place(known, position, &said), sentence);
                let of = format!("{name}: {said}");
                assert_eq!(of_run(known, &of), format!("{name}: {sentence}"));
                assert!(!of_run(None, &of).contains("secret"), "no definition");
                assert!(!of_run(known, &said).contains("secret"), "no name");
            }
        }
        let value = QueryError::Value { place: 0, rule: "secret".to_owned() }.to_string();
        assert!(!of_run(known, &format!("q: {value}")).contains("secret"));
        assert!(!of_run(known, "q: which secret do you mean?").contains("secret"));
    }

    #[test]
    fn what_is_our_own_is_told() {
        let definition = definition();
        let known = Some(&definition);
        let late = RunError::TimedOut(Duration::from_secs(1));
        for own in [
            "it took longer than 900 s",
            "the workflow's owner is no member of the organization any more",
            "workflow_disabled: its workflow was disabled or paused before it began",
            "post: the receiver answered with 500",
            "post: the redirect is: no URL",
            "put: it was declined: not today",
            "q: there are more than 1000 rows; select fewer, or raise the step's `row_limit`",
            &format!("q: {late}"),
            &format!("q: {}", RunError::Busy),
            &format!("put: {}", WriteFailure::Unknown),
            &format!("put: {}", WriteFailure::TimedOut(Duration::from_secs(1))),
        ] {
            assert_eq!(of_run(known, own), own);
        }
        assert_eq!(
            of_place(known, 1, "the receiver answered with 500"),
            "the receiver answered with 500"
        );
        assert_ne!(
            of_place(None, 1, "the receiver answered with 500"),
            "the receiver answered with 500"
        );
    }
}
