//! Calls over real sockets, to a server that answers by a script.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plinth_adapter_neon::{NeonPlane, NeonSettings};
use plinth_control_plane::remote::{RemoteAnswer, RemoteCall, RemoteFault, RemotePlane as _};
use plinth_egress::{Gate, Network, Resolver};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

struct Nobody;

#[async_trait::async_trait]
impl Resolver for Nobody {
    async fn resolve(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

/// Answers each request with the next line of its script, and its last one with all further ones. A line that begins with
/// `cut` is sent as far as it goes before the connection ends; an empty one is no answer at all.
struct Scripted {
    url: String,
    got: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    async fn answering(script: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v2", listener.local_addr().unwrap());
        let got: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = got.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = Vec::new();
                loop {
                    let mut piece = [0; 4096];
                    let length = stream.read(&mut piece).await.unwrap();
                    bytes.extend_from_slice(&piece[..length]);
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let length = head.lines().find_map(|it| it.strip_prefix("content-length: "));
                    if body.len() >= length.map_or(0, |it| it.parse().unwrap()) {
                        kept.lock().unwrap().push(text);
                        break;
                    }
                }
                let at = kept.lock().unwrap().len() - 1;
                let line = script[at.min(script.len() - 1)];
                if line.is_empty() {
                    tokio::spawn(async move {
                        let _open = stream;
                        std::future::pending::<()>().await;
                    });
                    continue;
                }
                if let Some(half) = line.strip_prefix("cut") {
                    stream.write_all(half.as_bytes()).await.unwrap();
                    continue;
                }
                let (head, body) = line.split_once('|').unwrap_or((line, ""));
                let answer = format!(
                    "HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self { url, got }
    }

    fn got(&self) -> Vec<String> {
        self.got.lock().unwrap().clone()
    }
}

fn plane() -> NeonPlane {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let gate = Gate::new(Arc::new(Nobody), [Network::LOOPBACK_V4], []);
    NeonPlane::new(NeonSettings {
        time_limit: Duration::from_millis(500),
        patience: Duration::from_secs(3),
        first_pause: Duration::from_millis(5),
        max_body_bytes: 4096,
        ..NeonSettings::new(gate)
    })
    .unwrap()
}

fn call(method: &str, url: String, body: Option<Value>) -> RemoteCall {
    RemoteCall {
        method: method.to_owned(),
        url,
        query: None,
        body,
        key: "napi_canary".to_owned().into(),
        request_id: "req-1".to_owned(),
    }
}

async fn sent(server: &Scripted, method: &str) -> Result<RemoteAnswer, RemoteFault> {
    let body = (method != "GET").then(|| json!({ "branch": { "name": "dev" } }));
    plane().call(call(method, format!("{}/projects/p-1/branches", server.url), body)).await
}

#[tokio::test]
async fn a_call_carries_key_request_and_query_and_brings_the_answer() {
    let server = Scripted::answering(&[r#"201 Created|{"branch":{"id":"br-a"}}"#]).await;
    let mut post =
        call("POST", format!("{}/projects/p-1/branches", server.url), Some(json!({ "x": 1 })));
    post.query = Some("a=1&b=c%20d".to_owned());
    let answer = plane().call(post).await.unwrap();
    assert_eq!((answer.status, &answer.body["branch"]["id"]), (201, &json!("br-a")));
    let got = server.got();
    assert!(
        got[0].starts_with("POST /api/v2/projects/p-1/branches?a=1&b=c%20d HTTP/1.1\r\n"),
        "{}",
        got[0]
    );
    for line in [
        "authorization: Bearer napi_canary\r\n",
        "x-request-id: req-1\r\n",
        "x-plinth-passed: 1\r\n",
    ] {
        assert!(got[0].contains(line), "{line}: {}", got[0]);
    }
    assert!(got[0].ends_with(r#"{"x":1}"#));
}

#[tokio::test]
async fn a_busy_remote_is_asked_again_and_at_last_believed() {
    let busy = Scripted::answering(&[
        r#"423 Locked|{"code":"RUNNING_OPERATIONS","message":"busy"}"#,
        r"429 Too Many Requests",
        r#"200 OK|{"ok":true}"#,
    ])
    .await;
    assert_eq!(sent(&busy, "POST").await.unwrap().status, 200);
    assert_eq!(busy.got().len(), 3);
    let always = Scripted::answering(&[r#"423 Locked|{"message":"busy"}"#]).await;
    let answer = sent(&always, "POST").await.unwrap();
    assert_eq!((answer.status, &answer.body["message"]), (423, &json!("busy")));
    assert_eq!(always.got().len(), 4);
    let later = Scripted::answering(&["429 Too Many Requests\r\nretry-after: 60"]).await;
    let answer = sent(&later, "POST").await.unwrap();
    assert_eq!((answer.status, answer.retry_after_seconds), (429, Some(60)));
    assert_eq!(later.got().len(), 1, "nobody waits for a minute");
}

#[tokio::test]
async fn what_may_have_been_done_is_not_sent_twice() {
    for script in [
        &[""] as &'static [&'static str],
        &["cut"],
        &["cutHTTP/1.1 201 Created\r\ncontent-length: 50\r\n\r\n{\"branch\":"],
        &["200 OK|<html>a proxy</html>"],
    ] {
        let server = Scripted::answering(script).await;
        let fault = sent(&server, "POST").await.unwrap_err();
        assert!(matches!(fault, RemoteFault::Unknown(_)), "{script:?}: {fault:?}");
        assert!(!fault.to_string().contains("canary"));
        assert_eq!(server.got().len(), 1, "{script:?}");
    }
    // Whoever says 503 may stand in between, after the call went through.
    for (script, status) in [
        (&["502 Bad Gateway|<html>"] as &'static [&'static str], 502),
        (&["503 Service Unavailable\r\nretry-after: 0|{\"message\":\"later\"}"], 503),
        (&["500 Internal Server Error"], 500),
        (&["504 Gateway Timeout"], 504),
    ] {
        let broken = Scripted::answering(script).await;
        assert_eq!(sent(&broken, "POST").await.unwrap().status, status);
        assert_eq!(broken.got().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn what_only_reads_is_asked_for_again() {
    let server =
        Scripted::answering(&["cut", "503 Service Unavailable", r#"200 OK|{"branches":[]}"#]).await;
    assert_eq!(sent(&server, "GET").await.unwrap().body, json!({ "branches": [] }));
    assert_eq!(server.got().len(), 3);
}

#[tokio::test]
async fn where_nobody_is_nothing_was_done_and_where_nobody_may_go_nothing_is_sent() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/v2/projects", gone.local_addr().unwrap());
    drop(gone);
    let fault = plane().call(call("POST", url, None)).await.unwrap_err();
    assert!(matches!(fault, RemoteFault::Away(_)), "{fault:?}");
    let inside = "http://10.0.0.7/api/v2/projects".to_owned();
    let fault = plane().call(call("GET", inside, None)).await.unwrap_err();
    assert!(matches!(fault, RemoteFault::Forbidden(_)), "{fault:?}");
    let large = Scripted::answering(&[concat!("200 OK\r\nx: y|[\"", "\"]")]).await;
    assert_eq!(sent(&large, "GET").await.unwrap().body, json!([""]));
}

/// What Neon's documentation says and another Plinth does not do.
#[tokio::test]
async fn a_remote_that_asks_for_patience_gets_it() {
    let later = Scripted::answering(&[
        "429 Too Many Requests\r\nretry-after: 1|{\"code\":\"RATE_LIMIT_EXCEEDED\",\"message\":\"slow\"}",
        r#"200 OK|{"ok":true}"#,
    ])
    .await;
    let before = std::time::Instant::now();
    assert_eq!(sent(&later, "POST").await.unwrap().status, 200);
    assert!(before.elapsed() >= Duration::from_secs(1), "{:?}", before.elapsed());
    // A date is no number of seconds: the usual pause it is.
    let dated = Scripted::answering(&[
        "429 Too Many Requests\r\nretry-after: Wed, 21 Oct 2065 07:28:00 GMT",
        r#"200 OK|{"ok":true}"#,
    ])
    .await;
    assert_eq!(sent(&dated, "POST").await.unwrap().status, 200);
}

#[tokio::test]
async fn what_is_not_known_here_comes_as_it_is() {
    let server = Scripted::answering(&[
        r#"202 Accepted|{"branch":{"id":"br-a","current_state":"hibernating","new":{"deep":[1,null]}},"operations":[{"status":"queued"}]}"#,
    ])
    .await;
    let answer = sent(&server, "POST").await.unwrap();
    assert_eq!(answer.status, 202);
    assert_eq!(answer.body["branch"]["current_state"], "hibernating");
    assert_eq!(answer.body["branch"]["new"], json!({ "deep": [1, null] }));
    let empty = Scripted::answering(&["204 No Content"]).await;
    let answer = sent(&empty, "DELETE").await.unwrap();
    assert_eq!((answer.status, &answer.body), (204, &Value::Null));
    // In pieces, as a proxy passes long answers on.
    let pieces = Scripted::answering(&[
        "cutHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n5\r\n[1,2,\r\n2\r\n3]\r\n0\r\n\r\n",
    ])
    .await;
    assert_eq!(sent(&pieces, "GET").await.unwrap().body, json!([1, 2, 3]));
    let half = Scripted::answering(&[
        "cutHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n5\r\n[1,2,\r\n",
    ])
    .await;
    let fault = sent(&half, "POST").await.unwrap_err();
    assert!(matches!(fault, RemoteFault::Unknown(_)), "{fault:?}");
    assert_eq!(half.got().len(), 1);
}
