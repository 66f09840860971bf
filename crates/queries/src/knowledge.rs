use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use plinth_connections::{AllowedTables, ConnectionId};
use plinth_nl2sql::SchemaIndex;
use plinth_schema_introspect::{Annotations, Catalog, Snapshot, SnapshotId};
use plinth_sql_guard::{Approved, Guard, Rejection};

use crate::{Statement, UserTypes};

/// How many statements are remembered as approved and planned, for each connection.
const STATEMENTS: usize = 512;

/// How many connections' knowledge is held at most.
const HELD: usize = 64;

/// Everything that is computed once from a snapshot and used by every question over it.
pub(crate) struct Knowledge {
    snapshot: Arc<Snapshot>,
    allowed: AllowedTables,
    written: Arc<Annotations>,
    /// The catalog with what people wrote about it; `None` if nobody wrote anything.
    annotated: std::sync::OnceLock<Option<Catalog>>,
    guard: Guard,
    /// Made when the first question in words comes: SQL alone does not need it.
    index: std::sync::OnceLock<SchemaIndex>,
    pub(crate) types: Arc<UserTypes>,
    statements: Mutex<HashMap<String, Arc<Judged>>>,
}

/// A statement that the guard let through.
pub(crate) struct Judged {
    pub(crate) approved: Approved,
    /// Whether the planner's relations were held against the allowed ones.
    pub(crate) planned: std::sync::atomic::AtomicBool,
}

impl Knowledge {
    pub(crate) fn new(
        snapshot: Arc<Snapshot>,
        allowed: AllowedTables,
        written: Arc<Annotations>,
    ) -> Self {
        let guard = Guard::new(&snapshot.catalog, &allowed);
        let types = Arc::new(UserTypes::new(&snapshot.catalog));
        Self {
            snapshot,
            allowed,
            written,
            annotated: std::sync::OnceLock::new(),
            guard,
            index: std::sync::OnceLock::new(),
            types,
            statements: Mutex::default(),
        }
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The catalog as a model sees it: with what people wrote beside the database's own comments.
    pub(crate) fn annotated(&self) -> &Catalog {
        let annotated =
            self.annotated.get_or_init(|| match self.written.beside(&self.snapshot.catalog) {
                Cow::Owned(annotated) => Some(annotated),
                Cow::Borrowed(_) => None,
            });
        annotated.as_ref().unwrap_or(&self.snapshot.catalog)
    }

    /// Whether a relation of a plan may be read by a statement: the guard saw it, or it is a partition of one that the
    /// guard saw (partitions follow their parent), or the list allows it by itself.
    pub(crate) fn may_be_read(&self, approved: &Approved, schema: &str, name: &str) -> bool {
        let seen = |schema: &str, name: &str| {
            approved.relations.iter().any(|it| it.schema == schema && it.name == name)
        };
        // An allowed view may read the server's own catalogs; what is in them is not a tenant's secret from itself.
        if seen(schema, name) || schema == "pg_catalog" && approved.reads_catalog {
            return true;
        }
        let catalog = &self.snapshot.catalog;
        let mut at = catalog.find(schema, name);
        while let Some(parent) = at.and_then(|it| it.partition_of) {
            at = catalog.relation(parent);
            if at.is_some_and(|it| seen(&it.schema, &it.name)) {
                return true;
            }
        }
        // A child of the old inheritance: the guard let the parent through because this one is allowed too.
        let known = catalog.find(schema, name).is_some_and(|it| !it.inherits.is_empty());
        known && self.allowed.allows(schema, name)
    }

    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }

    pub(crate) fn index(&self) -> &SchemaIndex {
        let build = || SchemaIndex::annotated(&self.snapshot.catalog, &self.allowed, &self.written);
        self.index.get_or_init(build)
    }

    /// What is sent for a statement that was let through.
    pub(crate) fn statement(&self, judged: &Judged) -> Statement {
        Statement {
            sql: judged.approved.sql.clone(),
            parameters: Vec::new(),
            search_path: self.snapshot.catalog.search_path.clone(),
        }
    }

    /// Judges a statement, or remembers that it was let through. Refusals are not remembered: they are cheap to give
    /// and would push out what is used.
    pub(crate) fn judge(&self, sql: &str) -> Result<Arc<Judged>, Rejection> {
        if let Some(judged) = self.statements.lock().expect("not poisoned").get(sql) {
            return Ok(judged.clone());
        }
        let approved = self.guard.check(sql)?;
        let judged = Arc::new(Judged { approved, planned: false.into() });
        let mut statements = self.statements.lock().expect("not poisoned");
        if statements.len() >= STATEMENTS {
            statements.clear();
        }
        statements.insert(sql.to_owned(), judged.clone());
        Ok(judged)
    }
}

/// Knowledge, with the snapshot and the connection's version that it was made from.
type Held = (SnapshotId, i64, Arc<Knowledge>);

/// The knowledge of each connection, as long as its snapshot and settings stay the same.
#[derive(Default)]
pub(crate) struct KnowledgeCache {
    held: Mutex<HashMap<ConnectionId, Held>>,
}

impl KnowledgeCache {
    /// What is held for that snapshot, those settings and those annotations.
    pub(crate) fn get(
        &self,
        connection: ConnectionId,
        snapshot: SnapshotId,
        version: i64,
        written: &Annotations,
    ) -> Option<Arc<Knowledge>> {
        let held = self.held.lock().expect("not poisoned");
        let (of, at, knowledge) = held.get(&connection)?;
        let same =
            *of == snapshot && *at == version && knowledge.written.version() == written.version();
        same.then(|| knowledge.clone())
    }

    /// Holds what was computed; the connection's older knowledge goes.
    pub(crate) fn put(&self, connection: ConnectionId, version: i64, knowledge: &Arc<Knowledge>) {
        let mut held = self.held.lock().expect("not poisoned");
        if held.len() >= HELD && !held.contains_key(&connection) {
            let oldest = held.iter().min_by_key(|(_, it)| it.0).map(|(id, _)| *id);
            oldest.map(|id| held.remove(&id));
        }
        held.insert(connection, (knowledge.snapshot().id, version, knowledge.clone()));
    }
}
