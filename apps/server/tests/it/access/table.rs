use serde_json::json;

use super::operations::Operation;
use super::scene::{Call, Scene};
use crate::app::{PASSWORD, send};

/// Operations that anybody may call, each with why.
pub(super) const PUBLIC: &[(&str, &str)] = &[
    ("healthz", "a load balancer asks it"),
    ("readyz", "a load balancer asks it"),
    ("metrics", "Prometheus asks it; it has numbers only, none of them an organization's"),
    ("jwks", "other services check our tokens with it; public keys only"),
    ("sign_in", "takes the password"),
    ("refresh_tokens", "takes the refresh token"),
    ("forgot_password", "says nothing; the letter goes to whoever has the address"),
    ("reset_password", "takes the token of the letter"),
    ("accept_invitation", "takes the token of the letter"),
    ("metadata", "tells OAuth libraries where to go"),
    ("get_authority", "clients that check certificates need it; a public certificate"),
    ("exchange", "takes an app's code or refresh token, and its secret"),
    ("revoke", "takes an app's token, and its secret"),
    ("introspect", "takes an app's token, and its secret"),
    ("call_workflow_webhook", "the URL is the secret, and names the one workflow that it starts"),
    ("get_shared_dashboard", "the token is the secret, and shows the one dashboard that it is of"),
    ("get_shared_dashboard_image", "the same"),
    ("get_shared_widget_image", "the same"),
    ("set_up", "makes the first owner, against the one-time token that the server printed"),
];

/// Operations that every signed-in caller may call, whatever the scopes, each with why.
pub(super) const ANY_SCOPE: &[(&str, &str)] = &[
    ("get_me", "tells callers about themselves"),
    ("get_my_access", "tells callers about themselves"),
    ("get_organization", "every member sees what they are in"),
];

/// Operations about a person, which takes a sign-in: a key is one organization's. Each with why.
pub(super) const SIGNED_IN: &[(&str, &str)] = &[
    ("list_organizations", "other organizations than the key's"),
    ("create_organization", "the person will own it"),
    ("transfer_organization", "the owner's alone, and not a leaked key's"),
    ("delete_organization", "the owner's alone, and not a leaked key's"),
    ("restore_organization", "the owner's alone, and not a leaked key's"),
    ("leave_organization", "only people leave"),
    ("sign_out", "ends the session"),
    ("sign_out_everywhere", "ends all sessions"),
    ("change_password", "the password is the person's"),
    ("list_my_organizations", "other organizations than the key's"),
    ("list_my_sessions", "the sessions are the person's"),
    ("end_my_session", "the sessions are the person's"),
    ("list_my_apps", "what a person let apps do is theirs"),
    ("remove_my_app", "what a person let apps do is theirs"),
];

/// Of those, what only the organization's owner may do, though other members are signed in too.
pub(super) const OWNERS: &[&str] =
    &["transfer_organization", "delete_organization", "restore_organization"];

/// What names a scope, and without it still answers whoever signed in, about their own keys: how it answers about others'.
pub(super) const OWN_KEYS: &[(&str, u16)] = &[
    ("list_api_keys", 200),
    // For themselves, with no more than they have.
    ("create_api_key", 201),
    ("get_api_key", 404),
    ("update_api_key", 404),
    ("revoke_api_key", 404),
];

/// A call of the operation that succeeds for the scene's owner, each time it is made; `None` for an operation without one.
///
/// What a call removes or changes for good is made for it. Ids in the path are `.id(…)`; ids in the body are found by
/// themselves, if the scene has made them.
#[expect(clippy::match_same_arms, reason = "grouped by what the operations are about")]
pub(super) async fn sample(operation: &Operation, scene: &mut Scene) -> Option<Call> {
    let call = Call::plain();
    Some(match operation.id.as_str() {
        "list_connections" | "list_api_keys" | "list_queries" | "list_conversations" => {
            call.query("?limit=100")
        }
        "create_connection" => call.json(scene.connection_body()),
        "get_connection"
        | "get_schema"
        | "refresh_schema"
        | "test_connection"
        | "list_snapshots"
        | "get_drift"
        | "get_diagram"
        | "list_annotations"
        | "get_schema_freshness" => call.id(scene.connection()),
        "get_table" | "get_table_ddl" | "refresh_table" => {
            call.id(scene.connection()).named("public.orders")
        }
        "put_table_annotation" => {
            let call = call.id(scene.connection()).named("public.orders");
            call.json(json!({ "description": "What people buy." }))
        }
        "put_column_annotation" => {
            let call = call.id(scene.connection()).named("public.orders").named("total");
            call.json(json!({ "description": "What they pay." }))
        }
        "delete_table_annotation" => scene.annotated(None).await,
        "delete_column_annotation" => scene.annotated(Some("total")).await,
        "update_connection" => {
            call.id(scene.connection()).json(json!({ "description": "What people buy." }))
        }
        "delete_connection" => call.id(scene.new_connection().await),
        "list_database_configs" | "get_own_database" => call,
        "create_database_config" => call.json(scene.config_body()),
        "get_database_config"
        | "refresh_database_config_schema"
        | "get_database_config_freshness" => call.id(scene.config().await),
        "update_database_config" => {
            call.id(scene.config().await).json(json!({ "description": "What people buy." }))
        }
        "delete_database_config" => call.id(scene.new_config().await),
        "test_postgres" | "discover_postgres_schema" => {
            call.json(scene.config_body()["connection_config"].clone())
        }

        "create_query" => {
            call.json(json!({ "connection_id": scene.connection(), "sql": "SELECT 1" }))
        }
        "get_query_run" | "get_query_run_results" | "cancel_query_run" => {
            call.id(scene.new_query_run().await)
        }
        "get_query" | "delete_query" | "run_query" => call.id(scene.new_query().await),
        "save_query" | "update_query" => {
            call.id(scene.new_query().await).json(json!({ "name": "Ones", "tags": ["one"] }))
        }
        "save_sql" => {
            let body = scene.saved_body();
            call.json(body)
        }
        "list_repairs" => call.query("?limit=100"),
        "get_repair" | "apply_repair" | "dismiss_repair" => call.id(scene.new_repair().await),
        "get_repair_modes" => call,
        "set_repair_mode" => {
            let query = scene.new_saved_query().await;
            call.json(json!({ "mode": "off", "query_id": query }))
        }
        "list_query_versions" | "list_query_runs" => call.id(scene.new_saved_query().await),
        "get_query_version" | "restore_query_version" => {
            call.id(scene.new_saved_query().await).named("1")
        }
        "export_query" => call.id(scene.new_query().await).json(json!({ "format": "csv" })),
        "list_parameter_choices" => call.id(scene.new_saved_query().await).named("answer"),

        "list_policies" | "get_effective_policies" => call.id(scene.connection()),
        "create_policy" => {
            let body = scene.policy_body();
            call.id(scene.connection()).json(body)
        }
        "get_policy" | "delete_policy" => {
            let policy = scene.new_policy().await;
            call.id(scene.connection()).id(policy)
        }
        "update_policy" => {
            let policy = scene.new_policy().await;
            call.id(scene.connection()).id(policy).json(json!({ "active": false }))
        }

        "list_terms" | "list_metrics" | "list_examples" => call.id(scene.connection()),
        "create_term" => call.id(scene.connection()).json(scene.term_body()),
        "create_metric" => call.id(scene.connection()).json(scene.metric_body()),
        "create_example" => call.id(scene.connection()).json(scene.example_body()),
        "get_term" | "delete_term" => {
            let body = scene.term_body();
            scene.in_language("glossary", body).await
        }
        "replace_term" => {
            let body = scene.term_body();
            scene.in_language("glossary", body).await.json(scene.term_body())
        }
        "get_metric" | "delete_metric" => {
            let body = scene.metric_body();
            scene.in_language("metrics", body).await
        }
        "replace_metric" => {
            let body = scene.metric_body();
            scene.in_language("metrics", body).await.json(scene.metric_body())
        }
        "get_example" | "delete_example" | "accept_example" => {
            let body = scene.example_body();
            scene.in_language("examples", body).await
        }
        "replace_example" => {
            let body = scene.example_body();
            scene.in_language("examples", body).await.json(scene.example_body())
        }
        "give_feedback" => call.id(scene.new_query().await).json(json!({ "rating": "down" })),
        "get_conversation" | "delete_conversation" => call.id(scene.new_conversation().await),

        "create_api_key" => call.json(json!({ "name": scene.name("Key"), "scopes": ["read"] })),
        "get_api_key" => call.id(scene.new_key(&["read"]).await.0),
        "update_api_key" => {
            call.id(scene.new_key(&["read"]).await.0).json(json!({ "rate_limit_per_minute": 1000 }))
        }
        "revoke_api_key" => call.id(scene.new_key(&["read"]).await.0),

        "list_members" | "list_invitations" => call.query("?limit=100"),
        "invite_member" => call.json(json!({ "email": scene.address(), "role": "viewer" })),
        "update_member" => {
            call.id(scene.new_member().await.1).json(json!({ "role": scene.new_role().await }))
        }
        "remove_member" | "get_member_attributes" => call.id(scene.new_member().await.1),
        "put_member_attributes" => {
            let country = json!({ "country": { "type": "text", "value": "Germany" } });
            call.id(scene.new_member().await.1).json(json!({ "attributes": country }))
        }
        "get_invitation" | "resend_invitation" | "revoke_invitation" => {
            call.id(scene.new_invitation().await)
        }
        "list_organizations" | "verify_audit_trail" => call,
        "list_audit_entries" => call.query("?limit=100"),
        "create_organization" => call.json(json!({ "name": scene.organization_name() })),
        "get_organization" => call.id(scene.organization().await),
        "update_organization" => {
            let name = scene.organization_name();
            call.id(scene.organization().await).json(json!({ "name": name }))
        }
        "transfer_organization" => {
            let (org, owner, _) = scene.new_organization().await;
            let member = scene.member_of(&org, &owner).await;
            call.id(&org).header("x-tenant-id", org).json(json!({ "member_id": member }))
        }
        "delete_organization" => {
            let (org, _, name) = scene.new_organization().await;
            call.id(&org).header("x-tenant-id", org).query(&format!("?confirm={name}"))
        }
        "restore_organization" => {
            let (org, owner, name) = scene.new_organization().await;
            let path = format!("/v1/organizations/{org}?confirm={name}");
            let deleted = owner.request("DELETE", &path).header("x-tenant-id", &org);
            assert_eq!(send(deleted).await.status, 202);
            call.id(&org).header("x-tenant-id", org)
        }
        "list_roles" => call,
        "create_role" => call.json(json!({ "name": scene.name("Role"), "scopes": ["admin"] })),
        "get_role" | "delete_role" => call.id(scene.new_role().await),
        "update_role" => call.id(scene.new_role().await).json(json!({ "name": scene.name("New") })),

        "list_dashboards" => call.query("?limit=100"),
        "create_dashboard" => {
            let body = scene.dashboard_body().await;
            call.json(body)
        }
        "get_dashboard" | "delete_dashboard" | "get_dashboard_image" | "list_dashboard_shares" => {
            call.id(scene.new_dashboard().await.0)
        }
        "refresh_dashboard" => call.id(scene.new_dashboard().await.0).json(json!({})),
        "update_dashboard" => {
            let body = scene.dashboard_body().await;
            call.id(scene.new_dashboard().await.0).json(body)
        }
        "get_widget_image" => {
            let (dashboard, widget) = scene.new_dashboard().await;
            call.id(dashboard).id(widget)
        }
        "create_dashboard_share" => {
            call.id(scene.new_dashboard().await.0).json(json!({ "kind": "link" }))
        }
        "revoke_dashboard_share" => {
            let dashboard = scene.new_dashboard().await.0;
            let path = format!("/v1/dashboards/{dashboard}/shares");
            let share = scene.make("share", &path, json!({ "kind": "embed" })).await;
            call.id(dashboard).id(share)
        }

        "list_workflows" | "list_workflow_approvals" => call.query("?limit=100"),
        "create_workflow" => call.json(scene.workflow_body()),
        "get_workflow"
        | "delete_workflow"
        | "publish_workflow"
        | "enable_workflow"
        | "disable_workflow"
        | "list_workflow_versions"
        | "run_workflow"
        | "list_workflow_runs"
        | "list_workflow_events"
        | "get_workflow_webhook"
        | "rotate_workflow_webhook" => call.id(scene.new_workflow().await),
        "update_workflow" => {
            call.id(scene.new_workflow().await).json(json!({ "description": "Who is late." }))
        }
        "preview_workflow" => call.id(scene.new_workflow().await).json(json!({})),
        "test_workflow_action" => {
            let body = json!({ "action": "tell", "confirm": true });
            call.id(scene.new_workflow().await).json(body)
        }
        "get_workflow_run" | "cancel_workflow_run" => {
            let (workflow, run) = scene.new_workflow_run().await;
            call.id(workflow).id(run)
        }

        "list_credentials" => call.query("?limit=100"),
        "create_credential" => call.json(scene.credential_body()),
        "get_credential" | "delete_credential" => call.id(scene.new_credential().await),
        "update_credential" => {
            call.id(scene.new_credential().await).json(json!({ "secret": "another" }))
        }
        "list_remotes" => call.query("?limit=100"),
        "create_remote" => {
            let body = scene.remote_body().await;
            call.json(body)
        }
        "get_remote" | "delete_remote" | "test_remote" => call.id(scene.new_remote().await),
        "update_remote" => {
            call.id(scene.new_remote().await).json(json!({ "region_id": "aws-eu-central-1" }))
        }
        "authorize_remote" => call.id(scene.new_oauth_remote().await),
        "connect_remote" => {
            let (remote, body) = scene.new_asked_remote().await;
            call.id(remote).json(body)
        }
        "add_remote_project" => {
            let body = json!({ "project_id": scene.remote_project() });
            call.id(scene.new_remote().await).json(body)
        }
        "remove_remote_project" => {
            let (remote, project) = scene.new_remote_project().await;
            call.id(remote).id(project)
        }
        "list_event_types" | "list_event_subscriptions" => call,
        "create_event_subscription" => call.json(Scene::subscription_body()),
        "get_event_subscription"
        | "delete_event_subscription"
        | "get_event_secret"
        | "rotate_event_secret"
        | "ping_event_subscription"
        | "list_event_deliveries" => call.id(scene.new_subscription().await),
        "update_event_subscription" => {
            call.id(scene.new_subscription().await).json(json!({ "description": "Tickets." }))
        }
        "get_event_delivery" | "redeliver_event" => {
            let (subscription, delivery) = scene.new_delivery().await;
            call.id(subscription).id(delivery)
        }
        "decide_workflow_run" => {
            let (workflow, run) = scene.new_waiting_run().await;
            call.id(workflow).id(run).json(json!({ "decision": "approve" }))
        }

        "list_write_connections" => call.query("?limit=100"),
        "create_write_connection" => {
            let body = scene.write_connection_body().await;
            call.json(body)
        }
        "get_write_connection" | "delete_write_connection" => {
            call.id(scene.new_write_connection().await)
        }
        "update_write_connection" => {
            call.id(scene.new_write_connection().await).json(json!({ "max_rows": 5 }))
        }

        "list_alerts" => call.query("?limit=100"),
        "create_alert" => call.json(scene.alert_body().await),
        "get_alert"
        | "delete_alert"
        | "evaluate_alert"
        | "unmute_alert"
        | "list_alert_evaluations" => call.id(scene.new_alert().await),
        "update_alert" => {
            call.id(scene.new_alert().await).json(json!({ "description": "Who is late." }))
        }
        "mute_alert" => call.id(scene.new_alert().await).json(json!({ "seconds": 3600 })),

        "leave_organization"
        | "get_me"
        | "get_my_access"
        | "sign_out"
        | "sign_out_everywhere"
        | "list_my_organizations"
        | "list_my_sessions" => call,
        "end_my_session" => call.id(scene.new_session().await),
        // To the same one, so that it can be done again.
        "change_password" => {
            call.json(json!({ "current_password": PASSWORD, "new_password": PASSWORD }))
        }
        "list_models" | "get_model_settings" | "get_usage" => call,
        "create_model" => call.json(scene.model_body()),
        "get_model" | "delete_model" | "test_model" => call.id(scene.new_model().await),
        "update_model" => call.id(scene.new_model().await).json(json!({ "is_active": false })),
        "update_model_settings" => call.json(json!({ "currency": "EUR" })),
        "list_identity_providers" => call,
        "create_identity_provider" => call.json(scene.provider_body()),
        "get_identity_provider" | "remove_identity_provider" => call.id(scene.new_provider().await),
        "replace_identity_provider" => {
            call.id(scene.new_provider().await).json(scene.provider_body())
        }
        "list_oauth_apps" => call.query("?limit=100"),
        "create_oauth_app" => call.json(scene.app_body()),
        "get_oauth_app" | "remove_oauth_app" | "change_oauth_app_secret" => {
            call.id(scene.new_app().await)
        }
        "replace_oauth_app" => call.id(scene.new_app().await).json(scene.app_body()),
        "list_my_apps" => call,
        "remove_my_app" => call.id(scene.new_grant().await),
        _ => return None,
    })
}
