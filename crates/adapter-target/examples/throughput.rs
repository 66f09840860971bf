//! How fast statements run through the adapter, beside tokio-postgres with a prepared statement, on the same database:
//! `cargo run --release -p plinth-adapter-target --example throughput`.
//!
//! Figures of one machine at one time mean little: look at the ratios.

#![expect(clippy::print_stdout, reason = "a program for people")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use plinth_adapter_target::{ManagedServers, SystemResolver, TargetDatabases, TargetSettings};
use plinth_connections::{ConnectionId, Host, Place, SslMode, Target, TlsMaterial};
use plinth_core::{Clock as _, OrgId, SystemClock};
use plinth_egress::Gate;
use plinth_queries::{RunLimits, Statement, StatementRunner as _};
use plinth_testdb::TestDatabase;

const CLIENTS: usize = 8;
const EACH: Duration = Duration::from_secs(3);

struct NoServers;

impl ManagedServers for NoServers {
    fn address(&self, _: &str) -> Option<SocketAddr> {
        None
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let (owner, connection) =
        tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    owner
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, name text, amount numeric(12,2), at timestamptz);
             INSERT INTO t SELECT g, 'name ' || g, g * 1.01, now() - g * interval '1 minute' FROM generate_series(1, 100000) g;
             ANALYZE t",
        )
        .await?;
    let gate = Gate::new(Arc::new(SystemResolver), ["127.0.0.0/8".parse()?], []);
    let databases = TargetDatabases::new(TargetSettings::new(gate, Arc::new(NoServers)))?;
    let target = Target {
        connection: Some(ConnectionId::new(SystemClock.now())),
        org: OrgId::new(SystemClock.now()),
        place: Place::Typed { host: Host::parse(database.host())?, port: database.port() },
        database: database.name().to_owned(),
        username: database.user().to_owned(),
        password: database.password().to_owned().into(),
        ssl_mode: SslMode::Disable,
        tls: TlsMaterial::default(),
        tunnel: None,
        version: 1,
    };
    for round in 1..=3 {
        let raw = raw(&database).await?;
        let ours = ours(&databases, &target, CLIENTS).await?;
        println!(
            "round {round}: 1 row, {CLIENTS} clients: tokio-postgres prepared {raw:.0}/s, run {ours:.0}/s ({:.0} %)",
            ours / raw * 100.0
        );
        let apart = ours_by_workers(&databases, &target)?;
        println!(
            "  with a runtime for each half of the clients, as a web server has them: {apart:.0}/s"
        );
        let began = Instant::now();
        let (rows, bytes) = many(&databases, &target).await?;
        println!("  {rows} rows, {bytes} bytes in {:.0} ms", began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(())
}

/// Statements in a second by tokio-postgres.
async fn raw(database: &TestDatabase) -> anyhow::Result<f64> {
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let (client, connection) =
            tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        clients.push(tokio::spawn(async move {
            let sql = "SELECT id, name, amount::text, at FROM t WHERE id = $1";
            let statement = client.prepare(sql).await?;
            let (began, mut count) = (Instant::now(), 0_u32);
            while began.elapsed() < EACH {
                for id in 1..=20_i32 {
                    client.query_one(&statement, &[&id]).await?;
                    count += 1;
                }
            }
            anyhow::Ok(f64::from(count) / began.elapsed().as_secs_f64())
        }));
    }
    let mut sum = 0.0;
    for client in clients {
        sum += client.await??;
    }
    Ok(sum)
}

fn limits() -> RunLimits {
    RunLimits {
        rows: 1_000_000,
        bytes: 1 << 30,
        row_bytes: 8 << 20,
        time: Duration::from_secs(30),
        reader_time: Duration::ZERO,
        time_zone: "UTC".to_owned(),
        in_background: false,
    }
}

async fn ours(
    databases: &TargetDatabases,
    target: &Target,
    clients_count: usize,
) -> anyhow::Result<f64> {
    let mut clients = Vec::new();
    for _ in 0..clients_count {
        let (databases, target) = (databases.clone(), target.clone());
        clients.push(tokio::spawn(async move {
            let limits = limits();
            let (began, mut count) = (Instant::now(), 0_u32);
            while began.elapsed() < EACH {
                for id in 1..=20 {
                    let statement = Statement {
                        sql: "SELECT id, name, amount, at FROM t WHERE id = $1".to_owned(),
                        parameters: vec![Some(id.to_string())],
                        search_path: Vec::new(),
                    };
                    let mut rows = databases.run(&target, &statement, &limits).await?;
                    rows.next().await?.first().context("a row")?;
                    rows.next().await?;
                    count += 1;
                }
            }
            anyhow::Ok(f64::from(count) / began.elapsed().as_secs_f64())
        }));
    }
    let mut sum = 0.0;
    for client in clients {
        sum += client.await??;
    }
    Ok(sum)
}

/// Two threads with a runtime each, sharing the pool.
fn ours_by_workers(databases: &TargetDatabases, target: &Target) -> anyhow::Result<f64> {
    let worker = || -> anyhow::Result<f64> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(ours(databases, target, CLIENTS / 2))
    };
    std::thread::scope(|scope| {
        let workers = [scope.spawn(worker), scope.spawn(worker)];
        workers.into_iter().map(|it| it.join().expect("no panic")).sum()
    })
}

async fn many(databases: &TargetDatabases, target: &Target) -> anyhow::Result<(usize, usize)> {
    let statement = Statement {
        sql: "SELECT id, name, amount, at, repeat('x', 150) FROM t".to_owned(),
        parameters: Vec::new(),
        search_path: Vec::new(),
    };
    let mut rows = databases.run(target, &statement, &limits()).await?;
    let (mut count, mut bytes) = (0, 0);
    loop {
        let some = rows.next().await?;
        if some.is_empty() {
            return Ok((count, bytes));
        }
        count += some.len();
        bytes += some.iter().map(plinth_queries::RawRow::size_bytes).sum::<usize>();
    }
}
