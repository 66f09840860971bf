//! Looks for what is needed, in the places where the programs that need it will look.

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The oldest PostgreSQL that Plinth runs.
const OLDEST_POSTGRES: u32 = 14;

/// One thing that must be on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// For the parser of SQL and the crates with C in them.
    Compiler,
    /// For bindgen, which reads the SQL parser's headers.
    Libclang,
    /// For the embedded database, and for every test.
    Postgres,
    /// For the tests of databases behind a bastion; with `ssh-keygen` beside it.
    Sshd,
    /// For the tests of endpoints' pooled ports.
    Pooler,
    /// For fuzzing the API with a tool from Python's package index.
    Python,
}

/// What looking for a need gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is there: which, and where.
    At(String),
    /// It is not, and why.
    Not(String),
}

impl Need {
    pub(crate) const ALL: [Self; 6] =
        [Self::Compiler, Self::Libclang, Self::Postgres, Self::Sshd, Self::Pooler, Self::Python];

    /// What building and running Plinth takes.
    pub(crate) const TO_BUILD: [Self; 3] = [Self::Compiler, Self::Libclang, Self::Postgres];

    /// What the tests take beside that.
    pub(crate) const TO_TEST: [Self; 5] =
        [Self::Compiler, Self::Libclang, Self::Postgres, Self::Sshd, Self::Pooler];

    pub(crate) fn find(self) -> Found {
        match self {
            Self::Compiler => compiler(),
            Self::Libclang => libclang(),
            Self::Postgres => postgres(),
            Self::Sshd => sshd(),
            Self::Pooler => pooler(),
            Self::Python => python(),
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Compiler => "C compiler",
            Self::Libclang => "libclang",
            Self::Postgres => "PostgreSQL server",
            Self::Sshd => "SSH server",
            Self::Pooler => "PgBouncer",
            Self::Python => "Python with venv",
        })
    }
}

/// A compiler counts when it compiles: without the C library's headers (a package of its own) it is of no use.
fn compiler() -> Found {
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let compiles = || -> std::io::Result<bool> {
        let mut child = Command::new(&compiler)
            .args(["-fsyntax-only", "-x", "c", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(b"#include <stdlib.h>\nint main(void) { return 0; }\n")?;
        }
        Ok(child.wait()?.success())
    };
    match compiles() {
        Ok(true) => Found::At(compiler.display().to_string()),
        Ok(false) => Found::Not(format!(
            "{} is there, but not the headers of the C library",
            compiler.display()
        )),
        Err(_) => Found::Not("not there".into()),
    }
}

/// libclang as bindgen finds it, with the compiler's own headers (`stddef.h`) beside it.
fn libclang() -> Found {
    if let Some(path) = std::env::var_os("LIBCLANG_PATH") {
        let path = PathBuf::from(path);
        let file = if path.is_file() { Some(path.clone()) } else { libclang_in(&path) };
        return file.map_or_else(
            || Found::Not(format!("none in LIBCLANG_PATH ({})", path.display())),
            |file| Found::At(file.display().to_string()),
        );
    }
    let Some(file) = libclang_folders().iter().find_map(|folder| libclang_in(folder)) else {
        return Found::Not("not there".into());
    };
    // On macOS they come with the command line tools, wherever those are.
    if cfg!(target_os = "linux") && !has_own_headers() {
        return Found::Not(format!("{} is there, but not its headers", file.display()));
    }
    Found::At(file.display().to_string())
}

fn libclang_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Some(path) = std::env::var_os("LD_LIBRARY_PATH") {
        folders.extend(std::env::split_paths(&path));
    }
    // The newest LLVM first, as clang-sys has it.
    folders.extend(children("/usr/lib", "llvm-").into_iter().rev().map(|llvm| llvm.join("lib")));
    folders.extend(children("/usr/lib", "llvm").into_iter().rev().map(|llvm| llvm.join("lib64")));
    folders.extend(children("/usr/lib", "").into_iter().filter(|path| is_multiarch(path)));
    for folder in ["/usr/lib64", "/usr/lib", "/usr/lib64/llvm", "/usr/local/lib", "/usr/lib/llvm"] {
        folders.push(folder.into());
    }
    for folder in [
        "/opt/homebrew/opt/llvm/lib",
        "/usr/local/opt/llvm/lib",
        "/Library/Developer/CommandLineTools/usr/lib",
        "/Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/lib",
    ] {
        folders.push(folder.into());
    }
    folders
}

/// `/usr/lib/x86_64-linux-gnu` and its like.
fn is_multiarch(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| name.to_string_lossy().contains("-linux-"))
}

fn libclang_in(folder: &Path) -> Option<PathBuf> {
    children(folder, "libclang").into_iter().find(|file| {
        file.file_name().is_some_and(|name| is_libclang(&name.to_string_lossy())) && file.is_file()
    })
}

/// `libclang.so`, `libclang-14.so.1`, `libclang.dylib`; not `libclang-cpp.so.14`, which is another library.
fn is_libclang(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("libclang") else { return false };
    let rest = rest.strip_prefix('-').map_or(rest, |version| {
        version.trim_start_matches(|char: char| char.is_ascii_digit() || char == '.')
    });
    let rest = rest.trim_start_matches('.');
    rest == "so" || rest.starts_with("so.") || rest == "dylib"
}

fn has_own_headers() -> bool {
    let mut homes: Vec<_> =
        children("/usr/lib", "llvm").into_iter().map(|llvm| llvm.join("lib/clang")).collect();
    homes.extend(["/usr/lib/clang", "/usr/lib64/clang", "/usr/local/lib/clang"].map(PathBuf::from));
    homes
        .iter()
        .flat_map(|home| children(home, ""))
        .any(|version| version.join("include/stddef.h").is_file())
}

/// The server stands where only root looks for programs.
fn sshd() -> Found {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"].map(PathBuf::from))
        .collect();
    let find = |name: &str| folders.iter().map(|it| it.join(name)).find(|it| it.is_file());
    match (find("sshd"), find("ssh-keygen")) {
        (Some(sshd), Some(_)) => Found::At(sshd.display().to_string()),
        (Some(sshd), None) => {
            Found::Not(format!("{} is there, but not ssh-keygen", sshd.display()))
        }
        (None, _) => Found::Not("not there".into()),
    }
}

/// A pooler, in the places where a node looks.
fn pooler() -> Found {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/opt/homebrew/bin"];
    let folders = std::env::split_paths(&path).chain(usual.map(PathBuf::from));
    match folders.map(|it| it.join("pgbouncer")).find(|it| it.is_file()) {
        Some(program) => Found::At(program.display().to_string()),
        None => Found::Not("not there".into()),
    }
}

/// A server that is new enough, in the order in which Plinth looks.
fn postgres() -> Found {
    let mut folders: Vec<PathBuf> = Vec::new();
    if let Some(chosen) = std::env::var_os("PLINTH_POSTGRES_BIN") {
        // Plinth takes no other when one was chosen.
        folders.push(chosen.into());
    } else {
        folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let mut versions = children("/usr/lib/postgresql", "");
        versions.extend(children("/usr", "pgsql-"));
        versions.extend(children("/opt/homebrew/opt", "postgresql"));
        versions.extend(children("/usr/local/opt", "postgresql"));
        versions.push("/usr/local/pgsql".into());
        folders.extend(versions.into_iter().rev().map(|version| version.join("bin")));
    }
    let mut too_old = None;
    for folder in folders {
        // Both are needed: a client package may bring the one without the other.
        if !folder.join("initdb").is_file() {
            continue;
        }
        let Some(version) = postgres_version(&folder.join("postgres")) else { continue };
        if version >= OLDEST_POSTGRES {
            return Found::At(format!("{version} in {}", folder.display()));
        }
        too_old = Some(format!("{version} in {} is too old", folder.display()));
    }
    Found::Not(too_old.unwrap_or_else(|| "not there".into()))
}

fn postgres_version(server: &Path) -> Option<u32> {
    let output = Command::new(server).arg("--version").stdin(Stdio::null()).output().ok()?;
    major_version(&String::from_utf8_lossy(&output.stdout))
}

/// The 15 of `postgres (PostgreSQL) 15.18 (Debian …)`.
fn major_version(text: &str) -> Option<u32> {
    let (_, version) = text.split_once("(PostgreSQL) ")?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// A Python that can make environments with pip in them; on Debian that is a package of its own.
fn python() -> Found {
    let script = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2]); \
                  sys.exit(sys.version_info < (3, 10))";
    let output = Command::new("python3").args(["-c", script]).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => {
            Found::At(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        Ok(output) if !output.stdout.is_empty() => {
            let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            Found::Not(format!("{version} is too old: 3.10 is needed"))
        }
        Ok(_) => Found::Not("python3 is there, but not its modules venv and ensurepip".into()),
        Err(_) => Found::Not("not there".into()),
    }
}

/// What lies in the folder and begins so, in the order of the names with numbers as numbers (9 before 14); nothing
/// where there is no such folder.
fn children(folder: impl AsRef<Path>, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .collect();
    paths.sort_by_key(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let digits: String = name.chars().filter(char::is_ascii_digit).collect();
        (digits.parse::<u64>().unwrap_or(0), name)
    });
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libclang_is_told_from_its_neighbours() {
        for name in [
            "libclang.so",
            "libclang.so.1",
            "libclang-14.so.14.0.6",
            "libclang.dylib",
            "libclang-19.so.1",
        ] {
            assert!(is_libclang(name), "{name}");
        }
        for name in [
            "libclang-cpp.so.14",
            "libclang-cpp.so",
            "libclangTooling.so",
            "libclangAST.a",
            "libclang_rt.so",
        ] {
            assert!(!is_libclang(name), "{name}");
        }
    }

    #[test]
    fn a_servers_version_is_read_from_what_it_says() {
        let debian = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(major_version(debian), Some(15));
        assert_eq!(major_version("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_version("command not found"), None);
    }

    #[test]
    fn a_folder_without_programs_has_no_postgres() {
        assert_eq!(postgres_version(Path::new("/nowhere/postgres")), None);
        assert!(children("/nowhere", "").is_empty());
    }
}
