use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use plinth_control_plane::{BranchPlace, Lsn, SubstrateError, Used};
use plinth_local_postgres::ConnectionParameters;

use crate::cell::{Cell, Held, admin};
use crate::copy::size_of;
use crate::node::Inner;
use crate::standby;

/// What a server has used since it was last asked, and what it had used then.
#[derive(Default)]
pub(crate) struct Meter {
    last: Option<Reading>,
    /// Where the log ended when that was last seen, also of a server that has ended since.
    written: Option<Lsn>,
    used: Used,
}

/// What a server has used since its start.
#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Timestamp,
    cpu_ms: i64,
}

impl Meter {
    /// A server has started just now: all that its processes use counts.
    fn begin(&mut self, at: Timestamp) {
        self.last = Some(Reading { at, cpu_ms: 0 });
    }

    /// A server goes on: what it used since the last reading counts. One that was taken over counts from now on.
    fn read(&mut self, reading: Reading, written: Option<Lsn>) {
        if let Some(last) = self.last {
            let active = reading.at.duration_since(last.at).as_millis();
            self.used.active_ms += i64::try_from(active).unwrap_or(0).max(0);
            // Processes that end without being waited for take what they used with them.
            self.used.cpu_ms += (reading.cpu_ms - last.cpu_ms).max(0);
            if let (Some(before), Some(now)) = (self.written, written) {
                // A branch that was set back goes on at an earlier place.
                let written = now.0.saturating_sub(before.0);
                self.used.written_bytes += i64::try_from(written).unwrap_or(0);
            }
        }
        self.written = written.or(self.written);
        self.last = Some(reading);
    }

    /// The server ends.
    fn end(&mut self) {
        self.last = None;
    }
}

/// Notes that a branch's server has started, or was taken over.
pub(crate) fn begun(inner: &Inner, cell: &Cell, held: &Held<'_>, is_new: bool) {
    let at = inner.clock.now();
    let mut meter = cell.meter.lock().expect("not poisoned");
    if is_new {
        meter.begin(at);
    } else {
        meter.end();
        meter.read(Reading { at, cpu_ms: cpu_of(held) }, None);
    }
}

/// Reads what a branch's server has used, if one runs.
async fn look(inner: &Inner, cell: &Cell, held: &Held<'_>) {
    let Some(connection) = Cell::connection(held) else { return };
    let written = written(&connection).await;
    let reading = Reading { at: inner.clock.now(), cpu_ms: cpu_of(held) };
    cell.meter.lock().expect("not poisoned").read(reading, written);
}

/// The same, before the server is stopped.
pub(crate) async fn ending(inner: &Inner, cell: &Cell, held: &Held<'_>) {
    look(inner, cell, held).await;
    cell.meter.lock().expect("not poisoned").end();
}

/// What a branch has used since this was last asked, and how much room it takes.
pub(crate) async fn used(inner: &Inner, place: &BranchPlace) -> Result<Used, SubstrateError> {
    let cell = inner.cell(place);
    if cell.port().is_some() {
        let held = cell.hold().await;
        look(inner, &cell, &held).await;
    }
    let home = inner.home(place);
    let sizes = tokio::task::spawn_blocking(move || sizes(&home)).await;
    let (logical_bytes, storage_bytes) =
        sizes.map_err(|err| SubstrateError::Failed(err.to_string()))?;
    let mut used = Used { logical_bytes, storage_bytes, ..taken(&cell) };
    // Servers that follow it use the machine as it does; what they write is what it wrote.
    for server in standby::of(inner, place) {
        let cell = inner.cell(&server);
        if cell.port().is_some() {
            let held = cell.hold().await;
            look(inner, &cell, &held).await;
        }
        let theirs = taken(&cell);
        used.active_ms += theirs.active_ms;
        used.cpu_ms += theirs.cpu_ms;
        used.transfer_bytes += theirs.transfer_bytes;
    }
    Ok(used)
}

/// What was used, which is told once.
fn taken(cell: &Cell) -> Used {
    let used = std::mem::take(&mut cell.meter.lock().expect("not poisoned").used);
    Used { transfer_bytes: cell.passed.swap(0, Ordering::AcqRel), ..used }
}

/// The size of a branch's data without the log, and of all that it has.
fn sizes(home: &Path) -> (i64, i64) {
    let of = |path: &str| i64::try_from(size_of(&home.join(path))).unwrap_or(i64::MAX);
    let (data, log) = (of("data"), of("data/pg_wal"));
    (data - log, data + of("archive") + of("bases"))
}

/// Where a server's log ends. It does not matter much: the next reading knows.
async fn written(connection: &ConnectionParameters) -> Option<Lsn> {
    let client = admin(connection, "postgres").await.ok()?;
    let row = client.query_one("SELECT pg_current_wal_lsn()::text", &[]).await.ok()?;
    row.get::<_, &str>(0).parse().ok()
}

/// How much time of a core a server's processes have taken, in milliseconds: those that have ended too.
fn cpu_of(held: &Held<'_>) -> i64 {
    let Some(pid) = held.as_ref().and_then(plinth_local_postgres::Cluster::pid) else { return 0 };
    let mut ticks = ticks_of(pid).map_or(0, |it| it.0);
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(other) = entry.file_name().to_str().and_then(|it| it.parse().ok()) else {
            continue;
        };
        if let Some((used, parent)) = ticks_of(other)
            && parent == pid
        {
            ticks += used;
        }
    }
    ticks * 1000 / ticks_per_second()
}

/// A process and its children: a server's sessions are children of its first process.
pub(crate) fn processes_of(pid: u32) -> Vec<u32> {
    let others = fs::read_dir("/proc").into_iter().flatten().flatten();
    let others = others.filter_map(|it| it.file_name().to_str().and_then(|it| it.parse().ok()));
    // The first one first: whom it starts from then on is where it is.
    std::iter::once(pid).chain(others.filter(|it| parent_of(*it) == Some(pid))).collect()
}

/// Whose child a process is.
pub(crate) fn parent_of(pid: u32) -> Option<u32> {
    ticks_of(pid).map(|it| it.1)
}

fn ticks_per_second() -> i64 {
    use nix::unistd::{SysconfVar, sysconf};
    sysconf(SysconfVar::CLK_TCK).ok().flatten().filter(|it| *it > 0).unwrap_or(100)
}

/// What a process and those that it waited for have used, in ticks; and its parent. `None` where the system does not say.
fn ticks_of(pid: u32) -> Option<(i64, u32)> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads a line of `/proc/…/stat`. The name in it, in parentheses, may have spaces and parentheses itself.
fn parse(line: &str) -> Option<(i64, u32)> {
    let (_, rest) = line.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let parent = fields.get(1)?.parse().ok()?;
    let times = fields.get(11..15)?.iter();
    let ticks = times.map(|it| it.parse::<i64>()).sum::<Result<i64, _>>().ok()?;
    Some((ticks, parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_is_read_whatever_the_process_is_called() {
        let line =
            "42 (post) gres) S 7 42 42 0 -1 4194560 900 300 0 0 10 20 300 4000 20 0 1 0 99 1 2 3";
        assert_eq!(parse(line), Some((4330, 7)));
        assert_eq!(parse("42 (x) S 7"), None);
        assert!(ticks_of(std::process::id()).is_some() || !Path::new("/proc/self/stat").exists());
    }

    #[test]
    fn what_is_counted_is_between_two_readings_of_one_server() {
        let at = |seconds: i64| Timestamp::from_second(seconds).unwrap();
        let read = |meter: &mut Meter, seconds, cpu_ms, written| {
            meter.read(Reading { at: at(seconds), cpu_ms }, Some(Lsn(written)));
        };
        let mut meter = Meter::default();
        meter.begin(at(100));
        read(&mut meter, 110, 500, 1500);
        read(&mut meter, 160, 700, 1600);
        meter.end();
        // Another server, an hour later.
        meter.begin(at(3700));
        read(&mut meter, 3701, 40, 2000);
        meter.end();
        // And one on what the branch was set back to.
        meter.begin(at(3800));
        read(&mut meter, 3801, 1, 300);
        read(&mut meter, 3802, 2, 400);
        let used = meter.used;
        assert_eq!((used.active_ms, used.cpu_ms, used.written_bytes), (63_000, 742, 600));
        // One that was taken over counts from then on.
        let mut meter = Meter::default();
        read(&mut meter, 100, 9000, 9000);
        read(&mut meter, 101, 9001, 9001);
        let used = meter.used;
        assert_eq!((used.active_ms, used.cpu_ms, used.written_bytes), (1000, 1, 1));
    }
}
