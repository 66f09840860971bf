//! Array literals, as Postgres prints them.

/// What an array literal consists of, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// A dimension begins; `true` if another part of the same dimension stands before it.
    Open(bool),
    /// A dimension ends.
    Close,
    /// An element, `None` for null; `true` if another stands before it.
    Element(Option<&'a [u8]>, bool),
}

/// More dimensions than this Postgres does not have.
const DIMENSIONS: usize = 6;

/// Reads an array literal (`{1,NULL,"a b"}`, `[2:3]={1,2}`, `{{1},{2}}`) from its beginning to its end.
///
/// `scratch` holds an element whose escapes were resolved. `None` if the text is no array literal; then some parts may
/// already have been given out.
pub(super) fn parse(
    text: &[u8],
    delimiter: u8,
    scratch: &mut Vec<u8>,
    mut part: impl FnMut(Part<'_>),
) -> Option<()> {
    let mut rest = after_bounds(text)?;
    let mut depth = 0_usize;
    // Whether something stands before this place in its dimension, and whether a delimiter does.
    let (mut preceded, mut divided) = (false, false);
    loop {
        let (&first, after) = rest.split_first()?;
        match first {
            b'{' if divided == preceded => {
                depth += 1;
                if depth > DIMENSIONS {
                    return None;
                }
                part(Part::Open(preceded));
                (preceded, divided) = (false, false);
                rest = after;
            }
            b'}' if depth > 0 && !divided => {
                depth -= 1;
                part(Part::Close);
                preceded = true;
                rest = after;
                if depth == 0 {
                    return rest.is_empty().then_some(());
                }
            }
            _ if depth == 0 => return None,
            _ if first == delimiter => {
                if !preceded || divided {
                    return None;
                }
                divided = true;
                rest = after;
            }
            _ if preceded && !divided => return None,
            b'"' => {
                let length = quoted_length(after)?;
                let body = &after[..length];
                if body.contains(&b'\\') {
                    unescape(body, scratch);
                    part(Part::Element(Some(scratch), preceded));
                } else {
                    part(Part::Element(Some(body), preceded));
                }
                (preceded, divided) = (true, false);
                rest = &after[length + 1..];
            }
            _ => {
                let end = |it: &u8| *it == delimiter || matches!(it, b'{' | b'}' | b'"');
                let length = rest.iter().position(end).filter(|it| *it > 0)?;
                let body = &rest[..length];
                let value = (!body.eq_ignore_ascii_case(b"null")).then_some(body);
                part(Part::Element(value, preceded));
                (preceded, divided) = (true, false);
                rest = &rest[length..];
            }
        }
    }
}

/// What comes after `[2:3][0:1]=`, which stands before arrays whose indices do not begin at 1.
fn after_bounds(text: &[u8]) -> Option<&[u8]> {
    if text.first() != Some(&b'[') {
        return Some(text);
    }
    let end = text.iter().position(|it| *it == b'=')?;
    let bound = |it: &u8| it.is_ascii_digit() || matches!(it, b'[' | b']' | b':' | b'-' | b'+');
    text[..end].iter().all(bound).then(|| &text[end + 1..])
}

/// How far it is to the closing quotation mark.
fn quoted_length(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += text[at..].iter().position(|it| matches!(it, b'"' | b'\\'))?;
        if text[at] == b'"' {
            return Some(at);
        }
        at += 2;
        if at > text.len() {
            return None;
        }
    }
}

fn unescape(body: &[u8], scratch: &mut Vec<u8>) {
    scratch.clear();
    let mut bytes = body.iter();
    while let Some(byte) = bytes.next() {
        scratch.extend(if *byte == b'\\' { bytes.next() } else { Some(byte) });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    enum Tree {
        Element(Option<String>),
        Array(Vec<Tree>),
    }

    fn read(text: &str) -> Option<Tree> {
        let mut open: Vec<Vec<Tree>> = vec![Vec::new()];
        parse(text.as_bytes(), b',', &mut Vec::new(), |part| match part {
            Part::Open(_) => open.push(Vec::new()),
            Part::Close => {
                let closed = Tree::Array(open.pop().unwrap());
                open.last_mut().unwrap().push(closed);
            }
            Part::Element(it, _) => {
                let value = it.map(|it| String::from_utf8(it.to_vec()).unwrap());
                open.last_mut().unwrap().push(Tree::Element(value));
            }
        })?;
        open.pop()?.pop()
    }

    /// As `array_out` does.
    fn print(tree: &Tree) -> String {
        match tree {
            Tree::Element(None) => "NULL".into(),
            Tree::Element(Some(text)) => {
                let special = |it: char| {
                    matches!(it, '"' | '\\' | '{' | '}' | ',') || it.is_ascii_whitespace()
                };
                if text.is_empty() || text.eq_ignore_ascii_case("null") || text.contains(special) {
                    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
                } else {
                    text.clone()
                }
            }
            Tree::Array(parts) => {
                format!("{{{}}}", parts.iter().map(print).collect::<Vec<_>>().join(","))
            }
        }
    }

    fn texts(values: &[Option<&str>]) -> Tree {
        Tree::Array(values.iter().map(|it| Tree::Element(it.map(str::to_owned))).collect())
    }

    #[test]
    fn what_postgres_prints_is_read() {
        let expected = texts(&[
            Some("a\"b"),
            Some("c\\d"),
            Some(""),
            None,
            Some("NULL"),
            Some("{x}"),
            Some("a,b"),
            Some(" s"),
        ]);
        assert_eq!(read(r#"{"a\"b","c\\d","",NULL,"NULL","{x}","a,b"," s"}"#), Some(expected));
        assert_eq!(read("[2:3]={1,2}"), Some(texts(&[Some("1"), Some("2")])));
        assert_eq!(read("{}"), Some(texts(&[])));
        let rows = Tree::Array(vec![texts(&[Some("1"), Some("2")]), texts(&[Some("3"), None])]);
        assert_eq!(read("[1:2][-1:0]={{1,2},{3,NULL}}"), Some(rows));
    }

    #[test]
    fn what_is_no_array_literal_is_refused() {
        for text in [
            "",
            "1",
            "{",
            "}",
            "{1",
            "{1,}",
            "{,1}",
            "{1 ,,2}",
            "{\"a}",
            "{\"a\"b}",
            "{a\"b\"}",
            "{1}2",
            "{1}{2}",
            "{{1}2}",
            "[1:2]{1}",
            "{{{{{{{1}}}}}}}",
            "{\"a\\",
            "{\"a\\\"",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    fn any_tree() -> impl Strategy<Value = Tree> {
        let element =
            proptest::option::of("[a-c\"\\\\{}, \tNULnul]{0,6}|\\PC{0,4}").prop_map(Tree::Element);
        let array = |inner| proptest::collection::vec(inner, 0..4).prop_map(Tree::Array);
        prop_oneof![array(element.clone().boxed()), array(array(element.boxed()).boxed())]
    }

    proptest! {
        #[test]
        fn a_printed_array_is_read_back(tree in any_tree()) {
            prop_assert_eq!(read(&print(&tree)), Some(tree));
        }

        #[test]
        fn any_bytes_are_read_or_refused(text in "[\\[\\]{}\",\\\\a1:=-]{0,20}") {
            let _ = read(&text);
        }
    }
}
