use jiff::Timestamp;
use plinth_core::{OrgId, UserId};

use super::CredentialId;

/// A credential without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCredential {
    /// Its id.
    pub id: CredentialId,
    /// Whose.
    pub org: OrgId,
    /// By which actions name it; unique in the organization.
    pub name: String,
    /// Scheme, host and port of the only receiver that gets it.
    pub origin: String,
    /// How it is sent.
    pub kind: CredentialKind,
    /// Who made it.
    pub by: UserId,
    /// Counts changes, for `ETag`.
    pub revision: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed.
    pub updated_at: Timestamp,
}

/// How a credential is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    /// As `Authorization: Bearer …`; also a bot token of Slack.
    Bearer,
    /// As `Authorization: Basic …`, with this user name.
    Basic(String),
    /// As the header of this name.
    Header(String),
    /// The secret is the whole URL: an incoming webhook of Slack.
    Url,
}

impl CredentialKind {
    /// Its name in rows and answers.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Basic(_) => "basic",
            Self::Header(_) => "header",
            Self::Url => "url",
        }
    }

    /// What is said of it beside the secret: the user's or the header's name.
    pub fn label(&self) -> Option<&str> {
        match self {
            Self::Basic(it) | Self::Header(it) => Some(it),
            Self::Bearer | Self::Url => None,
        }
    }

    /// From its name and label; `None` if they do not fit.
    pub fn from_parts(name: &str, label: Option<&str>) -> Option<Self> {
        match (name, label) {
            ("bearer", None) => Some(Self::Bearer),
            ("basic", Some(user)) => Some(Self::Basic(user.to_owned())),
            ("header", Some(name)) => Some(Self::Header(name.to_owned())),
            ("url", None) => Some(Self::Url),
            _ => None,
        }
    }
}
