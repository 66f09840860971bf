use std::sync::Arc;

use plinth_connections::AllowedTables;
use plinth_schema_introspect::{
    Catalog, Column, ForeignKey, Index, Key, Relation, RelationKind, Schema, TypeClass,
};
use plinth_sql_guard::Guard;

use super::*;
use crate::{AskContext, Engine, Outcome, SchemaIndex};

fn column(name: &str, kind: &str) -> Column {
    let class = if kind == "integer" { TypeClass::Integer } else { TypeClass::Text };
    Column {
        name: name.to_owned(),
        type_name: kind.to_owned(),
        class,
        readable: true,
        ..Column::default()
    }
}

fn table(oid: u32, name: &str, rows: f64, columns: Vec<Column>) -> Relation {
    Relation {
        oid,
        schema: "public".to_owned(),
        name: name.to_owned(),
        kind: RelationKind::Table,
        readable: true,
        estimated_rows: Some(rows),
        columns,
        keys: vec![Key { primary: true, columns: vec![0], ..Key::default() }],
        ..Relation::default()
    }
}

/// Orders without end, of customers with an index, and a few products without one.
fn catalog() -> Catalog {
    let mut orders = table(
        2,
        "orders",
        1e7,
        vec![column("id", "integer"), column("customer_id", "integer"), column("note", "text")],
    );
    orders.foreign_keys = vec![ForeignKey {
        columns: vec![1],
        target: 1,
        target_columns: vec![0],
        ..ForeignKey::default()
    }];
    let mut customers = table(
        1,
        "customers",
        1e6,
        vec![
            column("id", "integer"),
            column("name", "character varying(80)"),
            column("nick", "text"),
            column("api_token", "text"),
        ],
    );
    customers.indexes = vec![
        Index { columns: vec![1], method: "btree".to_owned(), ..Index::default() },
        Index {
            columns: vec![1],
            method: "btree".to_owned(),
            definition: Some(
                "CREATE INDEX p ON public.customers USING btree (name varchar_pattern_ops)"
                    .to_owned(),
            ),
            ..Index::default()
        },
        Index {
            method: "btree".to_owned(),
            definition: Some(
                "CREATE INDEX l ON public.customers USING btree (lower(nick))".to_owned(),
            ),
            ..Index::default()
        },
    ];
    let products = table(
        3,
        "products",
        2_000.0,
        vec![column("id", "integer"), column("title", "text"), column("material", "text")],
    );
    Catalog {
        server_version_num: 150_000,
        search_path: vec!["public".to_owned()],
        schemas: vec![Schema { name: "public".to_owned(), comment: None, usable: true }],
        relations: [customers, orders, products].map(Arc::new).to_vec(),
        ..Catalog::default()
    }
}

fn context() -> AskContext {
    AskContext { now: "2026-03-31T12:00:00[UTC]".parse().unwrap() }
}

struct Scene {
    index: SchemaIndex,
    engine: Engine,
}

impl Scene {
    fn new() -> Self {
        let index = SchemaIndex::build(&catalog(), &AllowedTables::All);
        Self { index, engine: Engine::new() }
    }

    fn wanted(&self, question: &str) -> Option<Wanted> {
        let outcome = self.engine.ask(question, &self.index, &context());
        self.engine.wanted(question, &self.index, &context(), &outcome)
    }

    fn ask(&self, question: &str, found: &[(&str, &str, &str, &str)]) -> Outcome {
        let found: Vec<Found> = found
            .iter()
            .map(|(table, column, word, value)| Found {
                column: place(table, column),
                word: (*word).to_owned(),
                value: (*value).to_owned(),
            })
            .collect();
        self.engine.ask(question, &self.index.with_found(&found), &context())
    }
}

fn place(table: &str, column: &str) -> TextColumn {
    TextColumn { schema: "public".into(), table: table.into(), column: column.into() }
}

fn texts(wanted: &Wanted) -> Vec<&str> {
    wanted.words.iter().map(|it| it.text.as_str()).collect()
}

#[test]
fn only_words_that_nothing_explains_are_asked_for_near_what_is_named() {
    let scene = Scene::new();
    assert_eq!(scene.wanted("How many products are there?"), None, "it is understood");
    let wanted = scene.wanted("how many leather products are there?").unwrap();
    assert_eq!(texts(&wanted), ["leather"]);
    assert_eq!(wanted.columns, [place("products", "title"), place("products", "material")]);
    let wanted = scene.wanted("orders of customer Bank of Ghent").unwrap();
    assert_eq!(texts(&wanted), ["Bank of Ghent", "Bank", "Ghent"]);
    assert!(wanted.columns.contains(&place("customers", "name")), "{:?}", wanted.columns);
    assert!(!wanted.columns.contains(&place("customers", "api_token")), "{:?}", wanted.columns);
    let secret = scene.wanted("customers called 5f4dcc3b5aa765d61d8327deb882cf99");
    assert_eq!(secret.map(|it| it.words), None, "what looks like a secret is not looked for");
}

#[test]
fn what_is_cheap_is_searched_and_the_guard_lets_it_through() {
    let catalog = catalog();
    let access = Access::of(&catalog);
    let word = |text: &str, in_part| WantedWord { text: text.to_owned(), in_part };
    let columns = |names: &[(&str, &str)]| names.iter().map(|it| place(it.0, it.1)).collect();
    let wanted = Wanted {
        words: vec![word("O'Hara \"50%\"", true), word("leather", false)],
        columns: columns(&[
            ("orders", "note"),
            ("customers", "name"),
            ("customers", "nick"),
            ("customers", "api_token"),
            ("products", "title"),
            ("products", "material"),
        ]),
    };
    let lookup = access.lookup(&wanted).unwrap();
    for part in ["\"note\"", "\"api_token\""] {
        assert!(!lookup.sql.contains(part), "{}", lookup.sql);
    }
    for part in [
        "t.\"name\" = w.v",
        "lower(t.\"nick\") = w.v",
        "~>=~ (w.v || ' ')",
        "LIKE ANY",
        "\"material\"",
    ] {
        assert!(lookup.sql.contains(part), "{part}: {}", lookup.sql);
    }
    assert!(lookup.parameters.iter().any(|it| it.contains(r#""O'Hara \"50%\"""#)));
    assert!(lookup.parameters.iter().any(|it| it.contains(r#""o'hara \"50\\%\" %""#)));
    let guard = Guard::new(&catalog, &AllowedTables::All);
    guard.check_with_params(&lookup.sql, lookup.parameters.len()).unwrap();
    // Behind a fence no index serves, and what is masked is not searched.
    let mut bound = access.clone();
    bound.fence("public", "customers");
    bound.close_column("public", "products", "material");
    let lookup = bound.lookup(&wanted).unwrap();
    assert!(
        !lookup.sql.contains("customers") && !lookup.sql.contains("material"),
        "{}",
        lookup.sql
    );
    let nothing = Wanted { words: wanted.words, columns: columns(&[("orders", "note")]) };
    assert_eq!(access.lookup(&nothing), None, "reading ten million rows is not cheap");
}

#[test]
fn rows_say_which_word_was_found() {
    let wanted = Wanted {
        words: vec![
            WantedWord { text: "Acme".into(), in_part: true },
            WantedWord { text: "leathers".into(), in_part: false },
        ],
        columns: vec![place("products", "title")],
    };
    let lookup = Access::of(&catalog()).lookup(&wanted).unwrap();
    let words = |value: &str| -> Vec<String> {
        lookup.read("0", value).into_iter().map(|it| it.word).collect()
    };
    assert_eq!(words("ACME"), ["Acme"]);
    assert_eq!(words("Acme Corporation"), ["Acme"]);
    assert_eq!(words("The Acme"), ["Acme"]);
    assert_eq!(words("Leather"), ["leathers"]);
    for other in ["Acmeville", "Leather sofa", "owner@acme.example"] {
        assert!(words(other).is_empty(), "{other}");
    }
    assert!(lookup.read("7", "ACME").is_empty() && lookup.read("x", "ACME").is_empty());
}

#[test]
fn what_was_found_is_read_and_told() {
    let scene = Scene::new();
    let question = "how many leather products are there?";
    let found = [("products", "material", "leather", "Leather")];
    let Outcome::Answered(it) = scene.ask(question, &found) else { panic!("not understood") };
    assert!(it.sql.contains("material = 'Leather'"), "{}", it.sql);
    assert_eq!(it.assumptions, ["“leather” was found in products.material"]);
    let found = [("customers", "name", "Acme", "Acme Corporation")];
    let Outcome::Answered(it) = scene.ask("how many orders did the customer Acme place?", &found)
    else {
        panic!("not understood")
    };
    assert!(it.sql.contains("name = 'Acme Corporation'"), "{}", it.sql);
    let told = "“Acme” means “Acme Corporation”, which was found in customers.name";
    assert!(it.assumptions.iter().any(|it| it == told), "{:?}", it.assumptions);
    // Nothing of it stays in the index that others use.
    assert!(!matches!(scene.engine.ask(question, &scene.index, &context()), Outcome::Answered(_)));
}

#[test]
fn what_stands_in_several_columns_is_asked_back_or_told() {
    let scene = Scene::new();
    let found = [
        ("products", "material", "leather", "Leather"),
        ("products", "title", "leather", "Leather"),
    ];
    match scene.ask("how many leather products are there?", &found) {
        Outcome::Answered(it) => {
            assert!(it.assumptions[0].contains("it also stands in"), "{:?}", it.assumptions);
        }
        Outcome::NeedsClarification(it) => {
            assert!(it.options.len() > 1, "{:?}", it.options);
        }
        other => panic!("{other:?}"),
    }
    // A whole value comes before parts, and of very many parts none is meant.
    let many: Vec<String> = (0..9).map(|it| format!("Smith {it}")).collect();
    let parts: Vec<(&str, &str, &str, &str)> =
        many.iter().map(|it| ("customers", "name", "Smith", it.as_str())).collect();
    let outcome = format!("{:?}", scene.ask("orders of customer Smith", &parts));
    assert!(!outcome.contains("'Smith 1'"), "{outcome}");
}
