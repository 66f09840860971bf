use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

use super::kind::{UserTypes, ValueKind};
use super::text::utf8;
use crate::{RawRow, ResultColumn};

/// How a table is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableFormat {
    /// The width that lines may have, in columns of the terminal. The widest columns give way, down to a few characters
    /// each; with very many columns lines are longer all the same.
    pub width: usize,
    /// The most rows; of the others the last line says how many they are.
    pub rows: usize,
}

impl Default for TableFormat {
    fn default() -> Self {
        Self { width: 100, rows: 50 }
    }
}

/// Columns are not made narrower than this.
const NARROWEST: usize = 6;

/// Rows as a table for a terminal, columns aligned, numbers to the right.
///
/// Control characters come as `\n` or `\u{1b}`, so that data cannot steer the terminal. What does not fit ends in `…`.
pub fn format_table(
    columns: &[ResultColumn],
    rows: &[RawRow],
    types: &UserTypes,
    format: TableFormat,
) -> String {
    let kinds: Vec<_> = columns.iter().map(|it| ValueKind::of(it.type_oid, types)).collect();
    let header: Vec<_> = columns.iter().map(|it| printable(&it.name)).collect();
    let shown: Vec<Vec<String>> = rows
        .iter()
        .take(format.rows)
        .map(|row| row.values().zip(&kinds).map(|(value, kind)| cell(value, *kind)).collect())
        .collect();
    let mut widths: Vec<usize> = header.iter().map(|it| it.width()).collect();
    for row in &shown {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    fit(&mut widths, format.width);

    let mut out = String::new();
    let mut line = |cells: &[String], right: &dyn Fn(usize) -> bool| {
        let mut text = String::new();
        for (at, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            if at > 0 {
                text.push_str("  ");
            }
            let cell = shortened(cell, *width);
            let blanks = width.saturating_sub(cell.width());
            let (before, after) = if right(at) { (blanks, 0) } else { (0, blanks) };
            let _ = write!(text, "{:before$}{cell}{:after$}", "", "");
        }
        out.push_str(text.trim_end());
        out.push('\n');
    };
    let right = |at: usize| kinds[at].is_number();
    line(&header, &right);
    line(&widths.iter().map(|it| "─".repeat(*it)).collect::<Vec<_>>(), &right);
    for row in &shown {
        line(row, &right);
    }
    if rows.len() > shown.len() {
        let _ = writeln!(out, "… and {} more", rows.len() - shown.len());
    }
    out
}

fn cell(value: Option<&[u8]>, kind: ValueKind) -> String {
    match (value, kind) {
        (None, _) => "null".into(),
        (Some(b"t"), ValueKind::Boolean) => "true".into(),
        (Some(b"f"), ValueKind::Boolean) => "false".into(),
        (Some(value), _) => printable(&utf8(value)),
    }
}

fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for it in text.chars() {
        // Marks that turn the direction of writing could make a line read as something else.
        if it.is_control() || matches!(it, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            out.extend(it.escape_default());
        } else {
            out.push(it);
        }
    }
    out
}

/// Takes width from the widest columns until all fit.
fn fit(widths: &mut [usize], limit: usize) {
    let limit = limit.saturating_sub(2 * widths.len().saturating_sub(1));
    let mut excess = widths.iter().sum::<usize>().saturating_sub(limit);
    while excess > 0 {
        let widest = widths.iter().copied().max().unwrap_or(0);
        if widest <= NARROWEST {
            return;
        }
        let next =
            widths.iter().copied().filter(|it| *it < widest).max().unwrap_or(0).max(NARROWEST);
        let count = widths.iter().filter(|it| **it == widest).count();
        let step = (excess.div_ceil(count)).min(widest - next);
        for width in widths.iter_mut().filter(|it| **it == widest) {
            *width -= step;
        }
        excess = excess.saturating_sub(step * count);
    }
}

fn shortened(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    for it in text.chars() {
        out.push(it);
        // Measured as a whole: a variation selector widens the character before it.
        if out.width() >= width {
            out.pop();
            break;
        }
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::row;
    use super::*;

    fn columns() -> Vec<ResultColumn> {
        [("name", 25), ("total", 1700)]
            .map(|(name, type_oid)| ResultColumn { name: name.into(), type_oid, type_modifier: -1 })
            .into()
    }

    fn table(rows: &[RawRow], format: TableFormat) -> String {
        format_table(&columns(), rows, &UserTypes::default(), format)
    }

    #[test]
    fn columns_are_aligned_and_numbers_stand_to_the_right() {
        let rows = [
            row(&[Some("Ångström".as_bytes()), Some(b"12.50")]),
            row(&[Some("日本".as_bytes()), None]),
            row(&[Some(b"a\x1b[31m\n"), Some(b"-7")]),
        ];
        let printed = table(&rows, TableFormat::default());
        let lines: Vec<_> = printed.lines().collect();
        assert_eq!(lines[2], "Ångström       12.50");
        assert_eq!(lines[3], "日本            null");
        assert_eq!(lines[4], "a\\u{1b}[31m\\n     -7");
    }

    #[test]
    fn rows_beyond_the_limit_are_counted() {
        let rows = vec![row(&[Some(b"a"), Some(b"1")]); 5];
        let printed = table(&rows, TableFormat { rows: 2, ..TableFormat::default() });
        assert!(printed.ends_with("… and 3 more\n"));
        assert_eq!(printed.lines().count(), 5);
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_allowed(values in prop::collection::vec(("\\PC{0,60}", any::<i64>()), 0..5), width in 14_usize..80) {
            let rows: Vec<_> = values
                .iter()
                .map(|(name, total)| row(&[Some(name.as_bytes()), Some(total.to_string().as_bytes())]))
                .collect();
            for line in table(&rows, TableFormat { width, rows: 50 }).lines() {
                prop_assert!(line.width() <= width, "{line}");
            }
        }
    }
}
