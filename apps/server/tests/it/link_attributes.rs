use jiff::SignedDuration;
use plinth_testdb::TestDatabase;
use serde_json::{Value, json};

use crate::app::{Answer, Person, TestApp, send};
use crate::dashboards::{BY_COUNTRY, id, make, query, shared, widget};

/// Orders and visits of three countries, a view over each, and a table that has none.
async fn shop() -> TestDatabase {
    let script = "
        CREATE TABLE orders (id int PRIMARY KEY, country text, total numeric);
        CREATE TABLE visits (id int PRIMARY KEY, land text, team text);
        CREATE TABLE rates (currency text, rate numeric);
        CREATE VIEW order_list AS SELECT id, country FROM orders;
        INSERT INTO orders VALUES (1, 'Chad', 12.5), (2, 'Mali', 30), (3, 'Chad', 7), (4, 'Peru', 1);
        INSERT INTO visits VALUES (1, 'Chad', 'red'), (2, 'Chad', 'blue'), (3, 'Mali', 'red');
        INSERT INTO rates VALUES ('EUR', 1);
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO plinth_test_owner;
    ";
    TestDatabase::from_sql(script).await.unwrap()
}

async fn policy(who: &Person, connection: &str, body: Value) -> String {
    let made = who.post(&format!("/v1/connections/{connection}/policies"), body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.body["data"]["id"].as_str().unwrap().to_owned()
}

/// Viewers see their country; nobody else is bound.
async fn own_country(who: &Person, connection: &str, table: &str, rows: &str) -> String {
    let body = json!({ "name": format!("Own {table}"), "table": table, "roles": ["viewer"], "rows": rows });
    policy(who, connection, body).await
}

async fn attributes(who: &Person, member: &str, attributes: Value) {
    let path = format!("/v1/team/members/{member}/attributes");
    let put = send(who.request("PUT", &path).json(&json!({ "attributes": attributes }))).await;
    assert_eq!(put.status, 200, "{}", put.text);
}

async fn link(who: &Person, dashboard: &Value, attributes: Value) -> Answer {
    let path = format!("/v1/dashboards/{}/shares", id(dashboard));
    who.post(&path, json!({ "kind": "embed", "attributes": attributes })).await
}

fn token(answer: &Answer) -> String {
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.body["data"]["token"].as_str().unwrap().to_owned()
}

fn chad() -> Value {
    json!({ "country": { "type": "text", "value": "Chad" } })
}

/// What a widget shows: its rows, or why it shows none.
async fn seen(app: &TestApp, token: &str, widget: usize) -> Value {
    // Answers of links may be half a minute old.
    app.clock.advance(SignedDuration::from_secs(31));
    let answer = shared(app, token, "").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let data = &answer.body["data"]["widgets"][widget]["data"];
    match &data["error"] {
        Value::Null => data["rows"].clone(),
        error => json!({ "reason": error["details"]["reason"], "code": error["code"] }),
    }
}

fn withheld() -> Value {
    json!({ "reason": "withheld", "code": "authorization_error" })
}

#[actix_web::test]
async fn a_link_asks_policies_with_its_attributes_and_never_shows_more() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ann").await;
    let connection = ann.connect("Shop", &target).await;
    let rule = own_country(&ann, &connection, "public.orders", "country = {{user.country}}").await;
    let orders = query(&ann, &connection, BY_COUNTRY).await;
    let rates = query(&ann, &connection, "SELECT currency FROM rates").await;
    let widgets =
        json!([widget("bar", &orders, (0, 0, 6, 4)), widget("table", &rates, (6, 0, 6, 4))]);
    let board = make(&ann, json!({ "name": "Shop", "widgets": widgets })).await;
    let path = format!("/v1/dashboards/{}", id(&board));

    // Nobody is bound by it who could look; the link is.
    let made = link(&ann, &board, chad()).await;
    assert_eq!(made.body["data"]["attributes"], chad());
    let of_chad = token(&made);
    assert_eq!(seen(&app, &of_chad, 0).await, json!([["Chad", 19.5]]));
    assert_eq!(seen(&app, &of_chad, 1).await, json!([["EUR"]]), "no policy reads it here");
    let all = ann.get(&path).await;
    assert_eq!(all.body["data"]["widgets"][0]["data"]["row_count"], 3, "{}", all.text);
    let plain = token(&ann.post(&format!("{path}/shares"), json!({ "kind": "link" })).await);
    assert_eq!(seen(&app, &plain, 0).await.as_array().unwrap().len(), 3, "a link without");
    let mali = json!({ "country": { "type": "text", "value": "Mali' OR 'a' = 'a" } });
    let of_nobody = token(&link(&ann, &board, mali).await);
    assert_eq!(seen(&app, &of_nobody, 0).await, json!([]), "a value is bound, whatever it holds");

    // What would hide nothing is refused, as is what is no attribute.
    for (wrong, field) in [
        (json!({ "land": { "type": "text", "value": "Chad" } }), "attributes.land"),
        (json!({ "role": { "type": "text", "value": "owner" } }), "attributes"),
        (json!({ "country": { "type": "integer", "value": "Chad" } }), "attributes"),
    ] {
        let refused = link(&ann, &board, wrong).await;
        assert_eq!(refused.status, 422, "{}", refused.text);
        assert!(refused.body["error"]["details"][field].is_string(), "{}", refused.text);
    }
    // One of another type than the policy needs: nothing, and not everything.
    let number = json!({ "country": { "type": "integer", "value": 1 } });
    let of_number = token(&link(&ann, &board, number).await);
    assert_eq!(seen(&app, &of_number, 0).await["code"], "authorization_error");

    // Nobody with the link chooses.
    let asked = shared(&app, &of_chad, "?attributes=%7B%7D").await;
    assert!(asked.status == 422 || asked.status == 400, "{}", asked.text);

    // Another query in the widget's place, or a widget that was not there: only if the attribute reaches it.
    let sums = query(&ann, &connection, "SELECT sum(total) AS sum FROM orders").await;
    let others = query(&ann, &connection, "SELECT count(*) AS visits FROM visits").await;
    let mut changed = board["widgets"].clone();
    for (at, query) in [(0, &sums), (1, &others)] {
        changed[at] = json!({ "id": board["widgets"][at]["id"], "type": "metric", "query_id": query,
            "title": "Secret title", "position": board["widgets"][at]["position"] });
    }
    let patched = ann.patch(&path, json!({ "widgets": changed })).await;
    assert_eq!(patched.status, 200, "{}", patched.text);
    assert_eq!(seen(&app, &of_chad, 0).await, json!([[19.5]]));
    assert_eq!(seen(&app, &of_chad, 1).await, withheld());
    let shown = shared(&app, &of_chad, "").await.body["data"]["widgets"].clone();
    assert_eq!((&shown[0]["title"], &shown[1]["title"]), (&json!("Secret title"), &json!("")));

    // The policy goes: what it hid stays hidden.
    let rule = format!("/v1/connections/{connection}/policies/{rule}");
    let off = ann.patch(&rule, json!({ "active": false })).await;
    assert_eq!(off.status, 200, "{}", off.text);
    assert_eq!(seen(&app, &of_chad, 0).await, withheld());
    assert!(!shared(&app, &of_chad, "/image.svg").await.text.contains("50.5"));
    assert_eq!(
        ann.patch(&rule, json!({ "active": true, "rows": "country <> 'Chad'" })).await.status,
        200
    );
    assert_eq!(seen(&app, &of_chad, 0).await, withheld(), "it reads the attribute no more");
}

#[actix_web::test]
async fn a_links_attributes_come_on_top_of_what_binds_whoever_a_widget_runs_as() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ann").await;
    let (editor, member) = app.member(&ann, "ed@example.com", "editor").await;
    let connection = ann.connect("Shop", &target).await;
    let body = json!({ "name": "Own", "table": "public.orders", "roles": ["editor"],
        "rows": "country = {{user.country}}" });
    policy(&ann, &connection, body).await;
    attributes(
        &ann,
        &member,
        json!({ "country": { "type": "text", "value": "Mali" },
        "team": { "type": "text", "value": "red" } }),
    )
    .await;
    app.clock.advance(SignedDuration::from_secs(2));
    let theirs = query(&editor, &connection, BY_COUNTRY).await;
    let board = make(
        &editor,
        json!({ "name": "Theirs", "widgets": [widget("bar", &theirs, (0, 0, 6, 4))] }),
    )
    .await;
    let own = token(
        &link(&editor, &board, json!({ "country": { "type": "text", "value": "Mali" } })).await,
    );
    assert_eq!(seen(&app, &own, 0).await, json!([["Mali", 30]]));
    // To say another country than one's own does not show it: rows have to satisfy both.
    let other = token(&link(&editor, &board, chad()).await);
    assert_eq!(seen(&app, &other, 0).await, json!([]));

    // A policy of its own opens a view to those whom it binds. To the editor it stays closed, and through a link too.
    let list =
        own_country(&ann, &connection, "public.order_list", "country = {{user.country}}").await;
    app.clock.advance(SignedDuration::from_secs(2));
    let closed = editor.sql(&connection, "SELECT country FROM order_list").await;
    assert_eq!(closed.error(), (403, "authorization_error"), "{}", closed.text);
    let anns = query(&ann, &connection, "SELECT country FROM order_list").await;
    let view = widget("table", &anns, (0, 4, 6, 4));
    let widgets = json!([board["widgets"][0], view]);
    let mut kept = widgets;
    kept[0] = json!({ "id": board["widgets"][0]["id"], "type": "bar", "query_id": theirs, "position": board["widgets"][0]["position"] });
    let patched =
        editor.patch(&format!("/v1/dashboards/{}", id(&board)), json!({ "widgets": kept })).await;
    assert_eq!(patched.status, 200, "{}", patched.text);
    let again = token(
        &link(&editor, &board, json!({ "country": { "type": "text", "value": "Mali" } })).await,
    );
    assert_eq!(seen(&app, &again, 0).await, json!([["Mali", 30]]));
    assert_eq!(
        seen(&app, &again, 1).await["code"],
        "authorization_error",
        "what its owner may not see"
    );
    let gone = ann.delete(&format!("/v1/connections/{connection}/policies/{list}")).await;
    assert_eq!(gone.status, 204, "{}", gone.text);

    // A policy that reads two attributes gets the other from whoever made the link.
    own_country(
        &ann,
        &connection,
        "public.visits",
        "land = {{user.country}} AND team = {{user.team}}",
    )
    .await;
    app.clock.advance(SignedDuration::from_secs(2));
    let visits = query(&ann, &connection, "SELECT id FROM visits ORDER BY id").await;
    let both = make(
        &ann,
        json!({ "name": "Visits", "widgets": [widget("table", &visits, (0, 0, 6, 4))] }),
    )
    .await;
    let by_editor = token(&link(&editor, &both, chad()).await);
    assert_eq!(seen(&app, &by_editor, 0).await, json!([[1]]));
    let by_ann = link(&ann, &both, chad()).await;
    assert_eq!(
        seen(&app, &token(&by_ann), 0).await["code"],
        "authorization_error",
        "Ann has no team"
    );
    let full = json!({ "country": { "type": "text", "value": "Chad" }, "team": { "type": "text", "value": "blue" } });
    assert_eq!(seen(&app, &token(&link(&ann, &both, full).await), 0).await, json!([[2]]));

    // Another organization has neither the dashboard nor the link.
    let bob = app.owner_of("Bob").await;
    assert_eq!(link(&bob, &both, chad()).await.status, 404);
    assert_eq!(editor.get(&format!("/v1/dashboards/{}/shares", id(&both))).await.status, 200);
    assert_eq!(bob.get(&format!("/v1/dashboards/{}/shares", id(&both))).await.status, 404);
}
