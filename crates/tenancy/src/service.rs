use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use jiff::{SignedDuration, Timestamp};
use plinth_core::{
    AdminAll, Clock, Credential, Cursor, KeyId, Limit, OrgId, Origin, Page, Permit, Principal,
    UserId,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{
    ApiKey, AuditEntry, Email, FoundKey, FoundingError, KeyHash, KeyKind, KeyScope, KeySecret,
    NewKey, NewOwner, Organization, OrganizationName, Role, TenancyError, TenancyStore, User,
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

/// Each organization's time zone, and when it was read.
type ZoneCache = HashMap<OrgId, (Timestamp, Arc<str>)>;

/// Organizations, members and keys, and who a caller is.
#[derive(Clone)]
pub struct Tenancy {
    store: Arc<dyn TenancyStore>,
    clock: Arc<dyn Clock>,
    known: Arc<RwLock<HashMap<KeyHash, Known>>>,
    zones: Arc<RwLock<ZoneCache>>,
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
        Self { store, clock, known: Arc::default(), zones: Arc::default() }
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
        let organization = Organization {
            id: OrgId::new(now),
            name,
            time_zone: "UTC".to_owned(),
            created_at: now,
        };
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
        let hash = KeySecret::parse(text).ok_or(TenancyError::Unauthenticated)?.hash();
        let now = self.clock.now();
        let known = self.known.read().expect("not poisoned").get(&hash).cloned();
        let fresh = known.as_ref().filter(|it| now.duration_since(it.looked_up) < TRUST);
        let found = match fresh {
            Some(known) => known.found.clone(),
            None => self.look_up(hash, known.map(|it| it.touched), now).await?,
        };
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
            is_owner: found.role == Role::Owner && found.key.scope == KeyScope::Full,
            origin,
        })
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

    /// The organization's time zone, remembered for a second.
    ///
    /// # Errors
    ///
    /// As for [`Tenancy::organization`].
    pub async fn time_zone(&self, org: OrgId) -> Result<Arc<str>, TenancyError> {
        let now = self.clock.now();
        if let Some((read_at, zone)) = self.zones.read().expect("not poisoned").get(&org)
            && now.duration_since(*read_at) < TRUST
        {
            return Ok(zone.clone());
        }
        let zone: Arc<str> = self.organization(org).await?.time_zone.into();
        self.zones.write().expect("not poisoned").insert(org, (now, zone.clone()));
        Ok(zone)
    }

    /// Makes a key. Its text is in the answer and nowhere else.
    ///
    /// # Errors
    ///
    /// - [`TenancyError::InvalidKey`] if the request breaks a rule.
    /// - [`TenancyError::Escalation`] if it names scopes that the caller does not have.
    pub async fn create_key(
        &self,
        permit: &Permit<AdminAll>,
        new: NewKey,
    ) -> Result<(ApiKey, KeySecret), TenancyError> {
        let now = self.clock.now();
        new.check(now)?;
        let caller = permit.principal();
        let listed = match &new.scope {
            // "All that I may" is never more than that: the intersection at every use sees to it.
            KeyScope::Full => caller.scopes,
            other => other.scopes(),
        };
        let wider = caller.test_only && new.kind == KeyKind::Live;
        if wider || !listed.is_subset(caller.scopes) {
            return Err(TenancyError::Escalation);
        }
        // A narrow key that makes a "full" one gives what it has, not what its maker has.
        let scope = match new.scope {
            KeyScope::Full if caller.scopes != plinth_core::ScopeSet::all() => {
                KeyScope::Listed(caller.scopes)
            }
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
        };
        let entry = AuditEntry::of(caller, now, "api_key.created").on("api_key", key.id).with(
            json!({ "name": key.name, "scopes": key.scope.names(), "expires_at": key.expires_at }),
        );
        self.store.insert_key(&key, &secret.hash(), &entry).await?;
        Ok((key, secret))
    }

    /// The organization's keys, newest first, revoked ones included.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn list_keys(
        &self,
        permit: &Permit<AdminAll>,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<ApiKey>, TenancyError> {
        let items = self.store.list_keys(permit.org(), after, limit).await?;
        Ok(Page::cut(items, limit, |it| Cursor { created_at: it.created_at, id: it.id.as_uuid() }))
    }

    /// Ends a key: here at once, on other servers within a second.
    ///
    /// # Errors
    ///
    /// [`TenancyError::KeyNotFound`] if the organization has no such key that still works.
    pub async fn revoke_key(
        &self,
        permit: &Permit<AdminAll>,
        id: KeyId,
    ) -> Result<(), TenancyError> {
        let now = self.clock.now();
        let entry = AuditEntry::of(permit.principal(), now, "api_key.revoked").on("api_key", id);
        if !self.store.revoke_key(permit.org(), id, now, &entry).await? {
            return Err(TenancyError::KeyNotFound(id));
        }
        self.known.write().expect("not poisoned").retain(|_, it| it.found.key.id != id);
        Ok(())
    }
}
