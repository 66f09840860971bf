//! Events and their order in time: the last order of each, the strongest month, who reports to whom.

use super::{
    Asked, Condition, Draft, GroupKey, Hand, Interpreter, Mode,
    draft::{OrderBy, Ordering},
};
use crate::{
    lexicon::{Form, LEXICON},
    link::Meaning,
    logical::{Aggregate, ColumnRef, Comparison, Expr, Literal, Predicate},
    time::Span,
};

impl Interpreter<'_> {
    /// `whose last order was more than a year ago`: of each the last moment
    pub(super) fn read_last_event(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        if !matches!(self.word(at), "whose" | "where" | "with" | "their") {
            return None;
        }
        let mut next = at + 1;
        while matches!(self.word(next), "the" | "their" | "a") {
            next += 1;
        }
        let last = match self.word(next) {
            "last" | "latest" | "newest" => true,
            "most" if self.word(next + 1) == "recent" => {
                next += 1;
                true
            }
            "first" | "earliest" | "oldest" => false,
            _ => return None,
        };
        next += 1;
        let root = draft.root?;
        let table = self.table_at(next).filter(|it| *it != root)?;
        let moment = self.moment_of(table, None).filter(|it| it.table == table)?;
        next += 1;
        while matches!(
            self.word(next),
            "was" | "is" | "were" | "placed" | "made" | "lies" | "dates" | "came" | "in" | "back"
        ) && next < end
        {
            next += 1;
        }
        let Some(Meaning::Time(span)) = self.items.get(next).map(|it| it.meaning.clone()) else {
            return None;
        };
        let function = if last { Aggregate::Max } else { Aggregate::Min };
        let value = Expr::aggregate(function, Expr::Column(moment));
        let having = match span {
            Span::Range(from, until) => Predicate::During { moment: value, from, until },
            Span::Year(year, bound) => {
                let comparison = match bound {
                    crate::time::Bound::In => Comparison::Equal,
                    crate::time::Bound::Before => Comparison::Less,
                    crate::time::Bound::After => Comparison::Greater,
                    crate::time::Bound::Since => Comparison::AtLeast,
                    crate::time::Bound::Until => Comparison::AtMost,
                };
                Predicate::Compare(
                    Expr::Part("year", Box::new(value)),
                    comparison,
                    Expr::Literal(Literal::Number(f64::from(year))),
                )
            }
            Span::Month(_) | Span::Weekdays(_) => return None,
        };
        self.count_now(draft, hand);
        draft.add(
            Condition::Group { of: GroupKey::Rows(root), having, joins: Some(table) },
            std::mem::take(&mut hand.or),
        );
        hand.column = None;
        *mode = Mode::Where;
        Some(next + 1)
    }

    /// `our 3 strongest months by revenue`, `the best day in terms of revenue`, `days with more than 65 orders`
    pub(super) fn read_best_time(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        if *mode != Mode::Select || draft.asks_something() || !draft.groups.is_empty() {
            return None;
        }
        let root = draft.root?;
        // `days in 2025 with more than 65 orders`
        if at <= 1
            && self.word(at).ends_with('s')
            && !self.is_name(at)
            && let Some(unit) = crate::time::unit(self.word(at))
            && (at + 1..end).any(|it| {
                matches!(self.word(it), "with" | "where" | "when" | "that" | "had")
                    && (it + 1..end.min(it + 5)).any(|it| self.comparator(it).is_some())
            })
        {
            let table = if (at..end).any(|it| self.asks_for_earnings(it)) {
                self.earnings(draft).map_or(root, |it| it.table)
            } else {
                root
            };
            let column = self.moment_of(table, None)?;
            draft.groups.push(GroupKey::Time(unit, column));
            draft.asked.clear();
            return Some(at + 1);
        }
        let mut next = at;
        let mut limit = None;
        if let Some(value) = self.number(next)
            && (1.0..=100.0).contains(&value)
            && value.fract() == 0.0
        {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
            let value = value as u64;
            limit = Some(value);
            next += 1;
        }
        let up = match self.word(next) {
            "best" | "strongest" | "busiest" | "top" | "biggest" | "highest" | "largest"
            | "peak" => true,
            "worst" | "weakest" | "slowest" | "quietest" | "lowest" | "smallest" => false,
            _ => return None,
        };
        if LEXICON.degree(self.word(next)).is_some_and(|it| it.form != Form::Superlative) {
            return None;
        }
        next += 1;
        if limit.is_none()
            && let Some(value) = self.number(next)
            && (1.0..=100.0).contains(&value)
        {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
            let value = value as u64;
            limit = Some(value);
            next += 1;
        }
        if self.is_name(next) && self.table_at(next).is_none() && self.word(next).contains(' ') {
            return None;
        }
        let unit = crate::time::unit(self.word(next))?;
        let plural = self.word(next).ends_with('s');
        next += 1;
        let by = (next..end).find(|&it| {
            matches!(self.word(it), "by" | "regarding")
                || self.says(it, "in terms of")
                || self.says(it, "based on")
                || self.word(it) == "for"
        })?;
        let mut of = by + 1;
        while matches!(self.word(of), "terms" | "of" | "on" | "the" | "total" | "number" | "our") {
            of += 1;
        }
        let (order, table) = if self.asks_for_earnings(of) {
            let measure = self.earnings(draft)?;
            self.count_only(draft, &measure);
            (OrderBy::Expr(Expr::aggregate(Aggregate::Sum, measure.amount)), measure.table)
        } else {
            let table = self.table_at(of)?;
            (OrderBy::Count(Some(table)), table)
        };
        draft.root = Some(table);
        let column = self.moment_of(table, None)?;
        draft.groups.push(GroupKey::Time(unit, column));
        draft.order.push(Ordering { by: order, descending: up });
        draft.limit = limit.or(Some(if plural { 10 } else { 1 }));
        match &draft.order[0].by {
            OrderBy::Expr(Expr::Aggregate { function, argument: Some(of), .. }) => {
                draft.asked = vec![Asked::Aggregate(*function, of.as_ref().clone())];
            }
            _ => {
                draft.asked =
                    vec![Asked::Count { table: Some(table), column: None, distinct: false }];
            }
        }
        self.blank(by, of + 1);
        self.mark_used(by, of + 1);
        self.spent.extend([of]);
        hand.number = None;
        Some(next)
    }

    /// `who reports to the Head of Sales`: rows whose superior is of that kind
    pub(super) fn read_reporting(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        let length = self.one_of(
            at,
            &[
                "reports to",
                "report to",
                "reporting to",
                "reports directly to",
                "report directly to",
                "managed by",
                "supervised by",
                "led by",
                "works under",
                "work under",
            ],
        )?;
        let mut next = at + length;
        while matches!(self.word(next), "the" | "our" | "a") {
            next += 1;
        }
        if next >= end {
            return None;
        }
        let own = |table: usize| {
            self.index.edges_of[table].iter().copied().find(|it| {
                let edge = &self.index.edges[*it];
                edge.from == edge.to
            })
        };
        let Meaning::Value(links) = &self.items[next].meaning else { return None };
        let link = links.iter().find(|it| own(it.table).is_some())?.clone();
        let superior = ColumnRef { table: link.table, column: link.column, role: 1 };
        let mut parts = vec![Predicate::Compare(
            Expr::Column(superior),
            Comparison::Equal,
            Expr::Literal(Literal::Text(link.value)),
        )];
        next += 1;
        // first and last name
        if let Some(Meaning::Value(more)) = self.items.get(next).map(|it| &it.meaning)
            && next < end
            && let Some(more) =
                more.iter().find(|it| it.table == superior.table && it.column != superior.column)
        {
            parts.push(Predicate::Compare(
                Expr::Column(ColumnRef { column: more.column, ..superior }),
                Comparison::Equal,
                Expr::Literal(Literal::Text(more.value.clone())),
            ));
            next += 1;
        }
        let predicate = if parts.len() == 1 { parts.swap_remove(0) } else { Predicate::And(parts) };
        if draft.root.is_none() {
            draft.root = Some(superior.table);
        }
        self.count_now(draft, hand);
        draft.add(Condition::Row(predicate), std::mem::take(&mut hand.or));
        if !draft.asks_something() && !draft.counts() {
            draft.ask(Asked::Rows(superior.table));
        }
        self.weight[superior.table] = self.weight[superior.table].max(0.9);
        hand.column = None;
        *mode = Mode::Where;
        Some(next)
    }

    /// The table that a ranking inside a condition speaks of, where that is not what is asked for: `students in the dorm
    /// with the most beds`.
    pub(super) fn described(&self, draft: &Draft, mode: Mode, at: usize) -> Option<usize> {
        if mode != Mode::Where && !draft.counts() && !draft.aggregates() {
            return None;
        }
        let last = (0..at).rev().take(6).find(|&it| self.is_name(it))?;
        let table = self.table_at(last)?;
        let subject = self.subject(draft).table();
        let shown = draft.asked.iter().any(|it| match it {
            Asked::Column(it) => it.table == table,
            Asked::Rows(it) => *it == table,
            _ => false,
        });
        let binds = (last + 1..at).all(|it| {
            matches!(
                self.word(it),
                "with"
                    | "that"
                    | "which"
                    | "who"
                    | "has"
                    | "have"
                    | "had"
                    | "having"
                    | "the"
                    | "whose"
                    | "of"
                    | "is"
                    | "where"
                    | "made"
                    | "are"
            )
        });
        (binds && table != subject && !shown && Some(table) != draft.root).then_some(table)
    }
}
