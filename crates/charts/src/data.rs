use jiff::civil::{Date, DateTime};
use serde_json::Value;

/// Of what sort a column's values are, for a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnKind {
    /// JSON numbers, or strings of digits where a double would lose some.
    Number,
    /// `2026-01-02`.
    Date,
    /// `2026-01-02T03:04:05`, perhaps with an offset.
    Timestamp,
    /// Everything else: words.
    Text,
}

impl ColumnKind {
    /// From a type's name as `format_type` prints it, like `numeric(12,2)`. Arrays are words.
    pub fn of_type(name: &str) -> Self {
        let base = name.split('(').next().unwrap_or_default().trim_end();
        if name.ends_with("[]") {
            return Self::Text;
        }
        match base {
            "smallint" | "integer" | "bigint" | "oid" | "real" | "double precision" | "numeric"
            | "money" => Self::Number,
            "date" => Self::Date,
            _ if base.starts_with("timestamp") => Self::Timestamp,
            _ => Self::Text,
        }
    }

    /// Whether it is a moment.
    pub fn is_time(self) -> bool {
        matches!(self, Self::Date | Self::Timestamp)
    }

    /// Whether it is words.
    pub fn is_name(self) -> bool {
        self == Self::Text
    }
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// As the statement named it; not always unique.
    pub name: String,
    /// What its values are.
    pub kind: ColumnKind,
}

/// A result.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Data {
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its rows, a value for each column.
    pub rows: Vec<Vec<Value>>,
    /// Whether there were more rows than these.
    pub more: bool,
}

impl Data {
    pub(crate) fn value(&self, row: usize, column: usize) -> &Value {
        self.rows[row].get(column).unwrap_or(&Value::Null)
    }

    pub(crate) fn number(&self, row: usize, column: usize) -> Option<f64> {
        number(self.value(row, column))
    }

    /// A place on a line of time, in seconds; `None` for null and for what no calendar has, like `infinity`.
    pub(crate) fn moment(&self, row: usize, column: usize) -> Option<f64> {
        moment(self.value(row, column).as_str()?)
    }

    pub(crate) fn label(&self, row: usize, column: usize) -> String {
        label(self.value(row, column))
    }

    /// The largest number among the rows that are drawn tells how many rows that are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}

/// A finite number. One that comes as a text because a double cannot hold it exactly is near enough for a picture; money
/// comes with a sign and commas.
pub(crate) fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(it) => it.as_f64(),
        Value::String(text) => text.parse().ok().or_else(|| money(text)),
        Value::Bool(it) => Some(f64::from(u8::from(*it))),
        _ => None,
    };
    number.filter(|it: &f64| it.is_finite())
}

fn money(text: &str) -> Option<f64> {
    let kept: String = text.chars().filter(|it| matches!(it, '0'..='9' | '.' | '-')).collect();
    let known = text.chars().all(|it| matches!(it, '0'..='9' | '.' | ',' | '-' | '$' | '€' | '£'));
    if known { kept.parse().ok() } else { None }
}

/// How far that clock is ahead of Greenwich, in seconds: what tells the two hours apart that have the same name in the night in
/// which clocks go back. Zero where nothing is said.
pub(crate) fn offset(text: &str) -> f64 {
    let Some(at) = text.get(10..).and_then(|it| it.find(['+', '-'])) else { return 0.0 };
    let (sign, parts) = text[10 + at..].split_at(1);
    let parts = parts.split(':').map(|it| it.parse().unwrap_or(0.0));
    let seconds: f64 = parts.zip([3600.0, 60.0, 1.0]).map(|(part, of)| part * of).sum();
    if sign == "-" { -seconds } else { seconds }
}

/// As what it is shown: the clock on the wall where the result was made, whatever its offset.
pub(crate) fn moment(text: &str) -> Option<f64> {
    let at = if text.len() == 10 {
        text.parse::<Date>().ok()?.at(0, 0, 0, 0)
    } else {
        let mut wall = text.replacen(' ', "T", 1);
        // What follows the time of day is an offset.
        let day = wall.find('T')?;
        if let Some(offset) = wall[day..].find(['+', '-', 'Z']) {
            wall.truncate(day + offset);
        }
        wall.parse::<DateTime>().ok()?
    };
    let midnight = at.date().duration_since(Date::constant(1970, 1, 1)).as_secs_f64();
    let of_day = at.time().duration_since(jiff::civil::Time::midnight()).as_secs_f64();
    Some(midnight + of_day)
}

/// The wall clock at that place on the line of time.
pub(crate) fn wall(moment: f64) -> DateTime {
    let seconds = jiff::SignedDuration::try_from_secs_f64(moment).unwrap_or_default();
    let start = Date::constant(1970, 1, 1).at(0, 0, 0, 0);
    start.saturating_add(seconds)
}

/// What stands for a value in words.
pub(crate) fn label(value: &Value) -> String {
    match value {
        Value::Null => "(none)".to_owned(),
        Value::String(text) if text.trim().is_empty() => "(empty)".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn types_tell_what_values_are() {
        for (name, kind) in [
            ("bigint", ColumnKind::Number),
            ("numeric(12,2)", ColumnKind::Number),
            ("double precision", ColumnKind::Number),
            ("date", ColumnKind::Date),
            ("timestamp(3) with time zone", ColumnKind::Timestamp),
            ("timestamp without time zone", ColumnKind::Timestamp),
            ("integer[]", ColumnKind::Text),
            ("character varying(20)", ColumnKind::Text),
            ("daterange", ColumnKind::Text),
        ] {
            assert_eq!(ColumnKind::of_type(name), kind, "{name}");
        }
    }

    #[test]
    fn moments_are_read_as_the_clock_on_the_wall() {
        let day = moment("2026-01-02").unwrap();
        assert!((day - 20_455.0 * 86_400.0).abs() < 1e-6);
        assert_eq!(moment("2026-01-02T03:04:05+02:00"), moment("2026-01-02T03:04:05"));
        assert_eq!(moment("2026-01-02 00:00:00.5-05"), Some(day + 0.5));
        assert_eq!(moment("infinity"), None);
        assert_eq!(moment("2026-13-02"), None);
        assert_eq!(wall(day + 3661.0).to_string(), "2026-01-02T01:01:01");
        assert_eq!(moment("0044-03-15 BC"), None);
        for (text, seconds) in [
            ("2026-10-25T02:00:00+02:00", 7200.0),
            ("2026-10-25 02:00:00+01", 3600.0),
            ("2026-10-25T02:00:00.5-03:30", -12_600.0),
            ("1880-01-01 00:00:00-00:01:15", -75.0),
            ("2026-10-25T02:00:00Z", 0.0),
            ("2026-10-25", 0.0),
            ("é", 0.0),
        ] {
            assert!((offset(text) - seconds).abs() < 1e-9, "{text}");
        }
    }

    #[test]
    fn numbers_come_in_several_forms() {
        assert_eq!(number(&json!("12345678901234567890")), Some(12_345_678_901_234_567_890.0));
        assert_eq!(number(&json!("-$1,234.50")), Some(-1234.5));
        assert_eq!(number(&json!("NaN")), None);
        assert_eq!(number(&json!("12 apples")), None);
        assert_eq!(number(&json!(null)), None);
    }
}
