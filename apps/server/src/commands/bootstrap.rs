use std::sync::Arc;

use plinth_adapter_postgres::PostgresTenancy;
use plinth_core::SystemClock;
use plinth_tenancy::{Email, OrganizationName, Tenancy};
use serde_json::json;

use crate::boot::Storage;
use crate::settings::BootstrapSettings;

/// Makes an organization with its owner and a first key, and prints them.
pub(crate) async fn bootstrap(settings: BootstrapSettings) -> anyhow::Result<()> {
    let name = OrganizationName::parse(&settings.organization)?;
    let email = Email::parse(&settings.email)?;
    let storage = Storage::open_beside(&settings.storage).await?;
    let store = Arc::new(PostgresTenancy::new(storage.database.clone()));
    let founded = Tenancy::new(store, Arc::new(SystemClock)).bootstrap(name, email).await;
    storage.close().await?;
    let founded = founded?;
    let printed = json!({
        "organization_id": founded.organization.id,
        "organization": founded.organization.name.as_str(),
        "user_id": founded.user,
        "api_key": founded.key.expose(),
    });
    super::print(&format!("{printed:#}\n"))
}
