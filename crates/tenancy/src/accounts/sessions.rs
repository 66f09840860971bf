use plinth_core::{AppId, Member, Origin, Permit, SessionId};

use super::authenticate::Person;
use super::error::AccountError;
use super::ports::{Account, Membership, Reuse};
use super::service::{Accounts, Tokens, entry};
use crate::User;
use crate::outbox::{Letter, LetterTo, Message};
use crate::session::{Presented, Session};

impl Accounts {
    /// Exchanges a refresh token for new tokens. A refresh token is good once: one that was exchanged before ends its
    /// session, since either who sends it or who exchanged it has stolen it. The person is told.
    ///
    /// Only the token before the newest, and only within ten seconds and before anybody used the newest, is answered
    /// with the newest again: the answer may have been lost. A thief who is that quick has the same token as its owner,
    /// and the first of the two to come second ends the session.
    ///
    /// # Errors
    ///
    /// [`AccountError::Unauthenticated`] for whatever is not good.
    pub async fn refresh(&self, token: &str, origin: &Origin) -> Result<Tokens, AccountError> {
        self.refresh_of(None, token, origin).await
    }

    /// The same for an app, or with `None` for a person: a token that was given to another is not good.
    pub(crate) async fn refresh_of(
        &self,
        app: Option<AppId>,
        token: &str,
        origin: &Origin,
    ) -> Result<Tokens, AccountError> {
        let claim = self.parts.refresh.read(token).ok_or(AccountError::Unauthenticated)?;
        let now = self.now();
        let found = self.store().find_session(claim.user, claim.session).await?;
        if found.is_none_or(|it| it.session.app != app) {
            return Err(AccountError::Unauthenticated);
        }
        let account = self.account(claim.user).await?;
        let reuse = account.recording_org().map(|org| Reuse {
            entry: crate::AuditEntry {
                credential_kind: "refresh_token".to_owned(),
                credential_id: Some(claim.session.to_string()),
                ..entry(org, claim.user, origin, now, "session.token_reused")
            }
            .on("session", claim.session),
            letter: Message::mail(
                org,
                now,
                &LetterTo::Address(account.user.email.as_str().to_owned()),
                &Letter::SessionEnded { at: now },
            ),
        });
        let refreshed = self
            .store()
            .refresh_session(&claim, now, origin.address, reuse.as_ref())
            .await?
            .ok_or(AccountError::Unauthenticated)?;
        self.forget(claim.session);
        match refreshed {
            (session, Presented::Newest | Presented::Again) => {
                self.issue(&session, account.user, account.memberships).await
            }
            (_, Presented::Reused | Presented::Ended) => Err(AccountError::Unauthenticated),
        }
    }

    /// Ends the session that the person signed in with.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn sign_out(&self, person: &Person) -> Result<(), AccountError> {
        let now = self.now();
        let entry = person.entry(now, "user.signed_out");
        let entry = entry.map(|it| it.on("session", person.session()));
        self.store().end_session(person.user(), person.session(), now, entry.as_ref()).await?;
        self.forget(person.session());
        Ok(())
    }

    /// Ends all sessions of the person, and with them all that apps may do for them: here at once, on other servers
    /// within a second.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn sign_out_everywhere(&self, person: &Person) -> Result<(), AccountError> {
        let now = self.now();
        let entry = person.entry(now, "user.signed_out_everywhere");
        let entry = entry.map(|it| it.on("user", person.user()));
        self.store().end_sessions(person.user(), now, entry.as_ref()).await?;
        self.forget_all(person.user());
        Ok(())
    }

    /// The person's sessions that have not ended, newest first; apps' are not among them.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn list_sessions(&self, person: &Person) -> Result<Vec<Session>, AccountError> {
        let now = self.now();
        let mut sessions = self.store().list_sessions(person.user()).await?;
        sessions.retain(|it| it.app.is_none() && it.is_good(person.epoch(), now));
        Ok(sessions)
    }

    /// Ends one of them.
    ///
    /// # Errors
    ///
    /// [`AccountError::SessionNotFound`] if the person has no such session that has not ended.
    pub async fn end_session(&self, person: &Person, id: SessionId) -> Result<(), AccountError> {
        let now = self.now();
        let entry = person.entry(now, "session.ended");
        let entry = entry.map(|it| it.on("session", id));
        let listed = self.list_sessions(person).await?;
        let is_theirs = listed.iter().any(|it| it.id == id);
        if !is_theirs || !self.store().end_session(person.user(), id, now, entry.as_ref()).await? {
            return Err(AccountError::SessionNotFound(id));
        }
        self.forget(id);
        Ok(())
    }

    /// What there is to say about a caller, by whatever they showed who they are.
    ///
    /// # Errors
    ///
    /// [`AccountError::Unauthenticated`] if they have just left.
    pub async fn me(&self, permit: &Permit<Member>) -> Result<(User, Membership), AccountError> {
        let account = self.account(permit.user()).await?;
        let membership = account.memberships.into_iter().find(|it| it.org == permit.org());
        Ok((account.user, membership.ok_or(AccountError::Unauthenticated)?))
    }

    /// The person themselves.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn account_of(&self, person: &Person) -> Result<Account, AccountError> {
        self.account(person.user()).await
    }
}
