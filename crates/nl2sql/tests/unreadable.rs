//! Views that the guard refuses whatever is asked of them: the engine, given what the guard says can be asked, writes nothing
//! over them.

#[path = "../../sql-guard/tests/support/mod.rs"]
mod support;

use plinth_nl2sql::{AskContext, Engine, Outcome, SchemaIndex};
use plinth_sql_guard::{Guard, Rule};

/// Each names a view of the clinic that runs, or could run, a function of the database's own.
const QUESTIONS: [&str; 5] = [
    "show the pet species",
    "how many slugs are there?",
    "list the slug of all slugs",
    "how many logged are there?",
    "show all sizes",
];

/// What is written for a question, answered or offered, is handed to the guard; gives what it refuses.
fn refused(guard: &Guard, index: &SchemaIndex) -> Vec<Rule> {
    let context = AskContext { now: "2026-03-31T23:59:59[UTC]".parse().expect("a moment") };
    let written = QUESTIONS.iter().flat_map(|it| match Engine::new().ask(it, index, &context) {
        Outcome::Answered(reading) => vec![reading.sql],
        Outcome::NeedsClarification(asked) => asked.options.into_iter().map(|it| it.sql).collect(),
        Outcome::NotAnswerable(_) | Outcome::NotPermitted(_) | Outcome::Meta(_) => Vec::new(),
    });
    written.filter_map(|sql| guard.check(&sql).err()).map(|it| it.rule).collect()
}

#[test]
fn no_statement_is_written_over_a_view_that_the_guard_refuses() {
    let catalog = support::catalog(include_str!("../../sql-guard/tests/catalogs/clinic.json"));
    let allowed = support::listed(&catalog, |schema, name| schema == "public" && name != "secrets");
    let guard = Guard::new(&catalog, &allowed);
    let all = refused(&guard, &SchemaIndex::build(&catalog, &allowed));
    assert!(all.contains(&Rule::UnsafeView), "else this test shows nothing: {all:?}");
    assert_eq!(refused(&guard, &SchemaIndex::build(&guard.askable(&catalog), &allowed)), []);
}

#[test]
fn what_cannot_be_read_is_told_apart_from_what_is_not_there() {
    let catalog = support::catalog(include_str!("../../sql-guard/tests/catalogs/clinic.json"));
    let allowed = support::listed(&catalog, |schema, name| schema == "public" && name != "secrets");
    let guard = Guard::new(&catalog, &allowed);
    let index = SchemaIndex::build(&guard.askable(&catalog), &allowed);
    let context = AskContext { now: "2026-03-31T23:59:59[UTC]".parse().expect("a moment") };
    let asked = Engine::new().ask("how many slugs are there?", &index, &context);
    assert!(matches!(&asked, Outcome::NotPermitted(words) if *words == ["slugs"]), "{asked:?}");
}
