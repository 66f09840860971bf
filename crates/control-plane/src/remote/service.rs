use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use plinth_connections::{Location, Sealed, Vault};
use plinth_core::{AllProjects, Clock, Cursor, Limit, OrgId, Page, Permit, ProjectsRead};
use plinth_egress::{Scheme, WebAddress};
use plinth_tenancy::AuditEntry;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::oauth::Kept;
use super::projects::finish;
use super::{
    ChangedRemote, NEON, NewOAuth, Remote, RemoteAnswer, RemoteCall, RemoteError, RemoteFault,
    RemoteId, RemotePlane, RemoteStore,
};

/// The most remotes of one organization.
const MOST: i64 = 100;

/// What the service is made from.
pub struct RemoteParts {
    /// Where remotes are kept.
    pub store: Arc<dyn RemoteStore>,
    /// Calls them.
    pub plane: Arc<dyn RemotePlane>,
    /// Seals their keys.
    pub vault: Vault,
    /// Under which URL browsers reach the server, without a slash at its end.
    pub public_url: Arc<str>,
    /// How long an answer waits for the operations that it tells of.
    pub patience: Duration,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Remotes of organizations, and the projects that live there.
#[derive(Clone)]
pub struct Remotes {
    pub(super) store: Arc<dyn RemoteStore>,
    pub(super) plane: Arc<dyn RemotePlane>,
    pub(super) vault: Vault,
    pub(super) public_url: Arc<str>,
    pub(super) patience: Duration,
    pub(super) clock: Arc<dyn Clock>,
}

/// What is needed to keep a remote.
#[derive(Clone, Debug)]
pub struct NewRemote {
    /// 1 to 40 lower-case letters, digits, `_` and `-`; unique in the organization.
    pub name: String,
    /// What comes before `/projects`; `None` for Neon's own.
    pub base_url: Option<String>,
    /// What opens it.
    pub sign_in: NewSignIn,
    /// See [`Remote::org_there`].
    pub org_there: Option<String>,
    /// See [`Remote::region`].
    pub region: Option<String>,
}

/// What opens a remote.
#[derive(Clone, Debug)]
pub enum NewSignIn {
    /// An API key.
    Key(SecretString),
    /// OAuth 2.0: somebody says yes in a browser.
    OAuth(NewOAuth),
}

/// What to change; `None` leaves it. Where a remote is never changes: who may change it need not know its key.
#[derive(Clone, Debug, Default)]
pub struct RemoteChange {
    /// See [`NewRemote::name`].
    pub name: Option<String>,
    /// Another key in its place.
    pub key: Option<SecretString>,
    /// See [`Remote::org_there`]; `Some(None)` leaves it to the key.
    pub org_there: Option<Option<String>>,
    /// See [`Remote::region`]; `Some(None)` leaves it to the remote.
    pub region: Option<Option<String>>,
    /// The revision that the caller has seen; `None` changes whatever is there.
    pub expected: Option<i64>,
}

/// How a remote answers.
#[derive(Clone, Debug)]
pub struct Tested {
    /// As whom its key is let in; `None` if it is not.
    pub account: Option<String>,
    /// What is wrong, and what to do about it.
    pub fault: Option<String>,
    /// How long it took to answer, in milliseconds.
    pub latency_ms: u64,
}

impl Remotes {
    /// Puts the service together from its ports.
    pub fn new(parts: RemoteParts) -> Self {
        let RemoteParts { store, plane, vault, public_url, patience, clock } = parts;
        Self { store, plane, vault, public_url, patience, clock }
    }

    /// Keeps a remote, once it has let its key in, or its issuer has told where somebody can sign in.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Field`], also for a key that is not let in; [`RemoteError::Away`] if nobody answers;
    /// [`RemoteError::NameTaken`], [`RemoteError::TooMany`].
    pub async fn create(
        &self,
        permit: &Permit<AllProjects>,
        new: NewRemote,
    ) -> Result<Remote, RemoteError> {
        let now = self.clock.now();
        let mut remote = Remote {
            id: RemoteId::new(now),
            org: permit.org(),
            name: name(&new.name)?,
            base_url: base_url(new.base_url.as_deref().unwrap_or(NEON))?,
            org_there: new.org_there.as_deref().map(|it| word("org_id", it)).transpose()?,
            region: new.region.as_deref().map(|it| word("region_id", it)).transpose()?,
            oauth: None,
            account: None,
            by: permit.user(),
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        let secret = match new.sign_in {
            NewSignIn::Key(key) => {
                check_key(&key)?;
                remote.account = Some(self.let_in(permit, &remote, &key).await?);
                key
            }
            NewSignIn::OAuth(new) => {
                remote.oauth = Some(self.client(&remote, &new).await?);
                let client_secret = new.client_secret.map(|it| it.expose_secret().to_owned());
                Kept { client_secret, ..Kept::default() }.write()?
            }
        };
        let sealed = self.seal(&remote, &secret).await?;
        let entry = AuditEntry::of(permit.principal(), now, "remote.created")
            .on("remote", remote.id)
            .with(json!({ "name": remote.name, "base_url": remote.base_url }));
        self.store.insert(&remote, &sealed, MOST, &entry).await?;
        Ok(remote)
    }

    /// The organization's remotes, newest first. None for a key of one project: what others live at is nothing for it.
    ///
    /// # Errors
    ///
    /// Only when storage fails.
    pub async fn list(
        &self,
        permit: &Permit<ProjectsRead>,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<Remote>, RemoteError> {
        let items = match permit.principal().project {
            None => self.store.list(permit.org(), after, limit).await?,
            Some(_) => Vec::new(),
        };
        Ok(Page::cut(items, limit, |it| Cursor { created_at: it.created_at, id: it.id.as_uuid() }))
    }

    /// One remote.
    ///
    /// # Errors
    ///
    /// [`RemoteError::NotFound`], also when it is another organization's, or the key is for one project.
    pub async fn get(
        &self,
        permit: &Permit<ProjectsRead>,
        id: RemoteId,
    ) -> Result<Remote, RemoteError> {
        if permit.principal().project.is_some() {
            return Err(RemoteError::NotFound("remote"));
        }
        self.found(permit.org(), id).await
    }

    /// Changes a remote.
    ///
    /// # Errors
    ///
    /// As for [`Remotes::create`], [`RemoteError::NotFound`], and [`RemoteError::Changed`] if it is not as expected.
    pub async fn change(
        &self,
        permit: &Permit<AllProjects>,
        id: RemoteId,
        change: RemoteChange,
    ) -> Result<Remote, RemoteError> {
        let now = self.clock.now();
        let before = self.found(permit.org(), id).await?;
        let new_name = change.name.as_deref().map(name).transpose()?;
        let org_there = worded("org_id", change.org_there)?;
        let region = worded("region_id", change.region)?;
        let replaced = match &change.key {
            Some(_) if before.oauth.is_some() => {
                return Err(RemoteError::field("key", "is not how this remote is signed in to"));
            }
            Some(key) => {
                check_key(key)?;
                let account = self.let_in(permit, &before, key).await?;
                Some((account, self.vault.seal(place(&before), key).await?))
            }
            None => None,
        };
        let mut decide = |it: &mut Remote| {
            if change.expected.is_some_and(|expected| expected != it.revision) {
                return Err(RemoteError::Changed);
            }
            if let Some(name) = &new_name {
                it.name.clone_from(name);
            }
            if let Some(org) = &org_there {
                it.org_there.clone_from(org);
            }
            if let Some(region) = &region {
                it.region.clone_from(region);
            }
            if let Some((account, _)) = &replaced {
                it.account = Some(account.clone());
            }
            it.revision += 1;
            it.updated_at = now;
            let entry = AuditEntry::of(permit.principal(), now, "remote.changed")
                .on("remote", id)
                .with(json!({ "name": it.name, "key": replaced.is_some() }));
            Ok(ChangedRemote { entry, secret: replaced.as_ref().map(|it| it.1.clone()) })
        };
        let changed = self.store.change(permit.org(), id, &mut decide).await?;
        changed.ok_or(RemoteError::NotFound("remote"))
    }

    /// Asks a remote who its key is.
    ///
    /// # Errors
    ///
    /// [`RemoteError::NotFound`]; that it does not answer as it should is no error.
    pub async fn test(
        &self,
        permit: &Permit<AllProjects>,
        id: RemoteId,
    ) -> Result<Tested, RemoteError> {
        let remote = self.found(permit.org(), id).await?;
        let started = std::time::Instant::now();
        let asked = async {
            let key = self.key(&remote).await?;
            self.let_in(permit, &remote, &key).await
        };
        let asked = asked.await;
        let latency_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(match asked {
            Ok(account) => Tested { account: Some(account), fault: None, latency_ms },
            Err(RemoteError::Store(err)) => return Err(err.into()),
            Err(err) => Tested { account: None, fault: Some(err.to_string()), latency_ms },
        })
    }

    /// Removes a remote with its key. What lives there stays there.
    ///
    /// # Errors
    ///
    /// [`RemoteError::NotFound`]; [`RemoteError::InUse`] while projects live there.
    pub async fn remove(
        &self,
        permit: &Permit<AllProjects>,
        id: RemoteId,
    ) -> Result<(), RemoteError> {
        let now = self.clock.now();
        let remote = self.found(permit.org(), id).await?;
        let kept = match &remote.oauth {
            Some(_) => Some(self.kept(&remote).await?.1),
            None => None,
        };
        let entry = AuditEntry::of(permit.principal(), now, "remote.deleted").on("remote", id);
        if !self.store.remove(permit.org(), id, &entry).await? {
            return Err(RemoteError::NotFound("remote"));
        }
        if let Some(kept) = kept {
            self.revoke(&remote, &kept).await;
        }
        Ok(())
    }

    pub(super) async fn found(&self, org: OrgId, id: RemoteId) -> Result<Remote, RemoteError> {
        self.store.find(org, id).await?.ok_or(RemoteError::NotFound("remote"))
    }

    /// What shows a remote who asks.
    pub(super) async fn key(&self, remote: &Remote) -> Result<SecretString, RemoteError> {
        match &remote.oauth {
            Some(client) => {
                let (remotes, remote, client) = (self.clone(), remote.clone(), client.clone());
                // A refresh token is good once: what it was exchanged for is kept, whoever hangs up.
                finish(async move { remotes.access_token(&remote, &client).await }).await
            }
            None => Ok(self.secret(remote).await?.1),
        }
    }

    /// What is kept of a remote, sealed and in clear.
    pub(super) async fn secret(
        &self,
        remote: &Remote,
    ) -> Result<(Sealed, SecretString), RemoteError> {
        let sealed = self.store.secret(remote.org, remote.id).await?;
        let sealed = sealed.ok_or(RemoteError::NotFound("remote"))?;
        let clear = self.vault.open(place(remote), &sealed).await?;
        Ok((sealed, clear))
    }

    pub(super) async fn seal(
        &self,
        remote: &Remote,
        clear: &SecretString,
    ) -> Result<Sealed, RemoteError> {
        Ok(self.vault.seal(place(remote), clear).await?)
    }

    /// As whom a key is let in.
    pub(super) async fn let_in<P>(
        &self,
        permit: &Permit<P>,
        remote: &Remote,
        key: &SecretString,
    ) -> Result<String, RemoteError> {
        let request = &permit.principal().origin.request_id;
        let call = call(remote, key, "GET", "/users/me", request);
        let answer = self.plane.call(call).await.map_err(|fault| failed(remote, fault))?;
        match answer.status {
            200 => account(&answer.body).ok_or_else(|| {
                let rule = "leads to a server that does not speak the management API";
                RemoteError::field("base_url", rule)
            }),
            401 | 403 => Err(RemoteError::field("key", "is not let in there")),
            404 => {
                let rule =
                    "leads to a server that has no `users/me` there: Neon's own ends with /api/v2";
                Err(RemoteError::field("base_url", rule))
            }
            _ => Err(said(remote, answer, true)),
        }
    }
}

/// That somebody has signed in to a remote, with what is kept from then on.
pub(super) fn account_change(
    permit: &Permit<AllProjects>,
    id: RemoteId,
    now: Timestamp,
    account: String,
    sealed: Sealed,
) -> impl FnMut(&mut Remote) -> Result<ChangedRemote, RemoteError> + Send {
    let principal = permit.principal().clone();
    move |it: &mut Remote| {
        it.account = Some(account.clone());
        it.revision += 1;
        it.updated_at = now;
        let entry = AuditEntry::of(&principal, now, "remote.connected")
            .on("remote", id)
            .with(json!({ "name": it.name, "account": account }));
        Ok(ChangedRemote { entry, secret: Some(sealed.clone()) })
    }
}

/// A call of a remote, without query and body.
pub(super) fn call(
    remote: &Remote,
    key: &SecretString,
    method: &str,
    path: &str,
    request_id: &str,
) -> RemoteCall {
    RemoteCall {
        method: method.to_owned(),
        url: format!("{}{path}", remote.base_url),
        query: None,
        body: None,
        key: key.clone(),
        request_id: request_id.to_owned(),
    }
}

/// What a missing answer means to the caller.
pub(super) fn failed(remote: &Remote, fault: RemoteFault) -> RemoteError {
    let name = remote.name.clone();
    match fault {
        RemoteFault::Forbidden(why) => {
            RemoteError::field("base_url", format!("leads where nothing may go from here: {why}"))
        }
        RemoteFault::Away(why) => RemoteError::Away { remote: name, why },
        RemoteFault::Unknown(why) => RemoteError::Unknown { remote: name, why },
    }
}

/// What an answer of 400 and above means to the caller, whose call only read or not.
pub(super) fn said(remote: &Remote, answer: RemoteAnswer, reads: bool) -> RemoteError {
    let name = || remote.name.clone();
    let text = |field: &str| {
        answer.body[field].as_str().unwrap_or_default().chars().take(2_000).collect::<String>()
    };
    match answer.status {
        // Passed on, it would make clients forget the key that they have for us.
        401 => RemoteError::KeyRefused(name()),
        503 if reads => {
            RemoteError::Away { remote: name(), why: "it says that it is not available".to_owned() }
        }
        // Also 503: who says it may stand in between, and the call may have gone through.
        500.. => {
            let said = match text("message") {
                empty if empty.is_empty() => String::new(),
                words => format!(": {}", words.chars().take(200).collect::<String>()),
            };
            let why = format!("it answered {}{said}", answer.status);
            RemoteError::Unknown { remote: name(), why }
        }
        400..=499 => {
            let message = match text("message") {
                empty if empty.is_empty() => {
                    format!("the remote `{}` answered {}", remote.name, answer.status)
                }
                message => message,
            };
            RemoteError::Said {
                status: answer.status,
                code: text("code"),
                message,
                retry_after_seconds: answer.retry_after_seconds,
            }
        }
        // The API has no redirects.
        _ => RemoteError::Unknown { remote: name(), why: format!("it answered {}", answer.status) },
    }
}

/// Who it is, as the API tells it.
fn account(body: &Value) -> Option<String> {
    ["email", "login", "name", "id"]
        .iter()
        .find_map(|it| body[*it].as_str().filter(|it| !it.is_empty()))
        .map(|it| it.chars().take(200).collect())
}

/// Where a remote's secret stands sealed.
fn place(it: &Remote) -> Location<'static> {
    Location { org: it.org, table: "cp_remotes", column: "secret", record: it.id.as_uuid() }
}

fn name(text: &str) -> Result<String, RemoteError> {
    let plain = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || "_-".contains(it);
    if text.is_empty() || text.len() > 40 || !text.chars().all(plain) {
        let rule = "has to be of 1 to 40 lower-case letters, digits, `_` and `-`";
        return Err(RemoteError::field("name", rule));
    }
    Ok(text.to_owned())
}

/// An id of the API, which goes into a body there.
pub(super) fn word(field: &'static str, text: &str) -> Result<String, RemoteError> {
    let plain = |it: char| it.is_ascii_alphanumeric() || "-_.".contains(it);
    if text.is_empty() || text.len() > 100 || !text.chars().all(plain) {
        let rule = "has to be of 1 to 100 letters, digits, `-`, `_` and `.`";
        return Err(RemoteError::field(field, rule));
    }
    Ok(text.to_owned())
}

fn worded(
    field: &'static str,
    text: Option<Option<String>>,
) -> Result<Option<Option<String>>, RemoteError> {
    text.map(|it| it.as_deref().map(|it| word(field, it)).transpose()).transpose()
}

fn check_key(key: &SecretString) -> Result<(), RemoteError> {
    let key = key.expose_secret();
    if key.is_empty() || key.len() > 1_000 || !key.chars().all(|it| it.is_ascii_graphic()) {
        return Err(RemoteError::field("key", "has to be 1 to 1000 characters, without spaces"));
    }
    Ok(())
}

/// A server that is spoken to in clear would tell the key to everybody in between; on the machine itself there is nobody.
fn base_url(text: &str) -> Result<String, RemoteError> {
    let address = WebAddress::parse(text, Scheme::Any)
        .map_err(|err| RemoteError::field("base_url", err.to_string()))?;
    let is_here = matches!(address.host(), "localhost" | "127.0.0.1" | "[::1]");
    if address.is_plain() && !is_here {
        return Err(RemoteError::field("base_url", "has to begin with https://"));
    }
    if address.query().is_some() || address.as_str().len() > 500 {
        let rule = "has to be scheme, host and path, in at most 500 characters";
        return Err(RemoteError::field("base_url", rule));
    }
    Ok(address.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use plinth_core::UserId;

    use super::*;

    fn remote() -> Remote {
        let at = Timestamp::UNIX_EPOCH;
        Remote {
            id: RemoteId::new(at),
            org: OrgId::new(at),
            name: "lab".to_owned(),
            base_url: NEON.to_owned(),
            org_there: None,
            region: None,
            oauth: None,
            account: None,
            by: UserId::new(at),
            revision: 1,
            created_at: at,
            updated_at: at,
        }
    }

    fn answer(status: u16, body: Value) -> RemoteError {
        said(&remote(), RemoteAnswer { status, body, retry_after_seconds: Some(2) }, true)
    }

    #[test]
    fn a_base_is_read_without_what_does_not_belong_to_it() {
        assert_eq!(base_url("https://console.neon.tech/api/v2/").expect("good"), NEON);
        assert_eq!(
            base_url("http://127.0.0.1:8080/api/v2").expect("good"),
            "http://127.0.0.1:8080/api/v2"
        );
        for no in [
            "http://console.neon.tech/api/v2",
            "https://key@console.neon.tech/api/v2",
            "https://console.neon.tech/api/v2?x=1",
            "console.neon.tech",
            "",
        ] {
            assert!(base_url(no).is_err(), "{no}");
        }
    }

    #[test]
    fn what_a_remote_says_keeps_its_words_and_never_asks_for_our_own_key() {
        use plinth_core::{Classify as _, ErrorKind};
        let busy = answer(423, json!({ "code": "RUNNING_OPERATIONS", "message": "busy" }));
        assert_eq!((busy.kind(), busy.to_string().as_str()), (ErrorKind::Busy, "busy"));
        let details = busy.details().expect("some");
        assert_eq!(details["code"], "RUNNING_OPERATIONS");
        assert_eq!(details["retry_after_seconds"], 2);
        assert!(matches!(answer(401, json!({})), RemoteError::KeyRefused(name) if name == "lab"));
        assert_eq!(answer(503, json!(null)).kind(), ErrorKind::Unavailable);
        let write = RemoteAnswer {
            status: 503,
            body: json!({ "message": "later" }),
            retry_after_seconds: None,
        };
        let write = said(&remote(), write, false);
        assert_eq!(write.kind(), ErrorKind::Connection);
        assert!(write.to_string().contains("503: later"), "{write}");
        // One that is tried again might be done twice.
        for status in [500, 502, 504, 302] {
            assert_eq!(answer(status, json!(null)).kind(), ErrorKind::Connection, "{status}");
        }
        assert!(answer(404, json!(null)).to_string().contains("answered 404"));
    }
}
