use std::net::IpAddr;

use rustls::pki_types::ServerName;
use secrecy::SecretString;
use url::Url;

/// When the connection is encrypted. Where it is, the certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// From the first byte on, as servers on port 465 expect it.
    Implicit,
    /// After `STARTTLS`; a server that does not offer it gets no mail.
    Required,
    /// After `STARTTLS` where the server offers it, else in clear. A password is sent in clear to loopback only.
    Opportunistic,
    /// Never.
    Off,
}

/// The operator's mail server.
#[derive(Clone)]
pub struct SmtpSettings {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether to encrypt.
    pub tls: SmtpTls,
    /// Who we are to it; `None` sends without logging in.
    pub login: Option<SmtpLogin>,
}

/// A user of the mail server.
#[derive(Clone)]
pub struct SmtpLogin {
    /// The name.
    pub user: String,
    /// The password.
    pub password: SecretString,
}

impl std::fmt::Debug for SmtpSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SmtpSettings")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// Why a text is no mail server. It is not repeated: it holds a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSmtpUrl {
    /// Not of that form.
    #[error(
        "the mail server has to be like `smtp://user:password@mail.example.com:587` or `smtps://user:password@mail.example.com`; \
         in the user's name and the password write `@` as `%40`, `:` as `%3A`, `/` as `%2F`, `%` as `%25`"
    )]
    NotAUrl,
    /// Its host is no name and no address.
    #[error("the mail server's host is neither a name nor an address")]
    Host,
    /// A password without a user, or the other way round.
    #[error("the mail server needs a user name and a password, or neither")]
    HalfALogin,
    /// An option that is not there.
    #[error(
        "the mail server's URL knows one option: `?tls=required`, `?tls=opportunistic` or `?tls=off`"
    )]
    Option,
    /// `smtps` with an option that takes it back.
    #[error("`smtps://` is always encrypted; take `smtp://` to choose")]
    Contradiction,
    /// A password that would go over the network in clear.
    #[error(
        "a password is sent in clear to this machine only: take `smtps://` or `?tls=required`, or leave user and password out"
    )]
    ClearPassword,
}

impl SmtpSettings {
    /// Reads `smtp://` and `smtps://` URLs.
    ///
    /// `smtps` is encrypted from the start (port 465 unless another is given). `smtp` (port 587 with a user, else 25)
    /// takes `?tls=required`, which is the default, `opportunistic`, which is the default on loopback, or `off`.
    ///
    /// # Errors
    ///
    /// [`InvalidSmtpUrl`].
    pub fn parse(text: &str) -> Result<Self, InvalidSmtpUrl> {
        let url = Url::parse(text.trim()).map_err(|_| InvalidSmtpUrl::NotAUrl)?;
        let implicit = match url.scheme() {
            "smtps" => true,
            "smtp" => false,
            _ => return Err(InvalidSmtpUrl::NotAUrl),
        };
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err(InvalidSmtpUrl::NotAUrl);
        }
        let host = url.host_str().filter(|it| !it.is_empty()).ok_or(InvalidSmtpUrl::NotAUrl)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        ServerName::try_from(host.as_str()).map_err(|_| InvalidSmtpUrl::Host)?;
        let decoded = |it: &str| decode(it).ok_or(InvalidSmtpUrl::NotAUrl);
        let login = match (decoded(url.username())?, url.password()) {
            (user, None) if user.is_empty() => None,
            (user, Some(password)) if !user.is_empty() && !password.is_empty() => {
                Some(SmtpLogin { user, password: decoded(password)?.into() })
            }
            _ => return Err(InvalidSmtpUrl::HalfALogin),
        };
        let here = is_here(&host);
        let option = match url.query() {
            None => None,
            Some("tls=required") => Some(SmtpTls::Required),
            Some("tls=opportunistic") => Some(SmtpTls::Opportunistic),
            Some("tls=off") => Some(SmtpTls::Off),
            Some(_) => return Err(InvalidSmtpUrl::Option),
        };
        let tls = match option {
            None | Some(SmtpTls::Required) if implicit => SmtpTls::Implicit,
            Some(_) if implicit => return Err(InvalidSmtpUrl::Contradiction),
            Some(it) => it,
            None if here => SmtpTls::Opportunistic,
            None => SmtpTls::Required,
        };
        if login.is_some() && !here && matches!(tls, SmtpTls::Opportunistic | SmtpTls::Off) {
            return Err(InvalidSmtpUrl::ClearPassword);
        }
        let usual = match (implicit, &login) {
            (true, _) => 465,
            (false, Some(_)) => 587,
            (false, None) => 25,
        };
        Ok(Self { host, port: url.port().unwrap_or(usual), tls, login })
    }
}

/// Whether the host is this machine by its own words.
fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|it| it.to_canonical().is_loopback())
}

/// Undoes `%40` and the like; `None` if what comes out is no text or holds control characters.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == b'%' {
            let (digits, tail) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = tail;
        } else {
            bytes.push(*first);
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn each_form_says_where_and_how() {
        use SmtpTls::{Implicit, Off, Opportunistic, Required};
        for (url, host, port, tls) in [
            ("smtps://u:p@mail.example.com", "mail.example.com", 465, Implicit),
            ("smtps://mail.example.com:2465?tls=required", "mail.example.com", 2465, Implicit),
            ("smtp://u:p@Mail.example.com", "mail.example.com", 587, Required),
            ("smtp://mail.example.com/", "mail.example.com", 25, Required),
            ("smtp://mail.example.com?tls=opportunistic", "mail.example.com", 25, Opportunistic),
            ("smtp://mail.example.com?tls=off", "mail.example.com", 25, Off),
            ("smtp://localhost:1025", "localhost", 1025, Opportunistic),
            ("smtp://u:p@127.0.0.1:1025?tls=off", "127.0.0.1", 1025, Off),
            ("smtp://[::1]:1025", "::1", 1025, Opportunistic),
            ("smtp://u:p@localhost?tls=required", "localhost", 587, Required),
        ] {
            let settings = SmtpSettings::parse(url).expect(url);
            let read = (settings.host.as_str(), settings.port, settings.tls);
            assert_eq!(read, (host, port, tls), "{url}");
        }
    }

    #[test]
    fn signs_in_name_and_password_are_decoded() {
        let settings =
            SmtpSettings::parse("smtps://ann%40example.com:p%3A%2F%25%C3%A9@mail.example.com");
        let login = settings.expect("good").login.expect("a login");
        assert_eq!(
            (login.user.as_str(), login.password.expose_secret()),
            ("ann@example.com", "p:/%é")
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused_without_repeating_it() {
        for (url, expected) in [
            ("", InvalidSmtpUrl::NotAUrl),
            ("mail.example.com", InvalidSmtpUrl::NotAUrl),
            ("http://mail.example.com", InvalidSmtpUrl::NotAUrl),
            ("smtp://", InvalidSmtpUrl::NotAUrl),
            ("smtp:///x", InvalidSmtpUrl::NotAUrl),
            ("smtp://u:canary@mail.example.com/inbox", InvalidSmtpUrl::NotAUrl),
            ("smtp://u:canary%0d%0aQUIT@mail.example.com", InvalidSmtpUrl::NotAUrl),
            ("smtp://u:canary%zz@mail.example.com", InvalidSmtpUrl::NotAUrl),
            ("smtp://u:canary@ma%20il", InvalidSmtpUrl::Host),
            ("smtp://user@mail.example.com", InvalidSmtpUrl::HalfALogin),
            ("smtp://:canary@mail.example.com", InvalidSmtpUrl::HalfALogin),
            ("smtp://mail.example.com?tls=maybe", InvalidSmtpUrl::Option),
            ("smtp://mail.example.com?starttls=on", InvalidSmtpUrl::Option),
            ("smtps://mail.example.com?tls=off", InvalidSmtpUrl::Contradiction),
            ("smtp://u:canary@mail.example.com?tls=off", InvalidSmtpUrl::ClearPassword),
            ("smtp://u:canary@mail.example.com?tls=opportunistic", InvalidSmtpUrl::ClearPassword),
        ] {
            let error = SmtpSettings::parse(url).expect_err(url);
            assert_eq!(error, expected, "{url}");
            assert!(!error.to_string().contains("canary"));
        }
        let settings = SmtpSettings::parse("smtps://u:canary@mail.example.com").expect("good");
        assert!(!format!("{settings:?}").contains("canary"));
    }
}
