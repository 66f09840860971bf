//! "Who placed it?", "and the ones below Kitchen", "what percent of all members is that?": what belongs to the rows that the
//! last answer found, and which part of a whole they are.

use std::ops::Range;

use super::{
    Changed, Doubt, Talk,
    apply::Applied,
    edit::{Edit, multiplies},
};
use crate::{
    link::{self, Meaning},
    logical::{Aggregate, ColumnRef, Comparison, Expr, Literal, LogicalQuery, Predicate},
    shape,
};

/// Words in names of columns that say in which way something is done.
const MANNERS: [&str; 6] = ["method", "type", "mode", "means", "way", "channel"];

impl Talk<'_> {
    /// The key of the one row that the last answer is about, as a query over its table: the only row that it shows, or the one
    /// that it was looked up for.
    fn thing(&self) -> Option<(usize, LogicalQuery)> {
        let past = &self.past.query;
        let root = past.root?;
        let plain = past.per.is_empty() && past.set.is_none() && past.source.is_none();
        if past.limit == Some(1) && plain && !past.select.iter().any(Expr::is_aggregate) {
            let key = Expr::Column(self.key(root)?);
            if past.group.is_empty() || past.group.contains(&key) {
                let query = LogicalQuery { select: vec![key], distinct: false, ..past.clone() };
                return Some((root, query));
            }
        }
        past.filter.iter().find_map(|it| match it {
            Predicate::InQuery { query, negated: false, .. } if query.limit == Some(1) => {
                let root = query.root?;
                (query.select == [Expr::Column(self.key(root)?)])
                    .then(|| (root, query.as_ref().clone()))
            }
            _ => None,
        })
    }

    /// The key of a table, where it is one column.
    fn key(&self, table: usize) -> Option<ColumnRef> {
        match self.index.tables[table].primary.as_slice() {
            [key] => Some(ColumnRef::new(table, *key)),
            _ => None,
        }
    }

    /// What people know the rows of a table by.
    fn display(&self, table: usize) -> Vec<Expr> {
        let columns = self.index.tables[table].display.iter();
        columns.map(|it| Expr::Column(ColumnRef::new(table, *it))).collect()
    }

    /// Something of the rows that one column leads to the one thing from.
    fn of_the_thing(
        &self,
        root: usize,
        select: Vec<Expr>,
        by: ColumnRef,
        thing: LogicalQuery,
    ) -> Applied {
        let query = LogicalQuery {
            select,
            root: Some(root),
            filter: vec![Predicate::InQuery {
                columns: vec![by],
                query: Box::new(thing),
                negated: false,
            }],
            ..LogicalQuery::default()
        };
        let mut changed = self.edited([Edit::Whole(Box::new(query))]);
        changed.confidence = 0.9;
        Ok(changed)
    }

    /// `who placed it`: the only people that the one thing refers to.
    pub(super) fn actor(&self) -> Applied {
        let nobody = || Doubt::new("Who did what? The last answer is not about one thing.");
        let (root, thing) = self.thing().ok_or_else(nobody)?;
        let mut others: Vec<usize> = Vec::new();
        for &edge in &self.index.edges_of[root] {
            let edge = &self.index.edges[edge];
            if edge.from == root && edge.to != root && !others.contains(&edge.to) {
                others.push(edge.to);
            }
        }
        // people have two names; where nobody has, the only thing that it belongs to may be somebody
        let named = |it: &usize| self.index.tables[*it].display.len() == 2;
        let people: Vec<usize> = others.iter().copied().filter(named).collect();
        let people = if people.is_empty() { others } else { people };
        let known = |it: usize| self.index.tables[it].display != self.index.tables[it].primary;
        let ([one], Some(key)) = (people.as_slice(), self.key(root)) else {
            return Err(Doubt::new("Several or no people belong to it; ask in full."));
        };
        if !known(*one) {
            return Err(Doubt::new("Nobody's name is kept with it; ask in full."));
        }
        self.of_the_thing(root, self.display(*one), key, thing)
    }

    /// `how did they pay`: the method that is kept with it, or with what belongs to it.
    pub(super) fn manner(&self, verb: Range<usize>) -> Applied {
        let words = self.text(verb.clone()).to_owned();
        let (root, thing) = self.thing().ok_or_else(|| self.unknown(&words))?;
        let stem = self.tokens.get(verb.start).map_or("", |it| it.stem.as_str());
        let akin = |all: &[String]| all.iter().any(|it| stem.len() > 2 && it.starts_with(stem));
        let mut found: Vec<(usize, ColumnRef, ColumnRef)> = Vec::new();
        let mut look = |table: usize, by: ColumnRef| {
            let info = &self.index.tables[table];
            for (at, it) in info.columns.iter().enumerate() {
                let manner = it.class.is_textual()
                    && !it.is_id()
                    && it.words.last().is_some_and(|it| MANNERS.contains(&it.as_str()));
                if manner && (akin(&info.words) || akin(&it.words)) {
                    found.push((table, ColumnRef::new(table, at), by));
                }
            }
        };
        if let Some(key) = self.key(root) {
            look(root, key);
        }
        for &edge in &self.index.edges_of[root] {
            let edge = &self.index.edges[edge];
            if let (true, [by]) = (edge.to == root, edge.from_columns.as_slice()) {
                look(edge.from, ColumnRef::new(edge.from, *by));
            }
        }
        let [(table, column, by)] = found.as_slice() else { return Err(self.unknown(&words)) };
        self.of_the_thing(*table, vec![Expr::Column(*column)], *by, thing)
    }

    /// `and its status`: something that is kept with the one thing. `None` if the words do not begin so.
    pub(super) fn belonging(&self, what: Range<usize>) -> Option<Applied> {
        if !matches!(self.tokens[what.start].lower.as_str(), "its" | "their" | "his" | "her") {
            return None;
        }
        let (root, thing) = self.thing()?;
        let words = self.text(what.start + 1..what.end).to_owned();
        let roots = crate::meta::plural(&self.index.tables[root].words.join(" "));
        let reading = self.read(&format!("{words} of {roots}"))?;
        let query = &reading.query;
        let plain = query.root == Some(root)
            && query.filter.is_empty()
            && query.group.is_empty()
            && query.order.is_empty()
            && query.select.iter().all(|it| matches!(it, Expr::Column(_)));
        let key = self.key(root).filter(|_| plain)?;
        Some(self.of_the_thing(root, query.select.clone(), key, thing))
    }

    /// The reference of a table to itself.
    fn superior(&self, table: usize) -> Option<ColumnRef> {
        let mut own = self.index.edges_of[table]
            .iter()
            .map(|it| &self.index.edges[*it])
            .filter(|it| it.from == it.to);
        let edge = own.next()?;
        match (own.next(), edge.from_columns.as_slice()) {
            (None, [column]) => Some(ColumnRef::new(table, *column)),
            _ => None,
        }
    }

    /// `who reports to those`: the rows whose superiors the last answer found.
    pub(super) fn beneath(&self) -> Applied {
        let past = &self.past.query;
        let unclear = || Doubt::new("Who belongs to whom? The last answer has no superiors.");
        let root = past.root.ok_or_else(unclear)?;
        let (superior, key) = self.superior(root).zip(self.key(root)).ok_or_else(unclear)?;
        let rows = past.group.is_empty()
            && past.per.is_empty()
            && past.source.is_none()
            && !past.select.iter().any(Expr::is_aggregate);
        if !rows {
            return Err(unclear());
        }
        let above = LogicalQuery {
            select: vec![Expr::Column(key)],
            distinct: false,
            order: if past.limit.is_some() { past.order.clone() } else { Vec::new() },
            ..past.clone()
        };
        // whoever asks for those who are there asks so again
        let there = past.filter.iter().filter(|it| {
            matches!(it, Predicate::Null { column, negated: false }
                if column.role == 0
                    && column.table == root
                    && self.index.column(*column).class.is_temporal())
        });
        let mut filter = vec![Predicate::InQuery {
            columns: vec![superior],
            query: Box::new(above),
            negated: false,
        }];
        filter.extend(there.cloned());
        let query = LogicalQuery {
            select: past.select.clone(),
            root: Some(root),
            filter,
            ..LogicalQuery::default()
        };
        let mut changed = self.edited([Edit::Whole(Box::new(query))]);
        changed.confidence = 0.9;
        Ok(changed)
    }

    /// `the ones below Kitchen`, of rows that belong to others of their table. `None` if the words do not say so.
    pub(super) fn below(&self, what: Range<usize>) -> Option<Changed> {
        let past = &self.past.query;
        let root = past.root.filter(|_| past.group.is_empty() && past.set.is_none())?;
        let superior = self.superior(root)?;
        let mut at = what.start;
        while at < what.end
            && matches!(
                self.tokens[at].lower.as_str(),
                "the" | "those" | "ones" | "that" | "which" | "are" | "is" | "all"
            )
        {
            at += 1;
        }
        let led = at < what.end
            && matches!(
                self.tokens[at].lower.as_str(),
                "below" | "under" | "beneath" | "underneath" | "within" | "inside"
            );
        let led = led.then_some(at + 1)?;
        let items = link::link(self.index, &self.tokens[led..what.end], &[]);
        let named: Vec<&link::Item> =
            items.iter().filter(|it| !matches!(it.lower.as_str(), "the" | "our")).collect();
        let [link::Item { meaning: Meaning::Value(links), .. }] = named.as_slice() else {
            return None;
        };
        let display = &self.index.tables[root].display;
        let link = links.iter().find(|it| it.table == root && display.contains(&it.column))?;
        let mut query = past.clone();
        query.filter.retain(|it| {
            !matches!(it, Predicate::Null { column, .. } if *column == superior)
                && !matches!(it, Predicate::Compare(Expr::Column(column), ..) if column.role == 1)
        });
        let name = ColumnRef { table: root, column: link.column, role: 1 };
        query.filter.push(Predicate::Compare(
            Expr::Column(name),
            Comparison::Equal,
            Expr::Literal(Literal::Text(link.value.clone())),
        ));
        shape::bind_parent(self.index, &mut query, name);
        Some(self.edited([Edit::Whole(Box::new(query))]))
    }

    /// `what percent of all members is that`: the last answer as a part of what these words say.
    pub(super) fn part_of(&self, whole: Range<usize>) -> Applied {
        let past = &self.past.query;
        let words = self.text(whole).to_owned();
        let plain = past.group.is_empty()
            && past.per.is_empty()
            && past.set.is_none()
            && past.source.is_none()
            && past.limit.is_none();
        let counted = match past.select.as_slice() {
            [
                one @ Expr::Aggregate {
                    function: Aggregate::Count | Aggregate::Sum,
                    filter: None,
                    ..
                },
            ] => one.clone(),
            shown if !shown.iter().any(Expr::is_aggregate) => Expr::count(),
            _ => return Err(self.unknown(&words)),
        };
        if !plain || multiplies(self.index, past) {
            return Err(self.unknown(&words));
        }
        let reading =
            self.read(&format!("number of {words}")).ok_or_else(|| self.unknown(&words))?;
        let all = &reading.query;
        let same = all.root == past.root
            && all.group.is_empty()
            && all.having.is_empty()
            && all.limit.is_none()
            && all.instances().iter().all(|it| past.instances().contains(it))
            && all.filter.iter().all(|it| past.filter.contains(it));
        let part: Vec<Predicate> =
            past.filter.iter().filter(|it| !all.filter.contains(it)).cloned().collect();
        if !same || part.is_empty() {
            return Err(Doubt::new(format!(
                "The last answer is no part of all {words}, as far as I can see; ask in full."
            )));
        }
        let narrowed = match part.as_slice() {
            [one] => one.clone(),
            _ => Predicate::And(part),
        };
        let share = shape::only(&counted, &narrowed).ok_or_else(|| self.unknown(&words))?;
        let shown = Edit::Shape {
            select: vec![Expr::Percentage(Box::new(share), Box::new(counted))],
            group: Vec::new(),
            having: Vec::new(),
            distinct: false,
        };
        let filter = Edit::Conditions(all.filter.clone());
        let mut changed = self.edited([shown, filter, Edit::Order(Vec::new())]);
        changed.confidence = reading.confidence;
        changed.assumptions = reading.assumptions;
        Ok(changed)
    }
}
