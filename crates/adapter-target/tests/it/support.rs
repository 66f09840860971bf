use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use plinth_adapter_target::{ManagedServers, SystemResolver, TargetDatabases, TargetSettings};
use plinth_connections::{ConnectionId, Host, Place, SslMode, Target, TlsMaterial};
use plinth_core::{Clock as _, OrgId, SystemClock};
use plinth_egress::Gate;
use plinth_queries::{CutOff, RawRow, RunError, RunLimits, Statement, StatementRunner as _};
use plinth_testdb::TestDatabase;

pub(crate) struct NoServers;

impl ManagedServers for NoServers {
    fn address(&self, _: &str) -> Option<SocketAddr> {
        None
    }
}

/// Settings by which this machine may be reached.
pub(crate) fn settings() -> TargetSettings {
    let loopback = ["127.0.0.0/8", "::1/128"].map(|it| it.parse().expect("a network"));
    TargetSettings::new(Gate::new(Arc::new(SystemResolver), loopback, []), Arc::new(NoServers))
}

pub(crate) fn databases() -> TargetDatabases {
    TargetDatabases::new(settings()).expect("no extra certificates")
}

/// A target nowhere.
pub(crate) fn free_target() -> Target {
    Target {
        connection: Some(ConnectionId::new(SystemClock.now())),
        org: OrgId::new(SystemClock.now()),
        place: Place::Typed { host: Host::parse("127.0.0.1").expect("a host"), port: 1 },
        database: "shop".to_owned(),
        username: "ann".to_owned(),
        password: "secret".to_owned().into(),
        ssl_mode: SslMode::Disable,
        tls: TlsMaterial::default(),
        tunnel: None,
        version: 1,
    }
}

pub(crate) fn target(database: &TestDatabase) -> Target {
    let host = Host::parse(database.host()).expect("a host");
    Target {
        place: Place::Typed { host, port: database.port() },
        database: database.name().to_owned(),
        username: database.user().to_owned(),
        password: database.password().to_owned().into(),
        ..free_target()
    }
}

pub(crate) fn limits() -> RunLimits {
    RunLimits {
        rows: 1_000_000,
        bytes: 1 << 30,
        row_bytes: 4 << 20,
        time: Duration::from_secs(20),
        reader_time: Duration::ZERO,
        time_zone: "UTC".to_owned(),
        in_background: false,
    }
}

pub(crate) fn statement(sql: &str) -> Statement {
    Statement { sql: sql.to_owned(), parameters: Vec::new(), search_path: Vec::new() }
}

pub(crate) type Texts = Vec<Vec<Option<String>>>;

pub(crate) fn texts(rows: &[RawRow]) -> Texts {
    let text = |it: Option<&[u8]>| it.map(|it| String::from_utf8_lossy(it).into_owned());
    rows.iter().map(|row| row.values().map(text).collect()).collect()
}

/// All rows of a statement, and which limit cut it off.
pub(crate) async fn all(
    databases: &TargetDatabases,
    target: &Target,
    sql: &str,
    limits: &RunLimits,
) -> Result<(Texts, Option<CutOff>), RunError> {
    let mut rows = databases.run(target, &statement(sql), limits).await?;
    let mut seen = Vec::new();
    loop {
        let some = rows.next().await?;
        if some.is_empty() {
            return Ok((seen, rows.cut_off()));
        }
        seen.extend(texts(&some));
    }
}

/// The only value of a statement with one.
pub(crate) async fn one(
    databases: &TargetDatabases,
    target: &Target,
    sql: &str,
) -> Result<String, RunError> {
    let (rows, _) = all(databases, target, sql, &limits()).await?;
    Ok(rows[0][0].clone().unwrap_or_else(|| "null".to_owned()))
}

pub(crate) async fn client(url: &str) -> tokio_postgres::Client {
    let (client, connection) =
        tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("the test server");
    tokio::spawn(connection);
    client
}

/// Waits until `condition` holds, at most ten seconds.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "not within ten seconds: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
