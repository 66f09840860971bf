use serde_json::{Value, json};

use crate::app::{Answer, Person, TestApp, send};
use crate::dashboards::{BY_COUNTRY, by_land, filtered, id, make, query, shared, shop, widget};

/// The token of a new link.
async fn link(person: &Person, path: &str, body: Value) -> String {
    let made = person.post(&format!("{path}/shares"), body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.body["data"]["token"].as_str().unwrap().to_owned()
}

fn data(answer: &Answer, at: usize) -> &Value {
    assert_eq!(answer.status, 200, "{}", answer.text);
    &answer.body["data"]["widgets"][at]["data"]
}

/// The widgets without whom they run as: whoever changes what one asks becomes that.
fn unowned(widgets: &Value) -> Value {
    let mut widgets = widgets.clone();
    for it in widgets.as_array_mut().unwrap() {
        it.as_object_mut().unwrap().remove("owner_id");
    }
    widgets
}

fn assert_withheld(answer: &Answer, at: usize) {
    let data = data(answer, at);
    assert_eq!(data["status"], "error", "{data}");
    assert_eq!(data["error"]["details"]["reason"], "withheld", "{data}");
    assert_eq!((&data["rows"], &data["columns"]), (&json!([]), &json!([])));
    assert_eq!(answer.body["data"]["widgets"][at]["title"], "");
}

#[actix_web::test]
async fn a_link_never_shows_more_than_its_locked_values_let_through() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ann").await;
    let connection = ann.connect("Shop", &target).await;
    let (orders, bars) =
        (by_land(&ann, &connection).await, query(&ann, &connection, BY_COUNTRY).await);
    let mut body = filtered(&orders);
    let widgets = body["widgets"].as_array_mut().unwrap();
    widgets[0]["title"] = json!("Orders");
    widgets.push(widget("bar", &bars, (6, 0, 6, 4)));
    let made = make(&ann, body).await;
    let path = format!("/v1/dashboards/{}", id(&made));
    let embed =
        link(&ann, &path, json!({ "kind": "embed", "filters": { "country": "Mali" } })).await;
    let plain = link(&ann, &path, json!({ "kind": "link" })).await;
    let before = shared(&app, &embed, "").await;
    assert_eq!(data(&before, 0)["rows"], json!([[2, 30]]));
    assert_eq!(data(&before, 1)["row_count"], 3, "made to be shown, and takes no filter");

    // An editor takes the value's way to the widget away, and puts another widget beside it.
    let (editor, _) = app.member(&ann, "ed@example.com", "editor").await;
    let mut loose = made["widgets"].clone();
    loose[0]["filters"] = json!({});
    loose[0]["title"] = json!("All orders, and who bought them");
    let mut new = widget("table", &bars, (0, 4, 6, 4));
    new["title"] = json!("New");
    loose.as_array_mut().unwrap().push(new);
    assert_eq!(editor.patch(&path, json!({ "widgets": loose })).await.status, 200);
    let after = shared(&app, &embed, "").await;
    assert_withheld(&after, 0);
    assert_eq!(data(&after, 1)["row_count"], 3);
    assert_withheld(&after, 2);
    assert!(!after.text.contains("who bought") && !after.text.contains("New"), "{}", after.text);
    let whole = shared(&app, &embed, "/image.svg").await;
    let one = format!("/widgets/{}/image.svg", id(&made["widgets"][0]));
    let one = shared(&app, &embed, &one).await;
    for drawn in [&whole, &one] {
        assert_eq!(drawn.status, 200, "{}", drawn.text);
        assert!(drawn.text.contains("a value that it locks"), "{}", drawn.text);
        assert!(!drawn.text.contains("who bought"));
    }
    // What locks nothing shows the dashboard as it is now.
    let all = shared(&app, &plain, "").await;
    assert_eq!((&data(&all, 0)["row_count"], &data(&all, 2)["row_count"]), (&json!(4), &json!(3)));

    // Another query in its place is another widget, until every locked value reaches it.
    let other = by_land(&ann, &connection).await;
    let mut turned = unowned(&made["widgets"]);
    turned[0]["query_id"] = json!(other);
    turned[1]["query_id"] = json!(other);
    turned[1]["type"] = json!("table");
    let changed = editor.patch(&path, json!({ "widgets": turned })).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let after = shared(&app, &embed, "").await;
    assert_eq!(data(&after, 0)["rows"], json!([[2, 30]]));
    assert_withheld(&after, 1);

    // As it was, it shows what it did.
    let before = json!({ "widgets": unowned(&made["widgets"]) });
    assert_eq!(editor.patch(&path, before).await.status, 200);
    assert_eq!(data(&shared(&app, &embed, "").await, 0)["rows"], json!([[2, 30]]));
    // A value that the filter has no more locks nothing: nothing is shown.
    let filters = json!([{ "name": "country", "options": ["Chad"] }]);
    assert_eq!(editor.patch(&path, json!({ "filters": filters })).await.status, 200);
    let dead = shared(&app, &embed, "").await;
    assert_eq!(dead.error(), (404, "not_found"), "{}", dead.text);

    // A link of which nobody noted what it reaches shows what all of its values reach.
    assert_eq!(editor.patch(&path, json!({ "filters": made["filters"] })).await.status, 200);
    app.behind_its_back("UPDATE dashboard_shares SET reach = NULL").await;
    let old = shared(&app, &embed, "").await;
    assert_eq!(data(&old, 0)["rows"], json!([[2, 30]]));
    assert_withheld(&old, 1);
}

#[actix_web::test]
async fn who_looks_through_links_too_often_is_asked_to_wait() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ann").await;
    let connection = ann.connect("Shop", &target).await;
    let bars = query(&ann, &connection, BY_COUNTRY).await;
    let widgets = json!([widget("bar", &bars, (0, 0, 6, 4))]);
    let made = make(&ann, json!({ "name": "Shop", "widgets": widgets })).await;
    let path = format!("/v1/dashboards/{}", id(&made));
    let token = link(&ann, &path, json!({ "kind": "link" })).await;
    assert_eq!(shared(&app, &token, "").await.status, 200);
    // Trying tokens counts too.
    for at in 0..299 {
        assert_eq!(shared(&app, &format!("none{at}"), "").await.status, 404);
    }
    for more in ["", "/image.svg"] {
        let busy = shared(&app, &token, more).await;
        assert_eq!(busy.error(), (429, "rate_limit_exceeded"), "{}", busy.text);
        assert_eq!(busy.headers["retry-after"], "1");
    }
    // Whoever has a key is counted by it.
    assert_eq!(ann.get(&path).await.status, 200);
    app.clock.advance(jiff::SignedDuration::from_mins(1));
    assert_eq!(shared(&app, &token, "").await.status, 200);

    // One link, whoever looks through it; another is another.
    let other = link(&ann, &path, json!({ "kind": "link" })).await;
    let looks = &app.services.dashboards;
    let look = async |token: &str, from: u8| {
        let ask = plinth_dashboards::Ask::default();
        looks.look_shared(token, Some([192, 0, 2, from].into()), ask).await
    };
    for at in 0..600 {
        assert!(look(&other, u8::try_from(at % 10).unwrap()).await.is_ok(), "{at}");
    }
    let busy = look(&other, 99).await;
    assert!(matches!(busy, Err(plinth_dashboards::DashboardError::TooOften(1))), "{busy:?}");
    assert!(look(&token, 99).await.is_ok());
}

#[actix_web::test]
async fn pages_of_any_origin_read_what_a_link_shows_and_nothing_else() {
    let (app, target) = (TestApp::start().await, shop().await);
    let ann = app.owner_of("Ann").await;
    let connection = ann.connect("Shop", &target).await;
    let bars = query(&ann, &connection, BY_COUNTRY).await;
    let widgets = json!([widget("bar", &bars, (0, 0, 6, 4))]);
    let made = make(&ann, json!({ "name": "Shop", "widgets": widgets })).await;
    let path = format!("/v1/dashboards/{}", id(&made));
    let token = link(&ann, &path, json!({ "kind": "embed" })).await;
    let picture = format!("/widgets/{}/image.svg", id(&made["widgets"][0]));
    let (narrow, wrong) = (format!("{picture}?width=9"), "/widgets/none/image.svg");
    for (token, more, status) in [
        (token.as_str(), "", 200),
        (&token, "/image.svg", 200),
        (&token, &picture, 200),
        (&token, &narrow, 422),
        (&token, "?filters=none", 422),
        (&token, wrong, 404),
        ("none", "", 404),
        ("none", "/image.svg", 404),
        ("none", &picture, 404),
    ] {
        let path = format!("/v1/shared-dashboards/{token}{more}");
        let elsewhere = app.request("GET", &path).header("origin", "https://example.com");
        let answer = send(elsewhere).await;
        assert_eq!(answer.status, status, "{more}: {}", answer.text);
        for (name, value) in [("access-control-allow-origin", "*"), ("cache-control", "no-store")] {
            let told: Vec<_> = answer.headers.get_all(name).iter().collect();
            assert_eq!(told, [value], "{name} of {status} {more}");
        }
        assert!(status == 200 || answer.body["meta"]["request_id"].is_string(), "{}", answer.text);
    }
    for more in ["", "/shares", "/image.svg", &picture] {
        let answer = ann.get(&format!("{path}{more}")).await;
        assert_eq!(answer.status, 200, "{more}: {}", answer.text);
        assert!(!answer.headers.contains_key("access-control-allow-origin"), "{more}");
    }
}
