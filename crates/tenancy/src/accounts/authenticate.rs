use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use plinth_core::{Credential, OrgId, Origin, Principal, Scope, ScopeSet, SessionId, UserId};

use super::error::AccountError;
use super::ports::{LiveSession, Membership};
use super::service::Accounts;
use crate::signing::{Claims, SentToken};

/// How long a session that was looked up is trusted: one that was ended, a role that was changed and a member who was
/// removed count everywhere within this.
const TRUST: SignedDuration = SignedDuration::from_secs(1);

/// How precisely it is kept when a session was last used.
const TOUCH: SignedDuration = SignedDuration::from_secs(60);

/// How many sessions are remembered at most.
const REMEMBERED: usize = 10_000;

#[derive(Clone)]
pub(super) struct Known {
    looked_up: Timestamp,
    touched: Timestamp,
    live: Arc<LiveSession>,
}

/// A person who is signed in to Plinth itself, whether or not they belong to an organization. Whoever has one of these
/// has the proof: only [`Accounts::person`] makes them.
#[derive(Clone, Debug)]
pub struct Person {
    user: UserId,
    session: SessionId,
    live: Arc<LiveSession>,
    org: Option<OrgId>,
    origin: Arc<Origin>,
}

impl Person {
    /// Who.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// By which sign-in.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Where they belong, oldest membership first; at most a second old.
    pub fn memberships(&self) -> &[Membership] {
        &self.live.memberships
    }

    /// The organization that their token is for, if they are still in it.
    pub fn org(&self) -> Option<OrgId> {
        self.org
    }

    /// They as a caller in one of their organizations; `None` if they do not belong there.
    pub fn principal_in(&self, org: OrgId) -> Option<Principal> {
        let membership = self.memberships().iter().find(|it| it.org == org)?;
        Some(Principal {
            org,
            user: self.user,
            credential: Credential::Session(self.session),
            scopes: membership.role.scopes(),
            is_owner: membership.role.is_owner(),
            project: None,
            origin: self.origin.clone(),
            test_only: false,
            saved_queries_only: membership.role.saved_queries_only(),
        })
    }

    /// Where the call came from.
    pub fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    /// The same, called by another request.
    #[must_use]
    pub fn with_origin(mut self, origin: Arc<Origin>) -> Self {
        self.origin = origin;
        self
    }

    pub(crate) fn epoch(&self) -> i32 {
        self.live.epoch
    }

    /// What the person's act leaves in the trail of the organization that they are in; `None` if they are in none.
    pub fn entry(&self, now: Timestamp, action: &str) -> Option<crate::AuditEntry> {
        let credential = Credential::Session(self.session);
        self.org.map(|org| crate::AuditEntry {
            credential_kind: credential.kind().to_owned(),
            credential_id: credential.id(),
            idempotency: self.origin.idempotency,
            ..super::service::entry(org, self.user, &self.origin, now, action)
        })
    }
}

impl Accounts {
    /// Says who a caller is by the token they sent, and for which organization they act: the one that they picked, else
    /// the token's.
    ///
    /// # Errors
    ///
    /// - [`AccountError::Unauthenticated`] for a text that is no token of ours, one that has expired, one whose session
    ///   has ended, and one for an organization that the person has left.
    /// - [`AccountError::NotAMember`] if they picked an organization that is not theirs, or not the app's.
    /// - [`AccountError::NoOrganization`] if they are in none.
    pub async fn authenticate(
        &self,
        token: impl Into<SentToken<'_>>,
        picked: Option<OrgId>,
        origin: Arc<Origin>,
    ) -> Result<Principal, AccountError> {
        let (claims, live) = self.known_or_read(token.into(), picked, &origin).await?;
        principal(&claims, &live, picked, origin)
    }

    /// [`Accounts::authenticate`] where all that it takes is remembered, as it is for nearly every request: at once. `None` if
    /// something has to be checked or looked up.
    ///
    /// # Errors
    ///
    /// As for [`Accounts::authenticate`].
    pub fn recognize(
        &self,
        token: &SentToken<'_>,
        picked: Option<OrgId>,
        origin: &Arc<Origin>,
        now: Timestamp,
    ) -> Option<Result<Principal, AccountError>> {
        let Some(claims) = self.parts.signing.recognize(token, now)? else {
            return Some(Err(AccountError::Unauthenticated));
        };
        let known = self.known.read().expect("not poisoned");
        let known = known.get(&claims.sid).filter(|it| now.duration_since(it.looked_up) < TRUST)?;
        if !is_good(&claims, &known.live, now) {
            return Some(Err(AccountError::Unauthenticated));
        }
        Some(principal(&claims, &known.live, picked, origin.clone()))
    }

    /// Says who is signed in by the token they sent; for what is theirs in all their organizations.
    ///
    /// # Errors
    ///
    /// [`AccountError::Unauthenticated`] for whatever is no token that a sign-in to Plinth itself was given.
    pub async fn person(&self, token: &str, origin: Arc<Origin>) -> Result<Person, AccountError> {
        let (claims, live) = self.known_or_read(token.into(), None, &origin).await?;
        if claims.client_id.is_some() {
            return Err(AccountError::Unauthenticated);
        }
        let org = claims.org.filter(|org| live.memberships.iter().any(|it| it.org == *org));
        Ok(Person { user: claims.sub, session: claims.sid, live, org, origin })
    }

    async fn known_or_read(
        &self,
        token: SentToken<'_>,
        picked: Option<OrgId>,
        origin: &Origin,
    ) -> Result<(Arc<Claims>, Arc<LiveSession>), AccountError> {
        let claims =
            self.parts.signing.verify(token).await?.ok_or(AccountError::Unauthenticated)?;
        let now = self.now();
        let known = self.known.read().expect("not poisoned").get(&claims.sid).cloned();
        let fresh = known.as_ref().filter(|it| now.duration_since(it.looked_up) < TRUST);
        let live = if let Some(known) = fresh {
            known.live.clone()
        } else {
            // Apart, as for keys.
            let touched = known.map(|it| it.touched);
            Box::pin(self.look_up(&claims, touched, picked, origin, now)).await?
        };
        if !is_good(&claims, &live, now) {
            return Err(AccountError::Unauthenticated);
        }
        Ok((claims, live))
    }

    async fn look_up(
        &self,
        claims: &Claims,
        touched: Option<Timestamp>,
        picked: Option<OrgId>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Arc<LiveSession>, AccountError> {
        let found = match self.store().find_session(claims.sub, claims.sid).await? {
            Some(found) if found.session.is_good(found.epoch, now) => Arc::new(found),
            _ => {
                self.forget(claims.sid);
                return Err(AccountError::Unauthenticated);
            }
        };
        let last = touched.unwrap_or(found.session.last_used_at);
        let is_due = now.duration_since(last) >= TOUCH;
        if is_due {
            let used = picked.or(claims.org).filter(|_| claims.client_id.is_none());
            let used = used.filter(|org| found.memberships.iter().any(|it| it.org == *org));
            self.store().touch_session(claims.sub, claims.sid, now, origin.address, used).await?;
        }
        let touched = if is_due { now } else { last };
        let mut known = self.known.write().expect("not poisoned");
        if known.len() >= REMEMBERED {
            known.retain(|_, it| now.duration_since(it.looked_up) < TRUST);
        }
        known.insert(claims.sid, Known { looked_up: now, touched, live: found.clone() });
        Ok(found)
    }

    /// Makes what is remembered of a session be looked up again.
    pub(super) fn forget(&self, session: SessionId) {
        self.known.write().expect("not poisoned").remove(&session);
    }

    /// Makes what is remembered of the sessions of an organization's members be looked up again, because it or somebody's
    /// membership has changed: what this server does next goes by the change, other servers follow within a second.
    pub fn forget_organization(&self, org: OrgId) {
        let is_there = |it: &Known| it.live.memberships.iter().any(|it| it.org == org);
        self.known.write().expect("not poisoned").retain(|_, it| !is_there(it));
    }

    /// The same for all of a person's sessions: also after they have come into an organization.
    pub fn forget_all(&self, user: UserId) {
        self.known.write().expect("not poisoned").retain(|_, it| it.live.session.user != user);
    }
}

/// Whether the session goes with the token, and still works.
fn is_good(claims: &Claims, live: &LiveSession, now: Timestamp) -> bool {
    let is_same = live.session.user == claims.sub && live.session.app == claims.client_id;
    is_same && live.session.is_good(live.epoch, now)
}

/// Who calls with a good token, in the organization that they picked or else the token's.
fn principal(
    claims: &Claims,
    live: &LiveSession,
    picked: Option<OrgId>,
    origin: Arc<Origin>,
) -> Result<Principal, AccountError> {
    let org = match (picked, claims.org) {
        (Some(org), _) if claims.client_id.is_some() && claims.org != Some(org) => {
            return Err(AccountError::NotAMember(org));
        }
        (Some(org), _) | (None, Some(org)) => org,
        (None, None) => return Err(AccountError::NoOrganization),
    };
    let membership = live.memberships.iter().find(|it| it.org == org);
    let role = match (membership, picked) {
        (Some(membership), _) => &membership.role,
        (None, Some(org)) => return Err(AccountError::NotAMember(org)),
        (None, None) => return Err(AccountError::Unauthenticated),
    };
    let (credential, granted) = match claims.client_id {
        None => (Credential::Session(claims.sid), ScopeSet::all()),
        Some(app) => (
            Credential::App { app, session: claims.sid },
            granted(claims, live).ok_or(AccountError::Unauthenticated)?,
        ),
    };
    Ok(Principal {
        org,
        user: claims.sub,
        credential,
        scopes: role.scopes().intersection(granted),
        is_owner: role.is_owner() && claims.client_id.is_none(),
        project: None,
        test_only: false,
        saved_queries_only: role.saved_queries_only(),
        origin,
    })
}

/// What an app may do: what its token says, and never more than what was granted.
fn granted(claims: &Claims, live: &LiveSession) -> Option<ScopeSet> {
    let named = claims.scope.as_deref()?.split(' ').filter(|it| !it.is_empty());
    let named: ScopeSet = named.map(str::parse::<Scope>).collect::<Result<_, _>>().ok()?;
    Some(named.intersection(live.session.scopes?))
}
