//! What callers send: bodies, query strings and ids that are read strictly, with errors that name the field.

use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;

use actix_web::error::{JsonPayloadError, PathError, QueryPayloadError};
use actix_web::web::{Json, JsonConfig, PathConfig, QueryConfig};
use actix_web::{FromRequest, HttpRequest, dev::Payload};
use plinth_core::{Cursor, CursorKey, ErrorKind, InvalidCursor, InvalidLimit, Limit};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use utoipa::IntoParams;
use validator::{Validate, ValidationErrors};

use super::Problem;

/// The largest body, in bytes: a long statement and some room around it.
pub(crate) const MAX_BODY_BYTES: usize = 256 * 1024;

pub(crate) fn json_config() -> JsonConfig {
    JsonConfig::default()
        .limit(MAX_BODY_BYTES)
        // A body is JSON whatever a caller's client forgot to say about it.
        .content_type_required(false)
        .content_type(|_| true)
        .error_handler(|err, _| unreadable_body(&err).into())
}

pub(crate) fn query_config() -> QueryConfig {
    QueryConfig::default().error_handler(|err, _| {
        let text = match &err {
            QueryPayloadError::Deserialize(err) => err.to_string(),
            other => other.to_string(),
        };
        Problem::invalid(
            format!("the query string cannot be read: {text}"),
            json!({ "query": text }),
        )
        .into()
    })
}

/// An id that cannot be one is an id of nothing.
pub(crate) fn path_config() -> PathConfig {
    PathConfig::default().error_handler(|err: PathError, _| {
        Problem::new(ErrorKind::NotFound, format!("there is no such thing: {err}"), None).into()
    })
}

fn unreadable_body(err: &JsonPayloadError) -> Problem {
    match err {
        JsonPayloadError::Overflow { .. } | JsonPayloadError::OverflowKnownLength { .. } => {
            Problem::new(
                ErrorKind::PayloadTooLarge,
                format!("the body is larger than {MAX_BODY_BYTES} bytes"),
                Some(json!({ "limit_bytes": MAX_BODY_BYTES })),
            )
        }
        JsonPayloadError::Deserialize(err) => {
            let text = err.to_string();
            let what =
                if err.is_data() { "the body does not fit" } else { "the body is not valid JSON" };
            Problem::invalid(format!("{what}: {text}"), named_field(&text))
        }
        other => Problem::invalid(
            format!("the body cannot be read: {other}"),
            json!({ "body": other.to_string() }),
        ),
    }
}

/// serde names a missing or unknown field between backquotes.
fn named_field(text: &str) -> Value {
    let quoted = text.split('`').nth(1);
    let about_a_field = text.starts_with("unknown field") || text.starts_with("missing field");
    match quoted.filter(|_| about_a_field) {
        Some(field) => json!({ field: text.split(" at line").next().unwrap_or(text) }),
        None => json!({ "body": text }),
    }
}

/// A JSON body that has been checked field by field.
pub(crate) struct Valid<T>(pub(crate) T);

impl<T> Deref for Valid<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned + Validate + 'static> FromRequest for Valid<T> {
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Self::Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = Json::<Box<RawValue>>::from_request(request, payload);
        Box::pin(async move {
            let body: T = read_object(body.await?.get())?;
            body.validate().map_err(|errors| broken_rules(&errors))?;
            Ok(Self(body))
        })
    }
}

/// Reads a JSON object. serde would also take an array and give its items to the fields in their order, which no
/// document describes.
pub(crate) fn read_object<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    if !text.trim_ascii_start().starts_with('{') {
        let rule = "the body does not fit: it has to be an object";
        return Err(Problem::invalid(rule, json!({ "body": rule })));
    }
    serde_json::from_str(text).map_err(|err| unreadable_body(&JsonPayloadError::Deserialize(err)))
}

/// The same for an object within a body, which may be left out: `#[serde(default, deserialize_with = "nested_object")]`.
pub(crate) fn nested_object<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let fields = Option::<Map<String, Value>>::deserialize(deserializer)?;
    fields.map(|it| T::deserialize(Value::Object(it)).map_err(D::Error::custom)).transpose()
}

fn broken_rules(errors: &ValidationErrors) -> Problem {
    let mut fields = Map::new();
    for (field, broken) in errors.field_errors() {
        let rules: Vec<_> = broken
            .iter()
            .map(|it| it.message.as_deref().unwrap_or("is not valid").to_owned())
            .collect();
        fields.insert(field.to_string(), rules.join("; ").into());
    }
    let message = fields
        .iter()
        .map(|(field, rule)| format!("{field}: {}", rule.as_str().unwrap_or_default()))
        .collect::<Vec<_>>()
        .join(", ");
    Problem::invalid(message, Value::Object(fields))
}

/// Which part of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    /// Items on a page, 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u32>,
    /// `meta.next_cursor` of the page before.
    cursor: Option<String>,
}

impl Paging {
    pub(crate) fn new(limit: Option<u32>, cursor: Option<String>) -> Self {
        Self { limit, cursor }
    }

    pub(crate) fn limit(&self) -> Result<Limit, InvalidLimit> {
        self.limit.map_or(Ok(Limit::default()), Limit::new)
    }

    pub(crate) fn cursor(
        &self,
        key: &CursorKey,
        list: &str,
    ) -> Result<Option<Cursor>, InvalidCursor> {
        self.cursor.as_deref().map(|text| key.open(list, text)).transpose()
    }

    /// The place that the cursor names, in a list that is sorted otherwise than by creation time.
    pub(crate) fn place(
        &self,
        key: &CursorKey,
        list: &str,
    ) -> Result<Option<Vec<u8>>, InvalidCursor> {
        self.cursor.as_deref().map(|text| key.open_bytes(list, text)).transpose()
    }
}
