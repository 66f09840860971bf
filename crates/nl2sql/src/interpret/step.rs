//! Steps of time that a table keeps in words: a column of months or of days of the week.

use super::{Condition, Draft, Interpreter};
use crate::logical::{ColumnRef, Comparison, Expr, Literal, Predicate, TimeUnit};

/// The days of the week from Monday.
const DAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

impl Interpreter<'_> {
    /// The column of the table in question that holds the day of the week, or the month, in words.
    pub(super) fn named_step(&self, draft: &Draft, at: usize) -> Option<ColumnRef> {
        let word = match self.bucket(at)? {
            TimeUnit::Day => "day",
            TimeUnit::Month => "month",
            _ => return None,
        };
        let root = draft.root?;
        self.index.tables[root]
            .columns
            .iter()
            .position(|it| it.class.is_textual() && it.words == [word])
            .map(|it| ColumnRef::new(root, it))
    }

    /// `on weekends`, where the day of the week stands in words.
    pub(super) fn on_days(&self, draft: &Draft, days: &[i8]) -> Option<Condition> {
        let root = draft.root?;
        let tables = std::iter::once(root).chain(draft.joins.iter().copied());
        let (column, stored) = tables.into_iter().find_map(|table| {
            self.index.tables[table].columns.iter().enumerate().find_map(|(at, it)| {
                let is_day = |value: &&String| DAYS.contains(&value.to_lowercase().as_str());
                let some = it.values.iter().any(|it| is_day(&it));
                (it.class.is_textual() && some && it.values.iter().all(|it| is_day(&it)))
                    .then_some((ColumnRef::new(table, at), &it.values))
            })
        })?;
        let mut all: Vec<Predicate> = Vec::new();
        for day in days {
            let name = DAYS.get(usize::try_from(*day - 1).ok()?)?;
            let known = stored.iter().find(|it| it.eq_ignore_ascii_case(name)).cloned();
            let mut titled = (*name).to_owned();
            titled[..1].make_ascii_uppercase();
            all.push(Predicate::Compare(
                Expr::Column(column),
                Comparison::Equal,
                Expr::Literal(Literal::Text(known.unwrap_or(titled))),
            ));
        }
        let one = if all.len() == 1 { all.pop()? } else { Predicate::Or(all) };
        Some(Condition::Row(one))
    }
}
