use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use plinth_core::{OrgId, UserId};
use secrecy::SecretString;

use crate::{InvalidModel, Money, Prices, Provider};

plinth_core::typed_id! {
    /// Identifies a model that an organization configured.
    ModelId, "model"
}

/// Who can answer a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ModelRef {
    /// The engine alone, without any model.
    Embedded,
    /// The model of the process' settings.
    Installation,
    /// One that the organization configured.
    Own(ModelId),
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded"),
            Self::Installation => f.write_str("installation"),
            Self::Own(id) => id.fmt(f),
        }
    }
}

/// A text that names no model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("has to be `embedded`, `installation` or the id of a model, as GET /v1/models lists them")]
pub struct UnknownModel;

impl FromStr for ModelRef {
    type Err = UnknownModel;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "embedded" => Ok(Self::Embedded),
            "installation" => Ok(Self::Installation),
            text => text.parse().map(Self::Own).map_err(|_| UnknownModel),
        }
    }
}

/// How people call a model: 1 to 100 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelName(String);

impl ModelName {
    /// Checks what was typed; blanks around it are dropped.
    ///
    /// # Errors
    ///
    /// [`InvalidModel`].
    pub fn parse(text: &str) -> Result<Self, InvalidModel> {
        let text = text.trim();
        let good = (1..=100).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        let rule = "must have 1 to 100 characters and no control characters";
        good.then(|| Self(text.to_owned())).ok_or(InvalidModel { field: "name", rule })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A model that an organization configured; its key is kept apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelConfig {
    /// Its id.
    pub id: ModelId,
    /// Whose it is.
    pub org: OrgId,
    /// How people call it; unique in the organization.
    pub name: ModelName,
    /// Which protocol its server speaks.
    pub provider: Provider,
    /// Where its server is.
    pub base_url: String,
    /// Its name there.
    pub model: String,
    /// Whether a key is kept for it.
    pub has_key: bool,
    /// Certificate authorities to trust beside the machine's, as PEM.
    pub ca_certificate: Option<String>,
    /// How long it may take for one answer.
    pub time_limit: Duration,
    /// What it costs.
    pub prices: Prices,
    /// Whether it may be used.
    pub is_active: bool,
    /// Counts the changes.
    pub revision: i64,
    /// Who added it.
    pub created_by: UserId,
    /// When.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What somebody says of a new model.
#[derive(Clone, Debug)]
pub struct NewModel {
    /// See [`ModelConfig::name`].
    pub name: ModelName,
    /// See [`ModelConfig::provider`].
    pub provider: Provider,
    /// See [`ModelConfig::base_url`]; `None` for the provider's own.
    pub base_url: Option<String>,
    /// See [`ModelConfig::model`].
    pub model: String,
    /// What its server wants to be shown, if anything.
    pub key: Option<SecretString>,
    /// See [`ModelConfig::ca_certificate`].
    pub ca_certificate: Option<String>,
    /// See [`ModelConfig::time_limit`].
    pub time_limit: Duration,
    /// See [`ModelConfig::prices`].
    pub prices: Prices,
    /// See [`ModelConfig::is_active`].
    pub is_active: bool,
}

/// What becomes of a key.
#[derive(Clone, Debug, Default)]
pub enum KeyPatch {
    /// It stays, for as long as it goes where it was given for.
    #[default]
    Keep,
    /// It is forgotten.
    Clear,
    /// It is replaced.
    Set(SecretString),
}

/// What to change of a model; what is not said stays.
#[derive(Clone, Debug, Default)]
pub struct ModelPatch {
    /// See [`ModelConfig::name`].
    pub name: Option<ModelName>,
    /// See [`ModelConfig::provider`].
    pub provider: Option<Provider>,
    /// See [`ModelConfig::base_url`].
    pub base_url: Option<String>,
    /// See [`ModelConfig::model`].
    pub model: Option<String>,
    /// What becomes of the key.
    pub key: KeyPatch,
    /// See [`ModelConfig::ca_certificate`].
    pub ca_certificate: Option<Option<String>>,
    /// See [`ModelConfig::time_limit`].
    pub time_limit: Option<Duration>,
    /// See [`ModelConfig::prices`].
    pub input_price: Option<Money>,
    /// See [`ModelConfig::prices`].
    pub output_price: Option<Money>,
    /// See [`ModelConfig::is_active`].
    pub is_active: Option<bool>,
}

/// The shortest and longest time that one answer may take, in seconds.
const TIME_LIMIT: std::ops::RangeInclusive<u64> = 1..=300;

/// The most that may stand in each of the long fields, in bytes.
const LONGEST: [(&str, usize); 2] = [("base_url", 500), ("ca_certificate", 64 * 1024)];

impl ModelConfig {
    /// Checks what does not need to be dialled for.
    pub(crate) fn check(&self) -> Result<(), InvalidModel> {
        if !TIME_LIMIT.contains(&self.time_limit.as_secs()) {
            let rule = "must be from 1 to 300";
            return Err(InvalidModel { field: "timeout_seconds", rule });
        }
        let lengths = [self.base_url.len(), self.ca_certificate.as_ref().map_or(0, String::len)];
        for ((field, most), length) in LONGEST.into_iter().zip(lengths) {
            if length > most {
                return Err(InvalidModel { field, rule: "is too long" });
            }
        }
        Ok(())
    }
}

impl ModelPatch {
    /// The record after the change. A kept key goes only where it was given for: whoever may change a model may not read
    /// its key, and else had only to send it to a server of their own.
    ///
    /// # Errors
    ///
    /// [`InvalidModel`] naming `api_key` if another server, or another authority to vouch for it, comes without one.
    pub fn apply(&self, before: &ModelConfig, now: Timestamp) -> Result<ModelConfig, InvalidModel> {
        let provider = self.provider.unwrap_or(before.provider);
        let base_url = match &self.base_url {
            Some(url) => url.trim().to_owned(),
            None if provider == before.provider => before.base_url.clone(),
            None => provider.base_url().to_owned(),
        };
        let ca_certificate =
            self.ca_certificate.clone().unwrap_or_else(|| before.ca_certificate.clone());
        let is_exposed = base_url != before.base_url || ca_certificate != before.ca_certificate;
        let keeps = matches!(self.key, KeyPatch::Keep);
        if before.has_key && keeps && is_exposed {
            let rule = "has to be sent again when base_url, provider or ca_certificate change: a kept key goes only where it was given for";
            return Err(InvalidModel { field: "api_key", rule });
        }
        Ok(ModelConfig {
            name: self.name.clone().unwrap_or_else(|| before.name.clone()),
            provider,
            base_url,
            model: self.model.clone().unwrap_or_else(|| before.model.clone()),
            has_key: match self.key {
                KeyPatch::Keep => before.has_key,
                KeyPatch::Clear => false,
                KeyPatch::Set(_) => true,
            },
            ca_certificate,
            time_limit: self.time_limit.unwrap_or(before.time_limit),
            prices: Prices {
                input: self.input_price.unwrap_or(before.prices.input),
                output: self.output_price.unwrap_or(before.prices.output),
            },
            is_active: self.is_active.unwrap_or(before.is_active),
            revision: before.revision + 1,
            updated_at: now,
            ..before.clone()
        })
    }
}
