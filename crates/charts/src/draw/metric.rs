use super::canvas::{Anchor, Canvas, Font, Rgb};
use super::{Area, INK, PALE_INK, middle};
use crate::chart::{Chart, count};
use crate::format;
use crate::text::{clean, fit, width, wrap};

const UP: Rgb = (22, 130, 80);
const DOWN: Rgb = (190, 50, 60);

/// One number, as large as fits.
pub(super) fn metric(chart: &Chart<'_>, canvas: &mut Canvas, area: Area) {
    let column = chart.fields.y[0];
    let Some(value) = chart.data.number(0, column) else {
        return middle(canvas, area, "No value");
    };
    let options = chart.options;
    let digits = match options.decimals {
        Some(decimals) => format::plain(value, usize::from(decimals)),
        None => format::number(value),
    };
    let text = clean(&format!("{}{digits}{}", options.prefix, options.suffix));
    let height = area.height();
    let below = if height > 70.0 { 20.0 } else { 0.0 };
    let unit = width(&text, 1.0) * 1.06;
    let size = ((height - below) * 0.55).min(area.width() / unit.max(0.5)).clamp(9.0, 96.0);
    let centre = f64::midpoint(area.left, area.right);
    let y = f64::midpoint(area.top, area.bottom) - below / 2.0;
    let text = fit(&text, size * 1.06, area.width() + 1.0);
    canvas.text(centre, y, &text, Font::bold(size, INK), Anchor::Middle);
    if below == 0.0 {
        return;
    }
    let small = 12.0;
    let y = y + size * 0.5 + 16.0;
    let before = chart.fields.compare.and_then(|it| chart.data.number(0, it));
    if let (Some(before), Some(at)) = (before, chart.fields.compare) {
        let change = value - before;
        let part = if before == 0.0 {
            format::short(change.abs())
        } else {
            format!("{}%", format::plain((change / before * 100.0).abs(), 1))
        };
        let name = &chart.data.columns[at].name;
        let text = format!("{part} against {} ({name})", format::number(before));
        let text = fit(&clean(&text), small, area.width() - 16.0);
        let left = centre - width(&text, small) / 2.0;
        let paint = match change {
            _ if change > 0.0 => UP,
            _ if change < 0.0 => DOWN,
            _ => PALE_INK,
        };
        arrow(canvas, (left - 8.0, y), change, paint);
        canvas.text(left + 2.0, y, &text, Font::plain(small, PALE_INK), Anchor::Left);
    } else {
        let name = clean(&chart.data.columns[column].name);
        let text = fit(&name, small, area.width());
        canvas.text(centre, y, &text, Font::plain(small, PALE_INK), Anchor::Middle);
    }
}

/// Drawn, because not every font has one.
fn arrow(canvas: &mut Canvas, (x, y): (f64, f64), change: f64, paint: Rgb) {
    let side = 4.0;
    let points = match change {
        _ if change > 0.0 => [(x - side, y + 3.0), (x + side, y + 3.0), (x, y - 4.0)],
        _ if change < 0.0 => [(x - side, y - 3.0), (x + side, y - 3.0), (x, y + 4.0)],
        _ => return canvas.line((x - side, y), (x + side, y), paint, 2.0),
    };
    canvas.polygon(&points, paint, 1.0);
}

/// The text with `{{column}}` replaced by the values of the first row. A name that the result does not have stays as it is.
pub(crate) fn words(chart: &Chart<'_>) -> String {
    let mut out = String::new();
    let mut rest = chart.options.text.as_str();
    while let Some(open) = rest.find("{{") {
        let Some(close) = rest[open..].find("}}").map(|it| it + open) else { break };
        let name = rest[open + 2..close].trim();
        out.push_str(&rest[..open]);
        let column = chart.data.columns.iter().position(|it| it.name == name);
        match column {
            Some(at) if !chart.data.rows.is_empty() => out.push_str(&chart.data.label(0, at)),
            _ => out.push_str(&rest[open..close + 2]),
        }
        rest = &rest[close + 2..];
    }
    out.push_str(rest);
    out
}

/// Lines of words; a line that begins with `#` is a heading.
pub(super) fn text(chart: &Chart<'_>, canvas: &mut Canvas, area: Area) {
    let text = words(chart);
    let mut y = area.top;
    for line in text.lines() {
        let heading = line.trim_start_matches('#');
        let depth = line.len() - heading.len();
        let (size, is_bold) = match depth {
            1 => (20.0, true),
            2 => (16.0, true),
            3.. => (14.0, true),
            0 => (13.0, false),
        };
        let step = size * 1.4;
        let left = ((area.bottom - y) / step).floor();
        if left < 1.0 {
            return;
        }
        let lines = (0..).take_while(|it| count(*it) < left).count();
        let size_as_set = if is_bold { size * 1.06 } else { size };
        for it in wrap(&clean(heading), size_as_set, area.width(), lines) {
            let font = if is_bold { Font::bold(size, INK) } else { Font::plain(size, INK) };
            canvas.text(area.left, y + step / 2.0, &it, font, Anchor::Left);
            y += step;
        }
        if line.trim().is_empty() {
            y += step * 0.5;
        }
    }
}
