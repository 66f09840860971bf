//! A server that answers as Neon's documentation says where another Plinth would not: operations that take their time,
//! fields and states that nobody here knows, answers that do not come.

use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The organization there.
pub(crate) const ORG: &str = "org-morning-bread-81040908";

/// What goes wrong with a request.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// How the request's line begins, like `POST /projects`.
    on: &'static str,
    /// How often.
    times: usize,
    /// Whether it is carried out all the same.
    is_done: bool,
    /// Status and headers of what is answered instead; `None` ends the connection.
    answer: Option<&'static str>,
}

impl Fault {
    /// The call is carried out, and its answer never comes.
    pub(crate) fn lost(on: &'static str) -> Self {
        Self { on, times: 1, is_done: true, answer: None }
    }

    /// The call is carried out, and somebody in between answers.
    pub(crate) fn hidden(on: &'static str, answer: &'static str) -> Self {
        Self { on, times: 1, is_done: true, answer: Some(answer) }
    }

    /// The call is not carried out.
    pub(crate) fn refused(on: &'static str, answer: &'static str, times: usize) -> Self {
        Self { on, times, is_done: false, answer: Some(answer) }
    }
}

#[derive(Default)]
struct State {
    projects: Vec<Value>,
    deleted: Vec<Value>,
    branches: Vec<Value>,
    roles: Vec<Value>,
    /// How often each operation was looked at.
    looks: Map<String, Value>,
    made: u32,
    faults: Vec<Fault>,
    /// What was asked for, in order.
    asked: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct Neon {
    /// What comes before `/projects` there.
    pub(crate) base_url: String,
    state: Arc<Mutex<State>>,
}

impl Neon {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/api/v2", listener.local_addr().unwrap());
        let neon = Self { base_url, state: Arc::default() };
        let serving = neon.clone();
        actix_web::rt::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serving.clone();
                actix_web::rt::spawn(async move { serving.serve(stream).await });
            }
        });
        neon
    }

    pub(crate) fn fail(&self, fault: Fault) {
        self.state.lock().unwrap().faults.push(fault);
    }

    /// The requests since the last look whose line begins like that.
    pub(crate) fn asked(&self, begins: &str) -> Vec<String> {
        let mut state = self.state.lock().unwrap();
        let all = std::mem::take(&mut state.asked);
        all.into_iter().filter(|it| it.starts_with(begins)).collect()
    }

    /// The names of the projects there.
    pub(crate) fn projects(&self) -> Vec<String> {
        names(&self.state.lock().unwrap().projects)
    }

    /// The names of the branches there.
    pub(crate) fn branches(&self) -> Vec<String> {
        names(&self.state.lock().unwrap().branches)
    }

    async fn serve(&self, mut stream: TcpStream) {
        let mut bytes = Vec::new();
        let (head, body) = loop {
            let mut piece = [0; 4096];
            let Ok(length @ 1..) = stream.read(&mut piece).await else { return };
            bytes.extend_from_slice(&piece[..length]);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|it| it.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |it| it.parse().unwrap()) {
                break (head.to_owned(), serde_json::from_str(body).unwrap_or_default());
            }
        };
        let mut words = head.split(' ');
        let method = words.next().unwrap().to_owned();
        let target = words.next().unwrap().strip_prefix("/api/v2").unwrap().to_owned();
        let answer = {
            let mut state = self.state.lock().unwrap();
            let line = format!("{method} {target}");
            let fault = state.faults.iter_mut().find(|it| it.times > 0 && line.starts_with(it.on));
            let fault = fault.map(|it| {
                it.times -= 1;
                it.clone()
            });
            state.asked.push(line);
            let done = fault
                .as_ref()
                .is_none_or(|it| it.is_done)
                .then(|| state.answer(&method, &target, &body));
            match fault {
                None => done.map(|(status, body)| (status.to_string() + " X", body)),
                Some(fault) => {
                    fault.answer.map(|it| (it.to_owned(), json!({ "message": "not now" })))
                }
            }
        };
        let Some((head, body)) = answer else { return };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let text = format!(
            "HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let _ = stream.write_all(text.as_bytes()).await;
    }
}

fn names(all: &[Value]) -> Vec<String> {
    all.iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
}

fn found<'a>(all: &'a mut [Value], id: &str) -> Option<&'a mut Value> {
    all.iter_mut().find(|it| it["id"] == id || it["name"] == id)
}

fn missing(what: &str) -> (u16, Value) {
    (404, json!({ "code": "", "message": format!("{what} not found") }))
}

impl State {
    /// Operations are under way for the first two looks.
    fn operation(&mut self, action: &str) -> Value {
        self.made += 1;
        let id = format!("0198c0de-7a3b-7cc1-9a55-{:012}", self.made);
        self.looks.insert(id.clone(), json!(0));
        json!({ "id": id, "action": action, "status": "scheduling", "failures_count": 0, "new_field": true })
    }

    fn answer(&mut self, method: &str, target: &str, body: &Value) -> (u16, Value) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let search = query.split('&').find_map(|it| it.strip_prefix("search=")).unwrap_or_default();
        let matching = |all: &[Value]| -> Vec<Value> {
            all.iter().filter(|it| it["name"].as_str().unwrap().contains(search)).cloned().collect()
        };
        let parts: Vec<_> = path.split('/').skip(1).collect();
        match (method, parts.as_slice()) {
            ("GET", ["users", "me"]) => (200, json!({ "id": "1", "email": "zoe@example.com" })),
            ("GET", ["projects"]) => (
                200,
                json!({ "projects": matching(&self.projects), "pagination": { "cursor": "" } }),
            ),
            ("POST", ["projects"]) => {
                let operation = self.operation("create_timeline");
                let id = format!("quiet-lake-{:08}", self.made);
                let name = body["project"]["name"].as_str().unwrap_or(&id);
                let project = json!({
                    "id": id, "name": name, "org_id": ORG, "owner_id": ORG, "platform_id": "aws",
                    "hipaa": null, "something_new": { "a": [1] },
                });
                self.projects.push(project.clone());
                let uri = json!({ "connection_uri": "postgresql://neondb_owner:npg_x@ep.example.com/neondb" });
                (
                    201,
                    json!({
                        "project": project, "operations": [operation], "connection_uris": [uri],
                        "roles": [], "databases": [], "endpoints": [],
                        "branch": { "id": "br-cool-king-auw0r6up", "name": "main", "current_state": "init" },
                    }),
                )
            }
            (method, ["projects", id, rest @ ..]) => {
                let (id, rest) = ((*id).to_owned(), rest.to_vec());
                if (method, rest.as_slice()) == ("POST", &["recover"][..]) {
                    let Some(at) = self.deleted.iter().position(|it| it["id"] == *id) else {
                        return missing("project");
                    };
                    let project = self.deleted.remove(at);
                    self.projects.push(project.clone());
                    return (200, json!({ "project": project }));
                }
                if found(&mut self.projects, &id).is_none() {
                    return missing("project");
                }
                self.of_project(method, &id, &rest, body, &matching)
            }
            _ => missing("route"),
        }
    }

    fn of_project(
        &mut self,
        method: &str,
        id: &str,
        rest: &[&str],
        body: &Value,
        matching: &dyn Fn(&[Value]) -> Vec<Value>,
    ) -> (u16, Value) {
        let project = found(&mut self.projects, id).unwrap();
        match (method, rest) {
            ("GET", []) => (200, json!({ "project": project })),
            ("PATCH", []) => {
                project["name"] = body["project"]["name"].clone();
                (200, json!({ "project": project, "operations": [] }))
            }
            ("DELETE", []) => {
                let at = self.projects.iter().position(|it| it["id"] == id).unwrap();
                let project = self.projects.remove(at);
                self.deleted.push(project.clone());
                (200, json!({ "project": project }))
            }
            ("GET", ["operations", id]) => {
                let Some(looks) = self.looks.get_mut(*id) else { return missing("operation") };
                let many = looks.as_i64().unwrap();
                *looks = json!(many + 1);
                let status =
                    ["running", "running", "finished"][usize::try_from(many).unwrap().min(2)];
                (
                    200,
                    json!({ "operation": { "id": id, "status": status, "total_duration_ms": 7 } }),
                )
            }
            ("GET", ["branches"]) => (200, json!({ "branches": matching(&self.branches) })),
            ("POST", ["branches"]) => {
                let name = body["branch"]["name"].as_str().unwrap_or("unnamed").to_owned();
                if found(&mut self.branches, &name).is_some() {
                    let message = format!("branch already exists; branch_name:\"{name}\"");
                    return (409, json!({ "code": "BRANCH_ALREADY_EXISTS", "message": message }));
                }
                let operation = self.operation("create_branch");
                let id = format!("br-aged-salad-{:08}", self.made);
                let branch = json!({ "id": id, "name": name, "current_state": "init", "init_source": "parent-data", "new": 1 });
                self.branches.push(branch.clone());
                (201, json!({ "branch": branch, "endpoints": [], "operations": [operation] }))
            }
            ("GET", ["branches", id @ "br-cool-king-auw0r6up"]) => {
                (200, json!({ "branch": { "id": id, "current_state": "ready" } }))
            }
            ("GET", ["branches", id]) => match found(&mut self.branches, id) {
                Some(branch) => {
                    branch["current_state"] = json!("ready");
                    (200, json!({ "branch": branch }))
                }
                None => missing("branch"),
            },
            ("DELETE", ["branches", id]) => {
                let Some(at) = self.branches.iter().position(|it| it["id"] == **id) else {
                    return (204, Value::Null);
                };
                let branch = self.branches.remove(at);
                (200, json!({ "branch": branch, "operations": [] }))
            }
            ("POST", ["branches", id, "restore"]) => (
                200,
                json!({ "branch": { "id": id, "current_state": "resetting" }, "operations": [] }),
            ),
            ("GET", ["branches", _, "roles"]) => (200, json!({ "roles": self.roles })),
            ("POST", ["branches", _, "roles"]) => {
                let role = json!({ "name": body["role"]["name"], "password": "npg_y" });
                self.roles.push(role.clone());
                (201, json!({ "role": role, "operations": [] }))
            }
            _ => missing("route"),
        }
    }
}
