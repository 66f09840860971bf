//! Values as a real server prints them, rendered, beside what the server itself makes of them in JSON.

use plinth_connections::Target;
use plinth_queries::{JsonRows, RunLimits, StatementRunner as _, UserTypes, type_name};
use plinth_schema_introspect::{CatalogReader as _, ReadOptions};
use plinth_testdb::TestDatabase;
use serde_json::Value;

use crate::support::{databases, limits, statement, target};

/// The values of the first row, and the columns' types.
async fn first(target: &Target, sql: &str, limits: &RunLimits) -> (Vec<Value>, Vec<String>) {
    let mut rows = databases().run(target, &statement(sql), limits).await.expect(sql);
    let types = UserTypes::default();
    let names = rows
        .columns()
        .iter()
        .map(|it| type_name(it.type_oid, it.type_modifier, &types).into_owned())
        .collect();
    let mut json = JsonRows::new(rows.columns(), &types);
    let row = rows.next().await.expect(sql).into_iter().next().expect("a row");
    (json.values(&row), names)
}

#[tokio::test]
async fn values_are_what_the_server_itself_makes_of_them_in_json() {
    let database = TestDatabase::create().await.unwrap();
    let target = target(&database);
    for expression in [
        "42::smallint",
        "(-2147483648)::integer",
        "9007199254740991::bigint",
        "true",
        "false",
        "'a\"b\\c' || chr(1) || chr(9) || chr(10) || 'é日🐘'",
        "'  x '::char(8)",
        "1.5::real",
        "0.1::double precision",
        "1e-300::double precision",
        "12.50::numeric(12,2)",
        "0.000001::numeric",
        "avg(x) FROM (VALUES (1), (2)) AS t (x)",
        "'NaN'::double precision",
        "'infinity'::double precision",
        "'2026-01-02'::date",
        "'infinity'::date",
        "'2026-01-02 03:04:05.678'::timestamp",
        "'2026-01-02 03:04:05+00'::timestamptz",
        "'infinity'::timestamptz",
        "'03:04:05'::time",
        "'1 mon -2 days 03:04:05'::interval",
        "'0190b2c4-7d1e-7c3a-9f00-3a5b6c7d8e9f'::uuid",
        "'{\"a\": [1, 2.50, null], \"b\": \"c\"}'::jsonb",
        "E'[1,\\n2]'::json",
        "'192.0.2.1/24'::inet",
        "B'101'",
        "'[1,5)'::int4range",
        "'{[1,3),[5,7)}'::int4multirange",
        "'(1,2)'::point",
        "'\\x00ff'::bytea",
        "ARRAY[1, NULL, 3]",
        "ARRAY[[1, 2], [3, NULL]]",
        "ARRAY[]::text[]",
        "ARRAY['a b', '', NULL, 'NULL', '{x}', 'a,b', 'q\"\\']",
        "ARRAY[true, false]",
        "ARRAY[1.5, 2.25]::numeric[]",
        "ARRAY['2026-01-02 03:04:05.5+00'::timestamptz]",
        "ARRAY['{\"a\": 1}'::jsonb]",
        "ARRAY['(1,1),(0,0)'::box, '(3,3),(2,2)'::box]",
        "NULL::integer",
    ] {
        let (expression, from) = match expression.split_once(" FROM ") {
            Some((expression, from)) => (expression, format!(" FROM {from}")),
            None => (expression, String::new()),
        };
        let sql = format!("SELECT {expression}, to_jsonb({expression}){from}");
        let (values, _) = first(&target, &sql, &limits()).await;
        assert_eq!(values[0], values[1], "{expression}");
    }
}

#[tokio::test]
async fn what_json_cannot_hold_exactly_is_text() {
    let database = TestDatabase::create().await.unwrap();
    let target = target(&database);
    for (expression, expected) in [
        ("9223372036854775807", "9223372036854775807"),
        ("1::numeric / 3", "0.33333333333333333333"),
        ("123456789012345678.90", "123456789012345678.90"),
        ("'NaN'::numeric", "NaN"),
        ("'-infinity'::numeric", "-Infinity"),
        ("'-infinity'::real", "-Infinity"),
    ] {
        let (values, _) = first(&target, &format!("SELECT {expression}"), &limits()).await;
        assert_eq!(values, [Value::from(expected)]);
    }
}

#[tokio::test]
async fn arrays_and_composites_of_types_that_are_not_known_are_readable() {
    let database = TestDatabase::create().await.unwrap();
    let client = crate::support::client(&database.url()).await;
    client
        .batch_execute(
            "CREATE TYPE mood AS ENUM ('so so', 'good'); CREATE TYPE pair AS (a int, b text); CREATE DOMAIN small AS int CHECK (VALUE < 10)",
        )
        .await
        .unwrap();
    let sql = "SELECT 'good'::mood, ARRAY['so so', 'good']::mood[], (1, 'x y')::pair, 3::small, ARRAY[3]::small[], \
               '[2:3]={5,6}'::int[], ROW(1, 'a')";
    let (values, _) = first(&target(&database), sql, &limits()).await;
    let expected =
        serde_json::json!(["good", ["so so", "good"], "(1,\"x y\")", 3, ["3"], [5, 6], "(1,a)"]);
    assert_eq!(Value::from(values), expected);
}

#[tokio::test]
async fn with_the_catalog_types_of_a_database_have_their_names() {
    let database = TestDatabase::create().await.unwrap();
    let client = crate::support::client(&database.url()).await;
    let sql = "CREATE SCHEMA odd; CREATE TYPE odd.mood AS ENUM ('{so', 'good'); CREATE TYPE \"Pair\" AS (a int)";
    client.batch_execute(sql).await.unwrap();
    let target = target(&database);
    let catalog = databases().read(&target, ReadOptions::default()).await.unwrap();
    let types = UserTypes::new(&catalog);
    let sql = "SELECT '{so'::odd.mood, ARRAY['{so']::odd.mood[], NULL::\"Pair\"[]";
    let mut rows = databases().run(&target, &statement(sql), &limits()).await.unwrap();
    let names: Vec<_> = rows
        .columns()
        .iter()
        .map(|it| type_name(it.type_oid, it.type_modifier, &types).into_owned())
        .collect();
    assert_eq!(names, ["odd.mood", "odd.mood[]", "\"Pair\"[]"]);
    let mut json = JsonRows::new(rows.columns(), &types);
    let row = rows.next().await.unwrap().remove(0);
    assert_eq!(Value::from(json.values(&row)), serde_json::json!(["{so", ["{so"], null]));
}

#[tokio::test]
async fn timestamps_carry_the_offset_of_the_zone_that_was_asked_for() {
    let database = TestDatabase::create().await.unwrap();
    let limits = RunLimits { time_zone: "Asia/Kolkata".to_owned(), ..limits() };
    let sql = "SELECT '2026-01-02 00:00:00+00'::timestamptz, '1800-01-01 00:00:00+00'::timestamptz";
    let (values, _) = first(&target(&database), sql, &limits).await;
    assert_eq!(values, ["2026-01-02T05:30:00+05:30", "1800-01-01T05:53:28+05:53:28"]);
}

#[tokio::test]
async fn columns_of_a_result_have_the_names_of_types_that_the_server_prints() {
    let database = TestDatabase::create().await.unwrap();
    let types = [
        "numeric(12,2)",
        "character varying(20)",
        "character(3)",
        "bit(4)",
        "bit varying(4)",
        "timestamp(3) with time zone",
        "time without time zone",
        "interval day to second(2)",
        "interval(3)",
        "text[]",
        "numeric(5,1)[]",
        "jsonb",
        "tstzrange",
        "datemultirange",
        "double precision",
        "\"char\"",
        "regclass",
        "xid8",
    ];
    let columns: Vec<_> = types.iter().map(|it| format!("NULL::{it}")).collect();
    let sql = format!("SELECT {}", columns.join(", "));
    let (_, names) = first(&target(&database), &sql, &limits()).await;
    assert_eq!(names, types);
}
