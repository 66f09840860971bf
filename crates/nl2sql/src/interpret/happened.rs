//! What happened to rows, by a verb that a moment of theirs is called after: `employees who left`, `new customers per week`,
//! `coupons that ended in 2026`; and what holds of the most extreme of what belongs to each.

use super::{Condition, Draft, GroupKey, Hand, Interpreter, Mode};
use crate::{
    lexicon::{Form, LEXICON},
    link::Meaning,
    logical::{Aggregate, ColumnRef, Expr, Literal, Predicate},
    token::{Token, normalized},
};

/// Words in names of moments at which something ends, and at which it begins.
const ENDS: [&str; 9] =
    ["until", "end", "ended", "expiry", "expire", "expiration", "to", "close", "finish"];
const BEGINS: [&str; 7] = ["from", "start", "started", "begin", "open", "launch", "since"];

impl Interpreter<'_> {
    /// `who left`, `that have been resolved`, `new customers` where a time is said.
    pub(super) fn read_happened(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        if self.items[at].quoted || self.items[at].end != self.items[at].first + 1 {
            return None;
        }
        if self.word(at) == "new" && self.wordy(at) {
            let table = self.table_at(at + 1)?;
            let timed = self.items.iter().enumerate().any(|(other, it)| {
                matches!(it.meaning, Meaning::Time(_))
                    || other > at
                        && self.bucket(other).is_some()
                        && matches!(self.word(other - 1), "per" | "by" | "each" | "every" | "a")
                    || other > at
                        && matches!(
                            self.word(other),
                            "daily" | "weekly" | "monthly" | "quarterly" | "yearly"
                        )
            });
            let begins = self.index.tables[table].columns.iter().any(|it| it.class.is_temporal());
            return (timed && begins).then_some(at + 1);
        }
        let root = draft.root?;
        let led = at > 0
            && (matches!(
                self.word(at - 1),
                "who"
                    | "that"
                    | "which"
                    | "have"
                    | "has"
                    | "had"
                    | "been"
                    | "were"
                    | "was"
                    | "already"
                    | "ever"
            ));
        if !led || hand.negated || !self.wordy(at) && !self.is_name(at) {
            return None;
        }
        // when it happened is said: that is read with the time
        let timed = (at + 1..end.min(at + 5))
            .any(|it| matches!(self.items[it].meaning, Meaning::Time(_) | Meaning::Number(..)));
        let past = self.word(at).ends_with("ed") || self.word(at) != self.lemma(at);
        if timed || !past || self.word(at).ends_with('s') {
            return None;
        }
        let token = &self.tokens[self.items[at].first];
        let column = self.moment_called(root, token)?;
        // `who was hired first`: the one to whom it happened before all others; but `who made the earliest rental` speaks of
        // rentals
        let of_nothing = |it: &usize| !self.is_name(at + 1 + *it);
        let first = self.one_of(at + 1, &["first", "earliest", "longest ago"]).filter(of_nothing);
        let last = self.one_of(at + 1, &["last", "latest", "most recently"]).filter(of_nothing);
        if let Some(length) = first.or(last) {
            let by = super::OrderBy::Expr(Expr::Column(column));
            draft.order.push(super::draft::Ordering { by, descending: first.is_none() });
            draft.limit = hand.number.take().or(draft.limit).or(Some(1));
            self.spent.extend(at..=at + length);
            hand.column = None;
            *mode = Mode::Where;
            return Some(at + 1 + length);
        }
        // `what share of orders was shipped to Peru` says where, not that it happened
        if !self.index.column(column).nullable || self.word(at - 1) == "was" {
            return None;
        }
        self.count_now(draft, hand);
        draft.add(
            Condition::Row(Predicate::Null { column, negated: true }),
            std::mem::take(&mut hand.or),
        );
        hand.column = None;
        *mode = Mode::Where;
        Some(at + 1)
    }

    /// The moment of a table that is called after a verb.
    pub(super) fn moment_called(&self, table: usize, verb: &Token) -> Option<ColumnRef> {
        let columns = &self.index.tables[table].columns;
        let named = |says: &dyn Fn(&str) -> bool| {
            columns.iter().position(|it| {
                it.class.is_temporal() && it.words.iter().any(|own| says(own.as_str()))
            })
        };
        let stem = |own: &str| LEXICON.stem(&LEXICON.lemma(own));
        let column = named(&|own| {
            own == verb.lower || own == verb.lemma || own == verb.stem || stem(own) == verb.stem
        });
        // `hired` is when somebody joined
        let others = LEXICON.synonyms(&verb.stem);
        let column =
            column.or_else(|| named(&|own| others.iter().any(|it| it == own || *it == stem(own))));
        // `When the guest came`, `Day the product left the range`: what is written about it says what happened then
        let column = column.or_else(|| {
            columns.iter().position(|it| {
                let comment = it.comment.as_deref().unwrap_or_default();
                let first = comment.split(['.', ';', '(']).next().unwrap_or_default();
                let normal = normalized(first);
                it.class.is_temporal()
                    && !LEXICON.is_light(&verb.lower)
                    && normal.split(' ').any(|it| it == verb.lower || it == verb.lemma)
            })
        });
        column.map(|it| ColumnRef::new(table, it))
    }

    /// The moment at which what a table keeps ends or begins, where a verb says one of these and no moment is called after it.
    pub(super) fn end_or_beginning(&self, table: usize, verb: &Token) -> Option<ColumnRef> {
        let words: &[&str] = match verb.lower.as_str() {
            "ended" | "ends" | "end" | "ending" | "expired" | "expires" | "expire" | "expiring"
            | "finished" | "ran" | "runs" | "run" | "closed" => &ENDS,
            "started" | "starts" | "start" | "starting" | "began" | "begins" | "begin"
            | "launched" | "opened" => &BEGINS,
            _ => return None,
        };
        let columns = &self.index.tables[table].columns;
        // a table that keeps both sides
        let side = |words: &[&str]| {
            columns.iter().position(|it| {
                it.class.is_temporal() && it.words.iter().any(|own| words.contains(&own.as_str()))
            })
        };
        let (from, until) = (side(&BEGINS)?, side(&ENDS)?);
        let column = if words == ENDS { until } else { from };
        (from != until).then(|| ColumnRef::new(table, column))
    }

    /// The table of people that something happened to, where a question begins with "who" and names none.
    pub(super) fn done_to(&self, from: usize, until: usize) -> Option<usize> {
        let people = |at: usize| matches!(self.word(at), "people" | "persons") && self.wordy(at);
        if !matches!(self.word(from), "who" | "whom") && !(from..until.min(from + 3)).any(people) {
            return None;
        }
        (from + 1..until).filter(|at| self.wordy(*at)).find_map(|at| {
            let verb = &self.tokens[self.items[at].first];
            if LEXICON.is_stop(&verb.lower) {
                return None;
            }
            let mut all = (0..self.index.tables.len())
                .filter(|it| self.index.tables[*it].display.len() == 2)
                .filter(|it| self.moment_called(*it, verb).is_some());
            let first = all.next()?;
            all.next().is_none().then_some(first)
        })
    }

    /// `suppliers whose cheapest product costs more than 12 dollars`: of what belongs to each the most extreme.
    pub(super) fn read_extreme(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        if self.word(at) != "whose" {
            return None;
        }
        let root = draft.root?;
        let mut next = at + 1;
        let degree = match self.word(next) {
            "most" | "least" => {
                next += 1;
                LEXICON.degree(self.word(next))?
            }
            word => LEXICON.degree(word).filter(|it| it.form == Form::Superlative)?,
        };
        let least = self.word(next - 1) == "least";
        next += 1;
        let table = self.table_at(next).filter(|it| *it != root && self.single(*it, root))?;
        let (column, up) = degree.measures.iter().find_map(|(stem, up)| {
            let at = self.index.tables[table]
                .columns
                .iter()
                .position(|it| it.class.is_numeric() && !it.is_id() && it.has_word(stem))?;
            Some((ColumnRef::new(table, at), *up))
        })?;
        next += 1;
        while next < end
            && matches!(
                self.word(next),
                "costs"
                    | "cost"
                    | "is"
                    | "was"
                    | "has"
                    | "weighs"
                    | "priced"
                    | "at"
                    | "a"
                    | "still"
                    | "price"
            )
            && self.comparator(next).is_none()
        {
            next += 1;
        }
        let comparator = self.comparator(next)?;
        let mut value_at = comparator.next;
        while self.marked(value_at, '$') || self.marked(value_at, '€') {
            value_at += 1;
        }
        let value = self.number(value_at).filter(|_| value_at < end)?;
        let function = if up == least { Aggregate::Min } else { Aggregate::Max };
        let having = Predicate::Compare(
            Expr::aggregate(function, Expr::Column(column)),
            comparator.comparison,
            Expr::Literal(Literal::Number(value)),
        );
        self.count_now(draft, hand);
        if !draft.asks_something() {
            draft.ask(super::Asked::Rows(root));
        }
        draft.add(
            Condition::Group { of: GroupKey::Rows(root), having, joins: Some(table) },
            std::mem::take(&mut hand.or),
        );
        hand.column = None;
        *mode = Mode::Where;
        let mut next = value_at + 1;
        while matches!(self.word(next), "dollars" | "euros" | "usd" | "eur") {
            next += 1;
        }
        Some(next)
    }
}
