use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{Cluster, Stopped, WATCH_EVERY};
use crate::error::ClusterError;

impl Cluster {
    /// Keeps the server running until `until` is done, then stops it in order.
    ///
    /// A server that dies is started again on the same port, so that whoever uses it need only
    /// reconnect: after a tenth of a second, then ever more slowly up to half a minute. The log
    /// file is kept small meanwhile.
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop). A start that fails is logged and tried again.
    pub async fn supervise(
        mut self,
        until: impl Future<Output = ()>,
    ) -> Result<Stopped, ClusterError> {
        let mut until = pin!(until);
        let port = self.running.as_ref().map(|running| running.port).or(self.settings.port);
        let mut watch = tokio::time::interval(WATCH_EVERY);
        watch.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut pause = Pause::default();
        let mut started = Instant::now();
        loop {
            if self.running.is_none() {
                tokio::select! {
                    () = &mut until => break,
                    () = sleep(pause.next()) => {}
                }
                let start = tokio::select! {
                    () = &mut until => break,
                    start = self.start_on(port) => start,
                };
                match start {
                    Ok(_) => started = Instant::now(),
                    Err(error) => {
                        tracing::error!(folder = %self.folder.home().display(), %error, "PostgreSQL could not be started again");
                        continue;
                    }
                }
            }
            tokio::select! {
                () = &mut until => break,
                how = self.exited() => {
                    tracing::error!(folder = %self.folder.home().display(), how, "PostgreSQL ended unexpectedly and is started again");
                    if started.elapsed() > Pause::LONGEST {
                        pause = Pause::default();
                    }
                }
                _ = watch.tick() => self.limit_log(),
            }
        }
        self.stop().await
    }
}

/// Pauses between attempts to start a server again.
#[derive(Default)]
struct Pause {
    attempts: u32,
}

impl Pause {
    const LONGEST: Duration = Duration::from_secs(30);

    fn next(&mut self) -> Duration {
        let pause = Duration::from_millis(100) * 2u32.pow(self.attempts.min(9));
        self.attempts += 1;
        pause.min(Self::LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_their_limit() {
        let mut pause = Pause::default();
        let first: Vec<_> = (0..4).map(|_| pause.next().as_millis()).collect();
        assert_eq!(first, [100, 200, 400, 800]);
        assert_eq!((0..40).map(|_| pause.next()).max(), Some(Pause::LONGEST));
    }
}
