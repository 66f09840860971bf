//! Nodes and Postgres processes killed in the middle of what they do: fifty times, ten for each kind of work, at moments
//! spread over the time that it takes. Each time everything is finished afterwards or as it was before, and nothing is left
//! that belongs to nobody: no folder, no process, no open port, no role.
//!
//! Each kind has a server of its own, whose node is killed and comes back; a server's own start costs more than all that.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::scene::{POINTS, Scene, psql, text};

#[actix_web::test]
async fn a_project_is_made_whole_or_not_at_all() {
    let Some(mut scene) =
        Scene::new("kills::a_project_is_made_whole_or_not_at_all", &["psql"], 0).await
    else {
        return;
    };
    let body = json!({ "project": { "name": "spare" } });
    let begun = Instant::now();
    let made = scene.calls(("POST", "/api/v2/projects", body.clone())).await;
    let mut usual = begun.elapsed();
    remove_project(&scene, &text(&made["project"]["id"])).await;
    for point in 0..POINTS {
        let call = ("POST", "/api/v2/projects", body.clone());
        let answer = scene.cut_off(call, &mut usual, point).await;
        let left = spares(&scene).await;
        assert!(left.len() <= 1, "{left:?}");
        for project in &left {
            scene.settles(project).await;
        }
        // What could not be made is gone by now.
        let left = spares(&scene).await;
        assert!(answer.status != 201 || left.len() == 1, "what was promised is there");
        let mut all = vec![scene.project.as_str()];
        all.extend(left.iter().map(String::as_str));
        scene.has_no_orphans(&all).await;
        for project in &left {
            let branches = scene.owner.get(&format!("/api/v2/projects/{project}/branches")).await;
            let branch = text(&branches.body["branches"][0]["id"]);
            let uri = scene.uri_of(project, &branch).await;
            assert_eq!(psql(&uri, "SELECT 1").as_deref(), Ok("1"), "{project}");
            remove_project(&scene, project).await;
        }
        scene.is_whole(&scene.main, &scene.uri, "100").await;
    }
    was_tried(scene).await;
}

async fn spares(scene: &Scene) -> Vec<String> {
    let all = scene.owner.get("/api/v2/projects?search=spare").await.body;
    all["projects"].as_array().unwrap().iter().map(|it| text(&it["id"])).collect()
}

/// Deletes a project. Its files stay for a week, which is no concern here.
async fn remove_project(scene: &Scene, project: &str) {
    scene.calls(("DELETE", &format!("/api/v2/projects/{project}"), json!({}))).await;
    scene.settles(project).await;
    fs::remove_dir_all(scene.projects().join(project)).unwrap();
}

#[actix_web::test]
async fn a_branch_is_made_whole_or_not_at_all() {
    let Some(mut scene) =
        Scene::new("kills::a_branch_is_made_whole_or_not_at_all", &["psql"], 1).await
    else {
        return;
    };
    let path = scene.path("/branches");
    let body =
        |name: &str| json!({ "branch": { "name": name }, "endpoints": [{ "type": "read_write" }] });
    let begun = Instant::now();
    let made = scene.calls(("POST", &path, body("undisturbed"))).await;
    let mut usual = begun.elapsed();
    scene.remove_branch(&text(&made["branch"]["id"])).await;
    for point in 0..POINTS {
        let name = format!("cut-{point}");
        let answer = scene.cut_off(("POST", &path, body(&name)), &mut usual, point).await;
        let project = scene.project.clone();
        scene.has_no_orphans(&[&project]).await;
        let branch = scene.branches().await.into_iter().find(|it| it["name"] == name.as_str());
        assert!(answer.status != 201 || branch.is_some(), "what was promised is there");
        if let Some(branch) = branch {
            let id = text(&branch["id"]);
            let uri = scene.uri_of(&project, &id).await;
            scene.is_whole(&id, &uri, "100").await;
            scene.remove_branch(&id).await;
        }
        scene.is_whole(&scene.main, &scene.uri, "100").await;
    }
    was_tried(scene).await;
}

#[actix_web::test]
async fn a_branch_is_restored_whole_or_as_it_was() {
    let Some(mut scene) =
        Scene::new("kills::a_branch_is_restored_whole_or_as_it_was", &["psql"], 2).await
    else {
        return;
    };
    let path = scene.path(&format!("/branches/{}/restore", scene.main));
    let mut usual = Duration::ZERO;
    for point in 0..=POINTS {
        // Since it was set back its log is another one: a new place in it.
        let lsn = psql(&scene.uri, "SELECT pg_current_wal_lsn()").unwrap();
        psql(&scene.uri, "DELETE FROM t WHERE n > 50").unwrap();
        let name = format!("kept-{point}");
        let body = json!({
            "source_branch_id": scene.main, "source_lsn": lsn, "preserve_under_name": name,
        });
        let call = ("POST", path.as_str(), body);
        let is_promised = if point == 0 {
            let begun = Instant::now();
            scene.calls(call).await;
            usual = begun.elapsed();
            scene.settles(&scene.project).await;
            true
        } else {
            scene.cut_off(call, &mut usual, point - 1).await.status == 200
        };
        scene.has_no_orphans(&[&scene.project]).await;
        let kept = scene.branches().await.into_iter().find(|it| it["name"] == name.as_str());
        assert!(!is_promised || kept.is_some(), "what was promised is done");
        let rows = if kept.is_some() { "100" } else { "50" };
        scene.is_whole(&scene.main, &scene.uri, rows).await;
        match kept {
            Some(kept) => scene.remove_branch(&text(&kept["id"])).await,
            None => {
                psql(&scene.uri, "INSERT INTO t SELECT generate_series(51, 100)").unwrap();
            }
        }
    }
    was_tried(scene).await;
}

#[actix_web::test]
async fn a_branch_is_deleted_with_all_that_it_has() {
    let Some(mut scene) =
        Scene::new("kills::a_branch_is_deleted_with_all_that_it_has", &["psql"], 3).await
    else {
        return;
    };
    let path = scene.path("/branches");
    let mut usual = Duration::ZERO;
    for point in 0..=POINTS {
        let body = json!({
            "branch": { "name": format!("b-{point}") }, "endpoints": [{ "type": "read_write" }],
        });
        let made = scene.calls(("POST", &path, body)).await;
        let id = text(&made["branch"]["id"]);
        let uri = text(&made["connection_uris"][0]["connection_uri"]);
        scene.settles(&scene.project).await;
        scene.is_whole(&id, &uri, "100").await;
        let delete = format!("{path}/{id}?hard_delete=true");
        if point == 0 {
            let begun = Instant::now();
            scene.calls(("DELETE", &delete, json!({}))).await;
            usual = begun.elapsed();
        } else {
            scene.cut_off(("DELETE", &delete, json!({})), &mut usual, point - 1).await;
        }
        let gone = scene.owner.get(&format!("{path}/{id}")).await;
        assert_eq!(gone.status, 404, "{}", gone.text);
        scene.has_no_orphans(&[&scene.project]).await;
        assert!(psql(&uri, "SELECT 1").is_err(), "its port is closed");
        scene.is_whole(&scene.main, &scene.uri, "100").await;
    }
    was_tried(scene).await;
}

#[actix_web::test]
async fn a_snapshot_and_a_reader_are_made_whole_or_not_at_all() {
    let Some(mut scene) =
        Scene::new("kills::a_snapshot_and_a_reader_are_made_whole_or_not_at_all", &["psql"], 4)
            .await
    else {
        return;
    };
    let (snapshots, endpoints) = (scene.path("/snapshots"), scene.path("/endpoints"));
    let take = |name: &str| scene_path(&scene, &format!("/snapshot?name={name}"));
    let (first, cut) = (take("undisturbed"), take("cut"));
    let reader = json!({ "endpoint": { "branch_id": scene.main, "type": "read_only" } });
    let begun = Instant::now();
    let made = scene.calls(("POST", &first, json!({}))).await;
    let mut usual_snapshot = begun.elapsed();
    remove(&scene, &snapshots, &made["snapshot"]).await;
    let begun = Instant::now();
    let made = scene.calls(("POST", &endpoints, reader.clone())).await;
    let mut usual_reader = begun.elapsed();
    remove(&scene, &endpoints, &made["endpoint"]).await;
    for point in 0..POINTS {
        // Each at moments that are spread over its time, and by each kind of crash.
        let is_snapshot = point / 3 % 2 == 0;
        let answer = if is_snapshot {
            scene.cut_off(("POST", &cut, json!({})), &mut usual_snapshot, point).await
        } else {
            scene.cut_off(("POST", &endpoints, reader.clone()), &mut usual_reader, point).await
        };
        scene.has_no_orphans(&[&scene.project]).await;
        let (path, name) =
            if is_snapshot { (&snapshots, "snapshots") } else { (&endpoints, "endpoints") };
        let listed = scene.owner.get(path).await.body;
        let mut made = listed[name].as_array().unwrap().iter();
        let made = made.rfind(|it| is_snapshot || it["type"] == "read_only").cloned();
        assert!(answer.status >= 300 || made.is_some(), "what was promised is there");
        if let Some(made) = made {
            if !is_snapshot {
                let query = format!(
                    "/connection_uri?database_name=neondb&role_name=neondb_owner&endpoint_id={}",
                    text(&made["id"])
                );
                let uri = scene.calls(("GET", &scene.path(&query), json!({}))).await;
                let counted = psql(&text(&uri["uri"]), "SELECT count(*) FROM t");
                assert_eq!(counted.as_deref(), Ok("100"), "it reads");
            }
            remove(&scene, path, &made).await;
        }
        scene.is_whole(&scene.main, &scene.uri, "100").await;
    }
    was_tried(scene).await;
}

fn scene_path(scene: &Scene, rest: &str) -> String {
    scene.path(&format!("/branches/{}{rest}", scene.main))
}

/// Removes something by its id.
async fn remove(scene: &Scene, path: &str, it: &serde_json::Value) {
    scene.calls(("DELETE", &format!("{path}/{}", text(&it["id"])), json!({}))).await;
    scene.settles(&scene.project).await;
}

/// Ends a scene. Most of the points must have cut off something, or nothing was tried.
async fn was_tried(scene: Scene) {
    assert!(scene.cut() > POINTS / 2, "only {} of {POINTS} were cut off", scene.cut());
    scene.end().await;
}
