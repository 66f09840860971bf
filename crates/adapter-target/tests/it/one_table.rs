//! One table read again and again while it changes: by statements that the server keeps prepared, and by the number that
//! its name stood for before.

use std::sync::Arc;

use plinth_adapter_target::TargetDatabases;
use plinth_connections::{TableName, Target};
use plinth_schema_introspect::{
    Catalog, CatalogReader as _, ReadOptions, Relation, RelationKind, TablePart, TableRead,
};
use plinth_testdb::TestDatabase;

use crate::support::{all, client, databases, limits, target};

const FIXTURE: &str = include_str!("fixtures/details.sql");

fn as_superuser(database: &TestDatabase) -> Target {
    Target { username: "postgres".to_owned(), ..target(database) }
}

async fn read_all(databases: &TargetDatabases, target: &Target) -> Catalog {
    databases.read(target, ReadOptions::default()).await.expect("the catalogs are readable")
}

async fn read(
    databases: &TargetDatabases,
    target: &Target,
    name: &str,
    known: &Catalog,
) -> TableRead {
    let name = TableName { schema: "public".to_owned(), name: name.to_owned() };
    databases.read_table(target, &name, known, ReadOptions::default()).await.expect("readable")
}

async fn found(
    databases: &TargetDatabases,
    target: &Target,
    name: &str,
    known: &Catalog,
) -> TablePart {
    match read(databases, target, name, known).await {
        TableRead::Found(part) => *part,
        other => panic!("{name}: {other:?}"),
    }
}

#[tokio::test]
async fn a_name_is_read_as_what_it_stands_for_now() {
    let database = TestDatabase::from_sql(FIXTURE).await.unwrap();
    let (databases, target) = (databases(), as_superuser(&database));
    let client = client(&database.superuser_url()).await;
    let mut before = read_all(&databases, &target).await;
    let steps = [
        // It becomes more of a table.
        ("rooms", RelationKind::Table, "CREATE TYPE size AS ENUM ('small', 'large');
            ALTER TABLE rooms ADD COLUMN size size DEFAULT 'small', ADD COLUMN storey level, ADD COLUMN moods mood[], ADD COLUMN at corner"),
        ("rooms", RelationKind::Table, "ALTER TYPE size ADD VALUE 'medium' BEFORE 'large'; COMMENT ON TYPE size IS 'About'"),
        ("rooms", RelationKind::Table, "ALTER TABLE rooms ADD CHECK (id > 0), ALTER code SET DEFAULT upper('a'); CREATE UNIQUE INDEX ON rooms (lower(code))"),
        ("rooms", RelationKind::Table, "ALTER TABLE rooms DROP CONSTRAINT rooms_code, DROP COLUMN size; ALTER TABLE rooms RENAME CONSTRAINT rooms_once TO rooms_twice"),
        // A partition, and none again.
        ("visits_later", RelationKind::Table, "CREATE TABLE visits_later (id bigint, on_day date NOT NULL, note text)"),
        ("visits_later", RelationKind::Table, "ALTER TABLE visits ATTACH PARTITION visits_later FOR VALUES FROM ('2027-01-01') TO (MAXVALUE)"),
        ("visits_later", RelationKind::Table, "ALTER TABLE visits DETACH PARTITION visits_later"),
        ("visits_later", RelationKind::Table, "CREATE TABLE old_way (); ALTER TABLE visits_later INHERIT old_way"),
        // Other things of that name.
        ("visits_later", RelationKind::View, "DROP TABLE visits_later; CREATE VIEW visits_later AS SELECT id FROM rooms"),
        ("visits_later", RelationKind::View, "CREATE OR REPLACE VIEW visits_later AS SELECT id FROM buildings"),
        ("visits_later", RelationKind::MaterializedView, "DROP VIEW visits_later; CREATE MATERIALIZED VIEW visits_later AS SELECT id FROM rooms"),
        ("visits_later", RelationKind::ForeignTable, "DROP MATERIALIZED VIEW visits_later; CREATE FOREIGN TABLE visits_later (line text) SERVER files OPTIONS (filename '/nonexistent')"),
        ("visits_later", RelationKind::PartitionedTable, "DROP FOREIGN TABLE visits_later; CREATE TABLE visits_later (k integer) PARTITION BY LIST (k)"),
        ("visits_later", RelationKind::Table, "DROP TABLE visits_later; ALTER TABLE rooms RENAME TO visits_later; CREATE TABLE rooms (id int)"),
        ("rooms", RelationKind::Table, "SELECT"),
    ];
    for (name, kind, change) in steps {
        client.batch_execute(change).await.unwrap();
        let part = found(&databases, &target, name, &before).await;
        let now = read_all(&databases, &target).await;
        let expected = now.find("public", name).unwrap();
        assert_eq!(part.relation.kind, kind, "{change}");
        // Of one table the file system is asked.
        assert_eq!(part.relation.measures.is_some(), expected.measures.is_some(), "{change}");
        let relation = Relation { measures: expected.measures, ..Relation::clone(&part.relation) };
        assert_eq!(&relation, expected, "{change}");
        for it in &part.types {
            assert!(now.types.contains(it), "{it:?}");
        }
        before = now;
    }
    client.batch_execute("ALTER TABLE rooms RENAME TO chambers").await.unwrap();
    assert_eq!(read(&databases, &target, "rooms", &before).await, TableRead::Gone);
}

#[tokio::test]
async fn its_statements_stay_prepared() {
    let database = TestDatabase::from_sql(FIXTURE).await.unwrap();
    let (databases, target) = (databases(), as_superuser(&database));
    let known = read_all(&databases, &target).await;
    let kept = async || {
        let asked = "SELECT count(*), sum(generic_plans), sum(custom_plans) FROM pg_prepared_statements WHERE name LIKE 'plinth_kept_%'";
        let rows = all(&databases, &target, asked, &limits()).await.unwrap().0;
        rows[0]
            .iter()
            .map(|it| it.as_ref().map_or(0, |it| it.parse().unwrap()))
            .collect::<Vec<i64>>()
    };
    assert_eq!(kept().await[0], 0, "reading everything keeps nothing");
    let first = found(&databases, &target, "rooms", &known).await;
    let many = kept().await[0];
    assert!(many > 10);
    let other = found(&databases, &target, "occupied", &known).await;
    assert_eq!(found(&databases, &target, "rooms", &known).await, first);
    assert_eq!(other.relation.kind, RelationKind::View);
    let after = kept().await;
    assert_eq!(after[0], many);
    // The settings come before they hold.
    assert_eq!(after[1..], [3 * (many - 1), 3], "planned once");

    // Somebody who takes one away costs a second try and nothing else.
    all(&databases, &target, "DEALLOCATE plinth_kept_5", &limits()).await.unwrap();
    assert_eq!(found(&databases, &target, "rooms", &known).await, first);
    assert_eq!(kept().await[0], many);
}

#[tokio::test]
async fn a_locked_table_is_read_without_its_size() {
    let database = TestDatabase::from_sql(FIXTURE).await.unwrap();
    let (databases, target) = (databases(), as_superuser(&database));
    let known = read_all(&databases, &target).await;
    let holder = client(&database.superuser_url()).await;
    holder.batch_execute("BEGIN; LOCK TABLE visits_old IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let locked = found(&databases, &target, "visits_old", &known).await.relation;
    assert_eq!(locked.measures, None);
    holder.batch_execute("ROLLBACK").await.unwrap();
    let free = found(&databases, &target, "visits_old", &known).await.relation;
    assert!(free.measures.is_some_and(|it| it.table_bytes > 0));
    let free = Relation { measures: None, ..Relation::clone(&free) };
    assert_eq!(Arc::new(free), locked);

    // Of a table whose index is made anew only the size cannot be told.
    holder.batch_execute("CREATE INDEX held ON rooms (id)").await.unwrap();
    let known = read_all(&databases, &target).await;
    let free = found(&databases, &target, "rooms", &known).await.relation;
    assert!(free.measures.is_some());
    holder.batch_execute("BEGIN; REINDEX INDEX held").await.unwrap();
    let locked = found(&databases, &target, "rooms", &known).await.relation;
    assert_eq!(locked.measures, None);
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(Arc::new(Relation { measures: None, ..Relation::clone(&free) }), locked);
}
