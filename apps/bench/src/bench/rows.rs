//! Many rows over HTTP beside psql, and what they cost in memory.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;

use super::figure::{Aim, Figure, Unit, median, median_ratio, seconds, time};
use super::tools::Tool;
use super::{Stage, memory, send};
use crate::database::{config, connect};
use crate::sample::{Reader, connect_plinth, password};
use crate::terminal::say;

const DATABASE: &str = "events";
const READER: &str = "events_reader";
const ROWS: u32 = 100_000;
const STATEMENT: &str = "SELECT * FROM events";

/// Rows of some 200 bytes as JSON, of the types that are common.
const TABLE: &str = "
CREATE TABLE events AS
SELECT id,
       id % 9973 AS customer_id,
       (ARRAY['signed_in', 'looked', 'bought', 'asked', 'left'])[1 + id % 5] AS kind,
       round((id * 7919 % 1000000)::numeric / 100, 2) AS amount,
       sqrt(id) AS score,
       id % 3 = 0 AS is_first,
       timestamptz '2024-01-01 00:00:00+00' + id * interval '317 seconds' AS happened_at,
       CASE WHEN id % 4 > 0 THEN 'Something happened, and this says at some length what it was: ' || md5(id::text) || ' ' || md5((-id)::text) END AS note
FROM generate_series(1::bigint, 100000) AS id;
ALTER TABLE events ADD PRIMARY KEY (id);
ANALYZE events;
GRANT SELECT ON events TO events_reader";

/// Measures the time to the last byte, and how much the server grows.
///
/// # Errors
/// If an answer is none.
pub(super) async fn measure(stage: &Stage<'_>) -> Result<Vec<Figure>> {
    let password = password()?;
    let admin = connect(&config(stage.databases, "postgres")).await?;
    admin.batch_execute(&format!("CREATE ROLE {READER} LOGIN PASSWORD '{password}'")).await?;
    admin.batch_execute(&format!("CREATE DATABASE {DATABASE}")).await?;
    connect(&config(stage.databases, DATABASE)).await?.batch_execute(TABLE).await?;
    let reader = Reader { database: DATABASE, role: READER, password: &password };

    let (_folder, plinth) = stage.plinth().await?;
    let mut client = plinth.client();
    let connection = connect_plinth(&mut client, stage.databases, &reader).await?;
    let body = |sql: &str| {
        json!({ "connection_id": connection, "sql": sql, "row_limit": ROWS })
            .to_string()
            .into_bytes()
    };
    let (one, all) = (body("SELECT 1"), body(STATEMENT));
    // The way is gone once, but with one row: what many rows cost is what is measured.
    for _ in 0..100 {
        send(&mut client, &one).await?;
    }
    memory::reset_peak(plinth.pid())?;
    let before = memory::look(plinth.pid())?;

    let psql = Tool::find(stage.databases, "psql", &reader);
    let peer = psql.as_ref().map(|psql| psql.with(&["-X", "-At", "-c", STATEMENT]));
    let start = psql.as_ref().map(|psql| psql.with(&["-X", "-At", "-c", "SELECT 1"]));
    let (mut ours, mut peers, mut starts) = (Vec::new(), Vec::new(), Vec::new());
    let mut bytes = 0;
    // The first round warms both up.
    for round in 0..=stage.options.rounds {
        let started = Instant::now();
        bytes = send(&mut client, &all).await?;
        let mine = started.elapsed();
        let peer = run(peer.as_ref()).await?;
        let start = run(start.as_ref()).await?;
        if round > 0 {
            ours.push(mine);
            peers.extend(peer);
            starts.extend(start);
            say(&format!(
                "· {ROWS} rows, round {round}: {mine:.0?} and {:.0?}",
                peer.unwrap_or_default()
            ));
        }
    }
    let after = memory::look(plinth.pid())?;
    check(&mut client, &connection).await?;
    plinth.stop()?;

    let (ours, peers, starts) = (seconds(&ours), seconds(&peers), seconds(&starts));
    let (mine, theirs, start) = (
        median(ours.iter().copied()),
        median(peers.iter().copied()),
        median(starts.iter().copied()),
    );
    let net: Vec<f64> = peers.iter().zip(&starts).map(|(all, start)| all - start).collect();
    let mebibytes = f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / 1024.0 / 1024.0;
    let mut figures = Vec::new();
    if peers.is_empty() {
        say("! psql is not installed: nothing to compare with");
    } else {
        figures.push(Figure {
            what: "100,000 rows".to_owned(),
            ours: format!("{} ({mebibytes:.0} MiB of JSON)", time(mine)),
            peer: format!("psql -At {} ({} of it its start)", time(theirs), time(start)),
            number: median_ratio(&peers, &ours),
            unit: Unit::Times,
            aim: Some(Aim::AtLeast(1.0)),
            details: json!({
                "sql": STATEMENT,
                "bytes": bytes,
                "plinth_seconds": ours,
                "psql_seconds": peers,
                "psql_start_seconds": starts,
                "times_without_psqls_start": median_ratio(&net, &ours),
            }),
        });
    }
    let growth = after.peak - before.resident;
    figures.push(Figure {
        what: "memory for 100,000 rows".to_owned(),
        ours: format!("{:.0} MiB before, {:.0} at most", before.resident, after.peak),
        peer: String::new(),
        number: growth,
        unit: Unit::Mebibytes,
        aim: Some(Aim::AtMost(32.0)),
        details: json!({
            "before_mib": before.resident,
            "peak_mib": after.peak,
            "after_mib": after.resident,
        }),
    });
    Ok(figures)
}

async fn run(tool: Option<&Tool>) -> Result<Option<Duration>> {
    match tool {
        Some(tool) => Ok(Some(tool.run().await?)),
        None => Ok(None),
    }
}

/// All rows came, not only some fast ones.
async fn check(client: &mut crate::client::Client, connection: &str) -> Result<()> {
    let body = json!({ "connection_id": connection, "sql": STATEMENT, "row_limit": ROWS });
    let answer = client.request("POST", "/v1/queries", Some(&body)).await?.data()?;
    let results = &answer["results"];
    ensure!(
        results["row_count"] == ROWS && results["truncated"] == false,
        "only {} rows came",
        results["row_count"]
    );
    Ok(())
}
