use std::process::Stdio;
use std::time::Duration;

use plinth_control_plane::{BranchPlace, SqlName, SubstrateError, WantedDatabase};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::cell::{Cell, admin};
use crate::inquiry::client_program;
use crate::node::Inner;
use crate::roles::refused;

/// How long the definitions of a database may take to be read or written.
const LIMIT: Duration = Duration::from_mins(10);

/// Puts the definitions of databases into another branch's.
pub(crate) async fn copy(
    inner: &Inner,
    source: &BranchPlace,
    branch: &BranchPlace,
    databases: &[WantedDatabase],
) -> Result<(), SubstrateError> {
    for database in databases {
        // One server is held at a time.
        let definitions = read(inner, source, &database.name).await?;
        write(inner, branch, database, &definitions).await?;
    }
    Ok(())
}

async fn read(
    inner: &Inner,
    source: &BranchPlace,
    database: &SqlName,
) -> Result<Vec<u8>, SubstrateError> {
    let cell = inner.cell(source);
    let mut held = cell.hold().await;
    let started = cell.start(inner, source, &mut held).await?;
    let connection = Cell::connection(&held)
        .ok_or_else(|| SubstrateError::Failed("the branch's Postgres has ended".to_owned()))?;
    let done = async {
        let mut dump = client_program(inner, source, &connection, "pg_dump", database)?;
        dump.args(["--schema-only", "--format=custom", "--no-password"]);
        dump.args(["--lock-wait-timeout=60000", "--no-publications", "--no-subscriptions"]);
        run(dump, &[]).await
    };
    let done = done.await;
    if started {
        cell.stop(inner, &mut held).await?;
    }
    done
}

async fn write(
    inner: &Inner,
    branch: &BranchPlace,
    database: &WantedDatabase,
    definitions: &[u8],
) -> Result<(), SubstrateError> {
    let cell = inner.cell(branch);
    let mut held = cell.hold().await;
    let started = cell.start(inner, branch, &mut held).await?;
    let connection = Cell::connection(&held)
        .ok_or_else(|| SubstrateError::Failed("the branch's Postgres has ended".to_owned()))?;
    let done = async {
        // An attempt that was cut off may have left it half filled.
        let client = admin(&connection, "postgres").await.map_err(refused)?;
        let (name, owner) = (database.name.quoted(), database.owner.quoted());
        let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        client.batch_execute(&drop).await.map_err(refused)?;
        let create = format!("CREATE DATABASE {name} OWNER {owner}");
        client.batch_execute(&create).await.map_err(refused)?;
        let mut restore = client_program(inner, branch, &connection, "pg_restore", &database.name)?;
        // Everything is made by whom it belongs to, and nothing that somebody defined is run as the superuser.
        restore.args(["--no-password", "--use-set-session-authorization", "--exit-on-error"]);
        restore.arg("--dbname").arg(database.name.as_str());
        run(restore, definitions).await.map(|_| ())
    };
    let done = done.await;
    if started {
        cell.stop(inner, &mut held).await?;
    }
    done
}

/// Runs a program to its end; gives what it printed.
async fn run(mut command: Command, input: &[u8]) -> Result<Vec<u8>, SubstrateError> {
    let failed = |err: std::io::Error| {
        SubstrateError::Failed(format!("the definitions cannot be copied: {err}"))
    };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let stdin = child.stdin.take();
    let feed = async {
        if let Some(mut stdin) = stdin {
            // If it ends before it has read all, its own words say why.
            let _ = stdin.write_all(input).await;
        }
    };
    let ended = tokio::time::timeout(LIMIT, async {
        let ((), output) = tokio::join!(feed, child.wait_with_output());
        output
    });
    let output = ended.await.map_err(|_| {
        SubstrateError::Failed("the definitions take too long to be copied".to_owned())
    })?;
    let output = output.map_err(failed)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<_> = said.lines().take(3).map(str::trim).collect();
        return Err(SubstrateError::Refused(format!(
            "the definitions cannot be copied: {}",
            said.join(" ")
        )));
    }
    Ok(output.stdout)
}
