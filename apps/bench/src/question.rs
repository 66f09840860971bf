//! Question sets: a file with one JSON object a line.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::Value as Json;

/// One question with what answers it.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) id: String,
    /// As it is asked.
    pub(crate) text: String,
    /// The database that it is asked of; `None` is the sample.
    pub(crate) database: Option<String>,
    pub(crate) expected: Expected,
    /// The question that was asked just before in the same conversation, by its id.
    pub(crate) follows: Option<String>,
    /// What it is counted under, beside the whole: such as (`kind`, `time`).
    pub(crate) groups: Vec<(&'static str, String)>,
}

/// The kind that follow-ups are counted under: what is hard in them is what they refer to, whatever they ask for.
pub(crate) const FOLLOW_UP: &str = "follow_up";

/// What a right answer is.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    /// No SQL: the data does not say it.
    Decline,
    Rows {
        /// Statements; the result of any one of them is right. Never empty.
        gold: Vec<String>,
        /// How the first of them is sorted, where that was worked out beforehand.
        keyed: Option<Keyed>,
        matching: Matching,
    },
}

/// What of the gold's result an answer must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matching {
    /// Its columns and rows, and its order if that was asked for.
    Exact { ordered: bool },
    /// As exact, but the answer may show further columns.
    MoreColumns { ordered: bool },
    /// Its values: further columns, duplicates and order do not matter.
    AsSet,
}

/// A statement that returns the gold's rows together with its sort keys.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Keyed {
    pub(crate) sql: String,
    /// How many columns at the end were added for the keys.
    #[serde(rename = "n_add")]
    pub(crate) added: usize,
    /// The keys' places: among the gold's columns, or `["a", n]` for the added one with number n.
    #[serde(rename = "idx")]
    pub(crate) places: Vec<Place>,
    pub(crate) limit: Option<usize>,
}

/// Where a sort key stands.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Place {
    Column(usize),
    Added(AddedMark, usize),
}

/// The word before the number of an added key.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) enum AddedMark {
    #[serde(rename = "a")]
    A,
}

/// Where a file comes from: the same words mean different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The project's own set over the sample.
    Own,
    /// A kit of public benchmarks.
    Kit,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::More(more) => more,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Match {
    Exact,
    Subset,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Expect {
    Decline,
    Answer,
}

#[derive(Deserialize)]
struct Record {
    id: String,
    question: String,
    follows: Option<String>,
    db: Option<String>,
    gold_sql: Option<OneOrMore>,
    /// Golds with another sensible choice of columns.
    also: Option<OneOrMore>,
    expect: Option<Expect>,
    #[serde(rename = "match")]
    matching: Option<Match>,
    #[serde(default)]
    ordered: bool,
    keyed: Option<Keyed>,
    kind: Option<String>,
    corpus: Option<String>,
    hardness: Option<String>,
    category: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    flags: Vec<String>,
}

impl Record {
    fn into_question(self, source: Source) -> Result<Question> {
        let mut gold = self.gold_sql.map(OneOrMore::into_vec).unwrap_or_default();
        gold.extend(self.also.map(OneOrMore::into_vec).unwrap_or_default());
        let declines = matches!(self.expect, Some(Expect::Decline));
        ensure!(
            declines || !gold.is_empty(),
            "{}: it has neither gold_sql nor `\"expect\": \"decline\"`",
            self.id
        );
        let subset = matches!(self.matching, Some(Match::Subset));
        let matching = match source {
            Source::Kit if subset => Matching::AsSet,
            Source::Kit => Matching::Exact { ordered: self.keyed.is_some() },
            Source::Own if subset => Matching::MoreColumns { ordered: self.ordered },
            Source::Own => Matching::Exact { ordered: self.ordered },
        };
        let expected = if declines {
            Expected::Decline
        } else {
            Expected::Rows { gold, keyed: self.keyed, matching }
        };
        // The kit says by its tags what is in the gold, one question under several.
        let kinds = match source {
            Source::Kit => kinds_of(&self.tags, declines),
            Source::Own => Vec::new(),
        };
        let single = [
            ("corpus", self.corpus),
            ("kind", if self.follows.is_some() { Some(FOLLOW_UP.to_owned()) } else { self.kind }),
            ("hardness", self.hardness),
            ("category", self.category),
            ("db", self.db.clone()),
        ];
        let mut groups: Vec<_> =
            single.into_iter().filter_map(|(by, name)| Some((by, name?))).collect();
        groups.extend(kinds.into_iter().map(|kind| ("kind", kind.to_owned())));
        groups.extend(self.tags.into_iter().map(|tag| ("tag", tag)));
        groups.extend(self.flags.into_iter().map(|flag| ("flag", flag)));
        Ok(Question {
            id: self.id,
            text: self.question,
            database: self.db,
            expected,
            follows: self.follows,
            groups,
        })
    }
}

/// What a kit's tags say in the words that our own sets use for kinds; what reads one table and nothing nested is none of them,
/// and has a kind of its own.
fn kinds_of(tags: &[String], declines: bool) -> Vec<&'static str> {
    if declines {
        return vec!["unanswerable"];
    }
    let has = |tag: &str| tags.iter().any(|it| it == tag);
    let all = [
        ("aggregate", "aggregate"),
        ("join", "join"),
        ("group_by", "group"),
        ("having", "having"),
        ("superlative", "superlative"),
        ("nested", "nesting"),
        ("set_op", "set"),
        ("negation", "negation"),
        ("date_fn", "time"),
        ("arithmetic", "ratio"),
        ("window", "window"),
        ("distinct", "distinct"),
    ];
    let mut kinds: Vec<_> = all.into_iter().filter(|it| has(it.0)).map(|it| it.1).collect();
    if !tags.is_empty() && !["join", "nested", "set_op"].into_iter().any(has) {
        kinds.push("one table");
    }
    kinds
}

/// Reads files as one set. The question is taken from `field`; records without it are left out, so that a field which only some have
/// can be asked for.
///
/// # Errors
/// If a file cannot be read, a line is no record, two have one id, a question follows one that does not stand before it, or
/// none is left.
pub(crate) fn read(paths: &[&Path], source: Source, field: &str) -> Result<Vec<Question>> {
    let mut questions = Vec::new();
    let mut ids = HashSet::new();
    for path in paths {
        let text =
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        parse(&text, source, field, &mut ids, &mut questions)
            .with_context(|| format!("in {}", path.display()))?;
    }
    ensure!(!questions.is_empty(), "there is no question with a field `{field}`");
    Ok(questions)
}

/// The questions in the order in which they are asked, those of one conversation together: each that follows none, with
/// those that follow it. Expects what [`read`] returns, or a part of it in which no question lacks the one it follows.
pub(crate) fn conversations(questions: Vec<Question>) -> Vec<Vec<Question>> {
    let mut all: Vec<Vec<Question>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for question in questions {
        let place = question.follows.as_ref().and_then(|it| places.get(it)).copied();
        let place = place.unwrap_or(all.len());
        places.insert(question.id.clone(), place);
        match all.get_mut(place) {
            Some(conversation) => conversation.push(question),
            None => all.push(vec![question]),
        }
    }
    all
}

fn parse(
    text: &str,
    source: Source,
    field: &str,
    ids: &mut HashSet<String>,
    questions: &mut Vec<Question>,
) -> Result<()> {
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with("//") {
            continue;
        }
        let where_ = || format!("line {}", at + 1);
        let mut record: Json = serde_json::from_str(line).with_context(where_)?;
        if field != "question" {
            let Some(question) = record.get(field).filter(|text| text.is_string()).cloned() else {
                continue;
            };
            record["question"] = question;
        }
        let record: Record = serde_json::from_value(record).with_context(where_)?;
        let question = record.into_question(source).with_context(where_)?;
        if let Some(before) = &question.follows {
            ensure!(ids.contains(before), "line {}: {before} does not stand before it", at + 1);
        }
        ensure!(ids.insert(question.id.clone()), "line {}: {} is there twice", at + 1, question.id);
        questions.push(question);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, source: Source, field: &str) -> Result<Vec<Question>> {
        let mut questions = Vec::new();
        super::parse(text, source, field, &mut HashSet::new(), &mut questions)?;
        Ok(questions)
    }

    fn one(line: &str, source: Source) -> Question {
        parse(line, source, "question").unwrap().remove(0)
    }

    fn matching(line: &str, source: Source) -> (Vec<String>, Matching) {
        match one(line, source).expected {
            Expected::Rows { gold, matching, .. } => (gold, matching),
            Expected::Decline => panic!("it declines"),
        }
    }

    #[test]
    fn a_question_has_one_gold_or_several() {
        let golds = |line| matching(line, Source::Own).0;
        assert_eq!(golds(r#"{"id":"a","question":"?","gold_sql":"SELECT 1"}"#), ["SELECT 1"]);
        let two = r#"{"id":"a","question":"?","gold_sql":["SELECT 1","SELECT 2"]}"#;
        assert_eq!(golds(two), ["SELECT 1", "SELECT 2"]);
        let beside = r#"{"id":"a","question":"?","gold_sql":"SELECT 1","also":["SELECT 2"]}"#;
        assert_eq!(golds(beside), ["SELECT 1", "SELECT 2"]);
    }

    #[test]
    fn a_question_that_cannot_be_answered_needs_no_gold() {
        let line = r#"{"id":"a","question":"?","gold_sql":null,"expect":"decline"}"#;
        assert!(matches!(one(line, Source::Own).expected, Expected::Decline));
        let neither = r#"{"id":"a","question":"?","gold_sql":null}"#;
        assert!(parse(neither, Source::Own, "question").is_err());
    }

    #[test]
    fn subset_is_stricter_in_our_own_set_than_in_the_kit() {
        let line =
            r#"{"id":"a","question":"?","gold_sql":"SELECT 1","match":"subset","ordered":true}"#;
        assert_eq!(matching(line, Source::Own).1, Matching::MoreColumns { ordered: true });
        assert_eq!(matching(line, Source::Kit).1, Matching::AsSet);
    }

    #[test]
    fn the_kit_says_by_its_keys_that_order_matters() {
        let line = r#"{"id":"a","question":"?","gold_sql":"SELECT n FROM t ORDER BY k","keyed":{"sql":"SELECT n, k FROM t ORDER BY k","n_add":1,"idx":[["a",0]],"limit":null}}"#;
        assert_eq!(matching(line, Source::Kit).1, Matching::Exact { ordered: true });
        let Expected::Rows { keyed: Some(keyed), .. } = one(line, Source::Kit).expected else {
            panic!("no keys")
        };
        assert!(matches!(keyed.places[..], [Place::Added(_, 0)]));
        assert_eq!(keyed.added, 1);
    }

    #[test]
    fn groups_are_what_the_record_says_of_itself() {
        let line = r#"{"id":"a","question":"?","gold_sql":"SELECT 1","kind":"time","tags":["join","like"],"new_field":[1]}"#;
        let groups = one(line, Source::Own).groups;
        let expected = [("kind", "time"), ("tag", "join"), ("tag", "like")];
        assert_eq!(groups, expected.map(|(by, name)| (by, name.to_owned())));
    }

    #[test]
    fn the_kit_says_by_its_tags_what_kind_a_question_is_of() {
        let kinds = |line: &str, source| {
            let groups = one(line, source).groups;
            let kinds = groups.into_iter().filter(|it| it.0 == "kind").map(|it| it.1);
            kinds.collect::<Vec<_>>()
        };
        let line =
            r#"{"id":"a","question":"?","gold_sql":"SELECT 1","tags":["join","group_by","like"]}"#;
        assert_eq!(kinds(line, Source::Kit), ["join", "group"]);
        assert!(kinds(line, Source::Own).is_empty(), "ours say it themselves");
        let line = r#"{"id":"a","question":"?","gold_sql":"SELECT 1","tags":["superlative"]}"#;
        assert_eq!(kinds(line, Source::Kit), ["superlative", "one table"]);
        let line = r#"{"id":"a","question":"?","gold_sql":"SELECT 1"}"#;
        assert!(kinds(line, Source::Kit).is_empty(), "nothing is said of it");
        let line = r#"{"id":"a","question":"?","expect":"decline","tags":["join"]}"#;
        assert_eq!(kinds(line, Source::Kit), ["unanswerable"]);
    }

    #[test]
    fn another_field_can_be_asked_and_records_without_it_are_left_out() {
        let two = "{\"id\":\"a\",\"question\":\"one\",\"syn\":\"two\",\"gold_sql\":\"SELECT 1\"}\n\n{\"id\":\"b\",\"question\":\"?\",\"gold_sql\":\"SELECT 1\"}\n";
        let questions = parse(two, Source::Kit, "syn").unwrap();
        assert_eq!(questions.len(), 1);
        assert_eq!(questions[0].text, "two");
        assert!(parse(two, Source::Kit, "other").unwrap().is_empty());
    }

    #[test]
    fn a_follow_up_is_a_kind_of_its_own_and_stands_in_the_conversation_it_goes_on_with() {
        let record = |id: &str, follows: &str| {
            let follows = if follows.is_empty() {
                String::new()
            } else {
                format!(r#","follows":"{follows}""#)
            };
            format!(
                r#"{{"id":"{id}","question":"?","gold_sql":"SELECT 1","kind":"time"{follows}}}"#
            )
        };
        let lines = [record("a", ""), record("b", "a"), record("c", ""), record("d", "b")];
        let questions = parse(&lines.join("\n"), Source::Own, "question").unwrap();
        assert_eq!(questions[0].groups, [("kind", "time".to_owned())]);
        assert_eq!(questions[1].groups, [("kind", FOLLOW_UP.to_owned())]);
        let ids: Vec<Vec<String>> = conversations(questions)
            .into_iter()
            .map(|it| it.into_iter().map(|it| it.id).collect())
            .collect();
        assert_eq!(ids, [vec!["a", "b", "d"], vec!["c"]]);
        let early = [record("b", "a"), record("a", "")].join("\n");
        assert!(parse(&early, Source::Own, "question").is_err());
    }

    #[test]
    fn a_broken_line_is_named_and_an_id_stands_for_one_question() {
        let broken = parse("\n{\"id\":", Source::Own, "question").unwrap_err();
        assert!(format!("{broken:#}").contains("line 2"), "{broken:#}");
        let line = r#"{"id":"a","question":"?","gold_sql":"SELECT 1"}"#;
        assert!(parse(&format!("{line}\n{line}"), Source::Own, "question").is_err());
    }
}
