use std::time::{Duration, Instant};

use async_trait::async_trait;
use plinth_adapter_http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use plinth_adapter_http::{
    HttpClient, HttpError, HttpRequest, HttpSettings, InvalidHttpSettings, Method,
};
use plinth_control_plane::remote::{
    RemoteAnswer, RemoteCall, RemoteFault, RemoteForm, RemotePlane,
};
use plinth_egress::{Gate, Scheme, WebAddress};
use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::retry::pause;

/// What a server that passes a call on says with it, so that two of them do not send it to each other for ever.
const PASSED: HeaderName = HeaderName::from_static("x-plinth-passed");

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How far calls may go.
#[derive(Clone, Debug)]
pub struct NeonSettings {
    /// What judges each address: the tenants' gate, as an organization types it.
    pub gate: Gate,
    /// How long one try may take. Another Plinth waits some seconds for its operations before it answers.
    pub time_limit: Duration,
    /// How long all tries of a call together may take, beyond the first.
    pub patience: Duration,
    /// The pause before the second try; it doubles with each.
    pub first_pause: Duration,
    /// The largest answer, in bytes: definitions of whole databases come in one.
    pub max_body_bytes: usize,
}

impl NeonSettings {
    /// 45 seconds for a try, 15 for those after the first, pauses from half a second on, 4 MiB.
    pub fn new(gate: Gate) -> Self {
        Self {
            gate,
            time_limit: Duration::from_secs(45),
            patience: Duration::from_secs(15),
            first_pause: Duration::from_millis(500),
            max_body_bytes: 4 * 1024 * 1024,
        }
    }
}

/// Why no adapter can be made of the settings.
pub type InvalidNeonSettings = InvalidHttpSettings;

/// [`RemotePlane`] over HTTP. Clones share its connections.
#[derive(Clone, Debug)]
pub struct NeonPlane {
    client: HttpClient,
    patience: Duration,
    first_pause: Duration,
}

impl NeonPlane {
    /// An adapter; nothing is dialled.
    ///
    /// # Errors
    ///
    /// As for [`HttpClient::new`].
    pub fn new(settings: NeonSettings) -> Result<Self, InvalidNeonSettings> {
        let NeonSettings { gate, time_limit, patience, first_pause, max_body_bytes } = settings;
        let http = HttpSettings { time_limit, max_body_bytes, ..HttpSettings::new(gate) };
        Ok(Self { client: HttpClient::new(http)?, patience, first_pause })
    }

    async fn once(&self, request: HttpRequest) -> Result<RemoteAnswer, RemoteFault> {
        let answer = self.client.send(request).await.map_err(fault)?;
        let body = if answer.body.iter().all(u8::is_ascii_whitespace) {
            Value::Null
        } else {
            match serde_json::from_slice(&answer.body) {
                Ok(body) => body,
                // A proxy's page about an error says no more than its status.
                Err(_) if answer.status >= 300 => Value::Null,
                Err(_) => return Err(RemoteFault::Unknown("its answer is not JSON".to_owned())),
            }
        };
        let retry_after_seconds = retry_after(&answer.headers);
        Ok(RemoteAnswer { status: answer.status, body, retry_after_seconds })
    }
}

#[async_trait]
impl RemotePlane for NeonPlane {
    async fn call(&self, call: RemoteCall) -> Result<RemoteAnswer, RemoteFault> {
        let reads = matches!(call.method.as_str(), "GET" | "HEAD");
        let mut deadline = None;
        let mut tries = 0;
        loop {
            tries += 1;
            let came = self.once(request(&call)?).await;
            // What the first try took is not the others' loss.
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + self.patience);
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(pause) = pause(&came, reads, tries, self.first_pause, left) else {
                return came;
            };
            tracing::debug!(tries, pause_ms = pause.as_millis(), "a remote is asked again");
            tokio::time::sleep(jittered(pause)).await;
        }
    }

    async fn metadata(&self, issuer: &str) -> Result<Value, RemoteFault> {
        let issuer = WebAddress::parse(issuer, Scheme::Any)
            .map_err(|err| RemoteFault::Forbidden(err.to_string()))?;
        let own = issuer.path().trim_end_matches('/');
        let mut said = None;
        // The one stands after the issuer's path, the other before it.
        for path in [
            format!("{own}/.well-known/openid-configuration"),
            format!("/.well-known/oauth-authorization-server{own}"),
        ] {
            let accept = HeaderValue::from_static("application/json");
            let request = HttpRequest::get(issuer.with_path(&path)).header(ACCEPT, accept);
            let answer = self.once(request).await?;
            if answer.status == 200 && answer.body.is_object() {
                return Ok(answer.body);
            }
            said.get_or_insert(answer.status);
        }
        let said = said.unwrap_or_default();
        Err(RemoteFault::Forbidden(format!("it tells nothing of itself (it answered {said})")))
    }

    async fn form(&self, form: RemoteForm) -> Result<RemoteAnswer, RemoteFault> {
        let address = WebAddress::parse(&form.url, Scheme::Any)
            .map_err(|err| RemoteFault::Forbidden(err.to_string()))?;
        let fields: Vec<_> = form
            .fields
            .iter()
            .map(|(name, value)| format!("{name}={}", escaped(value.expose_secret())))
            .collect();
        let request = HttpRequest::new(Method::POST, address)
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
            .body(fields.join("&").into_bytes());
        self.once(request).await
    }
}

/// A value as a form has it.
fn escaped(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte.into());
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

fn request(call: &RemoteCall) -> Result<HttpRequest, RemoteFault> {
    let forbidden = |why: &str| RemoteFault::Forbidden(why.to_owned());
    let method = Method::from_bytes(call.method.as_bytes()).map_err(|_| forbidden("no method"))?;
    let address = WebAddress::parse(&call.url, Scheme::Any)
        .map_err(|err| RemoteFault::Forbidden(err.to_string()))?;
    // A path that reads otherwise than it was written would be about something else than was judged.
    let slashes = |text: &str| text.matches('/').count();
    let written = call.url.splitn(4, '/').nth(3).unwrap_or_default();
    let ends = |text: &str| text.ends_with('/');
    if slashes(address.path()) != slashes(written) + 1 || ends(address.path()) != ends(written) {
        return Err(forbidden("the path is read otherwise than it is written"));
    }
    let address = match &call.query {
        Some(query) => address.with_query(query),
        None => address,
    };
    let mut key = HeaderValue::from_str(&format!("Bearer {}", call.key.expose_secret()))
        .map_err(|_| forbidden("the key cannot be sent"))?;
    key.set_sensitive(true);
    let mut request = HttpRequest::new(method, address)
        .header(ACCEPT, HeaderValue::from_static("application/json"))
        .header(AUTHORIZATION, key)
        .header(PASSED, HeaderValue::from_static("1"));
    if let Ok(id) = HeaderValue::from_str(&call.request_id) {
        request = request.header(REQUEST_ID, id);
    }
    if let Some(body) = &call.body {
        request = request
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(body.to_string().into_bytes());
    }
    Ok(request)
}

fn fault(error: HttpError) -> RemoteFault {
    let text = error.to_string();
    match error {
        HttpError::Refused(_) if !error.is_temporary() => RemoteFault::Forbidden(text),
        HttpError::Refused(_) | HttpError::Unreachable(_) => RemoteFault::Away(text),
        HttpError::Timeout(_) | HttpError::TooLarge(_) | HttpError::Broken(_) => {
            RemoteFault::Unknown(text)
        }
    }
}

/// Only seconds: the API sends no dates.
fn retry_after(headers: &HeaderMap) -> Option<u64> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

/// Up to a quarter longer, so that many that were refused together do not come back together.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0_u8];
    // Without randomness they do.
    let _ = getrandom::fill(&mut byte);
    pause + pause * u32::from(byte[0]) / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(url: &str) -> RemoteCall {
        RemoteCall {
            method: "GET".to_owned(),
            url: url.to_owned(),
            query: None,
            body: None,
            key: "key".to_owned().into(),
            request_id: "r".to_owned(),
        }
    }

    #[test]
    fn a_path_that_reads_otherwise_than_it_is_written_is_not_sent() {
        let base = "https://console.neon.tech/api/v2/projects/p-1";
        assert!(request(&call(base)).is_ok());
        assert!(request(&call(&format!("{base}/branches/br-a/roles/a%20b"))).is_ok());
        for no in ["/../p-2", "/%2e%2e/p-2", "/.%2E/p-2", "/x/..", "/."] {
            assert!(request(&call(&format!("{base}{no}"))).is_err(), "{no}");
        }
    }
}
