use std::path::Path;

use serde_json::Value;

use crate::app::{TestApp, send};

fn document() -> Value {
    serde_json::from_str(plinth_server::http::document_text()).unwrap()
}

#[test]
fn every_reference_leads_somewhere() {
    fn check(api: &Value, at: &Value) {
        match at {
            Value::Object(fields) => {
                if let Some(Value::String(to)) = fields.get("$ref") {
                    assert!(api.pointer(to.trim_start_matches('#')).is_some(), "dangling: {to}");
                }
                fields.values().for_each(|it| check(api, it));
            }
            Value::Array(items) => items.iter().for_each(|it| check(api, it)),
            _ => (),
        }
    }
    let api = document();
    check(&api, &api);
}

/// A text that must also be an object: no value could ever be one, and SDKs make nonsense of it.
#[test]
fn no_schema_asks_for_two_types_at_once() {
    fn check(at: &Value, path: &str) {
        if let Some(parts) = at["allOf"].as_array() {
            let types: std::collections::BTreeSet<_> =
                parts.iter().filter_map(|it| it["type"].as_str()).collect();
            assert!(types.len() < 2, "{path}: {types:?}");
        }
        match at {
            Value::Object(fields) => {
                fields.iter().for_each(|(name, it)| check(it, &format!("{path}/{name}")));
            }
            Value::Array(items) => items.iter().for_each(|it| check(it, path)),
            _ => (),
        }
    }
    check(&document(), "");
}

#[test]
fn the_checked_in_document_is_the_codes() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi/plinth.json");
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert!(kept == document(), "openapi/plinth.json is out of date: run `cargo xtask generate`");
}

#[test]
fn every_operation_is_described_as_sdks_need_it() {
    let api = document();
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut ids = std::collections::BTreeSet::new();
    for (path, methods) in api["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let at = format!("{method} {path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{at}");
            assert!(operation["summary"].as_str().is_some_and(|it| !it.is_empty()), "{at}");
            for (status, response) in operation["responses"].as_object().unwrap() {
                assert!(
                    response["description"].as_str().is_some_and(|it| !it.is_empty()),
                    "{at} {status}"
                );
            }
            if path.starts_with("/v1/") && path != "/v1/setup" {
                // Which scope it names, or why it needs none, is held by `access`.
                assert!(operation["description"].as_str().is_some_and(|it| !it.is_empty()), "{at}");
                for status in ["401", "403", "422"] {
                    assert!(operation["responses"][status].is_object(), "{at} can answer {status}");
                }
            }
        }
    }
}

#[actix_web::test]
async fn what_matches_nothing_answers_in_the_envelope() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    let unknown = ann.get("/v1/nothing").await;
    assert_eq!(unknown.error(), (404, "not_found"));
    assert!(unknown.body["meta"]["request_id"].is_string());
    let wrong = send(ann.request("PUT", "/v1/queries")).await;
    assert_eq!(wrong.error(), (405, "method_not_allowed"));
    assert_eq!(wrong.headers["allow"], "GET, POST");
    let self_hosted = send(ann.request("PUT", "/api/v1/queries/q_1")).await;
    assert_eq!(self_hosted.error(), (405, "method_not_allowed"));
    assert_eq!(ann.get("/v1/connections/not-an-id").await.error(), (404, "not_found"));
}

#[actix_web::test]
async fn a_request_keeps_its_id_when_that_is_sane() {
    let app = TestApp::start().await;
    let ours = send(app.request("GET", "/v1/queries").header("x-request-id", "trace-42")).await;
    assert_eq!(ours.headers["x-request-id"], "trace-42");
    assert_eq!(ours.body["meta"]["request_id"], "trace-42");
    let strange = "x".repeat(65);
    let other = send(app.request("GET", "/v1/queries").header("x-request-id", &strange)).await;
    assert_ne!(other.headers["x-request-id"], strange.as_str());
}

#[actix_web::test]
async fn errors_come_as_rfc_9457_for_who_asks() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    let wanted = ann.request("POST", "/v1/api-keys").header("accept", "application/problem+json");
    let answer = send(wanted.json(&serde_json::json!({ "name": "", "scopes": ["read"] }))).await;
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(answer.body["status"], 422);
    assert_eq!(answer.body["code"], "validation_error");
    assert_eq!(answer.body["errors"][0]["pointer"], "#/name");
}

#[actix_web::test]
async fn the_document_and_the_page_are_served() {
    let app = TestApp::start().await;
    let served = send(app.request("GET", "/openapi.json")).await;
    assert_eq!(served.body, document());
    let page = send(app.request("GET", "/docs/")).await;
    assert!(page.status == 200 && page.text.contains("swagger-ui"), "{}", page.text);
}

#[actix_web::test]
async fn a_body_is_an_object_and_not_a_list_of_its_fields_values() {
    let app = TestApp::start().await;
    let ann = app.owner_of("Acme").await;
    let list = serde_json::json!(["report", ["read"], false, null]);
    for (path, body) in [
        ("/v1/api-keys", list),
        ("/v1/queries/q_018f3a2b4c5d7e6f8091a2b3c4d5e6f7/run", serde_json::json!([])),
    ] {
        let answer = ann.post(path, body).await;
        assert_eq!(answer.error(), (422, "validation_error"), "{path}");
        assert_eq!(
            answer.body["error"]["details"]["body"],
            "the body does not fit: it has to be an object"
        );
    }
}
