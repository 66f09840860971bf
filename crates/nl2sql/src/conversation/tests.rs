use std::sync::Arc;

use plinth_connections::AllowedTables;
use plinth_schema_introspect::{
    Catalog, Column, ForeignKey, Key, Relation, RelationKind, Samples, Schema, TypeClass,
};
use proptest::prelude::*;

use super::*;
use crate::{
    engine::Outcome,
    logical::{Aggregate, ColumnRef, Comparison, Expr, Literal, OrderKey, Predicate},
};

fn column(name: &str, class: TypeClass, values: &[&str]) -> Column {
    let type_name = match class {
        TypeClass::Integer => "integer",
        TypeClass::Decimal => "numeric",
        TypeClass::Timestamp => "timestamp with time zone",
        TypeClass::Boolean => "boolean",
        _ => "text",
    };
    Column {
        name: name.to_owned(),
        type_name: type_name.to_owned(),
        class,
        readable: true,
        samples: (!values.is_empty()).then(|| Samples {
            values: values.iter().map(|it| (*it).to_owned()).collect(),
            complete: true,
        }),
        ..Column::default()
    }
}

fn table(oid: u32, name: &str, columns: Vec<Column>, refers: &[(usize, u32)]) -> Arc<Relation> {
    Arc::new(Relation {
        oid,
        schema: "public".to_owned(),
        name: name.to_owned(),
        kind: RelationKind::Table,
        readable: true,
        estimated_rows: Some(1000.0),
        columns,
        keys: vec![Key { primary: true, columns: vec![0], ..Key::default() }],
        foreign_keys: refers
            .iter()
            .map(|(at, target)| ForeignKey {
                columns: vec![*at],
                target: *target,
                target_columns: vec![0],
                ..ForeignKey::default()
            })
            .collect(),
        ..Relation::default()
    })
}

/// A library of records: members borrow, and pay fines.
pub(crate) fn index() -> SchemaIndex {
    use TypeClass::{Decimal, Integer, Text, Timestamp};
    let catalog = Catalog {
        server_version_num: 150_000,
        search_path: vec!["public".to_owned()],
        schemas: vec![Schema { name: "public".to_owned(), comment: None, usable: true }],
        relations: vec![
            table(
                1,
                "members",
                vec![
                    column("id", Integer, &[]),
                    column("name", Text, &[]),
                    column("country", Text, &["Germany", "France", "Spain"]),
                    column("email", Text, &[]),
                    column("joined_at", Timestamp, &[]),
                ],
                &[],
            ),
            table(
                2,
                "loans",
                vec![
                    column("id", Integer, &[]),
                    column("member_id", Integer, &[]),
                    column("status", Text, &["open", "returned", "lost"]),
                    column("branch", Text, &["North", "South"]),
                    column("fee", Decimal, &[]),
                    column("borrowed_at", Timestamp, &[]),
                ],
                &[(1, 1)],
            ),
            table(
                3,
                "fines",
                vec![
                    column("id", Integer, &[]),
                    column("loan_id", Integer, &[]),
                    column("amount", Decimal, &[]),
                    column("raised_at", Timestamp, &[]),
                ],
                &[(1, 2)],
            ),
        ],
        ..Catalog::default()
    };
    SchemaIndex::build(&catalog, &AllowedTables::All)
}

fn context() -> AskContext {
    AskContext { now: "2026-03-04T05:06:07+00:00[UTC]".parse().expect("a moment") }
}

/// The SQL after a question and its follow-ups.
fn talk(questions: &[&str]) -> String {
    match told(questions) {
        Ok(it) => it.0.replace("public.", ""),
        Err(it) => panic!("{questions:?}: {it:?}"),
    }
}

fn told(questions: &[&str]) -> Result<(String, Vec<String>), Unclear> {
    let (index, engine) = (index(), Engine::new());
    let first = match engine.ask(questions[0], &index, &context()) {
        Outcome::Answered(it) => it,
        other => panic!("{}: {other:?}", questions[0]),
    };
    let past = |it: &Reading| Past {
        query: it.query.clone(),
        confidence: it.confidence,
        assumptions: it.assumptions.clone(),
    };
    let (mut before, mut sql, mut taken_over) = (past(&first), first.sql, Vec::new());
    for question in &questions[1..] {
        match engine.follow_up(question, &before, &index, &context()) {
            FollowUp::Edited(it) => {
                // what changes it back gives the query of before
                let mut back = it.reading.query.clone();
                for edit in it.inverse {
                    let _ = edit.apply(&mut back);
                }
                assert_eq!(back, before.query, "{question}");
                before = past(&it.reading);
                sql = it.reading.sql;
                taken_over = it.taken_over;
            }
            FollowUp::Unclear(it) => return Err(it),
            other => panic!("{question}: {other:?}"),
        }
    }
    Ok((sql, taken_over))
}

#[test]
fn another_time_takes_the_place_of_the_first() {
    let first = talk(&["How many loans were there this month?"]);
    assert!(first.contains("borrowed_at"), "{first}");
    let sql = talk(&["How many loans were there this month?", "and last month?"]);
    assert_eq!(
        sql,
        "SELECT count(*) FROM loans WHERE borrowed_at >= date_trunc('month', now()) - interval '1 month' AND borrowed_at < date_trunc('month', now())"
    );
    let again =
        talk(&["How many loans were there this month?", "and last month?", "and this month?"]);
    assert_eq!(again, first, "there and back");
    let free = talk(&["How many loans were there this month?", "of all time"]);
    assert_eq!(free, "SELECT count(*) FROM loans");
}

#[test]
fn values_narrow_down_and_take_each_others_place() {
    let sql = talk(&["How many members are there?", "only the German ones"]);
    assert_eq!(sql, "SELECT count(*) FROM members WHERE country = 'Germany'");
    let sql = talk(&["How many members are there?", "only the German ones", "what about France?"]);
    assert_eq!(sql, "SELECT count(*) FROM members WHERE country = 'France'");
    let sql = talk(&["How many members are there in Germany?", "Spain?"]);
    assert_eq!(sql, "SELECT count(*) FROM members WHERE country = 'Spain'");
    let sql = talk(&["How many loans are there?", "not the returned ones"]);
    assert_eq!(sql, "SELECT count(*) FROM loans WHERE status <> 'returned'");
}

#[test]
fn values_are_of_the_tables_that_the_last_answer_reads() {
    let sql = talk(&["total fee of loans by country of members", "only the German ones"]);
    assert!(sql.contains("WHERE m.country = 'Germany'"), "{sql}");
}

#[test]
fn what_belongs_to_the_one_thing_that_was_found() {
    let first = "which loan has the highest fee?";
    let sql = talk(&[first, "who took it?"]);
    assert_eq!(
        sql,
        "SELECT m.name FROM loans AS l JOIN members AS m ON m.id = l.member_id WHERE l.id IN (SELECT id FROM loans ORDER BY fee DESC LIMIT 1)"
    );
    let sql = talk(&[first, "who took it?", "and its status?"]);
    assert_eq!(
        sql,
        "SELECT status FROM loans WHERE id IN (SELECT id FROM loans ORDER BY fee DESC LIMIT 1)"
    );
    assert!(told(&["open loans", "who took it?"]).is_err(), "several loans");
}

#[test]
fn a_part_is_of_the_whole_that_is_named() {
    let sql = talk(&["how many open loans are there?", "what percent of all loans is that?"]);
    assert_eq!(
        sql,
        "SELECT 100.0 * count(*) FILTER (WHERE status = 'open') / NULLIF(count(*), 0) FROM loans"
    );
    let other = told(&["how many open loans are there?", "what percent of all members is that?"]);
    assert!(other.is_err(), "loans are no part of members");
}

#[test]
fn sums_are_made_otherwise_of_the_same_rows() {
    let sql = talk(&["total fee of loans by branch", "average per loan instead of the total"]);
    assert_eq!(sql, "SELECT branch, avg(fee) FROM loans GROUP BY branch");
    let other = told(&["total fee of loans by branch", "average per member instead of the total"]);
    assert!(other.is_err(), "fees are summed up by loan");
}

#[test]
fn a_kind_may_be_called_by_more_words_than_its_column() {
    let sql = talk(&["how many loans are there?", "by lending branch please"]);
    assert_eq!(sql, "SELECT branch, count(*) FROM loans GROUP BY branch");
}

#[test]
fn a_long_talk_makes_no_answer_unsure() {
    let (index, engine) = (index(), Engine::new());
    let first = match engine.ask("number of loans by status", &index, &context()) {
        Outcome::Answered(it) => it,
        other => panic!("{other:?}"),
    };
    let mut past = Past { query: first.query, confidence: 0.501, assumptions: first.assumptions };
    for _ in 0..5 {
        let FollowUp::Edited(it) = engine.follow_up("reverse the order", &past, &index, &context())
        else {
            panic!("a follow-up");
        };
        assert!(it.reading.confidence >= CONFIDENCE_THRESHOLD);
        past.query = it.reading.query;
        past.confidence = it.reading.confidence;
    }
}

#[test]
fn groups_order_and_limit_are_changed_by_themselves() {
    let by = talk(&["number of loans by status", "by branch instead"]);
    assert_eq!(by, "SELECT branch, count(*) FROM loans GROUP BY branch");
    let top = talk(&["number of loans by status", "top 2"]);
    assert_eq!(
        top,
        "SELECT status, count(*) FROM loans GROUP BY status ORDER BY count(*) DESC LIMIT 2"
    );
    let all = talk(&["number of loans by status", "top 2", "all of them"]);
    assert_eq!(all, "SELECT status, count(*) FROM loans GROUP BY status ORDER BY count(*) DESC");
    let turned = ["number of loans by status", "top 2", "reverse the order"];
    assert_eq!(talk(&[turned[0], turned[1], turned[2], turned[2]]), talk(&turned[..2]));
    let sorted = talk(&["number of loans by status", "sort by fee"]);
    assert_eq!(sorted, "SELECT status, count(*) FROM loans GROUP BY status ORDER BY sum(fee) DESC");
}

#[test]
fn percentages_are_of_the_whole() {
    let groups = talk(&["number of loans by status", "as a percentage"]);
    assert_eq!(
        groups,
        "SELECT status, 100.0 * count(*) / NULLIF((SELECT count(*) FROM loans), 0) FROM loans GROUP BY status"
    );
    let one = talk(&["How many loans are lost?", "as a percentage"]);
    assert_eq!(
        one,
        "SELECT 100.0 * count(*) FILTER (WHERE status = 'lost') / NULLIF(count(*), 0) FROM loans"
    );
    let unclear = told(&["How many loans are there?", "as a percentage"]).expect_err("of what?");
    assert!(unclear.message.contains("of what"), "{unclear:?}");
}

#[test]
fn the_rows_behind_a_number_can_be_seen_and_counted() {
    let rows = talk(&["How many members are there in Germany?", "which ones?"]);
    assert_eq!(rows, "SELECT name FROM members WHERE country = 'Germany'");
    let more =
        talk(&["How many members are there in Germany?", "which ones?", "also show their email"]);
    assert_eq!(more, "SELECT name, email FROM members WHERE country = 'Germany'");
    let count =
        talk(&["How many members are there in Germany?", "which ones?", "how many are there?"]);
    assert_eq!(count, "SELECT count(*) FROM members WHERE country = 'Germany'");
}

#[test]
fn the_same_is_asked_of_something_else() {
    let (sql, taken_over) =
        told(&["How many loans were there last month?", "what about fines?"]).expect("edited");
    assert_eq!(
        sql.replace("public.", ""),
        "SELECT count(*) FROM fines WHERE raised_at >= date_trunc('month', now()) - interval '1 month' AND raised_at < date_trunc('month', now())"
    );
    assert!(taken_over.iter().any(|it| it.contains("the number of rows")), "{taken_over:?}");
    let measure = talk(&["How many loans are lost?", "and the fee?"]);
    assert_eq!(measure, "SELECT sum(fee) FROM loans WHERE status = 'lost'");
}

#[test]
fn what_was_taken_over_is_said() {
    let (sql, taken_over) = told(&["How many loans are lost?", "and last month?"]).expect("edited");
    assert_eq!(
        taken_over,
        ["what is shown: the number of rows", "only where loans.status is “lost”"],
        "{sql}"
    );
}

#[test]
fn what_cannot_be_applied_is_asked_back_with_what_can() {
    for (first, then) in [
        ("How many loans are lost?", "only the purple ones"),
        ("list members", "top 5"),
        ("list members", "all of them"),
        ("How many members are there?", "sort by shoe size"),
        ("total fee of loans by status", "by fine amount instead"),
        ("number of members by country", "and the amount?"),
    ] {
        let unclear = told(&[first, then]).expect_err(then);
        assert!(!unclear.message.is_empty() && unclear.rephrasings.len() == 3, "{unclear:?}");
        for rephrasing in &unclear.rephrasings {
            let (index, engine) = (index(), Engine::new());
            let answered =
                matches!(engine.ask(rephrasing, &index, &context()), Outcome::Answered(_));
            assert!(answered || told(&[first, rephrasing]).is_ok(), "{first}: {rephrasing}");
        }
    }
}

#[test]
fn a_time_moves_by_its_own_length_or_by_a_unit() {
    let first = "How many loans were there last month?";
    let before = "SELECT count(*) FROM loans WHERE borrowed_at >= date_trunc('month', now()) - interval '2 months' AND borrowed_at < date_trunc('month', now()) - interval '1 month'";
    assert_eq!(talk(&[first, "and the month before?"]), before);
    assert_eq!(talk(&[first, "and before that?"]), before);
    assert_eq!(
        talk(&[first, "and the month before?", "and the month after?"]),
        talk(&[first]),
        "there and back"
    );
    let earlier = talk(&[first, "what about a year earlier?"]);
    assert!(earlier.contains("interval '13 months'"), "{earlier}");
    let year = talk(&["How many loans were there in 2025?", "and the year before?"]);
    assert!(year.contains("= 2024"), "{year}");
    let days = talk(&[
        "How many loans were there from June 2025 to August 2025?",
        "and the summer before?",
    ]);
    assert!(days.contains("2024-06-01") && days.contains("2024-09-01"), "{days}");
    let unclear = told(&["How many loans are lost?", "and the month before?"]).expect_err("when?");
    assert!(unclear.message.contains("not about one time"), "{unclear:?}");
}

#[test]
fn some_of_the_last_answer_are_counted_and_compared() {
    let german = "SELECT count(*) FROM members WHERE country = 'Germany'";
    assert_eq!(talk(&["How many members are there?", "how many of them are German?"]), german);
    assert_eq!(talk(&["How many members are there?", "in Germany only"]), german);
    let by = "number of loans by status";
    assert_eq!(
        talk(&[by, "only those above 10"]),
        "SELECT status, count(*) FROM loans GROUP BY status HAVING count(*) > 10"
    );
    assert_eq!(
        talk(&[by, "only those above 10", "and less than 5?"]),
        "SELECT status, count(*) FROM loans GROUP BY status HAVING count(*) < 5"
    );
    assert_eq!(
        talk(&[by, "which of these have more than 3?"]),
        "SELECT status FROM loans GROUP BY status HAVING count(*) > 3"
    );
}

#[test]
fn several_things_are_changed_one_after_the_other() {
    let sql = talk(&["How many loans are lost?", "for North, month by month in 2025"]);
    assert!(
        sql.contains("branch = 'North'")
            && sql.contains("status = 'lost'")
            && sql.contains("2025")
            && sql.contains("GROUP BY date_trunc('month', borrowed_at)"),
        "{sql}"
    );
}

#[test]
fn questions_of_their_own_are_left_alone() {
    let (index, engine) = (index(), Engine::new());
    let Outcome::Answered(first) = engine.ask("How many loans are lost?", &index, &context())
    else {
        panic!("answered")
    };
    let past = Past { query: first.query, confidence: first.confidence, assumptions: Vec::new() };
    for question in [
        "How many members are there?",
        "members in Germany",
        "list the fines of last month",
        "top 3 members by number of loans",
        "What is the average fee of loans?",
    ] {
        assert_eq!(
            engine.follow_up(question, &past, &index, &context()),
            FollowUp::None,
            "{question}"
        );
    }
    assert_eq!(engine.follow_up("why?", &past, &index, &context()), FollowUp::Why);
    assert_eq!(engine.follow_up("go back", &past, &index, &context()), FollowUp::Back);
}

#[test]
fn a_query_is_the_same_after_it_was_written_down() {
    let (index, engine) = (index(), Engine::new());
    for question in
        ["loans of last month by status", "average fee of loans in 2024", "members without loans"]
    {
        let Some(it) = engine.best_reading(question, &index, &context()) else { continue };
        let text = serde_json::to_string(&it.query).expect("plain values");
        let read: LogicalQuery = serde_json::from_str(&text).expect("reads itself");
        assert_eq!(read, it.query, "{question}");
    }
}

fn an_expr() -> impl Strategy<Value = Expr> {
    prop_oneof![
        (0..3_usize, 0..4_usize).prop_map(|(t, c)| Expr::Column(ColumnRef::new(t, c))),
        Just(Expr::count()),
        (0..3_usize)
            .prop_map(|c| Expr::aggregate(Aggregate::Sum, Expr::Column(ColumnRef::new(1, c)))),
    ]
}

fn a_condition() -> impl Strategy<Value = Predicate> {
    (an_expr(), -9.0..9.0_f64).prop_map(|(it, value)| {
        Predicate::Compare(it, Comparison::AtLeast, Expr::Literal(Literal::Number(value)))
    })
}

fn an_order() -> impl Strategy<Value = OrderKey> {
    (an_expr(), any::<bool>()).prop_map(|(by, descending)| OrderKey { by, descending })
}

fn a_query() -> impl Strategy<Value = LogicalQuery> {
    let many = 0..4_usize;
    (
        prop::collection::vec(an_expr(), many.clone()),
        prop::collection::vec(a_condition(), many.clone()),
        prop::collection::vec(an_expr(), many.clone()),
        prop::collection::vec(an_order(), many),
        prop::option::of(1..100_u64),
        any::<bool>(),
    )
        .prop_map(|(select, filter, group, order, limit, distinct)| LogicalQuery {
            select,
            filter,
            group,
            order,
            limit,
            distinct,
            root: Some(0),
            ..LogicalQuery::default()
        })
}

fn an_edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        a_query().prop_map(|it| Edit::Whole(Box::new(it))),
        a_query().prop_map(|it| Edit::Conditions(it.filter)),
        a_query().prop_map(|it| Edit::Order(it.order)),
        a_query().prop_map(|it| Edit::Limit(it.limit)),
        a_query().prop_map(|it| Edit::Per(it.group)),
        a_query().prop_map(|it| Edit::Shape {
            select: it.select,
            group: it.group,
            having: it.filter,
            distinct: it.distinct,
        }),
    ]
}

proptest! {
    #[test]
    fn edits_and_their_inverses_leave_a_query_as_it_was(
        before in a_query(),
        edits in prop::collection::vec(an_edit(), 0..6),
    ) {
        let mut query = before.clone();
        let mut inverse: Vec<Edit> = edits.into_iter().map(|it| it.apply(&mut query)).collect();
        inverse.reverse();
        for it in inverse {
            let _ = it.apply(&mut query);
        }
        prop_assert_eq!(query, before);
    }

    #[test]
    fn whatever_is_typed_is_no_panic(
        text in "(and |only |by |sort by |top |what about |not )?[\\PC]{0,30}",
    ) {
        let past = Past {
            query: LogicalQuery { select: vec![Expr::count()], root: Some(1), ..LogicalQuery::default() },
            confidence: 0.9,
            assumptions: Vec::new(),
        };
        let _ = Engine::new().follow_up(&text, &past, &index(), &context());
    }
}
