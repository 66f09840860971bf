use jiff::Timestamp;
use plinth_queries::{
    Choice, Choices, Parameter, ParameterKind, QueryId, RunOf, Version, VersionRepair, Visibility,
};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::http::Problem;
use crate::http::envelope::{envelope, page_envelope};

/// For whom a saved query is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = QueryVisibility)]
pub(super) enum VisibilityBody {
    /// For whoever saved it.
    Private,
    /// For everybody in the organization.
    #[default]
    Organization,
}

impl From<VisibilityBody> for Visibility {
    fn from(it: VisibilityBody) -> Self {
        match it {
            VisibilityBody::Private => Self::Private,
            VisibilityBody::Organization => Self::Organization,
        }
    }
}

impl From<Visibility> for VisibilityBody {
    fn from(it: Visibility) -> Self {
        match it {
            Visibility::Private => Self::Private,
            Visibility::Organization => Self::Organization,
        }
    }
}

/// What a parameter's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = QueryParameterType)]
pub(super) enum ParameterType {
    /// A text of at most 10,000 characters.
    Text,
    /// A number; with more digits than a double holds, a string of them.
    Number,
    /// True or false.
    Boolean,
    /// A day, as `2026-01-31`.
    Date,
    /// A moment, as `2026-01-31T08:00:00Z`; without an offset in the organization's time zone.
    Timestamp,
    /// One of `options`.
    Enum,
    /// A value that people choose among those of the first column of the saved query `query_id`.
    Query,
}

/// A value that a saved query is run with. In its SQL `{{ name }}` stands for it; it is bound, and never part of the text.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QueryParameter)]
pub(super) struct ParameterBody {
    /// Lower-case letters, digits and `_`, not beginning with a digit.
    #[schema(example = "country", min_length = 1, max_length = 63, pattern = "^[a-z_][a-z0-9_]*$")]
    name: String,
    #[serde(rename = "type")]
    kind: ParameterType,
    /// What people are asked for.
    #[schema(max_length = 200, example = "Country")]
    label: Option<String>,
    /// What it does.
    #[schema(max_length = 2000)]
    description: Option<String>,
    /// Whether there has to be a value, from whoever runs it or by default. Otherwise null is bound where there is none.
    #[serde(default = "required")]
    required: bool,
    /// What counts where no value is given.
    #[schema(value_type = Option<Value>, example = "Germany")]
    default: Option<Value>,
    /// The texts to choose from; with the type `enum`.
    #[schema(max_items = 500)]
    options: Option<Vec<String>>,
    /// The saved query whose first column has the values to choose from; with the type `query`.
    #[schema(value_type = Option<String>, example = "q_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    query_id: Option<QueryId>,
}

fn required() -> bool {
    true
}

impl ParameterBody {
    fn read(self) -> Result<Parameter, Problem> {
        let Self { name, kind, label, description, required, default, options, query_id } = self;
        let wrong = |rule: &str| {
            let field = format!("parameters.{}", name.chars().take(63).collect::<String>());
            Problem::invalid(format!("{field}: {rule}"), json!({ field: rule }))
        };
        let kind = match (kind, options, query_id) {
            (ParameterType::Enum, Some(options), None) => ParameterKind::Enum { options },
            (ParameterType::Query, None, Some(query_id)) => ParameterKind::Query { query_id },
            (ParameterType::Enum, ..) => return Err(wrong("an enum has options, and no query_id")),
            (ParameterType::Query, ..) => {
                return Err(wrong("its choices come from a query_id, and it has no options"));
            }
            (_, Some(_), _) | (_, _, Some(_)) => {
                return Err(wrong("only an enum has options, and only a query a query_id"));
            }
            (ParameterType::Text, ..) => ParameterKind::Text,
            (ParameterType::Number, ..) => ParameterKind::Number,
            (ParameterType::Boolean, ..) => ParameterKind::Boolean,
            (ParameterType::Date, ..) => ParameterKind::Date,
            (ParameterType::Timestamp, ..) => ParameterKind::Timestamp,
        };
        Ok(Parameter { name, kind, label, description, required, default })
    }
}

/// Reads what somebody declares.
pub(super) fn read_parameters(bodies: Vec<ParameterBody>) -> Result<Vec<Parameter>, Problem> {
    bodies.into_iter().map(ParameterBody::read).collect()
}

impl From<Parameter> for ParameterBody {
    fn from(it: Parameter) -> Self {
        let (kind, options, query_id) = match it.kind {
            ParameterKind::Text => (ParameterType::Text, None, None),
            ParameterKind::Number => (ParameterType::Number, None, None),
            ParameterKind::Boolean => (ParameterType::Boolean, None, None),
            ParameterKind::Date => (ParameterType::Date, None, None),
            ParameterKind::Timestamp => (ParameterType::Timestamp, None, None),
            ParameterKind::Enum { options } => (ParameterType::Enum, Some(options), None),
            ParameterKind::Query { query_id } => (ParameterType::Query, None, Some(query_id)),
        };
        let Parameter { name, label, description, required, default, .. } = it;
        Self { name, kind, label, description, required, default, options, query_id }
    }
}

/// A list of objects. serde would also take a list of lists, whose items are the fields in their order, which no document
/// describes.
pub(super) fn objects<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<ParameterBody>, D::Error> {
    let all = Vec::<Map<String, Value>>::deserialize(from)?;
    let read = |it| ParameterBody::deserialize(Value::Object(it)).map_err(D::Error::custom);
    all.into_iter().map(read).collect()
}

/// The same for a list that may be left out.
pub(super) fn objects_if_given<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Vec<ParameterBody>>, D::Error> {
    objects(from).map(Some)
}

/// Of what an entry of the history is a run.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = RunOfQuery)]
pub(super) struct RunOfBody {
    /// The saved query.
    #[schema(example = "q_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    query_id: String,
    /// Which version of it ran.
    #[schema(example = 1)]
    version: u32,
}

impl From<RunOf> for RunOfBody {
    fn from(it: RunOf) -> Self {
        Self { query_id: it.query.to_string(), version: it.version }
    }
}

/// A saved query's SQL and parameters as they once were.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueryVersion)]
pub(super) struct VersionBody {
    query_id: String,
    #[schema(example = 1)]
    version: u32,
    #[schema(example = "SELECT count(*) FROM customers WHERE country = {{ country }}")]
    sql: String,
    parameters: Vec<ParameterBody>,
    /// The version that it is again; null if somebody wrote it.
    #[schema(required = true)]
    restored_from: Option<u32>,
    /// As which repair of an earlier version it was made; null if somebody wrote it.
    #[schema(required = true)]
    repair: Option<VersionRepairBody>,
    /// Who made it; where a repair was applied by itself, whoever made the version that it mends.
    created_by: String,
    created_at: Timestamp,
}

/// How a version came out of an earlier one that a change of the schema broke.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueryVersionRepair)]
struct VersionRepairBody {
    #[schema(example = "rep_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    repair_id: String,
    /// The version that it mends.
    version: u32,
    /// Whether it only gives names to what the database shows to be the same things.
    certain: bool,
    /// Whether Plinth applied it by itself.
    automatic: bool,
    /// What had changed.
    reason: String,
}

impl From<VersionRepair> for VersionRepairBody {
    fn from(it: VersionRepair) -> Self {
        Self {
            repair_id: it.repair.to_string(),
            version: it.of,
            certain: it.is_certain,
            automatic: it.by_itself,
            reason: it.reason,
        }
    }
}

impl From<Version> for VersionBody {
    fn from(it: Version) -> Self {
        Self {
            query_id: it.query.to_string(),
            version: it.number,
            sql: it.sql,
            parameters: it.parameters.into_iter().map(ParameterBody::from).collect(),
            restored_from: it.restored_from,
            repair: it.repair.map(VersionRepairBody::from),
            created_by: it.made_by.to_string(),
            created_at: it.made_at,
        }
    }
}

/// What a parameter's value can be.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ParameterChoices)]
pub(super) struct ChoicesBody {
    choices: Vec<ChoiceBody>,
    /// Whether there are more than the first 1,000.
    truncated: bool,
    /// When they were read, if not now.
    #[schema(required = true)]
    cached_at: Option<Timestamp>,
}

/// One of them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ParameterChoice)]
pub(super) struct ChoiceBody {
    /// Send it as the parameter's value.
    #[schema(value_type = Value, example = "DE")]
    value: Value,
    /// How people read it: the second column, if there is one.
    #[schema(example = "Germany")]
    label: String,
}

impl From<Choices> for ChoicesBody {
    fn from(it: Choices) -> Self {
        let choice = |Choice { value, label }| ChoiceBody { value, label };
        Self {
            choices: it.choices.into_iter().map(choice).collect(),
            truncated: it.truncated,
            cached_at: it.cached_at,
        }
    }
}

envelope! {
    /// A version.
    QueryVersionEnvelope(VersionBody)
}
page_envelope! {
    /// A page of versions.
    QueryVersionPage(VersionBody)
}
envelope! {
    /// What a parameter's value can be.
    ChoicesEnvelope(ChoicesBody)
}
