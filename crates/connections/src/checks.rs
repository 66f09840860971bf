use futures_util::StreamExt as _;
use jiff::SignedDuration;
use plinth_core::OrgId;
use plinth_tenancy::AuditEntry;
use plinth_tenancy::outbox::{Letter, LetterTo, Message};
use serde_json::json;

use crate::health::with_jitter;
use crate::{
    Checked, Connection, ConnectionError, ConnectionId, Connections, Diagnosis, Fault, Judged, Turn,
};

/// How many connections are looked at side by side.
const AT_ONCE: usize = 16;

/// How many are taken at a time.
const BATCH: usize = 64;

/// How long a server has a connection to itself for looking at it: longer than a whole batch takes when nobody answers.
const LEASE: SignedDuration = SignedDuration::from_mins(2);

/// Looks in the background whether databases answer, and takes those out of use that do not.
///
/// Any number of servers may do this at once: each connection is taken by one of them. Databases that Plinth runs for
/// others are left alone, so that no check ever wakes one that sleeps.
#[derive(Clone)]
pub struct HealthChecks {
    connections: Connections,
    interval: SignedDuration,
}

impl HealthChecks {
    /// Looks at each connection about every `interval`.
    pub fn new(connections: Connections, interval: SignedDuration) -> Self {
        Self { connections, interval }
    }

    /// Looks at all connections that are due; tells how many were.
    ///
    /// # Errors
    ///
    /// Only when our own storage fails; what was not looked at is due again when its lease ends.
    pub async fn tick(&self) -> Result<usize, ConnectionError> {
        let mut looked_at = 0;
        loop {
            let due = self.connections.store.take_checks(BATCH, LEASE).await?;
            let taken = due.len();
            let mut checks = futures_util::stream::iter(due)
                .map(|(org, id)| self.check(org, id))
                .buffer_unordered(AT_ONCE);
            while let Some(ended) = checks.next().await {
                match ended {
                    Ok(()) => looked_at += 1,
                    // Removed since it was taken.
                    Err(ConnectionError::NotFound(_)) => {}
                    // One that cannot be opened must not keep the others from being looked at.
                    Err(err @ ConnectionError::Key(_)) => {
                        tracing::error!(
                            error = plinth_core::chain(&err),
                            "a connection cannot be checked"
                        );
                    }
                    Err(err) => return Err(err),
                }
            }
            if taken < BATCH {
                return Ok(looked_at);
            }
        }
    }

    async fn check(&self, org: OrgId, id: ConnectionId) -> Result<(), ConnectionError> {
        // As it is now: what was read up to a second ago may have been mended since.
        self.connections.uncache(org, id);
        let opened = self.connections.open_for(org, id).await?;
        let found = self.connections.databases.test(&opened.target).await;
        let mut random = [0; 2];
        // Without randomness all are checked at the same pace, which is no harm.
        let _ = getrandom::fill(&mut random);
        let again_in = with_jitter(self.interval, u16::from_be_bytes(random));
        let found = found.map(drop).map_err(Box::new);
        self.connections.keep_check(&opened.connection, found, again_in).await
    }
}

impl Connections {
    /// Keeps what a look at the database found, with all that follows: whether it is used, who is told.
    pub(crate) async fn keep_check(
        &self,
        connection: &Connection,
        found: Result<(), Box<Diagnosis>>,
        again_in: SignedDuration,
    ) -> Result<(), ConnectionError> {
        let now = self.clock.now();
        let judged = match found {
            // It is there, and full: that says nothing of its settings, and may be our own doing.
            Err(it) if it.fault == Fault::TooManyConnections => Judged {
                health: connection.health.clone(),
                activity: connection.activity,
                turn: None,
            },
            found => connection.health.judge(connection.activity, found, now),
        };
        let (entry, message) = match judged.turn {
            None => (None, None),
            Some(turn) => {
                let diagnosis = judged.health.diagnosis.as_deref();
                let since = connection.health.failing_since.unwrap_or(now);
                let (action, letter) = match turn {
                    Turn::Lost => (
                        "connection.lost",
                        Letter::ConnectionLost {
                            connection: connection.name.to_string(),
                            title: diagnosis.map(|it| it.title.clone()).unwrap_or_default(),
                            fix_steps: diagnosis.map(|it| it.fix_steps.clone()).unwrap_or_default(),
                            since,
                        },
                    ),
                    Turn::Recovered => (
                        "connection.recovered",
                        Letter::ConnectionRecovered {
                            connection: connection.name.to_string(),
                            at: now,
                        },
                    ),
                };
                let entry = AuditEntry::of_plinth(connection.org, now, "system", action)
                    .on("connection", connection.id)
                    .with(json!({ "name": connection.name.as_str(), "fault": diagnosis.map(|it| it.fault) }));
                let message = Message::mail(connection.org, now, &LetterTo::Managers, &letter);
                (Some(entry), Some(message))
            }
        };
        let checked = Checked { connection: connection.clone(), judged, again_in, entry, message };
        if self.store.put_check(&checked).await? && checked.judged.turn.is_some() {
            self.uncache(connection.org, connection.id);
        }
        Ok(())
    }
}
