//! Queries that somebody saved: under a name, for themselves or for all, with parameters and versions.
//!
//! A saved query is an entry of the history that has a [`Definition`] beside it. Its statement has `{{ name }}` where values
//! of parameters stand; they become numbered parameters ([`Template`]) and are bound, whoever runs it.
//!
//! **Invariant:** a version never changes. What runs is the newest one; a run says which it was.

mod choices;
mod parameter;
mod ports;
mod run;
mod service;
mod template;
mod versions;

use jiff::Timestamp;
use plinth_connections::ConnectionId;
use plinth_core::UserId;
use serde::{Deserialize, Serialize};

pub use self::choices::{Choice, Choices};
pub(crate) use self::parameter::for_planning;
pub use self::parameter::{Parameter, ParameterKind};
pub use self::ports::SavedStore;
pub use self::run::{RunAgain, SavedColumn, SavedResult, SavedRun};
pub(crate) use self::service::Changing;
pub(crate) use self::template::Template;

use crate::QueryId;
use crate::repairs::RepairId;

/// The longest time for which an answer may be kept, in seconds: a day.
pub const MAX_AGE_SECONDS: u32 = 86_400;

/// The longest statement that is saved, in bytes.
pub(crate) const MAX_SQL_BYTES: usize = 65_536;

/// For whom a query is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// For whoever saved it.
    Private,
    /// For everybody in the organization.
    #[default]
    Organization,
}

impl Visibility {
    /// Its name in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Organization => "organization",
        }
    }
}

/// What belongs to a query that somebody saved. Of an entry that nobody did it is [`Definition::default`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definition {
    /// Whose it is; `None` if nobody saved it.
    pub owner: Option<UserId>,
    /// For whom it is there.
    pub visibility: Visibility,
    /// What it is run with.
    pub parameters: Vec<Parameter>,
    /// How old an answer may be unless the caller says otherwise, in seconds; `None`: it is run each time.
    pub max_age_seconds: Option<u32>,
    /// The newest version's number, from 1; 0 if nobody saved it.
    pub version: u32,
    /// Counts the changes.
    pub revision: i64,
    /// When it was last changed.
    pub updated_at: Option<Timestamp>,
}

/// A saved query's statement and parameters as they once were.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// Of which query.
    pub query: QueryId,
    /// Its number, from 1.
    pub number: u32,
    /// The statement, with `{{ name }}` where parameters stand.
    pub sql: String,
    /// What it is run with.
    pub parameters: Vec<Parameter>,
    /// The version that it is again; `None` if somebody wrote it.
    pub restored_from: Option<u32>,
    /// As which repair of an earlier version it was made; `None` if somebody wrote it.
    pub repair: Option<VersionRepair>,
    /// Who made it.
    pub made_by: UserId,
    /// When.
    pub made_at: Timestamp,
}

/// How a version came out of an earlier one that a change of the schema broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRepair {
    /// The repair.
    pub repair: RepairId,
    /// The version that it mends.
    pub of: u32,
    /// Whether it only gives names to what the database shows to be the same things. Then it says what that version said, and
    /// whoever stands for that one stands for it.
    pub is_certain: bool,
    /// Whether nobody had a hand in it.
    pub by_itself: bool,
    /// What had changed, for people.
    pub reason: String,
}

/// Of what an entry of the history is a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunOf {
    /// The saved query.
    pub query: QueryId,
    /// Which version of it ran.
    pub version: u32,
}

/// As what a query is saved; `None` leaves a thing as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SaveChange {
    /// Whether it is saved at all.
    pub saved: Option<bool>,
    /// What it is called; the inner `None` takes the name away.
    pub name: Option<Option<String>>,
    /// What it is for; the inner `None` takes it away.
    pub description: Option<Option<String>>,
    /// What it is filed under.
    pub tags: Option<Vec<String>>,
    /// For whom it is there.
    pub visibility: Option<Visibility>,
    /// The statement. It has to be saved.
    pub sql: Option<String>,
    /// What it is run with. It has to be saved.
    pub parameters: Option<Vec<Parameter>>,
    /// How old an answer may be, in seconds; the inner `None`: it is run each time.
    pub max_age_seconds: Option<Option<u32>>,
}

/// A statement that somebody saves without having run it.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSaved {
    /// Over which database.
    pub connection: ConnectionId,
    /// The statement, with `{{ name }}` where parameters stand.
    pub sql: String,
    /// What it is run with.
    pub parameters: Vec<Parameter>,
    /// What it is called.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// What it is filed under.
    pub tags: Vec<String>,
    /// For whom it is there.
    pub visibility: Visibility,
    /// How old an answer may be, in seconds; `None`: it is run each time.
    pub max_age_seconds: Option<u32>,
}
