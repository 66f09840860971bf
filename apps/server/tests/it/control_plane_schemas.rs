use serde_json::json;

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
