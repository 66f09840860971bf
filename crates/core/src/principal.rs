use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;

use crate::{AppId, KeyId, OrgId, ProviderId, ScopeSet, SessionId, UserId};

/// Who acts, and for which organization. Made once, where a request or a job enters the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The organization whose data may be touched.
    pub org: OrgId,
    /// The person behind the call: the member who signed in, or who made the key.
    pub user: UserId,
    /// By what they showed who they are.
    pub credential: Credential,
    /// What was granted: the role's scopes, narrowed by the key's or the app's.
    pub scopes: ScopeSet,
    /// Whether the person owns the organization and nothing narrows what they may: deleting and handing over is theirs.
    pub is_owner: bool,
    /// The only project that the credential reaches, by its id; `None` for whatever the scopes allow.
    pub project: Option<Arc<str>>,
    /// Only connections marked as test may be used (`plinth_test_…` keys).
    pub test_only: bool,
    /// `queries:read` covers saved queries only: a viewer neither asks nor sends SQL.
    pub saved_queries_only: bool,
    /// Where the call came from, for the audit trail.
    pub origin: Arc<Origin>,
}

impl Principal {
    /// The API key that was used, if it was one.
    pub fn key(&self) -> Option<KeyId> {
        match self.credential {
            Credential::Key(id) => Some(id),
            _ => None,
        }
    }
}

/// By what a caller showed who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Credential {
    /// An API key.
    Key(KeyId),
    /// A person who signed in to Plinth itself. Only they may change what is theirs in all their organizations.
    Session(SessionId),
    /// An app that a person let act for them.
    App {
        /// The app.
        app: AppId,
        /// What was granted to it, and can be taken back.
        session: SessionId,
    },
    /// A token of the organization's own identity provider: good in that organization only.
    Provider(ProviderId),
    /// A job of the server's own, in somebody's name.
    Job,
}

impl Credential {
    /// What kind it is, in the audit trail.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Key(_) => "api_key",
            Self::Session(_) => "session",
            Self::App { .. } => "app",
            Self::Provider(_) => "identity_provider",
            Self::Job => "job",
        }
    }

    /// The id that names it in the audit trail: the key's, the session's, the app's or the provider's. Never a secret.
    pub fn id(&self) -> Option<String> {
        match self {
            Self::Key(id) => Some(id.to_string()),
            Self::Session(id) => Some(id.to_string()),
            Self::App { app, .. } => Some(app.to_string()),
            Self::Provider(id) => Some(id.to_string()),
            Self::Job => None,
        }
    }
}

/// Where a call came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The request's id, as in its answer's `x-request-id`; empty for a job.
    pub request_id: Arc<str>,
    /// The caller's network address, as far as it is known.
    pub address: Option<IpAddr>,
    /// The idempotency record of the request, if it carries a key: whatever changes something marks that record in the
    /// same transaction.
    pub idempotency: Option<Uuid>,
}
