use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use plinth_core::{Clock, StoreError};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::delivery::{Failing, Try};
use super::key::EventKey;
use super::ports::{Backlog, EventStore, Next, SendLimits, TakenDelivery};
use crate::hook;
use crate::ports::{Outward, OutwardAnswer, OutwardCall};

/// How often it is looked for deliveries that are due.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How soon it is looked again after one ended, whose place may be the next one's.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Deliveries under way in this process at most; and on all servers of one subscription, and of one organization.
const AT_ONCE: usize = 64;
const PER_SUBSCRIPTION: usize = 4;
const PER_ORGANIZATION: usize = 16;

/// How long a receiver has to answer, and how long a worker has a delivery to itself: much longer.
const TIME: Duration = Duration::from_secs(15);
const LEASE: Duration = Duration::from_mins(1);

/// How often a delivery is tried: with the pauses below, over about a day.
const TRIES: i32 = 15;

/// The pause after the first failure; it doubles each time, up to the longest.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(10);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(6);

/// How long a delivery waits at most, however often it was tried: longer than its tries take if each has its turn.
const WAITS: SignedDuration = SignedDuration::from_hours(30);

/// How many wait for one subscription at most. A receiver that is back gets them within minutes.
const MOST_WAITING: i64 = 10_000;

/// When a subscription is disabled: its receiver took nothing for so long, and was tried so often.
const ENDS_AFTER: SignedDuration = SignedDuration::from_hours(24 * 3);
const ENDS_AFTER_TRIES: i32 = 15;

/// After so many failed tries one that succeeds says that the receiver is back. Fewer are of an event that it does not like,
/// and the pauses after them are short.
const BACK_AFTER_TRIES: i32 = 5;

/// How much of an answer is kept, in characters.
const KEPT_CHARS: usize = 1_000;

/// How long deliveries are kept.
const KEPT: SignedDuration = SignedDuration::from_hours(24 * 30);

/// How long deliveries that are under way at a stop may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// What a sender of events is put together from.
pub struct EventWorkerParts {
    /// Where deliveries wait.
    pub store: Arc<dyn EventStore>,
    /// Calls the outside, through the gate.
    pub outward: Arc<dyn Outward>,
    /// Makes the secrets that they are signed with.
    pub key: EventKey,
    /// Wakes it when this process wrote a delivery.
    pub woken: Arc<Notify>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Sends events. Any number of processes may, over one database.
#[derive(Clone)]
pub struct EventWorker {
    parts: Arc<EventWorkerParts>,
}

impl EventWorker {
    /// Puts it together.
    pub fn new(parts: EventWorkerParts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// Works until it is told to stop.
    pub async fn work(&self, mut stopped: watch::Receiver<bool>) {
        let mut running: JoinSet<()> = JoinSet::new();
        let mut look = Instant::now();
        let mut looked = look;
        while !*stopped.borrow() {
            let free = AT_ONCE.saturating_sub(running.len());
            if free > 0 && Instant::now() >= look {
                looked = Instant::now();
                look = looked + LOOK_EVERY;
                match self.take(free).await {
                    Ok(taken) => self.start(taken, &mut running),
                    Err(err) => {
                        let error = plinth_core::chain(&err);
                        tracing::warn!(error, "events cannot be read; it will be tried again");
                    }
                }
            }
            tokio::select! {
                _ = running.join_next(), if !running.is_empty() => look = look.min(looked + LOOK_AGAIN),
                () = self.parts.woken.notified() => look = Instant::now(),
                () = tokio::time::sleep_until(look), if free > 0 => {}
                _ = stopped.changed() => {}
            }
        }
        let _ = timeout(GRACE, async { while running.join_next().await.is_some() {} }).await;
    }

    /// Sends everything that is due now; says how much that was.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub async fn drain(&self) -> Result<usize, StoreError> {
        let mut all = 0;
        loop {
            let taken = self.take(AT_ONCE).await?;
            if taken.is_empty() {
                return Ok(all);
            }
            all += taken.len();
            let mut running = JoinSet::new();
            self.start(taken, &mut running);
            while running.join_next().await.is_some() {}
        }
    }

    async fn take(&self, most: usize) -> Result<Vec<TakenDelivery>, StoreError> {
        let limits =
            SendLimits { most, per_subscription: PER_SUBSCRIPTION, per_org: PER_ORGANIZATION };
        self.parts.store.take(limits, LEASE).await
    }

    fn start(&self, taken: Vec<TakenDelivery>, running: &mut JoinSet<()>) {
        for it in taken {
            let worker = self.clone();
            running.spawn(async move {
                if let Err(err) = worker.deliver(&it).await {
                    let error = plinth_core::chain(&err);
                    tracing::warn!(delivery.id = %it.delivery.id, error, "a delivery cannot be written down; it is sent again");
                }
            });
        }
    }

    async fn deliver(&self, it: &TakenDelivery) -> Result<(), StoreError> {
        let TakenDelivery { delivery, subscription } = it;
        let at = self.parts.clock.now();
        let id = delivery.happened.to_string();
        let number = subscription.secret_number;
        let is_rotating = subscription.previous_until.is_some_and(|until| at < until);
        let signatures: Vec<String> = [Some(number), is_rotating.then_some(number - 1)]
            .into_iter()
            .flatten()
            .map(|it| self.parts.key.secret(subscription.id, it))
            .filter_map(|it| hook::sign(&it, &id, at, delivery.body.as_bytes()))
            .collect();
        let header = |name: &str, value: String| (name.to_owned(), value);
        let call = OutwardCall {
            method: "POST",
            url: subscription.url.clone(),
            headers: vec![
                header("content-type", "application/json".to_owned()),
                header("webhook-id", id),
                header("webhook-timestamp", at.as_second().to_string()),
                header("webhook-signature", signatures.join(" ")),
            ],
            body: Some(delivery.body.clone().into_bytes()),
            time: TIME,
        };
        let begun = Instant::now();
        let answer = self.parts.outward.call(call).await;
        let duration_ms = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        let number = delivery.tries;
        let (tried, next) = match answer {
            Ok(answer) => {
                let tried = Try {
                    number,
                    status: Some(answer.status.into()),
                    response: Some(kept(&answer.body)),
                    error: None,
                    duration_ms,
                    at,
                };
                (tried, next(&answer, number))
            }
            Err(fault) => {
                let error = Some(fault.message);
                let tried = Try { number, status: None, response: None, error, duration_ms, at };
                // An address that the gate refuses now may be another tomorrow, and so may a name.
                (tried, again(number, None))
            }
        };
        let next = judged(next, subscription.failing, at);
        let store = &self.parts.store;
        if !store.conclude(subscription.org, delivery.id, &tried, &next).await? {
            tracing::info!(delivery.id = %delivery.id, "another took the delivery meanwhile");
        }
        Ok(())
    }

    /// Gives up deliveries that waited for too long, or behind too many.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub async fn give_up(&self) -> Result<u64, StoreError> {
        let store = &self.parts.store;
        let limits = Backlog {
            age: WAITS,
            too_old: "given up: it waited for 30 hours",
            count: MOST_WAITING,
            too_many: "given up: 10,000 newer events wait for this subscription",
        };
        let all = store.waiting().await?;
        let give_up = |org| store.give_up(org, &limits);
        Ok(plinth_core::sweep_each("deliveries that wait", all, give_up).await)
    }

    /// Forgets old deliveries.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        let store = &self.parts.store;
        let all = store.organizations().await?;
        let sweep = |org| store.sweep(org, KEPT);
        Ok(plinth_core::sweep_each("old events", all, sweep).await)
    }
}

fn next(answer: &OutwardAnswer, number: i32) -> Next {
    match answer.status {
        200..=299 => Next::Delivered,
        410 => Next::Ended("the receiver answered with 410: it wants no more"),
        _ => again(number, answer.retry_after),
    }
}

/// What comes after a try of that number failed. A receiver may ask for a longer pause than it would get.
fn again(number: i32, asked_seconds: Option<u64>) -> Next {
    if number >= TRIES {
        return Next::Failed;
    }
    let doubled = u32::try_from(number - 1).unwrap_or(0).min(20);
    let pause = FIRST_PAUSE.as_secs().saturating_mul(1 << doubled);
    let asked = asked_seconds.map_or(0, |it| i64::try_from(it).unwrap_or(i64::MAX));
    Next::Again(SignedDuration::from_secs(pause.max(asked)).min(LONGEST_PAUSE))
}

/// What comes of a try in the light of those before it, of whatever deliveries.
fn judged(next: Next, failing: Option<Failing>, at: Timestamp) -> Next {
    let Some(Failing { since, tries }) = failing else { return next };
    match next {
        Next::Delivered if tries >= BACK_AFTER_TRIES => Next::Back,
        Next::Again(_) | Next::Failed
            if at.duration_since(since) >= ENDS_AFTER && tries + 1 >= ENDS_AFTER_TRIES =>
        {
            Next::Ended("the receiver has taken nothing for three days")
        }
        next => next,
    }
}

fn kept(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().filter(|it| *it != '\0').take(KEPT_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_tried_for_about_a_day_and_then_given_up() {
        let mut total = SignedDuration::ZERO;
        let mut number = 1;
        while let Next::Again(pause) = again(number, None) {
            total += pause;
            number += 1;
        }
        assert_eq!(number, TRIES);
        assert!(total > SignedDuration::from_hours(20) && total < SignedDuration::from_hours(26));
        assert!(total < WAITS);
        assert_eq!(again(1, Some(90)), Next::Again(SignedDuration::from_secs(90)));
        assert_eq!(again(1, Some(u64::MAX)), Next::Again(LONGEST_PAUSE));
    }

    #[test]
    fn a_receiver_that_takes_nothing_for_three_days_gets_no_more() {
        let since: Timestamp = "2026-03-04T05:06:07Z".parse().expect("good");
        let failing = |tries| Some(Failing { since, tries });
        let later = since + ENDS_AFTER;
        let pause = Next::Again(FIRST_PAUSE);
        let ended = |next, tries, at| matches!(judged(next, failing(tries), at), Next::Ended(_));
        assert!(ended(pause.clone(), 14, later) && ended(Next::Failed, 14, later));
        assert!(!ended(pause.clone(), 13, later), "it was hardly tried");
        assert!(!ended(pause.clone(), 14, later - SignedDuration::from_secs(1)));
        assert!(!ended(Next::Delivered, 14, later));
        assert_eq!(judged(pause.clone(), None, later), pause);
    }

    #[test]
    fn what_waits_is_due_when_a_receiver_is_back_and_not_when_it_disliked_one() {
        let at: Timestamp = "2026-03-04T05:06:07Z".parse().expect("good");
        let failing = |tries| Some(Failing { since: at, tries });
        assert_eq!(judged(Next::Delivered, failing(5), at), Next::Back);
        assert_eq!(judged(Next::Delivered, failing(4), at), Next::Delivered);
        assert_eq!(judged(Next::Delivered, None, at), Next::Delivered);
    }
}
