use hmac::{Hmac, Mac as _};
use plinth_core::OrgId;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::AuditEntry;

/// Where a trail stands: the number and the hash of an entry; zeros before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// The entry's number.
    pub number: i64,
    /// Its hash.
    pub hash: [u8; 32],
}

/// Chains entries and signs where a trail ends. Keyed: who can write the database but does not have the key can neither
/// hash a changed chain again nor sign a shortened one.
#[derive(Clone)]
pub struct TrailKey {
    key: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for TrailKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TrailKey")
    }
}

impl TrailKey {
    /// Takes a key that serves no other purpose.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key: Zeroizing::new(key) }
    }

    /// The link of an entry that follows `previous`. HMAC-SHA-256 (RFC 2104) over the link before and every field of the
    /// entry, each with its length in front: no two entries share one text. `details` is the text that is stored.
    #[must_use]
    pub fn link(&self, previous: &Link, entry: &AuditEntry, details: &str) -> Link {
        let number = previous.number + 1;
        let mut mac = self.mac("entry");
        mac.update(&previous.hash);
        mac.update(&number.to_be_bytes());
        mac.update(entry.id.as_uuid().as_bytes());
        mac.update(entry.org.as_uuid().as_bytes());
        mac.update(&entry.at.as_microsecond().to_be_bytes());
        let user = entry.user.map(|it| it.to_string());
        let address = entry.address.map(|it| it.to_string());
        for field in [
            user.as_deref(),
            Some(&entry.credential_kind),
            entry.credential_id.as_deref(),
            Some(&entry.action),
            entry.target_kind.as_deref(),
            entry.target_id.as_deref(),
            Some(entry.outcome.as_str()),
            address.as_deref(),
            Some(&entry.request_id),
            Some(details),
        ] {
            // A field that is not there is not the same as an empty one.
            mac.update(&[u8::from(field.is_some())]);
            let field = field.unwrap_or_default();
            mac.update(&u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(field.as_bytes());
        }
        Link { number, hash: mac.finalize().into_bytes().into() }
    }

    /// Signs that the organization's trail ends at this link.
    pub fn sign(&self, org: OrgId, head: &Link) -> [u8; 32] {
        let mut mac = self.mac("head");
        mac.update(org.as_uuid().as_bytes());
        mac.update(&head.number.to_be_bytes());
        mac.update(&head.hash);
        mac.finalize().into_bytes().into()
    }

    /// Whether that signature is ours, compared in constant time.
    pub fn is_signed(&self, org: OrgId, head: &Link, signature: &[u8]) -> bool {
        let mut mac = self.mac("head");
        mac.update(org.as_uuid().as_bytes());
        mac.update(&head.number.to_be_bytes());
        mac.update(&head.hash);
        mac.verify_slice(signature).is_ok()
    }

    fn mac(&self, purpose: &str) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(self.key.as_ref())
            .expect("HMAC takes keys of any length");
        // Of different lengths, so that a head is never an entry.
        mac.update(&[u8::try_from(purpose.len()).unwrap_or(u8::MAX)]);
        mac.update(purpose.as_bytes());
        mac
    }
}
