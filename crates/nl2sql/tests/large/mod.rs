//! Large schemas and questions about them, made by rule and always the same: tables called by one or two words, some fifteen
//! columns each, one to three keys to other tables, values in four columns; 600 questions of twelve kinds, a third of them with
//! words that no name has.

use plinth_schema_introspect::{
    Catalog, Column, ForeignKey, Key, Relation, Samples, Schema, TypeClass,
};

/// Things that tables are called after.
const THINGS: [&str; 50] = [
    "customer",
    "order",
    "product",
    "invoice",
    "payment",
    "shipment",
    "supplier",
    "employee",
    "department",
    "project",
    "task",
    "ticket",
    "account",
    "contract",
    "asset",
    "vehicle",
    "driver",
    "route",
    "warehouse",
    "location",
    "campaign",
    "lead",
    "event",
    "course",
    "student",
    "teacher",
    "school",
    "patient",
    "doctor",
    "visit",
    "claim",
    "policy",
    "agent",
    "device",
    "sensor",
    "reading",
    "machine",
    "part",
    "batch",
    "recipe",
    "ingredient",
    "store",
    "receipt",
    "refund",
    "review",
    "article",
    "author",
    "journal",
    "member",
    "loan",
];

/// What is kept of things.
const KINDS: [&str; 40] = [
    "",
    "item",
    "note",
    "history",
    "status",
    "group",
    "schedule",
    "request",
    "approval",
    "document",
    "address",
    "contact",
    "price",
    "discount",
    "budget",
    "target",
    "assignment",
    "comment",
    "attachment",
    "category",
    "plan",
    "report",
    "rule",
    "score",
    "session",
    "transfer",
    "version",
    "alert",
    "checklist",
    "link",
    "limit",
    "message",
    "period",
    "quota",
    "rating",
    "region",
    "setting",
    "summary",
    "template",
    "usage",
];

const CITIES: [&str; 8] =
    ["Berlin", "Paris", "Oslo", "Madrid", "Rome", "Vienna", "Dublin", "Lisbon"];

/// Numbers that look like chance (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % (end.max(1) as u64)).unwrap_or_default()
    }
}

/// What the table of that number is called.
fn called(at: usize) -> String {
    let (thing, kind) = (THINGS[at % THINGS.len()], KINDS[at / THINGS.len() % KINDS.len()]);
    if kind.is_empty() { format!("{thing}s") } else { format!("{thing}_{kind}s") }
}

fn column(name: &str, class: TypeClass, values: &[&str]) -> Column {
    Column {
        name: name.to_owned(),
        class,
        readable: true,
        nullable: name != "id",
        samples: (!values.is_empty()).then(|| Samples {
            values: values.iter().map(|it| (*it).to_owned()).collect(),
            complete: true,
        }),
        ..Column::default()
    }
}

/// A schema of so many tables.
pub(crate) fn catalog(tables: usize) -> Catalog {
    use TypeClass::{Boolean, Date, Decimal, Integer, Text, Timestamp};
    let mut chance = Chance(20_261_128);
    let mut relations = Vec::new();
    for at in 0..tables {
        let mut columns = vec![
            column("id", Integer, &[]),
            column("name", Text, &[]),
            column("code", Text, &[]),
            column("status", Text, &["open", "active", "closed", "cancelled", "pending"]),
            column("priority", Text, &["low", "medium", "high"]),
            column("city", Text, &CITIES),
            column("country", Text, &["Germany", "France", "Norway", "Spain", "Italy", "Austria"]),
            column("amount", Decimal, &[]),
            column("quantity", Integer, &[]),
            column("is_active", Boolean, &[]),
            column("created_at", Timestamp, &[]),
            column("due_on", Date, &[]),
        ];
        let mut foreign_keys = Vec::new();
        for _ in 0..(1 + chance.below(3)).min(at) {
            let target = chance.below(at);
            let name = format!("{}_id", called(target).trim_end_matches('s'));
            if columns.iter().any(|it| it.name == name) {
                continue;
            }
            foreign_keys.push(ForeignKey {
                columns: vec![columns.len()],
                target: u32::try_from(target + 1).unwrap_or_default(),
                target_columns: vec![0],
                ..ForeignKey::default()
            });
            columns.push(column(&name, Integer, &[]));
        }
        relations.push(
            Relation {
                oid: u32::try_from(at + 1).unwrap_or_default(),
                schema: "public".to_owned(),
                name: called(at),
                readable: true,
                columns,
                keys: vec![Key { primary: true, columns: vec![0], ..Key::default() }],
                foreign_keys,
                estimated_rows: Some(1000.0),
                ..Relation::default()
            }
            .into(),
        );
    }
    Catalog {
        server_version_num: 150_000,
        search_path: vec!["public".to_owned()],
        schemas: vec![Schema { name: "public".to_owned(), comment: None, usable: true }],
        relations,
        ..Catalog::default()
    }
}

/// Questions over it.
pub(crate) fn questions(tables: usize) -> Vec<String> {
    let mut chance = Chance(7);
    let mut some = || called(chance.below(tables)).replace('_', " ");
    (0..600)
        .map(|at| {
            let (one, two) = (some(), some());
            let city = CITIES[at % CITIES.len()];
            match at % 12 {
                0 => format!("How many {one} are there?"),
                1 => format!("total amount of {one} by status last month"),
                2 => format!("{one} in {city} with an amount of more than 500"),
                3 => format!("top 5 {one} by amount"),
                4 => format!("Which {one} have no {two}?"),
                5 => format!("average quantity of {one} per country in 2025"),
                6 => format!("number of {one} for each of the {two}"),
                7 => format!("show the name and code of active {one} created since Monday"),
                8 => format!("what percentage of {one} is cancelled?"),
                9 => format!(
                    "{one} whose quantity is above the average and that are open or pending"
                ),
                10 => format!("the most expensive {one} that somebody in {city} complained about"),
                _ => format!("monthly revenue of {one} compared with {two} over the last year"),
            }
        })
        .collect()
}
