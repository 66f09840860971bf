//! Measured figures, and how they are shown.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::terminal::{quantile, table};

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

impl Aim {
    fn is_met(self, number: f64) -> bool {
        match self {
            Self::AtLeast(least) => number >= least,
            Self::AtMost(most) => number <= most,
        }
    }
}

/// In what a figure is compared with its aim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Ours as a part of the peer's.
    Percent,
    /// How many times as fast as the peer.
    Times,
    Milliseconds,
    Mebibytes,
}

impl Unit {
    fn write(self, number: f64) -> String {
        match self {
            Self::Percent => format!("{:.0} %", number * 100.0),
            Self::Times => format!("{number:.2} ×"),
            Self::Milliseconds => format!("{number:.2} ms"),
            Self::Mebibytes => format!("{number:.1} MiB"),
        }
    }
}

/// One line of the report.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    /// What was measured.
    pub(super) what: String,
    /// Ours in words.
    pub(super) ours: String,
    /// The peer's in words; empty without one.
    pub(super) peer: String,
    /// What the aim is about.
    pub(super) number: f64,
    pub(super) unit: Unit,
    pub(super) aim: Option<Aim>,
    /// Everything behind it.
    pub(super) details: Json,
}

impl Figure {
    /// Whether it is as good as it should be; `None` without an aim.
    pub(super) fn is_met(&self) -> Option<bool> {
        self.aim.map(|aim| aim.is_met(self.number))
    }

    pub(super) fn json(&self) -> Json {
        let (least, most) = match self.aim {
            Some(Aim::AtLeast(least)) => (Some(least), None),
            Some(Aim::AtMost(most)) => (None, Some(most)),
            None => (None, None),
        };
        json!({
            "what": self.what,
            "number": self.number,
            "unit": format!("{:?}", self.unit).to_lowercase(),
            "at_least": least,
            "at_most": most,
            "met": self.is_met(),
            "details": self.details,
        })
    }
}

/// All figures as a table.
pub(super) fn show(figures: &[Figure]) -> String {
    let head = ["", "Plinth", "beside it", "figure", "aim", ""];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for figure in figures {
        let aim = match figure.aim {
            Some(Aim::AtLeast(least)) => format!("≥ {}", figure.unit.write(least)),
            Some(Aim::AtMost(most)) => format!("≤ {}", figure.unit.write(most)),
            None => String::new(),
        };
        let mark = match figure.is_met() {
            Some(true) => "✓",
            Some(false) => "✗",
            None => "",
        };
        let number = figure.unit.write(figure.number);
        let cells = [&figure.what, &figure.ours, &figure.peer, &number, &aim, mark];
        rows.push(cells.map(str::to_owned).to_vec());
    }
    table(&rows)
}

/// The value in the middle; 0 if there are none.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    quantile(&values, 0.5).unwrap_or_default()
}

/// The median of what `b` is of `a`, pair by pair: what disturbs a round disturbs both.
pub(super) fn median_ratio(a: &[f64], b: &[f64]) -> f64 {
    median(a.iter().zip(b).filter(|(_, b)| **b > 0.0).map(|(a, b)| a / b))
}

/// A time in a fitting unit.
pub(super) fn time(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.1} ms", seconds * 1000.0) } else { format!("{seconds:.2} s") }
}

/// Seconds of each.
pub(super) fn seconds(times: &[Duration]) -> Vec<f64> {
    times.iter().map(Duration::as_secs_f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_says_whether_it_is_as_it_should_be() {
        let figure = |number, aim| Figure {
            what: "speed".to_owned(),
            ours: "1 s".to_owned(),
            peer: "2 s".to_owned(),
            number,
            unit: Unit::Times,
            aim,
            details: Json::Null,
        };
        assert_eq!(figure(5.0, Some(Aim::AtLeast(5.0))).is_met(), Some(true));
        assert_eq!(figure(4.9, Some(Aim::AtLeast(5.0))).is_met(), Some(false));
        assert_eq!(figure(4.9, Some(Aim::AtMost(4.8))).is_met(), Some(false));
        assert_eq!(figure(4.9, None).is_met(), None);
        let text = show(&[figure(4.9, Some(Aim::AtLeast(5.0)))]);
        assert!(
            text.contains("4.90 ×") && text.contains("≥ 5.00 ×") && text.contains('✗'),
            "{text}"
        );
    }

    #[test]
    fn ratios_are_taken_pair_by_pair() {
        assert!((median_ratio(&[1.0, 30.0, 2.0], &[2.0, 60.0, 1.0]) - 0.5).abs() < 1e-9);
        assert!(median_ratio(&[], &[]).abs() < 1e-9);
    }
}
