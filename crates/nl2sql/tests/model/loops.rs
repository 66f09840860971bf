//! Proposing, judging, repairing, giving up.

use std::time::Duration;

use plinth_nl2sql::model::{
    Agreement, DryRunError, ModelError, ModelFailure, ModelPrivacy, Problem, Role, Usage,
};
use plinth_sql_guard::Rule;
use serde_json::{Value, json};

use crate::shop::{Stage, found, no_such_column};

const COUNT: &str = r#"{"sql": "SELECT count(*) FROM orders", "explanation": "Counts all orders.", "assumptions": [], "cannot_answer": null}"#;

#[tokio::test]
async fn a_good_answer_is_returned_as_the_guard_approved_it() {
    let stage = Stage::new([
        r#"{"sql": "/* hm */ SELECT sum(total) FROM orders WHERE status = 'open'; ", "explanation": "Adds up\nopen orders.", "assumptions": ["Open means not shipped."], "cannot_answer": null}"#,
    ]);
    let reading = stage.ask("what are open orders worth?").await.expect("an answer");
    assert_eq!(reading.sql, "SELECT sum(total) FROM orders WHERE status = 'open'");
    assert_eq!(reading.explanation, "Adds up open orders.");
    assert_eq!(reading.assumptions, ["Open means not shipped."]);
    assert_eq!(reading.tables, ["public.orders"]);
    assert_eq!((reading.model.as_str(), reading.repairs), ("scripted", 0));
    assert_eq!(reading.usage, Usage { calls: 1, prompt_tokens: 100, completion_tokens: 10 });
    assert_eq!(*stage.planner.planned.lock().expect("not poisoned"), [reading.sql]);
}

#[tokio::test]
async fn the_engines_agreement_raises_the_confidence_and_its_dissent_lowers_it() {
    let same = Stage::new([COUNT]).ask("How many orders are there?").await.expect("an answer");
    assert_eq!(same.agreement, Agreement::Same);
    let other = Stage::new([r#"{"sql": "SELECT count(*) FROM customers"}"#]);
    let other = other.ask("How many orders are there?").await.expect("an answer");
    assert_eq!(other.agreement, Agreement::Different);
    assert!(same.confidence > 0.85 && other.confidence < 0.7, "{same:?} {other:?}");
}

#[tokio::test]
async fn an_invented_column_is_repaired_with_the_databases_words() {
    let stage = Stage::new([
        r#"{"sql": "SELECT sum(amount) FROM orders", "explanation": "Adds up amounts."}"#,
        r#"{"sql": "SELECT sum(total) FROM orders", "explanation": "Adds up totals."}"#,
    ])
    .refusing([no_such_column("amount")]);
    let reading = stage.ask("what is the revenue of all orders?").await.expect("an answer");
    assert_eq!((reading.sql.as_str(), reading.repairs), ("SELECT sum(total) FROM orders", 1));
    assert_eq!(reading.usage.calls, 2);
    let messages = stage.request(1).messages;
    assert_eq!(messages[..2], stage.request(0).messages[..]);
    assert_eq!(messages[2].role, Role::Assistant);
    assert_eq!(messages[2].content, json!({ "sql": "SELECT sum(amount) FROM orders" }).to_string());
    let correction: Value = serde_json::from_str(&messages[3].content).expect("JSON");
    assert_eq!(correction["problem"]["sqlstate"], "42703");
    assert_eq!(correction["problem"]["position"], 12);
    assert!(correction["problem"]["hint"].as_str().is_some_and(|it| it.contains("orders.total")));
}

#[tokio::test]
async fn a_statement_that_the_guard_refuses_never_reaches_the_database_and_is_repaired() {
    let stage = Stage::new([r#"{"sql": "SELECT count(*) FROM ordres"}"#, COUNT]);
    let reading = stage.ask("How many orders are there?").await.expect("an answer");
    assert_eq!(reading.repairs, 1);
    assert_eq!(
        *stage.planner.planned.lock().expect("not poisoned"),
        ["SELECT count(*) FROM orders"]
    );
    let correction: Value =
        serde_json::from_str(&stage.request(1).messages[3].content).expect("valid");
    assert_eq!(correction["problem"]["rule"], "unknown_table");
    assert_eq!(correction["problem"]["similar_tables"], json!(["orders"]));
}

#[tokio::test]
async fn after_two_repairs_in_vain_it_gives_up_and_says_what_was_spent() {
    let bad = r#"{"sql": "SELECT sum(amount) FROM orders"}"#;
    let stage = Stage::new([bad; 3]).refusing(vec![no_such_column("amount"); 3]);
    let failure = stage.ask("what is the revenue?").await.expect_err("no answer");
    assert_eq!(stage.meter.total().calls, 3);
    let ModelFailure::Unusable { problem, repairs: 2 } = failure else { panic!("{failure:?}") };
    assert!(matches!(problem, Problem::Database { sqlstate, .. } if sqlstate == "42703"));
}

#[tokio::test]
async fn two_different_faults_share_the_two_repairs() {
    let stage = Stage::new([
        "Let me think about that.",
        r#"{"sql": "DELETE FROM orders"}"#,
        r#"{"sql": "SELECT * FROM hr.salaries"}"#,
    ]);
    let failure = stage.ask("How many orders are there?").await.expect_err("no answer");
    let ModelFailure::Unusable { problem: Problem::Rejected(rejection), .. } = failure else {
        panic!("{failure:?}")
    };
    assert_eq!(rejection.rule, Rule::TableNotAllowed);
    assert!(stage.planner.planned.lock().expect("not poisoned").is_empty());
}

#[tokio::test]
async fn a_refusal_in_prose_is_reminded_once_and_never_becomes_sql() {
    let refusal = "I'm sorry, but I cannot help with that. SELECT nothing FROM nowhere;";
    let stage = Stage::new([refusal, refusal]);
    let failure = stage.ask("How many orders are there?").await.expect_err("no answer");
    assert!(matches!(failure, ModelFailure::Unusable { problem: Problem::Unreadable, .. }));
    assert_eq!(stage.calls(), 2);
    assert!(stage.planner.planned.lock().expect("not poisoned").is_empty());
}

#[tokio::test]
async fn a_refusal_in_the_sql_field_is_not_run_either() {
    let refusal = r#"{"sql": "I cannot answer that question."}"#;
    let stage = Stage::new([refusal; 3]);
    let failure = stage.ask("How many orders are there?").await.expect_err("no answer");
    let ModelFailure::Unusable { problem: Problem::Rejected(rejection), .. } = failure else {
        panic!("{failure:?}")
    };
    assert!(matches!(rejection.rule, Rule::Syntax | Rule::NotASelect), "{rejection:?}");
    assert!(stage.planner.planned.lock().expect("not poisoned").is_empty());
}

#[tokio::test]
async fn a_model_that_declines_is_believed_at_once() {
    let stage = Stage::new([r#"{"sql": null, "cannot_answer": "There is no weather here."}"#]);
    let failure = stage.ask("will it rain?").await.expect_err("no answer");
    assert!(
        matches!(failure, ModelFailure::Declined { reason } if reason == "There is no weather here.")
    );
}

#[tokio::test]
async fn a_fault_of_the_model_or_the_database_ends_the_loop() {
    let stage = Stage::with([Err(ModelError::Timeout(Duration::from_secs(30)))]);
    let failure = stage.ask("How many orders are there?").await.expect_err("no answer");
    assert!(matches!(failure, ModelFailure::Model(ModelError::Timeout(_))));
    let stage = Stage::new([COUNT]).refusing([DryRunError::Unavailable("gone".to_owned())]);
    let failure = stage.ask("How many orders are there?").await.expect_err("no answer");
    assert!(matches!(failure, ModelFailure::DatabaseUnavailable { .. }));
    assert_eq!(stage.meter.total().calls, 1);
}

#[tokio::test]
async fn the_model_sees_schema_but_no_values_unless_it_may() {
    let mut stage = Stage::new([COUNT, COUNT]);
    stage.ask("how many orders do customers from Germany have?").await.expect("an answer");
    let data = stage.data();
    assert_eq!(data["question"], "how many orders do customers from Germany have?");
    assert_eq!(data["now"], "2026-11-20 15:00");
    assert_eq!(data["weekday"], "Friday");
    assert_eq!(data["time_zone"], "Europe/Berlin");
    let table = |data: &Value, name: &str| {
        let tables = data["schema"].as_array().expect("tables").clone();
        tables.into_iter().find(|it| it["table"] == name).expect("the table")
    };
    let orders = table(&data, "orders");
    assert_eq!(orders["comment"], "What customers bought.");
    assert_eq!(orders["primary_key"], json!(["id"]));
    assert_eq!(
        orders["foreign_keys"],
        json!([{ "columns": ["customer_id"], "schema": "public", "table": "customers", "target_columns": ["id"] }])
    );
    assert_eq!(orders["columns"][2]["labels"], json!(["open", "shipped"]));
    let schema = data["schema"].to_string();
    for hidden in ["Germany", "France", "salaries", "hr", "password_hash"] {
        assert!(!schema.contains(hidden), "{hidden}");
    }

    stage.privacy = ModelPrivacy::SampleValues;
    stage.ask("how many orders do customers from Germany have?").await.expect("an answer");
    let second: Value = serde_json::from_str(&stage.request(1).messages[1].content).expect("valid");
    assert!(table(&second, "customers")["columns"][2]["values"].to_string().contains("Germany"));
    assert!(!second["schema"].to_string().contains("password_hash"));
}

#[tokio::test]
async fn a_schema_that_is_too_large_is_cut_until_it_fits() {
    let mut stage = Stage::new([COUNT]);
    stage.settings.prompt_bytes = 4_000;
    for table in &mut stage.catalog.relations {
        std::sync::Arc::make_mut(table).comment = Some("x".repeat(10_000));
    }
    let wide = (0..500).map(|at| {
        let name = format!("extra_{at}");
        crate::shop::column(&name, "text", plinth_schema_introspect::TypeClass::Text)
    });
    std::sync::Arc::make_mut(&mut stage.catalog.relations[1]).columns.extend(wide);
    stage.ask("How many orders are there?").await.expect("an answer");
    let size: usize = stage.request(0).messages.iter().map(|it| it.content.len()).sum();
    assert!(size <= 4_000, "{size}");
    assert!(stage.data()["schema"].to_string().contains("\"orders\""));

    let stage = Stage::new([]);
    let failure = stage.ask(&"why ".repeat(100_000)).await.expect_err("no answer");
    assert!(matches!(failure, ModelFailure::Model(ModelError::TooLong)));
}

#[tokio::test]
async fn where_the_engine_reads_it_the_same_way_one_call_is_enough() {
    let mut stage = Stage::new([COUNT]);
    stage.settings.candidates = 3;
    let reading = stage.ask("How many orders are there?").await.expect("an answer");
    assert_eq!((reading.agreement, reading.candidates), (Agreement::Same, 1));
    // Another statement that finds the same rows is as good.
    let mut stage = Stage::new([r#"{"sql": "SELECT count(id) FROM orders"}"#]);
    stage.settings.candidates = 3;
    stage.planner.finds = vec![("count(", found("7"))];
    let reading = stage.ask("How many orders are there?").await.expect("an answer");
    assert_eq!((reading.agreement, reading.candidates), (Agreement::SameResult, 1));
    assert_eq!(stage.calls(), 1);
}

#[tokio::test]
async fn where_both_differ_more_are_asked_for_and_what_they_find_decides() {
    let lines = [
        r#"{"sql": "SELECT max(total) FROM orders"}"#,
        r#"{"sql": "SELECT sum(total) FROM orders"}"#,
        r#"{"sql": "SELECT sum(o.total) FROM orders AS o JOIN customers AS c ON c.id = o.customer_id"}"#,
    ];
    let mut stage = Stage::new(lines);
    stage.settings.candidates = 3;
    stage.planner.finds = vec![("max(", found("9")), ("sum(", found("42"))];
    let reading = stage.ask("what are orders worth altogether?").await.expect("an answer");
    assert_eq!(reading.sql, "SELECT sum(total) FROM orders");
    assert_eq!((reading.candidates, reading.repairs), (3, 0));
    assert_eq!(reading.usage.calls, 3);
    assert!(stage.request(0).temperature < f32::EPSILON && stage.request(1).temperature > 0.5);
    // The same conversation each time: nothing of one answer colours the next.
    assert_eq!(stage.request(0).messages, stage.request(2).messages);
}

#[tokio::test]
async fn further_answers_that_are_none_are_only_missing() {
    let lines = [
        Ok(r#"{"sql": "SELECT max(total) FROM orders"}"#.to_owned()),
        Err(ModelError::Refused),
        Ok(r#"{"sql": "DROP TABLE orders"}"#.to_owned()),
    ];
    let mut stage = Stage::with(lines);
    stage.settings.candidates = 3;
    let reading = stage.ask("what are orders worth altogether?").await.expect("an answer");
    assert_eq!((reading.sql.as_str(), reading.candidates), ("SELECT max(total) FROM orders", 1));
}

#[tokio::test]
async fn a_fault_over_rows_is_repaired_without_what_stands_in_them() {
    for (privacy, is_told) in [(ModelPrivacy::SampleValues, false), (ModelPrivacy::Results, true)] {
        let mut stage =
            Stage::new([r#"{"sql": "SELECT sum(status::text::int) FROM orders"}"#, COUNT]);
        stage.privacy = privacy;
        let error = DryRunError::Database {
            sqlstate: "22P02".to_owned(),
            message: "invalid input syntax for type integer: \"canary\"".to_owned(),
            hint: None,
            position: None,
        };
        stage.planner.finds = vec![("sum(", Err(error))];
        let reading = stage.ask("How many orders are there?").await.expect("an answer");
        assert_eq!(reading.repairs, 1);
        let told = &stage.request(1).messages[3].content;
        assert!(told.contains("22P02"));
        assert_eq!(told.contains("canary"), is_told, "{told}");
    }
}

#[tokio::test]
async fn what_the_organization_taught_goes_along_as_data() {
    let mut stage = Stage::new([COUNT]);
    stage.taught.terms =
        vec![("active customer".to_owned(), "ordered within 90 days".to_owned()); 30];
    stage.taught.examples =
        vec![("How many?".to_owned(), "SELECT count(*) FROM orders".to_owned())];
    stage.ask("How many orders are there?").await.expect("an answer");
    let data = stage.data();
    assert_eq!(data["glossary"].as_array().map(Vec::len), Some(20));
    assert_eq!(data["glossary"][0]["meaning"], "ordered within 90 days");
    assert_eq!(data["examples"][0]["sql"], "SELECT count(*) FROM orders");
}
