use std::f64::consts::TAU;

use super::canvas::{Anchor, Canvas, Font, Rgb};
use super::{Area, COLOURS, INK, PALE_INK, SMALL, colour, middle};
use crate::chart::{Chart, count};
use crate::format;
use crate::shape::Shaped;
use crate::text::{clean, fit};

const WHITE: Rgb = (255, 255, 255);

pub(super) fn pie(chart: &Chart<'_>, shaped: &Shaped, canvas: &mut Canvas, area: Area) {
    let Some(series) = shaped.series.first() else { return };
    if series.values.iter().flatten().any(|it| *it < 0.0) {
        return middle(
            canvas,
            area,
            "There are values below zero, which are no shares of a whole. Bars can show them.",
        );
    }
    let total: f64 = series.values.iter().flatten().sum();
    if total <= 0.0 {
        return middle(canvas, area, "All values are zero");
    }
    let slices: Vec<(usize, f64)> = series
        .values
        .iter()
        .enumerate()
        .filter_map(|(at, it)| it.filter(|it| *it > 0.0).map(|it| (at, it / total)))
        .collect();
    let has_legend = area.width() > 220.0;
    let room = if has_legend { area.width() * 0.5 } else { area.width() };
    let radius = (room.min(area.height()) / 2.0 - 2.0).max(4.0);
    let centre = (area.left + radius + 2.0, f64::midpoint(area.top, area.bottom));
    let mut from = 0.0;
    for (at, share) in &slices {
        let to = from + share;
        let paint = paint(shaped, *at);
        if *share > 0.9999 {
            canvas.circle(centre, radius, paint, 1.0);
        } else {
            canvas.polygon(&slice(centre, radius, from, to), paint, 1.0);
        }
        from = to;
    }
    if slices.len() > 1 {
        let mut edge = 0.0;
        for (_, share) in &slices {
            canvas.line(centre, on_circle(centre, radius, edge), WHITE, 1.2);
            edge += share;
        }
    }
    if chart.options.donut {
        canvas.circle(centre, radius * 0.58, WHITE, 1.0);
        let text = format::short(total);
        let size = (radius * 0.3).clamp(9.0, 26.0);
        canvas.text(centre.0, centre.1, &text, Font::bold(size, INK), Anchor::Middle);
    }
    if has_legend {
        legend(shaped, &slices, canvas, Area { left: centre.0 + radius + 22.0, ..area });
    }
}

fn paint(shaped: &Shaped, at: usize) -> Rgb {
    // More slices than colours are told apart by where they are: the same colour never twice in a row.
    let is_again =
        at >= COLOURS.len() && at + 1 == shaped.labels.len() && at.is_multiple_of(COLOURS.len());
    colour(if is_again { at + 1 } else { at }, shaped.is_others(at))
}

/// Clockwise from above.
fn on_circle(centre: (f64, f64), radius: f64, part: f64) -> (f64, f64) {
    let angle = part * TAU;
    (centre.0 + radius * angle.sin(), centre.1 - radius * angle.cos())
}

fn slice(centre: (f64, f64), radius: f64, from: f64, to: f64) -> Vec<(f64, f64)> {
    let mut points = vec![centre];
    let mut at = from;
    while at < to {
        points.push(on_circle(centre, radius, at));
        at += 1.0 / 240.0;
    }
    points.push(on_circle(centre, radius, to));
    points
}

fn legend(shaped: &Shaped, slices: &[(usize, f64)], canvas: &mut Canvas, area: Area) {
    let step = (area.height() / count(slices.len().max(1))).clamp(SMALL + 4.0, 24.0);
    let fitting = (area.height() / step).floor();
    let all = count(slices.len());
    let shown = if all <= fitting { all } else { fitting - 1.0 };
    let mut y = f64::midpoint(area.top, area.bottom) - step * (all.min(fitting) - 1.0) / 2.0;
    for (number, (at, share)) in slices.iter().enumerate() {
        if count(number) >= shown {
            let text = format!("+{}", slices.len() - number);
            canvas.text(area.left + 16.0, y, &text, Font::plain(SMALL, PALE_INK), Anchor::Left);
            break;
        }
        canvas.rect((area.left, y - 5.0), (area.left + 10.0, y + 5.0), paint(shaped, *at), 1.0);
        let percent = share * 100.0;
        let percent = match percent {
            _ if percent < 0.1 => "<0.1%".to_owned(),
            _ => format!("{}%", format::plain(percent, 1)),
        };
        let name = fit(&clean(&shaped.labels[*at]), SMALL, area.width() - 70.0);
        canvas.text(area.left + 16.0, y, &name, Font::plain(SMALL, INK), Anchor::Left);
        canvas.text(area.right, y, &percent, Font::plain(SMALL, PALE_INK), Anchor::Right);
        y += step;
    }
}
