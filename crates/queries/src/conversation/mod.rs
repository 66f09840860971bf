//! Conversations: what was asked one after the other, so that "and last month?" has something to go on from.

mod ports;
mod service;

use jiff::{SignedDuration, Timestamp};
use plinth_connections::ConnectionId;
use plinth_core::{OrgId, UserId};
use plinth_nl2sql::LogicalQuery;
pub use ports::{ConversationFilter, ConversationStore};
use serde::{Deserialize, Serialize};
use serde_json::Value;
pub use service::Conversations;
pub(crate) use service::Talk;

use crate::{Notes, QueryId, QueryOutcome};

plinth_core::typed_id! {
    /// Identifies a conversation.
    ConversationId, "conv"
}

/// How many turns of a conversation are kept: the newest.
pub const KEPT_TURNS: u32 = 50;

/// How many conversations of one person are kept: those that were used last.
pub const KEPT_CONVERSATIONS: u32 = 200;

/// How long a conversation is kept after it was last used.
pub const KEPT_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// From how many questions a typed query may have come to be read anew, at most.
pub(crate) const MAX_QUESTIONS: usize = 20;

/// How many characters of a first question name its conversation.
const TITLE_CHARS: usize = 120;

/// Questions of one person, one after the other, over one connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversation {
    /// Its id.
    pub id: ConversationId,
    /// In which organization.
    pub org: OrgId,
    /// Whose.
    pub user: UserId,
    /// Over which connection.
    pub connection: ConnectionId,
    /// Its first question, perhaps cut.
    pub title: String,
    /// How many turns it has had; the oldest may be gone.
    pub turns: u32,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used.
    pub updated_at: Timestamp,
    /// When it is forgotten, unless it is used again.
    pub expires_at: Timestamp,
}

/// One question of a conversation, and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// Counts from 1.
    pub number: u32,
    /// Its entry in the history.
    pub query: QueryId,
    /// What was asked; `None` for SQL of the caller's own.
    pub question: Option<String>,
    /// The statement that came of it.
    pub sql: Option<String>,
    /// What became of it; of a statement that ran, that it began to answer.
    pub outcome: QueryOutcome,
    /// What was said beside the rows.
    pub notes: Notes,
    /// What follow-ups go on from; `None` if nothing was answered, or not by the engine's own reading.
    pub state: Option<TurnState>,
    /// The turn whose answer was the last before this one's: where "go back" leads.
    pub before: Option<u32>,
    /// When it was asked.
    pub created_at: Timestamp,
}

/// The typed query behind an answer, and how it can be had again where it cannot be read any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TurnState {
    /// Names the places that the query speaks of.
    pub structure: String,
    /// The query.
    pub query: Value,
    /// A question and its follow-ups, whose reading it is.
    pub questions: Vec<String>,
}

impl TurnState {
    /// The state of a query that those questions became over an index of that name; `None` if it cannot be written down.
    pub(crate) fn of(
        query: &LogicalQuery,
        structure: String,
        questions: Vec<String>,
    ) -> Option<Self> {
        let query = serde_json::to_value(query).ok()?;
        Some(Self { structure, query, questions })
    }
}

/// A title made of a first question.
fn title(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= TITLE_CHARS {
        return line;
    }
    let cut: String = line.chars().take(TITLE_CHARS - 1).collect();
    format!("{}…", cut.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_one_line_and_bounded() {
        assert_eq!(title("  How many\n orders? "), "How many orders?");
        let long = title(&"wörter ".repeat(100));
        assert!(long.chars().count() <= TITLE_CHARS && long.ends_with('…'), "{long}");
    }
}
