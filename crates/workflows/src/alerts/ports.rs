use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use plinth_core::{Cursor, Limit, OrgId, StoreError, UserId};
use plinth_tenancy::outbox::Letter;
use plinth_tenancy::{AuditEntry, Email};

use super::alert::{Alert, Evaluation};
use super::standing::{Episode, Standing};
use super::{AlertError, AlertId};
use crate::condition::Earlier;

/// A decision about one alert: pure, so that it can be taken again. Without an entry nothing is written.
pub type DecideAlert<'a> =
    &'a mut (dyn FnMut(&mut Alert) -> Result<Option<AuditEntry>, AlertError> + Send);

/// Who gets a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// The alert's owner, as they are when it is written.
    Owner,
    /// The organization's owner and admins.
    Managers,
    /// Somebody else.
    Address(Email),
}

/// Something that is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// To whom.
    pub to: Whom,
    /// What.
    pub letter: Letter,
}

/// How an evaluation ends.
#[derive(Clone, Debug)]
pub struct Conclusion {
    /// The alert's name.
    pub name: String,
    /// The episode that was not over before it.
    pub episode_before: Option<Episode>,
    /// How the alert stands by it.
    pub standing: Standing,
    /// What is kept of it; `None` if nothing was asked.
    pub evaluation: Option<Evaluation>,
    /// When it is evaluated next.
    pub due_at: Option<Timestamp>,
    /// Why it does not go on until somebody looks after it.
    pub pause: Option<&'static str>,
    /// What has to be told.
    pub told: Vec<Told>,
    /// When.
    pub at: Timestamp,
}

/// Where alerts are kept, and the queue of those that are due. Every method is one transaction for each organization. Time
/// is the database's.
#[async_trait]
pub trait AlertStore: Send + Sync + 'static {
    /// Keeps a new alert.
    ///
    /// # Errors
    ///
    /// [`AlertError::NameTaken`], [`AlertError::TooMany`] if there are `most` already; nothing changes.
    async fn insert(&self, alert: &Alert, most: i64, entry: &AuditEntry) -> Result<(), AlertError>;

    /// One alert.
    async fn find(&self, org: OrgId, id: AlertId) -> Result<Option<Alert>, StoreError>;

    /// The organization's alerts, newest first; one more than `limit` if there are more.
    async fn list(
        &self,
        org: OrgId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<Alert>, StoreError>;

    /// Changes an alert as `decide` says, and takes it from whoever evaluates it; `None` if there is none.
    ///
    /// # Errors
    ///
    /// What `decide` says, and [`AlertError::NameTaken`]; nothing changes.
    async fn change(
        &self,
        org: OrgId,
        id: AlertId,
        decide: DecideAlert<'_>,
    ) -> Result<Option<Alert>, AlertError>;

    /// Removes an alert with what came of it, if its revision is one of `expected`; `false` if there is none.
    ///
    /// # Errors
    ///
    /// [`AlertError::Changed`] if it has another revision.
    async fn remove(
        &self,
        org: OrgId,
        id: AlertId,
        expected: Option<&[i64]>,
        entry: &AuditEntry,
    ) -> Result<bool, AlertError>;

    /// What came of it, newest first; one more than `limit` if there are more.
    async fn evaluations(
        &self,
        org: OrgId,
        id: AlertId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Vec<Evaluation>, StoreError>;

    /// Takes at most `most` alerts of all organizations that are due, or whose worker has lost its lease, and about
    /// `per_organization` of each at once. No two callers get the same one.
    async fn take(
        &self,
        most: usize,
        per_organization: i32,
        lease: Duration,
    ) -> Result<Vec<Alert>, StoreError>;

    /// Keeps an alert for another lease; `false` if it is lost.
    async fn keep(
        &self,
        org: OrgId,
        id: AlertId,
        fence: i64,
        lease: Duration,
    ) -> Result<bool, StoreError>;

    /// What is kept in mind of the newest evaluations that asked as that person and whose query did not fail, newest first.
    /// Beyond the newest thousand, whoever they asked as, none is looked for.
    async fn glances(
        &self,
        org: OrgId,
        id: AlertId,
        owner: UserId,
        most: usize,
    ) -> Result<Vec<Earlier>, StoreError>;

    /// Writes how an evaluation ended, with the letters; `false` if the alert is lost, and then nothing is written.
    async fn conclude(
        &self,
        org: OrgId,
        id: AlertId,
        fence: i64,
        conclusion: &Conclusion,
    ) -> Result<bool, StoreError>;

    /// Lets go of an alert whose evaluation failed for now: it is due again in so long. `false` if it is lost.
    async fn again(
        &self,
        org: OrgId,
        id: AlertId,
        fence: i64,
        pause: Duration,
    ) -> Result<bool, StoreError>;

    /// Forgets evaluations that ended more than `age` ago, and those of each alert beyond the newest `count`; says how many.
    async fn sweep(&self, org: OrgId, age: SignedDuration, count: i64) -> Result<u64, StoreError>;

    /// Every organization.
    async fn organizations(&self) -> Result<Vec<OrgId>, StoreError>;
}
