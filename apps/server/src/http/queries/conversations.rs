//! Conversations: what was asked one after the other.

use actix_web::{HttpResponse, delete, get, web};
use jiff::Timestamp;
use plinth_queries::{Conversation, ConversationId, Turn};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use super::body::{OutcomeBody, UsedBody};
use crate::http::envelope::{Reply, envelope, page_envelope};
use crate::http::input::Paging;
use crate::http::problem::Problems;
use crate::http::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list_conversations).service(get_conversation).service(delete_conversation);
}

/// The name of the list in cursors.
const LIST: &str = "conversations";

/// List your conversations
///
/// Those of the caller alone, last used first. A conversation is forgotten thirty days after it was last used, and a
/// person keeps the 200 that were used last. Needs the scope `queries:read`.
#[utoipa::path(
    tag = "queries",
    params(Paging),
    responses((status = 200, body = ConversationPage, description = "A page of conversations."), Problems),
)]
#[get("/conversations")]
async fn list_conversations(
    caller: Caller,
    services: web::Data<Services>,
    paging: web::Query<Paging>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let after = paging.cursor(&services.cursors, LIST)?;
    let page = services.conversations.list(&permit, after, paging.limit()?).await?;
    let next = page.next.map(|it| services.cursors.seal(LIST, it));
    Ok(reply.page(page.items.into_iter().map(ConversationBody::from).collect::<Vec<_>>(), next))
}

/// Show a conversation
///
/// With its turns, oldest first; the newest fifty are kept. What others asked is not shown. Needs the scope
/// `queries:read`.
#[utoipa::path(
    tag = "queries",
    params(("id" = String, Path, description = "The conversation's id.", example = "conv_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 200, body = ConversationEnvelope, description = "The conversation."), Problems),
)]
#[get("/conversations/{id}")]
async fn get_conversation(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ConversationId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let (conversation, turns) = services.conversations.get(&permit, id.into_inner()).await?;
    let turns = turns.into_iter().map(TurnBody::from).collect();
    Ok(reply.ok(ConversationWithTurns { conversation: conversation.into(), turns }))
}

/// Delete a conversation
///
/// The history keeps what was asked in it. Needs the scope `queries:read`: it is the caller's own.
#[utoipa::path(
    tag = "queries",
    params(("id" = String, Path, description = "The conversation's id.")),
    responses((status = 204, description = "Deleted."), Problems),
)]
#[delete("/conversations/{id}")]
async fn delete_conversation(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ConversationId>,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    services.conversations.remove(&permit, id.into_inner()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Questions one after the other.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Conversation)]
struct ConversationBody {
    #[schema(example = "conv_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: String,
    connection_id: String,
    /// Its first question, perhaps cut.
    #[schema(example = "How many orders were placed this month?")]
    title: String,
    /// How many turns it has had.
    turn_count: u32,
    created_at: Timestamp,
    /// When it was last used.
    updated_at: Timestamp,
    /// When it is forgotten, unless it is used again.
    expires_at: Timestamp,
}

impl From<Conversation> for ConversationBody {
    fn from(it: Conversation) -> Self {
        Self {
            id: it.id.to_string(),
            connection_id: it.connection.to_string(),
            title: it.title,
            turn_count: it.turns,
            created_at: it.created_at,
            updated_at: it.updated_at,
            expires_at: it.expires_at,
        }
    }
}

/// A conversation and what was said in it.
#[derive(Debug, Serialize, ToSchema)]
struct ConversationWithTurns {
    #[serde(flatten)]
    conversation: ConversationBody,
    turns: Vec<TurnBody>,
}

/// One question and what came of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConversationTurn)]
struct TurnBody {
    /// Counts from 1.
    number: u32,
    /// Its entry in the history.
    query_id: String,
    /// Null for SQL of your own.
    #[schema(required = true, example = "and last month?")]
    question: Option<String>,
    #[schema(required = true)]
    sql: Option<String>,
    /// `answered` if its statement ran; the history knows how that ended.
    outcome: OutcomeBody,
    answer: Option<String>,
    explanation: Option<String>,
    /// What was taken over from the answer before.
    taken_over: Vec<String>,
    /// What of the organization's own language the answer leans on.
    used: Vec<UsedBody>,
    created_at: Timestamp,
}

impl From<Turn> for TurnBody {
    fn from(it: Turn) -> Self {
        Self {
            number: it.number,
            query_id: it.query.to_string(),
            question: it.question,
            sql: it.sql,
            outcome: it.outcome.into(),
            answer: it.notes.answer,
            explanation: it.notes.explanation,
            taken_over: it.notes.taken_over,
            used: it.notes.used.into_iter().map(UsedBody::from).collect(),
            created_at: it.created_at,
        }
    }
}

envelope! {
    /// A conversation.
    ConversationEnvelope(ConversationWithTurns)
}
page_envelope! {
    /// A page of conversations.
    ConversationPage(ConversationBody)
}
