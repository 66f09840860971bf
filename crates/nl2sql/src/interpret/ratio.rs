//! `the ratio of A to B`: two numbers of rows or sums, one divided by the other.

use super::{Asked, Condition, Draft, GroupKey, Hand, Interpreter, Mode, resolve::Want};
use crate::logical::{
    Aggregate, Arithmetic, ColumnRef, Expr, Literal, LogicalQuery, Predicate, TimeUnit,
};

/// What ends the second number: how rows are told apart, or in which order they come.
const TAILS: [&str; 14] = [
    "for each",
    "in each",
    "within each",
    "for every",
    "in every",
    "by each",
    "per",
    "of each",
    "for all",
    "grouped by",
    "split by",
    "broken down by",
    "across different",
    "across the different",
];

impl Interpreter<'_> {
    /// `the ratio of A to B`, `the ratio of A out of all B`, each with conditions of its own.
    pub(super) fn read_ratio(
        &mut self,
        draft: &mut Draft,
        hand: &mut Hand,
        mode: &mut Mode,
        at: usize,
        end: usize,
    ) -> Option<usize> {
        let proportion = self.word(at) == "proportion"
            && (at + 2..end).any(|it| self.word(it) == "to" && self.weighs_against(it));
        if self.word(at) != "ratio" && !proportion
            || !matches!(self.word(at + 1), "of" | "between")
            || self.is_name(at)
        {
            return None;
        }
        let joiner = if self.word(at + 1) == "between" { "and" } else { "to" };
        let against = (at + 2..end).find(|&it| self.word(it) == "to" && self.weighs_against(it));
        let middle = against.filter(|_| joiner == "to").or_else(|| {
            (at + 2..end).find(|&it| {
                self.word(it) == joiner
                    || matches!(self.word(it), "per" | "over")
                    || self.says(it, "out of")
            })
        })?;
        let second = middle + if self.word(middle) == "out" { 2 } else { 1 };
        let until = (second..end).find(|&it| self.ends_ratio(it)).unwrap_or(end);
        let left = self.side(at + 2, middle, draft.root);
        let right = self.side(second, until, left.root.or(draft.root));
        let varied = self.varies(until);
        let grouped = until < end && !self.starts_order(until) && !self.marked(until, ',')
            || !left.groups.is_empty();
        let of_all = self.word(middle) == "out"
            || (second..until).any(|it| matches!(self.word(it), "total" | "all" | "overall"));
        let (own, common) = parted(&left, &right, of_all);
        let counted = |it: &Draft| match it.asked.first() {
            Some(Asked::Rows(table) | Asked::Count { table: Some(table), column: None, .. }) => {
                Some(*table)
            }
            _ => None,
        };
        let apart = matches!((counted(&left), counted(&right)), (Some(a), Some(b)) if a != b);
        let several = apart || right.joins.len() + left.joins.len() > 0;
        let above = self.term(&left, &left.conditions, several, grouped);
        let below = self.term(&right, &own, several, grouped);
        // of the whole, whatever group the first number is of
        let whole = !left.groups.is_empty() && right.groups.is_empty() && own.is_empty() && of_all;
        let (above, below) = if whole {
            (above, alone(&below, right.root.or(left.root)))
        } else if apart && !grouped && common.is_empty() {
            (alone(&above, counted(&left)), alone(&below, counted(&right)))
        } else {
            (above, below)
        };
        if draft.root.is_none() || apart {
            draft.root = counted(&left).or(left.root);
        }
        for (condition, or) in common {
            draft.add(condition, or);
        }
        for key in left.groups {
            if !draft.groups.contains(&key) {
                draft.groups.push(key);
            }
        }
        draft.asked.retain(|it| !matches!(it, Asked::Rows(_)));
        draft.ask(Asked::Expr(Expr::Arithmetic(
            Arithmetic::Divide,
            Box::new(above),
            Box::new(below),
        )));
        hand.count = false;
        *mode = Mode::Select;
        if let Some(next) = varied {
            return Some(self.varying(draft, until, next));
        }
        Some(until)
    }

    /// Whether "to" leads to the second number rather than belonging to a verb: `papers that belong to one set to papers …`.
    fn weighs_against(&self, at: usize) -> bool {
        let next = self.skip_determiners(at + 1);
        let verb = matches!(
            self.word(at - 1),
            "belong"
                | "belongs"
                | "belonging"
                | "related"
                | "assigned"
                | "go"
                | "goes"
                | "went"
                | "refer"
                | "refers"
                | "linked"
                | "sold"
                | "sent"
                | "up"
                | "close"
                | "next"
        );
        !verb
            && (self.table_at(next).is_some()
                || self.is_value(next)
                || self
                    .one_of(next, &["number of", "total number of", "count of", "total"])
                    .is_some()
                || self.is_name(next))
    }

    /// Whether what stands there is no part of the second number.
    fn ends_ratio(&self, at: usize) -> bool {
        let by = self.word(at) == "by"
            && (self.is_name(at + 1) || self.bucket(at + 1).is_some())
            && !self.word(at - 1).ends_with("ed");
        by || self.one_of(at, &TAILS).is_some()
            || self.starts_order(at)
            || self.varies(at).is_some()
    }

    /// `vary across`, `change over`: where the words behind that begin.
    fn varies(&self, at: usize) -> Option<usize> {
        let verb = matches!(
            self.word(at),
            "vary" | "varies" | "differ" | "differs" | "change" | "changes" | "changed"
        );
        let preposition = matches!(
            self.word(at + 1),
            "across" | "over" | "by" | "between" | "among" | "with" | "from" | "per"
        );
        (verb && preposition).then_some(at + 2)
    }

    /// What the ratio varies with: its groups. Where it is not understood, the reader goes on behind the verb.
    fn varying(&mut self, draft: &mut Draft, from: usize, next: usize) -> usize {
        let mut item = self.skip_determiners(next);
        while matches!(self.word(item), "different" | "various" | "all" | "the")
            && !self.is_name(item)
        {
            item += 1;
        }
        let root = draft.root.unwrap_or(0);
        let key = if self.bucket(item) == Some(TimeUnit::Year)
            && let Some(column) = self.column_with(root, "year", Want::Any)
        {
            Some(GroupKey::Column(column))
        } else if let (Some(unit), Some(column)) = (self.bucket(item), self.moment_of(root, None)) {
            Some(GroupKey::Time(unit, column))
        } else if let Some(table) = self.table_at(item) {
            Some(GroupKey::Rows(table))
        } else {
            self.resolve(draft, item, Want::Any).map(GroupKey::Column)
        };
        let Some(key) = key else { return from + 1 };
        draft.groups.push(key);
        self.mark_used(from, item + 1);
        item + 1
    }

    /// One of the two numbers, read by itself.
    fn side(&mut self, from: usize, until: usize, root: Option<usize>) -> Draft {
        let mut sub = Draft { root, ..Draft::default() };
        self.scan(&mut sub, from, until, Mode::Select);
        self.mark_used(from, until);
        sub
    }

    /// What one side counts or sums up.
    fn term(
        &self,
        sub: &Draft,
        conditions: &[(Condition, bool)],
        several: bool,
        grouped: bool,
    ) -> Expr {
        let mut rows = Self::rows(conditions);
        let counted = match sub.asked.first() {
            Some(Asked::Rows(table) | Asked::Count { table: Some(table), column: None, .. }) => {
                Some(*table)
            }
            _ => None,
        };
        // `papers that have more than one author`: those of such a group
        for (condition, _) in conditions {
            let Condition::Group { of: GroupKey::Rows(table), having, joins } = condition else {
                continue;
            };
            let Some(key) = self.index.key_of(*table) else { continue };
            let query = LogicalQuery {
                select: vec![Expr::Column(key)],
                root: Some(*table),
                also: joins.iter().copied().collect(),
                group: vec![Expr::Column(key)],
                having: vec![having.clone()],
                ..LogicalQuery::default()
            };
            rows.push(Predicate::InQuery {
                columns: vec![key],
                query: Box::new(query),
                negated: false,
            });
        }
        if let Some(table) = counted {
            let partners: Vec<Predicate> =
                sub.joins.iter().filter_map(|it| self.partnered(table, *it, &rows)).collect();
            rows.extend(partners);
        }
        let filter = match rows.len() {
            0 => None,
            1 => Some(Box::new(rows.swap_remove(0))),
            _ => Some(Box::new(Predicate::And(rows))),
        };
        let tallied = counted.and_then(|it| self.index.tally(it));
        let (function, distinct, argument) = match sub.asked.first() {
            Some(Asked::Aggregate(function, expr)) => {
                (*function, false, Some(Box::new(expr.clone())))
            }
            Some(Asked::Column(column)) if filter.is_none() && !grouped => {
                return Expr::Column(*column);
            }
            Some(Asked::Column(column)) => {
                (Aggregate::Sum, false, Some(Box::new(Expr::Column(*column))))
            }
            Some(Asked::Count { column: Some(column), .. }) => {
                (Aggregate::Count, true, Some(Box::new(Expr::Column(*column))))
            }
            Some(Asked::Rows(table) | Asked::Count { table: Some(table), .. }) if several => {
                match self.index.key_of(*table) {
                    Some(key) => (Aggregate::Count, true, Some(Box::new(Expr::Column(key)))),
                    None => (Aggregate::Count, false, None),
                }
            }
            _ => (Aggregate::Count, false, None),
        };
        // each row of what is counted says for how many it stands
        if let Some(number) = tallied {
            let argument = Some(Box::new(Expr::Column(number)));
            return Expr::Aggregate { function: Aggregate::Sum, distinct: false, argument, filter };
        }
        Expr::Aggregate { function, distinct, argument, filter }
    }

    /// `publications presented in conferences`: that a row has a partner there; `None` where each has, or where a condition
    /// speaks of the partner anyway.
    fn partnered(&self, table: usize, partner: usize, rows: &[Predicate]) -> Option<Predicate> {
        let mut spoken = table == partner;
        for it in rows {
            it.columns(&mut |column| spoken |= column.table == partner);
        }
        if spoken {
            return None;
        }
        let refers = self.index.edges_from(table).find(|it| it.to == partner);
        if let Some(edge) = refers {
            let column = ColumnRef::new(table, *edge.from_columns.first()?);
            let nullable = self.index.column(column).nullable;
            return nullable.then_some(Predicate::Null { column, negated: true });
        }
        let [key] = self.index.tables[table].primary.as_slice() else { return None };
        let key = ColumnRef::new(table, *key);
        let query = LogicalQuery {
            select: vec![Expr::Column(key)],
            root: Some(table),
            also: vec![partner],
            ..LogicalQuery::default()
        };
        Some(Predicate::InQuery { columns: vec![key], query: Box::new(query), negated: false })
    }

    /// Whether a column says yes or no, as a truth value or as one and zero.
    pub(super) fn is_flag(&self, column: ColumnRef) -> bool {
        use plinth_schema_introspect::TypeClass;
        let info = self.index.column(column);
        let name = info.name.to_lowercase();
        let led = name.starts_with("is_") || name.starts_with("has_");
        let binary = !info.values.is_empty()
            && info.values.iter().all(|it| matches!(it.as_str(), "0" | "1"));
        info.class == TypeClass::Boolean
            || info.class == TypeClass::Integer
                && led
                && !info.is_id()
                && (binary || info.values.is_empty())
    }

    /// That a flag is set, or not.
    pub(super) fn flag(&self, column: ColumnRef, value: bool) -> Condition {
        if self.index.column(column).class == plinth_schema_introspect::TypeClass::Boolean {
            return Condition::flag(column, value);
        }
        let number = if value { 1.0 } else { 0.0 };
        Condition::Row(Predicate::Compare(
            Expr::Column(column),
            crate::logical::Comparison::Equal,
            Expr::Literal(Literal::Number(number)),
        ))
    }
}

/// A condition, and whether "or" joins it to the one before.
type Told = (Condition, bool);

/// Which conditions of the second number are its own, and which hold for both: those of other columns than the first number's
/// are common (`… in New York`), where any is left.
fn parted(left: &Draft, right: &Draft, of_all: bool) -> (Vec<Told>, Vec<Told>) {
    let columns = |all: &[Told]| {
        let mut found = Vec::new();
        for it in Interpreter::rows(all) {
            it.columns(&mut |column| found.push(column));
        }
        found
    };
    let known = columns(&left.conditions);
    let (own, common): (Vec<Told>, Vec<Told>) = right.conditions.iter().cloned().partition(|it| {
        known.is_empty()
            || columns(std::slice::from_ref(it)).iter().any(|column| known.contains(column))
    });
    if own.is_empty() && !known.is_empty() && !of_all { (common, own) } else { (own, common) }
}

/// A number of its own, over all rows of a table.
fn alone(number: &Expr, table: Option<usize>) -> Expr {
    let (select, filter) = match number {
        Expr::Aggregate { function: Aggregate::Count, filter, argument, .. } => {
            let mut rows = Vec::new();
            if let Some(it) = filter {
                rows.push(it.as_ref().clone());
            }
            let reads = rows.iter().any(|it| {
                let mut other = false;
                it.columns(&mut |column| other |= Some(column.table) != table);
                other
            });
            (if reads && argument.is_some() { only(number) } else { Expr::count() }, rows)
        }
        other => (other.clone(), Vec::new()),
    };
    Expr::Scalar(Box::new(LogicalQuery {
        select: vec![select],
        root: table,
        filter,
        ..LogicalQuery::default()
    }))
}

/// The same number without its filter.
fn only(number: &Expr) -> Expr {
    match number {
        Expr::Aggregate { function, distinct, argument, .. } => Expr::Aggregate {
            function: *function,
            distinct: *distinct,
            argument: argument.clone(),
            filter: None,
        },
        other => other.clone(),
    }
}
