//! Writes a logical query as Postgres's SQL.

mod reserved;
mod spans;
mod ties;

pub(crate) use ties::may_tie;

use std::fmt::Write as _;

use plinth_schema_introspect::TypeClass;

use reserved::RESERVED;

use crate::{
    index::SchemaIndex,
    join::{self, JoinPlan},
    language::DefinedPiece,
    logical::{
        Aggregate, Arithmetic, ColumnRef, Comparison, Expr, Literal, LogicalQuery, Moment,
        Predicate, SetOperation, TimeUnit,
    },
};

/// The SQL of that query; `None` if its tables do not connect.
pub(crate) fn render(index: &SchemaIndex, query: &LogicalQuery) -> Option<String> {
    let mut sql = Renderer { index }.query(query)?;
    // `which river is the longest`: all of them, where several are
    if may_tie(query) && index.ties && sql.ends_with(ties::FIRST) {
        sql.truncate(sql.len() - ties::FIRST.len());
        sql.push_str(ties::WITH_TIES);
    }
    Some(sql)
}

impl SchemaIndex {
    /// A query as SQL, written for this schema; `None` if its tables do not connect here. It must have been read over this
    /// index, or over one with the same tables and columns at the same places.
    pub fn sql(&self, query: &LogicalQuery) -> Option<String> {
        render(self, query)
    }
}

/// A moment as SQL writes it, for columns with a time zone or for dates.
pub(crate) fn moment(index: &SchemaIndex, it: &Moment, zoned: bool) -> String {
    Renderer { index }.moment(it, zoned)
}

/// A name as SQL needs it: quoted only where it must be.
pub(crate) fn identifier(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !RESERVED.contains(&name);
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A text as SQL writes it.
pub(crate) fn text(value: &str) -> String {
    let quoted = value.replace('\'', "''");
    if value.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

struct Renderer<'a> {
    index: &'a SchemaIndex,
}

/// The tables of one query and what they are called there.
struct Scope {
    plan: JoinPlan,
    aliases: Vec<String>,
    /// What the query it is read from calls its columns.
    outputs: Vec<String>,
}

fn set_word(operation: SetOperation) -> &'static str {
    match operation {
        SetOperation::Intersect => "INTERSECT",
        SetOperation::Except => "EXCEPT",
        SetOperation::Union => "UNION",
    }
}

impl Renderer<'_> {
    fn query(&self, query: &LogicalQuery) -> Option<String> {
        if let Some(source) = &query.source {
            return self.over(query, source);
        }
        if query.instances().is_empty() {
            let none =
                Scope { plan: JoinPlan::default(), aliases: Vec::new(), outputs: Vec::new() };
            let items =
                query.select.iter().map(|it| self.expr(it, &none)).collect::<Option<Vec<_>>>()?;
            return (!items.is_empty()).then(|| format!("SELECT {}", items.join(", ")));
        }
        let scope = self.scope(query)?;
        if !query.per.is_empty() {
            return self.ranked(query, &scope);
        }
        let mut sql = self.core(query, &scope, None)?;
        if let Some((operation, other)) = &query.set {
            let _ = write!(sql, " {} {}", set_word(*operation), self.query(other)?);
            return Some(sql);
        }
        if !query.order.is_empty() {
            let keys = query
                .order
                .iter()
                .map(|key| self.order_key(key, &scope, query.limit.is_some()))
                .collect::<Option<Vec<_>>>()?;
            let _ = write!(sql, " ORDER BY {}", keys.join(", "));
        }
        if let Some(limit) = query.limit {
            let _ = write!(sql, " LIMIT {limit}");
        }
        if let Some(offset) = query.offset {
            let _ = write!(sql, " OFFSET {offset}");
        }
        Some(sql)
    }

    /// A query over the rows of another one.
    fn over(&self, query: &LogicalQuery, source: &LogicalQuery) -> Option<String> {
        let scope = Scope {
            plan: JoinPlan::default(),
            aliases: Vec::new(),
            outputs: (0..source.select.len()).map(|at| self.output_name(source, at)).collect(),
        };
        let inner = self.named(source)?;
        let items =
            query.select.iter().map(|it| self.expr(it, &scope)).collect::<Option<Vec<_>>>()?;
        let distinct = if query.distinct { "DISTINCT " } else { "" };
        let mut sql = format!("SELECT {distinct}{} FROM ({inner}) AS found", items.join(", "));
        self.tail(&mut sql, query, &scope)?;
        if !query.order.is_empty() {
            let keys = query
                .order
                .iter()
                .map(|key| self.order_key(key, &scope, query.limit.is_some()))
                .collect::<Option<Vec<_>>>()?;
            let _ = write!(sql, " ORDER BY {}", keys.join(", "));
        }
        if let Some(limit) = query.limit {
            let _ = write!(sql, " LIMIT {limit}");
        }
        Some(sql)
    }

    /// A query whose columns can be told apart by name.
    fn named(&self, query: &LogicalQuery) -> Option<String> {
        if query.source.is_some() || !query.per.is_empty() {
            return self.query(query);
        }
        let scope = self.scope(query)?;
        let mut sql = self.core(query, &scope, Some(None))?;
        if let Some((operation, other)) = &query.set {
            let _ = write!(sql, " {} {}", set_word(*operation), self.query(other)?);
            return Some(sql);
        }
        // an order chooses rows only where there is a limit
        if let Some(limit) = query.limit {
            let keys = query
                .order
                .iter()
                .map(|key| self.order_key(key, &scope, true))
                .collect::<Option<Vec<_>>>()?;
            if !keys.is_empty() {
                let _ = write!(sql, " ORDER BY {}", keys.join(", "));
            }
            let _ = write!(sql, " LIMIT {limit}");
        }
        Some(sql)
    }

    fn order_key(
        &self,
        key: &crate::logical::OrderKey,
        scope: &Scope,
        limited: bool,
    ) -> Option<String> {
        let by = self.expr(&key.by, scope)?;
        let nullable = match &key.by {
            Expr::Column(it) => self.index.column(*it).nullable,
            Expr::Aggregate { function: Aggregate::Count, .. } => false,
            _ => true,
        };
        Some(match (key.descending, nullable && limited) {
            (false, _) => by,
            (true, true) => format!("{by} DESC NULLS LAST"),
            (true, false) => format!("{by} DESC"),
        })
    }

    /// Of each group the first rows: a rank in an inner query, a condition on it outside.
    fn ranked(&self, query: &LogicalQuery, scope: &Scope) -> Option<String> {
        let per = query.per.iter().map(|it| self.expr(it, scope)).collect::<Option<Vec<_>>>()?;
        let keys = query
            .order
            .iter()
            .map(|key| self.order_key(key, scope, true))
            .collect::<Option<Vec<_>>>()?;
        let rank = format!(
            "row_number() OVER (PARTITION BY {} ORDER BY {}) AS place",
            per.join(", "),
            keys.join(", ")
        );
        let inner = self.core(query, scope, Some(Some(&rank)))?;
        let names: Vec<String> =
            (0..query.select.len()).map(|at| self.output_name(query, at)).collect();
        Some(format!(
            "SELECT {} FROM ({inner}) AS ranked WHERE place <= {} ORDER BY {}, place",
            names.join(", "),
            query.limit.unwrap_or(1),
            names[0],
        ))
    }

    fn output_name(&self, query: &LogicalQuery, at: usize) -> String {
        let base = match &query.select[at] {
            Expr::Column(it) => {
                let info = self.index.column(*it);
                info.key.clone().unwrap_or_else(|| info.name.clone())
            }
            _ => format!("value_{}", at + 1),
        };
        let taken = query.select[..at]
            .iter()
            .any(|it| matches!(it, Expr::Column(other) if self.index.column(*other).name == base));
        identifier(&if taken { format!("{base}_{}", at + 1) } else { base })
    }

    /// From `SELECT` to `HAVING`.
    fn core(
        &self,
        query: &LogicalQuery,
        scope: &Scope,
        extra: Option<Option<&str>>,
    ) -> Option<String> {
        let mut items = Vec::new();
        for (at, it) in query.select.iter().enumerate() {
            let text = self.shown(it, query, scope)?;
            if extra.is_some() {
                items.push(format!("{text} AS {}", self.output_name(query, at)));
            } else {
                items.push(text);
            }
        }
        items.extend(extra.flatten().map(str::to_owned));
        let mut sql = format!(
            "SELECT {}{} FROM {}",
            if query.distinct { "DISTINCT " } else { "" },
            items.join(", "),
            self.from(scope, query.outer)
        );
        self.tail(&mut sql, query, scope)?;
        Some(sql)
    }

    /// From `WHERE` to `HAVING`.
    fn tail(&self, sql: &mut String, query: &LogicalQuery, scope: &Scope) -> Option<()> {
        if !query.filter.is_empty() {
            let all = self.all(&query.filter, scope)?;
            let _ = write!(sql, " WHERE {all}");
        }
        if !query.group.is_empty() {
            let keys = query
                .group
                .iter()
                .map(|it| self.shown(it, query, scope))
                .collect::<Option<Vec<_>>>()?;
            let _ = write!(sql, " GROUP BY {}", keys.join(", "));
        }
        if !query.having.is_empty() {
            let all = self.all(&query.having, scope)?;
            let _ = write!(sql, " HAVING {all}");
        }
        Some(())
    }

    fn scope(&self, query: &LogicalQuery) -> Option<Scope> {
        let plan = join::plan(self.index, query)?;
        let mut aliases: Vec<String> = Vec::new();
        if plan.tables.len() == 1 {
            aliases.push(String::new());
            return Some(Scope { plan, aliases, outputs: Vec::new() });
        }
        for it in &plan.tables {
            // A subquery within the organization's expression over the table would mean its own source by the same name.
            let columns = self.index.tables[it.table].columns.iter();
            let within = columns.filter_map(|it| it.defined.as_deref()).flat_map(|it| &it.inner);
            let words = &self.index.tables[it.table].words;
            let initials: String = words
                .iter()
                .filter_map(|it| it.chars().next())
                .filter(char::is_ascii_alphabetic)
                .collect();
            let base = if initials.is_empty() { "t".to_owned() } else { initials };
            let mut alias = base.clone();
            let mut number = 2;
            while aliases.contains(&alias)
                || RESERVED.contains(&alias.as_str())
                || within.clone().any(|it| *it == alias)
            {
                alias = format!("{base}{number}");
                number += 1;
            }
            aliases.push(alias);
        }
        Some(Scope { plan, aliases, outputs: Vec::new() })
    }

    fn table(&self, table: usize) -> String {
        let it = &self.index.tables[table];
        if it.bare {
            identifier(&it.name)
        } else {
            format!("{}.{}", identifier(&it.schema), identifier(&it.name))
        }
    }

    fn from(&self, scope: &Scope, outer: bool) -> String {
        let mut sql = String::new();
        for (at, it) in scope.plan.tables.iter().enumerate() {
            let table = self.table(it.table);
            let alias = &scope.aliases[at];
            match &it.to {
                None if alias.is_empty() => sql.push_str(&table),
                None => {
                    let _ = write!(sql, "{table} AS {alias}");
                }
                Some((to, pairs)) => {
                    let on: Vec<String> = pairs
                        .iter()
                        .map(|(there, here)| {
                            let name = |table: usize, column: usize| {
                                identifier(&self.index.tables[table].columns[column].name)
                            };
                            format!(
                                "{alias}.{} = {}.{}",
                                name(it.table, *here),
                                scope.aliases[*to],
                                name(scope.plan.tables[*to].table, *there)
                            )
                        })
                        .collect();
                    let kind = if outer { "LEFT JOIN" } else { "JOIN" };
                    let _ = write!(sql, " {kind} {table} AS {alias} ON {}", on.join(" AND "));
                }
            }
        }
        sql
    }

    fn column(&self, it: ColumnRef, scope: &Scope) -> Option<String> {
        if self.index.column(it).defined.is_some() {
            return Some(format!("({})", self.defined(it, scope)?));
        }
        let info = self.index.column(it);
        let name = identifier(&info.name);
        let at = scope.plan.position(it.table, it.role)?;
        let alias = &scope.aliases[at];
        let name = if alias.is_empty() { name } else { format!("{alias}.{name}") };
        Some(match &info.key {
            Some(key) if info.class.is_numeric() => format!("({name} ->> {})::numeric", text(key)),
            Some(key) => format!("{name} ->> {}", text(key)),
            None => name,
        })
    }

    /// What is shown or told apart: of a list each of its entries.
    fn shown(&self, it: &Expr, query: &LogicalQuery, scope: &Scope) -> Option<String> {
        let text = self.expr(it, scope)?;
        let list = matches!(it, Expr::Column(column) if self.index.column(*column).class == TypeClass::Array);
        Some(if list && query.group.contains(it) { format!("unnest({text})") } else { text })
    }

    /// The expression of a column that only the organization's language has.
    fn defined(&self, it: ColumnRef, scope: &Scope) -> Option<String> {
        let defined = self.index.column(it).defined.as_deref()?;
        let alias = &scope.aliases[scope.plan.position(it.table, it.role)?];
        let table = &self.index.tables[it.table];
        let mut sql = String::new();
        for piece in &defined.pieces {
            match piece {
                DefinedPiece::Text(text) => sql.push_str(text),
                DefinedPiece::Column { at, nested } => {
                    if !alias.is_empty() {
                        let _ = write!(sql, "{alias}.");
                    } else if *nested {
                        let _ = write!(sql, "{}.", identifier(&table.name));
                    }
                    sql.push_str(&identifier(&table.columns[*at].name));
                }
            }
        }
        Some(sql)
    }

    fn all(&self, all: &[Predicate], scope: &Scope) -> Option<String> {
        let parts = all
            .iter()
            .map(|it| {
                let text = self.predicate(it, scope)?;
                Some(if matches!(it, Predicate::Or(_)) && all.len() > 1 {
                    format!("({text})")
                } else {
                    text
                })
            })
            .collect::<Option<Vec<_>>>()?;
        Some(parts.join(" AND "))
    }

    fn predicate(&self, it: &Predicate, scope: &Scope) -> Option<String> {
        Some(match it {
            Predicate::Compare(left, comparison, right) => {
                if let (Expr::Column(column), Expr::Literal(Literal::Boolean(value))) =
                    (left, right)
                {
                    let yes = *value == (*comparison == Comparison::Equal);
                    let name = self.column(*column, scope)?;
                    // what is not known to be so is not so
                    let defined = self.index.column(*column).defined.is_some();
                    return Some(match (yes, defined) {
                        (true, _) => name,
                        (false, true) => format!("{name} IS NOT TRUE"),
                        (false, false) => format!("NOT {name}"),
                    });
                }
                if let (Expr::Column(column), Expr::Literal(Literal::Text(value))) = (left, right)
                    && self.index.column(*column).class == TypeClass::Array
                {
                    let denied = if *comparison == Comparison::NotEqual { "NOT " } else { "" };
                    let name = self.column(*column, scope)?;
                    return Some(format!("{denied}{} = ANY ({name})", text(value)));
                }
                format!(
                    "{} {} {}",
                    self.expr(left, scope)?,
                    comparison.symbol(),
                    self.operand(left, right, scope)?
                )
            }
            Predicate::Between(it, from, to) => format!(
                "{} BETWEEN {} AND {}",
                self.expr(it, scope)?,
                self.operand(it, from, scope)?,
                self.operand(it, to, scope)?
            ),
            Predicate::Like { column, pattern, negated } => {
                let info = self.index.column(*column);
                let cast = if info.class == TypeClass::Text { "" } else { "::text" };
                format!(
                    "{}{cast} {}ILIKE {}",
                    self.column(*column, scope)?,
                    if *negated { "NOT " } else { "" },
                    text(pattern)
                )
            }
            Predicate::Null { column, negated } => format!(
                "{} IS {}NULL",
                self.column(*column, scope)?,
                if *negated { "NOT " } else { "" }
            ),
            Predicate::During { moment, from, until } => {
                let it = self.expr(moment, scope)?;
                let zoned = !matches!(moment, Expr::Column(column) if self.index.column(*column).class == TypeClass::Date);
                let mut parts = Vec::new();
                if let Some(from) = from {
                    parts.push(format!("{it} >= {}", self.moment(from, zoned)));
                }
                if let Some(until) = until {
                    parts.push(format!("{it} < {}", self.moment(until, zoned)));
                }
                parts.join(" AND ")
            }
            Predicate::InQuery { columns, query, negated } => {
                let names =
                    columns.iter().map(|it| self.column(*it, scope)).collect::<Option<Vec<_>>>()?;
                let left = if let [one] = names.as_slice() {
                    one.clone()
                } else {
                    format!("({})", names.join(", "))
                };
                format!("{left} {}IN ({})", if *negated { "NOT " } else { "" }, self.query(query)?)
            }
            Predicate::And(all) => self.all(all, scope)?,
            Predicate::Or(any) => {
                if let Some(list) = self.list(any, scope) {
                    return Some(list);
                }
                let parts = any
                    .iter()
                    .map(|it| {
                        let text = self.predicate(it, scope)?;
                        Some(if matches!(it, Predicate::And(_)) {
                            format!("({text})")
                        } else {
                            text
                        })
                    })
                    .collect::<Option<Vec<_>>>()?;
                parts.join(" OR ")
            }
            Predicate::Not(it) => format!("NOT ({})", self.predicate(it, scope)?),
        })
    }

    /// `a = 1 OR a = 2` as `a IN (1, 2)`.
    fn list(&self, any: &[Predicate], scope: &Scope) -> Option<String> {
        let mut values = Vec::new();
        let mut of: Option<&Expr> = None;
        for it in any {
            let Predicate::Compare(left, Comparison::Equal, right @ Expr::Literal(_)) = it else {
                return None;
            };
            let list = matches!(left, Expr::Column(it) if self.index.column(*it).class == TypeClass::Array);
            if list || of.is_some_and(|it| it != left) {
                return None;
            }
            of = Some(left);
            values.push(self.operand(left, right, scope)?);
        }
        Some(format!("{} IN ({})", self.expr(of?, scope)?, values.join(", ")))
    }

    /// The right side of a comparison, written so that it fits the type of the left.
    fn operand(&self, left: &Expr, right: &Expr, scope: &Scope) -> Option<String> {
        if let (Expr::Column(column), Expr::Literal(literal)) = (left, right) {
            let class = self.index.column(*column).class;
            match literal {
                Literal::Number(value) if !class.is_numeric() => {
                    return Some(text(&number(*value)));
                }
                Literal::Text(value) if class.is_numeric() => {
                    if let Ok(value) = value.trim().parse::<f64>() {
                        return Some(number(value));
                    }
                }
                _ => {}
            }
        }
        self.expr(right, scope)
    }

    fn expr(&self, it: &Expr, scope: &Scope) -> Option<String> {
        Some(match it {
            Expr::Column(it) => self.column(*it, scope)?,
            Expr::Aggregate { function, distinct, argument, filter } => {
                if let Some(whole) = self.whole(argument.as_deref(), scope) {
                    return Some(whole);
                }
                let name = match function {
                    Aggregate::Count => "count",
                    Aggregate::Sum => "sum",
                    Aggregate::Avg => "avg",
                    Aggregate::Min => "min",
                    Aggregate::Max => "max",
                    Aggregate::Median => "percentile_cont",
                };
                // a length of time is divided once, after it was summed up
                let length = match argument.as_deref() {
                    Some(Expr::Duration { from, to, unit }) if *function != Aggregate::Count => {
                        self.seconds(from, to, *unit, scope)?
                    }
                    _ => None,
                };
                let argument = match argument {
                    Some(_) if length.is_some() => {
                        length.as_ref().map(|it| it.0.clone()).unwrap_or_default()
                    }
                    None => "*".to_owned(),
                    Some(it) => self.numeric(
                        it,
                        scope,
                        matches!(function, Aggregate::Sum | Aggregate::Avg | Aggregate::Median),
                    )?,
                };
                let distinct = if *distinct { "DISTINCT " } else { "" };
                let mut sql = if *function == Aggregate::Median {
                    format!("{name}(0.5) WITHIN GROUP (ORDER BY {argument})")
                } else {
                    format!("{name}({distinct}{argument})")
                };
                if let Some(filter) = filter {
                    let _ = write!(sql, " FILTER (WHERE {})", self.predicate(filter, scope)?);
                }
                if let Some((_, seconds)) = length {
                    let _ = write!(sql, " / {seconds}");
                }
                sql
            }
            Expr::Literal(it) => self.literal(it),
            Expr::Arithmetic(operation, a, b) => {
                let (left, right) = (self.part(a, scope)?, self.part(b, scope)?);
                match operation {
                    Arithmetic::Add => format!("{left} + {right}"),
                    Arithmetic::Subtract => format!("{left} - {right}"),
                    Arithmetic::Multiply => format!("{left} * {right}"),
                    Arithmetic::Divide => format!("{left}::numeric / NULLIF({right}, 0)"),
                }
            }
            Expr::Bucket(unit, it) => {
                format!("date_trunc('{}', {})", unit.name(), self.expr(it, scope)?)
            }
            Expr::Part(part, it) => match it.as_ref() {
                // whole years, as people count them
                Expr::Duration { from, to, unit: None } => {
                    format!("extract({part} FROM {})", self.age(from, to, scope)?)
                }
                it => format!("extract({part} FROM {})", self.expr(it, scope)?),
            },
            Expr::Scalar(query) => format!("({})", self.query(query)?),
            Expr::Percentage(a, b) => {
                format!("100.0 * {} / NULLIF({}, 0)", self.part(a, scope)?, self.part(b, scope)?)
            }
            Expr::Duration { from, to, unit } => self.duration(from, to, *unit, scope)?,
            Expr::Window { function, argument, partition, order } => {
                self.window(*function, argument.as_deref(), partition, order, scope)?
            }
            Expr::Output(at) => scope.outputs.get(*at)?.clone(),
            Expr::Everything(table) => {
                let at = scope.plan.position(*table, 0)?;
                let alias = &scope.aliases[at];
                if alias.is_empty() { "*".to_owned() } else { format!("{alias}.*") }
            }
        })
    }

    /// A metric that is an aggregate as a whole.
    fn whole(&self, argument: Option<&Expr>, scope: &Scope) -> Option<String> {
        let Some(Expr::Column(it)) = argument else { return None };
        let metric = self.index.column(*it).defined.as_deref()?.metric?;
        if metric.function.is_some() { None } else { self.column(*it, scope) }
    }

    /// A text column that holds numbers, as a number where sums are made of it.
    fn numeric(&self, it: &Expr, scope: &Scope, needed: bool) -> Option<String> {
        let sql = match it {
            // brackets stand around it already
            Expr::Column(it) if self.index.column(*it).defined.is_some() => {
                self.defined(*it, scope)?
            }
            it => self.expr(it, scope)?,
        };
        let text = matches!(it, Expr::Column(column) if self.index.column(*column).class == TypeClass::Text);
        let flag = matches!(it, Expr::Column(column) if self.index.column(*column).class == TypeClass::Boolean);
        Some(match (needed, text, flag) {
            (true, true, _) => format!("{sql}::numeric"),
            (true, _, true) => format!("{sql}::int"),
            _ => sql,
        })
    }

    fn part(&self, it: &Expr, scope: &Scope) -> Option<String> {
        let text = self.expr(it, scope)?;
        Some(if matches!(it, Expr::Arithmetic(..)) { format!("({text})") } else { text })
    }

    fn literal(&self, it: &Literal) -> String {
        match it {
            Literal::Number(value) => number(*value),
            Literal::Text(value) => text(value),
            Literal::Boolean(value) => value.to_string(),
            Literal::Moment(it) => self.moment(it, true),
            Literal::Interval(count, unit) => interval(*count, *unit),
        }
    }

    #[expect(clippy::unused_self, reason = "reads like its siblings")]
    fn moment(&self, it: &Moment, zoned: bool) -> String {
        let now = if zoned { "now()" } else { "current_date" };
        match it {
            Moment::Day(date) => format!("'{date}'"),
            Moment::Start(TimeUnit::Day, 0) => "current_date".to_owned(),
            Moment::Start(TimeUnit::Day, offset) if *offset < 0 => {
                format!("current_date - {}", -offset)
            }
            Moment::Start(TimeUnit::Day, offset) => format!("current_date + {offset}"),
            Moment::Start(unit, offset) => {
                shifted(&format!("date_trunc('{}', {now})", unit.name()), *offset, *unit)
            }
            Moment::Now(unit, offset) => shifted(now, *offset, *unit),
        }
    }
}

fn shifted(from: &str, offset: i64, unit: TimeUnit) -> String {
    match offset {
        0 => from.to_owned(),
        1.. => format!("{from} + {}", interval(offset, unit)),
        _ => format!("{from} - {}", interval(-offset, unit)),
    }
}

fn interval(count: i64, unit: TimeUnit) -> String {
    let (count, name) = match unit {
        TimeUnit::Quarter => (count * 3, "month"),
        _ => (count, unit.name()),
    };
    format!("interval '{count} {name}{}'", if count == 1 { "" } else { "s" })
}

/// A number as SQL and people write it.
pub(crate) fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        format!("{value:.0}")
    } else {
        format!("{value}")
    }
}
