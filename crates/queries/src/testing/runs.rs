use jiff::{SignedDuration, Timestamp};
use plinth_connections::ConnectionId;
use plinth_core::{ErrorKind, OrgId, UserId};
use serde_json::json;

use crate::{
    Beat, CutOff, QueryId, QueryRun, QueryRunId, QueryRunStore, RunFault, RunState, RunViewer,
    SavedColumn, SealedPage,
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// A run that somebody wants.
pub fn queued_run(
    (org, user): (OrgId, UserId),
    connection: ConnectionId,
    at: Timestamp,
) -> QueryRun {
    QueryRun {
        id: QueryRunId::new(at),
        org,
        user,
        connection,
        state: RunState::Queued,
        is_cancel_wanted: false,
        query: None,
        sql: None,
        answer: None,
        columns: Vec::new(),
        row_count: 0,
        row_limit: None,
        cut_off: None,
        text_replaced: false,
        cached_at: None,
        execution_time_ms: None,
        error: None,
        created_at: at,
        started_at: None,
        finished_at: None,
        expires_at: None,
    }
}

/// What every store promises. `ours` and `theirs` are organizations that exist; `test` and `live` are connections of ours, of
/// which the one is marked as test; `now` is what its database's clock says, about.
pub async fn query_run_store_contract(
    store: &dyn QueryRunStore,
    ours: (OrgId, UserId),
    theirs: (OrgId, UserId),
    (test, live): (ConnectionId, ConnectionId),
    now: Timestamp,
) {
    let viewer = |user| RunViewer { user, test_only: false };
    let lease = SignedDuration::from_secs(60);
    let run = queued_run(ours, live, now);
    assert!(store.insert(&run, 1, lease).await.expect("kept"));
    let second = queued_run(ours, test, now);
    assert!(!store.insert(&second, 1, lease).await.expect("counted"), "as many as there may be");
    assert!(store.insert(&second, 2, lease).await.expect("kept"));

    // Whose it is.
    let find = async |run: &QueryRun, org, viewer| {
        store.find(org, run.id, viewer, HOUR).await.expect("read")
    };
    assert_eq!(find(&run, ours.0, viewer(ours.1)).await.as_ref(), Some(&run));
    assert_eq!(find(&run, theirs.0, viewer(ours.1)).await, None);
    assert_eq!(find(&run, theirs.0, viewer(theirs.1)).await, None);
    assert_eq!(find(&run, ours.0, viewer(theirs.1)).await, None, "a colleague's");
    let by_test_key = RunViewer { user: ours.1, test_only: true };
    assert_eq!(find(&run, ours.0, by_test_key).await, None);
    assert!(find(&second, ours.0, by_test_key).await.is_some());

    // How it goes on.
    assert_eq!(store.beat(ours.0, run.id, lease).await.expect("held"), Beat::Kept);
    assert_eq!(store.beat(theirs.0, run.id, lease).await.expect("none"), Beat::Lost);
    let page = |first_row, row_count| SealedPage { first_row, row_count, sealed: vec![7; 9] };
    let mut run = QueryRun {
        state: RunState::Running,
        query: Some(QueryId::new(now)),
        sql: Some("SELECT 1".to_owned()),
        columns: vec![SavedColumn { name: "n".to_owned(), type_name: "integer".to_owned() }],
        row_count: 3,
        row_limit: Some(5),
        started_at: Some(now),
        ..run
    };
    assert!(store.save(&run, Some(&page(0, 3))).await.expect("kept"));
    run.row_count = 5;
    assert!(store.save(&run, Some(&page(3, 2))).await.expect("kept"));
    assert_eq!(find(&run, ours.0, viewer(ours.1)).await.as_ref(), Some(&run));
    let pages = async |org, from, most| {
        let found = store.pages(org, run.id, from, most, 1 << 20).await.expect("read");
        found.iter().map(|it| (it.first_row, it.row_count)).collect::<Vec<_>>()
    };
    assert_eq!(pages(ours.0, 0, 3).await, [(0, 3)]);
    assert_eq!(pages(ours.0, 2, 2).await, [(0, 3), (3, 2)]);
    assert_eq!(pages(ours.0, 3, 100).await, [(3, 2)]);
    assert_eq!(pages(ours.0, 5, 100).await, []);
    assert_eq!(pages(theirs.0, 0, 100).await, []);
    for (bytes, count) in [(1, 1), (9, 1), (10, 2)] {
        let found = store.pages(ours.0, run.id, 0, 100, bytes).await.expect("read");
        assert_eq!(found.len(), count, "each is nine bytes, and {bytes} are wanted");
    }

    // Who ends it.
    assert!(!store.cancel(theirs.0, run.id, viewer(theirs.1)).await.expect("none"));
    assert!(!store.cancel(ours.0, run.id, by_test_key).await.expect("none"));
    assert!(store.cancel(ours.0, run.id, viewer(ours.1)).await.expect("noted"));
    assert_eq!(store.beat(ours.0, run.id, lease).await.expect("held"), Beat::CancelWanted);
    let done = QueryRun {
        state: RunState::Succeeded,
        is_cancel_wanted: true,
        cut_off: Some(CutOff::Rows),
        text_replaced: true,
        answer: Some("Five.".to_owned()),
        execution_time_ms: Some(2.5),
        cached_at: Some(now),
        finished_at: Some(now),
        expires_at: Some(now + HOUR),
        ..run.clone()
    };
    assert!(store.save(&done, None).await.expect("kept"));
    assert_eq!(find(&run, ours.0, viewer(ours.1)).await.as_ref(), Some(&done));
    assert!(!store.save(&run, None).await.expect("ended"), "an ended run stays ended");
    assert_eq!(store.beat(ours.0, run.id, lease).await.expect("ended"), Beat::Lost);
    assert_eq!(pages(ours.0, 0, 100).await, [(0, 3), (3, 2)]);

    // What fails keeps no rows.
    assert!(
        store
            .save(&QueryRun { row_count: 3, ..second.clone() }, Some(&page(0, 3)))
            .await
            .expect("kept")
    );
    let fault = RunFault {
        kind: ErrorKind::Query,
        message: "no".to_owned(),
        details: Some(json!({ "sqlstate": "22012" })),
    };
    let failed = QueryRun {
        state: RunState::Failed,
        error: Some(fault),
        finished_at: Some(now),
        expires_at: Some(now + HOUR),
        ..second.clone()
    };
    assert!(store.save(&QueryRun { row_count: 3, ..failed.clone() }, None).await.expect("kept"));
    assert_eq!(find(&second, ours.0, viewer(ours.1)).await.as_ref(), Some(&failed));
    assert!(store.pages(ours.0, second.id, 0, 9, 9).await.expect("read").is_empty());

    // Whoever runs it is silent.
    let silent = queued_run(ours, live, now);
    assert!(store.insert(&silent, 1, SignedDuration::from_secs(-1)).await.expect("kept"));
    let next = queued_run(ours, live, now);
    assert!(store.insert(&next, 1, lease).await.expect("kept"), "what is lost does not count");
    let lost = find(&silent, ours.0, viewer(ours.1)).await.expect("it is there");
    assert_eq!((lost.state, lost.expires_at.is_some()), (RunState::Failed, true));
    assert_eq!(lost.error.expect("why").kind, ErrorKind::Unavailable);

    // Nobody has to look at it for that.
    let silent = queued_run(ours, live, now);
    assert!(store.insert(&silent, 9, SignedDuration::from_secs(-1)).await.expect("kept"));
    let partly = QueryRun { state: RunState::Running, row_count: 3, ..silent.clone() };
    assert!(store.save(&partly, Some(&page(0, 3))).await.expect("kept"));
    assert_eq!(store.end_lost(HOUR).await.expect("ended"), 1);
    assert_eq!(store.end_lost(HOUR).await.expect("none is left"), 0);
    let lost = find(&silent, ours.0, viewer(ours.1)).await.expect("it is there");
    assert_eq!(
        (lost.state, lost.row_count, lost.error),
        (RunState::Failed, 0, Some(RunFault::server_lost()))
    );
    assert!(store.pages(ours.0, silent.id, 0, 9, 9).await.expect("read").is_empty());
    assert!(
        !store.save(&partly, None).await.expect("ended"),
        "whoever ran it lives, and is too late"
    );
    assert_eq!(find(&next, ours.0, viewer(ours.1)).await, Some(next.clone()), "it is held");

    // What has expired is not shown, and goes.
    let over = QueryRun {
        state: RunState::Cancelled,
        finished_at: Some(now - HOUR),
        expires_at: Some(now - SignedDuration::from_mins(1)),
        ..next.clone()
    };
    assert!(store.save(&over, None).await.expect("kept"));
    assert_eq!(find(&next, ours.0, viewer(ours.1)).await, None);
    assert_eq!(store.sweep().await.expect("swept"), 1);
}
