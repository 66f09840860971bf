use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::client::{Answer, Person, send};
use crate::folder::DataFolder;
use crate::plinth::{LIMIT, Running, Server, plinth, run, serve_in};

/// How often each kind of work is cut off.
pub(crate) const POINTS: u32 = 10;

/// How many ports a node gets: half for endpoints, of which each has two, half for the servers behind them.
const PORTS: u16 = 80;

/// How many scenes may be open at once in one run of the tests, each with a number of its own.
const SCENES: u16 = 6;

/// What is killed at a point.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Crash {
    /// The process that does the work; what it started goes on.
    Node,
    /// Every Postgres of every branch.
    Servers,
    /// All of it, as when the machine fails.
    Both,
}

/// Something to do: a method, a path, a body.
pub(crate) type Call<'a> = (&'a str, &'a str, Value);

/// A server with a node and a project whose main branch has a hundred rows.
pub(crate) struct Scene {
    pub(crate) folder: DataFolder,
    server: Server,
    pub(crate) owner: Person,
    pub(crate) project: String,
    pub(crate) main: String,
    pub(crate) uri: String,
    first_port: u16,
    /// How often something was cut off before it was answered.
    cut: u32,
}

pub(crate) fn psql(uri: &str, sql: &str) -> Result<String, String> {
    let output = Command::new("psql")
        .args([uri, "-X", "-A", "-t", "-q", "-c", sql])
        .env("PGCONNECT_TIMEOUT", "20")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

pub(crate) async fn wait(ms: u64) {
    actix_web::rt::time::sleep(Duration::from_millis(ms)).await;
}

impl Scene {
    /// Starts it, unless it is skipped because one of these programs is not there. The `nth` of those that may run at once.
    pub(crate) async fn new(test: &str, programs: &[&str], nth: u16) -> Option<Self> {
        for program in programs {
            if Command::new(program).arg("--version").output().is_err() {
                let reason = format!("{program} is not there");
                println!("SKIPPED: {reason}");
                if let Some(folder) = std::env::var_os("XTASK_SKIPPED_DIR") {
                    fs::write(PathBuf::from(folder).join(test), reason).unwrap();
                }
                return None;
            }
        }
        let folder = DataFolder::in_memory();
        // Beside those of other tests, which may run at once.
        assert!(nth < SCENES);
        let block = u16::try_from(std::process::id() % 5).unwrap();
        let first_port = 30_000 + (block * SCENES + nth) * PORTS;
        let ports = format!("{first_port}-{}", first_port + PORTS - 1);
        let server = Running::start(serve_in(&folder).env("PLINTH_NODE_PORTS", &ports)).up().await;
        let owner = server.set_up().await;
        let mut scene = Self {
            folder,
            server,
            owner,
            project: String::new(),
            main: String::new(),
            uri: String::new(),
            first_port,
            cut: 0,
        };
        let made = ("POST", "/api/v2/projects", json!({ "project": { "name": "shop" } }));
        let made = scene.calls(made).await;
        scene.project = text(&made["project"]["id"]);
        scene.main = text(&made["branch"]["id"]);
        scene.uri = text(&made["connection_uris"][0]["connection_uri"]);
        scene.settles(&scene.project).await;
        psql(&scene.uri, "CREATE TABLE t AS SELECT generate_series(1, 100) AS n").unwrap();
        Some(scene)
    }

    /// How often something was cut off before it was answered.
    pub(crate) fn cut(&self) -> u32 {
        self.cut
    }

    /// Stops everything; nothing may be left.
    pub(crate) async fn end(self) {
        self.server.stop(Signal::SIGTERM).await;
        let stopped = run(plinth(&["node", "--stop", "--data-dir"]).arg(self.folder.path()));
        assert!(stopped.status.success(), "{}", stopped.stderr);
        self.folder.assert_quiet();
    }

    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/api/v2/projects/{}{rest}", self.project)
    }

    /// A call that succeeds, however often it has to wait for earlier work.
    pub(crate) async fn calls(&self, (method, path, body): Call<'_>) -> Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            let answer = send(self.owner.request(method, path).json(&body)).await;
            if (200..300).contains(&answer.status) {
                return answer.body;
            }
            let again = [423, 503].contains(&answer.status) && Instant::now() < deadline;
            assert!(again, "{method} {path}: {} {}", answer.status, answer.text);
            wait(50).await;
        }
    }

    /// Waits until nothing of a project is under way.
    pub(crate) async fn settles(&self, project: &str) {
        let path = format!("/api/v2/projects/{project}/operations");
        let deadline = Instant::now() + LIMIT;
        loop {
            let answer = self.owner.get(&path).await;
            let all = answer.body["operations"].as_array().unwrap();
            let is_over = |it: &Value| {
                ["finished", "failed", "cancelled", "skipped"]
                    .iter()
                    .any(|how| it["status"] == *how)
            };
            if all.iter().all(is_over) {
                return;
            }
            assert!(Instant::now() < deadline, "an operation is stuck: {}", answer.text);
            wait(50).await;
        }
    }

    /// Where the files of projects are.
    pub(crate) fn projects(&self) -> PathBuf {
        self.folder.path().join("node/projects")
    }

    fn node(&self) -> Option<i32> {
        let file = self.folder.path().join("node/node.pid");
        fs::read_to_string(file).ok()?.trim().parse().ok()
    }

    /// The processes of branches' servers: whose, and which.
    fn servers(&self) -> Vec<(String, i32)> {
        let projects = self.projects();
        let of = |pid: i32| {
            let cwd = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
            let mut rest = cwd.strip_prefix(&projects).ok()?.iter();
            let (project, branch) = (rest.next()?.to_str()?, rest.next()?.to_str()?);
            Some((format!("{project}/{branch}"), pid))
        };
        self.folder.processes().into_iter().filter_map(of).collect()
    }

    /// Kills, and waits until there is a node again, which leads to the main branch.
    async fn crashes(&self, what: Crash) {
        let node = self.node().unwrap();
        if what != Crash::Servers {
            kill(Pid::from_raw(node), Signal::SIGKILL).unwrap();
        }
        if what != Crash::Node {
            for (_, pid) in self.servers() {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        let (_, address) = self.uri.split_once('@').unwrap();
        let (address, _) = address.split_once('/').unwrap();
        let deadline = Instant::now() + LIMIT;
        while what != Crash::Servers && self.node() == Some(node)
            || TcpStream::connect(address).is_err()
        {
            assert!(Instant::now() < deadline, "the node does not come back");
            wait(20).await;
        }
    }

    /// Does something, and crashes after a part of the time that it takes undisturbed. Says how the caller was answered,
    /// once nothing is under way any more.
    ///
    /// What was answered before its crash tells that the work is quicker than it was when it was measured (caches are warm,
    /// the machine is less busy): the moments of the next points are spread over that shorter time.
    pub(crate) async fn cut_off(
        &mut self,
        (method, path, body): Call<'_>,
        usual: &mut Duration,
        point: u32,
    ) -> Answer {
        let what = [Crash::Node, Crash::Servers, Crash::Both][(point % 3) as usize];
        let after = *usual * (2 * point + 1) / (2 * POINTS);
        let request = send(self.owner.request(method, path).json(&body));
        let begun = Instant::now();
        let answer = actix_web::rt::spawn(async move { (request.await, begun.elapsed()) });
        actix_web::rt::time::sleep(after).await;
        let is_under_way = !answer.is_finished();
        self.cut += u32::from(is_under_way);
        self.crashes(what).await;
        let (answer, took) = answer.await.unwrap();
        if !is_under_way {
            *usual = took.min(*usual);
        }
        let said = &answer.body["message"];
        println!("{method} {path}: {what:?} killed after {after:?}: {} {said}", answer.status);
        let refused = answer.body["code"] == "OPERATION_FAILED";
        let is_told = (200..300).contains(&answer.status) || refused;
        assert!(is_told, "{} {}", answer.status, answer.text);
        self.settles(&self.project).await;
        answer
    }

    /// Waits until what is on the disk, what runs and what listens is what the rows say, and nothing more.
    pub(crate) async fn has_no_orphans(&self, projects: &[&str]) {
        let deadline = Instant::now() + LIMIT;
        while let Some(wrong) = self.orphans(projects).await {
            assert!(Instant::now() < deadline, "{wrong}");
            wait(100).await;
        }
    }

    async fn orphans(&self, projects: &[&str]) -> Option<String> {
        let (mut known, mut awake, mut ports) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        // Servers that follow others: their files are made again when they are gone.
        let mut readers = BTreeSet::new();
        for project in projects {
            let base = format!("/api/v2/projects/{project}");
            let branches = self.owner.get(&format!("{base}/branches")).await.body;
            for branch in branches["branches"].as_array().unwrap() {
                if branch["current_state"] != "ready" || !branch["pending_state"].is_null() {
                    return Some(format!("not ready: {branch}"));
                }
                known.insert(format!("{project}/{}", text(&branch["id"])));
            }
            let snapshots = self.owner.get(&format!("{base}/snapshots")).await.body;
            for snapshot in snapshots["snapshots"].as_array().unwrap() {
                known.insert(format!("{project}/{}", text(&snapshot["id"])));
            }
            let endpoints = self.owner.get(&format!("{base}/endpoints")).await.body;
            for endpoint in endpoints["endpoints"].as_array().unwrap() {
                let (_, port) = endpoint["host"].as_str().unwrap().rsplit_once(':').unwrap();
                let port: u16 = port.parse().unwrap();
                ports.insert(port);
                if endpoint["pooler_enabled"] == true {
                    ports.insert(port + 1);
                }
                let mut server = format!("{project}/{}", text(&endpoint["branch_id"]));
                if endpoint["type"] == "read_only" {
                    let id = text(&endpoint["id"]);
                    server = format!("{server}-ro-{}", id.rsplit('-').next().unwrap());
                    readers.insert(server.clone());
                }
                if endpoint["current_state"] == "active" {
                    awake.insert(server);
                }
            }
        }
        let mut there = BTreeSet::new();
        for project in fs::read_dir(self.projects()).into_iter().flatten().flatten() {
            for branch in fs::read_dir(project.path()).into_iter().flatten().flatten() {
                let (project, name) = (project.file_name(), branch.file_name());
                there.insert(format!("{}/{}", project.display(), name.display()));
                let file = fs::read_to_string(branch.path().join("data/postmaster.pid"));
                let port = file.ok().and_then(|it| it.lines().nth(3)?.trim().parse().ok());
                // Of a server that was killed it stays there until the next start.
                ports.extend(port.filter(|port| listening().contains(port)));
            }
        }
        there.retain(|it: &String| !readers.contains(it));
        let running: BTreeSet<String> = self.servers().into_iter().map(|it| it.0).collect();
        let ours = self.first_port..self.first_port + PORTS;
        let open: BTreeSet<u16> = listening().into_iter().filter(|it| ours.contains(it)).collect();
        (there != known || running != awake || open != ports).then(|| {
            format!(
                "on the disk {there:?} of {known:?}; running {running:?}, said to be {awake:?}; \
                 ports {open:?} instead of {ports:?}"
            )
        })
    }

    /// The branches of the project.
    pub(crate) async fn branches(&self) -> Vec<Value> {
        let all = self.owner.get(&self.path("/branches")).await.body;
        all["branches"].as_array().unwrap().clone()
    }

    /// How a branch is reached.
    pub(crate) async fn uri_of(&self, project: &str, branch: &str) -> String {
        let path = format!(
            "/api/v2/projects/{project}/connection_uri?database_name=neondb&role_name=neondb_owner&branch_id={branch}"
        );
        text(&self.calls(("GET", &path, json!({}))).await["uri"])
    }

    /// A branch is whole: it can be written to, archives its log, and has the roles that its rows say.
    pub(crate) async fn is_whole(&self, branch: &str, uri: &str, rows: &str) {
        assert_eq!(psql(uri, "SELECT count(*) FROM t").as_deref(), Ok(rows), "{branch}");
        let archives = "CREATE TEMPORARY TABLE x (); SELECT current_setting('archive_mode')";
        assert_eq!(psql(uri, archives).as_deref(), Ok("on"), "{branch}");
        let roles = "SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles
                     WHERE oid >= 16384";
        let listed = self.owner.get(&self.path(&format!("/branches/{branch}/roles"))).await.body;
        let mut listed: Vec<_> =
            listed["roles"].as_array().unwrap().iter().map(|it| text(&it["name"])).collect();
        listed.sort();
        assert_eq!(psql(uri, roles), Ok(listed.join(" ")), "{branch}");
    }

    /// Removes a branch for good.
    pub(crate) async fn remove_branch(&self, id: &str) {
        let path = self.path(&format!("/branches/{id}?hard_delete=true"));
        self.calls(("DELETE", &path, json!({}))).await;
        self.settles(&self.project).await;
    }
}

/// The ports on which somebody listens on IPv4.
fn listening() -> BTreeSet<u16> {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let port = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (local, _, state) = (words.next()?, words.next()?, words.next()?);
        let (_, port) = local.split_once(':')?;
        (state == "0A").then(|| u16::from_str_radix(port, 16).ok()).flatten()
    };
    table.lines().skip(1).filter_map(port).collect()
}
