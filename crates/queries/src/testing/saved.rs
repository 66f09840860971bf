use jiff::{SignedDuration, Timestamp};
use plinth_connections::ConnectionId;
use plinth_core::{Limit, OrgId, UserId};
use plinth_tenancy::AuditEntry;
use serde_json::json;

use super::{record, told};
use crate::{
    Definition, HistoryFilter, Parameter, ParameterKind, QueryId, QueryRecord, QueryStore, RunOf,
    SavedStore, Version, Visibility,
};

fn parameter() -> Parameter {
    Parameter {
        name: "state".to_owned(),
        kind: ParameterKind::Enum { options: vec!["paid".to_owned(), "open".to_owned()] },
        label: Some("State".to_owned()),
        description: None,
        required: true,
        default: Some(json!("paid")),
    }
}

fn version(of: &QueryRecord, number: u32) -> Version {
    Version {
        query: of.id,
        number,
        sql: of.sql.clone().unwrap_or_default(),
        parameters: of.definition.parameters.clone(),
        restored_from: (number > 2).then_some(1),
        repair: None,
        made_by: of.user,
        made_at: of.created_at,
    }
}

/// What every store promises, which is also a [`QueryStore`]. `ours` and `theirs` are organizations that exist; `connection`
/// is one of ours; `made` is an entry for the trail.
pub async fn saved_store_contract<S: QueryStore + SavedStore>(
    store: &S,
    ours: (OrgId, UserId),
    theirs: (OrgId, UserId),
    connection: ConnectionId,
    made: &(dyn Fn(OrgId) -> AuditEntry + Sync),
) {
    let at = "2026-02-01T00:00:00Z".parse::<Timestamp>().expect("a time");
    let all = HistoryFilter::default();
    let limit = Limit::default();

    // Saved without having been run.
    let plain = record(ours.0, ours.1, connection, at);
    let new = QueryRecord {
        question: None,
        error: None,
        row_count: None,
        truncated: false,
        execution_time_ms: None,
        saved: true,
        name: Some("Orders".to_owned()),
        description: Some("All of them".to_owned()),
        tags: vec!["sales".to_owned()],
        definition: Definition {
            owner: Some(ours.1),
            visibility: Visibility::Private,
            parameters: vec![parameter()],
            max_age_seconds: Some(60),
            version: 1,
            revision: 1,
            updated_at: Some(at),
        },
        ..plain
    };
    store.insert_saved(&new, &version(&new, 1), &made(ours.0)).await.expect("kept");
    let found = store.find(ours.0, new.id, all.clone()).await.expect("finds");
    assert_eq!(found.as_ref(), Some(&new), "everything is kept");
    assert!(store.find(theirs.0, new.id, all.clone()).await.expect("answers").is_none());

    // What somebody keeps to themselves is theirs.
    let mine = HistoryFilter { viewer: Some(ours.1), ..all.clone() };
    let others = HistoryFilter { viewer: Some(theirs.1), ..all.clone() };
    assert!(store.find(ours.0, new.id, mine.clone()).await.expect("finds").is_some());
    assert!(store.find(ours.0, new.id, others.clone()).await.expect("answers").is_none());
    assert!(!store.remove(ours.0, new.id, others.clone(), 1, None).await.expect("answers"));
    let tagged = HistoryFilter { tag: Some("sales".to_owned()), ..mine };
    assert_eq!(store.list(ours.0, tagged, None, limit).await.expect("lists").len(), 1);

    // A run of it knows what it is a run of.
    let run = QueryRecord {
        id: QueryId::new(at),
        definition: Definition {
            owner: Some(ours.1),
            visibility: Visibility::Private,
            ..Definition::default()
        },
        run_of: Some(RunOf { query: new.id, version: 1 }),
        ..record(ours.0, ours.1, connection, at)
    };
    let public = QueryRecord {
        id: QueryId::new(at),
        definition: Definition::default(),
        created_at: at + SignedDuration::from_secs(1),
        ..run.clone()
    };
    store.insert(ours.0, &[told(&run), told(&public)]).await.expect("kept");
    assert_eq!(store.find(ours.0, run.id, all.clone()).await.expect("finds"), Some(run.clone()));
    let runs = HistoryFilter { run_of: Some(new.id), ..all.clone() };
    let ids = |records: Vec<QueryRecord>| records.iter().map(|it| it.id).collect::<Vec<_>>();
    let listed = store.list(ours.0, runs.clone(), None, limit).await.expect("lists");
    assert_eq!(ids(listed), [public.id, run.id], "newest first");
    let seen = HistoryFilter { run_of: Some(new.id), ..others };
    let listed = store.list(ours.0, seen, None, limit).await.expect("lists");
    assert_eq!(ids(listed), [public.id], "what ran in private stays private");
    assert!(store.list(theirs.0, runs, None, limit).await.expect("lists").is_empty());

    // A change counts for the revision that it was made for, once.
    let changed = QueryRecord {
        sql: Some("SELECT 2".to_owned()),
        name: Some("Others".to_owned()),
        definition: Definition {
            visibility: Visibility::Organization,
            parameters: Vec::new(),
            max_age_seconds: None,
            version: 2,
            revision: 2,
            ..new.definition.clone()
        },
        ..new.clone()
    };
    let second = version(&changed, 2);
    let elsewhere = QueryRecord { org: theirs.0, ..changed.clone() };
    assert!(!store.update_saved(&elsewhere, 1, None, &made(theirs.0)).await.expect("answers"));
    assert!(!store.update_saved(&changed, 7, Some(&second), &made(ours.0)).await.expect("answers"));
    assert!(store.update_saved(&changed, 1, Some(&second), &made(ours.0)).await.expect("changed"));
    assert!(!store.update_saved(&changed, 1, Some(&second), &made(ours.0)).await.expect("answers"));
    let found = store.find(ours.0, new.id, all.clone()).await.expect("finds");
    assert_eq!(found.as_ref(), Some(&changed));

    // Versions stay.
    let third = QueryRecord {
        definition: Definition { version: 3, revision: 3, ..changed.definition.clone() },
        ..changed.clone()
    };
    let restored = version(&third, 3);
    assert!(store.update_saved(&third, 2, Some(&restored), &made(ours.0)).await.expect("changed"));
    let numbers = |versions: &[Version]| versions.iter().map(|it| it.number).collect::<Vec<_>>();
    let listed = store.versions(ours.0, new.id, u32::MAX, 10).await.expect("lists");
    assert_eq!(numbers(&listed), [3, 2, 1], "newest first");
    assert_eq!(listed[2], version(&new, 1), "everything is kept");
    assert_eq!(listed[0].restored_from, Some(1));
    let listed = store.versions(ours.0, new.id, 3, 1).await.expect("lists");
    assert_eq!(numbers(&listed), [2]);
    assert!(store.versions(theirs.0, new.id, u32::MAX, 10).await.expect("lists").is_empty());
    let found = store.version(ours.0, new.id, 2).await.expect("finds");
    assert_eq!(found, Some(second));
    assert!(store.version(ours.0, new.id, 4).await.expect("answers").is_none());
    assert!(store.version(theirs.0, new.id, 2).await.expect("answers").is_none());

    // They go with their query; its runs stay.
    let entry = made(ours.0);
    let gone = store.remove(ours.0, new.id, all.clone(), 2, Some(&entry)).await.expect("answers");
    assert!(!gone, "it has changed since");
    let gone = store.remove(ours.0, new.id, all.clone(), 3, Some(&entry)).await.expect("removed");
    assert!(gone);
    assert!(store.versions(ours.0, new.id, u32::MAX, 10).await.expect("lists").is_empty());
    assert!(store.find(ours.0, public.id, all).await.expect("finds").is_some());
}
