//! What names of a schema begin with in common.

use std::collections::HashMap;

use plinth_schema_introspect::Relation;

use crate::names;

/// What the names of tables begin with and what says nothing: for each Postgres schema its own (`sbCustomer`, `sbTicker`).
pub(super) struct Prefixes<'a>(HashMap<&'a str, String>);

impl<'a> Prefixes<'a> {
    pub(super) fn of(relations: &[&'a Relation]) -> Self {
        let mut names: HashMap<&str, Vec<&str>> = HashMap::new();
        for it in relations {
            names.entry(it.schema.as_str()).or_default().push(&it.name);
        }
        let common = |names: Vec<&str>| common(&names, names::common_prefix(&names));
        Self(names.into_iter().map(|(schema, names)| (schema, common(names))).collect())
    }

    /// How many bytes of that name say nothing. What is left of it is a word: `catalogs` beside `catalog_entries` is whole.
    pub(super) fn cut(&self, relation: &Relation) -> usize {
        self.0.get(relation.schema.as_str()).map_or(0, |prefix| {
            let starts =
                relation.name.len() > prefix.len() + 1 && relation.name.starts_with(prefix);
            if starts { prefix.len() } else { 0 }
        })
    }
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

#[cfg(test)]
mod tests {
    use plinth_schema_introspect::{Relation, TypeClass::Integer};

    use super::Prefixes;
    use crate::testing;

    #[test]
    fn each_schema_has_a_prefix_of_its_own() {
        let named = |schema: &str, name: &str| Relation {
            schema: schema.to_owned(),
            ..testing::table(1, name, &[("id", Integer)])
        };
        let all = [
            named("bank", "sbcustomer"),
            named("bank", "sbticker"),
            named("bank", "sbdeal"),
            named("shop", "customers"),
            named("shop", "orders"),
            named("shop", "goods"),
        ];
        let all: Vec<&Relation> = all.iter().collect();
        let prefixes = Prefixes::of(&all);
        assert_eq!(all.iter().map(|it| prefixes.cut(it)).collect::<Vec<_>>(), [2, 2, 2, 0, 0, 0]);
    }
}
