//! Names like a name, for those who mistyped one.

use crate::facts::{Access, Facts};

/// At most three allowed relations whose names are like that one, the most similar first. Relations that are not allowed
/// are never among them: an error must not tell of them.
pub(crate) fn near_names(facts: &Facts, name: &str) -> Vec<String> {
    let wanted: Vec<char> = name.to_lowercase().chars().take(64).collect();
    let most = 1 + wanted.len() / 3;
    let mut found: Vec<(usize, String)> = Vec::new();
    for (id, relation) in facts.relations.iter().enumerate() {
        if relation.access != Access::Allowed {
            continue;
        }
        let other: Vec<char> = relation.name.name.to_lowercase().chars().take(64).collect();
        let distance = if other.len() > 3
            && wanted.len() > 3
            && (starts(&other, &wanted) || starts(&wanted, &other))
        {
            1
        } else if other.len().abs_diff(wanted.len()) > most {
            continue;
        } else {
            distance(&wanted, &other)
        };
        if distance <= most {
            found.push((distance, facts.shortest_name(id)));
        }
    }
    found.sort();
    found.truncate(3);
    found.into_iter().map(|it| it.1).collect()
}

fn starts(long: &[char], short: &[char]) -> bool {
    long.starts_with(short)
}

/// How many letters must be added, dropped or replaced to make one of the other.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_changed_letters() {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        assert_eq!(distance(&chars("kitten"), &chars("sitting")), 3);
        assert_eq!(distance(&chars(""), &chars("ab")), 2);
        assert_eq!(distance(&chars("same"), &chars("same")), 0);
    }
}
