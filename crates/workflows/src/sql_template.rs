use plinth_queries::sql_text::{Piece, first_piece};
use serde_json::Value;

use crate::template::{Context, LARGEST_JSON, Names, check_expression, json_within};

/// A statement in which values of templates stand. Each becomes a bound parameter: whatever it holds, it never is text of
/// the statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlTemplate {
    sql: String,
    expressions: Vec<String>,
}

/// The most values in one statement.
const MOST: usize = 100;

impl SqlTemplate {
    /// Reads a statement with `{{ expression }}` where values stand.
    ///
    /// # Errors
    ///
    /// What is wrong: an expression that is none or says an unknown name, one inside of quotes or a comment, where a
    /// parameter would be plain text.
    pub(crate) fn parse(text: &str, names: &Names) -> Result<Self, String> {
        let mut template = Self { sql: String::with_capacity(text.len()), expressions: Vec::new() };
        let mut left = text;
        while !left.is_empty() {
            let length = match first_piece(left) {
                Piece::Value(length) => {
                    let Some(length) = length else { return Err("`{{` is not closed".to_owned()) };
                    let expression = left[2..length - 2].trim();
                    check_expression(expression, names)?;
                    template.put(expression)?;
                    left = &left[length..];
                    continue;
                }
                Piece::Quoted(length) => {
                    if left[..length].contains("{{") {
                        return Err("a value stands inside of quotes or a comment, where it would be plain text; write \
                             `{{ … }}` without quotes around it: it is bound as a parameter"
                            .to_owned());
                    }
                    length
                }
                Piece::Parameter => {
                    return Err(
                        "parameters like `$1` are numbered here; write `{{ … }}`".to_owned()
                    );
                }
                Piece::Plain(length) => length,
            };
            template.sql.push_str(&left[..length]);
            left = &left[length..];
        }
        Ok(template)
    }

    fn put(&mut self, expression: &str) -> Result<(), String> {
        let known = self.expressions.iter().position(|it| it == expression);
        let at = known.unwrap_or_else(|| {
            self.expressions.push(expression.to_owned());
            self.expressions.len() - 1
        });
        if self.expressions.len() > MOST {
            return Err(format!("holds more than {MOST} values"));
        }
        self.sql.push_str(&format!("${}", at + 1));
        Ok(())
    }

    /// The statement with `$1`, `$2`, … in it.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// Whether values stand in it.
    pub fn has_values(&self) -> bool {
        !self.expressions.is_empty()
    }

    /// How many values stand in it.
    pub fn values(&self) -> usize {
        self.expressions.len()
    }

    /// The values, as Postgres reads them; `None` for null.
    ///
    /// # Errors
    ///
    /// As for [`Context::evaluate`].
    pub fn bind(&self, context: &Context) -> Result<Vec<Option<String>>, String> {
        let mut left = LARGEST_JSON;
        let mut text = |it| {
            let text = match it {
                Value::Null => return Some(None),
                Value::String(text) => text,
                other => String::from_utf8(json_within(&other, left)?).ok()?,
            };
            left = left.checked_sub(text.len())?;
            Some(Some(text))
        };
        let values: Option<_> =
            context.evaluate(&self.expressions)?.into_iter().map(&mut text).collect();
        values.ok_or_else(|| format!("the values become larger than {LARGEST_JSON} bytes"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::About;
    use crate::result::StepResult;

    fn context() -> Context {
        let mut context =
            Context::new(About::default(), Some(json!({ "id": "x' OR '1'='1", "n": null })));
        let result = StepResult {
            columns: vec!["id".to_owned()],
            rows: vec![vec![json!(7)]],
            ..StepResult::default()
        };
        context.add("late", result.into());
        context
    }

    fn names() -> Names {
        let mut names = Names::default();
        names.add_step("late");
        names
    }

    #[test]
    fn values_are_bound_and_never_text() {
        let text = "SELECT 'it''s', \"a\" FROM t WHERE a = {{ webhook.id }} AND b = {{steps.late.id}} -- c\nOR c = {{ webhook.id }}";
        let template = SqlTemplate::parse(text, &names()).expect("good");
        assert_eq!(
            template.sql(),
            "SELECT 'it''s', \"a\" FROM t WHERE a = $1 AND b = $2 -- c\nOR c = $1"
        );
        let bound = template.bind(&context()).expect("there");
        assert_eq!(bound, [Some("x' OR '1'='1".to_owned()), Some("7".to_owned())]);
        let null = SqlTemplate::parse("SELECT {{ webhook.n }}", &names()).expect("good");
        assert_eq!(null.bind(&context()).expect("there"), [None]);
    }

    #[test]
    fn values_have_a_bound_together() {
        let mut context = Context::new(About::default(), None);
        let rows = vec![vec![json!("\u{1}".repeat(500_000))]];
        context.add(
            "late",
            StepResult { columns: vec!["id".to_owned()], rows, ..StepResult::default() }.into(),
        );
        for (text, is_bound) in [
            ("SELECT {{ [steps.late.id] }}, {{ [[steps.late.id]] }}, {{ steps.late.id }}", true),
            (
                "SELECT {{ [steps.late.id] }}, {{ [[steps.late.id]] }}, {{ [steps.late.id, 1] }}",
                false,
            ),
        ] {
            let bound = SqlTemplate::parse(text, &names()).expect("good").bind(&context);
            assert_eq!(bound.is_ok(), is_bound, "{text}");
            if let Err(err) = bound {
                assert_eq!(err, "the values become larger than 8388608 bytes");
            }
        }
    }

    #[test]
    fn a_value_inside_of_quotes_is_refused() {
        for text in [
            "SELECT '{{ webhook.id }}'",
            "SELECT \"{{ webhook.id }}\"",
            "SELECT E'\\'{{ webhook.id }}'",
            "SELECT $a$ {{ webhook.id }} $a$",
            "SELECT 1 /* /* */ {{ webhook.id }} */",
            "SELECT 1 -- {{ webhook.id }}",
            "SELECT {{ webhook.id ",
            "SELECT {{ nothing }}",
            "SELECT {{ steps.early.id }}",
            "SELECT $1",
        ] {
            assert!(SqlTemplate::parse(text, &names()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_statement_without_values_stays_as_it_is(text in "[ a-zE'\"$/*\\-\n\\\\é0{}]{0,40}") {
            if let Ok(template) = SqlTemplate::parse(&text, &names())
                && !template.has_values()
            {
                prop_assert_eq!(template.sql(), text);
            }
        }
    }
}
