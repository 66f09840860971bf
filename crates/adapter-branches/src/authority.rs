use plinth_local_postgres::ServerCertificate;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use secrecy::{ExposeSecret as _, SecretString};

/// Plinth's own certificate authority: clients that trust its certificate can check whom they talk to.
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
#[error("the certificate authority cannot be used: {0}")]
pub struct AuthorityError(#[from] rcgen::Error);

impl Authority {
    /// Makes one: its certificate and its key, both PEM.
    ///
    /// # Errors
    ///
    /// If the system has no randomness.
    pub fn make() -> Result<(String, SecretString), AuthorityError> {
        // ECDSA with SHA-256: Postgres ties logins to certificates by the hash of their signature, which Ed25519 has not.
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params().self_signed(&key)?;
        Ok((certificate.pem(), key.serialize_pem().into()))
    }

    /// Takes one that was made earlier.
    ///
    /// # Errors
    ///
    /// If the key is none.
    pub fn open(certificate: String, key: &SecretString) -> Result<Self, AuthorityError> {
        let key = KeyPair::from_pem(key.expose_secret())?;
        Ok(Self { certificate, issuer: Issuer::new(params(), key) })
    }

    /// Its certificate as PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Signs a certificate for a server that is reached under these names and addresses.
    ///
    /// # Errors
    ///
    /// If a name is none.
    pub fn issue(&self, names: &[String]) -> Result<ServerCertificate, AuthorityError> {
        let mut params = CertificateParams::new(names.to_vec())?;
        params.distinguished_name.push(DnType::CommonName, "Plinth endpoint");
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (params.not_before, params.not_after) =
            (date_time_ymd(2020, 1, 1), date_time_ymd(2120, 1, 1));
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let chain = format!("{}{}", certificate.pem(), self.certificate);
        Ok(ServerCertificate { chain, key: key.serialize_pem().into() })
    }
}

fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Plinth certificate authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Whoever has it trusts it for good; an expiry would only break what works.
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2120, 1, 1));
    params
}
