use std::net::IpAddr;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use plinth_core::{OrgId, SessionId, StoreError, UserId};

use super::throttle::Subject;
use crate::outbox::Message;
use crate::password::PasswordHash;
use crate::session::{Presented, RefreshClaim, Session};
use crate::{AuditEntry, Email, MemberRole, OrganizationName, User};

/// What is kept of a person beside their address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The person.
    pub user: User,
    /// What is kept of their password; `None` if they have chosen none yet.
    pub password: Option<PasswordHash>,
    /// Counts how often all their sessions were ended.
    pub epoch: i32,
    /// The organization that they used last.
    pub home: Option<OrgId>,
    /// The number of the newest link for a new password, and until when it is good; `None` if it was used.
    pub reset: (i32, Option<Timestamp>),
    /// Where they belong, oldest membership first.
    pub memberships: Vec<Membership>,
}

impl Account {
    /// Which organization a new sign-in is for: the one used last, else the oldest that the person joined themselves.
    /// Where only an identity provider put them they do not land unasked: an organization can have its provider vouch
    /// for any address, and its owner must not receive what the person means for another.
    pub fn default_org(&self) -> Option<OrgId> {
        let home = self.memberships.iter().find(|it| Some(it.org) == self.home);
        let joined = || self.memberships.iter().find(|it| !it.is_managed);
        home.or_else(joined).map(|it| it.org)
    }

    /// In whose trail and outbox it is kept what happens to the person's password and sessions: that of
    /// [`Account::default_org`], else the oldest; `None` if they are in none.
    pub fn recording_org(&self) -> Option<OrgId> {
        self.default_org().or_else(|| self.memberships.first().map(|it| it.org))
    }
}

/// An organization that a person belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The organization.
    pub org: OrgId,
    /// What it is called.
    pub name: OrganizationName,
    /// What the person is there.
    pub role: MemberRole,
    /// Whether an identity provider of the organization put them there, and says what they are.
    pub is_managed: bool,
}

/// A session with what decides about it, as of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSession {
    /// The session.
    pub session: Session,
    /// The person's epoch.
    pub epoch: i32,
    /// Where the person belongs, oldest membership first.
    pub memberships: Vec<Membership>,
}

/// A password that takes the place of another.
#[derive(Clone, Debug)]
pub struct NewPassword {
    /// Whose.
    pub user: UserId,
    /// What to keep of it.
    pub hash: PasswordHash,
    /// When it was chosen.
    pub at: Timestamp,
    /// The epoch in which the old password, or the link, was checked: if the person's is another by now, nothing changes.
    pub epoch: i32,
    /// The number of the link by which it is chosen, which has to be the newest and good, and is used up; `None` if not
    /// by a link.
    pub reset: Option<i32>,
    /// The session that lives on; every other one ends.
    pub keep: Option<SessionId>,
}

/// What a refresh token that was used before leaves behind, in its session's organization if that has one.
#[derive(Clone, Debug)]
pub struct Reuse {
    /// For the trail.
    pub entry: AuditEntry,
    /// For the person.
    pub letter: Message,
}

/// Where people's passwords and sessions are kept. Every method is one transaction in the name of its person; an entry
/// or a letter is written in it if and only if something changes.
#[async_trait]
pub trait AccountStore: Send + Sync + 'static {
    /// Who has that address.
    async fn find_user(&self, email: &Email) -> Result<Option<UserId>, StoreError>;

    /// The person; `None` if there is none of that id.
    async fn account(&self, user: UserId) -> Result<Option<Account>, StoreError>;

    /// Keeps a session, and forgets those of the person that ended long ago.
    async fn insert_session(
        &self,
        session: &Session,
        entry: Option<&AuditEntry>,
    ) -> Result<(), StoreError>;

    /// A session of that person, ended or not.
    async fn find_session(
        &self,
        user: UserId,
        id: SessionId,
    ) -> Result<Option<LiveSession>, StoreError>;

    /// The person's sessions, newest first, ended ones included.
    async fn list_sessions(&self, user: UserId) -> Result<Vec<Session>, StoreError>;

    /// Notes when and from where a session was last used, and for which organization.
    async fn touch_session(
        &self,
        user: UserId,
        id: SessionId,
        at: Timestamp,
        address: Option<IpAddr>,
        org: Option<OrgId>,
    ) -> Result<(), StoreError>;

    /// Judges a refresh token by [`Session::present`], one caller after the other, and acts: the newest is counted as
    /// exchanged; one that was reused ends its session. Gives the session as it is afterwards.
    async fn refresh_session(
        &self,
        claim: &RefreshClaim,
        at: Timestamp,
        address: Option<IpAddr>,
        reuse: Option<&Reuse>,
    ) -> Result<Option<(Session, Presented)>, StoreError>;

    /// Ends a session; `false` if the person has no such session that has not ended.
    async fn end_session(
        &self,
        user: UserId,
        id: SessionId,
        at: Timestamp,
        entry: Option<&AuditEntry>,
    ) -> Result<bool, StoreError>;

    /// Ends all of the person's sessions, those that are just being made included.
    async fn end_sessions(
        &self,
        user: UserId,
        at: Timestamp,
        entry: Option<&AuditEntry>,
    ) -> Result<(), StoreError>;

    /// Keeps a new password and ends the person's other sessions; `false` if [`NewPassword::epoch`] or
    /// [`NewPassword::reset`] no longer hold, and nothing changes.
    async fn set_password(
        &self,
        new: &NewPassword,
        entry: Option<&AuditEntry>,
        letter: Option<&Message>,
    ) -> Result<bool, StoreError>;

    /// Keeps a person's first password; `false` if they have one.
    async fn set_first_password(
        &self,
        user: UserId,
        hash: &PasswordHash,
        at: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Puts the same password's new hash in the place of its old one; nothing happens if it was changed meanwhile.
    async fn rehash(
        &self,
        user: UserId,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<(), StoreError>;

    /// Counts a link for a new password, which is good until `expires_at` and makes the older ones useless; gives its
    /// number. `letter` says what to send.
    async fn start_reset(
        &self,
        user: UserId,
        expires_at: Timestamp,
        letter: &(dyn Fn(i32) -> Option<Message> + Send + Sync),
        entry: Option<&AuditEntry>,
    ) -> Result<i32, StoreError>;

    /// Writes an entry of something that changed nothing.
    async fn note(&self, entry: &AuditEntry) -> Result<(), StoreError>;
}

/// Too many attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// When it is worth trying again.
    pub until: Timestamp,
    /// Whether this is the first one that was refused.
    pub is_first: bool,
}

/// Counts attempts, for all servers together.
#[async_trait]
pub trait AttemptStore: Send + Sync + 'static {
    /// Counts an attempt of each subject before it is made, so that many at once count too. A subject's count begins
    /// anew `window` after its first attempt. Tells whether one of them has had more than it may.
    async fn begin(
        &self,
        subjects: &[Subject],
        at: Timestamp,
        window: SignedDuration,
    ) -> Result<Option<Refused>, StoreError>;

    /// Takes back the attempts that turned out well: forgets the first subject's, and one of each other's.
    async fn succeeded(&self, subjects: &[Subject]) -> Result<(), StoreError>;

    /// Forgets counts that began before then.
    async fn sweep(&self, before: Timestamp) -> Result<(), StoreError>;
}
