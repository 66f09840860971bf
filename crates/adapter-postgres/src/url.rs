use std::str::FromStr as _;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

use crate::tls::Verify;

/// Where our own database is: a `postgresql://` URL, read once.
#[derive(Clone)]
pub struct DatabaseUrl {
    config: Config,
    verify: Verify,
}

impl DatabaseUrl {
    /// Reads a URL. `sslmode` means what libpq means by it, `verify-ca` and `verify-full` included; `sslrootcert` names
    /// a PEM file of authorities to trust instead of the system's.
    ///
    /// # Errors
    ///
    /// [`InvalidUrl`], which never repeats the URL: it holds a password.
    pub fn parse(url: &SecretString) -> Result<Self, InvalidUrl> {
        let text = url.expose_secret();
        let known = ["postgresql://", "postgres://"].iter().any(|it| text.starts_with(it));
        if !known {
            return Err(InvalidUrl("it starts with postgresql:// or postgres://"));
        }
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let mut verify = Verify::Nothing;
        let mut mode = None;
        let mut roots = None;
        let mut kept = Vec::new();
        for pair in query.split('&').filter(|it| !it.is_empty()) {
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("sslmode", value) => mode = Some(value),
                ("sslrootcert", value) => roots = Some(value.replace("%2F", "/")),
                // The extended protocol and our own TLS do without it.
                ("channel_binding", _) => {}
                _ => kept.push(pair),
            }
        }
        let rest =
            if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) };
        let mut config =
            Config::from_str(&rest).map_err(|_| InvalidUrl("it is not a valid connection URL"))?;
        if config.get_user().is_none()
            || config.get_dbname().is_none()
            || config.get_hosts().is_empty()
        {
            return Err(InvalidUrl("it names a user, a host and a database"));
        }
        if !config.get_hostaddrs().is_empty() {
            return Err(InvalidUrl("`hostaddr` is not taken: give the address as the host"));
        }
        if config.get_options().is_some() {
            return Err(InvalidUrl("`options` is not taken: Plinth sets its own"));
        }
        config.ssl_mode(match mode {
            None | Some("prefer" | "allow") => SslMode::Prefer,
            Some("disable") => SslMode::Disable,
            Some("require") => {
                // With a root certificate libpq verifies the authority, as if told verify-ca.
                if roots.is_some() {
                    verify = Verify::Authority;
                }
                SslMode::Require
            }
            Some("verify-ca") => {
                verify = Verify::Authority;
                SslMode::Require
            }
            Some("verify-full") => {
                verify = Verify::Everything;
                SslMode::Require
            }
            Some(_) => {
                return Err(InvalidUrl(
                    "`sslmode` is disable, prefer, require, verify-ca or verify-full",
                ));
            }
        });
        let verify = verify.with_roots(roots)?;
        config.connect_timeout(Duration::from_secs(10));
        config.keepalives_idle(Duration::from_secs(30));
        config.application_name("plinth");
        Ok(Self { config, verify })
    }

    /// The database's name.
    pub fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or_default()
    }

    /// The first host, for messages.
    pub fn host(&self) -> String {
        match self.config.get_hosts().first() {
            Some(tokio_postgres::config::Host::Tcp(host)) => host.clone(),
            _ => "a local socket".to_owned(),
        }
    }

    /// The ports, to keep tenants from reaching them.
    pub fn addresses(&self) -> Vec<(String, u16)> {
        let ports = self.config.get_ports();
        let hosts = self.config.get_hosts().iter().enumerate();
        hosts
            .map(|(at, host)| match host {
                tokio_postgres::config::Host::Tcp(host) => {
                    (host.clone(), ports.get(at).or(ports.first()).copied().unwrap_or(5432))
                }
                // By TCP the same server is on this machine.
                tokio_postgres::config::Host::Unix(_) => (
                    "127.0.0.1".to_owned(),
                    ports.get(at).or(ports.first()).copied().unwrap_or(5432),
                ),
            })
            .collect()
    }

    /// For connections to a database that need not be ours.
    pub(crate) fn plain(&self) -> (Config, &Verify) {
        (self.config.clone(), &self.verify)
    }

    /// For connections as the owner.
    pub(crate) fn as_owner(&self) -> (Config, &Verify) {
        let mut config = self.config.clone();
        config.options("-c search_path=plinth");
        (config, &self.verify)
    }

    /// For connections as the runtime role: it takes effect before the first statement, so no statement ever runs as
    /// the owner.
    pub(crate) fn as_app(&self) -> (Config, &Verify) {
        let mut config = self.config.clone();
        config.options(
            "-c search_path=plinth -c role=plinth_app -c statement_timeout=30s \
             -c idle_in_transaction_session_timeout=60s -c lock_timeout=10s",
        );
        (config, &self.verify)
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DatabaseUrl({})", self.host())
    }
}

/// A database URL that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the database URL cannot be used: {0}")]
pub struct InvalidUrl(pub(crate) &'static str);

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DatabaseUrl, InvalidUrl> {
        DatabaseUrl::parse(&text.to_owned().into())
    }

    #[test]
    fn every_mode_of_libpq_is_understood() {
        for mode in ["disable", "prefer", "require", "verify-full"] {
            let url = format!("postgresql://u:p@db.example.com/plinth?sslmode={mode}");
            assert!(parse(&url).is_ok(), "{mode}");
        }
        assert!(parse("postgresql://u:p@h/d?sslmode=maybe").is_err());
        assert!(parse("mysql://u:p@h/d").is_err());
        assert!(parse("postgresql://u:p@h/d?options=-c%20role%3Dx").is_err());
        assert!(parse("postgresql://h").is_err());
    }

    #[test]
    fn neither_debug_nor_errors_show_the_password() {
        let url = parse("postgresql://u:hunter2@h/d").expect("good");
        assert_eq!(format!("{url:?}"), "DatabaseUrl(h)");
        let err = parse("postgresql://u:hunter2@/").expect_err("no host");
        assert!(!err.to_string().contains("hunter2"));
    }
}
