use std::marker::PhantomData;

use serde_json::{Value, json};

use crate::{Classify, ErrorKind, OrgId, Principal, Scope, UserId};

/// A permission, as a type.
pub trait Permission {
    /// The scope that grants it.
    const SCOPE: Scope;
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident => $scope:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub enum $name {}

        impl Permission for $name {
            const SCOPE: Scope = Scope::$scope;
        }
    )*};
}

permissions! {
    /// See [`Scope::QueriesRead`].
    QueriesRead => QueriesRead,
    /// See [`Scope::QueriesWrite`].
    QueriesWrite => QueriesWrite,
    /// See [`Scope::DashboardsRead`].
    DashboardsRead => DashboardsRead,
    /// See [`Scope::DashboardsWrite`].
    DashboardsWrite => DashboardsWrite,
    /// See [`Scope::WorkflowsRead`].
    WorkflowsRead => WorkflowsRead,
    /// See [`Scope::WorkflowsWrite`].
    WorkflowsWrite => WorkflowsWrite,
    /// See [`Scope::ConnectionsRead`].
    ConnectionsRead => ConnectionsRead,
    /// See [`Scope::ConnectionsWrite`].
    ConnectionsWrite => ConnectionsWrite,
    /// See [`Scope::TeamRead`].
    TeamRead => TeamRead,
    /// See [`Scope::TeamWrite`].
    TeamWrite => TeamWrite,
    /// See [`Scope::ProjectsRead`].
    ProjectsRead => ProjectsRead,
    /// See [`Scope::ProjectsWrite`].
    ProjectsWrite => ProjectsWrite,
    /// See [`Scope::Admin`].
    AdminAll => Admin,
}

/// Proof that a principal holds `P`. A service method that takes one cannot be called without the check.
#[derive(Clone, Debug)]
pub struct Permit<P> {
    principal: Principal,
    permission: PhantomData<P>,
}

impl<P: Permission> Permit<P> {
    /// Checks the principal.
    ///
    /// # Errors
    ///
    /// [`PermitError`] if the scope was not granted.
    pub fn check(principal: &Principal) -> Result<Self, PermitError> {
        if !principal.scopes.contains(P::SCOPE) {
            return Err(PermitError { needed: P::SCOPE });
        }
        Ok(Self { principal: principal.clone(), permission: PhantomData })
    }
}

impl<P> Permit<P> {
    /// The organization whose data may be touched.
    pub fn org(&self) -> OrgId {
        self.principal.org
    }

    /// The person behind the call.
    pub fn user(&self) -> UserId {
        self.principal.user
    }

    /// Everything that is known of the caller.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }
}

/// The caller lacks a scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this needs the scope `{needed}`")]
pub struct PermitError {
    needed: Scope,
}

impl Classify for PermitError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Forbidden
    }

    fn details(&self) -> Option<Value> {
        Some(json!({ "required_scope": self.needed.as_str() }))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::ScopeSet;

    #[test]
    fn a_permit_is_made_only_from_its_own_scope() {
        let at = Timestamp::UNIX_EPOCH;
        let principal = Principal {
            org: OrgId::new(at),
            user: UserId::new(at),
            key: None,
            scopes: ScopeSet::from_iter([Scope::QueriesRead]),
            test_only: false,
            saved_queries_only: false,
        };
        assert!(Permit::<QueriesRead>::check(&principal).is_ok());
        let refused = Permit::<ConnectionsWrite>::check(&principal).expect_err("not granted");
        assert_eq!(refused.to_string(), "this needs the scope `connections:write`");
    }
}
