use std::fmt;

use url::Url;

use crate::{Gate, Refusal, host};

/// How a web address is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Encrypted, with the certificate checked.
    Https,
    /// The same or in clear: for addresses on the operator's own networks.
    Any,
}

/// An `http` or `https` URL that somebody typed, read the way that the HTTP client will read it. No user name and
/// password, which would be a second place for secrets and let `https://good.example@10.0.0.1/` look good.
///
/// Not printed by `Debug` beyond its origin: the path or query of a webhook is often a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct WebAddress(Url);

/// Why a text is no address to fetch. It is not repeated: it may hold a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWebAddress {
    /// Not of that form, or its host is neither a name nor an address.
    #[error("must be a URL like `https://api.example.com/path`")]
    NotAUrl,
    /// `http` where `https` is needed.
    #[error("must begin with `https://`")]
    NotEncrypted,
    /// It carries a user or a password.
    #[error("may not hold a user name or password")]
    Credentials,
    /// It carries a `#` and what follows.
    #[error("may not hold a fragment")]
    Fragment,
}

impl WebAddress {
    /// Parses what a person typed; surrounding space is dropped.
    ///
    /// # Errors
    ///
    /// [`InvalidWebAddress`]. Whether the address may be reached is judged at each request, by [`Gate::admit`].
    pub fn parse(text: &str, scheme: Scheme) -> Result<Self, InvalidWebAddress> {
        let text = text.trim();
        // The URL standard drops line breaks and takes `\` for `/` and one slash for two. Others read these differently,
        // and nobody needs them.
        let plain = |it: char| !it.is_control() && !it.is_whitespace() && it != '\\';
        let begins = |with: &str| {
            text.get(..with.len()).is_some_and(|it| it.eq_ignore_ascii_case(with))
                && !text[with.len()..].starts_with('/')
        };
        let encrypted = begins("https://");
        if !text.chars().all(plain) || !(encrypted || begins("http://")) {
            return Err(InvalidWebAddress::NotAUrl);
        }
        let url = Url::parse(text).map_err(|_| InvalidWebAddress::NotAUrl)?;
        // An empty user leaves no trace in the parsed URL, but its `@` does in the text.
        let authority = text.split('/').nth(2).unwrap_or_default();
        let authority = authority.split(['?', '#']).next().unwrap_or_default();
        if !url.username().is_empty() || url.password().is_some() || authority.contains('@') {
            return Err(InvalidWebAddress::Credentials);
        }
        if url.fragment().is_some() {
            return Err(InvalidWebAddress::Fragment);
        }
        if authority.contains('%') || url.host_str().and_then(host::read).is_none() {
            return Err(InvalidWebAddress::NotAUrl);
        }
        if !encrypted && scheme == Scheme::Https {
            return Err(InvalidWebAddress::NotEncrypted);
        }
        Ok(Self(url))
    }

    /// The whole URL, normalized.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The host in its normal form; an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// The port, also where the URL leaves it to its scheme.
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(443)
    }

    /// Whether it is spoken to in clear.
    pub fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// The path, `/` at least.
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// The query behind `?`, if there is one.
    pub fn query(&self) -> Option<&str> {
        self.0.query()
    }

    /// The same place with another path.
    #[must_use]
    pub fn with_path(&self, path: &str) -> Self {
        let mut url = self.0.clone();
        url.set_path(path);
        Self(url)
    }

    /// The same place and path with that query.
    #[must_use]
    pub fn with_query(&self, query: &str) -> Self {
        let mut url = self.0.clone();
        url.set_query(Some(query));
        Self(url)
    }

    /// Scheme, host and port, as in `https://api.example.com:8443`: what may be shown and logged.
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// Has the gate judge where it leads.
    ///
    /// # Errors
    ///
    /// As for [`Gate::admit`].
    pub async fn admit(&self, gate: &Gate) -> Result<Vec<std::net::SocketAddr>, Refusal> {
        gate.admit(self.host(), self.port()).await
    }
}

impl fmt::Debug for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebAddress({})", self.origin())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_comes_out_as_it_will_be_dialled() {
        for (text, origin) in [
            ("https://api.example.com/v1?q=1", "https://api.example.com"),
            (" HTTPS://API.example.com:443/ ", "https://api.example.com"),
            ("https://api.example.com:8443", "https://api.example.com:8443"),
            ("https://0x7f.1/", "https://127.0.0.1"),
            ("https://１２７.０.０.１/", "https://127.0.0.1"),
            ("https://[::ffff:127.0.0.1]:80/", "https://[::ffff:7f00:1]:80"),
            ("https://bücher.example/", "https://xn--bcher-kva.example"),
            ("https://api.example.com/a@b", "https://api.example.com"),
        ] {
            let address = WebAddress::parse(text, Scheme::Https).expect(text);
            assert_eq!(address.origin(), origin);
        }
    }

    #[test]
    fn tricks_are_refused_without_repeating_them() {
        use InvalidWebAddress::{Credentials, Fragment, NotAUrl, NotEncrypted};
        for (text, expected) in [
            ("", NotAUrl),
            ("api.example.com", NotAUrl),
            ("//api.example.com", NotAUrl),
            ("ftp://api.example.com", NotAUrl),
            ("file:///etc/passwd", NotAUrl),
            ("gopher://127.0.0.1:6379/_x", NotAUrl),
            ("https:api.example.com", NotAUrl),
            ("https:/api.example.com", NotAUrl),
            ("https:///api.example.com", NotAUrl),
            ("https://", NotAUrl),
            ("https://a b/", NotAUrl),
            ("https://good.example\\@10.0.0.1/", NotAUrl),
            ("https:\\\\10.0.0.1/", NotAUrl),
            ("https://10.0\n.0.1/", NotAUrl),
            ("https://%31%32%37.1/", NotAUrl),
            ("https://good.example%2f@10.0.0.1/", Credentials),
            ("https://[fe80::1%25eth0]/", NotAUrl),
            ("https://1.2.3.4.5/", NotAUrl),
            ("https://a,b/", NotAUrl),
            ("https://good.example:99999/", NotAUrl),
            ("https://secret@good.example/", Credentials),
            ("https://:secret@good.example/", Credentials),
            ("https://good.example@10.0.0.1/", Credentials),
            ("https://good.example:443@10.0.0.1/", Credentials),
            ("https://@10.0.0.1/", Credentials),
            ("https://good.example/#@10.0.0.1/", Fragment),
            ("https://10.0.0.1#@good.example/", Fragment),
            ("http://good.example/", NotEncrypted),
        ] {
            let error = WebAddress::parse(text, Scheme::Https).expect_err(text);
            assert_eq!(error, expected, "{text}");
            assert!(!error.to_string().contains("secret"));
        }
        assert!(WebAddress::parse("http://good.example/", Scheme::Any).expect("good").is_plain());
    }

    #[test]
    fn what_follows_the_origin_is_not_printed() {
        let url = "https://hooks.example.com/services/canary?token=canary";
        let address = WebAddress::parse(url, Scheme::Https).expect("good");
        assert_eq!(format!("{address:?}"), "WebAddress(https://hooks.example.com)");
    }
}
