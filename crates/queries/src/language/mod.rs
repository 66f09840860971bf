//! The organization's own language for a connection: terms, metrics, and questions with checked SQL.

mod known;
mod ports;
mod service;
mod trying;

use jiff::Timestamp;
pub(crate) use known::Bound;
use plinth_connections::ConnectionId;
use plinth_core::{Classify, ErrorKind, OrgId, UserId};
use plinth_nl2sql::language::{Example, Metric, Term, TermMeaning};
use plinth_schema_introspect::SnapshotId;
pub use ports::{LanguageStore, PutEntryError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
pub use service::{Feedback, FeedbackGiven};
pub(crate) use service::{HELD_LANGUAGES, HeldLanguages};
pub(crate) use trying::Trials;
use uuid::Uuid;

use crate::QueryId;

/// The longest name of a term or metric, in characters.
pub(crate) const MAX_NAME_CHARS: usize = 60;

/// The longest expression or statement, in characters.
pub(crate) const MAX_SQL_CHARS: usize = 20_000;

/// The longest description or comment, in characters.
pub(crate) const MAX_TEXT_CHARS: usize = 2_000;

/// The most synonyms of one entry.
pub(crate) const MAX_SYNONYMS: usize = 20;

/// How many entries of one kind a connection may have.
pub(crate) const MAX_ENTRIES: usize = 500;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// What people call something.
    Term,
    /// What people measure.
    Metric,
    /// A question whose SQL somebody checked.
    Example,
}

impl EntryKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Term, Self::Metric, Self::Example];

    /// Its name in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Term => "term",
            Self::Metric => "metric",
            Self::Example => "example",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Term => "term_",
            Self::Metric => "metric_",
            Self::Example => "ex_",
        }
    }
}

/// Identifies an entry, like `term_018f…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EntryId {
    kind: EntryKind,
    id: Uuid,
}

impl EntryId {
    /// An id that an adapter read back.
    pub fn from_uuid(kind: EntryKind, id: Uuid) -> Self {
        Self { kind, id }
    }

    /// The untyped id, for adapters only.
    pub fn as_uuid(self) -> Uuid {
        self.id
    }

    /// What it is the id of.
    pub fn kind(self) -> EntryKind {
        self.kind
    }

    fn new(kind: EntryKind, at: Timestamp) -> Self {
        // Made like every id of ours.
        Self { kind, id: QueryId::new(at).as_uuid() }
    }
}

impl std::fmt::Display for EntryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.kind.prefix(), self.id.as_simple())
    }
}

impl std::str::FromStr for EntryId {
    type Err = InvalidEntry;

    fn from_str(text: &str) -> Result<Self, InvalidEntry> {
        let found = EntryKind::ALL.into_iter().find_map(|kind| {
            let hex = text.strip_prefix(kind.prefix())?;
            let canonical =
                hex.len() == 32 && hex.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
            let id = canonical.then(|| Uuid::try_parse(hex).ok()).flatten()?;
            Some(Self { kind, id })
        });
        found.ok_or(InvalidEntry { field: "id", rule: "this is not the id of an entry" })
    }
}

/// Whether an entry counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryStatus {
    /// It changes answers.
    Active,
    /// Somebody has to accept it first.
    Candidate,
}

impl EntryStatus {
    /// Its name in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Candidate => "candidate",
        }
    }
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EntryBody {
    /// See [`Term`].
    Term {
        /// What else it is called.
        synonyms: Vec<String>,
        /// `schema.table`.
        table: String,
        /// A column that it means, or of which it means a value.
        column: Option<String>,
        /// The value that it means.
        value: Option<String>,
        /// What holds of the rows that it means.
        predicate: Option<String>,
        /// The number of each row that it means.
        expression: Option<String>,
        /// For people.
        description: Option<String>,
    },
    /// See [`Metric`].
    Metric {
        /// What else it is called.
        synonyms: Vec<String>,
        /// `schema.table`.
        table: String,
        /// An aggregate.
        expression: String,
        /// Which rows count.
        filter: Option<String>,
        /// When a row counts.
        time: Option<String>,
        /// For people.
        description: Option<String>,
    },
    /// See [`Example`]; its question is the entry's name.
    Example {
        /// One SELECT.
        sql: String,
        /// What whoever proposed it said.
        comment: Option<String>,
        /// The query that it came of.
        query: Option<String>,
    },
}

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its id.
    pub id: EntryId,
    /// Whose.
    pub org: OrgId,
    /// For which connection.
    pub connection: ConnectionId,
    /// What it is called; of an example the question.
    pub name: String,
    /// What it says.
    pub body: EntryBody,
    /// Whether it counts.
    pub status: EntryStatus,
    /// Why it does not fit the schema any more; such an entry is not used.
    pub broken: Option<String>,
    /// Against which state of the schema it was last tried.
    pub checked: Option<SnapshotId>,
    /// Grows with each change: the number of the change among all changes to the connection's language.
    pub version: i64,
    /// Who made it.
    pub created_by: UserId,
    /// When.
    pub created_at: Timestamp,
    /// Who changed it last.
    pub updated_by: UserId,
    /// When.
    pub updated_at: Timestamp,
}

/// A rule of entries that what somebody sent breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule}")]
pub struct InvalidEntry {
    /// The field.
    pub field: &'static str,
    /// The rule.
    pub rule: &'static str,
}

impl Classify for InvalidEntry {
    fn kind(&self) -> ErrorKind {
        if self.field == "id" { ErrorKind::NotFound } else { ErrorKind::Invalid }
    }

    fn details(&self) -> Option<Value> {
        (self.field != "id").then(|| json!({ self.field: self.rule }))
    }
}

impl EntryBody {
    /// What it is.
    pub fn kind(&self) -> EntryKind {
        match self {
            Self::Term { .. } => EntryKind::Term,
            Self::Metric { .. } => EntryKind::Metric,
            Self::Example { .. } => EntryKind::Example,
        }
    }

    /// Checks a name and what it is to mean.
    ///
    /// # Errors
    ///
    /// [`InvalidEntry`] with the field and its rule.
    pub fn check(&self, name: &str) -> Result<(), InvalidEntry> {
        let no = |field, rule| Err(InvalidEntry { field, rule });
        let control =
            |text: &str| text.chars().any(|it| it.is_control() && !matches!(it, '\n' | '\t'));
        let worded = |text: &str, most: usize| {
            text.chars().any(char::is_alphanumeric)
                && text.chars().count() <= most
                && !control(text)
        };
        let field = if self.kind() == EntryKind::Example { "question" } else { "name" };
        let most = if field == "question" { crate::MAX_QUESTION_CHARS } else { MAX_NAME_CHARS };
        if !worded(name, most) {
            return no(field, "give it words, at most 60 characters; a question at most 2000");
        }
        let texts: [(&'static str, Option<&String>, usize); 8] = match self {
            Self::Term { table, column, value, predicate, expression, description, .. } => [
                ("table", Some(table), 200),
                ("column", column.as_ref(), 200),
                ("value", value.as_ref(), 200),
                ("predicate", predicate.as_ref(), MAX_SQL_CHARS),
                ("expression", expression.as_ref(), MAX_SQL_CHARS),
                ("description", description.as_ref(), MAX_TEXT_CHARS),
                ("", None, 0),
                ("", None, 0),
            ],
            Self::Metric { table, expression, filter, time, description, .. } => [
                ("table", Some(table), 200),
                ("expression", Some(expression), MAX_SQL_CHARS),
                ("filter", filter.as_ref(), MAX_SQL_CHARS),
                ("time_column", time.as_ref(), MAX_SQL_CHARS),
                ("description", description.as_ref(), MAX_TEXT_CHARS),
                ("", None, 0),
                ("", None, 0),
                ("", None, 0),
            ],
            Self::Example { sql, comment, .. } => [
                ("sql", Some(sql), MAX_SQL_CHARS),
                ("comment", comment.as_ref(), MAX_TEXT_CHARS),
                ("", None, 0),
                ("", None, 0),
                ("", None, 0),
                ("", None, 0),
                ("", None, 0),
                ("", None, 0),
            ],
        };
        for (field, text, most) in texts {
            let Some(text) = text else { continue };
            if text.trim().is_empty() || text.chars().count() > most || control(text) {
                return no(field, "write something, not too long and without control characters");
            }
        }
        let (Self::Term { synonyms, .. } | Self::Metric { synonyms, .. }) = self else {
            return Ok(());
        };
        if synonyms.len() > MAX_SYNONYMS || !synonyms.iter().all(|it| worded(it, MAX_NAME_CHARS)) {
            return no("synonyms", "at most 20, each of words and at most 60 characters");
        }
        if let Self::Term { column, value, predicate, expression, .. } = self {
            let ways = usize::from(column.is_some())
                + usize::from(predicate.is_some())
                + usize::from(expression.is_some());
            if ways > 1 || value.is_some() && column.is_none() {
                return no(
                    "table",
                    "say one thing: a table alone, a column, a column and a value, a predicate, or an expression",
                );
            }
        }
        Ok(())
    }
}

impl Entry {
    /// Whether it changes answers.
    pub(crate) fn counts(&self) -> bool {
        self.status == EntryStatus::Active && self.broken.is_none()
    }

    pub(crate) fn term(&self) -> Option<Term> {
        let EntryBody::Term { synonyms, table, column, value, predicate, expression, .. } =
            &self.body
        else {
            return None;
        };
        let meaning = match (column, value, predicate, expression) {
            (_, _, Some(sql), _) => TermMeaning::Predicate(sql.clone()),
            (_, _, _, Some(sql)) => TermMeaning::Expression(sql.clone()),
            (Some(column), Some(value), ..) => {
                TermMeaning::Value { column: column.clone(), value: value.clone() }
            }
            (Some(column), None, ..) => TermMeaning::Column(column.clone()),
            (None, ..) => TermMeaning::Table,
        };
        let (id, name) = (self.id.to_string(), self.name.clone());
        Some(Term { id, name, synonyms: synonyms.clone(), table: table.clone(), meaning })
    }

    pub(crate) fn metric(&self) -> Option<Metric> {
        let EntryBody::Metric { synonyms, table, expression, filter, time, .. } = &self.body else {
            return None;
        };
        Some(Metric {
            id: self.id.to_string(),
            name: self.name.clone(),
            synonyms: synonyms.clone(),
            table: table.clone(),
            expression: expression.clone(),
            filter: filter.clone(),
            time: time.clone(),
        })
    }

    pub(crate) fn example(&self) -> Option<Example> {
        let EntryBody::Example { sql, .. } = &self.body else { return None };
        Some(Example { id: self.id.to_string(), question: self.name.clone(), sql: sql.clone() })
    }
}

/// Everything that is said over one connection, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Language {
    /// The number of the last change, 0 if there never was one.
    pub version: i64,
    /// All entries, candidates and broken ones too.
    pub entries: Vec<Entry>,
}

impl Language {
    pub(crate) fn terms(&self) -> Vec<Term> {
        self.entries.iter().filter(|it| it.counts()).filter_map(Entry::term).collect()
    }

    pub(crate) fn metrics(&self) -> Vec<Metric> {
        self.entries.iter().filter(|it| it.counts()).filter_map(Entry::metric).collect()
    }

    pub(crate) fn examples(&self) -> Vec<Example> {
        self.entries.iter().filter(|it| it.counts()).filter_map(Entry::example).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(column: Option<&str>, value: Option<&str>, predicate: Option<&str>) -> EntryBody {
        EntryBody::Term {
            synonyms: Vec::new(),
            table: "public.orders".to_owned(),
            column: column.map(str::to_owned),
            value: value.map(str::to_owned),
            predicate: predicate.map(str::to_owned),
            expression: None,
            description: None,
        }
    }

    #[test]
    fn a_term_says_one_thing() {
        assert_eq!(term(None, None, None).check("orders we like"), Ok(()));
        assert_eq!(term(Some("a"), Some("b"), None).check("x"), Ok(()));
        for (body, name, field) in [
            (term(None, Some("b"), None), "x", "table"),
            (term(Some("a"), None, Some("c")), "x", "table"),
            (term(None, None, Some(" ")), "x", "predicate"),
            (term(None, None, None), "--", "name"),
        ] {
            assert_eq!(body.check(name).expect_err("refused").field, field);
        }
    }

    #[test]
    fn ids_tell_what_they_are_of() {
        let id = EntryId::new(EntryKind::Metric, Timestamp::UNIX_EPOCH);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("metric_1".parse::<EntryId>().is_err() && "q_".parse::<EntryId>().is_err());
    }
}
