//! Types that are named: in casts, column definitions and RETURNING clauses.

use pg_query::NodeEnum;
use pg_query::protobuf::{Node, TypeCast, TypeName};

use super::{Cast, Name, Walker};
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
        self.note_cast(name.name, cast.arg.as_deref(), type_name.location);
        Ok(())
    }

    /// Notes a cast to be judged when everything that the statement reads is known. A literal becomes a value by its
    /// type's input function, and no cast is looked for.
    pub(super) fn note_cast(&mut self, type_name: &'a str, value: Option<&Node>, location: i32) {
        if !value.is_some_and(is_literal) && !self.facts.unsafe_cast_sources(type_name).is_empty() {
            self.casts.push(Cast { target: type_name, of_json: false, location });
        }
    }

    /// A cast runs the database's own function if the value is of that function's type. Values of the database's own types
    /// come from columns and rows of that type, or from a cast to it.
    pub(super) fn judge_casts(&self) -> Result<(), Rejection> {
        for cast in &self.casts {
            let unsafe_source = self.facts.unsafe_cast_sources(cast.target).iter().any(|source| {
                if types::is_allowed(source) {
                    return true;
                }
                let mut read = self.findings.named.iter().map(|id| &self.facts.relations[*id]);
                !cast.of_json
                    && (self.types.contains(source.as_str())
                        || read.any(|it| it.cast_sources.contains(source)))
            });
            if unsafe_source {
                return Err(self.cast_refused(cast.target, cast.location));
            }
        }
        Ok(())
    }

    /// A type to which values out of JSON are made, or that a function is said to return.
    pub(super) fn type_name(&mut self, it: &'a TypeName, location: i32) -> Result<(), Rejection> {
        let name = self.judge_type(it, location, false)?;
        if !self.facts.unsafe_cast_sources(name.name).is_empty() {
            self.casts.push(Cast { target: name.name, of_json: true, location });
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
        let harmless = match self.facts.types(name.schema, name.name) {
            Candidates::Harmless => true,
            Candidates::Unknown => false,
            Candidates::None => self.is_harmless_row(name),
        };
        if harmless {
            self.types.insert(name.name);
            return Ok(name);
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
