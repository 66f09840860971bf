use serde_json::json;

use super::*;

const CONNECTION: &str = "conn_0198c0de7a3b7cc19a553f2a8d1e6b70";

fn faults(value: &Value) -> Vec<String> {
    match Definition::parse(value) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.into_iter().map(|it| it.pointer).collect(),
    }
}

#[test]
fn a_whole_definition_is_read() {
    let value = json!({
        "trigger": { "type": "schedule", "cron": "0 9 * * 1-5", "overlap": "queue" },
        "steps": [
            { "name": "late", "type": "sql", "connection_id": CONNECTION,
              "sql": "SELECT id, email FROM orders WHERE due < now()" },
            { "name": "more", "type": "sql", "connection_id": CONNECTION,
              "sql": "SELECT * FROM customers WHERE id = {{ steps.late.id }}", "row_limit": 5 },
        ],
        "conditions": { "type": "all", "of": [
            { "type": "has_rows", "step": "late" },
            { "type": "change", "step": "late", "by": "percent", "is": ">", "value": 10 },
        ] },
        "actions": [
            { "name": "tell", "type": "email", "to_column": { "step": "late", "column": "email" },
              "subject": "Late", "body": "{{ results_table }}", "csv": { "step": "late" } },
            { "name": "post", "type": "http", "url": "https://hooks.example.com/x",
              "json": { "text": "{{ row_count }} late" }, "continue_on_error": true },
        ],
        "limits": { "timeout_seconds": 60, "concurrency": 1 },
    });
    let definition = Definition::parse(&value).expect("good");
    assert_eq!(definition.conditions.as_ref().expect("there").looks_back(), 1);
    assert_eq!(definition.names().collect::<Vec<_>>(), ["late", "more", "tell", "post"]);
    assert_eq!(definition.limits.concurrency, 1);
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let value = json!({
        "trigger": { "type": "schedule", "cron": "61 * * * *" },
        "steps": [
            { "name": "Late", "type": "sql", "connection_id": "x", "sql": "SELECT '{{ webhook.a }}'" },
            { "name": "late", "type": "question", "connection_id": CONNECTION, "question": "how many?", "colour": 1 },
            { "name": "late", "type": "guess" },
        ],
        "conditions": { "type": "value", "step": "early", "column": "a", "is": "~", "value": "b" },
        "actions": [
            { "name": "tell", "type": "email", "to": ["nobody"], "subject": "{{ nothing }}", "body": "b" },
            { "name": "tell", "type": "http", "url": "ftp://x", "headers": { "Host": "a" },
              "json": { "a": ["{{ steps.no.a }}"] }, "text": "b" },
        ],
        "limits": { "attempts": 0 },
        "extra": true,
    });
    assert_eq!(
        faults(&value),
        [
            "/trigger/cron",
            "/steps/0/name",
            "/steps/0/connection_id",
            "/steps/0/sql",
            "/steps/1/colour",
            "/steps/2/name",
            "/steps/2/type",
            "/conditions/step",
            "/conditions/is",
            "/conditions/value",
            "/actions/0/to/0",
            "/actions/0/subject",
            "/actions/1/name",
            "/actions/1/url",
            "/actions/1/headers/Host",
            "/actions/1/json/a/0",
            "/actions/1/text",
            "/limits/attempts",
            "/extra",
        ]
    );
}

#[test]
fn what_is_missing_is_said() {
    assert_eq!(faults(&json!({})), ["/trigger", "/steps"]);
    assert_eq!(
        faults(&json!([])),
        [""; 1].map(str::to_owned).into_iter().chain(["/steps".to_owned()]).collect::<Vec<_>>()
    );
    let value = json!({ "trigger": { "type": "schedule" }, "steps": [] });
    assert_eq!(faults(&value), ["/trigger", "/steps"]);
}

fn asking(sql: &str, value: &Value) -> Value {
    json!({
        "trigger": { "type": "manual" },
        "steps": [{ "name": "a", "type": "sql", "connection_id": CONNECTION, "sql": sql }],
        "conditions": { "type": "value", "column": "a", "is": "=", "value": value },
    })
}

#[test]
fn a_number_that_may_have_been_rounded_is_refused_and_read_where_it_is_stored() {
    let rounded = asking("SELECT 1 AS a", &json!(1.234_567_890_123_456_7e19));
    assert_eq!(faults(&rounded), ["/conditions/value"]);
    let stored = Published {
        number: 1,
        definition: rounded,
        meant: None,
        by: plinth_core::UserId::from_uuid(uuid::Uuid::nil()),
        at: jiff::Timestamp::UNIX_EPOCH,
        concurrency: 1,
    };
    assert!(Definition::of(&stored).is_ok());
    let mut sent = asking("SELECT 1 AS a", &json!(1));
    sent["actions"] = json!([{ "name": "post", "type": "http", "url": "https://example.com/",
        "json": { "a/b": [1, { "c": 1.234_567_890_123_456_7e19 }], "d": 9_007_199_254_740_993_u64 } }]);
    assert_eq!(faults(&sent), ["/actions/0/json/a~1b/1/c"]);
    let text = asking("SELECT 1 AS a", &json!("12345678901234567890.12"));
    assert_eq!(faults(&text), [""; 0]);
}

#[test]
fn only_a_real_nul_is_refused() {
    assert_eq!(faults(&asking(r"SELECT E'\u0000', '{}\u0000'", &json!(1))), [""; 0]);
    assert_eq!(faults(&asking("SELECT '\0'", &json!(1))), [""]);
    let mut key = asking("SELECT 1", &json!(1));
    key["steps"][0]["x\0"] = json!(1);
    assert_eq!(faults(&key), [""]);
}
