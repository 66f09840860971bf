use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    Color as _, FontDesc, FontFamily, FontStyle, FontTransform, RGBColor, ShapeStyle, TextStyle,
};

use super::Size;
use crate::text::clean;

/// Red, green, blue.
pub(crate) type Rgb = (u8, u8, u8);

/// The backend knows whole pixels only: everything is drawn so many times larger, and shown at its size.
pub(super) const SCALE: u32 = 8;

/// The backend divides sizes of fonts by it.
const FONT: f64 = 1.24;

/// Which end of a text stands at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Left,
    Middle,
    Right,
}

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Font {
    size: f64,
    colour: Rgb,
    is_bold: bool,
    is_upright: bool,
}

impl Font {
    pub(super) fn plain(size: f64, colour: Rgb) -> Self {
        Self { size, colour, is_bold: false, is_upright: false }
    }

    pub(super) fn bold(size: f64, colour: Rgb) -> Self {
        Self { is_bold: true, ..Self::plain(size, colour) }
    }

    /// Turned, to be read from below to above.
    pub(super) fn upright(self) -> Self {
        Self { is_upright: true, ..self }
    }
}

/// What is drawn on. Lengths are pixels of the picture at its natural size.
pub(super) struct Canvas {
    size: Size,
    out: String,
}

fn ink((red, green, blue): Rgb, alpha: f64, width: f64) -> ShapeStyle {
    let color = RGBColor(red, green, blue).mix(alpha);
    ShapeStyle { color, filled: true, stroke_width: scaled(width).unsigned_abs() }
}

fn scaled(length: f64) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "a cast of a float saturates")]
    let whole = (length * f64::from(SCALE)).round() as i32;
    whole
}

fn at((x, y): (f64, f64)) -> (i32, i32) {
    (scaled(x), scaled(y))
}

impl Canvas {
    pub(super) fn new(size: Size) -> Self {
        let mut canvas = Self { size, out: String::new() };
        let (width, height) = (canvas.width(), canvas.height());
        canvas.rect((0.0, 0.0), (width, height), (255, 255, 255), 1.0);
        canvas
    }

    pub(super) fn width(&self) -> f64 {
        f64::from(self.size.width)
    }

    pub(super) fn height(&self) -> f64 {
        f64::from(self.size.height)
    }

    pub(super) fn rect(&mut self, from: (f64, f64), to: (f64, f64), colour: Rgb, alpha: f64) {
        let upper_left = (from.0.min(to.0), from.1.min(to.1));
        let bottom_right = (from.0.max(to.0), from.1.max(to.1));
        let ink = ink(colour, alpha, 0.0);
        self.draw(|it| it.draw_rect(at(upper_left), at(bottom_right), &ink, true));
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: Rgb, width: f64) {
        let ink = ink(colour, 1.0, width);
        self.draw(|it| it.draw_line(at(from), at(to), &ink));
    }

    pub(super) fn path(&mut self, points: &[(f64, f64)], colour: Rgb, width: f64) {
        let ink = ink(colour, 1.0, width);
        self.draw(|it| it.draw_path(points.iter().copied().map(at), &ink));
    }

    pub(super) fn polygon(&mut self, points: &[(f64, f64)], colour: Rgb, alpha: f64) {
        let ink = ink(colour, alpha, 0.0);
        self.draw(|it| it.fill_polygon(points.iter().copied().map(at), &ink));
    }

    pub(super) fn circle(&mut self, centre: (f64, f64), radius: f64, colour: Rgb, alpha: f64) {
        let ink = ink(colour, alpha, 0.0);
        let radius = scaled(radius).unsigned_abs();
        self.draw(|it| it.draw_circle(at(centre), radius, &ink, true));
    }

    /// A line of text whose middle is at that height.
    pub(super) fn text(&mut self, x: f64, y: f64, text: &str, font: Font, anchor: Anchor) {
        let text = clean(text);
        if text.is_empty() {
            return;
        }
        let h_pos = match anchor {
            Anchor::Left => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        let face = FontFamily::Name("Helvetica, Arial, Liberation Sans, sans-serif");
        let style = if font.is_bold { FontStyle::Bold } else { FontStyle::Normal };
        let turn = if font.is_upright { FontTransform::Rotate270 } else { FontTransform::None };
        let (red, green, blue) = font.colour;
        let size = font.size * FONT * f64::from(SCALE);
        let colour = RGBColor(red, green, blue);
        let style = TextStyle::from(FontDesc::new(face, size, style).transform(turn))
            .color(&colour)
            .pos(Pos::new(h_pos, VPos::Center));
        self.draw(|it| it.draw_text(&text, &style, at((x, y))));
    }

    fn draw<T, E>(&mut self, drawing: impl FnOnce(&mut SVGBackend<'_>) -> Result<T, E>) {
        let mut piece = String::new();
        {
            let mut backend = SVGBackend::with_string(&mut piece, (1, 1));
            // Into memory nothing fails.
            drop(drawing(&mut backend));
        }
        // What the backend writes around is the document, which is ours.
        let open = piece.find('\n').map_or(0, |it| it + 1);
        let inner = piece[open..].trim_end();
        self.out.push_str(inner.strip_suffix("</svg>").unwrap_or(inner).trim_end());
        self.out.push('\n');
    }

    pub(super) fn finish(self) -> String {
        self.out
    }
}
