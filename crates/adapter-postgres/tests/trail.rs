//! The audit trail and the outbox over a real Postgres: what a change leaves behind.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use plinth_adapter_postgres::{
    Database, DatabaseUrl, PostgresAudit, PostgresOutbox, PostgresTenancy, migrate, migrations,
};
use plinth_core::{ManualClock, OrgId};
use plinth_tenancy::audit::{AuditFilter, AuditStore as _, AuditTrail, Broken, Link};
use plinth_tenancy::outbox::{
    Delivery, Failure, Message, MessageId, Outbox, OutboxStore as _, Waiting,
};
use plinth_tenancy::{AuditEntry, TenancyStore as _, TrailKey};
use plinth_testdb::TestDatabase;
use serde_json::json;
use tokio_postgres::{Client, NoTls};

struct Ours {
    database: Database,
    clock: Arc<ManualClock>,
    trail: AuditTrail,
    org: OrgId,
    /// Somebody who can write everything, and has no key.
    intruder: Client,
    _test: TestDatabase,
}

fn at() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

async fn ours() -> Ours {
    let key = format!("plinth {:?}", migrations());
    let test = TestDatabase::create_from_template(&key, async |draft| {
        migrate(&DatabaseUrl::parse(&draft.url().into())?).await?;
        Ok(())
    })
    .await
    .unwrap();
    let url = DatabaseUrl::parse(&test.url().into()).unwrap();
    let clock = Arc::new(ManualClock::at(at()));
    let trail = TrailKey::new([7; 32]);
    let database = Database::open(&url, 8).await.unwrap();
    let database = database.with_trail(trail.clone()).with_clock(clock.clone());
    let (owner, _) = plinth_tenancy::testing::owner("Ours", "ann@example.com", at());
    let org = owner.organization.id;
    let entry = AuditEntry::of_plinth(org, at(), "setup", "organization.created");
    PostgresTenancy::new(database.clone()).found(&owner, None, &entry).await.unwrap();
    let (intruder, connection) =
        tokio_postgres::connect(&test.superuser_url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    intruder.batch_execute("SET search_path = plinth").await.unwrap();
    let trail = AuditTrail::new(Arc::new(PostgresAudit::new(database.clone())), trail);
    Ours { database, clock, trail, org, intruder, _test: test }
}

impl Ours {
    /// Changes that leave `count` more entries.
    async fn change(&self, count: usize) {
        let store = PostgresTenancy::new(self.database.clone());
        for number in 0..count {
            let (owner, secret) = plinth_tenancy::testing::owner("Any", "any@example.com", at());
            let user = self.intruder.query_one("SELECT user_id FROM members", &[]).await.unwrap();
            let key = plinth_tenancy::ApiKey {
                org: self.org,
                user: plinth_core::UserId::from_uuid(user.get(0)),
                ..owner.key
            };
            let entry = AuditEntry::of_plinth(self.org, at(), "operator", "api_key.created")
                .on("api_key", key.id)
                .with(json!({ "number": number, "name": "zero \0 and ünicode" }));
            store.insert_key(&key, &secret.hash(), &entry).await.unwrap();
        }
    }

    async fn verdict(&self) -> Result<i64, Broken> {
        self.trail.verify(self.org, None).await.unwrap().map(|it| it.entries)
    }
}

#[tokio::test]
async fn a_trail_of_many_changes_verifies_and_reads_back() {
    let ours = ours().await;
    ours.change(5).await;
    assert_eq!(ours.verdict().await, Ok(6));
    let store = PostgresAudit::new(ours.database.clone());
    let filter = AuditFilter { action: Some("api_key.".to_owned()), ..AuditFilter::default() };
    let list = store.list(ours.org, &filter, None, plinth_core::Limit::default()).await.unwrap();
    assert_eq!(list.len(), 5);
    assert_eq!(list[0].entry.details["name"], "zero \0 and ünicode");
    assert_eq!(ours.trail.verify_all().await.unwrap().len(), 1);
}

#[tokio::test]
async fn changes_at_once_chain_without_gaps() {
    let ours = ours().await;
    let work = (0..8).map(|_| ours.change(5));
    futures_util::future::join_all(work).await;
    assert_eq!(ours.verdict().await, Ok(41));
}

#[tokio::test]
async fn whatever_an_intruder_does_to_a_trail_is_found() {
    let tampering = [
        ("UPDATE audit_entries SET action = 'x' WHERE number = 3", Broken::Changed(3)),
        ("UPDATE audit_entries SET details = '{}' WHERE number = 2", Broken::Changed(2)),
        ("UPDATE audit_entries SET details = '{ \"number\": 0}' WHERE number = 2", Broken::Changed(2)),
        ("UPDATE audit_entries SET at = at + interval '1 us' WHERE number = 2", Broken::Changed(2)),
        ("UPDATE audit_entries SET user_id = gen_random_uuid() WHERE number = 4", Broken::Changed(4)),
        ("UPDATE audit_entries SET address = '10.0.0.1' WHERE number = 4", Broken::Changed(4)),
        ("DELETE FROM audit_entries WHERE number = 3", Broken::Missing(3)),
        ("DELETE FROM audit_entries WHERE number = 1", Broken::Missing(1)),
        ("DELETE FROM audit_entries WHERE number > 3", Broken::Cut { said: 6, there: 3 }),
        ("DELETE FROM audit_entries", Broken::Cut { said: 6, there: 0 }),
        ("DELETE FROM audit_heads", Broken::Cut { said: 0, there: 6 }),
        // The tail cut and the head made to fit: nobody without the key can sign that.
        (
            "DELETE FROM audit_entries WHERE number > 3;
             UPDATE audit_heads h SET number = 3, hash = e.hash FROM audit_entries e WHERE e.number = 3",
            Broken::Unsigned,
        ),
        // Two rows swapped.
        (
            "UPDATE audit_entries SET number = -number WHERE number = 3 AND false;
             ALTER TABLE audit_entries DROP CONSTRAINT audit_entries_number_check;
             UPDATE audit_entries SET number = -3 WHERE number = 3;
             UPDATE audit_entries SET number = 3 WHERE number = 4;
             UPDATE audit_entries SET number = 4 WHERE number = -3",
            Broken::Changed(3),
        ),
        // The whole chain hashed again after a change, as somebody would who has read the code but not the key.
        (
            "UPDATE audit_entries SET action = 'x' WHERE number = 2;
             DO $$ DECLARE last bytea := decode(repeat('00', 32), 'hex'); it record; BEGIN
                 FOR it IN SELECT * FROM audit_entries ORDER BY number LOOP
                     last := sha256(last || convert_to(it.id || it.action || it.details::text, 'UTF8'));
                     UPDATE audit_entries SET hash = last WHERE number = it.number;
                 END LOOP;
                 UPDATE audit_heads SET hash = last;
             END $$",
            Broken::Changed(1),
        ),
    ];
    for (sql, expected) in tampering {
        let ours = ours().await;
        ours.change(5).await;
        assert_eq!(ours.verdict().await, Ok(6));
        ours.intruder.batch_execute(sql).await.unwrap();
        assert_eq!(ours.verdict().await, Err(expected), "{sql}");
    }
}

#[tokio::test]
async fn a_trail_set_back_to_an_older_state_is_found_by_whoever_wrote_down_where_it_stood() {
    let ours = ours().await;
    ours.change(2).await;
    ours.intruder.batch_execute("CREATE TABLE old AS SELECT * FROM audit_heads").await.unwrap();
    ours.change(2).await;
    let written_down = ours.trail.verify(ours.org, None).await.unwrap().unwrap().head;
    ours.change(1).await;
    assert!(ours.trail.verify(ours.org, Some(written_down)).await.unwrap().is_ok(), "it went on");
    let back = "DELETE FROM audit_entries WHERE number > 3;
        UPDATE audit_heads h SET number = o.number, hash = o.hash, signature = o.signature FROM old o";
    ours.intruder.batch_execute(back).await.unwrap();
    assert_eq!(ours.verdict().await, Ok(3), "an older state is whole in itself");
    let verdict = ours.trail.verify(ours.org, Some(written_down)).await.unwrap();
    assert_eq!(verdict, Err(Broken::SetBack(5)));
    let other = Link { hash: [1; 32], ..Link { number: 2, hash: [0; 32] } };
    let verdict = ours.trail.verify(ours.org, Some(other)).await.unwrap();
    assert_eq!(verdict, Err(Broken::SetBack(2)));
}

#[tokio::test]
async fn the_servers_own_role_can_neither_change_nor_remove_entries() {
    let ours = ours().await;
    ours.intruder
        .batch_execute(&format!(
            "SET ROLE plinth_app; SELECT set_config('plinth.org_id', '{}', false)",
            ours.org
        ))
        .await
        .unwrap();
    for sql in [
        "UPDATE audit_entries SET action = 'x'",
        "DELETE FROM audit_entries",
        "DELETE FROM audit_heads",
    ] {
        assert!(ours.intruder.batch_execute(sql).await.is_err(), "{sql}");
    }
}

/// Remembers what it was told to do, and does it wrong as often as it was told to.
#[derive(Default)]
struct Postman {
    delivered: Mutex<Vec<String>>,
    fails: Mutex<usize>,
}

#[async_trait]
impl Delivery for Postman {
    async fn deliver(&self, message: &Waiting) -> Result<(), Failure> {
        let mut fails = self.fails.lock().unwrap();
        if *fails > 0 {
            *fails -= 1;
            return Err(Failure::Temporary("the mail server is busy".to_owned()));
        }
        let name = message.message.payload["name"].as_str().unwrap().to_owned();
        self.delivered.lock().unwrap().push(name);
        Ok(())
    }
}

fn message(org: OrgId, name: &str) -> Message {
    Message {
        id: MessageId::new(at()),
        org,
        topic: "test".to_owned(),
        payload: json!({ "name": name }),
        created_at: at(),
    }
}

#[tokio::test]
async fn a_message_is_delivered_once_by_whichever_worker_takes_it() {
    let ours = ours().await;
    let store = Arc::new(PostgresOutbox::new(ours.database.clone()));
    for number in 0..40 {
        store.put(&message(ours.org, &number.to_string())).await.unwrap();
    }
    let postman = Arc::new(Postman::default());
    let workers: Vec<_> =
        (0..4).map(|_| Outbox::new(store.clone(), [("test", postman.clone() as _)])).collect();
    let done: usize = futures_util::future::join_all(workers.iter().map(Outbox::drain))
        .await
        .into_iter()
        .map(Result::unwrap)
        .sum();
    let mut delivered = postman.delivered.lock().unwrap().clone();
    delivered.sort();
    delivered.dedup();
    assert_eq!((done, delivered.len()), (40, 40));
}

#[tokio::test]
async fn what_failed_is_tried_again_after_a_pause_and_what_a_dead_worker_held_when_its_lease_ends()
{
    let ours = ours().await;
    let store = Arc::new(PostgresOutbox::new(ours.database.clone()));
    store.put(&message(ours.org, "one")).await.unwrap();
    let postman = Arc::new(Postman { fails: Mutex::new(1), ..Postman::default() });
    let worker = Outbox::new(store.clone(), [("test", postman.clone() as _)]);
    assert_eq!(worker.drain().await.unwrap(), 1);
    assert_eq!(worker.drain().await.unwrap(), 0, "not before its pause is over");
    ours.clock.advance(SignedDuration::from_secs(31));

    // A worker takes it and dies.
    assert_eq!(store.take(10, SignedDuration::from_mins(2)).await.unwrap().len(), 1);
    assert_eq!(worker.drain().await.unwrap(), 0, "it is somebody else's");
    ours.clock.advance(SignedDuration::from_secs(121));
    assert_eq!(worker.drain().await.unwrap(), 1);
    assert_eq!(*postman.delivered.lock().unwrap(), ["one"]);
    ours.clock.advance(SignedDuration::from_hours(48));
    assert_eq!(worker.drain().await.unwrap(), 0, "once is enough");
}

#[tokio::test]
async fn a_message_that_nobody_can_act_on_yet_waits() {
    let ours = ours().await;
    let store = Arc::new(PostgresOutbox::new(ours.database.clone()));
    store.put(&message(ours.org, "one")).await.unwrap();
    assert_eq!(Outbox::new(store.clone(), []).drain().await.unwrap(), 1);
    ours.clock.advance(SignedDuration::from_mins(1));
    let postman = Arc::new(Postman::default());
    let worker = Outbox::new(store, [("test", postman.clone() as _)]);
    assert_eq!(worker.drain().await.unwrap(), 1);
    assert_eq!(*postman.delivered.lock().unwrap(), ["one"]);
}
