use std::sync::Arc;

use plinth_connections::AllowedTables;
use plinth_schema_introspect::{
    Catalog, Change, Column, Relation, RelationKind, Visible, changes_between,
};

use super::*;

const INTEGER: u32 = 23;
const TEXT: u32 = 25;

/// Relations by name, each with an oid and columns.
type Described<'a> = (u32, &'a str, &'a [(&'a str, u32)]);

fn catalog(relations: &[Described<'_>]) -> Catalog {
    let column = |(name, oid): &(&str, u32)| Column {
        name: (*name).to_owned(),
        type_name: if *oid == INTEGER { "integer" } else { "text" }.to_owned(),
        type_oid: *oid,
        readable: true,
        nullable: true,
        ..Column::default()
    };
    let relation = |(oid, name, columns): &Described<'_>| {
        let (schema, name) = name.split_once('.').expect("two parts");
        Arc::new(Relation {
            oid: *oid,
            schema: schema.to_owned(),
            name: name.to_owned(),
            kind: RelationKind::Table,
            readable: true,
            columns: columns.iter().map(column).collect(),
            ..Relation::default()
        })
    };
    let mut relations: Vec<_> = relations.iter().map(relation).collect();
    relations.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    Catalog {
        revision: Catalog::REVISION,
        server_version_num: 150_000,
        search_path: vec!["public".to_owned()],
        relations,
        ..Catalog::default()
    }
}

fn shop() -> Catalog {
    catalog(&[
        (1, "public.customers", &[("id", INTEGER), ("name", TEXT), ("credit", INTEGER)]),
        (2, "public.orders", &[("id", INTEGER), ("customer_id", INTEGER), ("total", INTEGER)]),
        (3, "public.notes", &[("id", INTEGER), ("limit_now", TEXT)]),
    ])
}

fn drifted(after: &Catalog) -> (Catalog, Vec<Change>) {
    let before = shop();
    let changes = {
        let (was, is) =
            (Visible::new(&before, &AllowedTables::All), Visible::new(after, &AllowedTables::All));
        changes_between(&was, &is)
    };
    (before, changes)
}

fn fixed(after: &Catalog, sql: &str) -> Result<String, String> {
    let (before, changes) = drifted(after);
    mend(sql, &before, after, &changes).expect("one SELECT").fix.map(|it| it.sql)
}

fn renamed_column() -> Catalog {
    catalog(&[
        (1, "public.customers", &[("id", INTEGER), ("name", TEXT), ("limit_now", INTEGER)]),
        (2, "public.orders", &[("id", INTEGER), ("customer_id", INTEGER), ("total", INTEGER)]),
        (3, "public.notes", &[("id", INTEGER), ("limit_now", TEXT)]),
    ])
}

#[test]
fn a_renamed_column_gets_its_name_where_it_stands_and_keeps_the_one_it_had_in_the_result() {
    let after = renamed_column();
    for (sql, expected) in [
        (
            "SELECT name, credit FROM customers -- who may owe\nWHERE credit > $1 ORDER BY credit DESC",
            "SELECT name, limit_now AS credit FROM customers -- who may owe\nWHERE limit_now > $1 ORDER BY credit DESC",
        ),
        (
            "SELECT c.credit::text, 'credit' AS \"credit \" FROM public.customers c ORDER BY c.credit + 1",
            "SELECT c.limit_now::text AS credit, 'credit' AS \"credit \" FROM public.customers c ORDER BY c.limit_now + 1",
        ),
        (
            "SELECT max(credit) FROM customers GROUP BY customers.credit HAVING max(credit) IS DISTINCT FROM 1",
            "SELECT max(limit_now) FROM customers GROUP BY customers.limit_now HAVING max(limit_now) IS DISTINCT FROM 1",
        ),
        // What comes out of an inner query keeps its name there.
        (
            "SELECT x.credit FROM (SELECT credit FROM customers) x",
            "SELECT x.credit FROM (SELECT limit_now AS credit FROM customers) x",
        ),
        (
            "SELECT x.credit FROM (SELECT * FROM customers) AS x WHERE credit = 1",
            "SELECT x.limit_now AS credit FROM (SELECT * FROM customers) AS x WHERE limit_now = 1",
        ),
        (
            "WITH rich AS (SELECT credit AS c FROM customers), credit AS (SELECT 1 AS credit) SELECT c, credit FROM rich, credit",
            "WITH rich AS (SELECT limit_now AS c FROM customers), credit AS (SELECT 1 AS credit) SELECT c, credit FROM rich, credit",
        ),
        // Another table has a column of the new name.
        (
            "SELECT credit FROM customers JOIN notes ON notes.id = customers.id",
            "SELECT customers.limit_now AS credit FROM customers JOIN notes ON notes.id = customers.id",
        ),
        (
            "SELECT name FROM customers c WHERE EXISTS (SELECT 1 FROM notes WHERE notes.id = credit)",
            "SELECT name FROM customers c WHERE EXISTS (SELECT 1 FROM notes WHERE notes.id = c.limit_now)",
        ),
        (
            "SELECT count(*) FILTER (WHERE credit > 0) OVER (PARTITION BY credit) FROM customers UNION ALL SELECT credit FROM customers ORDER BY 1",
            "SELECT count(*) FILTER (WHERE limit_now > 0) OVER (PARTITION BY limit_now) FROM customers UNION ALL SELECT limit_now AS credit FROM customers ORDER BY 1",
        ),
        (
            "SELECT DISTINCT ON (credit) CASE WHEN id > 1 THEN 0 ELSE credit END, \"credit\" FROM customers",
            "SELECT DISTINCT ON (credit) CASE WHEN id > 1 THEN 0 ELSE limit_now END AS credit, limit_now AS credit FROM customers",
        ),
        ("SELECT a.x FROM customers a (i, n, x)", "nothing that it names is called otherwise now"),
        (
            "SELECT credit.credit FROM customers credit",
            "SELECT credit.limit_now AS credit FROM customers credit",
        ),
    ] {
        let found = fixed(&after, sql).unwrap_or_else(|why| why);
        assert_eq!(found, expected, "{sql}");
    }
}

#[test]
fn a_renamed_table_keeps_its_old_name_as_an_alias() {
    let after = catalog(&[
        (1, "crm.Clients", &[("id", INTEGER), ("name", TEXT), ("credit", INTEGER)]),
        (2, "public.orders", &[("id", INTEGER), ("customer_id", INTEGER), ("total", INTEGER)]),
        (3, "public.remarks", &[("id", INTEGER), ("limit_now", TEXT)]),
    ]);
    for (sql, expected) in [
        (
            "SELECT customers.name, public.customers.id FROM public.customers WHERE customers.id IN (SELECT id FROM notes)",
            "SELECT customers.name, customers.id FROM crm.\"Clients\" AS customers WHERE customers.id IN (SELECT id FROM remarks AS notes)",
        ),
        ("SELECT c.* FROM customers c", "SELECT c.* FROM crm.\"Clients\" c"),
        ("SELECT public.notes.* FROM notes", "SELECT notes.* FROM remarks AS notes"),
        // The new name alone would mean what WITH calls so.
        (
            "WITH remarks AS (SELECT 1 AS one) SELECT one, id FROM remarks, notes",
            "WITH remarks AS (SELECT 1 AS one) SELECT one, id FROM remarks, public.remarks AS notes",
        ),
        (
            "WITH notes AS (SELECT 1 AS id) SELECT id FROM notes",
            "nothing that it names is called otherwise now",
        ),
        ("TABLE notes", "it is written in a way that cannot be changed safely"),
    ] {
        let found = fixed(&after, sql).unwrap_or_else(|why| why);
        assert_eq!(found, expected, "{sql}");
    }
}

#[test]
fn another_type_is_cast_to_the_one_that_it_was() {
    let after = catalog(&[
        (1, "public.customers", &[("id", INTEGER), ("name", TEXT), ("credit", TEXT)]),
        (2, "public.orders", &[("id", INTEGER), ("customer_id", INTEGER), ("total", INTEGER)]),
        (3, "public.notes", &[("id", INTEGER), ("limit_now", TEXT)]),
    ]);
    let sql = "SELECT credit, -c.credit FROM customers c WHERE credit > 5 GROUP BY credit";
    let expected = "SELECT credit::integer, -c.credit::integer FROM customers c WHERE credit::integer > 5 GROUP BY credit::integer";
    assert_eq!(fixed(&after, sql).as_deref(), Ok(expected));
    let (before, changes) = drifted(&after);
    let fix = mend(sql, &before, &after, &changes).expect("one SELECT").fix.expect("a fix");
    assert_eq!(fix.steps, [Step { change: 0, action: Action::Cast { to: "integer".to_owned() } }]);
}

#[test]
fn a_column_that_is_gone_can_be_left_out_only_where_nothing_else_needs_it() {
    let after = catalog(&[
        (1, "public.customers", &[("id", INTEGER), ("name", TEXT)]),
        (2, "public.orders", &[("id", INTEGER), ("customer_id", INTEGER), ("total", INTEGER)]),
        (3, "public.notes", &[("id", INTEGER), ("limit_now", TEXT)]),
    ]);
    for (sql, expected) in [
        ("SELECT credit, name FROM customers", "SELECT name FROM customers"),
        ("SELECT name, credit AS c, id FROM customers", "SELECT name, id FROM customers"),
        ("SELECT credit, credit, name, credit FROM customers", "SELECT name FROM customers"),
    ] {
        assert_eq!(fixed(&after, sql).as_deref(), Ok(expected), "{sql}");
    }
    for sql in [
        "SELECT credit FROM customers",
        "SELECT name, credit + 1 FROM customers",
        "SELECT name, credit FROM customers ORDER BY credit",
        "SELECT name, credit FROM customers ORDER BY 2",
        "SELECT DISTINCT name, credit FROM customers",
        "SELECT name FROM customers WHERE credit > 1",
        "SELECT x.name FROM (SELECT name, credit FROM customers) x",
        "SELECT name, credit FROM customers UNION SELECT name, 1 FROM customers",
    ] {
        assert!(fixed(&after, sql).is_err(), "{sql}");
    }
    let (before, changes) = drifted(&after);
    let found =
        mend("SELECT o.total FROM orders o", &before, &after, &changes).expect("one SELECT");
    assert!(found.concerned.is_empty(), "what does not meet the drift is not told of it");
}

#[test]
fn names_that_something_else_has_now_are_left_to_people() {
    let after = renamed_column();
    for (sql, expected) in [
        // What is read comes before the result's own names in GROUP BY, and after them in ORDER BY.
        (
            "SELECT abs(credit) AS limit_now, count(*) FROM customers GROUP BY limit_now",
            "it groups by `limit_now`",
        ),
        (
            "SELECT name AS limit_now FROM customers ORDER BY credit LIMIT 10",
            "another column of the result",
        ),
        // A name of the outer table, which the inner one has as well now.
        (
            "SELECT (SELECT max(c.id) FROM customers c WHERE c.credit > 1 AND c.name = limit_now) FROM notes",
            "`limit_now` would mean another column",
        ),
        ("SELECT to_jsonb(c) AS doc FROM customers c WHERE credit > 1", "whole rows of `c`"),
    ] {
        let why = fixed(&after, sql).expect_err(sql);
        assert!(why.contains(expected), "{sql}: {why}");
    }
}

#[test]
fn joins_that_go_by_names_are_left_to_people() {
    let after = catalog(&[
        (1, "public.customers", &[("number", INTEGER), ("name", TEXT), ("credit", INTEGER)]),
        (2, "public.orders", &[("id", INTEGER), ("customer_id", INTEGER), ("total", INTEGER)]),
        (3, "public.notes", &[("id", INTEGER), ("limit_now", TEXT)]),
    ]);
    for sql in [
        "SELECT name FROM customers JOIN orders USING (id)",
        "SELECT name FROM customers NATURAL JOIN orders",
    ] {
        let why = fixed(&after, sql).expect_err("not for a machine");
        assert!(why.contains("a join goes by the name"), "{why}");
    }
    let sql = "SELECT name FROM customers JOIN orders o ON o.customer_id = customers.id";
    let expected = "SELECT name FROM customers JOIN orders o ON o.customer_id = customers.number";
    assert_eq!(fixed(&after, sql).as_deref(), Ok(expected));
}

#[test]
fn what_the_result_was_is_told_as_far_as_the_statement_says() {
    let after = renamed_column();
    let (before, changes) = drifted(&after);
    let sql = "SELECT credit, count(*), 1, c.*, json_object('a': 1) FROM customers c";
    let found = mend(sql, &before, &after, &changes).expect("one SELECT").columns;
    let shown: Vec<_> = found.iter().map(|it| (it.name.as_deref(), it.type_oid)).collect();
    assert_eq!(
        shown,
        [
            (Some("credit"), Some(INTEGER)),
            (Some("count"), None),
            (Some("?column?"), None),
            (Some("id"), Some(INTEGER)),
            (Some("name"), Some(TEXT)),
            (Some("credit"), Some(INTEGER)),
            (None, None),
        ]
    );
}
