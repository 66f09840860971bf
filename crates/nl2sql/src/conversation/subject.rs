//! "What about refunds?", "and the revenue?": the same of something else.

use super::{
    Changed, Doubt, Talk,
    edit::{Edit, is_nested, mapped, mapped_all, multiplies, says_when},
};
use crate::logical::{
    Aggregate, ColumnRef, Comparison, Expr, Literal, LogicalQuery, OrderKey, Predicate,
};

impl Talk<'_> {
    /// The last answer with another subject or another measure; `None` if the words name neither.
    pub(super) fn subject(&self, what: std::ops::Range<usize>) -> Option<Result<Changed, Doubt>> {
        let links = self.names(what.clone());
        let best = links.first()?;
        let words = self.text(what).to_owned();
        if best.score < 0.8 {
            return None;
        }
        match best.column {
            None if Some(best.table) == self.past.query.root => None,
            None => Some(
                self.other_table(best.table, &words)
                    .or_else(|why| self.other_total(best.table, &words).ok_or(why)),
            ),
            Some(column) => {
                let class = self.index.tables[best.table].columns[column].class;
                class.is_numeric().then(|| self.other_measure(&words))
            }
        }
    }

    fn other_measure(&self, words: &str) -> Result<Changed, Doubt> {
        let past = &self.past.query;
        let (_, roots) = self.root().ok_or_else(|| self.unknown(words))?;
        let at: Vec<usize> =
            (0..past.select.len()).filter(|it| past.select[*it].is_aggregate()).collect();
        let [at] = at.as_slice() else { return Err(self.unknown(words)) };
        let reading =
            self.read(&format!("total {words} of {roots}")).ok_or_else(|| self.unknown(words))?;
        let [measure] = reading.query.select.as_slice() else { return Err(self.unknown(words)) };
        if !measure.is_aggregate() || !past.per.is_empty() || is_nested(past) {
            return Err(self.unknown(words));
        }
        let mut select = past.select.clone();
        let before = std::mem::replace(&mut select[*at], measure.clone());
        let order = past.order.iter().map(|it| {
            let by = if it.by == before { measure.clone() } else { it.by.clone() };
            OrderKey { by, descending: it.descending }
        });
        let mut filter = past.filter.clone();
        for it in &reading.query.filter {
            if !filter.contains(it) {
                filter.push(it.clone());
            }
        }
        let shape = Edit::Shape {
            select,
            group: past.group.clone(),
            having: past.having.clone(),
            distinct: past.distinct,
        };
        let order = order.collect();
        let mut changed = self.edited([shape, Edit::Order(order), Edit::Conditions(filter)]);
        if multiplies(self.index, &changed.query) {
            return Err(Doubt::new(format!("“{words}” would count too often here; ask in full.")));
        }
        changed.confidence = reading.confidence;
        changed.assumptions = reading.assumptions;
        changed.assumptions.push(format!("The {words} is summed up."));
        Ok(changed)
    }

    fn other_table(&self, table: usize, words: &str) -> Result<Changed, Doubt> {
        let past = &self.past.query;
        let root = past.root.ok_or_else(|| self.unknown(words))?;
        if is_nested(past) || past.set.is_some() || !past.per.is_empty() || past.outer {
            return Err(Doubt::new(format!(
                "The last answer cannot be said of {words} as it is; ask in full."
            )));
        }
        let moment = self.moment_of(table, words);
        let own = &self.index.tables[root];
        let other = &self.index.tables[table];
        let display = |of: usize| -> Vec<Expr> {
            let columns = self.index.tables[of].display.iter();
            columns.map(|it| Expr::Column(ColumnRef::new(of, *it))).collect()
        };
        let mut lost: Option<String> = None;
        let mut counterpart = |it: ColumnRef| {
            if it.table != root || it.role != 0 {
                // what lies beside the last subject may lie beside the new one too
                return Some(it);
            }
            let column = &own.columns[it.column];
            let same = other.columns.iter().position(|there| {
                there.name == column.name && there.class == column.class && !there.is_id()
            });
            let found = match same {
                Some(at) => Some(ColumnRef::new(table, at)),
                None if column.class.is_temporal() => moment,
                None => None,
            };
            if found.is_none() {
                lost = Some(format!("{}.{}", own.name, column.name));
            }
            found
        };
        let select = if past.select == display(root) {
            Some(display(table))
        } else {
            past.select.iter().map(|it| mapped(it, &mut counterpart)).collect()
        };
        let group: Option<Vec<Expr>> =
            past.group.iter().map(|it| mapped(it, &mut counterpart)).collect();
        let having = mapped_all(&past.having, &mut counterpart);
        let filter: Option<Vec<Predicate>> = past
            .filter
            .iter()
            .map(|it| {
                if let (true, Some(moment)) = (says_when(self.index, it), moment) {
                    return super::edit::mapped_condition(it, &mut |_| Some(moment));
                }
                super::edit::mapped_condition(it, &mut counterpart)
            })
            .collect();
        let order: Option<Vec<OrderKey>> = past
            .order
            .iter()
            .map(|it| {
                let by = mapped(&it.by, &mut counterpart)?;
                Some(OrderKey { by, descending: it.descending })
            })
            .collect();
        let (Some(select), Some(group), Some(having), Some(filter), Some(order)) =
            (select, group, having, filter, order)
        else {
            let lost = lost.unwrap_or_else(|| "what was asked".to_owned());
            return Err(Doubt::new(format!(
                "The last answer used {lost}, which {words} do not have; ask for what you want in full."
            )));
        };
        let query = LogicalQuery {
            select,
            distinct: past.distinct,
            root: Some(table),
            also: Vec::new(),
            filter,
            group,
            having,
            order,
            limit: past.limit,
            ..LogicalQuery::default()
        };
        if multiplies(self.index, &query) {
            return Err(Doubt::new(format!(
                "What was asked before does not lead to {words} one to one; ask in full."
            )));
        }
        let mut changed = self.edited([Edit::Whole(Box::new(query))]);
        changed.confidence = 0.9;
        Ok(changed)
    }

    /// The sum of what another table's rows are worth, at the same time, after a sum of money whose conditions are its own:
    /// `what about refunds?` after the revenue of a year.
    fn other_total(&self, table: usize, words: &str) -> Option<Changed> {
        let past = &self.past.query;
        let root = past.root?;
        let summed = matches!(
            past.select.as_slice(),
            [Expr::Aggregate { function: Aggregate::Sum, filter: None, .. }]
        );
        if !summed || !past.group.is_empty() || is_nested(past) || past.limit.is_some() {
            return None;
        }
        // which rows count was said by what is written about them, not by the question
        let described =
            format!("rows of {} count as its description says", self.index.tables[root].name);
        let own = |it: &&Predicate| {
            matches!(it, Predicate::Compare(Expr::Column(column), Comparison::NotEqual, Expr::Literal(Literal::Text(_)))
                if column.table == root)
        };
        let (when, what): (Vec<&Predicate>, Vec<&Predicate>) =
            past.filter.iter().partition(|it| says_when(self.index, it));
        if !what.iter().all(own) || !what.is_empty() && !self.past.assumptions.contains(&described)
        {
            return None;
        }
        let reading = self.read(&format!("total {words}"))?;
        let mut query = reading.query;
        let plain = query.root == Some(table)
            && query.group.is_empty()
            && query.order.is_empty()
            && matches!(
                query.select.as_slice(),
                [Expr::Aggregate { function: Aggregate::Sum, .. }]
            );
        if !plain {
            return None;
        }
        if !when.is_empty() {
            let moment = self.moment_of(table, words)?;
            for it in when {
                query.filter.push(super::edit::mapped_condition(it, &mut |_| Some(moment))?);
            }
        }
        let mut changed = self.edited([Edit::Whole(Box::new(query))]);
        changed.confidence = reading.confidence;
        changed.assumptions = reading.assumptions;
        changed.assumptions.push(format!("The {words} are summed up."));
        Some(changed)
    }

    /// The moment that tells when a row of a table happened: its only one, or that which the engine takes.
    fn moment_of(&self, table: usize, words: &str) -> Option<ColumnRef> {
        let columns = &self.index.tables[table].columns;
        let temporal: Vec<usize> =
            (0..columns.len()).filter(|it| columns[*it].class.is_temporal()).collect();
        if let [one] = temporal.as_slice() {
            return Some(ColumnRef::new(table, *one));
        }
        let reading = self.read(&format!("number of {words} last month"))?;
        let mut found = None;
        for it in &reading.query.filter {
            if says_when(self.index, it) {
                it.columns(&mut |it| found = found.or(Some(it)));
            }
        }
        found.filter(|it| it.table == table)
    }
}
