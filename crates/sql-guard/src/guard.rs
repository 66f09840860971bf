use plinth_connections::{AllowedTables, TableName};
use plinth_schema_introspect::Catalog;

use crate::facts::{Facts, RelationId};
use crate::parse::parse;
use crate::rejection::{Rejection, Rule};
use crate::walk::{Findings, Mode, Walker, since};

/// Judges statements against one snapshot of a catalog and one list of allowed tables.
///
/// Making one goes through the whole catalog (about a microsecond for each column); checking a statement looks names up
/// only. Make it once for a snapshot and share it.
pub struct Guard {
    facts: Facts,
}

/// A statement that may be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    /// The text to run: the caller's statement without comments, blanks and semicolons around it, and with
    /// `pg_catalog.` before calls that could else mean a function of the database's own.
    pub sql: String,
    /// The tables that are read, also through views; sorted, each once. Materialized views and foreign tables are tables
    /// here.
    pub relations: Vec<TableName>,
    /// The relations that the statement itself names, views among them; sorted, each once.
    pub named: Vec<TableName>,
    /// Whether a listed view shows catalogs of the server.
    pub reads_catalog: bool,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard")
            .field("database", &self.facts.database)
            .field("relations", &self.facts.relations.len())
            .finish_non_exhaustive()
    }
}

impl Guard {
    /// Prepares to judge statements for a database as `catalog` has it, of which `allowed` may be read.
    pub fn new(catalog: &Catalog, allowed: &AllowedTables) -> Self {
        Self { facts: Facts::new(catalog, allowed) }
    }

    /// Judges a statement without parameters.
    ///
    /// # Errors
    ///
    /// The first thing about it that may not be, see [`Rule`].
    pub fn check(&self, sql: &str) -> Result<Approved, Rejection> {
        self.check_with_params(sql, 0)
    }

    /// Judges a statement in which `$1` to `$parameters` are bound.
    ///
    /// # Errors
    ///
    /// The first thing about it that may not be, see [`Rule`].
    pub fn check_with_params(&self, sql: &str, parameters: usize) -> Result<Approved, Rejection> {
        let parsed = parse(sql)?;
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
        let findings =
            Walker::walk(&self.facts, sql, Mode::Statement { parameters }, &parsed.select)?;
        drop(parsed.select);
        if findings.qualify.is_empty() {
            return Ok(self.approve(sql[parsed.span].to_owned(), &findings));
        }
        let qualified = qualify(sql, &parsed.span, &findings.qualify);
        // What is run is what was judged: the new text is judged like any other, and may not need another change.
        let parsed = parse(&qualified)?;
        let findings =
            Walker::walk(&self.facts, &qualified, Mode::Statement { parameters }, &parsed.select)?;
        if !findings.qualify.is_empty() {
            return Err(Rejection::new(
                Rule::FunctionNotAllowed,
                "a call may mean a function of the database's own; write `pg_catalog.` before built-in functions",
            ));
        }
        Ok(self.approve(qualified, &findings))
    }

    fn approve(&self, sql: String, findings: &Findings) -> Approved {
        let names = |ids: &std::collections::BTreeSet<RelationId>| {
            let mut names: Vec<TableName> =
                ids.iter().map(|id| self.facts.relations[*id].name.clone()).collect();
            names.sort();
            names
        };
        Approved {
            sql,
            relations: names(&findings.reads),
            named: names(&findings.named),
            reads_catalog: findings.reads_catalog,
        }
    }
}

/// The statement with `pg_catalog.` at those places.
fn qualify(sql: &str, span: &std::ops::Range<usize>, places: &[usize]) -> String {
    let mut places = places.to_vec();
    places.sort_unstable();
    places.dedup();
    let mut qualified = String::with_capacity(span.len() + places.len() * 11);
    let mut from = span.start;
    for place in places {
        qualified.push_str(&sql[from..place]);
        qualified.push_str("pg_catalog.");
        from = place;
    }
    qualified.push_str(&sql[from..span.end]);
    qualified
}
