use std::sync::Arc;

use plinth_adapter_postgres::PostgresKeys;
use plinth_connections::{
    KeyStore as _, MASTER_KEY_CHECK, MasterKey, MasterKeys, Rotation, Vault, VaultError,
};
use plinth_server::unlock;
use plinth_testdb::TestDatabase;
use serde_json::json;

use crate::app::{MASTER, Person, TestApp};

fn new_key() -> MasterKey {
    let bytes: Vec<u8> = (0..32).map(|it: u8| it.wrapping_mul(37).wrapping_add(11)).collect();
    MasterKey::new(&bytes).unwrap()
}

fn old_key() -> MasterKey {
    MasterKey::new(&MASTER).unwrap()
}

#[actix_web::test]
async fn keys_are_rotated_while_requests_run_and_after_being_killed_half_way() {
    let (app, db) = (TestApp::start().await, TestDatabase::create().await.unwrap());
    let database = app.services.database.clone();
    let store = Arc::new(PostgresKeys::new(database.clone()));
    let mut people: Vec<(Person, String)> = Vec::new();
    for number in 0..9 {
        let person = app.owner_of(&format!("Org{number}")).await;
        let id = person.connect("Shop", &db).await;
        people.push((person, id));
    }
    let rotation = || {
        let masters = Arc::new(MasterKeys::new(new_key(), vec![old_key()]));
        Rotation::new(store.clone(), masters, app.clock.clone())
    };
    let requests = async {
        for round in 0..6 {
            for (person, id) in &people {
                assert_eq!(person.sql(id, "SELECT 1").await.status, 200);
                let path = format!("/v1/connections/{id}");
                let changed = person
                    .patch(
                        &path,
                        json!({ "password": db.password(), "port": db.port(),
                    "description": format!("round {round}") }),
                    )
                    .await;
                assert_eq!(changed.status, 200, "{}", changed.text);
            }
            // Records are read and opened again.
            app.clock.advance(jiff::SignedDuration::from_secs(2));
        }
    };
    let rotated = async {
        // Killed after the second batch.
        let first = rotation();
        let step = first.step(None, 2).await.unwrap();
        let step = first.step(step.next, 2).await.unwrap();
        assert_eq!(step.rewrapped, 2);
        drop(first);
        let census = rotation().census().await.unwrap();
        assert_eq!(census.data_keys[&new_key().id()], 4);
        assert_eq!(census.data_keys[&old_key().id()], 5);
        assert!(!rotation().finish().await.unwrap(), "there is some left");
        // A server that knows only the old key makes an organization meanwhile.
        let late = app.owner_of("Latecomer").await;
        late.connect("Shop", &db).await;
        let again = rotation();
        let mut after = None;
        let mut rewrapped = 0;
        loop {
            let step = again.step(after, 2).await.unwrap();
            rewrapped += step.rewrapped;
            after = step.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(rewrapped, 6);
        assert!(again.finish().await.unwrap());
        assert!(again.finish().await.unwrap(), "twice does no harm");
    };
    futures_util::future::join(requests, rotated).await;
    assert!(rotation().census().await.unwrap().is_all_under(new_key().id()));

    // A server that starts now needs the new key, and no other.
    let check = |key: &MasterKey| key.derive(MASTER_KEY_CHECK);
    let (old, new) = (check(&old_key()), check(&new_key()));
    assert!(!database.check_master_keys(&[old.as_slice()]).await.unwrap());
    assert!(database.check_master_keys(&[new.as_slice()]).await.unwrap());
    let masters = Arc::new(MasterKeys::new(new_key(), Vec::new()));
    let (_, installation) = unlock(database.clone(), &masters).await.unwrap();
    assert_eq!(
        *installation.derive("test"),
        *app.installation.derive("test"),
        "what derives from it outlives the master key"
    );
    let vault = Vault::new(store.clone(), masters);
    let orgs = store.wrapped_by_others(0, None, 100).await.unwrap();
    assert_eq!(orgs.len(), 10);
    for org in orgs {
        vault.data_key(org).await.unwrap();
        let wrapped = store.data_key(org).await.unwrap().unwrap();
        let outdated = MasterKeys::new(old_key(), Vec::new()).open_data_key(org, &wrapped);
        assert_eq!(outdated.err(), Some(VaultError::UnknownKey(new_key().id())));
    }
    let told = app
        .rows("SELECT count(*)::text FROM audit_entries WHERE action = 'data_key.rewrapped'")
        .await;
    assert_eq!(told, ["10"]);
}
