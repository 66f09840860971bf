//! Statements that write: one relation is written, all else is read.

use std::collections::BTreeSet;

use pg_query::NodeEnum;
use pg_query::protobuf::{
    CallStmt, DeleteStmt, InsertStmt, Node, OnConflictClause, RangeVar, ReturningClause,
    UpdateStmt, WithClause,
};
use plinth_connections::TableName;
use plinth_schema_introspect::RelationKind;

use super::{Columns, Findings, Mode, Police, Walker};
use crate::facts::{Access, Facts, RelationId};
use crate::parse::Writing;
use crate::rejection::{Rejection, Rule};

/// What a statement writes to.
pub(crate) enum Target {
    Relation(RelationId),
    Procedure(TableName),
}

/// Which procedures there are and may be called.
pub(crate) struct Procedures {
    /// Those on the list.
    pub(crate) listed: BTreeSet<TableName>,
    /// Those that the snapshot knows; what it does not know is nobody's to call.
    pub(crate) known: BTreeSet<TableName>,
}

impl<'a> Walker<'a> {
    /// Walks a statement that writes to its end.
    ///
    /// # Errors
    ///
    /// The first thing that may not be.
    pub(crate) fn walk_write(
        facts: &'a Facts,
        text: &'a str,
        parameters: usize,
        police: Police<'a>,
        procedures: &Procedures,
        statement: &'a Writing,
    ) -> Result<(Findings, Target), Rejection> {
        let mut walker = Self::new(facts, text, Mode::Statement { parameters }, Some(police));
        walker.writes = true;
        let target = match statement {
            Writing::Insert(it) => Target::Relation(walker.insert(it)?),
            Writing::Update(it) => Target::Relation(walker.update(it)?),
            Writing::Delete(it) => Target::Relation(walker.delete(it)?),
            Writing::Call(it) => Target::Procedure(walker.procedure(it, procedures)?),
        };
        walker.judge_casts()?;
        Ok((walker.findings, target))
    }

    fn insert(&mut self, it: &'a InsertStmt) -> Result<RelationId, Rejection> {
        no_returning(it.returning_clause.as_ref())?;
        let has_with = self.begin_with(it.with_clause.as_ref())?;
        let (target, var) = self.written(it.relation.as_ref(), false)?;
        for column in &it.cols {
            self.assigned(column)?;
        }
        // What is inserted does not see the table that it goes to.
        if it.select_stmt.is_some() {
            self.subquery(it.select_stmt.as_deref())?;
        }
        if let Some(conflict) = it.on_conflict_clause.as_deref() {
            self.levels.push(Vec::new());
            self.push(var.alias.as_ref(), Some(&var.relname), Columns::Relation(target));
            self.push(None, Some("excluded"), Columns::Relation(target));
            self.conflict(conflict)?;
            self.levels.pop();
        }
        self.end_with(has_with);
        Ok(target)
    }

    fn conflict(&mut self, it: &'a OnConflictClause) -> Result<(), Rejection> {
        if let Some(infer) = it.infer.as_deref() {
            for element in &infer.index_elems {
                let plain = match &element.node {
                    Some(NodeEnum::IndexElem(it)) => {
                        it.expr.is_none() && it.collation.is_empty() && it.opclass.is_empty()
                    }
                    _ => false,
                };
                if !plain {
                    return Err(self.refuse(
                        Rule::UnsupportedSyntax,
                        "ON CONFLICT takes names of columns, or ON CONSTRAINT",
                        infer.location,
                    ));
                }
            }
            self.optional(infer.where_clause.as_deref())?;
        }
        self.assignments(&it.target_list)?;
        self.optional(it.where_clause.as_deref())
    }

    fn update(&mut self, it: &'a UpdateStmt) -> Result<RelationId, Rejection> {
        no_returning(it.returning_clause.as_ref())?;
        let has_with = self.begin_with(it.with_clause.as_ref())?;
        let (target, var) = self.written(it.relation.as_ref(), true)?;
        self.levels.push(Vec::new());
        self.push(var.alias.as_ref(), Some(&var.relname), Columns::Relation(target));
        for item in &it.from_clause {
            self.source_item(item)?;
        }
        self.assignments(&it.target_list)?;
        self.chosen(it.where_clause.as_deref(), "UPDATE", var)?;
        self.levels.pop();
        self.end_with(has_with);
        Ok(target)
    }

    fn delete(&mut self, it: &'a DeleteStmt) -> Result<RelationId, Rejection> {
        no_returning(it.returning_clause.as_ref())?;
        let has_with = self.begin_with(it.with_clause.as_ref())?;
        let (target, var) = self.written(it.relation.as_ref(), true)?;
        self.levels.push(Vec::new());
        self.push(var.alias.as_ref(), Some(&var.relname), Columns::Relation(target));
        for item in &it.using_clause {
            self.source_item(item)?;
        }
        self.chosen(it.where_clause.as_deref(), "DELETE", var)?;
        self.levels.pop();
        self.end_with(has_with);
        Ok(target)
    }

    /// A procedure is code of the database's own: whoever listed it answers for what it does.
    fn procedure(
        &mut self,
        it: &'a CallStmt,
        procedures: &Procedures,
    ) -> Result<TableName, Rejection> {
        let call = it.funccall.as_deref().ok_or_else(|| {
            Rejection::new(Rule::UnsupportedSyntax, "this form of CALL is not supported")
        })?;
        let plain = call.agg_order.is_empty()
            && call.agg_filter.is_none()
            && call.over.is_none()
            && !call.agg_star
            && !call.agg_distinct
            && !call.agg_within_group
            && !call.func_variadic;
        if !plain {
            return Err(self.refuse(
                Rule::UnsupportedSyntax,
                "this form of CALL is not supported",
                call.location,
            ));
        }
        let name = self.name(&call.funcname, call.location)?;
        let Some(schema) = name.schema else {
            return Err(self.refuse(
                Rule::ProcedureNotAllowed,
                format!("write the procedure's schema too, as in `CALL public.{}(…)`", name.name),
                call.location,
            ));
        };
        let found = TableName { schema: schema.to_owned(), name: name.name.to_owned() };
        if !procedures.listed.contains(&found) || !procedures.known.contains(&found) {
            let message = format!(
                "`{found}` is not among the procedures that this write connection may call; ask whoever manages it"
            );
            let refused = self.refuse(Rule::ProcedureNotAllowed, message, call.location);
            return Err(refused.about(found.to_string()));
        }
        self.levels.push(Vec::new());
        self.expressions(&call.args)?;
        self.levels.pop();
        Ok(found)
    }

    fn begin_with(&mut self, it: Option<&'a WithClause>) -> Result<bool, Rejection> {
        let Some(with) = it else { return Ok(false) };
        self.ctes.push(Vec::with_capacity(with.ctes.len()));
        self.with(with)?;
        Ok(true)
    }

    fn end_with(&mut self, has_with: bool) {
        if has_with {
            self.ctes.pop();
        }
    }

    /// The relation that is written: a table on the list, of which no policy hides anything from the caller. Nothing that a
    /// WITH clause names can be one.
    fn written(
        &mut self,
        var: Option<&'a RangeVar>,
        changes_rows: bool,
    ) -> Result<(RelationId, &'a RangeVar), Rejection> {
        let var = var.ok_or_else(|| {
            Rejection::new(Rule::UnsupportedSyntax, "the statement names no table")
        })?;
        let id = self.resolve(var)?.ok_or_else(|| {
            self.refuse(Rule::SystemCatalog, "a catalog cannot be written", var.location)
        })?;
        let facts = self.facts;
        let relation = &facts.relations[id];
        let name = relation.name.to_string();
        if relation.access == Access::Unlisted {
            let message = format!(
                "`{name}` is not among the tables that this write connection may write; ask whoever manages it"
            );
            return Err(self.refuse(Rule::TableNotAllowed, message, var.location).about(name));
        }
        if !matches!(relation.kind, RelationKind::Table | RelationKind::PartitionedTable) {
            let message = format!("`{name}` is no table; only tables are written");
            return Err(self.refuse(Rule::TableNotAllowed, message, var.location).about(name));
        }
        if let Some(source) = &relation.silently_cast {
            let message = format!(
                "`{name}` cannot be written: the database converts its values of the type `{source}` by a function of \
                 its own without being asked"
            );
            return Err(self.refuse(Rule::CastNotAllowed, message, var.location));
        }
        self.police(id, var)?;
        if changes_rows && var.inh {
            self.written_children(id, var)?;
        }
        self.findings.named.insert(id);
        Ok((id, var))
    }

    /// Changing rows of a table changes those of the tables that inherit from it.
    fn written_children(&self, id: RelationId, var: &RangeVar) -> Result<(), Rejection> {
        let facts = self.facts;
        let mut open = facts.relations[id].children.clone();
        let mut seen = BTreeSet::new();
        while let Some(child) = open.pop() {
            if !seen.insert(child) {
                continue;
            }
            let relation = &facts.relations[child];
            let is_table = relation.kind != RelationKind::ForeignTable;
            if relation.access == Access::Unlisted || !is_table {
                let parent = &facts.relations[id].name;
                let message = format!(
                    "this would also change rows of `{}`, which inherits from `{parent}` and may not be written; write \
                     `ONLY {parent}`",
                    relation.name
                );
                return Err(self
                    .refuse(Rule::InheritedTables, message, var.location)
                    .about(parent.to_string()));
            }
            open.extend(&relation.children);
        }
        Ok(())
    }

    /// A column that gets a value.
    fn assigned(&self, node: &'a Node) -> Result<(), Rejection> {
        match &node.node {
            Some(NodeEnum::ResTarget(it)) if it.indirection.is_empty() => Ok(()),
            Some(NodeEnum::ResTarget(it)) => Err(self.refuse(
                Rule::UnsupportedSyntax,
                "only whole columns can be set, no fields or elements of them",
                it.location,
            )),
            _ => {
                Err(Rejection::new(Rule::UnsupportedSyntax, "this form of a column cannot be set"))
            }
        }
    }

    fn assignments(&mut self, nodes: &'a [Node]) -> Result<(), Rejection> {
        for node in nodes {
            self.assigned(node)?;
            if let Some(NodeEnum::ResTarget(it)) = &node.node {
                self.optional(it.val.as_deref())?;
            }
        }
        Ok(())
    }

    /// Which rows are meant has to be said, since to forget it is the dearest slip there is.
    fn chosen(
        &mut self,
        condition: Option<&'a Node>,
        what: &str,
        var: &RangeVar,
    ) -> Result<(), Rejection> {
        if condition.is_none() {
            let message = format!(
                "this {what} says nothing of which rows; add WHERE, or `WHERE true` if every row is meant"
            );
            return Err(self.refuse(Rule::MissingWhere, message, var.location));
        }
        self.optional(condition)
    }
}

fn no_returning(it: Option<&ReturningClause>) -> Result<(), Rejection> {
    if it.is_none() {
        return Ok(());
    }
    Err(Rejection::new(
        Rule::Returning,
        "RETURNING reads, and nothing here takes rows; remove it and read in a step",
    ))
}
