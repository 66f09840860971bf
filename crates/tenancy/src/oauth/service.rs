use std::sync::Arc;

use jiff::Timestamp;
use plinth_core::{
    AdminAll, AppId, Clock, Cursor, Limit, OrgId, Origin, Page, Permit, Scope, ScopeSet, SessionId,
};
use secrecy::SecretString;
use serde_json::json;
use uuid::Uuid;

use super::code::LIFETIME;
use super::{
    App, AppError, AppStore, Challenge, ClientSecret, Code, CodeKey, ConsentError, GrantError,
    NewApp, RedirectUri,
};
use crate::accounts::{LiveToken, NewGrant, Person, Tokens};
use crate::session::Session;
use crate::{AccountError, Accounts, AuditEntry};

/// OAuth 2.0 for third-party apps: authorization code with PKCE (RFC 6749, RFC 7636, and what RFC 9700 recommends).
#[derive(Clone)]
pub struct OAuth {
    store: Arc<dyn AppStore>,
    accounts: Accounts,
    codes: CodeKey,
    clock: Arc<dyn Clock>,
}

/// What an app asks for, as it stands in the browser's address.
#[derive(Clone, Debug, Default)]
pub struct ConsentRequest {
    /// `response_type`.
    pub response_type: Option<String>,
    /// `client_id`.
    pub client_id: Option<String>,
    /// `redirect_uri`.
    pub redirect_uri: Option<String>,
    /// `scope`, with blanks between.
    pub scope: Option<String>,
    /// `state`.
    pub state: Option<String>,
    /// `code_challenge`.
    pub code_challenge: Option<String>,
    /// `code_challenge_method`.
    pub code_challenge_method: Option<String>,
}

/// A request that can be shown to a person.
#[derive(Clone, Debug)]
pub struct Consent {
    /// Who asks.
    pub app: App,
    /// What for.
    pub scopes: ScopeSet,
    /// Where the answer goes.
    pub redirect_uri: String,
    /// What the app gave to know the answer by.
    pub state: Option<String>,
    challenge: Challenge,
}

/// An app that shows who it is.
#[derive(Clone, Debug)]
pub struct Client {
    /// `client_id`.
    pub id: String,
    /// Its secret; `None` for a public app.
    pub secret: Option<ClientSecret>,
}

/// What a person let an app do.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The app, as far as it can still be named.
    pub app: App,
    /// What, and since when.
    pub session: Session,
}

/// A longer `state` is not carried.
const LONGEST_STATE: usize = 2000;

impl OAuth {
    /// Puts the service together.
    pub fn new(
        store: Arc<dyn AppStore>,
        accounts: Accounts,
        codes: CodeKey,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { store, accounts, codes, clock }
    }

    /// Registers an app. Its secret is in the answer and nowhere else.
    ///
    /// # Errors
    ///
    /// - [`AppError::Invalid`] if a setting breaks a rule.
    /// - [`AppError::Escalation`] if it names scopes that the caller does not have.
    /// - [`AppError::NameTaken`] if the organization has one of that name.
    pub async fn register(
        &self,
        permit: &Permit<AdminAll>,
        new: NewApp,
    ) -> Result<(App, Option<ClientSecret>), AppError> {
        let now = self.clock.now();
        let secret = new.is_confidential.then(ClientSecret::generate).transpose()?;
        let app = App {
            id: AppId::new(now),
            org: permit.org(),
            secret: secret.as_ref().map(ClientSecret::hash),
            created_by: permit.user(),
            created_at: now,
            ..checked(permit, new)?
        };
        let entry = entry(permit, &app, now, "oauth_app.created");
        self.store.insert(&app, &entry).await?;
        Ok((app, secret))
    }

    /// Changes what an app is called, where its answers go and what it can ask for. What people granted before stays as it
    /// is, until they take it back.
    ///
    /// # Errors
    ///
    /// As for [`OAuth::register`] and [`OAuth::get`].
    pub async fn change(
        &self,
        permit: &Permit<AdminAll>,
        id: AppId,
        new: NewApp,
    ) -> Result<App, AppError> {
        let old = self.get(permit, id).await?;
        let now = self.clock.now();
        let App { name, redirect_uris, scopes, .. } = checked(permit, new)?;
        let app = App { name, redirect_uris, scopes, ..old };
        let entry = entry(permit, &app, now, "oauth_app.changed");
        if !self.store.update(&app, &entry).await? {
            return Err(AppError::NotFound(id));
        }
        Ok(app)
    }

    /// Gives an app a new secret; the old one stops working at once.
    ///
    /// # Errors
    ///
    /// - [`AppError::IsPublic`] if it has none.
    /// - [`AppError::NotFound`] as for [`OAuth::get`].
    pub async fn change_secret(
        &self,
        permit: &Permit<AdminAll>,
        id: AppId,
    ) -> Result<(App, ClientSecret), AppError> {
        let old = self.get(permit, id).await?;
        if old.secret.is_none() {
            return Err(AppError::IsPublic);
        }
        let secret = ClientSecret::generate()?;
        let app = App { secret: Some(secret.hash()), ..old };
        let entry = entry(permit, &app, self.clock.now(), "oauth_app.secret_changed");
        if !self.store.update(&app, &entry).await? {
            return Err(AppError::NotFound(id));
        }
        Ok((app, secret))
    }

    /// Removes an app; all that was granted to it ends.
    ///
    /// # Errors
    ///
    /// [`AppError::NotFound`] as for [`OAuth::get`].
    pub async fn remove(&self, permit: &Permit<AdminAll>, id: AppId) -> Result<(), AppError> {
        let now = self.clock.now();
        let entry =
            AuditEntry::of(permit.principal(), now, "oauth_app.deleted").on("oauth_app", id);
        if !self.store.remove(permit.org(), id, &entry).await? {
            return Err(AppError::NotFound(id));
        }
        Ok(())
    }

    /// An app that the organization registered.
    ///
    /// # Errors
    ///
    /// [`AppError::NotFound`] also when another organization did.
    pub async fn get(&self, permit: &Permit<AdminAll>, id: AppId) -> Result<App, AppError> {
        self.store.find(permit.org(), id).await?.ok_or(AppError::NotFound(id))
    }

    /// The apps that the organization registered, newest first.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn list(
        &self,
        permit: &Permit<AdminAll>,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<App>, AppError> {
        let items = self.store.list(permit.org(), after, limit).await?;
        Ok(Page::cut(items, limit, |it| Cursor { created_at: it.created_at, id: it.id.as_uuid() }))
    }

    /// Judges a request for consent.
    ///
    /// # Errors
    ///
    /// - [`ConsentError::Unknown`] if nobody may be sent anywhere.
    /// - [`ConsentError::Told`] if the app is to be told at its redirect URI.
    pub async fn judge(&self, request: &ConsentRequest) -> Result<Consent, ConsentError> {
        let unknown = "the app that sent you here is not known; close this page";
        let id = request.client_id.as_deref().and_then(|it| it.parse::<AppId>().ok());
        let app = self.store.find_any(id.ok_or(ConsentError::Unknown(unknown))?).await?;
        let app = app.ok_or(ConsentError::Unknown(unknown))?;
        let sent = request.redirect_uri.as_deref();
        let redirect_uri = sent.filter(|sent| app.redirect_uris.iter().any(|it| it.allows(sent)));
        let redirect_uri = redirect_uri
            .ok_or(ConsentError::Unknown(
                "the app asks to send you where it is not registered; close this page",
            ))?
            .to_owned();
        let state = request.state.clone();
        let told = |error, description| ConsentError::Told {
            redirect_uri: redirect_uri.clone(),
            state: state.clone().filter(|it| it.len() <= LONGEST_STATE),
            error,
            description,
        };
        if state.as_ref().is_some_and(|it| it.len() > LONGEST_STATE) {
            return Err(told("invalid_request", "state is too long"));
        }
        if request.response_type.as_deref() != Some("code") {
            return Err(told("unsupported_response_type", "use response_type=code"));
        }
        if request.code_challenge_method.as_deref() != Some("S256") {
            return Err(told("invalid_request", "use PKCE with code_challenge_method=S256"));
        }
        let challenge = request.code_challenge.as_deref().and_then(Challenge::parse);
        let challenge = challenge.ok_or_else(|| {
            told("invalid_request", "code_challenge must be the base64url text of a SHA-256")
        })?;
        let scopes = match request.scope.as_deref().map(str::trim).filter(|it| !it.is_empty()) {
            Some(names) => {
                let named = names.split(' ').filter(|it| !it.is_empty()).map(str::parse::<Scope>);
                let named = named.collect::<Result<ScopeSet, _>>().ok();
                named.filter(|it| it.is_subset(app.scopes)).ok_or_else(|| {
                    told("invalid_scope", "a scope is unknown, or the app is not registered for it")
                })?
            }
            None => app.scopes,
        };
        Ok(Consent { app, scopes, redirect_uri, state, challenge })
    }

    /// What the form of a consent page has to bring back.
    pub fn ticket(&self, person: &Person, request: &str) -> String {
        self.codes.ticket(person.session(), request)
    }

    /// Whether a form brought that back.
    pub fn is_ticket(&self, person: &Person, request: &str, sent: &str) -> bool {
        self.codes.is_ticket(person.session(), request, sent)
    }

    /// Grants what was asked for, in one of the person's organizations. Gives the code that the browser carries.
    ///
    /// # Errors
    ///
    /// [`AppError::Account`] if the person does not belong to the organization.
    pub async fn grant(
        &self,
        person: &Person,
        consent: &Consent,
        org: OrgId,
    ) -> Result<SecretString, AppError> {
        if !person.memberships().iter().any(|it| it.org == org) {
            return Err(AccountError::NotAMember(org).into());
        }
        let now = self.clock.now();
        let code = Code {
            id: Uuid::new_v4(),
            org,
            user: person.user(),
            app: consent.app.id,
            scopes: consent.scopes,
            redirect_uri: consent.redirect_uri.clone(),
            challenge: consent.challenge.clone(),
            epoch: person.epoch(),
            expires_at: now + LIFETIME,
            session: None,
            is_replayed: false,
        };
        self.store.insert_code(&code).await?;
        Ok(self.codes.text(org, code.id))
    }

    /// Who an app is by what it showed.
    async fn client(&self, client: &Client) -> Result<App, GrantError> {
        let id = client.id.parse::<AppId>().map_err(|_| GrantError::InvalidClient)?;
        let app = self.store.find_any(id).await?.ok_or(GrantError::InvalidClient)?;
        let shown = client.secret.as_ref().map(ClientSecret::hash);
        // A public app has none, and one that sends some takes itself for another.
        if app.secret == shown { Ok(app) } else { Err(GrantError::InvalidClient) }
    }

    /// Gives an app its first tokens for a code.
    ///
    /// A code is good once. One that comes again was stolen from one of the two who have it: what it was exchanged for ends.
    ///
    /// # Errors
    ///
    /// [`GrantError`].
    pub async fn exchange(
        &self,
        client: &Client,
        code: &str,
        redirect_uri: &str,
        verifier: &str,
        origin: &Origin,
    ) -> Result<(Tokens, ScopeSet), GrantError> {
        let app = self.client(client).await?;
        let (org, id) = self.codes.read(code).ok_or(GrantError::InvalidGrant)?;
        let code = self.store.code(org, id).await?.ok_or(GrantError::InvalidGrant)?;
        if code.app != app.id {
            return Err(GrantError::InvalidGrant);
        }
        if let Some(session) = code.session {
            // Noted first: whoever is just exchanging it looks after it has made the session.
            self.store.note_replay(org, id).await?;
            self.accounts.end_grant(code.user, session, Some(org), app.id, origin).await?;
            return Err(GrantError::InvalidGrant);
        }
        let now = self.clock.now();
        let is_good = code.expires_at > now
            && code.redirect_uri == redirect_uri
            && code.challenge.is_of(verifier);
        let session = SessionId::new(now);
        // Whatever was wrong with it, it is used up.
        let is_first = self.store.use_code(org, id, session).await?;
        if !is_good || !is_first {
            return Err(GrantError::InvalidGrant);
        }
        let scopes = code.scopes.intersection(app.scopes);
        let (user, epoch) = (code.user, code.epoch);
        let grant = NewGrant { id: session, user, app: app.id, org, scopes, epoch };
        match self.accounts.open_grant(grant, origin).await {
            Ok(tokens) => {
                let code = self.store.code(org, id).await?;
                if code.is_none_or(|it| it.is_replayed) {
                    self.accounts.end_grant(user, session, Some(org), app.id, origin).await?;
                    return Err(GrantError::InvalidGrant);
                }
                Ok((tokens, scopes))
            }
            Err(AccountError::NotAMember(_) | AccountError::Unauthenticated) => {
                Err(GrantError::InvalidGrant)
            }
            Err(err) => Err(err.into()),
        }
    }

    /// Gives an app its next tokens. A refresh token is good once, as a person's is.
    ///
    /// # Errors
    ///
    /// [`GrantError`].
    pub async fn refresh(
        &self,
        client: &Client,
        token: &str,
        origin: &Origin,
    ) -> Result<(Tokens, ScopeSet), GrantError> {
        let app = self.client(client).await?;
        let live = self.accounts.live_token(token).await?;
        match self.accounts.refresh_of(Some(app.id), token, origin).await {
            Ok(tokens) => {
                let scopes = live.map_or(ScopeSet::NONE, |it| it.scopes);
                Ok((tokens, scopes))
            }
            Err(AccountError::Unauthenticated) => Err(GrantError::InvalidGrant),
            Err(err) => Err(err.into()),
        }
    }

    /// Ends what a token stands for (RFC 7009). A token that is not good or another app's is nothing to end.
    ///
    /// # Errors
    ///
    /// [`GrantError::InvalidClient`], or when storage fails.
    pub async fn revoke(
        &self,
        client: &Client,
        token: &str,
        origin: &Origin,
    ) -> Result<(), GrantError> {
        let app = self.client(client).await?;
        if let Some(live) = self.accounts.live_token(token).await?.filter(|it| it.app == app.id) {
            self.accounts.end_grant(live.user, live.session, live.org, app.id, origin).await?;
        }
        Ok(())
    }

    /// What a token of the app's own is good for (RFC 7662); `None` for any other, and for one that is not good.
    ///
    /// # Errors
    ///
    /// [`GrantError::InvalidClient`] also for public apps: whoever finds a token must not learn whose it is.
    pub async fn introspect(
        &self,
        client: &Client,
        token: &str,
    ) -> Result<Option<LiveToken>, GrantError> {
        let app = self.client(client).await?;
        if app.secret.is_none() {
            return Err(GrantError::InvalidClient);
        }
        Ok(self.accounts.live_token(token).await?.filter(|it| it.app == app.id))
    }

    /// What the person let apps do.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn grants(&self, person: &Person) -> Result<Vec<Grant>, AppError> {
        let mut grants = Vec::new();
        for session in self.accounts.grants(person).await? {
            let Some(id) = session.app else { continue };
            if let Some(app) = self.store.find_any(id).await? {
                grants.push(Grant { app, session });
            }
        }
        Ok(grants)
    }

    /// Takes back all that the person let an app do: here at once, on other servers within a second.
    ///
    /// # Errors
    ///
    /// [`AppError::NotFound`] if they let it do nothing.
    pub async fn take_back(&self, person: &Person, id: AppId) -> Result<(), AppError> {
        let grants = self.accounts.grants(person).await?;
        let mut is_found = false;
        for session in grants.iter().filter(|it| it.app == Some(id)) {
            is_found = true;
            let origin = person.origin();
            self.accounts.end_grant(person.user(), session.id, session.org, id, origin).await?;
        }
        if is_found { Ok(()) } else { Err(AppError::NotFound(id)) }
    }
}

/// An app with these settings; everything else is for the caller to fill in.
fn checked(permit: &Permit<AdminAll>, new: NewApp) -> Result<App, AppError> {
    new.check()?;
    if !new.scopes.is_subset(permit.principal().scopes) {
        return Err(AppError::Escalation);
    }
    Ok(App {
        id: AppId::from_uuid(Uuid::nil()),
        org: permit.org(),
        name: new.name.trim().to_owned(),
        redirect_uris: new.redirect_uris,
        scopes: new.scopes,
        secret: None,
        created_by: permit.user(),
        created_at: Timestamp::UNIX_EPOCH,
    })
}

fn entry(permit: &Permit<AdminAll>, app: &App, now: Timestamp, action: &str) -> AuditEntry {
    let uris: Vec<_> = app.redirect_uris.iter().map(RedirectUri::as_str).collect();
    let scopes: Vec<_> = app.scopes.iter().map(Scope::as_str).collect();
    AuditEntry::of(permit.principal(), now, action).on("oauth_app", app.id).with(json!({
        "name": app.name,
        "redirect_uris": uris,
        "scopes": scopes,
        "is_confidential": app.secret.is_some(),
    }))
}
