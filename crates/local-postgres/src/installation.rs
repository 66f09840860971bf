use std::ffi::OsStr;
use std::fmt;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::run_user::RunUser;

/// The oldest major version that is supported.
const OLDEST: u32 = 14;

/// PostgreSQL's programs on this machine: a bin folder with `postgres` and `initdb` that was seen
/// to run.
#[derive(Clone, Debug)]
pub struct Installation {
    bin: PathBuf,
    version: Version,
}

/// A server's version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The major version, such as 15.
    pub major: u32,
    /// All of it as the program says it, such as `15.18` or `18beta1`.
    pub text: String,
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

/// Why no programs were found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The folder that the caller named is no good.
    #[error("{} holds no usable PostgreSQL ({reason}): name the folder that has `postgres` and `initdb` in it", bin.display())]
    Named {
        /// The folder as it was named.
        bin: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// Nothing new enough stands in any of the usual places.
    #[error(
        "PostgreSQL {OLDEST} or newer was not found on this machine{}. Install its server programs, for example `apt-get install postgresql`, \
         `dnf install postgresql-server` or `brew install postgresql`, or name the folder of an installation in PLINTH_POSTGRES_BIN",
        refused_text(refused)
    )]
    NotFound {
        /// What was found, and why it cannot be used.
        refused: Vec<String>,
    },
}

fn refused_text(refused: &[String]) -> String {
    if refused.is_empty() {
        String::new()
    } else {
        format!(" (not usable: {})", refused.join("; "))
    }
}

impl Installation {
    /// Looks for PostgreSQL 14 or newer: in `named` alone if that is given, else in `PATH`, else
    /// where distributions put it, newest first.
    ///
    /// # Errors
    ///
    /// - [`FindError::Named`] if the named folder has no programs that run, or too old ones;
    ///   nothing else is looked at then.
    /// - [`FindError::NotFound`] if there is none in the usual places.
    pub fn find(named: Option<&Path>) -> Result<Self, FindError> {
        if let Some(bin) = named {
            return Self::at(bin)
                .map_err(|reason| FindError::Named { bin: bin.to_owned(), reason });
        }
        let mut refused = Vec::new();
        // `PATH` is how the system says where programs are: not a setting of ours.
        let path = std::env::var_os("PATH").unwrap_or_default();
        for bin in std::env::split_paths(&path).chain(usual_places()) {
            if !bin.join("postgres").exists() {
                continue;
            }
            match Self::at(&bin) {
                Ok(found) => return Ok(found),
                Err(reason) => refused.push(format!("{}: {reason}", bin.display())),
            }
        }
        Err(FindError::NotFound { refused })
    }

    fn at(bin: &Path) -> Result<Self, String> {
        let postgres = bin
            .join("postgres")
            .canonicalize()
            .map_err(|_| "there is no `postgres` in it".to_owned())?;
        // A link in a folder of PATH leads to the real folder, where the server's other programs
        // are.
        let bin = [postgres.parent(), Some(bin)]
            .into_iter()
            .flatten()
            .find(|bin| bin.join("initdb").is_file());
        let bin = bin.ok_or("there is no `initdb` in it")?.to_owned();
        // `initdb` compares itself with the `postgres` beside it.
        let version = ask_version(&bin.join("postgres"))?;
        if version.major < OLDEST {
            return Err(format!("it is {version}, older than {OLDEST}"));
        }
        Ok(Self { bin, version })
    }

    /// The folder of the programs.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// Their version.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// Which of these libraries its servers can load, each with the version of the extension that it comes with, or else of
    /// the server.
    pub fn libraries<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Vec<(&'a str, String)> {
        let (libraries, shared) = self.folders();
        let has = |name: &str| {
            ["so", "dylib"].iter().any(|it| libraries.join(name).with_added_extension(it).is_file())
        };
        let with_version = |name: &'a str| {
            let control = shared.join("extension").join(name).with_added_extension("control");
            let text = std::fs::read_to_string(control).unwrap_or_default();
            let version = text.lines().find_map(|it| {
                let value = it.trim().strip_prefix("default_version")?.trim().strip_prefix('=')?;
                Some(value.trim().trim_matches('\'').to_owned())
            });
            (name, version.unwrap_or_else(|| self.version.text.clone()))
        };
        names.into_iter().filter(|it| has(it)).map(with_version).collect()
    }

    /// Where its libraries and its shared files are: as `pg_config` says, or where they stand beside the programs of an
    /// installation without one.
    fn folders(&self) -> (PathBuf, PathBuf) {
        let mut command = Command::new(self.program("pg_config"));
        command.args(["--pkglibdir", "--sharedir"]).stdin(Stdio::null()).env_clear();
        let said = command.env("LC_ALL", "C").output().map(|it| it.stdout).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let mut lines = said.lines().map(PathBuf::from);
        let home = self.bin.parent().unwrap_or(&self.bin);
        (
            lines.next().unwrap_or_else(|| home.join("lib")),
            lines.next().unwrap_or_else(|| home.join("share")),
        )
    }

    /// The path of one of the programs, which need not exist: `psql` and `pg_dump` come with other
    /// packages.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }
}

/// Runs `program --version` as the user who will run it later, so that one that this user may not
/// run is not chosen.
fn ask_version(program: &Path) -> Result<Version, String> {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).env_clear().env("LC_ALL", "C").current_dir("/");
    if let Ok(user) = RunUser::choose()
        && user.is_other()
    {
        command.uid(user.uid).gid(user.gid);
    }
    let name = program.file_name().unwrap_or(OsStr::new("")).to_string_lossy().into_owned();
    let output =
        command.output().map_err(|err| format!("`{name} --version` cannot be run: {err}"))?;
    if !output.status.success() {
        return Err(format!(
            "`{name} --version` failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    parse_version(&text).ok_or_else(|| format!("`{name} --version` says {:?}", text.trim()))
}

/// Reads `postgres (PostgreSQL) 15.18 (Debian …)`.
fn parse_version(text: &str) -> Option<Version> {
    let version = text.split("(PostgreSQL)").nth(1)?.split_whitespace().next()?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    Some(Version { major: digits.parse().ok()?, text: version.to_owned() })
}

/// Where distributions put the server's programs, newest first within each kind of place.
fn usual_places() -> Vec<PathBuf> {
    let mut places = Vec::new();
    places.extend(newest_first("/usr/lib/postgresql", "", "bin")); // Debian, Ubuntu
    places.extend(newest_first("/usr", "pgsql-", "bin")); // PGDG on Red Hat
    places.push("/usr/bin".into()); // Fedora, Arch
    places.extend(newest_first("/usr/libexec", "postgresql", "")); // Alpine
    places.push("/usr/local/pgsql/bin".into()); // from source
    for cellar in ["/opt/homebrew/opt", "/usr/local/opt"] {
        places.extend(newest_first(cellar, "postgresql@", "bin"));
        places.push(Path::new(cellar).join("postgresql/bin"));
    }
    places.extend(newest_first("/Applications/Postgres.app/Contents/Versions", "", "bin"));
    places
}

/// The folders `<parent>/<prefix><number>/<inside>`, highest number first.
fn newest_first(parent: &str, prefix: &str, inside: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let number = name.to_str()?.strip_prefix(prefix)?.split('.').next()?.parse().ok()?;
            Some((number, entry.path().join(inside)))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_all_distributions_are_read() {
        let read = |text| parse_version(text).map(|version| (version.major, version.text));
        assert_eq!(
            read("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some((15, "15.18".to_owned()))
        );
        assert_eq!(read("initdb (PostgreSQL) 18beta1\n"), Some((18, "18beta1".to_owned())));
        assert_eq!(read("postgres (PostgreSQL) 9.6.24"), Some((9, "9.6.24".to_owned())));
        assert_eq!(read("postgres: something else"), None);
    }

    #[test]
    fn a_named_folder_without_programs_is_refused_and_named() {
        let refused =
            Installation::find(Some(Path::new("/nonexistent/bin"))).unwrap_err().to_string();
        assert!(refused.contains("/nonexistent/bin") && refused.contains("initdb"), "{refused}");
    }

    #[test]
    fn the_message_for_none_says_what_to_install() {
        let message =
            FindError::NotFound { refused: vec!["/old/bin: it is 9.6.24, older than 14".into()] }
                .to_string();
        assert!(
            message.contains("apt-get install postgresql") && message.contains("9.6.24"),
            "{message}"
        );
    }
}
