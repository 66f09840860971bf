//! The fingerprint of a catalog: what changes it, and what does not.

use plinth_connections::Target;
use plinth_schema_introspect::{CatalogReader as _, ReadOptions};
use plinth_testdb::TestDatabase;

use crate::support::{client, databases, target};

const SCHEMA: &str = "
    CREATE SCHEMA shop;
    CREATE TYPE shop.mood AS ENUM ('calm');
    CREATE TABLE shop.customers (id integer PRIMARY KEY, name text, secret text);
    CREATE TABLE shop.orders (id integer PRIMARY KEY, customer integer, total numeric, note text);
    CREATE VIEW shop.names AS SELECT name FROM shop.customers;
    CREATE MATERIALIZED VIEW shop.totals AS SELECT sum(total) AS total, max(note) AS note FROM shop.orders;
    CREATE FUNCTION shop.twice(integer) RETURNS integer LANGUAGE sql AS 'SELECT 2 * $1';
    CREATE SEQUENCE shop.tickets;
    INSERT INTO shop.orders SELECT n, n, n, repeat('long ', 1000) FROM generate_series(1, 100) n;
    DO $$ BEGIN
      IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'plinth_test_guest') THEN
        CREATE ROLE plinth_test_guest;
      END IF;
    END $$;";

/// One statement each, some of which undo the one before.
const CHANGES: [&str; 38] = [
    "ALTER TABLE shop.customers ADD COLUMN age integer",
    "ALTER TABLE shop.customers RENAME COLUMN age TO years",
    "ALTER TABLE shop.customers ALTER COLUMN years TYPE bigint",
    "ALTER TABLE shop.customers ALTER COLUMN years SET NOT NULL",
    "ALTER TABLE shop.customers ALTER COLUMN years SET DEFAULT 1",
    "ALTER TABLE shop.customers ALTER COLUMN years DROP DEFAULT",
    "ALTER TABLE shop.customers DROP COLUMN years",
    "ALTER TABLE shop.customers RENAME TO clients",
    "ALTER TABLE shop.clients SET SCHEMA public",
    "ALTER TABLE public.clients SET SCHEMA shop",
    "COMMENT ON TABLE shop.clients IS 'Who buys'",
    "COMMENT ON TABLE shop.clients IS 'Who bought'",
    "COMMENT ON COLUMN shop.clients.name IS 'In full'",
    "COMMENT ON COLUMN shop.clients.name IS NULL",
    "ALTER TABLE shop.orders ADD CONSTRAINT whose FOREIGN KEY (customer) REFERENCES shop.clients NOT VALID",
    "ALTER TABLE shop.orders RENAME CONSTRAINT whose TO client",
    "ALTER TABLE shop.orders DROP CONSTRAINT client",
    "ALTER TABLE shop.orders ADD CHECK (total > 0)",
    "CREATE INDEX orders_customer ON shop.orders (customer)",
    "ALTER INDEX shop.orders_customer RENAME TO orders_client",
    "DROP INDEX shop.orders_client",
    "ALTER TYPE shop.mood ADD VALUE 'loud'",
    "ALTER TYPE shop.mood RENAME VALUE 'loud' TO 'noisy'",
    "GRANT SELECT ON shop.orders TO plinth_test_guest",
    "REVOKE SELECT ON shop.orders FROM plinth_test_guest",
    "GRANT SELECT (name) ON shop.clients TO plinth_test_guest",
    "GRANT USAGE ON SCHEMA shop TO plinth_test_guest",
    "ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY own ON shop.orders USING (true)",
    "CREATE OR REPLACE FUNCTION shop.twice(integer) RETURNS integer LANGUAGE sql AS 'SELECT $1 + $1'",
    "ALTER FUNCTION shop.twice(integer) STABLE",
    "DROP FUNCTION shop.twice(integer)",
    "CREATE OR REPLACE VIEW shop.names AS SELECT name FROM shop.clients WHERE name <> ''",
    "CREATE TABLE shop.parts (k integer) PARTITION BY LIST (k)",
    "CREATE TABLE shop.parts_1 PARTITION OF shop.parts FOR VALUES IN (1)",
    "ALTER TABLE shop.parts DETACH PARTITION shop.parts_1",
    "ALTER SEQUENCE shop.tickets INCREMENT 5",
    "DROP TABLE shop.parts",
];

/// None of these makes a difference to what a catalog says.
const NO_CHANGES: [&str; 12] = [
    "INSERT INTO shop.orders VALUES (1000, 1, 1, 'new')",
    "UPDATE shop.orders SET note = note || '.'",
    "DELETE FROM shop.orders WHERE id % 2 = 0",
    "ANALYZE shop.orders",
    "ANALYZE",
    "VACUUM FREEZE shop.orders",
    "VACUUM ANALYZE pg_catalog.pg_class, pg_catalog.pg_attribute",
    "SELECT nextval('shop.tickets')",
    "CREATE TEMPORARY TABLE scratch (id serial PRIMARY KEY, note text CHECK (note <> ''))",
    "REFRESH MATERIALIZED VIEW shop.totals",
    "REINDEX TABLE shop.orders",
    "TRUNCATE shop.orders",
];

fn as_superuser(database: &TestDatabase) -> Target {
    Target { username: "postgres".to_owned(), ..target(database) }
}

#[tokio::test]
async fn whatever_changes_the_schema_changes_the_fingerprint() {
    let database = TestDatabase::from_sql(SCHEMA).await.unwrap();
    let (databases, target) = (databases(), as_superuser(&database));
    let client = client(&database.superuser_url()).await;
    let mut last = databases.fingerprint(&target).await.unwrap();
    for change in CHANGES {
        client.batch_execute(change).await.unwrap();
        let now = databases.fingerprint(&target).await.unwrap();
        assert_ne!(now, last, "{change}");
        last = now;
    }
}

#[tokio::test]
async fn rows_and_their_upkeep_leave_the_fingerprint_as_it_is() {
    let database = TestDatabase::from_sql(SCHEMA).await.unwrap();
    let (databases, target) = (databases(), as_superuser(&database));
    let client = client(&database.superuser_url()).await;
    let catalog = databases.read(&target, ReadOptions::default()).await.unwrap();
    let before = databases.fingerprint(&target).await.unwrap();
    assert_eq!(catalog.fingerprint.as_ref(), Some(&before), "it is taken with everything else");
    for upkeep in NO_CHANGES {
        client.batch_execute(upkeep).await.unwrap();
        assert_eq!(databases.fingerprint(&target).await.unwrap(), before, "{upkeep}");
    }
}
