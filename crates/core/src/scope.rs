use std::fmt;
use std::str::FromStr;

/// One thing that a role, a key or a token may allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Scope {
    /// Ask questions, run SQL and see history.
    QueriesRead,
    /// Save and delete queries.
    QueriesWrite,
    /// See dashboards.
    DashboardsRead,
    /// Make and change dashboards.
    DashboardsWrite,
    /// See workflows and their runs.
    WorkflowsRead,
    /// Make, change and run workflows.
    WorkflowsWrite,
    /// See connections and schemas.
    ConnectionsRead,
    /// Add, test, change and remove connections.
    ConnectionsWrite,
    /// See members.
    TeamRead,
    /// Invite, change and remove members.
    TeamWrite,
    /// See projects of the control plane.
    ProjectsRead,
    /// Make, change and remove projects.
    ProjectsWrite,
    /// Keys, audit trail and settings of the organization.
    Admin,
}

impl Scope {
    /// Every scope there is.
    pub const ALL: [Self; 13] = [
        Self::QueriesRead,
        Self::QueriesWrite,
        Self::DashboardsRead,
        Self::DashboardsWrite,
        Self::WorkflowsRead,
        Self::WorkflowsWrite,
        Self::ConnectionsRead,
        Self::ConnectionsWrite,
        Self::TeamRead,
        Self::TeamWrite,
        Self::ProjectsRead,
        Self::ProjectsWrite,
        Self::Admin,
    ];

    /// Its name in keys and tokens, like `connections:write`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueriesRead => "queries:read",
            Self::QueriesWrite => "queries:write",
            Self::DashboardsRead => "dashboards:read",
            Self::DashboardsWrite => "dashboards:write",
            Self::WorkflowsRead => "workflows:read",
            Self::WorkflowsWrite => "workflows:write",
            Self::ConnectionsRead => "connections:read",
            Self::ConnectionsWrite => "connections:write",
            Self::TeamRead => "team:read",
            Self::TeamWrite => "team:write",
            Self::ProjectsRead => "projects:read",
            Self::ProjectsWrite => "projects:write",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no scope `{0}`")]
pub struct UnknownScope(pub String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|it| it.as_str() == text)
            .ok_or_else(|| UnknownScope(text.to_owned()))
    }
}

/// A set of scopes, as a bit for each.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ScopeSet(u32);

impl ScopeSet {
    /// No scope.
    pub const NONE: Self = Self(0);

    /// Every scope.
    pub fn all() -> Self {
        Scope::ALL.into_iter().collect()
    }

    /// Whether `scope` is in the set.
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }

    /// The scopes that are in both sets: a key never outranks its maker.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether `other` holds every scope of this set.
    pub fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// The scopes in their fixed order.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |it| self.contains(*it))
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, it| bits | 1 << it as u8))
    }
}

impl fmt::Debug for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Scope::as_str)).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_scope_reads_back_from_its_name() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
        }
    }

    proptest! {
        #[test]
        fn what_two_sets_share_is_in_both(a: u32, b: u32) {
            let (a, b) = (ScopeSet(a & 0x1fff), ScopeSet(b & 0x1fff));
            prop_assert!(a.intersection(b).is_subset(a) && a.intersection(b).is_subset(b));
            prop_assert_eq!(a.iter().collect::<ScopeSet>(), a);
        }
    }
}
