//! The main job, once through, on a sample: for whoever wants to see before they connect anything of their own.

mod account;
mod questions;
mod show;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use plinth_connections::ConnectionId;
use plinth_core::{Clock as _, SystemClock};
use plinth_sample::Options;

use self::account::Account;
use super::serve::{public_url, stop_signal};
use super::server::Server;
use crate::boot::EmbeddedDatabase;
use crate::settings::DemoSettings;

/// Where the sample lives: a database of its own on the embedded server, read as a role that can do nothing else.
const SAMPLE: EmbeddedDatabase = EmbeddedDatabase {
    name: "plinth_sample",
    owner: "plinth_sample_owner",
    reader: "plinth_sample_reader",
};

/// Starts everything, loads the sample, asks, and stays up until it is told to stop.
pub(crate) async fn demo(settings: DemoSettings) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        settings.serve.storage.database_url.is_none(),
        "the demo runs a Postgres of its own: unset PLINTH_DATABASE_URL; to try your own database see docs/quickstart.md"
    );
    let stop = stop_signal()?;
    tokio::pin!(stop);
    say("Starting Plinth with a Postgres of its own …")?;
    let server = Server::start(&settings.serve).await?;
    let asked = tokio::select! {
        asked = run(&server, &settings) => Some(asked),
        () = &mut stop => None,
    };
    let right = match asked {
        Some(Ok(right)) => right,
        Some(Err(err)) => {
            server.stop().await?;
            return Err(err);
        }
        None => {
            server.stop().await?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    if settings.exit {
        server.stop().await?;
        return Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    stop.await;
    say("\nStopping …")?;
    server.stop().await?;
    Ok(ExitCode::SUCCESS)
}

/// Everything between start and stop; says whether every answer was right.
async fn run(server: &Server, settings: &DemoSettings) -> anyhow::Result<bool> {
    let account = Account::open(server).await?;
    load_sample(server).await?;
    let connection = account.connection(server, &SAMPLE).await?;
    let right = show::ask_all(server, &account, connection).await?;
    farewell(settings, server, &account, connection)?;
    Ok(right)
}

/// Loads the sample, again when the loaded one is not of today: its dates are relative to the day of loading.
async fn load_sample(server: &Server) -> anyhow::Result<()> {
    let embedded = server.storage.embedded.as_ref().context("the demo runs embedded")?;
    let master = server.storage.master.current();
    let (owner_url, _) = embedded.put_database(&master, &SAMPLE).await?;
    let client = plinth_adapter_postgres::open_session(&owner_url).await?;
    let loaded = plinth_sample::loaded_on(&client).await?;
    drop(client);
    let now = SystemClock.now();
    let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    if loaded == Some(today) {
        return say("The sample shop is loaded already.");
    }
    say("Loading the sample shop …")?;
    let options = Options {
        replace: loaded.is_some(),
        reader: Some(SAMPLE.reader.to_owned()),
        ..Options::new(now)
    };
    let summary = super::sample::load_into(&owner_url, &options).await?;
    say(&format!(
        "Loaded {} rows into {} tables in {:.1} s.",
        summary.rows(),
        summary.tables.len(),
        summary.took.as_secs_f64()
    ))
}

fn farewell(
    settings: &DemoSettings,
    server: &Server,
    account: &Account,
    connection: ConnectionId,
) -> anyhow::Result<()> {
    let url = public_url(&settings.serve, server.listen);
    let key = account.key();
    say(&format!(
        "\nPlinth is running.\n\n\
         \x20 API         {url}/v1\n\
         \x20 Swagger UI  {url}/docs/   (Authorize with the key, then try POST /v1/queries)\n\
         \x20 API key     {key}\n\
         \x20 connection  {connection}\n\n\
         Ask something yourself:\n\n\
         \x20 curl -s {url}/v1/queries \\\n\
         \x20   -H 'Authorization: Bearer {key}' -H 'content-type: application/json' \\\n\
         \x20   -d '{{\"connection_id\": \"{connection}\", \"question\": \"Which 5 customers spent the most this year?\"}}'\n"
    ))?;
    if !settings.exit {
        say("Ctrl-C stops everything. Nothing is lost: the next start takes seconds.")?;
    }
    Ok(())
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    match out
        .write_all(text.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush())
    {
        Err(err) if err.kind() != std::io::ErrorKind::BrokenPipe => Err(err.into()),
        _ => Ok(()),
    }
}
