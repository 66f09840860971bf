//! What text of others' may become in a picture, and about how wide it will be.

use unicode_width::UnicodeWidthChar as _;

/// Text that XML can hold and that stays where it stands: without control characters, and without those that turn the
/// direction of what follows. Blanks of all sorts become one.
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for it in text.chars() {
        match it {
            _ if it.is_whitespace() => {
                if !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => {}
            '\u{feff}' | '\u{fffe}' | '\u{ffff}' | '\u{fdd0}'..='\u{fdef}' => {}
            _ if it.is_control() => {}
            _ => out.push(it),
        }
    }
    out.trim().to_owned()
}

/// About how wide a text is, in the unit of its size. Whoever shows the picture has fonts of their own, so no more can be
/// known; common sans-serif faces are a little narrower.
pub(crate) fn width(text: &str, size: f64) -> f64 {
    text.chars().map(|it| of_char(it) * size).sum()
}

fn of_char(it: char) -> f64 {
    match it {
        'i' | 'j' | 'l' | '\'' | '|' => 0.25,
        '.' | ',' | ':' | ';' | '!' | ' ' | 'I' | 'f' | 't' | '/' | '(' | ')' | '[' | ']' => 0.31,
        'r' | '-' | '"' => 0.37,
        'm' | 'M' | 'W' | '%' | '@' => 0.9,
        'w' => 0.75,
        'A'..='Z' | '&' => 0.7,
        _ if it.is_ascii() => 0.57,
        _ => match it.width() {
            Some(0) | None => 0.0,
            Some(1) => 0.62,
            _ => 1.05,
        },
    }
}

/// The text, or as much of it as fits and an ellipsis.
pub(crate) fn fit(text: &str, size: f64, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let mut left = room - width("…", size);
    let mut out = String::new();
    for it in text.chars() {
        left -= of_char(it) * size;
        if left < 0.0 {
            break;
        }
        out.push(it);
    }
    while out.ends_with(' ') {
        out.pop();
    }
    out.push('…');
    out
}

/// The text in lines that fit, at most so many; the last ends with an ellipsis if there is more.
pub(crate) fn wrap(text: &str, size: f64, room: f64, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut words = text.split(' ').filter(|it| !it.is_empty()).peekable();
    let mut line = String::new();
    while let Some(word) = words.next() {
        let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if width(&longer, size) <= room {
            line = longer;
        } else {
            if !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            line = fit(word, size, room);
        }
        if lines.len() == most {
            break;
        }
        if words.peek().is_none() {
            lines.push(std::mem::take(&mut line));
        }
    }
    if !line.is_empty() {
        // There was no place for this one.
        if let Some(last) = lines.last_mut() {
            *last = fit(&format!("{last} {line} …"), size, room);
        }
    }
    lines
}

/// Text between tags and in attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for it in text.chars() {
        match it {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            _ => out.push(it),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_that_does_not_fit_ends_with_an_ellipsis() {
        assert_eq!(fit("short", 10.0, 100.0), "short");
        let cut = fit("a very long label that goes on", 10.0, 60.0);
        assert!(cut.ends_with('…') && width(&cut, 10.0) <= 60.0, "{cut}");
    }

    #[test]
    fn lines_hold_every_word_or_say_that_they_do_not() {
        assert_eq!(wrap("one two three", 10.0, 1000.0, 3), ["one two three"]);
        let lines = wrap("one two three four five six", 10.0, 50.0, 2);
        assert_eq!(lines.len(), 2);
        assert!(lines[1].ends_with('…'), "{lines:?}");
        assert!(wrap("", 10.0, 50.0, 2).is_empty());
    }

    proptest! {
        #[test]
        fn clean_text_has_no_control_characters_and_is_its_own_clean_text(text: String) {
            let cleaned = clean(&text);
            prop_assert!(!cleaned.chars().any(char::is_control));
            prop_assert_eq!(clean(&cleaned), cleaned);
        }

        #[test]
        fn what_was_cut_fits(text in ".{0,60}", room in 20.0..300.0) {
            prop_assert!(width(&fit(&clean(&text), 12.0, room), 12.0) <= room);
        }
    }
}
