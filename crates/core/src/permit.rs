use std::marker::PhantomData;

use serde_json::{Value, json};

use crate::{Classify, Credential, ErrorKind, OrgId, Principal, Scope, UserId};

/// A permission, as a type.
pub trait Permission {
    /// Whether the principal has it.
    ///
    /// # Errors
    ///
    /// [`PermitError`], with what is missing.
    fn check(principal: &Principal) -> Result<(), PermitError>;
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident => $scope:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub enum $name {}

        impl Permission for $name {
            fn check(principal: &Principal) -> Result<(), PermitError> {
                let granted = principal.scopes.contains(Scope::$scope);
                granted.then_some(()).ok_or(PermitError::Scope(Scope::$scope))
            }
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

/// Any member of the organization, by any credential: what concerns only the caller.
#[derive(Clone, Copy, Debug)]
pub enum Member {}

impl Permission for Member {
    fn check(_: &Principal) -> Result<(), PermitError> {
        Ok(())
    }
}

/// The organization's owner, signed in: deleting the organization, handing it over. A key that leaked can do neither.
#[derive(Clone, Copy, Debug)]
pub enum Ownership {}

impl Permission for Ownership {
    fn check(principal: &Principal) -> Result<(), PermitError> {
        SignedIn::check(principal)?;
        principal.is_owner.then_some(()).ok_or(PermitError::Owner)
    }
}

/// [`Scope::ProjectsWrite`] for whatever projects the organization has: making, deleting and giving them away is nothing for
/// a key of one project.
#[derive(Clone, Copy, Debug)]
pub enum AllProjects {}

impl Permission for AllProjects {
    fn check(principal: &Principal) -> Result<(), PermitError> {
        ProjectsWrite::check(principal)?;
        principal.project.is_none().then_some(()).ok_or(PermitError::OneProject)
    }
}

/// A person who signed in to Plinth itself: what is theirs in all their organizations, which neither a key of one of
/// them nor an app nor one organization's identity provider may touch.
#[derive(Clone, Copy, Debug)]
pub enum SignedIn {}

impl Permission for SignedIn {
    fn check(principal: &Principal) -> Result<(), PermitError> {
        let signed_in = matches!(principal.credential, Credential::Session(_));
        signed_in.then_some(()).ok_or(PermitError::SignedIn)
    }
}

/// One's own API keys: for who has the scope `admin`, and for who signed in. A key without that scope makes no further
/// keys, so that one that leaked does not outlive its end.
#[derive(Clone, Copy, Debug)]
pub enum OwnKeys {}

impl Permission for OwnKeys {
    fn check(principal: &Principal) -> Result<(), PermitError> {
        // What an app or a provider vouches for can be taken back; a key made by it would stay.
        if matches!(principal.credential, Credential::App { .. } | Credential::Provider(_)) {
            return Err(PermitError::SignedIn);
        }
        AdminAll::check(principal).or_else(|err| SignedIn::check(principal).map_err(|_| err))
    }
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
    /// [`PermitError`] if it was not granted.
    pub fn check(principal: &Principal) -> Result<Self, PermitError> {
        P::check(principal)?;
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

/// What the caller lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PermitError {
    /// A scope.
    #[error("this needs the scope `{0}`")]
    Scope(Scope),
    /// A credential that reaches more than one project.
    #[error("this API key is for one project only; this needs one of the whole organization")]
    OneProject,
    /// Ownership of the organization.
    #[error("only the organization's owner may do this")]
    Owner,
    /// A sign-in: this is about the person, not about one organization.
    #[error("this needs you to be signed in; an API key or an app's token is not enough")]
    SignedIn,
}

impl Classify for PermitError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Forbidden
    }

    fn details(&self) -> Option<Value> {
        Some(match self {
            Self::Scope(scope) => json!({ "required_scope": scope.as_str() }),
            Self::OneProject => json!({ "reason": "one_project_only" }),
            Self::Owner => json!({ "reason": "owner_only" }),
            Self::SignedIn => json!({ "reason": "sign_in_required" }),
        })
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
            credential: Credential::Job,
            scopes: ScopeSet::from_iter([Scope::QueriesRead]),
            is_owner: false,
            project: None,
            origin: std::sync::Arc::default(),
            test_only: false,
            saved_queries_only: false,
        };
        assert!(Permit::<QueriesRead>::check(&principal).is_ok());
        let refused = Permit::<ConnectionsWrite>::check(&principal).expect_err("not granted");
        assert_eq!(refused.to_string(), "this needs the scope `connections:write`");
        assert!(Permit::<Ownership>::check(&principal).is_err());
        assert!(Permit::<SignedIn>::check(&principal).is_err());
        assert!(Permit::<OwnKeys>::check(&principal).is_err());
        let credential = Credential::Session(crate::SessionId::new(at));
        assert!(Permit::<OwnKeys>::check(&Principal { credential, ..principal.clone() }).is_ok());

        let scopes = ScopeSet::from_iter([Scope::ProjectsWrite]);
        let whole = Principal { scopes, ..principal };
        assert!(Permit::<AllProjects>::check(&whole).is_ok());
        let narrow = Principal { project: Some("still-meadow-1".into()), ..whole };
        assert!(Permit::<ProjectsWrite>::check(&narrow).is_ok());
        assert_eq!(Permit::<AllProjects>::check(&narrow).unwrap_err(), PermitError::OneProject);
    }
}
