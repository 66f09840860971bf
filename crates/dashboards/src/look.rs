//! What comes of a look at a dashboard.

use plinth_charts::{Chart, Column, ColumnKind, Data, Kind, Misfit, Options, Picture, Size, Tile};
use plinth_core::Classify as _;
use plinth_queries::repairs::Repair;
use serde_json::{Map, Value};

use crate::WidgetError;
use crate::dashboard::{Dashboard, Position, Widget};
use crate::ports::{ResultColumn, WidgetResult};

/// Pixels of a grid's column and row on the picture of a whole dashboard, and between widgets.
const COLUMN: u32 = 100;
const ROW: u32 = 80;
const GAP: u32 = 12;

/// A dashboard with what its widgets show now.
#[derive(Debug)]
pub struct Looked {
    /// The dashboard.
    pub dashboard: Dashboard,
    /// The filters that count, each with its value.
    pub filters: Map<String, Value>,
    /// Its widgets, in their order.
    pub widgets: Vec<Shown>,
}

/// A widget with what it shows now.
#[derive(Debug)]
pub struct Shown {
    /// The widget.
    pub widget: Widget,
    /// What its query gave; `None` for a text without one.
    pub answer: Option<Result<WidgetResult, WidgetError>>,
    /// How long it took until the answer was there, in milliseconds, waiting included.
    pub duration_ms: f64,
    /// What broke the version of its query that it runs, if a change of the schema did.
    pub repair: Option<Repair>,
    options: Options,
    data: Data,
}

impl Shown {
    /// A widget with what came of its query.
    pub fn new(
        widget: Widget,
        answer: Option<Result<WidgetResult, WidgetError>>,
        duration_ms: f64,
    ) -> Self {
        // They were valid when they were kept. What a later version knows and this one does not is left to the result.
        let options = Options::parse(widget.kind, &widget.options).unwrap_or_default();
        let data = match &answer {
            Some(Ok(result)) => data(result),
            _ => Data::default(),
        };
        Self { widget, answer, duration_ms, repair: None, options, data }
    }

    /// A widget that a link does not show. Its title says nothing either: somebody may have written it since.
    pub(crate) fn withheld(widget: &Widget) -> Self {
        let widget = Widget { title: String::new(), ..widget.clone() };
        Self::new(widget, Some(Err(WidgetError::Withheld)), 0.0)
    }

    /// A widget that was not run.
    pub(crate) fn failed(widget: Widget, why: WidgetError) -> Self {
        Self::new(widget, Some(Err(why)), 0.0)
    }

    /// As what the result is looked at; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`Misfit`] if the result has not, or has no more, what the widget shows.
    pub fn chart(&self) -> Option<Result<Chart<'_>, Misfit>> {
        if matches!(self.answer, Some(Err(_))) {
            return None;
        }
        Some(Chart::new(self.widget.kind, &self.options, &self.data, &self.widget.title))
    }

    /// The picture. Why there is none stands on it only where `tells_why` says so: what a database answers is not for
    /// everybody who has a link.
    pub fn picture(&self, size: Size, tells_why: bool) -> Picture {
        let why = match (&self.answer, self.chart()) {
            (_, Some(Ok(chart))) => return chart.picture(size),
            (_, Some(Err(misfit))) => misfit.to_string(),
            (Some(Err(err @ WidgetError::Withheld)), None) => {
                return plinth_charts::notice(&self.widget.title, &err.to_string(), size);
            }
            (Some(Err(err)), None) if !err.kind().is_ours() => err.to_string(),
            _ => "the server could not run it now".to_owned(),
        };
        let text = if tells_why { why } else { "This cannot be shown now".to_owned() };
        plinth_charts::notice(&self.widget.title, &text, size)
    }

    /// How large it is on the picture of the whole dashboard.
    pub fn size(&self) -> Size {
        let Position { w, h, .. } = self.widget.position;
        Size::clamped(w * COLUMN - GAP, h * ROW - GAP)
    }
}

/// What the answers of one look take at most, in bytes as databases send them: fifty of the largest would be 200 MiB.
const LOOK_BYTES: u64 = 64 << 20;

/// How much more one look can hold.
#[derive(Debug)]
pub(crate) struct Room(u64);

impl Default for Room {
    fn default() -> Self {
        Self(LOOK_BYTES)
    }
}

impl Room {
    /// The widget with its answer, if there is room for that.
    pub(crate) fn take(&mut self, shown: Shown) -> Shown {
        let Some(Ok(result)) = &shown.answer else { return shown };
        let Some(left) = self.0.checked_sub(result.size_bytes) else {
            let duration_ms = shown.duration_ms;
            return Shown { duration_ms, ..Shown::failed(shown.widget, WidgetError::NoRoom) };
        };
        self.0 = left;
        shown
    }
}

impl Looked {
    /// The whole dashboard as one picture; see [`Shown::picture`].
    pub fn picture(&self, tells_why: bool) -> String {
        let tiles: Vec<Tile> = self
            .widgets
            .iter()
            .map(|it| {
                let Position { x, y, .. } = it.widget.position;
                Tile { x: x * COLUMN, y: y * ROW, picture: it.picture(it.size(), tells_why) }
            })
            .collect();
        plinth_charts::board(&self.dashboard.name, crate::COLUMNS * COLUMN - GAP, &tiles)
    }
}

fn data(result: &WidgetResult) -> Data {
    let column = |it: &ResultColumn| Column {
        name: it.name.clone(),
        kind: ColumnKind::of_type(&it.type_name),
    };
    Data {
        columns: result.columns.iter().map(column).collect(),
        rows: result.rows.clone(),
        more: result.is_cut_off,
    }
}

/// Rows that a kind can show.
pub(crate) fn row_limit(kind: Kind) -> u64 {
    match kind {
        Kind::Metric | Kind::Text => 1,
        Kind::Table => 500,
        Kind::Bar | Kind::Line | Kind::Area | Kind::Pie | Kind::Scatter | Kind::Heatmap => 2_000,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use plinth_queries::QueryId;
    use serde_json::json;

    use super::*;

    fn shown(size_bytes: u64) -> Shown {
        let at = Timestamp::UNIX_EPOCH;
        let widget = serde_json::from_value(json!({
            "id": crate::WidgetId::new(at), "kind": "table", "title": "Rows",
            "position": { "x": 0, "y": 0, "w": 1, "h": 1 },
        }));
        let result = WidgetResult {
            columns: Vec::new(),
            rows: Vec::new(),
            size_bytes,
            is_cut_off: false,
            restricted: Vec::new(),
            run: QueryId::new(at),
            versions: (1, 1),
            cached_at: None,
            execution_time_ms: 1.0,
        };
        Shown::new(widget.unwrap(), Some(Ok(result)), 2.0)
    }

    #[test]
    fn what_there_is_no_room_for_says_so_and_leaves_room_for_what_is_smaller() {
        let mut room = Room::default();
        let sizes = [40 << 20, 20 << 20, 10 << 20, 4 << 20, 1, 0];
        let taken = sizes.map(|it| room.take(shown(it)));
        let held = taken.each_ref().map(|it| matches!(it.answer, Some(Ok(_))));
        assert_eq!(held, [true, true, false, true, false, true]);
        let Some(Err(err)) = &taken[2].answer else { panic!("no room") };
        assert!(err.to_string().contains("too large together"), "{err}");
        assert!((taken[2].duration_ms - 2.0).abs() < f64::EPSILON);
    }
}
