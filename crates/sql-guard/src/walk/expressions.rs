use pg_query::NodeEnum;
use pg_query::protobuf::a_const::Val;
use pg_query::protobuf::{
    AExpr, AExprKind, Node, SqlValueFunction, SqlValueFunctionOp, SubLink, XmlExpr, XmlExprOp,
};

use super::select::list;
use super::{Mode, Walker};
use crate::facts::Candidates;
use crate::lists::operators;
use crate::rejection::{Rejection, Rule};

impl<'a> Walker<'a> {
    pub(super) fn expressions(&mut self, nodes: &'a [Node]) -> Result<(), Rejection> {
        nodes.iter().try_for_each(|it| self.expression(it))
    }

    pub(super) fn optional(&mut self, node: Option<&'a Node>) -> Result<(), Rejection> {
        node.map_or(Ok(()), |it| self.expression(it))
    }

    /// Everything that can stand where a value, a sort key, a grouping key or an output column stands.
    pub(super) fn expression(&mut self, node: &'a Node) -> Result<(), Rejection> {
        // `SELECT DISTINCT` and some lists hold an empty element.
        let Some(node) = &node.node else { return Ok(()) };
        match node {
            NodeEnum::ColumnRef(it) => self.column(it),
            NodeEnum::AConst(it) => {
                self.hear_constant(it);
                Ok(())
            }
            NodeEnum::ParamRef(it) => self.parameter(it.number, it.location),
            NodeEnum::AExpr(it) => self.operation(it),
            NodeEnum::BoolExpr(it) => self.expressions(&it.args),
            NodeEnum::FuncCall(it) => self.call(it),
            NodeEnum::TypeCast(it) => {
                self.optional(it.arg.as_deref())?;
                self.cast(it)
            }
            // A collation is data of the operating system or of ICU; using one runs nothing of the database's own.
            NodeEnum::CollateClause(it) => self.optional(it.arg.as_deref()),
            NodeEnum::AIndirection(it) => self.indirection(it),
            NodeEnum::AArrayExpr(it) => self.expressions(&it.elements),
            NodeEnum::RowExpr(it) => self.expressions(&it.args),
            NodeEnum::List(it) => self.expressions(&it.items),
            NodeEnum::ResTarget(it) => {
                if !it.indirection.is_empty() {
                    return Err(self.refuse(
                        Rule::UnsupportedSyntax,
                        "this form of an output column is not supported",
                        it.location,
                    ));
                }
                self.names.insert(&it.name);
                self.optional(it.val.as_deref())
            }
            NodeEnum::SubLink(it) => self.sublink(it),
            NodeEnum::CaseExpr(it) => {
                if it.arg.is_some() {
                    self.operator_named("=", it.location)?;
                }
                self.optional(it.arg.as_deref())?;
                self.expressions(&it.args)?;
                self.optional(it.defresult.as_deref())
            }
            NodeEnum::CaseWhen(it) => {
                self.optional(it.expr.as_deref())?;
                self.optional(it.result.as_deref())
            }
            NodeEnum::CoalesceExpr(it) => self.expressions(&it.args),
            NodeEnum::MinMaxExpr(it) => self.expressions(&it.args),
            NodeEnum::NullTest(it) => self.optional(it.arg.as_deref()),
            NodeEnum::BooleanTest(it) => self.optional(it.arg.as_deref()),
            NodeEnum::NamedArgExpr(it) => self.optional(it.arg.as_deref()),
            NodeEnum::GroupingFunc(it) => self.expressions(&it.args),
            NodeEnum::GroupingSet(it) => self.expressions(&it.content),
            NodeEnum::SortBy(it) => {
                if !it.use_op.is_empty() {
                    self.operator(&it.use_op, it.location)?;
                }
                self.optional(it.node.as_deref())
            }
            NodeEnum::WindowDef(it) => self.window(it),
            NodeEnum::SqlvalueFunction(it) => self.value_function(it),
            NodeEnum::XmlExpr(it) => self.xml_expression(it),
            NodeEnum::XmlSerialize(it) => {
                if it.indent {
                    self.since(160_000, "XMLSERIALIZE … INDENT", it.location)?;
                }
                self.no_xml_literal(it.expr.as_deref())?;
                self.optional(it.expr.as_deref())?;
                it.type_name.as_ref().map_or(Ok(()), |name| self.type_name(name, it.location))
            }
            NodeEnum::JsonObjectConstructor(_)
            | NodeEnum::JsonArrayConstructor(_)
            | NodeEnum::JsonArrayQueryConstructor(_)
            | NodeEnum::JsonObjectAgg(_)
            | NodeEnum::JsonArrayAgg(_)
            | NodeEnum::JsonIsPredicate(_)
            | NodeEnum::JsonParseExpr(_)
            | NodeEnum::JsonScalarExpr(_)
            | NodeEnum::JsonSerializeExpr(_)
            | NodeEnum::JsonFuncExpr(_)
            | NodeEnum::JsonValueExpr(_)
            | NodeEnum::JsonKeyValue(_)
            | NodeEnum::JsonArgument(_) => self.json(node),
            NodeEnum::SetToDefault(_) if self.writes => Ok(()),
            NodeEnum::MultiAssignRef(it) if self.writes => self.optional(it.source.as_deref()),
            // Everything else: statements, definitions, what only the server's analysis makes, what is yet to come.
            _ => Err(Rejection::new(
                Rule::UnsupportedSyntax,
                "the statement holds something that has no place in a read",
            )),
        }
    }

    fn sublink(&mut self, it: &'a SubLink) -> Result<(), Rejection> {
        if !it.oper_name.is_empty() {
            self.operator(&it.oper_name, it.location)?;
        } else if it.testexpr.is_some() {
            self.operator_named("=", it.location)?;
        }
        self.optional(it.testexpr.as_deref())?;
        self.subquery(it.subselect.as_deref())
    }

    fn operation(&mut self, it: &'a AExpr) -> Result<(), Rejection> {
        match it.kind() {
            AExprKind::AexprBetween
            | AExprKind::AexprNotBetween
            | AExprKind::AexprBetweenSym
            | AExprKind::AexprNotBetweenSym => {
                // The tree holds the word BETWEEN; these are what it stands for.
                for name in ["<", "<=", ">", ">="] {
                    self.operator_named(name, it.location)?;
                }
            }
            AExprKind::AexprOp
            | AExprKind::AexprOpAny
            | AExprKind::AexprOpAll
            | AExprKind::AexprDistinct
            | AExprKind::AexprNotDistinct
            | AExprKind::AexprNullif
            | AExprKind::AexprIn
            | AExprKind::AexprLike
            | AExprKind::AexprIlike
            | AExprKind::AexprSimilar => self.operator(&it.name, it.location)?,
            AExprKind::Undefined => {
                return Err(self.refuse(
                    Rule::UnsupportedSyntax,
                    "this kind of operation is not supported",
                    it.location,
                ));
            }
        }
        self.optional(it.lexpr.as_deref())?;
        self.optional(it.rexpr.as_deref())
    }

    /// An operator by its name's parts, as in `OPERATOR(schema.+)`.
    pub(super) fn operator(&mut self, parts: &'a [Node], location: i32) -> Result<(), Rejection> {
        let name = self.name(parts, location)?;
        match name.schema {
            None => self.operator_named(name.name, location),
            // Every operator there computes from its operands.
            Some("pg_catalog") => Ok(()),
            Some(schema) => match self.facts.operators(Some(schema), name.name) {
                Candidates::Harmless => Ok(()),
                Candidates::None | Candidates::Unknown => {
                    Err(self.operator_refused(name.name, location))
                }
            },
        }
    }

    pub(super) fn operator_named(&self, name: &str, location: i32) -> Result<(), Rejection> {
        match self.facts.operators(None, name) {
            Candidates::None if operators::is_builtin(name) => Ok(()),
            Candidates::Harmless => Ok(()),
            Candidates::None | Candidates::Unknown => Err(self.operator_refused(name, location)),
        }
    }

    fn operator_refused(&self, name: &str, location: i32) -> Rejection {
        let message = format!(
            "the operator `{name}` is, or may be, one of the database's own, which runs code; use built-in operators \
             and those of common extensions"
        );
        self.refuse(Rule::OperatorNotAllowed, message, location)
    }

    fn parameter(&self, number: i32, location: i32) -> Result<(), Rejection> {
        let bound = match self.mode {
            Mode::Statement { parameters } => parameters,
            Mode::View { .. } => 0,
        };
        let number_is_bound = usize::try_from(number).is_ok_and(|it| (1..=bound).contains(&it));
        if number_is_bound {
            return Ok(());
        }
        let message =
            format!("no value is given for the parameter ${number}; write the value itself");
        Err(self.refuse(Rule::UnknownParameter, message, location))
    }

    fn value_function(&self, it: &'a SqlValueFunction) -> Result<(), Rejection> {
        match it.op() {
            SqlValueFunctionOp::SvfopCurrentDate
            | SqlValueFunctionOp::SvfopCurrentTime
            | SqlValueFunctionOp::SvfopCurrentTimeN
            | SqlValueFunctionOp::SvfopCurrentTimestamp
            | SqlValueFunctionOp::SvfopCurrentTimestampN
            | SqlValueFunctionOp::SvfopLocaltime
            | SqlValueFunctionOp::SvfopLocaltimeN
            | SqlValueFunctionOp::SvfopLocaltimestamp
            | SqlValueFunctionOp::SvfopLocaltimestampN
            | SqlValueFunctionOp::SvfopCurrentCatalog
            | SqlValueFunctionOp::SvfopCurrentSchema => Ok(()),
            // Half of a credential, which those who may ask questions need not know. A view may filter by it.
            SqlValueFunctionOp::SvfopCurrentRole
            | SqlValueFunctionOp::SvfopCurrentUser
            | SqlValueFunctionOp::SvfopUser
            | SqlValueFunctionOp::SvfopSessionUser
                if self.in_view() =>
            {
                Ok(())
            }
            _ => Err(self.refuse(
                Rule::SessionInformation,
                "with which role the connection logs in is not told; remove the expression",
                it.location,
            )),
        }
    }

    fn xml_expression(&mut self, it: &'a XmlExpr) -> Result<(), Rejection> {
        match it.op() {
            XmlExprOp::IsXmlelement | XmlExprOp::IsXmlforest | XmlExprOp::IsXmlpi => {}
            // These take XML; a literal would become XML by being parsed.
            XmlExprOp::IsXmlconcat
            | XmlExprOp::IsXmlroot
            | XmlExprOp::IsDocument
            | XmlExprOp::IsXmlserialize => {
                for arg in &it.args {
                    self.no_xml_literal(Some(arg))?;
                }
            }
            XmlExprOp::IsXmlparse | XmlExprOp::Undefined => {
                return Err(self.xml_refused(it.location));
            }
        }
        self.expressions(&it.named_args)?;
        self.expressions(&it.args)
    }

    /// Refuses a literal where XML is expected.
    pub(super) fn no_xml_literal(&self, node: Option<&'a Node>) -> Result<(), Rejection> {
        for node in node.map(list).unwrap_or_default() {
            if let Some(NodeEnum::AConst(it)) = &node.node
                && matches!(it.val, Some(Val::Sval(_)))
            {
                return Err(self.xml_refused(it.location));
            }
        }
        Ok(())
    }

    pub(super) fn xml_refused(&self, location: i32) -> Rejection {
        self.refuse(
            Rule::XmlParsing,
            "text is not parsed as XML here, since documents can name entities that expand or lie elsewhere; select \
             the text itself, or columns of type xml",
            location,
        )
    }
}
