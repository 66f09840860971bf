//! Google's `streamGenerateContent`.

use plinth_nl2sql::model::{ModelError, ModelRequest};
use serde_json::{Value, json};

use super::refusal::{failed_inside, status_name};
use super::{Dialect, End, Fault, Said, system, turns, unexpected};

pub(super) fn body(dialect: &Dialect, request: &ModelRequest) -> Value {
    let mut contents: Vec<Value> = turns(&request.messages)
        .map(|(is_model, text)| {
            json!({ "role": if is_model { "model" } else { "user" }, "parts": [{ "text": text }] })
        })
        .collect();
    let rules = json!({ "text": system(&request.messages) });
    let takes_rules = Dialect::knows(&dialect.no_system);
    if !takes_rules && let Some(parts) = contents[0]["parts"].as_array_mut() {
        parts.insert(0, rules.clone());
    }
    let mut body = json!({
        "contents": contents,
        "generationConfig": { "maxOutputTokens": request.max_tokens },
    });
    if takes_rules {
        body["systemInstruction"] = json!({ "parts": [rules] });
    }
    if Dialect::knows(&dialect.no_temperature) {
        body["generationConfig"]["temperature"] = request.temperature.into();
    }
    if request.json && Dialect::knows(&dialect.no_json) {
        body["generationConfig"]["responseMimeType"] = "application/json".into();
    }
    body
}

pub(super) fn take(part: &Value, said: &mut Said) -> Result<(), Fault> {
    if let Some(error) = part.get("error") {
        return Err(failed_inside(error, &status_name(error)));
    }
    if !part.is_object() {
        return Err(unexpected("the answer is none of generateContent"));
    }
    let usage = &part["usageMetadata"];
    let written = usage["candidatesTokenCount"]
        .as_u64()
        .map(|it| it + usage["thoughtsTokenCount"].as_u64().unwrap_or(0));
    said.count(usage["promptTokenCount"].as_u64(), written);
    if part["promptFeedback"]["blockReason"].is_string() {
        return Err(Fault::for_good(ModelError::Refused));
    }
    let candidate = &part["candidates"][0];
    for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
        if part["thought"] != true {
            said.say(part["text"].as_str().unwrap_or_default())?;
        }
    }
    if let Some(reason) = candidate["finishReason"].as_str() {
        said.end = Some(match reason {
            "STOP" | "FINISH_REASON_UNSPECIFIED" => End::Done,
            "MAX_TOKENS" => End::Length,
            // Safety, recitation, a forbidden language, and whatever else was found against it.
            _ => End::Refused,
        });
    }
    Ok(())
}
