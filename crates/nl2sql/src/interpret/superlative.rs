//! Superlatives: "the oldest", "the most orders", "the highest average price".

use super::{
    Asked, Draft, GroupKey, Hand, Interpreter, Mode, Note,
    draft::{OrderBy, Ordering},
    resolve::Want,
};
use crate::{
    lexicon::{Form, LEXICON},
    logical::{Aggregate, ColumnRef, Expr},
};

impl<'a> Interpreter<'a> {
    pub(super) fn read_superlative(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        if self.items[at].quoted || self.is_name(at) || self.is_value(at) {
            return None;
        }
        let mut start = at;
        let mut limit: Option<u64> = None;
        let mut top: Option<bool> = None;
        // `top 3`, `the 3 most`, `first 5`
        if matches!(self.word(start), "top" | "first" | "bottom" | "last") {
            let Some(value) = self.number(start + 1) else {
                if matches!(self.word(start), "top" | "bottom") {
                    // `the top student by score`
                    top = Some(self.word(start) == "top");
                    limit = Some(1);
                    start += 1;
                    return self.top(draft, hand, mode, start, end, top?, limit);
                }
                return self.first_of(draft, hand, mode, at, end);
            };
            top = Some(matches!(self.word(start), "top" | "first"));
            limit = Some(count(value)?);
            start += 2;
        } else if let Some(value) = self.number(start)
            // `in room 111 most recently`: which one it is
            && (start == 0 || self.table_at(start - 1).is_none() || self.plural(start - 1))
            && (1.0..=1000.0).contains(&value)
            && (self.superlative(start + 1).is_some()
                || matches!(self.word(start + 1), "top" | "bottom" | "best"))
        {
            limit = Some(count(value)?);
            start += 1;
            if matches!(self.word(start), "top" | "bottom") {
                top = Some(self.word(start) == "top");
                start += 1;
            }
        }
        let Some((most, adjective, next)) = self.superlative(start) else {
            if let Some(top) = top {
                return self.top(draft, hand, mode, start, end, top, limit);
            }
            return None;
        };
        // `which products sold the most units`
        if adjective.is_none()
            && matches!(self.lemma(next), "unit" | "piece" | "copy")
            && (1..=3).any(|back| {
                at >= back && matches!(self.word(at - back), "sold" | "sell" | "sells" | "selling")
            })
            && let Some((table, sum)) = self.sold(draft)
        {
            draft.order.push(Ordering { by: OrderBy::Expr(sum), descending: most });
            draft.ranked = Some(GroupKey::Rows(draft.root?));
            draft.event = Some(table);
            draft.limit = Some(limit.or(hand.number.take()).unwrap_or(1));
            self.blank(next, next + 1);
            self.mark_used(at, next + 1);
            self.spent.push(next);
            *mode = Mode::Where;
            return Some(next + 1);
        }
        // `the ten best customers by revenue`, `best selling products`: what makes them so is said
        if matches!(self.word(start), "best" | "worst" | "top") {
            let up = self.word(start) != "worst";
            let selling = self.word(next) == "selling"
                || self.marked(next, '-') && self.word(next + 1) == "selling";
            let after = if selling { next + 1 + usize::from(self.marked(next, '-')) } else { next };
            let by = (after..end).any(|it| {
                self.word(it) == "by"
                    && (self.asks_for_earnings(it + 1)
                        || self.is_name(it + 1)
                        || matches!(self.word(it + 1), "total" | "number"))
            });
            let limit =
                limit.or(hand.number.take()).or(Some(if self.plural(after) { 10 } else { 1 }));
            if by {
                let next = self.top(draft, hand, mode, after, end, up, limit)?;
                self.mark_used(at, next);
                return Some(next);
            }
            if selling && let Some((table, sum)) = self.sold(draft) {
                draft.order.push(Ordering { by: OrderBy::Expr(sum), descending: up });
                draft.ranked = Some(GroupKey::Rows(draft.root?));
                draft.event = Some(table);
                draft.limit = limit;
                return Some(after);
            }
        }
        self.ranking_phrase(draft, hand, mode, at, next, end, most, adjective, limit)
    }

    /// `who made the first rental`, `the last order`: by when they were.
    fn first_of(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        let next = at + 1 + usize::from(matches!(self.word(at + 1), "ever" | "very"));
        let table = self.table_at(next).filter(|_| next < end && !self.plural(next))?;
        let led = at > 0 && matches!(self.word(at - 1), "the" | "very" | "their" | "its");
        let moment = self.moment_of(table, None).filter(|it| it.table == table)?;
        if !led || draft.limit.is_some() || draft.aggregates() || hand.count {
            return None;
        }
        if draft.root != Some(table) {
            draft.join(table);
        }
        if !draft.asks_something() {
            draft.ask(Asked::Rows(table));
        }
        let descending = self.word(at) == "last";
        draft.order.push(Ordering { by: OrderBy::Expr(Expr::Column(moment)), descending });
        draft.limit = Some(1);
        *mode = Mode::Where;
        hand.column = None;
        Some(next + 1)
    }

    /// A superlative word: whether it goes to the top, its adjective where it has one, and where it ends.
    fn superlative(&self, at: usize) -> Option<(bool, Option<&'a str>, usize)> {
        let word = self.word(at);
        let next = self.word(at + 1);
        match word {
            "highest" | "best" if matches!(next, "paid" | "earning") => {
                Some((true, Some("richest"), at + 2))
            }
            "lowest" | "worst" if matches!(next, "paid" | "earning") => {
                Some((true, Some("poorest"), at + 2))
            }
            "most" | "least" => {
                let up = word == "most";
                if LEXICON.degree(next).is_some_and(|it| it.form == Form::Positive)
                    && !matches!(next, "popular" | "common")
                {
                    return Some((up, Some(next), at + 2));
                }
                Some((up, None, at + 1))
            }
            "maximum" | "max" | "top" | "maximal" => Some((true, None, at + 1)),
            "fewest" | "minimum" | "min" | "minimal" => Some((false, None, at + 1)),
            _ => {
                let degree = LEXICON.degree(word)?;
                (degree.form == Form::Superlative).then_some((true, Some(word), at + 1))
            }
        }
    }

    /// Items that were read out of turn must not be read again.
    pub(super) fn blank(&mut self, from: usize, until: usize) {
        for at in from..until {
            self.skip.push(at);
        }
    }

    /// What follows a superlative.
    #[expect(clippy::too_many_arguments, reason = "a ranking has that many parts")]
    fn ranking_phrase(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        next: usize,
        end: usize,
        most: bool,
        adjective: Option<&str>,
        limit: Option<u64>,
    ) -> Option<usize> {
        let adjective = adjective.map(str::to_owned);
        // whether the greatest comes first where rows are counted
        let greatest = adjective.as_deref().map_or(most, |it| self.adjective_up(Some(it)) == most);
        let mut next = next;
        let mut number = false;
        let mut function: Option<Aggregate> = None;
        let mut distinct = false;
        loop {
            match self.word(next) {
                "number" | "numbers" | "count" | "amount"
                    if self.word(next + 1) == "of" && !self.is_name(next) =>
                {
                    number = true;
                    next += 2;
                }
                "total" if self.says(next, "total number of") => {
                    number = true;
                    next += 3;
                }
                "average" | "mean" | "avg" if !self.is_name(next) => {
                    function = Some(Aggregate::Avg);
                    next += 1;
                }
                "total" | "combined" | "overall" | "sum" if !self.is_name(next) => {
                    function = Some(Aggregate::Sum);
                    next += 1;
                }
                "times" if number => {
                    next += 1;
                    break;
                }
                "different" | "distinct" | "unique" | "kinds" | "types" if !self.is_name(next) => {
                    distinct = true;
                    next += 1;
                }
                "of" | "the" | "value" | "values" if !self.is_name(next) && next > at + 1 => {
                    next += 1;
                }
                _ => break,
            }
            if next >= end {
                break;
            }
        }
        let _ = distinct;
        // `most common X`
        if adjective.is_none()
            && matches!(
                self.word(next),
                "common"
                    | "frequent"
                    | "popular"
                    | "commonly"
                    | "frequently"
                    | "prevalent"
                    | "used"
                    | "typical"
                    | "often"
                    | "prominent"
            )
        {
            return self.most_common(draft, hand, mode, next + 1, end, most, limit);
        }
        // `the greatest number of copies in inventory`: of what lies there
        if number
            && next + 2 < end
            && self.wordy(next)
            && !LEXICON.is_stop(self.word(next))
            && matches!(self.word(next + 1), "in" | "of" | "from")
        {
            let after = self.skip_determiners(next + 2);
            if self.table_at(after).is_some() && after < end {
                next = after;
            }
        }
        let column_next = next < end && self.is_name(next) && self.table_at(next).is_none();
        let table_next = self.table_at(next).filter(|_| next < end);
        let of_rows = at > 2
            && self.word(at - 1) == "the"
            && self.word(at - 2) == "of"
            && self.table_at(at - 3).is_some();
        // an aggregate rather than a ranking: `what is the highest salary`
        let with = at > 0
            && matches!(self.word(at - 1), "with" | "has" | "have" | "had" | "having")
            || at > 1
                && matches!(
                    self.word(at - 2),
                    "with" | "has" | "have" | "had" | "having" | "whose" | "where"
                );
        // `departments and their highest salary`: each has one
        let theirs = at > 1
            && matches!(self.word(at - 1), "their" | "its")
            && (matches!(self.word(at - 2), "and" | "with") || self.marked(at - 2, ','))
            && self.resolve_quietly(draft, next, Want::Any).is_some_and(|it| {
                let class = self.index.column(it).class;
                class.is_numeric() || class.is_temporal()
            });
        let with = (with || of_rows) && !theirs;
        let plain = draft.asked.iter().any(|it| matches!(it, Asked::Column(_) | Asked::Rows(_)));
        if *mode == Mode::Select
            && column_next
            && !with
            && limit.is_none()
            && function.is_none()
            && (!number || !plain)
        {
            // after a column that is already asked for, and without "the … of", it is a ranking only behind "with"
            let of_columns = plain
                && !theirs
                && !matches!(self.word(at.wrapping_sub(1)), "and" | "the")
                && at > 0
                && !self.marked(at - 1, ',');
            if !of_columns {
                let column = self.resolve_quietly(draft, next, Want::Any);
                let up = match (adjective.as_deref(), column) {
                    (Some(word), Some(column)) => self.goes_up(word, column) == most,
                    _ => greatest,
                };
                hand.aggregates.push(if up { Aggregate::Max } else { Aggregate::Min });
                return Some(next);
            }
        }
        let listed = self.marked(next, ',') || self.word(next) == "and";
        if *mode == Mode::Select
            && listed
            && !with
            && matches!(
                self.word(at),
                "maximum"
                    | "minimum"
                    | "max"
                    | "min"
                    | "highest"
                    | "lowest"
                    | "largest"
                    | "smallest"
                    | "biggest"
                    | "greatest"
            )
        {
            // `the maximum and minimum price`
            hand.aggregates.push(if greatest { Aggregate::Max } else { Aggregate::Min });
            return Some(next);
        }
        let limit = Some(limit.or(hand.number.take()).or(draft.limit).unwrap_or(1));
        // `the highest average order value`
        if let Some(function) = function
            && let Some(table) = table_next
            && let Some(column) = self.amount_of(table).or_else(|| self.only_number(table))
        {
            let of = self.subject_for(draft, table);
            let by = OrderBy::Expr(Expr::aggregate(function, Expr::Column(column)));
            draft.order.push(Ordering { by, descending: greatest });
            draft.ranked = Some(of);
            draft.limit = limit;
            draft.join(table);
            self.mark_used(next, next + 1);
            *mode = Mode::Where;
            hand.column = None;
            let told =
                matches!(self.word(next + 1), "value" | "size" | "amount" | "total" | "worth");
            return Some(next + 1 + usize::from(told));
        }
        // how many rows of a table: `the most orders`, `the largest number of orders`
        if let Some(table) = table_next
            && (number
                || adjective.is_none()
                || matches!(
                    self.word(at),
                    "highest" | "largest" | "lowest" | "smallest" | "greatest" | "biggest"
                ) && draft.asks_something()
                    && with
                    && (self.plural(next) || !self.measured_by(adjective.as_deref(), table)))
        {
            self.mark_used(next, next + 1);
            // `the most number of rooms` where rooms is a column as well
            if let Some(column) = self.numeric_link(draft, next) {
                draft.order.push(Ordering {
                    by: OrderBy::Expr(Expr::Column(column)),
                    descending: greatest,
                });
                draft.limit = limit;
                *mode = Mode::Where;
                return Some(next + 1);
            }
            if let Some(other) = self.described(draft, *mode, at)
                && other != table
            {
                let by = Ordering { by: OrderBy::Count(Some(table)), descending: greatest };
                if let Some(predicate) = self.best_row(other, Some(table), &by, limit) {
                    draft.add(super::Condition::Row(predicate), std::mem::take(&mut hand.or));
                    return Some(next + 1);
                }
            }
            let of = self.subject_for(draft, table);
            draft.order.push(Ordering {
                by: OrderBy::Count((of.table() != table).then_some(table)),
                descending: greatest,
            });
            draft.ranked = Some(of);
            draft.limit = limit;
            *mode = Mode::Where;
            hand.column = None;
            return Some(next + 1);
        }
        // `with the most salary`, `the largest population`
        if column_next {
            let column = self.resolve(draft, next, Want::Number)?;
            // `the top 3 highest rates`: the rates themselves
            if *mode == Mode::Select && draft.asked.is_empty() && !draft.who && !with {
                draft.ask(Asked::Column(column));
            }
            let info = self.index.column(column);
            self.mark_used(next, next + 1);
            let numeric = info.class.is_numeric() && !info.is_id()
                || info.class.is_temporal()
                || matches!(
                    info.class,
                    plinth_schema_introspect::TypeClass::Interval
                        | plinth_schema_introspect::TypeClass::Time
                );
            let descending = match adjective.as_deref() {
                Some(word) => self.goes_up(word, column) == most,
                None => most,
            };
            if numeric
                || (!number
                    && info.class.is_textual()
                    && function.is_none()
                    && matches!(
                        self.word(at),
                        "highest"
                            | "lowest"
                            | "maximum"
                            | "minimum"
                            | "largest"
                            | "smallest"
                            | "longest"
                            | "shortest"
                            | "earliest"
                            | "latest"
                    ))
            {
                if let Some(other) = self.described(draft, *mode, at)
                    && column.table == other
                    && function.is_none()
                {
                    let by = Ordering { by: OrderBy::Expr(Expr::Column(column)), descending };
                    if let Some(predicate) = self.best_row(other, None, &by, limit) {
                        draft.add(super::Condition::Row(predicate), std::mem::take(&mut hand.or));
                        hand.column = None;
                        return Some(next + 1);
                    }
                }
                let mut expr = Expr::Column(column);
                let subject = self.subject(draft);
                // `the department with the most credits`: of all its courses together
                if function.is_none()
                    && matches!(self.word(at), "most" | "fewest" | "least")
                    && adjective.is_none()
                    && info.class.is_numeric()
                    && let GroupKey::Rows(table) = &subject
                    && *table != column.table
                    && !self.single(*table, column.table)
                {
                    function = Some(Aggregate::Sum);
                }
                // `the topic with the worst satisfaction`: of many rows of each topic the mean
                if function.is_none()
                    && let GroupKey::Column(kind) = &subject
                    && kind.table == column.table
                    && self.index.column(*kind).complete
                    && info.class.is_numeric()
                {
                    #[expect(clippy::cast_precision_loss, reason = "a few values")]
                    let kinds = self.index.column(*kind).values.len() as f64;
                    if kinds > 0.0 && self.index.tables[kind.table].rows > 4.0 * kinds {
                        function = Some(Aggregate::Avg);
                    }
                }
                if let Some(function) = function {
                    expr = Expr::aggregate(function, expr);
                    draft.ranked = Some(subject);
                }
                draft.order.push(Ordering { by: OrderBy::Expr(expr), descending });
            } else {
                let of = self.subject_for(draft, column.table);
                let by = if of == GroupKey::Column(column)
                    || (of.table() == column.table && !matches!(of, GroupKey::Column(_)))
                {
                    OrderBy::Count(None)
                } else if of.table() == column.table {
                    OrderBy::Expr(Expr::Aggregate {
                        function: Aggregate::Count,
                        distinct,
                        argument: Some(Box::new(Expr::Column(column))),
                        filter: None,
                    })
                } else {
                    OrderBy::Count(Some(column.table))
                };
                draft.order.push(Ordering { by, descending: greatest });
                draft.ranked = Some(of);
            }
            draft.limit = limit;
            *mode = Mode::Where;
            hand.column = None;
            return Some(next + 1);
        }
        if matches!(self.word(next), "revenue" | "sales" | "turnover")
            && let Some(measure) = self.earnings(draft)
        {
            let of = self.subject(draft);
            draft.order.push(Ordering {
                by: OrderBy::Expr(Expr::aggregate(
                    function.unwrap_or(Aggregate::Sum),
                    measure.amount.clone(),
                )),
                descending: greatest,
            });
            self.count_only(draft, &measure);
            draft.ranked = Some(of);
            draft.limit = limit;
            *mode = Mode::Where;
            return Some(next + 1);
        }
        // an adjective in front of what it describes: `the oldest student`
        if let Some(word) = adjective {
            // `who made an order most recently`: by when the order was
            let lately =
                matches!(word.as_str(), "recent" | "recently" | "late" | "latest" | "newest")
                    && table_next.is_none();
            let just = (1..=2.min(at))
                .filter(|_| lately)
                .find_map(|back| self.table_at(at - back))
                .filter(|it| self.moment_of(*it, None).is_some_and(|moment| moment.table == *it));
            let table = table_next.or(just).or(draft.root)?;
            let degree = LEXICON.degree(&word)?.clone();
            let own = |this: &Self, stem: &str| {
                this.column_with(table, stem, Want::Number).filter(|it| it.table == table)
            };
            let here = degree.measures.iter().any(|it| own(self, &it.0).is_some());
            // `the oldest ticket`: when it came, rather than an age of somebody near it
            let moment = (!here && degree.measures.iter().any(|it| it.0 == "date"))
                .then(|| self.moment_of(table, None))
                .flatten()
                .filter(|it| it.table == table);
            // `the biggest order` is the one that is worth most
            let worth = (degree.measures.iter().any(|it| it.0 == "amount")
                && matches!(word.as_str(), "biggest" | "largest" | "smallest"))
            .then(|| self.worth_of(table))
            .flatten();
            for (stem, up) in &degree.measures {
                let column = if worth.is_some() {
                    worth
                } else if here {
                    own(self, stem)
                } else if moment.is_some() {
                    moment.filter(|_| stem == "date")
                } else {
                    self.column_with(table, stem, Want::Number)
                }
                .or_else(|| {
                    // `latest`: whatever moment there is
                    (!here && stem == "date").then(|| self.moment_of(table, None)).flatten()
                });
                let Some(column) = column else { continue };
                let by =
                    Ordering { by: OrderBy::Expr(Expr::Column(column)), descending: *up == most };
                // `from the largest city`: of another table's rows the one, then all that belong to it
                let root = draft.root.unwrap_or(table);
                if let Some(other) = table_next
                    && other != root
                    && (*mode == Mode::Where || !draft.order.is_empty())
                    && column.table == other
                    && let Some(predicate) = self.best_row(other, None, &by, limit)
                {
                    draft.add(super::Condition::Row(predicate), std::mem::take(&mut hand.or));
                    return Some(next + 1);
                }
                draft.order.push(by);
                draft.limit = limit;
                return Some(next);
            }
            // `largest` of something without any size: by the only number there is
            self.notes.push(Note::Doubt("an adjective without a measure"));
            return None;
        }
        // `sold the most`, `which X is used the most`
        if next >= end || !self.is_name(next) {
            if next < end && self.wordy(next) && !LEXICON.is_stop(self.word(next)) {
                next += 1;
            }
            let of = self.subject(draft);
            let counted = draft.joins.iter().copied().find(|it| *it != of.table());
            // `which code was used most`: by how often the only table that refers to it does
            let used = at > 0
                && matches!(
                    self.word(at - 1),
                    "used" | "redeemed" | "applied" | "chosen" | "picked" | "booked" | "borrowed"
                );
            let counted = counted.or_else(|| self.only_user(of.table()).filter(|_| used));
            if used && let Some(table) = counted {
                draft.event = draft.event.or(Some(table));
            }
            if draft.asks_something() {
                draft.order.push(Ordering { by: OrderBy::Count(counted), descending: most });
                draft.ranked = Some(of);
                draft.limit = limit;
                *mode = Mode::Where;
                self.notes.push(Note::Weak(0.7));
                return Some(next);
            }
        }
        None
    }

    /// The only table whose rows refer to those of a table, and have a moment.
    fn only_user(&self, table: usize) -> Option<usize> {
        // of a database none of which may be read, nothing has references
        let mut all = self
            .index
            .edges_of
            .get(table)?
            .iter()
            .map(|it| &self.index.edges[*it])
            .filter(|it| it.to == table && it.from != table)
            .map(|it| it.from);
        let one = all.next()?;
        let timed = self.index.tables[one].columns.iter().any(|it| it.class.is_temporal());
        (timed && all.all(|it| it == one)).then_some(one)
    }

    /// The one number that a table keeps beside its keys.
    pub(super) fn only_number(&self, table: usize) -> Option<ColumnRef> {
        let mut numbers = self.index.tables[table]
            .columns
            .iter()
            .enumerate()
            .filter(|it| it.1.class.is_numeric() && !it.1.is_id())
            .map(|it| ColumnRef::new(table, it.0));
        let one = numbers.next()?;
        numbers.next().is_none().then_some(one)
    }

    /// `key = (the first row's key in that order)`
    fn best_row(
        &self,
        table: usize,
        counted: Option<usize>,
        by: &Ordering,
        limit: Option<u64>,
    ) -> Option<crate::logical::Predicate> {
        let [key] = self.index.tables[table].primary.as_slice() else { return None };
        let key = ColumnRef::new(table, *key);
        let (order, group) = match &by.by {
            OrderBy::Expr(expr) => (expr.clone(), Vec::new()),
            OrderBy::Count(_) => (Expr::count(), vec![Expr::Column(key)]),
            OrderBy::First => return None,
        };
        let nested = crate::logical::LogicalQuery {
            select: vec![Expr::Column(key)],
            root: Some(table),
            also: counted.into_iter().collect(),
            group,
            order: vec![crate::logical::OrderKey { by: order, descending: by.descending }],
            limit,
            ..crate::logical::LogicalQuery::default()
        };
        let nested = Box::new(nested);
        Some(if limit == Some(1) {
            crate::logical::Predicate::Compare(
                Expr::Column(key),
                crate::logical::Comparison::Equal,
                Expr::Scalar(nested),
            )
        } else {
            crate::logical::Predicate::InQuery { columns: vec![key], query: nested, negated: false }
        })
    }

    /// A numeric column that an item may name as well as a table.
    fn numeric_link(&self, draft: &Draft, at: usize) -> Option<ColumnRef> {
        let root = draft.root?;
        self.links(at)
            .iter()
            .filter_map(|it| Some((ColumnRef::new(it.table, it.column?), it.score)))
            .filter(|(it, score)| {
                *score > 0.5
                    && it.table == root
                    && self.index.column(*it).class.is_numeric()
                    && !self.index.column(*it).is_id()
            })
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .map(|it| it.0)
    }

    /// Whether more of that adjective means a higher value of that column.
    pub(super) fn goes_up(&self, word: &str, column: ColumnRef) -> bool {
        let Some(degree) = LEXICON.degree(word) else { return true };
        let info = self.index.column(column);
        if let Some((_, up)) = degree.measures.iter().find(|it| info.has_word(&it.0)) {
            return *up;
        }
        // `lowest`, `earliest`: down whatever is measured
        degree.measures.first().is_some_and(|it| it.1)
    }

    fn adjective_up(&self, word: Option<&str>) -> bool {
        let _ = self;
        word.and_then(|it| LEXICON.degree(it))
            .and_then(|it| it.measures.first().map(|it| it.1))
            .unwrap_or(true)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
fn count(value: f64) -> Option<u64> {
    (value.fract() == 0.0 && (1.0..=100_000.0).contains(&value)).then_some(value as u64)
}
