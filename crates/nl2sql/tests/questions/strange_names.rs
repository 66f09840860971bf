//! A boat hire whose owner has names of their own for everything, and what descriptions and documents tell of them.

use plinth_connections::AllowedTables;
use plinth_nl2sql::{Engine, Outcome, SchemaIndex};
use plinth_schema_introspect::{Catalog, Samples, TypeClass};

use crate::support;

const COMMENTS: [(&str, &str); 5] = [
    ("sorts", "Boat categories, a tree of two levels."),
    ("boats.unit_cost", "What one costs us; price - cost is the margin."),
    ("hires.expected_on", "Day on which the boat should be back."),
    ("hires.returned_on", "Set when the boat is back."),
    ("sorts.above_id", "The category above; NULL for a top-level category."),
];

fn catalog() -> Catalog {
    const TABLES: [&str; 6] = ["boats", "gripes", "guests", "hires", "opinions", "sorts"];
    let columns: [&[&str]; 6] = [
        &[
            "id* integer",
            "label text",
            "sort_id integer>sorts",
            "list_price numeric",
            "unit_cost numeric",
            "about? jsonb",
        ],
        &["id* integer", "guest_id integer>guests", "category text=boat|crew|other"],
        &[
            "id* integer",
            "forename text",
            "surname text",
            "nation text=Chile|Peru",
            "telephone? text",
            "registered_at timestamptz",
            "last_seen_at? timestamptz",
        ],
        &[
            "id* integer",
            "guest_id integer>guests",
            "boat_id integer>boats",
            "began_on date",
            "expected_on date",
            "returned_on? date",
        ],
        &[
            "id* integer",
            "boat_id integer>boats",
            "guest_id integer>guests",
            "stars integer",
            "upvotes integer",
        ],
        &["id* integer", "label text=Sail|Motor", "above_id? integer>sorts"],
    ];
    support::changed(&TABLES, &columns, |relation| {
        support::describe(relation, &COMMENTS);
        for it in relation.columns.iter_mut().filter(|it| it.name == "about") {
            let members = [r#"{"wood":"oak"}"#, r#"{"wood":"teak"}"#, r#"{"guarantee_months":0}"#];
            it.class = TypeClass::Json;
            it.samples =
                Some(Samples { values: members.map(str::to_owned).to_vec(), complete: true });
        }
    })
}

fn ask(question: &str) -> Outcome {
    support::ask(&support::index(&catalog()), question)
}

fn answers(question: &str, parts: &[&str]) {
    support::says(question, &support::answered(question, ask(question)).sql, parts);
}

#[test]
fn words_that_mean_the_same_are_as_good_as_the_name() {
    answers("how many guests are there per country?", &["nation, count(*)", "GROUP BY nation"]);
    answers("guests without a phone number", &["telephone IS NULL"]);
}

#[test]
fn what_a_description_begins_with_names_the_table() {
    answers("list the categories", &["SELECT label FROM sorts"]);
    answers("average stars of the opinions per category", &["avg(o.stars)", "JOIN sorts"]);
    answers("list the subcategories", &["FROM sorts", "above_id IS NOT NULL"]);
}

#[test]
fn formulas_in_descriptions_may_name_the_last_word_only() {
    answers("total margin of all boats", &["list_price - unit_cost"]);
}

#[test]
fn deadlines_are_known_by_what_they_say() {
    answers("how many hires are overdue?", &["returned_on IS NULL", "expected_on <"]);
}

#[test]
fn what_stands_in_documents_can_be_named() {
    answers("what do we have in teak or oak?", &["FROM boats", "'wood' IN ('teak', 'oak')"]);
    answers("boats with a 2 year guarantee", &["'guarantee_months')::numeric = 24"]);
    answers("boats with a 2-year garantee", &["'guarantee_months')::numeric = 24"]);
}

#[test]
fn where_nothing_may_be_read_nothing_is_answered() {
    let index = SchemaIndex::build(&support::empty(), &AllowedTables::All);
    for question in ["which code was used most?", "the top 5 boats", "how many hires per guest?"] {
        let asked = Engine::new().ask(question, &index, &support::context());
        assert!(!matches!(asked, Outcome::Answered(_)), "{question}: {asked:?}");
    }
}
