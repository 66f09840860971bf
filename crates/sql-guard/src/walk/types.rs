//! Types that are named: in casts, column definitions and RETURNING clauses.

use pg_query::NodeEnum;
use pg_query::protobuf::{Node, TypeCast, TypeName};

use super::{Name, Walker};
use crate::facts::{Access, Candidates};
use crate::lists::types;
use crate::rejection::{Rejection, Rule};

impl<'a> Walker<'a> {
    pub(super) fn cast(&mut self, cast: &'a TypeCast) -> Result<(), Rejection> {
        let Some(type_name) = &cast.type_name else {
            return Err(self.refuse(
                Rule::UnsupportedSyntax,
                "this cast is not supported",
                cast.location,
            ));
        };
        let name = self.judge_type(type_name, cast.location, false)?;
        // A literal becomes a value by its type's input function, and no cast is looked for.
        if self.facts.cast_is_unsafe(name.name) && !cast.arg.as_deref().is_some_and(is_literal) {
            return Err(self.cast_refused(name.name, type_name.location));
        }
        Ok(())
    }

    /// A type where no value is cast to it.
    pub(super) fn type_name(&mut self, it: &'a TypeName, location: i32) -> Result<(), Rejection> {
        let name = self.judge_type(it, location, false)?;
        if self.facts.cast_is_unsafe(name.name) {
            return Err(self.cast_refused(name.name, location));
        }
        Ok(())
    }

    /// The type of an XMLTABLE column: its values come from a document that is XML already.
    pub(super) fn xml_column_type(
        &mut self,
        it: &'a TypeName,
        location: i32,
    ) -> Result<(), Rejection> {
        self.judge_type(it, location, true).map(|_| ())
    }

    fn judge_type(
        &mut self,
        it: &'a TypeName,
        location: i32,
        from_xml: bool,
    ) -> Result<Name<'a>, Rejection> {
        let location = if it.location >= 0 { it.location } else { location };
        if it.setof || it.pct_type {
            return Err(self.refuse(
                Rule::UnsupportedSyntax,
                "this form of a type is not supported",
                location,
            ));
        }
        for modifier in &it.typmods {
            match &modifier.node {
                Some(NodeEnum::AConst(_) | NodeEnum::ColumnRef(_)) => {}
                _ => {
                    return Err(self.refuse(
                        Rule::UnsupportedSyntax,
                        "a type's modifiers must be constants",
                        location,
                    ));
                }
            }
        }
        let name = self.name(&it.names, location)?;
        if matches!(name.schema, None | Some("pg_catalog")) {
            if types::is_xml(name.name) && !self.in_view() && !from_xml {
                return Err(self.xml_refused(location));
            }
            let allowed = if self.in_view() {
                types::is_allowed_in_views(name.name) || types::is_xml(name.name)
            } else {
                types::is_allowed(name.name) || (from_xml && types::is_xml(name.name))
            };
            // On an odd search path the database's own type of that name would be meant.
            let shadowed =
                name.schema.is_none() && self.facts.types(None, name.name) == Candidates::Unknown;
            if allowed && !shadowed {
                return Ok(name);
            }
        }
        match self.facts.types(name.schema, name.name) {
            Candidates::Harmless => return Ok(name),
            Candidates::Unknown => {}
            Candidates::None if self.is_harmless_row(name) => return Ok(name),
            Candidates::None => {}
        }
        let message = format!(
            "the type `{}` may not be named: only built-in types that do not look names up, enums, plain domains and \
             types of common extensions are let through",
            name.name
        );
        Err(self.refuse(Rule::TypeNotAllowed, message, location))
    }

    /// Every relation is a type too, that of its rows.
    fn is_harmless_row(&self, name: Name<'_>) -> bool {
        self.facts.relation(name.schema, name.name).is_some_and(|id| {
            let relation = &self.facts.relations[id];
            relation.harmless_row && (relation.access == Access::Allowed || self.in_view())
        })
    }

    pub(super) fn cast_refused(&self, name: &str, location: i32) -> Rejection {
        let message = format!(
            "casting to `{name}` may run a function of the database's own; leave the cast out, or use to_char(), \
             to_number(), to_date() and the like"
        );
        self.refuse(Rule::CastNotAllowed, message, location)
    }
}

/// Whether the node is a constant or a parameter, which take the type that they are cast to.
pub(super) fn is_literal(node: &Node) -> bool {
    matches!(node.node, Some(NodeEnum::AConst(_) | NodeEnum::ParamRef(_)))
}
