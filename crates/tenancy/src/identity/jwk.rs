use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::Value;

/// The signature algorithms that we take from outside: those of RFC 7518 and RFC 8037 that are asymmetric. A shared
/// secret is none: whoever checks could sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    /// The algorithm of that name in a token's header.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }
}

/// A public key of an identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublicKey {
    /// What tokens call it; `None` if the provider gives it no name.
    pub(super) id: Option<String>,
    /// The only algorithm that the provider uses it with, if it says so.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The shortest RSA modulus that is taken, in bytes (NIST SP 800-131A: 2048 bits).
const RSA_BYTES: usize = 256;

/// How many keys of a set are looked at: providers have a handful.
const KEYS_AT_MOST: usize = 64;

/// The keys of a set (RFC 7517) that can check signatures. A key that we cannot use is passed over: providers list
/// others beside, for encryption or of kinds yet to come.
pub(super) fn read_set(document: &Value) -> Vec<PublicKey> {
    let keys = document.get("keys").and_then(Value::as_array);
    keys.into_iter().flatten().take(KEYS_AT_MOST).filter_map(read).collect()
}

fn read(json: &Value) -> Option<PublicKey> {
    let jwk = Jwk::deserialize(json).ok()?;
    let is_for_signing = jwk.usage.as_deref().is_none_or(|it| it == "sig")
        && jwk.key_ops.as_ref().is_none_or(|it| it.iter().any(|it| it == "verify"));
    if !is_for_signing {
        return None;
    }
    let algorithm = match &jwk.alg {
        // A name that we do not know is a use that we do not know.
        Some(name) => Some(Algorithm::named(name)?),
        None => None,
    };
    let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
    let point = |size: usize| {
        let (x, y) = (bytes(&jwk.x)?, bytes(&jwk.y)?);
        let fits = x.len() == size && y.len() == size;
        // An uncompressed point (SEC 1, 2.3.3).
        fits.then(|| [&[4], x.as_slice(), y.as_slice()].concat())
    };
    let material = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => {
            let n = bytes(&jwk.n)?;
            let n = n.into_iter().skip_while(|it| *it == 0).collect::<Vec<_>>();
            if n.len() < RSA_BYTES {
                return None;
            }
            Material::Rsa { n, e: bytes(&jwk.e)? }
        }
        ("EC", Some("P-256")) => Material::P256(point(32)?),
        ("EC", Some("P-384")) => Material::P384(point(48)?),
        ("OKP", Some("Ed25519")) => Material::Ed25519(bytes(&jwk.x).filter(|it| it.len() == 32)?),
        _ => return None,
    };
    Some(PublicKey { id: jwk.kid, algorithm, material })
}

impl PublicKey {
    /// Whether this key signed `message` with that algorithm. The key decides which algorithms it can have been used with.
    pub(super) fn has_signed(&self, algorithm: Algorithm, message: &[u8], signed: &[u8]) -> bool {
        if self.algorithm.is_some_and(|it| it != algorithm) {
            return false;
        }
        let checked = match (&self.material, algorithm) {
            (Material::Rsa { n, e }, _) => {
                let scheme = match algorithm {
                    Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
                    Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                    Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                    Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
                    Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
                    Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
                    Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => return false,
                };
                RsaPublicKeyComponents { n, e }.verify(scheme, message, signed)
            }
            (Material::P256(point), Algorithm::Es256) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
                    .verify(message, signed)
            }
            (Material::P384(point), Algorithm::Es384) => {
                UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point)
                    .verify(message, signed)
            }
            (Material::Ed25519(key), Algorithm::EdDsa) => {
                UnparsedPublicKey::new(&signature::ED25519, key).verify(message, signed)
            }
            _ => return false,
        };
        checked.is_ok()
    }
}
