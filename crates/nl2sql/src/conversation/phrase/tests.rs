use super::*;
use crate::token::tokenize;

fn intent(text: &str) -> Intent {
    read(&tokenize(text)).expect("a follow-up").intent
}

#[test]
fn forms_of_follow_ups_are_known() {
    assert_eq!(intent("Why?"), Intent::Why);
    assert_eq!(intent("how did you get that?"), Intent::Why);
    assert_eq!(intent("as a percentage"), Intent::Percentage);
    assert_eq!(intent("ok, show it as percentages"), Intent::Percentage);
    assert_eq!(intent("top 5"), Intent::Top(5, false));
    assert_eq!(intent("only the first three of them"), Intent::Top(3, false));
    assert_eq!(intent("the bottom 10"), Intent::Top(10, true));
    assert_eq!(intent("limit it to 20"), Intent::Top(20, false));
    assert_eq!(intent("sort by revenue"), Intent::Sort(2..3, None));
    assert_eq!(intent("sort them by name descending"), Intent::Sort(3..4, Some(true)));
    assert_eq!(intent("newest first"), Intent::Direct(Some(true)));
    assert_eq!(intent("by country instead"), Intent::By { what: 1..2, instead: true, also: false });
    assert_eq!(intent("and by month"), Intent::By { what: 2..3, instead: false, also: true });
    assert_eq!(
        intent("break it down by channel"),
        Intent::By { what: 4..5, instead: false, also: false }
    );
    assert_eq!(intent("what about refunds?"), Intent::About(2..3));
    assert_eq!(intent("and last month?"), Intent::About(1..3));
    assert_eq!(intent("only the German ones"), Intent::About(1..4));
    assert_eq!(intent("not the cancelled ones"), Intent::Without(2..4));
    assert_eq!(intent("also show their email"), Intent::Show(2..4));
    assert_eq!(intent("how many are there?"), Intent::Count);
    assert_eq!(intent("which ones?"), Intent::Rows);
    assert_eq!(intent("go back"), Intent::Back);
    let step = |unit, steps| Intent::Shift(Step { unit, steps });
    assert_eq!(intent("and the month before?"), step(Some(TimeUnit::Month), -1));
    assert_eq!(intent("and the summer before that"), step(Some(TimeUnit::Year), -1));
    assert_eq!(intent("what about the year after?"), step(Some(TimeUnit::Year), 1));
    assert_eq!(
        intent("and how many of them are preferred?"),
        Intent::Among { what: 6..7, count: true }
    );
    assert_eq!(
        intent("which of these countries have more than 3?"),
        Intent::Among { what: 4..8, count: false }
    );
    assert_eq!(intent("in Berlin only"), Intent::About(0..2));
    assert_eq!(intent("who placed it?"), Intent::Actor);
    assert_eq!(intent("and how did they pay"), Intent::Manner(4..5));
    assert_eq!(intent("and who reports to those?"), Intent::Beneath);
    assert_eq!(intent("what percent of all members is that?"), Intent::PartOf(4..5));
    assert_eq!(intent("as a share of all orders"), Intent::PartOf(5..6));
    assert_eq!(
        intent("average per order instead of the total"),
        Intent::MeasureOf(Aggregate::Avg, 2..3)
    );
}

#[test]
fn questions_that_stand_alone_are_not_surely_follow_ups() {
    for question in [
        "How many orders were placed last month?",
        "top 5 products by price",
        "customers in Germany",
        "show me the orders of last week",
        "which customers have no orders?",
    ] {
        let phrase = read(&tokenize(question));
        assert!(phrase.as_ref().is_none_or(|it| !it.surely), "{question}: {phrase:?}");
    }
}
