use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use plinth_core::{
    Clock, Cursor, Limit, OrgId, Origin, Page, Permit, SignedIn, StoreError, TeamRead, TeamWrite,
    UserId,
};
use secrecy::SecretString;
use serde_json::json;

use super::{
    Acceptance, Invitation, InvitationId, Member, MemberId, NewInvitation, TeamError, TeamStore,
    WhichMember,
};
use crate::outbox::{Letter, LetterTo, Message};
use crate::{
    Accounts, AuditEntry, Email, Grantor, LinkKey, LinkPurpose, MemberRole, RoleKey, Tenancy,
    UnknownRole,
};

/// For how long an invitation that expired is still shown, and can be sent again.
const KEPT_EXPIRED: SignedDuration = SignedDuration::from_hours(24 * 30);

/// Members, invitations and roles.
#[derive(Clone)]
pub struct Team {
    pub(super) store: Arc<dyn TeamStore>,
    pub(super) tenancy: Tenancy,
    accounts: Accounts,
    links: LinkKey,
    pub(super) clock: Arc<dyn Clock>,
}

/// Somebody came.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// They, as a member.
    pub member: Member,
}

impl Team {
    /// Puts the service together from its ports.
    pub fn new(
        store: Arc<dyn TeamStore>,
        tenancy: Tenancy,
        accounts: Accounts,
        links: LinkKey,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { store, tenancy, accounts, links, clock }
    }

    /// The organization's members, newest first.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn members(
        &self,
        permit: &Permit<TeamRead>,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<Member>, TeamError> {
        let items = self.store.members(permit.org(), after, limit).await?;
        Ok(Page::cut(items, limit, |it| Cursor { created_at: it.joined_at, id: it.id.as_uuid() }))
    }

    /// Gives a member another role.
    ///
    /// # Errors
    ///
    /// - [`TeamError::MemberNotFound`] if the organization has no such member.
    /// - [`TeamError::UnknownRole`] if it has no such role.
    /// - [`TeamError::OwnerStays`] if the owner would give up being it.
    /// - [`TeamError::Escalation`] if the role or the member is above the caller.
    pub async fn change_role(
        &self,
        permit: &Permit<TeamWrite>,
        id: MemberId,
        to: RoleKey,
    ) -> Result<Member, TeamError> {
        let grantor = Grantor::of(permit.principal());
        let entry = AuditEntry::of(permit.principal(), self.clock.now(), "member.role_changed")
            .on("member", id)
            .with(json!({ "role": to.to_string() }));
        let judge = |member: &Member, to: Option<&MemberRole>| {
            if !grantor.reaches(&member.role) || !to.is_none_or(|it| grantor.may_grant(it)) {
                return Err(TeamError::Escalation);
            }
            if member.role.is_owner() { Err(TeamError::OwnerStays) } else { Ok(()) }
        };
        let changed = self.store.change_role(permit.org(), id, to, &judge, &entry).await?;
        let member = changed.ok_or(TeamError::MemberNotFound(id))?;
        self.forget(permit.org());
        Ok(member)
    }

    /// Removes a member. Their keys die with the membership; sessions lose the organization within a second.
    ///
    /// # Errors
    ///
    /// - [`TeamError::MemberNotFound`] if the organization has no such member.
    /// - [`TeamError::OwnerStays`] if it is the owner.
    /// - [`TeamError::Escalation`] if the member is above the caller.
    pub async fn remove(&self, permit: &Permit<TeamWrite>, id: MemberId) -> Result<(), TeamError> {
        let grantor = Grantor::of(permit.principal());
        let judge = |member: &Member, _: Option<&MemberRole>| {
            if !grantor.reaches(&member.role) {
                return Err(TeamError::Escalation);
            }
            if member.role.is_owner() { Err(TeamError::OwnerStays) } else { Ok(()) }
        };
        let entry =
            AuditEntry::of(permit.principal(), self.clock.now(), "member.removed").on("member", id);
        let which = WhichMember::Id(id);
        let removed = self.store.remove_member(permit.org(), which, &judge, &entry).await?;
        removed.ok_or(TeamError::MemberNotFound(id))?;
        self.forget(permit.org());
        Ok(())
    }

    /// Takes the caller out of the organization.
    ///
    /// # Errors
    ///
    /// [`TeamError::OwnerStays`] for the owner.
    pub async fn leave(&self, permit: &Permit<SignedIn>) -> Result<(), TeamError> {
        let judge = |member: &Member, _: Option<&MemberRole>| {
            if member.role.is_owner() { Err(TeamError::OwnerStays) } else { Ok(()) }
        };
        let user = permit.user();
        let entry =
            AuditEntry::of(permit.principal(), self.clock.now(), "member.left").on("user", user);
        let which = WhichMember::User(user);
        let left = self.store.remove_member(permit.org(), which, &judge, &entry).await?;
        // Whoever has a permit was a member a second ago at most.
        left.ok_or(crate::TenancyError::Unauthenticated)?;
        self.forget(permit.org());
        Ok(())
    }

    /// Invites somebody: a letter with a link goes to the address.
    ///
    /// # Errors
    ///
    /// - [`TeamError::AlreadyMember`], [`TeamError::AlreadyInvited`].
    /// - [`TeamError::UnknownRole`] if the organization has no such role.
    /// - [`TeamError::Escalation`] if the role is above the caller.
    pub async fn invite(
        &self,
        permit: &Permit<TeamWrite>,
        email: Email,
        role: RoleKey,
    ) -> Result<Invitation, TeamError> {
        let now = self.clock.now();
        let (org, caller) = (permit.org(), permit.principal());
        let grantor = Grantor::of(caller);
        let found = self.find_role(org, role).await?.ok_or(UnknownRole(role.to_string()))?;
        let new = NewInvitation {
            id: InvitationId::new(now),
            org,
            email,
            role,
            invited_by: permit.user(),
            at: now,
        };
        let entry = AuditEntry::of(caller, now, "invitation.created")
            .on("invitation", new.id)
            .with(json!({ "email": new.email.as_str(), "role": role.to_string() }));
        let letter = Letter::Invitation {
            invitation: new.id,
            sending: 1,
            inviter: self.address_of(org, permit.user()).await?,
            organization: self.tenancy.current(org).await?.name.to_string(),
            role: found.name().to_owned(),
            expires_at: new.expires_at(),
        };
        let to = LetterTo::Address(new.email.as_str().to_owned());
        let judge = |role: &MemberRole| {
            if grantor.may_grant(role) { Ok(()) } else { Err(TeamError::Escalation) }
        };
        self.store.invite(&new, &judge, &entry, &Message::mail(org, now, &to, &letter)).await
    }

    /// The invitations that were neither accepted nor taken back, newest first.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn invitations(
        &self,
        permit: &Permit<TeamRead>,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<Invitation>, TeamError> {
        let items = self.store.invitations(permit.org(), after, limit).await?;
        Ok(Page::cut(items, limit, |it| Cursor { created_at: it.created_at, id: it.id.as_uuid() }))
    }

    /// One invitation.
    ///
    /// # Errors
    ///
    /// [`TeamError::InvitationNotFound`] if there is none of that id that was neither accepted nor taken back.
    pub async fn invitation(
        &self,
        permit: &Permit<TeamRead>,
        id: InvitationId,
    ) -> Result<Invitation, TeamError> {
        let found = self.store.invitation(permit.org(), id).await?;
        found.ok_or(TeamError::InvitationNotFound(id))
    }

    /// Sends an invitation again: with a new link and a new term; older links are good no longer.
    ///
    /// # Errors
    ///
    /// - [`TeamError::InvitationNotFound`] as for [`Team::invitation`].
    /// - [`TeamError::Escalation`] if its role is above the caller.
    pub async fn resend(
        &self,
        permit: &Permit<TeamWrite>,
        id: InvitationId,
    ) -> Result<Invitation, TeamError> {
        let now = self.clock.now();
        let (org, caller) = (permit.org(), permit.principal());
        let grantor = Grantor::of(caller);
        let inviter = self.address_of(org, permit.user()).await?;
        let organization = self.tenancy.current(org).await?.name.to_string();
        let renew = |it: &Invitation| {
            if !grantor.may_grant(&it.role) {
                return Err(TeamError::Escalation);
            }
            let again = it.sent_again(permit.user(), now);
            let letter = Letter::Invitation {
                invitation: id,
                sending: again.sending,
                inviter: inviter.clone(),
                organization: organization.clone(),
                role: again.role.name().to_owned(),
                expires_at: again.expires_at,
            };
            let to = LetterTo::Address(again.email.as_str().to_owned());
            let entry = AuditEntry::of(caller, now, "invitation.sent_again")
                .on("invitation", id)
                .with(json!({ "email": again.email.as_str(), "sending": again.sending }));
            Ok((again, entry, Message::mail(org, now, &to, &letter)))
        };
        let sent = self.store.resend(org, id, &renew).await?;
        sent.ok_or(TeamError::InvitationNotFound(id))
    }

    /// Takes an invitation back.
    ///
    /// # Errors
    ///
    /// - [`TeamError::InvitationNotFound`] as for [`Team::invitation`].
    /// - [`TeamError::Escalation`] if its role is above the caller.
    pub async fn revoke(
        &self,
        permit: &Permit<TeamWrite>,
        id: InvitationId,
    ) -> Result<(), TeamError> {
        let grantor = Grantor::of(permit.principal());
        let judge = |role: &MemberRole| {
            if grantor.reaches(role) { Ok(()) } else { Err(TeamError::Escalation) }
        };
        let entry = AuditEntry::of(permit.principal(), self.clock.now(), "invitation.revoked")
            .on("invitation", id);
        let revoked = self.store.revoke(permit.org(), id, &judge, &entry).await?;
        if revoked { Ok(()) } else { Err(TeamError::InvitationNotFound(id)) }
    }

    /// What an invitation's link leads to: the invitation, if the link is good.
    ///
    /// # Errors
    ///
    /// [`TeamError::NotGood`] for anything else.
    pub async fn read_link(&self, token: &str) -> Result<Invitation, TeamError> {
        let (id, sending) =
            self.links.read(LinkPurpose::Invitation, token).ok_or(TeamError::NotGood)?;
        let id = InvitationId::from_uuid(id);
        let org = self.store.find_invitation(id).await?.ok_or(TeamError::NotGood)?;
        self.tenancy.require_open(org).await.map_err(|_| TeamError::NotGood)?;
        let found = self.store.invitation(org, id).await?.ok_or(TeamError::NotGood)?;
        let is_good = found.sending == sending && found.is_good(self.clock.now());
        if is_good { Ok(found) } else { Err(TeamError::NotGood) }
    }

    /// Whether whoever comes with this link has to choose a password: nobody with the invited address has one yet.
    ///
    /// # Errors
    ///
    /// [`TeamError::NotGood`] as for [`Team::read_link`].
    pub async fn needs_password(&self, token: &str) -> Result<(Invitation, bool), TeamError> {
        let invitation = self.read_link(token).await?;
        let needs = !self.accounts.has_password(&invitation.email).await?;
        Ok((invitation, needs))
    }

    /// Makes the person with the invited address a member. The link proves that they read that address's mail. Who has no
    /// password yet chooses one; who has one proves nothing further and is not signed in by this.
    ///
    /// # Errors
    ///
    /// - [`TeamError::NotGood`] if the link is not, or no longer, good, or its sender may not grant that role any more.
    /// - [`TeamError::PasswordNeeded`], [`TeamError::PasswordKnown`].
    /// - [`TeamError::Account`] if the password breaks a rule, or too many are chosen at once.
    /// - [`TeamError::AlreadyMember`] if the person is a member.
    pub async fn accept(
        &self,
        token: &str,
        password: Option<&SecretString>,
        origin: &Origin,
    ) -> Result<Accepted, TeamError> {
        let sent = self.links.read(LinkPurpose::Invitation, token).ok_or(TeamError::NotGood)?;
        let (invitation, needs_password) = self.needs_password(token).await?;
        let hash = match (needs_password, password) {
            (true, None) => return Err(TeamError::PasswordNeeded),
            (false, Some(_)) => return Err(TeamError::PasswordKnown),
            (true, Some(typed)) => {
                Some(self.accounts.prepare_password(typed, &invitation.email).await?)
            }
            (false, None) => None,
        };
        let now = self.clock.now();
        let how = Acceptance {
            invitation: invitation.id,
            org: invitation.org,
            new_user: UserId::new(now),
            member: MemberId::new(now),
            at: now,
        };
        let judge = |it: &Invitation, inviter: &MemberRole| {
            let is_good = it.sending == sent.1 && it.is_good(now);
            if is_good && Grantor::of_role(inviter).may_grant(&it.role) {
                Ok(())
            } else {
                Err(TeamError::NotGood)
            }
        };
        let entry = AuditEntry {
            address: origin.address,
            request_id: origin.request_id.to_string(),
            ..AuditEntry::of_plinth(invitation.org, now, "invitation", "invitation.accepted")
        };
        let entry = entry.on("invitation", invitation.id).with(json!({
            "member": how.member,
            "role": invitation.role.key().to_string(),
        }));
        let member = self.store.accept(&how, &judge, &entry).await?;
        if let Some(hash) = hash {
            // Whoever chose one in between keeps it. If this fails, "forgot password" is the way in.
            self.accounts.keep_first_password(member.user, &hash).await?;
        }
        self.accounts.forget_all(member.user);
        Ok(Accepted { member })
    }

    /// Removes invitations that expired long ago, of all organizations.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        let now = self.clock.now();
        let before = now.saturating_sub(KEPT_EXPIRED).unwrap_or(Timestamp::MIN);
        let all = self.store.organizations().await?;
        let sweep = |org| self.store.sweep_invitations(org, before);
        Ok(plinth_core::sweep_each("invitations", all, sweep).await)
    }

    /// Makes this server go by what has just changed.
    pub(super) fn forget(&self, org: OrgId) {
        self.tenancy.forget(org);
        self.accounts.forget_organization(org);
    }

    pub(super) async fn find_role(
        &self,
        org: OrgId,
        key: RoleKey,
    ) -> Result<Option<MemberRole>, StoreError> {
        Ok(match key {
            RoleKey::BuiltIn(role) => Some(role.into()),
            RoleKey::Custom(id) => {
                self.store.role(org, id).await?.map(|it| MemberRole::Custom(Arc::new(it)))
            }
        })
    }

    async fn address_of(&self, org: OrgId, user: UserId) -> Result<String, TeamError> {
        let member = self.store.member(org, WhichMember::User(user)).await?;
        let member = member.ok_or(crate::TenancyError::Unauthenticated)?;
        Ok(member.email.as_str().to_owned())
    }
}
