use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use plinth_testdb::TestDatabase;
use serde_json::Value;

use crate::folder::DataFolder;
use crate::plinth::{plinth, run, serve_in, serve_on};

#[test]
fn a_mistyped_variable_is_refused_by_name() {
    let folder = DataFolder::new();
    run(serve_in(&folder).env("PLINTH_LISTENS", "127.0.0.1:1"))
        .assert_refused(&["PLINTH_LISTENS", "--help"]);
    assert!(!folder.path().exists(), "nothing was begun");
    run(plinth(&["openapi"]).env("PLINTH_DATABASEURL", "x"))
        .assert_refused(&["PLINTH_DATABASEURL"]);
}

#[test]
fn a_value_that_cannot_be_read_is_refused_with_its_flag() {
    for (flag, value) in [
        ("--listen", "nowhere"),
        ("--egress-allow", "10.0.0.0/99"),
        ("--database-connections", "many"),
        ("--statement-seconds", "0"),
        ("--max-rows", "-1"),
        ("--log-format", "xml"),
    ] {
        let argument = format!("{flag}={value}");
        let ended = run(&mut plinth(&["serve", &argument]));
        ended.assert_refused(&[flag, value]);
        let variable = format!("PLINTH_{}", flag[2..].replace('-', "_").to_uppercase());
        run(plinth(&["serve"]).env(&variable, value)).assert_refused(&[flag, value]);
    }
    run(&mut plinth(&["serve", "--log", "a=b=c"])).assert_refused(&["a=b=c", "log filter"]);
    run(&mut plinth(&["serve", "--llm-model", "m"])).assert_refused(&["--llm-base-url"]);
    run(&mut plinth(&["frobnicate"])).assert_refused(&["frobnicate"]);
}

#[actix_web::test]
async fn a_value_that_cannot_work_is_refused_with_its_flag_and_nothing_is_left_running() {
    let database = TestDatabase::create().await.unwrap();
    let mut command = serve_on(&database.url());
    command.env("PLINTH_LLM_BASE_URL", "not a url").env("PLINTH_LLM_MODEL", "m");
    run(&mut command).assert_refused(&["PLINTH_LLM_BASE_URL"]);
    let mut none = serve_on(&database.url());
    run(none.args(["--database-connections", "0"])).assert_refused(&["--database-connections"]);
    let mut none = serve_on(&database.url());
    run(none.args(["--sessions-per-connection", "0"]))
        .assert_refused(&["--sessions-per-connection"]);
    run(&mut serve_on("mysql://root@localhost/x")).assert_refused(&["URL"]);
}

#[actix_web::test]
async fn a_mail_server_that_cannot_be_meant_is_refused_without_its_password() {
    let database = TestDatabase::create().await.unwrap();
    for (url, saying) in [
        ("smtp://u:canary@mail.example.com?tls=off", "in clear"),
        ("http://u:canary@mail.example.com", "smtps://"),
    ] {
        let mut command = serve_on(&database.url());
        command.env("PLINTH_SMTP_URL", url).env("PLINTH_MAIL_FROM", "plinth@example.com");
        let ended = run(&mut command);
        ended.assert_refused(&["PLINTH_SMTP_URL", saying]);
        assert!(!format!("{}{}", ended.stdout, ended.stderr).contains("canary"));
    }
    let mut command = serve_on(&database.url());
    run(command.env("PLINTH_SMTP_URL", "smtp://localhost")).assert_refused(&["--mail-from"]);
    let mut command = serve_on(&database.url());
    run(command.env("PLINTH_MAIL_FROM", "nobody")).assert_refused(&["--mail-from", "plinth@"]);
}

#[test]
fn help_names_every_variable() {
    let source = include_str!("../../src/settings.rs");
    let variables: Vec<&str> =
        source.split("env = \"").skip(1).filter_map(|it| it.split('"').next()).collect();
    assert!(variables.len() > 15, "{variables:?}");
    let help = run(&mut plinth(&["--help"]));
    assert!(help.status.success());
    for variable in variables {
        assert!(help.stdout.contains(variable), "{variable} is not in:\n{}", help.stdout);
    }
    let serve = run(&mut plinth(&["serve", "--help"])).stdout;
    for variable in ["PLINTH_DATABASE_URL", "PLINTH_MASTER_KEY", "PLINTH_DATA_DIR", "PLINTH_LISTEN"]
    {
        assert!(serve.contains(variable), "{variable} is not in:\n{serve}");
    }
    let secret = run(plinth(&["serve", "--help"]).env("PLINTH_MASTER_KEY", "canary"));
    assert!(!secret.stdout.contains("canary"), "help does not print secrets");
}

#[test]
fn a_data_folder_that_cannot_be_made_or_entered_is_said() {
    let folder = DataFolder::new();
    let file = folder.beside("file");
    fs::write(&file, "").unwrap();
    let below = file.join("data");
    let mut command = plinth(&["serve", "--listen", "127.0.0.1:0", "--data-dir"]);
    run(command.arg(&below))
        .assert_refused(&["cannot make the data folder", below.to_str().unwrap()]);
    let mut command = plinth(&["serve", "--listen", "127.0.0.1:0", "--data-dir"]);
    run(command.arg(&file)).assert_refused(&[file.to_str().unwrap()]);

    let closed = folder.beside("closed");
    fs::create_dir(&closed).unwrap();
    let mut command = plinth(&["serve", "--listen", "127.0.0.1:0", "--data-dir"]);
    command.arg(closed.join("data"));
    if nix::unistd::geteuid().is_root() {
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        run(&mut command).assert_refused(&["cannot enter", closed.to_str().unwrap(), "--data-dir"]);
    } else {
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
        run(&mut command)
            .assert_refused(&["cannot make the data folder", closed.to_str().unwrap()]);
    }
    let mut command = serve_in(&folder);
    run(command.env("PLINTH_POSTGRES_BIN", folder.beside("nowhere"))).assert_refused(&["nowhere"]);
    folder.assert_quiet();
}

#[test]
fn the_document_is_printed_without_any_setting_and_with_nothing_beside_it() {
    for arguments in [&["openapi"][..], &["--log", "trace", "openapi"][..]] {
        let ended = run(&mut plinth(arguments));
        assert!(ended.status.success(), "{}", ended.stderr);
        let document: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        assert!(document["paths"]["/v1/queries"]["post"].is_object());
    }
}
