use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::jwk::{Algorithm, PublicKey};
use super::provider::IdentityProvider;

/// A longer text is not looked at. Providers put long lists of groups into tokens.
const TOKEN_BYTES_AT_MOST: usize = 16 * 1024;

/// By how much a provider's clock may differ from ours, in seconds.
const LEEWAY: i64 = 60;

/// The longest life of a token that is taken, in seconds. Nobody can take one back before.
const LIFE_AT_MOST: i64 = 24 * 3600;

/// The most groups that are looked at.
const GROUPS_AT_MOST: usize = 1000;

/// A token that was taken apart and not yet believed.
pub(super) struct Unverified<'t> {
    signed: &'t str,
    signature: Vec<u8>,
    algorithm: Algorithm,
    /// Which key it says it was signed with.
    pub(super) key_id: Option<String>,
    claims: Value,
}

/// What a provider says of a person, believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) subject: String,
    pub(super) email: Option<String>,
    pub(super) groups: Vec<String>,
    pub(super) expires_at: Timestamp,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
    /// Encrypted or compressed tokens are not ours to read.
    enc: Option<Value>,
    zip: Option<Value>,
}

impl<'t> Unverified<'t> {
    /// Takes a token apart. Nothing in it is believed yet: neither an address nor a key in its header is looked at.
    pub(super) fn read(text: &'t str) -> Option<Self> {
        if text.len() > TOKEN_BYTES_AT_MOST {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        if claims.contains('.') {
            return None;
        }
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        // Extensions that have to be understood are not (RFC 7515, 4.1.11).
        if header.crit.is_some() || header.enc.is_some() || header.zip.is_some() {
            return None;
        }
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        Some(Self {
            signed,
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
            algorithm: Algorithm::named(&header.alg)?,
            key_id: header.kid,
            claims: claims.is_object().then_some(claims)?,
        })
    }

    /// Who it says has made it.
    pub(super) fn issuer(&self) -> Option<&str> {
        // No provider can be given a longer one.
        self.claims.get("iss")?.as_str().filter(|it| it.len() <= 2000)
    }

    /// Whether it says that it is for `audience`.
    pub(super) fn is_for(&self, audience: &str) -> bool {
        match self.claims.get("aud") {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(several)) => several.iter().any(|it| it.as_str() == Some(audience)),
            _ => false,
        }
    }

    /// What it says, if one of the provider's keys has signed it, it is for us and good at `now`.
    pub(super) fn verify(
        &self,
        provider: &IdentityProvider,
        keys: &[PublicKey],
        now: Timestamp,
    ) -> Option<Said> {
        let named = keys.iter().filter(|key| match (&self.key_id, &key.id) {
            (Some(wanted), Some(id)) => wanted == id,
            // A token that names no key is checked against all; a named one never against another.
            (None, _) => true,
            (Some(_), None) => false,
        });
        let message = self.signed.as_bytes();
        let mut named = named;
        if !named.any(|key| key.has_signed(self.algorithm, message, &self.signature)) {
            return None;
        }
        let number = |name: &str| self.claims.get(name).and_then(seconds);
        let (at, ends) = (now.as_second(), number("exp")?);
        let begins = match self.claims.get("nbf") {
            Some(nbf) => seconds(nbf)?,
            None => i64::MIN,
        };
        let made = match self.claims.get("iat") {
            Some(iat) => seconds(iat)?,
            None => at,
        };
        let is_good = self.issuer() == Some(&provider.issuer)
            && self.is_for(&provider.audience)
            && ends > at - LEEWAY
            && ends - made.max(begins.min(at)) <= LIFE_AT_MOST + LEEWAY
            && ends - at <= LIFE_AT_MOST + LEEWAY
            && begins <= at + LEEWAY
            && made <= at + LEEWAY;
        if !is_good {
            return None;
        }
        let subject = self.claims.get("sub")?.as_str()?;
        if subject.is_empty() || subject.len() > 255 || subject.contains('\0') {
            return None;
        }
        // A provider that says it has not made sure of the address has no say about whose it is.
        let is_sure = self
            .claims
            .get("email_verified")
            .is_none_or(|it| *it == Value::Bool(true) || it.as_str() == Some("true"));
        let email = at_path(&self.claims, &provider.email_claim).and_then(Value::as_str);
        Some(Said {
            subject: subject.to_owned(),
            email: email.filter(|_| is_sure).map(str::to_owned),
            groups: groups(at_path(&self.claims, &provider.groups_claim)),
            expires_at: Timestamp::from_second(ends).ok()?,
        })
    }
}

/// Seconds since 1970, whole or with a fraction (RFC 7519, 2: `NumericDate`).
fn seconds(value: &Value) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "judged before")]
    let whole = |it: f64| (it.abs() < 1e15).then_some(it.floor() as i64);
    value
        .as_i64()
        .filter(|it| it.abs() < 1_000_000_000_000)
        .or_else(|| value.as_f64().and_then(whole))
}

/// The claim of that name, or what lies below it where the name has dots: `realm_access.roles`. A claim whose own name
/// has them comes first (`https://example.com/groups`).
fn at_path<'c>(claims: &'c Value, path: &str) -> Option<&'c Value> {
    claims.get(path).or_else(|| path.split('.').try_fold(claims, |value, name| value.get(name)))
}

fn groups(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(list)) => {
            let names = list.iter().filter_map(Value::as_str).map(str::to_owned);
            names.take(GROUPS_AT_MOST).collect()
        }
        Some(Value::String(one)) => vec![one.clone()],
        _ => Vec::new(),
    }
}
