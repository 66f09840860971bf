use jiff::SignedDuration;
use plinth_workflows::hook::sign;
use serde_json::{Value, json};

use crate::app::{Person, TestApp};
use crate::workflows::{Receiver, body, make, run, shop};

async fn subscribe(person: &Person, url: &str, types: Value) -> String {
    let body = json!({ "url": url, "types": types });
    let made = person.post("/v1/event-subscriptions", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.body["data"]["id"].as_str().unwrap().to_owned()
}

/// A header of a request that came.
fn header<'a>(request: &'a str, name: &str) -> &'a str {
    let line = request.lines().find_map(|it| it.strip_prefix(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("there is no {name} in {request}"))
}

fn sent(request: &str) -> Value {
    serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// Whether one of the request's signatures is made with that secret.
fn is_signed_with(request: &str, secret: &Value) -> bool {
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    let at: i64 = header(request, "webhook-timestamp").parse().unwrap();
    let at = jiff::Timestamp::from_second(at).unwrap();
    let secret = secret.as_str().unwrap().to_owned().into();
    let expected = sign(&secret, header(request, "webhook-id"), at, body.as_bytes()).unwrap();
    header(request, "webhook-signature").split(' ').any(|it| it == expected)
}

#[actix_web::test]
async fn what_happens_is_sent_signed_to_whoever_subscribed() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let receiver = Receiver::answering(&["503 Busy", "204 Fine"]).await;
    let id = subscribe(&ann, &receiver.url, json!(["member.added", "workflow.run.failed"])).await;
    let path = format!("/v1/event-subscriptions/{id}");
    let bob = app.owner_of("Other").await;
    app.member(&bob, "di@example.com", "viewer").await;
    assert_eq!(app.services.event_worker.drain().await.unwrap(), 0, "another organization's");

    app.member(&ann, "eve@example.com", "editor").await;
    assert_eq!(app.services.event_worker.drain().await.unwrap(), 1);
    let waits = ann.get(&format!("{path}/deliveries")).await.body["data"][0].clone();
    assert_eq!(
        (&waits["status"], &waits["attempt_count"]),
        (&json!("waiting"), &json!(1)),
        "{waits}"
    );
    app.clock.advance(SignedDuration::from_secs(11));
    assert_eq!(app.services.event_worker.drain().await.unwrap(), 1);
    let got = receiver.got();
    assert_eq!(sent(&got[0]), sent(&got[1]));
    assert_eq!(header(&got[0], "webhook-id"), header(&got[1], "webhook-id"));
    let event = sent(&got[1]);
    assert_eq!(event["type"], "member.added");
    assert_eq!(
        (&event["data"]["email"], &event["data"]["role"]),
        (&json!("eve@example.com"), &json!("editor"))
    );
    let secret = ann.get(&format!("{path}/secret")).await.body["data"]["secret"].clone();
    assert!(got.iter().all(|it| is_signed_with(it, &secret)));

    let delivery = waits["id"].as_str().unwrap();
    let detail = ann.get(&format!("{path}/deliveries/{delivery}")).await.body["data"].clone();
    assert_eq!(detail["status"], "delivered", "{detail}");
    let codes: Vec<_> =
        detail["attempts"].as_array().unwrap().iter().map(|it| &it["status_code"]).collect();
    assert_eq!(codes, [&json!(503), &json!(204)]);
    assert_eq!(detail["payload"], event);

    // A new secret signs beside the one before for a day; what is sent again is the same event.
    assert_eq!(ann.post(&format!("{path}/secret/rotate"), json!({})).await.status, 204);
    let newer = ann.get(&format!("{path}/secret")).await.body["data"]["secret"].clone();
    assert_ne!(newer, secret);
    let again = ann.post(&format!("{path}/deliveries/{delivery}/redeliver"), json!({})).await;
    assert_eq!(
        (again.status, &again.body["data"]["event_id"]),
        (202, &waits["event_id"]),
        "{}",
        again.text
    );
    app.services.event_worker.drain().await.unwrap();
    let got = receiver.got();
    assert_eq!(header(&got[2], "webhook-id"), header(&got[0], "webhook-id"));
    assert!(is_signed_with(&got[2], &secret) && is_signed_with(&got[2], &newer));
    app.clock.advance(SignedDuration::from_hours(25));
    assert_eq!(ann.post(&format!("{path}/ping"), json!({})).await.status, 202);
    app.services.event_worker.drain().await.unwrap();
    let got = receiver.got();
    assert_eq!(sent(&got[3])["type"], "ping");
    assert!(!is_signed_with(&got[3], &secret) && is_signed_with(&got[3], &newer));

    // A workflow that fails; what succeeds was not asked for.
    let connection = ann.connect("shop", &target).await;
    let broken = json!({ "steps": [{ "name": "late", "type": "sql", "connection_id": connection, "sql": "SELECT 1 / 0" }] });
    let workflow = make(&ann, body("Broken", &connection, &broken)).await;
    let failed = run(&app, &ann, &workflow).await;
    assert_eq!(failed["status"], "failed", "{failed}");
    app.services.event_worker.drain().await.unwrap();
    let event = sent(&receiver.got()[4]);
    assert_eq!(
        (&event["type"], &event["data"]["run_id"]),
        (&json!("workflow.run.failed"), &failed["id"])
    );

    assert_eq!(bob.get(&path).await.status, 404);
    assert_eq!(bob.get(&format!("{path}/deliveries/{delivery}")).await.status, 404);
    let (eve, _) = app.sign_in("eve@example.com").await;
    assert_eq!(eve.get(&path).await.status, 403);

    // Another subscription of the same organization; what is none of its deliveries is not found by it.
    let other = subscribe(&ann, &receiver.url, json!(["member.removed", "workflow.paused"])).await;
    let other = format!("/v1/event-subscriptions/{other}");
    assert_eq!(ann.get(&format!("{other}/deliveries/{delivery}")).await.status, 404);
    let members = ann.get("/v1/team/members").await.body["data"].clone();
    let member = members.as_array().unwrap().iter().find(|it| it["email"] == "eve@example.com");
    let member = member.unwrap()["id"].as_str().unwrap();
    assert_eq!(ann.delete(&format!("/v1/team/members/{member}")).await.status, 204);
    for _ in 1..10 {
        run(&app, &ann, &workflow).await;
    }
    let sent = ann.get(&format!("{other}/deliveries")).await.body["data"].clone();
    let mut types: Vec<_> =
        sent.as_array().unwrap().iter().map(|it| it["type"].as_str().unwrap()).collect();
    types.sort_unstable();
    assert_eq!(types, ["member.removed", "workflow.paused"]);
}

#[actix_web::test]
async fn queries_alerts_and_schemas_are_told_of_without_what_they_hold() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let receiver = Receiver::answering(&["200 OK"]).await;
    let types = json!([
        "query.completed",
        "schema.changed",
        "alert.triggered",
        "alert.resolved",
        "workflow.run.succeeded"
    ]);
    subscribe(&ann, &receiver.url, types).await;
    let connection = ann.connect("shop", &target).await;
    let asked = ann.sql(&connection, "SELECT id, email FROM orders ORDER BY id").await;
    assert_eq!(asked.status, 200, "{}", asked.text);
    let query = asked.body["data"]["query_id"].as_str().unwrap().to_owned();
    let alert = json!({ "name": "Any", "query_id": query, "condition": { "type": "has_rows" },
        "schedule": { "every": "hour" } });
    assert_eq!(ann.post("/v1/alerts", alert).await.status, 201);
    app.services.alert_worker.drain().await.unwrap();
    let (client, link) =
        tokio_postgres::connect(&target.url(), tokio_postgres::NoTls).await.unwrap();
    actix_web::rt::spawn(link);
    client
        .batch_execute("CREATE TABLE returns (id int PRIMARY KEY); DELETE FROM orders")
        .await
        .unwrap();
    let read = ann.post(&format!("/v1/connections/{connection}/schema/refresh"), json!({})).await;
    assert!(read.status < 300, "{}", read.text);
    app.clock.advance(SignedDuration::from_hours(2));
    app.services.alert_worker.drain().await.unwrap();
    app.services.queries.flush_history().await.unwrap();
    app.services.event_worker.drain().await.unwrap();
    let got: Vec<_> = receiver.got().iter().map(|it| sent(it)).collect();
    let of = |kind: &str| got.iter().filter(|it| it["type"] == kind).collect::<Vec<_>>();
    assert_eq!(of("query.completed").len(), 3, "{got:?}");
    assert!(
        of("query.completed")
            .iter()
            .any(|it| it["data"]["query_id"] == query.as_str() && it["data"]["row_count"] == 2)
    );
    assert_eq!((of("alert.triggered").len(), of("alert.resolved").len()), (1, 1), "{got:?}");
    assert_eq!(of("schema.changed").len(), 1, "{got:?}");
    assert!(!format!("{got:?}").contains("cy@example.com"), "what a database holds stays there");
}

#[actix_web::test]
async fn a_receiver_that_wants_no_more_gets_no_more() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Example").await;
    let receiver = Receiver::answering(&["410 Gone"]).await;
    let id = subscribe(&ann, &receiver.url, json!(["member.removed"])).await;
    let path = format!("/v1/event-subscriptions/{id}");
    assert_eq!(ann.post(&format!("{path}/ping"), json!({})).await.status, 202);
    app.services.event_worker.drain().await.unwrap();
    let ended = ann.get(&path).await.body["data"].clone();
    assert_eq!(ended["enabled"], false);
    assert!(ended["disabled_reason"].as_str().unwrap().contains("410"), "{ended}");
    let letters = app.letters().await;
    let told = letters.iter().find(|it| it["letter"]["kind"] == "subscription_ended").unwrap();
    assert_eq!((&told["to"], &told["letter"]["subscription"]), (&json!("managers"), &json!(id)));
    let trail = ann.get("/v1/audit?action=event_subscription.ended").await;
    assert_eq!(trail.body["data"][0]["target_id"], json!(id), "{}", trail.text);
    assert_eq!(ann.post(&format!("{path}/ping"), json!({})).await.status, 409);
    let enabled = ann.patch(&path, json!({ "enabled": true })).await;
    assert_eq!(enabled.body["data"]["disabled_reason"], Value::Null, "{}", enabled.text);

    for wrong in [
        json!({ "url": "ftp://events.example.com", "types": ["member.added"] }),
        json!({ "url": "https://events.example.com", "types": [] }),
        json!({ "url": "https://events.example.com", "types": ["ping"] }),
    ] {
        assert_eq!(ann.post("/v1/event-subscriptions", wrong).await.status, 422);
    }
    // Where an address leads is judged when it is sent: the server's own is refused, and stands in the log.
    let own = subscribe(&ann, &format!("{}/v1/hooks", app.url), json!(["member.added"])).await;
    let own = format!("/v1/event-subscriptions/{own}");
    let ping = ann.post(&format!("{own}/ping"), json!({})).await.body["data"]["id"].clone();
    app.services.event_worker.drain().await.unwrap();
    let detail = ann.get(&format!("{own}/deliveries/{}", ping.as_str().unwrap())).await;
    assert_eq!(detail.body["data"]["attempts"][0]["status_code"], Value::Null, "{}", detail.text);
    assert!(detail.body["data"]["attempts"][0]["error"].is_string(), "{}", detail.text);
}

#[actix_web::test]
async fn a_receiver_that_is_back_gets_at_once_what_waited_for_it() {
    const BUSY: &str = "503 Busy";
    let app = TestApp::start().await;
    let ann = app.owner_of("Example").await;
    let receiver = Receiver::answering(&[BUSY, BUSY, BUSY, BUSY, BUSY, BUSY, "204 Fine"]).await;
    let id = subscribe(&ann, &receiver.url, json!(["member.removed"])).await;
    let path = format!("/v1/event-subscriptions/{id}");
    assert_eq!(ann.post(&format!("{path}/ping"), json!({})).await.status, 202);
    for pause in [0, 11, 21, 41, 81, 161] {
        app.clock.advance(SignedDuration::from_secs(pause));
        assert_eq!(app.services.event_worker.drain().await.unwrap(), 1);
    }
    assert_eq!(app.services.event_worker.drain().await.unwrap(), 0, "it waits five minutes");
    assert_eq!(ann.post(&format!("{path}/ping"), json!({})).await.status, 202);
    assert_eq!(app.services.event_worker.drain().await.unwrap(), 2);
    let all = ann.get(&format!("{path}/deliveries")).await.body["data"].clone();
    assert!(all.as_array().unwrap().iter().all(|it| it["status"] == "delivered"), "{all}");
}

#[actix_web::test]
async fn a_receiver_that_takes_nothing_for_three_days_gets_no_more() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Example").await;
    let receiver = Receiver::answering(&["503 Busy"]).await;
    let id = subscribe(&ann, &receiver.url, json!(["member.removed"])).await;
    let path = format!("/v1/event-subscriptions/{id}");
    assert_eq!(ann.post(&format!("{path}/ping"), json!({})).await.status, 202);
    for number in 1..=15 {
        let stands = ann.get(&path).await.body["data"].clone();
        assert_eq!(stands["enabled"], true, "before try {number}: {stands}");
        assert_eq!(app.services.event_worker.drain().await.unwrap(), 1);
        app.clock.advance(SignedDuration::from_hours(7));
    }
    let ended = ann.get(&path).await.body["data"].clone();
    assert_eq!(ended["enabled"], false);
    assert!(ended["disabled_reason"].as_str().unwrap().contains("three days"), "{ended}");
    let letters = app.letters().await;
    let told = letters.iter().filter(|it| it["letter"]["kind"] == "subscription_ended");
    assert_eq!(told.count(), 1);
    // Enabled again, it has its time again.
    assert_eq!(ann.patch(&path, json!({ "enabled": true })).await.status, 200);
    assert_eq!(ann.post(&format!("{path}/ping"), json!({})).await.status, 202);
    assert_eq!(app.services.event_worker.drain().await.unwrap(), 1);
    assert_eq!(ann.get(&path).await.body["data"]["enabled"], true);
}

/// Whatever waits is sent or given up, and says why; and never so much waits that a receiver that is back has it for hours.
#[actix_web::test]
async fn what_waits_too_long_or_behind_too_many_is_given_up_and_not_forgotten() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Example").await;
    let receiver = Receiver::answering(&["204 Fine"]).await;
    let id = subscribe(&ann, &receiver.url, json!(["member.removed"])).await;
    let path = format!("/v1/event-subscriptions/{id}");
    let put = async |count: u32, age: &str, taken: bool| {
        let now = app.now();
        app.behind_its_back(&format!(
            "INSERT INTO event_deliveries
                 (id, org_id, subscription_id, event_id, kind, body, state, due_at, taken, tries, created_at)
             SELECT gen_random_uuid(), org_id, id, gen_random_uuid(), 'ping', '{{}}', 'waiting',
                 '{now}'::timestamptz + interval '1 minute', {taken}, 1,
                 '{now}'::timestamptz - interval '{age}' - make_interval(secs => n)
             FROM event_subscriptions, generate_series(1, {count}) n"
        ))
        .await;
    };
    put(3, "31 hours", false).await;
    put(1, "31 hours", true).await;
    put(11_204, "1 minute", false).await;
    assert_eq!(app.services.event_worker.give_up().await.unwrap(), 3 + 1_204);
    assert_eq!(app.services.event_worker.give_up().await.unwrap(), 0);
    let reasons =
        "SELECT count(*) || ' ' || error FROM event_tries GROUP BY error ORDER BY count(*)";
    let expected = [
        "3 given up: it waited for 30 hours",
        "1204 given up: 10,000 newer events wait for this subscription",
    ];
    assert_eq!(app.rows(reasons).await, expected);
    let old = app.rows("SELECT delivery_id::text FROM event_tries WHERE error LIKE '%hours'").await;
    let old = format!("{path}/deliveries/dlv_{}", old[0].replace('-', ""));
    let given_up = ann.get(&old).await.body["data"].clone();
    assert_eq!(given_up["status"], "failed", "{given_up}");
    assert_eq!(given_up["attempts"][0]["error"], expected[0][2..], "{given_up}");

    app.clock.advance(SignedDuration::from_hours(24 * 32));
    assert_eq!(app.services.event_worker.sweep().await.unwrap(), 3 + 1_204);
    let left = "SELECT count(*)::text FROM event_deliveries WHERE state = 'waiting'";
    assert_eq!(app.rows(left).await, ["10001"]);
}

#[actix_web::test]
async fn the_document_publishes_every_type() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Example").await;
    let document = ann.get("/openapi.json").await;
    let webhooks = document.body["webhooks"].as_object().unwrap();
    let types = ann.get("/v1/event-types").await;
    let types = types.body["data"].as_array().unwrap();
    assert_eq!(webhooks.len(), types.len());
    for it in types {
        let content = &webhooks[it["type"].as_str().unwrap()]["post"]["requestBody"]["content"];
        assert_eq!(content["application/json"]["example"]["data"], it["example"]);
    }
}
