use std::fmt;

use jiff::Timestamp;
use plinth_core::{Classify, ErrorKind, OrgId, ScopeSet, UserId};
use serde_json::{Value, json};

use super::Role;

plinth_core::typed_id! {
    /// Identifies a role that an organization made for itself.
    RoleId, "role"
}

/// A named set of scopes that an organization made for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomRole {
    /// Its id.
    pub id: RoleId,
    /// Whose it is.
    pub org: OrgId,
    /// How people call it; unique in the organization, whatever the case of its letters.
    pub name: RoleName,
    /// What it is for; may be empty.
    pub description: String,
    /// What it allows; never nothing.
    pub scopes: ScopeSet,
    /// Whether `queries:read` covers saved queries only, as it does for viewers.
    pub saved_queries_only: bool,
    /// Who made it.
    pub created_by: UserId,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What somebody asks for when making a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRole {
    /// See [`CustomRole::name`].
    pub name: RoleName,
    /// See [`CustomRole::description`]; at most 500 characters.
    pub description: String,
    /// See [`CustomRole::scopes`].
    pub scopes: ScopeSet,
    /// See [`CustomRole::saved_queries_only`].
    pub saved_queries_only: bool,
}

/// What is to be changed of a role; `None` leaves a thing as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleChange {
    /// See [`CustomRole::name`].
    pub name: Option<RoleName>,
    /// See [`CustomRole::description`]; at most 500 characters.
    pub description: Option<String>,
    /// See [`CustomRole::scopes`].
    pub scopes: Option<ScopeSet>,
    /// See [`CustomRole::saved_queries_only`].
    pub saved_queries_only: Option<bool>,
}

impl RoleChange {
    /// The role as it will be.
    ///
    /// # Errors
    ///
    /// [`InvalidRole`] as for [`NewRole::check`].
    pub fn applied_to(self, role: &CustomRole, at: Timestamp) -> Result<CustomRole, InvalidRole> {
        let new = NewRole {
            name: self.name.unwrap_or_else(|| role.name.clone()),
            description: self.description.unwrap_or_else(|| role.description.clone()),
            scopes: self.scopes.unwrap_or(role.scopes),
            saved_queries_only: self.saved_queries_only.unwrap_or(role.saved_queries_only),
        };
        new.check()?;
        let NewRole { name, description, scopes, saved_queries_only } = new;
        Ok(CustomRole {
            name,
            description,
            scopes,
            saved_queries_only,
            updated_at: at,
            ..role.clone()
        })
    }
}

/// The most characters of a description.
const LONGEST_DESCRIPTION: usize = 500;

impl NewRole {
    /// Checks what cannot be said in types.
    ///
    /// # Errors
    ///
    /// [`InvalidRole`] if there are no scopes or the description is too long.
    pub fn check(&self) -> Result<(), InvalidRole> {
        if self.scopes == ScopeSet::NONE {
            return Err(InvalidRole::Scopes);
        }
        let is_odd = |it: char| it.is_control() && it != '\n' && it != '\t';
        if self.description.chars().count() > LONGEST_DESCRIPTION
            || self.description.chars().any(is_odd)
        {
            return Err(InvalidRole::Description);
        }
        Ok(())
    }
}

/// What a role is called: 1 to 50 characters, no control characters, not the name of a built-in role and not something
/// that could be taken for a role's id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RoleName(String);

impl RoleName {
    /// Parses what a person typed; surrounding space is dropped.
    ///
    /// # Errors
    ///
    /// [`InvalidRole::Name`] if it breaks a rule.
    pub fn parse(text: &str) -> Result<Self, InvalidRole> {
        let text = text.trim();
        let length = text.chars().count();
        let lower = text.to_lowercase();
        let is_taken = Role::ALL.iter().any(|it| it.as_str() == lower)
            || lower == "custom"
            || lower.starts_with("role_");
        if length == 0 || length > 50 || text.chars().any(char::is_control) || is_taken {
            return Err(InvalidRole::Name);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The scopes of these names.
///
/// # Errors
///
/// [`InvalidRole::Scopes`] if one is unknown.
pub fn scope_set(names: &[String]) -> Result<ScopeSet, InvalidRole> {
    names.iter().map(|it| it.parse()).collect::<Result<_, _>>().map_err(|_| InvalidRole::Scopes)
}

/// What is wrong with a role that somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRole {
    /// See [`RoleName`].
    #[error(
        "a role's name has 1 to 50 characters, no control characters, and is neither a built-in role's nor like an id"
    )]
    Name,
    /// See [`NewRole::description`].
    #[error("a role's description has at most 500 characters")]
    Description,
    /// See [`NewRole::scopes`].
    #[error("a role has at least one scope, like `queries:read`, and no unknown ones")]
    Scopes,
}

impl Classify for InvalidRole {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    fn details(&self) -> Option<Value> {
        let field = match self {
            Self::Name => "name",
            Self::Description => "description",
            Self::Scopes => "scopes",
        };
        Some(json!({ field: self.to_string() }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_parsed_name_parses_to_itself(text in "[ a-zA-Zé_0-9\t]{0,60}") {
            if let Ok(name) = RoleName::parse(&text) {
                prop_assert_eq!(RoleName::parse(name.as_str()), Ok(name));
            }
        }
    }

    #[test]
    fn no_role_can_be_taken_for_another() {
        for bad in ["", " ", "Owner", "VIEWER", "custom", "role_018f", "a\nb", &"x".repeat(51)] {
            assert_eq!(RoleName::parse(bad), Err(InvalidRole::Name), "{bad}");
        }
        assert_eq!(RoleName::parse(" Analyst ").expect("good").as_str(), "Analyst");
    }

    #[test]
    fn a_role_allows_something() {
        let name = RoleName::parse("Analyst").expect("good");
        let new = |scopes: &[&str], description: &str| {
            let scopes: Vec<_> = scopes.iter().map(|it| (*it).to_owned()).collect();
            NewRole {
                name: name.clone(),
                description: description.to_owned(),
                scopes: scope_set(&scopes)?,
                saved_queries_only: false,
            }
            .check()
        };
        assert_eq!(new(&["queries:read"], "Asks.\nNothing else."), Ok(()));
        assert_eq!(new(&[], ""), Err(InvalidRole::Scopes));
        assert_eq!(new(&["queries:everything"], ""), Err(InvalidRole::Scopes));
        assert_eq!(new(&["admin"], &"x".repeat(501)), Err(InvalidRole::Description));
        assert_eq!(new(&["admin"], "\0"), Err(InvalidRole::Description));
    }
}
