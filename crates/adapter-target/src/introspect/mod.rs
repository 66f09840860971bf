//! Reading the catalogs of a customer's database.
//!
//! One session reads all: the catalogs in a single round trip and a single read-only transaction, as plain queries that
//! are joined here by oid (which costs the server a tenth of what printing it all as JSON does); then, only if there is
//! something to ask, types that nobody could foresee and the planner's statistics; then values, as [`sampling`] says.
//!
//! **Limits**, so that reading hurts nobody: a lock is waited for 1 s at most, and if that is not enough the expressions
//! that need it are left out; a statement over the catalogs may take 15 s, all of them 30 s; answers are cut at 256 MiB.
//! Nothing here asks for a session of its own: it is one of those that the connection may have.

mod assemble;
mod fields;
mod objects;
mod queries;
mod sampling;
mod statistics;
mod types;

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use plinth_connections::{Diagnosis, Fault, Stage, Target};
use plinth_queries::{RawRow, RunError};
use plinth_schema_introspect::{Catalog, CatalogReader, ReadOptions, Sampling};

use self::assemble::{Answers, Draft};
use self::fields::Unreadable;
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
        let (mut session, answers) = self.ask(target).await?;
        // Half a second of work for 10,000 tables would keep other requests of this thread waiting.
        let (mut draft, answers) = tokio::task::spawn_blocking(move || begin(answers))
            .await
            .map_err(|_| unreadable(Unreadable))?
            .map_err(unreadable)?;
        ask_for_types(&mut session, &mut draft, &answers).await?;
        let mut draft = tokio::task::spawn_blocking(move || {
            draft.complete(&answers)?;
            Ok(draft)
        })
        .await
        .map_err(|_| unreadable(Unreadable))?
        .map_err(unreadable)?;
        // What comes now makes answers better, and a catalog without it is a catalog all the same.
        let statistics = statistics::read(&mut session, &mut draft).await;
        if options.sampling == Sampling::FewValued
            && let Ok(statistics) = statistics
        {
            sampling::read(&mut session, &mut draft, &statistics).await;
        }
        Ok(draft.into_catalog())
    }
}

fn begin(mut answers: Answers) -> Result<(Draft, Answers), Unreadable> {
    let draft = Draft::begin(&mut answers)?;
    Ok((draft, answers))
}

impl TargetDatabases {
    /// Asks the catalogs on a session that then serves for the rest.
    async fn ask(&self, target: &Target) -> Result<(PooledSession, Answers), Diagnosis> {
        let mut expressions = true;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let mut session = self.session(target).await?;
            match ask(&mut session, expressions).await {
                Ok(answers) => return Ok((session, answers)),
                Err(RunError::Connection(_)) if attempts < ATTEMPTS => {}
                // Printing an expression looks at the table as it is now: somebody may be changing it, or hold its lock.
                Err(RunError::Database(it)) if expressions && is_passing(&it.sqlstate) => {
                    expressions = attempts < 2;
                }
                Err(error) => return Err(Self::read_failure(error)),
            }
        }
    }
}

/// Lock not available, statement cancelled for its time, an object gone meanwhile (which the server calls internal).
fn is_passing(sqlstate: &str) -> bool {
    matches!(sqlstate, "55P03" | "57014" | "XX000" | "42P01" | "42704" | "40P01")
}

async fn ask(session: &mut Session, expressions: bool) -> Result<Answers, RunError> {
    let plain = |sql| Query { sql, parameters: &[] };
    let mut asked = vec![
        plain(queries::SESSION),
        plain(queries::SEARCH_PATH),
        SETTINGS,
        plain(queries::SCHEMAS),
        plain(queries::RELATIONS),
        plain(queries::COLUMNS),
        plain(queries::TYPES),
        plain(queries::ENUM_LABELS),
        plain(queries::CONSTRAINTS),
        plain(queries::INDEXES),
        plain(queries::COMMENTS),
        plain(queries::PARENTS),
        plain(queries::FUNCTIONS),
        plain(queries::OPERATORS),
        plain(queries::CASTS),
        plain(queries::MEMBERS),
    ];
    if expressions {
        asked.extend([plain(queries::DEFAULTS), plain(queries::DEFINITIONS)]);
    }
    let mut answers = session.query_all(&asked, &LIMITS).await?.into_iter();
    let mut next = || answers.next().unwrap_or_default();
    let (session, search_path) = (next(), next());
    let _settings = next();
    Ok(Answers {
        session,
        search_path,
        schemas: next(),
        relations: next(),
        columns: next(),
        types: next(),
        enum_labels: next(),
        constraints: next(),
        indexes: next(),
        comments: next(),
        parents: next(),
        functions: next(),
        operators: next(),
        casts: next(),
        members: next(),
        defaults: next(),
        definitions: next(),
    })
}

/// Asks for types that the first look could not know to be needed; as a rule there are none.
async fn ask_for_types(
    session: &mut Session,
    draft: &mut Draft,
    answers: &Answers,
) -> Result<(), Diagnosis> {
    let missing = draft.missing_types(answers).map_err(unreadable)?;
    let modified = draft.modified_types();
    if missing.is_empty() && modified.is_empty() {
        return Ok(());
    }
    let missing = list(missing);
    let oids = list(modified.iter().map(|it| it.0));
    let modifiers = list(modified.iter().map(|it| it.1));
    let asked = [
        Query { sql: queries::OTHER_TYPES, parameters: &[Some(&missing)] },
        Query { sql: queries::MODIFIED_TYPES, parameters: &[Some(&oids), Some(&modifiers)] },
    ];
    let answers =
        session.query_all(&asked, &LIMITS).await.map_err(TargetDatabases::read_failure)?;
    let [others, modified] =
        <[Vec<RawRow>; 2]>::try_from(answers).map_err(|_| unreadable(Unreadable))?;
    let search_path = draft.catalog.search_path.clone();
    draft.types.add(&others, &search_path, false).map_err(unreadable)?;
    draft.types.add_modified(&modified).map_err(unreadable)
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
