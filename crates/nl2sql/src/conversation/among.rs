//! "How many of them are preferred?", "only those above 500": what holds of some of the last answer's rows or groups.

use std::ops::Range;

use super::{Changed, Doubt, Past, Talk, edit::Edit};
use crate::{
    lexicon::LEXICON,
    logical::{Comparison, Expr, Literal, Predicate},
    token::TokenKind,
};

/// How numbers are compared, in words; the longest phrase counts.
const COMPARISONS: [(&str, Comparison); 20] = [
    ("more than", Comparison::Greater),
    ("greater than", Comparison::Greater),
    ("higher than", Comparison::Greater),
    ("larger than", Comparison::Greater),
    ("bigger than", Comparison::Greater),
    ("over", Comparison::Greater),
    ("above", Comparison::Greater),
    ("at least", Comparison::AtLeast),
    ("no less than", Comparison::AtLeast),
    ("less than", Comparison::Less),
    ("fewer than", Comparison::Less),
    ("lower than", Comparison::Less),
    ("smaller than", Comparison::Less),
    ("under", Comparison::Less),
    ("below", Comparison::Less),
    ("at most", Comparison::AtMost),
    ("up to", Comparison::AtMost),
    ("no more than", Comparison::AtMost),
    ("exactly", Comparison::Equal),
    ("not", Comparison::NotEqual),
];

impl Talk<'_> {
    /// What some of the last answer are like; how many those are, if that is asked.
    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "the method is of one lifetime only"
    )]
    pub(super) fn among(&self, what: Range<usize>, count: bool) -> Result<Changed, Doubt> {
        let past = &self.past.query;
        if let Some(changed) = self.bound(what.clone()) {
            let changed = changed?;
            if count && (!past.group.is_empty() || past.select.iter().any(Expr::is_aggregate)) {
                return Err(Doubt::new("How many of the groups? Ask in full."));
            }
            if count {
                return self.then(changed, |talk| talk.count());
            }
            if changed.query.group.is_empty() {
                return Ok(changed);
            }
            // which groups, not how much of each
            return self.then(changed, |talk| {
                let query = &talk.past.query;
                let select: Vec<Expr> =
                    query.select.iter().filter(|it| !it.is_aggregate()).cloned().collect();
                if select.is_empty() {
                    return Err(talk.unknown("which"));
                }
                Ok(talk.edited([Edit::Shape {
                    select,
                    group: query.group.clone(),
                    having: query.having.clone(),
                    distinct: query.distinct,
                }]))
            });
        }
        let changed = self.narrowed(what)?;
        let counts = matches!(changed.query.select.as_slice(), [one] if one.is_aggregate())
            && changed.query.group.is_empty();
        if !count || counts { Ok(changed) } else { self.then(changed, |talk| talk.count()) }
    }

    /// A further change of what was changed already.
    pub(super) fn then(
        &self,
        first: Changed,
        next: impl FnOnce(&Talk<'_>) -> Result<Changed, Doubt>,
    ) -> Result<Changed, Doubt> {
        let past = Past {
            query: first.query,
            confidence: first.confidence,
            assumptions: self.past.assumptions.clone(),
        };
        let mut second = next(&Talk { past: &past, ..*self })?;
        second.confidence = second.confidence.min(first.confidence);
        second.inverse.extend(first.inverse);
        let mut assumptions = first.assumptions;
        assumptions.extend(second.assumptions);
        second.assumptions = assumptions;
        Ok(second)
    }

    /// `those above 500`, `less than 40k`: of the number that the last answer shows, or that it was narrowed down by.
    /// `None` if the words are no comparison with a number.
    pub(super) fn bound(&self, what: Range<usize>) -> Option<Result<Changed, Doubt>> {
        let (comparison, number) = self.compared(what.clone())?;
        let past = &self.past.query;
        let limit = Expr::Literal(Literal::Number(number));
        let on = |it: &Expr| Predicate::Compare(it.clone(), comparison, limit.clone());
        let words = self.text(what).to_owned();
        let measured = |it: &&Predicate| matches!(it, Predicate::Compare(by, _, Expr::Literal(Literal::Number(_))) if by.is_aggregate());
        // the bound that there was
        let bounds: Vec<&Predicate> = past.having.iter().filter(measured).collect();
        let measures: Vec<&Expr> = past.select.iter().filter(|it| it.is_aggregate()).collect();
        let by = match (bounds.as_slice(), measures.as_slice()) {
            ([Predicate::Compare(by, ..)], _) => Some(by),
            ([], [one]) => Some(*one),
            _ => None,
        };
        if !past.group.is_empty() && past.per.is_empty() {
            let Some(by) = by else { return Some(Err(self.unknown(&words))) };
            let mut having: Vec<Predicate> =
                past.having.iter().filter(|it| !bounds.contains(it)).cloned().collect();
            having.push(on(by));
            let shape = Edit::Shape {
                select: past.select.clone(),
                group: past.group.clone(),
                having,
                distinct: past.distinct,
            };
            return Some(Ok(self.edited([shape])));
        }
        if !measures.is_empty() && past.filter.is_empty() || !past.per.is_empty() {
            return Some(Err(Doubt::new(format!(
                "“{}” of what? The last answer is a single number.",
                words.trim()
            ))));
        }
        let numeric = |it: &Expr| {
            matches!(it, Expr::Column(it) if {
                let info = self.index.column(*it);
                info.class.is_numeric() && !info.is_id()
            })
        };
        let bounds: Vec<&Predicate> = past
            .filter
            .iter()
            .filter(|it| {
                matches!(it, Predicate::Compare(by, how, Expr::Literal(Literal::Number(_)))
                    if numeric(by) && *how != Comparison::Equal)
            })
            .collect();
        let shown: Vec<&Expr> = past.select.iter().filter(|it| numeric(it)).collect();
        let ordered: Vec<&Expr> =
            past.order.iter().map(|it| &it.by).filter(|it| numeric(it)).collect();
        let by = match (bounds.as_slice(), shown.as_slice(), ordered.as_slice()) {
            ([Predicate::Compare(by, ..)], ..) => by,
            ([], [one], _) | ([], [], [one]) => one,
            _ => return Some(Err(self.unknown(&words))),
        };
        let mut filter: Vec<Predicate> =
            past.filter.iter().filter(|it| !bounds.contains(it)).cloned().collect();
        filter.push(on(by));
        Some(Ok(self.edited([Edit::Conditions(filter)])))
    }

    /// A comparison with a number, and nothing else.
    fn compared(&self, what: Range<usize>) -> Option<(Comparison, f64)> {
        let word = |at: usize| {
            self.tokens.get(at).filter(|_| what.contains(&at)).map_or("", |it| it.lower.as_str())
        };
        let mut at = what.start;
        while matches!(
            word(at),
            "the"
                | "those"
                | "these"
                | "ones"
                | "that"
                | "which"
                | "with"
                | "are"
                | "were"
                | "have"
                | "has"
                | "had"
                | "for"
                | "it"
                | "is"
                | "made"
                | "got"
        ) {
            at += 1;
        }
        let (phrase, comparison) = COMPARISONS
            .iter()
            .filter(|(phrase, _)| {
                phrase.split(' ').enumerate().all(|(step, it)| word(at + step) == it)
            })
            .max_by_key(|it| it.0.len())?;
        at += phrase.split(' ').count();
        if matches!(word(at), "$" | "€" | "£") {
            at += 1;
        }
        let TokenKind::Number(number) = self.tokens.get(at).filter(|_| what.contains(&at))?.kind
        else {
            return None;
        };
        at += 1;
        let unit = |it: &str| {
            matches!(
                it,
                "dollars"
                    | "dollar"
                    | "usd"
                    | "euros"
                    | "eur"
                    | "$"
                    | "€"
                    | "each"
                    | "in"
                    | "total"
            )
        };
        (at..what.end)
            .all(|at| unit(word(at)) || LEXICON.is_stop(word(at)))
            .then_some((*comparison, number))
    }
}
