use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use plinth_connections::{AllowedTables, TableName};
use plinth_schema_introspect::{Catalog, RelationKind};

use crate::facts::{Access, Facts, RelationFacts, RelationId};
use crate::parse::parse;
use crate::policy::{Places, Policing, PolicyParameter, Restriction, rewrite};
use crate::rejection::{Rejection, Rule};
use crate::walk::{Findings, Mode, Police, Walker, since};

/// Judges statements against one snapshot of a catalog and one list of allowed tables.
///
/// Making one goes through the whole catalog (about a microsecond for each column); checking a statement looks names up
/// only. Make it once for a snapshot and share it.
pub struct Guard {
    pub(crate) facts: Facts,
    pub(crate) policing: Policing,
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
    /// What the parameters after the caller's own stand for, in order; empty where no policy needs any.
    pub bound: Vec<PolicyParameter>,
    /// The relations of which a policy hides something in this statement; sorted, each once.
    pub restricted: Vec<TableName>,
    /// What to ask the planner about where its estimates are told, or decide something: the same statement, put so that they
    /// do not depend on rows that are hidden. `None` if [`Approved::sql`] will do.
    pub for_estimates: Option<String>,
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
        Self::restricted(catalog, allowed, &[])
    }

    /// The same for callers to whom policies apply: statements are rewritten for what they may see, or refused.
    pub fn restricted(
        catalog: &Catalog,
        allowed: &AllowedTables,
        restrictions: &[Restriction],
    ) -> Self {
        let policing = Policing::new(catalog, restrictions);
        Self { facts: Facts::new(catalog, allowed), policing }
    }

    /// Why a relation is closed to these callers, as a statement that reads it would be told; `None` if it is not, or if
    /// there is none of that name.
    pub fn why_closed(&self, table: &TableName) -> Option<Rejection> {
        self.why_unreadable(table).filter(|it| it.rule == Rule::PolicyClosed)
    }

    /// Why a plain statement over a relation is refused, whatever else stands in it; `None` if it is not.
    pub fn why_unreadable(&self, table: &TableName) -> Option<Rejection> {
        let quoted = |it: &str| it.replace('"', "\"\"");
        let sql =
            format!("SELECT 1 FROM \"{}\".\"{}\"", quoted(&table.schema), quoted(&table.name));
        self.check(&sql).err()
    }

    /// The relations that list and role let these callers read, and which every plain statement over them is refused for all
    /// the same, each with what that would be told: views over code that is not known to be harmless, tables from which
    /// others inherit that may not be read, types that the database converts by itself, what a policy closes. Sorted as in
    /// the catalog; nothing where no statement over this database is let through at all.
    ///
    /// The first call looks through all views that may be read, some ten microseconds each.
    pub fn unreadable(&self) -> Vec<(TableName, Rejection)> {
        if self.facts.silent_cast.is_some() {
            return Vec::new();
        }
        // Every other table is let through, whatever stands in it, so that not all of a large schema are tried.
        let may_be_refused = |it: &RelationFacts| {
            matches!(it.kind, RelationKind::View | RelationKind::MaterializedView)
                || !it.children.is_empty()
                || it.silently_cast.is_some()
        };
        let own = self.facts.relations.iter().enumerate();
        own.filter(|(at, it)| {
            it.access == Access::Allowed && (may_be_refused(it) || self.policing.of(*at).is_some())
        })
        .filter_map(|(_, it)| Some((it.name.clone(), self.why_unreadable(&it.name)?)))
        // That the parser has no thread just now says nothing of the relation.
        .filter(|(_, why)| why.rule != Rule::Unavailable)
        .collect()
    }

    /// The catalog that this guard was made of, for whoever writes statements that it will judge: what is
    /// [unreadable](Self::unreadable) is marked as that. Copied only if there is any.
    pub fn askable<'a>(&self, catalog: &'a Catalog) -> Cow<'a, Catalog> {
        let unreadable = self.unreadable();
        if unreadable.is_empty() {
            return Cow::Borrowed(catalog);
        }
        let unreadable: HashSet<(&str, &str)> =
            unreadable.iter().map(|(it, _)| (it.schema.as_str(), it.name.as_str())).collect();
        let mut catalog = catalog.clone();
        for relation in &mut catalog.relations {
            if unreadable.contains(&(relation.schema.as_str(), relation.name.as_str())) {
                Arc::make_mut(relation).readable = false;
            }
        }
        Cow::Owned(catalog)
    }

    /// Judges a statement without parameters.
    ///
    /// # Errors
    ///
    /// The first thing about it that may not be, see [`Rule`].
    pub fn check(&self, sql: &str) -> Result<Approved, Rejection> {
        self.check_with_params(sql, 0)
    }

    /// Judges a statement without parameters that will be judged again before it runs: [`Approved::sql`] is the text as it
    /// was written where policies limit what it reads, since a rewritten one is not to be rewritten again.
    ///
    /// # Errors
    ///
    /// As for [`Guard::check`].
    pub fn check_as_written(&self, sql: &str) -> Result<Approved, Rejection> {
        let mut approved = self.check(sql)?;
        if !approved.restricted.is_empty() {
            sql.clone_into(&mut approved.sql);
            approved.bound.clear();
            approved.for_estimates = None;
        }
        Ok(approved)
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
        let mode = Mode::Statement { parameters };
        let police = Police { policing: &self.policing, places: None };
        let mut findings = Walker::walk(&self.facts, sql, mode, Some(police), &parsed.select)?;
        drop(parsed.select);
        if findings.qualify.is_empty() && findings.uses.is_empty() {
            return Ok(self.approve(sql[parsed.span].to_owned(), &findings));
        }
        let uses = std::mem::take(&mut findings.uses);
        // A schema before a column is in the way only of a table that was replaced.
        let cuts = if uses.is_empty() { Vec::new() } else { std::mem::take(&mut findings.cuts) };
        let places = Places { uses: &uses, cuts: &cuts, qualify: &findings.qualify };
        let rewritten = rewrite(&self.policing, sql, &parsed.span, parameters, places)?;
        // What is run is what was judged: the new text is judged like any other, and may not need another change.
        let new = parse(&rewritten.sql)?;
        let mode = Mode::Statement { parameters: parameters + rewritten.parameters.len() };
        let police = Police { policing: &self.policing, places: Some(&rewritten.places) };
        let findings = Walker::walk(&self.facts, &rewritten.sql, mode, Some(police), &new.select)?;
        if !findings.qualify.is_empty() {
            return Err(Rejection::new(
                Rule::FunctionNotAllowed,
                "a call may mean a function of the database's own; write `pg_catalog.` before built-in functions",
            ));
        }
        if findings.replaced != uses.len() || rewritten.places.len() != uses.len() {
            return Err(Rejection::new(
                Rule::PolicyUnsupported,
                "a policy limits what you see here, and the statement cannot be rewritten for it; write it more plainly",
            ));
        }
        let mut approved = self.approve(rewritten.sql, &findings);
        approved.bound = rewritten.parameters;
        approved.for_estimates = rewritten.for_estimates;
        approved.restricted =
            uses.iter().map(|it| self.facts.relations[it.relation].name.clone()).collect();
        approved.restricted.sort();
        approved.restricted.dedup();
        Ok(approved)
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
            bound: Vec::new(),
            restricted: Vec::new(),
            for_estimates: None,
        }
    }
}
