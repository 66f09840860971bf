//! `postgresql://…` as providers print it and people paste it.
//!
//! Parsed here and not by the driver: a driver's URL may name sockets, files of the machine, several hosts and settings
//! of the session, and none of these is for a tenant to choose.

use std::fmt;

use plinth_core::{Classify, ErrorKind};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::{ChannelBinding, Host, InvalidConnection, SslMode, server_name};

/// Where Postgres listens unless a URL says otherwise.
pub const DEFAULT_PORT: u16 = 5432;

/// The longest URL that is read, in bytes.
const URL_BYTES: usize = 8 << 10;

/// Accepted, because providers print them into their URLs, and without effect, because Plinth has its own.
const WITHOUT_EFFECT: [&str; 3] =
    ["application_name", "connect_timeout", "fallback_application_name"];

/// The parts of a connection's URL.
#[derive(Clone)]
pub struct ConnectionUrl {
    /// The one host.
    pub host: Host,
    /// [`DEFAULT_PORT`] if the URL has none.
    pub port: u16,
    /// The database's name.
    pub database: String,
    /// The role's name.
    pub username: String,
    /// `None` if the URL has none; then it must be given beside it.
    pub password: Option<SecretString>,
    /// `None` if the URL says nothing of it.
    pub ssl_mode: Option<SslMode>,
    /// `None` if the URL says nothing of it.
    pub channel_binding: Option<ChannelBinding>,
    /// Parameters that were accepted and have no effect.
    pub without_effect: Vec<&'static str>,
}

impl ConnectionUrl {
    /// Reads `postgresql://user:password@host:port/database?parameters`, `postgres://` as well. Parts are
    /// percent-decoded; an IPv6 address stands in brackets.
    ///
    /// # Errors
    ///
    /// [`InvalidUrl`] says which part is wrong; it never holds the password, nor anything that could be a piece of one.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let text = text.trim();
        if text.len() > URL_BYTES {
            return wrong("it is longer than 8192 bytes");
        }
        if text.chars().any(|it| it.is_control() || it.is_whitespace()) {
            return wrong(
                "it has a space or a control character in it; percent-encode it (%20 for a space)",
            );
        }
        let rest = after_scheme(text)?;
        if rest.contains('#') {
            return wrong(format!("a `#` in it is percent-encoded as %23; {ESCAPE}"));
        }
        let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        // An `@` further on means that what looks like the host, the path or a parameter is a piece of the password.
        if tail.contains('@') || authority.matches('@').count() > 1 {
            return wrong(format!("it has an `@` where none can be; {ESCAPE}"));
        }
        let (path, query) = match tail.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (tail, None),
        };
        let (credentials, place) = authority.split_once('@').unwrap_or(("", authority));
        let (username, password) = match credentials.split_once(':') {
            Some((username, password)) => (username, Some(password)),
            None => (credentials, None),
        };
        if username.is_empty() {
            return wrong("it has no user name: postgresql://user:password@host:port/database");
        }
        let username = decode(username, "the user name")?;
        let username = server_name(username, InvalidConnection::Username)?;
        let password = password.map(|it| decode(it, "the password")).transpose()?;
        if password.as_ref().is_some_and(|it| it.len() > 1024) {
            return Err(InvalidConnection::Password.into());
        }
        let (host, port) = place_of(place)?;
        let database = path.strip_prefix('/').unwrap_or_default();
        if database.is_empty() {
            return wrong("it names no database: postgresql://user:password@host:port/database");
        }
        let database = decode(database, "the database's name")?;
        let database = server_name(database, InvalidConnection::Database)?;
        let parameters = query.map_or_else(|| Ok(Parameters::default()), Parameters::parse)?;
        Ok(Self {
            host,
            port,
            database,
            username,
            password: password.filter(|it| !it.is_empty()).map(Into::into),
            ssl_mode: parameters.ssl_mode()?,
            channel_binding: parameters.channel_binding,
            without_effect: parameters.without_effect,
        })
    }
}

impl fmt::Debug for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionUrl")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("database", &self.database)
            .field("username", &self.username)
            .field("password", &self.password.is_some())
            .field("ssl_mode", &self.ssl_mode)
            .field("channel_binding", &self.channel_binding)
            .finish_non_exhaustive()
    }
}

const ESCAPE: &str = "in a user name or password, percent-encode every character but letters, digits, `-`, `.`, `_` and `~` (`@` is %40, `/` is %2F)";

fn after_scheme(text: &str) -> Result<&str, InvalidUrl> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return wrong("it does not begin with postgresql://");
    };
    let scheme = scheme.to_ascii_lowercase();
    if scheme == "postgresql" || scheme == "postgres" {
        return Ok(rest);
    }
    if scheme == "jdbc:postgresql" {
        return wrong(
            "it is for JDBC: leave `jdbc:` out, and put user and password before the host",
        );
    }
    if ["postgresql+", "postgres+"].iter().any(|it| scheme.starts_with(it)) {
        return wrong("it names a driver: leave out the `+` and what follows it up to `://`");
    }
    wrong("it does not begin with postgresql:// (only Postgres can be connected)")
}

fn place_of(place: &str) -> Result<(Host, u16), InvalidUrl> {
    if place.contains(',') {
        return wrong("it has more than one host; a connection has one");
    }
    let (host, port) = if place.starts_with('[') {
        match place.split_once(']') {
            Some((address, after)) => {
                let address = &address[1..];
                if address.parse::<std::net::Ipv6Addr>().is_err() {
                    return wrong("what stands in brackets is not an IPv6 address");
                }
                match after.strip_prefix(':') {
                    _ if after.is_empty() => (address.to_owned(), None),
                    Some(port) => (address.to_owned(), Some(port)),
                    None => return wrong("after the IPv6 address comes `:port` or `/database`"),
                }
            }
            None => return wrong("an IPv6 address stands in brackets: [2001:db8::1]"),
        }
    } else {
        let (host, port) = match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        };
        if port.is_some_and(|it| it.contains(':')) {
            return wrong("an IPv6 address stands in brackets: [2001:db8::1]");
        }
        (decode(host, "the host")?, port)
    };
    if host.starts_with(['/', '@']) {
        return wrong("a Unix socket cannot be reached from here; give a host");
    }
    if host.is_empty() {
        return wrong("it names no host");
    }
    let host = Host::parse(&host)?;
    let port = match port {
        None | Some("") => DEFAULT_PORT,
        Some(digits) if digits.bytes().all(|it| it.is_ascii_digit()) => digits
            .parse()
            .ok()
            .filter(|it| *it != 0)
            .ok_or(InvalidUrl::from(InvalidConnection::Port))?,
        Some(_) => return Err(InvalidConnection::Port.into()),
    };
    Ok((host, port))
}

#[derive(Default)]
struct Parameters {
    ssl_mode: Option<SslMode>,
    /// `sslrootcert=system`.
    machine_authorities: bool,
    channel_binding: Option<ChannelBinding>,
    without_effect: Vec<&'static str>,
}

impl Parameters {
    fn parse(query: &str) -> Result<Self, InvalidUrl> {
        let mut pairs = Vec::new();
        for pair in query.split('&').filter(|it| !it.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((decode(name, "a parameter's name")?, value));
        }
        // First of all: what follows it may be the rest of a password with an `&` in it, and names are told.
        if pairs.iter().any(|(name, _)| name == "password" || name == "sslpassword") {
            return wrong(
                "a password stands before the host (user:password@host), or in `password` beside the URL, not among the parameters",
            );
        }
        let mut read = Self::default();
        let mut seen = Vec::new();
        for (name, value) in pairs {
            if seen.contains(&name) {
                return wrong(format!("the parameter {} is there twice", shown(&name)));
            }
            let value = decode(value, &format!("the parameter {}", shown(&name)))?;
            read.take(&name, &value)?;
            seen.push(name);
        }
        Ok(read)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), InvalidUrl> {
        if let Some(known) = WITHOUT_EFFECT.iter().find(|it| **it == name) {
            self.without_effect.push(known);
            return Ok(());
        }
        match name {
            "sslmode" if value == "allow" => {
                return wrong(
                    "sslmode=allow is not supported; `prefer` comes closest, `require` is better",
                );
            }
            "sslmode" => self.ssl_mode = Some(value.parse()?),
            "channel_binding" => {
                self.channel_binding =
                    Some(value.parse().map_err(|it: crate::InvalidTransport| InvalidUrl {
                        problem: it.to_string(),
                    })?);
            }
            "sslrootcert" if value == "system" => self.machine_authorities = true,
            // What libpq does without the parameter; anything else it does, we do not.
            "sslnegotiation" if value == "postgres" => {}
            "gssencmode" if value == "disable" || value == "prefer" => {}
            "target_session_attrs" if value == "any" => {}
            _ => return wrong(format!("the parameter {} {}", shown(name), advice(name))),
        }
        Ok(())
    }

    /// `sslrootcert=system` means full verification, and allows nothing weaker, as in libpq.
    fn ssl_mode(&self) -> Result<Option<SslMode>, InvalidUrl> {
        match self.ssl_mode {
            None if self.machine_authorities => Ok(Some(SslMode::VerifyFull)),
            Some(mode) if self.machine_authorities && mode != SslMode::VerifyFull => {
                wrong("sslrootcert=system goes with sslmode=verify-full only")
            }
            mode => Ok(mode),
        }
    }
}

/// What to do instead of a parameter that is not taken.
fn advice(name: &str) -> &'static str {
    match name {
        "sslrootcert" => {
            "names a file of your machine: leave it out, and give the file's content in `ssl_root_cert`"
        }
        "sslcert" => {
            "names a file of your machine: leave it out, and give the file's content in `ssl_cert`"
        }
        "sslkey" => {
            "names a file of your machine: leave it out, and give the file's content in `ssl_key`"
        }
        "sslcrl" | "sslcrldir" => "is not supported: revocation lists are not looked at",
        "ssl" | "tls" | "sslaccept" => "is another driver's: use sslmode=require or stronger",
        "user" | "host" | "port" | "dbname" => {
            "is not taken among the parameters: write postgresql://user:password@host:port/database"
        }
        "hostaddr" => "is not supported: give the address as the host",
        "options" | "search_path" | "currentSchema" | "schema" | "client_encoding" => {
            "is not supported: Plinth sets its sessions up itself; `allowed_tables` says what may be read"
        }
        "pgbouncer"
        | "connection_limit"
        | "pool_timeout"
        | "statement_cache_size"
        | "prepareThreshold" => "is another driver's: leave it out, Plinth finds out by itself",
        "passfile"
        | "service"
        | "requirepeer"
        | "sslsni"
        | "ssl_min_protocol_version"
        | "ssl_max_protocol_version"
        | "sslcompression"
        | "sslcertmode"
        | "sslnegotiation"
        | "krbsrvname"
        | "gsslib"
        | "gssencmode"
        | "gssdelegation"
        | "replication"
        | "target_session_attrs"
        | "load_balance_hosts"
        | "require_auth"
        | "tcp_user_timeout"
        | "keepalives"
        | "keepalives_idle"
        | "keepalives_interval"
        | "keepalives_count" => "is not supported here: leave it out",
        _ => "is unknown: leave it out",
    }
}

/// A parameter's name, if it looks like one; else it may be anything.
fn shown(name: &str) -> String {
    let plain = |it: u8| it.is_ascii_alphanumeric() || b"_.-".contains(&it);
    let good = !name.is_empty() && name.len() <= 40 && name.bytes().all(plain);
    if good { format!("`{name}`") } else { "with an odd name".to_owned() }
}

fn decode(text: &str, part: &str) -> Result<String, InvalidUrl> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut left = text.bytes();
    while let Some(byte) = left.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |it: Option<u8>| it.and_then(|it| char::from(it).to_digit(16));
        let (Some(high), Some(low)) = (digit(left.next()), digit(left.next())) else {
            return wrong(format!(
                "{part} has a `%` without two hexadecimal digits after it; a `%` itself is %25"
            ));
        };
        match u8::try_from(high * 16 + low) {
            Ok(byte) if byte != 0 => bytes.push(byte),
            _ => return wrong(format!("{part} has %00 in it")),
        }
    }
    String::from_utf8(bytes)
        .map_err(|_| InvalidUrl { problem: format!("{part} is not UTF-8 when decoded") })
}

fn wrong<T>(problem: impl Into<String>) -> Result<T, InvalidUrl> {
    Err(InvalidUrl { problem: problem.into() })
}

/// What is wrong with a URL. Holds names of parameters, and no value of any part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct InvalidUrl {
    problem: String,
}

impl From<InvalidConnection> for InvalidUrl {
    fn from(error: InvalidConnection) -> Self {
        Self { problem: error.to_string() }
    }
}

impl Classify for InvalidUrl {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    fn details(&self) -> Option<Value> {
        Some(json!({ "url": self.problem }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;

    use super::*;

    fn parse(text: &str) -> ConnectionUrl {
        ConnectionUrl::parse(text).unwrap_or_else(|it| panic!("{text}: {it}"))
    }

    fn problem(text: &str) -> String {
        ConnectionUrl::parse(text).expect_err(text).to_string()
    }

    #[test]
    fn the_parts_of_urls_that_providers_print() {
        let neon = parse(
            "postgresql://ann:s3cret@ep-cool-1.eu.aws.neon.tech/shop?sslmode=require&channel_binding=require",
        );
        assert_eq!(neon.host.as_str(), "ep-cool-1.eu.aws.neon.tech");
        assert_eq!(
            (neon.port, neon.database.as_str(), neon.username.as_str()),
            (5432, "shop", "ann")
        );
        assert_eq!(neon.password.unwrap().expose_secret(), "s3cret");
        assert_eq!(neon.ssl_mode, Some(SslMode::Require));
        assert_eq!(neon.channel_binding, Some(ChannelBinding::Require));

        let escaped = parse(
            "postgres://ann%40example.com:p%40ss%2F%3F%23%25:more+@[2001:db8::1]:6432/my%20shop?connect_timeout=15",
        );
        assert_eq!((escaped.host.as_str(), escaped.port), ("2001:db8::1", 6432));
        assert_eq!(
            (escaped.database.as_str(), escaped.username.as_str()),
            ("my shop", "ann@example.com")
        );
        assert_eq!(escaped.password.unwrap().expose_secret(), "p@ss/?#%:more+");
        assert_eq!((escaped.ssl_mode, escaped.without_effect), (None, vec!["connect_timeout"]));

        let plain = parse("POSTGRES://ann@db:/shop?");
        assert!(plain.password.is_none() && plain.port == 5432);
        assert!(parse("postgres://ann:@db/shop").password.is_none());
        let system = parse("postgres://ann@db/shop?sslrootcert=system");
        assert_eq!(system.ssl_mode, Some(SslMode::VerifyFull));
    }

    #[test]
    fn what_a_url_must_not_say_is_refused_by_name() {
        let good = "postgres://ann:x@db/shop";
        for (parameters, word) in [
            ("sslrootcert=/etc/ca.pem", "`ssl_root_cert`"),
            ("sslcert=a.pem", "`ssl_cert`"),
            ("sslkey=a.key", "`ssl_key`"),
            ("sslmode=on", "verify-full"),
            ("sslmode=allow", "allow"),
            ("sslmode=require&sslrootcert=system", "verify-full"),
            ("ssl=true", "sslmode=require"),
            ("channel_binding=yes", "channel_binding"),
            ("options=-crole%3Dpostgres", "`options`"),
            ("host=/tmp", "`host`"),
            ("hostaddr=10.0.0.1", "`hostaddr`"),
            ("target_session_attrs=read-write", "`target_session_attrs`"),
            ("sslmode=require&sslmode=disable", "`sslmode` is there twice"),
            ("frobnicate=1", "`frobnicate` is unknown"),
            ("password=x", "before the host"),
        ] {
            let said = problem(&format!("{good}?{parameters}"));
            assert!(said.contains(word), "{parameters}: {said}");
        }
        for (url, word) in [
            ("", "postgresql://"),
            ("db.example.com", "postgresql://"),
            ("mysql://ann:x@db/shop", "postgresql://"),
            ("jdbc:postgresql://db/shop", "jdbc:"),
            ("postgresql+asyncpg://ann:x@db/shop", "driver"),
            ("postgres://db/shop", "user name"),
            ("postgres://ann@/shop", "no host"),
            ("postgres:///shop?user=ann", "user name"),
            ("postgres://ann@db", "no database"),
            ("postgres://ann@db/", "no database"),
            ("postgres://ann@a,b/shop", "more than one host"),
            ("postgres://ann@%2Fvar%2Frun/shop", "Unix socket"),
            ("postgres://ann@2001:db8::1/shop", "brackets"),
            ("postgres://ann@[db]/shop", "IPv6"),
            ("postgres://ann@[::1/shop", "brackets"),
            ("postgres://ann@[::1]5432/shop", ":port"),
            ("postgres://ann@db:0/shop", "port"),
            ("postgres://ann@db:65536/shop", "port"),
            ("postgres://ann@db:+1/shop", "port"),
            ("postgres://ann@db:port/shop", "port"),
            ("postgres://ann@d_b!/shop", "host"),
            ("postgres://ann:a%zz@db/shop", "the password has a `%`"),
            ("postgres://ann:%00@db/shop", "%00"),
            ("postgres://ann:%ff@db/shop", "UTF-8"),
            ("postgres://ann:a b@db/shop", "%20"),
            ("postgres://ann:p@ss@db/shop", "%40"),
            ("postgres://ann:p/ss@db/shop", "%2F"),
            ("postgres://ann:p#ss@db/shop", "%23"),
        ] {
            let said = problem(url);
            assert!(said.contains(word), "{url}: {said}");
        }
    }

    fn encode(text: &str) -> String {
        use std::fmt::Write as _;
        text.bytes().fold(String::new(), |mut out, byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                out.push(char::from(byte));
            } else {
                let _ = write!(out, "%{byte:02X}");
            }
            out
        })
    }

    /// A stand-in for a secret that no text of ours contains.
    const MARK: &str = "Qz7xW";

    proptest! {
        #[test]
        fn arbitrary_text_does_no_harm(text in ".{0,200}") {
            let _ = ConnectionUrl::parse(&text);
            let _ = ConnectionUrl::parse(&format!("postgres://{text}"));
        }

        #[test]
        fn almost_urls_do_no_harm(text in "postgres://[a-c:@/?#%&=,\\[\\]0-9.\u{e9}]{0,60}") {
            let _ = ConnectionUrl::parse(&text);
        }

        #[test]
        fn what_is_escaped_comes_out_as_it_went_in(
            username in "[^\u{0}-\u{1f}\u{7f}-\u{9f}]{1,12}",
            password in "[^\u{0}]{1,40}",
            database in "[^\u{0}-\u{1f}\u{7f}-\u{9f}]{1,12}",
            port in 1..=u16::MAX,
        ) {
            let url = format!(
                "postgresql://{}:{}@db.example.com:{port}/{}?sslmode=verify-full",
                encode(&username), encode(&password), encode(&database),
            );
            let parsed = parse(&url);
            prop_assert_eq!(parsed.username, username);
            let found = parsed.password.unwrap();
            prop_assert_eq!(found.expose_secret(), password);
            prop_assert_eq!(parsed.database, database);
            prop_assert_eq!((parsed.port, parsed.ssl_mode), (port, Some(SslMode::VerifyFull)));
        }

        #[test]
        fn no_error_and_no_print_has_a_piece_of_the_password(
            before in "[a-z:@/?#%&=, ]{0,8}",
            after in "[a-z:@/?#%&=, ]{0,8}",
            tail in "(/shop)?[?]?[a-z=&%@]{0,12}",
        ) {
            let url = format!("postgres://ann:{before}{MARK}{after}@db.example.com{tail}");
            match ConnectionUrl::parse(&url) {
                Ok(parsed) => {
                    let printed = format!("{parsed:?}");
                    prop_assert!(!printed.contains(MARK), "{}", printed);
                }
                Err(error) => {
                    let printed = format!("{error} {error:?}");
                    prop_assert!(!printed.contains(MARK), "{}", printed);
                }
            }
            let as_parameter = format!("postgres://ann@db/shop?password={before}{MARK}{after}");
            let error = problem(&as_parameter);
            prop_assert!(!error.contains(MARK), "{}", error);
        }
    }
}
