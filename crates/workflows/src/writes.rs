//! Actions that write to databases, and who lets them.

use jiff::{SignedDuration, Timestamp};
use plinth_connections::ConnectionError;
use plinth_connections::writes::{
    OpenedWrite, Write, WriteConnections, WriteFailure, WriteKey, Written,
};
use plinth_core::{Classify as _, ErrorKind, Principal, UserId};
use plinth_queries::{JudgedWrite, Queries, QueryError};
use plinth_tenancy::MemberRole;
use serde_json::{Value, json};

use crate::actions::{Occasion, Sent, idempotency_key};
use crate::definition::WriteAction;
use crate::ports::Fault;
use crate::template::{Context, aside};
use crate::{RunId, WorkflowId};

/// Writes what actions say, over write connections: judged by the guard each time, with values bound, as a role that reads
/// nothing else.
#[derive(Clone)]
pub struct DatabaseWriter {
    queries: Queries,
    connections: WriteConnections,
}

/// A statement that may be sent.
struct Ready {
    opened: OpenedWrite,
    judged: JudgedWrite,
    values: Vec<Option<String>>,
}

impl DatabaseWriter {
    /// Writes over these connections, judged by that service.
    pub fn new(queries: Queries, connections: WriteConnections) -> Self {
        Self { queries, connections }
    }

    /// Whether the member may use the write connection now; says why the guard refuses the statement, if it does. Where the
    /// schema cannot be read now, that shows when it is written.
    ///
    /// # Errors
    ///
    /// As for [`WriteConnections::open`].
    pub(crate) async fn check(
        &self,
        caller: &Principal,
        action: &WriteAction,
    ) -> Result<Option<String>, ConnectionError> {
        let opened = self.connections.open(caller, action.connection).await?;
        let (sql, values) = (action.sql.sql(), action.sql.values());
        match self.queries.judge_write(caller, &opened, sql, values).await {
            Err(QueryError::Rejected(why)) => Ok(Some(why.to_string())),
            _ => Ok(None),
        }
    }

    /// What an action would write: the statement and its values. Nothing is run.
    ///
    /// # Errors
    ///
    /// [`Fault`], as the action itself would fail before anything is sent.
    pub(crate) async fn show(
        &self,
        caller: &Principal,
        action: &WriteAction,
        context: &Context,
    ) -> Result<Value, Fault> {
        let ready = self.ready(caller, action, context).await?;
        let Ready { opened, judged, values } = &ready;
        Ok(json!({
            "write_connection_id": opened.record.id,
            "kind": judged.approved.kind.as_str(),
            "target": judged.approved.target.to_string(),
            "statement": judged.approved.sql,
            "values": values,
            "max_rows": opened.record.max_rows,
            "takes_effect": if opened.record.key_schema.is_some() { "once" } else { "at_most_once" },
        }))
    }

    /// Writes. Where keys are kept, the same run and action take effect once, however often this is called; where none are,
    /// nothing is sent a second time after a try whose end nobody knows.
    ///
    /// # Errors
    ///
    /// [`Fault`]: temporary if nothing took effect, or it cannot take effect twice; [`Fault::unknown`] if nobody knows.
    pub(crate) async fn write(
        &self,
        occasion: &Occasion,
        name: &str,
        action: &WriteAction,
        context: &Context,
    ) -> Result<Sent, Fault> {
        let ready = self.ready(&occasion.acting, action, context).await?;
        let Ready { opened, judged, values } = ready;
        let record = &opened.record;
        let keys = record.key_schema.clone().zip(record.keys_since);
        let request = json!({
            "write_connection_id": record.id,
            "kind": judged.approved.kind.as_str(),
            "target": judged.approved.target.to_string(),
            "statement": judged.approved.sql,
            // What they are was read with the owner's rights.
            "value_count": values.len(),
            "takes_effect": if keys.is_some() { "once" } else { "at_most_once" },
        });
        let told = |fault: Fault| Fault { request: Some(request.clone()), ..fault };
        if let Some(begun) = occasion.begun
            && keys.as_ref().is_none_or(|it| begun < it.1)
        {
            return Err(told(Fault::unknown(
                "a try of it was cut off, and whether that took effect is not known; it is not sent again",
            )));
        }
        let has_keys = keys.is_some();
        let key =
            keys.map(|(schema, _)| WriteKey { schema, key: idempotency_key(occasion.run, name) });
        let write = Write {
            sql: judged.approved.sql,
            parameters: values,
            search_path: judged.search_path,
            time_zone: judged.time_zone,
            time: action.time,
            max_rows: record.max_rows.into(),
            key,
        };
        let response = match self.connections.write(&opened, &write).await {
            Ok(Written::Now { rows }) => json!({ "rows": rows, "took_effect": "now" }),
            Ok(Written::Before) => json!({ "rows": null, "took_effect": "before" }),
            Err(failure) => return Err(told(fault_of(&failure, has_keys))),
        };
        Ok(Sent { request, response })
    }

    async fn ready(
        &self,
        caller: &Principal,
        action: &WriteAction,
        context: &Context,
    ) -> Result<Ready, Fault> {
        let opened = self.connections.open(caller, action.connection).await;
        let opened = opened.map_err(|err| of_connection(&err))?;
        let (sql, context) = (action.sql.clone(), context.clone());
        let values = aside(move || sql.bind(&context).map_err(Fault::permanent)).await?;
        let judged = self.queries.judge_write(caller, &opened, action.sql.sql(), values.len());
        let judged = judged.await.map_err(|err| of_judge(&err))?;
        Ok(Ready { opened, judged, values })
    }
}

fn of_connection(err: &ConnectionError) -> Fault {
    fault_by_kind(err.kind(), err.to_string())
}

fn of_judge(err: &QueryError) -> Fault {
    fault_by_kind(err.kind(), err.to_string())
}

fn fault_by_kind(kind: ErrorKind, text: String) -> Fault {
    if kind.is_ours() {
        // What is ours stays ours.
        return Fault::temporary("the server could not judge the statement now");
    }
    match kind {
        ErrorKind::Connection | ErrorKind::Unavailable | ErrorKind::RateLimited => {
            Fault::temporary(text)
        }
        _ => Fault::permanent(text),
    }
}

fn fault_of(failure: &WriteFailure, has_keys: bool) -> Fault {
    let text = failure.to_string();
    match failure {
        WriteFailure::Unreachable(_)
        | WriteFailure::Busy
        | WriteFailure::Refused { is_temporary: true, .. } => Fault::temporary(text),
        WriteFailure::Refused { is_temporary: false, .. }
        | WriteFailure::TimedOut(_)
        | WriteFailure::TooManyRows { .. } => Fault::permanent(text),
        // With a key it can be sent again: either the key is there, or the effect is not.
        WriteFailure::Unknown => Fault { is_temporary: has_keys, ..Fault::unknown(text) },
    }
}

/// Who has to let an action be taken, and for how long it waits for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedApproval {
    /// A role's name. Owners and, unless it is theirs, admins may too.
    pub role: String,
    /// How long it waits.
    pub time: std::time::Duration,
    /// Whether the workflow's owner, and whoever started the run, may approve it themselves.
    pub self_approval: bool,
}

impl WantedApproval {
    /// Whether somebody of that role may decide.
    pub fn is_for(named: &str, role: &MemberRole) -> bool {
        match role.name() {
            "owner" => true,
            "admin" => named != "owner",
            name => name == named,
        }
    }
}

/// An action that waits for somebody, or waited.
#[derive(Clone, Debug, PartialEq)]
pub struct Approval {
    /// The action's place in the run.
    pub position: i32,
    /// Its name.
    pub action: String,
    /// The role that decides.
    pub role: String,
    /// What would be done; exactly that is what is approved.
    pub shown: Value,
    /// As whom the run acts; `None` for old ones.
    pub requested_by: Option<UserId>,
    /// Who started it, where somebody did.
    pub started_by: Option<UserId>,
    /// Whether these two may approve it themselves.
    pub self_approval: bool,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// When it is too late.
    pub expires_at: Timestamp,
    /// What came of it.
    pub state: ApprovalState,
    /// When it was decided.
    pub decided_at: Option<Timestamp>,
    /// By whom.
    pub decided_by: Option<UserId>,
    /// What they said.
    pub comment: Option<String>,
}

/// What came of an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApprovalState {
    /// Nobody has decided.
    Pending,
    /// It may be done.
    Approved,
    /// It may not.
    Declined,
    /// Nobody decided in time.
    Expired,
    /// The run was cancelled before anybody decided.
    Withdrawn,
}

impl ApprovalState {
    /// Every state.
    pub const ALL: [Self; 5] =
        [Self::Pending, Self::Approved, Self::Declined, Self::Expired, Self::Withdrawn];

    /// Its name in rows and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Declined => "declined",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl Approval {
    /// Whether it is that person's own: their workflow, or a run that they started.
    pub fn is_of(&self, user: UserId) -> bool {
        [self.requested_by, self.started_by].contains(&Some(user))
    }

    /// For how long the run stood still; none of it counts as its own time.
    pub(crate) fn waited(&self) -> SignedDuration {
        let until = match self.state {
            ApprovalState::Pending => return SignedDuration::ZERO,
            ApprovalState::Expired | ApprovalState::Withdrawn => self.expires_at,
            ApprovalState::Approved | ApprovalState::Declined => {
                self.decided_at.unwrap_or(self.expires_at)
            }
        };
        until.duration_since(self.asked_at).max(SignedDuration::ZERO)
    }
}

/// An approval among those of all workflows.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedApproval {
    /// Of which workflow.
    pub workflow: WorkflowId,
    /// Its name.
    pub workflow_name: String,
    /// Of which run.
    pub run: RunId,
    /// The approval.
    pub approval: Approval,
    /// Whether whoever asks may approve it now.
    pub may_approve: bool,
}

/// Which approvals to list; a field that is not set lets all through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApprovalFilter {
    /// Only those that stand so.
    pub state: Option<ApprovalState>,
    /// Only those of this workflow.
    pub workflow: Option<WorkflowId>,
}

/// What somebody decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Which action's it is: the one that was judged, and not one that came after.
    pub position: i32,
    /// Whether it may be done.
    pub approves: bool,
    /// By whom.
    pub by: UserId,
    /// Why, for those who read the run.
    pub comment: Option<String>,
}

#[cfg(test)]
mod tests {
    use plinth_tenancy::Role;

    use super::*;

    #[test]
    fn who_stands_above_the_named_role_may_decide_too() {
        let may = |named, role| WantedApproval::is_for(named, &MemberRole::BuiltIn(role));
        assert!(may("admin", Role::Owner) && may("admin", Role::Admin));
        assert!(!may("admin", Role::Editor) && !may("owner", Role::Admin));
        assert!(may("editor", Role::Editor) && may("finance", Role::Admin));
        assert!(!may("finance", Role::Editor) && !may("editor", Role::Viewer));
    }

    #[test]
    fn an_unknown_end_is_tried_again_only_where_keys_are_kept() {
        let with = fault_of(&WriteFailure::Unknown, true);
        let without = fault_of(&WriteFailure::Unknown, false);
        assert!(with.is_unknown() && with.is_temporary);
        assert!(without.is_unknown() && !without.is_temporary);
        let late = fault_of(&WriteFailure::TimedOut(std::time::Duration::from_secs(1)), true);
        assert!(!late.is_unknown() && !late.is_temporary);
    }
}
