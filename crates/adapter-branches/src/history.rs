use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use plinth_control_plane::{BranchPlace, Lsn, Made, Point, StorageMethod, SubstrateError};
use plinth_core::chain;
use plinth_local_postgres::{Cluster, ClusterError, RunUser};
use serde::{Deserialize, Serialize};

use crate::cell::{Cell, Held, admin, failed, keep_inherited, open, own_password};
use crate::copy::{self, Copied, Source, own, size_of};
use crate::node::Inner;
use crate::roles::refused;

/// A copy of a branch's data from which its archive leads on.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Base {
    /// Nothing before this can be gone back to from it.
    at: Timestamp,
    /// The same as a place in the log.
    lsn: Lsn,
}

/// A copy of this size is made while somebody waits, also where every block is copied.
const SMALL_BYTES: u64 = 256 << 20;
/// How long recovery to a point may take.
const RECOVERY_LIMIT: Duration = Duration::from_mins(30);
/// How long the log up to now may take to be archived.
const ARCHIVE_LIMIT: Duration = Duration::from_mins(1);

/// What a copy was made of.
pub(crate) struct Taken {
    copied: Copied,
    at: Timestamp,
    lsn: Lsn,
}

pub(crate) struct Failed(pub(crate) SubstrateError);

impl From<ClusterError> for Failed {
    fn from(err: ClusterError) -> Self {
        Self(failed(err))
    }
}

impl From<io::Error> for Failed {
    fn from(err: io::Error) -> Self {
        Self(SubstrateError::Failed(format!("the files could not be copied: {err}")))
    }
}

impl From<SubstrateError> for Failed {
    fn from(err: SubstrateError) -> Self {
        Self(err)
    }
}

pub(crate) fn io_failed(err: &io::Error) -> SubstrateError {
    SubstrateError::Failed(format!("the files could not be copied: {err}"))
}

/// Makes a branch's files from another's, as they are now or were at a point.
pub(crate) async fn make(
    inner: &Inner,
    source: &BranchPlace,
    point: Point,
    target: &BranchPlace,
) -> Result<Made, SubstrateError> {
    let made = make_at_rest(inner, source, point, target).await?;
    first_base(inner, target, made.storage).await?;
    Ok(made)
}

/// The same for files that nobody will write to: they need no base from which a log of their own leads on.
pub(crate) async fn make_at_rest(
    inner: &Inner,
    source: &BranchPlace,
    point: Point,
    target: &BranchPlace,
) -> Result<Made, SubstrateError> {
    match point {
        Point::Head => of_head(inner, source, target).await,
        Point::Lsn(_) | Point::Time(_) => of_point(inner, source, point, target).await,
    }
}

async fn of_head(
    inner: &Inner,
    source: &BranchPlace,
    target: &BranchPlace,
) -> Result<Made, SubstrateError> {
    let (from, to, user) = (inner.home(source), inner.home(target), inner.user(target));
    let cell = inner.cell(source);
    prepare(inner, target)?;
    let mut taken = None;
    let filled = Cluster::receive(&to, user, async |draft: &Path| {
        let mut held = cell.hold().await;
        cell.settle(inner, source, &mut held).await?;
        keep_inherited(&to, &from)?;
        archive(&to, user)?;
        taken = Some(take(inner, source, &held, draft, user).await?);
        Ok::<_, Failed>(())
    });
    filled.await.map_err(|it| it.0)?;
    let made = match taken {
        Some(it) => Made {
            storage: it.copied.method,
            size_bytes: i64::try_from(it.copied.bytes).unwrap_or(i64::MAX),
            lsn: Some(it.lsn),
            at: Some(it.at),
        },
        None => there_already(&to),
    };
    Ok(made)
}

/// The project's folder, which the servers' users can pass.
pub(crate) fn prepare(inner: &Inner, place: &BranchPlace) -> Result<(), SubstrateError> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = inner.project(&place.project);
    let make = || {
        fs::create_dir_all(&folder)?;
        let mode = if nix::unistd::geteuid().is_root() { 0o711 } else { 0o700 };
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode))
    };
    make().map_err(|err| io_failed(&err))
}

/// Makes a folder that nobody else may look into.
fn private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

/// Where a branch's server puts its log.
pub(crate) fn archive(home: &Path, user: RunUser) -> io::Result<()> {
    let folder = home.join("archive");
    private(&folder)?;
    own(&folder, user)
}

pub(crate) fn there_already(home: &Path) -> Made {
    let size_bytes = i64::try_from(size_of(&home.join("data"))).unwrap_or(i64::MAX);
    Made { storage: StorageMethod::Copy, size_bytes, lsn: None, at: None }
}

/// Copies a branch's data, which is in use or not, into an empty directory.
pub(crate) async fn take(
    inner: &Inner,
    source: &BranchPlace,
    held: &Held<'_>,
    draft: &Path,
    user: RunUser,
) -> Result<Taken, Failed> {
    let data = inner.home(source).join("data");
    if let Some(connection) = Cell::connection(held) {
        let client = admin(&connection, "postgres").await.map_err(refused)?;
        let old = inner.installation.version().major < 15;
        let (begin, end) = if old {
            ("pg_start_backup('plinth', true, false)", "pg_stop_backup(false, false)")
        } else {
            ("pg_backup_start('plinth', true)", "pg_backup_stop(false)")
        };
        let row = client
            .query_one(&format!("SELECT pg_walfile_name({begin})"), &[])
            .await
            .map_err(refused)?;
        let first: String = row.get(0);
        let copied = copied(data.clone(), draft.to_owned(), Source::InUse, user).await?;
        let row = client
            .query_one(
                &format!("SELECT labelfile, lsn::text, pg_walfile_name(lsn) FROM {end}"),
                &[],
            )
            .await
            .map_err(refused)?;
        let (label, lsn, last): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let file = draft.join("backup_label");
        fs::write(&file, label)?;
        own(&file, user)?;
        log_between(&inner.home(source), &first, &last, &draft.join("pg_wal"), user)?;
        let lsn =
            lsn.parse().map_err(|_| SubstrateError::Failed("an LSN that is none".to_owned()))?;
        return Ok(Taken { copied, at: inner.clock.now(), lsn });
    }
    let copied = copied(data.clone(), draft.to_owned(), Source::AtRest, user).await?;
    Ok(Taken { copied, at: inner.clock.now(), lsn: end_of(inner, &data).await? })
}

async fn copied(
    from: PathBuf,
    to: PathBuf,
    source: Source,
    user: RunUser,
) -> Result<Copied, SubstrateError> {
    let work = tokio::task::spawn_blocking(move || copy::data_directory(&from, &to, source, user));
    let done = work.await.map_err(|err| SubstrateError::Failed(err.to_string()))?;
    done.map_err(|err| io_failed(&err))
}

/// Copies what a backup needs of the log, from where the server writes it or from its archive.
fn log_between(
    home: &Path,
    first: &str,
    last: &str,
    to: &Path,
    user: RunUser,
) -> Result<(), Failed> {
    for folder in [home.join("data/pg_wal"), home.join("archive")] {
        for entry in fs::read_dir(folder)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_segment = name.len() == 24 && name.bytes().all(|it| it.is_ascii_hexdigit());
            let needed = is_segment && (first..=last).contains(&name.as_str());
            let target = to.join(&name);
            if !(needed || name.ends_with(".history")) || target.exists() {
                continue;
            }
            match fs::copy(entry.path(), &target) {
                Ok(_) => own(&target, user)?,
                // It was recycled a moment ago; then it is in the archive.
                Err(err) if err.kind() == io::ErrorKind::NotFound => {}
                Err(err) => return Err(err.into()),
            }
        }
    }
    if !to.join(first).exists() || !to.join(last).exists() {
        let text = "the log that the copy needs is not there any more".to_owned();
        return Err(SubstrateError::Failed(text).into());
    }
    Ok(())
}

/// Where the log of a directory that is not in use ends.
async fn end_of(inner: &Inner, data: &Path) -> Result<Lsn, SubstrateError> {
    let program = inner.installation.program("pg_controldata");
    let mut command = tokio::process::Command::new(program);
    command.env_clear().env("LC_ALL", "C").arg(data).kill_on_drop(true);
    let output = command.output().await.map_err(|err| io_failed(&err))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|it| it.strip_prefix("Latest checkpoint location:"));
    line.and_then(|it| it.trim().parse().ok())
        .ok_or_else(|| SubstrateError::Failed("pg_controldata tells no checkpoint".to_owned()))
}

/// Takes a branch's first base before its server ever runs, where that costs little.
pub(crate) async fn first_base(
    inner: &Inner,
    place: &BranchPlace,
    method: StorageMethod,
) -> Result<(), SubstrateError> {
    let home = inner.home(place);
    if home.join("bases/1/base.json").exists()
        || method == StorageMethod::Copy && size_of(&home.join("data")) > SMALL_BYTES
    {
        return Ok(());
    }
    let cell = inner.cell(place);
    let mut held = cell.hold().await;
    cell.settle(inner, place, &mut held).await?;
    take_base(inner, place, &held, 1).await.map_err(|it| it.0)
}

async fn take_base(
    inner: &Inner,
    place: &BranchPlace,
    held: &Held<'_>,
    number: u32,
) -> Result<(), Failed> {
    let (home, user) = (inner.home(place), inner.user(place));
    let (draft, base) = (home.join("bases/draft"), home.join(format!("bases/{number}")));
    let _ = fs::remove_dir_all(&draft);
    private(&home.join("bases"))?;
    let data = draft.join("data");
    fs::create_dir_all(&data)?;
    let taken = take(inner, place, held, &data, user).await?;
    let base_of = Base { at: taken.at, lsn: taken.lsn };
    let text = serde_json::to_string(&base_of).map_err(io::Error::other)?;
    fs::write(draft.join("base.json"), text)?;
    fs::rename(&draft, &base)?;
    Ok(())
}

/// Takes a new base of a branch whose newest is older than a day, and removes what is older than its history has to be.
pub(crate) async fn keep_up(inner: &Inner, place: &BranchPlace) -> Result<(), SubstrateError> {
    const DAY: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
    let home = inner.home(place);
    let now = inner.clock.now();
    let all = bases(&home);
    let newest = all.last().map(|(number, base)| (*number, base.at));
    let cell = inner.cell(place);
    // A branch that sleeps writes nothing: its newest base stays good.
    let due = match newest {
        None => true,
        Some((_, at)) => at < now - DAY && cell.port().is_some(),
    };
    if due {
        let mut held = cell.hold().await;
        cell.settle(inner, place, &mut held).await?;
        let number = newest.map_or(1, |it| it.0 + 1);
        take_base(inner, place, &held, number).await.map_err(|it| it.0)?;
    }
    let oldest = now - jiff::SignedDuration::from_secs(place.history_retention_seconds.into());
    let all = bases(&home);
    // The newest base that is older than the history leads into all of it.
    let Some(needed) = all.iter().rposition(|(_, base)| base.at <= oldest) else { return Ok(()) };
    for (number, _) in &all[..needed] {
        let _ = fs::remove_dir_all(home.join(format!("bases/{number}")));
    }
    let from = all[needed].1.lsn;
    for entry in fs::read_dir(home.join("archive")).map_err(|err| io_failed(&err))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if segment_end(&name).is_some_and(|end| end <= from) {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// Where a segment of 16 MiB ends, if the name is one's.
fn segment_end(name: &str) -> Option<Lsn> {
    const SEGMENT: u64 = 16 << 20;
    if name.len() != 24 {
        return None;
    }
    let high = u64::from_str_radix(name.get(8..16)?, 16).ok()?;
    let low = u64::from_str_radix(name.get(16..24)?, 16).ok()?;
    Some(Lsn((high << 32) + (low + 1) * SEGMENT))
}

/// A branch's bases, oldest first.
fn bases(home: &Path) -> Vec<(u32, Base)> {
    let Ok(entries) = fs::read_dir(home.join("bases")) else { return Vec::new() };
    let read = |entry: fs::DirEntry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        let text = fs::read_to_string(entry.path().join("base.json")).ok()?;
        Some((number, serde_json::from_str(&text).ok()?))
    };
    let mut all: Vec<(u32, Base)> = entries.flatten().filter_map(read).collect();
    all.sort_by_key(|it| it.0);
    all
}

async fn of_point(
    inner: &Inner,
    source: &BranchPlace,
    point: Point,
    target: &BranchPlace,
) -> Result<Made, SubstrateError> {
    let (from, to, user) = (inner.home(source), inner.home(target), inner.user(target));
    let all = bases(&from);
    let before = |base: &Base| match point {
        Point::Time(at) => base.at <= at,
        Point::Lsn(lsn) => base.lsn <= lsn,
        Point::Head => true,
    };
    let Some((number, _)) = all.iter().rev().find(|(_, base)| before(base)) else {
        let oldest = all.first().map_or_else(
            || "no state of the past is kept yet".to_owned(),
            |(_, base)| format!("the oldest state kept is of {} (LSN {})", base.at, base.lsn),
        );
        return Err(SubstrateError::Refused(format!(
            "the requested point lies outside the branch's history: {oldest}"
        )));
    };
    up_to_now(inner, source, point).await?;
    prepare(inner, target)?;
    let base = from.join(format!("bases/{number}/data"));
    let mut storage = StorageMethod::Copy;
    let filled = Cluster::receive(&to, user, async |draft: &Path| {
        keep_inherited(&to, &from)?;
        archive(&to, user)?;
        let done = copied(base.clone(), draft.to_owned(), Source::AtRest, user).await?;
        storage = done.method;
        let signal = draft.join("recovery.signal");
        fs::write(&signal, "")?;
        own(&signal, user)?;
        Ok::<_, Failed>(())
    });
    filled.await.map_err(|it| it.0)?;
    if to.join("data/recovery.signal").exists() {
        if let Err(err) = recover(inner, &from, point, target).await {
            // Half recovered it is nobody's.
            let _ = fs::remove_dir_all(&to);
            return Err(err);
        }
    } else {
        // Cut off after it was recovered: the server that did it may still run, with settings that are not the branch's.
        let cell = inner.cell(target);
        let mut held = cell.hold().await;
        cell.settle(inner, target, &mut held).await?;
    }
    let mut made = Made { storage, ..there_already(&to) };
    match point {
        Point::Time(at) => made.at = Some(at),
        Point::Lsn(lsn) => made.lsn = Some(lsn),
        Point::Head => {}
    }
    Ok(made)
}

/// Sees to it that the archive holds everything until now, and a commit after the point: recovery to a time ends at the
/// first commit after it, and fails without one.
async fn up_to_now(
    inner: &Inner,
    source: &BranchPlace,
    point: Point,
) -> Result<(), SubstrateError> {
    let cell = inner.cell(source);
    let mut held = cell.hold().await;
    let started = cell.start(inner, source, &mut held).await?;
    let work = async {
        let connection = Cell::connection(&held)
            .ok_or_else(|| SubstrateError::Failed("the source has ended".to_owned()))?;
        let client = admin(&connection, "postgres").await.map_err(refused)?;
        let row = client
            .query_one("SELECT pg_current_wal_flush_lsn()::text, pg_current_xact_id()::text", &[])
            .await
            .map_err(refused)?;
        let end: Option<Lsn> = row.get::<_, &str>(0).parse().ok();
        if let (Point::Lsn(lsn), Some(end)) = (point, end)
            && lsn > end
        {
            return Err(SubstrateError::Refused(format!(
                "the requested point lies outside the branch's history: its log ends at {end}"
            )));
        }
        let row = client
            .query_one("SELECT pg_walfile_name(pg_switch_wal())", &[])
            .await
            .map_err(refused)?;
        Ok(inner.home(source).join("archive").join(row.get::<_, String>(0)))
    };
    let segment = work.await;
    if let Ok(segment) = &segment {
        let deadline = tokio::time::Instant::now() + ARCHIVE_LIMIT;
        while !segment.exists() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    if started {
        cell.stop(inner, &mut held).await?;
    }
    let segment = segment?;
    if !segment.exists() {
        return Err(SubstrateError::Failed("the log is not archived in time".to_owned()));
    }
    Ok(())
}

/// What it means that a server did not recover to its point. If its log ends before that, another attempt would end there as
/// well; one that was killed meanwhile may come through with it.
fn unreached(err: &ClusterError) -> SubstrateError {
    let text = format!("the point could not be reached: {}", chain(err));
    let said = "recovery ended before configured recovery target was reached";
    if matches!(err, ClusterError::Start { tail, .. } if tail.contains(said)) {
        SubstrateError::Refused(text)
    } else {
        SubstrateError::Failed(text)
    }
}

/// Lets a server on the copied base read the source's archive up to the point.
async fn recover(
    inner: &Inner,
    from: &Path,
    point: Point,
    target: &BranchPlace,
) -> Result<(), SubstrateError> {
    let archive = from.join("archive");
    let fetch = format!("cp '{}/%f' '%p'", archive.display());
    let (name, value) = match point {
        Point::Lsn(lsn) => ("recovery_target_lsn", lsn.to_string()),
        // Postgres takes no `Z` here.
        Point::Time(at) => {
            ("recovery_target_time", at.strftime("%Y-%m-%d %H:%M:%S%.6f+00").to_string())
        }
        Point::Head => ("recovery_target_name", String::new()),
    };
    let more = [
        ("restore_command", fetch),
        (name, value),
        ("recovery_target_inclusive", "true".to_owned()),
        ("recovery_target_action", "promote".to_owned()),
        // Nobody reads meanwhile; and so it may have fewer connections than the source had.
        ("hot_standby", "off".to_owned()),
        // What is recovered is not the source's to archive again.
        ("archive_mode", "off".to_owned()),
    ];
    let more = more.map(|(name, value)| (name.to_owned(), value));
    let mut cluster = open(inner, target, more.into()).await?;
    let start = tokio::time::timeout(RECOVERY_LIMIT, cluster.start()).await;
    let connection = match start {
        Ok(Ok(connection)) => connection,
        Ok(Err(err)) => return Err(unreached(&err)),
        Err(_) => return Err(SubstrateError::Failed("recovery takes too long".to_owned())),
    };
    own_password(cluster.folder(), &connection).await?;
    cluster.stop().await.map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_is_tried_again_unless_its_log_ends_before_the_point() {
        let ended = |status: &str, tail: &str| ClusterError::Start {
            status: status.to_owned(),
            log: "/x/postgres.log".into(),
            tail: tail.to_owned(),
        };
        let over = "FATAL:  recovery ended before configured recovery target was reached";
        let given_up = unreached(&ended("exit status: 1", over));
        assert!(
            matches!(&given_up, SubstrateError::Refused(text) if text.contains(over)),
            "{given_up:?}"
        );
        for (status, tail) in [
            ("signal: 9 (SIGKILL)", "LOG:  starting point-in-time recovery"),
            ("exit status: 1", "FATAL:  could not create shared memory segment"),
        ] {
            let again = unreached(&ended(status, tail));
            assert!(matches!(again, SubstrateError::Failed(_)), "{again:?}");
        }
    }
}
