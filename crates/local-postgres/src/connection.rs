use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};

/// How to reach a running cluster as its superuser.
#[derive(Clone, Debug)]
pub struct ConnectionParameters {
    /// An address of this machine.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The superuser, always [`SUPERUSER`](crate::SUPERUSER).
    pub user: String,
    /// The superuser's password; letters and digits only.
    pub password: SecretString,
    /// The server's certificate as PEM. Who verifies the server trusts this one and no other; it
    /// names `localhost`, `127.0.0.1` and `::1`.
    pub certificate: PathBuf,
}

impl ConnectionParameters {
    /// A URL for libpq and its kin to one database, encrypted, with the password in it.
    pub fn url(&self, database: &str) -> SecretString {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let (user, password, port) = (&self.user, self.password.expose_secret(), self.port);
        format!("postgresql://{user}:{password}@{host}:{port}/{database}?sslmode=require").into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::SUPERUSER;

    #[test]
    fn the_url_of_an_ipv6_host_has_brackets() {
        let connection = ConnectionParameters {
            host: "::1".to_owned(),
            port: 5433,
            user: SUPERUSER.to_owned(),
            password: "secret".into(),
            certificate: PathBuf::new(),
        };
        assert_eq!(
            connection.url("shop").expose_secret(),
            "postgresql://postgres:secret@[::1]:5433/shop?sslmode=require"
        );
    }
}
