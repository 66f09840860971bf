//! Writing an answer: at once and with its size when it is small, in pieces as the rows come when it is large.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures_util::stream;
use jiff::Timestamp;
use plinth_queries::{
    Answer, CsvRows, CutOff, Explained, JsonRows, ModelNote, Notes, QueryRecord, Running, Summary,
    type_name,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::body::PlanBody;
use super::chart::ChartMaker;
use super::saved_body::RunOfBody;
use super::{Format, OutcomeBody};
use crate::http::Problem;
use crate::http::envelope::{Meta, Reply};

/// An answer up to this size is collected before its head is sent, so that a failure still gets its proper status and
/// the answer its size. Beyond it, memory would grow with every caller.
pub(super) const COLLECTED_BYTES: usize = 256 * 1024;

/// How much of a large answer is written into one piece.
pub(super) const PIECE_BYTES: usize = 64 * 1024;

/// Rows that `records`, `csv` and `chart` are made from at most: they stand beside the rows and cannot be streamed.
const BESIDE_ROWS: u64 = 10_000;

/// The size of each, and of the rows beside them, at most.
const BESIDE_BYTES: usize = 16 << 20;

/// In which form the caller wants the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The envelope, with something beside the rows.
    Json(Format),
    /// CSV alone.
    Csv,
}

impl Form {
    pub(super) fn of(
        request: &HttpRequest,
        format: Format,
        row_limit: Option<u64>,
    ) -> Result<Self, Problem> {
        let accept = request.headers().get(header::ACCEPT).and_then(|it| it.to_str().ok());
        if accept.is_some_and(|it| it.trim_start().starts_with("text/csv")) {
            return Ok(Self::Csv);
        }
        if format != Format::Table && row_limit.is_some_and(|it| it > BESIDE_ROWS) {
            return Err(too_much_beside());
        }
        Ok(Self::Json(format))
    }
}

pub(super) async fn respond(
    answer: Answer,
    form: Form,
    plan_json: bool,
    reply: &Reply,
) -> Result<HttpResponse, Problem> {
    let running = match answer {
        Answer::Rows(running) => running,
        Answer::Planned(explained) => return Ok(planned_answer(&explained, plan_json, reply)),
        Answer::Meta(record) => return Ok(meta_answer(&record, reply)),
    };
    // What stands beside the rows comes after them, so such an answer is collected whole, under its own bound.
    let beside = matches!(form, Form::Json(format) if format != Format::Table);
    if beside && running.row_limit() > BESIDE_ROWS {
        return Err(too_much_beside());
    }
    let mut response = HttpResponse::Ok();
    if form == Form::Csv {
        // The text has no place for what an envelope says.
        response.content_type("text/csv; charset=utf-8; header=present");
        response.insert_header(("x-plinth-query-id", running.id().to_string()));
        response.insert_header(("x-plinth-row-limit", running.row_limit().to_string()));
        if let Some(at) = running.notes().cached_at {
            response.insert_header(("x-plinth-cached-at", at.to_string()));
        }
    } else {
        response.content_type("application/json");
    }
    let mut writer = Writer::new(running, form, reply.meta());
    let mut collected = Vec::with_capacity(4 * 1024);
    while beside || collected.len() < COLLECTED_BYTES {
        if !writer.write_some(&mut collected).await? {
            if let (Form::Csv, Some(cut_off)) = (form, writer.cut_off()) {
                response.insert_header(("x-plinth-truncated", cut_off));
            }
            return Ok(response.body(collected));
        }
        if beside && collected.len() > BESIDE_BYTES {
            return Err(too_much_beside());
        }
    }
    let first = Bytes::from(collected);
    // A failure from here on cuts the connection: the caller must not take a part for the whole.
    let rest = stream::unfold(Some(writer), |writer| async move {
        let mut writer = writer?;
        let mut piece = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 4);
        loop {
            match writer.write_some(&mut piece).await {
                Ok(true) if piece.len() < PIECE_BYTES => {}
                Ok(true) => return Some((Ok(Bytes::from(piece)), Some(writer))),
                // Nothing in a CSV text can say that rows are missing, and its head is long sent.
                Ok(false) if writer.form == Form::Csv && writer.cut_off().is_some() => {
                    tracing::info!("a CSV answer ended early because it ran into its limit");
                    let rule =
                        "the answer is larger than its limit; ask for more rows with row_limit";
                    return Some((
                        Err(Problem::invalid(rule, json!({ "row_limit": rule })).into()),
                        None,
                    ));
                }
                Ok(false) => return Some((Ok(Bytes::from(piece)), None)),
                Err(problem) => {
                    tracing::warn!(error = %problem, "an answer was cut off because its statement failed");
                    return Some((Err(actix_web::Error::from(problem)), None));
                }
            }
        }
    });
    let whole = futures_util::StreamExt::chain(stream::iter([Ok(first)]), rest);
    Ok(response.streaming(Box::pin(whole)))
}

fn too_much_beside() -> Problem {
    let rule = "format json, csv and chart hold at most 10000 rows and 16 MiB; for more ask for a table, or send `Accept: text/csv`";
    Problem::invalid(rule, json!({ "format": rule }))
}

/// Turns a running statement into the bytes of its answer, one batch of rows at a time.
struct Writer {
    running: Box<Running>,
    meta: Meta,
    json: JsonRows,
    csv: Option<CsvRows>,
    form: Form,
    /// What stands beside the rows, collected while they pass.
    beside: Vec<u8>,
    chart: Option<ChartMaker>,
    /// How large the rows were that the chart has taken.
    chart_bytes: usize,
    begun: bool,
    wrote_row: bool,
}

impl Writer {
    fn new(running: Box<Running>, form: Form, meta: Meta) -> Self {
        let columns = running.columns();
        let types = running.types().clone();
        let csv = matches!(form, Form::Csv | Form::Json(Format::Csv))
            .then(|| CsvRows::new(columns, &types));
        let chart = (form == Form::Json(Format::Chart)).then(|| ChartMaker::new(columns, &types));
        let json = JsonRows::new(columns, &types);
        Self {
            json,
            csv,
            chart,
            form,
            meta,
            running,
            beside: Vec::new(),
            chart_bytes: 0,
            begun: false,
            wrote_row: false,
        }
    }

    /// Which limit cut the rows off, once they have ended.
    fn cut_off(&self) -> Option<&'static str> {
        self.running.summary()?.cut_off.map(|it| match it {
            CutOff::Rows => "rows",
            CutOff::Bytes => "bytes",
        })
    }

    /// Writes what has come; `false` after the end.
    async fn write_some(&mut self, out: &mut Vec<u8>) -> Result<bool, Problem> {
        let rows = self.running.next().await?;
        // The head comes after the first rows: it says so where there are none.
        if !self.begun {
            self.begun = true;
            self.write_head(out);
        }
        for row in &rows {
            match (self.form, &mut self.csv) {
                (Form::Csv, Some(csv)) => {
                    csv.write(row, out);
                    continue;
                }
                (_, Some(csv)) => csv.write(row, &mut self.beside),
                (_, None) => {}
            }
            if self.form == Form::Json(Format::Json) {
                self.beside.extend_from_slice(if self.beside.is_empty() { b"" } else { b"," });
                self.json.write_object(row, &mut self.beside);
            }
            if self.beside.len() + self.chart_bytes > BESIDE_BYTES {
                return Err(too_much_beside());
            }
            if let Some(chart) = &mut self.chart {
                self.chart_bytes += row.size_bytes();
                chart.add(self.json.values(row));
            }
            if self.wrote_row {
                out.push(b',');
            }
            self.wrote_row = true;
            self.json.write_array(row, out);
        }
        if let Some(summary) = self.running.summary() {
            self.write_tail(out, summary);
            return Ok(false);
        }
        Ok(true)
    }

    fn write_head(&mut self, out: &mut Vec<u8>) {
        if let Some(csv) = &self.csv {
            csv.write_header(if self.form == Form::Csv { &mut *out } else { &mut self.beside });
        }
        if self.form == Form::Csv {
            return;
        }
        let running = &self.running;
        let types = running.types();
        let columns: Vec<_> = running.columns().iter().map(|it| it.name.as_str()).collect();
        let schema: Vec<_> = running
            .columns()
            .iter()
            .map(|it| json!({ "name": it.name, "type": type_name(it.type_oid, it.type_modifier, types) }))
            .collect();
        let id = running.id().to_string();
        let head = Head {
            run_of: running.run_of().map(RunOfBody::from),
            ..Head::new(id, running.question(), running.sql(), running.notes())
        };
        out.extend_from_slice(b"{\"data\":");
        // The object stays open: the rows go into it.
        write_open(out, &head);
        out.extend_from_slice(b",\"results\":{\"columns\":");
        write_json(out, &columns);
        out.extend_from_slice(b",\"schema\":");
        write_json(out, &schema);
        out.extend_from_slice(b",\"rows\":[");
    }

    fn write_tail(&mut self, out: &mut Vec<u8>, summary: Summary) {
        let Form::Json(format) = self.form else { return };
        out.push(b']');
        match format {
            Format::Json => {
                out.extend_from_slice(b",\"records\":[");
                out.append(&mut self.beside);
                out.push(b']');
            }
            Format::Csv => {
                out.extend_from_slice(b",\"csv\":");
                write_json(out, &String::from_utf8_lossy(&self.beside));
            }
            Format::Table | Format::Chart => {}
        }
        let cut_off = self.cut_off();
        let replaced =
            self.json.replaced_text() || self.csv.as_ref().is_some_and(CsvRows::replaced_text);
        let counts = json!({
            "row_count": summary.row_count,
            "truncated": cut_off.is_some(),
            "truncated_by": cut_off,
            "row_limit": self.running.row_limit(),
            "text_replaced": replaced,
        });
        out.push(b',');
        write_fields(out, &counts);
        out.push(b'}');
        if let Some(chart) = self.chart.take() {
            out.extend_from_slice(b",\"chart\":");
            write_json(out, &chart.finish());
        }
        out.push(b',');
        write_fields(out, &json!({ "execution_time_ms": rounded(summary.execution_time_ms) }));
        out.extend_from_slice(b"},\"meta\":");
        write_json(out, &self.meta);
        out.push(b'}');
    }
}

/// What stands before the rows.
#[derive(Serialize)]
pub(super) struct Head<'a> {
    query_id: String,
    /// `None` before it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<OutcomeBody>,
    question: Option<&'a str>,
    pub(super) sql: Option<&'a str>,
    answer: Option<&'a str>,
    explanation: Option<&'a str>,
    tables: &'a [String],
    assumptions: &'a [String],
    confidence: Option<f64>,
    engine: &'a str,
    conversation_id: Option<String>,
    taken_over: &'a [String],
    used: &'a [plinth_queries::Used],
    model: Option<&'a ModelNote>,
    restricted: &'a [String],
    pub(super) run_of: Option<RunOfBody>,
    parameter_values: &'a Map<String, Value>,
    cached_at: Option<Timestamp>,
    timings: Value,
}

impl<'a> Head<'a> {
    pub(super) fn new(
        query_id: String,
        question: Option<&'a str>,
        sql: &'a str,
        notes: &'a Notes,
    ) -> Self {
        Self {
            query_id,
            outcome: Some(OutcomeBody::Answered),
            question,
            sql: Some(sql),
            answer: notes.answer.as_deref(),
            explanation: notes.explanation.as_deref(),
            tables: &notes.tables,
            assumptions: &notes.assumptions,
            confidence: notes.confidence.map(rounded),
            engine: &notes.engine,
            conversation_id: notes.conversation.map(|it| it.to_string()),
            taken_over: &notes.taken_over,
            used: &notes.used,
            model: notes.model.as_ref(),
            restricted: &notes.restricted,
            run_of: None,
            parameter_values: &notes.parameters,
            cached_at: notes.cached_at,
            timings: json!({ "engine_ms": notes.engine_ms.map(rounded) }),
        }
    }
}

fn meta_answer(record: &QueryRecord, reply: &Reply) -> HttpResponse {
    let head = Head {
        outcome: Some(record.outcome.into()),
        sql: None,
        ..Head::new(record.id.to_string(), record.question.as_deref(), "", &record.notes)
    };
    let mut data = serde_json::to_value(&head).expect("plain values");
    data["results"] = Value::Null;
    data["execution_time_ms"] = Value::Null;
    reply.ok(data)
}

fn planned_answer(explained: &Explained, with_json: bool, reply: &Reply) -> HttpResponse {
    let record = &explained.record;
    let sql = record.sql.as_deref().unwrap_or_default();
    let question = record.question.as_deref();
    let head = Head {
        outcome: Some(record.outcome.into()),
        ..Head::new(record.id.to_string(), question, sql, &record.notes)
    };
    let mut data = serde_json::to_value(&head).expect("plain values");
    data["plan"] = serde_json::to_value(PlanBody::new(explained, with_json)).expect("plain values");
    data["results"] = Value::Null;
    data["execution_time_ms"] = Value::Null;
    reply.ok(data)
}

/// Microseconds are enough for milliseconds, and thousandths for a confidence.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn write_json(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(out, value).expect("plain values into memory");
}

/// The fields of an object, without its braces.
fn write_fields(out: &mut Vec<u8>, object: &Value) {
    let text = object.to_string();
    out.extend_from_slice(&text.as_bytes()[1..text.len() - 1]);
}

/// An object without its closing brace.
fn write_open(out: &mut Vec<u8>, value: &impl Serialize) {
    write_json(out, value);
    out.pop();
}
