//! Runs that go on: what their steps found before is read again when their turn comes.

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::definition::MOST_STEPS;
use crate::engine::{Engine, Stop, failed};
use crate::held::Held;
use crate::run::Taken;

/// Results that are being read at once: those of one run that has as many as there may be, or of many that have few. Each may have
/// megabytes, which are held only when they are read.
const AT_ONCE: usize = MOST_STEPS;

/// Places for results that are being read.
pub(crate) struct Reading(Semaphore);

impl Default for Reading {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

impl Engine {
    /// Takes a run, which this worker has since then, to its end or as far as it gets.
    pub(crate) async fn take_up(&self, mut run: Taken, since: Instant) -> Result<(), Stop> {
        if run.is_given_up() {
            let times = run.losses;
            let error = format!(
                "it was begun {times} times in a row, and each time its worker died or was cut off"
            );
            return self.end(&run, run.stored, failed(error)).await;
        }
        let mut held = self.holdings.of_one(run.org);
        if run.stored > 0 && !self.read_done(&mut run, &mut held).await? {
            return Ok(());
        }
        self.drive(&run, since, held).await
    }

    /// Reads what is done of a run, and holds it. `false` if the run was put back or ended instead.
    async fn read_done(&self, run: &mut Taken, held: &mut Held) -> Result<bool, Stop> {
        let stored = run.stored;
        let places = u32::try_from(stored.min(AT_ONCE)).unwrap_or(1);
        let reading = self.reading.0.acquire_many(places).await.expect("it is never closed");
        // After waiting: what was read meanwhile counts.
        if self.holdings.are_much(run.org) {
            drop(reading);
            self.come_again(run, stored).await?;
            return Ok(false);
        }
        let done = self.queue.steps(run.org, run.id).await?;
        let Some(done) = done.filter(|it| it.len() == stored) else {
            drop(reading);
            let end = failed("what its steps found cannot be read any more".to_owned());
            self.end(run, stored, end).await?;
            return Ok(false);
        };
        done.iter().filter_map(|it| it.result.as_ref()).for_each(|it| held.add(it));
        run.done = done;
        Ok(true)
    }
}
