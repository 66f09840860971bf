//! An answer as a stream of events (`text/event-stream`): what is done, as it is done.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures_util::stream;
use plinth_core::{Classify as _, ErrorKind};
use plinth_queries::{
    Answer, CutOff, JsonRows, Notes, QueryError, QueryId, QueryRecord, Running, Told, type_name,
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::answer::{Head, PIECE_BYTES, rounded};
use super::count;
use super::saved_body::RunOfBody;
use crate::http::Problem;

/// After how much silence the stream says that it is still there.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Events that wait for a slow caller; then the database waits too.
const AHEAD: usize = 4;

/// Whether the caller wants events.
pub(super) fn are_wanted(request: &HttpRequest) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|it| it.to_str().ok());
    accept.is_some_and(|it| it.trim_start().starts_with("text/event-stream"))
}

/// Streams what comes of `begin`, which is given whom to tell of its statement. The work is part of the stream: a caller who
/// hangs up drops it, and so cancels the statement in the database.
pub(super) fn stream<F>(begin: impl FnOnce(Told) -> F) -> HttpResponse
where
    F: Future<Output = Result<Answer, QueryError>> + 'static,
{
    let (events, coming) = mpsc::channel(AHEAD);
    let (said, mut statements) = mpsc::unbounded_channel();
    let told = Told::new(move |record: &QueryRecord| {
        // Whoever listened has gone.
        let _ = said.send(Statement::of(record));
    });
    let begun = begin(told.clone());
    let work = async move {
        let events = Events(events);
        let mut begun = Box::pin(begun);
        events.send("state", &json!({ "state": "running" })).await;
        let answer = loop {
            tokio::select! {
                biased;
                Some(statement) = statements.recv() => {
                    events.send("sql", &statement.0).await;
                }
                answer = &mut begun => break answer,
            }
        };
        while let Ok(statement) = statements.try_recv() {
            events.send("sql", &statement.0).await;
        }
        events.tell(count(answer), told.entry()).await;
    };
    let open = Open { work: Some(Box::pin(work)), coming };
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // Proxies that gather an answer before they pass it on would hold events back.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(Box::pin(stream::unfold(open, |mut open| async move {
            let event = open.next().await?;
            Some((Ok::<_, actix_web::Error>(event), open))
        })))
}

/// The work, and what it has said.
struct Open {
    /// `None` once it is done.
    work: Option<Pin<Box<dyn Future<Output = ()>>>>,
    coming: mpsc::Receiver<Bytes>,
}

impl Open {
    async fn next(&mut self) -> Option<Bytes> {
        let silence = tokio::time::sleep(HEARTBEAT);
        tokio::pin!(silence);
        loop {
            let Some(work) = &mut self.work else { return self.coming.recv().await };
            tokio::select! {
                biased;
                event = self.coming.recv() => return event,
                () = work => self.work = None,
                () = &mut silence => return Some(Bytes::from_static(b": still there\n\n")),
            }
        }
    }
}

/// Where events go.
struct Events(mpsc::Sender<Bytes>);

impl Events {
    async fn send(&self, name: &str, data: &Value) {
        // JSON has no line breaks in it: one line of data.
        let _ = self.0.send(format!("event: {name}\ndata: {data}\n\n").into()).await;
    }

    /// Tells of an answer; if there is none, of why, with the entry that was made of it.
    async fn tell(&self, answer: Result<Answer, QueryError>, entry: Option<QueryId>) {
        match answer {
            Ok(Answer::Rows(running)) => self.rows(*running).await,
            Ok(Answer::Meta(record)) => {
                let question = record.question.as_deref();
                let mut head = Head::new(record.id.to_string(), question, "", &record.notes);
                head.outcome = Some(record.outcome.into());
                head.sql = None;
                self.send("sql", &value(&head)).await;
                self.done("succeeded", Some(record.id)).await;
            }
            // The other way of asking is for plans.
            Ok(Answer::Planned(explained)) => {
                self.done("succeeded", Some(explained.record.id)).await;
            }
            Err(err) => self.failed(err, entry).await,
        }
    }

    async fn rows(&self, mut running: Running) {
        let id = running.id();
        let types = running.types().clone();
        let mut json = JsonRows::new(running.columns(), &types);
        let columns: Vec<_> = running.columns().iter().map(|it| it.name.as_str()).collect();
        let schema: Vec<_> = running
            .columns()
            .iter()
            .map(|it| json!({ "name": it.name, "type": type_name(it.type_oid, it.type_modifier, &types) }))
            .collect();
        self.send("rows", &json!({ "columns": columns, "schema": schema, "rows": [] })).await;
        let (mut rows, mut bytes): (Vec<Vec<Value>>, usize) = (Vec::new(), 0);
        loop {
            let some = match running.next().await {
                Ok(some) => some,
                Err(err) => return self.failed(err, Some(id)).await,
            };
            let is_end = some.is_empty();
            for row in some {
                bytes += row.size_bytes();
                rows.push(json.values(&row));
                if bytes >= PIECE_BYTES {
                    bytes = 0;
                    self.send("rows", &json!({ "rows": std::mem::take(&mut rows) })).await;
                }
            }
            // What has come goes on, also if it is little.
            if !rows.is_empty() {
                bytes = 0;
                self.send("rows", &json!({ "rows": std::mem::take(&mut rows) })).await;
            }
            if is_end {
                break;
            }
        }
        self.send("usage", &usage(&running, json.replaced_text())).await;
        self.done("succeeded", Some(id)).await;
    }

    async fn failed(&self, err: QueryError, id: Option<QueryId>) {
        let state = match err.kind() {
            ErrorKind::QueryTimeout => "timed_out",
            ErrorKind::QueryCancelled => "cancelled",
            _ => "failed",
        };
        let problem = Problem::from(err);
        self.send("error", &json!({ "error": problem.into_info() })).await;
        self.done(state, id).await;
    }

    async fn done(&self, state: &str, id: Option<QueryId>) {
        self.send("state", &json!({ "state": state })).await;
        self.send("done", &json!({ "state": state, "query_id": id })).await;
    }
}

/// A statement that is about to run.
struct Statement(Value);

impl Statement {
    fn of(record: &QueryRecord) -> Self {
        let sql = record.sql.as_deref().unwrap_or_default();
        let question = record.question.as_deref();
        let mut head = Head::new(record.id.to_string(), question, sql, &record.notes);
        // That is not known yet.
        head.outcome = None;
        head.run_of = record.run_of.map(RunOfBody::from);
        Self(value(&head))
    }
}

/// What an answer took.
fn usage(running: &Running, text_replaced: bool) -> Value {
    let summary = running.summary();
    let cut_off = summary.and_then(|it| it.cut_off);
    let Notes { engine_ms, model, cached_at, answer, tables, restricted, .. } = running.notes();
    json!({
        "row_count": summary.map(|it| it.row_count),
        "truncated": cut_off.is_some(),
        "truncated_by": cut_off.map(|it| match it { CutOff::Rows => "rows", CutOff::Bytes => "bytes" }),
        "row_limit": running.row_limit(),
        "text_replaced": text_replaced,
        "execution_time_ms": summary.map(|it| rounded(it.execution_time_ms)),
        "engine_ms": engine_ms.map(rounded),
        "model": model,
        "cached_at": cached_at,
        "answer": answer,
        "tables": tables,
        "restricted": restricted,
    })
}

fn value(it: &impl Serialize) -> Value {
    serde_json::to_value(it).expect("plain values")
}
