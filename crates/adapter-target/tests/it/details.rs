//! Reading what goes beyond names, columns and keys.

use plinth_adapter_target::TargetDatabases;
use plinth_connections::{TableName, Target};
use plinth_schema_introspect::{
    Attribute, Catalog, CatalogReader as _, Deferral, DomainCheck, Generation, Index,
    PartitionStrategy, ReadOptions, ReferenceAction, Relation, Sampling, TableRead, UserTypeKind,
};
use plinth_testdb::TestDatabase;

use crate::support::{client, databases, target};

const FIXTURE: &str = include_str!("fixtures/details.sql");

fn as_superuser(database: &TestDatabase) -> Target {
    Target { username: "postgres".to_owned(), ..target(database) }
}

async fn read(databases: &TargetDatabases, target: &Target) -> Catalog {
    databases.read(target, ReadOptions::default()).await.expect("the catalogs are readable")
}

fn table<'a>(catalog: &'a Catalog, name: &str) -> &'a Relation {
    catalog.find("public", name).unwrap_or_else(|| panic!("no relation {name}"))
}

fn names<'a>(relation: &'a Relation, positions: &[usize]) -> Vec<&'a str> {
    positions.iter().map(|it| relation.columns[*it].name.as_str()).collect()
}

fn named(name: &str) -> TableName {
    TableName { schema: "public".to_owned(), name: name.to_owned() }
}

#[tokio::test]
async fn constraints_are_known_in_full() {
    let database = TestDatabase::from_sql(FIXTURE).await.unwrap();
    let catalog = read(&databases(), &as_superuser(&database)).await;
    let (buildings, rooms) = (table(&catalog, "buildings"), table(&catalog, "rooms"));

    let code = &buildings.keys[1];
    assert_eq!((code.name.as_str(), code.deferral), ("buildings_code", Deferral::None));
    assert_eq!(buildings.keys[2].deferral, Deferral::Deferred);
    assert_eq!(names(buildings, &code.include), ["height"]);
    assert_eq!(code.comment.as_deref(), Some("As on the sign"));
    let checks: Vec<_> = buildings
        .checks
        .iter()
        .map(|it| (it.name.as_str(), it.definition.as_str(), it.not_valid, it.comment.as_deref()))
        .collect();
    assert_eq!(
        checks,
        [
            ("named", "CHECK ((code <> ''::text)) NOT VALID", true, None),
            ("short", "CHECK ((length(code) < 20))", false, Some("Fits on the sign")),
        ]
    );
    assert_eq!(names(buildings, &buildings.checks[1].columns), ["code"]);

    let keys: Vec<_> = rooms
        .foreign_keys
        .iter()
        .map(|it| {
            let to = catalog.relation(it.target).expect("it is there");
            let columns = (names(rooms, &it.columns), names(to, &it.target_columns));
            (columns, it.on_delete, it.on_update, it.match_full, it.deferral, it.not_valid)
        })
        .collect();
    use ReferenceAction::{Cascade, NoAction, Restrict, SetDefault, SetNull};
    let none = Deferral::None;
    assert_eq!(
        keys,
        [
            ((vec!["building"], vec!["id"]), Cascade, SetNull, false, none, false),
            ((vec!["code"], vec!["code"]), Restrict, NoAction, true, Deferral::Deferrable, false),
            ((vec!["number"], vec!["id"]), SetDefault, NoAction, false, none, true),
        ]
    );
    assert_eq!(rooms.foreign_keys[1].comment.as_deref(), Some("By sign"));
    assert_eq!(rooms.exclusions.len(), 1);
    assert_eq!(
        rooms.exclusions[0].definition,
        "EXCLUDE USING gist (building WITH =, during WITH &&)"
    );
    assert_eq!(names(rooms, &rooms.exclusions[0].columns), ["building", "during"]);
}

#[tokio::test]
async fn indexes_say_what_their_columns_do_not() {
    let database = TestDatabase::from_sql(FIXTURE).await.unwrap();
    let catalog = read(&databases(), &as_superuser(&database)).await;
    let rooms = table(&catalog, "rooms");
    let index = |name: &str| -> &Index {
        rooms.indexes.iter().find(|it| it.name == name).unwrap_or_else(|| panic!("no {name}"))
    };

    // Neither the keys' nor the exclusion's.
    assert_eq!(rooms.indexes.len(), 4);
    let plain = index("rooms_plain");
    assert_eq!((&plain.definition, plain.invalid), (&None, false));
    assert_eq!(plain.comment.as_deref(), Some("For the list"));
    assert_eq!(
        index("rooms_recent").definition.as_deref(),
        Some(
            "CREATE INDEX rooms_recent ON public.rooms USING btree (id DESC) WHERE (building IS NOT NULL)"
        )
    );
    assert!(index("rooms_pattern").definition.as_deref().unwrap().contains("text_pattern_ops"));
    let wide = index("rooms_wide");
    assert!(wide.invalid && !wide.unique);
    assert_eq!(
        (names(rooms, &wide.columns), names(rooms, &wide.include)),
        (vec!["building"], vec!["code"])
    );
}

#[tokio::test]
async fn columns_say_how_their_values_come_about() {
    let database = TestDatabase::from_sql(FIXTURE).await.unwrap();
    let catalog = read(&databases(), &as_superuser(&database)).await;
    let buildings = table(&catalog, "buildings");
    let column = |name: &str| &buildings.columns[buildings.column(name).unwrap()];

    assert_eq!(column("id").generation, Some(Generation::IdentityByDefault));
    assert_eq!(column("doubled").generation, Some(Generation::Stored));
    assert_eq!(column("doubled").default.as_deref(), Some("(2 * 21)"));
    assert_eq!(
        (column("code").generation, column("code").collation.as_deref()),
        (None, Some("\"C\""))
    );
    assert!(
        buildings.columns.iter().filter(|it| it.name != "code").all(|it| it.collation.is_none())
    );
    assert_eq!(buildings.gaps, [2, 6]);
    assert_eq!(buildings.number(buildings.column("at").unwrap()), 5);
    let rooms = table(&catalog, "rooms");
    assert_eq!(rooms.columns[3].generation, Some(Generation::IdentityAlways));
}

#[tokio::test]
async fn partitions_views_and_foreign_tables_say_where_their_rows_are() {
    let database = TestDatabase::from_sql(FIXTURE).await.unwrap();
    let catalog = read(&databases(), &as_superuser(&database)).await;

    let visits = table(&catalog, "visits");
    let key = visits.partition_key.as_ref().unwrap();
    assert_eq!(
        (key.strategy, key.definition.as_str()),
        (PartitionStrategy::Range, "RANGE (on_day)")
    );
    assert_eq!(visits.partition_bound, None);
    let new = table(&catalog, "visits_new");
    assert_eq!(new.partition_of, Some(visits.oid));
    assert_eq!(new.partition_key.as_ref().unwrap().strategy, PartitionStrategy::List);
    assert_eq!(
        new.partition_bound.as_deref(),
        Some("FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')")
    );
    let bound = |name: &str| table(&catalog, name).partition_bound.as_deref();
    assert_eq!(bound("visits_new_one"), Some("FOR VALUES IN ('1', '2')"));
    assert_eq!(bound("visits_new_rest"), Some("DEFAULT"));
    let hash = table(&catalog, "shards").partition_key.as_ref().unwrap();
    assert_eq!(hash.strategy, PartitionStrategy::Hash);

    let oid = |name: &str| table(&catalog, name).oid;
    let reads = |name: &str| table(&catalog, name).reads.clone();
    let mut under = vec![oid("rooms"), oid("buildings")];
    under.sort_unstable();
    assert_eq!(reads("occupied"), under);
    let mut under = vec![oid("occupied"), oid("visits")];
    under.sort_unstable();
    assert_eq!(reads("busy"), under);
    assert!(reads("rooms").is_empty());
    assert_eq!(table(&catalog, "guests").server.as_deref(), Some("files"));
}

#[tokio::test]
async fn tables_say_how_large_they_are_and_when_they_were_analyzed() {
    let database = TestDatabase::from_sql(FIXTURE).await.unwrap();
    let client = client(&database.superuser_url()).await;
    client.batch_execute("ANALYZE visits_old").await.unwrap();
    let rows = client.query(
        "CREATE TABLE fresh AS SELECT repeat('y', 1000) AS y FROM generate_series(1, 100)",
        &[],
    );
    rows.await.unwrap();
    let catalog = read(&databases(), &as_superuser(&database)).await;

    let measures = |name: &str| table(&catalog, name).measures;
    let old = measures("visits_old").unwrap();
    assert!(old.table_bytes >= 100 * 1_000 && old.index_bytes == 0 && old.last_analyze.is_some());
    let parts = ["visits_old", "visits_new_one", "visits_new_rest"];
    let sum: u64 = parts.iter().map(|it| measures(it).unwrap().table_bytes).sum();
    assert_eq!(measures("visits").unwrap().table_bytes, sum);
    // Nobody has counted it yet, so the file system was asked.
    let fresh = measures("fresh").unwrap();
    assert!(fresh.table_bytes >= 100 * 1_000 && fresh.last_analyze.is_none(), "{fresh:?}");
    assert_eq!(measures("busy"), None);

    let options = ReadOptions { sampling: Sampling::Off, measures: false };
    let catalog = databases().read(&as_superuser(&database), options).await.unwrap();
    assert!(catalog.relations.iter().all(|it| it.measures.is_none()));
}

#[tokio::test]
async fn types_functions_and_sequences_are_known_in_full() {
    let database = TestDatabase::from_sql(FIXTURE).await.unwrap();
    let comment = format!("COMMENT ON DATABASE {} IS 'Rooms and who is in them'", database.name());
    client(&database.superuser_url()).await.batch_execute(&comment).await.unwrap();
    let catalog = read(&databases(), &as_superuser(&database)).await;
    assert_eq!(catalog.comment.as_deref(), Some("Rooms and who is in them"));

    let of = |name: &str| catalog.types.iter().find(|it| it.name == name).unwrap();
    assert_eq!(
        of("level").kind,
        UserTypeKind::Domain {
            base: "smallint".into(),
            checked: true,
            not_null: true,
            default: Some("1".into()),
            checks: vec![DomainCheck {
                name: "level_sane".into(),
                definition: "CHECK (((VALUE >= 1) AND (VALUE <= 9)))".into(),
            }],
        }
    );
    assert_eq!(of("level").comment.as_deref(), Some("From the ground up"));
    let attribute =
        |name: &str, type_name: &str| Attribute { name: name.into(), type_name: type_name.into() };
    let attributes = vec![
        attribute("x", "numeric(6,2)"),
        attribute("y", "numeric(6,2)"),
        attribute("label", "character varying(10)"),
    ];
    assert_eq!(of("corner").kind, UserTypeKind::Composite { attributes });

    let function = |name: &str| catalog.functions.iter().find(|it| it.name == name).unwrap();
    let price = function("price");
    assert_eq!(
        price.signature,
        "room integer, nights integer DEFAULT 1, OUT total numeric, OUT tax numeric"
    );
    assert_eq!((price.result.as_deref(), price.language.as_str()), (Some("record"), "sql"));
    assert_eq!(price.comment.as_deref(), Some("What a stay costs"));
    let rooms = function("in_building");
    assert_eq!(rooms.result.as_deref(), Some("TABLE(room integer, code text)"));
    assert!(rooms.security_definer && rooms.executable && rooms.language == "plpgsql");
    let tidy = function("tidy");
    assert_eq!((tidy.signature.as_str(), &tidy.result), ("VARIADIC names text[]", &None));
    let gist = catalog.functions.iter().find(|it| it.extension.is_some()).unwrap();
    assert_eq!((gist.signature.as_str(), &gist.result), ("", &None));

    let sequences: Vec<_> = catalog.sequences.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(sequences, ["rooms_id_seq", "tickets"], "those of identity columns are left out");
    let (serial, tickets) = (&catalog.sequences[0], &catalog.sequences[1]);
    assert_eq!(serial.owner, Some((table(&catalog, "rooms").oid, "id".to_owned())));
    assert_eq!(serial.comment.as_deref(), Some("Numbers of rooms"));
    assert_eq!((tickets.type_name.as_str(), tickets.start, tickets.increment), ("smallint", 5, 5));
    assert_eq!((tickets.minimum, tickets.maximum, tickets.cycles), (1, 1000, true));
}

#[tokio::test]
async fn one_table_is_read_as_among_all_others() {
    let database = TestDatabase::from_sql(FIXTURE).await.unwrap();
    let (databases, target) = (databases(), as_superuser(&database));
    let catalog = read(&databases, &target).await;
    for relation in &catalog.relations {
        let name = named(&relation.name);
        let found = databases.read_table(&target, &name, &catalog, ReadOptions::default()).await;
        let TableRead::Found(mut part) = found.unwrap() else {
            panic!("{} is there", relation.name)
        };
        let one = std::sync::Arc::make_mut(&mut part.relation);
        // Of one table the file system is asked.
        assert_eq!(one.measures.is_some(), relation.measures.is_some(), "{}", relation.name);
        one.measures = relation.measures;
        assert_eq!(one, &**relation);
        for it in &part.types {
            assert!(catalog.types.contains(it), "{it:?}");
        }
    }
}

#[tokio::test]
async fn a_table_that_changed_is_read_with_the_types_it_needs() {
    let database = TestDatabase::from_sql(FIXTURE).await.unwrap();
    let (databases, target) = (databases(), as_superuser(&database));
    let catalog = read(&databases, &target).await;
    let client = client(&database.superuser_url()).await;
    client
        .batch_execute(
            "CREATE TYPE size AS ENUM ('small', 'large');
             ALTER TABLE rooms ADD COLUMN size size, ADD COLUMN moods mood[], DROP COLUMN number;
             CREATE TABLE halls (id integer PRIMARY KEY);
             CREATE TABLE doors (hall integer REFERENCES halls, room integer REFERENCES rooms);
             DROP TABLE visits_old;",
        )
        .await
        .unwrap();
    let read = async |name: &str| {
        databases.read_table(&target, &named(name), &catalog, ReadOptions::default()).await.unwrap()
    };
    let TableRead::Found(part) = read("rooms").await else { panic!("it is there") };
    let columns: Vec<_> = part.relation.columns.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(columns, ["id", "building", "code", "during", "nick", "size", "moods"]);
    assert_eq!(part.relation.columns[5].enum_values, ["small", "large"]);
    assert_eq!(part.relation.columns[6].type_name, "mood[]");
    assert_eq!(part.relation.gaps, [4]);
    let types: Vec<_> = part.types.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(types, ["citext", "mood", "size"]);

    assert!(matches!(read("halls").await, TableRead::Found(_)));
    assert_eq!(read("doors").await, TableRead::Entangled, "nothing is known of the halls");
    assert_eq!(read("visits_old").await, TableRead::Gone);
    assert_eq!(read("no \"such\" table").await, TableRead::Gone);
    let system = TableName { schema: "pg_catalog".to_owned(), name: "pg_class".to_owned() };
    let found = databases.read_table(&target, &system, &catalog, ReadOptions::default()).await;
    assert_eq!(found.unwrap(), TableRead::Gone);
}
