//! The contracts that every [`SnapshotStore`] and [`AnnotationStore`] keeps; run them against each of them.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use plinth_connections::ConnectionId;
use plinth_core::{Cursor, Limit, OrgId, UserId};
use plinth_tenancy::AuditEntry;

use crate::{
    Annotation, AnnotationStore, AnnotationTarget, AnnotationText, Catalog, CatalogPatch,
    InsertSnapshotError, Parts, PutAnnotationError, Relation, Snapshot, SnapshotId, SnapshotStore,
};

/// A snapshot of a database with one table of that name.
pub fn snapshot(org: OrgId, connection: ConnectionId, table: &str, at: Timestamp) -> Snapshot {
    let relation = Relation {
        oid: 20_000,
        schema: "public".into(),
        name: table.into(),
        readable: true,
        ..Relation::default()
    };
    let catalog =
        Catalog { database: "shop".into(), relations: vec![relation.into()], ..Catalog::default() };
    Snapshot {
        id: SnapshotId::new(at),
        org,
        connection,
        catalog,
        taken_at: at,
        duration_ms: 12,
        parts: None,
    }
}

/// What every store of snapshots promises. The connection is of `ours`.
pub async fn snapshot_store_contract(
    store: &dyn SnapshotStore,
    (ours, theirs): (OrgId, OrgId),
    connection: ConnectionId,
) {
    let start = "2026-01-01T00:00:00Z".parse::<Timestamp>().expect("a time");
    let hour = |number: i64| start + SignedDuration::from_hours(number);
    let limit = Limit::default();
    let list = async |after: Option<Cursor>, limit: Limit| {
        store.list(ours, connection, after, limit).await.expect("lists")
    };

    let first = snapshot(ours, connection, "orders", hour(0));
    store.insert(&Arc::new(first.clone())).await.expect("the connection is there");
    assert_eq!(store.newest(ours, connection).await.expect("finds"), Some((first.id, hour(0))));
    assert!(store.newest(theirs, connection).await.expect("finds").is_none(), "not another's");
    let found = store.find(ours, first.id).await.expect("finds").expect("there");
    assert_eq!((&found.catalog, found.duration_ms), (&first.catalog, 12));
    assert!(store.find(theirs, first.id).await.expect("finds").is_none(), "not another's");

    // The same again, but for an estimate.
    let mut again = snapshot(ours, connection, "orders", hour(1));
    Arc::make_mut(&mut again.catalog.relations[0]).estimated_rows = Some(7.0);
    store.insert(&Arc::new(again.clone())).await.expect("inserts");
    let all = list(None, limit).await;
    assert_eq!(all.len(), 1, "nothing new is no history");
    assert_eq!((all[0].id, all[0].first_read_at, all[0].taken_at), (again.id, hour(0), hour(1)));
    let found = store.find(ours, first.id).await.expect("finds").expect("by its former id");
    assert_eq!((found.id, &found.catalog), (again.id, &again.catalog));
    assert!(store.find(theirs, first.id).await.expect("finds").is_none(), "not another's");

    let other = snapshot(ours, connection, "purchases", hour(2));
    store.insert(&Arc::new(other.clone())).await.expect("inserts");
    let back = snapshot(ours, connection, "orders", hour(3));
    store.insert(&Arc::new(back.clone())).await.expect("inserts");
    let ids = |all: &[crate::SnapshotSummary]| all.iter().map(|it| it.id).collect::<Vec<_>>();
    assert_eq!(ids(&list(None, limit).await), [back.id, other.id, again.id], "newest first");
    let page = list(None, Limit::ONE).await;
    assert_eq!(page.len(), 2, "one more than the limit");
    let after = Cursor { created_at: page[0].taken_at, id: page[0].id.as_uuid() };
    assert_eq!(ids(&list(Some(after), limit).await), [other.id, again.id]);
    assert!(store.list(theirs, connection, None, limit).await.expect("lists").is_empty());

    // One table of it read anew: nothing new at first, then something.
    let parts = |at: i64, table: &str, base: &Snapshot| {
        let relation = &snapshot(ours, connection, table, hour(at)).catalog.relations[0];
        let patch = CatalogPatch { relations: vec![relation.clone()], ..CatalogPatch::default() };
        let catalog = patch.apply(&base.catalog);
        let base_taken_at = base.taken_at;
        let parts = Some(Parts { base: base.id, base_taken_at, patch });
        Snapshot { catalog, parts, ..snapshot(ours, connection, table, hour(at)) }
    };
    let half = SignedDuration::from_mins(30);
    let unchanged = Snapshot { taken_at: hour(3) + half, ..parts(3, "orders", &back) };
    store.insert(&Arc::new(unchanged.clone())).await.expect("inserts");
    let all = list(None, limit).await;
    assert_eq!(ids(&all), [unchanged.id, other.id, again.id], "nothing new is no history");
    assert_eq!((all[0].first_read_at, all[0].taken_at), (hour(3), hour(3) + half));
    let found = store.find(ours, back.id).await.expect("finds").expect("by its former id");
    assert_eq!((found.id, &found.parts), (unchanged.id, &unchanged.parts));
    assert_eq!(found.whole_at(), hour(3));
    let changed = Snapshot { taken_at: hour(3) + half * 3 / 2, ..parts(3, "changed", &back) };
    store.insert(&Arc::new(changed.clone())).await.expect("inserts");
    assert_eq!(ids(&list(None, limit).await), [changed.id, unchanged.id, other.id, again.id]);
    let found = store.find(ours, changed.id).await.expect("finds").expect("there");
    assert_eq!((&found.catalog, &found.parts), (&changed.catalog, &changed.parts));
    assert!(store.find(theirs, changed.id).await.expect("finds").is_none(), "not another's");
    let nowhere = snapshot(ours, connection, "nowhere", hour(3));
    let refused = store.insert(&Arc::new(parts(3, "lost", &nowhere))).await;
    assert!(matches!(refused, Err(InsertSnapshotError::NoBase)), "on nothing");

    // Every hour another schema, for ten days.
    for number in 4..=240 {
        let next = snapshot(ours, connection, &format!("t{number}"), hour(number));
        store.insert(&Arc::new(next.clone())).await.expect("inserts");
    }
    let mut kept = Vec::new();
    let mut after = None;
    loop {
        let page = list(after, limit).await;
        let more = page.len() > 20;
        kept.extend(page.into_iter().take(20));
        match kept.last().filter(|_| more) {
            Some(last) => {
                after = Some(Cursor { created_at: last.taken_at, id: last.id.as_uuid() });
            }
            None => break,
        }
    }
    let hours: Vec<i64> =
        kept.iter().map(|it| it.taken_at.duration_since(start).as_hours()).collect();
    let daily = (0..9).rev().map(|day| day * 24 + 23).filter(|it| *it < 211);
    let expected: Vec<i64> = (211..=240).rev().chain(daily).collect();
    assert_eq!(hours, expected, "thirty, and the last of each day before");

    let stranger = snapshot(theirs, connection, "orders", hour(300));
    let refused = store.insert(&Arc::new(stranger.clone())).await;
    assert!(matches!(refused, Err(InsertSnapshotError::NoConnection)), "not into another's");
}

/// What every store of annotations promises. The connection is of `ours`.
pub async fn annotation_store_contract(
    store: &dyn AnnotationStore,
    (ours, user): (OrgId, UserId),
    theirs: (OrgId, UserId),
    connection: ConnectionId,
) {
    let at = "2026-01-01T00:00:00Z".parse::<Timestamp>().expect("a time");
    let entry = |org: OrgId| AuditEntry::of_plinth(org, at, "system", "schema.annotated");
    let about = |table: &str, column: Option<&str>, words: &str| Annotation {
        org: ours,
        connection,
        target: AnnotationTarget {
            schema: "public".to_owned(),
            table: table.to_owned(),
            column: column.map(str::to_owned),
        },
        text: AnnotationText::parse(Some(words), ["revenue", "Umsatz"]).expect("good"),
        version: 0,
        updated_by: user,
        updated_at: at,
    };
    assert_eq!(store.version(ours, connection).await.expect("answers"), 0);
    let orders = about("orders", None, "What people bought.");
    let total = about("orders", Some("total"), "With tax.");
    let first = store.put(&orders, None, &entry(ours)).await.expect("kept");
    let second = store.put(&total, None, &entry(ours)).await.expect("kept");
    assert!(first > 0 && second > first);
    assert_eq!(store.version(ours, connection).await.expect("answers"), second);
    let all = store.all(ours, connection).await.expect("reads");
    assert_eq!(all.version(), second);
    let expected = [
        Annotation { version: first, ..orders.clone() },
        Annotation { version: second, ..total.clone() },
    ];
    assert_eq!(all.iter().cloned().collect::<Vec<_>>(), expected, "everything is kept");
    assert!(store.all(theirs.0, connection).await.expect("reads").is_empty(), "not another's");
    assert_eq!(store.version(theirs.0, connection).await.expect("answers"), 0);

    let anew = about("orders", None, "Orders of the shop.");
    let stale = store.put(&anew, Some(first + 100), &entry(ours)).await;
    assert!(matches!(stale, Err(PutAnnotationError::Changed)));
    let third = store.put(&anew, Some(first), &entry(ours)).await.expect("the expected one");
    let absent = about("customers", None, "Who buys.");
    let none = store.put(&absent, Some(1), &entry(ours)).await;
    assert!(matches!(none, Err(PutAnnotationError::Changed)), "there is none to expect");
    let all = store.all(ours, connection).await.expect("reads");
    let kept = all.table("public", "orders").expect("there");
    assert_eq!((kept.text.description(), kept.version), (anew.text.description(), third));

    let stranger = Annotation { org: theirs.0, updated_by: theirs.1, ..absent.clone() };
    let refused = store.put(&stranger, None, &entry(theirs.0)).await;
    assert!(matches!(refused, Err(PutAnnotationError::NoConnection)), "not beside another's");

    let target = &anew.target;
    let removed = store.remove(theirs.0, connection, target, None, &entry(theirs.0)).await;
    assert!(!removed.expect("answers"), "not another's");
    let stale = store.remove(ours, connection, target, Some(first), &entry(ours)).await;
    assert!(matches!(stale, Err(PutAnnotationError::Changed)));
    assert!(store.remove(ours, connection, target, Some(third), &entry(ours)).await.expect("gone"));
    assert!(!store.remove(ours, connection, target, None, &entry(ours)).await.expect("answers"));
    assert!(store.version(ours, connection).await.expect("answers") > third, "removing counts");
    assert_eq!(store.all(ours, connection).await.expect("reads").iter().count(), 1);
}
