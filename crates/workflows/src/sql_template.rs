use plinth_queries::sql_text::{Piece, first_piece};
use serde_json::Value;

use crate::template::{Context, LARGEST_JSON, Names, check_expression, json_within};

/// A statement in which values of templates stand. Each becomes a bound parameter: whatever it holds, it never is text of
/// the statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlTemplate {
    sql: String,
    expressions: Vec<String>,
    /// Of each whether an array is asked for where it stands.
    arrays: Vec<bool>,
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
        let mut template = Self {
            sql: String::with_capacity(text.len()),
            expressions: Vec::new(),
            arrays: Vec::new(),
        };
        let mut left = text;
        while !left.is_empty() {
            let length = match first_piece(left) {
                Piece::Value(length) => {
                    let Some(length) = length else { return Err("`{{` is not closed".to_owned()) };
                    let expression = left[2..length - 2].trim();
                    check_expression(expression, names)?;
                    left = &left[length..];
                    let is_array = wants_array(&template.sql, left);
                    template.put(expression, is_array)?;
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

    fn put(&mut self, expression: &str, is_array: bool) -> Result<(), String> {
        let mut known = self.expressions.iter().zip(&self.arrays);
        let known = known.position(|it| it.0 == expression && *it.1 == is_array);
        let at = known.unwrap_or_else(|| {
            self.expressions.push(expression.to_owned());
            self.arrays.push(is_array);
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

    /// The values, as Postgres reads them; `None` for null. A list is an array where only an array can stand (in `ANY (…)` and
    /// `ALL (…)`, and before `::type[]`), else JSON.
    ///
    /// # Errors
    ///
    /// As for [`Context::evaluate`].
    pub fn bind(&self, context: &Context) -> Result<Vec<Option<String>>, String> {
        let mut left = LARGEST_JSON;
        let mut text = |(it, is_array): (Value, &bool)| {
            let text = match it {
                Value::Null => return Some(None),
                Value::String(text) => text,
                Value::Array(items) if *is_array => array(&items, left)?,
                other => String::from_utf8(json_within(&other, left)?).ok()?,
            };
            left = left.checked_sub(text.len())?;
            Some(Some(text))
        };
        let values: Option<_> = context
            .evaluate(&self.expressions)?
            .into_iter()
            .zip(&self.arrays)
            .map(&mut text)
            .collect();
        values.ok_or_else(|| format!("the values become larger than {LARGEST_JSON} bytes"))
    }
}

/// Whether only an array can stand between these.
fn wants_array(before: &str, after: &str) -> bool {
    let of = before.trim_end().strip_suffix('(').map(str::trim_end);
    let word =
        of.and_then(|it| it.rsplit(|it: char| !it.is_ascii_alphanumeric() && it != '_').next());
    let is_called = |it: &str| it.eq_ignore_ascii_case("any") || it.eq_ignore_ascii_case("all");
    let is_compared = word.is_some_and(is_called) && after.trim_start().starts_with(')');
    is_compared || after.trim_start().strip_prefix("::").is_some_and(names_an_array)
}

/// Whether a text begins with the name of a type of arrays. What follows the name of another type may hold brackets too.
fn names_an_array(text: &str) -> bool {
    /// The words that types have after their first.
    const MORE: [&str; 6] = ["precision", "varying", "with", "without", "time", "zone"];
    let is_name = |it: char| it.is_alphanumeric() || matches!(it, '_' | '.');
    let (mut rest, mut is_first) = (text.trim_start(), true);
    loop {
        let end = match rest.strip_prefix('"').and_then(|it| it.find('"')) {
            Some(end) if is_first => end + 2,
            _ => rest.find(|it| !is_name(it)).unwrap_or(rest.len()),
        };
        let (word, after) = rest.split_at(end);
        if after.starts_with('.') || word.ends_with('.') {
            // A schema; what it holds comes next.
            rest = after.strip_prefix('.').unwrap_or(after);
            continue;
        }
        if !is_first && !MORE.iter().any(|it| word.eq_ignore_ascii_case(it)) {
            return false;
        }
        // The type's own numbers: `numeric(10,2)[]`.
        let after = after.trim_start();
        let numbers = after.strip_prefix('(').and_then(|it| it.split_once(')'));
        rest = numbers.map_or(after, |it| it.1.trim_start());
        if word.is_empty() || rest.starts_with('[') {
            return !word.is_empty();
        }
        is_first = false;
    }
}

/// A list as Postgres writes an array; `None` if that is longer than `most` bytes.
fn array(items: &[Value], most: usize) -> Option<String> {
    let mut text = String::from("{");
    for (at, it) in items.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        let left = most.checked_sub(text.len())?;
        match it {
            Value::Null => text.push_str("NULL"),
            Value::Bool(_) | Value::Number(_) => text.push_str(&it.to_string()),
            Value::Array(items) => text.push_str(&array(items, left)?),
            Value::String(it) => quote(it, left, &mut text)?,
            Value::Object(_) => {
                let json = String::from_utf8(json_within(it, left)?).ok()?;
                quote(&json, left, &mut text)?;
            }
        }
    }
    text.push('}');
    (text.len() <= most).then_some(text)
}

fn quote(value: &str, most: usize, text: &mut String) -> Option<()> {
    if value.len() > most {
        return None;
    }
    text.push('"');
    for it in value.chars() {
        if matches!(it, '"' | '\\') {
            text.push('\\');
        }
        text.push(it);
    }
    text.push('"');
    Some(())
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
    fn a_list_is_an_array_where_only_an_array_can_stand() {
        let mut context = Context::new(About::default(), None);
        let list = json!([1, null, "a\"\\,{}", [true, 1.5], { "b": "c" }]);
        let rows = vec![vec![list]];
        let result = StepResult { columns: vec!["x".to_owned()], rows, ..StepResult::default() };
        context.add("late", result.into());
        let array = r#"{1,NULL,"a\"\\,{}",{true,1.5},"{\"b\":\"c\"}"}"#;
        let json = r#"[1,null,"a\"\\,{}",[true,1.5],{"b":"c"}]"#;
        for (text, expected) in [
            ("SELECT 1 WHERE 2 = ANY({{ steps.late.x }})", array),
            ("SELECT 1 WHERE 2 <> all ( {{ steps.late.x }} )", array),
            ("SELECT {{ steps.late.x }}::text[]", array),
            ("SELECT {{ steps.late.x }} :: numeric(10,2) []", array),
            ("SELECT {{ steps.late.x }}::\"My type\"[]", array),
            ("SELECT {{ steps.late.x }}::timestamp(3) with time zone[]", array),
            ("SELECT {{ steps.late.x }}::app.\"My type\"[3]", array),
            ("SELECT {{ steps.late.x }}::\"app\".kind[]", array),
            ("SELECT {{ steps.late.x }}::jsonb", json),
            ("SELECT 1 FROM t WHERE j = {{ steps.late.x }}::jsonb AND tags[1] = 2", json),
            ("SELECT {{ steps.late.x }}::jsonb x", json),
            ("SELECT {{ steps.late.x }}::", json),
            ("SELECT {{ steps.late.x }}::[", json),
            ("SELECT many({{ steps.late.x }})", json),
            ("SELECT 1 WHERE 2 = ANY({{ steps.late.x }} || x)", json),
            ("SELECT {{ steps.late.x }}", json),
        ] {
            let template = SqlTemplate::parse(text, &names()).expect("good");
            assert_eq!(template.bind(&context), Ok(vec![Some(expected.to_owned())]), "{text}");
        }
        let both =
            "SELECT {{ steps.late.x }}::jsonb, {{ steps.late.x }}::text[], {{ steps.late.x }}";
        let template = SqlTemplate::parse(both, &names()).expect("good");
        assert_eq!(template.sql(), "SELECT $1::jsonb, $2::text[], $1");
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
        fn every_name_of_a_type_comes_to_its_end(text in "[ a-z.\"\\[\\](),é0]{0,30}", other: String) {
            let _ = (names_an_array(&text), names_an_array(&other));
        }

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
