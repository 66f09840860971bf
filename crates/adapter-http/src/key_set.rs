use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use plinth_egress::{Gate, Scheme, WebAddress};
use plinth_tenancy::{KeySetDocument, KeySetError, KeySetSource};
use reqwest::header::{ACCEPT, AGE, CACHE_CONTROL, HeaderMap, HeaderValue};
use serde_json::Value;

use crate::{HttpClient, HttpError, HttpRequest, HttpSettings, InvalidHttpSettings};

/// The largest document that is read, in bytes. The largest public key sets are around 20 KiB.
const MAX_DOCUMENT: usize = 256 * 1024;

/// Identity providers' documents over HTTPS.
///
/// In clear only on this machine's loopback, by its address or as `localhost`, and only where the gate allows that:
/// whoever stands on the way could put in keys of their own.
#[derive(Clone, Debug)]
pub struct HttpKeySets {
    client: HttpClient,
}

impl HttpKeySets {
    /// Behind that gate, which is the tenants': an organization types the URL. 10 seconds, 256 KiB.
    ///
    /// # Errors
    ///
    /// As for [`HttpClient::new`].
    pub fn new(gate: Gate) -> Result<Self, InvalidHttpSettings> {
        Self::with(HttpSettings::new(gate))
    }

    /// The same with settings of one's own; the size of a document stays limited.
    ///
    /// # Errors
    ///
    /// As for [`HttpClient::new`].
    pub fn with(settings: HttpSettings) -> Result<Self, InvalidHttpSettings> {
        let max_body_bytes = settings.max_body_bytes.min(MAX_DOCUMENT);
        Ok(Self { client: HttpClient::new(HttpSettings { max_body_bytes, ..settings })? })
    }
}

#[async_trait]
impl KeySetSource for HttpKeySets {
    async fn fetch(&self, url: &str) -> Result<KeySetDocument, KeySetError> {
        let address = WebAddress::parse(url, Scheme::Any).map_err(|_| KeySetError::InvalidUrl)?;
        if address.is_plain() && !is_here(address.host()) {
            return Err(KeySetError::InvalidUrl);
        }
        let request = HttpRequest::get(address)
            .header(ACCEPT, HeaderValue::from_static("application/json, application/jwk-set+json"));
        let answer = self.client.send(request).await.map_err(|error| match error {
            HttpError::Refused(refusal) if !error_is_temporary(&refusal) => {
                KeySetError::Forbidden(refusal.to_string())
            }
            HttpError::TooLarge(_) => KeySetError::Unusable("it is larger than 256 KiB"),
            other => KeySetError::Unreachable(other.to_string()),
        })?;
        if answer.status != 200 {
            return Err(KeySetError::Status(answer.status));
        }
        let json: Value = serde_json::from_slice(&answer.body)
            .map_err(|_| KeySetError::Unusable("it is not JSON"))?;
        if !json.is_object() {
            return Err(KeySetError::Unusable("it is not a JSON object"));
        }
        Ok(KeySetDocument { json, fresh_for: fresh_for(&answer.headers) })
    }
}

fn error_is_temporary(refusal: &plinth_egress::Refusal) -> bool {
    HttpError::Refused(refusal.clone()).is_temporary()
}

/// Whether the host, as a parsed URL has it, is this machine by its own words.
fn is_here(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|it| it.to_canonical().is_loopback())
}

/// How long the answer may be kept (RFC 9111, 4.2.1): the first `max-age`, less what it spent on the way.
fn fresh_for(headers: &HeaderMap) -> Option<Duration> {
    let mut found = None;
    for value in headers.get_all(CACHE_CONTROL) {
        for directive in value.to_str().unwrap_or_default().split(',') {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "no-store" | "no-cache" => return Some(Duration::ZERO),
                "max-age" if found.is_none() => {
                    found = value.trim().trim_matches('"').parse::<u64>().ok();
                }
                _ => {}
            }
        }
    }
    let age = headers.get(AGE).and_then(|it| it.to_str().ok()?.trim().parse::<u64>().ok());
    found.map(|it| Duration::from_secs(it.saturating_sub(age.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_document_is_fresh_is_what_the_server_says() {
        let fresh = |lines: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, HeaderValue::from_static(value));
            }
            fresh_for(&headers).map(|it| it.as_secs())
        };
        assert_eq!(fresh(&[]), None);
        assert_eq!(
            fresh(&[("cache-control", "public, max-age=3600, must-revalidate")]),
            Some(3600)
        );
        assert_eq!(fresh(&[("cache-control", "Max-Age=\"60\""), ("age", "20")]), Some(40));
        assert_eq!(fresh(&[("cache-control", "max-age=60"), ("age", "90")]), Some(0));
        assert_eq!(
            fresh(&[("cache-control", "max-age=60"), ("cache-control", "no-store")]),
            Some(0)
        );
        assert_eq!(fresh(&[("cache-control", "max-age=soon")]), None);
    }

    #[test]
    fn only_loopback_is_spoken_to_in_clear() {
        for here in ["localhost", "127.0.0.1", "127.8.8.8", "[::1]"] {
            assert!(is_here(here), "{here}");
        }
        for away in ["localhost.example.com", "10.0.0.1", "[fe80::1]", "127.0.0.1.nip.io", ""] {
            assert!(!is_here(away), "{away}");
        }
    }
}
