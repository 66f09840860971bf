use nix::sys::signal::Signal;
use plinth_testdb::TestDatabase;
use serde_json::{Value, json};

use crate::client::shop;
use crate::folder::DataFolder;
use crate::plinth::{Ended, MASTER_KEY, Running, plinth, run, serve_in, serve_on};

const NEW_KEY: &str = "0f4b9c1d7e2a6853c0d9e1f2a3b4c5d60718293a4b5c6d7e8f90a1b2c3d4e5f6";

fn told(ended: &Ended) -> Value {
    assert!(ended.status.success(), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

#[actix_web::test]
async fn a_new_key_in_the_folder_counts_for_a_running_server_and_for_the_next_one() {
    let (folder, db) = (DataFolder::new(), shop().await);
    let keys = |what: &str| {
        let mut command = plinth(&["keys", what, "--data-dir"]);
        command.arg(folder.path());
        told(&run(&mut command))
    };
    let server = Running::start(&mut serve_in(&folder)).up().await;
    let ann = server.set_up().await;
    let id = ann.connect(&db).await;
    let before = keys("status");
    assert_eq!(before["master_keys"].as_array().unwrap().len(), 1, "{before}");
    let rotated = keys("rotate");
    assert_eq!((&rotated["is_complete"], &rotated["rewrapped"]), (&json!(true), &json!(1)));
    let [new, old] = rotated["master_keys"].as_array().unwrap().as_slice() else {
        panic!("{rotated}");
    };
    assert_eq!(old["id"], before["master_keys"][0]["id"]);
    assert_eq!((&new["is_current"], &old["is_needed"]), (&json!(true), &json!(false)));
    ann.sql(&id, "SELECT 1").await.rows();
    assert_eq!(server.nobody().get("/readyz").await.status, 200);
    server.stop(Signal::SIGTERM).await;

    let server = Running::start(&mut serve_in(&folder)).up().await;
    ann.at(server.listen()).sql(&id, "SELECT 1").await.rows();
    server.stop(Signal::SIGTERM).await;
    folder.assert_quiet();
}

#[actix_web::test]
async fn a_key_from_the_environment_is_replaced_in_steps() {
    let (database, db) = (TestDatabase::create().await.unwrap(), shop().await);
    let server = Running::start(&mut serve_on(&database.url())).up().await;
    let ann = server.set_up().await;
    let id = ann.connect(&db).await;
    server.stop(Signal::SIGTERM).await;

    let keys = |what: &str, previous: Option<&str>| {
        let mut command = plinth(&["keys", what]);
        command.env("PLINTH_DATABASE_URL", database.url()).env("PLINTH_MASTER_KEY", NEW_KEY);
        if let Some(previous) = previous {
            command.env("PLINTH_MASTER_KEY_PREVIOUS", previous);
        }
        run(&mut command)
    };
    keys("rotate", None).assert_refused(&["not the master key"]);
    let mut both = serve_on(&database.url());
    both.env("PLINTH_MASTER_KEY", NEW_KEY).env("PLINTH_MASTER_KEY_PREVIOUS", MASTER_KEY);
    let server = Running::start(&mut both).up().await;
    let ann = ann.at(server.listen());
    ann.sql(&id, "SELECT 1").await.rows();
    assert_eq!(told(&keys("status", Some(MASTER_KEY)))["is_complete"], false);
    assert_eq!(told(&keys("rotate", Some(MASTER_KEY)))["is_complete"], true);
    ann.sql(&id, "SELECT 1").await.rows();
    server.stop(Signal::SIGTERM).await;

    let refused = Running::start(&mut serve_on(&database.url())).ended().await;
    refused.assert_refused(&["not the master key"]);
    keys("rotate", Some(MASTER_KEY)).assert_refused(&["PLINTH_MASTER_KEY already", "openssl"]);
    let mut alone = serve_on(&database.url());
    alone.env("PLINTH_MASTER_KEY", NEW_KEY);
    let server = Running::start(&mut alone).up().await;
    ann.at(server.listen()).sql(&id, "SELECT 1").await.rows();
    server.stop(Signal::SIGTERM).await;
}
