//! The whole way over HTTP: question, model, guard, planner, repair.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use plinth_connections::AllowedTables;
use plinth_nl2sql::{
    AskContext, Engine, SchemaIndex,
    model::{
        DryRun, DryRunError, Meter, ModelError, ModelFailure, ModelPrivacy, ModelQuestion,
        ModelReading, ModelSettings, ModelStrategy, Problem, Taught, Tried, Withheld,
    },
};
use plinth_schema_introspect::Catalog;
use plinth_sql_guard::Guard;
use serde_json::{Value, json};

use crate::server::{Line, Server};

fn catalog() -> Catalog {
    let column = |name: &str, type_name: &str, class: &str| {
        json!({
            "name": name, "type_name": type_name, "type_oid": 0, "class": class, "nullable": false,
            "default": null, "generated": false, "comment": null, "readable": true, "enum_values": [],
            "samples": null, "distinct": null,
        })
    };
    let tickets = json!({
        "oid": 1, "schema": "public", "name": "tickets", "kind": "table", "comment": null, "readable": true,
        "columns": [column("id", "bigint", "integer"), column("priority", "text", "text")],
        "keys": [{ "name": "tickets_pkey", "columns": [0], "primary": true }],
        "foreign_keys": [], "indexes": [], "estimated_rows": 10.0, "partition_of": null, "inherits": [],
        "definition": null, "row_security": false,
    });
    let catalog = json!({
        "server_version_num": 150_018, "database": "desk", "role": "reader", "search_path": ["public"],
        "schemas": [{ "name": "public", "comment": null, "usable": true }], "relations": [tickets],
        "types": [], "functions": [], "operators": [], "casts": [],
    });
    serde_json::from_value(catalog).expect("a catalog")
}

/// Refuses what it is told to, then accepts.
struct Planner(Mutex<VecDeque<DryRunError>>);

#[async_trait]
impl DryRun for Planner {
    async fn plan(&self, _: &str) -> Result<(), DryRunError> {
        self.0.lock().expect("not poisoned").pop_front().map_or(Ok(()), Err)
    }

    async fn try_run(&self, _: &str) -> Result<Option<Tried>, DryRunError> {
        Ok(None)
    }
}

fn no_such_column() -> DryRunError {
    DryRunError::Database {
        sqlstate: "42703".to_owned(),
        message: "column \"urgency\" does not exist".to_owned(),
        hint: None,
        position: Some(8),
    }
}

async fn ask(
    server: &Server,
    refusals: impl IntoIterator<Item = DryRunError>,
) -> Result<ModelReading, ModelFailure> {
    let (catalog, allowed) = (catalog(), AllowedTables::All);
    let model = server.client(Duration::from_secs(20));
    let strategy = ModelStrategy::new(Arc::new(model), ModelSettings::default());
    strategy
        .ask(&ModelQuestion {
            question: "How many tickets are there for each priority?",
            engine: &Engine::new(),
            index: &SchemaIndex::build(&catalog, &allowed),
            catalog: &catalog,
            guard: &Guard::new(&catalog, &allowed),
            context: &AskContext { now: "2026-11-20T15:00:00+00:00[UTC]".parse().expect("valid") },
            dry_run: &Planner(Mutex::new(refusals.into_iter().collect())),
            privacy: ModelPrivacy::SchemaOnly,
            withheld: &Withheld::default(),
            taught: &Taught::default(),
            meter: &Meter::default(),
        })
        .await
}

const GOOD: &str = r#"{"sql": "SELECT priority, count(*) FROM tickets GROUP BY priority", "explanation": "Counts tickets by priority.", "assumptions": [], "cannot_answer": null}"#;
const INVENTED: &str = r#"{"sql": "SELECT urgency, count(*) FROM tickets GROUP BY urgency"}"#;

#[tokio::test]
async fn a_good_answer_plain_or_in_a_fence() {
    for text in [GOOD.to_owned(), format!("Of course!\n```json\n{GOOD}\n```")] {
        let server = Server::saying([Line::says(&text)]).await;
        let reading = ask(&server, []).await.expect("an answer");
        assert_eq!(reading.sql, "SELECT priority, count(*) FROM tickets GROUP BY priority");
        assert_eq!((reading.repairs, reading.usage.prompt_tokens), (0, 120));
    }
}

#[tokio::test]
async fn an_invented_column_comes_back_repaired() {
    let server = Server::saying([Line::says(INVENTED), Line::says(GOOD)]).await;
    let reading = ask(&server, [no_such_column()]).await.expect("an answer");
    assert_eq!((reading.repairs, reading.usage.calls), (1, 2));
    let second = &server.received()[1].body["messages"];
    let problem: Value =
        serde_json::from_str(second[3]["content"].as_str().expect("valid")).expect("valid");
    assert_eq!(problem["problem"]["message"], "column \"urgency\" does not exist");
}

#[tokio::test]
async fn a_statement_that_the_guard_refuses_comes_back_repaired() {
    let server =
        Server::saying([Line::says(r#"{"sql": "DROP TABLE tickets"}"#), Line::says(GOOD)]).await;
    assert_eq!(ask(&server, []).await.expect("an answer").repairs, 1);
}

#[tokio::test]
async fn bad_again_and_again_is_a_failure() {
    let server = Server::saying([Line::says(INVENTED)]).await;
    let failure = ask(&server, vec![no_such_column(); 9]).await.expect_err("no answer");
    assert!(matches!(failure, ModelFailure::Unusable { repairs: 2, .. }), "{failure:?}");
    assert_eq!(server.received().len(), 3);
}

#[tokio::test]
async fn a_refusal_text_or_broken_json_is_a_failure_and_no_sql() {
    for text in ["I'm sorry, but I can't assist with that.", r#"{"sql": "SELECT 1 FROM"#] {
        let server = Server::saying([Line::says(text)]).await;
        let failure = ask(&server, []).await.expect_err("no answer");
        assert!(
            matches!(failure, ModelFailure::Unusable { problem: Problem::Unreadable, .. }),
            "{failure:?}"
        );
    }
}

#[tokio::test]
async fn a_server_that_is_down_is_the_models_failure() {
    let server = Server::saying([Line::error(500, "", "server_error", "oops")]).await;
    let failure = ask(&server, []).await.expect_err("no answer");
    assert!(matches!(failure, ModelFailure::Model(ModelError::Unreachable(_))));
}
