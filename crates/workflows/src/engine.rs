//! One run, from where it stands to its end: each result is stored before the next step begins.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::SignedDuration;
use plinth_core::{Clock, Cursor, Permission as _, Principal, StoreError, WorkflowsWrite};
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::actions::{self, Actions, Occasion, Sent};
use crate::condition::{Results, Verdict};
use crate::definition::{Action, ActionKind, Definition};
use crate::discretion;
use crate::gathered::Gathered;
use crate::held::{Held, Holdings};
use crate::hook::HookKey;
use crate::owners::Owners;
use crate::ports::{Ask, Fault, RunQueue, StepRunner, WorkflowStore};
use crate::result::StepResult;
use crate::resumed::Reading;
use crate::run::{Advance, Attempt, Begin, RunEnd, RunState, RunStep, Taken, Then};
use crate::template::{AboutRun, AboutWorkflow, Context};
use crate::writes::{Approval, ApprovalState};
use crate::{RunId, WorkflowId};

/// The pause before the second try; it doubles each time, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// How long a run waits for a server that understands its workflow: updates of all servers take minutes, or some hours.
const WAITS_FOR_NEWER: SignedDuration = SignedDuration::from_hours(24);

/// It pauses as long as after that try.
const UNKNOWN_PAUSE: i32 = 3;

/// How many definitions are remembered.
const REMEMBERED: usize = 1_000;

/// What takes runs to their ends.
pub(crate) struct Engine {
    pub(crate) queue: Arc<dyn RunQueue>,
    pub(crate) store: Arc<dyn WorkflowStore>,
    pub(crate) owners: Owners,
    pub(crate) steps: Arc<dyn StepRunner>,
    pub(crate) actions: Actions,
    pub(crate) hooks: HookKey,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) writer: Gathered<Advance, bool>,
    pub(crate) beginner: Gathered<Begin, bool>,
    pub(crate) known: Mutex<HashMap<(WorkflowId, i32), Known>>,
    pub(crate) holdings: Holdings,
    pub(crate) reading: Reading,
}

/// What a version says, read by whoever needs it first.
pub(crate) type Known = Arc<OnceCell<Arc<Definition>>>;

/// The worker does not have the run any more, or storage failed: it stops where it is, and whoever takes the run over
/// goes on from the last stored step.
pub(crate) enum Stop {
    Lost,
    /// It has ended, because what came of a step cannot be stored.
    Ended,
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(err: StoreError) -> Self {
        Self::Store(err)
    }
}

/// Why there is no definition.
enum Unread {
    Gone,
    /// A newer server may have published it.
    Unknown,
    Store(StoreError),
}

impl From<StoreError> for Unread {
    fn from(err: StoreError) -> Self {
        Self::Store(err)
    }
}

/// How far one run got.
struct Progress {
    /// Since when this worker has it.
    since: Instant,
    context: Context,
    results: Results,
    held: Held,
    tried: i32,
    /// What came of its conditions. Judged once: by the time at which a run is taken up again there may be later ones.
    verdict: Option<Verdict>,
    /// What its actions waited for.
    approvals: Vec<Approval>,
}

/// What came of asking for an approval.
enum Asked {
    /// It may be done.
    Granted,
    /// The run waits, and this worker has it no more.
    Waits,
    /// It may not.
    Refused(Fault),
}

impl Engine {
    /// Takes a run, which this worker has since then, to its end or as far as it gets. What was found before it was taken is read
    /// already, and is held.
    pub(crate) async fn drive(&self, run: &Taken, since: Instant, held: Held) -> Result<(), Stop> {
        let definition = match self.definition(run).await {
            Ok(definition) => definition,
            Err(Unread::Store(err)) => return Err(err.into()),
            Err(Unread::Gone) => {
                let end = failed("its version is gone".to_owned());
                return self.end(run, run.done.len(), end).await;
            }
            // Servers are updated one after the other: one that is newer takes it, if there is one.
            Err(Unread::Unknown) if self.is_young(run) => {
                let then = Then::Again { pause: pause(UNKNOWN_PAUSE, run.id) };
                return self.write(run, run.done.len(), None, None, None, then).await;
            }
            Err(Unread::Unknown) => {
                let end = failed("no server here understands the workflow".to_owned());
                return self.end(run, run.done.len(), end).await;
            }
        };
        let Some(owner) = self.owners.acting(run.org, run.owner, since).await? else {
            let error = "the workflow's owner is no member of the organization any more".to_owned();
            let pause = Some("its owner left the organization");
            return self.end(run, run.done.len(), RunEnd { pause, ..failed(error) }).await;
        };
        // Their role may have become another since they published it.
        if WorkflowsWrite::check(&owner).is_err() {
            let error = "the workflow's owner may not publish workflows any more".to_owned();
            let pause = Some("its owner may not publish workflows any more");
            return self.end(run, run.done.len(), RunEnd { pause, ..failed(error) }).await;
        }
        let mut progress = Progress::of(run, since, held);
        for (at, step) in definition.steps.iter().enumerate().skip(run.done.len()) {
            if progress.held.is_nothing() && self.holdings.are_much(run.org) {
                return self.come_again(run, at).await;
            }
            let begun = self.clock.now();
            let mut done = RunStep {
                position: position(at),
                name: step.name.clone(),
                is_action: false,
                succeeded: true,
                result: None,
                query: None,
                error: None,
                started_at: begun,
                ended_at: begun,
            };
            let Some(left) = left(run, since, &definition, SignedDuration::ZERO) else {
                return self.end(run, at, timed_out(&definition)).await;
            };
            let asked = timeout(left, self.steps.run(&owner, step, &progress.context)).await;
            done.ended_at = self.clock.now();
            match asked.map(|it| it.and_then(|found| definition.takes(step, found))) {
                Err(_) => return self.end(run, at, timed_out(&definition)).await,
                // Its place is for those who get on: a database that hangs, however many wait for it, keeps nobody else's run.
                Ok(Err(fault)) if fault.had_no_turn => return self.come_again(run, at).await,
                Ok(Err(fault)) => {
                    let try_of = Attempt {
                        position: done.position,
                        number: progress.tried + 1,
                        succeeded: Some(false),
                        request: None,
                        response: None,
                        error: Some(fault.message.clone()),
                        started_at: begun,
                        ended_at: Some(done.ended_at),
                    };
                    return self.failed(run, &definition, done, try_of, &fault).await;
                }
                Ok(Ok(found)) => {
                    let result = Arc::new(found.result);
                    progress.add(&step.name, &result);
                    progress.tried = 0;
                    done.result = Some(result);
                    done.query = Some(found.query);
                    // With the last result goes what it means, in one piece; and the run's end, if nothing is done with it.
                    let is_last = at + 1 == definition.steps.len();
                    if is_last {
                        progress.verdict = self.judge(run, &definition, &progress).await?;
                    }
                    let ends = is_last && !progress.acts(&definition);
                    let then = if ends { Then::End(succeeded()) } else { Then::Continue };
                    let verdict = progress.verdict;
                    self.write(run, at, Some(done), None, verdict, then).await?;
                    if ends {
                        return Ok(());
                    }
                }
            }
        }
        if progress.verdict.is_none() && definition.conditions.is_some() {
            // A server that stored the last result without it.
            progress.verdict = self.judge(run, &definition, &progress).await?;
            let verdict = progress.verdict;
            self.write(run, run.done.len(), None, None, verdict, Then::Continue).await?;
        }
        if !progress.acts(&definition) {
            return self.end(run, run.done.len(), succeeded()).await;
        }
        // Boxed: what it keeps is large, and a run has it only at its end.
        Box::pin(self.act(run, &owner, &definition, progress)).await
    }

    async fn act(
        &self,
        run: &Taken,
        owner: &Principal,
        definition: &Definition,
        mut progress: Progress,
    ) -> Result<(), Stop> {
        let steps = definition.steps.len();
        let skip = run.done.len().saturating_sub(steps);
        let failed = run.done.iter().find(|it| !it.succeeded);
        let mut error = failed.and_then(|it| Some(format!("{}: {}", it.name, it.error.as_ref()?)));
        if definition.actions.iter().any(|it| it.approval().is_some()) {
            progress.approvals = self.queue.approvals(run.org, run.id).await?;
        }
        let waited =
            progress.approvals.iter().fold(SignedDuration::ZERO, |sum, it| sum + it.waited());
        for (at, action) in definition.actions.iter().enumerate().skip(skip) {
            let Some(left) = left(run, progress.since, definition, waited) else {
                return self.end(run, steps + at, timed_out(definition)).await;
            };
            let begun = self.clock.now();
            let mut attempt = Attempt {
                position: position(steps + at),
                number: progress.tried + 1,
                succeeded: None,
                request: None,
                response: None,
                error: None,
                started_at: begun,
                ended_at: None,
            };
            let took = match self.approval(run, owner, action, attempt.position, &progress).await? {
                Asked::Waits => return Ok(()),
                Asked::Refused(fault) => Err(fault),
                Asked::Granted => self.take(run, owner, action, &attempt, left, &progress).await?,
            };
            let ended = self.clock.now();
            attempt.ended_at = Some(ended);
            let mut done = RunStep {
                position: attempt.position,
                name: action.name.clone(),
                is_action: true,
                succeeded: true,
                result: None,
                query: None,
                error: None,
                started_at: begun,
                ended_at: ended,
            };
            let is_last = at + 1 == definition.actions.len();
            let fault = match took {
                Ok(sent) => {
                    attempt.succeeded = Some(true);
                    attempt.request = Some(sent.request);
                    attempt.response = Some(sent.response);
                    None
                }
                Err(fault) => Some(fault),
            };
            progress.tried = 0;
            let then = match fault {
                None => end_if(is_last, definition, error.as_ref()),
                Some(fault) => {
                    attempt.succeeded = (!fault.is_unknown()).then_some(false);
                    attempt.request.clone_from(&fault.request);
                    attempt.response.clone_from(&fault.response);
                    attempt.error = Some(fault.message.clone());
                    if !action.continue_on_error || may_retry(&fault, attempt.number, definition) {
                        return self.failed(run, definition, done, attempt, &fault).await;
                    }
                    done.succeeded = false;
                    done.error = Some(fault.message.clone());
                    error.get_or_insert_with(|| format!("{}: {}", action.name, fault.message));
                    end_if(is_last, definition, error.as_ref())
                }
            };
            self.write(run, steps + at, Some(done), Some(attempt), None, then).await?;
        }
        Ok(())
    }

    /// Takes an action, after noting that it is begun.
    async fn take(
        &self,
        run: &Taken,
        owner: &Principal,
        action: &Action,
        attempt: &Attempt,
        left: Duration,
        progress: &Progress,
    ) -> Result<Result<Sent, Fault>, Stop> {
        let writes = matches!(action.kind, ActionKind::Write(_));
        let mut occasion = Occasion {
            run: run.id,
            org: run.org,
            acting: owner.clone(),
            begun: None,
            accepted: BTreeSet::new(),
            at: attempt.started_at,
            secret: None,
        };
        if action.is_signed() {
            let workflow = self.store.find(run.org, run.workflow).await?.ok_or(Stop::Lost)?;
            occasion.secret = Some(self.hooks.calls_secret(workflow.id, workflow.hook_number));
        }
        if writes {
            occasion.begun = self.queue.begun(run.org, run.id, attempt.position).await?;
        }
        if attempt.number > 1 && matches!(action.kind, ActionKind::Email(_)) {
            occasion.accepted = self.accepted(run, attempt.position).await?;
        }
        let begin = Begin { run: run.id, fence: run.fence, attempt: attempt.clone() };
        if !self.beginner.write(run.org, begin).await? {
            return Err(Stop::Lost);
        }
        let took = self.actions.take(&occasion, action, &progress.context, &progress.results);
        Ok(timeout(left, took).await.unwrap_or_else(|_| {
            let over = "the run's time was over";
            // It was cut off, perhaps in the middle of a commit.
            Err(if writes { Fault::unknown(over) } else { Fault::permanent(over) })
        }))
    }

    /// Which of an action's mails earlier tries have sent.
    async fn accepted(&self, run: &Taken, position: i32) -> Result<BTreeSet<Uuid>, Stop> {
        let responses = self.queue.responses(run.org, run.id, position).await?;
        Ok(responses.iter().flat_map(|it| actions::accepted(Some(it))).collect())
    }

    /// Asks for the approval that an action wants, or finds what came of it. What was approved is exactly what is done: if
    /// that is another by now, it is not.
    async fn approval(
        &self,
        run: &Taken,
        owner: &Principal,
        action: &Action,
        position: i32,
        progress: &Progress,
    ) -> Result<Asked, Stop> {
        let Some(wanted) = action.approval() else { return Ok(Asked::Granted) };
        let shown =
            self.actions.show(owner, run.id, action, &progress.context, &progress.results).await;
        let shown = match shown {
            Ok(shown) => shown,
            Err(fault) => return Ok(Asked::Refused(fault)),
        };
        let found = progress.approvals.iter().find(|it| it.position == position);
        let refused = match found.map(|it| (it.state, it)) {
            None | Some((ApprovalState::Pending, _)) => {
                let ask = Ask {
                    position,
                    action: action.name.clone(),
                    role: wanted.role.clone(),
                    shown,
                    time: wanted.time,
                    requested_by: run.owner,
                    self_approval: wanted.self_approval,
                };
                let waits = self.queue.ask(run.org, run.id, run.fence, &ask).await?;
                return if waits { Ok(Asked::Waits) } else { Err(Stop::Lost) };
            }
            Some((ApprovalState::Approved, it)) if it.shown == shown => return Ok(Asked::Granted),
            Some((ApprovalState::Approved, _)) => {
                "what it would do now is not what was approved".to_owned()
            }
            Some((ApprovalState::Expired | ApprovalState::Withdrawn, it)) => {
                format!("nobody with the role `{}` approved it in time", it.role)
            }
            Some((ApprovalState::Declined, it)) => match &it.comment {
                Some(comment) => format!("it was declined: {comment}"),
                None => "it was declined".to_owned(),
            },
        };
        Ok(Asked::Refused(Fault::permanent(refused)))
    }

    /// What comes of a try that failed: another one later, or the end.
    async fn failed(
        &self,
        run: &Taken,
        definition: &Definition,
        mut done: RunStep,
        attempt: Attempt,
        fault: &Fault,
    ) -> Result<(), Stop> {
        let stored = usize::try_from(done.position).unwrap_or_default();
        if may_retry(fault, attempt.number, definition) {
            let pause = pause(attempt.number, run.id);
            return self.write(run, stored, None, Some(attempt), None, Then::Again { pause }).await;
        }
        done.succeeded = false;
        done.error = Some(fault.message.clone());
        let end = failed_at(definition, format!("{}: {}", done.name, fault.message));
        self.write(run, stored, Some(done), Some(attempt), None, Then::End(end)).await
    }

    /// Puts the run back without a try: it had no turn.
    pub(crate) async fn come_again(&self, run: &Taken, stored: usize) -> Result<(), Stop> {
        let then = Then::Again { pause: next_turn(run.id) };
        self.write(run, stored, None, None, None, then).await
    }

    pub(crate) async fn end(&self, run: &Taken, stored: usize, end: RunEnd) -> Result<(), Stop> {
        self.write(run, stored, None, None, None, Then::End(end)).await
    }

    async fn write(
        &self,
        run: &Taken,
        stored: usize,
        step: Option<RunStep>,
        attempt: Option<Attempt>,
        verdict: Option<Verdict>,
        then: Then,
    ) -> Result<(), Stop> {
        let stored = position(stored);
        let of = step.as_ref().map(|it| it.name.clone());
        let is_end = step.is_none() && attempt.is_none();
        let (run_id, fence) = (run.id, run.fence);
        let advance = Advance { run: run_id, fence, stored, step, attempt, verdict, then };
        match self.writer.write(run.org, advance).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Stop::Lost),
            // Whoever did it again would not be able to write it down either, and would do it until the run's time is over.
            Err(err @ StoreError::Internal(_)) if !is_end => {
                let error = plinth_core::chain(&err);
                tracing::error!(run.id = %run_id, error, "what came of a step cannot be stored; its run ends");
                let of = of.as_deref().unwrap_or("a try");
                let then = Then::End(failed(format!("{of}: what came of it cannot be stored")));
                let (step, attempt) = (None, None);
                let end = Advance { run: run_id, fence, stored, step, attempt, verdict, then };
                let is_ours = self.writer.write(run.org, end).await?;
                Err(if is_ours { Stop::Ended } else { Stop::Lost })
            }
            Err(err) => Err(err.into()),
        }
    }

    async fn judge(
        &self,
        run: &Taken,
        definition: &Definition,
        progress: &Progress,
    ) -> Result<Option<Verdict>, StoreError> {
        let Some(condition) = &definition.conditions else { return Ok(None) };
        let before = match condition.looks_back() {
            0 => Vec::new(),
            most => {
                let before = Cursor { created_at: run.created_at, id: run.id.as_uuid() };
                self.store.glances(run.org, run.workflow, run.owner, before, most).await?
            }
        };
        Ok(Some(condition.judge(&progress.results, &before)))
    }

    /// Whether it waits for a newer server.
    fn is_young(&self, run: &Taken) -> bool {
        self.clock.now().duration_since(run.created_at) < WAITS_FOR_NEWER
    }

    /// What the run does.
    async fn definition(&self, run: &Taken) -> Result<Arc<Definition>, Unread> {
        let cell = {
            let mut known = self.known.lock().expect("not poisoned");
            let key = (run.workflow, run.version);
            if known.len() >= REMEMBERED && !known.contains_key(&key) {
                known.clear();
            }
            known.entry(key).or_default().clone()
        };
        let read = async {
            let found = self.store.version(run.org, run.workflow, run.version).await?;
            let found = found.ok_or(Unread::Gone)?;
            Definition::of(&found).map(Arc::new).map_err(|_| Unread::Unknown)
        };
        cell.get_or_try_init(|| read).await.cloned()
    }
}

impl Progress {
    fn of(run: &Taken, since: Instant, held: Held) -> Self {
        let (trigger, created_at) = (run.trigger.clone(), run.created_at);
        let about = AboutRun { id: run.id, trigger, created_at };
        let workflow = AboutWorkflow { id: run.workflow, name: run.workflow_name.clone() };
        let context = Context::triggered(about, workflow, &run.trigger, run.payload.clone());
        let (results, approvals) = (Results::new(), Vec::new());
        let (tried, verdict) = (run.tried, run.verdict);
        let mut progress = Self { since, context, results, held, tried, verdict, approvals };
        for step in &run.done {
            if let Some(result) = &step.result {
                // It is held already, since it was read.
                progress.put(&step.name, result);
            }
        }
        progress
    }

    /// Whether actions are taken, once its conditions are judged.
    fn acts(&self, definition: &Definition) -> bool {
        !definition.actions.is_empty() && self.verdict.is_none_or(|it| it == Verdict::Met)
    }

    fn add(&mut self, step: &str, result: &Arc<StepResult>) {
        self.held.add(result);
        self.put(step, result);
    }

    fn put(&mut self, step: &str, result: &Arc<StepResult>) {
        self.context.add(step, result.clone());
        self.results.insert(step.to_owned(), result.clone());
    }
}

/// How long the run may still take, not counting for how long it waited for somebody; `None` if it is over.
fn left(
    run: &Taken,
    since: Instant,
    definition: &Definition,
    waited: SignedDuration,
) -> Option<Duration> {
    let waited = Duration::try_from(waited).unwrap_or_default();
    let passed = (run.passed + since.elapsed()).saturating_sub(waited);
    definition.limits.time.checked_sub(passed).filter(|it| !it.is_zero())
}

fn end_if(is_last: bool, definition: &Definition, error: Option<&String>) -> Then {
    match (is_last, error) {
        (false, _) => Then::Continue,
        (true, None) => Then::End(succeeded()),
        (true, Some(error)) => Then::End(failed_at(definition, error.clone())),
    }
}

fn succeeded() -> RunEnd {
    RunEnd { state: RunState::Succeeded, error: None, told: None, pause: None }
}

/// The end of a run for a reason that repeats nothing of what it read.
pub(crate) fn failed(error: String) -> RunEnd {
    let told = Some(error.clone());
    RunEnd { state: RunState::Failed, error: Some(error), told, pause: None }
}

/// The end of a run for what a step or action said, after its name.
fn failed_at(definition: &Definition, error: String) -> RunEnd {
    RunEnd { told: Some(discretion::of_run(Some(definition), &error)), ..failed(error) }
}

fn timed_out(definition: &Definition) -> RunEnd {
    let seconds = definition.limits.time.as_secs();
    let error = format!("it took longer than {seconds} s");
    RunEnd { state: RunState::TimedOut, ..failed(error) }
}

fn may_retry(fault: &Fault, number: i32, definition: &Definition) -> bool {
    fault.is_temporary && i64::from(number) < i64::from(definition.limits.attempts)
}

/// How long to wait after that try: doubling, and for each run a little longer by its id, so that runs that failed
/// together do not come back together.
fn pause(number: i32, run: RunId) -> Duration {
    let doubled = 1u32 << u32::try_from(number - 1).unwrap_or(0).min(10);
    let spread = u32::from(run.as_uuid().as_bytes()[15]);
    let pause = FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE);
    pause + pause * spread / 1024
}

/// How long a run waits that had no turn: one to two seconds, for each another time.
fn next_turn(run: RunId) -> Duration {
    Duration::from_millis(1_000 + 4 * u64::from(run.as_uuid().as_bytes()[15]))
}

fn position(at: usize) -> i32 {
    i32::try_from(at).expect("there are some dozens at most")
}
