use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::error::ClusterError;
use crate::folder::Folder;
use crate::run_user::RunUser;

/// The name of every cluster's superuser.
pub const SUPERUSER: &str = "postgres";

/// A server's certificate with its key, both PEM.
#[derive(Clone)]
pub struct ServerCertificate {
    /// The certificate, and after it those of the authorities between it and the root.
    pub chain: String,
    /// Its private key.
    pub key: SecretString,
}

impl std::fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerCertificate")
    }
}

/// How a cluster is to be made and run.
#[derive(Clone, Debug)]
pub struct ClusterSettings {
    /// The cluster's own folder; made if missing. As root, the user that runs the server must be
    /// able to enter all its parents.
    pub folder: PathBuf,
    /// The TCP port; `None` takes a free one and keeps it from start to start as long as nobody
    /// else takes it.
    pub port: Option<u16>,
    /// Where free ports are looked for when `port` is `None`.
    pub ports: RangeInclusive<u16>,
    /// The certificate that the server shows; `None` for one of its own, which is its own authority.
    pub certificate: Option<ServerCertificate>,
    /// The addresses to listen on; at least one. Clients from other machines also need lines in
    /// [`access_rules`](Self::access_rules).
    pub listen: Vec<IpAddr>,
    /// Whether clients on this machine may connect without TLS. They need the password either way.
    pub plaintext_on_loopback: bool,
    /// Lines for `pg_hba.conf`, after those for this machine.
    pub access_rules: Vec<String>,
    /// Server settings that go before our defaults, as in `postgresql.conf`. Those that the
    /// cluster's own working rests on (addresses, port, TLS files, log) cannot be changed here.
    /// `fsync = off` also skips the flush after initialization.
    pub server: Vec<(String, String)>,
    /// The user to run the server as; `None` keeps the user that owns the data, else
    /// [`RunUser::choose`].
    pub run_as: Option<RunUser>,
    /// How long a start may take, crash recovery included.
    pub start_limit: Duration,
    /// How long an orderly stop may take before sessions and the closing checkpoint are cut short.
    pub stop_limit: Duration,
}

impl ClusterSettings {
    /// Settings for a small server on loopback, as safe with its data as Postgres is by default.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            port: None,
            // Below the range from which the system serves outgoing connections, which would come and go on it; and below
            // the ports that a node keeps for its branches by default (24000 to 27999), to which tenants may not connect.
            ports: 16_384..=23_999,
            certificate: None,
            listen: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            plaintext_on_loopback: true,
            access_rules: Vec::new(),
            server: Vec::new(),
            run_as: None,
            start_limit: Duration::from_mins(2),
            stop_limit: Duration::from_secs(30),
        }
    }

    /// Whether the data must outlive a crash of the machine.
    pub(crate) fn durable(&self) -> bool {
        let last = self.server.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case("fsync"));
        last.is_none_or(|(_, value)| {
            !matches!(value.to_ascii_lowercase().as_str(), "off" | "false" | "no" | "0")
        })
    }

    /// The text of `postgresql.conf`. The last of several lines for a setting counts, so ours that
    /// must hold come last.
    pub(crate) fn server_file(
        &self,
        folder: &Folder,
        id: &str,
        port: u16,
    ) -> Result<String, ClusterError> {
        let mut file = String::from("# Written at every start: changes here are lost.\n");
        for (name, value) in DEFAULTS {
            line(&mut file, name, value)?;
        }
        for (name, value) in &self.server {
            line(&mut file, name, value)?;
        }
        let listen: Vec<_> = self.listen.iter().map(IpAddr::to_string).collect();
        line(&mut file, "listen_addresses", &listen.join(","))?;
        line(&mut file, "port", &port.to_string())?;
        // No Unix socket: its path may have 107 bytes at most, and who may use it would be a second
        // set of rules.
        line(&mut file, "unix_socket_directories", "")?;
        line(&mut file, "hba_file", folder.text(&folder.access_file())?)?;
        line(&mut file, "ssl", "on")?;
        line(&mut file, "ssl_cert_file", folder.text(&folder.certificate())?)?;
        line(&mut file, "ssl_key_file", folder.text(&folder.certificate_key())?)?;
        line(&mut file, "password_encryption", "scram-sha-256")?;
        // It stands in the title of every process, by which those of a server that died are found.
        line(&mut file, "cluster_name", id)?;
        line(&mut file, "logging_collector", "off")?;
        line(&mut file, "log_destination", "stderr")?;
        Ok(file)
    }

    /// The text of `pg_hba.conf`.
    pub(crate) fn access_file(&self) -> String {
        let mut file = String::from("# Written at every start: changes here are lost.\n");
        let kind = if self.plaintext_on_loopback { "host" } else { "hostssl" };
        for network in ["127.0.0.1/32", "::1/128"] {
            let _ = writeln!(file, "{kind} all all {network} scram-sha-256");
        }
        for rule in &self.access_rules {
            let _ = writeln!(file, "{rule}");
        }
        file
    }
}

/// What a small server wants and Postgres does not do by itself.
const DEFAULTS: [(&str, &str); 12] = [
    ("max_connections", "100"),
    ("shared_buffers", "128MB"),
    // Short questions: compiling them costs more than it brings.
    ("jit", "off"),
    ("ssl_min_protocol_version", "TLSv1.2"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("lc_messages", "C"),
    ("log_line_prefix", "%m [%p] %q%u@%d "),
    ("log_checkpoints", "off"),
    // Statements may carry passwords and people's data: they stay out of the log.
    ("log_statement", "none"),
    ("log_min_error_statement", "panic"),
    ("log_error_verbosity", "terse"),
];

fn line(file: &mut String, name: &str, value: &str) -> Result<(), ClusterError> {
    let refuse = |reason| ClusterError::Setting { name: name.to_owned(), reason };
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.') {
        return Err(refuse("its name may have letters, digits, `_` and `.`"));
    }
    if value.chars().any(char::is_control) {
        return Err(refuse("its value has a control character"));
    }
    let _ = writeln!(file, "{name} = '{}'", value.replace('\\', "\\\\").replace('\'', "''"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_setting_cannot_bring_a_second_one_with_it() {
        let mut settings = ClusterSettings::new("/x");
        settings.server.push(("search_path".to_owned(), "a\nssl = off".to_owned()));
        let folder = Folder::new(Path::new("/x"));
        assert!(matches!(
            settings.server_file(&folder, "id", 1),
            Err(ClusterError::Setting { .. })
        ));
        settings.server = vec![("a = b\nssl".to_owned(), "off".to_owned())];
        assert!(matches!(
            settings.server_file(&folder, "id", 1),
            Err(ClusterError::Setting { .. })
        ));
    }

    #[test]
    fn quotes_and_backslashes_are_values_like_others() {
        let mut settings = ClusterSettings::new("/x");
        settings.server.push(("search_path".to_owned(), r"it's \n".to_owned()));
        let file = settings.server_file(&Folder::new(Path::new("/x")), "id", 1).unwrap();
        assert!(file.contains(r"search_path = 'it''s \\n'"), "{file}");
    }

    #[test]
    fn what_the_cluster_rests_on_comes_after_the_callers_settings() {
        let mut settings = ClusterSettings::new("/x");
        settings.server.push(("ssl".to_owned(), "off".to_owned()));
        let file = settings.server_file(&Folder::new(Path::new("/x")), "id", 1).unwrap();
        assert!(file.rfind("ssl = 'on'") > file.rfind("ssl = 'off'"), "{file}");
    }

    #[test]
    fn durability_follows_the_last_word_on_fsync() {
        let mut settings = ClusterSettings::new("/x");
        assert!(settings.durable());
        settings.server.push(("fsync".to_owned(), "off".to_owned()));
        assert!(!settings.durable());
        settings.server.push(("FSYNC".to_owned(), "on".to_owned()));
        assert!(settings.durable());
    }

    #[test]
    fn plaintext_is_a_choice() {
        let mut settings = ClusterSettings::new("/x");
        assert!(settings.access_file().contains("\nhost all all 127.0.0.1/32 scram-sha-256"));
        settings.plaintext_on_loopback = false;
        assert!(settings.access_file().contains("\nhostssl all all 127.0.0.1/32 scram-sha-256"));
    }
}
