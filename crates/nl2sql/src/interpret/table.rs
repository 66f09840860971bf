//! Tables where they are named: their rows are asked for, counted, or must be there.

use super::{Asked, Draft, Hand, Interpreter, Mode, Note};
use crate::{
    lexicon::LEXICON,
    logical::{ColumnRef, Expr},
};

impl Interpreter<'_> {
    /// A table: asked for, counted, or one whose rows must be there.
    pub(super) fn read_table(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: Mode,
        at: usize,
        table: usize,
    ) {
        if mode == Mode::Where {
            if std::mem::take(&mut hand.count) {
                hand.counted = Some(table);
                return;
            }
            // `with an average rating under 3`, where ratings are a table: the measure that it keeps
            if !hand.aggregates.is_empty() && self.comparator(at + 1).is_some() {
                let measured = self.links(at).iter().any(|it| {
                    let own = it.column.filter(|_| it.table == table && it.score > 0.5);
                    own.is_some_and(|it| self.index.tables[table].columns[it].class.is_numeric())
                });
                if measured {
                    hand.column_aggregate = hand.aggregates.pop();
                    hand.aggregates.clear();
                    hand.column = Some(at);
                    return;
                }
            }
            let table = self.nearest(draft, at, table);
            if Some(table) != draft.root
                || draft.asked.iter().any(|it| matches!(it, Asked::Column(it) if it.table != table))
            {
                draft.join(table);
            }
            return;
        }
        if hand.count
            && !hand.aggregates.is_empty()
            && self.is_name(at + 1)
            && self.table_at(at + 1).is_none()
        {
            // `the average number of people injured`: the column says how many
            hand.count = false;
            return;
        }
        if std::mem::take(&mut hand.count) {
            let distinct = std::mem::take(&mut hand.distinct);
            if !draft.asks_something() || draft.root.is_none() {
                draft.root = Some(table);
            }
            draft.ask(Asked::Count { table: Some(table), column: None, distinct });
            return;
        }
        draft.distinct |= std::mem::take(&mut hand.distinct);
        // `among its stations` as `among the stations`
        let owned = (0..at).rev().find(|it| !matches!(self.word(*it), "its" | "their"));
        let owned = owned.is_some_and(|it| {
            it + 1 < at
                && matches!(self.word(it), "of" | "in" | "for" | "from" | "at" | "among" | "across")
        });
        let lead = (0..at)
            .rev()
            .map(|it| self.word(it))
            .find(|it| {
                let passed_over = matches!(
                    *it,
                    "the"
                        | "all"
                        | "a"
                        | "an"
                        | "any"
                        | "each"
                        | "these"
                        | "those"
                        | "different"
                        | "distinct"
                        | "our"
                ) || (owned && matches!(*it, "its" | "their"));
                !passed_over
            })
            .unwrap_or("");
        let after_preposition = matches!(
            lead,
            "of" | "in"
                | "for"
                | "from"
                | "at"
                | "on"
                | "by"
                | "to"
                | "among"
                | "with"
                | "across"
                | "between"
                | "has"
                | "have"
                | "had"
                | "does"
                | "did"
                | "do"
                | "within"
                | "under"
        );
        // `From the trips, find …`
        if !draft.asks_something()
            && matches!(self.word(0), "from" | "in" | "among" | "of" | "for" | "across" | "within")
            && at <= 3
            && !matches!(self.word(1), "which" | "what")
        {
            draft.root = Some(table);
            return;
        }
        hand.column = None;
        let possessive = self.items.get(at + 1).is_some_and(|it| it.is_mark('\''));
        if possessive {
            return;
        }
        let asked_of_it =
            draft.asked.iter().any(|it| matches!(it, Asked::Column(it) if it.table == table));
        if !hand.aggregates.is_empty() {
            // `the average rating` where ratings are a table: the measure it keeps
            let measure = self
                .links(at)
                .iter()
                .filter(|it| it.column.is_some() && it.score > 0.5)
                .map(|it| ColumnRef::new(it.table, it.column.unwrap_or(0)))
                .find(|it| {
                    self.index.column(*it).class.is_numeric() && !self.index.column(*it).is_id()
                })
                .or_else(|| {
                    let numbers: Vec<usize> = self.index.tables[table]
                        .columns
                        .iter()
                        .enumerate()
                        .filter(|it| it.1.class.is_numeric() && !it.1.is_id())
                        .map(|it| it.0)
                        .collect();
                    if let [one] = numbers.as_slice() {
                        Some(ColumnRef::new(table, *one))
                    } else {
                        None
                    }
                });
            if let Some(column) = measure {
                for function in std::mem::take(&mut hand.aggregates) {
                    draft.ask(Asked::Aggregate(function, Expr::Column(column)));
                }
                return;
            }
            // `average order value`, `the total of all orders`: what one is worth
            let told = matches!(self.word(at + 1), "value" | "size" | "amount" | "total" | "worth");
            let of = (1..=3).any(|back| at >= back && self.word(at - back) == "of");
            if (told || of)
                && let Some(column) = self.amount_of(table)
            {
                for function in std::mem::take(&mut hand.aggregates) {
                    draft.ask(Asked::Aggregate(function, Expr::Column(column)));
                }
                if told {
                    self.skip.push(at + 1);
                    self.mark_used(at + 1, at + 2);
                }
                return;
            }
            // `the average of the orders`: nothing to calculate with
            self.notes.push(Note::Doubt("an aggregate of rows"));
            return;
        }
        let listed =
            at > 0 && (self.marked(at - 1, ',') || matches!(lead, "and" | "or" | "their" | "its"));
        // `the rank, company and market value`: a column called like its table, in a list of columns
        let own = self.index.tables[table]
            .columns
            .iter()
            .position(|it| it.words == self.index.tables[table].words && it.class.is_textual());
        let goes_on = self.marked(at + 1, ',') || self.word(at + 1) == "and";
        if let Some(own) = own
            && (listed && asked_of_it
                || goes_on && !draft.asks_something() && hand.aggregates.is_empty())
        {
            draft.ask(Asked::Column(ColumnRef::new(table, own)));
            return;
        }
        if draft.asks_something()
            && (after_preposition
                || asked_of_it
                || !listed && !matches!(lead, "list" | "show" | "find" | "which" | "what" | "many"))
            || draft.percentage.is_some()
        {
            if Some(table) != draft.root
                || draft.asked.iter().any(|it| matches!(it, Asked::Column(it) if it.table != table))
            {
                draft.join(table);
            }
            return;
        }
        if draft.follow_up && after_preposition {
            draft.join(table);
            return;
        }
        // `students and their ages`, `which students`
        let verb = at > 0
            && self.wordy(at - 1)
            && !LEXICON.is_stop(self.word(at - 1))
            && draft.asks_something()
            && lead != "and";
        if verb {
            draft.join(table);
            return;
        }
        draft.ask(Asked::Rows(table));
    }
}
