use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::Canaries;
use crate::client::{Person, until};
use crate::plinth::LIMIT;

const PARTS: [(&str, &str); 2] = [
    ("a workflow's credential", "canary-of-a-credential-6614"),
    ("the URL of an incoming webhook", "canary-of-a-webhook-9925"),
];

/// A run whose calls carry credentials, to a receiver that repeats all that it is told; gives what was answered.
pub(crate) async fn plant(ann: &Person, connection: &str, canaries: &mut Canaries) -> String {
    for (what, value) in PARTS {
        canaries.add(what, value);
    }
    let origin = parrot().await;
    let [(_, credential), (_, hook)] = PARTS;
    let mut seen = String::new();
    for (name, kind, secret) in [
        ("crm", json!({ "type": "header", "header": "x-api-key" }), credential.to_owned()),
        ("login", json!({ "type": "basic", "username": "ann" }), credential.to_owned()),
        ("hook", json!({ "type": "url" }), format!("{origin}/services/T0/{hook}")),
    ] {
        let mut body = kind;
        body["name"] = name.into();
        body["origin"] = origin.as_str().into();
        body["secret"] = secret.into();
        let made = ann.post("/v1/credentials", body.clone()).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let again = ann.post("/v1/credentials", body).await;
        assert_eq!(again.status, 409, "{}", again.text);
        seen += &(made.text + &again.text);
    }
    let call = |name: &str| json!({ "name": name, "type": "http", "credential": name, "url": format!("{origin}/notes"), "json": { "n": 1 } });
    let body = json!({
        "name": "Noted", "trigger": { "type": "manual" },
        "steps": [{ "name": "one", "type": "sql", "connection_id": connection, "sql": "SELECT 1 AS one" }],
        "actions": [
            call("crm"), call("login"),
            { "name": "tell", "type": "slack", "credential": "hook", "text": "{{ row_count }}" },
        ],
    });
    let made = ann.post("/v1/workflows", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let path = format!("/v1/workflows/{}", made.body["data"]["id"].as_str().unwrap());
    let queued = ann.post(&format!("{path}/run"), json!({})).await;
    let run = format!("{path}/runs/{}", queued.body["data"]["id"].as_str().unwrap());
    until("it ends", LIMIT, async || ann.get(&run).await.body["data"]["ended_at"].is_string())
        .await;
    let done = ann.get(&run).await;
    assert_eq!(done.body["data"]["status"], "succeeded", "{}", done.text);
    assert_eq!(done.text.matches("[secret]").count(), 3, "what it repeats is kept: {}", done.text);
    seen + &made.text + &queued.text + &done.text + &ann.get("/v1/credentials").await.text
}

/// A receiver that answers with the request that it got.
async fn parrot() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    actix_web::rt::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut got = Vec::new();
            while !got.ends_with(b"\r\n\r\n") {
                got.push(stream.read_u8().await.unwrap());
            }
            let got = String::from_utf8(got).unwrap();
            let length = got.lines().find_map(|it| it.strip_prefix("content-length: "));
            let mut body = vec![0; length.map_or(0, |it| it.parse().unwrap())];
            stream.read_exact(&mut body).await.unwrap();
            let said = Value::from(got).to_string();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                said.len()
            );
            stream.write_all((head + &said).as_bytes()).await.unwrap();
        }
    });
    origin
}
