use std::fmt;

use plinth_core::OrgId;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use zeroize::Zeroizing;

use super::seal::{open, seal};
use super::{Location, Sealed, VaultError};

/// The key of the whole installation: 32 random bytes that only the operator has. Wraps each organization's data key.
#[derive(Clone)]
pub struct MasterKey {
    key: SecretSlice<u8>,
    id: MasterKeyId,
}

/// Names a master key without telling it: a fingerprint that stands beside everything the key wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MasterKeyId(i32);

impl MasterKeyId {
    /// What stands beside values that were wrapped before keys had ids: any key may be meant.
    pub const UNNAMED: Self = Self(1);

    /// Takes what stands beside a wrapped key.
    pub fn from_stored(stored: i32) -> Self {
        Self(stored)
    }

    /// As it is stored.
    pub fn as_stored(self) -> i32 {
        self.0
    }
}

impl fmt::Display for MasterKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

const DATA_VERSION: i32 = 1;
const KEY_BYTES: usize = 32;

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
        let print = derive(bytes, "id of the master key");
        let [a, b, c, d] = [print[0], print[1], print[2], print[3]];
        // Positive, and never a small number: those counted versions before keys had ids.
        let id = i32::from_be_bytes([a & 0x3f | 0x40, b, c, d]);
        Ok(Self { key: bytes.to_vec().into(), id: MasterKeyId(id) })
    }

    /// Its fingerprint.
    pub fn id(&self) -> MasterKeyId {
        self.id
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
        self.wrap(installation_key_location(), random()?.as_ref())
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

    /// Wraps an opened key of the installation.
    ///
    /// # Errors
    ///
    /// [`VaultError::NoRandomness`] if the system has none.
    pub fn wrap_installation_key(&self, key: &InstallationKey) -> Result<Sealed, VaultError> {
        self.wrap(installation_key_location(), key.key.expose_secret())
    }

    /// Makes a data key for an organization, wrapped by this one.
    ///
    /// # Errors
    ///
    /// [`VaultError::NoRandomness`] if the system has none.
    pub fn make_data_key(&self, org: OrgId) -> Result<Sealed, VaultError> {
        self.wrap(data_key_location(org), random()?.as_ref())
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

    /// Wraps an organization's opened data key.
    ///
    /// # Errors
    ///
    /// [`VaultError::NoRandomness`] if the system has none.
    pub fn wrap_data_key(&self, org: OrgId, key: &DataKey) -> Result<Sealed, VaultError> {
        self.wrap(data_key_location(org), key.key.expose_secret())
    }

    fn wrap(&self, at: Location<'_>, key: &[u8]) -> Result<Sealed, VaultError> {
        seal(self.key.expose_secret(), self.id.0, at, key)
    }

    /// As it was done before keys had ids.
    #[cfg(test)]
    pub(super) fn make_unnamed_data_key(&self, org: OrgId) -> Sealed {
        let key = random().expect("random bytes");
        let unnamed = MasterKeyId::UNNAMED.0;
        seal(self.key.expose_secret(), unnamed, data_key_location(org), key.as_ref()).expect("made")
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey")
    }
}

fn random() -> Result<Zeroizing<[u8; KEY_BYTES]>, VaultError> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    getrandom::fill(key.as_mut()).map_err(|_| VaultError::NoRandomness)?;
    Ok(key)
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

impl fmt::Debug for InstallationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey")
    }
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
    fn a_data_key_belongs_to_one_organization_and_one_master_key() {
        let (org, other) = (OrgId::new(Timestamp::UNIX_EPOCH), OrgId::new(Timestamp::UNIX_EPOCH));
        let wrapped = master().make_data_key(org).expect("made");
        assert!(master().open_data_key(other, &wrapped).is_err());
        let another = MasterKey::new(&(0..32).map(|it| it * 5 + 1).collect::<Vec<u8>>());
        let another = another.expect("good enough for a test");
        assert!(another.open_data_key(org, &wrapped).is_err());

        let key = master().open_data_key(org, &wrapped).expect("opens");
        let again = another.wrap_data_key(org, &key).expect("wrapped");
        let opened = another.open_data_key(org, &again).expect("opens");
        assert_eq!(opened.key.expose_secret(), key.key.expose_secret(), "the key itself stays");
        assert_eq!(again.key_version, another.id().as_stored());
        assert_ne!(another.id(), master().id());
        assert!(master().id().as_stored() > 1 << 30, "no version of old");
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
