//! TLS to customers' databases: what libpq's `sslmode` means, said in rustls.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use plinth_connections::{ClientCertificate, SslMode, Target};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use tokio_rustls::TlsConnector;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::oid::db::rfc5912::{
    ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, ECDSA_WITH_SHA_512, SHA_1_WITH_RSA_ENCRYPTION,
    SHA_256_WITH_RSA_ENCRYPTION, SHA_384_WITH_RSA_ENCRYPTION, SHA_512_WITH_RSA_ENCRYPTION,
};

/// The connectors for each way of checking a server's certificate; made once, because they hold the authorities. Connections that
/// bring certificates of their own get connectors of their own.
#[derive(Clone)]
pub(crate) struct Tls {
    provider: Arc<CryptoProvider>,
    machine: Roots,
    unchecked: TlsConnector,
    chain: TlsConnector,
    full: TlsConnector,
}

impl Tls {
    /// With the machine's authorities and those in `extra_pem`.
    ///
    /// # Errors
    ///
    /// If `extra_pem` has something that is no certificate.
    pub(crate) fn new(extra_pem: &[u8]) -> io::Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let native = rustls_native_certs::load_native_certs();
        for error in &native.errors {
            tracing::warn!(%error, "some of the machine's certificate authorities could not be read");
        }
        let machine = Roots::new(native.certs, extra_pem, &provider).map_err(io::Error::other)?;
        let connector =
            |check| connector(check, &machine, None, &provider).map_err(io::Error::other);
        let (unchecked, chain, full) =
            (connector(Check::Nothing)?, connector(Check::Chain)?, connector(Check::ChainAndName)?);
        Ok(Self { provider, machine, unchecked, chain, full })
    }

    /// What a target's mode and certificates ask for. The same as libpq makes of `sslmode` and `sslrootcert`: certificate authorities
    /// that were given are used, whatever the mode; without any, only the modes that verify look at the machine's.
    ///
    /// # Errors
    ///
    /// If the target's certificates or key cannot be used.
    pub(crate) fn connector(&self, target: &Target) -> Result<TlsConnector, Error> {
        let material = &target.tls;
        let check =
            match target.ssl_mode {
                SslMode::VerifyFull => Check::ChainAndName,
                SslMode::VerifyCa => Check::Chain,
                SslMode::Disable | SslMode::Prefer | SslMode::Require => {
                    if material.roots().is_some() { Check::Chain } else { Check::Nothing }
                }
            };
        if material.roots().is_none() && material.client().is_none() {
            return Ok(match check {
                Check::Nothing => self.unchecked.clone(),
                Check::Chain => self.chain.clone(),
                Check::ChainAndName => self.full.clone(),
            });
        }
        let own = material
            .roots()
            .map(|it| Roots::new(Vec::new(), it.as_bytes(), &self.provider))
            .transpose()?;
        connector(check, own.as_ref().unwrap_or(&self.machine), material.client(), &self.provider)
    }
}

/// The authorities that are trusted.
#[derive(Clone)]
struct Roots {
    /// `None` without any authority: then nothing is trusted but `exact`.
    webpki: Option<Arc<WebPkiServerVerifier>>,
    /// Those that may also be the server's own certificate.
    exact: Vec<CertificateDer<'static>>,
}

impl Roots {
    fn new(
        machine: Vec<CertificateDer<'static>>,
        pem: &[u8],
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(machine);
        let mut exact = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|it| Error::General(it.to_string()))?;
            roots.add(certificate.clone())?;
            exact.push(certificate);
        }
        let webpki = if roots.is_empty() {
            None
        } else {
            let builder =
                WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone());
            Some(builder.build().map_err(|it| Error::General(it.to_string()))?)
        };
        Ok(Self { webpki, exact })
    }
}

fn connector(
    check: Check,
    roots: &Roots,
    client: Option<&ClientCertificate>,
    provider: &Arc<CryptoProvider>,
) -> Result<TlsConnector, Error> {
    let verifier = Verifier {
        check,
        webpki: roots.webpki.clone(),
        extra: roots.exact.clone(),
        provider: provider.clone(),
    };
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match client {
        None => builder.with_no_client_auth(),
        Some(it) => {
            let pem = |it: rustls::pki_types::pem::Error| Error::General(it.to_string());
            let chain = CertificateDer::pem_slice_iter(it.chain().as_bytes());
            let chain = chain.collect::<Result<Vec<_>, _>>().map_err(pem)?;
            let key = it.key().expose_secret().as_bytes();
            builder
                .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key).map_err(pem)?)?
        }
    };
    // A ticket that one tenant's server gave must not say anything about another's session.
    config.resumption = Resumption::disabled();
    // Proxies in front of servers tell by this that Postgres is meant.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Nothing,
    Chain,
    ChainAndName,
}

#[derive(Debug)]
struct Verifier {
    check: Check,
    /// `None` on a machine without any authority: then nothing is trusted but `extra`.
    webpki: Option<Arc<WebPkiServerVerifier>>,
    extra: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.check == Check::Nothing {
            return Ok(ServerCertVerified::assertion());
        }
        // A server's self-signed certificate that is trusted as such. Webpki would not take it: it is its own authority, which an end
        // entity may not be. OpenSSL does, so people use it.
        if self.extra.iter().any(|it| it == end_entity) {
            within_validity(end_entity, now)?;
            if self.check == Check::ChainAndName {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        let unknown = || Err(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        let verified = self.webpki.as_ref().map_or_else(unknown, |it| {
            it.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        });
        match verified {
            // The name is looked at last: the chain is good.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.check == Check::Chain => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn within_validity(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let wrong = |it| Error::InvalidCertificate(it);
    let parsed =
        Certificate::from_der(certificate).map_err(|_| wrong(CertificateError::BadEncoding))?;
    let validity = parsed.tbs_certificate.validity;
    let now = Duration::from_secs(now.as_secs());
    if now < validity.not_before.to_unix_duration() {
        return Err(wrong(CertificateError::NotValidYet));
    }
    if now > validity.not_after.to_unix_duration() {
        return Err(wrong(CertificateError::Expired));
    }
    Ok(())
}

/// The hash of the server's certificate that ties a SCRAM login to this very TLS session (RFC 5929, `tls-server-end-point`): by
/// the hash function of the certificate's own signature, SHA-256 where that is weaker. `None` where the signature has no such function
/// (Ed25519), for which the standard says nothing.
pub(crate) fn end_point_hash(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let parsed = Certificate::from_der(certificate).ok()?;
    match parsed.signature_algorithm.oid {
        SHA_1_WITH_RSA_ENCRYPTION | SHA_256_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_256 => {
            Some(Sha256::digest(certificate).to_vec())
        }
        SHA_384_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_384 => {
            Some(Sha384::digest(certificate).to_vec())
        }
        SHA_512_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_512 => {
            Some(Sha512::digest(certificate).to_vec())
        }
        _ => None,
    }
}
