use std::fmt;
use std::str::FromStr;

use plinth_core::{Scope, ScopeSet};

/// What a member is in an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Sees dashboards and runs saved queries.
    Viewer,
    /// Makes queries, dashboards and workflows.
    Editor,
    /// Everything but deleting the organization and billing.
    Admin,
    /// Everything; one in each organization.
    Owner,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Editor, Self::Admin, Self::Owner];

    /// Its name in requests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// What it allows.
    pub fn scopes(self) -> ScopeSet {
        use Scope::{
            ConnectionsRead, DashboardsRead, DashboardsWrite, QueriesRead, QueriesWrite,
            WorkflowsRead, WorkflowsWrite,
        };
        match self {
            Self::Viewer => ScopeSet::from_iter([QueriesRead, DashboardsRead]),
            Self::Editor => ScopeSet::from_iter([
                QueriesRead,
                QueriesWrite,
                DashboardsRead,
                DashboardsWrite,
                WorkflowsRead,
                WorkflowsWrite,
                // Who asks questions has to see what can be asked about.
                ConnectionsRead,
            ]),
            Self::Admin | Self::Owner => ScopeSet::all(),
        }
    }

    /// Whether reading queries means saved ones only.
    pub fn saved_queries_only(self) -> bool {
        self == Self::Viewer
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no role `{0}`; use admin, editor, viewer, or the id of one of your own")]
pub struct UnknownRole(pub String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|it| it.as_str() == text)
            .ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_can_do_all_that_the_one_below_can() {
        for pair in Role::ALL.windows(2) {
            assert!(pair[0].scopes().is_subset(pair[1].scopes()), "{} < {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn the_contracts_table_of_permissions_holds() {
        let may = |role: Role, scope| role.scopes().contains(scope);
        for role in [Role::Owner, Role::Admin] {
            assert!(
                may(role, Scope::ConnectionsWrite)
                    && may(role, Scope::TeamWrite)
                    && may(role, Scope::Admin)
            );
        }
        for role in [Role::Editor, Role::Viewer] {
            assert!(
                !may(role, Scope::ConnectionsWrite)
                    && !may(role, Scope::TeamWrite)
                    && !may(role, Scope::Admin)
            );
        }
        assert!(may(Role::Editor, Scope::QueriesWrite) && !may(Role::Viewer, Scope::QueriesWrite));
        assert!(may(Role::Viewer, Scope::DashboardsRead) && may(Role::Viewer, Scope::QueriesRead));
    }
}
