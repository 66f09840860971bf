use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use plinth_tenancy::{KeyKind, KeySecret};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::tokens::hex;
use crate::app::TestApp;

/// A route that every key and token may use that is one.
const ROUTE: &str = "/v1/queries";

/// Something that is sent as a credential and is none.
pub(super) struct Forgery {
    what: String,
    /// After the host, as they stand on the wire.
    head: Vec<u8>,
    target: String,
}

/// Forgeries with their names, and the wire they go over.
pub(super) struct Forger {
    forgeries: Vec<Forgery>,
}

impl Forger {
    pub(super) fn new() -> Self {
        Self { forgeries: Vec::new() }
    }

    /// A token, in either header.
    pub(super) fn token(&mut self, what: &str, token: impl AsRef<[u8]>) {
        let token = token.as_ref();
        for (header, name) in [("authorization: Bearer ", "bearer"), ("x-api-key: ", "x-api-key")] {
            let head = [header.as_bytes(), token, b"\r\n"].concat();
            self.forgeries.push(Forgery {
                what: format!("{what} ({name})"),
                head,
                target: ROUTE.to_owned(),
            });
        }
    }

    /// Whole header lines.
    pub(super) fn lines(&mut self, what: &str, lines: &[&str]) {
        let head = lines.iter().flat_map(|it| [it.as_bytes(), b"\r\n"].concat()).collect();
        self.forgeries.push(Forgery { what: what.to_owned(), head, target: ROUTE.to_owned() });
    }

    /// A path and query instead of a header.
    pub(super) fn target(&mut self, what: &str, target: String) {
        self.forgeries.push(Forgery { what: what.to_owned(), head: Vec::new(), target });
    }

    /// How many kinds there are.
    pub(super) fn kinds(&self) -> usize {
        let kinds: std::collections::BTreeSet<_> = self
            .forgeries
            .iter()
            .map(|it| it.what.trim_end_matches(" (bearer)").trim_end_matches(" (x-api-key)"))
            .collect();
        kinds.len()
    }

    /// Sends all of them; gives those that were let in, or were told more than that they are none.
    pub(super) async fn accepted(&self, app: &TestApp) -> Vec<String> {
        let mut faults = Vec::new();
        for forgery in &self.forgeries {
            let answer = exchange(app, forgery).await;
            let status = answer.get(9..12).unwrap_or_default();
            // What is no HTTP never comes as far as the question who is calling.
            let refused = match status {
                "401" => answer.contains("authentication_error") && answer.contains("send a valid"),
                "400" | "431" => true,
                _ => false,
            };
            if !refused {
                faults.push(format!("{}: {:.300}", forgery.what, answer));
            }
        }
        faults
    }
}

/// Over a socket of our own: an HTTP library would not send half of this.
async fn exchange(app: &TestApp, forgery: &Forgery) -> String {
    let address = app.url.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let start =
        format!("GET {} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n", forgery.target);
    let request = [start.as_bytes(), &forgery.head, b"\r\n"].concat();
    // A server that has seen enough hangs up before it has read all.
    let _ = stream.write_all(&request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[actix_web::test]
async fn nothing_but_a_key_is_taken_for_one() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.owner_of("Acme").await, app.owner_of("Other").await);
    let token = app.services.tenancy.prepare_setup().await.unwrap();
    assert!(token.is_none(), "there are owners");
    let made = ann.post("/v1/api-keys", json!({ "name": "k", "scopes": ["read"] })).await;
    let (key, id) = (text(&made.body["data"]["key"]), text(&made.body["data"]["id"]));
    let secret = key.strip_prefix("plinth_live_").unwrap();
    let mut forger = Forger::new();

    // Of the right form, but nobody's.
    forger.token("a key that nobody has", KeySecret::generate(KeyKind::Live).unwrap().expose());
    forger
        .token("a test key that nobody has", KeySecret::generate(KeyKind::Test).unwrap().expose());
    forger.token("the key as a test key", format!("plinth_test_{secret}"));
    forger.token("the secret without its prefix", secret);
    forger.token("the prefix without its secret", "plinth_live_");
    forger.token("another prefix", format!("sk_live_{secret}"));
    forger.token("a setup token of the key's secret", format!("setup_{secret}"));

    // Nearly the key.
    forger.token("the key without its last character", &key[..key.len() - 1]);
    forger.token("the key and a character more", format!("{key}A"));
    forger.token("another last character", other_at(&key, key.len() - 1));
    forger.token("another first character", other_at(&key, "plinth_live_".len()));
    forger.token("another character in the middle", other_at(&key, key.len() / 2));
    forger.token("upper case", key.to_uppercase());
    forger.token("lower case", key.to_lowercase());
    forger.token("prefix in upper case", format!("PLINTH_LIVE_{secret}"));
    forger.token("case turned around", format!("plinth_live_{}", turned(secret)));
    forger.token("a space in the middle", format!("{} {}", &key[..20], &key[20..]));
    forger.token("the key twice", format!("{key}{key}"));
    forger.token("two keys in a list", format!("{key}, {key}"));
    forger.token("two keys, one behind the other", format!("{key} {}", bob.key));
    forger.token("the key in quotes", format!("\"{key}\""));
    forger.token("the key in angle brackets", format!("<{key}>"));
    forger.token("the key and a semicolon", format!("{key};"));
    forger.token("the key, percent-encoded", key.replace('_', "%5F"));
    forger.token("the key in base64", STANDARD.encode(&key));
    forger.token("the key backwards", key.chars().rev().collect::<String>());
    forger.token("a NUL behind the key", format!("{key}\0"));
    forger.token("a NUL and a key behind nothing", format!("\0{key}"));
    forger.token("a control character in the key", format!("{}\x07{}", &key[..20], &key[20..]));
    forger.token("a line break in the key", format!("{}\r\n {}", &key[..20], &key[20..]));
    forger.token("a zero-width space behind the key", format!("{key}\u{200b}"));
    forger.token("a no-break space behind the key", format!("{key}\u{a0}"));
    forger.token("a Cyrillic letter in the prefix", key.replacen('i', "\u{456}", 1));
    forger.token("full-width letters", wide(&key));
    forger.token("bytes that are no text", [key.as_bytes(), &[0xff, 0xfe]].concat());
    forger.token("a placeholder of LIKE", "plinth_live_%");
    forger.token("underscores for LIKE", format!("plinth_live_{}", "_".repeat(secret.len())));
    forger.token("SQL", "plinth_live_' OR '1'='1");
    forger.token("SQL with a comment", format!("{key}'--"));
    forger.token("100 KB", "A".repeat(100 * 1024));
    forger.token("the key and 30 KB", format!("{key}{}", "A".repeat(30 * 1024)));

    // What is known of a key, but is not it.
    forger.token("nothing", "");
    forger.token("the key's id", &id);
    forger.token("the key's hash in hex", hex(&Sha256::digest(&key)));
    forger.token("the key's hash in base64", STANDARD.encode(Sha256::digest(&key)));
    forger.token(
        "the prefix and the hash in hex",
        format!("plinth_live_{}", hex(&Sha256::digest(&key))),
    );
    forger.token("the key's hint", text(&made.body["data"]["hint"]));
    forger.token("its maker's id", text(&made.body["data"]["created_by"]));
    forger.token("null", "null");
    forger.token("undefined", "undefined");
    forger.token("true", "true");
    forger.token("an object", format!("{{\"key\":\"{key}\"}}"));
    let list = ann.get("/v1/api-keys?limit=1").await;
    forger.token("a cursor of ours", text(&list.body["meta"]["next_cursor"]));

    // The right key in the wrong place.
    forger.lines("no scheme", &[&format!("authorization: {key}")]);
    forger.lines("no space after the scheme", &[&format!("authorization: Bearer{key}")]);
    forger.lines("a tab after the scheme", &[&format!("authorization: Bearer\t{key}")]);
    forger.lines("the scheme twice", &[&format!("authorization: Bearer Bearer {key}")]);
    forger.lines("the scheme in x-api-key", &[&format!("x-api-key: Bearer {key}")]);
    for scheme in ["Token", "Digest", "Negotiate", "ApiKey", "Bearer:"] {
        forger.lines(&format!("the scheme {scheme}"), &[&format!("authorization: {scheme} {key}")]);
    }
    let basic = |user: &str, password: &str| {
        format!("authorization: Basic {}", STANDARD.encode(format!("{user}:{password}")))
    };
    forger.lines("Basic with the key as user", &[&basic(&key, "")]);
    forger.lines("Basic with the key as password", &[&basic("", &key)]);
    forger.lines("a cookie", &[&format!("cookie: api_key={key}; authorization=Bearer%20{key}")]);
    forger.lines("another header", &[&format!("api-key: {key}"), &format!("x-auth-token: {key}")]);
    forger.lines("a header for proxies", &[&format!("proxy-authorization: Bearer {key}")]);

    // Two at once that say different things.
    let good = format!("authorization: Bearer {key}");
    let good_key = format!("x-api-key: {key}");
    let bad = "authorization: Bearer plinth_live_nobodys";
    let bobs = format!("x-api-key: {}", bob.key);
    forger.lines("a good and a bad Authorization", &[&good, bad]);
    forger.lines("a bad and a good Authorization", &[bad, &good]);
    forger.lines("a good Authorization and an empty one", &[&good, "authorization:"]);
    forger.lines("a good Authorization and a Basic one", &[&good, &basic("a", "b")]);
    forger.lines("Authorization of one and x-api-key of another", &[&good, &bobs]);
    forger.lines("two different x-api-key", &[&good_key, &bobs]);
    forger.lines("a good x-api-key and a bad Authorization", &[&good_key, bad]);
    forger.lines("a good x-api-key and a Basic Authorization", &[&good_key, &basic("a", "b")]);

    forger.target("a query parameter", format!("/v1/queries?api_key={key}"));
    forger.target("a query parameter of OAuth", format!("/v1/queries?access_token={key}"));

    // Keys that were good.
    let gone = ann.post("/v1/api-keys", json!({ "name": "gone", "scopes": ["full"] })).await;
    let path = format!("/v1/api-keys/{}", text(&gone.body["data"]["id"]));
    assert_eq!(ann.delete(&path).await.status, 204);
    forger.token("a revoked key", text(&gone.body["data"]["key"]));
    let soon = json!({ "name": "short", "scopes": ["full"], "expires_at": "2026-03-04T06:00:00Z" });
    let short = ann.post("/v1/api-keys", soon).await;
    app.clock.advance(SignedDuration::from_hours(1));
    forger.token("an expired key", text(&short.body["data"]["key"]));

    assert!(forger.kinds() >= 60, "{} kinds", forger.kinds());
    let accepted = forger.accepted(&app).await;
    assert!(accepted.is_empty(), "{} accepted:\n{}", accepted.len(), accepted.join("\n"));

    // The key itself was good all the time, also in both headers at once.
    let mut genuine = Forger::new();
    genuine.token("the key", &key);
    genuine.lines("the same key twice", &[&good, &good_key]);
    assert_eq!(genuine.accepted(&app).await.len(), 3);
}

pub(super) fn text(value: &serde_json::Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The text with another letter or digit at this byte.
fn other_at(text: &str, at: usize) -> String {
    let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
    format!("{}{other}{}", &text[..at], &text[at + 1..])
}

pub(super) fn turned(text: &str) -> String {
    let turn = |it: char| {
        if it.is_ascii_lowercase() { it.to_ascii_uppercase() } else { it.to_ascii_lowercase() }
    };
    text.chars().map(turn).collect()
}

/// The same letters as East Asian fonts have them.
fn wide(text: &str) -> String {
    text.chars().map(|it| char::from_u32(u32::from(it) + 0xfee0).unwrap()).collect()
}
