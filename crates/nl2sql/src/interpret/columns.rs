//! Columns of one row beside each other.

use super::{Condition, Draft, GroupKey, Hand, Interpreter, Mode, resolve::Want};
use crate::logical::{Comparison, Expr, Predicate};

impl Interpreter<'_> {
    /// A column beside another one of the same row.
    pub(super) fn compare_columns(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        comparison: Comparison,
        at: usize,
        next: usize,
        end: usize,
    ) -> Option<usize> {
        let mut other = next;
        while matches!(self.word(other), "the" | "its" | "their" | "his" | "her") {
            other += 1;
        }
        if other >= end || !self.is_name(other) || self.table_at(other).is_some() {
            return None;
        }
        if matches!(self.word(other + 1), "of" | "for" | "in") {
            return None;
        }
        let before = hand.column.or_else(|| {
            (1..=2).filter(|back| at >= *back).map(|back| at - back).find(|&it| {
                self.is_name(it) && self.table_at(it).is_none()
                    || self.wordy(it) && self.word(it).ends_with("ed")
            })
        })?;
        let right = self.resolve_quietly(draft, other, Want::Any)?;
        let info = self.index.column(right);
        let temporal = info.class.is_temporal();
        if !temporal && (!info.class.is_numeric() || info.is_id()) {
            return None;
        }
        let left = if temporal {
            self.moment_told(&[right.table], before).filter(|it| *it != right)
        } else {
            self.ranking(draft, before, Want::Number)
                .into_iter()
                .find(|it| it.0.table == right.table && it.0 != right && it.2 > 0.45)
                .map(|it| it.0)
                .filter(|it| self.index.column(*it).class.is_numeric())
        }?;
        self.unask(draft, before, left);
        self.mark_used(before, before + 1);
        let mut comparison = comparison;
        if std::mem::take(&mut hand.negated) {
            comparison = comparison.negated();
        }
        self.count_now(draft, hand);
        draft.add(
            Condition::Row(Predicate::Compare(Expr::Column(left), comparison, Expr::Column(right))),
            std::mem::take(&mut hand.or),
        );
        hand.column = None;
        *mode = Mode::Where;
        Some(other + 1)
    }

    /// A predicate of the conditions that were read, joined by "and" and "or".
    pub(crate) fn rows(conditions: &[(Condition, bool)]) -> Vec<Predicate> {
        let mut all: Vec<Predicate> = Vec::new();
        if let Some(pairs) = alternatives(conditions) {
            return vec![pairs];
        }
        for (condition, or) in conditions {
            let Condition::Row(predicate) = condition else { continue };
            if *or && let Some(last) = all.pop() {
                all.push(match last {
                    Predicate::Or(mut any) => {
                        any.push(predicate.clone());
                        Predicate::Or(any)
                    }
                    other => Predicate::Or(vec![other, predicate.clone()]),
                });
            } else {
                all.push(predicate.clone());
            }
        }
        all
    }

    /// See [`Interpreter::subject`].
    pub(crate) fn subject_of(&self, draft: &Draft) -> GroupKey {
        self.subject(draft)
    }

    /// What the groups of a condition are: the rows of the table asked for, or the column asked for.
    pub(super) fn subject(&self, draft: &Draft) -> GroupKey {
        self.subject_for(draft, usize::MAX)
    }
}

/// `in Springfield, Ohio or in Portland, Oregon`: the same columns are told once more behind the "or", so that each side
/// belongs together.
fn alternatives(conditions: &[(Condition, bool)]) -> Option<Predicate> {
    let rows: Vec<(&Predicate, bool)> = conditions
        .iter()
        .map(|(it, or)| match it {
            Condition::Row(predicate) => Some((predicate, *or)),
            Condition::Group { .. } => None,
        })
        .collect::<Option<_>>()?;
    let half = rows.len() / 2;
    if rows.len() != 4 || rows.iter().enumerate().any(|(at, it)| it.1 != (at == half)) {
        return None;
    }
    let column = |at: usize| match rows[at].0 {
        Predicate::Compare(Expr::Column(it), Comparison::Equal, Expr::Literal(_)) => Some(*it),
        _ => None,
    };
    let alike = (0..half).all(|at| column(at).is_some() && column(at) == column(at + half));
    if !alike || column(0) == column(1) {
        return None;
    }
    let side = |from: usize| {
        Predicate::And(rows[from..from + half].iter().map(|it| it.0.clone()).collect())
    };
    Some(Predicate::Or(vec![side(0), side(half)]))
}
