//! Asking, running, and the history of both.

mod answer;
mod body;
mod chart;
mod conversations;
mod events;
mod export;
mod language;
mod language_body;
mod repairs;
mod repairs_body;
mod runs;
mod saved;
mod saved_body;
mod saving;

use actix_web::{HttpRequest, HttpResponse, delete, get, post, web};
use jiff::Timestamp;
use plinth_connections::ConnectionId;
use plinth_core::UserId;
use plinth_queries::{
    Answer, Ask, CallerLimits, HistoryFilter, Input, Purpose, QueryError, QueryId, QueryOutcome,
    RunAgain, Wanted,
};
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;

use self::answer::{Form, respond};
use self::body::{
    AnswerEnvelope, CreateQuery, Explain, QueryBody, QueryEnvelope, QueryPage, RunQuery,
};
use self::runs::QueryRunEnvelope;
use super::envelope::Reply;
use super::etag::{IfMatch, tagged};
use super::input::{Paging, Valid};
use super::problem::{DatabaseProblems, Problems};
use super::{Caller, Problem, Services, models};

pub(super) use self::body::{Format, OutcomeBody};
pub(super) use self::repairs::open_repairs;
pub(super) use self::repairs_body::RepairBody;

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    repairs::routes(config);
    config
        .service(list_queries)
        .service(create_query)
        .service(get_query)
        .service(saving::update_query)
        .service(saving::save_sql)
        .service(saving::save_query)
        .service(delete_query)
        .service(run_query)
        .service(export::export_query)
        .service(language::give_feedback);
    saved::routes(config);
    runs::routes(config);
    conversations::routes(config);
}

pub(super) use language::routes as language_routes;

const LIST: &str = "queries";

/// Ask a question or run SQL
///
/// A question in plain language becomes one read-only statement, which is run; `sql` instead of `question` runs your
/// own. The answer has the SQL, the rows, and for a question what was understood: an explanation, the tables, the
/// assumptions and a confidence. A question that is not understood, or can be read in several ways, is a
/// `validation_error` whose `details` has the words that were not understood, up to three rephrasings, or the readings
/// to choose from; nothing is run then. A question belongs to a conversation, whose `conversation_id` comes back: sent
/// along with the next question it lets that go on from the answer ("and last month?", "only the German ones", "by
/// country instead", "why?"), and `taken_over` says what was taken over. With `Accept: text/csv` the rows come as CSV alone,
/// `x-plinth-truncated` in the head says whether a limit cut them off. Large answers are streamed:
/// a connection that is cut before the end of the JSON means that the database failed in mid-answer.
///
/// `model` says which language model reads a question, as `GET /models` lists them; without it the organization's default
/// does. Where a model does not help, or the default's budget is spent, the embedded engine answers, and `model` in the
/// answer says so; a `model` that you name and whose budget is spent is refused with `budget_exceeded`.
///
/// With `dry_run` or `explain` the statement is made, guarded and planned, and not run. Where an organization limits what the
/// planner may expect of a statement (`settings.plan_cost_limit`, `plan_row_limit`), one that exceeds it is a
/// `validation_error` with `details.reason` `plan_limit` and the estimate, and nothing is run. Policies of the connection
/// bind every statement: `restricted` names the tables of which they hid something from you.
///
/// With `Prefer: respond-async` the answer is 202 at once, and `Location` says where the run is: it goes on while you are away,
/// and keeps its rows for an hour (for a table; what asks for another form or for a plan is answered at once). With
/// `Accept: text/event-stream` the answer is a stream of events: `state`, `sql`, `rows`, `usage`, `error`, `done`, and a comment
/// after ten seconds of silence; hanging up cancels the statement in the database.
///
/// Needs the scope `queries:read`.
#[utoipa::path(
    tag = "queries",
    params(("Prefer" = Option<String>, Header, description = "`respond-async`: come back for the answer.")),
    request_body = CreateQuery,
    responses(
        (status = 200, description = "The answer.", content(
            (AnswerEnvelope = "application/json"),
            (String = "text/csv"),
            (String = "text/event-stream"),
        )),
        (status = 202, body = QueryRunEnvelope, description = "It has begun.", headers(("Location" = String, description = "Where it is."))),
        (status = 402, body = super::problem::ErrorBody, description = "`budget_exceeded`: you named a model, and the organization's budget for models is spent this month."),
        Problems,
        DatabaseProblems,
    ),
)]
#[post("/queries")]
async fn create_query(
    caller: Caller,
    services: web::Data<Services>,
    request: HttpRequest,
    body: Valid<CreateQuery>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let CreateQuery {
        question,
        sql,
        connection_id,
        conversation_id,
        format,
        row_limit,
        byte_limit,
        timeout_ms,
        model,
        dry_run,
        explain,
    } = body.0;
    let model = model.map(|it| models::named("model", &it)).transpose()?;
    let input = match (question, sql) {
        (Some(question), None) => Input::Question(question),
        (None, Some(sql)) => Input::Sql(sql),
        (None, None) => return Err(one_of_two("send a question or sql")),
        (Some(_), Some(_)) => return Err(one_of_two("send either a question or sql, not both")),
    };
    let form = Form::of(&request, format, row_limit)?;
    let explains = dry_run || explain.is_some();
    let purpose = if explains { Purpose::Explain } else { Purpose::Run };
    let ask = Ask {
        connection: connection_id,
        input,
        conversation: conversation_id,
        limits: CallerLimits { row_limit, byte_limit, timeout_ms, ..CallerLimits::default() },
        purpose,
        model,
        told: None,
    };
    if !explains && form == Form::Json(Format::Table) {
        if events::are_wanted(&request) {
            return Ok(events::stream(async move |told| {
                let ask = Ask { told: Some(told), ..ask };
                services.queries.ask(&permit, ask).await
            }));
        }
        if runs::is_preferred(&request) {
            return runs::begin(&services, &permit, Wanted::Ask(Box::new(ask)), &reply).await;
        }
    }
    let answer = count(services.queries.ask(&permit, ask).await)?;
    respond(answer, form, explain == Some(Explain::Json), &reply).await
}

/// Counts what became of a question or statement.
fn count(answer: Result<Answer, QueryError>) -> Result<Answer, QueryError> {
    let (outcome, notes) = match &answer {
        Ok(Answer::Rows(running)) => (QueryOutcome::Answered, Some(running.notes())),
        Ok(Answer::Planned(explained)) => (QueryOutcome::Planned, Some(&explained.record.notes)),
        Ok(Answer::Meta(record)) => (QueryOutcome::Meta, Some(&record.notes)),
        Err(err) => (err.outcome(), None),
    };
    metrics::counter!("plinth_questions_total", "outcome" => outcome.as_str()).increment(1);
    if let Some(engine_ms) = notes.and_then(|it| it.engine_ms) {
        metrics::histogram!("plinth_engine_seconds").record(engine_ms / 1000.0);
    }
    answer
}

fn one_of_two(rule: &str) -> Problem {
    Problem::invalid(rule, json!({ "question": rule, "sql": rule }))
}

/// Which entries of the history.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct HistoryParams {
    /// Only queries that somebody saved.
    #[serde(default)]
    saved: bool,
    /// Only those in whose question, SQL or name all of these words stand, in any case.
    #[param(max_length = 200, example = "orders country")]
    search: Option<String>,
    /// Only those over this connection.
    #[param(value_type = Option<String>)]
    connection_id: Option<ConnectionId>,
    /// Only those of which this became.
    outcome: Option<OutcomeBody>,
    /// Only those of this person.
    #[param(value_type = Option<String>, example = "user_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    user_id: Option<UserId>,
    /// Only those from this moment on.
    #[param(value_type = Option<String>, example = "2026-01-01T00:00:00Z")]
    from: Option<Timestamp>,
    /// Only those before this moment.
    #[param(value_type = Option<String>, example = "2027-01-01T00:00:00Z")]
    to: Option<Timestamp>,
    /// Only those whose SQL this wrote: `embedded`, a model's name, or `sql` for the caller.
    #[param(max_length = 200, example = "embedded")]
    engine: Option<String>,
    /// Only saved ones with this tag.
    #[param(max_length = 50, example = "sales")]
    tag: Option<String>,
    /// Items on a page, 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u32>,
    /// `meta.next_cursor` of the page before.
    cursor: Option<String>,
}

/// List queries
///
/// Everything that was asked and run in the organization, newest first, without results; narrowed by any of the parameters
/// together. Needs the scope `queries:read`.
#[utoipa::path(
    tag = "queries",
    params(HistoryParams),
    responses((status = 200, body = QueryPage, description = "A page of queries."), Problems),
)]
#[get("/queries")]
async fn list_queries(
    caller: Caller,
    services: web::Data<Services>,
    params: web::Query<HistoryParams>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let HistoryParams {
        saved,
        search,
        connection_id,
        outcome,
        user_id,
        from,
        to,
        engine,
        tag,
        limit,
        cursor,
    } = params.into_inner();
    let search = search.unwrap_or_default();
    let limits = [
        ("search", Some(search.as_str()), 200),
        ("engine", engine.as_deref(), 200),
        ("tag", tag.as_deref(), 50),
    ];
    for (field, value, most) in limits {
        if value.is_some_and(|it| it.chars().count() > most) {
            let rule = format!("at most {most} characters");
            return Err(Problem::invalid(format!("{field}: {rule}"), json!({ field: rule })));
        }
    }
    let filter = HistoryFilter {
        saved_only: saved || tag.is_some(),
        test_only: false,
        words: search.split_whitespace().take(10).map(str::to_owned).collect(),
        connection: connection_id,
        outcome: outcome.map(QueryOutcome::from),
        user: user_id,
        from,
        to,
        engine,
        tag,
        run_of: None,
        viewer: None,
    };
    let paging = Paging::new(limit, cursor);
    let after = paging.cursor(&services.cursors, LIST)?;
    let page = services.queries.list(&permit, filter, after, paging.limit()?).await?;
    let next = page.next.map(|it| services.cursors.seal(LIST, it));
    Ok(reply.page(page.items.into_iter().map(QueryBody::from).collect::<Vec<_>>(), next))
}

/// Show a query
///
/// What was asked, the SQL and what became of it, without results. Needs the scope `queries:read`.
#[utoipa::path(
    tag = "queries",
    params(("id" = String, Path, description = "The query's id.", example = "q_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses(
        (status = 200, body = QueryEnvelope, description = "The query.", headers(("ETag" = String, description = "Names this state of a saved query."))),
        Problems,
    ),
)]
#[get("/queries/{id}")]
async fn get_query(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<QueryId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let record = services.queries.show(&permit, id.into_inner()).await?;
    let revision = record.definition.revision;
    Ok(tagged(reply.ok(QueryBody::from(record)), revision))
}

/// Delete a query
///
/// Takes it out of the history, and a saved one with all of its versions, of which the audit trail tells. Needs the scope
/// `queries:write`.
#[utoipa::path(
    tag = "queries",
    params(
        ("id" = String, Path, description = "The query's id."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what is to be deleted."),
    ),
    responses(
        (status = 204, description = "Deleted."),
        (status = 412, body = super::problem::ErrorBody, description = "`precondition_failed`: it has changed since it was read."),
        Problems,
    ),
)]
#[delete("/queries/{id}")]
async fn delete_query(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<QueryId>,
    if_match: IfMatch,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    services.queries.remove(&permit, id.into_inner(), if_match.revisions()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Run a query again
///
/// The same SQL over the same connection, with an entry of its own in the history. A saved query takes `parameters` by name,
/// and runs in its newest version; a run of one is run again with the values that it had, unless you give others. With
/// `max_age` an answer of that age at most may be one that was given before, to callers whom the same policies bind, and
/// `cached_at` says when its rows were read; of many who ask for the same at once, one runs it. `Prefer: respond-async` and
/// `Accept: text/event-stream` are as for asking. Needs the scope `queries:read`.
#[utoipa::path(
    tag = "queries",
    params(
        ("id" = String, Path, description = "The query's id."),
        ("Prefer" = Option<String>, Header, description = "`respond-async`: come back for the answer."),
    ),
    request_body(content = Option<RunQuery>, description = "May be left out."),
    responses(
        (status = 200, description = "The answer.", content(
            (AnswerEnvelope = "application/json"),
            (String = "text/csv"),
            (String = "text/event-stream"),
        )),
        (status = 202, body = QueryRunEnvelope, description = "It has begun.", headers(("Location" = String, description = "Where it is."))),
        Problems,
        DatabaseProblems,
    ),
)]
#[post("/queries/{id}/run")]
async fn run_query(
    caller: Caller,
    services: web::Data<Services>,
    request: HttpRequest,
    id: web::Path<QueryId>,
    body: web::Bytes,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let RunQuery { parameters, max_age, format, row_limit, byte_limit, timeout_ms } =
        RunQuery::parse(&body)?;
    let form = Form::of(&request, format, row_limit)?;
    let limits = CallerLimits { row_limit, byte_limit, timeout_ms, ..CallerLimits::default() };
    let run = RunAgain { parameters, max_age_seconds: max_age, limits, version: None, told: None };
    let id = id.into_inner();
    if form == Form::Json(Format::Table) {
        if events::are_wanted(&request) {
            return Ok(events::stream(async move |told| {
                let run = RunAgain { told: Some(told), ..run };
                let running = services.queries.run_again(&permit, id, run).await?;
                Ok(Answer::Rows(Box::new(running)))
            }));
        }
        if runs::is_preferred(&request) {
            return runs::begin(&services, &permit, Wanted::Again(id, run), &reply).await;
        }
    }
    let running = services.queries.run_again(&permit, id, run).await;
    let answer = count(running.map(|it| Answer::Rows(Box::new(it))))?;
    respond(answer, form, false, &reply).await
}
