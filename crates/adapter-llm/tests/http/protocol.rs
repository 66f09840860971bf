//! One completion: what is sent, what every answer means, what is tried again.

use std::{sync::Arc, time::Duration};

use plinth_adapter_llm::{ClientSettings, Endpoint, ModelClient};
use plinth_egress::{Gate, Network};
use plinth_models::Provider;
use plinth_nl2sql::model::{LanguageModel, Meter, ModelError, Usage};
use serde_json::json;

use crate::server::{Here, KEY, Line, Server, client, of_operator, request};

const PATIENT: Duration = Duration::from_secs(20);

/// The outcome of one completion, and how many requests it took.
async fn outcome(lines: impl IntoIterator<Item = Line>) -> (Result<String, ModelError>, usize) {
    let server = Server::saying(lines).await;
    let outcome = server.client(PATIENT).complete(&request(), &Meter::default()).await;
    (outcome, server.received().len())
}

#[tokio::test]
async fn a_completion_is_asked_for_as_the_protocol_says() {
    let server = Server::saying([Line::says("{\"sql\": null}")]).await;
    let model = server.client(PATIENT);
    let meter = Meter::default();
    let text = model.complete(&request(), &meter).await.expect("an answer");
    assert_eq!(text, "{\"sql\": null}");
    assert_eq!(meter.total(), Usage { calls: 1, prompt_tokens: 120, completion_tokens: 9 });
    assert_eq!(model.name(), "tiny");
    let received = &server.received()[0];
    assert!(
        received.head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"),
        "{}",
        received.head
    );
    assert!(received.head.contains(&format!("authorization: Bearer {KEY}\r\n")));
    assert_eq!(
        received.body,
        json!({
            "model": "tiny",
            "messages": [
                { "role": "system", "content": "rules" },
                { "role": "user", "content": "{\"question\": \"how many?\"}" },
            ],
            "stream": true,
            "stream_options": { "include_usage": true },
            "max_tokens": 500,
            "temperature": 0.0,
            "response_format": { "type": "json_object" },
        })
    );
}

#[tokio::test]
async fn without_a_key_no_credentials_are_sent() {
    for key in [None, Some("".into())] {
        let server = Server::saying([Line::says("hello")]).await;
        let endpoint = of_operator(&server.base_url);
        let model =
            ModelClient::new(ClientSettings::new(Provider::OpenAi, endpoint, "tiny", key, PATIENT));
        model.expect("a client").complete(&request(), &Meter::default()).await.expect("an answer");
        assert!(!server.received()[0].head.to_lowercase().contains("authorization"));
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again_at_most_twice() {
    let busy = || Line::error(429, "retry-after: 0\r\n", "rate_limit_exceeded", "slow down");
    let down = || Line::error(500, "", "server_error", "oops");
    let good = || Line::says("good");
    assert_eq!(outcome([busy(), good()]).await, (Ok("good".to_owned()), 2));
    assert_eq!(outcome([down(), down(), good()]).await, (Ok("good".to_owned()), 3));
    assert_eq!(outcome([Line::HangUp, good()]).await.0, Ok("good".to_owned()));
    assert_eq!(outcome([Line::HalfABody, good()]).await, (Ok("good".to_owned()), 2));
    let limited = Err(ModelError::RateLimited { retry_after: Some(Duration::ZERO) });
    assert_eq!(outcome([busy()]).await, (limited, 3));
    let (error, requests) = outcome([down()]).await;
    assert_eq!(error, Err(ModelError::Unreachable("status 500 (server_error)".to_owned())));
    assert_eq!(requests, 3);
    let (error, requests) = outcome([Line::HalfABody]).await;
    assert!(matches!(error, Err(ModelError::Unreachable(_))), "{error:?}");
    assert_eq!(requests, 3);
}

#[tokio::test]
async fn what_cannot_pass_is_not_tried_again() {
    let text = |status, code, text| [Line::error(status, "", code, text)];
    assert_eq!(
        outcome(text(401, "invalid_api_key", "no")).await,
        (Err(ModelError::Unauthorized), 1)
    );
    assert_eq!(outcome(text(403, "forbidden", "no")).await, (Err(ModelError::Unauthorized), 1));
    assert_eq!(
        outcome(text(400, "context_length_exceeded", "too much")).await,
        (Err(ModelError::TooLong), 1)
    );
    let spent = Err(ModelError::RateLimited { retry_after: None });
    assert_eq!(outcome(text(429, "insufficient_quota", "pay")).await, (spent, 1));
    let missing = "status 404: model \"tiny\" not found, pull it first".to_owned();
    assert_eq!(
        outcome(text(404, "not_found", "model \"tiny\" not found, pull it first")).await,
        (Err(ModelError::Protocol(missing)), 1)
    );
    assert_eq!(
        outcome(text(400, "bad_thing", "your prompt was: rules")).await,
        (Err(ModelError::Protocol("status 400 (bad_thing)".to_owned())), 1)
    );
}

#[tokio::test]
async fn a_wait_beyond_the_time_limit_is_not_begun() {
    let server = Server::saying([Line::error(429, "retry-after: 3600\r\n", "busy", "later")]).await;
    let error =
        server.client(PATIENT).complete(&request(), &Meter::default()).await.expect_err("refused");
    assert_eq!(error, ModelError::RateLimited { retry_after: Some(Duration::from_hours(1)) });
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn answers_that_are_none_are_told_apart() {
    let with = |choice: serde_json::Value| {
        [Line::Answer(200, "", json!({ "choices": [choice] }).to_string())]
    };
    for (choice, expected) in [
        (json!({ "message": { "content": "  \n" } }), ModelError::Empty),
        (json!({ "message": { "content": null } }), ModelError::Empty),
        (json!({ "message": { "content": null, "refusal": "I can't." } }), ModelError::Refused),
        (
            json!({ "message": { "content": "x" }, "finish_reason": "content_filter" }),
            ModelError::Refused,
        ),
        (
            json!({ "message": { "content": "{\"sql\": \"SEL" }, "finish_reason": "length" }),
            ModelError::TooLong,
        ),
    ] {
        assert_eq!(outcome(with(choice)).await, (Err(expected), 1));
    }
    assert_eq!(
        outcome([Line::Answer(200, "", "{\"choices\": []}".to_owned())]).await.0,
        Err(ModelError::Empty)
    );
    for nonsense in
        ["<html>welcome</html>", "", "{\"choices\": 5}", "[]", "{\"error\": {\"code\": \"x\"}}"]
    {
        let (error, requests) = outcome([Line::Answer(200, "", nonsense.to_owned())]).await;
        assert!(
            matches!(error, Err(ModelError::Protocol(_) | ModelError::Empty)),
            "{nonsense}: {error:?}"
        );
        assert_eq!(requests, 1);
    }
    let parts = json!({ "message": { "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }] } });
    assert_eq!(outcome(with(parts)).await.0, Ok("ab".to_owned()));
}

#[tokio::test]
async fn a_body_without_end_or_with_too_much_is_cut_off() {
    for line in [Line::Endless, Line::says(&"x".repeat(5 * 1024 * 1024))] {
        let (error, requests) = outcome([line]).await;
        let expected = ModelError::Protocol("the body is larger than 4194304 bytes".to_owned());
        assert_eq!((error, requests), (Err(expected), 1));
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Server::saying([Line::says("stolen")]).await;
    let location: &'static str = Box::leak(format!("location: {}\r\n", other.base_url).into());
    let (error, _) = outcome([Line::Answer(307, location, String::new())]).await;
    assert!(matches!(error, Err(ModelError::Protocol(it)) if it.contains("redirect")));
    assert!(other.received().is_empty());
}

#[tokio::test]
async fn silence_ends_at_the_time_limit_and_lets_the_connection_go() {
    let server = Server::saying([Line::Silence]).await;
    let limit = Duration::from_millis(200);
    let error =
        server.client(limit).complete(&request(), &Meter::default()).await.expect_err("nothing");
    assert_eq!(error, ModelError::Timeout(limit));
    server.is_left().await;
}

#[tokio::test]
async fn dropping_the_call_hangs_up() {
    let server = Server::saying([Line::Silence]).await;
    let model = server.client(PATIENT);
    let (asked, meter, wanted) = (request(), Meter::default(), async {
        while server.received().is_empty() {
            tokio::task::yield_now().await;
        }
    });
    tokio::select! {
        outcome = model.complete(&asked, &meter) => panic!("{outcome:?}"),
        () = wanted => {}
    }
    server.is_left().await;
}

#[tokio::test]
async fn what_a_server_does_not_know_is_left_out_from_then_on() {
    let server = Server::saying([
        Line::error(
            400,
            "",
            "unsupported_parameter",
            "Use 'max_completion_tokens' instead of 'max_tokens'.",
        ),
        Line::error(
            400,
            "",
            "unsupported_value",
            "'temperature' does not support 0 with this model.",
        ),
        Line::error(422, "", "unknown", "response_format: unknown field"),
        Line::says("good"),
    ])
    .await;
    let model = server.client(PATIENT);
    model.complete(&request(), &Meter::default()).await.expect("an answer");
    model.complete(&request(), &Meter::default()).await.expect("an answer");
    let received = server.received();
    assert_eq!(received.len(), 5);
    for at in [3, 4] {
        let fields: Vec<&String> =
            received[at].body.as_object().expect("an object").keys().collect();
        assert_eq!(
            fields,
            ["max_completion_tokens", "messages", "model", "stream", "stream_options"]
        );
    }
    // A server that complains of what was not sent is not asked for ever.
    let (error, requests) = outcome([Line::error(400, "", "x", "temperature")]).await;
    assert_eq!((error, requests), (Err(ModelError::Protocol("status 400 (x)".to_owned())), 2));
}

#[tokio::test]
async fn nobody_at_the_address_is_said_plainly() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let model = client(of_operator(&base), PATIENT);
    let error = model.complete(&request(), &Meter::default()).await.expect_err("nobody");
    assert!(matches!(&error, ModelError::Unreachable(it) if it.contains("refused")), "{error:?}");
}

#[tokio::test]
async fn an_organizations_endpoint_reaches_only_what_the_gate_admits() {
    let server = Server::saying([Line::says("inside")]).await;
    let named = server.base_url.replace("127.0.0.1", "model.example.test");
    for base in [&server.base_url, &named] {
        let shut = Gate::new(Arc::new(Here), [], []);
        let model = client(Endpoint::new(base, shut).expect("a URL"), PATIENT);
        let error = model.complete(&request(), &Meter::default()).await.expect_err("shut out");
        assert!(matches!(error, ModelError::Unreachable(_)), "{error:?}");
    }
    assert!(server.received().is_empty());
    let open = Gate::new(Arc::new(Here), [Network::LOOPBACK_V4], []);
    let model = client(Endpoint::new(&named, open).expect("a URL"), PATIENT);
    assert_eq!(model.complete(&request(), &Meter::default()).await.expect("an answer"), "inside");
}
