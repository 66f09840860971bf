//! What is printed while a run goes on and at its end.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _, stderr, stdout};
use std::time::{Duration, Instant};

/// How often a line of progress is renewed on a terminal.
const RENEW_EVERY: Duration = Duration::from_millis(250);

/// How often one is written where lines stay, as in a log.
const WRITE_EVERY: Duration = Duration::from_secs(20);

/// Prints a line.
pub(crate) fn say(text: &str) {
    // Nobody reads what cannot be written.
    let _ = writeln!(stdout(), "{text}");
}

/// Prints why it ends without success.
pub(crate) fn complain(error: &anyhow::Error) {
    let _ = writeln!(stderr(), "✗ {error:#}");
}

/// Says how far something is, in one line that renews itself on a terminal, and seldom elsewhere.
#[derive(Debug)]
pub(crate) struct Progress {
    every: Option<Duration>,
    renew: bool,
    last: Option<Instant>,
    width: usize,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let renew = stdout().is_terminal();
        let every = if renew { RENEW_EVERY } else { WRITE_EVERY };
        Self { every: Some(every), renew, last: Some(Instant::now()), width: 0 }
    }

    /// Prints the line if it is time for one; `text` is made only then.
    pub(crate) fn show(&mut self, text: impl FnOnce() -> String) {
        let (Some(every), Some(last)) = (self.every, self.last) else { return };
        if last.elapsed() < every {
            return;
        }
        self.last = Some(Instant::now());
        let text = text();
        if self.renew {
            let gap = self.width.saturating_sub(text.chars().count());
            self.width = text.chars().count();
            let _ = write!(stdout(), "\r· {text}{:gap$}", "");
            let _ = stdout().flush();
        } else {
            say(&format!("· {text}"));
        }
    }

    /// Ends it with a line that stays.
    pub(crate) fn done(self, text: &str) {
        if self.renew && self.width > 0 {
            let _ = write!(stdout(), "\r{:width$}\r", "", width = self.width + 2);
        }
        say(&format!("✓ {text}"));
    }
}

/// A table: the first row is its head, the first column stands left and the others right. Markdown, so that it can be
/// pasted into a document.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default().max(3)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (at, width) in widths.iter().enumerate() {
            let cell = row.get(at).map_or("", String::as_str);
            let gap = width - cell.chars().count();
            if at == 0 {
                let _ = write!(text, "| {cell}{:gap$} |", "");
            } else {
                let _ = write!(text, " {:gap$}{cell} |", "");
            }
        }
        text.push('\n');
        if number == 0 {
            for (at, width) in widths.iter().enumerate() {
                let line = "-".repeat(width - 1);
                if at == 0 {
                    let _ = write!(text, "| {line}- |");
                } else {
                    let _ = write!(text, " {line}: |");
                }
            }
            text.push('\n');
        }
    }
    text
}

/// The value below which this part of the sorted values lies; `None` if there are none.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in a list, from a part of its length"
)]
pub(crate) fn quantile(sorted: &[f64], part: f64) -> Option<f64> {
    let place = (sorted.len() as f64 * part) as usize;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up_whatever_the_letters() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let text = table(&[row(["kind", "n"]), row(["größer", "1,000"]), row(["a", ""])]);
        assert_eq!(
            text,
            "| kind   |     n |\n| ------ | ----: |\n| größer | 1,000 |\n| a      |       |\n"
        );
    }

    #[test]
    fn quantiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(quantile(&values, 0.5), Some(51.0));
        assert_eq!(quantile(&values, 1.0), Some(100.0));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
