//! Brings the sample into a database.

use std::pin::pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::SinkExt;
use plinth_core::{Classify, ErrorKind};
use tokio_postgres::{Client, GenericClient, Transaction};

use crate::calendar::Calendar;
use crate::rows::Rows;
use crate::world::{Table, World};

/// Everything that is created, as SQL: types, tables, keys, indexes, views and comments, but no rows. It creates in the
/// first schema of the search path.
pub const SCHEMA: &str = include_str!("schema.sql");

/// Where [`SCHEMA`] is cut: the rows come in before what follows.
const AFTER_THE_ROWS: &str = "\n-- after the rows ";

/// Comment of the type `order_status`, by which tables that this crate made are known.
const MARK: &str = "Where an order stands; part of the Plinth sample shop.";

/// Dropped before the tables, in this order.
const VIEWS: [(&str, &str); 3] = [
    ("MATERIALIZED VIEW", "product_sales"),
    ("VIEW", "customer_totals"),
    ("VIEW", "monthly_revenue"),
];

const TYPES: [&str; 9] = [
    "order_status",
    "sales_channel",
    "payment_method",
    "payment_status",
    "refund_reason",
    "address_kind",
    "ticket_status",
    "ticket_priority",
    "ticket_channel",
];

/// Rows are sent when this much of them has come together, so that memory does not grow with the sample.
const CHUNK_BYTES: usize = 128 * 1024;

/// Two loads into one database wait for each other on this advisory lock.
const LOCK: i64 = 0x706c_696e_7361_6d70;

/// What to load.
#[derive(Clone, Debug)]
pub struct Options {
    /// The time that the sample pretends was "now": its UTC day is the last one with rows, and nothing happened after it.
    /// The years 1980 to 2999 are possible.
    pub now: jiff::Timestamp,
    /// The same seed, time and scale give the same rows, on every platform.
    pub seed: u64,
    /// 100 is the normal size: about 46,000 orders with 110,000 lines. 1 to 1000; employees and products stay as many.
    pub scale_percent: u32,
    /// Whether a sample that is already there is dropped first. Tables of the same names that this crate did not make are
    /// never dropped.
    pub replace: bool,
    /// A role that may connect to the database and read the sample afterwards. It must exist.
    pub reader: Option<String>,
}

impl Options {
    /// The normal sample as of this time: seed 1, scale 100, nothing replaced, no reader.
    pub fn new(now: jiff::Timestamp) -> Self {
        Self { now, seed: 1, scale_percent: 100, replace: false, reader: None }
    }

    /// The normal sample as of the end of this day, UTC.
    pub fn at_end_of(today: jiff::civil::Date) -> Self {
        // Out of range only where `load` refuses it anyway.
        let now = today
            .at(23, 59, 59, 0)
            .in_tz("UTC")
            .map_or(jiff::Timestamp::MAX, |end| end.timestamp());
        Self::new(now)
    }
}

/// A table whose rows are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Name of the table.
    pub table: &'static str,
    /// Rows in the table.
    pub rows: u64,
    /// Tables that are in, this one included.
    pub tables_done: usize,
    /// Tables that there will be.
    pub tables: usize,
}

/// What was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Every table with its number of rows, in the order in which they were loaded.
    pub tables: Vec<(&'static str, u64)>,
    /// How long it took, `ANALYZE` included.
    pub took: Duration,
}

impl Summary {
    /// Rows of all tables together.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|(_, rows)| rows).sum()
    }
}

/// Why the sample was not loaded. Unless said otherwise, the database is as it was.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The sample is there already; [`Options::replace`] loads it anew.
    #[error("the sample is already in this database")]
    AlreadyLoaded,
    /// The database has relations or types of these names in schema `public` that do not belong to the sample.
    #[error("schema public already has {}, which the sample did not make", .0.join(", "))]
    NameTaken(Vec<String>),
    /// [`Options::scale_percent`] is not 1 to 1000, or [`Options::now`] is not in the years 1980 to 2999.
    #[error(
        "the sample can be 1 to 1000 percent of its normal size, at a time in the years 1980 to 2999"
    )]
    OutOfRange,
    /// The database refused something or went away. Its rules may not allow us to create tables in schema `public`, the
    /// reader may not exist, or views of others may stand on a sample that is to be replaced.
    #[error("the database did not take the sample")]
    Database(#[from] tokio_postgres::Error),
}

impl Classify for LoadError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::AlreadyLoaded | Self::NameTaken(_) => ErrorKind::Conflict,
            Self::OutOfRange => ErrorKind::Invalid,
            Self::Database(error) if error.as_db_error().is_some() => ErrorKind::Query,
            Self::Database(_) => ErrorKind::Connection,
        }
    }
}

/// Loads the sample into schema `public`, all or nothing, and calls `progress` after each table. At the end it collects
/// the planner's statistics.
///
/// A dropped future leaves the database as it was, as soon as the connection has noticed.
///
/// # Errors
/// See [`LoadError`]. If the connection breaks at the very end, the sample may be there without statistics.
pub async fn load(
    client: &mut Client,
    options: &Options,
    progress: &mut (dyn FnMut(&Progress) + Send),
) -> Result<Summary, LoadError> {
    let started = Instant::now();
    let calendar = Calendar::new(options.now).ok_or(LoadError::OutOfRange)?;
    if !(1..=1000).contains(&options.scale_percent) {
        return Err(LoadError::OutOfRange);
    }
    let tx = client.build_transaction().read_only(false).start().await?;
    // Settings of the role or the database must not change what is loaded, nor stop it halfway.
    tx.batch_execute(
        "SET LOCAL search_path = public; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0",
    )
    .await?;
    tx.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    make_room(&tx, options.replace).await?;

    let (before, after) = SCHEMA.split_once(AFTER_THE_ROWS).unwrap_or((SCHEMA, ""));
    tx.batch_execute(before).await?;
    let world = World::new(calendar, options.seed, options.scale_percent);
    let sales = world.sales();
    let mut tables = Vec::with_capacity(Table::ALL.len());
    for table in Table::ALL {
        let rows = copy(&tx, &world, table, world.source(table, &sales)).await?;
        tables.push((table.name(), rows));
        progress(&Progress {
            table: table.name(),
            rows,
            tables_done: tables.len(),
            tables: Table::ALL.len(),
        });
    }
    // The cut was made inside a comment line.
    tx.batch_execute(&format!("--{after}")).await?;
    tx.batch_execute(&identities()).await?;
    if let Some(reader) = &options.reader {
        grant(&tx, reader).await?;
    }
    tx.commit().await?;

    let names: Vec<String> = relations().map(|name| format!("public.{name}")).collect();
    // Views have no statistics.
    let names: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| !name.ends_with("monthly_revenue") && !name.ends_with("customer_totals"))
        .collect();
    client.batch_execute(&format!("ANALYZE {}", names.join(", "))).await?;
    Ok(Summary { tables, took: started.elapsed() })
}

/// Whether the sample is in this database, complete.
///
/// # Errors
/// If the database cannot be asked.
pub async fn is_loaded(client: &impl GenericClient) -> Result<bool, tokio_postgres::Error> {
    Ok(is_ours(client).await? && taken(client).await?.len() == relations().count() + TYPES.len())
}

/// The UTC day on which the sample was loaded, to which all its dates are relative; `None` if it is not loaded.
///
/// # Errors
/// If the database cannot be asked.
pub async fn loaded_on(
    client: &impl GenericClient,
) -> Result<Option<jiff::civil::Date>, tokio_postgres::Error> {
    if !is_loaded(client).await? {
        return Ok(None);
    }
    // There are orders on every day, the day of loading included.
    let query = "SELECT (max(ordered_at) AT TIME ZONE 'UTC')::date FROM public.orders";
    client.query_one(query, &[]).await?.try_get(0)
}

/// Tables and views of the sample.
fn relations() -> impl Iterator<Item = &'static str> {
    Table::ALL.into_iter().map(Table::name).chain(VIEWS.iter().map(|(_, name)| *name))
}

async fn is_ours(client: &impl GenericClient) -> Result<bool, tokio_postgres::Error> {
    let row = client
        .query_one(
            "SELECT obj_description(to_regtype('public.order_status')::oid, 'pg_type') IS NOT DISTINCT FROM $1",
            &[&MARK],
        )
        .await?;
    row.try_get(0)
}

/// Which names of the sample are in use in schema `public`. Tables have types of their name, so types say it all.
async fn taken(client: &impl GenericClient) -> Result<Vec<String>, tokio_postgres::Error> {
    let names: Vec<&str> = relations().chain(TYPES).collect();
    let rows = client
        .query(
            "SELECT typname::text FROM pg_catalog.pg_type
             WHERE typnamespace = to_regnamespace('public') AND typname::text = ANY($1) ORDER BY 1",
            &[&names],
        )
        .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Makes sure that the names are free.
async fn make_room(tx: &Transaction<'_>, replace: bool) -> Result<(), LoadError> {
    let taken = taken(tx).await?;
    if taken.is_empty() {
        return Ok(());
    }
    if !is_ours(tx).await? {
        return Err(LoadError::NameTaken(taken));
    }
    if !replace {
        return Err(LoadError::AlreadyLoaded);
    }
    // Without CASCADE: what others built on the sample is not ours to drop.
    let views = VIEWS.map(|(kind, name)| format!("DROP {kind} IF EXISTS {name};")).concat();
    let tables = Table::ALL.map(Table::name).join(", ");
    let types = TYPES.join(", ");
    let sql = format!("{views} DROP TABLE IF EXISTS {tables}; DROP TYPE IF EXISTS {types};");
    tx.batch_execute(&sql).await?;
    Ok(())
}

/// Copies the rows of a table and returns how many there were.
async fn copy(
    tx: &Transaction<'_>,
    world: &World,
    table: Table,
    mut source: crate::world::Source<'_>,
) -> Result<u64, LoadError> {
    let sink = tx
        .copy_in::<_, Bytes>(&format!("COPY {} {} FROM STDIN", table.name(), table.columns()))
        .await?;
    let mut sink = pin!(sink);
    let mut rows = Rows::new(&world.calendar);
    while source(&mut rows) {
        if rows.size() >= CHUNK_BYTES {
            sink.send(rows.take()).await?;
        }
    }
    sink.send(rows.take()).await?;
    Ok(sink.finish().await?)
}

/// Lets the next id of each table follow the last one that was loaded.
fn identities() -> String {
    let set = |table: Table| {
        let name = table.name();
        format!(
            "SELECT setval(pg_get_serial_sequence('{name}', 'id'), (SELECT max(id) FROM {name}));"
        )
    };
    Table::ALL.into_iter().map(set).collect()
}

async fn grant(tx: &Transaction<'_>, reader: &str) -> Result<(), tokio_postgres::Error> {
    let database: String =
        tx.query_one("SELECT current_database()::text", &[]).await?.try_get(0)?;
    let (database, reader) = (quoted(&database), quoted(reader));
    let relations: Vec<&str> = relations().collect();
    tx.batch_execute(&format!(
        "GRANT CONNECT ON DATABASE {database} TO {reader};
         GRANT USAGE ON SCHEMA public TO {reader};
         GRANT SELECT ON {} TO {reader};",
        relations.join(", ")
    ))
    .await
}

/// The name as SQL reads it, whatever is in it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
