use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::data::{ColumnKind, Data};

/// How a result is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One number, large.
    Metric,
    /// Rows and columns.
    Table,
    /// A bar for each name or moment.
    Bar,
    /// A line over time, numbers or names.
    Line,
    /// A line with what is under it filled.
    Area,
    /// Shares of a whole.
    Pie,
    /// A point for each row.
    Scatter,
    /// A coloured cell for each pair of names.
    Heatmap,
    /// Words, perhaps with values of the first row in them.
    Text,
}

impl Kind {
    /// Every kind there is.
    pub const ALL: [Self; 9] = [
        Self::Metric,
        Self::Table,
        Self::Bar,
        Self::Line,
        Self::Area,
        Self::Pie,
        Self::Scatter,
        Self::Heatmap,
        Self::Text,
    ];

    /// Its name, as callers write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Metric => "metric",
            Self::Table => "table",
            Self::Bar => "bar",
            Self::Line => "line",
            Self::Area => "area",
            Self::Pie => "pie",
            Self::Scatter => "scatter",
            Self::Heatmap => "heatmap",
            Self::Text => "text",
        }
    }

    /// How a result is drawn if nobody says how, by the types of its columns; `None` where there is nothing to draw: no
    /// rows, or no number among the columns.
    pub fn suggested(data: &Data) -> Option<Self> {
        if data.rows.is_empty() {
            return None;
        }
        let numbers = data.columns.iter().filter(|it| it.kind == ColumnKind::Number).count();
        let has = |test: fn(ColumnKind) -> bool| data.columns.iter().any(|it| test(it.kind));
        Some(match () {
            () if numbers == 0 => return None,
            () if has(ColumnKind::is_time) => Self::Line,
            () if has(ColumnKind::is_name) => Self::Bar,
            () if numbers > 1 => Self::Scatter,
            () => Self::Metric,
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("has to be one of {}", Kind::ALL.map(|it| format!("`{it}`")).join(", "))]
pub struct UnknownKind;

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|it| it.as_str() == text).ok_or(UnknownKind)
    }
}
