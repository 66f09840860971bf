use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::time::sleep;

use super::{Cluster, LOOK_EVERY};
use crate::error::{ClusterError, IoContext as _};
use crate::folder::Folder;
use crate::process::{Process, signal};

/// How long a server may take to end once its sessions are cut, before it is killed.
const CUT_LIMIT: Duration = Duration::from_secs(5);

/// How long the sessions of a server that died get to notice it themselves.
const NOTICE_LIMIT: Duration = Duration::from_secs(1);

/// How a server ended that we stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// None was running.
    NotRunning,
    /// In order: sessions were ended, everything was written.
    Fast,
    /// Not within [`ClusterSettings::stop_limit`](crate::ClusterSettings::stop_limit): it was cut short, and recovers at the next
    /// start. Nothing committed is lost.
    Immediate,
    /// It did not even do that and was killed; it recovers at the next start.
    Killed,
}

impl Cluster {
    /// Stops the server: in order, else cut short, else killed. Returns when none of its processes
    /// is left.
    ///
    /// # Errors
    ///
    /// - [`ClusterError::Leftover`] if something of it survives even a kill.
    /// - [`ClusterError::Io`] if signals cannot be sent.
    pub async fn stop(&mut self) -> Result<Stopped, ClusterError> {
        // It stays ours until it is gone, so that dropping this future midway leaves nothing
        // behind.
        let Some(running) = &mut self.running else { return Ok(Stopped::NotRunning) };
        let steps = [
            (Signal::SIGINT, self.settings.stop_limit, Stopped::Fast),
            (Signal::SIGQUIT, CUT_LIMIT.min(self.settings.stop_limit), Stopped::Immediate),
            (Signal::SIGKILL, CUT_LIMIT, Stopped::Killed),
        ];
        for (kind, limit, outcome) in steps {
            // The number of a process that has ended may be given to another one: asked again
            // before each signal.
            if is_alive(running.pid, &self.folder) {
                signal(running.pid, kind).context("signal PostgreSQL on", self.folder.home())?;
            }
            let gone = async {
                match &mut running.child {
                    Some(child) => drop(child.wait().await),
                    None => wait_gone(running.pid, &self.folder).await,
                }
            };
            if tokio::time::timeout(limit, gone).await.is_ok() {
                self.running = None;
                self.end_children().await?;
                return Ok(outcome);
            }
            tracing::warn!(folder = %self.folder.home().display(), signal = %kind, ?limit, "PostgreSQL has not ended");
        }
        Err(ClusterError::Leftover {
            folder: self.folder.home().to_owned(),
            pids: vec![running.pid],
        })
    }

    /// Ends what is left of a server whose first process is gone: sessions hold its shared memory,
    /// and no new server may start beside them.
    pub(super) async fn end_children(&self) -> Result<(), ClusterError> {
        let steps = [
            (None, NOTICE_LIMIT),
            (Some(Signal::SIGQUIT), CUT_LIMIT),
            (Some(Signal::SIGKILL), CUT_LIMIT),
        ];
        for (kind, limit) in steps {
            for pid in self.children()? {
                if let Some(kind) = kind {
                    tracing::warn!(pid, signal = %kind, "ending a process of a PostgreSQL that is gone");
                    signal(pid, kind).context("signal PostgreSQL on", self.folder.home())?;
                }
            }
            let deadline = Instant::now() + limit;
            while !self.children()?.is_empty() && Instant::now() < deadline {
                sleep(LOOK_EVERY).await;
            }
        }
        let pids = self.children()?;
        if pids.is_empty() {
            Ok(())
        } else {
            Err(ClusterError::Leftover { folder: self.folder.home().to_owned(), pids })
        }
    }

    fn children(&self) -> Result<Vec<i32>, ClusterError> {
        let processes = Process::list().context("list", Path::new("/proc"))?;
        let data = self.folder.data();
        Ok(processes
            .iter()
            .filter(|process| process.is_child_of(&self.id) && !process.works_elsewhere(&data))
            .map(|process| process.pid)
            .collect())
    }
}

impl Drop for Cluster {
    /// Best effort, for panics and forgotten stops: waits at most some seconds, and blocks the
    /// thread meanwhile.
    fn drop(&mut self) {
        let Some(running) = self.running.take() else { return };
        for (kind, limit) in [
            (Signal::SIGINT, CUT_LIMIT),
            (Signal::SIGQUIT, NOTICE_LIMIT),
            (Signal::SIGKILL, NOTICE_LIMIT),
        ] {
            let deadline = Instant::now() + limit;
            if is_alive(running.pid, &self.folder) {
                let _ = signal(running.pid, kind);
            }
            while is_alive(running.pid, &self.folder) {
                if Instant::now() > deadline {
                    break;
                }
                std::thread::sleep(LOOK_EVERY);
            }
        }
    }
}

pub(super) fn is_alive(pid: i32, folder: &Folder) -> bool {
    Process::find(pid).is_some_and(|process| process.is_postmaster_of(&folder.data()))
}

async fn wait_gone(pid: i32, folder: &Folder) {
    while is_alive(pid, folder) {
        sleep(LOOK_EVERY).await;
    }
}
