//! What an organization says of its members, so that rules can depend on it: "region is EU".

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

use crate::{Classify, ErrorKind};

/// The most attributes of one member.
pub const MAX_ATTRIBUTES: usize = 50;

/// The most elements of a list.
const MAX_ELEMENTS: usize = 1_000;

/// The longest text, in characters.
const MAX_TEXT_CHARS: usize = 1_000;

/// What rules know of everybody without anybody setting it.
pub const BUILT_IN_ATTRIBUTES: [&str; 3] = ["id", "email", "role"];

/// What kind of value an attribute has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttributeKind {
    /// Words.
    Text,
    /// A whole number of 64 bits.
    Integer,
    /// A decimal number.
    Number,
    /// True or false.
    Boolean,
    /// A day.
    Date,
    /// A moment.
    Timestamp,
    /// A UUID.
    Uuid,
}

impl AttributeKind {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Text, "text"),
        (Self::Integer, "integer"),
        (Self::Number, "number"),
        (Self::Boolean, "boolean"),
        (Self::Date, "date"),
        (Self::Timestamp, "timestamp"),
        (Self::Uuid, "uuid"),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|it| it.0 == self).map_or("text", |it| it.1)
    }
}

/// The type of an attribute: of one value, or of a list of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeType {
    /// What each value is.
    pub kind: AttributeKind,
    /// Whether there are any number of them.
    pub list: bool,
}

impl AttributeType {
    /// One text.
    pub const TEXT: Self = Self { kind: AttributeKind::Text, list: false };
}

impl fmt::Display for AttributeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        f.write_str(if self.list { "[]" } else { "" })
    }
}

impl FromStr for AttributeType {
    type Err = InvalidAttribute;

    fn from_str(text: &str) -> Result<Self, InvalidAttribute> {
        let (name, list) = text.strip_suffix("[]").map_or((text, false), |it| (it, true));
        let known = AttributeKind::ALL.iter().find(|it| it.1 == name);
        known.map(|(kind, _)| Self { kind: *kind, list }).ok_or_else(|| {
            let names: Vec<_> = AttributeKind::ALL.iter().map(|it| it.1).collect();
            InvalidAttribute(format!(
                "`{text}` is no type of an attribute; use {}, each also as a list, like text[]",
                names.join(", ")
            ))
        })
    }
}

/// The name of an attribute: a lower-case letter, then such letters, digits and underscores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeName(String);

impl AttributeName {
    /// Reads a name.
    ///
    /// # Errors
    ///
    /// [`InvalidAttribute`] with what a name may be.
    pub fn parse(text: &str) -> Result<Self, InvalidAttribute> {
        let mut letters = text.bytes();
        let first = letters.next().is_some_and(|it| it.is_ascii_lowercase());
        let rest = letters.all(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        if first && rest && text.len() <= 63 {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidAttribute(format!(
            "`{text}` is no name of an attribute: a lower-case letter, then at most 62 such letters, digits and underscores"
        )))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether every member has it by themselves, so that nobody may set it.
    pub fn is_built_in(&self) -> bool {
        BUILT_IN_ATTRIBUTES.contains(&self.0.as_str())
    }
}

impl fmt::Display for AttributeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A value with its type, known to fit it.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    of: AttributeType,
    value: Value,
}

impl Attribute {
    /// A text that Plinth itself knows.
    pub fn text(value: impl Into<String>) -> Self {
        Self { of: AttributeType::TEXT, value: Value::String(value.into()) }
    }

    /// Takes a value of that type.
    ///
    /// # Errors
    ///
    /// [`InvalidAttribute`] if it does not fit.
    pub fn parse(of: AttributeType, value: Value) -> Result<Self, InvalidAttribute> {
        match (&value, of.list) {
            (Value::Array(elements), true) if elements.len() <= MAX_ELEMENTS => {
                elements.iter().try_for_each(|it| fits(of.kind, it))?;
            }
            (Value::Array(_), true) => {
                return Err(InvalidAttribute(format!(
                    "a list has at most {MAX_ELEMENTS} elements"
                )));
            }
            (_, true) => return Err(InvalidAttribute(format!("a value of type {of} is a list"))),
            (_, false) => fits(of.kind, &value)?,
        }
        Ok(Self { of, value })
    }

    /// Its type.
    pub fn of(&self) -> AttributeType {
        self.of
    }

    /// Its value as JSON.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Its value as Postgres reads a parameter in text format.
    pub fn to_parameter(&self) -> String {
        match &self.value {
            Value::Array(elements) => {
                let elements: Vec<_> = elements.iter().map(|it| quoted(&plain(it))).collect();
                format!("{{{}}}", elements.join(","))
            }
            single => plain(single),
        }
    }

    /// As it is kept and shown: `{"type", "value"}`.
    pub fn to_json(&self) -> Value {
        json!({ "type": self.of.to_string(), "value": self.value })
    }

    /// Reads what [`Attribute::to_json`] made.
    ///
    /// # Errors
    ///
    /// [`InvalidAttribute`] for anything else.
    pub fn from_json(json: &Value) -> Result<Self, InvalidAttribute> {
        let of = json["type"].as_str().unwrap_or_default().parse()?;
        Self::parse(of, json["value"].clone())
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn quoted(element: &str) -> String {
    format!("\"{}\"", element.replace('\\', "\\\\").replace('"', "\\\""))
}

fn fits(kind: AttributeKind, value: &Value) -> Result<(), InvalidAttribute> {
    let text = value.as_str().unwrap_or_default();
    let fits = match kind {
        AttributeKind::Text => {
            value.is_string() && !text.contains('\0') && text.chars().count() <= MAX_TEXT_CHARS
        }
        AttributeKind::Integer => value.is_i64(),
        AttributeKind::Number => value.is_number() || is_decimal(text),
        AttributeKind::Boolean => value.is_boolean(),
        AttributeKind::Date => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        AttributeKind::Timestamp => text.parse::<jiff::Timestamp>().is_ok(),
        AttributeKind::Uuid => uuid::Uuid::try_parse(text).is_ok(),
    };
    let rule = match kind {
        AttributeKind::Text => "a text of at most 1000 characters",
        AttributeKind::Integer => "a whole number of 64 bits",
        AttributeKind::Number => "a number, or a decimal number as a text",
        AttributeKind::Boolean => "true or false",
        AttributeKind::Date => "a day like 2026-01-31",
        AttributeKind::Timestamp => "a moment like 2026-01-31T12:00:00Z",
        AttributeKind::Uuid => "a UUID",
    };
    if fits { Ok(()) } else { Err(InvalidAttribute(format!("a value of this type is {rule}"))) }
}

fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
    text.len() <= 100 && all_digits(whole) && all_digits(fraction)
}

/// What is wrong with a name, type or value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidAttribute(pub String);

impl Classify for InvalidAttribute {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    fn details(&self) -> Option<Value> {
        Some(json!({ "attributes": self.0 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(of: &str, value: Value) -> Result<Attribute, InvalidAttribute> {
        Attribute::parse(of.parse().unwrap(), value)
    }

    #[test]
    fn values_fit_their_types() {
        for (of, value, parameter) in [
            ("text", json!("O'Hara"), "O'Hara"),
            ("integer", json!(-5), "-5"),
            ("number", json!(1.5), "1.5"),
            ("number", json!("12345678901234567890.5"), "12345678901234567890.5"),
            ("boolean", json!(true), "true"),
            ("date", json!("2026-01-31"), "2026-01-31"),
            ("timestamp", json!("2026-01-31T12:00:00Z"), "2026-01-31T12:00:00Z"),
            (
                "uuid",
                json!("018f3a2b-4c5d-7e6f-8091-a2b3c4d5e6f7"),
                "018f3a2b-4c5d-7e6f-8091-a2b3c4d5e6f7",
            ),
            ("text[]", json!(["a,b", "c\"d\\", "NULL", ""]), r#"{"a,b","c\"d\\","NULL",""}"#),
            ("integer[]", json!([1, 2]), r#"{"1","2"}"#),
            ("text[]", json!([]), "{}"),
        ] {
            let made = attribute(of, value.clone()).unwrap();
            assert_eq!(made.to_parameter(), parameter, "{of} {value}");
            assert_eq!(Attribute::from_json(&made.to_json()).unwrap(), made);
        }
        for (of, value) in [
            ("text", json!(1)),
            ("text", json!("a\0b")),
            ("text", json!(["a"])),
            ("text[]", json!("a")),
            ("integer", json!(1.5)),
            ("integer", json!("1")),
            ("number", json!("1e5; DROP")),
            ("boolean", json!("true")),
            ("date", json!("tomorrow")),
            ("date", json!("infinity")),
            ("timestamp", json!("now")),
            ("uuid", json!("x")),
            ("integer[]", json!([1, null])),
        ] {
            assert!(attribute(of, value.clone()).is_err(), "{of} {value}");
        }
    }

    #[test]
    fn names_and_types_are_read_strictly() {
        for name in ["region", "team_2"] {
            assert_eq!(AttributeName::parse(name).unwrap().as_str(), name);
        }
        for name in ["", "Region", "2x", "a-b", "a b", "é", &"x".repeat(64)] {
            assert!(AttributeName::parse(name).is_err(), "{name}");
        }
        assert!(AttributeName::parse("email").unwrap().is_built_in());
        for of in ["text", "uuid[]"] {
            assert_eq!(of.parse::<AttributeType>().unwrap().to_string(), of);
        }
        assert!(
            "text[][]".parse::<AttributeType>().is_err() && "int".parse::<AttributeType>().is_err()
        );
    }
}
