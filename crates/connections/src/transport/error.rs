use plinth_core::{Classify, ErrorKind};
use serde_json::{Value, json};

/// The fields of a request that say how a database is reached, beside host and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransportField {
    /// Certificate authorities, as PEM.
    RootCertificates,
    /// The client's certificate with its chain, as PEM.
    ClientCertificate,
    /// The client certificate's private key, as PEM.
    ClientKey,
    /// See [`crate::ChannelBinding`].
    ChannelBinding,
    /// The bastion's name or address.
    TunnelHost,
    /// The bastion's SSH port.
    TunnelPort,
    /// Whom to log in as at the bastion.
    TunnelUsername,
    /// The password there.
    TunnelPassword,
    /// The private key there.
    TunnelPrivateKey,
    /// What opens that private key.
    TunnelPassphrase,
    /// The bastion's own public key, or its fingerprint.
    TunnelHostKey,
}

impl TransportField {
    /// Its name in requests; what is inside another object has that object's name in front.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RootCertificates => "ssl_root_cert",
            Self::ClientCertificate => "ssl_cert",
            Self::ClientKey => "ssl_key",
            Self::ChannelBinding => "channel_binding",
            Self::TunnelHost => "tunnel.host",
            Self::TunnelPort => "tunnel.port",
            Self::TunnelUsername => "tunnel.username",
            Self::TunnelPassword => "tunnel.password",
            Self::TunnelPrivateKey => "tunnel.private_key",
            Self::TunnelPassphrase => "tunnel.passphrase",
            Self::TunnelHostKey => "tunnel.host_key",
        }
    }
}

/// What is wrong with a certificate, a key or a tunnel that somebody gave. Never holds any of their content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct InvalidTransport {
    /// Which field it is about.
    pub field: TransportField,
    problem: String,
}

impl InvalidTransport {
    pub(super) fn new(field: TransportField, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }

    /// Something that is needed is not there.
    pub(crate) fn missing(field: TransportField) -> Self {
        Self::new(field, "it is needed")
    }

    /// What logs in to a bastion would be shown to another one than it was given for.
    pub(crate) fn again(field: TransportField) -> Self {
        Self::new(
            field,
            "give it again: the bastion changes, or the key that the bastion must have",
        )
    }
}

impl Classify for InvalidTransport {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    fn details(&self) -> Option<Value> {
        Some(json!({ self.field.as_str(): self.problem }))
    }
}
