use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::app::{Person, TestApp, send};
use crate::workflows::{Receiver, body, detail, make, run, shop};

/// The receiver's scheme, host and port.
fn origin(receiver: &Receiver) -> String {
    receiver.url.split_once("/orders").unwrap().0.to_owned()
}

async fn keep(person: &Person, body: Value) -> String {
    let made = person.post("/v1/credentials", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert!(!made.text.contains("canary"), "it is never readable: {}", made.text);
    made.body["data"]["id"].as_str().unwrap().to_owned()
}

fn sent(request: &str) -> Value {
    serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[actix_web::test]
async fn a_message_goes_to_slack_with_its_token_table_and_thread() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let slack = Receiver::answering(&[
        r#"200 OK|{"ok":false,"error":"ratelimited"}"#,
        r#"200 OK|{"ok":true,"ts":"1772600767.000100"}"#,
        r#"200 OK|{"ok":false,"error":"channel_not_found"}"#,
    ])
    .await;
    let token = json!({ "name": "bot", "type": "bearer", "origin": origin(&slack), "secret": "xoxb-canary" });
    keep(&ann, token).await;
    let steps = json!([{ "name": "late", "type": "sql", "connection_id": connection,
        "sql": "SELECT id, '<!channel> & co' AS who, '1772.5' AS thread FROM orders ORDER BY id" }]);
    let more = json!({ "steps": steps, "actions": [{
        "name": "tell", "type": "slack", "credential": "bot", "channel": "#ops",
        "thread": "{{ steps.late.thread }}", "text": "*{{ row_count }}* late, first {{ steps.late.who }}",
        "table": { "step": "late" },
    }] });
    let workflow = make(&ann, body("Told", &connection, &more)).await;
    let preview = ann.post(&format!("/v1/workflows/{workflow}/preview"), json!({})).await;
    let shown = &preview.body["data"]["actions"][0]["result"];
    assert_eq!(shown["message"]["channel"], "#ops", "{}", preview.text);
    assert!(slack.got().is_empty(), "a preview sends nothing");

    let first = run(&app, &ann, &workflow).await;
    assert_eq!(first["status"], "queued", "Slack was busy, with a status of 200: {first}");
    app.clock.advance(SignedDuration::from_secs(10));
    app.services.worker.drain().await.unwrap();
    let done = detail(&ann, &workflow, first["id"].as_str().unwrap()).await;
    assert_eq!(done["status"], "succeeded", "{done}");
    assert!(!done.to_string().contains("canary"), "{done}");
    let got = slack.got();
    assert_eq!(got.len(), 2);
    assert!(got[1].starts_with("POST /api/chat.postMessage HTTP/1.1\r\n"), "{}", got[1]);
    assert!(got[1].contains("authorization: Bearer xoxb-canary\r\n"), "{}", got[1]);
    assert!(got[1].contains("content-type: application/json; charset=utf-8\r\n"));
    let message = sent(&got[1]);
    assert_eq!((&message["channel"], &message["thread_ts"]), (&json!("#ops"), &json!("1772.5")));
    let text = message["text"].as_str().unwrap();
    assert!(text.starts_with("*2* late, first &lt;!channel&gt; &amp; co\n```\nid  who"), "{text}");
    assert!(text.ends_with("```") && !text.contains("<!channel>"), "{text}");

    let refused = run(&app, &ann, &workflow).await;
    assert_eq!(refused["status"], "failed", "{refused}");
    assert!(refused["error"].as_str().unwrap().contains("channel_not_found"), "{refused}");
}

#[actix_web::test]
async fn an_incoming_webhook_is_a_secret_and_a_credential_goes_to_its_origin_only() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Example").await;
    let connection = ann.connect("shop", &target).await;
    let (hook, crm) =
        (Receiver::answering(&["200 OK"]).await, Receiver::answering(&["200 OK"]).await);
    let secret = format!("{}/services/T0/B0/canary", origin(&hook));
    let body_of_hook =
        json!({ "name": "hook", "type": "url", "origin": origin(&hook), "secret": secret });
    keep(&ann, body_of_hook).await;
    let key = json!({ "name": "crm", "type": "header", "header": "X-Api-Key", "origin": origin(&crm), "secret": "canary" });
    let id = keep(&ann, key).await;
    let more = json!({ "actions": [
        { "name": "tell", "type": "slack", "credential": "hook", "text": "{{ row_count }} late" },
        { "name": "note", "type": "http", "credential": "crm", "url": format!("{}/notes", origin(&crm)),
          "json": { "n": "{{ row_count }}" } },
    ] });
    let workflow = make(&ann, body("Noted", &connection, &more)).await;
    let done = run(&app, &ann, &workflow).await;
    assert_eq!(done["status"], "succeeded", "{done}");
    assert!(!done.to_string().contains("canary"), "{done}");
    assert!(hook.got()[0].starts_with("POST /services/T0/B0/canary HTTP/1.1"), "{:?}", hook.got());
    assert_eq!(sent(&hook.got()[0])["text"], "2 late");
    assert!(crm.got()[0].contains("x-api-key: canary\r\n"), "{:?}", crm.got());

    // What names a credential that does not fit is refused when it is saved, each with its place.
    let wrong = json!({ "actions": [
        { "name": "a", "type": "http", "credential": "crm", "url": format!("{}/notes", origin(&hook)) },
        { "name": "b", "type": "slack", "credential": "hook", "channel": "#ops", "text": "x" },
        { "name": "c", "type": "slack", "credential": "crm", "channel": "#ops", "text": "x" },
        { "name": "d", "type": "slack", "credential": "nobody", "channel": "#ops", "text": "x" },
    ] });
    let refused = ann.post("/v1/workflows", body("Wrong", &connection, &wrong)).await;
    let faults = refused.body["error"]["details"]["faults"].as_array().unwrap();
    let pointers: Vec<_> = faults.iter().map(|it| it["pointer"].as_str().unwrap()).collect();
    let expected: Vec<_> = (0..4).map(|at| format!("/actions/{at}/credential")).collect();
    assert_eq!(pointers, expected, "{}", refused.text);

    // A secret that is replaced counts from the next run on; one that is gone fails the action.
    let path = format!("/v1/credentials/{id}");
    assert_eq!(ann.patch(&path, json!({ "secret": "another" })).await.status, 200);
    run(&app, &ann, &workflow).await;
    assert!(crm.got()[1].contains("x-api-key: another\r\n"), "{:?}", crm.got());
    let bob = app.owner_of("Other").await;
    assert_eq!(bob.get(&path).await.status, 404);
    assert_eq!(bob.delete(&path).await.status, 404);
    let stale = send(ann.request("DELETE", &path).header("if-match", "\"0\"")).await;
    assert_eq!(stale.error(), (412, "precondition_failed"), "{}", stale.text);
    let shown = ann.get(&path).await;
    let read = shown.headers["etag"].to_str().unwrap();
    assert_eq!(send(ann.request("DELETE", &path).header("if-match", read)).await.status, 204);
    let gone = run(&app, &ann, &workflow).await;
    assert_eq!(gone["status"], "failed", "{gone}");
    assert_eq!(crm.got().len(), 2);

    for wrong in [
        json!({ "name": "x", "type": "bearer", "origin": "http://crm.example.com", "secret": "a" }),
        json!({ "name": "x", "type": "bearer", "origin": "https://crm.example.com/api", "secret": "a" }),
        json!({ "name": "X", "type": "bearer", "origin": "https://crm.example.com", "secret": "a" }),
        json!({ "name": "x", "type": "basic", "origin": "https://crm.example.com", "secret": "a" }),
        json!({ "name": "x", "type": "header", "header": "Host", "origin": "https://crm.example.com", "secret": "a" }),
        json!({ "name": "x", "type": "url", "origin": "https://crm.example.com", "secret": "https://evil.example/" }),
        json!({ "name": "x", "type": "bearer", "origin": "https://crm.example.com", "secret": "a\r\nb: c" }),
    ] {
        let refused = ann.post("/v1/credentials", wrong.clone()).await;
        assert_eq!(refused.status, 422, "{wrong}: {}", refused.text);
    }
    // Nothing of it lies anywhere in clear.
    let kept = app.rows("SELECT encode(secret, 'escape') FROM workflow_credentials").await;
    assert!(kept.iter().all(|it| !it.contains("canary")));
}
