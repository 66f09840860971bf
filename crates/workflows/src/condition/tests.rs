use proptest::prelude::*;
use serde_json::json;

use super::*;

fn results(values: &[Value]) -> Results {
    let rows = values.iter().map(|it| vec![it.clone()]).collect();
    let result = StepResult { columns: vec!["x".to_owned()], rows, ..StepResult::default() };
    [("a".to_owned(), result.into())].into()
}

fn earlier(value: Value) -> Earlier {
    results(&[value]).iter().map(|(name, it)| (name.clone(), Glance::from(&**it))).collect()
}

fn read(value: &Value) -> Condition {
    let mut names = Names::default();
    names.add_step("a");
    let mut faults = Faults::default();
    let read = Condition::read(value, "", &names, &mut faults);
    assert_eq!(faults.0, [], "{value}");
    read.expect("read")
}

fn decimal(number: i8) -> Decimal {
    Decimal::of(&json!(number)).expect("a number")
}

fn leaf() -> impl Strategy<Value = Condition> {
    let cells = |rows| Cells { step: "a".to_owned(), column: "x".to_owned(), rows };
    let which = prop_oneof![Just(Which::First), Just(Which::Any), Just(Which::All)];
    let is = proptest::sample::select(COMPARISONS.map(|it| it.1).to_vec());
    let numbers = (which, is.clone(), -3i8..3).prop_map(move |(rows, is, it)| Condition::Value {
        cells: cells(rows),
        is,
        value: decimal(it),
    });
    let counts = (is, 0i8..4).prop_map(|(is, it)| Condition::RowCount {
        step: "a".to_owned(),
        is,
        value: decimal(it),
    });
    prop_oneof![numbers, counts]
}

fn values() -> impl Strategy<Value = Vec<Value>> {
    let value = prop_oneof![(-3i8..3).prop_map(Value::from), Just(Value::Null), Just(json!("one"))];
    proptest::collection::vec(value, 0..4)
}

fn opposite(is: Comparison) -> Comparison {
    match is {
        Comparison::Less => Comparison::AtLeast,
        Comparison::AtMost => Comparison::More,
        Comparison::Equal => Comparison::NotEqual,
        Comparison::NotEqual => Comparison::Equal,
        Comparison::AtLeast => Comparison::Less,
        Comparison::More => Comparison::AtMost,
    }
}

/// The condition that holds exactly when this one does not, where both can be said.
fn negated(it: &Condition) -> Condition {
    match it.clone() {
        Condition::All(of) => Condition::Any(of.iter().map(negated).collect()),
        Condition::Any(of) => Condition::All(of.iter().map(negated).collect()),
        Condition::RowCount { step, is, value } => {
            Condition::RowCount { step, is: opposite(is), value }
        }
        Condition::Value { mut cells, is, value } => {
            cells.rows = match cells.rows {
                Which::First => Which::First,
                Which::Any => Which::All,
                Which::All => Which::Any,
            };
            Condition::Value { cells, is: opposite(is), value }
        }
        other => other,
    }
}

proptest! {
    #[test]
    fn what_is_met_is_not_met_when_negated(
        of in proptest::collection::vec(leaf(), 1..4), values in values(), all: bool
    ) {
        let condition = if all { Condition::All(of) } else { Condition::Any(of) };
        let now = results(&values);
        let (one, other) = (condition.judge(&now, &[]), negated(&condition).judge(&now, &[]));
        // Of no rows neither "any" nor "all" says anything; elsewhere exactly one of the two holds or none is known.
        if values.is_empty() {
            prop_assert!(one != Verdict::Met || other != Verdict::Met);
        } else {
            let pair = (one, other);
            let fits = matches!(
                pair,
                (Verdict::Met, Verdict::NotMet)
                    | (Verdict::NotMet, Verdict::Met)
                    | (Verdict::Unknown, Verdict::Unknown)
            );
            prop_assert!(fits, "{pair:?}");
        }
    }

    #[test]
    fn the_order_of_conditions_does_not_matter(
        of in proptest::collection::vec(leaf(), 1..5), values in values(), all: bool
    ) {
        let make = |of| if all { Condition::All(of) } else { Condition::Any(of) };
        let now = results(&values);
        let mut turned = of.clone();
        turned.reverse();
        prop_assert_eq!(make(of).judge(&now, &[]), make(turned).judge(&now, &[]));
    }

    #[test]
    fn a_change_by_percent_agrees_with_the_absolute_one(before in 1i32..1000, now in 0i32..1000, by in -99i32..99) {
        let percent = read(&json!({ "type": "change", "column": "x", "by": "percent", "is": ">", "value": by }));
        let verdict = percent.judge(&results(&[now.into()]), &[earlier(before.into())]);
        let expected = (now - before) * 100 > by * before;
        prop_assert_eq!(verdict, Verdict::of(expected));
    }
}

#[test]
fn conditions_say_what_they_read() {
    let now = results(&[json!(3), json!("12345678901234567890.5"), json!(null)]);
    for (condition, expected) in [
        (json!({ "type": "has_rows" }), Verdict::Met),
        (json!({ "type": "no_rows", "step": "a" }), Verdict::NotMet),
        (json!({ "type": "row_count", "is": ">=", "value": 3 }), Verdict::Met),
        (json!({ "type": "value", "column": "x", "is": "<", "value": 3 }), Verdict::NotMet),
        (
            json!({ "type": "value", "column": "x", "rows": "any", "is": ">", "value": 1e18 }),
            Verdict::Met,
        ),
        (
            json!({ "type": "value", "column": "x", "rows": "all", "is": ">", "value": 0 }),
            Verdict::Unknown,
        ),
        (json!({ "type": "value", "column": "y", "is": ">", "value": 0 }), Verdict::Unknown),
        (
            json!({ "type": "text", "column": "x", "rows": "any", "is": "contains", "value": "0.5" }),
            Verdict::Met,
        ),
        (json!({ "type": "change", "is": ">", "value": 0 }), Verdict::Unknown),
    ] {
        assert_eq!(read(&condition).judge(&now, &[]), expected, "{condition}");
    }
}

#[test]
fn decimals_are_compared_as_they_are_written() {
    let change = |by: &str, is: &str, value: Value| {
        read(&json!({ "type": "change", "column": "x", "by": by, "is": is, "value": value }))
    };
    let threshold = |is: &str, value: Value| {
        read(&json!({ "type": "value", "column": "x", "is": is, "value": value }))
    };
    let from = |it: Value| [earlier(it)];
    for (condition, before, now) in [
        (change("absolute", ">=", json!(0.2)), json!(0.1), json!(0.3)),
        (change("absolute", "=", json!(0.2)), json!("0.10"), json!("0.30")),
        (change("percent", "=", json!(10)), json!(1.0), json!(1.1)),
        (change("percent", "<=", json!(10)), json!(1.0), json!(1.1)),
        (change("absolute", "=", json!(1)), json!("9007199254740992"), json!("9007199254740993")),
        (change("percent", "<", json!(0)), json!(-3), json!("-3.0000000000000000001")),
        (threshold("=", json!(0.1)), json!(0), json!("0.10")),
        (threshold(">", json!(9_007_199_254_740_992_u64)), json!(0), json!("9007199254740993")),
        (
            threshold("<", json!(9_007_199_254_740_993_u64)),
            json!(0),
            json!(9_007_199_254_740_992_u64),
        ),
        (threshold("<", json!(-33.333)), json!(0), json!("-33.3333333333333333")),
        (
            threshold("=", json!("12345678901234567890.12")),
            json!(0),
            json!("12345678901234567890.120"),
        ),
        (
            threshold(">", json!("1234567890.1234567890122")),
            json!(0),
            json!("1234567890.1234567890123"),
        ),
        (change("absolute", "=", json!("1e-20")), json!(1), json!("1.00000000000000000001")),
    ] {
        let verdict = condition.judge(&results(&[now.clone()]), &from(before.clone()));
        assert_eq!(verdict, Verdict::Met, "{condition:?} from {before} to {now}");
    }
    let more = change("percent", ">", json!(10));
    assert_eq!(more.judge(&results(&[json!(1.1)]), &from(json!(1.0))), Verdict::NotMet);
}

#[test]
fn what_is_usual_is_learned_and_some_outliers_do_not_widen_it() {
    let outside = read(&json!({ "type": "anomaly", "column": "x" }));
    let above = read(&json!({ "type": "anomaly", "column": "x", "is": "above", "window": 20 }));
    let usual: Vec<_> =
        (0..20).map(|at| earlier(json!(if at == 7 { 900 } else { 100 + at % 5 }))).collect();
    let judge = |it: &Condition, now: i32| it.judge(&results(&[json!(now)]), &usual);
    assert_eq!(judge(&outside, 103), Verdict::NotMet);
    assert_eq!(judge(&outside, 150), Verdict::Met);
    assert_eq!(judge(&outside, 20), Verdict::Met);
    assert_eq!(judge(&above, 20), Verdict::NotMet);
    assert_eq!(outside.judge(&results(&[json!(150)]), &usual[..7]), Verdict::Unknown, "too few");
    assert_eq!(outside.judge(&results(&[]), &usual), Verdict::Unknown);
    // Where it was always the same, anything else is unusual.
    let same: Vec<_> = (0..10).map(|_| earlier(json!(5))).collect();
    assert_eq!(outside.judge(&results(&[json!(5)]), &same), Verdict::NotMet);
    assert_eq!(outside.judge(&results(&[json!(6)]), &same), Verdict::Met);
    // Where it mostly was, what now and then came besides is not.
    let mostly: Vec<_> =
        (0..20).map(|at| earlier(json!(if at % 5 == 0 { 2 } else { 0 }))).collect();
    assert_eq!(outside.judge(&results(&[json!(2)]), &mostly), Verdict::NotMet);
    assert_eq!(outside.judge(&results(&[json!(40)]), &mostly), Verdict::Met);
    assert_eq!(outside.looks_back(), 30);
}

#[test]
fn what_a_value_is_compared_with_is_a_number_or_its_digits() {
    let refused = |value: &Value| {
        let condition = json!({ "type": "value", "column": "x", "is": "=", "value": value });
        let mut names = Names::default();
        names.add_step("a");
        let mut faults = Faults::default();
        let read = Condition::read(&condition, "/conditions", &names, &mut faults);
        assert_eq!(read.is_none(), !faults.0.is_empty());
        faults.0.pop()
    };
    for good in [json!(3), json!(-0.5), json!(1e19), json!("3"), json!("-12345678901234567890.12")]
    {
        assert_eq!(refused(&good), None, "{good}");
    }
    for none in
        [json!(true), json!(""), json!("many"), json!("NaN"), json!([3]), json!("1".repeat(501))]
    {
        let fault = refused(&none).expect("refused");
        assert_eq!(fault.pointer, "/conditions/value");
        assert_eq!(fault.message, "has to be a number, or a string of its digits");
    }
}

#[test]
fn numbers_that_may_have_been_rounded_are_refused_where_they_stand() {
    let sent = |value: Value| json!({ "type": "value", "column": "x", "is": "=", "value": value });
    let mut faults = Faults::default();
    let good = [json!(9e15), json!(u64::MAX), json!(i64::MIN), json!("12345678901234567890.12")];
    let text = json!({ "type": "text", "column": "x", "is": "equals", "value": 1e19 });
    let good: Vec<_> = good.into_iter().map(sent).chain([text]).collect();
    check_sent(&json!({ "type": "any", "of": good }), "", &mut faults);
    assert_eq!(faults.0, []);
    let rounded: Value = serde_json::from_str("12345678901234567890.12").expect("a number");
    let all = json!({ "type": "all", "of": [sent(json!(1)), sent(rounded), sent(json!(-1e300))] });
    check_sent(&all, "/conditions", &mut faults);
    let pointers: Vec<_> = faults.0.iter().map(|it| it.pointer.as_str()).collect();
    assert_eq!(pointers, ["/conditions/of/1/value", "/conditions/of/2/value"]);
    assert!(faults.0[0].message.ends_with("send it as a string"));
}

#[test]
fn a_column_that_is_not_there_is_named_with_those_that_are() {
    let columns = ["x".to_owned(), "y".to_owned()];
    for (condition, fits) in [
        (json!({ "type": "has_rows" }), true),
        (json!({ "type": "value", "column": "x", "is": ">", "value": 1 }), true),
        (json!({ "type": "value", "column": "z", "is": ">", "value": 1 }), false),
        (json!({ "type": "text", "column": "Y", "is": "equals", "value": "1" }), false),
        (json!({ "type": "change", "is": ">", "value": 1 }), true),
        (json!({ "type": "change", "column": "z", "is": ">", "value": 1 }), false),
        (json!({ "type": "anomaly", "column": "z" }), false),
    ] {
        let (all, any) = (
            json!({ "type": "all", "of": [condition] }),
            json!({ "type": "any", "of": [condition] }),
        );
        for it in [&condition, &all, &any] {
            assert_eq!(read(it).fits("a", &columns).is_ok(), fits, "{it}");
            assert!(read(it).fits("b", &columns).is_ok(), "another step: {it}");
        }
    }
    let condition = read(&json!({ "type": "value", "column": "z", "is": ">", "value": 1 }));
    let said = |columns: &[String]| condition.fits("a", columns).expect_err("none").message;
    assert_eq!(said(&columns), "a condition asks for the column `z`, but there is `x`, `y`");
    let many: Vec<_> = (0..22).map(|it| format!("c{it}")).collect();
    assert!(said(&many).ends_with("`c19`, 2 more"), "{}", said(&many));
}
