use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;
use plinth_core::{OrgId, StoreError};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Message, MessageId, Waiting};

/// How many messages a worker acts on at once: one that hangs does not hold up the others. No more than the mailer has
/// connections, so that none waits for one while its time runs.
const AT_ONCE: usize = 4;

/// How often it is tried to note how a delivery ended, and the pause between. What is not noted comes again.
const NOTING_ATTEMPTS: u32 = 3;
const NOTING_PAUSE: Duration = Duration::from_secs(1);

/// How often a message is tried before it is given up: with the pauses below, over about a day.
const ATTEMPTS: i32 = 12;

/// The pause after the first failure; it doubles each time.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(30);

/// The longest pause.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(6);

/// How long things may take.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// How long a worker has a message to itself. Much longer than any delivery may take, so that two never send one mail
    /// while both live; a message is taken only when its delivery begins.
    lease: SignedDuration,
    /// How long a delivery may take: what is left of the lease is for noting how it ended.
    delivery: Duration,
    /// How often it is looked for further messages while deliveries are under way.
    look: Duration,
    /// For how long one call takes further messages while there are some: whoever calls again and again wants to look up
    /// now and then.
    taking: Duration,
}

const PACE: Pace = Pace {
    lease: SignedDuration::from_mins(2),
    delivery: Duration::from_mins(1),
    look: Duration::from_secs(1),
    taking: Duration::from_secs(20),
};

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
    pace: Pace,
}

impl Outbox {
    /// Puts the worker together: what acts on which topic.
    pub fn new(
        store: Arc<dyn OutboxStore>,
        topics: impl IntoIterator<Item = (&'static str, Arc<dyn Delivery>)>,
    ) -> Self {
        let topics = topics.into_iter().map(|(name, it)| (name.to_owned(), it)).collect();
        Self { store, topics: Arc::new(topics), pace: PACE }
    }

    /// Acts on what is due, a few messages at once, until nothing is or it has gone on for a while; says how many there
    /// were. Comes back when all that was taken has ended.
    ///
    /// # Errors
    ///
    /// When storage fails; what was taken and not noted comes again when its lease ends.
    pub async fn drain(&self) -> Result<usize, StoreError> {
        let started = Instant::now();
        let mut under_way = JoinSet::new();
        let mut acted = 0;
        let mut failed = None;
        loop {
            let free = AT_ONCE - under_way.len();
            let may_take = failed.is_none() && started.elapsed() < self.pace.taking;
            if may_take && free > 0 {
                match self.store.take(free, self.pace.lease).await {
                    Ok(taken) => {
                        acted += taken.len();
                        for waiting in taken {
                            let worker = self.clone();
                            under_way.spawn(async move { worker.act(&waiting).await });
                        }
                    }
                    // What is under way is not left halfway: a mail may be sent and only its receipt be missing.
                    Err(err) => failed = Some(err),
                }
            }
            let ended = tokio::select! {
                ended = under_way.join_next() => ended,
                () = tokio::time::sleep(self.pace.look), if may_take && under_way.len() < AT_ONCE => continue,
            };
            match ended {
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(err))) => failed = failed.or(Some(err)),
                // It panicked, or the process stops; its lease ends by itself.
                Some(Err(err)) => tracing::error!(error = %err, "a delivery broke off"),
                None => return failed.map_or(Ok(acted), Err),
            }
        }
    }

    /// Acts on one message and notes how that ended.
    async fn act(&self, waiting: &Waiting) -> Result<(), StoreError> {
        let delivered = match self.topics.get(&waiting.message.topic) {
            Some(delivery) => tokio::time::timeout(self.pace.delivery, delivery.deliver(waiting))
                .await
                .unwrap_or_else(|_| Err(Failure::Temporary("it took too long".to_owned()))),
            // A newer server may have written it: not ours to give up.
            None => Err(Failure::Temporary("no worker for this topic".to_owned())),
        };
        if let Err(err) = &delivered {
            tracing::warn!(
                message.id = %waiting.message.id, topic = waiting.message.topic, error = %err,
                attempts = waiting.attempts, is_given_up = pause(err, waiting.attempts).is_none(),
                "a message of the outbox was not delivered"
            );
        }
        let mut attempt = 1;
        loop {
            match self.note(waiting, &delivered).await {
                // A mail that was sent and not noted would be sent again.
                Err(_) if attempt < NOTING_ATTEMPTS => tokio::time::sleep(NOTING_PAUSE).await,
                noted => return noted,
            }
            attempt += 1;
        }
    }

    async fn note(
        &self,
        waiting: &Waiting,
        delivered: &Result<(), Failure>,
    ) -> Result<(), StoreError> {
        let (org, id) = (waiting.message.org, waiting.message.id);
        match delivered {
            Ok(()) => self.store.done(org, id).await,
            Err(err) => {
                let again = pause(err, waiting.attempts);
                self.store.failed(org, id, &err.to_string(), again).await
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
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    /// A queue in memory whose leases end as the clock says; what a store does is in its contract.
    #[derive(Default)]
    struct Queue {
        due: Mutex<VecDeque<Waiting>>,
        leased: Mutex<Vec<(Instant, Waiting)>>,
        done: Mutex<Vec<MessageId>>,
        failed: Mutex<Vec<(MessageId, String)>>,
    }

    #[async_trait]
    impl OutboxStore for Queue {
        async fn put(&self, message: &Message) -> Result<(), StoreError> {
            let waiting = Waiting { message: message.clone(), attempts: 0 };
            self.due.lock().expect("whole").push_back(waiting);
            Ok(())
        }

        async fn take(
            &self,
            most: usize,
            lease: SignedDuration,
        ) -> Result<Vec<Waiting>, StoreError> {
            let (mut due, mut leased) =
                (self.due.lock().expect("whole"), self.leased.lock().expect("whole"));
            let now = Instant::now();
            for (_, waiting) in leased.extract_if(.., |(until, _)| *until <= now) {
                due.push_back(waiting);
            }
            let most = most.min(due.len());
            let taken: Vec<_> =
                due.drain(..most).map(|it| Waiting { attempts: it.attempts + 1, ..it }).collect();
            leased.extend(taken.iter().map(|it| (now + lease.unsigned_abs(), it.clone())));
            Ok(taken)
        }

        async fn done(&self, _: OrgId, id: MessageId) -> Result<(), StoreError> {
            self.leased.lock().expect("whole").retain(|(_, it)| it.message.id != id);
            self.done.lock().expect("whole").push(id);
            Ok(())
        }

        async fn failed(
            &self,
            _: OrgId,
            id: MessageId,
            error: &str,
            _: Option<SignedDuration>,
        ) -> Result<(), StoreError> {
            self.leased.lock().expect("whole").retain(|(_, it)| it.message.id != id);
            self.failed.lock().expect("whole").push((id, error.to_owned()));
            Ok(())
        }
    }

    /// A mail server that hangs for every letter that says so.
    #[derive(Default)]
    struct Hanging(Mutex<Vec<MessageId>>);

    #[async_trait]
    impl Delivery for Hanging {
        async fn deliver(&self, message: &Waiting) -> Result<(), Failure> {
            self.0.lock().expect("whole").push(message.message.id);
            if message.message.payload["hangs"] == true {
                std::future::pending::<()>().await;
            }
            Ok(())
        }
    }

    async fn filled(hanging: usize, quick: usize) -> (Arc<Queue>, Arc<Hanging>, Outbox) {
        let (queue, mails) = (Arc::<Queue>::default(), Arc::<Hanging>::default());
        let at = Timestamp::UNIX_EPOCH;
        for number in 0..hanging + quick {
            let message = Message {
                id: MessageId::new(at),
                org: OrgId::new(at),
                topic: Message::MAIL.to_owned(),
                payload: json!({ "hangs": number < hanging }),
                created_at: at,
            };
            queue.put(&message).await.expect("kept");
        }
        let delivery: Arc<dyn Delivery> = mails.clone();
        let mut outbox = Outbox::new(queue.clone(), [(Message::MAIL, delivery)]);
        outbox.pace = Pace {
            lease: SignedDuration::from_secs(30),
            delivery: Duration::from_secs(2),
            look: Duration::from_millis(50),
            taking: Duration::from_secs(20),
        };
        (queue, mails, outbox)
    }

    #[tokio::test]
    async fn letters_that_hang_hold_up_no_other_and_none_is_sent_twice() {
        // Two workers, as two servers have them; one after the other the hanging letters would outlast their leases.
        let (queue, mails, outbox) = filled(7, 40).await;
        let other = outbox.clone();
        let all = async { tokio::join!(outbox.drain(), other.drain()) };
        let before_the_first_gave_up = async {
            while queue.done.lock().expect("whole").len() < 40 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            queue.failed.lock().expect("whole").len()
        };
        let ((one, two), given_up) = tokio::join!(all, before_the_first_gave_up);
        assert_eq!(given_up, 0, "the others have gone by then");
        assert_eq!(one.expect("drained") + two.expect("drained"), 47);
        let mut sent = mails.0.lock().expect("whole").clone();
        sent.sort_unstable();
        let tried = sent.len();
        sent.dedup();
        assert_eq!((tried, sent.len()), (47, 47));
        let failed = queue.failed.lock().expect("whole");
        assert_eq!(failed.len(), 7);
        assert!(failed.iter().all(|(_, error)| error == "it took too long"));
    }

    #[tokio::test]
    async fn more_hanging_letters_than_fit_at_once_are_taken_only_when_their_turn_comes() {
        let (queue, mails, outbox) = filled(3 * AT_ONCE, 0).await;
        let mut rounds = 0;
        while queue.failed.lock().expect("whole").len() < 3 * AT_ONCE {
            outbox.drain().await.expect("drained");
            rounds += 1;
            assert!(rounds < 10, "it does not end");
        }
        assert_eq!(mails.0.lock().expect("whole").len(), 3 * AT_ONCE, "each once");
    }

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
