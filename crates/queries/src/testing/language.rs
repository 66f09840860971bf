//! The contract that every [`LanguageStore`] keeps.

use jiff::Timestamp;
use plinth_connections::ConnectionId;
use plinth_core::{OrgId, UserId};
use plinth_schema_introspect::SnapshotId;
use plinth_tenancy::AuditEntry;

use crate::{
    Entry, EntryBody, EntryId, EntryKind, EntryStatus, LanguageStore, PutEntryError, QueryId,
};

fn metric((org, user): (OrgId, UserId), connection: ConnectionId, name: &str) -> Entry {
    let at = "2026-01-01T00:00:00Z".parse::<Timestamp>().expect("a time");
    Entry {
        id: EntryId::from_uuid(EntryKind::Metric, QueryId::new(at).as_uuid()),
        org,
        connection,
        name: name.to_owned(),
        body: EntryBody::Metric {
            synonyms: vec!["takings".to_owned()],
            table: "public.orders".to_owned(),
            expression: "sum(total)".to_owned(),
            filter: None,
            time: Some("placed_at".to_owned()),
            description: None,
        },
        status: EntryStatus::Active,
        broken: None,
        checked: Some(SnapshotId::new(at)),
        version: 0,
        created_by: user,
        created_at: at,
        updated_by: user,
        updated_at: at,
    }
}

/// Runs the contract: `ours` and `theirs` are an organization and a person in it each, `connection` is ours;
/// `told` makes an entry of an organization's audit trail.
pub async fn language_store_contract(
    store: &dyn LanguageStore,
    ours: (OrgId, UserId),
    theirs: (OrgId, UserId),
    connection: ConnectionId,
    told: &(dyn Fn(OrgId) -> AuditEntry + Sync),
) {
    let mut first = metric(ours, connection, "Revenue");
    assert_eq!(store.version(ours.0, connection).await.expect("reads"), 0);
    first.version = store.insert(&first, 2, &told(ours.0)).await.expect("kept");
    assert_eq!(first.version, 1);
    let all = store.all(ours.0, connection).await.expect("reads");
    assert_eq!((all.version, all.entries), (1, vec![first.clone()]), "everything is kept");
    let others = store.all(theirs.0, connection).await.expect("reads");
    assert!(others.entries.is_empty() && others.version == 0);

    let stranger = metric(theirs, connection, "Revenue");
    let refused = store.insert(&stranger, 2, &told(theirs.0)).await;
    assert!(matches!(refused, Err(PutEntryError::Missing)), "no connection of theirs");
    let same = store.insert(&metric(ours, connection, "REVENUE"), 2, &told(ours.0)).await;
    assert!(matches!(same, Err(PutEntryError::NameTaken)), "whatever its case");
    let second = metric(ours, connection, "margin");
    store.insert(&second, 2, &told(ours.0)).await.expect("kept");
    let third = store.insert(&metric(ours, connection, "more"), 2, &told(ours.0)).await;
    assert!(matches!(third, Err(PutEntryError::TooMany)));

    let stale = store.update(&first, Some(&[7]), &told(ours.0)).await;
    assert!(matches!(stale, Err(PutEntryError::Changed)));
    let taken = Entry { name: "Margin".to_owned(), ..first.clone() };
    let taken = store.update(&taken, None, &told(ours.0)).await;
    assert!(matches!(taken, Err(PutEntryError::NameTaken)));
    first.name = "turnover".to_owned();
    let version = store.update(&first, Some(&[1]), &told(ours.0)).await.expect("changed");
    first.version = version;
    let all = store.all(ours.0, connection).await.expect("reads");
    assert_eq!(all.version, version);
    assert!(all.entries.contains(&first), "{all:?}");

    let now = SnapshotId::new(first.created_at);
    let why = Some("the column total is gone".to_owned());
    let mark = [(first.id, version, why.clone())];
    store.mark(theirs.0, connection, now, &mark).await.expect("answers");
    let outdated = [(first.id, version - 1, why.clone())];
    store.mark(ours.0, connection, now, &outdated).await.expect("answers");
    let unmarked = store.all(ours.0, connection).await.expect("reads");
    assert!(unmarked.entries.contains(&first), "another version was tried: {unmarked:?}");
    store.mark(ours.0, connection, now, &mark).await.expect("marked");
    let marked = store.all(ours.0, connection).await.expect("reads");
    assert!(marked.version > version, "every server sees it");
    let found = marked.entries.iter().find(|it| it.id == first.id).expect("there");
    assert_eq!((&found.broken, found.checked, found.version), (&why, Some(now), version));

    let (org, id) = (ours.0, first.id);
    let other = store.remove(theirs.0, connection, id, None, &told(theirs.0)).await;
    assert!(matches!(other, Err(PutEntryError::Missing)));
    let stale = store.remove(org, connection, id, Some(&[1]), &told(ours.0)).await;
    assert!(matches!(stale, Err(PutEntryError::Changed)));
    store.remove(org, connection, id, Some(&[version]), &told(ours.0)).await.expect("removed");
    let gone = store.update(&first, None, &told(ours.0)).await;
    assert!(matches!(gone, Err(PutEntryError::Missing)));
}
