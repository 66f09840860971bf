use jiff::SignedDuration;
use serde_json::json;

use crate::app::TestApp;

#[actix_web::test]
async fn every_authenticated_answer_says_how_many_requests_are_left() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    for (path, status) in
        [("/v1/queries", 200), ("/v1/connections/conn_0", 404), ("/v1/queries?limit=0", 422)]
    {
        let answer = ann.get(path).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        let number = |name: &str| answer.headers[name].to_str().unwrap().parse::<i64>().unwrap();
        assert_eq!(number("x-ratelimit-limit"), 60_000);
        assert!(number("x-ratelimit-remaining") < 60_000);
        assert_eq!(number("x-ratelimit-reset") % 60, 0);
    }
    let stranger = app.somebody("plinth_live_nothing").get("/v1/queries").await;
    assert!(!stranger.headers.contains_key("x-ratelimit-limit"));
}

#[actix_web::test]
async fn a_free_organization_is_stopped_at_thirty_a_minute_and_goes_on_in_the_next() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.owner_of("Acme").await, app.owner_of("Other").await);
    app.behind_its_back("UPDATE organizations SET plan = 'free' WHERE name = 'Acme'").await;
    for left in (0..30).rev() {
        let answer = ann.get("/v1/queries").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.headers["x-ratelimit-remaining"], left.to_string().as_str());
    }
    let refused = ann.get("/v1/queries").await;
    assert_eq!(refused.error(), (429, "rate_limit_exceeded"));
    assert_eq!(refused.headers["retry-after"], "53");
    assert_eq!(refused.headers["x-ratelimit-remaining"], "0");
    assert_eq!(refused.body["error"]["details"]["period"], "minute");
    assert_eq!(bob.get("/v1/queries").await.status, 200, "others are not slowed");
    app.clock.advance(SignedDuration::from_secs(53));
    assert_eq!(ann.get("/v1/queries").await.status, 200);
}

#[actix_web::test]
async fn a_keys_own_limit_stops_that_key_only() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    let made = ann.post("/v1/api-keys", json!({ "name": "slow", "scopes": ["read"] })).await;
    let slow = app.somebody(made.body["data"]["key"].as_str().unwrap());
    app.behind_its_back("UPDATE api_keys SET rate_limit_per_minute = 2 WHERE name = 'slow'").await;
    for expected in [200, 200, 429] {
        assert_eq!(slow.get("/v1/queries").await.status, expected);
    }
    assert_eq!(slow.get("/v1/queries").await.body["error"]["details"]["scope"], "key");
    assert_eq!(ann.get("/v1/queries").await.status, 200);
}
