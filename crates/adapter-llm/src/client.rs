use std::time::Duration;

use async_trait::async_trait;
use plinth_adapter_http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use plinth_adapter_http::{
    HttpClient, HttpError, HttpRequest, HttpSettings, HttpStream, InvalidAuthorities,
    InvalidHttpSettings, authorities,
};
use plinth_egress::WebAddress;
use plinth_models::Provider;
use plinth_nl2sql::model::{LanguageModel, Meter, ModelError, ModelRequest};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, sleep, timeout};

use crate::endpoint::Endpoint;
use crate::stream::{Frames, Piece};
use crate::tally::Tally;
use crate::wire::{self, Dialect, Fault, Refused};

/// The largest answer that is read, in bytes, unpacked. A streamed token takes some hundred.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// The largest refusal of which anything is read.
const MAX_REFUSAL: usize = 64 * 1024;

/// How often a call is tried again, at most.
const MAX_RETRIES: u32 = 2;

/// How long a connection may take to come up.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How a model is called.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Which protocol its server speaks.
    pub provider: Provider,
    /// Where it answers.
    pub endpoint: Endpoint,
    /// Its name there.
    pub model: String,
    /// What is sent as its key; local servers often want none.
    pub key: Option<SecretString>,
    /// Certificate authorities to trust beside the machine's, as PEM.
    pub authorities: Option<String>,
    /// How long one completion may take, everything included: connecting, trying again, waiting between.
    pub time_limit: Duration,
    /// How long to wait before the first new try where the server does not say; twice that before the second.
    pub backoff: Duration,
}

impl ClientSettings {
    /// With the usual patience between tries, and the machine's authorities.
    pub fn new(
        provider: Provider,
        endpoint: Endpoint,
        model: impl Into<String>,
        key: Option<SecretString>,
        time_limit: Duration,
    ) -> Self {
        let backoff = Duration::from_millis(300);
        let model = model.into();
        Self { provider, endpoint, model, key, authorities: None, time_limit, backoff }
    }
}

/// Why no client can be made of the settings.
#[derive(Debug, thiserror::Error)]
pub enum InvalidClient {
    /// The model has no name, or one that is none.
    #[error(
        "the model's name has to have 1 to 200 characters, without blanks and control characters"
    )]
    Model,
    /// The key holds characters that cannot be sent.
    #[error("the model's key holds characters that a header cannot carry")]
    Key,
    /// The authorities are none.
    #[error(transparent)]
    Authorities(#[from] InvalidAuthorities),
    /// The client could not be set up.
    #[error("the model's client could not be set up")]
    Client(#[from] InvalidHttpSettings),
}

/// A model behind one of the protocols.
///
/// Answers are streamed, so that one that breaks off is told from a short one. Connections are kept and shared; redirects
/// are not followed; an answer larger than 4 MiB is refused. Refused connections, answers that break off, 429 and 5xx are
/// tried again at most twice within the time limit, after what `Retry-After` says. What a server does not know of the
/// protocol is left out or renamed once it says so.
pub struct ModelClient {
    client: HttpClient,
    address: WebAddress,
    headers: Vec<(HeaderName, HeaderValue)>,
    settings: ClientSettings,
    dialect: Dialect,
}

impl std::fmt::Debug for ModelClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelClient").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Why one try gave no completion.
enum Failed {
    Fault(Fault),
    /// The request will look different now.
    Learned,
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl ModelClient {
    /// A client; nothing is dialled.
    ///
    /// # Errors
    ///
    /// [`InvalidClient`].
    pub fn new(mut settings: ClientSettings) -> Result<Self, InvalidClient> {
        // An empty variable means what an unset one means.
        settings.key = settings.key.filter(|it| !it.expose_secret().trim().is_empty());
        settings.model = settings.model.trim().to_owned();
        if !is_name(&settings.model, settings.provider) {
            return Err(InvalidClient::Model);
        }
        let mut headers = Vec::new();
        if let Some(key) = &settings.key {
            let key = key.expose_secret().trim();
            let (name, text) = match settings.provider {
                Provider::OpenAi | Provider::Ollama => (AUTHORIZATION, format!("Bearer {key}")),
                Provider::Anthropic => (HeaderName::from_static("x-api-key"), key.to_owned()),
                Provider::Gemini => (HeaderName::from_static("x-goog-api-key"), key.to_owned()),
            };
            let mut value = HeaderValue::from_str(&text).map_err(|_| InvalidClient::Key)?;
            value.set_sensitive(true);
            headers.push((name, value));
        }
        if settings.provider == Provider::Anthropic {
            let version = HeaderValue::from_static(wire::ANTHROPIC_VERSION);
            headers.push((HeaderName::from_static("anthropic-version"), version));
        }
        headers.push((ACCEPT, HeaderValue::from_static("application/json, text/event-stream")));
        let trusted = settings.authorities.as_deref().map(authorities).transpose()?;
        let client = HttpClient::new(HttpSettings {
            time_limit: settings.time_limit,
            connect_limit: CONNECT_LIMIT,
            max_body_bytes: MAX_ANSWER,
            authorities: trusted.unwrap_or_default(),
            ..HttpSettings::new(settings.endpoint.gate().clone())
        })?;
        let address = settings.endpoint.of_model(settings.provider, &settings.model);
        Ok(Self { client, address, headers, settings, dialect: Dialect::default() })
    }

    /// Tries until there is an answer or no hope of one.
    async fn persist(&self, request: &ModelRequest, meter: &Meter) -> Result<String, ModelError> {
        let deadline = Instant::now() + self.settings.time_limit;
        let mut retries = 0;
        loop {
            let fault = match self.attempt(request, meter).await {
                Ok(text) => return Ok(text),
                Err(Failed::Learned) => continue,
                Err(Failed::Fault(fault)) => fault,
            };
            let wait = fault.wait.unwrap_or(self.settings.backoff * 2_u32.pow(retries));
            let error = wire::redacted(fault.error, self.secret());
            // Waiting in vain would only hide what is wrong behind a timeout.
            if !fault.may_pass || retries == MAX_RETRIES || Instant::now() + wait >= deadline {
                return Err(error);
            }
            tracing::debug!(%error, wait_ms = wait.as_millis(), "model.retry");
            retries += 1;
            sleep(wait).await;
        }
    }

    async fn attempt(&self, request: &ModelRequest, meter: &Meter) -> Result<String, Failed> {
        let body = self.dialect.body(self.settings.provider, &self.settings.model, request);
        let text = body.to_string();
        let mut tally = Tally::new(meter, text.len());
        let mut sent = HttpRequest::post_json(self.address.clone(), text.into_bytes());
        for (name, value) in &self.headers {
            sent = sent.header(name.clone(), value.clone());
        }
        let mut answer = self.client.open(sent).await.map_err(Fault::from)?;
        if !(200..300).contains(&answer.status) {
            let refusal = beginning(&mut answer).await;
            if self.dialect.learn(answer.status, &refusal, &body) {
                return Err(Failed::Learned);
            }
            let retry_after = retry_after(&answer.headers);
            let refused = Refused { status: answer.status, body: &refusal, retry_after };
            return Err(wire::refused(&refused).into());
        }
        tally.has_begun = true;
        self.read(&mut answer, &mut tally).await?;
        Ok(tally.said.finish()?)
    }

    async fn read(&self, answer: &mut HttpStream, tally: &mut Tally<'_>) -> Result<(), Fault> {
        let provider = self.settings.provider;
        let content_type = answer.headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
        let mut frames =
            Frames::new(content_type.unwrap_or_default(), provider == Provider::Ollama);
        let said = &mut tally.said;
        let mut each = |piece| match piece {
            Piece::Part(part) => wire::take_part(provider, &part, said),
            Piece::Whole(body) => wire::take_whole(provider, &body, said),
        };
        while let Some(bytes) = answer.chunk().await.map_err(Fault::from)? {
            frames.take(&bytes, &mut each)?;
        }
        frames.end(&mut each)
    }

    fn secret(&self) -> Option<&str> {
        self.settings.key.as_ref().map(|it| it.expose_secret().trim())
    }
}

#[async_trait]
impl LanguageModel for ModelClient {
    fn name(&self) -> &str {
        &self.settings.model
    }

    async fn complete(&self, request: &ModelRequest, meter: &Meter) -> Result<String, ModelError> {
        let limit = self.settings.time_limit;
        let persisting = self.persist(request, meter);
        timeout(limit, persisting).await.unwrap_or(Err(ModelError::Timeout(limit)))
    }
}

/// Whether a model may have that name there. Google's stand in the path, where `..` would lead elsewhere.
fn is_name(model: &str, provider: Provider) -> bool {
    let plain = |it: char| !it.is_control() && !it.is_whitespace();
    let is_plain = (1..=200).contains(&model.chars().count()) && model.chars().all(plain);
    let in_path = |it: char| it.is_ascii_alphanumeric() || "._-".contains(it);
    let name = model.strip_prefix("models/").unwrap_or(model);
    is_plain
        && (provider != Provider::Gemini
            || name.chars().all(in_path) && name.contains(|it: char| it.is_ascii_alphanumeric()))
}

impl From<HttpError> for Fault {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::TooLarge(_) => Self::for_good(ModelError::Protocol(error.to_string())),
            HttpError::Timeout(limit) => Self::for_now(ModelError::Timeout(limit)),
            HttpError::Refused(_) => Self::for_good(ModelError::Unreachable(error.to_string())),
            HttpError::Unreachable(what) | HttpError::Broken(what) => {
                Self::for_now(ModelError::Unreachable(what))
            }
        }
    }
}

/// What of a refusal is worth reading; a body that breaks off says less.
async fn beginning(answer: &mut HttpStream) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < MAX_REFUSAL
        && let Ok(Some(bytes)) = answer.chunk().await
    {
        body.extend_from_slice(&bytes);
    }
    body
}

/// What the server asks to wait. A date instead of seconds is not read: it would need both clocks to agree.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let seconds =
        number("retry-after-ms").map(|it| it / 1000.0).or_else(|| number(RETRY_AFTER.as_str()))?;
    Duration::try_from_secs_f64(seconds).ok()
}
