use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use plinth_adapter_postgres::PostgresAudit;
use plinth_core::OrgId;
use plinth_tenancy::TrailKey;
use plinth_tenancy::audit::{AuditStore as _, AuditTrail, Broken, Link, Verified};

use crate::boot::Storage;
use crate::settings::{AuditHeadSettings, AuditVerifySettings};

type Verdicts = Vec<(OrgId, Result<Verified, Broken>)>;

/// Checks the trails and prints a line for each; fails if one is not whole.
pub(crate) async fn verify(settings: AuditVerifySettings) -> anyhow::Result<ExitCode> {
    let storage = Storage::open_beside(&settings.storage).await?;
    let verdicts = verdicts(&storage, settings.organization, settings.anchor).await;
    storage.close().await?;
    let verdicts = verdicts?;
    let lines = verdicts.iter().map(|(org, verdict)| match verdict {
        Ok(it) => format!("{org} whole: {} entries, ends at {}\n", it.entries, anchor(&it.head)),
        Err(broken) => format!("{org} BROKEN: {broken}\n"),
    });
    super::print(&lines.collect::<String>())?;
    Ok(code(&verdicts))
}

/// Prints where each trail ends. A trail that is not whole has no end that is worth writing down.
pub(crate) async fn head(settings: AuditHeadSettings) -> anyhow::Result<ExitCode> {
    let storage = Storage::open_beside(&settings.storage).await?;
    let verdicts = verdicts(&storage, settings.organization, None).await;
    storage.close().await?;
    let verdicts = verdicts?;
    let lines = verdicts.iter().map(|(org, verdict)| match verdict {
        Ok(it) => format!("{org} {}\n", anchor(&it.head)),
        Err(broken) => format!("{org} BROKEN: {broken}\n"),
    });
    super::print(&lines.collect::<String>())?;
    Ok(code(&verdicts))
}

async fn verdicts(
    storage: &Storage,
    org: Option<OrgId>,
    anchor: Option<Link>,
) -> anyhow::Result<Verdicts> {
    let store = Arc::new(PostgresAudit::new(storage.database.clone()));
    if let Some(org) = org
        && !store.organizations().await?.contains(&org)
    {
        bail!("there is no organization {org}: if there was, its trail is gone with it");
    }
    let trail = AuditTrail::new(store, TrailKey::new(*storage.installation.derive("audit trail")));
    Ok(match org {
        Some(org) => vec![(org, trail.verify(org, anchor).await?)],
        None => trail.verify_all().await?,
    })
}

fn code(verdicts: &Verdicts) -> ExitCode {
    if verdicts.iter().all(|it| it.1.is_ok()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A link as `--anchor` takes it.
fn anchor(link: &Link) -> String {
    use std::fmt::Write as _;
    let mut text = format!("{}:", link.number);
    for byte in link.hash {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
