//! What is sold, told by how tables are made rather than by what they are called: lines refer to a purchase and to a thing,
//! and keep how many and at which price.

use plinth_schema_introspect::TypeClass;

use super::Interpreter;
use crate::logical::{Expr, LogicalQuery, Predicate};

/// Purchases and their lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trade {
    /// The table of lines, and its columns of how many and at which price.
    pub(crate) lines: usize,
    pub(crate) quantity: usize,
    pub(crate) price: usize,
    /// The table of whole purchases.
    pub(crate) whole: usize,
}

impl Interpreter<'_> {
    /// Purchases and their lines by how tables are made, where there is such a pair.
    pub(super) fn trade(&self) -> Option<Trade> {
        *self.trade.get_or_init(|| {
            let rows = |it: usize| self.index.tables[it].rows;
            (0..self.index.tables.len())
                .filter_map(|it| self.trade_of(it))
                .max_by(|a, b| rows(a.lines).total_cmp(&rows(b.lines)).then(b.lines.cmp(&a.lines)))
        })
    }

    fn trade_of(&self, lines: usize) -> Option<Trade> {
        let info = &self.index.tables[lines];
        let targets: Vec<usize> = self.index.edges_of[lines]
            .iter()
            .map(|it| &self.index.edges[*it])
            .filter(|it| it.from == lines && it.to != lines)
            .map(|it| it.to)
            .collect();
        if targets.len() < 2 {
            return None;
        }
        let only = |such: &dyn Fn(usize) -> bool| {
            let mut all = (0..info.columns.len()).filter(|it| such(*it));
            let first = all.next()?;
            all.next().is_none().then_some(first)
        };
        let quantity = only(&|at| {
            let it = &info.columns[at];
            it.class == TypeClass::Integer && !it.is_id() && !it.foreign && !it.primary
        })?;
        let price = only(&|at| {
            let it = &info.columns[at];
            it.class == TypeClass::Decimal && !it.words.iter().any(|it| is_whole(it))
        })?;
        // hours at a rate, points of a grade: they are no goods
        let other = |at: usize| info.columns[at].words.iter().any(|it| is_other(it));
        if other(quantity) || other(price) {
            return None;
        }
        // it happened at some moment, and to somebody; the thing is what more lines speak of
        let happened = |it: &usize| {
            let target = &self.index.tables[*it];
            target.columns.iter().any(|it| it.class.is_temporal())
                && self.index.edges_of[*it].iter().any(|edge| self.index.edges[*edge].from == *it)
        };
        let rows = |it: usize| self.index.tables[it].rows;
        let whole = targets
            .iter()
            .copied()
            .filter(happened)
            .max_by(|a, b| rows(*a).total_cmp(&rows(*b)).then(b.cmp(a)))?;
        let most = targets.iter().all(|it| *it == whole || rows(*it) <= rows(whole));
        most.then_some(Trade { lines, quantity, price, whole })
    }
}

/// What was read as sold by shape alone.
pub(crate) struct ByShape {
    /// The same in words for people.
    pub(crate) told: String,
    /// Whether one of the columns is called as what it was taken for.
    pub(crate) named: bool,
}

impl Interpreter<'_> {
    /// Whether a query takes how many times which price of lines that are only told by how tables are made.
    pub(crate) fn by_shape(&self, query: &LogicalQuery) -> Option<ByShape> {
        let [(lines, quantity, price)] = self.index.sold.get_or_init(|| self.sold_in())[..] else {
            return None;
        };
        let info = &self.index.tables[lines];
        let such = |at: usize, all: &[&str]| {
            info.columns[at].words.iter().any(|it| all.contains(&it.as_str()))
        };
        // then no shape was asked
        let many = &info.columns[quantity];
        let by_name = info.columns[price].has_word("price")
            && (many.has_word("quantity") || many.words.len() == 1 && such(quantity, &COUNTS));
        let counts = such(quantity, &COUNTS);
        let priced = such(price, &PRICES);
        let mut taken = false;
        let has = |it: &Expr| {
            let mut both = [false; 2];
            it.columns(&mut |it| {
                both[0] |= (it.table, it.column) == (lines, quantity);
                both[1] |= (it.table, it.column) == (lines, price);
            });
            both == [true; 2]
        };
        query.each(&mut |part| {
            taken |= part.select.iter().chain(part.order.iter().map(|it| &it.by)).any(has);
            for it in &part.having {
                if let Predicate::Compare(left, ..) = it {
                    taken |= has(left);
                }
            }
        });
        let name = |at: usize| &info.columns[at].name;
        (taken && !by_name).then(|| ByShape {
            told: format!(
                "{} times {} of {} is what was sold",
                name(quantity),
                name(price),
                info.name
            ),
            named: counts || priced,
        })
    }
}

/// Words in names of how many.
const COUNTS: [&str; 10] =
    ["quantity", "qty", "unit", "piece", "count", "copy", "number", "item", "pack", "volume"];

/// Words in names of prices.
const PRICES: [&str; 7] = ["price", "cost", "fare", "tariff", "charge", "value", "worth"];

/// Whether a number is of time, or a judgement: none of goods.
fn is_other(word: &str) -> bool {
    matches!(
        word,
        "second"
            | "minute"
            | "hour"
            | "day"
            | "week"
            | "month"
            | "quarter"
            | "year"
            | "duration"
            | "length"
            | "time"
            | "age"
            | "rate"
            | "rating"
            | "ratio"
            | "percent"
            | "percentage"
            | "share"
            | "grade"
            | "score"
            | "mark"
            | "point"
            | "star"
            | "rank"
            | "level"
            | "credit"
            | "semester"
            | "weight"
            | "height"
            | "distance"
            | "temperature"
            | "latitude"
            | "longitude"
    )
}

/// Whether an amount is that of the whole line, or something beside its price.
fn is_whole(word: &str) -> bool {
    matches!(
        word,
        "total"
            | "sum"
            | "amount"
            | "subtotal"
            | "discount"
            | "rebate"
            | "tax"
            | "vat"
            | "fee"
            | "cost"
    )
}
