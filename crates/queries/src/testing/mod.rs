//! The contracts that stores keep; run them against each of them.

mod conversations;
mod language;
mod repairs;
mod runs;
mod saved;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use plinth_connections::ConnectionId;
use plinth_core::{Credential, Cursor, Limit, OrgId, Origin, UserId};

use crate::{
    Definition, HistoryEntry, HistoryFilter, Notes, QueryId, QueryOutcome, QueryRecord, QueryStore,
    RecordedError,
};

pub use conversations::conversation_store_contract;
pub use language::language_store_contract;
pub use repairs::repair_store_contract;
pub use runs::{query_run_store_contract, queued_run};
pub use saved::saved_store_contract;

fn record(org: OrgId, user: UserId, connection: ConnectionId, at: Timestamp) -> QueryRecord {
    QueryRecord {
        id: QueryId::new(at),
        org,
        connection,
        user,
        key: None,
        question: Some("how many orders are there?".to_owned()),
        sql: Some("SELECT count(*) FROM orders".to_owned()),
        outcome: QueryOutcome::Failed,
        notes: Notes {
            explanation: Some("counts the orders".to_owned()),
            tables: vec!["public.orders".to_owned()],
            assumptions: vec!["all of them".to_owned()],
            confidence: Some(0.75),
            engine: "embedded".to_owned(),
            answer: None,
            engine_ms: Some(0.25),
            restricted: vec!["public.orders".to_owned()],
            ..Notes::default()
        },
        error: Some(RecordedError {
            message: "gone".to_owned(),
            details: Some(serde_json::json!({ "sqlstate": "42P01" })),
        }),
        row_count: Some(3),
        truncated: true,
        execution_time_ms: Some(1.5),
        saved: false,
        name: None,
        description: None,
        tags: Vec::new(),
        definition: Definition::default(),
        run_of: None,
        created_at: at,
    }
}

/// With whoever made it.
fn told(record: &QueryRecord) -> Arc<HistoryEntry> {
    let origin = Arc::new(Origin { request_id: "a-request".into(), ..Origin::default() });
    Arc::new(HistoryEntry { record: record.clone(), credential: Credential::Job, origin })
}

/// A question that somebody asked, as it waits for the history.
pub fn entry(org: OrgId, user: UserId, connection: ConnectionId) -> HistoryEntry {
    let at = "2026-01-01T00:00:00Z".parse::<Timestamp>().expect("a time");
    HistoryEntry::clone(&told(&record(org, user, connection, at)))
}

/// What every store promises. `ours` and `theirs` are organizations that exist; `test` and `live` are connections of
/// ours, of which the first is marked as test.
pub async fn query_store_contract(
    store: &dyn QueryStore,
    ours: (OrgId, UserId),
    theirs: (OrgId, UserId),
    test: ConnectionId,
    live: ConnectionId,
) {
    let at = "2026-01-01T00:00:00Z".parse::<Timestamp>().expect("a time");
    let all = HistoryFilter::default();
    let first = Arc::new(record(ours.0, ours.1, live, at));
    let second = Arc::new(QueryRecord {
        saved: true,
        ..record(ours.0, ours.1, test, at + SignedDuration::from_secs(1))
    });
    let other = Arc::new(record(theirs.0, theirs.1, live, at));

    store.insert(ours.0, &[told(&first), told(&second)]).await.expect("kept");
    store.insert(ours.0, &[told(&first)]).await.expect("a second time changes nothing");
    store.insert(theirs.0, &[told(&other)]).await.expect("kept");

    let mut odd = record(theirs.0, theirs.1, live, at);
    odd.question = Some("a\0b".to_owned());
    odd.notes.explanation = Some("a\0b".to_owned());
    store.insert(theirs.0, &[told(&odd)]).await.expect("whatever callers send is kept");
    let odd = store.find(theirs.0, odd.id, all.clone()).await.expect("finds").expect("there");
    assert_eq!(odd.notes.explanation.as_deref(), Some("a\u{fffd}b"));

    let found = store.find(ours.0, first.id, all.clone()).await.expect("finds");
    assert_eq!(found.as_ref(), Some(first.as_ref()), "everything is kept");
    assert!(store.find(theirs.0, first.id, all.clone()).await.expect("answers").is_none());

    let limit = Limit::default();
    let ids = |records: Vec<QueryRecord>| records.iter().map(|it| it.id).collect::<Vec<_>>();
    let listed = store.list(ours.0, all.clone(), None, limit).await.expect("lists");
    assert_eq!(ids(listed), [second.id, first.id], "newest first, ours only");
    for filter in [
        HistoryFilter { saved_only: true, ..all.clone() },
        HistoryFilter { test_only: true, ..all.clone() },
        HistoryFilter { connection: Some(test), ..all.clone() },
        HistoryFilter { from: Some(second.created_at), ..all.clone() },
    ] {
        let listed = store.list(ours.0, filter.clone(), None, limit).await.expect("lists");
        assert_eq!(ids(listed), [second.id], "{filter:?}");
        assert!(store.find(ours.0, first.id, filter.clone()).await.expect("answers").is_none());
        assert!(!store.remove(ours.0, first.id, filter.clone(), 0, None).await.expect("answers"));
    }
    let words = |words: &[&str]| HistoryFilter {
        words: words.iter().map(|it| (*it).to_owned()).collect(),
        ..all.clone()
    };
    for (filter, count) in [
        (words(&["ORDERS", "many"]), 2),
        (words(&["orders", "100%"]), 0),
        (words(&["_"]), 0),
        (HistoryFilter { outcome: Some(QueryOutcome::Failed), ..all.clone() }, 2),
        (HistoryFilter { outcome: Some(QueryOutcome::Answered), ..all.clone() }, 0),
        (HistoryFilter { user: Some(ours.1), ..all.clone() }, 2),
        (HistoryFilter { user: Some(theirs.1), ..all.clone() }, 0),
        (HistoryFilter { engine: Some("embedded".to_owned()), ..all.clone() }, 2),
        (HistoryFilter { engine: Some("sql".to_owned()), ..all.clone() }, 0),
        (HistoryFilter { to: Some(first.created_at), ..all.clone() }, 0),
    ] {
        let listed = store.list(ours.0, filter.clone(), None, limit).await.expect("lists");
        assert_eq!(listed.len(), count, "{filter:?}");
    }

    let after = Cursor { created_at: second.created_at, id: second.id.as_uuid() };
    let listed = store.list(ours.0, all.clone(), Some(after), limit).await.expect("lists");
    assert_eq!(ids(listed), [first.id]);

    assert!(!store.remove(theirs.0, first.id, all.clone(), 0, None).await.expect("answers"));
    assert!(store.remove(ours.0, first.id, all.clone(), 0, None).await.expect("removed"));
    assert!(store.find(ours.0, first.id, all.clone()).await.expect("answers").is_none());

    // Its writer did not hear that it was written, and writes it again with what waited beside it.
    let third = record(ours.0, ours.1, live, at + SignedDuration::from_secs(2));
    let again = [told(&first), told(&second), told(&third)];
    store.insert(ours.0, &again).await.expect("kept");
    store.insert(ours.0, &again).await.expect("kept");
    assert!(store.find(ours.0, first.id, all.clone()).await.expect("answers").is_none());
    let listed = store.list(ours.0, all.clone(), None, limit).await.expect("lists");
    assert_eq!(
        ids(listed),
        [third.id, second.id],
        "what was removed stays so, and nothing else is"
    );
    assert!(!store.remove(ours.0, first.id, all.clone(), 0, None).await.expect("answers"));
    // What one organization removed says nothing of another's.
    assert!(store.find(theirs.0, other.id, all).await.expect("answers").is_some());
}
