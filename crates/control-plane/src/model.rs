use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use plinth_connections::Sealed;
use plinth_core::{OrgId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{BackupItem, BranchId, EndpointId, OfferedLibrary, ProjectId};

/// A project: branches of one Postgres installation, with settings in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// To whom it belongs.
    pub org: OrgId,
    /// Which node has its files and processes.
    pub node: String,
    /// What people call it; need not be unique.
    pub name: String,
    /// The major version of Postgres.
    pub pg_version: i32,
    /// For how long states of the past can be gone back to.
    pub history_retention_seconds: i32,
    /// Whether roles' passwords can be read again.
    pub store_passwords: bool,
    /// What new endpoints get, in the API's own form.
    pub default_endpoint_settings: Value,
    /// Other settings, in the API's own form.
    pub settings: Value,
    /// Of the organization's own database: which team its table of users was last made to show, empty before; `None` for
    /// all other projects.
    pub own_team: Option<String>,
    /// Where the tokens of its applications are verified by, oldest first.
    pub key_sets: Vec<KeySetRecord>,
    /// A number of its own, from which the node makes the system's user that its processes run as.
    pub number: i64,
    /// Counts changes of anything in the project.
    pub revision: i64,
    /// Who made it.
    pub created_by: UserId,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
    /// Whether it is kept for a while after it was deleted.
    pub recoverable: bool,
}

/// Where tokens of a project's applications are verified by. It is kept and told; no server here takes such tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySetRecord {
    /// Its id.
    pub id: Uuid,
    /// For which branch; `None` for all.
    pub branch: Option<BranchId>,
    /// Where the keys are.
    pub url: String,
    /// What people call who issues the tokens.
    pub provider: String,
    /// For whom the tokens must be; `None` for anybody.
    pub audience: Option<String>,
    /// As which roles they let somebody in; empty where nobody said.
    pub roles: Vec<SqlName>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Somebody of the team, as the organization's own database shows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Their id.
    pub id: Uuid,
    /// Their address.
    pub email: String,
    /// What they are in the organization.
    pub role: String,
    /// When they joined it.
    pub joined_at: Timestamp,
}

/// How far a branch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BranchState {
    /// It is being made.
    Init,
    /// It is being set back.
    Resetting,
    /// It can be used.
    Ready,
    /// It is put away.
    Archived,
}

/// How far an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointState {
    /// It is being made.
    Init,
    /// Its Postgres runs.
    Active,
    /// Its Postgres does not run; the first connection starts it.
    Idle,
}

/// What an endpoint may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointKind {
    /// Reads and writes: one a branch.
    ReadWrite,
    /// Reads only.
    ReadOnly,
}

/// How a branch's files were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StorageMethod {
    /// Blocks are shared with where it came from until they change.
    Reflink,
    /// Every block was copied.
    Copy,
}

macro_rules! names {
    ($($type:ident { $($variant:ident => $name:literal),* $(,)? })*) => {$(
        impl $type {
            /// Its name in rows and answers.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                match text { $($name => Ok(Self::$variant),)* _ => Err(InvalidName("it is not one of those that there are")) }
            }
        }
    )*};
}

names! {
    BranchState { Init => "init", Resetting => "resetting", Ready => "ready", Archived => "archived" }
    EndpointState { Init => "init", Active => "active", Idle => "idle" }
    EndpointKind { ReadWrite => "read_write", ReadOnly => "read_only" }
    StorageMethod { Reflink => "reflink", Copy => "copy" }
}

/// A branch: one data directory.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each says something of its own, as in the API")]
pub struct Branch {
    /// Its id.
    pub id: BranchId,
    /// Its project.
    pub project: ProjectId,
    /// What it was made from; `None` for a root.
    pub parent: Option<BranchId>,
    /// Where in the parent's history it begins.
    pub parent_lsn: Option<Lsn>,
    /// When in the parent's history it begins.
    pub parent_timestamp: Option<Timestamp>,
    /// Whether it was made with another's roles, databases and definitions, and none of its rows; such a one is a root.
    pub schema_only: bool,
    /// Unique in the project.
    pub name: String,
    /// Whether it is the one to use when nobody says which: exactly one is.
    pub is_default: bool,
    /// Whether it refuses to be deleted and set back.
    pub protected: bool,
    /// How far it is.
    pub state: BranchState,
    /// What it is becoming.
    pub pending: Option<BranchState>,
    /// Since when.
    pub state_changed_at: Timestamp,
    /// How its files were made; `None` before they are.
    pub storage: Option<StorageMethod>,
    /// The size of its files when they were last looked at, in bytes.
    pub logical_size: Option<i64>,
    /// Who made it.
    pub created_by: UserId,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it is deleted by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was last set back.
    pub last_reset_at: Option<Timestamp>,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
    /// Whether it is kept for a while after it was deleted.
    pub recoverable: bool,
    /// The snapshot whose state it was made with.
    pub restored_from: Option<BranchId>,
    /// In whose place it is to come, or came, with that state.
    pub restored_as: Option<BranchId>,
    /// Whether it has taken that place.
    pub restore_finalized: bool,
    /// When snapshots of it are taken by themselves.
    pub backups: Vec<BackupItem>,
    /// When the next one is due.
    pub backup_due_at: Option<Timestamp>,
}

impl Branch {
    /// A branch that is to be made: without a parent, and nothing special about it.
    pub fn new(
        id: BranchId,
        project: ProjectId,
        name: String,
        created_by: UserId,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            project,
            parent: None,
            parent_lsn: None,
            parent_timestamp: None,
            schema_only: false,
            name,
            is_default: false,
            protected: false,
            state: BranchState::Init,
            pending: Some(BranchState::Ready),
            state_changed_at: now,
            storage: None,
            logical_size: None,
            created_by,
            created_at: now,
            updated_at: now,
            expires_at: None,
            last_reset_at: None,
            deleted_at: None,
            recoverable: true,
            restored_from: None,
            restored_as: None,
            restore_finalized: false,
            backups: Vec::new(),
            backup_due_at: None,
        }
    }
}

/// The state of a branch at a moment, kept until somebody deletes it: also when the branch is gone.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Its files, kept like those of a branch on which nothing runs. Its parent is the branch that it is of.
    pub files: Branch,
    /// What people call it; need not be unique.
    pub name: String,
    /// Whether somebody took it, and not a schedule.
    pub manual: bool,
}

/// How much of the machine an endpoint may use, in units of one core and 4 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Computes {
    /// At least.
    pub min: f64,
    /// At most.
    pub max: f64,
}

impl Default for Computes {
    fn default() -> Self {
        Self { min: 0.25, max: 2.0 }
    }
}

/// An endpoint: a port that is open as long as the endpoint exists, and a Postgres behind it that comes and goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// Its project.
    pub project: ProjectId,
    /// The branch that it leads to.
    pub branch: BranchId,
    /// What may be done through it.
    pub kind: EndpointKind,
    /// A name that people gave it.
    pub name: Option<String>,
    /// The TCP port.
    pub port: u16,
    /// Whether the next port leads to it through a pooler.
    pub pooled: bool,
    /// `pg_settings` and the like, in the API's own form.
    pub settings: Value,
    /// Its share of the machine.
    pub computes: Computes,
    /// After how many seconds without activity it is suspended: 0 for the usual 300, −1 for never.
    pub suspend_timeout_seconds: i64,
    /// Whether connections are refused.
    pub disabled: bool,
    /// How far it is.
    pub state: EndpointState,
    /// What it is becoming.
    pub pending: Option<EndpointState>,
    /// When it was last used.
    pub last_active: Option<Timestamp>,
    /// When its Postgres last started.
    pub started_at: Option<Timestamp>,
    /// When it was last suspended.
    pub suspended_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
}

impl Endpoint {
    /// The port that leads to it through a pooler, if there is one.
    pub fn pooled_port(&self) -> Option<u16> {
        self.pooled.then(|| self.port + 1)
    }
}

/// A role of a branch that somebody can log in as.
#[derive(Clone, Debug, PartialEq)]
pub struct Role {
    /// Where its password is sealed for.
    pub id: Uuid,
    /// Its branch.
    pub branch: BranchId,
    /// Its name, unique in the branch.
    pub name: SqlName,
    /// Its sealed password; `None` if it cannot log in.
    pub password: Option<Sealed>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A database of a branch.
#[derive(Clone, Debug, PartialEq)]
pub struct Database {
    /// Its number in the API; 0 before it has one.
    pub id: i64,
    /// Its branch.
    pub branch: BranchId,
    /// Its name, unique in the branch.
    pub name: SqlName,
    /// The role that owns it.
    pub owner: SqlName,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A name that breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this name cannot be used: {0}")]
pub struct InvalidName(pub &'static str);

/// The name of a role or database as Postgres takes it whole: 1 to 63 bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SqlName(String);

impl SqlName {
    /// Reads a role's name.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] for names that Postgres or Plinth keeps for itself.
    pub fn role(text: &str) -> Result<Self, InvalidName> {
        let name = Self::parse(text)?;
        if text.starts_with("pg_") || ["postgres", "public", "none", "plinth"].contains(&text) {
            return Err(InvalidName("it is kept for the system"));
        }
        Ok(name)
    }

    /// Reads a database's name.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] for names that Postgres keeps for itself.
    pub fn database(text: &str) -> Result<Self, InvalidName> {
        let name = Self::parse(text)?;
        if ["postgres", "template0", "template1"].contains(&text) {
            return Err(InvalidName("it is kept for the system"));
        }
        Ok(name)
    }

    fn parse(text: &str) -> Result<Self, InvalidName> {
        if !(1..=63).contains(&text.len()) {
            return Err(InvalidName("names have 1 to 63 bytes"));
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidName("names have no control characters"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as an SQL identifier.
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0.replace('"', "\"\""))
    }
}

impl TryFrom<String> for SqlName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::parse(&text)
    }
}

impl From<SqlName> for String {
    fn from(name: SqlName) -> Self {
        name.0
    }
}

impl fmt::Display for SqlName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in a server's write-ahead log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Lsn(pub u64);

impl FromStr for Lsn {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let wrong = InvalidName("an LSN is like 0/1A2B3C4D");
        let (high, low) = text.split_once('/').ok_or(wrong)?;
        let part = |it: &str| {
            let fits = (1..=8).contains(&it.len()) && it.bytes().all(|b| b.is_ascii_hexdigit());
            u64::from_str_radix(it, 16).ok().filter(|_| fits).ok_or(wrong)
        };
        Ok(Self(part(high)? << 32 | part(low)?))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

impl TryFrom<String> for Lsn {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<Lsn> for String {
    fn from(lsn: Lsn) -> Self {
        lsn.to_string()
    }
}

/// A moment in a branch's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// Now.
    Head,
    /// Everything up to this place in the log.
    Lsn(Lsn),
    /// Everything that was committed by then.
    Time(Timestamp),
}

/// A node as the servers know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Its name.
    pub name: String,
    /// The name or address under which its endpoints are reached.
    pub host: String,
    /// The first of the ports that endpoints get.
    pub first_port: u16,
    /// The last of them.
    pub last_port: u16,
    /// The major version of its Postgres.
    pub pg_version: i32,
    /// What it can do beside running Postgres.
    pub offers: NodeOffers,
}

/// What a node can do beside running Postgres. An older one says nothing of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeOffers {
    /// The libraries that its servers can load at their start.
    pub libraries: Vec<OfferedLibrary>,
    /// Whether endpoints can have a pooler.
    pub pooler: bool,
    /// Whether servers are held to their endpoints' compute units.
    pub limits: bool,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_lsn_reads_back(number: u64) {
            prop_assert_eq!(Lsn(number).to_string().parse(), Ok(Lsn(number)));
        }

        #[test]
        fn a_quoted_name_is_one_identifier(text in "[^\\p{Cc}]{1,15}") {
            let quoted = SqlName::role(&text).map(|it| it.quoted());
            if let Ok(quoted) = quoted {
                let inner = &quoted[1..quoted.len() - 1];
                prop_assert_eq!(inner.replace("\"\"", ""), text.replace('"', ""));
            }
        }
    }

    #[test]
    fn names_of_the_system_are_kept() {
        for name in ["postgres", "pg_execute_server_program", "public", "", "a\nb", &"x".repeat(64)]
        {
            assert!(SqlName::role(name).is_err(), "{name}");
        }
        assert!(SqlName::database("template1").is_err());
        assert!(SqlName::database("Kunden & Co").is_ok());
    }

    #[test]
    fn an_lsn_that_is_none_is_refused() {
        for text in ["", "0", "0/", "/1", "g/1", "0/123456789", "+1/1"] {
            assert!(text.parse::<Lsn>().is_err(), "{text}");
        }
    }
}
