//! What templates can do to values: filters and tests of `MiniJinja` that make nothing larger than what they are given, and
//! our own of the others.

use std::borrow::Cow;
use std::sync::Arc;

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Environment, Error, UndefinedBehavior, Value, filters, tests};

use super::meter::{LARGEST, Meter, STEP, refused, short, written};
use super::{Style, write_value};

/// How far `tojson` and `indent` move a line at most.
const WIDEST: usize = 100;

/// The longest path of an attribute, in bytes and in names.
const LONGEST_ATTRIBUTE: usize = 200;
const MOST_NAMES: usize = 8;

/// How wide `format` makes a value at most, and how many digits it gives a number.
const WIDEST_FORMAT: usize = 1_000;

/// What a list in a list takes beside its entries.
const LIST: usize = 4 * STEP;

/// Every filter.
pub(super) const FILTERS: [&str; 44] = [
    "abs",
    "attr",
    "batch",
    "bool",
    "capitalize",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "first",
    "float",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
];

/// Every test.
pub(super) const TESTS: [&str; 38] = [
    "!=",
    "<",
    "<=",
    "==",
    ">",
    ">=",
    "boolean",
    "defined",
    "divisibleby",
    "endingwith",
    "eq",
    "equalto",
    "even",
    "false",
    "float",
    "ge",
    "greaterthan",
    "gt",
    "in",
    "int",
    "integer",
    "iterable",
    "le",
    "lessthan",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "sameas",
    "sequence",
    "startingwith",
    "string",
    "true",
    "undefined",
    "upper",
];

/// Counts what a filter is about to read.
pub(super) fn count_filter(meter: &Meter, name: &str, args: &[Value]) -> Result<(), Error> {
    let names = attributes(name, args)?;
    let texts = match name {
        "capitalize" | "indent" | "lines" | "lower" | "replace" | "split" | "title" | "trim"
        | "upper" => args,
        "format" => &args[..args.len().min(1)],
        "join" => args.get(1..).unwrap_or_default(),
        _ => &[],
    };
    only_texts(name, texts)?;
    match name {
        "dictsort" | "groupby" | "max" | "min" | "sort" | "unique" => in_order(meter, args, names),
        "attr" => args.iter().skip(1).try_for_each(|it| meter.weigh(it)),
        "bool" | "count" | "d" | "default" | "first" | "last" | "length" => {
            args.iter().try_for_each(|it| meter.glance(it))
        }
        "map" | "reject" | "rejectattr" | "select" | "selectattr" | "trim" => each(meter, args),
        _ => args.iter().try_for_each(|it| meter.weigh(it)),
    }
}

/// Refuses lists and maps where a text is read: as a text they may be much larger than they are, and nobody means them.
fn only_texts(name: &str, args: &[Value]) -> Result<(), Error> {
    let is_many = |it: &&Value| {
        matches!(it.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable)
            && !it.is_kwargs()
    };
    match args.iter().find(is_many) {
        Some(it) => Err(refused(format!("`{name}` takes texts, and no {}", it.kind()))),
        None => Ok(()),
    }
}

/// Counts a value whose entries are put in order: each is compared with some others, by so many names of an attribute, and
/// with what stands for one that is not there.
fn in_order(meter: &Meter, args: &[Value], names: usize) -> Result<(), Error> {
    let Some((value, others)) = args.split_first() else { return Ok(()) };
    let before = meter.left();
    meter.weigh(value)?;
    let weight = before.saturating_sub(meter.left());
    let entries = value.len().unwrap_or_default();
    let turns =
        usize::try_from(entries.checked_ilog2().unwrap_or_default()).unwrap_or_default() + 1;
    meter.spend((weight / 8).saturating_mul(turns))?;
    let mut default = 0;
    for it in others {
        meter.weigh(it)?;
        let given =
            if it.is_kwargs() { it.get_attr("default").unwrap_or_default() } else { it.clone() };
        let before = meter.left();
        meter.glance(&given)?;
        default += before.saturating_sub(meter.left());
    }
    let each = names.saturating_mul(STEP).saturating_add(default);
    meter.spend(entries.saturating_mul(turns).saturating_mul(each))
}

/// Refuses attributes that are longer than names are: a filter takes them apart each time that it compares. Says of how many
/// names the longest is.
fn attributes(name: &str, args: &[Value]) -> Result<usize, Error> {
    let named = args.last().filter(|it| it.is_kwargs());
    let named = named.and_then(|it| it.get_attr("attribute").ok());
    let by_place = matches!(name, "groupby" | "selectattr" | "rejectattr" | "sum");
    let given = args.get(1).filter(|_| by_place);
    let paths: Vec<&str> = named.iter().chain(given).filter_map(|it| it.as_str()).collect();
    let names = |it: &&str| it.matches(['.', ',']).count() + 1;
    let most = paths.iter().map(names).max().unwrap_or(1);
    if most > MOST_NAMES || paths.iter().any(|it| it.len() > LONGEST_ATTRIBUTE) {
        return Err(refused(format!(
            "an attribute has at most {LONGEST_ATTRIBUTE} bytes and {MOST_NAMES} names in `{name}`"
        )));
    }
    Ok(most)
}

/// Counts what a test is about to read.
pub(super) fn count_test(meter: &Meter, name: &str, args: &[Value]) -> Result<(), Error> {
    if matches!(name, "endingwith" | "lower" | "startingwith" | "upper") {
        only_texts(name, args)?;
    }
    match name {
        "boolean" | "defined" | "false" | "true" | "float" | "int" | "integer" | "iterable"
        | "mapping" | "none" | "number" | "sequence" | "string" | "undefined" => {
            args.iter().try_for_each(|it| meter.glance(it))
        }
        _ => args.iter().try_for_each(|it| meter.weigh(it)),
    }
}

/// Counts a value, and what else is given once for each of its entries.
fn each(meter: &Meter, args: &[Value]) -> Result<(), Error> {
    let Some((value, others)) = args.split_first() else { return Ok(()) };
    meter.weigh(value)?;
    let entries = value.len().unwrap_or_default();
    let before = meter.left();
    others.iter().try_for_each(|it| meter.weigh(it))?;
    let size = STEP + before.saturating_sub(meter.left());
    meter.spend(entries.saturating_mul(size))
}

/// An environment that has these and nothing else.
pub(super) fn environment(style: Style, meter: &Arc<Meter>) -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    add_filters(&mut environment);
    add_own(&mut environment, style, meter);
    add_tests(&mut environment);
    environment
}

fn add_filters(environment: &mut Environment<'static>) {
    environment.add_filter("abs", filters::abs);
    environment.add_filter("attr", filters::attr);
    environment.add_filter("bool", filters::bool);
    environment.add_filter("capitalize", filters::capitalize);
    environment.add_filter("count", filters::length);
    environment.add_filter("d", filters::default);
    environment.add_filter("default", filters::default);
    environment.add_filter("dictsort", filters::dictsort);
    environment.add_filter("first", filters::first);
    environment.add_filter("float", filters::float);
    environment.add_filter("groupby", filters::groupby);
    environment.add_filter("int", filters::int);
    environment.add_filter("items", filters::items);
    environment.add_filter("last", filters::last);
    environment.add_filter("length", filters::length);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("map", filters::map);
    environment.add_filter("max", filters::max);
    environment.add_filter("min", filters::min);
    environment.add_filter("reject", filters::reject);
    environment.add_filter("rejectattr", filters::rejectattr);
    environment.add_filter("reverse", filters::reverse);
    environment.add_filter("round", filters::round);
    environment.add_filter("select", filters::select);
    environment.add_filter("selectattr", filters::selectattr);
    environment.add_filter("sort", filters::sort);
    environment.add_filter("sum", filters::sum);
    environment.add_filter("title", filters::title);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("unique", filters::unique);
    environment.add_filter("upper", filters::upper);
}

/// Those whose results may be larger than what they are given, or are many pieces of it. They count before they make
/// anything.
fn add_own(environment: &mut Environment<'static>, style: Style, meter: &Arc<Meter>) {
    let of = || meter.clone();
    let meter = of();
    environment.add_filter("batch", move |value: &Value, count: usize, fill: Option<Value>| {
        batch(&meter, &meter.entries(value)?, count, fill.as_ref())
    });
    let meter = of();
    environment.add_filter("slice", move |value: &Value, count: usize, fill: Option<Value>| {
        slices(&meter, &meter.entries(value)?, count, fill.as_ref())
    });
    let meter = of();
    environment.add_filter("string", |value: &Value| -> Result<Value, Error> {
        // One that stands for itself stays so.
        if value.as_str().is_some() {
            Ok(value.clone())
        } else {
            written("string", value).map(Value::from)
        }
    });
    environment.add_filter("list", move |value: &Value| meter.entries(value).map(Value::from));
    let meter = of();
    environment.add_filter("lines", move |text: Cow<'_, str>| pieces(&meter, text.lines()));
    let meter = of();
    environment.add_filter(
        "split",
        move |text: Cow<'_, str>, by: Option<Cow<'_, str>>, most: Option<i64>| {
            // As many splits as said make one piece more.
            let most = most.and_then(|it| usize::try_from(it).ok()).map(|it| it.saturating_add(1));
            split(&meter, &text, by.as_deref(), most)
        },
    );
    let meter = of();
    environment.add_filter("join", move |value: &Value, by: Option<Cow<'_, str>>| {
        join(&meter, value, &by.unwrap_or_default())
    });
    environment
        .add_filter("replace", |text: Cow<'_, str>, from: Cow<'_, str>, to: Cow<'_, str>| {
            replace(&text, &from, &to)
        });
    environment.add_filter(
        "indent",
        |text: Cow<'_, str>,
         width: Option<usize>,
         first: Option<bool>,
         blank: Option<bool>,
         named: Kwargs| { indent(&text, width, first, blank, &named) },
    );
    let meter = of();
    environment
        .add_filter("format", move |text: &str, values: Rest<Value>| format(&meter, text, &values));
    environment.add_filter("tojson", |value: &Value, indent: Option<Value>, named: Kwargs| {
        to_json(value, indent, &named)
    });
    for name in ["e", "escape"] {
        environment.add_filter(name, move |value: &Value| escape(style, value));
    }
}

fn add_tests(environment: &mut Environment<'static>) {
    environment.add_test("boolean", tests::is_boolean);
    environment.add_test("defined", tests::is_defined);
    environment.add_test("divisibleby", is_divisible);
    environment.add_test("endingwith", tests::is_endingwith);
    environment.add_test("even", tests::is_even);
    environment.add_test("false", tests::is_false);
    environment.add_test("float", tests::is_float);
    environment.add_test("in", tests::is_in);
    environment.add_test("int", tests::is_integer);
    environment.add_test("integer", tests::is_integer);
    environment.add_test("iterable", tests::is_iterable);
    environment.add_test("lower", tests::is_lower);
    environment.add_test("mapping", tests::is_mapping);
    environment.add_test("none", tests::is_none);
    environment.add_test("number", tests::is_number);
    environment.add_test("odd", tests::is_odd);
    environment.add_test("sameas", tests::is_sameas);
    environment.add_test("sequence", tests::is_sequence);
    environment.add_test("startingwith", tests::is_startingwith);
    environment.add_test("string", tests::is_string);
    environment.add_test("true", tests::is_true);
    environment.add_test("undefined", tests::is_undefined);
    environment.add_test("upper", tests::is_upper);
    for name in ["==", "eq", "equalto"] {
        environment.add_test(name, tests::is_eq);
    }
    for name in ["!=", "ne"] {
        environment.add_test(name, tests::is_ne);
    }
    for name in ["<", "lt", "lessthan"] {
        environment.add_test(name, tests::is_lt);
    }
    for name in ["<=", "le"] {
        environment.add_test(name, tests::is_le);
    }
    for name in [">", "gt", "greaterthan"] {
        environment.add_test(name, tests::is_gt);
    }
    for name in [">=", "ge"] {
        environment.add_test(name, tests::is_ge);
    }
}

fn batch(
    meter: &Meter,
    entries: &[Value],
    count: usize,
    fill: Option<&Value>,
) -> Result<Value, Error> {
    if count == 0 || count > LARGEST / STEP {
        return Err(refused("`batch` makes lists of at least one entry, and not of so many"));
    }
    if fill.is_some() {
        meter.spend(count.saturating_mul(STEP))?;
    }
    meter.spend(entries.len().div_ceil(count).saturating_mul(LIST))?;
    let batches = entries.chunks(count).map(|it| {
        let mut batch = it.to_vec();
        if let Some(fill) = fill {
            batch.resize(count, fill.clone());
        }
        Value::from(batch)
    });
    Ok(batches.collect())
}

fn slices(
    meter: &Meter,
    entries: &[Value],
    count: usize,
    fill: Option<&Value>,
) -> Result<Value, Error> {
    if count == 0 {
        return Err(refused("`slice` makes at least one list"));
    }
    meter.spend(count.saturating_mul(LIST))?;
    let (each, longer) = (entries.len() / count, entries.len() % count);
    let mut left = entries;
    let slices = (0..count).map(|at| {
        let (slice, rest) = left.split_at(each + usize::from(at < longer));
        left = rest;
        let mut slice = slice.to_vec();
        slice.extend(fill.filter(|_| at >= longer).cloned());
        Value::from(slice)
    });
    Ok(slices.collect())
}

fn pieces<'a>(meter: &Meter, pieces: impl Iterator<Item = &'a str>) -> Result<Value, Error> {
    let mut listed = Vec::new();
    for it in pieces {
        meter.spend(STEP + it.len())?;
        listed.push(Value::from(it));
    }
    Ok(listed.into())
}

fn split(meter: &Meter, text: &str, by: Option<&str>, most: Option<usize>) -> Result<Value, Error> {
    match (by, most) {
        (None, None) => pieces(meter, text.split_whitespace()),
        (None, Some(most)) => {
            let mut left = text.trim_start();
            let mut number = 1;
            pieces(
                meter,
                std::iter::from_fn(|| {
                    if left.is_empty() {
                        return None;
                    }
                    let end = left.find(char::is_whitespace).filter(|_| number < most);
                    let (piece, rest) = left.split_at(end.unwrap_or(left.len()));
                    left = rest.trim_start();
                    number += 1;
                    Some(piece)
                }),
            )
        }
        (Some(by), None) => pieces(meter, text.split(by)),
        (Some(by), Some(most)) => pieces(meter, text.splitn(most, by)),
    }
}

fn join(meter: &Meter, value: &Value, by: &str) -> Result<String, Error> {
    let mut text = String::new();
    for (at, it) in meter.entries(value)?.iter().enumerate() {
        if at > 0 {
            text.push_str(by);
        }
        match it.as_str() {
            Some(it) => {
                short("join", text.len() + it.len())?;
                text.push_str(it);
            }
            None => text.push_str(&written("join", it)?),
        }
        short("join", text.len())?;
    }
    Ok(text)
}

fn replace(text: &str, from: &str, to: &str) -> Result<String, Error> {
    let found = if to.len() > from.len() { text.matches(from).count() } else { 0 };
    short("replace", text.len().saturating_add(found.saturating_mul(to.len())))?;
    Ok(text.replace(from, to))
}

fn indent(
    text: &str,
    width: Option<usize>,
    first: Option<bool>,
    blank: Option<bool>,
    named: &Kwargs,
) -> Result<String, Error> {
    let width = width.or(named.get("width")?).unwrap_or(4);
    let first = first.or(named.get("first")?).unwrap_or(false);
    let blank = blank.or(named.get("blank")?).unwrap_or(false);
    named.assert_all_used()?;
    if width > WIDEST {
        return Err(refused(format!("`indent` moves lines by {WIDEST} at most")));
    }
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    short("indent", text.len() + (text.matches('\n').count() + 1) * width)?;
    let pad = " ".repeat(width);
    let mut indented = String::new();
    for (at, line) in text.split('\n').enumerate() {
        if at > 0 {
            indented.push('\n');
        }
        if (at > 0 || first) && (blank || !line.is_empty()) {
            indented.push_str(&pad);
        }
        indented.push_str(line);
    }
    Ok(indented)
}

/// `"%05.1f"` and the like. Widths are counted before anything is as wide.
fn format(meter: &Meter, text: &str, values: &[Value]) -> Result<String, Error> {
    let mut largest = text.len();
    let mut values_size: usize = 0;
    for it in values {
        meter.weigh(it)?;
        values_size += write_value(it)?.len();
        short("format", values_size)?;
    }
    // What stands in the brackets could be anything, also what looks like the next value.
    if text.contains("%(") {
        return Err(refused(
            "`format` takes values in their order, and none by a name in brackets",
        ));
    }
    let mut parts = text.split('%');
    parts.next();
    for it in parts {
        let spec = it.trim_start_matches(['#', '0', '-', ' ', '+']);
        let end = spec.find(|it: char| !it.is_ascii_digit() && it != '.').unwrap_or(spec.len());
        if spec[end..].starts_with('*') {
            return Err(refused("`format` takes widths as numbers only"));
        }
        // The longest number that a double holds has some 330 digits, and its bits are not many more.
        largest = largest.saturating_add(1_200).saturating_add(values_size);
        for number in spec[..end].split('.').filter(|it| !it.is_empty()) {
            let width = number.parse::<usize>().unwrap_or(usize::MAX);
            if width > WIDEST_FORMAT {
                return Err(refused(format!("`format` makes values {WIDEST_FORMAT} wide at most")));
            }
            largest = largest.saturating_add(width);
        }
    }
    short("format", largest)?;
    meter.spend(largest)?;
    minijinja::format_filter(minijinja::FormatStyle::Printf, text, values)
}

fn to_json(value: &Value, indent: Option<Value>, named: &Kwargs) -> Result<String, Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => named.get::<Option<Value>>("indent")?,
    };
    named.assert_all_used()?;
    let indent = match indent.filter(|it| !it.is_none()) {
        None => None,
        Some(it) if it.kind() == ValueKind::Bool => it.is_true().then_some(2),
        Some(it) => Some(it.as_usize().unwrap_or(usize::MAX)),
    };
    if indent.is_some_and(|it| it > WIDEST) {
        return Err(refused(format!("`tojson` indents by {WIDEST} at most")));
    }
    let mut out = super::Bounded(Vec::new());
    let written = if let Some(indent) = indent {
        let pad = " ".repeat(indent);
        let pretty = serde_json::ser::PrettyFormatter::with_indent(pad.as_bytes());
        let mut to = serde_json::Serializer::with_formatter(&mut out, pretty);
        serde::Serialize::serialize(value, &mut to)
    } else {
        serde_json::to_writer(&mut out, value)
    };
    match written {
        Ok(()) => String::from_utf8(out.0).map_err(|_| refused("`tojson` made no text")),
        Err(err) if err.is_io() => short("tojson", usize::MAX).map(|()| String::new()),
        Err(err) => Err(refused(err.to_string())),
    }
}

/// Whether a number is a multiple of another.
fn is_divisible(value: &Value, by: &Value) -> Result<bool, Error> {
    if let (Ok(value), Ok(by)) = (i128::try_from(value.clone()), i128::try_from(by.clone())) {
        if by == 0 {
            return Err(refused("nothing is divisible by 0"));
        }
        // The least number of all by -1 has no remainder either.
        return Ok(value.checked_rem(by).is_none_or(|it| it == 0));
    }
    let number = |it: &Value| f64::try_from(it.clone());
    Ok(matches!((number(value), number(by)), (Ok(value), Ok(by)) if value % by == 0.0))
}

/// Where values stand for themselves already, there is nothing to escape.
fn escape(style: Style, value: &Value) -> Result<String, Error> {
    let text = write_value(value)?;
    if style != Style::Plain {
        return Ok(text);
    }
    short("escape", text.len())?;
    let mut escaped = String::with_capacity(text.len());
    for it in text.chars() {
        match it {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#x27;"),
            other => escaped.push(other),
        }
    }
    Ok(escaped)
}
