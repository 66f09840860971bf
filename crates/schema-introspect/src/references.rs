//! References that nobody declared: which columns look like one, and what their values tell.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::words::{split, stem};
use crate::{Column, Relation, RelationKind, TypeClass};

/// The most pairs of columns that are proposed.
const MOST: usize = 200;

/// The most pairs of a column and a table that are compared: where thousands of tables have keys of one name there is no
/// end to it.
const MOST_COMPARED: usize = 200_000;

/// In a hundred different values of a reference so many stand in the table it refers to at least: some rows outlive what they
/// refer to where nothing is declared.
const CONTAINED_OF_100: u32 = 95;

/// A column that looks like a reference to another table, and what was found of its values there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InferredKey {
    /// The column's name.
    pub column: String,
    /// The schema of the table that it seems to refer to.
    pub target_schema: String,
    /// That table.
    pub target_table: String,
    /// The column there.
    pub target_column: String,
    /// How many different values were looked at; never 0.
    pub looked_at: u32,
    /// How many of them stand in the other column.
    pub contained: u32,
    /// Whether no value stands there twice.
    pub is_unique: bool,
}

impl InferredKey {
    /// Whether the values bear the names out.
    pub fn holds(&self) -> bool {
        let (looked_at, contained) = (u64::from(self.looked_at), u64::from(self.contained));
        self.is_unique
            && looked_at > 0
            && contained * 100 >= looked_at * u64::from(CONTAINED_OF_100)
    }
}

/// A pair of columns of which one may refer to the other, by positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReferenceCandidate {
    /// The relation that refers.
    pub from: usize,
    /// Its column.
    pub column: usize,
    /// The relation that is referred to.
    pub to: usize,
    /// Its column.
    pub target_column: usize,
    /// Whether that column is declared unique.
    pub is_unique: bool,
}

/// Which columns look like references by name and type, where none is declared: 200 at most, the first by the order of relations
/// and columns.
pub fn reference_candidates(relations: &[Relation]) -> Vec<ReferenceCandidate> {
    let targets = Targets::of(relations);
    // Many tables have columns of the same name.
    let mut by_name: HashMap<&str, Rc<[usize]>> = HashMap::new();
    let (mut found, mut compared) = (Vec::new(), 0);
    for from in &targets.all {
        let relation = from.relation;
        let declared: HashSet<usize> = relation
            .foreign_keys
            .iter()
            .filter(|it| it.columns.len() == 1)
            .flat_map(|it| it.columns.iter().copied())
            .collect();
        let linked: HashSet<u32> = relation.foreign_keys.iter().map(|it| it.target).collect();
        for (column, it) in relation.columns.iter().enumerate() {
            let typed = matches!(it.class, TypeClass::Integer | TypeClass::Text | TypeClass::Uuid);
            if !typed || !it.readable || declared.contains(&column) {
                continue;
            }
            let named =
                by_name.entry(&it.name).or_insert_with(|| targets.named_by(&it.name).into());
            if named.is_empty() {
                continue;
            }
            let words = split(&it.name);
            for to in named.iter().map(|it| &targets.all[*it]) {
                compared += 1;
                if found.len() == MOST || compared > MOST_COMPARED {
                    return found;
                }
                let linked_back =
                    to.relation.foreign_keys.iter().any(|key| key.target == relation.oid);
                if to.at == from.at || linked.contains(&to.relation.oid) || linked_back {
                    continue;
                }
                for (target_column, is_unique) in to.keys.iter().copied() {
                    let key = &to.relation.columns[target_column];
                    if same_type(it, key)
                        && refers(&it.name, &words, &to.words, &key.name, is_unique)
                    {
                        found.push(ReferenceCandidate {
                            from: from.at,
                            column,
                            to: to.at,
                            target_column,
                            is_unique,
                        });
                    }
                }
            }
        }
    }
    found.truncate(MOST);
    found
}

/// A table that could be referred to.
struct Target<'a> {
    /// Its position among all relations.
    at: usize,
    relation: &'a Relation,
    /// Of its name, without their endings.
    words: Vec<String>,
    /// Its columns that could be referred to, and whether they are declared unique.
    keys: Vec<(usize, bool)>,
}

/// All of them, by what a column that refers to one must be called: comparing each of a hundred thousand columns with each of
/// ten thousand tables takes minutes.
struct Targets<'a> {
    all: Vec<Target<'a>>,
    /// By the name of a key, in small letters.
    by_key: HashMap<String, Vec<usize>>,
    by_words: HashMap<Vec<String>, Vec<usize>>,
}

impl<'a> Targets<'a> {
    fn of(relations: &'a [Relation]) -> Self {
        let held = relations.iter().enumerate().filter(|(_, it)| is_held(it));
        let all: Vec<Target<'a>> = held
            .map(|(at, relation)| {
                let (words, keys) = (stems(&relation.name), keys(relation));
                Target { at, relation, words, keys }
            })
            .collect();
        let mut by_key: HashMap<String, Vec<usize>> = HashMap::new();
        let mut by_words: HashMap<Vec<String>, Vec<usize>> = HashMap::new();
        for (position, it) in all.iter().enumerate().filter(|(_, it)| !it.keys.is_empty()) {
            for (column, _) in &it.keys {
                let name = it.relation.columns[*column].name.to_ascii_lowercase();
                by_key.entry(name).or_default().push(position);
            }
            by_words.entry(it.words.clone()).or_default().push(position);
        }
        Self { all, by_key, by_words }
    }

    /// The positions of all that a column of that name [`refers`] to, and perhaps of some that it does not.
    fn named_by(&self, name: &str) -> Vec<usize> {
        let words = split(name);
        let stems: Vec<String> = words.iter().map(|it| stem(it)).collect();
        let Some((_, before)) = stems.split_last() else { return Vec::new() };
        let is_same_key = identifies_by(name, &words) && !name.eq_ignore_ascii_case("id");
        let same_key = is_same_key.then(|| self.by_key.get(&name.to_ascii_lowercase())).flatten();
        let ends = (0..before.len()).map(|start| &before[start..]);
        let called = ends.chain([stems.as_slice()]).filter_map(|it| self.by_words.get(it));
        let mut all: Vec<usize> = same_key.into_iter().chain(called).flatten().copied().collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// Whether it holds rows that can be looked at: views cost what nobody knows, foreign tables are on other servers, and
/// partitions stand behind their parents.
fn is_held(it: &Relation) -> bool {
    let kind = matches!(it.kind, RelationKind::Table | RelationKind::MaterializedView);
    kind && it.readable && it.partition_of.is_none()
}

/// The columns that could be referred to, and whether they are declared unique. Where nothing is, the first column or one
/// called `id`.
fn keys(relation: &Relation) -> Vec<(usize, bool)> {
    let declared: Vec<(usize, bool)> = relation
        .keys
        .iter()
        .filter(|it| it.columns.len() == 1)
        .map(|it| (it.columns[0], true))
        .chain(
            relation
                .indexes
                .iter()
                .filter(|it| it.unique && it.columns.len() == 1)
                .map(|it| (it.columns[0], true)),
        )
        .collect();
    let readable = |it: &(usize, bool)| relation.columns.get(it.0).is_some_and(|it| it.readable);
    if !declared.is_empty() {
        let mut all = declared;
        all.sort_unstable();
        all.dedup();
        all.retain(readable);
        return all;
    }
    if !relation.keys.is_empty() {
        return Vec::new();
    }
    let id = relation.columns.iter().position(|it| it.name.eq_ignore_ascii_case("id"));
    [id.or_else(|| (!relation.columns.is_empty()).then_some(0))]
        .into_iter()
        .flatten()
        .map(|it| (it, false))
        .filter(readable)
        .collect()
}

/// The words of a table's name, without their endings.
fn stems(name: &str) -> Vec<String> {
    let words = split(name);
    let sorts = words.len() > 1
        && matches!(words[0].as_str(), "tbl" | "dim" | "fact" | "ref" | "lookup" | "t" | "tb");
    words[usize::from(sorts)..].iter().map(|it| stem(it)).collect()
}

fn same_type(a: &Column, b: &Column) -> bool {
    let bare = |it: &Column| it.type_name.split('(').next().unwrap_or_default().to_owned();
    let text = |it: &Column| matches!(bare(it).as_str(), "text" | "character varying");
    a.collation == b.collation
        && (a.class == TypeClass::Integer && b.class == TypeClass::Integer
            || a.class == TypeClass::Uuid && b.class == TypeClass::Uuid
            || text(a) && text(b)
            || a.class == b.class && bare(a) == bare(b))
}

/// Whether a word says that a column identifies something.
fn identifies(word: &str) -> bool {
    matches!(word, "id" | "uuid" | "guid" | "code" | "key" | "number" | "no" | "nr" | "num" | "fk")
}

/// Whether a column's name says that it identifies something.
fn identifies_by(name: &str, words: &[String]) -> bool {
    words.last().is_some_and(|it| identifies(it))
        || name.len() <= 5 && name.to_lowercase().ends_with("id")
}

/// Whether a column refers to a table's key by their names: `customer_id` to `customers.id`, `cust_no` to `cust_no`.
fn refers(name: &str, words: &[String], table: &[String], key: &str, declared: bool) -> bool {
    let Some(last) = words.last() else { return false };
    let key_words = split(key);
    if name.eq_ignore_ascii_case(key) {
        return identifies_by(name, words)
            && words.len() + name.len() > 3
            && !name.eq_ignore_ascii_case("id")
            && (declared || words.len() > 1);
    }
    let stems: Vec<String> = words.iter().map(|it| stem(it)).collect();
    let key_is_id = match key_words.as_slice() {
        [one] => identifies(one),
        [start @ .., end] => {
            identifies(end) && start.iter().map(|it| stem(it)).eq(table.iter().cloned())
        }
        [] => false,
    };
    if !key_is_id || table.is_empty() {
        return false;
    }
    // `customer`, where that is no text of its own
    stems == table && declared
        || identifies(last) && words.len() > 1 && stems[..stems.len() - 1].ends_with(table)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{ForeignKey, Key};

    fn table(oid: u32, name: &str, columns: &[(&str, TypeClass)], key: bool) -> Relation {
        let column = |(name, class): &(&str, TypeClass)| Column {
            name: (*name).to_owned(),
            type_name: if *class == TypeClass::Text { "text" } else { "integer" }.to_owned(),
            class: *class,
            readable: true,
            ..Column::default()
        };
        Relation {
            oid,
            schema: "public".to_owned(),
            name: name.to_owned(),
            readable: true,
            columns: columns.iter().map(column).collect(),
            keys: if key {
                vec![Key { columns: vec![0], primary: true, ..Key::default() }]
            } else {
                Vec::new()
            },
            ..Relation::default()
        }
    }

    fn pairs(relations: &[Relation]) -> Vec<String> {
        let name = |table: usize, column: usize| {
            format!("{}.{}", relations[table].name, relations[table].columns[column].name)
        };
        reference_candidates(relations)
            .iter()
            .map(|it| format!("{} → {}", name(it.from, it.column), name(it.to, it.target_column)))
            .collect()
    }

    #[test]
    fn names_and_types_propose_and_what_is_declared_is_left_alone() {
        use TypeClass::{Integer, Text};
        let mut relations = [
            table(1, "categories", &[("id", Integer), ("name", Text)], true),
            table(
                2,
                "products",
                &[("id", Integer), ("category_id", Integer), ("name", Text)],
                false,
            ),
            table(
                3,
                "tbl_order",
                &[
                    ("order_no", Text),
                    ("product_id", Integer),
                    ("category_id", Text),
                    ("product", Text),
                ],
                true,
            ),
            table(
                4,
                "shipments",
                &[("id", Integer), ("order_no", Text), ("product_id", Integer)],
                true,
            ),
        ];
        assert_eq!(
            pairs(&relations),
            [
                "products.category_id → categories.id",
                "tbl_order.product_id → products.id",
                "shipments.order_no → tbl_order.order_no",
                "shipments.product_id → products.id",
            ]
        );
        relations[3].foreign_keys = vec![ForeignKey {
            columns: vec![2],
            target: 2,
            target_columns: vec![0],
            ..ForeignKey::default()
        }];
        relations[0].readable = false;
        assert_eq!(
            pairs(&relations),
            ["tbl_order.product_id → products.id", "shipments.order_no → tbl_order.order_no"]
        );
    }

    /// What each column refers to, by comparing it with each table.
    fn compared_with_all(relations: &[Relation]) -> Vec<String> {
        let mut all = Vec::new();
        let held = || relations.iter().filter(|it| is_held(it));
        for from in held() {
            for it in &from.columns {
                for to in held().filter(|to| to.oid != from.oid) {
                    for (column, is_unique) in keys(to) {
                        let key = &to.columns[column];
                        if same_type(it, key)
                            && refers(
                                &it.name,
                                &split(&it.name),
                                &stems(&to.name),
                                &key.name,
                                is_unique,
                            )
                        {
                            let (from, to) = (&from.name, &to.name);
                            all.push(format!("{from}.{} → {to}.{}", it.name, key.name));
                        }
                    }
                }
            }
        }
        all
    }

    proptest! {
        #[test]
        fn looking_names_up_finds_what_comparing_all_finds(
            tables in prop::collection::vec(
                (
                    "(tbl_)?(customer|order|line|item|orders|Lines)(_(line|items|id))?",
                    prop::collection::vec("(customer|order|line|item|)_?(id|ID|no|line|code|)", 1..5),
                    any::<bool>(),
                ),
                1..7,
            ),
        ) {
            let made = tables.iter().enumerate().map(|(at, (name, columns, key))| {
                let columns: Vec<_> =
                    columns.iter().map(|it| (it.as_str(), TypeClass::Integer)).collect();
                table(u32::try_from(at).unwrap(), name, &columns, *key)
            });
            let relations: Vec<Relation> = made.collect();
            prop_assert_eq!(pairs(&relations), compared_with_all(&relations));
        }
    }

    #[test]
    fn ten_thousand_tables_are_not_compared_with_each_other() {
        use TypeClass::Integer;
        let names: Vec<String> = (0..10_000).map(|it| format!("thing_{it}")).collect();
        let columns: Vec<Vec<String>> = (0..10_000)
            .map(|it| {
                (0..9).map(|at| format!("c{at}_of_{it}")).chain(["thing_7_id".to_owned()]).collect()
            })
            .collect();
        let made = names.iter().zip(&columns).enumerate().map(|(at, (name, columns))| {
            let own = columns.iter().map(|it| (it.as_str(), Integer));
            let columns: Vec<_> = std::iter::once(("id", Integer)).chain(own).collect();
            table(u32::try_from(at).unwrap(), name, &columns, true)
        });
        let relations: Vec<Relation> = made.collect();
        let found = reference_candidates(&relations);
        assert_eq!(found.len(), MOST);
        assert!(found.iter().all(|it| relations[it.to].name == "thing_7" && it.column == 10));
        // All keys have one name: there is an end to it all the same.
        let columns = [("thing_no", Integer), ("name", TypeClass::Text)];
        let made = (0..10_000).map(|at| {
            let mut it = table(at, "things", &columns, true);
            it.columns[0].type_name = format!("integer of {at}");
            it.columns[0].class = TypeClass::Text;
            it
        });
        assert_eq!(reference_candidates(&made.collect::<Vec<_>>()), []);
    }

    #[test]
    fn values_decide() {
        let key = |looked_at, contained, is_unique| {
            let name = || "a".to_owned();
            InferredKey {
                column: name(),
                target_schema: name(),
                target_table: name(),
                target_column: name(),
                looked_at,
                contained,
                is_unique,
            }
            .holds()
        };
        assert!(key(200, 200, true) && key(100, 95, true) && key(1, 1, true));
        assert!(!key(100, 94, true) && !key(100, 100, false) && !key(0, 0, true));
    }
}
