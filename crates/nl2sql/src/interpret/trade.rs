//! What was bought and sold, by whom, and where it went: rows of lines of purchases.

use super::{Draft, Hand, Interpreter, Mode};

impl Interpreter<'_> {
    /// `the products that we sold last week`, `who bought something from …`, `products that went to …`: what stands in lines
    /// of purchases.
    pub(super) fn read_sold(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        let sold = matches!(self.lemma(at), "sell" | "buy" | "purchase" | "sold" | "bought")
            && self.word(at) != "selling";
        let went = matches!(self.word(at), "went" | "sent") && self.word(at + 1) == "to";
        if !sold && !went || self.is_value(at) {
            return None;
        }
        // a word that only resembles a name is none here
        if self.is_name(at) && self.links(at).iter().any(|it| it.score >= 0.8) || self.plural(at) {
            return None;
        }
        let root = draft.root?;
        let (lines, _) = self.sold(draft)?;
        if lines == root || !self.single(lines, root) || !(draft.asks_something() || hand.count) {
            return None;
        }
        let whole = self.whole_of(lines);
        if went && whole == Some(root) {
            return None;
        }
        self.count_now(draft, hand);
        // who bought, not what was bought
        let of_what = (at + 1..self.items.len()).any(|it| self.is_name(it) || self.is_value(it));
        let wholly = whole.filter(|it| *it != root && !of_what && self.single(*it, root));
        // that a purchase was made goes without saying
        if whole != Some(root) || of_what {
            draft.join(wholly.unwrap_or(lines));
        }
        // `by customer segment`: of those whose purchases they were, however else they belong to what was bought
        let of_whole = whole.is_some_and(|whole| {
            (0..self.index.tables.len()).any(|it| {
                it != whole && it != root && self.weight[it] > 0.3 && self.single(whole, it)
            })
        });
        if let Some(whole) = whole.filter(|it| of_whole && *it != root) {
            draft.join(whole);
        }
        draft.event = whole.or(Some(lines));
        // what belongs to a line is no guess
        self.measured = self.measured.or(Some(lines));
        for it in std::iter::once(lines).chain(whole) {
            self.weight[it] = self.weight[it].max(0.5);
        }
        self.spent.push(at);
        *mode = Mode::Where;
        hand.column = None;
        let mut next = at + 1;
        while next < end && matches!(self.word(next), "something" | "anything" | "things") {
            next += 1;
        }
        Some(next)
    }

    /// Those who bought, where a question begins with people and names no table: `how many people bought …`.
    pub(super) fn buyers(&self, from: usize, until: usize) -> Option<usize> {
        let people = (from..until.min(from + 5)).find(|it| {
            matches!(
                self.word(*it),
                "people" | "persons" | "who" | "anybody" | "anyone" | "everybody" | "everyone"
            ) && !self.is_value(*it)
        })?;
        let verb = (people + 1..until.min(people + 4)).find(|it| {
            matches!(self.word(*it), "bought" | "purchased" | "ordered" | "buy" | "shopped")
        })?;
        let other = (from..people).chain(people + 1..verb).any(|it| self.is_name(it));
        if other {
            return None;
        }
        let purchases = self.purchases()?.0;
        let mut all = self.index.edges_of[purchases]
            .iter()
            .map(|it| &self.index.edges[*it])
            .filter(|it| it.from == purchases && self.index.tables[it.to].display.len() == 2)
            .map(|it| it.to);
        let first = all.next()?;
        all.next().is_none().then_some(first)
    }
}
