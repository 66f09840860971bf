use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use jiff::SignedDuration;
use plinth_testdb::TestDatabase;
use serde_json::{Value, json};

use crate::app::{Answer, Person, TestApp, send};

/// A server that speaks chat completions and says what the test tells it to.
struct Scripted {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
}

#[derive(Default)]
struct Script {
    /// Statements to say in turn, the last one again and again; a number is a status.
    lines: Vec<String>,
    heads: Vec<String>,
    asked: Vec<Value>,
}

impl Scripted {
    fn saying(lines: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let lines = lines.iter().map(|it| (*it).to_owned()).collect();
        let script = Arc::new(Mutex::new(Script { lines, ..Script::default() }));
        let shared = script.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = shared.clone();
                std::thread::spawn(move || drop(answer(&stream.unwrap(), &shared)));
            }
        });
        Self { address, script }
    }

    fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    fn say(&self, lines: &[&str]) {
        let mut script = self.script.lock().unwrap();
        script.lines = lines.iter().map(|it| (*it).to_owned()).collect();
        script.asked.clear();
    }

    fn asked(&self) -> Vec<Value> {
        std::mem::take(&mut self.script.lock().unwrap().asked)
    }

    fn heads(&self) -> Vec<String> {
        self.script.lock().unwrap().heads.clone()
    }
}

fn answer(stream: &TcpStream, script: &Mutex<Script>) -> std::io::Result<()> {
    let (mut reader, mut out) = (BufReader::new(stream), stream);
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let line = {
        let mut script = script.lock().unwrap();
        script.heads.push(head);
        script.asked.push(serde_json::from_slice(&body).unwrap());
        let at = (script.asked.len() - 1).min(script.lines.len() - 1);
        script.lines[at].clone()
    };
    let (status, text) = if let Ok(status) = line.parse::<u16>() {
        (status, "{}".to_owned())
    } else {
        let said = json!({ "sql": line, "explanation": "As scripted." }).to_string();
        let (a, b) = said.split_at(7);
        let part = |text: &str| json!({ "choices": [{ "delta": { "content": text } }] });
        let end = json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] });
        let usage =
            json!({ "choices": [], "usage": { "prompt_tokens": 900, "completion_tokens": 100 } });
        let text = format!(
            "data: {}\n\ndata: {}\n\ndata: {end}\n\ndata: {usage}\n\ndata: [DONE]\n\n",
            part(a),
            part(b)
        );
        (200, text)
    };
    let length = text.len();
    write!(
        out,
        "HTTP/1.1 {status} Scripted\r\ncontent-type: text/event-stream\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}"
    )
}

const COUNT: &str = "SELECT count(*) FROM orders";

async fn shop() -> TestDatabase {
    TestDatabase::from_sql(
        "CREATE TYPE kind AS ENUM ('web', 'shop');
         CREATE TABLE orders (id int PRIMARY KEY, total numeric NOT NULL, kind kind NOT NULL, note text);
         INSERT INTO orders SELECT it, it * 10, 'web', 'canary-cell-' || it FROM generate_series(1, 7) it;
         GRANT SELECT ON orders TO PUBLIC;
         ANALYZE;",
    )
    .await
    .unwrap()
}

fn body(model: &Scripted) -> Value {
    json!({
        "name": "Ours", "provider": "openai", "base_url": model.url(), "model": "tiny-1",
        "api_key": "sk-canary-key", "input_price": 2.0, "output_price": 10.0,
    })
}

async fn added(owner: &Person, model: &Scripted) -> String {
    let made = owner.post("/v1/models", body(model)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert!(!made.text.contains("canary"), "{}", made.text);
    made.body["data"]["id"].as_str().unwrap().to_owned()
}

async fn asked(person: &Person, connection: &str, model: Option<&str>) -> Answer {
    let question = "How many orders are there?";
    let mut body = json!({ "connection_id": connection, "question": question });
    if let Some(model) = model {
        body["model"] = model.into();
    }
    person.post("/v1/queries", body).await
}

#[actix_web::test]
async fn an_organizations_own_model_reads_its_questions_with_its_own_key() {
    let (app, model, shop) = (TestApp::start().await, Scripted::saying(&[COUNT]), shop().await);
    let (ann, bob) = (app.owner_of("Ours").await, app.owner_of("Theirs").await);
    let id = added(&ann, &model).await;
    let connection = ann.connect("shop", &shop).await;

    let listed = ann.get("/v1/models").await;
    let all = listed.body["data"].as_array().unwrap();
    let ids: Vec<_> = all.iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["embedded", &id]);
    assert_eq!(all[0]["is_default"], true);

    let answer = asked(&ann, &connection, Some(&id)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let data = &answer.body["data"];
    assert_eq!(
        (data["engine"].as_str(), &data["results"]["rows"]),
        (Some("tiny-1"), &json!([[7]]))
    );
    assert_eq!(data["model"]["outcome"], "answered");
    assert_eq!(data["model"]["agreement"], "same");
    assert_eq!(
        data["model"]["candidates"], 1,
        "the engine read it the same way: one call is enough"
    );
    assert_eq!(data["model"]["prompt_tokens"], 900);
    assert!(model.heads()[0].to_lowercase().contains("authorization: bearer sk-canary-key"));
    let sent = model.asked()[0].to_string();
    assert!(!sent.contains("canary-cell"), "no value of any row: {sent}");

    // Nobody else's, in the list, by its id, or in a question.
    assert_eq!(bob.get("/v1/models").await.body["data"].as_array().unwrap().len(), 1);
    assert_eq!(bob.get(&format!("/v1/models/{id}")).await.status, 404);
    let theirs = bob.connect("shop", &shop).await;
    assert_eq!(asked(&bob, &theirs, Some(&id)).await.status, 404);
    assert!(model.asked().is_empty());

    // Without a wish the default answers, and that is the engine until somebody says otherwise.
    assert_eq!(asked(&ann, &connection, None).await.body["data"]["engine"], "embedded");
    let set = ann.patch("/v1/model-settings", json!({ "default_model": id })).await;
    assert_eq!(set.status, 200, "{}", set.text);
    assert_eq!(asked(&ann, &connection, None).await.body["data"]["engine"], "tiny-1");
    assert_eq!(asked(&ann, &connection, Some("embedded")).await.body["data"]["engine"], "embedded");

    // Switched off it is nobody's any more.
    let path = format!("/v1/models/{id}");
    assert_eq!(ann.patch(&path, json!({ "is_active": false })).await.status, 200);
    let quiet = asked(&ann, &connection, None).await;
    assert_eq!(quiet.body["data"]["engine"], "embedded");
    assert_eq!(quiet.body["data"]["model"]["outcome"], "inactive");
    assert_eq!(asked(&ann, &connection, Some(&id)).await.status, 422);

    assert_eq!(ann.delete(&path).await.status, 204);
    assert_eq!(asked(&ann, &connection, Some(&id)).await.status, 404);
    let settings = ann.get("/v1/model-settings").await;
    assert_eq!(settings.body["data"]["default_model"], Value::Null);
    // Still in the sums.
    assert_eq!(ann.get("/v1/usage").await.body["data"]["days"][0]["name"], "Ours");
}

#[actix_web::test]
async fn the_key_is_sealed_and_goes_only_where_it_was_given_for() {
    let (app, model) = (TestApp::start().await, Scripted::saying(&[COUNT]));
    let ann = app.owner_of("Ours").await;
    let id = added(&ann, &model).await;
    let path = format!("/v1/models/{id}");
    let thief = Scripted::saying(&[COUNT]);
    for change in [
        json!({ "base_url": thief.url() }),
        json!({ "provider": "anthropic" }),
        json!({ "ca_certificate": "-----BEGIN CERTIFICATE-----" }),
    ] {
        let refused = ann.patch(&path, change.clone()).await;
        assert_eq!(refused.status, 422, "{change} {}", refused.text);
        assert!(refused.body["error"]["details"]["api_key"].is_string(), "{}", refused.text);
    }
    let moved = ann.patch(&path, json!({ "base_url": thief.url(), "api_key": "sk-other" })).await;
    assert_eq!(moved.status, 200, "{}", moved.text);
    let tried = ann.post(&format!("{path}/test"), json!({})).await;
    assert_eq!(tried.body["data"]["success"], true, "{}", tried.text);
    assert!(thief.heads()[0].to_lowercase().contains("bearer sk-other"));
    assert!(!thief.heads()[0].contains("canary"));
    let cleared = ann.patch(&path, json!({ "base_url": model.url(), "api_key": null })).await;
    assert_eq!(cleared.body["data"]["has_api_key"], false, "{}", cleared.text);
    let rows = app.rows("SELECT models::text FROM models").await;
    assert!(!rows.concat().contains("sk-"), "{rows:?}");
    let trail = app.rows("SELECT details::text FROM audit_entries").await;
    assert!(
        !trail.concat().contains("sk-") && trail.concat().contains("key_replaced"),
        "{trail:?}"
    );
}

#[actix_web::test]
async fn what_cannot_be_a_model_is_refused_by_its_field() {
    let (app, model) = (TestApp::start().await, Scripted::saying(&[COUNT]));
    let ann = app.owner_of("Ours").await;
    added(&ann, &model).await;
    assert_eq!(ann.post("/v1/models", body(&model)).await.status, 409, "the name is taken");
    for (field, value) in [
        ("name", json!("")),
        ("provider", json!("clippy")),
        ("base_url", json!("ftp://example.com")),
        ("base_url", json!("https://sk@example.com")),
        ("model", json!("")),
        ("model", json!("a b")),
        ("api_key", json!("line\nbreak")),
        ("ca_certificate", json!("nonsense")),
        ("timeout_seconds", json!(0)),
        ("timeout_seconds", json!(301)),
        ("input_price", json!(-1)),
        ("output_price", json!(1e12)),
        ("colour", json!("red")),
    ] {
        let mut body = body(&model);
        body["name"] = "Another".into();
        body[field] = value.clone();
        let refused = ann.post("/v1/models", body).await;
        assert_eq!(refused.status, 422, "{field} {value} {}", refused.text);
        assert!(refused.body["error"]["details"][field].is_string(), "{field} {}", refused.text);
    }
    for (body, status) in [
        (json!({ "default_model": "clippy" }), 422),
        (json!({ "default_model": "installation" }), 422),
        (json!({ "default_model": "model_018f3a2b4c5d7e6f8091a2b3c4d5e6f7" }), 404),
        (json!({ "currency": "euro" }), 422),
        (json!({ "monthly_token_budget": -1 }), 422),
        (json!({ "monthly_cost_budget": -1 }), 422),
    ] {
        let refused = ann.patch("/v1/model-settings", body.clone()).await;
        assert_eq!(refused.status, status, "{body} {}", refused.text);
    }
    for month in ["2026", "2026-13", "2026-1", "x", "2026-01-01"] {
        assert_eq!(ann.get(&format!("/v1/usage?month={month}")).await.status, 422, "{month}");
    }
}

#[actix_web::test]
async fn the_gate_stands_before_a_typed_in_model() {
    let (app, shop) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ours").await;
    let connection = ann.connect("shop", &shop).await;
    // Plinth itself, a private network, and the service that hands out a machine's credentials.
    for (at, base_url) in
        [app.url.as_str(), "http://10.1.2.3/v1", "http://169.254.169.254/latest"].iter().enumerate()
    {
        let body = json!({ "name": format!("m{at}"), "provider": "openai", "base_url": base_url, "model": "x" });
        let made = ann.post("/v1/models", body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let id = made.body["data"]["id"].as_str().unwrap();
        let tried = ann.post(&format!("/v1/models/{id}/test"), json!({})).await;
        let error = &tried.body["data"]["error"];
        assert_eq!(error["fault"], "unreachable", "{}", tried.text);
        assert!(error["message"].as_str().unwrap().contains("the host"), "{}", tried.text);
        let answer = asked(&ann, &connection, Some(id)).await;
        assert_eq!(answer.body["data"]["engine"], "embedded", "{}", answer.text);
        assert_eq!(answer.body["data"]["model"]["outcome"], "failed");
    }
}

#[actix_web::test]
async fn a_spent_budget_leaves_questions_to_the_engine_and_refuses_whoever_names_a_model() {
    let (app, model, shop) = (TestApp::start().await, Scripted::saying(&[COUNT]), shop().await);
    let (ann, bob) = (app.owner_of("Ours").await, app.owner_of("Theirs").await);
    let (id, connection) = (added(&ann, &model).await, ann.connect("shop", &shop).await);
    let theirs = added(&bob, &model).await;
    let their_connection = bob.connect("shop", &shop).await;
    let settings = json!({ "default_model": id, "monthly_cost_budget": 0.005, "currency": "EUR" });
    assert_eq!(ann.patch("/v1/model-settings", settings).await.status, 200);
    // 900 tokens at 2 and 100 at 10 for a million are 0.0028.
    for _ in 0..2 {
        assert_eq!(asked(&ann, &connection, None).await.body["data"]["engine"], "tiny-1");
    }
    let used = ann.get("/v1/usage").await;
    let data = &used.body["data"];
    assert_eq!((data["tokens"].as_u64(), data["cost"].as_f64()), (Some(2000), Some(0.0056)));
    assert_eq!((data["is_spent"].as_bool(), data["month"].as_str()), (Some(true), Some("2026-03")));
    assert_eq!(data["days"][0]["calls"], 2);
    assert_eq!(data["days"][0]["day"], "2026-03-04");

    model.asked();
    let quiet = asked(&ann, &connection, None).await;
    assert_eq!(quiet.status, 200, "{}", quiet.text);
    assert_eq!(quiet.body["data"]["engine"], "embedded");
    assert_eq!(quiet.body["data"]["model"]["outcome"], "budget_exceeded");
    let refused = asked(&ann, &connection, Some(&id)).await;
    assert_eq!(refused.status, 402, "{}", refused.text);
    assert_eq!(refused.body["error"]["code"], "budget_exceeded");
    assert_eq!(refused.body["error"]["details"]["resets_on"], "2026-04-01");
    assert!(model.asked().is_empty(), "nothing is spent past the budget");
    // Another organization has a budget of its own.
    let other = asked(&bob, &their_connection, Some(&theirs)).await;
    assert_eq!(other.body["data"]["engine"], "tiny-1");
    assert_eq!(bob.get("/v1/usage").await.body["data"]["tokens"], 1000);

    // The next month begins anew, and the old one can still be looked at.
    app.clock.advance(SignedDuration::from_hours(24 * 30));
    assert_eq!(asked(&ann, &connection, Some(&id)).await.status, 200);
    assert_eq!(ann.get("/v1/usage").await.body["data"]["tokens"], 1000);
    assert_eq!(ann.get("/v1/usage?month=2026-03").await.body["data"]["tokens"], 2000);
    // No budget, no limit.
    let lifted = json!({ "monthly_cost_budget": null, "monthly_token_budget": 0 });
    assert_eq!(ann.patch("/v1/model-settings", lifted).await.status, 200);
    assert_eq!(asked(&ann, &connection, Some(&id)).await.status, 402);
}

#[actix_web::test]
async fn where_both_differ_results_decide_and_what_fails_is_repaired() {
    let (app, shop) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ours").await;
    let connection = ann.connect("shop", &shop).await;
    // Another way to the engine's rows: one call, and what they find is the same.
    let model = Scripted::saying(&["SELECT sum(1) FROM orders"]);
    let id = added(&ann, &model).await;
    let answer = asked(&ann, &connection, Some(&id)).await;
    assert_eq!(answer.body["data"]["model"]["agreement"], "same_result", "{}", answer.text);
    assert_eq!(model.asked().len(), 1);
    // Of one mind with itself after a first slip: two against one, with the engine's voice.
    model.say(&[
        "SELECT max(id) + 5 FROM orders",
        "SELECT count(id) FROM orders",
        "SELECT sum(1) FROM orders",
    ]);
    let answer = asked(&ann, &connection, Some(&id)).await;
    let data = &answer.body["data"];
    assert_eq!(data["results"]["rows"], json!([[7]]), "{}", answer.text);
    assert_eq!(data["model"]["candidates"], 3);
    assert_eq!(model.asked().len(), 3);
    // A fault that shows only over rows goes back, without what stands in them.
    model.say(&["SELECT sum(note::int) FROM orders", COUNT]);
    let answer = asked(&ann, &connection, Some(&id)).await;
    assert_eq!(answer.body["data"]["model"]["repairs"], 1, "{}", answer.text);
    let sent = model.asked();
    assert!(sent[1].to_string().contains("22P02"), "{}", sent[1]);
    assert!(!sent[1].to_string().contains("canary-cell"), "{}", sent[1]);
    // Whoever lets results be seen lets the model read that too.
    let path = format!("/v1/connections/{connection}");
    let told = ann.patch(&path, json!({ "model_privacy": "results" })).await;
    assert_eq!(told.body["data"]["model_privacy"], "results", "{}", told.text);
    model.say(&["SELECT sum(note::int) FROM orders", COUNT]);
    asked(&ann, &connection, Some(&id)).await;
    assert!(model.asked()[1].to_string().contains("canary-cell"));
    assert_eq!(ann.patch(&path, json!({ "model_privacy": "everything" })).await.status, 422);
    // Harm is refused and mended, or left to the engine.
    model.say(&["DROP TABLE orders"]);
    let answer = asked(&ann, &connection, Some(&id)).await;
    assert_eq!(answer.body["data"]["engine"], "embedded", "{}", answer.text);
    assert_eq!(answer.body["data"]["model"]["outcome"], "failed");
    assert_eq!(model.asked().len(), 3, "two repairs at most");
    model.say(&["503"]);
    let answer = asked(&ann, &connection, Some(&id)).await;
    assert_eq!(answer.body["data"]["engine"], "embedded", "{}", answer.text);
}

#[actix_web::test]
async fn a_model_is_for_questions() {
    let (app, shop) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ours").await;
    let connection = ann.connect("shop", &shop).await;
    let body = json!({ "connection_id": connection, "sql": "SELECT 1", "model": "embedded" });
    assert_eq!(ann.post("/v1/queries", body).await.status, 422);
    assert_eq!(asked(&ann, &connection, Some("clippy")).await.status, 422);
    assert_eq!(asked(&ann, &connection, Some("installation")).await.status, 422);
    let made = send(ann.request("POST", "/v1/models").body("[]")).await;
    assert_eq!(made.status, 422);
}
