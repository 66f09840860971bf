//! A session that hears what its database says.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use plinth_connections::listening::{Ear, Notification, TargetListener};
use plinth_connections::{ConnectionId, Diagnosis, Target};
use tokio::time::Instant;

use crate::TargetDatabases;
use crate::diagnose;
use crate::pool::{NoSession, PooledSession};
use crate::session::{Broken, State};
use crate::wire::{Frame, ServerError};

/// How long the server may take for what costs it nothing.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// What lies unread of one session at most; a flood beyond it waits in the server.
const MOST_AT_ONCE: usize = 4_096;

struct Listening {
    session: PooledSession,
    channels: BTreeSet<String>,
    /// What came while something else was asked.
    heard: Vec<Notification>,
}

impl Listening {
    /// Sends what is in the outbox and waits for the answer, keeping what is heard meanwhile.
    async fn answered(&mut self) -> Result<(), Diagnosis> {
        let until = Instant::now() + ANSWER_LIMIT;
        let broken = |_: Broken| diagnose::disconnected(None);
        self.session.send_by(until).await.map_err(broken)?;
        let mut refused = None;
        loop {
            match self.session.receive_by(until).await.map_err(broken)? {
                Frame::Ready(_) => return refused.map_or(Ok(()), Err),
                Frame::Notification(it) => self.heard.push(it),
                Frame::Error(it) => {
                    let it = ServerError::read(&it).map_err(|_| diagnose::broken_protocol())?;
                    refused = Some(diagnose::disconnected(Some(&it)));
                }
                _ => {}
            }
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // Nothing runs on it that had to be cancelled, and nobody else can use it.
        self.session.state = State::Dead;
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[async_trait]
impl Ear for Listening {
    async fn listen_to(&mut self, channels: &[String]) -> Result<(), Diagnosis> {
        let wanted: BTreeSet<String> = channels.iter().cloned().collect();
        let mut statements: Vec<String> = Vec::new();
        statements
            .extend(wanted.difference(&self.channels).map(|it| format!("LISTEN {}", quoted(it))));
        statements
            .extend(self.channels.difference(&wanted).map(|it| format!("UNLISTEN {}", quoted(it))));
        for sql in &statements {
            self.session
                .write_statement(sql, &[], false)
                .map_err(|_| diagnose::broken_protocol())?;
            self.session.end_batch();
            self.answered().await?;
        }
        self.channels = wanted;
        Ok(())
    }

    async fn next(&mut self) -> Result<Vec<Notification>, Diagnosis> {
        let mut heard = std::mem::take(&mut self.heard);
        let broken = |_: Broken| diagnose::disconnected(None);
        loop {
            let frame = if heard.is_empty() {
                Some(self.session.receive().await.map_err(broken)?)
            } else if heard.len() < MOST_AT_ONCE {
                self.session.frames.next().map_err(|_| diagnose::broken_protocol())?
            } else {
                None
            };
            match frame {
                Some(Frame::Notification(it)) => heard.push(it),
                // Said by a server that stops.
                Some(Frame::Error(_)) => return Err(diagnose::disconnected(None)),
                Some(_) => {}
                None => return Ok(heard),
            }
        }
    }

    async fn prove(&mut self) -> Result<(), Diagnosis> {
        self.session.end_batch();
        self.answered().await
    }
}

#[async_trait]
impl TargetListener for TargetDatabases {
    async fn open_ear(&self, target: &Target) -> Result<Box<dyn Ear>, Diagnosis> {
        // A pool of its own, so that whoever asks questions does not wait for who listens.
        let own = target.connection.and_then(|it| {
            let other: Result<ConnectionId, _> =
                format!("conn_{:032x}", it.as_uuid().as_u128() ^ 0x5a).parse();
            other.ok()
        });
        let target = Target { connection: own, ..target.clone() };
        let mut session = self.pooled(&target).await.map_err(NoSession::into_diagnosis)?;
        if !session.direct {
            return Err(diagnose::behind_a_pooler());
        }
        session.take_up().map_err(|_| diagnose::disconnected(None))?;
        session.frames.keeps_notifications = true;
        Ok(Box::new(Listening { session, channels: BTreeSet::new(), heard: Vec::new() }))
    }
}
