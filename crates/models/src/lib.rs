//! Which language models an organization may use, what it spends on them, and what stops it.
//!
//! Start with [`Models::choose`], which says who answers a question: the embedded engine, the installation's model or one
//! that the organization configured ([`ModelConfig`]). What a [`Selected`] model uses is counted when it is let go
//! (`ledger`) and written behind; [`ModelPolicy`] has the default, the budget and the prices.
//!
//! **Invariant:** a key is in clear only on its way into a client; nothing that is given out or logged holds it.

mod config;
mod error;
mod ledger;
mod policy;
mod ports;
mod provider;
mod service;
#[cfg(feature = "testing")]
pub mod testing;

pub use config::{
    KeyPatch, ModelConfig, ModelId, ModelName, ModelPatch, ModelRef, NewModel, UnknownModel,
};
pub use error::{InvalidModel, ModelsError};
pub use policy::{Budget, ModelPolicy, Money, PolicyPatch, Prices, Spending};
pub use ports::{
    Dial, ModelDialer, ModelStore, OrgModels, PutModelError, StoredModel, UsageRow, UsageStore,
};
pub use provider::{Provider, UnknownProvider};
pub use service::{
    Chosen, DEFAULT_TIME_LIMIT, InstallationModel, Listed, ModelParts, Models, MonthlyUsage,
    Selected, Tried, WhyEmbedded,
};
