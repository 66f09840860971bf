use jiff::{SignedDuration, Timestamp};
use plinth_connections::ConnectionId;
use plinth_core::{Limit, OrgId, UserId};
use plinth_schema_introspect::SnapshotId;
use plinth_tenancy::AuditEntry;

use super::record;
use crate::repairs::{
    DryRun, MetChange, ModeOf, OwnMode, Proposal, ProposedAction, ProposedStep, Repair,
    RepairFilter, RepairId, RepairMode, RepairState, RepairStore,
};
use crate::{Definition, QueryId, QueryRecord, SavedStore, Version, VersionRepair, Visibility};

fn saved(of: &QueryRecord, visibility: Visibility) -> (QueryRecord, Version) {
    let definition = Definition {
        owner: Some(of.user),
        visibility,
        version: 1,
        revision: 1,
        updated_at: Some(of.created_at),
        ..Definition::default()
    };
    let record =
        QueryRecord { saved: true, name: Some("Sums".to_owned()), definition, ..of.clone() };
    let version = Version {
        query: record.id,
        number: 1,
        sql: record.sql.clone().unwrap_or_default(),
        parameters: Vec::new(),
        restored_from: None,
        repair: None,
        made_by: record.user,
        made_at: record.created_at,
    };
    (record, version)
}

fn repair(of: &QueryRecord, name: &str, from: SnapshotId, at: Timestamp) -> Repair {
    let change = MetChange {
        kind: "renamed".to_owned(),
        object: "column".to_owned(),
        table: Some("public.orders".to_owned()),
        name: name.to_owned(),
        aspect: None,
        before: Some("total".to_owned()),
        after: Some(name.to_owned()),
        confidence: Some(1.0),
    };
    let dry_run = DryRun {
        succeeded: true,
        error: None,
        differences: Vec::new(),
        rows: 3,
        duration_ms: 1.5,
        at,
    };
    Repair {
        id: RepairId::new(at),
        org: of.org,
        query: of.id,
        connection: of.connection,
        version: of.definition.version,
        state: RepairState::Open,
        from,
        to: SnapshotId::new(at),
        why: "column \"total\" does not exist".to_owned(),
        changes: vec![change],
        proposal: Some(Proposal {
            sql: format!("SELECT {name} AS total FROM orders"),
            steps: vec![ProposedStep { change: 0, action: ProposedAction::Rename, detail: None }],
            is_certain: true,
            dry_run,
        }),
        no_proposal: None,
        applied_version: None,
        settled_by: None,
        created_at: at,
        updated_at: at,
    }
}

fn of(viewer: UserId, query: QueryId) -> RepairFilter {
    RepairFilter {
        viewer,
        test_only: false,
        states: Vec::new(),
        queries: Some(vec![query]),
        id: None,
    }
}

/// What every store promises, which is also a [`SavedStore`]. `ours` and `theirs` are organizations that exist; `connection` is
/// one of ours; `made` is an entry for the trail.
///
/// # Panics
///
/// If the store breaks it.
pub async fn repair_store_contract<S: RepairStore + SavedStore>(
    store: &S,
    ours: (OrgId, UserId),
    theirs: (OrgId, UserId),
    connection: ConnectionId,
    made: &(dyn Fn(OrgId) -> AuditEntry + Sync),
) {
    let at = "2026-05-01T00:00:00Z".parse::<Timestamp>().expect("a time");
    let (org, user) = ours;
    let limit = Limit::default();
    let (query, first) = saved(&record(org, user, connection, at), Visibility::Organization);
    let (secret, its) = saved(&record(org, user, connection, at), Visibility::Private);
    for (record, version) in [(&query, &first), (&secret, &its)] {
        store.insert_saved(record, version, &made(org)).await.expect("kept");
    }
    let all = store.saved_over(org, connection, None, 100).await.expect("listed");
    let place = |id| all.iter().position(|it| it.id == id);
    assert!(place(query.id).is_some() && place(secret.id).is_some());
    assert!(all.is_sorted_by_key(|it| it.id.as_uuid()));
    let after = store.saved_over(org, connection, all.last().map(|it| it.id), 100).await;
    assert!(after.expect("listed").is_empty());
    let others = store.saved_over(theirs.0, connection, None, 100).await.expect("listed");
    assert!(others.is_empty(), "another organization's");

    // A query has one repair that is not settled.
    let from = SnapshotId::new(at);
    let open = repair(&query, "amount", from, at);
    assert_eq!(store.note(&open, &made(org)).await.expect("noted"), Some(open.clone()));
    let later = at + SignedDuration::from_mins(1);
    let again = Repair { updated_at: later, ..repair(&query, "amount", from, at) };
    let known = store.note(&again, &made(org)).await.expect("noted").expect("there");
    assert_eq!((known.id, known.created_at, known.updated_at), (open.id, at, later));
    assert_eq!(
        store.unsettled(org, connection).await.expect("listed"),
        std::slice::from_ref(&known)
    );
    let other_base = Repair { from: SnapshotId::new(at), ..again.clone() };
    assert_eq!(
        store.note(&other_base, &made(org)).await.expect("no failure"),
        None,
        "what changed since another schema"
    );
    let old = Repair { version: 7, ..repair(&query, "amount", from, at) };
    assert_eq!(store.note(&old, &made(org)).await.expect("no failure"), None, "another version");
    let hidden = repair(&secret, "amount", from, at);
    store.note(&hidden, &made(org)).await.expect("noted").expect("there");

    // Who sees the query sees it.
    let list = async |viewer, query| {
        store.list(org, &of(viewer, query), None, limit).await.expect("listed")
    };
    assert_eq!(list(theirs.1, query.id).await, std::slice::from_ref(&known));
    assert_eq!(list(user, secret.id).await.len(), 1);
    assert!(list(theirs.1, secret.id).await.is_empty(), "it is private");
    let elsewhere = store.list(theirs.0, &of(user, query.id), None, limit).await.expect("listed");
    assert!(elsewhere.is_empty());
    let settled = RepairFilter { states: vec![RepairState::Applied], ..of(user, query.id) };
    assert!(store.list(org, &settled, None, limit).await.expect("listed").is_empty());

    // Dismissed it stays so until it meets something else.
    let dismissed = store.dismiss(org, open.id, user, later, &made(org)).await.expect("no failure");
    assert_eq!(dismissed.expect("there").state, RepairState::Dismissed);
    assert!(
        store.dismiss(org, open.id, user, later, &made(org)).await.expect("no failure").is_none()
    );
    assert!(
        store
            .dismiss(theirs.0, hidden.id, user, later, &made(theirs.0))
            .await
            .expect("no failure")
            .is_none()
    );
    let same = store.note(&again, &made(org)).await.expect("noted").expect("there");
    assert_eq!(same.state, RepairState::Dismissed);
    let other = repair(&query, "sum", from, at);
    let reopened = store.note(&other, &made(org)).await.expect("noted").expect("there");
    assert_eq!((reopened.id, reopened.state), (open.id, RepairState::Open));

    // The version that it is settles it; no version is made of one that is settled.
    let definition = Definition { version: 2, revision: 2, ..query.definition.clone() };
    let mended = QueryRecord { definition, ..query.clone() };
    let version = Version {
        number: 2,
        repair: Some(VersionRepair {
            repair: open.id,
            of: 1,
            is_certain: true,
            by_itself: true,
            reason: "The schema changed".to_owned(),
        }),
        ..first.clone()
    };
    assert!(store.update_saved(&mended, 1, Some(&version), &made(org)).await.expect("written"));
    let kept = store.version(org, query.id, 2).await.expect("found").expect("there");
    assert_eq!(kept, version);
    let applied = list(user, query.id).await.remove(0);
    assert_eq!((applied.state, applied.applied_version), (RepairState::Applied, Some(2)));
    assert_eq!(applied.settled_by, None, "nobody");
    let definition = Definition { version: 3, revision: 3, ..query.definition.clone() };
    let twice = QueryRecord { definition, ..query.clone() };
    let version = Version { number: 3, ..version };
    assert!(!store.update_saved(&twice, 2, Some(&version), &made(org)).await.expect("no failure"));
    assert!(store.version(org, query.id, 3).await.expect("found").is_none());

    // What works again is settled too.
    assert!(store.resolve(org, secret.id, later, &made(org)).await.expect("no failure"));
    assert!(!store.resolve(org, secret.id, later, &made(org)).await.expect("no failure"));
    assert!(store.unsettled(org, connection).await.expect("listed").is_empty());
    store.tell(org, connection, later).await.expect("told");

    // Modes.
    assert_eq!(store.mode(org, query.id).await.expect("read"), RepairMode::Suggest);
    let set =
        async |of, mode| store.set_mode(org, user, of, mode, &made(org)).await.expect("no failure");
    assert!(set(ModeOf::Organization, Some(RepairMode::Off)).await);
    assert!(set(ModeOf::Organization, Some(RepairMode::Auto)).await);
    assert_eq!(store.mode(org, query.id).await.expect("read"), RepairMode::Auto);
    assert_eq!(store.mode(theirs.0, query.id).await.expect("read"), RepairMode::Suggest);
    assert!(set(ModeOf::Query(secret.id), Some(RepairMode::Off)).await);
    assert_eq!(store.mode(org, secret.id).await.expect("read"), RepairMode::Off);
    assert!(!set(ModeOf::Query(QueryId::new(at)), Some(RepairMode::Off)).await);
    assert!(!set(ModeOf::Dashboard(uuid::Uuid::nil()), Some(RepairMode::Off)).await);
    let foreign = ModeOf::Query(query.id);
    let mode = Some(RepairMode::Off);
    let theirs_set = store.set_mode(theirs.0, theirs.1, foreign, mode, &made(theirs.0)).await;
    assert!(!theirs_set.expect("no failure"));
    let organization = OwnMode { of: ModeOf::Organization, mode: RepairMode::Auto };
    let of_secret = OwnMode { of: ModeOf::Query(secret.id), mode: RepairMode::Off };
    let all = store.modes(org, user).await.expect("listed");
    assert_eq!(all, [organization, of_secret]);
    assert_eq!(store.modes(org, theirs.1).await.expect("listed"), [organization]);
    assert!(set(ModeOf::Query(secret.id), None).await);
    assert_eq!(store.mode(org, secret.id).await.expect("read"), RepairMode::Auto);
}
