//! Columns and fields, and what only looks like one: see [`crate::lists::attributes`].

use pg_query::NodeEnum;
use pg_query::protobuf::{AIndirection, ColumnRef, Node, SelectStmt};

use super::{Columns, Walker};
use crate::lists::attributes;
use crate::rejection::{Rejection, Rule};

impl<'a> Walker<'a> {
    pub(super) fn column(&mut self, column: &'a ColumnRef) -> Result<(), Rejection> {
        let mut strings = [""; 4];
        let mut count = 0;
        for (at, field) in column.fields.iter().enumerate() {
            match &field.node {
                Some(NodeEnum::String(name)) if at < strings.len() => {
                    strings[at] = &name.sval;
                    count = at + 1;
                }
                // `x.*`; the grammar lets it stand at the end only.
                Some(NodeEnum::AStar(_)) if at + 1 == column.fields.len() => {}
                _ => {
                    return Err(self.refuse(
                        Rule::UnsupportedSyntax,
                        "this form of a column's name is not supported",
                        column.location,
                    ));
                }
            }
        }
        if count == 4 {
            self.database(strings[0], column.location)?;
        }
        let is_star = count < column.fields.len();
        self.police_column(
            &strings[..if is_star { count } else { count.saturating_sub(1) }],
            column,
        );
        self.hear_column(&strings[..count], is_star, column.location);
        if is_star || count == 0 {
            return Ok(());
        }
        let name = strings[count - 1];
        if count < 2 {
            return Ok(());
        }
        match self.source(strings[count - 2]) {
            // A row's field goes before a function; and a built-in function takes no row for anything else.
            Some(Columns::Relation(_) | Columns::Select(_) | Columns::Row)
                if !self.facts.is_function_like(name) =>
            {
                Ok(())
            }
            Some(columns) if self.has_column(columns, name) => Ok(()),
            _ => self.attribute(name, false, column.location),
        }
    }

    /// The innermost source of that name; of two at the same level the one that proves less.
    fn source(&self, name: &str) -> Option<Columns<'a>> {
        for level in self.levels.iter().rev() {
            let mut found = level.iter().filter(|it| it.name == name).map(|it| it.columns);
            match (found.next(), found.next()) {
                (None, _) => {}
                (Some(only), None) => return Some(only),
                (Some(_), Some(_)) => return Some(Columns::Row),
            }
        }
        None
    }

    /// Whether the source surely has a column of that name.
    fn has_column(&self, columns: Columns<'a>, name: &str) -> bool {
        match columns {
            Columns::Relation(id) => {
                let relation = &self.facts.relations[id];
                relation.attribute_columns.iter().any(|it| it == name)
            }
            Columns::Select(select) => selects(select, name),
            Columns::Row | Columns::Value => false,
        }
    }

    /// `(value).field`, `(value)[1]` and any chain of them.
    pub(super) fn indirection(&mut self, it: &'a AIndirection) -> Result<(), Rejection> {
        let location = it.arg.as_deref().map_or(-1, location_of);
        self.optional(it.arg.as_deref())?;
        let mut holds_rows = it.arg.as_deref().is_some_and(|arg| self.holds_rows(arg));
        for (at, part) in it.indirection.iter().enumerate() {
            match &part.node {
                Some(NodeEnum::String(field)) => {
                    let name = field.sval.as_str();
                    let proven =
                        at == 0 && it.arg.as_deref().is_some_and(|arg| self.is_field_of(arg, name));
                    if !proven {
                        self.attribute(name, holds_rows, location)?;
                    }
                    holds_rows |= self.facts.holds_rows(name);
                }
                Some(NodeEnum::AIndices(indices)) => {
                    self.optional(indices.lidx.as_deref())?;
                    self.optional(indices.uidx.as_deref())?;
                }
                Some(NodeEnum::AStar(_)) => {}
                _ => {
                    return Err(self.refuse(
                        Rule::UnsupportedSyntax,
                        "this form of a subscript is not supported",
                        location,
                    ));
                }
            }
        }
        Ok(())
    }

    /// Whether `(node).name` surely selects a column of a source.
    fn is_field_of(&self, node: &'a Node, name: &str) -> bool {
        let Some(NodeEnum::ColumnRef(column)) = &node.node else { return false };
        let [source] = column.fields.as_slice() else { return false };
        let Some(NodeEnum::String(source)) = &source.node else { return false };
        // A column goes before a source of the same name, so no source may have one.
        if self.facts.is_column(&source.sval) || self.names.contains(source.sval.as_str()) {
            return false;
        }
        self.source(&source.sval).is_some_and(|columns| self.has_column(columns, name))
    }

    fn holds_rows(&self, node: &Node) -> bool {
        match &node.node {
            Some(NodeEnum::ColumnRef(column)) => {
                match column.fields.last().and_then(|it| it.node.as_ref()) {
                    Some(NodeEnum::String(name)) => {
                        self.facts.holds_rows(&name.sval)
                            || (column.fields.len() == 1
                                && matches!(
                                    self.source(&name.sval),
                                    Some(Columns::Relation(_) | Columns::Select(_) | Columns::Row)
                                ))
                    }
                    _ => false,
                }
            }
            Some(NodeEnum::AIndirection(inner)) => {
                inner.arg.as_deref().is_some_and(|arg| self.holds_rows(arg))
            }
            _ => false,
        }
    }

    /// A name after a dot that is not proven to be a column's.
    fn attribute(&self, name: &str, of_row: bool, location: i32) -> Result<(), Rejection> {
        let own = self.facts.is_function_like(name);
        let known = of_row
            || self.facts.has_builtin(name)
            || self.facts.is_column(name)
            || self.names.contains(name)
            || attributes::is_field(name);
        if !own && known && !attributes::is_forbidden(name) {
            return Ok(());
        }
        let message = format!(
            "`.{name}` may call a function of that name instead of selecting a field; write the column's name alone, \
             and give it a name of its own in the inner query where it comes from one"
        );
        Err(self.refuse(Rule::AttributeNotAllowed, message, location))
    }
}

/// Whether a query surely has an output column of that name: the names are those of a set operation's first arm.
fn selects(select: &SelectStmt, name: &str) -> bool {
    let mut arm = select;
    while let Some(left) = &arm.larg {
        arm = left;
    }
    arm.target_list.iter().any(|target| {
        let Some(NodeEnum::ResTarget(target)) = &target.node else { return false };
        if !target.name.is_empty() {
            return target.name == name;
        }
        match target.val.as_ref().and_then(|it| it.node.as_ref()) {
            Some(NodeEnum::ColumnRef(column)) => {
                matches!(column.fields.last().and_then(|it| it.node.as_ref()),
                    Some(NodeEnum::String(it)) if it.sval == name)
            }
            _ => false,
        }
    })
}

fn location_of(node: &Node) -> i32 {
    match &node.node {
        Some(NodeEnum::ColumnRef(it)) => it.location,
        Some(NodeEnum::FuncCall(it)) => it.location,
        Some(NodeEnum::AConst(it)) => it.location,
        Some(NodeEnum::TypeCast(it)) => it.arg.as_deref().map_or(it.location, location_of),
        Some(NodeEnum::RowExpr(it)) => it.location,
        _ => -1,
    }
}
