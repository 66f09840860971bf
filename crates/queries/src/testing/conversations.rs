//! The contract that every [`ConversationStore`] keeps.

use jiff::{SignedDuration, Timestamp};
use plinth_connections::ConnectionId;
use plinth_core::{Cursor, Limit, OrgId, UserId};
use serde_json::json;

use crate::{
    Conversation, ConversationFilter, ConversationId, ConversationStore, KEPT_TURNS, Notes,
    QueryId, QueryOutcome, Turn, TurnState,
};

fn conversation(
    (org, user): (OrgId, UserId),
    connection: ConnectionId,
    at: Timestamp,
) -> Conversation {
    Conversation {
        id: ConversationId::new(at),
        org,
        user,
        connection,
        title: "How many orders?".to_owned(),
        turns: 1,
        created_at: at,
        updated_at: at,
        expires_at: at + SignedDuration::from_hours(1),
    }
}

fn turn(at: Timestamp, outcome: QueryOutcome, before: Option<u32>) -> Turn {
    Turn {
        number: 1,
        query: QueryId::new(at),
        question: Some("How many orders?".to_owned()),
        sql: Some("SELECT count(*) FROM orders".to_owned()),
        outcome,
        notes: Notes { taken_over: vec!["all of them".to_owned()], ..Notes::default() },
        state: Some(TurnState {
            structure: "a".to_owned(),
            query: json!({ "limit": 1 }),
            questions: vec!["How many orders?".to_owned()],
        }),
        before,
        created_at: at,
    }
}

/// Runs the contract: `ours` and `theirs` are an organization and a person in it each; `test` and `live` are connections
/// of ours, of which the first is marked as test.
pub async fn conversation_store_contract(
    store: &dyn ConversationStore,
    ours: (OrgId, UserId),
    theirs: (OrgId, UserId),
    test: ConnectionId,
    live: ConnectionId,
) {
    let at = "2026-01-01T00:00:00Z".parse::<Timestamp>().expect("a time");
    let second = SignedDuration::from_secs(1);
    let filter =
        |(org, user): (OrgId, UserId)| ConversationFilter { org, user, test_only: false, now: at };
    let mut first = conversation(ours, live, at);
    let other = conversation(ours, test, at + second);
    let answered = turn(at, QueryOutcome::Answered, None);
    assert_eq!(store.add(&first, true, &answered).await.expect("kept"), Some(1));
    assert_eq!(store.add(&other, true, &answered).await.expect("kept"), Some(1));
    let stranger = conversation(theirs, live, at);
    let kept = store.add(&stranger, true, &answered).await.expect("answers");
    assert_eq!(kept, None, "there is no such connection of theirs");

    let found = store.find(filter(ours), first.id).await.expect("finds");
    assert_eq!(found.as_ref(), Some(&first), "everything is kept");
    assert!(store.find(filter(theirs), first.id).await.expect("answers").is_none());
    let somebody = UserId::new(at);
    let colleague = (ours.0, somebody);
    assert!(store.find(filter(colleague), first.id).await.expect("answers").is_none());
    let late = ConversationFilter { now: first.expires_at, ..filter(ours) };
    assert!(store.find(late, first.id).await.expect("answers").is_none(), "expired");
    let test_only = ConversationFilter { test_only: true, ..filter(ours) };
    assert!(store.find(test_only, first.id).await.expect("answers").is_none());
    assert!(store.find(test_only, other.id).await.expect("finds").is_some());

    let turns = store.turns(ours.0, first.id).await.expect("reads");
    assert_eq!(turns, std::slice::from_ref(&answered));
    assert!(store.turns(theirs.0, first.id).await.expect("reads").is_empty());

    first.updated_at = at + second + second;
    first.expires_at = at + SignedDuration::from_hours(2);
    let asked_back = turn(first.updated_at, QueryOutcome::NeedsClarification, Some(1));
    assert_eq!(store.add(&first, false, &asked_back).await.expect("kept"), Some(2));
    first.turns = 2;
    let found = store.find(filter(ours), first.id).await.expect("finds");
    assert_eq!(found, Some(first.clone()), "its use is noted");
    let last = store.answered(ours.0, first.id, None).await.expect("finds");
    assert_eq!(last.as_ref(), Some(&answered), "what was asked back answers nothing");
    assert!(store.answered(ours.0, first.id, Some(2)).await.expect("answers").is_none());
    assert!(store.answered(theirs.0, first.id, None).await.expect("answers").is_none());

    let limit = Limit::default();
    let ids = |all: Vec<Conversation>| all.iter().map(|it| it.id).collect::<Vec<_>>();
    let listed = store.list(filter(ours), None, limit).await.expect("lists");
    assert_eq!(ids(listed), [first.id, other.id], "last used first");
    let after = Cursor { created_at: first.updated_at, id: first.id.as_uuid() };
    let listed = store.list(filter(ours), Some(after), limit).await.expect("lists");
    assert_eq!(ids(listed), [other.id]);
    assert!(store.list(filter(theirs), None, limit).await.expect("lists").is_empty());

    for _ in 0..KEPT_TURNS {
        store.add(&first, false, &asked_back).await.expect("kept");
    }
    let turns = store.turns(ours.0, first.id).await.expect("reads");
    assert_eq!((turns.len(), turns[0].number), (KEPT_TURNS as usize, 3), "the oldest go");

    assert!(!store.remove(filter(theirs), first.id).await.expect("answers"));
    assert!(store.remove(filter(ours), first.id).await.expect("removed"));
    assert!(store.turns(ours.0, first.id).await.expect("reads").is_empty());
    let gone = store.add(&first, false, &asked_back).await.expect("answers");
    assert_eq!(gone, None, "what was deleted does not come back");

    let newest = conversation(ours, live, at + second + second);
    store.add(&newest, true, &answered).await.expect("kept");
    assert_eq!(store.sweep(theirs.0, late.now, 0).await.expect("sweeps"), 0);
    assert_eq!(store.sweep(ours.0, at, 1).await.expect("sweeps"), 1, "more than one may keep");
    assert!(store.find(filter(ours), newest.id).await.expect("finds").is_some());
    assert_eq!(store.sweep(ours.0, newest.expires_at, 9).await.expect("sweeps"), 1, "expired");
    assert!(store.organizations().await.expect("lists").contains(&ours.0));
}
