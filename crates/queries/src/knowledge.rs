use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use plinth_connections::{AllowedTables, ConnectionId, TableName};
use plinth_nl2sql::SchemaIndex;
use plinth_nl2sql::language::Examples;
use plinth_nl2sql::lookup::Access;
use plinth_schema_introspect::{Annotations, Catalog, Snapshot, SnapshotId};
use plinth_sql_guard::{Approved, Guard, Rejection, Rule};

use crate::discretion;
use crate::language::Bound;
use crate::policies::{Limits, Narrowing, Shape, redacted, restrictions_of};
use crate::{Entry, Language, QueryError, RunError, Statement, UserTypes};

/// How many statements are remembered as approved and planned, for each connection.
const STATEMENTS: usize = 512;

/// How many connections' knowledge is held at most.
const HELD: usize = 64;

/// How many columns all that is held may have: an index takes some two kilobytes for each, so that a few very large databases
/// do not fill the memory that many small ones would not.
const HELD_COLUMNS: usize = 400_000;

/// What a caller may know of a database, and who they are to its policies.
pub(crate) struct Knowledge {
    known: Arc<Known>,
    limits: Limits,
}

impl std::ops::Deref for Knowledge {
    type Target = Known;

    fn deref(&self) -> &Known {
        &self.known
    }
}

/// Everything that is computed once from a snapshot and used by every question over it. Callers whom the same policies bind
/// share it; callers whom others bind have one of their own, so that nothing of what is hidden from them is in reach of
/// whatever reads here: the engine, its index, a model.
pub(crate) struct Known {
    /// As these callers may know it.
    snapshot: Arc<Snapshot>,
    /// How many columns that has.
    columns: usize,
    allowed: AllowedTables,
    written: Arc<Annotations>,
    /// The organization's language; for callers whom policies bind what changes answers, and what they may know of that.
    language: Arc<Language>,
    /// The examples, taken apart on a day.
    examples: Mutex<Option<(jiff::civil::Date, Arc<Examples>)>>,
    /// The catalog as whoever writes statements may know it; `None` if that is the snapshot's own.
    askable: std::sync::OnceLock<Option<Catalog>>,
    /// The same with what people wrote about it; `None` if nobody wrote anything.
    annotated: std::sync::OnceLock<Option<Catalog>>,
    guard: Guard,
    /// Made when the first question in words comes: SQL alone does not need it.
    index: std::sync::OnceLock<SchemaIndex>,
    /// Which columns can be searched for words of questions: none that a policy masks.
    access: Access,
    pub(crate) types: Arc<UserTypes>,
    statements: Mutex<HashMap<String, Arc<Judged>>>,
    /// Lookups that were let through, whatever words they are for.
    lookups: Mutex<HashMap<String, Arc<Judged>>>,
}

/// A statement that the guard let through.
pub(crate) struct Judged {
    pub(crate) approved: Approved,
    /// Whether the planner's relations were held against the allowed ones.
    pub(crate) planned: std::sync::atomic::AtomicBool,
    /// Held by whoever does that first.
    pub(crate) planning: tokio::sync::Mutex<()>,
    /// Whether it was found to be cheap enough to look words up with.
    pub(crate) is_cheap: std::sync::atomic::AtomicBool,
}

impl Judged {
    fn new(approved: Approved) -> Self {
        Self {
            approved,
            planned: false.into(),
            planning: tokio::sync::Mutex::default(),
            is_cheap: false.into(),
        }
    }
}

impl Knowledge {
    pub(crate) fn new(known: Arc<Known>, limits: Limits) -> Self {
        Self { known, limits }
    }

    /// What is sent for a statement that was let through.
    ///
    /// # Errors
    ///
    /// [`QueryError::Attribute`] if a policy needs of the caller what is not known of them.
    pub(crate) fn statement(&self, judged: &Judged) -> Result<Statement, QueryError> {
        self.statement_with(judged, Vec::new())
    }

    /// The same with the values of the statement's own parameters.
    ///
    /// # Errors
    ///
    /// As for [`Knowledge::statement`].
    pub(crate) fn statement_with(
        &self,
        judged: &Judged,
        mut parameters: Vec<Option<String>>,
    ) -> Result<Statement, QueryError> {
        let approved = &judged.approved;
        parameters.extend(self.limits.bind(&approved.bound, &approved.restricted)?);
        Ok(Statement {
            sql: approved.sql.clone(),
            parameters,
            search_path: self.snapshot.catalog.search_path.clone(),
        })
    }

    /// What tells apart callers who see different things.
    pub(crate) fn shape(&self) -> Shape {
        self.limits.shape()
    }

    /// What of a link reaches a statement that was let through.
    pub(crate) fn reached(&self, by: &Narrowing, approved: &Approved) -> BTreeSet<String> {
        self.limits.reached(by, approved)
    }

    /// Whether policies hide anything on this connection from the caller.
    pub(crate) fn is_bound(&self) -> bool {
        !self.limits.is_empty()
    }

    /// Whether the text of an entry of the language tells the caller nothing of what policies hide from them.
    pub(crate) fn may_know(&self, entry: &Entry) -> bool {
        !self.is_bound() || Bound::new(&self.guard, &self.snapshot.catalog).may_know(entry)
    }

    /// The tables of which something is hidden from the caller in this statement, which was let through.
    pub(crate) fn restricted(&self, sql: &str, parameters: usize) -> Vec<String> {
        if !self.is_bound() {
            return Vec::new();
        }
        let judged = self.judge_with(sql, parameters);
        judged.map_or_else(
            |_| Vec::new(),
            |it| it.approved.restricted.iter().map(ToString::to_string).collect(),
        )
    }
}

impl Judged {
    /// Whether something is hidden from the caller in what it reads.
    pub(crate) fn is_restricted(&self) -> bool {
        !self.approved.restricted.is_empty()
    }

    /// What the caller is told of a failure: where policies hide something, nothing that may quote it.
    pub(crate) fn told(&self, source: RunError) -> RunError {
        if self.is_restricted() { discretion::told(source) } else { source }
    }
}

impl Known {
    pub(crate) fn new(
        snapshot: Arc<Snapshot>,
        allowed: AllowedTables,
        written: Arc<Annotations>,
        language: Arc<Language>,
        limits: &Limits,
    ) -> Self {
        let types = Arc::new(UserTypes::new(&snapshot.catalog));
        let restrictions = restrictions_of(&snapshot.catalog, limits);
        let guard = Guard::restricted(&snapshot.catalog, &allowed, &restrictions);
        let mut access = Access::of(&snapshot.catalog);
        for it in &restrictions {
            let (schema, table) = (&it.relation.schema, &it.relation.name);
            it.masks.keys().for_each(|column| access.close_column(schema, table, column));
            if !it.rows.is_empty() {
                access.fence(schema, table);
            }
        }
        let snapshot = if limits.is_empty() {
            snapshot
        } else {
            let catalog = redacted(&snapshot.catalog, &guard, &restrictions);
            Arc::new(Snapshot { catalog, ..Snapshot::clone(&snapshot) })
        };
        let language = if limits.is_empty() {
            language
        } else {
            let bound = Bound::new(&guard, &snapshot.catalog);
            // What waits to be accepted was somebody's question, and why something does not fit is said of the whole schema.
            let known = language.entries.iter().filter(|it| it.counts() && bound.may_know(it));
            Arc::new(Language { version: language.version, entries: known.cloned().collect() })
        };
        Self {
            columns: snapshot.catalog.relations.iter().map(|it| it.columns.len()).sum(),
            snapshot,
            allowed,
            written,
            language,
            examples: Mutex::default(),
            askable: std::sync::OnceLock::new(),
            annotated: std::sync::OnceLock::new(),
            guard,
            index: std::sync::OnceLock::new(),
            access,
            types,
            statements: Mutex::default(),
            lookups: Mutex::default(),
        }
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The catalog as the engine reads it: what the guard refuses whatever is asked of it is not there to be read.
    pub(crate) fn askable(&self) -> &Catalog {
        let catalog = &self.snapshot.catalog;
        let askable = self.askable.get_or_init(|| owned(self.guard.askable(catalog)));
        askable.as_ref().unwrap_or(catalog)
    }

    /// Why what these words of a question are the name of cannot be asked about, where its own making is the reason: a view
    /// over code that the guard does not let through, say. `None` if it is something else, or somebody's right.
    pub(crate) fn why_not_askable(&self, words: &str) -> Option<String> {
        let letters = |text: &str| {
            let letters = text.chars().filter(|it| it.is_alphanumeric());
            letters.flat_map(char::to_lowercase).collect::<String>()
        };
        let said = letters(words);
        let relations = self.snapshot.catalog.relations.iter();
        let mut reasons = relations.filter(|it| letters(&it.name) == said).filter_map(|it| {
            let name = TableName { schema: it.schema.clone(), name: it.name.clone() };
            self.guard.why_unreadable(&name)
        });
        reasons.find(|it| made_so(it.rule)).map(|it| it.message)
    }

    /// The catalog as a model sees it: with what people wrote beside the database's own comments.
    pub(crate) fn annotated(&self) -> &Catalog {
        let askable = self.askable();
        let annotated = self.annotated.get_or_init(|| owned(self.written.beside(askable)));
        annotated.as_ref().unwrap_or(askable)
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
        let build = || {
            let catalog = self.askable();
            let mut index = SchemaIndex::annotated(catalog, &self.allowed, &self.written);
            let (terms, metrics) = (self.language.terms(), self.language.metrics());
            for it in index.speak(&terms, &metrics, &self.guard) {
                tracing::info!(
                    entry.id = it.id,
                    why = it.why,
                    "an entry of the organization's language is not used"
                );
            }
            index
        };
        self.index.get_or_init(build)
    }

    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    pub(crate) fn language(&self) -> &Language {
        &self.language
    }

    pub(crate) fn allowed(&self) -> &AllowedTables {
        &self.allowed
    }

    /// The checked questions, taken apart: what "on Monday" means is another day tomorrow.
    pub(crate) fn examples(&self, today: jiff::civil::Date) -> Arc<Examples> {
        let mut held = self.examples.lock().expect("not poisoned");
        match held.as_ref() {
            Some((day, examples)) if *day == today => examples.clone(),
            _ => {
                let made = Arc::new(Examples::new(&self.language.examples(), self.index(), today));
                *held = Some((today, made.clone()));
                made
            }
        }
    }

    /// Judges a statement, or remembers that it was let through. Refusals are not remembered: they are cheap to give
    /// and would push out what is used.
    pub(crate) fn judge(&self, sql: &str) -> Result<Arc<Judged>, Rejection> {
        self.judge_with(sql, 0)
    }

    /// The same for one with so many parameters of its own.
    pub(crate) fn judge_with(
        &self,
        sql: &str,
        parameters: usize,
    ) -> Result<Arc<Judged>, Rejection> {
        if parameters > 0 {
            // Another number of parameters is another statement; few are run in such a number that remembering them pays.
            let approved = self.guard.check_with_params(sql, parameters)?;
            return Ok(Arc::new(Judged::new(approved)));
        }
        if let Some(judged) = self.statements.lock().expect("not poisoned").get(sql) {
            return Ok(judged.clone());
        }
        let approved = self.guard.check(sql)?;
        let judged = Arc::new(Judged::new(approved));
        let mut statements = self.statements.lock().expect("not poisoned");
        if statements.len() >= STATEMENTS {
            statements.clear();
        }
        statements.insert(sql.to_owned(), judged.clone());
        Ok(judged)
    }
}

impl Known {
    /// Judges a lookup, or remembers that it was let through: its words are parameters, so that one over the same columns is
    /// the same statement.
    pub(crate) fn judge_lookup(
        &self,
        sql: &str,
        parameters: usize,
    ) -> Result<Arc<Judged>, Rejection> {
        if let Some(judged) = self.lookups.lock().expect("not poisoned").get(sql) {
            return Ok(judged.clone());
        }
        let judged = self.judge_with(sql, parameters)?;
        let mut lookups = self.lookups.lock().expect("not poisoned");
        if lookups.len() >= STATEMENTS {
            lookups.clear();
        }
        lookups.insert(sql.to_owned(), judged.clone());
        Ok(judged)
    }
}

/// Whether that says how a relation is made, and nothing of who may read it.
fn made_so(rule: Rule) -> bool {
    matches!(rule, Rule::UnsafeView | Rule::InheritedTables | Rule::CastNotAllowed)
}

/// What was copied because it had to be changed; `None` if it is as it was.
fn owned(catalog: Cow<'_, Catalog>) -> Option<Catalog> {
    match catalog {
        Cow::Owned(changed) => Some(changed),
        Cow::Borrowed(_) => None,
    }
}

/// What it was made from: the snapshot, the connection's version, the versions of annotations and language, and the policies
/// that bind.
#[derive(Clone, PartialEq, Eq)]
struct Origin {
    snapshot: SnapshotId,
    version: i64,
    written: i64,
    language: i64,
    shape: Shape,
}

/// What is known of each connection, by what binds its callers, as long as its snapshot and settings stay the same.
#[derive(Default)]
pub(crate) struct KnowledgeCache {
    held: Mutex<HashMap<ConnectionId, Vec<(Origin, Arc<Known>)>>>,
}

/// For how many kinds of callers a connection's knowledge is held at most; beyond, the first goes.
const SHAPES: usize = 8;

impl KnowledgeCache {
    /// What is held for that snapshot, those settings, annotations, language and policies.
    pub(crate) fn get(
        &self,
        connection: ConnectionId,
        snapshot: SnapshotId,
        version: i64,
        written: &Annotations,
        language: &Language,
        limits: &Limits,
    ) -> Option<Arc<Known>> {
        let held = self.held.lock().expect("not poisoned");
        let mut all = held.get(&connection)?.iter();
        let same = |(of, _): &&(Origin, Arc<Known>)| {
            of.snapshot == snapshot
                && of.version == version
                && of.written == written.version()
                && of.language == language.version
                && limits.is_of(&of.shape)
        };
        all.find(same).map(|it| it.1.clone())
    }

    /// Holds what was computed; what the connection has of another snapshot or other settings goes.
    pub(crate) fn put(
        &self,
        connection: ConnectionId,
        version: i64,
        limits: &Limits,
        known: &Arc<Known>,
    ) {
        let mut held = self.held.lock().expect("not poisoned");
        let origin = Origin {
            snapshot: known.snapshot().id,
            version,
            written: known.written.version(),
            language: known.language.version,
            shape: limits.shape(),
        };
        let all = held.entry(connection).or_default();
        all.retain(|(of, _)| {
            let current = (of.snapshot, of.version, of.written, of.language);
            let now = (origin.snapshot, version, origin.written, origin.language);
            current == now && of.shape != origin.shape
        });
        if all.len() >= SHAPES {
            all.remove(0);
        }
        all.push((origin, known.clone()));
        let sizes = held.iter().map(|(id, all)| {
            let newest = all.iter().map(|it| it.0.snapshot).max();
            (*id, newest, all.iter().map(|it| it.1.columns).sum())
        });
        for id in leaving(sizes.collect(), connection) {
            held.remove(&id);
        }
    }
}

/// Which connections' knowledge has to go for the rest to be little enough: those whose newest snapshot is the oldest, never
/// the one that was just asked for. Each comes with its newest snapshot and the columns of all that is held of it.
fn leaving<T: Ord + Copy, S: Ord>(mut held: Vec<(T, S, usize)>, kept: T) -> Vec<T> {
    held.sort_by(|a, b| a.1.cmp(&b.1).then(a.0.cmp(&b.0)));
    let (mut count, mut columns) = (held.len(), held.iter().map(|it| it.2).sum::<usize>());
    let mut gone = Vec::new();
    for (id, _, own) in held.into_iter().filter(|it| it.0 != kept) {
        if count <= HELD && columns <= HELD_COLUMNS {
            break;
        }
        (count, columns) = (count - 1, columns - own);
        gone.push(id);
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded_by_count_and_by_size() {
        let small: Vec<(usize, usize, usize)> = (0..HELD).map(|it| (it, 100 - it, 10)).collect();
        assert!(leaving(small.clone(), 0).is_empty());
        let one_more: Vec<_> = small.iter().copied().chain([(HELD, 0, 10)]).collect();
        assert_eq!(leaving(one_more.clone(), 0), [HELD], "the oldest goes");
        assert_eq!(leaving(one_more, HELD), [HELD - 1], "but not what was just asked for");
        let large = vec![(1, 10, HELD_COLUMNS / 2), (2, 20, HELD_COLUMNS / 2), (3, 30, 1)];
        assert_eq!(leaving(large, 3), [1]);
        assert!(
            leaving(vec![(1, 10, HELD_COLUMNS + 1)], 1).is_empty(),
            "one alone is held, however large"
        );
    }
}
