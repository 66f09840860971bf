use std::fmt;
use std::sync::{Arc, RwLock};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use plinth_core::{Clock, FastMap, StoreError};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::key::{PublishedKey, SealedKey, SigningError, SigningKey};
use super::schedule::{Plan, Rotation, ScheduledKey, signer};
use super::token::{self, AccessToken, Claims, LIFETIME};

/// How long the keys that were read are trusted: one that was made or removed elsewhere counts here within this.
const TRUST: SignedDuration = SignedDuration::from_secs(1);

/// How many tokens are remembered at most.
const REMEMBERED: usize = 10_000;

/// A decision about the keys that are there. (An alias, because `async_trait` cannot take the closure's type inline.)
pub type DecideKeys<'a> = &'a (dyn for<'k> Fn(&'k [ScheduledKey]) -> Plan + Send + Sync);

/// Where signing keys are kept, for all servers of an installation.
#[async_trait]
pub trait SigningKeyStore: Send + Sync + 'static {
    /// Every key.
    async fn list(&self) -> Result<Vec<(ScheduledKey, SealedKey)>, StoreError>;

    /// Changes the keys as `plan` decides, and tells what is there afterwards. One caller at a time: `plan` sees what
    /// the one before it has left. The sealed key is kept if and only if it decides to add one.
    async fn change(
        &self,
        plan: DecideKeys<'_>,
        spare: &SealedKey,
    ) -> Result<Vec<(ScheduledKey, SealedKey)>, StoreError>;
}

/// A token as somebody sent it, with what it is remembered by.
#[derive(Clone, Copy)]
pub struct SentToken<'a> {
    text: &'a str,
    /// The SHA-256 of the text; `None` if it is longer than any token of ours.
    hash: Option<[u8; 32]>,
}

impl<'a> From<&'a str> for SentToken<'a> {
    fn from(text: &'a str) -> Self {
        let is_short = text.len() <= token::TOKEN_BYTES_AT_MOST;
        Self { text, hash: is_short.then(|| Sha256::digest(text.as_bytes()).into()) }
    }
}

impl fmt::Debug for SentToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SentToken")
    }
}

/// Signs access tokens, and says whose they are. Any number of servers share the keys.
#[derive(Clone)]
pub struct SigningKeys {
    store: Arc<dyn SigningKeyStore>,
    clock: Arc<dyn Clock>,
    seal: Arc<Zeroizing<[u8; 32]>>,
    issuer: Arc<str>,
    ring: Arc<RwLock<Option<Arc<Ring>>>>,
    known: Arc<RwLock<FastMap<[u8; 32], Arc<Known>>>>,
}

/// The keys as they were read.
struct Ring {
    read_at: Timestamp,
    keys: Vec<(ScheduledKey, SigningKey)>,
}

/// A token whose signature was checked.
struct Known {
    claims: Arc<Claims>,
    key: String,
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeys").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl SigningKeys {
    /// Tokens are made by and for `issuer`, our public URL. `seal` opens the stored keys and serves no other purpose.
    pub fn new(
        store: Arc<dyn SigningKeyStore>,
        clock: Arc<dyn Clock>,
        seal: [u8; 32],
        issuer: &str,
    ) -> Self {
        Self {
            store,
            clock,
            seal: Arc::new(Zeroizing::new(seal)),
            issuer: issuer.into(),
            ring: Arc::default(),
            known: Arc::default(),
        }
    }

    /// Signs a token with what `claims` says of whom and what it is for; the rest is ours to say.
    ///
    /// # Errors
    ///
    /// [`SigningError`].
    pub async fn sign(
        &self,
        claims: impl FnOnce(Claims) -> Claims,
    ) -> Result<AccessToken, SigningError> {
        let mut now = self.clock.now();
        let mut ring = self.ring(now).await?;
        if ring.signer(now).is_none() {
            // The installation's first token. The key that was just made signs from a moment after we looked at the clock.
            ring = self.tend(Rotation::WhenDue).await?;
            now = self.clock.now();
        }
        let key = ring.signer(now).ok_or(SigningError::DoesNotOpen)?;
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|_| SigningError::NoRandomness)?;
        let at = now.as_second();
        let claims = claims(Claims {
            iss: self.issuer.to_string(),
            aud: self.issuer.to_string(),
            sub: plinth_core::UserId::from_uuid(Uuid::nil()),
            sid: plinth_core::SessionId::from_uuid(Uuid::nil()),
            org: None,
            client_id: None,
            scope: None,
            iat: at,
            nbf: at,
            exp: at + LIFETIME.as_secs(),
            jti: Uuid::from_bytes(id),
        });
        let expires_at = claims.expires_at();
        Ok(AccessToken { text: token::write(&claims, key).into(), expires_at })
    }

    /// What a token says; `None` if it is not one of ours that is good now. Whether its session still is, its record says.
    ///
    /// # Errors
    ///
    /// [`SigningError`], if the keys cannot be read.
    pub async fn verify(
        &self,
        sent: impl Into<SentToken<'_>>,
    ) -> Result<Option<Arc<Claims>>, SigningError> {
        let SentToken { text, hash: Some(hash) } = sent.into() else { return Ok(None) };
        let now = self.clock.now();
        let ring = self.ring(now).await?;
        let known = self.known.read().expect("not poisoned").get(&hash).cloned();
        let known = match known {
            // A key that was taken back takes its tokens along.
            Some(known) => ring.find(&known.key).map(|_| known.claims.clone()),
            None => token::read(text, |id| ring.find(id)).map(|(claims, key)| {
                let claims = Arc::new(claims);
                if claims.is_good(&self.issuer, now) {
                    let key = key.id().to_owned();
                    self.remember(hash, Known { claims: claims.clone(), key }, now);
                }
                claims
            }),
        };
        Ok(known.filter(|it| it.is_good(&self.issuer, now)))
    }

    /// Whether it is one of ours that was checked before: whose it is need not be read from it. Whether it is still good
    /// is for [`SigningKeys::verify`] to say.
    pub fn remembers(&self, sent: &SentToken<'_>) -> bool {
        sent.hash.is_some_and(|hash| self.known.read().expect("not poisoned").contains_key(&hash))
    }

    fn remember(&self, hash: [u8; 32], token: Known, now: Timestamp) {
        let mut known = self.known.write().expect("not poisoned");
        if known.len() >= REMEMBERED {
            known.retain(|_, it| it.claims.expires_at() > now);
            if known.len() >= REMEMBERED {
                known.clear();
            }
        }
        known.insert(hash, Arc::new(token));
    }

    /// The public keys, for other services that check our tokens.
    ///
    /// # Errors
    ///
    /// [`SigningError`].
    pub async fn published(&self) -> Result<Vec<PublishedKey>, SigningError> {
        let mut ring = self.ring(self.clock.now()).await?;
        if ring.keys.is_empty() {
            ring = self.tend(Rotation::WhenDue).await?;
        }
        Ok(ring.keys.iter().map(|(_, key)| key.published()).collect())
    }

    /// Makes and removes keys as it is time to, or as an operator wants it. Every server does so now and then.
    ///
    /// # Errors
    ///
    /// [`SigningError`].
    pub async fn rotate(&self, rotation: Rotation) -> Result<Vec<ScheduledKey>, SigningError> {
        let ring = self.tend(rotation).await?;
        Ok(ring.keys.iter().map(|(it, _)| it.clone()).collect())
    }

    async fn tend(&self, rotation: Rotation) -> Result<Arc<Ring>, SigningError> {
        // As the store keeps it: rounded up, a key made now would sign from a moment that is still to come.
        let now = self.clock.now();
        let now = Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now);
        let (_, spare) = SigningKey::generate(&self.seal)?;
        let keys = self.store.change(&move |keys| Plan::of(keys, rotation, now), &spare).await?;
        self.keep(keys, now)
    }

    /// [`SigningKeys::verify`] of a token that was checked before, while the keys that were read are trusted: at once. `None` if
    /// it has to be checked, or keys have to be read.
    pub fn recognize(&self, sent: &SentToken<'_>, now: Timestamp) -> Option<Option<Arc<Claims>>> {
        let hash = sent.hash?;
        let ring = self.ring.read().expect("not poisoned");
        let ring = ring.as_ref().filter(|it| now.duration_since(it.read_at) < TRUST)?;
        let known = self.known.read().expect("not poisoned");
        let known = known.get(&hash)?;
        // A key that was taken back takes its tokens along.
        let is_good = ring.find(&known.key).is_some() && known.claims.is_good(&self.issuer, now);
        Some(is_good.then(|| known.claims.clone()))
    }

    async fn ring(&self, now: Timestamp) -> Result<Arc<Ring>, SigningError> {
        if let Some(ring) = self.ring.read().expect("not poisoned").as_ref()
            && now.duration_since(ring.read_at) < TRUST
        {
            return Ok(ring.clone());
        }
        let keys = self.store.list().await?;
        self.keep(keys, now)
    }

    fn keep(
        &self,
        keys: Vec<(ScheduledKey, SealedKey)>,
        now: Timestamp,
    ) -> Result<Arc<Ring>, SigningError> {
        let open = |(it, sealed): (ScheduledKey, SealedKey)| {
            let key = SigningKey::open(&sealed, &self.seal)?;
            Ok((it, key))
        };
        let mut keys = keys.into_iter().map(open).collect::<Result<Vec<_>, SigningError>>()?;
        keys.sort_by_key(|(it, _)| it.signs_from);
        let ring = Arc::new(Ring { read_at: now, keys });
        *self.ring.write().expect("not poisoned") = Some(ring.clone());
        Ok(ring)
    }
}

impl Ring {
    fn find(&self, id: &str) -> Option<&SigningKey> {
        self.keys.iter().map(|(_, key)| key).find(|it| it.id() == id)
    }

    fn signer(&self, now: Timestamp) -> Option<&SigningKey> {
        signer(self.keys.iter().map(|(it, key)| (key, it.signs_from)), now)
    }
}
