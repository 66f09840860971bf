//! Money that came in: payments that went through, at the time when they did.

use super::{Asked, Condition, Draft, Hand, Interpreter, Mode};
use crate::logical::{Aggregate, ColumnRef, Expr, Predicate};

/// Ways to ask for it.
const ASKS: [&str; 21] = [
    "money received",
    "money collected",
    "money taken in",
    "money coming in",
    "money that came in",
    "money we received",
    "money we collected",
    "cash received",
    "cash collected",
    "amount received",
    "amount collected",
    "how much came in",
    "how much has come in",
    "how much money came in",
    "how much did we receive",
    "how much did we collect",
    "how much money did we receive",
    "how much money did we collect",
    "how much was received",
    "how much money was received",
    "how much was collected",
];

/// Words of moments at which money is there, also in the base forms that words of names have.
const ARRIVED: [&str; 10] = [
    "paid",
    "pay",
    "received",
    "settled",
    "cleared",
    "captured",
    "collected",
    "completed",
    "succeeded",
    "booked",
];

impl Interpreter<'_> {
    /// `money received per method`, `how much came in through paypal in 2026`.
    pub(super) fn read_received(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        _end: usize,
    ) -> Option<usize> {
        if *mode != Mode::Select || self.items[at].quoted {
            return None;
        }
        let length = self.one_of(at, &ASKS)?;
        let (amount, arrived) = self.incoming()?;
        if draft.asked.is_empty() || draft.root.is_none() {
            draft.root = Some(amount.table);
        } else if draft.root != Some(amount.table) {
            return None;
        }
        let function = hand.aggregates.pop().unwrap_or(Aggregate::Sum);
        hand.aggregates.clear();
        hand.count = false;
        draft.event = Some(amount.table);
        self.happened = Some(arrived);
        self.measured = Some(amount.table);
        self.weight[amount.table] = self.weight[amount.table].max(0.5);
        self.spent.extend(at..at + length);
        draft.add(Condition::Row(Predicate::Null { column: arrived, negated: true }), false);
        draft.ask(Asked::Aggregate(function, Expr::Column(amount)));
        Some(at + length)
    }

    /// The one table of payments that come in: the amount, and when it was there.
    fn incoming(&self) -> Option<(ColumnRef, ColumnRef)> {
        let mut all = (0..self.index.tables.len()).filter_map(|table| {
            let info = &self.index.tables[table];
            let is = |words: &[&str]| info.words.iter().any(|it| words.contains(&it.as_str()));
            let incoming = is(&["payment", "receipt", "transaction"])
                && !is(&["refund", "payout", "type", "status", "method", "line", "item"]);
            if !incoming {
                return None;
            }
            let arrived = info.columns.iter().position(|it| {
                it.nullable
                    && it.class.is_temporal()
                    && it.words.iter().any(|it| ARRIVED.contains(&it.as_str()))
            })?;
            Some((self.amount_of(table)?, ColumnRef::new(table, arrived)))
        });
        let first = all.next()?;
        all.next().is_none().then_some(first)
    }
}
