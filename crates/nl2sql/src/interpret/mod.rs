//! Reads linked items as a draft of a query: what is asked for, of what, under which conditions, in which order.
//!
//! One pass from left to right, sentence by sentence. Each reader (order, group, comparison, superlative, negation, value)
//! takes the items it understands and says where it stopped. What a name means is decided with the whole question in view:
//! every reader asks [`Interpreter::resolve`], which weighs how well the words fit against the tables that the question names
//! and how far away they are.

mod above;
mod age;
mod business;
mod columns;
mod comparator;
mod condition;
mod draft;
mod duration;
mod earnings;
mod event;
mod group;
mod happened;
mod matter;
mod measure;
mod moment;
mod negation;
mod number;
mod order;
mod pattern;
mod place;
mod purchase;
mod ranking;
mod ratio;
mod received;
mod resolve;
mod select;
mod step;
mod superior;
mod superlative;
mod table;
#[cfg(test)]
mod tests;
mod trade;
mod transit;
mod value;

pub(crate) use draft::{Asked, Condition, Draft, GroupKey, Note, OrderBy, Rival};
pub(crate) use earnings::EARNED;

use std::cell::OnceCell;

use self::purchase::Trade;
use crate::{
    index::SchemaIndex,
    lexicon::LEXICON,
    link::{Item, Meaning},
    logical::{Aggregate, ColumnRef, TimeUnit},
    token::Token,
};

/// Reads the items of one question.
pub(crate) struct Interpreter<'a> {
    pub(crate) index: &'a SchemaIndex,
    pub(crate) items: &'a [Item],
    pub(crate) tokens: &'a [Token],
    /// How strongly each table is named by the question as a whole.
    pub(crate) weight: Vec<f64>,
    /// Which items were understood.
    pub(crate) used: Vec<bool>,
    /// What made the reading less sure.
    pub(crate) notes: Vec<Note>,
    /// Items that were read out of turn.
    pub(crate) skip: Vec<usize>,
    /// The table of a business measure that was read: what each of its rows belongs to follows from it.
    pub(crate) measured: Option<usize>,
    /// The moment at which what is asked for happened, where it is not the usual one of its table.
    pub(crate) happened: Option<ColumnRef>,
    /// Items of which nothing need stand in the query, though they were understood.
    pub(crate) spent: Vec<usize>,
    /// What one of the items is told to mean.
    pub(crate) told: Option<Rival>,
    /// What items could mean nearly as well.
    pub(crate) rivals: Vec<Rival>,
    /// Purchases and their lines, found when they are first asked for.
    trade: OnceCell<Option<Trade>>,
}

/// How much a meaning may lack beside the best one to be offered instead of it.
const RIVALS_WITHIN: f64 = 0.3;

/// Reads what begins at an item and says where it ends; `None` if that is not its business.
type Reader<'a> =
    fn(&mut Interpreter<'a>, &mut Draft, &mut Hand, &mut Mode, usize, usize) -> Option<usize>;

/// Where in a clause the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// What is asked for.
    Select,
    /// What it must be like.
    Where,
}

/// What the reader has in hand between two items.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hand {
    /// Aggregates that wait for a column.
    pub(crate) aggregates: Vec<Aggregate>,
    /// Whether the aggregates of the last column go on over the next bare one (`average height and weight`).
    pub(crate) last_aggregates: Vec<Aggregate>,
    /// A count that waits for what is counted.
    pub(crate) count: bool,
    pub(crate) distinct: bool,
    /// A column that waits for its comparison or value: the item.
    pub(crate) column: Option<usize>,
    /// The column in hand is an aggregate of it.
    pub(crate) column_aggregate: Option<Aggregate>,
    /// The count in hand waits for a comparison: the table counted.
    pub(crate) counted: Option<usize>,
    pub(crate) negated: bool,
    /// Whether "or" stood since the last condition.
    pub(crate) or: bool,
    /// Whether the last word before was a determiner.
    pub(crate) determined: bool,
    /// A number in front of what is asked for (`the three cities with …`): how many of them are wanted.
    pub(crate) number: Option<u64>,
    /// Whether the column after "name of" is what is asked for.
    pub(crate) forced: bool,
}

impl<'a> Interpreter<'a> {
    pub(crate) fn new(index: &'a SchemaIndex, items: &'a [Item], tokens: &'a [Token]) -> Self {
        let mut this = Self {
            index,
            items,
            tokens,
            weight: vec![0.0; index.tables.len()],
            used: vec![false; items.len()],
            notes: Vec::new(),
            skip: Vec::new(),
            measured: None,
            happened: None,
            spent: Vec::new(),
            told: None,
            rivals: Vec::new(),
            trade: OnceCell::new(),
        };
        this.weigh();
        this
    }

    /// What speaks for that column as the meaning of that item because it was told so.
    pub(crate) fn told(&self, item: usize, column: ColumnRef) -> f64 {
        let is = self.told.is_some_and(|it| it.item == item && it.column == column);
        if is { 2.0 } else { 0.0 }
    }

    /// Notes that an item could mean another column nearly as well.
    pub(crate) fn rival(&mut self, item: usize, column: ColumnRef, by: f64) {
        if by < RIVALS_WITHIN
            && !self.rivals.iter().any(|it| (it.item, it.column) == (item, column))
        {
            self.rivals.push(Rival { item, column, by });
        }
    }

    /// What makes the reading less sure because an item could mean something else; the same where it was told what it means.
    pub(crate) fn close(&mut self, item: usize, by: f64) {
        let by = self.told.filter(|it| it.item == item).map_or(by, |it| it.by);
        self.notes.push(Note::Close(item, by));
    }

    /// Reads the whole question.
    pub(crate) fn read(&mut self) -> Draft {
        let mut draft = Draft::default();
        let sentences = self.sentences();
        for (number, &(from, until)) in sentences.iter().enumerate() {
            if number == 0 {
                draft.root = self.entity(from, until);
                self.scan(&mut draft, from, until, Mode::Select);
                continue;
            }
            // a further sentence names the columns that are wanted, or adds conditions
            let mut more = Draft { root: draft.root, ..Draft::default() };
            if more.root.is_none() {
                more.root = self.entity(from, until);
                draft.root = more.root;
            }
            more.follow_up = true;
            self.scan(&mut more, from, until, Mode::Select);
            let requests = matches!(
                self.word(from),
                "give"
                    | "show"
                    | "list"
                    | "tell"
                    | "return"
                    | "find"
                    | "display"
                    | "what"
                    | "report"
            );
            draft.absorb(more, requests, self.word(from) == "and");
        }
        if draft.root.is_none() {
            draft.root = self.entity(0, self.items.len());
        }
        draft
    }

    fn sentences(&self) -> Vec<(usize, usize)> {
        let mut all = Vec::new();
        let mut from = 0;
        for (at, item) in self.items.iter().enumerate() {
            if let Meaning::Mark(mark) = item.meaning
                && matches!(mark, '.' | '?' | '!' | ';')
            {
                if at > from {
                    all.push((from, at));
                }
                from = at + 1;
            }
        }
        if self.items.len() > from {
            all.push((from, self.items.len()));
        }
        all
    }

    /// The lower-case word there, whatever it was linked to; empty for marks and quotes.
    pub(crate) fn word(&self, at: usize) -> &'a str {
        match self.items.get(at) {
            Some(item) if !item.quoted && !matches!(item.meaning, Meaning::Mark(_)) => &item.lower,
            _ => "",
        }
    }

    pub(crate) fn lemma(&self, at: usize) -> &'a str {
        match self.items.get(at) {
            Some(item) if !item.quoted => &item.lemma,
            _ => "",
        }
    }

    /// Whether these words stand there.
    pub(crate) fn says(&self, at: usize, words: &str) -> bool {
        words.split(' ').enumerate().all(|(offset, word)| self.word(at + offset) == word)
    }

    /// The first of these phrases that stands there and how many words it has.
    pub(crate) fn one_of(&self, at: usize, phrases: &[&str]) -> Option<usize> {
        phrases.iter().filter(|it| self.says(at, it)).map(|it| it.split(' ').count()).max()
    }

    pub(crate) fn mark_used(&mut self, from: usize, until: usize) {
        let until = until.min(self.used.len());
        for it in &mut self.used[from.min(until)..until] {
            *it = true;
        }
    }

    /// Skips articles and the like.
    pub(crate) fn skip_determiners(&self, mut at: usize) -> usize {
        while matches!(
            self.word(at),
            "the"
                | "a"
                | "an"
                | "their"
                | "its"
                | "his"
                | "her"
                | "all"
                | "any"
                | "some"
                | "these"
                | "those"
                | "our"
                | "of"
                | "each"
                | "every"
                | "this"
                | "that"
                | "other"
                | "such"
        ) && !self.is_name(at)
        {
            at += 1;
        }
        at
    }

    pub(crate) fn is_name(&self, at: usize) -> bool {
        matches!(self.items.get(at).map(|it| &it.meaning), Some(Meaning::Name(_)))
    }

    /// Whether that mark stands there.
    pub(crate) fn marked(&self, at: usize, mark: char) -> bool {
        self.items.get(at).is_some_and(|it| it.is_mark(mark))
    }

    /// Whether a word stands there that was linked to nothing.
    pub(crate) fn wordy(&self, at: usize) -> bool {
        self.items.get(at).is_some_and(Item::is_word)
    }

    pub(crate) fn number(&self, at: usize) -> Option<f64> {
        match self.items.get(at).map(|it| &it.meaning) {
            Some(Meaning::Number(value, _)) => Some(*value),
            _ => None,
        }
    }

    /// Reads items from `at` to `end` into the draft.
    pub(crate) fn scan(&mut self, draft: &mut Draft, from: usize, end: usize, mode: Mode) {
        let mut mode = mode;
        let mut hand = Hand::default();
        let mut at = from;
        while at < end {
            let before = at;
            at = self.step(draft, &mut hand, &mut mode, at, end);
            debug_assert!(at > before, "the reader stands still at {before}");
            if at == before {
                at += 1;
            }
        }
        self.finish(draft, &mut hand, mode);
    }

    /// One step: the position after what was read.
    fn step(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> usize {
        if self.skip.contains(&at) {
            return at + 1;
        }
        // `all reviews of the book: stars and who wrote it`: what is wanted of them
        if self.marked(at, ':')
            && *mode == Mode::Where
            && !hand.count
            && draft.asked.iter().all(|it| matches!(it, Asked::Rows(_)))
            && at + 1 < end
            && self.is_name(at + 1)
            && self.table_at(at + 1).is_none()
        {
            draft.asked.clear();
            *mode = Mode::Select;
            hand.column = None;
            return at + 1;
        }
        // `products that cost more than …`: a verb, whatever column is called so
        if matches!(self.word(at), "cost" | "costs")
            && at > 0
            && (self.table_at(at - 1).is_some() || matches!(self.word(at - 1), "that" | "which"))
            && self.comparator(at + 1).is_some()
        {
            self.count_now(draft, hand);
            *mode = Mode::Where;
            hand.column = None;
            self.mark_used(at, at + 1);
            return at + 1;
        }
        let readers: [Reader<'a>; 36] = [
            Self::read_two_names,
            Self::read_superior,
            Self::read_above,
            Self::read_heads,
            Self::read_material,
            Self::read_counted_in,
            Self::read_ratio,
            Self::read_upper,
            Self::read_last_event,
            Self::read_extreme,
            Self::read_best_time,
            Self::read_reporting,
            Self::read_stock,
            Self::read_quantity,
            Self::read_within_name,
            Self::read_which_time,
            Self::read_received,
            Self::read_age,
            Self::read_duration,
            Self::read_time_apart,
            Self::read_order,
            Self::read_spending,
            Self::read_transit,
            Self::read_current,
            Self::read_sold,
            Self::read_happened,
            Self::read_group,
            Self::read_comparison,
            Self::read_superlative,
            Self::read_negation,
            Self::read_pattern,
            Self::read_asking,
            Self::read_time,
            Self::read_value,
            Self::read_unseen,
            Self::read_name,
        ];
        for reader in readers {
            if let Some(next) = reader(self, draft, hand, mode, at, end) {
                self.mark_used(at, next);
                hand.determined = false;
                return next;
            }
        }
        self.read_word(draft, hand, mode, at)
    }

    /// A word without content of its own: it may still change where the reader is.
    fn read_word(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
    ) -> usize {
        let word = self.word(at);
        match word {
            "who" if at > 0 && self.word(at - 1) == "and" && self.asks_whom(draft, at) => {
                hand.column = None;
            }
            "who" | "whose" | "that" | "which" | "where" | "having" | "whom" => {
                let begins = at == 0
                    || !draft.asks_something() && hand.aggregates.is_empty() && !hand.count
                    || hand.count
                        && !draft.asks_something()
                        && !self.used[..at].iter().any(|it| *it);
                if begins {
                    if word == "who" || word == "whom" || word == "whose" {
                        draft.who = true;
                    }
                    if word == "where" {
                        draft.implied.push("where");
                    }
                } else {
                    self.count_now(draft, hand);
                    *mode = Mode::Where;
                    hand.column = None;
                }
            }
            "when" => {
                if draft.asks_something() {
                    *mode = Mode::Where;
                } else {
                    draft.implied.push("when");
                }
            }
            "with" => {
                // `together with the number of …` goes on selecting
                let along = at > 0 && matches!(self.word(at - 1), "along" | "together" | "and");
                if (draft.asks_something() || draft.counts()) && !along {
                    *mode = Mode::Where;
                    hand.column = None;
                }
            }
            "or" => hand.or = true,
            "the" => hand.determined = true,
            "distinct" | "different" | "unique" => hand.distinct = true,
            _ => {}
        }
        at + 1
    }

    /// `… and who placed it`: the person that each row belongs to, where there is one.
    fn asks_whom(&mut self, draft: &mut Draft, at: usize) -> bool {
        let Some(root) = draft.root else { return false };
        if draft.asked.is_empty() || draft.aggregates() {
            return false;
        }
        let people: Vec<usize> = (0..self.index.tables.len())
            .filter(|&it| {
                it != root
                    && self.index.distance(root, it) == Some(1)
                    && self.single(root, it)
                    && self.index.tables[it].display.len() == 2
            })
            .collect();
        // `… and who approved them`: a reference that says so
        let told = (at + 1 < self.items.len()).then(|| self.who_did(root, at + 1)).flatten();
        let people = match told {
            Some(table) => {
                self.blank(at + 1, at + 2);
                self.mark_used(at + 1, at + 2);
                self.spent.push(at + 1);
                vec![table]
            }
            None => people,
        };
        let [one] = people.as_slice() else { return false };
        self.weight[*one] = self.weight[*one].max(0.5);
        // rows that belong to nobody stay
        draft.outer |= self.index.edges_from(root).any(|it| {
            let nullable = |at: &usize| self.index.tables[root].columns[*at].nullable;
            it.to == *one && it.from_columns.iter().any(nullable)
        });
        draft.ask(Asked::Rows(*one));
        true
    }

    /// A count that waited for a table is of what the question is about.
    #[expect(clippy::unused_self, reason = "reads like its siblings")]
    pub(crate) fn count_now(&self, draft: &mut Draft, hand: &mut Hand) {
        if hand.count
            && hand.aggregates.is_empty()
            && let Some(root) = draft.root
        {
            hand.count = false;
            draft.ask(Asked::Count { table: Some(root), column: None, distinct: false });
        }
    }

    /// What is left in the reader's hand at the end.
    fn finish(&mut self, draft: &mut Draft, hand: &mut Hand, mode: Mode) {
        if hand.count
            && !draft.counts()
            && let Some(root) = draft.root
        {
            // `subscribers who never came, how many`: those who are
            if let [Asked::Column(flag)] = draft.asked.as_slice()
                && self.index.column(*flag).class == plinth_schema_introspect::TypeClass::Boolean
                && flag.table == root
            {
                let flag = *flag;
                draft.asked.clear();
                draft.add(Condition::flag(flag, true), false);
            }
            // `tickets without an order, how many`
            draft.asked.retain(|it| *it != Asked::Rows(root));
            draft.ask(Asked::Count { table: Some(root), column: None, distinct: false });
        }
        hand.count = false;
        if mode == Mode::Where
            && let Some(column) = hand.column.take()
        {
            self.leftover_column(draft, column, hand.negated);
        }
    }

    /// A column named in a condition that got no value: a flag, something that must be there, or more to show.
    pub(crate) fn leftover_column(&mut self, draft: &mut Draft, item: usize, denied: bool) {
        let Some(column) = self.resolve(draft, item, resolve::Want::Any) else { return };
        let info = self.index.column(column);
        if info.class == plinth_schema_introspect::TypeClass::Boolean {
            draft.add(Condition::flag(column, true), false);
            return;
        }
        // a flag kept as a number or as yes and no
        let flag = info.words.iter().any(|it| {
            matches!(
                it.as_str(),
                "active"
                    | "enabled"
                    | "valid"
                    | "current"
                    | "available"
                    | "public"
                    | "closed"
                    | "visible"
                    | "default"
            )
        }) && info.words.len() <= 2
            || info.words.first().is_some_and(|it| it == "is" || it == "has")
            || info
                .words
                .iter()
                .any(|it| it.len() > 4 && (it.ends_with("ed") || it.ends_with("ing")));
        // what takes other values than yes and no is none
        let flag = flag
            && !(info.complete && info.values.iter().any(|it| !matches!(it.as_str(), "0" | "1")));
        let yes = info
            .values
            .iter()
            .find(|it| matches!(it.to_lowercase().as_str(), "yes" | "y" | "true" | "t"))
            .cloned();
        if info.class.is_textual()
            && info.complete
            && info.values.len() <= 3
            && let Some(yes) = yes
        {
            draft.add(Condition::Row(self.equality(column, &yes, false)), false);
            return;
        }
        if flag && info.class == plinth_schema_introspect::TypeClass::Integer && !info.is_id() {
            let one = crate::logical::Expr::Literal(crate::logical::Literal::Number(1.0));
            draft.add(
                Condition::Row(crate::logical::Predicate::Compare(
                    crate::logical::Expr::Column(column),
                    crate::logical::Comparison::Equal,
                    one,
                )),
                false,
            );
            return;
        }
        // `departments with their city`: to be shown; `customers with a phone number`: known
        let lead = item.checked_sub(1).map_or("", |it| self.word(it));
        let rows = draft.asked.iter().all(|it| matches!(it, Asked::Rows(_) | Asked::Column(_)))
            && !draft.asked.is_empty()
            && draft.order.is_empty();
        if matches!(lead, "their" | "its") && rows && item > 1 && self.word(item - 2) != "whose" {
            draft.ask(Asked::Column(column));
            return;
        }
        let before = item.checked_sub(2).map_or("", |it| self.word(it));
        if info.nullable
            && !info.foreign
            && (matches!(lead, "a" | "an") || matches!(lead, "with" | "have" | "has") && !rows)
            && matches!(
                if matches!(lead, "a" | "an") { before } else { lead },
                "with"
                    | "have"
                    | "has"
                    | "left"
                    | "gave"
                    | "given"
                    | "provided"
                    | "entered"
                    | "had"
            )
        {
            draft.add(
                Condition::Row(crate::logical::Predicate::Null { column, negated: !denied }),
                false,
            );
            return;
        }
        self.notes.push(Note::Idle(item));
        if Some(column.table) != draft.root {
            draft.join(column.table);
        }
    }

    /// The unit of time that a word names as a step of a series (`per month`, `monthly`).
    pub(crate) fn bucket(&self, at: usize) -> Option<TimeUnit> {
        crate::time::unit(self.word(at)).or(match self.word(at) {
            "daily" => Some(TimeUnit::Day),
            "weekly" => Some(TimeUnit::Week),
            "monthly" => Some(TimeUnit::Month),
            "quarterly" => Some(TimeUnit::Quarter),
            "yearly" | "annually" => Some(TimeUnit::Year),
            _ => None,
        })
    }

    /// The year in which something happened to the rows of a table, by its verb: `launched`, where `launch` is a year.
    fn year_called(&self, table: usize) -> Option<ColumnRef> {
        let year = |it: &str| it.parse::<f64>().is_ok_and(|it| (1000.0..2200.0).contains(&it));
        let verb = |word: &str| {
            self.tokens.iter().any(|it| {
                it.lower.ends_with("ed") && it.stem == LEXICON.stem(word)
                    || it.lower == *word && matches!(word, "took" | "left" | "began" | "won")
            })
        };
        let column = self.index.tables[table].columns.iter().position(|it| {
            let years = it.values.len() > 1 && it.values.iter().all(|it| year(it));
            !it.is_id()
                // `used_count` is a number of uses
                && (years || it.class.is_numeric() && it.values.is_empty())
                && it.words.iter().any(|it| verb(it))
                && it.words.iter().all(|it| it == "year" || verb(it))
        })?;
        Some(ColumnRef::new(table, column))
    }

    /// The column of a table that says when its rows happened, else one of a table next to it.
    pub(crate) fn moment_of(&self, table: usize, hint: Option<&str>) -> Option<ColumnRef> {
        if let Some(it) = self.happened.filter(|it| it.table == table) {
            return Some(it);
        }
        let rate = |table: usize| {
            let columns = &self.index.tables[table].columns;
            columns
                .iter()
                .enumerate()
                .filter(|it| it.1.class.is_temporal())
                .map(|(at, it)| {
                    let mut score = 0.0;
                    if let Some(hint) = hint
                        && it.has_word(hint)
                    {
                        score += 3.0;
                    }
                    for (word, bonus) in [
                        ("created", 0.6),
                        ("order", 0.5),
                        ("place", 0.6),
                        ("start", 0.3),
                        ("sale", 0.5),
                        ("transaction", 0.5),
                        ("join", 0.3),
                        ("signed", 0.3),
                        ("birth", -0.5),
                        ("end", -0.3),
                        ("update", -0.6),
                        ("updated", -0.6),
                        ("deleted", -0.8),
                        ("modified", -0.6),
                        ("last", -0.3),
                        ("expiry", -0.5),
                        ("due", -0.2),
                        ("required", -0.3),
                    ] {
                        if it.has_word(word) {
                            score += bonus;
                        }
                    }
                    // `payment_date` of payments says more than when their row was made
                    if it.words.iter().any(|word| self.index.tables[table].words.contains(word)) {
                        score += 0.8;
                    }
                    if !it.nullable {
                        score += 0.2;
                    }
                    #[expect(clippy::cast_precision_loss, reason = "a small position")]
                    let order = at as f64 * 0.01;
                    (at, score - order)
                })
                .max_by(|a, b| a.1.total_cmp(&b.1))
        };
        if let Some((column, _)) = rate(table) {
            return Some(ColumnRef::new(table, column));
        }
        if let Some(year) = self.year_called(table) {
            return Some(year);
        }
        let mut best: Option<(ColumnRef, f64)> = None;
        for other in 0..self.index.tables.len() {
            let Some(steps) = self
                .index
                .distance(table, other)
                .filter(|it| *it == 1 || (*it <= 2 && self.weight[other] > 0.5))
            else {
                continue;
            };
            if let Some((column, score)) = rate(other) {
                #[expect(clippy::cast_precision_loss, reason = "a few steps")]
                let score = score + self.weight[other] - steps as f64;
                if best.is_none_or(|it| score > it.1) {
                    best = Some((ColumnRef::new(other, column), score));
                }
            }
        }
        best.map(|it| it.0)
    }
}
