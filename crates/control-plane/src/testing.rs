//! The contract of the store port. What it needs is made through the port itself.
#![expect(clippy::missing_panics_doc, reason = "a panic is how a contract is broken")]

use jiff::{SignedDuration, Timestamp};
use plinth_core::{OrgId, UserId};
use serde_json::json;
use uuid::Uuid;

use crate::{
    Branch, BranchId, BranchState, Change, ChangeError, Computes, ControlPlaneStore, Endpoint,
    EndpointId, EndpointKind, EndpointState, NodeInfo, Operation, OperationId, OperationStatus,
    Project, ProjectFilter, ProjectId, Step,
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
    Branch {
        id: BranchId::random().expect("random bytes"),
        project: project.clone(),
        parent: None,
        parent_lsn: None,
        parent_timestamp: None,
        name: name.to_owned(),
        is_default,
        protected: false,
        state: BranchState::Init,
        pending: Some(BranchState::Ready),
        state_changed_at: at(),
        storage: None,
        logical_size: None,
        created_by: user,
        created_at: at(),
        updated_at: at(),
        expires_at: None,
        last_reset_at: None,
        deleted_at: None,
        recoverable: true,
    }
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

    // Names are the project's, as long as what has them is there.
    let second = Change {
        branches: vec![branch(&id, us.1, "main", false)],
        revision: Some(2),
        ..Change::new(us.0, id.clone())
    };
    assert!(matches!(store.commit(&second).await, Err(ChangeError::Exists("branch"))));
    let kept = store.kept("here", at()).await.expect("read");
    assert_eq!(kept, [(id.clone(), made.branches[0].id.clone())]);
    let deleted = Branch { deleted_at: Some(at()), ..made.branches[0].clone() };
    let deleted =
        Change { branches: vec![deleted], revision: Some(2), ..Change::new(us.0, id.clone()) };
    store.commit(&deleted).await.expect("written");
    let hour = SignedDuration::from_hours(1);
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
