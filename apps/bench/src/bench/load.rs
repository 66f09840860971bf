//! A closed loop: so many clients, each asking as soon as it has its answer.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;

use super::figure::median;
use crate::terminal::quantile;

/// One who asks again and again.
pub(super) trait Asker: Send + 'static {
    /// Asks once and waits for the whole answer.
    ///
    /// # Errors
    /// If the answer is not what it should be: then nothing is measured.
    fn ask(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// What came of some rounds.
#[derive(Clone, Debug, Default)]
pub(super) struct Load {
    /// Answers a second in each round.
    pub(super) rates: Vec<f64>,
    /// Of every answer, in milliseconds.
    latencies_ms: Vec<f64>,
}

impl Load {
    /// Lets all ask for this long, each in a task of its own, and gives them back.
    ///
    /// # Errors
    /// If one of them fails.
    pub(super) async fn round<A: Asker>(
        &mut self,
        askers: Vec<A>,
        long: Duration,
    ) -> Result<Vec<A>> {
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for asker in askers {
            tasks.spawn(ask_until(asker, started + long));
        }
        let mut askers = Vec::new();
        let mut answers: u32 = 0;
        while let Some(done) = tasks.join_next().await {
            let (asker, latencies) = done??;
            answers += u32::try_from(latencies.len())?;
            self.latencies_ms.extend(latencies);
            askers.push(asker);
        }
        self.rates.push(f64::from(answers) / started.elapsed().as_secs_f64());
        Ok(askers)
    }

    /// Answers a second.
    pub(super) fn rate(&self) -> f64 {
        median(self.rates.iter().copied())
    }

    /// The rate, and how long most and nearly all answers took, in words.
    pub(super) fn text(&self) -> String {
        let [p50, p99] = self.quantiles();
        format!("{:.0}/s (p50 {p50:.2}, p99 {p99:.2} ms)", self.rate())
    }

    pub(super) fn json(&self) -> Json {
        let [p50, p99] = self.quantiles();
        json!({ "per_second": self.rates, "p50_ms": p50, "p99_ms": p99 })
    }

    fn quantiles(&self) -> [f64; 2] {
        let mut sorted = self.latencies_ms.clone();
        sorted.sort_by(f64::total_cmp);
        [0.5, 0.99].map(|part| quantile(&sorted, part).unwrap_or_default())
    }
}

async fn ask_until<A: Asker>(mut asker: A, end: Instant) -> Result<(A, Vec<f64>)> {
    let mut latencies = Vec::new();
    let mut before = Instant::now();
    while before < end {
        asker.ask().await?;
        let now = Instant::now();
        latencies.push((now - before).as_secs_f64() * 1000.0);
        before = now;
    }
    Ok((asker, latencies))
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    struct Nobody(u32);

    impl Asker for Nobody {
        async fn ask(&mut self) -> Result<()> {
            if self.0 == 0 {
                bail!("no more");
            }
            self.0 -= 1;
            tokio::task::yield_now().await;
            Ok(())
        }
    }

    #[tokio::test]
    async fn an_answer_that_fails_ends_the_round() {
        let mut load = Load::default();
        let askers = vec![Nobody(u32::MAX), Nobody(3)];
        assert!(load.round(askers, Duration::from_mins(1)).await.is_err());
        assert!(load.rates.is_empty());
    }

    #[tokio::test]
    async fn every_answer_counts() {
        let mut load = Load::default();
        let askers = vec![Nobody(u32::MAX), Nobody(u32::MAX)];
        let askers = load.round(askers, Duration::from_millis(20)).await.unwrap();
        let answers: u32 = askers.iter().map(|asker| u32::MAX - asker.0).sum();
        assert_eq!(load.latencies_ms.len(), usize::try_from(answers).unwrap());
        assert!(load.rate() > 0.0);
    }
}
