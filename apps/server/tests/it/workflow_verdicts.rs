//! What runs find of their conditions, and how long that holds.

use jiff::SignedDuration;
use plinth_testdb::TestDatabase;
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::workflows::{Receiver, body, detail, make, run, shop};

fn post_to(receiver: &Receiver) -> Value {
    json!([{ "name": "post", "type": "http", "url": receiver.url }])
}

/// Of how many orders there are, and whether they have become more since the run before.
fn when_more_come(name: &str, connection: &str, actions: &Value) -> Value {
    let more = json!({
        "steps": [{ "name": "all", "type": "sql", "connection_id": connection,
                    "sql": "SELECT count(*) AS n FROM orders" }],
        "conditions": { "type": "change", "column": "n", "is": ">", "value": 0 },
        "actions": actions,
    });
    body(name, connection, &more)
}

/// Adds an order.
async fn another_order(target: &TestDatabase) {
    let (client, connection) =
        tokio_postgres::connect(&target.superuser_url(), tokio_postgres::NoTls).await.unwrap();
    actix_web::rt::spawn(connection);
    let insert = "INSERT INTO orders SELECT max(id) + 1, 'x@example.com', 1 FROM orders";
    client.batch_execute(insert).await.unwrap();
}

/// How a run stands, and what came of its conditions.
fn stands(run: &Value) -> [&str; 2] {
    ["status", "conditions"].map(|it| run[it].as_str().unwrap_or("none"))
}

#[actix_web::test]
async fn what_a_run_found_of_its_conditions_holds_whatever_comes_later() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let receiver = Receiver::answering(&["503 Busy", "200 OK", "400 Wrong"]).await;
    let mail = json!({ "name": "tell", "type": "email", "to": ["ops@example.com"],
                       "subject": "More", "body": "{{ steps.all.n }}" });
    let actions = json!([mail, post_to(&receiver)[0]]);
    let workflow = make(&ann, when_more_come("Grows", &connection, &actions)).await;
    let next = async || {
        app.clock.advance(SignedDuration::from_secs(1));
        run(&app, &ann, &workflow).await
    };
    let again = async |run: &Value| detail(&ann, &workflow, run["id"].as_str().unwrap()).await;
    assert_eq!(stands(&next().await), ["succeeded", "unknown"], "there is none before");

    // One is put back in the middle of what it does, and goes on when a later one has found that nothing changed since.
    another_order(&target).await;
    let first = next().await;
    assert_eq!(stands(&first), ["queued", "met"], "the receiver was busy: {first}");
    let second = next().await;
    assert_eq!(stands(&second), ["succeeded", "not_met"], "{second}");
    app.clock.advance(SignedDuration::from_secs(10));
    app.services.worker.drain().await.unwrap();
    let first = again(&first).await;
    assert_eq!(stands(&first), ["succeeded", "met"], "{first}");
    assert_eq!((receiver.got().len(), app.mailer.sent_to("ops@example.com").len()), (2, 1));

    // One whose action failed got through its steps all the same, and is what the next is compared with.
    another_order(&target).await;
    let failed = next().await;
    assert_eq!(stands(&failed), ["failed", "met"], "{failed}");
    assert_eq!(stands(&next().await), ["succeeded", "not_met"]);
}

/// Those that a server took up which stored results before it judged them.
#[actix_web::test]
async fn what_was_not_judged_when_its_results_were_stored_is_judged_once_later() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let receiver = Receiver::answering(&["503 Busy", "503 Busy", "200 OK"]).await;
    let workflow = make(&ann, when_more_come("Grows", &connection, &post_to(&receiver))).await;
    let next = async || {
        app.clock.advance(SignedDuration::from_secs(1));
        run(&app, &ann, &workflow).await
    };
    next().await;
    another_order(&target).await;
    let first = next().await;
    assert_eq!(stands(&first), ["queued", "met"], "{first}");
    next().await;
    app.behind_its_back("UPDATE plinth.workflow_runs SET verdict = NULL WHERE state = 'queued'")
        .await;
    app.clock.advance(SignedDuration::from_secs(3));
    app.services.worker.drain().await.unwrap();
    let again = async || detail(&ann, &workflow, first["id"].as_str().unwrap()).await;
    assert_eq!(stands(&again().await), ["queued", "met"], "compared with what came before it");
    app.clock.advance(SignedDuration::from_secs(10));
    app.services.worker.drain().await.unwrap();
    assert_eq!(stands(&again().await), ["succeeded", "met"]);
    assert_eq!(receiver.got().len(), 3);
}

#[actix_web::test]
async fn a_condition_on_a_column_that_is_not_there_fails_the_run_and_says_so() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let more =
        json!({ "conditions": { "type": "value", "column": "totl", "is": ">", "value": 1 } });
    let workflow = make(&ann, body("Mistyped", &connection, &more)).await;
    let said =
        "a condition asks for the column `totl`, but there is `id`, `email`, `total`".to_owned();
    let preview = ann.post(&format!("/v1/workflows/{workflow}/preview"), json!({})).await;
    assert!(preview.text.contains(&said), "{}", preview.text);
    let failed = run(&app, &ann, &workflow).await;
    assert_eq!(stands(&failed), ["failed", "none"], "{failed}");
    assert_eq!(failed["error"], format!("late: {said}"), "{failed}");
    assert_eq!(failed["steps"][0]["attempts"].as_array().map(Vec::len), Some(1), "{failed}");
}
