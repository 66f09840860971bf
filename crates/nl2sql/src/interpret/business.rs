//! What people in trade say of the things they keep: in stock, out of stock, to be ordered again, worth so much.

use super::{Asked, Condition, Draft, Hand, Interpreter, Mode};
use crate::logical::{Aggregate, Arithmetic, ColumnRef, Comparison, Expr, Literal, Predicate};

impl Interpreter<'_> {
    /// The column that says how much of a thing lies there, of the table in question or one that is named.
    fn stock(&self, draft: &Draft) -> Option<ColumnRef> {
        let find = |table: usize| {
            let columns = &self.index.tables[table].columns;
            let is = |at: &usize, word: &str| columns[*at].has_word(word);
            let numbers: Vec<usize> = (0..columns.len())
                .filter(|&it| columns[it].class.is_numeric() && !columns[it].is_id())
                .collect();
            numbers
                .iter()
                .copied()
                .find(|it| is(it, "stock") && !is(it, "reorder") && !is(it, "minimum"))
                .or_else(|| {
                    numbers.iter().copied().find(|it| is(it, "inventory") || is(it, "hand"))
                })
                .map(|it| ColumnRef::new(table, it))
        };
        draft
            .root
            .and_then(find)
            .or_else(|| {
                (0..self.index.tables.len()).filter(|it| self.weight[*it] > 0.5).find_map(find)
            })
            .or_else(|| {
                // the only table that keeps it
                let mut all = (0..self.index.tables.len()).filter_map(find);
                let first = all.next()?;
                all.next().is_none().then_some(first)
            })
    }

    /// `business customers`, where it is written about a column that it is kept for those only.
    pub(super) fn read_kept_for(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        at: usize,
    ) -> Option<usize> {
        let table = self.table_at(at + 1)?;
        let said = format!("{} {}", self.word(at), self.word(at + 1));
        let column = self.index.tables[table].columns.iter().position(|it| {
            let comment = it.comment.as_deref().unwrap_or_default();
            let kept = comment.split(['.', ';']).any(|it| {
                let normal = crate::token::normalized(it);
                normal.contains(&said) && (normal.ends_with("only") || normal.starts_with("only"))
            });
            it.nullable && kept
        })?;
        let column = ColumnRef::new(table, column);
        let known = Predicate::Null { column, negated: !std::mem::take(&mut hand.negated) };
        draft.add(Condition::Row(known), std::mem::take(&mut hand.or));
        self.mark_used(at, at + 1);
        Some(at + 1)
    }

    /// The level below which a thing is ordered again.
    fn reorder_level(&self, table: usize) -> Option<ColumnRef> {
        let columns = &self.index.tables[table].columns;
        let at = columns.iter().position(|it| {
            it.class.is_numeric()
                && (it.has_word("reorder")
                    || it
                        .words
                        .iter()
                        .any(|it| it == "reorder" || it == "restock" || it == "threshold")
                    || it.has_word("minimum") && it.has_word("stock"))
        });
        at.map(|it| ColumnRef::new(table, it))
    }

    /// `out of stock`, `in stock`, `low on stock`, `need to be reordered`
    pub(super) fn read_stock(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        _end: usize,
    ) -> Option<usize> {
        if self.items[at].quoted {
            return None;
        }
        let zero = self.one_of(
            at,
            &[
                "out of stock",
                "sold out",
                "not in stock",
                "no longer in stock",
                "not available",
                "unavailable",
            ],
        );
        let some = self.one_of(at, &["in stock", "on stock", "available"]);
        let low = self.one_of(
            at,
            &[
                "need to be reordered",
                "needs to be reordered",
                "have to be reordered",
                "has to be reordered",
                "must be reordered",
                "should be reordered",
                "to be reordered",
                "need reordering",
                "need to reorder",
                "have to reorder",
                "should reorder",
                "must reorder",
                "to reorder",
                "low on stock",
                "low in stock",
                "running low",
                "running out",
                "low stock",
                "below their reorder level",
                "below the reorder level",
                "below reorder level",
                "under their reorder level",
                "under the reorder level",
                "to be restocked",
                "need restocking",
                "need to be restocked",
                "need to restock",
                "to restock",
                "at or below their reorder level",
                "at or below the reorder level",
                "reorder",
            ],
        );
        let length = zero.or(low).or(some)?;
        // a column of that name, compared with something, is read as such
        if length == 1 && !matches!(self.word(at), "unavailable" | "reorder") {
            return None;
        }
        if self.word(at) == "reorder"
            && length == 1
            && (self.is_name(at)
                || draft.asks_something() && *mode == Mode::Select && !draft.counts())
        {
            return None;
        }
        let stock = self.stock(draft)?;
        let number = |value: f64| Expr::Literal(Literal::Number(value));
        let predicate = if zero.is_some() {
            Predicate::Compare(Expr::Column(stock), Comparison::Equal, number(0.0))
        } else if low.is_some() {
            let level = self.reorder_level(stock.table)?;
            Predicate::Compare(Expr::Column(stock), Comparison::AtMost, Expr::Column(level))
        } else {
            Predicate::Compare(Expr::Column(stock), Comparison::Greater, number(0.0))
        };
        let predicate = if std::mem::take(&mut hand.negated) {
            Predicate::Not(Box::new(predicate))
        } else {
            predicate
        };
        self.count_now(draft, hand);
        draft.add(Condition::Row(predicate), std::mem::take(&mut hand.or));
        hand.column = None;
        if draft.asks_something() {
            *mode = Mode::Where;
        }
        Some(at + length)
    }

    /// `units sold`, `how many units of … were ordered`, `what is our stock worth at cost price`
    pub(super) fn read_quantity(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        if *mode != Mode::Select || self.items[at].quoted {
            return None;
        }
        if let Some(next) = self.read_stock_value(draft, hand, at, end) {
            return Some(next);
        }
        let worded =
            matches!(self.word(at), "units" | "pieces" | "quantity" | "quantities" | "copies")
                || self.says(at, "items sold");
        let sold = (at + 1..end).any(|it| {
            matches!(
                self.word(it),
                "sold"
                    | "ordered"
                    | "bought"
                    | "purchased"
                    | "sell"
                    | "sale"
                    | "shipped"
                    | "order"
                    | "buy"
                    | "sales"
            )
        }) || at > 0 && matches!(self.word(at - 1), "sold" | "ordered");
        if !worded || !sold || self.stock_word_near(at, end) {
            return None;
        }
        let (table, sum) = self.sold(draft)?;
        let Expr::Aggregate { argument: Some(of), .. } = sum else { return None };
        let function = hand.aggregates.pop().unwrap_or(Aggregate::Sum);
        hand.aggregates.clear();
        hand.count = false;
        if draft.asked.is_empty() {
            draft.root = Some(table);
        }
        draft.event = self.whole_of(table).or(Some(table));
        self.spent.push(at);
        self.measured = Some(table);
        self.weight[table] = self.weight[table].max(0.5);
        draft.ask(Asked::Aggregate(function, *of));
        let mut next = at + 1;
        if self.word(next) == "sold" || self.word(next) == "ordered" {
            if self.word(next) == "sold"
                && let Some(measure) = self.earnings(draft)
            {
                self.count_only(draft, &measure);
            }
            next += 1;
        } else if (at..end).any(|it| matches!(self.word(it), "sold" | "sell"))
            && let Some(measure) = self.earnings(draft)
        {
            self.count_only(draft, &measure);
        }
        if self.word(next) == "of" {
            next += 1;
        }
        Some(next)
    }

    fn stock_word_near(&self, at: usize, end: usize) -> bool {
        (at..end).any(|it| matches!(self.word(it), "stock" | "inventory" | "warehouse" | "shelf"))
    }

    /// `what is our stock worth at cost price`, `the value of all stock`, `inventory value`
    fn read_stock_value(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        let (first, next) =
            if matches!(self.word(at), "stock" | "inventory") || self.says(at, "stock quantity") {
                let mut next = at + 1;
                while matches!(self.word(next), "is" | "are" | "be" | "currently") {
                    next += 1;
                }
                if !matches!(self.word(next), "worth" | "value" | "valued") {
                    return None;
                }
                (at, next + 1)
            } else if matches!(self.word(at), "value" | "worth") && self.word(at + 1) == "of" {
                let thing = self.skip_determiners(at + 2);
                if !self.word(thing).split(' ').any(|it| matches!(it, "stock" | "inventory")) {
                    return None;
                }
                (at, thing + 1)
            } else {
                return None;
            };
        let mut probe = draft.clone();
        if probe.root.is_none() {
            probe.root = (0..self.index.tables.len())
                .max_by(|a, b| self.weight[*a].total_cmp(&self.weight[*b]));
        }
        let stock = self.stock(&probe)?;
        let columns = &self.index.tables[stock.table].columns;
        let priced = |words: &[&str]| {
            words.iter().find_map(|word| {
                columns
                    .iter()
                    .position(|it| it.class.is_numeric() && !it.is_id() && it.has_word(word))
            })
        };
        let cost = (next..end).any(|it| {
            self.word(it).split(' ').any(|it| matches!(it, "cost" | "costs" | "purchase"))
        });
        let price = if cost {
            priced(&["cost"])?
        } else {
            priced(&["price"]).or_else(|| priced(&["cost"]))?
        };
        let mut until = next;
        while until < end
            && self.word(until).split(' ').all(|it| {
                matches!(
                    it,
                    "at" | "cost"
                        | "price"
                        | "prices"
                        | "costs"
                        | "list"
                        | "in"
                        | "total"
                        | "current"
                        | "our"
                        | "the"
                        | "purchase"
                        | "sales"
                        | "selling"
                        | "retail"
                )
            })
            && !self.word(until).is_empty()
        {
            until += 1;
        }
        hand.count = false;
        hand.aggregates.clear();
        draft.root = Some(stock.table);
        draft.asked.clear();
        let column = |at: usize| Box::new(Expr::Column(ColumnRef::new(stock.table, at)));
        draft.ask(Asked::Aggregate(
            Aggregate::Sum,
            Expr::Arithmetic(Arithmetic::Multiply, column(stock.column), column(price)),
        ));
        self.mark_used(first, until);
        self.spent.extend(first..until);
        self.weight[stock.table] = self.weight[stock.table].max(0.5);
        Some(until)
    }

    /// A price or amount, where money is compared and nothing says which.
    pub(super) fn price_of(&self, table: usize) -> Option<ColumnRef> {
        self.amount_of(table).or_else(|| {
            let columns = &self.index.tables[table].columns;
            let at = columns.iter().position(|it| {
                it.class.is_numeric()
                    && !it.is_id()
                    && it
                        .words
                        .last()
                        .is_some_and(|it| it == "price" || it == "amount" || it == "total")
            })?;
            Some(ColumnRef::new(table, at))
        })
    }

    /// `with lamp in the name`
    pub(super) fn read_within_name(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        if !matches!(self.word(at), "with" | "having" | "have" | "has") || at == 0 {
            return None;
        }
        let mut first = at + 1;
        while first < end
            && !self.items[first].quoted
            && (matches!(self.word(first), "the" | "word" | "a" | "an")
                || matches!(
                    self.word(first),
                    "substring" | "string" | "text" | "letter" | "letters" | "phrase" | "keyword"
                ) && self.items.get(first + 1).is_some_and(|it| it.quoted))
        {
            first += 1;
        }
        let joins = (first + 1..end.min(first + 4)).find(|&it| self.word(it) == "in")?;
        let mut named = joins + 1;
        while matches!(
            self.word(named),
            "the" | "their" | "its" | "his" | "her" | "product" | "item"
        ) && named < end
        {
            named += 1;
        }
        if named >= end
            || !matches!(
                self.word(named).rsplit(' ').next(),
                Some("name" | "names" | "title" | "titles" | "description" | "subject" | "email")
            )
        {
            return None;
        }
        let texts: Vec<&str> = self.items[first..joins].iter().map(|it| it.text.as_str()).collect();
        let mut root = draft.root?;
        let named_there = |table: usize| {
            let info = &self.index.tables[table];
            info.display.iter().any(|it| {
                let it = &info.columns[*it];
                let number = it.words.last().is_some_and(|it| it == "number" || it == "code");
                it.class.is_textual() && !it.is_id() && !number
            })
        };
        // `items with … in the name`: what a line is of
        if !named_there(root)
            && matches!(
                draft.asked.as_slice(),
                [] | [Asked::Rows(_) | Asked::Count { column: None, .. }]
            )
        {
            let beside: Vec<usize> = self.index.edges_of[root]
                .iter()
                .map(|it| &self.index.edges[*it])
                .filter(|it| it.from == root && named_there(it.to))
                .map(|it| it.to)
                .collect();
            if let [one] = beside.as_slice() {
                let counts = draft.counts();
                root = *one;
                draft.root = Some(root);
                draft.asked = vec![if counts {
                    Asked::Count { table: Some(root), column: None, distinct: false }
                } else {
                    Asked::Rows(root)
                }];
                self.spent.extend(0..at);
            }
        }
        let word = self.word(named).rsplit(' ').next().unwrap_or("name");
        let lemma = crate::lexicon::LEXICON.lemma(word);
        let info = &self.index.tables[root];
        let column = info
            .columns
            .iter()
            .position(|it| {
                it.class.is_textual()
                    && it.words.last().is_some_and(|it| *it == lemma)
                    && !it.foreign
            })
            .or_else(|| info.display.first().copied())?;
        let negated = std::mem::take(&mut hand.negated);
        draft.add(
            Condition::Row(Predicate::Like {
                column: ColumnRef::new(root, column),
                pattern: format!("%{}%", texts.join(" ").replace('%', "\\%").replace('_', "\\_")),
                negated,
            }),
            std::mem::take(&mut hand.or),
        );
        hand.column = None;
        *mode = Mode::Where;
        Some(named + 1)
    }
}
