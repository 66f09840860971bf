use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use plinth_egress::{Gate, Refusal, WebAddress};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Response, redirect};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;

use crate::pin::{Origins, Pinned};
use crate::tls::tls_config;

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_mins(1);

/// How many unused connections are kept for one origin.
const IDLE_CONNECTIONS: usize = 8;

/// How far a client may go.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// What judges each address: the tenants' gate, or [`Gate::of_operator`] for what stands in the process' settings.
    pub gate: Gate,
    /// How long a request may take, from the look-up to the answer's last byte.
    pub time_limit: Duration,
    /// How long a connection may take to come up.
    pub connect_limit: Duration,
    /// The largest body that is read, in bytes, unpacked.
    pub max_body_bytes: usize,
    /// Certificate authorities to trust beside those of the machine.
    pub authorities: Vec<CertificateDer<'static>>,
}

impl HttpSettings {
    /// 10 seconds for a request, 5 for connecting, 1 MiB of body, the machine's authorities.
    pub fn new(gate: Gate) -> Self {
        Self {
            gate,
            time_limit: Duration::from_secs(10),
            connect_limit: Duration::from_secs(5),
            max_body_bytes: 1024 * 1024,
            authorities: Vec::new(),
        }
    }
}

/// Why no client can be made of the settings.
#[derive(Debug, thiserror::Error)]
pub enum InvalidHttpSettings {
    /// An authority is none, or the TLS library does not start.
    #[error("TLS could not be set up")]
    Tls(#[from] rustls::Error),
}

/// Fetches over HTTP on the server's behalf.
///
/// At each request the gate reads and judges the host anew, and what it admitted is what is dialled. Redirects are not
/// followed: they come back as the answers that they are. Proxies from the environment are not used, cookies not kept.
/// Connections are kept for a minute. Clones share them.
#[derive(Clone)]
pub struct HttpClient {
    settings: HttpSettings,
    tls: ClientConfig,
    origins: Arc<Origins>,
}

/// What is sent.
#[derive(Clone)]
pub struct HttpRequest {
    method: Method,
    address: WebAddress,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
}

impl HttpRequest {
    /// A request without a body.
    pub fn new(method: Method, address: WebAddress) -> Self {
        Self { method, address, headers: HeaderMap::new(), body: None }
    }

    /// A `GET`.
    pub fn get(address: WebAddress) -> Self {
        Self::new(Method::GET, address)
    }

    /// A `POST` of JSON, which `body` has to be.
    pub fn post_json(address: WebAddress, body: Vec<u8>) -> Self {
        Self { body: Some(body), ..Self::new(Method::POST, address) }
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    /// The same with that body.
    #[must_use]
    pub fn body(self, body: Vec<u8>) -> Self {
        Self { body: Some(body), ..self }
    }

    /// The same with that header, in the place of an earlier one of the name. Mark values that are secrets as
    /// sensitive.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

/// Method and origin; the rest often holds secrets.
impl std::fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HttpRequest({} {})", self.method, self.address.origin())
    }
}

/// What came back: all of it.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    /// The status code; any, also that of a redirect or a failure.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, unpacked.
    pub body: Vec<u8>,
}

/// An answer whose body is still coming. Dropping it hangs up.
#[derive(Debug)]
pub struct HttpStream {
    /// The status code; any, also that of a redirect or a failure.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    response: Response,
    limit: Duration,
    most: usize,
    read: usize,
}

impl HttpStream {
    /// The next piece of the body, unpacked; `None` at its end.
    ///
    /// # Errors
    ///
    /// [`HttpError`]: it broke off, took too long or is too large; then nothing more comes.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>, HttpError> {
        let chunk = self.response.chunk().await.map_err(|error| failed(&error, self.limit))?;
        self.read += chunk.as_deref().map_or(0, <[u8]>::len);
        if self.read > self.most {
            return Err(HttpError::TooLarge(self.most));
        }
        Ok(chunk.map(Into::into))
    }
}

fn failed(error: &reqwest::Error, limit: Duration) -> HttpError {
    if error.is_timeout() && !error.is_connect() {
        HttpError::Timeout(limit)
    } else if error.is_connect() || error.is_builder() {
        HttpError::Unreachable(innermost(error))
    } else {
        HttpError::Broken(innermost(error))
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HttpError {
    /// The gate refuses where it leads, or the name is not known. Nothing was dialled.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It took longer than that.
    #[error("there was no whole answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The body is larger than that many bytes; the connection was cut.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The connection did not come up: nothing was sent. The text names the innermost cause and no address.
    #[error("{0}")]
    Unreachable(String),
    /// The connection broke after it had come up: the request may have arrived. The text as before.
    #[error("{0}")]
    Broken(String),
}

impl HttpError {
    /// Whether the same request may work a little later without anybody changing a setting.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Refused(Refusal::Unresolved { .. })
            | Self::Timeout(_)
            | Self::Unreachable(_)
            | Self::Broken(_) => true,
            Self::Refused(
                Refusal::Malformed { .. }
                | Refusal::NoAddress { .. }
                | Refusal::Forbidden { .. }
                | Refusal::Own { .. },
            )
            | Self::TooLarge(_) => false,
        }
    }
}

impl HttpClient {
    /// A client; nothing is dialled.
    ///
    /// # Errors
    ///
    /// [`InvalidHttpSettings`].
    pub fn new(settings: HttpSettings) -> Result<Self, InvalidHttpSettings> {
        let mut tls = tls_config(&settings.authorities)?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { settings, tls, origins: Arc::default() })
    }

    /// Sends and reads the whole answer. Dropping it hangs up.
    ///
    /// # Errors
    ///
    /// [`HttpError`]; an answer with a status of failure is none.
    pub async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, HttpError> {
        let mut stream = self.open(request).await?;
        let most = self.settings.max_body_bytes;
        if stream.response.content_length().is_some_and(|it| it > most as u64) {
            return Err(HttpError::TooLarge(most));
        }
        let mut body = Vec::new();
        while let Some(chunk) = stream.chunk().await? {
            body.extend_from_slice(&chunk);
        }
        Ok(HttpAnswer { status: stream.status, headers: stream.headers, body })
    }

    /// Sends and comes back with the answer's head; its body is read piece by piece, under the same limits of time and
    /// size. Dropping either hangs up.
    ///
    /// # Errors
    ///
    /// As for [`HttpClient::send`].
    pub async fn open(&self, request: HttpRequest) -> Result<HttpStream, HttpError> {
        let limit = self.settings.time_limit;
        let deadline = std::time::Instant::now() + limit;
        // The look-up has a limit of its own.
        let admitted = request.address.admit(&self.settings.gate).await?;
        let client =
            self.origins.client(&request.address, &admitted, |pinned| self.client(pinned))?;
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        if left.is_zero() {
            return Err(HttpError::Timeout(limit));
        }
        let mut sent = client
            .request(request.method, request.address.as_str())
            .headers(request.headers)
            // Covers the body as well.
            .timeout(left);
        if let Some(body) = request.body {
            sent = sent.body(body);
        }
        let response = sent.send().await.map_err(|error| failed(&error, limit))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let most = self.settings.max_body_bytes;
        Ok(HttpStream { status, headers, response, limit, most, read: 0 })
    }

    fn client(&self, pinned: Pinned) -> Result<Client, HttpError> {
        Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .user_agent(concat!("plinth/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(self.settings.connect_limit.min(self.settings.time_limit))
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .pool_idle_timeout(IDLE)
            .dns_resolver(Arc::new(pinned))
            .build()
            .map_err(|error| HttpError::Unreachable(innermost(&error)))
    }
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpClient").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The innermost cause, which says what happened; the outer ones repeat the address.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if std::ptr::addr_eq(cause, error) {
        "the connection failed".to_owned()
    } else {
        cause.to_string()
    }
}
