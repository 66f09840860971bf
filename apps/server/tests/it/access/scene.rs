use std::rc::Rc;

use jiff::SignedDuration;
use plinth_testdb::TestDatabase;
use serde_json::{Value, json};

use super::table::SIGNED_IN;
use crate::app::{Answer, PASSWORD, Person, TestApp, address, config, connection, send};
use crate::remotes::Stub;
use crate::schemas::run;
use crate::writes::{writer, writing};

use super::operations::Operation;

/// The header that picks an organization.
const TENANT: &str = "x-tenant-id";

/// An organization with something of every kind, and its owner.
pub(super) struct Scene {
    app: Rc<TestApp>,
    /// With an API key.
    pub(super) owner: Person,
    /// The owner's address.
    email: String,
    /// The database that its connections lead to.
    pub(super) target: Rc<TestDatabase>,
    /// The kind and id of everything that was made here and that others must not see or touch.
    pub(super) things: Vec<(&'static str, String)>,
    connection: String,
    count: u32,
}

impl Scene {
    /// A new organization of this name.
    pub(super) async fn new(app: &Rc<TestApp>, name: &str, target: Rc<TestDatabase>) -> Self {
        let owner = app.owner_with_password(name).await;
        let email = address(name);
        let connection = String::new();
        let app = app.clone();
        let mut scene =
            Self { app, owner, email, target, things: Vec::new(), connection, count: 0 };
        scene.connection = scene.new_connection().await;
        scene
    }

    /// A name that nothing here has yet.
    pub(super) fn name(&mut self, what: &str) -> String {
        self.count += 1;
        format!("{what} {}", self.count)
    }

    /// A body that connects the database under a new name.
    pub(super) fn connection_body(&mut self) -> Value {
        let name = self.name("Connection");
        connection(&name, &self.target)
    }

    /// The connection that the samples ask.
    pub(super) fn connection(&self) -> String {
        self.connection.clone()
    }

    /// Writes about the table of the samples' connection, or its column, and gives the call's path.
    pub(super) async fn annotated(&mut self, column: Option<&str>) -> Call {
        let call = Call::plain().id(self.connection()).named("public.orders");
        let table = format!("/v1/connections/{}/schema/tables/public.orders", self.connection);
        let (path, call) = match column {
            Some(column) => (format!("{table}/columns/{column}/annotation"), call.named(column)),
            None => (format!("{table}/annotation"), call),
        };
        let written = self.owner.request("PUT", &path).json(&json!({ "synonyms": ["purchases"] }));
        let answer = send(written).await;
        assert!(answer.is_success(), "annotating: {} {}", answer.status, answer.text);
        call
    }

    /// A connection that a sample may remove.
    pub(super) async fn new_connection(&mut self) -> String {
        let body = self.connection_body();
        self.make("connection", "/v1/connections", body).await
    }

    /// A body that adds the database through the other door, under a new name.
    pub(super) fn config_body(&mut self) -> Value {
        config(&self.name("Config"), &self.target)
    }

    /// A config that a sample may remove.
    pub(super) async fn new_config(&mut self) -> String {
        let body = self.config_body();
        self.make("config", "/api/database-configs", body).await
    }

    /// The config that the samples ask about.
    pub(super) async fn config(&mut self) -> String {
        let known = self.things.iter().find(|it| it.0 == "config").map(|it| it.1.clone());
        match known {
            Some(id) if self.is_there(&id).await => id,
            _ => self.new_config().await,
        }
    }

    async fn is_there(&self, config: &str) -> bool {
        self.owner.get(&format!("/api/database-configs/{config}")).await.is_success()
    }

    /// A query of the history.
    pub(super) async fn new_query(&mut self) -> String {
        let body = json!({ "connection_id": self.connection, "sql": "SELECT 1 AS one" });
        let made = self.owner.post("/v1/queries", body).await;
        assert_eq!(made.status, 200, "{}", made.text);
        self.keep("query", &made.body["data"]["query_id"])
    }

    /// A run that nobody waited for, and that has its rows.
    pub(super) async fn new_query_run(&mut self) -> String {
        let body = json!({ "connection_id": self.connection, "sql": "SELECT 1 AS one" });
        let wanted = self.owner.request("POST", "/v1/queries").header("prefer", "respond-async");
        let begun = send(wanted.json(&body)).await;
        assert_eq!(begun.status, 202, "{}", begun.text);
        let id = self.keep("query run", &begun.body["data"]["id"]);
        let results = format!("/v1/query-runs/{id}/results");
        while !self.owner.get(&results).await.is_success() {
            actix_web::rt::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        id
    }

    /// A body that saves SQL with a parameter.
    pub(super) fn saved_body(&mut self) -> Value {
        json!({
            "name": self.name("Saved"),
            "connection_id": self.connection,
            "sql": "SELECT {{ answer }} AS answer",
            "parameters": [{ "name": "answer", "type": "enum", "options": ["yes", "no"], "default": "yes" }],
        })
    }

    /// A saved query.
    pub(super) async fn new_saved_query(&mut self) -> String {
        let body = self.saved_body();
        let made = self.owner.post("/v1/queries/save", body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        self.keep("query", &made.body["data"]["query_id"])
    }

    /// A repair of a saved query whose column has another name since.
    pub(super) async fn new_repair(&mut self) -> String {
        self.count += 1;
        let table = format!("drifting_{}_{}", self.email.len(), self.count);
        let made = format!(
            "CREATE TABLE {table} (id int, amount int); GRANT SELECT ON {table} TO plinth_test_owner"
        );
        run(&self.target, &made).await;
        self.reread().await;
        let body = json!({ "name": self.name("Drifting"), "connection_id": self.connection,
            "sql": format!("SELECT amount FROM {table}") });
        let saved = self.owner.post("/v1/queries/save", body).await;
        assert_eq!(saved.status, 201, "{}", saved.text);
        let query = self.keep("query", &saved.body["data"]["query_id"]);
        run(&self.target, &format!("ALTER TABLE {table} RENAME COLUMN amount TO total")).await;
        self.reread().await;
        self.app.services.outbox.drain().await.unwrap();
        let found = self.owner.get(&format!("/v1/queries/repairs?query_id={query}")).await;
        assert_eq!(found.status, 200, "{}", found.text);
        self.keep("repair", &found.body["data"][0]["id"])
    }

    /// Has the schema read anew, a moment later.
    async fn reread(&self) {
        self.app.clock.advance(SignedDuration::from_secs(1));
        let path = format!("/v1/connections/{}/schema/refresh", self.connection);
        let read = self.owner.post(&path, json!({})).await;
        assert_eq!(read.status, 200, "{}", read.text);
    }

    /// A conversation of one question.
    pub(super) async fn new_conversation(&mut self) -> String {
        let body =
            json!({ "connection_id": self.connection, "question": "How many orders are there?" });
        let made = self.owner.post("/v1/queries", body).await;
        assert_eq!(made.status, 200, "{}", made.text);
        self.keep("conversation", &made.body["data"]["conversation_id"])
    }

    /// A policy under a new name. It binds nobody of the scene.
    pub(super) fn policy_body(&mut self) -> Value {
        json!({ "name": self.name("Policy"), "table": "public.orders", "roles": ["viewer"], "rows": "total > 0" })
    }

    /// A policy of the samples' connection.
    pub(super) async fn new_policy(&mut self) -> String {
        let body = self.policy_body();
        let path = format!("/v1/connections/{}/policies", self.connection);
        let made = self.owner.post(&path, body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        self.keep("policy", &made.body["data"]["id"])
    }

    /// A body that makes a workflow under a new name.
    pub(super) fn workflow_body(&mut self) -> Value {
        json!({
            "name": self.name("Workflow"), "trigger": { "type": "manual" },
            "steps": [{ "name": "one", "type": "sql", "connection_id": self.connection, "sql": "SELECT 1 AS one" }],
            "actions": [{ "name": "tell", "type": "email", "to": ["ann@example.com"], "subject": "One",
                          "body": "{{ results_table }}" }],
        })
    }

    /// A workflow.
    pub(super) async fn new_workflow(&mut self) -> String {
        let body = self.workflow_body();
        self.make("workflow", "/v1/workflows", body).await
    }

    /// A workflow, and a run of it that waits.
    pub(super) async fn new_workflow_run(&mut self) -> (String, String) {
        let workflow = self.new_workflow().await;
        let path = format!("/v1/workflows/{workflow}/run");
        let run = self.make("workflow run", &path, json!({})).await;
        (workflow, run)
    }

    /// A body that keeps a credential under a new name.
    pub(super) fn credential_body(&mut self) -> Value {
        let name = self.name("credential").to_lowercase().replace(' ', "-");
        json!({ "name": name, "type": "bearer", "origin": "https://crm.example.com", "secret": "a secret" })
    }

    /// A body that adds a remote under a new name.
    pub(super) async fn remote_body(&mut self) -> Value {
        let name = self.name("remote").to_lowercase().replace(' ', "-");
        let stub = Stub::start().await;
        json!({ "name": name, "base_url": stub.base_url, "key": "napi_of_the_scene" })
    }

    /// A remote.
    pub(super) async fn new_remote(&mut self) -> String {
        let body = self.remote_body().await;
        self.make("remote", "/v1/remotes", body).await
    }

    /// A remote that nobody has signed in to.
    pub(super) async fn new_oauth_remote(&mut self) -> String {
        let name = self.name("remote").to_lowercase().replace(' ', "-");
        let stub = Stub::start().await;
        let oauth = json!({ "issuer": stub.issuer, "client_id": "plinth", "scopes": ["projects"] });
        let body = json!({ "name": name, "base_url": stub.base_url, "oauth": oauth });
        self.make("remote", "/v1/remotes", body).await
    }

    /// The same, and what a browser came back with from it.
    pub(super) async fn new_asked_remote(&mut self) -> (String, Value) {
        let id = self.new_oauth_remote().await;
        let asked = self.owner.post(&format!("/v1/remotes/{id}/authorization"), json!({})).await;
        let url = asked.body["data"]["authorize_url"].as_str().unwrap().to_owned();
        let state = url.split("&state=").nth(1).unwrap().split('&').next().unwrap();
        (id, json!({ "code": "a-code", "state": state }))
    }

    /// The id of a project that lives at remotes, and is not known here.
    pub(super) fn remote_project(&mut self) -> String {
        let name = self.name("remote-project").to_lowercase().replace(' ', "-");
        format!("{name}-{}", self.email.len())
    }

    /// A remote and a project that lives there.
    pub(super) async fn new_remote_project(&mut self) -> (String, String) {
        let (remote, project) = (self.new_remote().await, self.remote_project());
        let path = format!("/v1/remotes/{remote}/projects");
        let body = json!({ "project_id": project });
        let project = self.make("remote project", &path, body).await;
        (remote, project)
    }

    /// A credential.
    pub(super) async fn new_credential(&mut self) -> String {
        let body = self.credential_body();
        self.make("credential", "/v1/credentials", body).await
    }

    /// A body that subscribes to events.
    pub(super) fn subscription_body() -> Value {
        json!({ "url": "https://events.example.com/plinth", "types": ["member.added"] })
    }

    /// A subscription to events.
    pub(super) async fn new_subscription(&mut self) -> String {
        self.make("subscription", "/v1/event-subscriptions", Self::subscription_body()).await
    }

    /// A subscription, and a delivery of it that waits.
    pub(super) async fn new_delivery(&mut self) -> (String, String) {
        let subscription = self.new_subscription().await;
        let path = format!("/v1/event-subscriptions/{subscription}/ping");
        let delivery = self.make("delivery", &path, json!({})).await;
        (subscription, delivery)
    }

    /// A body that makes a write connection beside the samples' one.
    pub(super) async fn write_connection_body(&mut self) -> Value {
        writer(&self.target).await;
        let mut body = writing(&self.connection, &json!({}));
        body["name"] = self.name("Writes").into();
        body
    }

    /// A write connection that a sample may remove.
    pub(super) async fn new_write_connection(&mut self) -> String {
        let body = self.write_connection_body().await;
        self.make("write connection", "/v1/write-connections", body).await
    }

    /// A workflow, and a run of it that waits for an approval.
    pub(super) async fn new_waiting_run(&mut self) -> (String, String) {
        let writes = self.new_write_connection().await;
        let mut body = self.workflow_body();
        body["actions"] = json!([{
            "name": "mark", "type": "write", "write_connection_id": writes, "approval": { "self_approval": true },
            "sql": "DELETE FROM orders WHERE id = -1",
        }]);
        let workflow = self.make("workflow", "/v1/workflows", body).await;
        let path = format!("/v1/workflows/{workflow}/run");
        let run = self.make("workflow run", &path, json!({})).await;
        self.app.services.worker.drain().await.unwrap();
        (workflow, run)
    }

    /// A body that makes an alert on a query of its own.
    pub(super) async fn alert_body(&mut self) -> Value {
        let query = self.new_query().await;
        json!({
            "name": self.name("Alert"), "query_id": query,
            "condition": { "type": "has_rows" }, "schedule": { "every": "hour" },
        })
    }

    /// An alert.
    pub(super) async fn new_alert(&mut self) -> String {
        let body = self.alert_body().await;
        self.make("alert", "/v1/alerts", body).await
    }

    /// A body that makes a dashboard on a query of its own.
    pub(super) async fn dashboard_body(&mut self) -> Value {
        let query = self.new_query().await;
        let place = json!({ "x": 0, "y": 0, "w": 6, "h": 4 });
        json!({
            "name": self.name("Dashboard"),
            "widgets": [{ "type": "metric", "query_id": query, "position": place }],
        })
    }

    /// A dashboard, and its widget.
    pub(super) async fn new_dashboard(&mut self) -> (String, String) {
        let body = self.dashboard_body().await;
        let made = self.owner.post("/v1/dashboards", body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let widget = self.keep("widget", &made.body["data"]["widgets"][0]["id"]);
        (self.keep("dashboard", &made.body["data"]["id"]), widget)
    }

    /// A body of a term under a new name.
    pub(super) fn term_body(&mut self) -> Value {
        json!({ "name": self.name("Term"), "table": "public.orders" })
    }

    /// A body of a metric under a new name.
    pub(super) fn metric_body(&mut self) -> Value {
        json!({ "name": self.name("Metric"), "table": "public.orders", "expression": "count(*)" })
    }

    /// A body of an example.
    pub(super) fn example_body(&mut self) -> Value {
        json!({ "question": self.name("What about"), "sql": "SELECT count(*) FROM orders" })
    }

    /// An entry of the connection's language, made for a call that may do away with it.
    pub(super) async fn in_language(&mut self, what: &str, body: Value) -> Call {
        let path = format!("/v1/connections/{}/{what}", self.connection);
        let id = self.make("entry", &path, body).await;
        Call::plain().id(self.connection()).id(id)
    }

    /// An API key with these scopes: its id and its secret.
    pub(super) async fn new_key(&mut self, scopes: &[&str]) -> (String, String) {
        let body = json!({ "name": self.name("Key"), "scopes": scopes });
        let made = self.owner.post("/v1/api-keys", body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let secret = made.body["data"]["key"].as_str().unwrap().to_owned();
        (self.keep("key", &made.body["data"]["id"]), secret)
    }

    /// Who calls that operation for the owner: they with their key, or where that is not enough, a new sign-in of theirs.
    pub(super) async fn caller(&mut self, operation: &Operation) -> Person {
        // An owner cannot leave.
        if operation.id == "leave_organization" {
            return self.new_member().await.0;
        }
        if SIGNED_IN.iter().any(|(id, _)| *id == operation.id) {
            return self.owner.sign_in(&self.email).await.0;
        }
        self.owner.clone()
    }

    /// An address that nobody has yet.
    pub(super) fn address(&mut self) -> String {
        self.name(&format!("guest-of-{}", self.email.replace('@', "-"))).replace(' ', "-")
            + "@example.com"
    }

    /// The organization's id.
    pub(super) async fn organization(&mut self) -> String {
        let me = self.owner.get("/v1/me").await;
        self.keep("organization", &me.body["data"]["organization"]["id"])
    }

    /// A name that no organization has yet.
    pub(super) fn organization_name(&mut self) -> String {
        let name = format!("Spare-{}-", self.email.replace(['@', '.'], "-"));
        self.name(&name).replace(' ', "")
    }

    /// An organization of the owner's that a sample may do away with, the owner signed in, and its name.
    pub(super) async fn new_organization(&mut self) -> (String, Person, String) {
        let owner = self.owner.sign_in(&self.email).await.0;
        let name = self.organization_name();
        let made = owner.post("/v1/organizations", json!({ "name": name })).await;
        assert_eq!(made.status, 201, "{}", made.text);
        (self.keep("organization", &made.body["data"]["id"]), owner, name)
    }

    /// A member of that organization beside its owner.
    pub(super) async fn member_of(&mut self, org: &str, owner: &Person) -> String {
        let body = json!({ "email": self.address(), "role": "viewer" });
        let invited = owner.request("POST", "/v1/team/members").header("x-tenant-id", org);
        let invited = send(invited.json(&body)).await;
        let token = self.app.invitation_token(invited.body["data"]["id"].as_str().unwrap(), 1);
        let body = json!({ "token": token, "password": PASSWORD });
        let accepted = self.app.request("POST", "/v1/invitations/accept").json(&body);
        let accepted = send(accepted).await;
        assert_eq!(accepted.status, 200, "{}", accepted.text);
        self.keep("member", &accepted.body["data"]["member_id"])
    }

    /// A role of the organization's own that nobody has.
    pub(super) async fn new_role(&mut self) -> String {
        let body = json!({ "name": self.name("Role"), "scopes": ["dashboards:read"] });
        self.make("role", "/v1/roles", body).await
    }

    /// An invitation that is open.
    pub(super) async fn new_invitation(&mut self) -> String {
        let body = json!({ "email": self.address(), "role": "viewer" });
        self.make("invitation", "/v1/team/members", body).await
    }

    /// Somebody who came by an invitation and signed in; and their member id.
    pub(super) async fn new_member(&mut self) -> (Person, String) {
        let email = self.address();
        let (person, id) = self.app.member(&self.owner, &email, "viewer").await;
        self.keep("member", &Value::from(id.clone()));
        (person, id)
    }

    /// A session of the owner's that a sample may end.
    pub(super) async fn new_session(&mut self) -> String {
        let (_, answer) = self.owner.sign_in(&self.email).await;
        self.keep("session", &answer.body["data"]["session_id"])
    }

    /// A body that registers an app under a new name.
    pub(super) fn app_body(&mut self) -> Value {
        json!({
            "name": self.name("App"), "redirect_uris": ["https://app.example.com/cb"],
            "scopes": ["queries:read"],
        })
    }

    /// An OAuth app.
    pub(super) async fn new_app(&mut self) -> String {
        let body = self.app_body();
        self.make("app", "/v1/oauth-apps", body).await
    }

    /// An app that the owner let act for them. Put there as the consent page would: that takes a browser, and has tests of
    /// its own.
    pub(super) async fn new_grant(&mut self) -> String {
        let id = self.new_app().await;
        let (app, at) = (id.trim_start_matches("app_"), self.app.now());
        let grant = format!(
            "INSERT INTO sessions (id, user_id, epoch, app_id, scopes, org_id, refreshed_at, device, created_at, last_used_at)
             SELECT gen_random_uuid(), u.id, a.epoch, '{app}', '{{queries:read}}', p.org_id, '{at}', '', '{at}', '{at}'
             FROM users u JOIN accounts a ON a.user_id = u.id, oauth_apps p
             WHERE u.email = '{}' AND p.id = '{app}'",
            self.email
        );
        self.app.behind_its_back(&grant).await;
        id
    }

    /// A body that adds an identity provider under a new name and issuer.
    pub(super) fn provider_body(&mut self) -> Value {
        let name = self.name("Provider");
        let issuer = format!("https://id.example.com/{}", self.count);
        json!({
            "name": name, "issuer": issuer, "jwks_url": "https://id.example.com/keys",
            "audience": "plinth", "default_role": "viewer",
        })
    }

    /// An identity provider.
    pub(super) async fn new_provider(&mut self) -> String {
        let body = self.provider_body();
        self.make("identity provider", "/v1/identity-providers", body).await
    }

    /// A body that adds a model under a new name, at an address where nobody answers.
    pub(super) fn model_body(&mut self) -> Value {
        json!({
            "name": self.name("Model"), "provider": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "tiny",
            "api_key": "sk-of-the-scene",
        })
    }

    /// A model.
    pub(super) async fn new_model(&mut self) -> String {
        let body = self.model_body();
        self.make("model", "/v1/models", body).await
    }

    /// Makes something and gives the id that the answer has.
    pub(super) async fn make(&mut self, kind: &'static str, path: &str, body: Value) -> String {
        let made = self.owner.post(path, body).await;
        assert!(made.is_success(), "making a {kind}: {} {}", made.status, made.text);
        self.keep(kind, &made.body["data"]["id"])
    }

    /// Notes that this id is of this organization.
    pub(super) fn keep(&mut self, kind: &'static str, id: &Value) -> String {
        let id = id.as_str().unwrap_or_else(|| panic!("a {kind} without an id")).to_owned();
        self.things.push((kind, id.clone()));
        id
    }

    /// The kind of this id, if it is of something here.
    pub(super) fn kind_of(&self, id: &str) -> Option<&'static str> {
        self.things.iter().find(|it| it.1 == id).map(|it| it.0)
    }

    /// The newest thing of each kind.
    pub(super) fn one_of_each(&self) -> Vec<(&'static str, String)> {
        let mut each: Vec<(&'static str, String)> = Vec::new();
        for (kind, id) in self.things.iter().rev() {
            if !each.iter().any(|it| it.0 == *kind) {
                each.push((kind, id.clone()));
            }
        }
        each
    }
}

/// A call of an operation, whoever sends it.
#[derive(Clone, Debug, Default)]
pub(super) struct Call {
    /// The path's parameters.
    ids: Vec<String>,
    /// Which of them are names of something within what an id before them names, and no ids.
    names: Vec<usize>,
    query: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Value>,
}

/// Where in a call an id stands.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// Which of the path's parameters.
    Path(usize),
    /// A JSON pointer into the body.
    Body(String),
}

impl Call {
    /// A call without anything but its path.
    pub(super) fn plain() -> Self {
        Self::default()
    }

    /// Adds the next parameter of the path, which is an id.
    pub(super) fn id(mut self, id: impl Into<String>) -> Self {
        self.ids.push(id.into());
        self
    }

    /// Adds the next parameter of the path, which is a name: everybody may have something of that name.
    pub(super) fn named(mut self, name: &str) -> Self {
        self.names.push(self.ids.len());
        self.ids.push(name.to_owned());
        self
    }

    /// With a query string, from the question mark on.
    pub(super) fn query(mut self, query: &str) -> Self {
        query.clone_into(&mut self.query);
        self
    }

    /// With one header more.
    pub(super) fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Whether it picks an organization by header.
    pub(super) fn picks(&self) -> bool {
        self.headers.iter().any(|it| it.0 == TENANT)
    }

    /// The same without picking one.
    pub(super) fn without_pick(mut self) -> Self {
        self.headers.retain(|it| it.0 != TENANT);
        self
    }

    /// With a body.
    pub(super) fn json(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Everywhere that an id stands: the path's ids, and each text of the body that is the id of something in the scene.
    pub(super) fn places(&self, scene: &Scene) -> Vec<Place> {
        let mut places: Vec<_> =
            (0..self.ids.len()).filter(|it| !self.names.contains(it)).map(Place::Path).collect();
        if let Some(body) = &self.body {
            find(body, String::new(), scene, &mut places);
        }
        places
    }

    /// What stands there.
    pub(super) fn at(&self, place: &Place) -> &str {
        match place {
            Place::Path(at) => &self.ids[*at],
            Place::Body(at) => self.body.as_ref().and_then(|it| it.pointer(at)?.as_str()).unwrap(),
        }
    }

    /// The same call with another id there.
    pub(super) fn with(&self, place: &Place, id: &str) -> Self {
        let mut call = self.clone();
        match place {
            Place::Path(at) => id.clone_into(&mut call.ids[*at]),
            Place::Body(at) => {
                *call.body.as_mut().and_then(|it| it.pointer_mut(at)).unwrap() = id.into();
            }
        }
        call
    }

    /// Sends it through what makes requests: a person, or the app for somebody without a key.
    pub(super) async fn send(
        &self,
        operation: &Operation,
        request: impl Fn(&str, &str) -> reqwest::RequestBuilder,
    ) -> Answer {
        let path = operation.path_with(self.ids.iter().map(String::as_str)) + &self.query;
        let mut request = request(operation.method.as_str(), &path);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        send(match &self.body {
            Some(body) => request.json(body),
            None => request,
        })
        .await
    }
}

fn find(value: &Value, at: String, scene: &Scene, places: &mut Vec<Place>) {
    match value {
        Value::String(text) if scene.kind_of(text).is_some() => places.push(Place::Body(at)),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                find(item, format!("{at}/{index}"), scene, places);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                find(field, format!("{at}/{name}"), scene, places);
            }
        }
        _ => {}
    }
}
