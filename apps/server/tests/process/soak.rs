//! Two servers and three workers on one database, killed at random while runs go through them. The short form runs with all
//! the others; `cargo xtask soak workers` runs the long one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::sys::signal::Signal;
use plinth_core::{Clock as _, SystemClock};
use plinth_testdb::TestDatabase;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::bootstrap::printed_key;
use crate::client::{Person, shop, until};
use crate::plinth::{MASTER_KEY, Running, Server, plinth, run, serve_on};
use crate::workers::worker_on;
use crate::writes::{PASSWORD, ROLE, connected};

/// Runs of the short form; of the long one `SOAK_INPUTS` says it. One kill comes on so many of them.
const RUNS: u64 = 80;
const RUNS_A_KILL: u64 = 20;

/// A run whose worker was killed goes on within this, in 99 of 100 cases: three seconds of the lease, and the next look.
const TAKEOVER: Duration = Duration::from_secs(5);

/// Numbers by chance that can be had again.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

pub(crate) fn setting(name: &str) -> Option<u64> {
    std::env::var_os(name)?.to_str()?.parse().ok()
}

/// Which keys came how often.
pub(crate) type Got = Arc<Mutex<BTreeMap<String, u32>>>;

/// A receiver that takes its time, and keeps which keys came how often.
pub(crate) async fn sink() -> (String, Got) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (got, number) = (Got::default(), AtomicU64::new(0));
    let kept = got.clone();
    let number = Arc::new(number);
    actix_web::rt::spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { continue };
            let (kept, number) = (kept.clone(), number.clone());
            actix_web::rt::spawn(async move {
                loop {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        match stream.read_u8().await {
                            Ok(byte) => head.push(byte),
                            // Whoever called was killed, or has nothing more to say.
                            Err(_) => return,
                        }
                    }
                    let head = String::from_utf8(head).unwrap();
                    let key = head.lines().find_map(|it| it.strip_prefix("idempotency-key: "));
                    *kept.lock().unwrap().entry(key.unwrap().to_owned()).or_default() += 1;
                    // Some are slow, so that workers die while they wait.
                    let slow = number.fetch_add(1, Ordering::Relaxed) % 4;
                    tokio::time::sleep(Duration::from_millis(slow * 150)).await;
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (url, got)
}

/// One of the five.
enum Process {
    Server(Server),
    Worker(Running),
}

impl Process {
    async fn start(url: &str, is_server: bool) -> Self {
        if is_server {
            Self::Server(Running::start(&mut serve_on(url)).up().await)
        } else {
            Self::Worker(worker_on(url).await)
        }
    }

    fn kill(self) {
        match self {
            Self::Server(it) => it.process().signal(Signal::SIGKILL),
            Self::Worker(it) => it.signal(Signal::SIGKILL),
        }
    }
}

/// Queues a run at whichever server answers. The key sees to it that it is queued once. `None` if it was, and the server was
/// killed before it could say which it is.
pub(crate) async fn queue(
    ann: &Person,
    addresses: &Mutex<[std::net::SocketAddr; 2]>,
    path: &str,
    nth: u64,
) -> Option<String> {
    for attempt in 0_usize.. {
        assert!(attempt < 600, "no server takes a run");
        let at = addresses.lock().unwrap()[(usize::try_from(nth).unwrap() + attempt) % 2];
        let asked = ann.at(at).request("POST", &format!("{path}/run"));
        let asked = asked.header("idempotency-key", format!("soak-{nth}")).json(&json!({}));
        if let Ok(answer) = asked.timeout(Duration::from_secs(10)).send().await {
            let status = answer.status().as_u16();
            let text = answer.text().await.unwrap_or_default();
            let body: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            if status == 202 {
                return Some(body["data"]["id"].as_str().unwrap().to_owned());
            }
            if body["error"]["details"]["reason"] == "answer_lost" {
                return None;
            }
            // The same request is under way in a server that is being killed.
            assert!(matches!(status, 409 | 503), "{status} {text}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    unreachable!()
}

/// What runs do, and where they write.
pub(crate) struct Work {
    /// The workflow's path.
    pub(crate) path: String,
    got: Got,
    target: tokio_postgres::Client,
    _shop: TestDatabase,
}

impl Work {
    /// A workflow that asks once, calls a receiver and writes a row.
    pub(crate) async fn new(ann: &Person) -> Self {
        let shop = shop().await;
        let target = connected(&shop.superuser_url()).await;
        let script = format!(
            "DO $$ BEGIN CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}';
             EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
             CREATE TABLE effects (run text NOT NULL); GRANT INSERT ON effects TO {ROLE};
             GRANT SELECT ON effects TO {reader}; CREATE SCHEMA plinth AUTHORIZATION {ROLE}",
            reader = shop.user()
        );
        target.batch_execute(&script).await.unwrap();
        let connection = ann.connect(&shop).await;
        let body = json!({
            "name": "Effects", "connection_id": connection, "username": ROLE, "password": PASSWORD,
            "tables": ["public.effects"], "key_schema": "plinth",
        });
        let made = ann.post("/v1/write-connections", body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let writes = made.body["data"]["id"].clone();
        let (receiver, got) = sink().await;
        let body = json!({
            "name": "Soak", "trigger": { "type": "manual" },
            "steps": [{ "name": "one", "type": "sql", "connection_id": connection,
                        "sql": "SELECT count(*) AS n FROM customers" }],
            "actions": [
                { "name": "post", "type": "http", "url": receiver, "timeout_seconds": 30 },
                { "name": "write", "type": "write", "write_connection_id": writes,
                  "sql": "INSERT INTO effects (run) VALUES ({{ run.id }})" },
            ],
            "limits": { "attempts": 10, "concurrency": 100 },
        });
        let made = ann.post("/v1/workflows", body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let path = format!("/v1/workflows/{}", made.body["data"]["id"].as_str().unwrap());
        Self { path, got, target, _shop: shop }
    }

    /// Waits until every run has ended; gives which there are. All succeeded, took effect once, and were delivered under
    /// their own key, perhaps more than once: says how many of them.
    pub(crate) async fn is_done(&self, own: &tokio_postgres::Client) -> (BTreeSet<String>, usize) {
        let open = "SELECT count(*) FROM plinth.workflow_runs WHERE ended_at IS NULL";
        until("every run ends", Duration::from_mins(2), async || {
            own.query_one(open, &[]).await.unwrap().get::<_, i64>(0) == 0
        })
        .await;
        let ended = "SELECT 'run_' || replace(id::text, '-', ''), state, coalesce(error, '') FROM plinth.workflow_runs";
        let ended = own.query(ended, &[]).await.unwrap();
        let wrong: Vec<(String, String, String)> = ended
            .iter()
            .map(|row| (row.get(0), row.get(1), row.get(2)))
            .filter(|it: &(String, String, String)| it.1 != "succeeded")
            .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        let ended: BTreeSet<String> = ended.iter().map(|row| row.get(0)).collect();

        let effects = "SELECT run, count(*) FROM effects GROUP BY run";
        let effects = self.target.query(effects, &[]).await.unwrap();
        let twice: Vec<String> =
            effects.iter().filter(|row| row.get::<_, i64>(1) != 1).map(|row| row.get(0)).collect();
        assert!(twice.is_empty(), "took effect more than once: {twice:?}");
        let effects: BTreeSet<String> = effects.iter().map(|row| row.get(0)).collect();
        assert_eq!(effects, ended, "each took effect");

        let got = self.got.lock().unwrap().clone();
        let keys: BTreeSet<String> = ended.iter().map(|it| format!("{it}.post")).collect();
        let delivered = got.keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(delivered, keys, "each was delivered, under its own key");
        (ended, got.values().filter(|it| **it > 1).count())
    }
}

#[actix_web::test]
async fn every_run_ends_once_whoever_is_killed() {
    let runs = setting("SOAK_INPUTS").unwrap_or(RUNS);
    let is_long = runs > RUNS;
    let seed = setting("SOAK_SEED").unwrap_or(1).max(1);
    let mut chance = Chance(seed);
    let kills = (runs / RUNS_A_KILL).max(1);
    println!("{runs} runs, {kills} kills, seed {seed}");

    let database = TestDatabase::create().await.unwrap();
    let url = database.url();
    let mut processes = Vec::new();
    for is_server in [true, true, false, false, false] {
        processes.push(Some(Process::start(&url, is_server).await));
    }
    let address = |it: &Option<Process>| match it {
        Some(Process::Server(it)) => it.listen(),
        _ => unreachable!("the first two are servers"),
    };
    let addresses = Arc::new(Mutex::new([address(&processes[0]), address(&processes[1])]));
    let mut command =
        plinth(&["bootstrap", "--organization", "Acme", "--email", "ann@example.com"]);
    command.env("PLINTH_DATABASE_URL", &url).env("PLINTH_MASTER_KEY", MASTER_KEY);
    let key = printed_key(&run(&mut command));
    let first = addresses.lock().unwrap()[0];
    let ann = Person::new(first, Some(&key));

    let work = Work::new(&ann).await;

    // Runs come as long as there are kills, so that each kill has something to hit.
    let is_over = Arc::new(AtomicBool::new(false));
    let queued = {
        let (ann, addresses, path, is_over) =
            (ann.clone(), addresses.clone(), work.path.clone(), is_over.clone());
        actix_web::rt::spawn(async move {
            let (mut queued, mut unsaid) = (BTreeSet::new(), 0);
            let mut nth = 0;
            while nth < runs || !is_over.load(Ordering::Relaxed) {
                // One batch at a time; more than a few waiting would only wait.
                let all = (nth..nth + 4).map(|nth| queue(&ann, &addresses, &path, nth));
                for it in futures_util::future::join_all(all).await {
                    match it {
                        Some(id) => _ = queued.insert(id),
                        None => unsaid += 1,
                    }
                }
                nth += 4;
                let pause = if nth < runs { 20 } else { 200 };
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            (queued, unsaid)
        })
    };
    let mut killed_at: Vec<Timestamp> = Vec::new();
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(100 + chance.below(500))).await;
        let which = usize::try_from(chance.below(5)).unwrap();
        killed_at.push(SystemClock.now());
        processes[which].take().unwrap().kill();
        let again = Process::start(&url, which < 2).await;
        if let Process::Server(it) = &again {
            addresses.lock().unwrap()[which] = it.listen();
        }
        processes[which] = Some(again);
    }
    is_over.store(true, Ordering::Relaxed);
    let (queued, unsaid): (BTreeSet<String>, usize) = queued.await.unwrap();

    let own = connected(&database.superuser_url()).await;
    let begun = Instant::now();
    let (ended, again) = work.is_done(&own).await;
    println!("the last run ended {} ms after the last kill", begun.elapsed().as_millis());
    assert!(queued.is_subset(&ended), "none is lost");
    assert_eq!(ended.len(), queued.len() + unsaid, "and none is made twice");

    // From the kill to the next try of what was under way.
    let tries = "SELECT next.started_at, lost.started_at FROM plinth.workflow_run_attempts lost
         JOIN LATERAL (SELECT started_at FROM plinth.workflow_run_attempts it
                       WHERE it.run_id = lost.run_id AND it.position = lost.position AND it.fence > lost.fence
                       ORDER BY it.fence LIMIT 1) next ON true
         WHERE lost.succeeded IS NULL AND lost.ended_at IS NULL";
    let mut took: Vec<Duration> = Vec::new();
    for row in own.query(tries, &[]).await.unwrap() {
        let (next, begun): (Timestamp, Timestamp) = (row.get(0), row.get(1));
        let kill = killed_at.iter().rev().find(|it| **it <= next && **it >= begun);
        took.extend(kill.map(|it| Duration::try_from(next.duration_since(*it)).unwrap()));
    }
    took.sort();
    let p99 = took.get((took.len() * 99 / 100).min(took.len().saturating_sub(1)));
    println!(
        "{} runs ended, {} kills, {} tries were cut off, {again} deliveries came again, takeover p50 {:?} p99 {p99:?} most {:?}",
        queued.len(),
        killed_at.len(),
        took.len(),
        took.get(took.len() / 2),
        took.last()
    );
    if is_long {
        assert!(!took.is_empty(), "no kill hit anything");
        assert!(*p99.unwrap() <= TAKEOVER, "{p99:?}");
    }
    for it in processes.into_iter().flatten() {
        it.kill();
    }
}
