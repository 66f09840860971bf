use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore, crypto::ring};

/// TLS for clients, with the one provider of this workspace and the machine's authorities (those of `SSL_CERT_FILE` and
/// `SSL_CERT_DIR`, if set); Mozilla's where the machine has none, as in a bare container. `more` are trusted beside them.
///
/// # Errors
///
/// If one of `more` is no authority.
pub fn tls_config(more: &[CertificateDer<'static>]) -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(%error, "some of the machine's certificate authorities could not be read");
    }
    roots.add_parsable_certificates(native.certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for authority in more {
        roots.add(authority.clone())?;
    }
    Ok(ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// A text that holds no certificates of authorities. It is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "has to be one or more certificates of authorities as PEM, beginning with -----BEGIN CERTIFICATE-----"
)]
pub struct InvalidAuthorities;

/// Reads certificates of authorities from PEM, as a file of them has it.
///
/// # Errors
///
/// [`InvalidAuthorities`] if there is none, or one that cannot be trusted as an authority.
pub fn authorities(pem: &str) -> Result<Vec<CertificateDer<'static>>, InvalidAuthorities> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let all = read.map_err(|_| InvalidAuthorities)?;
    let mut roots = RootCertStore::empty();
    let good = all.iter().all(|it| roots.add(it.clone()).is_ok());
    if all.is_empty() || !good || pem.contains("PRIVATE KEY-----") {
        return Err(InvalidAuthorities);
    }
    Ok(all)
}
