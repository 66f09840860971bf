use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use plinth_core::{Clock, Permission as _, StoreError, WorkflowsWrite};
use plinth_tenancy::Tenancy;
use plinth_tenancy::outbox::Letter;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::EvaluationId;
use super::alert::{Alert, Evaluation};
use super::ports::{AlertStore, Conclusion, Told, Whom};
use super::rules::{AlertRules, RESULT};
use super::standing::{AlertState, Notice, Outcome, Standing, Telling};
use crate::condition::Results;
use crate::definition::{Step, StepKind};
use crate::ports::{Fault, Found, Members, StepRunner};
use crate::result::Glance;
use crate::template::{About, Context};
use crate::worker::{KEEP_EVERY, LEASE};

/// How often it is looked for alerts that are due. Schedules count minutes, and a change wakes the worker of its process.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Evaluations under way in this process, and about how many of one organization in all processes, at most.
const AT_ONCE: usize = 16;
const PER_ORGANIZATION: i32 = 8;

/// How often an evaluation is tried before it has failed, and the pause before the second try, which doubles.
const TRIES: i32 = 4;
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// How long evaluations that are under way at a stop may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// How long a value is in a letter, in characters.
const SHOWN_CHARS: usize = 80;

/// The most rows of a query that an alert judges.
const MOST_ROWS: u64 = 10_000;

/// What a worker of alerts is put together from.
pub struct AlertWorkerParts {
    /// Where alerts are kept.
    pub store: Arc<dyn AlertStore>,
    /// Who owners are now.
    pub members: Arc<dyn Members>,
    /// Asks what alerts ask.
    pub steps: Arc<dyn StepRunner>,
    /// Time zones of organizations.
    pub tenancy: Tenancy,
    /// Wakes it when an alert is due by what somebody did.
    pub woken: Arc<Notify>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Evaluates alerts. Any number of processes may, over one database.
#[derive(Clone)]
pub struct AlertWorker {
    parts: Arc<AlertWorkerParts>,
}

impl AlertWorker {
    /// Puts it together.
    pub fn new(parts: AlertWorkerParts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// Works until it is told to stop.
    pub async fn work(&self, mut stopped: watch::Receiver<bool>) {
        let mut running: JoinSet<()> = JoinSet::new();
        let mut look = Instant::now();
        while !*stopped.borrow() {
            let free = AT_ONCE.saturating_sub(running.len());
            if free > 0 && Instant::now() >= look {
                look = Instant::now() + LOOK_EVERY;
                match self.take(free).await {
                    Ok(taken) => self.start(taken, &mut running),
                    Err(err) => {
                        let error = plinth_core::chain(&err);
                        tracing::warn!(error, "alerts cannot be read; it will be tried again");
                    }
                }
            }
            tokio::select! {
                _ = running.join_next(), if !running.is_empty() => {}
                () = self.parts.woken.notified() => look = Instant::now(),
                () = tokio::time::sleep_until(look), if free > 0 => {}
                _ = stopped.changed() => {}
            }
        }
        let _ = timeout(GRACE, async { while running.join_next().await.is_some() {} }).await;
    }

    /// Evaluates everything that is due now; says how much that was.
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

    async fn take(&self, most: usize) -> Result<Vec<Alert>, StoreError> {
        self.parts.store.take(most, PER_ORGANIZATION, LEASE).await
    }

    fn start(&self, taken: Vec<Alert>, running: &mut JoinSet<()>) {
        for alert in taken {
            let worker = self.clone();
            running.spawn(async move {
                match worker.evaluate(&alert).await {
                    Ok(true) => {}
                    Ok(false) => tracing::info!(alert.id = %alert.id, "the alert was changed or taken over"),
                    Err(err) => {
                        let error = plinth_core::chain(&err);
                        tracing::warn!(alert.id = %alert.id, error, "the alert cannot be written down; it goes on later");
                    }
                }
            });
        }
    }

    /// Evaluates one alert that was taken; `false` if it was lost meanwhile: then its statement is stopped too.
    async fn evaluate(&self, alert: &Alert) -> Result<bool, StoreError> {
        let Some(owner) = self.parts.members.acting(alert.org, alert.owner).await? else {
            return self.pause(alert, "its owner left the organization").await;
        };
        if WorkflowsWrite::check(&owner).is_err() {
            return self.pause(alert, "its owner may not make alerts any more").await;
        }
        // A newer server may have written what this one does not understand.
        let Ok(rules) = AlertRules::of(alert) else {
            return self.again(alert, 0).await;
        };
        let started_at = self.parts.clock.now();
        let step = Step {
            name: RESULT.to_owned(),
            kind: StepKind::Query {
                query: alert.query,
                parameters: alert.parameters.clone(),
                // Of one from before this was noted, as of a widget: the first.
                version: Some(alert.query_version.unwrap_or(1)),
            },
            row_limit: MOST_ROWS,
            time: None,
        };
        let context = Context::new(About::default(), None);
        let asking = self.parts.steps.run(&owner, &step, &context);
        let Some(asked) = self.while_held(alert, asking).await? else { return Ok(false) };
        if let Err(fault) = &asked
            && fault.is_temporary
            && alert.tried + 1 < TRIES
        {
            return self.again(alert, alert.tried).await;
        }
        let conclusion = self.conclude(alert, &rules, asked, started_at).await?;
        match self.settle(alert, &conclusion).await {
            Err(StoreError::Internal(err)) => {
                let error = plinth_core::chain(&*err);
                tracing::error!(alert.id = %alert.id, error, "what an alert found cannot be stored");
            }
            settled => return settled,
        }
        // It would be asked again at once, and again, and never get further.
        let fault = Fault::permanent("what it found cannot be stored");
        let conclusion = self.conclude(alert, &rules, Err(fault), started_at).await?;
        match self.settle(alert, &conclusion).await {
            Err(StoreError::Internal(_)) => self.again(alert, alert.tried).await,
            settled => settled,
        }
    }

    async fn settle(&self, alert: &Alert, conclusion: &Conclusion) -> Result<bool, StoreError> {
        let (org, id, fence) = (alert.org, alert.id, alert.fence);
        match self.parts.store.conclude(org, id, fence, conclusion).await {
            // Perhaps it was in another's way, who is gone by now.
            Err(StoreError::Internal(_)) => {
                self.parts.store.conclude(org, id, fence, conclusion).await
            }
            settled => settled,
        }
    }

    /// Waits for something as long as the alert is ours; `None` if it is not any more.
    async fn while_held<T>(
        &self,
        alert: &Alert,
        work: impl Future<Output = T>,
    ) -> Result<Option<T>, StoreError> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(Some(done)),
                () = tokio::time::sleep(KEEP_EVERY) => {
                    let kept = self.parts.store.keep(alert.org, alert.id, alert.fence, LEASE).await;
                    match kept {
                        Ok(true) => {}
                        Ok(false) => return Ok(None),
                        // Storage may be back before the lease is over; else another has it, and the fence holds.
                        Err(err) => {
                            let error = plinth_core::chain(&err);
                            tracing::warn!(alert.id = %alert.id, error, "the lease of an alert cannot be kept");
                        }
                    }
                }
            }
        }
    }

    async fn again(&self, alert: &Alert, tried: i32) -> Result<bool, StoreError> {
        let pause = FIRST_PAUSE * 2u32.pow(u32::try_from(tried).unwrap_or(0).min(10));
        self.parts.store.again(alert.org, alert.id, alert.fence, pause).await
    }

    async fn pause(&self, alert: &Alert, why: &'static str) -> Result<bool, StoreError> {
        let at = self.parts.clock.now();
        let letter = Letter::AlertPaused { alert: alert.name.clone(), reason: why.to_owned(), at };
        let conclusion = Conclusion {
            name: alert.name.clone(),
            episode_before: alert.standing.episode,
            standing: alert.standing,
            evaluation: None,
            due_at: None,
            pause: Some(why),
            told: vec![Told { to: Whom::Managers, letter }],
            at,
        };
        self.parts.store.conclude(alert.org, alert.id, alert.fence, &conclusion).await
    }

    async fn conclude(
        &self,
        alert: &Alert,
        rules: &AlertRules,
        asked: Result<Found, Fault>,
        started_at: Timestamp,
    ) -> Result<Conclusion, StoreError> {
        let now = self.parts.clock.now();
        let fits =
            |found: Found| rules.condition.fits(RESULT, &found.result.columns).map(|()| found);
        let (verdict, glance, query, error) = match asked.and_then(fits) {
            Ok(found) => {
                let before = match rules.condition.looks_back() {
                    0 => Vec::new(),
                    most => {
                        // Only at what was found as who owns it now: else conditions would tell them what others found.
                        self.parts.store.glances(alert.org, alert.id, alert.owner, most).await?
                    }
                };
                let glance = Glance::from(&found.result);
                let results = Results::from([(RESULT.to_owned(), Arc::new(found.result))]);
                let verdict = rules.condition.judge(&results, &before);
                (Some(verdict), Some(glance), Some(found.query), None)
            }
            Err(fault) => (None, None, None, Some(fault.message)),
        };
        let outcome = verdict.map_or(Outcome::Failed, Outcome::Judged);
        let telling = Telling {
            is_muted: alert.is_muted(now),
            rearm: rules.rearm,
            resolved: rules.notify.resolved,
            unknown: rules.notify.unknown,
        };
        let (standing, notice) = alert.standing.next(outcome, &telling, now);
        let found = glance.as_ref().map(shown).unwrap_or_default();
        let mut told = notice.map_or_else(Vec::new, |notice| {
            let letter = letter(alert, &standing, notice, found, error.as_deref(), now);
            whom(notice, rules).map(|to| Told { to, letter: letter.clone() }).collect()
        });
        // What is told anyway says that it works again, but not to an owner who gets nothing else, nor is it for others who were
        // told that it cannot be judged.
        let works_again = alert.standing.trouble_told && !standing.trouble_told;
        if works_again && !telling.is_muted {
            let was_unknown = telling.unknown && alert.standing.state == AlertState::Unknown;
            let others = rules.notify.emails.iter().filter(|_| was_unknown);
            for to in std::iter::once(Whom::Owner).chain(others.cloned().map(Whom::Address)) {
                if told.iter().all(|it| it.to != to) {
                    let letter = Letter::AlertRecovered { alert: alert.name.clone(), at: now };
                    told.push(Told { to, letter });
                }
            }
        }
        // What is due is so by the database's clock, and this machine's may be behind it: the slot that was due is over.
        let over = alert.due_at.map_or(now, |due| due.max(now));
        // Where the zone cannot be read now it is UTC, for one slot: the next evaluation plans anew.
        let zone = match self.parts.tenancy.time_zone(alert.org).await {
            Ok(name) => TimeZone::get(&name).unwrap_or(TimeZone::UTC),
            Err(_) => TimeZone::UTC,
        };
        Ok(Conclusion {
            name: alert.name.clone(),
            episode_before: alert.standing.episode,
            evaluation: Some(Evaluation {
                id: EvaluationId::new(now),
                owner: Some(alert.owner),
                state: standing.state,
                verdict,
                glance,
                error,
                query,
                notice,
                tries: alert.tried + 1,
                started_at,
                ended_at: now,
            }),
            standing,
            due_at: rules.timing.next(over, &zone),
            pause: None,
            told,
            at: now,
        })
    }

    /// Forgets evaluations that are old or many.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        let store = &self.parts.store;
        let all = store.organizations().await?;
        let sweep = |org| store.sweep(org, crate::KEPT, crate::KEPT_RUNS);
        Ok(plinth_core::sweep_each("old evaluations", all, sweep).await)
    }
}

/// Who hears of it. That an alert itself does not work concerns its owner alone.
fn whom(notice: Notice, rules: &AlertRules) -> impl Iterator<Item = Whom> {
    let is_its_own = matches!(notice, Notice::Failing | Notice::Recovered);
    let owner = (is_its_own || rules.notify.owner).then_some(Whom::Owner);
    let others = if is_its_own { &[][..] } else { &rules.notify.emails };
    owner.into_iter().chain(others.iter().cloned().map(Whom::Address))
}

fn letter(
    alert: &Alert,
    standing: &Standing,
    notice: Notice,
    found: String,
    error: Option<&str>,
    at: Timestamp,
) -> Letter {
    let name = alert.name.clone();
    let begun = alert.standing.episode.or(standing.episode);
    let since = begun.map_or(standing.since, |it| it.since);
    match notice {
        Notice::Triggered => Letter::AlertTriggered { alert: name, found, since, again: false },
        Notice::Reminder => Letter::AlertTriggered { alert: name, found, since, again: true },
        Notice::Resolved => Letter::AlertResolved { alert: name, found, since, at },
        Notice::Unknown => Letter::AlertUnknown { alert: name, found, at },
        Notice::Failing => {
            let error = error.unwrap_or_default().to_owned();
            Letter::AlertFailing { alert: name, error, at }
        }
        Notice::Recovered => Letter::AlertRecovered { alert: name, at },
    }
}

/// A result in a few words.
fn shown(glance: &Glance) -> String {
    let rows = match glance.row_count {
        1 => "1 row".to_owned(),
        count => format!("{count} rows"),
    };
    if glance.first.is_none() {
        return rows;
    }
    let short = |text: String| -> String {
        text.chars().map(|it| if it.is_control() { ' ' } else { it }).take(SHOWN_CHARS).collect()
    };
    let values: Vec<String> = glance
        .columns
        .iter()
        .zip(glance.texts())
        .take(4)
        .map(|(name, value)| format!("{} = {}", short(name.clone()), short(value)))
        .collect();
    match glance.row_count {
        1 => values.join(", "),
        _ => format!("{rows}, the first with {}", values.join(", ")),
    }
}
