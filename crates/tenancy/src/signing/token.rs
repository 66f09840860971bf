use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use plinth_core::{AppId, OrgId, SessionId, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::key::SigningKey;

/// How long a token is good. Short, because other services that only check its signature cannot know that a session
/// ended; we ourselves ask at most a second later.
pub const LIFETIME: SignedDuration = SignedDuration::from_mins(10);

/// By how much the clock of the server that made a token may be ahead of ours. There is no such allowance at the end: a
/// token is good until it says it is not, and asking for a new one is cheap.
const AHEAD: SignedDuration = SignedDuration::from_secs(30);

/// A longer text is not looked at.
pub const TOKEN_BYTES_AT_MOST: usize = 8 * 1024;

/// The only kind of token that we sign with these keys (RFC 9068); one made for another purpose is none.
const KIND: &str = "at+jwt";
const ALGORITHM: &str = "EdDSA";

/// A signed access token, to be handed to its owner.
#[derive(Clone)]
pub struct AccessToken {
    /// The text: a JSON Web Token.
    pub text: secrecy::SecretString,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessToken").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// What a token says. Times are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// Who made it: our public URL.
    pub iss: String,
    /// For whom it is: the same.
    pub aud: String,
    /// Whose it is.
    pub sub: UserId,
    /// The sign-in, or what was granted to an app, that it comes from.
    pub sid: SessionId,
    /// The organization that it is for, unless a request picks another one; none for a person who is in none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org: Option<OrgId>,
    /// The app that it was given to, if it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<AppId>,
    /// What an app may do with it, with blanks between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// When it was made.
    pub iat: i64,
    /// From when it is good.
    pub nbf: i64,
    /// Until when it is good.
    pub exp: i64,
    /// Its own id.
    pub jti: Uuid,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    kid: &'a str,
}

/// Writes a token.
pub(super) fn write(claims: &Claims, key: &SigningKey) -> String {
    let header = Header { alg: ALGORITHM, typ: KIND, kid: key.id() };
    let part = |json: Vec<u8>| URL_SAFE_NO_PAD.encode(json);
    let mut text = part(serde_json::to_vec(&header).expect("texts can be written"));
    text.push('.');
    text.push_str(&part(serde_json::to_vec(claims).expect("claims can be written")));
    let signature = key.sign(text.as_bytes());
    text.push('.');
    text.push_str(&URL_SAFE_NO_PAD.encode(signature));
    text
}

/// Reads a token strictly: nothing is taken from it before its signature was checked, but the name of a key of ours.
///
/// The algorithm is the key's. The header has to name it, and has to have nothing else but the kind of the token and the
/// key: neither a key of its own nor where to fetch one, and no extension that we would have to know (`crit`). What is
/// not written exactly as we write it is not ours.
pub(super) fn read<'k>(
    text: &str,
    find: impl FnOnce(&str) -> Option<&'k SigningKey>,
) -> Option<(Claims, &'k SigningKey)> {
    if text.len() > TOKEN_BYTES_AT_MOST {
        return None;
    }
    let (signed, signature) = text.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    if claims.contains('.') {
        return None;
    }
    let header = URL_SAFE_NO_PAD.decode(header).ok()?;
    let header: Header<'_> = serde_json::from_slice(&header).ok()?;
    if header.alg != ALGORITHM || header.typ != KIND {
        return None;
    }
    let key = find(header.kid)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    if !key.has_signed(signed.as_bytes(), &signature) {
        return None;
    }
    let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
    Some((serde_json::from_slice(&claims).ok()?, key))
}

impl Claims {
    /// Whether the token is good at `now`, and made by and for `issuer`.
    pub(super) fn is_good(&self, issuer: &str, now: Timestamp) -> bool {
        let at = now.as_second();
        self.iss == issuer
            && self.aud == issuer
            && self.exp > at
            && self.nbf <= at + AHEAD.as_secs()
            && self.iat <= at + AHEAD.as_secs()
            // None of ours is good for longer, whoever made it.
            && self.exp.checked_sub(self.iat).is_some_and(|it| it <= LIFETIME.as_secs())
            // What is granted to an app is narrower than what its person may: the one without the other would say less
            // than it means.
            && self.client_id.is_some() == self.scope.is_some()
    }

    /// Until when the token is good.
    pub fn expires_at(&self) -> Timestamp {
        Timestamp::from_second(self.exp).unwrap_or(Timestamp::MIN)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const ISSUER: &str = "https://plinth.example.com";

    fn key() -> SigningKey {
        SigningKey::generate(&[3; 32]).expect("randomness").0
    }

    fn start() -> Timestamp {
        "2026-03-04T05:06:07Z".parse().expect("a time")
    }

    fn claims() -> Claims {
        let at = start().as_second();
        Claims {
            iss: ISSUER.to_owned(),
            aud: ISSUER.to_owned(),
            sub: UserId::new(start()),
            sid: SessionId::new(start()),
            org: Some(OrgId::new(start())),
            client_id: None,
            scope: None,
            iat: at,
            nbf: at,
            exp: at + LIFETIME.as_secs(),
            jti: Uuid::nil(),
        }
    }

    /// Header and claims as given, signed all the same.
    fn signed(header: &str, claims: &str, key: &SigningKey) -> String {
        let [header, claims] = [header, claims].map(|it| URL_SAFE_NO_PAD.encode(it));
        let text = format!("{header}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(key.sign(text.as_bytes()));
        format!("{text}.{signature}")
    }

    fn accepted(text: &str, key: &SigningKey) -> bool {
        let found = read(text, |id| (id == key.id()).then_some(key));
        found.is_some_and(|(claims, _)| claims.is_good(ISSUER, start()))
    }

    fn usual_header(key: &SigningKey) -> Value {
        json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": key.id() })
    }

    #[test]
    fn a_token_of_ours_reads_back() {
        let key = key();
        let claims = claims();
        let text = write(&claims, &key);
        let (read, by) = read(&text, |id| (id == key.id()).then_some(&key)).expect("ours");
        assert_eq!((&read, by.id()), (&claims, key.id()));
        assert!(accepted(&text, &key));
        let header = usual_header(&key).to_string();
        let again = signed(&header, &serde_json::to_string(&claims).expect("json"), &key);
        assert!(
            accepted(&again, &key),
            "the helper below makes good tokens when it changes nothing"
        );
    }

    #[test]
    fn a_header_says_three_things_and_each_as_we_say_it() {
        let key = key();
        let claims = serde_json::to_string(&claims()).expect("json");
        let with = |name: &str, value: Value| {
            let mut header = usual_header(&key);
            header[name] = value;
            header.to_string()
        };
        let mut headers = vec![
            with("alg", json!("none")),
            with("alg", json!("HS256")),
            with("alg", json!("eddsa")),
            with("alg", json!(["EdDSA"])),
            with("typ", json!("JWT")),
            with("typ", json!("AT+JWT")),
            with("typ", json!("application/at+jwt")),
            with("typ", json!("refresh+jwt")),
            with("kid", json!("another")),
            with("kid", Value::Null),
            with("crit", json!(["exp"])),
            with("b64", json!(false)),
            with("jwk", json!({ "kty": "OKP" })),
            with("jku", json!("https://example.com/keys")),
            with("x5u", json!("https://example.com/cert")),
            with("zip", json!("DEF")),
            with("cty", json!("JWT")),
        ];
        for name in ["alg", "typ", "kid"] {
            let mut header = usual_header(&key);
            header.as_object_mut().expect("an object").remove(name);
            headers.push(header.to_string());
        }
        let kid = key.id();
        headers.push(format!(r#"{{"alg":"none","alg":"EdDSA","typ":"at+jwt","kid":"{kid}"}}"#));
        headers.push(usual_header(&key).to_string() + " x");
        headers.push("[]".to_owned());
        for header in headers {
            assert!(!accepted(&signed(&header, &claims, &key), &key), "{header}");
        }
    }

    #[test]
    fn claims_are_whole_and_of_the_right_kind_and_time() {
        let key = key();
        let header = usual_header(&key).to_string();
        let at = start().as_second();
        let with = |name: &str, value: Value| {
            let mut claims = serde_json::to_value(claims()).expect("json");
            claims[name] = value;
            claims
        };
        let mut wrong = vec![
            with("iss", json!("https://example.com")),
            with("iss", json!([ISSUER])),
            with("aud", json!("https://example.com")),
            with("aud", json!([ISSUER, "https://example.com"])),
            with("exp", json!(at)),
            with("exp", json!(at - 1)),
            with("exp", serde_json::from_str(&format!("{at}.5")).expect("a number")),
            with("exp", json!((at + 60).to_string())),
            with("exp", json!(at + 3_600)),
            with("exp", json!(1e300)),
            with("nbf", json!(at + 31)),
            with("iat", json!(at + 31)),
            with("sub", json!("user_x")),
            with("sub", with("sid", Value::Null)["sid"].clone()),
            with("sid", json!(claims().sub.to_string())),
            with("org", json!("everywhere")),
            with("admin", json!(true)),
        ];
        for name in ["iss", "aud", "sub", "sid", "iat", "nbf", "exp", "jti"] {
            let mut claims = serde_json::to_value(claims()).expect("json");
            claims.as_object_mut().expect("an object").remove(name);
            wrong.push(claims);
        }
        for claims in wrong {
            assert!(!accepted(&signed(&header, &claims.to_string(), &key), &key), "{claims}");
        }
        for (name, value) in [("nbf", at + 30), ("iat", at + 30), ("exp", at + 1)] {
            let claims = with(name, json!(value)).to_string();
            assert!(accepted(&signed(&header, &claims, &key), &key), "{name} {value}");
        }
    }

    #[test]
    fn another_spelling_of_a_good_token_is_none() {
        let key = key();
        let good = write(&claims(), &key);
        let (signed, signature) = good.rsplit_once('.').expect("three parts");
        let padded = format!("{signed}.{signature}==");
        let standard = format!("{signed}.{}", signature.replace('-', "+").replace('_', "/"));
        // The last character of 64 bytes carries four bits that mean nothing.
        let last = signature.chars().last().expect("not empty");
        let other_last = if last == 'A' { 'B' } else { char::from(last as u8 + 1) };
        let stray_bits = format!("{signed}.{}{other_last}", &signature[..signature.len() - 1]);
        let unsigned = format!("{signed}.");
        let by_another = format!(
            "{signed}.{}",
            write(&claims(), &self::key()).rsplit_once('.').expect("parts").1
        );
        for bad in [
            padded,
            stray_bits,
            unsigned,
            by_another,
            signed.to_owned(),
            format!("{good}."),
            format!(".{good}"),
            format!(" {good}"),
            format!("{good}\n"),
            format!("{good}.{signature}"),
            good.replace('.', ".."),
            good.to_uppercase(),
            "a".repeat(TOKEN_BYTES_AT_MOST + 1),
            String::new(),
            "..".to_owned(),
        ] {
            assert!(!accepted(&bad, &key), "{bad}");
        }
        assert!(standard == good || !accepted(&standard, &key));
    }

    proptest! {
        #[test]
        fn one_changed_character_makes_a_token_none(at: prop::sample::Index, to in "[A-Za-z0-9_.-]") {
            let key = key();
            let good = write(&claims(), &key);
            let mut changed = good.clone();
            let at = at.index(good.len());
            changed.replace_range(at..=at, &to);
            prop_assert_eq!(accepted(&changed, &key), changed == good);
        }

        #[test]
        fn whatever_a_stranger_sends_as_token_is_read_without_harm(text in ".{0,200}") {
            prop_assert!(!accepted(&text, &key()));
        }
    }
}
