use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use plinth_core::{Classify as _, UserId};
use plinth_dashboards::{
    Dashboard, DashboardChange, DashboardId, Filter, Looked, NewDashboard, NewShare, Position,
    Share, ShareId, ShareKind, Shown, Widget, WidgetError, WidgetId, WidgetResult, WidgetSpec,
};
use plinth_queries::QueryId;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use crate::http::Problem;
use crate::http::envelope::{envelope, page_envelope};
use crate::http::problem::ErrorInfo;
use crate::http::queries::RepairBody;
use crate::http::team::attributes::{self, AttributeBody};

/// A place on the grid of twelve columns. Widgets neither overlap nor go over the edge.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WidgetPosition)]
pub(super) struct PositionBody {
    /// Columns from the left.
    #[schema(minimum = 0, maximum = 11, example = 0)]
    x: u32,
    /// Rows from above.
    #[schema(minimum = 0, maximum = 1000, example = 0)]
    y: u32,
    /// Columns wide.
    #[schema(minimum = 1, maximum = 12, example = 6)]
    w: u32,
    /// Rows high.
    #[schema(minimum = 1, maximum = 50, example = 4)]
    h: u32,
}

impl From<PositionBody> for Position {
    fn from(PositionBody { x, y, w, h }: PositionBody) -> Self {
        Self { x, y, w, h }
    }
}

impl From<Position> for PositionBody {
    fn from(Position { x, y, w, h }: Position) -> Self {
        Self { x, y, w, h }
    }
}

/// A saved query, and how its result is looked at.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewWidget)]
pub(super) struct WidgetInput {
    /// Of a widget that is there already, which keeps its id by it.
    #[schema(value_type = Option<String>)]
    id: Option<WidgetId>,
    /// `metric`, `table`, `bar`, `line`, `area`, `pie`, `scatter`, `heatmap` or `text`.
    #[serde(rename = "type")]
    #[schema(example = "bar")]
    kind: String,
    /// What stands above it; up to 200 characters.
    #[schema(example = "Orders by country")]
    title: Option<String>,
    /// What it asks: a query of the history or a saved one. One that nobody saved is saved by it. A text can do without.
    #[schema(value_type = Option<String>, example = "q_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    query_id: Option<QueryId>,
    /// The version of the query that you stand for: it runs as you from then on. Left out, it stays what it is; of a new
    /// widget it is the newest.
    #[schema(minimum = 1, example = 1)]
    query_version: Option<u32>,
    /// You, to take the widget over: it runs as you from then on. Whoever it runs as already may be sent back.
    #[schema(value_type = Option<String>)]
    owner_id: Option<UserId>,
    /// Values of the query's parameters, by name.
    #[schema(value_type = Option<Object>)]
    parameters: Option<Map<String, Value>>,
    /// Parameters of the query that come from filters of the dashboard: `{"parameter": "filter"}`.
    filters: Option<BTreeMap<String, String>>,
    /// Where it stands.
    position: PositionBody,
    /// What the kind takes. Columns by name: `x`, `y`, `series`, `size`; of a pie `label` and `value`; of a metric `value`,
    /// `compare`, `prefix`, `suffix`, `decimals`; of a table `columns`; of a heatmap `x`, `y`, `value`. And `stacked`,
    /// `horizontal`, `donut`, `zero`, `max_categories`, `max_series`, `others` (`sum` or `hide`); of a text `text`, with
    /// `{{column}}` for values of the first row. What is left out the types of the result decide.
    #[schema(value_type = Option<Object>)]
    options: Option<Value>,
    /// How old its answer may be, in seconds, whatever the dashboard says.
    #[schema(minimum = 0, maximum = 86400)]
    max_age_seconds: Option<u32>,
}

impl From<WidgetInput> for WidgetSpec {
    fn from(it: WidgetInput) -> Self {
        Self {
            id: it.id,
            kind: it.kind,
            title: it.title.unwrap_or_default(),
            owner: it.owner_id,
            query: it.query_id,
            version: it.query_version,
            parameters: it.parameters.unwrap_or_default(),
            filters: it.filters.unwrap_or_default(),
            position: it.position.into(),
            options: it.options.unwrap_or_default(),
            max_age_seconds: it.max_age_seconds,
        }
    }
}

/// Something that whoever looks may choose, for all widgets that take it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DashboardFilter)]
pub(super) struct FilterBody {
    /// By which it is given: lower-case letters, digits and `_`.
    #[schema(example = "country")]
    name: String,
    /// What people are asked for.
    #[schema(example = "Country")]
    label: Option<String>,
    /// What counts where nothing is chosen: a text, a number, true or false. Without one the query's own default does.
    #[schema(value_type = Option<Value>)]
    default: Option<Value>,
    /// The only values that may be chosen; left out, any that the parameters take. Null among them lets nothing be chosen,
    /// which takes a default away: many a query shows everything then.
    #[schema(value_type = Option<Vec<Value>>)]
    options: Option<Vec<Value>>,
}

impl From<FilterBody> for Filter {
    fn from(it: FilterBody) -> Self {
        Self {
            name: it.name,
            label: it.label,
            default: it.default,
            options: it.options.unwrap_or_default(),
        }
    }
}

impl From<Filter> for FilterBody {
    fn from(it: Filter) -> Self {
        let options = (!it.options.is_empty()).then_some(it.options);
        Self { name: it.name, label: it.label, default: it.default, options }
    }
}

/// A dashboard to make.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateDashboard {
    /// 1 to 200 characters.
    #[schema(example = "How the shop goes")]
    name: String,
    /// Up to 2,000 characters.
    description: Option<String>,
    /// At most 50.
    #[serde(default)]
    widgets: Vec<WidgetInput>,
    /// At most 20.
    #[serde(default)]
    filters: Vec<FilterBody>,
    /// How old what is shown may be, and after how long to ask again, in seconds. Without it each query decides.
    #[schema(minimum = 5, maximum = 86400, example = 300)]
    refresh_seconds: Option<u32>,
}

impl From<CreateDashboard> for NewDashboard {
    fn from(it: CreateDashboard) -> Self {
        Self {
            name: it.name,
            description: it.description.unwrap_or_default(),
            widgets: it.widgets.into_iter().map(WidgetSpec::from).collect(),
            filters: it.filters.into_iter().map(Filter::from).collect(),
            refresh_seconds: it.refresh_seconds,
        }
    }
}

/// What to change; what is left out stays.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
pub(super) struct UpdateDashboard {
    /// 1 to 200 characters.
    #[schema(example = "How the shop goes")]
    name: Option<String>,
    /// Up to 2,000 characters.
    description: Option<String>,
    /// All widgets, in the place of those there are; those with an `id` stay what they are in links and pictures.
    widgets: Option<Vec<WidgetInput>>,
    /// All filters, in the place of those there are.
    filters: Option<Vec<FilterBody>>,
    /// Null leaves it to each query.
    #[serde(default, deserialize_with = "given")]
    #[expect(clippy::option_option, reason = "left out, null and a value mean three things")]
    #[schema(value_type = Option<u32>, minimum = 5, maximum = 86400)]
    refresh_seconds: Option<Option<u32>>,
}

fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl From<UpdateDashboard> for DashboardChange {
    fn from(it: UpdateDashboard) -> Self {
        Self {
            name: it.name,
            description: it.description,
            widgets: it.widgets.map(|it| it.into_iter().map(WidgetSpec::from).collect()),
            filters: it.filters.map(|it| it.into_iter().map(Filter::from).collect()),
            refresh_seconds: it.refresh_seconds,
            expected: None,
        }
    }
}

/// A dashboard.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Dashboard)]
pub(super) struct DashboardBody {
    #[schema(value_type = String, example = "dash_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: DashboardId,
    #[schema(example = "How the shop goes")]
    name: String,
    description: String,
    /// Who made it.
    #[schema(value_type = String, example = "user_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    owner_id: UserId,
    /// After how many seconds to ask again; null where each query decides how old its answer may be.
    #[schema(required = true)]
    refresh_seconds: Option<u32>,
    filters: Vec<FilterBody>,
    /// The filters that count, each with its value; only with data.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    filter_values: Option<Map<String, Value>>,
    widgets: Vec<WidgetBody>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// A widget.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DashboardWidget)]
pub(super) struct WidgetBody {
    #[schema(value_type = String, example = "wid_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: WidgetId,
    #[serde(rename = "type")]
    #[schema(example = "bar")]
    kind: &'static str,
    title: String,
    #[schema(value_type = Option<String>, required = true)]
    query_id: Option<QueryId>,
    /// The version of the query that whoever it runs as stands for; a newer one runs if they wrote it, or somebody from whom
    /// nothing is hidden.
    #[schema(required = true)]
    query_version: Option<u32>,
    /// As whom it runs: who put it there, or last changed what it asks.
    #[schema(value_type = String, example = "user_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    owner_id: UserId,
    #[schema(value_type = Object)]
    parameters: Map<String, Value>,
    filters: BTreeMap<String, String>,
    position: PositionBody,
    #[schema(value_type = Object)]
    options: Value,
    #[schema(required = true)]
    max_age_seconds: Option<u32>,
    /// What broke its query, if a change of the schema did, and what it would have to be. Left out without data, where the query
    /// works, and where it runs an earlier version than the newest: only that is tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    repair: Option<RepairBody>,
    /// What it shows now; left out where a dashboard is told of without data.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<WidgetData>,
}

/// What a widget shows now.
#[derive(Debug, Serialize, ToSchema)]
struct WidgetData {
    /// `ok`; `error` if its query failed; `misfit` if its result has not, or has no more, what the widget shows.
    #[schema(example = "ok")]
    status: &'static str,
    /// Names of the columns.
    columns: Vec<String>,
    /// Names and types of the columns.
    schema: Vec<ColumnBody>,
    /// The rows, each with a value for each column.
    #[schema(value_type = Vec<Vec<Value>>)]
    rows: Vec<Vec<Value>>,
    row_count: usize,
    /// Whether there are more rows than a widget of this type shows: 2,000, of a table 500, of a metric or a text one, and about
    /// 4 MiB.
    truncated: bool,
    /// The tables of which policies hide something from whoever it runs as. Through a link it is empty.
    restricted: Vec<String>,
    /// The run's entry in the history; null through a link.
    #[schema(value_type = Option<String>, required = true)]
    query_id: Option<QueryId>,
    /// Which version of the query ran, and which is the newest: with a higher one, whoever it runs as has not looked at it.
    #[schema(required = true)]
    query_version: Option<u32>,
    #[schema(required = true)]
    newest_query_version: Option<u32>,
    /// A Vega-Lite specification with the figures in it; null for tables and texts and where there is nothing to draw.
    #[schema(value_type = Option<Object>, required = true)]
    chart: Option<Value>,
    /// A text with its values in it; null for other types.
    #[schema(required = true)]
    text: Option<String>,
    /// Why the result does not fit the widget.
    #[schema(required = true)]
    misfit: Option<String>,
    /// Why there is no result.
    #[schema(required = true)]
    error: Option<ErrorInfo>,
    /// When the answer was made, if it was made before; null if it was made now.
    #[schema(required = true)]
    cached_at: Option<Timestamp>,
    /// Until the answer was there, waiting included.
    duration_ms: f64,
    /// From sending the statement to its last row; null without a result.
    #[schema(required = true)]
    execution_time_ms: Option<f64>,
}

/// A column of a result.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WidgetColumn)]
struct ColumnBody {
    name: String,
    #[serde(rename = "type")]
    type_name: String,
}

impl From<Dashboard> for DashboardBody {
    fn from(it: Dashboard) -> Self {
        let Dashboard { id, name, description, owner, widgets, filters, refresh_seconds, .. } = it;
        Self {
            id,
            name,
            description,
            owner_id: owner,
            refresh_seconds,
            filters: filters.into_iter().map(FilterBody::from).collect(),
            filter_values: None,
            widgets: widgets.into_iter().map(|it| WidgetBody::of(it, owner)).collect(),
            created_at: it.created_at,
            updated_at: it.updated_at,
        }
    }
}

impl DashboardBody {
    pub(super) fn looked(it: Looked) -> Self {
        let owner = it.dashboard.owner;
        let widgets = it.widgets.into_iter().map(|it| WidgetBody::shown(it, owner)).collect();
        Self { widgets, filter_values: Some(it.filters), ..Self::from(it.dashboard) }
    }
}

impl WidgetBody {
    /// A widget of a dashboard of that owner.
    fn of(it: Widget, owner: UserId) -> Self {
        Self {
            id: it.id,
            kind: it.kind.as_str(),
            title: it.title,
            query_id: it.query,
            query_version: it.version,
            owner_id: it.owner.unwrap_or(owner),
            parameters: it.parameters,
            filters: it.filters,
            position: it.position.into(),
            options: if it.options.is_null() { json!({}) } else { it.options },
            max_age_seconds: it.max_age_seconds,
            repair: None,
            data: None,
        }
    }
}

impl WidgetBody {
    fn shown(mut it: Shown, owner: UserId) -> Self {
        let repair = it.repair.take().map(RepairBody::from);
        let (data, widget) = WidgetData::of(it, false);
        Self { repair, data: Some(data), ..Self::of(widget, owner) }
    }
}

impl WidgetData {
    fn of(it: Shown, is_public: bool) -> (Self, Widget) {
        let mut data = Self {
            status: "ok",
            columns: Vec::new(),
            schema: Vec::new(),
            rows: Vec::new(),
            row_count: 0,
            truncated: false,
            restricted: Vec::new(),
            query_id: None,
            query_version: None,
            newest_query_version: None,
            chart: None,
            text: None,
            misfit: None,
            error: None,
            cached_at: None,
            duration_ms: rounded(it.duration_ms),
            execution_time_ms: None,
        };
        match it.chart() {
            None => data.status = "error",
            Some(Err(misfit)) => {
                data.status = "misfit";
                data.misfit = Some(misfit.to_string());
            }
            Some(Ok(chart)) => {
                data.chart = Some(chart.vega_lite()).filter(|it| !it.is_null());
                data.text = (it.widget.kind == plinth_charts::Kind::Text).then(|| chart.words());
            }
        }
        match it.answer {
            None => {}
            Some(Ok(result)) => data.fill(result, is_public),
            Some(Err(err)) => data.error = Some(told(err, is_public)),
        }
        (data, it.widget)
    }

    fn fill(&mut self, result: WidgetResult, is_public: bool) {
        self.columns = result.columns.iter().map(|it| it.name.clone()).collect();
        let column = |it: plinth_dashboards::ResultColumn| ColumnBody {
            name: it.name,
            type_name: it.type_name,
        };
        self.schema = result.columns.into_iter().map(column).collect();
        self.row_count = result.rows.len();
        self.rows = result.rows;
        self.truncated = result.is_cut_off;
        self.cached_at = result.cached_at;
        self.execution_time_ms = Some(rounded(result.execution_time_ms));
        if !is_public {
            self.restricted = result.restricted;
            self.query_id = Some(result.run);
            self.query_version = Some(result.versions.0);
            self.newest_query_version = Some(result.versions.1);
        }
    }
}

/// What a database answers is not for everybody who has a link.
fn told(err: WidgetError, is_public: bool) -> ErrorInfo {
    let problem = match err {
        WidgetError::Query(err) if is_public => {
            Problem::new(err.kind(), "this cannot be shown now", None)
        }
        WidgetError::Query(err) => Problem::from(*err),
        WidgetError::Withheld => Problem::from(err),
        err if is_public => Problem::new(err.kind(), "this cannot be shown now", None),
        err => Problem::from(err),
    };
    problem.into_info()
}

/// Microseconds are enough for milliseconds.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// How a dashboard is looked at.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LookParams {
    /// Values of filters, as a JSON object: `{"country": "France"}`. Null takes a default away, unless the filter has
    /// `options` without null.
    #[param(example = "{}")]
    pub(super) filters: Option<String>,
    /// How old answers may be, in seconds; 0 runs everything now.
    #[param(minimum = 0, maximum = 86400)]
    pub(super) max_age: Option<u32>,
    /// Whether widgets come with their data, as without it.
    pub(super) data: Option<bool>,
}

/// How a picture is made.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PictureParams {
    /// Values of filters, as a JSON object.
    #[param(example = "{}")]
    pub(super) filters: Option<String>,
    /// In pixels; without it as wide as the widget is on the dashboard.
    #[param(minimum = 120, maximum = 4000)]
    pub(super) width: Option<u32>,
    /// In pixels; without it as high as the widget is on the dashboard.
    #[param(minimum = 60, maximum = 4000)]
    pub(super) height: Option<u32>,
}

/// How the picture of a whole dashboard is made.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BoardParams {
    /// Values of filters, as a JSON object.
    #[param(example = "{}")]
    pub(super) filters: Option<String>,
}

/// With what to refresh.
#[derive(Debug, Default, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
pub(super) struct RefreshDashboard {
    /// Values of filters.
    #[schema(value_type = Option<Object>)]
    pub(super) filters: Option<Map<String, Value>>,
}

/// A link to make.
#[derive(Debug, Deserialize, ToSchema, Validate)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateShare {
    /// For whom: `link` for people who open it, `embed` for a page that shows it to its own people.
    kind: ShareKindBody,
    /// Up to 200 characters.
    #[schema(example = "For the board")]
    name: Option<String>,
    /// For how long it works; without it thirty days.
    #[schema(minimum = 60, maximum = 31_622_400, example = 86400)]
    expires_in_seconds: Option<u32>,
    /// Values of the dashboard's filters that nobody with the link changes.
    #[schema(value_type = Option<Object>)]
    filters: Option<Map<String, Value>>,
    /// Filters that whoever has the link may choose; all others stay at their defaults.
    open_filters: Option<Vec<String>>,
    /// Attributes with which row policies are asked that read them, beside everything that binds whoever a widget runs as: what
    /// the link shows satisfies both. By name, at most 50. Each has to be read by a policy of what the dashboard shows.
    #[schema(example = json!({ "country": { "type": "text", "value": "Germany" } }))]
    attributes: Option<BTreeMap<String, AttributeBody>>,
}

/// For whom a link is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ShareKind)]
enum ShareKindBody {
    Link,
    Embed,
}

impl TryFrom<CreateShare> for NewShare {
    type Error = Problem;

    fn try_from(it: CreateShare) -> Result<Self, Problem> {
        let kind = match it.kind {
            ShareKindBody::Link => ShareKind::Link,
            ShareKindBody::Embed => ShareKind::Embed,
        };
        Ok(Self {
            kind,
            name: it.name.unwrap_or_default(),
            expires_in: it.expires_in_seconds.map(|it| SignedDuration::from_secs(it.into())),
            locked: it.filters.unwrap_or_default(),
            open: it.open_filters.unwrap_or_default(),
            attributes: attributes::read(it.attributes.unwrap_or_default())?,
        })
    }
}

/// A link to a dashboard.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = DashboardShare)]
pub(super) struct ShareBody {
    #[schema(value_type = String, example = "share_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: ShareId,
    kind: ShareKindBody,
    name: String,
    /// Who made it: it works as long as they may look. Its widgets run as their owners.
    #[schema(value_type = String, example = "user_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    created_by: UserId,
    /// Values of filters that nobody with the link changes.
    #[schema(value_type = Object)]
    filters: Map<String, Value>,
    open_filters: Vec<String>,
    /// Attributes with which policies are asked, by name.
    attributes: BTreeMap<String, AttributeBody>,
    expires_at: Timestamp,
    #[schema(required = true)]
    revoked_at: Option<Timestamp>,
    /// Whether it works now, as far as time and revocation go.
    active: bool,
    created_at: Timestamp,
    /// The secret, and with it the address of the data and of the picture. Shown once.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_url: Option<String>,
}

impl ShareBody {
    pub(super) fn of(it: Share, now: Timestamp) -> Self {
        let active = it.works_at(now);
        let kind = match it.kind {
            ShareKind::Link => ShareKindBody::Link,
            ShareKind::Embed => ShareKindBody::Embed,
        };
        Self {
            id: it.id,
            kind,
            name: it.name,
            created_by: it.by,
            filters: it.locked,
            open_filters: it.open,
            attributes: attributes::shown(&it.attributes),
            expires_at: it.expires_at,
            revoked_at: it.revoked_at,
            active,
            created_at: it.created_at,
            token: None,
            url: None,
            image_url: None,
        }
    }

    pub(super) fn with_token(self, public_url: &str, token: &str) -> Self {
        let url = format!("{public_url}/v1/shared-dashboards/{token}");
        let image_url = Some(format!("{url}/image.svg"));
        Self { token: Some(token.to_owned()), url: Some(url), image_url, ..self }
    }
}

/// What a link shows.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SharedDashboard {
    #[schema(example = "How the shop goes")]
    name: String,
    description: String,
    #[schema(required = true)]
    refresh_seconds: Option<u32>,
    widgets: Vec<SharedWidget>,
}

/// What a link shows of a widget: not what it asks, and with what.
#[derive(Debug, Serialize, ToSchema)]
struct SharedWidget {
    #[schema(value_type = String, example = "wid_018f3a2b4c5d7e6f8091a2b3c4d5e6f7")]
    id: WidgetId,
    #[serde(rename = "type")]
    #[schema(example = "bar")]
    kind: &'static str,
    title: String,
    position: PositionBody,
    data: WidgetData,
}

impl From<Looked> for SharedDashboard {
    fn from(it: Looked) -> Self {
        let widget = |it: Shown| {
            let (data, widget) = WidgetData::of(it, true);
            SharedWidget {
                id: widget.id,
                kind: widget.kind.as_str(),
                title: widget.title,
                position: widget.position.into(),
                data,
            }
        };
        Self {
            name: it.dashboard.name,
            description: it.dashboard.description,
            refresh_seconds: it.dashboard.refresh_seconds,
            widgets: it.widgets.into_iter().map(widget).collect(),
        }
    }
}

envelope!(
    /// A dashboard.
    DashboardEnvelope(DashboardBody)
);
page_envelope!(
    /// A page of dashboards.
    DashboardPage(DashboardBody)
);
envelope!(
    /// A link to a dashboard.
    ShareEnvelope(ShareBody)
);
envelope!(
    /// The links to a dashboard.
    SharesEnvelope(Vec<ShareBody>)
);
envelope!(
    /// What a link shows.
    SharedEnvelope(SharedDashboard)
);
