//! The shared corpus of attacks, where it lies beside the workspace.

mod support;

use std::path::PathBuf;

use plinth_sql_guard::Guard;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    id: String,
    must: String,
    sql: String,
    why: String,
}

/// The file's text; `None` tells whoever runs the tests that one did not do its work here (`xtask/README.md`).
fn shared(test: &str) -> Option<String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    if let Ok(text) = std::fs::read_to_string(root.join("../shared/security/sql-attacks.jsonl")) {
        return Some(text);
    }
    let reason = "the shared attack corpus is not beside the workspace";
    if let Some(folder) = std::env::var_os("XTASK_SKIPPED_DIR") {
        std::fs::write(PathBuf::from(folder).join(test), reason).expect("a note");
    }
    None
}

#[test]
fn every_attack_is_refused_and_everything_benign_is_let_through() {
    let Some(text) = shared("every_attack_is_refused_and_everything_benign_is_let_through") else {
        return;
    };
    let catalog = support::catalog(include_str!("catalogs/attacks.json"));
    let allowed = support::listed(&catalog, |schema, name| {
        schema == "sales" || (schema == "public" && !name.ends_with("_private"))
    });
    let guard = Guard::new(&catalog, &allowed);
    let mut wrong = Vec::new();
    for line in text.lines().filter(|it| !it.trim().is_empty()) {
        let case: Case = serde_json::from_str(line).expect("a case");
        let verdict = guard.check(&case.sql);
        let right = match case.must.as_str() {
            "reject" => verdict.is_err(),
            "allow" => verdict.is_ok(),
            // Its effect is looked at where it runs.
            _ => true,
        };
        let said = verdict
            .err()
            .map_or_else(|| String::from("approved"), |it| format!("{}: {it}", it.rule));
        let sql: String = case.sql.chars().take(100).collect();
        if !right {
            wrong.push(format!("{} must {}: {sql} ({}) → {said}", case.id, case.must, case.why));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
