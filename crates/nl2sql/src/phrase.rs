//! Reads set phrases as plainer words, and numbers in words as numbers, before anything is linked.

use std::sync::LazyLock;

use crate::lexicon::{Form, LEXICON};
use crate::token::{MAX_TOKENS, Token, TokenKind, tokenize};

/// What is said, each word with its alternatives, and as what it is read.
struct Phrase {
    said: Vec<Vec<&'static str>>,
    read: &'static str,
}

static PHRASES: LazyLock<Vec<Phrase>> = LazyLock::new(|| {
    let mut all: Vec<Phrase> = include_str!("../lexicon/phrases.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(said, read)| Phrase {
            said: said.split_whitespace().map(|it| it.split('|').collect()).collect(),
            read: read.trim(),
        })
        .collect();
    // the longest one first
    all.sort_by_key(|it| std::cmp::Reverse(it.said.len()));
    all
});

/// Puts plainer words in place of set phrases, and one number in place of several that make it up.
pub(crate) fn plain(tokens: &mut Vec<Token>) {
    if tokens.is_empty() {
        return;
    }
    numbers(tokens);
    crate::aside::without(tokens);
    anybody(tokens);
    again(tokens);
    how_many(tokens);
    without_us(tokens);
    passives(tokens);
    possessors(tokens);
    joined(tokens);
    possible(tokens);
    offered(tokens);
    listed(tokens);
    far_back(tokens);
    extremes(tokens);
    one_of_them(tokens);
    let mut at = 0;
    while at < tokens.len() && tokens.len() <= MAX_TOKENS {
        let found = PHRASES.iter().find(|it| {
            it.said.iter().enumerate().all(|(step, any)| {
                tokens.get(at + step).is_some_and(|it| {
                    it.kind != TokenKind::Quoted && any.contains(&it.lower.as_str())
                })
            })
        });
        let Some(phrase) = found else {
            at += 1;
            continue;
        };
        let read = words(phrase.read, &tokens[at]);
        let length = read.len();
        tokens.splice(at..at + phrase.said.len(), read);
        at += length;
    }
}

/// `more than that of some (at least one) member`, `than at least one member`: than any. `at least a` counts, and `at least one
/// "B"` is one such.
fn one_of_them(tokens: &mut Vec<Token>) {
    let word = |at: usize| tokens.get(at).map_or("", |it| it.lower.as_str());
    let found = (0..tokens.len()).find(|&at| {
        word(at) == "at"
            && word(at + 1) == "least"
            && matches!(word(at + 2), "one" | "1" | "a" | "an")
    });
    let Some(at) = found else { return };
    let opened = at > 0 && tokens[at - 1].is_mark('(');
    let some = opened && at > 1 && tokens[at - 2].lower == "some";
    let from = if some { at - 2 } else { at };
    let until =
        at + 3 + usize::from(opened && tokens.get(at + 3).is_some_and(|it| it.is_mark(')')));
    // directly, but for what stands for the thing: `than 30 with at least one` compares with the number
    let stands = |it: &usize| matches!(word(*it), "that" | "those" | "of" | "the" | "for");
    let than = (0..from).rev().find(|it| !stands(it));
    let compared = than.is_some_and(|it| word(it) == "than");
    let named = tokens.get(until).is_some_and(|it| it.kind == TokenKind::Quoted);
    let read = if compared && (some || !opened) {
        "any"
    } else if opened {
        return;
    } else if named {
        "a"
    } else if matches!(tokens[at + 2].lower.as_str(), "a" | "an") {
        "at least one"
    } else {
        return;
    };
    let read = words(read, &tokens[from]);
    tokens.splice(from..until, read);
}

/// `members who never came - how many?`: how many members never came.
fn how_many(tokens: &mut Vec<Token>) {
    let mark = tokens.last().is_some_and(|it| matches!(it.kind, TokenKind::Mark('?' | '.' | '!')));
    let end = tokens.len() - usize::from(mark);
    let asked = end > 4
        && tokens[end - 2].lower == "how"
        && tokens[end - 1].lower == "many"
        && (tokens[end - 3].is_mark('-')
            || tokens[end - 3].is_mark('–')
            || tokens[end - 3].is_mark('—'));
    if asked {
        let asks: Vec<Token> = tokens.drain(end - 3..end).skip(1).collect();
        tokens.splice(..0, asks);
    }
}

/// `came back for a second order`: have two of them at least.
fn again(tokens: &mut Vec<Token>) {
    let word = |at: usize| tokens.get(at).map_or("", |it| it.lower.as_str());
    let found = (0..tokens.len()).find_map(|at| {
        let verb =
            matches!(word(at), "came" | "come" | "comes" | "returned" | "return" | "returns");
        let back = at + 1 + usize::from(word(at + 1) == "back");
        let one = match (word(back), word(back + 1), word(back + 2)) {
            ("for", "a", "second" | "2nd") => back + 3,
            ("for", "another", _) => back + 2,
            _ => return None,
        };
        let noun = tokens.get(one).is_some_and(|it| it.kind == TokenKind::Word);
        (verb && noun).then_some((at, one))
    });
    let Some((at, noun)) = found else { return };
    // how soon is a question of its own
    if (noun..tokens.len()).any(|it| word(it) == "within") {
        return;
    }
    let read = words("have at least 2", &tokens[at]);
    tokens.splice(at..noun, read);
}

/// `does anybody earn more than …? who?`: who does.
fn anybody(tokens: &mut Vec<Token>) {
    let word = |at: usize| tokens.get(at).map_or("", |it| it.lower.as_str());
    let mark = |at: usize| tokens.get(at).is_some_and(|it| matches!(it.kind, TokenKind::Mark(_)));
    let asks = matches!(word(0), "does" | "do" | "did" | "is" | "are" | "has" | "have")
        && matches!(word(1), "anybody" | "anyone" | "somebody" | "someone");
    let end = (0..tokens.len()).rev().find(|it| !mark(*it)).map_or(0, |it| it + 1);
    let who = (3..end).rev().find(|it| word(*it) == "who");
    let Some(who) = who.filter(|it| asks && end - it <= 3 && mark(it - 1)) else { return };
    // `is anybody …`: who is
    let helped = matches!(word(0), "is" | "are" | "has" | "have");
    let mut read = words("who", &tokens[0]);
    if helped {
        read.push(tokens[0].clone());
    }
    read.extend_from_slice(&tokens[2..who - 1]);
    *tokens = read;
}

/// `which supplier's products brought in the most`: what they brought, it brought.
fn possessors(tokens: &mut Vec<Token>) {
    let found = tokens.windows(5).position(|it| {
        matches!(it[0].lower.as_str(), "which" | "what")
            && it[1].kind == TokenKind::Word
            && it[2].is_mark('\'')
            && it[3].kind == TokenKind::Word
            && it[3].lower != it[3].lemma
            && matches!(it[4].lower.as_str(), "brought" | "bring" | "made" | "earned" | "generated")
    });
    if let Some(at) = found {
        tokens.drain(at + 2..at + 4);
    }
}

/// `that got delivered`: that was.
fn passives(tokens: &mut [Token]) {
    for at in 1..tokens.len() {
        let done = &tokens[at];
        let done = done.kind == TokenKind::Word
            && done.lower.len() > 4
            && done.lower.ends_with("ed")
            && !done.capital;
        if done && matches!(tokens[at - 1].lower.as_str(), "got" | "gets" | "get") {
            let was =
                words(if tokens[at - 1].lower == "got" { "were" } else { "are" }, &tokens[at]);
            if let Some(was) = was.into_iter().next() {
                let (start, end) = (tokens[at - 1].start, tokens[at - 1].end);
                tokens[at - 1] = Token { start, end, ..was };
            }
        }
    }
}

/// `what did we turn over`: the verb of a noun that is written as one.
fn joined(tokens: &mut Vec<Token>) {
    let at = tokens
        .windows(2)
        .position(|it| it[1].lower == "over" && matches!(it[0].lower.as_str(), "turn" | "turned"));
    let ends = |at: usize| {
        tokens.get(at).is_none_or(|it| {
            !matches!(it.kind, TokenKind::Number(_)) && !matches!(it.lower.as_str(), "the" | "a")
        })
    };
    if let Some(at) = at.filter(|at| ends(at + 2)) {
        let read = words("total turnover", &tokens[at]);
        tokens.splice(at..at + 2, read);
    }
}

/// `which colors do we offer`: the different ones.
fn offered(tokens: &mut Vec<Token>) {
    let word = |at: usize| tokens.get(at).map_or("", |it| it.lower.as_str());
    let found = (2..tokens.len().min(6)).find(|&at| {
        word(at) == "do"
            && word(at + 1) == "we"
            && matches!(word(at + 2), "offer" | "carry" | "sell" | "stock" | "provide" | "have")
            && tokens.get(at + 3).is_none_or(|it| matches!(it.kind, TokenKind::Mark(_)))
    });
    // `which products do we sell` are rows, `which warranty periods` are values
    let Some(at) = found.filter(|it| matches!(word(0), "which" | "what") && *it >= 3) else {
        return;
    };
    let place = tokens[0].clone();
    let mut read = words("different", &place);
    read.extend_from_slice(&tokens[1..at]);
    tokens.splice(..at + 3, read);
}

/// `which statuses can an order have?`: those that there are.
fn possible(tokens: &mut Vec<Token>) {
    let word = |at: usize| tokens.get(at).map_or("", |it| it.lower.as_str());
    let mark = tokens.last().is_some_and(|it| matches!(it.kind, TokenKind::Mark('?' | '.' | '!')));
    let end = tokens.len() - usize::from(mark);
    let Some(can) = (2..end.min(6)).find(|it| matches!(word(*it), "can" | "may" | "could")) else {
        return;
    };
    let asks = matches!(word(0), "which" | "what")
        && matches!(word(can + 1), "a" | "an" | "the" | "our" | "one")
        && end > can + 3
        && matches!(word(end - 1), "have" | "take" | "get");
    if !asks {
        return;
    }
    let place = tokens[0].clone();
    let mut read = words("different", &place);
    read.extend_from_slice(&tokens[1..can]);
    read.extend(words("of", &place));
    read.extend_from_slice(&tokens[can + 2..end - 1]);
    tokens.splice(..end, read);
}

/// `phone list of the dealers`: what each is called and its phone.
fn listed(tokens: &mut Vec<Token>) {
    let word = |at: usize| tokens.get(at).map_or("", |it| it.lower.as_str());
    let first = usize::from(matches!(word(0), "the" | "a" | "our"));
    let noun = tokens.get(first).is_some_and(|it| it.kind == TokenKind::Word);
    if !noun || word(first + 1) != "list" || !matches!(word(first + 2), "of" | "for") {
        return;
    }
    let place = tokens[first].clone();
    let mut read = words("name and", &place);
    read.push(place.clone());
    read.extend(words("of", &place));
    tokens.splice(..first + 3, read);
}

/// `how far back do our orders go?`: when the first one was.
fn far_back(tokens: &mut Vec<Token>) {
    let word = |at: usize| tokens.get(at).map_or("", |it| it.lower.as_str());
    let asks = word(0) == "how" && word(1) == "far" && word(2) == "back";
    let mut from = 4;
    while matches!(word(from), "our" | "the" | "your" | "these") {
        from += 1;
    }
    let end = (from + 1..tokens.len().min(from + 5))
        .find(|it| matches!(word(*it), "go" | "reach" | "date"));
    let (true, "do" | "does", Some(end)) = (asks, word(3), end) else { return };
    let place = tokens[0].clone();
    let mut read = words("when was the first", &place);
    read.extend_from_slice(&tokens[from..end - 1]);
    read.extend(words(&tokens[end - 1].lemma, &place));
    tokens.splice(..=end, read);
}

/// `weight of the lightest, the heaviest and the average box`: the least, the greatest and the mean weight.
fn extremes(tokens: &mut Vec<Token>) {
    let word = |at: usize| tokens.get(at).map_or("", |it| it.lower.as_str());
    let from = (1..tokens.len().min(6)).find(|it| word(*it) == "of");
    let Some(of) = from.filter(|it| tokens[*it - 1].kind == TokenKind::Word) else { return };
    let mut asked: Vec<&str> = Vec::new();
    let mut at = of + 1;
    loop {
        at += usize::from(word(at) == "the");
        let (degree, length) = match word(at) {
            "average" | "mean" => {
                asked.push("average");
                (None, 1)
            }
            "most" | "least" => (LEXICON.degree(word(at + 1)), 2),
            other => (LEXICON.degree(other).filter(|it| it.form == Form::Superlative), 1),
        };
        if let Some(up) = degree.and_then(|it| it.measures.first()).map(|it| it.1) {
            asked.push(if up == (word(at) != "least") { "maximum" } else { "minimum" });
        } else if length == 2 || !matches!(word(at), "average" | "mean") {
            return;
        }
        at += length;
        let more = tokens.get(at).is_some_and(|it| it.is_mark(',')) || word(at) == "and";
        if !more {
            break;
        }
        while tokens.get(at).is_some_and(|it| it.is_mark(',')) || word(at) == "and" {
            at += 1;
        }
    }
    if asked.len() < 2 || at >= tokens.len() {
        return;
    }
    let place = tokens[of].clone();
    let mut read = words(&asked.join(" and "), &place);
    read.push(tokens[of - 1].clone());
    read.extend(words("of", &place));
    tokens.splice(of - 1..at, read);
}

/// `in the company` at the end: of all of them.
fn without_us(tokens: &mut Vec<Token>) {
    let mark = tokens.last().is_some_and(|it| matches!(it.kind, TokenKind::Mark('?' | '.' | '!')));
    let end = tokens.len() - usize::from(mark);
    if end > 4
        && matches!(tokens[end - 1].lower.as_str(), "company" | "firm" | "business")
        && matches!(tokens[end - 2].lower.as_str(), "the" | "our")
        && matches!(tokens[end - 3].lower.as_str(), "in" | "at" | "of")
    {
        tokens.drain(end - 3..end);
    }
}

/// Words that nobody typed, in the place of one that somebody did.
pub(crate) fn words(text: &str, place: &Token) -> Vec<Token> {
    let mut all = tokenize(text);
    for it in &mut all {
        it.start = place.start;
        it.end = place.end;
    }
    all
}

/// `two dozen`, `3 million`, `half a million`, `a dozen`.
fn numbers(tokens: &mut Vec<Token>) {
    let factor = |token: &Token| match (token.kind, token.lower.as_str()) {
        (TokenKind::Word, "dozen" | "dozens") => Some(12.0),
        (TokenKind::Number(_), "hundred") => Some(1e2),
        (TokenKind::Number(_), "thousand") => Some(1e3),
        (TokenKind::Number(_), "million") => Some(1e6),
        (TokenKind::Word, "mio" | "mn") => Some(1e6),
        (TokenKind::Word, "billion" | "bn") => Some(1e9),
        _ => None,
    };
    let mut at = 0;
    while at < tokens.len() {
        let Some(times) = factor(&tokens[at]) else {
            at += 1;
            continue;
        };
        let before = |back: usize| at.checked_sub(back).and_then(|it| tokens.get(it));
        let (from, value) = match before(1) {
            Some(Token { kind: TokenKind::Number(value), .. }) => (at - 1, value * times),
            Some(it) if matches!(it.lower.as_str(), "a" | "one") => {
                if before(2).is_some_and(|it| it.lower == "half") {
                    (at - 2, 0.5 * times)
                } else {
                    (at - 1, times)
                }
            }
            _ if tokens[at].kind == TokenKind::Word => {
                at += 1;
                continue;
            }
            _ => (at, times),
        };
        let text = crate::render::number(value);
        let one = Token {
            text: text.clone(),
            lower: text.clone(),
            lemma: text.clone(),
            stem: text,
            start: tokens[from].start,
            end: tokens[at].end,
            kind: TokenKind::Number(value),
            capital: false,
        };
        tokens.splice(from..=at, [one]);
        at = from + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(question: &str) -> String {
        let mut tokens = tokenize(question);
        plain(&mut tokens);
        tokens.iter().map(|it| it.lower.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn set_phrases_are_read_as_plainer_words() {
        assert_eq!(read("how much did we sell this year so far"), "total revenue year to date");
        assert_eq!(read("the best paid employee"), "the highest paid employee");
        assert_eq!(read("orders that got delivered"), "orders that were delivered");
        assert_eq!(read("who got the most"), "who got the most");
        assert_eq!(read("phone list of our dealers"), "name and phone of our dealers");
        assert_eq!(read("how far back do our bills go?"), "when was the first bill ?");
        let extremes = "weight of the lightest, the heaviest and the average box";
        assert_eq!(read(extremes), "minimum and maximum and average weight of box");
        assert_eq!(read("which states can a case have?"), "different states of case ?");
        assert_eq!(read("which paper sizes do we offer?"), "different paper sizes ?");
        assert_eq!(read("does anybody earn more? who?"), "who earn more");
        assert_eq!(read("who came back for a second case"), "who have at least 2 case");
        assert_eq!(read("cases without a file - how many?"), "how many cases without a file ?");
        assert_eq!(read("which dealer's cars made the most"), "which dealer made the most");
    }

    #[test]
    fn one_of_them_is_any() {
        assert_eq!(
            read("more than that of some (at least one) case"),
            "more than that of any case"
        );
        assert_eq!(read("less than at least one case"), "less than any case");
        assert_eq!(read("have at least a case"), "have at least one case");
        assert_eq!(read("have at least one \"B\" case"), "have a b case");
        assert_eq!(read("have at least one case"), "have at least one case");
    }

    #[test]
    fn numbers_in_words_become_one() {
        assert_eq!(read("more than two dozen"), "more than 24");
        assert_eq!(read("over half a million"), "over 500000");
        assert_eq!(read("about 3 million or a dozen"), "about 3000000 or 12");
        assert_eq!(read("more than twenty"), "more than twenty");
    }
}
