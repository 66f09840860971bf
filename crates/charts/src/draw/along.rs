//! Bars, lines and areas.

use super::canvas::{Canvas, Rgb};
use super::frame::{Frame, Side, legend};
use super::{Area, colour};
use crate::Kind;
use crate::chart::{Chart, count};
use crate::scale::Axis;
use crate::shape::{Along, Shaped};

/// Room that a tick of an axis of numbers needs, in pixels.
const TICK_HEIGHT: f64 = 36.0;
const TICK_WIDTH: f64 = 80.0;

/// Values on both sides of a stack: from where to where each goes.
type Pieces = Vec<Vec<Option<(f64, f64)>>>;

pub(super) fn along(chart: &Chart<'_>, shaped: &Shaped, canvas: &mut Canvas, area: Area) {
    let is_bar = chart.kind == Kind::Bar;
    let lies = is_bar && chart.options.horizontal;
    let mut area = area;
    if shaped.series.len() > 1 || !shaped.series_title.is_empty() {
        let entry =
            |(at, it): (usize, &crate::shape::Series)| (it.name.clone(), colour(at, it.is_others));
        let entries: Vec<_> = shaped.series.iter().enumerate().map(entry).collect();
        area.top = legend(canvas, area, &entries);
    }
    let stacked = chart.options.stacked && chart.kind != Kind::Line;
    let pieces = pieces(shaped, stacked, stacked && chart.kind == Kind::Area);
    let ends = pieces.iter().flatten().flatten().flat_map(|it| [it.0, it.1]);
    let with_zero = is_bar || chart.kind == Kind::Area || chart.options.zero;
    let ends: Vec<f64> = if with_zero {
        ends.collect()
    } else {
        pieces.iter().flatten().flatten().map(|it| it.1).collect()
    };
    let long = if lies { area.width() / TICK_WIDTH } else { area.height() / TICK_HEIGHT };
    let values = Side::Scale(Axis::of_numbers(ends.into_iter(), with_zero, whole(long)));
    let most = whole(area.width() / TICK_WIDTH);
    let places = match shaped.along {
        // Bars stand beside each other, whatever their places are.
        _ if is_bar => Side::Names(shaped.labels.clone()),
        Along::Names => Side::Names(shaped.labels.clone()),
        Along::Time(_) => Side::Scale(Axis::of_moments(shaped.places.iter().copied(), most)),
        Along::Numbers => Side::Scale(exactly(
            Axis::of_numbers(shaped.places.iter().copied(), false, most),
            shaped,
        )),
    };
    if lies {
        let titles = (shaped.y_title.as_str(), shaped.x_title.as_str());
        let frame = Frame::draw(canvas, area, values, places, titles);
        bars(shaped, &pieces, stacked, true, &frame, canvas);
    } else {
        let titles = (shaped.x_title.as_str(), shaped.y_title.as_str());
        let frame = Frame::draw(canvas, area, places, values, titles);
        if is_bar {
            bars(shaped, &pieces, stacked, false, &frame, canvas);
        } else {
            lines(chart, shaped, &pieces, stacked, &frame, canvas);
        }
    }
}

/// A line over numbers begins at the first and ends at the last.
fn exactly(mut axis: Axis, shaped: &Shaped) -> Axis {
    if let (Some(first), Some(last)) = (shaped.places.first(), shaped.places.last())
        && last > first
    {
        (axis.from, axis.to) = (*first, *last);
        axis.ticks.retain(|it| it.at >= *first && it.at <= *last);
    }
    axis
}

fn whole(number: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 2 and a few dozen"
    )]
    let whole = number.clamp(2.0, 40.0) as usize;
    whole
}

/// Where `gaps_are_nothing`, what is missing is zero: in a pile of areas a hole would look like a figure.
fn pieces(shaped: &Shaped, stacked: bool, gaps_are_nothing: bool) -> Pieces {
    // What is above zero stands on what is above zero, what is below hangs from what is below.
    let (mut above, mut below) = (vec![0.0; shaped.labels.len()], vec![0.0; shaped.labels.len()]);
    let piece = |at: usize, value: f64, above: &mut Vec<f64>, below: &mut Vec<f64>| {
        if !stacked {
            return (0.0, value);
        }
        let ground = if value < 0.0 { &mut below[at] } else { &mut above[at] };
        let from = *ground;
        *ground += value;
        (from, *ground)
    };
    shaped
        .series
        .iter()
        .map(|series| {
            let values = series.values.iter().enumerate();
            values
                .map(|(at, it)| it.or(gaps_are_nothing.then_some(0.0)).map(|it| (at, it)))
                .map(|it| it.map(|(at, it)| piece(at, it, &mut above, &mut below)))
                .collect()
        })
        .collect()
}

fn bars(
    shaped: &Shaped,
    pieces: &Pieces,
    stacked: bool,
    lies: bool,
    frame: &Frame,
    canvas: &mut Canvas,
) {
    let length = if lies { frame.area.height() } else { frame.area.width() };
    let part = length / count(shaped.labels.len());
    let beside = if stacked { 1 } else { shaped.series.len().max(1) };
    let gap = if part > 6.0 { 0.72 } else { 0.9 };
    let group = (part * gap).min(56.0 * count(beside));
    let thick = group / count(beside);
    for (number, series) in pieces.iter().enumerate() {
        for (at, piece) in series.iter().enumerate() {
            let Some((from, to)) = *piece else { continue };
            let paint = if shaped.series.len() == 1 && shaped.series_title.is_empty() {
                colour(0, shaped.is_others(at))
            } else {
                colour(number, shaped.series[number].is_others)
            };
            let aside = if stacked { 0.0 } else { thick * count(number) };
            let room = if thick > 6.0 { 0.5 } else { 0.0 };
            if lies {
                let start = frame.y(count(at)) - group / 2.0 + aside;
                let (from, to) = (frame.x(from), frame.x(to));
                canvas.rect((from, start + room), (to, start + thick - room), paint, 1.0);
            } else {
                let start = frame.x(count(at)) - group / 2.0 + aside;
                let (from, to) = (frame.y(from), frame.y(to));
                canvas.rect((start + room, from), (start + thick - room, to), paint, 1.0);
            }
        }
    }
}

fn lines(
    chart: &Chart<'_>,
    shaped: &Shaped,
    pieces: &Pieces,
    stacked: bool,
    frame: &Frame,
    canvas: &mut Canvas,
) {
    let x = |at: usize| frame.x(shaped.places[at]);
    let many = shaped.series.len() > 1;
    for (number, series) in pieces.iter().enumerate() {
        let paint = colour(number, shaped.series[number].is_others);
        // What was measured at other places only is no gap of this series: only a null in a row of its own is. With several
        // series nobody can tell, and a line through is what people expect.
        let mut runs: Vec<Vec<(f64, f64, f64)>> = vec![Vec::new()];
        for (at, piece) in series.iter().enumerate() {
            match piece {
                Some((from, to)) => {
                    if let Some(run) = runs.last_mut() {
                        run.push((x(at), frame.y(*from), frame.y(*to)));
                    }
                }
                None if !shaped.series_title.is_empty() && !stacked => {}
                None => runs.push(Vec::new()),
            }
        }
        for run in runs.iter().filter(|it| !it.is_empty()) {
            let edge: Vec<(f64, f64)> = run.iter().map(|it| (it.0, it.2)).collect();
            if chart.kind == Kind::Area {
                let mut around = edge.clone();
                around.extend(run.iter().rev().map(|it| (it.0, it.1)));
                let alpha = match (stacked, many) {
                    (true, _) => 0.85,
                    (false, true) => 0.25,
                    (false, false) => 0.35,
                };
                if run.len() > 1 {
                    canvas.polygon(&around, paint, alpha);
                }
            }
            stroke(&edge, paint, run.len() == 1 || sparse(&edge), canvas);
        }
    }
}

/// Few points are marked: between them nothing was measured.
fn sparse(edge: &[(f64, f64)]) -> bool {
    edge.windows(2).all(|it| it[1].0 - it[0].0 > 24.0)
}

fn stroke(edge: &[(f64, f64)], paint: Rgb, marked: bool, canvas: &mut Canvas) {
    if edge.len() > 1 {
        canvas.path(edge, paint, 2.0);
    }
    if marked {
        for it in edge {
            canvas.circle(*it, 3.0, paint, 1.0);
        }
    }
}
