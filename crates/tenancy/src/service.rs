use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use jiff::{SignedDuration, Timestamp};
use plinth_core::{
    AdminAll, Clock, Credential, Cursor, FastMap, KeyId, Limit, OrgId, Origin, OwnKeys, Page,
    Permit, Principal, Recent, UserId,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{
    ApiKey, AuditEntry, Email, FoundKey, FoundingError, KeyChange, KeyHash, KeyKind, KeyLimits,
    KeyScope, KeySecret, NewKey, NewOwner, Organization, OrganizationName, TenancyError,
    TenancyStore, TimeZoneName, User,
};

/// How long a key that was found is trusted before it is looked up again: a revoked one stops working everywhere
/// within this.
const TRUST: SignedDuration = SignedDuration::from_secs(1);

/// How precisely [`ApiKey::last_used_at`] is kept: a write for each request would cost more than it tells.
const TOUCH: SignedDuration = SignedDuration::from_secs(60);

/// How many keys are remembered at most.
const REMEMBERED: usize = 10_000;

/// Shown once at the first start; whoever has it makes the first owner.
#[derive(Clone, Debug)]
pub struct SetupToken(SecretString);

impl SetupToken {
    /// Takes what a caller sent.
    pub fn new(text: String) -> Self {
        Self(text.into())
    }

    /// The text itself, to be shown once.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.expose_secret().as_bytes()).into()
    }
}

/// What came out of founding an organization.
#[derive(Debug)]
pub struct Founded {
    /// The organization.
    pub organization: Organization,
    /// Its owner.
    pub user: UserId,
    /// The owner's key; shown once.
    pub key: KeySecret,
}

/// Organizations, members and keys, and who a caller is.
#[derive(Clone)]
pub struct Tenancy {
    store: Arc<dyn TenancyStore>,
    clock: Arc<dyn Clock>,
    known: Arc<RwLock<FastMap<KeyHash, Known>>>,
    organizations: Arc<Recent<OrgId, Arc<Organization>>>,
}

#[derive(Clone)]
struct Known {
    looked_up: Timestamp,
    touched: Timestamp,
    found: Arc<FoundKey>,
}

impl Tenancy {
    /// Puts the service together from its ports.
    pub fn new(store: Arc<dyn TenancyStore>, clock: Arc<dyn Clock>) -> Self {
        let organizations = Arc::new(Recent::new(clock.clone(), REMEMBERED));
        Self { store, clock, known: Arc::default(), organizations }
    }

    /// Makes the token for the first owner, unless an organization exists already.
    ///
    /// # Errors
    ///
    /// Only when storage or randomness fails.
    pub async fn prepare_setup(&self) -> Result<Option<SetupToken>, TenancyError> {
        let token = SetupToken::new(KeySecret::generate(KeyKind::Live)?.expose().replacen(
            "plinth_live_",
            "setup_",
            1,
        ));
        Ok(self.store.put_setup_token(&token.hash()).await?.then_some(token))
    }

    /// Says whether a setup token is good, and leaves it so: what is costly is done only for who has a good one.
    ///
    /// # Errors
    ///
    /// [`TenancyError::WrongToken`] as for [`Tenancy::set_up`].
    pub async fn check_setup(&self, token: &SetupToken) -> Result<(), TenancyError> {
        let is_good = self.store.is_setup_token(&token.hash()).await?;
        if is_good { Ok(()) } else { Err(TenancyError::WrongToken) }
    }

    /// Makes an organization with its owner and a key of full scope, for whoever holds the setup token.
    ///
    /// # Errors
    ///
    /// - [`TenancyError::WrongToken`] if it is not the installation's, or was used.
    /// - [`TenancyError::NameTaken`] if an organization has that name; the token stays good.
    pub async fn set_up(
        &self,
        token: &SetupToken,
        name: OrganizationName,
        email: Email,
    ) -> Result<Founded, TenancyError> {
        self.found(name, email, Some(token.hash())).await
    }

    /// The same for an operator at the machine's own keyboard: no token, and as often as they like.
    ///
    /// # Errors
    ///
    /// [`TenancyError::NameTaken`] if an organization has that name.
    pub async fn bootstrap(
        &self,
        name: OrganizationName,
        email: Email,
    ) -> Result<Founded, TenancyError> {
        self.found(name, email, None).await
    }

    async fn found(
        &self,
        name: OrganizationName,
        email: Email,
        token: Option<[u8; 32]>,
    ) -> Result<Founded, TenancyError> {
        let now = self.clock.now();
        let organization = Organization::new(OrgId::new(now), name, TimeZoneName::utc(), now);
        let user = User { id: UserId::new(now), email, created_at: now };
        let secret = KeySecret::generate(KeyKind::Live)?;
        let key = ApiKey {
            id: KeyId::new(now),
            org: organization.id,
            user: user.id,
            name: "first key".to_owned(),
            kind: KeyKind::Live,
            scope: KeyScope::Full,
            hint: secret.hint(),
            created_at: now,
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
            limits: KeyLimits::default(),
            project: None,
        };
        let by = if token.is_some() { "setup" } else { "operator" };
        let entry = AuditEntry::of_plinth(organization.id, now, by, "organization.created")
            .on("organization", organization.id)
            .with(json!({ "name": organization.name.as_str(), "owner": user.email.as_str() }));
        let new = NewOwner { organization, user, key, hash: secret.hash() };
        let user =
            self.store.found(&new, token.as_ref(), &entry).await.map_err(|err| match err {
                FoundingError::NameTaken => TenancyError::NameTaken(new.organization.name.clone()),
                FoundingError::WrongToken => TenancyError::WrongToken,
                FoundingError::Store(err) => err.into(),
            })?;
        Ok(Founded { organization: new.organization, user, key: secret })
    }

    /// Says who a caller is by the key they sent.
    ///
    /// # Errors
    ///
    /// [`TenancyError::Unauthenticated`] for a text that is no key, an unknown, expired or revoked key, and one whose
    /// maker left the organization.
    pub async fn authenticate(
        &self,
        text: &str,
        origin: Arc<Origin>,
    ) -> Result<Principal, TenancyError> {
        let hash = KeyHash::of_sent(text).ok_or(TenancyError::Unauthenticated)?;
        let now = self.clock.now();
        let known = self.known.read().expect("not poisoned").get(&hash).cloned();
        let fresh = known.as_ref().filter(|it| now.duration_since(it.looked_up) < TRUST);
        let found = match fresh {
            Some(known) => known.found.clone(),
            // Once a second; those of which all is known do not carry its room along.
            None => Box::pin(self.look_up(hash, known.map(|it| it.touched), now)).await?,
        };
        principal(&found, origin, now)
    }

    /// [`Tenancy::authenticate`] where all that it takes is remembered, as it is for nearly every request: at once, without
    /// waiting or copying what is remembered. `None` if the key has to be looked up.
    ///
    /// # Errors
    ///
    /// As for [`Tenancy::authenticate`].
    pub fn recognize(
        &self,
        text: &str,
        origin: &Arc<Origin>,
        now: Timestamp,
    ) -> Option<Result<Principal, TenancyError>> {
        let Some(hash) = KeyHash::of_sent(text) else {
            return Some(Err(TenancyError::Unauthenticated));
        };
        let known = self.known.read().expect("not poisoned");
        let known = known.get(&hash).filter(|it| now.duration_since(it.looked_up) < TRUST)?;
        Some(principal(&known.found, origin.clone(), now))
    }

    async fn look_up(
        &self,
        hash: KeyHash,
        touched: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Arc<FoundKey>, TenancyError> {
        let found = match self.store.find_key(&hash).await? {
            Some(found) if found.key.is_valid(now) => Arc::new(found),
            _ => {
                self.known.write().expect("not poisoned").remove(&hash);
                return Err(TenancyError::Unauthenticated);
            }
        };
        let last = touched.or(found.key.last_used_at);
        let due = last.is_none_or(|it| now.duration_since(it) >= TOUCH);
        if due {
            self.store.touch_key(found.key.org, found.key.id, now).await?;
        }
        let touched = if due { now } else { last.unwrap_or(now) };
        let mut known = self.known.write().expect("not poisoned");
        if known.len() >= REMEMBERED {
            known.retain(|_, it| now.duration_since(it.looked_up) < TRUST);
        }
        known.insert(hash, Known { looked_up: now, touched, found: found.clone() });
        Ok(found)
    }

    /// The organization that the caller acts for.
    ///
    /// # Errors
    ///
    /// Only when storage fails; an organization that is gone reads as [`TenancyError::Unauthenticated`].
    pub async fn organization(&self, org: OrgId) -> Result<Organization, TenancyError> {
        self.store.organization(org).await?.ok_or(TenancyError::Unauthenticated)
    }

    /// The organization as it is now or was a second ago.
    ///
    /// # Errors
    ///
    /// As for [`Tenancy::organization`].
    pub async fn current(&self, org: OrgId) -> Result<Arc<Organization>, TenancyError> {
        let read = async |_| Ok(self.store.organization(org).await?.map(Arc::new));
        let found: Result<_, TenancyError> = self.organizations.get(&org, read).await;
        found?.ok_or(TenancyError::Unauthenticated)
    }

    /// The organization's time zone, as it is now or was a second ago.
    ///
    /// # Errors
    ///
    /// As for [`Tenancy::organization`].
    pub async fn time_zone(&self, org: OrgId) -> Result<Arc<str>, TenancyError> {
        Ok(self.current(org).await?.time_zone.as_str().into())
    }

    /// Says whether the organization can be worked in.
    ///
    /// # Errors
    ///
    /// [`TenancyError::Closing`] if it is being deleted; else as for [`Tenancy::organization`].
    pub async fn require_open(&self, org: OrgId) -> Result<(), TenancyError> {
        open(&*self.current(org).await?)
    }

    /// [`Tenancy::require_open`] where the organization was read within the last second: at once. `None` if it has to be read.
    ///
    /// # Errors
    ///
    /// As for [`Tenancy::require_open`].
    pub fn is_open(&self, org: OrgId, now: Timestamp) -> Option<Result<(), TenancyError>> {
        self.organizations.peek(&org, now, |it| open(it))
    }

    /// Forgets what is remembered of an organization, its keys included, because it has changed: what this server does
    /// next goes by the change, other servers follow within a second.
    pub fn forget(&self, org: OrgId) {
        self.organizations.forget(&org);
        self.known.write().expect("not poisoned").retain(|_, it| it.found.key.org != org);
    }

    /// Makes a key for the caller. Its text is in the answer and nowhere else.
    ///
    /// # Errors
    ///
    /// - [`TenancyError::InvalidKey`] if the request breaks a rule.
    /// - [`TenancyError::Escalation`] if it names scopes that the caller does not have.
    /// - [`TenancyError::KeysByAdminsOnly`] if the organization does not let its members make keys.
    pub async fn create_key(
        &self,
        permit: &Permit<OwnKeys>,
        new: NewKey,
    ) -> Result<(ApiKey, KeySecret), TenancyError> {
        let now = self.clock.now();
        new.check(now)?;
        let caller = permit.principal();
        if whose(permit).is_some() && !self.current(permit.org()).await?.settings.member_keys {
            return Err(TenancyError::KeysByAdminsOnly);
        }
        let listed = match &new.scope {
            // "All that I may" is never more than that: the intersection at every use sees to it.
            KeyScope::Full => caller.scopes,
            other => other.scopes(),
        };
        let wider = caller.test_only && new.kind == KeyKind::Live;
        if wider || !listed.is_subset(caller.scopes) {
            return Err(TenancyError::Escalation);
        }
        // What a narrow credential makes "full" gives what it has, not what its maker has. Who signed in has nothing
        // narrow, and neither has the owner's full key: their key goes with their role. A key that lists every scope is
        // narrow all the same.
        let is_whole = matches!(caller.credential, Credential::Session(_)) || caller.is_owner;
        let scope = match new.scope {
            KeyScope::Full if !is_whole => KeyScope::Listed(caller.scopes),
            other => other,
        };
        let secret = KeySecret::generate(new.kind)?;
        let key = ApiKey {
            id: KeyId::new(now),
            org: permit.org(),
            user: permit.user(),
            name: new.name.trim().to_owned(),
            kind: new.kind,
            scope,
            hint: secret.hint(),
            created_at: now,
            expires_at: new.expires_at,
            revoked_at: None,
            last_used_at: None,
            limits: new.limits,
            project: new.project,
        };
        let mut details =
            json!({ "name": key.name, "scopes": key.scope.names(), "expires_at": key.expires_at });
        if let Some(project) = &key.project {
            details["project_id"] = json!(project);
        }
        let entry =
            AuditEntry::of(caller, now, "api_key.created").on("api_key", key.id).with(details);
        self.store.insert_key(&key, &secret.hash(), &entry).await?;
        Ok((key, secret))
    }

    /// The organization's keys, newest first, revoked ones included; without the scope `admin` the caller's own.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn list_keys(
        &self,
        permit: &Permit<OwnKeys>,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<ApiKey>, TenancyError> {
        let items = self.store.list_keys(permit.org(), whose(permit), after, limit).await?;
        Ok(Page::cut(items, limit, |it| Cursor { created_at: it.created_at, id: it.id.as_uuid() }))
    }

    /// The number that each of the organization's keys has, where keys are named by numbers.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn key_numbers(
        &self,
        permit: &Permit<OwnKeys>,
    ) -> Result<HashMap<KeyId, i64>, TenancyError> {
        Ok(self.store.key_numbers(permit.org()).await?.into_iter().collect())
    }

    /// One key, revoked or not; without the scope `admin` only one of the caller's own.
    ///
    /// # Errors
    ///
    /// [`TenancyError::KeyNotFound`] if there is no such key.
    pub async fn get_key(
        &self,
        permit: &Permit<OwnKeys>,
        id: KeyId,
    ) -> Result<ApiKey, TenancyError> {
        let found = self.store.key(permit.org(), id).await?;
        let mine = |it: &ApiKey| whose(permit).is_none_or(|user| user == it.user);
        found.filter(mine).ok_or(TenancyError::KeyNotFound(id))
    }

    /// Changes a key's name or limits; without the scope `admin` only one of the caller's own.
    ///
    /// # Errors
    ///
    /// - [`TenancyError::InvalidKey`] if a new value breaks a rule.
    /// - [`TenancyError::KeyNotFound`] if there is no such key that was not revoked.
    pub async fn change_key(
        &self,
        permit: &Permit<OwnKeys>,
        id: KeyId,
        change: &KeyChange,
    ) -> Result<ApiKey, TenancyError> {
        let entry = AuditEntry::of(permit.principal(), self.clock.now(), "api_key.changed")
            .on("api_key", id)
            .with(json!({
                "name": change.name,
                "rate_limit_per_minute": change.per_minute,
                "rate_limit_per_day": change.per_day,
            }));
        let decide = |key: &mut ApiKey| change.apply(key);
        let changed =
            self.store.change_key(permit.org(), id, whose(permit), &decide, &entry).await?;
        let key = changed.ok_or(TenancyError::KeyNotFound(id))??;
        self.forget_key(id);
        Ok(key)
    }

    /// Ends a key: here at once, on other servers within a second. Without the scope `admin` only one of the caller's
    /// own.
    ///
    /// # Errors
    ///
    /// [`TenancyError::KeyNotFound`] if there is no such key that still works.
    pub async fn revoke_key(
        &self,
        permit: &Permit<OwnKeys>,
        id: KeyId,
    ) -> Result<(), TenancyError> {
        let now = self.clock.now();
        let entry = AuditEntry::of(permit.principal(), now, "api_key.revoked").on("api_key", id);
        if !self.store.revoke_key(permit.org(), id, whose(permit), now, &entry).await? {
            return Err(TenancyError::KeyNotFound(id));
        }
        self.forget_key(id);
        Ok(())
    }

    fn forget_key(&self, id: KeyId) {
        self.known.write().expect("not poisoned").retain(|_, it| it.found.key.id != id);
    }
}

/// Who calls with that key, if it works at that moment.
fn principal(
    found: &FoundKey,
    origin: Arc<Origin>,
    now: Timestamp,
) -> Result<Principal, TenancyError> {
    if !found.key.is_valid(now) {
        return Err(TenancyError::Unauthenticated);
    }
    Ok(Principal {
        org: found.key.org,
        user: found.key.user,
        credential: Credential::Key(found.key.id),
        scopes: found.key.scope.scopes().intersection(found.role.scopes()),
        test_only: found.key.kind == KeyKind::Test,
        saved_queries_only: found.role.saved_queries_only(),
        is_owner: found.role.is_owner() && found.key.scope == KeyScope::Full,
        project: found.key.project.as_deref().map(Arc::from),
        origin,
    })
}

fn open(organization: &Organization) -> Result<(), TenancyError> {
    organization.deleting_at.map_or(Ok(()), |at| Err(TenancyError::Closing(at)))
}

/// Whose keys a caller may see and change: everybody's with the scope `admin`, else their own.
fn whose(permit: &Permit<OwnKeys>) -> Option<UserId> {
    Permit::<AdminAll>::check(permit.principal()).is_err().then(|| permit.user())
}
