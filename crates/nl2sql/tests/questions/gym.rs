//! Ages, superiors' rows, measures that descriptions define, money that came in, and how members found the place, over a gym.

use plinth_nl2sql::{Outcome, SchemaIndex};

use crate::support;

const COMMENTS: [(&str, &str); 6] = [
    ("members.heard_from", "How the member heard about us."),
    ("snacks.buying_price", "What we pay; selling_price - buying_price is the markup."),
    ("fee_payments.settled_at", "NULL while it is open."),
    ("fee_payments.checked_by", "Trainer who checked it."),
    ("trainers.manager_id", "The trainer above."),
    ("clubs.label", "Name of the club."),
];

fn index() -> SchemaIndex {
    const TABLES: [&str; 6] = ["clubs", "fee_payments", "members", "snacks", "trainers", "visits"];
    let columns: [&[&str]; 6] = [
        &["id* integer", "label text=Swimming Pool|Riverside", "town text"],
        &[
            "id* integer",
            "member_id integer>members",
            "checked_by? integer>trainers",
            "method text=cash|voucher",
            "amount numeric",
            "created_at timestamptz",
            "settled_at? timestamptz",
        ],
        &[
            "id* integer",
            "first_name text",
            "last_name text",
            "club_id integer>clubs",
            "birth_date? date",
            "heard_from text=friend|poster",
        ],
        &[
            "id* integer",
            "name text",
            "kind text=drink|bar",
            "selling_price numeric",
            "buying_price numeric",
        ],
        &[
            "id* integer",
            "first_name text",
            "last_name text",
            "manager_id? integer>trainers",
            "club_id integer>clubs",
            "salary numeric",
            "left_on? date",
        ],
        &["id* integer", "member_id integer>members", "visited_at timestamptz"],
    ];
    support::index(&support::described(&TABLES, &columns, &COMMENTS))
}

fn answered(question: &str) -> plinth_nl2sql::Reading {
    support::answered(question, support::ask(&index(), question))
}

fn says(question: &str, parts: &[&str]) {
    support::says(question, &answered(question).sql, parts);
}

#[test]
fn ages_follow_from_days_of_birth() {
    let age = "extract(year FROM age(birth_date))";
    says("average age of the members", &[&format!("avg({age}) FROM members")]);
    says("average age of our members in years", &[&format!("avg({age}) FROM members")]);
    says("how many members are older than 30?", &["count(*)", &format!("{age} > 30")]);
    let told = answered("average age of the members").explanation;
    assert!(told.contains("whole years from members.birth_date to now"), "{told}");
}

#[test]
fn rows_are_compared_with_the_one_above_them() {
    says(
        "trainers who earn more than their manager",
        &["salary > t2.salary", "t2.id = t.manager_id"],
    );
    says(
        "which trainers earn more than 80 percent of what their boss makes?",
        &["salary > 0.8 * t2.salary"],
    );
    says("does anybody make more than their boss? who?", &["salary > t2.salary", "first_name"]);
}

#[test]
fn descriptions_define_measures() {
    let reading = answered("average markup of the snacks");
    assert_eq!(reading.sql, "SELECT avg(selling_price - buying_price) FROM snacks");
    let told = "markup is selling_price - buying_price, as a description in snacks says";
    assert!(reading.assumptions.iter().any(|it| it == told), "{:?}", reading.assumptions);
    says(
        "which snack has the highest markup?",
        &["SELECT name FROM snacks ORDER BY (selling_price - buying_price) DESC"],
    );
    says("snacks with a markup over 2", &["(selling_price - buying_price) > 2"]);
    says(
        "markup in percent of the selling price by kind",
        &[
            "100.0 * sum(selling_price - buying_price) / NULLIF(sum(selling_price), 0)",
            "GROUP BY kind",
        ],
    );
}

#[test]
fn money_that_came_in_is_of_payments_that_went_through() {
    says(
        "money received per method in 2024",
        &["sum(amount)", "settled_at IS NOT NULL", "settled_at) = 2024", "GROUP BY method"],
    );
    says(
        "how much came in by voucher in 2024?",
        &["sum(amount)", "settled_at IS NOT NULL", "settled_at) = 2024", "method = 'voucher'"],
    );
}

#[test]
fn how_members_found_us_is_kept_in_a_column() {
    says("how did our members hear about us?", &["heard_from, count(*) FROM members", "GROUP BY"]);
    says(
        "number of members by how the member found us",
        &["heard_from, count(*) FROM members", "GROUP BY"],
    );
}

fn never_says(question: &str, part: &str) {
    if let Outcome::Answered(it) = support::ask(&index(), question) {
        assert!(!it.sql.contains(part), "{question}: {it:?}");
    }
}

#[test]
fn how_somebody_else_found_us_is_not_kept() {
    says("how did people hear about us?", &["heard_from, count(*) FROM members"]);
    never_says("how did our trainers hear about us?", "heard_from");
    never_says("how did the snacks come to us?", "heard_from");
    let asked = "how did our members hear about us? numbers per town";
    never_says(asked, "SELECT heard_from, count(*) FROM members GROUP BY heard_from");
}

#[test]
fn what_should_be_told_apart_must_be_known() {
    never_says("visits per diving person in 2024", "visits");
    never_says("who of you has made the most visits so far?", "SELECT v.id");
}

#[test]
fn words_in_capitals_are_no_initials_where_all_are() {
    never_says("TRAINERS IN SP", "Swimming Pool");
}

#[test]
fn values_are_known_by_their_initials() {
    says("how many trainers are in the SP team?", &["label = 'Swimming Pool'"]);
    says("trainers in SP", &["label = 'Swimming Pool'"]);
}

#[test]
fn steps_of_what_happens_again_lie_apart() {
    says(
        "how many days pass on average between a member's first and second visit?",
        &["lag(visited_at)", "avg(extract(epoch FROM", "/ 86400", "= 2"],
    );
    says("average days between two visits of a member", &["lag(visited_at)", "/ 86400"]);
    says(
        "what percent of the members came back for a second visit?",
        &["100.0 *", "count(*) >= 2"],
    );
}

#[test]
fn a_name_stands_beside_what_it_is_asked_of() {
    says(
        "list the fee payments and who checked them",
        &["first_name", "last_name", "LEFT JOIN trainers", "checked_by"],
    );
    says("which trainers work in the SP team?", &["label = 'Swimming Pool'"]);
}
