use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::civil::Date;
use plinth_connections::Sealed;
use plinth_core::{OrgId, StoreError};
use plinth_nl2sql::model::{LanguageModel, Usage};
use plinth_tenancy::AuditEntry;
use secrecy::SecretString;

use crate::{InvalidModel, ModelConfig, ModelId, ModelPolicy, ModelRef, Money, Provider};

/// A model with its sealed key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredModel {
    /// The record.
    pub config: ModelConfig,
    /// The key; there if and only if the record says so.
    pub key: Option<Sealed>,
}

/// Everything that choosing a model takes, of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrgModels {
    /// What was decided; the default where nobody did.
    pub policy: ModelPolicy,
    /// The models, oldest first.
    pub models: Vec<StoredModel>,
    /// What was used since the day that was asked for, by whom and in all.
    pub used: Vec<UsageRow>,
}

/// What one model was used for on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// The day, in the organization's time zone.
    pub day: Date,
    /// Which model.
    pub model: ModelRef,
    /// What it was called then: it may be gone.
    pub label: String,
    /// How much.
    pub usage: Usage,
    /// What it cost by the prices of that time.
    pub cost: Money,
}

/// Where an organization's models are kept. Every method is one transaction; where it takes an [`AuditEntry`], that is
/// written in it if and only if something changes.
#[async_trait]
pub trait ModelStore: Send + Sync + 'static {
    /// Everything of an organization, and what it used from `since` on.
    async fn read(&self, org: OrgId, since: Date) -> Result<OrgModels, StoreError>;

    /// Keeps a new model.
    ///
    /// # Errors
    ///
    /// [`PutModelError`]; nothing changes.
    async fn insert(&self, model: &StoredModel, entry: &AuditEntry) -> Result<(), PutModelError>;

    /// Puts a model in the place of the one with the revision before.
    ///
    /// # Errors
    ///
    /// [`PutModelError`], [`PutModelError::Changed`] also if there is none of that id; nothing changes.
    async fn update(&self, model: &StoredModel, entry: &AuditEntry) -> Result<(), PutModelError>;

    /// Forgets a model with its key, and that it was the default; `false` if there was none. What it was used for stays.
    async fn remove(&self, org: OrgId, id: ModelId, entry: &AuditEntry)
    -> Result<bool, StoreError>;

    /// Puts a policy in the place of the one with the revision before; `false` if that is another one.
    async fn put_policy(
        &self,
        org: OrgId,
        policy: &ModelPolicy,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError>;
}

/// Why a model was not kept.
#[derive(Debug, thiserror::Error)]
pub enum PutModelError {
    /// The organization has one of that name.
    #[error("the name is taken")]
    NameTaken,
    /// It is not as it was read.
    #[error("it has changed")]
    Changed,
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where what was used is added up: for each organization, day and model.
#[async_trait]
pub trait UsageStore: Send + Sync + 'static {
    /// Adds to what is there, all of it or nothing. Any number of servers may do so at once.
    async fn add(&self, org: OrgId, rows: &[UsageRow]) -> Result<(), StoreError>;

    /// What was used from the first to the last day, oldest first.
    async fn between(
        &self,
        org: OrgId,
        first: Date,
        last: Date,
    ) -> Result<Vec<UsageRow>, StoreError>;
}

/// How a model is reached.
#[derive(Clone, Copy, Debug)]
pub struct Dial<'a> {
    /// Which protocol its server speaks.
    pub provider: Provider,
    /// Where its server is.
    pub base_url: &'a str,
    /// Its name there.
    pub model: &'a str,
    /// What its server wants to be shown.
    pub key: Option<&'a SecretString>,
    /// Certificate authorities to trust beside the machine's, as PEM.
    pub ca_certificate: Option<&'a str>,
    /// How long it may take for one answer.
    pub time_limit: Duration,
}

/// Makes clients of models that organizations typed in, behind the tenants' gate.
pub trait ModelDialer: Send + Sync + 'static {
    /// A client; nothing is dialled, and where the address leads is judged at each call.
    ///
    /// # Errors
    ///
    /// [`InvalidModel`] naming the field that cannot be used.
    fn dial(&self, dial: &Dial<'_>) -> Result<Arc<dyn LanguageModel>, InvalidModel>;
}
