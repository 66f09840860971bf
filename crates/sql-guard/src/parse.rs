//! From text to one `SelectStmt`: limits first, then Postgres's scanner, then its grammar.

use std::ops::Range;

use pg_query::NodeEnum;
use pg_query::protobuf::{self, CallStmt, DeleteStmt, InsertStmt, SelectStmt, Token, UpdateStmt};
use serde_json::Value;

use crate::parser;
use crate::rejection::{Rejection, Rule};

/// The longest statement that is read, in bytes of UTF-8. People and language models stay below a tenth of it.
pub const MAX_SQL_BYTES: usize = 64 * 1024;

/// The most tokens (words, numbers, signs) that a statement may have.
pub const MAX_TOKENS: usize = 20_000;

/// How deeply brackets may nest before the text is given to the parser at all. The tree that comes back is limited more
/// tightly still: reading it stops at 100 messages within messages, about 45 operators within operators or 50 arms of
/// one `UNION`. So every recursion over the tree is bounded, and a deep input is an error and no crash.
pub const MAX_BRACKET_DEPTH: usize = 200;

/// Postgres cuts names after so many bytes (`NAMEDATALEN` less one).
const MAX_NAME_BYTES: usize = 63;

/// One statement that is a SELECT by Postgres's grammar, and nothing more is known of it.
pub(crate) struct Parsed {
    pub(crate) select: Box<SelectStmt>,
    /// The statement's own bytes in the text: without the comments, blanks and semicolons around it.
    pub(crate) span: Range<usize>,
    /// Where the first number stands that only version 16 and later read as one: `1_000`, `0xFF`. Before, each was a
    /// number and a name.
    pub(crate) new_number: Option<i32>,
}

/// One statement that writes, by Postgres's grammar, and nothing more is known of it.
pub(crate) enum Writing {
    Insert(Box<InsertStmt>),
    Update(Box<UpdateStmt>),
    Delete(Box<DeleteStmt>),
    Call(Box<CallStmt>),
}

/// See [`Writing`].
pub(crate) struct ParsedWrite {
    pub(crate) statement: Writing,
    /// See [`Parsed::span`].
    pub(crate) span: Range<usize>,
    /// See [`Parsed::new_number`].
    pub(crate) new_number: Option<i32>,
}

/// What kind of statement is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Read,
    Write,
}

/// What the tokens tell.
#[derive(Default)]
struct Outline {
    span: Option<Range<usize>>,
    new_number: Option<i32>,
}

/// # Errors
///
/// A [`Rejection`] for whatever is not one SELECT within the limits.
pub(crate) fn parse(sql: &str) -> Result<Parsed, Rejection> {
    let (node, span, new_number) = parse_one(sql, Wanted::Read)?;
    match node {
        NodeEnum::SelectStmt(select) => Ok(Parsed { select, span, new_number }),
        _ => Err(not_a_select().at(sql, offset(span.start))),
    }
}

/// # Errors
///
/// A [`Rejection`] for whatever is not one INSERT, UPDATE, DELETE or CALL within the limits.
pub(crate) fn parse_write(sql: &str) -> Result<ParsedWrite, Rejection> {
    let (node, span, new_number) = parse_one(sql, Wanted::Write)?;
    let statement = match node {
        NodeEnum::InsertStmt(it) => Writing::Insert(it),
        NodeEnum::UpdateStmt(it) => Writing::Update(it),
        NodeEnum::DeleteStmt(it) => Writing::Delete(it),
        NodeEnum::CallStmt(it) => Writing::Call(it),
        _ => return Err(not_a_write().at(sql, offset(span.start))),
    };
    Ok(ParsedWrite { statement, span, new_number })
}

type One = (NodeEnum, Range<usize>, Option<i32>);

fn parse_one(sql: &str, wanted: Wanted) -> Result<One, Rejection> {
    fits(sql)?;
    let sql = sql.to_owned();
    parser::run(move || read(&sql, wanted)).unwrap_or_else(|| Err(unavailable()))
}

/// One SELECT as a tree of JSON: for whoever changes nodes of it, since those of the parser can be looked at only.
///
/// # Errors
///
/// As for [`parse`].
pub(crate) fn tree(sql: &str) -> Result<Value, Rejection> {
    fits(sql)?;
    let text = sql.to_owned();
    let read = parser::run(move || {
        let (node, ..) = read(&text, Wanted::Read)?;
        serde_json::to_value(&node).map_err(|_| unavailable())
    });
    read.unwrap_or_else(|| Err(unavailable()))
}

fn fits(sql: &str) -> Result<(), Rejection> {
    if sql.len() > MAX_SQL_BYTES {
        let message = format!(
            "the statement has {} bytes; {MAX_SQL_BYTES} is the most. Make it shorter, for instance with a join \
             instead of a long list of values",
            sql.len()
        );
        return Err(Rejection::new(Rule::TooLong, message));
    }
    if let Some(at) = sql.find('\0') {
        return Err(Rejection::new(Rule::Syntax, "the statement holds a NUL character; remove it")
            .at(sql, offset(at)));
    }
    Ok(())
}

fn unavailable() -> Rejection {
    Rejection::new(Rule::Unavailable, "the statement cannot be judged just now; try again")
}

/// The words and signs of a text that [`parse`] has taken, comments among them.
///
/// # Errors
///
/// A [`Rejection`] if the scanner does not take it.
pub(crate) fn tokens(sql: &str) -> Result<Vec<protobuf::ScanToken>, Rejection> {
    let text = sql.to_owned();
    let scanned =
        parser::run(move || plinth_pg_tree::scan(&text).map_err(|err| failure(&text, &[], &err)));
    scanned.unwrap_or_else(|| Err(unavailable()))
}

/// Must run in [`parser::run`].
fn read(sql: &str, wanted: Wanted) -> Result<One, Rejection> {
    let tokens = plinth_pg_tree::scan(sql).map_err(|err| failure(sql, &[], &err))?;
    let outline = outline(sql, &tokens, wanted)?;
    let span = outline.span.ok_or_else(|| empty(wanted))?;
    let mut statements = plinth_pg_tree::parse(sql).map_err(|err| failure(sql, &tokens, &err))?;
    // The scanner has seen to this already; the tree is what counts.
    if statements.len() > 1 {
        return Err(multiple());
    }
    let statement = statements.pop().and_then(|it| it.stmt).and_then(|it| it.node);
    let node = statement.ok_or_else(|| empty(wanted))?;
    Ok((node, span, outline.new_number))
}

/// Looks at the tokens only: finds the statement within comments and semicolons, and refuses what needs no parser.
fn outline(
    sql: &str,
    tokens: &[protobuf::ScanToken],
    wanted: Wanted,
) -> Result<Outline, Rejection> {
    if tokens.len() > MAX_TOKENS {
        let message =
            format!("the statement has {} words and signs; {MAX_TOKENS} is the most", tokens.len());
        return Err(Rejection::new(Rule::TooComplex, message));
    }
    let mut outline = Outline::default();
    let mut ended = false;
    let mut depth = 0_usize;
    for token in tokens {
        let kind = token.token();
        match kind {
            Token::SqlComment | Token::CComment => continue,
            Token::Ascii59 => {
                ended = outline.span.is_some();
                continue;
            }
            Token::Ascii40 | Token::Ascii91 => depth += 1,
            Token::Ascii41 | Token::Ascii93 => depth = depth.saturating_sub(1),
            _ => {}
        }
        if ended {
            return Err(multiple().at(sql, token.start));
        }
        if depth > MAX_BRACKET_DEPTH {
            return Err(too_deep().at(sql, token.start));
        }
        let (Ok(start), Ok(end)) = (usize::try_from(token.start), usize::try_from(token.end))
        else {
            return Err(Rejection::new(Rule::Syntax, "the statement cannot be read"));
        };
        let Some(span) = &mut outline.span else {
            let opens = match wanted {
                Wanted::Read => matches!(
                    kind,
                    Token::Select | Token::With | Token::Values | Token::Table | Token::Ascii40
                ),
                Wanted::Write => matches!(
                    kind,
                    Token::Insert | Token::Update | Token::DeleteP | Token::Call | Token::With
                ),
            };
            if !opens {
                let refused = match wanted {
                    Wanted::Read => not_a_select(),
                    Wanted::Write => not_a_write(),
                };
                return Err(refused.at(sql, token.start));
            }
            outline.span = Some(start..end);
            continue;
        };
        span.end = end;
        // Names are cut after 63 bytes of the server's encoding, which may not be UTF-8: what is cut here could be
        // another name there. Names of ASCII letters are cut alike everywhere.
        let may_be_cut = match kind {
            Token::Ident => !sql[start..end].is_ascii(),
            Token::Uident => true,
            Token::Iconst | Token::Fconst => {
                if is_new_number(&sql[start..end]) {
                    outline.new_number.get_or_insert(token.start);
                }
                false
            }
            _ => false,
        };
        if may_be_cut && end - start > MAX_NAME_BYTES {
            let message = "a name is longer than 63 bytes; shorten it";
            return Err(Rejection::new(Rule::UnsupportedSyntax, message).at(sql, token.start));
        }
    }
    Ok(outline)
}

fn is_new_number(digits: &str) -> bool {
    let mut letters = digits.bytes().skip(1);
    digits.contains('_') || letters.next().is_some_and(|it| matches!(it | 0x20, b'x' | b'o' | b'b'))
}

fn empty(wanted: Wanted) -> Rejection {
    let write = match wanted {
        Wanted::Read => "one SELECT",
        Wanted::Write => "one INSERT, UPDATE, DELETE or CALL",
    };
    Rejection::new(Rule::Empty, format!("there is no statement; write {write}"))
}

fn multiple() -> Rejection {
    Rejection::new(
        Rule::MultipleStatements,
        "only one statement may be run at a time; remove what follows the semicolon",
    )
}

fn not_a_select() -> Rejection {
    Rejection::new(
        Rule::NotASelect,
        "only reading is allowed: one SELECT, VALUES or TABLE, also after WITH",
    )
}

fn not_a_write() -> Rejection {
    Rejection::new(
        Rule::NotAWrite,
        "only one INSERT, UPDATE, DELETE or CALL may be run over a write connection, the first three also after WITH",
    )
}

fn too_deep() -> Rejection {
    Rejection::new(
        Rule::TooDeep,
        "the statement is nested too deeply (about 45 operators or set operations within each other is the most); \
         use lists, arrays, concat() or WITH to flatten it",
    )
}

/// What the parser says, as a rejection. It is passed on without the place, so that is looked for: the text that the message
/// quotes, if it stands in the statement once.
fn failure(sql: &str, tokens: &[protobuf::ScanToken], err: &plinth_pg_tree::Error) -> Rejection {
    let message = match err {
        plinth_pg_tree::Error::Refused(message) => message.as_str(),
        plinth_pg_tree::Error::TooDeep => return too_deep(),
        plinth_pg_tree::Error::Nul | plinth_pg_tree::Error::Unreadable => {
            "the statement cannot be read"
        }
    };
    // Behind the first quote stand words of the statement, which may say anything.
    let own = message.split('"').next().unwrap_or_default();
    if own.contains("too many open file descriptors") {
        let message = "the statement cannot be judged just now; try again";
        return Rejection::new(Rule::Unavailable, message);
    }
    let deep = ["nested too deeply", "stack depth limit", "memory exhausted"];
    if deep.iter().any(|it| own.contains(it)) {
        return too_deep();
    }
    let rejection =
        Rejection::new(Rule::Syntax, format!("Postgres cannot read the statement: {message}"));
    if message.ends_with("at end of input") {
        return rejection.at(sql, offset(sql.trim_end().len()));
    }
    let Some(quoted) = message.rsplit_once("near \"").and_then(|it| it.1.strip_suffix('"')) else {
        return rejection;
    };
    let mut places = tokens
        .iter()
        .filter(|it| {
            let range = usize::try_from(it.start).ok().zip(usize::try_from(it.end).ok());
            range.and_then(|(start, end)| sql.get(start..end)) == Some(quoted)
        })
        .map(|it| it.start);
    match (places.next(), places.next()) {
        (Some(only), None) => rejection.at(sql, only),
        _ => rejection,
    }
}

fn offset(at: usize) -> i32 {
    i32::try_from(at).unwrap_or(-1)
}
