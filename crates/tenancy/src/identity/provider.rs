use jiff::Timestamp;
use plinth_core::{Classify, ErrorKind, OrgId, ProviderId};
use serde_json::{Value, json};

use crate::{Role, RoleKey};

/// An outside identity provider whose tokens an organization takes. They are good in that organization only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityProvider {
    /// Its id.
    pub id: ProviderId,
    /// Whose it is.
    pub org: OrgId,
    /// How people call it.
    pub name: String,
    /// The `iss` of its tokens, letter for letter.
    pub issuer: String,
    /// Where its keys are.
    pub jwks_url: String,
    /// What has to stand in its tokens' `aud`: a token for another service is none for us.
    pub audience: String,
    /// Which claim has a person's address; dots go down into objects.
    pub email_claim: String,
    /// Which claim has the names of a person's groups.
    pub groups_claim: String,
    /// What the members of a group are. Who is in several is what the first of them says.
    pub group_roles: Vec<(String, RoleKey)>,
    /// What somebody in none of these groups is; `None` keeps them out.
    pub default_role: Option<RoleKey>,
    /// Whether its tokens are taken now.
    pub is_active: bool,
    /// When it was added.
    pub created_at: Timestamp,
}

/// What an organization says of a provider.
#[derive(Clone, Debug)]
pub struct NewProvider {
    /// See [`IdentityProvider::name`].
    pub name: String,
    /// See [`IdentityProvider::issuer`].
    pub issuer: String,
    /// See [`IdentityProvider::jwks_url`].
    pub jwks_url: String,
    /// See [`IdentityProvider::audience`].
    pub audience: String,
    /// See [`IdentityProvider::email_claim`].
    pub email_claim: String,
    /// See [`IdentityProvider::groups_claim`].
    pub groups_claim: String,
    /// See [`IdentityProvider::group_roles`].
    pub group_roles: Vec<(String, RoleKey)>,
    /// See [`IdentityProvider::default_role`].
    pub default_role: Option<RoleKey>,
    /// See [`IdentityProvider::is_active`].
    pub is_active: bool,
}

/// The most groups that a provider's settings name.
const GROUPS_AT_MOST: usize = 200;

impl NewProvider {
    /// Checks what was typed.
    ///
    /// # Errors
    ///
    /// [`InvalidProvider`], naming the field.
    pub fn check(&self) -> Result<(), InvalidProvider> {
        let wrong = |field, rule| Err(InvalidProvider { field, rule });
        let is_plain = |text: &str, most: usize| {
            let length = text.chars().count();
            (1..=most).contains(&length) && !text.chars().any(char::is_control)
        };
        if !is_plain(self.name.trim(), 100) {
            return wrong("name", "must have 1 to 100 characters and no control characters");
        }
        for (field, url) in [("issuer", &self.issuer), ("jwks_url", &self.jwks_url)] {
            if !is_plain(url, 500) || !url.starts_with("https://") || url.contains(['#', '@', ' '])
            {
                return wrong(
                    field,
                    "must be an https URL without user name, password and fragment",
                );
            }
        }
        if !is_plain(&self.audience, 255) {
            return wrong(
                "audience",
                "must be what the provider writes into `aud`: 1 to 255 characters",
            );
        }
        for (field, claim) in
            [("email_claim", &self.email_claim), ("groups_claim", &self.groups_claim)]
        {
            if !is_plain(claim, 255) {
                return wrong(field, "must be the name of a claim: 1 to 255 characters");
            }
        }
        if self.group_roles.len() > GROUPS_AT_MOST
            || self.group_roles.iter().any(|(group, _)| !is_plain(group, 255))
        {
            return wrong(
                "group_roles",
                "must name at most 200 groups, each with 1 to 255 characters",
            );
        }
        if self.roles().any(|it| it == RoleKey::BuiltIn(Role::Owner)) {
            return wrong(
                "group_roles",
                "cannot make anybody the owner; that is handed over in person",
            );
        }
        Ok(())
    }

    /// Every role that the settings name.
    pub(super) fn roles(&self) -> impl Iterator<Item = RoleKey> {
        self.group_roles.iter().map(|(_, role)| *role).chain(self.default_role)
    }
}

impl IdentityProvider {
    /// What somebody in these groups is; `None` keeps them out.
    pub(super) fn role_of(&self, groups: &[String]) -> Option<RoleKey> {
        let mapped = self.group_roles.iter().find(|(group, _)| groups.contains(group));
        mapped.map(|(_, role)| *role).or(self.default_role)
    }
}

/// Settings that break a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {rule}")]
pub struct InvalidProvider {
    /// The field of the request.
    pub field: &'static str,
    /// What it has to be.
    pub rule: &'static str,
}

impl Classify for InvalidProvider {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    fn details(&self) -> Option<Value> {
        Some(json!({ self.field: self.rule }))
    }
}
