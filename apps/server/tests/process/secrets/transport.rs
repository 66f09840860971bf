use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use super::Canaries;
use crate::client::Person;

/// Connections whose secrets are all there is to them; gives what was answered.
pub(crate) async fn plant(ann: &Person, canaries: &mut Canaries) -> String {
    let mut seen = String::new();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["reader".to_owned()]).unwrap();
    let certificate = certificate.self_signed(&key).unwrap().pem();
    canaries.add("a client's TLS key", middle(&key.serialize_pem()));
    canaries.add("a password in a URL", "canary-in-a-url-2200");
    canaries.add("a bastion's password", "canary-of-a-bastion-8817");
    let bastion_key = KeyPair::generate().unwrap().serialize_pem();
    canaries.add("a bastion's key and passphrase", middle(&bastion_key));
    canaries.add("a bastion's key and passphrase", "canary-of-a-passphrase-4471");

    let plain = |name: &str| {
        json!({
            "type": "postgresql", "name": name, "host": "127.0.0.1", "port": 9, "database": "shop",
            "username": "reader", "password": "canary-pass-word-7321",
        })
    };
    let tunnel = |more: Value| {
        let mut tunnel = json!({
            "host": "127.0.0.1", "port": 9, "username": "hopper", "host_key": host_key(),
        });
        tunnel.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        tunnel
    };
    let with = |name: &str, field: &str, value: Value| {
        let mut body = plain(name);
        body[field] = value;
        body
    };
    let mut tls = with("TLS", "ssl_key", key.serialize_pem().into());
    tls["ssl_cert"] = certificate.into();
    tls["ssl_mode"] = "require".into();
    // The first is refused, and says why; the others are kept, and fail when they are tried.
    let locked = json!({ "private_key": bastion_key, "passphrase": "canary-of-a-passphrase-4471" });
    let refused = ann.post("/v1/connections", with("Locked", "tunnel", tunnel(locked))).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    seen += &refused.text;
    for body in [
        json!({
            "type": "postgresql", "name": "By URL",
            "url": "postgresql://reader:canary-in-a-url-2200@127.0.0.1:9/shop",
        }),
        tls,
        with("By password", "tunnel", tunnel(json!({ "password": "canary-of-a-bastion-8817" }))),
        with("By key", "tunnel", tunnel(json!({ "private_key": bastion_key }))),
    ] {
        let made = ann.post("/v1/connections", body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let path = format!("/v1/connections/{}", made.body["data"]["id"].as_str().unwrap());
        let tried = ann.post(&format!("{path}/test"), json!({})).await;
        assert_eq!(tried.body["data"]["success"], false, "{}", tried.text);
        seen += &(made.text + &tried.text + &ann.get(&path).await.text);
    }
    let url = json!({
        "type": "postgresql", "name": "Bad URL",
        "url": "postgresql://reader:canary-in-a-url-2200@127.0.0.1:9/shop?unknown=1",
    });
    let refused = ann.post("/v1/connections", url).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    seen + &refused.text
}

/// A bastion's public key, in the form of `known_hosts`.
fn host_key() -> String {
    let mut bytes = Vec::new();
    for part in [b"ssh-ed25519".as_slice(), &[9; 32]] {
        bytes.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
        bytes.extend(part);
    }
    format!("ssh-ed25519 {}", STANDARD.encode(bytes))
}

/// Forty characters of a PEM text that are its own: it begins like every other key of its kind.
fn middle(pem: &str) -> String {
    pem.lines().nth(2).unwrap()[..40].to_owned()
}
