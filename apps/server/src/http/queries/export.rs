//! A query's rows as a file: all of them, or none.

use std::fs::File;
use std::pin::pin;
use std::sync::LazyLock;
use std::time::Duration;

use actix_web::body::SizedStream;
use actix_web::http::header;
use actix_web::{HttpResponse, HttpResponseBuilder, post, web};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use plinth_core::ErrorKind;
use plinth_queries::{
    Answer, CallerLimits, CsvRows, JsonRows, ParquetFault, ParquetRows, QueryId, RawRow, RunAgain,
    Running, SheetError, XlsxRows,
};
use plinth_tenancy::limits::Places;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendTimeoutError;
use utoipa::ToSchema;
use validator::Validate;

use super::answer::{COLLECTED_BYTES, PIECE_BYTES};
use super::count;
use crate::http::input::Valid;
use crate::http::problem::{DatabaseProblems, Problems};
use crate::http::{Caller, Problem, Services};

/// Where workbooks are made, half of them of one organization at most: each takes a temporary file and a processor.
static WORKBOOKS: LazyLock<Places> = LazyLock::new(|| Places::new(4));

/// How long in all the rows of an export may wait for whoever reads the file, or for its writing.
const READER_TIME: Duration = Duration::from_hours(1);

/// How long one piece of a file waits to be taken. Whoever makes it holds a session of the customer's database.
const PATIENCE: Duration = Duration::from_mins(3);

const PARQUET: &str = "application/vnd.apache.parquet";

/// As what rows are exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ExportFormat {
    /// Comma-separated values with a header line. What a spreadsheet would take for a formula has a `'` before it.
    Csv,
    /// One array of objects.
    Json,
    /// An object on each line.
    Ndjson,
    /// An Office Open XML workbook of one sheet, in which text is text, whatever it begins with.
    Xlsx,
    /// An Apache Parquet file, in which types keep what they mean.
    Parquet,
}

impl ExportFormat {
    fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Self::Parquet => PARQUET,
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Xlsx => "xlsx",
            Self::Parquet => "parquet",
        }
    }
}

/// What to export.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct ExportQuery {
    /// As what.
    format: ExportFormat,
    /// Values of its parameters by name; what is left out has its default.
    #[serde(default)]
    #[schema(value_type = Object)]
    parameters: Map<String, Value>,
    /// How old the rows may be, in seconds, as when running it.
    #[schema(maximum = 86400, example = 0)]
    max_age: Option<u32>,
    /// How long the statement may run, in milliseconds.
    #[schema(minimum = 1)]
    timeout_ms: Option<u64>,
}

/// Export a query
///
/// Runs it and gives all of its rows as a file. What is larger than the operator lets one answer be is refused with a
/// `validation_error`, as is what holds text that is not UTF-8, or, where its beginning was sent already, the connection is cut
/// before the end of the file: a part never looks like the whole. A workbook is made whole before its first byte is sent. Needs
/// the scope `queries:read`.
#[utoipa::path(
    tag = "queries",
    params(("id" = String, Path, description = "The query's id.")),
    request_body = ExportQuery,
    responses(
        (status = 200, description = "The file.", content(
            (String = "text/csv"),
            (Vec<Object> = "application/json"),
            (String = "application/x-ndjson"),
            (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
            (String = "application/vnd.apache.parquet"),
        )),
        Problems,
        DatabaseProblems,
    ),
)]
#[post("/queries/{id}/export")]
pub(super) async fn export_query(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<QueryId>,
    body: Valid<ExportQuery>,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let ExportQuery { format, parameters, max_age, timeout_ms } = body.0;
    let id = id.into_inner();
    let limits = CallerLimits {
        row_limit: Some(services.queries.most_rows()),
        timeout_ms,
        reader_time: READER_TIME,
        ..CallerLimits::default()
    };
    // Before the statement begins: the time that it may take is its own.
    let place = match format {
        ExportFormat::Xlsx => Some(WORKBOOKS.take(permit.org()).await),
        _ => None,
    };
    let run = RunAgain { parameters, max_age_seconds: max_age, limits, version: None, told: None };
    let running = services.queries.run_again(&permit, id, run).await;
    let Answer::Rows(running) = count(running.map(|it| Answer::Rows(Box::new(it))))? else {
        unreachable!("it was run");
    };
    let mut response = HttpResponse::Ok();
    response.content_type(format.media_type());
    let file = format!("attachment; filename=\"{id}.{}\"", format.extension());
    response.insert_header((header::CONTENT_DISPOSITION, file));
    response.insert_header(("x-plinth-query-id", running.id().to_string()));
    if let Some(at) = running.notes().cached_at {
        response.insert_header(("x-plinth-cached-at", at.to_string()));
    }
    match format {
        ExportFormat::Xlsx => {
            let made = workbook(*running, response).await;
            drop(place);
            made
        }
        ExportFormat::Parquet => parquet(*running, response).await,
        format => text(Lines::new(*running, format), response).await,
    }
}

/// The next rows, empty only at the end. Nothing of them is another thing in the file, and at the end they are all.
async fn next(running: &mut Running) -> Result<Vec<RawRow>, Problem> {
    let rows = running.next().await?;
    if !rows.iter().all(RawRow::is_utf8) {
        return Err(not_text());
    }
    match running.summary() {
        Some(summary) if summary.cut_off.is_some() => Err(too_large()),
        _ => Ok(rows),
    }
}

fn not_text() -> Problem {
    let rule = "the result holds text that is not UTF-8, which a file could not hold as it is; select it as bytes, with ::bytea";
    Problem::invalid(rule, json!({ "reason": "export_not_utf8", "format": rule }))
}

fn too_large() -> Problem {
    let rule = "the result is larger than one answer may be; select fewer rows or columns";
    Problem::invalid(rule, json!({ "reason": "export_too_large", "format": rule }))
}

/// Sends what has come at once if it is all, else in pieces as the rows come.
async fn text(
    mut lines: Lines,
    mut response: HttpResponseBuilder,
) -> Result<HttpResponse, Problem> {
    let mut collected = Vec::with_capacity(4 * 1024);
    while collected.len() < COLLECTED_BYTES {
        if !lines.write_some(&mut collected).await? {
            return Ok(response.body(collected));
        }
    }
    let first = Bytes::from(collected);
    // A failure from here on cuts the connection: the caller must not take a part for the whole.
    let rest = stream::unfold(Some(lines), |lines| async move {
        let mut lines = lines?;
        let mut piece = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 4);
        loop {
            match lines.write_some(&mut piece).await {
                Ok(true) if piece.len() < PIECE_BYTES => {}
                Ok(true) => return Some((Ok(Bytes::from(piece)), Some(lines))),
                Ok(false) => return Some((Ok(Bytes::from(piece)), None)),
                Err(problem) => {
                    tracing::warn!(error = %problem, "an export was cut off");
                    return Some((Err(actix_web::Error::from(problem)), None));
                }
            }
        }
    });
    let whole = stream::iter([Ok(first)]).chain(rest);
    Ok(response.streaming(Box::pin(while_taken(whole, PATIENCE))))
}

/// The pieces of a file as they are made, by somebody of its own: so a reader who takes none for as long as `patience` ends the
/// file, and one who hangs up ends it at once.
fn while_taken(
    pieces: impl Stream<Item = Result<Bytes, actix_web::Error>> + 'static,
    patience: Duration,
) -> impl Stream<Item = Result<Bytes, actix_web::Error>> {
    let (taker, coming) = mpsc::channel(1);
    actix_web::rt::spawn(async move {
        let mut pieces = pin!(pieces);
        loop {
            let piece = tokio::select! {
                biased;
                () = taker.closed() => return,
                piece = pieces.next() => piece,
            };
            let is_end = piece.is_none();
            match taker.send_timeout(piece, patience).await {
                Ok(()) if !is_end => {}
                Ok(()) | Err(SendTimeoutError::Closed(_)) => return,
                Err(SendTimeoutError::Timeout(_)) => {
                    tracing::warn!("an export was cut off because nobody took it");
                    return;
                }
            }
        }
    });
    stream::unfold(Some(coming), |coming| async move {
        let mut coming = coming?;
        if let Some(piece) = coming.recv().await {
            return piece.map(|it| (it, Some(coming)));
        }
        // Without its end: what was sent is not the whole.
        let cut = "nobody took the rows for too long";
        Some((Err(Problem::new(ErrorKind::Unavailable, cut, None).into()), None))
    })
}

enum Writer {
    Csv(CsvRows),
    Json(JsonRows),
    Ndjson(JsonRows),
}

/// Turns rows into the text of a file, one batch at a time.
struct Lines {
    running: Running,
    writer: Writer,
    begun: bool,
    wrote_row: bool,
}

impl Lines {
    fn new(running: Running, format: ExportFormat) -> Self {
        let (columns, types) = (running.columns(), running.types());
        let writer = match format {
            ExportFormat::Csv => Writer::Csv(CsvRows::new(columns, types)),
            ExportFormat::Json => Writer::Json(JsonRows::new(columns, types)),
            ExportFormat::Ndjson | ExportFormat::Xlsx | ExportFormat::Parquet => {
                Writer::Ndjson(JsonRows::new(columns, types))
            }
        };
        Self { running, writer, begun: false, wrote_row: false }
    }

    /// Writes what has come; `false` after the end.
    async fn write_some(&mut self, out: &mut Vec<u8>) -> Result<bool, Problem> {
        let rows = next(&mut self.running).await?;
        if !self.begun {
            self.begun = true;
            match &self.writer {
                Writer::Csv(csv) => csv.write_header(out),
                Writer::Json(_) => out.push(b'['),
                Writer::Ndjson(_) => {}
            }
        }
        for row in &rows {
            match &mut self.writer {
                Writer::Csv(csv) => csv.write(row, out),
                Writer::Json(json) => {
                    out.extend_from_slice(if self.wrote_row { b",\n" } else { b"\n" });
                    json.write_object(row, out);
                }
                Writer::Ndjson(json) => {
                    json.write_object(row, out);
                    out.push(b'\n');
                }
            }
            self.wrote_row = true;
        }
        if self.running.summary().is_none() {
            return Ok(true);
        }
        if matches!(self.writer, Writer::Json(_)) {
            out.extend_from_slice(b"\n]\n");
        }
        Ok(false)
    }
}

/// A Parquet file in the making.
struct Columns {
    running: Running,
    /// `None` once its end is written.
    file: Option<ParquetRows>,
}

impl Columns {
    /// What of the file is there after some more rows; with whether it is whole.
    async fn some(&mut self) -> Result<(Vec<u8>, bool), Problem> {
        let rows = next(&mut self.running).await?;
        let Some(mut file) = self.file.take() else { return Ok((Vec::new(), true)) };
        if rows.is_empty() {
            let end = tokio::task::spawn_blocking(move || file.finish());
            return Ok((end.await.map_err(|err| ours(&err))??, true));
        }
        // Compressing must not hold up others' requests.
        let written = tokio::task::spawn_blocking(move || {
            rows.iter().try_for_each(|row| file.write(row))?;
            let bytes = file.take()?;
            Ok::<_, ParquetFault>((file, bytes))
        });
        let (file, bytes) = written.await.map_err(|err| ours(&err))??;
        self.file = Some(file);
        Ok((bytes, false))
    }
}

/// Sends the file as it is made, at once if it is small. Without its end it is none.
async fn parquet(
    running: Running,
    mut response: HttpResponseBuilder,
) -> Result<HttpResponse, Problem> {
    let file = Some(ParquetRows::new(running.columns())?);
    let mut columns = Columns { running, file };
    let mut collected = Vec::new();
    while collected.len() < COLLECTED_BYTES {
        let (bytes, is_whole) = columns.some().await?;
        collected.extend(bytes);
        if is_whole {
            return Ok(response.body(collected));
        }
    }
    let first = Bytes::from(collected);
    let rest = stream::unfold(Some(columns), |columns| async move {
        let mut columns = columns?;
        loop {
            match columns.some().await {
                Ok((bytes, false)) if bytes.is_empty() => {}
                Ok((bytes, is_whole)) => {
                    return Some((Ok(Bytes::from(bytes)), (!is_whole).then_some(columns)));
                }
                Err(problem) => {
                    tracing::warn!(error = %problem, "an export was cut off");
                    return Some((Err(actix_web::Error::from(problem)), None));
                }
            }
        }
    });
    let whole = stream::iter([Ok(first)]).chain(rest);
    Ok(response.streaming(Box::pin(while_taken(whole, PATIENCE))))
}

/// Makes the workbook, and then sends it.
async fn workbook(
    mut running: Running,
    mut response: HttpResponseBuilder,
) -> Result<HttpResponse, Problem> {
    let mut sheet = XlsxRows::new(running.columns(), running.types())?;
    loop {
        let rows = next(&mut running).await?;
        if rows.is_empty() {
            break;
        }
        // Compressing and writing to the disk must not hold up others' requests.
        let written = tokio::task::spawn_blocking(move || {
            rows.iter().try_for_each(|row| sheet.write(row))?;
            Ok::<_, SheetError>(sheet)
        });
        sheet = written.await.map_err(|err| ours(&err))??;
    }
    let made = tokio::task::spawn_blocking(move || sheet.finish());
    let (file, size) = made.await.map_err(|err| ours(&err))??;
    Ok(response.body(SizedStream::new(size, Box::pin(pieces(file)))))
}

fn pieces(file: File) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    stream::try_unfold(tokio::fs::File::from_std(file), |mut file| async move {
        let mut piece = vec![0; PIECE_BYTES];
        let length = file.read(&mut piece).await?;
        piece.truncate(length);
        Ok((length > 0).then(|| (Bytes::from(piece), file)))
    })
}

fn ours(err: &dyn std::error::Error) -> Problem {
    tracing::error!(error = plinth_core::chain(err), "a workbook could not be made");
    Problem::new(ErrorKind::Internal, "something went wrong on our side", None)
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    /// Pieces without an end, and what is told when nobody makes more of them.
    fn endless() -> (impl Stream<Item = Result<Bytes, actix_web::Error>>, oneshot::Receiver<()>) {
        let (held, gone) = oneshot::channel();
        let pieces = stream::repeat_with(move || {
            let _held = &held;
            Ok(Bytes::from_static(b"x"))
        });
        (pieces, gone)
    }

    #[actix_web::test]
    async fn a_file_that_nobody_takes_ends_and_is_not_taken_for_the_whole() {
        let (pieces, gone) = endless();
        let mut file = Box::pin(while_taken(pieces, Duration::from_millis(1)));
        assert!(file.next().await.is_some_and(|it| it.is_ok()));
        assert!(gone.await.is_err(), "no more is made");
        let rest: Vec<_> = file.collect().await;
        assert!(rest.last().is_some_and(Result::is_err));

        let (pieces, gone) = endless();
        drop(while_taken(pieces, PATIENCE));
        assert!(gone.await.is_err(), "whoever asked hung up");
    }

    #[actix_web::test]
    async fn a_file_that_is_taken_is_whole() {
        let pieces = stream::iter((0..100).map(|it| Ok(Bytes::from(vec![it]))));
        let taken: Vec<_> = while_taken(pieces, PATIENCE).collect().await;
        let taken = taken.into_iter().map(Result::unwrap).collect::<Vec<_>>();
        assert_eq!(taken.concat(), (0..100).collect::<Vec<u8>>());
    }
}
