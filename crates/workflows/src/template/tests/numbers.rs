//! Numbers of results in templates, and what is nothing or not one.

use super::super::numbers::nearest;
use super::*;

/// Rows of averages and large ids, as `bigint` and `numeric` bring them.
fn long_numbers() -> Context {
    let mut context = Context::new(About::default(), None);
    let result = StepResult {
        columns: ["name", "average", "id"].map(str::to_owned).into(),
        rows: vec![
            vec![json!("b"), json!("33.3333333333333333"), json!("9007199254740993")],
            vec![json!("a"), json!(4.5), json!(5)],
            vec![
                json!("9007199254740993"),
                json!("-0.3333333333333333"),
                json!("-9223372036854775808"),
            ],
        ],
        long_numbers: vec![1, 2],
        ..StepResult::default()
    };
    context.add("a", result.into());
    context
}

#[test]
fn numbers_that_no_double_holds_are_numbers_where_they_are_reckoned_with() {
    let context = long_numbers();
    for (text, expected) in [
        ("{% if steps.a.average > 50 %}high{% else %}fine{% endif %}", "fine"),
        ("{% if steps.a.rows[2].id < 0 %}below{% endif %}", "below"),
        ("{{ steps.a.average * 3 }} {{ steps.a.id + 1 }}", "100.00000000000001 9007199254740994"),
        ("{{ \"%.2f\" | format(steps.a.average) }} {{ steps.a.average | round(1) }}", "33.33 33.3"),
        ("{{ results | map(attribute='average') | min }}", "-0.3333333333333333"),
        (
            "{{ results | sort(attribute='id') | map(attribute='id') | join(' ') }}",
            "-9223372036854775808 5 9007199254740993",
        ),
        ("{{ results | selectattr('average', 'gt', 5) | map(attribute='name') | join }}", "b"),
        ("{{ results | map(attribute='id') | sum }}", "-214748364807034810"),
        (
            "{% for it in results %}{% if it.average > 4 %}{{ it.name }}{% endif %}{% endfor %}",
            "ba",
        ),
        // Passed on as they are.
        ("{{ steps.a.average }} {{ steps.a.id }}", "33.3333333333333333 9007199254740993"),
        // A text stays one, whatever it looks like.
        ("{{ results[2].name is string }}", "true"),
    ] {
        let expected = expected.replace("-214748364807034810", "-9214364837600034810");
        assert_eq!(context.render(text, Style::Plain).as_deref(), Ok(&*expected), "{text}");
    }
    assert_eq!(
        context.render_json(&json!([
            "{{ steps.a.average }}",
            "{{ steps.a.id }}",
            "{{ steps.a.id + 0 }}",
            "{{ 10**30 }}"
        ])),
        Ok(json!([
            "33.3333333333333333",
            "9007199254740993",
            9_007_199_254_740_993_u64,
            "1000000000000000000000000000000"
        ]))
    );
    let rows = context.render_json(&json!("{{ results }}")).expect("there");
    assert_eq!(rows[0]["id"], "9007199254740993");
    let text = context.render("{{ results | tojson }}", Style::Plain).expect("there");
    assert!(text.contains("\"33.3333333333333333\""), "{text}");
}

#[test]
fn a_text_is_no_number() {
    let context = context(json!("12345678901234567890.12"));
    for text in [
        "{{ steps.late.who > 5 }}",
        "{{ 5 <= steps.late.who }}",
        "{{ steps.late.who * 2 }}",
        "{{ 2 * steps.late.who }}",
        "{{ 5 is lt(steps.late.who) }}",
    ] {
        let said = context.render(text, Style::Plain).expect_err(text);
        assert!(said.contains("| float"), "{text}: {said}");
    }
    let text =
        "{{ steps.late.who | float > 5 }} {{ '-' * 3 }} {{ 'a' < 'b' }} {{ steps.late.who == 5 }}";
    assert_eq!(context.render(text, Style::Plain).as_deref(), Ok("true --- true false"));
}

#[test]
fn prices_are_reckoned_with_as_they_are_written() {
    let context = context(json!(19.9));
    for (text, expected) in [
        ("{{ steps.late.who * 3 }}", "59.7"),
        ("{{ 0.1 + 0.2 }}", "0.3"),
        ("{{ 1.1 - 1 }}", "0.1"),
        ("{{ 1e300 * 2 == 2e300 }}", "true"),
        ("{{ 7 / 2 }}", "3.5"),
    ] {
        assert_eq!(context.render(text, Style::Plain).as_deref(), Ok(expected), "{text}");
    }
    for text in ["{{ 1 / 0 }}", "{{ 0 / 0 }}", "{{ 1e300 * 1e300 }}", "{{ 1.5 % 0 }}"] {
        assert!(context.render(text, Style::Plain).is_err(), "{text}");
    }
}

#[test]
fn what_is_nothing_is_written_as_nothing() {
    let context = context(Json::Null);
    for (text, expected) in [
        ("[{{ steps.late.who }}]", "[]"),
        ("{{ 'x' ~ steps.late.who }}", "x"),
        ("{{ [1, steps.late.who, 2] | join(',') }}", "1,,2"),
        ("{{ row_count }} order{{ 's' if row_count != 1 }}", "1 order"),
        ("{{ true }} {{ 'a' ~ (1 > 2) }} {{ true | string }}", "true afalse true"),
    ] {
        assert_eq!(context.render(text, Style::Plain).as_deref(), Ok(expected), "{text}");
    }
    let said = context.render("{{ steps.late.no }}", Style::Plain).expect_err("no value");
    assert_eq!(said, "there is no value for `steps.late.no`");
}

#[test]
fn what_is_nearest_to_a_long_number() {
    for (text, expected) in [
        ("9007199254740993", Some("9007199254740993")),
        ("-9223372036854775808", Some("-9223372036854775808")),
        ("12345678901234567890.00", Some("12345678901234567890")),
        ("33.3333333333333333", Some("33.333333333333336")),
        ("-0.1000000000000000055511151231257827", Some("-0.1")),
        ("12345678901234567890.12", None),
        ("NaN", None),
        ("", None),
    ] {
        assert_eq!(nearest(text).map(|it| it.to_string()).as_deref(), expected, "{text}");
    }
    assert_eq!(nearest(&"9".repeat(40)).map(|it| it.to_string()), None);
}
