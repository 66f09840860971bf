//! What is asked for beyond a column: revenue, inhabitants, flags, names kept in two columns.

use super::{Asked, Condition, Draft, Hand, Interpreter, Mode, Note, resolve::Want};
use plinth_schema_introspect::TypeClass;

use crate::{
    lexicon::LEXICON,
    logical::{Aggregate, ColumnRef, Expr},
};

impl Interpreter<'_> {
    /// What was earned, where only quantities and prices are kept: their product, in the table nearest to the question's.
    pub(super) fn revenue(&self, draft: &Draft) -> Option<Expr> {
        let mut best: Option<(usize, (usize, usize, usize))> = None;
        for &sold in self.index.sold.get_or_init(|| self.sold_in()) {
            let steps = match draft.root {
                Some(root) => self.index.distance(root, sold.0),
                None => Some(0),
            };
            if let Some(steps) = steps
                && best.is_none_or(|it| steps < it.0)
            {
                best = Some((steps, sold));
            }
        }
        let (_, (table, quantity, price)) = best?;
        let column = |at: usize| Box::new(Expr::Column(ColumnRef::new(table, at)));
        let times = crate::logical::Arithmetic::Multiply;
        Some(Expr::Arithmetic(times, column(quantity), column(price)))
    }

    /// The tables of which each row was sold for a price in some quantity, with both columns.
    pub(crate) fn sold_in(&self) -> Vec<(usize, usize, usize)> {
        let mut all = Vec::new();
        for (table, info) in self.index.tables.iter().enumerate() {
            let find = |stems: &[&str]| {
                info.columns.iter().position(|it| {
                    it.class.is_numeric()
                        && !it.is_id()
                        && stems.iter().any(|stem| it.has_word(stem))
                })
            };
            // `units` beside `price_each`: a number that is called after nothing else
            let pieces = || {
                info.columns.iter().position(|it| {
                    it.class.is_numeric()
                        && matches!(it.words.as_slice(), [one] if matches!(one.as_str(), "unit" | "piece" | "count" | "copy"))
                })
            };
            let (Some(quantity), Some(price)) =
                (find(&["quantity"]).or_else(pieces), find(&["price"]))
            else {
                continue;
            };
            // stock is not sold
            if info.columns[quantity].has_word("stock") || !info.columns.iter().any(|it| it.foreign)
            {
                continue;
            }
            all.push((table, quantity, price));
        }
        // where nothing is called so
        if all.is_empty() {
            all.extend(self.trade().map(|it| (it.lines, it.quantity, it.price)));
        }
        all
    }

    /// Where a number of inhabitants is kept for the place that is named.
    pub(super) fn inhabitants(&self, draft: &Draft, from: usize, end: usize) -> Option<ColumnRef> {
        let links = (from..end).find_map(|it| match &self.items[it].meaning {
            crate::link::Meaning::Value(links) => Some(links),
            _ => None,
        })?;
        let population = LEXICON.stem("population");
        links
            .iter()
            .filter_map(|it| {
                let info = &self.index.tables[it.table];
                let column = info
                    .columns
                    .iter()
                    .position(|it| it.class.is_numeric() && it.has_word(&population))?;
                let known = info.display.contains(&it.column);
                let score = self.weight[it.table]
                    + if known { 1.0 } else { 0.0 }
                    + if draft.root == Some(it.table) { 0.1 } else { 0.0 };
                Some((ColumnRef::new(it.table, column), score))
            })
            .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
            .map(|it| it.0)
    }

    /// `how many people live in Rome`, `number of inhabitants of Rome`: the number that the place says, not its rows.
    pub(super) fn read_inhabitants(
        &mut self,
        draft: &mut Draft,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        let asks =
            self.one_of(at, &["how many", "number of", "the number of", "total number of"])?;
        let item = at + asks;
        if !matches!(
            self.word(item),
            "people" | "inhabitants" | "residents" | "citizens" | "persons"
        ) || self.table_at(item).is_some()
        {
            return None;
        }
        let column = self.inhabitants(draft, item + 1, end)?;
        draft.root = Some(column.table);
        draft.ask(Asked::Column(column));
        *mode = Mode::Where;
        Some(item + 1)
    }

    /// Whether an item names a number that is kept, surely.
    pub(super) fn plain_number(&self, draft: &Draft, at: usize) -> bool {
        self.ranking(draft, at, Want::Number).first().is_some_and(|it| {
            let info = self.index.column(it.0);
            it.2 > 0.9 && info.class.is_numeric() && !info.is_id()
        })
    }

    /// Whether a noun there stands for several.
    pub(super) fn plural(&self, at: usize) -> bool {
        self.items.get(at).is_some_and(|it| it.lower.ends_with('s') && it.lower != it.lemma)
    }

    /// Whether rows of a table have what an adjective measures: `the largest city` is that of the most people.
    pub(super) fn measured_by(&self, adjective: Option<&str>, table: usize) -> bool {
        let Some(degree) = adjective.and_then(|it| LEXICON.degree(it)) else { return false };
        degree.measures.iter().any(|it| {
            self.column_with(table, &it.0, Want::Number).is_some_and(|it| it.table == table)
        })
    }

    /// "How much does X cost", "how much budget".
    pub(super) fn how_much(&mut self, draft: &mut Draft, at: usize) -> Option<usize> {
        let root = draft.root?;
        let next = at + 2;
        // `how much money did we refund`: the sum of the amounts kept there
        if self.word(next) == "money" {
            let named = (next + 1..self.items.len()).find_map(|it| self.table_at(it));
            // `did we refund`: what is kept of that, though a state is called so too
            let meant = (next + 1..self.items.len()).find_map(|it| {
                let link = self.items[it].names.iter().find(|it| it.column.is_none())?;
                (link.score >= 0.6 && self.amount_of(link.table).is_some())
                    .then_some((it, link.table))
            });
            if let (None, Some((item, _))) = (named, meant) {
                self.blank(item, item + 1);
                self.mark_used(item, item + 1);
                self.spent.push(item);
            }
            let table = named.or(meant.map(|it| it.1)).or(draft.root);
            let kept = table.and_then(|it| self.amount_of(it));
            if let Some(column) = kept {
                draft.root = Some(column.table);
                draft.ask(Asked::Aggregate(Aggregate::Sum, Expr::Column(column)));
                return Some(next + 1);
            }
        }
        if self.is_name(next) {
            return Some(next);
        }
        for later in next..(next + 8).min(self.items.len()) {
            for name in LEXICON.implied(self.lemma(later)) {
                if let Some(column) = self.column_with(root, &LEXICON.stem(name), Want::Number) {
                    draft.ask(Asked::Column(column));
                    self.mark_used(later, later + 1);
                    return Some(next);
                }
            }
        }
        Some(next)
    }

    /// `first and last names`: both columns of a name that is kept in two.
    pub(super) fn read_two_names(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        _end: usize,
    ) -> Option<usize> {
        if self.word(at) != "first" || *mode != Mode::Select {
            return None;
        }
        let mut next = at + 1;
        while matches!(self.word(next), "and" | "name" | "the")
            || self.items.get(next).is_some_and(|it| it.is_mark(','))
        {
            next += 1;
        }
        if next == at + 1 {
            return None;
        }
        let item = if matches!(self.word(next), "surname" | "family name" | "surnames")
            || self.word(next).starts_with("last name")
        {
            next
        } else if self.word(next) == "last" && matches!(self.word(next + 1), "name" | "names") {
            next + 1
        } else {
            return None;
        };
        let (_, bound) = self.bound(item);
        let table = bound
            .filter(|it| self.index.tables[*it].display.len() == 2)
            .or_else(|| self.resolve_quietly(draft, item, Want::Any).map(|it| it.table))?;
        let display = self.index.tables[table].display.clone();
        if display.len() != 2 {
            return None;
        }
        for column in display {
            draft.ask(Asked::Column(ColumnRef::new(table, column)));
        }
        draft.distinct |= std::mem::take(&mut hand.distinct);
        Some(item + 1)
    }

    /// A yes-or-no column right where it is named.
    pub(super) fn flag_at(&mut self, draft: &mut Draft, hand: &mut Hand, at: usize) -> bool {
        let Some(column) = self.resolve_quietly(draft, at, Want::Any) else { return false };
        let info = self.index.column(column);
        if info.class != TypeClass::Boolean || self.is_value(at + 1) || self.word(at + 1) == "is" {
            return false;
        }
        let negated = std::mem::take(&mut hand.negated);
        draft.add(Condition::flag(column, !negated), std::mem::take(&mut hand.or));
        self.mark_used(at, at + 1);
        hand.column = None;
        true
    }

    /// A column in a condition, followed by another column before anything was said of it.
    pub(super) fn idle_column(&mut self, draft: &mut Draft, before: usize, now: usize) {
        let _ = now;
        let Some(column) = self.resolve_quietly(draft, before, Want::Any) else { return };
        if Some(column.table) != draft.root {
            draft.join(column.table);
        }
        self.notes.push(Note::Idle(before));
    }

    /// Verbs after which conditions follow, and verbs that name a column (`born`, `located`, `live`).
    pub(super) fn read_verb(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
    ) -> Option<usize> {
        let word = self.word(at);
        let lemma = self.lemma(at);
        if word.is_empty() {
            return None;
        }
        if matches!(word, "have" | "has" | "had" | "are" | "is" | "was" | "were" | "having")
            && draft.asks_something()
            && *mode == Mode::Select
        {
            // `what is …` begins, `students are …` goes on
            let begins = at < 3 && !self.is_name(at.saturating_sub(1));
            if !begins || matches!(word, "have" | "has" | "had") {
                *mode = Mode::Where;
                hand.column = None;
                return Some(at + 1);
            }
        }
        if let Some(length) = self.one_of(at, &["as well as", "along with", "together with"]) {
            *mode = Mode::Select;
            hand.column = None;
            return Some(at + length);
        }
        if word == "what" && *mode == Mode::Where && at > 0 && self.word(at - 1) == "and" {
            *mode = Mode::Select;
            hand.column = None;
            return Some(at + 1);
        }
        if *mode == Mode::Where
            && at > 0
            && matches!(word, "find" | "show" | "list" | "give" | "return" | "display" | "tell")
            && matches!(self.word(at - 1), "and" | "also" | "then")
        {
            *mode = Mode::Select;
            hand.column = None;
            return Some(at + 1);
        }
        // `shared by technicians of A and B`: there must be one of each
        let shared = matches!(word, "shared" | "common")
            && (1..=2).any(|step| matches!(self.word(at + step), "by" | "to"));
        if word == "both" || shared {
            draft.both = true;
            return Some(at + 1);
        }
        if matches!(word, "also") && *mode == Mode::Where {
            draft.both = true;
            return Some(at + 1);
        }
        // a flag named by an adjective: `active customers`, `discontinued products`
        if self.wordy(at)
            && !LEXICON.is_stop(word)
            && let Some(root) = draft.root
        {
            let table = self.table_at(at + 1).unwrap_or(root);
            for (base, denied) in [
                (Some(lemma), false),
                (lemma.strip_prefix("in"), true),
                (lemma.strip_prefix("un"), true),
                (lemma.strip_prefix("dis"), true),
                (opposite(word), true),
            ] {
                let Some(base) = base.filter(|it| it.len() > 3) else { continue };
                let stem = LEXICON.stem(base);
                if let Some(column) = self.index.tables[table]
                    .columns
                    .iter()
                    .position(|it| it.has_word(&stem))
                    .map(|it| ColumnRef::new(table, it))
                    .filter(|it| self.is_flag(*it))
                {
                    let negated = std::mem::take(&mut hand.negated) != denied;
                    let told = self.flag(column, !negated);
                    draft.add(told, std::mem::take(&mut hand.or));
                    return Some(at + 1);
                }
            }
        }
        None
    }
}

/// What a flag is called that says the opposite of a word.
fn opposite(word: &str) -> Option<&'static str> {
    Some(match word {
        "closed" => "open",
        "open" => "closed",
        "hidden" => "visible",
        "visible" => "hidden",
        "disabled" => "enabled",
        "enabled" => "disabled",
        "private" => "public",
        "public" => "private",
        _ => return None,
    })
}
