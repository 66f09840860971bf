use plinth_core::OrgId;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    Connection, DataKey, Location, Login, Sealed, TlsMaterial, Tunnel, TunnelCredential, VaultError,
};

/// What a connection keeps sealed beside its record. Each value opens in its own column of its own row only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The role's password.
    pub password: Sealed,
    /// The client certificate's private key.
    pub client_key: Option<Sealed>,
    /// What logs in to the bastion.
    pub tunnel: Option<Sealed>,
}

impl Credentials {
    /// Seals what is secret in a login, for the connection `id`.
    ///
    /// # Errors
    ///
    /// [`VaultError::NoRandomness`] if the system has none.
    pub fn seal(key: &DataKey, org: OrgId, id: Uuid, login: &Login) -> Result<Self, VaultError> {
        let at = |column| location(org, id, column);
        let client_key = login.tls.client().map(|it| key.seal(at(CLIENT_KEY), it.key()));
        let tunnel = login.tunnel.as_ref().map(|it| key.seal(at(TUNNEL), &write(&it.credential)));
        Ok(Self {
            password: key.seal(at(PASSWORD), &login.password)?,
            client_key: client_key.transpose()?,
            tunnel: tunnel.transpose()?,
        })
    }

    /// Puts record and credentials together again.
    ///
    /// # Errors
    ///
    /// [`VaultError::DoesNotOpen`] if one of them was sealed for another place, or is missing.
    pub fn open(&self, key: &DataKey, it: &Connection) -> Result<Login, VaultError> {
        let at = |column| location(it.org, it.id.as_uuid(), column);
        let client = match (&it.tls.certificate, &self.client_key) {
            (Some(chain), Some(sealed)) => Some((chain.clone(), key.open(at(CLIENT_KEY), sealed)?)),
            (None, None) => None,
            _ => return Err(VaultError::DoesNotOpen),
        };
        let tunnel = match (&it.tunnel, &self.tunnel) {
            (Some(settings), Some(sealed)) => Some(Tunnel {
                host: settings.host.clone(),
                port: settings.port,
                username: settings.username.clone(),
                credential: read(&key.open(at(TUNNEL), sealed)?)?,
                host_key: settings.host_key.clone(),
            }),
            (None, None) => None,
            _ => return Err(VaultError::DoesNotOpen),
        };
        Ok(Login {
            place: it.place.clone(),
            database: it.database.clone(),
            username: it.username.clone(),
            password: key.open(at(PASSWORD), &self.password)?,
            ssl_mode: it.ssl_mode,
            tls: TlsMaterial::from_stored(it.tls.roots.clone(), client, it.tls.channel_binding),
            tunnel,
        })
    }
}

const PASSWORD: &str = "password";
const CLIENT_KEY: &str = "client_key";
const TUNNEL: &str = "tunnel";

fn location(org: OrgId, id: Uuid, column: &'static str) -> Location<'static> {
    Location { org, table: "connections", column, record: id }
}

/// How what logs in to a bastion is written before it is sealed.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Written {
    Password(String),
    PrivateKey { key: String, passphrase: Option<String> },
}

fn write(credential: &TunnelCredential) -> SecretString {
    let clear = |it: &SecretString| it.expose_secret().to_owned();
    let written = match credential {
        TunnelCredential::Password(password) => Written::Password(clear(password)),
        TunnelCredential::PrivateKey { key, passphrase } => {
            Written::PrivateKey { key: clear(key), passphrase: passphrase.as_ref().map(clear) }
        }
    };
    let text = serde_json::to_string(&written).expect("texts can be written");
    wipe(written);
    text.into()
}

fn read(text: &SecretString) -> Result<TunnelCredential, VaultError> {
    let written =
        serde_json::from_str(text.expose_secret()).map_err(|_| VaultError::DoesNotOpen)?;
    Ok(match written {
        Written::Password(password) => TunnelCredential::Password(password.into()),
        Written::PrivateKey { key, passphrase } => {
            TunnelCredential::PrivateKey { key: key.into(), passphrase: passphrase.map(Into::into) }
        }
    })
}

/// Leaves no copy in freed memory.
fn wipe(written: Written) {
    match written {
        Written::Password(password) => drop(Zeroizing::new(password)),
        Written::PrivateKey { key, passphrase } => {
            drop(Zeroizing::new(key));
            drop(passphrase.map(Zeroizing::new));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_logs_in_to_a_bastion_reads_back() {
        let secret = |text: &str| SecretString::from(text.to_owned());
        for credential in [
            TunnelCredential::Password(secret("a \"quoted\" password")),
            TunnelCredential::PrivateKey { key: secret("key\n"), passphrase: Some(secret("p")) },
            TunnelCredential::PrivateKey { key: secret("key\n"), passphrase: None },
        ] {
            let written = write(&credential);
            let again = write(&read(&written).expect("reads"));
            assert_eq!(written.expose_secret(), again.expose_secret());
        }
        assert!(read(&secret("{}")).is_err());
    }
}
