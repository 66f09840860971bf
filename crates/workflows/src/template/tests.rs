use proptest::prelude::*;
use serde_json::json;

use super::*;

fn names() -> Names {
    let mut names = Names::default();
    names.add_step("late");
    names
}

fn context(value: Json) -> Context {
    let mut context = Context::new(json!({ "id": "run_1" }), json!({ "name": "Late" }), None);
    let result = StepResult { columns: vec!["who".to_owned()], rows: vec![vec![value]] };
    context.add("late", result.into());
    context
}

#[test]
fn a_template_reads_results_by_their_names() {
    let context = context(json!("Ann"));
    let text = "{{ row_count }} {{ steps.late.who }} {{ results_json }} {% for it in results %}{{ it.who }}{% endfor %}";
    assert_eq!(context.render(text, Style::Plain).expect("good"), r#"1 Ann [{"who":"Ann"}] Ann"#);
    let table = context.render("{{ results_table }}", Style::Plain).expect("good");
    assert_eq!(table, "who\nAnn\n");
}

#[test]
fn a_name_that_is_not_there_is_an_error() {
    assert!(check("{{ steps.late.who }}{{ webhook.id }}", Style::Plain, &names()).is_ok());
    for text in ["{{ nobody }}", "{{ steps.early.who }}", "{{ steps.late.who", "{% if x %}"] {
        assert!(check(text, Style::Plain, &names()).is_err(), "{text}");
    }
    let context = context(json!("Ann"));
    for text in ["{{ steps.late.whom }}", "{{ webhook.id }}", "{{ steps.late.who.more }}"] {
        assert!(context.render(text, Style::Plain).is_err(), "{text}");
        assert!(context.render_json(&json!([text])).is_err(), "{text}");
    }
}

#[test]
fn a_template_ends_and_its_text_has_bounds() {
    let context = context(json!("x".repeat(10_000)));
    let long = "{% for a in range(9000) %}{% for b in range(9000) %}{% endfor %}{% endfor %}";
    assert!(context.render(long, Style::Plain).is_err());
    let large = "{% for a in range(9000) %}{{ steps.late.who }}{% endfor %}";
    assert!(context.render(large, Style::Plain).expect_err("large").contains("larger"));
}

proptest! {
    #[test]
    fn a_value_in_json_stays_inside_of_its_text(value: String) {
        let filled = context(json!(value)).render_json(&json!({ "text": "<{{ steps.late.who }}>", "whole": "{{ steps.late.who }}" }));
        prop_assert_eq!(filled.expect("good"), json!({ "text": format!("<{value}>"), "whole": value }));
    }

    #[test]
    fn a_value_of_a_line_adds_no_line(value: String) {
        let line = context(json!(value)).render("{{ steps.late.who }}", Style::Line).expect("good");
        prop_assert!(!line.contains(|it: char| it.is_control()));
    }

    #[test]
    fn a_value_in_markdown_stands_for_itself(value in "[ -~]{0,40}") {
        let body = context(json!(value)).render("> {{ steps.late.who }}", Style::Markdown).expect("good");
        let html = crate::actions::html(&body);
        prop_assert!(!html.contains("<a ") && !html.contains("<em>") && !html.contains("<script"), "{}", html);
    }
}
