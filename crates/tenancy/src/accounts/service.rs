use std::fmt;
use std::sync::{Arc, RwLock};

use jiff::Timestamp;
use plinth_core::{Clock, FastMap, OrgId, Origin, SessionId, StoreError, UserId};
use secrecy::SecretString;
use serde_json::json;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::authenticate::Known;
use super::error::AccountError;
use super::ports::{Account, AccountStore, AttemptStore, Membership};
use super::throttle::Attempt;
use crate::audit::AuditOutcome;
use crate::password::{Password, PasswordHashing};
use crate::session::{RefreshClaim, RefreshKey, Session};
use crate::signing::{AccessToken, SigningKeys};
use crate::{AuditEntry, Email, LinkKey, User};

/// What the service is made from.
pub struct AccountParts {
    /// Where people are kept.
    pub store: Arc<dyn AccountStore>,
    /// Counts their attempts.
    pub attempts: Arc<dyn AttemptStore>,
    /// Hashes their passwords.
    pub hashing: PasswordHashing,
    /// Signs their tokens.
    pub signing: SigningKeys,
    /// Makes their refresh tokens.
    pub refresh: RefreshKey,
    /// Makes the links in their mails.
    pub links: LinkKey,
    /// Hashes the names of those whose attempts are counted; serves no other purpose.
    pub subjects: Zeroizing<[u8; 32]>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// People and their sessions: who signs in, and who a token is.
#[derive(Clone)]
pub struct Accounts {
    pub(super) parts: Arc<AccountParts>,
    pub(super) known: Arc<RwLock<FastMap<SessionId, Known>>>,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Accounts")
    }
}

/// What somebody who signed in is given.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// For requests.
    pub access: AccessToken,
    /// For the next tokens. Good once.
    pub refresh: SecretString,
    /// Until when that is, if nothing is done with the session.
    pub refresh_expires_at: Timestamp,
    /// The session.
    pub session: SessionId,
    /// Which organization the tokens are for, unless a request picks another.
    pub org: Option<OrgId>,
    /// Who.
    pub user: User,
    /// Where they belong, oldest membership first.
    pub memberships: Vec<Membership>,
}

impl Accounts {
    /// Puts the service together.
    pub fn new(parts: AccountParts) -> Self {
        Self { parts: Arc::new(parts), known: Arc::default() }
    }

    /// The keys that sign tokens.
    pub fn signing(&self) -> &SigningKeys {
        &self.parts.signing
    }

    pub(super) fn store(&self) -> &dyn AccountStore {
        self.parts.store.as_ref()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// Signs a person in. `device` is what their client says it is.
    ///
    /// For an address that nobody has it takes as long as for a wrong password, and answers the same.
    ///
    /// # Errors
    ///
    /// - [`AccountError::WrongCredentials`] for an unknown address, a wrong password, or a person who has none yet.
    /// - [`AccountError::Throttled`] after too many of those, whatever the password.
    /// - [`AccountError::Busy`] if too many people sign in at once.
    pub async fn sign_in(
        &self,
        email: &Email,
        typed: &SecretString,
        device: &str,
        origin: &Origin,
    ) -> Result<Tokens, AccountError> {
        let now = self.now();
        let subjects = self.subjects(Attempt::SignIn, email, origin.address);
        let password = Password::typed(typed).ok_or(AccountError::WrongCredentials)?;
        if let Some(refused) =
            self.parts.attempts.begin(&subjects, now, super::throttle::WINDOW).await?
        {
            if refused.is_first {
                self.note_failure(email.clone(), origin.clone(), "throttled");
            }
            return Err(self.throttled(refused));
        }
        // The same queries for somebody who does not exist.
        let user = self.store().find_user(email).await?;
        let account = self.store().account(user.unwrap_or(UserId::from_uuid(Uuid::nil()))).await?;
        let kept = account.as_ref().and_then(|it| it.password.clone());
        let is_right = self.parts.hashing.verify(&password, kept.as_ref()).await?;
        let (Some(account), Some(kept), true) = (account, kept, is_right) else {
            self.note_failure(email.clone(), origin.clone(), "wrong_password");
            return Err(AccountError::WrongCredentials);
        };
        self.parts.attempts.succeeded(&subjects).await?;
        if !kept.is_current() {
            let anew = self.parts.hashing.hash(&password).await?;
            self.store().rehash(account.user.id, &kept, &anew).await?;
        }
        let session = Session {
            id: SessionId::new(now),
            user: account.user.id,
            epoch: account.epoch,
            app: None,
            scopes: None,
            org: account.default_org(),
            generation: 0,
            refreshed_at: now,
            device: Session::device(device),
            address: origin.address,
            created_at: now,
            last_used_at: now,
            ended_at: None,
        };
        let entry = session.org.map(|org| {
            entry(org, account.user.id, origin, now, "user.signed_in")
                .on("session", session.id)
                .with(json!({ "device": session.device }))
        });
        self.store().insert_session(&session, entry.as_ref()).await?;
        self.issue(&session, account.user, account.memberships).await
    }

    /// Signs the tokens of a session.
    ///
    /// # Errors
    ///
    /// When they cannot be signed.
    pub async fn issue(
        &self,
        session: &Session,
        user: User,
        memberships: Vec<Membership>,
    ) -> Result<Tokens, AccountError> {
        // Who left the organization that their session was for goes on in another one of theirs; an app does not.
        let is_there = |org: &OrgId| memberships.iter().any(|it| it.org == *org);
        let other = || memberships.first().map(|it| it.org).filter(|_| session.app.is_none());
        let org = session.org.filter(is_there).or_else(other);
        let scope = session.scopes.map(|it| {
            let names: Vec<_> = it.iter().map(plinth_core::Scope::as_str).collect();
            names.join(" ")
        });
        let access = self.parts.signing.sign(|claims| crate::signing::Claims {
            sub: session.user,
            sid: session.id,
            org,
            client_id: session.app,
            scope,
            ..claims
        });
        let refresh = self.parts.refresh.token(RefreshClaim {
            user: session.user,
            session: session.id,
            generation: session.generation,
        });
        Ok(Tokens {
            access: access.await?,
            refresh,
            refresh_expires_at: session.expires_at(),
            session: session.id,
            org,
            user,
            memberships,
        })
    }

    /// Writes into the trail of a person's organization that somebody failed to sign in as them. Behind the answer: how
    /// long that takes must not tell whether there is such a person.
    fn note_failure(&self, email: Email, origin: Origin, reason: &'static str) {
        let (accounts, now) = (self.clone(), self.now());
        tokio::spawn(async move {
            let noted = accounts.failure(&email, &origin, reason, now).await;
            if let Err(err) = noted {
                let error = plinth_core::chain(&err);
                tracing::warn!(error, "a failed sign-in could not be written into the trail");
            }
        });
    }

    async fn failure(
        &self,
        email: &Email,
        origin: &Origin,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(user) = self.store().find_user(email).await? else { return Ok(()) };
        let Some(account) = self.store().account(user).await? else { return Ok(()) };
        let Some(org) = account.recording_org() else { return Ok(()) };
        let outcome = match reason {
            "throttled" => AuditOutcome::Denied,
            _ => AuditOutcome::Failed,
        };
        let entry = entry(org, user, origin, now, "user.sign_in_refused")
            .on("user", user)
            .with(json!({ "reason": reason }))
            .ended(outcome);
        self.store().note(&entry).await
    }

    /// The person behind an id.
    pub(super) async fn account(&self, user: UserId) -> Result<Account, AccountError> {
        self.store().account(user).await?.ok_or(AccountError::Unauthenticated)
    }

    /// Forgets counts of attempts that are over. Every server does so now and then.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        self.parts.attempts.sweep(self.now() - super::throttle::WINDOW).await
    }
}

/// An act of somebody who has no principal yet.
pub(super) fn entry(
    org: OrgId,
    user: UserId,
    origin: &Origin,
    now: Timestamp,
    action: &str,
) -> AuditEntry {
    AuditEntry {
        address: origin.address,
        request_id: origin.request_id.to_string(),
        ..AuditEntry::of_plinth(org, now, "password", action).by(user)
    }
}
