//! Names of what is there but not for the caller: known only so that "no access" is not told as "no such thing".

use std::collections::HashSet;

use plinth_connections::AllowedTables;
use plinth_schema_introspect::Catalog;

use super::SchemaIndex;
use crate::{lexicon::LEXICON, names, token::Token};

/// The most words of a name that is looked for.
const WORDS: usize = 6;

impl SchemaIndex {
    /// Notes the names of relations and columns that exist, but which the role may not read or the list does not allow.
    pub(super) fn conceal(&mut self, catalog: &Catalog, allowed: &AllowedTables) {
        let known = HashSet::new();
        let said = |name: &str| {
            let words = names::split(name, &known);
            words.iter().map(|it| LEXICON.lemma(it)).collect::<Vec<_>>().join(" ")
        };
        let shown: HashSet<String> = self
            .vocabulary
            .names()
            .map(|it| {
                let words = self.vocabulary.words(it).iter();
                words.map(|it| self.vocabulary.text(it.lemma)).collect::<Vec<_>>().join(" ")
            })
            .collect();
        for relation in &catalog.relations {
            let is_shown = relation.readable
                && relation.partition_of.is_none()
                && allowed.allows(&relation.schema, &relation.name);
            // a partition stands behind its parent
            if !is_shown && relation.partition_of.is_none() {
                self.concealed.insert(said(&relation.name));
            }
            // columns of what is hidden are told by nothing but its name
            let columns = relation.columns.iter().filter(|it| is_shown && !it.readable);
            self.concealed.extend(columns.map(|it| said(&it.name)));
        }
        self.concealed.retain(|it| it.len() > 2 && !shown.contains(it));
    }

    /// The words of a question that name something hidden, as the caller wrote them.
    pub(crate) fn concealed_in(&self, tokens: &[Token]) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        if self.concealed.is_empty() {
            return found;
        }
        let mut at = 0;
        while at < tokens.len() {
            let reach = (at + WORDS).min(tokens.len());
            let end = (at + 1..=reach).rev().find(|end| {
                let words: Vec<&str> =
                    tokens[at..*end].iter().map(|it| it.lemma.as_str()).collect();
                self.concealed.contains(&words.join(" "))
            });
            let Some(end) = end else {
                at += 1;
                continue;
            };
            let words: Vec<&str> = tokens[at..end].iter().map(|it| it.text.as_str()).collect();
            let text = words.join(" ");
            if !found.contains(&text) {
                found.push(text);
            }
            at = end;
        }
        found
    }
}
