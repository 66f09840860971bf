//! The picture.

mod along;
mod canvas;
mod frame;
mod heatmap;
mod metric;
mod pie;
mod scatter;
mod table;

use crate::Kind;
use crate::chart::Chart;
use crate::text::{clean, escape, fit, wrap};

pub(crate) use canvas::Rgb;
use canvas::{Anchor, Canvas, Font};
pub(crate) use metric::words;
pub(crate) use scatter::points;

/// How large a picture is, in pixels at its natural size; it can be shown at any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    width: u32,
    height: u32,
}

impl Size {
    /// The width, from 120 to 4,000 pixels; others are moved to the nearest.
    /// The height, from 60 to 4,000 pixels.
    pub fn clamped(width: u32, height: u32) -> Self {
        Self { width: width.clamp(120, 4_000), height: height.clamp(60, 4_000) }
    }

    /// In pixels.
    pub fn width(self) -> u32 {
        self.width
    }

    /// In pixels.
    pub fn height(self) -> u32 {
        self.height
    }
}

impl Default for Size {
    fn default() -> Self {
        Self { width: 640, height: 400 }
    }
}

/// An SVG picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    pub(crate) size: Size,
    pub(crate) title: String,
    /// What stands between the tags of the document.
    pub(crate) inner: String,
}

impl Picture {
    /// The whole document.
    pub fn to_svg(&self) -> String {
        let Size { width, height } = self.size;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"{}\" role=\"img\">\n<title>{}</title>\n{}</svg>\n",
            self.view_box(),
            escape(&self.title),
            self.inner,
        )
    }

    /// What the inner coordinates are.
    pub(crate) fn view_box(&self) -> String {
        let Size { width, height } = self.size;
        format!("0 0 {} {}", width * canvas::SCALE, height * canvas::SCALE)
    }
}

/// Colours that can be told apart, also by most who see fewer (after Paul Tol's and Okabe and Ito's advice: they differ
/// in lightness too).
pub(crate) const COLOURS: [Rgb; 10] = [
    (47, 103, 196),
    (230, 126, 34),
    (30, 150, 108),
    (192, 57, 87),
    (125, 91, 190),
    (86, 180, 233),
    (160, 120, 40),
    (219, 98, 172),
    (110, 160, 40),
    (60, 70, 110),
];
/// Of what stands for the rest.
pub(crate) const OTHERS_COLOUR: Rgb = (150, 156, 166);

const INK: Rgb = (31, 41, 55);
const PALE_INK: Rgb = (107, 114, 128);
const LINE: Rgb = (229, 231, 235);
const AXIS: Rgb = (156, 163, 175);

/// Around everything.
const MARGIN: f64 = 14.0;
const TITLE: f64 = 15.0;
const SMALL: f64 = 11.0;

pub(crate) fn picture(chart: &Chart<'_>, size: Size) -> Picture {
    let title = clean(chart.title);
    let mut canvas = Canvas::new(size);
    let top = heading(&mut canvas, &title);
    let area = Area {
        left: MARGIN,
        top,
        right: f64::from(size.width) - MARGIN,
        bottom: f64::from(size.height) - MARGIN,
    };
    if chart.data.rows.is_empty() && chart.kind != Kind::Text {
        middle(&mut canvas, area, "No rows");
    } else {
        draw(chart, &mut canvas, area);
    }
    Picture { size, title, inner: canvas.finish() }
}

/// A picture that only says something: that there is none.
pub fn notice(title: &str, text: &str, size: Size) -> Picture {
    let title = clean(title);
    let mut canvas = Canvas::new(size);
    let top = heading(&mut canvas, &title);
    let area = Area {
        left: MARGIN,
        top,
        right: f64::from(size.width) - MARGIN,
        bottom: f64::from(size.height) - MARGIN,
    };
    middle(&mut canvas, area, &clean(text));
    Picture { size, title, inner: canvas.finish() }
}

fn draw(chart: &Chart<'_>, canvas: &mut Canvas, area: Area) {
    match chart.kind {
        Kind::Metric => metric::metric(chart, canvas, area),
        Kind::Text => metric::text(chart, canvas, area),
        Kind::Table => table::table(chart, canvas, area),
        Kind::Scatter => {
            let area = noted(canvas, area, &chart.notes(None));
            scatter::scatter(chart, canvas, area);
        }
        Kind::Heatmap => {
            let area = noted(canvas, area, &chart.notes(None));
            heatmap::heatmap(chart, canvas, area);
        }
        Kind::Pie | Kind::Bar | Kind::Line | Kind::Area => {
            let shaped = chart.shaped();
            let area = noted(canvas, area, &chart.notes(Some(&shaped)));
            if !shaped.has_values() {
                middle(canvas, area, "No values");
            } else if chart.kind == Kind::Pie {
                pie::pie(chart, &shaped, canvas, area);
            } else {
                along::along(chart, &shaped, canvas, area);
            }
        }
    }
}

/// A part of the picture.
#[derive(Clone, Copy, Debug)]
struct Area {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

impl Area {
    fn width(self) -> f64 {
        (self.right - self.left).max(0.0)
    }

    fn height(self) -> f64 {
        (self.bottom - self.top).max(0.0)
    }
}

/// Draws the title, and says where the rest begins.
fn heading(canvas: &mut Canvas, title: &str) -> f64 {
    if title.is_empty() {
        return MARGIN;
    }
    let room = canvas.width() - 2.0 * MARGIN;
    let text = fit(title, TITLE * 1.06, room);
    canvas.text(MARGIN, MARGIN + TITLE / 2.0, &text, Font::bold(TITLE, INK), Anchor::Left);
    MARGIN + TITLE + 10.0
}

/// Says below what the picture does not show, and what is left above it.
fn noted(canvas: &mut Canvas, area: Area, notes: &[String]) -> Area {
    if notes.is_empty() {
        return area;
    }
    let text = fit(&notes.join("; "), SMALL, area.width());
    let at = area.bottom - SMALL / 2.0;
    canvas.text(area.left, at, &text, Font::plain(SMALL, PALE_INK), Anchor::Left);
    Area { bottom: area.bottom - SMALL - 6.0, ..area }
}

fn middle(canvas: &mut Canvas, area: Area, text: &str) {
    let size = 13.0;
    let lines = wrap(text, size, area.width(), 4);
    let step = size * 1.4;
    let centre = f64::midpoint(area.left, area.right);
    let first = f64::midpoint(area.top, area.bottom)
        - step * (crate::chart::count(lines.len()) - 1.0) / 2.0;
    for (at, line) in lines.iter().enumerate() {
        let y = first + step * crate::chart::count(at);
        canvas.text(centre, y, line, Font::plain(size, PALE_INK), Anchor::Middle);
    }
}

fn colour(at: usize, is_others: bool) -> Rgb {
    if is_others { OTHERS_COLOUR } else { COLOURS[at % COLOURS.len()] }
}
