//! Databases behind certificates and behind a bastion, over REST. What each combination comes to is tested where it is done
//! (`crates/adapter-target`); here, that the fields arrive there, that secrets do not come back, and that changes apply.

use plinth_testdb::TestDatabase;
use plinth_testdb::peers::{
    Bastion, Cluster, Forwarding, PASSWORD, Pem, SUPERUSER, Server, authority, named,
};
use serde_json::{Value, json};

use crate::app::{Person, TestApp, connection, send};

/// What a test of that connection answers.
async fn tested(caller: &Person, id: &str) -> Value {
    let answer = caller.post(&format!("/v1/connections/{id}/test"), json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body["data"].clone()
}

/// The stage and the fault of a test that fails.
async fn fault(caller: &Person, id: &str) -> [String; 2] {
    let found = tested(caller, id).await;
    assert_eq!(found["success"], false, "{found}");
    assert!(!found["diagnosis"]["fix_steps"].as_array().unwrap().is_empty(), "{found}");
    ["stage", "fault"].map(|it| found["diagnosis"][it].as_str().unwrap().to_owned())
}

async fn made(caller: &Person, body: Value) -> String {
    let answer = caller.post("/v1/connections", body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    assert!(!answer.text.contains("PRIVATE KEY"), "{}", answer.text);
    answer.body["data"]["id"].as_str().unwrap().to_owned()
}

/// A server that lets in only who shows a certificate of `clients` in their own name.
fn server(cluster: &Cluster, certificate: &Pem, clients: &str) -> Server {
    let file = |name: &str, text: &str| cluster.write(name, text).display().to_string();
    let settings = [
        ("ssl", "on".to_owned()),
        ("ssl_cert_file", file("server.crt", &certificate.certificate)),
        ("ssl_key_file", file("server.key", &certificate.key)),
        ("ssl_ca_file", file("clients.crt", clients)),
    ];
    let rules = "hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-full\n";
    cluster.start(&settings, rules)
}

#[actix_web::test]
async fn a_client_certificate_opens_a_database_that_wants_one() {
    let (app, cluster) = (TestApp::start().await, Cluster::make("rest-certificates"));
    let (servers, clients) = (authority("servers"), authority("clients"));
    let server =
        server(&cluster, &servers.sign(&named("db", &["localhost"])), clients.pem.as_str());
    let (ann, bob) = (app.owner_of("Acme").await, app.owner_of("Other").await);
    let (shown, strange) =
        (clients.sign(&named(SUPERUSER, &[])), authority("others").sign(&named(SUPERUSER, &[])));
    let body = json!({
        "type": "postgresql", "name": "Behind certificates", "host": "localhost", "port": server.port,
        "database": "postgres", "username": SUPERUSER, "password": PASSWORD,
        "ssl_mode": "verify-full", "ssl_root_cert": servers.pem,
        "ssl_cert": shown.certificate, "ssl_key": shown.key,
    });
    let id = made(&ann, body.clone()).await;
    let found = tested(&ann, &id).await;
    assert_eq!((&found["success"], &found["tls"]), (&json!(true), &json!(true)), "{found}");
    assert_eq!(ann.sql(&id, "SELECT 1").await.rows(), &json!([[1]]));
    let told = ann.get(&format!("/v1/connections/{id}")).await;
    assert_eq!(told.body["data"]["ssl_cert"], json!(shown.certificate.trim()));
    assert!(!told.text.contains("PRIVATE KEY"), "{}", told.text);
    assert_eq!(bob.sql(&id, "SELECT 1").await.error(), (404, "not_found"));

    // Of another authority; with a key that is not its own; none at all.
    let change = async |change: Value| {
        let path = format!("/v1/connections/{id}");
        send(ann.request("PATCH", &path).json(&change)).await
    };
    let other = json!({
        "password": PASSWORD, "ssl_cert": strange.certificate, "ssl_key": strange.key,
    });
    let changed = change(other).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(fault(&ann, &id).await[0], "tls");
    let mixed = change(json!({ "ssl_cert": shown.certificate, "ssl_key": strange.key })).await;
    assert_eq!(mixed.error(), (422, "validation_error"), "{}", mixed.text);
    let none = change(json!({ "ssl_cert": null, "ssl_key": null })).await;
    assert_eq!(none.status, 200, "{}", none.text);
    assert_eq!(ann.sql(&id, "SELECT 1").await.error(), (502, "connection_error"));
    let back = change(json!({ "ssl_cert": shown.certificate, "ssl_key": shown.key })).await;
    assert_eq!(back.status, 200, "{}", back.text);
    assert_eq!(ann.sql(&id, "SELECT 1").await.rows(), &json!([[1]]));

    // The wrong authority for the server's own.
    let mut wrong = body;
    wrong["name"] = json!("Another authority");
    wrong["ssl_root_cert"] = json!(clients.pem);
    let wrong = made(&ann, wrong).await;
    assert_eq!(fault(&ann, &wrong).await, ["tls", "certificate_untrusted"]);
}

#[actix_web::test]
async fn a_database_behind_a_bastion_is_asked_through_it() {
    let (app, db) = (TestApp::start().await, TestDatabase::create().await.unwrap());
    let bastion = Bastion::start("rest-bastion", &Forwarding::Yes);
    let (ann, bob) = (app.owner_of("Acme").await, app.owner_of("Other").await);
    let key = bastion.key("client", &["-t", "ed25519"]);
    let tunnel = json!({
        "host": "127.0.0.1", "port": bastion.port(), "username": bastion.username(),
        "private_key": key, "host_key": bastion.host_key("ed25519").trim(),
    });
    let mut body = connection("Behind a bastion", &db);
    body["tunnel"] = tunnel.clone();
    let id = made(&ann, body.clone()).await;
    assert_eq!(tested(&ann, &id).await["success"], true, "{}", bastion.log());
    assert_eq!(ann.sql(&id, "SELECT 1").await.rows(), &json!([[1]]));
    assert!(bastion.logins() > 0, "{}", bastion.log());
    let told = ann.get(&format!("/v1/connections/{id}")).await;
    assert_eq!(told.body["data"]["tunnel"]["port"], bastion.port());
    assert!(!told.text.contains("PRIVATE KEY"), "{}", told.text);
    assert_eq!(bob.sql(&id, "SELECT 1").await.error(), (404, "not_found"));

    let strange = bastion.strange_key("strange", &["-t", "ed25519"]);
    let cases = [
        ("private_key", json!(strange), "tunnel_login"),
        (
            "host_key",
            json!("SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"),
            "tunnel_host_key",
        ),
        ("port", json!(1), "tunnel_unreachable"),
    ];
    for (field, value, expected) in cases {
        let mut bad = body.clone();
        bad["name"] = json!(format!("bad {field}"));
        bad["tunnel"][field] = value;
        let bad = made(&ann, bad).await;
        assert_eq!(fault(&ann, &bad).await, ["connect", expected], "{field}");
        assert_eq!(ann.sql(&bad, "SELECT 1").await.error(), (502, "connection_error"), "{field}");
    }
}
