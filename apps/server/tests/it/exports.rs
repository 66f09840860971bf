//! Rows as files: all of them, or none.

use std::io::{Cursor, Read as _};

use plinth_queries::QuerySettings;
use plinth_testdb::TestDatabase;
use serde_json::{Value, json};

use crate::app::{Person, TestApp, send};

async fn target() -> TestDatabase {
    let script = "
        CREATE TABLE things (id int PRIMARY KEY, name text, big bigint, price numeric, ok boolean, made date,
            at timestamp, seen timestamptz);
        INSERT INTO things VALUES
            (1, '=1+1', 12345678901234567, 12.50, true, '2026-01-31', '2026-01-31 08:00:00', '2026-01-31 08:00:00+00'),
            (2, E'a \"b\", c\\nd', 7, -3, false, '0044-03-15 BC', '2026-01-31 08:00:00.000001', 'infinity'),
            (3, NULL, NULL, 'NaN', NULL, NULL, NULL, NULL);
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO plinth_test_owner;
        ANALYZE;
    ";
    TestDatabase::from_sql(script).await.unwrap()
}

async fn save(person: &Person, connection: &str, sql: &str) -> String {
    let body = json!({ "name": "Things", "connection_id": connection, "sql": sql });
    let saved = person.post("/v1/queries/save", body).await;
    assert_eq!(saved.status, 201, "{}", saved.text);
    saved.body["data"]["query_id"].as_str().unwrap().to_owned()
}

fn request(person: &Person, id: &str, format: &str) -> reqwest::RequestBuilder {
    person.request("POST", &format!("/v1/queries/{id}/export")).json(&json!({ "format": format }))
}

/// A workbook's sheet, and the file's size.
async fn sheet(request: reqwest::RequestBuilder) -> (String, usize) {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let bytes = response.bytes().await.unwrap().to_vec();
    let size = bytes.len();
    let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut text = String::new();
    zip.by_name("xl/worksheets/sheet1.xml").unwrap().read_to_string(&mut text).unwrap();
    (text, size)
}

#[actix_web::test]
async fn every_format_has_every_row() {
    let app = TestApp::start().await;
    let db = target().await;
    let ann = app.owner_of("Acme").await;
    let connection = ann.connect("Things", &db).await;
    let id = save(&ann, &connection, "SELECT * FROM things ORDER BY id").await;

    let csv = send(request(&ann, &id, "csv")).await;
    assert_eq!(csv.headers["content-disposition"], format!("attachment; filename=\"{id}.csv\""));
    let lines: Vec<_> = csv.text.split("\r\n").collect();
    assert_eq!(lines[0], "id,name,big,price,ok,made,at,seen");
    assert!(
        lines[1].starts_with("1,'=1+1,12345678901234567,12.50,true,2026-01-31,"),
        "{}",
        csv.text
    );
    assert_eq!((lines.len(), lines[3]), (5, "3,,,NaN,,,,"), "{}", csv.text);

    let array = send(request(&ann, &id, "json")).await;
    let rows = array.body.as_array().unwrap();
    assert_eq!((rows.len(), &rows[1]["name"]), (3, &json!("a \"b\", c\nd")));
    assert_eq!(rows[0]["big"], "12345678901234567");
    let lines = send(request(&ann, &id, "ndjson")).await;
    let parsed: Vec<Value> =
        lines.text.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert_eq!(&parsed, rows);
    assert_eq!(lines.headers["content-type"], "application/x-ndjson");

    let (xml, _) = sheet(request(&ann, &id, "xlsx")).await;
    assert!(!xml.contains("<f>"), "no cell is a formula: {xml}");
    for cell in [
        "<t>=1+1</t>",
        "<t>12345678901234567</t>",
        "<v>12.5</v>",
        "<t>NaN</t>",
        "t=\"b\"",
        "<t>2026-01-31T08:00:00+00:00</t>",
        "<t>0044-03-15 BC</t>",
        "<t>2026-01-31T08:00:00.000001</t>",
        "<v>46053</v>",
        "<t>infinity</t>",
    ] {
        assert!(xml.contains(cell), "{cell} is missing: {xml}");
    }
    assert_eq!(xml.matches("<row ").count(), 4);

    let bob = app.owner_of("Other").await;
    for format in ["csv", "xlsx"] {
        assert_eq!(send(request(&bob, &id, format)).await.error(), (404, "not_found"));
        assert_eq!(send(request(&ann, &id, "pdf")).await.error(), (422, "validation_error"));
    }
    let history = ann.get(&format!("/v1/queries/{id}/runs")).await;
    assert_eq!(history.body["data"].as_array().unwrap().len(), 4, "each export is a run");

    // None of them has rows where there are none.
    let none = save(&ann, &connection, "SELECT * FROM things WHERE id > 3").await;
    assert_eq!(send(request(&ann, &none, "json")).await.body, json!([]));
    assert_eq!(send(request(&ann, &none, "ndjson")).await.text, "");
    let (xml, _) = sheet(request(&ann, &none, "xlsx")).await;
    assert_eq!(xml.matches("<row ").count(), 1);
}

#[actix_web::test]
async fn a_parquet_file_keeps_types_and_values() {
    use parquet::basic::{LogicalType, TimeUnit};
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::Field;

    let app = TestApp::start().await;
    let db = target().await;
    let ann = app.owner_of("Acme").await;
    let connection = ann.connect("Things", &db).await;
    let sql = "SELECT id, name, big, price::numeric(12, 2) AS price, price AS exact, ok, made, at, seen,
            '018f3a2b-4c5d-7e6f-8091-a2b3c4d5e6f7'::uuid AS one, '{\"a\": [1]}'::jsonb AS doc, ARRAY[id, 2] AS many
        FROM things WHERE id = 1 OR id = 3 AND price IS NULL ORDER BY id";
    let id = save(&ann, &connection, sql).await;
    let file = async |request: reqwest::RequestBuilder| {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/vnd.apache.parquet");
        SerializedFileReader::new(response.bytes().await.unwrap()).unwrap()
    };
    let reader = file(request(&ann, &id, "parquet")).await;
    let schema = reader.metadata().file_metadata().schema_descr();
    let logical: Vec<_> =
        schema.columns().iter().map(|it| it.logical_type_ref().cloned()).collect();
    let text = Some(LogicalType::String);
    assert_eq!(
        logical,
        [
            None,
            text.clone(),
            None,
            Some(LogicalType::decimal(2, 12)),
            text.clone(),
            None,
            Some(LogicalType::Date),
            Some(LogicalType::timestamp(false, TimeUnit::MICROS)),
            Some(LogicalType::timestamp(true, TimeUnit::MICROS)),
            Some(LogicalType::Uuid),
            text.clone(),
            text,
        ]
    );
    let row = reader.get_row_iter(None).unwrap().next().unwrap().unwrap();
    let fields: Vec<Field> = row.get_column_iter().map(|it| it.1.clone()).collect();
    assert_eq!((&fields[0], &fields[2]), (&Field::Int(1), &Field::Long(12_345_678_901_234_567)));
    assert_eq!(fields[1], Field::Str("=1+1".to_owned()), "text is text");
    assert_eq!(fields[4], Field::Str("12.50".to_owned()));
    assert_eq!((&fields[5], &fields[6]), (&Field::Bool(true), &Field::Date(20_484)));
    assert_eq!(fields[8], Field::TimestampMicros(1_769_846_400_000_000));
    assert_eq!(fields[10], Field::Str("{\"a\": [1]}".to_owned()));
    assert_eq!(fields[11], Field::Str("{1,2}".to_owned()));

    // Two and a half groups of rows, sent as they are made.
    let many =
        save(&ann, &connection, "SELECT i, i::text AS t FROM generate_series(1, 250000) i").await;
    let reader = file(request(&ann, &many, "parquet")).await;
    assert_eq!(reader.metadata().file_metadata().num_rows(), 250_000);
    assert_eq!(reader.num_row_groups(), 3);
    let last = reader.get_row_iter(None).unwrap().last().unwrap().unwrap();
    assert_eq!(last.get_column_iter().next().unwrap().1, &Field::Int(250_000));

    let whole = save(&ann, &connection, "SELECT seen FROM things").await;
    let refused = send(request(&ann, &whole, "parquet")).await;
    assert_eq!(refused.error(), (422, "validation_error"), "infinity: {}", refused.text);
    let bob = app.owner_of("Other").await;
    assert_eq!(send(request(&bob, &id, "parquet")).await.error(), (404, "not_found"));
}

#[actix_web::test]
async fn a_slow_reader_and_the_turn_of_a_workbook_take_none_of_the_statements_time() {
    let app = TestApp::start().await;
    let db = target().await;
    let ann = app.owner_of("Acme").await;
    let connection = ann.connect("Things", &db).await;
    let (client, watching) =
        tokio_postgres::connect(&db.superuser_url(), tokio_postgres::NoTls).await.unwrap();
    actix_web::rt::spawn(watching);

    let sql = "SELECT repeat('x', 1000) AS x FROM generate_series(1, 60000)";
    let id = save(&ann, &connection, sql).await;
    let body = json!({ "format": "csv", "timeout_ms": 2000 });
    let slow = ann.request("POST", &format!("/v1/queries/{id}/export")).json(&body);
    let mut slow = slow.send().await.unwrap();
    let mut bytes = slow.chunk().await.unwrap().unwrap().len();
    client.execute("SELECT pg_sleep(2.1)", &[]).await.unwrap();
    while let Some(chunk) = slow.chunk().await.unwrap() {
        bytes += chunk.len();
    }
    assert_eq!(bytes, 3 + 60_000 * 1_002);

    // Half of the places are one organization's at most, and who waits for one has not begun.
    let endless =
        "SELECT count(*) FROM generate_series(1, 987654321) a, generate_series(1, 1000) b";
    let endless = save(&ann, &connection, endless).await;
    let body = json!({ "format": "xlsx", "timeout_ms": 5000 });
    let many: Vec<_> = (0..4)
        .map(|_| {
            let path = format!("/v1/queries/{endless}/export");
            actix_web::rt::spawn(send(ann.request("POST", &path).json(&body)))
        })
        .collect();
    let running = async || -> i64 {
        let running =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND state = 'active'
            AND query LIKE '%987654321%' AND pid <> pg_backend_pid()";
        client.query_one(running, &[&db.name()]).await.unwrap().get(0)
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while running().await < 2 {
        assert!(std::time::Instant::now() < deadline, "they never run");
    }
    let bob = app.owner_of("Other").await;
    let theirs = bob.connect("Things", &db).await;
    let theirs = save(&bob, &theirs, "SELECT * FROM things").await;
    let (xml, _) = sheet(request(&bob, &theirs, "xlsx")).await;
    assert_eq!(xml.matches("<row ").count(), 4);
    assert!(running().await <= 2);
    for one in many {
        assert_eq!(one.await.unwrap().error(), (504, "query_timeout"));
    }
}

#[actix_web::test]
async fn text_that_is_not_utf8_is_told_of_in_answers_and_refused_in_files() {
    let app = TestApp::start().await;
    let script = "
        CREATE CAST (bytea AS text) WITHOUT FUNCTION;
        CREATE TABLE odd AS SELECT 'caf\\377'::bytea::text AS name;
        DROP CAST (bytea AS text);
        GRANT SELECT ON odd TO plinth_test_owner;
    ";
    let db = TestDatabase::from_sql(script).await.unwrap();
    let ann = app.owner_of("Acme").await;
    let connection = ann.connect("Things", &db).await;
    let id = save(&ann, &connection, "SELECT name FROM odd").await;
    for format in ["csv", "json", "ndjson", "xlsx", "parquet"] {
        let refused = send(request(&ann, &id, format)).await;
        assert_eq!(refused.error(), (422, "validation_error"), "{format}");
        assert_eq!(refused.body["error"]["details"]["reason"], "export_not_utf8");
    }
    let late = "SELECT repeat('x', 100) AS name FROM generate_series(1, 30000) UNION ALL SELECT name FROM odd";
    let late = save(&ann, &connection, late).await;
    let broken = request(&ann, &late, "csv").send().await.unwrap();
    assert_eq!(broken.status(), 200);
    assert!(broken.text().await.is_err(), "what was sent is not taken for the whole");

    let run = format!("/v1/queries/{id}/run");
    let plain = ann.post(&run, json!({})).await;
    assert_eq!(plain.rows(), &json!([["caf\u{fffd}"]]));
    assert_eq!(plain.body["data"]["results"]["text_replaced"], true);
    let events = ann.request("POST", &run).header("accept", "text/event-stream").json(&json!({}));
    let events = send(events).await.text;
    assert!(
        events.contains("caf\u{fffd}") && events.contains("\"text_replaced\":true"),
        "{events}"
    );
    let begun = ann.request("POST", &run).header("prefer", "respond-async").json(&json!({}));
    let begun = send(begun).await;
    let place = begun.headers["location"].to_str().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    let ended = loop {
        let run = ann.get(place).await.body["data"].clone();
        if run["finished_at"].is_string() {
            break run;
        }
        assert!(std::time::Instant::now() < deadline, "never ended: {run}");
        actix_web::rt::time::sleep(std::time::Duration::from_millis(30)).await;
    };
    assert_eq!((&ended["state"], &ended["text_replaced"]), (&json!("succeeded"), &json!(true)));
}

#[actix_web::test]
async fn what_is_too_large_is_refused_or_broken_off_and_never_cut() {
    let app = TestApp::with(QuerySettings {
        max_rows: 20_000,
        max_bytes: 4 << 20,
        ..QuerySettings::default()
    })
    .await;
    let db = target().await;
    let ann = app.owner_of("Acme").await;
    let connection = ann.connect("Things", &db).await;
    let fits = save(&ann, &connection, "SELECT i, 'x' AS x FROM generate_series(1, 20000) i").await;
    for format in ["csv", "json", "ndjson"] {
        let answer = send(request(&ann, &fits, format)).await;
        assert_eq!(
            answer.text.lines().filter(|it| it.contains('x')).count(),
            20_000 + usize::from(format == "csv")
        );
    }
    let (xml, _) = sheet(request(&ann, &fits, "xlsx")).await;
    assert_eq!(xml.matches("<row ").count(), 20_001);

    // A little too many rows: known before the first byte only where little is sent.
    let small =
        TestApp::with(QuerySettings { max_rows: 10, default_rows: 10, ..QuerySettings::default() })
            .await;
    let eve = small.owner_of("Acme").await;
    let theirs = eve.connect("Things", &db).await;
    let eleven = save(&eve, &theirs, "SELECT generate_series(1, 11)").await;
    for format in ["csv", "json", "ndjson", "xlsx", "parquet"] {
        let refused = send(request(&eve, &eleven, format)).await;
        assert_eq!(refused.error(), (422, "validation_error"), "{format}");
        assert_eq!(refused.body["error"]["details"]["reason"], "export_too_large");
    }
    let many =
        save(&ann, &connection, "SELECT repeat('x', 100) FROM generate_series(1, 30000)").await;
    for format in ["csv", "json", "ndjson"] {
        let broken = request(&ann, &many, format).send().await.unwrap();
        assert_eq!(broken.status(), 200);
        assert!(broken.text().await.is_err(), "{format}: a part is not taken for the whole");
    }
    assert_eq!(send(request(&ann, &many, "xlsx")).await.error(), (422, "validation_error"));
    let long = save(&ann, &connection, "SELECT repeat('x', 40000)").await;
    assert_eq!(send(request(&ann, &long, "xlsx")).await.error(), (422, "validation_error"));
    assert_eq!(send(request(&ann, &long, "csv")).await.status, 200);
    let failing =
        save(&ann, &connection, "SELECT 1 / (i - 11) FROM generate_series(1, 20) i").await;
    for format in ["csv", "json", "xlsx", "parquet"] {
        assert_eq!(send(request(&ann, &failing, format)).await.error(), (500, "query_error"));
    }
}
