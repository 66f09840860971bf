use jiff::civil::Date;
use plinth_connections::KeyError;
use plinth_core::{Classify, ErrorKind, StoreError};
use plinth_tenancy::TenancyError;
use serde_json::{Value, json};

use crate::{Budget, ModelId, Spending};

/// A setting that breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {rule}")]
pub struct InvalidModel {
    /// The field of the request.
    pub field: &'static str,
    /// What it has to be.
    pub rule: &'static str,
}

impl Classify for InvalidModel {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    fn details(&self) -> Option<Value> {
        Some(json!({ self.field: self.rule }))
    }
}

/// Why something about models failed.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    /// No such model in this organization.
    #[error("there is no model {0}")]
    NotFound(ModelId),
    /// The installation has none.
    #[error("this installation has no language model of its own")]
    NoInstallationModel,
    /// It is switched off.
    #[error("the model {0} is switched off")]
    Inactive(ModelId),
    /// A setting breaks a rule.
    #[error(transparent)]
    Invalid(#[from] InvalidModel),
    /// The organization has one of that name.
    #[error("there is a model with this name already")]
    NameTaken,
    /// There are too many.
    #[error("an organization has at most {0} models")]
    TooMany(usize),
    /// Somebody else changed it at the same time.
    #[error("it was changed by somebody else at the same time; read it again")]
    Changed,
    /// What the organization lets its questions spend this month is spent.
    #[error("this month's budget for language models is spent; the embedded engine still answers")]
    BudgetExceeded {
        /// The limits.
        budget: Budget,
        /// What was spent.
        spent: Spending,
        /// The first day of the next month.
        resets_on: Date,
    },
    /// A key could not be kept or read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The organization could not be read.
    #[error(transparent)]
    Tenancy(#[from] TenancyError),
    /// Our own storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Classify for ModelsError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::NoInstallationModel | Self::Inactive(_) => ErrorKind::Invalid,
            Self::Invalid(err) => err.kind(),
            Self::NameTaken | Self::TooMany(_) | Self::Changed => ErrorKind::Conflict,
            Self::BudgetExceeded { .. } => ErrorKind::BudgetExceeded,
            Self::Key(err) => err.kind(),
            Self::Tenancy(err) => err.kind(),
            Self::Store(err) => err.kind(),
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::Invalid(err) => err.details(),
            Self::NoInstallationModel | Self::Inactive(_) => {
                Some(json!({ "model": self.to_string() }))
            }
            Self::BudgetExceeded { budget, spent, resets_on } => Some(json!({
                "monthly_token_budget": budget.tokens,
                "monthly_cost_budget": budget.cost.map(crate::Money::amount),
                "tokens": spent.tokens,
                "cost": spent.cost.amount(),
                "resets_on": resets_on.to_string(),
            })),
            Self::Tenancy(err) => err.details(),
            Self::NotFound(_)
            | Self::NameTaken
            | Self::TooMany(_)
            | Self::Changed
            | Self::Key(_)
            | Self::Store(_) => None,
        }
    }
}
