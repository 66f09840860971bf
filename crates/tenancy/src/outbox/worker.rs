use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::SignedDuration;
use plinth_core::{OrgId, StoreError};

use super::{Message, MessageId, Waiting};

/// How long a worker has a message to itself. Longer than any delivery may take, so that two never send one mail while
/// both live.
const LEASE: SignedDuration = SignedDuration::from_mins(2);

/// How many messages a worker takes at a time.
const BATCH: usize = 16;

/// How often a message is tried before it is given up: with the pauses below, over about a day.
const ATTEMPTS: i32 = 12;

/// The pause after the first failure; it doubles each time.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(30);

/// The longest pause.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(6);

/// Where messages wait. They are written by the stores whose changes make them, in the changes' transactions.
#[async_trait]
pub trait OutboxStore: Send + Sync + 'static {
    /// Writes a message that no change of a store makes necessary.
    async fn put(&self, message: &Message) -> Result<(), StoreError>;

    /// Takes at most `limit` messages of all organizations that are due, oldest first, each for `lease`. No two callers
    /// get the same one. Time is the database's.
    async fn take(&self, limit: usize, lease: SignedDuration) -> Result<Vec<Waiting>, StoreError>;

    /// Notes that it was done.
    async fn done(&self, org: OrgId, id: MessageId) -> Result<(), StoreError>;

    /// Notes that it failed, and when to try again; `None` gives it up.
    async fn failed(
        &self,
        org: OrgId,
        id: MessageId,
        error: &str,
        again_in: Option<SignedDuration>,
    ) -> Result<(), StoreError>;
}

/// Why a message was not delivered.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It may work later.
    #[error("{0}")]
    Temporary(String),
    /// It will never work.
    #[error("{0}")]
    Permanent(String),
}

/// Acts on the messages of one topic. It may get a message twice: when a worker dies between acting and noting it.
#[async_trait]
pub trait Delivery: Send + Sync + 'static {
    /// Does what the message says.
    ///
    /// # Errors
    ///
    /// [`Failure`], which says whether it is worth trying again. Its text is stored: no secrets in it.
    async fn deliver(&self, message: &Waiting) -> Result<(), Failure>;
}

/// Drains the outbox. Any number of processes may do so at once.
#[derive(Clone)]
pub struct Outbox {
    store: Arc<dyn OutboxStore>,
    topics: Arc<HashMap<String, Arc<dyn Delivery>>>,
}

impl Outbox {
    /// Puts the worker together: what acts on which topic.
    pub fn new(
        store: Arc<dyn OutboxStore>,
        topics: impl IntoIterator<Item = (&'static str, Arc<dyn Delivery>)>,
    ) -> Self {
        let topics = topics.into_iter().map(|(name, it)| (name.to_owned(), it)).collect();
        Self { store, topics: Arc::new(topics) }
    }

    /// Takes what is due and acts on it, one after the other; says how many messages there were.
    ///
    /// # Errors
    ///
    /// When storage fails; what was taken and not noted comes again when its lease ends.
    pub async fn tick(&self) -> Result<usize, StoreError> {
        let taken = self.store.take(BATCH, LEASE).await?;
        for waiting in &taken {
            let (org, id) = (waiting.message.org, waiting.message.id);
            let delivered = match self.topics.get(&waiting.message.topic) {
                Some(delivery) => delivery.deliver(waiting).await,
                // A newer server may have written it: not ours to give up.
                None => Err(Failure::Temporary("no worker for this topic".to_owned())),
            };
            match delivered {
                Ok(()) => self.store.done(org, id).await?,
                Err(err) => {
                    let again = pause(&err, waiting.attempts);
                    tracing::warn!(
                        message.id = %id, topic = waiting.message.topic, error = %err,
                        attempts = waiting.attempts, is_given_up = again.is_none(),
                        "a message of the outbox was not delivered"
                    );
                    self.store.failed(org, id, &err.to_string(), again).await?;
                }
            }
        }
        Ok(taken.len())
    }

    /// Acts on all that is due.
    ///
    /// # Errors
    ///
    /// As for [`Outbox::tick`].
    pub async fn drain(&self) -> Result<usize, StoreError> {
        let mut all = 0;
        loop {
            match self.tick().await? {
                0 => return Ok(all),
                some => all += some,
            }
        }
    }
}

/// How long to wait after that failure; `None` if it is no use.
fn pause(err: &Failure, attempts: i32) -> Option<SignedDuration> {
    if matches!(err, Failure::Permanent(_)) || attempts >= ATTEMPTS {
        return None;
    }
    let doubled = u32::try_from(attempts - 1).unwrap_or(0).min(20);
    let seconds = FIRST_PAUSE.as_secs().saturating_mul(1 << doubled);
    Some(SignedDuration::from_secs(seconds).min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_tried_for_about_a_day_and_then_given_up() {
        let temporary = Failure::Temporary("busy".to_owned());
        let pauses: Vec<_> = (1..=ATTEMPTS).map(|it| pause(&temporary, it)).collect();
        assert!(pauses[ATTEMPTS as usize - 1].is_none());
        let total: SignedDuration =
            pauses.iter().flatten().fold(SignedDuration::ZERO, |sum, it| sum + *it);
        assert!(total > SignedDuration::from_hours(12) && total < SignedDuration::from_hours(48));
        assert!(pause(&Failure::Permanent("no such address".to_owned()), 1).is_none());
    }
}
