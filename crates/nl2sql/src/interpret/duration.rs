//! The time between two moments: as a measure ("average days from order to delivery"), as a condition ("resolved within 24
//! hours"), and against a deadline ("delivered late").

use super::{Asked, Condition, Draft, GroupKey, Hand, Interpreter, Mode};
use crate::{
    lexicon::LEXICON,
    link::Meaning,
    logical::{Aggregate, ColumnRef, Comparison, Expr, Literal, Moment, Predicate, TimeUnit},
    time,
};

/// Words of a column that holds a deadline.
const DEADLINES: [&str; 14] = [
    "promise",
    "promised",
    "due",
    "require",
    "required",
    "deadline",
    "expect",
    "expected",
    "estimate",
    "estimated",
    "plan",
    "planned",
    "schedule",
    "scheduled",
];

/// Words that say that something came into being, whatever its column is called.
const BEGINS: [&str; 14] = [
    "create", "open", "place", "submit", "file", "raise", "start", "begin", "creation", "opening",
    "report", "signup", "receive", "come",
];

impl Interpreter<'_> {
    /// The tables whose moments a question may speak of: what it is about, what it names, what lies beside.
    fn timed_tables(&self, draft: &Draft) -> Vec<usize> {
        let mut all: Vec<usize> = draft.root.into_iter().collect();
        let mut named: Vec<usize> =
            (0..self.index.tables.len()).filter(|it| self.weight[*it] > 0.5).collect();
        named.sort_by(|a, b| self.weight[*b].total_cmp(&self.weight[*a]).then(a.cmp(b)));
        all.extend(named);
        let beside: Vec<usize> = all
            .iter()
            .flat_map(|at| {
                self.index.edges_of[*at].iter().map(|edge| self.index.edges[*edge].seen_from(*at).1)
            })
            .collect();
        all.extend(beside);
        let mut seen = vec![false; self.index.tables.len()];
        all.retain(|it| !std::mem::replace(&mut seen[*it], true));
        all
    }

    /// The moment that a word tells of (`shipped`, `delivery`, `first answer`), the best table first.
    pub(super) fn moment_told(&self, tables: &[usize], at: usize) -> Option<ColumnRef> {
        let item = self.items.get(at)?;
        if item.quoted
            || matches!(item.meaning, Meaning::Mark(_) | Meaning::Number(..) | Meaning::Time(_))
        {
            return None;
        }
        if matches!(
            self.word(at),
            "first"
                | "last"
                | "on"
                | "at"
                | "date"
                | "day"
                | "time"
                | "in"
                | "to"
                | "from"
                | "by"
                | "up"
                | "second"
                | "valid"
                | "until"
        ) {
            return None;
        }
        let token = &self.tokens[item.end - 1];
        let mut best: Option<(f64, ColumnRef)> = None;
        for (order, &table) in tables.iter().enumerate() {
            for (column, info) in self.index.tables[table].columns.iter().enumerate() {
                if !info.class.is_temporal() {
                    continue;
                }
                let mut score: f64 = 0.0;
                for own in &info.words {
                    let stem = LEXICON.stem(own);
                    let alike = own.len() > 4
                        && token.lower.len() > 4
                        && own.is_char_boundary(5)
                        && token.lower.is_char_boundary(5)
                        && own[..5] == token.lower[..5];
                    if *own == token.lemma || *own == token.lower || stem == token.stem {
                        score = score.max(1.0);
                    } else if alike {
                        score = score.max(0.9);
                    } else if LEXICON.synonyms(&token.stem).contains(&stem)
                        && !matches!(
                            own.as_str(),
                            "at" | "on" | "date" | "time" | "day" | "first" | "last"
                        )
                    {
                        score = score.max(0.7);
                    }
                }
                if score == 0.0 {
                    continue;
                }
                // a deadline is no moment of what happened
                if info.words.iter().any(|it| DEADLINES.contains(&it.as_str()))
                    && !DEADLINES.contains(&token.lemma.as_str())
                {
                    score -= 0.3;
                }
                #[expect(clippy::cast_precision_loss, reason = "a few tables")]
                let score = score - 0.03 * order as f64;
                if best.as_ref().is_none_or(|it| score > it.0 + 1e-9) {
                    best = Some((score, ColumnRef::new(table, column)));
                }
            }
        }
        if let Some((score, column)) = best
            && score > 0.5
        {
            return Some(column);
        }
        // `between order and …`: when that happened
        if let Some(table) = self.table_at(at)
            && let Some(column) = self.moment_of(table, None).filter(|it| it.table == table)
        {
            return Some(column);
        }
        let begins = BEGINS.iter().any(|it| *it == token.lemma || LEXICON.stem(it) == token.stem);
        begins.then(|| self.moment_of(*tables.first()?, None)).flatten()
    }

    /// A moment told within the next words, and where they end.
    fn told_from(&self, tables: &[usize], from: usize, end: usize) -> Option<(ColumnRef, usize)> {
        for at in from..end.min(from + 5) {
            // `an order coming in`, `the parcel being packed`: what happened to it
            if self.table_at(at).is_some()
                && (at + 1..end.min(at + 3)).any(|it| {
                    self.table_at(it).is_none()
                        && self.moment_told(tables, it).is_some()
                        && (at + 1..it).all(|it| {
                            matches!(
                                self.word(it),
                                "being" | "is" | "was" | "gets" | "are" | "comes"
                            )
                        })
                })
            {
                continue;
            }
            if let Some(column) = self.moment_told(tables, at) {
                let mut next = at + 1;
                // `the first answer`, `delivery date`, `logged in`
                while matches!(self.word(next), "date" | "time" | "day" | "moment")
                    && !self.is_name(next)
                {
                    next += 1;
                }
                return Some((column, next));
            }
            let small = matches!(
                self.word(at),
                "the"
                    | "a"
                    | "an"
                    | "their"
                    | "its"
                    | "our"
                    | "it"
                    | "was"
                    | "is"
                    | "are"
                    | "were"
                    | "get"
                    | "be"
                    | "being"
                    | "they"
                    | "we"
                    | "first"
                    | "to"
                    | "been"
                    | "he"
                    | "she"
                    | "last"
                    | "of"
                    | "having"
                    | "initial"
                    | "them"
                    | "us"
                    | "gets"
                    | "got"
            ) || self.table_at(at).is_some();
            if !small {
                return None;
            }
        }
        None
    }

    /// When what ends at `to` began.
    fn began(&self, to: ColumnRef) -> Option<ColumnRef> {
        let info = self.index.column(to);
        // a delivery begins with the shipment, where that is kept
        if info.words.iter().any(|it| {
            matches!(it.as_str(), "deliver" | "delivered" | "delivery" | "arrive" | "arrived")
        }) && let Some(column) = self.index.tables[to.table].columns.iter().position(|it| {
            it.class.is_temporal()
                && it.words.iter().any(|it| {
                    matches!(it.as_str(), "ship" | "shipped" | "dispatched" | "sent" | "shipping")
                })
        }) {
            return Some(ColumnRef::new(to.table, column));
        }
        if let Some(column) =
            self.moment_of(to.table, None).filter(|it| *it != to && it.table == to.table)
        {
            return Some(column);
        }
        // what belongs to a row of another table began with that one
        self.index.edges_of[to.table].iter().find_map(|edge| {
            let edge = &self.index.edges[*edge];
            (edge.from == to.table && edge.to != to.table)
                .then(|| self.moment_of(edge.to, None).filter(|it| it.table == edge.to))
                .flatten()
        })
    }

    /// `average number of days from shipping to delivery`, `how long does it take to resolve …`, `average response time`
    pub(super) fn read_duration(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        if self.items[at].quoted
            || *mode == Mode::Where && draft.asks_something() && self.word(at) != "how"
        {
            return None;
        }
        let asks = self.one_of(
            at,
            &[
                "how long",
                "how many days",
                "how many hours",
                "how many minutes",
                "how many weeks",
                "how many months",
                "how fast",
                "how quickly",
            ],
        );
        let last = self.word(at).rsplit(' ').next().unwrap_or("");
        let lead = asks.or_else(|| {
            (matches!(
                last,
                "time"
                    | "days"
                    | "hours"
                    | "minutes"
                    | "weeks"
                    | "months"
                    | "duration"
                    | "delay"
                    | "gap"
            ) && !self.is_value(at))
            .then_some(1)
        })?;
        let mut unit = (at..at + lead).find_map(|it| counted_in(self.word(it)));
        let tables = self.timed_tables(draft);
        let mut next = at + lead;
        let mut average = false;
        // `delivery time`: the word before says until when
        let mut ends: Option<ColumnRef> = None;
        if last == "time" && asks.is_none() {
            let words: Vec<&str> = self.word(at).split(' ').collect();
            let before = if words.len() > 1 { None } else { at.checked_sub(1) };
            if words.len() > 1 {
                ends = self.moment_told_word(&tables, words[words.len() - 2]);
            } else if let Some(before) = before {
                ends = self.moment_told(&tables, before);
            }
        }
        loop {
            if self.says(next, "on average") {
                average = true;
                next += 2;
                continue;
            }
            if matches!(self.word(next), "in" | "(" | "of")
                && counted_in(self.word(next + 1)).is_some()
            {
                unit = counted_in(self.word(next + 1));
                next += 2;
                continue;
            }
            let filler = matches!(
                self.word(next),
                "it" | "takes"
                    | "take"
                    | "took"
                    | "does"
                    | "do"
                    | "did"
                    | "we"
                    | "needed"
                    | "passed"
                    | "pass"
                    | "passes"
                    | "lies"
                    | "lie"
                    | "elapsed"
                    | "typically"
                    | "usually"
                    | "is"
                    | "are"
                    | "there"
                    | "was"
                    | "elapse"
                    | "elapses"
                    | "us"
                    | "that"
                    | "needs"
                    | "need"
                    | "go"
                    | "goes"
                    | "by"
            ) && !self.is_value(next)
                || self.marked(next, '(')
                || self.marked(next, ')');
            if filler && next < end {
                next += 1;
                continue;
            }
            break;
        }
        let (from, to, mut after) = match self.word(next) {
            joiner @ ("from" | "between") => {
                let middle = if joiner == "from" { "to" } else { "and" };
                let (from, stop) = self.told_from(&tables, next + 1, end)?;
                let stop = (stop..end.min(stop + 4)).find(|&it| {
                    self.word(it) == middle || matches!(self.word(it), "until" | "till")
                })?;
                let (to, stop) = self.told_from(&tables, stop + 1, end)?;
                (from, to, stop)
            }
            "until" | "till" | "before" | "to" | "for" => {
                let (to, stop) = self.told_from(&tables, next + 1, end)?;
                (self.began(to)?, to, stop)
            }
            _ if ends.is_some() => (self.began(ends?)?, ends?, next),
            // `how long do parcels take to arrive`, `how quickly do we resolve tickets`
            _ if asks.is_some() => {
                let mut stop = next;
                while stop < end && stop < next + 5 && self.moment_told(&tables, stop).is_none()
                    || self.table_at(stop).is_some() && stop < end
                {
                    stop += 1;
                }
                let (to, stop) = self.told_from(&tables, stop, end)?;
                (self.began(to)?, to, stop)
            }
            _ => return None,
        };
        if from == to {
            return None;
        }
        // `… after it was created`
        if matches!(self.word(after), "after" | "from" | "since")
            && let Some((_, stop)) = self.told_from(&tables, after + 1, end)
        {
            after = stop;
        }
        while self.says(after, "on average") {
            average = true;
            after += 2;
        }
        if self.word(after) == "in" && counted_in(self.word(after + 1)).is_some() {
            unit = counted_in(self.word(after + 1));
            after += 2;
        }
        let unit = unit.or_else(|| {
            (after..end)
                .find_map(|it| {
                    let unit =
                        (self.word(it) == "in").then(|| counted_in(self.word(it + 1))).flatten()?;
                    Some((it, unit))
                })
                .map(|(it, unit)| {
                    self.blank(it, it + 2);
                    self.mark_used(it, it + 2);
                    unit
                })
        });
        let function = hand.aggregates.pop().unwrap_or(Aggregate::Avg);
        let _ = average;
        hand.aggregates.clear();
        hand.count = false;
        let apart = Expr::Duration {
            from: Box::new(Expr::Column(from)),
            to: Box::new(Expr::Column(to)),
            unit,
        };
        if draft.root.is_none() || draft.asked.is_empty() {
            draft.root = Some(to.table);
        }
        draft.event = Some(from.table);
        self.measured = Some(to.table);
        self.weight[to.table] = self.weight[to.table].max(0.9);
        self.weight[from.table] = self.weight[from.table].max(0.9);
        // what was in front of it named the moment, nothing that is asked for
        draft.asked.retain(|it| {
            !matches!(it, Asked::Column(column) if *column == to) && !matches!(it, Asked::Rows(_))
        });
        draft.ask(Asked::Aggregate(function, apart));
        self.mark_used(at.saturating_sub(1), after);
        self.spent.extend(at.saturating_sub(1)..after);
        Some(after.max(at + 1))
    }

    fn moment_told_word(&self, tables: &[usize], word: &str) -> Option<ColumnRef> {
        let stem = LEXICON.stem(&LEXICON.lemma(word));
        tables.iter().find_map(|&table| {
            let at = self.index.tables[table].columns.iter().position(|it| {
                it.class.is_temporal()
                    && it.words.iter().any(|own| {
                        LEXICON.stem(own) == stem
                            || own.len() > 4
                                && word.len() > 4
                                && own.as_bytes()[..5] == word.as_bytes()[..5]
                    })
            })?;
            Some(ColumnRef::new(table, at))
        })
    }

    /// `resolved within 24 hours`, `delivered more than 7 days after being shipped`, `took longer than a week to arrive`
    pub(super) fn read_time_apart(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        if let Some(next) = self.read_deadline(draft, hand, mode, at, end) {
            return Some(next);
        }
        let tables = self.timed_tables(draft);
        let took =
            matches!(self.word(at), "took" | "take" | "takes" | "taking" | "needed" | "need");
        let told = if took { None } else { self.moment_told(&tables, at) };
        if !took && told.is_none() {
            return None;
        }
        let mut next = at + 1;
        while matches!(self.word(next), "only" | "us" | "just" | "no") && next < end {
            next += 1;
        }
        let (comparison, mut next) = if let Some(length) = self
            .one_of(next, &["within", "in less than", "in under", "in at most", "in no more than"])
        {
            (Comparison::AtMost, next + length)
        } else {
            let comparator = self.comparator(next)?;
            (comparator.comparison, comparator.next)
        };
        while matches!(self.word(next), "the" | "first") {
            next += 1;
        }
        let (count, step) = match (self.number(next), self.word(next)) {
            (Some(count), _) => (count, 1),
            (None, "a" | "an" | "one") => (1.0, 1),
            _ => return None,
        };
        let unit =
            time::unit(self.word(next + step)).or_else(|| counted_in(self.word(next + step)));
        // a minute has no unit of its own
        let (count, unit) = match (unit, self.word(next + step)) {
            (Some(unit), _) => (count, unit),
            (None, "minute" | "minutes") => (count / 60.0, TimeUnit::Hour),
            _ => return None,
        };
        next += step + 1;
        let mut from = None;
        let mut to = told;
        if took {
            if matches!(self.word(next), "to" | "until" | "for" | "before") {
                let (column, stop) = self.told_from(&tables, next + 1, end)?;
                to = Some(column);
                next = stop;
            }
        } else if matches!(self.word(next), "after" | "of" | "from" | "since")
            && let Some((column, stop)) = self.told_from(&tables, next + 1, end)
        {
            from = Some(column);
            next = stop;
        }
        let to = to?;
        let from = from.or_else(|| self.began(to))?;
        if from == to || !self.index.column(to).nullable && from.table == to.table {
            return None;
        }
        let left = Expr::Duration {
            from: Box::new(Expr::Column(from)),
            to: Box::new(Expr::Column(to)),
            unit: None,
        };
        let days = self.index.column(from).class == plinth_schema_introspect::TypeClass::Date
            && self.index.column(to).class == plinth_schema_introspect::TypeClass::Date;
        let right = if days {
            Expr::Literal(Literal::Number(count * days_of(unit)))
        } else if count.fract() == 0.0 {
            #[expect(clippy::cast_possible_truncation, reason = "whole and small")]
            Expr::Literal(Literal::Interval(count as i64, unit))
        } else {
            return None;
        };
        let mut comparison = comparison;
        if std::mem::take(&mut hand.negated) {
            comparison = comparison.negated();
        }
        if draft.root.is_none() {
            draft.root = Some(to.table);
        }
        if draft.asks_something() || hand.count {
            self.count_now(draft, hand);
        }
        draft.add(
            Condition::Row(Predicate::Compare(left, comparison, right)),
            std::mem::take(&mut hand.or),
        );
        hand.column = None;
        *mode = Mode::Where;
        Some(next)
    }

    /// `delivered late`, `overdue parcels`, `shipped on time`
    fn read_deadline(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        let _ = end;
        if self.is_value(at) && self.items[at].quoted {
            return None;
        }
        let open = matches!(self.word(at), "overdue") || self.says(at, "past due");
        let length = if open {
            if self.word(at) == "past" { 2 } else { 1 }
        } else {
            self.one_of(
                at,
                &[
                    "late",
                    "too late",
                    "on time",
                    "in time",
                    "on schedule",
                    "behind schedule",
                    "delayed",
                    "after the deadline",
                    "punctually",
                ],
            )?
        };
        if self.links(at).iter().any(|it| it.score > 0.9) && !self.wordy(at) {
            return None;
        }
        let kept = matches!(self.word(at), "on" | "in" | "punctually");
        let tables = self.timed_tables(draft);
        let deadline = tables.iter().find_map(|&table| {
            let column = self.index.tables[table].columns.iter().position(|it| {
                it.class.is_temporal() && it.words.iter().any(|it| DEADLINES.contains(&it.as_str()))
            })?;
            Some(ColumnRef::new(table, column))
        })?;
        // what was to happen by then: told by the verb before, else the last step that is kept
        let own = [deadline.table];
        let told = (1..=2.min(at))
            .filter(|back| self.table_at(at - back).is_none())
            .find_map(|back| self.moment_told(&own, at - back))
            .filter(|it| *it != deadline && self.index.column(*it).nullable);
        let done = told.or_else(|| {
            let usual = [
                "deliver",
                "delivered",
                "delivery",
                "arrive",
                "arrived",
                "arrival",
                "return",
                "returned",
                "complete",
                "completed",
                "paid",
                "ship",
                "shipped",
                "resolve",
                "resolved",
                "finish",
                "finished",
                "done",
                "actual",
            ];
            let columns = &self.index.tables[deadline.table].columns;
            usual
                .iter()
                .find_map(|word| {
                    columns.iter().position(|it| {
                        it.class.is_temporal()
                            && it.nullable
                            && it.words.iter().any(|own| own == word)
                    })
                })
                .or_else(|| {
                    // the only one that could be it
                    let ends = |it: &str| {
                        let other = ["delete", "cancel", "void", "archive", "update", "modify"];
                        let told = ["remind", "notif", "expire", "lock", "block", "review"];
                        other.iter().chain(&told).any(|stem| it.starts_with(stem))
                    };
                    let mut left = columns.iter().enumerate().filter(|(at, it)| {
                        it.class.is_temporal()
                            && it.nullable
                            && *at != deadline.column
                            && !it.words.iter().any(|own| ends(own))
                    });
                    left.next().filter(|_| left.next().is_none()).map(|it| it.0)
                })
                .map(|it| ColumnRef::new(deadline.table, it))
                .filter(|it| *it != deadline)
        })?;
        let or = std::mem::take(&mut hand.or);
        // a state of the same name said nothing else than the verb
        if told.is_some() {
            let stem = self.tokens[self.items[at - 1].end - 1].stem.clone();
            draft.conditions.retain(|(it, _)| !matches!(it, Condition::Row(Predicate::Compare(_, Comparison::Equal, Expr::Literal(Literal::Text(value))))
                if LEXICON.stem(&LEXICON.lemma(&value.to_lowercase())) == stem));
        }
        if open {
            draft.add(Condition::Row(Predicate::Null { column: done, negated: false }), or);
            draft.add(
                Condition::Row(Predicate::During {
                    moment: Expr::Column(deadline),
                    from: None,
                    until: Some(Moment::Start(TimeUnit::Day, 0)),
                }),
                false,
            );
        } else {
            let mut comparison = if kept { Comparison::AtMost } else { Comparison::Greater };
            if std::mem::take(&mut hand.negated) {
                comparison = comparison.negated();
            }
            let date =
                self.index.column(deadline).class == plinth_schema_introspect::TypeClass::Date;
            let moment = Expr::Column(done);
            let moment = if date { Expr::Bucket(TimeUnit::Day, Box::new(moment)) } else { moment };
            draft.add(
                Condition::Row(Predicate::Compare(moment, comparison, Expr::Column(deadline))),
                or,
            );
        }
        if draft.root.is_none() {
            draft.root = Some(deadline.table);
        }
        self.weight[deadline.table] = self.weight[deadline.table].max(0.5);
        self.mark_used(at.saturating_sub(usize::from(told.is_some())), at + length);
        hand.column = None;
        if draft.asks_something() {
            *mode = Mode::Where;
        }
        Some(at + length)
    }

    /// `on which weekday …`, `in which month …`: the steps of time are what is asked for.
    pub(super) fn read_which_time(
        &mut self,
        draft: &mut Draft,
        _hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        if *mode != Mode::Select
            || !matches!(self.word(at), "which" | "what")
            || draft.asks_something()
        {
            return None;
        }
        let next = at + 1;
        let (part, unit, length) = if let Some(length) =
            self.one_of(next, &["day of the week", "days of the week", "day of week"])
        {
            (Some("isodow"), None, length)
        } else if matches!(self.word(next), "weekday" | "weekdays") {
            (Some("isodow"), None, 1)
        } else if let Some(length) = self.one_of(
            next,
            &["hour of the day", "hour of day", "hour", "time of the day", "time of day"],
        ) {
            (Some("hour"), None, length)
        } else if self.is_name(next) && self.table_at(next).is_none() {
            return None;
        } else {
            (None, Some(time::unit(self.word(next))?), 1)
        };
        // where something is ranked
        let ranked = (next..end).any(|it| {
            matches!(
                self.word(it),
                "most"
                    | "least"
                    | "fewest"
                    | "highest"
                    | "lowest"
                    | "best"
                    | "busiest"
                    | "worst"
                    | "strongest"
            )
        }) || (next..end).any(|it| self.comparator(it).is_some());
        let root = draft.root?;
        let earned = (next..end).any(|it| self.asks_for_earnings(it));
        let table = if earned { self.earnings(draft).map_or(root, |it| it.table) } else { root };
        let column = self.moment_of(table, None)?;
        if !ranked {
            return None;
        }
        draft.groups.push(match (part, unit) {
            (Some(part), _) => GroupKey::Part(part, column),
            (None, Some(unit)) => GroupKey::Time(unit, column),
            (None, None) => return None,
        });
        Some(next + length)
    }
}

fn counted_in(word: &str) -> Option<TimeUnit> {
    match word {
        "hours" | "hour" | "hrs" => Some(TimeUnit::Hour),
        "days" | "day" => Some(TimeUnit::Day),
        "weeks" => Some(TimeUnit::Week),
        "months" => Some(TimeUnit::Month),
        "years" => Some(TimeUnit::Year),
        _ => None,
    }
}

fn days_of(unit: TimeUnit) -> f64 {
    match unit {
        TimeUnit::Hour => 1.0 / 24.0,
        TimeUnit::Day => 1.0,
        TimeUnit::Week => 7.0,
        TimeUnit::Month => 30.0,
        TimeUnit::Quarter => 91.0,
        TimeUnit::Year => 365.0,
    }
}
