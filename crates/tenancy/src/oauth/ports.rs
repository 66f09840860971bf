use async_trait::async_trait;
use plinth_core::{AppId, Cursor, Limit, OrgId, SessionId, StoreError};
use uuid::Uuid;

use super::{App, Code};
use crate::AuditEntry;

/// Where apps and codes are kept. Every method is one transaction; where it takes an [`AuditEntry`], that is written in it
/// if and only if something changes.
#[async_trait]
pub trait AppStore: Send + Sync + 'static {
    /// Keeps a new app.
    ///
    /// # Errors
    ///
    /// [`PutAppError::NameTaken`] if the organization has one of that name; nothing changes.
    async fn insert(&self, app: &App, entry: &AuditEntry) -> Result<(), PutAppError>;

    /// Puts an app's settings in the place of the old ones; `false` if the organization has none of that id.
    ///
    /// # Errors
    ///
    /// As for [`AppStore::insert`].
    async fn update(&self, app: &App, entry: &AuditEntry) -> Result<bool, PutAppError>;

    /// Forgets an app, and with it all that was granted to it; `false` if there was none.
    async fn remove(&self, org: OrgId, id: AppId, entry: &AuditEntry) -> Result<bool, StoreError>;

    /// An app that the organization registered.
    async fn find(&self, org: OrgId, id: AppId) -> Result<Option<App>, StoreError>;

    /// The apps that the organization registered, newest first; one more than `limit` if there are more.
    async fn list(
        &self,
        org: OrgId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<App>, StoreError>;

    /// An app, whoever registered it.
    async fn find_any(&self, id: AppId) -> Result<Option<App>, StoreError>;

    /// Keeps a code, and forgets those that are long over.
    async fn insert_code(&self, code: &Code) -> Result<(), StoreError>;

    /// A code, used or not.
    async fn code(&self, org: OrgId, id: Uuid) -> Result<Option<Code>, StoreError>;

    /// Notes what a code was exchanged for; `false` if it was exchanged before.
    async fn use_code(&self, org: OrgId, id: Uuid, session: SessionId) -> Result<bool, StoreError>;

    /// Notes that a code came once more after it was exchanged.
    async fn note_replay(&self, org: OrgId, id: Uuid) -> Result<(), StoreError>;
}

/// Why an app was not kept.
#[derive(Debug, thiserror::Error)]
pub enum PutAppError {
    /// The organization has one of that name.
    #[error("the name is taken")]
    NameTaken,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}
