//! Certificates, good and bad.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    SanType,
};

/// A certificate and its private key.
pub struct Pem {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

/// Who signs certificates.
pub struct Authority {
    /// Its own certificate.
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A new key (ECDSA over P-256).
///
/// # Panics
///
/// If the library cannot make one.
pub fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key")
}

/// A new authority of that name.
///
/// # Panics
///
/// If the library cannot make one.
pub fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = key();
    let pem = params.self_signed(&key).expect("signed").pem();
    Authority { pem, issuer: Issuer::new(params, key) }
}

/// What a certificate says that is for this common name and these alternative names (addresses or host names).
///
/// # Panics
///
/// If a name is none.
pub fn named(common_name: &str, names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.subject_alt_names = names
        .iter()
        .map(|it| match it.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName((*it).try_into().expect("a name")),
        })
        .collect();
    params
}

impl Authority {
    /// Signs it, for a new key.
    ///
    /// # Panics
    ///
    /// If the library cannot.
    pub fn sign(&self, params: &CertificateParams) -> Pem {
        self.sign_key(params, &key())
    }

    /// Signs it for this key.
    ///
    /// # Panics
    ///
    /// If the library cannot.
    pub fn sign_key(&self, params: &CertificateParams, key: &KeyPair) -> Pem {
        let certificate = params.signed_by(key, &self.issuer).expect("signed").pem();
        Pem { certificate, key: key.serialize_pem() }
    }
}
