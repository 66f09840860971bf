use plinth_core::{Permit, ProjectsWrite};
use serde_json::Value;

use super::projects::new_endpoint;
use super::{ControlPlane, Outcome, entry, name, no_pooler};
use crate::{
    BranchId, Change, Computes, ControlPlaneError, Endpoint, EndpointId, EndpointKind,
    EndpointState, ProjectId, Rule, Step, Tree,
};

/// The settings of Postgres that callers may set: none of them touches files, programs, other tenants or what branching
/// rests on.
const ALLOWED: [&str; 34] = [
    "autovacuum_analyze_scale_factor",
    "autovacuum_vacuum_cost_delay",
    "autovacuum_vacuum_cost_limit",
    "autovacuum_vacuum_scale_factor",
    "bytea_output",
    "checkpoint_timeout",
    "client_min_messages",
    "constraint_exclusion",
    "cursor_tuple_fraction",
    "datestyle",
    "deadlock_timeout",
    "default_statistics_target",
    "default_transaction_isolation",
    "effective_cache_size",
    "effective_io_concurrency",
    "enable_partitionwise_aggregate",
    "enable_partitionwise_join",
    "from_collapse_limit",
    "geqo",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "intervalstyle",
    "jit",
    "join_collapse_limit",
    "lock_timeout",
    "maintenance_work_mem",
    "max_connections",
    "max_parallel_workers",
    "max_parallel_workers_per_gather",
    "random_page_cost",
    "statement_timeout",
    "temp_buffers",
    "timezone",
    "work_mem",
];

/// An endpoint to be made.
#[derive(Clone, Debug)]
pub struct NewEndpoint {
    /// Where it leads.
    pub branch: BranchId,
    /// What may be done through it.
    pub kind: EndpointKind,
    /// The rest, as it may be changed later.
    pub patch: EndpointPatch,
}

/// What is to be changed about an endpoint.
#[derive(Clone, Debug, Default)]
pub struct EndpointPatch {
    /// A name that people gave it.
    pub name: Option<String>,
    /// `pg_settings` and the like.
    pub settings: Option<Value>,
    /// The least share of the machine.
    pub min: Option<f64>,
    /// The greatest share of the machine.
    pub max: Option<f64>,
    /// See [`Endpoint::suspend_timeout_seconds`].
    pub suspend_timeout_seconds: Option<i64>,
    /// Whether connections are refused.
    pub disabled: Option<bool>,
    /// Whether it has a pooler.
    pub pooled: Option<bool>,
}

impl EndpointPatch {
    pub(super) fn apply(&self, endpoint: &mut Endpoint) -> Result<(), ControlPlaneError> {
        if let Some(text) = &self.name {
            endpoint.name = Some(name("name", text)?);
        }
        if let Some(settings) = &self.settings {
            check_settings(settings)?;
            endpoint.settings = settings.clone();
        }
        let Computes { min, max } = endpoint.computes;
        let wanted = Computes {
            min: self.min.unwrap_or(min),
            max: self.max.unwrap_or(max.max(self.min.unwrap_or(0.0))),
        };
        check_computes(wanted)?;
        endpoint.computes = wanted;
        if let Some(seconds) = self.suspend_timeout_seconds {
            check_suspend(seconds)?;
            endpoint.suspend_timeout_seconds = seconds;
        }
        if let Some(disabled) = self.disabled {
            endpoint.disabled = disabled;
        }
        if self.pooled == Some(false) {
            endpoint.pooled = false;
        }
        Ok(())
    }
}

fn check_computes(wanted: Computes) -> Result<(), ControlPlaneError> {
    if !(wanted.min >= 0.25 && wanted.max <= 64.0 && wanted.min <= wanted.max) {
        let rule = "must be at least 0.25, at most 64, and not above autoscaling_limit_max_cu";
        return Err(ControlPlaneError::invalid("autoscaling_limit_min_cu", rule));
    }
    Ok(())
}

fn check_suspend(seconds: i64) -> Result<(), ControlPlaneError> {
    if !(seconds == -1 || seconds == 0 || (60..=604_800).contains(&seconds)) {
        let rule = "must be 0 for the usual time, -1 for never, or 60 to 604800";
        return Err(ControlPlaneError::invalid("suspend_timeout_seconds", rule));
    }
    Ok(())
}

/// What a project's new endpoints get is bound by the same rules as what one is given.
pub(super) fn check_defaults(settings: &Value) -> Result<(), ControlPlaneError> {
    check_settings(settings)?;
    let usual = Computes::default();
    let min = settings["autoscaling_limit_min_cu"].as_f64().unwrap_or(usual.min);
    let max = settings["autoscaling_limit_max_cu"].as_f64().unwrap_or(usual.max.max(min));
    check_computes(Computes { min, max })?;
    check_suspend(settings["suspend_timeout_seconds"].as_i64().unwrap_or(0))
}

fn check_settings(settings: &Value) -> Result<(), ControlPlaneError> {
    let refuse = |reason: String| Err(ControlPlaneError::Invalid { field: "pg_settings", reason });
    for (name, value) in settings["pg_settings"].as_object().into_iter().flatten() {
        if !ALLOWED.contains(&name.to_ascii_lowercase().as_str()) {
            return refuse(format!("`{name}` cannot be set here"));
        }
        let plain = match value {
            Value::String(text) => text.len() <= 200 && !text.chars().any(char::is_control),
            Value::Number(_) | Value::Bool(_) => true,
            _ => false,
        };
        if !plain {
            return refuse(format!("the value of `{name}` cannot be used"));
        }
    }
    Ok(())
}

impl ControlPlane {
    /// Makes an endpoint, and starts its Postgres: the branch's, or for one that reads only one of its own that follows it.
    ///
    /// # Errors
    ///
    /// [`Rule::SecondReadWrite`] if the branch has one that writes.
    pub async fn create_endpoint(
        &self,
        permit: &Permit<ProjectsWrite>,
        project: &ProjectId,
        new: NewEndpoint,
    ) -> Result<(Outcome, EndpointId), ControlPlaneError> {
        let changed = self.change(permit, project, async |tree, now| {
            let branch = tree.branch(&new.branch).ok_or(ControlPlaneError::NotFound("branch"))?;
            if new.kind == EndpointKind::ReadWrite && tree.writer_of(&branch.id).is_some() {
                return Err(Rule::SecondReadWrite.into());
            }
            Tree::must_be_ready(branch)?;
            let node = self.node_of(&tree.project.node).await?;
            let port = self.free_port(&node, []).await?;
            let mut endpoint = new_endpoint(tree, &branch.id, port, None, now)?;
            endpoint.kind = new.kind;
            new.patch.apply(&mut endpoint)?;
            if new.patch.pooled == Some(true) && !endpoint.pooled {
                return Err(no_pooler());
            }
            let id = endpoint.id.clone();
            let step = Step::Start { endpoint: id.clone() };
            let mut with = tree.clone();
            with.endpoints.push(endpoint.clone());
            let entry = entry(permit, now, "endpoint.created", "endpoint", &id, project);
            let change = Change {
                endpoints: vec![endpoint],
                chain: Self::chain(&with, now, vec![step]),
                entry: Some(entry),
                ..Change::of(tree)
            };
            Ok((change, id))
        });
        changed.await
    }

    /// Changes an endpoint; what Postgres takes only at a start holds from its next one.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::Invalid`] for what breaks a rule.
    pub async fn update_endpoint(
        &self,
        permit: &Permit<ProjectsWrite>,
        project: &ProjectId,
        id: &EndpointId,
        patch: EndpointPatch,
    ) -> Result<Outcome, ControlPlaneError> {
        let changed = self.change(permit, project, async |tree, now| {
            let endpoint = tree.endpoint(id).ok_or(ControlPlaneError::NotFound("endpoint"))?;
            let mut endpoint = endpoint.clone();
            patch.apply(&mut endpoint)?;
            if patch.pooled == Some(true) && !endpoint.pooled {
                self.pool(tree, &mut endpoint).await?;
            }
            endpoint.updated_at = now;
            let change = Change {
                endpoints: vec![endpoint],
                chain: Self::chain(tree, now, vec![Step::Reopen { endpoint: id.clone() }]),
                entry: Some(entry(permit, now, "endpoint.updated", "endpoint", id, project)),
                ..Change::of(tree)
            };
            Ok((change, ()))
        });
        Ok(changed.await?.0)
    }

    /// Starts an endpoint's Postgres, unless it runs.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::Busy`] while other operations are under way.
    pub async fn start_endpoint(
        &self,
        permit: &Permit<ProjectsWrite>,
        project: &ProjectId,
        id: &EndpointId,
    ) -> Result<Outcome, ControlPlaneError> {
        self.change_endpoint(permit, project, id, "endpoint.started", |endpoint| {
            if endpoint.state == EndpointState::Active {
                return Ok(Vec::new());
            }
            endpoint.pending = Some(EndpointState::Active);
            Ok(vec![Step::Start { endpoint: id.clone() }])
        })
        .await
    }

    /// Stops an endpoint's Postgres; the next connection starts it.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::Busy`] while other operations are under way.
    pub async fn suspend_endpoint(
        &self,
        permit: &Permit<ProjectsWrite>,
        project: &ProjectId,
        id: &EndpointId,
    ) -> Result<Outcome, ControlPlaneError> {
        self.change_endpoint(permit, project, id, "endpoint.suspended", |endpoint| {
            if endpoint.state == EndpointState::Idle {
                return Ok(Vec::new());
            }
            endpoint.pending = Some(EndpointState::Idle);
            Ok(vec![Step::Suspend { endpoint: id.clone() }])
        })
        .await
    }

    /// Stops an endpoint's Postgres and starts it again.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::Busy`] while other operations are under way.
    pub async fn restart_endpoint(
        &self,
        permit: &Permit<ProjectsWrite>,
        project: &ProjectId,
        id: &EndpointId,
    ) -> Result<Outcome, ControlPlaneError> {
        self.change_endpoint(permit, project, id, "endpoint.restarted", |endpoint| {
            endpoint.pending = Some(EndpointState::Active);
            let (stop, start) = (id.clone(), id.clone());
            Ok(vec![Step::Suspend { endpoint: stop }, Step::Start { endpoint: start }])
        })
        .await
    }

    /// Deletes an endpoint; `None` if it is not there any more.
    ///
    /// # Errors
    ///
    /// [`ControlPlaneError::Busy`] while other operations are under way.
    pub async fn delete_endpoint(
        &self,
        permit: &Permit<ProjectsWrite>,
        project: &ProjectId,
        id: &EndpointId,
    ) -> Result<Option<(Outcome, Endpoint)>, ControlPlaneError> {
        let tree = self.reach(permit, project).await?;
        let Some(endpoint) = tree.endpoint(id).cloned() else { return Ok(None) };
        let done = self.change_endpoint(permit, project, id, "endpoint.deleted", |_| {
            Ok(vec![Step::Close { endpoint: id.clone() }])
        });
        Ok(Some((done.await?, endpoint)))
    }

    async fn change_endpoint(
        &self,
        permit: &Permit<ProjectsWrite>,
        project: &ProjectId,
        id: &EndpointId,
        action: &str,
        make: impl Fn(&mut Endpoint) -> Result<Vec<Step>, ControlPlaneError>,
    ) -> Result<Outcome, ControlPlaneError> {
        let changed = self.change(permit, project, async |tree, now| {
            let endpoint = tree.endpoint(id).ok_or(ControlPlaneError::NotFound("endpoint"))?;
            let mut endpoint = endpoint.clone();
            let steps = make(&mut endpoint)?;
            endpoint.updated_at = now;
            let change = Change {
                endpoints: vec![endpoint],
                chain: Self::chain(tree, now, steps),
                entry: Some(entry(permit, now, action, "endpoint", id, project)),
                ..Change::of(tree)
            };
            Ok((change, ()))
        });
        Ok(changed.await?.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_that_reach_beyond_the_database_are_refused() {
        let set =
            |name: &str, value: Value| check_settings(&json!({ "pg_settings": { name: value } }));
        assert!(set("work_mem", json!("8MB")).is_ok());
        for name in [
            "archive_command",
            "ssl",
            "shared_preload_libraries",
            "port",
            "data_directory",
            "fsync",
        ] {
            assert!(set(name, json!("x")).is_err(), "{name}");
        }
        assert!(set("work_mem", json!("8MB\nssl=off")).is_err());
        assert!(set("work_mem", json!({})).is_err());
    }

    #[test]
    fn what_new_endpoints_get_is_bound_by_the_same_rules() {
        assert!(check_defaults(&json!({ "pg_settings": { "work_mem": "8MB" } })).is_ok());
        assert!(check_defaults(&json!({ "autoscaling_limit_min_cu": 4.0 })).is_ok());
        for no in [
            json!({ "pg_settings": { "recovery_end_command": "touch x" } }),
            json!({ "autoscaling_limit_max_cu": 1000.0 }),
            json!({ "autoscaling_limit_min_cu": 2.0, "autoscaling_limit_max_cu": 1.0 }),
            json!({ "suspend_timeout_seconds": 5 }),
        ] {
            assert!(check_defaults(&no).is_err(), "{no}");
        }
    }
}
