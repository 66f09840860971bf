//! Names like a name, for those who mistyped one.

use crate::facts::{Access, Facts};

/// At most three allowed relations whose names are like that one, the most similar first. Relations that are not allowed
/// are never among them: an error must not tell of them.
pub(crate) fn near_names(facts: &Facts, name: &str) -> Vec<String> {
    let mut wanted = Vec::new();
    lower(name, &mut wanted);
    let most = 1 + wanted.len() / 3;
    let mut found: Vec<(usize, usize)> = Vec::new();
    // A database can have many thousands of relations: the buffers are used again.
    let (mut other, mut row) = (Vec::new(), Vec::new());
    for (id, relation) in facts.relations.iter().enumerate() {
        if relation.access != Access::Allowed {
            continue;
        }
        lower(&relation.name.name, &mut other);
        let begins_alike = other.len() > 3
            && wanted.len() > 3
            && (other.starts_with(&wanted) || wanted.starts_with(&other));
        let distance =
            if begins_alike { Some(1) } else { distance(&wanted, &other, most, &mut row) };
        if let Some(distance) = distance {
            found.push((distance, id));
        }
    }
    // Relations are sorted by name, so that equally similar ones come in that order.
    found.sort_unstable();
    found.truncate(3);
    found.into_iter().map(|it| facts.shortest_name(it.1)).collect()
}

/// The first letters of a name in lower case; more do not make names more alike.
fn lower(name: &str, into: &mut Vec<char>) {
    into.clear();
    into.extend(name.chars().flat_map(char::to_lowercase).take(64));
}

/// How many letters must be added, dropped or replaced to make one of the other; `None` if more than `most`.
fn distance(a: &[char], b: &[char], most: usize, row: &mut Vec<usize>) -> Option<usize> {
    if a.len().abs_diff(b.len()) > most {
        return None;
    }
    row.clear();
    row.extend(0..=b.len());
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        let mut least = row[0];
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
            least = least.min(row[j + 1]);
        }
        // It never becomes less from one row to the next.
        if least > most {
            return None;
        }
    }
    Some(row[b.len()]).filter(|it| *it <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_changed_letters() {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        let distance =
            |a: &str, b: &str, most| distance(&chars(a), &chars(b), most, &mut Vec::new());
        assert_eq!(distance("kitten", "sitting", 9), Some(3));
        assert_eq!(distance("kitten", "sitting", 2), None);
        assert_eq!(distance("", "ab", 2), Some(2));
        assert_eq!(distance("same", "same", 0), Some(0));
    }
}
