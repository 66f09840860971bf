//! What must hold of every text, not only of those somebody thought of.

#[path = "support/mutate.rs"]
mod mutate;
mod support;

use std::sync::LazyLock;

use plinth_connections::AllowedTables;
use plinth_sql_guard::{Guard, MAX_SQL_BYTES, Rule};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use mutate::{FRAMES, disguised};

/// The guard of the clinic and the corpus's statements.
static GUARD: LazyLock<Guard> = LazyLock::new(|| {
    let catalog = support::catalog(include_str!("catalogs/clinic.json"));
    let allowed = support::listed(&catalog, |schema, name| {
        schema == "billing" || (schema == "public" && name != "secrets")
    });
    Guard::new(&catalog, &allowed)
});

static STATEMENTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let files = [
        include_str!("corpus/reads.jsonl"),
        include_str!("corpus/statements.jsonl"),
        include_str!("corpus/relations.jsonl"),
        include_str!("corpus/code.jsonl"),
        include_str!("corpus/versions.jsonl"),
    ];
    let lines = files.into_iter().flat_map(str::lines);
    lines
        .map(|it| {
            let case: serde_json::Value = serde_json::from_str(it).expect("a case");
            case["sql"].as_str().expect("a text").to_owned()
        })
        .collect()
});

fn config(cases: u32) -> Config {
    Config {
        cases,
        rng_seed: RngSeed::Fixed(20_261_120),
        failure_persistence: None,
        ..Config::default()
    }
}

/// The verdict, without the text: `None` for approval.
fn verdict(sql: &str) -> Option<Rule> {
    GUARD.check(sql).err().map(|it| it.rule)
}

/// Approval holds for what is run: the approved text is approved, and is not changed again.
fn approval_holds(sql: &str) {
    if let Ok(approved) = GUARD.check(sql) {
        let again = GUARD.check(&approved.sql);
        assert_eq!(again.as_ref(), Ok(&approved), "of {sql:?}");
    }
}

proptest! {
    #![proptest_config(config(4000))]

    #[test]
    fn a_disguise_changes_no_verdict(which: prop::sample::Index, choices in prop::collection::vec(any::<u8>(), 1..60)) {
        let sql = which.get(&STATEMENTS);
        if let Some(disguised) = disguised(sql, &choices) {
            prop_assert_eq!(verdict(&disguised), verdict(sql), "{} → {}", sql, disguised);
        }
    }

    #[test]
    fn what_is_approved_is_what_is_run(which: prop::sample::Index, choices in prop::collection::vec(any::<u8>(), 1..60)) {
        let sql = which.get(&STATEMENTS);
        approval_holds(sql);
        if let Some(disguised) = disguised(sql, &choices) {
            approval_holds(&disguised);
        }
    }

    #[test]
    fn a_refused_part_is_refused_inside_anything(which: prop::sample::Index, frame in 0..FRAMES.len()) {
        let sql = which.get(&STATEMENTS).trim_end_matches([';', ' ']);
        // Only what is refused for what it holds, and not for what stands around it.
        let refused = verdict(sql).is_some_and(|rule| {
            !matches!(rule, Rule::Empty | Rule::Syntax | Rule::MultipleStatements | Rule::NotASelect | Rule::UnknownParameter)
        });
        let whole = FRAMES[frame].replace("{}", &format!("\n{sql}\n"));
        prop_assert!(!refused || verdict(&whole).is_some(), "{}", whole);
    }

    #[test]
    fn mutilated_statements_are_judged_without_a_panic(
        which: prop::sample::Index,
        other: prop::sample::Index,
        cut: prop::sample::Index,
        splice: prop::sample::Index,
        noise in "[ ();,.:$'\"\\\\\u{0}-ÿ*/&U]{0,4}",
    ) {
        let (sql, other) = (which.get(&STATEMENTS), other.get(&STATEMENTS));
        let at = |text: &str, index: prop::sample::Index| {
            let places: Vec<usize> = text.char_indices().map(|it| it.0).chain([text.len()]).collect();
            *index.get(&places)
        };
        let mutilated = format!("{}{noise}{}", &sql[..at(sql, cut)], &other[at(other, splice)..]);
        approval_holds(&mutilated);
    }
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn any_text_is_judged_without_a_panic(text in any::<String>()) {
        approval_holds(&text);
    }

    #[test]
    fn any_row_of_words_is_judged_without_a_panic(words in prop::collection::vec(prop::sample::select(WORDS), 0..40)) {
        approval_holds(&words.join(" "));
    }
}

const WORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "(",
    ")",
    ",",
    "pets",
    "secrets",
    "*",
    "1",
    "'x'",
    "=",
    "WITH",
    "AS",
    "a",
    "UNION",
    "ALL",
    "JOIN",
    "ON",
    "LATERAL",
    ".",
    "::",
    "text",
    "upper",
    "[",
    "]",
    "CASE",
    "WHEN",
    "THEN",
    "END",
    "ORDER BY",
    "LIMIT",
    "VALUES",
    "NULL",
    "ROW",
    "OVER",
    "FILTER",
    "RECURSIVE",
    "TABLE",
    "ONLY",
    "-",
    "NOT",
    "IN",
    "EXISTS",
    "ARRAY",
    "INTO",
    "FOR UPDATE",
    ";",
    "$1",
    "GROUP BY",
    "ROLLUP",
    "XMLELEMENT",
    "NAME",
    "INTERVAL",
    "CAST",
    "BETWEEN",
    "AND",
    "USING",
];

#[test]
fn deep_texts_are_refused_and_nothing_breaks() {
    let fill = |open: &str, middle: &str, close: &str| {
        let count = (MAX_SQL_BYTES - 100) / (open.len() + close.len());
        format!("SELECT {}{middle}{}", open.repeat(count), close.repeat(count))
    };
    let texts = [
        "(".repeat(1_000_000),
        format!("SELECT {}", "(".repeat(1_000_000)),
        fill("(", "1", ")"),
        fill("[", "1", "]"),
        fill("ARRAY[", "1", "]"),
        fill("- ", "1", ""),
        fill("1+", "1", ""),
        fill("1 OR ", "1", ""),
        fill("'a'||", "'a'", ""),
        fill("NOT ", "true", ""),
        fill("", "1", "::int"),
        fill("", "(a)", ".b"),
        fill("", "a", ".b"),
        fill("", "a", "[1]"),
        fill("", "1", " UNION SELECT 1"),
        fill("", "1", " IS NULL"),
        fill("", "'a'", " COLLATE \"C\""),
        fill("CASE WHEN true THEN ", "1", " END"),
        fill("abs(", "1", ")"),
        fill("(SELECT ", "1", ")"),
        fill("COALESCE(", "1", ")"),
        fill("ROW(", "1", ")"),
        fill("1 IN (", "1", ")"),
        format!("WITH {}SELECT 1{}", "a AS (WITH ".repeat(2_000), ") SELECT 1".repeat(2_000)),
        format!("SELECT * FROM {}a{}", "(".repeat(150), " JOIN b ON true)".repeat(150)),
        format!("SELECT * FROM a{}", " JOIN b ON true".repeat(3_000)),
        format!("SELECT 1{}", " /*".repeat(20_000)),
        "/*".repeat(32_000),
        "'".repeat(MAX_SQL_BYTES),
        "\"".repeat(MAX_SQL_BYTES - 1),
        "$$".repeat(32_000),
        format!("SELECT {}1", "1,".repeat(32_000)),
    ];
    for text in &texts {
        let rejection = GUARD.check(text).expect_err("too deep, too long or too much");
        let start: String = text.chars().take(40).collect();
        assert!(
            matches!(
                rejection.rule,
                Rule::TooDeep
                    | Rule::TooLong
                    | Rule::TooComplex
                    | Rule::Syntax
                    | Rule::Empty
                    | Rule::NotASelect
                    | Rule::UnsupportedSyntax
                    | Rule::UnknownTable
            ),
            "{start}: {}",
            rejection.rule
        );
    }
}

#[test]
fn lists_as_long_as_people_write_them_are_not_too_deep() {
    let ids = (0..5_000).map(|it| it.to_string()).collect::<Vec<_>>().join(", ");
    let ands = vec!["id <> 1"; 1_000].join(" AND ");
    let ors = vec!["name LIKE 'a%'"; 1_000].join(" OR ");
    let columns = vec!["name"; 1_000].join(", ");
    for sql in [
        format!("SELECT * FROM pets WHERE id IN ({ids})"),
        format!("SELECT * FROM pets WHERE {ands}"),
        format!("SELECT * FROM pets WHERE {ors}"),
        format!("SELECT {columns} FROM pets"),
        format!("SELECT {} FROM pets", vec!["id"; 30].join(" + ")),
        format!("VALUES {}", vec!["(1)"; 2_000].join(", ")),
        vec!["SELECT id FROM pets"; 30].join(" UNION ALL "),
    ] {
        assert!(GUARD.check(&sql).is_ok(), "{}", &sql[..60]);
    }
}

#[test]
fn everything_may_be_read_that_the_role_may_read_where_no_list_is() {
    let mut catalog = support::catalog(include_str!("catalogs/clinic.json"));
    let hidden = catalog.relations.iter_mut().find(|it| it.name == "wages").expect("wages");
    let hidden = std::sync::Arc::make_mut(hidden);
    hidden.readable = false;
    hidden.columns.iter_mut().for_each(|it| it.readable = false);
    let guard = Guard::new(&catalog, &AllowedTables::All);
    let rule = |sql: &str| guard.check(sql).err().map(|it| it.rule);
    assert_eq!(rule("SELECT * FROM secrets, staff.vets, staff.payroll"), None);
    assert_eq!(rule("SELECT * FROM documents"), None, "every child may be read");
    assert_eq!(rule("SELECT * FROM staff.wages"), Some(Rule::TableNotAllowed));
    assert_eq!(
        rule("SELECT * FROM sizes"),
        Some(Rule::UnsafeView),
        "system catalogs are not part of all"
    );
    assert_eq!(rule("SELECT * FROM pg_class"), Some(Rule::SystemCatalog));
}

#[test]
fn a_cast_that_runs_silently_between_builtin_types_closes_the_database_unless_it_is_immutable() {
    let mut catalog = support::catalog(include_str!("catalogs/clinic.json"));
    catalog.casts.push(plinth_schema_introspect::UserCast {
        source: "text".to_owned(),
        target: "integer".to_owned(),
        context: 'i',
        extension: None,
    });
    let rule = |catalog: &_| {
        Guard::new(catalog, &AllowedTables::All).check("SELECT 1").err().map(|it| it.rule)
    };
    assert_eq!(rule(&catalog), Some(Rule::CastNotAllowed));
    let mut function =
        catalog.functions.iter().find(|it| it.name == "slugify").expect("slugify").clone();
    function.returns = "integer".to_owned();
    catalog.functions.push(function);
    assert_eq!(rule(&catalog), None);
}

#[test]
fn positions_count_characters_from_one() {
    let rejection = GUARD.check("SELECT 'é', pg_sleep(1)").expect_err("refused");
    assert_eq!((rejection.rule, rejection.position), (Rule::FunctionNotAllowed, Some(13)));
    let rejection = GUARD.check("SELECT * FROM secrets").expect_err("refused");
    assert_eq!(rejection.position, Some(15));
    let rejection = GUARD.check("SELECT * FRM pets").expect_err("refused");
    assert_eq!((rejection.rule, rejection.position), (Rule::Syntax, Some(10)), "{rejection}");
}
