//! Anthropic's Messages API.

use plinth_nl2sql::model::ModelRequest;
use serde_json::{Value, json};

use super::refusal::failed_inside;
use super::{Dialect, End, Fault, Said, system, turns, unexpected};

/// The version of the protocol that is spoken here.
pub(crate) const VERSION: &str = "2023-06-01";

pub(super) fn body(dialect: &Dialect, model: &str, request: &ModelRequest) -> Value {
    let messages: Vec<Value> = turns(&request.messages)
        .map(|(is_model, text)| {
            json!({ "role": if is_model { "assistant" } else { "user" }, "content": text })
        })
        .collect();
    let mut body = json!({
        "model": model,
        "system": system(&request.messages),
        "messages": messages,
        "max_tokens": request.max_tokens,
        "stream": true,
    });
    if Dialect::knows(&dialect.no_temperature) {
        body["temperature"] = request.temperature.into();
    }
    body
}

pub(super) fn take_part(part: &Value, said: &mut Said) -> Result<(), Fault> {
    match part["type"].as_str() {
        Some("message_start") => count(&part["message"]["usage"], said),
        // Thoughts come as deltas of other kinds.
        Some("content_block_start") => text_of(&part["content_block"], said)?,
        Some("content_block_delta") if part["delta"]["type"] == "text_delta" => {
            said.say(part["delta"]["text"].as_str().unwrap_or_default())?;
        }
        Some("message_delta") => {
            count(&part["usage"], said);
            said.stop = stopped(&part["delta"]["stop_reason"]);
        }
        Some("message_stop") => said.end = said.stop.or(Some(End::Done)),
        Some("error") => {
            let error = &part["error"];
            return Err(failed_inside(error, error["type"].as_str().unwrap_or_default()));
        }
        // `ping`, and what may be added.
        Some(_) => {}
        None => return Err(unexpected("the stream is none of the Messages API")),
    }
    Ok(())
}

pub(super) fn take_whole(whole: &Value, said: &mut Said) -> Result<(), Fault> {
    if whole["type"] == "error" {
        return take_part(whole, said);
    }
    let Some(blocks) = whole["content"].as_array() else {
        return Err(unexpected("the body is no message"));
    };
    count(&whole["usage"], said);
    for block in blocks {
        text_of(block, said)?;
    }
    said.end = stopped(&whole["stop_reason"]).or(Some(End::Done));
    Ok(())
}

fn text_of(block: &Value, said: &mut Said) -> Result<(), Fault> {
    if block["type"] == "text" {
        said.say(block["text"].as_str().unwrap_or_default())?;
    }
    Ok(())
}

fn stopped(reason: &Value) -> Option<End> {
    Some(match reason.as_str()? {
        "max_tokens" | "model_context_window_exceeded" => End::Length,
        "refusal" => End::Refused,
        _ => End::Done,
    })
}

/// What was read from a cache or written to one was read all the same.
fn count(usage: &Value, said: &mut Said) {
    let parts = ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"];
    let read = usage["input_tokens"]
        .as_u64()
        .map(|_| parts.iter().filter_map(|it| usage[*it].as_u64()).sum());
    said.count(read, usage["output_tokens"].as_u64());
}
