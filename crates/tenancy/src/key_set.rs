//! Documents of outside identity providers: their key sets and their descriptions.

use std::time::Duration;

use async_trait::async_trait;
use plinth_core::{Classify, ErrorKind};
use serde_json::Value;

/// A JSON document as an identity provider serves it: a key set (RFC 7517) or its description
/// (`/.well-known/openid-configuration`).
#[derive(Clone, Debug, PartialEq)]
pub struct KeySetDocument {
    /// What was served: valid JSON and an object, nothing more is promised.
    pub json: Value,
    /// For how long the server lets it be kept (`Cache-Control: max-age`, less `Age`); zero where it forbids to keep
    /// it, `None` where it does not say.
    pub fresh_for: Option<Duration>,
}

/// Fetches identity providers' documents. What an organization typed as URL goes here, so every fetch passes the
/// egress gate, has a limit of time and size, and follows no redirect. Nothing is cached.
#[async_trait]
pub trait KeySetSource: Send + Sync + 'static {
    /// The document at `url`: an `https` URL without user, password and fragment, or an `http` one on this machine's
    /// loopback (`127.0.0.1`, `[::1]`, `localhost`) where the gate lets that through.
    ///
    /// # Errors
    ///
    /// [`KeySetError`]; its text is fit for those who typed the URL.
    async fn fetch(&self, url: &str) -> Result<KeySetDocument, KeySetError>;
}

/// Why there is no document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// It is no URL that may be fetched: not `https`, or with a user name, a password or a fragment in it. Also what no
    /// URL can be made of.
    #[error(
        "the address of an identity provider's document must be an https URL without user name, password and fragment"
    )]
    InvalidUrl,
    /// The egress gate refuses where it leads. Stays so until the operator allows it.
    #[error("{0}")]
    Forbidden(String),
    /// Nobody answered, or not in time. May work later.
    #[error("the identity provider could not be reached: {0}")]
    Unreachable(String),
    /// The server answered with something else than 200.
    #[error("the identity provider answered with status {0}")]
    Status(u16),
    /// What came is too large or no JSON object.
    #[error("the identity provider's document cannot be used: {0}")]
    Unusable(&'static str),
}

impl KeySetError {
    /// Whether the same fetch may work a little later without anybody changing a setting.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Status(status) => *status >= 500 || *status == 429 || *status == 408,
            Self::InvalidUrl | Self::Forbidden(_) | Self::Unusable(_) => false,
        }
    }
}

impl Classify for KeySetError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidUrl | Self::Forbidden(_) | Self::Unusable(_) => ErrorKind::Invalid,
            Self::Unreachable(_) | Self::Status(_) => ErrorKind::Connection,
        }
    }
}
