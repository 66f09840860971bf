use std::sync::Arc;

use plinth_core::{Permit, Scope, TeamRead, TeamWrite};
use serde_json::json;

use super::{Team, TeamError};
use crate::{
    AuditEntry, CustomRole, Grantor, MemberRole, NewRole, Role, RoleChange, RoleId, RoleKey,
    RoleName,
};

/// How many roles of its own an organization may have.
const MOST_ROLES: usize = 100;

impl Team {
    /// Every role: the built-in ones from the highest down, then the organization's own by name.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn roles(&self, permit: &Permit<TeamRead>) -> Result<Vec<MemberRole>, TeamError> {
        let own = self.store.roles(permit.org()).await?;
        let built_in = Role::ALL.into_iter().rev().map(MemberRole::from);
        Ok(built_in.chain(own.into_iter().map(|it| MemberRole::Custom(Arc::new(it)))).collect())
    }

    /// One role.
    ///
    /// # Errors
    ///
    /// [`TeamError::RoleNotFound`] if the organization has no such role of its own.
    pub async fn role(
        &self,
        permit: &Permit<TeamRead>,
        key: RoleKey,
    ) -> Result<MemberRole, TeamError> {
        let found = self.find_role(permit.org(), key).await?;
        found.ok_or_else(|| match key {
            RoleKey::Custom(id) => TeamError::RoleNotFound(id),
            RoleKey::BuiltIn(role) => TeamError::UnknownRole(crate::UnknownRole(role.to_string())),
        })
    }

    /// Makes a role.
    ///
    /// # Errors
    ///
    /// - [`TeamError::InvalidRole`] if the request breaks a rule.
    /// - [`TeamError::RoleNameTaken`], [`TeamError::TooManyRoles`].
    /// - [`TeamError::Escalation`] if it would allow what the caller may not.
    pub async fn create_role(
        &self,
        permit: &Permit<TeamWrite>,
        new: NewRole,
    ) -> Result<CustomRole, TeamError> {
        new.check()?;
        let caller = permit.principal();
        if !Grantor::of(caller).covers(new.scopes, new.saved_queries_only) {
            return Err(TeamError::Escalation);
        }
        let now = self.clock.now();
        let NewRole { name, description, scopes, saved_queries_only } = new;
        let role = CustomRole {
            id: RoleId::new(now),
            org: permit.org(),
            name,
            description,
            scopes,
            saved_queries_only,
            created_by: permit.user(),
            created_at: now,
            updated_at: now,
        };
        let entry =
            AuditEntry::of(caller, now, "role.created").on("role", role.id).with(said(&role));
        self.store.insert_role(&role, MOST_ROLES, &entry).await?;
        Ok(role)
    }

    /// Changes a role, and with it what everybody may who holds it: here at once, on other servers within a second.
    ///
    /// # Errors
    ///
    /// - [`TeamError::RoleNotFound`] if the organization has no such role of its own.
    /// - [`TeamError::InvalidRole`] if the request breaks a rule.
    /// - [`TeamError::RoleNameTaken`].
    /// - [`TeamError::Escalation`] if the role allows, or would allow, what the caller may not.
    pub async fn change_own_role(
        &self,
        permit: &Permit<TeamWrite>,
        id: RoleId,
        change: RoleChange,
    ) -> Result<CustomRole, TeamError> {
        let now = self.clock.now();
        let grantor = Grantor::of(permit.principal());
        let decide = |role: &CustomRole| {
            let changed = change.clone().applied_to(role, now)?;
            let may = [role, &changed]
                .into_iter()
                .all(|it| grantor.covers(it.scopes, it.saved_queries_only));
            if may { Ok(changed) } else { Err(TeamError::Escalation) }
        };
        let scopes = change.scopes.map(|it| it.iter().map(Scope::as_str).collect::<Vec<_>>());
        let entry =
            AuditEntry::of(permit.principal(), now, "role.changed").on("role", id).with(json!({
                "name": change.name.as_ref().map(RoleName::as_str),
                "description": change.description,
                "scopes": scopes,
                "saved_queries_only": change.saved_queries_only,
            }));
        let changed = self.store.change_role_itself(permit.org(), id, &decide, &entry).await?;
        let role = changed.ok_or(TeamError::RoleNotFound(id))?;
        self.forget(permit.org());
        Ok(role)
    }

    /// Removes a role that nobody holds.
    ///
    /// # Errors
    ///
    /// - [`TeamError::RoleNotFound`] if the organization has no such role of its own.
    /// - [`TeamError::RoleHeld`] while members or invitations hold it.
    /// - [`TeamError::Escalation`] if it allows what the caller may not.
    pub async fn remove_role(
        &self,
        permit: &Permit<TeamWrite>,
        id: RoleId,
    ) -> Result<(), TeamError> {
        let grantor = Grantor::of(permit.principal());
        let judge = |role: &MemberRole| {
            if grantor.reaches(role) { Ok(()) } else { Err(TeamError::Escalation) }
        };
        let entry =
            AuditEntry::of(permit.principal(), self.clock.now(), "role.deleted").on("role", id);
        let removed = self.store.remove_role(permit.org(), id, &judge, &entry).await?;
        if removed { Ok(()) } else { Err(TeamError::RoleNotFound(id)) }
    }
}

/// What the trail tells of a role.
fn said(role: &CustomRole) -> serde_json::Value {
    json!({
        "name": role.name.as_str(),
        "description": role.description,
        "scopes": role.scopes.iter().map(Scope::as_str).collect::<Vec<_>>(),
        "saved_queries_only": role.saved_queries_only,
    })
}
