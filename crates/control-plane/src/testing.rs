//! The contract of the store port. What it needs is made through the port itself.
#![expect(clippy::missing_panics_doc, reason = "a panic is how a contract is broken")]

use jiff::{SignedDuration, Timestamp};
use plinth_core::{OrgId, UserId};
use plinth_tenancy::AuditEntry;
use serde_json::json;
use uuid::Uuid;

use crate::{
    Answer, Branch, BranchId, BranchState, Census, Change, ChangeError, Computes,
    ControlPlaneStore, Endpoint, EndpointId, EndpointKind, EndpointState, Granularity, Inquiry,
    NodeInfo, NodeOffers, OfferedLibrary, Operation, OperationId, OperationStatus, Point, Project,
    ProjectFilter, ProjectId, Snapshot, SqlName, Step, Transfer, TransferRequest, Used,
};

fn at() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().expect("a moment")
}

/// A project with a branch, an endpoint and a chain that makes both.
pub fn new_project(org: OrgId, user: UserId, port: u16) -> Change {
    let id = ProjectId::random().expect("random bytes");
    let project = Project {
        id: id.clone(),
        org,
        node: "here".to_owned(),
        name: "Shop".to_owned(),
        pg_version: 15,
        history_retention_seconds: 86_400,
        store_passwords: true,
        default_endpoint_settings: json!({}),
        settings: json!({}),
        own_team: None,
        key_sets: Vec::new(),
        number: 0,
        revision: 1,
        created_by: user,
        created_at: at(),
        updated_at: at(),
        deleted_at: None,
        recoverable: true,
    };
    let branch = branch(&id, user, "main", true);
    let endpoint = Endpoint {
        id: EndpointId::random().expect("random bytes"),
        project: id.clone(),
        branch: branch.id.clone(),
        kind: EndpointKind::ReadWrite,
        name: None,
        port,
        pooled: false,
        settings: json!({}),
        computes: Computes::default(),
        suspend_timeout_seconds: 0,
        disabled: false,
        state: EndpointState::Init,
        pending: Some(EndpointState::Active),
        last_active: None,
        started_at: None,
        suspended_at: None,
        created_at: at(),
        updated_at: at(),
        deleted_at: None,
    };
    let steps = [
        Step::MakeRoot { branch: branch.id.clone() },
        Step::Start { endpoint: endpoint.id.clone() },
    ];
    Change {
        put_project: Some(project),
        chain: steps.map(|step| operation(org, &id, step)).into(),
        branches: vec![branch],
        endpoints: vec![endpoint],
        ..Change::new(org, id)
    }
}

fn branch(project: &ProjectId, user: UserId, name: &str, is_default: bool) -> Branch {
    let id = BranchId::random().expect("random bytes");
    Branch { is_default, ..Branch::new(id, project.clone(), name.to_owned(), user, at()) }
}

fn operation(org: OrgId, project: &ProjectId, step: Step) -> Operation {
    Operation {
        id: OperationId::new(at()),
        org,
        project: project.clone(),
        branch: None,
        endpoint: None,
        action: step.action(),
        step,
        status: OperationStatus::Scheduling,
        error: None,
        failures: 0,
        created_at: at(),
        updated_at: at(),
        duration_ms: 0,
    }
}

/// What every [`ControlPlaneStore`] does.
pub async fn control_plane_store_contract(
    store: &dyn ControlPlaneStore,
    us: (OrgId, UserId),
    them: (OrgId, UserId),
) {
    let node = NodeInfo {
        name: "here".to_owned(),
        host: "db.example.com".to_owned(),
        first_port: 24_000,
        last_port: 24_010,
        pg_version: 15,
        offers: NodeOffers {
            libraries: vec![OfferedLibrary {
                name: "pg_prewarm".to_owned(),
                version: "1.2".to_owned(),
            }],
            pooler: true,
            limits: true,
        },
    };
    store.beat(&node).await.expect("written");
    assert_eq!(store.nodes(SignedDuration::from_secs(60)).await.expect("read"), [node]);

    let made = new_project(us.0, us.1, 24_000);
    store.commit(&made).await.expect("written");
    let id = made.project.clone();
    let tree = store.load(us.0, &id).await.expect("read").expect("there");
    assert_eq!((tree.branches, tree.endpoints), (made.branches.clone(), made.endpoints.clone()));
    assert_eq!((tree.host.as_str(), tree.project.revision), ("db.example.com", 1));
    assert_eq!(store.ports("here").await.expect("read"), [24_000]);
    assert_eq!(store.projects_of("here").await.expect("read"), [(us.0, id.clone())]);

    let many = store.census().await.expect("read");
    let of = |what: &str, kind: &str, state: &str| {
        let is_it = |it: &&Census| (&*it.what, &*it.kind, &*it.state) == (what, kind, state);
        many.iter().find(is_it).map(|it| it.many)
    };
    assert_eq!(of("branches", "", "init"), Some(1));
    assert_eq!(of("endpoints", "read_write", "init"), Some(1));

    // Another organization sees nothing of it, but cannot have its port either.
    assert!(store.load(them.0, &id).await.expect("read").is_none());
    assert!(store.operations(them.0, &id, None, 10).await.expect("read").is_empty());
    assert!(store.projects(them.0, &filter()).await.expect("read").is_empty());
    let taken = store.commit(&new_project(them.0, them.1, 24_000)).await;
    assert!(matches!(taken, Err(ChangeError::PortTaken)), "{taken:?}");

    // One chain at a time, and nothing over what somebody else wrote.
    let next = Change {
        chain: vec![operation(us.0, &id, Step::configure(&made.branches[0].id))],
        revision: Some(1),
        ..Change::new(us.0, id.clone())
    };
    assert!(matches!(store.commit(&next).await, Err(ChangeError::Busy)));
    let stale = Change { revision: Some(9), ..Change::new(us.0, id.clone()) };
    assert!(matches!(store.commit(&stale).await, Err(ChangeError::Changed)));

    // A process takes a chain once; another of the same node takes over what it held.
    let lease = SignedDuration::from_secs(60);
    let (one, two) = (Uuid::new_v4(), Uuid::new_v4());
    assert!(store.take("elsewhere", one, lease).await.expect("asked").is_none());
    let taken = store.take("here", one, lease).await.expect("asked").expect("there is work");
    assert_eq!((taken.org, &taken.project), (us.0, &id));
    assert_eq!(taken.chain.operations, made.chain);
    assert!(store.take("here", one, lease).await.expect("asked").is_none());
    assert!(store.take("here", two, lease).await.expect("asked").is_some());
    assert!(!store.extend(us.0, taken.id, one, lease).await.expect("asked"));
    assert!(store.extend(us.0, taken.id, two, lease).await.expect("asked"));

    // Its end lets the next one in.
    let done = Change {
        operations: made
            .chain
            .iter()
            .map(|it| Operation { status: OperationStatus::Finished, ..it.clone() })
            .collect(),
        finished: Some(taken.id),
        revision: Some(1),
        ..Change::new(us.0, id.clone())
    };
    store.commit(&done).await.expect("written");
    let found = store.operation(us.0, &id, made.chain[0].id).await.expect("read").expect("there");
    assert_eq!(found.status, OperationStatus::Finished);
    assert_eq!(store.operations(us.0, &id, None, 10).await.expect("read").len(), 2);

    // What is asked of a node is taken once, and its answer fetched once, by who asked.
    let main = &made.branches[0].id;
    let database = SqlName::database("shop").expect("a name");
    let inquiry = Inquiry::Schema { database, point: Point::Head };
    let asked = store.ask(us.0, &id, main, &inquiry).await.expect("written");
    assert!(store.take_inquiry("elsewhere", one, lease).await.expect("asked").is_none());
    let taken = store.take_inquiry("here", one, lease).await.expect("asked").expect("one waits");
    assert_eq!((taken.id, taken.org, &taken.inquiry), (asked, us.0, &inquiry));
    assert_eq!((&taken.project, &taken.branch), (&id, main));
    assert!(store.take_inquiry("here", one, lease).await.expect("asked").is_none());
    assert!(store.take_inquiry("here", two, lease).await.expect("asked").is_some());
    assert!(store.fetch_answer(us.0, asked).await.expect("read").is_none());
    let answer = Answer::Found("CREATE TABLE t ();".to_owned());
    store.answer(us.0, asked, &answer).await.expect("written");
    assert!(store.fetch_answer(them.0, asked).await.expect("read").is_none());
    assert_eq!(store.fetch_answer(us.0, asked).await.expect("read"), Some(answer));
    assert!(store.fetch_answer(us.0, asked).await.expect("read").is_none());

    // A snapshot is none of the branches, and its files are kept as long as it is there.
    let snapshot = BranchId::random_snapshot().expect("random bytes");
    let files = Branch {
        expires_at: Some(at()),
        state: BranchState::Ready,
        parent: Some(main.clone()),
        ..Branch::new(snapshot.clone(), id.clone(), snapshot.to_string(), us.1, at())
    };
    let snapshot = Snapshot { files, name: "Before".to_owned(), manual: true };
    let taken = Change {
        snapshots: vec![snapshot.clone()],
        revision: Some(2),
        ..Change::new(us.0, id.clone())
    };
    let hour = SignedDuration::from_hours(1);
    assert!(store.due("here", at() + hour).await.expect("read").is_empty());
    store.commit(&taken).await.expect("written");
    let tree = store.load(us.0, &id).await.expect("read").expect("there");
    assert_eq!((tree.branches.len(), &tree.snapshots), (1, &vec![snapshot.clone()]));
    assert_eq!(store.kept("here", at()).await.expect("read").len(), 2);
    assert_eq!(store.due("here", at() + hour).await.expect("read"), [(us.0, id.clone())]);
    assert!(store.due("here", at() - hour).await.expect("read").is_empty());
    assert!(store.due("elsewhere", at() + hour).await.expect("read").is_empty());
    let mut gone = snapshot;
    (gone.files.deleted_at, gone.files.recoverable) = (Some(at()), false);
    let gone = Change { snapshots: vec![gone], revision: Some(3), ..Change::new(us.0, id.clone()) };
    store.commit(&gone).await.expect("written");
    assert!(store.due("here", at() + hour).await.expect("read").is_empty());

    // What a branch uses adds up by the hour, and is nobody else's to see.
    let used = |active_ms, storage_bytes| Used {
        active_ms,
        cpu_ms: 7,
        written_bytes: 100,
        transfer_bytes: 30,
        logical_bytes: 10,
        storage_bytes,
    };
    let minutes = |it| at() + SignedDuration::from_mins(it);
    for (minute, used) in [(1, used(1000, 50)), (59, used(500, 40)), (61, used(1, 70))] {
        store.add_usage(us.0, &id, main, minutes(minute), &used).await.expect("written");
        store.add_usage(them.0, &id, main, minutes(minute), &used).await.expect("nothing");
    }
    let ask =
        async |org, unit, to| store.usage(org, None, unit, at(), minutes(to)).await.expect("read");
    let hours = ask(us.0, Granularity::Hourly, 120).await;
    assert_eq!(hours.len(), 2);
    assert_eq!((hours[0].begin, hours[1].begin), (at(), minutes(60)));
    let (first, second) = (hours[0].used, hours[1].used);
    assert_eq!((first.active_ms, first.cpu_ms, first.storage_bytes), (1500, 14, 50));
    assert_eq!((first.transfer_bytes, second.transfer_bytes), (60, 30));
    assert_eq!((second.active_ms, second.storage_bytes), (1, 70));
    let days = ask(us.0, Granularity::Daily, 120).await;
    assert_eq!((days.len(), days[0].used.active_ms, days[0].storage_bytes_hours), (1, 1501, 120));
    assert_eq!(ask(us.0, Granularity::Hourly, 60).await.len(), 1, "the end is not in it");
    assert!(ask(them.0, Granularity::Hourly, 120).await.is_empty());
    let projects = std::slice::from_ref(&id);
    let by_branch = async |org| {
        let found = store.usage_by_branch(org, projects, Granularity::Daily, at(), minutes(600));
        found.await.expect("read")
    };
    let found = by_branch(us.0).await;
    assert!(!found.is_empty() && found.iter().all(|it| it.branch == *main && it.is_root));
    assert!(by_branch(them.0).await.is_empty());
    let of_branch = store.branch_usage(us.0, &id, minutes(60)).await.expect("read");
    assert_eq!(of_branch, [(main.clone(), second)]);
    assert!(store.branch_usage(them.0, &id, at()).await.expect("read").is_empty());

    // A project that is offered is found by who is told, and goes with all that it has.
    let offer = TransferRequest {
        id: Uuid::new_v4(),
        org: us.0,
        project: id.clone(),
        created_by: us.1,
        created_at: at(),
        expires_at: minutes(1),
    };
    let offered = AuditEntry::of_plinth(us.0, at(), "test", "project.offered");
    store.put_transfer_request(&offer, &offered).await.expect("written");
    let find = async |id, project, at| store.find_transfer(id, project, at).await.expect("read");
    assert_eq!(find(offer.id, &id, at()).await, Some(us.0));
    assert_eq!(find(offer.id, &id, minutes(1)).await, None, "it stands no longer");
    assert_eq!(find(Uuid::new_v4(), &id, at()).await, None);
    let other = ProjectId::random().expect("random bytes");
    assert_eq!(find(offer.id, &other, at()).await, None);
    let transfer = |from: OrgId, to: OrgId, revision, request| Transfer {
        from,
        revision,
        request,
        at: at(),
        passwords: Vec::new(),
        change: Change { revision: Some(revision + 1), ..Change::new(to, id.clone()) },
        entry: AuditEntry::of_plinth(from, at(), "test", "project.transferred"),
    };
    let stale = store.transfer(&transfer(us.0, them.0, 1, Some(offer.id))).await;
    assert!(matches!(stale, Err(ChangeError::Changed)), "{stale:?}");
    let stranger = store.transfer(&transfer(us.0, them.0, 4, Some(Uuid::new_v4()))).await;
    assert!(matches!(stranger, Err(ChangeError::Changed)), "{stranger:?}");
    store.transfer(&transfer(us.0, them.0, 4, Some(offer.id))).await.expect("written");
    assert!(store.load(us.0, &id).await.expect("read").is_none());
    let tree = store.load(them.0, &id).await.expect("read").expect("there");
    assert_eq!((tree.project.org, tree.branches.len(), tree.endpoints.len()), (them.0, 1, 1));
    assert_eq!(store.operations(them.0, &id, None, 10).await.expect("read").len(), 2);
    assert_eq!(ask(them.0, Granularity::Hourly, 120).await.len(), 2);
    assert_eq!(find(offer.id, &id, at()).await, None, "once");
    store.transfer(&transfer(them.0, us.0, 6, None)).await.expect("and back");

    // Names are the project's, as long as what has them is there.
    let second = Change {
        branches: vec![branch(&id, us.1, "main", false)],
        revision: Some(8),
        ..Change::new(us.0, id.clone())
    };
    assert!(matches!(store.commit(&second).await, Err(ChangeError::Exists("branch"))));
    let kept = store.kept("here", at()).await.expect("read");
    assert_eq!(kept, [(id.clone(), made.branches[0].id.clone())]);
    let deleted = Branch { deleted_at: Some(at()), ..made.branches[0].clone() };
    let deleted =
        Change { branches: vec![deleted], revision: Some(8), ..Change::new(us.0, id.clone()) };
    store.commit(&deleted).await.expect("written");
    assert_eq!(store.kept("here", at() - hour).await.expect("read").len(), 1, "for a while");
    assert!(store.kept("here", at() + hour).await.expect("read").is_empty());
    let branch = &made.branches[0].id;
    let found = store.deleted_branch(us.0, &id, branch, at() - hour).await.expect("read");
    assert!(found.is_some());
    assert!(store.deleted_branch(them.0, &id, branch, at() - hour).await.expect("read").is_none());
}

fn filter() -> ProjectFilter {
    ProjectFilter { limit: 10, ..ProjectFilter::default() }
}
