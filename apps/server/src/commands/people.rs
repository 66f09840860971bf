use std::sync::Arc;

use plinth_core::SystemClock;
use plinth_tenancy::Email;
use plinth_tenancy::outbox::PASSWORD_PAGE;
use plinth_tenancy::signing::Rotation;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::serve::url_of;
use crate::boot::{Storage, accounts};
use crate::settings::{ResetPasswordSettings, RotateSigningSettings};

/// Prints a link with which somebody chooses a new password.
pub(crate) async fn reset_password(settings: ResetPasswordSettings) -> anyhow::Result<()> {
    let email = Email::parse(&settings.email)?;
    let url = url_of(settings.public_url.as_deref(), settings.listen);
    let storage = Storage::open_beside(&settings.storage).await?;
    let made = async {
        let (database, installation) = (&storage.database, &storage.installation);
        let accounts = accounts(database, installation, &url, Arc::new(SystemClock))?;
        anyhow::Ok(accounts.make_reset(&email).await?)
    }
    .await;
    storage.close().await?;
    let Some((token, expires_at)) = made? else {
        anyhow::bail!("nobody has the address {email}");
    };
    let link = format!("{url}{PASSWORD_PAGE}?token={}", token.expose_secret());
    let printed = json!({ "link": link, "expires_at": expires_at });
    super::print(&format!("{printed:#}\n"))
}

/// Makes a new key that signs access tokens, and prints which keys there are.
pub(crate) async fn rotate_signing(settings: RotateSigningSettings) -> anyhow::Result<()> {
    let rotation = if settings.compromised { Rotation::Compromised } else { Rotation::Now };
    let storage = Storage::open_beside(&settings.storage).await?;
    let rotated = async {
        let (database, installation) = (&storage.database, &storage.installation);
        let accounts = accounts(database, installation, "", Arc::new(SystemClock))?;
        anyhow::Ok(accounts.signing().rotate(rotation).await?)
    }
    .await;
    storage.close().await?;
    let keys = rotated?.into_iter();
    let keys: Vec<_> =
        keys.map(|it| json!({ "kid": it.id, "signs_from": it.signs_from })).collect();
    super::print(&format!("{:#}\n", json!({ "keys": keys })))
}
