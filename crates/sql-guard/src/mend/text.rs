//! Changes to a statement's text at the places that its tree names.

use std::ops::Range;

use pg_query::protobuf::{KeywordKind, ScanToken, Token};

use crate::parse::tokens;
use crate::rejection::Rejection;

/// A change to a text: what stands in the place of a range of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Which bytes.
    pub range: Range<usize>,
    /// What stands there.
    pub text: String,
}

/// A text after changes to it; `None` if two of them meet.
pub(super) fn edited(text: &str, edits: &[Edit]) -> Option<String> {
    let mut out = String::with_capacity(text.len() + 64);
    let mut from = 0;
    for edit in edits {
        out.push_str(text.get(from..edit.range.start)?);
        out.push_str(&edit.text);
        from = edit.range.end;
    }
    out.push_str(text.get(from..)?);
    Some(out)
}

/// The statement's words, comments left out.
pub(super) struct Words(Vec<ScanToken>);

impl Words {
    /// # Errors
    ///
    /// A [`Rejection`] if the scanner does not take it.
    pub(super) fn of(sql: &str) -> Result<Self, Rejection> {
        let mut all = tokens(sql)?;
        all.retain(|it| !matches!(it.token(), Token::SqlComment | Token::CComment));
        Ok(Self(all))
    }

    fn at(&self, location: i64) -> Option<usize> {
        let location = i32::try_from(location).ok()?;
        self.0.binary_search_by_key(&location, |it| it.start).ok()
    }

    fn place(&self, at: usize) -> Option<Range<usize>> {
        let word = self.0.get(at)?;
        Some(usize::try_from(word.start).ok()?..usize::try_from(word.end).ok()?)
    }

    /// The place of the part of that number of a name of several parts that begins there.
    pub(super) fn part(&self, location: i64, part: usize) -> Option<Range<usize>> {
        self.place(self.at(location)? + 2 * part)
    }

    /// The places of the first parts of a name with the dots after them.
    pub(super) fn prefix(&self, location: i64, parts: usize) -> Option<Range<usize>> {
        let (first, next) = (self.part(location, 0)?, self.part(location, parts)?);
        Some(first.start..next.start)
    }

    /// Where an item of a select list ends that begins there.
    pub(super) fn end_of_target(&self, location: i64) -> Option<usize> {
        let first = self.at(location)?;
        let mut depth = 0_usize;
        let mut last = first;
        for at in first..self.0.len() {
            match self.0[at].token() {
                Token::Ascii40 | Token::Ascii91 => depth += 1,
                Token::Ascii41 | Token::Ascii93 if depth == 0 => break,
                Token::Ascii41 | Token::Ascii93 => depth -= 1,
                // `IS DISTINCT FROM` goes on.
                Token::From if depth == 0 && self.0[last].token() == Token::Distinct => {}
                it if depth == 0 && ends(it) => break,
                _ => {}
            }
            last = at;
        }
        self.place(last).map(|it| it.end)
    }
}

/// Whether nothing of a select list's item stands from that word on.
fn ends(it: Token) -> bool {
    matches!(
        it,
        Token::Ascii44
            | Token::Ascii59
            | Token::From
            | Token::Where
            | Token::GroupP
            | Token::Having
            | Token::Window
            | Token::Union
            | Token::Intersect
            | Token::Except
            | Token::Order
            | Token::Limit
            | Token::Offset
            | Token::Fetch
            | Token::For
            | Token::Into
    )
}

/// A name as it is written in a statement: in quotes only where it needs them.
pub(super) fn spelled(name: &str) -> String {
    let is_plain = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_';
    let begins = name.bytes().next().is_some_and(|it| it.is_ascii_lowercase() || it == b'_');
    if begins
        && name.bytes().all(is_plain)
        && let Ok(words) = tokens(name)
        && let [word] = words.as_slice()
        && word.keyword_kind() == KeywordKind::NoKeyword
    {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}
