use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use crate::{QueryError, QueryId};

/// A value that a saved query is run with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// What stands in the statement as `{{ name }}`: lower-case letters, digits and `_`.
    pub name: String,
    /// What may be said.
    #[serde(flatten)]
    pub kind: ParameterKind,
    /// What people are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether there has to be a value. Of one that is not required and not given, null is bound.
    pub required: bool,
    /// What counts where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
}

/// What a parameter's values are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ParameterKind {
    /// A text of at most 10,000 characters.
    Text,
    /// A number; one with more digits than a double holds is a string of them.
    Number,
    /// True or false.
    Boolean,
    /// A day, as `2026-01-31`.
    Date,
    /// A moment in RFC 3339, or a date and time without an offset in the organization's time zone.
    Timestamp,
    /// One of several texts.
    Enum {
        /// Which.
        options: Vec<String>,
    },
    /// A text that people choose among the values of another saved query's first column.
    Query {
        /// Whose.
        query_id: QueryId,
    },
}

impl Parameter {
    /// Holds a value against what may be said.
    ///
    /// # Errors
    ///
    /// What is wrong, in a sentence that goes on after the name.
    pub fn takes(&self, value: &Value) -> Result<(), String> {
        self.text(value).map(drop)
    }

    /// Whether it cannot be left out: there has to be a value, and there is no default.
    pub fn is_needed(&self) -> bool {
        self.required && self.default.is_none()
    }

    /// The value in Postgres's text format; `None` for null.
    fn text(&self, value: &Value) -> Result<Option<String>, String> {
        match value {
            Value::Null if self.required => Err("a value is required; null is none".to_owned()),
            Value::Null => Ok(None),
            value => self.kind.text(value).map(Some),
        }
    }
}

/// The most parameters that a query has.
const MOST_PARAMETERS: usize = 50;
/// The longest text that is bound, in characters.
const MOST_CHARS: usize = 10_000;
/// The largest number up to which doubles hold every whole one: 2^53.
const LARGEST_WHOLE: f64 = 9_007_199_254_740_992.0;
/// The most digits of a number that comes as a string.
const MOST_DIGITS: usize = 500;

impl ParameterKind {
    /// Its name in answers.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::Enum { .. } => "enum",
            Self::Query { .. } => "query",
        }
    }

    /// The value in Postgres's text format, if it is one of this kind.
    fn text(&self, value: &Value) -> Result<String, String> {
        match (self, value) {
            (Self::Text | Self::Query { .. }, Value::String(text)) => {
                if text.chars().count() > MOST_CHARS || text.contains('\0') {
                    return Err(format!(
                        "a text has at most {MOST_CHARS} characters, none of them zero"
                    ));
                }
                Ok(text.clone())
            }
            // Choices are what a column has, and that may be numbers.
            (Self::Query { .. } | Self::Number, Value::Number(it)) => number(it),
            (Self::Number, Value::String(text)) if is_number(text) => Ok(text.clone()),
            (Self::Number, _) => Err("has to be a number, or a string of its digits".to_owned()),
            (Self::Boolean, Value::Bool(it)) => Ok(it.to_string()),
            (Self::Boolean, _) => Err("has to be true or false".to_owned()),
            (Self::Date, Value::String(text)) => {
                let date: Option<Date> = text.parse().ok().filter(|_| text.len() == 10);
                let date = date.filter(|it| it.year() >= 1);
                date.map(|it| it.to_string())
                    .ok_or_else(|| "has to be a date like 2026-01-31".to_owned())
            }
            (Self::Timestamp, Value::String(text)) => timestamp(text).ok_or_else(|| {
                "has to be a date and time like 2026-01-31T08:00:00Z, with or without an offset"
                    .to_owned()
            }),
            (Self::Enum { options }, Value::String(text)) if options.contains(text) => {
                Ok(text.clone())
            }
            (Self::Enum { options }, _) => {
                let some: Vec<_> = options.iter().take(20).map(|it| format!("`{it}`")).collect();
                let more = if options.len() > 20 { ", …" } else { "" };
                Err(format!("has to be one of {}{more}", some.join(", ")))
            }
            (Self::Date, _) => Err("has to be a date like 2026-01-31".to_owned()),
            (Self::Timestamp, _) => {
                Err("has to be a date and time like 2026-01-31T08:00:00Z".to_owned())
            }
            (Self::Text | Self::Query { .. }, _) => Err("has to be a text".to_owned()),
        }
    }
}

/// A number as Postgres reads it. One without a fraction is written as integers are, whatever form it came in: Postgres takes no
/// `1000.0` and no `1e3` for an integer. A larger one than JSON's readers hold exactly may have been another when it was sent.
fn number(number: &Number) -> Result<String, String> {
    let Some(double) = number.as_f64().filter(|it| number.is_f64() && it.fract() == 0.0) else {
        return Ok(number.to_string());
    };
    if double.abs() > LARGEST_WHOLE {
        return Err("is too large to be sent as this number; send it as a string".to_owned());
    }
    Ok(format!("{double:.0}"))
}

/// A moment as Postgres reads it: one without an offset is in the session's time zone.
fn timestamp(text: &str) -> Option<String> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        let year = moment.to_zoned(jiff::tz::TimeZone::UTC).year();
        return (year >= 1).then(|| moment.to_string());
    }
    // What says a zone is no date and time of the organization's own.
    let plain = !text.ends_with(['Z', 'z']) && !text.contains('[');
    let at: DateTime = text.parse().ok().filter(|_| plain)?;
    (at.year() >= 1 && text.contains(['T', 't', ' '])).then(|| at.to_string())
}

/// Whether a text is a number without anything around it: sign, digits, point, exponent.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some((whole, part)) => digits(whole) && digits(part),
        None => digits(mantissa),
    };
    let exponent_fits = exponent.is_none_or(|it| {
        let it = it.strip_prefix(['-', '+']).unwrap_or(it);
        digits(it) && it.len() <= 3
    });
    text.len() <= MOST_DIGITS && mantissa_fits && exponent_fits
}

fn wrong(name: &str, rule: impl Into<String>) -> QueryError {
    QueryError::Field { field: format!("parameters.{name}"), rule: rule.into() }
}

/// Checks what somebody declares.
///
/// # Errors
///
/// [`QueryError::Field`], with what is wrong.
pub(crate) fn check(parameters: &[Parameter]) -> Result<(), QueryError> {
    if parameters.len() > MOST_PARAMETERS {
        return Err(QueryError::Field {
            field: "parameters".to_owned(),
            rule: format!("at most {MOST_PARAMETERS} parameters"),
        });
    }
    for (at, parameter) in parameters.iter().enumerate() {
        let name = &parameter.name;
        let mut signs = name.bytes();
        let begins = signs.next().is_some_and(|it| it.is_ascii_lowercase() || it == b'_');
        let goes_on = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_';
        if !begins || !signs.all(goes_on) || name.len() > 63 {
            return Err(QueryError::Field {
                field: "parameters".to_owned(),
                rule: "a parameter's name has 1 to 63 lower-case letters, digits and `_`, and does not begin with a digit"
                    .to_owned(),
            });
        }
        if parameters[..at].iter().any(|it| it.name == *name) {
            return Err(wrong(name, "two parameters have this name"));
        }
        let long = |text: &Option<String>, most| {
            text.as_ref().is_some_and(|it| it.chars().count() > most || it.contains('\0'))
        };
        if long(&parameter.label, 200) || long(&parameter.description, 2_000) {
            return Err(wrong(name, "a label has at most 200 characters, a description 2000"));
        }
        if let ParameterKind::Enum { options } = &parameter.kind {
            let fits = |it: &String| it.chars().count() <= 200 && !it.contains('\0');
            let mut sorted: Vec<_> = options.iter().collect();
            sorted.sort();
            sorted.dedup();
            if options.is_empty()
                || options.len() > 500
                || sorted.len() < options.len()
                || !options.iter().all(fits)
            {
                return Err(wrong(
                    name,
                    "options are 1 to 500 different texts of at most 200 characters",
                ));
            }
        }
        if let Some(default) = &parameter.default {
            parameter.kind.text(default).map_err(|rule| wrong(name, format!("default {rule}")))?;
        }
    }
    Ok(())
}

/// Values by name, as they are bound.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Bound {
    /// As Postgres reads them, in the order of the parameters.
    pub(crate) texts: Vec<Option<String>>,
    /// As people said them, for the history.
    pub(crate) said: Map<String, Value>,
}

/// Holds values against the parameters.
///
/// # Errors
///
/// [`QueryError::Field`]: a name that there is none of, a value that does not fit, or none where there has to be one.
pub(crate) fn bind(
    parameters: &[Parameter],
    given: &Map<String, Value>,
) -> Result<Bound, QueryError> {
    if let Some(name) = given.keys().find(|name| !parameters.iter().any(|it| it.name == **name)) {
        let known: Vec<_> = parameters.iter().map(|it| format!("`{}`", it.name)).collect();
        let rule = if known.is_empty() {
            "this query has no parameters".to_owned()
        } else {
            format!("there is no such parameter; there are {}", known.join(", "))
        };
        return Err(wrong(name, rule));
    }
    let mut bound = Bound::default();
    for parameter in parameters {
        let name = &parameter.name;
        let value = given.get(name).or(parameter.default.as_ref());
        let text = match value {
            None if parameter.required => return Err(wrong(name, "a value is required")),
            None => None,
            Some(value) => parameter.text(value).map_err(|rule| wrong(name, rule))?,
        };
        bound.texts.push(text);
        bound.said.insert(name.clone(), value.cloned().unwrap_or(Value::Null));
    }
    Ok(bound)
}

/// Values with which a statement can be planned before anybody has said any: the defaults, and null.
pub(crate) fn for_planning(parameters: &[Parameter]) -> Vec<Option<String>> {
    let text = |it: &Parameter| it.default.as_ref().and_then(|value| it.kind.text(value).ok());
    parameters.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parameter(name: &str, kind: ParameterKind, required: bool, default: Value) -> Parameter {
        Parameter {
            name: name.to_owned(),
            kind,
            label: None,
            description: None,
            required,
            default: Some(default).filter(|it| !it.is_null()),
        }
    }

    #[test]
    fn values_are_of_their_kind() {
        let options = ParameterKind::Enum { options: vec!["paid".to_owned(), "open".to_owned()] };
        for (kind, value, text) in [
            (ParameterKind::Text, json!("x' OR '1'='1"), Some("x' OR '1'='1")),
            (ParameterKind::Text, json!(1), None),
            (ParameterKind::Text, json!("a\0b"), None),
            (ParameterKind::Number, json!(1.5), Some("1.5")),
            (ParameterKind::Number, json!(1000.0), Some("1000")),
            (ParameterKind::Number, json!(-1e15), Some("-1000000000000000")),
            (ParameterKind::Number, json!(9_007_199_254_740_992.0), Some("9007199254740992")),
            (ParameterKind::Number, json!(1e16), None),
            (ParameterKind::Number, json!("1e16"), Some("1e16")),
            (ParameterKind::Number, json!(u64::MAX), Some("18446744073709551615")),
            (
                ParameterKind::Query { query_id: QueryId::new(Timestamp::UNIX_EPOCH) },
                json!(2.0),
                Some("2"),
            ),
            (
                ParameterKind::Number,
                json!("123456789012345678901234567890.5"),
                Some("123456789012345678901234567890.5"),
            ),
            (ParameterKind::Number, json!("1; DROP"), None),
            (ParameterKind::Number, json!("1e9999"), None),
            (ParameterKind::Number, json!("NaN"), None),
            (ParameterKind::Boolean, json!(true), Some("true")),
            (ParameterKind::Boolean, json!("true"), None),
            (ParameterKind::Date, json!("2026-02-28"), Some("2026-02-28")),
            (ParameterKind::Date, json!("2026-02-30"), None),
            (ParameterKind::Date, json!("2026-02-28T00:00:00"), None),
            (ParameterKind::Date, json!("today"), None),
            (
                ParameterKind::Timestamp,
                json!("2026-02-28T01:00:00+01:00"),
                Some("2026-02-28T00:00:00Z"),
            ),
            (ParameterKind::Timestamp, json!("2026-02-28T01:00:00"), Some("2026-02-28T01:00:00")),
            (ParameterKind::Timestamp, json!("2026-02-28"), None),
            (ParameterKind::Timestamp, json!("now"), None),
            (options.clone(), json!("paid"), Some("paid")),
            (options, json!("Paid"), None),
        ] {
            let read = kind.text(&value).ok();
            assert_eq!(read.as_deref(), text, "{kind:?} {value}");
        }
    }

    #[test]
    fn what_is_not_given_is_its_default_or_null_or_missing() {
        let all = [
            parameter("must", ParameterKind::Text, true, Value::Null),
            parameter("may", ParameterKind::Number, false, Value::Null),
            parameter("usual", ParameterKind::Number, true, json!(7)),
        ];
        let given = |value: Value| value.as_object().cloned().unwrap_or_default();
        let bound = bind(&all, &given(json!({ "must": "a" }))).expect("fits");
        assert_eq!(bound.texts, [Some("a".to_owned()), None, Some("7".to_owned())]);
        assert_eq!(Value::from(bound.said), json!({ "must": "a", "may": null, "usual": 7 }));
        for wrong in [
            json!({}),
            json!({ "must": null }),
            json!({ "must": "a", "usual": null }),
            json!({ "must": "a", "other": 1 }),
        ] {
            assert!(bind(&all, &given(wrong.clone())).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_declared_has_to_make_sense() {
        let text = |name: &str| parameter(name, ParameterKind::Text, true, Value::Null);
        assert!(check(&[text("a"), text("b_2")]).is_ok());
        for bad in [
            vec![text("a"), text("a")],
            vec![text("A")],
            vec![text("2a")],
            vec![text("")],
            vec![parameter("a", ParameterKind::Number, true, json!("x"))],
            vec![parameter("a", ParameterKind::Enum { options: vec![] }, true, Value::Null)],
            (0..51).map(|it| text(&format!("p{it}"))).collect(),
        ] {
            assert!(check(&bad).is_err(), "{bad:?}");
        }
    }
}
