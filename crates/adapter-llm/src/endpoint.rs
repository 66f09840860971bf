use std::sync::Arc;

use plinth_egress::Gate;
use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

/// Where a model answers, and whether that address may be anything.
#[derive(Clone, Debug)]
pub struct Endpoint {
    url: Url,
    gate: Option<Gate>,
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
    /// The operator's own word, from the process' settings: it may be on this machine or in its network, as a local
    /// Ollama is. Never for what somebody types into the product.
    ///
    /// # Errors
    ///
    /// [`InvalidEndpoint`].
    pub fn of_operator(base_url: &str) -> Result<Self, InvalidEndpoint> {
        Ok(Self { url: parse(base_url)?, gate: None })
    }

    /// An organization's word: every call goes through the gate, and only addresses that it admitted are dialled.
    ///
    /// # Errors
    ///
    /// [`InvalidEndpoint`]; whether the address may be reached is judged at each call.
    pub fn of_organization(base_url: &str, gate: Gate) -> Result<Self, InvalidEndpoint> {
        Ok(Self { url: parse(base_url)?, gate: Some(gate) })
    }

    /// The URL of chat completions.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Has the gate judge the host once more; a URL with an address in it is resolved by nobody else.
    ///
    /// # Errors
    ///
    /// What the gate says, fit for people.
    pub(crate) async fn admit(&self) -> Result<(), plinth_egress::Refusal> {
        if let Some(gate) = &self.gate {
            gate.admit(self.url.host_str().unwrap_or_default(), self.port()).await?;
        }
        Ok(())
    }

    /// What resolves the host's name for the client, if it is not the system.
    pub(crate) fn resolver(&self) -> Option<Arc<GatedResolver>> {
        let gate = self.gate.clone()?;
        Some(Arc::new(GatedResolver { gate, port: self.port() }))
    }

    fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(443)
    }
}

fn parse(text: &str) -> Result<Url, InvalidEndpoint> {
    let mut url = Url::parse(text.trim()).map_err(|_| InvalidEndpoint::NotAUrl)?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(InvalidEndpoint::NotAUrl);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(InvalidEndpoint::Credentials);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(InvalidEndpoint::NotABase);
    }
    let path = url.path().trim_end_matches('/');
    // Some documentation gives the whole address.
    let base = path.strip_suffix("/chat/completions").unwrap_or(path);
    let path = format!("{base}/chat/completions");
    url.set_path(&path);
    Ok(url)
}

/// Resolves names through the gate, so that what was judged is what is dialled.
#[derive(Debug)]
pub(crate) struct GatedResolver {
    gate: Gate,
    port: u16,
}

impl Resolve for GatedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (gate, port) = (self.gate.clone(), self.port);
        Box::pin(async move {
            let admitted = gate.admit(name.as_str(), port).await?;
            let addresses: Addrs = Box::new(admitted.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(Endpoint::of_operator(base).expect(base).url().as_str(), url);
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
            let error = Endpoint::of_operator(base).expect_err(base);
            assert_eq!(error, expected, "{base}");
            assert!(!error.to_string().contains("secret"));
        }
    }
}
