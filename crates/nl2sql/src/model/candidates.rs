//! Which of several statements is the answer: what they find decides, not what they look like.

use std::collections::HashMap;

use plinth_sql_guard::Approved;

use super::{agreement::normalized, ports::Tried};

/// A statement of the model that can be run.
pub(crate) struct Candidate {
    pub(crate) approved: Approved,
    /// What a cheap run found, where there was one.
    pub(crate) tried: Option<Tried>,
    pub(crate) explanation: String,
    pub(crate) assumptions: Vec<String>,
}

/// What the embedded engine would answer: it has a voice, and no answer of its own here.
pub(crate) struct Voice<'a> {
    pub(crate) approved: &'a Approved,
    pub(crate) tried: Option<&'a Tried>,
    /// How sure it is, from 0 to 1.
    pub(crate) confidence: f64,
}

/// Candidates that mean the same.
#[derive(Debug)]
pub(crate) struct Group {
    /// Which ones, the earliest first; at least one.
    pub(crate) members: Vec<usize>,
    votes: f64,
}

impl Group {
    /// How many of so many candidates it holds, from 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    pub(crate) fn share(&self, of: usize) -> f64 {
        self.members.len() as f64 / of.max(1) as f64
    }
}

/// From which share on the model is of one mind.
pub(crate) const MAJORITY: f64 = 0.6;

/// How many groups the model is shown to choose from.
pub(crate) const SHOWN: usize = 3;

/// What a group's votes are worth that finds nothing, where another finds something: a wrong value or a wrong join finds
/// nothing more often than the world has nothing to find.
const NOTHING: f64 = 0.5;

/// The candidates in groups, the likeliest first; at least one group, as there is at least one candidate.
pub(crate) fn grouped(all: &[Candidate], voice: Option<&Voice<'_>>) -> Vec<Group> {
    let words: Vec<_> = all.iter().map(|it| normalized(&it.approved.sql)).collect();
    let mut groups: Vec<Group> = Vec::new();
    for (at, candidate) in all.iter().enumerate() {
        let same = groups.iter_mut().find(|group| {
            let first = group.members[0];
            words[first] == words[at] || both(all[first].tried.as_ref(), candidate.tried.as_ref())
        });
        match same {
            Some(group) => {
                group.members.push(at);
                group.votes += 1.0;
            }
            None => groups.push(Group { members: vec![at], votes: 1.0 }),
        }
    }
    if let Some(voice) = voice {
        let said = normalized(&voice.approved.sql);
        for group in &mut groups {
            let first = group.members[0];
            if words[first] == said || both(all[first].tried.as_ref(), voice.tried) {
                group.votes += voice.confidence;
            }
        }
    }
    let finds_nothing =
        |group: &Group| all[group.members[0]].tried.as_ref().is_some_and(is_nothing);
    if groups.iter().any(|it| !finds_nothing(it)) {
        for group in &mut groups {
            if finds_nothing(group) {
                group.votes *= NOTHING;
            }
        }
    }
    // Stable: of equals the earliest, which is the model's likeliest statement, comes first.
    groups.sort_by(|a, b| b.votes.total_cmp(&a.votes));
    groups
}

fn both(a: Option<&Tried>, b: Option<&Tried>) -> bool {
    a.zip(b).is_some_and(|(a, b)| are_same(a, b))
}

fn is_nothing(tried: &Tried) -> bool {
    tried.is_complete && tried.rows.iter().flatten().all(Option::is_none)
}

/// Whether two runs found the same rows, whatever the order of rows and of columns. Runs that were cut short, or found
/// nothing, are no evidence.
pub(crate) fn are_same(a: &Tried, b: &Tried) -> bool {
    let whole = a.is_complete && b.is_complete && !is_nothing(a) && !is_nothing(b);
    whole && a.rows.len() == b.rows.len() && counted(a) == counted(b)
}

/// How often each row comes, its values in an order that does not depend on the columns'.
fn counted(tried: &Tried) -> HashMap<Vec<Option<&str>>, usize> {
    let mut all = HashMap::new();
    for row in &tried.rows {
        let mut row: Vec<_> = row.iter().map(|it| it.as_deref().map(plain)).collect();
        row.sort_unstable();
        *all.entry(row).or_default() += 1;
    }
    all
}

/// A number without what does not change it; any other text as it is.
fn plain(text: &str) -> &str {
    let is_decimal = text.contains('.')
        && text.bytes().all(|it| it.is_ascii_digit() || matches!(it, b'.' | b'-'));
    if is_decimal { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(rows: &[&[&str]]) -> Tried {
        let row = |it: &&[&str]| it.iter().map(|it| Some((*it).to_owned())).collect();
        Tried { rows: rows.iter().map(row).collect(), is_complete: true }
    }

    fn candidate(sql: &str, tried: Option<Tried>) -> Candidate {
        let approved = Approved {
            sql: sql.to_owned(),
            relations: Vec::new(),
            named: Vec::new(),
            reads_catalog: false,
            bound: Vec::new(),
            restricted: Vec::new(),
            for_estimates: None,
        };
        Candidate { approved, tried, explanation: String::new(), assumptions: Vec::new() }
    }

    fn order(all: &[Candidate], voice: Option<&Voice<'_>>) -> Vec<Vec<usize>> {
        grouped(all, voice).into_iter().map(|it| it.members).collect()
    }

    #[test]
    fn rows_are_the_same_whatever_their_order() {
        assert!(are_same(
            &tried(&[&["a", "1.50"], &["b", "2"]]),
            &tried(&[&["2.0", "b"], &["1.5", "a"]])
        ));
        assert!(!are_same(&tried(&[&["a"], &["a"]]), &tried(&[&["a"], &["b"]])));
        assert!(!are_same(&tried(&[&["a"], &["a"]]), &tried(&[&["a"]])));
        assert!(!are_same(&tried(&[]), &tried(&[])), "nothing is no evidence");
        let cut = Tried { is_complete: false, ..tried(&[&["a"]]) };
        assert!(!are_same(&cut, &cut));
    }

    #[test]
    fn most_voices_win_and_the_first_of_equals() {
        let all = [
            candidate("SELECT 1", Some(tried(&[&["1"]]))),
            candidate("SELECT 2", Some(tried(&[&["2"]]))),
            candidate("SELECT 1 + 1", Some(tried(&[&["2.0"]]))),
        ];
        assert_eq!(order(&all, None), [vec![1, 2], vec![0]]);
        assert_eq!(order(&all[..2], None), [vec![0], vec![1]]);
        let voice = candidate("SELECT 3 - 1", Some(tried(&[&["2"]])));
        let voice =
            Voice { approved: &voice.approved, tried: voice.tried.as_ref(), confidence: 0.7 };
        assert_eq!(order(&all[..2], Some(&voice)), [vec![1], vec![0]]);
    }

    #[test]
    fn who_finds_nothing_weighs_less_than_who_finds_something() {
        let all = [
            candidate("SELECT a", Some(tried(&[]))),
            candidate("SELECT b", Some(tried(&[&["7"]]))),
        ];
        assert_eq!(order(&all, None), [vec![1], vec![0]]);
        let empty =
            [candidate("SELECT a", Some(tried(&[]))), candidate("SELECT b", Some(tried(&[])))];
        assert_eq!(
            order(&empty, None),
            [vec![0], vec![1]],
            "where nobody finds anything it says nothing"
        );
    }
}
