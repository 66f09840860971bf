use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use plinth_connections::{Location, Vault};
use plinth_core::{AdminAll, Clock, OrgId, Permit, QueriesRead, StoreError};
use plinth_nl2sql::model::{LanguageModel, Message, Meter, ModelError, ModelRequest, Role, Usage};
use plinth_tenancy::{AuditEntry, Tenancy};
use secrecy::SecretString;
use serde_json::json;

use crate::ledger::Ledger;
use crate::{
    Dial, KeyPatch, ModelConfig, ModelDialer, ModelId, ModelPatch, ModelPolicy, ModelRef,
    ModelStore, ModelsError, Money, NewModel, OrgModels, PolicyPatch, Prices, Provider,
    PutModelError, Spending, StoredModel, UsageRow, UsageStore,
};

/// How long what was read of an organization is trusted: a model that was switched off and a budget that other servers
/// have spent count here within this.
const TRUST: SignedDuration = SignedDuration::from_secs(1);

/// How many organizations, and how many clients, are remembered at most.
const REMEMBERED: usize = 1_000;

/// The most models of an organization.
const MODELS_AT_MOST: usize = 50;

/// The model that the operator named in the process' settings.
#[derive(Clone)]
pub struct InstallationModel {
    /// Which protocol its server speaks.
    pub provider: Provider,
    /// Its client.
    pub model: Arc<dyn LanguageModel>,
}

/// What [`Models`] is put together from.
pub struct ModelParts {
    /// Keeps the records.
    pub store: Arc<dyn ModelStore>,
    /// Keeps what was used.
    pub usage: Arc<dyn UsageStore>,
    /// Seals the keys.
    pub vault: Vault,
    /// Makes clients.
    pub dialer: Arc<dyn ModelDialer>,
    /// The installation's own model, if there is one.
    pub installation: Option<InstallationModel>,
    /// Time zones of organizations.
    pub tenancy: Tenancy,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Which models there are, and what is spent on them.
#[derive(Clone)]
pub struct Models {
    store: Arc<dyn ModelStore>,
    usage: Arc<dyn UsageStore>,
    vault: Vault,
    dialer: Arc<dyn ModelDialer>,
    installation: Option<InstallationModel>,
    tenancy: Tenancy,
    ledger: Arc<Ledger>,
    known: Arc<Mutex<HashMap<OrgId, Known>>>,
    clients: Arc<Mutex<HashMap<(ModelId, i64), Arc<dyn LanguageModel>>>>,
    clock: Arc<dyn Clock>,
}

#[derive(Clone)]
struct Known {
    read_at: Timestamp,
    /// The first day of the month whose use was read.
    month: Date,
    /// What was read, with the use of that month as one sum.
    all: Arc<OrgModels>,
    used: Spending,
}

/// Who answers a question.
pub enum Chosen {
    /// The engine alone, and why.
    Embedded(WhyEmbedded),
    /// That model, beside the engine.
    Model(Box<Selected>),
}

/// Why no model is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyEmbedded {
    /// Nobody wants one, or there is none.
    Chosen,
    /// The organization's default is switched off.
    Inactive,
    /// The month's budget is spent.
    BudgetSpent,
}

/// A model for one question. What its meter shows is counted when it is let go.
pub struct Selected {
    /// Its client.
    pub model: Arc<dyn LanguageModel>,
    /// Adds up what it uses.
    pub meter: Meter,
    /// Which one it is.
    pub which: ModelRef,
    label: String,
    org: OrgId,
    day: Date,
    prices: Prices,
    ledger: Arc<Ledger>,
}

impl std::fmt::Debug for Selected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Selected").field("which", &self.which).finish_non_exhaustive()
    }
}

impl Drop for Selected {
    fn drop(&mut self) {
        let (sum, usage) = ((self.day, self.which), self.meter.total());
        self.ledger.note(self.org, sum, &self.label, usage, &self.prices);
    }
}

/// One that an organization can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which one.
    pub which: ModelRef,
    /// How people call it.
    pub name: String,
    /// The protocol of its server; `None` for the engine.
    pub provider: Option<Provider>,
    /// Its name there; `None` for the engine.
    pub model: Option<String>,
    /// Whether it may be used.
    pub is_active: bool,
    /// Whether it answers where a question does not say.
    pub is_default: bool,
}

/// What came of a trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Tried {
    /// Why it did not answer; `None` if it did.
    pub error: Option<ModelError>,
    /// How long it took, in milliseconds.
    pub latency_ms: f64,
    /// What it used.
    pub usage: Usage,
}

/// What an organization used in a month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonthlyUsage {
    /// The first day of the month.
    pub month: Date,
    /// In all.
    pub spent: Spending,
    /// What was decided.
    pub policy: ModelPolicy,
    /// Each day and model.
    pub rows: Vec<UsageRow>,
}

impl Models {
    /// Puts the service together.
    pub fn new(parts: ModelParts) -> Self {
        Self {
            ledger: Arc::new(Ledger::new(parts.usage.clone())),
            store: parts.store,
            usage: parts.usage,
            vault: parts.vault,
            dialer: parts.dialer,
            installation: parts.installation,
            tenancy: parts.tenancy,
            known: Arc::default(),
            clients: Arc::default(),
            clock: parts.clock,
        }
    }

    /// What the organization can use: the engine, the installation's model, its own, oldest first.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn list(&self, permit: &Permit<QueriesRead>) -> Result<Vec<Listed>, ModelsError> {
        let all = self.read(permit.org()).await?.0;
        let default = self.default(&all.policy);
        let listed = |which, name: &str| Listed {
            which,
            name: name.to_owned(),
            provider: None,
            model: None,
            is_active: true,
            is_default: which == default,
        };
        let mut found = vec![listed(ModelRef::Embedded, "Embedded engine")];
        found.extend(self.installation.iter().map(|it| Listed {
            provider: Some(it.provider),
            model: Some(it.model.name().to_owned()),
            ..listed(ModelRef::Installation, "Installation")
        }));
        found.extend(all.models.iter().map(|StoredModel { config, .. }| Listed {
            provider: Some(config.provider),
            model: Some(config.model.clone()),
            is_active: config.is_active,
            ..listed(ModelRef::Own(config.id), config.name.as_str())
        }));
        Ok(found)
    }

    /// Who answers a question of that organization: `wanted`, or its default. A default that cannot be used leaves the
    /// question to the engine; one that was wanted is refused.
    ///
    /// # Errors
    ///
    /// - [`ModelsError::BudgetExceeded`], [`ModelsError::Inactive`], [`ModelsError::NoInstallationModel`] or
    ///   [`ModelsError::NotFound`] only if the model was wanted.
    /// - [`ModelsError::Key`] or [`ModelsError::Store`] when storage fails.
    pub async fn choose(
        &self,
        permit: &Permit<QueriesRead>,
        wanted: Option<ModelRef>,
    ) -> Result<Chosen, ModelsError> {
        let org = permit.org();
        if wanted == Some(ModelRef::Embedded) {
            return Ok(Chosen::Embedded(WhyEmbedded::Chosen));
        }
        let known = self.known(org).await?;
        let policy = &known.all.policy;
        let which = wanted.unwrap_or_else(|| self.default(policy));
        let refused = |why, error| {
            if wanted.is_some() { Err(error) } else { Ok(Chosen::Embedded(why)) }
        };
        let own = match which {
            ModelRef::Embedded => return Ok(Chosen::Embedded(WhyEmbedded::Chosen)),
            ModelRef::Installation if self.installation.is_none() => {
                return refused(WhyEmbedded::Chosen, ModelsError::NoInstallationModel);
            }
            ModelRef::Installation => None,
            ModelRef::Own(id) => match known.all.models.iter().find(|it| it.config.id == id) {
                None => return refused(WhyEmbedded::Inactive, ModelsError::NotFound(id)),
                Some(it) if !it.config.is_active => {
                    return refused(WhyEmbedded::Inactive, ModelsError::Inactive(id));
                }
                found => found,
            },
        };
        let waiting = self.ledger.waiting(org, known.month);
        let spent = Spending {
            tokens: known.used.tokens.saturating_add(waiting.tokens),
            cost: known.used.cost.plus(waiting.cost),
        };
        if policy.budget.is_spent(spent) {
            let resets_on = known.month.saturating_add(1.month());
            let error = ModelsError::BudgetExceeded { budget: policy.budget, spent, resets_on };
            return refused(WhyEmbedded::BudgetSpent, error);
        }
        let (model, label, prices) = match (own, &self.installation) {
            (Some(it), _) => {
                let client = self.client(it).await?;
                (client, it.config.name.as_str().to_owned(), it.config.prices)
            }
            (None, Some(it)) => {
                (it.model.clone(), "Installation".to_owned(), policy.installation_prices)
            }
            (None, None) => return Ok(Chosen::Embedded(WhyEmbedded::Chosen)),
        };
        Ok(Chosen::Model(Box::new(self.selected(org, which, model, label, prices).await?)))
    }

    /// One of the organization's own models.
    ///
    /// # Errors
    ///
    /// [`ModelsError::NotFound`] also when it belongs to another organization.
    pub async fn get(
        &self,
        permit: &Permit<AdminAll>,
        id: ModelId,
    ) -> Result<ModelConfig, ModelsError> {
        Ok(self.stored(permit.org(), id).await?.config)
    }

    /// Adds a model; nothing is dialled.
    ///
    /// # Errors
    ///
    /// [`ModelsError::Invalid`] naming the field; [`ModelsError::NameTaken`]; [`ModelsError::TooMany`].
    pub async fn create(
        &self,
        permit: &Permit<AdminAll>,
        new: NewModel,
    ) -> Result<ModelConfig, ModelsError> {
        let (org, now) = (permit.org(), self.clock.now());
        if self.read(org).await?.0.models.len() >= MODELS_AT_MOST {
            return Err(ModelsError::TooMany(MODELS_AT_MOST));
        }
        let base_url = new.base_url.as_deref().map_or(new.provider.base_url(), str::trim);
        let config = ModelConfig {
            id: ModelId::new(now),
            org,
            name: new.name,
            provider: new.provider,
            base_url: base_url.to_owned(),
            model: new.model,
            has_key: new.key.is_some(),
            ca_certificate: new.ca_certificate,
            time_limit: new.time_limit,
            prices: new.prices,
            is_active: new.is_active,
            revision: 1,
            created_by: permit.user(),
            created_at: now,
            updated_at: now,
        };
        let key = self.checked(&config, new.key.as_ref()).await?;
        let entry = told(permit, &config, now, "model.created", config.has_key);
        let stored = StoredModel { config, key };
        self.store.insert(&stored, &entry).await?;
        self.forget(org);
        Ok(stored.config)
    }

    /// Changes a model.
    ///
    /// # Errors
    ///
    /// As for [`Models::create`] and [`Models::get`]; [`ModelsError::Changed`] if somebody else changed it meanwhile.
    pub async fn update(
        &self,
        permit: &Permit<AdminAll>,
        id: ModelId,
        patch: ModelPatch,
    ) -> Result<ModelConfig, ModelsError> {
        let (org, now) = (permit.org(), self.clock.now());
        let before = self.stored(org, id).await?;
        let config = patch.apply(&before.config, now)?;
        let (key, is_new) = match &patch.key {
            KeyPatch::Keep => {
                self.checked(&config, None).await?;
                (before.key, false)
            }
            KeyPatch::Clear => (self.checked(&config, None).await?, false),
            KeyPatch::Set(key) => (self.checked(&config, Some(key)).await?, true),
        };
        let entry = told(permit, &config, now, "model.updated", is_new);
        let stored = StoredModel { config, key };
        self.store.update(&stored, &entry).await?;
        self.forget(org);
        Ok(stored.config)
    }

    /// Forgets a model with its key. What it was used for stays counted.
    ///
    /// # Errors
    ///
    /// [`ModelsError::NotFound`] as for [`Models::get`].
    pub async fn remove(&self, permit: &Permit<AdminAll>, id: ModelId) -> Result<(), ModelsError> {
        let entry =
            AuditEntry::of(permit.principal(), self.clock.now(), "model.deleted").on("model", id);
        let removed = self.store.remove(permit.org(), id, &entry).await?;
        self.forget(permit.org());
        if removed { Ok(()) } else { Err(ModelsError::NotFound(id)) }
    }

    /// Asks a model for a few words, whether it is switched on or not and whatever the budget says; what it uses counts.
    ///
    /// # Errors
    ///
    /// [`ModelsError::NotFound`] as for [`Models::get`]. What the model's server does is told in [`Tried`].
    pub async fn test(&self, permit: &Permit<AdminAll>, id: ModelId) -> Result<Tried, ModelsError> {
        let stored = self.stored(permit.org(), id).await?;
        let model = self.client(&stored).await?;
        let label = stored.config.name.as_str().to_owned();
        let (which, prices) = (ModelRef::Own(id), stored.config.prices);
        let selected = self.selected(permit.org(), which, model, label, prices).await?;
        let request = ModelRequest {
            messages: vec![
                Message::new(Role::System, "Answer with one JSON object and nothing else."),
                Message::new(Role::User, "Answer with {\"ready\": true}"),
            ],
            temperature: 0.0,
            max_tokens: TRIAL_TOKENS,
            json: true,
        };
        let started = Instant::now();
        let answered = selected.model.complete(&request, &selected.meter).await;
        let latency_ms = started.elapsed().as_secs_f64() * 1000.0;
        // One that thinks aloud for too long for a trial is there all the same.
        let error = answered.err().filter(|it| *it != ModelError::TooLong);
        Ok(Tried { error, latency_ms, usage: selected.meter.total() })
    }

    /// What the organization decided.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn policy(&self, permit: &Permit<AdminAll>) -> Result<ModelPolicy, ModelsError> {
        Ok(self.read(permit.org()).await?.0.policy)
    }

    /// Changes what the organization decided.
    ///
    /// # Errors
    ///
    /// [`ModelsError::Invalid`] naming the field; [`ModelsError::NotFound`] if the default is no model of the
    /// organization; [`ModelsError::Changed`] if somebody else changed it meanwhile.
    pub async fn change_policy(
        &self,
        permit: &Permit<AdminAll>,
        patch: PolicyPatch,
    ) -> Result<ModelPolicy, ModelsError> {
        let org = permit.org();
        let all = self.read(org).await?.0;
        let policy = patch.apply(&all.policy)?;
        match policy.default_model {
            Some(ModelRef::Own(id)) if !all.models.iter().any(|it| it.config.id == id) => {
                return Err(ModelsError::NotFound(id));
            }
            Some(ModelRef::Installation) if self.installation.is_none() => {
                return Err(ModelsError::NoInstallationModel);
            }
            _ => {}
        }
        let entry = AuditEntry::of(permit.principal(), self.clock.now(), "model_settings.updated")
            .with(json!({
                "default_model": policy.default_model.map(|it| it.to_string()),
                "monthly_token_budget": policy.budget.tokens,
                "monthly_cost_budget": policy.budget.cost.map(Money::amount),
                "installation_input_price": policy.installation_prices.input.amount(),
                "installation_output_price": policy.installation_prices.output.amount(),
                "currency": policy.currency,
            }));
        if !self.store.put_policy(org, &policy, &entry).await? {
            return Err(ModelsError::Changed);
        }
        self.forget(org);
        Ok(policy)
    }

    /// What the organization used in the month of that day; in this month if none is given.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn usage(
        &self,
        permit: &Permit<AdminAll>,
        month: Option<Date>,
    ) -> Result<MonthlyUsage, ModelsError> {
        let org = permit.org();
        self.flush().await?;
        let month = match month {
            Some(day) => day.first_of_month(),
            None => self.today(org).await?.first_of_month(),
        };
        let rows = self.usage.between(org, month, month.last_of_month()).await?;
        let policy = self.read(org).await?.0.policy;
        Ok(MonthlyUsage { month, spent: sum(&rows), policy, rows })
    }

    /// Writes what was used and is not written yet; the server calls it twice a second.
    ///
    /// # Errors
    ///
    /// Only when our own storage is down; then it goes on waiting.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.ledger.flush(|org| self.forget(org)).await
    }

    fn default(&self, policy: &ModelPolicy) -> ModelRef {
        let fallback =
            if self.installation.is_some() { ModelRef::Installation } else { ModelRef::Embedded };
        policy.default_model.unwrap_or(fallback)
    }

    async fn selected(
        &self,
        org: OrgId,
        which: ModelRef,
        model: Arc<dyn LanguageModel>,
        label: String,
        prices: Prices,
    ) -> Result<Selected, ModelsError> {
        let (day, ledger) = (self.today(org).await?, self.ledger.clone());
        Ok(Selected { model, meter: Meter::default(), which, label, org, day, prices, ledger })
    }

    async fn today(&self, org: OrgId) -> Result<Date, ModelsError> {
        let zone = self.tenancy.time_zone(org).await?;
        let zone = TimeZone::get(&zone).unwrap_or(TimeZone::UTC);
        Ok(self.clock.now().to_zoned(zone).date())
    }

    async fn read(&self, org: OrgId) -> Result<(OrgModels, Date), ModelsError> {
        let month = self.today(org).await?.first_of_month();
        Ok((self.store.read(org, month).await?, month))
    }

    async fn stored(&self, org: OrgId, id: ModelId) -> Result<StoredModel, ModelsError> {
        let found = self.read(org).await?.0.models.into_iter().find(|it| it.config.id == id);
        found.ok_or(ModelsError::NotFound(id))
    }

    async fn known(&self, org: OrgId) -> Result<Known, ModelsError> {
        let now = self.clock.now();
        if let Some(known) = self.known.lock().expect("not poisoned").get(&org)
            && now.duration_since(known.read_at) < TRUST
        {
            return Ok(known.clone());
        }
        let (all, month) = self.read(org).await?;
        let used = sum(&all.used);
        let known = Known { read_at: now, month, all: Arc::new(all), used };
        let mut all = self.known.lock().expect("not poisoned");
        if all.len() >= REMEMBERED {
            all.retain(|_, it| now.duration_since(it.read_at) < TRUST);
        }
        all.insert(org, known.clone());
        Ok(known)
    }

    fn forget(&self, org: OrgId) {
        self.known.lock().expect("not poisoned").remove(&org);
    }

    /// The client of a model; one for each revision, so that its connections are kept.
    async fn client(&self, it: &StoredModel) -> Result<Arc<dyn LanguageModel>, ModelsError> {
        let at = (it.config.id, it.config.revision);
        if let Some(client) = self.clients.lock().expect("not poisoned").get(&at) {
            return Ok(client.clone());
        }
        let key = match &it.key {
            Some(sealed) => Some(self.vault.open(place(&it.config), sealed).await?),
            None => None,
        };
        let client = self.dialer.dial(&dial(&it.config, key.as_ref()))?;
        let mut clients = self.clients.lock().expect("not poisoned");
        clients.retain(|(id, _), _| *id != at.0);
        if clients.len() >= REMEMBERED {
            clients.clear();
        }
        clients.insert(at, client.clone());
        Ok(client)
    }

    /// Checks all that can be checked without dialling, and seals a key that was given.
    async fn checked(
        &self,
        config: &ModelConfig,
        key: Option<&SecretString>,
    ) -> Result<Option<plinth_connections::Sealed>, ModelsError> {
        config.check()?;
        self.dialer.dial(&dial(config, key))?;
        Ok(match key {
            Some(key) => Some(self.vault.seal(place(config), key).await?),
            None => None,
        })
    }
}

/// How long the answer to a trial may be, in tokens.
const TRIAL_TOKENS: u32 = 256;

/// Where a model's key stands sealed.
fn place(config: &ModelConfig) -> Location<'static> {
    Location { org: config.org, table: "models", column: "key", record: config.id.as_uuid() }
}

fn dial<'a>(config: &'a ModelConfig, key: Option<&'a SecretString>) -> Dial<'a> {
    Dial {
        provider: config.provider,
        base_url: &config.base_url,
        model: &config.model,
        key,
        ca_certificate: config.ca_certificate.as_deref(),
        time_limit: config.time_limit,
    }
}

fn sum(rows: &[UsageRow]) -> Spending {
    rows.iter().fold(Spending::default(), |sum, it| Spending {
        tokens: sum
            .tokens
            .saturating_add(it.usage.prompt_tokens)
            .saturating_add(it.usage.completion_tokens),
        cost: sum.cost.plus(it.cost),
    })
}

fn told(
    permit: &Permit<AdminAll>,
    it: &ModelConfig,
    now: Timestamp,
    action: &str,
    is_new_key: bool,
) -> AuditEntry {
    AuditEntry::of(permit.principal(), now, action).on("model", it.id).with(json!({
        "name": it.name.as_str(),
        "provider": it.provider.as_str(),
        "base_url": it.base_url,
        "model": it.model,
        "has_key": it.has_key,
        "key_replaced": is_new_key,
        "has_ca_certificate": it.ca_certificate.is_some(),
        "timeout_seconds": it.time_limit.as_secs(),
        "input_price": it.prices.input.amount(),
        "output_price": it.prices.output.amount(),
        "is_active": it.is_active,
    }))
}

impl From<PutModelError> for ModelsError {
    fn from(err: PutModelError) -> Self {
        match err {
            PutModelError::NameTaken => Self::NameTaken,
            PutModelError::Changed => Self::Changed,
            PutModelError::Store(err) => err.into(),
        }
    }
}

/// How long a model may take for one answer unless somebody says otherwise.
pub const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(30);
