//! What the audit trail tells of connections: never a secret, and of certificates only a fingerprint.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::{Connection, Description, Login, Place};

/// Where a login goes, for an act that keeps no record.
pub(crate) fn told_of_login(it: &Login) -> Value {
    let mut told = Map::new();
    put_place(&mut told, &it.place);
    told.insert("database".to_owned(), it.database.as_str().into());
    told.insert("username".to_owned(), it.username.as_str().into());
    told.insert("ssl_mode".to_owned(), it.ssl_mode.as_str().into());
    told.insert("tunnel".to_owned(), json!(it.tunnel.as_ref().map(|it| it.host.as_str())));
    told.into()
}

/// A whole record.
pub(crate) fn told(it: &Connection) -> Map<String, Value> {
    let mut told = Map::new();
    put_place(&mut told, &it.place);
    let tunnel = it.tunnel.as_ref().map(|it| {
        json!({
            "host": it.host.as_str(),
            "port": it.port,
            "username": it.username,
            "host_key": it.host_key.as_str(),
        })
    });
    let fields = [
        ("name", json!(it.name.as_str())),
        ("description", json!(it.description.as_ref().map(Description::as_str))),
        ("database", json!(it.database)),
        ("username", json!(it.username)),
        ("ssl_mode", json!(it.ssl_mode.as_str())),
        ("ssl_root_cert", json!(it.tls.roots.as_deref().map(fingerprint))),
        ("ssl_cert", json!(it.tls.certificate.as_deref().map(fingerprint))),
        ("channel_binding", json!(it.tls.channel_binding.as_str())),
        ("tunnel", json!(tunnel)),
        ("allowed_tables", json!(it.allowed_tables.names())),
        ("is_test", json!(it.is_test)),
        ("is_primary", json!(it.is_primary)),
        ("is_active", json!(it.activity.is_active())),
        ("sampling", json!(it.sampling)),
        ("model_privacy", json!(it.model_privacy.as_str())),
    ];
    told.extend(fields.map(|(name, value)| (name.to_owned(), value)));
    told
}

/// What a change made another: for each field its value before and after; for secrets only that they were replaced.
pub(crate) fn told_change(before: &Connection, after: &Connection, replaced: &[&str]) -> Value {
    let (before, after) = (told(before), told(after));
    let mut changed = Map::new();
    for (field, new) in after {
        let old = before.get(&field).cloned().unwrap_or(Value::Null);
        if old != new {
            changed.insert(field, json!({ "before": old, "after": new }));
        }
    }
    json!({ "changed": changed, "replaced": replaced })
}

fn put_place(told: &mut Map<String, Value>, place: &Place) {
    match place {
        Place::Typed { host, port } => {
            told.insert("host".to_owned(), host.as_str().into());
            told.insert("port".to_owned(), (*port).into());
        }
        Place::Managed { server } => {
            told.insert("managed_server".to_owned(), server.as_str().into());
        }
    }
}

/// SHA-256 of a text, in hex.
fn fingerprint(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold("sha256:".to_owned(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
