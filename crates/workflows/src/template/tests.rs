mod numbers;

use futures_util::FutureExt as _;
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::filters::{FILTERS, TESTS};
use super::*;

fn names() -> Names {
    let mut names = Names::default();
    names.add_step("late");
    names
}

fn about() -> About {
    let created_at = Timestamp::UNIX_EPOCH;
    let run =
        AboutRun { id: RunId::from_uuid(Uuid::nil()), trigger: "manual".to_owned(), created_at };
    let workflow =
        AboutWorkflow { id: WorkflowId::from_uuid(Uuid::nil()), name: "Late".to_owned() };
    About { run: Some(run), workflow: Some(workflow) }
}

fn context(value: Json) -> Context {
    let mut context = Context::new(about(), None);
    let result = StepResult {
        columns: vec!["who".to_owned()],
        rows: vec![vec![value]],
        ..StepResult::default()
    };
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
fn a_template_tells_of_its_run_and_its_workflow() {
    let text =
        "{{ run.id }} {{ run.trigger }} {{ run.created_at }} {{ workflow.id }} {{ workflow.name }}";
    let told = context(json!(1)).render(text, Style::Plain).expect("good");
    let no = "0".repeat(32);
    assert_eq!(told, format!("run_{no} manual 1970-01-01T00:00:00Z wf_{no} Late"));
    let about_nothing = Context::new(About::default(), None);
    assert_eq!(
        about_nothing.render("{{ run }}{{ workflow }}", Style::Plain).as_deref(),
        Ok("{}{}")
    );
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
    fn a_value_in_markdown_stands_for_itself(value in "[ -~]{0,40}", at in 0..9usize) {
        let around = ["> {}", "{}", "a{}b", "*{}*", "[{}](https://x)", "# {}", "| a |\n| - |\n| {} |", "- {}", "<b>{}"];
        let text = around[at].replace("{}", "{{ steps.late.who | e }}");
        let html = context(json!(value)).render(&text, Style::Markdown).expect("good");
        let shown = html.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&#39;", "'").replace("&amp;", "&");
        prop_assert!(shown.contains(&value), "{}", html);
        let plain = context(json!("x")).render(&text, Style::Markdown).expect("good");
        for tag in ["<a ", "<em>", "<script", "<img", "<code", "<h1", "<li", "<b>", "</p>"] {
            prop_assert_eq!(html.matches(tag).count(), plain.matches(tag).count(), "{} in {}", tag, html);
        }
    }

    #[test]
    fn a_value_in_code_is_shown_as_it_is(value in "[!-~]{1,20}") {
        for text in ["`{{ steps.late.who }}`", "```\n{{ steps.late.who }}\n```", "    {{ steps.late.who }}"] {
            let html = context(json!(value)).render(text, Style::Markdown).expect("good");
            let escaped = value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let quoted = escaped.replace('"', "&quot;");
            let code = html.split_once("<code>").and_then(|it| it.1.split_once("</code>")).map(|it| it.0.trim_end());
            prop_assert!(code == Some(escaped.as_str()) || code == Some(quoted.as_str()), "{}", html);
        }
    }

    #[test]
    fn a_value_in_a_target_leads_nowhere_else(value: String) {
        let body = "[see](https://example.com/a?id={{ steps.late.who }}&b=1)";
        let html = context(json!(value)).render(body, Style::Markdown).expect("good");
        let target = html.split_once("href=\"").and_then(|it| it.1.split_once('"')).expect("a link").0;
        let id = target.strip_prefix("https://example.com/a?id=").and_then(|it| it.strip_suffix("&amp;b=1"));
        let is_value = |it: char| it.is_ascii_alphanumeric() || "-._~@%".contains(it);
        prop_assert!(id.is_some_and(|it| it.chars().all(is_value)), "{}", html);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever a template says, it ends, and with little in its hands.
    #[test]
    fn a_hostile_template_ends_and_holds_little(text in hostile()) {
        let context = context(json!("x".repeat(1_000)));
        let filled = context.render(&text, Style::Markdown);
        let most = most_held_kib();
        prop_assert!(most < MOST_HELD_KIB, "{} KiB for {}", most, text);
        if let Ok(page) = filled {
            prop_assert!(page.len() <= 8 * LARGEST + 100);
        }
    }
}

/// What the process of the test may hold at once.
const MOST_HELD_KIB: usize = 256 * 1024;

/// What the process held of memory at most, where the system says it.
fn most_held_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let most = status.lines().find_map(|it| it.strip_prefix("VmHWM:"));
    most.and_then(|it| it.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

/// Templates that make values of values, again and again.
fn hostile() -> impl Strategy<Value = String> {
    let atom = proptest::sample::select(vec![
        "a",
        "b",
        "results",
        "results_json",
        "results_table",
        "'xy'",
        "1000000000",
        "7",
        "[a, b]",
        "{'k': a}",
        "range(9999)",
        "steps",
        "'%09999999999d'",
        "0.5",
        "true",
    ]);
    let expression = atom.prop_map(str::to_owned).prop_recursive(4, 24, 3, |inner| {
        let binary =
            proptest::sample::select(vec!["~", "+", "*", "**", "in", "==", "<", "//", "%"]);
        let filter = proptest::sample::select(FILTERS.to_vec());
        prop_oneof![
            (inner.clone(), binary, inner.clone()).prop_map(|(a, it, b)| format!("({a} {it} {b})")),
            (inner.clone(), filter.clone()).prop_map(|(a, it)| format!("({a}|{it})")),
            (inner.clone(), filter.clone(), inner.clone())
                .prop_map(|(a, it, b)| format!("({a}|{it}({b}))")),
            (inner.clone(), filter.clone(), inner.clone())
                .prop_map(|(a, it, b)| format!("({a}|map('{it}', {b}, {b}))")),
            (inner.clone(), filter, inner.clone(), inner.clone())
                .prop_map(|(a, it, b, c)| format!("({a}|{it}({b}, {c}))")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}[{b}:])")),
            inner.prop_map(|a| format!("[{a}, {a}, {a}]")),
        ]
    });
    let statement = (0..4, expression).prop_map(|(kind, it)| match kind {
        0 => format!("{{% set a = {it} %}}"),
        1 => format!("{{% set b = {it} %}}"),
        2 => format!("{{{{ {it} }}}}"),
        _ => format!("{{% for i in range(50) %}}{{% set a = {it} %}}{{{{ a }}}}{{% endfor %}}"),
    });
    proptest::collection::vec(statement, 1..12).prop_map(|it| {
        let mut text = "{% set a = 'abc' %}{% set b = [1, 2] %}".to_owned();
        text.extend(it);
        text
    })
}

#[test]
fn a_template_that_grows_is_refused_with_what_made_it_grow() {
    let context = context(json!("x".repeat(10_000)));
    for (text, said) in [
        (r#"{{ "x"|indent(100000000000000) }}"#, "indent"),
        (r"{{ results|tojson(indent=100000000000000) }}", "tojson"),
        (r#"{{ "%0100000000000d"|format(1) }}"#, "format"),
        (r#"{{ "%*d"|format(100000000000, 1) }}"#, "format"),
        (r#"{{ "%.999999999f"|format(1.5) }}"#, "format"),
        (r#"{{ steps.late.who|replace("x", steps.late.who) }}"#, "replace"),
        (r"{{ range(9000)|join(steps.late.who) }}", "join"),
        (r#"{{ "a" * 1000000000 }}"#, "`*`"),
        (r"{{ [1] * 1000000000 }}", "too much"),
        (r"{{ [1, 2]|batch(1000000000000, 0) }}", "batch"),
        (r"{{ [1, 2]|slice(1000000000000, 0) }}", "too much"),
        (r"{{ range(1000000000000) }}", "range"),
        (r"{{ [1, 2]|map('indent', 100000000000000)|list }}", ""),
        (r"{{ ['a', 'b']|map('indent', 100000000000000)|list }}", "indent"),
        (r"{{ ('x' * 100000)|list|map('batch', 32768, 0)|list }}", "too much"),
        (r"{{ ([steps.late.who] * 10000)|map('replace', '', steps.late.who)|list }}", "too much"),
        (r"{{ ([steps.late.who] * 10000)|map('replace', 'y', 'z')|list }}", "too much"),
        (r"{{ range(10000)|sort(attribute='a,' * 500000) }}", "attribute"),
        (r"{{ range(10000)|map('replace', 'q', [range(10000)])|list }}", "takes texts"),
    ] {
        let err = context.render(text, Style::Plain).expect_err(text);
        assert!(err.contains(said), "{text}: {err}");
        assert!(check(text, Style::Plain, &names()).is_ok(), "{text} is one to read all the same");
    }
    let twice = "{% set a = results_json %}".to_owned() + &"{% set a = a ~ a %}".repeat(100);
    assert!(context.render(&twice, Style::Plain).expect_err("twice").contains('~'));
    let lists = "{% set a = [1, 1] %}".to_owned() + &"{% set a = [a, a] %}".repeat(100) + "{{ a }}";
    assert!(context.render(&lists, Style::Plain).is_err());
    let deep = "{% set a = [1] %}".to_owned() + &"{% set a = [a] %}".repeat(240) + "x";
    assert!(context.render(&deep, Style::Plain).expect_err("deep").contains("deep"));
    let within = "{% for a in [results_json] %}".to_owned()
        + &"{% for a in [a ~ a] %}".repeat(40)
        + &"{% endfor %}".repeat(41);
    assert!(context.render(&within, Style::Plain).is_err());
}

#[test]
fn what_would_grow_unseen_is_no_template() {
    let long = format!("{{{{ 1{} }}}}", " + 1".repeat(100_000));
    let nested = "{% if true %}{% endif %}".repeat(10_000);
    for text in [
        "{% macro m() %}x{% endmacro %}{{ m() }}",
        "{% set a %}x{% endset %}",
        "{% filter upper %}x{% endfilter %}",
        "{% for a in [[1]] recursive %}{{ loop(a) }}{% endfor %}",
        "{% set ns = namespace(a=1) %}",
        "{{ 1|pprint }}",
        "{{ 1|safe }}",
        "{{ dict(**steps) }}",
        &long,
        &nested,
    ] {
        assert!(check(text, Style::Plain, &names()).is_err(), "{text:.60}");
        assert!(context(json!(1)).render(text, Style::Plain).is_err(), "{text:.60}");
    }
    let sum = format!("1{}", " + 1".repeat(100_000));
    assert!(check_expression(&sum, &names()).is_err());
    assert!(context(json!(1)).evaluate(&[sum]).is_err());
}

#[test]
fn many_templates_of_one_json_share_what_one_may_do() {
    let text = "{{ 'x' * 1000000 }}!";
    let many: Vec<_> = (0..1_000).map(|_| json!(text)).collect();
    assert!(context(json!(1)).render_json(&json!(text)).is_ok());
    assert!(context(json!(1)).render_json(&json!(many)).is_err());
}

#[test]
fn a_table_is_made_once_for_all_texts_of_a_json() {
    let context = context(json!("x".repeat(100)));
    let tools = Tools::new(Style::Plain, None);
    let costs = |texts: &Json| {
        let before = tools.meter.left();
        context.render_json_by(&tools, texts).expect("good");
        before - tools.meter.left()
    };
    let first = costs(&json!("{{ results_table and 1 }}"));
    let table = tools.table.get().and_then(|it| it.as_str()).expect("it is kept").as_ptr();
    let again = costs(&json!("{{ results_table and 1 }}"));
    assert!(first >= again + 104, "the table costs its size: {first}, {again}");
    costs(&json!(["{{ results_table }}", { "a": "{{ results_table }}!" }]));
    assert_eq!(tools.table.get().and_then(|it| it.as_str()).map(str::as_ptr), Some(table));
}

#[test]
fn templates_say_what_they_always_said() {
    let mut context = Context::new(about(), None);
    let columns = vec!["who".to_owned(), "owes".to_owned()];
    let rows = vec![
        vec![json!("Ann"), json!(2)],
        vec![json!("Bob"), json!(1)],
        vec![json!("Cy"), json!(2.5)],
    ];
    context.add("late", StepResult { columns, rows, ..StepResult::default() }.into());
    for (text, expected) in [
        ("{{ results|map(attribute='who')|join(', ') }}", "Ann, Bob, Cy"),
        ("{{ results|sort(attribute='owes')|map(attribute='who')|first }}", "Bob"),
        (
            "{{ results|sum(attribute='owes') if false else results|map(attribute='owes')|sum }}",
            "5.5",
        ),
        (
            "{% for it in results if it.owes >= 2 %}{{ loop.index }}/{{ loop.length }}{{ it.who }}{% if not loop.last %}; {% endif %}{% else %}none{% endfor %}",
            "1/2Ann; 2/2Cy",
        ),
        ("{% for it in [] %}x{% else %}none{% endfor %}", "none"),
        ("{% for key, value in {'a': 1}|items %}{{ key }}={{ value }}{% endfor %}", "a=1"),
        (
            "{% set a, b = [1, 2] %}{{ a + b }} {{ 7 // 2 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ -7 % 3 }} {{ 1 + 0.5 }}",
            "3 3 3.5 1024 2 1.5",
        ),
        (
            "{% set a = 1 %}{% for i in [1, 2] %}{% set a = a + i %}{{ a }}{% endfor %}{{ a }}",
            "231",
        ),
        ("{% with a = 1, b = a + 1 %}{{ b }}{% endwith %}", "2"),
        ("{{ 'a' ~ 1 ~ true }} {{ 'ab' * 2 }} {{ [1] + [2] }}", "a1true abab [1,2]"),
        (
            "{{ 'hello'[1:3] }} {{ [1, 2, 3][::-1] }} {{ [1, 2, 3][-2:] }} {{ 'x'[5:] }}",
            "el [3,2,1] [2,3] ",
        ),
        (
            "{{ 1 < 2 < 3 }} {{ 'a' in 'cat' }} {{ 4 not in [1] }} {{ 'x' == 'x' and not false }}",
            "true true true true",
        ),
        (
            "{{ steps.late.nothing is defined }} {{ row_count is number }} {{ 3 is odd }} {{ 3 is divisibleby(3) }}",
            "false true true true",
        ),
        (
            "{{ steps.late.more|default('-') }} {{ results|length }} {{ 'ann lee'|title }}",
            "- 3 Ann Lee",
        ),
        (
            "{{ '%05.1f|%s'|format(2.5, 'x') }} {{ 'a-b'|replace('-', '+') }} {{ 2.345|round(1) }}",
            "002.5|x a+b 2.3",
        ),
        (
            "{{ 'a b c'|split|length }} {{ 'a b c'|split(' ', 1) }} {{ 'a,b'|split(',') }}",
            r#"3 ["a","b c"] ["a","b"]"#,
        ),
        (
            "{{ 'a\nb'|indent(2) }}|{{ {'k': [1]}|tojson }}|{{ '<b>'|e }}",
            "a\n  b|{\"k\":[1]}|&lt;b&gt;",
        ),
        (
            "{% for i in range(3) %}{{ loop.cycle('a', 'b') }}{% endfor %} {{ range(5, 0, -2)|list }}",
            "aba [5,3,1]",
        ),
        ("{{ [3, 1]|sort|batch(1)|list }} {{ [1, 2, 3]|slice(2)|list }}", "[[1],[3]] [[1,2],[3]]"),
        (
            "{{ dict(a=1).a }} {{ results[0]['who'] }} {{ results|groupby('owes')|length }}",
            "1 Ann 3",
        ),
        ("{{ results|selectattr('who', 'in', ['Bob'])|map(attribute='who')|list }}", r#"["Bob"]"#),
        ("{{ (1 == 1) is true }} {{ 0 is false }} {{ steps.late.no is none }}", "true false false"),
        ("{{ ['b', 'a']|map('upper')|join }} {{ [[1], [2, 3]]|map('length')|list }}", "BA [1,2]"),
        (
            "{{ 'añb'[1:] }}{{ 'abc'[::-1] }}{{ 'abcd'[:4:2] }} {{ ('é' * 500000)[:3] }}",
            "ñbcbaac ééé",
        ),
    ] {
        assert_eq!(context.render(text, Style::Plain).as_deref(), Ok(expected), "{text}");
        assert!(check(text, Style::Plain, &names()).is_ok(), "{text}");
    }
    for text in [
        "{{ nothing }}",
        "{{ steps.late.no.more }}",
        "{% if steps.late.no %}{% endif %}",
        "{{ 1 + 'a' }}",
        "{{ 1 // 0 }}",
        "{{ 'x' in 5 }}",
        "{{ 'x' not in none }}",
    ] {
        assert!(context.render(text, Style::Plain).is_err(), "{text}");
    }
    let err = context.render("a\nb {{ steps.late.no }}", Style::Plain).expect_err("no value");
    assert!(err.starts_with("line 2: "), "{err}");
}

#[test]
fn there_is_each_filter_and_test_that_is_listed() {
    let meter = Arc::new(Meter::new(Meter::deadline()));
    let environment = filters::environment(Style::Plain, &meter);
    let state = environment.empty_state();
    let one = [Value::from(1)];
    for name in FILTERS {
        let kind = state.apply_filter(name, &one).err().map(|it| it.kind());
        assert_ne!(kind, Some(ErrorKind::UnknownFilter), "{name}");
    }
    for name in TESTS {
        let kind = state.perform_test(name, &one).err().map(|it| it.kind());
        assert_ne!(kind, Some(ErrorKind::UnknownTest), "{name}");
    }
}

#[test]
fn a_value_in_markdown_is_no_link_and_leads_nowhere() {
    let page = |text: &str, value: &str| {
        context(json!(value)).render(text, Style::Markdown).expect("good")
    };
    let evil = "[Reset](https://evil.example)";
    for text in [
        "{{ steps.late.who }}",
        "{{ steps.late.who | e }}",
        "{{ steps.late.who | tojson }}",
        "{{ steps.late.who | upper }}",
    ] {
        assert!(!page(text, evil).contains("<a "), "{text}");
    }
    assert!(page("`{{ steps.late.who }}`", "018f-3a2b`x").contains("<code>018f-3a2b`x</code>"));
    for (text, value) in [
        ("[see]({{ steps.late.who }})", "https://evil.example"),
        ("[see](https://{{ steps.late.who }}/a)", "evil.example"),
        ("[see](https://example.com{{ steps.late.who }}/a)", ".evil.example"),
        ("[see](https://example.com@{{ steps.late.who }}/a)", "evil.example"),
        ("[see]({{ steps.late.who }}:alert(1))", "javascript"),
        ("[see](javascript:{{ steps.late.who }})", "alert(1)"),
        ("[see][r]\n\n[r]: {{ steps.late.who }}", "https://evil.example"),
    ] {
        let html = page(text, value);
        assert!(html.contains("see") && !html.contains("<a "), "{html}");
    }
    let image = page("![logo]({{ steps.late.who }})", "https://evil.example/x.png");
    assert!(image.contains("logo") && !image.contains("<img"), "{image}");
    let mail = page("[write](mailto:{{ steps.late.who }})", "a@example.com?cc=b");
    assert!(mail.contains("mailto:a@example.com%3Fcc%3Db"), "{mail}");
    let linked = "[r]: https://example.com/{{ steps.late.who * 10 }}\n\n".to_owned()
        + &"[r] ".repeat(20_000);
    assert!(context(json!("x".repeat(100_000))).render(&linked, Style::Markdown).is_err());
}

/// Each of them ended a server, or held one of its processors for seconds to hours.
#[test]
fn what_costs_more_than_it_looks_is_refused() {
    let names = "a,".repeat(98) + "0";
    for text in [
        "{{ '%(a%b)99999999999999d'|format({'a%b': 1}) }}",
        "{{ '%(a%b)400000000d'|format({'a%b': 1}) }}",
        "{{ '%5%%(a)d'|format({'a': 1}) }}",
        "{{ '%.70000f'|format(1.5) }}",
        "{% set x='a'*1000000 %}{% set m={x:1} %}{% for i in range(100000) %}{% if m[x] %}{% endif %}{% endfor %}",
        "{% for k, g in range(100000)|groupby('x', default=1) %}{% for i in range(100000) %}{% if g[99999] %}{% endif %}\
         {% endfor %}{% endfor %}",
        &format!("{{{{ [[1]]|sort(attribute='{names}') }}}}"),
        "{{ range(10000)|groupby('x', default='a'*1000000)|length }}",
        "{% set x='\\u007f'*1000000 %}{{ ([x]*31)|string }}",
        "{% set x='\\u0001'*1000000 %}{{ [x]*31 }}",
        "{% set x='\\u007f'*1000000 %}{{ [[x]*19]|join }}",
        "{% set x='a'*1000000 %}{{ ([x]*30) in 'a' }}",
        "{{ ['a']|upper }}",
        "{{ ['a'] is upper }}",
        "{{ 'a'|replace(['a'], 'b') }}",
        "{{ ['a']|join(['b']) }}",
        "{{ ([1]|slice(1500000))|length }}",
        "{{ range(100000)|batch(1)|map('reverse')|batch(1)|map('reverse')|batch(1)|map('reverse')|batch(1)|length }}",
    ] {
        let refused = context(json!(1)).render(text, Style::Plain);
        assert!(refused.is_err(), "{text}: {} bytes", refused.unwrap_or_default().len());
    }
}

#[test]
fn looking_names_up_is_counted() {
    let names: Vec<String> = (0..100).map(|it| format!("name_{it}")).collect();
    let set = format!("{{% set {} = range(100) %}}", names.join(", "));
    let text = format!(
        "{set}{{% for i in range(100000) %}}{{% if row_count and row_count and row_count and row_count and row_count and row_count and row_count %}}{{% endif %}}{{% endfor %}}"
    );
    assert!(context(json!(1)).render(&text, Style::Plain).is_err());
}

#[test]
fn numbers_are_divisible_or_not_and_nothing_is_by_zero() {
    for (text, expected) in [
        ("{{ 9 is divisibleby(3) }}", Some("true")),
        ("{{ 10 is divisibleby(3) }}", Some("false")),
        ("{{ 7.5 is divisibleby(2.5) }}", Some("true")),
        ("{{ 'a' is divisibleby(3) }}", Some("false")),
        ("{{ (-170141183460469231731687303715884105727 - 1) is divisibleby(-1) }}", Some("true")),
        ("{{ 1 is divisibleby(0) }}", None),
    ] {
        assert_eq!(
            context(json!(1)).render(text, Style::Plain).ok().as_deref(),
            expected,
            "{text}"
        );
    }
}

/// In a list, a map or an argument too.
#[test]
fn what_is_not_there_becomes_no_text() {
    for text in [
        "{{ ['a', steps.late.nope]|join(', ') }}",
        "{{ '%s'|format(steps.late.nope) }}",
        "{{ [steps.late.nope] }}",
        "{{ {'a': steps.late.nope} }}",
        "{{ dict(a=steps.late.nope) }}",
        "{{ [1, steps.late.nope]|sum }}",
        "{{ [{'b': 1}]|map(attribute='a') }}",
        "{{ [{'b': 1}]|map(attribute='a')|join }}",
    ] {
        assert!(context(json!(1)).render(text, Style::Plain).is_err(), "{text}");
    }
    for text in [
        "{{ steps.late.nope|default('none') }}",
        "{{ 'none' if steps.late.nope is undefined else 'some' }}",
        "{{ [{'b': 1}]|map(attribute='a', default='none')|join }}",
    ] {
        assert_eq!(context(json!(1)).render(text, Style::Plain).as_deref(), Ok("none"), "{text}");
    }
}

#[test]
fn lists_of_groups_and_orders_are_made_as_before() {
    let rows = "{% set rows=[{'a': 2, 'b': 'x'}, {'a': 1, 'b': 'y'}, {'a': 2, 'b': 'z'}] %}";
    for (text, expected) in [
        (
            "{% for a, them in rows|groupby('a') %}{{ a }}:{{ them|map(attribute='b')|join(',') }};{% endfor %}",
            "1:y;2:x,z;",
        ),
        (
            "{% for it in rows|groupby('a') %}{{ it.grouper }}{{ it.list|length }}{% endfor %}",
            "1122",
        ),
        ("{{ rows|sort(attribute='a,b', reverse=true)|map(attribute='b')|join }}", "zxy"),
        ("{{ rows|map(attribute='a')|unique|join('-') }}", "2-1"),
        ("{{ '%05.1f|%s|%-4d|%%'|format(2.25, 'a', 7) }}", "002.2|a|7   |%"),
        ("{{ [1, 'a', [2]]|join('-') }}", "1-a-[2]"),
        ("{{ [1, 2]|string }}", "[1, 2]"),
    ] {
        let text = format!("{rows}{text}");
        assert_eq!(
            context(json!(1)).render(&text, Style::Plain).as_deref(),
            Ok(expected),
            "{text}"
        );
    }
}

#[test]
fn a_page_is_nested_so_deep_and_no_deeper() {
    let page = |text: &str| context(json!("x")).render(text, Style::Markdown);
    let list = |deep: usize| -> String {
        (0..deep).flat_map(|it| ["  ".repeat(it), "- a\n".to_owned()]).collect()
    };
    for text in [
        &format!("{}a{}", ">".repeat(100_000), "\nx".repeat(100_000)),
        &format!("{}a", "> ".repeat(101)),
        &format!("{}a", "- ".repeat(101)),
        &format!("a\r{}a", "* > + 1. 23) ".repeat(21)),
        &format!("{}a", "1.\t".repeat(51)),
        "{% for i in range(101) %}>{% endfor %}a",
        &list(101),
    ] {
        let err = page(text).expect_err(text);
        assert!(err.contains("more than 100 quotations and lists"), "{err}");
    }
    for text in [
        &format!("{}a", ">".repeat(100)),
        &format!("{}a", "> ".repeat(100)),
        &format!("{}a", "1. ".repeat(100)),
        &format!("a\n\n{}", "-".repeat(1_000)),
        &format!("{}a", "*".repeat(1_000)),
        &format!("```\n{}a\n```", " ".repeat(1_000)),
        &format!("| a |\n| - |\n| {} |", "> ".repeat(1_000)),
        &"1".repeat(1_000),
        &list(60),
    ] {
        assert_eq!(page(text).err(), None, "{text}");
    }
    assert_eq!(page(&list(60)).expect("good").matches("<li>").count(), 60);
}

#[test]
fn nothing_of_a_page_goes_missing_unsaid() {
    let linked = "[r]: https://e.com/{{ 'A' * 400000 }}\n\n![".to_owned() + &"[r] ".repeat(30);
    let page = context(json!("x"))
        .render(&(linked + "{{ steps.late.who }}](https://e.com/i)"), Style::Markdown);
    assert!(page.expect_err("there are too many").contains("bytes of values"));
}

#[tokio::test]
async fn no_more_are_filled_in_at_once_than_have_a_turn() {
    let turns = Arc::new(Semaphore::new(1));
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (end, may_end) = std::sync::mpsc::channel::<()>();
    let first = tokio::spawn({
        let turns = turns.clone();
        async move {
            let fill = move || {
                begun.send(()).map_err(|()| Fault::permanent("nobody is there"))?;
                may_end.recv().map_err(|_| Fault::permanent("nobody is there"))
            };
            aside_by(&turns, fill).await
        }
    });
    has_begun.await.expect("it began");
    first.abort();
    assert!(first.await.is_err_and(|it| it.is_cancelled()));
    let mut second = Box::pin(aside_by(&turns, || Ok(7)));
    assert!((&mut second).now_or_never().is_none());
    assert_eq!(turns.available_permits(), 0, "nobody waits for it, and it still has its turn");
    end.send(()).expect("it still is under way");
    assert_eq!(second.await.ok(), Some(7));
    assert!(aside(|| Ok(())).await.is_ok());
}

#[test]
fn a_sign_at_a_brace_makes_a_text_of_an_expression() {
    for text in [
        "{{- row_count }}",
        "{{ row_count -}}",
        "{{+ row_count }}",
        "{{ row_count +}}",
        " {{- row_count -}} ",
    ] {
        let json = json!([text]);
        check_json(&json, "", &names(), &mut |_, it| panic!("{text}: {it}"));
        assert_eq!(context(json!("x")).render_json(&json), Ok(json!(["1"])), "{text}");
    }
    let plain = context(json!("x")).render_json(&json!(["{{ row_count }}", "{{ -row_count }}"]));
    assert_eq!(plain, Ok(json!([1, -1])));
}

#[test]
fn what_no_template_names_is_not_made() {
    let context = context(json!("Ann"));
    let found = context.steps.last(Long::Near).expect("there is one");
    let renders = |text: &str, expected: &str| {
        assert_eq!(context.clone().render(text, Style::Plain).as_deref(), Ok(expected), "{text}");
        found.made()
    };
    assert_eq!(renders("{{ row_count }} {{ workflow.name }} {{ results|length }}", "1 Late 1"), "");
    assert_eq!(renders("{{ steps.late.who }} {{ steps.late.row_count }}", "Ann 1"), "step ");
    assert_eq!(renders("{{ results_json }}", r#"[{"who":"Ann"}]"#), "step json ");
    assert_eq!(renders("{{ steps.late.rows[-1].who }}", "Ann"), "step json rows ");
    let mut more = context.clone();
    more.add("more", StepResult::default().into());
    assert_eq!(
        more.render("{{ steps.late.who }}{{ results }}", Style::Plain).as_deref(),
        Ok("Ann[]")
    );
    assert_eq!(more.steps.last(Long::Near).expect("there is one").made(), "");
}

#[test]
fn rows_are_lists_of_objects_to_every_template() {
    let mut context = Context::new(about(), Some(json!({ "a": [1] })));
    let columns = vec!["rows".to_owned(), "b".to_owned()];
    let rows = vec![vec![json!(1), json!({ "x": null })], vec![json!(2), json!([0.5])]];
    context.add("z", StepResult { columns, rows, ..StepResult::default() }.into());
    context.add(
        "a",
        StepResult { columns: vec!["k".to_owned()], rows: Vec::new(), ..StepResult::default() }
            .into(),
    );
    for (text, expected) in [
        (
            "{{ steps }}",
            r#"{"a":{"columns":["k"],"row_count":0,"rows":[]},"z":{"b":{"x":null},"columns":["rows","b"],"row_count":2,"rows":1}}"#,
        ),
        ("{{ steps|list }} {{ steps|length }} {{ 'z' in steps }}", r#"["a","z"] 2 true"#),
        ("{% for name, it in steps|items %}{{ name }}{{ it.row_count }}{% endfor %}", "a0z2"),
        ("{{ results }} {{ results_json }} {{ results|length }}", "[] [] 0"),
        (
            "{% for it in results %}x{% else %}none{% endfor %}{% if not results %}!{% endif %}",
            "none!",
        ),
        (
            "{{ steps.z == steps.z }} {{ results == [] }} {{ results is sequence }}",
            "true true true",
        ),
        (
            "{{ steps is mapping }} {{ steps['z']['b'] }} {{ steps.y is defined }}",
            r#"true {"x":null} false"#,
        ),
        ("{{ webhook.a }} {{ webhook }} {{ notify is defined }}", r#"[1] {"a":[1]} false"#),
    ] {
        assert_eq!(context.render(text, Style::Plain).as_deref(), Ok(expected), "{text}");
    }
    let mut context = self::context(json!({ "it": 2 }));
    context.add(
        "two",
        StepResult {
            columns: vec!["n".to_owned(), "m".to_owned()],
            rows: vec![vec![json!(2), json!("x")], vec![json!(1), json!(null)]],
            ..StepResult::default()
        }
        .into(),
    );
    for (text, expected) in [
        ("{{ results }}", r#"[{"m":"x","n":2},{"m":null,"n":1}]"#),
        (
            "{{ results[1] }}{{ results[-2].n }}{{ results[5] is defined }}",
            r#"{"m":null,"n":1}2false"#,
        ),
        ("{{ results[1:] }}{{ results|reverse|first }}", r#"[{"m":null,"n":1}]{"m":null,"n":1}"#),
        ("{{ results|sort(attribute='n')|map(attribute='n')|list }}", "[1,2]"),
        ("{{ (results + [1])|length }} {{ results|last == results[1] }}", "3 true"),
        ("{{ steps.late.who.it }} {{ results|tojson }}", r#"2 [{"m":"x","n":2},{"m":null,"n":1}]"#),
        (
            "{{ [steps.late] ~ '' }}",
            r#"[{"columns": ["who"], "row_count": 1, "rows": [{"who": {"it": 2}}], "who": {"it": 2}}]"#,
        ),
        ("{{ ([steps] ~ '')[:11] }}", r#"[{"late": {"#),
        ("{{ results ~ '' }}", r#"[{"m": "x", "n": 2}, {"m": None, "n": 1}]"#),
    ] {
        assert_eq!(context.render(text, Style::Plain).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn a_targets_beginning_is_judged_once_and_a_long_one_is_no_link() {
    let (host, many) = ("a".repeat(4_000), "{% for i in range(100) %}{{ '' }}{% endfor %}");
    let context = context(json!("x"));
    let page = |text: &str| context.render(text, Style::Markdown).expect("filled");
    assert!(page(&format!("[a](http://{host}/{many}{{{{ steps.late.who }}}})")).contains("<a "));
    let long = format!("[a](http://{}/{many})", host.repeat(2));
    assert!(!page(&long).contains("<a "));
    // As often as it is used.
    let used = "[a] ".repeat(20_000);
    let often = format!("{used}\n\n[a]: http://{}/{{{{ steps.late.who }}}}", "a".repeat(500_000));
    assert!(!page(&often).contains("<a "));
}
