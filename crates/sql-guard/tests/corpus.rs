//! The project's own corpus: every class of statement, each with what the guard must say of it.

mod support;

use plinth_connections::AllowedTables;
use plinth_schema_introspect::Catalog;
use plinth_sql_guard::{Guard, Rule};
use serde::Deserialize;

/// A line of `corpus/*.jsonl`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    sql: String,
    /// `allow`, or the rule that refuses it.
    expect: String,
    /// The tables that an allowed statement reads.
    relations: Option<Vec<String>>,
    /// The relations that it names.
    named: Option<Vec<String>>,
    /// The text that is run, where it differs.
    runs: Option<String>,
    /// The names that an error proposes.
    near: Option<Vec<String>>,
    /// How many parameters are bound.
    #[serde(default)]
    parameters: usize,
    /// The server's version, where it is another than the catalog's.
    server: Option<u32>,
    /// Why; for readers.
    #[serde(rename = "why")]
    _why: Option<String>,
    /// `false` where a real server would not run it, for want of a foreign server or a function.
    #[serde(rename = "runs_on_server")]
    _runs_on_server: Option<bool>,
}

fn cases() -> Vec<Case> {
    let files = [
        include_str!("corpus/reads.jsonl"),
        include_str!("corpus/statements.jsonl"),
        include_str!("corpus/relations.jsonl"),
        include_str!("corpus/code.jsonl"),
        include_str!("corpus/versions.jsonl"),
    ];
    let lines = files.into_iter().flat_map(str::lines);
    lines.map(|it| serde_json::from_str(it).unwrap_or_else(|err| panic!("{err}: {it}"))).collect()
}

fn clinic() -> Catalog {
    support::catalog(include_str!("catalogs/clinic.json"))
}

fn clinic_list(catalog: &Catalog) -> AllowedTables {
    support::listed(catalog, |schema, name| {
        schema == "billing" || (schema == "public" && name != "secrets")
    })
}

#[test]
fn the_corpus_is_judged_as_it_says() {
    let mut catalog = clinic();
    let allowed = clinic_list(&catalog);
    let own_version = catalog.server_version_num;
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() >= 200, "the corpus has shrunk to {}", cases.len());
    for case in &cases {
        catalog.server_version_num = case.server.unwrap_or(own_version);
        let guard = Guard::new(&catalog, &allowed);
        match guard.check_with_params(&case.sql, case.parameters) {
            Ok(approved) => {
                let names = |it: &[plinth_connections::TableName]| {
                    it.iter().map(ToString::to_string).collect::<Vec<_>>()
                };
                let fits = case.expect == "allow"
                    && case.relations.as_ref().is_none_or(|it| *it == names(&approved.relations))
                    && case.named.as_ref().is_none_or(|it| *it == names(&approved.named))
                    && case.runs.as_ref().is_none_or(|it| *it == approved.sql);
                if !fits {
                    wrong.push(format!("{} → {approved:?}", case.sql));
                }
            }
            Err(rejection) => {
                let fits = case.expect == rejection.rule.name()
                    && case.near.as_ref().is_none_or(|it| *it == rejection.near);
                if !fits {
                    wrong.push(format!(
                        "{} → {}: {rejection} {:?}",
                        case.sql, rejection.rule, rejection.near
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn every_rule_that_a_short_statement_can_break_is_in_the_corpus() {
    let cases = cases();
    for rule in Rule::ALL {
        let by_size = matches!(rule, Rule::TooLong | Rule::TooDeep | Rule::Unavailable);
        // The corpus is judged for callers to whom no policy applies.
        let by_policy = matches!(rule, Rule::PolicyClosed | Rule::PolicyUnsupported);
        // These are of statements that write, which have tests of their own.
        let by_write = matches!(
            rule,
            Rule::NotAWrite | Rule::Returning | Rule::MissingWhere | Rule::ProcedureNotAllowed
        );
        let missing = !cases.iter().any(|it| it.expect == rule.name());
        assert!(by_size || by_policy || by_write || !missing, "no statement breaks {rule}");
    }
}

#[test]
fn what_is_refused_whatever_is_asked_of_it_is_not_there_to_be_asked() {
    let catalog = clinic();
    for allowed in [clinic_list(&catalog), AllowedTables::All] {
        let guard = Guard::new(&catalog, &allowed);
        let askable = guard.askable(&catalog);
        let mut refused = Vec::new();
        for (before, after) in catalog.relations.iter().zip(&askable.relations) {
            if !before.readable || !allowed.allows(&before.schema, &before.name) {
                assert_eq!(before, after);
                continue;
            }
            let sql = format!("SELECT 1 FROM \"{}\".\"{}\"", before.schema, before.name);
            let judged = guard.check(&sql);
            assert_eq!(after.readable, judged.is_ok(), "{sql}: {judged:?}");
            refused.extend(judged.err().map(|it| (before.name.as_str(), it.rule)));
        }
        assert!(refused.contains(&("pet_species", Rule::UnsafeView)), "{refused:?}");
        assert!(refused.contains(&("devices", Rule::CastNotAllowed)), "{refused:?}");
        let inherited = allowed != AllowedTables::All;
        assert_eq!(refused.contains(&("documents", Rule::InheritedTables)), inherited);
    }
}

#[test]
fn a_catalog_of_which_all_can_be_asked_is_not_copied() {
    let mut catalog = clinic();
    catalog.relations.retain(|it| it.name == "owners" || it.schema == "billing");
    let guard = Guard::new(&catalog, &AllowedTables::All);
    assert!(matches!(guard.askable(&catalog), std::borrow::Cow::Borrowed(_)));
}
