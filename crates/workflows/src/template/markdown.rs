//! Markdown in which values stand for themselves, as HTML.
//!
//! While Markdown is read, a mark stands where a value will: a word that nobody can know beforehand, and that no sign around
//! it changes. The value comes in afterwards, where it is text and can be nothing else, whatever it holds.

use std::cell::Cell;
use std::fmt;

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, TextMergeStream};

use super::meter::LARGEST;

/// The largest page: values and signs are escaped in it.
const LARGEST_PAGE: usize = 8 * LARGEST;

/// How deep quotations and lists are nested in each other. The parser looks at all of them for each line.
const DEEPEST: usize = 100;

/// The longest target of a link that values stand in, in bytes with their marks: what browsers and servers take.
const LONGEST_TARGET: usize = 8 * 1024;

/// Schemes of links that values stand in.
const SCHEMES: [&str; 4] = ["http", "https", "mailto", "tel"];

/// What begins every mark of one rendering.
pub(super) fn mark() -> Result<String, String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| "there is no chance to be had".to_owned())?;
    Ok(format!("v{:032x}n", u128::from_be_bytes(bytes)))
}

/// A page of Markdown in which marks stand for values: the mark, the value's number, and an `e`. HTML in it stands for itself.
pub(super) fn page(markdown: &str, mark: &str, values: &[String]) -> Result<String, String> {
    if markdown.split(['\n', '\r']).any(|it| may_nest(it) > DEEPEST) {
        return Err(format!(
            "begins a line with more than {DEEPEST} quotations and lists inside of each other"
        ));
    }
    let parser = Parser::new_ext(markdown, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH);
    let parser = parser.map(|it| match it {
        Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
        other => other,
    });
    let filler = Filler { mark, values, left: Cell::new(Some(LARGEST_PAGE)) };
    let (mut is_code, mut dropped) = (false, Vec::new());
    let events = TextMergeStream::new(parser).filter_map(|it| {
        Some(match it {
            Event::Start(Tag::CodeBlock(kind)) => {
                is_code = true;
                Event::Start(Tag::CodeBlock(match kind {
                    pulldown_cmark::CodeBlockKind::Fenced(info) => {
                        pulldown_cmark::CodeBlockKind::Fenced(filler.text(info))
                    }
                    other @ pulldown_cmark::CodeBlockKind::Indented => other,
                }))
            }
            Event::End(TagEnd::CodeBlock) => {
                is_code = false;
                Event::End(TagEnd::CodeBlock)
            }
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                let target = filler.target(&dest_url);
                dropped.push(target.is_none());
                let (dest_url, title) = (target?.into(), filler.text(title));
                Event::Start(Tag::Link { link_type, dest_url, title, id })
            }
            Event::Start(Tag::Image { link_type, dest_url, title, id }) => {
                let target = filler.target(&dest_url);
                dropped.push(target.is_none());
                let (dest_url, title) = (target?.into(), filler.text(title));
                Event::Start(Tag::Image { link_type, dest_url, title, id })
            }
            // What leads nowhere is the text that would have led there.
            Event::End(TagEnd::Link | TagEnd::Image) if dropped.pop() == Some(true) => return None,
            Event::Text(text) if is_code => Event::Text(filler.code(text)),
            Event::Text(text) => Event::Text(filler.text(text)),
            Event::Code(text) => Event::Code(filler.text(text)),
            other => other,
        })
    });
    let mut page = Page(String::from(
        "<!doctype html><html lang=\"en\"><body style=\"font-family:sans-serif;max-width:60em\">",
    ));
    pulldown_cmark::html::write_html_fmt(&mut page, events)
        .map_err(|_| format!("becomes larger than {LARGEST_PAGE} bytes"))?;
    if filler.left.get().is_none() {
        return Err(format!(
            "holds more than {LARGEST_PAGE} bytes of values, those of a link counted as often as it is used"
        ));
    }
    let mut html = page.0.replace(
        "<table>",
        "<table style=\"border-collapse:collapse\" border=\"1\" cellpadding=\"4\">",
    );
    html.push_str("</body></html>");
    Ok(html)
}

/// How deep what begins at a line can be nested: the signs of quotations and lists that it begins with, and two columns of
/// indentation for each list that it may go on with.
fn may_nest(line: &str) -> usize {
    let (mut signs, mut columns) = (0, 0);
    let mut rest = line.as_bytes();
    loop {
        let after = match rest {
            [b' ', after @ ..] => {
                columns += 1;
                rest = after;
                continue;
            }
            [b'\t', after @ ..] => {
                columns += 4;
                rest = after;
                continue;
            }
            [b'>', after @ ..] => after,
            _ => match after_list_sign(rest) {
                Some(after) => after,
                None => break,
            },
        };
        signs += 1;
        // The blank after a sign is its own.
        rest = after.strip_prefix(b" ").unwrap_or(after);
    }
    // What only is far to the right nests nothing that was not nested before.
    if signs == 0 { 0 } else { signs + columns / 2 }
}

/// What follows the sign of a list's entry, which stands before a blank or alone.
fn after_list_sign(line: &[u8]) -> Option<&[u8]> {
    let digits = line.iter().take_while(|it| it.is_ascii_digit()).count();
    let after = match &line[digits..] {
        [b'-' | b'+' | b'*', after @ ..] if digits == 0 => after,
        [b'.' | b')', after @ ..] if digits > 0 => after,
        _ => return None,
    };
    matches!(after, [] | [b' ' | b'\t', ..]).then_some(after)
}

struct Filler<'a> {
    mark: &'a str,
    values: &'a [String],
    /// How many bytes may still be filled in, whether or not somebody sees them: a target is led to many times. `None` where
    /// that was not enough, and so something is missing.
    left: Cell<Option<usize>>,
}

impl Filler<'_> {
    /// Puts values where their marks stand.
    fn fill(&self, text: &str, put: impl Fn(&str) -> String) -> Option<String> {
        let mut filled = String::with_capacity(text.len());
        let mut pieces = text.split(self.mark);
        filled.push_str(pieces.next().unwrap_or_default());
        for it in pieces {
            let found = it.split_once('e').and_then(|(number, rest)| {
                Some((self.values.get(number.parse::<usize>().ok()?)?, rest))
            });
            // Nobody but the rendering writes a mark, and it writes them whole.
            let (value, rest) = found?;
            self.spend(value.len())?;
            filled.push_str(&put(value));
            filled.push_str(rest);
        }
        Some(filled)
    }

    fn spend(&self, bytes: usize) -> Option<usize> {
        self.left.set(self.left.get().and_then(|it| it.checked_sub(bytes)));
        self.left.get()
    }

    fn with<'t>(&self, text: CowStr<'t>, put: impl Fn(&str) -> String) -> CowStr<'t> {
        if !text.contains(self.mark) {
            return text;
        }
        self.fill(&text, put).unwrap_or_default().into()
    }

    /// A text: a break in a value is a blank.
    fn text<'t>(&self, text: CowStr<'t>) -> CowStr<'t> {
        self.with(text, |value| {
            value.chars().map(|it| if it.is_control() { ' ' } else { it }).collect()
        })
    }

    /// Lines of code, in which a value may have breaks of its own.
    fn code<'t>(&self, text: CowStr<'t>) -> CowStr<'t> {
        let blank = |it: char| it.is_control() && !matches!(it, '\n' | '\t');
        self.with(text, |value| value.chars().map(|it| if blank(it) { ' ' } else { it }).collect())
    }

    /// Where a link leads; `None` if a value would decide to whom.
    fn target(&self, target: &str) -> Option<String> {
        let Some((before, _)) = target.split_once(self.mark) else {
            return Some(target.to_owned());
        };
        // What stands before the first value says it, or a value would.
        if target.len() > LONGEST_TARGET || !leads_somewhere(before) {
            // It is not written, and may be looked at many times.
            self.spend(target.len())?;
            return None;
        }
        self.fill(target, percent_encoded)
    }
}

/// Whether that beginning of a target says already to whom it leads.
fn leads_somewhere(before: &str) -> bool {
    let Some((scheme, rest)) = before.split_once(':') else { return false };
    if !SCHEMES.contains(&scheme.to_ascii_lowercase().as_str()) {
        return false;
    }
    if !scheme.to_ascii_lowercase().starts_with("http") {
        return true;
    }
    let host = rest.strip_prefix("//").and_then(|it| it.split_once(['/', '?', '#']));
    // What stands before an `@` is no host, and a backslash ends one for some readers and not for others.
    host.is_some_and(|it| !it.0.is_empty() && !it.0.contains(['\\', '@']))
}

/// All but letters, digits and what never means anything in a URL's parts; an `@` is one of an address.
fn percent_encoded(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'@') {
            encoded.push(char::from(byte));
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            let digit = |it: u8| char::from(HEX[usize::from(it)]);
            encoded.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    encoded
}

/// A page with a bound: a target is written down once, and may be led to many times.
struct Page(String);

impl fmt::Write for Page {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > LARGEST_PAGE {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}
