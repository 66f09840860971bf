use jiff::Timestamp;
use plinth_core::OrgId;
use serde_json::{Value, json};

/// What may happen that others can be told of: the published list. A name never changes its meaning; fields may be added to
/// its data, and none goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "`about` says what each is")]
pub enum EventKind {
    QueryCompleted,
    QueryBroken,
    QueryRepaired,
    WorkflowRunSucceeded,
    WorkflowRunFailed,
    WorkflowPaused,
    AlertTriggered,
    AlertResolved,
    ConnectionUnhealthy,
    ConnectionRecovered,
    SchemaChanged,
    MemberAdded,
    MemberRemoved,
    /// Sent when somebody tries a subscription; nobody can subscribe to it.
    Ping,
}

impl EventKind {
    /// Every kind that can be subscribed to.
    pub const ALL: [Self; 13] = [
        Self::QueryCompleted,
        Self::QueryBroken,
        Self::QueryRepaired,
        Self::WorkflowRunSucceeded,
        Self::WorkflowRunFailed,
        Self::WorkflowPaused,
        Self::AlertTriggered,
        Self::AlertResolved,
        Self::ConnectionUnhealthy,
        Self::ConnectionRecovered,
        Self::SchemaChanged,
        Self::MemberAdded,
        Self::MemberRemoved,
    ];

    /// Its name, as it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueryCompleted => "query.completed",
            Self::QueryBroken => "query.broken",
            Self::QueryRepaired => "query.repaired",
            Self::WorkflowRunSucceeded => "workflow.run.succeeded",
            Self::WorkflowRunFailed => "workflow.run.failed",
            Self::WorkflowPaused => "workflow.paused",
            Self::AlertTriggered => "alert.triggered",
            Self::AlertResolved => "alert.resolved",
            Self::ConnectionUnhealthy => "connection.unhealthy",
            Self::ConnectionRecovered => "connection.recovered",
            Self::SchemaChanged => "schema.changed",
            Self::MemberAdded => "member.added",
            Self::MemberRemoved => "member.removed",
            Self::Ping => "ping",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().chain([Self::Ping]).find(|it| it.as_str() == name)
    }

    /// When it comes, in a sentence.
    pub fn about(self) -> &'static str {
        match self {
            Self::QueryCompleted => {
                "A question or statement was run over a connection, whatever became of it; up to about a second after."
            }
            Self::QueryBroken => {
                "A change of a schema broke a saved query: it does not work any more, or not as it is written."
            }
            Self::QueryRepaired => {
                "A saved query that was broken works again: it was changed, or the schema is as it was."
            }
            Self::WorkflowRunSucceeded => "A run of a workflow succeeded.",
            Self::WorkflowRunFailed => "A run of a workflow failed or took too long.",
            Self::WorkflowPaused => {
                "A workflow stands still until somebody looks after it: its runs failed again and again, or its owner left."
            }
            Self::AlertTriggered => "The condition of an alert began to hold.",
            Self::AlertResolved => "The condition of an alert does not hold any more.",
            Self::ConnectionUnhealthy => {
                "A database has not answered for a while, and its connection is not used any more."
            }
            Self::ConnectionRecovered => "It answers again, and its connection is used again.",
            Self::SchemaChanged => {
                "The schema of a connected database is another than when it was last read."
            }
            Self::MemberAdded => "Somebody joined the organization.",
            Self::MemberRemoved => "Somebody was removed from the organization.",
            Self::Ping => "Somebody tries whether the subscription works.",
        }
    }

    /// What the data of one looks like.
    pub fn example(self) -> Value {
        const ID: &str = "018f3a2b4c5d7e6f8091a2b3c4d5e6f7";
        let id = |prefix: &str| format!("{prefix}_{ID}");
        match self {
            Self::QueryCompleted => json!({
                "query_id": id("q"), "connection_id": id("conn"), "user_id": id("user"), "outcome": "answered",
                "row_count": 142, "execution_time_ms": 12.5,
            }),
            Self::QueryBroken => json!({
                "query_id": id("q"), "connection_id": id("conn"), "repair_id": id("rep"), "state": "open",
                "version": 2,
            }),
            Self::QueryRepaired => json!({
                "query_id": id("q"), "connection_id": id("conn"), "repair_id": id("rep"), "state": "applied",
                "version": 3,
            }),
            Self::WorkflowRunSucceeded => json!({
                "workflow_id": id("wf"), "run_id": id("run"),
            }),
            Self::WorkflowRunFailed => json!({
                "workflow_id": id("wf"), "run_id": id("run"), "status": "failed",
                "error": "post: the receiver answered with 500",
            }),
            Self::WorkflowPaused => json!({
                "workflow_id": id("wf"), "workflow": "Late orders", "reason": "10 runs failed in a row",
            }),
            Self::AlertTriggered | Self::AlertResolved => json!({
                "alert_id": id("alert"), "alert": "Too many late orders", "since": "2026-03-04T05:10:00Z",
            }),
            Self::ConnectionUnhealthy => json!({
                "connection_id": id("conn"), "connection": "shop", "since": "2026-03-04T05:10:00Z",
                "title": "The server refuses connections",
            }),
            Self::ConnectionRecovered => {
                json!({ "connection_id": id("conn"), "connection": "shop" })
            }
            Self::SchemaChanged => json!({
                "connection_id": id("conn"), "snapshot_id": id("snap"), "previous_snapshot_id": id("snap"),
            }),
            Self::MemberAdded | Self::MemberRemoved => json!({
                "member_id": id("member"), "user_id": id("user"), "email": "ann@example.com", "role": "editor",
            }),
            Self::Ping => json!({ "subscription_id": id("sub") }),
        }
    }

    /// The text that is sent of one.
    pub fn body(self, org: OrgId, at: Timestamp, data: &Value) -> String {
        json!({ "type": self.as_str(), "timestamp": at, "organization_id": org, "data": data })
            .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_name_of_its_own_that_leads_back_to_it() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::from_name(kind.as_str()), Some(kind));
            assert!(kind.example().is_object() && kind.about().ends_with('.'));
        }
        assert_eq!(EventKind::from_name("nothing"), None);
    }
}
