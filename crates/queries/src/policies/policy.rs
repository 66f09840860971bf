use std::collections::BTreeMap;

use jiff::Timestamp;
use plinth_connections::{ConnectionId, TableName};
use plinth_core::{OrgId, UserId};
use plinth_sql_guard::Mask;
use plinth_tenancy::RoleKey;
use serde_json::{Value, json};

use super::PolicyError;

plinth_core::typed_id! {
    /// Identifies a policy.
    PolicyId, "pol"
}

/// Whom a policy binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Members with one of these roles.
    Roles(Vec<RoleKey>),
    /// Every member but those with one of these roles; also with roles that are made later.
    Except(Vec<RoleKey>),
}

impl Audience {
    /// Whether members with that role are bound.
    pub fn binds(&self, role: RoleKey) -> bool {
        match self {
            Self::Roles(roles) => roles.contains(&role),
            Self::Except(roles) => !roles.contains(&role),
        }
    }

    /// The roles that are named.
    pub fn roles(&self) -> &[RoleKey] {
        match self {
            Self::Roles(roles) | Self::Except(roles) => roles,
        }
    }
}

/// What a policy is called: 1 to 100 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyName(String);

impl PolicyName {
    /// Reads a name.
    ///
    /// # Errors
    ///
    /// [`PolicyError::Invalid`].
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let text = text.trim();
        if text.is_empty() || text.chars().count() > 100 || text.chars().any(char::is_control) {
            return Err(PolicyError::invalid("name", "a name has 1 to 100 characters"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as it is kept.
    pub fn as_string(&self) -> &String {
        &self.0
    }
}

/// How one column is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnMask {
    /// With what.
    pub mask: Mask,
    /// The column's number, which stays when it is renamed; `None` if it was not known.
    pub number: Option<i16>,
}

/// What some roles see of one table.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Its id.
    pub id: PolicyId,
    /// In which organization.
    pub org: OrgId,
    /// Of which connection.
    pub connection: ConnectionId,
    /// What it is called; unique for the connection.
    pub name: PolicyName,
    /// What it is for.
    pub description: Option<String>,
    /// The table, or view, by its name when the policy was written.
    pub table: TableName,
    /// The same by its oid, which stays when it is renamed; `None` if it was not known.
    pub table_oid: Option<u32>,
    /// Whom it binds.
    pub audience: Audience,
    /// Which rows they see, as a condition; `None`: all.
    pub rows: Option<String>,
    /// The columns that they see under a mask, by name.
    pub masks: BTreeMap<String, ColumnMask>,
    /// Whether it holds now.
    pub is_active: bool,
    /// Grows with each change.
    pub revision: i64,
    /// Who wrote it first.
    pub created_by: UserId,
    /// When.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Policy {
    /// What the trail tells of it.
    pub(super) fn told(&self) -> Value {
        let roles: Vec<_> = self.audience.roles().iter().map(ToString::to_string).collect();
        let (roles, except) = match self.audience {
            Audience::Roles(_) => (Some(roles), None),
            Audience::Except(_) => (None, Some(roles)),
        };
        let masks: BTreeMap<_, _> =
            self.masks.iter().map(|(column, it)| (column, mask_json(it.mask))).collect();
        json!({
            "connection": self.connection,
            "name": self.name.as_str(),
            "table": self.table.to_string(),
            "roles": roles,
            "except_roles": except,
            "rows": self.rows,
            "masks": masks,
            "active": self.is_active,
        })
    }
}

/// A mask as it stands in requests, rows and the trail.
pub fn mask_json(mask: Mask) -> Value {
    match mask {
        Mask::Full => json!({ "type": "full" }),
        Mask::Null => json!({ "type": "null" }),
        Mask::Hash => json!({ "type": "hash" }),
        Mask::Partial { keep_last } => json!({ "type": "partial", "keep_last": keep_last }),
    }
}

/// Reads what [`mask_json`] made; `None` for anything else.
pub fn mask_from_json(json: &Value) -> Option<Mask> {
    match json["type"].as_str()? {
        "full" => Some(Mask::Full),
        "null" => Some(Mask::Null),
        "hash" => Some(Mask::Hash),
        "partial" => {
            let keep_last = u8::try_from(json["keep_last"].as_u64()?).ok()?;
            (1..=32).contains(&keep_last).then_some(Mask::Partial { keep_last })
        }
        _ => None,
    }
}

/// A policy to be written.
#[derive(Clone, Debug)]
pub struct PolicyDraft {
    /// What it is called.
    pub name: PolicyName,
    /// What it is for.
    pub description: Option<String>,
    /// The table or view, as `schema.table`.
    pub table: String,
    /// Whom it binds.
    pub audience: Audience,
    /// Which rows they see; `None`: all.
    pub rows: Option<String>,
    /// The columns that they see under a mask.
    pub masks: BTreeMap<String, Mask>,
    /// Whether it holds at once.
    pub is_active: bool,
}

/// What is to be changed of a policy; `None` leaves a thing as it is.
#[derive(Clone, Debug, Default)]
pub struct PolicyChange {
    /// What it is called.
    pub name: Option<PolicyName>,
    /// What it is for; the inner `None` takes it away.
    pub description: Option<Option<String>>,
    /// Whom it binds.
    pub audience: Option<Audience>,
    /// Which rows they see; the inner `None`: all.
    pub rows: Option<Option<String>>,
    /// All the columns that they see under a mask.
    pub masks: Option<BTreeMap<String, Mask>>,
    /// Whether it holds.
    pub is_active: Option<bool>,
}
