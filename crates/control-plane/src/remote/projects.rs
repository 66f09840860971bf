use std::time::Duration;

use jiff::Timestamp;
use plinth_core::{
    AllProjects, Limit, OrgId, Permission as _, Permit, Principal, ProjectsRead, ProjectsWrite,
    UserId,
};
use plinth_tenancy::AuditEntry;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::intents::LEASE;
use super::service::{call, said, word};
use super::{
    Intended, Need, Remote, RemoteAnswer, RemoteCall, RemoteError, RemoteId, RemoteIntent,
    RemoteIntentId, RemotePath, RemoteProject, Remotes,
};
use crate::{OperationStatus, ProjectFilter, ProjectId};

/// How soon it is looked first whether operations are done there, and how seldom at last.
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LAST_LOOK: Duration = Duration::from_secs(2);

/// The most operations of one answer that are looked after.
const MOST_WATCHED: usize = 20;

/// A call that is about a project of a remote.
#[derive(Clone, Debug)]
pub struct Passing {
    /// What it is about.
    pub path: RemotePath,
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// What comes after `?`, as it was sent.
    pub query: Option<String>,
    /// The body.
    pub body: Option<Value>,
    /// Whether another server has passed it on already.
    pub was_passed: bool,
}

impl Remotes {
    /// The project of that id that the caller's organization has at a remote, also if it was deleted there.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn project(
        &self,
        caller: &Principal,
        id: &ProjectId,
    ) -> Result<Option<RemoteProject>, RemoteError> {
        if caller.project.as_deref().is_some_and(|it| it != id.as_str()) {
            return Ok(None);
        }
        Ok(self.store.project(caller.org, id).await?)
    }

    /// Projects that live at remotes, newest first. None of those that were deleted there: the remote tells of these.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn projects(
        &self,
        permit: &Permit<ProjectsRead>,
        mut filter: ProjectFilter,
    ) -> Result<Vec<RemoteProject>, RemoteError> {
        if let Some(only) = permit.principal().project.as_deref() {
            filter.only = Some(only.parse().map_err(|_| RemoteError::NotFound("project"))?);
        }
        Ok(self.store.projects(permit.org(), &filter).await?)
    }

    /// All remotes, as regions in which projects can be made: none for a key of one project, which makes none.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn regions(&self, permit: &Permit<ProjectsRead>) -> Result<Vec<Remote>, RemoteError> {
        if permit.principal().project.is_some() {
            return Ok(Vec::new());
        }
        let all = Limit::new(100).unwrap_or_default();
        Ok(self.store.list(permit.org(), None, all).await?)
    }

    /// Makes a project at the remote of that name. `fields` are those of the API, without organization and region.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Field`] if there is no such remote, or for a name that none can have; what the remote says.
    pub async fn create_project(
        &self,
        permit: &Permit<AllProjects>,
        name: &str,
        region: Option<&str>,
        mut fields: Map<String, Value>,
    ) -> Result<RemoteAnswer, RemoteError> {
        // A region there, and not again a remote of the one that is asked.
        let region = region.map(|it| word("region_id", it)).transpose()?;
        let remote = self.store.named(permit.org(), name).await?.ok_or_else(|| {
            let rule = format!(
                "there is no remote `{name}` here; `GET /regions` lists those that there are"
            );
            RemoteError::field("region_id", rule)
        })?;
        for (field, value) in [
            ("org_id", remote.org_there.as_deref()),
            ("region_id", region.as_deref().or(remote.region.as_deref())),
        ] {
            match value {
                Some(value) => fields.insert(field.to_owned(), json!(value)),
                None => fields.remove(field),
            };
        }
        let now = self.clock.now();
        let what = Intended::Made { name: project_name(&fields)? };
        let intent = RemoteIntent::new(RemoteIntentId::new(now), &remote, permit.user(), what);
        // By this it is found again, whatever happens until its answer is kept.
        fields.insert("name".to_owned(), json!(intent.first_name()));
        let asked = Self::asked(permit.principal(), now, &remote, "POST", "/projects");
        self.store.begin(&intent, LEASE, &asked.on("remote", remote.id)).await?;
        // Whoever hangs up has made it all the same: it has to be known here.
        let (remotes, permit) = (self.clone(), permit.clone());
        finish(async move {
            match remotes.make(&permit, &remote, &intent, fields).await {
                Err(err) => {
                    let marked = permit.principal().origin.idempotency;
                    Err(remotes.unmade(&remote, &intent, marked, err).await)
                }
                made => made,
            }
        })
        .await
    }

    async fn make(
        &self,
        permit: &Permit<AllProjects>,
        remote: &Remote,
        intent: &RemoteIntent,
        fields: Map<String, Value>,
    ) -> Result<RemoteAnswer, RemoteError> {
        let key = self.key(remote).await?;
        let request = permit.principal().origin.request_id.clone();
        let sent = RemoteCall {
            body: Some(json!({ "project": fields })),
            ..call(remote, &key, "POST", "/projects", &request)
        };
        let mut answer = self.ask(remote, sent.clone()).await?;
        if answer.status >= 300 {
            return Err(said(remote, answer, false));
        }
        let told = &answer.body["project"];
        let id: ProjectId =
            told["id"].as_str().and_then(|it| it.parse().ok()).ok_or_else(|| {
                let why = "the project has no id in its answer".to_owned();
                RemoteError::Unknown { remote: remote.name.clone(), why }
            })?;
        match self.keep(permit, remote, &id, told, "project.created").await {
            // A look at what came of it was faster.
            Err(RemoteError::ProjectKnown(_)) if self.lives_at(remote, &id).await? => {}
            kept => kept.map(drop)?,
        }
        self.settle(remote, &RemotePath::of(id.clone()), &sent, &mut answer.body).await;
        match self.give_name(remote, &key, intent, &id).await {
            Ok(named) => merge(&mut answer.body["project"], &named),
            Err(err) => {
                tracing::info!(project = %id, error = plinth_core::chain(&err), "a project of a remote gets its name later");
            }
        }
        rewrite(remote, &mut answer.body["project"]);
        Ok(answer)
    }

    /// What a call that should have made a project has come to, and ends its intent where it made none.
    async fn unmade(
        &self,
        remote: &Remote,
        intent: &RemoteIntent,
        marked: Option<Uuid>,
        err: RemoteError,
    ) -> RemoteError {
        match err {
            RemoteError::Unknown { .. } => match self.look_after(intent, marked).await {
                Ok(Some(id)) => RemoteError::AnswerLost {
                    remote: remote.name.clone(),
                    what: format!("the project was made: it is `{id}`"),
                },
                // It may still appear: it is looked again.
                _ => err,
            },
            // It is there, and could not be kept.
            RemoteError::Store(_) | RemoteError::ProjectKnown(_) => err,
            err => {
                self.end(intent).await;
                err
            }
        }
    }

    pub(super) async fn lives_at(
        &self,
        remote: &Remote,
        id: &ProjectId,
    ) -> Result<bool, RemoteError> {
        let known = self.store.project(remote.org, id).await?;
        Ok(known.is_some_and(|it| it.remote == remote.id))
    }

    /// Brings in a project that lives at a remote already.
    ///
    /// # Errors
    ///
    /// [`RemoteError::NotFound`] if its key sees none of that id; [`RemoteError::Field`] if it is another organization's
    /// there than that of the remote; [`RemoteError::ProjectKnown`].
    pub async fn adopt(
        &self,
        permit: &Permit<AllProjects>,
        remote: RemoteId,
        id: &str,
    ) -> Result<RemoteProject, RemoteError> {
        let remote = self.found(permit.org(), remote).await?;
        let id: ProjectId = id.parse().map_err(|_| RemoteError::NotFound("project"))?;
        let key = self.key(&remote).await?;
        let path = RemotePath::of(id.clone()).as_sent();
        let request = &permit.principal().origin.request_id;
        let sent = call(&remote, &key, "GET", &path, request);
        let answer = self.ask(&remote, sent).await?;
        if answer.status >= 300 {
            return Err(said(&remote, answer, true));
        }
        // What answers must be what was asked for.
        if answer.body["project"]["id"].as_str() != Some(id.as_str()) {
            let why = "it told of another project than was asked for".to_owned();
            return Err(RemoteError::Unknown { remote: remote.name, why });
        }
        // The key may reach further than what the remote was added for.
        let there = answer.body["project"]["org_id"].as_str();
        if let Some(org) = remote.org_there.as_deref().filter(|it| Some(*it) != there) {
            let rule =
                format!("is not one of the organization `{org}` there, which the remote is for");
            return Err(RemoteError::field("project_id", rule));
        }
        self.keep(permit, &remote, &id, &answer.body["project"], "project.brought_in").await
    }

    /// Lets a project go, which goes on living at its remote.
    ///
    /// # Errors
    ///
    /// [`RemoteError::NotFound`] if none of that id is known there.
    pub async fn forget(
        &self,
        permit: &Permit<AllProjects>,
        remote: RemoteId,
        id: &ProjectId,
    ) -> Result<(), RemoteError> {
        let entry = AuditEntry::of(permit.principal(), self.clock.now(), "project.let_go")
            .on("project", id)
            .with(json!({ "remote_id": remote }));
        let forgotten = self.store.forget_project(permit.org(), remote, id, &entry).await?;
        forgotten.then_some(()).ok_or(RemoteError::NotFound("project"))
    }

    /// Passes a call on to where its project lives.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Permit`] without the right that it needs; what the remote says.
    pub async fn pass(
        &self,
        caller: &Principal,
        project: &RemoteProject,
        passing: Passing,
    ) -> Result<RemoteAnswer, RemoteError> {
        let need = passing.path.need(&passing.method)?;
        match need {
            Need::Read => ProjectsRead::check(caller)?,
            Need::Write => ProjectsWrite::check(caller)?,
            Need::All => AllProjects::check(caller)?,
        }
        if passing.was_passed {
            return Err(RemoteError::Loop);
        }
        // A look at the project itself may find that it is there after all: a 404 can have had other reasons.
        let looks = passing.method == "GET" && passing.path.is_project();
        if project.deleted_at.is_some() && !looks && !passing.path.is_recovery(&passing.method) {
            return Err(RemoteError::NotFound("project"));
        }
        let remote = self.found(project.org, project.remote).await?;
        let path = passing.path.as_sent();
        let mut intent = None;
        if need != Need::Read {
            // Before it is done: what comes of it is the remote's to tell, and a crash between would leave no trace.
            let now = self.clock.now();
            let asked = Self::asked(caller, now, &remote, &passing.method, &path);
            let asked = asked.on("project", &project.id);
            if passing.path.is_fate(&passing.method) {
                let what = Intended::Changed { project: project.id.clone() };
                let id = RemoteIntentId::new(now);
                let begun = intent.insert(RemoteIntent::new(id, &remote, caller.user, what));
                self.store.begin(begun, LEASE, &asked).await?;
            } else {
                self.store.note(&asked).await?;
            }
        }
        let key = match self.key(&remote).await {
            Ok(key) => key,
            Err(err) => {
                // Nothing was sent.
                if let Some(intent) = &intent {
                    self.end(intent).await;
                }
                return Err(err);
            }
        };
        let sent = RemoteCall {
            query: passing.query,
            body: passing.body,
            ..call(&remote, &key, &passing.method, &path, &caller.origin.request_id)
        };
        let (remotes, project, path) = (self.clone(), project.clone(), passing.path);
        let passed = async move {
            remotes.carry(&remote, &project, &path, sent, need, intent.as_ref()).await
        };
        // What changes something is ended also if whoever asked hangs up.
        if need == Need::Read { passed.await } else { finish(passed).await }
    }

    async fn carry(
        &self,
        remote: &Remote,
        project: &RemoteProject,
        path: &RemotePath,
        sent: RemoteCall,
        need: Need,
        intent: Option<&RemoteIntent>,
    ) -> Result<RemoteAnswer, RemoteError> {
        let mut came = self.ask(remote, sent.clone()).await;
        let reads = matches!(sent.method.as_str(), "GET" | "HEAD");
        if !reads {
            came = self.clear_up(remote, project, path, &sent, came).await;
        }
        let is_kept = match &came {
            Ok(answer) => self.learn(project, path, &sent.method, answer).await,
            Err(err) => !matches!(err, RemoteError::Unknown { .. }),
        };
        // What nobody here knows the end of is looked after.
        if let Some(intent) = intent.filter(|_| is_kept) {
            self.end(intent).await;
        }
        let mut answer = came?;
        if answer.status >= 300 {
            return Err(said(remote, answer, reads));
        }
        if need != Need::Read {
            self.settle(remote, path, &sent, &mut answer.body).await;
        }
        if answer.body["project"].is_object() {
            rewrite(remote, &mut answer.body["project"]);
        }
        Ok(answer)
    }

    /// Keeps what an answer tells of its project. If that fails, which it tells, lists show what was known before.
    async fn learn(
        &self,
        project: &RemoteProject,
        path: &RemotePath,
        method: &str,
        answer: &RemoteAnswer,
    ) -> bool {
        let (org, remote, id) = (project.org, project.remote, &project.id);
        let is_own = answer.body["project"]["id"].as_str() == Some(id.as_str());
        let noted = match (method, answer.status) {
            ("DELETE", 200..=299) if path.is_project() => {
                self.store.note_deletion(org, remote, id, Some(self.clock.now())).await
            }
            // Somebody has deleted it there.
            ("GET" | "DELETE", 404) if path.is_project() => {
                self.store.note_deletion(org, remote, id, Some(self.clock.now())).await
            }
            ("POST", 200..=299) if path.is_recovery(method) => {
                self.store.note_deletion(org, remote, id, None).await
            }
            (_, 200..=299) if path.is_project() && is_own => {
                self.store.note_project(org, remote, id, &small(&answer.body["project"])).await
            }
            _ => Ok(()),
        };
        if let Err(err) = &noted {
            tracing::warn!(project = %id, error = plinth_core::chain(err), "what a remote told could not be kept");
        }
        noted.is_ok()
    }

    /// Waits for the operations that an answer tells of, but not forever, and shows in it what they have made. An answer
    /// that cannot be looked after is given as it came.
    async fn settle(
        &self,
        remote: &Remote,
        path: &RemotePath,
        sent: &RemoteCall,
        body: &mut Value,
    ) {
        let ids: Vec<String> = waiting(body).take(MOST_WATCHED).map(str::to_owned).collect();
        if ids.is_empty() {
            return;
        }
        let deadline = tokio::time::Instant::now() + self.patience;
        let mut pause = FIRST_LOOK;
        'all: for id in &ids {
            loop {
                if tokio::time::Instant::now() + pause > deadline {
                    break 'all;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 3 / 2).min(LAST_LOOK);
                let look = self.look(remote, sent, path.below(format!("/operations/{id}")));
                let Ok(Some(found)) = tokio::time::timeout_at(deadline, look).await else {
                    break 'all;
                };
                let found = &found["operation"];
                if found["id"].as_str() == Some(id) {
                    replace(body, "operations", found);
                }
                if !is_waiting(found) {
                    break;
                }
            }
        }
        if waiting(body).next().is_some() {
            return;
        }
        // What was being made looks otherwise now.
        for (field, list, place) in
            [("branch", "branches", "branches"), ("endpoint", "endpoints", "endpoints")]
        {
            let one = body[field]["id"].as_str().map(str::to_owned);
            let many = body[list].as_array().into_iter().flatten();
            let many = many.filter_map(|it| it["id"].as_str().map(str::to_owned));
            let all: Vec<String> = one.into_iter().chain(many).take(MOST_WATCHED).collect();
            for id in all.iter().filter(|it| it.parse::<ProjectId>().is_ok()) {
                let look = self.look(remote, sent, path.below(format!("/{place}/{id}")));
                let Ok(Some(found)) = tokio::time::timeout_at(deadline, look).await else {
                    continue;
                };
                if body[field]["id"].as_str() == Some(id) {
                    merge(&mut body[field], &found[field]);
                }
                replace(body, list, &found[field]);
            }
        }
    }

    async fn look(&self, remote: &Remote, sent: &RemoteCall, path: RemotePath) -> Option<Value> {
        let looked = RemoteCall {
            method: "GET".to_owned(),
            url: format!("{}{}", remote.base_url, path.as_sent()),
            query: None,
            body: None,
            ..sent.clone()
        };
        let answer = self.plane.call(looked).await.ok()?;
        (answer.status == 200).then_some(answer.body)
    }

    async fn keep(
        &self,
        permit: &Permit<AllProjects>,
        remote: &Remote,
        id: &ProjectId,
        told: &Value,
        action: &str,
    ) -> Result<RemoteProject, RemoteError> {
        let now = self.clock.now();
        let project = Self::known(remote, id, told, permit.user(), now);
        let entry = AuditEntry::of(permit.principal(), now, action)
            .on("project", id)
            .with(json!({ "remote": remote.name, "remote_id": remote.id }));
        self.store.keep_project(&project, &entry).await?;
        Ok(project)
    }

    /// A project as it is known here from now on.
    pub(super) fn known(
        remote: &Remote,
        id: &ProjectId,
        told: &Value,
        by: UserId,
        now: Timestamp,
    ) -> RemoteProject {
        let body = small(told);
        RemoteProject {
            id: id.clone(),
            org: remote.org,
            remote: remote.id,
            remote_name: remote.name.clone(),
            name: body["name"].as_str().unwrap_or(id.as_str()).to_owned(),
            body,
            number: 0,
            by,
            created_at: now,
            deleted_at: None,
        }
    }

    /// That somebody is about to have something done there. Not marked as an idempotent request's effect: what comes of it
    /// is not known yet, and what a busy remote refuses has to be tried again.
    fn asked(
        caller: &Principal,
        now: Timestamp,
        remote: &Remote,
        method: &str,
        path: &str,
    ) -> AuditEntry {
        let details = json!({ "remote": remote.name, "method": method, "path": path });
        let mut entry = AuditEntry::of(caller, now, "remote.asked").with(details);
        entry.idempotency = None;
        entry
    }
}

impl RemoteProject {
    /// The project as callers see it: as the remote last told of it, as this organization's.
    pub fn shown(&self) -> Value {
        let mut body = if self.body.is_object() { self.body.clone() } else { json!({}) };
        own(self.org, &self.remote_name, &mut body);
        body["id"] = json!(self.id);
        body
    }
}

/// Ends work that must not stop half-way, whoever hangs up meanwhile.
pub(super) async fn finish<T: Send + 'static>(
    work: impl Future<Output = Result<T, RemoteError>> + Send + 'static,
) -> Result<T, RemoteError> {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(err) => Err(plinth_core::StoreError::Internal(err.into()).into()),
    }
}

/// What a new project is to be called; `None` leaves it to the remote.
fn project_name(fields: &Map<String, Value>) -> Result<Option<String>, RemoteError> {
    let name = match fields.get("name") {
        None | Some(Value::Null) => return Ok(None),
        Some(name) => name.as_str().map(str::trim),
    };
    let fits =
        |it: &&str| (1..=256).contains(&it.chars().count()) && !it.chars().any(char::is_control);
    name.filter(fits).map(|it| Some(it.to_owned())).ok_or_else(|| {
        RemoteError::field("name", "must have 1 to 256 characters, none of them control characters")
    })
}

/// A project of a remote as this organization's: its ids there are nobody's here.
fn rewrite(remote: &Remote, project: &mut Value) {
    own(remote.org, &remote.name, project);
}

fn own(org: OrgId, remote: &str, project: &mut Value) {
    let Some(fields) = project.as_object_mut() else { return };
    fields.insert("org_id".to_owned(), json!(org));
    fields.insert("owner_id".to_owned(), json!(org));
    fields.remove("owner");
    fields.insert("remote".to_owned(), json!(remote));
}

/// What is kept of a project's own words: a list shows hundreds of them, and what tells them is a stranger.
pub(super) fn small(told: &Value) -> Value {
    const MOST_BYTES: usize = 16 * 1024;
    let text = told.to_string();
    // Postgres keeps no NUL.
    if text.len() <= MOST_BYTES && !text.contains("\\u0000") {
        return told.clone();
    }
    let part = |field: &str| -> String {
        let text = told[field].as_str().unwrap_or_default();
        text.chars().filter(|it| !it.is_control()).take(200).collect()
    };
    json!({ "id": part("id"), "name": part("name") })
}

/// The ids of an answer's operations that are not done.
fn waiting(body: &Value) -> impl Iterator<Item = &str> {
    let all = body["operations"].as_array().into_iter().flatten();
    // An id becomes part of a path.
    let is_id = |it: &&str| it.parse::<uuid::Uuid>().is_ok();
    all.filter(|it| is_waiting(it)).filter_map(|it| it["id"].as_str()).filter(is_id)
}

fn is_waiting(operation: &Value) -> bool {
    let status = operation["status"].as_str().unwrap_or_default();
    let ours = status.parse::<OperationStatus>().is_ok_and(|it| !it.is_final());
    ours || status == "cancelling"
}

/// Puts a newer form of something in the place of that of its id in a list.
fn replace(body: &mut Value, list: &str, newer: &Value) {
    let all = body.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
    for it in all.filter(|it| it["id"].is_string() && it["id"] == newer["id"]) {
        merge(it, newer);
    }
}

/// What only the first answer told, such as a password, stays.
pub(super) fn merge(into: &mut Value, newer: &Value) {
    if let (Some(into), Some(newer)) = (into.as_object_mut(), newer.as_object()) {
        into.extend(newer.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_waited_for_until_they_are_done() {
        let id = "0198c0de-7a3b-7cc1-9a55-3f2a8d1e6b70";
        for (status, waits) in [
            ("scheduling", true),
            ("running", true),
            ("cancelling", true),
            ("finished", false),
            ("failed", false),
            ("skipped", false),
            ("cancelled", false),
            ("error", false),
            ("?", false),
        ] {
            let body = json!({ "operations": [{ "id": id, "status": status }] });
            assert_eq!(waiting(&body).count(), usize::from(waits), "{status}");
        }
        let odd = json!({ "operations": [{ "id": "../x", "status": "running" }] });
        assert_eq!(waiting(&odd).count(), 0);
        assert_eq!(waiting(&json!({})).count(), 0);
    }

    #[test]
    fn a_newer_form_leaves_what_only_the_first_told() {
        let mut body = json!({ "endpoints": [{ "id": "ep-a", "current_state": "init", "x": 1 }] });
        replace(&mut body, "endpoints", &json!({ "id": "ep-a", "current_state": "active" }));
        replace(&mut body, "endpoints", &json!({ "current_state": "idle" }));
        assert_eq!(
            body["endpoints"][0],
            json!({ "id": "ep-a", "current_state": "active", "x": 1 })
        );
    }
}
