use plinth_core::{AllProjects, Permit, ProjectsRead, ProjectsWrite};
use secrecy::SecretString;
use serde_json::{Value, json};
use uuid::Uuid;

use super::endpoints::check_defaults;
use super::permissions::only;
use super::{ControlPlane, FreePort, Outcome, entry, name, refused};
use crate::allowed::check_settings;
use crate::preload;
use crate::{
    Branch, BranchId, BranchState, Change, ChangeError, Computes, ControlPlaneError, Database,
    Endpoint, EndpointId, EndpointKind, EndpointState, Project, ProjectFilter, ProjectId, Role,
    SqlName, Step, Tree, role_password,
};

/// A day, as the API's own default.
const HISTORY_SECONDS: i32 = 86_400;
/// Thirty days.
const LONGEST_HISTORY_SECONDS: i32 = 2_592_000;

/// A project to be made.
#[derive(Clone, Debug, Default)]
pub struct NewProject {
    /// Its name; by default its id.
    pub name: Option<String>,
    /// Its default branch's name; by default `main`.
    pub branch: Option<String>,
    /// Its first role's name; by default the database's with `_owner`.
    pub role: Option<String>,
    /// Its first database's name; by default `neondb`, as clients of the API expect.
    pub database: Option<String>,
    /// The major version of Postgres; by default the node's.
    pub pg_version: Option<i32>,
    /// See [`Project::history_retention_seconds`].
    pub history_retention_seconds: Option<i32>,
    /// See [`Project::store_passwords`].
    pub store_passwords: Option<bool>,
    /// See [`Project::default_endpoint_settings`].
    pub default_endpoint_settings: Option<Value>,
    /// See [`Project::settings`].
    pub settings: Option<Value>,
    /// See [`Endpoint::computes`].
    pub computes: Option<Computes>,
    /// Whether it is for the organization's own database, of which there is one.
    pub own: bool,
}

/// What is to be changed about a project.
#[derive(Clone, Debug, Default)]
pub struct ProjectPatch {
    /// Another name.
    pub name: Option<String>,
    /// Another time to go back.
    pub history_retention_seconds: Option<i32>,
    /// Other settings for new endpoints.
    pub default_endpoint_settings: Option<Value>,
    /// Other settings.
    pub settings: Option<Value>,
}

/// A project that was made.
pub struct ProjectCreated {
    /// The project, and what is done about it.
    pub outcome: Outcome,
    /// Its first role's password.
    pub password: SecretString,
}

impl ControlPlane {
    /// The organization's projects, newest first: those that can be recovered instead, if `deleted`.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn list(
        &self,
        permit: &Permit<ProjectsRead>,
        mut filter: ProjectFilter,
        deleted: bool,
    ) -> Result<Vec<Project>, ControlPlaneError> {
        filter.deleted_since = deleted.then(|| self.clock.now() - crate::RECOVERABLE);
        only(permit, &mut filter)?;
        Ok(self.store.projects(permit.org(), &filter).await?)
    }

    /// Makes a project with a default branch, a role, a database, and an endpoint to all of it.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::Invalid`] for names and numbers that break a rule; [`ControlPlaneError::NoNode`] if no node lives.
    pub async fn create(
        &self,
        permit: &Permit<AllProjects>,
        new: NewProject,
    ) -> Result<ProjectCreated, ControlPlaneError> {
        let node = self.any_node().await?;
        if let Some(version) = new.pg_version.filter(|it| *it != node.pg_version) {
            let reason =
                format!("version {version} is not here; this installation has {}", node.pg_version);
            return Err(ControlPlaneError::invalid("pg_version", reason));
        }
        check_defaults(new.default_endpoint_settings.as_ref().unwrap_or(&Value::Null))?;
        check_settings(new.settings.as_ref().unwrap_or(&Value::Null))?;
        preload::check(new.settings.as_ref().unwrap_or(&Value::Null), &node.offers.libraries)?;
        let history = history(new.history_retention_seconds.unwrap_or(HISTORY_SECONDS))?;
        let database = SqlName::database(new.database.as_deref().unwrap_or("neondb"))?;
        let owner = match &new.role {
            Some(role) => SqlName::role(role)?,
            None => SqlName::role(&format!("{database}_owner"))?,
        };
        let (now, org, id) = (self.clock.now(), permit.org(), ProjectId::random()?);
        let project = Project {
            id: id.clone(),
            org,
            node: node.name.clone(),
            name: new.name.as_deref().map_or_else(|| Ok(id.to_string()), |it| name("name", it))?,
            pg_version: node.pg_version,
            history_retention_seconds: history,
            store_passwords: new.store_passwords.unwrap_or(true),
            default_endpoint_settings: new.default_endpoint_settings.unwrap_or_else(|| json!({})),
            settings: new.settings.unwrap_or_else(|| json!({})),
            own_team: new.own.then(String::new),
            key_sets: Vec::new(),
            number: 0,
            revision: 1,
            created_by: permit.user(),
            created_at: now,
            updated_at: now,
            deleted_at: None,
            recoverable: true,
        };
        let branch = Branch {
            is_default: true,
            ..Branch::new(
                BranchId::random()?,
                id.clone(),
                name("branch.name", new.branch.as_deref().unwrap_or("main"))?,
                permit.user(),
                now,
            )
        };
        let password = role_password()?;
        let role_id = Uuid::new_v4();
        let role = Role {
            id: role_id,
            branch: branch.id.clone(),
            name: owner.clone(),
            password: Some(self.seal(org, role_id, &password).await?),
            created_at: now,
            updated_at: now,
        };
        let database = Database {
            id: 0,
            branch: branch.id.clone(),
            name: database,
            owner,
            created_at: now,
            updated_at: now,
        };
        let mut tree = Tree {
            project,
            host: node.host.clone(),
            holds_limits: node.offers.limits,
            branches: vec![branch.clone()],
            snapshots: Vec::new(),
            endpoints: Vec::new(),
            roles: Vec::new(),
            databases: Vec::new(),
        };
        let mut attempt = 1;
        let operations = loop {
            let port = self.free_port(&node, []).await?;
            let endpoint = new_endpoint(&tree, &branch.id, port, new.computes, now)?;
            tree.endpoints = vec![endpoint.clone()];
            let (branch_id, endpoint_id) = (branch.id.clone(), endpoint.id.clone());
            let steps = vec![
                Step::MakeRoot { branch: branch_id.clone() },
                Step::Start { endpoint: endpoint_id },
                Step::configure(&branch_id),
            ];
            let change = Change {
                put_project: Some(tree.project.clone()),
                branches: vec![branch.clone()],
                endpoints: vec![endpoint],
                roles: vec![role.clone()],
                databases: vec![database.clone()],
                chain: Self::chain(&tree, now, steps),
                entry: Some(entry(permit, now, "project.created", "project", &id, &id)),
                ..Change::new(org, id.clone())
            };
            match self.store.commit(&change).await {
                Ok(()) => break change.chain,
                Err(ChangeError::PortTaken) if attempt < super::ATTEMPTS => attempt += 1,
                Err(err) => return Err(refused(err, &change)),
            }
        };
        let outcome = self.settled(org, &id, operations).await?;
        Ok(ProjectCreated { outcome, password })
    }

    /// Changes a project.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::Invalid`] for what breaks a rule.
    pub async fn update(
        &self,
        permit: &Permit<ProjectsWrite>,
        id: &ProjectId,
        patch: ProjectPatch,
    ) -> Result<Outcome, ControlPlaneError> {
        let changed = self.change(permit, id, async |tree, now| {
            let mut project = tree.project.clone();
            if let Some(text) = &patch.name {
                project.name = name("name", text)?;
            }
            if let Some(seconds) = patch.history_retention_seconds {
                project.history_retention_seconds = history(seconds)?;
            }
            if let Some(settings) = &patch.default_endpoint_settings {
                check_defaults(settings)?;
                project.default_endpoint_settings = settings.clone();
            }
            if let Some(settings) = &patch.settings {
                check_settings(settings)?;
                if preload::asks(settings) {
                    let node = self.node_of(&tree.project.node).await?;
                    preload::check(settings, &node.offers.libraries)?;
                }
                merge(&mut project.settings, settings);
            }
            // Endpoints learn whom they let in.
            let mut steps = Vec::new();
            if project.settings["allowed_ips"] != tree.project.settings["allowed_ips"] {
                let reopen = |it: &Endpoint| Step::Reopen { endpoint: it.id.clone() };
                steps.extend(tree.endpoints.iter().map(reopen));
            }
            if preload::chosen(&project.settings) != preload::chosen(&tree.project.settings) {
                steps.extend(restarted(tree));
            }
            project.updated_at = now;
            let entry = entry(permit, now, "project.updated", "project", id, id);
            let change = Change {
                put_project: Some(project),
                chain: Self::chain(tree, now, steps),
                entry: Some(entry),
                ..Change::of(tree)
            };
            Ok((change, ()))
        });
        Ok(changed.await?.0)
    }

    /// Deletes a project: its endpoints close, its files stay for a week.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::Busy`] while operations are under way.
    pub async fn delete(
        &self,
        permit: &Permit<AllProjects>,
        id: &ProjectId,
    ) -> Result<Outcome, ControlPlaneError> {
        let changed = self.change(permit, id, async |tree, now| {
            // Not by whom it is shared with.
            if tree.project.org != permit.org() {
                return Err(ControlPlaneError::NotFound("project"));
            }
            let mut project = tree.project.clone();
            (project.deleted_at, project.updated_at) = (Some(now), now);
            let steps =
                tree.endpoints.iter().map(|it| Step::Close { endpoint: it.id.clone() }).collect();
            let entry = entry(permit, now, "project.deleted", "project", id, id);
            let change = Change {
                put_project: Some(project),
                chain: Self::chain(tree, now, steps),
                entry: Some(entry),
                ..Change::of(tree)
            };
            Ok((change, ()))
        });
        Ok(changed.await?.0)
    }

    /// Brings a deleted project back: its endpoints open again on their ports.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::NotFound`] if there is none of that id, or its week is over.
    pub async fn recover(
        &self,
        permit: &Permit<AllProjects>,
        id: &ProjectId,
    ) -> Result<Outcome, ControlPlaneError> {
        let (now, org) = (self.clock.now(), permit.org());
        let tree = self.store.load(org, id).await?;
        let tree = tree.filter(|it| {
            it.project.recoverable
                && it.project.deleted_at.is_some_and(|at| at > now - crate::RECOVERABLE)
        });
        let tree = tree.ok_or(ControlPlaneError::NotFound("project"))?;
        let mut project = tree.project.clone();
        (project.deleted_at, project.updated_at) = (None, now);
        let steps =
            tree.endpoints.iter().map(|it| Step::Reopen { endpoint: it.id.clone() }).collect();
        let change = Change {
            put_project: Some(project),
            chain: Self::chain(&tree, now, steps),
            entry: Some(entry(permit, now, "project.recovered", "project", id, id)),
            ..Change::of(&tree)
        };
        self.store.commit(&change).await.map_err(|err| refused(err, &change))?;
        self.settled(org, id, change.chain).await
    }
}

/// What lets a project's branches have other libraries: servers load them only at their start. Those that sleep load them
/// when they wake, and are woken once for what belongs to the libraries in their databases.
fn restarted(tree: &Tree) -> Vec<Step> {
    let active = tree.endpoints.iter().filter(|it| it.state == EndpointState::Active);
    let ids: Vec<_> = active.map(|it| it.id.clone()).collect();
    let ready = tree.branches.iter().filter(|it| it.state == BranchState::Ready);
    let stop = ids.iter().map(|it| Step::Suspend { endpoint: it.clone() });
    let start = ids.iter().map(|it| Step::Start { endpoint: it.clone() });
    stop.chain(start).chain(ready.map(|it| Step::configure(&it.id))).collect()
}

/// A new endpoint of a branch, with the project's usual settings.
pub(super) fn new_endpoint(
    tree: &Tree,
    branch: &BranchId,
    FreePort { port, pooled }: FreePort,
    computes: Option<Computes>,
    now: jiff::Timestamp,
) -> Result<Endpoint, ControlPlaneError> {
    let usual = &tree.project.default_endpoint_settings;
    let number = |name: &str| usual[name].as_f64();
    let usual_computes = Computes {
        min: number("autoscaling_limit_min_cu").unwrap_or(Computes::default().min),
        max: number("autoscaling_limit_max_cu")
            .unwrap_or(Computes::default().max)
            .max(number("autoscaling_limit_min_cu").unwrap_or(0.0)),
    };
    let mut settings = json!({});
    if usual["pg_settings"].is_object() {
        settings["pg_settings"] = usual["pg_settings"].clone();
    }
    Ok(Endpoint {
        id: EndpointId::random()?,
        project: tree.project.id.clone(),
        branch: branch.clone(),
        kind: EndpointKind::ReadWrite,
        name: None,
        port,
        pooled,
        settings,
        computes: computes.unwrap_or(usual_computes),
        suspend_timeout_seconds: usual["suspend_timeout_seconds"].as_i64().unwrap_or(0),
        disabled: false,
        state: EndpointState::Init,
        pending: Some(EndpointState::Active),
        last_active: None,
        started_at: None,
        suspended_at: None,
        created_at: now,
        updated_at: now,
        deleted_at: None,
    })
}

fn history(seconds: i32) -> Result<i32, ControlPlaneError> {
    if !(0..=LONGEST_HISTORY_SECONDS).contains(&seconds) {
        let rule = "must be 0 to 2592000 seconds (30 days)";
        return Err(ControlPlaneError::invalid("history_retention_seconds", rule));
    }
    Ok(seconds)
}

/// Puts fields in the place of those that are there; others stay.
fn merge(into: &mut Value, patch: &Value) {
    if let (Some(into), Some(patch)) = (into.as_object_mut(), patch.as_object()) {
        into.extend(patch.clone());
    }
}
