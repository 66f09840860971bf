//! What was earned or spent: which column holds it, which rows count, and the verbs that ask for it.

use plinth_schema_introspect::TypeClass;

use super::{
    Asked, Condition, Draft, GroupKey, Hand, Interpreter, Mode, Note,
    draft::{OrderBy, Ordering},
};
use crate::{
    logical::{Aggregate, ColumnRef, Comparison, Expr, Literal, Predicate},
    token::normalized,
};

/// Words that ask for what was earned.
pub(crate) const EARNED: [&str; 5] = ["revenue", "revenues", "turnover", "sales", "takings"];

/// Words in names of tables of purchases, and of what is paid for them.
const PURCHASES: [&str; 6] = ["order", "sale", "invoice", "purchase", "transaction", "booking"];
const PAYMENTS: [&str; 3] = ["payment", "receipt", "rental"];

/// An amount of money for each row of a table.
#[derive(Clone, Debug)]
pub(super) struct Measure {
    pub(super) table: usize,
    pub(super) amount: Expr,
    /// Rows that do not count, by what the owner wrote about the table.
    pub(super) only: Vec<Predicate>,
}

impl Interpreter<'_> {
    /// Whether a word there asks for what was earned, and no column is called so.
    pub(super) fn asks_for_earnings(&self, at: usize) -> bool {
        if !EARNED.contains(&self.word(at)) || self.items[at].capital {
            return false;
        }
        // `the sales department` is a department
        if self.is_value(at) {
            let before = at.checked_sub(1).map_or("", |it| self.word(it));
            return !matches!(before, "the" | "in" | "from" | "of" | "our")
                && !self.is_name(at + 1)
                && (at == 0 || before == "total" || before == "by");
        }
        let named = self.links(at).iter().any(|it| it.score > 0.9);
        !named
    }

    /// Takes a word that asks for what was earned.
    pub(super) fn read_earnings(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: Mode,
        at: usize,
    ) -> Option<usize> {
        if mode != Mode::Select || !self.asks_for_earnings(at) {
            return None;
        }
        let measure = self.earnings(draft)?;
        let function = hand.aggregates.pop().unwrap_or(Aggregate::Sum);
        hand.aggregates.clear();
        if draft.asked.is_empty() {
            draft.root = Some(measure.table);
        }
        self.count_only(draft, &measure);
        draft.ask(Asked::Aggregate(function, measure.amount));
        // `total sales amount`
        let told = matches!(self.word(at + 1), "amount" | "amounts");
        Some(at + if told { 2 } else { 1 })
    }

    /// Leaves out the rows that do not count.
    pub(super) fn count_only(&mut self, draft: &mut Draft, measure: &Measure) {
        let whole = self.purchases().map(|it| it.0).filter(|it| self.single(measure.table, *it));
        draft.event = Some(whole.unwrap_or(measure.table));
        self.measured = Some(measure.table);
        self.weight[measure.table] = self.weight[measure.table].max(0.5);
        for it in &measure.only {
            it.columns(&mut |it| self.weight[it.table] = self.weight[it.table].max(0.5));
            draft.add(Condition::Row(it.clone()), false);
        }
        let info = &self.index.tables[measure.table];
        let called = info
            .words
            .iter()
            .any(|it| PURCHASES.contains(&it.as_str()) || PAYMENTS.contains(&it.as_str()));
        if !called && self.trade().is_some_and(|it| it.whole == measure.table) {
            self.notes.push(Note::Assumed(format!("rows of {} count as purchases", info.name)));
        }
        if !measure.only.is_empty() {
            let name = self.index.tables[measure.table].name.clone();
            self.notes.push(Note::Assumed(format!("rows of {name} count as its description says")));
        }
    }

    /// `spent the most`, `spent more than 500 in total`: sums of what belongs to each.
    pub(super) fn read_spending(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        let spent = matches!(self.word(at), "spent" | "spend" | "spends" | "spending");
        // `categories that sold for more than 100000`
        let brought = self.one_of(
            at,
            &[
                "sold for",
                "brought in",
                "bring in",
                "brings in",
                "turned over",
                "took in",
                "grossed",
            ],
        );
        if !spent && brought.is_none() || self.links(at).iter().any(|it| it.score > 0.9) && spent {
            return None;
        }
        let root = draft.root?;
        let measure = self.earnings(draft)?;
        if measure.table == root || !self.single(measure.table, root) {
            return None;
        }
        let sum = Expr::aggregate(Aggregate::Sum, measure.amount.clone());
        let mut next = at + brought.unwrap_or(1);
        while matches!(self.word(next), "the" | "a" | "total" | "of" | "money") {
            next += 1;
        }
        let of = GroupKey::Rows(root);
        if matches!(self.word(next), "most" | "least") {
            let descending = self.word(next) == "most";
            next += 1;
            draft.order.push(Ordering { by: OrderBy::Expr(sum), descending });
            draft.limit = hand.number.take().or(draft.limit).or(Some(1));
            draft.ranked = Some(of);
        } else {
            let comparator = self.comparator(next)?;
            let mut value_at = comparator.next;
            while self.marked(value_at, '$') || self.marked(value_at, '€') {
                value_at += 1;
            }
            let value = self.number(value_at).filter(|_| value_at < end)?;
            if brought.is_some() && self.is_name(value_at + 1) && value_at + 1 < end {
                return None;
            }
            let literal = Expr::Literal(Literal::Number(value));
            let having = Predicate::Compare(sum, comparator.comparison, literal);
            draft.add(
                Condition::Group { of, having, joins: Some(measure.table) },
                std::mem::take(&mut hand.or),
            );
            next = value_at + 1;
        }
        while self.says(next, "in total")
            || matches!(self.word(next), "money" | "overall" | "altogether" | "dollars")
        {
            next += if self.word(next) == "in" { 2 } else { 1 };
        }
        self.count_only(draft, &measure);
        if !draft.asks_something() {
            draft.ask(Asked::Rows(root));
        }
        hand.column = None;
        *mode = Mode::Where;
        Some(next)
    }

    /// `the best selling …`: by what was ordered of each.
    pub(super) fn sold(&self, draft: &Draft) -> Option<(usize, Expr)> {
        let (table, amount) = self.lines(draft)?;
        let Expr::Arithmetic(_, quantity, _) = amount else { return None };
        Some((table, Expr::aggregate(Aggregate::Sum, *quantity)))
    }

    /// `current employees`, `who works there at the moment`: those whose end is not known yet.
    pub(super) fn read_current(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        _end: usize,
    ) -> Option<usize> {
        // a word that only resembles a name is none here
        let named = self.links(at).first().is_some_and(|it| it.score >= 0.8);
        if !self.wordy(at) && (!self.is_name(at) || named) {
            return None;
        }
        // `coupons that still work`: begun and not ended
        let holds = self.one_of(
            at,
            &[
                "still valid",
                "still work",
                "still works",
                "still working",
                "still active",
                "still usable",
                "still good",
                "currently valid",
                "valid now",
                "valid currently",
                "valid at the moment",
            ],
        );
        if let Some(length) = holds
            && let Some(predicate) = draft.root.and_then(|it| self.validity(it))
        {
            draft.add(Condition::Row(predicate), std::mem::take(&mut hand.or));
            self.spent.extend(at..at + length);
            if draft.asks_something() {
                *mode = Mode::Where;
            }
            return Some(at + length);
        }
        let length = self.one_of(
            at,
            &[
                "current",
                "currently",
                "at the moment",
                "right now",
                "at present",
                "still work",
                "still works",
                "still working",
                "still employed",
                "still here",
            ],
        )?;
        let ended = |table: usize| {
            let columns = &self.index.tables[table].columns;
            let at = columns.iter().position(|it| {
                it.nullable
                    && it.class.is_temporal()
                    && [
                        "left",
                        "leave",
                        "leaving",
                        "end",
                        "until",
                        "terminate",
                        "terminated",
                        "termination",
                        "discontinued",
                        "resigned",
                        "departed",
                        "exit",
                        "ended",
                        "to",
                    ]
                    .iter()
                    .any(|word| it.words.iter().any(|own| own == word))
            })?;
            Some(ColumnRef::new(table, at))
        };
        let next = self.table_at(at + length);
        let named = (0..self.index.tables.len()).filter(|it| self.weight[*it] > 0.6);
        let column = next.into_iter().chain(draft.root).chain(named).find_map(ended)?;
        draft.add(
            Condition::Row(Predicate::Null { column, negated: false }),
            std::mem::take(&mut hand.or),
        );
        self.spent.extend(at..at + length);
        Some(at + length)
    }

    /// Where what was earned is kept: whole purchases, or their lines where the question speaks of what only lines know.
    pub(super) fn earnings(&self, draft: &Draft) -> Option<Measure> {
        let whole = self.purchases();
        let lines = self.lines(draft);
        let finer = |whole: usize| {
            (0..self.index.tables.len()).any(|it| {
                let spoken = self.weight[it] > 0.6 || draft.root == Some(it);
                spoken && it != whole && !self.single(whole, it) && !self.single(it, whole)
                    // customers have purchases; products have lines
                    && !self.index.tables[it].bridge
                    && lines.as_ref().is_some_and(|line| self.single(line.0, it) && line.0 != it)
            })
        };
        let (table, amount) = match (whole, lines.clone()) {
            (Some((table, _)), Some(lines)) if finer(table) => lines,
            (Some((table, column)), _) => (table, Expr::Column(ColumnRef::new(table, column))),
            (None, Some(lines)) => lines,
            (None, None) => return None,
        };
        Some(Measure { table, amount, only: self.counted_rows(table) })
    }

    /// The table of purchases, with a moment of its own, and the column of what each brought.
    pub(super) fn purchases(&self) -> Option<(usize, usize)> {
        *self.index.purchases.get_or_init(|| self.purchased_in())
    }

    fn purchased_in(&self) -> Option<(usize, usize)> {
        let mut best: Option<(f64, (usize, usize))> = None;
        for (table, info) in self.index.tables.iter().enumerate() {
            if !info.columns.iter().any(|it| it.class.is_temporal()) {
                continue;
            }
            let is = |words: &[&str]| info.words.iter().any(|it| words.contains(&it.as_str()));
            let mut about = 0.0;
            if is(&PURCHASES) {
                about += 2.0;
            } else if is(&PAYMENTS) {
                about += 1.0;
            } else if self.trade().is_some_and(|it| it.whole == table) {
                about += 1.5;
            } else {
                continue;
            }
            if is(&["item", "line", "detail", "refund", "status", "type"]) {
                about -= 1.5;
            }
            for (column, it) in info.columns.iter().enumerate() {
                if !it.class.is_numeric() || it.is_id() || it.class == TypeClass::Boolean {
                    continue;
                }
                let has = |word: &str| it.words.iter().any(|own| own == word);
                let mut score = about;
                if has("revenue") {
                    score += 3.0;
                } else if has("grand") {
                    score += 2.2;
                } else if has("total") {
                    score += 2.0;
                } else if has("payable") || has("due") || has("overall") {
                    score += 1.8;
                } else if has("amount") || has("sale") || has("sum") || has("value") {
                    score += 1.5;
                } else if has("price") && !has("unit") {
                    score += 1.0;
                } else {
                    continue;
                }
                if [
                    "discount", "tax", "shipping", "fee", "refund", "item", "tip", "freight",
                    "unit", "quantity", "count", "number", "minimum",
                ]
                .iter()
                .any(|it| has(it))
                {
                    score -= 1.2;
                }
                if best.is_none_or(|it| score > it.0 + 1e-9) {
                    best = Some((score, (table, column)));
                }
            }
        }
        best.filter(|it| it.0 >= 2.5).map(|it| it.1)
    }

    /// The purchases that lines belong to.
    pub(super) fn whole_of(&self, lines: usize) -> Option<usize> {
        self.purchases().map(|it| it.0).filter(|it| self.single(lines, *it))
    }

    /// What each purchase is worth, if that table holds them.
    pub(super) fn worth_of(&self, table: usize) -> Option<ColumnRef> {
        let (whole, column) = self.purchases()?;
        (whole == table).then(|| ColumnRef::new(whole, column))
    }

    /// What a row of a table is worth, where the table keeps one such amount.
    pub(super) fn amount_of(&self, table: usize) -> Option<ColumnRef> {
        if let Some((whole, column)) = self.purchases().filter(|it| it.0 == table) {
            return Some(ColumnRef::new(whole, column));
        }
        let columns = &self.index.tables[table].columns;
        let named = ["amount", "total", "sum", "value", "price"].iter().find_map(|word| {
            let mut found = columns
                .iter()
                .enumerate()
                .filter(|it| it.1.class.is_numeric() && !it.1.is_id() && it.1.has_word(word))
                .map(|it| it.0);
            match (found.next(), found.next()) {
                (Some(one), None) => Some(ColumnRef::new(table, one)),
                _ => None,
            }
        });
        // or its only number, where its rows are of money
        named.or_else(|| {
            self.only_number(table).filter(|it| {
                let info = self.index.column(*it);
                info.class == plinth_schema_introspect::TypeClass::Decimal && info.defined.is_none()
            })
        })
    }

    /// The table of lines and what each brought: quantity by price.
    fn lines(&self, draft: &Draft) -> Option<(usize, Expr)> {
        let amount = self.revenue(draft)?;
        let mut table = None;
        amount.columns(&mut |it| table = Some(it.table));
        Some((table?, amount))
    }

    /// What the description of a table, or of one that it belongs to, says of rows that do not count: "revenue counts all
    /// but those that are cancelled".
    fn counted_rows(&self, table: usize) -> Vec<Predicate> {
        let mut all = Vec::new();
        for (other, info) in self.index.tables.iter().enumerate() {
            if other != table && !self.single(table, other) {
                continue;
            }
            let Some(comment) = &info.comment else { continue };
            for sentence in comment.split(['.', ';']) {
                let said = normalized(sentence);
                let words: Vec<&str> = said.split(' ').collect();
                if !words.iter().any(|it| EARNED.contains(it)) {
                    continue;
                }
                let Some(turn) = words.iter().position(|it| {
                    matches!(*it, "but" | "except" | "excluding" | "without" | "not" | "excludes")
                }) else {
                    continue;
                };
                for (column, it) in info.columns.iter().enumerate() {
                    if !it.complete || it.values.len() > 40 {
                        continue;
                    }
                    for value in &it.values {
                        if words[turn..].contains(&normalized(value).as_str()) {
                            all.push(Predicate::Compare(
                                Expr::Column(ColumnRef::new(other, column)),
                                Comparison::NotEqual,
                                Expr::Literal(Literal::Text(value.clone())),
                            ));
                        }
                    }
                }
            }
        }
        all
    }
}
