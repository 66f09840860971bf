//! Reading the catalogs, as a superuser and as a role that may read little.

use std::time::Duration;

use plinth_adapter_target::TargetDatabases;
use plinth_connections::{Fault, Stage, Target};
use plinth_schema_introspect::{
    Catalog, CatalogReader as _, Column, FunctionKind, ReadOptions, Relation, RelationKind,
    Sampling, TypeClass, UserTypeKind,
};
use plinth_testdb::TestDatabase;

use crate::support::{client, databases, target};

const FIXTURE: &str = include_str!("fixtures/catalog.sql");

/// The test server's superuser; all roles that the server makes have the same password there.
fn as_superuser(database: &TestDatabase) -> Target {
    Target { username: "postgres".to_owned(), ..target(database) }
}

fn as_reader(database: &TestDatabase) -> Target {
    Target {
        username: "plinth_test_reader".to_owned(),
        password: "reader".to_owned().into(),
        ..target(database)
    }
}

async fn read(databases: &TargetDatabases, target: &Target, sampling: Sampling) -> Catalog {
    databases
        .read(target, ReadOptions { sampling, measures: true })
        .await
        .expect("the catalogs are readable")
}

fn relation<'a>(catalog: &'a Catalog, name: &str) -> &'a Relation {
    let (schema, name) = name.split_once('.').expect("schema and name");
    catalog.find(schema, name).unwrap_or_else(|| panic!("no relation {schema}.{name}"))
}

fn column<'a>(catalog: &'a Catalog, table: &str, name: &str) -> &'a Column {
    let relation = relation(catalog, table);
    &relation.columns[relation.column(name).unwrap_or_else(|| panic!("no column {name}"))]
}

fn names<'a>(relation: &'a Relation, positions: &[usize]) -> Vec<&'a str> {
    positions.iter().map(|it| relation.columns[*it].name.as_str()).collect()
}

fn samples(catalog: &Catalog, table: &str, name: &str) -> Option<(Vec<String>, bool)> {
    column(catalog, table, name).samples.clone().map(|it| (it.values, it.complete))
}

#[tokio::test]
async fn a_superuser_sees_everything_as_it_is() {
    let database = TestDatabase::from_sql(FIXTURE).await.unwrap();
    let catalog = read(&databases(), &as_superuser(&database), Sampling::Off).await;

    assert!(catalog.server_version_num >= 140_000);
    assert_eq!((catalog.database.as_str(), catalog.role.as_str()), (database.name(), "postgres"));
    assert_eq!(catalog.search_path, ["public"]);
    let schemas: Vec<_> = catalog.schemas.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(schemas, ["Odd Name", "hidden", "public", "shop"]);
    assert_eq!(catalog.schemas[3].comment.as_deref(), Some("What is sold, and to whom"));
    assert!(catalog.relations.is_sorted_by_key(|it| (it.schema.clone(), it.name.clone())));
    assert!(
        catalog.relations.iter().all(
            |it| it.readable && it.columns.iter().all(|it| it.readable) || it.name == "nothing"
        )
    );

    let kinds: Vec<_> = catalog.relations.iter().map(|it| (it.full_name(), it.kind)).collect();
    for (name, kind) in [
        ("shop.customers", RelationKind::Table),
        ("shop.orders", RelationKind::PartitionedTable),
        ("shop.orders_2025", RelationKind::Table),
        ("shop.open_orders", RelationKind::View),
        ("shop.totals", RelationKind::MaterializedView),
        ("shop.import", RelationKind::ForeignTable),
        ("public.nothing", RelationKind::Table),
        ("Odd Name.Mixed \"Case\"", RelationKind::Table),
    ] {
        assert!(kinds.contains(&(name.to_owned(), kind)), "{name}");
    }

    let orders = relation(&catalog, "shop.orders");
    let partition = relation(&catalog, "shop.orders_2026");
    assert_eq!(partition.partition_of, Some(orders.oid));
    assert!(partition.inherits.is_empty());
    assert_eq!(orders.estimated_rows, Some(100.0));
    let trucks = relation(&catalog, "shop.trucks");
    assert_eq!(trucks.inherits, [relation(&catalog, "shop.vehicles").oid]);
    assert_eq!(trucks.partition_of, None);
    assert_eq!(relation(&catalog, "shop.open_orders").estimated_rows, None);
}

#[tokio::test]
async fn columns_have_their_types_defaults_and_comments() {
    let database = TestDatabase::from_sql(FIXTURE).await.unwrap();
    let catalog = read(&databases(), &as_superuser(&database), Sampling::Off).await;

    let customers = relation(&catalog, "shop.customers");
    let described: Vec<_> = customers
        .columns
        .iter()
        .map(|it| (it.name.as_str(), it.type_name.as_str(), it.class, it.nullable))
        .collect();
    assert_eq!(
        described,
        [
            ("id", "bigint", TypeClass::Integer, false),
            ("name", "text", TypeClass::Text, false),
            ("email", "shop.email", TypeClass::Text, false),
            ("country", "character(2)", TypeClass::Text, true),
            ("home", "shop.place", TypeClass::Other, true),
            ("tags", "text[]", TypeClass::Array, true),
            ("states", "shop.order_status[]", TypeClass::Array, true),
            ("extra", "hstore", TypeClass::Other, true),
            ("active", "boolean", TypeClass::Boolean, false),
            ("password_hash", "text", TypeClass::Text, true),
            ("code", "shop.plain_code", TypeClass::Text, true),
        ]
    );
    assert!(customers.columns[0].generated);
    assert_eq!(customers.comment.as_deref(), Some("People who bought something"));
    let country = column(&catalog, "shop.customers", "country");
    assert_eq!(country.comment.as_deref(), Some("ISO 3166, two letters"));
    assert_eq!(country.default.as_deref(), Some("'DE'::bpchar"));
    assert_eq!(column(&catalog, "shop.customers", "active").default.as_deref(), Some("true"));

    let status = column(&catalog, "shop.orders", "status");
    assert_eq!(status.enum_values, ["new", "paid", "packed", "shipped"]);
    assert_eq!(status.class, TypeClass::Enum);
    let gross = column(&catalog, "shop.orders", "gross");
    assert!(gross.generated && gross.type_name == "numeric(12,2)");
    assert_eq!(gross.default.as_deref(), Some("(total * 1.19)"));
    let at = column(&catalog, "shop.orders", "placed_at");
    assert_eq!(
        (at.type_name.as_str(), at.class),
        ("timestamp(3) with time zone", TypeClass::Timestamp)
    );
    // Both partitions have the parent's expressions.
    assert_eq!(column(&catalog, "shop.orders_2025", "placed_at").default.as_deref(), Some("now()"));
    assert_eq!(
        column(&catalog, "shop.orders_2025", "gross").default.as_deref(),
        Some("(total * 1.19)")
    );
    assert_eq!(column(&catalog, "shop.orders", "valid").type_name, "shop.period");
    assert_eq!(
        column(&catalog, "public.settings", "role_name").type_name,
        "information_schema.sql_identifier"
    );
    assert_eq!(column(&catalog, "public.settings", "role_name").class, TypeClass::Text);
    assert_eq!(
        column(&catalog, "Odd Name.Mixed \"Case\"", "select").default.as_deref(),
        Some("'a''b'::text")
    );
    assert_eq!(column(&catalog, "shop.customers", "country").distinct, Some(2.0));
}

#[tokio::test]
async fn keys_references_and_indexes_point_at_columns() {
    let database = TestDatabase::from_sql(FIXTURE).await.unwrap();
    let catalog = read(&databases(), &as_superuser(&database), Sampling::Off).await;

    let customers = relation(&catalog, "shop.customers");
    assert_eq!(names(customers, customers.primary_key()), ["id"]);
    assert_eq!(customers.keys.len(), 2);
    assert_eq!(names(customers, &customers.keys[1].columns), ["code"]);
    let indexes: Vec<_> = customers
        .indexes
        .iter()
        .map(|it| (it.name.as_str(), names(customers, &it.columns), it.unique, it.method.as_str()))
        .collect();
    assert_eq!(
        indexes,
        [
            ("customers_code_name", vec!["code", "name"], true, "btree"),
            ("customers_lower_email", vec!["id"], false, "btree"),
            ("customers_name_trgm", vec!["name"], false, "gin"),
        ]
    );

    let items = relation(&catalog, "shop.order_items");
    let orders = relation(&catalog, "shop.orders");
    // One, though the server keeps one more for each partition that it refers to.
    assert_eq!(items.foreign_keys.len(), 1);
    let key = &items.foreign_keys[0];
    assert_eq!((key.name.as_str(), key.target), ("items_order", orders.oid));
    assert_eq!(names(items, &key.columns), ["order_id", "placed_on"]);
    assert_eq!(names(orders, &key.target_columns), ["id", "placed_on"]);
    let partition = relation(&catalog, "shop.orders_2025");
    assert_eq!(partition.foreign_keys.len(), 1);
    assert_eq!(partition.foreign_keys[0].target, customers.oid);
    assert_eq!(relation(&catalog, "shop.totals").indexes.len(), 1);
}

#[tokio::test]
async fn types_functions_operators_and_casts_are_listed_with_their_extensions() {
    let database = TestDatabase::from_sql(FIXTURE).await.unwrap();
    let catalog = read(&databases(), &as_superuser(&database), Sampling::Off).await;

    let kind = |schema: &str, name: &str| {
        let found = catalog.types.iter().find(|it| it.schema == schema && it.name == name);
        found.map(|it| (it.kind.clone(), it.extension.clone()))
    };
    let labels =
        |it: &[&str]| UserTypeKind::Enum { labels: it.iter().map(|it| (*it).to_owned()).collect() };
    assert_eq!(
        kind("shop", "order_status"),
        Some((labels(&["new", "paid", "packed", "shipped"]), None))
    );
    assert_eq!(kind("public", "order_status"), Some((labels(&["open", "closed"]), None)));
    let domain = |name: &str| match kind("shop", name) {
        Some((UserTypeKind::Domain { base, checked, not_null, .. }, None)) => {
            (base, checked, not_null)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(domain("email"), ("citext".into(), true, true));
    assert_eq!(domain("plain_code"), ("character varying(8)".into(), false, false));
    assert!(matches!(kind("shop", "place"), Some((UserTypeKind::Composite { .. }, None))));
    assert_eq!(kind("shop", "period"), Some((UserTypeKind::Range, None)));
    assert_eq!(kind("shop", "periods"), Some((UserTypeKind::Range, None)));
    assert_eq!(kind("public", "hstore"), Some((UserTypeKind::Base, Some("hstore".into()))));
    assert_eq!(kind("shop", "customers"), None);

    let function = |name: &str| {
        catalog.functions.iter().find(|it| it.schema == "shop" && it.name == name).unwrap()
    };
    let net = function("net");
    assert_eq!((net.kind, net.volatility), (FunctionKind::Function, 'i'));
    assert_eq!(net.arguments, ["numeric", "numeric"]);
    assert_eq!(net.returns, "numeric");
    assert_eq!(function("full_name").arguments, ["shop.customers"]);
    assert_eq!(function("tidy").kind, FunctionKind::Procedure);
    assert_eq!(function("product").kind, FunctionKind::Aggregate);
    let similarity = catalog.functions.iter().find(|it| it.name == "similarity").unwrap();
    assert_eq!(similarity.extension.as_deref(), Some("pg_trgm"));

    let operator = |name: &str| catalog.operators.iter().find(|it| it.name == name).unwrap();
    assert_eq!((operator("###").schema.as_str(), &operator("###").extension), ("shop", &None));
    assert_eq!(operator("<<->").extension.as_deref(), Some("pg_trgm"));
    let cast = catalog.casts.iter().find(|it| it.target == "shop.order_status").unwrap();
    assert_eq!((cast.source.as_str(), cast.context), ("integer", 'a'));
    assert!(catalog.casts.iter().any(|it| it.extension.as_deref() == Some("citext")));
}

#[tokio::test]
async fn definitions_name_every_relation_with_its_schema() {
    let database = TestDatabase::from_sql(FIXTURE).await.unwrap();
    let target = as_superuser(&database);
    let client = client(&database.superuser_url()).await;
    client
        .batch_execute(&format!(
            "ALTER DATABASE {} SET search_path = shop, public",
            database.name()
        ))
        .await
        .unwrap();
    let catalog = read(&databases(), &target, Sampling::Off).await;
    assert_eq!(catalog.search_path, ["shop", "public"]);
    let definition = relation(&catalog, "shop.open_orders").definition.as_deref().unwrap();
    assert!(
        definition.contains("shop.orders") && definition.contains("'shipped'::shop.order_status"),
        "{definition}"
    );
    assert!(relation(&catalog, "shop.totals").definition.is_some());
    assert_eq!(relation(&catalog, "shop.orders").definition, None);
    // Types are named as the role would write them: this one hides its namesake.
    assert_eq!(column(&catalog, "shop.orders", "status").type_name, "order_status");
    assert_eq!(catalog.resolve("orders").map(|it| it.schema.as_str()), Some("shop"));
}

#[tokio::test]
async fn a_role_with_few_rights_learns_what_it_may_read() {
    let database = TestDatabase::from_sql(FIXTURE).await.unwrap();
    let catalog = read(&databases(), &as_reader(&database), Sampling::FewValued).await;

    assert_eq!(catalog.role, "plinth_test_reader");
    let usable = |name: &str| catalog.schemas.iter().find(|it| it.name == name).unwrap().usable;
    assert!(usable("shop") && !usable("hidden"));
    assert!(relation(&catalog, "shop.customers").readable);
    let staff = relation(&catalog, "shop.staff");
    assert!(!staff.readable);
    let readable: Vec<_> =
        staff.columns.iter().filter(|it| it.readable).map(|it| it.name.as_str()).collect();
    assert_eq!(readable, ["id", "name"]);
    // The table was granted, its schema not.
    let payroll = relation(&catalog, "hidden.payroll");
    assert!(!payroll.readable && payroll.columns.iter().all(|it| !it.readable));
    assert!(!relation(&catalog, "shop.totals").readable);
    assert!(relation(&catalog, "shop.secrets").row_security);
    assert!(!relation(&catalog, "shop.customers").row_security);

    // What it may not read is not sampled, and of what row security hides nothing is seen.
    assert_eq!(samples(&catalog, "shop.staff", "name"), Some((vec!["Dora".to_owned()], true)));
    assert_eq!(
        samples(&catalog, "shop.secrets", "owner"),
        Some((vec!["plinth_test_reader".to_owned()], true))
    );
    assert_eq!(column(&catalog, "shop.customers", "country").distinct, Some(2.0));
    assert_eq!(column(&catalog, "shop.staff", "salary").distinct, None);
}

#[tokio::test]
async fn values_are_sampled_where_they_say_something() {
    let database = TestDatabase::from_sql(FIXTURE).await.unwrap();
    let catalog = read(&databases(), &as_superuser(&database), Sampling::FewValued).await;

    let texts = |it: &[&str]| it.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        samples(&catalog, "shop.customers", "name"),
        Some((texts(&["Ada", "Ben", "Cleo"]), true))
    );
    assert_eq!(samples(&catalog, "shop.customers", "country"), Some((texts(&["DE", "PT"]), true)));
    assert_eq!(samples(&catalog, "shop.customers", "email"), None);
    assert_eq!(samples(&catalog, "shop.customers", "password_hash"), None);
    assert_eq!(samples(&catalog, "shop.customers", "code").map(|it| it.0.len()), Some(30));
    // The parent speaks for its partitions, but in the old way of inheriting each for itself.
    assert_eq!(samples(&catalog, "shop.orders", "note"), Some((texts(&["by post", "gift"]), true)));
    assert_eq!(samples(&catalog, "shop.orders_2025", "note"), None);
    assert_eq!(samples(&catalog, "shop.vehicles", "kind"), Some((texts(&["van", "bike"]), true)));
    assert_eq!(samples(&catalog, "shop.trucks", "kind"), Some((texts(&["lorry"]), true)));
    assert_eq!(samples(&catalog, "shop.import", "line"), None);

    let off = read(&databases(), &as_superuser(&database), Sampling::Off).await;
    assert!(off.relations.iter().flat_map(|it| &it.columns).all(|it| it.samples.is_none()));
}

#[tokio::test]
async fn of_documents_the_outermost_members_are_taken() {
    let database = TestDatabase::from_sql(
        r#"CREATE TABLE things (id int PRIMARY KEY, about jsonb, raw json, rest jsonb);
           INSERT INTO things VALUES
             (1, '{"wood": "oak", "size": 3, "token": "x", "in": {"deep": "no"}}', '{"hue": "red"}'),
             (2, '{"wood": "oak", "size": 4}', '{"hue": "blue"}'),
             (3, '{"wood": "teak", "new": true}', NULL),
             (4, '["a list"]', '"a text"');
           UPDATE things SET rest = '{"form": "round"}' WHERE id = 1;
           -- Too wide to be looked into; as `md5` gives it, it cannot be packed into less.
           UPDATE things SET rest = jsonb_build_object('form', 'square', 'scan',
             (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 200) n)) WHERE id = 2;"#,
    )
    .await
    .unwrap();
    let catalog = read(&databases(), &as_superuser(&database), Sampling::FewValued).await;
    let texts = |it: &[&str]| it.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let members =
        texts(&[r#"{"size":0}"#, r#"{"wood":"oak"}"#, r#"{"new":true}"#, r#"{"wood":"teak"}"#]);
    // Without the token these are not all.
    assert_eq!(samples(&catalog, "public.things", "about"), Some((members, false)));
    let members = texts(&[r#"{"hue":"blue"}"#, r#"{"hue":"red"}"#]);
    assert_eq!(samples(&catalog, "public.things", "raw"), Some((members, true)));
    let members = texts(&[r#"{"form":"round"}"#]);
    assert_eq!(samples(&catalog, "public.things", "rest"), Some((members, false)));
}

#[tokio::test]
async fn of_a_large_table_the_frequent_values_are_taken() {
    let database = TestDatabase::create().await.unwrap();
    let client = client(&database.url()).await;
    client
        .batch_execute(
            "CREATE TABLE analyzed AS SELECT (ARRAY['red', 'green', 'green', 'blue'])[1 + n % 4] AS colour, 'item ' || n AS label
             FROM generate_series(1, 60000) n;
             CREATE TABLE fresh AS TABLE analyzed;
             ANALYZE analyzed",
        )
        .await
        .unwrap();
    let catalog = read(&databases(), &target(&database), Sampling::FewValued).await;

    let (colours, complete) = samples(&catalog, "public.analyzed", "colour").unwrap();
    assert_eq!((colours[0].as_str(), colours.len(), complete), ("green", 3, false));
    assert_eq!(samples(&catalog, "public.analyzed", "label"), None);
    // Never analyzed: its size shows only when it is read.
    let (colours, complete) = samples(&catalog, "public.fresh", "colour").unwrap();
    assert_eq!((colours[0].as_str(), colours.len(), complete), ("green", 3, false));
    assert_eq!(samples(&catalog, "public.fresh", "label"), None);
}

#[tokio::test]
async fn a_table_that_was_counted_empty_is_looked_at_once_rows_came() {
    let database = TestDatabase::create().await.unwrap();
    let client = client(&database.url()).await;
    let make = "CREATE TABLE filled (colour text); CREATE TABLE empty (colour text); ANALYZE filled, empty";
    client.batch_execute(make).await.unwrap();
    client.batch_execute("INSERT INTO filled VALUES ('red'), ('blue')").await.unwrap();
    // What a session did is counted at its pace. From Postgres 15 on one may say when; before that it is a matter of seconds.
    let _ = client.batch_execute("SELECT pg_stat_force_next_flush()").await;
    let counted = "SELECT pg_stat_get_tuples_inserted('filled'::regclass) = 2";
    while !client.query_one(counted, &[]).await.unwrap().get::<_, bool>(0) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let catalog = read(&databases(), &target(&database), Sampling::FewValued).await;
    assert_eq!(relation(&catalog, "public.filled").estimated_rows, Some(0.0));
    let (mut colours, complete) = samples(&catalog, "public.filled", "colour").unwrap();
    colours.sort();
    assert_eq!((colours, complete), (vec!["blue".to_owned(), "red".to_owned()], true));
    assert_eq!(samples(&catalog, "public.empty", "colour"), None);
}

#[tokio::test]
async fn expressions_that_are_stored_alike_name_each_tables_own_columns() {
    let database = TestDatabase::create().await.unwrap();
    let client = client(&database.url()).await;
    // The names are of one length, and each statement comes alone: nothing in what is stored tells them apart.
    for (table, column) in [("one", "first"), ("two", "other")] {
        let make = format!(
            "CREATE TABLE {table} ({column} int, twice int GENERATED ALWAYS AS ({column} * 2) STORED, kind int DEFAULT 7)"
        );
        client.batch_execute(&make).await.unwrap();
    }
    let stored =
        "SELECT count(DISTINCT adbin::text) FROM pg_attrdef WHERE adnum = 2 AND adrelid >= 16384";
    assert_eq!(client.query_one(stored, &[]).await.unwrap().get::<_, i64>(0), 1);

    let catalog = read(&databases(), &target(&database), Sampling::Off).await;
    let printed = |table, name| column(&catalog, table, name).default.clone();
    assert_eq!(printed("public.one", "twice").as_deref(), Some("(first * 2)"));
    assert_eq!(printed("public.two", "twice").as_deref(), Some("(other * 2)"));
    assert_eq!(printed("public.one", "kind").as_deref(), Some("7"));
    assert_eq!(printed("public.two", "kind").as_deref(), Some("7"));
}

#[tokio::test]
async fn a_locked_view_costs_its_text_and_not_the_catalog() {
    let database = TestDatabase::from_sql(FIXTURE).await.unwrap();
    let holder = client(&database.superuser_url()).await;
    holder.batch_execute("BEGIN; LOCK TABLE shop.orders IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let catalog = read(&databases(), &as_superuser(&database), Sampling::FewValued).await;
    assert_eq!(relation(&catalog, "shop.open_orders").definition, None);
    assert_eq!(relation(&catalog, "shop.orders").columns.len(), 9);
    assert_eq!(samples(&catalog, "shop.orders", "note"), None);
    assert!(samples(&catalog, "shop.customers", "name").is_some());
    holder.batch_execute("ROLLBACK").await.unwrap();
}

#[tokio::test]
async fn a_catalog_comes_back_from_json_as_it_was() {
    let database = TestDatabase::from_sql(FIXTURE).await.unwrap();
    let catalog = read(&databases(), &as_superuser(&database), Sampling::FewValued).await;
    let json = serde_json::to_vec(&catalog).unwrap();
    assert_eq!(serde_json::from_slice::<Catalog>(&json).unwrap(), catalog);
}

#[tokio::test]
async fn names_of_types_are_those_that_the_server_prints() {
    let database = TestDatabase::from_sql(FIXTURE).await.unwrap();
    let catalog = read(&databases(), &as_superuser(&database), Sampling::Off).await;
    let client = client(&database.superuser_url()).await;
    let rows = client
        .query(
            "SELECT attrelid, attname::text, format_type(atttypid, atttypmod) FROM pg_attribute
             WHERE attrelid >= 16384 AND attnum > 0 AND NOT attisdropped",
            &[],
        )
        .await
        .unwrap();
    let mut compared = 0;
    for row in rows {
        let (oid, name, printed): (u32, String, String) = (row.get(0), row.get(1), row.get(2));
        if let Some(relation) = catalog.relation(oid) {
            let column = &relation.columns[relation.column(&name).unwrap()];
            assert_eq!(column.type_name, printed, "{}.{name}", relation.full_name());
            compared += 1;
        }
    }
    assert!(compared > 60);
}

#[tokio::test]
async fn a_database_that_is_not_there_is_diagnosed() {
    let database = TestDatabase::create().await.unwrap();
    let target = Target { database: "plinth_no_such_database".to_owned(), ..target(&database) };
    let diagnosis = databases().read(&target, ReadOptions::default()).await.unwrap_err();
    assert_eq!((diagnosis.stage, diagnosis.fault), (Stage::Database, Fault::UnknownDatabase));
}

#[tokio::test]
async fn values_tell_which_columns_refer_to_others_where_nobody_declared_it() {
    let script = "
        CREATE TABLE customers (id int PRIMARY KEY, name text);
        CREATE TABLE regions (id int, label text);
        CREATE TABLE invoices (id int PRIMARY KEY, customer_id int, region_id int, shop_id int);
        CREATE TABLE shops (id int PRIMARY KEY);
        CREATE TABLE drafts (customer_id int);
        INSERT INTO customers SELECT i, 'c' || i FROM generate_series(1, 500) i;
        INSERT INTO regions SELECT 1 + i / 2, 'r' || i FROM generate_series(0, 19) i;
        INSERT INTO shops SELECT i FROM generate_series(1, 3) i;
        INSERT INTO invoices SELECT i, 1 + i % 400, 1 + i % 10, i FROM generate_series(1, 1000) i;
        ANALYZE;";
    let database = TestDatabase::from_sql(script).await.unwrap();
    let told = async |sampling| {
        let catalog = read(&databases(), &as_superuser(&database), sampling).await;
        assert!(relation(&catalog, "public.drafts").inferred_keys.is_empty(), "it has no rows");
        let keys = relation(&catalog, "public.invoices").inferred_keys.clone();
        let told = |it: plinth_schema_introspect::InferredKey| {
            (it.column.clone(), it.target_table.clone(), it.looked_at, it.contained, it.holds())
        };
        keys.into_iter().map(told).collect::<Vec<_>>()
    };
    let expected = [
        ("customer_id", "customers", 200, 200, true),
        // Its target has every value twice.
        ("region_id", "regions", 10, 10, false),
    ];
    let seen = told(Sampling::FewValued).await;
    for (column, table, looked_at, contained, holds) in expected {
        assert!(
            seen.contains(&(column.into(), table.into(), looked_at, contained, holds)),
            "{seen:?}"
        );
    }
    let shop = seen.iter().find(|it| it.0 == "shop_id").expect("looked at");
    assert!(!shop.4 && shop.3 <= 3, "{shop:?}");
    assert!(told(Sampling::Off).await.is_empty(), "nobody looks at values");
}
