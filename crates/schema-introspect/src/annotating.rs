use std::sync::Arc;

use plinth_connections::{ConnectionError, ConnectionId, Opened};
use plinth_core::{Clock, ConnectionsRead, ConnectionsWrite, OrgId, Permit, Recent, StoreError};
use plinth_tenancy::AuditEntry;
use serde_json::json;

use crate::{
    Annotation, AnnotationStore, AnnotationTarget, AnnotationText, Annotations, PutAnnotationError,
    SchemaError, Schemas, Visible,
};

/// Of how many connections annotations are held in memory at most.
const HELD: usize = 64;

/// What people write beside the schemas of connected databases.
#[derive(Clone)]
pub struct SchemaAnnotations {
    schemas: Schemas,
    store: Arc<dyn AnnotationStore>,
    clock: Arc<dyn Clock>,
    held: Arc<Recent<(OrgId, ConnectionId), Arc<Annotations>>>,
}

/// An annotation in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedAnnotation {
    /// What was written.
    pub annotation: Annotation,
    /// Whether what it is about is not there any more, perhaps because it was renamed.
    pub orphaned: bool,
}

impl SchemaAnnotations {
    /// Puts the service together.
    pub fn new(schemas: Schemas, store: Arc<dyn AnnotationStore>, clock: Arc<dyn Clock>) -> Self {
        let held = Arc::new(Recent::new(clock.clone(), HELD));
        Self { schemas, store, clock, held }
    }

    /// Everything that was written about a connection's schema, for the services that read it; at most a second old.
    ///
    /// # Errors
    ///
    /// Only when our own storage fails.
    pub async fn current(&self, opened: &Opened) -> Result<Arc<Annotations>, StoreError> {
        let (org, id) = (opened.connection.org, opened.connection.id);
        let read = async |before: Option<Arc<Annotations>>| {
            let version = self.store.version(org, id).await?;
            let newest = match before {
                Some(before) if before.version() == version => before,
                _ if version == 0 => Arc::default(),
                _ => Arc::new(self.store.all(org, id).await?),
            };
            Ok::<_, StoreError>(Some(newest))
        };
        Ok(self.held.get(&(org, id), read).await?.unwrap_or_default())
    }

    /// All annotations of what the connection lets people know of, and of what is not there any more, sorted by schema,
    /// table and column.
    ///
    /// # Errors
    ///
    /// As for [`Schemas::get`].
    pub async fn list(
        &self,
        permit: &Permit<ConnectionsRead>,
        id: ConnectionId,
    ) -> Result<Vec<ListedAnnotation>, SchemaError> {
        let (opened, snapshot) = self.schemas.get(permit, id).await?;
        let annotations = self.current(&opened).await?;
        let allowed = &opened.connection.allowed_tables;
        let catalog = &snapshot.catalog;
        let listed = annotations.iter().filter_map(|annotation| {
            let AnnotationTarget { schema, table, column } = &annotation.target;
            if !allowed.allows(schema, table) {
                return None;
            }
            let readable = match (catalog.find(schema, table), column) {
                (None, _) => None,
                (Some(relation), None) => Some(relation.columns.iter().any(|it| it.readable)),
                (Some(relation), Some(column)) => {
                    relation.column(column).map(|at| relation.columns[at].readable)
                }
            };
            let annotation = annotation.clone();
            // What is there but hidden is not named.
            (readable != Some(false))
                .then(|| ListedAnnotation { annotation, orphaned: readable.is_none() })
        });
        Ok(listed.collect())
    }

    /// Writes about a table, or one of its columns; what was written before is replaced. With `expected`, only if that
    /// has this version.
    ///
    /// # Errors
    ///
    /// - [`SchemaError::TableNotFound`] and [`SchemaError::ColumnNotFound`] if the connection does not show such.
    /// - [`SchemaError::AnnotationChanged`] if it is not the expected one; nothing changes.
    /// - As for [`Schemas::get`].
    pub async fn put(
        &self,
        permit: &Permit<ConnectionsWrite>,
        id: ConnectionId,
        table: &str,
        column: Option<&str>,
        text: AnnotationText,
        expected: Option<i64>,
    ) -> Result<Annotation, SchemaError> {
        let opened = self.schemas.connections.open(permit.principal(), id).await?;
        let snapshot = self.schemas.current(&opened).await?;
        let visible = Visible::new(&snapshot.catalog, &opened.connection.allowed_tables);
        let relation = visible.table(table)?;
        let target = AnnotationTarget {
            schema: relation.schema.clone(),
            table: relation.name.clone(),
            column: column.map(str::to_owned),
        };
        if let Some(column) = column
            && !relation.columns.iter().any(|it| it.readable && *it.name == *column)
        {
            let (table, column) = (table.to_owned(), column.to_owned());
            return Err(SchemaError::ColumnNotFound { table, column });
        }
        let now = self.clock.now();
        let mut annotation = Annotation {
            org: opened.connection.org,
            connection: id,
            target,
            text,
            version: 0,
            updated_by: permit.user(),
            updated_at: now,
        };
        let entry = AuditEntry::of(permit.principal(), now, "schema.annotated")
            .on("connection", id)
            .with(json!({ "about": annotation.target.to_string() }));
        let put = self.store.put(&annotation, expected, &entry).await;
        annotation.version = put.map_err(|err| failed(err, &annotation.target, id))?;
        self.forget(&opened);
        Ok(annotation)
    }

    /// Takes back what was written about a table or column, also where that is not there any more.
    ///
    /// # Errors
    ///
    /// - [`SchemaError::AnnotationNotFound`] if nothing was written there.
    /// - [`SchemaError::AnnotationChanged`] if it is not the expected one; nothing changes.
    /// - As for [`Schemas::get`].
    pub async fn remove(
        &self,
        permit: &Permit<ConnectionsWrite>,
        id: ConnectionId,
        table: &str,
        column: Option<&str>,
        expected: Option<i64>,
    ) -> Result<(), SchemaError> {
        let opened = self.schemas.connections.open(permit.principal(), id).await?;
        let snapshot = self.schemas.current(&opened).await?;
        let annotations = self.current(&opened).await?;
        let allowed = &opened.connection.allowed_tables;
        let visible = Visible::new(&snapshot.catalog, allowed);
        let of = |schema: &str, name: &str| AnnotationTarget {
            schema: schema.to_owned(),
            table: name.to_owned(),
            column: column.map(str::to_owned),
        };
        let missing = || SchemaError::AnnotationNotFound(table.to_owned());
        let target = if let Some(relation) = visible.named(table) {
            of(&relation.schema, &relation.name)
        } else {
            let gone = annotations.iter().map(|it| &it.target).find(|it| {
                let same = format!("{}.{}", it.schema, it.table) == table;
                let hidden = snapshot.catalog.find(&it.schema, &it.table).is_some();
                same && !hidden && allowed.allows(&it.schema, &it.table)
            });
            gone.map(|it| of(&it.schema, &it.table)).ok_or_else(missing)?
        };
        let (org, now) = (opened.connection.org, self.clock.now());
        let entry = AuditEntry::of(permit.principal(), now, "schema.annotation_removed")
            .on("connection", id)
            .with(json!({ "about": target.to_string() }));
        let removed = self.store.remove(org, id, &target, expected, &entry).await;
        self.forget(&opened);
        let removed = removed.map_err(|err| failed(err, &target, id))?;
        if removed { Ok(()) } else { Err(missing()) }
    }

    /// Whoever changed something sees it at once.
    fn forget(&self, opened: &Opened) {
        let key = (opened.connection.org, opened.connection.id);
        self.held.forget(&key);
    }
}

fn failed(err: PutAnnotationError, target: &AnnotationTarget, id: ConnectionId) -> SchemaError {
    match err {
        PutAnnotationError::NoConnection => ConnectionError::NotFound(id).into(),
        PutAnnotationError::Changed => SchemaError::AnnotationChanged(target.to_string()),
        PutAnnotationError::Store(err) => err.into(),
    }
}
