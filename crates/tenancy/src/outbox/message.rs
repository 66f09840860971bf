use jiff::Timestamp;
use plinth_core::OrgId;
use serde_json::Value;

use super::{Letter, LetterTo};

plinth_core::typed_id! {
    /// Identifies a message of the outbox; whoever acts on one uses it as an idempotency key.
    MessageId, "msg"
}

/// What a change leaves to be done. Holds no secret: the link in a mail is made when the mail is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Whose it is.
    pub org: OrgId,
    /// What is to be done, and by whom: `mail`, `team` and others.
    pub topic: String,
    /// With what.
    pub payload: Value,
    /// When it was written.
    pub created_at: Timestamp,
}

impl Message {
    /// The topic of letters.
    pub const MAIL: &'static str = "mail";

    /// The topic of changes of a team.
    pub const TEAM: &'static str = "team";

    /// The topic of changes of a connection's schema.
    pub const SCHEMA: &'static str = "schema";

    /// A letter to be sent.
    pub fn mail(org: OrgId, at: Timestamp, to: &LetterTo, letter: &Letter) -> Self {
        let payload = serde_json::json!({ "to": to, "letter": letter });
        Self { id: MessageId::new(at), org, topic: Self::MAIL.to_owned(), payload, created_at: at }
    }
}

/// A message that a worker has taken, and has to itself until its lease ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// The message.
    pub message: Message,
    /// How often it was taken, this time included.
    pub attempts: i32,
}
