use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use plinth_connections::Sealed;
use plinth_core::{Cursor, Limit, OrgId, StoreError};
use plinth_tenancy::AuditEntry;
use secrecy::SecretString;
use serde_json::Value;

use super::{Remote, RemoteError, RemoteId, RemoteIntent, RemoteIntentId, RemoteProject};
use crate::{ProjectFilter, ProjectId};

/// What a change of a remote leaves beside it.
#[derive(Clone, Debug)]
pub struct ChangedRemote {
    /// What goes into the trail.
    pub entry: AuditEntry,
    /// Another secret in the place of the one that is kept; `None` leaves it.
    pub secret: Option<Sealed>,
}

/// A decision about one remote: pure, so that it can be taken again.
pub type DecideRemote<'a> =
    &'a mut (dyn FnMut(&mut Remote) -> Result<ChangedRemote, RemoteError> + Send);

/// Where remotes and the projects that live there are kept. Every method is one transaction.
#[async_trait]
pub trait RemoteStore: Send + Sync + 'static {
    /// Keeps a new remote.
    ///
    /// # Errors
    ///
    /// [`RemoteError::NameTaken`], [`RemoteError::TooMany`] if there are `most` already; nothing changes.
    async fn insert(
        &self,
        remote: &Remote,
        secret: &Sealed,
        most: i64,
        entry: &AuditEntry,
    ) -> Result<(), RemoteError>;

    /// One remote.
    async fn find(&self, org: OrgId, id: RemoteId) -> Result<Option<Remote>, StoreError>;

    /// The remote of that name.
    async fn named(&self, org: OrgId, name: &str) -> Result<Option<Remote>, StoreError>;

    /// The organization's remotes, newest first; one more than `limit` if there are more.
    async fn list(
        &self,
        org: OrgId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<Remote>, StoreError>;

    /// The secret of a remote.
    async fn secret(&self, org: OrgId, id: RemoteId) -> Result<Option<Sealed>, StoreError>;

    /// Puts another secret in the place of one. `false` if another is there by now; then nothing changes.
    async fn swap_secret(
        &self,
        org: OrgId,
        id: RemoteId,
        from: &Sealed,
        to: &Sealed,
    ) -> Result<bool, StoreError>;

    /// Takes the right to renew a remote's token for that long, or until [`Self::end_renewal`]. `false` if somebody else has
    /// it.
    async fn lease_renewal(
        &self,
        org: OrgId,
        id: RemoteId,
        lease: SignedDuration,
    ) -> Result<bool, StoreError>;

    /// Gives that right back.
    async fn end_renewal(&self, org: OrgId, id: RemoteId) -> Result<(), StoreError>;

    /// Changes a remote as `decide` says; `None` if there is none.
    ///
    /// # Errors
    ///
    /// What `decide` says, and [`RemoteError::NameTaken`]; nothing changes.
    async fn change(
        &self,
        org: OrgId,
        id: RemoteId,
        decide: DecideRemote<'_>,
    ) -> Result<Option<Remote>, RemoteError>;

    /// Removes a remote, and what is known of projects that were deleted there; `false` if there is none.
    ///
    /// # Errors
    ///
    /// [`RemoteError::InUse`] while projects live there.
    async fn remove(
        &self,
        org: OrgId,
        id: RemoteId,
        entry: &AuditEntry,
    ) -> Result<bool, RemoteError>;

    /// Keeps that a project lives at a remote; one that was deleted there is there again.
    ///
    /// # Errors
    ///
    /// [`RemoteError::ProjectKnown`] if the organization has one of that id.
    async fn keep_project(
        &self,
        project: &RemoteProject,
        entry: &AuditEntry,
    ) -> Result<(), RemoteError>;

    /// One of them, also if it was deleted there.
    async fn project(
        &self,
        org: OrgId,
        id: &ProjectId,
    ) -> Result<Option<RemoteProject>, StoreError>;

    /// Those that are there, newest first. The filter's number for a place is that of [`RemoteProject::number`].
    async fn projects(
        &self,
        org: OrgId,
        filter: &ProjectFilter,
    ) -> Result<Vec<RemoteProject>, StoreError>;

    /// Notes what the remote has told of a project, if it lives there.
    async fn note_project(
        &self,
        org: OrgId,
        remote: RemoteId,
        id: &ProjectId,
        told: &Value,
    ) -> Result<(), StoreError>;

    /// Notes that a project that lives there was deleted, or is there again.
    async fn note_deletion(
        &self,
        org: OrgId,
        remote: RemoteId,
        id: &ProjectId,
        deleted_at: Option<Timestamp>,
    ) -> Result<(), StoreError>;

    /// Forgets a project, which goes on living there. `false` if none is known.
    async fn forget_project(
        &self,
        org: OrgId,
        remote: RemoteId,
        id: &ProjectId,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError>;

    /// Keeps what is about to be done there, in the trail too. For that long nobody else looks after it.
    async fn begin(
        &self,
        intent: &RemoteIntent,
        lease: SignedDuration,
        entry: &AuditEntry,
    ) -> Result<(), StoreError>;

    /// Forgets it: what came of it is known.
    async fn end_intent(&self, org: OrgId, id: RemoteIntentId) -> Result<(), StoreError>;

    /// Takes intents of any organization that nobody looks after, for that long.
    async fn take_intents(
        &self,
        most: usize,
        lease: SignedDuration,
    ) -> Result<Vec<RemoteIntent>, StoreError>;

    /// Writes into the trail what somebody is about to have done there.
    async fn note(&self, entry: &AuditEntry) -> Result<(), StoreError>;
}

/// What is asked of a remote.
#[derive(Clone, Debug)]
pub struct RemoteCall {
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// The whole URL, without a query.
    pub url: String,
    /// What comes after `?`, as it was sent.
    pub query: Option<String>,
    /// A JSON body.
    pub body: Option<Value>,
    /// What shows who asks.
    pub key: SecretString,
    /// Names the request in both servers' logs.
    pub request_id: String,
}

/// A form for an authorization server.
#[derive(Clone, Debug)]
pub struct RemoteForm {
    /// Where it goes.
    pub url: String,
    /// Its fields.
    pub fields: Vec<(&'static str, SecretString)>,
}

/// What a remote answered.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteAnswer {
    /// The status code; any.
    pub status: u16,
    /// The body; null where there was none.
    pub body: Value,
    /// After how many seconds to try again, where it says so.
    pub retry_after_seconds: Option<u64>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteFault {
    /// It leads where nobody may go from here.
    #[error("{0}")]
    Forbidden(String),
    /// Nothing was sent.
    #[error("{0}")]
    Away(String),
    /// It may have been carried out.
    #[error("{0}")]
    Unknown(String),
}

/// A server that speaks Neon's management API.
#[async_trait]
pub trait RemotePlane: Send + Sync + 'static {
    /// Sends a call, again where nothing was done: while it is busy (423) or was asked too often (429), or nobody was reached;
    /// and what only reads also after a fault. An answer after the last try is the answer, whatever its status.
    ///
    /// # Errors
    ///
    /// [`RemoteFault`].
    async fn call(&self, call: RemoteCall) -> Result<RemoteAnswer, RemoteFault>;

    /// Reads what an issuer of tokens tells of itself (`OpenID` Connect Discovery, or RFC 8414).
    ///
    /// # Errors
    ///
    /// [`RemoteFault`], also if it tells nothing.
    async fn metadata(&self, issuer: &str) -> Result<Value, RemoteFault>;

    /// Posts a form to an authorization server, once: a code or refresh token is good once.
    ///
    /// # Errors
    ///
    /// [`RemoteFault`].
    async fn form(&self, form: RemoteForm) -> Result<RemoteAnswer, RemoteFault>;
}
