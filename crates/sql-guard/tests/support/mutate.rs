//! Statements changed without changing what they mean, and put into others.

use pg_query::protobuf::{KeywordKind, ScanToken, Token};

/// Statements into which another fits.
pub(crate) const FRAMES: &[&str] = &[
    "({})",
    "SELECT * FROM ({}) AS q",
    "SELECT 1 WHERE EXISTS ({})",
    "SELECT ARRAY({})",
    "WITH q AS ({}) SELECT 1",
    "WITH RECURSIVE q AS ({}) SELECT 1",
    "WITH q AS NOT MATERIALIZED ({}), pets AS (SELECT 1) TABLE q",
    "SELECT 1 UNION ALL ({})",
    "({}) EXCEPT SELECT 1",
    "SELECT 1 FROM pets JOIN LATERAL ({}) q ON true",
    "SELECT sum(1) OVER (ORDER BY ({})) FROM pets",
    "SELECT CASE WHEN true THEN 1 ELSE ({}) END",
    "VALUES (1, ({}))",
    "SELECT 1 LIMIT ({})",
    "SELECT count(*) FILTER (WHERE ({}) IS NULL) FROM pets",
    "SELECT 1 = ANY ({})",
    "SELECT xmlforest(({}) AS a)",
    "SELECT ROW(({}))",
    "SELECT COALESCE(NULL, ({}))",
    "SELECT (ARRAY[1])[({})]",
    "SELECT * FROM generate_series(1, ({}))",
];

/// The same statement in other letters: between any two tokens a separator, names in other case, in quotes, or with
/// Unicode escapes, and texts with escapes or between dollars. `choices` drives it.
pub(crate) fn disguised(sql: &str, choices: &[u8]) -> Option<String> {
    let tokens = pg_query::scan(sql).ok()?.tokens;
    let mut choices = choices.iter().copied().cycle();
    let mut text = String::new();
    for (at, token) in tokens.iter().enumerate() {
        let range = usize::try_from(token.start).ok()?..usize::try_from(token.end).ok()?;
        let word = &sql[range];
        let separator = match choices.next()? % 8 {
            0 => "/**/",
            1 => "/* ; /* -- */ ' */",
            // After a line break a string goes on in the next one, so these would join two.
            2 if !beside_string(&tokens, at) => " -- ; '\n",
            3 if !beside_string(&tokens, at) => "\r\n\t",
            4 => " \u{c}",
            _ => " ",
        };
        text.push_str(separator);
        let choice = choices.next()?;
        // Postgres takes the escape character in plain quotes only.
        let names_escape = at.checked_sub(1).is_some_and(|it| tokens[it].token() == Token::Uescape);
        if names_escape {
            text.push_str(word);
        } else {
            text.push_str(&respelled(word, token, choice));
        }
    }
    Some(text)
}

fn beside_string(tokens: &[ScanToken], at: usize) -> bool {
    let is_string = |it: Option<&ScanToken>| {
        it.is_some_and(|it| {
            matches!(it.token(), Token::Sconst | Token::Usconst | Token::Bconst | Token::Xconst)
        })
    };
    is_string(tokens.get(at))
        || at.checked_sub(1).is_some_and(|before| is_string(tokens.get(before)))
        || matches!(tokens.get(at).map(ScanToken::token), Some(Token::SqlComment))
}

fn respelled(word: &str, token: &ScanToken, choice: u8) -> String {
    if token.token() == Token::SqlComment {
        return format!("{word}\n");
    }
    if token.token() == Token::Sconst {
        return requoted(word, choice);
    }
    let is_plain = word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !is_plain || word.bytes().next().is_none_or(|b| b.is_ascii_digit()) {
        return word.to_owned();
    }
    let is_name = token.token() == Token::Ident && token.keyword_kind() == KeywordKind::NoKeyword;
    match choice % 6 {
        0 => word.to_ascii_uppercase(),
        1 => word
            .char_indices()
            .map(
                |(at, c)| if at % 2 == 0 { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() },
            )
            .collect(),
        2 if is_name => format!("\"{}\"", word.to_ascii_lowercase()),
        3 if is_name => {
            let word = word.to_ascii_lowercase();
            let (first, rest) = word.split_at(1);
            format!("U&\"\\{:04x}{rest}\"", u32::from(first.as_bytes()[0]))
        }
        4 if is_name => {
            let word = word.to_ascii_lowercase();
            let (first, rest) = word.split_at(1);
            format!("U&\"\\+{:06X}{rest}\"", u32::from(first.as_bytes()[0]))
        }
        _ => word.to_owned(),
    }
}

/// The same text, quoted in another way.
fn requoted(word: &str, choice: u8) -> String {
    let inner = word.strip_prefix('\'').and_then(|it| it.strip_suffix('\''));
    // One that goes on in the next line, has quotes inside, or is quoted otherwise already stays as it is.
    let Some(inner) = inner.filter(|it| !it.contains(['\'', '\\', '$'])) else {
        return word.to_owned();
    };
    let Some(first) = inner.chars().next().filter(char::is_ascii_graphic) else {
        return word.to_owned();
    };
    let (code, rest) = (u32::from(first), &inner[1..]);
    match choice % 6 {
        // Always two digits, so that those behind them are not taken for more.
        0 => format!("E'\\x{code:02x}{rest}'"),
        1 => format!("e'\\u{code:04X}{rest}'"),
        2 => format!("U&'\\{code:04x}{rest}'"),
        3 => format!("u&'\\+{code:06X}{rest}'"),
        4 => format!("$q${inner}$q$"),
        _ => word.to_owned(),
    }
}
