//! What values tell of references that nobody declared.

use plinth_schema_introspect::{InferredKey, Relation};

use super::{Edge, SchemaIndex};

impl SchemaIndex {
    /// Drops guesses that values refute, takes those that they bear out for as good as declared, and adds references that they
    /// bear out between tables that nothing connects yet.
    pub(super) fn weigh_edges(&mut self, relations: &[&Relation]) {
        for (from, relation) in relations.iter().enumerate() {
            for key in &relation.inferred_keys {
                let Some(edge) = self.told_by(from, key) else { continue };
                let known = self.edges.iter().position(|it| {
                    !it.declared
                        && (it.from, it.to) == (edge.from, edge.to)
                        && it.from_columns == edge.from_columns
                        && it.to_columns == edge.to_columns
                });
                match known {
                    Some(at) if key.holds() => self.edges[at].declared = true,
                    Some(at) if is_refuted(key) => {
                        self.edges.remove(at);
                    }
                    None if key.holds() => {
                        let connected = self.edges.iter().any(|it| {
                            (it.from, it.to) == (edge.from, edge.to)
                                || (it.to, it.from) == (edge.from, edge.to)
                        });
                        if !connected {
                            self.edges.push(edge);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// The reference that was looked at, where both tables are known to this index.
    fn told_by(&self, from: usize, key: &InferredKey) -> Option<Edge> {
        let column = |table: usize, name: &str| {
            self.tables[table].columns.iter().position(|it| it.name == name && it.key.is_none())
        };
        let to = self
            .tables
            .iter()
            .position(|it| it.schema == key.target_schema && it.name == key.target_table)?;
        Some(Edge {
            from,
            from_columns: vec![column(from, &key.column)?],
            to,
            to_columns: vec![column(to, &key.target_column)?],
            declared: true,
        })
    }
}

/// Whether most values do not stand where they would have to.
fn is_refuted(key: &InferredKey) -> bool {
    key.looked_at > 0 && key.contained.saturating_mul(2) < key.looked_at
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plinth_connections::AllowedTables;
    use plinth_schema_introspect::{Catalog, Column, Key, TypeClass};

    use super::*;

    fn table(oid: u32, name: &str, columns: &[&str]) -> Relation {
        let column = |name: &&str| Column {
            name: (*name).to_owned(),
            type_name: "integer".to_owned(),
            class: TypeClass::Integer,
            readable: true,
            ..Column::default()
        };
        Relation {
            oid,
            schema: "public".to_owned(),
            name: name.to_owned(),
            readable: true,
            columns: columns.iter().map(column).collect(),
            keys: vec![Key { columns: vec![0], primary: true, ..Key::default() }],
            ..Relation::default()
        }
    }

    fn key(column: &str, target: &str, contained: u32) -> InferredKey {
        InferredKey {
            column: column.to_owned(),
            target_schema: "public".to_owned(),
            target_table: target.to_owned(),
            target_column: "id".to_owned(),
            looked_at: 100,
            contained,
            is_unique: true,
        }
    }

    fn edges(keys: Vec<InferredKey>) -> Vec<(usize, usize, bool)> {
        let mut visits = table(2, "visits", &["id", "person_id", "seen_by"]);
        visits.inferred_keys = keys;
        let catalog = Catalog {
            relations: [
                table(1, "persons", &["id", "age"]),
                table(3, "staff", &["id", "age"]),
                visits,
            ]
            .map(Arc::new)
            .to_vec(),
            ..Catalog::default()
        };
        let index = SchemaIndex::build(&catalog, &AllowedTables::All);
        index.edges.iter().map(|it| (it.from, it.to, it.declared)).collect()
    }

    #[test]
    fn values_bear_guesses_out_refute_them_or_leave_them() {
        assert_eq!(edges(Vec::new()), [(2, 0, false)], "a guess by name");
        assert_eq!(edges(vec![key("person_id", "persons", 100)]), [(2, 0, true)]);
        assert_eq!(edges(vec![key("person_id", "persons", 80)]), [(2, 0, false)]);
        assert!(edges(vec![key("person_id", "persons", 10)]).is_empty());
        let both = vec![key("person_id", "persons", 100), key("seen_by", "staff", 99)];
        assert_eq!(edges(both), [(2, 0, true), (2, 1, true)], "what no name tells");
        assert_eq!(edges(vec![key("gone", "staff", 100)]), [(2, 0, false)]);
    }
}
