use std::time::{Duration, Instant};

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::control_plane::{Node, is_psql_here, new_project, psql};

#[actix_web::test]
async fn what_projects_use_is_measured_and_told_by_the_hour_day_and_month() {
    if !is_psql_here() {
        return;
    }
    let app = TestApp::start().await;
    let node = Node::start(&app, 3).await;
    let (owner, other) = (app.owner_of("Acme").await, app.owner_of("Other").await);
    let made = new_project(&owner, "shop").await;
    let project = made["project"]["id"].as_str().unwrap();
    let branch = made["branch"]["id"].as_str().unwrap();
    let endpoint = made["endpoints"][0]["id"].as_str().unwrap();
    let uri = made["connection_uris"][0]["connection_uri"].as_str().unwrap();
    let suspend = format!("/api/v2/projects/{project}/endpoints/{endpoint}/suspend");
    owner.post(&suspend, json!({})).await.is(200);

    // Twice: in this hour, and in the next.
    for _ in 0..2 {
        let work =
            "CREATE TABLE IF NOT EXISTS t (n int); INSERT INTO t SELECT generate_series(1, 300000)";
        psql(uri, work).await.unwrap();
        app.clock.advance(SignedDuration::from_mins(30));
        owner.post(&suspend, json!({})).await.is(200);
        app.clock.advance(SignedDuration::from_mins(30));
    }
    let path = |unit: &str, more: &str| {
        format!(
            "/api/v2/consumption_history/projects?granularity={unit}&from=2026-03-04T05:30:00Z&to=2026-03-04T07:10:00Z{more}"
        )
    };
    // What was used is written down after the Postgres has stopped, which the answer does not wait for.
    let active = |told: &Value| -> i64 {
        let frames = told["projects"][0]["periods"][0]["consumption"].as_array();
        let of = |it: &Value| it["active_time_seconds"].as_i64();
        frames.into_iter().flatten().filter_map(of).sum()
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    let told = loop {
        let told = owner.get(&path("hourly", "")).await.is(200);
        if active(&told) >= 3600 || Instant::now() > deadline {
            break told;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(told["projects"][0]["project_id"], project);
    let period = &told["projects"][0]["periods"][0];
    assert_eq!(
        (&period["period_start"], &period["period_end"]),
        (&json!("2026-03-01T00:00:00Z"), &json!("2026-04-01T00:00:00Z"))
    );
    let frames = period["consumption"].as_array().unwrap();
    let number = |at: usize, name: &str| frames[at][name].as_i64().unwrap();
    assert_eq!(frames[0]["timeframe_start"], "2026-03-04T05:00:00Z");
    assert_eq!(active(&told), 3600, "while it slept nothing counts: {told}");
    let written: i64 = (0..frames.len()).map(|at| number(at, "written_data_bytes")).sum();
    assert!(written > 2 * 300_000 * 50, "{told}");
    // Statements, answers and TLS; nothing of the rows, which the server made itself.
    let passed: i64 = (0..frames.len()).map(|at| number(at, "data_transfer_bytes")).sum();
    assert!((2_000..200_000).contains(&passed), "{told}");
    for at in 0..frames.len() {
        assert!(number(at, "synthetic_storage_size_bytes") > 20 << 20, "{told}");
    }

    let day = owner.get(&path("daily", &format!("&project_ids={project}"))).await.is(200);
    let day = &day["projects"][0]["periods"][0]["consumption"];
    assert_eq!((day.as_array().unwrap().len(), &day[0]["active_time_seconds"]), (1, &json!(3600)));
    let narrow = owner.get(&path("monthly", "&metrics=written_data_bytes")).await.is(200);
    let narrow = &narrow["projects"][0]["periods"][0]["consumption"][0];
    assert_eq!(
        (&narrow["written_data_bytes"], &narrow["active_time_seconds"]),
        (&json!(written), &json!(0))
    );
    // By branch: what the branches used is what the project used.
    let v2 = |of: &str, more: &str| {
        format!(
            "/api/v2/consumption_history/v2/{of}?granularity=daily&from=2026-03-04T00:00:00Z&to=2026-03-05T00:00:00Z&project_ids={project}{more}"
        )
    };
    let metrics =
        "&metrics=compute_unit_seconds,root_branch_bytes_month,public_network_transfer_bytes";
    let whole = owner.get(&v2("projects", metrics)).await.is(200);
    let whole = &whole["projects"][0]["periods"][0]["consumption"][0]["metrics"];
    let names: Vec<_> = whole.as_array().unwrap().iter().map(|it| &it["metric_name"]).collect();
    assert_eq!(
        names,
        ["compute_unit_seconds", "root_branch_bytes_month", "public_network_transfer_bytes"]
    );
    assert_eq!(whole[2]["value"], passed);
    assert_eq!(whole[0]["value"], day[0]["compute_time_seconds"]);
    assert!(whole[1]["value"].as_i64().unwrap() > 0, "{whole}");
    let parts = owner.get(&v2("branches", metrics)).await.is(200);
    assert_eq!(parts["branches"].as_array().unwrap().len(), 1);
    assert_eq!(parts["branches"][0]["branch_id"], branch);
    assert_eq!(&parts["branches"][0]["periods"][0]["consumption"][0]["metrics"], whole);
    assert!(parts.get("pagination").is_none());
    let none = owner.get(&v2("branches", "&branch_ids=br-not-one-a1b2c3d4")).await.is(200);
    assert_eq!(none["branches"], json!([]));
    assert_eq!(other.get(&v2("branches", metrics)).await.status, 404);
    assert_eq!(other.get(&v2("projects", metrics)).await.status, 404);
    assert_eq!(owner.get(&v2("branches", "&metrics=cows")).await.status, 400);

    let account = "/api/v2/consumption_history/account?granularity=daily&from=2026-03-04T00:00:00Z&to=2026-03-05T00:00:00Z";
    let together = owner.get(account).await.is(200);
    assert_eq!(together["periods"][0]["consumption"][0]["active_time_seconds"], 3600);

    let shown = owner.get(&format!("/api/v2/projects/{project}")).await.is(200);
    assert_eq!(shown["project"]["active_time_seconds"], 3600);
    assert_eq!(shown["project"]["written_data_bytes"], written);
    assert_eq!(shown["project"]["data_transfer_bytes"], passed);
    let shown = owner.get(&format!("/api/v2/projects/{project}/branches/{branch}")).await.is(200);
    assert_eq!(shown["branch"]["written_data_bytes"], written);

    // What somebody reads goes through as well: 2 MB of it.
    let much = psql(uri, "SELECT repeat('x', 2000000)").await.unwrap();
    assert_eq!(much.len(), 2_000_000);
    owner.post(&suspend, json!({})).await.is(200);
    let shown = owner.get(&format!("/api/v2/projects/{project}/branches/{branch}")).await.is(200);
    let now = shown["branch"]["data_transfer_bytes"].as_i64().unwrap() - passed;
    assert!((2_000_000..2_100_000).contains(&now), "{shown}");

    let far = path("hourly", "").replace("2026-03-04T05:30", "2026-02-01T00:00");
    owner.get(&far).await.is(406);
    owner.get(&path("yearly", "")).await.is(400);
    owner.get(&path("hourly", "&metrics=everything")).await.is(400);
    other.get(&path("hourly", &format!("&project_ids={project}"))).await.is(404);
    assert_eq!(other.get(&path("hourly", "")).await.is(200)["projects"], json!([]));
    node.end().await;
}
