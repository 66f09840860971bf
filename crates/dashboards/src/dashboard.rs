use std::collections::BTreeMap;

use jiff::Timestamp;
use plinth_charts::Kind;
use plinth_core::{OrgId, UserId};
use plinth_queries::QueryId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{DashboardId, WidgetId};

/// Widgets on a grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Dashboard {
    /// Its id.
    pub id: DashboardId,
    /// Whose.
    pub org: OrgId,
    /// 1 to 200 characters.
    pub name: String,
    /// What it is for; up to 2,000 characters.
    pub description: String,
    /// Who made it.
    pub owner: UserId,
    /// What stands on it.
    pub widgets: Vec<Widget>,
    /// What whoever looks may choose.
    pub filters: Vec<Filter>,
    /// How old what is shown may be, and after how long to ask again, in seconds; `None` leaves it to each query.
    pub refresh_seconds: Option<u32>,
    /// Counts changes, for `ETag`.
    pub revision: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed.
    pub updated_at: Timestamp,
}

/// A saved query, and how its result is looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Widget {
    /// Its id.
    pub id: WidgetId,
    /// How it looks.
    pub kind: Kind,
    /// What stands above it; up to 200 characters.
    pub title: String,
    /// As whom it runs: who put it there, or last changed what it asks. `None`, from earlier, is the dashboard's owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserId>,
    /// When it was found that its owner had left, which was told once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<Timestamp>,
    /// What it asks; only a text can do without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<QueryId>,
    /// The version of it that its owner stands for; `None`, from earlier, is the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Values of the query's parameters, by name.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
    /// Parameters of the query whose values come from filters of the dashboard: the filter by the parameter.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub filters: BTreeMap<String, String>,
    /// Where it stands.
    pub position: Position,
    /// As they were sent, and valid for the kind.
    #[serde(default)]
    pub options: Value,
    /// How old its answer may be, in seconds, whatever the dashboard says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_seconds: Option<u32>,
}

/// A place on the grid of twelve columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Columns from the left, from 0.
    pub x: u32,
    /// Rows from above, from 0.
    pub y: u32,
    /// Columns wide, from 1.
    pub w: u32,
    /// Rows high, from 1.
    pub h: u32,
}

impl Position {
    /// Whether two widgets at these places would cover each other.
    pub fn overlaps(self, other: Self) -> bool {
        self.x < other.x + other.w
            && other.x < self.x + self.w
            && self.y < other.y + other.h
            && other.y < self.y + self.h
    }
}

/// Something that whoever looks may choose, for all widgets that take it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Filter {
    /// By which it is given: lower-case letters, digits and `_`.
    pub name: String,
    /// What people are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What counts where nothing is chosen; without one the query's own default does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// The only values that may be chosen, null among them for no value at all; anything that the parameter takes where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<Value>,
}

impl Filter {
    /// Whether that value may be chosen. Null takes the default away, and many a query shows everything then: where there are
    /// options it has to be one of them, unless without a default nothing is chosen at the beginning anyway.
    pub fn has(&self, value: &Value) -> bool {
        let is_nothing = value.is_null() && self.default.is_none();
        self.options.is_empty() || is_nothing || self.options.contains(value)
    }
}

impl Dashboard {
    /// As whom a widget of it runs.
    pub fn owner_of(&self, widget: &Widget) -> UserId {
        widget.owner.unwrap_or(self.owner)
    }

    /// One of its widgets.
    pub fn widget(&self, id: WidgetId) -> Option<&Widget> {
        self.widgets.iter().find(|it| it.id == id)
    }
}
