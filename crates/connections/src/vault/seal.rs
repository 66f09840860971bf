use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _, Nonce};
use plinth_core::OrgId;
use zeroize::Zeroizing;

use super::MasterKeyId;

/// A ciphertext with the id of the key that opens it.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Which key sealed it: a [`MasterKeyId`](super::MasterKeyId) for a wrapped key, the data key's version for all else.
    pub key_version: i32,
    /// A fresh nonce of twelve bytes, then the ciphertext with its tag.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealed(v{}, {} bytes)", self.key_version, self.bytes.len())
    }
}

/// Where a sealed value stands. It is bound into the ciphertext, so a value that is moved to another row, table,
/// column or organization does not open.
#[derive(Clone, Copy, Debug)]
pub struct Location<'a> {
    /// The organization.
    pub org: OrgId,
    /// The table.
    pub table: &'a str,
    /// The column.
    pub column: &'a str,
    /// The record's id.
    pub record: uuid::Uuid,
}

impl Location<'_> {
    fn associated_data(self, key_version: i32) -> Vec<u8> {
        // Lengths in front of the names: no two locations share one text.
        let mut data = Vec::with_capacity(64);
        data.extend_from_slice(self.org.as_uuid().as_bytes());
        for name in [self.table, self.column] {
            data.extend_from_slice(&u32::try_from(name.len()).unwrap_or(u32::MAX).to_be_bytes());
            data.extend_from_slice(name.as_bytes());
        }
        data.extend_from_slice(self.record.as_bytes());
        data.extend_from_slice(&key_version.to_be_bytes());
        data
    }
}

const NONCE_BYTES: usize = 12;

/// AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce: safe for 2^32 values a key, far above what one
/// organization stores.
pub(super) fn seal(
    key: &[u8],
    key_version: i32,
    at: Location<'_>,
    clear: &[u8],
) -> Result<Sealed, VaultError> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(|_| VaultError::NoRandomness)?;
    let aad = at.associated_data(key_version);
    let sealed = cipher(key)?
        .encrypt(&Nonce::from(nonce), Payload { msg: clear, aad: &aad })
        .map_err(|_| VaultError::DoesNotOpen)?;
    Ok(Sealed { key_version, bytes: [nonce.as_slice(), &sealed].concat() })
}

pub(super) fn open(
    key: &[u8],
    at: Location<'_>,
    sealed: &Sealed,
) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let (nonce, body) =
        sealed.bytes.split_first_chunk::<NONCE_BYTES>().ok_or(VaultError::DoesNotOpen)?;
    let aad = at.associated_data(sealed.key_version);
    cipher(key)?
        .decrypt(&Nonce::from(*nonce), Payload { msg: body, aad: &aad })
        .map(Zeroizing::new)
        .map_err(|_| VaultError::DoesNotOpen)
}

fn cipher(key: &[u8]) -> Result<Aes256Gcm, VaultError> {
    Aes256Gcm::new_from_slice(key).map_err(|_| VaultError::WeakKey)
}

/// Why a secret could not be kept or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// Not 32 random bytes.
    #[error("a master key is 32 random bytes")]
    WeakKey,
    /// The system gave no random bytes.
    #[error("the system has no randomness")]
    NoRandomness,
    /// None of the master keys that this process has.
    #[error("it is wrapped by the master key {0}, which is not here")]
    UnknownKey(MasterKeyId),
    /// Another key, another place, or tampered with.
    #[error("the sealed value does not open")]
    DoesNotOpen,
}
