use plinth_testdb::TestDatabase;
use serde_json::{Value, json};

use crate::app::{Person, TestApp, send};

/// A shop with orders of three countries.
pub(crate) async fn shop() -> TestDatabase {
    let target = TestDatabase::create().await.unwrap();
    let (client, connection) =
        tokio_postgres::connect(&target.url(), tokio_postgres::NoTls).await.unwrap();
    actix_web::rt::spawn(connection);
    client
        .batch_execute(
            "CREATE TABLE orders (id int PRIMARY KEY, country text, day date, total numeric);
             INSERT INTO orders VALUES (1, 'Chad', '2026-01-01', 12.5), (2, 'Mali', '2026-01-02', 30),
                 (3, 'Chad', '2026-01-03', 7), (4, '<b>Peru</b>', '2026-01-03', 1)",
        )
        .await
        .unwrap();
    target
}

pub(crate) const BY_COUNTRY: &str =
    "SELECT country, sum(total) AS total FROM orders GROUP BY country ORDER BY country";

/// A query of the history.
pub(crate) async fn query(person: &Person, connection: &str, sql: &str) -> String {
    let answer = person.sql(connection, sql).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body["data"]["query_id"].as_str().unwrap().to_owned()
}

pub(crate) fn widget(kind: &str, query: &str, (x, y, w, h): (u32, u32, u32, u32)) -> Value {
    json!({ "type": kind, "query_id": query, "position": { "x": x, "y": y, "w": w, "h": h } })
}

pub(crate) async fn make(person: &Person, body: Value) -> Value {
    let made = person.post("/v1/dashboards", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.body["data"].clone()
}

pub(crate) fn id(thing: &Value) -> &str {
    thing["id"].as_str().unwrap()
}

#[actix_web::test]
async fn a_dashboard_shows_what_its_queries_give_now() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ann").await;
    let connection = ann.connect("Shop", &target).await;
    let bars = query(&ann, &connection, BY_COUNTRY).await;
    let count = query(&ann, &connection, "SELECT count(*) AS orders FROM orders").await;
    let all = query(&ann, &connection, "SELECT id, day FROM orders ORDER BY id").await;
    let text = json!({
        "type": "text", "query_id": count, "position": { "x": 0, "y": 8, "w": 12, "h": 1 },
        "options": { "text": "There are {{orders}}." },
    });
    let mut bar = widget("bar", &bars, (0, 0, 6, 4));
    bar["title"] = json!("By country");
    bar["options"] = json!({ "horizontal": true });
    let widgets = json!([
        bar,
        widget("metric", &count, (6, 0, 6, 4)),
        widget("table", &all, (0, 4, 6, 4)),
        widget("pie", &count, (6, 4, 6, 4)),
        text,
    ]);
    let made = make(&ann, json!({ "name": "Shop", "description": "", "widgets": widgets })).await;
    assert_eq!(made["widgets"][0]["data"], Value::Null, "made, and not looked at");

    // Something changes under it.
    let (client, driver) =
        tokio_postgres::connect(&target.url(), tokio_postgres::NoTls).await.unwrap();
    actix_web::rt::spawn(driver);
    client.batch_execute("INSERT INTO orders VALUES (5, 'Mali', '2026-01-04', 4)").await.unwrap();

    let looked = ann.get(&format!("/v1/dashboards/{}", id(&made))).await;
    assert_eq!(looked.status, 200, "{}", looked.text);
    let shown = &looked.body["data"]["widgets"];
    let bars = &shown[0]["data"];
    assert_eq!(bars["status"], "ok", "{bars}");
    assert_eq!(bars["columns"], json!(["country", "total"]));
    assert_eq!(bars["rows"][2], json!(["Mali", 34]), "{bars}");
    assert_eq!(bars["chart"]["mark"], "bar");
    assert_eq!(bars["chart"]["encoding"]["x"]["title"], "total", "it lies");
    assert!(bars["duration_ms"].as_f64().unwrap() > 0.0 && bars["cached_at"].is_null());
    assert!(bars["query_id"].as_str().unwrap().starts_with("q_"));
    assert_eq!(shown[1]["data"]["rows"], json!([[5]]));
    assert_eq!(shown[2]["data"]["rows"][0], json!([1, "2026-01-01"]));
    assert_eq!(shown[3]["data"]["status"], "misfit");
    assert!(shown[3]["data"]["misfit"].as_str().unwrap().contains("a pie needs"), "{}", shown[3]);
    assert_eq!(shown[4]["data"]["text"], "There are 5.");

    // What fails leaves the others alone.
    client.batch_execute("ALTER TABLE orders DROP COLUMN country").await.unwrap();
    let looked = ann.post(&format!("/v1/dashboards/{}/refresh", id(&made)), json!({})).await;
    let shown = &looked.body["data"]["widgets"];
    assert_eq!(shown[0]["data"]["status"], "error", "{}", shown[0]);
    assert!(shown[0]["data"]["error"]["code"].is_string());
    assert_eq!(shown[1]["data"]["status"], "ok");

    let bare = ann.get(&format!("/v1/dashboards/{}?data=false", id(&made))).await;
    assert_eq!(bare.body["data"]["widgets"][0]["data"], Value::Null);
    assert_eq!(bare.body["data"], made);
}

#[actix_web::test]
async fn what_is_wrong_with_a_dashboard_is_told_at_once() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ann").await;
    let connection = ann.connect("Shop", &target).await;
    let query = query(&ann, &connection, BY_COUNTRY).await;
    let mut wide = widget("bar", &query, (8, 0, 6, 4));
    wide["options"] = json!({ "donut": true });
    let body = json!({
        "name": "Shop",
        "widgets": [wide, widget("drawing", &query, (0, 0, 1, 1)), widget("line", &query, (0, 0, 6, 2)),
                    widget("area", &query, (5, 1, 2, 2)),
                    { "type": "pie", "position": { "x": 0, "y": 9, "w": 1, "h": 1 } }],
        "filters": [{ "name": "Country" }],
    });
    let refused = ann.post("/v1/dashboards", body).await;
    assert_eq!(refused.error(), (422, "validation_error"), "{}", refused.text);
    let mut pointers: Vec<_> = refused.body["error"]["details"]["fields"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    pointers.sort_unstable();
    assert_eq!(
        pointers,
        [
            "/filters/0/name",
            "/widgets/0/options/donut",
            "/widgets/0/position/x",
            "/widgets/1/type",
            "/widgets/3/position",
            "/widgets/4/query_id",
        ]
    );
    let mut unknown = widget("bar", &query, (0, 0, 6, 4));
    unknown["colour"] = json!("red");
    let refused = ann.post("/v1/dashboards", json!({ "name": "Shop", "widgets": [unknown] })).await;
    assert_eq!(refused.error(), (422, "validation_error"), "{}", refused.text);
    let mut other = widget("bar", &query, (0, 0, 6, 4));
    other["parameters"] = json!({ "land": "Chad" });
    let none = widget("bar", "q_018a3a2b4c5d7e6f8091a2b3c4d5e6f7", (6, 0, 6, 4));
    let body = json!({ "name": "Shop", "widgets": [other, none] });
    let refused = ann.post("/v1/dashboards", body).await;
    assert_eq!(refused.error(), (422, "validation_error"), "{}", refused.text);
    let fields = &refused.body["error"]["details"]["fields"];
    for pointer in ["/widgets/0/parameters/land", "/widgets/1/query_id"] {
        assert!(fields[pointer].is_string(), "{pointer}: {}", refused.text);
    }
}

#[actix_web::test]
async fn a_dashboard_is_changed_by_who_has_read_it() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ann").await;
    let connection = ann.connect("Shop", &target).await;
    let query = query(&ann, &connection, BY_COUNTRY).await;
    let widgets = json!([widget("bar", &query, (0, 0, 6, 4))]);
    let made =
        make(&ann, json!({ "name": "Shop", "widgets": widgets, "refresh_seconds": 60 })).await;
    let path = format!("/v1/dashboards/{}", id(&made));
    let stale = ann.request("PATCH", &path).header("if-match", "\"7\"");
    let stale = send(stale.json(&json!({ "name": "New" }))).await;
    assert_eq!(stale.error(), (412, "precondition_failed"), "{}", stale.text);

    let mut kept = made["widgets"][0].clone();
    kept["position"]["w"] = json!(12);
    let change = json!({
        "name": "New", "refresh_seconds": null,
        "widgets": [kept, widget("pie", &query, (0, 4, 6, 4))],
    });
    let changed = ann.patch(&path, change).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let now = &changed.body["data"];
    assert_eq!((&now["name"], &now["refresh_seconds"]), (&json!("New"), &Value::Null));
    assert_eq!(now["widgets"][0]["id"], made["widgets"][0]["id"]);
    assert_eq!(now["widgets"][0]["position"]["w"], 12);
    assert_eq!(changed.headers["etag"], "\"2\"");

    let bob = app.owner_of("Bob").await;
    assert_eq!(bob.get(&path).await.error(), (404, "not_found"));
    assert_eq!(bob.patch(&path, json!({ "name": "Mine" })).await.status, 404);
    assert_eq!(bob.delete(&path).await.status, 404);
    assert_eq!(bob.get("/v1/dashboards").await.body["data"], json!([]));
    assert_eq!(ann.get("/v1/dashboards").await.body["data"][0]["name"], "New");
    let stale = send(ann.request("DELETE", &path).header("if-match", "\"0\"")).await;
    assert_eq!(stale.error(), (412, "precondition_failed"), "{}", stale.text);
    let shown = ann.get(&path).await;
    let read = shown.headers["etag"].to_str().unwrap();
    assert_eq!(send(ann.request("DELETE", &path).header("if-match", read)).await.status, 204);
    assert_eq!(ann.get(&path).await.status, 404);
}

#[actix_web::test]
async fn a_viewer_looks_and_changes_nothing() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ann").await;
    let connection = ann.connect("Shop", &target).await;
    let query = query(&ann, &connection, BY_COUNTRY).await;
    let widgets = json!([widget("bar", &query, (0, 0, 6, 4))]);
    let made = make(&ann, json!({ "name": "Shop", "widgets": widgets })).await;
    let path = format!("/v1/dashboards/{}", id(&made));
    let policy = json!({
        "name": "Chad only", "table": "public.orders", "roles": ["viewer"], "rows": "country = 'Chad'",
    });
    let ruled = ann.post(&format!("/v1/connections/{connection}/policies"), policy).await;
    assert_eq!(ruled.status, 201, "{}", ruled.text);
    let (viewer, _) = app.member(&ann, "vi@example.com", "viewer").await;

    let theirs = viewer.get(&path).await;
    assert_eq!(theirs.status, 200, "{}", theirs.text);
    let data = &theirs.body["data"]["widgets"][0]["data"];
    assert_eq!((&data["row_count"], &data["restricted"]), (&json!(3), &json!([])), "as its owner");
    let drawn = viewer.get(&format!("{path}/image.svg")).await;
    assert!(drawn.text.contains("Chad") && drawn.text.contains("Mali"), "{}", drawn.text);

    assert_eq!(viewer.patch(&path, json!({ "name": "Mine" })).await.status, 403);
    assert_eq!(viewer.post("/v1/dashboards", json!({ "name": "Mine" })).await.status, 403);
    let share = viewer.post(&format!("{path}/shares"), json!({ "kind": "link" })).await;
    assert_eq!(share.status, 403, "{}", share.text);
}

#[actix_web::test]
async fn pictures_are_svg_and_hold_no_markup_of_the_data() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ann").await;
    let connection = ann.connect("Shop", &target).await;
    let bars = query(&ann, &connection, BY_COUNTRY).await;
    let mut bar = widget("bar", &bars, (0, 0, 6, 4));
    bar["title"] = json!("<script>alert(1)</script>");
    let widgets = json!([bar, widget("scatter", &bars, (6, 0, 6, 4))]);
    let made = make(&ann, json!({ "name": "Shop & <co>", "widgets": widgets })).await;
    let path = format!("/v1/dashboards/{}", id(&made));
    let widget = format!("{path}/widgets/{}/image.svg", id(&made["widgets"][0]));
    for (path, wide) in [
        (format!("{path}/image.svg"), "width=\"1212\""),
        (widget.clone(), "width=\"588\" height=\"308\""),
        (format!("{widget}?width=300&height=200"), "width=\"300\" height=\"200\""),
    ] {
        let drawn = ann.get(&path).await;
        assert_eq!(drawn.status, 200, "{}", drawn.text);
        assert_eq!(drawn.headers["content-type"], "image/svg+xml");
        assert!(drawn.text.starts_with("<svg") && drawn.text.contains(wide), "{}", drawn.text);
        assert!(drawn.text.contains("&lt;b&gt;Peru&lt;/b&gt;"), "{}", drawn.text);
        assert!(!drawn.text.contains("<b>") && !drawn.text.contains("<script"));
    }
    let misfit = format!("{path}/widgets/{}/image.svg", id(&made["widgets"][1]));
    let drawn = ann.get(&misfit).await;
    assert!(drawn.text.contains("a scatter needs two columns of numbers"), "{}", drawn.text);
    assert_eq!(ann.get(&format!("{widget}?width=9")).await.error(), (422, "validation_error"));
    let none = format!("{path}/widgets/wid_018a3a2b4c5d7e6f8091a2b3c4d5e6f7/image.svg");
    assert_eq!(ann.get(&none).await.error(), (404, "not_found"));
}

pub(crate) async fn shared(app: &TestApp, token: &str, more: &str) -> crate::app::Answer {
    send(app.request("GET", &format!("/v1/shared-dashboards/{token}{more}"))).await
}

#[actix_web::test]
async fn a_link_shows_the_dashboard_until_it_ends() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ann").await;
    let connection = ann.connect("Shop", &target).await;
    let bars = query(&ann, &connection, BY_COUNTRY).await;
    let made =
        make(&ann, json!({ "name": "Shop", "widgets": [widget("bar", &bars, (0, 0, 6, 4))] }))
            .await;
    let path = format!("/v1/dashboards/{}", id(&made));
    let (editor, member) = app.member(&ann, "ed@example.com", "editor").await;
    let body = json!({ "kind": "link", "name": "For the board", "expires_in_seconds": 3600 });
    let link = editor.post(&format!("{path}/shares"), body).await;
    assert_eq!(link.status, 201, "{}", link.text);
    let token = link.body["data"]["token"].as_str().unwrap();
    assert!(link.body["data"]["url"].as_str().unwrap().ends_with(token));

    let seen = shared(&app, token, "").await;
    assert_eq!(seen.status, 200, "{}", seen.text);
    let data = &seen.body["data"]["widgets"][0]["data"];
    assert_eq!(data["rows"][1], json!(["Chad", 19.5]));
    assert!(data["query_id"].is_null() && seen.body["data"]["widgets"][0]["query_id"].is_null());
    let picture = shared(&app, token, "/image.svg").await;
    assert_eq!(picture.headers["content-type"], "image/svg+xml");
    let of_widget = format!("/widgets/{}/image.svg", id(&made["widgets"][0]));
    assert!(shared(&app, token, &of_widget).await.text.starts_with("<svg"));

    let listed = ann.get(&format!("{path}/shares")).await;
    assert_eq!(listed.body["data"][0]["active"], true, "{}", listed.text);
    assert!(!listed.text.contains(token), "shown once");
    let dead = |answer: crate::app::Answer| {
        assert_eq!(answer.error(), (404, "not_found"), "{}", answer.text);
        assert!(!answer.text.contains("Chad"));
    };
    let mut forged = token.to_owned();
    forged.replace_range(..4, "AAAA");
    dead(shared(&app, &forged, "").await);

    // Its maker leaves.
    assert_eq!(ann.delete(&format!("/v1/team/members/{member}")).await.status, 204);
    for more in ["", "/image.svg", of_widget.as_str()] {
        dead(shared(&app, token, more).await);
    }

    let body = json!({ "kind": "link", "expires_in_seconds": 3600 });
    let link = ann.post(&format!("{path}/shares"), body.clone()).await;
    let token = link.body["data"]["token"].as_str().unwrap();
    assert_eq!(shared(&app, token, "").await.status, 200);
    app.clock.advance(jiff::SignedDuration::from_secs(3601));
    dead(shared(&app, token, "").await);

    let link = ann.post(&format!("{path}/shares"), body).await;
    let token = link.body["data"]["token"].as_str().unwrap();
    assert_eq!(shared(&app, token, "").await.status, 200);
    let share = format!("{path}/shares/{}", id(&link.body["data"]));
    let bob = app.owner_of("Bob").await;
    assert_eq!(bob.delete(&share).await.status, 404);
    assert_eq!(shared(&app, token, "").await.status, 200);
    assert_eq!(ann.delete(&share).await.status, 204);
    for more in ["", "/image.svg", of_widget.as_str()] {
        dead(shared(&app, token, more).await);
    }
    let short = json!({ "kind": "link", "expires_in_seconds": 5 });
    assert_eq!(ann.post(&format!("{path}/shares"), short).await.status, 422);
}

#[actix_web::test]
async fn a_link_tells_nobody_what_a_database_answers() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ann").await;
    let connection = ann.connect("Shop", &target).await;
    let sql = "SELECT country FROM orders WHERE country::text <> 'none'";
    let rows = query(&ann, &connection, sql).await;
    let widgets = json!([widget("table", &rows, (0, 0, 6, 4))]);
    let made = make(&ann, json!({ "name": "Shop", "widgets": widgets })).await;
    let path = format!("/v1/dashboards/{}", id(&made));
    let link = ann.post(&format!("{path}/shares"), json!({ "kind": "link" })).await;
    let token = link.body["data"]["token"].as_str().unwrap();
    let (client, driver) =
        tokio_postgres::connect(&target.url(), tokio_postgres::NoTls).await.unwrap();
    actix_web::rt::spawn(driver);
    client.batch_execute("ALTER TABLE orders RENAME country TO secret_land").await.unwrap();
    let seen = shared(&app, token, "").await;
    let data = &seen.body["data"]["widgets"][0]["data"];
    assert_eq!(data["status"], "error", "{data}");
    assert_eq!(data["error"]["message"], "this cannot be shown now");
    let drawn = shared(&app, token, "/image.svg").await;
    for text in [&seen.text, &drawn.text] {
        assert!(!text.contains("country") && !text.contains("orders"), "{text}");
    }
    // Whoever is in the organization is told.
    let told = ann.get(&path).await;
    let error = &told.body["data"]["widgets"][0]["data"]["error"];
    assert!(error["message"].as_str().unwrap().contains("country"), "{error}");
}

/// A saved query that takes a country.
pub(crate) async fn by_land(person: &Person, connection: &str) -> String {
    let body = json!({
        "name": "Orders of a land", "connection_id": connection,
        "sql": "SELECT id, total FROM orders WHERE {{ land }} IS NULL OR country = {{ land }} ORDER BY id",
        "parameters": [{ "name": "land", "type": "text", "required": false }],
    });
    let saved = person.post("/v1/queries/save", body).await;
    assert_eq!(saved.status, 201, "{}", saved.text);
    saved.body["data"]["query_id"].as_str().unwrap().to_owned()
}

pub(crate) fn filtered(query: &str) -> Value {
    let mut table = widget("table", query, (0, 0, 6, 4));
    table["filters"] = json!({ "land": "country" });
    json!({
        "name": "Shop", "widgets": [table],
        "filters": [{ "name": "country", "label": "Country", "default": "Chad", "options": ["Chad", "Mali"] }],
    })
}

#[actix_web::test]
async fn filters_give_parameters_of_widgets_their_values() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ann").await;
    let connection = ann.connect("Shop", &target).await;
    let query = by_land(&ann, &connection).await;
    let made = make(&ann, filtered(&query)).await;
    let path = format!("/v1/dashboards/{}", id(&made));
    let ids = |answer: &crate::app::Answer| {
        assert_eq!(answer.status, 200, "{}", answer.text);
        let rows = &answer.body["data"]["widgets"][0]["data"]["rows"];
        rows.as_array().unwrap().iter().map(|it| it[0].as_i64().unwrap()).collect::<Vec<_>>()
    };
    let looked = ann.get(&path).await;
    assert_eq!(ids(&looked), [1, 3], "the filter's default");
    assert_eq!(looked.body["data"]["filter_values"], json!({ "country": "Chad" }));
    assert_eq!(ids(&ann.get(&format!("{path}?filters=%7B%22country%22:%22Mali%22%7D")).await), [2]);
    for filters in [
        json!({ "country": "Peru" }),
        json!({ "country": null }),
        json!({ "land": "Chad" }),
        json!({ "country": [] }),
    ] {
        let refused = ann.post(&format!("{path}/refresh"), json!({ "filters": filters })).await;
        assert_eq!(refused.error(), (422, "validation_error"), "{}", refused.text);
    }
    assert_eq!(ann.get(&format!("{path}?filters=Chad")).await.status, 422);
    let mut filters = made["filters"].clone();
    filters[0]["options"] = json!(["Chad", "Mali", null]);
    assert_eq!(ann.patch(&path, json!({ "filters": filters })).await.status, 200);
    let all = ann.post(&format!("{path}/refresh"), json!({ "filters": { "country": null } })).await;
    assert_eq!(ids(&all), [1, 2, 3, 4]);

    let mut wrong = filtered(&query);
    wrong["widgets"][0]["filters"] = json!({ "land": "region", "year": "country" });
    let refused = ann.post("/v1/dashboards", wrong).await;
    let fields = &refused.body["error"]["details"]["fields"];
    assert!(fields["/widgets/0/filters/land"].is_string(), "{}", refused.text);
    let mut wrong = filtered(&query);
    wrong["widgets"][0]["parameters"] = json!({ "year": 2026 });
    let refused = ann.post("/v1/dashboards", wrong).await;
    let fields = &refused.body["error"]["details"]["fields"];
    assert!(fields["/widgets/0/parameters/year"].is_string(), "{}", refused.text);
}

#[actix_web::test]
async fn what_a_link_locks_nobody_changes() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ann").await;
    let connection = ann.connect("Shop", &target).await;
    let query = by_land(&ann, &connection).await;
    let made = make(&ann, filtered(&query)).await;
    let path = format!("/v1/dashboards/{}", id(&made));
    let link = async |more: Value| {
        let mut body = json!({ "kind": "embed" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = ann.post(&format!("{path}/shares"), body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        made.body["data"]["token"].as_str().unwrap().to_owned()
    };
    let first = |answer: &crate::app::Answer| {
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.body["data"]["widgets"][0]["data"]["rows"][0][0].clone()
    };
    let mali = "?filters=%7B%22country%22:%22Mali%22%7D";
    let all = "?filters=%7B%22country%22:null%7D";
    let locked = link(json!({ "filters": { "country": "Mali" } })).await;
    assert_eq!(first(&shared(&app, &locked, "").await), 2);
    let closed = link(json!({})).await;
    assert_eq!(first(&shared(&app, &closed, "").await), 1, "at its default");
    for token in [&locked, &closed] {
        for more in [mali, all] {
            let refused = shared(&app, token, more).await;
            assert_eq!(refused.error(), (422, "validation_error"), "{}", refused.text);
        }
    }
    let open = link(json!({ "open_filters": ["country"] })).await;
    assert_eq!(first(&shared(&app, &open, mali).await), 2);
    let refused = shared(&app, &open, all).await;
    assert_eq!(refused.error(), (422, "validation_error"), "{}", refused.text);
    for bad in [
        json!({ "kind": "embed", "filters": { "country": null } }),
        json!({ "kind": "embed", "open_filters": ["land"] }),
        json!({ "kind": "embed", "filters": { "country": "Mali" }, "open_filters": ["country"] }),
        json!({ "kind": "embed", "filters": { "country": "Peru" } }),
    ] {
        let refused = ann.post(&format!("{path}/shares"), bad).await;
        assert_eq!(refused.error(), (422, "validation_error"), "{}", refused.text);
    }
    // One from earlier, that locks what is none of the options.
    let nothing = link(json!({ "filters": { "country": "Chad" } })).await;
    let to_null = r#"UPDATE dashboard_shares SET locked = '{"country": null}' WHERE locked = '{"country": "Chad"}'"#;
    app.behind_its_back(to_null).await;
    assert_eq!(shared(&app, &nothing, "").await.error(), (404, "not_found"));
    // Without its filter it would show more: it shows nothing.
    let change = json!({ "filters": [], "widgets": [widget("table", &query, (0, 0, 6, 4))] });
    assert_eq!(ann.patch(&path, change).await.status, 200);
    assert_eq!(shared(&app, &locked, "").await.error(), (404, "not_found"));
    assert_eq!(shared(&app, &closed, "").await.status, 200);
}

#[actix_web::test]
async fn answers_are_as_old_as_a_dashboard_allows() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ann").await;
    let connection = ann.connect("Shop", &target).await;
    let count = query(&ann, &connection, "SELECT count(*) AS orders FROM orders").await;
    let widgets = json!([widget("metric", &count, (0, 0, 6, 4))]);
    let made =
        make(&ann, json!({ "name": "Shop", "widgets": widgets, "refresh_seconds": 60 })).await;
    let path = format!("/v1/dashboards/{}", id(&made));
    let data = async |path: &str| {
        let answer = ann.get(path).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.body["data"]["widgets"][0]["data"].clone()
    };
    assert_eq!(data(&path).await["cached_at"], Value::Null);
    let (client, driver) =
        tokio_postgres::connect(&target.url(), tokio_postgres::NoTls).await.unwrap();
    actix_web::rt::spawn(driver);
    client.batch_execute("INSERT INTO orders VALUES (9, 'Mali', '2026-01-04', 4)").await.unwrap();
    let kept = data(&path).await;
    assert_eq!((&kept["rows"], kept["cached_at"].is_string()), (&json!([[4]]), true), "{kept}");
    let fresh = data(&format!("{path}?max_age=0")).await;
    assert_eq!((&fresh["rows"], &fresh["cached_at"]), (&json!([[5]]), &Value::Null));
    app.clock.advance(jiff::SignedDuration::from_secs(61));
    client.batch_execute("INSERT INTO orders VALUES (10, 'Mali', '2026-01-04', 4)").await.unwrap();
    assert_eq!(data(&path).await["rows"], json!([[6]]));
}
