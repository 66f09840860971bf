//! Shapes of business questions over a small trade: series, periods beside each other, shares, sets, the best of each,
//! durations. And the same under other names: what is understood must not hang on what things are called.

use std::fmt::Write as _;

use plinth_nl2sql::{AskContext, Engine, Outcome, SchemaIndex};

use crate::support;

/// What things are called: in the schema, and by people, one and many.
const NAMES: [(&str, &str); 12] = [
    ("orders", "purchases"),
    ("order", "purchase"),
    ("customers", "members"),
    ("customer", "member"),
    ("products", "wares"),
    ("product", "ware"),
    ("groups", "ranges"),
    ("group", "range"),
    ("country", "region"),
    ("channel", "outlet"),
    ("tickets", "complaints"),
    ("ticket", "complaint"),
];

/// The text with every `{name}` said as it is, or by its other name.
fn said(text: &str, other: bool) -> String {
    NAMES.iter().fold(text.to_owned(), |text, (name, else_name)| {
        text.replace(&format!("{{{name}}}"), if other { else_name } else { name })
    })
}

fn index(other: bool) -> SchemaIndex {
    let tables: Vec<String> =
        ["{customers}", "{group}s", "{orders}", "{order}_lines", "{products}", "{tickets}"]
            .iter()
            .map(|it| said(it, other))
            .collect();
    let columns: [&[&str]; 6] = [
        &[
            "id* integer",
            "first_name text",
            "last_name text",
            "{country} text=Norway|Ghana|Peru",
            "signed_up_at timestamptz",
        ],
        &["id* integer", "name text=Lamps|Desks", "parent_id? integer>{group}s"],
        &[
            "id* integer",
            "{customer}_id integer>{customers}",
            "status text=open|cancelled|returned|delivered",
            "{channel} text=web|phone|shop",
            "total_amount numeric",
            "placed_at timestamptz",
            "shipped_at? timestamptz",
            "promised_on date",
            "delivered_at? timestamptz",
        ],
        &[
            "id* integer",
            "{order}_id integer>{orders}",
            "{product}_id integer>{products}",
            "quantity integer",
            "unit_price numeric",
        ],
        &[
            "id* integer",
            "name text",
            "{group}_id integer>{group}s",
            "price numeric",
            "stock_quantity integer",
            "reorder_level integer",
        ],
        &[
            "id* integer",
            "{customer}_id integer>{customers}",
            "priority text=low|high",
            "created_at timestamptz",
            "resolved_at? timestamptz",
        ],
    ];
    let names: Vec<&str> = tables.iter().map(String::as_str).collect();
    let columns: Vec<Vec<String>> =
        columns.iter().map(|it| it.iter().map(|it| said(it, other)).collect()).collect();
    let columns: Vec<Vec<&str>> =
        columns.iter().map(|it| it.iter().map(String::as_str).collect()).collect();
    let columns: Vec<&[&str]> = columns.iter().map(Vec::as_slice).collect();
    support::index(&support::catalog(&names, &columns))
}

fn context() -> AskContext {
    support::at("2026-06-10T09:00:00[UTC]")
}

const QUESTIONS: [&str; 38] = [
    "month over month revenue growth in 2025 in percent",
    "cumulative revenue by month for 2025",
    "revenue this year so far vs the same period last year",
    "how many more {orders} did we get last month than in the month before?",
    "top 3 {products} by revenue in every {group}",
    "for each {country} the {customer} with the most {orders}",
    "who has the second most expensive {product}",
    "what percentage of {orders} were cancelled?",
    "share of {orders} delivered late, by {channel}",
    "what percentage of {customers} placed an {order} in 2025?",
    "share of revenue by {channel}",
    "how many {customers} placed {orders} in 2025 but not in 2026?",
    "how many {customers} placed {orders} in both 2024 and 2025?",
    "average number of days from shipping to delivery per {channel}",
    "average time in hours to resolve high priority {tickets}",
    "{tickets} resolved within 24 hours",
    "which {products} are out of stock?",
    "which {products} need to be reordered?",
    "{products} under 30 dollars",
    "average number of {orders} per {customer}",
    "{orders} with a total over two dozen",
    "{customers} whose last {order} was more than a year ago",
    "units sold per top-level {group} in 2025",
    "{orders} per {channel} and month",
    "three month moving average of revenue for 2025",
    "7-day rolling average of revenue in May 2026",
    "by how many percent is 2025 revenue above or below 2024?",
    "what was in the biggest {order} of 2025?",
    "number of delivered vs returned {orders}",
    "which months of 2025 were better than the average month of that year?",
    "{customers} with more {orders} than the average {customer}",
    "total revenue of our top 10 {customers} together",
    "how many {customers} had their very first {order} cancelled?",
    "{products} that cost more than twice the average of their {group}",
    "{products} in Lamps",
    "number of {products} per sub{group}",
    "list the sub{group}s",
    "how many {customers} came back for a second {order} within 30 days of their first?",
];

#[test]
fn shapes_of_business_questions_are_read_as_they_are_meant() {
    let index = index(false);
    let mut all = String::new();
    for question in QUESTIONS {
        let question = said(question, false);
        let answer = match Engine::new().ask(&question, &index, &context()) {
            Outcome::Answered(it) => {
                assert!(pg_query::parse(&it.sql, 0).is_ok(), "{question}: {}", it.sql);
                it.sql
            }
            Outcome::NeedsClarification(it) => format!("asked back: {}", it.options[0].sql),
            Outcome::NotAnswerable(_) => "not understood".to_owned(),
            Outcome::Meta(_) => "about the schema".to_owned(),
            Outcome::NotPermitted(_) => "not permitted".to_owned(),
        };
        let _ = writeln!(all, "{question}\n    {answer}");
    }
    insta::assert_snapshot!(all);
}

/// The same questions with other words for every table and for columns: the same answers, one at most excepted.
#[test]
fn other_names_for_all_things_change_no_answer() {
    let (own, other) = (index(false), index(true));
    let mut apart = Vec::new();
    for question in QUESTIONS {
        let told = |index: &SchemaIndex, renamed: bool| match Engine::new().ask(
            &said(question, renamed),
            index,
            &context(),
        ) {
            Outcome::Answered(it) => Some(it.explanation),
            _ => None,
        };
        // back to the first names, the longest first
        let back = told(&other, true).map(|text| {
            NAMES.iter().fold(text, |text, (name, else_name)| text.replace(else_name, name))
        });
        let first = told(&own, false);
        if first.as_ref().map(|it| it.to_lowercase()) != back.as_ref().map(|it| it.to_lowercase()) {
            apart.push((question, first, back));
        }
    }
    assert!(apart.len() <= 1, "{apart:#?}");
}
