//! The contracts that every [`ConnectionStore`] and every [`KeyStore`] keep; run them against each.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use plinth_core::{Cursor, Limit, OrgId, UserId};
use plinth_tenancy::AuditEntry;
use plinth_tenancy::outbox::{Letter, LetterTo, Message};

use crate::writes::{StoredWrite, WriteConnection, WriteConnectionId, WriteStore};
use crate::{
    Activity, AllowedTables, Checked, Connection, ConnectionFilter, ConnectionId, ConnectionName,
    ConnectionStore, Credentials, Description, Diagnosis, Fault, Health, HealthStatus, Host,
    InsertError, KeyStore, MasterKeyId, ModelPrivacy, Place, Sealed, SslMode, Stage, Stored,
    TableName, TlsSettings, TunnelSettings, UpdateError,
};

/// A connection as a test needs it.
pub fn connection(org: OrgId, user: UserId, name: &str, at: Timestamp) -> Stored {
    let host_key = "SHA256:uNiVztksCsDhcc0u9e8BrhSYLaGYTHMtt1MUJMYFSnk";
    let connection = Connection {
        id: ConnectionId::new(at),
        org,
        name: ConnectionName::parse(name).expect("a good name"),
        description: Description::parse("What people buy.").expect("a good description"),
        place: Place::Typed {
            host: Host::parse("db.example.com").expect("a good host"),
            port: 5432,
        },
        database: "shop".to_owned(),
        username: "reader".to_owned(),
        ssl_mode: SslMode::VerifyFull,
        tls: TlsSettings {
            roots: Some("roots".to_owned()),
            certificate: Some("certificate".to_owned()),
            channel_binding: crate::ChannelBinding::Require,
        },
        tunnel: Some(TunnelSettings {
            host: Host::parse("bastion.example.com").expect("a good host"),
            port: 2222,
            username: "tunnel".to_owned(),
            host_key: host_key.parse().expect("a good key"),
        }),
        allowed_tables: AllowedTables::parse(["public.orders"]).expect("good names"),
        is_test: name.contains("test"),
        is_primary: false,
        activity: Activity::Active,
        sampling: true,
        model_privacy: ModelPrivacy::SampleValues,
        health: Health::default(),
        revision: 1,
        created_by: user,
        created_at: at,
        updated_at: at,
        deleted_at: None,
    };
    let sealed = |byte| Sealed { key_version: 1, bytes: vec![byte; 3] };
    let credentials =
        Credentials { password: sealed(1), client_key: Some(sealed(2)), tunnel: Some(sealed(3)) };
    Stored { connection, credentials, version: 1 }
}

/// An entry of the trail for something that a test does.
pub fn entry(org: OrgId, at: Timestamp) -> AuditEntry {
    AuditEntry::of_plinth(org, at, "system", "connection.tested")
}

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse::<Timestamp>().expect("a time")
}

/// What every store promises. `ours` and `theirs` are organizations that exist, each with a member.
pub async fn connection_store_contract(
    store: &dyn ConnectionStore,
    ours: (OrgId, UserId),
    theirs: (OrgId, UserId),
) {
    let at = start();
    let later = at + SignedDuration::from_secs(1);
    let sales = connection(ours.0, ours.1, "sales", at);
    let testing = connection(ours.0, ours.1, "sales test", later);
    let entry = |org| entry(org, at);

    store.insert(&sales, &entry(ours.0)).await.expect("the first of a name is added");
    let again = connection(ours.0, ours.1, "sales", at);
    assert!(matches!(store.insert(&again, &entry(ours.0)).await, Err(InsertError::NameTaken)));
    let other = connection(theirs.0, theirs.1, "sales", at);
    store.insert(&other, &entry(theirs.0)).await.expect("names are per organization");
    store.insert(&testing, &entry(ours.0)).await.expect("added");

    let (org, id) = (ours.0, sales.connection.id);
    let found = store.find(org, id).await.expect("finds").expect("there");
    assert_eq!(format!("{found:?}"), format!("{sales:?}"), "everything is kept");
    assert!(store.find(theirs.0, id).await.expect("finds").is_none(), "not another's");

    let limit = Limit::default();
    let list = async |filter, after| {
        let all = store.list(org, filter, after, limit).await.expect("lists");
        all.into_iter().map(|it| it.id).collect::<Vec<_>>()
    };
    let all = ConnectionFilter::default();
    let tests = ConnectionFilter { test_only: true, ..all };
    assert_eq!(list(all, None).await, [testing.connection.id, id], "newest first, ours only");
    assert_eq!(list(tests, None).await, [testing.connection.id]);
    let first = Cursor { created_at: later, id: testing.connection.id.as_uuid() };
    assert_eq!(list(all, Some(first)).await, [id]);

    assert!(!store.remove(theirs.0, id, 1, later, &entry(theirs.0)).await.expect("answers"));
    assert!(!store.remove(org, id, 2, later, &entry(org)).await.expect("answers"), "not that one");
    assert!(store.remove(org, id, 1, later, &entry(org)).await.expect("removes"));
    assert!(store.find(org, id).await.expect("finds").is_none());
    assert!(!store.remove(org, id, 2, later, &entry(org)).await.expect("answers"), "once");
    store.insert(&again, &entry(org)).await.expect("a removed one's name is free again");
    let deleted = ConnectionFilter { with_deleted: true, ..all };
    assert_eq!(list(deleted, None).await.len(), 3);
    let active = ConnectionFilter { with_deleted: true, active_only: true, ..all };
    assert_eq!(list(active, None).await.len(), 2, "what is removed is not active");
    store.note(&entry(org)).await.expect("noted");
}

/// What every store promises of changes. `ours` and `theirs` as for [`connection_store_contract`].
pub async fn connection_change_contract(
    store: &dyn ConnectionStore,
    ours: (OrgId, UserId),
    theirs: (OrgId, UserId),
) {
    let (at, org) = (start(), ours.0);
    let [mut one, mut two] = ["one", "two"].map(|name| connection(org, ours.1, name, at));
    let mut foreign = connection(theirs.0, theirs.1, "one", at);
    for it in [&mut one, &mut foreign] {
        it.connection.is_primary = true;
        store.insert(it, &entry(it.connection.org, at)).await.expect("added");
    }
    two.connection.is_primary = true;
    store.insert(&two, &entry(org, at)).await.expect("added");
    let find = async |it: &Stored| {
        let found = store.find(it.connection.org, it.connection.id).await;
        found.expect("finds").expect("there")
    };
    assert!(!find(&one).await.connection.is_primary, "the newer one takes it");
    assert!(find(&foreign).await.connection.is_primary, "of the own organization only");

    let mut changed = find(&one).await;
    assert_eq!(changed.connection.revision, 2, "that was a change too");
    changed.connection.revision += 1;
    changed.connection.is_primary = true;
    changed.connection.activity = Activity::SwitchedOff;
    changed.connection.tunnel = None;
    changed.credentials.tunnel = None;
    changed.connection.description = None;
    changed.version += 1;
    store.update(&changed, &entry(org, at)).await.expect("changed");
    assert_eq!(format!("{:?}", find(&one).await), format!("{changed:?}"));
    assert!(!find(&two).await.connection.is_primary);
    let stale = store.update(&changed, &entry(org, at)).await;
    assert!(matches!(stale, Err(UpdateError::Stale)), "{stale:?}");

    let mut renamed = find(&two).await;
    renamed.connection.revision += 1;
    renamed.connection.name = one.connection.name.clone();
    let taken = store.update(&renamed, &entry(org, at)).await;
    assert!(matches!(taken, Err(UpdateError::NameTaken)), "{taken:?}");
    renamed.connection.org = theirs.0;
    let foreign = store.update(&renamed, &entry(theirs.0, at)).await;
    assert!(matches!(foreign, Err(UpdateError::Stale)), "{foreign:?}");
}

/// What every store promises of checks; `advance` moves the clock that decides what is due.
pub async fn connection_check_contract(
    store: &dyn ConnectionStore,
    ours: (OrgId, UserId),
    advance: impl Fn(SignedDuration),
) {
    let (at, org) = (start(), ours.0);
    let names = ["typed", "embedded", "hosted", "off", "gone"];
    let [typed, mut embedded, mut hosted, mut off, gone] =
        names.map(|name| connection(org, ours.1, name, at));
    let managed = |server: &str| Place::Managed { server: server.to_owned() };
    embedded.connection.place = managed(Place::EMBEDDED);
    hosted.connection.place = managed("project");
    off.connection.activity = Activity::SwitchedOff;
    for it in [&typed, &embedded, &hosted, &off, &gone] {
        store.insert(it, &entry(org, at)).await.expect("added");
    }
    assert!(store.remove(org, gone.connection.id, 1, at, &entry(org, at)).await.expect("removed"));
    let lease = SignedDuration::from_mins(2);
    let take = async |limit| {
        let taken = store.take_checks(limit, lease).await.expect("takes");
        taken.into_iter().map(|(_, id)| id).collect::<Vec<_>>()
    };
    assert!(take(10).await.is_empty(), "not at once");
    advance(SignedDuration::from_mins(1));
    let mut due = [take(1).await, take(10).await].concat();
    due.sort_by_key(|it| it.as_uuid());
    let mut expected = [typed.connection.id, embedded.connection.id];
    expected.sort_by_key(|it| it.as_uuid());
    assert_eq!(due, expected, "each once");
    advance(lease);
    assert_eq!(take(10).await.len(), 2, "whoever took them died");

    let failed = Diagnosis {
        stage: Stage::Connect,
        fault: Fault::ConnectionRefused,
        title: "Nobody listens".to_owned(),
        explanation: "The port is closed.".to_owned(),
        fix_steps: vec!["Start the server.".to_owned()],
        retryable: true,
    };
    let health = Health { failures: 2, ..Health::default() };
    let judged = health.judge(Activity::Active, Err(Box::new(failed)), at);
    let letter = Letter::ConnectionRecovered { connection: "typed".to_owned(), at };
    let check = Checked {
        connection: typed.connection.clone(),
        judged: judged.clone(),
        again_in: SignedDuration::from_mins(5),
        entry: Some(entry(org, at)),
        message: Some(Message::mail(org, at, &LetterTo::Managers, &letter)),
    };
    assert!(store.put_check(&check).await.expect("kept"));
    assert!(!store.put_check(&check).await.expect("answers"), "it was changed by that");
    let mut found = store.find(org, typed.connection.id).await.expect("finds").expect("there");
    assert_eq!(found.connection.health, judged.health);
    assert_eq!((found.connection.activity, found.connection.revision), (Activity::Lost, 2));
    advance(lease);
    assert_eq!(take(10).await, [embedded.connection.id], "the other one is not due yet");

    found.connection.health = Health::default();
    found.connection.activity = Activity::Active;
    found.connection.revision += 1;
    store.update(&found, &entry(org, at)).await.expect("changed");
    let found = store.find(org, typed.connection.id).await.expect("finds").expect("there");
    assert_eq!(found.connection.health.status, HealthStatus::Unknown);
    assert_eq!(take(10).await, [typed.connection.id], "what was changed is looked at next");
}

/// What every store of keys promises. `ours` and `theirs` are organizations that exist.
pub async fn key_store_contract(store: &dyn KeyStore, ours: OrgId, theirs: OrgId) {
    let at = start();
    assert!(store.data_key(ours).await.expect("answers").is_none());
    let key = Sealed { key_version: 7, bytes: vec![9; 60] };
    assert_eq!(store.put_data_key(ours, &key).await.expect("kept"), key);
    let late = Sealed { key_version: 7, bytes: vec![8; 60] };
    assert_eq!(store.put_data_key(ours, &late).await.expect("answers"), key, "the first stays");
    assert!(store.data_key(theirs).await.expect("answers").is_none());
    store.put_data_key(theirs, &late).await.expect("kept");

    let mut both = [ours, theirs];
    both.sort_by_key(|it| it.as_uuid());
    let others = async |current, after, limit| {
        store.wrapped_by_others(current, after, limit).await.expect("lists")
    };
    assert!(others(7, None, 10).await.is_empty());
    assert_eq!(others(8, None, 10).await, both);
    assert_eq!(others(8, None, 1).await, both[..1]);
    assert_eq!(others(8, Some(both[0]), 10).await, both[1..]);

    let again = Sealed { key_version: 8, bytes: vec![7; 60] };
    let rewrap = async |org, by| {
        store.rewrap_data_key(org, by, &again, &entry(org, at)).await.expect("answers")
    };
    assert!(!rewrap(ours, 6).await, "another has done it");
    assert!(rewrap(ours, 7).await);
    assert_eq!(store.data_key(ours).await.expect("answers"), Some(again.clone()));

    let wrapped = store.installation_key().await.expect("answers").expect("made at the start");
    let finish = async |by, key: &Sealed| {
        store.rewrap_installation_key(by, key, &[5; 32]).await.expect("answers")
    };
    assert!(!finish(wrapped.key_version, &again).await, "one data key is left");
    assert!(rewrap(theirs, 7).await);
    assert!(!finish(wrapped.key_version + 1, &again).await, "another has done it");
    assert!(finish(wrapped.key_version, &again).await);
    let census = store.census().await.expect("counts");
    let eight = MasterKeyId::from_stored(8);
    assert!(census.is_all_under(eight) && census.needs(eight));
    assert_eq!(census.data_keys[&eight], 2);
}

/// What every store of write connections promises. `ours` and `theirs` as for [`connection_store_contract`].
pub async fn write_store_contract(
    store: &dyn WriteStore,
    connections: &dyn ConnectionStore,
    ours: (OrgId, UserId),
    theirs: (OrgId, UserId),
) {
    let at = start();
    let later = at + SignedDuration::from_secs(1);
    let entry = |org| entry(org, at);
    let beside = connection(ours.0, ours.1, "orders", at);
    let foreign = connection(theirs.0, theirs.1, "orders", at);
    connections.insert(&beside, &entry(ours.0)).await.expect("added");
    connections.insert(&foreign, &entry(theirs.0)).await.expect("added");
    let name = |it: &str| ConnectionName::parse(it).expect("a good name");
    let table = |it: &str| TableName { schema: "public".to_owned(), name: it.to_owned() };
    let tables = |it: &str| BTreeSet::from([table(it)]);
    let make = |org: OrgId, connection, called: &str, at| StoredWrite {
        record: WriteConnection {
            id: WriteConnectionId::new(at),
            org,
            name: name(called),
            connection,
            username: "writer".to_owned(),
            tables: tables("orders"),
            procedures: tables("close_order"),
            max_rows: 1_000,
            key_schema: Some("plinth".to_owned()),
            keys_since: Some(at),
            place: "db.example.com:5432/shop".to_owned(),
            version: 1,
            revision: 1,
            created_by: ours.1,
            created_at: at,
            updated_at: at,
        },
        password: Sealed { key_version: 1, bytes: vec![7; 3] },
    };
    let first = make(ours.0, beside.connection.id, "first", at);
    let second = make(ours.0, beside.connection.id, "second", later);
    let other = make(theirs.0, foreign.connection.id, "first", at);
    store.insert(&first, &entry(ours.0)).await.expect("added");
    let again = make(ours.0, beside.connection.id, "first", at);
    assert!(matches!(store.insert(&again, &entry(ours.0)).await, Err(InsertError::NameTaken)));
    store.insert(&second, &entry(ours.0)).await.expect("added");
    store.insert(&other, &entry(theirs.0)).await.expect("names are per organization");

    let (org, id) = (ours.0, first.record.id);
    let found = store.find(org, id).await.expect("finds").expect("there");
    assert_eq!(format!("{found:?}"), format!("{first:?}"), "everything is kept");
    assert!(store.find(theirs.0, id).await.expect("finds").is_none(), "not another's");
    let list = async |after, limit| {
        let all = store.list(org, after, limit).await.expect("lists");
        all.into_iter().map(|it| it.id).collect::<Vec<_>>()
    };
    assert_eq!(list(None, Limit::default()).await, [second.record.id, id], "newest first");
    let after = Cursor { created_at: later, id: second.record.id.as_uuid() };
    assert_eq!(list(Some(after), Limit::default()).await, [id]);
    assert_eq!(list(None, Limit::ONE).await.len(), 2, "one more shows that there are more");

    // A change is of what was seen, and whole.
    let mut changed = first.clone();
    changed.record.max_rows = 5;
    changed.record.key_schema = None;
    changed.record.keys_since = None;
    changed.record.tables = tables("items");
    changed.record.updated_at = later;
    changed.record.revision = 3;
    let stale = store.update(&changed, &entry(org)).await;
    assert!(matches!(stale, Err(UpdateError::Stale)), "{stale:?}");
    changed.record.revision = 2;
    let mut taken = changed.clone();
    taken.record.name = name("second");
    let refused = store.update(&taken, &entry(org)).await;
    assert!(matches!(refused, Err(UpdateError::NameTaken)), "{refused:?}");
    let mut not_theirs = changed.clone();
    not_theirs.record.org = theirs.0;
    assert!(store.update(&not_theirs, &entry(theirs.0)).await.is_err());
    store.update(&changed, &entry(org)).await.expect("changed");
    let found = store.find(org, id).await.expect("finds").expect("there");
    assert_eq!(format!("{found:?}"), format!("{changed:?}"), "everything is kept");

    assert!(!store.remove(theirs.0, id, &entry(theirs.0)).await.expect("answers"));
    assert!(store.remove(org, id, &entry(org)).await.expect("removes"));
    assert!(!store.remove(org, id, &entry(org)).await.expect("answers"), "once");
    assert!(store.find(org, id).await.expect("finds").is_none());

    // Without the connection beside which it stands there is none.
    let gone = connections.remove(org, beside.connection.id, 1, later, &entry(org)).await;
    assert!(gone.expect("removes"));
    assert!(store.find(org, second.record.id).await.expect("finds").is_none());
    assert!(list(None, Limit::default()).await.is_empty());
    assert!(store.find(theirs.0, other.record.id).await.expect("finds").is_some());
}
