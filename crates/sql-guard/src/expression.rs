//! Expressions over the rows of one table, which people write down to be used in many statements.

use pg_query::NodeEnum;

use crate::guard::Guard;
use crate::parse::parse;
use crate::rejection::{Rejection, Rule};
use crate::walk::{ColumnUse, Police, Walker};

/// An expression that the guard let through, cut at the columns of its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    /// Its text, in pieces.
    pub pieces: Vec<Piece>,
    /// Whether it sums up many rows into one value.
    pub aggregate: bool,
    /// The aggregate that it is as a whole and the text of what that is taken of, like `sum` and `quantity * price`;
    /// `None` for every other form.
    pub taken_of: Option<(String, String)>,
    /// The names that sources have in it, sorted: a statement that holds it must call its table by none of them.
    pub inner: Vec<String>,
}

/// A piece of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text that stays as it is.
    Text(String),
    /// A column of the table, to be qualified as the statement calls the table.
    Column {
        /// Its name.
        name: String,
        /// Whether it stands in a subquery, where it must be qualified.
        nested: bool,
    },
}

/// Aggregates that sum up rows, by name.
const AGGREGATES: [&str; 24] = [
    "sum",
    "avg",
    "min",
    "max",
    "count",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "variance",
    "var_pop",
    "var_samp",
    "bool_and",
    "bool_or",
    "every",
    "bit_and",
    "bit_or",
    "array_agg",
    "string_agg",
    "percentile_cont",
    "percentile_disc",
    "mode",
    "corr",
    "json_agg",
    "jsonb_agg",
];

/// Those that may be taken of other rows than all, and of one argument.
const PLAIN: [&str; 5] = ["sum", "avg", "min", "max", "count"];

impl Guard {
    /// Judges an expression over the rows of that table, whose name is written as in a statement.
    ///
    /// # Errors
    ///
    /// What [`Guard::check`] would say of a statement with it, or [`Rule::UnsupportedSyntax`] for what is more than one
    /// expression, or names a row as a whole.
    pub fn expression(&self, text: &str, table: &str) -> Result<Expression, Rejection> {
        const BEFORE: &str = "SELECT (";
        let text = text.trim();
        let sql = format!("{BEFORE}{text}\n) FROM {table}");
        let parsed = parse(&sql)?;
        let select = &parsed.select;
        let single = select.op() == pg_query::protobuf::SetOperation::SetopNone
            && select.target_list.len() == 1
            && select.from_clause.len() == 1
            && select.where_clause.is_none()
            && select.group_clause.is_empty()
            && select.having_clause.is_none()
            && select.sort_clause.is_empty()
            && select.with_clause.is_none()
            && select.values_lists.is_empty();
        // `(1, 2)` is a row
        let target = select.target_list.first().and_then(|it| it.node.as_ref());
        let is_row = matches!(target, Some(NodeEnum::ResTarget(it))
            if it.val.as_ref().is_some_and(|it| matches!(it.node, Some(NodeEnum::RowExpr(_)))));
        if !single || is_row || text.is_empty() {
            return Err(Rejection::new(
                Rule::UnsupportedSyntax,
                "write one expression over the table's columns, as it would stand after SELECT",
            ));
        }
        let police = Police { policing: &self.policing, places: None };
        let said = Walker::listen(&self.facts, &sql, police, select)?.said;
        let aggregate = said.calls.iter().any(|it| AGGREGATES.contains(&it.as_str()));
        let taken_of = taken_of(select, text);
        drop(parsed.select);
        let mut uses: Vec<&ColumnUse> = said.columns.iter().filter(|it| it.outermost).collect();
        uses.sort_by_key(|it| it.location);
        uses.dedup_by_key(|it| it.location);
        let mut pieces = Vec::new();
        let mut from = 0;
        for it in uses {
            if it.star || it.fields.is_empty() {
                return Err(Rejection::new(
                    Rule::UnsupportedSyntax,
                    "name the columns one by one; `*` has no place in an expression",
                ));
            }
            let start =
                usize::try_from(it.location).ok().and_then(|it| it.checked_sub(BEFORE.len()));
            let Some((start, end)) =
                start.and_then(|start| Some((start, name_end(text, start, it.fields.len())?)))
            else {
                return Err(Rejection::new(
                    Rule::UnsupportedSyntax,
                    "a column's name in the expression cannot be read",
                ));
            };
            if start < from {
                continue;
            }
            pieces.push(Piece::Text(text[from..start].to_owned()));
            pieces.push(Piece::Column {
                name: it.fields[it.fields.len() - 1].clone(),
                nested: it.depth > 1,
            });
            from = end;
        }
        pieces.push(Piece::Text(text[from..].to_owned()));
        pieces.retain(|it| *it != Piece::Text(String::new()));
        let mut inner: Vec<String> = said.sources.into_iter().collect();
        inner.sort();
        Ok(Expression { pieces, aggregate, taken_of, inner })
    }
}

/// The aggregate that an expression is as a whole, and what it is taken of.
fn taken_of(select: &pg_query::protobuf::SelectStmt, text: &str) -> Option<(String, String)> {
    let Some(NodeEnum::ResTarget(target)) = &select.target_list.first()?.node else { return None };
    let Some(NodeEnum::FuncCall(call)) = &target.val.as_deref()?.node else { return None };
    let Some(NodeEnum::String(name)) = &call.funcname.last()?.node else { return None };
    let plain = PLAIN.contains(&name.sval.as_str())
        && call.args.len() == 1
        && !call.agg_distinct
        && !call.agg_star
        && call.agg_order.is_empty()
        && call.agg_filter.is_none()
        && call.over.is_none();
    let inner = text.get(text.find('(')? + 1..text.rfind(')')?)?;
    (plain && text.ends_with(')')).then(|| (name.sval.clone(), inner.trim().to_owned()))
}

/// Where a name of so many parts ends that begins there.
fn name_end(text: &str, start: usize, parts: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let blank = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        at
    };
    let mut at = start;
    for part in 0..parts {
        if part > 0 {
            at = blank(at);
            if bytes.get(at) != Some(&b'.') {
                return None;
            }
            at = blank(at + 1);
        }
        if bytes.get(at) == Some(&b'"') {
            at += 1;
            loop {
                match (bytes.get(at)?, bytes.get(at + 1)) {
                    (b'"', Some(b'"')) => at += 2,
                    (b'"', _) => break,
                    _ => at += 1,
                }
            }
            at += 1;
        } else {
            let begin = at;
            while bytes.get(at).is_some_and(|it| {
                it.is_ascii_alphanumeric() || matches!(it, b'_' | b'$') || *it >= 0x80
            }) {
                at += 1;
            }
            if at == begin {
                return None;
            }
        }
    }
    text.is_char_boundary(at).then_some(at)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plinth_connections::AllowedTables;
    use plinth_schema_introspect::{Catalog, Column, Relation, Schema, TypeClass};

    use super::*;

    fn guard() -> Guard {
        let column = |name: &str| Column {
            name: name.to_owned(),
            type_name: "integer".to_owned(),
            class: TypeClass::Integer,
            readable: true,
            ..Column::default()
        };
        let table = |oid: u32, name: &str, columns: &[&str]| {
            Arc::new(Relation {
                oid,
                schema: "public".to_owned(),
                name: name.to_owned(),
                readable: true,
                columns: columns.iter().map(|it| column(it)).collect(),
                ..Relation::default()
            })
        };
        let catalog = Catalog {
            server_version_num: 150_000,
            search_path: vec!["public".to_owned()],
            schemas: vec![Schema { name: "public".to_owned(), comment: None, usable: true }],
            relations: vec![
                table(1, "lines", &["id", "quantity", "Unit Price", "order_id"]),
                table(2, "orders", &["id", "status"]),
            ],
            ..Catalog::default()
        };
        Guard::new(&catalog, &AllowedTables::All)
    }

    fn pieces(text: &str) -> Vec<Piece> {
        guard().expression(text, "public.lines").expect("an expression").pieces
    }

    #[test]
    fn columns_are_cut_out_of_an_expression() {
        let own = |name: &str, nested| Piece::Column { name: name.to_owned(), nested };
        let text = |it: &str| Piece::Text(it.to_owned());
        assert_eq!(
            pieces("quantity * lines.\"Unit Price\" > 3"),
            [own("quantity", false), text(" * "), own("Unit Price", false), text(" > 3")]
        );
        assert_eq!(
            pieces(
                "EXISTS (SELECT 1 FROM public.orders o WHERE o.id = lines.order_id AND status = 1)"
            ),
            [
                text("EXISTS (SELECT 1 FROM public.orders o WHERE o.id = "),
                own("order_id", true),
                text(" AND status = 1)"),
            ]
        );
    }

    #[test]
    fn aggregates_are_known_with_what_they_are_taken_of() {
        let sum = guard().expression(" sum( quantity * id ) ", "public.lines").expect("one");
        assert!(sum.aggregate);
        assert_eq!(sum.taken_of, Some(("sum".to_owned(), "quantity * id".to_owned())));
        let ratio = guard().expression("sum(quantity) / count(*)", "public.lines").expect("one");
        assert!(ratio.aggregate && ratio.taken_of.is_none(), "{ratio:?}");
        let row = guard()
            .expression(
                "(SELECT count(*) FROM public.orders o WHERE o.id = order_id)",
                "public.lines",
            )
            .expect("one");
        assert!(!row.aggregate, "{row:?}");
    }

    #[test]
    fn names_of_its_sources_are_told() {
        let inner = "EXISTS (SELECT 1 FROM public.orders o WHERE o.id = lines.order_id)";
        assert_eq!(guard().expression(inner, "public.lines").expect("one").inner, ["lines", "o"]);
    }

    #[test]
    fn what_is_more_than_an_expression_is_refused() {
        for text in [
            "",
            "1, 2",
            "1) , (2",
            "1) FROM public.orders WHERE (true",
            "1) UNION SELECT (1",
            "1 FROM public.orders --",
            "1; DROP TABLE orders",
            "*",
            "lines.*",
            "pg_read_file('x') = 'a'",
            "(SELECT 1 FROM secret)",
            "quantity /*",
        ] {
            assert!(guard().expression(text, "public.lines").is_err(), "{text}");
        }
    }
}
