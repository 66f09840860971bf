//! What names of a schema begin with in common.

use std::collections::HashMap;

use crate::names;

pub(super) fn common_prefix_of_tables(names: &[&str]) -> usize {
    if names.len() < 3 { 0 } else { names::common_prefix(names) }
}

pub(super) fn prefixed(name: &str, length: usize, all: &[&str]) -> bool {
    length > 0
        && name.len() > length
        && name.is_char_boundary(length)
        && name[..length] == common(all, length)
}

/// The prefix of that length that most of the names share.
pub(super) fn common(names: &[&str], length: usize) -> String {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for name in names {
        if let Some(prefix) = name.get(..length) {
            *counts.entry(prefix).or_default() += 1;
        }
    }
    counts
        .into_iter()
        .max_by(|a, b| a.1.cmp(&b.1).then_with(|| b.0.cmp(a.0)))
        .map_or(String::new(), |it| it.0.to_owned())
}
