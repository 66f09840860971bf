//! Narrows the last answer down: "only the German ones", "and last month?", "and who left?".

use super::{
    Doubt, Talk,
    apply::Applied,
    edit::{Edit, columns_of, is_nested, mapped_all, mapped_condition, multiplies, says_when},
};
use crate::{
    hierarchy,
    lexicon::LEXICON,
    link::{self, Meaning},
    logical::{ColumnRef, Comparison, Expr, Literal, Predicate},
};

impl Talk<'_> {
    /// The last answer's rows of which these words hold too.
    pub(super) fn narrowed(&self, what: std::ops::Range<usize>) -> Applied {
        let words = self.text(what.clone()).to_owned();
        let (mut replaced, mut found) = self.conditions(what)?;
        if let Some((before, instead)) = self.another_event(&found) {
            replaced.push(before);
            found.conditions = vec![instead];
        }
        let mut filter: Vec<Predicate> =
            self.past.query.filter.iter().filter(|it| !replaced.contains(it)).cloned().collect();
        for it in &found.conditions {
            if !filter.contains(it) {
                filter.push(it.clone());
            }
        }
        if filter == self.past.query.filter {
            return Err(Doubt::new(format!("The last answer is about “{words}” already.")));
        }
        self.filtered(filter, found)
    }

    /// `and who left?` after those who joined in some year: what else happened to them then.
    fn another_event(&self, found: &Found) -> Option<(Predicate, Predicate)> {
        let [Predicate::Null { column, negated: true }] = found.conditions.as_slice() else {
            return None;
        };
        let when: Vec<&Predicate> =
            self.past.query.filter.iter().filter(|it| says_when(self.index, it)).collect();
        let [before] = when.as_slice() else { return None };
        let columns = columns_of(std::slice::from_ref(*before));
        let [other] = columns.as_slice() else { return None };
        let fits = self.index.column(*column).class.is_temporal()
            && (other.table, other.role) == (column.table, column.role)
            && other != column;
        let instead = mapped_condition(before, &mut |_| Some(*column))?;
        fits.then(|| ((*before).clone(), instead))
    }

    pub(super) fn filtered(&self, filter: Vec<Predicate>, found: Found) -> Applied {
        let mut changed = self.edited([Edit::Conditions(filter)]);
        changed.confidence = found.confidence;
        changed.assumptions = found.assumptions;
        let many =
            multiplies(self.index, &changed.query) && !multiplies(self.index, &self.past.query);
        if many {
            return Err(Doubt::new(
                "One row of the last answer has several of what you name, so that it would stand there more than once; ask in full.",
            ));
        }
        Ok(changed)
    }

    /// Another time, of the same moments where there were some.
    pub(super) fn when(&self, words: &str) -> Applied {
        let past = &self.past.query;
        if is_nested(past) {
            return Err(Doubt::new(format!(
                "The last answer reads one list inside another; whose time is “{words}”? Ask in full."
            )));
        }
        let (_, roots) = self.happening().ok_or_else(|| self.unknown(words))?;
        let (before, mut filter): (Vec<Predicate>, Vec<Predicate>) =
            past.filter.iter().cloned().partition(|it| says_when(self.index, it));
        let moments = columns_of(&before);
        let reading = self
            .read(&format!("number of {roots} {words}"))
            .or_else(|| self.read(&format!("number of {roots} in {words}")));
        let read: Option<Vec<Predicate>> = reading.as_ref().map(|it| {
            it.query.filter.iter().filter(|it| says_when(self.index, it)).cloned().collect()
        });
        let mut assumptions = Vec::new();
        let found = match (moments.as_slice(), read) {
            (_, None) => return Err(self.unknown(words)),
            (_, Some(read)) if read.is_empty() => return Err(self.unknown(words)),
            ([], Some(read)) => {
                assumptions.extend(reading.iter().flat_map(|it| it.assumptions.clone()));
                read
            }
            ([moment], Some(read)) => {
                mapped_all(&read, &mut |_| Some(*moment)).ok_or_else(|| self.unknown(words))?
            }
            _ => {
                return Err(Doubt::new(format!(
                    "The last answer is about several moments; which of them is “{words}”?"
                )));
            }
        };
        filter.extend(found);
        if filter == past.filter {
            return Err(Doubt::new(format!("The last answer is about {words} already.")));
        }
        let confidence = reading.map_or(0.0, |it| it.confidence);
        self.filtered(filter, Found { conditions: Vec::new(), confidence, assumptions })
    }

    /// The table whose rows have the time that is asked for, in the plural: of what is summed up or ranked by, else of what the
    /// last answer was about.
    fn happening(&self) -> Option<(usize, String)> {
        let past = &self.past.query;
        let root = self.root()?;
        if past.filter.iter().any(|it| says_when(self.index, it)) {
            return Some(root);
        }
        let mut tables: Vec<usize> = Vec::new();
        let ranked = past.order.iter().map(|it| &it.by);
        for it in past.select.iter().chain(ranked).filter(|it| it.is_aggregate()) {
            it.columns(&mut |it| tables.push(it.table));
        }
        tables.dedup();
        match tables.as_slice() {
            [one] if *one != root.0 => {
                Some((*one, crate::meta::plural(&self.index.tables[*one].words.join(" "))))
            }
            _ => Some(root),
        }
    }

    /// What these words say of rows, and which conditions of the last answer that takes the place of.
    pub(super) fn conditions(
        &self,
        what: std::ops::Range<usize>,
    ) -> Result<(Vec<Predicate>, Found), Doubt> {
        let past = &self.past.query;
        let words = self.text(what.clone()).to_owned();
        let mut end = what.end;
        let mut start = what.start;
        while end > start
            && matches!(self.tokens[end - 1].lower.as_str(), "ones" | "one" | "instead" | "please")
        {
            end -= 1;
        }
        while start < end
            && matches!(
                self.tokens[start].lower.as_str(),
                "the"
                    | "those"
                    | "these"
                    | "that"
                    | "which"
                    | "are"
                    | "for"
                    | "of"
                    | "them"
                    | "in"
                    | "from"
            )
        {
            start += 1;
        }
        let bare = self.text(start..end).to_owned();
        if bare.trim().is_empty() {
            return Err(self.unknown(&words));
        }
        let narrowed: Vec<ColumnRef> = columns_of(&past.filter);
        // a value of a column that was asked about already
        let items = link::link(self.index, &self.tokens[start..end], &[]);
        let telling: Vec<&link::Item> =
            items.iter().filter(|it| !(it.is_word() && LEXICON.is_stop(&it.lower))).collect();
        if let [one] = telling.as_slice()
            && let Meaning::Value(links) = &one.meaning
        {
            let same = links.iter().find(|it| {
                narrowed.iter().any(|at| (at.table, at.column) == (it.table, it.column))
            });
            if let Some(link) = same {
                let column = *narrowed
                    .iter()
                    .find(|at| (at.table, at.column) == (link.table, link.column))
                    .unwrap_or(&narrowed[0]);
                let mut condition = Predicate::Compare(
                    Expr::Column(column),
                    Comparison::Equal,
                    Expr::Literal(Literal::Text(link.value.clone())),
                );
                hierarchy::widen(self.index, past.root, &mut condition);
                let found = Found::sure(condition);
                return Ok((self.replaced(&found.conditions), found));
            }
        }
        if let [one] = telling.as_slice()
            && let Meaning::Value(links) = &one.meaning
            && let Some(condition) = self.value_nearby(links)
        {
            let found = Found::sure(condition);
            return Ok((self.replaced(&found.conditions), found));
        }
        let (root, roots) = self.root().ok_or_else(|| self.unknown(&words))?;
        for sentence in [
            format!("{roots} {}", self.text(what.start..end)),
            format!("{bare} {roots}"),
            format!("{roots} in {bare}"),
            format!("{roots} that are {bare}"),
            format!("{roots} with {bare}"),
            format!("{roots} who {bare}"),
            format!("{roots} that have {bare}"),
        ] {
            let Some(reading) = self.read(&sentence) else { continue };
            let query = &reading.query;
            let only_narrows = query.root == Some(root)
                && query.group.is_empty()
                && query.order.is_empty()
                && query.limit.is_none()
                && query.set.is_none()
                && query.having.is_empty()
                && !query.filter.is_empty()
                && !query.select.iter().any(Expr::is_aggregate);
            if only_narrows {
                let found = Found {
                    conditions: query.filter.clone(),
                    confidence: reading.confidence,
                    assumptions: reading.assumptions.clone(),
                };
                return Ok((self.replaced(&found.conditions), found));
            }
        }
        Err(self.unknown(&bare))
    }

    /// A value of the only column that holds it among the tables that the last answer reads beside the one it is about, where
    /// that one does not hold it: `the German ones`, of orders that stand there by their customers.
    fn value_nearby(&self, links: &[link::ValueLink]) -> Option<Predicate> {
        let past = &self.past.query;
        let root = past.root?;
        let best = links.iter().map(|it| it.score).fold(0.0, f64::max);
        let near = past.instances();
        let mut held =
            links.iter().filter(|it| it.score > best - 0.1 && near.contains(&(it.table, 0)));
        let (one, none) = (held.next()?, held.next().is_none());
        let own = links.iter().any(|it| it.table == root);
        (none && !own).then(|| {
            Predicate::Compare(
                Expr::Column(ColumnRef::new(one.table, one.column)),
                Comparison::Equal,
                Expr::Literal(Literal::Text(one.value.clone())),
            )
        })
    }

    /// The conditions of the last answer that say something else of the same columns: a row has one value there.
    fn replaced(&self, new: &[Predicate]) -> Vec<Predicate> {
        let columns = columns_of(new);
        let same = |it: &&Predicate| {
            let own = columns_of(std::slice::from_ref(it));
            !own.is_empty() && own.iter().all(|it| columns.contains(it))
        };
        self.past.query.filter.iter().filter(same).cloned().collect()
    }
}

/// Conditions that were read.
pub(super) struct Found {
    pub(super) conditions: Vec<Predicate>,
    pub(super) confidence: f64,
    pub(super) assumptions: Vec<String>,
}

impl Found {
    fn sure(condition: Predicate) -> Self {
        Self { conditions: vec![condition], confidence: 1.0, assumptions: Vec::new() }
    }
}
