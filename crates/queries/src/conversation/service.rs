use std::sync::Arc;

use plinth_connections::ConnectionId;
use plinth_core::{Clock, Cursor, Limit, Page, Permit, Principal, QueriesRead, StoreError};

use super::{
    Conversation, ConversationFilter, ConversationId, ConversationStore, KEPT_CONVERSATIONS,
    KEPT_FOR, Turn, TurnState, title,
};
use crate::{QueryError, QueryRecord};

/// What people asked one after the other.
#[derive(Clone)]
pub struct Conversations {
    store: Arc<dyn ConversationStore>,
    clock: Arc<dyn Clock>,
}

/// A conversation while its next question is answered.
pub(crate) struct Talk {
    pub(crate) id: ConversationId,
    begins: bool,
    conversation: Conversation,
    /// The last answer, which a follow-up goes on from.
    pub(crate) last: Option<Turn>,
    /// What follow-ups of this question will go on from.
    pub(crate) state: Option<TurnState>,
    /// The turn whose answer is given again: what comes before it comes before this one.
    pub(crate) back_to: Option<Turn>,
}

impl Conversations {
    /// Puts the service together.
    pub fn new(store: Arc<dyn ConversationStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    fn filter(&self, caller: &Principal) -> ConversationFilter {
        let (org, user, test_only) = (caller.org, caller.user, caller.test_only);
        ConversationFilter { org, user, test_only, now: self.clock.now() }
    }

    /// The caller's conversation of that id, or a new one.
    ///
    /// # Errors
    ///
    /// [`QueryError::NoConversation`] also when it is another person's; [`QueryError::OtherConnection`].
    pub(crate) async fn go_on(
        &self,
        caller: &Principal,
        id: Option<ConversationId>,
        connection: ConnectionId,
        text: &str,
    ) -> Result<Talk, QueryError> {
        let now = self.clock.now();
        let Some(id) = id else {
            let id = ConversationId::new(now);
            let conversation = Conversation {
                id,
                org: caller.org,
                user: caller.user,
                connection,
                title: title(text),
                turns: 0,
                created_at: now,
                updated_at: now,
                expires_at: now.saturating_add(KEPT_FOR).unwrap_or(now),
            };
            return Ok(Talk {
                id,
                begins: true,
                conversation,
                last: None,
                state: None,
                back_to: None,
            });
        };
        let found = self.store.find(self.filter(caller), id).await?;
        let mut conversation = found.ok_or(QueryError::NoConversation(id))?;
        if conversation.connection != connection {
            return Err(QueryError::OtherConnection);
        }
        conversation.updated_at = now;
        conversation.expires_at = now.saturating_add(KEPT_FOR).unwrap_or(now);
        let last = self.store.answered(caller.org, id, None).await?;
        Ok(Talk { id, begins: false, conversation, last, state: None, back_to: None })
    }

    /// The answer before the last one; `None` if there is none, or it is not kept any more.
    pub(crate) async fn before(&self, talk: &Talk) -> Result<Option<Turn>, StoreError> {
        let number = talk.last.as_ref().and_then(|it| it.before);
        match number {
            Some(number) => self.store.answered(talk.conversation.org, talk.id, Some(number)).await,
            None => Ok(None),
        }
    }

    /// Keeps a question and what came of it, before its rows are given out: the next question may reach another server.
    pub(crate) async fn keep(&self, talk: &Talk, record: &QueryRecord) -> Result<(), StoreError> {
        let before = match &talk.back_to {
            Some(turn) => turn.before,
            None => talk.last.as_ref().map(|it| it.number),
        };
        let turn = Turn {
            number: 0,
            query: record.id,
            question: record.question.clone(),
            sql: record.sql.clone(),
            outcome: record.outcome,
            notes: record.notes.clone(),
            state: talk.state.clone(),
            before,
            created_at: record.created_at,
        };
        if self.store.add(&talk.conversation, talk.begins, &turn).await?.is_none() {
            tracing::info!(conversation.id = %talk.id, "a conversation was deleted while a question of it was answered");
        }
        Ok(())
    }

    /// The caller's conversations, last used first.
    ///
    /// # Errors
    ///
    /// Only when our own storage fails.
    pub async fn list(
        &self,
        permit: &Permit<QueriesRead>,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<Conversation>, QueryError> {
        let items = self.store.list(self.filter(permit.principal()), after, limit).await?;
        let place = |it: &Conversation| Cursor { created_at: it.updated_at, id: it.id.as_uuid() };
        Ok(Page::cut(items, limit, place))
    }

    /// One of the caller's conversations with its turns, oldest first.
    ///
    /// # Errors
    ///
    /// [`QueryError::NoConversation`] also when it is another person's or organization's.
    pub async fn get(
        &self,
        permit: &Permit<QueriesRead>,
        id: ConversationId,
    ) -> Result<(Conversation, Vec<Turn>), QueryError> {
        let found = self.store.find(self.filter(permit.principal()), id).await?;
        let conversation = found.ok_or(QueryError::NoConversation(id))?;
        let turns = self.store.turns(permit.org(), id).await?;
        Ok((conversation, turns))
    }

    /// Forgets one of the caller's conversations; the history keeps what was asked.
    ///
    /// # Errors
    ///
    /// [`QueryError::NoConversation`] as for [`Conversations::get`].
    pub async fn remove(
        &self,
        permit: &Permit<QueriesRead>,
        id: ConversationId,
    ) -> Result<(), QueryError> {
        let removed = self.store.remove(self.filter(permit.principal()), id).await?;
        if removed { Ok(()) } else { Err(QueryError::NoConversation(id)) }
    }

    /// Removes what expired and what is more than a person may keep; for a job.
    ///
    /// # Errors
    ///
    /// Only when our own storage fails.
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        let now = self.clock.now();
        let all = self.store.organizations().await?;
        let sweep = |org| self.store.sweep(org, now, KEPT_CONVERSATIONS);
        Ok(plinth_core::sweep_each("conversations", all, sweep).await)
    }
}
