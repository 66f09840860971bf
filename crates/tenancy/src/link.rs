use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use secrecy::SecretString;
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

/// What a link in a mail is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkPurpose {
    /// Accepting an invitation.
    Invitation,
    /// Choosing a new password.
    PasswordReset,
}

impl LinkPurpose {
    fn prefix(self) -> &'static str {
        match self {
            Self::Invitation => "invite_",
            Self::PasswordReset => "reset_",
        }
    }
}

/// Makes and checks the tokens of links in mails. A token is made from what it is about and a key, so that it is kept
/// nowhere: neither the outbox nor a dump of the database holds one.
#[derive(Clone)]
pub struct LinkKey {
    key: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LinkKey")
    }
}

/// An id, a number, and a MAC of both.
const TOKEN_BYTES: usize = 16 + 4 + 32;

impl LinkKey {
    /// Takes a key that serves no other purpose.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key: Zeroizing::new(key) }
    }

    /// The token about `id`; `number` tells newer ones from older ones.
    pub fn token(&self, purpose: LinkPurpose, id: Uuid, number: i32) -> SecretString {
        let mut bytes = Vec::with_capacity(TOKEN_BYTES);
        bytes.extend_from_slice(id.as_bytes());
        bytes.extend_from_slice(&number.to_be_bytes());
        bytes.extend_from_slice(&self.mac(purpose, &bytes).finalize().into_bytes());
        format!("{}{}", purpose.prefix(), URL_SAFE_NO_PAD.encode(bytes)).into()
    }

    /// What a token is about; `None` if it is not one of ours. Whether it is still good, its record says.
    pub fn read(&self, purpose: LinkPurpose, token: &str) -> Option<(Uuid, i32)> {
        let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix(purpose.prefix())?).ok()?;
        let (about, mac) = bytes.split_at_checked(20)?;
        self.mac(purpose, about).verify_slice(mac).ok()?;
        let (id, number) = about.split_at(16);
        Some((Uuid::from_slice(id).ok()?, i32::from_be_bytes(number.try_into().ok()?)))
    }

    fn mac(&self, purpose: LinkPurpose, about: &[u8]) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(self.key.as_ref())
            .expect("HMAC takes keys of any length");
        mac.update(purpose.prefix().as_bytes());
        mac.update(about);
        mac
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;

    use super::*;

    proptest! {
        #[test]
        fn a_token_says_what_it_is_about_for_its_own_purpose_and_key_only(id: u128, number: i32) {
            let (key, id) = (LinkKey::new([3; 32]), Uuid::from_u128(id));
            let token = key.token(LinkPurpose::Invitation, id, number);
            let token = token.expose_secret();
            prop_assert_eq!(key.read(LinkPurpose::Invitation, token), Some((id, number)));
            prop_assert_eq!(key.read(LinkPurpose::PasswordReset, token), None);
            let renamed = token.replacen("invite_", "reset_", 1);
            prop_assert_eq!(key.read(LinkPurpose::PasswordReset, &renamed), None);
            prop_assert_eq!(LinkKey::new([4; 32]).read(LinkPurpose::Invitation, token), None);
        }

        #[test]
        fn whatever_a_stranger_sends_is_read_without_harm(text in ".{0,120}") {
            prop_assert_eq!(LinkKey::new([3; 32]).read(LinkPurpose::Invitation, &text), None);
        }
    }
}
