//! Language models: which there are, an organization's own, its budget and what it used.

use std::time::Duration;

use actix_web::{HttpResponse, delete, get, patch, post, web};
use jiff::Timestamp;
use jiff::civil::Date;
use plinth_connections::Patch;
use plinth_models::{
    DEFAULT_TIME_LIMIT, KeyPatch, Listed, ModelConfig, ModelId, ModelName, ModelPatch, ModelPolicy,
    ModelRef, Money, MonthlyUsage, NewModel, PolicyPatch, Prices, Tried, UsageRow,
};
use plinth_nl2sql::model::ModelError;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;
use validator::Validate;

use super::connections::{clearable, given};
use super::envelope::{Reply, envelope, page_envelope};
use super::input::Valid;
use super::problem::Problems;
use super::{Caller, Problem, Services};

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list_models)
        .service(create_model)
        .service(get_model)
        .service(update_model)
        .service(delete_model)
        .service(test_model)
        .service(get_model_settings)
        .service(update_model_settings)
        .service(get_usage);
}

/// Reads which model somebody means.
pub(super) fn named(field: &'static str, text: &str) -> Result<ModelRef, Problem> {
    text.parse().map_err(|err: plinth_models::UnknownModel| {
        Problem::invalid(format!("{field} {err}"), json!({ field: err.to_string() }))
    })
}

/// List models
///
/// What can read a question here: the embedded engine, the installation's language model if the operator named one, and
/// the organization's own. The ids can be sent as `model` with a question. Needs the scope `queries:read`.
#[utoipa::path(
    tag = "models",
    responses((status = 200, body = ModelPage, description = "All of them."), Problems),
)]
#[get("/models")]
async fn list_models(
    caller: Caller,
    services: web::Data<Services>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let all = services.models.list(&caller.permit()?).await?;
    Ok(reply.page(all.into_iter().map(ListedBody::from).collect(), None))
}

/// Add a model
///
/// A language model of the organization's own, behind its own key. The key is kept sealed and never comes out. Nothing is
/// dialled; `POST /models/{id}/test` does. The server has to be one that the operator lets organizations reach. Needs the
/// scope `admin`.
#[utoipa::path(
    tag = "models",
    request_body = CreateModel,
    responses((status = 201, body = ModelEnvelope, description = "The model."), Problems),
)]
#[post("/models")]
async fn create_model(
    caller: Caller,
    services: web::Data<Services>,
    body: Valid<CreateModel>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let made = services.models.create(&permit, body.0.read()?).await?;
    Ok(reply.created(format!("/v1/models/{}", made.id), ModelBody::from(made)))
}

/// Get a model
///
/// One of the organization's own. Needs the scope `admin`.
#[utoipa::path(
    tag = "models",
    params(("id" = String, Path, description = "The model's id.", example = "model_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 200, body = ModelEnvelope, description = "The model."), Problems),
)]
#[get("/models/{id}")]
async fn get_model(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ModelId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let found = services.models.get(&caller.permit()?, id.into_inner()).await?;
    Ok(reply.ok(ModelBody::from(found)))
}

/// Change a model
///
/// What is left out stays. Where the address, the provider or the authorities change, the key has to be sent again: a kept
/// key goes only where it was given for. Needs the scope `admin`.
#[utoipa::path(
    tag = "models",
    params(("id" = String, Path, description = "The model's id.", example = "model_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    request_body = PatchModel,
    responses((status = 200, body = ModelEnvelope, description = "The model."), Problems),
)]
#[patch("/models/{id}")]
async fn update_model(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ModelId>,
    body: Valid<PatchModel>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let patch = body.0.read()?;
    let changed = services.models.update(&permit, id.into_inner(), patch).await?;
    Ok(reply.ok(ModelBody::from(changed)))
}

/// Remove a model
///
/// With its key. If it was the default, there is none afterwards; what it was used for stays counted. Needs the scope
/// `admin`.
#[utoipa::path(
    tag = "models",
    params(("id" = String, Path, description = "The model's id.", example = "model_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 204, description = "Removed."), Problems),
)]
#[delete("/models/{id}")]
async fn delete_model(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ModelId>,
) -> Result<HttpResponse, Problem> {
    services.models.remove(&caller.permit()?, id.into_inner()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Test a model
///
/// Asks it for a few words, whether it is switched on or not; what it uses counts. Answers 200 also where the model does
/// not: `success` says so, and `error` why. Needs the scope `admin`.
#[utoipa::path(
    tag = "models",
    params(("id" = String, Path, description = "The model's id.", example = "model_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")),
    responses((status = 200, body = ModelTestEnvelope, description = "What came of it."), Problems),
)]
#[post("/models/{id}/test")]
async fn test_model(
    caller: Caller,
    services: web::Data<Services>,
    id: web::Path<ModelId>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let tried = services.models.test(&caller.permit()?, id.into_inner()).await?;
    Ok(reply.ok(ModelTestBody::from(tried)))
}

/// Get the settings of models
///
/// Which one is the default, the month's budget, and what the installation's model costs. Needs the scope `admin`.
#[utoipa::path(
    tag = "models",
    responses((status = 200, body = ModelSettingsEnvelope, description = "The settings."), Problems),
)]
#[get("/model-settings")]
async fn get_model_settings(
    caller: Caller,
    services: web::Data<Services>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let policy = services.models.policy(&caller.permit()?).await?;
    Ok(reply.ok(ModelSettingsBody::from(policy)))
}

/// Change the settings of models
///
/// What is left out stays; null takes a budget or the default away. Needs the scope `admin`.
#[utoipa::path(
    tag = "models",
    request_body = PatchModelSettings,
    responses((status = 200, body = ModelSettingsEnvelope, description = "The settings."), Problems),
)]
#[patch("/model-settings")]
async fn update_model_settings(
    caller: Caller,
    services: web::Data<Services>,
    body: Valid<PatchModelSettings>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let policy = services.models.change_policy(&permit, body.0.read()?).await?;
    Ok(reply.ok(ModelSettingsBody::from(policy)))
}

/// Get the use of models
///
/// Tokens and costs of a month of the organization's time zone, in all and for each day and model, and the budget. Needs
/// the scope `admin`.
#[utoipa::path(
    tag = "models",
    params(UsageQuery),
    responses((status = 200, body = UsageEnvelope, description = "What was used."), Problems),
)]
#[get("/usage")]
async fn get_usage(
    caller: Caller,
    services: web::Data<Services>,
    query: web::Query<UsageQuery>,
    reply: Reply,
) -> Result<HttpResponse, Problem> {
    let permit = caller.permit()?;
    let month = query.month.as_deref().map(month).transpose()?;
    let used = services.models.usage(&permit, month).await?;
    Ok(reply.ok(UsageBody::from(used)))
}

/// Reads `2026-11`.
fn month(text: &str) -> Result<Date, Problem> {
    let rule = "month has to be like 2026-11";
    let parsed = format!("{text}-01").parse::<Date>();
    // `parse` knows more spellings of a date than this one.
    parsed
        .ok()
        .filter(|it| it.strftime("%Y-%m").to_string() == text)
        .ok_or_else(|| Problem::invalid(rule, json!({ "month": rule })))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct UsageQuery {
    /// Which month; this one if left out.
    #[param(example = "2026-11", pattern = "^[0-9]{4}-(0[1-9]|1[0-2])$")]
    month: Option<String>,
}

/// A language model to add.
#[derive(Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct CreateModel {
    /// 1 to 100 characters, unique in the organization.
    #[schema(example = "Our model", min_length = 1, max_length = 100)]
    name: String,
    /// Which protocol its server speaks: `openai` (also vLLM, llama.cpp and most gateways), `anthropic`, `gemini`, `ollama`.
    #[schema(example = "anthropic", pattern = "^(openai|anthropic|gemini|ollama)$")]
    provider: String,
    /// Where its server is; the provider's own address if left out.
    #[schema(example = "https://models.example.com", max_length = 500)]
    base_url: Option<String>,
    /// Its name there.
    #[schema(example = "large-1", min_length = 1, max_length = 200)]
    model: String,
    /// What its server wants to be shown. Never sent back.
    #[schema(value_type = Option<String>, format = Password, write_only)]
    api_key: Option<SecretString>,
    /// Certificate authorities as PEM, to trust beside those of Plinth's machine.
    ca_certificate: Option<String>,
    /// How long it may take for one answer.
    #[schema(default = 30, minimum = 1, maximum = 300)]
    timeout_seconds: Option<u64>,
    /// What a million tokens cost that it reads, in the organization's currency.
    #[serde(default)]
    #[schema(example = 3.0, minimum = 0)]
    input_price: f64,
    /// What a million tokens cost that it writes.
    #[serde(default)]
    #[schema(example = 15.0, minimum = 0)]
    output_price: f64,
    /// Whether it may be used.
    #[serde(default = "yes")]
    #[schema(default = true)]
    is_active: bool,
}

fn yes() -> bool {
    true
}

fn provider(text: &str) -> Result<plinth_models::Provider, Problem> {
    text.parse().map_err(|err: plinth_models::UnknownProvider| {
        Problem::invalid(format!("provider {err}"), json!({ "provider": err.to_string() }))
    })
}

impl CreateModel {
    fn read(self) -> Result<NewModel, Problem> {
        Ok(NewModel {
            name: ModelName::parse(&self.name)?,
            provider: provider(&self.provider)?,
            base_url: self.base_url,
            model: self.model,
            key: self.api_key,
            ca_certificate: self.ca_certificate,
            time_limit: self.timeout_seconds.map_or(DEFAULT_TIME_LIMIT, Duration::from_secs),
            prices: Prices {
                input: Money::parse("input_price", self.input_price)?,
                output: Money::parse("output_price", self.output_price)?,
            },
            is_active: self.is_active,
        })
    }
}

/// What to change of a model.
#[derive(Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct PatchModel {
    /// 1 to 100 characters, unique in the organization.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, nullable = false, min_length = 1, max_length = 100)]
    name: Option<String>,
    /// Which protocol its server speaks.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, nullable = false, pattern = "^(openai|anthropic|gemini|ollama)$")]
    provider: Option<String>,
    /// Where its server is.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, nullable = false, max_length = 500)]
    base_url: Option<String>,
    /// Its name there.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, nullable = false, min_length = 1, max_length = 200)]
    model: Option<String>,
    /// Replaces the key; null forgets it. Never sent back.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<String>, format = Password, write_only)]
    api_key: Patch<SecretString>,
    /// Certificate authorities as PEM; null goes back to those of Plinth's machine.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<String>)]
    ca_certificate: Patch<String>,
    /// How long it may take for one answer.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u64>, nullable = false, minimum = 1, maximum = 300)]
    timeout_seconds: Option<u64>,
    /// What a million tokens cost that it reads, in the organization's currency.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<f64>, nullable = false, minimum = 0)]
    input_price: Option<f64>,
    /// What a million tokens cost that it writes.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<f64>, nullable = false, minimum = 0)]
    output_price: Option<f64>,
    /// Whether it may be used.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<bool>, nullable = false)]
    is_active: Option<bool>,
}

/// What a field changes that null takes away.
#[expect(clippy::option_option, reason = "left out, null and a value mean three things")]
fn change<T>(it: Patch<T>) -> Option<Option<T>> {
    match it {
        Patch::Keep => None,
        Patch::Clear => Some(None),
        Patch::Set(it) => Some(Some(it)),
    }
}

impl PatchModel {
    fn read(self) -> Result<ModelPatch, Problem> {
        let price = |field, it: Option<f64>| it.map(|it| Money::parse(field, it)).transpose();
        Ok(ModelPatch {
            name: self.name.as_deref().map(ModelName::parse).transpose()?,
            provider: self.provider.as_deref().map(provider).transpose()?,
            base_url: self.base_url,
            model: self.model,
            key: match self.api_key {
                Patch::Keep => KeyPatch::Keep,
                Patch::Clear => KeyPatch::Clear,
                Patch::Set(key) => KeyPatch::Set(key),
            },
            ca_certificate: change(self.ca_certificate),
            time_limit: self.timeout_seconds.map(Duration::from_secs),
            input_price: price("input_price", self.input_price)?,
            output_price: price("output_price", self.output_price)?,
            is_active: self.is_active,
        })
    }
}

/// What to change of the settings of models.
#[derive(Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
struct PatchModelSettings {
    /// Who reads questions that name no model: `embedded`, `installation` or a model's id; null for the installation's
    /// model, or the embedded engine where there is none.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<String>, example = "embedded")]
    default_model: Patch<String>,
    /// How many tokens a month may take, read and written together; null for any number.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<u64>, example = 5_000_000)]
    monthly_token_budget: Patch<u64>,
    /// How much a month may cost by the prices; null for any amount.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<f64>, example = 50.0, minimum = 0)]
    monthly_cost_budget: Patch<f64>,
    /// What a million tokens cost that the installation's model reads.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<f64>, nullable = false, minimum = 0)]
    installation_input_price: Option<f64>,
    /// What a million tokens cost that it writes.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<f64>, nullable = false, minimum = 0)]
    installation_output_price: Option<f64>,
    /// The currency of all amounts, as three letters. Nothing is converted.
    #[serde(default, deserialize_with = "clearable")]
    #[schema(value_type = Option<String>, example = "EUR", pattern = "^[A-Z]{3}$")]
    currency: Patch<String>,
}

impl PatchModelSettings {
    fn read(self) -> Result<PolicyPatch, Problem> {
        let price = |field, it: Option<f64>| it.map(|it| Money::parse(field, it)).transpose();
        let default = change(self.default_model)
            .map(|it| it.map(|it| named("default_model", &it)).transpose());
        let cost = change(self.monthly_cost_budget)
            .map(|it| it.map(|it| Money::parse("monthly_cost_budget", it)).transpose());
        Ok(PolicyPatch {
            default_model: default.transpose()?,
            tokens: change(self.monthly_token_budget),
            cost: cost.transpose()?,
            input_price: price("installation_input_price", self.installation_input_price)?,
            output_price: price("installation_output_price", self.installation_output_price)?,
            currency: change(self.currency),
        })
    }
}

/// What can read a question.
#[derive(Serialize, ToSchema)]
#[schema(as = ListedModel)]
struct ListedBody {
    /// `embedded`, `installation`, or a model's id: what to send as `model` with a question.
    #[schema(example = "embedded")]
    id: String,
    name: String,
    /// The protocol of its server; null for the embedded engine.
    #[schema(required = true)]
    provider: Option<&'static str>,
    /// Its name there.
    #[schema(required = true)]
    model: Option<String>,
    is_active: bool,
    /// Whether it reads questions that name none.
    is_default: bool,
}

impl From<Listed> for ListedBody {
    fn from(it: Listed) -> Self {
        Self {
            id: it.which.to_string(),
            name: it.name,
            provider: it.provider.map(plinth_models::Provider::as_str),
            model: it.model,
            is_active: it.is_active,
            is_default: it.is_default,
        }
    }
}

/// A language model of the organization's own, without its key.
#[derive(Serialize, ToSchema)]
#[schema(as = Model)]
struct ModelBody {
    #[schema(example = "model_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: String,
    name: String,
    #[schema(example = "anthropic")]
    provider: &'static str,
    base_url: String,
    model: String,
    /// Whether a key is kept for it.
    has_api_key: bool,
    #[schema(required = true)]
    ca_certificate: Option<String>,
    timeout_seconds: u64,
    input_price: f64,
    output_price: f64,
    is_active: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<ModelConfig> for ModelBody {
    fn from(it: ModelConfig) -> Self {
        Self {
            id: it.id.to_string(),
            name: it.name.as_str().to_owned(),
            provider: it.provider.as_str(),
            base_url: it.base_url,
            model: it.model,
            has_api_key: it.has_key,
            ca_certificate: it.ca_certificate,
            timeout_seconds: it.time_limit.as_secs(),
            input_price: it.prices.input.amount(),
            output_price: it.prices.output.amount(),
            is_active: it.is_active,
            created_at: it.created_at,
            updated_at: it.updated_at,
        }
    }
}

/// What came of asking a model for a few words.
#[derive(Serialize, ToSchema)]
#[schema(as = ModelTest)]
struct ModelTestBody {
    success: bool,
    /// From asking to the answer's end, in milliseconds.
    latency_ms: f64,
    prompt_tokens: u64,
    completion_tokens: u64,
    #[schema(required = true)]
    error: Option<ModelTestError>,
}

/// Why a model did not answer.
#[derive(Serialize, ToSchema)]
struct ModelTestError {
    /// `unreachable`, `unauthorized`, `rate_limited`, `timeout`, `refused`, `empty`, `protocol` or `too_long`.
    #[schema(example = "unauthorized")]
    fault: &'static str,
    /// For people.
    message: String,
}

impl From<Tried> for ModelTestBody {
    fn from(it: Tried) -> Self {
        let error = it.error.map(|error| ModelTestError {
            fault: match error {
                ModelError::Unreachable(_) => "unreachable",
                ModelError::Unauthorized => "unauthorized",
                ModelError::RateLimited { .. } => "rate_limited",
                ModelError::Timeout(_) => "timeout",
                ModelError::Refused => "refused",
                ModelError::Empty => "empty",
                ModelError::Protocol(_) => "protocol",
                ModelError::TooLong => "too_long",
            },
            message: error.to_string(),
        });
        Self {
            success: error.is_none(),
            latency_ms: (it.latency_ms * 1000.0).round() / 1000.0,
            prompt_tokens: it.usage.prompt_tokens,
            completion_tokens: it.usage.completion_tokens,
            error,
        }
    }
}

/// What an organization decided about models.
#[derive(Serialize, ToSchema)]
#[schema(as = ModelSettings)]
struct ModelSettingsBody {
    #[schema(required = true, example = "embedded")]
    default_model: Option<String>,
    #[schema(required = true)]
    monthly_token_budget: Option<u64>,
    #[schema(required = true)]
    monthly_cost_budget: Option<f64>,
    installation_input_price: f64,
    installation_output_price: f64,
    #[schema(required = true, example = "EUR")]
    currency: Option<String>,
}

impl From<ModelPolicy> for ModelSettingsBody {
    fn from(it: ModelPolicy) -> Self {
        Self {
            default_model: it.default_model.map(|it| it.to_string()),
            monthly_token_budget: it.budget.tokens,
            monthly_cost_budget: it.budget.cost.map(Money::amount),
            installation_input_price: it.installation_prices.input.amount(),
            installation_output_price: it.installation_prices.output.amount(),
            currency: it.currency,
        }
    }
}

/// What an organization used in a month.
#[derive(Serialize, ToSchema)]
#[schema(as = Usage)]
struct UsageBody {
    #[schema(example = "2026-11")]
    month: String,
    /// Read and written together.
    tokens: u64,
    cost: f64,
    #[schema(required = true, example = "EUR")]
    currency: Option<String>,
    #[schema(required = true)]
    monthly_token_budget: Option<u64>,
    #[schema(required = true)]
    monthly_cost_budget: Option<f64>,
    /// Whether nothing is left: then only the embedded engine answers.
    is_spent: bool,
    /// Each day and model, in the order of days.
    days: Vec<UsageRowBody>,
}

/// What one model was used for on one day.
#[derive(Serialize, ToSchema)]
#[schema(as = UsageRow)]
struct UsageRowBody {
    #[schema(example = "2026-11-28")]
    day: String,
    /// `installation` or a model's id; it may be gone.
    model: String,
    /// What it was called then.
    name: String,
    /// Calls that were answered, those of repairs and further candidates included.
    calls: u32,
    prompt_tokens: u64,
    completion_tokens: u64,
    /// By the prices of that time.
    cost: f64,
}

impl From<UsageRow> for UsageRowBody {
    fn from(it: UsageRow) -> Self {
        Self {
            day: it.day.to_string(),
            model: it.model.to_string(),
            name: it.label,
            calls: it.usage.calls,
            prompt_tokens: it.usage.prompt_tokens,
            completion_tokens: it.usage.completion_tokens,
            cost: it.cost.amount(),
        }
    }
}

impl From<MonthlyUsage> for UsageBody {
    fn from(it: MonthlyUsage) -> Self {
        let budget = it.policy.budget;
        Self {
            month: it.month.strftime("%Y-%m").to_string(),
            tokens: it.spent.tokens,
            cost: it.spent.cost.amount(),
            currency: it.policy.currency,
            monthly_token_budget: budget.tokens,
            monthly_cost_budget: budget.cost.map(Money::amount),
            is_spent: budget.is_spent(it.spent),
            days: it.rows.into_iter().map(UsageRowBody::from).collect(),
        }
    }
}

envelope! {
    /// A model.
    ModelEnvelope(ModelBody)
}
envelope! {
    /// What came of a trial.
    ModelTestEnvelope(ModelTestBody)
}
envelope! {
    /// The settings of models.
    ModelSettingsEnvelope(ModelSettingsBody)
}
envelope! {
    /// What was used.
    UsageEnvelope(UsageBody)
}
page_envelope! {
    /// What can read a question.
    ModelPage(ListedBody)
}
