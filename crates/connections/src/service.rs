use std::sync::Arc;

use jiff::SignedDuration;
use plinth_core::{
    Clock, ConnectionsRead, ConnectionsWrite, Cursor, Limit, OrgId, Page, Permission, Permit,
    Principal, Recent,
};
use plinth_tenancy::AuditEntry;
use plinth_tenancy::audit::AuditOutcome;

use crate::trail::{told, told_change, told_of_login};
use crate::{
    Activity, Connection, ConnectionError, ConnectionFilter, ConnectionId, ConnectionPatch,
    ConnectionStore, Credentials, Health, Inactive, InsertError, KeyError, Login, NewConnection,
    Stored, TableName, TableReader, Target, TargetDatabase, TestReport, TriedTable, UpdateError,
    Vault,
};

/// How many opened connections are held at most.
const HELD: usize = 10_000;

/// How often a change is tried when others change the same connection at the same moment.
const ATTEMPTS: usize = 5;

/// A connection whose credential has been opened.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The record.
    pub connection: Connection,
    /// What to dial.
    pub target: Target,
}

/// What the service is made from.
pub struct ConnectionParts {
    /// Where connections are kept.
    pub store: Arc<dyn ConnectionStore>,
    /// How databases are reached.
    pub databases: Arc<dyn TargetDatabase>,
    /// How single tables of them are looked at.
    pub tables: Arc<dyn TableReader>,
    /// Seals credentials.
    pub vault: Vault,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The databases of an organization: adding, changing, testing, removing them, and opening what dialling needs.
#[derive(Clone)]
pub struct Connections {
    pub(crate) store: Arc<dyn ConnectionStore>,
    pub(crate) databases: Arc<dyn TargetDatabase>,
    tables: Arc<dyn TableReader>,
    vault: Vault,
    pub(crate) clock: Arc<dyn Clock>,
    opened: Arc<Recent<(OrgId, ConnectionId), Arc<Opened>>>,
}

impl Connections {
    /// Puts the service together from its ports.
    pub fn new(parts: ConnectionParts) -> Self {
        let ConnectionParts { store, databases, tables, vault, clock } = parts;
        let opened = Arc::new(Recent::new(clock.clone(), HELD));
        Self { store, databases, tables, vault, clock, opened }
    }

    /// Keeps a new connection, its secrets sealed. With `verify` it logs in once before.
    ///
    /// # Errors
    ///
    /// - [`ConnectionError::Unreachable`] if it was to be verified and is not reachable; nothing is kept.
    /// - [`ConnectionError::NameTaken`] if the organization has one of that name; nothing changes.
    pub async fn create(
        &self,
        permit: &Permit<ConnectionsWrite>,
        new: NewConnection,
        verify: bool,
    ) -> Result<Connection, ConnectionError> {
        let now = self.clock.now();
        let (org, id) = (permit.org(), ConnectionId::new(now));
        let test_only = permit.principal().test_only;
        if test_only && new.is_primary {
            return Err(ConnectionError::TestKey);
        }
        if verify {
            self.try_login(permit.principal(), &new.login).await?;
        }
        let connection = Connection {
            id,
            org,
            name: new.name,
            description: new.description,
            place: new.login.place.clone(),
            database: new.login.database.clone(),
            username: new.login.username.clone(),
            ssl_mode: new.login.ssl_mode,
            tls: (&new.login.tls).into(),
            tunnel: new.login.tunnel.as_ref().map(Into::into),
            allowed_tables: new.allowed_tables,
            // A key that sees test connections only could not see what it made otherwise.
            is_test: new.is_test || test_only,
            is_primary: new.is_primary,
            activity: if new.is_active { Activity::Active } else { Activity::SwitchedOff },
            sampling: new.sampling,
            model_privacy: new.model_privacy,
            health: Health::default(),
            revision: 1,
            created_by: permit.user(),
            created_at: now,
            updated_at: now,
            deleted_at: None,
        };
        let credentials = self.seal(&connection, &new.login).await?;
        let entry = AuditEntry::of(permit.principal(), now, "connection.created")
            .on("connection", id)
            .with(told(&connection).into());
        let stored = Stored { connection, credentials, version: 1 };
        self.store.insert(&stored, &entry).await.map_err(|err| match err {
            InsertError::NameTaken => ConnectionError::NameTaken(stored.connection.name.clone()),
            InsertError::Store(err) => err.into(),
        })?;
        Ok(stored.connection)
    }

    /// Looks a connection up.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::NotFound`] also when it belongs to another organization, or is not for this key.
    pub async fn get(
        &self,
        permit: &Permit<ConnectionsRead>,
        id: ConnectionId,
    ) -> Result<Connection, ConnectionError> {
        Ok(self.stored(permit.principal(), id).await?.connection)
    }

    /// The organization's connections, newest first. What the key may not see is left out, whatever `filter` says.
    ///
    /// # Errors
    ///
    /// Only when our own storage fails.
    pub async fn list(
        &self,
        permit: &Permit<ConnectionsRead>,
        filter: ConnectionFilter,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<Connection>, ConnectionError> {
        let test_only = filter.test_only || permit.principal().test_only;
        let filter = ConnectionFilter { test_only, ..filter };
        let items = self.store.list(permit.org(), filter, after, limit).await?;
        let place = |it: &Connection| Cursor { created_at: it.created_at, id: it.id.as_uuid() };
        Ok(Page::cut(items, limit, place))
    }

    /// Changes a connection. If that changes what dialling depends on, its sessions end; with `verify` it logs in once
    /// before, as it would be after the change. `expected` are the revisions that the caller may have read, `None` if
    /// they want it changed whatever it is.
    ///
    /// # Errors
    ///
    /// - [`ConnectionError::Changed`] if it has another revision than the caller expects; nothing changes.
    /// - [`ConnectionError::Unreachable`] if it was to be verified and is not reachable then; nothing changes.
    /// - [`ConnectionError::NameTaken`], [`ConnectionError::Managed`], [`ConnectionError::Transport`]; nothing changes.
    /// - [`ConnectionError::NotFound`] as for [`Connections::get`].
    pub async fn update(
        &self,
        permit: &Permit<ConnectionsWrite>,
        id: ConnectionId,
        patch: &ConnectionPatch,
        expected: Option<&[i64]>,
        verify: bool,
    ) -> Result<Connection, ConnectionError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let before = self.stored(permit.principal(), id).await?;
            if expected.is_some_and(|it| !it.contains(&before.connection.revision)) {
                return Err(ConnectionError::Changed);
            }
            let Some(after) = self.changed(permit, &before, patch.clone(), verify).await? else {
                return Ok(before.connection);
            };
            match self.store.update(&after.stored, &after.entry).await {
                Ok(()) => {
                    if after.stored.version > before.version {
                        self.forget(permit.org(), id).await;
                    } else {
                        self.uncache(permit.org(), id);
                    }
                    return Ok(after.stored.connection);
                }
                // Somebody else was faster: what they did stands, and this is done on top of it.
                Err(UpdateError::Stale) if attempts < ATTEMPTS => {}
                Err(UpdateError::Stale) => return Err(ConnectionError::Changed),
                Err(UpdateError::NameTaken) => {
                    return Err(ConnectionError::NameTaken(after.stored.connection.name));
                }
                Err(UpdateError::Store(err)) => return Err(err.into()),
            }
        }
    }

    /// What a change makes of a connection; `None` if all stays as it is.
    async fn changed(
        &self,
        permit: &Permit<ConnectionsWrite>,
        before: &Stored,
        patch: ConnectionPatch,
        verify: bool,
    ) -> Result<Option<Change>, ConnectionError> {
        let now = self.clock.now();
        let kept = &before.connection;
        let old = self.open_login(before).await?;
        let new = patch.login.clone().apply(&old, now)?;
        let replaced = new.replaced_secrets(&old);
        let relogin = !replaced.is_empty() || new.differs_openly(&old);
        let mut connection = patch.apply(kept, &new, relogin);
        let takes_primary = connection.is_primary && !kept.is_primary;
        if permit.principal().test_only && (!connection.is_test || takes_primary) {
            return Err(ConnectionError::TestKey);
        }
        if verify {
            self.try_login(permit.principal(), &new).await?;
        }
        if !relogin && told(&connection) == told(kept) {
            return Ok(None);
        }
        connection.revision += 1;
        connection.updated_at = now;
        let entry = AuditEntry::of(permit.principal(), now, "connection.updated")
            .on("connection", kept.id)
            .with(told_change(kept, &connection, &replaced));
        let credentials =
            if relogin { self.seal(&connection, &new).await? } else { before.credentials.clone() };
        let version = before.version + i64::from(relogin);
        Ok(Some(Change { stored: Stored { connection, credentials, version }, entry }))
    }

    /// Removes a connection, its credentials and what was known of its schema; ends its sessions. `expected` as for
    /// [`Connections::update`].
    ///
    /// # Errors
    ///
    /// [`ConnectionError::NotFound`] as for [`Connections::get`]; [`ConnectionError::Changed`].
    pub async fn remove(
        &self,
        permit: &Permit<ConnectionsWrite>,
        id: ConnectionId,
        expected: Option<&[i64]>,
    ) -> Result<(), ConnectionError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let Stored { connection: it, .. } = self.stored(permit.principal(), id).await?;
            if expected.is_some_and(|revisions| !revisions.contains(&it.revision)) {
                return Err(ConnectionError::Changed);
            }
            let now = self.clock.now();
            let entry = AuditEntry::of(permit.principal(), now, "connection.deleted")
                .on("connection", id)
                .with(told(&it).into());
            if self.store.remove(permit.org(), id, it.revision, now, &entry).await? {
                self.forget(permit.org(), id).await;
                return Ok(());
            }
            if attempts == ATTEMPTS {
                return Err(ConnectionError::Changed);
            }
        }
    }

    /// Opens a fresh session to the database and says what it found, also if the connection is not active.
    ///
    /// # Errors
    ///
    /// - [`ConnectionError::Unreachable`] with the diagnosis.
    /// - [`ConnectionError::NotFound`] as for [`Connections::get`].
    pub async fn test(
        &self,
        permit: &Permit<ConnectionsWrite>,
        id: ConnectionId,
    ) -> Result<TestReport, ConnectionError> {
        let opened = self.open_inactive(permit.principal(), id).await?;
        let found = self.databases.test(&opened.target).await;
        // Whoever mended the database need not wait until somebody looks again.
        if found.is_ok() && opened.connection.activity == Activity::Lost {
            self.keep_check(&opened.connection, Ok(()), SignedDuration::ZERO).await?;
        }
        Ok(found?)
    }

    /// Tries a login out that is not kept, and reads a row of the first of `tables`, or of any.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Unreachable`] with the diagnosis. That it was tried is noted in the audit trail either way.
    pub async fn test_login(
        &self,
        permit: &Permit<ConnectionsWrite>,
        login: &Login,
        table: Option<&TableName>,
    ) -> Result<(TestReport, Option<TriedTable>), ConnectionError> {
        let target = login.target(permit.org(), None);
        let report = self.try_login(permit.principal(), login).await?;
        let tried = self.tables.try_table(&target, table).await?;
        Ok((report, tried))
    }

    /// Tries a login out that is not kept, and reads nothing.
    ///
    /// # Errors
    ///
    /// As for [`Connections::test_login`].
    pub async fn test_login_only(
        &self,
        permit: &Permit<ConnectionsWrite>,
        login: &Login,
    ) -> Result<TestReport, ConnectionError> {
        self.try_login(permit.principal(), login).await
    }

    /// Notes in the audit trail that somebody used a login that is not kept, for the services that dial it.
    ///
    /// # Errors
    ///
    /// Only when our own storage fails.
    pub async fn note_login<P: Permission>(
        &self,
        permit: &Permit<P>,
        action: &str,
        login: &Login,
        is_reached: bool,
    ) -> Result<(), ConnectionError> {
        self.note(permit.principal(), action, login, is_reached).await
    }

    async fn note(
        &self,
        principal: &Principal,
        action: &str,
        login: &Login,
        is_reached: bool,
    ) -> Result<(), ConnectionError> {
        let outcome = if is_reached { AuditOutcome::Succeeded } else { AuditOutcome::Failed };
        let entry = AuditEntry::of(principal, self.clock.now(), action)
            .with(told_of_login(login))
            .ended(outcome);
        Ok(self.store.note(&entry).await?)
    }

    async fn try_login(
        &self,
        principal: &Principal,
        login: &Login,
    ) -> Result<TestReport, ConnectionError> {
        let found = self.databases.test(&login.target(principal.org, None)).await;
        self.note(principal, "connection.tested", login, found.is_ok()).await?;
        Ok(found?)
    }

    /// What dialling a connection needs, for the services that read through it. They hold a permit of their own; this
    /// checks only what is about the connection: whose it is, whether the key may use it, and whether it is active.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::NotFound`] as for [`Connections::get`]; [`ConnectionError::Inactive`] with why.
    pub async fn open(
        &self,
        principal: &Principal,
        id: ConnectionId,
    ) -> Result<Arc<Opened>, ConnectionError> {
        let opened = self.open_inactive(principal, id).await?;
        match opened.connection.why_inactive() {
            None => Ok(opened),
            Some(why) => Err(ConnectionError::Inactive(why)),
        }
    }

    /// The same, whether it is active or not: for what needs no database, or has to look whether it answers.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::NotFound`] as for [`Connections::get`].
    pub async fn open_inactive(
        &self,
        principal: &Principal,
        id: ConnectionId,
    ) -> Result<Arc<Opened>, ConnectionError> {
        let opened = self.open_for(principal.org, id).await?;
        if principal.test_only && !opened.connection.is_test {
            return Err(ConnectionError::NotFound(id));
        }
        Ok(opened)
    }

    pub(crate) async fn open_for(
        &self,
        org: OrgId,
        id: ConnectionId,
    ) -> Result<Arc<Opened>, ConnectionError> {
        let read = async |_| {
            // What others left is not used any more, and there are passwords in it.
            self.opened.sweep();
            self.open_stored(org, id).await
        };
        let opened = self.opened.get(&(org, id), read).await?;
        opened.ok_or(ConnectionError::NotFound(id))
    }

    async fn open_stored(
        &self,
        org: OrgId,
        id: ConnectionId,
    ) -> Result<Option<Arc<Opened>>, ConnectionError> {
        let Some(stored) = self.store.find(org, id).await? else { return Ok(None) };
        let login = self.open_login(&stored).await?;
        let target = login.target(org, Some((id, stored.version)));
        Ok(Some(Arc::new(Opened { connection: stored.connection, target })))
    }

    async fn stored(
        &self,
        principal: &Principal,
        id: ConnectionId,
    ) -> Result<Stored, ConnectionError> {
        let stored = self.store.find(principal.org, id).await?;
        stored
            .filter(|it| it.connection.is_test || !principal.test_only)
            .ok_or(ConnectionError::NotFound(id))
    }

    async fn open_login(&self, stored: &Stored) -> Result<Login, ConnectionError> {
        let key = self.vault.data_key(stored.connection.org).await?;
        Ok(stored.credentials.open(&key, &stored.connection).map_err(KeyError::from)?)
    }

    async fn seal(&self, it: &Connection, login: &Login) -> Result<Credentials, ConnectionError> {
        let key = self.vault.data_key(it.org).await?;
        Ok(Credentials::seal(&key, it.org, it.id.as_uuid(), login).map_err(KeyError::from)?)
    }

    pub(crate) fn uncache(&self, org: OrgId, id: ConnectionId) {
        self.opened.forget(&(org, id));
    }

    async fn forget(&self, org: OrgId, id: ConnectionId) {
        self.uncache(org, id);
        self.databases.forget(id).await;
    }
}

/// A change that is ready to be kept.
struct Change {
    stored: Stored,
    entry: AuditEntry,
}

impl Connection {
    /// Why it may not be used; `None` if it may.
    pub fn why_inactive(&self) -> Option<Inactive> {
        match self.activity {
            Activity::Active => None,
            Activity::SwitchedOff => Some(Inactive::ByPerson),
            Activity::Lost => Some(Inactive::ByHealth(self.health.diagnosis.clone())),
        }
    }
}
