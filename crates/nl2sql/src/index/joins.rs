//! How tables join: by declared references, and by those that nobody declared.

use std::collections::{HashMap, HashSet};

use plinth_schema_introspect::{Catalog, Relation, TypeClass};

use super::{ColumnInfo, Edge, SchemaIndex, Table};

impl SchemaIndex {
    pub(super) fn add_declared_edges(&mut self, catalog: &Catalog, relations: &[&Relation]) {
        let position: HashMap<u32, usize> =
            relations.iter().enumerate().map(|(at, it)| (it.oid, at)).collect();
        for (from, relation) in relations.iter().enumerate() {
            for key in &relation.foreign_keys {
                let Some(&to) = position.get(&key.target) else { continue };
                let Some(target) = catalog.relation(key.target) else { continue };
                let of = |table: usize, source: &Relation, at: &[usize]| -> Option<Vec<usize>> {
                    at.iter()
                        .map(|it| {
                            let name = &source.columns.get(*it)?.name;
                            self.tables[table].columns.iter().position(|it| it.name == *name)
                        })
                        .collect()
                };
                let (Some(from_columns), Some(to_columns)) =
                    (of(from, relation, &key.columns), of(to, target, &key.target_columns))
                else {
                    continue;
                };
                self.edges.push(Edge { from, from_columns, to, to_columns, declared: true });
            }
        }
    }

    /// Finds references that nobody declared, by name and type: a column called like another table's key, or like the
    /// other table with `id` behind it.
    pub(super) fn infer_edges(&mut self) {
        let declared: HashSet<(usize, usize)> =
            self.edges.iter().flat_map(|it| [(it.from, it.to), (it.to, it.from)]).collect();
        let has_declared: HashSet<(usize, usize)> = self
            .edges
            .iter()
            .filter(|it| it.from_columns.len() == 1)
            .map(|it| (it.from, it.from_columns[0]))
            .collect();
        let mut found = Vec::new();
        let lone: Vec<bool> = (0..self.tables.len())
            .map(|table| !self.edges.iter().any(|it| it.from == table || it.to == table))
            .collect();
        for (from, table) in self.tables.iter().enumerate() {
            for (column, info) in table.columns.iter().enumerate() {
                if has_declared.contains(&(from, column)) {
                    continue;
                }
                for (to, target) in self.tables.iter().enumerate() {
                    if to == from || declared.contains(&(from, to)) {
                        continue;
                    }
                    let Some(key) = inferred_target(info, target, lone[from] || lone[to]) else {
                        continue;
                    };
                    // who is unique in both tables by the same address or number is not thereby the same
                    let apart = info.unique
                        && !info.primary
                        && target.columns[key].unique
                        && !target.columns[key].primary;
                    if apart && !declared.is_empty() {
                        continue;
                    }
                    // of two tables with the same key the one that is not its own key refers
                    if table.primary == [column] && target.primary == [key] && from < to {
                        continue;
                    }
                    found.push(Edge {
                        from,
                        from_columns: vec![column],
                        to,
                        to_columns: vec![key],
                        declared: false,
                    });
                }
            }
        }
        // still unconnected: equal telling names (`city_name`) or ids on both sides, neither of them a key
        let mut linked: HashSet<(usize, usize)> = declared.clone();
        linked.extend(found.iter().flat_map(|it| [(it.from, it.to), (it.to, it.from)]));
        for from in 0..self.tables.len() {
            for to in 0..from {
                if linked.contains(&(from, to)) || !(lone[from] || lone[to]) {
                    continue;
                }
                let pair = self.tables[from].columns.iter().enumerate().find_map(|(at, it)| {
                    let last = it.words.last()?;
                    let telling =
                        it.words.len() > 1 && matches!(last.as_str(), "id" | "code" | "name");
                    if !telling
                        || it.name == "first_name"
                        || it.name == "last_name"
                        || it.name == "full_name"
                    {
                        return None;
                    }
                    let other = self.tables[to]
                        .columns
                        .iter()
                        .position(|other| other.name == it.name && other.class == it.class)?;
                    Some((at, other))
                });
                // two tables that both refer to a third meet there, not here
                let third = (0..self.tables.len())
                    .any(|it| linked.contains(&(from, it)) && linked.contains(&(to, it)));
                if let Some((a, b)) = pair
                    && !third
                {
                    found.push(Edge {
                        from,
                        from_columns: vec![a],
                        to,
                        to_columns: vec![b],
                        declared: false,
                    });
                }
            }
        }
        found.dedup_by(|a, b| a.from == b.from && a.to == b.to && a.from_columns == b.from_columns);
        self.edges.extend(found);
    }

    pub(super) fn mark_foreign(&mut self) {
        for edge in &self.edges {
            for &column in &edge.from_columns {
                self.tables[edge.from].columns[column].foreign = true;
            }
        }
        for at in 0..self.tables.len() {
            let table = &self.tables[at];
            let plain = table.columns.iter().filter(|it| !it.is_id()).count();
            let outgoing: HashSet<usize> =
                self.edges.iter().filter(|it| it.from == at).map(|it| it.to).collect();
            let incoming = self.edges.iter().any(|it| it.to == at && it.from != at);
            self.tables[at].bridge = outgoing.len() >= 2 && plain <= 2 && !incoming;
        }
    }

    pub(super) fn measure_distances(&mut self) {
        let n = self.tables.len();
        let mut distances = vec![u8::MAX; n * n];
        for start in 0..n {
            let mut queue = std::collections::VecDeque::from([start]);
            distances[start * n + start] = 0;
            while let Some(at) = queue.pop_front() {
                let steps = distances[start * n + at];
                for &edge in &self.edges_of[at] {
                    let (_, next, _) = self.edges[edge].seen_from(at);
                    if distances[start * n + next] == u8::MAX {
                        distances[start * n + next] = steps.saturating_add(1);
                        queue.push_back(next);
                    }
                }
            }
        }
        self.distances = distances.into();
    }
}

/// The column of `target` that `column` seems to refer to.
fn inferred_target(column: &ColumnInfo, target: &Table, desperate: bool) -> Option<usize> {
    let compatible = |a: TypeClass, b: TypeClass| a == b || (a.is_numeric() && b.is_numeric());
    let words = &column.words;
    let last = words.last()?;
    for (at, it) in target.columns.iter().enumerate() {
        if !compatible(it.class, column.class) {
            continue;
        }
        let key = it.primary && target.primary.len() == 1 || it.unique;
        // `oid` of `organization`, where nothing is declared a key
        let lettered = target.words.len() == 1
            && it.name.len() == 3
            && it.words == ["id"]
            && target.words[0].starts_with(&it.name.to_lowercase()[..1]);
        let key_like = key || (target.primary.is_empty() && (at == 0 || lettered));
        // the same name, and a key there
        let id_like = matches!(last.as_str(), "id" | "code" | "number" | "key" | "uuid")
            || column.name.len() <= 4 && column.name.ends_with("id");
        if key_like
            && it.name == column.name
            && (id_like || (key && it.class == TypeClass::Text))
            && it.name != "id"
            && it.name != "name"
        {
            return Some(at);
        }
        // `customer_id` and `customer.id`
        if id_like && key_like && words.len() > 1 {
            let stem = &words[..words.len() - 1];
            let named = stem.ends_with(&target.words) && !target.words.is_empty();
            let is_id = it.words.len() == 1 && it.words[0] == *last
                || (it.words.len() == target.words.len() + 1
                    && it.words.ends_with(std::slice::from_ref(last))
                    && it.words.starts_with(&target.words));
            if named && is_id {
                return Some(at);
            }
        }
        // without any declared key: equal text columns like `city_name` connect
        if desperate && it.name == column.name && words.len() > 1 && it.name.len() > 4 {
            let named = target.words.first().is_some_and(|word| words.contains(word));
            let telling = matches!(last.as_str(), "name" | "code") && it.class == TypeClass::Text;
            if named && (id_like || telling) {
                return Some(at);
            }
        }
    }
    None
}
