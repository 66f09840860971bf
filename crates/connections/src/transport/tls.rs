use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::{InvalidTransport, TransportField};

/// All certificate authorities of one connection together, in bytes: the largest bundles of hosting providers have some 200 kB.
const ROOTS_BYTES: usize = 512 << 10;

/// A client's certificate with its chain, or its key, in bytes.
const CLIENT_BYTES: usize = 64 << 10;

/// What a connection brings to TLS beside the machine's own authorities.
#[derive(Clone, Default)]
pub struct TlsMaterial {
    roots: Option<String>,
    client: Option<ClientCertificate>,
    /// Whether the login must be tied to the TLS session.
    pub channel_binding: ChannelBinding,
}

/// A certificate that shows the server who we are, with its private key.
#[derive(Clone)]
pub struct ClientCertificate {
    chain: String,
    key: SecretString,
}

impl TlsMaterial {
    /// Takes what somebody gave, all as PEM. `roots` holds one or more certificate authorities (or the server's own
    /// self-signed certificate); `certificate` is the client's, with the authorities between it and the root after it.
    ///
    /// # Errors
    ///
    /// [`InvalidTransport`] naming the field: not PEM, a private key where certificates belong, a certificate or a key
    /// alone, a key that does not fit its certificate or is encrypted, or a certificate out of date at `now`.
    pub fn parse(
        roots: Option<&str>,
        certificate: Option<&str>,
        key: Option<&SecretString>,
        channel_binding: ChannelBinding,
        now: Timestamp,
    ) -> Result<Self, InvalidTransport> {
        let roots = roots.map(|it| parse_roots(it, now)).transpose()?;
        let client = match (certificate, key) {
            (Some(chain), Some(key)) => Some(ClientCertificate::parse(chain, key, now)?),
            (None, None) => None,
            (Some(_), None) => {
                let problem = "a client certificate needs its private key beside it";
                return Err(InvalidTransport::new(TransportField::ClientKey, problem));
            }
            (None, Some(_)) => {
                let problem = "a private key needs its client certificate beside it";
                return Err(InvalidTransport::new(TransportField::ClientCertificate, problem));
            }
        };
        Ok(Self { roots, client, channel_binding })
    }

    /// Puts together again what [`Self::parse`] took before and a store kept. Checks nothing: what has expired since then
    /// shall fail at the server, with a diagnosis, and not make a record unreadable.
    pub fn from_stored(
        roots: Option<String>,
        client: Option<(String, SecretString)>,
        channel_binding: ChannelBinding,
    ) -> Self {
        let client = client.map(|(chain, key)| ClientCertificate { chain, key });
        Self { roots, client, channel_binding }
    }

    /// The certificate authorities as PEM; `None` means those of Plinth's machine.
    pub fn roots(&self) -> Option<&str> {
        self.roots.as_deref()
    }

    /// Who we are, if the server wants to see a certificate.
    pub fn client(&self) -> Option<&ClientCertificate> {
        self.client.as_ref()
    }
}

impl ClientCertificate {
    fn parse(chain: &str, key: &SecretString, now: Timestamp) -> Result<Self, InvalidTransport> {
        let field = TransportField::ClientCertificate;
        let certificates = certificates(field, chain, CLIENT_BYTES)?;
        match validity(field, &certificates[0], now)? {
            Validity::Now => {}
            Validity::Over(at) => {
                return Err(InvalidTransport::new(field, format!("it expired at {at}")));
            }
            Validity::Ahead(at) => {
                return Err(InvalidTransport::new(field, format!("it is not valid before {at}")));
            }
        }
        let private = private_key(key.expose_secret())?;
        let field = TransportField::ClientKey;
        let signer = ring::sign::any_supported_type(&private).map_err(|_| {
            let problem =
                "this kind of key cannot be used: give RSA (2048 bits or more), ECDSA on P-256 or P-384, or Ed25519";
            InvalidTransport::new(field, problem)
        })?;
        CertifiedKey::new(certificates, signer).keys_match().map_err(|_| {
            InvalidTransport::new(field, "it is not the key of the first certificate in `ssl_cert`")
        })?;
        Ok(Self { chain: chain.trim().to_owned(), key: key.clone() })
    }

    /// The certificate and its chain as PEM. Not secret.
    pub fn chain(&self) -> &str {
        &self.chain
    }

    /// The private key as PEM.
    pub fn key(&self) -> &SecretString {
        &self.key
    }
}

fn parse_roots(pem: &str, now: Timestamp) -> Result<String, InvalidTransport> {
    let field = TransportField::RootCertificates;
    let certificates = certificates(field, pem, ROOTS_BYTES)?;
    let mut store = RootCertStore::empty();
    let mut latest = None;
    let mut valid = false;
    for certificate in certificates {
        // Bundles keep authorities that have expired for those who still have old chains.
        match validity(field, &certificate, now)? {
            Validity::Now | Validity::Ahead(_) => valid = true,
            Validity::Over(at) => latest = latest.max(Some(at)),
        }
        store.add(certificate).map_err(|_| {
            InvalidTransport::new(field, "one of the certificates cannot be read as an authority")
        })?;
    }
    match latest {
        Some(at) if !valid => Err(InvalidTransport::new(field, format!("it expired at {at}"))),
        _ => Ok(pem.trim().to_owned()),
    }
}

/// The certificates in a PEM text, at least one.
fn certificates(
    field: TransportField,
    pem: &str,
    limit_bytes: usize,
) -> Result<Vec<CertificateDer<'static>>, InvalidTransport> {
    let wrong = |problem: &str| InvalidTransport::new(field, problem);
    if pem.len() > limit_bytes {
        return Err(wrong(&format!("it has more than {} kB", limit_bytes >> 10)));
    }
    // Certificates are shown again, so a key among them would be told to everybody who may look.
    if pem.contains("PRIVATE KEY-----") {
        return Err(wrong("there is a private key in it; give certificates only"));
    }
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match read {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(wrong(
            "it has no certificate: give the text between and with `-----BEGIN CERTIFICATE-----` and `-----END CERTIFICATE-----`, not a file's name",
        )),
        Err(_) => Err(wrong("it is not PEM: a line is damaged or missing")),
    }
}

fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, InvalidTransport> {
    let wrong = |problem: &str| InvalidTransport::new(TransportField::ClientKey, problem);
    if pem.len() > CLIENT_BYTES {
        return Err(wrong("it is too long for a private key"));
    }
    if pem.contains("ENCRYPTED") {
        return Err(wrong(
            "it is encrypted with a passphrase; give it in clear (`openssl pkey -in client.key`), it is kept encrypted here",
        ));
    }
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| {
        wrong("it is not a private key as PEM (`-----BEGIN PRIVATE KEY-----`, or one of RSA or EC)")
    })
}

enum Validity {
    Now,
    /// Not before.
    Ahead(Timestamp),
    /// Not after.
    Over(Timestamp),
}

fn validity(
    field: TransportField,
    certificate: &CertificateDer<'_>,
    now: Timestamp,
) -> Result<Validity, InvalidTransport> {
    let parsed = Certificate::from_der(certificate).map_err(|_| {
        InvalidTransport::new(field, "one of the certificates cannot be read: it is damaged")
    })?;
    let at = |it: Duration| {
        let seconds = i64::try_from(it.as_secs()).unwrap_or(i64::MAX);
        Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
    };
    let validity = parsed.tbs_certificate.validity;
    let (from, to) =
        (at(validity.not_before.to_unix_duration()), at(validity.not_after.to_unix_duration()));
    Ok(if now < from {
        Validity::Ahead(from)
    } else if now > to {
        Validity::Over(to)
    } else {
        Validity::Now
    })
}

impl fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsMaterial")
            .field("roots", &self.roots.as_ref().map(|it| format!("{} bytes", it.len())))
            .field("client", &self.client)
            .field("channel_binding", &self.channel_binding)
            .finish()
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").finish_non_exhaustive()
    }
}

/// Whether a login by SCRAM is tied to the TLS session it goes through, so that nobody who opened TLS up in between can
/// pass it on. The same as libpq's `channel_binding`. A stronger one is greater.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// Where the server can.
    #[default]
    Prefer,
    /// Always: a server that does not offer it, or lets us in without it, is refused.
    Require,
}

impl ChannelBinding {
    /// Its name in requests and in libpq.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
        }
    }
}

impl FromStr for ChannelBinding {
    type Err = InvalidTransport;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Disable, Self::Prefer, Self::Require]
            .into_iter()
            .find(|it| it.as_str() == text)
            .ok_or_else(|| {
                let problem = "channel_binding is one of disable, prefer, require";
                InvalidTransport::new(TransportField::ChannelBinding, problem)
            })
    }
}
