//! What is drawn, made from rows: names or places along an axis, and a value for each series. The specification and the
//! picture are both made from it.

use std::collections::HashMap;

use crate::data::{ColumnKind, Data};
use crate::fields::Fields;
use crate::format::Precision;
use crate::{Kind, Options, Others};

/// Names that bars have room for, and slices that a pie has.
const MOST_BARS: usize = 24;
const MOST_SLICES: usize = 9;
/// Series whose colours can be told apart.
const MOST_SERIES: usize = 9;
/// So many times as large as all else, what stands for the rest makes the picture its own.
const DWARFS: f64 = 2.0;

/// What the horizontal axis is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Along {
    /// Names, in the order in which they come.
    Names,
    /// Moments.
    Time(Precision),
    /// Numbers.
    Numbers,
}

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// For each place a value, or none.
    pub(crate) values: Vec<Option<f64>>,
    /// Whether it stands for what there was no room for.
    pub(crate) is_others: bool,
}

/// What bars, lines, areas and pies are drawn from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shaped {
    pub(crate) along: Along,
    /// What each place is called.
    pub(crate) labels: Vec<String>,
    /// Where it is, for moments and numbers; the same number of them as labels.
    pub(crate) places: Vec<f64>,
    /// What the places' values are in the result: for the specification.
    pub(crate) raw: Vec<serde_json::Value>,
    pub(crate) series: Vec<Series>,
    pub(crate) x_title: String,
    pub(crate) y_title: String,
    pub(crate) series_title: String,
    /// Names that are left out, and what they come to together.
    pub(crate) hidden: usize,
    pub(crate) hidden_sum: Option<f64>,
    /// Series that are left out.
    pub(crate) hidden_series: usize,
    /// Rows without a place: null where a moment or a number has to be.
    pub(crate) skipped: usize,
}

impl Shaped {
    pub(crate) fn of(kind: Kind, options: &Options, fields: &Fields, data: &Data) -> Self {
        let mut shaped = gather(fields, data);
        if shaped.along == Along::Names {
            shaped.places = steps(shaped.labels.len());
        } else {
            shaped.sort();
        }
        let most = options.most_series.map_or(MOST_SERIES, usize::from);
        let stands_alone = !options.stacked && kind != Kind::Pie;
        shaped.fold_series(most, options.others, stands_alone);
        let has_names = kind == Kind::Pie || (kind == Kind::Bar && shaped.along == Along::Names);
        if has_names {
            let room = if kind == Kind::Pie { MOST_SLICES } else { MOST_BARS };
            let most = options.most.map_or(room, usize::from);
            shaped.fold_names(most, options.others, kind == Kind::Bar);
        }
        shaped
    }

    /// By place: a line that goes back and forth says nothing.
    fn sort(&mut self) {
        let mut order: Vec<usize> = (0..self.places.len()).collect();
        // Of two hours with the same name the one before clocks went back is first.
        let ahead = |it: usize| self.raw[it].as_str().map_or(0.0, crate::data::offset);
        order.sort_by(|a, b| {
            let by_place = self.places[*a].total_cmp(&self.places[*b]);
            by_place.then_with(|| ahead(*b).total_cmp(&ahead(*a)))
        });
        self.places = order.iter().map(|it| self.places[*it]).collect();
        self.labels = order.iter().map(|it| self.labels[*it].clone()).collect();
        self.raw = order.iter().map(|it| self.raw[*it].clone()).collect();
        for series in &mut self.series {
            series.values = order.iter().map(|it| series.values[*it]).collect();
        }
    }

    /// Where the rest would stand alone and dwarf all that is shown, it is left out and told of.
    fn fold_series(&mut self, most: usize, mut others: Others, stands_alone: bool) {
        if self.series.len() <= most {
            return;
        }
        let weight = |it: &Series| it.values.iter().flatten().map(|value| value.abs()).sum::<f64>();
        let keep = largest(self.series.iter().map(weight), room(most, others));
        let mut rest = vec![None; self.labels.len()];
        let mut kept = Vec::new();
        let mut folded = 0;
        for (at, series) in std::mem::take(&mut self.series).into_iter().enumerate() {
            if keep.contains(&at) {
                kept.push(series);
                continue;
            }
            folded += 1;
            for (sum, value) in rest.iter_mut().zip(series.values) {
                if let Some(value) = value {
                    *sum = Some(sum.unwrap_or(0.0) + value);
                }
            }
        }
        let largest_of =
            |it: &[Option<f64>]| it.iter().flatten().fold(0.0, |a: f64, b| a.max(b.abs()));
        let tallest = kept.iter().map(|it| largest_of(&it.values)).fold(0.0, f64::max);
        if stands_alone && largest_of(&rest) > DWARFS * tallest {
            others = Others::Hide;
        }
        match others {
            Others::Sum => kept.push(Series {
                name: format!("Others ({folded})"),
                values: rest,
                is_others: true,
            }),
            Others::Hide => self.hidden_series = folded,
        }
        self.series = kept;
    }

    fn fold_names(&mut self, most: usize, mut others: Others, stands_alone: bool) {
        if self.labels.len() <= most {
            return;
        }
        let weight = |at: usize| {
            self.series.iter().filter_map(|it| it.values[at]).map(f64::abs).sum::<f64>()
        };
        let mut keep = largest((0..self.labels.len()).map(weight), room(most, others));
        keep.sort_unstable();
        let folded = self.labels.len() - keep.len();
        let pick = |at: &usize| self.labels[*at].clone();
        let mut labels: Vec<_> = keep.iter().map(pick).collect();
        let mut raw: Vec<_> = keep.iter().map(|it| self.raw[*it].clone()).collect();
        let (mut rests, mut tallest) = (Vec::new(), 0.0_f64);
        for series in &mut self.series {
            let values: Vec<_> = keep.iter().map(|it| series.values[*it]).collect();
            let rest = series.values.iter().enumerate().filter(|it| !keep.contains(&it.0));
            let rest: Vec<f64> = rest.filter_map(|it| *it.1).collect();
            rests.push((!rest.is_empty()).then(|| rest.iter().sum::<f64>()));
            tallest = values.iter().flatten().fold(tallest, |a, b| a.max(b.abs()));
            series.values = values;
        }
        if stands_alone && rests.iter().flatten().any(|it| it.abs() > DWARFS * tallest) {
            others = Others::Hide;
            self.hidden_sum = if let [Some(rest)] = rests[..] { Some(rest) } else { None };
        }
        match others {
            Others::Sum => {
                let name = format!("Others ({folded})");
                raw.push(name.clone().into());
                labels.push(name);
                for (series, rest) in self.series.iter_mut().zip(rests) {
                    series.values.push(rest);
                }
            }
            Others::Hide => self.hidden = folded,
        }
        (self.places, self.labels, self.raw) = (steps(labels.len()), labels, raw);
    }

    /// Whether the last name stands for others.
    pub(crate) fn is_others(&self, at: usize) -> bool {
        self.labels[at].starts_with("Others (") && self.raw[at] == self.labels[at].as_str()
    }

    pub(crate) fn has_values(&self) -> bool {
        self.series.iter().any(|it| it.values.iter().any(Option::is_some))
    }
}

/// Places of names: one after the other.
#[expect(clippy::cast_precision_loss, reason = "at most a few thousand")]
fn steps(count: usize) -> Vec<f64> {
    (0..count).map(|it| it as f64).collect()
}

fn room(most: usize, others: Others) -> usize {
    // Others need a place themselves.
    if others == Others::Sum { most - 1 } else { most }
}

fn largest(weights: impl Iterator<Item = f64>, most: usize) -> Vec<usize> {
    let mut all: Vec<(usize, f64)> = weights.enumerate().collect();
    // Stable: of equals the first stays.
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all.into_iter().take(most).map(|it| it.0).collect()
}

/// Where a row belongs, as what it is told apart.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Name(String),
    Place(u64),
    /// The clock on the wall, and how far it is ahead.
    Moment(u64, u64),
}

fn gather(fields: &Fields, data: &Data) -> Shaped {
    let along = match fields.x.map(|it| data.columns[it].kind) {
        None | Some(ColumnKind::Text) => Along::Names,
        Some(ColumnKind::Date | ColumnKind::Timestamp) => Along::Time(precision(fields, data)),
        Some(ColumnKind::Number) => Along::Numbers,
    };
    let name = |it: usize| data.columns[it].name.clone();
    let mut shaped = Shaped {
        along,
        labels: Vec::new(),
        places: Vec::new(),
        raw: Vec::new(),
        series: Vec::new(),
        x_title: fields.x.map(name).unwrap_or_default(),
        y_title: match fields.y[..] {
            [one] => name(one),
            _ => String::new(),
        },
        series_title: fields.series.map(name).unwrap_or_default(),
        hidden: 0,
        hidden_sum: None,
        hidden_series: 0,
        skipped: 0,
    };
    let mut places: HashMap<Key, usize> = HashMap::new();
    let mut names: HashMap<String, usize> = HashMap::new();
    if fields.series.is_none() {
        for it in &fields.y {
            let values = Vec::new();
            shaped.series.push(Series { name: name(*it), values, is_others: false });
        }
    }
    for row in 0..data.len() {
        let Some((key, label, place)) = place(along, fields, data, row) else {
            shaped.skipped += 1;
            continue;
        };
        let at = *places.entry(key).or_insert_with(|| {
            shaped.labels.push(label);
            shaped.places.push(place);
            shaped.raw.push(match fields.x {
                Some(x) => data.value(row, x).clone(),
                None => (row + 1).into(),
            });
            shaped.labels.len() - 1
        });
        for (number, y) in fields.y.iter().enumerate() {
            let series = match fields.series {
                None => number,
                Some(by) => {
                    let name = data.label(row, by);
                    *names.entry(name.clone()).or_insert_with(|| {
                        shaped.series.push(Series { name, values: Vec::new(), is_others: false });
                        shaped.series.len() - 1
                    })
                }
            };
            let values = &mut shaped.series[series].values;
            if values.len() <= at {
                values.resize(at + 1, None);
            }
            // Of several rows at one place the picture shows the sum: no row is left out.
            if let Some(value) = data.number(row, *y) {
                values[at] = Some(values[at].unwrap_or(0.0) + value);
            }
        }
    }
    for series in &mut shaped.series {
        series.values.resize(shaped.labels.len(), None);
    }
    shaped
}

/// What a row's place is told apart by, what it is called, and where it is: names get their places when all are known.
fn place(along: Along, fields: &Fields, data: &Data, row: usize) -> Option<(Key, String, f64)> {
    let Some(x) = fields.x else {
        let label = (row + 1).to_string();
        return Some((Key::Name(label.clone()), label, 0.0));
    };
    Some(match along {
        Along::Names => {
            let label = data.label(row, x);
            (Key::Name(label.clone()), label, 0.0)
        }
        Along::Time(precision) => {
            let at = data.moment(row, x)?;
            let label = crate::format::moment(crate::data::wall(at), precision);
            let ahead = data.value(row, x).as_str().map_or(0.0, crate::data::offset);
            (Key::Moment(at.to_bits(), ahead.to_bits()), label, at)
        }
        Along::Numbers => {
            let at = data.number(row, x)?;
            (Key::Place(at.to_bits()), crate::format::number(at), at)
        }
    })
}

/// `date_trunc` makes days, months and years of timestamps. One moment alone tells nothing of that.
fn precision(fields: &Fields, data: &Data) -> Precision {
    let Some(x) = fields.x else { return Precision::Day };
    let moments = || (0..data.len()).filter_map(|row| data.moment(row, x)).map(crate::data::wall);
    if moments().any(|it| it.time() != jiff::civil::Time::midnight()) {
        return Precision::Minute;
    }
    let first = moments().next();
    if moments().all(|it| Some(it) == first) || moments().any(|it| it.day() != 1) {
        return Precision::Day;
    }
    if moments().all(|it| it.month() == 1) { Precision::Year } else { Precision::Month }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::data::Column;

    fn data(columns: &[(&str, ColumnKind)], rows: Vec<Vec<Value>>) -> Data {
        let column = |it: &(&str, ColumnKind)| Column { name: it.0.to_owned(), kind: it.1 };
        Data { columns: columns.iter().map(column).collect(), rows, more: false }
    }

    fn shaped(kind: Kind, options: &Options, data: &Data) -> Shaped {
        let fields = Fields::of(kind, options, data).unwrap();
        Shaped::of(kind, options, &fields, data)
    }

    #[test]
    fn names_beyond_the_room_are_added_up_or_counted() {
        let columns = [("name", ColumnKind::Text), ("n", ColumnKind::Number)];
        let rows = (0..200).map(|it| vec![json!(format!("c{it}")), json!(it)]).collect();
        let data = data(&columns, rows);
        let pie = shaped(Kind::Pie, &Options::default(), &data);
        assert_eq!(pie.labels.len(), 9);
        assert_eq!(pie.labels[8], "Others (192)");
        assert!(pie.is_others(8) && !pie.is_others(7));
        let sum: f64 = pie.series[0].values.iter().flatten().sum();
        assert!((sum - 19_900.0).abs() < 1e-9);
        // A bar of all the rest would be ninety times the longest one.
        let bars = shaped(Kind::Bar, &Options::default(), &data);
        assert_eq!((bars.labels.len(), bars.hidden), (23, 177));
        assert_eq!(bars.hidden_sum, Some((0..177).sum::<i32>().into()));
        let most = Options { most: Some(150), ..Options::default() };
        let mut few = data.clone();
        few.rows.truncate(160);
        let bars = shaped(Kind::Bar, &most, &few);
        assert_eq!(bars.labels[149], "Others (11)");
        let hidden = Options { others: Others::Hide, most: Some(10), ..Options::default() };
        let folded = shaped(Kind::Bar, &hidden, &data);
        assert_eq!((folded.labels.len(), folded.hidden), (10, 190));
        assert_eq!(folded.labels[0], "c190", "what stays keeps its order");
    }

    #[test]
    fn series_are_aligned_and_gaps_stay_gaps() {
        let columns =
            [("day", ColumnKind::Date), ("who", ColumnKind::Text), ("n", ColumnKind::Number)];
        let rows = vec![
            vec![json!("2026-01-03"), json!("a"), json!(3)],
            vec![json!("2026-01-01"), json!("a"), json!(1)],
            vec![json!("2026-01-01"), json!("b"), json!(2)],
            vec![json!("2026-01-02"), json!("b"), json!(null)],
            vec![json!(null), json!("b"), json!(9)],
        ];
        let shaped = shaped(Kind::Line, &Options::default(), &data(&columns, rows));
        assert_eq!(shaped.labels, ["1 Jan 2026", "2 Jan 2026", "3 Jan 2026"]);
        assert_eq!(shaped.series[0].values, [Some(1.0), None, Some(3.0)]);
        assert_eq!(shaped.series[1].values, [Some(2.0), None, None]);
        assert_eq!(shaped.skipped, 1);
    }

    #[test]
    fn the_hour_that_comes_twice_is_two_hours() {
        let columns = [("at", ColumnKind::Timestamp), ("n", ColumnKind::Number)];
        let hours = ["03:00:00+01:00", "02:00:00+01:00", "02:00:00+02:00", "01:00:00+02:00"];
        let row = |it: (usize, &&str)| vec![json!(format!("2026-10-25T{}", it.1)), json!(it.0)];
        let rows: Vec<_> = hours.iter().enumerate().map(row).collect();
        for kind in [Kind::Line, Kind::Bar] {
            let shaped = shaped(kind, &Options::default(), &data(&columns, rows.clone()));
            assert_eq!(shaped.series[0].values, [Some(3.0), Some(2.0), Some(1.0), Some(0.0)]);
        }
    }

    #[test]
    fn many_series_become_nine() {
        let columns =
            [("x", ColumnKind::Number), ("who", ColumnKind::Text), ("n", ColumnKind::Number)];
        let rows = (0..40).map(|it| vec![json!(1), json!(format!("s{it}")), json!(it)]).collect();
        let options = Options { x: Some("x".to_owned()), stacked: true, ..Options::default() };
        let shaped = shaped(Kind::Area, &options, &data(&columns, rows));
        assert_eq!(shaped.series.len(), 9);
        assert_eq!(shaped.series[8].name, "Others (32)");
        assert!(shaped.series[8].is_others);
    }
}
