//! The contract of the store ports: what any [`WorkflowStore`] and [`RunQueue`] must do.

mod losses;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use plinth_connections::ConnectionId;
use plinth_core::{Cursor, Limit, OrgId, UserId};
use plinth_queries::QueryId;
use plinth_tenancy::AuditEntry;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::condition::Verdict;
use crate::definition::{Meant, Overlap, Receiver};
use crate::listening::{Heard, Listened, ListenerStore};
use crate::schedule::{Misfire, Preset, Schedule, Timing};
use crate::secrets::CredentialId;
use crate::writes::{ApprovalFilter, ApprovalState, Decision};
use crate::{
    Advance, Ask, Attempt, Begin, Call, Changed, Enqueued, NewRun, Published, Queued, RunEnd,
    RunId, RunQueue, RunState, RunStep, StepResult, TakeLimits, Taken, Then, TriggerEvent,
    Workflow, WorkflowError, WorkflowId, WorkflowStore,
};

pub use self::losses::losses_contract;

/// A definition that asks once.
pub fn definition() -> Value {
    json!({
        "trigger": { "type": "manual" },
        "steps": [{
            "name": "one", "type": "sql", "connection_id": "conn_0198c0de7a3b7cc19a553f2a8d1e6b70",
            "sql": "SELECT 1 AS one",
        }],
    })
}

/// A published workflow of that name.
pub fn workflow((org, owner): (OrgId, UserId), name: &str, at: Timestamp) -> (Workflow, Published) {
    let workflow = Workflow {
        id: WorkflowId::new(at),
        org,
        name: name.to_owned(),
        description: String::new(),
        owner,
        enabled: true,
        paused: None,
        failures: 0,
        draft: definition(),
        published: Some(1),
        trigger: Some("manual".to_owned()),
        next_slot: None,
        hook_number: 1,
        revision: 1,
        created_at: at,
        updated_at: at,
    };
    let meant = Meant {
        queries: [(QueryId::new(at), 3)].into(),
        credentials: [(
            "crm".to_owned(),
            Receiver { id: CredentialId::new(at), origin: "https://crm.example.com".to_owned() },
        )]
        .into(),
    };
    let published = Published {
        number: 1,
        definition: definition(),
        meant: Some(meant),
        by: owner,
        at,
        concurrency: 10,
    };
    (workflow, published)
}

fn entry(org: OrgId, at: Timestamp) -> AuditEntry {
    AuditEntry::of_plinth(org, at, "system", "workflow.created")
}

/// Keeps a published workflow of that name.
///
/// # Panics
///
/// If it is not kept.
pub async fn put(
    store: &dyn WorkflowStore,
    who: (OrgId, UserId),
    name: &str,
    at: Timestamp,
    concurrency: i32,
) -> WorkflowId {
    let (workflow, mut published) = workflow(who, name, at);
    published.concurrency = concurrency;
    store.insert(&workflow, Some(&published), 1_000, &entry(who.0, at)).await.expect("kept");
    workflow.id
}

/// Queues a run.
///
/// # Panics
///
/// If it is not queued.
pub async fn enqueue(
    store: &dyn WorkflowStore,
    org: OrgId,
    workflow: WorkflowId,
    at: Timestamp,
) -> RunId {
    let id = RunId::new(at);
    let mut event = TriggerEvent::new(workflow, "manual", at, "somebody".to_owned());
    event.run = Some(id);
    let new = NewRun { id, workflow, payload: Some(json!({ "n": 1 })), event };
    let queued = store.enqueue(org, &new, None).await.expect("stored").expect("published");
    assert_eq!((queued.id, queued.state), (id, RunState::Queued));
    id
}

/// Limits of a worker that takes at most so many.
pub fn limits(most: usize) -> TakeLimits {
    let nil = Uuid::nil();
    TakeLimits {
        most,
        per_organization: 1_000,
        lease: Duration::from_secs(3),
        after: OrgId::from_uuid(nil),
        after_workflows: Vec::new(),
        with_lost: true,
    }
}

fn done(position: i32, at: Timestamp) -> RunStep {
    RunStep {
        position,
        name: format!("step_{position}"),
        is_action: false,
        succeeded: true,
        result: Some(Arc::new(StepResult {
            columns: vec!["n".to_owned()],
            rows: vec![vec![json!(position)]],
            ..StepResult::default()
        })),
        query: None,
        error: None,
        started_at: at,
        ended_at: at,
    }
}

fn advance(run: &Taken, step: Option<RunStep>, then: Then) -> Advance {
    let stored = i32::try_from(run.stored).expect("a few");
    let stored = step.as_ref().map_or(stored, |it| it.position);
    Advance { run: run.id, fence: run.fence, stored, step, attempt: None, verdict: None, then }
}

fn ended(state: RunState) -> Then {
    let error = (state != RunState::Succeeded).then(|| "it broke".to_owned());
    Then::End(RunEnd { state, told: error.clone(), error, pause: None })
}

/// What is kept of workflows.
///
/// # Panics
///
/// If the contract is broken.
pub async fn workflow_store_contract(
    store: &dyn WorkflowStore,
    us: (OrgId, UserId),
    them: (OrgId, UserId),
    at: Timestamp,
) {
    let (workflow, published) = workflow(us, "late orders", at);
    let entry = entry(us.0, at);
    store.insert(&workflow, Some(&published), 2, &entry).await.expect("kept");
    assert_eq!(store.find(us.0, workflow.id).await.expect("read"), Some(workflow.clone()));
    assert_eq!(store.find(them.0, workflow.id).await.expect("read"), None);
    assert_eq!(store.organization_of(workflow.id).await.expect("read"), Some(us.0));

    // A name is taken once in an organization; the number of workflows has its bound.
    let taken = Workflow { id: WorkflowId::new(at), ..workflow.clone() };
    let refused = store.insert(&taken, None, 2, &entry).await;
    assert!(matches!(refused, Err(WorkflowError::NameTaken(_))));
    put(store, them, "late orders", at, 1).await;
    let other = Workflow { name: "other".to_owned(), published: None, ..taken };
    assert!(matches!(store.insert(&other, None, 1, &entry).await, Err(WorkflowError::TooMany(1))));
    store.insert(&other, None, 2, &entry).await.expect("kept");
    let listed = store.list(us.0, None, Limit::ONE).await.expect("read");
    assert_eq!(listed.len(), 2, "one more than asked shows that there are more");

    // A change is whole or not at all.
    let mut refuse = |it: &mut Workflow| {
        "broken".clone_into(&mut it.name);
        Err(WorkflowError::Changed)
    };
    let refused = store.change(us.0, workflow.id, &mut refuse).await;
    assert!(matches!(refused, Err(WorkflowError::Changed)));
    let mut publish = |it: &mut Workflow| {
        it.published = Some(2);
        it.revision += 1;
        let published = Published { number: 2, ..published.clone() };
        Ok(Changed { published: Some(published), entry: None })
    };
    let changed =
        store.change(us.0, workflow.id, &mut publish).await.expect("stored").expect("there");
    assert_eq!((changed.name.as_str(), changed.revision), ("late orders", 2));
    let first = store.version(us.0, workflow.id, 1).await.expect("read");
    assert_eq!(first.as_ref(), Some(&published));
    let numbers = store.versions(us.0, workflow.id).await.expect("read");
    assert_eq!(numbers.iter().map(|it| it.number).collect::<Vec<_>>(), [2, 1]);
    assert!(store.version(them.0, workflow.id, 1).await.expect("read").is_none());
    let nothing = store.change(them.0, workflow.id, &mut |_| Ok(Changed::default())).await;
    assert!(nothing.expect("stored").is_none());

    // What was never published makes no run, and leaves no event of one.
    let run = RunId::new(at);
    let event = TriggerEvent::new(other.id, "manual", at, String::new());
    let new = NewRun { id: run, workflow: other.id, payload: None, event };
    assert!(store.enqueue(us.0, &new, None).await.expect("stored").is_none());
    assert!(store.events(us.0, other.id, None, Limit::ONE).await.expect("read").is_empty());

    let run = enqueue(store, us.0, workflow.id, at).await;
    assert!(store.run(us.0, run).await.expect("read").is_some());
    assert!(store.run(them.0, run).await.expect("read").is_none());
    assert!(store.cancel(them.0, run, &entry).await.expect("stored").is_none());
    assert_eq!(store.events(us.0, workflow.id, None, Limit::ONE).await.expect("read").len(), 1);

    // Several at once are as many by themselves.
    let wanted = [workflow.id, other.id, workflow.id].map(|of| {
        let id = RunId::new(at);
        let mut event = TriggerEvent::new(of, "manual", at, String::new());
        event.run = Some(id);
        Enqueued { run: NewRun { id, workflow: of, payload: None, event }, entry: None, once: None }
    });
    let gone = [Queued::Gone, Queued::Gone, Queued::Gone];
    assert_eq!(store.enqueue_all(them.0, &wanted).await.expect("stored"), gone);
    let queued = store.enqueue_all(us.0, &wanted).await.expect("stored");
    let ids: Vec<_> = queued.into_iter().map(|it| it.run().map(|it| it.id)).collect();
    assert_eq!(ids, [Some(wanted[0].run.id), None, Some(wanted[2].run.id)]);
    assert!(store.events(us.0, other.id, None, Limit::ONE).await.expect("read").is_empty());
    let events = store.events(us.0, workflow.id, None, Limit::default()).await.expect("read");
    assert_eq!(events.len(), 3);
    // How many wait is looked at up to a bound.
    assert!(store.is_full(us.0, workflow.id, 3).await.expect("read"));
    assert!(!store.is_full(us.0, workflow.id, 4).await.expect("read"));
    assert!(!store.is_full(them.0, workflow.id, 1).await.expect("read"));

    calls_are_taken_once(store, us, them, (workflow.id, other.id), at).await;

    // Of triggers that start it no more nothing is begun; what was asked for by hand is.
    let mut disable = |it: &mut Workflow| {
        it.enabled = false;
        Ok(Changed::default())
    };
    store.change(us.0, workflow.id, &mut disable).await.expect("stored").expect("there");
    let runs = store.runs(us.0, workflow.id, None, Limit::default()).await.expect("read");
    assert!(runs.iter().any(|it| it.trigger == "webhook"));
    for it in runs {
        assert_eq!(it.state == RunState::Cancelled, it.trigger != "manual", "{it:?}");
    }

    let theirs = self::entry(them.0, at);
    assert!(!store.remove(them.0, workflow.id, None, &theirs).await.expect("stored"));
    let refused = store.remove(us.0, workflow.id, Some(&[0, 99]), &entry).await;
    assert!(matches!(refused, Err(WorkflowError::Changed)), "{refused:?}");
    assert!(store.remove(us.0, workflow.id, None, &entry).await.expect("stored"));
    assert!(store.run(us.0, run).await.expect("read").is_none());
}

/// A call is taken once within its window, by a run that is queued: not by one that could not be.
async fn calls_are_taken_once(
    store: &dyn WorkflowStore,
    us: (OrgId, UserId),
    them: (OrgId, UserId),
    (published, draft): (WorkflowId, WorkflowId),
    at: Timestamp,
) {
    let call = |of: WorkflowId, name: &str| {
        let id = RunId::new(at);
        let mut event = TriggerEvent::new(of, "webhook", at, String::new());
        event.run = Some(id);
        let once = Some(Call { id: name.to_owned(), kept: SignedDuration::from_mins(10) });
        Enqueued { run: NewRun { id, workflow: of, payload: None, event }, entry: None, once }
    };
    let kinds = |queued: Vec<Queued>| -> Vec<&str> {
        let kind = |it: &Queued| match it {
            Queued::Run(_) => "run",
            Queued::Gone => "gone",
            Queued::Repeated => "repeated",
        };
        queued.iter().map(kind).collect()
    };
    // Of two in one batch the first is taken.
    let wanted = ["b", "a", "b"].map(|it| call(published, it));
    let queued = store.enqueue_all(us.0, &wanted).await.expect("stored");
    assert_eq!(kinds(queued), ["run", "run", "repeated"]);
    assert!(store.run(us.0, wanted[2].run.id).await.expect("read").is_none());
    let wanted = [call(published, "a"), call(published, "c"), call(draft, "d")];
    let queued = store.enqueue_all(us.0, &wanted).await.expect("stored");
    assert_eq!(kinds(queued), ["repeated", "run", "gone"]);
    // Nobody else's workflow can be called, and of that nothing is kept.
    let queued = store.enqueue_all(them.0, &[call(published, "e")]).await.expect("stored");
    assert_eq!(kinds(queued), ["gone"]);
    let queued = store.enqueue_all(us.0, &[call(published, "e")]).await.expect("stored");
    assert_eq!(kinds(queued), ["run"]);
    // What fails takes the call back with it: the same run twice cannot be kept.
    let first = call(published, "f");
    assert_eq!(kinds(store.enqueue_all(us.0, &[first.clone()]).await.expect("stored")), ["run"]);
    let once = Some(Call { id: "g".to_owned(), kept: SignedDuration::from_mins(10) });
    assert!(store.enqueue_all(us.0, &[Enqueued { once, ..first }]).await.is_err());
    let queued = store.enqueue_all(us.0, &[call(published, "g")]).await.expect("stored");
    assert_eq!(kinds(queued), ["run"]);
}

/// What workers rely on. `pass` moves the database's clock.
///
/// # Panics
///
/// If the contract is broken.
pub async fn run_queue_contract(
    store: &dyn WorkflowStore,
    queue: &dyn RunQueue,
    us: (OrgId, UserId),
    them: (OrgId, UserId),
    at: Timestamp,
    pass: impl Fn(SignedDuration),
) {
    let ours = put(store, us, "ours", at, 10).await;
    let theirs = put(store, them, "theirs", at, 10).await;
    let lease = limits(1).lease;

    // Nobody gets what another has; an expired lease makes it free, and the older number says nothing any more.
    let run = enqueue(store, us.0, ours, at).await;
    let first = queue.take(&limits(5)).await.expect("taken").runs;
    assert_eq!(first.iter().map(|it| it.id).collect::<Vec<_>>(), [run]);
    assert_eq!((first[0].owner, first[0].payload.clone()), (us.1, Some(json!({ "n": 1 }))));
    let nothing = queue.take(&limits(5)).await.expect("taken");
    assert!(nothing.runs.is_empty() && !nothing.is_short);
    let early = advance(&first[0], Some(done(1, at)), Then::Continue);
    assert_eq!(queue.advance(us.0, &[early]).await.expect("stored"), [false], "one is missing");
    let step = advance(&first[0], Some(done(0, at)), Then::Continue);
    let judged = Advance { verdict: Some(Verdict::Met), ..step };
    assert_eq!(queue.advance(us.0, &[judged]).await.expect("stored"), [true]);
    pass(SignedDuration::from_secs(2));
    let held = [(run, first[0].fence)];
    assert_eq!(queue.keep(&held, lease).await.expect("kept"), [run]);
    pass(SignedDuration::from_secs(2));
    assert!(queue.take(&limits(5)).await.expect("taken").runs.is_empty(), "it was kept");
    pass(SignedDuration::from_secs(2));
    let second = queue.take(&limits(5)).await.expect("taken").runs;
    assert_eq!(second[0].stored, 1, "it goes on from the last stored step");
    assert!(second[0].done.is_empty(), "which is read when its turn comes");
    let steps = queue.steps(us.0, run).await.expect("read");
    assert_eq!(steps, Some(vec![done(0, at)]));
    assert_eq!(queue.steps(them.0, run).await.expect("read"), Some(Vec::new()));
    assert_eq!((first[0].verdict, second[0].verdict), (None, Some(Verdict::Met)));
    assert_eq!((first[0].passed, second[0].passed), (Duration::ZERO, Duration::from_secs(6)));
    assert_ne!(second[0].fence, first[0].fence);
    assert!(queue.keep(&held, lease).await.expect("kept").is_empty());
    let late = advance(&first[0], Some(done(1, at)), ended(RunState::Failed));
    assert_eq!(queue.advance(us.0, &[late]).await.expect("stored"), [false]);
    let attempt = Attempt {
        position: 1,
        number: 1,
        succeeded: None,
        request: None,
        response: None,
        error: None,
        started_at: at,
        ended_at: None,
    };
    let begin = async |org: OrgId, fence: i64, attempt: &Attempt| {
        let it = Begin { run, fence, attempt: attempt.clone() };
        queue.begin(org, &[it]).await.expect("stored") == [true]
    };
    assert!(!begin(us.0, first[0].fence, &attempt).await);
    assert!(!begin(them.0, second[0].fence, &attempt).await);
    let early = Attempt { position: 2, ..attempt.clone() };
    assert!(!begin(us.0, second[0].fence, &early).await);
    assert!(begin(us.0, second[0].fence, &attempt).await);

    // A try that failed waits, and is tried again.
    let broken = Attempt {
        succeeded: Some(false),
        error: Some("busy".to_owned()),
        ended_at: Some(at),
        request: Some(json!({ "to": "x" })),
        ..attempt.clone()
    };
    let again = Then::Again { pause: Duration::from_secs(20) };
    let again = Advance { attempt: Some(broken), ..advance(&second[0], None, again) };
    assert_eq!(queue.advance(us.0, &[again]).await.expect("stored"), [true]);
    assert!(queue.take(&limits(5)).await.expect("taken").runs.is_empty());
    pass(SignedDuration::from_secs(21));
    let third = queue.take(&limits(5)).await.expect("taken").runs.remove(0);
    assert_eq!((third.stored, third.tried, third.verdict), (1, 1, Some(Verdict::Met)));
    let place = |created_at: Timestamp, id: RunId| Cursor { created_at, id: id.as_uuid() };
    let later = at + SignedDuration::from_secs(1);
    let before = store.glances(us.0, ours, us.1, place(later, RunId::new(later)), 5).await;
    assert_eq!(before.expect("read").len(), 1, "it was judged, whatever is still to come of it");
    let end = advance(&third, Some(done(1, at)), ended(RunState::Succeeded));
    assert_eq!(queue.advance(us.0, &[end.clone()]).await.expect("stored"), [true]);
    assert_eq!(queue.advance(us.0, &[end]).await.expect("stored"), [false], "it ends once");
    let (kept, steps, attempts) = store.run(us.0, run).await.expect("read").expect("there");
    assert_eq!((kept.state, steps.len(), attempts.len()), (RunState::Succeeded, 2, 1));
    assert_eq!((attempts[0].succeeded, kept.verdict), (Some(false), Some(Verdict::Met)));

    // What the newest run before found; not what a later one did.
    let next = enqueue(store, us.0, ours, later).await;
    let before = store.glances(us.0, ours, us.1, place(later, next), 5).await.expect("read");
    assert_eq!(before.len(), 1);
    assert!(store.glances(us.0, ours, us.1, place(at, run), 5).await.expect("read").is_empty());
    let others = store.glances(us.0, ours, them.1, place(later, next), 5).await.expect("read");
    assert!(others.is_empty(), "nobody looks back at what was found as another");
    assert_eq!(
        (before[0]["step_1"].first("n"), before[0]["step_1"].row_count),
        (Some(&json!(1)), 1)
    );
    let others = store.glances(them.0, ours, us.1, place(later, next), 5).await.expect("read");
    assert!(others.is_empty());

    // Who cancels takes it from whoever has it.
    let taken = queue.take(&limits(5)).await.expect("taken").runs.remove(0);
    let (cancelled, was_open) =
        store.cancel(us.0, next, &entry(us.0, at)).await.expect("stored").expect("there");
    assert_eq!((cancelled.state, was_open), (RunState::Cancelled, true));
    assert!(queue.keep(&[(next, taken.fence)], lease).await.expect("kept").is_empty());
    let late = advance(&taken, Some(done(0, at)), ended(RunState::Succeeded));
    assert_eq!(queue.advance(us.0, &[late]).await.expect("stored"), [false]);
    let again = store.cancel(us.0, next, &entry(us.0, at)).await.expect("stored");
    assert!(!again.expect("there").1);

    // However many wait elsewhere, others' runs come in the same round.
    for _ in 0..30 {
        enqueue(store, us.0, ours, at).await;
    }
    let theirs_run = enqueue(store, them.0, theirs, at).await;
    let mut round = limits(4);
    let taken = queue.take(&round).await.expect("taken").runs;
    assert_eq!(taken.len(), 4);
    assert!(taken.iter().any(|it| it.id == theirs_run));
    // The limits of the organization and of the workflow hold across workers.
    round = limits(100);
    round.per_organization = 5;
    let more = queue.take(&round).await.expect("taken");
    assert!(more.is_short, "more wait than the limits let through");
    let more = more.runs;
    let of_us = |all: &[Taken]| all.iter().filter(|it| it.org == us.0).count();
    assert_eq!(of_us(&taken) + of_us(&more), 5);
    let most = queue.take(&limits(100)).await.expect("taken").runs;
    assert_eq!(of_us(&taken) + of_us(&more) + of_us(&most), 10, "the workflow's own limit");
    let all: Vec<_> = taken.iter().chain(&more).chain(&most).collect();
    assert_eq!(all.iter().map(|it| it.id).collect::<BTreeSet<_>>().len(), all.len());
    // Many end at once, of one organization in one piece.
    let mut by_org: BTreeMap<OrgId, Vec<Advance>> = BTreeMap::new();
    for it in all {
        by_org.entry(it.org).or_default().push(advance(
            it,
            Some(done(0, at)),
            ended(RunState::Succeeded),
        ));
    }
    for (org, ends) in by_org {
        assert!(queue.advance(org, &ends).await.expect("stored").iter().all(|it| *it));
    }
    pass(SignedDuration::from_hours(1));
    assert!(store.sweep(us.0, SignedDuration::from_hours(2), 3).await.expect("swept") > 0);
    let left = store.runs(us.0, ours, None, Limit::new(100).expect("good")).await.expect("read");
    assert_eq!(left.iter().filter(|it| it.state.is_end()).count(), 3);
}

/// What waits for approvals, and what comes of it. `pass` moves the database's clock.
///
/// # Panics
///
/// If the contract is broken.
pub async fn approval_contract(
    store: &dyn WorkflowStore,
    queue: &dyn RunQueue,
    us: (OrgId, UserId),
    them: (OrgId, UserId),
    at: Timestamp,
    pass: impl Fn(SignedDuration),
) {
    let id = put(store, us, "writes", at, 10).await;
    let ask = Ask {
        position: 0,
        action: "mark".to_owned(),
        role: "admin".to_owned(),
        shown: json!({ "statement": "DELETE" }),
        time: Duration::from_mins(1),
        requested_by: us.1,
        self_approval: false,
    };
    let asked = async || {
        let run = enqueue(store, us.0, id, at).await;
        // One that was decided before may be due as well.
        let taken = queue.take(&limits(5)).await.expect("taken").runs;
        let taken = taken.into_iter().find(|it| it.id == run).expect("taken");
        assert!(!queue.ask(us.0, run, taken.fence - 1, &ask).await.expect("stored"), "it is lost");
        assert!(!queue.ask(them.0, run, taken.fence, &ask).await.expect("stored"));
        assert!(queue.ask(us.0, run, taken.fence, &ask).await.expect("stored"));
        run
    };
    let decision =
        |approves| Decision { position: 0, approves, by: us.1, comment: Some("so".to_owned()) };
    let listed = async |org: OrgId, state: Option<ApprovalState>| {
        let filter = ApprovalFilter { state, workflow: None };
        let all = store.all_approvals(org, filter, None, Limit::default()).await.expect("read");
        all.into_iter().map(|it| (it.run, it.approval.state)).collect::<Vec<_>>()
    };

    // It waits for nobody else's word, and for one word.
    let first = asked().await;
    assert!(queue.take(&limits(5)).await.expect("taken").runs.is_empty(), "it waits");
    let approval = store.approvals(us.0, first).await.expect("read").remove(0);
    assert_eq!((approval.state, approval.shown), (ApprovalState::Pending, ask.shown.clone()));
    assert!(approval.requested_by == Some(us.1) && !approval.self_approval);
    assert!(store.approvals(them.0, first).await.expect("read").is_empty());
    let foreign = store.decide(them.0, first, &decision(true), &entry(them.0, at)).await;
    assert!(!foreign.expect("stored"));
    let ours = &entry(us.0, at);
    assert!(store.decide(us.0, first, &decision(true), ours).await.expect("stored"));
    assert!(!store.decide(us.0, first, &decision(false), ours).await.expect("stored"));
    let taken = queue.take(&limits(5)).await.expect("taken").runs.remove(0);
    assert_eq!(taken.id, first, "it goes on at once");
    let found = queue.approvals(us.0, first).await.expect("read").remove(0);
    assert_eq!((found.state, found.decided_by), (ApprovalState::Approved, Some(us.1)));

    // Declined, cancelled, and waited for too long.
    pass(SignedDuration::from_secs(1));
    let second = asked().await;
    assert!(store.decide(us.0, second, &decision(false), ours).await.expect("stored"));
    pass(SignedDuration::from_secs(1));
    let third = asked().await;
    store.cancel(us.0, third, ours).await.expect("stored");
    pass(SignedDuration::from_secs(1));
    let fourth = asked().await;
    assert_eq!(
        listed(us.0, Some(ApprovalState::Pending)).await,
        [(fourth, ApprovalState::Pending)]
    );
    pass(SignedDuration::from_mins(2));
    assert!(!store.decide(us.0, fourth, &decision(true), ours).await.expect("stored"));
    let all = [
        (fourth, ApprovalState::Expired),
        (third, ApprovalState::Withdrawn),
        (second, ApprovalState::Declined),
        (first, ApprovalState::Approved),
    ];
    assert_eq!(listed(us.0, None).await, all);
    for one in all {
        assert_eq!(listed(us.0, Some(one.1)).await, [one]);
    }
    assert!(listed(them.0, None).await.is_empty());
    let page = store.all_approvals(us.0, ApprovalFilter::default(), None, Limit::ONE).await;
    let page = page.expect("read");
    assert_eq!(page.len(), 2, "one more than asked shows that there are more");
    let after = Cursor { created_at: page[0].approval.asked_at, id: page[0].run.as_uuid() };
    let rest = store.all_approvals(us.0, ApprovalFilter::default(), Some(after), Limit::default());
    assert_eq!(rest.await.expect("read").len(), 3);
}

/// Who listens to a database, and what comes of what is heard. `pass` moves the database's clock; `connection` is one of
/// ours that the workflow may name.
///
/// # Panics
///
/// If the contract is broken.
pub async fn listener_contract(
    store: &dyn WorkflowStore,
    listeners: &dyn ListenerStore,
    us: (OrgId, UserId),
    them: (OrgId, UserId),
    at: Timestamp,
    pass: impl Fn(SignedDuration),
) {
    let connection = ConnectionId::new(at);
    let lease = Duration::from_secs(4);
    let mut workflows = Vec::new();
    for (name, more) in
        [("notes", json!({})), ("runs", json!({ "on_gap": "run", "per_minute": 7 }))]
    {
        let (mut workflow, mut published) = workflow(us, name, at);
        let mut trigger = json!({
            "type": "listen", "connection_id": connection.to_string(), "channel": name,
        });
        let fields = trigger.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        published.definition["trigger"] = trigger;
        workflow.trigger = Some("listen".to_owned());
        let entry = entry(us.0, at);
        store.insert(&workflow, Some(&published), 100, &entry).await.expect("kept");
        workflows.push(workflow.id);
    }

    // One has it, as long as they keep it; the next one hears until when it was heard.
    let first = listeners.take(10, lease).await.expect("taken").remove(0);
    assert_eq!((first.org, first.connection, first.heard_until), (us.0, connection, None));
    assert!(listeners.take(10, lease).await.expect("taken").is_empty());
    assert!(listeners.keep(&first, lease, Some(at)).await.expect("kept"));
    let foreign = Listened { org: them.0, ..first.clone() };
    assert!(!listeners.keep(&foreign, lease, Some(at)).await.expect("kept"));
    pass(SignedDuration::from_secs(3));
    assert!(listeners.take(10, lease).await.expect("taken").is_empty(), "it was kept");
    assert!(listeners.keep(&first, lease, None).await.expect("kept"));
    pass(SignedDuration::from_secs(3));
    assert!(listeners.take(10, lease).await.expect("taken").is_empty(), "it was kept");
    pass(SignedDuration::from_secs(2));
    let second = listeners.take(10, lease).await.expect("taken").remove(0);
    assert!(second.fence > first.fence);
    assert_eq!(second.heard_until, Some(at), "as was said, and not when it was kept");
    assert!(!listeners.keep(&first, lease, None).await.expect("kept"));

    // What the older one heard is not written, and what the newer one heard is, all of it.
    let all = listeners.listeners(us.0, connection).await.expect("read");
    let found: Vec<_> = all
        .iter()
        .map(|it| (it.workflow, it.owner, it.channel.as_str(), it.per_minute, it.runs_on_gap))
        .collect();
    let mut expected =
        [(workflows[0], us.1, "notes", 60, false), (workflows[1], us.1, "runs", 7, true)];
    expected.sort_by_key(|it| it.0);
    assert_eq!(found, expected);
    assert!(listeners.listeners(them.0, connection).await.expect("read").is_empty());
    let heard = |payload: Option<Value>| Heard {
        workflow: workflows[0],
        channel: "notes".to_owned(),
        outcome: if payload.is_some() { "queued" } else { "it listens again" }.to_owned(),
        payload,
    };
    let both = [heard(Some(json!({ "text": "7" }))), heard(None)];
    assert!(!listeners.write(&first, &both).await.expect("written"));
    assert!(listeners.write(&second, &both).await.expect("written"));
    let events = store.events(us.0, workflows[0], None, Limit::default()).await.expect("read");
    let made = events.iter().filter(|it| it.run.is_some()).count();
    assert_eq!((events.len(), made), (2, 1));

    // Given back, it is free at once.
    listeners.release(&first).await.expect("written");
    assert!(
        listeners.take(10, lease).await.expect("taken").is_empty(),
        "it is not the older one's"
    );
    listeners.release(&second).await.expect("written");
    assert_eq!(listeners.take(10, lease).await.expect("taken").len(), 1);

    // Nobody's that nobody wants.
    let mut disable = |it: &mut Workflow| {
        it.enabled = false;
        Ok(Changed::default())
    };
    for id in workflows {
        store.change(us.0, id, &mut disable).await.expect("stored");
    }
    pass(SignedDuration::from_secs(5));
    assert!(listeners.take(10, lease).await.expect("taken").is_empty());
}

/// What owners hear: when it begins to fail, when it is over, when nothing goes on; each once. Gives the kinds of letters
/// by `letters`.
///
/// # Panics
///
/// If the contract is broken.
pub async fn outage_contract(
    store: &dyn WorkflowStore,
    queue: &dyn RunQueue,
    us: (OrgId, UserId),
    at: Timestamp,
    letters: impl AsyncFn() -> Vec<String>,
) {
    let id = put(store, us, "flaky", at, 1).await;
    let end = async |state: RunState| {
        enqueue(store, us.0, id, at).await;
        let run = queue.take(&limits(1)).await.expect("taken").runs.remove(0);
        let end = advance(&run, None, ended(state));
        assert_eq!(queue.advance(us.0, &[end]).await.expect("stored"), [true]);
    };
    for state in [RunState::Failed, RunState::TimedOut, RunState::Succeeded, RunState::Succeeded] {
        end(state).await;
    }
    assert_eq!(letters().await, ["workflow_failed", "workflow_recovered"]);
    for _ in 0..12 {
        end(RunState::Failed).await;
    }
    let told = ["workflow_failed", "workflow_recovered", "workflow_failed", "workflow_paused"];
    assert_eq!(letters().await, told);
    let paused = store.find(us.0, id).await.expect("read").expect("there");
    assert!(!paused.is_live() && paused.failures == 12);
}

/// One run a slot, whoever fires it. `pass` moves the database's clock, which stands at `at`.
///
/// # Panics
///
/// If the contract is broken.
pub async fn schedule_contract(
    store: &dyn WorkflowStore,
    us: (OrgId, UserId),
    them: (OrgId, UserId),
    at: Timestamp,
    pass: impl Fn(SignedDuration),
) {
    let id = put(store, us, "scheduled", at, 1).await;
    let schedule = Schedule {
        timing: Timing::preset(Preset::FiveMinutes),
        misfire: Misfire::RunOnce,
        overlap: Overlap::Skip,
    };
    let next = schedule.timing.next(at, &TimeZone::UTC);
    let mut set = |it: &mut Workflow| {
        it.next_slot = next;
        Ok(Changed::default())
    };
    store.change(us.0, id, &mut set).await.expect("stored");
    let decide = |due, now, is_busy| schedule.fire(due, now, &TimeZone::UTC, is_busy);
    assert!(store.due(10, &[]).await.expect("read").is_empty());
    assert!(!store.fire(us.0, id, 1, &decide).await.expect("stored"), "it is not due");
    pass(SignedDuration::from_mins(5));
    assert_eq!(store.due(10, &[]).await.expect("read"), [(us.0, id)]);
    assert!(store.due(10, &[id]).await.expect("read").is_empty());
    assert!(!store.fire(us.0, id, 2, &decide).await.expect("stored"), "of another version");
    let both =
        futures_util::future::join_all((0..4).map(|_| store.fire(us.0, id, 1, &decide))).await;
    let fired = both.into_iter().map(|it| it.expect("stored")).filter(|it| *it).count();
    assert_eq!(fired, 1);
    // The run is not over: the next slot is skipped, and so are those that nobody was there for.
    pass(SignedDuration::from_mins(12));
    assert!(store.fire(us.0, id, 1, &decide).await.expect("stored"));
    let events = store.events(us.0, id, None, Limit::default()).await.expect("read");
    let outcomes: BTreeSet<_> = events.iter().map(|it| it.outcome.as_str()).collect();
    let expected =
        ["queued", "skipped: no server was there in time", "skipped: the run before is not over"];
    assert_eq!(outcomes, expected.into());
    assert_eq!(store.runs(us.0, id, None, Limit::default()).await.expect("read").len(), 1);

    // Organizations take turns, however many are due of one, and since when.
    for number in 0..4 {
        let id = put(store, us, &format!("scheduled {number}"), at, 1).await;
        store.change(us.0, id, &mut set).await.expect("stored");
    }
    let theirs = put(store, them, "scheduled", at, 1).await;
    let mut set = |it: &mut Workflow| {
        it.next_slot = next.map(|it| it + SignedDuration::from_mins(1));
        Ok(Changed::default())
    };
    store.change(them.0, theirs, &mut set).await.expect("stored");
    let due = store.due(2, &[]).await.expect("read");
    assert!(due.len() == 2 && due[1] == (them.0, theirs), "{due:?}");
    assert_eq!(store.due(10, &[theirs]).await.expect("read").len(), 4);
}
