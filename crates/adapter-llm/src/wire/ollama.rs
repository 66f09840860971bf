//! Ollama's own `/api/chat`.

use plinth_nl2sql::model::{ModelError, ModelRequest, Role};
use serde_json::{Value, json};

use super::{Dialect, End, Fault, Said, unexpected};

/// How many bytes of a prompt a token has at least, for reserving room.
const LEAST_BYTES_A_TOKEN: usize = 3;

/// The smallest and the largest context that is asked for, in tokens.
const CONTEXT: (usize, usize) = (4_096, 65_536);

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
    let mut options = json!({
        "num_predict": request.max_tokens,
        // Left to itself it cuts a longer prompt off at its beginning, without a word.
        "num_ctx": context(request),
    });
    if Dialect::knows(&dialect.no_temperature) {
        options["temperature"] = request.temperature.into();
    }
    let mut body =
        json!({ "model": model, "messages": messages, "stream": true, "options": options });
    if request.json && Dialect::knows(&dialect.no_json) {
        body["format"] = "json".into();
    }
    body
}

/// Room for the prompt and the answer. In few sizes: a change of it makes the server load the model anew.
fn context(request: &ModelRequest) -> usize {
    let bytes: usize = request.messages.iter().map(|it| it.content.len()).sum();
    let answer = usize::try_from(request.max_tokens).unwrap_or(CONTEXT.1);
    let needed = bytes / LEAST_BYTES_A_TOKEN + answer;
    needed.next_power_of_two().clamp(CONTEXT.0, CONTEXT.1)
}

pub(super) fn take(part: &Value, said: &mut Said) -> Result<(), Fault> {
    if part["error"].is_string() {
        // Its text may repeat the prompt.
        let error = ModelError::Unreachable("it failed in the middle of its answer".to_owned());
        return Err(Fault::for_now(error));
    }
    if !part["message"].is_object() && part["done"].as_bool().is_none() {
        return Err(unexpected("the answer is none of a chat"));
    }
    // What it thinks stands beside, in `thinking`.
    said.say(part["message"]["content"].as_str().unwrap_or_default())?;
    if part["done"] == true {
        said.count(part["prompt_eval_count"].as_u64(), part["eval_count"].as_u64());
        said.end = Some(if part["done_reason"] == "length" { End::Length } else { End::Done });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use plinth_nl2sql::model::Message;

    use super::*;

    #[test]
    fn the_context_holds_the_prompt_in_few_sizes() {
        let size = |bytes: usize, max_tokens| {
            let messages = vec![Message::new(Role::User, "x".repeat(bytes))];
            context(&ModelRequest { messages, temperature: 0.0, max_tokens, json: true })
        };
        assert_eq!(size(100, 500), 4_096);
        assert_eq!(size(9_000, 4_096), 8_192);
        assert_eq!(size(48 * 1024, 4_096), 32_768);
        assert_eq!(size(10 << 20, 4_096), 65_536);
    }
}
