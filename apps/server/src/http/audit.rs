use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, get, web};
use bytes::Bytes;
use futures_util::stream;
use jiff::Timestamp;
use plinth_core::{AdminAll, Cursor, ErrorKind, Limit, Permit, UserId};
use plinth_tenancy::audit::{AuditFilter, AuditOutcome, ChainedEntry};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::envelope::{Reply, envelope, page_envelope};
use super::input::Paging;
use super::problem::Problems;
use super::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list_audit_entries).service(verify_audit_trail);
}

const LIST: &str = "audit";

/// Read the audit trail
///
/// Who did what, from where and how it ended, newest first. Questions and statements come into it at most a second after
/// they were asked. With `format=csv` or `ndjson`, or an `Accept` that says so, everything that the filter lets through
/// comes in one streamed answer, and `limit` and `cursor` are not taken. Needs the scope `admin`.
#[utoipa::path(
    tag = "audit",
    params(AuditQuery),
    responses(
        (status = 200, description = "A page of entries, or all of them as a file.", content(
            (AuditPage = "application/json"),
            (String = "text/csv"),
            (String = "application/x-ndjson"),
        )),
        Problems,
    ),
)]
#[get("/audit")]
async fn list_audit_entries(
    caller: Caller,
    request: HttpRequest,
    services: web::Data<Services>,
    query: web::Query<AuditQuery>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit::<AdminAll>()?;
    let query = query.into_inner();
    let filter = query.filter()?;
    // What this server has not written yet belongs to the answer.
    services.queries.flush_history().await?;
    if let Some(format) = query.format(&request) {
        if query.limit.is_some() || query.cursor.is_some() {
            return Err(Problem::invalid(
                "a file has everything: leave out `limit` and `cursor`",
                json!({ "format": "takes neither `limit` nor `cursor`" }),
            ));
        }
        return Ok(export(Services::clone(&services), permit, filter, format));
    }
    let paging = Paging::new(query.limit, query.cursor);
    let after = paging.cursor(&services.cursors, LIST)?;
    let page = services.audit.list(&permit, &filter, after, paging.limit()?).await?;
    let next = page.next.map(|it| services.cursors.seal(LIST, it));
    Ok(reply.page(page.items.into_iter().map(EntryBody::from).collect::<Vec<_>>(), next))
}

/// Verify the audit trail
///
/// Reads the organization's whole trail and checks every link and the signed end. Write `head` down elsewhere: with it,
/// `plinth audit verify --anchor` finds a trail that was set back to an older state. Needs the scope `admin`.
#[utoipa::path(
    tag = "audit",
    responses((status = 200, body = VerdictEnvelope, description = "Whether it is whole."), Problems),
)]
#[get("/audit/verify")]
async fn verify_audit_trail(
    caller: Caller,
    services: web::Data<Services>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let verdict = services.audit.verify_own(&caller.permit()?).await?;
    Ok(reply.ok(match verdict {
        Ok(it) => VerdictBody {
            is_whole: true,
            entries: Some(it.entries),
            head: Some(HeadBody { number: it.head.number, hash: hex(&it.head.hash) }),
            problem: None,
        },
        Err(broken) => VerdictBody {
            is_whole: false,
            entries: None,
            head: None,
            problem: Some(broken.to_string()),
        },
    }))
}

/// As which file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ExportFormat {
    Csv,
    Ndjson,
}

/// How an act ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum OutcomeQuery {
    Succeeded,
    Denied,
    Failed,
}

/// Which entries; every condition that is there has to hold.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AuditQuery {
    /// Items on a page, 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u32>,
    /// `meta.next_cursor` of the page before.
    cursor: Option<String>,
    /// Whose acts.
    #[param(example = "user_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    user_id: Option<String>,
    /// Which act; `connection.` with a dot at its end means all of connections.
    #[param(example = "api_key.")]
    action: Option<String>,
    /// To what kind of thing.
    #[param(example = "connection")]
    target_kind: Option<String>,
    /// To which thing.
    target_id: Option<String>,
    /// How it ended.
    #[param(inline)]
    outcome: Option<OutcomeQuery>,
    /// By which request: its `x-request-id`.
    request_id: Option<String>,
    /// From then on.
    #[param(value_type = Option<String>, format = DateTime, example = "2026-01-01T00:00:00Z")]
    from: Option<Timestamp>,
    /// Until before then.
    #[param(value_type = Option<String>, format = DateTime, example = "2026-02-01T00:00:00Z")]
    until: Option<Timestamp>,
    /// Everything in one file.
    #[param(inline)]
    format: Option<ExportFormat>,
}

impl AuditQuery {
    fn filter(&self) -> Result<AuditFilter, Problem> {
        let user = self.user_id.as_deref().map(|text| {
            text.parse::<UserId>().map_err(|err| {
                Problem::invalid(format!("user_id: {err}"), json!({ "user_id": err.to_string() }))
            })
        });
        // Postgres keeps none in a text, so nothing has one.
        let texts = [&self.action, &self.target_kind, &self.target_id, &self.request_id];
        if texts.into_iter().flatten().any(|it| it.contains('\0')) {
            let text = "no filter may contain a zero byte";
            return Err(Problem::invalid(text, json!({ "query": text })));
        }
        Ok(AuditFilter {
            user: user.transpose()?,
            action: self.action.clone(),
            target_kind: self.target_kind.clone(),
            target_id: self.target_id.clone(),
            request_id: self.request_id.clone(),
            outcome: self.outcome.map(|it| match it {
                OutcomeQuery::Succeeded => AuditOutcome::Succeeded,
                OutcomeQuery::Denied => AuditOutcome::Denied,
                OutcomeQuery::Failed => AuditOutcome::Failed,
            }),
            from: self.from,
            until: self.until,
        })
    }

    fn format(&self, request: &HttpRequest) -> Option<ExportFormat> {
        let accept = request.headers().get(header::ACCEPT).and_then(|it| it.to_str().ok());
        self.format.or_else(|| match accept?.split([',', ';']).next()?.trim() {
            "text/csv" => Some(ExportFormat::Csv),
            "application/x-ndjson" => Some(ExportFormat::Ndjson),
            _ => None,
        })
    }
}

/// Where an export stands.
enum Export {
    Begins,
    GoesOn(Option<Cursor>),
    Ends,
}

/// Streams all that the filter lets through, page by page. An answer that fails on the way is cut off and not ended, so
/// that nobody takes a part for the whole.
fn export(
    services: Services,
    permit: Permit<AdminAll>,
    filter: AuditFilter,
    format: ExportFormat,
) -> HttpResponse {
    let (kind, name) = match format {
        ExportFormat::Csv => ("text/csv; charset=utf-8", "audit.csv"),
        ExportFormat::Ndjson => ("application/x-ndjson", "audit.ndjson"),
    };
    let pages = stream::try_unfold(Export::Begins, move |state| {
        let (services, permit, filter) = (services.clone(), permit.clone(), filter.clone());
        async move {
            let piece = next_piece(&services, &permit, &filter, format, state).await;
            piece.map_err(actix_web::Error::from)
        }
    });
    HttpResponse::Ok()
        .content_type(kind)
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
        .streaming(Box::pin(pages))
}

async fn next_piece(
    services: &Services,
    permit: &Permit<AdminAll>,
    filter: &AuditFilter,
    format: ExportFormat,
    state: Export,
) -> Result<Option<(Bytes, Export)>, Problem> {
    let after = match state {
        Export::Begins if format == ExportFormat::Csv => {
            let head = csv_line(&CSV_COLUMNS.map(str::to_owned));
            return Ok(Some((head, Export::GoesOn(None))));
        }
        Export::Begins => None,
        Export::GoesOn(after) => after,
        Export::Ends => return Ok(None),
    };
    let page = services.audit.list(permit, filter, after, Limit::new(100)?).await?;
    let mut text = Vec::new();
    for entry in page.items {
        let entry = EntryBody::from(entry);
        match format {
            ExportFormat::Csv => text.extend_from_slice(&csv_line(&entry.csv())),
            ExportFormat::Ndjson => {
                serde_json::to_writer(&mut text, &entry)
                    .map_err(|err| Problem::new(ErrorKind::Internal, err.to_string(), None))?;
                text.push(b'\n');
            }
        }
    }
    let state = match page.next {
        Some(next) => Export::GoesOn(Some(next)),
        None => Export::Ends,
    };
    Ok(Some((Bytes::from(text), state)))
}

const CSV_COLUMNS: [&str; 13] = [
    "number",
    "id",
    "at",
    "user_id",
    "credential_kind",
    "credential_id",
    "action",
    "target_kind",
    "target_id",
    "outcome",
    "address",
    "request_id",
    "details",
];

/// One line, with what a spreadsheet would take for a formula as text.
fn csv_line<const N: usize>(fields: &[String; N]) -> Bytes {
    let mut writer =
        csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    let plain = fields.iter().map(|it| match it.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n') => format!("'{it}"),
        _ => it.clone(),
    });
    // Writing into memory does not fail.
    let _ = writer.write_record(plain);
    writer.into_inner().unwrap_or_default().into()
}

/// One act.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
struct EntryBody {
    #[schema(example = "aud_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: String,
    /// Its place in the organization's trail, from 1, without gaps.
    #[schema(minimum = 1)]
    number: i64,
    at: Timestamp,
    /// Whose act it was; null for Plinth's own.
    #[schema(required = true)]
    user_id: Option<String>,
    /// `api_key`, `session`, `app`, `identity_provider`, `job`, `invitation`, `setup`, `operator` or `system`.
    #[schema(example = "api_key")]
    credential_kind: String,
    #[schema(required = true)]
    credential_id: Option<String>,
    #[schema(example = "connection.created")]
    action: String,
    #[schema(required = true, example = "connection")]
    target_kind: Option<String>,
    #[schema(required = true)]
    target_id: Option<String>,
    /// `succeeded`, `denied` or `failed`.
    #[schema(example = "succeeded")]
    outcome: &'static str,
    /// From which network address.
    #[schema(required = true, example = "192.0.2.7")]
    address: Option<String>,
    /// By which request; empty if by none.
    request_id: String,
    /// What else there is to say; depends on the action.
    #[schema(value_type = Object)]
    details: Value,
    /// What chains it to the one before, in hex.
    hash: String,
}

impl From<ChainedEntry> for EntryBody {
    fn from(it: ChainedEntry) -> Self {
        let entry = it.entry;
        Self {
            id: entry.id.to_string(),
            number: it.number,
            at: entry.at,
            user_id: entry.user.map(|it| it.to_string()),
            credential_kind: entry.credential_kind,
            credential_id: entry.credential_id,
            action: entry.action,
            target_kind: entry.target_kind,
            target_id: entry.target_id,
            outcome: entry.outcome.as_str(),
            address: entry.address.map(|it| it.to_string()),
            request_id: entry.request_id,
            details: entry.details,
            hash: hex(&it.hash),
        }
    }
}

impl EntryBody {
    fn csv(self) -> [String; 13] {
        [
            self.number.to_string(),
            self.id,
            self.at.to_string(),
            self.user_id.unwrap_or_default(),
            self.credential_kind,
            self.credential_id.unwrap_or_default(),
            self.action,
            self.target_kind.unwrap_or_default(),
            self.target_id.unwrap_or_default(),
            self.outcome.to_owned(),
            self.address.unwrap_or_default(),
            self.request_id,
            self.details.to_string(),
        ]
    }
}

/// Whether the trail is what was written.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditVerdict)]
struct VerdictBody {
    is_whole: bool,
    /// How many entries there are; null if the trail is not whole.
    #[schema(required = true)]
    entries: Option<i64>,
    /// Where it ends; null if the trail is not whole.
    #[schema(required = true)]
    head: Option<HeadBody>,
    /// What is wrong; null if the trail is whole.
    #[schema(required = true)]
    problem: Option<String>,
}

/// Where a trail ends.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditHead)]
struct HeadBody {
    number: i64,
    /// In hex.
    hash: String,
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

envelope! {
    /// Whether the trail is what was written.
    VerdictEnvelope(VerdictBody)
}
page_envelope! {
    /// A page of the trail.
    AuditPage(EntryBody)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_in_an_entry_is_text_in_a_spreadsheet() {
        let line = csv_line(&["=cmd|' /C calc'!A0".to_owned(), "a,\"b".to_owned(), String::new()]);
        assert_eq!(&line[..], b"'=cmd|' /C calc'!A0,\"a,\"\"b\",\r\n");
    }
}
