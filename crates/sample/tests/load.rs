//! The sample in a real Postgres.

use anyhow::{Context, Result};
use jiff::civil::date;
use plinth_sample::{LoadError, Options, Progress, Summary, is_loaded, load};
use plinth_testdb::TestDatabase;
use tokio_postgres::{Client, NoTls};

async fn connect(database: &TestDatabase) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(&database.url(), NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn load_quietly(client: &mut Client, options: &Options) -> Result<Summary, LoadError> {
    load(client, options, &mut |_| {}).await
}

/// A tenth of the sample: enough for everything that does not count rows.
fn small(now: &str) -> Options {
    Options { scale_percent: 10, ..Options::new(now.parse().expect("a time")) }
}

async fn count(client: &Client, sql: &str) -> Result<i64> {
    Ok(client.query_one(sql, &[]).await.with_context(|| sql.to_owned())?.try_get(0)?)
}

/// Asserts that every query finds nothing.
async fn assert_none(client: &Client, broken: &[&str]) -> Result<()> {
    for sql in broken {
        let found = count(client, &format!("SELECT count(*) FROM {sql}")).await?;
        assert_eq!(found, 0, "{sql}");
    }
    Ok(())
}

#[tokio::test]
async fn the_normal_sample_is_large_quick_and_consistent() -> Result<()> {
    let database = TestDatabase::create().await?;
    let mut client = connect(&database).await?;
    let now: jiff::Timestamp = "2026-11-20T16:30:00Z".parse()?;
    let mut seen: Vec<Progress> = Vec::new();
    let summary =
        load(&mut client, &Options::new(now), &mut |progress| seen.push(*progress)).await?;

    // Every table has the rows that were reported, and progress says the same as the summary.
    assert_eq!(summary.tables.len(), 16);
    let reported: Vec<(&str, u64)> =
        seen.iter().map(|progress| (progress.table, progress.rows)).collect();
    assert_eq!(reported, summary.tables);
    assert_eq!(seen.last().map(|last| (last.tables_done, last.tables)), Some((16, 16)));
    for (table, rows) in &summary.tables {
        let there = count(&client, &format!("SELECT count(*) FROM {table}")).await?;
        assert_eq!(u64::try_from(there)?, *rows, "{table}");
        assert!(there > 0, "{table}");
    }
    let rows =
        |name| summary.tables.iter().find(|(table, _)| *table == name).map_or(0, |(_, rows)| *rows);
    assert!(rows("order_items") >= 100_000, "{summary:?}");
    assert!(rows("orders") >= 40_000 && rows("customers") >= 10_000, "{summary:?}");
    assert!(rows("reviews") >= 5_000 && rows("ticket_messages") >= 20_000, "{summary:?}");
    // A limit that a slow machine keeps in a debug build; a release takes a fraction.
    assert!(summary.took.as_secs() < 60, "{summary:?}");

    // What the constraints cannot say.
    assert_none(&client, &[
        "pg_constraint WHERE NOT convalidated",
        "orders o WHERE items_amount <> (SELECT sum(line_total) FROM order_items i WHERE i.order_id = o.id)",
        "orders o LEFT JOIN order_items i ON i.order_id = o.id WHERE i.id IS NULL",
        "orders o JOIN addresses a ON a.id = o.shipping_address_id WHERE a.customer_id <> o.customer_id OR a.kind <> 'shipping'",
        "orders o JOIN customers c ON c.id = o.customer_id WHERE o.ordered_at < c.created_at OR o.ordered_at > c.last_login_at",
        "orders o JOIN coupons c ON c.id = o.coupon_id
         WHERE o.ordered_at::date NOT BETWEEN c.valid_from AND coalesce(c.valid_until, 'infinity')
            OR o.items_amount < c.minimum_amount
            OR o.discount_amount <> round(o.items_amount * c.discount_percent / 100, 2)",
        "orders WHERE coupon_id IS NULL AND discount_amount > 0",
        "order_items i JOIN orders o ON o.id = i.order_id JOIN products p ON p.id = i.product_id
         WHERE o.ordered_at::date < p.launched_on OR o.ordered_at::date > p.discontinued_on",
        "payments p JOIN orders o ON o.id = p.order_id WHERE p.amount <> o.total_amount OR p.created_at < o.ordered_at",
        "(SELECT order_id FROM payments WHERE paid_at IS NOT NULL GROUP BY 1 HAVING count(*) > 1) twice",
        "shipments s JOIN orders o ON o.id = s.order_id WHERE s.packed_at < o.ordered_at OR o.status IN ('pending', 'paid', 'cancelled')",
        "orders o WHERE status IN ('packed', 'shipped', 'delivered', 'returned')
         AND NOT EXISTS (SELECT FROM shipments s WHERE s.order_id = o.id)",
        "orders o WHERE status IN ('delivered', 'returned')
         AND EXISTS (SELECT FROM shipments s WHERE s.order_id = o.id AND s.delivered_at IS NULL)",
        "refunds r JOIN payments p ON p.id = r.payment_id WHERE r.amount > p.amount OR p.paid_at IS NULL OR r.refunded_at < p.paid_at",
        "payments p WHERE (p.status = 'refunded') <> EXISTS (SELECT FROM refunds r WHERE r.payment_id = p.id AND r.amount = p.amount)",
        "refunds r JOIN employees e ON e.id = r.approved_by WHERE r.refunded_at::date NOT BETWEEN e.hired_on AND coalesce(e.left_on, 'infinity')",
        "reviews r WHERE NOT EXISTS (SELECT FROM orders o JOIN order_items i ON i.order_id = o.id
         WHERE o.customer_id = r.customer_id AND i.product_id = r.product_id AND o.ordered_at < r.created_at)",
        "tickets t JOIN orders o ON o.id = t.order_id WHERE o.customer_id <> t.customer_id OR o.ordered_at > t.created_at",
        "tickets t JOIN customers c ON c.id = t.customer_id WHERE c.created_at > t.created_at",
        "tickets t WHERE first_response_at IS DISTINCT FROM (SELECT min(created_at) FROM ticket_messages m
         WHERE m.ticket_id = t.id AND m.employee_id IS NOT NULL AND NOT m.is_internal)",
        "ticket_messages m JOIN tickets t ON t.id = m.ticket_id WHERE m.created_at < t.created_at",
        "products p JOIN categories c ON c.id = p.category_id WHERE c.parent_id IS NULL",
        "products WHERE cost >= price OR is_active AND discontinued_on IS NOT NULL",
        "employees e JOIN employees m ON m.id = e.manager_id WHERE m.left_on IS NOT NULL",
        "customers WHERE email !~ '@(example[.](com|org|net)|[a-z]+[.]test)$'",
    ])
    .await?;

    // What real data has, too.
    for sql in [
        "customers c WHERE NOT EXISTS (SELECT FROM orders o WHERE o.customer_id = c.id)",
        "customers c WHERE (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) > 15",
        "customers WHERE phone IS NULL",
        "products p WHERE NOT EXISTS (SELECT FROM order_items i WHERE i.product_id = p.id)",
        "products WHERE stock_quantity = 0 AND is_active",
        "products WHERE stock_quantity BETWEEN 1 AND reorder_level",
        "products WHERE 'new' = ANY(tags) AND attributes ->> 'color' IS NOT NULL",
        "coupons c WHERE NOT EXISTS (SELECT FROM orders o WHERE o.coupon_id = c.id)",
        "categories c WHERE parent_id IS NOT NULL AND NOT EXISTS (SELECT FROM products p WHERE p.category_id = c.id)",
        "suppliers s WHERE NOT EXISTS (SELECT FROM products p WHERE p.supplier_id = s.id)",
        "shipments WHERE delivered_at::date > promised_on",
        "shipments WHERE shipped_at IS NULL",
        "employees WHERE left_on IS NOT NULL",
        "employees WHERE manager_id IS NULL",
        "tickets WHERE order_id IS NULL",
        "tickets WHERE assignee_id IS NULL",
        "ticket_messages WHERE is_internal",
        "orders WHERE coupon_id IS NOT NULL",
        "monthly_revenue WHERE revenue > 0",
        "customer_totals WHERE revenue = 0",
        "product_sales WHERE average_rating IS NOT NULL",
    ] {
        assert!(count(&client, &format!("SELECT count(*) FROM {sql}")).await? > 0, "{sql}");
    }
    // Every value of every type of ours is in use.
    assert_none(&client, &[
        "unnest(enum_range(NULL::order_status)) v WHERE v NOT IN (SELECT status FROM orders)",
        "unnest(enum_range(NULL::sales_channel)) v WHERE v NOT IN (SELECT channel FROM orders)",
        "unnest(enum_range(NULL::payment_method)) v WHERE v NOT IN (SELECT method FROM payments)",
        "unnest(enum_range(NULL::payment_status)) v WHERE v NOT IN (SELECT status FROM payments)",
        "unnest(enum_range(NULL::refund_reason)) v WHERE v NOT IN (SELECT reason FROM refunds)",
        "unnest(enum_range(NULL::address_kind)) v WHERE v NOT IN (SELECT kind FROM addresses)",
        "unnest(enum_range(NULL::ticket_status)) v WHERE v NOT IN (SELECT status FROM tickets)",
        "unnest(enum_range(NULL::ticket_priority)) v WHERE v NOT IN (SELECT priority FROM tickets)",
        "unnest(enum_range(NULL::ticket_channel)) v WHERE v NOT IN (SELECT channel FROM tickets)",
    ])
    .await?;

    // Three whole years and this month, growing; good reviews are more frequent than bad ones.
    assert_eq!(count(&client, "SELECT count(*) FROM monthly_revenue").await?, 37);
    let grew = "SELECT count(*) FROM (SELECT date_trunc('year', month) AS year, avg(revenue) AS revenue
                FROM monthly_revenue WHERE month >= '2024-01-01' GROUP BY 1) y
                WHERE revenue > coalesce((SELECT avg(revenue) FROM monthly_revenue
                WHERE date_trunc('year', month) = y.year - interval '1 year' AND month >= '2024-01-01'), 0)";
    assert_eq!(count(&client, grew).await?, 3);
    assert_eq!(count(&client, "SELECT count(*) FROM (SELECT avg(rating) AS a FROM reviews) r WHERE a BETWEEN 3.6 AND 4.5").await?, 1);

    // The planner knows the tables, and people can add rows of their own.
    assert_none(&client, &["pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'm') AND reltuples < 1"]).await?;
    client
        .batch_execute(
            "INSERT INTO departments (name, cost_center, city) VALUES ('New', 'CC-1', 'Bonn')",
        )
        .await?;
    Ok(())
}

#[tokio::test]
async fn every_foreign_key_and_date_has_an_index() -> Result<()> {
    let database = TestDatabase::create().await?;
    let mut client = connect(&database).await?;
    load_quietly(&mut client, &Options { scale_percent: 1, ..small("2026-11-20T16:30:00Z") })
        .await?;
    let without = "pg_constraint c WHERE contype = 'f' AND connamespace = 'public'::regnamespace
         AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indkey[0] = c.conkey[1])";
    assert_none(&client, &[
        without,
        "pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm') AND obj_description(oid, 'pg_class') IS NULL",
    ])
    .await?;
    assert_eq!(count(&client, "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace").await?, 22);
    Ok(())
}

#[tokio::test]
async fn today_yesterday_and_this_week_have_rows_and_the_future_has_none() -> Result<()> {
    let database = TestDatabase::create().await?;
    let mut client = connect(&database).await?;
    client.batch_execute("SET timezone = 'UTC'").await?;
    for now in [
        "2026-11-20T16:30:00Z", // a Friday
        "2026-11-16T00:00:00Z", // a Monday, as it begins
        "2027-01-01T09:15:00Z", // the first day of a week, month or year has nothing before it
        "2028-02-29T23:59:59Z",
    ] {
        load_quietly(&mut client, &Options { replace: true, ..small(now) }).await?;
        for (table, column) in
            [("orders", "ordered_at"), ("customers", "created_at"), ("tickets", "created_at")]
        {
            for (since, until) in [
                (format!("date '{now}'"), format!("date '{now}' + 1")),
                (format!("date '{now}' - 1"), format!("date '{now}'")),
                (format!("date_trunc('week', timestamptz '{now}')"), "'infinity'".to_owned()),
                (
                    format!("date_trunc('month', timestamptz '{now}') - interval '1 month'"),
                    format!("date_trunc('month', timestamptz '{now}')"),
                ),
                (format!("timestamptz '{now}' - interval '7 days'"), "'infinity'".to_owned()),
            ] {
                let sql = format!(
                    "SELECT count(*) FROM {table} WHERE {column} >= {since} AND {column} < {until}"
                );
                assert!(count(&client, &sql).await? > 0, "{now}: {sql}");
            }
        }
        let columns = client
            .query(
                "SELECT c.table_name::text, c.column_name::text FROM information_schema.columns c
                 JOIN information_schema.tables t USING (table_schema, table_name)
                 WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE'
                   AND c.data_type IN ('date', 'timestamp with time zone')",
                &[],
            )
            .await?;
        assert_eq!(columns.len(), 24);
        for row in columns {
            let (table, column): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            // Plans, not events.
            if !matches!(column.as_str(), "promised_on" | "valid_until") {
                assert_none(&client, &[&format!("{table} WHERE {column} > timestamptz '{now}'")])
                    .await?;
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_is_there_is_replaced_only_if_it_is_ours_and_only_when_asked() -> Result<()> {
    let database = TestDatabase::create().await?;
    let mut client = connect(&database).await?;
    let options = Options { scale_percent: 1, ..small("2026-11-20T16:30:00Z") };

    // A table of somebody else is never touched, and nothing is left behind beside it.
    client.batch_execute("CREATE TABLE orders (id int); INSERT INTO orders VALUES (1)").await?;
    for replace in [false, true] {
        match load_quietly(&mut client, &Options { replace, ..options.clone() }).await {
            Err(LoadError::NameTaken(names)) => assert_eq!(names, ["orders"]),
            other => panic!("{other:?}"),
        }
    }
    assert!(!is_loaded(&client).await?);
    assert_eq!(count(&client, "SELECT count(*) FROM orders").await?, 1);
    assert_none(
        &client,
        &["pg_class WHERE relnamespace = 'public'::regnamespace AND relname <> 'orders'"],
    )
    .await?;
    client.batch_execute("DROP TABLE orders").await?;

    let first = load_quietly(&mut client, &options).await?;
    assert!(is_loaded(&client).await?);
    assert!(matches!(load_quietly(&mut client, &options).await, Err(LoadError::AlreadyLoaded)));
    client.batch_execute("DELETE FROM reviews").await?;
    let second = load_quietly(&mut client, &Options { replace: true, ..options.clone() }).await?;
    assert_eq!(first.tables, second.tables);

    // What others built on the sample keeps it in place, and a load that fails changes nothing.
    client.batch_execute("CREATE VIEW mine AS SELECT count(*) FROM reviews").await?;
    assert!(matches!(
        load_quietly(&mut client, &Options { replace: true, ..options.clone() }).await,
        Err(LoadError::Database(_))
    ));
    assert!(is_loaded(&client).await? && count(&client, "SELECT count FROM mine").await? > 0);
    client.batch_execute("DROP VIEW mine; DROP TABLE ticket_messages").await?;
    assert!(!is_loaded(&client).await?);
    Ok(())
}

#[tokio::test]
async fn a_reader_reads_everything_and_writes_nothing() -> Result<()> {
    let database = TestDatabase::create().await?;
    let mut client = connect(&database).await?;
    // A name that has to be quoted.
    let reader = format!("sample \"reader\" {}", std::process::id());
    let quoted = format!("\"{}\"", reader.replace('"', "\"\""));
    let options =
        Options { scale_percent: 1, reader: Some(reader), ..small("2026-11-20T16:30:00Z") };
    assert!(matches!(load_quietly(&mut client, &options).await, Err(LoadError::Database(_))));
    assert!(!is_loaded(&client).await?, "without the role, nothing is loaded");

    client.batch_execute(&format!("CREATE ROLE {quoted}; GRANT {quoted} TO CURRENT_USER")).await?;
    let summary = load_quietly(&mut client, &options).await?;
    client.batch_execute(&format!("SET ROLE {quoted}")).await?;
    for table in summary.tables.iter().map(|(table, _)| *table).chain([
        "monthly_revenue",
        "customer_totals",
        "product_sales",
    ]) {
        assert!(count(&client, &format!("SELECT count(*) FROM {table}")).await? > 0);
        assert!(client.batch_execute(&format!("DELETE FROM {table}")).await.is_err());
    }
    client
        .batch_execute(&format!("RESET ROLE; DROP OWNED BY {quoted}; DROP ROLE {quoted}"))
        .await?;
    Ok(())
}

#[tokio::test]
async fn sizes_and_times_out_of_range_are_refused() -> Result<()> {
    let database = TestDatabase::create().await?;
    let mut client = connect(&database).await?;
    for options in [
        Options { scale_percent: 0, ..small("2026-11-20T16:30:00Z") },
        Options { scale_percent: 1001, ..small("2026-11-20T16:30:00Z") },
        Options::at_end_of(date(1979, 12, 31)),
        Options::at_end_of(date(9999, 12, 31)),
    ] {
        assert!(matches!(load_quietly(&mut client, &options).await, Err(LoadError::OutOfRange)));
    }
    Ok(())
}
