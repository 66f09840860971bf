//! What stands in FROM.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    Alias, ColumnDef, JoinExpr, Node, RangeFunction, RangeSubselect, RangeTableFunc,
    RangeTableSample, RangeVar,
};
use plinth_schema_introspect::RelationKind;

use super::{Columns, MAX_SOURCES, Mode, Source, Walker, is_system_schema};
use crate::facts::{Access, RelationId};
use crate::near::near_names;
use crate::rejection::{Rejection, Rule};
use crate::views::judge;

impl<'a> Walker<'a> {
    pub(super) fn source_item(&mut self, node: &'a Node) -> Result<(), Rejection> {
        if !matches!(node.node, Some(NodeEnum::JoinExpr(_))) {
            self.sources += 1;
        }
        if self.sources > MAX_SOURCES {
            let message =
                format!("the statement reads from more than {MAX_SOURCES} sources; split it");
            return Err(Rejection::new(Rule::TooComplex, message));
        }
        match &node.node {
            Some(NodeEnum::RangeVar(it)) => self.range_var(it),
            Some(NodeEnum::JoinExpr(it)) => self.join(it),
            Some(NodeEnum::RangeSubselect(it)) => self.derived_table(it),
            Some(NodeEnum::RangeFunction(it)) => self.function_source(it),
            Some(NodeEnum::RangeTableSample(it)) => self.sample(it),
            Some(NodeEnum::RangeTableFunc(it)) => self.xml_table(it),
            Some(NodeEnum::JsonTable(it)) => self.json_table(it),
            _ => Err(Rejection::new(
                Rule::UnsupportedSyntax,
                "this kind of FROM item is not supported",
            )),
        }
    }

    fn range_var(&mut self, var: &'a RangeVar) -> Result<(), Rejection> {
        let columns = match self.cte(var) {
            Some(columns) => columns,
            None => match self.resolve(var)? {
                Some(id) => {
                    self.reach(id, var)?;
                    Columns::Relation(id)
                }
                None => Columns::Row,
            },
        };
        self.push(var.alias.as_ref(), Some(&var.relname), columns);
        Ok(())
    }

    /// An unqualified name means the innermost WITH name before any table.
    fn cte(&self, var: &RangeVar) -> Option<Columns<'a>> {
        if !var.schemaname.is_empty() || !var.catalogname.is_empty() {
            return None;
        }
        let mut scopes = self.ctes.iter().rev();
        scopes
            .find_map(|scope| scope.iter().rev().find(|it| it.name == var.relname))
            .map(|it| it.columns)
    }

    /// The relation that a name means; `None` for a system catalog in a view's text.
    pub(super) fn resolve(&mut self, var: &'a RangeVar) -> Result<Option<RelationId>, Rejection> {
        if !var.catalogname.is_empty() {
            self.database(&var.catalogname, var.location)?;
        }
        let schema = (!var.schemaname.is_empty()).then_some(var.schemaname.as_str());
        let written =
            schema.map_or_else(|| var.relname.clone(), |it| format!("{it}.{}", var.relname));
        // `pg_catalog` is searched first, and everything in it is named `pg_…`.
        if schema.map_or_else(|| var.relname.starts_with("pg_"), is_system_schema) {
            if self.in_view() {
                self.findings.reads_catalog = true;
                return Ok(None);
            }
            let message = format!(
                "`{written}` is one of the server's own catalogs, which cannot be read here; the schema of a \
                 connection tells what tables and columns there are"
            );
            return Err(self.refuse(Rule::SystemCatalog, message, var.location).about(written));
        }
        match self.facts.relation(schema, &var.relname) {
            Some(id) => Ok(Some(id)),
            None if self.in_view() => Err(Rejection::new(
                Rule::UnsafeView,
                "it reads something that cannot be looked through",
            )),
            None => {
                let near = near_names(self.facts, &var.relname);
                let mut message = format!("there is no table or view `{written}`");
                if near.is_empty() {
                    message.push_str("; if it is new, refresh the connection's schema");
                } else {
                    message.push_str("; did you mean ");
                    message.push_str(&near.join(" or "));
                    message.push('?');
                }
                let mut rejection =
                    self.refuse(Rule::UnknownTable, message, var.location).about(written);
                rejection.near = near;
                Err(rejection)
            }
        }
    }

    /// Checks that a relation may be read with all that comes with it, and notes what that is.
    fn reach(&mut self, id: RelationId, var: &'a RangeVar) -> Result<(), Rejection> {
        let facts = self.facts;
        let relation = &facts.relations[id];
        let depth = match self.mode {
            Mode::Statement { .. } => {
                let why = match relation.access {
                    Access::Allowed => None,
                    Access::Unlisted => {
                        Some("is not among the tables that this connection may read")
                    }
                    Access::Unreadable => {
                        Some("may not be read by the role with which this connection logs in")
                    }
                };
                if let Some(why) = why {
                    let message =
                        format!("`{}` {why}; ask whoever manages the connection", relation.name);
                    return Err(self
                        .refuse(Rule::TableNotAllowed, message, var.location)
                        .about(relation.name.to_string()));
                }
                0
            }
            Mode::View { depth } => depth,
        };
        if let Some(source) = &relation.silently_cast {
            let message = format!(
                "`{}` cannot be read: the database converts its values of the type `{source}` by a function of its own \
                 without being asked; make the cast explicit, or its function immutable",
                relation.name
            );
            return Err(self.refuse(Rule::CastNotAllowed, message, var.location));
        }
        self.police(id, var)?;
        self.findings.named.insert(id);
        if relation.kind == RelationKind::View {
            let reads = match judge(facts, id, depth) {
                Ok(reads) => reads,
                Err(why) => {
                    let message = format!("the view `{}` cannot be read: {why}", relation.name);
                    return Err(self
                        .refuse(Rule::UnsafeView, message, var.location)
                        .about(relation.name.to_string()));
                }
            };
            self.findings.reads.extend(reads.relations.iter().copied());
            self.findings.reads_catalog |= reads.catalog;
            if reads.catalog && facts.all_allowed && !self.in_view() {
                let message = format!(
                    "the view `{}` shows the server's own catalogs; it can be read when it is listed among the \
                     connection's tables",
                    relation.name
                );
                return Err(self
                    .refuse(Rule::UnsafeView, message, var.location)
                    .about(relation.name.to_string()));
            }
            return Ok(());
        }
        self.findings.reads.insert(id);
        if var.inh && !relation.children.is_empty() {
            self.descendants(id, var)?;
        }
        Ok(())
    }

    /// Reading a table reads the tables that inherit from it, without asking for a right to them.
    fn descendants(&mut self, id: RelationId, var: &'a RangeVar) -> Result<(), Rejection> {
        let facts = self.facts;
        let mut open = facts.relations[id].children.clone();
        let mut seen = std::collections::BTreeSet::new();
        while let Some(child) = open.pop() {
            if !seen.insert(child) {
                continue;
            }
            let relation = &facts.relations[child];
            if relation.access != Access::Allowed && !self.in_view() {
                let parent = &facts.relations[id].name;
                let message = format!(
                    "reading `{parent}` would also show rows of a table that inherits from it and may not be read; \
                     write `FROM ONLY {parent}`"
                );
                return Err(self
                    .refuse(Rule::InheritedTables, message, var.location)
                    .about(parent.to_string()));
            }
            open.extend(&relation.children);
        }
        Ok(())
    }

    fn join(&mut self, join: &'a JoinExpr) -> Result<(), Rejection> {
        let before = self.levels.last().map_or(0, Vec::len);
        self.hear_join(join);
        for side in [&join.larg, &join.rarg] {
            let Some(side) = side else {
                return Err(Rejection::new(
                    Rule::UnsupportedSyntax,
                    "this kind of join is not supported",
                ));
            };
            self.source_item(side)?;
        }
        if join.is_natural || !join.using_clause.is_empty() {
            self.operator_named("=", -1)?;
        }
        self.optional(join.quals.as_deref())?;
        if let Some(alias) = &join.alias {
            // From outside, the sources within are not seen by their own names any more.
            if let Some(level) = self.levels.last_mut() {
                level.truncate(before);
            }
            self.push(Some(alias), None, Columns::Row);
        }
        if let Some(alias) = &join.join_using_alias {
            self.since(140_000, "an alias for JOIN … USING", -1)?;
            self.push(Some(alias), None, Columns::Row);
        }
        Ok(())
    }

    fn derived_table(&mut self, it: &'a RangeSubselect) -> Result<(), Rejection> {
        if it.alias.is_none() {
            self.since(160_000, "a subquery in FROM without an alias", -1)?;
        }
        if it.lateral {
            self.subquery(it.subquery.as_deref())?;
        } else {
            // Without LATERAL its neighbours are not seen from inside.
            let neighbours = self.levels.last_mut().map(std::mem::take);
            self.subquery(it.subquery.as_deref())?;
            if let (Some(level), Some(neighbours)) = (self.levels.last_mut(), neighbours) {
                *level = neighbours;
            }
        }
        let columns = match it.subquery.as_ref().and_then(|it| it.node.as_ref()) {
            Some(NodeEnum::SelectStmt(select)) => Columns::Select(select),
            _ => Columns::Row,
        };
        self.push(it.alias.as_ref(), None, columns);
        Ok(())
    }

    /// `FROM f(…)` and `FROM ROWS FROM (f(…) AS (…), …)`: each item is a pair of call and column definitions.
    fn function_source(&mut self, it: &'a RangeFunction) -> Result<(), Rejection> {
        let mut called = None;
        for function in &it.functions {
            let Some(NodeEnum::List(pair)) = &function.node else {
                return Err(Rejection::new(
                    Rule::UnsupportedSyntax,
                    "this kind of function in FROM is not supported",
                ));
            };
            for part in &pair.items {
                match &part.node {
                    Some(NodeEnum::List(definitions)) => {
                        self.column_definitions(&definitions.items)?;
                    }
                    Some(NodeEnum::FuncCall(call)) => {
                        called = call.funcname.last();
                        self.expression(part)?;
                    }
                    Some(_) => self.expression(part)?,
                    None => {}
                }
            }
        }
        self.column_definitions(&it.coldeflist)?;
        let name = match called.and_then(|it| it.node.as_ref()) {
            Some(NodeEnum::String(name)) if !it.is_rowsfrom => Some(name.sval.as_str()),
            _ => None,
        };
        self.push(it.alias.as_ref(), name, Columns::Value);
        Ok(())
    }

    fn column_definitions(&mut self, nodes: &'a [Node]) -> Result<(), Rejection> {
        for node in nodes {
            let Some(NodeEnum::ColumnDef(column)) = &node.node else {
                return Err(Rejection::new(
                    Rule::UnsupportedSyntax,
                    "this kind of column definition is not supported",
                ));
            };
            self.column_definition(column)?;
        }
        Ok(())
    }

    fn column_definition(&mut self, column: &'a ColumnDef) -> Result<(), Rejection> {
        let plain = column.raw_default.is_none()
            && column.cooked_default.is_none()
            && column.constraints.is_empty()
            && column.fdwoptions.is_empty()
            && column.identity_sequence.is_none();
        let Some(type_name) = column.type_name.as_ref().filter(|_| plain) else {
            return Err(self.refuse(
                Rule::UnsupportedSyntax,
                "this kind of column definition is not supported",
                column.location,
            ));
        };
        self.names.insert(&column.colname);
        self.type_name(type_name, column.location)
    }

    fn sample(&mut self, it: &'a RangeTableSample) -> Result<(), Rejection> {
        let method = self.name(&it.method, it.location)?;
        let known = matches!(method.schema, None | Some("pg_catalog"))
            && matches!(method.name, "system" | "bernoulli");
        if !known {
            let message = format!(
                "the sampling method `{}` is not supported; use SYSTEM or BERNOULLI",
                method.name
            );
            return Err(self.refuse(Rule::SamplingMethod, message, it.location));
        }
        let Some(relation) = &it.relation else {
            return Err(self.refuse(
                Rule::UnsupportedSyntax,
                "there is nothing to sample",
                it.location,
            ));
        };
        let before = self.findings.uses.len();
        self.source_item(relation)?;
        if self.findings.uses.len() > before {
            let message = "a policy limits what you see of this table, and a sample is taken before it could; leave TABLESAMPLE out";
            return Err(self.refuse(Rule::PolicyUnsupported, message, it.location));
        }
        self.expressions(&it.args)?;
        self.optional(it.repeatable.as_deref())
    }

    fn xml_table(&mut self, it: &'a RangeTableFunc) -> Result<(), Rejection> {
        self.no_xml_literal(it.docexpr.as_deref())?;
        self.optional(it.docexpr.as_deref())?;
        self.optional(it.rowexpr.as_deref())?;
        self.expressions(&it.namespaces)?;
        for node in &it.columns {
            let Some(NodeEnum::RangeTableFuncCol(column)) = &node.node else {
                return Err(self.refuse(
                    Rule::UnsupportedSyntax,
                    "this kind of XMLTABLE column is not supported",
                    it.location,
                ));
            };
            self.names.insert(&column.colname);
            if let Some(type_name) = &column.type_name {
                self.xml_column_type(type_name, column.location)?;
            }
            self.optional(column.colexpr.as_deref())?;
            self.optional(column.coldefexpr.as_deref())?;
        }
        self.push(it.alias.as_ref(), Some("xmltable"), Columns::Row);
        Ok(())
    }

    /// Enters a source into the innermost level, under its alias if it has one.
    pub(super) fn push(
        &mut self,
        alias: Option<&'a Alias>,
        name: Option<&'a str>,
        columns: Columns<'a>,
    ) {
        let columns = match (alias, columns) {
            (Some(alias), Columns::Relation(_) | Columns::Select(_))
                if !alias.colnames.is_empty() =>
            {
                Columns::Row
            }
            (_, columns) => columns,
        };
        if let Some(alias) = alias {
            self.note_names(&alias.colnames);
        }
        let name = alias.map(|it| it.aliasname.as_str()).or(name).unwrap_or_default();
        self.hear_source(name, alias, columns);
        // A function's single column is named after its alias.
        if matches!(columns, Columns::Value) {
            self.names.insert(name);
        }
        if let Some(level) = self.levels.last_mut() {
            level.push(Source { name, columns });
        }
    }

    pub(super) fn note_names(&mut self, nodes: &'a [Node]) {
        for node in nodes {
            if let Some(NodeEnum::String(name)) = &node.node {
                self.names.insert(&name.sval);
            }
        }
    }
}
