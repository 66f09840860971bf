use std::path::{Path, PathBuf};
use std::{fs, io};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A living process of this machine. One that ended and waits to be reaped is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// Its arguments, or the title that it gave itself, joined by spaces.
    pub(crate) command: String,
}

impl Process {
    /// The process with this number, if there is one.
    pub(crate) fn find(pid: i32) -> Option<Self> {
        if has_proc() {
            from_proc(pid)
        } else {
            from_ps(&["-p", &pid.to_string()]).ok()?.into_iter().next()
        }
    }

    /// All that can be seen.
    pub(crate) fn list() -> io::Result<Vec<Self>> {
        if !has_proc() {
            return from_ps(&["-ax"]);
        }
        let numbers = fs::read_dir("/proc")?
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Ok(numbers.filter_map(from_proc).collect())
    }

    /// Whether it is a server's first process on this data directory: by its arguments, as we start
    /// one, or, where somebody else started it in another way, by the folder that it works in.
    pub(crate) fn is_postmaster_of(&self, data: &Path) -> bool {
        let (program, arguments) = self.command.split_once(" -D ").unwrap_or((&self.command, ""));
        let name = program.rsplit('/').next().and_then(|name| name.split(' ').next());
        let after = data.to_str().and_then(|data| arguments.strip_prefix(data));
        let named = after.is_some_and(|after| after.is_empty() || after.starts_with(' '));
        let works_there = || self.folder().is_some_and(|folder| folder == data);
        matches!(name, Some("postgres" | "postmaster")) && (named || works_there())
    }

    /// The folder that it works in; `None` if that cannot be seen.
    fn folder(&self) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/cwd", self.pid)).ok()
    }

    /// Whether it works in another folder, as the processes of a server on a copy of this one do: they have the same
    /// `cluster_name`.
    pub(crate) fn works_elsewhere(&self, data: &Path) -> bool {
        self.folder().is_some_and(|folder| folder != data)
    }

    /// Whether it is a child of the server with this `cluster_name`: a session or one of the
    /// background workers.
    pub(crate) fn is_child_of(&self, cluster_name: &str) -> bool {
        let rest = self
            .command
            .strip_prefix("postgres: ")
            .and_then(|rest| rest.strip_prefix(cluster_name));
        rest.is_some_and(|rest| rest.starts_with(": "))
    }
}

/// Sends a signal; a process that is gone already is fine.
pub(crate) fn signal(pid: i32, signal: Signal) -> io::Result<()> {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether the number is taken, be it by a process that ended and waits to be reaped.
pub(crate) fn exists(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)
}

fn has_proc() -> bool {
    Path::new("/proc/self/cmdline").exists()
}

fn from_proc(pid: i32) -> Option<Process> {
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    // Threads of the kernel and what waits to be reaped have none.
    let command = String::from_utf8_lossy(&command).replace('\0', " ").trim_end().to_owned();
    (!command.is_empty()).then_some(Process { pid, command })
}

/// For systems without `/proc`, such as macOS.
fn from_ps(which: &[&str]) -> io::Result<Vec<Process>> {
    let output = std::process::Command::new("ps")
        .args(["-ww", "-o", "pid=,stat=,args="])
        .args(which)
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(parse_ps).collect())
}

fn parse_ps(line: &str) -> Option<Process> {
    let (pid, rest) = line.trim().split_once(char::is_whitespace)?;
    let (state, command) = rest.trim_start().split_once(char::is_whitespace)?;
    let process = Process { pid: pid.parse().ok()?, command: command.trim().to_owned() };
    (!state.starts_with('Z')).then_some(process)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(command: &str) -> Process {
        Process { pid: 7, command: command.to_owned() }
    }

    #[test]
    fn a_postmaster_is_known_by_its_program_and_its_data_directory() {
        let data = Path::new("/var/lib/plinth/a b/data");
        assert!(
            process("/usr/lib/postgresql/15/bin/postgres -D /var/lib/plinth/a b/data")
                .is_postmaster_of(data)
        );
        assert!(
            process("/opt/my pg/bin/postgres -D /var/lib/plinth/a b/data").is_postmaster_of(data)
        );
        assert!(
            process("postgres -D /var/lib/plinth/a b/data -c config_file=x").is_postmaster_of(data)
        );
        for other in [
            "postgres -D /var/lib/plinth/a b/data2",
            "less -D /var/lib/plinth/a b/data",
            "postgres: plinth: checkpointer",
        ] {
            assert!(!process(other).is_postmaster_of(data), "{other}");
        }
    }

    #[test]
    fn a_child_is_known_by_the_name_of_its_cluster() {
        assert!(process("postgres: plinth-12ab: checkpointer").is_child_of("plinth-12ab"));
        assert!(!process("postgres: plinth-12abc: checkpointer").is_child_of("plinth-12ab"));
        assert!(!process("grep postgres: plinth-12ab: x").is_child_of("plinth-12ab"));
    }

    #[test]
    fn both_ways_of_looking_see_this_process() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let found = Process::find(pid).unwrap();
        assert!(Process::list().unwrap().contains(&found));
        assert_eq!(from_ps(&["-p", &pid.to_string()]).unwrap(), [found]);
    }

    #[test]
    fn what_waits_to_be_reaped_is_no_process() {
        assert_eq!(parse_ps(" 12 Zs   [postgres] <defunct>"), None);
        assert_eq!(parse_ps(" 7 Ss   less -D x"), Some(process("less -D x")));
    }

    #[test]
    fn signalling_a_process_that_is_gone_is_fine() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        signal(i32::try_from(child.id()).unwrap(), Signal::SIGTERM).unwrap();
    }
}
