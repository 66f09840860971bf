//! What goes over the wire, and what it means.

use std::sync::atomic::{AtomicBool, Ordering};

use plinth_nl2sql::model::{Completion, ModelError, ModelRequest, Role, Usage};
use serde::Deserialize;
use serde_json::{Value, json};

/// The most characters of a server's own words in an error.
const WORDS: usize = 200;

/// What one server does not take of the protocol. Learned from its refusals, once for the life of the client.
#[derive(Debug, Default)]
pub(crate) struct Dialect {
    /// It knows no `response_format`.
    no_format: AtomicBool,
    /// It wants `max_completion_tokens`.
    new_limit: AtomicBool,
    /// Its models take no temperature.
    no_temperature: AtomicBool,
}

impl Dialect {
    /// The request's body.
    pub(crate) fn body(&self, model: &str, request: &ModelRequest) -> Value {
        let messages: Vec<Value> = request
            .messages
            .iter()
            .map(|it| {
                let role = match it.role {
                    Role::System => "system",
                    Role::User => "user",
                    Role::Assistant => "assistant",
                };
                json!({ "role": role, "content": it.content })
            })
            .collect();
        let mut body = json!({ "model": model, "messages": messages, "stream": false });
        let limit = if self.new_limit.load(Ordering::Relaxed) {
            "max_completion_tokens"
        } else {
            "max_tokens"
        };
        body[limit] = request.max_tokens.into();
        if !self.no_temperature.load(Ordering::Relaxed) {
            body["temperature"] = request.temperature.into();
        }
        if request.json && !self.no_format.load(Ordering::Relaxed) {
            body["response_format"] = json!({ "type": "json_object" });
        }
        body
    }

    /// Learns from the refusal of a request whose body was `sent`. Says whether the next body will be another one, so
    /// that it is worth sending; it lacks what was refused, so this ends.
    pub(crate) fn learn(&self, status: u16, answer: &[u8], sent: &Value) -> bool {
        if status != 400 && status != 422 {
            return false;
        }
        let text = String::from_utf8_lossy(answer);
        let had = |field: &str| sent.get(field).is_some();
        let lesson = if text.contains("max_completion_tokens") && had("max_tokens") {
            &self.new_limit
        } else if (text.contains("response_format") || text.contains("json_object"))
            && had("response_format")
        {
            &self.no_format
        } else if text.contains("temperature") && had("temperature") {
            &self.no_temperature
        } else {
            return false;
        };
        lesson.store(true, Ordering::Relaxed);
        true
    }
}

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<UsageBody>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    message: Option<MessageBody>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct MessageBody {
    content: Option<Content>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
struct UsageBody {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

/// Reads the body of a successful answer.
pub(crate) fn read(body: &[u8], redact: &dyn Fn(&str) -> String) -> Result<Completion, ModelError> {
    let reply: Reply = serde_json::from_slice(body)
        .map_err(|_| ModelError::Protocol("the body is no chat completion".to_owned()))?;
    if let Some(error) = reply.error.filter(|it| !it.is_null()) {
        // Gateways send their own failures with status 200.
        return Err(ModelError::Protocol(redact(&format!("an error{}", code(&error)))));
    }
    let Some(choice) = reply.choices.into_iter().next() else { return Err(ModelError::Empty) };
    match choice.finish_reason.as_deref() {
        Some("length") => return Err(ModelError::TooLong),
        Some("content_filter") => return Err(ModelError::Refused),
        _ => {}
    }
    let Some(message) = choice.message else { return Err(ModelError::Empty) };
    if message.refusal.is_some_and(|it| !it.trim().is_empty()) {
        return Err(ModelError::Refused);
    }
    let text = match message.content {
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => parts.into_iter().map(|it| it.text).collect(),
        None => String::new(),
    };
    if text.trim().is_empty() {
        return Err(ModelError::Empty);
    }
    let usage = Usage {
        calls: 1,
        prompt_tokens: reply.usage.as_ref().and_then(|it| it.prompt_tokens).unwrap_or(0),
        completion_tokens: reply.usage.as_ref().and_then(|it| it.completion_tokens).unwrap_or(0),
    };
    Ok(Completion { text, usage })
}

/// What a refusal means. `retry_after` is what the server said of it.
///
/// The server's own words are taken over only for 404, where they say what is missing; elsewhere they may repeat the
/// prompt, and only the error's code is.
pub(crate) fn refused(
    status: u16,
    body: &[u8],
    retry_after: Option<std::time::Duration>,
    redact: &dyn Fn(&str) -> String,
) -> ModelError {
    let answer: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let error = answer.get("error").unwrap_or(&answer);
    let text = String::from_utf8_lossy(body).to_lowercase();
    match status {
        401 | 403 => ModelError::Unauthorized,
        402 | 429 => ModelError::RateLimited { retry_after },
        408 | 500..=599 => {
            ModelError::Unreachable(redact(&format!("status {status}{}", code(error))))
        }
        413 => ModelError::TooLong,
        400 | 422
            if [
                "context_length_exceeded",
                "context length",
                "context size",
                "context window",
                "exceed_context",
            ]
            .iter()
            .any(|it| text.contains(it)) =>
        {
            ModelError::TooLong
        }
        404 => ModelError::Protocol(format!("status 404{}", words(error, redact))),
        300..=399 => ModelError::Protocol(format!(
            "status {status}, a redirect; the base URL has to be the final one"
        )),
        _ => ModelError::Protocol(redact(&format!("status {status}{}", code(error)))),
    }
}

/// Whether a 429 means that nothing is left to spend: waiting does not help then.
pub(crate) fn is_spent(body: &[u8]) -> bool {
    let answer: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    ["code", "type"].iter().any(|it| answer["error"][*it] == "insufficient_quota")
}

/// An error's code, with a blank before it, if it looks like one.
fn code(error: &Value) -> String {
    let is_code = |it: &&str| {
        !it.is_empty()
            && it.len() <= 64
            && it.bytes().all(|it| it.is_ascii_alphanumeric() || b"_-.".contains(&it))
    };
    ["code", "type"]
        .iter()
        .find_map(|it| error.get(*it).and_then(Value::as_str).filter(is_code))
        .map_or_else(String::new, |it| format!(" ({it})"))
}

/// An error's message on one line, with a colon before it.
///
/// The key goes before the text is cut: a part of it is one too many.
fn words(error: &Value, redact: &dyn Fn(&str) -> String) -> String {
    let text = redact(error.get("message").unwrap_or(error).as_str().unwrap_or_default());
    let line: String =
        text.chars().map(|it| if it.is_control() { ' ' } else { it }).take(WORDS).collect();
    if line.trim().is_empty() { String::new() } else { format!(": {}", line.trim()) }
}
