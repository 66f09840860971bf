use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::sys::statvfs::statvfs;
use nix::unistd::Pid;

/// A data folder of its own for one test; removed with this value, after whatever a failed test left running in it.
pub(crate) struct DataFolder {
    outer: PathBuf,
    path: PathBuf,
}

impl DataFolder {
    /// A folder that does not exist yet, in one that everybody may enter: as root, Postgres runs as somebody else.
    pub(crate) fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// The same in memory, where the machine has some to spare: for tests that copy many databases and do not care whether
    /// the disk has them. What a killed process has written is there in both.
    pub(crate) fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        let free = statvfs(memory).map_or(0, |it| it.blocks_available() * it.fragment_size());
        if free > 3 << 30 { Self::below(memory) } else { Self::new() }
    }

    fn below(place: &Path) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let outer = place.join(format!("plinth-process-{}-{number}", std::process::id()));
        fs::create_dir(&outer).unwrap();
        fs::set_permissions(&outer, fs::Permissions::from_mode(0o755)).unwrap();
        let outer = outer.canonicalize().unwrap();
        Self { path: outer.join("data"), outer }
    }

    /// The data folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A place beside the data folder, for what a test makes itself.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.outer.join(name)
    }

    /// The processes that work in the folder: the embedded Postgres and its children.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let numbers = fs::read_dir("/proc").unwrap().flatten();
        numbers
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| {
                fs::read_link(format!("/proc/{pid}/cwd"))
                    .is_ok_and(|it| it.starts_with(&self.outer))
            })
            .collect()
    }

    /// The processes that were told to use the folder, wherever they work: nodes.
    fn named(&self) -> Vec<i32> {
        let Some(path) = self.path.to_str() else { return Vec::new() };
        let numbers = fs::read_dir("/proc").unwrap().flatten();
        numbers
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| {
                fs::read(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|it| it.split(|byte| *byte == 0).any(|it| it == path.as_bytes()))
            })
            .collect()
    }

    /// The embedded Postgres's first process.
    pub(crate) fn postmaster(&self) -> Option<i32> {
        let file = fs::read_to_string(self.path.join("postgres/data/postmaster.pid")).ok()?;
        file.lines().next()?.trim().parse().ok()
    }

    /// Fails unless nothing runs on the folder and nothing says that something does.
    pub(crate) fn assert_quiet(&self) {
        assert_eq!(self.processes(), Vec::<i32>::new(), "something was left running");
        assert!(!self.path.join("runtime.json").exists(), "runtime.json was left behind");
        assert!(!self.path.join("postgres/data/postmaster.pid").exists());
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        // A node first: it would start others.
        for pid in self.named().into_iter().chain(self.processes()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let _ = fs::remove_dir_all(&self.outer);
    }
}
