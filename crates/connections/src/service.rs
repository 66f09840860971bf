use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use jiff::{SignedDuration, Timestamp};
use plinth_core::{
    Clock, ConnectionsRead, ConnectionsWrite, Cursor, Limit, OrgId, Page, Permit, Principal,
};

use crate::{
    Connection, ConnectionError, ConnectionId, ConnectionStore, DataKey, InsertError, Location,
    MasterKey, NewConnection, Stored, Target, TargetDatabase, TestReport, TlsMaterial,
};

/// How long an opened connection is used before its record is read again: a change made by another server counts here
/// after at most this.
const FRESH: SignedDuration = SignedDuration::from_secs(1);

/// What was opened, and when it was read.
type OpenedCache = HashMap<(OrgId, ConnectionId), (Timestamp, Arc<Opened>)>;

/// A connection whose credential has been opened.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The record.
    pub connection: Connection,
    /// What to dial.
    pub target: Target,
}

/// The databases of an organization: adding, testing, removing them, and opening what dialling needs.
#[derive(Clone)]
pub struct Connections {
    store: Arc<dyn ConnectionStore>,
    databases: Arc<dyn TargetDatabase>,
    master: Arc<MasterKey>,
    clock: Arc<dyn Clock>,
    keys: Arc<RwLock<HashMap<OrgId, DataKey>>>,
    opened: Arc<RwLock<OpenedCache>>,
}

impl Connections {
    /// Puts the service together from its ports.
    pub fn new(
        store: Arc<dyn ConnectionStore>,
        databases: Arc<dyn TargetDatabase>,
        master: Arc<MasterKey>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { store, databases, master, clock, keys: Arc::default(), opened: Arc::default() }
    }

    /// Keeps a new connection, its password sealed. With `verify` it logs in once before.
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
        let connection = Connection {
            id: ConnectionId::new(now),
            org: permit.org(),
            name: new.name,
            place: new.place,
            database: new.database,
            username: new.username,
            ssl_mode: new.ssl_mode,
            allowed_tables: new.allowed_tables,
            // A key that sees test connections only could not see what it made otherwise.
            is_test: new.is_test || permit.principal().test_only,
            created_by: permit.user(),
            created_at: now,
            updated_at: now,
        };
        if verify {
            let target = target(&connection, new.password.clone(), 1);
            self.databases.test(&Target { connection: None, ..target }).await?;
        }
        let password =
            self.data_key(connection.org).await?.seal(password_at(&connection), &new.password)?;
        let stored = Stored { connection, password, version: 1 };
        self.store.insert(&stored).await.map_err(|err| match err {
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

    /// The organization's connections, newest first.
    ///
    /// # Errors
    ///
    /// Only when our own storage fails.
    pub async fn list(
        &self,
        permit: &Permit<ConnectionsRead>,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<Connection>, ConnectionError> {
        let test_only = permit.principal().test_only;
        let items = self.store.list(permit.org(), test_only, after, limit).await?;
        let place = |it: &Connection| Cursor { created_at: it.created_at, id: it.id.as_uuid() };
        Ok(Page::cut(items, limit, place))
    }

    /// Removes a connection, its credential and what was known of its schema; ends its sessions.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::NotFound`] as for [`Connections::get`].
    pub async fn remove(
        &self,
        permit: &Permit<ConnectionsWrite>,
        id: ConnectionId,
    ) -> Result<(), ConnectionError> {
        self.stored(permit.principal(), id).await?;
        if !self.store.remove(permit.org(), id, self.clock.now()).await? {
            return Err(ConnectionError::NotFound(id));
        }
        self.opened.write().expect("not poisoned").remove(&(permit.org(), id));
        self.databases.forget(id).await;
        Ok(())
    }

    /// Opens a fresh session to the database and says what it found.
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
        let opened = self.open(permit.principal(), id).await?;
        Ok(self.databases.test(&opened.target).await?)
    }

    /// What dialling a connection needs, for the services that read through it. They hold a permit of their own; this
    /// checks only what is about the connection: whose it is, and whether the key may use it.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::NotFound`] as for [`Connections::get`].
    pub async fn open(
        &self,
        principal: &Principal,
        id: ConnectionId,
    ) -> Result<Arc<Opened>, ConnectionError> {
        let now = self.clock.now();
        let fresh = self.opened.read().expect("not poisoned").get(&(principal.org, id)).cloned();
        let opened = match fresh {
            Some((read_at, opened)) if now.duration_since(read_at) < FRESH => opened,
            _ => self.open_stored(principal.org, id, now).await?,
        };
        if principal.test_only && !opened.connection.is_test {
            return Err(ConnectionError::NotFound(id));
        }
        Ok(opened)
    }

    async fn open_stored(
        &self,
        org: OrgId,
        id: ConnectionId,
        now: Timestamp,
    ) -> Result<Arc<Opened>, ConnectionError> {
        let Some(stored) = self.store.find(org, id).await? else {
            self.opened.write().expect("not poisoned").remove(&(org, id));
            return Err(ConnectionError::NotFound(id));
        };
        let key = self.data_key(org).await?;
        let password = key.open(password_at(&stored.connection), &stored.password)?;
        let target = target(&stored.connection, password, stored.version);
        let opened = Arc::new(Opened { connection: stored.connection, target });
        let mut all = self.opened.write().expect("not poisoned");
        all.retain(|_, (read_at, _)| now.duration_since(*read_at) < FRESH);
        all.insert((org, id), (now, opened.clone()));
        Ok(opened)
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

    /// The organization's key; made when it is first needed.
    async fn data_key(&self, org: OrgId) -> Result<DataKey, ConnectionError> {
        if let Some(key) = self.keys.read().expect("not poisoned").get(&org) {
            return Ok(key.clone());
        }
        let wrapped = match self.store.data_key(org).await? {
            Some(wrapped) => wrapped,
            // Two servers may make one at once: the store keeps the first and gives it to both.
            None => self.store.put_data_key(org, &self.master.make_data_key(org)?).await?,
        };
        let key = self.master.open_data_key(org, &wrapped)?;
        self.keys.write().expect("not poisoned").insert(org, key.clone());
        Ok(key)
    }
}

fn password_at(connection: &Connection) -> Location<'static> {
    Location {
        org: connection.org,
        table: "connections",
        column: "password",
        record: connection.id.as_uuid(),
    }
}

fn target(connection: &Connection, password: secrecy::SecretString, version: i64) -> Target {
    Target {
        connection: Some(connection.id),
        org: connection.org,
        place: connection.place.clone(),
        database: connection.database.clone(),
        username: connection.username.clone(),
        password,
        ssl_mode: connection.ssl_mode,
        tls: TlsMaterial::default(),
        tunnel: None,
        version,
    }
}
