use serde_json::{Map, Value};

use crate::Kind;

/// What is done with names or series that a picture has no room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Others {
    /// They are added up under the name "Others".
    #[default]
    Sum,
    /// They are left out, and the picture says how many: sums of averages say nothing.
    Hide,
}

/// How one kind of picture is made, beside what every result decides by itself. Fields that a kind does not know are
/// never set by [`Options::parse`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own that callers set")]
pub struct Options {
    /// The column of the horizontal axis; of a pie the names of its slices.
    pub x: Option<String>,
    /// The columns that are measured; of a pie, a metric and a heatmap one.
    pub y: Vec<String>,
    /// The column whose values divide the rows into series; of a heatmap the vertical axis.
    pub series: Option<String>,
    /// The column that gives points their size.
    pub size: Option<String>,
    /// The column that a metric is compared with.
    pub compare: Option<String>,
    /// The columns of a table, in order; all where empty.
    pub columns: Vec<String>,
    /// Whether series stand upon each other.
    pub stacked: bool,
    /// Whether bars lie.
    pub horizontal: bool,
    /// Whether a pie has a hole.
    pub donut: bool,
    /// Whether the axis of a line or of points begins with zero.
    pub zero: bool,
    /// Names or slices at most.
    pub most: Option<u16>,
    /// Series at most.
    pub most_series: Option<u16>,
    /// See [`Others`].
    pub others: Others,
    /// Before a metric.
    pub prefix: String,
    /// After it.
    pub suffix: String,
    /// Its decimals.
    pub decimals: Option<u8>,
    /// The words of a text.
    pub text: String,
}

/// What is wrong with one option.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} {rule}")]
pub struct InvalidOption {
    /// Which.
    pub name: String,
    /// What is wrong, in a sentence that goes on after the name.
    pub rule: String,
}

/// Options by kind: names that callers write.
const COMMON: [(&str, &[Kind]); 17] = [
    ("x", &[Kind::Bar, Kind::Line, Kind::Area, Kind::Scatter, Kind::Heatmap]),
    ("y", &[Kind::Bar, Kind::Line, Kind::Area, Kind::Scatter, Kind::Heatmap]),
    ("series", &[Kind::Bar, Kind::Line, Kind::Area, Kind::Scatter]),
    ("size", &[Kind::Scatter]),
    ("label", &[Kind::Pie]),
    ("value", &[Kind::Pie, Kind::Heatmap, Kind::Metric]),
    ("compare", &[Kind::Metric]),
    ("columns", &[Kind::Table]),
    ("stacked", &[Kind::Bar, Kind::Area]),
    ("horizontal", &[Kind::Bar]),
    ("donut", &[Kind::Pie]),
    ("zero", &[Kind::Line, Kind::Scatter]),
    ("max_categories", &[Kind::Bar, Kind::Pie]),
    ("max_series", &[Kind::Bar, Kind::Line, Kind::Area, Kind::Scatter]),
    ("others", &[Kind::Bar, Kind::Line, Kind::Area, Kind::Pie]),
    ("prefix", &[Kind::Metric]),
    ("suffix", &[Kind::Metric]),
];

/// The same, of fewer kinds.
const RARE: [(&str, &[Kind]); 2] = [("decimals", &[Kind::Metric]), ("text", &[Kind::Text])];

/// The longest name of a column that Postgres gives, in characters.
const COLUMN_CHARACTERS: usize = 63;

/// The longest text of a text, in characters.
const TEXT_CHARACTERS: usize = 4_000;

impl Options {
    /// Reads what a caller sent for a picture of that kind; null and `{}` leave everything to the result.
    ///
    /// # Errors
    ///
    /// Everything that is wrong: options that the kind does not have, and values that they cannot have.
    pub fn parse(kind: Kind, sent: &Value) -> Result<Self, Vec<InvalidOption>> {
        let empty = Map::new();
        let fields = match sent {
            Value::Null => &empty,
            Value::Object(fields) => fields,
            _ => return Err(vec![fault("", "have to be an object")]),
        };
        let mut faults = Vec::new();
        let known = || COMMON.iter().chain(&RARE).filter(|it| it.1.contains(&kind)).map(|it| it.0);
        for name in fields.keys() {
            if !known().any(|it| it == name) {
                let all: Vec<_> = known().map(|it| format!("`{it}`")).collect();
                faults.push(fault(
                    name,
                    format!("is no option of a {kind}; there are {}", all.join(", ")),
                ));
            }
        }
        let mut read = Reading { fields, faults: &mut faults };
        let mut options = Self {
            x: read.column("x").or_else(|| read.column("label")),
            size: read.column("size"),
            compare: read.column("compare"),
            columns: read.columns("columns", 50),
            stacked: read.flag("stacked"),
            horizontal: read.flag("horizontal"),
            donut: read.flag("donut"),
            zero: read.flag("zero"),
            most: read.whole("max_categories", 2..=200),
            most_series: read.whole("max_series", 1..=20),
            others: read.others(),
            prefix: read.text("prefix", 10),
            suffix: read.text("suffix", 10),
            decimals: read.whole("decimals", 0..=9).and_then(|it| u8::try_from(it).ok()),
            text: read.text("text", TEXT_CHARACTERS),
            ..Self::default()
        };
        if kind == Kind::Heatmap {
            options.series = read.column("y");
            options.y = read.column("value").into_iter().collect();
        } else {
            options.series = read.column("series");
            options.y = match kind {
                Kind::Pie | Kind::Metric => read.column("value").into_iter().collect(),
                Kind::Scatter => read.column("y").into_iter().collect(),
                _ => read.columns("y", 20),
            };
        }
        if options.y.len() > 1 && options.series.is_some() {
            read.fault("series", "divides one measure; with several in `y` leave it out");
        }
        if kind == Kind::Text && options.text.trim().is_empty() {
            read.fault("text", "is missing");
        }
        if faults.is_empty() { Ok(options) } else { Err(faults) }
    }
}

fn fault(name: &str, rule: impl Into<String>) -> InvalidOption {
    InvalidOption { name: name.to_owned(), rule: rule.into() }
}

struct Reading<'a> {
    fields: &'a Map<String, Value>,
    faults: &'a mut Vec<InvalidOption>,
}

impl Reading<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|it| !it.is_null())
    }

    fn fault(&mut self, name: &str, rule: impl Into<String>) {
        self.faults.push(fault(name, rule));
    }

    fn column(&mut self, name: &str) -> Option<String> {
        let value = self.get(name)?;
        let text = value.as_str().filter(|it| is_column(it)).map(str::to_owned);
        if text.is_none() {
            self.fault(name, "has to be the name of a column");
        }
        text
    }

    fn columns(&mut self, name: &str, most: usize) -> Vec<String> {
        let Some(value) = self.get(name) else { return Vec::new() };
        let names: Option<Vec<String>> = match value {
            Value::String(text) if is_column(text) => Some(vec![text.clone()]),
            Value::Array(items) if (1..=most).contains(&items.len()) => items
                .iter()
                .map(|it| it.as_str().filter(|it| is_column(it)).map(str::to_owned))
                .collect(),
            _ => None,
        };
        let Some(names) = names else {
            self.fault(name, format!("has to be a list of 1 to {most} names of columns"));
            return Vec::new();
        };
        if (1..names.len()).any(|it| names[..it].contains(&names[it])) {
            self.fault(name, "names a column twice");
        }
        names
    }

    fn flag(&mut self, name: &str) -> bool {
        match self.get(name) {
            None => false,
            Some(Value::Bool(it)) => *it,
            Some(_) => {
                self.fault(name, "has to be true or false");
                false
            }
        }
    }

    fn whole(&mut self, name: &str, range: std::ops::RangeInclusive<u16>) -> Option<u16> {
        let value = self.get(name)?.as_u64();
        let number = value.and_then(|it| u16::try_from(it).ok()).filter(|it| range.contains(it));
        if number.is_none() {
            let (least, most) = (range.start(), range.end());
            self.fault(name, format!("has to be a whole number from {least} to {most}"));
        }
        number
    }

    fn text(&mut self, name: &str, most: usize) -> String {
        let Some(value) = self.get(name) else { return String::new() };
        let text = value.as_str().filter(|it| it.chars().count() <= most && !it.contains('\0'));
        if let Some(text) = text {
            return text.to_owned();
        }
        self.fault(name, format!("has to be a text of at most {most} characters"));
        String::new()
    }

    fn others(&mut self) -> Others {
        match self.get("others").map(Value::as_str) {
            None | Some(Some("sum")) => Others::Sum,
            Some(Some("hide")) => Others::Hide,
            Some(_) => {
                self.fault("others", "has to be `sum` or `hide`");
                Others::Sum
            }
        }
    }
}

fn is_column(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= COLUMN_CHARACTERS && !text.contains('\0')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(kind: Kind, sent: Value) -> Vec<String> {
        Options::parse(kind, &sent).expect_err("invalid").into_iter().map(|it| it.name).collect()
    }

    #[test]
    fn each_kind_has_options_of_its_own() {
        let bar = json!({ "x": "country", "y": ["orders"], "stacked": true, "max_categories": 12 });
        let options = Options::parse(Kind::Bar, &bar).unwrap();
        assert_eq!((options.x.as_deref(), options.most), (Some("country"), Some(12)));
        assert!(options.stacked);
        let pie = json!({ "label": "country", "value": "orders", "donut": true });
        let options = Options::parse(Kind::Pie, &pie).unwrap();
        assert_eq!((options.x.as_deref(), options.y), (Some("country"), vec!["orders".to_owned()]));
        assert_eq!(faults(Kind::Pie, json!({ "x": "country" })), ["x"]);
        assert_eq!(faults(Kind::Metric, json!({ "stacked": true, "decimals": 12 })).len(), 2);
        assert!(Options::parse(Kind::Table, &Value::Null).is_ok());
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let sent = json!({ "x": 1, "y": [], "max_categories": 1, "others": "drop", "zero": true });
        let mut found = faults(Kind::Bar, sent);
        found.sort();
        assert_eq!(found, ["max_categories", "others", "x", "y", "zero"]);
        assert_eq!(faults(Kind::Bar, json!({ "y": ["a", "b"], "series": "c" })), ["series"]);
        assert_eq!(faults(Kind::Bar, json!({ "y": ["a", "a"] })), ["y"]);
        assert_eq!(faults(Kind::Text, json!({})), ["text"]);
        assert_eq!(faults(Kind::Bar, json!([])), [""]);
    }
}
