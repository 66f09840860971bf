//! The judge of what a workflow's action writes over a write connection.

use std::collections::BTreeSet;

use plinth_connections::{AllowedTables, TableName};
use plinth_schema_introspect::{Catalog, FunctionKind};

use crate::facts::Facts;
use crate::parse::{Writing, parse_write};
use crate::policy::{Places, Policing, Restriction, rewrite};
use crate::rejection::{Rejection, Rule};
use crate::walk::{Findings, Police, Procedures, Target, Walker, since};

/// Judges statements that write: one INSERT, UPDATE or DELETE on a listed table, or one CALL of a listed procedure. What it
/// reads beside are listed tables too, and code of the database's own runs only where a listed table or procedure has it:
/// defaults, checks, triggers, and what the procedure does.
///
/// Whom a policy hides something from of a table that the statement names, is refused the statement.
pub struct WriteGuard {
    facts: Facts,
    policing: Policing,
    procedures: Procedures,
}

/// How a statement writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are statements of SQL")]
pub enum WriteKind {
    Insert,
    Update,
    Delete,
    Call,
}

impl WriteKind {
    /// Its name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Call => "call",
        }
    }
}

/// A statement that may be run over a write connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovedWrite {
    /// The text to run.
    pub sql: String,
    /// How it writes.
    pub kind: WriteKind,
    /// The table that is written, or the procedure that is called.
    pub target: TableName,
    /// The tables that are read beside; sorted, each once.
    pub reads: Vec<TableName>,
}

impl std::fmt::Debug for WriteGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriteGuard").field("database", &self.facts.database).finish_non_exhaustive()
    }
}

impl WriteGuard {
    /// Prepares to judge statements for a database as `catalog` has it: `tables` may be written and read, `procedures` may be
    /// called, and `restrictions` are the policies that bind the caller.
    pub fn new(
        catalog: &Catalog,
        tables: &BTreeSet<TableName>,
        procedures: &BTreeSet<TableName>,
        restrictions: &[Restriction],
    ) -> Self {
        let is_procedure = |it: &&plinth_schema_introspect::UserFunction| {
            it.kind == FunctionKind::Procedure && it.extension.is_none()
        };
        let known = catalog.functions.iter().filter(is_procedure);
        let known = known
            .map(|it| TableName { schema: it.schema.clone(), name: it.name.clone() })
            .collect();
        Self {
            facts: Facts::new(catalog, &AllowedTables::Listed(tables.clone())),
            policing: Policing::new(catalog, restrictions),
            procedures: Procedures { listed: procedures.clone(), known },
        }
    }

    /// Judges a statement in which `$1` to `$parameters` are bound.
    ///
    /// # Errors
    ///
    /// The first thing about it that may not be, see [`Rule`].
    pub fn check(&self, sql: &str, parameters: usize) -> Result<ApprovedWrite, Rejection> {
        let parsed = parse_write(sql)?;
        if let Some(offset) = parsed.new_number {
            since(&self.facts, 160_000, "a number with underscores or in base 2, 8 or 16")
                .map_err(|it| it.at(sql, offset))?;
        }
        if let Some(cast) = &self.facts.silent_cast {
            let message = format!(
                "this database converts {cast} by a function of its own without being asked, so that no statement can be \
                 judged; make the cast explicit, or its function immutable"
            );
            return Err(Rejection::new(Rule::CastNotAllowed, message));
        }
        let (findings, target) = self.walk(sql, parameters, &parsed.statement)?;
        if findings.qualify.is_empty() {
            return Ok(self.approve(
                sql[parsed.span].to_owned(),
                &parsed.statement,
                &findings,
                target,
            ));
        }
        let places = Places { uses: &[], cuts: &[], qualify: &findings.qualify };
        let new = rewrite(&self.policing, sql, &parsed.span, parameters, places)?.sql;
        // What is run is what was judged.
        let parsed = parse_write(&new)?;
        let (findings, target) = self.walk(&new, parameters, &parsed.statement)?;
        if !findings.qualify.is_empty() {
            return Err(Rejection::new(
                Rule::FunctionNotAllowed,
                "a call may mean a function of the database's own; write `pg_catalog.` before built-in functions",
            ));
        }
        Ok(self.approve(new[parsed.span].to_owned(), &parsed.statement, &findings, target))
    }

    fn walk(
        &self,
        sql: &str,
        parameters: usize,
        statement: &Writing,
    ) -> Result<(Findings, Target), Rejection> {
        let police = Police { policing: &self.policing, places: None };
        let walked =
            Walker::walk_write(&self.facts, sql, parameters, police, &self.procedures, statement)?;
        if let Some(hidden) = walked.0.uses.first() {
            let name = &self.facts.relations[hidden.relation].name;
            let message = format!(
                "a policy hides something of `{name}` from the workflow's owner, so that no statement of theirs may write \
                 by it; somebody whom no policy binds there has to publish the workflow"
            );
            return Err(Rejection::new(Rule::PolicyUnsupported, message).about(name.to_string()));
        }
        Ok(walked)
    }

    fn approve(
        &self,
        sql: String,
        statement: &Writing,
        findings: &Findings,
        target: Target,
    ) -> ApprovedWrite {
        let mut reads: Vec<TableName> =
            findings.reads.iter().map(|id| self.facts.relations[*id].name.clone()).collect();
        reads.sort();
        let kind = match statement {
            Writing::Insert(_) => WriteKind::Insert,
            Writing::Update(_) => WriteKind::Update,
            Writing::Delete(_) => WriteKind::Delete,
            Writing::Call(_) => WriteKind::Call,
        };
        let target = match target {
            Target::Relation(id) => self.facts.relations[id].name.clone(),
            Target::Procedure(name) => name,
        };
        ApprovedWrite { sql, kind, target, reads }
    }
}
