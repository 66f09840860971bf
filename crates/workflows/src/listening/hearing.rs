//! One database, listened to as long as it is this server's.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use plinth_connections::Diagnosis;
use plinth_connections::listening::Notification;
use plinth_core::{Classify as _, Permit, QueriesRead, StoreError};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, interval, sleep, timeout};

use super::proof::Proven;
use super::rate::Rates;
use super::{Heard, LISTEN_LEASE, ListenParts, Listened, Listener};
use crate::exact;

/// How often the lease is kept, floods are told, and it is looked who listens.
const KEEP_EVERY: Duration = Duration::from_secs(1);

/// The shortest and the longest pause before a database is dialled again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// How long what was heard is tried to be written where our own database does not answer.
const WRITE_LIMIT: Duration = Duration::from_secs(20);

pub(super) struct Hearing {
    parts: Arc<ListenParts>,
    it: Listened,
    stopped: watch::Receiver<bool>,
    rates: Rates,
    /// Until when all that was said was heard, by this server; before its first session, when it began to try.
    heard_until: Timestamp,
    /// Since when nobody hears, with why it is not known what was said; `None` while somebody does, and before anybody did.
    deaf_since: Option<Timestamp>,
    /// Whether that it cannot be reached was told.
    told: bool,
}

/// Why hearing ends.
enum Over {
    /// It is another server's, or this one stops, or nobody wants it any more.
    Lost,
    /// The session, and with it what is said until there is another.
    Cut(Diagnosis),
    /// There is nobody in whose name to listen, or the connection may not be used.
    Barred(String),
}

impl From<StoreError> for Over {
    fn from(err: StoreError) -> Self {
        // Without our own database nothing can be written; the lease decides who goes on.
        tracing::warn!(error = plinth_core::chain(&err), "what a database says cannot be written");
        Self::Lost
    }
}

impl Hearing {
    pub(super) fn new(
        parts: Arc<ListenParts>,
        it: Listened,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        let (deaf_since, heard_until) = (it.heard_until, parts.clock.now());
        Self { parts, it, stopped, rates: Rates::default(), heard_until, deaf_since, told: false }
    }

    pub(super) async fn run(mut self) {
        let mut pause = PAUSES.0;
        loop {
            let begun = Instant::now();
            let why = match self.hear().await {
                Over::Lost => break,
                Over::Cut(diagnosis) => format!("it cannot listen: {}", diagnosis.title),
                Over::Barred(why) => format!("it cannot listen: {why}"),
            };
            // What held for a while is dialled again at once.
            pause = if begun.elapsed() > PAUSES.1 { PAUSES.0 } else { (pause * 2).min(PAUSES.1) };
            // Not since now: it was over when nobody knew it yet.
            self.deaf_since.get_or_insert(self.heard_until);
            if !self.told && self.tell_all(&why).await.is_ok() {
                self.told = true;
            }
            if self.wait(pause).await.is_err() {
                break;
            }
        }
        let _ = self.tell_floods(None).await;
        let _ = self.parts.store.release(&self.it).await;
    }

    /// Waits, and stays the one who listens meanwhile.
    async fn wait(&mut self, pause: Duration) -> Result<(), Over> {
        let until = Instant::now() + pause;
        while Instant::now() < until {
            tokio::select! {
                () = sleep(KEEP_EVERY.min(until - Instant::now())) => {}
                _ = self.stopped.changed() => return Err(Over::Lost),
            }
            self.keep(None).await?;
        }
        Ok(())
    }

    async fn keep(&self, heard_until: Option<Timestamp>) -> Result<(), Over> {
        let keep = self.parts.store.keep(&self.it, LISTEN_LEASE, heard_until);
        match timeout(LISTEN_LEASE, keep).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) | Err(_) => Err(Over::Lost),
            Ok(Err(err)) => Err(err.into()),
        }
    }

    /// Those whose owners may ask: nobody else hears.
    async fn listeners(&self) -> Result<Vec<Listener>, Over> {
        let all = self.parts.store.listeners(self.it.org, self.it.connection).await?;
        Ok(all)
    }

    async fn open(&self, listeners: &[Listener]) -> Result<Proven, Over> {
        let mut barred = "no owner of a workflow that listens may ask this database".to_owned();
        for it in listeners {
            let Some(owner) = self.parts.members.acting(self.it.org, it.owner).await? else {
                continue;
            };
            if Permit::<QueriesRead>::check(&owner).is_err() {
                continue;
            }
            let opened = match self.parts.connections.open(&owner, self.it.connection).await {
                Ok(opened) => opened,
                Err(err) if err.kind().is_ours() => return Err(Over::Lost),
                Err(err) => {
                    barred = err.to_string();
                    continue;
                }
            };
            if !opened.connection.place.may_be_checked() {
                return Err(Over::Barred(
                    "listening would keep this database from sleeping".to_owned(),
                ));
            }
            let ear = self.parts.databases.open_ear(&opened.target).await.map_err(Over::Cut)?;
            let (clock, channels) = (self.parts.clock.clone(), channels(listeners));
            return Proven::listen(ear, clock, &channels).await.map_err(Over::Cut);
        }
        Err(Over::Barred(barred))
    }

    async fn hear(&mut self) -> Over {
        match self.hear_on().await {
            Ok(over) | Err(over) => over,
        }
    }

    async fn hear_on(&mut self) -> Result<Over, Over> {
        let mut listeners = self.listeners().await?;
        if listeners.is_empty() {
            return Ok(Over::Lost);
        }
        let mut ear = self.open(&listeners).await?;
        self.heard_until = ear.heard_until();
        if let Some(since) = self.deaf_since.take() {
            // Only now: what is said from here on is heard, so that a run which catches up leaves nothing out.
            self.tell_gap(&listeners, since).await?;
        }
        self.told = false;
        self.keep(Some(self.heard_until)).await?;
        let mut beat = interval(KEEP_EVERY);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                heard = ear.next() => {
                    let heard = heard.map_err(Over::Cut)?;
                    self.take_up(&listeners, &heard).await?;
                }
                _ = beat.tick() => {
                    let heard = ear.prove(Instant::now()).await.map_err(Over::Cut)?;
                    self.take_up(&listeners, &heard).await?;
                    // Only now: what was heard and not written is not heard.
                    self.heard_until = ear.heard_until();
                    self.keep(Some(self.heard_until)).await?;
                    self.tell_floods(Some(self.parts.clock.now())).await?;
                    let now = self.listeners().await?;
                    if now.is_empty() {
                        return Ok(Over::Lost);
                    }
                    if channels(&now) != channels(&listeners) {
                        ear.listen_to(&channels(&now)).await.map_err(Over::Cut)?;
                    }
                    listeners = now;
                }
                _ = self.stopped.changed() => return Ok(Over::Lost),
            }
        }
    }

    /// Makes runs of what was heard, and counts what is too much.
    async fn take_up(
        &mut self,
        listeners: &[Listener],
        heard: &[Notification],
    ) -> Result<(), Over> {
        let now = self.parts.clock.now();
        let mut runs = Vec::new();
        for notification in heard {
            for it in listeners.iter().filter(|it| it.channel == notification.channel) {
                if self.rates.admit(it.workflow, it.per_minute, now) {
                    runs.push(Heard {
                        workflow: it.workflow,
                        channel: it.channel.clone(),
                        payload: Some(payload(notification)),
                        outcome: "queued".to_owned(),
                    });
                }
            }
        }
        if runs.is_empty() {
            return Ok(());
        }
        self.write(&runs).await?;
        self.parts.bell.ring();
        Ok(())
    }

    /// Writes, and tries it again while our own database does not answer: what was heard is not said again.
    async fn write(&self, heard: &[Heard]) -> Result<(), Over> {
        let until = Instant::now() + WRITE_LIMIT;
        loop {
            match self.parts.store.write(&self.it, heard).await {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(Over::Lost),
                Err(err) if Instant::now() >= until => return Err(err.into()),
                Err(_) => sleep(Duration::from_millis(250)).await,
            }
        }
    }

    /// Tells since when something may have been missed, and makes a run of those workflows that catch up by one.
    async fn tell_gap(&self, listeners: &[Listener], since: Timestamp) -> Result<(), Over> {
        let what = format!("it listens again; what was said since {since:.0} may have been missed");
        self.write_all(listeners, &what).await?;
        let runs: Vec<Heard> = listeners
            .iter()
            .filter(|it| it.runs_on_gap)
            .map(|it| Heard {
                workflow: it.workflow,
                channel: it.channel.clone(),
                payload: Some(gap(&it.channel, since)),
                outcome: "queued".to_owned(),
            })
            .collect();
        if !runs.is_empty() {
            self.write(&runs).await?;
            self.parts.bell.ring();
        }
        Ok(())
    }

    async fn tell_all(&self, what: &str) -> Result<(), Over> {
        let listeners = self.listeners().await?;
        self.write_all(&listeners, what).await
    }

    async fn write_all(&self, listeners: &[Listener], what: &str) -> Result<(), Over> {
        let events: Vec<Heard> = listeners
            .iter()
            .map(|it| Heard {
                workflow: it.workflow,
                channel: it.channel.clone(),
                payload: None,
                outcome: what.to_owned(),
            })
            .collect();
        if events.is_empty() { Ok(()) } else { self.write(&events).await }
    }

    /// Tells what was skipped in minutes that are over, or without a time all of it.
    async fn tell_floods(&mut self, now: Option<Timestamp>) -> Result<(), Over> {
        let floods = match now {
            Some(now) => self.rates.floods(now),
            None => self.rates.rest(),
        };
        let events: Vec<Heard> = floods
            .into_iter()
            .map(|it| Heard {
                workflow: it.workflow,
                channel: String::new(),
                payload: None,
                outcome: format!(
                    "{} notifications were skipped: more came in a minute than `per_minute`",
                    it.skipped
                ),
            })
            .collect();
        if events.is_empty() { Ok(()) } else { self.write(&events).await }
    }
}

fn channels(listeners: &[Listener]) -> Vec<String> {
    let mut channels: Vec<String> = listeners.iter().map(|it| it.channel.clone()).collect();
    channels.sort();
    channels.dedup();
    channels
}

/// What templates read as `notify`: the payload as JSON where it is some, and as it came.
pub(crate) fn payload(it: &Notification) -> Value {
    let text = it.payload.replace('\0', "\u{fffd}");
    // One level deeper than it will stand, so that what is kept can be read again.
    let parsed = match exact::read(&format!("[{text}]")) {
        Some(Value::Array(mut one)) if one.len() == 1 => one.pop(),
        _ => None,
    };
    json!({
        "channel": it.channel,
        "payload": parsed.unwrap_or_else(|| text.clone().into()),
        "text": text,
        "gap": false,
        "since": null,
    })
}

/// What templates read as `notify` where nobody knows what was said.
pub(crate) fn gap(channel: &str, since: Timestamp) -> Value {
    json!({ "channel": channel, "payload": null, "text": "", "gap": true, "since": since.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(payload_text: &str) -> Value {
        let notification =
            Notification { channel: "orders".to_owned(), payload: payload_text.to_owned() };
        let mut read = payload(&notification);
        assert_eq!(read["text"], payload_text, "as it came");
        read["payload"].take()
    }

    #[test]
    fn payloads_keep_what_they_say() {
        for (text, expected) in [
            (r#"{"id":123456789012345678901}"#, json!({ "id": "123456789012345678901" })),
            (r#"{"id":7,"note":"a\u0000\ud800"}"#, json!({ "id": 7, "note": "a\u{fffd}\u{fffd}" })),
            (r#"{"id":7,"far":1e400}"#, json!({ "id": 7, "far": "1e400" })),
            ("1e400", json!("1e400")),
            ("", json!("")),
            ("1],[2", json!("1],[2")),
            ("1,2", json!("1,2")),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
        let (just, deeper) =
            (format!("{}{}", "[".repeat(126), "]".repeat(126)), "[".repeat(127) + &"]".repeat(127));
        assert!(read(&just).is_array(), "it can be read again where it stands");
        assert_eq!(read(&deeper), json!(deeper));
    }
}
