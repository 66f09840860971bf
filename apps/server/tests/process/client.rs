use std::net::SocketAddr;
use std::time::{Duration, Instant};

use plinth_testdb::TestDatabase;
use serde_json::{Value, json};

use crate::plinth::LIMIT;

/// Somebody who sends requests, with a key or without.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) key: Option<String>,
    listen: SocketAddr,
    client: reqwest::Client,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Person {
    pub(crate) fn new(listen: SocketAddr, key: Option<&str>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Shorter than the server keeps connections: a test that does something else meanwhile does not see one end.
        let client = reqwest::Client::builder()
            .timeout(LIMIT)
            .pool_idle_timeout(Duration::from_secs(1))
            .no_proxy()
            .build()
            .unwrap();
        Self { key: key.map(str::to_owned), listen, client }
    }

    /// The same person at another server.
    pub(crate) fn at(&self, listen: SocketAddr) -> Self {
        Self { listen, ..self.clone() }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let url = format!("http://{}{path}", self.listen);
        let request = self.client.request(method.parse().unwrap(), url);
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request("GET", path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        send(self.request("POST", path).json(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        send(self.request("DELETE", path)).await
    }

    /// Connects a database and gives the connection's id.
    pub(crate) async fn connect(&self, target: &TestDatabase) -> String {
        let answer = self.post("/v1/connections", connection("Shop", target)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.body["data"]["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn sql(&self, connection: &str, sql: &str) -> Answer {
        self.post("/v1/queries", json!({ "connection_id": connection, "sql": sql })).await
    }

    pub(crate) async fn ask(&self, connection: &str, question: &str) -> Answer {
        self.post("/v1/queries", json!({ "connection_id": connection, "question": question })).await
    }
}

pub(crate) async fn send(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer { status, body, text }
}

impl Answer {
    /// The rows of an answered query.
    pub(crate) fn rows(&self) -> &Value {
        assert_eq!(self.status, 200, "{}", self.text);
        &self.body["data"]["results"]["rows"]
    }
}

/// The body that connects a test database.
pub(crate) fn connection(name: &str, target: &TestDatabase) -> Value {
    json!({
        "type": "postgresql", "name": name, "host": target.host(), "port": target.port(),
        "database": target.name(), "username": target.user(), "password": target.password(),
        "ssl_mode": "disable",
    })
}

/// A small shop to ask about: ten customers.
pub(crate) async fn shop() -> TestDatabase {
    let script = "
        CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, country text NOT NULL);
        INSERT INTO customers
            SELECT i, 'Customer ' || i, (ARRAY['Germany', 'France'])[1 + i % 2] FROM generate_series(1, 10) i;
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO plinth_test_owner;
        ANALYZE;
    ";
    TestDatabase::from_sql(script).await.unwrap()
}

/// Asks again and again until it holds; says how long that took.
pub(crate) async fn until(
    what: &str,
    limit: Duration,
    mut holds: impl AsyncFnMut() -> bool,
) -> Duration {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        actix_web::rt::time::sleep(Duration::from_millis(10)).await;
    }
    started.elapsed()
}
