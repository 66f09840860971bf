use plinth_egress::{Gate, InvalidWebAddress, Scheme, WebAddress};
use plinth_models::Provider;

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

    /// Where that model's next messages are asked for. The base may be the host alone, with the protocol's version, or
    /// the whole address as some documentation gives it.
    pub(crate) fn of_model(&self, provider: Provider, model: &str) -> WebAddress {
        let path = self.address.path().trim_end_matches('/');
        let without = |tail: &str| path.strip_suffix(tail).unwrap_or(path);
        match provider {
            Provider::OpenAi => self
                .address
                .with_path(&format!("{}/chat/completions", without("/chat/completions"))),
            Provider::Anthropic => {
                let base = without("/messages");
                let base = base.strip_suffix("/v1").unwrap_or(base);
                self.address.with_path(&format!("{base}/v1/messages"))
            }
            Provider::Gemini => {
                let base = without("/models");
                let has_version = base.rsplit('/').next().is_some_and(is_version);
                let base = if has_version { base.to_owned() } else { format!("{base}/v1beta") };
                let model = model.strip_prefix("models/").unwrap_or(model);
                let path = format!("{base}/models/{model}:streamGenerateContent");
                self.address.with_path(&path).with_query("alt=sse")
            }
            Provider::Ollama => {
                let base = without("/chat");
                let base = base.strip_suffix("/api").unwrap_or(base);
                let base = base.strip_suffix("/v1").unwrap_or(base);
                self.address.with_path(&format!("{base}/api/chat"))
            }
        }
    }

    /// What judges it.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }
}

/// Whether a part of a path names a version, like `v1` or `v1beta`.
fn is_version(part: &str) -> bool {
    part.strip_prefix('v').is_some_and(|it| it.starts_with(|it: char| it.is_ascii_digit()))
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
    Ok(address)
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
        use Provider::{Anthropic, Gemini, Ollama, OpenAi};
        let here = "http://127.0.0.1:11434";
        for (provider, base, path) in [
            (OpenAi, "/v1", "/v1/chat/completions"),
            (OpenAi, "/v1/", "/v1/chat/completions"),
            (OpenAi, "", "/chat/completions"),
            (OpenAi, "/a/chat/completions ", "/a/chat/completions"),
            (Anthropic, "", "/v1/messages"),
            (Anthropic, "/v1/", "/v1/messages"),
            (Anthropic, "/proxy/v1/messages", "/proxy/v1/messages"),
            (Gemini, "", "/v1beta/models/m-1:streamGenerateContent?alt=sse"),
            (Gemini, "/v1/", "/v1/models/m-1:streamGenerateContent?alt=sse"),
            (Gemini, "/v1beta/models", "/v1beta/models/m-1:streamGenerateContent?alt=sse"),
            (Ollama, "", "/api/chat"),
            (Ollama, "/v1", "/api/chat"),
            (Ollama, "/api/", "/api/chat"),
            (Ollama, "/x/api/chat", "/x/api/chat"),
        ] {
            let made = endpoint(&format!("{here}{base}")).expect(base).of_model(provider, "m-1");
            assert_eq!(made.as_str(), format!("{here}{path}"), "{base}");
        }
        let gemini = endpoint(here).expect("good").of_model(Gemini, "models/m-1");
        assert!(gemini.as_str().ends_with("/v1beta/models/m-1:streamGenerateContent?alt=sse"));
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
