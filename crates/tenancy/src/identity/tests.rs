use serde_json::{Value, json};

use super::jwk::{Algorithm, read_set};
use super::provider::IdentityProvider;
use super::token::Unverified;
use crate::{Role, RoleKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use plinth_core::{OrgId, ProviderId};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};

/// A provider with an elliptic and an Edwards key.
struct Signer {
    p256: EcdsaKeyPair,
    ed: Ed25519KeyPair,
    random: SystemRandom,
}

impl Signer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
        let document = document.expect("randomness");
        let p256 =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random);
        let document = Ed25519KeyPair::generate_pkcs8(&random).expect("randomness");
        Self {
            p256: p256.expect("a key"),
            ed: Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("a key"),
            random,
        }
    }

    fn set(&self) -> Value {
        let point = self.p256.public_key().as_ref();
        json!({ "keys": [
            { "kty": "oct", "k": "c2VjcmV0", "kid": "shared" },
            { "kty": "EC", "crv": "P-256", "kid": "one", "use": "sig", "alg": "ES256",
              "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..]) },
            { "kty": "OKP", "crv": "Ed25519", "kid": "two",
              "x": URL_SAFE_NO_PAD.encode(self.ed.public_key().as_ref()) },
            { "kty": "RSA", "kid": "sealing", "use": "enc", "n": "AQAB", "e": "AQAB" },
        ]})
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |it: &Value| URL_SAFE_NO_PAD.encode(it.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = if header["alg"] == "ES256" {
            let signature = self.p256.sign(&self.random, signed.as_bytes()).expect("signs");
            signature.as_ref().to_vec()
        } else {
            self.ed.sign(signed.as_bytes()).as_ref().to_vec()
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn now() -> Timestamp {
    "2026-03-04T05:06:07Z".parse().expect("a time")
}

fn provider() -> IdentityProvider {
    IdentityProvider {
        id: ProviderId::new(now()),
        org: OrgId::new(now()),
        name: "Work".to_owned(),
        issuer: "https://id.example.com".to_owned(),
        jwks_url: "https://id.example.com/keys".to_owned(),
        audience: "plinth".to_owned(),
        email_claim: "email".to_owned(),
        groups_claim: "realm.roles".to_owned(),
        group_roles: vec![
            ("data".to_owned(), RoleKey::BuiltIn(Role::Editor)),
            ("all".to_owned(), RoleKey::BuiltIn(Role::Viewer)),
        ],
        default_role: None,
        is_active: true,
        created_at: now(),
    }
}

fn claims() -> Value {
    let at = now().as_second();
    json!({
        "iss": "https://id.example.com", "aud": ["other", "plinth"], "sub": "u-1",
        "exp": at + 300, "iat": at, "email": "ann@example.com", "realm": { "roles": ["all", "data"] },
    })
}

#[test]
fn a_good_token_says_who_somebody_is_and_in_which_groups() {
    let (signer, provider) = (Signer::new(), provider());
    let keys = read_set(&signer.set());
    assert_eq!(keys.len(), 2, "shared secrets and keys for sealing are passed over");
    for (alg, kid) in [("ES256", "one"), ("EdDSA", "two")] {
        let text = signer.sign(&json!({ "alg": alg, "kid": kid }), &claims());
        let token = Unverified::read(&text).expect("a token");
        let said = token.verify(&provider, &keys, now()).expect("a good one");
        assert_eq!(
            (said.subject.as_str(), said.email.as_deref()),
            ("u-1", Some("ann@example.com"))
        );
        assert_eq!(provider.role_of(&said.groups), Some(RoleKey::BuiltIn(Role::Editor)));
    }
    assert_eq!(provider.role_of(&["others".to_owned()]), None);
}

#[test]
fn whatever_is_not_as_it_should_be_is_not_believed() {
    let (signer, provider) = (Signer::new(), provider());
    let keys = read_set(&signer.set());
    let good = json!({ "alg": "EdDSA", "kid": "two" });
    let believed = |header: &Value, claims: &Value| {
        let text = signer.sign(header, claims);
        Unverified::read(&text).and_then(|it| it.verify(&provider, &keys, now())).is_some()
    };
    assert!(believed(&good, &claims()));
    let at = now().as_second();
    for (name, value) in [
        ("iss", json!("https://id.example.com/")),
        ("iss", json!(["https://id.example.com"])),
        ("aud", json!("other")),
        ("aud", json!({ "plinth": true })),
        ("aud", Value::Null),
        ("sub", json!("")),
        ("sub", json!(7)),
        ("exp", json!(at - 61)),
        ("exp", json!("never")),
        ("exp", Value::Null),
        ("exp", json!(at + 40 * 24 * 3600)),
        ("exp", json!(1e300)),
        ("nbf", json!(at + 120)),
        ("nbf", json!("now")),
        ("iat", json!(at + 120)),
    ] {
        let mut bad = claims();
        bad[name] = value.clone();
        assert!(!believed(&good, &bad), "{name} = {value}");
    }
    for header in [
        json!({ "alg": "none" }),
        json!({ "alg": "HS256", "kid": "shared" }),
        json!({ "alg": "ES256", "kid": "two" }),
        json!({ "alg": "EdDSA", "kid": "one" }),
        json!({ "alg": "EdDSA", "kid": "three" }),
        json!({ "alg": "EdDSA", "kid": "two", "crit": ["exp"] }),
        json!({ "alg": "EdDSA", "kid": "two", "enc": "A256GCM" }),
        json!({ "alg": "EdDSA", "kid": "two", "zip": "DEF" }),
        json!({ "alg": "eddsa", "kid": "two" }),
    ] {
        assert!(!believed(&header, &claims()), "{header}");
    }
    let text = signer.sign(&good, &claims());
    let (signed, _) = text.rsplit_once('.').expect("parts");
    for bad in
        ["", "a.b.c", &format!("{signed}."), &format!("{text}A"), &format!("{text}.{signed}")]
    {
        let token = Unverified::read(bad);
        assert!(token.and_then(|it| it.verify(&provider, &keys, now())).is_none(), "{bad}");
    }
}

#[test]
fn an_address_that_the_provider_is_not_sure_of_is_not_taken() {
    let (signer, provider) = (Signer::new(), provider());
    let keys = read_set(&signer.set());
    let header = json!({ "alg": "EdDSA", "kid": "two" });
    for (verified, taken) in
        [(json!(true), true), (json!("true"), true), (json!(false), false), (json!(1), false)]
    {
        let mut claims = claims();
        claims["email_verified"] = verified;
        let text = signer.sign(&header, &claims);
        let said = Unverified::read(&text).and_then(|it| it.verify(&provider, &keys, now()));
        assert_eq!(said.expect("good").email.is_some(), taken);
    }
}

/// The example of RFC 7515, appendix A.2.
#[test]
fn the_rsa_signature_of_the_standards_example_is_good_and_of_that_algorithm_only() {
    let set = json!({ "keys": [{
        "kty": "RSA", "e": "AQAB",
        "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
    }]});
    let signed = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
    let keys = read_set(&set);
    let message = signed.as_bytes();
    assert!(keys[0].has_signed(Algorithm::Rs256, message, &signature));
    assert!(!keys[0].has_signed(Algorithm::Ps256, message, &signature));
    assert!(!keys[0].has_signed(Algorithm::Es256, message, &signature));
    assert!(!keys[0].has_signed(Algorithm::Rs256, &message[1..], &signature));
}
