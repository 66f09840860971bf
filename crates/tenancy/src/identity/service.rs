use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use jiff::{SignedDuration, Timestamp};
use plinth_core::{
    AdminAll, Clock, Credential, OrgId, Origin, Permit, Principal, ProviderId, ScopeSet, UserId,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::keys::KeySets;
use super::ports::{IdentityStore, KnownIdentity, PutProviderError};
use super::token::{Said, Unverified};
use super::{IdentityError, IdentityProvider, NewProvider};
use crate::{AuditEntry, Email, Grantor, KeySetSource, MemberRole};

/// How long what was looked up is trusted: a removed member and a provider that was switched off count everywhere within
/// this.
const TRUST: SignedDuration = SignedDuration::from_secs(1);

/// How many tokens and issuers are remembered at most.
const REMEMBERED: usize = 10_000;

/// The most providers of an organization.
const PROVIDERS_AT_MOST: usize = 50;

/// Outside identity providers, and who a caller is by a token of one.
#[derive(Clone)]
pub struct Identities {
    store: Arc<dyn IdentityStore>,
    keys: KeySets,
    clock: Arc<dyn Clock>,
    tokens: Arc<RwLock<HashMap<[u8; 32], Known>>>,
    issuers: Arc<RwLock<IssuerCache>>,
}

/// The providers of each issuer, and when they were read.
type IssuerCache = HashMap<String, (Timestamp, Arc<[IdentityProvider]>)>;

#[derive(Clone)]
struct Known {
    looked_up: Timestamp,
    said: Arc<Said>,
    provider: ProviderId,
    org: OrgId,
    user: UserId,
    scopes: ScopeSet,
    saved_queries_only: bool,
}

impl Identities {
    /// Puts the service together from its ports.
    pub fn new(
        store: Arc<dyn IdentityStore>,
        source: Arc<dyn KeySetSource>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            store,
            keys: KeySets::new(source),
            clock,
            tokens: Arc::default(),
            issuers: Arc::default(),
        }
    }

    /// Who a token says has made it, as far as it is one at all. Believed by nobody yet: it says only whom to ask.
    pub fn issuer(token: &str) -> Option<String> {
        Unverified::read(token)?.issuer().map(str::to_owned)
    }

    /// Says who a caller is by a token of their organization's provider. Who comes for the first time becomes a member,
    /// if the provider's settings give them a role; what their groups say is what they are from then on.
    ///
    /// # Errors
    ///
    /// - [`IdentityError::Unauthenticated`] for a token that is not good, of a provider that nobody has, or of somebody
    ///   who has no role or was removed.
    /// - [`IdentityError::PickOrganization`] if several organizations take such a token and none was picked.
    /// - [`IdentityError::KeySet`] if the provider's keys cannot be read.
    pub async fn authenticate(
        &self,
        text: &str,
        picked: Option<OrgId>,
        origin: Arc<Origin>,
    ) -> Result<Principal, IdentityError> {
        let now = self.clock.now();
        let mut hash = Sha256::new();
        hash.update(text.as_bytes());
        // The same token may be good for several organizations.
        hash.update(picked.map(|it| it.to_string()).unwrap_or_default().as_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        let known = self.tokens.read().expect("not poisoned").get(&hash).cloned();
        let fresh =
            known.filter(|it| now.duration_since(it.looked_up) < TRUST && it.said.expires_at > now);
        let known = match fresh {
            Some(known) => known,
            None => self.look_up(text, picked, &origin, now).await?,
        };
        let principal = Principal {
            org: known.org,
            user: known.user,
            credential: Credential::Provider(known.provider),
            scopes: known.scopes,
            // Ownership is a person's, and shown by what is theirs alone: whoever can change a provider's settings could
            // let it vouch for anybody.
            is_owner: false,
            project: None,
            test_only: false,
            saved_queries_only: known.saved_queries_only,
            origin,
        };
        let mut tokens = self.tokens.write().expect("not poisoned");
        if tokens.len() >= REMEMBERED {
            tokens.retain(|_, it| now.duration_since(it.looked_up) < TRUST);
        }
        tokens.insert(hash, known);
        Ok(principal)
    }

    async fn look_up(
        &self,
        text: &str,
        picked: Option<OrgId>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Known, IdentityError> {
        let token = Unverified::read(text).ok_or(IdentityError::Unauthenticated)?;
        let issuer = token.issuer().ok_or(IdentityError::Unauthenticated)?;
        let providers = self.of_issuer(issuer, now).await?;
        let fitting = providers
            .iter()
            .filter(|it| token.is_for(&it.audience) && picked.is_none_or(|org| org == it.org));
        // Any organization may name any issuer: what counts is whose keys have signed.
        let mut good = Vec::new();
        let mut unreadable = None;
        for provider in fitting {
            match self.keys.get(&provider.jwks_url, token.key_id.as_deref(), now).await {
                Ok(keys) => {
                    good.extend(token.verify(provider, &keys, now).map(|said| (provider, said)));
                }
                Err(err) => unreadable = Some(err),
            }
        }
        let (provider, said) = match good.len() {
            0 => return Err(unreadable.map_or(IdentityError::Unauthenticated, Into::into)),
            1 => good.remove(0),
            _ => self.known_to(good).await?,
        };
        let (user, role) = self.member(provider, &said, origin, now).await?;
        Ok(Known {
            looked_up: now,
            said: Arc::new(said),
            provider: provider.id,
            org: provider.org,
            user,
            scopes: role.0,
            saved_queries_only: role.1,
        })
    }

    /// Of several that a token is good for, the only one that knows whom it means.
    async fn known_to<'p>(
        &self,
        good: Vec<(&'p IdentityProvider, Said)>,
    ) -> Result<(&'p IdentityProvider, Said), IdentityError> {
        let mut knowing = Vec::new();
        for (provider, said) in good {
            let known = self.store.identity(provider.org, provider.id, &said.subject).await?;
            if known.is_some_and(|it| it.role.is_some()) {
                knowing.push((provider, said));
            }
        }
        if knowing.len() == 1 {
            Ok(knowing.remove(0))
        } else {
            Err(IdentityError::PickOrganization)
        }
    }

    async fn of_issuer(
        &self,
        issuer: &str,
        now: Timestamp,
    ) -> Result<Arc<[IdentityProvider]>, IdentityError> {
        if let Some((read_at, providers)) = self.issuers.read().expect("not poisoned").get(issuer)
            && now.duration_since(*read_at) < TRUST
        {
            return Ok(providers.clone());
        }
        let providers: Arc<[_]> = self.store.of_issuer(issuer).await?.into();
        // A stranger can name any issuer: those that nobody has are not remembered.
        if providers.is_empty() {
            return Ok(providers);
        }
        let mut issuers = self.issuers.write().expect("not poisoned");
        if issuers.len() >= REMEMBERED {
            issuers.clear();
        }
        issuers.insert(issuer.to_owned(), (now, providers.clone()));
        Ok(providers)
    }

    /// Whom the provider means, and what they may do by its word: their scopes, and whether those cover saved queries only.
    async fn member(
        &self,
        provider: &IdentityProvider,
        said: &Said,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(UserId, (ScopeSet, bool)), IdentityError> {
        let wanted = provider.role_of(&said.groups).ok_or(IdentityError::Unauthenticated)?;
        let known = self.store.identity(provider.org, provider.id, &said.subject).await?;
        let known = if let Some(known) = known {
            known
        } else {
            let email = said.email.as_deref().and_then(|it| Email::parse(it).ok());
            let email = email.ok_or(IdentityError::NoAddress)?;
            let entry = entry(provider, origin, now, "member.admitted")
                .with(json!({ "email": email.as_str(), "role": wanted.to_string() }));
            self.store.admit(provider, &said.subject, &email, wanted, now, &entry).await?
        };
        // Who was removed stays out until somebody invites them: the provider alone does not bring them back. And nobody
        // becomes the owner by a provider's word: an admin can make one that says anything.
        let KnownIdentity { user, role, is_managed } = known;
        let role = role.filter(|it| !it.is_owner()).ok_or(IdentityError::Unauthenticated)?;
        let granted = |role: &MemberRole| (role.scopes(), role.saved_queries_only());
        if role.key() == wanted {
            return Ok((user, granted(&role)));
        }
        if !is_managed {
            // People gave them another role than the provider's settings do: they may do by its word what both allow.
            let mapped = self.store.role(provider.org, wanted).await?;
            let mapped = mapped.ok_or(IdentityError::Unauthenticated)?;
            let scopes = role.scopes().intersection(mapped.scopes());
            return Ok((user, (scopes, role.saved_queries_only() || mapped.saved_queries_only())));
        }
        let entry = entry(provider, origin, now, "member.role_changed")
            .on("user", user)
            .by(user)
            .with(json!({ "from": role.key().to_string(), "to": wanted.to_string() }));
        self.store.set_role(provider.org, user, wanted, &entry).await?;
        let known = self.store.identity(provider.org, provider.id, &said.subject).await?;
        let role = known.and_then(|it| it.role).ok_or(IdentityError::Unauthenticated)?;
        Ok((user, granted(&role)))
    }

    /// The organization's providers, oldest first.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn list(
        &self,
        permit: &Permit<AdminAll>,
    ) -> Result<Vec<IdentityProvider>, IdentityError> {
        Ok(self.store.list(permit.org()).await?)
    }

    /// One provider.
    ///
    /// # Errors
    ///
    /// [`IdentityError::NotFound`] also when it belongs to another organization.
    pub async fn get(
        &self,
        permit: &Permit<AdminAll>,
        id: ProviderId,
    ) -> Result<IdentityProvider, IdentityError> {
        self.store.find(permit.org(), id).await?.ok_or(IdentityError::NotFound(id))
    }

    /// Adds a provider. With `verify` its keys are read once before, and it is kept only if there are some.
    ///
    /// # Errors
    ///
    /// - [`IdentityError::Invalid`] if a setting breaks a rule.
    /// - [`IdentityError::Escalation`] if it would give a role that the caller could not grant.
    /// - [`IdentityError::KeySet`] or [`IdentityError::NoKeys`] if it was to be verified and cannot be used.
    /// - [`IdentityError::Taken`] if the organization has it already.
    pub async fn create(
        &self,
        permit: &Permit<AdminAll>,
        new: NewProvider,
        verify: bool,
    ) -> Result<IdentityProvider, IdentityError> {
        let now = self.clock.now();
        if self.store.list(permit.org()).await?.len() >= PROVIDERS_AT_MOST {
            return Err(IdentityError::TooMany(PROVIDERS_AT_MOST));
        }
        let provider = self.checked(permit, ProviderId::new(now), now, new, verify).await?;
        let entry = changed(permit, &provider, now, "identity_provider.created");
        self.store.insert(&provider, &entry).await.map_err(IdentityError::from)?;
        Ok(provider)
    }

    /// Puts a provider's settings in the place of the old ones.
    ///
    /// # Errors
    ///
    /// As for [`Identities::create`] and [`Identities::get`].
    pub async fn replace(
        &self,
        permit: &Permit<AdminAll>,
        id: ProviderId,
        new: NewProvider,
        verify: bool,
    ) -> Result<IdentityProvider, IdentityError> {
        let old = self.get(permit, id).await?;
        let now = self.clock.now();
        let provider = self.checked(permit, id, old.created_at, new, verify).await?;
        let entry = changed(permit, &provider, now, "identity_provider.changed");
        if !self.store.update(&provider, &entry).await? {
            return Err(IdentityError::NotFound(id));
        }
        self.forget();
        Ok(provider)
    }

    /// Removes a provider: its tokens stop working here at once and on other servers within a second. Its members stay.
    ///
    /// # Errors
    ///
    /// [`IdentityError::NotFound`] as for [`Identities::get`].
    pub async fn remove(
        &self,
        permit: &Permit<AdminAll>,
        id: ProviderId,
    ) -> Result<(), IdentityError> {
        let now = self.clock.now();
        let entry = AuditEntry::of(permit.principal(), now, "identity_provider.deleted")
            .on("identity_provider", id);
        if !self.store.remove(permit.org(), id, &entry).await? {
            return Err(IdentityError::NotFound(id));
        }
        self.forget();
        Ok(())
    }

    async fn checked(
        &self,
        permit: &Permit<AdminAll>,
        id: ProviderId,
        created_at: Timestamp,
        new: NewProvider,
        verify: bool,
    ) -> Result<IdentityProvider, IdentityError> {
        new.check()?;
        let grantor = Grantor::of(permit.principal());
        for key in new.roles() {
            let role = self.store.role(permit.org(), key).await?;
            let role = role.ok_or(IdentityError::NoSuchRole)?;
            if !grantor.may_grant(&role) {
                return Err(IdentityError::Escalation);
            }
        }
        if verify {
            let now = self.clock.now();
            if self.keys.read_now(&new.jwks_url, now).await?.is_empty() {
                return Err(IdentityError::NoKeys);
            }
        }
        Ok(IdentityProvider {
            id,
            org: permit.org(),
            name: new.name.trim().to_owned(),
            issuer: new.issuer,
            jwks_url: new.jwks_url,
            audience: new.audience,
            email_claim: new.email_claim,
            groups_claim: new.groups_claim,
            group_roles: new.group_roles,
            default_role: new.default_role,
            is_active: new.is_active,
            created_at,
        })
    }

    fn forget(&self) {
        self.tokens.write().expect("not poisoned").clear();
        self.issuers.write().expect("not poisoned").clear();
    }
}

fn changed(
    permit: &Permit<AdminAll>,
    provider: &IdentityProvider,
    now: Timestamp,
    action: &str,
) -> AuditEntry {
    let roles: Vec<_> = provider
        .group_roles
        .iter()
        .map(|(group, role)| json!({ "group": group, "role": role.to_string() }))
        .collect();
    AuditEntry::of(permit.principal(), now, action).on("identity_provider", provider.id).with(
        json!({
            "name": provider.name,
            "issuer": provider.issuer,
            "jwks_url": provider.jwks_url,
            "audience": provider.audience,
            "group_roles": roles,
            "default_role": provider.default_role.map(|it| it.to_string()),
            "is_active": provider.is_active,
        }),
    )
}

/// What a provider's word leaves in the trail.
fn entry(provider: &IdentityProvider, origin: &Origin, now: Timestamp, action: &str) -> AuditEntry {
    let credential = Credential::Provider(provider.id);
    AuditEntry {
        credential_id: credential.id(),
        address: origin.address,
        request_id: origin.request_id.to_string(),
        ..AuditEntry::of_plinth(provider.org, now, credential.kind(), action)
    }
}

impl From<PutProviderError> for IdentityError {
    fn from(err: PutProviderError) -> Self {
        match err {
            PutProviderError::NameTaken => Self::Taken("name"),
            PutProviderError::IssuerTaken => Self::Taken("issuer and audience"),
            PutProviderError::NoSuchRole => Self::NoSuchRole,
            PutProviderError::Store(err) => err.into(),
        }
    }
}
