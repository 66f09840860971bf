use serde_json::{Value, json};

use crate::app::TestApp;
use crate::control_plane::{Node, is_psql_here, new_project, psql};

#[actix_web::test]
async fn schemas_are_read_and_compared_now_and_in_the_past() {
    if !is_psql_here() {
        return;
    }
    let app = TestApp::start().await;
    let node = Node::start(&app, 3).await;
    let owner = app.owner_of("Acme").await;
    let made = new_project(&owner, "shop").await;
    let project = made["project"]["id"].as_str().unwrap();
    let main = made["branch"]["id"].as_str().unwrap();
    let uri = made["connection_uris"][0]["connection_uri"].as_str().unwrap();
    let tables = "CREATE TABLE makers (id bigint PRIMARY KEY, name text NOT NULL UNIQUE);
                  CREATE TABLE things (id bigint, maker bigint REFERENCES makers, twice numeric(9,2) GENERATED ALWAYS AS (id * 2) STORED)";
    psql(uri, tables).await.unwrap();
    // A database's owner may say where names are looked up, but not what we run.
    psql(uri, "ALTER DATABASE neondb SET search_path = public").await.unwrap();
    let before = psql(uri, "SELECT pg_current_wal_lsn()").await.unwrap();
    let base = format!("/api/v2/projects/{project}/branches");
    let dev = json!({ "branch": { "name": "dev" } });
    let dev = owner.post(&base, dev).await.is(201);
    let dev = dev["branch"]["id"].as_str().unwrap();
    psql(uri, "CREATE VIEW names AS SELECT name FROM makers").await.unwrap();

    let schema = owner.get(&format!("{base}/{main}/schema?db_name=neondb")).await.is(200);
    let sql = schema["sql"].as_str().unwrap();
    for part in ["CREATE TABLE public.makers", "CREATE VIEW public.names", "OWNER TO neondb_owner"]
    {
        assert!(sql.contains(part), "{part} in {sql}");
    }
    assert!(!sql.contains("restrict"), "nothing that differs from dump to dump: {sql}");
    let again = owner.get(&format!("{base}/{main}/schema?db_name=neondb")).await.is(200);
    assert_eq!(again, schema);

    let json = owner.get(&format!("{base}/{main}/schema?db_name=neondb&format=json")).await.is(200);
    let tables = json["json"]["tables"].as_array().unwrap();
    assert_eq!(tables.len(), 2);
    assert_eq!(tables[0]["name"], "makers");
    assert_eq!(
        tables[0]["columns"][1],
        json!({ "name": "name", "type": "text", "nullable": false, "generated": false })
    );
    assert_eq!(tables[1]["columns"][2]["type"], "numeric(9,2)");
    assert_eq!(tables[1]["columns"][2]["generated"], true);
    assert_eq!(
        tables[1]["constraints"][0],
        json!({
            "type": "foreign_key", "name": "things_maker_fkey", "columns": ["maker"],
            "referenced_table": { "schema": "public", "table": "makers", "columns": ["id"] },
        })
    );

    // The branch was made before the view; it never ran, and does not run afterwards.
    let compare = format!("{base}/{dev}/compare_schema?db_name=neondb");
    let diff = owner.get(&compare).await.is(200);
    let diff = diff["diff"].as_str().unwrap();
    assert!(diff.starts_with("--- a/neondb\n+++ b/neondb\n@@"), "{diff}");
    assert!(diff.contains("\n-CREATE VIEW public.names"), "{diff}");
    let postmaster = node.folder(&format!("projects/{project}/{dev}/data/postmaster.pid"));
    assert!(!postmaster.exists());
    let same = owner.get(&format!("{compare}&base_lsn={before}")).await.is(200);
    assert_eq!(same["diff"], "", "as the parent was then");
    let left = std::fs::read_dir(node.folder(&format!("projects/{project}"))).unwrap().count();
    assert_eq!(left, 2, "what was looked at is gone");

    for (query, status) in [
        ("db_name=nothing", 404),
        ("db_name=neondb&format=xml", 400),
        ("db_name=neondb&timestamp=2020-01-01T00:00:00Z", 422),
        ("db_name=neondb&lsn=FFFF/0", 422),
        ("db_name=neondb&lsn=0/1&timestamp=2020-01-01T00:00:00Z", 400),
    ] {
        owner.get(&format!("{base}/{main}/schema?{query}")).await.is(status);
    }
    let root = owner.get(&format!("{base}/{main}/compare_schema?db_name=neondb")).await.is(400);
    assert!(root["message"].as_str().unwrap().contains("has no parent"), "{root}");
    node.end().await;
}

#[actix_web::test]
async fn a_branch_is_made_with_the_definitions_and_none_of_the_rows() {
    if !is_psql_here() {
        return;
    }
    let app = TestApp::start().await;
    let node = Node::start(&app, 4).await;
    let owner = app.owner_of("Acme").await;
    let made = new_project(&owner, "shop").await;
    let text = |it: &Value| it.as_str().unwrap().to_owned();
    let base = format!("/api/v2/projects/{}", text(&made["project"]["id"]));
    let (main, uri) =
        (text(&made["branch"]["id"]), text(&made["connection_uris"][0]["connection_uri"]));
    let role = json!({ "role": { "name": "reporting" } });
    owner.post(&format!("{base}/branches/{main}/roles"), role).await.is(201);
    // What is defined is run by nobody here: it would tell, or fail.
    psql(&uri, "
        CREATE SCHEMA sales;
        CREATE SEQUENCE sales.numbers;
        CREATE FUNCTION sales.who() RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT current_user::text $$;
        CREATE TABLE sales.orders (id bigint PRIMARY KEY DEFAULT nextval('sales.numbers'), price int CHECK (price > 0));
        CREATE INDEX by_who ON sales.orders (sales.who(), price);
        CREATE VIEW sales.dear AS SELECT * FROM sales.orders WHERE price > 10;
        INSERT INTO sales.orders (price) VALUES (1), (20);
        GRANT USAGE ON SCHEMA sales TO reporting; GRANT SELECT ON sales.dear TO reporting").await.unwrap();
    let body = json!({ "branch": { "name": "empty", "init_source": "schema-only" },
        "endpoints": [{ "type": "read_write" }] });
    let made = owner.post(&format!("{base}/branches"), body).await.is(201);
    let branch = &made["branch"];
    assert_eq!((&branch["init_source"], branch.get("parent_id")), (&json!("schema-only"), None));
    let empty = text(&made["connection_uris"][0]["connection_uri"]);
    let count = "SELECT count(*), (SELECT count(*) FROM sales.dear) FROM sales.orders";
    assert_eq!(psql(&empty, count).await.as_deref(), Ok("0|0"));
    assert_eq!(psql(&uri, count).await.as_deref(), Ok("2|1"));
    let owners = "SELECT DISTINCT relowner::regrole FROM pg_class WHERE relnamespace = 'sales'::regnamespace";
    assert_eq!(psql(&empty, owners).await.as_deref(), Ok("neondb_owner"));
    psql(&empty, "INSERT INTO sales.orders (price) VALUES (11)").await.unwrap();
    let (_, rest) = empty.split_once('@').unwrap();
    let branches = format!("{base}/branches/{}", text(&branch["id"]));
    let password = owner.get(&format!("{branches}/roles/reporting/reveal_password")).await.is(200);
    let reader = format!("postgresql://reporting:{}@{rest}", text(&password["password"]));
    assert_eq!(psql(&reader, "SELECT count(*) FROM sales.dear").await.as_deref(), Ok("1"));
    assert!(psql(&reader, "SELECT * FROM sales.orders").await.is_err());

    for (field, value) in [("init_source", json!("rows")), ("parent_lsn", json!("0/1"))] {
        let mut body = json!({ "branch": { "name": "no", "init_source": "schema-only" } });
        body["branch"][field] = value;
        owner.post(&format!("{base}/branches"), body).await.is(400);
    }
    // It is nobody's child: what it was made of can go, and so can it.
    owner.delete(&branches).await.is(200);
    node.end().await;
}
