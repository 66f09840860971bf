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
