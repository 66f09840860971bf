use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use plinth_connections::{
    ConnectionError, ConnectionId, Connections, Diagnosis, Opened, TableName,
};
use plinth_core::{
    Classify, Clock, ConnectionsRead, ConnectionsWrite, ErrorKind, OrgId, Permit, Recent,
    StoreError,
};
use serde_json::Value;

use crate::{
    Catalog, CatalogPatch, CatalogReader, InsertSnapshotError, ReadOptions, Sampling,
    SnapshotStore, TableRead,
};

plinth_core::typed_id! {
    /// Identifies a snapshot.
    SnapshotId, "snap"
}

/// A catalog as it was read at one moment through one connection.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its id: two reads never share one, so it also names everything that is computed from it.
    pub id: SnapshotId,
    /// To whom it belongs.
    pub org: OrgId,
    /// Through which connection it was read.
    pub connection: ConnectionId,
    /// What was there.
    pub catalog: Catalog,
    /// When reading it began.
    pub taken_at: Timestamp,
    /// How long reading took, in milliseconds.
    pub duration_ms: u64,
    /// What is read from elsewhere; `None` if all of it was read for this one.
    pub parts: Option<Parts>,
}

impl Snapshot {
    /// When all of it was last read.
    pub fn whole_at(&self) -> Timestamp {
        self.parts.as_ref().map_or(self.taken_at, |it| it.base_taken_at)
    }
}

/// Single tables read anew, on top of a whole snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct Parts {
    /// The whole snapshot.
    pub base: SnapshotId,
    /// When reading that began.
    pub base_taken_at: Timestamp,
    /// What differs from it.
    pub patch: CatalogPatch,
}

/// A snapshot that is older needs a refresh, whatever the database says.
const MOST_AGE: SignedDuration = SignedDuration::from_hours(24);

/// How well a snapshot fits what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// When all of the schema was last read; `None` if that was never done.
    pub read_at: Option<Timestamp>,
    /// Whether the database says that its schema has changed since; `None` if it was not asked or did not answer.
    pub changed: Option<bool>,
    /// Whether it should be read anew. What could not be asked about counts as unchanged.
    pub needs_refresh: bool,
}

/// How many relations may differ from what a snapshot builds on: beyond, reading everything anew costs less than carrying
/// all of them along each time.
const MOST_PARTS: usize = 100;

impl Snapshot {
    fn takes_parts(&self) -> bool {
        let parts = self.parts.as_ref().map_or(0, |it| it.patch.relations.len());
        self.catalog.revision == Catalog::REVISION && parts < MOST_PARTS
    }
}

/// What the owner of the connection wants to be read.
fn options(opened: &Opened) -> ReadOptions {
    let sampling = if opened.connection.sampling { Sampling::FewValued } else { Sampling::Off };
    ReadOptions { sampling, ..ReadOptions::default() }
}

/// What a caller means by a table's name. Without a schema, one that is not known yet would be made in the first of the
/// search path.
fn table_name(catalog: &Catalog, text: &str) -> TableName {
    let (schema, name) = text.split_once('.').unwrap_or_else(|| {
        let known = catalog.resolve(text).map(|it| &it.schema);
        (known.or(catalog.search_path.first()).map_or("public", |it| it), text)
    });
    TableName { schema: schema.to_owned(), name: name.to_owned() }
}

fn milliseconds(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0)
}

/// How many snapshots are held in memory at most.
const HELD: usize = 64;

/// The schemas of connected databases: reading them, keeping them, giving the newest.
#[derive(Clone)]
pub struct Schemas {
    pub(crate) connections: Connections,
    reader: Arc<dyn CatalogReader>,
    pub(crate) store: Arc<dyn SnapshotStore>,
    clock: Arc<dyn Clock>,
    held: Arc<Recent<(OrgId, ConnectionId), Arc<Snapshot>>>,
    reading: Arc<Mutex<HashMap<ConnectionId, Arc<Reading>>>>,
}

/// Of one connection.
#[derive(Default)]
struct Reading {
    /// Held by whoever reads.
    one: tokio::sync::Mutex<()>,
    outcome: Mutex<Outcome>,
}

/// How the attempts to read ended.
#[derive(Default)]
struct Outcome {
    /// How many failed so far.
    failures: u64,
    /// Why the last one did.
    last: Option<Diagnosis>,
}

impl Reading {
    fn failures(&self) -> u64 {
        self.outcome.lock().expect("not poisoned").failures
    }

    /// Why an attempt failed that ended after there had been `seen` failures: whoever waited for it has no better luck now.
    fn failed_since(&self, seen: u64) -> Result<(), SchemaError> {
        let outcome = self.outcome.lock().expect("not poisoned");
        match &outcome.last {
            Some(last) if outcome.failures > seen => {
                Err(SchemaError::Connection(ConnectionError::from(last.clone())))
            }
            _ => Ok(()),
        }
    }

    fn note(&self, failure: &Diagnosis) {
        let mut outcome = self.outcome.lock().expect("not poisoned");
        outcome.failures += 1;
        outcome.last = Some(failure.clone());
    }
}

impl Schemas {
    /// Puts the service together.
    pub fn new(
        connections: Connections,
        reader: Arc<dyn CatalogReader>,
        store: Arc<dyn SnapshotStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let held = Arc::new(Recent::new(clock.clone(), HELD));
        Self { connections, reader, store, clock, held, reading: Arc::default() }
    }

    /// The newest snapshot of a connection's schema; reads it if there is none yet.
    ///
    /// # Errors
    ///
    /// - [`SchemaError::Connection`] if there is no such connection or the database cannot be reached.
    pub async fn get(
        &self,
        permit: &Permit<ConnectionsRead>,
        id: ConnectionId,
    ) -> Result<(Arc<Opened>, Arc<Snapshot>), SchemaError> {
        let opened = self.connections.open(permit.principal(), id).await?;
        let snapshot = self.current(&opened).await?;
        Ok((opened, snapshot))
    }

    /// Reads the schema anew and keeps it.
    ///
    /// # Errors
    ///
    /// As for [`Schemas::get`]; the last snapshot stays.
    pub async fn refresh(
        &self,
        permit: &Permit<ConnectionsWrite>,
        id: ConnectionId,
    ) -> Result<(Arc<Opened>, Arc<Snapshot>), SchemaError> {
        let opened = self.connections.open(permit.principal(), id).await?;
        let reading = self.reading(id);
        let _one = reading.one.lock().await;
        let snapshot = self.read(&opened, &reading).await?;
        Ok((opened, snapshot))
    }

    /// Reads one table anew and keeps it on top of the newest snapshot, as a new snapshot: the others are as they were. It
    /// is named as `schema.table`, or by its own name where it stands on the role's search path.
    ///
    /// A table that is gone is gone from there. Where nothing was read before, or what the table refers to is not known,
    /// everything is read.
    ///
    /// # Errors
    ///
    /// - [`SchemaError::TableNotFound`] if there is no such table and was none, or the connection does not allow it.
    /// - As for [`Schemas::get`]; the last snapshot stays.
    pub async fn refresh_table(
        &self,
        permit: &Permit<ConnectionsWrite>,
        id: ConnectionId,
        table: &str,
    ) -> Result<(Arc<Opened>, Arc<Snapshot>), SchemaError> {
        let opened = self.connections.open(permit.principal(), id).await?;
        let reading = self.reading(id);
        let _one = reading.one.lock().await;
        let snapshot = match self.fresh(opened.connection.org, id).await? {
            Some(before) if before.takes_parts() => {
                let table = table_name(&before.catalog, table);
                if !opened.connection.allowed_tables.allows(&table.schema, &table.name) {
                    return Err(SchemaError::TableNotFound(table.to_string()));
                }
                match self.read_table(&opened, &reading, &before, &table).await? {
                    Some(snapshot) => snapshot,
                    None => self.read(&opened, &reading).await?,
                }
            }
            _ => self.read(&opened, &reading).await?,
        };
        Ok((opened, snapshot))
    }

    /// The newest snapshot for a connection that has been opened, for the services that ask and run.
    ///
    /// # Errors
    ///
    /// As for [`Schemas::get`].
    pub async fn current(&self, opened: &Opened) -> Result<Arc<Snapshot>, SchemaError> {
        let (org, id) = (opened.connection.org, opened.connection.id);
        if let Some(snapshot) = self.fresh(org, id).await? {
            return Ok(snapshot);
        }
        // Many questions may arrive before the first snapshot is there: one reads, the others wait for it.
        let reading = self.reading(id);
        let seen = reading.failures();
        let _one = reading.one.lock().await;
        if let Some(snapshot) = self.fresh(org, id).await? {
            return Ok(snapshot);
        }
        reading.failed_since(seen)?;
        self.read(opened, &reading).await
    }

    /// Reads the schema anew for a connection that has been opened, because what is known of it proved wrong. Of many
    /// that ask at once one reads.
    ///
    /// # Errors
    ///
    /// As for [`Schemas::get`].
    pub async fn renew(&self, opened: &Opened) -> Result<Arc<Snapshot>, SchemaError> {
        let asked_at = self.clock.now();
        let reading = self.reading(opened.connection.id);
        let seen = reading.failures();
        let _one = reading.one.lock().await;
        match self.fresh(opened.connection.org, opened.connection.id).await? {
            Some(snapshot) if snapshot.whole_at() > asked_at => return Ok(snapshot),
            _ => {}
        }
        reading.failed_since(seen)?;
        self.read(opened, &reading).await
    }

    /// Whether the newest snapshot still says what is there: by its age, and with `ask`, where the age does not decide, by
    /// the database's [fingerprint](CatalogReader::fingerprint). Reads nothing anew, and dials only to ask.
    ///
    /// # Errors
    ///
    /// [`SchemaError::Connection`] if there is no such connection. A database that cannot be reached is no error.
    pub async fn freshness(
        &self,
        permit: &Permit<ConnectionsRead>,
        id: ConnectionId,
        ask: bool,
    ) -> Result<Freshness, SchemaError> {
        let opened = self.connections.open(permit.principal(), id).await?;
        let Some(snapshot) = self.fresh(opened.connection.org, id).await? else {
            return Ok(Freshness { read_at: None, changed: None, needs_refresh: true });
        };
        let read_at = snapshot.whole_at();
        let old = self.clock.now().duration_since(read_at) > MOST_AGE;
        let changed = match &snapshot.catalog.fingerprint {
            Some(before) if ask && !old => {
                let now = self.reader.fingerprint(&opened.target).await;
                now.ok().map(|it| it != *before)
            }
            _ => None,
        };
        let needs_refresh = old || changed.unwrap_or(snapshot.catalog.fingerprint.is_none());
        Ok(Freshness { read_at: Some(read_at), changed, needs_refresh })
    }

    fn reading(&self, id: ConnectionId) -> Arc<Reading> {
        let mut all = self.reading.lock().expect("not poisoned");
        // Whoever waits for a lock holds a clone of it, so one that nobody else holds can go.
        all.retain(|_, it| Arc::strong_count(it) > 1);
        all.entry(id).or_default().clone()
    }

    async fn fresh(
        &self,
        org: OrgId,
        id: ConnectionId,
    ) -> Result<Option<Arc<Snapshot>>, StoreError> {
        let read = async |before: Option<Arc<Snapshot>>| {
            let Some((newest, _)) = self.store.newest(org, id).await? else {
                return Ok(None);
            };
            match before {
                Some(before) if before.id == newest => Ok(Some(before)),
                _ => self.store.find(org, newest).await,
            }
        };
        self.held.get(&(org, id), read).await
    }

    async fn read(&self, opened: &Opened, reading: &Reading) -> Result<Arc<Snapshot>, SchemaError> {
        let started = self.clock.now();
        let failed = |err: Diagnosis| {
            reading.note(&err);
            SchemaError::Connection(ConnectionError::from(err))
        };
        let catalog = self.reader.read(&opened.target, options(opened)).await.map_err(failed)?;
        let now = self.clock.now();
        let duration_ms = milliseconds(started, now);
        let snapshot = Arc::new(Snapshot {
            id: SnapshotId::new(now),
            org: opened.connection.org,
            connection: opened.connection.id,
            catalog,
            // What was made while it was read may not be in it.
            taken_at: started,
            duration_ms,
            parts: None,
        });
        self.store.insert(&snapshot).await.map_err(|err| match err {
            InsertSnapshotError::NoConnection | InsertSnapshotError::NoBase => {
                SchemaError::Connection(ConnectionError::NotFound(snapshot.connection))
            }
            InsertSnapshotError::Store(err) => SchemaError::Store(err),
        })?;
        self.hold(snapshot.clone(), now);
        Ok(snapshot)
    }

    /// `None` if only reading everything helps.
    async fn read_table(
        &self,
        opened: &Opened,
        reading: &Reading,
        before: &Arc<Snapshot>,
        table: &TableName,
    ) -> Result<Option<Arc<Snapshot>>, SchemaError> {
        let started = self.clock.now();
        let read = self.reader.read_table(&opened.target, table, &before.catalog, options(opened));
        let part = match read.await {
            Ok(TableRead::Found(part)) => Some(*part),
            Ok(TableRead::Gone) => None,
            Ok(TableRead::Entangled) => return Ok(None),
            Err(err) => {
                reading.note(&err);
                return Err(SchemaError::Connection(ConnectionError::from(err)));
            }
        };
        if part.is_none() && before.catalog.find(&table.schema, &table.name).is_none() {
            return Err(SchemaError::TableNotFound(table.to_string()));
        }
        let patch = CatalogPatch::of_table(&before.catalog, table, part);
        let catalog = patch.apply(&before.catalog);
        let parts = match &before.parts {
            None => Parts { base: before.id, base_taken_at: before.taken_at, patch },
            Some(it) => Parts { patch: it.patch.clone().then(&patch), ..it.clone() },
        };
        let now = self.clock.now();
        let snapshot = Arc::new(Snapshot {
            id: SnapshotId::new(now),
            org: before.org,
            connection: before.connection,
            catalog,
            // After the one that it builds on, whatever the clock says.
            taken_at: started.max(before.taken_at + SignedDuration::from_micros(1)),
            duration_ms: milliseconds(started, now),
            parts: Some(parts),
        });
        match self.store.insert(&snapshot).await {
            Ok(()) => {}
            Err(InsertSnapshotError::NoConnection) => {
                return Err(ConnectionError::NotFound(snapshot.connection).into());
            }
            // Another server has read everything meanwhile.
            Err(InsertSnapshotError::NoBase) => return Ok(None),
            Err(InsertSnapshotError::Store(err)) => return Err(SchemaError::Store(err)),
        }
        self.hold(snapshot.clone(), now);
        Ok(Some(snapshot))
    }

    fn hold(&self, snapshot: Arc<Snapshot>, now: Timestamp) {
        self.held.put(&(snapshot.org, snapshot.connection), now, snapshot);
    }
}

/// Why a schema could not be given.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// No such connection, or the database cannot be reached.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The history of this connection has no such snapshot.
    #[error("there is no snapshot {0} of this connection's schema")]
    SnapshotNotFound(SnapshotId),
    /// The connection shows no such table.
    #[error("there is no table `{0}`, or this connection does not show it")]
    TableNotFound(String),
    /// The table has no such column.
    #[error("the table `{table}` has no column `{column}`, or this connection does not show it")]
    ColumnNotFound {
        /// The table, as the caller named it.
        table: String,
        /// The column.
        column: String,
    },
    /// Nobody wrote anything there.
    #[error("there is no annotation of `{0}`")]
    AnnotationNotFound(String),
    /// Somebody else changed the annotation since the caller read it.
    #[error("the annotation of `{0}` has changed; read it again")]
    AnnotationChanged(String),
    /// Our own storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Classify for SchemaError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Connection(err) => err.kind(),
            Self::SnapshotNotFound(_)
            | Self::TableNotFound(_)
            | Self::ColumnNotFound { .. }
            | Self::AnnotationNotFound(_) => ErrorKind::NotFound,
            Self::AnnotationChanged(_) => ErrorKind::PreconditionFailed,
            Self::Store(err) => err.kind(),
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::Connection(err) => err.details(),
            Self::SnapshotNotFound(_)
            | Self::TableNotFound(_)
            | Self::ColumnNotFound { .. }
            | Self::AnnotationNotFound(_)
            | Self::AnnotationChanged(_) => None,
            Self::Store(err) => err.details(),
        }
    }
}
