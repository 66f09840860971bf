//! Reading the catalogs of a customer's database.
//!
//! One session reads all: the catalogs in a single round trip and a single read-only transaction, as plain queries that
//! are joined here by oid (which costs the server a tenth of what printing it all as JSON does); then, only if there is
//! something to ask, types that nobody could foresee and the planner's statistics; then values, as [`sampling`] says.
//! What takes us long (putting together) and what takes the server long (answering) is done at the same time: columns
//! are read while the server looks for constraints, sizes are asked for while the rest is put together.
//!
//! One table alone is asked for by the same statements, narrowed to its oid, in one round trip (module [`table`]). They are
//! the same each time, so the server keeps them prepared: planning them costs it four times what answering them does.
//!
//! **Limits**, so that reading hurts nobody: a lock is waited for 1 s at most, and if that is not enough the expressions
//! that need it are left out; a statement over the catalogs may take 15 s, all of them 30 s; answers are cut at 256 MiB.
//! Nothing here asks for a session of its own: it is one of those that the connection may have.

mod assemble;
mod comments;
mod constraints;
mod fields;
mod measures;
mod objects;
mod queries;
mod sampling;
mod statistics;
mod table;
mod types;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use plinth_connections::{Diagnosis, Fault, Stage, TableName, Target};
use plinth_queries::{RawRow, RunError};
use plinth_schema_introspect::{Catalog, CatalogReader, ReadOptions, Sampling, TableRead};
use tokio::task::{JoinHandle, spawn_blocking};

use self::assemble::{Answers, Basics, Draft, Known};
use self::fields::{Fields, Unreadable};
use self::queries::Scope;
use crate::{PooledSession, Query, ReadLimits, Session, TargetDatabases};

/// How long one look at all catalogs may take.
const READ_LIMIT: Duration = Duration::from_secs(30);

/// How long a lock is waited for, and a statement may run, in milliseconds, as parameters of [`queries::SETTINGS`].
const WAITING: [Option<&str>; 2] = [Some("1000"), Some("15000")];

const SETTINGS: Query<'static> = Query { sql: queries::SETTINGS, parameters: &WAITING };

const LIMITS: ReadLimits =
    ReadLimits { time: READ_LIMIT, row_bytes: 64 << 20, total_bytes: 256 << 20 };

/// A pool may hold sessions that died with the server's last restart, which is found out only by using one.
const ATTEMPTS: usize = 8;

/// Reads on one session, under limits of time, size and locks; `introspect` and `introspect::sampling` in the source say which.
#[async_trait]
impl CatalogReader for TargetDatabases {
    async fn read(&self, target: &Target, options: ReadOptions) -> Result<Catalog, Diagnosis> {
        let (mut session, asked) = self.ask(target, &Subject::All, options).await?;
        let draft = finish(&mut session, asked, &Subject::All, options).await?;
        Ok(draft.into_catalog())
    }

    async fn fingerprint(&self, target: &Target) -> Result<String, Diagnosis> {
        let asked = [SETTINGS, Query { sql: queries::FINGERPRINT, parameters: &[] }];
        let mut attempts = 0;
        loop {
            attempts += 1;
            let mut session = self.session(target).await?;
            match session.query_all(&asked, &LIMITS).await {
                Ok(answers) => return fingerprint(answers.get(1)).map_err(unreadable),
                Err(RunError::Connection(_)) if attempts < ATTEMPTS => {}
                Err(error) => return Err(Self::read_failure(error)),
            }
        }
    }

    async fn read_table(
        &self,
        target: &Target,
        table: &TableName,
        known: &Catalog,
        options: ReadOptions,
    ) -> Result<TableRead, Diagnosis> {
        table::read(self, target, table, known, options).await
    }
}

fn fingerprint(rows: Option<&Vec<RawRow>>) -> Result<String, Unreadable> {
    let row = rows.and_then(|it| it.first()).ok_or(Unreadable)?;
    Fields::of(row).owned()
}

/// What is read.
enum Subject<'a> {
    /// Everything.
    All,
    /// The relation of that name and, as far as anybody knows, of that oid, and what it is made of.
    One { name: &'a TableName, oid: String, known: &'a Catalog },
}

impl Subject<'_> {
    fn scope(&self) -> Scope {
        match self {
            Self::All => Scope::All,
            Self::One { .. } => Scope::One,
        }
    }

    /// What is known of relations that these constraints refer to.
    fn known(&self, constraints: &[RawRow]) -> Known {
        match self {
            Self::All => Known::default(),
            // What cannot be read here cannot be put together either, and that says so.
            Self::One { known, .. } => Known::of(known, constraints).unwrap_or_default(),
        }
    }

    fn oid(&self) -> Option<&str> {
        match self {
            Self::All => None,
            Self::One { oid, .. } => Some(oid),
        }
    }
}

/// What the first look brought: it is being put together already.
struct Asked {
    put_together: JoinHandle<Result<Put, Unreadable>>,
    /// The oid of the one relation of the name that was asked for.
    found: Option<String>,
    fingerprint: Vec<RawRow>,
    /// Of one relation, unless they have to be asked for once more.
    measures: Option<Vec<RawRow>>,
}

impl TargetDatabases {
    /// Asks the catalogs on a session that then serves for the rest.
    async fn ask(
        &self,
        target: &Target,
        subject: &Subject<'_>,
        options: ReadOptions,
    ) -> Result<(PooledSession, Asked), Diagnosis> {
        let mut wanted = Wants {
            expressions: true,
            measures: options.measures && subject.scope() == Scope::One,
        };
        let (mut attempts, mut passing) = (0, 0);
        loop {
            attempts += 1;
            let mut session = self.session(target).await?;
            match ask(&mut session, subject, &wanted).await {
                Ok(answers) => return Ok((session, answers)),
                Err(RunError::Connection(_)) if attempts < ATTEMPTS => {}
                // Somebody took a prepared statement from the session, which knows it now.
                Err(RunError::Database(it)) if it.sqlstate == "26000" && attempts < ATTEMPTS => {}
                // Sizes wait for more locks than all the rest (`REINDEX`), and are no reason to do without it.
                Err(RunError::Database(_) | RunError::TimedOut(_) | RunError::Cancelled)
                    if wanted.measures =>
                {
                    wanted.measures = false;
                }
                // Printing an expression looks at the table as it is now: somebody may be changing it, or hold its lock.
                Err(RunError::Database(it)) if wanted.expressions && is_passing(&it.sqlstate) => {
                    passing += 1;
                    wanted.expressions = passing < 2;
                }
                Err(error) => return Err(Self::read_failure(error)),
            }
        }
    }
}

/// What the first look brings that others' locks can keep from it.
struct Wants {
    /// Defaults, definitions and the like, as text.
    expressions: bool,
    /// Sizes, of one relation.
    measures: bool,
}

/// Lock not available, an object gone meanwhile (which the server calls internal), a deadlock.
fn is_passing(sqlstate: &str) -> bool {
    matches!(sqlstate, "55P03" | "XX000" | "42P01" | "42704" | "40P01")
}

/// What is asked before [`Answers`]: the fields of [`Basics`], and settings that answer nothing.
const BASICS: usize = 9;

/// A statement with its parameters.
type Statement<'a> = (Cow<'static, str>, &'a [Option<&'a str>]);

async fn ask(
    session: &mut Session,
    subject: &Subject<'_>,
    wanted: &Wants,
) -> Result<Asked, RunError> {
    let version = session.server_version_num();
    let oid = [subject.oid()];
    let name = match subject {
        Subject::All => None,
        Subject::One { name, .. } => Some([Some(name.schema.as_str()), Some(name.name.as_str())]),
    };
    let asked = statements(subject.scope(), version, &oid, name.as_ref(), wanted);
    let sent: Vec<_> = asked.iter().flatten().collect();
    let sent: Vec<_> = sent.iter().map(|(sql, parameters)| Query { sql, parameters }).collect();
    let mut coming = Coming::new(subject, asked.iter().map(Option::is_none).collect());
    let each = |rows| coming.take(rows);
    match subject {
        Subject::All => session.query_each(&sent, &LIMITS, each).await?,
        Subject::One { .. } => session.query_each_kept(&sent, &LIMITS, each).await?,
    }
    Ok(coming.asked(wanted.measures))
}

/// What is asked in the first look, in the order of [`Basics`] and [`Answers`]; `None` is not asked, which answers no row.
fn statements<'a>(
    scope: Scope,
    version: u32,
    oid: &'a [Option<&'a str>; 1],
    name: Option<&'a [Option<&'a str>; 2]>,
    wanted: &Wants,
) -> Vec<Option<Statement<'a>>> {
    let (one, settings) = match scope {
        Scope::All => (&[][..], Cow::Borrowed(queries::SETTINGS)),
        Scope::One => (&oid[..], Cow::Owned(queries::settings_of_one())),
    };
    // About everything, and about what is read; the last is not needed where that is one table.
    let whole = |sql: &'static str| Some((Cow::Borrowed(sql), &[][..]));
    let about = |sql: &str| Some((Cow::Owned(scope.fill(sql)), one));
    let own = |sql: Cow<'static, str>| Some((sql, one));
    let global = |sql: &'static str| whole(sql).filter(|_| scope == Scope::All);
    let mut asked: Vec<Option<Statement<'a>>> = vec![
        whole(queries::SESSION),
        whole(queries::SEARCH_PATH),
        Some((settings, &WAITING)),
        name.map(|name| (Cow::Borrowed(queries::FIND), &name[..])),
        whole(queries::SCHEMAS),
        about(queries::RELATIONS),
        own(queries::types(scope)),
        whole(queries::ENUM_LABELS),
        own(queries::columns(scope).into()),
        own(queries::constraints(version, scope).into()),
        own(queries::indexes(version, scope).into()),
        own(queries::comments(scope).into()),
        about(queries::PARENTS),
        global(queries::FUNCTIONS),
        global(queries::OPERATORS),
        global(queries::CASTS),
        own(queries::members(scope)),
        about(queries::READS),
        about(queries::SERVERS),
        global(queries::SEQUENCES),
    ];
    if wanted.expressions {
        asked.extend([
            about(queries::DEFAULTS),
            about(queries::DEFINITIONS),
            about(queries::CONSTRAINT_DEFINITIONS),
            whole(queries::DOMAIN_CHECKS),
            about(queries::INDEX_DEFINITIONS),
            about(queries::PARTITION_BOUNDS),
            about(queries::PARTITION_KEYS),
            global(queries::FUNCTION_TEXTS),
        ]);
    }
    // What is still asked when everything else is being put together. Of all relations, measures come later: they wait for
    // locks as expressions do, and may take as long as all the rest.
    asked.extend([
        global(queries::FINGERPRINT),
        own(queries::measures(scope).into()).filter(|_| wanted.measures),
    ]);
    asked
}

/// How many answers come after those that are put together: fingerprint and measures.
const AFTERWARDS: usize = 2;

/// Answers as they come; what is complete enough is put together while the server works on the rest.
struct Coming<'a> {
    subject: &'a Subject<'a>,
    /// Which of the statements were not asked.
    left_out: Vec<bool>,
    /// How many of them have an answer.
    taken: usize,
    /// The answers that are not used yet.
    rows_of: Vec<Vec<RawRow>>,
    found: Option<String>,
    begun: Option<JoinHandle<Result<Draft, Unreadable>>>,
    put_together: Option<JoinHandle<Result<Put, Unreadable>>>,
}

impl<'a> Coming<'a> {
    fn new(subject: &'a Subject<'a>, left_out: Vec<bool>) -> Self {
        let rows_of = Vec::with_capacity(left_out.len());
        Self { subject, left_out, taken: 0, rows_of, found: None, begun: None, put_together: None }
    }

    /// Takes the answer to the next statement that was asked.
    fn take(&mut self, rows: Vec<RawRow>) {
        self.add(rows);
        while self.left_out.get(self.taken) == Some(&true) {
            self.add(Vec::new());
        }
    }

    fn add(&mut self, rows: Vec<RawRow>) {
        self.rows_of.push(rows);
        self.taken += 1;
        if self.taken == BASICS {
            let (basics, found) = basics(std::mem::take(&mut self.rows_of));
            self.found = found.first().and_then(|it| Fields::of(it).owned().ok());
            // Tenths of a second for 10,000 tables, which would keep other requests of this thread waiting.
            self.begun = Some(spawn_blocking(move || Draft::begin(&basics)));
        } else if self.taken == self.left_out.len() - AFTERWARDS
            && let Some(begun) = self.begun.take()
        {
            let answers = answers(std::mem::take(&mut self.rows_of));
            let known = self.subject.known(&answers.constraints);
            self.put_together = Some(tokio::spawn(put(begun, answers, known)));
        }
    }

    /// When all have come.
    fn asked(mut self, measured: bool) -> Asked {
        let measures = self.rows_of.pop().filter(|_| measured);
        let fingerprint = self.rows_of.pop().unwrap_or_default();
        let put_together = self.put_together;
        let put_together = put_together.unwrap_or_else(|| tokio::spawn(async { Err(Unreadable) }));
        Asked { put_together, found: self.found, fingerprint, measures }
    }
}

/// Puts everything together, unless something has to be asked for before.
async fn put(
    begun: JoinHandle<Result<Draft, Unreadable>>,
    answers: Answers,
    known: Known,
) -> Result<Put, Unreadable> {
    let mut draft = begun.await.map_err(|_| Unreadable)??;
    draft.know(known);
    let complete = move || {
        let wanted = Wanted::of(&draft, &answers)?;
        if wanted.is_nothing() {
            draft.complete(&answers)?;
            return Ok(Put::Complete(Box::new(draft)));
        }
        Ok(Put::Wanting(Box::new((draft, answers, wanted))))
    };
    spawn_blocking(complete).await.map_err(|_| Unreadable)?
}

/// How far putting together came with the first look.
enum Put {
    Complete(Box<Draft>),
    Wanting(Box<(Draft, Answers, Wanted)>),
}

/// And which relation has the name that was asked for.
fn basics(rows: Vec<Vec<RawRow>>) -> (Basics, Vec<RawRow>) {
    let mut rows = rows.into_iter();
    let mut next = || rows.next().unwrap_or_default();
    let (session, search_path) = (next(), next());
    let _settings = next();
    let found = next();
    let basics = Basics {
        session,
        search_path,
        schemas: next(),
        relations: next(),
        types: next(),
        enum_labels: next(),
        columns: next(),
    };
    (basics, found)
}

fn answers(rows: Vec<Vec<RawRow>>) -> Answers {
    let mut rows = rows.into_iter();
    let mut next = || rows.next().unwrap_or_default();
    Answers {
        constraints: next(),
        indexes: next(),
        comments: next(),
        parents: next(),
        functions: next(),
        operators: next(),
        casts: next(),
        members: next(),
        reads: next(),
        servers: next(),
        sequences: next(),
        defaults: next(),
        definitions: next(),
        constraint_definitions: next(),
        domain_checks: next(),
        index_definitions: next(),
        partition_bounds: next(),
        partition_keys: next(),
        function_texts: next(),
    }
}

/// Waits for the catalog, and asks for what is known only now to be needed.
async fn finish(
    session: &mut Session,
    Asked { put_together, found: _, fingerprint, measures }: Asked,
    subject: &Subject<'_>,
    options: ReadOptions,
) -> Result<Draft, Diagnosis> {
    let measures = async {
        match measures {
            Some(measures) => Some(measures),
            None if options.measures => {
                measures::ask(session, subject.scope(), subject.oid()).await.ok()
            }
            None => None,
        }
    };
    let (put_together, measures) = tokio::join!(put_together, measures);
    let put_together = put_together.map_err(|_| unreadable(Unreadable))?.map_err(unreadable)?;
    let mut draft = match put_together {
        Put::Complete(draft) => *draft,
        Put::Wanting(wanting) => {
            let (mut draft, answers, wanted) = *wanting;
            wanted.ask(session, &mut draft).await?;
            let complete = move || {
                draft.complete(&answers)?;
                Ok(draft)
            };
            let complete = spawn_blocking(complete).await;
            complete.map_err(|_| unreadable(Unreadable))?.map_err(unreadable)?
        }
    };
    // What comes now makes answers better, and a catalog without it is a catalog all the same.
    if let Some(row) = fingerprint.first() {
        draft.catalog.fingerprint = Fields::of(row).owned().ok();
    }
    if let Some(rows) = measures {
        let _ = measures::fill(&mut draft, &rows);
    }
    let statistics = statistics::read(session, &mut draft, subject.oid()).await;
    if options.sampling == Sampling::FewValued
        && let Ok(statistics) = statistics
    {
        sampling::read(session, &mut draft, &statistics).await;
        if matches!(subject, Subject::All) {
            sampling::references::read(session, &mut draft).await;
        }
    }
    Ok(draft)
}

/// Types and collations that the first look could not know to be needed; as a rule there are none.
struct Wanted {
    types: BTreeSet<u32>,
    modified: BTreeSet<(u32, i32)>,
    collations: BTreeSet<u32>,
}

impl Wanted {
    fn of(draft: &Draft, answers: &Answers) -> Result<Self, Unreadable> {
        Ok(Self {
            types: draft.missing_types(answers)?,
            modified: draft.modified_types(),
            collations: draft.collations(),
        })
    }

    fn is_nothing(&self) -> bool {
        self.types.is_empty() && self.modified.is_empty() && self.collations.is_empty()
    }

    async fn ask(self, session: &mut Session, draft: &mut Draft) -> Result<(), Diagnosis> {
        let missing = list(self.types);
        let oids = list(self.modified.iter().map(|it| it.0));
        let modifiers = list(self.modified.iter().map(|it| it.1));
        let collations = list(self.collations);
        let asked = [
            Query { sql: queries::OTHER_TYPES, parameters: &[Some(&missing)] },
            Query { sql: queries::MODIFIED_TYPES, parameters: &[Some(&oids), Some(&modifiers)] },
            Query { sql: queries::COLLATIONS, parameters: &[Some(&collations)] },
        ];
        let answers =
            session.query_all(&asked, &LIMITS).await.map_err(TargetDatabases::read_failure)?;
        let [others, modified, collations] =
            <[Vec<RawRow>; 3]>::try_from(answers).map_err(|_| unreadable(Unreadable))?;
        let search_path = draft.catalog.search_path.clone();
        draft.types.add(&others, &search_path, false).map_err(unreadable)?;
        draft.types.add_modified(&modified).map_err(unreadable)?;
        draft.name_collations(&collations).map_err(unreadable)
    }
}

/// Numbers as an array literal.
fn list(numbers: impl IntoIterator<Item = impl ToString>) -> String {
    let numbers: Vec<_> = numbers.into_iter().map(|it| it.to_string()).collect();
    format!("{{{}}}", numbers.join(","))
}

/// Names as an array literal, each once.
fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted = |it: &str| format!("\"{}\"", it.replace('\\', "\\\\").replace('"', "\\\""));
    let names: BTreeSet<_> = names.into_iter().map(quoted).collect();
    format!("{{{}}}", names.into_iter().collect::<Vec<_>>().join(","))
}

fn unreadable(_: Unreadable) -> Diagnosis {
    Diagnosis {
        stage: Stage::ReadSchema,
        fault: Fault::ServerError,
        title: "The database's catalogs could not be read".into(),
        explanation: "The server answered something that PostgreSQL 14 to 18 does not answer.".into(),
        fix_steps: vec![
            "Check that the address is that of a PostgreSQL server, not of a product that only speaks its protocol."
                .into(),
        ],
        retryable: false,
    }
}
