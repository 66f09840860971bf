//! What people write beside tables and columns: kept by name, so that it outlives every refresh.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use plinth_connections::ConnectionId;
use plinth_core::{Classify, ErrorKind, OrgId, UserId};
use serde_json::{Value, json};

use crate::Catalog;

/// The longest description, in characters.
pub const MAX_DESCRIPTION_CHARS: usize = 2_000;

/// The most synonyms of one table or column.
pub const MAX_SYNONYMS: usize = 20;

/// The longest synonym, in characters.
pub const MAX_SYNONYM_CHARS: usize = 60;

/// What an annotation is about. Names are exactly as Postgres keeps them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnnotationTarget {
    /// The schema's name.
    pub schema: String,
    /// The table's own name.
    pub table: String,
    /// The column's name; `None` for the table itself.
    pub column: Option<String>,
}

impl std::fmt::Display for AnnotationTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)?;
        self.column.as_ref().map_or(Ok(()), |column| write!(f, ".{column}"))
    }
}

/// What somebody wrote: a description, other words for the same, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnotationText {
    description: Option<String>,
    synonyms: Vec<String>,
}

impl AnnotationText {
    /// Checks what a person sent. What stands around texts in white space goes, synonyms that say the same count once.
    ///
    /// # Errors
    ///
    /// [`InvalidAnnotation`] for an empty annotation, or a text that is too long or has control characters.
    pub fn parse(
        description: Option<&str>,
        synonyms: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, InvalidAnnotation> {
        // As long as it was typed: the document can say no other rule.
        if description.is_some_and(|it| it.chars().count() > MAX_DESCRIPTION_CHARS) {
            return Err(InvalidAnnotation::Description);
        }
        let description = description.map(str::trim).map(str::to_owned);
        if let Some(text) = &description {
            let control = |it: char| it.is_control() && !matches!(it, '\n' | '\t');
            if text.is_empty() || text.chars().any(control) {
                return Err(InvalidAnnotation::Description);
            }
        }
        let mut kept: Vec<String> = Vec::new();
        for synonym in synonyms {
            let text = synonym.as_ref().trim();
            let length = text.chars().count();
            let wordless = !text.chars().any(char::is_alphanumeric);
            if wordless || length > MAX_SYNONYM_CHARS || text.chars().any(char::is_control) {
                return Err(InvalidAnnotation::Synonyms);
            }
            if !kept.iter().any(|it| it.to_lowercase() == text.to_lowercase()) {
                kept.push(text.to_owned());
            }
        }
        if kept.len() > MAX_SYNONYMS {
            return Err(InvalidAnnotation::Synonyms);
        }
        if description.is_none() && kept.is_empty() {
            return Err(InvalidAnnotation::Empty);
        }
        Ok(Self { description, synonyms: kept })
    }

    /// What it is, in sentences; 1 to [`MAX_DESCRIPTION_CHARS`] characters.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// What else people call it, at most [`MAX_SYNONYMS`].
    pub fn synonyms(&self) -> &[String] {
        &self.synonyms
    }
}

/// What people wrote about one table or column.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotation {
    /// Whose.
    pub org: OrgId,
    /// Of which connection's schema.
    pub connection: ConnectionId,
    /// About what.
    pub target: AnnotationTarget,
    /// What it says.
    pub text: AnnotationText,
    /// Grows with each change: the number of the change among all changes to the connection's annotations.
    pub version: i64,
    /// Who wrote it last.
    pub updated_by: UserId,
    /// When.
    pub updated_at: Timestamp,
}

/// Everything that people wrote about one connection's schema.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Annotations {
    version: i64,
    tables: BTreeMap<(String, String), TableAnnotations>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct TableAnnotations {
    table: Option<Annotation>,
    columns: BTreeMap<String, Annotation>,
}

impl Annotations {
    /// Puts them together. `version` is the number of the last change to any of them, 0 if there never was one.
    pub fn new(version: i64, all: impl IntoIterator<Item = Annotation>) -> Self {
        let mut tables: BTreeMap<_, TableAnnotations> = BTreeMap::new();
        for it in all {
            let key = (it.target.schema.clone(), it.target.table.clone());
            let of = tables.entry(key).or_default();
            match it.target.column.clone() {
                Some(column) => drop(of.columns.insert(column, it)),
                None => of.table = Some(it),
            }
        }
        Self { version, tables }
    }

    /// The number of the last change: what is computed from annotations is good as long as it stays.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// All of them, sorted by schema, table and column, a table's own first.
    pub fn iter(&self) -> impl Iterator<Item = &Annotation> {
        self.tables.values().flat_map(|it| it.table.iter().chain(it.columns.values()))
    }

    /// What was written about a table itself.
    pub fn table(&self, schema: &str, table: &str) -> Option<&Annotation> {
        self.of(schema, table)?.table.as_ref()
    }

    /// What was written about a column.
    pub fn column(&self, schema: &str, table: &str, column: &str) -> Option<&Annotation> {
        self.of(schema, table)?.columns.get(column)
    }

    fn of(&self, schema: &str, table: &str) -> Option<&TableAnnotations> {
        // Most schemas have none at all; only then is the key worth making.
        if self.tables.is_empty() {
            return None;
        }
        self.tables.get(&(schema.to_owned(), table.to_owned()))
    }

    /// The catalog as whoever reads comments should see it: a description stands before what the database itself says,
    /// and synonyms after it. Copies the catalog only if there is something to write.
    pub fn beside<'a>(&self, catalog: &'a Catalog) -> Cow<'a, Catalog> {
        if self.tables.is_empty() {
            return Cow::Borrowed(catalog);
        }
        let mut catalog = catalog.clone();
        for shared in &mut catalog.relations {
            let Some(of) = self.of(&shared.schema, &shared.name) else { continue };
            let relation = Arc::make_mut(shared);
            if let Some(it) = &of.table {
                relation.comment = Some(together(&it.text, relation.comment.as_deref()));
            }
            for column in &mut relation.columns {
                if let Some(it) = of.columns.get(&column.name) {
                    column.comment = Some(together(&it.text, column.comment.as_deref()));
                }
            }
        }
        Cow::Owned(catalog)
    }
}

fn together(text: &AnnotationText, comment: Option<&str>) -> String {
    let sentence = |it: &str| {
        let it = it.trim();
        if it.ends_with(['.', '!', '?']) { it.to_owned() } else { format!("{it}.") }
    };
    let mut parts: Vec<String> = [text.description(), comment]
        .into_iter()
        .flatten()
        .filter(|it| !it.trim().is_empty())
        .map(sentence)
        .collect();
    parts.dedup();
    if !text.synonyms.is_empty() {
        parts.push(format!("Also called {}.", text.synonyms.join(", ")));
    }
    parts.join(" ")
}

/// Which part of an annotation breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAnnotation {
    /// There is nothing in it.
    #[error("an annotation has a description, synonyms or both")]
    Empty,
    /// Empty, too long, or with control characters.
    #[error("a description has 1 to 2000 characters and no control characters")]
    Description,
    /// Too many, without a letter or digit, too long, or with control characters.
    #[error("at most 20 synonyms, each of 1 to 60 characters with a letter or digit among them")]
    Synonyms,
}

impl Classify for InvalidAnnotation {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    fn details(&self) -> Option<Value> {
        let field = match self {
            Self::Empty | Self::Description => "description",
            Self::Synonyms => "synonyms",
        };
        Some(json!({ field: self.to_string() }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Column, Relation};

    fn annotation(column: Option<&str>, text: AnnotationText) -> Annotation {
        let at = Timestamp::UNIX_EPOCH;
        Annotation {
            org: OrgId::new(at),
            connection: ConnectionId::new(at),
            target: AnnotationTarget {
                schema: "public".to_owned(),
                table: "t".to_owned(),
                column: column.map(str::to_owned),
            },
            text,
            version: 1,
            updated_by: UserId::new(at),
            updated_at: at,
        }
    }

    #[test]
    fn descriptions_stand_before_what_the_database_says() {
        let column = |name: &str, comment: Option<&str>| Column {
            name: name.to_owned(),
            comment: comment.map(str::to_owned),
            ..Column::default()
        };
        let catalog = Catalog {
            relations: vec![
                Relation {
                    schema: "public".to_owned(),
                    name: "t".to_owned(),
                    columns: vec![column("a", Some("Net, in cents")), column("b", None)],
                    ..Relation::default()
                }
                .into(),
            ],
            ..Catalog::default()
        };
        let words = AnnotationText::parse(None, ["turnover", "revenue"]).expect("good");
        let told = AnnotationText::parse(Some("What was paid"), ["x"; 0]).expect("good");
        let all = Annotations::new(2, [annotation(Some("a"), told), annotation(Some("b"), words)]);
        let seen = all.beside(&catalog);
        let comments: Vec<_> =
            seen.relations[0].columns.iter().map(|it| it.comment.as_deref()).collect();
        assert_eq!(
            comments,
            [Some("What was paid. Net, in cents."), Some("Also called turnover, revenue.")]
        );
        assert!(matches!(Annotations::default().beside(&catalog), Cow::Borrowed(_)));
    }

    #[test]
    fn what_breaks_a_rule_is_refused() {
        let none: [&str; 0] = [];
        let parse = AnnotationText::parse;
        assert_eq!(parse(None, none), Err(InvalidAnnotation::Empty));
        assert_eq!(parse(Some("  "), none), Err(InvalidAnnotation::Description));
        assert_eq!(parse(Some("a\0b"), none), Err(InvalidAnnotation::Description));
        assert_eq!(parse(Some(&"é".repeat(2_001)), none), Err(InvalidAnnotation::Description));
        assert!(parse(Some(&"é".repeat(2_000)), none).is_ok());
        assert_eq!(AnnotationText::parse(None, ["--"]), Err(InvalidAnnotation::Synonyms));
        assert_eq!(AnnotationText::parse(None, ["a\nb"]), Err(InvalidAnnotation::Synonyms));
        let many: Vec<String> = (0..21).map(|it| format!("word {it}")).collect();
        assert_eq!(AnnotationText::parse(None, many), Err(InvalidAnnotation::Synonyms));
        let same = AnnotationText::parse(None, ["Sales", " sales "]).expect("good");
        assert_eq!(same.synonyms(), ["Sales"]);
    }

    proptest! {
        #[test]
        fn what_was_parsed_parses_to_itself(text in "\\PC{0,80}", words in proptest::collection::vec("\\PC{0,20}", 0..5)) {
            if let Ok(parsed) = AnnotationText::parse(Some(&text), &words) {
                let again = AnnotationText::parse(parsed.description(), parsed.synonyms());
                prop_assert_eq!(again, Ok(parsed));
            }
        }
    }
}
