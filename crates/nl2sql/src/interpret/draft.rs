//! What the reader makes of a question before it becomes a logical query.

use crate::logical::{Aggregate, ColumnRef, Comparison, Expr, Literal, Predicate, TimeUnit};

/// Something that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Asked {
    /// A column.
    Column(ColumnRef),
    /// The rows of a table themselves, by what people know them by.
    Rows(usize),
    /// Everything that is known of the rows of a table.
    Everything(usize),
    /// How many.
    Count { table: Option<usize>, column: Option<ColumnRef>, distinct: bool },
    /// An aggregate of a column.
    Aggregate(Aggregate, Expr),
    /// Something computed.
    Expr(Expr),
}

/// One condition on rows or groups.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition {
    /// On rows.
    Row(Predicate),
    /// On groups: of which table (its rows are the groups), and what.
    Group { of: GroupKey, having: Predicate, joins: Option<usize> },
}

impl Condition {
    pub(crate) fn flag(column: ColumnRef, value: bool) -> Self {
        Self::Row(Predicate::Compare(
            Expr::Column(column),
            Comparison::Equal,
            Expr::Literal(Literal::Boolean(value)),
        ))
    }
}

/// What rows are grouped by.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum GroupKey {
    /// By a column.
    Column(ColumnRef),
    /// By the rows of a table.
    Rows(usize),
    /// By the rows of a table that its rows belong to.
    Parent(usize),
    /// By steps of time.
    Time(TimeUnit, ColumnRef),
    /// By a part of a moment (`isodow`).
    Part(&'static str, ColumnRef),
}

impl GroupKey {
    pub(crate) fn table(&self) -> usize {
        match self {
            Self::Column(it) | Self::Time(_, it) | Self::Part(_, it) => it.table,
            Self::Rows(table) | Self::Parent(table) => *table,
        }
    }
}

/// Another column that an item could mean, nearly as well as the one that was taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rival {
    pub(crate) item: usize,
    pub(crate) column: ColumnRef,
    /// By how much it lacks.
    pub(crate) by: f64,
}

/// What makes a reading less sure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Note {
    /// An item of that position had no part in it.
    Idle(usize),
    /// Two meanings of that item were nearly equally good: by so much apart.
    Close(usize, f64),
    /// A weak link was used.
    Weak(f64),
    /// A value stands nowhere in the samples.
    Unseen(usize),
    /// Something was assumed; words for people.
    Assumed(String),
    /// The reader met a construction that it only half understands.
    Doubt(&'static str),
}

/// How the rows are ordered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ordering {
    pub(crate) by: OrderBy,
    pub(crate) descending: bool,
}

/// By what.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum OrderBy {
    Expr(Expr),
    /// How many rows of that table (or of any) belong to each.
    Count(Option<usize>),
    /// What is asked for first.
    First,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    /// What the question is about.
    pub(crate) root: Option<usize>,
    pub(crate) asked: Vec<Asked>,
    /// Which item asked for which column.
    pub(crate) asked_at: Vec<(usize, ColumnRef)>,
    pub(crate) distinct: bool,
    /// Conditions, each with whether "or" joins it to the one before.
    pub(crate) conditions: Vec<(Condition, bool)>,
    pub(crate) groups: Vec<GroupKey>,
    pub(crate) order: Vec<Ordering>,
    pub(crate) limit: Option<u64>,
    /// Tables whose rows must be there.
    pub(crate) joins: Vec<usize>,
    /// Question words that ask for a column by implication.
    pub(crate) implied: Vec<&'static str>,
    pub(crate) who: bool,
    /// Whether it reads a further sentence of a question.
    pub(crate) follow_up: bool,
    /// Whether "both" stood: conditions on one column hold for different rows.
    pub(crate) both: bool,
    /// Share of those under these conditions: everything before belongs to the base.
    pub(crate) percentage: Option<usize>,
    /// Of each group the first rows only.
    pub(crate) per_group: bool,
    /// Where in the conditions a superlative stood: the limited ranking applies to groups of this.
    pub(crate) ranked: Option<GroupKey>,
    /// The table of what is summed up or ranked by: an expression of time says when that happened.
    pub(crate) event: Option<usize>,
    /// Whether rows stay that have no partner in the tables joined.
    pub(crate) outer: bool,
}

impl Draft {
    pub(crate) fn ask(&mut self, asked: Asked) {
        if !self.asked.contains(&asked) {
            self.asked.push(asked);
        }
    }

    pub(crate) fn add(&mut self, condition: Condition, or: bool) {
        let or = or && !self.conditions.is_empty();
        if !self.conditions.iter().any(|it| it.0 == condition) {
            self.conditions.push((condition, or));
        }
    }

    pub(crate) fn join(&mut self, table: usize) {
        if !self.joins.contains(&table) {
            self.joins.push(table);
        }
    }

    pub(crate) fn asks_something(&self) -> bool {
        !self.asked.is_empty() || self.who || !self.implied.is_empty()
    }

    pub(crate) fn counts(&self) -> bool {
        self.asked.iter().any(|it| matches!(it, Asked::Count { .. }))
    }

    pub(crate) fn aggregates(&self) -> bool {
        self.asked.iter().any(|it| match it {
            Asked::Count { .. } | Asked::Aggregate(..) => true,
            Asked::Expr(it) => it.is_aggregate(),
            _ => false,
        })
    }

    /// Takes in what a further sentence says: whether it asks for something, and whether it does so beside what was asked.
    pub(crate) fn absorb(&mut self, more: Self, requests: bool, adds: bool) {
        if !more.asked.is_empty() {
            // `which of them …? List their names.`
            let anew = requests
                && more.asked.iter().any(|it| !matches!(it, Asked::Rows(_) | Asked::Everything(_)))
                && (more.aggregates() || !self.aggregates());
            if anew {
                self.asked.clear();
            }
            let only_rows = self.asked.iter().all(|it| matches!(it, Asked::Rows(_)));
            let same_rows = more.asked.iter().all(|it| matches!(it, Asked::Rows(_)));
            // `which film …? And what is its rate?`: both
            if only_rows && !same_rows && !adds {
                self.asked = more.asked;
            } else if !same_rows {
                for it in more.asked {
                    self.ask(it);
                }
            }
        }
        self.distinct |= more.distinct;
        for (condition, or) in more.conditions {
            self.add(condition, or);
        }
        for it in more.groups {
            if !self.groups.contains(&it) {
                self.groups.push(it);
            }
        }
        if self.order.is_empty() {
            self.order = more.order;
        }
        if self.limit.is_none() {
            self.limit = more.limit;
        }
        if self.ranked.is_none() {
            self.ranked = more.ranked;
        }
        for it in more.joins {
            self.join(it);
        }
        self.who |= more.who;
        self.both |= more.both;
        self.outer |= more.outer;
    }
}
