//! Lengths of time before what has them: `a 5 year warranty`, where months of warranty are kept.

use crate::{
    index::{ColumnInfo, SchemaIndex},
    lexicon::LEXICON,
    link::distance,
    phrase,
    token::{Token, TokenKind},
};

/// Units of time with how many of the next smaller one each has.
const UNITS: [(&str, f64); 6] =
    [("year", 12.0), ("month", 0.0), ("week", 7.0), ("day", 24.0), ("hour", 60.0), ("minute", 0.0)];

/// Shorter words are not taken for slips of others.
const LONG: usize = 6;

/// Reads them as the number that is kept: `a warranty of 60 months`.
pub(crate) fn plain(index: &SchemaIndex, tokens: &mut Vec<Token>) {
    let mut at = 0;
    while at + 2 < tokens.len() {
        let TokenKind::Number(count) = tokens[at].kind else {
            at += 1;
            continue;
        };
        let unit = at + 1 + usize::from(tokens[at + 1].is_mark('-'));
        let thing = unit + 1;
        let read = tokens.get(thing).and_then(|it| {
            let plain = it.kind == TokenKind::Word && !LEXICON.is_stop(&it.lower);
            // `the last 7 days` are a time, and most numbers have no unit
            let before = at.checked_sub(1).map_or("", |it| tokens[it].lower.as_str());
            let time = ["last", "past", "previous", "next", "within", "in", "every", "recent"];
            let measured = UNITS.iter().any(|it| it.0 == tokens[unit].lemma);
            let (word, kept) = Some(())
                .filter(|()| plain && measured && !time.contains(&before))
                .and_then(|()| column(index, &it.lemma))?;
            let factor = factor(&tokens[unit].lemma, kept)?;
            Some(format!("{word} of {} {kept}s", count * factor))
        });
        if let Some(text) = read {
            let said = phrase::words(&text, &tokens[thing]);
            let length = said.len();
            tokens.splice(at..=thing, said);
            at += length;
        } else {
            at += 1;
        }
    }
}

/// How many of one unit another has; `None` if that is not always the same.
fn factor(unit: &str, kept: &str) -> Option<f64> {
    let place = |it: &str| UNITS.iter().position(|unit| unit.0 == it);
    let (from, to) = (place(unit)?, place(kept)?);
    let steps = UNITS.get(from..to)?.iter().map(|it| it.1);
    let product: f64 = steps.product();
    (product > 0.0).then_some(product)
}

/// The word and the unit of the only kind of column that says by a number how long that is.
fn column<'a>(index: &'a SchemaIndex, lemma: &str) -> Option<(&'a str, &'a str)> {
    let lasting = |it: &'a ColumnInfo| {
        let (unit, rest) = it.words.split_last().filter(|_| it.class.is_numeric())?;
        let known = UNITS.iter().any(|it| it.0 == unit);
        let near = |it: &&String| **it == lemma || it.len() >= LONG && distance(lemma, it, 1) <= 1;
        Some((rest.iter().find(near)?.as_str(), unit.as_str())).filter(|_| known)
    };
    let mut all = index.tables.iter().flat_map(|it| &it.columns).filter_map(lasting);
    let first = all.next()?;
    all.all(|it| it == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::factor;

    #[test]
    fn a_unit_has_so_many_of_a_smaller_one_if_always_the_same() {
        assert_eq!(factor("year", "month"), Some(12.0));
        assert_eq!(factor("month", "month"), Some(1.0));
        assert_eq!(factor("week", "hour"), Some(168.0));
        for (unit, kept) in [("year", "day"), ("month", "day"), ("day", "month"), ("mile", "day")] {
            assert_eq!(factor(unit, kept), None, "{unit} in {kept}");
        }
    }
}
