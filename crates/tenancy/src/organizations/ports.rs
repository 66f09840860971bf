use async_trait::async_trait;
use plinth_core::{OrgId, StoreError, UserId};

use super::OrganizationError;
use crate::outbox::Message;
use crate::{AuditEntry, Member, MemberId, Organization};

/// What an organization becomes, what the trail tells of it, and letters about it.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The organization as it will be.
    pub organization: Organization,
    /// For the trail.
    pub entry: AuditEntry,
    /// For people.
    pub letters: Vec<Message>,
}

/// Decides that of the organization as it is in the transaction: pure.
pub type ChangeOrganization<'a> =
    &'a (dyn Fn(&Organization) -> Result<Changed, OrganizationError> + Send + Sync);

/// What to send to the owner that was and to the one that is.
pub type HandOverLetters<'a> = &'a (dyn Fn(&Member, &Member) -> Vec<Message> + Send + Sync);

/// Who hands an organization over to whom.
#[derive(Clone, Debug)]
pub struct HandOver {
    /// Which organization.
    pub org: OrgId,
    /// Its owner.
    pub from: UserId,
    /// The member who becomes it.
    pub to: MemberId,
    /// For the trail.
    pub entry: AuditEntry,
}

/// Where organizations are kept. Every method is one transaction; entries and letters are written in it if and only if
/// something changes.
#[async_trait]
pub trait OrganizationStore: Send + Sync + 'static {
    /// Keeps a new organization with its owner, who is a person already.
    ///
    /// # Errors
    ///
    /// [`OrganizationError::NameTaken`].
    async fn create(
        &self,
        organization: &Organization,
        owner: UserId,
        member: MemberId,
        entry: &AuditEntry,
    ) -> Result<(), OrganizationError>;

    /// Changes an organization and returns it as it is then; `None` if there is none of that id.
    ///
    /// # Errors
    ///
    /// [`OrganizationError::NameTaken`]; what `change` says.
    async fn change(
        &self,
        org: OrgId,
        change: ChangeOrganization<'_>,
    ) -> Result<Option<Organization>, OrganizationError>;

    /// Makes the member the owner, and the owner an admin. `letters` says what to send to the two.
    ///
    /// # Errors
    ///
    /// [`OrganizationError::NotOwner`], [`OrganizationError::MemberNotFound`], [`OrganizationError::AlreadyOwner`].
    async fn hand_over(
        &self,
        how: &HandOver,
        letters: HandOverLetters<'_>,
    ) -> Result<Member, OrganizationError>;

    /// Every organization.
    async fn organizations(&self) -> Result<Vec<OrgId>, StoreError>;

    /// Organizations whose time to think again is over, by the database's clock.
    async fn due(&self) -> Result<Vec<OrgId>, StoreError>;

    /// Deletes an organization whose time to think again is over, with everything that is its; `false` if there is none
    /// of that id, or it was restored.
    async fn delete(&self, org: OrgId) -> Result<bool, StoreError>;
}
