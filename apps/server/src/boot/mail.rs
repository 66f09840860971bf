use std::sync::Arc;

use anyhow::Context as _;
use plinth_adapter_notify::{FolderMailer, NoMailer, Sender, SmtpMailer, SmtpSettings};
use plinth_core::Clock;
use plinth_egress::Gate;
use plinth_tenancy::Mailer;
use secrecy::ExposeSecret as _;

use super::storage::Storage;
use crate::settings::MailSettings;

/// From whom mails in the data folder are, if nobody said.
const NOBODY: &str = "Plinth <plinth@localhost>";

/// What sends mail: the operator's server, else the data folder, else nothing. The gate is the tenants'.
///
/// # Errors
///
/// If the URL is none of a mail server.
pub(crate) fn mailer(
    settings: &MailSettings,
    storage: &Storage,
    gate: &Gate,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn Mailer>> {
    if let Some(url) = &settings.smtp_url {
        let server = SmtpSettings::parse(url.expose_secret()).context("PLINTH_SMTP_URL")?;
        let from = settings.mail_from.clone().context("PLINTH_MAIL_FROM")?;
        let mailer = SmtpMailer::new(server, from, gate.of_operator(), &[], clock);
        return Ok(Arc::new(mailer.context("TLS for mail could not be set up")?));
    }
    let Some(data_dir) = &storage.data_dir else {
        tracing::warn!("no mail server is configured (PLINTH_SMTP_URL): no mail is sent");
        return Ok(Arc::new(NoMailer));
    };
    let folder = data_dir.join("mail");
    tracing::info!(
        folder = %folder.display(),
        "no mail server is configured (PLINTH_SMTP_URL): mail is left in the data folder"
    );
    let from: Sender = match &settings.mail_from {
        Some(from) => from.clone(),
        None => NOBODY.parse()?,
    };
    Ok(Arc::new(FolderMailer::new(folder, from, clock)))
}
