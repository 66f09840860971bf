//! The embedded engine's own time.

use anyhow::{Result, ensure};
use serde_json::json;

use super::Stage;
use super::figure::{Aim, Figure, Unit};
use crate::eval::{conversation_of, own_questions};
use crate::question::conversations;
use crate::sample::Sample;
use crate::terminal::{quantile, say};

/// Asks our own questions one after the other, all of them as often as there are rounds.
///
/// # Errors
/// If the server says of none how long its engine took.
pub(super) async fn measure(stage: &Stage<'_>, sample: &Sample) -> Result<Vec<Figure>> {
    let (_folder, plinth) = stage.plinth().await?;
    let mut client = plinth.client();
    let connection = sample.connect(&mut client, stage.databases).await?;
    let conversations = conversations(own_questions("question")?);
    let questions: usize = conversations.iter().map(Vec::len).sum();
    let mut times = Vec::new();
    // The first time over warms caches up.
    for round in 0..=stage.options.rounds {
        for conversation in &conversations {
            let mut id: Option<String> = None;
            for question in conversation {
                let mut body = json!({ "connection_id": connection, "question": question.text });
                if let Some(id) = &id {
                    body["conversation_id"] = id.as_str().into();
                }
                let response = client.request("POST", "/v1/queries", Some(&body)).await?;
                let json = response.json()?;
                id = conversation_of(&json).or(id);
                if let Some(ms) = json["data"]["timings"]["engine_ms"].as_f64()
                    && round > 0
                {
                    times.push(ms);
                }
            }
        }
    }
    plinth.stop()?;
    times.sort_by(f64::total_cmp);
    let [p50, p95, p99, most] =
        [0.5, 0.95, 0.99, 1.0].map(|part| quantile(&times, part).unwrap_or_default());
    ensure!(!times.is_empty(), "no answer says how long the engine took");
    say(&format!("· the engine took {p50:.2} ms for a question"));
    Ok(vec![Figure {
        what: "embedded engine, 1 question".to_owned(),
        ours: format!("p50 {p50:.2}, p99 {p99:.2} ms"),
        peer: String::new(),
        number: p50,
        unit: Unit::Milliseconds,
        aim: Some(Aim::AtMost(5.0)),
        details: json!({
            "questions": questions,
            "answers": times.len(),
            "ms": { "p50": p50, "p95": p95, "p99": p99, "most": most },
        }),
    }])
}
