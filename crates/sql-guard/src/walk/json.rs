//! SQL/JSON: constructors and IS JSON came with version 16, the query functions and `JSON_TABLE` with 17.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    JsonAggConstructor, JsonBehavior, JsonFuncExpr, JsonOutput, JsonTable, JsonTableColumn,
    JsonTablePathSpec, JsonValueExpr, Node,
};

use super::{Columns, Walker};
use crate::rejection::{Rejection, Rule};

const CONSTRUCTORS: u32 = 160_000;
const QUERIES: u32 = 170_000;

impl<'a> Walker<'a> {
    pub(super) fn json(&mut self, node: &'a NodeEnum) -> Result<(), Rejection> {
        match node {
            NodeEnum::JsonObjectConstructor(it) => {
                self.since(CONSTRUCTORS, "JSON_OBJECT with SQL/JSON syntax", it.location)?;
                self.expressions(&it.exprs)?;
                self.output(it.output.as_ref())
            }
            NodeEnum::JsonArrayConstructor(it) => {
                self.since(CONSTRUCTORS, "JSON_ARRAY", it.location)?;
                self.expressions(&it.exprs)?;
                self.output(it.output.as_ref())
            }
            NodeEnum::JsonArrayQueryConstructor(it) => {
                self.since(CONSTRUCTORS, "JSON_ARRAY", it.location)?;
                self.subquery(it.query.as_deref())?;
                self.output(it.output.as_ref())
            }
            NodeEnum::JsonObjectAgg(it) => {
                self.aggregate("JSON_OBJECTAGG", it.constructor.as_deref())?;
                let Some(pair) = &it.arg else { return Ok(()) };
                self.optional(pair.key.as_deref())?;
                self.value(pair.value.as_deref())
            }
            NodeEnum::JsonArrayAgg(it) => {
                self.aggregate("JSON_ARRAYAGG", it.constructor.as_deref())?;
                self.value(it.arg.as_deref())
            }
            NodeEnum::JsonKeyValue(it) => {
                self.optional(it.key.as_deref())?;
                self.value(it.value.as_deref())
            }
            NodeEnum::JsonValueExpr(it) => self.value(Some(it)),
            NodeEnum::JsonArgument(it) => self.value(it.val.as_deref()),
            NodeEnum::JsonIsPredicate(it) => {
                self.since(CONSTRUCTORS, "IS JSON", it.location)?;
                self.optional(it.expr.as_deref())
            }
            NodeEnum::JsonParseExpr(it) => {
                self.since(QUERIES, "JSON()", it.location)?;
                self.value(it.expr.as_deref())?;
                self.output(it.output.as_ref())
            }
            NodeEnum::JsonScalarExpr(it) => {
                self.since(QUERIES, "JSON_SCALAR", it.location)?;
                self.optional(it.expr.as_deref())?;
                self.output(it.output.as_ref())
            }
            NodeEnum::JsonSerializeExpr(it) => {
                self.since(QUERIES, "JSON_SERIALIZE", it.location)?;
                self.value(it.expr.as_deref())?;
                self.output(it.output.as_ref())
            }
            NodeEnum::JsonFuncExpr(it) => self.query_function(it),
            _ => Err(unsupported()),
        }
    }

    fn aggregate(
        &mut self,
        what: &str,
        it: Option<&'a JsonAggConstructor>,
    ) -> Result<(), Rejection> {
        let Some(it) = it else { return Err(unsupported()) };
        self.since(CONSTRUCTORS, what, it.location)?;
        self.optional(it.agg_filter.as_deref())?;
        self.expressions(&it.agg_order)?;
        it.over.as_deref().map_or(Ok(()), |over| self.window(over))?;
        self.output(it.output.as_ref())
    }

    fn query_function(&mut self, it: &'a JsonFuncExpr) -> Result<(), Rejection> {
        self.since(QUERIES, "JSON_EXISTS, JSON_VALUE and JSON_QUERY", it.location)?;
        self.value(it.context_item.as_deref())?;
        self.optional(it.pathspec.as_deref())?;
        self.expressions(&it.passing)?;
        self.output(it.output.as_ref())?;
        self.behavior(it.on_empty.as_deref())?;
        self.behavior(it.on_error.as_deref())
    }

    pub(super) fn json_table(&mut self, it: &'a JsonTable) -> Result<(), Rejection> {
        self.since(QUERIES, "JSON_TABLE", it.location)?;
        self.value(it.context_item.as_deref())?;
        self.path(it.pathspec.as_deref())?;
        self.expressions(&it.passing)?;
        self.json_columns(&it.columns)?;
        self.behavior(it.on_error.as_deref())?;
        self.push(it.alias.as_ref(), Some("json_table"), Columns::Row);
        Ok(())
    }

    fn json_columns(&mut self, columns: &'a [Node]) -> Result<(), Rejection> {
        for column in columns {
            let Some(NodeEnum::JsonTableColumn(column)) = &column.node else {
                return Err(unsupported());
            };
            self.json_column(column)?;
        }
        Ok(())
    }

    fn json_column(&mut self, it: &'a JsonTableColumn) -> Result<(), Rejection> {
        self.names.insert(&it.name);
        if let Some(type_name) = &it.type_name {
            self.type_name(type_name, it.location)?;
        }
        self.path(it.pathspec.as_deref())?;
        self.json_columns(&it.columns)?;
        self.behavior(it.on_empty.as_deref())?;
        self.behavior(it.on_error.as_deref())
    }

    fn path(&mut self, it: Option<&'a JsonTablePathSpec>) -> Result<(), Rejection> {
        self.optional(it.and_then(|it| it.string.as_deref()))
    }

    fn value(&mut self, it: Option<&'a JsonValueExpr>) -> Result<(), Rejection> {
        let Some(it) = it else { return Ok(()) };
        self.optional(it.raw_expr.as_deref())?;
        self.optional(it.formatted_expr.as_deref())
    }

    fn output(&mut self, it: Option<&'a JsonOutput>) -> Result<(), Rejection> {
        it.and_then(|it| it.type_name.as_ref())
            .map_or(Ok(()), |name| self.type_name(name, name.location))
    }

    fn behavior(&mut self, it: Option<&'a JsonBehavior>) -> Result<(), Rejection> {
        self.optional(it.and_then(|it| it.expr.as_deref()))
    }
}

fn unsupported() -> Rejection {
    Rejection::new(Rule::UnsupportedSyntax, "this form of a JSON expression is not supported")
}
