//! What schemathesis has found, out of all that it printed.

/// More than so many lines tell nothing new.
const MOST: usize = 60;

/// Nor do more than so many characters of one: a request may carry a body of a megabyte.
const LINE_CHARS: usize = 500;

/// Keeps the lines of schemathesis's parts on errors and failures.
#[derive(Debug, Default)]
pub(super) struct Findings {
    inside: bool,
    lines: Vec<String>,
    more: usize,
}

impl Findings {
    /// Looks at the next line of its output.
    pub(super) fn read(&mut self, line: &str) {
        if let Some(title) = title(line) {
            self.inside = matches!(title, "ERRORS" | "FAILURES");
        } else if self.inside && !line.trim().is_empty() {
            if self.lines.len() < MOST {
                self.lines.push(line.chars().take(LINE_CHARS).collect());
            } else {
                self.more += 1;
            }
        }
    }

    /// The kept lines, indented; how many there were more, if any.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            text.push_str("\n    ");
            text.push_str(line);
        }
        if self.more > 0 {
            text.push_str(&format!("\n    and {} more lines", self.more));
        }
        text
    }
}

/// What stands between the double lines that begin each part.
fn title(line: &str) -> Option<&str> {
    let title = line.strip_prefix("==")?.strip_suffix("==")?;
    Some(title.trim_matches('=').trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_found_is_kept() {
        let mut findings = Findings::default();
        for line in [
            " ✅  Examples (in 20.76s)",
            "=================================== FAILURES ===================================",
            "____ GET /v1/queries ____",
            "",
            "- status 500 with the code 'internal'",
            "=================================== SUMMARY ====================================",
            "API Operations:",
        ] {
            findings.read(line);
        }
        let text = "\n    ____ GET /v1/queries ____\n    - status 500 with the code 'internal'";
        assert_eq!(findings.text(), text);
    }

    #[test]
    fn a_flood_is_cut_and_says_so() {
        let mut findings = Findings::default();
        findings.read("===== ERRORS =====");
        for number in 0..MOST + 3 {
            findings.read(&format!("line {number}"));
        }
        assert_eq!(findings.text().lines().count(), MOST + 2);
        assert!(findings.text().ends_with("and 3 more lines"));

        let mut findings = Findings::default();
        findings.read("===== FAILURES =====");
        findings.read(&"x".repeat(1 << 20));
        assert!(findings.text().len() < 2 * LINE_CHARS);
    }
}
