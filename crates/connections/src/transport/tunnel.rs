use std::fmt;
use std::str::FromStr;

use secrecy::{ExposeSecret as _, SecretString};

use super::{InvalidTransport, TransportField, ssh};
use crate::Host;

/// Where SSH servers listen unless they say otherwise.
pub const DEFAULT_SSH_PORT: u16 = 22;

/// A bastion through which a database is reached over SSH. The database's own host is then looked up and dialled by the
/// bastion.
#[derive(Clone, Debug)]
pub struct Tunnel {
    /// The bastion's name or address; the egress gate judges it at every dial.
    pub host: Host,
    /// Its SSH port.
    pub port: u16,
    /// Whom to log in as there.
    pub username: String,
    /// How to log in there.
    pub credential: TunnelCredential,
    /// What the bastion must prove to be, so that nobody is in the middle.
    pub host_key: HostKey,
}

/// How to log in to a bastion.
#[derive(Clone)]
pub enum TunnelCredential {
    /// By password.
    Password(SecretString),
    /// By key.
    PrivateKey {
        /// As `ssh-keygen` writes it, or as PEM.
        key: SecretString,
        /// What opens it, if it is encrypted.
        passphrase: Option<SecretString>,
    },
}

impl Tunnel {
    /// Takes what somebody gave. `port` is [`DEFAULT_SSH_PORT`] if none was given.
    ///
    /// # Errors
    ///
    /// [`InvalidTransport`] naming the field.
    pub fn parse(
        host: &str,
        port: Option<u16>,
        username: &str,
        password: Option<&SecretString>,
        private_key: Option<&SecretString>,
        passphrase: Option<&SecretString>,
        host_key: &str,
    ) -> Result<Self, InvalidTransport> {
        let wrong = |field, problem: &str| InvalidTransport::new(field, problem);
        let host =
            Host::parse(host).map_err(|it| wrong(TransportField::TunnelHost, &it.to_string()))?;
        let port = port.unwrap_or(DEFAULT_SSH_PORT);
        if port == 0 {
            return Err(wrong(TransportField::TunnelPort, "a port is a number from 1 to 65535"));
        }
        if username.is_empty() || username.len() > 128 || username.chars().any(char::is_control) {
            let problem = "a username has 1 to 128 bytes and no control characters";
            return Err(wrong(TransportField::TunnelUsername, problem));
        }
        let credential = TunnelCredential::parse(password, private_key, passphrase)?;
        let host_key = host_key.parse()?;
        Ok(Self { host, port, username: username.to_owned(), credential, host_key })
    }

    /// Whether it is another bastion, or one that proves to be itself by another key. The same key written another way
    /// counts as another: a fingerprint does not tell the key.
    pub(crate) fn is_other_than(&self, before: &Self) -> bool {
        (&self.host, self.port, &self.host_key) != (&before.host, before.port, &before.host_key)
    }
}

impl TunnelCredential {
    /// A password, or a private key with what opens it.
    ///
    /// # Errors
    ///
    /// [`InvalidTransport`] if there is neither or both, a passphrase without a key, or a key that cannot be read with it.
    pub fn parse(
        password: Option<&SecretString>,
        private_key: Option<&SecretString>,
        passphrase: Option<&SecretString>,
    ) -> Result<Self, InvalidTransport> {
        let wrong = |field, problem: &str| Err(InvalidTransport::new(field, problem));
        match (password, private_key) {
            (Some(_), Some(_)) => {
                wrong(TransportField::TunnelPassword, "give a password or a private key, not both")
            }
            (None, None) => {
                wrong(TransportField::TunnelPassword, "give a password or a private key")
            }
            (Some(_), None) if passphrase.is_some() => wrong(
                TransportField::TunnelPassphrase,
                "a passphrase opens a private key: give one",
            ),
            (Some(password), None) => {
                let text = password.expose_secret();
                if text.is_empty() || text.len() > 1024 || text.contains('\0') {
                    let problem = "a password has 1 to 1024 bytes and no NUL";
                    return wrong(TransportField::TunnelPassword, problem);
                }
                Ok(Self::Password(password.clone()))
            }
            (None, Some(key)) => {
                ssh::check_private_key(key, passphrase)?;
                Ok(Self::PrivateKey { key: key.clone(), passphrase: passphrase.cloned() })
            }
        }
    }
}

impl fmt::Debug for TunnelCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password",
            Self::PrivateKey { .. } => "PrivateKey",
        })
    }
}

/// What a bastion must prove to be: its public key, or the fingerprint of it. Parses from and prints as the text that
/// people know from `ssh-keyscan`, `known_hosts` and `ssh-keygen -l`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostKey {
    /// `ssh-ed25519 AAAA…`: the algorithm and the key in base64.
    PublicKey(String),
    /// `SHA256:…`, with 43 characters of base64 and no padding.
    Fingerprint(String),
}

impl HostKey {
    /// The text, as it was parsed but for comments and host names beside the key.
    pub fn as_str(&self) -> &str {
        match self {
            Self::PublicKey(it) | Self::Fingerprint(it) => it,
        }
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for HostKey {
    type Err = InvalidTransport;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        ssh::host_key(text)
    }
}
