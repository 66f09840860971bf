//! Links words of a question to what they may mean in a schema: tables, columns, values, numbers.

mod name;
#[cfg(test)]
mod tests;
mod word;

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

pub(crate) use self::word::{distance, is_question_word};
use self::{
    name::{BEHIND, names},
    word::{Hits, word_hits},
};
use crate::{
    index::{Kin, SchemaIndex},
    lexicon::{Form, LEXICON},
    token::{Token, TokenKind},
    values::{exact_values, quoted_values, values},
};

/// A table or column that some words may mean.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NameLink {
    pub(crate) table: usize,
    pub(crate) column: Option<usize>,
    /// 1 for the name as it stands, less for parts, synonyms, guesses.
    pub(crate) score: f64,
    /// Whether the words also name the table.
    pub(crate) with_table: bool,
}

/// A value that some words may mean, and the column where it was seen.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ValueLink {
    pub(crate) table: usize,
    pub(crate) column: usize,
    /// As it is stored.
    pub(crate) value: String,
    pub(crate) score: f64,
}

/// What some words of a question mean.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Meaning {
    /// A word of language, or one that is not understood.
    Word,
    /// Tables or columns, best first.
    Name(Vec<NameLink>),
    /// Values, best first; empty for a quoted text that was seen nowhere.
    Value(Vec<ValueLink>),
    /// A number, and values in text columns that look like it.
    Number(f64, Vec<ValueLink>),
    /// A span of time.
    Time(crate::time::Span),
    /// A mark.
    Mark(char),
}

/// Some adjoining tokens and what they mean.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item {
    pub(crate) meaning: Meaning,
    /// Lower-case text, words separated by one space.
    pub(crate) lower: String,
    /// As written.
    pub(crate) text: String,
    /// The base form of its last token.
    pub(crate) lemma: String,
    /// Positions of its tokens.
    pub(crate) first: usize,
    pub(crate) end: usize,
    /// Whether it stood in quotes.
    pub(crate) quoted: bool,
    /// Whether it begins with a capital inside a sentence.
    pub(crate) capital: bool,
    /// What it could mean as a name, where the value was preferred.
    pub(crate) names: Vec<NameLink>,
    /// By which words what it names was found.
    pub(crate) kin: Kin,
}

impl Item {
    pub(crate) fn is_mark(&self, mark: char) -> bool {
        self.meaning == Meaning::Mark(mark)
    }
    pub(crate) fn is_word(&self) -> bool {
        matches!(self.meaning, Meaning::Word)
    }
}

/// The most tokens of a name.
const MAX_NAME: usize = 6;

/// What spans of a question's tokens may name, found out once for each.
struct Names<'a> {
    index: &'a SchemaIndex,
    tokens: &'a [Token],
    hits: Hits,
    known: Vec<OnceCell<Arc<[NameLink]>>>,
}

/// From so many hits on it pays to keep what words may name for the next reading.
const MANY: usize = 48;

impl<'a> Names<'a> {
    fn new(index: &'a SchemaIndex, tokens: &'a [Token]) -> Self {
        let known = vec![OnceCell::new(); tokens.len() * MAX_NAME];
        Self { index, tokens, hits: word_hits(index, tokens), known }
    }

    /// What the tokens from `first` to `end` may name, best first, where they are not too many.
    fn of(&self, first: usize, end: usize) -> &[NameLink] {
        self.known[first * MAX_NAME + end - first - 1].get_or_init(|| self.find(first, end))
    }

    fn find(&self, first: usize, end: usize) -> Arc<[NameLink]> {
        let find = || names(self.index, self.tokens, &self.hits, first, end);
        let of_each = self.hits[first..end].iter().map(|it| it.len()).filter(|it| *it > 0);
        if of_each.min().is_none_or(|it| it < MANY) {
            return find().into();
        }
        let said = key(self.tokens, self.hits[first].kin(), first, end);
        self.index.heard.links(&said, find)
    }

    /// The same, however many they are.
    fn all(&self, first: usize, end: usize) -> Vec<NameLink> {
        if end - first > MAX_NAME {
            // longer than any that is kept
            names(self.index, self.tokens, &self.hits, first, end)
        } else {
            self.of(first, end).to_vec()
        }
    }
}

/// All that decides what the tokens from `first` to `end` may name, told apart: `kin` is by which words the first one's names
/// were found. What it names is kept under this, for every question over the index.
fn key(tokens: &[Token], kin: Kin, first: usize, end: usize) -> String {
    // all of the tokens that `names` looks at
    let mut said = (end - first).to_string();
    // the word before it, which is none of them, decides whether the first one's kin was looked for
    said.push(match kin {
        Kin::Own => '=',
        Kin::Near => '~',
        Kin::Loose => '?',
    });
    for it in &tokens[first..(end + BEHIND).min(tokens.len())] {
        let kind = match it.kind {
            TokenKind::Word => 'w',
            TokenKind::Number(_) => 'n',
            TokenKind::Quoted => 'q',
            TokenKind::Mark(_) => 'm',
        };
        said.push(kind);
        said.push(if it.capital { '^' } else { '_' });
        for part in [&it.lower, &it.lemma, &it.stem] {
            // with its length, as what stands in quotes may hold anything
            said.push_str(&part.len().to_string());
            said.push(':');
            said.push_str(part);
        }
    }
    said
}

/// Cuts the tokens into items so that as much as possible is understood.
pub(crate) fn link(
    index: &SchemaIndex,
    tokens: &[Token],
    times: &[crate::time::Found],
) -> Vec<Item> {
    let n = tokens.len();
    let names_of = Names::new(index, tokens);
    // best[i]: the best way to cut the tokens from i on: its worth and the end of the first piece
    let mut best: Vec<(f64, usize, Meaning, Vec<NameLink>)> =
        vec![(0.0, n, Meaning::Word, Vec::new()); n + 1];
    let longest = index.longest_value();
    for at in (0..n).rev() {
        let token = &tokens[at];
        let own = match token.kind {
            TokenKind::Mark(mark) => Meaning::Mark(mark),
            TokenKind::Number(value) => Meaning::Number(value, exact_values(index, &token.lower)),
            TokenKind::Quoted => Meaning::Value(quoted_values(index, &token.text)),
            TokenKind::Word => Meaning::Word,
        };
        let mut choice = (
            best[at + 1].0 + if own == Meaning::Word { 0.0 } else { 0.3 },
            at + 1,
            own,
            Vec::new(),
        );
        for time in times.iter().filter(|it| it.first == at) {
            let worth = 1.2 * count(time.end - at) + best[time.end].0;
            if worth > choice.0 {
                choice = (worth, time.end, Meaning::Time(time.span.clone()), Vec::new());
            }
        }
        if matches!(token.kind, TokenKind::Word) || matches!(token.kind, TokenKind::Number(_)) {
            let reach = (at + MAX_NAME).min(n);
            for end in at + 1..=reach {
                // what stands in quotes is meant as it stands
                if tokens[end - 1].kind == TokenKind::Quoted {
                    break;
                }
                let links = names_of.of(at, end);
                let Some(top) = links.first() else { continue };
                let worth = top.score * (count(end - at) + 0.15 * (count(end - at) - 1.0))
                    - if top.score < 0.5 { 0.15 } else { 0.0 }
                    + best[end].0;
                if worth > choice.0 {
                    choice = (worth, end, Meaning::Name(links.to_vec()), Vec::new());
                }
            }
        }
        if !matches!(token.kind, TokenKind::Mark(_) | TokenKind::Quoted) {
            let reach = (at + longest + 3).min(n);
            for end in (at + 1..=reach).rev() {
                if tokens[at..end].iter().any(|it| it.kind == TokenKind::Quoted)
                    || tokens[end - 1].kind == TokenKind::Mark('?')
                {
                    continue;
                }
                let links = values(index, tokens, at, end);
                let Some(top) = links.first() else { continue };
                if end > at + 1 && told_apart(&names_of, &links, at, end) {
                    continue;
                }
                let mut worth = top.score * count(end - at) + best[end].0;
                // `which buyer …`: who is asked for, though somebody's title is called so; `products` are things, though a
                // label is called `product`
                let many = token.lower != token.lemma && top.score < 0.76;
                let asked = asked_for(tokens, at);
                if end == at + 1 && !token.capital && (asked || many) {
                    // but `professors` of a table of teachers may be those of that rank
                    let named = names_of.of(at, end).iter().any(|it| {
                        it.column.is_none()
                            && it.score >= 0.6
                            && (asked || links.iter().all(|own| own.table != it.table))
                    });
                    if named {
                        worth -= 0.4 * top.score;
                    }
                }
                if worth > choice.0 {
                    let other = names_of.all(at, end);
                    let meaning = match token.kind {
                        TokenKind::Number(value) if end == at + 1 => Meaning::Number(value, links),
                        _ => Meaning::Value(links),
                    };
                    choice = (worth, end, meaning, other);
                }
            }
        }
        best[at] = choice;
    }
    let mut items = Vec::new();
    let mut at = 0;
    while at < n {
        let (meaning, names) =
            (std::mem::replace(&mut best[at].2, Meaning::Word), std::mem::take(&mut best[at].3));
        let end = best[at].1;
        let mut item = item(tokens, at, end, meaning, names);
        item.kin = names_of.hits[at..end].iter().map(|it| it.kin()).max().unwrap_or_default();
        items.push(item);
        at = end;
    }
    columns_of_named(tokens, &mut items);
    measured(index, tokens, &mut items);
    ours(tokens, &mut items);
    doubt_weak_names(tokens, &mut items);
    compounds(index, tokens, &mut items);
    items
}

/// `train stations` are stations, `movie ratings` ratings: a table in the singular right in front of another only says more of
/// what kind these are.
fn compounds(index: &SchemaIndex, tokens: &[Token], items: &mut Vec<Item>) {
    let table = |it: &Item| match &it.meaning {
        Meaning::Name(links) => {
            links.first().filter(|it| it.column.is_none() && it.score > 0.85).map(|it| it.table)
        }
        _ => None,
    };
    let mut at = 0;
    while at + 1 < items.len() {
        let (kind, head) = (&items[at], &items[at + 1]);
        let token = &tokens[kind.first];
        let (Some(a), Some(b)) = (table(kind), table(head)) else {
            at += 1;
            continue;
        };
        let last = &tokens[head.end - 1];
        let plural = last.lower != last.lemma && last.lower.ends_with('s');
        let before = kind.first.checked_sub(1).map_or("", |it| tokens[it].lower.as_str());
        let alone = !matches!(before, "each" | "every" | "per" | "a" | "an" | "which" | "what");
        let once = items.iter().filter(|it| table(it) == Some(a)).count() == 1;
        let beside = index.distance(a, b).is_some_and(|it| it <= 2);
        // `checking accounts`, where what is checked refers to its account: rows of both
        let refers = index.edges_from(a).any(|it| it.to == b);
        let whole = kind.end == kind.first + 1 && head.first == kind.end && !refers;
        let modifies = a != b
            && plural
            && alone
            && once
            && beside
            && whole
            && token.lower == token.lemma
            && !kind.quoted
            && !kind.capital;
        if modifies {
            let kind = items.remove(at);
            let head = &mut items[at];
            head.lower = format!("{} {}", kind.lower, head.lower);
            head.text = format!("{} {}", kind.text, head.text);
            head.first = kind.first;
            head.kin = head.kin.max(kind.kin);
        }
        at += 1;
    }
}

/// `the Ebro river`: a river called Ebro, where there is one, rather than something else that is called so in full.
fn told_apart(names: &Names<'_>, links: &[ValueLink], at: usize, end: usize) -> bool {
    let kinds = names.of(end - 1, end);
    let Some(kind) = kinds.first().filter(|it| it.column.is_none() && it.score > 0.9) else {
        return false;
    };
    links.iter().all(|it| it.table != kind.table)
        && values(names.index, names.tokens, at, end - 1)
            .iter()
            .any(|it| it.table == kind.table && it.score > 0.9)
}

/// Whether the word there is what is asked for: right behind a word that asks.
fn asked_for(tokens: &[Token], at: usize) -> bool {
    let word = |back: usize| at.checked_sub(back).map_or("", |it| tokens[it].lower.as_str());
    // `our most expensive product`
    let best = |it: &str| LEXICON.degree(it).is_some_and(|it| it.form != Form::Comparative);
    // `the best selling product`, `the product with the highest price`
    let told = best(word(2)) && (word(1).ends_with("ing") || word(1).ends_with("ed"))
        || word(1) == "the"
            && tokens.get(at + 1).is_some_and(|it| {
                matches!(it.lower.as_str(), "with" | "that" | "which" | "whose" | "who")
            });
    told || matches!(word(1), "which" | "many" | "each" | "per" | "every" | "our" | "what")
        || best(word(1)) && matches!(word(2), "most" | "least" | "the" | "our" | "whose")
        || matches!(tokens[at.saturating_sub(1)].kind, TokenKind::Number(_))
            && matches!(word(2), "top" | "best" | "first")
}

/// `satisfaction score`: one number, though something else is called a score.
fn measured(index: &SchemaIndex, tokens: &[Token], items: &mut Vec<Item>) {
    let number = |it: &Item| match &it.meaning {
        Meaning::Name(links) => links.first().is_some_and(|it| {
            let of = |column: usize| &index.tables[it.table].columns[column];
            it.score >= 0.6
                && it.column.is_some_and(|it| of(it).class.is_numeric() && !of(it).is_id())
        }),
        _ => false,
    };
    let mut at = 0;
    while at + 1 < items.len() {
        let (thing, kind) = (&items[at], &items[at + 1]);
        let plain = kind.end == kind.first + 1
            && kind.first == thing.end
            && !kind.quoted
            && matches!(kind.meaning, Meaning::Name(_))
            && matches!(tokens[kind.first].lemma.as_str(), "score" | "level" | "rate" | "value");
        if plain && number(thing) {
            let kind = items.remove(at + 1);
            let thing = &mut items[at];
            thing.lower = format!("{} {}", thing.lower, kind.lower);
            thing.text = format!("{} {}", thing.text, kind.text);
            thing.end = kind.end;
            thing.kin = thing.kin.max(kind.kin);
        }
        at += 1;
    }
}

/// `our support`, where requests for support are the only table that is called after it: what we have is rows of a table,
/// no column of one.
fn ours(tokens: &[Token], items: &mut [Item]) {
    for it in items.iter_mut() {
        let owned = it.first > 0 && tokens[it.first - 1].lower == "our" && !it.quoted;
        // what goes on may be the rest of a longer name
        let last = tokens.get(it.end).is_none_or(|it| it.kind != TokenKind::Word);
        let Meaning::Name(links) = &mut it.meaning else { continue };
        let mut tables = links.iter().filter(|it| it.column.is_none()).map(|it| it.table);
        let Some(table) = tables.next().filter(|_| owned && last) else { continue };
        if tables.any(|it| it != table) || links.iter().any(|it| it.score >= WHOLE) {
            continue;
        }
        links.retain(|it| it.column.is_none());
        for it in links.iter_mut() {
            it.score = WHOLE;
        }
    }
}

/// Names of a lower score are a part of a name only.
const WHOLE: f64 = 0.75;

/// `phone list of our suppliers`: what they have, though a label of something that nobody spoke of is called so too.
fn columns_of_named(tokens: &[Token], items: &mut [Item]) {
    let named: Vec<usize> = items
        .iter()
        .filter_map(|it| match &it.meaning {
            Meaning::Name(links) => {
                links.first().filter(|it| it.column.is_none() && it.score >= 0.7).map(|it| it.table)
            }
            _ => None,
        })
        .collect();
    for it in items.iter_mut() {
        let plain = it.end == it.first + 1 && !it.quoted && !tokens[it.first].capital;
        let Meaning::Value(links) = &it.meaning else { continue };
        let own = it
            .names
            .iter()
            .any(|it| it.column.is_some() && it.score >= 0.6 && named.contains(&it.table));
        if plain && own && !links.iter().any(|it| named.contains(&it.table)) {
            it.meaning = Meaning::Name(it.names.clone());
        }
    }
}

/// Takes back weak guesses that their surroundings speak against: half a name right beside a whole one (`music artists`),
/// a verb that only resembles a name of something the question does not speak of.
fn doubt_weak_names(tokens: &[Token], items: &mut [Item]) {
    let top = |item: &Item| match &item.meaning {
        Meaning::Name(links) => links.first().map_or(0.0, |it| it.score),
        _ => 0.0,
    };
    let mut named: HashMap<usize, f64> = HashMap::new();
    for item in items.iter() {
        if let Meaning::Name(links) = &item.meaning {
            for link in links.iter().filter(|it| it.column.is_none() || it.with_table) {
                let entry = named.entry(link.table).or_insert(0.0);
                *entry = entry.max(link.score);
            }
        }
    }
    for at in 0..items.len() {
        let score = top(&items[at]);
        // another word for the whole name of a table is no half of a name
        let whole = matches!(&items[at].meaning, Meaning::Name(links)
            if links.iter().any(|it| it.column.is_none() && it.score >= 0.7));
        // `the reviews and who wrote them`: of what was spoken of, not what else was written
        let word = |it: Option<usize>| it.and_then(|it| tokens.get(it)).map(|it| it.lower.as_str());
        let (first, end) = (items[at].first, items[at].end);
        let of_it = word(first.checked_sub(1)) == Some("who")
            && matches!(word(Some(end)), Some("it" | "them" | "these" | "those"));
        if of_it
            && end == first + 1
            && tokens[first].lower != tokens[first].lemma
            && matches!(&items[at].meaning, Meaning::Name(links)
                if !named.is_empty() && !links.iter().any(|it| named.contains_key(&it.table)))
        {
            items[at].meaning = Meaning::Word;
            continue;
        }
        if score == 0.0 || score >= 0.75 || whole {
            continue;
        }
        let beside = |other: Option<&Item>| other.is_some_and(|it| top(it) >= 0.9);
        let before = at.checked_sub(1).and_then(|it| items.get(it));
        let Meaning::Name(links) = &items[at].meaning else { continue };
        let own = |other: Option<&Item>| {
            other.is_some_and(|it| match &it.meaning {
                Meaning::Name(others) => links.iter().any(|link| {
                    link.column.is_some()
                        && others.iter().any(|it| {
                            it.column.is_none() && it.table == link.table && it.score > 0.9
                        })
                }),
                _ => false,
            })
        };
        // a column may stand beside the name of its own table
        let crowded = (beside(items.get(at + 1)) && !own(items.get(at + 1)))
            || (beside(before) && !own(before));
        let token = &tokens[items[at].first];
        let verb = items[at].end == items[at].first + 1
            && (token.lower.ends_with("ed")
                || token.lower.ends_with("ing")
                || token.lower != token.lemma && !token.lower.ends_with('s'));
        let spoken_of = links.iter().any(|link| named.get(&link.table).is_some_and(|it| *it > 0.7));
        if crowded
            || (verb && !spoken_of && score < 0.7)
            || (!spoken_of && score < 0.4 && !named.is_empty())
        {
            items[at].meaning = Meaning::Word;
        }
    }
}

fn item(
    tokens: &[Token],
    first: usize,
    end: usize,
    meaning: Meaning,
    names: Vec<NameLink>,
) -> Item {
    let part = &tokens[first..end];
    let join = |f: fn(&Token) -> &str| part.iter().map(f).collect::<Vec<_>>().join(" ");
    Item {
        meaning,
        lower: join(|it| &it.lower),
        text: join(|it| &it.text),
        lemma: part.last().map(|it| it.lemma.clone()).unwrap_or_default(),
        first,
        end,
        quoted: part.iter().any(|it| it.kind == TokenKind::Quoted),
        capital: part[0].capital,
        names,
        kin: Kin::Own,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a handful of tokens")]
fn count(n: usize) -> f64 {
    n as f64
}
