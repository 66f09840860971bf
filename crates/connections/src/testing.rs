//! The contract that every [`ConnectionStore`] keeps; run it against each of them.

use jiff::{SignedDuration, Timestamp};
use plinth_core::{Cursor, Limit, OrgId, UserId};

use crate::{
    AllowedTables, Connection, ConnectionId, ConnectionName, ConnectionStore, Host, InsertError,
    Place, Sealed, SslMode, Stored,
};

/// A connection as a test needs it.
pub fn connection(org: OrgId, user: UserId, name: &str, at: Timestamp) -> Stored {
    let connection = Connection {
        id: ConnectionId::new(at),
        org,
        name: ConnectionName::parse(name).expect("a good name"),
        place: Place::Typed {
            host: Host::parse("db.example.com").expect("a good host"),
            port: 5432,
        },
        database: "shop".to_owned(),
        username: "reader".to_owned(),
        ssl_mode: SslMode::VerifyFull,
        allowed_tables: AllowedTables::parse(["public.orders"]).expect("good names"),
        is_test: name.contains("test"),
        created_by: user,
        created_at: at,
        updated_at: at,
    };
    Stored { connection, password: Sealed { key_version: 1, bytes: vec![1, 2, 3] }, version: 1 }
}

/// What every store promises. `ours` and `theirs` are organizations that exist, each with a member.
pub async fn connection_store_contract(
    store: &dyn ConnectionStore,
    ours: (OrgId, UserId),
    theirs: (OrgId, UserId),
) {
    let at = "2026-01-01T00:00:00Z".parse::<Timestamp>().expect("a time");
    let later = at + SignedDuration::from_secs(1);
    let sales = connection(ours.0, ours.1, "sales", at);
    let testing = connection(ours.0, ours.1, "sales test", later);

    store.insert(&sales).await.expect("the first of a name is added");
    let again = connection(ours.0, ours.1, "sales", at);
    assert!(matches!(store.insert(&again).await, Err(InsertError::NameTaken)));
    let other = connection(theirs.0, theirs.1, "sales", at);
    store.insert(&other).await.expect("names are per organization");
    store.insert(&testing).await.expect("added");

    let (org, id) = (ours.0, sales.connection.id);
    let found = store.find(org, id).await.expect("finds").expect("there");
    assert_eq!(format!("{found:?}"), format!("{sales:?}"), "everything is kept");
    assert!(store.find(theirs.0, id).await.expect("finds").is_none(), "not another's");

    let ids = |all: Vec<Connection>| all.into_iter().map(|it| it.id).collect::<Vec<_>>();
    let limit = Limit::default();
    let all = ids(store.list(org, false, None, limit).await.expect("lists"));
    assert_eq!(all, [testing.connection.id, id], "newest first, ours only");
    let tests = ids(store.list(org, true, None, limit).await.expect("lists"));
    assert_eq!(tests, [testing.connection.id]);
    let first = Cursor { created_at: later, id: testing.connection.id.as_uuid() };
    assert_eq!(ids(store.list(org, false, Some(first), limit).await.expect("lists")), [id]);

    assert!(!store.remove(theirs.0, id, later).await.expect("answers"), "not another's");
    assert!(store.remove(org, id, later).await.expect("removes"));
    assert!(store.find(org, id).await.expect("finds").is_none());
    assert!(!store.remove(org, id, later).await.expect("answers"), "once");
    store.insert(&again).await.expect("a removed one's name is free again");

    assert!(store.data_key(org).await.expect("answers").is_none());
    let key = Sealed { key_version: 1, bytes: vec![9; 60] };
    assert_eq!(store.put_data_key(org, &key).await.expect("kept"), key);
    let late = Sealed { key_version: 1, bytes: vec![8; 60] };
    assert_eq!(store.put_data_key(org, &late).await.expect("answers"), key, "the first stays");
    assert!(store.data_key(theirs.0).await.expect("answers").is_none());
}
