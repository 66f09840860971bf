use async_trait::async_trait;
use jiff::Timestamp;
use plinth_core::{Cursor, Limit, OrgId, StoreError, UserId};

use super::{
    AttributesChange, Invitation, InvitationId, Member, MemberAttributes, MemberId, NewInvitation,
    TeamError,
};
use crate::outbox::Message;
use crate::{AuditEntry, CustomRole, MemberRole, RoleId, RoleKey};

/// Judges a member as they are in the transaction, and the role that they shall get.
pub type JudgeMember<'a> =
    &'a (dyn Fn(&Member, Option<&MemberRole>) -> Result<(), TeamError> + Send + Sync);

/// Judges a role as it is in the transaction.
pub type JudgeRole<'a> = &'a (dyn Fn(&MemberRole) -> Result<(), TeamError> + Send + Sync);

/// Judges an invitation as it is in the transaction, with its inviter's role.
pub type JudgeInvitation<'a> =
    &'a (dyn Fn(&Invitation, &MemberRole) -> Result<(), TeamError> + Send + Sync);

/// What an invitation is sent again as, and the letter.
pub type Renewed = (Invitation, AuditEntry, Message);

/// Makes that of the invitation as it is in the transaction.
pub type Renew<'a> = &'a (dyn Fn(&Invitation) -> Result<Renewed, TeamError> + Send + Sync);

/// Makes of a role, as it is in the transaction, what it will be.
pub type ChangeRole<'a> = &'a (dyn Fn(&CustomRole) -> Result<CustomRole, TeamError> + Send + Sync);

/// A member by what a caller knows of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhichMember {
    /// By the membership.
    Id(MemberId),
    /// By the person.
    User(UserId),
}

/// Somebody comes with an invitation's link.
#[derive(Clone, Debug)]
pub struct Acceptance {
    /// Which invitation.
    pub invitation: InvitationId,
    /// Its organization.
    pub org: OrgId,
    /// The id of the person if nobody has the invited address yet.
    pub new_user: UserId,
    /// The membership's id.
    pub member: MemberId,
    /// When.
    pub at: Timestamp,
}

/// Where members, invitations and custom roles are kept. Every method is one transaction; an entry or a message is
/// written in it if and only if something changes, and the judge of a change is asked in it.
#[async_trait]
pub trait TeamStore: Send + Sync + 'static {
    /// The organization's members, newest first; one more than `limit` if there are more.
    async fn members(
        &self,
        org: OrgId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<Member>, StoreError>;

    /// One member.
    async fn member(&self, org: OrgId, which: WhichMember) -> Result<Option<Member>, StoreError>;

    /// Gives a member another role, and returns them as they are then; `None` if there is no such member.
    ///
    /// # Errors
    ///
    /// [`TeamError::UnknownRole`] if the organization has no such role; what the judge says.
    async fn change_role(
        &self,
        org: OrgId,
        id: MemberId,
        to: RoleKey,
        judge: JudgeMember<'_>,
        entry: &AuditEntry,
    ) -> Result<Option<Member>, TeamError>;

    /// Removes a member, and with them their keys and the invitations that they sent; returns who it was.
    ///
    /// # Errors
    ///
    /// What the judge says.
    async fn remove_member(
        &self,
        org: OrgId,
        which: WhichMember,
        judge: JudgeMember<'_>,
        entry: &AuditEntry,
    ) -> Result<Option<Member>, TeamError>;

    /// What the organization says of a member; `None` if there is no such member.
    async fn attributes(
        &self,
        org: OrgId,
        id: MemberId,
    ) -> Result<Option<MemberAttributes>, StoreError>;

    /// Says it anew, and returns it as it is then; `None` if there is no such member.
    ///
    /// # Errors
    ///
    /// [`TeamError::AttributesChanged`] if it is not as expected; what the judge says.
    async fn set_attributes(
        &self,
        org: OrgId,
        which: WhichMember,
        change: &AttributesChange,
        judge: JudgeMember<'_>,
        entry: &AuditEntry,
    ) -> Result<Option<MemberAttributes>, TeamError>;

    /// Keeps an invitation; one to the same address that has expired is replaced.
    ///
    /// # Errors
    ///
    /// [`TeamError::AlreadyMember`], [`TeamError::AlreadyInvited`], [`TeamError::UnknownRole`]; what the judge says.
    async fn invite(
        &self,
        new: &NewInvitation,
        judge: JudgeRole<'_>,
        entry: &AuditEntry,
        letter: &Message,
    ) -> Result<Invitation, TeamError>;

    /// The organization's invitations, newest first; one more than `limit` if there are more.
    async fn invitations(
        &self,
        org: OrgId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<Invitation>, StoreError>;

    /// One invitation.
    async fn invitation(
        &self,
        org: OrgId,
        id: InvitationId,
    ) -> Result<Option<Invitation>, StoreError>;

    /// Sends an invitation again as `renew` makes it; `None` if there is none of that id.
    ///
    /// # Errors
    ///
    /// What `renew` says.
    async fn resend(
        &self,
        org: OrgId,
        id: InvitationId,
        renew: Renew<'_>,
    ) -> Result<Option<Invitation>, TeamError>;

    /// Takes an invitation back; `false` if there is none of that id.
    ///
    /// # Errors
    ///
    /// What the judge says of its role.
    async fn revoke(
        &self,
        org: OrgId,
        id: InvitationId,
        judge: JudgeRole<'_>,
        entry: &AuditEntry,
    ) -> Result<bool, TeamError>;

    /// In which organization an invitation is.
    async fn find_invitation(&self, id: InvitationId) -> Result<Option<OrgId>, StoreError>;

    /// Makes the person with the invited address a member and uses the invitation up. Who has no home yet
    /// ([`crate::accounts::Account::home`]) has it here. `entry` is written as their act.
    ///
    /// # Errors
    ///
    /// [`TeamError::NotGood`] if there is no such invitation; [`TeamError::AlreadyMember`]; what the judge says.
    async fn accept(
        &self,
        how: &Acceptance,
        judge: JudgeInvitation<'_>,
        entry: &AuditEntry,
    ) -> Result<Member, TeamError>;

    /// Removes invitations that expired before then; says how many.
    async fn sweep_invitations(&self, org: OrgId, before: Timestamp) -> Result<u64, StoreError>;

    /// Every organization, for jobs.
    async fn organizations(&self) -> Result<Vec<OrgId>, StoreError>;

    /// The organization's own roles, by name.
    async fn roles(&self, org: OrgId) -> Result<Vec<CustomRole>, StoreError>;

    /// One of them.
    async fn role(&self, org: OrgId, id: RoleId) -> Result<Option<CustomRole>, StoreError>;

    /// Keeps a role.
    ///
    /// # Errors
    ///
    /// [`TeamError::RoleNameTaken`], [`TeamError::TooManyRoles`].
    async fn insert_role(
        &self,
        role: &CustomRole,
        most: usize,
        entry: &AuditEntry,
    ) -> Result<(), TeamError>;

    /// Changes a role into what `change` makes of it; `None` if there is none of that id.
    ///
    /// # Errors
    ///
    /// [`TeamError::RoleNameTaken`]; what `change` says.
    async fn change_role_itself(
        &self,
        org: OrgId,
        id: RoleId,
        change: ChangeRole<'_>,
        entry: &AuditEntry,
    ) -> Result<Option<CustomRole>, TeamError>;

    /// Removes a role; `false` if there is none of that id.
    ///
    /// # Errors
    ///
    /// [`TeamError::RoleHeld`]; what the judge says.
    async fn remove_role(
        &self,
        org: OrgId,
        id: RoleId,
        judge: JudgeRole<'_>,
        entry: &AuditEntry,
    ) -> Result<bool, TeamError>;
}
