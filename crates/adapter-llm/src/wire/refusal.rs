//! What a server's refusals mean. Its own words are taken over only for 404, where they say what is missing; elsewhere
//! they may repeat the prompt, and only the error's code is.

use std::time::Duration;

use plinth_nl2sql::model::ModelError;
use serde_json::Value;

use super::Fault;

/// The most characters of a server's own words in an error.
const WORDS: usize = 200;

/// An answer with a status of failure.
pub(crate) struct Refused<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
    /// What the header says.
    pub(crate) retry_after: Option<Duration>,
}

/// What it means.
pub(crate) fn refused(it: &Refused<'_>) -> Fault {
    let answer: Value = serde_json::from_slice(it.body).unwrap_or(Value::Null);
    // Google lists errors where it would list the parts of an answer.
    let answer = answer.get(0).unwrap_or(&answer);
    let error = answer.get("error").unwrap_or(answer);
    let wait = it.retry_after.or_else(|| retry_info(error));
    let status = it.status;
    let text = String::from_utf8_lossy(it.body).to_lowercase();
    let named = || match code(error) {
        code if code.is_empty() => spaced(&status_name(error)),
        code => spaced(&code),
    };
    let error = match status {
        401 | 403 => ModelError::Unauthorized,
        402 | 429 => ModelError::RateLimited { retry_after: wait },
        408 | 500..=599 => ModelError::Unreachable(format!("status {status}{}", named())),
        413 => ModelError::TooLong,
        400 if text.contains("api_key_invalid") || text.contains("api key not valid") => {
            ModelError::Unauthorized
        }
        400 | 422 if TOO_LONG.iter().any(|it| text.contains(it)) => ModelError::TooLong,
        404 => ModelError::Protocol(format!("status 404{}", words(error))),
        300..=399 => ModelError::Protocol(format!(
            "status {status}, a redirect; the base URL has to be the final one"
        )),
        _ => ModelError::Protocol(format!("status {status}{}", named())),
    };
    let may_pass = match status {
        429 => !is_spent(answer),
        408 | 500..=599 => status != 501,
        _ => false,
    };
    Fault { error, may_pass, wait }
}

/// How servers say that a prompt does not fit.
const TOO_LONG: [&str; 8] = [
    "context_length_exceeded",
    "context length",
    "context size",
    "context window",
    "exceed_context",
    "prompt is too long",
    "input token count",
    "maximum number of tokens",
];

/// What an error means that came after the answer had begun well, with its code.
pub(super) fn failed_inside(error: &Value, name: &str) -> Fault {
    let number = error["code"].as_u64().or_else(|| error["status"].as_u64()).unwrap_or(0);
    match name {
        "overloaded_error" | "api_error" | "timeout_error" | "server_error" | "UNAVAILABLE"
        | "INTERNAL" | "DEADLINE_EXCEEDED" => {
            Fault::for_now(ModelError::Unreachable(format!("an error{}", spaced(name))))
        }
        "rate_limit_error" | "rate_limit_exceeded" | "RESOURCE_EXHAUSTED" => {
            let wait = retry_info(error);
            Fault { wait, ..Fault::for_now(ModelError::RateLimited { retry_after: wait }) }
        }
        _ if number == 429 => Fault::for_now(ModelError::RateLimited { retry_after: None }),
        _ if (500..=599).contains(&number) => {
            Fault::for_now(ModelError::Unreachable(format!("an error ({number})")))
        }
        _ => Fault::for_good(ModelError::Protocol(format!("an error{}", spaced(name)))),
    }
}

/// Whether a 429 means that nothing is left to spend: waiting does not help then.
fn is_spent(answer: &Value) -> bool {
    ["code", "type"].iter().any(|it| answer["error"][*it] == "insufficient_quota")
}

/// When Google says to come again, which it does in the body.
fn retry_info(error: &Value) -> Option<Duration> {
    let details = error["details"].as_array()?;
    let delay = details.iter().find_map(|it| it["retryDelay"].as_str())?;
    Duration::try_from_secs_f64(delay.strip_suffix('s')?.parse().ok()?).ok()
}

/// An error's code, if it looks like one.
pub(super) fn code(error: &Value) -> String {
    let found = ["code", "type"].iter().find_map(|it| error.get(*it).and_then(Value::as_str));
    found.filter(|it| is_code(it)).unwrap_or_default().to_owned()
}

/// The name of Google's status, if it looks like one.
pub(super) fn status_name(error: &Value) -> String {
    error["status"].as_str().filter(|it| is_code(it)).unwrap_or_default().to_owned()
}

fn is_code(it: &str) -> bool {
    (1..=64).contains(&it.len())
        && it.bytes().all(|it| it.is_ascii_alphanumeric() || b"_-.".contains(&it))
}

/// In brackets, with a blank before.
fn spaced(name: &str) -> String {
    if is_code(name) { format!(" ({name})") } else { String::new() }
}

/// An error's message on one line, with a colon before it.
fn words(error: &Value) -> String {
    let message = error.get("message").unwrap_or(error).as_str().unwrap_or_default();
    if message.trim().is_empty() { String::new() } else { format!(": {}", message.trim()) }
}

/// The error without `secret`, which some servers repeat when they do not like it; its text on one line and cut off where
/// it is long. In this order: a part of a key is one too many.
pub(crate) fn redacted(error: ModelError, secret: Option<&str>) -> ModelError {
    let clean = |text: String| {
        let text = secret.map_or_else(|| text.clone(), |it| text.replace(it, "…"));
        text.chars().map(|it| if it.is_control() { ' ' } else { it }).take(WORDS).collect()
    };
    match error {
        ModelError::Unreachable(text) => ModelError::Unreachable(clean(text)),
        ModelError::Protocol(text) => ModelError::Protocol(clean(text)),
        other => other,
    }
}
