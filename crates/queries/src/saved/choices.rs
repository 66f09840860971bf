use jiff::Timestamp;
use plinth_core::{Permit, QueriesRead};
use serde_json::{Map, Value};

use super::{ParameterKind, SavedRun};
use crate::{CallerLimits, Queries, QueryError, QueryId};

/// The most choices that are given out.
const MOST_CHOICES: u64 = 1_000;

/// How old choices may be, in seconds, where their query does not say: a list is looked at many times and changes seldom.
const USUAL_AGE_SECONDS: u32 = 60;

/// Something that a parameter's value can be.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The value.
    pub value: Value,
    /// How people read it: what stands beside it in the second column, if there is one.
    pub label: String,
}

/// What a parameter's value can be.
#[derive(Clone, Debug, PartialEq)]
pub struct Choices {
    /// In the order in which they come.
    pub choices: Vec<Choice>,
    /// Whether there are more.
    pub truncated: bool,
    /// When they were read, if not now; `None` also for options, which are read from nowhere.
    pub cached_at: Option<Timestamp>,
}

impl Queries {
    /// What the value of a saved query's parameter can be, as far as it says: options, or what another saved query finds.
    ///
    /// # Errors
    ///
    /// [`QueryError::NotFound`] as for [`Queries::get`]; [`QueryError::Field`] for a parameter that there is none of, or whose
    /// values are not chosen from a list; else as for [`Queries::run_saved`].
    pub async fn choices(
        &self,
        permit: &Permit<QueriesRead>,
        id: QueryId,
        name: &str,
    ) -> Result<Choices, QueryError> {
        let record = self.get(permit, id).await?;
        let parameter = record.definition.parameters.iter().find(|it| it.name == name);
        let parameter = parameter.ok_or_else(|| QueryError::NoParameter {
            query: id,
            name: name.chars().take(63).collect(),
        })?;
        let from = match &parameter.kind {
            ParameterKind::Enum { options } => {
                let choice = |it: &String| Choice { value: it.as_str().into(), label: it.clone() };
                let choices = options.iter().map(choice).collect();
                return Ok(Choices { choices, truncated: false, cached_at: None });
            }
            ParameterKind::Query { query_id } => *query_id,
            _ => {
                return Err(QueryError::Field {
                    field: format!("parameters.{name}"),
                    rule: "its values are not chosen from a list".to_owned(),
                });
            }
        };
        let caller = permit.principal();
        let found =
            self.history.store().find(caller.org, from, crate::service::filter(caller)).await?;
        let usual = found.and_then(|it| it.definition.max_age_seconds);
        let run = SavedRun {
            query: from,
            parameters: Map::new(),
            max_age_seconds: Some(usual.unwrap_or(USUAL_AGE_SECONDS)),
            limits: CallerLimits { row_limit: Some(MOST_CHOICES), ..CallerLimits::default() },
            version: None,
            shown_to: None,
            narrowing: None,
        };
        let found = self.run_saved(caller, run).await?;
        let choices = found.rows.into_iter().filter_map(|row| {
            let mut values = row.into_iter();
            let value = values.next().filter(|it| !it.is_null())?;
            let label = values.next().filter(|it| !it.is_null());
            let label = text(label.as_ref().unwrap_or(&value));
            Some(Choice { value, label })
        });
        Ok(Choices {
            choices: choices.collect(),
            truncated: found.cut_off.is_some(),
            cached_at: found.cached_at,
        })
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
