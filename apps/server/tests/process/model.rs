use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use nix::sys::signal::Signal;
use plinth_testdb::TestDatabase;
use serde_json::{Value, json};

use crate::client::{Person, shop};
use crate::plinth::{Running, Server, serve_on};

/// A language model that says what the test tells it to.
pub(crate) struct ScriptedModel {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Script {
    reply: Reply,
    asked: Vec<Value>,
    stopped: bool,
}

#[derive(Clone)]
pub(crate) enum Reply {
    /// This statement, in the form that is asked for.
    Sql(&'static str),
    /// Nothing but this status.
    Status(u16),
    /// Prose instead of what was asked for.
    Text(&'static str),
    /// The connection is cut in mid-answer.
    Cut,
}

impl ScriptedModel {
    pub(crate) fn start(reply: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(Script { reply, asked: Vec::new(), stopped: false }));
        let shared = script.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.lock().unwrap().stopped {
                    return;
                }
                // Who hangs up in the middle is the test's business, not ours.
                let _ = answer(&stream.unwrap(), &shared);
            }
        });
        Self { address, script, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(crate) fn say(&self, reply: Reply) {
        self.script.lock().unwrap().reply = reply;
    }

    /// What it was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<Value> {
        std::mem::take(&mut self.script.lock().unwrap().asked)
    }

    /// From now on nobody listens there.
    fn stop(&mut self) {
        self.script.lock().unwrap().stopped = true;
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for ScriptedModel {
    fn drop(&mut self) {
        self.stop();
    }
}

fn answer(stream: &TcpStream, script: &Mutex<Script>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut script = script.lock().unwrap();
    let mut asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    asked["head"] = head.into();
    script.asked.push(asked);
    let (status, text) = match script.reply {
        Reply::Sql(sql) => {
            let content = json!({ "sql": sql, "explanation": "As scripted.", "assumptions": [], "cannot_answer": null });
            (200, chat(&content.to_string()))
        }
        Reply::Text(text) => (200, chat(text)),
        Reply::Status(status) => (status, json!({ "error": { "message": "no" } }).to_string()),
        Reply::Cut => {
            let mut out = stream;
            return out.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"choices\"");
        }
    };
    let length = text.len();
    let mut out = stream;
    write!(
        out,
        "HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}"
    )
}

fn chat(content: &str) -> String {
    json!({
        "choices": [{ "message": { "role": "assistant", "content": content }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 100, "completion_tokens": 10 },
    })
    .to_string()
}

const MODEL: &str = "scripted-1";

/// A server with that model, its owner, and a connected shop.
struct Scene {
    server: Server,
    ann: Person,
    connection: String,
    target: TestDatabase,
    _database: TestDatabase,
}

async fn scene(model: &ScriptedModel) -> Scene {
    let database = TestDatabase::create().await.unwrap();
    let mut command = serve_on(&database.url());
    command.env("PLINTH_LLM_BASE_URL", model.url()).env("PLINTH_LLM_MODEL", MODEL);
    command.env("PLINTH_LLM_API_KEY", "sk-canary-of-the-model");
    let server = Running::start(&mut command).up().await;
    let ann = server.set_up().await;
    let target = shop().await;
    let connection = ann.connect(&target).await;
    Scene { server, ann, connection, target, _database: database }
}

#[actix_web::test]
async fn a_question_is_answered_with_the_models_sql() {
    let model = ScriptedModel::start(Reply::Sql(
        "SELECT count(*) AS n FROM customers WHERE country = 'France'",
    ));
    let scene = scene(&model).await;
    let answer = scene
        .ann
        .ask(&scene.connection, "How many of them live where the Eiffel tower stands?")
        .await;
    assert_eq!(answer.rows(), &json!([[5]]));
    let data = &answer.body["data"];
    assert_eq!((&data["engine"], &data["explanation"]), (&json!(MODEL), &json!("As scripted.")));
    assert_eq!(data["tables"], json!(["public.customers"]));
    let asked = model.asked();
    // The engine reads it otherwise, so two more statements are asked for; their results decide.
    assert_eq!(asked.len(), 3);
    assert_eq!(asked[0]["model"], MODEL);
    let head = asked[0]["head"].as_str().unwrap();
    assert!(head.starts_with("POST /v1/chat/completions "), "{head}");
    assert!(
        head.to_ascii_lowercase().contains("authorization: bearer sk-canary-of-the-model"),
        "{head}"
    );
    let messages = asked[0]["messages"].to_string();
    assert!(
        messages.contains("customers") && !messages.contains("Customer 1"),
        "names go out, rows do not"
    );
    assert!(!messages.contains(scene.target.password()));

    // One's own SQL is nobody else's business.
    assert_eq!(scene.ann.sql(&scene.connection, "SELECT 1").await.rows(), &json!([[1]]));
    assert_eq!(model.asked().len(), 0);
    let ended = scene.server.stop(Signal::SIGTERM).await;
    assert!(!ended.stdout.contains("sk-canary") && !ended.stderr.contains("sk-canary"));
}

#[actix_web::test]
async fn a_model_that_fails_or_proposes_harm_leaves_the_answer_to_the_embedded_engine() {
    let mut model = ScriptedModel::start(Reply::Sql("DROP TABLE customers"));
    let scene = scene(&model).await;
    let embedded = async |what: &str| {
        let answer = scene.ann.ask(&scene.connection, "How many customers are there?").await;
        assert_eq!(answer.rows(), &json!([[10]]), "{what}");
        assert_eq!(answer.body["data"]["engine"], "embedded", "{what}");
        assert!(!answer.text.contains("DROP"), "{what}: {}", answer.text);
    };
    embedded("a statement that drops").await;
    assert!((2..=3).contains(&model.asked().len()), "it had its chance to repair");
    for (what, reply) in [
        ("two statements", Reply::Sql("SELECT 1; DELETE FROM customers")),
        (
            "a change inside",
            Reply::Sql("WITH x AS (DELETE FROM customers RETURNING *) SELECT count(*) FROM x"),
        ),
        ("a table that is not there", Reply::Sql("SELECT * FROM clients")),
        ("a function that reads files", Reply::Sql("SELECT pg_read_file('/etc/passwd')")),
        ("prose", Reply::Text("I would rather not.")),
        ("unauthorized", Reply::Status(401)),
        ("overloaded", Reply::Status(503)),
        ("cut off", Reply::Cut),
    ] {
        model.say(reply);
        embedded(what).await;
        assert!(!model.asked().is_empty(), "{what}: the model was asked first");
    }
    model.stop();
    embedded("nobody listens").await;
    scene.server.stop(Signal::SIGTERM).await;
}
