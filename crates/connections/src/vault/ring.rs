use std::fmt;
use std::sync::{Arc, RwLock};

use plinth_core::OrgId;

use super::{DataKey, InstallationKey, MasterKey, MasterKeyId, Sealed, VaultError};

/// Where master keys come from while the process runs.
pub trait KeySource: Send + Sync + 'static {
    /// Reads them again: the one that wraps from now on, and the earlier ones that still open. `None` if they cannot be
    /// read now; those that are known stay.
    fn read(&self) -> Option<(MasterKey, Vec<MasterKey>)>;
}

/// The master keys of a process: the current one wraps, the earlier ones still open what they wrapped.
pub struct MasterKeys {
    ring: RwLock<Arc<Ring>>,
    source: Option<Box<dyn KeySource>>,
}

struct Ring {
    current: MasterKey,
    previous: Vec<MasterKey>,
}

impl Ring {
    fn all(&self) -> impl Iterator<Item = &MasterKey> {
        std::iter::once(&self.current).chain(&self.previous)
    }
}

impl MasterKeys {
    /// Keys that stay as they are.
    pub fn new(current: MasterKey, previous: Vec<MasterKey>) -> Self {
        Self { ring: RwLock::new(Arc::new(Ring { current, previous })), source: None }
    }

    /// The same, read again where a key is met that is not among them, and before anything new is wrapped.
    #[must_use]
    pub fn with_source(mut self, source: impl KeySource) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// The key that wraps.
    pub fn current(&self) -> MasterKey {
        self.ring().current.clone()
    }

    /// Every key, the current one first.
    pub fn ids(&self) -> Vec<MasterKeyId> {
        self.ring().all().map(MasterKey::id).collect()
    }

    /// The keys' values of a purpose, the current one's first.
    pub fn derive(&self, purpose: &str) -> Vec<zeroize::Zeroizing<[u8; 32]>> {
        self.ring().all().map(|it| it.derive(purpose)).collect()
    }

    /// Opens an organization's data key with the key that wrapped it.
    ///
    /// # Errors
    ///
    /// [`VaultError::UnknownKey`] if that key is not here; [`VaultError::DoesNotOpen`] if it was tampered with.
    pub fn open_data_key(&self, org: OrgId, sealed: &Sealed) -> Result<DataKey, VaultError> {
        self.open(sealed, |key| key.open_data_key(org, sealed))
    }

    /// Opens the installation's key with the key that wrapped it.
    ///
    /// # Errors
    ///
    /// As for [`Self::open_data_key`].
    pub fn open_installation_key(&self, sealed: &Sealed) -> Result<InstallationKey, VaultError> {
        self.open(sealed, |key| key.open_installation_key(sealed))
    }

    /// Makes a data key for an organization, wrapped by the current key.
    ///
    /// # Errors
    ///
    /// [`VaultError::NoRandomness`] if the system has none.
    pub fn make_data_key(&self, org: OrgId) -> Result<Sealed, VaultError> {
        // Made once for an organization: reading a small file then costs nothing, and nothing is wrapped by a key that
        // has just been replaced.
        self.reload();
        self.ring().current.make_data_key(org)
    }

    fn open<T>(
        &self,
        sealed: &Sealed,
        open: impl Fn(&MasterKey) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let id = MasterKeyId::from_stored(sealed.key_version);
        let attempt = |ring: &Ring| {
            if id == MasterKeyId::UNNAMED {
                let opened = ring.all().find_map(|it| open(it).ok());
                return Some(opened.ok_or(VaultError::DoesNotOpen));
            }
            ring.all().find(|it| it.id() == id).map(&open)
        };
        if let Some(opened) = attempt(&self.ring()) {
            return opened;
        }
        self.reload();
        attempt(&self.ring()).unwrap_or(Err(VaultError::UnknownKey(id)))
    }

    fn ring(&self) -> Arc<Ring> {
        self.ring.read().expect("not poisoned").clone()
    }

    /// Reads the keys again where they come from.
    pub fn reload(&self) {
        if let Some((current, previous)) = self.source.as_ref().and_then(|it| it.read()) {
            *self.ring.write().expect("not poisoned") = Arc::new(Ring { current, previous });
        }
    }
}

impl fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MasterKeys").field(&self.ids()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use jiff::Timestamp;

    use super::*;

    fn key(seed: u8) -> MasterKey {
        let bytes: Vec<u8> = (0..32).map(|it: u8| it.wrapping_mul(7).wrapping_add(seed)).collect();
        MasterKey::new(&bytes).expect("good enough for a test")
    }

    struct Folder(Arc<Mutex<(MasterKey, Vec<MasterKey>)>>);

    impl KeySource for Folder {
        fn read(&self) -> Option<(MasterKey, Vec<MasterKey>)> {
            Some(self.0.lock().expect("not poisoned").clone())
        }
    }

    #[test]
    fn an_earlier_key_still_opens_and_a_foreign_one_is_named() {
        let org = OrgId::new(Timestamp::UNIX_EPOCH);
        let old = key(1).make_data_key(org).expect("made");
        let keys = MasterKeys::new(key(2), vec![key(1)]);
        assert!(keys.open_data_key(org, &old).is_ok());
        let wrong = MasterKeys::new(key(3), Vec::new()).open_data_key(org, &old);
        assert_eq!(wrong.err(), Some(VaultError::UnknownKey(key(1).id())));
    }

    #[test]
    fn what_was_wrapped_before_keys_had_ids_opens_with_whichever_key_fits() {
        let org = OrgId::new(Timestamp::UNIX_EPOCH);
        let unnamed = key(1).make_unnamed_data_key(org);
        assert!(MasterKeys::new(key(2), vec![key(1)]).open_data_key(org, &unnamed).is_ok());
        let wrong = MasterKeys::new(key(2), vec![key(3)]).open_data_key(org, &unnamed);
        assert_eq!(wrong.err(), Some(VaultError::DoesNotOpen));
    }

    #[test]
    fn a_key_that_came_while_the_process_ran_is_found_and_used() {
        let org = OrgId::new(Timestamp::UNIX_EPOCH);
        let folder = Arc::new(Mutex::new((key(1), Vec::new())));
        let keys = MasterKeys::new(key(1), Vec::new()).with_source(Folder(folder.clone()));
        *folder.lock().expect("not poisoned") = (key(2), vec![key(1)]);
        let new = key(2).make_data_key(org).expect("made");
        assert!(keys.open_data_key(org, &new).is_ok());
        let made = keys.make_data_key(org).expect("made");
        assert_eq!(made.key_version, key(2).id().as_stored());
    }
}
