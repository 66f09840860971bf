use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use jiff::SignedDuration;
use plinth_tenancy::signing::Rotation;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::forged::{Forger, text};
use crate::app::{PASSWORD, TestApp, address, send};
use crate::oauth::handed_out;

/// A key that signs tokens, of which the test has the private half.
struct Mint {
    pair: Ed25519KeyPair,
    id: String,
}

impl Mint {
    /// A key that is nobody's.
    fn of(seed: [u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        Self { pair, id: URL_SAFE_NO_PAD.encode(Sha256::digest(canonical)) }
    }

    /// A key of the server's own: with it, whatever is wrong with a token is not its signature.
    async fn of_server(app: &TestApp) -> Self {
        let seed = [0x5c; 32];
        let mint = Self::of(seed);
        let seal = app.installation.derive("signing keys");
        let nonce = [7; 12];
        let body = Aes256Gcm::new(&(*seal).into())
            .encrypt(&Nonce::from(nonce), Payload { msg: &seed, aad: mint.id.as_bytes() })
            .unwrap();
        let sealed = [nonce.as_slice(), &body].concat();
        let hex = hex(&sealed);
        app.behind_its_back(&format!(
            "INSERT INTO signing_keys VALUES ('{}', '\\x{hex}', '2026-03-01T00:00:00Z')",
            mint.id
        ))
        .await;
        // Keys that were read are trusted for a second.
        app.clock.advance(SignedDuration::from_secs(2));
        mint
    }

    fn header(&self) -> Value {
        json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": self.id })
    }

    /// A token of these texts.
    fn sign(&self, header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = part(self.pair.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    fn token(&self, claims: &Value) -> String {
        self.sign(self.header().to_string(), claims.to_string())
    }
}

fn part(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// The object with this member, or without it for `None`.
fn with(object: &Value, name: &str, value: Option<Value>) -> Value {
    let mut object = object.clone();
    let fields = object.as_object_mut().unwrap();
    match value {
        Some(value) => fields.insert(name.to_owned(), value),
        None => fields.remove(name),
    };
    object
}

/// A token signed with HMAC-SHA-256 and this key.
fn hmac(header: &Value, claims: &Value, key: &[u8]) -> String {
    let signed = format!("{}.{}", part(header.to_string()), part(claims.to_string()));
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", part(mac.finalize().into_bytes()))
}

/// The same signature with S + L for S: RFC 8032 refuses it, early libraries did not.
fn malleable(token: &str) -> String {
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut carry = 0;
    for (byte, add) in bytes[32..].iter_mut().zip(L) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = (sum & 0xff) as u8;
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    format!("{signed}.{}", part(bytes))
}

#[actix_web::test]
async fn nothing_but_a_token_of_a_sign_in_is_taken_for_one() {
    let app = TestApp::start().await;
    let setup = app.services.tenancy.prepare_setup().await.unwrap().unwrap();
    let ann_key = app.owner_with_password("Acme").await;
    app.owner_with_password("Other").await;
    let mint = Mint::of_server(&app).await;
    let stranger = Mint::of([0x77; 32]);
    let (ann, signed_in) = app.sign_in(&address("Acme")).await;
    let (bob, bobs) = app.sign_in(&address("Other")).await;
    let genuine = ann.key.clone();
    let claims = |token: &str| -> Value {
        let part = token.split('.').nth(1).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    let (mine, his) = (claims(&genuine), claims(&bob.key));
    let now = mine["iat"].as_i64().unwrap();
    let header = mint.header();
    let mut forger = Forger::new();

    // The algorithm is the key's, not the token's.
    let unsigned = |alg: &str| {
        let header = with(&header, "alg", Some(alg.into())).to_string();
        format!("{}.{}.", part(header), part(mine.to_string()))
    };
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        forger.token(&format!("alg `{alg}`, unsigned"), unsigned(alg));
        let header = with(&header, "alg", Some(alg.into())).to_string();
        forger.token(&format!("alg `{alg}`, signed"), mint.sign(header, mine.to_string()));
    }
    for alg in ["RS256", "PS512", "ES256", "HS256", "Ed25519", "Ed448", "eddsa", "EdDSA "] {
        let header = with(&header, "alg", Some(alg.into())).to_string();
        forger.token(&format!("alg {alg} over our signature"), mint.sign(header, mine.to_string()));
    }
    for alg in [Value::Null, json!(1), json!(["EdDSA"]), json!({ "EdDSA": true })] {
        let header = with(&header, "alg", Some(alg.clone())).to_string();
        forger.token(&format!("alg {alg}"), mint.sign(header, mine.to_string()));
    }
    let no_alg = with(&header, "alg", None).to_string();
    forger.token("no alg", mint.sign(no_alg, mine.to_string()));
    let public = mint.pair.public_key().as_ref();
    let der =
        [&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0], public].concat();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(&der)
    );
    let jwks = send(app.request("GET", "/.well-known/jwks.json")).await;
    assert!(jwks.text.contains(&mint.id), "{}", jwks.text);
    let ours = jwks.body["keys"].as_array().unwrap();
    let ours = ours.iter().find(|it| it["kid"] == json!(mint.id)).unwrap();
    let x = part(public);
    let secrets: [(&str, &[u8]); 8] = [
        ("the public key's bytes", public),
        ("the public key in base64url", x.as_bytes()),
        ("the public key as PEM", pem.as_bytes()),
        ("the public key as DER", &der),
        ("the public key as JWK", &serde_json::to_vec(ours).unwrap()),
        ("the key set", jwks.text.as_bytes()),
        ("the key's id", mint.id.as_bytes()),
        ("nothing", b""),
    ];
    let symmetric = with(&header, "alg", Some("HS256".into()));
    for (what, secret) in secrets {
        forger.token(&format!("HMAC with {what}"), hmac(&symmetric, &mine, secret));
        forger.token(&format!("HMAC with {what}, called EdDSA"), hmac(&header, &mine, secret));
    }

    // The key is one of ours, and the header has no say in where it is.
    for (what, kid) in [
        ("unknown", stranger.id.as_str()),
        ("empty", ""),
        ("a path", "../../../../../../dev/null"),
        ("a file", "/etc/passwd"),
        ("SQL", "' UNION SELECT 'x' --"),
        ("an address", "http://127.0.0.1:1/keys"),
        ("a command", "$(id)|id"),
        ("with a NUL", "\0"),
        ("long", &"k".repeat(4000)),
        ("with a blank behind", &format!("{} ", mint.id)),
        ("in other case", &super::forged::turned(&mint.id)),
    ] {
        let header = with(&header, "kid", Some(kid.into())).to_string();
        forger.token(&format!("kid {what}"), mint.sign(&header, mine.to_string()));
        forger.token(
            &format!("kid {what}, a stranger's key"),
            stranger.sign(header, mine.to_string()),
        );
    }
    for kid in [None, Some(Value::Null), Some(json!([mint.id])), Some(json!(0))] {
        let what = format!("kid {kid:?}");
        let header = with(&header, "kid", kid).to_string();
        forger.token(&what, mint.sign(header, mine.to_string()));
    }
    forger.token("our kid, a stranger's key", stranger.sign(header.to_string(), mine.to_string()));
    let stranger_jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": part(stranger.pair.public_key()), "kid": stranger.id });
    let certificate = STANDARD.encode(stranger.pair.public_key());
    for (name, value) in [
        ("jwk", stranger_jwk.clone()),
        ("jku", json!("http://127.0.0.1:1/jwks.json")),
        ("x5u", json!("http://127.0.0.1:1/key.pem")),
        ("x5c", json!([certificate])),
        ("x5t", json!(certificate)),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("cty", json!("JWT")),
        ("enc", json!("A256GCM")),
        ("anything", json!(1)),
    ] {
        let more = with(&header, name, Some(value));
        forger
            .token(&format!("{name} in the header"), mint.sign(more.to_string(), mine.to_string()));
        for kid in [&mint.id, &stranger.id] {
            let more = with(&more, "kid", Some(json!(kid)));
            let token = stranger.sign(more.to_string(), mine.to_string());
            forger.token(&format!("{name} of a stranger, kid {kid}"), token);
        }
    }
    for typ in [
        None,
        Some("JWT"),
        Some("AT+JWT"),
        Some("application/at+jwt"),
        Some("rt+jwt"),
        Some("logout+jwt"),
    ] {
        let header = with(&header, "typ", typ.map(Into::into)).to_string();
        forger.token(&format!("typ {typ:?}"), mint.sign(header, mine.to_string()));
    }
    let (id, body) = (&mint.id, mine.to_string());
    for (what, header) in [
        ("alg twice", format!(r#"{{"alg":"none","alg":"EdDSA","typ":"at+jwt","kid":"{id}"}}"#)),
        (
            "alg twice, the other way",
            format!(r#"{{"alg":"EdDSA","alg":"none","typ":"at+jwt","kid":"{id}"}}"#),
        ),
        (
            "kid twice",
            format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{}","kid":"{id}"}}"#, stranger.id),
        ),
        ("a header with something behind it", format!("{header}{header}")),
        ("a header with a byte order mark", format!("\u{feff}{header}")),
        ("a header that is a text", json!(header.to_string()).to_string()),
        ("a header that is a number", "1".to_owned()),
        ("a header that is null", "null".to_owned()),
        ("an empty header", String::new()),
        ("an empty object for a header", "{}".to_owned()),
    ] {
        forger.token(what, mint.sign(header, &body));
    }

    // Made by us, for us, for that person, now.
    let url = app.url.as_str();
    let claim = |name: &str, value: Value| mint.token(&with(&mine, name, Some(value)));
    for name in ["iss", "aud", "sub", "sid", "iat", "nbf", "exp", "jti"] {
        forger.token(&format!("no {name}"), mint.token(&with(&mine, name, None)));
        for value in [Value::Null, json!([mine[name]]), json!({}), json!(true)] {
            forger.token(&format!("{name} {value}"), claim(name, value.clone()));
        }
    }
    for name in ["iss", "aud"] {
        for value in
            ["https://plinth.example.com", &format!("{url}/"), &url.to_uppercase(), "", "*"]
        {
            forger.token(&format!("{name} `{value}`"), claim(name, value.into()));
        }
    }
    for (what, name, value) in [
        ("another person", "sub", his["sub"].clone()),
        ("nobody", "sub", json!("usr_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
        ("an e-mail address", "sub", json!(address("Acme"))),
        ("upper case", "sub", text(&mine["sub"]).to_uppercase().into()),
        ("another person's session", "sid", his["sid"].clone()),
        ("no session", "sid", json!("sess_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
        ("another's organization", "org", his["org"].clone()),
        ("no organization", "org", json!("018f3a2b-4c5d-7e6f-8091-a2b3c4d5e6f7")),
        ("a word", "org", json!("Acme")),
        ("an app that nobody has", "client_id", json!("app_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
        ("scopes without an app", "scope", json!("queries:read")),
        ("a past", "exp", json!(now - 1)),
        ("just now", "exp", json!(now)),
        ("zero", "exp", json!(0)),
        ("before 1970", "exp", json!(-1)),
        ("a text", "exp", json!((now + 300).to_string())),
        ("a fraction", "exp", json!(300.5)),
        ("longer than ours live", "exp", json!(now + 601)),
        ("years", "exp", json!(now + 10 * 365 * 86400)),
        ("milliseconds", "exp", json!((now + 300) * 1000)),
        ("the greatest number", "exp", json!(i64::MAX)),
        ("more than the greatest number", "exp", json!(u64::MAX)),
        ("an exponent", "exp", json!(1e300)),
        ("later", "nbf", json!(now + 120)),
        ("a text", "nbf", json!(now.to_string())),
        ("the greatest number", "nbf", json!(i64::MAX)),
        ("later", "iat", json!(now + 120)),
        ("long ago", "iat", json!(0)),
        ("the least number", "iat", json!(i64::MIN)),
        ("a date", "iat", json!("2026-03-04T05:06:07Z")),
        ("a word", "jti", json!("x")),
        ("a right that nobody gave", "admin", json!(true)),
        ("scopes in a list", "scopes", json!(["admin"])),
        ("a role", "role", json!("owner")),
        ("an address", "email", json!(address("Other"))),
    ] {
        forger.token(&format!("{name}: {what}"), claim(name, value));
    }
    let inner = body.trim_end_matches('}');
    for (what, claims) in [
        ("sub twice", format!(r#"{inner},"sub":{}}}"#, his["sub"])),
        ("exp twice", format!(r#"{inner},"exp":{}}}"#, now + 300)),
        ("org twice", format!(r#"{inner},"org":{}}}"#, his["org"])),
        ("claims with something behind them", format!("{body}{body}")),
        ("claims with a byte order mark", format!("\u{feff}{body}")),
        ("claims that are a text", json!(body).to_string()),
        ("a token within a token", mint.token(&mine)),
        ("no claims", "{}".to_owned()),
        ("empty claims", String::new()),
        ("claims that are null", "null".to_owned()),
        ("claims cut in the middle", body[..body.len() / 2].to_owned()),
        ("claims nested deeply", "[".repeat(4000)),
    ] {
        forger.token(what, mint.sign(header.to_string(), claims));
    }
    let bytes = [body.as_bytes(), &[0xff, 0xfe]].concat();
    forger.token("claims that are no text", mint.sign(header.to_string(), bytes));
    let long = with(&mine, "note", Some("x".repeat(100 * 1024).into()));
    forger.token("100 KB of claims", mint.token(&long));

    // Its text is as we write it.
    let good = mint.token(&mine);
    let parts: Vec<&str> = good.split('.').collect();
    let (head, middle, signature) = (parts[0], parts[1], parts[2]);
    let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let other =
        mint.token(&with(&mine, "jti", Some(json!("018f3a2b-4c5d-7e6f-8091-a2b3c4d5e6f7"))));
    let other: Vec<&str> = other.split('.').collect();
    let standard = |text: &str| STANDARD.encode(URL_SAFE_NO_PAD.decode(text).unwrap());
    let padded = |text: &str| URL_SAFE.encode(URL_SAFE_NO_PAD.decode(text).unwrap());
    for (what, token) in [
        ("a signature that is S + L", malleable(&good)),
        ("a signature of zeros", format!("{head}.{middle}.{}", part([0; 64]))),
        (
            "a signature with the neutral point",
            format!("{head}.{middle}.{}", part([[1].as_slice(), &[0; 63]].concat())),
        ),
        ("a signature of the greatest bytes", format!("{head}.{middle}.{}", part([0xff; 64]))),
        ("a signature cut by a byte", format!("{head}.{middle}.{}", part(&bytes[..63]))),
        (
            "a signature with a byte more",
            format!("{head}.{middle}.{}", part([&bytes, [0].as_slice()].concat())),
        ),
        ("a signature twice", format!("{head}.{middle}.{}", part([&bytes[..], &bytes].concat()))),
        (
            "the halves of the signature turned around",
            format!("{head}.{middle}.{}", part([&bytes[32..], &bytes[..32]].concat())),
        ),
        ("another token's signature", format!("{head}.{middle}.{}", other[2])),
        ("another token's claims", format!("{head}.{}.{signature}", other[1])),
        (
            "a stranger's header",
            format!("{}.{middle}.{signature}", part(stranger.header().to_string())),
        ),
        ("no signature", format!("{head}.{middle}")),
        ("an empty signature", format!("{head}.{middle}.")),
        ("no header", format!(".{middle}.{signature}")),
        ("no claims between the dots", format!("{head}..{signature}")),
        ("two dots", "..".to_owned()),
        ("a dot", ".".to_owned()),
        ("four parts", format!("{good}.{signature}")),
        ("four parts, the first empty", format!(".{good}")),
        ("five parts, as encrypted ones have", format!("{good}.{signature}.{head}")),
        ("five empty parts", "....".to_owned()),
        ("padding behind the signature", format!("{head}.{middle}.{}", padded(signature))),
        ("padding behind everything", format!("{good}==")),
        (
            "the standard alphabet",
            format!("{}.{}.{}", standard(head), standard(middle), standard(signature)),
        ),
        ("last bits that say nothing", format!("{}{}", &good[..good.len() - 1], next(&good))),
        ("a blank in the middle", format!("{head}. {middle}.{signature}")),
        ("a comma for a dot", good.replace('.', ",")),
        ("dots percent-encoded", good.replace('.', "%2E")),
        ("a full-width dot", good.replace('.', "\u{ff0e}")),
        ("upper case", good.to_uppercase()),
        ("lower case", good.to_lowercase()),
        ("in quotes", format!("\"{good}\"")),
        ("a NUL behind it", format!("{good}\0")),
        ("a zero-width space behind it", format!("{good}\u{200b}")),
        (
            "in JSON",
            json!({ "protected": head, "payload": middle, "signature": signature }).to_string(),
        ),
        ("two tokens", format!("{good},{good}")),
        ("as a key", format!("plinth_live_{good}")),
        ("in base64 once more", STANDARD.encode(&good)),
        ("100 KB of dots", ".".repeat(100 * 1024)),
    ] {
        forger.token(what, token);
    }

    // Other things that we hand out.
    forger.token("a refresh token", text(&signed_in.body["data"]["refresh_token"]));
    forger.token("another's refresh token", text(&bobs.body["data"]["refresh_token"]));
    forger.token("a session's id", text(&signed_in.body["data"]["session_id"]));
    forger.token("a key set", serde_json::to_string(ours).unwrap());
    forger.token("a token of another installation", another_installations().await);
    let invited = json!({ "email": "new@example.com", "role": "viewer" });
    let invited = ann.post("/v1/team/members", invited).await;
    let invited = app.invitation_token(&text(&invited.body["data"]["id"]), 1);
    forger.token("the token of an invitation", &invited);
    let email = plinth_tenancy::Email::parse(&address("Acme")).unwrap();
    let (reset, _) = app.services.accounts.make_reset(&email).await.unwrap().unwrap();
    forger.token("the token of a password reset", reset.expose_secret());
    forger.token("a setup token", setup.expose());
    for (what, token) in handed_out(&app, &ann_key, &address("Acme")).await {
        forger.token(what, token);
    }

    // The right token in the wrong place.
    forger.lines("in x-api-key", &[&format!("x-api-key: {good}")]);
    forger.lines("a cookie", &[&format!("cookie: access_token={good}")]);
    forger.lines("no scheme", &[&format!("authorization: {good}")]);
    forger.lines("the scheme DPoP", &[&format!("authorization: DPoP {good}")]);
    forger.target("a query parameter", format!("/v1/queries?access_token={good}"));
    let bearer = format!("authorization: Bearer {good}");
    let key = format!("x-api-key: {}", ann_key.key);
    let bobs_line = format!("authorization: Bearer {}", bob.key);
    forger.lines("a token and a key", &[&bearer, &key]);
    forger.lines("two tokens of two people", &[&bearer, &bobs_line]);
    forger.lines(
        "a token and a key in the same header",
        &[&bearer, &format!("authorization: Bearer {}", ann_key.key)],
    );
    forger.lines(
        "a token and an unsigned one",
        &[&bearer, &format!("authorization: Bearer {}", unsigned("none"))],
    );

    assert!(forger.kinds() >= 60, "{} kinds", forger.kinds());
    let accepted = forger.accepted(&app).await;
    assert!(accepted.is_empty(), "{} accepted:\n{}", accepted.len(), accepted.join("\n"));

    // The tokens that all of this was made from are good.
    for token in [&genuine, &good] {
        assert_eq!(app.somebody(token).get("/v1/queries").await.status, 200, "{token}");
    }
}

#[actix_web::test]
async fn a_token_that_was_good_ends_with_what_it_stands_on() {
    let app = TestApp::start().await;
    app.owner_with_password("Acme").await;
    let address = address("Acme");
    let mut forger = Forger::new();
    let sign_in = async || app.sign_in(&address).await.0;

    let out = sign_in().await;
    assert_eq!(send(out.request("POST", "/v1/auth/logout")).await.status, 204);
    forger.token("of a session that was left", &out.key);

    let (ended, answer) = app.sign_in(&address).await;
    let path = format!("/v1/me/sessions/{}", text(&answer.body["data"]["session_id"]));
    assert_eq!(sign_in().await.delete(&path).await.status, 204);
    forger.token("of a session that was ended from another", &ended.key);

    let (elsewhere, everywhere) = (sign_in().await, sign_in().await);
    assert_eq!(send(everywhere.request("POST", "/v1/auth/logout-all")).await.status, 204);
    forger.token("of a session that was ended with all others", &elsewhere.key);
    forger.token("of the session that ended all", &everywhere.key);

    let (elsewhere, here) = (sign_in().await, sign_in().await);
    let same = json!({ "current_password": PASSWORD, "new_password": PASSWORD });
    assert_eq!(here.post("/v1/auth/password", same).await.status, 204);
    forger.token("of a session before the password changed", &elsewhere.key);

    let (robbed, answer) = app.sign_in(&address).await;
    let refresh = json!({ "refresh_token": answer.body["data"]["refresh_token"] });
    for _ in 0..2 {
        app.clock.advance(SignedDuration::from_secs(20));
        send(app.request("POST", "/v1/auth/refresh").json(&refresh)).await;
    }
    forger.token("of a session whose refresh token came twice", &robbed.key);

    let old = sign_in().await;
    app.services.accounts.signing().rotate(Rotation::Compromised).await.unwrap();
    forger.token("of a key that was taken back", &old.key);

    // None of them has expired yet.
    let accepted = forger.accepted(&app).await;
    assert!(accepted.is_empty(), "{} accepted:\n{}", accepted.len(), accepted.join("\n"));

    let aged = sign_in().await;
    assert_eq!(aged.get("/v1/queries").await.status, 200);
    app.clock.advance(SignedDuration::from_mins(10));
    let mut forger = Forger::new();
    forger.token("that has expired", &aged.key);
    assert_eq!(forger.accepted(&app).await, Vec::<String>::new());
    assert_eq!(sign_in().await.get("/v1/queries").await.status, 200);
}

#[actix_web::test]
async fn an_organization_is_picked_by_its_members_only() {
    let app = TestApp::start().await;
    let key = app.owner_with_password("Acme").await;
    app.owner_with_password("Other").await;
    let (ann, mine) = app.sign_in(&address("Acme")).await;
    let (_, his) = app.sign_in(&address("Other")).await;
    let org = |answer: &crate::app::Answer| text(&answer.body["data"]["organizations"][0]["id"]);
    let (own, other) = (org(&mine), org(&his));
    for person in [&ann, &key] {
        let pick = async |values: &[&str]| {
            let mut request = person.request("GET", "/v1/queries");
            for value in values {
                request = request.header("x-tenant-id", *value);
            }
            send(request).await
        };
        assert_eq!(pick(&[&own]).await.status, 200);
        let theirs = pick(&[&other]).await;
        let none = pick(&["018f3a2b-4c5d-7e6f-8091-a2b3c4d5e6f7"]).await;
        assert_eq!(theirs.error(), (403, "authorization_error"), "{}", theirs.text);
        assert_eq!(theirs.plain(&other), none.plain("018f3a2b-4c5d-7e6f-8091-a2b3c4d5e6f7"));
        for wrong in [
            &["Acme"][..],
            &[""],
            &["*"],
            &["null"],
            &[&format!("{own},{other}")],
            &[&own, &other],
            &[&other, &own],
            &["00000000-0000-0000-0000-000000000000"],
        ] {
            let answer = pick(wrong).await;
            assert!([403, 422].contains(&answer.status), "{wrong:?} {}", answer.told());
        }
    }
}

async fn another_installations() -> String {
    let app = TestApp::start().await;
    app.owner_with_password("Acme").await;
    app.sign_in(&address("Acme")).await.0.key
}

/// The letter after the last one: it differs in bits that are behind the signature's last byte.
fn next(token: &str) -> char {
    let last = token.chars().last().unwrap();
    char::from_u32(u32::from(last) + 1).unwrap()
}

/// The bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, it| {
        write!(text, "{it:02x}").unwrap();
        text
    })
}
