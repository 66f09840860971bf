//! The TLS handshake.

use std::io;

use plinth_connections::{Diagnosis, Fault, Place, SslMode, Stage, Target};
use rustls::{AlertDescription, CertificateError};

use super::{client_certificate, diagnosis, words};

pub(crate) fn tls_not_offered(mode: SslMode) -> Diagnosis {
    diagnosis(
        Stage::Tls,
        Fault::TlsNotOffered,
        "The server has TLS switched off",
        format!("`ssl_mode` is `{}`, and the server answered that it has no TLS.", mode.as_str()),
        &[
            "Switch TLS on at the server (`ssl = on` with a certificate).",
            "If the network in between is trusted, set `ssl_mode` to `prefer` or `disable`.",
        ],
    )
}

/// The server answered the question for TLS with an error, as one does that cannot start a process for us.
pub(crate) fn refused_before_tls() -> Diagnosis {
    diagnosis(
        Stage::Tls,
        Fault::NotReady,
        "The server refused before TLS could begin",
        "It answered with an error before anything was encrypted, so what it said is not trusted. A server that is out of memory or processes does so.",
        &["Try again in a moment.", "Look into the server's log for the reason."],
    )
}

/// The handshake did not come to its end, or the server ended the session over TLS right after it.
pub(crate) fn tls(error: &io::Error, target: &Target) -> Diagnosis {
    let inner = error.get_ref().and_then(|it| it.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(wrong)) => certificate(wrong, target),
        Some(rustls::Error::AlertReceived(alert)) => alerted(*alert, target),
        Some(rustls::Error::InvalidMessage(_)) => Diagnosis {
            explanation: "It seemed to agree to TLS and then did not speak it. An SSH server looks like this, whose greeting begins with the same letter; a bastion is given as `tunnel`."
                .to_owned(),
            ..tls_failed("")
        },
        Some(other) => tls_failed(&words(other)),
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe => diagnosis(
                Stage::Tls,
                Fault::TlsFailed,
                "The server broke the TLS handshake off",
                format!("It offered TLS and then closed the connection ({}).", words(error)),
                &[
                    "Look into the server's log for the reason.",
                    "Check that the server's TLS is version 1.2 or newer.",
                ],
            ),
            _ => tls_failed(&words(error)),
        },
    }
}

/// Whether what cut a session is an alert of TLS. In TLS 1.3 a server says so only after we think that the handshake is over.
pub(crate) fn is_alert(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|it| it.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::AlertReceived(_)))
}

/// The server ended the handshake and said why.
fn alerted(alert: AlertDescription, target: &Target) -> Diagnosis {
    use AlertDescription as Alert;
    let said = format!("The server ended the TLS handshake: {alert:?}.");
    match alert {
        Alert::CertificateRequired
        | Alert::NoCertificate
        | Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied => {
            Diagnosis { stage: Stage::Tls, ..client_certificate(said, target) }
        }
        Alert::ProtocolVersion | Alert::HandshakeFailure | Alert::InsufficientSecurity => {
            diagnosis(
                Stage::Tls,
                Fault::TlsFailed,
                "The server has no version or cipher of TLS in common with Plinth",
                said,
                &[
                    "Let the server take TLS 1.2 or 1.3 (`ssl_min_protocol_version`, `ssl_max_protocol_version`) and modern ciphers (`ssl_ciphers`).",
                    "If this is a database of a provider behind one address, check that the host is its name and not its address.",
                ],
            )
        }
        Alert::UnrecognisedName => diagnosis(
            Stage::Tls,
            Fault::TlsFailed,
            "The server does not know this host name",
            said,
            &["Use the host exactly as the provider gives it."],
        ),
        _ => tls_failed(&format!("the server said {alert:?}")),
    }
}

fn certificate(wrong: &CertificateError, target: &Target) -> Diagnosis {
    let host = match &target.place {
        Place::Typed { host, .. } => host.as_str(),
        Place::Managed { server } => server,
    };
    match wrong {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => diagnosis(
            Stage::Tls,
            Fault::CertificateExpired,
            "The server's certificate is out of date",
            format!("It has expired or is not valid yet ({}).", words(wrong)),
            &[
                "Renew the certificate at the server.",
                "Check the clocks of the server and of Plinth's machine.",
                "Until then `ssl_mode` `require` without `ssl_root_cert` encrypts without checking it.",
            ],
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let named = match wrong {
                CertificateError::NotValidForNameContext { presented, .. }
                    if presented.is_empty() =>
                {
                    "It has no subject alternative name at all: if the host is its common name only, that does not count".to_owned()
                }
                _ => words(wrong),
            };
            diagnosis(
                Stage::Tls,
                Fault::CertificateWrongName,
                format!("The server's certificate is not for {host}"),
                format!(
                    "`ssl_mode` `verify-full` wants a certificate that names the host, or its address if that is what was given, as a \
                     subject alternative name. {named}."
                ),
                &[
                    "Use the host that the certificate names.",
                    "Make a certificate with this host as a subject alternative name (`subjectAltName=DNS:…` or `IP:…`).",
                    "`ssl_mode` `verify-ca` trusts the authority without looking at the name.",
                ],
            )
        }
        _ => untrusted(wrong, target),
    }
}

fn untrusted(wrong: &CertificateError, target: &Target) -> Diagnosis {
    let why = words(wrong);
    let detail = if why.contains("UnsupportedCertVersion") {
        "It is an X.509 certificate of version 1, which has no extensions and is not trusted by TLS libraries of today"
    } else if target.tls.roots().is_some() {
        "It is not from an authority in `ssl_root_cert`, or the authorities between are missing at the server"
    } else {
        "It is self-signed, or from an authority that this machine does not know"
    };
    diagnosis(
        Stage::Tls,
        Fault::CertificateUntrusted,
        "The server's certificate is not from a trusted authority",
        format!("{detail} ({why})."),
        &[
            "Give the certificate of the server's authority in `ssl_root_cert`; of a self-signed server its own certificate.",
            "Use a certificate from a public authority.",
            "`ssl_mode` `require` without `ssl_root_cert` encrypts without checking who answers.",
        ],
    )
}

/// Our own side of it cannot be used: it was good when it was given.
pub(crate) fn material(error: &rustls::Error) -> Diagnosis {
    diagnosis(
        Stage::Tls,
        Fault::TlsFailed,
        "The certificates of this connection cannot be used",
        format!("They could not be loaded: {}.", words(error)),
        &["Give `ssl_root_cert`, `ssl_cert` and `ssl_key` anew."],
    )
}

fn tls_failed(words: &str) -> Diagnosis {
    diagnosis(
        Stage::Tls,
        Fault::TlsFailed,
        "TLS could not be agreed on with the server",
        format!("The handshake failed: {words}."),
        &[
            "Check that the server allows TLS 1.2 or newer.",
            "Check that the port is that of Postgres and not of a TLS proxy for something else.",
        ],
    )
}
