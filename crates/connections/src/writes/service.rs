use std::collections::BTreeSet;
use std::sync::Arc;

use plinth_core::{
    Clock, ConnectionsRead, ConnectionsWrite, Cursor, Limit, Page, Permit, Principal,
};
use plinth_tenancy::AuditEntry;
use serde_json::{Value, json};

use super::{
    KeyFailure, MOST_LISTED, MOST_WRITTEN_ROWS, NewWriteConnection, StoredWrite, TargetWriter,
    Write, WriteConnection, WriteConnectionId, WriteConnectionPatch, WriteFailure, WriteStore,
    Written, login_as, place_of,
};
use crate::{
    Connection, ConnectionError, ConnectionId, Connections, InsertError, InvalidConnection,
    Location, Login, Opened, TableName, Target, TargetDatabase, UpdateError, Vault,
};

/// What the service is made from.
pub struct WriteConnectionParts {
    /// Where they are kept.
    pub store: Arc<dyn WriteStore>,
    /// Beside which connections they stand.
    pub connections: Connections,
    /// Ends their sessions.
    pub databases: Arc<dyn TargetDatabase>,
    /// Writes.
    pub writer: Arc<dyn TargetWriter>,
    /// Seals credentials.
    pub vault: Vault,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Write connections of organizations.
#[derive(Clone)]
pub struct WriteConnections {
    parts: Arc<WriteConnectionParts>,
}

/// A write connection that may be used now.
#[derive(Clone, Debug)]
pub struct OpenedWrite {
    /// The record.
    pub record: WriteConnection,
    /// What to dial to write.
    pub target: Target,
    /// The connection beside which it stands.
    pub beside: Arc<Opened>,
}

impl WriteConnections {
    /// Puts the service together.
    pub fn new(parts: WriteConnectionParts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// Keeps a new write connection, its password sealed; with `verify` it logs in once before. Where it opts in, it does so
    /// in any case, and the key table is made.
    ///
    /// # Errors
    ///
    /// - [`ConnectionError::Invalid`] for what breaks a rule, [`ConnectionError::ReadingRole`] for the role that reads.
    /// - [`ConnectionError::Unreachable`], [`ConnectionError::KeyTable`]; nothing is kept.
    /// - [`ConnectionError::NameTaken`]; nothing is kept.
    pub async fn create(
        &self,
        permit: &Permit<ConnectionsWrite>,
        new: NewWriteConnection,
        verify: bool,
    ) -> Result<WriteConnection, ConnectionError> {
        let (caller, now) = (permit.principal(), self.parts.clock.now());
        not_test_only(caller)?;
        let opened = self.parts.connections.open_inactive(caller, new.connection).await?;
        let read = login_of(&opened);
        let record = WriteConnection {
            id: WriteConnectionId::new(now),
            org: permit.org(),
            name: new.name,
            connection: new.connection,
            username: new.username,
            tables: new.tables,
            procedures: new.procedures,
            max_rows: new.max_rows,
            keys_since: new.key_schema.is_some().then_some(now),
            key_schema: new.key_schema,
            place: place_of(&read),
            version: 1,
            revision: 1,
            created_by: permit.user(),
            created_at: now,
            updated_at: now,
        };
        judge(&record, &opened.connection)?;
        if verify || record.key_schema.is_some() {
            let login = login_as(&read, &record.username, new.password.clone());
            self.try_out(permit, &login, record.key_schema.as_deref()).await?;
        }
        let password = self.parts.vault.seal(location(&record), &new.password).await?;
        let entry = AuditEntry::of(caller, now, "write_connection.created")
            .on("write_connection", record.id)
            .with(told(&record));
        let stored = StoredWrite { record, password };
        self.parts.store.insert(&stored, &entry).await.map_err(|err| match err {
            InsertError::NameTaken => ConnectionError::NameTaken(stored.record.name.clone()),
            InsertError::Store(err) => err.into(),
        })?;
        Ok(stored.record)
    }

    /// One of the organization's.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::WriteNotFound`], also when it is another organization's.
    pub async fn get(
        &self,
        permit: &Permit<ConnectionsRead>,
        id: WriteConnectionId,
    ) -> Result<WriteConnection, ConnectionError> {
        not_test_only(permit.principal())?;
        Ok(self.stored(permit.principal(), id).await?.record)
    }

    /// The organization's, newest first.
    ///
    /// # Errors
    ///
    /// Only when our own storage fails; [`ConnectionError::TestKey`] for a key for test connections.
    pub async fn list(
        &self,
        permit: &Permit<ConnectionsRead>,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<WriteConnection>, ConnectionError> {
        not_test_only(permit.principal())?;
        let items = self.parts.store.list(permit.org(), after, limit).await?;
        Ok(Page::cut(items, limit, |it| Cursor { created_at: it.created_at, id: it.id.as_uuid() }))
    }

    /// Changes one; another role takes its password beside it. It is tried out as it will be before it is kept. `expected`
    /// are the revisions that the caller may have read.
    ///
    /// # Errors
    ///
    /// As for [`WriteConnections::create`] and [`WriteConnections::get`]; [`ConnectionError::Changed`].
    pub async fn update(
        &self,
        permit: &Permit<ConnectionsWrite>,
        id: WriteConnectionId,
        patch: WriteConnectionPatch,
        expected: Option<&[i64]>,
    ) -> Result<WriteConnection, ConnectionError> {
        let (caller, now) = (permit.principal(), self.parts.clock.now());
        not_test_only(caller)?;
        let before = self.stored(caller, id).await?;
        if expected.is_some_and(|it| !it.contains(&before.record.revision)) {
            return Err(ConnectionError::Changed);
        }
        let opened = self.parts.connections.open_inactive(caller, before.record.connection).await?;
        let read = login_of(&opened);
        let place = place_of(&read);
        let mut record = before.record.clone();
        let relogin = patch.password.is_some();
        let other_role = patch.username.as_ref().is_some_and(|it| *it != record.username);
        if !relogin && (other_role || place != record.place) {
            return Err(InvalidConnection::PasswordAgain.into());
        }
        record.name = patch.name.unwrap_or(record.name);
        record.username = patch.username.unwrap_or(record.username);
        record.tables = patch.tables.unwrap_or(record.tables);
        record.procedures = patch.procedures.unwrap_or(record.procedures);
        record.max_rows = patch.max_rows.unwrap_or(record.max_rows);
        record.key_schema = patch.key_schema.unwrap_or(record.key_schema);
        if record.key_schema != before.record.key_schema || place != record.place {
            record.keys_since = record.key_schema.is_some().then_some(now);
        }
        record.place = place;
        record.revision += 1;
        record.version += i64::from(relogin);
        record.updated_at = now;
        judge(&record, &opened.connection)?;
        let clear = match patch.password {
            Some(password) => password,
            None => self.parts.vault.open(location(&record), &before.password).await?,
        };
        if relogin || record.keys_since != before.record.keys_since {
            let login = login_as(&read, &record.username, clear.clone());
            self.try_out(permit, &login, record.key_schema.as_deref()).await?;
        }
        let password = if relogin {
            self.parts.vault.seal(location(&record), &clear).await?
        } else {
            before.password
        };
        let entry = AuditEntry::of(caller, now, "write_connection.updated")
            .on("write_connection", id)
            .with(json!({
                "before": told(&before.record), "after": told(&record),
                "replaced": if relogin { vec!["password"] } else { Vec::new() },
            }));
        let stored = StoredWrite { record, password };
        self.parts.store.update(&stored, &entry).await.map_err(|err| match err {
            UpdateError::NameTaken => ConnectionError::NameTaken(stored.record.name.clone()),
            UpdateError::Stale => ConnectionError::Changed,
            UpdateError::Store(err) => err.into(),
        })?;
        self.parts.databases.forget(pool(id)).await;
        Ok(stored.record)
    }

    /// Removes one with its credential, and ends its sessions. What workflows write through it fails from then on; the key
    /// table stays in the target.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::WriteNotFound`].
    pub async fn remove(
        &self,
        permit: &Permit<ConnectionsWrite>,
        id: WriteConnectionId,
    ) -> Result<(), ConnectionError> {
        let (caller, now) = (permit.principal(), self.parts.clock.now());
        not_test_only(caller)?;
        let found = self.stored(caller, id).await?;
        let entry = AuditEntry::of(caller, now, "write_connection.deleted")
            .on("write_connection", id)
            .with(told(&found.record));
        if !self.parts.store.remove(permit.org(), id, &entry).await? {
            return Err(ConnectionError::WriteNotFound(id));
        }
        self.parts.databases.forget(pool(id)).await;
        Ok(())
    }

    /// What writing through it needs, for who acts in that member's name. The record is read anew each time: what was taken
    /// off a list a moment ago is off it.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::WriteNotFound`]; [`ConnectionError::NotFound`] and [`ConnectionError::Inactive`] of the connection
    /// beside it; [`ConnectionError::Invalid`] if that leads elsewhere than where the credential was given for.
    pub async fn open(
        &self,
        caller: &Principal,
        id: WriteConnectionId,
    ) -> Result<OpenedWrite, ConnectionError> {
        not_test_only(caller)?;
        let StoredWrite { record, password } = self.stored(caller, id).await?;
        let beside = self.parts.connections.open(caller, record.connection).await?;
        let read = login_of(&beside);
        if place_of(&read) != record.place {
            return Err(InvalidConnection::PasswordAgain.into());
        }
        judge(&record, &beside.connection)?;
        let password = self.parts.vault.open(location(&record), &password).await?;
        let login = login_as(&read, &record.username, password);
        // Either of them changing makes it another pool.
        let version = record.version + beside.target.version;
        let target = login.target(record.org, Some((pool(id), version)));
        Ok(OpenedWrite { record, target, beside })
    }

    /// Runs a judged statement through it.
    ///
    /// # Errors
    ///
    /// See [`WriteFailure`].
    pub async fn write(&self, to: &OpenedWrite, write: &Write) -> Result<Written, WriteFailure> {
        self.parts.writer.write(&to.target, write).await
    }

    async fn stored(
        &self,
        caller: &Principal,
        id: WriteConnectionId,
    ) -> Result<StoredWrite, ConnectionError> {
        let found = self.parts.store.find(caller.org, id).await?;
        found.ok_or(ConnectionError::WriteNotFound(id))
    }

    async fn try_out(
        &self,
        permit: &Permit<ConnectionsWrite>,
        login: &Login,
        key_schema: Option<&str>,
    ) -> Result<(), ConnectionError> {
        self.parts.connections.test_login_only(permit, login).await?;
        let Some(schema) = key_schema else { return Ok(()) };
        let target = login.target(permit.org(), None);
        self.parts.writer.prepare_keys(&target, schema).await.map_err(|err| match err {
            KeyFailure::Unreachable(diagnosis) => ConnectionError::Unreachable(diagnosis),
            KeyFailure::Refused(text) => ConnectionError::KeyTable(text),
        })
    }
}

/// By which name its sessions are pooled: never those of a connection, whose ids are others.
fn pool(id: WriteConnectionId) -> ConnectionId {
    ConnectionId::from_uuid(id.as_uuid())
}

fn location(it: &WriteConnection) -> Location<'static> {
    Location {
        org: it.org,
        table: "write_connections",
        column: "password",
        record: it.id.as_uuid(),
    }
}

/// The login that the connection reads with.
fn login_of(opened: &Opened) -> Login {
    let it = &opened.target;
    Login {
        place: it.place.clone(),
        database: it.database.clone(),
        username: it.username.clone(),
        password: it.password.clone(),
        ssl_mode: it.ssl_mode,
        tls: it.tls.clone(),
        tunnel: it.tunnel.clone(),
    }
}

/// Whoever may use test connections only cannot even know of what writes.
fn not_test_only(caller: &Principal) -> Result<(), ConnectionError> {
    if caller.test_only { Err(ConnectionError::TestKey) } else { Ok(()) }
}

fn judge(it: &WriteConnection, beside: &Connection) -> Result<(), ConnectionError> {
    if it.username == beside.username {
        return Err(ConnectionError::ReadingRole);
    }
    if it.tables.is_empty() && it.procedures.is_empty() {
        return Err(InvalidConnection::NothingListed.into());
    }
    if it.tables.len() > MOST_LISTED || it.procedures.len() > MOST_LISTED {
        return Err(InvalidConnection::TooManyListed.into());
    }
    if it.max_rows == 0 || it.max_rows > MOST_WRITTEN_ROWS {
        return Err(InvalidConnection::MaxRows.into());
    }
    // Who could write the keys could make an action take effect twice, or never.
    let is_key = |table: &TableName| table.name == super::KEY_TABLE;
    if it.tables.iter().any(is_key) {
        return Err(InvalidConnection::KeyTableListed.into());
    }
    let bad = |it: &String| it.is_empty() || it.len() > 63 || it.chars().any(char::is_control);
    if it.key_schema.as_ref().is_some_and(bad) {
        return Err(InvalidConnection::KeySchema.into());
    }
    Ok(())
}

fn told(it: &WriteConnection) -> Value {
    let names = |it: &BTreeSet<TableName>| it.iter().map(ToString::to_string).collect::<Vec<_>>();
    json!({
        "name": it.name.as_str(), "connection": it.connection, "username": it.username,
        "tables": names(&it.tables), "procedures": names(&it.procedures),
        "max_rows": it.max_rows, "key_schema": it.key_schema,
    })
}
