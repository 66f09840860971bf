use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use plinth_core::{Classify as _, ErrorKind, OrgId, Permit, WorkflowsWrite};
use plinth_tenancy::AuditEntry;
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Workflows;
use super::calls::{Noted, TooMany};
use crate::definition::{Overlap, Trigger};
use crate::exact;
use crate::hook::REPLAY_WINDOW;
use crate::ports::{Call, Changed, Enqueued, Queued};
use crate::run::{NewRun, Run, TriggerEvent};
use crate::schedule::{Firing, Skipped};
use crate::{KEPT, KEPT_RUNS, RunId, WorkflowError, WorkflowId};

/// The largest body that a webhook takes, in bytes.
pub const MOST_HOOK_BYTES: usize = 64 * 1024;

/// How many schedules are looked for at once, and how often in one look at most.
const BATCH: usize = 100;
const MOST_BATCHES: usize = 100;

/// How many of them are acted on at once.
const AT_ONCE: usize = 4;

/// How many versions are remembered that are left to newer servers.
const MOST_UNREAD: usize = 1_000;

/// The longest id of a call that is remembered as it is, in bytes.
const LONGEST_ID: usize = 200;

/// A workflow's webhook, and its secrets.
#[derive(Debug)]
pub struct Hook {
    /// The secret part of its URL.
    pub token: SecretString,
    /// What its callers sign with.
    pub secret: SecretString,
    /// What the calls of its own actions are signed with, where they ask for it.
    pub calls_secret: SecretString,
}

/// A call to a webhook, as it came.
#[derive(Clone, Debug, Default)]
pub struct HookCall {
    /// `webhook-id`: names the call, so that it is taken once.
    pub id: Option<String>,
    /// `webhook-timestamp`.
    pub timestamp: Option<String>,
    /// `webhook-signature`.
    pub signature: Option<String>,
    /// From which address.
    pub source: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Workflows {
    /// The workflow's webhook.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::NotFound`].
    pub async fn hook(
        &self,
        permit: &Permit<WorkflowsWrite>,
        id: WorkflowId,
    ) -> Result<Hook, WorkflowError> {
        let number = self.find(permit.principal(), id).await?.hook_number;
        let hooks = &self.parts.hooks;
        let (token, secret) = (hooks.token(id, number), hooks.secret(id, number));
        Ok(Hook { token, secret, calls_secret: hooks.calls_secret(id, number) })
    }

    /// Gives the workflow another URL and other secrets; the old ones stop working at once.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::NotFound`].
    pub async fn rotate_hook(
        &self,
        permit: &Permit<WorkflowsWrite>,
        id: WorkflowId,
    ) -> Result<Hook, WorkflowError> {
        let (caller, now) = (permit.principal(), self.parts.clock.now());
        let mut rotate = |workflow: &mut crate::Workflow| {
            workflow.hook_number += 1;
            workflow.revision += 1;
            workflow.updated_at = now;
            let entry = AuditEntry::of(caller, now, "workflow.hook_rotated").on("workflow", id);
            Ok(Changed { published: None, entry: Some(entry) })
        };
        let changed = self.parts.store.change(permit.org(), id, &mut rotate).await?;
        changed.ok_or(WorkflowError::NotFound(id))?;
        self.hook(permit, id).await
    }

    /// Takes a call to a webhook: whoever has the URL may make one. `None` for a call that was taken before.
    ///
    /// # Errors
    ///
    /// - [`WorkflowError::NoHook`] for a URL that is none, or not any more.
    /// - [`WorkflowError::Standing`] if the workflow does not run now; it stands among the workflow's events.
    /// - [`WorkflowError::Unsigned`] if it has to be signed and is not; likewise, up to some of each minute.
    /// - [`WorkflowError::TooFast`] if more come in a minute than it says; it stands there once for each minute.
    /// - [`WorkflowError::Full`] if too many of its runs wait; likewise.
    pub async fn called(&self, token: &str, call: HookCall) -> Result<Option<Run>, WorkflowError> {
        let (id, number) = self.parts.hooks.read(token).ok_or(WorkflowError::NoHook)?;
        let store = &self.parts.store;
        let org = store.organization_of(id).await?.ok_or(WorkflowError::NoHook)?;
        let workflow = store.find(org, id).await?.filter(|it| it.hook_number == number);
        let workflow = workflow.ok_or(WorkflowError::NoHook)?;
        self.parts.tenancy.require_open(org).await?;
        let now = self.parts.clock.now();
        let mut event = TriggerEvent::new(id, "webhook", now, call.source.clone());
        let definition = self.published(&workflow).await?;
        let (signed, per_minute) = match definition.map(|it| it.trigger) {
            Some(Trigger::Webhook { signed, per_minute }) => (signed, per_minute),
            _ => return Err(WorkflowError::NoHook),
        };
        let checked = if workflow.is_live() {
            match (&call.id, &call.timestamp, &call.signature) {
                (Some(call_id), Some(timestamp), Some(signature)) if signed => {
                    let said = (call_id.as_str(), timestamp.as_str(), signature.as_str());
                    self.parts.hooks.check((id, number), said, &call.body, now)
                }
                _ if signed => Err(WorkflowError::Unsigned(
                    "`webhook-id`, `webhook-timestamp` and `webhook-signature` are needed",
                )),
                _ => Ok(()),
            }
        } else {
            Err(WorkflowError::Standing("it is disabled or paused"))
        };
        if let Err(err) = checked {
            let noted = self.calls.refuse(id, now);
            if noted != Noted::No {
                let more =
                    if noted == Noted::Last { "; more of this minute are not noted" } else { "" };
                event.outcome = format!("refused: {err}{more}");
                store.note(org, &event).await?;
            }
            return Err(err);
        }
        // Where no more runs may wait the minute has no room at all.
        let is_full = self.is_full(org, id).await?;
        let most = if is_full { 0 } else { per_minute };
        if let Err(TooMany { seconds, is_first }) = self.calls.admit(id, most, now) {
            let err =
                if is_full { WorkflowError::Full } else { WorkflowError::TooFast { seconds } };
            if is_first {
                event.outcome = format!("refused: {err}; more of this minute are not noted");
                store.note(org, &event).await?;
            }
            return Err(err);
        }
        let once = call.id.as_ref().map(|it| Call { id: kept_id(it), kept: REPLAY_WINDOW * 2 });
        let run = RunId::new(now);
        let queued = TriggerEvent { run: Some(run), ..event.clone() };
        let payload = Some(payload(&call.body));
        let new = NewRun { id: run, workflow: id, payload, event: queued };
        match self.enqueue(org, Enqueued { run: new, entry: None, once }).await? {
            Queued::Run(run) => Ok(Some(*run)),
            Queued::Gone => Err(WorkflowError::NoHook),
            Queued::Repeated => {
                event.outcome = "repeated: it was taken before".to_owned();
                store.note(org, &event).await?;
                Ok(None)
            }
        }
    }

    /// Acts on schedules that are due; says how many. Any number of servers may at once, and share them.
    ///
    /// # Errors
    ///
    /// When storage cannot be reached; what is due stays due.
    pub async fn tick(&self) -> Result<usize, WorkflowError> {
        let mut fired = 0;
        // What stays due, and is not looked at again in this look.
        let mut left = Vec::new();
        for _ in 0..MOST_BATCHES {
            let due = self.parts.store.due(BATCH, &left).await?;
            let is_last = due.len() < BATCH;
            let before = fired;
            for few in due.chunks(AT_ONCE) {
                let all = join_all(few.iter().map(|it| self.fire(it.0, it.1))).await;
                for (&(org, id), it) in few.iter().zip(all) {
                    match it {
                        Ok(true) => fired += 1,
                        Ok(false) => left.push(id),
                        Err(err) if err.kind() == ErrorKind::Unavailable => return Err(err),
                        // One that cannot be acted on holds up nobody else's.
                        Err(err) => {
                            let error = plinth_core::chain(&err);
                            tracing::warn!(workflow.id = %id, %org, error, "a schedule cannot be acted on");
                            left.push(id);
                        }
                    }
                }
            }
            if fired > before {
                self.parts.bell.ring();
            }
            if is_last {
                break;
            }
        }
        Ok(fired)
    }

    /// Acts on one schedule that is due; `false` if somebody else has to.
    async fn fire(&self, org: OrgId, id: WorkflowId) -> Result<bool, WorkflowError> {
        let store = &self.parts.store;
        let Some(workflow) = store.find(org, id).await? else { return Ok(false) };
        let Some(version) = workflow.published else { return Ok(false) };
        let Some(definition) = self.published(&workflow).await? else {
            // A newer server published it, and fires it: this one cannot say when it is due again.
            let mut unread = self.unread.lock().expect("not poisoned");
            if unread.len() >= MOST_UNREAD {
                unread.clear();
            }
            if unread.insert((id, version)) {
                tracing::warn!(
                    workflow.id = %id, %org, version,
                    "a schedule is due that this server does not understand; it is left to newer ones"
                );
            }
            return Ok(false);
        };
        let zone = self.zone(org).await?;
        let is_live = workflow.is_live();
        // Where slots are skipped whose run before is not over, no two wait.
        let queues =
            matches!(&definition.trigger, Trigger::Schedule(it) if it.overlap == Overlap::Queue);
        let is_full = queues && self.is_full(org, id).await?;
        let decide = |due, now, is_busy| match &definition.trigger {
            Trigger::Schedule(schedule) if is_live => {
                let mut firing = schedule.fire(due, now, &zone, is_busy);
                let full = firing.run.take_if(|_| is_full);
                firing.skipped.extend(full.map(|slot| (slot, Skipped::Full)));
                firing
            }
            _ => Firing { run: None, skipped: Vec::new(), next: None },
        };
        Ok(store.fire(org, id, version, &decide).await?)
    }

    /// Forgets runs that are old or many.
    ///
    /// # Errors
    ///
    /// When storage fails.
    pub async fn sweep(&self) -> Result<u64, WorkflowError> {
        let store = &self.parts.store;
        let all = store.organizations().await?;
        let sweep = |org| store.sweep(org, KEPT, KEPT_RUNS);
        Ok(plinth_core::sweep_each("old runs", all, sweep).await)
    }
}

/// A body as templates read it: JSON with all that can be kept of it, other text as `{"text": …}`.
fn payload(body: &[u8]) -> Value {
    let text = String::from_utf8_lossy(body).replace('\0', "\u{fffd}");
    if text.trim().is_empty() {
        return json!({});
    }
    exact::read(&text).unwrap_or_else(|| json!({ "text": text }))
}

/// A caller's id as it is remembered: a long one, or one that no database keeps, by its hash, so that no two are taken for one.
fn kept_id(id: &str) -> String {
    if id.len() <= LONGEST_ID && !id.contains('\0') {
        return id.to_owned();
    }
    format!("sha256:{}", STANDARD.encode(Sha256::digest(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_keep_what_they_say() {
        for (body, expected) in [
            (
                &br#"{"id":1,"amount":12345678901234567890.12}"#[..],
                json!({ "id": 1, "amount": "12345678901234567890.12" }),
            ),
            (br#"{"id":1,"far":1e400}"#, json!({ "id": 1, "far": "1e400" })),
            (
                br#"{"id":1,"note":"a\u0000\udc00 \\u0000"}"#,
                json!({ "id": 1, "note": "a\u{fffd}\u{fffd} \\u0000" }),
            ),
            (b"{\"id\":1,\"note\":\"\xff\0\"}", json!({ "id": 1, "note": "\u{fffd}\u{fffd}" })),
            (b" \n", json!({})),
            (b"{1e400:1}", json!({ "text": "{1e400:1}" })),
        ] {
            assert_eq!(payload(body), expected, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn no_two_ids_are_taken_for_one() {
        assert_eq!(kept_id("msg_1"), "msg_1");
        let long = "x".repeat(LONGEST_ID);
        assert_eq!(kept_id(&long), long);
        let of = |last: &str| kept_id(&format!("{long}{last}"));
        assert!(of("a") != of("b") && of("a").len() < LONGEST_ID, "{}", of("a"));
        assert_ne!(kept_id("a\0b"), kept_id("ab"));
    }
}
