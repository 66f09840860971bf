use std::sync::Arc;

use anyhow::bail;
use plinth_adapter_postgres::{PostgresOrganizations, PostgresTenancy};
use plinth_core::SystemClock;
use plinth_tenancy::limits::{Plan, Rate};
use plinth_tenancy::organizations::{DELETION_GRACE, Organizations};
use plinth_tenancy::{Organization, Tenancy};
use serde_json::json;

use crate::boot::{Storage, accounts};
use crate::settings::{OrganizationListSettings, PlanName, SetPlanSettings};

/// Lists every organization.
pub(crate) async fn list(settings: OrganizationListSettings) -> anyhow::Result<()> {
    let storage = Storage::open_beside(&settings.storage).await?;
    let listed = match organizations(&storage) {
        Ok(organizations) => organizations.list_all().await.map_err(Into::into),
        Err(err) => Err(err),
    };
    storage.close().await?;
    let lines: String = listed?.iter().map(line).collect();
    super::print(&lines)
}

/// Sets an organization's plan, and prints the organization.
pub(crate) async fn set_plan(settings: SetPlanSettings) -> anyhow::Result<()> {
    let plan = match (settings.plan, settings.per_minute, settings.per_day) {
        (PlanName::Free, None, None) => Plan::Free,
        (PlanName::Pro, None, None) => Plan::Pro,
        (PlanName::SelfHosted, None, None) => Plan::SelfHosted,
        (PlanName::Custom, Some(per_minute), Some(per_day)) => {
            Plan::Custom(Rate { per_minute, per_day })
        }
        _ => bail!("--per-minute and --per-day belong to the plan `custom`, which needs both"),
    };
    let storage = Storage::open_beside(&settings.storage).await?;
    let set = match organizations(&storage) {
        Ok(organizations) => {
            organizations.set_plan(settings.organization, plan).await.map_err(Into::into)
        }
        Err(err) => Err(err),
    };
    storage.close().await?;
    super::print(&line(&set?))
}

fn organizations(storage: &Storage) -> anyhow::Result<Organizations> {
    let clock = Arc::new(SystemClock);
    let database = &storage.database;
    let tenancy = Tenancy::new(Arc::new(PostgresTenancy::new(database.clone())), clock.clone());
    // Nobody signs in here, so no address of ours stands in a token.
    let accounts = accounts(database, &storage.installation, "", clock.clone())?;
    let store = Arc::new(PostgresOrganizations::new(database.clone()));
    Ok(Organizations::new(store, tenancy, accounts, DELETION_GRACE, clock))
}

fn line(it: &Organization) -> String {
    let rate = it.plan.rate();
    let object = json!({
        "id": it.id,
        "name": it.name.as_str(),
        "plan": it.plan.as_str(),
        "per_minute": rate.per_minute,
        "per_day": rate.per_day,
        "time_zone": it.time_zone,
        "created_at": it.created_at,
        "deleting_at": it.deleting_at,
    });
    format!("{object}\n")
}
