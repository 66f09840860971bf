//! The history of a connection's schema, and what changed in it.

use std::sync::Arc;

use jiff::Timestamp;
use plinth_connections::{ConnectionId, Opened};
use plinth_core::{ConnectionsRead, Cursor, Limit, Page, Permit, StoreError};

use crate::drift::{Change, changes_between};
use crate::{SchemaError, Schemas, Snapshot, SnapshotId, Visible};

/// One state that a schema was in.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotSummary {
    /// The snapshot's id.
    pub id: SnapshotId,
    /// When that state was first read.
    pub first_read_at: Timestamp,
    /// When it was last read.
    pub taken_at: Timestamp,
    /// How long reading took then, in milliseconds.
    pub duration_ms: u64,
}

/// What changed from one state of a schema to another.
#[derive(Clone, Debug)]
pub struct SchemaDrift {
    /// The older state; `None` if the history has none before the newer one. Then there are no changes.
    pub from: Option<Arc<Snapshot>>,
    /// The newer state.
    pub to: Arc<Snapshot>,
    /// The differences that the connection lets people know of, tables in order of their names.
    pub changes: Vec<Change>,
}

impl Schemas {
    /// The states that the schema was in, newest first; states that were read again without a change stand there once.
    ///
    /// # Errors
    ///
    /// [`SchemaError::Connection`] if there is no such connection.
    pub async fn history(
        &self,
        permit: &Permit<ConnectionsRead>,
        id: ConnectionId,
        after: Option<Cursor>,
        limit: Limit,
    ) -> Result<Page<SnapshotSummary>, SchemaError> {
        // Looking back needs no database, so a connection that is not used is no obstacle.
        let opened = self.connections.open_inactive(permit.principal(), id).await?;
        let items = self.store.list(opened.connection.org, id, after, limit).await?;
        let place = |it: &SnapshotSummary| Cursor { created_at: it.taken_at, id: it.id.as_uuid() };
        Ok(Page::cut(items, limit, place))
    }

    /// What changed between two states; unless told, from the last but one to the newest. Reads the schema only if that
    /// was never done.
    ///
    /// # Errors
    ///
    /// - [`SchemaError::SnapshotNotFound`] if the history has no such state of that connection.
    /// - [`SchemaError::Connection`] if there is no such connection, or its schema was never read and cannot be.
    pub async fn drift(
        &self,
        permit: &Permit<ConnectionsRead>,
        id: ConnectionId,
        from: Option<SnapshotId>,
        to: Option<SnapshotId>,
    ) -> Result<SchemaDrift, SchemaError> {
        let opened = self.connections.open(permit.principal(), id).await?;
        let to = match to {
            Some(to) => self.of(&opened, to).await?,
            None => self.current(&opened).await?,
        };
        let from = match from {
            Some(from) => Some(self.of(&opened, from).await?),
            None => self.before(&opened, &to).await?,
        };
        let Some(from) = from else {
            return Ok(SchemaDrift { from: None, to, changes: Vec::new() });
        };
        let changes = self.changes(&opened, from.clone(), to.clone()).await?;
        Ok(SchemaDrift { from: Some(from), to, changes })
    }

    /// The differences between two states that the connection lets people know of, tables in order of their names.
    ///
    /// # Errors
    ///
    /// Only when the process is about to end.
    pub async fn changes(
        &self,
        opened: &Arc<Opened>,
        before: Arc<Snapshot>,
        after: Arc<Snapshot>,
    ) -> Result<Vec<Change>, StoreError> {
        // Comparing thousands of tables is not for a thread that others' requests wait for.
        let opened = opened.clone();
        let changes = tokio::task::spawn_blocking(move || {
            let allowed = &opened.connection.allowed_tables;
            let before = Visible::new(&before.catalog, allowed);
            changes_between(&before, &Visible::new(&after.catalog, allowed))
        });
        changes.await.map_err(|err| StoreError::Internal(err.into()))
    }

    /// A state of a connection's schema; `None` if the history does not have it any more.
    ///
    /// # Errors
    ///
    /// Only when our own storage fails.
    pub async fn state(
        &self,
        opened: &Opened,
        id: SnapshotId,
    ) -> Result<Option<Arc<Snapshot>>, StoreError> {
        let found = self.store.find(opened.connection.org, id).await?;
        Ok(found.filter(|it| it.connection == opened.connection.id))
    }

    /// A snapshot of that connection.
    async fn of(&self, opened: &Opened, id: SnapshotId) -> Result<Arc<Snapshot>, SchemaError> {
        self.state(opened, id).await?.ok_or(SchemaError::SnapshotNotFound(id))
    }

    /// The state before that one.
    async fn before(
        &self,
        opened: &Opened,
        of: &Snapshot,
    ) -> Result<Option<Arc<Snapshot>>, SchemaError> {
        let (org, id) = (opened.connection.org, opened.connection.id);
        let after = Cursor { created_at: of.taken_at, id: of.id.as_uuid() };
        let older = self.store.list(org, id, Some(after), Limit::ONE).await?;
        match older.first() {
            Some(it) => Ok(self.store.find(org, it.id).await?),
            None => Ok(None),
        }
    }
}
