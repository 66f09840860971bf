//! Until when a session is known to have heard all that was said.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::Timestamp;
use plinth_connections::Diagnosis;
use plinth_connections::listening::{Ear, Notification};
use plinth_core::Clock;
use tokio::time::Instant;

/// How often the server is asked whether it is still there, where it says nothing.
const PROVE_EVERY: Duration = Duration::from_secs(15);

/// A session that listens, and knows until when it has heard all.
///
/// Only an answer says that: what was said before it was asked for comes before it. That nothing came says nothing, since the
/// server may be gone without a word, and neither does a word that came: it may have been on its way while the server went.
pub(super) struct Proven {
    ear: Box<dyn Ear>,
    clock: Arc<dyn Clock>,
    /// When the last thing that was answered was asked.
    heard_until: Timestamp,
    since: Instant,
    /// Whether something came since then.
    has_heard: bool,
}

impl Proven {
    /// Begins to listen on those channels. What is said from before now on is heard.
    ///
    /// # Errors
    ///
    /// [`Diagnosis`] if the session is of no use.
    pub(super) async fn listen(
        mut ear: Box<dyn Ear>,
        clock: Arc<dyn Clock>,
        channels: &[String],
    ) -> Result<Self, Diagnosis> {
        let (heard_until, since) = (clock.now(), Instant::now());
        ear.listen_to(channels).await?;
        Ok(Self { ear, clock, heard_until, since, has_heard: false })
    }

    /// Until when all was heard, by this process's clock.
    pub(super) fn heard_until(&self) -> Timestamp {
        self.heard_until
    }

    /// Listens on exactly these channels from now on.
    ///
    /// # Errors
    ///
    /// [`Diagnosis`] if the session is of no more use.
    pub(super) async fn listen_to(&mut self, channels: &[String]) -> Result<(), Diagnosis> {
        self.ear.listen_to(channels).await
    }

    /// What came, in order; waits until something does. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`Diagnosis`] if the session is of no more use.
    pub(super) async fn next(&mut self) -> Result<Vec<Notification>, Diagnosis> {
        let heard = self.ear.next().await?;
        self.has_heard = true;
        Ok(heard)
    }

    /// Asks the server whether it is there, if that is due: after each word, so that as little as may be is looked for again
    /// after a cut, and now and then where nothing is said. Gives what came before it answered, which counts as heard.
    ///
    /// # Errors
    ///
    /// [`Diagnosis`] if the session is of no more use.
    pub(super) async fn prove(&mut self, now: Instant) -> Result<Vec<Notification>, Diagnosis> {
        if !self.has_heard && now.duration_since(self.since) < PROVE_EVERY {
            return Ok(Vec::new());
        }
        let asked = self.clock.now();
        self.ear.prove().await?;
        let heard = self.ear.next().now_or_never().transpose()?.unwrap_or_default();
        (self.heard_until, self.since, self.has_heard) = (asked, now, false);
        Ok(heard)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use jiff::SignedDuration;
    use plinth_connections::{Fault, Stage};
    use plinth_core::ManualClock;

    use super::*;

    /// A server that takes two seconds for each answer, and what it said or will say before it goes.
    struct Server {
        clock: Arc<ManualClock>,
        said: Mutex<Vec<Notification>>,
        is_gone: Mutex<bool>,
    }

    struct Hears(Arc<Server>);

    impl Hears {
        fn answer(&self) -> Result<(), Diagnosis> {
            self.0.clock.advance(SignedDuration::from_secs(2));
            if *self.0.is_gone.lock().expect("not poisoned") { Err(gone()) } else { Ok(()) }
        }
    }

    #[async_trait]
    impl Ear for Hears {
        async fn listen_to(&mut self, _: &[String]) -> Result<(), Diagnosis> {
            self.answer()
        }

        async fn next(&mut self) -> Result<Vec<Notification>, Diagnosis> {
            let said = std::mem::take(&mut *self.0.said.lock().expect("not poisoned"));
            if said.is_empty() { std::future::pending().await } else { Ok(said) }
        }

        async fn prove(&mut self) -> Result<(), Diagnosis> {
            self.answer()
        }
    }

    fn gone() -> Diagnosis {
        Diagnosis {
            stage: Stage::Connect,
            fault: Fault::Disconnected,
            title: "gone".to_owned(),
            explanation: String::new(),
            fix_steps: Vec::new(),
            retryable: true,
        }
    }

    fn said() -> Vec<Notification> {
        vec![Notification { channel: "orders".to_owned(), payload: "7".to_owned() }]
    }

    #[tokio::test]
    async fn all_is_heard_until_the_last_question_that_was_answered() {
        let begun: Timestamp = "2026-01-01T12:00:00Z".parse().expect("a time");
        let at = |seconds: i64| begun + SignedDuration::from_secs(seconds);
        let clock = Arc::new(ManualClock::at(begun));
        let server = Arc::new(Server {
            clock: clock.clone(),
            said: Mutex::default(),
            is_gone: Mutex::default(),
        });
        let (ear, first) = (Box::new(Hears(server.clone())), Instant::now());
        let mut it =
            Proven::listen(ear, clock.clone(), &["orders".to_owned()]).await.expect("hears");
        assert_eq!(it.heard_until(), at(0), "when it asked to hear");

        // Nothing is said, and nobody asks yet.
        clock.advance(SignedDuration::from_secs(8));
        assert_eq!(it.prove(first + PROVE_EVERY / 2).await, Ok(Vec::new()));
        assert_eq!(it.heard_until(), at(0));
        let second = first + PROVE_EVERY * 2;
        it.prove(second).await.expect("answered");
        assert_eq!(it.heard_until(), at(10), "when it was asked, and not when it answered");

        // A word does not say since when it was on its way. It is asked for soon after, and what comes before the answer is heard.
        clock.advance(SignedDuration::from_secs(8));
        *server.said.lock().expect("not poisoned") = said();
        assert_eq!(it.next().await, Ok(said()));
        assert_eq!(it.heard_until(), at(10));
        *server.said.lock().expect("not poisoned") = said();
        assert_eq!(it.prove(second).await, Ok(said()));
        assert_eq!(it.heard_until(), at(20));
        assert_eq!(it.prove(second).await, Ok(Vec::new()));
        assert_eq!(it.heard_until(), at(20), "nothing came since");

        // The server goes without a word.
        clock.advance(SignedDuration::from_secs(28));
        *server.is_gone.lock().expect("not poisoned") = true;
        assert_eq!(it.prove(second + PROVE_EVERY).await, Err(gone()));
        assert_eq!(it.heard_until(), at(20));
    }
}
