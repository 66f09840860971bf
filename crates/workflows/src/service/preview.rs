use std::collections::BTreeSet;
use std::sync::Arc;

use plinth_core::{Cursor, Permit, Principal, QueriesRead, WorkflowsWrite};
use plinth_tenancy::AuditEntry;
use serde_json::{Value, json};

use super::Workflows;
use crate::actions::{Occasion, Sent};
use crate::condition::{Results, Verdict};
use crate::definition::{Definition, Trigger};
use crate::ports::Fault;
use crate::result::StepResult;
use crate::template::{AboutRun, AboutWorkflow, Context};
use crate::{RunId, WorkflowError, WorkflowId};

/// What a workflow would do now.
#[derive(Clone, Debug)]
pub struct Previewed {
    /// Each step with what it found; the last may hold what went wrong.
    pub steps: Vec<(String, Result<Arc<StepResult>, Fault>)>,
    /// What came of the conditions.
    pub verdict: Option<Verdict>,
    /// Each action with what it would send. They stand here also when the conditions do not hold.
    pub actions: Vec<(String, Result<Value, Fault>)>,
}

struct Asked {
    context: Context,
    results: Results,
    steps: Vec<(String, Result<Arc<StepResult>, Fault>)>,
}

impl Asked {
    fn is_whole(&self) -> bool {
        self.steps.iter().all(|it| it.1.is_ok())
    }
}

impl Workflows {
    /// Asks what the draft's steps ask, as the caller, and shows what its actions would send; nothing is sent or stored
    /// beside the history of queries. `webhook` stands in for a call's body.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::NotFound`], [`WorkflowError::Permit`] without `queries:read`, and as for [`Workflows::create`] if a
    /// step names what the caller cannot use.
    pub async fn preview(
        &self,
        permit: &Permit<WorkflowsWrite>,
        id: WorkflowId,
        webhook: Option<Value>,
    ) -> Result<Previewed, WorkflowError> {
        let caller = permit.principal();
        let workflow = self.find(caller, id).await?;
        let definition = self.read(caller, &workflow.draft).await?;
        let now = self.parts.clock.now();
        let run = RunId::new(now);
        let asked = self.ask(caller, &definition, run, (id, &workflow.name), webhook).await?;
        let verdict = match &definition.conditions {
            Some(condition) if asked.is_whole() => {
                let before = match condition.looks_back() {
                    0 => Vec::new(),
                    most => {
                        let before = Cursor { created_at: now, id: run.as_uuid() };
                        // Only at what was read as the caller: else conditions would tell what others found.
                        let runs =
                            self.parts.store.glances(caller.org, id, caller.user, before, most);
                        runs.await?
                    }
                };
                Some(condition.judge(&asked.results, &before))
            }
            _ => None,
        };
        let mut actions = Vec::new();
        if asked.is_whole() {
            for action in &definition.actions {
                let taker = &self.parts.actions;
                let shown = taker.show(caller, run, action, &asked.context, &asked.results);
                let shown = shown.await;
                actions.push((action.name.clone(), shown));
            }
        }
        Ok(Previewed { steps: asked.steps, verdict, actions })
    }

    /// Takes one action of the draft, for real, with what its steps find now; whatever the conditions say.
    ///
    /// # Errors
    ///
    /// As for [`Workflows::preview`]; [`WorkflowError::Field`] if there is no such action or the caller did not confirm.
    /// The inner error is what went wrong with the steps or the action.
    pub async fn test_action(
        &self,
        permit: &Permit<WorkflowsWrite>,
        id: WorkflowId,
        action: &str,
        confirmed: bool,
        webhook: Option<Value>,
    ) -> Result<Result<Sent, Fault>, WorkflowError> {
        if !confirmed {
            let rule = "has to be true: the action is really taken";
            return Err(WorkflowError::Field { field: "confirm", rule });
        }
        let (caller, now) = (permit.principal(), self.parts.clock.now());
        let workflow = self.find(caller, id).await?;
        let definition = self.read(caller, &workflow.draft).await?;
        let found = definition.actions.iter().find(|it| it.name == action);
        let rule = "there is no action of that name";
        let action = found.ok_or(WorkflowError::Field { field: "action", rule })?;
        if action.approval().is_some() {
            let rule = "wants an approval, so that only runs take it";
            return Err(WorkflowError::Field { field: "action", rule });
        }
        let run = RunId::new(now);
        let asked = self.ask(caller, &definition, run, (id, &workflow.name), webhook).await?;
        if let Some((_, Err(fault))) = asked.steps.into_iter().find(|it| it.1.is_err()) {
            return Ok(Err(fault));
        }
        // It stands in the trail before anything leaves.
        let entry = AuditEntry::of(caller, now, "workflow.action_tested")
            .on("workflow", id)
            .with(json!({ "action": action.name }));
        let mut note =
            |_: &mut _| Ok(crate::ports::Changed { published: None, entry: Some(entry.clone()) });
        let noted = self.parts.store.change(caller.org, id, &mut note).await?;
        noted.ok_or(WorkflowError::NotFound(id))?;
        let secret = Some(self.parts.hooks.calls_secret(id, workflow.hook_number));
        let acting = caller.clone();
        let occasion = Occasion {
            run,
            org: caller.org,
            acting,
            begun: None,
            accepted: BTreeSet::new(),
            at: now,
            secret,
        };
        Ok(self.parts.actions.take(&occasion, action, &asked.context, &asked.results).await)
    }

    async fn ask(
        &self,
        caller: &Principal,
        definition: &Definition,
        run: RunId,
        (id, name): (WorkflowId, &str),
        webhook: Option<Value>,
    ) -> Result<Asked, WorkflowError> {
        Permit::<QueriesRead>::check(caller)?;
        let trigger = definition.trigger.kind();
        let payload = match &definition.trigger {
            Trigger::Listen { channel, .. } => webhook.map(|it| {
                let text = it.as_str().map_or_else(|| it.to_string(), str::to_owned);
                json!({ "channel": channel, "payload": it, "text": text, "gap": false, "since": null })
            }),
            _ => webhook,
        };
        let (manual, created_at) = ("manual".to_owned(), self.parts.clock.now());
        let about = AboutRun { id: run, trigger: manual, created_at };
        let workflow = AboutWorkflow { id, name: name.to_owned() };
        let context = Context::triggered(about, workflow, trigger, payload);
        let mut asked = Asked { context, results: Results::new(), steps: Vec::new() };
        for step in &definition.steps {
            let found = self.parts.steps.run(caller, step, &asked.context).await;
            let found = found.and_then(|found| definition.takes(step, found));
            let found = found.map(|it| Arc::new(it.result));
            let is_over = found.is_err();
            if let Ok(result) = &found {
                asked.context.add(&step.name, result.clone());
                asked.results.insert(step.name.clone(), result.clone());
            }
            asked.steps.push((step.name.clone(), found));
            if is_over {
                break;
            }
        }
        Ok(asked)
    }
}
