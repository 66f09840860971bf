use jiff::Timestamp;
use plinth_core::UserId;
use serde::{Deserialize, Serialize};

use crate::InvitationId;

/// To whom a letter goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LetterTo {
    /// To one address.
    Address(String),
    /// To the organization's owner and its admins, as they are when it is sent.
    Managers,
}

/// What a letter says. Stored in the outbox, so it holds neither tokens nor credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Letter {
    /// Somebody was invited. The link's token is made from the id and the number.
    Invitation {
        /// Which invitation.
        invitation: InvitationId,
        /// How often it was sent: each sending has a link of its own, and the newest counts.
        sending: i32,
        /// Who invites.
        inviter: String,
        /// Into which organization.
        organization: String,
        /// As what.
        role: String,
        /// Until when the link is good.
        expires_at: Timestamp,
    },
    /// Somebody forgot their password. The link's token is made from the user and the number.
    PasswordReset {
        /// Who.
        user: UserId,
        /// The number of the request: a newer one makes older links useless, and so does a change of password.
        number: i32,
        /// Until when the link is good.
        expires_at: Timestamp,
    },
    /// Somebody's password was changed: they should know, in case it was not they.
    PasswordChanged {
        /// When.
        at: Timestamp,
    },
    /// A session was ended because its refresh token was used twice: somebody may have stolen it.
    SessionEnded {
        /// When.
        at: Timestamp,
    },
    /// A database has not answered for a while and is no longer used.
    ConnectionLost {
        /// The connection's name.
        connection: String,
        /// What is wrong, in a sentence.
        title: String,
        /// What can be done.
        fix_steps: Vec<String>,
        /// Since when.
        since: Timestamp,
    },
    /// It answers again.
    ConnectionRecovered {
        /// The connection's name.
        connection: String,
        /// When it did.
        at: Timestamp,
    },
    /// An action of a workflow waits for somebody to approve it.
    ApprovalWanted {
        /// The workflow's name.
        workflow: String,
        /// The run's id.
        run: String,
        /// The action's name.
        action: String,
        /// The role that decides.
        role: String,
        /// Until when.
        expires_at: Timestamp,
    },
    /// Runs of a workflow have begun to fail. Told once, until one succeeds again.
    WorkflowFailed {
        /// The workflow's name.
        workflow: String,
        /// The run's id.
        run: String,
        /// Why it failed; without secrets and without results.
        error: String,
        /// When.
        at: Timestamp,
    },
    /// A workflow stands still until somebody looks after it.
    WorkflowPaused {
        /// The workflow's name.
        workflow: String,
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// A run succeeded again.
    WorkflowRecovered {
        /// The workflow's name.
        workflow: String,
        /// When.
        at: Timestamp,
    },
    /// A receiver of events said that it wants no more, or has taken none for days, and gets none.
    SubscriptionEnded {
        /// What the subscription is for, as its maker described it.
        description: String,
        /// The receiver's host.
        host: String,
        /// Its id.
        subscription: String,
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// The condition of an alert holds.
    AlertTriggered {
        /// The alert's name.
        alert: String,
        /// What was found, in a few words.
        found: String,
        /// Since when it holds.
        since: Timestamp,
        /// Whether that was told before.
        again: bool,
    },
    /// It does not hold any more.
    AlertResolved {
        /// The alert's name.
        alert: String,
        /// What was found, in a few words.
        found: String,
        /// Since when it held.
        since: Timestamp,
        /// When it did not any more.
        at: Timestamp,
    },
    /// Whether it holds cannot be said.
    AlertUnknown {
        /// The alert's name.
        alert: String,
        /// What was found, in a few words.
        found: String,
        /// When.
        at: Timestamp,
    },
    /// The query of an alert fails. Told once, until it works again.
    AlertFailing {
        /// The alert's name.
        alert: String,
        /// Why; without secrets and without results.
        error: String,
        /// When.
        at: Timestamp,
    },
    /// An alert that could not be judged can be again.
    AlertRecovered {
        /// The alert's name.
        alert: String,
        /// When.
        at: Timestamp,
    },
    /// An alert stands still until somebody looks after it.
    AlertPaused {
        /// The alert's name.
        alert: String,
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// Widgets of a dashboard stand still because whoever they ran as has left. Told once.
    WidgetsPaused {
        /// The dashboard's name.
        dashboard: String,
        /// How many of its widgets.
        widgets: usize,
        /// When somebody looked and found them so.
        at: Timestamp,
    },
    /// A change of a schema broke saved queries. Told once for each.
    QueriesBroken {
        /// The connection's name.
        connection: String,
        /// The names of those that do not work.
        broken: Vec<String>,
        /// The names of those that Plinth repaired by itself.
        repaired: Vec<String>,
        /// How many there are beside those that are named.
        more: usize,
        /// When it was found.
        at: Timestamp,
    },
    /// Somebody is the owner now.
    OwnershipTransferred {
        /// Of which organization.
        organization: String,
        /// The new owner's address.
        owner: String,
    },
    /// An organization is going to be deleted.
    OrganizationDeletion {
        /// Which.
        organization: String,
        /// When it will be gone.
        at: Timestamp,
    },
}
