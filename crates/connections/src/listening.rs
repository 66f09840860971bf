//! Hearing what a database says by itself: Postgres's `NOTIFY`.

use async_trait::async_trait;

use crate::{Diagnosis, Target};

/// What a database said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// On which channel.
    pub channel: String,
    /// What; empty where nothing was said. Less than 8,000 bytes, by Postgres's own rule.
    pub payload: String,
}

/// Listens to customers' databases.
#[async_trait]
pub trait TargetListener: Send + Sync + 'static {
    /// Opens a session of its own that listens on nothing yet.
    ///
    /// # Errors
    ///
    /// [`Diagnosis`], also for a pooling proxy, behind which nothing can be heard.
    async fn open_ear(&self, target: &Target) -> Result<Box<dyn Ear>, Diagnosis>;
}

/// A session that listens. Dropped, it ends.
#[async_trait]
pub trait Ear: Send {
    /// Listens on exactly these channels from now on; what comes meanwhile is kept.
    ///
    /// # Errors
    ///
    /// [`Diagnosis`] if the session is of no more use.
    async fn listen_to(&mut self, channels: &[String]) -> Result<(), Diagnosis>;

    /// What came, in order; waits until something does. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`Diagnosis`] if the session is of no more use.
    async fn next(&mut self) -> Result<Vec<Notification>, Diagnosis>;

    /// Proves that the server is still there.
    ///
    /// # Errors
    ///
    /// [`Diagnosis`] if it does not answer within some seconds.
    async fn prove(&mut self) -> Result<(), Diagnosis>;
}
