//! Which of the removed things may be which of the added ones under a new name. A catalog does not keep former names, so
//! all this is guessing, by what stays the same when something is renamed: its place, its type, its neighbours.

use std::collections::{HashMap, HashSet};

use crate::visible::readable_columns;
use crate::words::likeness;
use crate::{Column, Relation};

/// What counts as a guess at all; below it the two are told as one removed and one added.
const LEAST: f64 = 0.55;

/// So many comparisons of tables are made at most; beyond it only tables whose columns are all the same are compared.
const COMPARISONS: usize = 250_000;

/// Two things that are taken for one, by their positions in the two lists, and how sure that is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pair {
    pub(super) before: usize,
    pub(super) after: usize,
    pub(super) confidence: f64,
}

/// Pairs removed tables with added ones. `same_database` says that oids mean the same in both catalogs.
pub(super) fn tables(before: &[&Relation], after: &[&Relation], same_database: bool) -> Vec<Pair> {
    let mut candidates = Vec::new();
    if before.len().saturating_mul(after.len()) <= COMPARISONS {
        for (at, old) in before.iter().enumerate() {
            for (new_at, new) in after.iter().enumerate() {
                let confidence = table_confidence(old, new, same_database);
                candidates.push(Pair { before: at, after: new_at, confidence });
            }
        }
    } else {
        let mut alike: HashMap<Vec<(&str, &str)>, Vec<usize>> = HashMap::new();
        let mut by_oid = HashMap::new();
        for (at, new) in after.iter().enumerate() {
            alike.entry(signature(new)).or_default().push(at);
            by_oid.insert(new.oid, at);
        }
        for (at, old) in before.iter().enumerate() {
            let same = alike.get(&signature(old)).filter(|it| it.len() <= 8);
            let known = by_oid.get(&old.oid).filter(|_| same_database);
            for new_at in same.into_iter().flatten().chain(known) {
                let confidence = table_confidence(old, after[*new_at], same_database);
                candidates.push(Pair { before: at, after: *new_at, confidence });
            }
        }
    }
    best(candidates)
}

fn signature(of: &Relation) -> Vec<(&str, &str)> {
    let mut columns: Vec<_> =
        readable_columns(of).map(|it| (it.name.as_str(), it.type_name.as_str())).collect();
    columns.sort_unstable();
    columns
}

#[expect(clippy::cast_precision_loss, reason = "a table has at most 1,600 columns")]
fn table_confidence(old: &Relation, new: &Relation, same_database: bool) -> f64 {
    let is_view = |it: &Relation| it.definition.is_some();
    if is_view(old) != is_view(new) {
        return 0.0;
    }
    let types = |it: &Relation| -> HashMap<String, String> {
        readable_columns(it).map(|it| (it.name.clone(), it.type_name.clone())).collect()
    };
    let (old_columns, new_columns) = (types(old), types(new));
    let shared = old_columns.iter().filter_map(|(name, kind)| Some((kind, new_columns.get(name)?)));
    // A column that kept its name but not its type says half as much.
    let common: f64 = shared.map(|(old, new)| if old == new { 1.0 } else { 0.5 }).sum();
    let all = (old_columns.len() + new_columns.len()) as f64 - common;
    let structure = if all > 0.0 { common / all } else { 0.0 };
    if same_database && old.oid == new.oid {
        return if structure > 0.0 { 1.0 } else { 0.9 };
    }
    // Two tables with `id` and `name` are alike without being the same: few columns prove little.
    let evidence = 1.0 - 0.6_f64.powf(common);
    let name = likeness(&old.name, &new.name);
    let moved = if old.name == new.name { 0.15 } else { 0.0 };
    // Where the database shows that it is another table, it may still have been made anew under another name.
    // A partition that goes while another one comes is what partitions are for.
    let known_other = match same_database {
        true if old.partition_of.is_some() || new.partition_of.is_some() => 0.0,
        true => 0.75,
        false => 1.0,
    };
    (known_other * (0.8 * structure * evidence + 0.2 * name + moved)).min(0.99)
}

/// What is known of two tables that are taken for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kinship {
    /// Only that they look alike, or have the same name.
    Alike,
    /// The database says that they are the same, but the numbers of columns were not read.
    Same,
    /// They are the same, and so are columns of the same number.
    Numbered,
}

/// Pairs the removed columns of a table with those that were added to it.
pub(super) fn columns(old: &Relation, new: &Relation, kinship: Kinship) -> Vec<Pair> {
    let names = |it: &Relation| -> HashSet<String> {
        readable_columns(it).map(|it| it.name.clone()).collect()
    };
    let (old_names, new_names) = (names(old), names(new));
    let removed = |(_, it): &(usize, &Column)| it.readable && !new_names.contains(&it.name);
    let added = |(_, it): &(usize, &Column)| it.readable && !old_names.contains(&it.name);
    let removed: Vec<_> = old.columns.iter().enumerate().filter(removed).collect();
    let added: Vec<_> = new.columns.iter().enumerate().filter(added).collect();
    // Postgres puts a new column behind all others: what is new before one that was there has only a new name.
    let last_kept = new.columns.iter().rposition(|it| old_names.contains(&it.name));
    let mut candidates = Vec::new();
    for (at, before) in &removed {
        for (new_at, after) in &added {
            let in_place = kinship == Kinship::Same && last_kept.is_some_and(|last| *new_at < last);
            let looks = column_confidence((old, *at, before), (new, *new_at, after), in_place);
            let confidence = match kinship {
                Kinship::Numbered if old.number(*at) == new.number(*new_at) => 1.0,
                // Another column, which may have taken the place of the former one all the same.
                Kinship::Numbered => 0.7 * looks,
                Kinship::Same | Kinship::Alike => looks,
            };
            candidates.push(Pair { before: *at, after: *new_at, confidence });
        }
    }
    best(candidates)
}

fn column_confidence(
    (old, at, before): (&Relation, usize, &Column),
    (new, new_at, after): (&Relation, usize, &Column),
    in_place: bool,
) -> f64 {
    let kind = match () {
        () if before.type_name == after.type_name => 1.0,
        () if before.class == after.class => 0.5,
        () => 0.0,
    };
    let neighbour = |relation: &Relation, at: Option<usize>| -> Option<String> {
        Some(relation.columns.get(at?)?.name.clone())
    };
    let left = neighbour(old, at.checked_sub(1)) == neighbour(new, new_at.checked_sub(1));
    let right = neighbour(old, Some(at + 1)) == neighbour(new, Some(new_at + 1));
    let place = match (left, right) {
        (true, true) => 1.0,
        (true, false) | (false, true) => 0.6,
        (false, false) if at == new_at => 0.3,
        (false, false) => 0.0,
    };
    let key = |it: &Relation, at: usize| {
        let referring = it.foreign_keys.iter().any(|it| it.columns.contains(&at));
        (it.primary_key().contains(&at), referring)
    };
    let same = [
        before.nullable == after.nullable,
        before.default == after.default,
        before.comment == after.comment,
        key(old, at) == key(new, new_at),
    ];
    let rest = same.iter().filter(|it| **it).fold(0.0, |sum, _| sum + 0.25);
    let name = likeness(&before.name, &after.name);
    if in_place && left && right {
        return 0.95 + 0.04 * kind;
    }
    let surely = if in_place { 0.15 } else { 0.0 };
    let looks = 0.35 * kind + 0.25 * place + 0.3 * name + 0.1 * rest + surely;
    // Two columns of one type at the end of a table are not the same for that.
    if kind == 0.0 || name < 0.2 && place < 1.0 && !in_place {
        return looks.min(LEAST - 0.01);
    }
    looks.min(0.98)
}

/// The best pairs first, each thing once. A pair that another one nearly equals is less sure.
fn best(mut candidates: Vec<Pair>) -> Vec<Pair> {
    candidates.retain(|it| it.confidence >= LEAST);
    candidates.sort_by(|a, b| {
        let order = b.confidence.total_cmp(&a.confidence);
        order.then_with(|| (a.before, a.after).cmp(&(b.before, b.after)))
    });
    // Best first, as they are sorted.
    let (mut of_before, mut of_after) = (HashMap::new(), HashMap::new());
    for pair in &candidates {
        of_before.entry(pair.before).or_insert_with(Vec::new).push(*pair);
        of_after.entry(pair.after).or_insert_with(Vec::new).push(*pair);
    }
    let (mut left, mut right) = (HashSet::new(), HashSet::new());
    let mut pairs = Vec::new();
    for pair in &candidates {
        if left.contains(&pair.before) || right.contains(&pair.after) {
            continue;
        }
        let other_after = of_before[&pair.before]
            .iter()
            .find(|it| it.after != pair.after && !right.contains(&it.after));
        let other_before = of_after[&pair.after]
            .iter()
            .find(|it| it.before != pair.before && !left.contains(&it.before));
        let rival = other_after.into_iter().chain(other_before).map(|it| it.confidence);
        let lead = pair.confidence - rival.fold(0.0, f64::max);
        let confidence = match lead {
            _ if pair.confidence >= 1.0 => 1.0,
            lead if lead < 0.1 => pair.confidence * (0.75 + 2.5 * lead),
            _ => pair.confidence,
        };
        left.insert(pair.before);
        right.insert(pair.after);
        if confidence >= LEAST {
            pairs.push(Pair { confidence, ..*pair });
        }
    }
    pairs
}
