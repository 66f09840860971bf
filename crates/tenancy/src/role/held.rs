use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use plinth_core::{Principal, Scope, ScopeSet};

use super::{CustomRole, Role, RoleId, UnknownRole};

/// Which role somebody has or shall get, as it stands in requests and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoleKey {
    /// One that every organization has.
    BuiltIn(Role),
    /// One that this organization made.
    Custom(RoleId),
}

impl fmt::Display for RoleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn(role) => role.fmt(f),
            Self::Custom(id) => id.fmt(f),
        }
    }
}

impl FromStr for RoleKey {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("role_") {
            return text.parse().map(Self::Custom).map_err(|_| UnknownRole(text.to_owned()));
        }
        text.parse().map(Self::BuiltIn)
    }
}

/// What a member is in an organization, with all that this means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberRole {
    /// One of the roles that every organization has.
    BuiltIn(Role),
    /// One that this organization made.
    Custom(Arc<CustomRole>),
}

impl MemberRole {
    /// What names it in requests and rows.
    pub fn key(&self) -> RoleKey {
        match self {
            Self::BuiltIn(role) => RoleKey::BuiltIn(*role),
            Self::Custom(role) => RoleKey::Custom(role.id),
        }
    }

    /// How people call it.
    pub fn name(&self) -> &str {
        match self {
            Self::BuiltIn(role) => role.as_str(),
            Self::Custom(role) => role.name.as_str(),
        }
    }

    /// What it allows.
    pub fn scopes(&self) -> ScopeSet {
        match self {
            Self::BuiltIn(role) => role.scopes(),
            Self::Custom(role) => role.scopes,
        }
    }

    /// Whether reading queries means saved ones only.
    pub fn saved_queries_only(&self) -> bool {
        match self {
            Self::BuiltIn(role) => role.saved_queries_only(),
            Self::Custom(role) => role.saved_queries_only,
        }
    }

    /// Whether this is the organization's owner.
    pub fn is_owner(&self) -> bool {
        *self == Self::BuiltIn(Role::Owner)
    }
}

impl From<Role> for MemberRole {
    fn from(role: Role) -> Self {
        Self::BuiltIn(role)
    }
}

/// How far somebody may go with what they have right now: with their role as their credential narrows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grantor {
    scopes: ScopeSet,
    saved_queries_only: bool,
    test_only: bool,
    is_owner: bool,
}

impl Grantor {
    /// What a caller can pass on.
    pub fn of(caller: &Principal) -> Self {
        Self {
            scopes: caller.scopes,
            saved_queries_only: caller.saved_queries_only,
            test_only: caller.test_only,
            is_owner: caller.is_owner,
        }
    }

    /// What somebody of this role can pass on by a credential that narrows nothing.
    pub fn of_role(role: &MemberRole) -> Self {
        Self {
            scopes: role.scopes(),
            saved_queries_only: role.saved_queries_only(),
            test_only: false,
            is_owner: role.is_owner(),
        }
    }

    /// Whether they hold at least this much. What reaches only test connections holds nothing that can be passed on: a
    /// role reaches all of them.
    pub fn covers(&self, scopes: ScopeSet, saved_queries_only: bool) -> bool {
        !self.test_only
            && scopes.is_subset(self.scopes)
            // Who runs saved queries only cannot let others ask.
            && (saved_queries_only || !self.saved_queries_only || !scopes.contains(Scope::QueriesRead))
    }

    /// Whether they may give this role to somebody. Ownership is handed over, not granted.
    pub fn may_grant(&self, role: &MemberRole) -> bool {
        !role.is_owner() && self.covers(role.scopes(), role.saved_queries_only())
    }

    /// Whether somebody of this role stands no higher than they do, so that they may change or remove them. An admin
    /// has all scopes of the owner, and still stands below.
    pub fn reaches(&self, role: &MemberRole) -> bool {
        (self.is_owner || !role.is_owner()) && self.covers(role.scopes(), role.saved_queries_only())
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use plinth_core::{OrgId, UserId};
    use proptest::prelude::*;

    use super::*;
    use crate::RoleName;

    fn custom(scopes: ScopeSet, saved_queries_only: bool) -> MemberRole {
        let at = Timestamp::UNIX_EPOCH;
        MemberRole::Custom(Arc::new(CustomRole {
            id: RoleId::new(at),
            org: OrgId::new(at),
            name: RoleName::parse("Analyst").expect("good"),
            description: String::new(),
            scopes,
            saved_queries_only,
            created_by: UserId::new(at),
            created_at: at,
            updated_at: at,
        }))
    }

    fn any_role() -> impl Strategy<Value = MemberRole> {
        let custom = (1u32..(1 << 13), any::<bool>()).prop_map(|(bits, saved_only)| {
            let scopes = Scope::ALL.into_iter().filter(|it| bits & (1 << *it as u8) != 0);
            custom(scopes.collect(), saved_only)
        });
        prop_oneof![proptest::sample::select(&Role::ALL).prop_map(MemberRole::from), custom]
    }

    proptest! {
        #[test]
        fn nobody_grants_what_they_do_not_hold(grantor in any_role(), role in any_role()) {
            let may = Grantor::of_role(&grantor).may_grant(&role);
            if may {
                prop_assert!(role.scopes().is_subset(grantor.scopes()) && !role.is_owner());
                let asks = role.scopes().contains(Scope::QueriesRead) && !role.saved_queries_only();
                prop_assert!(!asks || !grantor.saved_queries_only());
            }
            // A chain of grants goes nowhere that the first could not go.
            prop_assert!(!may || Grantor::of_role(&grantor).reaches(&role));
        }

        #[test]
        fn a_grant_of_a_grant_is_a_grant(a in any_role(), b in any_role(), c in any_role()) {
            if Grantor::of_role(&a).may_grant(&b) && Grantor::of_role(&b).may_grant(&c) {
                prop_assert!(Grantor::of_role(&a).may_grant(&c));
            }
        }

        #[test]
        fn a_role_reads_back_from_its_key(role in any_role()) {
            prop_assert_eq!(role.key().to_string().parse::<RoleKey>(), Ok(role.key()));
        }
    }

    #[test]
    fn only_owners_reach_owners_and_nobody_makes_one() {
        let [owner, admin] = [Role::Owner, Role::Admin].map(MemberRole::from);
        assert!(Grantor::of_role(&owner).reaches(&owner));
        assert!(!Grantor::of_role(&admin).reaches(&owner));
        assert!(Grantor::of_role(&admin).reaches(&admin), "equals may");
        assert!(!Grantor::of_role(&owner).may_grant(&owner));
        assert!(
            !Grantor { test_only: true, ..Grantor::of_role(&owner) }
                .may_grant(&Role::Viewer.into())
        );
    }
}
