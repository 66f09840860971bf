use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use plinth_core::Clock;
use plinth_tenancy::{Mail, MailError, Mailer};

use crate::message::{self, Sender};

/// How many mails are kept.
const KEPT: usize = 200;

/// Leaves mails as files in a folder, for an installation without a mail server: whoever may read the folder finds the
/// link of an invitation there.
///
/// The folder has mode 0700, a file 0600; its name is the time and the mail's id, its form that of any `.eml`. The
/// newest 200 are kept: most hold a link that works like a password.
pub struct FolderMailer {
    folder: PathBuf,
    from: Sender,
    clock: Arc<dyn Clock>,
}

impl FolderMailer {
    /// Into that folder, which is made with the first mail.
    pub fn new(folder: PathBuf, from: Sender, clock: Arc<dyn Clock>) -> Self {
        Self { folder, from, clock }
    }
}

#[async_trait]
impl Mailer for FolderMailer {
    async fn send(&self, mail: &Mail) -> Result<(), MailError> {
        let now = self.clock.now();
        let (_, bytes) = message::write(mail, &self.from, now)?;
        let name = format!("{}-{}.eml", now.strftime("%Y%m%dT%H%M%SZ"), mail.id);
        let folder = self.folder.clone();
        let kept = tokio::task::spawn_blocking(move || keep(&folder, &name, &bytes)).await;
        let failed = |what: String| MailError::Temporary(format!("it cannot be written: {what}"));
        kept.map_err(|it| failed(it.to_string()))?.map_err(|it| failed(it.to_string()))?;
        tracing::info!(mail.id = %mail.id, "a mail was left in the data folder");
        Ok(())
    }
}

/// Writes the file, whole or not at all, and removes the oldest ones.
fn keep(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let draft = folder.join(format!("{name}.tmp"));
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(draft, folder.join(name))?;
    let mut mails = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "eml") {
            mails.push(path);
        }
    }
    // Their names begin with the time.
    mails.sort_unstable();
    let old = mails.len().saturating_sub(KEPT);
    for path in &mails[..old] {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Sends nothing: for an installation with neither a mail server nor a data folder. What waits is sent once there is a
/// server, if that is soon enough.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMailer;

#[async_trait]
impl Mailer for NoMailer {
    async fn send(&self, _: &Mail) -> Result<(), MailError> {
        Err(MailError::Temporary("no mail server is configured (PLINTH_SMTP_URL)".to_owned()))
    }
}
