use super::canvas::{Anchor, Canvas, Font};
use super::{Area, INK, LINE, PALE_INK, SMALL};
use crate::chart::{Chart, count};
use crate::data::ColumnKind;
use crate::format;
use crate::text::{clean, fit, width};

const ROW: f64 = 22.0;
const PAD: f64 = 8.0;
/// The widest that a column gets while others lack room.
const WIDEST: f64 = 260.0;
const BAND: (u8, u8, u8) = (249, 250, 251);

pub(super) fn table(chart: &Chart<'_>, canvas: &mut Canvas, area: Area) {
    let data = chart.data;
    let chosen: Vec<usize> = if chart.options.columns.is_empty() {
        (0..data.columns.len()).collect()
    } else {
        let place = |it: &String| data.columns.iter().position(|column| column.name == *it);
        chart.options.columns.iter().filter_map(place).collect()
    };
    let room_for_rows = ((area.height() - ROW) / ROW).floor().max(1.0);
    let fitting = rows_that_fit(data.len(), room_for_rows, data.more);
    let cells: Vec<Vec<String>> = (0..fitting)
        .map(|row| chosen.iter().map(|it| cell(data.value(row, *it))).collect())
        .collect();
    let widths = widths(chart, &chosen, &cells, area.width());
    let header = Font::bold(SMALL, PALE_INK);
    let mut x = area.left;
    for (number, (at, wide)) in chosen.iter().zip(&widths).enumerate() {
        let column = &data.columns[*at];
        let is_number = column.kind == ColumnKind::Number;
        let (place, anchor) =
            if is_number { (x + wide - PAD, Anchor::Right) } else { (x + PAD, Anchor::Left) };
        let text = fit(&clean(&column.name), SMALL * 1.06, wide - 2.0 * PAD);
        canvas.text(place, area.top + ROW / 2.0, &text, header, anchor);
        for (row, values) in cells.iter().enumerate() {
            let y = area.top + ROW * count(row + 1);
            if number == 0 && row % 2 == 0 {
                canvas.rect((area.left, y), (area.right, y + ROW), BAND, 1.0);
            }
            let value = &values[number];
            let colour = if data.value(row, *at).is_null() { PALE_INK } else { INK };
            let text = fit(value, SMALL + 1.0, wide - 2.0 * PAD);
            let font = Font::plain(SMALL + 1.0, colour);
            canvas.text(place, y + ROW / 2.0, &text, font, anchor);
        }
        x += wide;
    }
    let line = area.top + ROW;
    canvas.line((area.left, line), (area.right, line), LINE, 1.0);
    let left_columns = chosen.len() - widths.len();
    let mut notes = Vec::new();
    if fitting < data.len() || data.more {
        let more = data.len() - fitting;
        let plus = if data.more { "+" } else { "" };
        notes.push(format!("{}{plus} more rows", format::plain(count(more), 0)));
    }
    if left_columns > 0 {
        notes.push(format!("{left_columns} more columns"));
    }
    if !notes.is_empty() {
        let y = area.top + ROW * count(fitting + 1) + ROW / 2.0;
        let font = Font::plain(SMALL, PALE_INK);
        canvas.text(area.left + PAD, y, &notes.join(", "), font, Anchor::Left);
    }
}

fn rows_that_fit(rows: usize, room: f64, more: bool) -> usize {
    if count(rows) <= room && !more {
        return rows;
    }
    // One line says that there are more.
    (0..rows).take_while(|it| count(it + 1) < room).count().max(1).min(rows)
}

fn cell(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => "–".to_owned(),
        serde_json::Value::String(text) => clean(text),
        other => clean(&other.to_string()),
    }
}

/// As wide as what is in them, as long as there is room; then the wide ones give way. Columns that would be too narrow to
/// read are left out.
fn widths(chart: &Chart<'_>, chosen: &[usize], cells: &[Vec<String>], room: f64) -> Vec<f64> {
    let mut widths: Vec<f64> = chosen
        .iter()
        .enumerate()
        .map(|(number, at)| {
            let header = width(&clean(&chart.data.columns[*at].name), SMALL * 1.1);
            let widest = cells.iter().map(|it| width(&it[number], SMALL + 1.0));
            (widest.fold(header, f64::max) + 2.0 * PAD + 2.0).min(WIDEST)
        })
        .collect();
    while widths.len() > 1 && count(widths.len()) * 56.0 > room {
        widths.pop();
    }
    let all: f64 = widths.iter().sum();
    if all <= room {
        let more = (room - all) / count(widths.len().max(1));
        return widths.into_iter().map(|it| it + more).collect();
    }
    // The narrow keep what they need.
    let mut order: Vec<usize> = (0..widths.len()).collect();
    order.sort_by(|a, b| widths[*a].total_cmp(&widths[*b]));
    let mut left = room;
    for (done, at) in order.iter().enumerate() {
        let share = left / count(order.len() - done);
        widths[*at] = widths[*at].min(share);
        left -= widths[*at];
    }
    widths
}
