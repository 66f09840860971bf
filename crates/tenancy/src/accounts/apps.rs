use plinth_core::{AppId, OrgId, Origin, ScopeSet, SessionId, UserId};
use serde_json::json;

use super::authenticate::Person;
use super::error::AccountError;
use super::service::{Accounts, Tokens, entry};
use crate::session::Session;

/// What somebody let an app do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewGrant {
    pub(crate) id: SessionId,
    pub(crate) user: UserId,
    pub(crate) app: AppId,
    pub(crate) org: OrgId,
    pub(crate) scopes: ScopeSet,
    /// The person's epoch when they granted it.
    pub(crate) epoch: i32,
}

/// What a token of an app is good for.
#[derive(Clone, Debug)]
pub struct LiveToken {
    /// Whose it is.
    pub user: UserId,
    /// In which organization.
    pub org: Option<OrgId>,
    /// To what it came from.
    pub session: SessionId,
    /// The app that it was given to.
    pub app: AppId,
    /// What was granted.
    pub scopes: ScopeSet,
    /// Until when it is good, in seconds since 1970.
    pub expires_at: i64,
    /// When it was made; `None` for a refresh token.
    pub issued_at: Option<i64>,
    /// Whether it is a refresh token.
    pub is_refresh: bool,
}

impl Accounts {
    /// Keeps what was granted to an app and gives it its first tokens.
    pub(crate) async fn open_grant(
        &self,
        grant: NewGrant,
        origin: &Origin,
    ) -> Result<Tokens, AccountError> {
        let now = self.now();
        let account = self.account(grant.user).await?;
        // Who has signed out everywhere since, or chosen a new password, meant this too.
        if account.epoch != grant.epoch {
            return Err(AccountError::Unauthenticated);
        }
        // Who has left the organization since they consented lets nobody act there.
        if !account.memberships.iter().any(|it| it.org == grant.org) {
            return Err(AccountError::NotAMember(grant.org));
        }
        let session = Session {
            id: grant.id,
            user: grant.user,
            epoch: account.epoch,
            app: Some(grant.app),
            scopes: Some(grant.scopes),
            org: Some(grant.org),
            generation: 0,
            refreshed_at: now,
            device: String::new(),
            address: origin.address,
            created_at: now,
            last_used_at: now,
            ended_at: None,
        };
        let names: Vec<_> = grant.scopes.iter().map(plinth_core::Scope::as_str).collect();
        let entry = entry(grant.org, grant.user, origin, now, "oauth_app.authorized")
            .on("oauth_app", grant.app)
            .with(json!({ "session": grant.id.to_string(), "scopes": names }));
        self.store().insert_session(&session, Some(&entry)).await?;
        self.issue(&session, account.user, account.memberships).await
    }

    /// What that token is good for, if it was given to an app and is good now.
    pub(crate) async fn live_token(&self, token: &str) -> Result<Option<LiveToken>, AccountError> {
        let now = self.now();
        let (user, id, claims, generation) = match self.parts.refresh.read(token) {
            Some(claim) => (claim.user, claim.session, None, Some(claim.generation)),
            None => match self.parts.signing.verify(token).await? {
                Some(claims) => (claims.sub, claims.sid, Some(claims), None),
                None => return Ok(None),
            },
        };
        let Some(found) = self.store().find_session(user, id).await? else { return Ok(None) };
        let session = found.session;
        let is_newest = generation.is_none_or(|it| it == session.generation);
        let is_member = found.memberships.iter().any(|it| Some(it.org) == session.org);
        let (Some(app), Some(scopes)) = (session.app, session.scopes) else { return Ok(None) };
        if !session.is_good(found.epoch, now) || !is_newest || !is_member {
            return Ok(None);
        }
        Ok(Some(LiveToken {
            user,
            org: session.org,
            session: id,
            app,
            scopes,
            expires_at: claims.as_ref().map_or(session.expires_at().as_second(), |it| it.exp),
            issued_at: claims.as_ref().map(|it| it.iat),
            is_refresh: claims.is_none(),
        }))
    }

    /// Ends what was granted to an app.
    pub(crate) async fn end_grant(
        &self,
        user: UserId,
        session: SessionId,
        org: Option<OrgId>,
        app: AppId,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        let now = self.now();
        let entry =
            org.map(|org| entry(org, user, origin, now, "oauth_app.revoked").on("oauth_app", app));
        self.store().end_session(user, session, now, entry.as_ref()).await?;
        self.forget(session);
        Ok(())
    }

    /// What the person let apps do, newest first.
    pub(crate) async fn grants(&self, person: &Person) -> Result<Vec<Session>, AccountError> {
        let now = self.now();
        let mut sessions = self.store().list_sessions(person.user()).await?;
        sessions.retain(|it| it.app.is_some() && it.is_good(person.epoch(), now));
        Ok(sessions)
    }
}
