use std::collections::BTreeMap;
use std::sync::Arc;

use plinth_connections::{
    AllowedTables, ConnectionError, Connections, CountedTable, Login, TableName, TableReader,
};
use plinth_core::{Clock, ConnectionsWrite, Permit};

use crate::{CatalogReader, ReadOptions, Relation, RelationKind, Sampling, SchemaError, Visible};

/// Below so many rows they are counted.
const COUNTED: u64 = 10_000;

/// Looks through a database that is not connected yet, so that somebody can choose what may be read.
#[derive(Clone)]
pub struct Discovery {
    connections: Connections,
    reader: Arc<dyn CatalogReader>,
    tables: Arc<dyn TableReader>,
    clock: Arc<dyn Clock>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Discovered {
    /// The schemas that the role may look into, by name, each with what may be read in it.
    pub schemas: BTreeMap<String, Vec<DiscoveredTable>>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// A table or view that may be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoveredTable {
    /// Its name.
    pub name: String,
    /// Whether it is a view, materialized or not.
    pub is_view: bool,
    /// Exact below 10,000, above that the planner's estimate; `None` if not even that could be had.
    pub row_count: Option<u64>,
}

impl Discovery {
    /// Puts the service together.
    pub fn new(
        connections: Connections,
        reader: Arc<dyn CatalogReader>,
        tables: Arc<dyn TableReader>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { connections, reader, tables, clock }
    }

    /// Looks through the database of a login that is not kept. That it was used is noted in the audit trail.
    ///
    /// # Errors
    ///
    /// [`SchemaError::Connection`] with the diagnosis if the database cannot be reached.
    pub async fn discover(
        &self,
        permit: &Permit<ConnectionsWrite>,
        login: &Login,
        allowed: &AllowedTables,
    ) -> Result<Discovered, SchemaError> {
        let started = self.clock.now();
        let target = login.target(permit.org(), None);
        let options = ReadOptions { sampling: Sampling::Off, measures: false };
        let catalog = self.reader.read(&target, options).await;
        self.connections
            .note_login(permit, "connection.discovered", login, catalog.is_ok())
            .await?;
        let catalog = catalog.map_err(ConnectionError::from)?;
        let shown: Vec<&Relation> = Visible::new(&catalog, allowed).relations().collect();
        let counted: Vec<CountedTable> = shown.iter().map(|it| to_count(it)).collect();
        let counts = self.tables.count_rows(&target, &counted, COUNTED).await;
        let counts = counts.map_err(ConnectionError::from)?;
        let mut schemas: BTreeMap<String, Vec<DiscoveredTable>> = catalog
            .schemas
            .iter()
            .filter(|it| it.usable && *allowed == AllowedTables::All)
            .map(|it| (it.name.clone(), Vec::new()))
            .collect();
        for (it, row_count) in shown.iter().zip(counts) {
            let is_view = matches!(it.kind, RelationKind::View | RelationKind::MaterializedView);
            let table = DiscoveredTable { name: it.name.clone(), is_view, row_count };
            schemas.entry(it.schema.clone()).or_default().push(table);
        }
        let took = self.clock.now().duration_since(started).as_millis();
        Ok(Discovered { schemas, duration_ms: u64::try_from(took).unwrap_or(0) })
    }
}

fn to_count(it: &Relation) -> CountedTable {
    CountedTable {
        name: TableName { schema: it.schema.clone(), name: it.name.clone() },
        estimate: it.estimated_rows,
        is_countable: !matches!(it.kind, RelationKind::View | RelationKind::ForeignTable),
    }
}
