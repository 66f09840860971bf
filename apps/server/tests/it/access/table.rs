use serde_json::json;

use super::operations::Operation;
use super::scene::{Call, Scene};

/// Operations that anybody may call, each with why.
pub(super) const PUBLIC: [(&str, &str); 4] = [
    ("healthz", "a load balancer asks it"),
    ("readyz", "a load balancer asks it"),
    ("metrics", "Prometheus asks it; it has numbers only, none of them an organization's"),
    ("set_up", "makes the first owner, against the one-time token that the server printed"),
];

/// Operations that every signed-in caller may call, whatever the scopes, each with why.
pub(super) const ANY_SCOPE: [(&str, &str); 0] = [];

/// A call of the operation that succeeds for the scene's owner, each time it is made; `None` for an operation without one.
///
/// What a call removes or changes for good is made for it. Ids in the path are `.id(…)`; ids in the body are found by
/// themselves, if the scene has made them.
pub(super) async fn sample(operation: &Operation, scene: &mut Scene) -> Option<Call> {
    let call = Call::plain();
    Some(match operation.id.as_str() {
        "list_connections" | "list_api_keys" | "list_queries" => call.query("?limit=100"),
        "create_connection" => call.json(scene.connection_body()),
        "get_connection" | "get_schema" | "refresh_schema" | "test_connection" => {
            call.id(scene.connection())
        }
        "delete_connection" => call.id(scene.new_connection().await),

        "create_query" => {
            call.json(json!({ "connection_id": scene.connection(), "sql": "SELECT 1" }))
        }
        "get_query" | "delete_query" | "run_query" => call.id(scene.new_query().await),

        "create_api_key" => call.json(json!({ "name": scene.name("Key"), "scopes": ["read"] })),
        "revoke_api_key" => call.id(scene.new_key(&["read"]).await.0),
        _ => return None,
    })
}
