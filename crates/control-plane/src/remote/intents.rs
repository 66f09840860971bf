use std::time::Duration;

use jiff::SignedDuration;
use plinth_core::{OrgId, UserId};
use plinth_tenancy::AuditEntry;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::projects::{merge, small};
use super::service::{call, said};
use super::{Remote, RemoteCall, RemoteError, RemoteId, RemotePath, Remotes};
use crate::ProjectId;

plinth_core::typed_id! {
    /// Identifies what is about to be done at a remote.
    RemoteIntentId, "rint"
}

/// For how long whoever has begun something is left alone with it. Who is slower than that finds it looked after already.
pub(super) const LEASE: SignedDuration = SignedDuration::from_mins(2);

/// For how long what was asked for may still come about there: it is looked again until then.
const MAY_APPEAR: SignedDuration = SignedDuration::from_mins(10);

/// After how long it is not looked any more at a remote that does not let itself be asked.
const GIVEN_UP: SignedDuration = SignedDuration::from_hours(24 * 7);

/// The most that are looked after at once; of one remote three, for it may answer nobody.
const MOST: usize = 20;

/// The longest that one look may take.
const LOOK: Duration = Duration::from_mins(1);

/// The longest name that the mark is put behind; a longer one waits until it is given back.
const LONGEST_MARKED: usize = 200;

/// What is about to be done at a remote: kept before it is asked for, and gone once what came of it is known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteIntent {
    /// Its id.
    pub id: RemoteIntentId,
    /// Whose.
    pub org: OrgId,
    /// Where.
    pub remote: RemoteId,
    /// What.
    pub what: Intended,
    /// Who wanted it.
    pub by: UserId,
    /// For how long it has been known, by the database's clock.
    pub age: SignedDuration,
}

/// See [`RemoteIntent`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intended {
    /// A project is made.
    Made {
        /// What it is to be called; `None` for the id that it gets.
        name: Option<String>,
    },
    /// A project is deleted, or brought back.
    Changed {
        /// Which.
        project: ProjectId,
    },
}

impl RemoteIntent {
    pub(super) fn new(id: RemoteIntentId, remote: &Remote, by: UserId, what: Intended) -> Self {
        let age = SignedDuration::ZERO;
        Self { id, org: remote.org, remote: remote.id, what, by, age }
    }

    /// What a project that is made has in its name there until its answer is kept here. The API has no other word of ours
    /// that it would give back.
    fn mark(&self) -> String {
        format!("plinth-{}", self.id.as_uuid().as_simple())
    }

    /// What a project that is made is called there at first.
    pub(super) fn first_name(&self) -> String {
        match &self.what {
            Intended::Made { name: Some(name) } if name.chars().count() <= LONGEST_MARKED => {
                format!("{name} {}", self.mark())
            }
            _ => self.mark(),
        }
    }
}

impl Remotes {
    /// Looks what came of intents whose end is not known here: their server died, or their answer was lost. What was made is
    /// brought in, what is gone is noted. Gives how many were looked after.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn sweep(&self) -> Result<usize, RemoteError> {
        let taken = self.store.take_intents(MOST, LEASE).await?;
        let many = taken.len();
        let mut looks = JoinSet::new();
        for intent in taken {
            let remotes = self.clone();
            // One remote that is slow is not the others' loss.
            looks.spawn(async move {
                let looked = remotes.look_after(&intent, None);
                let looked = tokio::time::timeout(LOOK, looked).await;
                let slow = || RemoteError::Away {
                    remote: intent.remote.to_string(),
                    why: "it takes too long to answer".to_owned(),
                };
                let looked = looked.unwrap_or_else(|_| Err(slow()));
                (intent, looked)
            });
        }
        let mut failed = None;
        while let Some(looked) = looks.join_next().await {
            match looked {
                Ok((_, Ok(_))) => {}
                Ok((_, Err(err @ RemoteError::Store(_)))) => failed = Some(err),
                // It could not be asked: it is looked again when the lease is over.
                Ok((intent, Err(err))) => {
                    tracing::debug!(intent = %intent.id, error = plinth_core::chain(&err), "a remote could not be asked what came of a call");
                    if intent.age > GIVEN_UP {
                        tracing::warn!(remote = %intent.remote, "what came of a call at a remote will not be known: it did not let itself be asked for a week");
                        self.end(&intent).await;
                    }
                }
                Err(err) => tracing::error!(error = %err, "a look at a remote ended by itself"),
            }
        }
        failed.map_or(Ok(many), Err)
    }

    /// Looks once what came of an intent, and keeps it. Gives the project that it made, if it did; then `marked`, the record
    /// of an idempotent request, has had its effect.
    pub(super) async fn look_after(
        &self,
        intent: &RemoteIntent,
        marked: Option<Uuid>,
    ) -> Result<Option<ProjectId>, RemoteError> {
        let remote = self.found(intent.org, intent.remote).await?;
        let key = self.key(&remote).await?;
        match &intent.what {
            Intended::Made { .. } => {
                if let Some((id, told)) = self.made(&remote, &key, intent).await? {
                    self.bring_in(&remote, intent, &id, &told, marked).await?;
                    // It is known from here on, whatever it is called until the next look.
                    if let Err(err) = self.give_name(&remote, &key, intent, &id).await {
                        tracing::info!(project = %id, error = plinth_core::chain(&err), "a project of a remote gets its name later");
                    }
                    return Ok(Some(id));
                }
                if intent.age > MAY_APPEAR {
                    tracing::warn!(remote = %intent.remote, mark = intent.mark(), "no project has come of a call to a remote whose answer was lost");
                    self.store.end_intent(intent.org, intent.id).await?;
                }
            }
            Intended::Changed { project } => {
                let path = RemotePath::of(project.clone());
                let sent = call(&remote, &key, "GET", &path.as_sent(), &intent.id.to_string());
                let answer = self.ask(&remote, sent).await?;
                match answer.status {
                    404 => {
                        let now = self.clock.now();
                        self.store.note_deletion(remote.org, remote.id, project, Some(now)).await?;
                    }
                    200..=299 => {
                        let told = told_of(&remote, project, &answer.body)?;
                        self.store.note_project(remote.org, remote.id, project, &told).await?;
                    }
                    _ => return Err(said(&remote, answer, true)),
                }
                if intent.age > MAY_APPEAR {
                    self.store.end_intent(intent.org, intent.id).await?;
                }
            }
        }
        Ok(None)
    }

    /// The project there that has the intent's mark in its name.
    async fn made(
        &self,
        remote: &Remote,
        key: &SecretString,
        intent: &RemoteIntent,
    ) -> Result<Option<(ProjectId, Value)>, RemoteError> {
        let mark = intent.mark();
        // What goes into the query was held to letters, digits and `-_.` when it was set.
        let org = remote.org_there.as_deref().map(|it| format!("&org_id={it}")).unwrap_or_default();
        let sent = RemoteCall {
            query: Some(format!("search={mark}&limit=10{org}")),
            ..call(remote, key, "GET", "/projects", &intent.id.to_string())
        };
        let answer = self.ask(remote, sent).await?;
        if answer.status >= 300 {
            return Err(said(remote, answer, true));
        }
        let mut all = answer.body["projects"].as_array().into_iter().flatten();
        let found = all.find(|it| it["name"].as_str().is_some_and(|it| it.contains(&mark)));
        Ok(found.and_then(|it| Some((it["id"].as_str()?.parse().ok()?, it.clone()))))
    }

    async fn bring_in(
        &self,
        remote: &Remote,
        intent: &RemoteIntent,
        id: &ProjectId,
        told: &Value,
        marked: Option<Uuid>,
    ) -> Result<(), RemoteError> {
        let now = self.clock.now();
        let mut entry = AuditEntry::of_plinth(remote.org, now, "system", "project.brought_in")
            .by(intent.by)
            .on("project", id)
            .with(json!({ "remote": remote.name, "remote_id": remote.id, "answer": "lost" }));
        entry.idempotency = marked;
        let project = Self::known(remote, id, told, intent.by, now);
        match self.store.keep_project(&project, &entry).await {
            // It was kept, but for its name. One that lives elsewhere is another's, whatever this remote says.
            Err(RemoteError::ProjectKnown(_)) if self.lives_at(remote, id).await? => Ok(()),
            other => other,
        }
    }

    /// Gives a project that was made the name that it was to have, and ends the intent; gives it as it is then. Where the
    /// remote cannot do that now, the next look does.
    pub(super) async fn give_name(
        &self,
        remote: &Remote,
        key: &SecretString,
        intent: &RemoteIntent,
        id: &ProjectId,
    ) -> Result<Value, RemoteError> {
        let wanted = match &intent.what {
            Intended::Made { name: Some(name) } => name.as_str(),
            _ => id.as_str(),
        };
        let path = RemotePath::of(id.clone()).as_sent();
        let sent = RemoteCall {
            body: Some(json!({ "project": { "name": wanted } })),
            ..call(remote, key, "PATCH", &path, &intent.id.to_string())
        };
        let answer = self.ask(remote, sent).await?;
        let told = match answer.status {
            200..=299 => {
                let mut told = told_of(remote, id, &answer.body)?;
                merge(&mut told, &json!({ "name": wanted }));
                self.store.note_project(remote.org, remote.id, id, &told).await?;
                told
            }
            // Not now.
            401 | 423 | 429 | 500.. => return Err(said(remote, answer, false)),
            // Somebody has deleted it already, or it may not be called so: it is kept as it is.
            status => {
                tracing::warn!(project = %id, status, "a project of a remote keeps the name that it was made with");
                Value::Null
            }
        };
        self.store.end_intent(intent.org, intent.id).await?;
        Ok(told)
    }

    /// Ends an intent whose end is known. If that fails, a look ends it.
    pub(super) async fn end(&self, intent: &RemoteIntent) {
        if let Err(err) = self.store.end_intent(intent.org, intent.id).await {
            tracing::warn!(intent = %intent.id, error = plinth_core::chain(&err), "what came of a call could not be kept");
        }
    }
}

/// What an answer tells of the project that it was asked for.
fn told_of(remote: &Remote, id: &ProjectId, body: &Value) -> Result<Value, RemoteError> {
    let told = &body["project"];
    if told["id"].as_str() == Some(id.as_str()) {
        return Ok(small(told));
    }
    let why = "it told of another project than was asked for".to_owned();
    Err(RemoteError::Unknown { remote: remote.name.clone(), why })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_project_that_is_made_is_known_by_its_name() {
        let at = Timestamp::UNIX_EPOCH;
        let intent = |name: Option<String>| RemoteIntent {
            id: RemoteIntentId::new(at),
            org: OrgId::new(at),
            remote: RemoteId::new(at),
            what: Intended::Made { name },
            by: UserId::new(at),
            age: SignedDuration::ZERO,
        };
        for name in [None, Some("shop".to_owned()), Some("é".repeat(200)), Some("x".repeat(256))] {
            let intent = intent(name);
            let first = intent.first_name();
            assert!(first.ends_with(&intent.mark()), "{first}");
            assert!(first.chars().count() <= 256, "{first}");
        }
        assert!(intent(Some("shop".to_owned())).first_name().starts_with("shop plinth-"));
    }
}
