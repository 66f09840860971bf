//! Single tables read anew, on top of a whole catalog.

use std::collections::BTreeSet;
use std::sync::Arc;

use plinth_connections::TableName;
use serde::{Deserialize, Serialize};

use crate::{Catalog, ForeignKey, Relation, TablePart, UserType};

/// What differs from a whole catalog since single tables were read anew.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CatalogPatch {
    /// The oids of relations that are gone, sorted.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub removed: BTreeSet<u32>,
    /// Relations that are new, or stand in the place of those of the same oid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relations: Vec<Arc<Relation>>,
    /// Types that are new, or stand in the place of those of the same oid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<UserType>,
}

impl CatalogPatch {
    /// What changes in a catalog where the relation of that name turns out to be `part`, or nothing. References from
    /// other tables follow: to columns that have moved, and away with what is gone.
    pub fn of_table(catalog: &Catalog, name: &TableName, part: Option<TablePart>) -> Self {
        let mut patch = Self::default();
        let before = catalog.find(&name.schema, &name.name);
        let now = part.as_ref().map(|it| it.relation.clone());
        if let Some(before) = before
            && now.as_ref().is_none_or(|it| it.oid != before.oid)
        {
            patch.removed.insert(before.oid);
        }
        // A table whose columns stand where they stood moves no reference, and others need not be looked at.
        let stays = before.zip(now.as_deref()).is_some_and(|(before, now)| {
            before.oid == now.oid
                && before.gaps == now.gaps
                && before.columns.len() <= now.columns.len()
        });
        for other in catalog.relations.iter().filter(|_| !stays) {
            if now.as_ref().is_some_and(|it| it.oid == other.oid) {
                continue;
            }
            let keys = &other.foreign_keys;
            let concerned = |key: &ForeignKey| {
                patch.removed.contains(&key.target)
                    || now.as_ref().is_some_and(|it| it.oid == key.target)
            };
            let follow = |key: &ForeignKey| follow(key, catalog, now.as_deref(), &patch.removed);
            if keys.iter().any(|it| concerned(it) && follow(it).as_ref() != Some(it)) {
                let foreign_keys = keys.iter().filter_map(follow).collect();
                patch.relations.push(Arc::new(Relation { foreign_keys, ..(**other).clone() }));
            }
        }
        if let Some(part) = part {
            patch.types = part.types;
            patch.types.retain(|it| !catalog.types.contains(it));
            patch.relations.push(part.relation);
        }
        patch
    }

    /// This and then that.
    #[must_use]
    pub fn then(mut self, next: &Self) -> Self {
        for it in &next.relations {
            self.removed.remove(&it.oid);
        }
        self.removed.extend(&next.removed);
        let of_next: BTreeSet<u32> = next.relations.iter().map(|it| it.oid).collect();
        self.relations.retain(|it| !of_next.contains(&it.oid) && !next.removed.contains(&it.oid));
        self.relations.extend(next.relations.iter().cloned());
        let of_next: BTreeSet<u32> = next.types.iter().map(|it| it.oid).collect();
        self.types.retain(|it| !of_next.contains(&it.oid));
        self.types.extend(next.types.iter().cloned());
        self
    }

    /// The catalog with these parts. It shares all others with the one it is made from.
    pub fn apply(&self, catalog: &Catalog) -> Catalog {
        let replaced: BTreeSet<u32> = self.relations.iter().map(|it| it.oid).collect();
        let mut patched = Catalog {
            // Taken over where it still holds, which only digests of unchanged relations are.
            digests: catalog.digests.of_unchanged(catalog, self),
            ..catalog.clone()
        };
        let few = self.relations.len() < SORTED_IN;
        if few && self.removed.is_empty() && self.put_in_place(&mut patched.relations) {
            return self.with_types(patched);
        }
        let gone = |oid: u32| self.removed.contains(&oid) || replaced.contains(&oid);
        patched.relations.retain(|it| !gone(it.oid));
        for it in self.relations.iter().filter(|_| few) {
            // What is there is sorted, and looking at all of its names again costs more than moving some pointers.
            let before = |other: &Arc<Relation>| by_name(other, it).is_le();
            let at = patched.relations.partition_point(before);
            patched.relations.insert(at, it.clone());
        }
        if !few {
            patched.relations.extend(self.relations.iter().cloned());
            patched.relations.sort_by(|a, b| by_name(a, b));
        }
        self.with_types(patched)
    }

    /// Puts each relation in the place of the one of its name, if all of those have its oid: as a rule a table is what it
    /// was, and no other need be looked at. Else nothing changes.
    fn put_in_place(&self, relations: &mut [Arc<Relation>]) -> bool {
        let place = |it: &Arc<Relation>| {
            let at = relations.binary_search_by(|other| by_name(other, it)).ok()?;
            (relations[at].oid == it.oid).then_some(at)
        };
        let Some(places) = self.relations.iter().map(place).collect::<Option<Vec<_>>>() else {
            return false;
        };
        for (at, it) in places.into_iter().zip(&self.relations) {
            relations[at] = it.clone();
        }
        true
    }

    fn with_types(&self, mut patched: Catalog) -> Catalog {
        if !self.types.is_empty() {
            let replaced: BTreeSet<u32> = self.types.iter().map(|it| it.oid).collect();
            patched.types.retain(|it| !replaced.contains(&it.oid));
            patched.types.extend(self.types.iter().cloned());
            patched.types.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
        }
        patched
    }
}

/// So many relations are put in their places one by one.
const SORTED_IN: usize = 100;

/// The order of a catalog's relations.
fn by_name(a: &Relation, b: &Relation) -> std::cmp::Ordering {
    (&a.schema, &a.name).cmp(&(&b.schema, &b.name))
}

/// A reference as it is after `now` was read; `None` if what it points at is gone.
fn follow(
    key: &ForeignKey,
    catalog: &Catalog,
    now: Option<&Relation>,
    removed: &BTreeSet<u32>,
) -> Option<ForeignKey> {
    if removed.contains(&key.target) {
        return None;
    }
    let Some(now) = now.filter(|it| it.oid == key.target) else { return Some(key.clone()) };
    // It was not known under that oid, so nothing is known of its columns' numbers.
    let before = catalog.relation(key.target)?;
    let moved = key.target_columns.iter().map(|it| now.position(before.number(*it)));
    Some(ForeignKey { target_columns: moved.collect::<Option<_>>()?, ..key.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Column;

    fn table(oid: u32, name: &str, columns: &[&str], references: &[(u32, usize)]) -> Relation {
        let column = |it: &&str| Column { name: (*it).to_owned(), ..Column::default() };
        let key = |it: &(u32, usize)| ForeignKey {
            name: format!("to_{}", it.0),
            columns: vec![0],
            target: it.0,
            target_columns: vec![it.1],
            ..ForeignKey::default()
        };
        Relation {
            oid,
            schema: "public".to_owned(),
            name: name.to_owned(),
            columns: columns.iter().map(column).collect(),
            foreign_keys: references.iter().map(key).collect(),
            ..Relation::default()
        }
    }

    fn catalog() -> Catalog {
        let relations = [
            table(1, "customers", &["old", "id", "name"], &[]),
            table(2, "orders", &["customer"], &[(1, 1)]),
            table(3, "products", &["id"], &[]),
        ];
        Catalog { relations: relations.map(Arc::new).to_vec(), ..Catalog::default() }
    }

    fn name(name: &str) -> TableName {
        TableName { schema: "public".to_owned(), name: name.to_owned() }
    }

    fn part(relation: Relation) -> TablePart {
        TablePart { relation: Arc::new(relation), types: Vec::new() }
    }

    fn names(catalog: &Catalog) -> Vec<&str> {
        catalog.relations.iter().map(|it| it.name.as_str()).collect()
    }

    #[test]
    fn references_follow_columns_that_move() {
        let before = catalog();
        let mut now = table(1, "customers", &["id", "name"], &[]);
        now.gaps = vec![1];
        let after =
            CatalogPatch::of_table(&before, &name("customers"), Some(part(now))).apply(&before);
        assert_eq!(names(&after), ["customers", "orders", "products"]);
        assert_eq!(after.find("public", "orders").unwrap().foreign_keys[0].target_columns, [0]);
        assert!(Arc::ptr_eq(&before.relations[2], &after.relations[2]), "what stays is shared");
        assert_eq!(after.structure_digest(), after.clone().structure_digest());
        assert_ne!(after.structure_digest(), before.structure_digest());
    }

    #[test]
    fn a_table_that_only_grows_moves_nothing() {
        let before = catalog();
        before.structure_digest();
        let grown = table(1, "customers", &["old", "id", "name", "email"], &[]);
        let patch = CatalogPatch::of_table(&before, &name("customers"), Some(part(grown.clone())));
        assert_eq!(patch.relations, [Arc::new(grown)]);
        let after = patch.apply(&before);
        assert_eq!(names(&after), ["customers", "orders", "products"]);
        assert!((1..3).all(|at| Arc::ptr_eq(&before.relations[at], &after.relations[at])));
        assert_eq!(after.structure_digest(), after.clone().structure_digest());
        assert_ne!(after.structure_digest(), before.structure_digest());

        // What it refers to is named in the digest too.
        let orders = part(table(2, "orders", &["customer", "product"], &[(1, 1), (3, 0)]));
        let last = CatalogPatch::of_table(&after, &name("orders"), Some(orders)).apply(&after);
        assert_eq!(last.structure_digest(), last.clone().structure_digest());

        // Without its last column it is looked at who refers to that.
        let shrunk = Some(part(table(1, "customers", &["old"], &[])));
        let shrunk = CatalogPatch::of_table(&last, &name("customers"), shrunk).apply(&last);
        let orders = shrunk.find("public", "orders").unwrap();
        assert_eq!(orders.foreign_keys.len(), 1, "the one to the products");
        assert_eq!(shrunk.structure_digest(), shrunk.clone().structure_digest());
    }

    #[test]
    fn what_is_gone_takes_references_to_it_along() {
        let before = catalog();
        let patch = CatalogPatch::of_table(&before, &name("customers"), None);
        let after = patch.apply(&before);
        assert_eq!(names(&after), ["orders", "products"]);
        assert!(after.relations[0].foreign_keys.is_empty());
        assert_eq!(
            CatalogPatch::of_table(&before, &name("nothing"), None),
            CatalogPatch::default()
        );
    }

    #[test]
    fn a_table_that_was_made_anew_or_renamed_stands_there_once() {
        let before = catalog();
        let anew = Some(part(table(9, "customers", &["id"], &[])));
        let after = CatalogPatch::of_table(&before, &name("customers"), anew).apply(&before);
        assert_eq!(names(&after), ["customers", "orders", "products"]);
        assert_eq!(after.relations[0].oid, 9);
        assert!(after.relations[1].foreign_keys.is_empty(), "those to the old one went with it");

        let renamed = Some(part(table(3, "articles", &["id"], &[])));
        let after = CatalogPatch::of_table(&before, &name("articles"), renamed).apply(&before);
        assert_eq!(names(&after), ["articles", "customers", "orders"]);
    }

    #[test]
    fn patches_one_after_the_other_are_one_patch() {
        let base = catalog();
        let steps = [
            (name("customers"), Some(part(table(1, "customers", &["id"], &[])))),
            (name("products"), None),
            (name("reviews"), Some(part(table(7, "reviews", &["stars"], &[])))),
            (name("reviews"), None),
            (name("products"), Some(part(table(3, "products", &["id", "price"], &[])))),
        ];
        let (mut all, mut step_by_step) = (CatalogPatch::default(), base.clone());
        for (name, part) in steps {
            let patch = CatalogPatch::of_table(&step_by_step, &name, part);
            step_by_step = patch.apply(&step_by_step);
            all = all.then(&patch);
            assert_eq!(all.apply(&base), step_by_step);
            let stored = serde_json::to_vec(&all).unwrap();
            assert_eq!(serde_json::from_slice::<CatalogPatch>(&stored).unwrap(), all);
            let afresh = step_by_step.clone();
            assert_eq!(afresh.structure_digest(), step_by_step.structure_digest());
        }
        assert_eq!(names(&step_by_step), ["customers", "orders", "products"]);
    }
}
