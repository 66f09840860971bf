use super::canvas::Canvas;
use super::frame::{Frame, Side, legend};
use super::{Area, COLOURS, colour, middle};
use crate::chart::Chart;
use crate::scale::Axis;

/// A row as a point.
pub(crate) struct Point {
    pub(crate) row: usize,
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) size: Option<f64>,
}

/// Rows that have a place on both axes.
pub(crate) fn points(chart: &Chart<'_>) -> Vec<Point> {
    let Some(x) = chart.fields.x else { return Vec::new() };
    let (y, data) = (chart.fields.y[0], chart.data);
    let is_time = data.columns[x].kind.is_time();
    (0..data.len())
        .filter_map(|row| {
            let x = if is_time { data.moment(row, x) } else { data.number(row, x) };
            let size = chart.fields.size.and_then(|it| data.number(row, it));
            Some(Point { row, x: x?, y: data.number(row, y)?, size })
        })
        .collect()
}

pub(super) fn scatter(chart: &Chart<'_>, canvas: &mut Canvas, mut area: Area) {
    let Some(x) = chart.fields.x else { return };
    let points = points(chart);
    if points.is_empty() {
        return middle(canvas, area, "No values");
    }
    let most = chart.options.most_series.map_or(COLOURS.len(), usize::from);
    let mut names: Vec<String> = Vec::new();
    if let Some(by) = chart.fields.series {
        for it in &points {
            let name = chart.data.label(it.row, by);
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    // Points cannot be added up: those of further series are all grey.
    let (kept, rest) = names.split_at(names.len().min(most));
    let mut entries: Vec<_> =
        kept.iter().enumerate().map(|(at, it)| (it.clone(), colour(at, false))).collect();
    if !rest.is_empty() {
        entries.push((format!("Others ({})", rest.len()), colour(0, true)));
    }
    if !entries.is_empty() {
        area.top = legend(canvas, area, &entries);
    }
    let most_ticks = |room: f64| if room > 400.0 { 7 } else { 4 };
    let zero = chart.options.zero;
    let across = if chart.data.columns[x].kind.is_time() {
        Axis::of_moments(points.iter().map(|it| it.x), most_ticks(area.width()))
    } else {
        Axis::of_numbers(points.iter().map(|it| it.x), zero, most_ticks(area.width()))
    };
    let up = Axis::of_numbers(points.iter().map(|it| it.y), zero, most_ticks(area.height()));
    let name = |at: usize| chart.data.columns[at].name.as_str();
    let titles = (name(x), name(chart.fields.y[0]));
    let frame = Frame::draw(canvas, area, Side::Scale(across), Side::Scale(up), titles);
    let largest = points.iter().filter_map(|it| it.size).fold(0.0, |a: f64, b| a.max(b.abs()));
    for it in &points {
        let radius = match it.size {
            // The area is what one sees.
            Some(size) if largest > 0.0 => 2.0 + 9.0 * (size.abs() / largest).sqrt(),
            _ if chart.fields.size.is_some() => 2.0,
            _ => 3.5,
        };
        let paint = match chart.fields.series {
            None => colour(0, false),
            Some(by) => {
                let name = chart.data.label(it.row, by);
                let at = kept.iter().position(|it| *it == name);
                at.map_or(colour(0, true), |at| colour(at, false))
            }
        };
        canvas.circle((frame.x(it.x), frame.y(it.y)), radius, paint, 0.6);
    }
}
