use nix::sys::signal::Signal;

use crate::folder::DataFolder;
use crate::plinth::{Running, plinth, run};

fn demo(folder: &DataFolder) -> std::process::Command {
    let mut command = plinth(&["demo", "--listen", "127.0.0.1:0", "--data-dir"]);
    command.arg(folder.path());
    command
}

/// What stands behind a label in the closing lines.
fn after<'a>(label: &str, text: &'a str) -> &'a str {
    let line = text.lines().find_map(|it| it.trim_start().strip_prefix(label));
    line.unwrap_or_else(|| panic!("no `{label}` in:\n{text}")).split_whitespace().next().unwrap()
}

#[actix_web::test]
async fn the_demo_asks_shows_how_to_go_on_and_leaves_nothing_running() {
    let folder = DataFolder::new();
    let first = run(demo(&folder).arg("--exit"));
    let printed = &first.stdout;
    assert!(printed.contains("rows into"), "{printed}");
    for number in 1..=10 {
        assert!(printed.contains(&format!("\n{number:>2}. ")), "question {number}:\n{printed}");
    }
    assert!(printed.matches("SELECT").count() >= 8, "each with its SQL:\n{printed}");
    let api = after("API  ", printed);
    assert!(api.starts_with("http://127.0.0.1:") && api.ends_with("/v1"), "{api}");
    assert!(!api.contains(":0/"), "the port that was bound: {api}");
    assert!(after("Swagger UI", printed).ends_with("/docs/"));
    let key = after("API key", printed);
    assert!(key.starts_with("plinth_live_"), "{key}");
    let connection = after("connection", printed);
    assert!(printed.contains(&format!("curl -s {api}/queries")), "{printed}");
    assert!(printed.contains(&format!("Authorization: Bearer {key}")));
    assert!(printed.contains(&format!(r#""connection_id": "{connection}""#)));
    folder.assert_quiet();

    // Again, and this time it stays: nothing is loaded or made anew, and the printed key works.
    let mut again = Running::start(&mut demo(&folder));
    again
        .until("it is up and says how to stop it", |it| {
            it.stdout().contains("Ctrl-C").then_some(())
        })
        .await;
    let printed = again.stdout();
    assert!(printed.contains("loaded already"), "{printed}");
    assert_eq!((after("API key", &printed), after("connection", &printed)), (key, connection));
    let listen = after("API  ", &printed).trim_start_matches("http://").trim_end_matches("/v1");
    let ann = crate::client::Person::new(listen.parse().unwrap(), Some(key));
    let asked = ann.ask(connection, "How many customers do we have?").await;
    assert_eq!(asked.rows().as_array().unwrap().len(), 1);
    again.signal(Signal::SIGINT);
    let ended = again.ended().await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    folder.assert_quiet();

    // THE ENGINE'S SHARE: every question of the demo is answered rightly, and only then does `--exit` end with 0.
    assert!(first.stdout.contains("10 of 10") && first.status.success(), "{}", first.stdout);
}
