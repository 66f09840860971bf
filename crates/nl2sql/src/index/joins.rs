//! How tables join: by declared references, and by those that nobody declared.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use plinth_schema_introspect::{Relation, TypeClass};

use super::{ColumnInfo, Edge, FastMap, SchemaIndex, Table};
use crate::work;

impl SchemaIndex {
    pub(super) fn add_declared_edges(&mut self, relations: &[&Relation]) {
        let position: HashMap<u32, usize> =
            relations.iter().enumerate().map(|(at, it)| (it.oid, at)).collect();
        for (from, relation) in relations.iter().enumerate() {
            for key in &relation.foreign_keys {
                let Some(&to) = position.get(&key.target) else { continue };
                let target = relations[to];
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
        let mut lone = vec![true; self.tables.len()];
        for it in &self.edges {
            lone[it.from] = false;
            lone[it.to] = false;
        }
        let targets = Targets::new(&self.tables);
        for (from, table) in self.tables.iter().enumerate() {
            for (column, info) in table.columns.iter().enumerate() {
                if has_declared.contains(&(from, column)) {
                    continue;
                }
                for to in targets.of(info) {
                    let target = &self.tables[to];
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
                    if table.is_keyed_by(column) && target.is_keyed_by(key) && from < to {
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
        self.infer_from_equals(&declared, &lone, &mut found);
        found.dedup_by(|a, b| a.from == b.from && a.to == b.to && a.from_columns == b.from_columns);
        self.edges.extend(found);
    }

    /// Connects what is still unconnected: equal telling names (`city_name`) or ids on both sides, neither of them a key.
    fn infer_from_equals(
        &self,
        declared: &HashSet<(usize, usize)>,
        lone: &[bool],
        found: &mut Vec<Edge>,
    ) {
        let mut linked: HashSet<(usize, usize)> = declared.clone();
        linked.extend(found.iter().flat_map(|it| [(it.from, it.to), (it.to, it.from)]));
        let mut beside: Vec<Vec<usize>> = vec![Vec::new(); self.tables.len()];
        for &(from, to) in &linked {
            beside[from].push(to);
        }
        // what is called so here may go by another name there
        let mut telling: FastMap<(&str, TypeClass), Vec<usize>> = self
            .tables
            .iter()
            .flat_map(|it| &it.columns)
            .filter(|it| connects(it))
            .map(|it| ((it.name.as_str(), it.class), Vec::new()))
            .collect();
        for (table, info) in self.tables.iter().enumerate() {
            for column in &info.columns {
                if let Some(all) = telling.get_mut(&(column.name.as_str(), column.class))
                    && all.last() != Some(&table)
                {
                    all.push(table);
                }
            }
        }
        // what stands in very many tables tells nothing of any two of them
        telling.retain(|_, all| all.len() <= MOST_SHARED);
        for from in 0..self.tables.len() {
            let columns = self.tables[from].columns.iter().filter(|it| connects(it));
            let equals = columns.filter_map(|it| telling.get(&(it.name.as_str(), it.class)));
            let mut others: Vec<usize> =
                equals.flatten().copied().filter(|it| *it < from).collect();
            others.sort_unstable();
            others.dedup();
            for to in others {
                if linked.contains(&(from, to)) || !(lone[from] || lone[to]) {
                    continue;
                }
                let pair = self.tables[from].columns.iter().enumerate().find_map(|(at, it)| {
                    if !connects(it) || !telling.contains_key(&(it.name.as_str(), it.class)) {
                        return None;
                    }
                    let other = self.tables[to]
                        .columns
                        .iter()
                        .position(|other| other.name == it.name && other.class == it.class)?;
                    Some((at, other))
                });
                // two tables that both refer to a third meet there, not here
                let third = beside[from].iter().any(|it| linked.contains(&(to, *it)));
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
            let own = || self.edges_of[at].iter().map(|it| &self.edges[*it]);
            let outgoing: HashSet<usize> =
                own().filter(|it| it.from == at).map(|it| it.to).collect();
            let incoming = own().any(|it| it.to == at && it.from != at);
            self.tables[at].bridge = outgoing.len() >= 2 && plain <= 2 && !incoming;
        }
    }

    /// How many joins lie between two tables; `None` if none lead there.
    pub(crate) fn distance(&self, a: usize, b: usize) -> Option<usize> {
        if a == b {
            return Some(0);
        }
        let known = &self.ways.steps;
        let steps = |row: &[u8], to: usize| (row[to] != FAR).then_some(usize::from(row[to]));
        // the way back is as long
        let back = known.keeps(b) && (!known.keeps(a) || known.has(b) && !known.has(a));
        let (a, b) = if back { (b, a) } else { (a, b) };
        match known.row(a, || self.steps_from(a)) {
            Some(row) => steps(row, b),
            None => self.walk(a, b),
        }
    }

    /// The same by a walk that ends where it has looked at [`MOST_WALKED`] references: what lies further is not joined.
    fn walk(&self, a: usize, b: usize) -> Option<usize> {
        let mut near = vec![(a, 0)];
        let mut known: HashSet<usize> = HashSet::from([a]);
        let (mut at, mut looked) = (0, 0);
        let mut found = None;
        'walk: while let Some(&(here, steps)) = near.get(at) {
            at += 1;
            for &edge in &self.edges_of[here] {
                looked += 1;
                let (_, next, _) = self.edges[edge].seen_from(here);
                if next == b {
                    found = Some(steps + 1);
                    break 'walk;
                }
                if looked >= MOST_WALKED {
                    break 'walk;
                }
                if known.insert(next) {
                    near.push((next, steps + 1));
                }
            }
        }
        work::note(looked);
        found
    }

    /// Whether each row of one table has at most one of another, along references that all point away from it.
    pub(crate) fn is_single(&self, from: usize, to: usize) -> bool {
        if from == to {
            return true;
        }
        let has = |row: &[u8]| row[to / 8] & (1 << (to % 8)) != 0;
        match self.ways.owners.row(from, || self.owned_by(from).0) {
            Some(row) => has(row),
            None => {
                let (row, looked) = self.owned_by(from);
                work::note(looked);
                has(&row)
            }
        }
    }

    /// The table of which each joined row is one: it belongs to at most one row of each of the others. `None` if rows of
    /// several of these tables multiply.
    pub(crate) fn finest(&self, tables: &[usize]) -> Option<usize> {
        let single = |own: usize| tables.iter().all(|it| self.is_single(own, *it));
        tables.iter().copied().find(|it| single(*it))
    }

    /// For each table, by a bit, whether rows of `from` have at most one row of it; and how many references were looked at.
    fn owned_by(&self, from: usize) -> (Box<[u8]>, usize) {
        let mut looked = 0;
        let mut owned = vec![0_u8; self.tables.len().div_ceil(8)].into_boxed_slice();
        let mut open = vec![from];
        while let Some(table) = open.pop() {
            let bit = 1 << (table % 8);
            if owned[table / 8] & bit != 0 {
                continue;
            }
            owned[table / 8] |= bit;
            if looked >= MOST_WALKED {
                continue;
            }
            looked += self.edges_of[table].len();
            for &edge in &self.edges_of[table] {
                let edge = &self.edges[edge];
                if edge.from == table {
                    open.push(edge.to);
                } else if let [column] = edge.from_columns.as_slice()
                    && (self.tables[edge.from].is_keyed_by(*column)
                        || self.tables[edge.from].columns[*column].unique)
                {
                    // one to one
                    open.push(edge.from);
                }
            }
        }
        (owned, looked)
    }

    /// The references that a table has.
    pub(crate) fn edges_from(&self, table: usize) -> impl Iterator<Item = &Edge> {
        let own = self.edges_of[table].iter().map(|it| &self.edges[*it]);
        own.filter(move |it| it.from == table)
    }

    /// How many steps lie between a table and each other, [`FAR`] where none lead there.
    fn steps_from(&self, start: usize) -> Box<[u8]> {
        let mut steps = vec![FAR; self.tables.len()].into_boxed_slice();
        let mut queue = std::collections::VecDeque::from([start]);
        steps[start] = 0;
        while let Some(at) = queue.pop_front() {
            let here = steps[at];
            for &edge in &self.edges_of[at] {
                let (_, next, _) = self.edges[edge].seen_from(at);
                if steps[next] == FAR {
                    steps[next] = here.saturating_add(1).min(FAR - 1);
                    queue.push_back(next);
                }
            }
        }
        steps
    }

    /// The tables at most so many steps away, each with how many, the table itself first.
    pub(crate) fn within(&self, table: usize, most: usize) -> Vec<(usize, usize)> {
        let mut near = vec![(table, 0)];
        let mut known: HashSet<usize> = HashSet::from([table]);
        let mut at = 0;
        while let Some(&(here, steps)) = near.get(at) {
            at += 1;
            if steps == most {
                continue;
            }
            for &edge in &self.edges_of[here] {
                let (_, next, _) = self.edges[edge].seen_from(here);
                if known.insert(next) {
                    near.push((next, steps + 1));
                }
            }
        }
        near
    }
}

/// A name that stands in more tables than that, and refers to none by its words, connects none of them.
const MOST_SHARED: usize = 64;

/// No steps lead there.
const FAR: u8 = u8::MAX;

/// The most memory that each of these takes, in bytes: enough for the steps between all of 4,096 tables.
const MOST_KNOWN: usize = 16 * 1024 * 1024;

/// The most references that are looked at for one way that is not kept.
const MOST_WALKED: usize = 4_096;

/// What is known of the ways between tables, found out for a table when it is first asked for. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ways {
    /// How many steps lie between a table and each other, or [`FAR`].
    steps: Rows,
    /// Which tables rows of a table have at most one row of, by a bit for each.
    owners: Rows,
}

impl Ways {
    /// None is known yet.
    pub(super) fn between(tables: usize) -> Self {
        let rows = |length: usize| Rows::new(tables.min(MOST_KNOWN / length.max(1)));
        Self { steps: rows(tables), owners: rows(tables.div_ceil(8)) }
    }
}

/// What is known of the first tables, of so many as there is room for: which they are must not hang on what was asked before,
/// as a question always takes the same steps.
#[derive(Clone, Debug, Default)]
struct Rows(Arc<[OnceLock<Box<[u8]>>]>);

impl Rows {
    fn new(kept: usize) -> Self {
        Self((0..kept).map(|_| OnceLock::new()).collect())
    }

    fn has(&self, at: usize) -> bool {
        self.0.get(at).is_some_and(|it| it.get().is_some())
    }

    fn keeps(&self, at: usize) -> bool {
        at < self.0.len()
    }

    /// The row of a table, if it is one of those that are kept.
    fn row(&self, at: usize, find: impl FnOnce() -> Box<[u8]>) -> Option<&[u8]> {
        self.0.get(at).map(|it| &**it.get_or_init(find))
    }
}

/// The tables that a column may refer to, by what they and their keys are called.
struct Targets<'a> {
    by_key: FastMap<&'a str, Vec<usize>>,
    by_first_word: FastMap<&'a str, Vec<usize>>,
}

impl<'a> Targets<'a> {
    fn new(tables: &'a [Table]) -> Self {
        let mut this = Self { by_key: FastMap::default(), by_first_word: FastMap::default() };
        for (at, table) in tables.iter().enumerate() {
            if let Some(word) = table.words.first() {
                this.by_first_word.entry(word).or_default().push(at);
            }
            for (column, it) in table.columns.iter().enumerate() {
                let known = this.by_key.entry(&it.name).or_default();
                if is_key_like(table, column) && known.last() != Some(&at) {
                    known.push(at);
                }
            }
        }
        // a key that very many tables have says of none which one is meant
        this.by_key.retain(|_, all| all.len() <= MOST_SHARED);
        this
    }

    /// All that [`inferred_target`] may find something in, in their order.
    fn of(&self, column: &ColumnInfo) -> Vec<usize> {
        let own = |it: &&str| !matches!(*it, "id" | "name");
        let by_key = Some(column.name.as_str()).filter(own).and_then(|it| self.by_key.get(it));
        let mut found: Vec<usize> = by_key.into_iter().flatten().copied().collect();
        if column.words.len() > 1 {
            let words = column.words.iter().map(String::as_str);
            found.extend(words.filter_map(|it| self.by_first_word.get(it)).flatten());
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// Whether a column may be what other tables refer to.
fn is_key_like(target: &Table, column: usize) -> bool {
    let it = &target.columns[column];
    let key = it.primary && target.primary.len() == 1 || it.unique;
    // `oid` of `organization`, where nothing is declared a key
    let lettered = target.words.len() == 1
        && it.name.len() == 3
        && it.words == ["id"]
        && it.name.chars().next().is_some_and(|first| {
            target.words[0].starts_with(&first.to_lowercase().collect::<String>())
        });
    key || (target.primary.is_empty() && (column == 0 || lettered))
}

/// Whether a column of that name in two tables connects them: it says of what it is an id, a code or the name.
fn connects(column: &ColumnInfo) -> bool {
    let last = column.words.last().map_or("", String::as_str);
    column.words.len() > 1
        && matches!(last, "id" | "code" | "name")
        && !matches!(column.name.as_str(), "first_name" | "last_name" | "full_name")
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
        let key_like = is_key_like(target, at);
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

#[cfg(test)]
mod tests {
    use plinth_connections::AllowedTables;
    use plinth_schema_introspect::{Catalog, Column, ForeignKey, Key, Schema};

    use super::*;

    /// `ring` refers to `coin`, `coin` to `safe`; `bell` stands alone.
    fn chain() -> SchemaIndex {
        let column = |name: &str| Column {
            name: name.to_owned(),
            class: TypeClass::Integer,
            readable: true,
            ..Column::default()
        };
        let names = ["ring", "coin", "safe", "bell"];
        let relations = (1..).zip(names).map(|(oid, name)| {
            let reference = ForeignKey {
                columns: vec![1],
                target: oid + 1,
                target_columns: vec![0],
                ..ForeignKey::default()
            };
            let relation = Relation {
                oid,
                schema: "public".to_owned(),
                name: name.to_owned(),
                readable: true,
                columns: vec![column("id"), column("kept_in")],
                keys: vec![Key { columns: vec![0], primary: true, ..Key::default() }],
                foreign_keys: if oid < 3 { vec![reference] } else { Vec::new() },
                ..Relation::default()
            };
            relation.into()
        });
        let catalog = Catalog {
            search_path: vec!["public".to_owned()],
            schemas: vec![Schema { name: "public".to_owned(), comment: None, usable: true }],
            relations: relations.collect(),
            ..Catalog::default()
        };
        SchemaIndex::build(&catalog, &AllowedTables::All)
    }

    #[test]
    fn ways_that_are_not_kept_are_walked_and_counted() {
        let kept = chain();
        let mut walked = chain();
        walked.ways = Ways { steps: Rows::new(0), owners: Rows::new(0) };
        work::begin();
        for (a, b) in (0..4).flat_map(|a| (0..4).map(move |b| (a, b))) {
            assert_eq!(walked.distance(a, b), kept.distance(a, b), "{a} to {b}");
            assert_eq!(walked.is_single(a, b), kept.is_single(a, b), "{a} to {b}");
        }
        assert_eq!((kept.distance(0, 2), kept.distance(0, 3)), (Some(2), None));
        assert!(kept.is_single(0, 2) && !kept.is_single(2, 0));
        assert!(work::done() > 0);
    }
}
