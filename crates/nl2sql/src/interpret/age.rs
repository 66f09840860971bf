//! How old somebody is, where only the day of birth is kept.

use super::{Asked, Condition, Draft, Hand, Interpreter, Mode};
use crate::logical::{
    Aggregate, ColumnRef, Comparison, Expr, Literal, Moment, Predicate, TimeUnit,
};

/// Words in names of days of birth.
const BIRTH: [&str; 5] = ["birth", "birthday", "born", "dob", "birthdate"];

/// Nobody is older.
const OLDEST: f64 = 130.0;

impl Interpreter<'_> {
    /// The day of birth that a table keeps, where it keeps no age.
    pub(super) fn birth(&self, table: usize) -> Option<ColumnRef> {
        let columns = &self.index.tables[table].columns;
        if columns.iter().any(|it| it.class.is_numeric() && it.has_word("age")) {
            return None;
        }
        // of several days of birth some are somebody else's
        let mut all = (0..columns.len()).filter(|at| {
            let it = &columns[*at];
            it.class.is_temporal() && it.words.iter().any(|it| BIRTH.contains(&it.as_str()))
        });
        let at = all.next()?;
        all.next().is_none().then(|| ColumnRef::new(table, at))
    }

    /// Whether a number that is compared with a day of birth is one of years somebody has lived.
    pub(super) fn counts_years(&self, column: ColumnRef, value: f64) -> bool {
        (0.0..OLDEST).contains(&value) && self.birth(column.table) == Some(column)
    }

    /// `average age of our customers`, `how old are they on average`, `with an age over 30`.
    pub(super) fn read_age(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        let length = match self.lemma(at) {
            "age" if self.word(at) != "aged" => 1,
            _ => self.one_of(at, &["how old"])?,
        };
        if self.is_value(at)
            || self.links(at).iter().any(|it| it.column.is_some() && it.score >= 0.8)
        {
            return None;
        }
        let named = (at + 1..end).chain(0..at).find_map(|it| self.table_at(it));
        let birth = self
            .bound(at)
            .1
            .into_iter()
            .chain(draft.root)
            .chain(named)
            .find_map(|it| self.birth(it))?;
        let age = years_since(birth);
        let mut next = at + length;
        // `an age of more than 30`
        let compared = next + usize::from(self.word(next) == "of");
        if let Some(it) = self.comparator(compared)
            && let Some(value) = self.number(it.next).filter(|_| it.next < end)
        {
            let mut comparison = it.comparison;
            if std::mem::take(&mut hand.negated) {
                comparison = comparison.negated();
            }
            self.count_now(draft, hand);
            let literal = Expr::Literal(Literal::Number(value));
            draft.add(
                Condition::Row(Predicate::Compare(age, comparison, literal)),
                std::mem::take(&mut hand.or),
            );
            hand.column = None;
            *mode = Mode::Where;
            next = it.next + 1;
            return Some(next + usize::from(self.word(next) == "years"));
        }
        if *mode != Mode::Select {
            return None;
        }
        let mut function = hand.aggregates.pop();
        hand.aggregates.clear();
        hand.count = false;
        for it in next..end {
            let average = self.says(it, "on average");
            if average || self.says(it, "in years") {
                if average {
                    function = function.or(Some(Aggregate::Avg));
                }
                self.blank(it, it + 2);
                self.mark_used(it, it + 2);
                self.spent.extend([it, it + 1]);
            }
        }
        if draft.root.is_none() {
            draft.root = Some(birth.table);
        }
        self.weight[birth.table] = self.weight[birth.table].max(0.5);
        self.spent.extend(at..at + length);
        draft.ask(match function {
            Some(function) => Asked::Aggregate(function, age),
            None => Asked::Expr(age),
        });
        Some(next)
    }
}

/// The whole years from a moment until now.
pub(super) fn years_since(moment: ColumnRef) -> Expr {
    Expr::Part(
        "year",
        Box::new(Expr::Duration {
            from: Box::new(Expr::Column(moment)),
            to: Box::new(Expr::Literal(Literal::Moment(Moment::Now(TimeUnit::Day, 0)))),
            unit: None,
        }),
    )
}

/// What is said of an age, where it was said of the day of birth: who was born earlier is older.
pub(super) fn mirrored(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Greater => Comparison::Less,
        Comparison::Less => Comparison::Greater,
        Comparison::AtLeast => Comparison::AtMost,
        Comparison::AtMost => Comparison::AtLeast,
        other => other,
    }
}
