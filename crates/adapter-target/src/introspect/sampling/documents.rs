//! Looking into documents (`json`, `jsonb`), so that a question can name what stands in them: "what do we have in *oak*".
//!
//! Only the members of their outermost object, and of these texts, numbers and truth values. What is kept of a column are
//! documents of one member each, `{"material": "oak"}`; a number is written as 0, for it says only what kind of thing its key
//! holds. A key is left out as a column would be: by its name, by what its values look like, and where most are prose.

use std::collections::HashMap;

use plinth_schema_introspect::{Samples, are_secret_values, is_secret_name, is_secret_value};
use serde_json::{Map, Value};

use super::{LONGEST, PART_VALUES};

/// The most keys of one column. One with more is no record but a list by names that are values themselves.
const KEYS: usize = 40;

/// Columns whose documents are wider than this on average, in bytes, hold more than properties; so does a single document that
/// takes more as it is stored.
pub(super) const WIDEST: u32 = 1_000;

/// The longest key, in characters.
pub(super) const LONGEST_KEY: usize = 40;

/// Of documents with one member each, the most frequent first, those that are kept; `None` if none are.
pub(super) fn kept(samples: &Samples) -> Option<Samples> {
    let mut members: Vec<(String, Value)> = Vec::new();
    for text in &samples.values {
        if let Ok(document) = serde_json::from_str::<Map<String, Value>>(text) {
            members.extend(document);
        }
    }
    let mut texts: HashMap<&str, Vec<String>> = HashMap::new();
    for (key, value) in &members {
        let of_key = texts.entry(key).or_default();
        of_key.extend(value.as_str().map(str::to_owned));
    }
    // Where keys are addresses or tokens, the document is a list by them.
    let keys: Vec<String> = texts.keys().map(|it| (*it).to_owned()).collect();
    if texts.len() > KEYS || are_secret_values(&keys) {
        return None;
    }
    let prose = |it: &&String| it.chars().count() > LONGEST || it.trim().is_empty();
    let keys = texts.len();
    texts.retain(|key, values| {
        !is_secret_name(key, None)
            && !is_secret_value(key)
            && !are_secret_values(values)
            && values.iter().filter(prose).count() * 2 <= values.len()
    });
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut complete = samples.complete && texts.len() == keys;
    let mut values = Vec::new();
    for (key, value) in &members {
        if !texts.contains_key(key.as_str()) {
            continue;
        }
        let count = counts.entry(key).or_default();
        let long = value.as_str().is_some_and(|it| it.chars().count() > LONGEST);
        if long || *count == PART_VALUES {
            complete = false;
            continue;
        }
        *count += 1;
        values.push(Value::from(Map::from_iter([(key.clone(), value.clone())])).to_string());
    }
    (!values.is_empty()).then_some(Samples { values, complete })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Option<Vec<String>> {
        let values = values.iter().map(|it| (*it).to_owned()).collect();
        kept(&Samples { values, complete: true }).map(|it| it.values)
    }

    #[test]
    fn members_are_kept_one_by_one() {
        let all = [r#"{"wood":"oak"}"#, r#"{"size":0}"#, r#"{"wood":"teak"}"#];
        assert_eq!(of(&all).unwrap(), all);
    }

    #[test]
    fn keys_are_judged_as_columns_are() {
        let secret = [r#"{"password":"oak"}"#, r#"{"by":"ann@example.com"}"#];
        assert_eq!(of(&secret), None);
        assert_eq!(of(&[secret[0], r#"{"wood":"oak"}"#]).unwrap(), [r#"{"wood":"oak"}"#]);
        assert_eq!(of(&[&format!(r#"{{"text":"{}"}}"#, "x ".repeat(50))]), None);
        assert_eq!(of(&["no document"]), None);
    }

    #[test]
    fn what_lacks_a_key_is_not_all() {
        let is_complete = |values: &[&str]| {
            let values = values.iter().map(|it| (*it).to_owned()).collect();
            kept(&Samples { values, complete: true }).unwrap().complete
        };
        assert!(is_complete(&[r#"{"wood":"oak"}"#]));
        assert!(!is_complete(&[r#"{"wood":"oak"}"#, r#"{"password":"oak"}"#]));
    }

    #[test]
    fn keys_that_are_addresses_are_kept_by_nobody() {
        assert_eq!(of(&[r#"{"ann@example.com":"admin"}"#, r#"{"wood":"oak"}"#]), None);
        let mut all: Vec<String> = (0..20).map(|it| format!(r#"{{"wood{it}":"a"}}"#)).collect();
        all.push(r#"{"ann@example.com":"admin"}"#.to_owned());
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        assert_eq!(of(&all).unwrap(), all[..20]);
    }

    #[test]
    fn of_too_many_keys_none_is_kept() {
        let all: Vec<String> = (0..=KEYS).map(|it| format!(r#"{{"k{it}":"a"}}"#)).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        assert_eq!(of(&all), None);
        assert_eq!(of(&all[1..]).unwrap().len(), KEYS);
    }
}
