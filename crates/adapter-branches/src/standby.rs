use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use plinth_control_plane::{
    BranchId, BranchPlace, EndpointKind, EndpointPlace, Lsn, SubstrateError,
};
use plinth_core::chain;
use plinth_local_postgres::Cluster;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::cell::{self, Cell, Held, INHERITED, admin, failed};
use crate::copy::own;
use crate::front::tell_suspended;
use crate::history::{Failed, io_failed, prepare, take};
use crate::node::Inner;
use crate::roles::refused;
use crate::substrate::{beside, gone};

/// The file that says whom a server follows.
const FOLLOWS: &str = "standby.json";
/// The file with the password that it is let in with, for its own server only.
const PASSFILE: &str = "standby.pgpass";
/// How long a server that was asleep may take to read what was written meanwhile; then it is copied anew.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(30);

/// Whom a server follows.
#[derive(Serialize, Deserialize)]
struct Follows {
    branch: BranchId,
}

/// Where the server is that an endpoint leads to: the branch's, or one of its own.
pub(crate) fn server(endpoint: &EndpointPlace) -> Result<BranchPlace, SubstrateError> {
    if endpoint.kind == EndpointKind::ReadWrite {
        return Ok(endpoint.branch.clone());
    }
    let (_, last) = endpoint.id.as_str().rsplit_once('-').unwrap_or(("", endpoint.id.as_str()));
    let mut place = beside(&endpoint.branch, &format!("ro-{last}"))?;
    place.computes = Some(endpoint.computes);
    let own = endpoint.settings.as_object().cloned().unwrap_or_default();
    if let Some(settings) = place.settings.as_object_mut() {
        settings.extend(own);
    } else {
        place.settings = own.into();
    }
    Ok(place)
}

/// The servers that follow a branch's.
pub(crate) fn of(inner: &Inner, branch: &BranchPlace) -> Vec<BranchPlace> {
    let followers = followers(inner, branch);
    followers.iter().filter_map(|it| server(it).ok()).collect()
}

fn followers(inner: &Inner, branch: &BranchPlace) -> Vec<EndpointPlace> {
    let fronts = inner.fronts.lock().expect("not poisoned");
    let places = fronts.values().map(crate::front::Front::place);
    places
        .filter(|it| it.kind == EndpointKind::ReadOnly && it.branch.branch == branch.branch)
        .collect()
}

/// The projects and folders of all servers that follow others.
pub(crate) fn folders(inner: &Inner) -> HashSet<(String, String)> {
    let fronts = inner.fronts.lock().expect("not poisoned");
    let places = fronts.values().map(crate::front::Front::place);
    let readers = places.filter(|it| it.kind == EndpointKind::ReadOnly);
    readers
        .filter_map(|it| server(&it).ok())
        .map(|it| (it.project.to_string(), it.branch.to_string()))
        .collect()
}

/// What a server that follows another is told beside what all are; nothing for one that follows none.
pub(crate) fn settings(
    inner: &Inner,
    place: &BranchPlace,
    home: &Path,
) -> Result<Vec<(String, String)>, SubstrateError> {
    let Ok(text) = fs::read(home.join(FOLLOWS)) else { return Ok(Vec::new()) };
    let follows: Follows =
        serde_json::from_slice(&text).map_err(|err| SubstrateError::Failed(chain(&err)))?;
    let followed = BranchPlace { branch: follows.branch, ..place.clone() };
    let archive = inner.home(&followed).join("archive");
    let conninfo = inner.cell(&followed).port().map_or_else(String::new, |port| {
        format!(
            "host=127.0.0.1 port={port} user=postgres sslmode=prefer passfile='{}'",
            home.join(PASSFILE).display()
        )
    });
    let wanted = place.settings["max_connections"].clone();
    let wanted = wanted.as_u64().or_else(|| wanted.as_str()?.parse().ok()).unwrap_or(100);
    let all = [
        ("archive_mode", "off".to_owned()),
        ("primary_conninfo", conninfo),
        ("restore_command", format!("test -f '{0}/%f' && cp '{0}/%f' '%p'", archive.display())),
        // Fewer than what it follows it must not have, or it ends.
        ("max_connections", wanted.max(most_connections(inner, &followed)).to_string()),
    ];
    Ok(all.map(|(name, value)| (name.to_owned(), value)).into())
}

/// How many connections a branch's server takes, or took when it last ran; as many as are usual where that is unknown.
fn most_connections(inner: &Inner, place: &BranchPlace) -> u64 {
    let program = inner.installation.program("pg_controldata");
    let mut command = std::process::Command::new(program);
    command.env_clear().env("LC_ALL", "C").arg(inner.home(place).join("data"));
    let said = command.output().map(|it| it.stdout).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let number = said.lines().find_map(|it| it.strip_prefix("max_connections setting:"));
    number.and_then(|it| it.trim().parse().ok()).unwrap_or(100)
}

/// Starts an endpoint's server, unless it runs. Says whether it had to. One that follows another knows then what was
/// committed there before.
pub(crate) async fn wake(inner: &Inner, endpoint: &EndpointPlace) -> Result<bool, SubstrateError> {
    let place = server(endpoint)?;
    let cell = inner.cell(&place);
    if endpoint.kind == EndpointKind::ReadWrite {
        let mut held = cell.hold().await;
        let started = cell.start(inner, &place, &mut held).await?;
        // That it had ended before is nobody's concern any more.
        cell.has_died();
        return Ok(started);
    }
    if inner.home(&place).join("data").exists() && cell.adopt(inner, &place).await? {
        return Ok(false);
    }
    if let Err(error) = follow_on(inner, endpoint, &place, &cell).await? {
        // What it would need is not kept any more, or the branch was set back.
        tracing::info!(endpoint = %endpoint.id, %error, "a server that follows is copied anew");
        discard(inner, &place).await?;
        follow_on(inner, endpoint, &place, &cell).await??;
    }
    cell.has_died();
    Ok(true)
}

/// Makes the files if they are not there, starts the server, and waits until it has read what there is. The outer error is
/// of what it follows, the inner its own.
async fn follow_on(
    inner: &Inner,
    endpoint: &EndpointPlace,
    place: &BranchPlace,
    cell: &Cell,
) -> Result<Result<(), SubstrateError>, SubstrateError> {
    make(inner, &endpoint.branch, place).await?;
    let followed = inner.cell(&endpoint.branch);
    // First what is followed, then what follows: in this order everywhere.
    let mut theirs = followed.hold().await;
    let started = followed.start(inner, &endpoint.branch, &mut theirs).await?;
    let end = match place_in_log(&theirs, "SELECT pg_current_wal_flush_lsn()::text").await {
        Ok(end) => end,
        Err(err) => {
            if started {
                followed.stop(inner, &mut theirs).await?;
            }
            return Err(err);
        }
    };
    let mut held = cell.hold().await;
    let done = async {
        cell.followed.store(followed.port().unwrap_or(0), Ordering::Release);
        cell.start(inner, place, &mut held).await?;
        let deadline = Instant::now() + CATCH_UP_LIMIT;
        while place_in_log(&held, "SELECT pg_last_wal_replay_lsn()::text").await? < end {
            if Instant::now() > deadline {
                let text = "it does not reach what it follows".to_owned();
                return Err(SubstrateError::Failed(text));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    };
    let done = done.await;
    if done.is_err() {
        cell.stop(inner, &mut held).await?;
    }
    drop(held);
    if started {
        followed.stop(inner, &mut theirs).await?;
    }
    Ok(done)
}

async fn place_in_log(held: &Held<'_>, query: &str) -> Result<Option<Lsn>, SubstrateError> {
    let connection = Cell::connection(held)
        .ok_or_else(|| SubstrateError::Failed("the server has ended".to_owned()))?;
    let client = admin(&connection, "postgres").await.map_err(refused)?;
    let row = client.query_one(query, &[]).await.map_err(refused)?;
    Ok(row.get::<_, Option<&str>>(0).and_then(|it| it.parse().ok()))
}

/// Makes the files of a server that follows a branch's, if they are not there.
async fn make(
    inner: &Inner,
    branch: &BranchPlace,
    place: &BranchPlace,
) -> Result<(), SubstrateError> {
    let (from, to, user) = (inner.home(branch), inner.home(place), inner.user(place));
    if to.join("data").exists() {
        return Ok(());
    }
    let cell = inner.cell(branch);
    prepare(inner, place)?;
    let filled = Cluster::receive(&to, user, async |draft: &Path| {
        let mut held = cell.hold().await;
        cell.settle(inner, branch, &mut held).await?;
        // It is let in with the password that the branch's superuser gets at its first start.
        if from.join(INHERITED).exists() && cell.start(inner, branch, &mut held).await? {
            cell.stop(inner, &mut held).await?;
        }
        take(inner, branch, &held, draft, user).await?;
        let signal = draft.join("standby.signal");
        fs::write(&signal, "")?;
        own(&signal, user)?;
        let password = fs::read_to_string(from.join("superuser.password"))?;
        private(&to.join("superuser.password"), &password)?;
        let passfile = to.join(PASSFILE);
        private(&passfile, &format!("127.0.0.1:*:*:postgres:{}\n", password.trim_end()))?;
        own(&passfile, user)?;
        let follows = Follows { branch: branch.branch.clone() };
        let text = serde_json::to_string(&follows).map_err(std::io::Error::other)?;
        fs::write(to.join(FOLLOWS), text)?;
        Ok::<_, Failed>(())
    });
    filled.await.map_err(|it| it.0)?;
    Ok(())
}

/// Writes a file that nobody else may read.
pub(crate) fn private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let _ = fs::remove_file(path);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Tells a running server that follows another where that is now: it has another port after another start, or none.
pub(crate) fn follow(
    inner: &Inner,
    endpoint: &EndpointPlace,
    cell: &Cell,
    held: &mut Held<'_>,
) -> Result<(), SubstrateError> {
    if endpoint.kind == EndpointKind::ReadWrite {
        return Ok(());
    }
    let port = inner.cell(&endpoint.branch).port().unwrap_or(0);
    let Some(cluster) = held.as_mut() else { return Ok(()) };
    if cell.followed.load(Ordering::Acquire) == port {
        return Ok(());
    }
    let place = server(endpoint)?;
    let settings = cell::settings(inner, &place, &inner.home(&place))?;
    cluster.reconfigure(settings).map_err(failed)?;
    cell.followed.store(port, Ordering::Release);
    Ok(())
}

/// Removes an endpoint's own server.
pub(crate) async fn remove(inner: &Inner, endpoint: &EndpointPlace) -> Result<(), SubstrateError> {
    let place = server(endpoint)?;
    discard(inner, &place).await?;
    inner.forget(&place.branch);
    Ok(())
}

/// Removes all that follow a branch's server; each is made again when somebody comes.
pub(crate) async fn remove_all(inner: &Inner, branch: &BranchPlace) -> Result<(), SubstrateError> {
    for endpoint in followers(inner, branch) {
        let place = server(&endpoint)?;
        let ran = inner.cell(&place).port().is_some();
        discard(inner, &place).await?;
        if ran {
            tell_suspended(inner, &endpoint, 0);
        }
    }
    Ok(())
}

async fn discard(inner: &Inner, place: &BranchPlace) -> Result<(), SubstrateError> {
    let home = inner.home(place);
    let cell = inner.cell(place);
    if home.join("data").exists() {
        cell.adopt(inner, place).await?;
    }
    let mut held = cell.hold().await;
    cell.stop(inner, &mut held).await?;
    if home.exists() {
        let trash = inner.home(&beside(place, "gone")?);
        let _ = fs::remove_dir_all(&trash);
        fs::rename(&home, &trash).map_err(|err| io_failed(&err))?;
        gone(trash).await?;
    }
    Ok(())
}
