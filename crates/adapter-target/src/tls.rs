//! TLS to customers' databases: what libpq's `sslmode` means, said in rustls.

use std::io::{self, Cursor};
use std::sync::Arc;
use std::time::Duration;

use plinth_connections::SslMode;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use tokio_rustls::TlsConnector;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::oid::db::rfc5912::{
    ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, ECDSA_WITH_SHA_512, SHA_1_WITH_RSA_ENCRYPTION,
    SHA_256_WITH_RSA_ENCRYPTION, SHA_384_WITH_RSA_ENCRYPTION, SHA_512_WITH_RSA_ENCRYPTION,
};

/// The connectors for each way of checking a server's certificate; made once, because they hold the authorities.
#[derive(Clone)]
pub(crate) struct Tls {
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
        let mut roots = RootCertStore::empty();
        let native = rustls_native_certs::load_native_certs();
        for error in &native.errors {
            tracing::warn!(%error, "some of the machine's certificate authorities could not be read");
        }
        roots.add_parsable_certificates(native.certs);
        let mut extra = Vec::new();
        for certificate in CertificateDer::pem_reader_iter(Cursor::new(extra_pem)) {
            let certificate = certificate.map_err(io::Error::other)?;
            roots.add(certificate.clone()).map_err(io::Error::other)?;
            extra.push(certificate);
        }
        let webpki = if roots.is_empty() {
            None
        } else {
            let builder =
                WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone());
            Some(builder.build().map_err(io::Error::other)?)
        };
        let connector = |check| -> io::Result<TlsConnector> {
            let verifier = Verifier {
                check,
                webpki: webpki.clone(),
                extra: extra.clone(),
                provider: provider.clone(),
            };
            let mut config = ClientConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()
                .map_err(io::Error::other)?
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
                .with_no_client_auth();
            // A ticket that one tenant's server gave must not say anything about another's session.
            config.resumption = Resumption::disabled();
            // Proxies in front of servers tell by this that Postgres is meant.
            config.alpn_protocols = vec![b"postgresql".to_vec()];
            Ok(TlsConnector::from(Arc::new(config)))
        };
        Ok(Self {
            unchecked: connector(Check::Nothing)?,
            chain: connector(Check::Chain)?,
            full: connector(Check::ChainAndName)?,
        })
    }

    pub(crate) fn connector(&self, mode: SslMode) -> &TlsConnector {
        match mode {
            SslMode::Disable | SslMode::Prefer | SslMode::Require => &self.unchecked,
            SslMode::VerifyCa => &self.chain,
            SslMode::VerifyFull => &self.full,
        }
    }
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
