use async_trait::async_trait;
use jiff::Timestamp;
use plinth_core::{Cursor, Limit, OrgId, StoreError, UserId};

use super::{Conversation, ConversationId, Turn};

/// Whose conversations, as of when.
#[derive(Clone, Copy, Debug)]
pub struct ConversationFilter {
    /// In which organization.
    pub org: OrgId,
    /// Of whom.
    pub user: UserId,
    /// Only such over connections marked as test.
    pub test_only: bool,
    /// Those that expired before are not there any more.
    pub now: Timestamp,
}

/// Where conversations are kept. Every method is one transaction. One of a deleted connection is not there.
#[async_trait]
pub trait ConversationStore: Send + Sync + 'static {
    /// Adds a turn to a conversation, as its next one, and gives its number. If `begins`, the conversation is made with
    /// it; else its use is noted and its oldest turns beyond [`KEPT_TURNS`](super::KEPT_TURNS) go. `None` if there is no
    /// such conversation any more; nothing is kept then.
    async fn add(
        &self,
        conversation: &Conversation,
        begins: bool,
        turn: &Turn,
    ) -> Result<Option<u32>, StoreError>;

    /// A conversation; `None` if the filter leaves it out.
    async fn find(
        &self,
        filter: ConversationFilter,
        id: ConversationId,
    ) -> Result<Option<Conversation>, StoreError>;

    /// The turns that are kept of a conversation, oldest first.
    async fn turns(&self, org: OrgId, id: ConversationId) -> Result<Vec<Turn>, StoreError>;

    /// The newest turn of a conversation that was answered with rows, and that of this number; each `None` if there is
    /// none.
    async fn answered(
        &self,
        org: OrgId,
        id: ConversationId,
        number: Option<u32>,
    ) -> Result<Option<Turn>, StoreError>;

    /// Conversations, last used first; one more than `limit` if there are more. The cursor's time is that of the last use.
    async fn list(
        &self,
        filter: ConversationFilter,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<Conversation>, StoreError>;

    /// Removes a conversation; `false` if the filter leaves it out.
    async fn remove(
        &self,
        filter: ConversationFilter,
        id: ConversationId,
    ) -> Result<bool, StoreError>;

    /// Removes those of an organization that expired before `now`, and of each person all but the `most` that were used
    /// last; gives how many went.
    async fn sweep(&self, org: OrgId, now: Timestamp, most: u32) -> Result<u64, StoreError>;

    /// Every organization, for jobs.
    async fn organizations(&self) -> Result<Vec<OrgId>, StoreError>;
}
