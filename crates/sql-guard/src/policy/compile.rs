//! Restrictions, made ready for the walk: for each relation what stands in its place.

use std::collections::{BTreeMap, HashMap, HashSet};

use plinth_connections::TableName;
use plinth_schema_introspect::{Catalog, Column, Relation, RelationKind, TypeClass};

use super::{Mask, Piece, PolicyParameter, Predicate, ROW, Restriction, quoted};
use crate::facts::RelationId;

/// What holds for one relation.
#[derive(Debug, Default)]
pub(crate) struct Policed {
    /// Whether a restriction names it.
    pub(crate) own: bool,
    /// What stands in its place; `None` if all of it may be seen.
    pub(crate) source: Option<RewrittenSource>,
    /// Why it may not be read.
    pub(crate) closed: Option<String>,
    /// Why it may not be read together with the tables that inherit from it.
    pub(crate) closed_with_children: Option<String>,
}

/// A subquery in the place of a relation.
#[derive(Debug)]
pub(crate) struct RewrittenSource {
    /// What it selects.
    select: Vec<Piece>,
    name: String,
    /// What follows the name.
    condition: Vec<Piece>,
    /// Whether rows are hidden.
    fenced: bool,
    /// The columns that are masked.
    masked: Vec<String>,
}

impl RewrittenSource {
    /// Whether it hides rows, and not only values.
    pub(crate) fn hides_rows(&self) -> bool {
        self.fenced
    }

    /// Whether it masks that column.
    pub(crate) fn masks(&self, column: &str) -> bool {
        self.masked.iter().any(|it| it == column)
    }

    /// The columns that it masks.
    pub(crate) fn masked(&self) -> &[String] {
        &self.masked
    }

    /// Its pieces, for the table alone or with what inherits from it.
    pub(super) fn pieces(&self, only: bool) -> impl Iterator<Item = Piece> {
        let from = Piece::Text(if only { " FROM ONLY " } else { " FROM " }.to_owned());
        let select = self.select.iter().cloned();
        let name = [from, Piece::Relation(self.name.clone())];
        select.chain(name).chain(self.condition.iter().cloned())
    }
}

/// Everything that restricts one kind of caller.
#[derive(Debug, Default)]
pub(crate) struct Policing {
    policed: HashMap<RelationId, Policed>,
    /// What each view and materialized view names, and whether it names what is not in the catalog.
    reads: HashMap<RelationId, (Vec<RelationId>, bool)>,
}

impl Policing {
    pub(crate) fn new(catalog: &Catalog, restrictions: &[Restriction]) -> Self {
        if restrictions.is_empty() {
            return Self::default();
        }
        let ids: HashMap<u32, RelationId> =
            catalog.relations.iter().enumerate().map(|(id, it)| (it.oid, id)).collect();
        let parents: Vec<Vec<RelationId>> = catalog
            .relations
            .iter()
            .map(|it| {
                it.partition_of
                    .iter()
                    .chain(&it.inherits)
                    .filter_map(|oid| ids.get(oid).copied())
                    .collect()
            })
            .collect();
        let mut own: HashMap<RelationId, Vec<&Restriction>> = HashMap::new();
        for it in restrictions {
            let named = |of: &std::sync::Arc<Relation>| {
                of.schema == it.relation.schema && of.name == it.relation.name
            };
            if let Some(id) = catalog.relations.iter().position(named) {
                own.entry(id).or_default().push(it);
            }
        }
        let mut policed: HashMap<RelationId, Policed> = HashMap::new();
        for (id, relation) in catalog.relations.iter().enumerate() {
            let ancestors = reachable(id, &parents);
            let inherited = ancestors.iter().filter_map(|it| own.get(it)).flatten().copied();
            let all: Vec<&Restriction> =
                own.get(&id).into_iter().flatten().copied().chain(inherited).collect();
            if !all.is_empty() {
                let entry = policed.entry(id).or_default();
                entry.own = own.contains_key(&id);
                match combine(relation, &all) {
                    Ok(source) => entry.source = source,
                    Err(why) => entry.closed = Some(why),
                }
            }
            let hides = own.get(&id).is_some_and(|it| it.iter().any(|it| restricts(it)));
            for ancestor in ancestors.into_iter().filter(|_| hides) {
                let why = format!(
                    "it also shows the rows of `{}.{}`, which has a policy of its own; the policy belongs on the parent",
                    relation.schema, relation.name
                );
                policed.entry(ancestor).or_default().closed_with_children = Some(why);
            }
        }
        let is_view =
            |it: &Relation| matches!(it.kind, RelationKind::View | RelationKind::MaterializedView);
        let reads = catalog.relations.iter().enumerate().filter(|(_, it)| is_view(it));
        let reads = reads.map(|(id, it)| {
            let known: Vec<RelationId> =
                it.reads.iter().filter_map(|oid| ids.get(oid).copied()).collect();
            // A view that could not be printed when it was read may have been read while it was changed.
            let all_known = known.len() == it.reads.len() && it.definition.is_some();
            (id, (known, !all_known))
        });
        Self { policed, reads: reads.collect() }
    }

    /// Whether nothing is restricted.
    pub(crate) fn is_empty(&self) -> bool {
        self.policed.is_empty()
    }

    pub(crate) fn of(&self, id: RelationId) -> Option<&Policed> {
        self.policed.get(&id)
    }

    /// The relations under a view, itself excepted, views within it among them, and whether it reads what is not known.
    pub(crate) fn under(&self, view: RelationId) -> (HashSet<RelationId>, bool) {
        let mut seen = HashSet::new();
        let mut unknown = false;
        let mut open = vec![view];
        while let Some(id) = open.pop() {
            if let Some((reads, more)) = self.reads.get(&id) {
                unknown |= more;
                open.extend(reads.iter().filter(|it| seen.insert(**it)));
            }
        }
        (seen, unknown)
    }

    /// Whether a relation, read as it is, would show what a restriction hides.
    pub(crate) fn hides_something_of(&self, id: RelationId) -> bool {
        self.policed.get(&id).is_some_and(|it| {
            it.source.is_some() || it.closed.is_some() || it.closed_with_children.is_some()
        })
    }
}

fn restricts(it: &Restriction) -> bool {
    !it.rows.is_empty() || !it.masks.is_empty() || it.closed.is_some()
}

fn reachable(from: RelationId, parents: &[Vec<RelationId>]) -> Vec<RelationId> {
    let mut found = Vec::new();
    let mut open = parents[from].clone();
    while let Some(id) = open.pop() {
        if id != from && !found.contains(&id) {
            found.push(id);
            open.extend(&parents[id]);
        }
    }
    found
}

/// All restrictions of a relation together: rows that satisfy every predicate, each column under its strictest mask.
fn combine(relation: &Relation, all: &[&Restriction]) -> Result<Option<RewrittenSource>, String> {
    if let Some(why) = all.iter().find_map(|it| it.closed.clone()) {
        return Err(why);
    }
    let mut masks: BTreeMap<&str, Mask> = BTreeMap::new();
    for (column, mask) in all.iter().flat_map(|it| &it.masks) {
        let known = masks.get(column.as_str()).copied();
        masks.insert(column, known.map_or(*mask, |it| it.stricter(*mask)));
    }
    let predicates: Vec<&Predicate> = all.iter().flat_map(|it| &it.rows).collect();
    if masks.is_empty() && predicates.is_empty() {
        return Ok(None);
    }
    let needed = masks.keys().copied().chain(predicates.iter().flat_map(|it| it.columns()));
    for column in needed {
        if relation.column(column).is_none() {
            return Err(format!(
                "a policy is about its column `{column}`, which is not there; the policy has to be mended first"
            ));
        }
    }
    let mut select = vec![Piece::Text("(SELECT ".to_owned())];
    for (at, column) in relation.columns.iter().filter(|it| it.readable).enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        select.push(Piece::Text(comma.to_owned()));
        match masks.get(column.name.as_str()) {
            None => select.push(Piece::Column(quoted(&column.name))),
            Some(mask) => {
                select.extend(masked(column, *mask));
                select.push(Piece::Text(format!(" AS {}", quoted(&column.name))));
            }
        }
    }
    let mut condition = vec![Piece::Text(format!(" AS {ROW}"))];
    for (at, predicate) in predicates.iter().enumerate() {
        condition.push(Piece::Text(if at == 0 { " WHERE (" } else { " AND (" }.to_owned()));
        condition.extend_from_slice(predicate.pieces());
        condition.push(Piece::Text(")".to_owned()));
    }
    // The fence. Masks alone hide no rows, so the planner may do as it likes.
    let end = if predicates.is_empty() { ")" } else { " OFFSET 0)" };
    condition.push(Piece::Text(end.to_owned()));
    let name = TableName { schema: quoted(&relation.schema), name: quoted(&relation.name) };
    let fenced = !predicates.is_empty();
    let masked = masks.keys().map(|it| (*it).to_owned()).collect();
    Ok(Some(RewrittenSource { select, name: name.to_string(), condition, fenced, masked }))
}

/// What stands in a masked column's place. Every name is qualified: nothing of the database's own can be meant.
fn masked(column: &Column, mask: Mask) -> Vec<Piece> {
    let value = format!("{ROW}.{}", quoted(&column.name));
    // Not a cast, which could be one of the database's own: `concat` asks the type itself for its text.
    let text = format!("pg_catalog.concat({value})");
    let piece = |text: String| vec![Piece::Text(text)];
    match mask {
        // A null of the column's own type, without naming the type.
        Mask::Null => piece(format!("CASE WHEN false THEN {value} END")),
        Mask::Full if column.class == TypeClass::Text => {
            piece(format!("CASE WHEN {value} IS NOT NULL THEN '***'::pg_catalog.text END"))
        }
        Mask::Full => piece(format!("CASE WHEN false THEN {value} END")),
        Mask::Partial { keep_last } => piece(format!(
            "CASE WHEN {value} IS NULL THEN NULL \
             WHEN pg_catalog.length({text}) OPERATOR(pg_catalog.>) {keep_last} \
             THEN '***'::pg_catalog.text OPERATOR(pg_catalog.||) pg_catalog.right({text}, {keep_last}) \
             ELSE '***'::pg_catalog.text END"
        )),
        Mask::Hash => vec![
            Piece::Text(format!(
                "CASE WHEN {value} IS NOT NULL THEN pg_catalog.encode(pg_catalog.sha256("
            )),
            Piece::Parameter(PolicyParameter::HashOuter),
            Piece::Text(" OPERATOR(pg_catalog.||) pg_catalog.sha256(".to_owned()),
            Piece::Parameter(PolicyParameter::HashInner),
            Piece::Text(format!(
                " OPERATOR(pg_catalog.||) pg_catalog.convert_to({text}, 'UTF8'))), 'hex') END"
            )),
        ],
    }
}
