use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use jiff::{SignedDuration, Timestamp};
use plinth_core::{AppId, OrgId, ScopeSet, SessionId, UserId};
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

/// How long a code is good: the time that a browser needs to carry it (RFC 6749, 4.1.2 recommends ten minutes at most).
pub(super) const LIFETIME: SignedDuration = SignedDuration::from_secs(60);

/// What a person granted on the consent page, until the app has fetched its tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// Its id.
    pub id: Uuid,
    /// The organization that the app may act in.
    pub org: OrgId,
    /// Who granted it.
    pub user: UserId,
    /// To which app.
    pub app: AppId,
    /// What.
    pub scopes: ScopeSet,
    /// Where the code was sent; the app has to name the same again.
    pub redirect_uri: String,
    /// What the app's verifier has to hash to.
    pub challenge: Challenge,
    /// The person's epoch when they granted it: who signs out everywhere takes back codes that are on their way too.
    pub epoch: i32,
    /// Until when it can be exchanged.
    pub expires_at: Timestamp,
    /// What it was exchanged for.
    pub session: Option<SessionId>,
    /// Whether it came once more after it was exchanged.
    pub is_replayed: bool,
}

/// The hash of a secret that the app made for one request (RFC 7636, method S256). The other method would send the secret
/// itself, and is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge(String);

impl Challenge {
    /// Takes the base64url text of a SHA-256.
    pub fn parse(text: &str) -> Option<Self> {
        let decoded = URL_SAFE_NO_PAD.decode(text).ok()?;
        (decoded.len() == 32).then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the hash of `verifier`: 43 to 128 characters (RFC 7636, 4.1).
    pub fn is_of(&self, verifier: &str) -> bool {
        let is_plain = (43..=128).contains(&verifier.len())
            && verifier.bytes().all(|it| it.is_ascii_alphanumeric() || b"-._~".contains(&it));
        is_plain && self.0 == URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
    }
}

/// Makes and checks codes. One is made from its id and a key, so that it is kept nowhere.
#[derive(Clone)]
pub struct CodeKey {
    key: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for CodeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CodeKey")
    }
}

const PREFIX: &str = "plinth_code_";

impl CodeKey {
    /// Takes a key that serves no other purpose.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key: Zeroizing::new(key) }
    }

    /// The code of this id.
    pub fn text(&self, org: OrgId, id: Uuid) -> SecretString {
        let mut bytes = [org.as_uuid().as_bytes().as_slice(), id.as_bytes()].concat();
        bytes.extend_from_slice(&self.mac(&bytes).finalize().into_bytes());
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)).into()
    }

    /// Which code this is; `None` if it is not one of ours.
    pub fn read(&self, text: &str) -> Option<(OrgId, Uuid)> {
        let encoded = text.strip_prefix(PREFIX).filter(|it| it.len() < 128)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
        let (about, mac) = bytes.split_at_checked(32)?;
        self.mac(about).verify_slice(mac).ok()?;
        let (org, id) = about.split_at(16);
        Some((OrgId::from_uuid(Uuid::from_slice(org).ok()?), Uuid::from_slice(id).ok()?))
    }

    /// What a consent page's form has to bring back: who decides, and about what. Another site's form cannot know it.
    pub fn ticket(&self, session: SessionId, request: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.ticket_mac(session, request).finalize().into_bytes())
    }

    /// Whether that is the ticket.
    pub fn is_ticket(&self, session: SessionId, request: &str, sent: &str) -> bool {
        let sent = URL_SAFE_NO_PAD.decode(sent).unwrap_or_default();
        self.ticket_mac(session, request).verify_slice(&sent).is_ok()
    }

    fn ticket_mac(&self, session: SessionId, request: &str) -> Hmac<Sha256> {
        let mut mac = self.mac(b"ticket");
        mac.update(session.as_uuid().as_bytes());
        mac.update(request.as_bytes());
        mac
    }

    fn mac(&self, about: &[u8]) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(self.key.as_ref())
            .expect("HMAC takes keys of any length");
        mac.update(about);
        mac
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;

    use super::*;

    /// The example of RFC 7636, appendix B.
    #[test]
    fn a_verifier_is_known_by_its_challenge() {
        let challenge =
            Challenge::parse("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM").expect("good");
        assert!(challenge.is_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
        assert!(!challenge.is_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXl"));
        assert!(!challenge.is_of(challenge.as_str()), "the challenge is not its own verifier");
        for bad in ["", "short", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM="] {
            assert!(Challenge::parse(bad).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_code_reads_back_with_its_own_key_only(org: u128, id: u128) {
            let (key, org) = (CodeKey::new([1; 32]), OrgId::from_uuid(Uuid::from_u128(org)));
            let text = key.text(org, Uuid::from_u128(id));
            prop_assert_eq!(key.read(text.expose_secret()), Some((org, Uuid::from_u128(id))));
            prop_assert_eq!(CodeKey::new([2; 32]).read(text.expose_secret()), None);
        }

        #[test]
        fn whatever_a_stranger_sends_is_read_without_harm(text in "(plinth_code_)?.{0,150}") {
            prop_assert_eq!(CodeKey::new([1; 32]).read(&text), None);
        }
    }
}
