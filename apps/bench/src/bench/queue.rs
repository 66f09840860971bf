//! How fast runs of workflows are queued and done, beside graphile-worker on the same Postgres, with everything on disk.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use plinth_core::{Clock as _, OrgId, SystemClock};
use plinth_local_postgres::{Cluster, ClusterSettings, ConnectionParameters, Installation};
use secrecy::ExposeSecret as _;
use serde_json::{Value as Json, json};
use tokio::process::Command;

use super::Stage;
use super::figure::{Aim, Figure, Unit, median, median_ratio};
use crate::process::{Folder, Plinth, WorkerProcess};
use crate::terminal::{quantile, say};

/// The peer, in the version that runs on Node 20.
const PEER: &str = "graphile-worker@0.16.6";
const SCRIPT: &str = include_str!("queue.cjs");
/// How many jobs the peer has under way at once, and how many producers queue.
const CONCURRENCY: &str = "24";
const PRODUCERS: usize = 8;
/// From one to the next of those that come 200 a second.
const PACE: Duration = Duration::from_millis(5);
/// How often it is looked whether all are done: as often as the peer looks where that is the end of the time that is measured,
/// and seldom where the runs' own times are.
const OFTEN: Duration = Duration::from_millis(10);
const SELDOM: Duration = Duration::from_millis(100);
/// How long all of them may take.
const LIMIT: Duration = Duration::from_mins(10);

/// Where both keep what they have.
struct Ground {
    cluster: Cluster,
    connection: ConnectionParameters,
    own: tokio_postgres::Client,
    peer: PathBuf,
}

/// # Errors
/// If something does not start, or the peer cannot be installed.
pub(super) async fn measure(stage: &Stage<'_>) -> Result<Vec<Figure>> {
    let folder = Folder::create()?;
    let mut ground = Ground::lay(&folder).await?;
    let plinth = Plinth::start_on(stage.binary, &folder, &ground.url("plinth")).await?;
    let scene = Scene::make(&plinth, &ground).await?;
    let jobs = usize::try_from(stage.options.jobs)?;
    let paced = usize::try_from(stage.options.seconds * 200)?;
    let mut taken = Taken::default();
    for round in 1..=stage.options.rounds {
        taken.ours_one.push(scene.one(stage, &plinth, &ground, jobs / 2).await?);
        taken.peer_one.push(ground.peer_rate("one", jobs / 2).await?);
        taken.ours_drain.push(scene.drain(stage, &plinth, &ground, &scene.simple, jobs).await?);
        taken.peer_drain.push(ground.peer_rate("drain", jobs).await?);
        taken.steps.push(scene.drain(stage, &plinth, &ground, &scene.long, jobs / 5).await? * 5.0);
        taken.ours_waits.push(scene.pace(stage, &plinth, &ground, paced).await?);
        taken.peer_waits.push(ground.peer_waits(paced).await?);
        say(&format!("· the queue, round {round} of {}", stage.options.rounds));
    }
    plinth.stop()?;
    ground.cluster.stop().await?;
    Ok(taken.figures())
}

#[derive(Default)]
struct Taken {
    /// Jobs a second that were queued one by one and done.
    ours_one: Vec<f64>,
    peer_one: Vec<f64>,
    /// Jobs a second of those that waited.
    ours_drain: Vec<f64>,
    peer_drain: Vec<f64>,
    /// Steps a second.
    steps: Vec<f64>,
    /// The 99th of a hundred waits, in milliseconds.
    ours_waits: Vec<f64>,
    peer_waits: Vec<f64>,
}

impl Taken {
    fn figures(&self) -> Vec<Figure> {
        let middle = |it: &[f64]| median(it.iter().copied());
        let rate = |it: &[f64]| format!("{:.0}/s", middle(it));
        let rates = |what: &str, ours: &[f64], peer: &[f64], aim| Figure {
            what: what.to_owned(),
            ours: rate(ours),
            peer: format!("{} graphile-worker", rate(peer)),
            number: median_ratio(ours, peer),
            unit: Unit::Times,
            aim: Some(Aim::AtLeast(aim)),
            details: json!({ "plinth": ours, "peer": peer }),
        };
        vec![
            rates("runs queued one by one and done", &self.ours_one, &self.peer_one, 1.3),
            rates("runs done that waited", &self.ours_drain, &self.peer_drain, 4.0),
            Figure {
                what: "p99 from queueing to the start, at 200 a second".to_owned(),
                ours: format!("{:.1} ms", middle(&self.ours_waits)),
                peer: format!("{:.1} ms graphile-worker", middle(&self.peer_waits)),
                number: median_ratio(&self.ours_waits, &self.peer_waits),
                unit: Unit::Percent,
                aim: Some(Aim::AtMost(0.2)),
                details: json!({ "plinth_ms": self.ours_waits, "peer_ms": self.peer_waits }),
            },
            Figure {
                what: "steps of a workflow with five".to_owned(),
                ours: rate(&self.steps),
                peer: String::new(),
                number: middle(&self.steps) / middle(&self.ours_drain),
                unit: Unit::Times,
                aim: None,
                details: json!({ "steps_a_second": self.steps }),
            },
        ]
    }
}

impl Ground {
    async fn lay(folder: &Folder) -> Result<Self> {
        let named = std::env::var_os("PLINTH_POSTGRES_BIN").map(PathBuf::from);
        let mut settings = ClusterSettings::new(folder.path().join("ground"));
        let own = [("max_connections", "200"), ("shared_buffers", "256MB")];
        settings.server = own.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let mut cluster = Cluster::open(Installation::find(named.as_deref())?, settings).await?;
        let connection = cluster.start().await?;
        let admin = session(&connection, "postgres").await?;
        for name in ["plinth", "peer", "target"] {
            admin.batch_execute(&format!("CREATE DATABASE {name}")).await?;
        }
        let reader = "CREATE ROLE bench_reader LOGIN PASSWORD 'reads'";
        admin.batch_execute(reader).await?;
        let peer = install(folder).await?;
        let own = session(&connection, "plinth").await?;
        own.batch_execute("SET enable_seqscan = off").await?;
        Ok(Self { cluster, connection, own, peer })
    }

    fn url(&self, database: &str) -> String {
        let it = &self.connection;
        let password = it.password.expose_secret();
        // Without TLS, as the peer's driver speaks if nobody says otherwise.
        let (user, host, port) = (&it.user, &it.host, it.port);
        format!("postgres://{user}:{password}@{host}:{port}/{database}?sslmode=disable")
    }

    async fn peer(&self, mode: &str, count: usize) -> Result<Json> {
        let output = Command::new("node")
            .arg(self.peer.join("queue.cjs"))
            .args([mode, &self.url("peer"), &count.to_string(), CONCURRENCY])
            .current_dir(&self.peer)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("starting node")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "graphile-worker failed: {}", said.trim());
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    async fn peer_rate(&self, mode: &str, count: usize) -> Result<f64> {
        let seconds = self.peer(mode, count).await?["seconds"].as_f64();
        Ok(in_number(count) / seconds.context("the peer measured nothing")?)
    }

    async fn peer_waits(&self, count: usize) -> Result<f64> {
        let found = self.peer("pace", count).await?;
        let waits: Vec<f64> = serde_json::from_value(found["waits"].clone())?;
        ensure!(waits.len() == count, "{} of {count} were started", waits.len());
        Ok(p99(waits))
    }

    /// Waits until no run is under way or waits, and looks so often.
    async fn empty(&self, every: Duration) -> Result<()> {
        let begun = Instant::now();
        // A step in an index each, from the end that nothing was taken from: runs that have ended stay in the table, jobs of the
        // peer do not, and to go through them a hundred times a second would take a fifth of a core from what is measured.
        let left = "SELECT EXISTS (SELECT FROM (
                 SELECT FROM plinth.workflow_runs WHERE state = 'queued'
                 ORDER BY org_id DESC, workflow_id DESC, due_at DESC, id DESC LIMIT 1
             ) it) OR EXISTS (SELECT FROM plinth.workflow_runs WHERE state = 'running')";
        let left = self.own.prepare(left).await?;
        loop {
            if !self.own.query_one(&left, &[]).await?.get::<_, bool>(0) {
                return Ok(());
            }
            ensure!(begun.elapsed() < LIMIT, "the runs do not end");
            tokio::time::sleep(every).await;
        }
    }
}

/// Installs the peer beside everything else of this run.
async fn install(folder: &Folder) -> Result<PathBuf> {
    let peer = folder.path().join("peer");
    std::fs::create_dir(&peer)?;
    std::fs::write(peer.join("queue.cjs"), SCRIPT)?;
    say(&format!("· installing {PEER} …"));
    let output = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--silent", "--prefix"])
        .arg(&peer)
        .args([PEER, "pg@8"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("starting npm")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "npm cannot install {PEER}: {}", said.trim());
    Ok(peer)
}

/// Workflows that ask for one row, once and five times.
struct Scene {
    simple: String,
    long: String,
}

impl Scene {
    async fn make(plinth: &Plinth, ground: &Ground) -> Result<Self> {
        let mut client = plinth.client();
        let it = &ground.connection;
        let body = json!({
            "type": "postgresql", "name": "Target", "host": it.host, "port": it.port, "database": "target",
            "username": "bench_reader", "password": "reads", "ssl_mode": "disable",
        });
        let made = client.request("POST", "/v1/connections", Some(&body)).await?.data()?;
        let connection = made["id"].clone();
        let mut ids = Vec::new();
        for (name, steps) in [("Simple", 1), ("Long", 5)] {
            let steps: Vec<Json> = (1..=steps)
                .map(|n| {
                    json!({ "name": format!("step_{n}"), "type": "sql", "connection_id": connection,
                            "sql": "SELECT 1 AS one" })
                })
                .collect();
            let body = json!({
                "name": name, "trigger": { "type": "manual" }, "steps": steps,
                "limits": { "concurrency": 1000 },
            });
            let made = client.request("POST", "/v1/workflows", Some(&body)).await?.data()?;
            ids.push(made["id"].as_str().context("the workflow has no id")?.to_owned());
        }
        let long = ids.pop().context("there are two")?;
        Ok(Self { simple: ids.pop().context("there are two")?, long })
    }

    /// A worker that has done a run, as the peer has: starting a process is nobody's speed. And the path that queues the next.
    async fn working(
        &self,
        stage: &Stage<'_>,
        plinth: &Plinth,
        ground: &Ground,
    ) -> Result<(WorkerProcess, String)> {
        let worker = WorkerProcess::start(stage.binary, &ground.url("plinth"))?;
        let path = format!("/v1/workflows/{}/run", self.simple);
        let answer = plinth.client().request("POST", &path, None).await?;
        ensure!(answer.status == 202, "a run was not queued: {}", answer.status);
        ground.empty(OFTEN).await?;
        Ok((worker, path))
    }

    /// Producers queue over HTTP, each waiting until it is stored, while a worker does the runs.
    async fn one(
        &self,
        stage: &Stage<'_>,
        plinth: &Plinth,
        ground: &Ground,
        count: usize,
    ) -> Result<f64> {
        let (worker, path) = self.working(stage, plinth, ground).await?;
        let begun = Instant::now();
        let producers = (0..PRODUCERS).map(|at| {
            let (mut client, path) = (plinth.client(), path.as_str());
            let own = count / PRODUCERS + usize::from(at < count % PRODUCERS);
            async move {
                for _ in 0..own {
                    let answer = client.request("POST", path, None).await?;
                    ensure!(answer.status == 202, "a run was not queued: {}", answer.status);
                }
                Ok::<_, anyhow::Error>(())
            }
        });
        futures_util::future::try_join_all(producers).await?;
        ground.empty(OFTEN).await?;
        let seconds = begun.elapsed().as_secs_f64();
        worker.stop()?;
        Ok(in_number(count) / seconds)
    }

    /// What is queued all at once is done by one worker, as fast as it can be; counted from the first start, as the peer counts.
    async fn drain(
        &self,
        stage: &Stage<'_>,
        plinth: &Plinth,
        ground: &Ground,
        workflow: &str,
        count: usize,
    ) -> Result<f64> {
        let fill = "INSERT INTO plinth.workflow_runs
                 (id, org_id, workflow_id, version, state, trigger_kind, due_at, created_at)
             SELECT run::uuid, org_id, id, published, 'queued', 'manual', now(), now()
             FROM plinth.workflows, unnest($2::text[]) AS run
             WHERE 'wf_' || replace(id::text, '-', '') = $1";
        let (worker, _) = self.working(stage, plinth, ground).await?;
        let marked: Timestamp = ground.own.query_one("SELECT clock_timestamp()", &[]).await?.get(0);
        // Ids made as all of Plinth's are: they go up, as the peer's do.
        let id = |_| OrgId::new(SystemClock.now()).as_uuid().to_string();
        let ids: Vec<String> = (0..count).map(id).collect();
        ground.own.execute(fill, &[&workflow, &ids]).await?;
        ground.empty(SELDOM).await?;
        worker.stop()?;
        let took = "SELECT count(*), extract(epoch FROM max(ended_at) - min(started_at))::float8
             FROM plinth.workflow_runs WHERE created_at >= $1 AND state = 'succeeded'";
        let row = ground.own.query_one(took, &[&marked]).await?;
        let (done, seconds): (i64, f64) = (row.get(0), row.get(1));
        ensure!(usize::try_from(done)? == count, "{done} of {count} runs succeeded");
        Ok(in_number(count) / seconds)
    }

    /// Queued 200 a second over HTTP; from before a run is queued to its start by the database's clock, which is this
    /// machine's.
    async fn pace(
        &self,
        stage: &Stage<'_>,
        plinth: &Plinth,
        ground: &Ground,
        count: usize,
    ) -> Result<f64> {
        let (worker, path) = self.working(stage, plinth, ground).await?;
        let begun = Instant::now();
        // Each client takes every so many-th, so that none waits for another's answer.
        let clients = (0..PRODUCERS * 2).map(|at| {
            let (mut client, path) = (plinth.client(), path.as_str());
            async move {
                let mut queued = Vec::new();
                for nth in (at..count).step_by(PRODUCERS * 2) {
                    let due = begun + PACE * u32::try_from(nth)?;
                    tokio::time::sleep_until(due.into()).await;
                    let asked = SystemClock.now();
                    let made = client.request("POST", path, None).await?.data()?;
                    queued.push((made["id"].as_str().context("no id")?.to_owned(), asked));
                }
                Ok::<_, anyhow::Error>(queued)
            }
        });
        let queued = futures_util::future::try_join_all(clients).await?;
        ground.empty(OFTEN).await?;
        worker.stop()?;
        let started = "SELECT started_at FROM plinth.workflow_runs WHERE id = $1::text::uuid";
        let started = ground.own.prepare(started).await?;
        let mut waits = Vec::with_capacity(count);
        for (id, asked) in queued.into_iter().flatten() {
            let id = id.trim_start_matches("run_");
            let at: Timestamp = ground.own.query_one(&started, &[&id]).await?.get(0);
            waits.push(at.duration_since(asked).as_secs_f64() * 1000.0);
        }
        Ok(p99(waits))
    }
}

fn p99(mut waits: Vec<f64>) -> f64 {
    waits.sort_by(f64::total_cmp);
    quantile(&waits, 0.99).unwrap_or_default()
}

fn in_number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

async fn session(
    connection: &ConnectionParameters,
    database: &str,
) -> Result<tokio_postgres::Client> {
    let mut config = tokio_postgres::Config::new();
    config
        .host(&connection.host)
        .port(connection.port)
        .user(&connection.user)
        .password(connection.password.expose_secret())
        .dbname(database);
    let (client, driver) = config.connect(tokio_postgres::NoTls).await?;
    tokio::spawn(async move {
        // It ends with the session; what was asked gets the error.
        let _ = driver.await;
    });
    Ok(client)
}
