//! What each provider's protocol says, well and badly: the real shapes of requests, streams, counts and refusals.

use std::time::Duration;

use plinth_adapter_llm::{ClientSettings, ModelClient};
use plinth_models::Provider;
use plinth_nl2sql::model::{LanguageModel, Message, Meter, ModelError, ModelRequest, Role, Usage};
use serde_json::{Value, json};

use crate::server::{KEY, Line, Server, of_operator, request};

const PATIENT: Duration = Duration::from_secs(20);

/// What a stream says, and ends with.
const TEXT: &str = "{\"sql\": \"SELECT 'ü'\"}";

fn client(server: &Server, provider: Provider) -> ModelClient {
    let mut settings = ClientSettings::new(
        provider,
        of_operator(&server.host_url()),
        "tiny-1",
        Some(KEY.into()),
        PATIENT,
    );
    settings.backoff = Duration::from_millis(1);
    ModelClient::new(settings).expect("a client")
}

fn events(all: &[Value]) -> String {
    all.iter().fold(String::new(), |text, it| match it["type"].as_str() {
        Some(name) => format!("{text}event: {name}\ndata: {it}\n\n"),
        None => format!("{text}data: {it}\r\n\r\n"),
    })
}

fn halves() -> (&'static str, &'static str) {
    TEXT.split_at(9)
}

/// The pieces of a good answer, as that provider streams it.
fn good(provider: Provider) -> Vec<Value> {
    let (a, b) = halves();
    match provider {
        Provider::OpenAi => vec![
            json!({ "choices": [{ "index": 0, "delta": { "role": "assistant", "content": "" } }] }),
            json!({ "choices": [{ "index": 0, "delta": { "content": a } }] }),
            json!({ "choices": [{ "index": 0, "delta": { "content": b } }] }),
            json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] }),
            json!({ "choices": [], "usage": { "prompt_tokens": 120, "completion_tokens": 9 } }),
        ],
        Provider::Anthropic => vec![
            json!({ "type": "message_start", "message": { "id": "msg_1", "role": "assistant", "content": [],
                "usage": { "input_tokens": 100, "cache_read_input_tokens": 15, "cache_creation_input_tokens": 5, "output_tokens": 1 } } }),
            json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "thinking", "thinking": "" } }),
            json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "thinking_delta", "thinking": "{\"sql\": \"SELECT 1\"}" } }),
            json!({ "type": "content_block_stop", "index": 0 }),
            json!({ "type": "content_block_start", "index": 1, "content_block": { "type": "text", "text": "" } }),
            json!({ "type": "ping" }),
            json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "text_delta", "text": a } }),
            json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "text_delta", "text": b } }),
            json!({ "type": "content_block_stop", "index": 1 }),
            json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": 9 } }),
            json!({ "type": "message_stop" }),
        ],
        Provider::Gemini => vec![
            json!({ "candidates": [{ "content": { "role": "model", "parts": [{ "text": "hm", "thought": true }, { "text": a }] } }],
                "usageMetadata": { "promptTokenCount": 120 } }),
            json!({ "candidates": [{ "content": { "role": "model", "parts": [{ "text": b }] }, "finishReason": "STOP" }],
                "usageMetadata": { "promptTokenCount": 120, "candidatesTokenCount": 5, "thoughtsTokenCount": 4 } }),
        ],
        Provider::Ollama => vec![
            json!({ "model": "tiny-1", "message": { "role": "assistant", "content": "", "thinking": "hm" }, "done": false }),
            json!({ "model": "tiny-1", "message": { "role": "assistant", "content": a }, "done": false }),
            json!({ "model": "tiny-1", "message": { "role": "assistant", "content": b }, "done": false }),
            json!({ "model": "tiny-1", "message": { "role": "assistant", "content": "" }, "done": true, "done_reason": "stop",
                "prompt_eval_count": 120, "eval_count": 9 }),
        ],
    }
}

/// Those pieces as they go over the wire.
fn streamed(provider: Provider, pieces: &[Value]) -> Line {
    let (content_type, text) = match provider {
        Provider::Ollama => (
            "application/x-ndjson",
            pieces.iter().fold(String::new(), |text, it| format!("{text}{it}\n")),
        ),
        Provider::OpenAi => {
            ("text/event-stream", format!(": alive\n\n{}data: [DONE]\n\n", events(pieces)))
        }
        Provider::Anthropic | Provider::Gemini => ("text/event-stream", events(pieces)),
    };
    Line::Stream(content_type, text)
}

#[tokio::test]
async fn an_answer_is_read_from_its_stream_with_what_it_used() {
    for provider in Provider::ALL {
        let server = Server::saying([streamed(provider, &good(provider))]).await;
        let meter = Meter::default();
        let text = client(&server, provider).complete(&request(), &meter).await;
        assert_eq!(text, Ok(TEXT.to_owned()), "{provider}");
        let usage = Usage { calls: 1, prompt_tokens: 120, completion_tokens: 9 };
        assert_eq!(meter.total(), usage, "{provider}");
    }
}

#[tokio::test]
async fn each_provider_is_asked_in_its_own_way() {
    let conversation = ModelRequest {
        messages: vec![
            Message::new(Role::System, "rules"),
            Message::new(Role::User, "how many?"),
            Message::new(Role::Assistant, "that many"),
            Message::new(Role::User, "sure?"),
        ],
        ..request()
    };
    let turn = |role: &str, text: &str| json!({ "role": role, "content": text });
    let parts = |role: &str, text: &str| json!({ "role": role, "parts": [{ "text": text }] });
    for (provider, path, header, body) in [
        (
            Provider::Anthropic,
            "POST /v1/messages HTTP/1.1",
            format!("x-api-key: {KEY}"),
            json!({
                "model": "tiny-1", "system": "rules", "max_tokens": 500, "stream": true, "temperature": 0.0,
                "messages": [turn("user", "how many?"), turn("assistant", "that many"), turn("user", "sure?")],
            }),
        ),
        (
            Provider::Gemini,
            "POST /v1beta/models/tiny-1:streamGenerateContent?alt=sse HTTP/1.1",
            format!("x-goog-api-key: {KEY}"),
            json!({
                "systemInstruction": { "parts": [{ "text": "rules" }] },
                "contents": [parts("user", "how many?"), parts("model", "that many"), parts("user", "sure?")],
                "generationConfig": { "maxOutputTokens": 500, "temperature": 0.0, "responseMimeType": "application/json" },
            }),
        ),
        (
            Provider::Ollama,
            "POST /api/chat HTTP/1.1",
            format!("authorization: Bearer {KEY}"),
            json!({
                "model": "tiny-1", "stream": true, "format": "json",
                "messages": [turn("system", "rules"), turn("user", "how many?"), turn("assistant", "that many"), turn("user", "sure?")],
                "options": { "num_predict": 500, "num_ctx": 4096, "temperature": 0.0 },
            }),
        ),
    ] {
        let server = Server::saying([streamed(provider, &good(provider))]).await;
        let answered = client(&server, provider).complete(&conversation, &Meter::default()).await;
        answered.expect("an answer");
        let received = &server.received()[0];
        assert!(received.head.starts_with(path), "{}", received.head);
        assert!(received.head.contains(&header), "{provider}");
        assert_eq!(
            received.head.contains("anthropic-version: 2023-06-01"),
            provider == Provider::Anthropic
        );
        assert_eq!(received.body, body, "{provider}");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_anywhere_is_tried_again_and_never_taken_for_an_answer() {
    for provider in Provider::ALL {
        let whole = good(provider);
        // The one that says how it ended comes last but for OpenAI's count and Anthropic's farewell.
        let ends_at = match provider {
            Provider::OpenAi => whole.len() - 2,
            _ => whole.len() - 1,
        };
        for cut in 0..ends_at {
            let Line::Stream(content_type, text) = streamed(provider, &whole[..cut]) else {
                panic!("a stream")
            };
            let text = text.replace("data: [DONE]\n\n", "");
            for broken in [
                Line::Stream(content_type, text.clone()),
                Line::CutStream(content_type, text.clone()),
                // In the middle of a piece.
                Line::CutStream(content_type, format!("{text}data: {{\"choi")),
            ] {
                let server = Server::saying([broken.clone(), streamed(provider, &whole)]).await;
                let text = client(&server, provider).complete(&request(), &Meter::default()).await;
                assert_eq!(text, Ok(TEXT.to_owned()), "{provider} {cut} {broken:?}");
                assert_eq!(server.received().len(), 2, "{provider} {cut} {broken:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_a_broken_answer_used_counts_too() {
    for provider in Provider::ALL {
        let whole = good(provider);
        let broken = Line::CutStream(
            if provider == Provider::Ollama { "application/x-ndjson" } else { "text/event-stream" },
            match streamed(provider, &whole[..2]) {
                Line::Stream(_, text) => text.replace("data: [DONE]\n\n", ""),
                other => panic!("{other:?}"),
            },
        );
        let server = Server::saying([broken, streamed(provider, &whole)]).await;
        let meter = Meter::default();
        client(&server, provider).complete(&request(), &meter).await.expect("an answer");
        let usage = meter.total();
        assert_eq!(usage.calls, 2, "{provider}");
        assert!(usage.prompt_tokens > 120, "{provider}: {usage:?}");
    }
}

#[tokio::test]
async fn how_a_model_ended_is_told_apart() {
    let with = |provider: Provider, at: usize, pointer: &str, reason: &str| {
        let mut pieces = good(provider);
        *pieces[at].pointer_mut(pointer).expect(pointer) = reason.into();
        streamed(provider, &pieces)
    };
    for (provider, at, pointer, length, refused) in [
        (Provider::OpenAi, 3, "/choices/0/finish_reason", "length", Some("content_filter")),
        (Provider::Anthropic, 9, "/delta/stop_reason", "max_tokens", Some("refusal")),
        (Provider::Gemini, 1, "/candidates/0/finishReason", "MAX_TOKENS", Some("SAFETY")),
        (Provider::Ollama, 3, "/done_reason", "length", None),
    ] {
        let ends = [(Some(length), ModelError::TooLong), (refused, ModelError::Refused)];
        for (reason, expected) in ends {
            let Some(reason) = reason else { continue };
            let server = Server::saying([with(provider, at, pointer, reason)]).await;
            let meter = Meter::default();
            let ended = client(&server, provider).complete(&request(), &meter).await;
            assert_eq!(ended, Err(expected), "{provider}");
            assert_eq!(server.received().len(), 1);
            assert_eq!(meter.total().completion_tokens, 9, "{provider}: it was paid for");
        }
    }
    let blocked = json!({ "promptFeedback": { "blockReason": "PROHIBITED_CONTENT" } });
    let server = Server::saying([streamed(Provider::Gemini, &[blocked])]).await;
    let ended = client(&server, Provider::Gemini).complete(&request(), &Meter::default()).await;
    assert_eq!(ended, Err(ModelError::Refused));
}

/// A refusal in that provider's own form.
fn refusal(provider: Provider, status: u16, headers: &'static str, code: &str, text: &str) -> Line {
    let body = match provider {
        Provider::OpenAi => json!({ "error": { "message": text, "type": "x", "code": code } }),
        Provider::Anthropic => {
            json!({ "type": "error", "error": { "type": code, "message": text }, "request_id": "req_1" })
        }
        Provider::Gemini => {
            json!([{ "error": { "code": status, "message": text, "status": code } }])
        }
        Provider::Ollama => json!({ "error": text }),
    };
    Line::Answer(status, headers, body.to_string())
}

#[tokio::test]
async fn what_may_pass_is_tried_again_after_what_the_server_says() {
    for provider in Provider::ALL {
        let whole = streamed(provider, &good(provider));
        for (status, code) in [
            (429, "rate_limit_error"),
            (500, "api_error"),
            (502, "bad_gateway"),
            (503, "UNAVAILABLE"),
            (529, "overloaded_error"),
        ] {
            let down = refusal(provider, status, "retry-after: 0\r\n", code, "later");
            let server = Server::saying([down.clone(), down.clone(), whole.clone()]).await;
            let text = client(&server, provider).complete(&request(), &Meter::default()).await;
            assert_eq!(text, Ok(TEXT.to_owned()), "{provider} {status}");
            let server = Server::saying([down]).await;
            let meter = Meter::default();
            let error = client(&server, provider).complete(&request(), &meter).await;
            let error = error.expect_err("down");
            assert!(
                matches!(error, ModelError::Unreachable(_) | ModelError::RateLimited { .. }),
                "{provider} {status} {error:?}"
            );
            assert_eq!((server.received().len(), meter.total().calls), (3, 0));
        }
    }
}

#[tokio::test]
async fn googles_wait_stands_in_the_body() {
    let body = json!({ "error": { "code": 429, "status": "RESOURCE_EXHAUSTED", "message": "quota",
        "details": [{ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3600s" }] } });
    let server = Server::saying([Line::Answer(429, "", body.to_string())]).await;
    let error = client(&server, Provider::Gemini).complete(&request(), &Meter::default()).await;
    let wait = Some(Duration::from_hours(1));
    assert_eq!(error, Err(ModelError::RateLimited { retry_after: wait }));
    assert_eq!(server.received().len(), 1, "a wait beyond the time limit is not begun");
}

#[tokio::test]
async fn a_failure_inside_a_stream_is_tried_again_if_it_may_pass() {
    let failing = |provider: Provider, error: Value| {
        let mut pieces = good(provider);
        pieces.truncate(2);
        pieces.push(error);
        streamed(provider, &pieces)
    };
    for (provider, error, passes) in [
        (
            Provider::Anthropic,
            json!({ "type": "error", "error": { "type": "overloaded_error", "message": "busy" } }),
            true,
        ),
        (
            Provider::Anthropic,
            json!({ "type": "error", "error": { "type": "invalid_request_error", "message": "no" } }),
            false,
        ),
        (Provider::OpenAi, json!({ "error": { "message": "gone", "code": 503 } }), true),
        (Provider::OpenAi, json!({ "error": { "message": "no", "code": "bad_thing" } }), false),
        (
            Provider::Gemini,
            json!({ "error": { "code": 503, "status": "UNAVAILABLE", "message": "busy" } }),
            true,
        ),
        (Provider::Ollama, json!({ "error": "llama runner process has terminated" }), true),
    ] {
        let server =
            Server::saying([failing(provider, error.clone()), streamed(provider, &good(provider))])
                .await;
        let outcome = client(&server, provider).complete(&request(), &Meter::default()).await;
        assert_eq!(outcome.is_ok(), passes, "{provider} {error} {outcome:?}");
        assert_eq!(server.received().len(), if passes { 2 } else { 1 });
    }
}

#[tokio::test]
async fn what_cannot_pass_is_told_apart() {
    let (long, missing) =
        ("prompt is too long: 300000 tokens > 200000 maximum", "model tiny-1 not found");
    for (provider, status, code, text, expected) in [
        (
            Provider::Anthropic,
            401,
            "authentication_error",
            "invalid x-api-key",
            ModelError::Unauthorized,
        ),
        (Provider::Anthropic, 400, "invalid_request_error", long, ModelError::TooLong),
        (
            Provider::Gemini,
            400,
            "INVALID_ARGUMENT",
            "API key not valid. Please pass a valid API key.",
            ModelError::Unauthorized,
        ),
        (Provider::Gemini, 403, "PERMISSION_DENIED", "no", ModelError::Unauthorized),
        (
            Provider::Gemini,
            400,
            "INVALID_ARGUMENT",
            "The input token count (9) exceeds the maximum number of tokens allowed (8).",
            ModelError::TooLong,
        ),
        (
            Provider::Ollama,
            404,
            "",
            missing,
            ModelError::Protocol(format!("status 404: {missing}")),
        ),
        (
            Provider::Gemini,
            400,
            "FAILED_PRECONDITION",
            "your prompt was: rules",
            ModelError::Protocol("status 400 (FAILED_PRECONDITION)".to_owned()),
        ),
    ] {
        let server = Server::saying([refusal(provider, status, "", code, text)]).await;
        let error = client(&server, provider).complete(&request(), &Meter::default()).await;
        assert_eq!(error, Err(expected), "{provider} {status}");
        assert_eq!(server.received().len(), 1);
    }
}

#[tokio::test]
async fn nonsense_is_no_answer() {
    for provider in Provider::ALL {
        for (content_type, nonsense) in [
            ("text/html", "<html>welcome</html>"),
            ("application/json", ""),
            ("application/json", "[]"),
            ("application/json", "{}"),
            ("application/json", "{\"hello\": 5}"),
            ("text/event-stream", "data: not json\n\n"),
            ("text/event-stream", "data: 5\n\n"),
            ("text/event-stream", "data: {\"type\": 5}\n\ndata: [1]\n\n"),
            ("application/x-ndjson", "{\"x\": 1}\n{\"y\": 2}\n"),
        ] {
            let server = Server::saying([Line::Stream(content_type, nonsense.to_owned())]).await;
            let error = client(&server, provider).complete(&request(), &Meter::default()).await;
            assert!(
                matches!(
                    error,
                    Err(ModelError::Protocol(_) | ModelError::Empty | ModelError::Unreachable(_))
                ),
                "{provider} {nonsense}: {error:?}"
            );
        }
    }
}

#[tokio::test]
async fn an_endless_stream_of_words_is_cut_off() {
    for provider in Provider::ALL {
        let (index, word) =
            (if provider == Provider::Anthropic { 6 } else { 1 }, "x".repeat(4_000));
        let mut piece = good(provider)[index].clone();
        let pointer = match provider {
            Provider::OpenAi => "/choices/0/delta/content",
            Provider::Anthropic => "/delta/text",
            Provider::Gemini => "/candidates/0/content/parts/0/text",
            Provider::Ollama => "/message/content",
        };
        *piece.pointer_mut(pointer).expect(pointer) = word.into();
        piece.as_object_mut().expect("an object").remove("finishReason");
        let server = Server::saying([streamed(provider, &vec![piece; 80])]).await;
        let error = client(&server, provider).complete(&request(), &Meter::default()).await;
        assert_eq!(error, Err(ModelError::TooLong), "{provider}");
        assert_eq!(server.received().len(), 1);
    }
}

#[tokio::test]
async fn slow_words_end_at_the_time_limit_and_silence_too() {
    for provider in Provider::ALL {
        let Line::Stream(content_type, text) = streamed(provider, &good(provider)[..1]) else {
            panic!("a stream")
        };
        let text = text.replace("data: [DONE]\n\n", "");
        for line in [Line::Silence, Line::Drip(content_type, text)] {
            let server = Server::saying([line]).await;
            let limit = Duration::from_millis(300);
            let settings = ClientSettings::new(
                provider,
                of_operator(&server.host_url()),
                "tiny-1",
                None,
                limit,
            );
            let model = ModelClient::new(settings).expect("a client");
            let error = model.complete(&request(), &Meter::default()).await;
            assert_eq!(error, Err(ModelError::Timeout(limit)), "{provider}");
            server.is_left().await;
        }
    }
}

#[tokio::test]
async fn who_hangs_up_in_mid_stream_pays_for_what_was_read() {
    for provider in Provider::ALL {
        let Line::Stream(content_type, text) = streamed(provider, &good(provider)[..1]) else {
            panic!("a stream")
        };
        let server =
            Server::saying([Line::Drip(content_type, text.replace("data: [DONE]\n\n", ""))]).await;
        let (model, meter, asked) = (client(&server, provider), Meter::default(), request());
        let gone = tokio::time::timeout(Duration::from_millis(300), model.complete(&asked, &meter));
        assert!(gone.await.is_err());
        server.is_left().await;
        assert_eq!(meter.total().calls, 1, "{provider}");
        assert!(meter.total().prompt_tokens > 0, "{provider}");
    }
}

#[tokio::test]
async fn what_a_provider_does_not_take_is_left_out_from_then_on() {
    for (provider, complaints, left) in [
        (
            Provider::Gemini,
            vec![
                "Developer instruction is not enabled for models/tiny-1",
                "JSON mode is not enabled for models/tiny-1",
            ],
            vec!["contents", "generationConfig"],
        ),
        (
            Provider::Anthropic,
            vec!["`temperature` is deprecated for this model."],
            vec!["max_tokens", "messages", "model", "stream", "system"],
        ),
        (
            Provider::OpenAi,
            vec!["Unknown parameter: stream_options", "response_format is not supported"],
            vec!["max_tokens", "messages", "model", "stream", "temperature"],
        ),
    ] {
        let lines = complaints.iter().map(|it| refusal(provider, 400, "", "invalid", it));
        let server = Server::saying(lines.chain([streamed(provider, &good(provider))])).await;
        let model = client(&server, provider);
        model.complete(&request(), &Meter::default()).await.expect("an answer");
        let received = server.received();
        let last = received.last().expect("asked").body.as_object().expect("an object").clone();
        assert_eq!(last.keys().map(String::as_str).collect::<Vec<_>>(), left, "{provider}");
        assert!(last.values().any(|it| it.to_string().contains("rules")), "the rules stay");
    }
}

#[tokio::test]
async fn a_server_with_an_authority_of_its_own_is_trusted_only_with_it() {
    for provider in Provider::ALL {
        let server = Server::over_tls([streamed(provider, &good(provider))]).await;
        let url = server.host_url();
        let settings = || ClientSettings::new(provider, of_operator(&url), "tiny-1", None, PATIENT);
        let stranger = ModelClient::new(settings()).expect("a client");
        let error = stranger.complete(&request(), &Meter::default()).await;
        assert!(matches!(error, Err(ModelError::Unreachable(_))), "{error:?}");
        assert!(
            server.received().is_empty(),
            "nothing was said before the certificate was checked"
        );
        let mut trusting = settings();
        trusting.authorities = server.authority.clone();
        let trusting = ModelClient::new(trusting).expect("a client");
        let text = trusting.complete(&request(), &Meter::default()).await;
        assert_eq!(text, Ok(TEXT.to_owned()), "{provider}");
    }
    let mut wrong =
        ClientSettings::new(Provider::OpenAi, of_operator("https://h.example"), "m", None, PATIENT);
    for text in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        wrong.authorities = Some(text.to_owned());
        assert!(ModelClient::new(wrong.clone()).is_err(), "{text}");
    }
}

#[tokio::test]
async fn a_models_name_leads_nowhere_else() {
    for name in ["../../v1/files", "a/b", "a?key=1", "a#b", "", " ", "..", "a:b"] {
        let settings = ClientSettings::new(
            Provider::Gemini,
            of_operator("https://h.example"),
            name,
            None,
            PATIENT,
        );
        assert!(ModelClient::new(settings).is_err(), "{name}");
    }
}
