use std::fmt;

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use plinth_core::StoreError;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

const SEED_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;

/// A key that signs tokens: Ed25519 (RFC 8032).
pub struct SigningKey {
    id: String,
    pair: Ed25519KeyPair,
}

/// The same as it is stored: the private half sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedKey {
    /// The `kid` of its tokens: the public half's thumbprint (RFC 7638).
    pub id: String,
    /// The private half's 32 bytes, sealed with AES-256-GCM for this id.
    pub sealed: Vec<u8>,
}

impl fmt::Debug for SealedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The public half as other services read it: a JSON Web Key (RFC 8037).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublishedKey {
    /// Always `OKP`.
    pub kty: &'static str,
    /// Always `Ed25519`.
    pub crv: &'static str,
    /// The key itself, in base64url.
    pub x: String,
    /// Its id, as in a token's header.
    pub kid: String,
    /// Always `EdDSA`.
    pub alg: &'static str,
    /// Always `sig`: it signs.
    #[serde(rename = "use")]
    pub usage: &'static str,
}

impl SigningKey {
    /// Makes a key, and what to store of it. `seal` serves no other purpose.
    ///
    /// # Errors
    ///
    /// [`SigningError::NoRandomness`].
    pub fn generate(seal: &[u8; 32]) -> Result<(Self, SealedKey), SigningError> {
        let mut seed = Zeroizing::new([0; SEED_BYTES]);
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(seed.as_mut()).map_err(|_| SigningError::NoRandomness)?;
        getrandom::fill(&mut nonce).map_err(|_| SigningError::NoRandomness)?;
        let key = Self::from_seed(seed.as_ref())?;
        let message = Payload { msg: seed.as_ref(), aad: key.id.as_bytes() };
        let body = Aes256Gcm::new(&(*seal).into())
            .encrypt(&Nonce::from(nonce), message)
            .map_err(|_| SigningError::DoesNotOpen)?;
        let sealed = SealedKey { id: key.id.clone(), sealed: [nonce.as_slice(), &body].concat() };
        Ok((key, sealed))
    }

    /// Opens a stored key.
    ///
    /// # Errors
    ///
    /// [`SigningError::DoesNotOpen`] if another installation sealed it, or somebody changed it.
    pub fn open(stored: &SealedKey, seal: &[u8; 32]) -> Result<Self, SigningError> {
        let (nonce, body) =
            stored.sealed.split_first_chunk::<NONCE_BYTES>().ok_or(SigningError::DoesNotOpen)?;
        let seed = Aes256Gcm::new(&(*seal).into())
            .decrypt(&Nonce::from(*nonce), Payload { msg: body, aad: stored.id.as_bytes() })
            .map(Zeroizing::new)
            .map_err(|_| SigningError::DoesNotOpen)?;
        let key = Self::from_seed(&seed)?;
        if key.id == stored.id { Ok(key) } else { Err(SigningError::DoesNotOpen) }
    }

    fn from_seed(seed: &[u8]) -> Result<Self, SigningError> {
        let pair =
            Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| SigningError::DoesNotOpen)?;
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        // RFC 7638: the members that make the key, in the order of the alphabet, without blanks.
        let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let id = URL_SAFE_NO_PAD.encode(Sha256::digest(canonical.as_bytes()));
        Ok(Self { id, pair })
    }

    /// The `kid` of its tokens.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The public half.
    pub fn published(&self) -> PublishedKey {
        PublishedKey {
            kty: "OKP",
            crv: "Ed25519",
            x: URL_SAFE_NO_PAD.encode(self.pair.public_key()),
            kid: self.id.clone(),
            alg: "EdDSA",
            usage: "sig",
        }
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes.copy_from_slice(self.pair.sign(message).as_ref());
        bytes
    }

    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, self.pair.public_key());
        key.verify(message, signature).is_ok()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why nothing can be signed or checked.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The system gave no random bytes.
    #[error("the system has no randomness")]
    NoRandomness,
    /// Sealed by another installation, or changed.
    #[error("a stored signing key does not open")]
    DoesNotOpen,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_opens_with_its_seal_and_under_its_id_only() {
        let (key, sealed) = SigningKey::generate(&[3; 32]).expect("made");
        let opened = SigningKey::open(&sealed, &[3; 32]).expect("opens");
        assert_eq!(opened.published(), key.published());
        assert!(opened.has_signed(b"text", &key.sign(b"text")));
        assert!(!opened.has_signed(b"test", &key.sign(b"text")));
        assert!(SigningKey::open(&sealed, &[4; 32]).is_err());
        let (other, _) = SigningKey::generate(&[3; 32]).expect("made");
        let renamed = SealedKey { id: other.id().to_owned(), ..sealed.clone() };
        assert!(SigningKey::open(&renamed, &[3; 32]).is_err());
        let cut = SealedKey { sealed: sealed.sealed[..20].to_vec(), ..sealed };
        assert!(SigningKey::open(&cut, &[3; 32]).is_err());
    }

    /// RFC 8037, appendices A.1 to A.3.
    #[test]
    fn the_rfcs_key_has_the_rfcs_thumbprint() {
        let seed = URL_SAFE_NO_PAD
            .decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
            .expect("base64url");
        let key = SigningKey::from_seed(&seed).expect("a key");
        assert_eq!(key.published().x, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(key.id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
