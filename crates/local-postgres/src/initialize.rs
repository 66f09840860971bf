use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use secrecy::{ExposeSecret as _, SecretString};
use tokio::process::Command;

use crate::error::{ClusterError, IoContext as _};
use crate::folder::{Folder, State, random_hex, sync_folder, write_whole};
use crate::installation::Installation;
use crate::run_user::RunUser;
use crate::settings::SUPERUSER;

/// Every file and folder of an unfinished initialization begins so.
const DRAFT: &str = "draft-";

/// A path that goes away with this value, if it is still there.
pub(crate) struct Draft(pub(crate) PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// Makes the cluster: everything beside the data first, then the data in a draft, which becomes
/// `data/` at the very end. The folder's lock must be held. After an error, or a kill at any
/// moment, the next call begins anew.
pub(crate) async fn initialize(
    folder: &Folder,
    installation: &Installation,
    user: RunUser,
    durable: bool,
) -> Result<(), ClusterError> {
    remove_drafts(folder)?;
    let password: SecretString = random_hex::<24>()?.into();
    folder.keep_password(&password)?;
    folder.keep_state(&State { id: format!("plinth-{}", random_hex::<8>()?), port: None })?;
    folder.ensure_certificate(user)?;

    let name = format!("{DRAFT}{}", random_hex::<4>()?);
    let password_file = Draft(folder.home().join(format!("{name}.password")));
    write_whole(&password_file.0, password.expose_secret().as_bytes(), 0o600, Some(user))?;
    let data = draft(folder, user)?;

    let mut output = Output {
        status: std::process::ExitStatus::default(),
        stdout: Vec::new(),
        stderr: Vec::new(),
    };
    for locale in locales(installation.version().major) {
        let program = installation.program("initdb");
        let mut command = Command::new(&program);
        command.arg("--pgdata").arg(&data.0).arg("--pwfile").arg(&password_file.0).args(*locale);
        command.args(["--username", SUPERUSER, "--encoding=UTF8", "--data-checksums"]);
        // These rules stand in the data directory's own pg_hba.conf, which is not the one we run
        // with.
        command.args(["--auth-host=scram-sha-256", "--auth-local=scram-sha-256"]);
        if !durable {
            command.arg("--no-sync");
        }
        plain_surroundings(&mut command, folder.home());
        user.apply(&mut command);
        command.stdin(Stdio::null()).kill_on_drop(true);
        output = command.output().await.context("run", &program)?;
        if output.status.success() || !says_unknown_locale(&output) {
            break;
        }
    }
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).trim_end().to_owned();
        return Err(ClusterError::Initialize { status: output.status.to_string(), output: text });
    }
    fs::rename(&data.0, folder.data()).context("rename", &data.0)?;
    sync_folder(folder.home()).context("flush", folder.home())
}

/// An empty directory of the server's user, which goes away unless it is renamed.
pub(crate) fn draft(folder: &Folder, user: RunUser) -> Result<Draft, ClusterError> {
    let data = Draft(folder.home().join(format!("{DRAFT}{}", random_hex::<4>()?)));
    fs::create_dir(&data.0).context("create", &data.0)?;
    fs::set_permissions(&data.0, Permissions::from_mode(0o700))
        .context("set the mode of", &data.0)?;
    if user.is_other() {
        chown(&data.0, Some(user.uid), Some(user.gid)).context("change the owner of", &data.0)?;
    }
    Ok(data)
}

/// Gives a program of Postgres nothing of our environment: it holds secrets, and `PG…` variables
/// would change what it does.
pub(crate) fn plain_surroundings(command: &mut Command, work_folder: &Path) {
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .current_dir(work_folder);
}

/// Ways to ask for sorting by code point and UTF-8 character classes, which are alike on every
/// machine; best first.
fn locales(major: u32) -> &'static [&'static [&'static str]] {
    const BUILT_IN: &[&str] =
        &["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"];
    const SYSTEM: &[&str] = &["--locale=C.UTF-8"];
    const PLAIN: &[&str] = &["--locale=C"];
    if major >= 17 { &[BUILT_IN] } else { &[SYSTEM, PLAIN] }
}

fn says_unknown_locale(output: &Output) -> bool {
    String::from_utf8_lossy(&output.stderr).contains("invalid locale")
}

/// Removes what an initialization that was killed has left.
pub(crate) fn remove_drafts(folder: &Folder) -> Result<(), ClusterError> {
    for entry in fs::read_dir(folder.home()).context("read", folder.home())? {
        let entry = entry.context("read", folder.home())?;
        if entry.file_name().to_string_lossy().starts_with(DRAFT) {
            remove(&entry.path());
        }
    }
    Ok(())
}

fn remove(path: &Path) {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    if let Err(error) = removed
        && path.exists()
    {
        tracing::warn!(path = %path.display(), %error, "what is left of an initialization could not be removed");
    }
}
