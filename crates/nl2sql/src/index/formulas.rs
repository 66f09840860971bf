//! Measures that descriptions make of other columns: `price - cost is the margin`, `net = gross - tax`.

use plinth_schema_introspect::{Column, TypeClass};

use super::{ColumnInfo, SchemaIndex, stems};
use crate::{
    language::{Defined, DefinedPiece, Place},
    lexicon::LEXICON,
    logical::LogicalQuery,
    token::normalized,
};

/// How good a name is that says a length of time without its unit.
const LENGTH: f64 = 0.9;

/// The most words of a measure's name.
const MOST_WORDS: usize = 3;

impl SchemaIndex {
    /// Adds the measures that a table's descriptions define, as columns behind all others. `columns` are those that the table
    /// has, in the order of `readable`, and what was added before.
    pub(super) fn add_formulas(
        &mut self,
        table: usize,
        readable: &[&Column],
        words: &[String],
        comment: Option<&str>,
        columns: &mut Vec<ColumnInfo>,
    ) {
        let told = readable.iter().filter_map(|it| it.comment.as_deref()).chain(comment);
        for clause in told.flat_map(clauses) {
            let Some((name, pieces, text)) = formula(clause, &columns[..readable.len()]) else {
                continue;
            };
            if columns.iter().any(|it| it.words == name) {
                continue;
            }
            let nullable = pieces
                .iter()
                .any(|it| matches!(it, DefinedPiece::Column { at, .. } if columns[*at].nullable));
            let at = columns.len();
            columns.push(ColumnInfo {
                name: name.join("_"),
                class: TypeClass::Decimal,
                type_name: "numeric".to_owned(),
                stems: stems(&name),
                words: name.clone(),
                nullable,
                primary: false,
                foreign: false,
                unique: false,
                values: Vec::new(),
                complete: false,
                key: None,
                defined: Some(Box::new(Defined { pieces, metric: None, inner: Vec::new() })),
                comment: Some(text),
            });
            self.name_column(table, at, words, &name, &name, None, None);
        }
    }
}

impl SchemaIndex {
    /// What the organization calls so is meant before what descriptions say.
    pub(crate) fn overrule(&mut self, called: &[Vec<String>]) {
        let Self { tables, vocabulary, .. } = self;
        vocabulary.silence(|it| {
            let column = it.column().map(|column| &tables[it.table()].columns[column]);
            column.is_some_and(|it| it.defined.is_some() && called.contains(&it.words))
        });
        self.forget();
    }
}

impl SchemaIndex {
    /// `notice_days`: the notice period, whatever it is counted in.
    pub(super) fn name_length(
        &mut self,
        table: usize,
        column: usize,
        words: &[String],
        own: &[String],
    ) {
        let Some((unit, rest)) = own.split_last().filter(|it| !it.1.is_empty()) else { return };
        if !matches!(unit.as_str(), "day" | "week" | "month" | "year" | "hour" | "minute") {
            return;
        }
        for kind in ["period", "length", "duration"] {
            let mut name = rest.to_vec();
            name.push(kind.to_owned());
            self.add_name(table, Some(column), &name, LENGTH, false);
            let with: Vec<String> = words.iter().chain(&name).cloned().collect();
            self.add_name(table, Some(column), &with, LENGTH, true);
        }
    }
}

/// What a query takes from descriptions, in words for people.
pub(crate) fn told(index: &SchemaIndex, query: &LogicalQuery) -> Vec<String> {
    let mut used: Vec<(usize, usize)> = Vec::new();
    query.each(&mut |part| {
        crate::doubt::each_column(part, &mut |it| {
            let defined = index.column(it).defined.as_deref();
            if defined.is_some_and(|it| it.metric.is_none())
                && !used.contains(&(it.table, it.column))
            {
                used.push((it.table, it.column));
            }
        });
    });
    // what the organization defines is told elsewhere
    let own = |at: &(usize, usize)| {
        index.spoken.iter().any(
            |it| matches!(it.place, Place::Defined { table, column, .. } if (table, column) == *at),
        )
    };
    used.iter()
        .filter(|it| !own(it))
        .filter_map(|(table, column)| {
            let table = &index.tables[*table];
            let info = &table.columns[*column];
            let text = info.comment.as_deref()?;
            let name = info.words.join(" ");
            Some(format!("{name} is {text}, as a description in {} says", table.name))
        })
        .collect()
}

/// The parts of a description that may define something.
fn clauses(comment: &str) -> impl Iterator<Item = &str> {
    comment
        .split([';', ',', '(', ')', '\n'])
        .flat_map(|it| it.split(". "))
        .map(|it| it.trim().trim_end_matches('.'))
}

/// The name of a measure, what it is made of, and the same as it is written.
fn formula(
    clause: &str,
    columns: &[ColumnInfo],
) -> Option<(Vec<String>, Vec<DefinedPiece>, String)> {
    for sign in [" is ", " are ", " = ", " equals "] {
        let mut sides = clause.split(sign);
        let (Some(left), Some(right), None) = (sides.next(), sides.next(), sides.next()) else {
            continue;
        };
        for (called, made) in [(right, left), (left, right)] {
            if let (Some(name), Some((pieces, text))) = (name(called), expression(made, columns)) {
                return Some((name, pieces, text));
            }
        }
    }
    None
}

/// The words of a measure's name in their base form: nouns alone, a determiner before them at most. What a description
/// denies ("is not the margin") or says in passing ("is what we keep") is no name.
fn name(text: &str) -> Option<Vec<String>> {
    let letters = text.chars().all(|it| it.is_alphabetic() || it == ' ' || it == '_');
    let normal = normalized(text);
    let mut said: Vec<&str> = normal.split(' ').filter(|it| !it.is_empty()).collect();
    let determiner = |it: &&str| matches!(*it, "the" | "a" | "an" | "our" | "its" | "their");
    if said.first().is_some_and(determiner) {
        said.remove(0);
    }
    let idle = |it: &&str| {
        LEXICON.is_stop(it)
            || matches!(
                *it,
                "cannot"
                    | "nor"
                    | "neither"
                    | "none"
                    | "nothing"
                    | "hardly"
                    | "longer"
                    | "zero"
                    | "null"
                    | "negative"
                    | "positive"
                    | "wrong"
                    | "false"
                    | "true"
                    | "equal"
            )
            || it.len() > 4 && (it.ends_with("ly") || it.ends_with("ed"))
    };
    let noun = letters && (1..=MOST_WORDS).contains(&said.len()) && !said.iter().any(idle);
    noun.then(|| said.into_iter().map(|it| LEXICON.lemma(it)).collect())
}

/// Columns of numbers with signs between them; one column alone is none.
fn expression(text: &str, columns: &[ColumnInfo]) -> Option<(Vec<DefinedPiece>, String)> {
    let mut pieces: Vec<DefinedPiece> = Vec::new();
    let mut written = Vec::new();
    let mut divides = false;
    for (step, word) in text.split_whitespace().enumerate() {
        if step % 2 == 1 {
            let sign = match word {
                "-" | "−" | "–" | "minus" => "-",
                "+" | "plus" => "+",
                "*" | "×" | "times" => "*",
                "/" | "÷" => "/",
                _ => return None,
            };
            // of whole numbers too the quotient is meant, and nothing where there is none
            divides = sign == "/";
            pieces.push(DefinedPiece::Text(match sign {
                "/" => "::numeric / NULLIF(".to_owned(),
                sign => format!(" {sign} "),
            }));
            written.push(sign.to_owned());
            continue;
        }
        let called = word.trim_matches(['`', '"', '\'']);
        let at = operand(called, columns)?;
        pieces.push(DefinedPiece::Column { at, nested: false });
        if std::mem::take(&mut divides) {
            pieces.push(DefinedPiece::Text(", 0)".to_owned()));
        }
        written.push(columns[at].name.clone());
    }
    (written.len() >= 3 && written.len() % 2 == 1).then(|| (pieces, written.join(" ")))
}

/// The column of numbers of that name, or the only one whose name ends with it: `price`, where it is called `list_price`.
fn operand(called: &str, columns: &[ColumnInfo]) -> Option<usize> {
    let number = |it: &ColumnInfo| it.class.is_numeric() && !it.is_id();
    let own = columns.iter().position(|it| it.name.eq_ignore_ascii_case(called) && number(it));
    own.or_else(|| {
        let lemma = LEXICON.lemma(&called.to_lowercase());
        let mut all = columns
            .iter()
            .enumerate()
            .filter(|(_, it)| it.words.len() > 1 && it.words.last() == Some(&lemma) && number(it));
        let (at, _) = all.next()?;
        all.next().is_none().then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn only_nouns_are_names_of_measures() {
        let called = |text| name(text).map(|it| it.join(" "));
        assert_eq!(called("the markup").as_deref(), Some("markup"));
        assert_eq!(called("net weight").as_deref(), Some("net weight"));
        for it in [
            "not the markup",
            "never the markup",
            "the markup without freight",
            "what we keep",
            "usually negative",
            "no longer markup",
            "the markup of the whole crate",
        ] {
            assert_eq!(called(it), None, "{it}");
        }
    }
}
