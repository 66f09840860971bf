use nix::sys::signal::Signal;
use plinth_testdb::TestDatabase;
use serde_json::Value;

use crate::folder::DataFolder;
use crate::plinth::{Ended, MASTER_KEY, Running, plinth, run, serve_in, serve_on};

fn bootstrap(folder: &DataFolder, organization: &str) -> std::process::Command {
    let email = "ann@example.com";
    let mut command =
        plinth(&["bootstrap", "--organization", organization, "--email", email, "--data-dir"]);
    command.arg(folder.path());
    command
}

/// The key of what was printed; the rest must be there too, and nothing else.
pub(crate) fn printed_key(ended: &Ended) -> String {
    assert!(ended.status.success(), "{}", ended.stderr);
    let printed: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(printed["organization_id"].as_str().unwrap().parse::<uuid::Uuid>().is_ok());
    assert!(!printed["user_id"].as_str().unwrap().is_empty());
    printed["api_key"].as_str().unwrap().to_owned()
}

#[actix_web::test]
async fn an_operator_makes_owners_before_the_first_start_and_beside_a_server() {
    let folder = DataFolder::new();
    let first = printed_key(&run(&mut bootstrap(&folder, "Acme")));
    folder.assert_quiet();

    let server = Running::start(&mut serve_in(&folder)).up().await;
    assert_eq!(
        server.setup_token(),
        None,
        "there is an owner already: {}",
        server.process().stderr()
    );
    let ann = server.somebody(&first);
    assert_eq!(ann.get("/v1/api-keys").await.body["data"].as_array().unwrap().len(), 1);

    let beside = printed_key(&run(&mut bootstrap(&folder, "Other")));
    assert_eq!(server.somebody(&beside).get("/v1/api-keys").await.status, 200);
    assert_eq!(ann.get("/v1/api-keys").await.body["data"].as_array().unwrap().len(), 1);

    let again = run(&mut bootstrap(&folder, "Acme"));
    again.assert_refused(&["Acme", "exists"]);
    assert_eq!(again.stdout, "");
    let mut wrong =
        plinth(&["bootstrap", "--organization", "Third", "--email", "nobody", "--data-dir"]);
    run(wrong.arg(folder.path())).assert_refused(&["email", "ann@example.com"]);
    assert_eq!(server.nobody().get("/readyz").await.status, 200, "none of it disturbed the server");
    assert!(folder.path().join("runtime.json").exists());

    server.stop(Signal::SIGTERM).await;
    folder.assert_quiet();
}

#[actix_web::test]
async fn an_owner_made_beside_a_server_that_is_just_starting_seals_with_the_same_key() {
    let folder = DataFolder::new();
    let mut starting = Running::start(&mut serve_in(&folder));
    let lock = folder.path().join("postgres/lock");
    starting.until("the server has the folder", |_| lock.exists().then_some(())).await;
    let beside = bootstrap(&folder, "Acme");
    let beside = std::thread::spawn(move || run(&mut { beside }));
    let server = starting.up().await;
    let key = printed_key(&beside.join().unwrap());
    assert_eq!(server.somebody(&key).get("/v1/connections").await.status, 200);
    server.stop(Signal::SIGTERM).await;
    folder.assert_quiet();
}

#[actix_web::test]
async fn an_owner_is_made_in_a_given_database_too() {
    let database = TestDatabase::create().await.unwrap();
    let mut command =
        plinth(&["bootstrap", "--organization", "Acme", "--email", "ann@example.com"]);
    command.env("PLINTH_DATABASE_URL", database.url());
    run(&mut command).assert_refused(&["PLINTH_MASTER_KEY"]);
    let key = printed_key(&run(command.env("PLINTH_MASTER_KEY", MASTER_KEY)));
    run(&mut command).assert_refused(&["Acme", "exists"]);
    let server = Running::start(&mut serve_on(&database.url())).up().await;
    assert_eq!(server.setup_token(), None);
    assert_eq!(server.somebody(&key).get("/v1/connections").await.status, 200);
    server.stop(Signal::SIGTERM).await;
}
