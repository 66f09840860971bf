//! Statements of callers whom policies bind: what they become, and what is refused.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use plinth_connections::{AllowedTables, TableName};
use plinth_schema_introspect::Catalog;
use plinth_sql_guard::{Guard, Mask, PolicyParameter, Predicate, Restriction, Rule};
use serde::Deserialize;

fn clinic() -> (Catalog, AllowedTables) {
    let catalog = support::catalog(include_str!("catalogs/clinic.json"));
    let allowed = support::listed(&catalog, |schema, name| {
        schema == "billing" || (schema == "public" && name != "secrets")
    });
    (catalog, allowed)
}

fn restriction(table: &str, rows: &[&str], masks: &[(&str, Mask)]) -> Restriction {
    let (schema, name) = table.split_once('.').expect("a name in two parts");
    Restriction {
        relation: TableName { schema: schema.to_owned(), name: name.to_owned() },
        rows: rows.iter().map(|it| Predicate::parse(it).expect("a predicate")).collect(),
        masks: masks.iter().map(|(column, mask)| ((*column).to_owned(), *mask)).collect(),
        closed: None,
    }
}

fn guard(restrictions: &[Restriction]) -> Guard {
    let (catalog, allowed) = clinic();
    Guard::restricted(&catalog, &allowed, restrictions)
}

/// Pets of one species, visits of which some are hidden, owners under masks.
fn bound() -> Guard {
    guard(&[
        restriction("public.pets", &["notes = {{user.species}}"], &[]),
        restriction("public.visits", &["paid"], &[("cost", Mask::Null)]),
        restriction(
            "public.owners",
            &[],
            &[("name", Mask::Partial { keep_last: 2 }), ("email", Mask::Hash)],
        ),
        restriction("public.Waiting List", &["id > 0"], &[("Pet Name", Mask::Full)]),
    ])
}

const PETS: &str = r#"(SELECT r."id", r."owner_id", r."name", r."species", r."weight", r."born", r."notes", r."path", r."chip", r."rating" FROM "public"."pets" AS r WHERE (r."notes" =  ($1::pg_catalog.text) ) OFFSET 0)"#;

#[test]
fn a_relation_is_replaced_wherever_it_stands() {
    let guard = bound();
    for (sql, expected) in [
        ("SELECT * FROM pets", "SELECT * FROM @ AS \"pets\""),
        ("SELECT * FROM public . pets AS p (a, b) -- now", "SELECT * FROM @ AS p (a, b)"),
        ("select * from clinic.public.pets p", "select * from @ p"),
        ("TABLE pets", "SELECT * FROM @ AS \"pets\""),
        ("TABLE ONLY (pets)", "SELECT * FROM @only AS \"pets\""),
        ("SELECT * FROM ONLY pets x", "SELECT * FROM @only x"),
        ("SELECT * FROM ONLY ( \"pets\" ) x", "SELECT * FROM @only x"),
        ("SELECT * FROM pets * x", "SELECT * FROM @ x"),
        (
            "SELECT public.pets.id, public.pets.* FROM public.pets",
            "SELECT pets.id, pets.* FROM @ AS \"pets\"",
        ),
        ("SELECT clinic.public.pets.id FROM pets", "SELECT pets.id FROM @ AS \"pets\""),
        ("SELECT pets FROM pets", "SELECT pets FROM @ AS \"pets\""),
        ("SELECT to_jsonb(p) FROM pets p", "SELECT to_jsonb(p) FROM @ p"),
        (
            "SELECT (SELECT count(*) FROM pets) FROM billing.invoices",
            "SELECT (SELECT count(*) FROM @ AS \"pets\") FROM billing.invoices",
        ),
        (
            "SELECT 1 WHERE EXISTS (TABLE pets)",
            "SELECT 1 WHERE EXISTS (SELECT * FROM @ AS \"pets\")",
        ),
        (
            "WITH x AS (SELECT * FROM pets) SELECT * FROM x",
            "WITH x AS (SELECT * FROM @ AS \"pets\") SELECT * FROM x",
        ),
        // By its own name, what stands in WITH reads the table; after it, the name is its own.
        (
            "WITH pets AS (SELECT * FROM pets) SELECT * FROM pets",
            "WITH pets AS (SELECT * FROM @ AS \"pets\") SELECT * FROM pets",
        ),
        (
            "WITH pets AS (SELECT 1 AS id) SELECT * FROM pets, public.pets b",
            "WITH pets AS (SELECT 1 AS id) SELECT * FROM pets, @ b",
        ),
        (
            "SELECT * FROM billing.invoices i LEFT JOIN LATERAL (SELECT * FROM pets WHERE id = i.id) x ON true",
            "SELECT * FROM billing.invoices i LEFT JOIN LATERAL (SELECT * FROM @ AS \"pets\" WHERE id = i.id) x ON true",
        ),
        (
            "SELECT id FROM pets UNION SELECT id FROM pets",
            "SELECT id FROM @ AS \"pets\" UNION SELECT id FROM @ AS \"pets\"",
        ),
        ("SELECT upper(name) FROM pets", "SELECT pg_catalog.upper(name) FROM @ AS \"pets\""),
        ("SELECT id FROM pets a JOIN pets b USING (id)", "SELECT id FROM @ a JOIN @ b USING (id)"),
        ("SELECT * FROM pets; -- and that is all", "SELECT * FROM @ AS \"pets\""),
    ] {
        let approved = guard.check(sql).unwrap_or_else(|it| panic!("{sql}: {it}"));
        let only = PETS.replace(" FROM \"public\"", " FROM ONLY \"public\"");
        let expected = expected.replace("@only", &only).replace('@', PETS);
        assert_eq!(approved.sql, expected, "{sql}");
        let species = PolicyParameter::Attribute {
            name: "species".to_owned(),
            of: plinth_core::AttributeType::TEXT,
        };
        assert_eq!(approved.bound, [species], "{sql}");
        assert_eq!(
            approved.restricted.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["public.pets"]
        );
    }
}

#[test]
fn masks_stand_in_the_columns_place() {
    let guard = bound();
    let approved = guard.check_with_params("SELECT name FROM owners WHERE id = $1", 1).unwrap();
    assert!(
        approved.sql.starts_with("SELECT name FROM (SELECT r.\"id\", CASE WHEN r.\"name\" IS NULL"),
        "{}",
        approved.sql
    );
    assert!(
        approved.sql.ends_with("FROM \"public\".\"owners\" AS r) AS \"owners\" WHERE id = $1"),
        "no rows are hidden: no fence"
    );
    assert!(approved.sql.contains("sha256(($2::pg_catalog.bytea) OPERATOR(pg_catalog.||) pg_catalog.sha256(($3::pg_catalog.bytea)"));
    assert_eq!(approved.bound, [PolicyParameter::HashOuter, PolicyParameter::HashInner]);
    let odd = guard.check("SELECT \"Pet Name\" FROM \"Waiting List\"").unwrap();
    assert!(odd.sql.ends_with("WHERE (r.\"id\" > 0) OFFSET 0) AS \"Waiting List\""), "{}", odd.sql);
    // A partition follows its parent.
    let partition = guard.check("SELECT cost FROM visits_2025").unwrap();
    assert!(
        partition.sql.contains("CASE WHEN false THEN r.\"cost\" END AS \"cost\""),
        "{}",
        partition.sql
    );
    assert!(
        partition.sql.contains("FROM \"public\".\"visits_2025\" AS r WHERE (r.\"paid\") OFFSET 0)")
    );
}

#[test]
fn what_would_show_it_by_another_name_is_closed() {
    let guard = bound();
    for (sql, rule) in [
        ("SELECT * FROM recent_visits", Rule::PolicyClosed),
        ("SELECT * FROM pet_species", Rule::PolicyClosed),
        ("SELECT * FROM mine", Rule::PolicyClosed),
        // A materialized view holds rows of its own; what its query calls could read anything.
        ("SELECT * FROM monthly", Rule::PolicyClosed),
        ("SELECT * FROM sizes", Rule::PolicyClosed),
        ("SELECT * FROM pets TABLESAMPLE SYSTEM (10)", Rule::PolicyUnsupported),
        ("SELECT * FROM U&\"p\\0065ts\" UESCAPE '!'", Rule::UnknownTable),
        ("SELECT * FROM U&\"p!0065ts\" UESCAPE '!'", Rule::Syntax),
        ("SELECT * FROM secrets", Rule::TableNotAllowed),
        ("SELECT name FROM pets WHERE species::text = $1", Rule::UnknownParameter),
        ("SELECT * FROM pets FOR SHARE", Rule::RowLock),
    ] {
        let refused = guard.check(sql).expect_err(sql);
        assert_eq!(refused.rule, rule, "{sql}: {refused}");
    }
    assert!(guard.check("SELECT * FROM income").is_ok(), "it reads nothing that is hidden");
    assert!(guard.check("SELECT * FROM vet_names").is_ok());
}

#[test]
fn a_view_over_one_whose_query_is_not_known_is_closed() {
    let (catalog, allowed) = clinic();
    let restrictions = [restriction("public.visits", &["paid"], &[])];
    let place =
        |name: &str| catalog.relations.iter().position(|it| it.name == name).expect("a relation");
    let (view, kept, table) = (place("vet_names"), place("monthly"), place("visits"));
    let over = |definition: Option<String>| {
        let mut catalog = catalog.clone();
        let below = vec![catalog.relations[table].oid];
        Arc::make_mut(&mut catalog.relations[kept]).reads = below;
        let below = vec![catalog.relations[kept].oid];
        Arc::make_mut(&mut catalog.relations[view]).reads = below;
        // Printing it waited for a lock in vain.
        Arc::make_mut(&mut catalog.relations[kept]).definition = definition;
        let guard = Guard::restricted(&catalog, &allowed, &restrictions);
        guard.check("SELECT * FROM vet_names").expect_err("it shows visits").rule
    };
    assert_eq!(over(catalog.relations[kept].definition.clone()), Rule::PolicyClosed);
    assert_eq!(over(None), Rule::PolicyClosed);
}

#[test]
fn a_view_is_opened_by_a_policy_of_its_own() {
    let pets = restriction("public.pets", &["notes = 'dog'"], &[]);
    let open = guard(&[pets.clone(), restriction("public.recent_visits", &[], &[])]);
    assert_eq!(
        open.check("SELECT * FROM recent_visits").unwrap().sql,
        "SELECT * FROM recent_visits"
    );
    let narrowed = guard(&[pets, restriction("public.recent_visits", &["name = 'dog'"], &[])]);
    assert!(
        narrowed
            .check("SELECT * FROM recent_visits")
            .unwrap()
            .sql
            .contains("(r.\"name\" = 'dog') OFFSET 0)")
    );
}

#[test]
fn policies_add_up_and_what_does_not_fit_is_closed() {
    let two = guard(&[
        restriction(
            "public.pets",
            &["born > '2020-01-01'"],
            &[("name", Mask::Partial { keep_last: 4 })],
        ),
        restriction("public.pets", &["species::text = 'dog'"], &[("name", Mask::Hash)]),
    ]);
    let sql = two.check("SELECT name FROM pets").unwrap().sql;
    assert!(
        sql.contains(
            "WHERE (r.\"born\" > '2020-01-01') AND (r.\"species\"::text = 'dog') OFFSET 0)"
        ),
        "{sql}"
    );
    assert!(
        sql.contains("sha256") && !sql.contains("pg_catalog.right"),
        "the stricter mask: {sql}"
    );
    for gone in [
        restriction("public.pets", &["kind = 'dog'"], &[]),
        restriction("public.pets", &[], &[("nick", Mask::Full)]),
        Restriction {
            closed: Some("it is being mended".to_owned()),
            ..restriction("public.pets", &[], &[])
        },
    ] {
        let refused = guard(&[gone]).check("SELECT id FROM pets").expect_err("closed");
        assert_eq!(refused.rule, Rule::PolicyClosed);
    }
    // The parent of what has a policy shows its rows.
    let child = guard(&[restriction("public.notes_old", &["id = 1"], &[])]);
    assert_eq!(child.check("SELECT * FROM notes").expect_err("closed").rule, Rule::PolicyClosed);
    assert!(child.check("SELECT * FROM ONLY notes").is_ok());
    assert!(child.check("SELECT * FROM notes_old").unwrap().sql.contains("(r.\"id\" = 1)"));
}

#[derive(Deserialize)]
struct Case {
    sql: String,
    #[serde(default)]
    parameters: usize,
}

/// Whatever the corpus holds: a statement that names a table with a policy is refused or rewritten, and a rewritten one
/// names it as often as it was put there.
#[test]
fn nothing_of_the_corpus_gets_around_a_policy() {
    let files = [
        include_str!("corpus/reads.jsonl"),
        include_str!("corpus/statements.jsonl"),
        include_str!("corpus/relations.jsonl"),
        include_str!("corpus/code.jsonl"),
    ];
    let (free, bound) = (guard(&[]), bound());
    let policed = [
        "public.pets",
        "public.visits",
        "public.owners",
        "public.visits_2025",
        "public.visits_2026",
        "public.Waiting List",
    ];
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    for line in files.into_iter().flat_map(str::lines).filter(|it| !it.trim().is_empty()) {
        let case: Case = serde_json::from_str(line).unwrap();
        let before = free.check_with_params(&case.sql, case.parameters);
        let after = bound.check_with_params(&case.sql, case.parameters);
        let outcome = match (before, after) {
            (Err(_), Ok(after)) => panic!("{} is let through: {}", case.sql, after.sql),
            (Err(_), Err(_)) => "refused anyway",
            (Ok(_), Err(err)) => {
                assert!(
                    matches!(
                        err.rule,
                        Rule::PolicyClosed
                            | Rule::PolicyUnsupported
                            | Rule::TooDeep
                            | Rule::TooComplex
                    ),
                    "{}: {err}",
                    case.sql
                );
                "refused by a policy"
            }
            (Ok(before), Ok(after)) => {
                let hides = |it: &TableName| policed.contains(&it.to_string().as_str());
                let named: Vec<_> = before.named.iter().filter(|it| hides(it)).cloned().collect();
                assert_eq!(after.restricted, named, "{}", case.sql);
                if named.is_empty() {
                    assert!(
                        before.relations.iter().all(|it| !hides(it)),
                        "{} reads around it",
                        case.sql
                    );
                    assert_eq!(after.sql, before.sql);
                    "not about it"
                } else {
                    "rewritten"
                }
            }
        };
        *outcomes.entry(outcome).or_default() += 1;
    }
    assert!(outcomes["rewritten"] >= 60, "{outcomes:?}");
    assert!(outcomes["refused by a policy"] >= 3, "{outcomes:?}");
}
