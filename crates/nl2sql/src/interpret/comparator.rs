//! Words that compare, and what is compared with.

use super::{Draft, Hand, Interpreter};
use crate::{
    lexicon::{Form, LEXICON},
    link::Meaning,
    logical::{Aggregate, Comparison},
    time::Span,
};

/// A comparison word, as it was read.
pub(crate) struct Comparator {
    pub(super) comparison: Comparison,
    pub(super) next: usize,
    /// The adjective, where it says what is compared (`older than`).
    pub(super) adjective: Option<String>,
}

/// What something is compared with.
pub(super) enum Operand {
    Number(f64),
    Text(String),
    /// The single value of a nested query over the compared column.
    Aggregate(Aggregate, Option<usize>),
    /// So many times the single value of a nested query.
    Multiple(f64, Aggregate, Option<usize>),
    /// Every value (or any one, if true) of the column that an item names.
    Every(bool, usize),
    /// Years.
    Year(i16),
}

impl Interpreter<'_> {
    /// `more than`, `at least`, `older than`, `>` …
    pub(crate) fn comparator(&self, at: usize) -> Option<Comparator> {
        use Comparison::{AtLeast, AtMost, Equal, Greater, Less, NotEqual};
        let simple: [(&str, Comparison); 52] = [
            ("more than or equal to", AtLeast),
            ("greater than or equal to", AtLeast),
            ("less than or equal to", AtMost),
            ("higher than or equal to", AtLeast),
            ("lower than or equal to", AtMost),
            ("no less than", AtLeast),
            ("not less than", AtLeast),
            ("no fewer than", AtLeast),
            ("no more than", AtMost),
            ("not more than", AtMost),
            ("not greater than", AtMost),
            ("no greater than", AtMost),
            ("no higher than", AtMost),
            ("no lower than", AtLeast),
            ("more than", Greater),
            ("greater than", Greater),
            ("less than", Less),
            ("fewer than", Less),
            ("at least", AtLeast),
            ("at most", AtMost),
            ("at minimum", AtLeast),
            ("a minimum of", AtLeast),
            ("minimum of", AtLeast),
            ("a maximum of", AtMost),
            ("up to", AtMost),
            ("over", Greater),
            ("above", Greater),
            ("exceeding", Greater),
            ("exceeds", Greater),
            ("exceed", Greater),
            ("exceeded", Greater),
            ("in excess of", Greater),
            ("under", Less),
            ("below", Less),
            ("beneath", Less),
            ("equal to", Equal),
            ("equals to", Equal),
            ("equals", Equal),
            ("exactly", Equal),
            ("equal", Equal),
            ("not equal to", NotEqual),
            ("different from", NotEqual),
            ("other than", NotEqual),
            ("not equals to", NotEqual),
            ("higher than", Greater),
            ("lower than", Less),
            ("better than", Greater),
            ("worse than", Less),
            ("only", Equal),
            ("after", Greater),
            ("before", Less),
            ("since", AtLeast),
        ];
        let mut start = at;
        while matches!(self.word(start), "strictly" | "or" | "that") && start < at + 1 {
            start += 1;
        }
        if start == at
            && let Some((phrase, comparison)) = simple
                .iter()
                .filter(|it| self.says(at, it.0))
                .max_by_key(|it| it.0.split(' ').count())
        {
            let mut next = at + phrase.split(' ').count();
            if self.says(next, "or equal to") {
                next += 3;
                let comparison = if *comparison == Greater { AtLeast } else { AtMost };
                return Some(Comparator { comparison, next, adjective: None });
            }
            let adjective =
                matches!(*phrase, "higher than" | "lower than" | "after" | "before" | "since")
                    .then(|| {
                        match *phrase {
                            "higher than" => "high",
                            "lower than" => "low",
                            _ => "late",
                        }
                        .to_owned()
                    });
            return Some(Comparator { comparison: *comparison, next, adjective });
        }
        for (mark, second, comparison, length) in [
            ('>', Some('='), AtLeast, 2),
            ('<', Some('='), AtMost, 2),
            ('<', Some('>'), NotEqual, 2),
            ('!', Some('='), NotEqual, 2),
            ('>', None, Greater, 1),
            ('<', None, Less, 1),
            ('=', None, Equal, 1),
            ('≥', None, AtLeast, 1),
            ('≤', None, AtMost, 1),
        ] {
            if self.marked(at, mark)
                && second
                    .is_none_or(|it| self.items.get(at + 1).is_some_and(|item| item.is_mark(it)))
            {
                return Some(Comparator { comparison, next: at + length, adjective: None });
            }
        }
        // `older than`, `more expensive than`, `longer than or equal to`
        let (adjective, than) = match self.word(at) {
            "more" | "less" if LEXICON.degree(self.word(at + 1)).is_some() => (at + 1, at + 2),
            _ => (at, at + 1),
        };
        let degree = LEXICON.degree(self.word(adjective))?;
        let comparative = degree.form == Form::Comparative || than == at + 2;
        if comparative && self.word(than) == "than" {
            let up = degree.measures.first().is_some_and(|it| it.1) == (self.word(at) != "less");
            let mut next = than + 1;
            let mut comparison = if up { Greater } else { Less };
            if self.says(next, "or equal to") {
                next += 3;
                comparison = if up { AtLeast } else { AtMost };
            }
            return Some(Comparator {
                comparison,
                next,
                adjective: Some(self.word(adjective).to_owned()),
            });
        }
        None
    }

    /// What stands on the right of a comparison and where it ends.
    pub(super) fn operand(
        &self,
        draft: &Draft,
        hand: &Hand,
        at: usize,
        end: usize,
    ) -> Option<(Operand, usize)> {
        let mut at = at;
        while at < end
            && (matches!(
                self.word(at),
                "the" | "a" | "an" | "that" | "of" | "any" | "all" | "those" | "in" | "year"
            ) || matches!(self.items[at].meaning, Meaning::Mark('$' | '#' | '€' | '£')))
            && !self.is_name(at)
        {
            at += 1;
        }
        if at >= end {
            return None;
        }
        if let Some(value) = self.number(at) {
            // `twice the average`, `three times the average price`
            let mut later = at + 1;
            while matches!(self.word(later), "times" | "the" | "as" | "much" | "an") {
                later += 1;
            }
            if later > at + 1
                && matches!(self.word(later), "average" | "mean" | "avg")
                && let Some((Operand::Aggregate(function, item), next)) =
                    self.operand(draft, hand, later, end)
            {
                return Some((Operand::Multiple(value, function, item), next));
            }
            let mut value = value;
            let mut next = at + 1;
            while let Some(factor) = self.number(next).filter(|it| {
                [100.0, 1000.0, 1e6].contains(it)
                    && self.word(next).chars().all(char::is_alphabetic)
            }) {
                value *= factor;
                next += 1;
            }
            if self.items.get(next).is_some_and(|it| it.is_mark('%') || it.is_mark('$')) {
                next += 1;
            }
            return Some((Operand::Number(value), next));
        }
        if let Meaning::Time(Span::Year(year, _)) = self.items[at].meaning {
            return Some((Operand::Year(year), at + 1));
        }
        // `the company average`, `the overall average`
        if matches!(self.word(at), "company" | "overall" | "general" | "global" | "total")
            && matches!(self.word(at + 1), "average" | "mean" | "avg")
        {
            at += 1;
        }
        let function = match self.word(at) {
            "average" | "mean" | "avg" => Some(Aggregate::Avg),
            "maximum" | "max" | "highest" | "largest" | "biggest" | "greatest" => {
                Some(Aggregate::Max)
            }
            "minimum" | "min" | "lowest" | "smallest" => Some(Aggregate::Min),
            _ => None,
        };
        if let Some(function) = function {
            let mut next = at + 1;
            if matches!(self.word(next), "of" | "value" | "number") {
                next += 1;
            }
            next = self.skip_determiners(next);
            let column =
                (next < end && self.is_name(next) && self.table_at(next).is_none()).then_some(next);
            let next = column.map_or(next, |it| it + 1);
            return Some((Operand::Aggregate(function, column), next));
        }
        // `greater than the salary of all …`: every one of them
        if self.is_name(at)
            && self.table_at(at).is_none()
            && matches!(self.word(at + 1), "of" | "for" | "in")
            && (at + 1..end).any(|it| self.table_at(it).is_some() || self.is_value(it))
        {
            let any =
                matches!(self.word(at + 2), "any" | "some") || self.says(at + 2, "at least one");
            return Some((Operand::Every(any, at), at + 1));
        }
        // `higher average age than the overall average …`
        if self.is_name(at) && self.word(at).starts_with("average ") {
            return Some((Operand::Aggregate(Aggregate::Avg, Some(at)), at + 1));
        }
        let _ = (draft, hand);
        match &self.items[at].meaning {
            Meaning::Value(_) if self.items[at].quoted => {
                Some((Operand::Text(self.items[at].text.clone()), at + 1))
            }
            _ => None,
        }
    }
}
