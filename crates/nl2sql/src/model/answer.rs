//! Reading what a model wrote. Strict in what becomes SQL, tolerant in how it is wrapped.

use serde_json::Value;

/// What a model's text says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// It proposes a statement. Nothing about it has been checked.
    Sql { sql: String, explanation: String, assumptions: Vec<String> },
    /// It says that the question cannot be answered, and why.
    Declined(String),
    /// It did not keep to the contract; prose, a refusal, broken JSON. Never to be taken for SQL.
    Unreadable,
}

/// The most characters of prose that are taken over from a model.
const PROSE: usize = 1_000;

/// The most assumptions that are taken over.
const ASSUMPTIONS: usize = 8;

/// How many opening braces of a text are tried as the beginning of the answer.
const TRIES: usize = 64;

/// Reads a model's text. A statement is taken from the contract's JSON object wherever it stands in the text, or from a
/// code fence that is marked as SQL; nothing else ever becomes SQL.
pub(crate) fn read(text: &str) -> Answer {
    let text = without_thoughts(text);
    if let Some(answer) = objects(text).find_map(|it| from_object(&it)) {
        return answer;
    }
    match fenced_sql(text) {
        Some(sql) => {
            Answer::Sql { sql: sql.to_owned(), explanation: String::new(), assumptions: Vec::new() }
        }
        None => Answer::Unreadable,
    }
}

/// Which of so many the model takes, counted from 0; `None` if it does not say so in the agreed form.
pub(crate) fn choice(text: &str, count: usize) -> Option<usize> {
    let number = objects(without_thoughts(text)).find_map(|it| it.get("choice")?.as_u64())?;
    let at = usize::try_from(number).ok()?.checked_sub(1)?;
    (at < count).then_some(at)
}

/// What follows the block in which some models think aloud: it may hold drafts.
fn without_thoughts(text: &str) -> &str {
    text.rfind("</think>").map_or(text, |at| &text[at + "</think>".len()..]).trim()
}

/// Every JSON object that begins somewhere in the text and stands in no other one, in order.
fn objects(text: &str) -> impl Iterator<Item = serde_json::Map<String, Value>> {
    let mut from = 0;
    let mut tries = 0;
    std::iter::from_fn(move || {
        while tries < TRIES {
            tries += 1;
            let start = from + text[from..].find('{')?;
            let mut stream =
                serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
            match stream.next() {
                Some(Ok(Value::Object(object))) => {
                    from = start + stream.byte_offset();
                    return Some(object);
                }
                _ => from = start + 1,
            }
        }
        None
    })
}

/// The contract's object; `None` if it is another one.
fn from_object(object: &serde_json::Map<String, Value>) -> Option<Answer> {
    let text = |name: &str| object.get(name).and_then(Value::as_str).map_or("", str::trim);
    if !object.contains_key("sql") && !object.contains_key("cannot_answer") {
        return None;
    }
    let reason = text("cannot_answer");
    // A statement beside a reason not to answer is not an answer: the model says itself that it does not fit.
    if !reason.is_empty() {
        return Some(Answer::Declined(prose(reason)));
    }
    if object.get("cannot_answer") == Some(&Value::Bool(true)) {
        return Some(Answer::Declined(prose(text("explanation"))));
    }
    let sql = text("sql");
    if sql.is_empty() {
        return Some(match object.get("sql") {
            Some(Value::Null) => Answer::Declined(prose(text("explanation"))),
            _ => Answer::Unreadable,
        });
    }
    // Some models put a fence into the field.
    let sql = if sql.starts_with("```") { fenced_sql(sql)? } else { sql };
    let assumptions = match object.get("assumptions") {
        Some(Value::Array(all)) => {
            all.iter().filter_map(Value::as_str).map(prose).filter(|it| !it.is_empty()).collect()
        }
        Some(Value::String(one)) if !one.trim().is_empty() => vec![prose(one)],
        _ => Vec::new(),
    };
    Some(Answer::Sql {
        sql: sql.to_owned(),
        explanation: prose(text("explanation")),
        assumptions: assumptions.into_iter().take(ASSUMPTIONS).collect(),
    })
}

/// The statement in the only fence that is marked as SQL; two would leave open which one is meant.
fn fenced_sql(text: &str) -> Option<&str> {
    let mut found = None;
    let mut parts = text.split("```");
    parts.next()?;
    while let (Some(block), closed) = (parts.next(), parts.next().is_some()) {
        let (mark, body) = block.split_once('\n').unwrap_or((block, ""));
        let is_sql = matches!(
            mark.trim().to_ascii_lowercase().as_str(),
            "sql" | "postgres" | "postgresql" | "pgsql"
        );
        if is_sql && closed && !body.trim().is_empty() {
            if found.is_some() {
                return None;
            }
            found = Some(body.trim());
        }
        if !closed {
            break;
        }
    }
    found
}

/// A model's words as one line of plain text: no control characters, which could dress up a log or a terminal.
fn prose(text: &str) -> String {
    let line: String =
        text.chars().map(|it| if it.is_control() { ' ' } else { it }).take(PROSE).collect();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sql(text: &str) -> Option<String> {
        match read(text) {
            Answer::Sql { sql, .. } => Some(sql),
            _ => None,
        }
    }

    #[test]
    fn the_object_is_found_in_whatever_it_is_wrapped() {
        let object = r#"{"sql": "SELECT 1", "explanation": "One.", "assumptions": [], "cannot_answer": null}"#;
        for text in [
            object.to_owned(),
            format!("```json\n{object}\n```"),
            format!("```\n{object}\n```"),
            format!("Here it is: {object} I hope that helps {{smile}}."),
            format!("<think>{{\"sql\": \"SELECT 2\"}} no, wrong</think>\n{object}"),
            format!("The set {{1, 2}} matters. {object}"),
            format!("{{\"thought\": \"count\"}}\n{object}"),
        ] {
            assert_eq!(sql(&text).as_deref(), Some("SELECT 1"), "{text}");
        }
    }

    #[test]
    fn a_fence_marked_as_sql_is_sql() {
        assert_eq!(sql("Sure:\n```sql\nSELECT 1\n```\nDone.").as_deref(), Some("SELECT 1"));
        assert_eq!(sql("```PostgreSQL\r\nSELECT 1\r\n```").as_deref(), Some("SELECT 1"));
        assert_eq!(sql(r#"{"sql": "```sql\nSELECT 1\n```"}"#).as_deref(), Some("SELECT 1"));
    }

    #[test]
    fn prose_is_never_sql() {
        for text in [
            "",
            "I'm sorry, but I cannot help with that.",
            "SELECT 1",
            "I cannot answer. SELECT nothing FROM nowhere",
            "```\nI'm sorry\n```",
            "```sql\nSELECT 1",
            "```sql\n\n```",
            "Either\n```sql\nSELECT 1\n```\nor\n```sql\nSELECT 2\n```",
            r#"{"sql": "SELECT 1""#,
            r#"{"query": "SELECT 1"}"#,
            r#"{"sql": ["SELECT 1"]}"#,
            r#"{"sql": {"text": "SELECT 1"}}"#,
            r#"{"sql": ""}"#,
            r#"["SELECT 1"]"#,
            r#""SELECT 1""#,
        ] {
            assert_eq!(read(text), Answer::Unreadable, "{text}");
        }
    }

    #[test]
    fn a_reason_not_to_answer_weighs_more_than_a_statement() {
        for text in [
            r#"{"sql": null, "cannot_answer": "There are no salaries here."}"#,
            r#"{"sql": "SELECT 1", "cannot_answer": "There are no salaries here."}"#,
            r#"{"sql": null, "explanation": "There are no salaries here."}"#,
            r#"{"sql": "SELECT 1", "cannot_answer": true, "explanation": "There are no salaries here."}"#,
            "{\"cannot_answer\": \"There are no\\n\\u001b[31msalaries\\u0000 here.\"}",
        ] {
            let Answer::Declined(reason) = read(text) else { panic!("{text}") };
            assert!(reason.contains("salaries"), "{text}");
            assert!(!reason.chars().any(char::is_control), "{text}");
        }
    }

    #[test]
    fn a_choice_is_a_number_of_the_list() {
        assert_eq!(choice(r#"{"choice": 2}"#, 3), Some(1));
        assert_eq!(choice("I take {\"choice\": 1}.", 1), Some(0));
        for text in
            [r#"{"choice": 0}"#, r#"{"choice": 4}"#, r#"{"choice": "1"}"#, "1", "{\"choice\": -1}"]
        {
            assert_eq!(choice(text, 3), None, "{text}");
        }
    }

    #[test]
    fn a_flood_of_braces_is_given_up() {
        assert_eq!(read(&"{".repeat(1_000_000)), Answer::Unreadable);
        assert_eq!(read(&"{\"a\":".repeat(200_000)), Answer::Unreadable);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in r#"(\{|\}|```sql\n|```|"sql"|:|,|"|SELECT 1|é|\\|</think>| ){0,40}"#) {
            read(&text);
        }

        #[test]
        fn what_is_written_as_the_contract_says_is_read_back(statement in "[ -~]{1,80}") {
            prop_assume!(!statement.trim().is_empty() && !statement.trim().starts_with("```"));
            let text = serde_json::json!({ "sql": statement }).to_string();
            prop_assert_eq!(sql(&text), Some(statement.trim().to_owned()));
        }
    }
}
