//! A cargo made of a few lines of shell.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of its own with a `cargo` in it; removed at the end.
pub(crate) struct FakeCargo {
    folder: PathBuf,
}

impl FakeCargo {
    /// `cases` are branches of a shell `case` over cargo's arguments; `$HERE` is the folder.
    pub(crate) fn new(cases: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("xtask-fake-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("making the folder");
        let fake = Self { folder };
        let metadata = r#"{"target_directory": "'"$HERE"'", "packages": [{"name": "ours", "targets": [{"doctest": true}]}]}"#;
        fake.script(
            "cargo",
            &format!(
                "case \"$*\" in\n\
                 metadata*) echo '{metadata}' ;;\n\
                 {cases}\n\
                 *) echo \"unexpected: cargo $*\" >&2; exit 99 ;;\n\
                 esac"
            ),
        );
        fake
    }

    /// Puts another program into the folder.
    pub(crate) fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        let here = self.folder.display();
        // Written beside and moved: a file that is open for writing in a test beside this one cannot be run.
        let draft = self.folder.join(format!("{name}.draft"));
        fs::write(&draft, format!("#!/bin/sh\nHERE='{here}'\n{text}\n")).expect("writing a script");
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o755))
            .expect("making it a program");
        fs::rename(draft, &path).expect("naming a script");
        path
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The built xtask, which takes this cargo for the one that runs it.
    pub(crate) fn xtask(&self, arguments: &[&str]) -> Command {
        let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
        xtask.args(arguments).env("CARGO", self.folder.join("cargo")).env_remove("CI");
        xtask
    }
}

impl Drop for FakeCargo {
    fn drop(&mut self) {
        // Left-overs in the folder for temporary files fail no test.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
