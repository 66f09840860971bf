//! Values of several words by their initials: `HR` for a department that is called Human Resources.

use std::collections::HashMap;

use super::SchemaIndex;

/// Lists that are longer are no names that people shorten.
const MOST_VALUES: usize = 100;

impl SchemaIndex {
    /// Notes the initials of values. Values must be known.
    pub(super) fn add_initials(&mut self) {
        let mut all: HashMap<String, Option<String>> = HashMap::new();
        for it in self.tables.iter().flat_map(|it| &it.columns) {
            if !it.class.is_textual() || it.values.len() > MOST_VALUES {
                continue;
            }
            for value in &it.values {
                let Some(short) = initials(value) else { continue };
                all.entry(short)
                    .and_modify(|it| {
                        if it.as_ref() != Some(value) {
                            *it = None;
                        }
                    })
                    .or_insert_with(|| Some(value.clone()));
            }
        }
        self.initials = all.into();
    }
}

/// The initials of a name of two to five words that begin with capitals, in lower case.
fn initials(value: &str) -> Option<String> {
    let mut short = String::new();
    for word in value.split_whitespace() {
        if matches!(word, "and" | "of" | "the" | "&" | "for") {
            continue;
        }
        let first = word.chars().next().filter(char::is_ascii_uppercase)?;
        short.push(first.to_ascii_lowercase());
    }
    (2..=5).contains(&short.len()).then_some(short)
}

#[cfg(test)]
mod tests {
    use super::initials;

    #[test]
    fn names_of_several_words_have_initials() {
        assert_eq!(initials("Human Resources").as_deref(), Some("hr"));
        assert_eq!(initials("Ministry of the Interior").as_deref(), Some("mi"));
        assert!(initials("Sales").is_none() && initials("in progress").is_none());
    }
}
