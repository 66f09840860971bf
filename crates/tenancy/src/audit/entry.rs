use std::net::IpAddr;

use jiff::{Timestamp, TimestampRound, Unit};
use plinth_core::{OrgId, Principal, UserId};
use serde_json::{Value, json};

plinth_core::typed_id! {
    /// Identifies an entry of the audit trail.
    AuditId, "aud"
}

/// How an audited act ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditOutcome {
    /// It took effect.
    Succeeded,
    /// It was not allowed.
    Denied,
    /// It was tried and failed.
    Failed,
}

impl AuditOutcome {
    /// Every outcome.
    pub const ALL: [Self; 3] = [Self::Succeeded, Self::Denied, Self::Failed];

    /// Its name in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

/// One act, as it goes into the trail. A change's entry is written in the change's own transaction: there is no change
/// without one, and no entry of a change that was not made.
///
/// Nothing secret may stand in it: neither a credential, nor a token, nor what a customer's database answered.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// Its id.
    pub id: AuditId,
    /// In whose trail it stands.
    pub org: OrgId,
    /// When, to the microsecond, as the database keeps it.
    pub at: Timestamp,
    /// Whose act it was; `None` for Plinth's own.
    pub user: Option<UserId>,
    /// What they showed to be who they are: see [`plinth_core::Credential::kind`]; `setup`, `operator` or `system` where
    /// there was no credential.
    pub credential_kind: String,
    /// Which one it was.
    pub credential_id: Option<String>,
    /// What was done, like `connection.created`.
    pub action: String,
    /// To what kind of thing, like `connection`.
    pub target_kind: Option<String>,
    /// To which one.
    pub target_id: Option<String>,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// From which network address, if known.
    pub address: Option<IpAddr>,
    /// By which request; empty if by none.
    pub request_id: String,
    /// What else there is to say, as a JSON object.
    pub details: Value,
    /// The idempotency record that the change marks as done; not part of the trail.
    pub idempotency: Option<uuid::Uuid>,
}

impl AuditEntry {
    /// An act of a caller, now, that takes effect.
    pub fn of(principal: &Principal, at: Timestamp, action: &str) -> Self {
        Self {
            user: Some(principal.user),
            credential_kind: principal.credential.kind().to_owned(),
            credential_id: principal.credential.id(),
            address: principal.origin.address,
            request_id: principal.origin.request_id.to_string(),
            idempotency: principal.origin.idempotency,
            ..Self::of_plinth(principal.org, at, "system", action)
        }
    }

    /// An act without a caller: `by` is `setup`, `operator`, `system` or what else stands in for a credential.
    pub fn of_plinth(org: OrgId, at: Timestamp, by: &str, action: &str) -> Self {
        Self {
            id: AuditId::new(at),
            org,
            at: to_microseconds(at),
            user: None,
            credential_kind: by.to_owned(),
            credential_id: None,
            action: action.to_owned(),
            target_kind: None,
            target_id: None,
            outcome: AuditOutcome::Succeeded,
            address: None,
            request_id: String::new(),
            details: json!({}),
            idempotency: None,
        }
    }

    /// Whose act it was, where that is not the caller's or there is no caller.
    #[must_use]
    pub fn by(mut self, user: UserId) -> Self {
        self.user = Some(user);
        self
    }

    /// What it was done to.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "ids are small and copied")]
    pub fn on(mut self, kind: &str, id: impl ToString) -> Self {
        self.target_kind = Some(kind.to_owned());
        self.target_id = Some(id.to_string());
        self
    }

    /// What else there is to say: a JSON object without secrets.
    #[must_use]
    pub fn with(mut self, details: Value) -> Self {
        self.details = details;
        self
    }

    /// How it ended, where it did not take effect.
    #[must_use]
    pub fn ended(mut self, outcome: AuditOutcome) -> Self {
        self.outcome = outcome;
        self
    }
}

/// Postgres keeps microseconds; what is hashed has to be what comes back.
fn to_microseconds(at: Timestamp) -> Timestamp {
    let round = TimestampRound::new().smallest(Unit::Microsecond).mode(jiff::RoundMode::Floor);
    at.round(round).unwrap_or(at)
}

/// An entry as it stands in the trail.
#[derive(Clone, Debug, PartialEq)]
pub struct ChainedEntry {
    /// The entry.
    pub entry: AuditEntry,
    /// Its details exactly as they were hashed.
    pub details_text: String,
    /// Its place in the organization's trail, from 1, without gaps.
    pub number: i64,
    /// What chains it to the one before.
    pub hash: [u8; 32],
}
