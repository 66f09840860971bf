use plinth_sql_guard::Edit;

use super::{Parameter, ParameterKind};
use crate::QueryError;
use crate::sql_text::{Piece, first_piece};

/// A saved statement with its parameters numbered: what the guard judges and the database is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    /// With `$1`, `$2`, … where `{{ name }}` stood.
    pub(crate) sql: String,
    /// For each number, which of the parameters stands there.
    pub(crate) places: Vec<usize>,
    /// What both texts have in common, in order.
    common: Vec<Common>,
}

/// A piece that stands in a saved statement as in the numbered one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Common {
    /// Where it begins in the numbered one, in bytes.
    numbered: usize,
    /// The same in the saved one.
    saved: usize,
    /// How long it is.
    length: usize,
}

/// The most values in one statement.
const MOST: usize = 200;

impl Template {
    /// Reads a statement in which `{{ name }}` stands for the value of a parameter.
    ///
    /// A name has one number throughout, so that the same expression in a select list and in `GROUP BY` stays the same. The
    /// exception is `{{ name }} IS NULL`: a parameter of which nothing but that is said has no type that the server could
    /// find, so it is a text with a number of its own there.
    ///
    /// # Errors
    ///
    /// [`QueryError::Field`]: a name that no parameter has, a parameter that no name says, a value inside of quotes or a
    /// comment (where it would be plain text), or a numbered parameter.
    pub(crate) fn parse(text: &str, parameters: &[Parameter]) -> Result<Self, QueryError> {
        let sql_text = String::with_capacity(text.len() + 32);
        let mut template = Self { sql: sql_text, places: Vec::new(), common: Vec::new() };
        let mut numbers: Vec<Option<usize>> = vec![None; parameters.len()];
        let mut said = vec![false; parameters.len()];
        let mut left = text;
        while !left.is_empty() {
            let length = match first_piece(left) {
                Piece::Value(None) => return Err(sql("`{{` is not closed")),
                Piece::Value(Some(length)) => {
                    let name = left[2..length - 2].trim();
                    let at = parameters.iter().position(|it| it.name == name);
                    let at = at.ok_or_else(|| {
                        sql(format!("`{{{{ {name} }}}}` stands for no parameter; declare `{name}`"))
                    })?;
                    left = &left[length..];
                    said[at] = true;
                    let cast = cast(&parameters[at].kind);
                    let number = if cast.is_empty() && is_null_follows(left) {
                        template.number(at)?
                    } else if let Some(number) = numbers[at] {
                        number
                    } else {
                        let number = template.number(at)?;
                        numbers[at] = Some(number);
                        number
                    };
                    let cast =
                        if cast.is_empty() && is_null_follows(left) { "::text" } else { cast };
                    template.sql.push_str(&format!("${number}{cast}"));
                    continue;
                }
                Piece::Quoted(length) => {
                    let quoted = &left[..length];
                    if parameters.iter().any(|it| says(quoted, &it.name)) {
                        return Err(sql(
                            "a parameter stands inside of quotes or a comment, where it would be plain text; write \
                             `{{ name }}` without quotes around it: it is bound as a value",
                        ));
                    }
                    length
                }
                Piece::Parameter => {
                    return Err(sql(
                        "parameters have names here; write `{{ name }}` in place of `$1`, and declare it",
                    ));
                }
                Piece::Plain(length) => length,
            };
            let (numbered, saved) = (template.sql.len(), text.len() - left.len());
            template.common.push(Common { numbered, saved, length });
            template.sql.push_str(&left[..length]);
            left = &left[length..];
        }
        if let Some(at) = said.iter().position(|it| !it) {
            let name = &parameters[at].name;
            return Err(QueryError::Field {
                field: format!("parameters.{name}"),
                rule: format!("`{{{{ {name} }}}}` stands nowhere in the statement"),
            });
        }
        Ok(template)
    }

    /// The saved statement `text`, from which this was read, after changes to the numbered one; `None` if one of them touches a
    /// value.
    pub(crate) fn carry(&self, text: &str, edits: &[Edit]) -> Option<String> {
        let mut out = String::with_capacity(text.len() + 64);
        let mut from = 0;
        for edit in edits {
            let (start, end) = (self.saved(edit.range.start)?, self.saved(edit.range.end)?);
            out.push_str(text.get(from..start)?);
            out.push_str(&edit.text);
            from = end;
        }
        out.push_str(text.get(from..)?);
        Some(out)
    }

    /// Where a place of the numbered statement is in the saved one.
    fn saved(&self, place: usize) -> Option<usize> {
        let holds = |it: &&Common| (it.numbered..=it.numbered + it.length).contains(&place);
        let piece = self.common.iter().find(holds)?;
        Some(piece.saved + (place - piece.numbered))
    }

    fn number(&mut self, at: usize) -> Result<usize, QueryError> {
        if self.places.len() >= MOST {
            return Err(sql(format!("holds more than {MOST} values")));
        }
        self.places.push(at);
        Ok(self.places.len())
    }
}

/// Of what type the server takes a value to be, where leaving that to it would surprise people: `{{ day }} + interval '1 day'`
/// would be a sum of intervals. Texts and numbers are left to it, so that they fit columns of any such type, and its indexes.
fn cast(kind: &ParameterKind) -> &'static str {
    match kind {
        ParameterKind::Boolean => "::boolean",
        ParameterKind::Date => "::date",
        ParameterKind::Timestamp => "::timestamptz",
        ParameterKind::Text
        | ParameterKind::Number
        | ParameterKind::Enum { .. }
        | ParameterKind::Query { .. } => "",
    }
}

fn is_null_follows(text: &str) -> bool {
    let mut words = text.split_ascii_whitespace().map(str::to_ascii_lowercase);
    let mut next = || words.next().unwrap_or_default();
    // `IS NULL` ends at whatever cannot be in a word.
    let is_null = |it: &str| {
        it.strip_prefix("null").is_some_and(|rest| {
            !rest.starts_with(|it: char| it.is_alphanumeric() || it == '_' || it == '$')
        })
    };
    if next() != "is" {
        return false;
    }
    let word = next();
    is_null(&word) || word == "not" && is_null(&next())
}

/// Whether `{{ name }}` stands in the text, whatever the space in it.
fn says(text: &str, name: &str) -> bool {
    let mut parts = text.split("{{");
    parts.next();
    parts.any(|it| it.split_once("}}").is_some_and(|(inner, _)| inner.trim() == name))
}

fn sql(rule: impl Into<String>) -> QueryError {
    QueryError::Field { field: "sql".to_owned(), rule: rule.into() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parameter(name: &str, kind: ParameterKind) -> Parameter {
        Parameter {
            name: name.to_owned(),
            kind,
            label: None,
            description: None,
            required: false,
            default: None,
        }
    }

    fn parsed(text: &str, kinds: &[(&str, ParameterKind)]) -> Result<Template, QueryError> {
        let parameters: Vec<_> =
            kinds.iter().map(|(name, kind)| parameter(name, kind.clone())).collect();
        Template::parse(text, &parameters)
    }

    #[test]
    fn a_name_has_one_number_and_dates_have_a_type() {
        let template = parsed(
            "SELECT date_trunc({{unit}}, at) FROM t WHERE at >= {{ since }} GROUP BY date_trunc({{ unit }}, at)",
            &[("since", ParameterKind::Date), ("unit", ParameterKind::Text)],
        );
        let template = template.expect("good");
        assert_eq!(
            template.sql,
            "SELECT date_trunc($1, at) FROM t WHERE at >= $2::date GROUP BY date_trunc($1, at)"
        );
        assert_eq!(template.places, [1, 0]);
    }

    #[test]
    fn asking_whether_it_is_null_has_a_number_of_its_own() {
        let text = "SELECT 1 FROM t WHERE ({{a}} IS NULL OR a = {{a}}) AND ({{b}} is not null) AND {{a}} is nullable";
        let kinds = [("a", ParameterKind::Text), ("b", ParameterKind::Boolean)];
        let template = parsed(text, &kinds).expect("good");
        assert_eq!(
            template.sql,
            "SELECT 1 FROM t WHERE ($1::text IS NULL OR a = $2) AND ($3::boolean is not null) AND $2 is nullable"
        );
        assert_eq!(template.places, [0, 0, 1]);
    }

    #[test]
    fn changes_to_the_numbered_statement_are_carried_to_the_saved_one() {
        let text = "SELECT credit -- {x}\nFROM t WHERE {{ a }} < credit AND day > {{since}} AND ({{a}} IS NULL)";
        let kinds = [("a", ParameterKind::Number), ("since", ParameterKind::Date)];
        let template = parsed(text, &kinds).expect("good");
        let edits: Vec<_> = template
            .sql
            .match_indices("credit")
            .map(|(at, it)| Edit { range: at..at + it.len(), text: "limit_now".to_owned() })
            .collect();
        assert_eq!(edits.len(), 2);
        let carried = template.carry(text, &edits).expect("outside of values");
        assert_eq!(carried, text.replace("credit", "limit_now"));
        let value = template.sql.find("::date").expect("a cast");
        let edit = Edit { range: value..value + 6, text: String::new() };
        assert_eq!(template.carry(text, &[edit]), None, "a value's cast stands in no saved text");
    }

    #[test]
    fn what_would_be_text_or_stands_for_nothing_is_refused() {
        let kinds = [("a", ParameterKind::Text)];
        for text in [
            "SELECT '{{ a }}'",
            "SELECT \"{{a}}\"",
            "SELECT E'\\'{{ a }}'",
            "SELECT $x$ {{ a }} $x$",
            "SELECT 1 /* {{a}} */",
            "SELECT 1 -- {{a}}",
            "SELECT {{a",
            "SELECT {{a}}, {{b}}",
            "SELECT {{a}}, {{}}",
            "SELECT {{a}}, $1",
            "SELECT 1",
        ] {
            assert!(parsed(text, &kinds).is_err(), "{text}");
        }
        assert!(parsed("SELECT '{{1,2},{3,4}}'::int[], {{a}}", &kinds).is_ok(), "an array's text");
    }

    proptest! {
        #[test]
        fn a_statement_without_parameters_stays_as_it_is(text in "[ a-zE'\"$/*\\-\n\\\\é0{}]{0,40}") {
            if let Ok(template) = parsed(&text, &[]) {
                prop_assert_eq!(template.sql, text);
            }
        }
    }
}
