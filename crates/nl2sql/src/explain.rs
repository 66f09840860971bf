//! Says in plain words what a query does.

use std::fmt::Write as _;

use crate::{
    index::SchemaIndex,
    logical::{
        Aggregate, Arithmetic, ColumnRef, Comparison, Expr, Literal, LogicalQuery, Moment,
        Predicate, SetOperation, TimeUnit, WindowFunction,
    },
    render::{may_tie, number},
};

/// What that query does, as one or more sentences.
pub(crate) fn explain(index: &SchemaIndex, query: &LogicalQuery) -> String {
    let mut text = sentence(index, query);
    if index.ties && may_tie(query) {
        text.push_str(" and those that are equal to it");
    }
    if let Some(first) = text.get(..1) {
        text = first.to_uppercase() + &text[1..];
    }
    text.push('.');
    text
}

/// The same in a few words.
pub(crate) fn label(index: &SchemaIndex, query: &LogicalQuery) -> String {
    let what: Vec<String> = query.select.iter().map(|it| expr(index, it)).collect();
    format!("{} of {}", what.join(", "), table(index, query.root.unwrap_or(0)))
}

/// What narrows a query down, in words; `None` if nothing does.
pub(crate) fn narrowed(index: &SchemaIndex, query: &LogicalQuery) -> Option<String> {
    let all: Vec<String> = query.filter.iter().map(|it| predicate(index, it)).collect();
    let groups: Vec<String> =
        query.having.iter().map(|it| format!("a group where {}", predicate(index, it))).collect();
    let all: Vec<String> = all.into_iter().chain(groups).collect();
    (!all.is_empty()).then(|| all.join(" and "))
}

fn sentence(index: &SchemaIndex, query: &LogicalQuery) -> String {
    let what: Vec<String> = query.select.iter().map(|it| expr(index, it)).collect();
    let mut text = format!("shows {}", list(&what));
    if query.distinct {
        text.push_str(", each once,");
    }
    if let Some(source) = &query.source {
        let _ = write!(text, " over ({})", sentence(index, source));
    } else if let Some(root) = query.root {
        let _ = write!(text, " from {}", table(index, root));
    }
    let also: Vec<String> =
        query.instances().into_iter().skip(1).map(|it| table(index, it.0)).collect();
    if !also.is_empty() {
        let _ = write!(text, " together with {}", list(&also));
    }
    if !query.filter.is_empty() {
        let all: Vec<String> = query.filter.iter().map(|it| predicate(index, it)).collect();
        let _ = write!(text, ", where {}", all.join(" and "));
    }
    if !query.group.is_empty() {
        let keys: Vec<String> = query.group.iter().map(|it| expr(index, it)).collect();
        let _ = write!(text, ", for each {}", list(&keys));
    }
    if !query.having.is_empty() {
        let all: Vec<String> = query.having.iter().map(|it| predicate(index, it)).collect();
        let _ = write!(text, ", only groups where {}", all.join(" and "));
    }
    if !query.order.is_empty() {
        let keys: Vec<String> = query
            .order
            .iter()
            .map(|it| {
                format!(
                    "{} {}",
                    expr(index, &it.by),
                    if it.descending { "from the highest" } else { "from the lowest" }
                )
            })
            .collect();
        let _ = write!(text, ", ordered by {}", list(&keys));
    }
    if !query.per.is_empty() {
        let keys: Vec<String> = query.per.iter().map(|it| expr(index, it)).collect();
        let _ = write!(text, ", the first {} of each {}", query.limit.unwrap_or(1), list(&keys));
    } else if let Some(limit) = query.limit {
        if limit == 1 {
            text.push_str(", only the first row");
        } else {
            let _ = write!(text, ", only the first {limit} rows");
        }
    }
    if let Some(offset) = query.offset {
        let _ = write!(text, " after the first {offset}");
    }
    if let Some((operation, other)) = &query.set {
        let word = match operation {
            SetOperation::Intersect => {
                "and of these only those that the following finds as well: it "
            }
            SetOperation::Except => "without those that the following finds: it ",
            SetOperation::Union => "together with what the following finds: it ",
        };
        let _ = write!(text, "; {word}{}", sentence(index, other));
    }
    text
}

pub(crate) fn list(all: &[String]) -> String {
    match all {
        [] => String::new(),
        [one] => one.clone(),
        [head @ .., last] => format!("{} and {last}", head.join(", ")),
    }
}

pub(crate) fn table(index: &SchemaIndex, at: usize) -> String {
    index.tables[at].name.clone()
}

fn column(index: &SchemaIndex, it: ColumnRef) -> String {
    format!("{}.{}", index.tables[it.table].name, index.column(it).name)
}

pub(crate) fn expr(index: &SchemaIndex, it: &Expr) -> String {
    match it {
        Expr::Column(it) => column(index, *it),
        Expr::Aggregate { function, distinct, argument, filter } => {
            let of = match argument {
                None => "rows".to_owned(),
                Some(it) => expr(index, it),
            };
            let different = if *distinct { "different " } else { "" };
            let mut text = match function {
                Aggregate::Count => format!("the number of {different}{of}"),
                Aggregate::Sum => format!("the sum of {of}"),
                Aggregate::Avg => format!("the average of {of}"),
                Aggregate::Min => format!("the lowest {of}"),
                Aggregate::Max => format!("the highest {of}"),
                Aggregate::Median => format!("the median of {of}"),
            };
            if let Some(filter) = filter {
                let _ = write!(text, " where {}", predicate(index, filter));
            }
            text
        }
        Expr::Literal(it) => literal(it),
        Expr::Arithmetic(operation, a, b) => {
            let sign = match operation {
                Arithmetic::Add => "plus",
                Arithmetic::Subtract => "minus",
                Arithmetic::Multiply => "times",
                Arithmetic::Divide => "divided by",
            };
            format!("{} {sign} {}", expr(index, a), expr(index, b))
        }
        Expr::Bucket(unit, it) => format!("{} of {}", unit.name(), expr(index, it)),
        Expr::Part(part, it) => {
            if let Expr::Duration { from, to, unit: None } = it.as_ref() {
                let (from, to) = (expr(index, from), expr(index, to));
                return format!("the whole {part}s from {from} to {to}");
            }
            format!("{} of {}", if *part == "isodow" { "weekday" } else { part }, expr(index, it))
        }
        Expr::Scalar(query) => {
            format!("the value of ({})", sentence(index, query).trim_start_matches("shows "))
        }
        Expr::Percentage(a, b) => {
            format!("{} as a percentage of {}", expr(index, a), expr(index, b))
        }
        Expr::Duration { from, to, unit } => {
            let unit = unit.map_or("time".to_owned(), |it| format!("{}s", it.name()));
            format!("the {unit} from {} to {}", expr(index, from), expr(index, to))
        }
        Expr::Window { function, argument, partition, .. } => {
            let of = argument.as_deref().map_or(String::new(), |it| expr(index, it));
            let within = if partition.is_empty() {
                String::new()
            } else {
                let keys: Vec<String> = partition.iter().map(|it| expr(index, it)).collect();
                format!(" within each {}", list(&keys))
            };
            match function {
                WindowFunction::Running => format!("{of} summed up so far{within}"),
                WindowFunction::Before => format!("{of} of the row before{within}"),
                WindowFunction::Mean => format!("the mean of {of}{within}"),
                WindowFunction::Whole => format!("the sum of {of}{within}"),
                WindowFunction::Rank => format!("the place in that order{within}"),
                WindowFunction::Moving(rows) => {
                    format!("the mean of {of} over the last {rows} rows{within}")
                }
            }
        }
        Expr::Output(at) => format!("value {} of those", at + 1),
        Expr::Everything(at) => format!("every column of {}", table(index, *at)),
    }
}

fn literal(it: &Literal) -> String {
    match it {
        Literal::Number(value) => number(*value),
        Literal::Text(value) => format!("“{value}”"),
        Literal::Boolean(true) => "yes".to_owned(),
        Literal::Boolean(false) => "no".to_owned(),
        Literal::Moment(it) => moment(it),
        Literal::Interval(count, unit) => format!("{count} {}s", unit.name()),
    }
}

fn moment(it: &Moment) -> String {
    match it {
        Moment::Day(date) => date.to_string(),
        Moment::Start(TimeUnit::Day, 0) => "the beginning of today".to_owned(),
        Moment::Start(unit, 0) => format!("the beginning of this {}", unit.name()),
        Moment::Start(unit, -1) => format!("the beginning of the last {}", unit.name()),
        Moment::Start(unit, 1) => format!("the beginning of the next {}", unit.name()),
        Moment::Start(unit, offset) if *offset < 0 => {
            format!("the beginning of the {} {} {}s ago", unit.name(), -offset, unit.name())
        }
        Moment::Start(unit, offset) => {
            format!("the beginning of the {} in {offset} {}s", unit.name(), unit.name())
        }
        Moment::Now(_, 0) => "now".to_owned(),
        Moment::Now(unit, offset) if *offset < 0 => format!("{} {}s ago", -offset, unit.name()),
        Moment::Now(unit, offset) => format!("{offset} {}s from now", unit.name()),
    }
}

pub(crate) fn predicate(index: &SchemaIndex, it: &Predicate) -> String {
    match it {
        Predicate::Compare(a, comparison, b) => {
            let how = match comparison {
                Comparison::Equal => "is",
                Comparison::NotEqual => "is not",
                Comparison::Less => "is less than",
                Comparison::AtMost => "is at most",
                Comparison::Greater => "is more than",
                Comparison::AtLeast => "is at least",
            };
            format!("{} {how} {}", expr(index, a), expr(index, b))
        }
        Predicate::Between(it, a, b) => {
            format!("{} is between {} and {}", expr(index, it), expr(index, a), expr(index, b))
        }
        Predicate::Like { column: it, pattern, negated } => {
            let not = if *negated { "does not match" } else { "matches" };
            format!("{} {not} “{pattern}”", column(index, *it))
        }
        Predicate::Null { column: it, negated } => {
            format!("{} is {}", column(index, *it), if *negated { "known" } else { "empty" })
        }
        Predicate::During { moment: it, from, until } => {
            let mut text = expr(index, it);
            if let Some(from) = from {
                let _ = write!(text, " is from {} on", moment(from));
            }
            if let Some(until) = until {
                let _ = write!(
                    text,
                    "{} before {}",
                    if from.is_some() { " and" } else { " is" },
                    moment(until)
                );
            }
            text
        }
        Predicate::InQuery { columns, query, negated } => {
            let names: Vec<String> = columns.iter().map(|it| column(index, *it)).collect();
            let not = if *negated { "is not" } else { "is" };
            format!(
                "{} {not} among ({})",
                list(&names),
                sentence(index, query).trim_start_matches("shows ")
            )
        }
        Predicate::And(all) => {
            all.iter().map(|it| predicate(index, it)).collect::<Vec<_>>().join(" and ")
        }
        Predicate::Or(any) => {
            any.iter().map(|it| predicate(index, it)).collect::<Vec<_>>().join(" or ")
        }
        Predicate::Not(it) => format!("it is not so that {}", predicate(index, it)),
    }
}
