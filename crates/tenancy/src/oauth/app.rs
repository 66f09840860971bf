use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use plinth_core::{AppId, Classify, ErrorKind, OrgId, ScopeSet, UserId};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// A third-party app that people can let act for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// Its id, which is its OAuth `client_id`.
    pub id: AppId,
    /// Who registered it.
    pub org: OrgId,
    /// What people read on the consent page; unique in the organization.
    pub name: String,
    /// Where its answers may go.
    pub redirect_uris: Vec<RedirectUri>,
    /// The most that it can ask for.
    pub scopes: ScopeSet,
    /// What its secret is known by; `None` for a public app, which runs where it can keep none.
    pub secret: Option<ClientSecretHash>,
    /// Who registered it.
    pub created_by: UserId,
    /// When.
    pub created_at: Timestamp,
}

/// An app to register.
#[derive(Clone, Debug)]
pub struct NewApp {
    /// See [`App::name`].
    pub name: String,
    /// See [`App::redirect_uris`]: 1 to 20.
    pub redirect_uris: Vec<RedirectUri>,
    /// See [`App::scopes`]; never empty.
    pub scopes: ScopeSet,
    /// Whether it can keep a secret: a server can, an app on somebody's machine or in a browser cannot.
    pub is_confidential: bool,
}

/// Where the answer to a request for consent goes. Matched letter for letter, but for the port of a loopback address, which
/// an app on somebody's machine cannot know before (RFC 8252, 7.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectUri(String);

/// The longest, in bytes.
const LONGEST_URI: usize = 1000;

impl RedirectUri {
    /// Takes an `https` URL, an `http` URL of a loopback address, or one of an app's own scheme (`com.example.app:/…`);
    /// without a fragment.
    ///
    /// # Errors
    ///
    /// [`InvalidApp`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidApp> {
        let wrong = InvalidApp {
            field: "redirect_uris",
            rule: "must be https URLs, http URLs of 127.0.0.1, [::1] or localhost, or URLs of an app's own scheme with a \
                   dot in it, without fragment, user name and blanks",
        };
        let is_plain = text.len() <= LONGEST_URI
            && text.bytes().all(|it| it.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&it));
        let (scheme, rest) = text.split_once(':').ok_or(wrong)?;
        let is_good = match scheme {
            "https" => authority(rest).is_some_and(|it| !it.is_empty() && !it.contains('@')),
            "http" => authority(rest).is_some_and(is_loopback),
            // A scheme with a dot is somebody's domain turned round; none that a browser acts on has one.
            own => {
                own.contains('.')
                    && own.starts_with(|it: char| it.is_ascii_lowercase())
                    && own.bytes().all(|it| {
                        it.is_ascii_lowercase() || it.is_ascii_digit() || b"+-.".contains(&it)
                    })
                    && rest.starts_with('/')
            }
        };
        if is_plain && is_good { Ok(Self(text.to_owned())) } else { Err(wrong) }
    }

    /// The text as it was registered.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a request may name `sent` where this was registered.
    pub fn allows(&self, sent: &str) -> bool {
        if self.0 == sent {
            return true;
        }
        let (Some(ours), Some(theirs)) = (loopback(&self.0), loopback(sent)) else { return false };
        ours == theirs && Self::parse(sent).is_ok()
    }

    /// The origin, for a page's policy of where its form may lead; `None` for an app's own scheme.
    pub fn origin(text: &str) -> Option<&str> {
        let (scheme, rest) = text.split_once("://")?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        matches!(scheme, "http" | "https").then(|| &text[..scheme.len() + 3 + end])
    }
}

fn authority(rest: &str) -> Option<&str> {
    let rest = rest.strip_prefix("//")?;
    Some(&rest[..rest.find(['/', '?']).unwrap_or(rest.len())])
}

fn is_loopback(authority: &str) -> bool {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_port = port.is_none_or(|it| it.parse::<u16>().is_ok_and(|it| it > 0));
    matches!(host, "127.0.0.1" | "[::1]" | "localhost") && is_port
}

/// Host and path of a loopback URL, without its port.
fn loopback(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix("http:")?;
    let authority = authority(rest).filter(|it| is_loopback(it))?;
    let path = &rest[2 + authority.len()..];
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    };
    Some((host, path))
}

/// An app's secret. In clear once, when it is made.
#[derive(Clone, Debug)]
pub struct ClientSecret(SecretString);

impl ClientSecret {
    const PREFIX: &'static str = "plinth_secret_";

    /// Makes one: 32 random bytes.
    ///
    /// # Errors
    ///
    /// If the system has no randomness.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(format!("{}{}", Self::PREFIX, URL_SAFE_NO_PAD.encode(bytes)).into()))
    }

    /// Takes what an app sent.
    pub fn sent(text: String) -> Self {
        Self(text.into())
    }

    /// The text itself, to be shown once.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What it is known by.
    pub fn hash(&self) -> ClientSecretHash {
        ClientSecretHash(Sha256::digest(self.expose().as_bytes()).into())
    }
}

/// The SHA-256 of a secret: it is random and long, so a fast hash is enough.
#[derive(Clone, Copy, Eq)]
pub struct ClientSecretHash(pub [u8; 32]);

impl PartialEq for ClientSecretHash {
    fn eq(&self, other: &Self) -> bool {
        // In constant time.
        self.0.iter().zip(other.0).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
    }
}

impl fmt::Debug for ClientSecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecretHash")
    }
}

impl NewApp {
    /// Checks what was typed.
    ///
    /// # Errors
    ///
    /// [`InvalidApp`], naming the field.
    pub fn check(&self) -> Result<(), InvalidApp> {
        let name = self.name.trim();
        let length = name.chars().count();
        if length == 0 || length > 100 || name.chars().any(char::is_control) {
            return Err(InvalidApp {
                field: "name",
                rule: "must have 1 to 100 characters and no control characters",
            });
        }
        if self.redirect_uris.is_empty() || self.redirect_uris.len() > 20 {
            return Err(InvalidApp { field: "redirect_uris", rule: "must be 1 to 20" });
        }
        if self.scopes == ScopeSet::NONE {
            return Err(InvalidApp { field: "scopes", rule: "must name at least one scope" });
        }
        Ok(())
    }
}

/// Settings of an app that break a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {rule}")]
pub struct InvalidApp {
    /// The field of the request.
    pub field: &'static str,
    /// What it has to be.
    pub rule: &'static str,
}

impl Classify for InvalidApp {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    fn details(&self) -> Option<Value> {
        Some(json!({ self.field: self.rule }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn answers_go_to_addresses_that_nobody_else_can_take() {
        for good in [
            "https://app.example.com/callback",
            "https://app.example.com:8443/cb?tenant=1",
            "http://127.0.0.1/cb",
            "http://127.0.0.1:3000/cb",
            "http://[::1]:3000/cb",
            "http://localhost:8080/",
            "com.example.app:/callback",
        ] {
            assert!(RedirectUri::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "https://",
            "https:app.example.com",
            "http://app.example.com/cb",
            "http://127.0.0.1.example.com/",
            "http://127.0.0.1:0/",
            "http://user@127.0.0.1/",
            "https://user@app.example.com/",
            "https://app.example.com/#fragment",
            "javascript:alert(1)",
            "data:text/html,x",
            "app:/callback",
            "https://app.example.com/a b",
            "https://app.example.com/\"><script>",
        ] {
            assert!(RedirectUri::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_the_port_of_a_loopback_address_may_differ() {
        let uri = |text: &str| RedirectUri::parse(text).expect("good");
        assert!(uri("http://127.0.0.1/cb").allows("http://127.0.0.1:4711/cb"));
        assert!(uri("http://[::1]:1/cb").allows("http://[::1]:4711/cb"));
        for (ours, theirs) in [
            ("http://127.0.0.1/cb", "http://127.0.0.1:4711/other"),
            ("http://127.0.0.1/cb", "http://localhost/cb"),
            ("https://app.example.com/cb", "https://app.example.com:8443/cb"),
            ("https://app.example.com/cb", "https://app.example.com/cb/"),
            ("https://app.example.com/cb", "https://app.example.com/cb?x=1"),
            ("https://app.example.com/cb", "HTTPS://app.example.com/cb"),
        ] {
            assert!(!uri(ours).allows(theirs), "{ours} {theirs}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_judged_without_harm(text in "\\PC{0,60}") {
            let uri = RedirectUri::parse("http://127.0.0.1/cb").expect("good");
            let _ = (uri.allows(&text), RedirectUri::parse(&text).is_ok(), RedirectUri::origin(&text));
        }
    }
}
