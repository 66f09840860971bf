//! `Idempotency-Key`: a request that is sent twice has its effect once.

use std::sync::Arc;

use async_trait::async_trait;
use hmac::{Hmac, Mac as _};
use jiff::SignedDuration;
use plinth_core::{Classify, Clock, Credential, ErrorKind, OrgId, Principal, StoreError};
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

/// How long an answer is given again.
pub const KEPT: SignedDuration = SignedDuration::from_hours(24);

/// How long a server has a request to itself without saying that it is still at work. A crashed server's request can be
/// sent again after this.
pub const LEASE: SignedDuration = SignedDuration::from_secs(15);

/// How often a server says so.
pub const RENEW_EVERY: std::time::Duration = std::time::Duration::from_secs(5);

/// The longest key, in characters.
const LONGEST: usize = 255;

/// A key that a caller chose for a request: 1 to 255 printable ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Takes the text of the header.
    ///
    /// # Errors
    ///
    /// [`IdempotencyError::InvalidKey`].
    pub fn parse(text: &str) -> Result<Self, IdempotencyError> {
        let good =
            (1..=LONGEST).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_graphic());
        if good { Ok(Self(text.to_owned())) } else { Err(IdempotencyError::InvalidKey) }
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A keyed hash of what was asked: the same key with another request is a mistake. Keyed, because a body may hold a
/// password that somebody with a copy of the database could otherwise guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

/// Makes fingerprints.
#[derive(Clone)]
pub struct FingerprintKey {
    key: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FingerprintKey")
    }
}

impl FingerprintKey {
    /// Takes a key that serves no other purpose.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key: Zeroizing::new(key) }
    }

    /// The fingerprint of a request.
    pub fn of(&self, method: &str, path_and_query: &str, body: &[u8]) -> Fingerprint {
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(self.key.as_ref())
            .expect("HMAC takes keys of any length");
        for part in [method.as_bytes(), path_and_query.as_bytes(), body] {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        Fingerprint(mac.finalize().into_bytes().into())
    }
}

/// What a request changed, as its transaction noted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The kind of thing, as in the audit trail.
    pub kind: String,
    /// Which one.
    pub id: String,
    /// What was done, like `connection.created`.
    pub action: String,
}

/// What to do with a request that carries a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Carry it out. What changes something marks this record.
    Run(Uuid),
    /// Give this answer again, as it was stored.
    Replay(Uuid, Vec<u8>),
    /// It took effect, but the server died before it had answered: tell what there is now.
    Recover(Uuid, Effect),
}

/// Where requests with keys are kept. Every method is one transaction.
#[async_trait]
pub trait IdempotencyStore: Send + Sync + 'static {
    /// Takes the request for `lease`, or says what became of it. Time is the database's. A record older than `kept` is as
    /// if it were not there.
    async fn begin(
        &self,
        new: &NewRequest,
        lease: SignedDuration,
        kept: SignedDuration,
    ) -> Result<Begun, StoreError>;

    /// Says that a server is still at work.
    async fn renew(&self, org: OrgId, id: Uuid, lease: SignedDuration) -> Result<(), StoreError>;

    /// Keeps the answer.
    async fn finish(&self, org: OrgId, id: Uuid, answer: &[u8]) -> Result<(), StoreError>;

    /// Forgets a request that had no effect, so that it can be sent again; one that had is kept, and its lease ends.
    async fn release(&self, org: OrgId, id: Uuid) -> Result<(), StoreError>;
}

/// A request with a key.
#[derive(Clone, Debug)]
pub struct NewRequest {
    /// Its record's id, if there is none yet.
    pub id: Uuid,
    /// In which organization.
    pub org: OrgId,
    /// Whose key it is.
    pub caller: String,
    /// The key.
    pub key: IdempotencyKey,
    /// What was asked.
    pub fingerprint: Fingerprint,
    /// When.
    pub at: jiff::Timestamp,
}

/// What the store found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Nobody has carried it out, and nobody is at it.
    Mine(Uuid),
    /// It was answered.
    Answered(Uuid, Vec<u8>),
    /// It had an effect and was never answered.
    Unanswered(Uuid, Effect),
    /// A server is at work on it.
    Running,
    /// The key was used for another request.
    Other,
}

/// Lets each request with a key take effect once.
#[derive(Clone)]
pub struct Idempotency {
    store: Arc<dyn IdempotencyStore>,
    fingerprints: FingerprintKey,
    clock: Arc<dyn Clock>,
}

impl Idempotency {
    /// Puts the service together.
    pub fn new(
        store: Arc<dyn IdempotencyStore>,
        fingerprints: FingerprintKey,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { store, fingerprints, clock }
    }

    /// The fingerprint of a request.
    pub fn fingerprint(&self, method: &str, path_and_query: &str, body: &[u8]) -> Fingerprint {
        self.fingerprints.of(method, path_and_query, body)
    }

    /// What to do with a request.
    ///
    /// # Errors
    ///
    /// - [`IdempotencyError::Running`] while a server is at work on it.
    /// - [`IdempotencyError::Reused`] if the key came with another request before.
    pub async fn begin(
        &self,
        caller: &Principal,
        key: IdempotencyKey,
        fingerprint: Fingerprint,
    ) -> Result<Turn, IdempotencyError> {
        let new = NewRequest {
            id: Uuid::new_v4(),
            org: caller.org,
            // A session's successor is the same person; a key is itself. What an app may do for a person is less than
            // the person may, so it is not shown what they were answered.
            caller: match caller.credential {
                Credential::Key(key) => key.to_string(),
                Credential::App { app, .. } => format!("{} {app}", caller.user),
                Credential::Provider(provider) => format!("{} {provider}", caller.user),
                Credential::Session(_) | Credential::Job => caller.user.to_string(),
            },
            key,
            fingerprint,
            at: self.clock.now(),
        };
        Ok(match self.store.begin(&new, LEASE, KEPT).await? {
            Begun::Mine(id) => Turn::Run(id),
            Begun::Answered(id, answer) => Turn::Replay(id, answer),
            Begun::Unanswered(id, effect) => Turn::Recover(id, effect),
            Begun::Running => return Err(IdempotencyError::Running),
            Begun::Other => return Err(IdempotencyError::Reused),
        })
    }

    /// Says that this server is still at work on it.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn renew(&self, org: OrgId, id: Uuid) -> Result<(), StoreError> {
        self.store.renew(org, id, LEASE).await
    }

    /// Keeps the answer for whoever sends the request again.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn finish(&self, org: OrgId, id: Uuid, answer: &[u8]) -> Result<(), StoreError> {
        self.store.finish(org, id, answer).await
    }

    /// Lets the request be sent again as if it had not been, unless it had an effect.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn release(&self, org: OrgId, id: Uuid) -> Result<(), StoreError> {
        self.store.release(org, id).await
    }
}

/// Why a request with a key is not carried out.
#[derive(Debug, thiserror::Error)]
pub enum IdempotencyError {
    /// The header is no key.
    #[error("Idempotency-Key must be 1 to 255 printable ASCII characters")]
    InvalidKey,
    /// Another request came with that key.
    #[error("this Idempotency-Key was used for another request; use a new one")]
    Reused,
    /// The same request is under way.
    #[error("a request with this Idempotency-Key is still running; send it again in a moment")]
    Running,
    /// Our own storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Classify for IdempotencyError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidKey | Self::Reused => ErrorKind::Invalid,
            Self::Running => ErrorKind::Conflict,
            Self::Store(err) => err.kind(),
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::InvalidKey => Some(json!({ "Idempotency-Key": self.to_string() })),
            Self::Reused => Some(json!({ "reason": "idempotency_key_reused" })),
            Self::Running => Some(json!({ "reason": "idempotent_request_running" })),
            Self::Store(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_short_and_printable() {
        for good in ["a", "3f1c-88", &"x".repeat(255)] {
            assert!(IdempotencyKey::parse(good).is_ok(), "{good}");
        }
        for bad in ["", " ", "a b", "é", "a\n", &"x".repeat(256)] {
            assert!(IdempotencyKey::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_request_is_known_by_all_its_parts() {
        let key = FingerprintKey::new([1; 32]);
        let one = key.of("POST", "/v1/a", b"bc");
        assert_eq!(one, key.of("POST", "/v1/a", b"bc"));
        assert_ne!(one, FingerprintKey::new([2; 32]).of("POST", "/v1/a", b"bc"));
        for other in [("PUT", "/v1/a", "bc"), ("POST", "/v1/ab", "c"), ("POST", "/v1/a", "bd")] {
            assert_ne!(one, key.of(other.0, other.1, other.2.as_bytes()));
        }
    }
}
