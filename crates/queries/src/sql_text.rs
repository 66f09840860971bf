//! The lexical rules of Postgres (manual, section 4.1), as far as they say where a value may be put into a statement: outside
//! of quotes and comments, where it becomes a bound parameter and never is text of the statement.

/// What a statement's text begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// `{{ … }}`, with its length in bytes; `None` if it is not closed.
    Value(Option<usize>),
    /// A literal, a quoted name or a comment, with its length in bytes.
    Quoted(usize),
    /// A numbered parameter, like `$1`.
    Parameter,
    /// Anything else, with its length in bytes.
    Plain(usize),
}

/// What `text`, which is not empty, begins with.
pub fn first_piece(text: &str) -> Piece {
    let bytes = text.as_bytes();
    let to = |end: &str, from: usize| {
        text[from..].find(end).map_or(text.len(), |at| from + at + end.len())
    };
    match bytes[0] {
        b'{' if bytes.get(1) == Some(&b'{') => Piece::Value(text.find("}}").map(|at| at + 2)),
        b'e' | b'E' if bytes.get(1) == Some(&b'\'') => Piece::Quoted(escape_string(bytes)),
        // A doubled quote ends one literal and begins the next: the same for us.
        b'\'' => Piece::Quoted(to("'", 1)),
        b'"' => Piece::Quoted(to("\"", 1)),
        b'-' if bytes.get(1) == Some(&b'-') => Piece::Quoted(to("\n", 2)),
        b'/' if bytes.get(1) == Some(&b'*') => Piece::Quoted(comment(bytes)),
        b'$' if bytes.get(1).is_some_and(u8::is_ascii_digit) => Piece::Parameter,
        b'$' => match dollar_tag(text) {
            Some(tag) => Piece::Quoted(to(tag, tag.len())),
            None => Piece::Plain(1),
        },
        // A whole word, so that the `e` or `$` at its end begins nothing.
        it if it.is_ascii_alphabetic() || it == b'_' || !it.is_ascii() => {
            let end =
                |it: char| !(it.is_alphanumeric() || it == '_' || it == '$' || !it.is_ascii());
            Piece::Plain(text.find(end).unwrap_or(text.len()))
        }
        _ => Piece::Plain(1),
    }
}

/// `E'…'`, where a backslash takes the sign after it.
fn escape_string(bytes: &[u8]) -> usize {
    let mut at = 2;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'\'' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Comments nest.
fn comment(bytes: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < bytes.len() {
        match &bytes[at..bytes.len().min(at + 2)] {
            b"/*" => (at, depth) = (at + 2, depth + 1),
            b"*/" => {
                (at, depth) = (at + 2, depth - 1);
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

/// `$tag$`, if the text begins with one.
fn dollar_tag(text: &str) -> Option<&str> {
    let end = text[1..].find('$')? + 1;
    let tag = &text[1..end];
    let fits = tag.chars().all(|it| it.is_alphanumeric() || it == '_');
    fits.then(|| &text[..=end])
}
