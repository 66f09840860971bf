//! What people wrote about tables and columns, as further ways to say them.

use plinth_connections::AllowedTables;
use plinth_schema_introspect::{AnnotationText, Annotations, Catalog};

use super::{SchemaIndex, comment_words};
use crate::lexicon::LEXICON;
use crate::token::normalized;

/// Whoever gives a synonym means it; the name itself still comes first.
const SYNONYM: f64 = 0.98;

/// As good as a comment of the database.
const TABLE_DESCRIPTION: f64 = 0.85;
const COLUMN_DESCRIPTION: f64 = 0.8;

impl SchemaIndex {
    /// Builds the index of what of that catalog may be asked about, with what people wrote about it.
    pub fn annotated(
        catalog: &Catalog,
        allowed: &AllowedTables,
        annotations: &Annotations,
    ) -> Self {
        let mut index = Self::build(catalog, allowed);
        if !annotations.is_empty() {
            if let Some(base) = &mut index.base {
                base.annotate(annotations);
            }
            index.annotate(annotations);
        }
        index
    }

    fn annotate(&mut self, annotations: &Annotations) {
        for at in 0..self.tables.len() {
            let table = &self.tables[at];
            if let Some(it) = annotations.table(&table.schema, &table.name) {
                self.annotate_table(at, &it.text);
            }
            for column in 0..self.tables[at].columns.len() {
                let table = &self.tables[at];
                let name = &table.columns[column].name;
                if let Some(it) = annotations.column(&table.schema, &table.name, name) {
                    self.annotate_column(at, column, &it.text);
                }
            }
        }
    }

    fn annotate_table(&mut self, table: usize, text: &AnnotationText) {
        for synonym in text.synonyms() {
            self.add_name(table, None, &said(synonym), SYNONYM, false);
        }
        let Some(description) = text.description() else { return };
        let words = comment_words(description);
        if words.len() <= 3 {
            self.add_name(table, None, &words, TABLE_DESCRIPTION, false);
        }
        // Rules like `revenue is price * quantity` are read from comments, sentence by sentence.
        let comment = &mut self.tables[table].comment;
        *comment = Some(match comment.take() {
            Some(comment) => format!("{description}; {comment}"),
            None => description.to_owned(),
        });
    }

    fn annotate_column(&mut self, table: usize, column: usize, text: &AnnotationText) {
        for synonym in text.synonyms() {
            let words = said(synonym);
            self.add_name(table, Some(column), &words, SYNONYM, false);
            let of_table: Vec<String> =
                self.tables[table].words.iter().chain(&words).cloned().collect();
            self.add_name(table, Some(column), &of_table, SYNONYM, true);
        }
        if let Some(description) = text.description() {
            let comment = &mut self.tables[table].columns[column].comment;
            *comment = Some(match comment.take() {
                Some(comment) => format!("{}. {comment}", description.trim_end_matches('.')),
                None => description.to_owned(),
            });
        }
        let words = text.description().map(comment_words).unwrap_or_default();
        if words.len() <= 6 {
            self.add_name(table, Some(column), &words, COLUMN_DESCRIPTION, false);
        }
    }
}

/// The words of a synonym in their base form; all of them, where it has no others than such that say nothing.
fn said(synonym: &str) -> Vec<String> {
    let normal = normalized(synonym);
    let words = || normal.split(' ').filter(|it| !it.is_empty());
    let telling: Vec<String> =
        words().filter(|it| !LEXICON.is_stop(it)).map(|it| LEXICON.lemma(it)).collect();
    if telling.is_empty() { words().map(str::to_owned).collect() } else { telling }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use plinth_connections::ConnectionId;
    use plinth_core::{OrgId, UserId};
    use plinth_schema_introspect::{Annotation, AnnotationTarget, Column, Relation};

    use super::*;

    #[test]
    fn synonyms_are_further_names_and_leave_the_others_as_they_are() {
        let column = Column { name: "total".to_owned(), readable: true, ..Column::default() };
        let orders = Relation {
            schema: "public".to_owned(),
            name: "orders".to_owned(),
            readable: true,
            columns: vec![column],
            ..Relation::default()
        };
        let catalog = Catalog { relations: vec![Arc::new(orders)], ..Catalog::default() };
        let at = Timestamp::UNIX_EPOCH;
        let about = |column: Option<&str>, synonym: &str| Annotation {
            org: OrgId::new(at),
            connection: ConnectionId::new(at),
            target: AnnotationTarget {
                schema: "public".to_owned(),
                table: "orders".to_owned(),
                column: column.map(str::to_owned),
            },
            text: AnnotationText::parse(Some("Kept by hand."), [synonym]).expect("good"),
            version: 1,
            updated_by: UserId::new(at),
            updated_at: at,
        };
        let annotations =
            Annotations::new(1, [about(None, "the purchases"), about(Some("total"), "turnover")]);
        let all = AllowedTables::All;
        let plain = SchemaIndex::build(&catalog, &all);
        let annotated = SchemaIndex::annotated(&catalog, &all, &annotations);
        let said = |index: &SchemaIndex, word: &str, column: Option<usize>| {
            let all = &index.vocabulary;
            let words = |it| all.words(it).iter().any(|it| all.text(it.lemma) == word);
            all.names().any(|it| it.column() == column && words(it))
        };
        assert!(said(&annotated, "purchase", None) && said(&annotated, "turnover", Some(0)));
        assert!(!said(&plain, "purchase", None) && !said(&plain, "turnover", Some(0)));
        assert!(annotated.vocabulary.len() > plain.vocabulary.len());
        for (before, after) in plain.vocabulary.names().zip(annotated.vocabulary.names()) {
            assert_eq!(format!("{before:?}"), format!("{after:?}"), "the first ones stay");
        }
        assert_eq!(annotated.tables[0].comment.as_deref(), Some("Kept by hand."));
        let none = SchemaIndex::annotated(&catalog, &all, &Annotations::default());
        assert_eq!(none.vocabulary.len(), plain.vocabulary.len());
    }
}
