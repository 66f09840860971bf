//! Who takes a workflow or an alert over sees, and hears of, what is found as them from then on, and not what was found as another.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::app::{Person, TestApp};
use crate::workflows::{body, detail, make, run, shop};

/// From editors all orders of up to 20 are hidden: of two they see one.
async fn large_ones(owner: &Person, connection: &str) {
    let policy = json!({ "name": "Large ones", "table": "public.orders", "roles": ["editor"], "rows": "total > 20" });
    let made = owner.post(&format!("/v1/connections/{connection}/policies"), policy).await;
    assert_eq!(made.status, 201, "{}", made.text);
}

fn asking(connection: &str, sql: &str) -> Value {
    json!([{ "name": "all", "type": "sql", "connection_id": connection, "sql": sql }])
}

async fn publish(person: &Person, workflow: &str) {
    let published = person.post(&format!("/v1/workflows/{workflow}/publish"), json!({})).await;
    assert_eq!(published.status, 200, "{}", published.text);
}

#[actix_web::test]
async fn who_publishes_sees_no_result_of_a_run_that_acted_as_another() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    large_ones(&ann, &connection).await;
    let mail = json!([{ "name": "tell", "type": "email", "to": ["ops@example.com"],
                        "subject": "All", "body": "{{ steps.all.email }}" }]);
    let steps = asking(&connection, "SELECT email FROM orders ORDER BY id");
    let more = json!({ "steps": steps, "actions": mail });
    let workflow = make(&ann, body("Hers", &connection, &more)).await;
    let path = format!("/v1/workflows/{workflow}");
    let old = run(&app, &ann, &workflow).await;
    assert_eq!(old["steps"][0]["result"]["rows"].as_array().map(Vec::len), Some(2), "{old}");

    // One that fails in the database's words, which quote what was read, and one that waits when Eve publishes and fails then.
    let quoting = "SELECT email::integer AS n FROM orders ORDER BY id";
    let changed = ann.patch(&path, json!({ "steps": asking(&connection, quoting) })).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let told = run(&app, &ann, &workflow).await;
    assert!(told["error"].as_str().unwrap().contains("cy@example.com"), "{told}");
    app.behind_its_back("UPDATE workflows SET failures = 0").await;
    let late = ann.post(&format!("{path}/run"), json!({})).await.body["data"]["id"].clone();
    let (eve, _) = app.member(&ann, "eve@example.com", "editor").await;
    let steps = json!({ "steps": asking(&connection, "SELECT email FROM orders ORDER BY id") });
    let changed = eve.patch(&path, steps).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    app.services.worker.drain().await.unwrap();
    let own = run(&app, &eve, &workflow).await;

    let runs = [&old["id"], &told["id"], &late].map(|it| it.as_str().unwrap());
    for id in runs {
        let seen = detail(&eve, &workflow, id).await;
        assert_eq!(seen["steps"][0]["result"], Value::Null, "{seen}");
        assert!(!seen.to_string().contains("cy@example.com"), "{seen}");
        assert!(detail(&ann, &workflow, id).await.to_string().contains("cy@example.com"));
    }
    let sent = detail(&eve, &workflow, runs[0]).await["steps"][1]["attempts"][0].clone();
    assert_eq!(sent["status"], "succeeded", "what came of it is told: {sent}");
    assert!(!sent.to_string().contains("cy@example.com"), "{sent}");
    let listed = eve.get(&format!("{path}/runs")).await;
    assert!(!listed.text.contains("cy@example.com"), "{}", listed.text);
    assert!(ann.get(&format!("{path}/runs")).await.text.contains("cy@example.com"));
    assert_eq!(own["steps"][0]["result"]["rows"].as_array().map(Vec::len), Some(1), "{own}");

    // Of what failed after she took it over she hears, and not in those words.
    let letters = app.letters().await;
    let failed = letters.iter().filter(|it| it["letter"]["kind"] == "workflow_failed");
    let failed: Vec<_> = failed.map(|it| (&it["to"]["address"], &it["letter"]["error"])).collect();
    let to = |who: &str| failed.iter().find(|it| it.0 == who).unwrap().1.as_str().unwrap();
    assert!(to("owner@example.example.com").contains("cy@example.com"), "{failed:?}");
    assert!(!to("eve@example.com").contains("cy@example.com"), "{failed:?}");

    // Hers stay hers when Ann takes it back.
    publish(&ann, &workflow).await;
    let id = own["id"].as_str().unwrap();
    assert!(!detail(&eve, &workflow, id).await["steps"][0]["result"].is_null());
}

#[actix_web::test]
async fn conditions_compare_with_what_was_found_as_the_same_person() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    large_ones(&ann, &connection).await;
    let counted = |sql: &str| {
        json!({ "steps": asking(&connection, sql), "publish": false,
                "conditions": { "type": "change", "column": "n", "is": ">", "value": 0 } })
    };
    let mut hers = counted("SELECT count(*) AS n FROM orders");
    hers["publish"] = true.into();
    let workflow = make(&ann, body("Hers", &connection, &hers)).await;
    let path = format!("/v1/workflows/{workflow}");
    let judged = async |person: &Person| {
        app.clock.advance(SignedDuration::from_secs(1));
        let done = run(&app, person, &workflow).await;
        assert_eq!(done["status"], "succeeded", "{done}");
        done["conditions"].clone()
    };
    let previewed = async |person: &Person| {
        app.clock.advance(SignedDuration::from_secs(1));
        let shown = person.post(&format!("{path}/preview"), json!({})).await;
        assert_eq!(shown.status, 200, "{}", shown.text);
        shown.body["data"]["conditions"].clone()
    };
    assert_eq!(judged(&ann).await, "unknown");

    // Whatever she guesses of what Ann's runs found.
    let (eve, _) = app.member(&ann, "eve@example.com", "editor").await;
    for guess in ["SELECT 1000000 AS n", "SELECT 1 AS n"] {
        let changed = eve.patch(&path, counted(guess)).await;
        assert_eq!(changed.status, 200, "{}", changed.text);
        assert_eq!(previewed(&eve).await, "unknown");
    }
    assert_eq!(previewed(&ann).await, "not_met", "from two to one");

    // Nor does she by publishing; her own it is compared with, and Ann's with Ann's.
    publish(&eve, &workflow).await;
    assert_eq!(judged(&eve).await, "unknown");
    assert_eq!(judged(&eve).await, "not_met");
    assert_eq!(previewed(&eve).await, "not_met");
    let changed = ann.patch(&path, counted("SELECT 3 AS n")).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    publish(&ann, &workflow).await;
    assert_eq!(judged(&ann).await, "met", "from two to three, whatever Eve's found since");
}

#[actix_web::test]
async fn who_takes_an_alert_over_sees_nothing_of_what_it_found_before() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let saved = json!({ "name": "Saved", "connection_id": connection, "sql": "SELECT count(*) AS n FROM orders" });
    let saved = ann.post("/v1/queries/save", saved).await;
    assert_eq!(saved.status, 201, "{}", saved.text);
    large_ones(&ann, &connection).await;
    let alert = json!({ "name": "Many", "query_id": saved.body["data"]["query_id"],
        "condition": { "type": "change", "column": "n", "is": ">=", "value": 0 }, "schedule": { "every": "5_minutes" } });
    let made = ann.post("/v1/alerts", alert).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let path = format!("/v1/alerts/{}", made.body["data"]["id"].as_str().unwrap());
    let seen = async |person: &Person| {
        let all = person.get(&format!("{path}/evaluations")).await;
        let all = all.body["data"].as_array().unwrap().clone();
        all.iter().map(|it| json!([it["first_row"]["n"], it["condition"]])).collect::<Vec<_>>()
    };
    let evaluate = async || {
        app.clock.advance(SignedDuration::from_secs(1));
        assert_eq!(ann.post(&format!("{path}/evaluate"), json!({})).await.status, 202);
        assert_eq!(app.services.alert_worker.drain().await.unwrap(), 1);
    };
    evaluate().await;
    evaluate().await;
    assert_eq!(seen(&ann).await, [json!([2, "met"]), json!([2, "unknown"])]);
    let (eve, _) = app.member(&ann, "eve@example.com", "editor").await;
    let taken = eve.patch(&path, json!({ "notify": { "emails": ["ops@example.com"] } })).await;
    assert_eq!(taken.status, 200, "{}", taken.text);
    evaluate().await;
    evaluate().await;
    let hidden = [json!([null, "met"]), json!([null, "unknown"])];
    let own = [json!([1, "met"]), json!([1, "unknown"])];
    assert_eq!(seen(&eve).await, [own.clone(), hidden].concat());
    let all = seen(&ann).await;
    assert_eq!(all, [own, [json!([2, "met"]), json!([2, "unknown"])]].concat());

    // Of which nobody knows whose they were, those are for who sees everything.
    app.behind_its_back("UPDATE alert_evaluations SET owner_id = NULL").await;
    assert!(seen(&eve).await.iter().all(|it| it[0].is_null()));
    assert_eq!(seen(&ann).await, all);
}
