//! Words that stand nowhere in a schema, and what two dictionaries tell of them.

use plinth_nl2sql::{Engine, Outcome, SchemaIndex};

use crate::support;

fn ask(question: &str) -> Outcome {
    const TABLES: [&str; 3] = ["consumers", "restitutions", "universities"];
    let columns: [&[&str]; 3] = [
        &["id* integer", "full_name text", "town text=Rome|Oslo"],
        &["id* integer", "consumer_id integer>consumers", "worth numeric", "returned_on date"],
        &["id* integer", "university_name text", "founded integer", "enrollment integer"],
    ];
    Engine::new().ask(question, &index(&TABLES, &columns), &support::context())
}

fn index(tables: &[&str], columns: &[&[&str]]) -> SchemaIndex {
    support::index(&support::catalog(tables, columns))
}

fn assumed(question: &str) -> Vec<String> {
    support::answered(question, ask(question)).assumptions
}

fn sql(question: &str) -> String {
    support::answered(question, ask(question)).sql
}

#[test]
fn a_noun_that_nothing_explains_is_what_is_called_by_a_word_near_to_it() {
    assert_eq!(sql("How many customers are there?"), "SELECT count(*) FROM consumers");
    let told = assumed("How many customers are there?");
    assert!(told.iter().any(|it| it == "customers is taken for consumers"), "{told:?}");
}

#[test]
fn what_is_only_somewhat_near_is_asked_back() {
    let asked = ask("How many refunds are there?");
    assert!(!matches!(asked, Outcome::Answered(_)), "{asked:?}");
}

#[test]
fn what_is_near_to_what_is_read_is_no_trouble() {
    let of_all = sql("What is the total and minimum enrollment of all schools?");
    assert_eq!(of_all, "SELECT sum(enrollment), min(enrollment) FROM universities");
    let told = assumed("What is the total and minimum enrollment of all schools?");
    assert!(told.iter().any(|it| it == "schools is taken for universities"), "{told:?}");
}

#[test]
fn units_are_never_looked_for() {
    assert!(!matches!(ask("Show the pounds"), Outcome::Answered(_)));
}

/// What is sold in lines of so many at so much.
fn sold(many: &str, price: &str) -> SchemaIndex {
    const TABLES: [&str; 4] = ["dockets", "docket_rows", "towns", "wares"];
    let lines = ["id* integer", "docket_id integer>dockets", "ware_id integer>wares", many, price];
    let columns: [&[&str]; 4] = [
        &["id* integer", "town_id integer>towns", "made_on date"],
        &lines,
        &["id* integer", "name text=Rome|Oslo"],
        &["id* integer", "name text"],
    ];
    index(&TABLES, &columns)
}

#[test]
fn what_only_shape_says_is_assumed_or_asked_back() {
    let asked = "total revenue";
    let ask = |index: &SchemaIndex| Engine::new().ask(asked, index, &support::context());
    for price in ["apiece", "fare"] {
        match ask(&sold("units integer", &format!("{price} numeric"))) {
            Outcome::Answered(it) => {
                let told = format!("units times {price} of docket_rows is what was sold");
                assert!(it.assumptions.contains(&told), "{:?}", it.assumptions);
            }
            other => panic!("{other:?}"),
        }
    }
    let unnamed = ask(&sold("lots integer", "apiece numeric"));
    assert!(!matches!(unnamed, Outcome::Answered(_)), "{unnamed:?}");
    for (many, price) in [("hours integer", "pay numeric"), ("tries integer", "grade numeric")] {
        let reading = Engine::new().best_reading(asked, &sold(many, price), &support::context());
        let multiplies = reading.as_ref().is_some_and(|it| it.sql.contains('*'));
        assert!(!multiplies, "{reading:?}");
    }
}

#[test]
fn of_several_moments_and_of_planned_ones_none_is_taken() {
    const TABLES: [&str; 2] = ["crates", "pupils"];
    let over = |crates: &[&str], pupils: &[&str]| index(&TABLES, &[crates, pupils]);
    let read = |index: &SchemaIndex, asked: &str| {
        Engine::new()
            .best_reading(asked, index, &support::context())
            .map(|it| it.sql)
            .unwrap_or_default()
    };
    let one = over(
        &["id* integer", "expected_delivery? date", "delivered_on? date"],
        &["id* integer", "full_name text", "birth_date? date"],
    );
    let open = read(&one, "how many crates are on their way?");
    assert!(open.contains("delivered_on IS NULL") && !open.contains("expected"), "{open}");
    let old = read(&one, "average age of the pupils");
    assert!(old.contains("age(birth_date)"), "{old}");
    let two = over(
        &["id* integer", "expected_delivery? date", "note text"],
        &["id* integer", "full_name text", "mother_birth_date? date", "birth_date? date"],
    );
    let open = read(&two, "how many crates are on their way?");
    assert!(!open.contains("expected"), "{open}");
    let old = read(&two, "average age of the pupils");
    assert!(!old.contains("age("), "{old}");
}

#[test]
fn money_came_in_when_it_was_paid() {
    let columns = ["id* integer", "guest text", "amount numeric", "due_on date", "paid_on? date"];
    let index = index(&["receipts"], &[&columns]);
    match Engine::new().ask("how much money was received in 2024?", &index, &support::context()) {
        Outcome::Answered(it) => {
            assert!(it.sql.contains("sum(amount)") && it.sql.contains("paid_on"), "{}", it.sql);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_what_leads_upwards_makes_a_tree_of_rows() {
    const TABLES: [&str; 2] = ["bins", "tools"];
    let below = |reference: &str| {
        let bins = ["id* integer", "name text=Attic|Cellar", reference];
        let tools = ["id* integer", "label text", "bin_id integer>bins"];
        let index = index(&TABLES, &[&bins, &tools]);
        let read =
            Engine::new().best_reading("how many tools are in Attic?", &index, &support::context());
        read.expect("a reading").sql
    };
    for upwards in ["parent_id? integer>bins", "bin_id? integer>bins"] {
        assert!(below(upwards).contains(" OR "), "{}", below(upwards));
    }
    for other in ["successor_id? integer>bins", "duplicate_of_id? integer>bins"] {
        assert!(!below(other).contains(" OR "), "{}", below(other));
    }
}

/// A shop whose owner calls everything otherwise than people do who ask.
fn shop(question: &str) -> Outcome {
    const TABLES: [&str; 11] = [
        "articles",
        "client_addresses",
        "clients",
        "divisions",
        "parcels",
        "purchase_lines",
        "purchases",
        "ratings",
        "request_messages",
        "staff_members",
        "support_requests",
    ];
    let columns: [&[&str]; 11] = [
        &["id* integer", "title text=Kestra Lamp|Oak Desk", "percent_off integer"],
        &["id* integer", "client_id integer>clients", "nation text=Japan|Peru"],
        &["id* integer", "forename text", "surname text", "nation text=Japan|Peru"],
        &["id* integer", "title text=Engineering|Sales"],
        &["id* integer", "purchase_id integer>purchases", "courier text=Swift Post|Parcel Ox"],
        &[
            "id* integer",
            "purchase_id integer>purchases",
            "article_id integer>articles",
            "units integer",
            "price_each numeric",
        ],
        &[
            "id* integer",
            "client_id integer>clients",
            "delivery_address_id integer>client_addresses",
            "purchased_at timestamptz",
        ],
        &[
            "id* integer",
            "article_id integer>articles",
            "client_id integer>clients",
            "stars integer",
        ],
        &[
            "id* integer",
            "support_request_id integer>support_requests",
            "text text",
            "written_at timestamptz",
        ],
        &[
            "id* integer",
            "given_name text",
            "surname text",
            "division_id integer>divisions",
            "boss_id? integer>staff_members",
            "annual_pay numeric",
        ],
        &[
            "id* integer",
            "client_id integer>clients",
            "headline text",
            "urgency text=low|normal|high|urgent",
            "happiness? integer",
        ],
    ];
    Engine::new().ask(question, &index(&TABLES, &columns), &support::context())
}

fn of_shop(question: &str) -> String {
    support::answered(question, shop(question)).sql
}

#[test]
fn a_slip_in_a_plural_is_one_in_the_word() {
    let sql = of_shop("what is the sum of all sallaries?");
    assert_eq!(sql, "SELECT sum(annual_pay) FROM staff_members");
}

#[test]
fn what_is_ours_is_the_only_table_that_is_called_so() {
    let sql = of_shop("what is the mean happiness of our support?");
    assert_eq!(sql, "SELECT avg(happiness) FROM support_requests");
}

#[test]
fn labels_of_one_column_stand_in_a_list_whatever_it_is_called() {
    let sql = of_shop("how many high and urgent requests are there?");
    assert!(sql.contains("urgency IN ('high', 'urgent')"), "{sql}");
}

#[test]
fn who_wrote_it_speaks_of_what_was_named() {
    let sql = of_shop("all ratings of the Kestra Lamp: stars and who wrote it");
    assert!(sql.contains("c.surname") && !sql.contains("request_messages"), "{sql}");
}

#[test]
fn a_nation_is_a_place_to_which_things_go() {
    let sql = of_shop("number of articles that went to Japan");
    assert!(sql.contains("client_addresses") && !sql.contains("clients "), "{sql}");
}

#[test]
fn everyone_names_the_people() {
    let sql = of_shop("everyone in Engineering and who their manager is");
    assert!(sql.contains("boss_id") && sql.contains("title = 'Engineering'"), "{sql}");
}

#[test]
fn a_particle_behind_a_verb_is_no_part_of_a_name() {
    let told = shop("which purchases were called off?");
    assert!(!format!("{told:?}").contains("percent_off"), "{told:?}");
}
