//! `POST …/chat/completions`, which most servers and gateways speak.

use plinth_nl2sql::model::{ModelError, ModelRequest, Role};
use serde_json::{Value, json};

use super::refusal::{code, failed_inside};
use super::{Dialect, End, Fault, Said, unexpected};

pub(super) fn body(dialect: &Dialect, model: &str, request: &ModelRequest) -> Value {
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
    let mut body = json!({ "model": model, "messages": messages, "stream": true });
    if Dialect::knows(&dialect.no_stream_usage) {
        body["stream_options"] = json!({ "include_usage": true });
    }
    let limit =
        if Dialect::knows(&dialect.new_limit) { "max_tokens" } else { "max_completion_tokens" };
    body[limit] = request.max_tokens.into();
    if Dialect::knows(&dialect.no_temperature) {
        body["temperature"] = request.temperature.into();
    }
    if request.json && Dialect::knows(&dialect.no_json) {
        body["response_format"] = json!({ "type": "json_object" });
    }
    body
}

/// An event of a stream: what it adds stands in `delta`.
pub(super) fn take_part(part: &Value, said: &mut Said) -> Result<(), Fault> {
    take(part, "delta", said)
}

/// A whole answer: all of it stands in `message`.
pub(super) fn take_whole(whole: &Value, said: &mut Said) -> Result<(), Fault> {
    if !whole.is_object() || !(whole["choices"].is_array() || whole.get("error").is_some()) {
        return Err(unexpected("the body is no chat completion"));
    }
    take(whole, "message", said)?;
    if whole["choices"].as_array().is_some_and(Vec::is_empty) {
        return Err(Fault::for_good(ModelError::Empty));
    }
    // Not every server says why it stopped.
    said.end = said.end.or(Some(End::Done));
    Ok(())
}

fn take(part: &Value, field: &str, said: &mut Said) -> Result<(), Fault> {
    // Gateways send their own failures with status 200.
    if let Some(error) = part.get("error").filter(|it| !it.is_null()) {
        return Err(failed_inside(error, &code(error)));
    }
    let usage = &part["usage"];
    said.count(usage["prompt_tokens"].as_u64(), usage["completion_tokens"].as_u64());
    // The event with the usage has no choice.
    let choice = &part["choices"][0];
    let message = &choice[field];
    if message["refusal"].as_str().is_some_and(|it| !it.trim().is_empty()) {
        said.end = Some(End::Refused);
    }
    match &message["content"] {
        Value::String(text) => said.say(text)?,
        Value::Array(parts) => {
            for part in parts {
                said.say(part["text"].as_str().unwrap_or_default())?;
            }
        }
        _ => {}
    }
    if let Some(reason) = choice["finish_reason"].as_str()
        && said.end != Some(End::Refused)
    {
        said.end = Some(match reason {
            "length" => End::Length,
            "content_filter" => End::Refused,
            _ => End::Done,
        });
    }
    Ok(())
}
