use plinth_egress::{Gate, InvalidWebAddress, Scheme, WebAddress};

/// Where a model answers, and which gate stands before it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    address: WebAddress,
    gate: Gate,
}

/// A text that is no base URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEndpoint {
    /// It is not an `http` or `https` URL with a host.
    #[error(
        "the base URL has to be like `https://api.example.com/v1` or `http://127.0.0.1:11434/v1`"
    )]
    NotAUrl,
    /// It carries a user or password. Not repeated in the text: it may be a key.
    #[error("the base URL may not hold a user name or password; the key has a setting of its own")]
    Credentials,
    /// It carries more than a path.
    #[error("the base URL may not hold a query or a fragment")]
    NotABase,
}

impl Endpoint {
    /// Every call goes through the gate, and only addresses that it admitted are dialled. For the process' settings that
    /// is [`Gate::of_operator`], as a local Ollama is on this machine; never for what somebody types into the product.
    ///
    /// # Errors
    ///
    /// [`InvalidEndpoint`]; whether the address may be reached is judged at each call.
    pub fn new(base_url: &str, gate: Gate) -> Result<Self, InvalidEndpoint> {
        Ok(Self { address: parse(base_url)?, gate })
    }

    /// The URL of chat completions.
    pub(crate) fn address(&self) -> &WebAddress {
        &self.address
    }

    /// What judges it.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }
}

fn parse(text: &str) -> Result<WebAddress, InvalidEndpoint> {
    let address = WebAddress::parse(text, Scheme::Any).map_err(|error| match error {
        InvalidWebAddress::NotAUrl | InvalidWebAddress::NotEncrypted => InvalidEndpoint::NotAUrl,
        InvalidWebAddress::Credentials => InvalidEndpoint::Credentials,
        InvalidWebAddress::Fragment => InvalidEndpoint::NotABase,
    })?;
    if address.query().is_some() {
        return Err(InvalidEndpoint::NotABase);
    }
    let path = address.path().trim_end_matches('/');
    // Some documentation gives the whole address.
    let base = path.strip_suffix("/chat/completions").unwrap_or(path);
    Ok(address.with_path(&format!("{base}/chat/completions")))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use plinth_egress::Resolver;

    use super::*;

    /// Parsing asks nobody.
    struct Nobody;

    #[async_trait::async_trait]
    impl Resolver for Nobody {
        async fn resolve(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
            Err(std::io::ErrorKind::NotFound.into())
        }
    }

    fn endpoint(base: &str) -> Result<Endpoint, InvalidEndpoint> {
        Endpoint::new(base, Gate::new(Arc::new(Nobody), [], []))
    }

    #[test]
    fn the_path_is_completed_once() {
        for (base, url) in [
            ("http://127.0.0.1:11434/v1", "http://127.0.0.1:11434/v1/chat/completions"),
            ("https://api.example.com/v1/", "https://api.example.com/v1/chat/completions"),
            ("https://api.example.com", "https://api.example.com/chat/completions"),
            (
                " https://h.example.com/a/chat/completions ",
                "https://h.example.com/a/chat/completions",
            ),
        ] {
            assert_eq!(endpoint(base).expect(base).address().as_str(), url);
        }
    }

    #[test]
    fn what_is_no_base_url_is_refused_without_repeating_it() {
        for (base, expected) in [
            ("", InvalidEndpoint::NotAUrl),
            ("api.example.com/v1", InvalidEndpoint::NotAUrl),
            ("ftp://api.example.com", InvalidEndpoint::NotAUrl),
            ("http://", InvalidEndpoint::NotAUrl),
            ("https://sk-secret@api.example.com/v1", InvalidEndpoint::Credentials),
            ("https://:sk-secret@api.example.com/v1", InvalidEndpoint::Credentials),
            ("https://api.example.com/v1?key=sk-secret", InvalidEndpoint::NotABase),
            ("https://api.example.com/v1#sk-secret", InvalidEndpoint::NotABase),
        ] {
            let error = endpoint(base).expect_err(base);
            assert_eq!(error, expected, "{base}");
            assert!(!error.to_string().contains("secret"));
        }
    }
}
