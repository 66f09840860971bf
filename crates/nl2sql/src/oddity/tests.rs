use plinth_schema_introspect::TypeClass::{Integer, Text, Timestamp};

use super::is_odd;
use crate::{
    index::SchemaIndex,
    link::link,
    logical::{
        Aggregate, ColumnRef, Comparison, Expr, Literal, LogicalQuery, Predicate, SetOperation,
    },
    testing,
    token::tokenize,
};

/// `owners (id, first_name, last_name, phone, joined)`, `boats (id, owner_id, name, phone, build_year, hours_sailed, sold)`,
/// `sails (id, colour)` and what connects the last two, `has_sail (boat_id, sail_id)`.
fn index() -> SchemaIndex {
    let owners = testing::keyed(
        1,
        "owners",
        &[
            ("id", Integer),
            ("first_name", Text),
            ("last_name", Text),
            ("phone", Text),
            ("joined", Timestamp),
        ],
    );
    let mut boats = testing::keyed(
        2,
        "boats",
        &[
            ("id", Integer),
            ("owner_id", Integer),
            ("name", Text),
            ("phone", Text),
            ("build_year", Integer),
            ("hours_sailed", Integer),
            ("sold", Timestamp),
        ],
    );
    boats.foreign_keys.push(testing::reference(1, 1));
    let sails = testing::keyed(3, "sails", &[("id", Integer), ("colour", Text)]);
    let mut links = testing::table(4, "has_sail", &[("boat_id", Integer), ("sail_id", Integer)]);
    links.foreign_keys.push(testing::reference(0, 2));
    links.foreign_keys.push(testing::reference(1, 3));
    testing::index(vec![owners, boats, sails, links])
}

fn at(index: &SchemaIndex, table: &str, column: &str) -> ColumnRef {
    let table = index.tables.iter().position(|it| it.name == table).expect("a table");
    let column = index.tables[table].columns.iter().position(|it| it.name == column);
    ColumnRef::new(table, column.expect("a column"))
}

fn odd(index: &SchemaIndex, question: &str, query: &LogicalQuery) -> bool {
    is_odd(index, &link(index, &tokenize(question), &[]), query)
}

/// What those columns hold, of all their tables.
fn shows(columns: &[ColumnRef]) -> LogicalQuery {
    LogicalQuery {
        root: columns.first().map(|it| it.table),
        also: columns.iter().skip(1).map(|it| it.table).collect(),
        select: columns.iter().map(|it| Expr::Column(*it)).collect(),
        ..LogicalQuery::default()
    }
}

fn compare(column: ColumnRef, how: Comparison, number: f64) -> Predicate {
    Predicate::Compare(Expr::Column(column), how, Expr::Literal(Literal::Number(number)))
}

#[test]
fn years_and_names_are_no_numbers_of_things() {
    let index = index();
    let (name, year) = (at(&index, "boats", "name"), at(&index, "boats", "build_year"));
    let mut query = shows(&[name]);
    let mut sized = |column, number| {
        query.filter = vec![compare(column, Comparison::AtLeast, number)];
        odd(&index, "boats with at least 2 records", &query)
    };
    assert!(sized(year, 2.0));
    assert!(!sized(year, 1990.0));
    assert!(sized(name, 2.0));
    assert!(!sized(at(&index, "boats", "hours_sailed"), 2.0));
}

#[test]
fn a_measure_is_no_flag_unless_somebody_says_the_number() {
    let index = index();
    let mut query = shows(&[at(&index, "boats", "name")]);
    query.filter = vec![compare(at(&index, "boats", "hours_sailed"), Comparison::Equal, 1.0)];
    assert!(odd(&index, "boats that are sailed", &query));
    assert!(!odd(&index, "boats sailed for 1 hour", &query));
}

#[test]
fn moments_of_two_tables_that_nobody_named_have_nothing_between_them() {
    let index = index();
    let mut query = shows(&[at(&index, "boats", "name")]);
    query.select = vec![Expr::Duration {
        from: Box::new(Expr::Column(at(&index, "owners", "joined"))),
        to: Box::new(Expr::Column(at(&index, "boats", "sold"))),
        unit: None,
    }];
    assert!(odd(&index, "how long do the boats sail", &query));
    assert!(!odd(&index, "how long was it from an owner to the boat", &query));
}

#[test]
fn what_stands_behind_either_and_or_belongs_to_nobody_knows_what() {
    let index = index();
    let (name, hours) = (at(&index, "boats", "name"), at(&index, "boats", "hours_sailed"));
    let mut query = shows(&[name]);
    let few = compare(hours, Comparison::Less, 5.0);
    let many = compare(hours, Comparison::Greater, 90.0);
    let old = compare(at(&index, "boats", "build_year"), Comparison::Less, 1950.0);
    query.filter = vec![Predicate::Or(vec![few, many]), old];
    let question = "boats either below 5 hours, or above 90 and built before 1950";
    assert!(odd(&index, question, &query));
    query.filter.pop();
    assert!(!odd(&index, question, &query));
}

#[test]
fn a_name_is_no_moment() {
    let index = index();
    let name = at(&index, "boats", "name");
    assert!(odd(&index, "when was the largest boat sold", &shows(&[name])));
    assert!(!odd(&index, "which boat was sold first", &shows(&[name])));
    assert!(!odd(&index, "when boats are sold, what are they called", &shows(&[name])));
    let sold = at(&index, "boats", "sold");
    assert!(!odd(&index, "when was the largest boat sold", &shows(&[sold])));
}

#[test]
fn groups_that_nobody_named_are_odd() {
    let index = index();
    let (name, hours) = (at(&index, "boats", "name"), at(&index, "boats", "hours_sailed"));
    let mut query = shows(&[name]);
    query.group = vec![Expr::Column(name)];
    let mean = Expr::aggregate(Aggregate::Avg, Expr::Column(hours));
    query.select = vec![mean, Expr::Column(name)];
    assert!(odd(&index, "the average hours of boats", &query));
    assert!(!odd(&index, "the average hours of each boat", &query));
    let most = Expr::aggregate(Aggregate::Max, Expr::Column(hours));
    query.select = vec![Expr::Column(name), most];
    assert!(odd(&index, "which boat has the most hours", &query));
    query.select = vec![Expr::Column(name), Expr::count()];
    assert!(!odd(&index, "boats and their number", &query));
}

#[test]
fn groups_in_the_list_of_what_to_show_were_named() {
    let index = index();
    let (name, hours) = (at(&index, "boats", "name"), at(&index, "boats", "hours_sailed"));
    let mut query = shows(&[name]);
    query.group = vec![Expr::Column(name)];
    query.select = vec![Expr::aggregate(Aggregate::Avg, Expr::Column(hours)), Expr::Column(name)];
    assert!(!odd(&index, "the average hours and the name of boats", &query));
    // the first of them only is not each
    query.limit = Some(1);
    assert!(odd(&index, "the average hours and the name of boats", &query));
    query.limit = None;
    let most = Expr::aggregate(Aggregate::Max, Expr::Column(hours));
    query.select = vec![most.clone(), Expr::Column(name)];
    // that of all, and where it is; or that of each
    assert!(odd(&index, "the most hours and the boat", &query));
    query.select = vec![Expr::Column(name), most];
    assert!(!odd(&index, "boats and their most hours", &query));
}

#[test]
fn figures_are_added_up_and_no_set() {
    let index = index();
    let query = LogicalQuery {
        set: Some((SetOperation::Intersect, Box::default())),
        ..shows(&[at(&index, "boats", "hours_sailed")])
    };
    assert!(odd(&index, "total hours of boats in \"A\" and \"B\"", &query));
    assert!(!odd(&index, "hours that boats in \"A\" and in \"B\" have", &query));
}

#[test]
fn a_total_over_rows_of_one_label_each_is_over_both() {
    let index = index();
    let (link, colour) = (at(&index, "has_sail", "boat_id"), at(&index, "sails", "colour"));
    let coloured = |it: &str| {
        let text = Expr::Literal(Literal::Text(it.to_owned()));
        Predicate::Compare(Expr::Column(colour), Comparison::Equal, text)
    };
    let mut query = shows(&[link]);
    query.also = vec![colour.table];
    query.filter = vec![Predicate::Or(vec![coloured("red"), coloured("blue")])];
    let question = "all of \"red\" and \"blue\" sails";
    assert!(odd(&index, question, &query));
    query.select = vec![Expr::aggregate(Aggregate::Sum, Expr::Column(link))];
    assert!(!odd(&index, question, &query));
    // a boat has several sails
    let hours = at(&index, "boats", "hours_sailed");
    query.select = vec![Expr::aggregate(Aggregate::Sum, Expr::Column(hours))];
    assert!(odd(&index, question, &query));
}

#[test]
fn a_full_name_is_shown_in_full() {
    let index = index();
    let (first, last) = (at(&index, "owners", "first_name"), at(&index, "owners", "last_name"));
    assert!(odd(&index, "the full names of owners", &shows(&[first])));
    assert!(!odd(&index, "the full names of owners", &shows(&[first, last])));
    assert!(!odd(&index, "the full names of boats", &shows(&[at(&index, "boats", "name")])));
}

#[test]
fn what_both_have_is_shown_of_both() {
    let index = index();
    let (own, other) = (at(&index, "owners", "phone"), at(&index, "boats", "phone"));
    let question = "phones of the owners and boats";
    let mut query = shows(&[own, other]);
    assert!(!odd(&index, question, &query));
    query.select.pop();
    assert!(odd(&index, question, &query));
    query.also.clear();
    assert!(!odd(&index, question, &query));
}

#[test]
fn what_only_connects_is_nothing_to_show() {
    let index = index();
    let query = shows(&[at(&index, "has_sail", "boat_id")]);
    assert!(odd(&index, "which sails are there", &query));
    assert!(!odd(&index, "the boat ids of sails", &query));
}

#[test]
fn the_word_for_a_letter_is_not_sought_itself() {
    let index = index();
    let name = at(&index, "boats", "name");
    let mut query = shows(&[name]);
    let mut sought = |pattern: &str, question: &str| {
        query.filter =
            vec![Predicate::Like { column: name, pattern: pattern.to_owned(), negated: false }];
        odd(&index, question, &query)
    };
    assert!(sought("%letter Z%", "boats with the letter Z in their names"));
    assert!(sought("%D or S%", "boats with D or S in their names"));
    assert!(!sought("%D or S%", "boats with \"D or S\" in their names"));
    assert!(!sought("%Z%", "boats with the letter Z in their names"));
}

#[test]
fn what_is_sorted_is_not_one() {
    let index = index();
    let mut query = shows(&[at(&index, "boats", "name")]);
    query.limit = Some(1);
    assert!(odd(&index, "all boats, starting with the oldest", &query));
    assert!(odd(&index, "boats sorted by the newest first", &query));
    assert!(!odd(&index, "the oldest boat", &query));
}

#[test]
fn what_is_denied_is_not_shown() {
    let index = index();
    let (name, phone) = (at(&index, "boats", "name"), at(&index, "boats", "phone"));
    let mut query = shows(&[name, phone]);
    let none = Expr::Literal(Literal::Text("none".to_owned()));
    query.filter = vec![Predicate::Compare(Expr::Column(phone), Comparison::NotEqual, none)];
    assert!(odd(&index, "boats that do not have none as their phone", &query));
    assert!(!odd(&index, "boats and phones other than none", &query));
    assert!(!odd(&index, "boats that do not have none, with their phone", &query));
    query.select.pop();
    assert!(!odd(&index, "boats that do not have none as their phone", &query));
}

#[test]
fn who_has_both_is_not_who_has_any() {
    let index = index();
    let (first, name) = (at(&index, "owners", "first_name"), at(&index, "boats", "name"));
    let called = |it: &str| {
        let text = Expr::Literal(Literal::Text(it.to_owned()));
        Predicate::Compare(Expr::Column(name), Comparison::Equal, text)
    };
    let mut query = shows(&[first]);
    query.also = vec![name.table];
    query.filter = vec![Predicate::Or(vec![called("Alo"), called("Bly")])];
    assert!(odd(&index, "owners with boats \"Alo\" and \"Bly\"", &query));
    assert!(!odd(&index, "owners with boats \"Alo\" or \"Bly\"", &query));
    // a boat has one name
    query.root = Some(name.table);
    query.select = vec![Expr::Column(at(&index, "boats", "build_year"))];
    query.also.clear();
    assert!(!odd(&index, "build year of boats \"Alo\" and \"Bly\"", &query));
}
