//! Axes with their ticks and titles, and the legend above.

use super::canvas::{Anchor, Canvas, Font, Rgb};
use super::{AXIS, Area, INK, LINE, PALE_INK, SMALL};
use crate::chart::count;
use crate::scale::{Axis, Tick};
use crate::text::{clean, fit, width};

/// Names along an axis take at most this part of the picture.
const LABEL_PART: f64 = 0.34;
/// The longest that a name along an axis gets.
const LABEL_ROOM: f64 = 150.0;

/// What stands along one side.
pub(super) enum Side {
    /// Ticks at places of their own.
    Scale(Axis),
    /// A name in the middle of each of as many equal parts.
    Names(Vec<String>),
}

impl Side {
    fn widest(&self) -> f64 {
        let of = |it: &str| width(&clean(it), SMALL);
        match self {
            Self::Scale(axis) => axis.ticks.iter().map(|it| of(&it.text)).fold(0.0, f64::max),
            Self::Names(names) => names.iter().map(|it| of(it)).fold(0.0, f64::max),
        }
    }
}

/// The axes of a picture.
pub(super) struct Frame {
    /// Where figures are drawn.
    pub(super) area: Area,
    pub(super) across: Side,
    pub(super) up: Side,
}

impl Frame {
    /// Draws axes into the area, and finds what is left for figures.
    pub(super) fn draw(
        canvas: &mut Canvas,
        area: Area,
        across: Side,
        up: Side,
        (across_title, up_title): (&str, &str),
    ) -> Self {
        let mut inner = area;
        let (across_title, up_title) = (clean(across_title), clean(up_title));
        if up_title.is_empty() {
            inner.top += SMALL / 2.0;
        } else {
            let text = fit(&up_title, SMALL, area.width() * 0.6);
            let y = inner.top + SMALL / 2.0;
            canvas.text(area.left, y, &text, Font::plain(SMALL, PALE_INK), Anchor::Left);
            inner.top += SMALL + 8.0;
        }
        if !across_title.is_empty() {
            let text = fit(&across_title, SMALL, area.width() * 0.8);
            let y = inner.bottom - SMALL / 2.0;
            let middle = f64::midpoint(area.left, area.right);
            canvas.text(middle, y, &text, Font::plain(SMALL, PALE_INK), Anchor::Middle);
            inner.bottom -= SMALL + 6.0;
        }
        let most = (area.width() * LABEL_PART).min(LABEL_ROOM);
        let left = up.widest().min(most);
        inner.left += left + 8.0;
        // The last tick of the other axis hangs over.
        inner.right -= match &across {
            Side::Scale(_) => 14.0,
            Side::Names(_) => 2.0,
        };
        let upright = match &across {
            Side::Scale(_) => None,
            Side::Names(names) => turned(names, inner.width(), area.height()),
        };
        inner.bottom -= upright.unwrap_or(SMALL) + 9.0;
        inner.bottom = inner.bottom.max(inner.top + 10.0);
        let frame = Self { area: inner, across, up };
        frame.grid(canvas, left);
        frame.along_the_bottom(canvas, upright);
        frame
    }

    /// Where a value of the horizontal scale stands.
    pub(super) fn x(&self, value: f64) -> f64 {
        let place = match &self.across {
            Side::Scale(axis) => axis.place(value),
            Side::Names(names) => (value + 0.5) / count(names.len().max(1)),
        };
        self.area.left + place * self.area.width()
    }

    /// Where a value of the vertical scale stands.
    pub(super) fn y(&self, value: f64) -> f64 {
        match &self.up {
            Side::Scale(axis) => self.area.bottom - axis.place(value) * self.area.height(),
            // Names are read from above.
            Side::Names(names) => {
                self.area.top + (value + 0.5) / count(names.len().max(1)) * self.area.height()
            }
        }
    }

    fn grid(&self, canvas: &mut Canvas, room: f64) {
        let Area { left, right, top, bottom } = self.area;
        let font = Font::plain(SMALL, INK);
        match &self.up {
            Side::Scale(axis) => {
                for Tick { at, text } in &axis.ticks {
                    let y = self.y(*at);
                    let colour = if *at == 0.0 { AXIS } else { LINE };
                    canvas.line((left, y), (right, y), colour, 1.0);
                    canvas.text(left - 6.0, y, text, font, Anchor::Right);
                }
            }
            Side::Names(names) => {
                let step = every(names.len(), self.area.height(), SMALL * 1.25);
                for (at, name) in names.iter().enumerate().step_by(step) {
                    let text = fit(&clean(name), SMALL, room);
                    canvas.text(left - 6.0, self.y(count(at)), &text, font, Anchor::Right);
                }
            }
        }
        if let Side::Scale(axis) = &self.across {
            for Tick { at, .. } in &axis.ticks {
                let x = self.x(*at);
                let is_zero = *at == 0.0 && matches!(self.up, Side::Names(_));
                if matches!(self.up, Side::Names(_)) {
                    let colour = if is_zero { AXIS } else { LINE };
                    canvas.line((x, top), (x, bottom), colour, 1.0);
                } else {
                    canvas.line((x, bottom), (x, bottom + 4.0), AXIS, 1.0);
                }
            }
            if matches!(self.up, Side::Scale(_)) {
                canvas.line((left, bottom), (right, bottom), AXIS, 1.0);
            }
        }
    }

    fn along_the_bottom(&self, canvas: &mut Canvas, upright: Option<f64>) {
        let bottom = self.area.bottom;
        let font = Font::plain(SMALL, INK);
        match &self.across {
            Side::Scale(axis) => {
                let mut free_from = f64::NEG_INFINITY;
                for Tick { at, text } in &axis.ticks {
                    let (x, half) = (self.x(*at), width(text, SMALL) / 2.0);
                    if x - half < free_from || x + half > canvas.width() {
                        continue;
                    }
                    free_from = x + half + 8.0;
                    canvas.text(x, bottom + 6.0 + SMALL / 2.0, text, font, Anchor::Middle);
                }
            }
            Side::Names(names) => {
                let part = self.area.width() / count(names.len().max(1));
                if let Some(room) = upright {
                    let step = every(names.len(), self.area.width(), SMALL * 1.25);
                    for (at, name) in names.iter().enumerate().step_by(step) {
                        let text = fit(&clean(name), SMALL, room);
                        let x = self.x(count(at));
                        canvas.text(x, bottom + 6.0, &text, font.upright(), Anchor::Right);
                    }
                } else {
                    for (at, name) in names.iter().enumerate() {
                        let text = fit(&clean(name), SMALL, part - 4.0);
                        let (x, y) = (self.x(count(at)), bottom + 6.0 + SMALL / 2.0);
                        canvas.text(x, y, &text, font, Anchor::Middle);
                    }
                }
            }
        }
    }
}

/// How high turned names are; `None` where they fit as they are.
fn turned(names: &[String], room: f64, height: f64) -> Option<f64> {
    let part = room / count(names.len().max(1));
    let widest = names.iter().map(|it| width(&clean(it), SMALL)).fold(0.0, f64::max);
    // A word that is cut a little is read more easily than one that stands on its side.
    if widest <= part - 4.0 || (part > 64.0 && widest < part * 1.3) {
        return None;
    }
    Some(widest.min(height * LABEL_PART).min(LABEL_ROOM))
}

/// Each how many-th name has room.
fn every(names: usize, room: f64, needs: f64) -> usize {
    let fitting = (room / needs).floor().max(1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and the number of names"
    )]
    let step = (count(names) / fitting).ceil().max(1.0) as usize;
    step
}

/// A legend in lines above; says where the rest begins. What has no room in three lines is counted.
pub(super) fn legend(canvas: &mut Canvas, area: Area, entries: &[(String, Rgb)]) -> f64 {
    let step = SMALL + 7.0;
    let most_lines = if area.height() > 220.0 { 3 } else { 1 };
    let (mut x, mut line) = (area.left, 0);
    for (at, (name, colour)) in entries.iter().enumerate() {
        let text = fit(&clean(name), SMALL, 130.0_f64.min(area.width() - 20.0));
        let needs = 15.0 + width(&text, SMALL) + 14.0;
        let left = entries.len() - at;
        let is_last_place = line + 1 == most_lines && left > 1;
        let more = if is_last_place { 40.0 } else { 0.0 };
        if x + needs + more > area.right && x > area.left {
            if line + 1 == most_lines {
                let y = area.top + step * count(line) + SMALL / 2.0;
                let font = Font::plain(SMALL, PALE_INK);
                canvas.text(x, y, &format!("+{left}"), font, Anchor::Left);
                break;
            }
            line += 1;
            x = area.left;
        }
        let y = area.top + step * count(line) + SMALL / 2.0;
        canvas.rect((x, y - 5.0), (x + 10.0, y + 5.0), *colour, 1.0);
        canvas.text(x + 15.0, y, &text, Font::plain(SMALL, INK), Anchor::Left);
        x += needs;
    }
    area.top + step * count(line + 1) + 4.0
}
