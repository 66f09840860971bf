//! The key is in the request's header and nowhere else.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use plinth_nl2sql::model::{LanguageModel, Meter};

use crate::server::{KEY, Line, Server, request};

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_key_is_in_no_error_no_log_line_and_no_debug_output() {
    let log = Log::default();
    let writer = log.clone();
    // For the whole process: connections are served by tasks of their own, and what the other tests cause is looked
    // through as well.
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .init();
    tracing::callsite::rebuild_interest_cache();
    // A server that repeats the key wherever it can; once so that a cut in the middle would leave most of it.
    let long = format!("{}{KEY}", "x".repeat(190));
    for line in [
        Line::error(400, "", KEY, KEY),
        Line::error(401, "", "invalid_api_key", KEY),
        Line::error(404, "", KEY, KEY),
        Line::error(404, "", "x", &long),
        Line::error(429, "retry-after: 0\r\n", KEY, KEY),
        Line::error(503, "", KEY, KEY),
        Line::Answer(
            200,
            "",
            format!("{{\"error\": {{\"code\": \"{KEY}\", \"message\": \"{KEY}\"}}}}"),
        ),
        Line::Answer(200, "", KEY.to_owned()),
        Line::HalfABody,
        Line::HangUp,
    ] {
        let server = Server::saying([line]).await;
        let model = server.client(Duration::from_secs(20));
        let error = model.complete(&request(), &Meter::default()).await.expect_err("a fault");
        let text = format!("{error} {error:?} {model:?}");
        assert!(!text.contains("sk-test"), "{text}");
    }
    let logged = String::from_utf8(log.0.lock().expect("not poisoned").clone()).expect("text");
    assert!(logged.contains("model.retry"), "the log was caught");
    assert!(!logged.contains("sk-test"), "{logged}");
}
