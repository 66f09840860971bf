//! What comments say of names and values: what a table holds, which keys a document has, which labels a list.

use std::collections::HashSet;

use plinth_schema_introspect::{Column, TypeClass};
use serde_json::{Map, Value};

use super::{ColumnInfo, SchemaIndex, expand, stems};
use crate::lexicon::LEXICON;
use crate::names;
use crate::token::normalized;

impl SchemaIndex {
    /// Keys of documents, by what was seen of them or where a comment gives an example, as columns behind all others.
    pub(super) fn add_keys(
        &mut self,
        table: usize,
        readable: &[&Column],
        words: &[String],
        columns: &mut Vec<ColumnInfo>,
        known: &HashSet<String>,
    ) {
        for column in readable.iter().filter(|it| it.class == TypeClass::Json) {
            for (key, known_values) in members(column) {
                let own = expand(&names::split(&key, known));
                if own.is_empty() || columns.iter().any(|it| it.words == own) {
                    continue;
                }
                let at = columns.len();
                let numeric = !known_values.is_empty() && known_values.iter().all(Value::is_number);
                let values: Vec<String> =
                    known_values.iter().filter_map(Value::as_str).map(str::to_owned).collect();
                columns.push(ColumnInfo {
                    defined: None,
                    comment: None,
                    name: column.name.clone(),
                    class: if numeric { TypeClass::Decimal } else { TypeClass::Text },
                    type_name: "text".to_owned(),
                    words: own.clone(),
                    stems: stems(&own),
                    nullable: true,
                    primary: false,
                    foreign: false,
                    unique: false,
                    complete: !values.is_empty()
                        && column.samples.as_ref().is_some_and(|it| it.complete),
                    values,
                    key: Some(key),
                });
                self.name_column(table, at, words, &own, &own, None, None);
                self.name_length(table, at, words, &own);
            }
        }
    }
}

/// What a table holds, by the words with which its description begins: `Requests of customers to the support desk` are
/// requests.
pub(super) fn head(comment: &str) -> Vec<String> {
    let first = comment.split(['.', ',', ';', '(', ':']).next().unwrap_or_default();
    let normal = normalized(first);
    let mut words: Vec<&str> = Vec::new();
    for word in normal.split(' ') {
        let ends = LEXICON.is_stop(word)
            || word.len() > 4 && (word.ends_with("ed") || word.ends_with("ing"))
            || matches!(
                word,
                "sent"
                    | "made"
                    | "sold"
                    | "bought"
                    | "paid"
                    | "written"
                    | "kept"
                    | "where"
                    | "that"
            );
        if ends {
            break;
        }
        words.push(word);
    }
    let told = !words.is_empty()
        && words.len() <= 2
        && !matches!(
            words[0],
            "person"
                | "people"
                | "company"
                | "companies"
                | "everybody"
                | "thing"
                | "one"
                | "all"
                | "money"
                | "row"
                | "rows"
                | "table"
                | "list"
                | "data"
                | "record"
                | "records"
                | "view"
                | "information"
                | "contains"
                | "stores"
                | "holds"
                | "number"
                | "date"
                | "name"
        );
    if told { words.into_iter().map(|it| LEXICON.lemma(it)).collect() } else { Vec::new() }
}

/// Whether a description says what a table holds by something else: `Lines of orders`.
pub(super) fn relates(comment: &str) -> bool {
    let first = comment.split(['.', ',', ';', '(', ':']).next().unwrap_or_default();
    normalized(first).split(' ').skip(1).any(|it| LEXICON.is_stop(it))
}

/// Whether a description tells in a sentence what happened rather than what something is: `When the guest came`.
pub(super) fn tells(comment: &str) -> bool {
    let first = comment.split_whitespace().next().unwrap_or_default();
    matches!(
        first.to_lowercase().as_str(),
        "where" | "when" | "whether" | "how" | "why" | "who" | "what" | "set" | "null"
    )
}

/// The keys that a column's documents have, each with values of it: of the comment's example, and what was seen.
fn members(column: &Column) -> Vec<(String, Vec<Value>)> {
    let mut all: Vec<(String, Vec<Value>)> = keys(column.comment.as_deref().unwrap_or_default())
        .into_iter()
        .map(|(key, value)| (key, vec![value]))
        .collect();
    let told = all.len();
    for text in column.samples.iter().flat_map(|it| &it.values) {
        let seen: Map<String, Value> = serde_json::from_str(text).unwrap_or_default();
        for (key, value) in seen {
            match all.iter().position(|it| it.0 == key) {
                // what was seen tells more than an example
                Some(at) if at < told && all[at].1.first() == Some(&value) => {}
                Some(at) => all[at].1.push(value),
                None => all.push((key, vec![value])),
            }
        }
    }
    all
}

/// The keys that a document has, by an example of it in a comment, each with the value given there.
fn keys(comment: &str) -> Vec<(String, serde_json::Value)> {
    let (Some(from), Some(until)) = (comment.find('{'), comment.rfind('}')) else {
        return Vec::new();
    };
    if from > until {
        return Vec::new();
    }
    match serde_json::from_str(&comment[from..=until]) {
        Ok(serde_json::Value::Object(all)) => all
            .into_iter()
            .filter(|(key, value)| {
                !key.is_empty() && key.len() <= 60 && !value.is_object() && !value.is_array()
            })
            .take(20)
            .collect(),
        _ => Vec::new(),
    }
}

/// The labels that a comment lists: `Labels like eco, gift, new`.
pub(super) fn listed(comment: &str) -> Vec<String> {
    let Some(at) = ["like ", "e.g. ", "such as ", "one of ", "for example "]
        .iter()
        .find_map(|it| comment.find(it).map(|at| at + it.len()))
    else {
        return Vec::new();
    };
    let rest = comment[at..].split(['.', ';', '(']).next().unwrap_or_default();
    rest.split([',', '|'])
        .flat_map(|it| it.split(" and "))
        .flat_map(|it| it.split(" or "))
        .map(|it| it.trim().trim_matches(['\'', '"']).to_owned())
        .filter(|it| !it.is_empty() && it.split(' ').count() <= 3 && it.len() <= 40)
        .take(40)
        .collect()
}

/// What a comment says of labels: `new: nobody looked at it; done: all is well` explains two of them. Each label with what it
/// means, where that is more than one word.
pub(super) fn explained<'a>(comment: &'a str, labels: &[String]) -> Vec<(usize, &'a str)> {
    comment
        .split([';', '.', ','])
        .filter_map(|it| it.split_once([':', '=']))
        .filter_map(|(label, meaning)| {
            let label = label.trim().trim_matches(['\'', '"']);
            let at = labels.iter().position(|it| it.eq_ignore_ascii_case(label))?;
            let words = meaning.split_whitespace().count();
            (2..=6).contains(&words).then_some((at, meaning.trim()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_may_be_explained() {
        let labels = ["new".to_owned(), "held".to_owned()];
        let told = explained("new: just in; held: waits for the owner; x: y z", &labels);
        assert_eq!(told, [(0, "just in"), (1, "waits for the owner")]);
    }

    #[test]
    fn a_description_begins_with_what_the_table_holds() {
        assert_eq!(head("Requests of customers to the desk."), ["request"]);
        assert!(
            relates("Lines of orders: which and how many") && !relates("Product groups, a tree")
        );
        assert_eq!(head("Parcels sent for orders; some go in two."), ["parcel"]);
        assert!(head("One row for each checkout.").is_empty());
        assert!(tells("Where the guest came from.") && !tells("Place of the guest's birth."));
    }

    #[test]
    fn keys_have_the_values_that_were_seen() {
        let column = Column {
            class: TypeClass::Json,
            comment: Some(r#"Like {"hue": "red", "size": 4}"#.to_owned()),
            samples: Some(plinth_schema_introspect::Samples {
                values: [r#"{"hue":"red"}"#, r#"{"hue":"blue"}"#, r#"{"wood":"oak"}"#]
                    .map(str::to_owned)
                    .to_vec(),
                complete: true,
            }),
            ..Column::default()
        };
        let all = members(&column);
        let told: Vec<(&str, usize)> = all.iter().map(|it| (it.0.as_str(), it.1.len())).collect();
        assert_eq!(told, [("hue", 2), ("size", 1), ("wood", 1)]);
    }

    #[test]
    fn examples_name_keys_and_labels() {
        let keys: Vec<String> = keys(r#"By name, e.g. {"hue": "red", "size": 4}."#)
            .into_iter()
            .map(|it| it.0)
            .collect();
        assert_eq!(keys, ["hue", "size"]);
        assert_eq!(listed("Labels like spicy, mild and hot."), ["spicy", "mild", "hot"]);
        assert!(keys.len() == 2 && super::keys("{ not json }").is_empty());
    }
}
