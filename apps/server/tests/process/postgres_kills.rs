//! Plinth's own Postgres killed while runs go through: what was acknowledged is there and done, and what must not be done
//! twice is done once, although claims of runs and results of steps are not flushed. The short form runs with all the others;
//! `cargo xtask soak postgres` kills it ten times.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plinth_local_postgres::{Cluster, ClusterSettings, Installation};
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::bootstrap::printed_key;
use crate::client::{Person, until};
use crate::folder::DataFolder;
use crate::plinth::{MASTER_KEY, Running, plinth, run, serve_on};
use crate::soak::{Chance, Work, queue, setting};
use crate::workers::worker_on;
use crate::writes::connected;

/// Kills of the short form; of a long one `SOAK_INPUTS` says it.
const KILLS: u64 = 1;

/// Work goes on within this after the database is back. The short form runs beside other tests, and gets more.
const BACK: Duration = Duration::from_secs(2);
const BACK_BESIDE_OTHERS: Duration = Duration::from_secs(20);

/// A port that this test has to itself: outside of those that other tests' servers choose from, and of those that the system
/// gives away, so that nobody takes it while the server is dead.
struct Port {
    number: u16,
    _held: File,
}

impl Port {
    fn take() -> Self {
        for number in 15_900..16_000 {
            let path = std::env::temp_dir().join(format!("plinth-test-port-{number}"));
            let Ok(held) = File::create(path) else { continue };
            if held.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Self { number, _held: held };
            }
        }
        panic!("a hundred of these tests run at once")
    }
}

#[actix_web::test]
async fn what_was_acknowledged_is_done_once_however_often_postgres_is_killed() {
    let kills = setting("SOAK_INPUTS").unwrap_or(KILLS);
    let is_long = kills > KILLS;
    let seed = setting("SOAK_SEED").unwrap_or(1).max(1);
    let mut chance = Chance(seed);
    println!("{kills} kills of Postgres, seed {seed}");

    let folder = DataFolder::new();
    let port = Port::take();
    let named = std::env::var_os("PLINTH_POSTGRES_BIN").map(PathBuf::from);
    let mut settings = ClusterSettings::new(folder.beside("own"));
    // What nobody flushes stays in memory for as long as it can, and goes with it.
    settings.port = Some(port.number);
    settings.server = vec![("wal_writer_delay".to_owned(), "10s".to_owned())];
    let installation = Installation::find(named.as_deref()).unwrap();
    let mut cluster = Cluster::open(installation, settings).await.unwrap();
    let at = cluster.start().await.unwrap();
    let url = |database: &str| {
        let password = at.password.expose_secret();
        format!("postgres://{}:{password}@{}:{}/{database}", at.user, at.host, at.port)
    };
    connected(&url("postgres")).await.batch_execute("CREATE DATABASE plinth").await.unwrap();
    let url = url("plinth");
    let server = Running::start(serve_on(&url).env("PLINTH_WORKFLOW_RUNS", "8")).up().await;
    let worker = worker_on(&url).await;
    let mut command =
        plinth(&["bootstrap", "--organization", "Acme", "--email", "ann@example.com"]);
    command.env("PLINTH_DATABASE_URL", &url).env("PLINTH_MASTER_KEY", MASTER_KEY);
    let ann = Person::new(server.listen(), Some(&printed_key(&run(&mut command))));
    let work = Work::new(&ann).await;

    // Some queue with a key, until they hear that it was done; others without, and what they do not hear of may be there.
    let is_over = Arc::new(AtomicBool::new(false));
    let addresses = Arc::new(Mutex::new([server.listen(); 2]));
    let keyed = {
        let (ann, path, is_over) = (ann.clone(), work.path.clone(), is_over.clone());
        actix_web::rt::spawn(async move {
            let mut heard = BTreeSet::new();
            let mut nth = 0;
            while !is_over.load(Ordering::Relaxed) {
                heard.extend(queue(&ann, &addresses, &path, nth).await);
                nth += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            heard
        })
    };
    let others = {
        let (ann, path, is_over) = (ann.clone(), work.path.clone(), is_over.clone());
        actix_web::rt::spawn(async move {
            let one = async || {
                let mut heard = BTreeSet::new();
                while !is_over.load(Ordering::Relaxed) {
                    let asked = ann.request("POST", &format!("{path}/run")).json(&json!({}));
                    let answer = asked.timeout(Duration::from_secs(10)).send().await.unwrap();
                    let status = answer.status().as_u16();
                    let body: serde_json::Value = answer.json().await.unwrap();
                    if status == 202 {
                        heard.insert(body["data"]["id"].as_str().unwrap().to_owned());
                    } else {
                        assert_eq!(status, 503, "{body}");
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                heard
            };
            futures_util::future::join3(one(), one(), one()).await
        })
    };
    let mut took = Vec::new();
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(700 + chance.below(1_500))).await;
        kill(Pid::from_raw(cluster.pid().unwrap().try_into().unwrap()), Signal::SIGKILL).unwrap();
        cluster.exited().await;
        tokio::time::sleep(Duration::from_millis(chance.below(1_500))).await;
        cluster.start().await.unwrap();
        let back = Instant::now();
        let own = connected(&url).await;
        let now = "SELECT clock_timestamp()";
        let now: Timestamp = own.query_one(now, &[]).await.unwrap().get(0);
        let goes_on = "SELECT EXISTS (SELECT FROM plinth.workflow_runs WHERE ended_at > $1)
             AND EXISTS (SELECT FROM plinth.workflow_runs WHERE created_at > $1)";
        until("work goes on after Postgres is back", BACK_BESIDE_OTHERS, async || {
            own.query_one(goes_on, &[&now]).await.unwrap().get(0)
        })
        .await;
        took.push(back.elapsed());
        let first = "SELECT extract(epoch FROM min(created_at) - $1)::float8,
                 extract(epoch FROM min(started_at) FILTER (WHERE started_at > $1) - $1)::float8,
                 extract(epoch FROM min(ended_at) FILTER (WHERE ended_at > $1) - $1)::float8
             FROM plinth.workflow_runs WHERE created_at > $1 OR ended_at > $1";
        let row = own.query_one(first, &[&now]).await.unwrap();
        println!(
            "back after {:?}; seconds to the first that was queued {:?}, started {:?}, done {:?}",
            took.last().unwrap(),
            row.get::<_, Option<f64>>(0),
            row.get::<_, Option<f64>>(1),
            row.get::<_, Option<f64>>(2),
        );
    }
    is_over.store(true, Ordering::Relaxed);
    let keyed = keyed.await.unwrap();
    let (one, two, three) = others.await.unwrap();
    let heard: BTreeSet<String> = [keyed, one, two, three].into_iter().flatten().collect();

    let own = connected(&url).await;
    let (ended, again) = work.is_done(&own).await;
    let lost: Vec<_> = heard.difference(&ended).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    // Entries of the trail that were not on disk went with those after them, and what is there is chained without a gap.
    let mut command = plinth(&["audit", "verify"]);
    let whole = run(command.env("PLINTH_DATABASE_URL", &url).env("PLINTH_MASTER_KEY", MASTER_KEY));
    assert_eq!(whole.status.code(), Some(0), "{}{}", whole.stdout, whole.stderr);
    assert!(whole.stdout.contains("whole: "), "{}", whole.stdout);
    let stopped = |text: String| text.matches("the run was cancelled or taken over").count();
    took.sort();
    if is_long {
        assert!(took.last() <= Some(&BACK), "work went on after {took:?}");
    }
    println!(
        "{} runs acknowledged, {} ended, {again} deliveries came again, {} runs were found lost; work went on after {took:?}",
        heard.len(),
        ended.len(),
        stopped(worker.stdout()) + stopped(server.process().stdout()),
    );
    worker.signal(Signal::SIGKILL);
    server.kill().await;
    cluster.stop().await.unwrap();
}
