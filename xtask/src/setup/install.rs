//! Installs packages with apt where that is allowed; for other systems it says the one command to run.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use super::find::Need;
use crate::shell;

/// For systems that are older than what we need.
pub(crate) const NEWER_POSTGRES: &str = "  This system's own PostgreSQL is older than 14. PostgreSQL's package \
     repository has newer ones: https://www.postgresql.org/download/";

/// Debian's and Ubuntu's package makes and starts a cluster when it is installed. Nobody asked for that one, and it
/// takes port 5432; a file in this folder keeps it from being made, and it may lie there before the package does.
const CLUSTER_SETTINGS: &str = "/etc/postgresql-common/createcluster.d";
const NO_CLUSTER: &str = "create_main_cluster = false";

/// Debian's and Ubuntu's package would also open the machine to SSH. Where this file lies, it does not; the tests start their own.
const NO_SSHD: &str = "/etc/ssh/sshd_not_to_be_run";

/// Debian's and Ubuntu's package would start a pooler that nobody asked for; this line, which may stand there before the
/// package, keeps its script from that.
const POOLER_SETTINGS: &str = "/etc/default/pgbouncer";
const NO_POOLER: &str = "START=0";

/// How packages get onto this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manager {
    Apt,
    Dnf,
    Apk,
    Pacman,
    Brew,
}

impl Manager {
    const ALL: [(&str, Self); 5] = [
        ("apt-get", Self::Apt),
        ("dnf", Self::Dnf),
        ("apk", Self::Apk),
        ("pacman", Self::Pacman),
        ("brew", Self::Brew),
    ];

    fn here() -> Option<Self> {
        Self::ALL
            .into_iter()
            .find_map(|(program, manager)| shell::on_path(program).map(|_| manager))
    }

    fn packages(self, need: Need) -> &'static str {
        match (self, need) {
            (Self::Apt, Need::Compiler) => "gcc libc6-dev",
            (Self::Apt, Need::Libclang) => "libclang-dev",
            (Self::Apt | Self::Pacman, Need::Postgres) => "postgresql",
            (Self::Apt | Self::Dnf, Need::Sshd) => "openssh-server",
            (_, Need::Pooler) => "pgbouncer",
            (Self::Apk | Self::Pacman | Self::Brew, Need::Sshd) => "openssh",
            (Self::Apt, Need::Python) => "python3-venv",
            (Self::Dnf | Self::Apk, Need::Python) => "python3",
            (Self::Pacman, Need::Python) => "python",
            (Self::Brew, Need::Python) => "python@3.13",
            (Self::Dnf | Self::Pacman, Need::Compiler) => "gcc",
            (Self::Dnf, Need::Libclang) => "clang-devel",
            (Self::Dnf, Need::Postgres) => "postgresql-server postgresql-contrib",
            (Self::Apk, Need::Compiler) => "gcc musl-dev",
            (Self::Apk, Need::Libclang) => "clang-dev",
            (Self::Apk, Need::Postgres) => "postgresql postgresql-contrib",
            (Self::Pacman, Need::Libclang) => "clang",
            (Self::Brew, Need::Compiler | Need::Libclang) => "llvm",
            (Self::Brew, Need::Postgres) => "postgresql@17",
        }
    }

    fn all_packages(self, needs: &[Need]) -> Vec<&'static str> {
        let mut packages = Vec::new();
        for package in needs.iter().flat_map(|&need| self.packages(need).split(' ')) {
            if !packages.contains(&package) {
                packages.push(package);
            }
        }
        packages
    }

    /// What somebody with the right to install types once.
    fn command(self, needs: &[Need]) -> String {
        let packages = self.all_packages(needs).join(" ");
        match self {
            Self::Apt => {
                let no_cluster = if needs.contains(&Need::Postgres) {
                    format!(
                        "mkdir -p {CLUSTER_SETTINGS} && \
                         echo \"{NO_CLUSTER}\" > {CLUSTER_SETTINGS}/plinth.conf && "
                    )
                } else {
                    String::new()
                };
                let no_sshd = if needs.contains(&Need::Sshd) {
                    format!("mkdir -p /etc/ssh && touch {NO_SSHD} && ")
                } else {
                    String::new()
                };
                let no_pooler = if needs.contains(&Need::Pooler) {
                    format!("echo {NO_POOLER} > {POOLER_SETTINGS} && ")
                } else {
                    String::new()
                };
                format!(
                    "sudo sh -c '{no_cluster}{no_sshd}{no_pooler}apt-get update && apt-get install -y {packages}'"
                )
            }
            Self::Dnf => format!("sudo dnf install -y {packages}"),
            Self::Apk => format!("doas apk add {packages}"),
            Self::Pacman => format!("sudo pacman -S --needed {packages}"),
            Self::Brew => format!("brew install {packages}"),
        }
    }
}

/// Installs what is needed, or says how.
///
/// # Errors
/// If it may not install here, or if installing fails; the text says what to run.
pub(crate) fn install(needs: &[Need]) -> Result<()> {
    let Some(manager) = Manager::here() else {
        bail!(
            "{} missing: install PostgreSQL 14 or newer, libclang and a C compiler, \
             and set PLINTH_POSTGRES_BIN and LIBCLANG_PATH where they are not found",
            super::names(needs)
        );
    };
    let root = Root::get();
    let (Manager::Apt, Some(root)) = (manager, root) else {
        bail!(
            "{} missing. Run this once, then again what you ran:\n\n  {}\n",
            super::names(needs),
            manager.command(needs)
        );
    };
    let packages = manager.all_packages(needs);
    let begun = Instant::now();
    println!("· installing {} …", packages.join(" "));
    if needs.contains(&Need::Postgres) {
        root.write(&Path::new(CLUSTER_SETTINGS).join("plinth.conf"), NO_CLUSTER)?;
    }
    if needs.contains(&Need::Sshd) {
        root.write(Path::new(NO_SSHD), "Plinth's tests start servers of their own.")?;
    }
    if needs.contains(&Need::Pooler) {
        root.write(Path::new(POOLER_SETTINGS), NO_POOLER)?;
    }
    if !has_package_lists() {
        root.apt(&["update"])?;
    }
    let install: Vec<_> =
        ["install", "--yes", "--no-install-recommends"].into_iter().chain(packages).collect();
    // Old lists name versions that the mirror has dropped: fresh ones mend that.
    if root.apt(&install).is_err() {
        root.apt(&["update"])?;
        root.apt(&install).with_context(|| {
            format!(
                "installing failed; run it yourself to see more:\n\n  {}\n",
                manager.command(needs)
            )
        })?;
    }
    println!("✓ installed ({} s)", begun.elapsed().as_secs());
    Ok(())
}

/// A right to install that asks nobody anything.
struct Root {
    sudo: bool,
}

impl Root {
    fn get() -> Option<Self> {
        if nix::unistd::geteuid().is_root() {
            return Some(Self { sudo: false });
        }
        let without_password = Command::new("sudo")
            .args(["-n", "true"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        without_password.then_some(Self { sudo: true })
    }

    fn command(&self, program: &str) -> Command {
        if !self.sudo {
            return Command::new(program);
        }
        let mut command = Command::new("sudo");
        command.args(["-n", program]);
        command
    }

    /// Through `env`, because sudo passes no variable on.
    fn apt(&self, arguments: &[&str]) -> Result<()> {
        let mut apt = self.command("env");
        apt.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"])
            .args(["-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Options::=--force-confold"])
            .args(arguments);
        let (succeeded, text) = shell::quietly(&mut apt)?;
        if shell::interrupted() {
            bail!("interrupted");
        }
        if !succeeded {
            let lines: Vec<_> = text.lines().collect();
            bail!("apt-get said:\n{}", lines[lines.len().saturating_sub(15)..].join("\n"));
        }
        Ok(())
    }

    fn write(&self, path: &Path, line: &str) -> Result<()> {
        let script = "mkdir -p \"$(dirname \"$1\")\" && printf '%s\\n' \"$2\" > \"$1\"";
        let mut shell = self.command("sh");
        shell.args(["-c", script, "sh"]).arg(path).arg(line);
        let (succeeded, text) = shell::quietly(&mut shell)?;
        if !succeeded {
            bail!("writing {}: {text}", path.display());
        }
        Ok(())
    }
}

/// Container images come with none.
fn has_package_lists() -> bool {
    fs::read_dir("/var/lib/apt/lists").is_ok_and(|lists| {
        lists.flatten().any(|list| list.file_name().to_string_lossy().contains("_Packages"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_command_installs_everything_and_makes_no_cluster() {
        let command = Manager::Apt.command(&Need::ALL);
        assert!(command.ends_with(
            "apt-get install -y gcc libc6-dev libclang-dev postgresql openssh-server pgbouncer python3-venv'"
        ));
        assert!(command.find("create_main_cluster = false") < command.find("install -y"));
        assert!(command.find("sshd_not_to_be_run") < command.find("install -y"));
        assert_eq!(command.lines().count(), 1);
    }

    #[test]
    fn no_cluster_setting_is_written_where_no_postgres_is_installed() {
        let command = Manager::Apt.command(&[Need::Libclang]);
        assert!(!command.contains("cluster") && !command.contains("sshd"), "{command}");
    }

    #[test]
    fn a_package_that_meets_two_needs_is_named_once() {
        let command = Manager::Brew.command(&Need::TO_BUILD);
        assert_eq!(command, "brew install llvm postgresql@17");
    }

    #[test]
    fn every_manager_has_a_command_for_every_need() {
        for (program, manager) in Manager::ALL {
            for need in Need::ALL {
                let command = manager.command(&[need]);
                assert!(command.contains(program), "{command}");
            }
        }
    }
}
