use std::collections::BTreeMap;
use std::sync::Arc;

use plinth_core::{Clock, OrgId, StoreError};
use plinth_tenancy::AuditEntry;
use serde_json::json;

use super::{KeyStore, MasterKeyId, MasterKeys, VaultError};

/// What a master key's check value is derived for: the database keeps it, to refuse a server with another key.
pub const MASTER_KEY_CHECK: &str = "check of the master key";

/// Which master keys wrap something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyCensus {
    /// Which one wraps the installation's key.
    pub installation: Option<MasterKeyId>,
    /// How many organizations' data keys each of them wraps.
    pub data_keys: BTreeMap<MasterKeyId, i64>,
}

impl KeyCensus {
    /// Whether this key wraps all there is.
    pub fn is_all_under(&self, key: MasterKeyId) -> bool {
        self.installation.is_none_or(|it| it == key) && self.data_keys.keys().all(|it| *it == key)
    }

    /// Whether anything needs this key to be opened.
    pub fn needs(&self, key: MasterKeyId) -> bool {
        self.installation == Some(key) || self.data_keys.contains_key(&key)
    }
}

/// Wraps every key anew with the current master key, while servers go on: the keys themselves stay the same, so that
/// nothing that was sealed with them has to be touched. It can be stopped anywhere and begun again, and run twice at once.
#[derive(Clone)]
pub struct Rotation {
    store: Arc<dyn KeyStore>,
    masters: Arc<MasterKeys>,
    clock: Arc<dyn Clock>,
}

/// How far a step came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// How many data keys it wrapped anew.
    pub rewrapped: usize,
    /// Where the next step goes on; `None` if no data key is left.
    pub next: Option<OrgId>,
}

impl Rotation {
    /// Puts the service together.
    pub fn new(store: Arc<dyn KeyStore>, masters: Arc<MasterKeys>, clock: Arc<dyn Clock>) -> Self {
        Self { store, masters, clock }
    }

    /// Which master keys are in use.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn census(&self) -> Result<KeyCensus, StoreError> {
        self.store.census().await
    }

    /// Wraps at most `limit` data keys anew, each in a transaction of its own, beginning after `after`.
    ///
    /// # Errors
    ///
    /// [`RotationError::Key`] at the first key that does not open; those before it are done.
    pub async fn step(&self, after: Option<OrgId>, limit: usize) -> Result<Step, RotationError> {
        let current = self.masters.current();
        let orgs = self.store.wrapped_by_others(current.id().as_stored(), after, limit).await?;
        let mut rewrapped = 0;
        for org in &orgs {
            // The organization may have been deleted meanwhile.
            let Some(before) = self.store.data_key(*org).await? else { continue };
            let wrong = |cause| RotationError::Key { org: *org, cause };
            let key = self.masters.open_data_key(*org, &before).map_err(wrong)?;
            let again = current.wrap_data_key(*org, &key).map_err(wrong)?;
            let entry =
                AuditEntry::of_plinth(*org, self.clock.now(), "operator", "data_key.rewrapped")
                    .with(json!({
                        "from": MasterKeyId::from_stored(before.key_version).to_string(),
                        "to": current.id().to_string(),
                    }));
            if self.store.rewrap_data_key(*org, before.key_version, &again, &entry).await? {
                rewrapped += 1;
            }
        }
        let next = if orgs.len() < limit { None } else { orgs.last().copied() };
        Ok(Step { rewrapped, next })
    }

    /// Wraps the installation's own key anew, the last thing to do, and lets only servers start that have the current
    /// master key. `false` if data keys are left; then nothing changes.
    ///
    /// # Errors
    ///
    /// [`RotationError::Installation`] if it does not open.
    pub async fn finish(&self) -> Result<bool, RotationError> {
        let current = self.masters.current();
        let Some(before) = self.store.installation_key().await? else { return Ok(true) };
        let key =
            self.masters.open_installation_key(&before).map_err(RotationError::Installation)?;
        let again = current.wrap_installation_key(&key).map_err(RotationError::Installation)?;
        let check = current.derive(MASTER_KEY_CHECK);
        Ok(self.store.rewrap_installation_key(before.key_version, &again, &check).await?)
    }
}

/// Why keys could not be wrapped anew.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// An organization's data key does not open.
    #[error("the data key of organization {org} does not open: {cause}")]
    Key {
        /// Which organization's.
        org: OrgId,
        /// Why.
        cause: VaultError,
    },
    /// The installation's key does not open.
    #[error("the installation's key does not open: {0}")]
    Installation(VaultError),
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}
