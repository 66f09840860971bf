//! Whether a workflow's actions are taken: a pure function of results.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::decimal::Decimal;
use crate::definition::{Faults, Fields};
use crate::ports::Fault;
use crate::result::{Glance, StepResult, text_of};
use crate::template::Names;

/// The most conditions inside of each other, and in one list.
const DEEPEST: usize = 5;
const MOST: usize = 20;

/// From how many earlier runs a usual range is learned: unless it is said, and at most.
const USUAL_WINDOW: u64 = 30;
const LONGEST_WINDOW: u64 = 200;

/// With fewer earlier values nothing is known about what is usual.
const LEAST_LEARNED: usize = 8;

/// How many columns are named to whoever asked for one that is not there.
const SHOWN: usize = 20;

/// The most digits of a number that comes as a text.
const MOST_DIGITS: usize = 500;

/// The largest number up to which doubles hold every whole one: 2^53.
const LARGEST_WHOLE: f64 = 9_007_199_254_740_992.0;

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// All of them.
    All(Vec<Self>),
    /// At least one of them.
    Any(Vec<Self>),
    /// A comparison of the number of rows.
    RowCount {
        /// Of which step.
        step: String,
        /// How it is compared.
        is: Comparison,
        /// With what.
        value: Decimal,
    },
    /// A comparison of a column's numbers.
    Value {
        /// Where they stand.
        cells: Cells,
        /// How they are compared.
        is: Comparison,
        /// With what.
        value: Decimal,
    },
    /// A comparison of a column's texts.
    Text {
        /// Where they stand.
        cells: Cells,
        /// How they are compared.
        is: Match,
        /// With what.
        value: String,
    },
    /// How much a number changed since the run before.
    Change {
        /// What is measured.
        measure: Measure,
        /// In percent of what it was, or as it is.
        percent: bool,
        /// How it is compared: the change has its sign.
        is: Comparison,
        /// With what.
        value: Decimal,
    },
    /// Whether a number is out of the range that earlier runs had it in.
    Anomaly {
        /// What is measured.
        measure: Measure,
        /// On which side of the range.
        side: Side,
        /// From how many earlier runs at most the range is learned.
        window: usize,
        /// How wide the range is, in usual deviations to either side.
        sensitivity: f64,
    },
}

/// A number that a run gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Of which step.
    pub step: String,
    /// Of which column's value in the first row; `None` for the number of rows.
    pub column: Option<String>,
}

impl Measure {
    fn read(fields: &mut Fields<'_>, names: &Names, faults: &mut Faults) -> Option<Self> {
        let step = crate::definition::read_step(fields, names, faults);
        let column = fields.text("column", 200, faults).map(str::to_owned);
        step.map(|step| Self { step, column })
    }

    fn now(&self, results: &Results) -> Option<Value> {
        let result = results.get(&self.step)?;
        match &self.column {
            Some(column) => result.first(column).cloned(),
            None => Some(result.row_count().into()),
        }
    }

    fn then(&self, earlier: &Earlier) -> Option<Value> {
        let glance = earlier.get(&self.step)?;
        match &self.column {
            Some(column) => glance.first(column).cloned(),
            None => Some(glance.row_count.into()),
        }
    }
}

/// On which side of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// On either.
    Outside,
    /// Above it.
    Above,
    /// Below it.
    Below,
}

/// Cells of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cells {
    /// Of which step.
    pub step: String,
    /// In which column.
    pub column: String,
    /// In which rows.
    pub rows: Which,
}

/// Which rows count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The first.
    First,
    /// One is enough.
    Any,
    /// Every one; of no rows it is not known.
    All,
}

/// How numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are the usual six")]
pub enum Comparison {
    Less,
    AtMost,
    Equal,
    NotEqual,
    AtLeast,
    More,
}

/// How texts are compared, letter by letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names say it")]
pub enum Match {
    Equals,
    NotEquals,
    Contains,
    NotContains,
    StartsWith,
    EndsWith,
}

/// What came of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It holds.
    Met,
    /// It does not hold.
    NotMet,
    /// It cannot be said: a null, a text where a number is needed, no run before.
    Unknown,
}

impl Verdict {
    fn of(holds: bool) -> Self {
        if holds { Self::Met } else { Self::NotMet }
    }
}

const COMPARISONS: [(&str, Comparison); 6] = [
    ("<", Comparison::Less),
    ("<=", Comparison::AtMost),
    ("=", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    (">=", Comparison::AtLeast),
    (">", Comparison::More),
];

const MATCHES: [(&str, Match); 6] = [
    ("equals", Match::Equals),
    ("not_equals", Match::NotEquals),
    ("contains", Match::Contains),
    ("not_contains", Match::NotContains),
    ("starts_with", Match::StartsWith),
    ("ends_with", Match::EndsWith),
];

impl Comparison {
    fn holds(self, left: &Decimal, right: &Decimal) -> bool {
        match self {
            Self::Less => left < right,
            Self::AtMost => left <= right,
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::AtLeast => left >= right,
            Self::More => left > right,
        }
    }
}

impl Match {
    fn holds(self, text: &str, with: &str) -> bool {
        match self {
            Self::Equals => text == with,
            Self::NotEquals => text != with,
            Self::Contains => text.contains(with),
            Self::NotContains => !text.contains(with),
            Self::StartsWith => text.starts_with(with),
            Self::EndsWith => text.ends_with(with),
        }
    }
}

/// The results of one run, by the steps' names.
pub type Results = HashMap<String, Arc<StepResult>>;

/// What is kept in mind of an earlier run, by the steps' names.
pub type Earlier = HashMap<String, Glance>;

impl Condition {
    pub(crate) fn read(
        value: &Value,
        pointer: &str,
        names: &Names,
        faults: &mut Faults,
    ) -> Option<Self> {
        Self::read_at(value, pointer, names, faults, 1)
    }

    fn read_at(
        value: &Value,
        pointer: &str,
        names: &Names,
        faults: &mut Faults,
        depth: usize,
    ) -> Option<Self> {
        let mut fields = Fields::of(value, pointer, faults);
        if depth > DEEPEST {
            faults.add(
                pointer,
                format!("conditions stand at most {DEEPEST} deep inside of each other"),
            );
            return None;
        }
        let kinds = [
            ("all", 'a'),
            ("any", 'o'),
            ("row_count", 'r'),
            ("has_rows", 'h'),
            ("no_rows", 'n'),
            ("value", 'v'),
            ("text", 't'),
            ("change", 'c'),
            ("anomaly", 'y'),
        ];
        fields.need("type", faults);
        let kind = fields.word("type", &kinds, faults)?;
        let read = match kind {
            'a' | 'o' => {
                let listed = fields.list("of", MOST, faults);
                if listed.is_empty() {
                    faults.add(&fields.at("of"), "has to hold at least one condition");
                }
                let mut of = Vec::new();
                for (pointer, it) in listed {
                    of.extend(Self::read_at(it, &pointer, names, faults, depth + 1));
                }
                Some(if kind == 'a' { Self::All(of) } else { Self::Any(of) })
            }
            'h' | 'n' => {
                let step = crate::definition::read_step(&mut fields, names, faults);
                let is = if kind == 'h' { Comparison::More } else { Comparison::Equal };
                step.map(|step| Self::RowCount { step, is, value: 0.into() })
            }
            'r' => {
                let step = crate::definition::read_step(&mut fields, names, faults);
                let compared = read_comparison(&mut fields, faults);
                step.zip(compared).map(|(step, (is, value))| Self::RowCount { step, is, value })
            }
            'v' => {
                let cells = read_cells(&mut fields, names, faults);
                let compared = read_comparison(&mut fields, faults);
                cells.zip(compared).map(|(cells, (is, value))| Self::Value { cells, is, value })
            }
            't' => {
                let cells = read_cells(&mut fields, names, faults);
                fields.need("is", faults);
                let is = fields.word("is", &MATCHES, faults);
                let value = fields.need_text("value", 1_000, faults).map(str::to_owned);
                cells.zip(is.zip(value)).map(|(cells, (is, value))| Self::Text { cells, is, value })
            }
            'y' => {
                let measure = Measure::read(&mut fields, names, faults);
                let sides =
                    [("outside", Side::Outside), ("above", Side::Above), ("below", Side::Below)];
                let side = fields.word("is", &sides, faults).unwrap_or(Side::Outside);
                let least = LEAST_LEARNED as u64;
                let window = fields.whole("window", least..=LONGEST_WINDOW, faults);
                let window =
                    usize::try_from(window.unwrap_or(USUAL_WINDOW)).unwrap_or(LEAST_LEARNED);
                let sensitivity = read_sensitivity(&mut fields, faults);
                measure.map(|measure| Self::Anomaly { measure, side, window, sensitivity })
            }
            _ => {
                let measure = Measure::read(&mut fields, names, faults);
                let by = [("absolute", false), ("percent", true)];
                let percent = fields.word("by", &by, faults).unwrap_or(false);
                let compared = read_comparison(&mut fields, faults);
                measure.zip(compared).map(|(measure, (is, value))| Self::Change {
                    measure,
                    percent,
                    is,
                    value,
                })
            }
        };
        fields.end(faults);
        read
    }

    /// At how many earlier runs it looks.
    pub fn looks_back(&self) -> usize {
        match self {
            Self::All(of) | Self::Any(of) => {
                of.iter().map(Self::looks_back).max().unwrap_or_default()
            }
            Self::Change { .. } => 1,
            Self::Anomaly { window, .. } => *window,
            Self::RowCount { .. } | Self::Value { .. } | Self::Text { .. } => 0,
        }
    }

    /// Whether what a step found has the columns that are asked of it. A name that is not there is never there: without a word
    /// it would be unknown each time.
    ///
    /// # Errors
    ///
    /// What is missing, and what there is.
    pub fn fits(&self, step: &str, columns: &[String]) -> Result<(), Fault> {
        let asked = match self {
            Self::All(of) | Self::Any(of) => {
                return of.iter().try_for_each(|it| it.fits(step, columns));
            }
            Self::RowCount { .. } => None,
            Self::Value { cells, .. } | Self::Text { cells, .. } => {
                Some((&cells.step, &cells.column))
            }
            Self::Change { measure, .. } | Self::Anomaly { measure, .. } => {
                measure.column.as_ref().map(|column| (&measure.step, column))
            }
        };
        match asked {
            Some((of, column)) if of == step && !columns.contains(column) => {
                let mut known: Vec<_> =
                    columns.iter().take(SHOWN).map(|it| format!("`{it}`")).collect();
                if columns.len() > SHOWN {
                    known.push(format!("{} more", columns.len() - SHOWN));
                }
                let known = known.join(", ");
                Err(Fault::permanent(format!(
                    "a condition asks for the column `{column}`, but there is {known}"
                )))
            }
            _ => Ok(()),
        }
    }

    /// What comes of it: `before` are the earlier runs that got so far, newest first.
    pub fn judge(&self, now: &Results, before: &[Earlier]) -> Verdict {
        match self {
            Self::All(of) => {
                let all: Vec<_> = of.iter().map(|it| it.judge(now, before)).collect();
                if all.contains(&Verdict::NotMet) {
                    Verdict::NotMet
                } else if all.contains(&Verdict::Unknown) {
                    Verdict::Unknown
                } else {
                    Verdict::Met
                }
            }
            Self::Any(of) => {
                let all: Vec<_> = of.iter().map(|it| it.judge(now, before)).collect();
                if all.contains(&Verdict::Met) {
                    Verdict::Met
                } else if all.contains(&Verdict::Unknown) {
                    Verdict::Unknown
                } else {
                    Verdict::NotMet
                }
            }
            Self::RowCount { step, is, value } => match now.get(step) {
                Some(result) => Verdict::of(is.holds(&result.row_count().into(), value)),
                None => Verdict::Unknown,
            },
            Self::Value { cells, is, value } => {
                judge_cells(now, cells, |it| Decimal::of(it).map(|it| is.holds(&it, value)))
            }
            Self::Text { cells, is, value } => {
                judge_cells(now, cells, |it| (!it.is_null()).then(|| is.holds(&text_of(it), value)))
            }
            Self::Change { measure, percent, is, value } => {
                let read = |it: Option<Value>| Decimal::of(&it?);
                let then = read(before.first().and_then(|it| measure.then(it)));
                let Some((now, then)) = read(measure.now(now)).zip(then) else {
                    return Verdict::Unknown;
                };
                let change = now.minus(&then);
                Verdict::of(if !percent {
                    is.holds(&change, value)
                } else if then.is_zero() {
                    // From nothing to something has no percentage; from nothing to nothing is none.
                    if !change.is_zero() {
                        return Verdict::Unknown;
                    }
                    is.holds(&change, value)
                } else {
                    // Both sides times what it was: a quotient need not end.
                    is.holds(&change.times(&100.into()), &value.times(&then.magnitude()))
                })
            }
            Self::Anomaly { measure, side, window, sensitivity } => {
                let before = before.iter().take(*window);
                let learned = before.filter_map(|it| number(&measure.then(it)?)).collect();
                let now = measure.now(now).and_then(|it| number(&it));
                let Some((now, range)) = now.zip(usual(learned, *sensitivity)) else {
                    return Verdict::Unknown;
                };
                let (below, above) = (now < *range.start(), now > *range.end());
                Verdict::of(match side {
                    Side::Outside => below || above,
                    Side::Above => above,
                    Side::Below => below,
                })
            }
        }
    }
}

/// The range in which earlier values lie; `None` for too few. Median and median deviation: some values that were out of it
/// do not widen it. Where most were the same, the standard deviation says how far the others were; where all were, the range
/// is that value.
fn usual(mut values: Vec<f64>, sensitivity: f64) -> Option<std::ops::RangeInclusive<f64>> {
    if values.len() < LEAST_LEARNED {
        return None;
    }
    let middle = median(&mut values);
    let mut far: Vec<f64> = values.iter().map(|it| (it - middle).abs()).collect();
    // So that of a bell curve either is its standard deviation.
    let mut spread = 1.4826 * median(&mut far);
    if spread == 0.0 {
        spread = (far.iter().map(|it| it * it).sum::<f64>() / count(far.len() as u64)).sqrt();
    }
    let width = sensitivity * spread;
    Some(middle - width..=middle + width)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) }
}

#[expect(clippy::cast_precision_loss, reason = "results have at most some thousand rows")]
fn count(rows: u64) -> f64 {
    rows as f64
}

/// A number of a result as a double, for what is learned: one that a double holds comes as a number, others as their texts.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(it) => it.as_f64(),
        Value::String(text) => text.trim().parse().ok().filter(|it: &f64| it.is_finite()),
        _ => None,
    }
}

fn judge_cells(
    results: &Results,
    cells: &Cells,
    holds: impl Fn(&Value) -> Option<bool>,
) -> Verdict {
    let Some(result) = results.get(&cells.step) else { return Verdict::Unknown };
    let Some(column) = result.column(&cells.column) else { return Verdict::Unknown };
    let mut judged = result.rows.iter().map(|row| row.get(column).and_then(&holds));
    match cells.rows {
        Which::First => judged.next().flatten().map_or(Verdict::Unknown, Verdict::of),
        Which::Any => {
            let judged: Vec<_> = judged.collect();
            if judged.contains(&Some(true)) {
                Verdict::Met
            } else if judged.contains(&None) {
                Verdict::Unknown
            } else {
                Verdict::NotMet
            }
        }
        Which::All => {
            let judged: Vec<_> = judged.collect();
            if judged.contains(&Some(false)) {
                Verdict::NotMet
            } else if judged.is_empty() || judged.contains(&None) {
                Verdict::Unknown
            } else {
                Verdict::Met
            }
        }
    }
}

fn read_cells(fields: &mut Fields<'_>, names: &Names, faults: &mut Faults) -> Option<Cells> {
    let step = crate::definition::read_step(fields, names, faults);
    let column = fields.need_text("column", 200, faults).map(str::to_owned);
    let rows = [("first", Which::First), ("any", Which::Any), ("all", Which::All)];
    let rows = fields.word("rows", &rows, faults).unwrap_or(Which::First);
    Some(Cells { step: step?, column: column?, rows })
}

fn read_comparison(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<(Comparison, Decimal)> {
    fields.need("is", faults);
    let is = fields.word("is", &COMPARISONS, faults);
    let value = fields.need("value", faults).and_then(|it| {
        let number = read_number(it);
        if number.is_none() {
            faults.add(&fields.at("value"), "has to be a number, or a string of its digits");
        }
        number
    });
    is.zip(value)
}

/// A number, or a text that is one, to the last digit of what is written.
fn read_number(value: &Value) -> Option<Decimal> {
    match value {
        Value::String(text) if text.len() > MOST_DIGITS => None,
        Value::String(text) => Decimal::parse(text),
        it => Decimal::of(it),
    }
}

/// Finds numbers that may have been others when they were sent: JSON's readers round what a double does not hold. What was
/// stored before this was asked is still read.
pub(crate) fn check_sent(condition: &Value, pointer: &str, faults: &mut Faults) {
    for (at, it) in condition["of"].as_array().into_iter().flatten().enumerate() {
        check_sent(it, &format!("{pointer}/of/{at}"), faults);
    }
    // Where it is compared with texts, a number is refused as it is.
    if condition["type"] != "text" {
        check_number(&condition["value"], &format!("{pointer}/value"), faults);
    }
}

/// The same for every number in JSON that is to be sent on.
pub(crate) fn check_sent_json(json: &Value, pointer: &str, faults: &mut Faults) {
    match json {
        Value::Number(_) => check_number(json, pointer, faults),
        Value::Array(items) => {
            for (at, it) in items.iter().enumerate() {
                check_sent_json(it, &format!("{pointer}/{at}"), faults);
            }
        }
        Value::Object(entries) => {
            for (name, it) in entries {
                let name = name.replace('~', "~0").replace('/', "~1");
                check_sent_json(it, &format!("{pointer}/{name}"), faults);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn check_number(value: &Value, pointer: &str, faults: &mut Faults) {
    let double = value.as_number().filter(|it| it.is_f64()).and_then(serde_json::Number::as_f64);
    if double.is_some_and(|it| it.abs() > LARGEST_WHOLE) {
        faults.add(pointer, "is too large to be sent as this number; send it as a string");
    }
}

/// From 1 (a wide awake alarm) to 10, in usual deviations.
fn read_sensitivity(fields: &mut Fields<'_>, faults: &mut Faults) -> f64 {
    let Some(value) = fields.get("sensitivity") else { return 3.0 };
    let read = value.as_f64().filter(|it| (1.0..=10.0).contains(it));
    if read.is_none() {
        faults.add(&fields.at("sensitivity"), "has to be a number from 1 to 10");
    }
    read.unwrap_or(3.0)
}

#[cfg(test)]
mod tests;
