//! Reading a large schema beside `pg_dump -s` and beside the plainest queries that could be asked, reading one of its
//! tables anew, and what it costs in memory.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::figure::{Aim, Figure, Unit, median, median_ratio, seconds, time};
use super::tools::Tool;
use super::{Stage, memory};
use crate::client::Client;
use crate::database::{config, connect};
use crate::sample::{Reader, create_connection, password, refresh_schema};
use crate::terminal::{Progress, say};

const DATABASE: &str = "wide";
const OWNER: &str = "wide_owner";
const SCHEMAS: u32 = 20;
const TABLES_EACH: u32 = 500;
const COLUMNS_EACH: u32 = 12;
/// How often in each round one table is changed and read anew.
const REFRESHES_EACH: u32 = 10;
/// So many are made in one transaction.
const TABLES_AT_ONCE: u32 = 100;

/// What a client that wants tables, columns, keys, indexes and comments asks the catalog, plainly.
const CATALOG: [&str; 5] = [
    "SELECT c.oid, n.nspname::text, c.relname::text, c.relkind, c.reltuples
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'",
    "SELECT a.attrelid, a.attnum, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull
     FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
     JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
       AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'",
    "SELECT conrelid, conname::text, contype, conkey, confrelid, confkey FROM pg_constraint WHERE conrelid <> 0",
    "SELECT i.indrelid, c.relname::text, i.indisunique, i.indisprimary, i.indkey::text
     FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
     JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname NOT LIKE 'pg\\_%'",
    "SELECT objoid, objsubid, description FROM pg_description WHERE classoid = 'pg_class'::regclass AND objoid >= 16384",
];

/// Measures reading the schema of ten thousand tables.
///
/// # Errors
/// If an answer is none.
pub(super) async fn measure(stage: &Stage<'_>) -> Result<Vec<Figure>> {
    let password = password()?;
    make(stage, &password).await?;
    let owner = Reader { database: DATABASE, role: OWNER, password: &password };
    let raw = connect(&owner.config(stage.databases)).await?;
    let dump = Tool::find(stage.databases, "pg_dump", &owner).map(|tool| tool.with(&["-s"]));

    let (_folder, plinth) = stage.plinth().await?;
    let mut client = plinth.client();
    // What any first use costs is not the schema's.
    let small = Reader { database: "postgres", ..owner };
    introspect(&mut client, stage, &small, None, &raw).await?;
    memory::reset_peak(plinth.pid())?;
    let before = memory::look(plinth.pid())?;
    let mut first_peak = 0.0;
    let (mut ours, mut reads) = (Vec::new(), Vec::new());
    let (mut dumps, mut queries, mut refreshes) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=stage.options.rounds {
        let tables = Some(SCHEMAS * TABLES_EACH);
        let Introspected { took: mine, read, refreshes: of_one } =
            introspect(&mut client, stage, &owner, tables, &raw).await?;
        refreshes.extend(of_one);
        if round == 1 {
            first_peak = memory::look(plinth.pid())?.peak;
        }
        let theirs = match &dump {
            Some(dump) => Some(dump.run().await?),
            None => None,
        };
        let started = Instant::now();
        for query in CATALOG {
            raw.query(query, &[]).await?;
        }
        queries.push(started.elapsed());
        ours.push(mine);
        reads.extend(read);
        dumps.extend(theirs);
        let theirs = theirs.unwrap_or_default();
        say(&format!("· schema, round {round}: {mine:.0?}, pg_dump {theirs:.0?}"));
    }
    let after = memory::look(plinth.pid())?;
    plinth.stop()?;

    let (ours, dumps, queries) = (seconds(&ours), seconds(&dumps), seconds(&queries));
    let refreshes = seconds(&refreshes);
    let mine = time(median(ours.iter().copied()));
    let tables = SCHEMAS * TABLES_EACH;
    let mut figures = Vec::new();
    if dumps.is_empty() {
        say("! pg_dump is not installed: nothing to compare with");
    } else {
        figures.push(Figure {
            what: format!("schema of {tables} tables"),
            ours: mine.clone(),
            peer: format!("pg_dump -s {}", time(median(dumps.iter().copied()))),
            number: median_ratio(&dumps, &ours),
            unit: Unit::Times,
            aim: Some(Aim::AtLeast(5.0)),
            details: json!({
                "plinth_seconds": ours,
                "of_it_reading_ms": reads,
                "pg_dump_seconds": dumps,
            }),
        });
    }
    figures.push(Figure {
        what: format!("schema of {tables} tables"),
        ours: mine,
        peer: format!("5 catalog queries {}", time(median(queries.iter().copied()))),
        number: median_ratio(&ours, &queries),
        unit: Unit::Times,
        aim: Some(Aim::AtMost(3.0)),
        details: json!({ "plinth_seconds": ours, "catalog_queries_seconds": queries }),
    });
    let of_one = median(refreshes.iter().copied());
    figures.push(Figure {
        what: format!("1 table of {tables} anew"),
        ours: time(of_one),
        peer: String::new(),
        number: of_one * 1000.0,
        unit: Unit::Milliseconds,
        aim: Some(Aim::AtMost(20.0)),
        details: json!({ "seconds": refreshes }),
    });
    figures.push(Figure {
        what: format!("memory for {tables} tables"),
        ours: format!("{:.0} MiB before, {first_peak:.0} at most", before.resident),
        peer: String::new(),
        number: first_peak - before.resident,
        unit: Unit::Mebibytes,
        aim: Some(Aim::AtMost(100.0)),
        details: json!({
            "before_mib": before.resident,
            "first_peak_mib": first_peak,
            "peak_of_all_rounds_mib": after.peak,
            "after_mib": after.resident,
        }),
    });
    Ok(figures)
}

struct Introspected {
    /// Making the database known and reading its schema.
    took: Duration,
    /// How much of it Plinth says was reading, in milliseconds.
    read: Option<f64>,
    /// Reading one table anew, each time after it was changed.
    refreshes: Vec<Duration>,
}

/// Makes a database known and lets Plinth read its schema, checks that all tables came, refreshes one table a few times if
/// `tables` says that they are there, and forgets it again.
async fn introspect(
    client: &mut Client,
    stage: &Stage<'_>,
    reader: &Reader<'_>,
    tables: Option<u32>,
    raw: &tokio_postgres::Client,
) -> Result<Introspected> {
    let started = Instant::now();
    let id = create_connection(client, stage.databases, reader).await?;
    let summary = refresh_schema(client, &id).await?;
    let took = started.elapsed();
    let mut refreshes = Vec::new();
    if let Some(tables) = tables {
        let read = (&summary["table_count"], &summary["column_count"]);
        ensure!(
            *read.0 == tables && *read.1 == tables * COLUMNS_EACH,
            "{} tables with {} columns were read instead of {tables}",
            read.0,
            read.1
        );
        let path = format!("/v1/connections/{id}/schema/tables/area_7.thing_77");
        for number in 0..REFRESHES_EACH {
            let comment = format!("Changed {number} times.");
            raw.batch_execute(&format!("COMMENT ON TABLE area_7.thing_77 IS '{comment}'")).await?;
            let started = Instant::now();
            let answer = client.request("POST", &format!("{path}/refresh"), None).await?;
            refreshes.push(started.elapsed());
            answer.data().context("reading one table")?;
            let table = client.request("GET", &path, None).await?.data()?;
            ensure!(table["comment"] == comment, "the table was not read anew: {table}");
        }
    }
    let gone = client.request("DELETE", &format!("/v1/connections/{id}"), None).await?;
    ensure!(gone.status < 300, "the connection could not be removed: {}", gone.status);
    Ok(Introspected { took, read: summary["duration_ms"].as_f64(), refreshes })
}

/// Makes the tables, as a role that owns them.
async fn make(stage: &Stage<'_>, password: &str) -> Result<()> {
    let admin = connect(&config(stage.databases, "postgres")).await?;
    admin.batch_execute(&format!("CREATE ROLE {OWNER} LOGIN PASSWORD '{password}'")).await?;
    admin.batch_execute(&format!("CREATE DATABASE {DATABASE} OWNER {OWNER}")).await?;
    let owner = Reader { database: DATABASE, role: OWNER, password };
    let client = connect(&owner.config(stage.databases)).await?;
    let mut progress = Progress::new();
    for schema in 0..SCHEMAS {
        let mut sql = format!("CREATE SCHEMA area_{schema};");
        for table in 0..TABLES_EACH {
            write_table(&mut sql, schema, table);
            if (table + 1).is_multiple_of(TABLES_AT_ONCE) {
                client.batch_execute(&sql).await.context("making tables")?;
                sql.clear();
                let done = schema * TABLES_EACH + table + 1;
                progress.show(|| format!("{done} of {} tables made", SCHEMAS * TABLES_EACH));
            }
        }
    }
    client.batch_execute("ANALYZE").await?;
    let catalogs = connect(&config(stage.databases, DATABASE)).await?;
    catalogs.batch_execute("VACUUM ANALYZE pg_catalog.pg_class, pg_catalog.pg_attribute, pg_catalog.pg_constraint, pg_catalog.pg_index, pg_catalog.pg_depend").await?;
    progress.done(&format!("made {} tables", SCHEMAS * TABLES_EACH));
    Ok(())
}

/// Twelve columns, a primary key, up to two references to tables made before, sometimes an index and a comment.
fn write_table(sql: &mut String, schema: u32, table: u32) {
    let name = format!("area_{schema}.thing_{table}");
    let reference = |to: u32| format!("bigint REFERENCES area_{schema}.thing_{to}");
    let parent = if table > 0 { reference(table / 2) } else { "bigint".to_owned() };
    let other = if table % 3 == 2 { reference(table - 1) } else { "bigint".to_owned() };
    // Writing to a string does not fail.
    let _ = write!(
        sql,
        "CREATE TABLE {name} (id bigint PRIMARY KEY, parent_id {parent}, other_id {other}, name text NOT NULL, \
         code varchar(20), kind integer NOT NULL DEFAULT 0, amount numeric(12, 2), ratio double precision, \
         is_active boolean NOT NULL DEFAULT true, details jsonb, starts_on date, created_at timestamptz NOT NULL DEFAULT now());"
    );
    if table.is_multiple_of(4) {
        let _ = write!(sql, "CREATE INDEX ON {name} (name, created_at);");
    }
    if table.is_multiple_of(5) {
        let _ = write!(
            sql,
            "COMMENT ON TABLE {name} IS 'Things of number {table}.'; COMMENT ON COLUMN {name}.code IS 'As printed on it.';"
        );
    }
}
