use super::*;
use crate::token::tokenize;

fn only(question: &str) -> Span {
    let today = Date::constant(2024, 6, 12);
    find(&tokenize(question), today).into_iter().next().expect("an expression of time").span
}

fn days(from: (i16, i8, i8), until: (i16, i8, i8)) -> Span {
    let day = |it: (i16, i8, i8)| Some(Moment::Day(Date::constant(it.0, it.1, it.2)));
    Span::Range(day(from), day(until))
}

#[test]
fn spans_relative_to_today_stay_relative() {
    assert_eq!(
        only("loans this week"),
        Span::Range(Some(Moment::Start(TimeUnit::Week, 0)), Some(Moment::Start(TimeUnit::Week, 1)))
    );
    assert_eq!(
        only("in the last 30 days"),
        Span::Range(Some(Moment::Now(TimeUnit::Day, -30)), None)
    );
    assert_eq!(
        only("last month"),
        Span::Range(
            Some(Moment::Start(TimeUnit::Month, -1)),
            Some(Moment::Start(TimeUnit::Month, 0))
        )
    );
}

#[test]
fn dates_of_the_calendar_are_read_in_many_forms() {
    for text in ["on 3 May 2024", "on May 3, 2024", "on 2024-05-03", "on May 3rd 2024"] {
        assert_eq!(only(text), days((2024, 5, 3), (2024, 5, 4)), "{text}");
    }
    assert_eq!(only("in March 2024"), days((2024, 3, 1), (2024, 4, 1)));
    assert_eq!(only("in Q2 2024"), days((2024, 4, 1), (2024, 7, 1)));
    assert_eq!(only("between March and May 2023"), days((2023, 3, 1), (2023, 6, 1)));
}

#[test]
fn spans_within_a_year_go_from_day_to_day_and_from_month_to_month() {
    for text in [
        "from 1 to 7 December 2023",
        "1-7 December 2023",
        "December 1 to 7, 2023",
        "on 1 to 7 of December 2023",
    ] {
        assert_eq!(only(text), days((2023, 12, 1), (2023, 12, 8)), "{text}");
    }
    for text in [
        "June to August 2023",
        "from June to August 2023",
        "in the summer of 2023",
        "summer 2023",
        "in the summer of 2023, June to August",
    ] {
        assert_eq!(only(text), days((2023, 6, 1), (2023, 9, 1)), "{text}");
    }
    assert_eq!(only("November to February 2024"), days((2023, 11, 1), (2024, 3, 1)));
    assert_eq!(only("the summer of 2023 (June to July)"), days((2023, 6, 1), (2023, 8, 1)));
    let found = find(&tokenize("did revenue fall in 2023"), Date::constant(2024, 6, 12));
    assert_eq!(found.len(), 1, "a verb is no season");
}

#[test]
fn bounds_open_a_span_on_one_side() {
    assert_eq!(
        only("since Monday"),
        Span::Range(Some(Moment::Day(Date::constant(2024, 6, 10))), None)
    );
    assert_eq!(only("before 2020"), Span::Year(2020, Bound::Before));
}

#[test]
fn a_number_of_four_digits_alone_is_no_time() {
    assert!(find(&tokenize("more than 2000 copies"), Date::constant(2024, 6, 12)).is_empty());
}
