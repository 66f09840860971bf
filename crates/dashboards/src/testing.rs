//! The contract of the store port: what any [`DashboardStore`] must do.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use plinth_charts::Kind;
use plinth_core::{Attribute, Cursor, Limit, OrgId, UserId};
use plinth_queries::QueryId;
use plinth_tenancy::AuditEntry;
use plinth_tenancy::outbox::{Letter, LetterTo, Message};
use serde_json::{Map, json};

use crate::{
    Dashboard, DashboardError, DashboardId, DashboardStore, Filter, Position, Reach, Share,
    ShareId, ShareKind, Widget, WidgetId,
};

/// A dashboard of that name with one widget and one filter.
pub fn dashboard((org, owner): (OrgId, UserId), name: &str, at: Timestamp) -> Dashboard {
    let widget = Widget {
        id: WidgetId::new(at),
        kind: Kind::Bar,
        title: "Orders by country".to_owned(),
        owner: Some(owner),
        paused_at: None,
        query: Some(QueryId::new(at)),
        version: Some(2),
        parameters: Map::from_iter([("limit".to_owned(), json!(5))]),
        filters: BTreeMap::from_iter([("country".to_owned(), "country".to_owned())]),
        position: Position { x: 0, y: 0, w: 6, h: 4 },
        options: json!({ "stacked": true }),
        max_age_seconds: Some(60),
    };
    let filter = Filter {
        name: "country".to_owned(),
        label: Some("Country".to_owned()),
        default: Some(json!("Chad")),
        options: vec![json!("Chad"), json!("Mali")],
    };
    Dashboard {
        id: DashboardId::new(at),
        org,
        name: name.to_owned(),
        description: "How it goes.".to_owned(),
        owner,
        widgets: vec![widget],
        filters: vec![filter],
        refresh_seconds: Some(300),
        revision: 1,
        created_at: at,
        updated_at: at,
    }
}

/// A link to it that works for an hour.
pub fn share(dashboard: &Dashboard, at: Timestamp) -> Share {
    let locked = Map::from_iter([("country".to_owned(), json!("Mali"))]);
    Share {
        id: ShareId::new(at),
        org: dashboard.org,
        dashboard: dashboard.id,
        kind: ShareKind::Embed,
        name: "Intranet".to_owned(),
        by: dashboard.owner,
        open: Vec::new(),
        attributes: BTreeMap::from([("country".to_owned(), Attribute::text("Chad"))]),
        reach: Some(Reach::of(&dashboard.widgets, &locked)),
        locked,
        expires_at: at + SignedDuration::from_hours(1),
        revoked_at: None,
        created_at: at,
    }
}

fn entry(org: OrgId, at: Timestamp) -> AuditEntry {
    AuditEntry::of_plinth(org, at, "system", "dashboard.changed")
}

/// Dashboards are kept, listed, changed and removed, each by its organization only.
///
/// # Panics
///
/// If the store does not do what its port says.
pub async fn dashboards_are_their_organizations_own(
    store: &dyn DashboardStore,
    ann: (OrgId, UserId),
    bob: (OrgId, UserId),
    at: Timestamp,
) {
    let later = |seconds| at + SignedDuration::from_secs(seconds);
    let first = dashboard(ann, "First", at);
    let second = dashboard(ann, "Second", later(1));
    for it in [&first, &second] {
        store.insert(it, 2, &entry(ann.0, at)).await.expect("kept");
    }
    let third = dashboard(ann, "Third", later(2));
    let refused = store.insert(&third, 2, &entry(ann.0, at)).await;
    assert!(matches!(refused, Err(DashboardError::TooMany(2))));
    let theirs = dashboard(bob, "First", at);
    store.insert(&theirs, 2, &entry(bob.0, at)).await.expect("kept");

    assert_eq!(store.find(ann.0, first.id).await.expect("read").as_ref(), Some(&first));
    assert_eq!(store.find(bob.0, first.id).await.expect("read"), None);
    let one = Limit::new(1).expect("a limit");
    let page = store.list(ann.0, None, one).await.expect("read");
    assert_eq!(page.iter().map(|it| it.id).collect::<Vec<_>>(), [second.id, first.id]);
    let after = Cursor { created_at: second.created_at, id: second.id.as_uuid() };
    let page = store.list(ann.0, Some(after), one).await.expect("read");
    assert_eq!(page, [first.clone()]);

    let mut rename = |it: &mut Dashboard| {
        it.name = "Renamed".to_owned();
        it.widgets.clear();
        it.refresh_seconds = None;
        it.revision += 1;
        Ok(entry(it.org, at))
    };
    assert_eq!(store.change(bob.0, first.id, &mut rename).await.expect("none"), None);
    let changed = store.change(ann.0, first.id, &mut rename).await.expect("changed");
    let changed = changed.expect("it is there");
    assert_eq!((changed.name.as_str(), changed.revision, changed.widgets.len()), ("Renamed", 2, 0));
    assert_eq!(store.find(ann.0, first.id).await.expect("read"), Some(changed));
    let mut refuse = |it: &mut Dashboard| {
        it.name = "Never".to_owned();
        Err(DashboardError::Changed)
    };
    let refused = store.change(ann.0, first.id, &mut refuse).await;
    assert!(matches!(refused, Err(DashboardError::Changed)));
    let kept = store.find(ann.0, first.id).await.expect("read").expect("it is there");
    assert_eq!(kept.name, "Renamed");

    // Whose owner left, is noted and told once.
    let telling = async |org: OrgId, id, owner| {
        let message = Message::mail(org, at, &LetterTo::Managers, &Letter::PasswordChanged { at });
        store.pause(org, id, owner, at, &entry(org, at), &message).await.expect("noted")
    };
    assert!(!telling(bob.0, second.id, ann.1).await, "another's");
    assert!(!telling(ann.0, second.id, bob.1).await, "nothing of theirs");
    assert!(telling(ann.0, second.id, ann.1).await);
    assert!(!telling(ann.0, second.id, ann.1).await, "told already");
    let paused = store.find(ann.0, second.id).await.expect("read").expect("it is there");
    assert_eq!((paused.widgets[0].paused_at, paused.revision), (Some(at), second.revision));

    assert!(!store.remove(bob.0, first.id, None, &entry(bob.0, at)).await.expect("none"));
    let refused = store.remove(ann.0, first.id, Some(&[0, 99]), &entry(ann.0, at)).await;
    assert!(matches!(refused, Err(DashboardError::Changed)), "{refused:?}");
    assert!(store.remove(ann.0, first.id, None, &entry(ann.0, at)).await.expect("removed"));
    assert_eq!(store.find(ann.0, first.id).await.expect("read"), None);
}

/// Links are kept, counted, revoked and end with their dashboard.
///
/// # Panics
///
/// If the store does not do what its port says.
pub async fn links_end_with_their_dashboard(
    store: &dyn DashboardStore,
    ann: (OrgId, UserId),
    bob: (OrgId, UserId),
    at: Timestamp,
) {
    let shown = dashboard(ann, "Shown", at);
    store.insert(&shown, 10, &entry(ann.0, at)).await.expect("kept");
    let first = share(&shown, at);
    store.insert_share(&first, 1, &entry(ann.0, at)).await.expect("kept");
    assert_eq!(store.share(ann.0, first.id).await.expect("read").as_ref(), Some(&first));
    assert_eq!(store.share(bob.0, first.id).await.expect("read"), None);

    let second = share(&shown, at + SignedDuration::from_secs(1));
    let refused = store.insert_share(&second, 1, &entry(ann.0, at)).await;
    assert!(matches!(refused, Err(DashboardError::TooManyShares(1))));
    // Those that ended do not count.
    let late = share(&shown, at + SignedDuration::from_hours(2));
    store.insert_share(&late, 1, &entry(ann.0, at)).await.expect("kept");
    let shares = store.shares(ann.0, shown.id).await.expect("read");
    assert_eq!(shares.iter().map(|it| it.id).collect::<Vec<_>>(), [late.id, first.id]);
    assert!(store.shares(bob.0, shown.id).await.expect("read").is_empty());

    let theirs = store.revoke(bob.0, shown.id, late.id, at, &entry(bob.0, at)).await;
    assert_eq!(theirs.expect("none"), None);
    let elsewhere = DashboardId::new(at);
    let other = store.revoke(ann.0, elsewhere, late.id, at, &entry(ann.0, at)).await;
    assert_eq!(other.expect("none"), None);
    for moment in [at, at + SignedDuration::from_secs(5)] {
        let revoked = store.revoke(ann.0, shown.id, late.id, moment, &entry(ann.0, at)).await;
        assert_eq!(revoked.expect("revoked").expect("it is there").revoked_at, Some(at));
    }

    let gone = Share { dashboard: elsewhere, ..share(&shown, at + SignedDuration::from_secs(9)) };
    let refused = store.insert_share(&gone, 100, &entry(ann.0, at)).await;
    assert!(matches!(refused, Err(DashboardError::NotFound(id)) if id == elsewhere));
    assert!(store.remove(ann.0, shown.id, None, &entry(ann.0, at)).await.expect("removed"));
    assert_eq!(store.share(ann.0, first.id).await.expect("read"), None);
}
