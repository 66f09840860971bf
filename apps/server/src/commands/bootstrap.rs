use std::sync::Arc;

use plinth_adapter_postgres::PostgresTenancy;
use plinth_core::SystemClock;
use plinth_tenancy::{Email, OrganizationName, Tenancy};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::boot::{Storage, accounts};
use crate::settings::BootstrapSettings;

/// Makes an organization with its owner and a first key, and prints them.
pub(crate) async fn bootstrap(settings: BootstrapSettings) -> anyhow::Result<()> {
    let name = OrganizationName::parse(&settings.organization)?;
    let email = Email::parse(&settings.email)?;
    let storage = Storage::open_beside(&settings.storage).await?;
    let made = make(&storage, name, email, settings.password.as_ref()).await;
    storage.close().await?;
    super::print(&format!("{:#}\n", made?))
}

async fn make(
    storage: &Storage,
    name: OrganizationName,
    email: Email,
    password: Option<&SecretString>,
) -> anyhow::Result<Value> {
    let clock = Arc::new(SystemClock);
    let accounts = accounts(&storage.database, &storage.installation, "", clock.clone())?;
    // Looked at first: with one that will not do nothing is made.
    let hash = match password {
        Some(password) => Some(accounts.prepare_password(password, &email).await?),
        None => None,
    };
    let store = Arc::new(PostgresTenancy::new(storage.database.clone()));
    let founded = Tenancy::new(store, clock).bootstrap(name, email).await?;
    let mut told = json!({
        "organization_id": founded.organization.id,
        "organization": founded.organization.name.as_str(),
        "user_id": founded.user,
        "api_key": founded.key.expose(),
    });
    if let Some(hash) = hash {
        told["password_is_set"] = accounts.keep_first_password(founded.user, &hash).await?.into();
    }
    Ok(told)
}
