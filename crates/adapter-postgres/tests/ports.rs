//! Every port's contract over a real Postgres, and what row-level security shows to whom.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;
use std::sync::Arc;

use plinth_adapter_postgres::{
    Database, DatabaseUrl, PostgresAccounts, PostgresAnnotations, PostgresAttempts,
    PostgresConnections, PostgresConversations, PostgresKeys, PostgresLanguage, PostgresModels,
    PostgresOrganizations, PostgresOutbox, PostgresQueries, PostgresSigningKeys, PostgresSnapshots,
    PostgresTeam, PostgresTenancy, migrate, migrations,
};
use plinth_connections::ConnectionStore as _;
use plinth_core::{ManualClock, OrgId, UserId};
use plinth_queries::QueryStore as _;
use plinth_schema_introspect::{AnnotationStore as _, InsertSnapshotError, SnapshotStore as _};
use plinth_tenancy::TenancyStore as _;
use plinth_tenancy::accounts::AccountStore as _;
use plinth_tenancy::signing::SigningKeys;
use plinth_testdb::TestDatabase;
use tokio_postgres::NoTls;

struct Ours {
    url: DatabaseUrl,
    database: Database,
    test: TestDatabase,
}

async fn ours() -> Ours {
    let key = format!("plinth {:?}", migrations());
    let test = TestDatabase::create_from_template(&key, async |draft| {
        migrate(&url(&draft.url())).await?;
        Ok(())
    })
    .await
    .unwrap();
    let url = url(&test.url());
    let database =
        Database::open(&url, 4).await.unwrap().with_trail(plinth_tenancy::TrailKey::new([7; 32]));
    Ours { url, database, test }
}

fn url(text: &str) -> DatabaseUrl {
    DatabaseUrl::parse(&text.to_owned().into()).unwrap()
}

async fn two_organizations(database: &Database) -> [(OrgId, UserId); 2] {
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    let store = PostgresTenancy::new(database.clone());
    let (ours, _) = plinth_tenancy::testing::owner("Ours", "ann@example.com", at);
    let (theirs, _) = plinth_tenancy::testing::owner("Theirs", "bob@example.com", at);
    for new in [&ours, &theirs] {
        store
            .found(new, None, &plinth_tenancy::testing::entry(new.organization.id, at))
            .await
            .unwrap();
    }
    [ours, theirs].map(|it| (it.organization.id, it.user.id))
}

/// An entry of the trail for what a test does.
fn made(org: OrgId) -> plinth_tenancy::AuditEntry {
    plinth_connections::testing::entry(org, "2026-01-01T00:00:00Z".parse().unwrap())
}

/// Until so many sessions wait for a lock; the last of them must not be over before.
async fn until_waiting(watcher: &tokio_postgres::Client, count: i64, is_over: impl Fn() -> bool) {
    let waiting = "SELECT count(DISTINCT pid) FROM pg_stat_activity
                   WHERE wait_event_type = 'Lock' AND datname = current_database()";
    while watcher.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) < count {
        assert!(!is_over(), "it did not wait");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn teams_keep_their_contract() {
    let ours = ours().await;
    let [us, them] = two_organizations(&ours.database).await;
    let (store, outbox) =
        (PostgresTeam::new(ours.database.clone()), PostgresOutbox::new(ours.database.clone()));
    plinth_tenancy::testing::team_store_contract(&store, &outbox, us, them).await;
}

#[tokio::test]
async fn organizations_keep_their_contract() {
    let ours = ours().await;
    let [us, them] = two_organizations(&ours.database).await;
    let store = PostgresOrganizations::new(ours.database.clone());
    let (team, outbox) =
        (PostgresTeam::new(ours.database.clone()), PostgresOutbox::new(ours.database.clone()));
    plinth_tenancy::testing::organization_store_contract(&store, &team, &outbox, us, them).await;
}

#[tokio::test]
async fn tenancy_keeps_its_contract() {
    let ours = ours().await;
    let store = PostgresTenancy::new(ours.database.clone());
    plinth_tenancy::testing::tenancy_store_contract(&store).await;
}

#[tokio::test]
async fn connections_keep_their_contract() {
    let ours = ours().await;
    let [us, them] = two_organizations(&ours.database).await;
    let store = PostgresConnections::new(ours.database.clone());
    plinth_connections::testing::connection_store_contract(&store, us, them).await;
}

#[tokio::test]
async fn projects_keep_their_contract() {
    let ours = ours().await;
    let [us, them] = two_organizations(&ours.database).await;
    let store = plinth_adapter_postgres::PostgresControlPlane::new(ours.database.clone());
    plinth_control_plane::testing::control_plane_store_contract(&store, us, them).await;
}

#[tokio::test]
async fn remotes_keep_their_contract() {
    let ours = ours().await;
    let [us, them] = two_organizations(&ours.database).await;
    let store = plinth_adapter_postgres::PostgresRemotes::new(ours.database.clone());
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    plinth_control_plane::remote::testing::remote_store_contract(&store, us, them, at).await;
}

#[tokio::test]
async fn changes_of_connections_keep_their_contract() {
    let ours = ours().await;
    let [us, them] = two_organizations(&ours.database).await;
    let store = PostgresConnections::new(ours.database.clone());
    plinth_connections::testing::connection_change_contract(&store, us, them).await;
}

#[tokio::test]
async fn checks_of_connections_keep_their_contract() {
    let ours = ours().await;
    let [us, _] = two_organizations(&ours.database).await;
    let clock = Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
    let store = PostgresConnections::new(ours.database.clone().with_clock(clock.clone()));
    plinth_connections::testing::connection_check_contract(&store, us, |by| clock.advance(by))
        .await;
}

#[tokio::test]
async fn write_connections_keep_their_contract() {
    let ours = ours().await;
    let [us, them] = two_organizations(&ours.database).await;
    let connections = PostgresConnections::new(ours.database.clone());
    let store = plinth_adapter_postgres::PostgresWriteConnections::new(ours.database.clone());
    plinth_connections::testing::write_store_contract(&store, &connections, us, them).await;
}

#[tokio::test]
async fn keys_keep_their_contract() {
    let ours = ours().await;
    let [us, them] = two_organizations(&ours.database).await;
    ours.database.keep_installation_key(7, &[3; 60]).await.unwrap();
    let store = PostgresKeys::new(ours.database.clone());
    plinth_connections::testing::key_store_contract(&store, us.0, them.0).await;
    assert!(ours.database.check_master_keys(&[&[5; 32]]).await.unwrap(), "what the rotation set");
}

#[tokio::test]
async fn queries_keep_their_contract() {
    let ours = ours().await;
    let [us, them] = two_organizations(&ours.database).await;
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    let connections = PostgresConnections::new(ours.database.clone());
    let [test, live] = ["a test one", "live"]
        .map(|name| plinth_connections::testing::connection(us.0, us.1, name, at));
    connections.insert(&test, &made(us.0)).await.unwrap();
    connections.insert(&live, &made(us.0)).await.unwrap();
    let store = PostgresQueries::new(ours.database.clone());
    let (test, live) = (test.connection.id, live.connection.id);
    plinth_queries::testing::query_store_contract(&store, us, them, test, live).await;
    let runs = plinth_adapter_postgres::PostgresQueryRuns::new(ours.database.clone());
    // The database keeps microseconds.
    let now = plinth_core::Clock::now(&plinth_core::SystemClock).as_second();
    let now = jiff::Timestamp::from_second(now).unwrap();
    plinth_queries::testing::query_run_store_contract(&runs, us, them, (test, live), now).await;
    plinth_queries::testing::saved_store_contract(&store, us, them, live, &made).await;
    plinth_queries::testing::repair_store_contract(&store, us, them, live, &made).await;
    let store = PostgresConversations::new(ours.database.clone());
    plinth_queries::testing::conversation_store_contract(&store, us, them, test, live).await;
    let store = PostgresLanguage::new(ours.database.clone());
    plinth_queries::testing::language_store_contract(&store, us, them, live, &made).await;
}

#[tokio::test]
async fn what_is_kept_of_runs_is_held_to_its_bounds_when_one_ends() {
    use plinth_queries::{QueryRun, QueryRunStore as _, RunState, SealedPage};

    let ours = ours().await;
    let [us, _] = two_organizations(&ours.database).await;
    let at: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let live = plinth_connections::testing::connection(us.0, us.1, "live", at);
    PostgresConnections::new(ours.database.clone()).insert(&live, &made(us.0)).await.unwrap();
    let store = plinth_adapter_postgres::PostgresQueryRuns::new(ours.database.clone());
    let raw = raw(&ours.test).await;
    let hour = jiff::SignedDuration::from_hours(1);
    // Begun in one order, and ended in another.
    let runs = [1, 2, 3, 4].map(|second| {
        let begun = at + jiff::SignedDuration::from_secs(second);
        plinth_queries::testing::queued_run(us, live.connection.id, begun)
    });
    for run in &runs {
        assert!(store.insert(run, 9, hour).await.unwrap());
        let page = SealedPage { first_row: 0, row_count: 1, sealed: vec![7; 9] };
        assert!(store.save(&QueryRun { row_count: 1, ..run.clone() }, Some(&page)).await.unwrap());
    }
    let now = plinth_core::Clock::now(&plinth_core::SystemClock);
    let end = async |at: usize, megabytes: i64| {
        let run = &runs[at];
        // In place of so many pages.
        let weigh = "UPDATE plinth.query_runs SET kept_bytes = $2 WHERE id = $1";
        raw.execute(weigh, &[&run.id.as_uuid(), &(megabytes << 20)]).await.unwrap();
        let finished_at = Some(plinth_core::Clock::now(&plinth_core::SystemClock));
        let expires_at = Some(now + hour);
        let state = RunState::Succeeded;
        let ended = QueryRun { row_count: 1, state, finished_at, expires_at, ..run.clone() };
        assert!(store.save(&ended, None).await.unwrap());
        let left =
            "SELECT r.id FROM plinth.query_runs r JOIN plinth.query_run_pages p ON p.run_id = r.id
             WHERE finished_at IS NOT NULL";
        let left = raw.query(left, &[]).await.unwrap();
        let left: BTreeSet<uuid::Uuid> = left.iter().map(|row| row.get(0)).collect();
        let number = |it: &QueryRun| left.contains(&it.id.as_uuid());
        runs.iter().map(number).collect::<Vec<_>>()
    };
    assert_eq!(end(3, 100).await, [false, false, false, true]);
    assert_eq!(end(1, 150).await, [false, true, false, true], "there is room for both");
    assert_eq!(end(0, 100).await, [true, true, false, false], "begun first, ended last");
    assert_eq!(end(2, 300).await, [false, false, true, false], "the last stays in any case");
}

#[tokio::test]
async fn statements_of_others_are_searched_for_those_whom_no_policy_binds() {
    use plinth_queries::policies::Audience;
    use plinth_tenancy::{Role, RoleId, RoleKey};

    let ours = ours().await;
    let [(org, viewer), (_, asker)] = two_organizations(&ours.database).await;
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    let [limited, open] = ["limited", "open"]
        .map(|name| plinth_connections::testing::connection(org, viewer, name, at));
    let connections = PostgresConnections::new(ours.database.clone());
    connections.insert(&limited, &made(org)).await.unwrap();
    connections.insert(&open, &made(org)).await.unwrap();
    let store = PostgresQueries::new(ours.database.clone());
    let [limited, open] = [limited, open].map(|it| it.connection.id);
    let asked = |user, connection| Arc::new(plinth_queries::testing::entry(org, user, connection));
    let all = [asked(asker, limited), asked(asker, open), asked(viewer, limited)];
    store.insert(org, &all).await.unwrap();
    let found = async |word: &str| {
        let filter = plinth_queries::HistoryFilter {
            words: vec![word.to_owned()],
            viewer: Some(viewer),
            ..plinth_queries::HistoryFilter::default()
        };
        let listed = store.list(org, filter, None, plinth_core::Limit::default()).await.unwrap();
        listed.into_iter().map(|it| it.id).collect::<BTreeSet<_>>()
    };
    let ids = |of: &[usize]| of.iter().map(|it| all[*it].id).collect::<BTreeSet<_>>();
    // It stands in the statements, and in no question.
    let word = "count(*)";
    assert_eq!(found(word).await, ids(&[0, 1, 2]), "there is no policy");

    let client = raw(&ours.test).await;
    let own = RoleId::new(at);
    let insert =
        "INSERT INTO plinth.roles (id, org_id, name, description, scopes, saved_queries_only,
                      created_by, created_at, updated_at)
                  VALUES ($1, $2, 'Own', '', ARRAY['queries:read'], false, $3, now(), now())";
    client.execute(insert, &[&own.as_uuid(), &org.as_uuid(), &viewer.as_uuid()]).await.unwrap();
    let insert = "INSERT INTO plinth.policies (id, org_id, connection_id, name, schema_name, table_name, roles, all_but,
                      masks, is_active, revision, created_by, created_at, updated_at)
                  VALUES (gen_random_uuid(), $1, $2, 'P', 'public', 'orders', '{}', true, '{}', true, 1, $3, now(), now())";
    let made_by = viewer.as_uuid();
    client.execute(insert, &[&org.as_uuid(), &limited.as_uuid(), &made_by]).await.unwrap();
    let roles = [
        RoleKey::BuiltIn(Role::Owner),
        RoleKey::BuiltIn(Role::Editor),
        RoleKey::BuiltIn(Role::Viewer),
        RoleKey::Custom(own),
        RoleKey::Custom(RoleId::new(at)),
    ];
    let audiences = [vec![], vec![1], vec![3], vec![1, 3], vec![2, 4]]
        .map(|it| it.into_iter().map(|it: usize| roles[it]).collect::<Vec<_>>())
        .into_iter()
        .flat_map(|it| [Audience::Except(it.clone()), Audience::Roles(it)])
        .filter(|it| *it != Audience::Roles(Vec::new()));
    let be = "UPDATE plinth.members SET role = $2, custom_role = $3 WHERE user_id = $1";
    let bind = "UPDATE plinth.policies SET roles = $1, all_but = $2";
    for audience in audiences {
        let names: Vec<String> = audience.roles().iter().map(ToString::to_string).collect();
        let all_but = matches!(audience, Audience::Except(_));
        client.execute(bind, &[&names, &all_but]).await.unwrap();
        for role in &roles[..4] {
            let (name, custom) = match role {
                RoleKey::BuiltIn(it) => (it.to_string(), None),
                RoleKey::Custom(it) => ("custom".to_owned(), Some(it.as_uuid())),
            };
            client.execute(be, &[&viewer.as_uuid(), &name, &custom]).await.unwrap();
            let shown = if audience.binds(*role) { ids(&[1, 2]) } else { ids(&[0, 1, 2]) };
            assert_eq!(found(word).await, shown, "{role} {audience:?}");
            assert_eq!(found("orders").await, ids(&[0, 1, 2]), "their questions are searched");
        }
    }
    // Whoever is no member is bound by whatever there is; what does not hold binds nobody.
    client
        .batch_execute("UPDATE plinth.policies SET roles = '{viewer}', all_but = false")
        .await
        .unwrap();
    client.execute("DELETE FROM plinth.members WHERE user_id = $1", &[&made_by]).await.unwrap();
    assert_eq!(found(word).await, ids(&[1, 2]));
    client.batch_execute("UPDATE plinth.policies SET is_active = false").await.unwrap();
    assert_eq!(found(word).await, ids(&[0, 1, 2]));
}

#[tokio::test]
async fn models_and_what_they_used_keep_their_contract() {
    let ours = ours().await;
    let two = two_organizations(&ours.database).await;
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    let store = PostgresModels::new(ours.database.clone());
    plinth_models::testing::models(&store, two, at).await;
    plinth_models::testing::usage(&store, &store, two).await;
    // What was used by an organization that is gone is nobody's.
    let nobody = OrgId::new(at);
    let row = plinth_models::UsageRow {
        day: "2026-02-01".parse().unwrap(),
        model: plinth_models::ModelRef::Installation,
        label: "Installation".to_owned(),
        usage: plinth_nl2sql::model::Usage::default(),
        cost: plinth_models::Money::default(),
    };
    plinth_models::UsageStore::add(&store, nobody, &[row]).await.unwrap();
}

#[tokio::test]
async fn snapshots_keep_their_contract_and_go_with_their_connection() {
    let ours = ours().await;
    let [us, them] = two_organizations(&ours.database).await;
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    let connections = PostgresConnections::new(ours.database.clone());
    let sales = plinth_connections::testing::connection(us.0, us.1, "sales", at);
    connections.insert(&sales, &made(us.0)).await.unwrap();
    let (store, id) = (PostgresSnapshots::new(ours.database.clone()), sales.connection.id);
    plinth_schema_introspect::testing::snapshot_store_contract(&store, (us.0, them.0), id).await;

    let (newest, _) = store.newest(us.0, id).await.unwrap().unwrap();
    assert!(connections.remove(us.0, id, 1, at, &made(us.0)).await.unwrap());
    assert!(store.find(us.0, newest).await.unwrap().is_none());
    let late = plinth_schema_introspect::testing::snapshot(us.0, id, "orders", at);
    assert!(matches!(
        store.insert(&std::sync::Arc::new(late)).await,
        Err(InsertSnapshotError::NoConnection)
    ));
}

#[tokio::test]
async fn annotations_keep_their_contract_and_go_with_their_connection() {
    let ours = ours().await;
    let [us, them] = two_organizations(&ours.database).await;
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    let connections = PostgresConnections::new(ours.database.clone());
    let sales = plinth_connections::testing::connection(us.0, us.1, "sales", at);
    connections.insert(&sales, &made(us.0)).await.unwrap();
    let (store, id) = (PostgresAnnotations::new(ours.database.clone()), sales.connection.id);
    plinth_schema_introspect::testing::annotation_store_contract(&store, us, them, id).await;
    assert!(!store.all(us.0, id).await.unwrap().is_empty());
    assert!(connections.remove(us.0, id, 1, at, &made(us.0)).await.unwrap());
    assert!(store.all(us.0, id).await.unwrap().is_empty());
}

#[tokio::test]
async fn servers_that_start_at_once_all_come_up() {
    let test = TestDatabase::create().await.unwrap();
    let url = url(&test.url());
    let (a, b, c) = tokio::join!(migrate(&url), migrate(&url), migrate(&url));
    a.and(b).and(c).unwrap();
    Database::open(&url, 1).await.unwrap();
}

#[tokio::test]
async fn people_and_their_sessions_keep_their_contract() {
    let ours = ours().await;
    let [us, them] = two_organizations(&ours.database).await;
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    let store = PostgresAccounts::new(ours.database.clone());
    let ann = plinth_tenancy::Email::parse("ann@example.com").unwrap();
    let ([us, them], ann) = ([us, them].map(|(org, user)| (user, org)), &ann);
    plinth_tenancy::accounts::testing::account_store_contract(&store, ann, us, them, at).await;
    let attempts = PostgresAttempts::new(ours.database.clone());
    plinth_tenancy::accounts::testing::attempt_store_contract(&attempts, at).await;
}

#[tokio::test]
async fn a_sessions_use_waits_for_the_account_without_holding_the_session() {
    let ours = ours().await;
    let [(org, user), (other_org, _)] = two_organizations(&ours.database).await;
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    let store = PostgresAccounts::new(ours.database.clone());
    let session = plinth_tenancy::accounts::testing::session(user, org, 0, at);
    store.insert_session(&session, None).await.unwrap();

    // Somebody who changes the password has the account and takes its sessions next.
    let [other, watcher] = [raw(&ours.test).await, raw(&ours.test).await];
    other.batch_execute("BEGIN; SET LOCAL lock_timeout = '10s'").await.unwrap();
    let account = "SELECT FROM plinth.accounts WHERE user_id = $1 FOR UPDATE";
    assert_eq!(other.execute(account, &[&user.as_uuid()]).await.unwrap(), 1);
    let touching = tokio::spawn(async move {
        store.touch_session(user, session.id, at, None, Some(other_org)).await
    });
    let waits = "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
                 WHERE NOT granted AND datname = current_database())";
    while !watcher.query_one(waits, &[]).await.unwrap().get::<_, bool>(0) {
        assert!(!touching.is_finished(), "it did not wait for the account");
        tokio::task::yield_now().await;
    }
    let end = "UPDATE plinth.sessions SET ended_at = now() WHERE user_id = $1";
    assert_eq!(other.execute(end, &[&user.as_uuid()]).await.unwrap(), 1, "no deadlock");
    other.batch_execute("COMMIT").await.unwrap();
    touching.await.unwrap().unwrap();
}

/// Whoever writes when it is deleted is waited for; whoever comes later is refused.
#[tokio::test]
async fn the_history_and_the_trail_go_with_their_organization_and_none_comes_later() {
    let ours = ours().await;
    let [(us, user), (them, their_user)] = two_organizations(&ours.database).await;
    let connection = plinth_connections::ConnectionId::new(jiff::Timestamp::UNIX_EPOCH);
    let store = PostgresQueries::new(ours.database.clone());
    let asked = |org, user| [Arc::new(plinth_queries::testing::entry(org, user, connection))];
    store.insert(us, &asked(us, user)).await.unwrap();
    store.insert(them, &asked(them, their_user)).await.unwrap();
    let [holder, deleter, watcher] =
        [raw(&ours.test).await, raw(&ours.test).await, raw(&ours.test).await];
    let left = async || {
        let count = "SELECT (SELECT count(*) FROM plinth.queries), (SELECT count(*) FROM plinth.audit_entries)";
        let row = watcher.query_one(count, &[]).await.unwrap();
        (row.get::<_, i64>(0), row.get::<_, i64>(1))
    };
    assert_eq!(left().await, (2, 4), "an organization's beginning is in its trail too");

    // The writer has written into the history, and waits for the trail's head; the deletion waits for the writer.
    holder.batch_execute("BEGIN").await.unwrap();
    let lock = "SELECT FROM plinth.audit_heads WHERE org_id = $1 FOR UPDATE";
    assert_eq!(holder.execute(lock, &[&us.as_uuid()]).await.unwrap(), 1);
    let writing = tokio::spawn({
        let (store, entries) = (store.clone(), asked(us, user));
        async move { store.insert(us, &entries).await }
    });
    until_waiting(&watcher, 1, || writing.is_finished()).await;
    let deleting = tokio::spawn(async move {
        let delete = "DELETE FROM plinth.organizations WHERE id = $1";
        deleter.execute(delete, &[&us.as_uuid()]).await
    });
    until_waiting(&watcher, 2, || deleting.is_finished()).await;
    assert_eq!(left().await, (2, 4));
    holder.batch_execute("COMMIT").await.unwrap();
    writing.await.unwrap().unwrap();
    assert_eq!(deleting.await.unwrap().unwrap(), 1);
    assert_eq!(left().await, (1, 2), "theirs");

    assert!(store.insert(us, &asked(us, user)).await.is_err(), "it is gone");
    assert_eq!(left().await, (1, 2));
    store.insert(them, &asked(them, their_user)).await.unwrap();
    assert_eq!(left().await, (2, 3));
}

#[tokio::test]
async fn an_entry_that_is_removed_while_its_batch_is_written_again_stays_removed() {
    let ours = ours().await;
    let [(org, user), _] = two_organizations(&ours.database).await;
    let connection = plinth_connections::testing::connection(
        org,
        user,
        "live",
        "2026-01-01T00:00:00Z".parse().unwrap(),
    );
    let entry = plinth_queries::testing::entry(org, user, connection.connection.id);
    let (id, store) = (entry.record.id, PostgresQueries::new(ours.database.clone()));
    let batch = [Arc::new(entry)];
    store.insert(org, &batch).await.unwrap();

    // What is new in any table waits for the organization: the removal is held up after it has removed, and the batch waits
    // for the removal, since the entry's id is taken until that is done.
    let [holder, watcher] = [raw(&ours.test).await, raw(&ours.test).await];
    let lock = "SELECT FROM plinth.organizations WHERE id = $1 FOR UPDATE";
    holder.batch_execute("BEGIN").await.unwrap();
    assert_eq!(holder.execute(lock, &[&org.as_uuid()]).await.unwrap(), 1);
    let removing = tokio::spawn({
        let store = store.clone();
        async move { store.remove(org, id, plinth_queries::HistoryFilter::default(), 0, None).await }
    });
    until_waiting(&watcher, 1, || removing.is_finished()).await;
    let writing = tokio::spawn({
        let store = store.clone();
        async move { store.insert(org, &batch).await }
    });
    until_waiting(&watcher, 2, || writing.is_finished()).await;
    holder.batch_execute("COMMIT").await.unwrap();
    assert!(removing.await.unwrap().unwrap());
    writing.await.unwrap().unwrap();

    let found = store.find(org, id, plinth_queries::HistoryFilter::default()).await.unwrap();
    assert!(found.is_none(), "{found:?}");
    let told = "SELECT count(*) FROM plinth.audit_entries WHERE action = 'query.asked'";
    let told: i64 = watcher.query_one(told, &[]).await.unwrap().get(0);
    assert_eq!(told, 1, "the trail tells of it once");
}

/// A session of the superuser's, past row-level security.
async fn raw(test: &TestDatabase) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(&test.superuser_url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn servers_that_start_at_once_make_one_signing_key() {
    let ours = ours().await;
    let clock = Arc::new(plinth_core::ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
    let server = || {
        let store = Arc::new(PostgresSigningKeys::new(ours.database.clone()));
        SigningKeys::new(store, clock.clone(), [3; 32], "https://plinth.example.com")
    };
    let servers: Vec<_> = (0..4).map(|_| server()).collect();
    let tokens = servers.iter().map(|it| it.sign(|claims| claims));
    let tokens = futures_util::future::try_join_all(tokens).await.unwrap();
    for server in &servers {
        assert_eq!(server.published().await.unwrap().len(), 1);
        for token in &tokens {
            let read = server.verify(secrecy::ExposeSecret::expose_secret(&token.text)).await;
            assert!(read.unwrap().is_some(), "each takes the others' tokens");
        }
    }
    let (client, connection) =
        tokio_postgres::connect(&ours.test.superuser_url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let kept: Vec<u8> =
        client.query_one("SELECT sealed FROM plinth.signing_keys", &[]).await.unwrap().get(0);
    assert_eq!(kept.len(), 12 + 32 + 16, "a nonce, the sealed key, and what shows tampering");
    client
        .execute("UPDATE plinth.signing_keys SET sealed = set_byte(sealed, 20, 0)", &[])
        .await
        .unwrap();
    let other = server();
    assert!(other.sign(|claims| claims).await.is_err(), "a key that was changed signs nothing");
}

/// As the server's own role, and by the catalog's word rather than by trying.
#[tokio::test]
async fn every_table_is_bound_by_row_level_security() {
    let ours = ours().await;
    let (client, connection) =
        tokio_postgres::connect(&ours.test.superuser_url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let open = client
        .query(
            "SELECT c.relname::text FROM pg_class c
             WHERE c.relnamespace = 'plinth'::regnamespace AND c.relkind IN ('r', 'p')
               AND NOT (c.relrowsecurity AND c.relforcerowsecurity
                        AND EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid))",
            &[],
        )
        .await
        .unwrap();
    let open: Vec<String> = open.iter().map(|row| row.get(0)).collect();
    assert_eq!(open, ["refinery_schema_history"], "which only the owner may touch");

    let granted: bool = client
        .query_one(
            "SELECT has_table_privilege('plinth_app', 'plinth.refinery_schema_history', 'SELECT')",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert!(!granted);

    let role = client
        .query_one(
            "SELECT rolcanlogin OR rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb,
                    EXISTS (SELECT FROM pg_class WHERE relowner = pg_roles.oid)
             FROM pg_roles WHERE rolname = 'plinth_app'",
            &[],
        )
        .await
        .unwrap();
    assert!(!role.get::<_, bool>(0) && !role.get::<_, bool>(1), "no rights but those granted");
}

/// What is found before the organization is known: each of these is a hole in the wall, made on purpose.
#[tokio::test]
async fn the_functions_that_look_over_the_wall_are_these() {
    let ours = ours().await;
    let (client, connection) =
        tokio_postgres::connect(&ours.test.superuser_url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let found = client
        .query(
            "SELECT p.oid::regprocedure::text, pg_get_function_result(p.oid),
                    has_function_privilege('public', p.oid, 'EXECUTE')
             FROM pg_proc p WHERE p.prosecdef AND p.pronamespace = 'plinth'::regnamespace",
            &[],
        )
        .await
        .unwrap();
    let found: BTreeSet<String> = found
        .iter()
        .map(|row| {
            assert!(!row.get::<_, bool>(2), "nobody else may call it");
            format!("{} → {}", row.get::<_, String>(0), row.get::<_, String>(1))
        })
        .collect();
    let expected = [
        "plinth.check_master_keys(bytea[]) → boolean",
        "plinth.count_data_keys() → TABLE(master_version integer, data_keys bigint)",
        "plinth.find_identity_providers(text) → TABLE(org_id uuid, provider_id uuid)",
        "plinth.find_installation_key() → TABLE(kept_version integer, kept_wrapped bytea)",
        "plinth.list_data_keys_of_others(integer,uuid,integer) → SETOF uuid",
        "plinth.rewrap_installation_key(integer,integer,bytea,bytea) → boolean",
        "plinth.take_connection_checks(integer,interval) → TABLE(org_id uuid, connection_id uuid)",
        "plinth.claim_setup_token(bytea) → boolean",
        "plinth.cp_beat(text,text,integer,integer,integer) → void",
        "plinth.cp_beat(text,text,integer,integer,integer,jsonb) → void",
        "plinth.cp_census() → TABLE(what text, kind text, state text, many bigint)",
        "plinth.cp_keep_authority(text,integer,bytea) → TABLE(kept_certificate text, kept_version integer, kept_key bytea)",
        "plinth.cp_due(text,timestamp with time zone) → TABLE(org_id uuid, project_id text)",
        "plinth.cp_kept(text,timestamp with time zone) → TABLE(project_id text, branch_id text)",
        "plinth.cp_find_transfer(uuid,text,timestamp with time zone) → uuid",
        "plinth.cp_transfer(text,uuid,uuid,bigint,uuid,timestamp with time zone,uuid[],integer[],bytea[]) → text",
        "plinth.cp_ports(text) → SETOF integer",
        "plinth.cp_projects_of(text) → TABLE(org_id uuid, project_id text)",
        "plinth.cp_shared_with(uuid) → TABLE(org_id uuid, project_id text)",
        "plinth.cp_take(text,uuid,interval) → TABLE(org_id uuid, chain_id uuid)",
        "plinth.cp_take_inquiry(text,uuid,interval) → TABLE(org_id uuid, inquiry_id uuid)",
        "plinth.find_invitation(uuid) → uuid",
        "plinth.organizations_to_delete() → SETOF uuid",
        "plinth.organizations_with_lost_query_runs() → SETOF uuid",
        "plinth.organizations_with_waiting_deliveries() → SETOF uuid",
        "plinth.find_api_key(bytea) → TABLE(org_id uuid, key_id uuid)",
        "plinth.find_identity_providers(text) → TABLE(org_id uuid, provider_id uuid)",
        "plinth.find_oauth_app(uuid) → uuid",
        "plinth.find_or_add_user(uuid,text,timestamp with time zone) → uuid",
        "plinth.find_user(text) → uuid",
        "plinth.keep_installation_key(integer,bytea) → TABLE(kept_version integer, kept_wrapped bytea)",
        "plinth.list_organizations() → SETOF uuid",
        "plinth.put_setup_token(bytea) → boolean",
        "plinth.due_workflows(integer) → TABLE(org_id uuid, workflow_id uuid)",
        "plinth.due_workflows(integer,uuid[]) → TABLE(org_id uuid, workflow_id uuid)",
        "plinth.find_workflow(uuid) → uuid",
        "plinth.advance_workflow_runs(uuid[],bigint[],integer[],text[],double precision[],integer[],integer[],text[],text[]) → TABLE(moved_run uuid, moved_fence bigint, moved_workflow uuid, moved_to_end boolean)",
        "plinth.keep_workflow_runs(uuid[],bigint[],interval) → SETOF uuid",
        "plinth.take_lost_workflow_runs(integer,interval) → TABLE(taken_org uuid, taken_run uuid, taken_fence bigint)",
        "plinth.take_workflow_runs(integer,interval,integer,uuid,uuid) → TABLE(taken_org uuid, taken_run uuid, taken_fence bigint)",
        "plinth.take_workflow_runs(integer,interval,integer,uuid,uuid,boolean) → TABLE(taken_org uuid, taken_run uuid, taken_fence bigint)",
        "plinth.take_waiting_workflow_runs(integer,interval,integer,uuid,uuid[],uuid[]) → TABLE(taken_org uuid, taken_run uuid, taken_fence bigint)",
        "plinth.hold_current_org() → trigger",
        "plinth.sweep_organizations() → trigger",
        "plinth.sweep_workflow_runs() → trigger",
        "plinth.take_alerts(integer,interval,integer) → TABLE(taken_org uuid, taken_alert uuid)",
        "plinth.take_event_deliveries(integer,interval,integer,integer) → TABLE(taken_org uuid, taken_delivery uuid)",
        "plinth.take_remote_intents(integer,interval) → TABLE(taken_org uuid, taken_intent uuid)",
        "plinth.take_outbox(integer,interval) → TABLE(org_id uuid, message_id uuid)",
        "plinth.take_workflow_listeners(integer,interval) → TABLE(taken_org uuid, taken_connection uuid, taken_fence bigint, heard_until timestamp with time zone)",
    ];
    assert_eq!(found, expected.map(str::to_owned).into());
}

#[tokio::test]
async fn another_master_key_is_noticed() {
    let ours = ours().await;
    let check = async |checks: &[&[u8]]| ours.database.check_master_keys(checks).await.unwrap();
    let (first, other) = (&[1; 32][..], &[2; 32][..]);
    assert!(check(&[first]).await, "the first counts");
    assert!(check(&[first]).await);
    assert!(!check(&[other]).await);
    assert!(check(&[other, first]).await, "one among several is enough");
    assert!(!check(&[other]).await, "and changes nothing");
}

/// A forgotten `WHERE` shows nothing of others, and a forgotten organization nothing at all.
#[tokio::test]
async fn without_a_where_a_session_sees_its_own_organization_only() {
    let ours = ours().await;
    let [us, them] = two_organizations(&ours.database).await;
    let options = "-c role=plinth_app -c search_path=plinth";
    let mut config: tokio_postgres::Config = ours.test.url().parse().unwrap();
    config.options(options);
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);

    let count = "SELECT (SELECT count(*) FROM organizations), (SELECT count(*) FROM members),
                        (SELECT count(*) FROM api_keys), (SELECT count(*) FROM users)";
    let seen =
        |row: tokio_postgres::Row| (0..4).map(|at| row.get::<_, i64>(at)).collect::<Vec<_>>();
    assert_eq!(seen(client.query_one(count, &[]).await.unwrap()), [0, 0, 0, 0]);

    let name = "SELECT set_config('plinth.org_id', $1, false)";
    client.execute(name, &[&us.0.to_string()]).await.unwrap();
    assert_eq!(seen(client.query_one(count, &[]).await.unwrap()), [1, 1, 1, 1]);

    let moved = "UPDATE api_keys SET org_id = $1";
    assert!(
        client.execute(moved, &[&them.0.as_uuid()]).await.is_err(),
        "no row leaves its organization"
    );
    assert_eq!(
        client
            .execute("DELETE FROM members WHERE org_id = $1", &[&them.0.as_uuid()])
            .await
            .unwrap(),
        0
    );
    let own = "SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM members), (SELECT count(*) FROM users),
                      (SELECT count(*) FROM organizations)";
    assert_eq!(seen(client.query_one(own, &[]).await.unwrap()), [0, 1, 1, 1], "no person is named");
    client.execute("SELECT set_config('plinth.org_id', '', false)", &[]).await.unwrap();
    let name = "SELECT set_config('plinth.user_id', $1, false)";
    client.execute(name, &[&them.1.as_uuid().to_string()]).await.unwrap();
    assert_eq!(seen(client.query_one(own, &[]).await.unwrap()), [1, 1, 1, 1], "their own");
    let others = "SELECT count(*) FROM accounts WHERE user_id <> $1";
    let others = client.query_one(others, &[&them.1.as_uuid()]).await.unwrap();
    assert_eq!(others.get::<_, i64>(0), 0);
    for forbidden in [
        "INSERT INTO accounts (user_id) VALUES (gen_random_uuid())",
        "DELETE FROM accounts",
        "UPDATE signing_keys SET sealed = ''",
    ] {
        assert!(client.execute(forbidden, &[]).await.is_err(), "{forbidden}");
    }
    assert_eq!(client.execute("UPDATE members SET role = 'owner'", &[]).await.unwrap(), 0);
    for forbidden in
        ["SELECT * FROM installation", "INSERT INTO users VALUES (gen_random_uuid(), 'x@y', now())"]
    {
        assert!(client.execute(forbidden, &[]).await.is_err(), "{forbidden}");
    }
    drop(ours.url);
}
