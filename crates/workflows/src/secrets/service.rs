use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plinth_connections::{Location, Vault};
use plinth_core::{
    Clock, Cursor, Limit, OrgId, Page, Permit, Principal, Scope, StoreError, WorkflowsRead,
    WorkflowsWrite,
};
use plinth_egress::{Scheme, WebAddress};
use plinth_tenancy::AuditEntry;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::credential::{CredentialKind, StoredCredential};
use super::{Changed, CredentialError, CredentialId, CredentialStore};
use crate::definition::Receiver;
use crate::ports::{Fault, OutwardCall};

/// The most credentials of one organization.
const MOST: i64 = 200;

/// What is needed to keep a credential.
#[derive(Clone, Debug)]
pub struct NewCredential {
    /// 1 to 63 lower-case letters, digits, `_` and `-`; unique in the organization.
    pub name: String,
    /// Scheme, host and port of its receiver.
    pub origin: String,
    /// How it is sent.
    pub kind: CredentialKind,
    /// The secret itself.
    pub secret: SecretString,
}

/// What to change; `None` leaves it. The origin and how it is sent never change: who may change it need not know the secret.
#[derive(Clone, Debug, Default)]
pub struct CredentialChange {
    /// See [`NewCredential::name`].
    pub name: Option<String>,
    /// Another secret in its place.
    pub secret: Option<SecretString>,
    /// The revision that the caller has seen; `None` changes whatever is there.
    pub expected: Option<i64>,
}

/// Credentials of organizations.
#[derive(Clone)]
pub struct StoredCredentials {
    store: Arc<dyn CredentialStore>,
    vault: Vault,
    clock: Arc<dyn Clock>,
}

impl StoredCredentials {
    /// Keeps them there, sealed by that vault.
    pub fn new(store: Arc<dyn CredentialStore>, vault: Vault, clock: Arc<dyn Clock>) -> Self {
        Self { store, vault, clock }
    }

    /// Keeps a credential.
    ///
    /// # Errors
    ///
    /// [`CredentialError::Field`], [`CredentialError::NameTaken`], [`CredentialError::TooMany`].
    pub async fn create(
        &self,
        permit: &Permit<WorkflowsWrite>,
        new: NewCredential,
    ) -> Result<StoredCredential, CredentialError> {
        let now = self.clock.now();
        let credential = StoredCredential {
            id: CredentialId::new(now),
            org: permit.org(),
            name: name(&new.name)?,
            origin: origin(&new.origin)?,
            kind: kind(new.kind)?,
            by: permit.user(),
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        check_secret(&credential, &new.secret)?;
        let sealed = self.vault.seal(place(&credential), &new.secret).await?;
        let entry = AuditEntry::of(permit.principal(), now, "credential.created")
            .on("credential", credential.id)
            .with(json!({ "name": credential.name, "origin": credential.origin }));
        self.store.insert(&credential, &sealed, MOST, &entry).await?;
        Ok(credential)
    }

    /// The organization's credentials, newest first.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn list(
        &self,
        permit: &Permit<WorkflowsRead>,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<StoredCredential>, CredentialError> {
        let items = self.store.list(permit.org(), after, limit).await?;
        Ok(Page::cut(items, limit, |it| Cursor { created_at: it.created_at, id: it.id.as_uuid() }))
    }

    /// One credential.
    ///
    /// # Errors
    ///
    /// [`CredentialError::NotFound`], also when it is another organization's.
    pub async fn get(
        &self,
        permit: &Permit<WorkflowsRead>,
        id: CredentialId,
    ) -> Result<StoredCredential, CredentialError> {
        self.store.find(permit.org(), id).await?.ok_or(CredentialError::NotFound(id))
    }

    /// Changes a credential's name or secret.
    ///
    /// # Errors
    ///
    /// As for [`StoredCredentials::create`], [`CredentialError::NotFound`], [`CredentialError::Changed`] if it is not as
    /// expected, and [`CredentialError::NotYours`] if it is another's and published workflows use it, or its secret is where it
    /// goes.
    pub async fn change(
        &self,
        permit: &Permit<WorkflowsWrite>,
        id: CredentialId,
        change: CredentialChange,
    ) -> Result<StoredCredential, CredentialError> {
        let now = self.clock.now();
        let before = self.store.find(permit.org(), id).await?;
        let before = before.ok_or(CredentialError::NotFound(id))?;
        let leads_elsewhere = change.secret.is_some() && before.kind == CredentialKind::Url;
        self.hold_to_maker(permit.principal(), &before, leads_elsewhere).await?;
        let new_name = change.name.as_deref().map(name).transpose()?;
        let sealed = match &change.secret {
            Some(secret) => {
                check_secret(&before, secret)?;
                Some(self.vault.seal(place(&before), secret).await?)
            }
            None => None,
        };
        let mut decide = |it: &mut StoredCredential| {
            if change.expected.is_some_and(|expected| expected != it.revision) {
                return Err(CredentialError::Changed);
            }
            if let Some(name) = &new_name {
                it.name.clone_from(name);
            }
            it.revision += 1;
            it.updated_at = now;
            let entry = AuditEntry::of(permit.principal(), now, "credential.changed")
                .on("credential", id)
                .with(json!({ "name": it.name, "secret": sealed.is_some() }));
            Ok(Changed { entry, secret: sealed.clone() })
        };
        let changed = self.store.change(permit.org(), id, &mut decide).await?;
        changed.ok_or(CredentialError::NotFound(id))
    }

    /// Removes a credential. Actions that name it fail from then on.
    ///
    /// # Errors
    ///
    /// [`CredentialError::NotFound`], [`CredentialError::NotYours`] if it is another's and published workflows use it, and
    /// [`CredentialError::Changed`] if it has none of the revisions that are expected.
    pub async fn remove(
        &self,
        permit: &Permit<WorkflowsWrite>,
        id: CredentialId,
        expected: Option<&[i64]>,
    ) -> Result<(), CredentialError> {
        let now = self.clock.now();
        let before = self.store.find(permit.org(), id).await?;
        let before = before.ok_or(CredentialError::NotFound(id))?;
        self.hold_to_maker(permit.principal(), &before, false).await?;
        let entry =
            AuditEntry::of(permit.principal(), now, "credential.deleted").on("credential", id);
        let removed = self.store.remove(permit.org(), id, expected, &entry).await?;
        if removed { Ok(()) } else { Err(CredentialError::NotFound(id)) }
    }

    /// What others' workflows send with a credential goes where it leads: who made it answers for that, and who administers the
    /// organization.
    async fn hold_to_maker(
        &self,
        caller: &Principal,
        credential: &StoredCredential,
        leads_elsewhere: bool,
    ) -> Result<(), CredentialError> {
        let may = credential.by == caller.user || caller.scopes.contains(Scope::Admin);
        if may || !leads_elsewhere && !self.store.is_lent(caller.org, credential.id).await? {
            return Ok(());
        }
        Err(CredentialError::NotYours)
    }

    /// The credential of that name, for checking what names it.
    pub(crate) async fn named(
        &self,
        org: OrgId,
        name: &str,
    ) -> Result<Option<StoredCredential>, StoreError> {
        Ok(self.store.named(org, name).await?.map(|it| it.0))
    }

    /// A credential with its secret, for one call; if it is `meant`, where that is known, and not another that has the name now.
    pub(crate) async fn borrow(
        &self,
        org: OrgId,
        name: &str,
        meant: Option<&Receiver>,
    ) -> Result<(StoredCredential, SecretString), Fault> {
        let gone = || Fault::permanent(format!("there is no credential `{name}` any more"));
        let ours = || Fault::temporary("the credential could not be read now");
        let found = self.store.named(org, name).await.map_err(|_| ours())?;
        let (credential, sealed) = found.ok_or_else(gone)?;
        if meant.is_some_and(|it| *it != Receiver::of(&credential)) {
            return Err(Fault::permanent(format!(
                "the credential `{name}` is another than when the workflow was published; somebody has to publish it again"
            )));
        }
        let secret = self.vault.open(place(&credential), &sealed).await.map_err(|err| {
            tracing::warn!(credential.id = %credential.id, error = plinth_core::chain(&err), "a credential did not open");
            ours()
        })?;
        Ok((credential, secret))
    }
}

/// A secret that a call carries, in the shapes in which its receiver may repeat it.
pub(crate) struct Lent(Vec<String>);

/// What is this short is no secret, and would blot out what it only happens to be in.
const SHORTEST_HIDDEN: usize = 4;

impl Lent {
    /// Nothing.
    pub(crate) fn none() -> Self {
        Self(Vec::new())
    }

    /// That secret.
    pub(crate) fn of(credential: &StoredCredential, secret: &SecretString) -> Self {
        let secret = secret.expose_secret();
        let mut shapes = vec![secret.to_owned()];
        match &credential.kind {
            CredentialKind::Basic(user) => shapes.push(STANDARD.encode(format!("{user}:{secret}"))),
            CredentialKind::Url => {
                let path = secret.strip_prefix(credential.origin.as_str()).unwrap_or_default();
                shapes.push(path.to_owned());
            }
            CredentialKind::Bearer | CredentialKind::Header(_) => {}
        }
        // As JSON writes it, with its slashes as they are and as some write them.
        for plain in shapes.clone() {
            let quoted = serde_json::Value::from(plain).to_string();
            let inner = &quoted[1..quoted.len() - 1];
            shapes.extend([inner.replace('/', "\\/"), inner.to_owned()]);
        }
        shapes.retain(|it| it.len() >= SHORTEST_HIDDEN);
        // The longest first: none is left in half by one that is part of it.
        shapes.sort_by_key(|it| std::cmp::Reverse(it.len()));
        shapes.dedup();
        Self(shapes)
    }

    /// What came back, without what it repeats of the secret: it is kept, and shown to whoever reads the run.
    pub(crate) fn hide(&self, body: Vec<u8>) -> Vec<u8> {
        let text = String::from_utf8_lossy(&body);
        let is_there = self.0.iter().any(|it| text.contains(it.as_str()));
        let hidden = is_there.then(|| {
            self.0.iter().fold(text.into_owned(), |text, it| text.replace(it.as_str(), "[secret]"))
        });
        hidden.map_or(body, String::into_bytes)
    }
}

/// Puts a secret into a call to its own origin, and into no other.
pub(crate) fn lend(
    credential: &StoredCredential,
    secret: &SecretString,
    call: &mut OutwardCall,
) -> Result<(), Fault> {
    let to = WebAddress::parse(&call.url, Scheme::Any).map(|it| it.origin());
    if to.ok().as_deref() != Some(credential.origin.as_str()) {
        return Err(Fault::permanent(format!(
            "the credential `{}` is for {} only",
            credential.name, credential.origin
        )));
    }
    let secret = secret.expose_secret();
    let (name, value) = match &credential.kind {
        CredentialKind::Bearer => ("authorization", format!("Bearer {secret}")),
        CredentialKind::Basic(user) => {
            ("authorization", format!("Basic {}", STANDARD.encode(format!("{user}:{secret}"))))
        }
        CredentialKind::Header(name) => (name.as_str(), secret.to_owned()),
        CredentialKind::Url => {
            return Err(Fault::permanent(format!(
                "the credential `{}` is the URL of an incoming webhook; `slack` actions use it",
                credential.name
            )));
        }
    };
    // The action's own header of that name, if it has one, does not go beside it.
    call.headers.retain(|it| it.0 != name);
    call.headers.push((name.to_owned(), value));
    Ok(())
}

/// Where a credential's secret stands sealed.
fn place(it: &StoredCredential) -> Location<'static> {
    Location {
        org: it.org,
        table: "workflow_credentials",
        column: "secret",
        record: it.id.as_uuid(),
    }
}

fn name(text: &str) -> Result<String, CredentialError> {
    let plain = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || "_-".contains(it);
    if text.is_empty() || text.len() > 63 || !text.chars().all(plain) {
        let rule = "has to be of 1 to 63 lower-case letters, digits, `_` and `-`";
        return Err(CredentialError::field("name", rule));
    }
    Ok(text.to_owned())
}

/// A receiver that is spoken to in clear would tell the secret to everybody in between; on the machine itself there is
/// nobody.
fn origin(text: &str) -> Result<String, CredentialError> {
    let address = WebAddress::parse(text, Scheme::Any)
        .map_err(|err| CredentialError::field("origin", err.to_string()))?;
    let is_here = matches!(address.host(), "localhost" | "127.0.0.1" | "[::1]");
    if address.is_plain() && !is_here {
        return Err(CredentialError::field("origin", "has to begin with https://"));
    }
    let origin = address.origin();
    if text.trim().trim_end_matches('/') != origin {
        let rule = format!("has to be scheme, host and perhaps a port, as in {origin}");
        return Err(CredentialError::field("origin", rule));
    }
    Ok(origin)
}

fn kind(kind: CredentialKind) -> Result<CredentialKind, CredentialError> {
    match &kind {
        CredentialKind::Basic(user)
            if user.is_empty() || user.len() > 200 || user.contains([':', '\0', '\r', '\n']) =>
        {
            let rule = "has to be 1 to 200 characters, without colons and line breaks";
            Err(CredentialError::field("username", rule))
        }
        CredentialKind::Header(name) => {
            let name = name.to_ascii_lowercase();
            let token = |it: u8| it.is_ascii_alphanumeric() || b"-_.".contains(&it);
            if name.is_empty() || name.len() > 100 || !name.bytes().all(token) {
                return Err(CredentialError::field("header", "is not the name of a header"));
            }
            if crate::definition::OWN_HEADERS.contains(&name.as_str()) {
                let rule = "is a header that Plinth writes itself";
                return Err(CredentialError::field("header", rule));
            }
            Ok(CredentialKind::Header(name))
        }
        _ => Ok(kind),
    }
}

fn check_secret(
    credential: &StoredCredential,
    secret: &SecretString,
) -> Result<(), CredentialError> {
    let secret = secret.expose_secret();
    let sendable = |it: char| it.is_ascii_graphic() || it == ' ';
    let is_sendable = match credential.kind {
        // Encoded, it may hold anything.
        CredentialKind::Basic(_) => !secret.contains('\0'),
        _ => secret.chars().all(sendable),
    };
    if secret.trim().is_empty() || secret.len() > 4_096 || !is_sendable {
        let rule = "has to be 1 to 4096 characters that a header can hold";
        return Err(CredentialError::field("secret", rule));
    }
    if credential.kind == CredentialKind::Url {
        let address = WebAddress::parse(secret, Scheme::Any).map(|it| it.origin());
        if address.ok().as_deref() != Some(credential.origin.as_str()) {
            let rule = format!("has to be a URL at {}", credential.origin);
            return Err(CredentialError::field("secret", rule));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use plinth_core::UserId;

    use super::*;

    fn credential(kind: CredentialKind) -> StoredCredential {
        let at = Timestamp::UNIX_EPOCH;
        StoredCredential {
            id: CredentialId::new(at),
            org: OrgId::new(at),
            name: "crm".to_owned(),
            origin: "https://crm.example.com".to_owned(),
            kind,
            by: UserId::new(at),
            revision: 1,
            created_at: at,
            updated_at: at,
        }
    }

    fn call(url: &str) -> OutwardCall {
        OutwardCall {
            method: "POST",
            url: url.to_owned(),
            headers: vec![("authorization".to_owned(), "mine".to_owned())],
            body: None,
            time: Duration::from_secs(1),
        }
    }

    #[test]
    fn a_secret_goes_to_its_own_origin_and_nowhere_else() {
        let secret = SecretString::from("canary");
        let bearer = credential(CredentialKind::Bearer);
        let mut own = call("https://crm.example.com/orders?x=1");
        lend(&bearer, &secret, &mut own).expect("its own");
        assert_eq!(own.headers, [("authorization".to_owned(), "Bearer canary".to_owned())]);
        for other in [
            "https://crm.example.com.evil.example/",
            "https://crm.example.com@evil.example/",
            "http://crm.example.com/",
            "https://crm.example.com:8443/",
            "https://evil.example/https://crm.example.com",
        ] {
            let mut other = call(other);
            assert!(lend(&bearer, &secret, &mut other).is_err(), "{}", other.url);
            assert_eq!(other.headers[0].1, "mine");
        }
        let basic = credential(CredentialKind::Basic("ann".to_owned()));
        let mut own = call("https://crm.example.com/");
        lend(&basic, &secret, &mut own).expect("its own");
        assert_eq!(own.headers[0].1, "Basic YW5uOmNhbmFyeQ==");
        let url = credential(CredentialKind::Url);
        assert!(lend(&url, &secret, &mut call("https://crm.example.com/")).is_err());
    }

    #[test]
    fn what_a_receiver_repeats_of_a_secret_is_not_kept() {
        let secret = SecretString::from("https://crm.example.com/services/T0/canary");
        let lent = Lent::of(&credential(CredentialKind::Url), &secret);
        for said in [
            "you called https://crm.example.com/services/T0/canary",
            r#"{"path":"/services/T0/canary"}"#,
            r#"{"url":"https:\/\/crm.example.com\/services\/T0\/canary"}"#,
        ] {
            let kept = String::from_utf8(lent.hide(said.into())).expect("text");
            assert!(kept.contains("[secret]") && !kept.contains("canary"), "{kept}");
        }
        let basic = credential(CredentialKind::Basic("ann".to_owned()));
        let lent = Lent::of(&basic, &SecretString::from("ca\"nary"));
        for said in ["Basic YW5uOmNhIm5hcnk=", r#"{"password":"ca\"nary"}"#, "ca\"nary"] {
            let kept = String::from_utf8(lent.hide(said.into())).expect("text");
            assert!(kept.contains("[secret]") && !kept.contains("nary"), "{kept}");
        }
        assert_eq!(lent.hide(b"\xffplain".to_vec()), b"\xffplain");
    }

    #[test]
    fn what_cannot_be_kept_is_said() {
        for good in ["https://slack.com", "https://slack.com/", "http://127.0.0.1:8080"] {
            assert!(origin(good).is_ok(), "{good}");
        }
        for bad in ["http://slack.com", "https://slack.com/api", "slack.com", "ftp://slack.com"] {
            assert!(origin(bad).is_err(), "{bad}");
        }
        assert!(kind(CredentialKind::Header("Host".to_owned())).is_err());
        assert_eq!(
            kind(CredentialKind::Header("X-Api-Key".to_owned())).ok(),
            Some(CredentialKind::Header("x-api-key".to_owned()))
        );
        let bearer = credential(CredentialKind::Bearer);
        assert!(check_secret(&bearer, &"two\r\nlines".to_owned().into()).is_err());
        let url = credential(CredentialKind::Url);
        assert!(check_secret(&url, &"https://evil.example/x".to_owned().into()).is_err());
        assert!(
            check_secret(&url, &"https://crm.example.com/services/x".to_owned().into()).is_ok()
        );
    }
}
