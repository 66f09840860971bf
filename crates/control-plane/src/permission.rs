use async_trait::async_trait;
use jiff::Timestamp;
use plinth_core::{OrgId, StoreError, UserId};
use plinth_tenancy::{AuditEntry, Email};
use uuid::Uuid;

use crate::{ChangeError, ProjectId};

/// That somebody of another organization may use a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectPermission {
    /// Its id.
    pub id: Uuid,
    /// Whose project it is.
    pub org: OrgId,
    /// The project.
    pub project: ProjectId,
    /// Whose address it was given to.
    pub email: Email,
    /// Who gave it.
    pub granted_by: UserId,
    /// When.
    pub granted_at: Timestamp,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
}

/// Where it is kept with whom projects are shared. Every method is one transaction.
#[async_trait]
pub trait PermissionStore: Send + Sync + 'static {
    /// With whom a project is shared, oldest first.
    async fn permissions(
        &self,
        org: OrgId,
        project: &ProjectId,
    ) -> Result<Vec<ProjectPermission>, StoreError>;

    /// Shares a project.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Exists`] if it is shared with that address.
    async fn grant(
        &self,
        permission: &ProjectPermission,
        entry: &AuditEntry,
    ) -> Result<(), ChangeError>;

    /// Ends a permission; `None` if there is none of that id that stands.
    async fn revoke(
        &self,
        org: OrgId,
        project: &ProjectId,
        id: Uuid,
        at: Timestamp,
        entry: &AuditEntry,
    ) -> Result<Option<ProjectPermission>, StoreError>;

    /// The projects that are shared with a person.
    async fn shared_with(&self, person: UserId) -> Result<Vec<(OrgId, ProjectId)>, StoreError>;
}
