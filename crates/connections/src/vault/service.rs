use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use async_trait::async_trait;
use plinth_core::{Classify, ErrorKind, OrgId, StoreError};
use plinth_tenancy::AuditEntry;
use secrecy::SecretString;

use super::{DataKey, KeyCensus, Location, MasterKeys, Sealed, VaultError};

/// Where wrapped keys are kept. Every method is one transaction.
#[async_trait]
pub trait KeyStore: Send + Sync + 'static {
    /// The organization's wrapped data key, if one was made.
    async fn data_key(&self, org: OrgId) -> Result<Option<Sealed>, StoreError>;

    /// Keeps a data key unless there is one already; returns the one that is kept.
    async fn put_data_key(&self, org: OrgId, key: &Sealed) -> Result<Sealed, StoreError>;

    /// Puts the same data key in its place, wrapped by another master key, with an entry of the trail. `false` if what is
    /// there is no longer wrapped as `wrapped_by` says; then nothing changes.
    async fn rewrap_data_key(
        &self,
        org: OrgId,
        wrapped_by: i32,
        key: &Sealed,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError>;

    /// At most `limit` organizations whose data key another master key wraps than `current`, in the order of their ids,
    /// from after `after`.
    async fn wrapped_by_others(
        &self,
        current: i32,
        after: Option<OrgId>,
        limit: usize,
    ) -> Result<Vec<OrgId>, StoreError>;

    /// The wrapped key of the installation, if one was made.
    async fn installation_key(&self) -> Result<Option<Sealed>, StoreError>;

    /// Puts the same key of the installation in its place, wrapped by another master key, and makes that the one which
    /// servers must show at their start. `false` if a data key is left that another master key wraps, or the key is no
    /// longer wrapped as `wrapped_by` says; then nothing changes.
    async fn rewrap_installation_key(
        &self,
        wrapped_by: i32,
        key: &Sealed,
        check: &[u8; 32],
    ) -> Result<bool, StoreError>;

    /// Which master keys are in use, and how much.
    async fn census(&self) -> Result<KeyCensus, StoreError>;
}

/// Seals and opens the secrets of organizations.
#[derive(Clone)]
pub struct Vault {
    store: Arc<dyn KeyStore>,
    masters: Arc<MasterKeys>,
    /// A data key stays the same as long as its organization lives, whichever master key wraps it.
    keys: Arc<RwLock<HashMap<OrgId, DataKey>>>,
}

impl Vault {
    /// Puts the service together.
    pub fn new(store: Arc<dyn KeyStore>, masters: Arc<MasterKeys>) -> Self {
        Self { store, masters, keys: Arc::default() }
    }

    /// The organization's key; made when it is first needed.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if storage fails, or the key is wrapped by a master key that is not here.
    pub async fn data_key(&self, org: OrgId) -> Result<DataKey, KeyError> {
        if let Some(key) = self.keys.read().expect("not poisoned").get(&org) {
            return Ok(key.clone());
        }
        let wrapped = match self.store.data_key(org).await? {
            Some(wrapped) => wrapped,
            // Two servers may make one at once: the store keeps the first and gives it to both.
            None => self.store.put_data_key(org, &self.masters.make_data_key(org)?).await?,
        };
        let key = self.masters.open_data_key(org, &wrapped)?;
        self.keys.write().expect("not poisoned").insert(org, key.clone());
        Ok(key)
    }

    /// Seals a text for one place.
    ///
    /// # Errors
    ///
    /// As for [`Self::data_key`].
    pub async fn seal(&self, at: Location<'_>, clear: &SecretString) -> Result<Sealed, KeyError> {
        Ok(self.data_key(at.org).await?.seal(at, clear)?)
    }

    /// Opens a text that was sealed for that place.
    ///
    /// # Errors
    ///
    /// As for [`Self::data_key`]; [`VaultError::DoesNotOpen`] inside if it was sealed for another place.
    pub async fn open(&self, at: Location<'_>, sealed: &Sealed) -> Result<SecretString, KeyError> {
        Ok(self.data_key(at.org).await?.open(at, sealed)?)
    }
}

/// Why a secret could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It does not open: the master key is another one, or the row was tampered with.
    #[error("a stored credential could not be opened")]
    Vault(#[from] VaultError),
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Classify for KeyError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Vault(_) => ErrorKind::Internal,
            Self::Store(err) => err.kind(),
        }
    }
}
