//! How much of the machine a server may use, held by control groups of the second version.
//!
//! A node makes a group for its servers below its own, where that is possible without touching anybody else's processes;
//! where it is not, it says why, and endpoints' compute units hold nobody back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use plinth_control_plane::Computes;

use crate::meter::parent_of;

/// The group of Plinth's own processes, once servers have groups beside it: one that has groups with limits below it may
/// have no processes itself.
const OURS: &str = "plinth";

/// The group below which each server has one.
const SERVERS: &str = "plinth-servers";

/// What is limited.
const CONTROLLERS: [&str; 2] = ["cpu", "memory"];

/// In which a share of the cores is counted, in microseconds.
const PERIOD_US: u32 = 100_000;

/// What belongs to one compute unit, beside a core.
const BYTES_PER_UNIT: f64 = 4.0 * 1024.0 * 1024.0 * 1024.0;

/// Where servers' groups are.
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    servers: PathBuf,
}

impl Groups {
    /// Looks whether servers can have groups here, and makes what they need.
    ///
    /// # Errors
    ///
    /// Why not, in words for whoever runs the node.
    pub(crate) fn find() -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|err| err.to_string())?;
        let mount = mount_of(&mounts)
            .ok_or("control groups of the second version are not mounted on this machine")?;
        let own = fs::read_to_string("/proc/self/cgroup").map_err(|err| err.to_string())?;
        let own = own.lines().find_map(|it| it.strip_prefix("0::")).unwrap_or("/");
        let program = fs::read_link("/proc/self/exe").ok();
        let is_ours = |pid: u32| {
            let mut pid = Some(pid);
            // What we have started, and what that has.
            for _ in 0..16 {
                let Some(it) = pid.filter(|it| *it > 1) else { return false };
                if program.is_some() && fs::read_link(format!("/proc/{it}/exe")).ok() == program {
                    return true;
                }
                pid = parent_of(it);
            }
            false
        };
        Self::below(&mount, own, &is_ours)
    }

    /// The same for a tree that is mounted there, of which `own` is our group.
    fn below(mount: &Path, own: &str, is_ours: &dyn Fn(u32) -> bool) -> Result<Self, String> {
        let mut group = mount.join(own.trim_start_matches('/'));
        // A server that was started by one that has moved aside already.
        if group.file_name().is_some_and(|it| it == OURS)
            && let Some(above) = group.parent().filter(|it| it.join(SERVERS).exists())
        {
            group = above.to_owned();
        }
        let shown = group.display().to_string();
        let read = |file: &str| {
            fs::read_to_string(group.join(file))
                .map_err(|err| format!("the control group {shown} cannot be read: {err}"))
        };
        let there = read("cgroup.controllers")?;
        let lacks = missing(&there);
        if !lacks.is_empty() {
            return Err(format!("the control group {shown} has no {}", lacks.join(" and ")));
        }
        if !missing(&read("cgroup.subtree_control")?).is_empty() {
            let enable = || enable(&group);
            if enable().is_err() {
                move_aside(&group, &read("cgroup.procs")?, is_ours)?;
                enable().map_err(|err| {
                    format!("limits cannot be handed on below the control group {shown}: {err}")
                })?;
            }
        }
        let servers = group.join(SERVERS);
        let made = make(&servers).and_then(|()| enable(&servers));
        made.map_err(|err| format!("no groups can be made below {}: {err}", servers.display()))?;
        // Those of servers that have ended; one with processes resists.
        for left in fs::read_dir(&servers).into_iter().flatten().flatten() {
            let _ = fs::remove_dir(left.path());
        }
        Ok(Self { servers })
    }

    /// Puts a server's processes under limits, or under others.
    pub(crate) fn hold(&self, server: &str, pids: &[u32], computes: Computes) -> io::Result<()> {
        let group = self.servers.join(server);
        make(&group)?;
        let (quota, bytes) = (quota_us(computes.max), bytes(computes.max));
        fs::write(group.join("cpu.max"), format!("{quota} {PERIOD_US}"))?;
        fs::write(group.join("memory.max"), bytes.to_string())?;
        for pid in pids {
            match fs::write(group.join("cgroup.procs"), pid.to_string()) {
                // It has ended meanwhile.
                Err(err) if err.raw_os_error() == Some(nix::errno::Errno::ESRCH as i32) => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Removes the group of a server that has ended.
    pub(crate) fn release(&self, server: &str) {
        let _ = fs::remove_dir(self.servers.join(server));
    }
}

/// Lets groups below this one have limits.
fn enable(group: &Path) -> io::Result<()> {
    let all: Vec<_> = CONTROLLERS.iter().map(|it| format!("+{it}")).collect();
    fs::write(group.join("cgroup.subtree_control"), all.join(" "))
}

/// Moves our processes into a group of their own, if there are no others.
fn move_aside(group: &Path, procs: &str, is_ours: &dyn Fn(u32) -> bool) -> Result<(), String> {
    let pids: Vec<u32> = procs.lines().filter_map(|it| it.trim().parse().ok()).collect();
    if let Some(other) = pids.iter().find(|it| !is_ours(**it)) {
        return Err(format!(
            "other processes (such as {other}) share the control group {}: run Plinth as a service of its own, with systemd and \
             `Delegate=yes` for example",
            group.display()
        ));
    }
    let ours = group.join(OURS);
    let moved = make(&ours).and_then(|()| {
        pids.iter().try_for_each(|it| fs::write(ours.join("cgroup.procs"), it.to_string()))
    });
    moved.map_err(|err| format!("no group can be made below {}: {err}", group.display()))
}

fn make(group: &Path) -> io::Result<()> {
    match fs::create_dir(group) {
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn missing(list: &str) -> Vec<&'static str> {
    CONTROLLERS.into_iter().filter(|it| list.split_whitespace().all(|there| there != *it)).collect()
}

/// Where groups of the second version are mounted (proc(5)).
fn mount_of(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        (after.split(' ').next()? == "cgroup2")
            .then(|| before.split(' ').nth(4).map(PathBuf::from))?
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "units are between 0.25 and 64"
)]
fn quota_us(units: f64) -> u64 {
    (units * f64::from(PERIOD_US)).round() as u64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "units are between 0.25 and 64"
)]
fn bytes(units: f64) -> u64 {
    (units * BYTES_PER_UNIT).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that stands for a tree of groups. Its files take what is written, as the kernel's do where all is well.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str, controllers: &str) -> Self {
            let folder =
                std::env::temp_dir().join(format!("plinth-groups-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            let group = folder.join("system.slice/plinth.service");
            fs::create_dir_all(&group).unwrap();
            for (file, text) in [
                ("cgroup.controllers", controllers),
                ("cgroup.subtree_control", "\n"),
                ("cgroup.procs", "101\n102\n"),
            ] {
                fs::write(group.join(file), text).unwrap();
            }
            Self(folder)
        }

        fn groups(&self, is_ours: &dyn Fn(u32) -> bool) -> Result<Groups, String> {
            Groups::below(&self.0, "/system.slice/plinth.service", is_ours)
        }

        fn read(&self, path: &str) -> String {
            let path = self.0.join("system.slice/plinth.service").join(path);
            fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_server_is_held_to_its_compute_units() {
        let tree = Tree::new("held", "cpuset cpu io memory pids\n");
        let groups = tree.groups(&|_| true).unwrap();
        assert_eq!(tree.read("cgroup.subtree_control"), "+cpu +memory");
        assert_eq!(tree.read("plinth-servers/cgroup.subtree_control"), "+cpu +memory");
        groups.hold("br-a", &[7], Computes { min: 0.25, max: 0.5 }).unwrap();
        assert_eq!(tree.read("plinth-servers/br-a/cpu.max"), "50000 100000");
        assert_eq!(tree.read("plinth-servers/br-a/memory.max"), (2_u64 << 30).to_string());
        assert_eq!(tree.read("plinth-servers/br-a/cgroup.procs"), "7");
        groups.hold("br-a", &[], Computes { min: 1.0, max: 4.0 }).unwrap();
        assert_eq!(tree.read("plinth-servers/br-a/cpu.max"), "400000 100000");
    }

    #[test]
    fn where_something_is_missing_it_is_said() {
        let tree = Tree::new("lacks", "cpu pids\n");
        let why = tree.groups(&|_| true).unwrap_err();
        assert!(why.contains("has no memory"), "{why}");
        let why = Groups::below(&tree.0, "/nobody", &|_| true).unwrap_err();
        assert!(why.contains("cannot be read"), "{why}");
    }

    #[test]
    fn strangers_are_never_moved() {
        let tree = Tree::new("strangers", "cpu memory\n");
        let group = tree.0.join("system.slice/plinth.service");
        let why = move_aside(&group, "101\n102\n", &|pid| pid == 101).unwrap_err();
        assert!(why.contains("102") && why.contains("Delegate=yes"), "{why}");
        assert!(!group.join(OURS).exists());
        move_aside(&group, "101\n", &|pid| pid == 101).unwrap();
        assert_eq!(tree.read("plinth/cgroup.procs"), "101");
        // What is started from there finds the groups beside it.
        fs::create_dir(group.join(SERVERS)).unwrap();
        let own = "/system.slice/plinth.service/plinth";
        let groups = Groups::below(&tree.0, own, &|_| true).unwrap();
        assert_eq!(groups.servers, group.join(SERVERS));
    }

    /// Says that a test cannot run here.
    #[expect(clippy::print_stdout, reason = "whoever runs the tests reads it")]
    fn skip(test: &str, reason: &str) {
        println!("SKIPPED: {reason}");
        if let Some(folder) = std::env::var_os("XTASK_SKIPPED_DIR") {
            fs::write(Path::new(&folder).join(test), reason).unwrap();
        }
    }

    /// A process that takes all that it is given, in a group of the kernel's own, and what is made around it.
    struct Busy {
        group: PathBuf,
        child: std::process::Child,
    }

    impl Busy {
        /// Below the mount, which has to hand on what is limited: this is not for a test to change.
        fn start(mount: &Path) -> io::Result<Self> {
            let handed_on = fs::read_to_string(mount.join("cgroup.subtree_control"))?;
            if !missing(&handed_on).is_empty() {
                return Err(io::Error::other(
                    "the controllers cpu and memory are not handed on here",
                ));
            }
            let group = mount.join(format!("plinth-test-{}", std::process::id()));
            fs::create_dir(&group)?;
            let child =
                std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn();
            let busy = Self { group, child: child? };
            fs::write(busy.group.join("cgroup.procs"), busy.child.id().to_string())?;
            Ok(busy)
        }
    }

    impl Drop for Busy {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
            for below in ["plinth-servers/br-a", "plinth-servers", "plinth", ""] {
                let _ = fs::remove_dir(self.group.join(below));
            }
        }
    }

    /// The kernel's own groups, where this process may make some.
    #[test]
    fn the_kernel_holds_a_server_to_its_compute_units() {
        const NAME: &str = "limits::tests::the_kernel_holds_a_server_to_its_compute_units";
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let Some(mount) = mount_of(&mounts) else {
            return skip(NAME, "control groups of the second version are not mounted");
        };
        let mut busy = match Busy::start(&mount) {
            Ok(busy) => busy,
            Err(err) => return skip(NAME, &format!("no group can be made and limited: {err}")),
        };
        let pid = busy.child.id();
        let own = busy.group.file_name().unwrap().to_str().unwrap().to_owned();
        let groups = Groups::below(&mount, &format!("/{own}"), &|it| it == pid).unwrap();
        let aside = fs::read_to_string(busy.group.join("plinth/cgroup.procs")).unwrap();
        assert_eq!(
            aside.trim(),
            pid.to_string(),
            "what has groups with limits below has no processes"
        );

        groups.hold("br-a", &[pid], Computes { min: 0.25, max: 0.25 }).unwrap();
        let server = busy.group.join("plinth-servers/br-a");
        let read = |file: &str| fs::read_to_string(server.join(file)).unwrap();
        assert_eq!(read("cgroup.procs").trim(), pid.to_string());
        assert_eq!(read("cpu.max").trim(), "25000 100000");
        assert_eq!(read("memory.max").trim(), (1_u64 << 30).to_string());
        let used = || -> u64 {
            let stat = read("cpu.stat");
            let line = stat.lines().find_map(|it| it.strip_prefix("usage_usec ")).unwrap();
            line.parse().unwrap()
        };
        let (before, begun) = (used(), std::time::Instant::now());
        std::thread::sleep(std::time::Duration::from_secs(1));
        let share = f64::from(u32::try_from(used() - before).unwrap())
            / 1e6
            / begun.elapsed().as_secs_f64();
        assert!(share < 0.4, "a quarter of a core was granted, {share:.2} taken");

        groups.release("br-a");
        assert!(server.exists(), "one that still runs keeps its limits");
        busy.child.kill().unwrap();
        busy.child.wait().unwrap();
        groups.release("br-a");
        assert!(!server.exists());
    }

    #[test]
    fn the_mount_is_found_among_others() {
        let mounts = "30 25 0:26 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
                      31 25 0:27 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(mount_of(mounts), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(mount_of("30 25 0:26 / / rw - ext4 /dev/x rw\n"), None);
    }
}
