//! The contract of the port for dashboards, over a real Postgres.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use jiff::Timestamp;
use plinth_adapter_postgres::{
    Database, DatabaseUrl, PostgresDashboards, PostgresTenancy, migrate, migrations,
};
use plinth_core::{OrgId, UserId};
use plinth_dashboards::testing::{
    dashboards_are_their_organizations_own, links_end_with_their_dashboard,
};
use plinth_tenancy::TenancyStore as _;
use plinth_testdb::TestDatabase;

struct Ours {
    store: PostgresDashboards,
    people: Vec<(OrgId, UserId)>,
    at: Timestamp,
    _test: TestDatabase,
}

fn url(text: &str) -> DatabaseUrl {
    DatabaseUrl::parse(&text.to_owned().into()).unwrap()
}

async fn ours() -> Ours {
    let key = format!("plinth {:?}", migrations());
    let test = TestDatabase::create_from_template(&key, async |draft| {
        migrate(&url(&draft.url())).await?;
        Ok(())
    })
    .await
    .unwrap();
    let at = "2026-01-01T00:00:30Z".parse().unwrap();
    let database = Database::open(&url(&test.url()), 4)
        .await
        .unwrap()
        .with_trail(plinth_tenancy::TrailKey::new([7; 32]));
    let tenancy = PostgresTenancy::new(database.clone());
    let mut people = Vec::new();
    for (name, email) in [("Ours", "ann@example.com"), ("Theirs", "bob@example.com")] {
        let (new, _) = plinth_tenancy::testing::owner(name, email, at);
        let entry = plinth_tenancy::testing::entry(new.organization.id, at);
        tenancy.found(&new, None, &entry).await.unwrap();
        people.push((new.organization.id, new.user.id));
    }
    Ours { store: PostgresDashboards::new(database), people, at, _test: test }
}

#[tokio::test]
async fn dashboards() {
    let ours = ours().await;
    let (ann, bob) = (ours.people[0], ours.people[1]);
    dashboards_are_their_organizations_own(&ours.store, ann, bob, ours.at).await;
}

#[tokio::test]
async fn links() {
    let ours = ours().await;
    let (ann, bob) = (ours.people[0], ours.people[1]);
    links_end_with_their_dashboard(&ours.store, ann, bob, ours.at).await;
}
