//! What a workflow does: read whole, with everything that is wrong with it at once.

mod action;
mod fault;
mod meant;
mod step;
mod trigger;

use std::collections::BTreeSet;
use std::time::Duration;

use plinth_queries::QueryId;
use serde_json::Value;

pub(crate) use action::OWN_HEADERS;
pub(crate) use action::read_step;
pub use action::{
    Action, ActionKind, CsvAttachment, EmailAction, HttpAction, HttpBody, Method, SlackAction,
    WriteAction,
};
pub use fault::Fault;
pub(crate) use fault::{Faults, Fields};
pub use meant::{Meant, Receiver};
pub use step::{Step, StepKind};
pub(crate) use trigger::read_timing;
pub use trigger::{Overlap, Trigger, USUAL_PER_MINUTE};

use crate::condition::Condition;
use crate::ports::{self, Found};
use crate::template::Names;
use crate::workflow::Published;

/// The most steps and the most actions of one workflow.
pub const MOST_STEPS: usize = 20;

/// The largest definition, in bytes of JSON.
pub const LARGEST: usize = 128 * 1024;

/// A workflow that can run: a trigger, one or more query steps, perhaps conditions, actions in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// What starts it.
    pub trigger: Trigger,
    /// What is asked, in order.
    pub steps: Vec<Step>,
    /// Whether the actions are taken; `None` for always.
    pub conditions: Option<Condition>,
    /// What is done, in order.
    pub actions: Vec<Action>,
    /// How far a run may go.
    pub limits: RunSettings,
}

/// How far a run may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunSettings {
    /// From its first start to its end, pauses between tries included.
    pub time: Duration,
    /// How many runs of the workflow may be under way at once.
    pub concurrency: u32,
    /// How often a step or action is tried before the run fails.
    pub attempts: u32,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self { time: Duration::from_mins(15), concurrency: 10, attempts: 4 }
    }
}

impl Definition {
    /// The saved queries that its steps run, each once.
    pub fn queries(&self) -> BTreeSet<QueryId> {
        let query = |it: &Step| match &it.kind {
            StepKind::Query { query, .. } => Some(*query),
            StepKind::Question { .. } | StepKind::Sql { .. } => None,
        };
        self.steps.iter().filter_map(query).collect()
    }

    /// What a step found, if it is what the conditions ask for.
    ///
    /// # Errors
    ///
    /// As for [`Condition::fits`].
    pub(crate) fn takes(&self, step: &Step, found: Found) -> Result<Found, ports::Fault> {
        if let Some(condition) = &self.conditions {
            condition.fits(&step.name, &found.result.columns)?;
        }
        Ok(found)
    }

    /// What the names in it mean, as far as that was looked up.
    pub fn meant(&self) -> Meant {
        let query = |it: &Step| match &it.kind {
            StepKind::Query { query, version, .. } => version.map(|version| (*query, version)),
            StepKind::Question { .. } | StepKind::Sql { .. } => None,
        };
        let credential = |it: &Action| Some((it.credential()?.to_owned(), it.receiver.clone()?));
        Meant {
            queries: self.steps.iter().filter_map(query).collect(),
            credentials: self.actions.iter().filter_map(credential).collect(),
        }
    }

    /// A published version, with what the names in it meant when it was published.
    ///
    /// # Errors
    ///
    /// As for [`Definition::parse`].
    pub fn of(published: &Published) -> Result<Self, Vec<Fault>> {
        let mut definition = Self::stored(&published.definition)?;
        let meant = published.meant.as_ref();
        for step in &mut definition.steps {
            if let StepKind::Query { query, version, .. } = &mut step.kind {
                // Of one from before this was noted, as of a widget: the first.
                *version = meant.map_or(Some(1), |it| it.queries.get(query).copied());
            }
        }
        for action in &mut definition.actions {
            let name = action.credential();
            action.receiver = name.and_then(|it| meant?.credentials.get(it).cloned());
        }
        Ok(definition)
    }

    /// Reads a definition: the fields `trigger`, `steps`, `conditions`, `actions` and `limits`.
    ///
    /// # Errors
    ///
    /// Everything that is wrong: numbers that may not be what was sent, then the rest in the order in which it stands.
    pub fn parse(value: &Value) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        crate::condition::check_sent(&value["conditions"], "/conditions", &mut faults);
        for (at, action) in value["actions"].as_array().into_iter().flatten().enumerate() {
            let pointer = format!("/actions/{at}/json");
            crate::condition::check_sent_json(&action["json"], &pointer, &mut faults);
        }
        Self::read(value, faults)
    }

    /// One that was taken already: what only new ones are held to is let through.
    pub(crate) fn stored(value: &Value) -> Result<Self, Vec<Fault>> {
        Self::read(value, Faults::default())
    }

    fn read(value: &Value, mut faults: Faults) -> Result<Self, Vec<Fault>> {
        if value.to_string().len() > LARGEST {
            faults.add("", format!("is larger than {LARGEST} bytes"));
            return Err(faults.0);
        }
        if holds_nul(value) {
            faults.add("", "holds a NUL character, which no database keeps");
            return Err(faults.0);
        }
        let mut fields = Fields::of(value, "", &mut faults);
        let trigger =
            fields.need("trigger", &mut faults).and_then(|it| Trigger::read(it, &mut faults));
        let mut names = Names::default();
        let mut steps = Vec::new();
        let listed = fields.list("steps", MOST_STEPS, &mut faults);
        if listed.is_empty()
            && value.get("steps").is_none_or(|it| it.as_array().is_some_and(Vec::is_empty))
        {
            faults.add("/steps", "has to hold at least one step");
        }
        for (pointer, it) in listed {
            let step = Step::read(it, &pointer, &mut names, &mut faults);
            steps.extend(step);
        }
        let conditions = fields
            .get("conditions")
            .and_then(|it| Condition::read(it, "/conditions", &names, &mut faults));
        let mut actions: Vec<Action> = Vec::new();
        for (pointer, it) in fields.list("actions", MOST_STEPS, &mut faults) {
            let Some(action) = Action::read(it, &pointer, &mut names, &mut faults) else {
                continue;
            };
            actions.push(action);
        }
        let limits = read_limits(fields.get("limits"), &mut faults);
        fields.end(&mut faults);
        match trigger {
            Some(trigger) if faults.0.is_empty() => {
                Ok(Self { trigger, steps, conditions, actions, limits })
            }
            _ => Err(faults.0),
        }
    }

    /// The name of each step and action, in the order in which they are done.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let steps = self.steps.iter().map(|it| it.name.as_str());
        steps.chain(self.actions.iter().map(|it| it.name.as_str()))
    }
}

/// Whether a NUL stands in a text of it; one that is only spelled out, as an escape in SQL, is none.
fn holds_nul(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => text.contains('\0'),
        Value::Array(all) => all.iter().any(holds_nul),
        Value::Object(all) => all.iter().any(|it| it.0.contains('\0') || holds_nul(it.1)),
    }
}

fn read_limits(value: Option<&Value>, faults: &mut Faults) -> RunSettings {
    let usual = RunSettings::default();
    let Some(value) = value else { return usual };
    let mut fields = Fields::of(value, "/limits", faults);
    let seconds = fields.whole("timeout_seconds", 1..=86_400, faults);
    let concurrency = fields.whole("concurrency", 1..=1000, faults);
    let attempts = fields.whole("attempts", 1..=10, faults);
    fields.end(faults);
    let small = |it: u64| u32::try_from(it).unwrap_or(u32::MAX);
    RunSettings {
        time: seconds.map_or(usual.time, Duration::from_secs),
        concurrency: concurrency.map_or(usual.concurrency, small),
        attempts: attempts.map_or(usual.attempts, small),
    }
}

#[cfg(test)]
mod tests;
