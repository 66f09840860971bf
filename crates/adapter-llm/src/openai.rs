use std::time::Duration;

use async_trait::async_trait;
use plinth_adapter_http::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use plinth_adapter_http::{HttpClient, HttpError, HttpRequest, HttpSettings, InvalidHttpSettings};
use plinth_nl2sql::model::{Completion, LanguageModel, ModelError, ModelRequest};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    endpoint::Endpoint,
    wire::{self, Dialect},
};

/// The largest answer that is read, in bytes, unpacked.
const MAX_ANSWER: usize = 1024 * 1024;

/// How often a call is tried again, at most.
const MAX_RETRIES: u32 = 2;

/// How long a connection may take to come up.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How a model is called.
#[derive(Clone, Debug)]
pub struct OpenAiSettings {
    /// Where it answers.
    pub endpoint: Endpoint,
    /// Its name there.
    pub model: String,
    /// What is sent as `Authorization: Bearer`; local servers often want none.
    pub key: Option<SecretString>,
    /// How long one completion may take, everything included: connecting, trying again, waiting between.
    pub time_limit: Duration,
    /// How long to wait before the first new try where the server does not say; twice that before the second.
    pub backoff: Duration,
}

impl OpenAiSettings {
    /// With the usual patience between tries.
    pub fn new(
        endpoint: Endpoint,
        model: impl Into<String>,
        key: Option<SecretString>,
        time_limit: Duration,
    ) -> Self {
        Self { endpoint, model: model.into(), key, time_limit, backoff: Duration::from_millis(300) }
    }
}

/// Why no client can be made of the settings.
#[derive(Debug, thiserror::Error)]
pub enum InvalidModelSettings {
    /// The model has no name.
    #[error("the model's name is empty")]
    NoModel,
    /// The key holds characters that cannot be sent.
    #[error("the model's key holds characters that a header cannot carry")]
    Key,
    /// The client could not be set up.
    #[error("the model's client could not be set up")]
    Client(#[from] InvalidHttpSettings),
}

/// A model behind `POST …/chat/completions`.
///
/// Connections are kept and shared; redirects are not followed; an answer larger than 1 MiB is refused. Refused
/// connections, broken answers, 429 and 5xx are tried again at most twice within the time limit, after what
/// `Retry-After` says. What a server does not know of the protocol (`response_format`, `max_tokens`, `temperature`) is
/// left out or renamed once it says so.
pub struct OpenAiCompatible {
    client: HttpClient,
    /// What is sent as `Authorization`.
    authorization: Option<HeaderValue>,
    settings: OpenAiSettings,
    dialect: Dialect,
}

impl std::fmt::Debug for OpenAiCompatible {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenAiCompatible").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Why one try gave no completion.
enum Failed {
    /// Trying again would not help.
    ForGood(ModelError),
    /// It may help, after that time if the server said one.
    ForNow(ModelError, Option<Duration>),
    /// The request will look different now.
    Learned,
}

impl OpenAiCompatible {
    /// A client; nothing is dialled.
    ///
    /// # Errors
    ///
    /// [`InvalidModelSettings`].
    pub fn new(mut settings: OpenAiSettings) -> Result<Self, InvalidModelSettings> {
        // An empty variable means what an unset one means.
        settings.key = settings.key.filter(|it| !it.expose_secret().trim().is_empty());
        if settings.model.trim().is_empty() {
            return Err(InvalidModelSettings::NoModel);
        }
        let authorization = match &settings.key {
            None => None,
            Some(key) => {
                let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret()))
                    .map_err(|_| InvalidModelSettings::Key)?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let client = HttpClient::new(HttpSettings {
            time_limit: settings.time_limit,
            connect_limit: CONNECT_LIMIT,
            max_body_bytes: MAX_ANSWER,
            ..HttpSettings::new(settings.endpoint.gate().clone())
        })?;
        Ok(Self { client, authorization, settings, dialect: Dialect::default() })
    }

    /// Tries until there is an answer or no hope of one.
    async fn persist(&self, request: &ModelRequest) -> Result<Completion, ModelError> {
        let deadline = Instant::now() + self.settings.time_limit;
        let mut retries = 0;
        loop {
            let (error, wait) = match self.attempt(request).await {
                Ok(completion) => return Ok(completion),
                Err(Failed::Learned) => continue,
                Err(Failed::ForGood(error)) => return Err(error),
                Err(Failed::ForNow(error, wait)) => (error, wait),
            };
            let wait = wait.unwrap_or(self.settings.backoff * 2_u32.pow(retries));
            // Waiting in vain would only hide what is wrong behind a timeout.
            if retries == MAX_RETRIES || Instant::now() + wait >= deadline {
                return Err(error);
            }
            tracing::debug!(%error, wait_ms = wait.as_millis(), "model.retry");
            retries += 1;
            sleep(wait).await;
        }
    }

    async fn attempt(&self, request: &ModelRequest) -> Result<Completion, Failed> {
        let body = self.dialect.body(&self.settings.model, request);
        let address = self.settings.endpoint.address().clone();
        let mut sent = HttpRequest::post_json(address, body.to_string().into_bytes())
            .header(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(authorization) = &self.authorization {
            sent = sent.header(AUTHORIZATION, authorization.clone());
        }
        let answered = self.client.send(sent).await.map_err(|error| match error {
            HttpError::TooLarge(_) => Failed::ForGood(ModelError::Protocol(error.to_string())),
            HttpError::Timeout(limit) => Failed::ForNow(ModelError::Timeout(limit), None),
            HttpError::Refused(_) => Failed::ForGood(ModelError::Unreachable(error.to_string())),
            HttpError::Unreachable(what) => Failed::ForNow(ModelError::Unreachable(what), None),
        })?;
        let (status, answer) = (answered.status, answered.body);
        let retry_after = retry_after(&answered.headers);
        let redact = |text: &str| self.redacted(text);
        if (200..300).contains(&status) {
            return wire::read(&answer, &redact).map_err(Failed::ForGood);
        }
        if self.dialect.learn(status, &answer, &body) {
            return Err(Failed::Learned);
        }
        let error = wire::refused(status, &answer, retry_after, &redact);
        let may_help = match status {
            429 => !wire::is_spent(&answer),
            408 | 500..=599 => status != 501,
            _ => false,
        };
        Err(if may_help { Failed::ForNow(error, retry_after) } else { Failed::ForGood(error) })
    }

    /// A server's words without the key: some repeat it when they do not like it.
    fn redacted(&self, text: &str) -> String {
        match &self.settings.key {
            Some(key) => text.replace(key.expose_secret(), "…"),
            None => text.to_owned(),
        }
    }
}

#[async_trait]
impl LanguageModel for OpenAiCompatible {
    fn name(&self) -> &str {
        &self.settings.model
    }

    async fn complete(&self, request: &ModelRequest) -> Result<Completion, ModelError> {
        let limit = self.settings.time_limit;
        timeout(limit, self.persist(request)).await.unwrap_or(Err(ModelError::Timeout(limit)))
    }
}

/// What the server asks to wait. A date instead of seconds is not read: it would need both clocks to agree.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let seconds =
        number("retry-after-ms").map(|it| it / 1000.0).or_else(|| number(RETRY_AFTER.as_str()))?;
    Duration::try_from_secs_f64(seconds).ok()
}
