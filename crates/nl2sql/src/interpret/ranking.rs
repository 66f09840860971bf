//! Rankings that name what they rank by: "top 3 by price", "most common".

use super::{
    Asked, Draft, GroupKey, Hand, Interpreter, Mode,
    draft::{OrderBy, Ordering},
    resolve::Want,
};
use crate::logical::{Aggregate, Expr};

impl Interpreter<'_> {
    pub(super) fn most_common(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        from: usize,
        end: usize,
        most: bool,
        limit: Option<u64>,
    ) -> Option<usize> {
        let mut next = from;
        // `the least popular kind of cover`
        if matches!(self.word(next), "kind" | "type" | "sort")
            && self.word(next + 1) == "of"
            && self.is_name(next + 2)
            && self.links(next).first().is_none_or(|it| it.score < 0.9)
        {
            self.mark_used(next, next + 2);
            next += 2;
        }
        while matches!(self.word(next), "used" | "the" | "of" | "type" | "kind")
            && !self.is_name(next)
            && next < end
        {
            next += 1;
        }
        let limit = Some(limit.unwrap_or(1));
        if next < end && self.is_name(next) {
            let key = match self.table_at(next) {
                Some(table) => {
                    draft.ask(Asked::Rows(table));
                    GroupKey::Rows(table)
                }
                None => {
                    let column = self.resolve(draft, next, Want::Any)?;
                    let asked = draft.asked.iter().any(|it| {
                        matches!(it, Asked::Column(it) if *it != column)
                            || matches!(
                                it,
                                Asked::Rows(_) | Asked::Count { .. } | Asked::Aggregate(..)
                            )
                    });
                    if asked && (*mode == Mode::Where || draft.asks_something()) {
                        // rows with the value that occurs most
                        let nested = crate::logical::LogicalQuery {
                            select: vec![Expr::Column(column)],
                            root: Some(column.table),
                            group: vec![Expr::Column(column)],
                            order: vec![crate::logical::OrderKey {
                                by: Expr::count(),
                                descending: most,
                            }],
                            limit: Some(1),
                            ..crate::logical::LogicalQuery::default()
                        };
                        let predicate = crate::logical::Predicate::Compare(
                            Expr::Column(column),
                            crate::logical::Comparison::Equal,
                            Expr::Scalar(Box::new(nested)),
                        );
                        draft.add(super::Condition::Row(predicate), std::mem::take(&mut hand.or));
                        self.mark_used(next, next + 1);
                        hand.column = None;
                        return Some(next + 1);
                    }
                    if !draft.asks_something() || *mode == Mode::Select {
                        draft.ask(Asked::Column(column));
                    }
                    GroupKey::Column(column)
                }
            };
            self.mark_used(next, next + 1);
            let counted = match key {
                GroupKey::Rows(table) => (table_partner(self, draft, table)).or(None),
                _ => None,
            };
            draft.order.push(Ordering { by: OrderBy::Count(counted), descending: most });
            draft.ranked = Some(key);
            draft.limit = limit;
            hand.column = None;
            return Some(next + 1);
        }
        let of = self.subject(draft);
        let counted = match of {
            GroupKey::Rows(table) => table_partner(self, draft, table),
            _ => None,
        };
        draft.order.push(Ordering { by: OrderBy::Count(counted), descending: most });
        draft.ranked = Some(of);
        draft.limit = limit;
        *mode = Mode::Where;
        Some(next)
    }

    /// `top 3 products by price`
    #[expect(clippy::too_many_arguments, reason = "a ranking has that many parts")]
    pub(super) fn top(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        start: usize,
        end: usize,
        top: bool,
        limit: Option<u64>,
    ) -> Option<usize> {
        let _ = (mode, &hand);
        // what it is ranked by stands behind "by", "with the highest", "in terms of"; otherwise these are just the first rows
        let by = (start..end).find(|&it| {
            matches!(self.word(it), "by" | "based")
                || self.says(it, "in terms of")
                || self.says(it, "ranked by")
        });
        draft.limit = limit;
        let kind = self.kind_at(draft, start);
        let groups = |rows: usize| kind.clone().unwrap_or(GroupKey::Rows(rows));
        if let Some(by) = by {
            let mut item = by + 1;
            while matches!(
                self.word(item),
                "by" | "on"
                    | "terms"
                    | "of"
                    | "the"
                    | "their"
                    | "its"
                    | "total"
                    | "average"
                    | "highest"
                    | "most"
                    | "overall"
                    | "number"
                    | "count"
                    | "sum"
            ) && !self.is_name(item)
            {
                item += 1;
            }
            let words: Vec<&str> = (by..item).map(|it| self.word(it)).collect();
            let function = if words.contains(&"average") {
                Some(Aggregate::Avg)
            } else if words.contains(&"total") || words.contains(&"sum") {
                Some(Aggregate::Sum)
            } else {
                None
            };
            if self.asks_for_earnings(item)
                && let Some(measure) = self.earnings(draft)
            {
                let sum = Expr::aggregate(Aggregate::Sum, measure.amount.clone());
                draft.order.push(Ordering { by: OrderBy::Expr(sum), descending: top });
                draft.ranked = Some(groups(draft.root?));
                self.count_only(draft, &measure);
                self.mark_used(by, item + 1);
                self.blank(by, item + 1);
                return Some(start);
            }
            let counted = words.contains(&"number") || words.contains(&"count");
            if let Some(table) = self.table_at(item)
                && (counted || function.is_none())
            {
                if draft.root.is_some_and(|it| it != table) {
                    draft.event = Some(table);
                }
                draft.order.push(Ordering { by: OrderBy::Count(Some(table)), descending: top });
                draft.ranked = Some(groups(draft.root.unwrap_or(table)));
                self.used[item] = true;
                self.blank(by, item + 1);
                return Some(start);
            }
            if item < end && self.is_name(item) {
                let column = self.resolve(draft, item, Want::Number)?;
                let root = draft.root.unwrap_or(column.table);
                let mut expr = Expr::Column(column);
                if let Some(function) = function {
                    expr = Expr::aggregate(function, expr);
                    if column.table != root {
                        draft.event = Some(column.table);
                    }
                    draft.ranked = Some(groups(root));
                } else if column.table != root && !self.single(root, column.table) {
                    expr = Expr::aggregate(Aggregate::Sum, expr);
                    draft.ranked = Some(groups(root));
                }
                draft.order.push(Ordering { by: OrderBy::Expr(expr), descending: top });
                self.mark_used(by, item + 1);
                self.blank(by, item + 1);
                return Some(start);
            }
        }
        Some(start)
    }

    /// `top 5 countries by …`: a kind that rows are of, rather than what they are known by.
    fn kind_at(&self, draft: &Draft, at: usize) -> Option<GroupKey> {
        if !self.is_name(at) || self.table_at(at).is_some() {
            return None;
        }
        let column = self.resolve_quietly(draft, at, Want::Any)?;
        let info = self.index.column(column);
        let table = &self.index.tables[column.table];
        let known = table.display.contains(&column.column) || info.primary || info.unique;
        (info.class.is_textual() && !known).then_some(GroupKey::Column(column))
    }
}

/// The table whose rows are counted when the rows of `table` are ranked by how often they occur.
fn table_partner(this: &Interpreter<'_>, draft: &Draft, table: usize) -> Option<usize> {
    draft.joins.iter().copied().find(|it| *it != table).or_else(|| {
        let referring: Vec<usize> = this
            .index
            .edges
            .iter()
            .filter(|it| it.to == table && it.from != table)
            .map(|it| it.from)
            .collect();
        referring
            .iter()
            .copied()
            .max_by(|a, b| this.weight[*a].total_cmp(&this.weight[*b]).then(b.cmp(a)))
    })
}
