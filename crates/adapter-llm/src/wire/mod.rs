//! What goes over the wire, and what it means.

mod anthropic;
mod gemini;
mod ollama;
mod openai;
mod refusal;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use plinth_models::Provider;
use plinth_nl2sql::model::{Message, ModelError, ModelRequest, Role};
use serde_json::Value;

pub(crate) use anthropic::VERSION as ANTHROPIC_VERSION;
pub(crate) use refusal::{Refused, redacted, refused};

/// The longest text that is taken from a model, in bytes: far above what answering takes.
const MAX_TEXT: usize = 256 * 1024;

/// What a model has said so far.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// Its words, thoughts left out.
    pub(crate) text: String,
    /// Tokens read, if the server has said so.
    pub(crate) prompt_tokens: Option<u64>,
    /// Tokens written, thoughts included.
    pub(crate) completion_tokens: Option<u64>,
    /// Why it will have stopped, where a protocol says so before the end.
    stop: Option<End>,
    /// Why it stopped; `None` while it has not.
    pub(crate) end: Option<End>,
}

/// Why a model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It has said all.
    Done,
    /// It ran into the limit.
    Length,
    /// It, or its server, will not say more.
    Refused,
}

/// Why a call came to nothing.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) error: ModelError,
    /// Whether the same call may succeed later.
    pub(crate) may_pass: bool,
    /// After how long, if the server says so.
    pub(crate) wait: Option<Duration>,
}

impl Fault {
    pub(crate) fn for_good(error: ModelError) -> Self {
        Self { error, may_pass: false, wait: None }
    }

    pub(crate) fn for_now(error: ModelError) -> Self {
        Self { error, may_pass: true, wait: None }
    }
}

impl Said {
    fn say(&mut self, text: &str) -> Result<(), Fault> {
        if self.text.len() + text.len() > MAX_TEXT {
            return Err(Fault::for_good(ModelError::TooLong));
        }
        self.text.push_str(text);
        Ok(())
    }

    /// The last that is known counts: servers repeat it, some with every event.
    fn count(&mut self, prompt: Option<u64>, completion: Option<u64>) {
        self.prompt_tokens = prompt.or(self.prompt_tokens);
        self.completion_tokens = completion.or(self.completion_tokens);
    }

    /// What came of it, once nothing more comes.
    pub(crate) fn finish(&mut self) -> Result<String, Fault> {
        match self.end {
            None => Err(Fault::for_now(ModelError::Unreachable(
                "the answer ended before it was whole".to_owned(),
            ))),
            Some(End::Length) => Err(Fault::for_good(ModelError::TooLong)),
            Some(End::Refused) => Err(Fault::for_good(ModelError::Refused)),
            Some(End::Done) if self.text.trim().is_empty() => {
                Err(Fault::for_good(ModelError::Empty))
            }
            Some(End::Done) => Ok(std::mem::take(&mut self.text)),
        }
    }
}

/// What one server does not take of its protocol. Learned from its refusals, once for the life of the client.
#[derive(Debug, Default)]
pub(crate) struct Dialect {
    /// It cannot be held to JSON.
    no_json: AtomicBool,
    /// It wants `max_completion_tokens`.
    new_limit: AtomicBool,
    /// Its models take no temperature.
    no_temperature: AtomicBool,
    /// It counts nothing in a stream.
    no_stream_usage: AtomicBool,
    /// Its models take no message of the system's own.
    no_system: AtomicBool,
}

impl Dialect {
    fn knows(flag: &AtomicBool) -> bool {
        !flag.load(Ordering::Relaxed)
    }

    /// Learns from the refusal of a request whose body was `sent`. Says whether the next body will be another one, so
    /// that it is worth sending; it lacks what was refused, so this ends.
    pub(crate) fn learn(&self, status: u16, answer: &[u8], sent: &Value) -> bool {
        if status != 400 && status != 422 {
            return false;
        }
        let text = String::from_utf8_lossy(answer);
        let lessons: [(&AtomicBool, &[&str], &[&str]); 5] = [
            (&self.new_limit, &["max_completion_tokens"], &["/max_tokens"]),
            (&self.no_stream_usage, &["stream_options", "include_usage"], &["/stream_options"]),
            (
                &self.no_json,
                &[
                    "response_format",
                    "json_object",
                    "responseMimeType",
                    "response_mime_type",
                    "JSON mode",
                    "\\\"format\\\"",
                ],
                &["/response_format", "/generationConfig/responseMimeType", "/format"],
            ),
            (
                &self.no_temperature,
                &["temperature"],
                &["/temperature", "/generationConfig/temperature", "/options/temperature"],
            ),
            (
                &self.no_system,
                &["systemInstruction", "system_instruction", "Developer instruction"],
                &["/systemInstruction"],
            ),
        ];
        for (flag, words, fields) in lessons {
            let is_meant = words.iter().any(|it| text.contains(it));
            if is_meant && fields.iter().any(|it| sent.pointer(it).is_some()) {
                flag.store(true, Ordering::Relaxed);
                return true;
            }
        }
        false
    }

    /// The request's body.
    pub(crate) fn body(&self, provider: Provider, model: &str, request: &ModelRequest) -> Value {
        match provider {
            Provider::OpenAi => openai::body(self, model, request),
            Provider::Anthropic => anthropic::body(self, model, request),
            Provider::Gemini => gemini::body(self, request),
            Provider::Ollama => ollama::body(self, model, request),
        }
    }
}

/// Takes one piece of a streamed answer.
pub(crate) fn take_part(provider: Provider, part: &[u8], said: &mut Said) -> Result<(), Fault> {
    if provider == Provider::OpenAi && part.trim_ascii() == b"[DONE]" {
        said.end = said.end.or(Some(End::Done));
        return Ok(());
    }
    let part = json(part)?;
    match provider {
        Provider::OpenAi => openai::take_part(&part, said),
        Provider::Anthropic => anthropic::take_part(&part, said),
        Provider::Gemini => gemini::take(&part, said),
        Provider::Ollama => ollama::take(&part, said),
    }
}

/// Takes the answer of a server that does not stream.
pub(crate) fn take_whole(provider: Provider, body: &[u8], said: &mut Said) -> Result<(), Fault> {
    let whole = json(body)?;
    match provider {
        Provider::OpenAi => openai::take_whole(&whole, said),
        Provider::Anthropic => anthropic::take_whole(&whole, said),
        // Without events the pieces stand in a list.
        Provider::Gemini => match whole {
            Value::Array(parts) => parts.iter().try_for_each(|it| gemini::take(it, said)),
            whole => gemini::take(&whole, said),
        },
        Provider::Ollama => ollama::take(&whole, said),
    }
}

fn json(text: &[u8]) -> Result<Value, Fault> {
    serde_json::from_slice(text).map_err(|_| unexpected("the answer is not JSON"))
}

fn unexpected(what: &str) -> Fault {
    Fault::for_good(ModelError::Protocol(what.to_owned()))
}

/// The messages of the system, which some protocols want apart, as one text.
fn system(messages: &[Message]) -> String {
    let all: Vec<&str> =
        messages.iter().filter(|it| it.role == Role::System).map(|it| &*it.content).collect();
    all.join("\n\n")
}

/// The rest of them.
fn turns(messages: &[Message]) -> impl Iterator<Item = (bool, &str)> {
    messages
        .iter()
        .filter(|it| it.role != Role::System)
        .map(|it| (it.role == Role::Assistant, it.content.as_str()))
}
