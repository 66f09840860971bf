//! The embedded engine over the schema of a lending library, which stands for nothing but itself.

use plinth_connections::AllowedTables;
use plinth_nl2sql::{AskContext, Engine, Outcome, SchemaIndex};
use plinth_schema_introspect::Catalog;
use proptest::prelude::*;

use crate::support;

fn catalog() -> Catalog {
    const TABLES: [&str; 5] = ["authors", "books", "branches", "loans", "readers"];
    let columns: [&[&str]; 5] = [
        &[
            "id* integer",
            "name text=Ada Berg|Tom Reed",
            "nationality text=Danish|Irish",
            "birth_year integer",
        ],
        &[
            "id* integer",
            "title text=The Quiet Harbour|Northern Light",
            "author_id integer>authors",
            "genre text=crime|poetry|travel",
            "price numeric",
            "pages integer",
            "published_on date",
            "in_print boolean",
        ],
        &["id* integer", "name text=Riverside|Old Town", "city text=Aarhus|Cork", "opened_on date"],
        &[
            "id* integer",
            "book_id integer>books",
            "reader_id integer>readers",
            "branch_id integer>branches",
            "borrowed_at timestamptz",
            "returned_at? timestamptz",
            "fine? numeric",
        ],
        &[
            "id* integer",
            "first_name text=Mia|Otto",
            "last_name text=Lund|Kelly",
            "city text=Aarhus|Cork",
            "age integer",
            "email? text",
            "joined_on date",
        ],
    ];
    support::catalog(&TABLES, &columns)
}

fn context() -> AskContext {
    support::at("2024-06-12T10:00:00+02:00[Europe/Copenhagen]")
}

fn index() -> SchemaIndex {
    support::index(&catalog())
}

fn sql(index: &SchemaIndex, question: &str) -> String {
    Engine::new()
        .best_reading(question, index, &context())
        .map_or_else(|| "—".to_owned(), |it| it.sql)
}

const QUESTIONS: [&str; 44] = [
    "How many books are there?",
    "List the titles of all books.",
    "What are the names and nationalities of the authors?",
    "Show me the readers from Cork",
    "Which books cost more than 20?",
    "books with more than 300 pages",
    "Which crime books are in print?",
    "Show the titles of books that are not in print",
    "What is the average price of books for each genre?",
    "How many loans did each reader have?",
    "Number of loans per branch",
    "Which author has written the most books?",
    "What is the title of the longest book?",
    "Who is the oldest reader?",
    "What are the three most expensive books?",
    "top 5 readers by number of loans",
    "Which genre is the most common?",
    "Which readers have never borrowed a book?",
    "Which authors do not have any books?",
    "List the readers without an email",
    "Which readers have more than 3 loans?",
    "How many readers are older than 30?",
    "How many readers live in Cork or Aarhus?",
    "readers who joined since 2022",
    "How many loans were there last week?",
    "How many loans were there in March 2024?",
    "loans in the last 30 days",
    "How many loans per month this year?",
    "Which loans have not been returned yet?",
    "What is the total fine for each city of readers?",
    "Which books are more expensive than the average?",
    "What is the highest, lowest and average price of books?",
    "List the distinct genres",
    "What are the cities of the branches ordered by opening date?",
    "List book titles in alphabetical order",
    "Whose name starts with 'A'?",
    "Which titles contain 'Light'?",
    "What percentage of books are crime?",
    "What is the ratio of crime books to poetry books?",
    "Which readers borrowed both 'Northern Light' and 'The Quiet Harbour'?",
    "Which books were written by Ada Berg?",
    "What is the most expensive book of each genre?",
    "How old is Mia Lund?",
    "When was the Riverside branch opened?",
];

#[test]
fn questions_about_a_library_are_read_as_they_are_meant() {
    let index = index();
    let lines: Vec<String> =
        QUESTIONS.iter().map(|it| format!("{it}\n    {}", sql(&index, it))).collect();
    let table = lines.join("\n");
    insta::assert_snapshot!(table);
}

#[test]
fn every_statement_is_one_that_postgres_can_parse() {
    let index = index();
    for question in QUESTIONS {
        let text = sql(&index, question);
        assert!(pg_query::parse(&text, 0).is_ok(), "{question}: {text}");
    }
}

#[test]
fn a_question_about_something_else_is_not_answered() {
    let index = index();
    for question in [
        "Will it rain tomorrow?",
        "How do vaccines influence the immune system?",
        "asdf qwer zxcv",
        "",
    ] {
        let outcome = Engine::new().ask(question, &index, &context());
        assert!(!matches!(outcome, Outcome::Answered(_)), "{question}: {outcome:?}");
    }
}

#[test]
fn what_is_not_understood_is_named_and_other_questions_are_proposed() {
    let outcome = Engine::new().ask("How many unicorns grazed yesterday?", &index(), &context());
    let (words, proposals) = match outcome {
        Outcome::NotAnswerable(it) => (it.words, it.rephrasings),
        Outcome::NeedsClarification(it) => (it.words, it.rephrasings),
        other => panic!("answered: {other:?}"),
    };
    assert!(words.contains(&"unicorns".to_owned()), "{words:?}");
    assert!((1..=3).contains(&proposals.len()));
    let index = index();
    for it in proposals {
        assert!(matches!(Engine::new().ask(&it, &index, &context()), Outcome::Answered(_)), "{it}");
    }
}

#[test]
fn questions_about_the_schema_are_answered_from_it() {
    let index = index();
    let answer = |question: &str| match Engine::new().ask(question, &index, &context()) {
        Outcome::Meta(it) => it.answer,
        other => panic!("{question}: {other:?}"),
    };
    assert!(answer("What can I ask?").contains("books"));
    assert!(answer("Which tables have emails?").contains("readers.email"));
    assert!(answer("What columns does loans have?").contains("borrowed_at"));
}

#[test]
fn tables_that_are_not_allowed_are_unknown() {
    let allowed = AllowedTables::parse(["public.books"]).expect("a list");
    let index = SchemaIndex::build(&catalog(), &allowed);
    let reading = Engine::new().best_reading("How many readers are there?", &index, &context());
    assert!(reading.is_none_or(|it| it.tables == ["public.books"]));
}

#[test]
fn one_slip_of_the_finger_is_forgiven() {
    let index = index();
    assert_eq!(sql(&index, "How many raeders are there?"), "SELECT count(*) FROM readers");
}

#[test]
fn the_relevant_part_of_a_schema_holds_what_the_question_names_and_what_connects_it() {
    let relevant = Engine::new().relevant_schema("Which readers borrowed poetry?", &index(), 12);
    let names: Vec<&str> = relevant.iter().map(|it| it.name.as_str()).collect();
    for table in ["readers", "books", "loans"] {
        assert!(names.contains(&table), "{names:?}");
    }
}

#[test]
fn tables_that_meet_in_a_third_are_joined_through_it() {
    let reading = Engine::new()
        .best_reading("Which readers borrowed poetry?", &index(), &context())
        .expect("a reading");
    assert_eq!(reading.tables, ["public.books", "public.loans", "public.readers"]);
}

#[test]
fn an_answer_says_in_words_what_it_does() {
    let reading = Engine::new()
        .best_reading("How many readers are older than 30?", &index(), &context())
        .expect("a reading");
    assert_eq!(
        reading.explanation,
        "Shows the number of rows from readers, where readers.age is more than 30."
    );
    assert!(reading.confidence >= plinth_nl2sql::CONFIDENCE_THRESHOLD);
}

proptest! {
    #[test]
    fn no_text_makes_the_engine_panic(text in "\\PC{0,120}") {
        let _ = Engine::new().ask(&text, &index(), &context());
    }

    #[test]
    fn whatever_is_said_in_words_of_the_schema_becomes_sql_that_parses(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "how many", "books", "readers", "loans", "the", "most", "average", "price", "for each", "city", "not", "without",
                "more than", "3", "older than", "and", "or", "in", "Cork", "crime", "ordered by", "descending", "who", "have", "top 5",
                "last month", "since 2022", "between", "10", "authors", "name", "both", "highest", "number of", "percentage of", ",", "ratio of", "to",
                "least", "of the", "with", "never", "per month", "title", "contains", "'x'", "is", "than the average", "that", "distinct",
            ]),
            1..14,
        )
    ) {
        let question = words.join(" ");
        if let Some(reading) = Engine::new().best_reading(&question, &index(), &context()) {
            prop_assert!(pg_query::parse(&reading.sql, 0).is_ok(), "{question}: {}", reading.sql);
        }
    }
}
