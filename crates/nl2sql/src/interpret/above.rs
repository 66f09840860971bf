//! A row beside the one above it: `who earns more than their manager`, `more than 80 percent of what their boss makes`.

use super::{Condition, Draft, Hand, Interpreter, Mode, age::mirrored, resolve::Want};
use crate::{
    lexicon::LEXICON,
    logical::{Arithmetic, ColumnRef, Expr, Literal, Predicate},
};

/// Verbs of what somebody is paid.
const EARNS: [&str; 12] = [
    "earn", "earns", "earning", "earned", "make", "makes", "making", "made", "paid", "get", "gets",
    "pay",
];

impl Interpreter<'_> {
    /// See the module.
    pub(super) fn read_above(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        let root = draft.root?;
        let superior = self.superior_of(root)?;
        let comparator = self.comparator(at)?;
        let (times, from) = self.times(comparator.next, end)?;
        // `what their boss makes`, `the salary of their manager`, `that of his manager`
        let mut next = from;
        let mut named = None;
        while next < end {
            match self.word(next) {
                "what" | "the" | "that" | "those" | "of" | "one" => next += 1,
                _ if named.is_none()
                    && self.is_name(next)
                    && matches!(self.word(next + 1), "of")
                    && !self.calls_superior(superior, self.word(next)) =>
                {
                    named = Some(next);
                    next += 1;
                }
                _ => break,
            }
        }
        if !matches!(self.word(next), "their" | "his" | "her" | "its") {
            return None;
        }
        next += 1;
        while matches!(self.word(next), "own" | "direct") {
            next += 1;
        }
        if next >= end || !self.calls_superior(superior, self.word(next)) {
            return None;
        }
        next += 1;
        if self.marked(next, '\'') {
            next += 1;
            if next < end && self.is_name(next) {
                named = Some(next);
                next += 1;
            }
        }
        while next < end
            && (EARNS.contains(&self.word(next))
                || matches!(self.word(next), "does" | "do" | "is" | "has" | "was"))
        {
            next += 1;
        }
        let own = |it: &ColumnRef| it.table == root;
        let mut column = None;
        if let Some(item) = hand.column.or(named) {
            column = self.resolve(draft, item, Want::Number).filter(own);
        }
        let degree = comparator.adjective.as_deref().and_then(|it| LEXICON.degree(it));
        let mut mirror = false;
        if column.is_none()
            && let Some(degree) = degree
        {
            let usual = degree.measures.first().is_some_and(|it| it.1);
            for (measure, up) in &degree.measures {
                let there = self.index.tables[root]
                    .columns
                    .iter()
                    .position(|it| it.has_word(measure) && !it.is_id());
                if let Some(there) = there {
                    column = Some(ColumnRef::new(root, there));
                    mirror = *up != usual;
                    break;
                }
            }
        }
        // `earns more`, `makes more`
        if column.is_none() && (at.saturating_sub(4)..next).any(|it| EARNS.contains(&self.word(it)))
        {
            column = LEXICON
                .implied("earn")
                .iter()
                .find_map(|it| self.column_with(root, &LEXICON.stem(it), Want::Number))
                .filter(own);
        }
        let column = column?;
        let mut comparison = comparator.comparison;
        if mirror {
            comparison = mirrored(comparison);
        }
        if std::mem::take(&mut hand.negated) {
            comparison = comparison.negated();
        }
        let above = Expr::Column(ColumnRef { role: 1, ..column });
        let right = match times {
            Some(times) => Expr::Arithmetic(
                Arithmetic::Multiply,
                Box::new(Expr::Literal(Literal::Number(times))),
                Box::new(above),
            ),
            None => above,
        };
        self.count_now(draft, hand);
        draft.add(
            Condition::Row(Predicate::Compare(Expr::Column(column), comparison, right)),
            std::mem::take(&mut hand.or),
        );
        if let Some(item) = hand.column.take() {
            self.unask(draft, item, column);
        }
        self.mark_used(at.saturating_sub(1), at);
        self.spent.extend(at..next);
        *mode = Mode::Where;
        Some(next)
    }

    /// The people of a table who are under others of it, where a question begins with `who` and speaks of those above: `who
    /// earns more than their boss`.
    pub(super) fn beneath_somebody(&self, from: usize, until: usize) -> Option<usize> {
        if !matches!(self.word(from), "who" | "whose") {
            return None;
        }
        let own = (from + 1..until).find(|it| {
            matches!(self.word(*it), "their" | "his" | "her") && !self.is_value(*it + 1)
        })?;
        let other = (from + 1..own).any(|it| self.table_at(it).is_some());
        let mut all = (0..self.index.tables.len()).filter(|it| {
            self.index.tables[*it].display.len() == 2
                && self
                    .superior_of(*it)
                    .is_some_and(|it| self.calls_superior(it, self.word(own + 1)))
        });
        let first = all.next().filter(|_| !other)?;
        all.next().is_none().then_some(first)
    }

    /// `80 percent of`, `twice`, `three times`: how many times something; none where nothing of that kind stands there.
    fn times(&self, at: usize, end: usize) -> Option<(Option<f64>, usize)> {
        let half = self.word(at) == "half";
        let value = if half { Some(0.5) } else { self.number(at).filter(|_| at < end) };
        let Some(value) = value else { return Some((None, at)) };
        let mut next = at + 1;
        let mut value = value;
        if matches!(self.word(next), "percent" | "per cent") || self.marked(next, '%') {
            value /= 100.0;
            next += 1;
        } else if matches!(self.word(next), "times" | "x") {
            next += 1;
        } else if !half && !matches!(self.word(at), "twice" | "thrice" | "double") {
            return None;
        }
        while matches!(self.word(next), "of" | "as" | "much") {
            next += 1;
        }
        Some((Some(value), next))
    }
}
