//! The walk over the whole tree. Each kind of node is named; one that is not named is refused.
//!
//! Recursion is bounded: reading the tree stops at a hundred messages within messages (see [`crate::parse`]).

mod calls;
mod columns;
mod expressions;
mod json;
mod policed;
mod said;
mod select;
mod sources;
mod types;
mod writes;

use std::collections::{BTreeSet, HashSet};

use pg_query::NodeEnum;
use pg_query::protobuf::{Node, SelectStmt};

use crate::facts::{Facts, RelationId};
use crate::policy::{Cut, Policing, Use};
use crate::rejection::{Rejection, Rule};

pub(crate) use self::said::{ColumnUse, Said};
pub(crate) use self::writes::{Procedures, Target};

/// The most tables, views, functions, subqueries and uses of WITH names in FROM clauses, all together. The planner's
/// work grows with their number before any time limit is looked at.
const MAX_SOURCES: usize = 100;

/// Whose text is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A caller's: relations must be allowed.
    Statement {
        /// How many parameters are bound.
        parameters: usize,
    },
    /// A view's: its owner chose the relations, and they are only noted; the code that it runs is judged all the same.
    View {
        /// How many views stand around it.
        depth: usize,
    },
}

/// What a walk has found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Relations named in the text.
    pub(crate) named: BTreeSet<RelationId>,
    /// Relations read, those of views included, views themselves excepted.
    pub(crate) reads: BTreeSet<RelationId>,
    /// Whether a view's text reads system catalogs.
    pub(crate) reads_catalog: bool,
    /// Byte offsets in the text at which `pg_catalog.` must be put, so that the built-in function is meant.
    pub(crate) qualify: Vec<usize>,
    /// Where relations with policies stand that have to be replaced.
    pub(crate) uses: Vec<Use>,
    /// Where such a relation's schema stands before a column.
    pub(crate) cuts: Vec<Cut>,
    /// How many of [`Police::places`] were found.
    pub(crate) replaced: usize,
    /// What the text itself says; empty unless it was asked for.
    pub(crate) said: Said,
}

/// Who sees what of the relations that a statement names.
#[derive(Clone, Copy)]
pub(crate) struct Police<'a> {
    pub(crate) policing: &'a Policing,
    /// In a rewritten statement, where relations with policies may stand: within what was put there. `None` before.
    pub(crate) places: Option<&'a HashSet<i32>>,
}

pub(crate) struct Walker<'a> {
    facts: &'a Facts,
    text: &'a str,
    mode: Mode,
    /// `None` in a view's text: what a view shows is judged as a whole.
    police: Option<Police<'a>>,
    findings: Findings,
    /// Whether [`Findings::said`] is wanted.
    listens: bool,
    /// Whether it is a statement that writes, in which `DEFAULT` may stand for a value.
    writes: bool,
    /// The WITH clauses in scope, innermost last.
    ctes: Vec<Vec<Cte<'a>>>,
    /// The FROM items in scope, one level for each SELECT, innermost last.
    levels: Vec<Vec<Source<'a>>>,
    /// Names that the text gives to columns and sources.
    names: HashSet<&'a str>,
    /// Casts of what is no literal to types to which the database has casts of its own.
    casts: Vec<Cast<'a>>,
    /// The database's own types that the text names.
    types: HashSet<&'a str>,
    sources: usize,
}

/// A name that WITH gives.
#[derive(Clone, Copy)]
struct Cte<'a> {
    name: &'a str,
    columns: Columns<'a>,
}

/// Something in FROM, under the name by which columns refer to it.
struct Source<'a> {
    name: &'a str,
    columns: Columns<'a>,
}

/// What is known of a source's columns.
#[derive(Clone, Copy)]
enum Columns<'a> {
    /// Those of that relation.
    Relation(RelationId),
    /// Those of that query.
    Select(&'a SelectStmt),
    /// It is a row, with columns that are not known.
    Row,
    /// Perhaps it is no row at all: `unnest(…) AS x` makes `x` a single value.
    Value,
}

/// A cast that may run a function.
#[derive(Clone, Copy)]
struct Cast<'a> {
    /// The type's internal name.
    target: &'a str,
    /// Whether the value comes out of JSON, and so is of a built-in type.
    of_json: bool,
    location: i32,
}

/// A possibly qualified name.
#[derive(Clone, Copy)]
struct Name<'a> {
    schema: Option<&'a str>,
    name: &'a str,
}

impl<'a> Walker<'a> {
    /// Walks a statement to its end.
    ///
    /// # Errors
    ///
    /// The first thing that may not be.
    pub(crate) fn walk(
        facts: &'a Facts,
        text: &'a str,
        mode: Mode,
        police: Option<Police<'a>>,
        select: &'a SelectStmt,
    ) -> Result<Findings, Rejection> {
        Self::walk_through(facts, text, mode, police, select, false)
    }

    /// The same for a caller's text, with what it says: its names and constants.
    ///
    /// # Errors
    ///
    /// As for [`Walker::walk`].
    pub(crate) fn listen(
        facts: &'a Facts,
        text: &'a str,
        police: Police<'a>,
        select: &'a SelectStmt,
    ) -> Result<Findings, Rejection> {
        let mode = Mode::Statement { parameters: 0 };
        Self::walk_through(facts, text, mode, Some(police), select, true)
    }

    fn walk_through(
        facts: &'a Facts,
        text: &'a str,
        mode: Mode,
        police: Option<Police<'a>>,
        select: &'a SelectStmt,
        listens: bool,
    ) -> Result<Findings, Rejection> {
        let mut walker = Self::new(facts, text, mode, police);
        walker.listens = listens;
        walker.select(select)?;
        walker.judge_casts()?;
        if listens {
            walker.findings.said.given = walker.names.iter().map(|it| (*it).to_owned()).collect();
        }
        Ok(walker.findings)
    }

    fn new(facts: &'a Facts, text: &'a str, mode: Mode, police: Option<Police<'a>>) -> Self {
        Self {
            facts,
            text,
            mode,
            police: police.filter(|it| !it.policing.is_empty()),
            findings: Findings::default(),
            listens: false,
            writes: false,
            ctes: Vec::new(),
            levels: Vec::new(),
            names: HashSet::new(),
            casts: Vec::new(),
            types: HashSet::new(),
            sources: 0,
        }
    }

    fn in_view(&self) -> bool {
        matches!(self.mode, Mode::View { .. })
    }

    fn refuse(&self, rule: Rule, message: impl Into<String>, location: i32) -> Rejection {
        Rejection::new(rule, message).at(self.text, location)
    }

    /// Refuses what this server's version does not have.
    fn since(&self, version: u32, what: &str, location: i32) -> Result<(), Rejection> {
        since(self.facts, version, what).map_err(|it| it.at(self.text, location))
    }

    /// Reads a name of one to three parts; three begin with the database.
    fn name(&self, parts: &'a [Node], location: i32) -> Result<Name<'a>, Rejection> {
        let mut strings = [""; 3];
        let unsupported = || {
            self.refuse(Rule::UnsupportedSyntax, "this form of a name is not supported", location)
        };
        if parts.is_empty() || parts.len() > 3 {
            return Err(unsupported());
        }
        for (to, part) in strings.iter_mut().zip(parts) {
            match &part.node {
                Some(NodeEnum::String(it)) => *to = it.sval.as_str(),
                _ => return Err(unsupported()),
            }
        }
        match (parts.len(), strings) {
            (1, [name, _, _]) => Ok(Name { schema: None, name }),
            (2, [schema, name, _]) => Ok(Name { schema: Some(schema), name }),
            (_, [database, schema, name]) => {
                self.database(database, location)?;
                Ok(Name { schema: Some(schema), name })
            }
        }
    }

    fn database(&self, database: &str, location: i32) -> Result<(), Rejection> {
        if database == self.facts.database {
            return Ok(());
        }
        let message = format!(
            "`{database}` is another database; a connection reads its own only. Leave the database's name out"
        );
        Err(self.refuse(Rule::OtherDatabase, message, location))
    }
}

/// Refuses what the server's version does not have: there, the same text can mean something else.
///
/// # Errors
///
/// A [`Rejection`] without a position if the server is older than `version`.
pub(crate) fn since(facts: &Facts, version: u32, what: &str) -> Result<(), Rejection> {
    if facts.server_version_num >= version {
        return Ok(());
    }
    let message = format!(
        "{what} needs PostgreSQL {}; this database runs {}",
        version / 10_000,
        facts.server_version_num / 10_000
    );
    Err(Rejection::new(Rule::UnsupportedByServer, message))
}

/// Whether the schema is one of the server's own.
fn is_system_schema(schema: &str) -> bool {
    schema == "information_schema" || schema.starts_with("pg_")
}
