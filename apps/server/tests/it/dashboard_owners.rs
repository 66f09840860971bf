use serde_json::{Value, json};

use crate::app::{Answer, Person, TestApp};
use crate::dashboards::{BY_COUNTRY, filtered, id, make, query, shared, shop, widget};

async fn saved(person: &Person, connection: &str, sql: &str) -> String {
    let body = json!({ "name": "Saved", "connection_id": connection, "sql": sql });
    let saved = person.post("/v1/queries/save", body).await;
    assert_eq!(saved.status, 201, "{}", saved.text);
    saved.body["data"]["query_id"].as_str().unwrap().to_owned()
}

/// From these roles all but Chad is hidden.
async fn chad_only(owner: &Person, connection: &str, roles: &[&str]) {
    let policy = json!({
        "name": "Chad only", "table": "public.orders", "roles": roles, "rows": "country = 'Chad'",
    });
    let ruled = owner.post(&format!("/v1/connections/{connection}/policies"), policy).await;
    assert_eq!(ruled.status, 201, "{}", ruled.text);
}

fn data(answer: &Answer) -> &Value {
    assert_eq!(answer.status, 200, "{}", answer.text);
    &answer.body["data"]["widgets"][0]["data"]
}

async fn user(person: &Person) -> String {
    person.get("/v1/me").await.body["data"]["user"]["id"].as_str().unwrap().to_owned()
}

#[actix_web::test]
async fn a_widget_shows_what_its_owner_sees_whoever_looks() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ann").await;
    let connection = ann.connect("Shop", &target).await;
    let bars = query(&ann, &connection, BY_COUNTRY).await;
    let widgets = json!([widget("bar", &bars, (0, 0, 6, 4))]);
    let made = make(&ann, json!({ "name": "Shop", "widgets": widgets })).await;
    let path = format!("/v1/dashboards/{}", id(&made));
    chad_only(&ann, &connection, &["viewer", "editor"]).await;
    let (viewer, _) = app.member(&ann, "vi@example.com", "viewer").await;
    let (editor, _) = app.member(&ann, "ed@example.com", "editor").await;
    assert_eq!(made["widgets"][0]["owner_id"], json!(user(&ann).await));

    // What Ann put there is Ann's, for whoever may look; what they ask themselves is theirs.
    let seen = viewer.get(&path).await;
    assert_eq!((&data(&seen)["row_count"], &data(&seen)["restricted"]), (&json!(3), &json!([])));
    let own = viewer.post(&format!("/v1/queries/{bars}/run"), json!({})).await;
    assert_eq!(own.rows(), &json!([["Chad", 19.5]]));
    app.services.queries.flush_history().await.unwrap();
    let entries = ann.get("/v1/audit?action=query.run&limit=100").await;
    let entries = entries.body["data"].as_array().unwrap();
    let shown = user(&viewer).await;
    let entry = entries.iter().find(|it| it["details"]["shown_to"] == json!(shown));
    assert!(entry.is_some(), "it stands in the trail who looked: {entries:?}");

    // What an editor puts there is the editor's, for everybody.
    let theirs = query(&editor, &connection, BY_COUNTRY).await;
    let widgets = json!([widget("bar", &theirs, (0, 0, 6, 4))]);
    let other = make(&editor, json!({ "name": "Theirs", "widgets": widgets })).await;
    let seen = ann.get(&format!("/v1/dashboards/{}", id(&other))).await;
    assert_eq!(data(&seen)["rows"], json!([["Chad", 19.5]]));
    assert_eq!(data(&seen)["restricted"], json!(["public.orders"]));

    // A link shows the same as the dashboard, as long as its maker may look.
    let link = editor.post(&format!("{path}/shares"), json!({ "kind": "link" })).await;
    let token = link.body["data"]["token"].as_str().unwrap();
    assert_eq!(data(&shared(&app, token, "").await)["row_count"], 3);

    let bob = app.owner_of("Bob").await;
    assert_eq!(bob.get(&path).await.status, 404);
}

#[actix_web::test]
async fn nobody_lets_anothers_widget_show_what_they_may_not_see() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ann").await;
    let connection = ann.connect("Shop", &target).await;
    let sql = "SELECT country, sum(total) AS total FROM orders GROUP BY country ORDER BY country";
    let bars = saved(&ann, &connection, sql).await;
    let widgets = json!([widget("bar", &bars, (0, 0, 6, 4))]);
    let made = make(&ann, json!({ "name": "Shop", "widgets": widgets })).await;
    let path = format!("/v1/dashboards/{}", id(&made));
    let (editor, _) = app.member(&ann, "ed@example.com", "editor").await;
    let (them, me) = (user(&editor).await, user(&ann).await);
    let rows = async |person: &Person| data(&person.get(&path).await)["rows"].clone();
    let put = async |person: &Person, change: Value| {
        let mut widget = made["widgets"][0].clone();
        widget.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let answer = person.patch(&path, json!({ "widgets": [widget] })).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.body["data"]["widgets"][0]["owner_id"].as_str().unwrap().to_owned()
    };

    // As long as nothing is hidden from anybody, what is saved is what runs.
    let edit = async |person: &Person, sql: &str| {
        let changed = person.patch(&format!("/v1/queries/{bars}"), json!({ "sql": sql })).await;
        assert_eq!(changed.status, 200, "{}", changed.text);
    };
    edit(&editor, &format!("{sql} LIMIT 2")).await;
    assert_eq!(rows(&ann).await.as_array().unwrap().len(), 2);

    // From then on the editor's statement does not run as Ann.
    chad_only(&ann, &connection, &["editor"]).await;
    app.clock.advance(jiff::SignedDuration::from_secs(2));
    edit(&editor, "SELECT id, country FROM orders ORDER BY id").await;
    for person in [&ann, &editor] {
        let seen = person.get(&path).await;
        assert_eq!(data(&seen)["columns"], json!(["country", "total"]), "{}", seen.text);
        let versions = (&data(&seen)["query_version"], &data(&seen)["newest_query_version"]);
        assert_eq!(versions, (&json!(1), &json!(3)));
    }
    // Ann looks at it and stands for it.
    assert_eq!(put(&ann, json!({ "query_version": 3, "type": "table" })).await, me);
    assert_eq!(data(&ann.get(&path).await)["columns"], json!(["id", "country"]));
    let beyond = json!([{ "type": "bar", "query_id": bars, "query_version": 4, "position": made["widgets"][0]["position"] }]);
    let beyond = ann.patch(&path, json!({ "widgets": beyond })).await;
    assert_eq!(beyond.error(), (422, "validation_error"), "{}", beyond.text);
    edit(&ann, sql).await;

    // To move it, to name it and to keep it longer is nothing that anybody sees more by.
    assert_eq!(put(&ann, json!({ "query_version": 4 })).await, me);
    let moved = json!({
        "query_version": 4, "title": "Moved", "max_age_seconds": 0, "position": { "x": 1, "y": 1, "w": 6, "h": 4 },
    });
    assert_eq!(put(&editor, moved).await, me);
    assert_eq!(rows(&editor).await.as_array().unwrap().len(), 3);
    // To ask something else is.
    for change in [
        json!({ "query_version": 4, "type": "table" }),
        json!({ "query_version": 4, "options": { "horizontal": true } }),
        json!({ "query_version": 1 }),
        json!({ "query_version": 4, "owner_id": them }),
    ] {
        assert_eq!(put(&ann, json!({ "query_version": 4, "owner_id": me })).await, me);
        assert_eq!(put(&editor, change.clone()).await, them, "{change}");
        assert_eq!(rows(&ann).await, json!([["Chad", 19.5]]), "{change}");
    }
    // Nobody lets it run as somebody else.
    let mut hers = made["widgets"][0].clone();
    hers["owner_id"] = json!(me);
    let refused = editor.patch(&path, json!({ "widgets": [hers] })).await;
    assert_eq!(refused.error(), (422, "validation_error"), "{}", refused.text);
    assert!(refused.body["error"]["details"]["fields"]["/widgets/0/owner_id"].is_string());
}

#[actix_web::test]
async fn who_changes_what_a_filter_lets_through_is_whom_it_runs_as() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ann").await;
    let connection = ann.connect("Shop", &target).await;
    let orders = crate::dashboards::by_land(&ann, &connection).await;
    let made = make(&ann, filtered(&orders)).await;
    let path = format!("/v1/dashboards/{}", id(&made));
    let (editor, _) = app.member(&ann, "ed@example.com", "editor").await;
    let owner = async |filters: Value| {
        let changed = editor.patch(&path, json!({ "filters": filters })).await;
        assert_eq!(changed.status, 200, "{}", changed.text);
        changed.body["data"]["widgets"][0]["owner_id"].as_str().unwrap().to_owned()
    };
    let mut filters = made["filters"].clone();
    filters[0]["label"] = json!("Where");
    assert_eq!(owner(filters.clone()).await, user(&ann).await);
    filters[0]["options"] = json!(["Chad", "Mali", "<b>Peru</b>"]);
    assert_eq!(owner(filters).await, user(&editor).await);
}

#[actix_web::test]
async fn a_widget_whose_owner_left_waits_for_another() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ann").await;
    let connection = ann.connect("Shop", &target).await;
    let (admin, member) = app.member(&ann, "ad@example.com", "admin").await;
    let bars = query(&admin, &connection, BY_COUNTRY).await;
    let widgets = json!([widget("bar", &bars, (0, 0, 6, 4))]);
    let made = make(&admin, json!({ "name": "Shop", "widgets": widgets })).await;
    let path = format!("/v1/dashboards/{}", id(&made));
    assert_eq!(data(&ann.get(&path).await)["status"], "ok");
    let link = ann.post(&format!("{path}/shares"), json!({ "kind": "link" })).await;
    let token = link.body["data"]["token"].as_str().unwrap();

    // May look, and ask nothing any more.
    let role = json!({ "name": "Onlooker", "scopes": ["dashboards:read"] });
    let role = ann.post("/v1/roles", role).await;
    assert_eq!(role.status, 201, "{}", role.text);
    let change = json!({ "role": role.body["data"]["id"] });
    let changed = ann.patch(&format!("/v1/team/members/{member}"), change).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(data(&ann.get(&path).await)["error"]["details"]["reason"], "owner_may_not");

    assert_eq!(ann.delete(&format!("/v1/team/members/{member}")).await.status, 204);
    let seen = ann.get(&path).await;
    assert_eq!(data(&seen)["error"]["code"], "conflict");
    assert_eq!(data(&seen)["error"]["details"]["reason"], "owner_gone");
    // Who manages the organization is told, once.
    ann.get(&path).await;
    let letters = app.letters().await;
    let told = letters.iter().filter(|it| it["letter"]["kind"] == "widgets_paused");
    let told: Vec<_> = told.collect();
    assert_eq!((told.len(), &told[0]["letter"]["dashboard"]), (1, &json!("Shop")), "{letters:?}");
    let public = shared(&app, token, "").await;
    assert_eq!(data(&public)["error"]["message"], "this cannot be shown now");
    assert!(ann.get(&format!("{path}/image.svg")).await.text.contains("has left"));

    let mut mine = made["widgets"][0].clone();
    mine["owner_id"] = json!(user(&ann).await);
    assert_eq!(ann.patch(&path, json!({ "widgets": [mine] })).await.status, 200);
    assert_eq!(data(&ann.get(&path).await)["row_count"], 3);
    assert_eq!(data(&shared(&app, token, "").await)["row_count"], 3);
}
