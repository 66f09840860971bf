use std::collections::HashMap;

use super::canvas::{Anchor, Canvas, Font, Rgb};
use super::frame::{Frame, Side};
use super::{Area, INK, PALE_INK, SMALL, middle};
use crate::chart::{Chart, count};
use crate::format;
use crate::text::width;

/// Cells that can be seen.
const MOST_ACROSS: usize = 60;
const MOST_DOWN: usize = 40;

const WHITE: Rgb = (255, 255, 255);
const FAINT: Rgb = (232, 240, 252);
const FULL: Rgb = (20, 60, 140);
const BELOW: Rgb = (178, 60, 60);

pub(super) fn heatmap(chart: &Chart<'_>, canvas: &mut Canvas, mut area: Area) {
    let (Some(x), Some(y)) = (chart.fields.x, chart.fields.series) else { return };
    let (data, value) = (chart.data, chart.fields.y[0]);
    let (mut across, mut down) = (Names::new(MOST_ACROSS), Names::new(MOST_DOWN));
    let mut cells: HashMap<(usize, usize), f64> = HashMap::new();
    for row in 0..data.len() {
        let (Some(x), Some(y)) = (across.place(data.label(row, x)), down.place(data.label(row, y)))
        else {
            continue;
        };
        if let Some(value) = data.number(row, value) {
            *cells.entry((x, y)).or_insert(0.0) += value;
        }
    }
    if cells.is_empty() {
        return middle(canvas, area, "No values");
    }
    let left_out = across.left_out.len() + down.left_out.len();
    if left_out > 0 {
        let text = format!("{left_out} more names not shown");
        let y = area.bottom - SMALL / 2.0;
        canvas.text(area.right, y, &text, Font::plain(SMALL, PALE_INK), Anchor::Right);
        area.bottom -= SMALL + 6.0;
    }
    let low = cells.values().copied().fold(f64::INFINITY, f64::min);
    let high = cells.values().copied().fold(f64::NEG_INFINITY, f64::max);
    area.top = key(canvas, area, &data.columns[value].name, low, high);
    let titles = (data.columns[x].name.as_str(), data.columns[y].name.as_str());
    let (columns, rows) = (count(across.listed.len()), count(down.listed.len()));
    let frame =
        Frame::draw(canvas, area, Side::Names(across.listed), Side::Names(down.listed), titles);
    let (wide, high_cell) = (frame.area.width() / columns, frame.area.height() / rows);
    let gap = if wide > 8.0 && high_cell > 8.0 { 0.75 } else { 0.0 };
    let mut all: Vec<_> = cells.into_iter().collect();
    all.sort_by_key(|it| it.0);
    for ((x, y), value) in all {
        let paint = shade(value, low, high);
        let (middle_x, middle_y) = (frame.x(count(x)), frame.y(count(y)));
        let from = (middle_x - wide / 2.0 + gap, middle_y - high_cell / 2.0 + gap);
        let to = (middle_x + wide / 2.0 - gap, middle_y + high_cell / 2.0 - gap);
        canvas.rect(from, to, paint, 1.0);
        let text = format::short(value);
        if high_cell > 15.0 && width(&text, 10.0) < wide - 6.0 {
            let colour = if is_dark(paint) { WHITE } else { INK };
            canvas.text(middle_x, middle_y, &text, Font::plain(10.0, colour), Anchor::Middle);
        }
    }
}

struct Names {
    places: HashMap<String, usize>,
    listed: Vec<String>,
    left_out: std::collections::HashSet<String>,
    most: usize,
}

impl Names {
    fn new(most: usize) -> Self {
        let left_out = std::collections::HashSet::new();
        Self { places: HashMap::new(), listed: Vec::new(), left_out, most }
    }

    fn place(&mut self, name: String) -> Option<usize> {
        if let Some(at) = self.places.get(&name) {
            return Some(*at);
        }
        if self.listed.len() == self.most {
            self.left_out.insert(name);
            return None;
        }
        self.places.insert(name.clone(), self.listed.len());
        self.listed.push(name);
        Some(self.listed.len() - 1)
    }
}

/// From faint to full; where there are values on both sides of zero, zero is white and each side has a colour.
fn shade(value: f64, low: f64, high: f64) -> Rgb {
    if low < 0.0 && high > 0.0 {
        let part = value.abs() / high.max(-low);
        return between(WHITE, if value < 0.0 { BELOW } else { FULL }, part);
    }
    if high - low <= 0.0 {
        return between(FAINT, FULL, 0.5);
    }
    between(FAINT, FULL, (value - low) / (high - low))
}

fn between(from: Rgb, to: Rgb, part: f64) -> Rgb {
    let mix = |a: u8, b: u8| {
        let value = f64::from(a) + (f64::from(b) - f64::from(a)) * part.clamp(0.0, 1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between two bytes"
        )]
        let byte = value.round() as u8;
        byte
    };
    (mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

fn is_dark((red, green, blue): Rgb) -> bool {
    0.299 * f64::from(red) + 0.587 * f64::from(green) + 0.114 * f64::from(blue) < 140.0
}

/// What the colours mean.
fn key(canvas: &mut Canvas, area: Area, title: &str, low: f64, high: f64) -> f64 {
    let font = Font::plain(SMALL, PALE_INK);
    let y = area.top + SMALL / 2.0;
    let (least, most) = (format::short(low), format::short(high));
    let bar = 90.0_f64.min(area.width() * 0.3);
    let end = area.right - width(&most, SMALL) - 6.0;
    let begin = end - bar;
    canvas.text(area.right, y, &most, font, Anchor::Right);
    canvas.text(begin - 6.0, y, &least, font, Anchor::Right);
    let mut part = 0.0;
    while part < 15.0 {
        let value = low + (high - low) * (part + 0.5) / 15.0;
        let from = begin + bar * part / 15.0;
        let to = begin + bar * (part + 1.0) / 15.0;
        canvas.rect((from, y - 5.0), (to, y + 5.0), shade(value, low, high), 1.0);
        part += 1.0;
    }
    let room = begin - 12.0 - width(&least, SMALL) - area.left;
    let text = crate::text::fit(&crate::text::clean(title), SMALL, room.max(20.0));
    canvas.text(area.left, y, &text, font, Anchor::Left);
    area.top + SMALL + 10.0
}
