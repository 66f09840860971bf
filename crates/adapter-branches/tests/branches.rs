//! Branches on real Postgres processes: made from what is in use, gone back to, replaced, taken over, swept away.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![cfg(target_os = "linux")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use plinth_adapter_branches::{Authority, LocalBranches, NodeSettings};
use plinth_control_plane::{
    BranchId, BranchPlace, EndpointId, EndpointKind, EndpointPlace, Point, ProjectId, SqlName,
    Substrate as _, SubstrateError, Wanted, WantedDatabase, WantedRole,
};
use plinth_core::{OrgId, SystemClock};
use tokio_postgres::{Client, Config, NoTls};

/// A node with a project on it.
struct Node {
    branches: LocalBranches,
    folder: PathBuf,
    project: ProjectId,
    first_port: u16,
}

impl Node {
    fn new() -> Self {
        static NTH: AtomicU16 = AtomicU16::new(0);
        let nth = NTH.fetch_add(1, Ordering::Relaxed);
        let name = format!("plinth-branches-{}-{nth}", std::process::id());
        let first_port = 11_000 + u16::try_from(std::process::id() % 180).unwrap() * 50;
        let folder = std::env::temp_dir().join(name);
        let branches = open(&folder, first_port);
        Self { branches, folder, project: ProjectId::random().unwrap(), first_port }
    }

    fn place(&self) -> BranchPlace {
        BranchPlace {
            project: self.project.clone(),
            number: 7,
            branch: BranchId::random().unwrap(),
            settings: serde_json::Value::Null,
            libraries: Vec::new(),
            history_retention_seconds: 86_400,
            computes: None,
        }
    }

    fn endpoint(&self, branch: &BranchPlace, nth: u16) -> EndpointPlace {
        EndpointPlace {
            org: OrgId::from_uuid(uuid()),
            id: EndpointId::random().unwrap(),
            branch: branch.clone(),
            computes: plinth_control_plane::Computes::default(),
            kind: EndpointKind::ReadWrite,
            settings: serde_json::Value::Null,
            port: self.first_port + nth,
            pooled: false,
            suspend_after_seconds: None,
            disabled: false,
            allowed: None,
        }
    }

    fn home(&self, branch: &BranchPlace) -> PathBuf {
        self.folder.join("projects").join(self.project.as_str()).join(branch.branch.as_str())
    }

    /// A session as the superuser, past the endpoint.
    async fn admin(&self, branch: &BranchPlace) -> Client {
        let home = self.home(branch);
        let text = std::fs::read_to_string(home.join("cluster.json")).unwrap();
        let state: serde_json::Value = serde_json::from_str(&text).unwrap();
        let port = u16::try_from(state["port"].as_u64().unwrap()).unwrap();
        let password = std::fs::read_to_string(home.join("superuser.password")).unwrap();
        let mut config = Config::new();
        config
            .host("127.0.0.1")
            .port(port)
            .user("postgres")
            .password(password.trim())
            .dbname("postgres");
        let (client, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

fn uuid() -> uuid::Uuid {
    uuid::Uuid::from_u128(1)
}

fn open(folder: &std::path::Path, first_port: u16) -> LocalBranches {
    let settings = NodeSettings {
        folder: folder.to_owned(),
        postgres_bin: None,
        listen: "127.0.0.1".parse().unwrap(),
        host: "127.0.0.1".to_owned(),
        server_ports: first_port + 10..=first_port + 40,
        first_uid: 500_000_000,
    };
    let (certificate, key) = Authority::make().unwrap();
    let authority = Authority::open(certificate, &key).unwrap();
    LocalBranches::open(settings, authority, Arc::new(SystemClock)).unwrap()
}

async fn count(client: &Client) -> i64 {
    client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_branch_is_made_as_of_a_time_or_a_place_and_never_of_what_is_not_kept() {
    let node = Node::new();
    let main = node.place();
    node.branches.make_root(&main).await.unwrap();
    let endpoint = node.endpoint(&main, 0);
    node.branches.start(&endpoint).await.unwrap();
    let client = node.admin(&main).await;
    client.batch_execute("CREATE TABLE t AS SELECT generate_series(1, 100)").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let row = client
        .query_one("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), pg_current_wal_lsn()::text", &[])
        .await
        .unwrap();
    let (time, lsn): (String, String) = (row.get(0), row.get(1));
    tokio::time::sleep(Duration::from_millis(50)).await;
    client.batch_execute("DELETE FROM t").await.unwrap();

    let time = Point::Time(time.parse().unwrap());
    for (nth, point) in [(1, time), (2, Point::Lsn(lsn.parse().unwrap()))] {
        let past = node.place();
        node.branches.copy(&main, point, &past).await.unwrap();
        let again = node.branches.copy(&main, point, &past).await;
        assert!(again.is_ok(), "a step that was done is done again");
        let door = node.endpoint(&past, nth);
        node.branches.start(&door).await.unwrap();
        assert_eq!(count(&node.admin(&past).await).await, 100, "{point:?}");
        assert!(!node.home(&past).join("superuser.inherited").exists());
    }
    assert_eq!(count(&client).await, 0, "the source goes on");
    for never in [
        Point::Time("2020-01-01T00:00:00Z".parse().unwrap()),
        Point::Lsn("FFFF/0".parse().unwrap()),
    ] {
        let place = node.place();
        let refused = node.branches.copy(&main, never, &place).await.unwrap_err();
        assert!(matches!(refused, SubstrateError::Refused(_)), "{refused}");
        assert!(!node.home(&place).join("data").exists(), "nothing is left");
    }

    // Set back to what it was, with what it had become kept beside.
    let kept = node.place();
    node.branches.replace(&main, &main, time, Some(&kept)).await.unwrap();
    node.branches.start(&endpoint).await.unwrap();
    assert_eq!(count(&node.admin(&main).await).await, 100);
    let door = node.endpoint(&kept, 3);
    node.branches.start(&door).await.unwrap();
    assert_eq!(count(&node.admin(&kept).await).await, 0);
    node.branches.stop().await;
    std::fs::remove_dir_all(&node.folder).unwrap();
}

#[tokio::test]
async fn what_belongs_to_nobody_is_swept_away_and_what_runs_is_taken_over() {
    let node = Node::new();
    let (main, stray) = (node.place(), node.place());
    node.branches.make_root(&main).await.unwrap();
    node.branches.make_root(&stray).await.unwrap();
    node.branches.start(&node.endpoint(&main, 5)).await.unwrap();
    let role = SqlName::role("app").unwrap();
    let wanted = Wanted {
        roles: vec![WantedRole { name: role.clone(), password: Some("secret".to_owned().into()) }],
        databases: vec![WantedDatabase { name: SqlName::database("a \"b").unwrap(), owner: role }],
        ..Wanted::default()
    };
    node.branches.configure(&main, &wanted).await.unwrap();
    node.branches.configure(&main, &wanted).await.unwrap();
    let query =
        "SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_database WHERE NOT datistemplate";
    let row = node.admin(&main).await.query_one(query, &[]).await.unwrap();
    assert_eq!(row.get::<_, String>(0), "a \"b,postgres");

    // A half-made branch, as a kill leaves it.
    std::fs::create_dir_all(node.home(&node.place()).join("draft-0123/base")).unwrap();
    let keep = [(node.project.clone(), main.branch.clone())];
    node.branches.sweep(&keep).await.unwrap();
    let left = std::fs::read_dir(node.folder.join("projects").join(node.project.as_str())).unwrap();
    assert_eq!(left.count(), 1, "only what is known is left");
    assert!(node.home(&main).exists() && !node.home(&stray).exists());
    node.branches.remove(&main).await.unwrap();
    node.branches.remove(&main).await.unwrap();
    assert!(!node.folder.join("projects").join(node.project.as_str()).exists());
    node.branches.stop().await;
    std::fs::remove_dir_all(&node.folder).unwrap();
}
