//! Whether two statements say the same, and what that is worth.

use plinth_sql_guard::Approved;

use crate::engine::Reading;

/// How the model's statement stands to the embedded engine's own reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// The engine could not read the question at all.
    NoOpinion,
    /// Both wrote the same statement, but for spelling, aliases and qualification.
    Same,
    /// Both found the same rows, by different statements.
    SameResult,
    /// Both read the same tables.
    SameTables,
    /// They read different tables.
    Different,
}

/// Compares the model's statement with what the engine would have answered, which the guard judged too.
pub(crate) fn compare(model: &Approved, engine: Option<&Approved>) -> Agreement {
    let Some(engine) = engine else { return Agreement::NoOpinion };
    if model.relations != engine.relations {
        return Agreement::Different;
    }
    if normalized(&model.sql) == normalized(&engine.sql) {
        Agreement::Same
    } else {
        Agreement::SameTables
    }
}

/// How likely a model's statement is right, from 0 to 1.
///
/// A statement that the guard and the planner accept starts at 0.75. Two ways to the same statement fail together only
/// if both are wrong in the same way, so agreement takes away most of the doubt, the more the surer the engine is.
/// Another reading by a sure engine, every repair, and every assumption add doubt. `share` says how many of the model's
/// several statements mean the same as this one, from 0 to 1: a model that is of one mind with itself is righter.
pub(crate) fn confidence(
    agreement: Agreement,
    engine: Option<&Reading>,
    repairs: u8,
    assumptions: usize,
    share: Option<f64>,
) -> f64 {
    let sure = engine.map_or(0.0, |it| it.confidence);
    let mut doubt = 0.25;
    doubt *= match agreement {
        Agreement::Same => 1.0 - 0.8 * sure,
        // Different ways to the same rows can still meet by chance.
        Agreement::SameResult => 1.0 - 0.7 * sure,
        Agreement::SameTables => 1.0 - 0.2 * sure,
        Agreement::NoOpinion => 1.0,
        Agreement::Different => 1.0 + 0.6 * sure,
    };
    if let Some(share) = share {
        doubt *= 1.5 - share;
    }
    let mut score = 1.0 - doubt;
    score *= 0.88_f64.powi(i32::from(repairs));
    score *= 0.98_f64.powi(i32::try_from(assumptions.min(8)).unwrap_or(8));
    score.clamp(0.0, 1.0)
}

/// One word, sign, name or literal of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lexeme {
    /// A keyword or a name, as the server folds it.
    Word(String),
    /// A string or a number.
    Literal(String),
    /// Anything else.
    Sign(String),
}

impl Lexeme {
    fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(it) if it == word)
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self, Self::Sign(it) if it == sign)
    }
}

/// A statement without what does not change its meaning, as far as words tell: case, blanks, quotes around plain names,
/// qualification, names given to tables and columns.
///
/// Not a proof. It may call equal what differs in a self-join's sides only, and different what is equal; so it weighs in
/// a confidence and decides nothing.
pub(super) fn normalized(sql: &str) -> Vec<Lexeme> {
    unqualified(without_aliases(&lexemes(sql)))
}

fn lexemes(sql: &str) -> Vec<Lexeme> {
    let mut all = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let (lexeme, length) = match first {
            it if it.is_whitespace() => (None, it.len_utf8()),
            '\'' => {
                let end = closing(rest, '\'');
                (Some(Lexeme::Literal(rest[..end].to_owned())), end)
            }
            '"' => {
                let end = closing(rest, '"');
                let name = rest[1..end].trim_end_matches('"').replace("\"\"", "\"");
                (Some(Lexeme::Word(name)), end)
            }
            it if it.is_ascii_digit() => {
                let end = rest
                    .find(|it: char| !it.is_ascii_alphanumeric() && it != '.')
                    .unwrap_or(rest.len());
                (Some(Lexeme::Literal(rest[..end].to_ascii_lowercase())), end)
            }
            it if it.is_alphabetic() || it == '_' => {
                let end = rest
                    .find(|it: char| !it.is_alphanumeric() && it != '_' && it != '$')
                    .unwrap_or(rest.len());
                (Some(Lexeme::Word(rest[..end].to_ascii_lowercase())), end)
            }
            it => {
                let two = rest.get(..2).filter(|it| {
                    matches!(*it, "<=" | ">=" | "<>" | "!=" | "::" | "||" | "->" | "~~" | "!~")
                });
                match two {
                    Some("!=") => (Some(Lexeme::Sign("<>".to_owned())), 2),
                    Some(two) => (Some(Lexeme::Sign(two.to_owned())), 2),
                    None => (Some(Lexeme::Sign(it.to_string())), it.len_utf8()),
                }
            }
        };
        all.extend(lexeme);
        rest = &rest[length..];
    }
    // Words that change nothing.
    all.retain(|it| !it.is("asc") && !it.is("inner") && !it.is("outer") && !it.is_sign(";"));
    all
}

/// Where the quoted text at the beginning ends, the closing quote included.
fn closing(text: &str, quote: char) -> usize {
    let mut at = 1;
    while let Some(found) = text[at..].find(quote) {
        at += found + 1;
        if !text[at..].starts_with(quote) {
            return at;
        }
        at += 1;
    }
    text.len()
}

/// Drops `AS name`, but in casts and before bodies, and puts a table's own name where its alias qualifies a column.
fn without_aliases(all: &[Lexeme]) -> Vec<Lexeme> {
    let word = |at: usize| match all.get(at) {
        Some(Lexeme::Word(it)) => Some(it.as_str()),
        _ => None,
    };
    let sign = |at: usize, sign: &str| all.get(at).is_some_and(|it| it.is_sign(sign));
    let mut tables: Vec<(String, String)> = Vec::new();
    let mut kept = vec![true; all.len()];
    let mut casts: Vec<bool> = Vec::new();
    for at in 0..all.len() {
        if sign(at, "(") {
            casts.push(at > 0 && all[at - 1].is("cast"));
        } else if sign(at, ")") {
            casts.pop();
        } else if all[at].is("from") || all[at].is("join") {
            let mut name = at + 1;
            while sign(name + 1, ".") {
                name += 2;
            }
            let alias = name + 1 + usize::from(word(name + 1) == Some("as"));
            if let (Some(table), Some(given)) = (word(name), word(alias))
                && !FOLLOWS_A_TABLE.contains(&given)
            {
                tables.push((given.to_owned(), table.to_owned()));
                kept[name + 1..=alias].fill(false);
            }
        } else if all[at].is("as")
            && kept[at]
            && word(at + 1).is_some_and(|it| it != "materialized" && it != "not")
            && !casts.last().copied().unwrap_or(false)
        {
            kept[at] = false;
            kept[at + 1] = false;
        }
    }
    let named = |at: usize| {
        let given = word(at).filter(|_| sign(at + 1, "."))?;
        let mut meant = tables.iter().filter(|it| it.0 == given);
        meant.next().map(|it| Lexeme::Word(it.1.clone()))
    };
    (0..all.len())
        .filter(|at| kept[*at])
        .map(|at| named(at).unwrap_or_else(|| all[at].clone()))
        .collect()
}

/// Words that follow a table without being its alias.
const FOLLOWS_A_TABLE: [&str; 19] = [
    "where",
    "join",
    "left",
    "right",
    "full",
    "cross",
    "natural",
    "on",
    "using",
    "group",
    "order",
    "having",
    "limit",
    "offset",
    "fetch",
    "union",
    "intersect",
    "except",
    "tablesample",
];

/// Drops every qualifier, so that `o.total`, `orders.total` and `total` are one.
fn unqualified(all: Vec<Lexeme>) -> Vec<Lexeme> {
    let mut kept = Vec::with_capacity(all.len());
    for lexeme in all {
        if matches!(lexeme, Lexeme::Word(_) | Lexeme::Sign(_))
            && kept.last().is_some_and(|it: &Lexeme| it.is_sign("."))
            && kept.len() >= 2
            && matches!(kept[kept.len() - 2], Lexeme::Word(_))
        {
            kept.truncate(kept.len() - 2);
        }
        kept.push(lexeme);
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spelling_aliases_and_qualification_do_not_make_a_difference() {
        for (a, b) in [
            ("SELECT count(*) FROM orders", "select COUNT( * )\nfrom public.orders;"),
            ("SELECT count(*) AS count FROM orders", "SELECT count(*) FROM \"orders\" AS o"),
            (
                "SELECT c.name FROM customers c JOIN orders o ON o.customer_id = c.id WHERE o.total != 5",
                "SELECT customers.name FROM customers INNER JOIN orders AS t2 ON t2.customer_id = customers.id WHERE total <> 5",
            ),
            ("SELECT a FROM t ORDER BY a ASC", "SELECT t.a FROM s.t ORDER BY a"),
        ] {
            assert_eq!(normalized(a), normalized(b), "{a} / {b}");
        }
    }

    #[test]
    fn what_changes_the_answer_makes_a_difference() {
        for (a, b) in [
            ("SELECT a FROM t WHERE b = 'X'", "SELECT a FROM t WHERE b = 'x'"),
            ("SELECT a FROM t", "SELECT DISTINCT a FROM t"),
            ("SELECT a FROM t ORDER BY a", "SELECT a FROM t ORDER BY a DESC"),
            ("SELECT CAST(a AS int) FROM t", "SELECT CAST(a AS text) FROM t"),
            ("SELECT a FROM t WHERE b > 1", "SELECT a FROM t WHERE b >= 1"),
            ("SELECT a FROM t JOIN u ON t.i = u.i", "SELECT a FROM t LEFT JOIN u ON t.i = u.i"),
            ("SELECT a FROM t LIMIT 1", "SELECT a FROM t LIMIT 10"),
        ] {
            assert_ne!(normalized(a), normalized(b), "{a} / {b}");
        }
    }

    #[test]
    fn agreement_raises_the_confidence_and_repairs_lower_it() {
        let reading = Reading {
            sql: String::new(),
            explanation: String::new(),
            tables: Vec::new(),
            assumptions: Vec::new(),
            confidence: 0.9,
            query: crate::LogicalQuery::default(),
            ignored: Vec::new(),
            signals: Vec::new(),
        };
        let with = |agreement, repairs| confidence(agreement, Some(&reading), repairs, 0, None);
        let falling = [
            with(Agreement::Same, 0),
            with(Agreement::SameResult, 0),
            with(Agreement::SameTables, 0),
            confidence(Agreement::NoOpinion, None, 0, 0, None),
            with(Agreement::Different, 0),
            with(Agreement::Different, 1),
            with(Agreement::Different, 2),
        ];
        assert!(falling.is_sorted_by(|a, b| a > b), "{falling:?}");
        let of_one_mind = confidence(Agreement::NoOpinion, None, 0, 0, Some(1.0));
        let scattered = confidence(Agreement::NoOpinion, None, 0, 0, Some(1.0 / 3.0));
        assert!(of_one_mind > falling[3] && falling[3] > scattered);
        assert!(falling[0] > 0.9 && falling[6] < crate::CONFIDENCE_THRESHOLD, "{falling:?}");
    }

    proptest! {
        #[test]
        fn any_text_is_compared_without_panic(text in r#"(SELECT|FROM|AS|t|\.|"|'|\(|\)|CAST|é|1|!|=| ){0,40}"#) {
            prop_assert_eq!(normalized(&text), normalized(&text));
        }
    }
}
