//! Questions whose SQL somebody has checked: given again to whoever asks the same, also with other values, another time or
//! another number.

use std::collections::HashSet;
use std::ops::Range;

use crate::{
    index::SchemaIndex,
    lexicon::LEXICON,
    link::{self, Meaning, ValueLink},
    logical::Moment,
    render,
    time::{self, Bound, Span},
    token,
};

/// A question and its checked SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Its id, as it is told.
    pub id: String,
    /// The question.
    pub question: String,
    /// One SELECT.
    pub sql: String,
}

/// The answer to a question that was checked before.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapted {
    /// The example's id.
    pub id: String,
    /// The example's question.
    pub question: String,
    /// Its SQL, with the question's own values, time and numbers.
    pub sql: String,
    /// What was put in the place of what, one sentence each; empty if it is the same question.
    pub changed: Vec<String>,
    /// How likely it is right, from 0 to 1.
    pub confidence: f64,
}

/// The same question: as sure as who checked it.
const SAME: f64 = 0.98;

/// With other values in the same places.
const ADAPTED: f64 = 0.9;

/// Examples, taken apart over one schema.
#[derive(Debug, Default)]
pub struct Examples {
    all: Vec<Prepared>,
}

#[derive(Debug)]
struct Prepared {
    example: Example,
    signs: Vec<Sign>,
    /// Where in the SQL each slot's text stands; `None` for a slot that cannot be filled otherwise.
    places: Vec<Option<Places>>,
    words: HashSet<String>,
}

/// A piece of a question.
#[derive(Clone, Debug, PartialEq)]
enum Sign {
    Word(String),
    Value(String, Vec<ValueLink>),
    Number(f64),
    Time(Span),
}

/// Where a slot's text stands in an SQL.
#[derive(Clone, Debug, PartialEq)]
enum Places {
    /// The inside of string literals, each with whether wildcards stand around the value.
    Value {
        column: (usize, usize),
        at: Vec<Range<usize>>,
    },
    Number(Range<usize>),
    Time {
        from: Vec<Range<usize>>,
        until: Vec<Range<usize>>,
        zoned: bool,
    },
}

/// Words that say nothing in front of a question.
const IDLE: [&str; 18] = [
    "the", "a", "an", "please", "show", "me", "give", "us", "can", "could", "you", "tell", "i",
    "want", "see", "display", "get", "to",
];

impl Examples {
    /// Takes examples apart over a schema.
    pub fn new(examples: &[Example], index: &SchemaIndex, today: jiff::civil::Date) -> Self {
        let prepare = |it: &Example| {
            let signs = signs(index, &it.question, today);
            let places = places(index, &signs, &it.sql);
            let words = words(&it.question);
            Prepared { example: it.clone(), signs, places, words }
        };
        Self { all: examples.iter().map(prepare).collect() }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The answer to that question, if it was checked, perhaps with other values.
    pub fn answer(
        &self,
        index: &SchemaIndex,
        question: &str,
        today: jiff::civil::Date,
    ) -> Option<Adapted> {
        if self.all.is_empty() {
            return None;
        }
        let asked = signs(index, question, today);
        let mut adapted = None;
        for it in &self.all {
            match it.adapt(index, &asked) {
                Some(same) if same.changed.is_empty() => return Some(same),
                Some(other) => adapted = adapted.or(Some(other)),
                None => {}
            }
        }
        adapted
    }

    /// The examples that have most words in common with a question, the most alike first.
    pub fn like(&self, question: &str, most: usize) -> Vec<&Example> {
        let asked = words(question);
        let mut scored: Vec<(usize, usize, &Example)> = self
            .all
            .iter()
            .map(|it| {
                let common = it.words.intersection(&asked).count();
                (common, it.words.len(), &it.example)
            })
            .filter(|it| it.0 > 0)
            .collect();
        // more in common, and less beside it
        scored.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        scored.into_iter().take(most).map(|it| it.2).collect()
    }
}

fn words(question: &str) -> HashSet<String> {
    token::tokenize(question)
        .into_iter()
        .filter(|it| it.kind == token::TokenKind::Word && !LEXICON.is_stop(&it.lower))
        .map(|it| it.stem)
        .collect()
}

fn signs(index: &SchemaIndex, question: &str, today: jiff::civil::Date) -> Vec<Sign> {
    let tokens = token::tokenize(question);
    let times = time::find(&tokens, today);
    let mut all = Vec::new();
    for item in link::link(index, &tokens, &times) {
        match item.meaning {
            Meaning::Mark(_) => {}
            Meaning::Time(Span::Year(year, Bound::In)) => all.push(Sign::Number(f64::from(year))),
            Meaning::Time(span) => all.push(Sign::Time(span)),
            Meaning::Value(links) if !links.is_empty() => {
                all.push(Sign::Value(item.text.clone(), links));
            }
            Meaning::Number(value, _) => all.push(Sign::Number(value)),
            Meaning::Value(_) | Meaning::Name(_) | Meaning::Word => {
                let said = tokens[item.first..item.end]
                    .iter()
                    .filter(|it| !IDLE.contains(&it.lower.as_str()));
                all.extend(said.map(|it| Sign::Word(it.lemma.clone())));
            }
        }
    }
    all
}

/// A literal of an SQL text.
struct Constant<'a> {
    /// Its inside.
    at: Range<usize>,
    text: &'a str,
    is_text: bool,
}

/// The literals of an SQL text; none where comments or other ways of quoting make them hard to tell.
fn constants(sql: &str) -> Vec<Constant<'_>> {
    if ["--", "/*", "$$", "U&", "u&"].iter().any(|it| sql.contains(it)) {
        return Vec::new();
    }
    let bytes = sql.as_bytes();
    let mut all = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'\'' | b'"') => {
                let start = at + 1;
                at = start;
                while at < bytes.len() {
                    if bytes[at] == quote {
                        if bytes.get(at + 1) != Some(&quote) {
                            break;
                        }
                        at += 1;
                    }
                    at += 1;
                }
                if quote == b'\'' && at < bytes.len() {
                    all.push(Constant { at: start..at, text: &sql[start..at], is_text: true });
                }
                at += 1;
            }
            it if it.is_ascii_digit() => {
                let start = at;
                while bytes
                    .get(at)
                    .is_some_and(|it| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'_'))
                {
                    at += 1;
                }
                all.push(Constant { at: start..at, text: &sql[start..at], is_text: false });
            }
            it if it.is_ascii_alphabetic() || it == b'_' || it >= 0x80 => {
                while bytes.get(at).is_some_and(|it| {
                    it.is_ascii_alphanumeric() || *it == b'_' || *it == b'$' || *it >= 0x80
                }) {
                    at += 1;
                }
                // `E'…'` and its like are read by rules of their own
                if bytes.get(at) == Some(&b'\'') {
                    return Vec::new();
                }
            }
            _ => at += 1,
        }
    }
    all
}

fn quoted(value: &str) -> String {
    value.replace('\'', "''")
}

fn places(index: &SchemaIndex, signs: &[Sign], sql: &str) -> Vec<Option<Places>> {
    let constants = constants(sql);
    // a text that two slots share cannot be told apart
    let twice = |sign: &Sign| signs.iter().filter(|it| same_slot(it, sign)).count() > 1;
    signs
        .iter()
        .map(|sign| match sign {
            Sign::Word(_) => None,
            _ if twice(sign) => None,
            Sign::Value(_, links) => links.iter().find_map(|link| {
                let value = quoted(&link.value);
                let at: Vec<Range<usize>> = constants
                    .iter()
                    .filter(|it| it.is_text && it.text == value)
                    .map(|it| it.at.clone())
                    .collect();
                let column = (link.table, link.column);
                (!at.is_empty()).then_some(Places::Value { column, at })
            }),
            Sign::Number(value) => {
                let mut same = constants.iter().filter(|it| {
                    !it.is_text && it.text.parse::<f64>().is_ok_and(|it| same(it, *value))
                });
                match (same.next(), same.next()) {
                    (Some(one), None) => Some(Places::Number(one.at.clone())),
                    _ => None,
                }
            }
            Sign::Time(Span::Range(from, until)) => [true, false]
                .into_iter()
                .find_map(|zoned| time_places(index, from.as_ref(), until.as_ref(), zoned, sql)),
            Sign::Time(_) => None,
        })
        .collect()
}

/// The likeliest place and text of a value.
fn meant(links: &[ValueLink]) -> Option<(usize, usize, &str)> {
    links.first().map(|it| (it.table, it.column, it.value.as_str()))
}

/// Whether two texts wrote the same number.
fn same(a: f64, b: f64) -> bool {
    a.total_cmp(&b).is_eq()
}

fn same_slot(a: &Sign, b: &Sign) -> bool {
    match (a, b) {
        (Sign::Value(_, a), Sign::Value(_, b)) => {
            a.iter().any(|it| b.iter().any(|other| it.value == other.value))
        }
        (Sign::Number(a), Sign::Number(b)) => same(*a, *b),
        (Sign::Time(_), Sign::Time(_)) => true,
        _ => false,
    }
}

/// Where a span's two ends stand in an SQL, as the engine writes them.
fn time_places(
    index: &SchemaIndex,
    from: Option<&Moment>,
    until: Option<&Moment>,
    zoned: bool,
    sql: &str,
) -> Option<Places> {
    let text = |it: Option<&Moment>| it.map(|it| render::moment(index, it, zoned));
    let (from, until) = (text(from), text(until));
    // the longer one first: the shorter may stand inside it
    let longer_first = from.as_ref().map(String::len) >= until.as_ref().map(String::len);
    let mut taken: Vec<Range<usize>> = Vec::new();
    let mut find = |text: Option<&String>| -> Option<Vec<Range<usize>>> {
        let Some(text) = text else { return Some(Vec::new()) };
        let found: Vec<Range<usize>> = sql
            .match_indices(text.as_str())
            .map(|(at, it)| at..at + it.len())
            .filter(|it| taken.iter().all(|other| it.end <= other.start || other.end <= it.start))
            .collect();
        taken.extend(found.iter().cloned());
        (!found.is_empty()).then_some(found)
    };
    let (from, until) = if longer_first {
        let from = find(from.as_ref())?;
        (from, find(until.as_ref())?)
    } else {
        let until = find(until.as_ref())?;
        (find(from.as_ref())?, until)
    };
    Some(Places::Time { from, until, zoned })
}

impl Prepared {
    /// The example's SQL for another question of the same form.
    fn adapt(&self, index: &SchemaIndex, asked: &[Sign]) -> Option<Adapted> {
        if asked.len() != self.signs.len() {
            return None;
        }
        let mut changes: Vec<(Range<usize>, String)> = Vec::new();
        let mut changed = Vec::new();
        for ((own, other), places) in self.signs.iter().zip(asked).zip(&self.places) {
            match (own, other) {
                (Sign::Word(a), Sign::Word(b)) if a == b => {}
                (Sign::Number(a), Sign::Number(b)) if same(*a, *b) => {}
                (Sign::Time(a), Sign::Time(b)) if a == b => {}
                (Sign::Value(_, a), Sign::Value(_, b)) if meant(a) == meant(b) => {}
                (Sign::Number(a), Sign::Number(b)) => {
                    let Some(Places::Number(at)) = places else { return None };
                    changes.push((at.clone(), render::number(*b)));
                    changed.push(format!(
                        "{} stands for {}",
                        render::number(*b),
                        render::number(*a)
                    ));
                }
                (Sign::Value(before, _), Sign::Value(text, links)) => {
                    let Some(Places::Value { column, at }) = places else { return None };
                    let link = links.iter().find(|it| (it.table, it.column) == *column)?;
                    let value = quoted(&link.value);
                    if value.contains('\\') {
                        return None;
                    }
                    changes.extend(at.iter().map(|it| (it.clone(), value.clone())));
                    changed.push(format!("“{text}” stands for “{before}”"));
                }
                (Sign::Time(_), Sign::Time(Span::Range(start, end))) => {
                    let Some(Places::Time { from, until, zoned }) = places else { return None };
                    if from.is_empty() == start.is_some() || until.is_empty() == end.is_some() {
                        return None;
                    }
                    for (at, moment) in [(from, start), (until, end)] {
                        let Some(moment) = moment else { continue };
                        let text = render::moment(index, moment, *zoned);
                        changes.extend(at.iter().map(|it| (it.clone(), text.clone())));
                    }
                    changed.push("the time is that of this question".to_owned());
                }
                _ => return None,
            }
        }
        changes.sort_by_key(|it| std::cmp::Reverse(it.0.start));
        let mut sql = self.example.sql.clone();
        for (at, text) in changes {
            sql.replace_range(at, &text);
        }
        let Example { id, question, .. } = self.example.clone();
        let confidence = if changed.is_empty() { SAME } else { ADAPTED };
        Some(Adapted { id, question, sql, changed, confidence })
    }
}
