use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer};
use async_trait::async_trait;
use plinth_adapter_llm::Dialer;
use plinth_adapter_postgres::{Database, DatabaseUrl, migrate, migrations};
use plinth_adapter_target::{ManagedServers, SystemResolver, TargetSettings};
use plinth_connections::{InstallationKey, MasterKey, MasterKeys};
use plinth_core::ManualClock;
use plinth_egress::{Gate, Network, Own};
use plinth_queries::QuerySettings;
use plinth_server::{Services, WiringParts, http, unlock};
use plinth_tenancy::{
    Email, InvitationId, KeySetDocument, KeySetError, KeySetSource, LinkKey, LinkPurpose, Mailer,
    OrganizationName, RecordingMailer,
};
use plinth_testdb::TestDatabase;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

/// A server of its own for one test: a real socket, a database of its own, a clock that stands still.
pub(crate) struct TestApp {
    pub(crate) services: Services,
    pub(crate) clock: Arc<ManualClock>,
    /// Keeps the mail that was sent.
    pub(crate) mailer: Arc<RecordingMailer>,
    /// What identity providers serve.
    pub(crate) documents: Arc<Documents>,
    pub(crate) url: String,
    /// What the keys of this server's own derive from.
    pub(crate) installation: InstallationKey,
    gate: Gate,
    client: reqwest::Client,
    pub(crate) database: TestDatabase,
    links: LinkKey,
}

/// Somebody who sends requests with a key.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) key: String,
    url: String,
    client: reqwest::Client,
}

/// The password of everybody who has one.
pub(crate) const PASSWORD: &str = "tall giraffes eat acacia";

/// The address of an organization's first owner.
pub(crate) fn address(organization: &str) -> String {
    format!("owner@{}.example.com", organization.to_lowercase())
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
    pub(crate) text: String,
}

/// Identity providers' documents by their URLs. How they are fetched is tested where that is done.
#[derive(Default)]
pub(crate) struct Documents(Mutex<HashMap<String, Value>>);

impl Documents {
    pub(crate) fn put(&self, url: &str, document: Value) {
        self.0.lock().unwrap().insert(url.to_owned(), document);
    }
}

#[async_trait]
impl KeySetSource for Documents {
    async fn fetch(&self, url: &str) -> Result<KeySetDocument, KeySetError> {
        let found = self.0.lock().unwrap().get(url).cloned();
        let json = found.ok_or(KeySetError::Status(404))?;
        Ok(KeySetDocument { json, fresh_for: None })
    }
}

struct Nowhere;

impl ManagedServers for Nowhere {
    fn address(&self, server: &str) -> Option<std::net::SocketAddr> {
        plinth_server::endpoint_port(server).map(|port| ([127, 0, 0, 1], port).into())
    }
}

/// 32 bytes for tests, as random as they look.
pub(crate) const MASTER: [u8; 32] = [
    0x7d, 0x1f, 0x0a, 0x9b, 0x3c, 0x5e, 0x88, 0x42, 0xc6, 0xd1, 0xe0, 0xf9, 0x4b, 0x7a, 0x38, 0x25,
    0x5a, 0x6c, 0x9e, 0x13, 0xf7, 0xd8, 0x0b, 0x24, 0x91, 0x6e, 0x3f, 0xa5, 0xc8, 0xd2, 0x07, 0x4b,
];

/// Calls remotes, and waits for none of them for long.
fn remotes(gate: &Gate) -> Arc<plinth_adapter_neon::NeonPlane> {
    let settings = plinth_adapter_neon::NeonSettings {
        first_pause: Duration::from_millis(20),
        ..plinth_adapter_neon::NeonSettings::new(gate.clone())
    };
    Arc::new(plinth_adapter_neon::NeonPlane::new(settings).unwrap())
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Self::with(QuerySettings::default()).await
    }

    /// A server whose operator set these limits.
    pub(crate) async fn with(settings: QuerySettings) -> Self {
        Self::built(settings, None).await
    }

    /// A server that sends its mail by this, and not to [`TestApp::mailer`].
    pub(crate) async fn mailing(mailer: Arc<dyn Mailer>) -> Self {
        Self::built(QuerySettings::default(), Some(mailer)).await
    }

    async fn built(settings: QuerySettings, other: Option<Arc<dyn Mailer>>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let key = format!("plinth {:?}", migrations());
        let database = TestDatabase::create_from_template(&key, async |draft| {
            migrate(&DatabaseUrl::parse(&draft.url().into())?).await?;
            Ok(())
        })
        .await
        .unwrap();
        let url = DatabaseUrl::parse(&database.url().into()).unwrap();
        let clock = Arc::new(ManualClock::at("2026-03-04T05:06:07Z".parse().unwrap()));

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = listener.local_addr().unwrap();
        let allowed = [Network::LOOPBACK_V4, Network::LOOPBACK_V6];
        let gate = Gate::new(Arc::new(SystemResolver), allowed, []);
        gate.protect(Own::LocalPort(listen.port()));
        let address = format!("{}:{}", database.host(), database.port()).parse().unwrap();
        gate.protect(Own::Database { address, name: database.name().to_owned() });

        let master = Arc::new(MasterKeys::new(MasterKey::new(&MASTER).unwrap(), Vec::new()));
        let locked = Database::open(&url, 4).await.unwrap().with_clock(clock.clone());
        let (ours, installation) = unlock(locked, &master).await.unwrap();
        let mailer = Arc::new(RecordingMailer::default());
        let documents = Arc::new(Documents::default());
        let links = LinkKey::new(*installation.derive("mailed links"));
        let services = Services::new(WiringParts {
            database: ours,
            master,
            installation: installation.clone(),
            public_url: format!("http://{listen}"),
            deletion_grace: plinth_tenancy::organizations::DELETION_GRACE,
            targets: TargetSettings::new(gate.clone(), Arc::new(Nowhere)),
            trusted_proxies: Vec::new(),
            key_sets: documents.clone(),
            queries: settings,
            model: None,
            dialer: Arc::new(Dialer::new(gate.clone())),
            mailer: other.unwrap_or(mailer.clone()),
            patience: Duration::from_mins(1),
            nodes: None,
            remotes: remotes(&gate),
            outward: Arc::new(plinth_adapter_http::HttpCalls::new(gate.clone()).unwrap()),
            runs: plinth_workflows::WorkerSettings::default(),
            clock: clock.clone(),
            metrics: None,
        })
        .unwrap();
        let app = services.clone();
        let server = HttpServer::new(move || {
            App::new().wrap(from_fn(http::observe)).configure(http::configure(app.clone()))
        })
        .workers(1)
        .tcp_nodelay(true)
        .h1_allow_half_closed(false)
        .disable_signals()
        .listen(listener)
        .unwrap()
        .run();
        actix_web::rt::spawn(server);
        let client = reqwest::Client::builder().timeout(Duration::from_mins(1)).build().unwrap();
        Self {
            services,
            clock,
            mailer,
            documents,
            url: format!("http://{listen}"),
            installation,
            gate,
            client,
            database,
            links,
        }
    }

    /// Another process over the same database, with the same clock and mail: one that listens nowhere.
    pub(crate) async fn another(&self) -> Services {
        self.another_at(self.clock.clone()).await
    }

    /// Another process over the same database, on a machine whose clock is another one.
    pub(crate) async fn another_at(&self, clock: Arc<ManualClock>) -> Services {
        let url = DatabaseUrl::parse(&self.database.url().into()).unwrap();
        let master = Arc::new(MasterKeys::new(MasterKey::new(&MASTER).unwrap(), Vec::new()));
        let locked = Database::open(&url, 4).await.unwrap().with_clock(self.clock.clone());
        let (ours, installation) = unlock(locked, &master).await.unwrap();
        let gate = self.gate.clone();
        Services::new(WiringParts {
            database: ours,
            master,
            installation,
            public_url: self.url.clone(),
            deletion_grace: plinth_tenancy::organizations::DELETION_GRACE,
            targets: TargetSettings::new(gate.clone(), Arc::new(Nowhere)),
            trusted_proxies: Vec::new(),
            key_sets: self.documents.clone(),
            queries: QuerySettings::default(),
            model: None,
            dialer: Arc::new(Dialer::new(gate.clone())),
            mailer: self.mailer.clone(),
            patience: Duration::from_mins(1),
            nodes: None,
            remotes: remotes(&gate),
            outward: Arc::new(plinth_adapter_http::HttpCalls::new(gate).unwrap()),
            runs: plinth_workflows::WorkerSettings::default(),
            clock,
            metrics: None,
        })
        .unwrap()
    }

    /// Runs statements on Plinth's own database, past all its rules.
    pub(crate) async fn behind_its_back(&self, sql: &str) {
        let (client, connection) =
            tokio_postgres::connect(&self.database.superuser_url(), tokio_postgres::NoTls)
                .await
                .unwrap();
        let connection = actix_web::rt::spawn(connection);
        client.batch_execute(&format!("SET search_path = plinth; {sql}")).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
    }

    /// The first column of what a query on Plinth's own database gives, past all its rules.
    pub(crate) async fn rows(&self, query: &str) -> Vec<String> {
        let (client, connection) =
            tokio_postgres::connect(&self.database.superuser_url(), tokio_postgres::NoTls)
                .await
                .unwrap();
        let connection = actix_web::rt::spawn(connection);
        client.batch_execute("SET search_path = plinth").await.unwrap();
        let rows = client.query(query, &[]).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// What its clock says.
    pub(crate) fn now(&self) -> jiff::Timestamp {
        plinth_core::Clock::now(&*self.clock)
    }

    /// What letters wait in the outbox or were sent, oldest first.
    pub(crate) async fn letters(&self) -> Vec<Value> {
        let (client, connection) =
            tokio_postgres::connect(&self.database.superuser_url(), tokio_postgres::NoTls)
                .await
                .unwrap();
        let connection = actix_web::rt::spawn(connection);
        let query =
            "SELECT payload::text FROM plinth.outbox WHERE topic = 'mail' ORDER BY created_at, id";
        let rows = client.query(query, &[]).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
        rows.iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect()
    }

    /// The owner of a new organization.
    pub(crate) async fn owner_of(&self, organization: &str) -> Person {
        let name = OrganizationName::parse(organization).unwrap();
        let email = address(organization);
        let founded = self.services.tenancy.bootstrap(name, Email::parse(&email).unwrap()).await;
        self.somebody(founded.unwrap().key.expose())
    }

    /// The owner of a new organization, who can also sign in: with [`PASSWORD`] at [`address`].
    pub(crate) async fn owner_with_password(&self, organization: &str) -> Person {
        let owner = self.owner_of(organization).await;
        let email = Email::parse(&address(organization)).unwrap();
        let accounts = &self.services.accounts;
        let hash = accounts.prepare_password(&PASSWORD.to_owned().into(), &email).await.unwrap();
        let user =
            owner.get("/v1/me").await.body["data"]["user"]["id"].as_str().unwrap().to_owned();
        assert!(accounts.keep_first_password(user.parse().unwrap(), &hash).await.unwrap());
        owner
    }

    /// Somebody's sign-in: who sends requests with its access token, and the whole answer.
    pub(crate) async fn sign_in(&self, email: &str) -> (Person, Answer) {
        self.somebody("").sign_in(email).await
    }

    /// The token of the letter that went out when that invitation was sent for the so-manieth time.
    pub(crate) fn invitation_token(&self, id: &str, sending: i32) -> String {
        let id: InvitationId = id.parse().unwrap();
        let token = self.links.token(LinkPurpose::Invitation, id.as_uuid(), sending);
        token.expose_secret().to_owned()
    }

    /// Whoever of that address accepted `inviter`'s invitation as that, with [`PASSWORD`], and has signed in; and their
    /// member id.
    pub(crate) async fn member(
        &self,
        inviter: &Person,
        email: &str,
        role: &str,
    ) -> (Person, String) {
        let body = json!({ "email": email, "role": role });
        let invited = inviter.post("/v1/team/members", body).await;
        assert_eq!(invited.status, 201, "{}", invited.text);
        let token = self.invitation_token(invited.body["data"]["id"].as_str().unwrap(), 1);
        let body = json!({ "token": token, "password": PASSWORD });
        let accepted = send(self.request("POST", "/v1/invitations/accept").json(&body)).await;
        assert_eq!(accepted.status, 200, "{}", accepted.text);
        let member = accepted.body["data"]["member_id"].as_str().unwrap().to_owned();
        (self.sign_in(email).await.0, member)
    }

    /// Whoever holds that key.
    pub(crate) fn somebody(&self, key: &str) -> Person {
        Person { key: key.to_owned(), url: self.url.clone(), client: self.client.clone() }
    }

    /// A request without a key, in pieces.
    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method.parse().unwrap(), format!("{}{path}", self.url))
    }
}

impl Person {
    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.url);
        self.client.request(method.parse().unwrap(), url).bearer_auth(&self.key)
    }

    /// A sign-in at that address, with [`PASSWORD`]; and the whole answer.
    pub(crate) async fn sign_in(&self, email: &str) -> (Self, Answer) {
        let login = format!("{}/v1/auth/login", self.url);
        let body = json!({ "email": email, "password": PASSWORD });
        let answer = send(self.client.post(login).json(&body)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let token = answer.body["data"]["access_token"].as_str().unwrap().to_owned();
        (Self { key: token, ..self.clone() }, answer)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request("GET", path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        send(self.request("POST", path).json(&body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        send(self.request("PATCH", path).json(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        send(self.request("DELETE", path)).await
    }

    /// Connects a database as its superuser-made owner and gives the connection's id.
    pub(crate) async fn connect(&self, name: &str, target: &TestDatabase) -> String {
        let answer = self.post("/v1/connections", connection(name, target)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.body["data"]["id"].as_str().unwrap().to_owned()
    }

    /// Runs SQL of one's own.
    pub(crate) async fn sql(&self, connection: &str, sql: &str) -> Answer {
        self.post("/v1/queries", json!({ "connection_id": connection, "sql": sql })).await
    }

    /// Asks in words.
    pub(crate) async fn ask(&self, connection: &str, question: &str) -> Answer {
        self.post("/v1/queries", json!({ "connection_id": connection, "question": question })).await
    }
}

/// The body that connects a test database.
pub(crate) fn connection(name: &str, target: &TestDatabase) -> Value {
    json!({
        "type": "postgresql",
        "name": name,
        "host": target.host(),
        "port": target.port(),
        "database": target.name(),
        "username": target.user(),
        "password": target.password(),
        "ssl_mode": "disable",
    })
}

/// The body that adds a test database through the door of database configs.
pub(crate) fn config(name: &str, target: &TestDatabase) -> Value {
    json!({
        "name": name,
        "provider": "postgresql",
        "connection_config": {
            "host": target.host(),
            "port": target.port(),
            "database": target.name(),
            "username": target.user(),
            "password": target.password(),
            "ssl": false,
        },
    })
}

pub(crate) async fn send(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer { status, headers, body, text }
}

impl Answer {
    /// Whether the call was done.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Status and body, for messages.
    pub(crate) fn told(&self) -> String {
        format!("was answered {} {:.500}", self.status, self.text)
    }

    /// Status and body, freed of this id and of the request's.
    pub(crate) fn plain(&self, id: &str) -> (u16, String) {
        let request = self.headers["x-request-id"].to_str().unwrap();
        (self.status, self.text.replace(id, "<id>").replace(request, "<request>"))
    }

    /// The error's code and the details' reason, for short assertions.
    pub(crate) fn error(&self) -> (u16, &str) {
        (self.status, self.body["error"]["code"].as_str().unwrap_or_default())
    }

    /// The rows of an answered query.
    pub(crate) fn rows(&self) -> &Value {
        assert_eq!(self.status, 200, "{}", self.text);
        &self.body["data"]["results"]["rows"]
    }
}
