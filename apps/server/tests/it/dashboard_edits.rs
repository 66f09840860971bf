use serde_json::{Value, json};

use crate::app::{Answer, Person, TestApp};
use crate::dashboards::{BY_COUNTRY, id, make, shared, shop, widget};

/// A saved query with these fields beside its name.
async fn saved(person: &Person, connection: &str, more: Value) -> String {
    let mut body = json!({ "name": "Saved", "connection_id": connection, "sql": BY_COUNTRY });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let saved = person.post("/v1/queries/save", body).await;
    assert_eq!(saved.status, 201, "{}", saved.text);
    saved.body["data"]["query_id"].as_str().unwrap().to_owned()
}

fn assert_faults(refused: &Answer, pointers: &[&str]) {
    assert_eq!(refused.error(), (422, "validation_error"), "{}", refused.text);
    let fields = refused.body["error"]["details"]["fields"].as_object().unwrap();
    let mut found: Vec<_> = fields.keys().map(String::as_str).collect();
    found.sort_unstable();
    assert_eq!(found, pointers, "{}", refused.text);
}

#[actix_web::test]
async fn a_query_that_somebody_does_not_see_keeps_them_from_changing_its_widget_only() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ann").await;
    let connection = ann.connect("Shop", &target).await;
    let (editor, _) = app.member(&ann, "ed@example.com", "editor").await;
    let land = json!([{ "name": "land", "type": "text", "required": false }]);
    let sql = "SELECT id, total FROM orders WHERE {{ land }} IS NULL OR country = {{ land }}";
    let private = json!({ "visibility": "private", "sql": sql, "parameters": land });
    let secret = saved(&editor, &connection, private).await;
    let gone = saved(&ann, &connection, json!({})).await;
    let mut table = widget("table", &secret, (0, 0, 6, 4));
    table["filters"] = json!({ "land": "country" });
    let body = json!({
        "name": "Shop",
        "widgets": [table, widget("bar", &gone, (6, 0, 6, 4))],
        "filters": [{ "name": "country", "default": "Chad", "options": ["Chad", "Mali"] }],
    });
    let made = make(&editor, body).await;
    let path = format!("/v1/dashboards/{}", id(&made));
    let owner = made["widgets"][0]["owner_id"].clone();
    assert_eq!(ann.delete(&format!("/v1/queries/{gone}")).await.status, 204);

    // What is gone says so in words; through a link nobody is told why.
    let looked = ann.get(&path).await;
    let error = &looked.body["data"]["widgets"][1]["data"]["error"];
    assert_eq!(
        (&error["code"], &error["details"]["reason"]),
        (&json!("not_found"), &json!("query_gone"))
    );
    assert!(error["message"].as_str().unwrap().contains("was deleted"), "{error}");
    let link = editor.post(&format!("{path}/shares"), json!({ "kind": "link" })).await;
    let token = link.body["data"]["token"].as_str().unwrap();
    let seen = shared(&app, token, "").await;
    let error = &seen.body["data"]["widgets"][1]["data"]["error"];
    assert_eq!(error["message"], "this cannot be shown now", "{error}");
    assert_eq!(error["details"], Value::Null, "{error}");

    // As it was read, but for where it stands; by whoever it runs as, and by somebody else.
    let mut moved = made["widgets"].clone();
    moved[0]["title"] = json!("Orders");
    moved[1]["position"]["h"] = json!(2);
    for person in [&editor, &ann] {
        let changed = person.patch(&path, json!({ "widgets": moved, "name": "Moved" })).await;
        assert_eq!(changed.status, 200, "{}", changed.text);
        let widgets = &changed.body["data"]["widgets"];
        assert_eq!((&widgets[0]["owner_id"], &widgets[1]["owner_id"]), (&owner, &owner));
        assert_eq!(widgets[0]["title"], "Orders");
    }
    // What asks something else has to ask what one sees. All of it is told at once.
    let mut turned = moved.clone();
    for widget in turned.as_array_mut().unwrap() {
        widget["max_age_seconds"] = json!(60);
        widget["type"] = json!("table");
        widget["options"] = json!({ "columns": ["total"] });
        widget.as_object_mut().unwrap().remove("owner_id");
    }
    let refused = ann.patch(&path, json!({ "widgets": turned })).await;
    assert_faults(&refused, &["/widgets/0/query_id", "/widgets/1/query_id"]);
    let filters = json!([{ "name": "country", "options": ["Chad", "Mali", "Peru"] }]);
    let refused = ann.patch(&path, json!({ "filters": filters })).await;
    assert_faults(&refused, &["/widgets/0/query_id"]);
    let changed = editor.patch(&path, json!({ "filters": filters })).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
}

#[actix_web::test]
async fn values_that_a_query_does_not_take_are_refused_when_they_are_saved() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ann").await;
    let connection = ann.connect("Shop", &target).await;
    let sql = "SELECT id, country FROM orders WHERE day >= {{ since }} AND country = {{ land }}";
    let parameters = json!([
        { "name": "since", "type": "date", "required": true },
        { "name": "land", "type": "text", "required": true },
    ]);
    let query = saved(&ann, &connection, json!({ "sql": sql, "parameters": parameters })).await;
    let board = |values: Value, filters: Value| {
        let mut table = widget("table", &query, (0, 0, 6, 4));
        table["parameters"] = values;
        if !filters[0]["name"].is_null() {
            table["filters"] = json!({ "since": "since" });
        }
        json!({ "name": "Shop", "widgets": [table], "filters": filters })
    };
    for (values, pointer) in [
        (json!({ "since": "2026-01-01", "land": "a\0b" }), "/widgets/0/parameters/land"),
        (json!({ "since": "yesterday", "land": "Chad" }), "/widgets/0/parameters/since"),
        (json!({ "since": null, "land": "Chad" }), "/widgets/0/parameters/since"),
    ] {
        let refused = ann.post("/v1/dashboards", board(values, json!([]))).await;
        assert_faults(&refused, &[pointer]);
    }
    let since = |default: &str, options: Value| json!([{ "name": "since", "default": default, "options": options }]);
    let chad = json!({ "land": "Chad" });
    for (filters, pointer) in [
        (since("yesterday", json!([])), "/filters/0/default"),
        (since("2026-01-02", json!(["2026-01-02", "tomorrow"])), "/filters/0/options"),
        (since("2026-01-02", json!(["2026-01-02", null])), "/filters/0/options"),
    ] {
        let refused = ann.post("/v1/dashboards", board(chad.clone(), filters)).await;
        assert_faults(&refused, &[pointer]);
    }
    let made = make(&ann, board(chad, since("2026-01-02", json!(["2026-01-02"])))).await;
    let path = format!("/v1/dashboards/{}", id(&made));
    let looked = ann.get(&path).await;
    assert_eq!(looked.body["data"]["widgets"][0]["data"]["rows"], json!([[3, "Chad"]]));
    let filters = since("2026-01-02", json!(["2026-01-02", "tomorrow"]));
    let refused = ann.patch(&path, json!({ "filters": filters })).await;
    assert_faults(&refused, &["/filters/0/options"]);
}

#[actix_web::test]
async fn no_widget_is_too_large_to_be_kept_for_whoever_looks_next() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ann").await;
    let connection = ann.connect("Shop", &target).await;
    // 64 rows of 100,000 characters.
    let sql = "SELECT repeat('x', 100000) AS text FROM orders a, orders b, orders c";
    let large = saved(&ann, &connection, json!({ "sql": sql })).await;
    let widgets = json!([widget("table", &large, (0, 0, 6, 4))]);
    let made = make(&ann, json!({ "name": "Shop", "widgets": widgets })).await;
    let path = format!("/v1/dashboards/{}", id(&made));
    let link = ann.post(&format!("{path}/shares"), json!({ "kind": "link" })).await;
    let token = link.body["data"]["token"].as_str().unwrap();
    let look = async || {
        let seen = shared(&app, token, "").await;
        assert_eq!(seen.status, 200);
        seen.body["data"]["widgets"][0]["data"].clone()
    };
    let (first, second) = (look().await, look().await);
    assert_eq!((&first["truncated"], &first["cached_at"]), (&json!(true), &Value::Null));
    let rows = first["row_count"].as_u64().unwrap();
    assert!((30..64).contains(&rows), "{rows}");
    assert_eq!(second["row_count"], first["row_count"]);
    assert!(second["cached_at"].is_string(), "it was not run again");
}
