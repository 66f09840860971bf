//! What things are made of, and what their numbers are counted in.

use super::{Asked, Condition, Draft, Hand, Interpreter, Mode, Note};
use crate::logical::ColumnRef;

impl Interpreter<'_> {
    /// `tables made of teak`: that is what they are of, though nobody saw that value.
    pub(super) fn read_material(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        if self.word(at) != "made" || !matches!(self.word(at + 1), "of" | "from") {
            return None;
        }
        let root = draft.root?;
        let item = at + 2;
        let unknown = item < end && self.wordy(item) && !self.items[item].quoted;
        if !unknown || crate::lexicon::LEXICON.is_stop(self.word(item)) {
            return None;
        }
        let column = self.index.tables[root]
            .columns
            .iter()
            .position(|it| it.class.is_textual() && it.words == ["material"])?;
        let value = self.items[item].text.clone();
        let negated = std::mem::take(&mut hand.negated);
        self.count_now(draft, hand);
        let predicate = self.equality(ColumnRef::new(root, column), &value, negated);
        draft.add(Condition::Row(predicate), std::mem::take(&mut hand.or));
        self.notes.push(Note::Unseen(item));
        hand.column = None;
        *mode = Mode::Where;
        Some(item + 1)
    }

    /// `… in grams` at the end: what a number that is asked for is counted in, where its name says the same.
    pub(super) fn read_counted_in(
        &mut self,
        draft: &mut Draft,
        _hand: &mut Hand,
        _mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        if self.word(at) != "in" || at + 1 >= end {
            return None;
        }
        let unit = self.lemma(at + 1);
        let counts = matches!(
            unit,
            "gram"
                | "kilogram"
                | "meter"
                | "metre"
                | "kilometer"
                | "mile"
                | "inch"
                | "dollar"
                | "euro"
                | "percent"
                | "month"
                | "day"
                | "hour"
                | "minute"
                | "second"
                | "unit"
                | "piece"
        );
        let ends = at + 2 == end || self.items[at + 2].is_mark(',');
        if !counts || !ends {
            return None;
        }
        let mut said = false;
        for it in &draft.asked {
            let mut note = |it: ColumnRef| {
                said |= self.index.column(it).words.iter().any(|it| it == unit);
            };
            match it {
                Asked::Column(it) => note(*it),
                Asked::Aggregate(_, it) | Asked::Expr(it) => it.columns(&mut note),
                _ => {}
            }
        }
        if !said {
            return None;
        }
        self.spent.push(at + 1);
        Some(at + 2)
    }
}
