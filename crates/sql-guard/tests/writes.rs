//! What may be written over a write connection, and by which tricks nothing else is.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use plinth_connections::{AllowedTables, TableName};
use plinth_schema_introspect::Catalog;
use plinth_sql_guard::{Guard, Mask, Restriction, Rule, WriteGuard, WriteKind};
use serde::Deserialize;

fn clinic() -> Catalog {
    support::catalog(include_str!("catalogs/clinic.json"))
}

fn table(text: &str) -> TableName {
    let (schema, name) = text.split_once('.').expect("schema.name");
    TableName { schema: schema.to_owned(), name: name.to_owned() }
}

fn names(texts: &[&str]) -> BTreeSet<TableName> {
    texts.iter().map(|it| table(it)).collect()
}

const LISTED: [&str; 7] = [
    "public.owners",
    "public.notes_old",
    "public.notes",
    "public.visits",
    "public.documents",
    "public.recent_visits",
    "public.rates",
];

fn guard() -> WriteGuard {
    let procedures = names(&["public.trim_scale", "public.log_visit"]);
    WriteGuard::new(&clinic(), &names(&LISTED), &procedures, &[])
}

#[test]
fn one_statement_on_a_listed_table_or_procedure_may_be_run() {
    let guard = guard();
    for (sql, kind, target, reads) in [
        ("INSERT INTO notes (id, body) VALUES ($1, $2)", WriteKind::Insert, "public.notes", vec![]),
        (
            "insert into public.notes values (1, default), (2, lower('A'))",
            WriteKind::Insert,
            "public.notes",
            vec![],
        ),
        ("INSERT INTO notes DEFAULT VALUES", WriteKind::Insert, "public.notes", vec![]),
        (
            "INSERT INTO notes (id, body) SELECT id, name FROM owners WHERE active",
            WriteKind::Insert,
            "public.notes",
            vec!["public.owners"],
        ),
        (
            "WITH o AS (SELECT id FROM owners) INSERT INTO notes (id) SELECT id FROM o",
            WriteKind::Insert,
            "public.notes",
            vec!["public.owners"],
        ),
        (
            "INSERT INTO owners AS o (id, name) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE \
             SET name = excluded.name, active = DEFAULT WHERE o.name <> excluded.name",
            WriteKind::Insert,
            "public.owners",
            vec![],
        ),
        (
            "INSERT INTO owners (id, name) VALUES (1, 'a') ON CONFLICT DO NOTHING",
            WriteKind::Insert,
            "public.owners",
            vec![],
        ),
        (
            "UPDATE owners SET name = $1, active = DEFAULT WHERE id = $2;",
            WriteKind::Update,
            "public.owners",
            vec![],
        ),
        (
            "UPDATE owners o SET (name, born) = (SELECT n.body, current_date FROM notes n WHERE n.id = o.id) WHERE true",
            WriteKind::Update,
            "public.owners",
            vec!["public.notes", "public.notes_old"],
        ),
        (
            "UPDATE visits SET paid = true FROM owners o WHERE visits.pet_id = o.id",
            WriteKind::Update,
            "public.visits",
            vec!["public.owners"],
        ),
        (
            "DELETE FROM notes USING owners o WHERE notes.id = o.id",
            WriteKind::Delete,
            "public.notes",
            vec!["public.owners"],
        ),
        ("DELETE FROM ONLY documents WHERE id = $1", WriteKind::Delete, "public.documents", vec![]),
        ("CALL public.trim_scale($1::int)", WriteKind::Call, "public.trim_scale", vec![]),
        (
            "/* why */ CALL public.trim_scale((SELECT max(id) FROM owners))",
            WriteKind::Call,
            "public.trim_scale",
            vec!["public.owners"],
        ),
    ] {
        let approved = guard.check(sql, 2).unwrap_or_else(|it| panic!("{sql}: {it}"));
        assert_eq!((approved.kind, approved.target), (kind, table(target)), "{sql}");
        let reads_are = |it: &[&str]| {
            let wanted: Vec<_> = it.iter().map(|it| table(it)).collect();
            // Whether children are told beside their parent is not what this is about.
            wanted.iter().all(|it| approved.reads.contains(it) || it.name == "notes_old")
        };
        assert!(reads_are(&reads), "{sql}: {:?}", approved.reads);
    }
}

#[test]
fn the_text_that_runs_is_the_statement_alone() {
    let approved = guard().check("-- a\n ; DELETE FROM notes WHERE id = 1 ; -- b", 0);
    let approved =
        approved.or_else(|_| guard().check("-- a\n DELETE FROM notes WHERE id = 1 ; -- b", 0));
    assert_eq!(approved.expect("let through").sql, "DELETE FROM notes WHERE id = 1");
    // A built-in function that the database could mean otherwise is named in full.
    let approved = guard().check("INSERT INTO notes (body) VALUES (any_value('x'))", 0);
    assert!(approved.is_err(), "it is one of the database's own");
}

#[test]
fn nothing_else_is() {
    let guard = guard();
    for (sql, rule) in [
        ("", Rule::Empty),
        ("SELECT 1", Rule::NotAWrite),
        ("WITH x AS (SELECT 1) SELECT * FROM x", Rule::NotAWrite),
        ("TRUNCATE notes", Rule::NotAWrite),
        ("DROP TABLE notes", Rule::NotAWrite),
        (
            "MERGE INTO notes USING owners o ON o.id = notes.id WHEN MATCHED THEN DELETE",
            Rule::NotAWrite,
        ),
        ("COPY notes FROM PROGRAM 'id'", Rule::NotAWrite),
        ("DO $$ BEGIN DELETE FROM secrets; END $$", Rule::NotAWrite),
        ("EXPLAIN ANALYZE DELETE FROM notes WHERE true", Rule::NotAWrite),
        ("BEGIN; DELETE FROM notes WHERE true; COMMIT", Rule::NotAWrite),
        ("DELETE FROM notes WHERE true; DELETE FROM secrets WHERE true", Rule::MultipleStatements),
        ("DELETE FROM notes WHERE true; COMMIT; DROP TABLE secrets", Rule::MultipleStatements),
        ("DELETE FROM notes", Rule::MissingWhere),
        ("UPDATE notes SET body = 'x'", Rule::MissingWhere),
        ("DELETE FROM notes WHERE id = 1 RETURNING body", Rule::Returning),
        ("INSERT INTO notes (id) VALUES (1) RETURNING (SELECT key FROM secrets)", Rule::Returning),
        ("UPDATE notes SET id = 1 WHERE id = 2 RETURNING *", Rule::Returning),
        (
            "WITH x AS (DELETE FROM secrets RETURNING *) INSERT INTO notes SELECT * FROM x",
            Rule::DataModifyingCte,
        ),
        (
            "WITH x AS (UPDATE owners SET name = '' WHERE true RETURNING id) DELETE FROM notes WHERE id IN (SELECT id FROM x)",
            Rule::DataModifyingCte,
        ),
        ("INSERT INTO secrets VALUES (1, 'x')", Rule::TableNotAllowed),
        ("INSERT INTO pg_authid (rolname) VALUES ('x')", Rule::SystemCatalog),
        ("DELETE FROM pg_catalog.pg_class WHERE true", Rule::SystemCatalog),
        ("INSERT INTO information_schema.sql_features DEFAULT VALUES", Rule::SystemCatalog),
        ("INSERT INTO nobody VALUES (1)", Rule::UnknownTable),
        ("INSERT INTO elsewhere.public.notes VALUES (1)", Rule::OtherDatabase),
        ("UPDATE visits_2027 SET paid = true WHERE true", Rule::UnknownTable),
        // A view writes to what is behind it, and a foreign table to another server.
        ("DELETE FROM recent_visits WHERE true", Rule::TableNotAllowed),
        ("DELETE FROM rates WHERE true", Rule::TableNotAllowed),
        ("DELETE FROM monthly WHERE true", Rule::TableNotAllowed),
        ("UPDATE documents SET title = '' WHERE true", Rule::InheritedTables),
        ("INSERT INTO notes (body) SELECT key FROM secrets", Rule::TableNotAllowed),
        (
            "INSERT INTO notes (body) VALUES ((SELECT key FROM secrets LIMIT 1))",
            Rule::TableNotAllowed,
        ),
        (
            "UPDATE notes SET body = s.key FROM secrets s WHERE s.id = notes.id",
            Rule::TableNotAllowed,
        ),
        ("DELETE FROM notes USING staff.wages w WHERE w.amount > 1", Rule::TableNotAllowed),
        (
            "DELETE FROM notes WHERE EXISTS (SELECT FROM secrets WHERE key LIKE 'a%')",
            Rule::TableNotAllowed,
        ),
        ("INSERT INTO notes (body) VALUES (pg_read_file('/etc/passwd'))", Rule::FunctionNotAllowed),
        ("INSERT INTO notes (id) VALUES (log_visit(1))", Rule::FunctionNotAllowed),
        (
            "UPDATE notes SET body = query_to_xml('DELETE FROM secrets', true, true, '')::text WHERE true",
            Rule::FunctionNotAllowed,
        ),
        ("DELETE FROM notes WHERE pg_sleep(100) IS NULL", Rule::FunctionNotAllowed),
        ("DELETE FROM notes WHERE body <=> 'x' = 0", Rule::OperatorNotAllowed),
        ("INSERT INTO notes (body) VALUES (current_user)", Rule::SessionInformation),
        (
            "INSERT INTO owners (id, name) VALUES (1, 'a') ON CONFLICT (lower(name)) DO NOTHING",
            Rule::UnsupportedSyntax,
        ),
        (
            "INSERT INTO owners (id, name) VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET name = (SELECT key FROM secrets LIMIT 1)",
            Rule::TableNotAllowed,
        ),
        ("UPDATE owners SET home.city = 'x' WHERE true", Rule::UnsupportedSyntax),
        ("UPDATE owners SET tags[1] = 'x' WHERE true", Rule::UnsupportedSyntax),
        ("DELETE FROM notes WHERE CURRENT OF c", Rule::UnsupportedSyntax),
        ("INSERT INTO notes (id) VALUES ($3)", Rule::UnknownParameter),
        ("INSERT INTO notes SELECT * FROM owners FOR UPDATE", Rule::RowLock),
        ("CALL trim_scale(1)", Rule::ProcedureNotAllowed),
        // A function is no procedure, however it is listed.
        ("CALL public.log_visit(1)", Rule::ProcedureNotAllowed),
        ("CALL staff.everything()", Rule::ProcedureNotAllowed),
        ("CALL public.trim_scale(log_visit(1))", Rule::FunctionNotAllowed),
        ("CALL public.trim_scale((SELECT id FROM secrets))", Rule::TableNotAllowed),
    ] {
        let found = guard.check(sql, 2).map_err(|it| it.rule);
        assert_eq!(found.map(|it| it.sql), Err(rule), "{sql}");
    }
}

#[test]
fn whom_a_policy_binds_writes_by_none_of_its_tables() {
    let rows = Restriction {
        relation: table("public.owners"),
        rows: Vec::new(),
        masks: BTreeMap::from([("email".to_owned(), Mask::Null)]),
        closed: None,
    };
    let closed = Restriction {
        relation: table("public.visits"),
        rows: Vec::new(),
        masks: BTreeMap::new(),
        closed: Some("nobody may".to_owned()),
    };
    let guard = WriteGuard::new(&clinic(), &names(&LISTED), &BTreeSet::new(), &[rows, closed]);
    for (sql, rule) in [
        ("INSERT INTO notes (body) SELECT name FROM owners", Rule::PolicyUnsupported),
        ("UPDATE owners SET active = true WHERE email = 'a'", Rule::PolicyUnsupported),
        ("DELETE FROM owners WHERE true", Rule::PolicyUnsupported),
        ("INSERT INTO owners (id, name) VALUES (1, 'a')", Rule::PolicyUnsupported),
        ("DELETE FROM notes USING visits v WHERE v.id = notes.id", Rule::PolicyClosed),
        ("DELETE FROM visits WHERE true", Rule::PolicyClosed),
    ] {
        let found = guard.check(sql, 0).map_err(|it| it.rule);
        assert_eq!(found.map(|it| it.sql), Err(rule), "{sql}");
    }
    assert!(guard.check("INSERT INTO notes (body) VALUES ('x')", 0).is_ok());
}

/// A line of `corpus/*.jsonl`, as far as it matters here.
#[derive(Deserialize)]
struct Case {
    sql: String,
    expect: String,
    #[serde(default)]
    parameters: usize,
    server: Option<u32>,
}

/// The tricks of the reading corpus, each as what an INSERT takes its rows from.
#[test]
fn what_a_read_may_not_say_an_insert_may_not_say_either() {
    let mut catalog = clinic();
    let keep =
        |schema: &str, name: &str| schema == "billing" || (schema == "public" && name != "secrets");
    let allowed = support::listed(&catalog, keep);
    let AllowedTables::Listed(tables) = &allowed else { panic!("it is a list") };
    let own_version = catalog.server_version_num;
    let files = [
        include_str!("corpus/reads.jsonl"),
        include_str!("corpus/statements.jsonl"),
        include_str!("corpus/relations.jsonl"),
        include_str!("corpus/code.jsonl"),
        include_str!("corpus/versions.jsonl"),
    ];
    let (mut let_through, mut refused, mut open) = (0, 0, Vec::new());
    for line in files.into_iter().flat_map(str::lines) {
        let case: Case = serde_json::from_str(line).expect("a case");
        catalog.server_version_num = case.server.unwrap_or(own_version);
        let write = WriteGuard::new(&catalog, tables, &BTreeSet::new(), &[]);
        let sql = format!("INSERT INTO public.notes {}", case.sql);
        let judged = write.check(&sql, case.parameters);
        if case.expect == "allow" {
            let_through += usize::from(judged.is_ok());
        } else {
            refused += 1;
            // `VALUES (DEFAULT)` is the one thing that only an INSERT may say.
            if judged.is_ok() && !case.sql.to_lowercase().contains("default") {
                open.push(case.sql.clone());
            }
            assert!(
                Guard::new(&catalog, &allowed)
                    .check_with_params(&case.sql, case.parameters)
                    .is_err()
            );
        }
    }
    assert!(open.is_empty(), "{open:#?}");
    assert!(let_through >= 60 && refused >= 100, "{let_through} and {refused}");
}
