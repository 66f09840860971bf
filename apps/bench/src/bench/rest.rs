//! One row over HTTP beside the bare driver.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value as Json, json};
use tokio_postgres::Statement;

use super::figure::{Aim, Figure, Unit, median_ratio};
use super::load::{Asker, Load};
use super::{Stage, send};
use crate::client::Client;
use crate::database::connect;
use crate::process::Plinth;
use crate::sample::{Reader, Sample};
use crate::terminal::say;

/// By its primary key, so that the database has little to do.
const STATEMENT: &str =
    "SELECT id, first_name, last_name, email, country, created_at FROM customers WHERE id = 4711";

/// Its answer is a single number.
const QUESTION: &str = "How many departments are there?";

/// A client of the REST API.
struct Rest {
    client: Client,
    body: Vec<u8>,
}

impl Asker for Rest {
    async fn ask(&mut self) -> Result<()> {
        send(&mut self.client, &self.body).await.map(|_| ())
    }
}

/// A client of the database: one connection, a prepared statement, one after the other.
struct Raw {
    client: tokio_postgres::Client,
    statement: Statement,
}

impl Asker for Raw {
    async fn ask(&mut self) -> Result<()> {
        self.client.query_one(&self.statement, &[]).await?;
        Ok(())
    }
}

/// Measures a statement, and a question.
///
/// # Errors
/// If an answer is none.
pub(super) async fn measure(stage: &Stage<'_>, sample: &Sample) -> Result<Vec<Figure>> {
    let (_folder, plinth) = stage.plinth().await?;
    let mut client = plinth.client();
    let connection = sample.connect(&mut client, stage.databases).await?;
    let mut figures = Vec::new();

    let body = json!({ "connection_id": connection, "sql": STATEMENT });
    let pair = side_by_side(stage, &plinth, &sample.reader(), &body, STATEMENT).await?;
    figures.push(pair.figure("1 row of SQL", Some(Aim::AtLeast(0.35))));

    // The peer runs what the question was translated to.
    let body = json!({ "connection_id": connection, "question": QUESTION });
    let answer = client.request("POST", "/v1/queries", Some(&body)).await?.data()?;
    let sql = answer["sql"].as_str().with_context(|| format!("`{QUESTION}` has no SQL"))?;
    ensure!(answer["results"]["row_count"] == 1, "`{QUESTION}` has not one row");
    let pair = side_by_side(stage, &plinth, &sample.reader(), &body, sql).await?;
    figures.push(pair.figure("1 row of a question", None));
    plinth.stop()?;
    Ok(figures)
}

struct Pair {
    clients: u32,
    rest: Load,
    raw: Load,
    sql: String,
}

async fn side_by_side(
    stage: &Stage<'_>,
    plinth: &Plinth,
    reader: &Reader<'_>,
    body: &Json,
    sql: &str,
) -> Result<Pair> {
    let clients = stage.options.clients;
    let body = body.to_string().into_bytes();
    let mut rest: Vec<Rest> =
        (0..clients).map(|_| Rest { client: plinth.client(), body: body.clone() }).collect();
    let mut raw = Vec::new();
    for _ in 0..clients {
        let client = connect(&reader.config(stage.databases)).await?;
        let statement = client.prepare(sql).await?;
        raw.push(Raw { client, statement });
    }
    // Connections are made, plans and caches filled.
    rest = Load::default().round(rest, stage.round()).await?;
    raw = Load::default().round(raw, stage.round()).await?;
    let mut pair =
        Pair { clients, rest: Load::default(), raw: Load::default(), sql: sql.to_owned() };
    for round in 1..=stage.options.rounds {
        rest = pair.rest.round(rest, stage.round()).await?;
        raw = pair.raw.round(raw, stage.round()).await?;
        say(&format!(
            "· one row, round {round} of {}: {:.0} and {:.0} a second",
            stage.options.rounds,
            pair.rest.rates.last().copied().unwrap_or_default(),
            pair.raw.rates.last().copied().unwrap_or_default()
        ));
    }
    Ok(pair)
}

impl Pair {
    fn figure(&self, what: &str, aim: Option<Aim>) -> Figure {
        Figure {
            what: format!("{what}, {} clients", self.clients),
            ours: self.rest.text(),
            peer: format!("tokio-postgres {}", self.raw.text()),
            number: median_ratio(&self.rest.rates, &self.raw.rates),
            unit: Unit::Percent,
            aim,
            details: json!({
                "sql": self.sql,
                "plinth": self.rest.json(),
                "tokio_postgres": self.raw.json(),
            }),
        }
    }
}
