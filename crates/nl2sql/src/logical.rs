//! The typed logical query that stands between language and SQL.
//!
//! It names tables and columns by their position in the [`SchemaIndex`](crate::SchemaIndex), says nothing of joins
//! (the planner finds them) and nothing of syntax (the renderer writes it).

use serde::{Deserialize, Serialize};

/// A column, in one role of its table. Role 0 is the ordinary one; others appear in joins of a table with itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ColumnRef {
    /// The table's position in the index.
    pub table: usize,
    /// The column's position in that table.
    pub column: usize,
    /// Which instance of the table.
    pub role: u8,
}

impl ColumnRef {
    /// A column in its table's ordinary role.
    pub fn new(table: usize, column: usize) -> Self {
        Self { table, column, role: 0 }
    }
}

/// A function over groups of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Aggregate {
    /// How many.
    Count,
    /// Their sum.
    Sum,
    /// Their mean.
    Avg,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// The one in the middle.
    Median,
}

/// A function over the rows of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WindowFunction {
    /// The sum of all rows so far.
    Running,
    /// The value of the row before.
    Before,
    /// The mean of all rows of the same kind.
    Mean,
    /// The sum of all rows of the same kind.
    Whole,
    /// The place in that order; equals share one.
    Rank,
    /// The mean of so many rows: this one and those before it.
    Moving(u16),
}

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TimeUnit {
    /// One hour.
    Hour,
    /// One day.
    Day,
    /// From Monday.
    Week,
    /// One month.
    Month,
    /// Three months.
    Quarter,
    /// One year.
    Year,
}

impl TimeUnit {
    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }
}

/// A moment, fixed or relative to the moment of asking.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Moment {
    /// A day, at its beginning.
    Day(jiff::civil::Date),
    /// The beginning of the current unit, moved by so many units.
    Start(TimeUnit, i64),
    /// Now, moved by so many units.
    Now(TimeUnit, i64),
}

/// A value in a query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Literal {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// Yes or no.
    Boolean(bool),
    /// A moment.
    Moment(Moment),
    /// A length of time in seconds, as `7 days`.
    Interval(i64, TimeUnit),
}

/// Arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Arithmetic {
    /// Sum.
    Add,
    /// Difference.
    Subtract,
    /// Product.
    Multiply,
    /// Quotient, never of integers.
    Divide,
}

/// An expression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Expr {
    /// A column's value.
    Column(ColumnRef),
    /// An aggregate; of every row where the argument is `None`.
    Aggregate {
        /// Which.
        function: Aggregate,
        /// Over distinct values only.
        distinct: bool,
        /// Of what.
        argument: Option<Box<Expr>>,
        /// Only of rows of which this holds.
        filter: Option<Box<Predicate>>,
    },
    /// A value.
    Literal(Literal),
    /// Arithmetic over two expressions.
    Arithmetic(Arithmetic, Box<Expr>, Box<Expr>),
    /// The beginning of the unit of time in which a moment lies.
    Bucket(TimeUnit, Box<Expr>),
    /// A part of a moment: year, month, day, `isodow`, hour.
    Part(#[serde(deserialize_with = "part")] PartName, Box<Expr>),
    /// The single value of another query.
    Scalar(Box<LogicalQuery>),
    /// `100 * a / b`, null where b is 0.
    Percentage(Box<Expr>, Box<Expr>),
    /// Every column of every table of the query's root.
    Everything(usize),
    /// The time from one moment to another, counted in a unit; as it is where there is none.
    Duration {
        /// From when.
        from: Box<Expr>,
        /// Until when.
        to: Box<Expr>,
        /// Counted in.
        unit: Option<TimeUnit>,
    },
    /// A function over the rows of the answer itself.
    Window {
        /// Which.
        function: WindowFunction,
        /// Of what; `None` for a rank.
        argument: Option<Box<Expr>>,
        /// Rows of one kind are those that are alike in these.
        partition: Vec<Expr>,
        /// In which order.
        order: Vec<OrderKey>,
    },
    /// What the query it is read from (`source`) shows at that place.
    Output(usize),
}

impl Expr {
    /// `count(*)`.
    pub fn count() -> Self {
        Self::Aggregate {
            function: Aggregate::Count,
            distinct: false,
            argument: None,
            filter: None,
        }
    }

    /// An aggregate of an expression.
    pub fn aggregate(function: Aggregate, argument: Self) -> Self {
        Self::Aggregate {
            function,
            distinct: false,
            argument: Some(Box::new(argument)),
            filter: None,
        }
    }

    /// Whether an aggregate stands in it.
    pub fn is_aggregate(&self) -> bool {
        match self {
            Self::Aggregate { .. } | Self::Window { .. } => true,
            Self::Duration { from, to, .. } => from.is_aggregate() || to.is_aggregate(),
            Self::Arithmetic(_, a, b) | Self::Percentage(a, b) => {
                a.is_aggregate() || b.is_aggregate()
            }
            Self::Bucket(_, it) | Self::Part(_, it) => it.is_aggregate(),
            Self::Column(_)
            | Self::Literal(_)
            | Self::Scalar(_)
            | Self::Everything(_)
            | Self::Output(_) => false,
        }
    }

    /// Calls `f` with every column of this query (not of nested ones).
    pub fn columns(&self, f: &mut impl FnMut(ColumnRef)) {
        match self {
            Self::Column(it) => f(*it),
            Self::Aggregate { argument, filter, .. } => {
                if let Some(it) = argument {
                    it.columns(f);
                }
                if let Some(it) = filter {
                    it.columns(f);
                }
            }
            Self::Arithmetic(_, a, b) | Self::Percentage(a, b) => {
                a.columns(f);
                b.columns(f);
            }
            Self::Bucket(_, it) | Self::Part(_, it) => it.columns(f),
            Self::Duration { from, to, .. } => {
                from.columns(f);
                to.columns(f);
            }
            Self::Window { argument, partition, order, .. } => {
                if let Some(it) = argument {
                    it.columns(f);
                }
                partition.iter().for_each(|it| it.columns(f));
                order.iter().for_each(|it| it.by.columns(f));
            }
            Self::Literal(_) | Self::Scalar(_) | Self::Everything(_) | Self::Output(_) => {}
        }
    }
}

/// The name of a part of a moment. An alias, because serde would want to borrow what is written as a reference.
type PartName = &'static str;

/// The parts of a moment that a query may ask for.
const PARTS: [&str; 10] =
    ["year", "quarter", "month", "week", "day", "doy", "dow", "isodow", "hour", "minute"];

fn part<'de, D: serde::Deserializer<'de>>(from: D) -> Result<PartName, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(from)?;
    let known = PARTS.into_iter().find(|it| *it == text);
    known.ok_or_else(|| serde::de::Error::custom("no part of a moment"))
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Comparison {
    /// Equal.
    Equal,
    /// Not equal.
    NotEqual,
    /// Less.
    Less,
    /// Less or equal.
    AtMost,
    /// Greater.
    Greater,
    /// Greater or equal.
    AtLeast,
}

impl Comparison {
    /// As SQL writes it.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }

    /// What holds where this does not.
    #[must_use]
    pub fn negated(self) -> Self {
        match self {
            Self::Equal => Self::NotEqual,
            Self::NotEqual => Self::Equal,
            Self::Less => Self::AtLeast,
            Self::AtMost => Self::Greater,
            Self::Greater => Self::AtMost,
            Self::AtLeast => Self::Less,
        }
    }
}

/// What a row or group must be like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Predicate {
    /// A comparison.
    Compare(Expr, Comparison, Expr),
    /// Between two values, both included.
    Between(Expr, Expr, Expr),
    /// A text that matches a pattern, whatever its case.
    Like {
        /// Which text.
        column: ColumnRef,
        /// With `%` and `_`.
        pattern: String,
        /// Whether it must not match.
        negated: bool,
    },
    /// Null, or not.
    Null {
        /// Which column.
        column: ColumnRef,
        /// Whether it must not be null.
        negated: bool,
    },
    /// A moment from one (included) until another (excluded).
    During {
        /// Which moment.
        moment: Expr,
        /// From here.
        from: Option<Moment>,
        /// Until here.
        until: Option<Moment>,
    },
    /// Among the values of another query, or not.
    InQuery {
        /// What.
        columns: Vec<ColumnRef>,
        /// Among these.
        query: Box<LogicalQuery>,
        /// Whether it must not be among them.
        negated: bool,
    },
    /// All of these.
    And(Vec<Predicate>),
    /// One of these.
    Or(Vec<Predicate>),
    /// Not this.
    Not(Box<Predicate>),
}

impl Predicate {
    /// Calls `f` with every column of this query (not of nested ones).
    pub fn columns(&self, f: &mut impl FnMut(ColumnRef)) {
        match self {
            Self::Compare(a, _, b) => {
                a.columns(f);
                b.columns(f);
            }
            Self::Between(a, b, c) => {
                a.columns(f);
                b.columns(f);
                c.columns(f);
            }
            Self::Like { column, .. } | Self::Null { column, .. } => f(*column),
            Self::During { moment, .. } => moment.columns(f),
            Self::InQuery { columns, .. } => columns.iter().copied().for_each(f),
            Self::And(all) | Self::Or(all) => all.iter().for_each(|it| it.columns(f)),
            Self::Not(it) => it.columns(f),
        }
    }
}

/// A key of an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderKey {
    /// By what.
    pub by: Expr,
    /// From the greatest.
    pub descending: bool,
}

/// How two queries are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SetOperation {
    /// In both.
    Intersect,
    /// In the first only.
    Except,
    /// In either.
    Union,
}

/// A query, as the question means it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LogicalQuery {
    /// What is answered, in order.
    pub select: Vec<Expr>,
    /// Each row once.
    pub distinct: bool,
    /// The table that the question is about.
    pub root: Option<usize>,
    /// Tables that must be joined although nothing of them is read.
    pub also: Vec<usize>,
    /// What rows must be like: all of these.
    pub filter: Vec<Predicate>,
    /// One row for each of these.
    pub group: Vec<Expr>,
    /// What groups must be like: all of these.
    pub having: Vec<Predicate>,
    /// In which order.
    pub order: Vec<OrderKey>,
    /// At most so many rows.
    pub limit: Option<u64>,
    /// So many rows are passed over first.
    pub offset: Option<u64>,
    /// Of each of these groups the first `limit` rows, instead of the first of all.
    pub per: Vec<Expr>,
    /// Combined with another query.
    pub set: Option<(SetOperation, Box<LogicalQuery>)>,
    /// Preferred foreign keys: positions of edges that the question's words name.
    pub edges: Vec<usize>,
    /// Keep rows of the root that have no match in the tables joined.
    pub outer: bool,
    /// The query whose rows are read, instead of tables.
    pub source: Option<Box<LogicalQuery>>,
}

impl LogicalQuery {
    /// Every table instance of this query (not of nested ones) that it reads, the root first.
    pub fn instances(&self) -> Vec<(usize, u8)> {
        let mut all: Vec<(usize, u8)> = Vec::new();
        let mut add = |table: usize, role: u8| {
            if !all.contains(&(table, role)) {
                all.push((table, role));
            }
        };
        if let Some(root) = self.root {
            add(root, 0);
        }
        let mut column = |it: ColumnRef| add(it.table, it.role);
        self.select.iter().for_each(|it| it.columns(&mut column));
        self.filter.iter().for_each(|it| it.columns(&mut column));
        self.group.iter().for_each(|it| it.columns(&mut column));
        self.having.iter().for_each(|it| it.columns(&mut column));
        self.order.iter().for_each(|it| it.by.columns(&mut column));
        self.per.iter().for_each(|it| it.columns(&mut column));
        for table in &self.also {
            add(*table, 0);
        }
        for it in &self.select {
            if let Expr::Everything(table) = it {
                add(*table, 0);
            }
        }
        all
    }

    /// Calls `f` with every query nested in this one, this one first.
    pub fn each<'a>(&'a self, f: &mut impl FnMut(&'a Self)) {
        f(self);
        fn expr<'a>(it: &'a Expr, f: &mut impl FnMut(&'a LogicalQuery)) {
            match it {
                Expr::Scalar(query) => query.each(f),
                Expr::Aggregate { argument, filter, .. } => {
                    if let Some(it) = argument {
                        expr(it, f);
                    }
                    if let Some(it) = filter {
                        predicate(it, f);
                    }
                }
                Expr::Arithmetic(_, a, b) | Expr::Percentage(a, b) => {
                    expr(a, f);
                    expr(b, f);
                }
                Expr::Bucket(_, it) | Expr::Part(_, it) => expr(it, f),
                Expr::Duration { from, to, .. } => {
                    expr(from, f);
                    expr(to, f);
                }
                Expr::Window { argument, .. } => {
                    if let Some(it) = argument {
                        expr(it, f);
                    }
                }
                Expr::Column(_) | Expr::Literal(_) | Expr::Everything(_) | Expr::Output(_) => {}
            }
        }
        fn predicate<'a>(it: &'a Predicate, f: &mut impl FnMut(&'a LogicalQuery)) {
            match it {
                Predicate::Compare(a, _, b) => {
                    expr(a, f);
                    expr(b, f);
                }
                Predicate::Between(a, b, c) => {
                    expr(a, f);
                    expr(b, f);
                    expr(c, f);
                }
                Predicate::InQuery { query, .. } => query.each(f),
                Predicate::And(all) | Predicate::Or(all) => {
                    for it in all {
                        predicate(it, f);
                    }
                }
                Predicate::Not(it) => predicate(it, f),
                Predicate::Like { .. } | Predicate::Null { .. } | Predicate::During { .. } => {}
            }
        }
        for it in &self.select {
            expr(it, f);
        }
        for it in self.filter.iter().chain(&self.having) {
            predicate(it, f);
        }
        for it in &self.order {
            expr(&it.by, f);
        }
        if let Some((_, other)) = &self.set {
            other.each(f);
        }
        if let Some(source) = &self.source {
            source.each(f);
        }
    }
}
