//! Applies a follow-up to the last answer's query.

use super::{
    Changed, Doubt, Talk,
    edit::{Edit, is_nested, multiplies, says_when},
    phrase::{Intent, Unfilter},
};
use crate::{
    engine::Reading,
    lexicon::LEXICON,
    link::{self, Meaning},
    logical::{Aggregate, ColumnRef, Comparison, Expr, LogicalQuery, OrderKey, Predicate},
    time,
};

pub(super) type Applied = Result<Changed, Doubt>;

impl Talk<'_> {
    /// The last answer's query with what the follow-up changes.
    pub(super) fn change(&self, intent: &Intent) -> Applied {
        let past = &self.past.query;
        if past.set.is_some() && !matches!(intent, Intent::Top(..) | Intent::All | Intent::About(_))
        {
            return Err(Doubt::new(
                "The last answer puts two lists together; ask for what you want in full.",
            ));
        }
        match intent {
            Intent::Why | Intent::Back => Err(Doubt::new("There is nothing to change.")),
            Intent::Percentage => self.percentage(),
            Intent::Sort(what, descending) => self.sort(what.clone(), *descending),
            Intent::Direct(direction) => self.direct(*direction),
            Intent::Top(count, last) => self.top(*count, *last),
            Intent::All => match past.limit {
                None => Err(Doubt::new("The last answer had no limit.")),
                Some(_) if !past.per.is_empty() => Err(Doubt::new(
                    "The last answer has the first of each group; ask for all in full.",
                )),
                Some(_) => Ok(self.edited([Edit::Limit(None)])),
            },
            Intent::By { what, instead, also } => self.by(what.clone(), *instead, *also),
            Intent::Count => self.count(),
            Intent::Rows => self.rows(),
            Intent::Show(what) => self.show(what.clone()),
            Intent::Measure(function) => self.summed_up(*function),
            Intent::Unfilter(which) => self.unfilter(*which),
            Intent::Without(what) => self.without(what.clone()),
            Intent::About(what) => self.about(what.clone()),
            Intent::Shift(step) => self.shifted(*step),
            Intent::Among { what, count } => self.among(what.clone(), *count),
            Intent::MeasureOf(function, of) => self.summed_up_of(*function, of.clone()),
            Intent::PartOf(whole) => self.part_of(whole.clone()),
            Intent::Beneath => self.beneath(),
            Intent::Actor => self.actor(),
            Intent::Manner(verb) => self.manner(verb.clone()),
        }
    }

    /// The last query after these edits.
    pub(super) fn edited(&self, edits: impl IntoIterator<Item = Edit>) -> Changed {
        let mut query = self.past.query.clone();
        let mut inverse: Vec<Edit> = edits.into_iter().map(|it| it.apply(&mut query)).collect();
        inverse.reverse();
        Changed { query, inverse, confidence: 1.0, assumptions: Vec::new() }
    }

    fn shape(&self, select: Vec<Expr>, group: Vec<Expr>) -> Edit {
        let past = &self.past.query;
        Edit::Shape { select, group, having: past.having.clone(), distinct: past.distinct }
    }

    /// Refuses what would count rows several times that were counted once.
    fn once(&self, changed: Changed) -> Applied {
        let counts = |query: &LogicalQuery| {
            query.select.iter().chain(query.order.iter().map(|it| &it.by)).any(|it| {
                it.is_aggregate()
                    && !matches!(
                        it,
                        Expr::Aggregate { distinct: true, .. }
                            | Expr::Aggregate { function: Aggregate::Min | Aggregate::Max, .. }
                    )
            })
        };
        let again = multiplies(self.index, &changed.query)
            && !multiplies(self.index, &self.past.query)
            && counts(&changed.query);
        if again {
            return Err(Doubt::new(
                "One row of the last answer has several of what you name, so that its numbers would count too often; ask in full.",
            ));
        }
        Ok(changed)
    }

    fn limit_free(&self) -> Result<(), Doubt> {
        let past = &self.past.query;
        if past.per.is_empty() {
            return Ok(());
        }
        Err(Doubt::new(
            "The last answer has the first of each group; ask for what you want in full.",
        ))
    }

    fn percentage(&self) -> Applied {
        let past = &self.past.query;
        self.limit_free()?;
        let measures: Vec<usize> =
            (0..past.select.len()).filter(|it| past.select[*it].is_aggregate()).collect();
        let [at] = measures.as_slice() else {
            return Err(Doubt::new(
                "A percentage of what? The last answer is not one number, or one number for each group.",
            ));
        };
        let part = past.select[*at].clone();
        let sums = matches!(
            &part,
            Expr::Aggregate { function: Aggregate::Count | Aggregate::Sum, filter: None, .. }
        );
        if !sums || is_nested(past) {
            return Err(Doubt::new("Only counts and sums have parts; a percentage of what?"));
        }
        let mut select = past.select.clone();
        if !past.group.is_empty() {
            // of all groups together
            let whole = LogicalQuery {
                select: vec![part.clone()],
                group: Vec::new(),
                having: Vec::new(),
                order: Vec::new(),
                limit: None,
                distinct: false,
                ..past.clone()
            };
            select[*at] =
                Expr::Percentage(Box::new(part.clone()), Box::new(Expr::Scalar(Box::new(whole))));
            let order = past.order.iter().map(|it| {
                let by = if it.by == part { select[*at].clone() } else { it.by.clone() };
                OrderKey { by, descending: it.descending }
            });
            let order = order.collect();
            return Ok(self.edited([self.shape(select, past.group.clone()), Edit::Order(order)]));
        }
        let (when, what): (Vec<_>, Vec<_>) =
            past.filter.iter().cloned().partition(|it| says_when(self.index, it));
        if what.is_empty() {
            return Err(Doubt::new("A percentage of what? Nothing narrows the last answer down."));
        }
        let Expr::Aggregate { function, distinct, argument, .. } = &part else {
            return Err(Doubt::new("A percentage of what?"));
        };
        let filter = if let [one] = what.as_slice() { one.clone() } else { Predicate::And(what) };
        let narrowed = Expr::Aggregate {
            function: *function,
            distinct: *distinct,
            argument: argument.clone(),
            filter: Some(Box::new(filter)),
        };
        select[*at] = Expr::Percentage(Box::new(narrowed), Box::new(part.clone()));
        Ok(self.edited([self.shape(select, Vec::new()), Edit::Conditions(when)]))
    }

    fn sort(&self, what: std::ops::Range<usize>, descending: Option<bool>) -> Applied {
        let past = &self.past.query;
        self.limit_free()?;
        let words = self.text(what.clone()).to_owned();
        // what is shown already, by its own name
        let links = self.names(what.clone());
        let shown = past.select.iter().filter(|it| {
            let mut columns = Vec::new();
            it.columns(&mut |it| columns.push((it.table, it.column)));
            links.iter().any(|link| {
                link.column.is_some_and(|column| columns.contains(&(link.table, column)))
            })
        });
        let shown: Vec<&Expr> = shown.collect();
        let counted = matches!(
            words.trim().to_lowercase().as_str(),
            "count" | "number" | "the count" | "the number"
        );
        let counts = past
            .select
            .iter()
            .find(|it| matches!(it, Expr::Aggregate { function: Aggregate::Count, .. }));
        let key = match (shown.as_slice(), counts) {
            (_, Some(it)) if counted => it.clone(),
            ([one], _) => (*one).clone(),
            _ => {
                let (_, roots) = self.root().ok_or_else(|| self.unknown(&words))?;
                let grouped = !past.group.is_empty();
                let sentence = if grouped {
                    format!("total {words} of {roots}")
                } else {
                    format!("{roots} sorted by {words}")
                };
                let reading = self.read(&sentence).ok_or_else(|| self.unknown(&words))?;
                if grouped {
                    let one = reading.query.select.iter().find(|it| it.is_aggregate());
                    let held = reading.query.filter.iter().all(|it| past.filter.contains(it));
                    one.cloned().filter(|_| held).ok_or_else(|| self.unknown(&words))?
                } else {
                    let [key] = reading.query.order.as_slice() else {
                        return Err(self.unknown(&words));
                    };
                    if key.by.is_aggregate() {
                        return Err(Doubt::new(format!(
                            "“{words}” is not one value for each row of the last answer; ask in full."
                        )));
                    }
                    key.by.clone()
                }
            }
        };
        let descending = descending.unwrap_or_else(|| match &key {
            Expr::Column(it) => self.index.column(*it).class.is_numeric(),
            _ => key.is_aggregate(),
        });
        self.once(self.edited([Edit::Order(vec![OrderKey { by: key, descending }])]))
    }

    fn direct(&self, direction: Option<bool>) -> Applied {
        let past = &self.past.query;
        let mut order = past.order.clone();
        if order.is_empty() {
            let measures: Vec<&Expr> = past.select.iter().filter(|it| it.is_aggregate()).collect();
            let dates: Vec<&Expr> = past
                .select
                .iter()
                .filter(|it| {
                    matches!(it, Expr::Column(it) if self.index.column(*it).class.is_temporal())
                })
                .collect();
            let by = match (measures.as_slice(), dates.as_slice()) {
                ([one], []) | ([], [one]) if past.group.is_empty() != one.is_aggregate() => *one,
                _ => return Err(Doubt::new("Sorted by what? The last answer has no order.")),
            };
            order.push(OrderKey { by: by.clone(), descending: direction != Some(false) });
            return Ok(self.edited([Edit::Order(order)]));
        }
        if direction.is_some_and(|it| order.iter().all(|key| key.descending == it)) {
            return Err(Doubt::new("The last answer is in that order already."));
        }
        for key in &mut order {
            key.descending = !key.descending;
        }
        Ok(self.edited([Edit::Order(order)]))
    }

    fn top(&self, count: u64, last: bool) -> Applied {
        let past = &self.past.query;
        let mut order = past.order.clone();
        if !past.per.is_empty() {
            return if last {
                Err(Doubt::new("The last of each group? Ask for it in full."))
            } else {
                Ok(self.edited([Edit::Limit(Some(count))]))
            };
        }
        if order.is_empty() {
            let measures: Vec<&Expr> = past.select.iter().filter(|it| it.is_aggregate()).collect();
            let [by] = measures.as_slice() else {
                return Err(Doubt::new(format!(
                    "The {} {count} by what? The last answer has no order; say \"sort by\" something first.",
                    if last { "last" } else { "first" }
                )));
            };
            if past.group.is_empty() {
                return Err(Doubt::new("The last answer is a single row."));
            }
            order.push(OrderKey { by: (*by).clone(), descending: true });
        }
        if last {
            for key in &mut order {
                key.descending = !key.descending;
            }
        }
        Ok(self.edited([Edit::Order(order), Edit::Limit(Some(count))]))
    }

    fn by(&self, what: std::ops::Range<usize>, instead: bool, also: bool) -> Applied {
        let past = &self.past.query;
        self.limit_free()?;
        let range = what.clone();
        let words = self.text(what).to_owned();
        let (root, roots) = self.root().ok_or_else(|| self.unknown(&words))?;
        let reading = self
            .read(&format!("number of {roots} by {words}"))
            .or_else(|| self.read(&format!("number of {roots} per {words}")))
            .or_else(|| self.read(&format!("{words} number of {roots}")))
            .or_else(|| self.by_its_kind(root, &roots, &range))
            .ok_or_else(|| self.unknown(&words))?;
        let other = &reading.query;
        if other.group.is_empty() || other.root != Some(root) || !other.filter.is_empty() {
            return Err(self.unknown(&words));
        }
        let keys: Vec<Expr> =
            other.select.iter().filter(|it| !it.is_aggregate()).cloned().collect();
        let mut measures: Vec<Expr> =
            past.select.iter().filter(|it| it.is_aggregate()).cloned().collect();
        let mut assumptions = reading.assumptions.clone();
        // spans side by side become one series
        if matches!(other.group.as_slice(), [Expr::Bucket(..)])
            && let Some(one) = self.without_times(&measures)
        {
            measures = vec![one];
        }
        if measures.is_empty() {
            measures.push(Expr::count());
            assumptions.push(format!("The {roots} are counted."));
        }
        if also && instead {
            return Err(self.unknown(&words));
        }
        // `and by city` after the departments, of which each has one: instead of them
        let finer = |it: &Expr| {
            let Expr::Column(it) = it else { return false };
            let keyed = |old: &Expr| {
                matches!(old, Expr::Column(old)
                    if old.table == it.table
                        && old.role == it.role
                        && self.index.tables[old.table].is_keyed_by(old.column))
            };
            past.group.iter().any(keyed)
        };
        let also = also && !(past.group.len() == 1 && other.group.iter().all(finer));
        let mut group = Vec::new();
        let mut select = Vec::new();
        if also {
            group.clone_from(&past.group);
            select.extend(
                past.select
                    .iter()
                    .filter(|it| !it.is_aggregate() && !past.group.is_empty())
                    .cloned(),
            );
        }
        for it in &other.group {
            if !group.contains(it) {
                group.push(it.clone());
            }
        }
        for it in keys {
            if !select.contains(&it) {
                select.push(it);
            }
        }
        if group == past.group {
            return Err(Doubt::new(format!("The last answer is by {words} already.")));
        }
        select.extend(measures);
        // an order and a limit by what is not there any more say nothing
        let fits = |it: &OrderKey| it.by.is_aggregate() || group.contains(&it.by);
        let order: Vec<OrderKey> = past.order.iter().filter(|it| fits(it)).cloned().collect();
        let limit = past.limit.filter(|_| !order.is_empty());
        let order = if order.is_empty() { other.order.clone() } else { order };
        let shape = Edit::Shape { select, group, having: past.having.clone(), distinct: false };
        let mut changed = self.edited([shape, Edit::Order(order), Edit::Limit(limit)]);
        changed.confidence = reading.confidence;
        changed.assumptions = assumptions;
        self.once(changed)
    }

    /// `by sales channel`, of rows that have a channel: the last word is a column of theirs, and those before it name no other.
    fn by_its_kind(
        &self,
        root: usize,
        roots: &str,
        what: &std::ops::Range<usize>,
    ) -> Option<Reading> {
        let head = what.end.checked_sub(1).filter(|it| *it > what.start)?;
        let lemma = &self.tokens[head].lemma;
        let columns = &self.index.tables[root].columns;
        let kind = columns.iter().position(|it| {
            it.class.is_textual() && !it.foreign && !it.primary && it.words == [lemma.clone()]
        })?;
        let other = self.tokens[what.start..head].iter().any(|token| {
            columns
                .iter()
                .enumerate()
                .any(|(at, it)| at != kind && it.words.len() > 1 && it.has_word(&token.stem))
        });
        if other {
            return None;
        }
        let mut reading =
            self.read(&format!("number of {roots} by {}", self.text(head..what.end)))?;
        let words = self.text(what.clone());
        reading.assumptions.push(format!("“{words}” is taken as their {lemma}"));
        Some(reading)
    }

    /// What several measures have in common that differ in their times alone.
    fn without_times(&self, measures: &[Expr]) -> Option<Expr> {
        let plain = |it: &Expr| match it {
            Expr::Aggregate { function, distinct, argument, filter: Some(filter) }
                if says_when(self.index, filter) =>
            {
                Some(Expr::Aggregate {
                    function: *function,
                    distinct: *distinct,
                    argument: argument.clone(),
                    filter: None,
                })
            }
            _ => None,
        };
        let first = plain(measures.first()?)?;
        (measures.len() > 1 && measures.iter().all(|it| plain(it).as_ref() == Some(&first)))
            .then_some(first)
    }

    pub(super) fn count(&self) -> Applied {
        let past = &self.past.query;
        self.limit_free()?;
        if !past.group.is_empty() || past.select.iter().any(Expr::is_aggregate) {
            return Err(Doubt::new("How many of what? The last answer is numbers already."));
        }
        if past.limit.is_some() {
            return Err(Doubt::new("The last answer was cut off at a number that you gave."));
        }
        let mut counted = Expr::count();
        if multiplies(self.index, past) || past.distinct {
            let root = past.root.ok_or_else(|| Doubt::new("How many of what?"))?;
            let [key] = self.index.tables[root].primary.as_slice() else {
                return Err(Doubt::new("How many of what? Ask in full."));
            };
            counted = Expr::Aggregate {
                function: Aggregate::Count,
                distinct: true,
                argument: Some(Box::new(Expr::Column(ColumnRef::new(root, *key)))),
                filter: None,
            };
        }
        let shape = Edit::Shape {
            select: vec![counted],
            group: Vec::new(),
            having: Vec::new(),
            distinct: false,
        };
        Ok(self.edited([shape, Edit::Order(Vec::new())]))
    }

    fn rows(&self) -> Applied {
        let past = &self.past.query;
        self.limit_free()?;
        let root = past.root.ok_or_else(|| Doubt::new("Which of what?"))?;
        if !past.select.iter().any(Expr::is_aggregate) {
            return Err(Doubt::new("The last answer lists them already."));
        }
        if !past.group.is_empty() || is_nested(past) {
            return Err(Doubt::new("Which of the groups? Ask in full."));
        }
        let display = &self.index.tables[root].display;
        let mut select: Vec<Expr> =
            display.iter().map(|it| Expr::Column(ColumnRef::new(root, *it))).collect();
        if select.is_empty() {
            select.push(Expr::Everything(root));
        }
        let shape = Edit::Shape {
            select,
            group: Vec::new(),
            having: Vec::new(),
            distinct: multiplies(self.index, past),
        };
        Ok(self.edited([shape, Edit::Order(Vec::new()), Edit::Limit(None)]))
    }

    fn show(&self, what: std::ops::Range<usize>) -> Applied {
        let past = &self.past.query;
        let mut start = what.start;
        while start < what.end
            && matches!(
                self.tokens[start].lower.as_str(),
                "their" | "the" | "its" | "his" | "her" | "show" | "me"
            )
        {
            start += 1;
        }
        let words = self.text(start..what.end).to_owned();
        let (_, roots) = self.root().ok_or_else(|| self.unknown(&words))?;
        let grouped = !past.group.is_empty();
        if !grouped && past.select.iter().any(Expr::is_aggregate) {
            return Err(Doubt::new("The last answer is a single number; ask for a list first."));
        }
        let sentence = if grouped {
            format!("total {words} of {roots}")
        } else {
            format!("{words} of {roots}")
        };
        let reading = self.read(&sentence).ok_or_else(|| self.unknown(&words))?;
        let fits = reading.query.filter.is_empty()
            && reading.query.select.iter().all(|it| it.is_aggregate() == grouped);
        if !fits {
            return Err(self.unknown(&words));
        }
        let mut select = past.select.clone();
        for it in &reading.query.select {
            if !select.contains(it) {
                select.push(it.clone());
            }
        }
        if select == past.select {
            return Err(Doubt::new(format!("The last answer shows {words} already.")));
        }
        let mut changed = self.edited([self.shape(select, past.group.clone())]);
        changed.confidence = reading.confidence;
        changed.assumptions = reading.assumptions;
        self.once(changed)
    }

    fn summed_up(&self, wanted: Aggregate) -> Applied {
        let past = &self.past.query;
        let mut select = past.select.clone();
        let mut changed = 0;
        for it in &mut select {
            if let Expr::Aggregate { function, distinct: false, argument: Some(_), .. } = it
                && *function != Aggregate::Count
            {
                *function = wanted;
                changed += 1;
            }
        }
        if changed != 1 || select == past.select {
            return Err(Doubt::new(
                "Of what? The last answer does not sum up one column otherwise.",
            ));
        }
        Ok(self.edited([self.shape(select, past.group.clone())]))
    }

    /// `average per order`: of what each of these rows is worth, if they are what is summed up.
    fn summed_up_of(&self, wanted: Aggregate, of: std::ops::Range<usize>) -> Applied {
        if !of.is_empty() {
            let words = self.text(of.clone()).to_owned();
            let named = self.names(of).iter().find(|it| it.column.is_none()).map(|it| it.table);
            let mut tables = Vec::new();
            for it in self.past.query.select.iter().filter(|it| it.is_aggregate()) {
                it.columns(&mut |it| tables.push(it.table));
            }
            if named.is_none() || tables.iter().any(|it| Some(*it) != named) {
                return Err(self.unknown(&words));
            }
        }
        self.summed_up(wanted)
    }

    fn unfilter(&self, which: Unfilter) -> Applied {
        let past = &self.past.query;
        let kept: Vec<Predicate> = match which {
            Unfilter::Time => {
                past.filter.iter().filter(|it| !says_when(self.index, it)).cloned().collect()
            }
            Unfilter::All => Vec::new(),
        };
        if kept.len() == past.filter.len() {
            return Err(Doubt::new("Nothing like that narrowed the last answer down."));
        }
        Ok(self.edited([Edit::Conditions(kept)]))
    }

    fn without(&self, what: std::ops::Range<usize>) -> Applied {
        let words = self.text(what.clone()).to_owned();
        let (_, found) = self.conditions(what)?;
        let mut filter = self.past.query.filter.clone();
        for it in &found.conditions {
            // what is taken out of what was asked for
            if filter.contains(it) {
                filter.retain(|other| other != it);
                continue;
            }
            filter.push(match it {
                Predicate::Compare(a, Comparison::Equal, b @ Expr::Literal(_)) => {
                    Predicate::Compare(a.clone(), Comparison::NotEqual, b.clone())
                }
                Predicate::Compare(..)
                | Predicate::Like { .. }
                | Predicate::Between(..)
                | Predicate::Or(..) => Predicate::Not(Box::new(it.clone())),
                _ => return Err(self.unknown(&words)),
            });
        }
        self.filtered(filter, found)
    }

    fn about(&self, what: std::ops::Range<usize>) -> Applied {
        let part = &self.tokens[what.clone()];
        let words = self.text(what.clone()).to_owned();
        if part.is_empty() {
            return Err(Doubt::new("What about it?"));
        }
        let times = time::find(part, self.context.now.date());
        let whole = times.first().is_some_and(|it| {
            let rest = part[..it.first].iter().chain(&part[it.end..]);
            let mut rest = rest.filter(|it| !LEXICON.is_stop(&it.lower) && it.lower != "instead");
            rest.next().is_none()
        });
        if whole && times.len() == 1 {
            return self.when(&words);
        }
        if let Some(changed) = self.below(what.clone()) {
            return Ok(changed);
        }
        if let Some(changed) = self.bound(what.clone()) {
            return changed;
        }
        if let Some(changed) = self.belonging(what.clone()) {
            return changed;
        }
        if let Some(changed) = self.subject(what.clone()) {
            return changed;
        }
        self.narrowed(what)
    }

    #[expect(clippy::unused_self, reason = "reads like its siblings")]
    pub(super) fn unknown(&self, words: &str) -> Doubt {
        Doubt {
            message: format!(
                "I cannot say for sure what “{}” changes in the last answer.",
                words.trim()
            ),
            words: vec![words.trim().to_owned()],
        }
    }

    /// What those words may be names of, best first.
    pub(super) fn names(&self, what: std::ops::Range<usize>) -> Vec<link::NameLink> {
        let items = link::link(self.index, &self.tokens[what], &[]);
        let telling: Vec<&link::Item> =
            items.iter().filter(|it| !(it.is_word() && LEXICON.is_stop(&it.lower))).collect();
        match telling.as_slice() {
            [one] => match &one.meaning {
                Meaning::Name(links) => {
                    let best = links.first().map_or(0.0, |it| it.score);
                    links.iter().filter(|it| it.score > best - 0.1).cloned().collect()
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }
}
