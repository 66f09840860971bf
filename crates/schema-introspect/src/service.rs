use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use plinth_connections::{ConnectionError, ConnectionId, Connections, Opened};
use plinth_core::{
    Classify, Clock, ConnectionsRead, ConnectionsWrite, ErrorKind, OrgId, Permit, StoreError,
};
use serde_json::Value;

use crate::{Catalog, CatalogReader, InsertSnapshotError, ReadOptions, Sampling, SnapshotStore};

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
}

/// How long the newest snapshot counts as the newest before the store is asked again.
const FRESH: SignedDuration = SignedDuration::from_secs(1);

/// How many snapshots are held in memory at most.
const HELD: usize = 64;

/// The schemas of connected databases: reading them, keeping them, giving the newest.
#[derive(Clone)]
pub struct Schemas {
    pub(crate) connections: Connections,
    reader: Arc<dyn CatalogReader>,
    pub(crate) store: Arc<dyn SnapshotStore>,
    clock: Arc<dyn Clock>,
    held: Arc<Mutex<HashMap<(OrgId, ConnectionId), Held>>>,
    reading: Arc<Mutex<HashMap<ConnectionId, Arc<tokio::sync::Mutex<()>>>>>,
}

#[derive(Clone)]
struct Held {
    snapshot: Arc<Snapshot>,
    checked_at: Timestamp,
}

impl Schemas {
    /// Puts the service together.
    pub fn new(
        connections: Connections,
        reader: Arc<dyn CatalogReader>,
        store: Arc<dyn SnapshotStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { connections, reader, store, clock, held: Arc::default(), reading: Arc::default() }
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
        let lock = self.lock(id);
        let _one = lock.lock().await;
        let snapshot = self.read(&opened).await?;
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
        let lock = self.lock(id);
        let _one = lock.lock().await;
        match self.fresh(org, id).await? {
            Some(snapshot) => Ok(snapshot),
            None => self.read(opened).await,
        }
    }

    /// Reads the schema anew for a connection that has been opened, because what is known of it proved wrong. Of many
    /// that ask at once one reads.
    ///
    /// # Errors
    ///
    /// As for [`Schemas::get`].
    pub async fn renew(&self, opened: &Opened) -> Result<Arc<Snapshot>, SchemaError> {
        let asked_at = self.clock.now();
        let lock = self.lock(opened.connection.id);
        let _one = lock.lock().await;
        match self.fresh(opened.connection.org, opened.connection.id).await? {
            Some(snapshot) if snapshot.taken_at > asked_at => Ok(snapshot),
            _ => self.read(opened).await,
        }
    }

    fn lock(&self, id: ConnectionId) -> Arc<tokio::sync::Mutex<()>> {
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
        let now = self.clock.now();
        let held = self.held.lock().expect("not poisoned").get(&(org, id)).cloned();
        if let Some(held) = &held
            && now.duration_since(held.checked_at) < FRESH
        {
            return Ok(Some(held.snapshot.clone()));
        }
        let Some((newest, _)) = self.store.newest(org, id).await? else {
            return Ok(None);
        };
        let snapshot = match held {
            Some(held) if held.snapshot.id == newest => Some(held.snapshot),
            _ => self.store.find(org, newest).await?,
        };
        if let Some(snapshot) = &snapshot {
            self.hold(snapshot.clone(), now);
        }
        Ok(snapshot)
    }

    async fn read(&self, opened: &Opened) -> Result<Arc<Snapshot>, SchemaError> {
        let started = self.clock.now();
        let sampling = if opened.connection.sampling { Sampling::FewValued } else { Sampling::Off };
        let catalog = self
            .reader
            .read(&opened.target, ReadOptions { sampling, ..ReadOptions::default() })
            .await
            .map_err(ConnectionError::from)?;
        let now = self.clock.now();
        let duration_ms = u64::try_from(now.duration_since(started).as_millis()).unwrap_or(0);
        let snapshot = Arc::new(Snapshot {
            id: SnapshotId::new(now),
            org: opened.connection.org,
            connection: opened.connection.id,
            catalog,
            // What was made while it was read may not be in it.
            taken_at: started,
            duration_ms,
        });
        self.store.insert(&snapshot).await.map_err(|err| match err {
            InsertSnapshotError::NoConnection => {
                SchemaError::Connection(ConnectionError::NotFound(snapshot.connection))
            }
            InsertSnapshotError::Store(err) => SchemaError::Store(err),
        })?;
        self.hold(snapshot.clone(), now);
        Ok(snapshot)
    }

    fn hold(&self, snapshot: Arc<Snapshot>, now: Timestamp) {
        let mut held = self.held.lock().expect("not poisoned");
        let key = (snapshot.org, snapshot.connection);
        if held.len() >= HELD && !held.contains_key(&key) {
            let oldest = held.iter().min_by_key(|(_, it)| it.checked_at).map(|(key, _)| *key);
            oldest.map(|key| held.remove(&key));
        }
        held.insert(key, Held { snapshot, checked_at: now });
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
