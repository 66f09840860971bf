use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _, Nonce};
use plinth_core::OrgId;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use zeroize::Zeroizing;

/// A ciphertext with the id of the key that opens it.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Which version of the wrapping key sealed it, from 1.
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

/// The key of the whole installation: 32 random bytes that only the operator has. Wraps each organization's data key.
pub struct MasterKey {
    key: SecretSlice<u8>,
}

/// The only version there is until rotation comes.
const MASTER_VERSION: i32 = 1;
const DATA_VERSION: i32 = 1;
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;

impl MasterKey {
    /// Takes 32 bytes.
    ///
    /// # Errors
    ///
    /// [`VaultError::WeakKey`] if they are too few, too many, or plainly not random.
    pub fn new(bytes: &[u8]) -> Result<Self, VaultError> {
        let mut seen = [false; 256];
        for byte in bytes {
            seen[usize::from(*byte)] = true;
        }
        // 32 random bytes hold about 30 different values; fewer than 16 comes up once in 10^12 keys.
        let distinct = seen.iter().filter(|it| **it).count();
        if bytes.len() != KEY_BYTES || distinct < 16 {
            return Err(VaultError::WeakKey);
        }
        Ok(Self { key: bytes.to_vec().into() })
    }

    /// Derives a key for another purpose, so that the master key itself seals nothing else. Only for what must be known
    /// before our database is; everything else derives from the [`InstallationKey`], which outlives the master key.
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        derive(self.key.expose_secret(), purpose)
    }

    /// Makes the key of an installation, wrapped by this one.
    ///
    /// # Errors
    ///
    /// [`VaultError::NoRandomness`] if the system has none.
    pub fn make_installation_key(&self) -> Result<Sealed, VaultError> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(key.as_mut()).map_err(|_| VaultError::NoRandomness)?;
        seal(self.key.expose_secret(), MASTER_VERSION, installation_key_location(), key.as_ref())
    }

    /// Opens the key of the installation.
    ///
    /// # Errors
    ///
    /// [`VaultError::DoesNotOpen`] if another master key wrapped it.
    pub fn open_installation_key(&self, sealed: &Sealed) -> Result<InstallationKey, VaultError> {
        let key = open(self.key.expose_secret(), installation_key_location(), sealed)?;
        Ok(InstallationKey { key: key.to_vec().into() })
    }

    /// Makes a data key for an organization, wrapped by this one.
    ///
    /// # Errors
    ///
    /// [`VaultError::NoRandomness`] if the system has none.
    pub fn make_data_key(&self, org: OrgId) -> Result<Sealed, VaultError> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(key.as_mut()).map_err(|_| VaultError::NoRandomness)?;
        seal(self.key.expose_secret(), MASTER_VERSION, data_key_location(org), key.as_ref())
    }

    /// Opens an organization's data key.
    ///
    /// # Errors
    ///
    /// [`VaultError::DoesNotOpen`] if another master key wrapped it, or it belongs to another organization.
    pub fn open_data_key(&self, org: OrgId, sealed: &Sealed) -> Result<DataKey, VaultError> {
        let key = open(self.key.expose_secret(), data_key_location(org), sealed)?;
        Ok(DataKey { key: key.to_vec().into() })
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey")
    }
}

fn data_key_location(org: OrgId) -> Location<'static> {
    Location { org, table: "data_keys", column: "wrapped", record: org.as_uuid() }
}

fn installation_key_location() -> Location<'static> {
    let nobody = uuid::Uuid::nil();
    Location {
        org: OrgId::from_uuid(nobody),
        table: "installation",
        column: "key_wrapped",
        record: nobody,
    }
}

/// Derives one key from another, for a purpose: HMAC-SHA-256 as a key derivation function (NIST SP 800-108).
fn derive(key: &[u8], purpose: &str) -> Zeroizing<[u8; 32]> {
    use hmac::{Hmac, Mac as _};
    let mut mac = <Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(key)
        .expect("HMAC takes keys of any length");
    mac.update(b"plinth ");
    mac.update(purpose.as_bytes());
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// What everything derives from that belongs to the whole installation: the audit trail's key, cursors, links in mails.
/// Made once; a new master key wraps it again and leaves it as it is.
#[derive(Clone)]
pub struct InstallationKey {
    key: SecretSlice<u8>,
}

impl InstallationKey {
    /// A key that seals what belongs to the installation for one purpose.
    pub fn data_key(&self, purpose: &str) -> DataKey {
        DataKey { key: self.derive(purpose).to_vec().into() }
    }

    /// Derives the key of one purpose.
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        derive(self.key.expose_secret(), purpose)
    }
}

impl std::fmt::Debug for InstallationKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InstallationKey")
    }
}

/// One organization's key: seals that organization's secrets.
#[derive(Clone)]
pub struct DataKey {
    key: SecretSlice<u8>,
}

impl DataKey {
    /// Seals a text for one place.
    ///
    /// # Errors
    ///
    /// [`VaultError::NoRandomness`] if the system has none.
    pub fn seal(&self, at: Location<'_>, clear: &SecretString) -> Result<Sealed, VaultError> {
        seal(self.key.expose_secret(), DATA_VERSION, at, clear.expose_secret().as_bytes())
    }

    /// Opens a text that was sealed for that place.
    ///
    /// # Errors
    ///
    /// [`VaultError::DoesNotOpen`] if it was sealed for another place or by another key.
    pub fn open(&self, at: Location<'_>, sealed: &Sealed) -> Result<SecretString, VaultError> {
        let clear = open(self.key.expose_secret(), at, sealed)?;
        let text = std::str::from_utf8(&clear).map_err(|_| VaultError::DoesNotOpen)?;
        Ok(text.to_owned().into())
    }
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKey")
    }
}

/// AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce: safe for 2^32 values a key, far above what one
/// organization stores.
fn seal(
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

fn open(key: &[u8], at: Location<'_>, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, VaultError> {
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
    /// Another key, another place, or tampered with.
    #[error("the sealed value does not open")]
    DoesNotOpen,
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn master() -> MasterKey {
        MasterKey::new(&(0..32).map(|it| it * 7 + 3).collect::<Vec<u8>>())
            .expect("good enough for a test")
    }

    #[test]
    fn a_value_opens_where_it_was_sealed_and_nowhere_else() {
        let (org, other) = (OrgId::new(Timestamp::UNIX_EPOCH), OrgId::new(Timestamp::UNIX_EPOCH));
        let key = master()
            .open_data_key(org, &master().make_data_key(org).expect("made"))
            .expect("opens");
        let at =
            Location { org, table: "connections", column: "password", record: Uuid::from_u128(1) };
        let sealed = key.seal(at, &"hunter2".to_owned().into()).expect("sealed");

        assert_eq!(key.open(at, &sealed).expect("opens").expose_secret(), "hunter2");
        let moved = [
            Location { org: other, ..at },
            Location { table: "connection", ..at },
            Location { column: "password2", ..at },
            Location { record: Uuid::from_u128(2), ..at },
        ];
        for place in moved {
            assert_eq!(key.open(place, &sealed).err(), Some(VaultError::DoesNotOpen), "{place:?}");
        }
        let newer = Sealed { key_version: 2, ..sealed.clone() };
        assert!(key.open(at, &newer).is_err(), "the version is bound too");
        for at_byte in 0..sealed.bytes.len() {
            let mut bent = sealed.clone();
            bent.bytes[at_byte] ^= 1;
            assert!(key.open(at, &bent).is_err(), "byte {at_byte}");
        }
    }

    #[test]
    fn a_data_key_belongs_to_one_organization() {
        let (org, other) = (OrgId::new(Timestamp::UNIX_EPOCH), OrgId::new(Timestamp::UNIX_EPOCH));
        let wrapped = master().make_data_key(org).expect("made");
        assert!(master().open_data_key(other, &wrapped).is_err());
    }

    #[test]
    fn weak_master_keys_are_refused() {
        for weak in [vec![], vec![0; 32], b"passwordpasswordpasswordpassword".to_vec(), vec![1; 31]]
        {
            assert_eq!(MasterKey::new(&weak).err(), Some(VaultError::WeakKey));
        }
    }

    #[test]
    fn debug_prints_no_secret() {
        let sealed = Sealed { key_version: 1, bytes: vec![1, 2, 3] };
        assert_eq!(format!("{:?} {sealed:?}", master()), "MasterKey Sealed(v1, 3 bytes)");
    }
}
