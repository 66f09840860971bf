use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use plinth_core::{
    Clock, Cursor, Limit, Page, Permit, Principal, QueriesRead, QueriesWrite, WorkflowsRead,
    WorkflowsWrite,
};
use plinth_queries::{Parameter, Queries, QueryId, SaveChange};
use plinth_tenancy::AuditEntry;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use super::alert::{Alert, Evaluation, Mute};
use super::ports::AlertStore;
use super::rules::AlertRules;
use super::standing::Standing;
use super::{AlertError, AlertId};

/// The most alerts of one organization.
const MOST: i64 = 1_000;

/// What is needed to make an alert.
#[derive(Clone, Debug)]
pub struct NewAlert {
    /// 1 to 200 characters, unique in the organization.
    pub name: String,
    /// Up to 2,000 characters.
    pub description: String,
    /// What is asked.
    pub query: QueryId,
    /// Values of the query's parameters by name.
    pub parameters: Map<String, Value>,
    /// See [`AlertRules::read`].
    pub condition: Value,
    /// `every` or `cron`.
    pub schedule: Value,
    /// Who is told.
    pub notify: Value,
    /// After how many seconds an episode that goes on is told of again.
    pub rearm_seconds: Option<i64>,
    /// Whether it is evaluated.
    pub enabled: bool,
}

/// What to change; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub struct AlertChange {
    /// See [`NewAlert::name`].
    pub name: Option<String>,
    /// See [`NewAlert::description`].
    pub description: Option<String>,
    /// See [`NewAlert::query`].
    pub query: Option<QueryId>,
    /// See [`NewAlert::parameters`].
    pub parameters: Option<Map<String, Value>>,
    /// See [`NewAlert::condition`].
    pub condition: Option<Value>,
    /// See [`NewAlert::schedule`].
    pub schedule: Option<Value>,
    /// See [`NewAlert::notify`].
    pub notify: Option<Value>,
    /// See [`NewAlert::rearm_seconds`]; the inner `None` for never.
    pub rearm_seconds: Option<Option<i64>>,
    /// Whether it is evaluated. `true` also ends a pause.
    pub enabled: Option<bool>,
    /// The revision that the caller has seen; `None` changes whatever is there.
    pub expected: Option<i64>,
}

impl AlertChange {
    /// Whether what it asks and whom it tells changes, and not only its name or whether it is on.
    fn is_edit(&self) -> bool {
        self.asks_otherwise()
            || self.schedule.is_some()
            || self.notify.is_some()
            || self.rearm_seconds.is_some()
    }

    /// Whether what was found before says nothing any more.
    fn asks_otherwise(&self) -> bool {
        self.query.is_some() || self.parameters.is_some() || self.condition.is_some()
    }
}

/// What [`Alerts`] is put together from.
pub struct AlertParts {
    /// Where they are kept.
    pub store: Arc<dyn AlertStore>,
    /// The queries that they ask.
    pub queries: Queries,
    /// Wakes the worker of this process.
    pub woken: Arc<Notify>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Alerts of organizations.
#[derive(Clone)]
pub struct Alerts {
    parts: Arc<AlertParts>,
}

impl Alerts {
    /// Puts the service together.
    pub fn new(parts: AlertParts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// Makes an alert, which asks as the caller and is evaluated at once.
    ///
    /// # Errors
    ///
    /// - [`AlertError::Invalid`] with everything that is wrong, [`AlertError::Field`] for name and description.
    /// - [`AlertError::NameTaken`], [`AlertError::TooMany`].
    /// - [`AlertError::Query`] for a query that the caller does not see. One of the history is saved by it, and without
    ///   `queries:write` that is [`AlertError::Permit`].
    /// - [`AlertError::Narrow`] if the caller's credential is narrower than they are.
    pub async fn create(
        &self,
        permit: &Permit<WorkflowsWrite>,
        new: NewAlert,
    ) -> Result<Alert, AlertError> {
        let (caller, now) = (permit.principal(), self.parts.clock.now());
        let mut alert = Alert {
            id: AlertId::new(now),
            org: permit.org(),
            name: name(&new.name)?,
            description: description(&new.description)?,
            owner: permit.user(),
            query: new.query,
            query_version: None,
            parameters: new.parameters,
            condition: new.condition,
            schedule: new.schedule,
            notify: new.notify,
            rearm_seconds: new.rearm_seconds,
            enabled: new.enabled,
            mute: None,
            paused: None,
            standing: Standing::new(now),
            due_at: new.enabled.then_some(now),
            tried: 0,
            fence: 0,
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        alert.query_version = Some(self.check(caller, &alert).await?);
        let entry = AuditEntry::of(caller, now, "alert.created")
            .on("alert", alert.id)
            .with(json!({ "name": alert.name, "query": alert.query }));
        self.parts.store.insert(&alert, MOST, &entry).await?;
        self.parts.woken.notify_one();
        Ok(alert)
    }

    /// The organization's alerts, newest first.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn list(
        &self,
        permit: &Permit<WorkflowsRead>,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<Alert>, AlertError> {
        let items = self.parts.store.list(permit.org(), after, limit).await?;
        Ok(Page::cut(items, limit, |it| Cursor { created_at: it.created_at, id: it.id.as_uuid() }))
    }

    /// One alert.
    ///
    /// # Errors
    ///
    /// [`AlertError::NotFound`], also when it is another organization's.
    pub async fn get(
        &self,
        permit: &Permit<WorkflowsRead>,
        id: AlertId,
    ) -> Result<Alert, AlertError> {
        self.find(permit.principal(), id).await
    }

    async fn find(&self, caller: &Principal, id: AlertId) -> Result<Alert, AlertError> {
        self.parts.store.find(caller.org, id).await?.ok_or(AlertError::NotFound(id))
    }

    /// Changes an alert, which is evaluated at once if it is on. Who changes what it asks or whom it tells is its owner
    /// from then on: it never does with somebody's rights what somebody else wrote.
    ///
    /// # Errors
    ///
    /// As for [`Alerts::create`], [`AlertError::NotFound`], and [`AlertError::Changed`] if it is not as expected.
    pub async fn change(
        &self,
        permit: &Permit<WorkflowsWrite>,
        id: AlertId,
        change: AlertChange,
    ) -> Result<Alert, AlertError> {
        let (caller, now) = (permit.principal(), self.parts.clock.now());
        let before = self.find(caller, id).await?;
        let mut after = before.clone();
        if let Some(text) = &change.name {
            after.name = name(text)?;
        }
        if let Some(text) = &change.description {
            after.description = description(text)?;
        }
        after.query = change.query.unwrap_or(after.query);
        after.rearm_seconds = change.rearm_seconds.unwrap_or(after.rearm_seconds);
        let (is_edit, asks_otherwise) = (change.is_edit(), change.asks_otherwise());
        after.parameters = change.parameters.unwrap_or(after.parameters);
        after.condition = change.condition.unwrap_or(after.condition);
        after.schedule = change.schedule.unwrap_or(after.schedule);
        after.notify = change.notify.unwrap_or(after.notify);
        if is_edit {
            after.query_version = Some(self.check(caller, &after).await?);
            after.owner = caller.user;
            after.paused = None;
        }
        if let Some(enabled) = change.enabled {
            after.enabled = enabled;
            if enabled {
                after.paused = None;
            }
        }
        let is_woken = after.is_live() && (is_edit || !before.is_live());
        let expected = change.expected.unwrap_or(before.revision);
        let mut decide = |alert: &mut Alert| {
            // What was judged is what was read before; a change that came between is another's.
            if alert.revision != expected || alert.revision != before.revision {
                return Err(AlertError::Changed);
            }
            let (standing, fence, due_at) = (alert.standing, alert.fence, alert.due_at);
            *alert = after.clone();
            // What a worker wrote meanwhile stays.
            alert.standing = if asks_otherwise { Standing::new(now) } else { standing };
            alert.fence = fence;
            alert.tried = 0;
            alert.due_at = match (alert.is_live(), is_woken) {
                (false, _) => None,
                (true, true) => Some(now),
                (true, false) => due_at,
            };
            alert.revision += 1;
            alert.updated_at = now;
            let entry = AuditEntry::of(caller, now, "alert.changed").on("alert", id).with(json!({
                "name": alert.name, "edited": is_edit, "enabled": change.enabled,
            }));
            Ok(Some(entry))
        };
        let changed = self.parts.store.change(caller.org, id, &mut decide).await?;
        self.parts.woken.notify_one();
        changed.ok_or(AlertError::NotFound(id))
    }

    /// Says that nothing is told: for so long, or until [`Alerts::unmute`]. It is evaluated all the same.
    ///
    /// # Errors
    ///
    /// [`AlertError::NotFound`].
    pub async fn mute(
        &self,
        permit: &Permit<WorkflowsWrite>,
        id: AlertId,
        time: Option<SignedDuration>,
    ) -> Result<Alert, AlertError> {
        let now = self.parts.clock.now();
        let mute = time.map_or(Mute::Forever, |it| Mute::Until(now + it));
        let what = json!({ "until": time.map(|it| (now + it).to_string()) });
        self.note(permit, id, "alert.muted", what, |alert| {
            alert.mute = Some(mute);
            Ok(())
        })
        .await
    }

    /// Says that it is told again.
    ///
    /// # Errors
    ///
    /// [`AlertError::NotFound`].
    pub async fn unmute(
        &self,
        permit: &Permit<WorkflowsWrite>,
        id: AlertId,
    ) -> Result<Alert, AlertError> {
        self.note(permit, id, "alert.unmuted", Value::Null, |alert| {
            alert.mute = None;
            Ok(())
        })
        .await
    }

    /// Has it evaluated now, whatever its schedule says.
    ///
    /// # Errors
    ///
    /// [`AlertError::NotFound`], [`AlertError::Standing`].
    pub async fn evaluate(
        &self,
        permit: &Permit<WorkflowsWrite>,
        id: AlertId,
    ) -> Result<Alert, AlertError> {
        let now = self.parts.clock.now();
        let due = self.note(permit, id, "alert.evaluated", Value::Null, |alert| {
            if !alert.is_live() {
                return Err(AlertError::Standing);
            }
            alert.due_at = Some(now);
            alert.tried = 0;
            Ok(())
        });
        let due = due.await?;
        self.parts.woken.notify_one();
        Ok(due)
    }

    async fn note(
        &self,
        permit: &Permit<WorkflowsWrite>,
        id: AlertId,
        action: &'static str,
        what: Value,
        set: impl Fn(&mut Alert) -> Result<(), AlertError> + Send + Sync,
    ) -> Result<Alert, AlertError> {
        let (caller, now) = (permit.principal(), self.parts.clock.now());
        let mut decide = |alert: &mut Alert| {
            set(alert)?;
            alert.revision += 1;
            alert.updated_at = now;
            let entry = AuditEntry::of(caller, now, action).on("alert", id);
            Ok(Some(if what.is_null() { entry } else { entry.with(what.clone()) }))
        };
        let changed = self.parts.store.change(permit.org(), id, &mut decide).await?;
        changed.ok_or(AlertError::NotFound(id))
    }

    /// Removes an alert with what came of it.
    ///
    /// # Errors
    ///
    /// [`AlertError::NotFound`], and [`AlertError::Changed`] if it has none of the revisions that are expected.
    pub async fn remove(
        &self,
        permit: &Permit<WorkflowsWrite>,
        id: AlertId,
        expected: Option<&[i64]>,
    ) -> Result<(), AlertError> {
        let now = self.parts.clock.now();
        let entry = AuditEntry::of(permit.principal(), now, "alert.deleted").on("alert", id);
        let removed = self.parts.store.remove(permit.org(), id, expected, &entry).await?;
        if removed { Ok(()) } else { Err(AlertError::NotFound(id)) }
    }

    /// What came of it, newest first. What was found was read with the rights of who owned it at that time, and stays theirs
    /// when somebody else takes it over: others than they and admins see how it was judged, and neither that nor the
    /// database's words where it failed, which may quote it.
    ///
    /// # Errors
    ///
    /// [`AlertError::NotFound`].
    pub async fn evaluations(
        &self,
        permit: &Permit<WorkflowsRead>,
        id: AlertId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<Evaluation>, AlertError> {
        let caller = permit.principal();
        self.find(caller, id).await?;
        let mut items = self.parts.store.evaluations(permit.org(), id, after, limit).await?;
        for it in &mut items {
            if !crate::service::sees_results(caller, it.owner) {
                it.glance = None;
                it.error = it.error.as_deref().map(crate::discretion::of_statement);
            }
        }
        Ok(Page::cut(items, limit, |it| Cursor { created_at: it.ended_at, id: it.id.as_uuid() }))
    }

    /// Reads what an alert says and holds what it names against what the caller may use; gives the version of the query that
    /// they stand for by that.
    async fn check(&self, caller: &Principal, alert: &Alert) -> Result<u32, AlertError> {
        AlertRules::read(
            &alert.condition,
            &alert.schedule,
            &alert.notify,
            alert.rearm_seconds,
            &alert.parameters,
        )
        .map_err(AlertError::Invalid)?;
        if caller.test_only {
            return Err(AlertError::Narrow("it reaches test connections only"));
        }
        let permit = Permit::<QueriesRead>::check(caller)?;
        let record = self.parts.queries.get(&permit, alert.query).await.map_err(Box::new)?;
        if record.sql.is_none() {
            let rule = "this question has no SQL that you could run; there is nothing to judge";
            return Err(AlertError::Field { field: "query_id", rule });
        }
        let known = &record.definition.parameters;
        if alert.parameters.keys().any(|name| !known.iter().any(|it| it.name == *name)) {
            let rule = "holds a name that is no parameter of the query";
            return Err(AlertError::Field { field: "parameters", rule });
        }
        let is_needed = |it: &&Parameter| it.required && it.default.is_none();
        if known.iter().filter(is_needed).any(|it| !alert.parameters.contains_key(&it.name)) {
            let rule = "lacks a value that the query needs";
            return Err(AlertError::Field { field: "parameters", rule });
        }
        if record.saved {
            return Ok(record.definition.version);
        }
        // So that it stays as long as the alert asks it.
        let permit = Permit::<QueriesWrite>::check(caller)?;
        let change = SaveChange { saved: Some(true), ..SaveChange::default() };
        let saved = self.parts.queries.save(&permit, alert.query, change, None).await;
        Ok(saved.map_err(Box::new)?.definition.version)
    }
}

impl Mute {
    /// Until when; `None` for as long as nobody ends it.
    pub fn until(self) -> Option<Timestamp> {
        match self {
            Self::Forever => None,
            Self::Until(at) => Some(at),
        }
    }
}

fn name(text: &str) -> Result<String, AlertError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > 200 || text.chars().any(char::is_control) {
        let rule = "has to be 1 to 200 characters, on one line";
        return Err(AlertError::Field { field: "name", rule });
    }
    Ok(text.to_owned())
}

fn description(text: &str) -> Result<String, AlertError> {
    if text.chars().count() > 2_000 || text.contains('\0') {
        let rule = "has to be at most 2000 characters";
        return Err(AlertError::Field { field: "description", rule });
    }
    Ok(text.to_owned())
}
