use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::SecretString;
use sha2::Sha256;

use super::SubscriptionId;

/// Makes the secrets that events are signed with: from the subscription's id and a number, so that they are kept nowhere.
#[derive(Clone)]
pub struct EventKey(Hmac<Sha256>);

impl std::fmt::Debug for EventKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventKey")
    }
}

impl EventKey {
    /// A key made from secret bytes; every server of one installation uses the same.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(Hmac::new_from_slice(&secret).expect("HMAC takes keys of any length"))
    }

    /// The secret of a subscription, as Standard Webhooks writes it; another number makes another.
    pub fn secret(&self, id: SubscriptionId, number: i32) -> SecretString {
        let mut mac = self.0.clone();
        mac.update(id.as_uuid().as_bytes());
        mac.update(&number.to_be_bytes());
        format!("whsec_{}", STANDARD.encode(mac.finalize().into_bytes())).into()
    }
}
