//! Splits a question into words, numbers, quoted strings and marks, each with its base form.

use crate::lexicon::LEXICON;

/// One piece of a question.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    /// As written, without quotes.
    pub(crate) text: String,
    /// In lower case.
    pub(crate) lower: String,
    /// The base form: singular, infinitive.
    pub(crate) lemma: String,
    /// What the words of its family have in common.
    pub(crate) stem: String,
    /// Where it begins in the question, in bytes.
    pub(crate) start: usize,
    /// Where it ends.
    pub(crate) end: usize,
    /// What it is.
    pub(crate) kind: TokenKind,
    /// Whether it begins with a capital letter and does not begin a sentence.
    pub(crate) capital: bool,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TokenKind {
    /// A word.
    Word,
    /// A number, with its value.
    Number(f64),
    /// What stood in quotes.
    Quoted,
    /// A mark.
    Mark(char),
}

impl Token {
    /// Whether it is that mark.
    pub(crate) fn is_mark(&self, mark: char) -> bool {
        self.kind == TokenKind::Mark(mark)
    }
}

/// Longer questions are cut: nobody asks in more words, and time must stay bounded.
pub(crate) const MAX_TOKENS: usize = 120;

/// The pieces of a question, at most [`MAX_TOKENS`].
pub(crate) fn tokenize(question: &str) -> Vec<Token> {
    let chars: Vec<(usize, char)> = question.char_indices().collect();
    let mut tokens: Vec<Token> = Vec::new();
    let mut at = 0;
    let mut sentence_start = true;
    while at < chars.len() && tokens.len() < MAX_TOKENS {
        let (start, c) = chars[at];
        if c.is_whitespace() || c == '_' {
            at += 1;
            continue;
        }
        if let Some(close) = closing(&chars, at) {
            let from = chars[at + 1].0;
            let until = chars[close].0;
            tokens.push(token(question, from, until, TokenKind::Quoted, false));
            at = close + 1;
            sentence_start = false;
            continue;
        }
        let numeric = c.is_ascii_digit()
            || ((c == '.' || c == '-')
                && chars.get(at + 1).is_some_and(|it| it.1.is_ascii_digit())
                && (at == 0 || !chars[at - 1].1.is_alphanumeric()));
        if numeric && let Some((end, value)) = number(&chars, at) {
            let until = chars.get(end).map_or(question.len(), |it| it.0);
            tokens.push(token(question, start, until, TokenKind::Number(value), false));
            at = end;
            sentence_start = false;
            continue;
        }
        if c.is_alphanumeric() {
            let mut end = at;
            while end < chars.len() && (chars[end].1.is_alphanumeric() || inner(&chars, end)) {
                end += 1;
            }
            let until = chars.get(end).map_or(question.len(), |it| it.0);
            let mut it =
                token(question, start, until, TokenKind::Word, c.is_uppercase() && !sentence_start);
            if let Some(value) = worded(&it.lower) {
                it.kind = TokenKind::Number(value);
            }
            tokens.push(it);
            at = end;
            sentence_start = false;
            continue;
        }
        // possessive: the 's is dropped, it says only that a name belongs to another
        if (c == '\'' || c == '’')
            && chars.get(at + 1).is_some_and(|it| it.1 == 's')
            && chars.get(at + 2).is_none_or(|it| !it.1.is_alphanumeric())
            && !tokens.is_empty()
        {
            let until = chars.get(at + 2).map_or(question.len(), |it| it.0);
            tokens.push(token(question, start, until, TokenKind::Mark('\''), false));
            at += 2;
            continue;
        }
        let until = chars.get(at + 1).map_or(question.len(), |it| it.0);
        if c != '\'' && c != '"' {
            tokens.push(token(question, start, until, TokenKind::Mark(c), false));
        }
        sentence_start = matches!(c, '.' | '?' | '!' | ':' | ';');
        at += 1;
    }
    tokens
}

/// The position of the quote that closes the one at `at`, if that opens a quotation.
fn closing(chars: &[(usize, char)], at: usize) -> Option<usize> {
    let close: &[char] = match chars[at].1 {
        '"' => &['"'],
        '“' => &['”', '"'],
        '‘' => &['’', '\''],
        '`' => &['`', '\''],
        '\'' => &['\''],
        _ => return None,
    };
    if at > 0 && chars[at - 1].1.is_alphanumeric() {
        return None;
    }
    if chars.get(at + 1).is_none_or(|it| it.1.is_whitespace()) && close[0] == '\'' {
        return None;
    }
    (at + 2..chars.len().min(at + 200)).find(|&it| {
        close.contains(&chars[it].1)
            && (close[0] != '\'' || chars.get(it + 1).is_none_or(|next| !next.1.is_alphanumeric()))
    })
}

/// Whether a word goes on over what stands there: an apostrophe or a dot between letters (`don't`, `Ph.D`).
fn inner(chars: &[(usize, char)], at: usize) -> bool {
    let letter = |it: Option<&(usize, char)>| it.is_some_and(|it| it.1.is_alphabetic());
    let (before, after) = (letter(chars.get(at.wrapping_sub(1))), letter(chars.get(at + 1)));
    match chars[at].1 {
        '\'' | '’' => {
            before
                && after
                && !(chars[at + 1].1 == 's'
                    && chars.get(at + 2).is_none_or(|it| !it.1.is_alphanumeric()))
        }
        '.' => {
            // an abbreviation like Ph.D or U.S: the letters around the dot are capitals
            before && after && chars[at + 1].1.is_uppercase()
        }
        _ => false,
    }
}

fn number(chars: &[(usize, char)], at: usize) -> Option<(usize, f64)> {
    let mut end = at;
    let mut digits = String::new();
    while end < chars.len() {
        let c = chars[end].1;
        let next_digit = chars.get(end + 1).is_some_and(|it| it.1.is_ascii_digit());
        match c {
            '0'..='9' => digits.push(c),
            '-' if end == at => digits.push(c),
            '.' if next_digit && !digits.contains('.') => digits.push(c),
            ',' if next_digit
                && (1..=3)
                    .all(|it| chars.get(end + it).is_some_and(|it| it.1.is_ascii_digit()))
                && chars.get(end + 4).is_none_or(|it| !it.1.is_ascii_digit()) => {}
            _ => break,
        }
        end += 1;
    }
    let mut value: f64 = digits.parse().ok()?;
    let suffix: String =
        chars[end..].iter().map(|it| it.1).take_while(|it| it.is_alphanumeric()).collect();
    match suffix.to_lowercase().as_str() {
        "" => {}
        "k" => {
            value *= 1e3;
            end += 1;
        }
        "m" => {
            value *= 1e6;
            end += 1;
        }
        "st" | "nd" | "rd" | "th" => end += 2,
        _ => return None,
    }
    Some((end, value))
}

/// The value of a number in words.
fn worded(word: &str) -> Option<f64> {
    const SMALL: [&str; 21] = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
        "twenty",
    ];
    if let Some(at) = SMALL.iter().position(|it| *it == word) {
        return u32::try_from(at).ok().map(f64::from);
    }
    match word {
        "twice" => Some(2.0),
        "thirty" => Some(30.0),
        "forty" => Some(40.0),
        "fifty" => Some(50.0),
        "sixty" => Some(60.0),
        "seventy" => Some(70.0),
        "eighty" => Some(80.0),
        "ninety" => Some(90.0),
        "hundred" => Some(100.0),
        "thousand" => Some(1000.0),
        "million" => Some(1e6),
        _ => None,
    }
}

fn token(question: &str, start: usize, end: usize, kind: TokenKind, capital: bool) -> Token {
    let text = question[start..end].to_owned();
    let lower = text.to_lowercase().replace('’', "'");
    let lemma = if kind == TokenKind::Word { LEXICON.lemma(&lower) } else { lower.clone() };
    let stem = if kind == TokenKind::Word { LEXICON.stem(&lemma) } else { lemma.clone() };
    Token { text, lower, lemma, stem, start, end, kind, capital }
}

/// A text as values are compared: lower case, runs of anything but letters and digits as one space.
pub(crate) fn normalized(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_alphanumeric() {
            out.extend(c.to_lowercase());
        } else if !out.is_empty() && !out.ends_with(' ') {
            out.push(' ');
        }
    }
    if out.ends_with(' ') {
        out.pop();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(question: &str) -> Vec<String> {
        tokenize(question).into_iter().map(|it| it.text).collect()
    }

    #[test]
    fn quotes_hold_what_they_enclose_together() {
        assert_eq!(texts("the room 'Old Hall'?"), ["the", "room", "Old Hall", "?"]);
        assert_eq!(texts("say \"it's on\""), ["say", "it's on"]);
    }

    #[test]
    fn an_apostrophe_does_not_open_a_quotation() {
        assert_eq!(texts("readers' cards don't"), ["readers", "cards", "don't"]);
        assert_eq!(texts("the reader's card"), ["the", "reader", "'s", "card"]);
    }

    #[test]
    fn numbers_are_read_with_separators_and_in_words() {
        let values = |question: &str| -> Vec<f64> {
            tokenize(question)
                .iter()
                .filter_map(|it| match it.kind {
                    TokenKind::Number(value) => Some(value),
                    _ => None,
                })
                .collect()
        };
        assert_eq!(values("1,200 or 3.5 or -2 or five or 10k"), [1200.0, 3.5, -2.0, 5.0, 10_000.0]);
        assert_eq!(values("between 1, 2 and 3rd"), [1.0, 2.0, 3.0]);
    }
}
