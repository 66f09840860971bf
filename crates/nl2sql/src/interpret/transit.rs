//! What has been sent and has not arrived: `parcels on their way to customers`.

use super::{Condition, Draft, Hand, Interpreter, Mode};
use crate::{
    index::ColumnInfo,
    logical::{ColumnRef, Predicate},
};

const SENT: [&str; 8] =
    ["ship", "shipped", "sent", "send", "dispatched", "departed", "departure", "dispatch"];
const ARRIVED: [&str; 6] = ["deliver", "delivered", "delivery", "arrive", "arrived", "arrival"];

/// Whether a word says of a moment that it is planned: it is none that came.
fn is_planned(word: &str) -> bool {
    ["expect", "estimat", "plan", "promis", "schedul", "target", "latest"]
        .iter()
        .any(|it| word.starts_with(it))
        || matches!(word, "due" | "eta" | "deadline")
}

impl Interpreter<'_> {
    /// See the module.
    pub(super) fn read_transit(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        let length = self.one_of(
            at,
            &["on their way", "on its way", "on the way", "in transit", "under way", "en route"],
        )?;
        let root = draft.root?;
        let columns = &self.index.tables[root].columns;
        let moments = |words: &[&str]| -> Vec<usize> {
            let such = |it: &ColumnInfo| {
                it.class.is_temporal()
                    && it.nullable
                    && !it.words.iter().any(|it| is_planned(it))
                    && it.words.iter().any(|it| words.contains(&it.as_str()))
            };
            (0..columns.len()).filter(|it| such(&columns[*it])).collect()
        };
        // of several none is surely the one
        let [arrived] = moments(&ARRIVED)[..] else { return None };
        let sent = match moments(&SENT)[..] {
            [] => None,
            [one] => Some(one),
            _ => return None,
        };
        self.count_now(draft, hand);
        if let Some(sent) = sent {
            let column = ColumnRef::new(root, sent);
            let or = std::mem::take(&mut hand.or);
            draft.add(Condition::Row(Predicate::Null { column, negated: true }), or);
        }
        let column = ColumnRef::new(root, arrived);
        draft.add(Condition::Row(Predicate::Null { column, negated: false }), false);
        let mut next = at + length;
        // `to customers`: where else
        if self.word(next) == "to" {
            let whom = self.skip_determiners(next + 1);
            let people = self
                .table_at(whom)
                .is_some_and(|it| it != root && self.single(root, it) && !self.is_value(whom + 1));
            if people && whom < end {
                if let Some(table) = self.table_at(whom) {
                    self.weight[table] = self.weight[table].min(0.5);
                }
                self.spent.push(whom);
                next = whom + 1;
            }
        }
        for now in ["at the moment", "right now", "currently", "now", "at present"] {
            if self.says(next, now) {
                next += now.split(' ').count();
                break;
            }
        }
        self.mark_used(at, next);
        self.spent.extend(at..next);
        hand.column = None;
        *mode = Mode::Where;
        Some(next)
    }
}
