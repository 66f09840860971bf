//! Decides what a name means with the whole question in view.

use plinth_schema_introspect::TypeClass;

use super::{Draft, Interpreter, Note};
use crate::{
    lexicon::LEXICON,
    link::{Meaning, NameLink},
    logical::ColumnRef,
};

/// What kind of column is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// Any.
    Any,
    /// One to calculate with.
    Number,
    /// One to sum up.
    Amount,
    /// One that says when.
    Moment,
}

impl Interpreter<'_> {
    /// Weighs how strongly each table is named.
    pub(super) fn weigh(&mut self) {
        for item in self.items {
            match &item.meaning {
                Meaning::Name(links) => {
                    let top = links.first().map_or(0.0, |it| it.score);
                    for link in links {
                        let share = if link.column.is_none() {
                            link.score
                        } else if link.with_table {
                            link.score * 0.8
                        } else {
                            // a column that stands in one table only speaks for that table
                            let rivals = links
                                .iter()
                                .filter(|it| it.column.is_some() && it.score > link.score - 0.1)
                                .count();
                            if link.score > top - 0.05 && rivals == 1 { 0.35 } else { 0.05 }
                        };
                        if link.score > 0.6 {
                            let weight = &mut self.weight[link.table];
                            *weight = weight.max(share);
                        }
                    }
                }
                Meaning::Value(links) => {
                    let rivals = links.len();
                    for link in links {
                        let weight = &mut self.weight[link.table];
                        *weight = weight.max(if rivals == 1 { 0.3 } else { 0.1 });
                    }
                }
                _ => {}
            }
        }
    }

    pub(super) fn links(&self, at: usize) -> &[NameLink] {
        match self.items.get(at) {
            Some(item) => match &item.meaning {
                Meaning::Name(links) => links,
                Meaning::Value(_) | Meaning::Number(..) => &item.names,
                _ => &[],
            },
            None => &[],
        }
    }

    /// The table that an item names, if it rather names a table than a column.
    pub(crate) fn table_at(&self, at: usize) -> Option<usize> {
        let Meaning::Name(links) = &self.items.get(at)?.meaning else { return None };
        let table = links.iter().filter(|it| it.column.is_none()).max_by(|a, b| {
            (a.score + 0.05 * self.near(a.table)).total_cmp(&(b.score + 0.05 * self.near(b.table)))
        })?;
        let column =
            links.iter().filter(|it| it.column.is_some()).map(|it| it.score).fold(0.0, f64::max);
        // `categories without products`: things, though a column of what nobody speaks of is called so
        let many = self.plural(at)
            && table.score >= 0.7
            && links
                .iter()
                .filter(|it| it.column.is_some() && it.score >= table.score)
                .all(|it| it.table != table.table && self.weight[it.table] < 0.5);
        if many {
            return Some(table.table);
        }
        // `ratings per category`: the one that each of what is named has, rather than a column of what only somebody else has
        // to do with
        let owns = |it: usize| {
            (0..self.weight.len())
                .any(|named| self.weight[named] > 0.7 && named != it && self.single(named, it))
        };
        let apart = table.score >= 0.7
            && column > table.score
            && owns(table.table)
            && links
                .iter()
                .filter(|it| it.column.is_some() && it.score >= table.score)
                .all(|it| self.weight[it.table] < 0.5 && !owns(it.table));
        if apart {
            return Some(table.table);
        }
        // a table must be named well; where a column is named equally well, the table is meant
        (table.score >= 0.6 && table.score + 0.06 >= column
            || table.score >= 0.45 && column < table.score - 0.1)
            .then_some(table.table)
    }

    /// Of the tables that an item may name by a verb the one nearest to what is asked about (`faculty who participate in …`).
    pub(super) fn nearest(&self, draft: &Draft, at: usize, table: usize) -> usize {
        let Some(root) = draft.root else { return table };
        let steps = |it: usize| self.index.distance(root, it).unwrap_or(9);
        if steps(table) <= 1 || !self.index.tables[table].bridge {
            return table;
        }
        self.links(at)
            .iter()
            .filter(|it| it.column.is_none() && it.score > 0.4 && steps(it.table) < steps(table))
            .min_by_key(|it| steps(it.table))
            .map_or(table, |it| it.table)
    }

    /// How near a table is to those that are named well.
    fn near(&self, table: usize) -> f64 {
        let mut sum = 0.0;
        for (other, weight) in self.weight.iter().enumerate() {
            if *weight > 0.7 && other != table {
                sum += match self.index.distance(table, other) {
                    Some(1) => 1.0,
                    Some(2) => 0.5,
                    _ => 0.0,
                };
            }
        }
        sum
    }

    /// What the question is about: the first table named, else the table of the first column.
    pub(crate) fn entity(&self, from: usize, until: usize) -> Option<usize> {
        if let Some(people) =
            self.buyers(from, until).or_else(|| self.beneath_somebody(from, until))
        {
            return Some(people);
        }
        let grouped = |at: usize| {
            (1..=2).any(|back| {
                at >= back + from && matches!(self.word(at - back), "each" | "every" | "per")
            })
        };
        let tables: Vec<usize> = (from..until).filter(|&at| self.table_at(at).is_some()).collect();
        let first = tables.iter().find(|&&at| !grouped(at)).or(tables.first());
        let column = (from..until).find(|&at| {
            self.table_at(at).is_none() && !self.links(at).is_empty() && self.is_name(at)
        });
        if let (Some(&table), Some(column)) = (first, column)
            && column < table
        {
            // `the capital of countries`: the table; `cities where customers live`: the city is a column of something
            let (_, bound) = self.bound(column);
            if bound.is_some() {
                return bound;
            }
            let draft = Draft { root: self.table_at(table), ..Draft::default() };
            if let Some(it) = self.resolve_quietly(&draft, column, self.wanted(column))
                && self.links(column).iter().any(|link| {
                    link.table == it.table
                        && link.column == Some(it.column)
                        && (link.with_table || link.score > 0.8)
                })
                && !self.index.column(it).foreign
            {
                return Some(it.table);
            }
        }
        // `who is in the Marketing team`: people of it, though its kind is a table
        if self.word(from) == "who"
            && let [only] = tables.as_slice()
            && *only > from
            && self.is_value(only - 1)
            && let Some(people) = self.people_of(from, until)
        {
            return Some(people);
        }
        if let Some(&first) = first {
            return self.table_at(first);
        }
        if matches!(self.word(from), "everyone" | "everybody" | "anyone")
            && let Some(people) = self.people_of(from, until)
        {
            return Some(people);
        }
        let draft = Draft::default();
        if let Some(column) = column
            && let Some(it) = self.resolve_quietly(&draft, column, self.wanted(column))
        {
            return Some(it.table);
        }
        let valued = (from..until).find_map(|at| match &self.items[at].meaning {
            // the table whose rows are known by it
            Meaning::Value(links) | Meaning::Number(_, links) => links
                .iter()
                .max_by_key(|it| {
                    let info = &self.index.tables[it.table];
                    let known = info.display == [it.column] || info.is_keyed_by(it.column);
                    (known && !info.bridge, !info.bridge, std::cmp::Reverse((it.table, it.column)))
                })
                .map(|it| it.table),
            _ => None,
        });
        // `what is the total revenue`, `2026 revenue from Japan`
        let revenue = (from..until)
            .any(|it| matches!(self.word(it), "revenue" | "revenues" | "turnover" | "sales"));
        let mut earned = None;
        if revenue && let Some(amount) = self.revenue(&Draft::default()) {
            amount.columns(&mut |it| earned = Some(it.table));
        }
        earned
            .or_else(|| self.people_of(from, until))
            .or(valued)
            .or_else(|| self.done_to(from, until))
    }

    /// What kind of column is wanted by the word before.
    fn wanted(&self, at: usize) -> Want {
        match at.checked_sub(1).map_or("", |it| self.word(it)) {
            "total" | "sum" | "combined" => Want::Amount,
            "average" | "mean" | "median" | "highest" | "lowest" => Want::Number,
            _ => Want::Any,
        }
    }

    /// The table to which a column belongs by the words around it: `… of the T`, `T's …`, and how surely.
    pub(crate) fn bound(&self, at: usize) -> (f64, Option<usize>) {
        // a list of columns goes on until "of"
        let mut next = at + 1;
        let mut steps = 0;
        while next < self.items.len() && steps < 14 {
            let word = self.word(next);
            let item = &self.items[next];
            if matches!(word, "number" | "count") && self.word(next + 1) == "of" {
                let to = self.skip_all(next + 2);
                if self.is_name(to) {
                    next = to + 1;
                    steps += 1;
                    continue;
                }
            }
            if matches!(
                word,
                "of" | "for" | "in" | "from" | "on" | "by" | "used" | "offered" | "at"
            ) {
                let to = self.skip_all(next + 1);
                if let Some(table) = self.table_at(to) {
                    return (if word == "of" || word == "for" { 1.0 } else { 0.5 }, Some(table));
                }
                // `the population of Maine`: of the table whose rows are known by that value
                if matches!(word, "of" | "for" | "in")
                    && let Some(Meaning::Value(links)) =
                        self.items.get(next + 1).map(|it| &it.meaning)
                {
                    let names: Vec<&NameLink> = self
                        .links(at)
                        .iter()
                        .filter(|it| it.column.is_some() && it.score > 0.8)
                        .collect();
                    let known = links.iter().find(|it| {
                        let info = &self.index.tables[it.table];
                        (info.display == [it.column] || info.is_keyed_by(it.column))
                            && names.iter().any(|name| name.table == it.table)
                    });
                    if let Some(link) = known {
                        return (0.7, Some(link.table));
                    }
                }
                if word != "of" {
                    break;
                }
                next = to.max(next + 1);
            } else if self.table_at(next).is_none()
                && item.lower.contains(" of ")
                && let Some(link) =
                    self.links(next).first().filter(|it| it.column.is_some() && it.score > 0.7)
            {
                return (0.8, Some(link.table));
            } else if item.is_mark(',')
                || item.is_mark('\'')
                || matches!(word, "and" | "or" | "the" | "as" | "well" | "both" | "all" | "each")
                || (self.is_name(next) && self.table_at(next).is_none())
                || self.table_at(next).is_none()
                    && matches!(
                        word,
                        "average"
                            | "maximum"
                            | "minimum"
                            | "total"
                            | "number"
                            | "min"
                            | "max"
                            | "different"
                            | "distinct"
                            | "unique"
                            | "corresponding"
                            | "their"
                            | "its"
                    )
            {
                next += 1;
            } else {
                break;
            }
            steps += 1;
        }
        // `students' names`, `student and their names`
        if at > 0 {
            let mut before = at - 1;
            while before > 0
                && (matches!(
                    self.word(before),
                    "their" | "its" | "the" | "and" | "his" | "her" | "whose"
                ) || self.marked(before, '\''))
            {
                before -= 1;
            }
            if let Some(table) = self.table_at(before) {
                let own = at - before > 1;
                return (if own { 0.6 } else { 0.4 }, Some(table));
            }
        }
        (0.0, None)
    }

    fn skip_all(&self, mut at: usize) -> usize {
        loop {
            let word = self.word(at);
            let skip = matches!(
                word,
                "the"
                    | "a"
                    | "an"
                    | "their"
                    | "its"
                    | "all"
                    | "any"
                    | "some"
                    | "these"
                    | "those"
                    | "our"
                    | "each"
                    | "every"
                    | "different"
                    | "distinct"
                    | "unique"
                    | "most"
                    | "least"
                    | "current"
                    | "other"
                    | "top"
                    | "existing"
            ) || LEXICON.degree(word).is_some()
                || self.number(at).is_some()
                || matches!(self.items.get(at).map(|it| &it.meaning), Some(Meaning::Value(_)));
            if !skip || self.is_name(at) {
                return at;
            }
            at += 1;
        }
    }

    /// The column that an item names; notes how sure that is.
    pub(crate) fn resolve(&mut self, draft: &Draft, at: usize, want: Want) -> Option<ColumnRef> {
        if let Some(column) = self.own_key(at) {
            self.mark_used(at, at + 1);
            return Some(column);
        }
        let ranked = self.ranking(draft, at, want);
        if let Some(column) = self.generic(at, &ranked) {
            self.mark_used(at, at + 1);
            return Some(column);
        }
        let &(best, score, link) = ranked.first()?;
        if let Some(second) = ranked.iter().find(|it| it.0 != best) {
            let gap = score - self.told(at, best) - second.1;
            if gap < 0.12 {
                self.close(at, gap);
            }
            let (second, lacks) = (second.0, score - second.1);
            self.rival(at, second, lacks);
        }
        if link < 0.95 {
            self.notes.push(Note::Weak(link));
        }
        self.mark_used(at, at + 1);
        Some(best)
    }

    /// `the address of the customer with id 10`: the key of what stands before.
    fn own_key(&self, at: usize) -> Option<ColumnRef> {
        if !matches!(self.word(at), "id" | "ids")
            || !matches!(self.word(at.checked_sub(1)?), "with" | "whose" | "has" | "having")
            || self.number(at + 1).or_else(|| self.number(at + 2)).is_none()
        {
            return None;
        }
        let table = self.table_at(at.checked_sub(2)?)?;
        let [key] = self.index.tables[table].primary.as_slice() else { return None };
        Some(ColumnRef::new(table, *key))
    }

    /// Both columns of a name that is kept in two, where "name" or "full name" is asked for.
    pub(super) fn whole_name(&self, draft: &Draft, at: usize) -> Option<Vec<ColumnRef>> {
        let words = self.word(at);
        let last = words.rsplit(' ').next()?;
        if !matches!(last, "name" | "names")
            || words.contains("first")
            || words.contains("last")
            || words.contains("middle")
        {
            return None;
        }
        let (_, bound) = self.bound(at);
        let best = self.resolve_quietly(draft, at, Want::Any)?;
        let table = bound.unwrap_or(best.table);
        let display = &self.index.tables[table].display;
        let of = |it: &usize| ColumnRef::new(table, *it);
        if display.len() == 2
            && (best.table == table && display.contains(&best.column)
                || bound == Some(table)
                    && !self
                        .ranking(draft, at, Want::Any)
                        .iter()
                        .any(|it| it.0.table == table && it.2 > 0.9))
        {
            return Some(display.iter().map(of).collect());
        }
        None
    }

    pub(crate) fn resolve_quietly(
        &self,
        draft: &Draft,
        at: usize,
        want: Want,
    ) -> Option<ColumnRef> {
        let ranked = self.ranking(draft, at, want);
        self.generic(at, &ranked).or_else(|| ranked.first().map(|it| it.0))
    }

    /// "Id" and "name" of a table that calls them otherwise: its key, and what its rows are known by.
    fn generic(&self, at: usize, ranked: &[(ColumnRef, f64, f64)]) -> Option<ColumnRef> {
        if self.items[at].end != self.items[at].first + 1 {
            return None;
        }
        let (surely, bound) = self.bound(at);
        let table = bound.filter(|_| surely >= 0.4)?;
        let info = &self.index.tables[table];
        let fits = ranked.iter().any(|it| it.0.table == table && it.2 >= 0.6);
        match self.lemma(at) {
            "id" => {
                let [key] = info.primary.as_slice() else { return None };
                let own = info.columns[*key]
                    .words
                    .last()
                    .is_some_and(|it| matches!(it.as_str(), "id" | "code" | "number"));
                // a text that rows are known by is no id, where one number is called so
                let mut ids = info.columns.iter().enumerate().filter(|(_, it)| {
                    it.class.is_numeric() && it.words.last().is_some_and(|it| it == "id")
                });
                let id = match (ids.next(), ids.next()) {
                    (Some((id, _)), None) if !own && info.columns[*key].class.is_textual() => id,
                    _ => *key,
                };
                (own || !fits).then(|| ColumnRef::new(table, id))
            }
            "name" if !fits => {
                let [one] = info.display.as_slice() else { return None };
                info.columns[*one].class.is_textual().then(|| ColumnRef::new(table, *one))
            }
            _ => None,
        }
    }

    /// The columns that an item may name, best first, with what speaks for each and how well the words fit.
    pub(crate) fn ranking(
        &self,
        draft: &Draft,
        at: usize,
        want: Want,
    ) -> Vec<(ColumnRef, f64, f64)> {
        let (surely, bound) = self.bound(at);
        let named = self.links(at).iter().any(|it| it.column.is_some() && it.score > 0.96);
        // `preferred suppliers`: what is said of them is theirs
        let next = self.table_at(at + 1);
        let mut all: Vec<(ColumnRef, f64, f64)> = self
            .links(at)
            .iter()
            .filter_map(|link| {
                let column = link.column?;
                let info = &self.index.tables[link.table].columns[column];
                let mut score = link.score;
                if bound == Some(link.table) {
                    // `average rating for each business`: a column that is called so elsewhere, before one that only resembles
                    let weak = named && link.score < 0.75;
                    score += if weak { 0.1 } else { 0.4 } * surely;
                }
                score += 0.25 * self.weight[link.table].min(1.0);
                if next == Some(link.table) && info.class == TypeClass::Boolean {
                    score += 0.4;
                }
                if let Some(root) = draft.root {
                    if root == link.table {
                        score += 0.15;
                    }
                    #[expect(clippy::cast_precision_loss, reason = "a few steps")]
                    match self.index.distance(root, link.table) {
                        Some(steps) => {
                            score -= 0.06 * steps as f64;
                            if steps > 0 && !self.single(root, link.table) {
                                // many rows have a mean, but no kind of their own
                                score -= if info.class.is_numeric() { 0.05 } else { 0.12 };
                            }
                        }
                        None => score -= 0.5,
                    }
                }
                if draft.joins.contains(&link.table) {
                    score += 0.05;
                }
                if info.foreign {
                    score -= 0.1;
                }
                if self.index.tables[link.table].bridge {
                    score -= 0.05;
                }
                // of two that are called alike the one of what more things refer to
                let referred = self.index.edges_of[link.table]
                    .iter()
                    .filter(|it| self.index.edges[**it].to == link.table)
                    .count();
                #[expect(clippy::cast_precision_loss, reason = "at most four")]
                let referred = referred.min(4) as f64;
                score += 0.02 * referred;
                // "name" alone means what a row is known by
                if self.lemma(at) == "name"
                    && self.index.tables[link.table].display.contains(&column)
                {
                    score += 0.2;
                }
                match want {
                    Want::Any => {}
                    Want::Number | Want::Amount => {
                        // percents have no sum
                        if want == Want::Amount
                            && info.words.iter().any(|it| it == "percent" || it == "rate")
                        {
                            score -= 0.5;
                        }
                        if !info.class.is_numeric() {
                            score -= if info.class == TypeClass::Interval { 0.0 } else { 0.4 };
                        }
                        if info.is_id() {
                            score -= 0.4;
                        }
                    }
                    Want::Moment => {
                        if !info.class.is_temporal() {
                            score -= 0.5;
                        }
                    }
                }
                let column = ColumnRef::new(link.table, column);
                Some((column, score + self.told(at, column), link.score))
            })
            .collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all
    }

    /// The column whose name has that stem, of the table or one near it.
    pub(crate) fn column_with(&self, table: usize, stem: &str, want: Want) -> Option<ColumnRef> {
        let mut best: Option<(ColumnRef, f64)> = None;
        let others = LEXICON.synonyms(stem);
        for (other, info) in self.index.tables.iter().enumerate() {
            let steps = match self.index.distance(table, other) {
                Some(0) => 0.0,
                Some(1) if self.weight[other] > 0.5 => 0.5,
                Some(1) => 1.5,
                _ => continue,
            };
            for (at, column) in info.columns.iter().enumerate() {
                let called = column.has_word(stem);
                // another word for it, of what the question is about
                let alike = !called
                    && other == table
                    && column.class.is_numeric()
                    && others.iter().any(|it| column.has_word(it));
                if !called && !alike || column.is_id() {
                    continue;
                }
                let fits = match want {
                    Want::Any => true,
                    Want::Number | Want::Amount => {
                        column.class.is_numeric()
                            || column.class.is_temporal()
                            || column.class == TypeClass::Interval
                            || column.class == TypeClass::Time
                    }
                    Want::Moment => column.class.is_temporal(),
                };
                #[expect(clippy::cast_precision_loss, reason = "a few words")]
                let score = 3.0
                    - steps
                    - 0.2 * column.words.len() as f64
                    - if fits { 0.0 } else { 1.2 }
                    - if called { 0.0 } else { 1.0 }
                    - if column.class.is_temporal() && !is_timely(stem) { 1.2 } else { 0.0 };
                if score > 0.0 && best.is_none_or(|it| score > it.1 + 1e-9) {
                    best = Some((ColumnRef::new(other, at), score));
                }
            }
        }
        best.map(|it| it.0)
    }
}

/// Whether a word speaks of time, so that a moment may be what it means: the date of a rating is no rating.
fn is_timely(stem: &str) -> bool {
    matches!(
        stem,
        "date"
            | "time"
            | "year"
            | "birth"
            | "found"
            | "built"
            | "open"
            | "create"
            | "release"
            | "timestamp"
            | "hour"
            | "day"
            | "age"
    )
}
