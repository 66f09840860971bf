//! Results as tables in texts: a table has room beside what else the text says, however many columns and letters there are.

use super::escape_line;
use super::meter::LARGEST;
use crate::result::StepResult;

/// How many rows a table in a text shows.
const ROWS: usize = 100;

/// How large a table becomes at most, in bytes. What stands around it is part of the same text.
const LARGEST_TABLE: usize = LARGEST / 2;

/// How many letters of a cell stand where columns are side by side: every cell of a column is as wide as its widest.
const CELL_LETTERS: usize = 200;

/// A table of Markdown.
pub(super) fn markdown(result: &StepResult) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut head = line(result.columns.iter().map(|it| escape_markdown(it)).collect());
    head += &line(result.columns.iter().map(|_| "---".to_owned()).collect());
    let cells = |row: &Vec<_>| result.texts(row).map(|it| escape_markdown(&it)).collect();
    let rows = result.rows.iter().take(ROWS).map(|row| line(cells(row)));
    let mut table = String::from("\n\n");
    let shown = append(&mut table, std::iter::once(head).chain(rows));
    if let Some(more) = result.rows.len().checked_sub(shown).filter(|it| *it > 0) {
        table += &format!("\n{more} more rows are not shown.\n");
    }
    table.push('\n');
    table
}

/// Columns side by side, in letters of one width.
pub(crate) fn plain(result: &StepResult) -> String {
    let mut lines = vec![result.columns.iter().map(|it| cell(it)).collect::<Vec<_>>()];
    let rows = result.rows.iter().take(ROWS);
    lines.extend(rows.map(|row| result.texts(row).map(|it| cell(&it)).collect()));
    let width = |it: &String| it.chars().count();
    let widths: Vec<usize> = (0..result.columns.len())
        .map(|at| lines.iter().filter_map(|it| it.get(at)).map(width).max().unwrap_or_default())
        .collect();
    let mut table = String::new();
    let lines = lines.iter().map(|cells| {
        let mut line = String::new();
        for (it, most) in cells.iter().zip(&widths) {
            line.push_str(it);
            // Not by a format's width, which ends at 65,535.
            line.push_str(&" ".repeat(most - width(it) + 2));
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    });
    let shown = append(&mut table, lines);
    if let Some(more) = result.rows.len().checked_sub(shown).filter(|it| *it > 0) {
        table += &format!("({more} more rows are not shown)\n");
    }
    table
}

/// Appends a head and rows while they fit, each as a whole; says how many rows did.
fn append(table: &mut String, lines: impl Iterator<Item = String>) -> usize {
    let mut shown = 0_usize;
    for line in lines {
        if table.len() + line.len() > LARGEST_TABLE {
            break;
        }
        table.push_str(&line);
        shown += 1;
    }
    shown.saturating_sub(1)
}

/// Makes a value of a table stand for itself in Markdown. Line breaks become blanks: a line may begin a list or a heading.
fn escape_markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for it in text.chars() {
        if it.is_ascii_punctuation() {
            escaped.push('\\');
        }
        escaped.push(if it.is_control() { ' ' } else { it });
    }
    escaped
}

/// A cell in letters of one width.
fn cell(text: &str) -> String {
    if text.chars().nth(CELL_LETTERS).is_none() {
        return escape_line(text);
    }
    let cut: String = text.chars().take(CELL_LETTERS - 1).collect();
    escape_line(&cut) + "…"
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn result(columns: usize, rows: usize, value: &Value) -> StepResult {
        StepResult {
            columns: (0..columns).map(|at| format!("c{at}")).collect(),
            rows: vec![vec![value.clone(); columns]; rows],
            ..StepResult::default()
        }
    }

    #[test]
    fn a_long_cell_widens_its_column_no_further_than_it_is_shown() {
        let mut result = result(2, 2, &json!("x"));
        result.rows[0][0] = json!("é".repeat(70_000));
        let shown = plain(&result);
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines[1], format!("{}…  x", "é".repeat(CELL_LETTERS - 1)));
        assert_eq!(lines[2], format!("x{}x", " ".repeat(CELL_LETTERS + 1)));
        result.rows[0][0] = json!("é".repeat(CELL_LETTERS));
        assert!(!plain(&result).contains('…'));
    }

    #[test]
    fn a_table_has_a_bound_and_says_which_rows_are_not_there() {
        let wide = result(1_600, 20, &json!("y".repeat(150)));
        let shown = plain(&wide);
        assert!(shown.len() < LARGEST_TABLE + 100, "{}", shown.len());
        assert!(
            shown.ends_with("\n(19 more rows are not shown)\n"),
            "{}",
            &shown[shown.len() - 50..]
        );
        let shown = markdown(&wide);
        assert!(shown.len() < LARGEST_TABLE + 100, "{}", shown.len());
        assert!(
            shown.ends_with("|\n\n18 more rows are not shown.\n\n"),
            "{}",
            &shown[shown.len() - 50..]
        );
        // Names that leave no room for rows.
        let mut named = result(1_600, 3, &json!(1));
        named.columns.iter_mut().for_each(|it| *it = "💥".repeat(300));
        assert_eq!(plain(&named), "(3 more rows are not shown)\n");
        assert_eq!(markdown(&named), "\n\n\n3 more rows are not shown.\n\n");
        let few = result(2, 101, &json!(1));
        assert!(plain(&few).ends_with("\n1   1\n(1 more rows are not shown)\n"));
        assert!(markdown(&few).ends_with("| 1 | 1 |\n\n1 more rows are not shown.\n\n"));
    }
}
