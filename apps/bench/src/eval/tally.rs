//! Counting what became of the questions.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::question::Question;
use crate::terminal::{quantile, table};

/// The groups that are printed, in this order; others, such as each database, are in the report only.
const PRINTED: [&str; 5] = ["tag", "category", "kind", "hardness", "corpus"];

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answered rightly, or rightly not answered.
    Right,
    /// Answered with SQL whose result is wrong; what should have been declined counts here too.
    Wrong,
    /// Not answered: asked back, or said that it is no question about the data.
    AskedBack,
    /// Neither: the generated SQL did not run, or the server failed.
    Failed,
}

impl Outcome {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Wrong => "wrong",
            Self::AskedBack => "asked_back",
            Self::Failed => "failed",
        }
    }
}

/// How many of some questions went which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) asked: u32,
    pub(crate) right: u32,
    pub(crate) wrong: u32,
    pub(crate) asked_back: u32,
    pub(crate) failed: u32,
    /// Of the right ones those with SQL.
    pub(crate) right_with_sql: u32,
}

impl Tally {
    fn add(&mut self, outcome: Outcome, with_sql: bool) {
        self.asked += 1;
        match outcome {
            Outcome::Right => self.right += 1,
            Outcome::Wrong => self.wrong += 1,
            Outcome::AskedBack => self.asked_back += 1,
            Outcome::Failed => self.failed += 1,
        }
        if with_sql && outcome == Outcome::Right {
            self.right_with_sql += 1;
        }
    }

    /// Percent of the questions; 0 if there are none.
    pub(crate) fn percent(&self, of: u32) -> f64 {
        percent(of, self.asked)
    }

    /// How much of what was answered was right, in percent; `None` if nothing was answered.
    fn precision(&self) -> Option<f64> {
        let answered = self.right_with_sql + self.wrong;
        (answered > 0).then(|| percent(self.right_with_sql, answered))
    }

    fn row(&self, name: &str) -> Vec<String> {
        let parts = [
            self.percent(self.right),
            self.percent(self.wrong),
            self.percent(self.asked_back),
            self.percent(self.failed),
        ];
        let mut row = vec![name.to_owned(), self.asked.to_string()];
        row.extend(parts.map(|part| format!("{part:.1}")));
        row.push(self.precision().map_or_else(|| "–".to_owned(), |part| format!("{part:.1}")));
        row
    }

    fn json(&self) -> Json {
        json!({
            "asked": self.asked,
            "right": self.right,
            "wrong": self.wrong,
            "asked_back": self.asked_back,
            "failed": self.failed,
            "right_percent": round(self.percent(self.right)),
            "confidently_wrong_percent": round(self.percent(self.wrong)),
            "precision_percent": self.precision().map(round),
        })
    }
}

fn percent(part: u32, whole: u32) -> f64 {
    if whole == 0 { 0.0 } else { f64::from(part) * 100.0 / f64::from(whole) }
}

fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// All counts and times of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tallies {
    pub(crate) all: Tally,
    groups: BTreeMap<&'static str, BTreeMap<String, Tally>>,
    /// The engine's own time for each answer that says it, in milliseconds.
    engine_ms: Vec<f64>,
    /// From the request to the end of the response, in milliseconds.
    total_ms: Vec<f64>,
}

impl Tallies {
    pub(crate) fn add(&mut self, question: &Question, outcome: Outcome, with_sql: bool) {
        self.all.add(outcome, with_sql);
        for (by, name) in &question.groups {
            let group = self.groups.entry(by).or_default();
            group.entry(name.clone()).or_default().add(outcome, with_sql);
        }
    }

    pub(crate) fn add_times(&mut self, engine_ms: Option<f64>, total_ms: f64) {
        self.engine_ms.extend(engine_ms);
        self.total_ms.push(total_ms);
    }

    /// The tables, one for each way to group, the whole first.
    pub(crate) fn text(&self) -> String {
        let head = [
            "",
            "questions",
            "right %",
            "wrong %",
            "asked back %",
            "failed %",
            "right of answered %",
        ];
        let head = |by: &str| {
            let mut head = head.map(str::to_owned).to_vec();
            by.clone_into(&mut head[0]);
            head
        };
        let mut text = String::new();
        for by in PRINTED {
            let Some(group) = self.groups.get(by) else { continue };
            let rows = group.iter().map(|(name, tally)| tally.row(name));
            let rows: Vec<_> = std::iter::once(head(by)).chain(rows).collect();
            text.push_str(&table(&rows));
            text.push('\n');
        }
        text.push_str(&table(&[head(""), self.all.row("all")]));
        text.push('\n');
        let times = [("engine alone", &self.engine_ms), ("whole request", &self.total_ms)];
        let mut rows = vec![["ms", "n", "p50", "p95", "p99", "most"].map(str::to_owned).to_vec()];
        for (name, values) in times {
            if !values.is_empty() {
                let mut row = vec![name.to_owned(), values.len().to_string()];
                row.extend(spread(values).map(|ms| format!("{ms:.2}")));
                rows.push(row);
            }
        }
        text.push_str(&table(&rows));
        text
    }

    pub(crate) fn json(&self) -> Json {
        let groups: serde_json::Map<String, Json> = self
            .groups
            .iter()
            .map(|(by, group)| {
                let group = group.iter().map(|(name, tally)| (name.clone(), tally.json()));
                ((*by).to_owned(), group.collect::<serde_json::Map<_, _>>().into())
            })
            .collect();
        let times = |values: &[f64]| {
            let [p50, p95, p99, most] = spread(values);
            json!({ "n": values.len(), "p50": p50, "p95": p95, "p99": p99, "most": most })
        };
        json!({
            "all": self.all.json(),
            "by": groups,
            "engine_ms": times(&self.engine_ms),
            "request_ms": times(&self.total_ms),
        })
    }
}

fn spread(values: &[f64]) -> [f64; 4] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    [0.5, 0.95, 0.99, 1.0].map(|part| quantile(&sorted, part).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::Expected;

    fn question(kind: &str) -> Question {
        Question {
            id: String::new(),
            text: String::new(),
            database: None,
            expected: Expected::Decline,
            follows: None,
            groups: vec![("kind", kind.to_owned())],
        }
    }

    #[test]
    fn each_question_counts_once_in_the_whole_and_in_each_of_its_groups() {
        let mut tallies = Tallies::default();
        tallies.add(&question("time"), Outcome::Right, true);
        tallies.add(&question("time"), Outcome::Wrong, true);
        tallies.add(&question("join"), Outcome::Right, false);
        tallies.add(&question("join"), Outcome::AskedBack, false);
        let expected =
            Tally { asked: 4, right: 2, wrong: 1, asked_back: 1, failed: 0, right_with_sql: 1 };
        assert_eq!(tallies.all, expected);
        let json = tallies.json();
        assert_eq!(json["by"]["kind"]["time"]["right_percent"], 50.0);
        assert_eq!(json["all"]["confidently_wrong_percent"], 25.0);
        assert_eq!(json["all"]["precision_percent"], 50.0);
    }

    #[test]
    fn nothing_asked_is_nothing_right() {
        assert_eq!(Tallies::default().json()["all"]["right_percent"], 0.0);
    }
}
