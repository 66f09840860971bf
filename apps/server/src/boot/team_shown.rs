use std::time::Duration;

use async_trait::async_trait;
use plinth_control_plane::{ControlPlane, ControlPlaneError, Rule};
use plinth_core::chain;
use plinth_tenancy::outbox::{Delivery, Failure, Waiting};

/// How often other work on the database is waited for before the message is put off.
const ATTEMPTS: usize = 20;
/// The pause between.
const PAUSE: Duration = Duration::from_secs(1);

/// Shows an organization's team in its own database when it has changed.
pub(crate) struct TeamShown {
    control_plane: ControlPlane,
}

impl TeamShown {
    pub(crate) fn new(control_plane: ControlPlane) -> Self {
        Self { control_plane }
    }
}

#[async_trait]
impl Delivery for TeamShown {
    async fn deliver(&self, message: &Waiting) -> Result<(), Failure> {
        for attempt in 1.. {
            match self.control_plane.keep_team(message.message.org).await {
                Ok(()) => break,
                Err(ControlPlaneError::Busy | ControlPlaneError::Rule(Rule::NotReady))
                    if attempt < ATTEMPTS =>
                {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(err) => return Err(Failure::Temporary(chain(&err))),
            }
        }
        Ok(())
    }
}
