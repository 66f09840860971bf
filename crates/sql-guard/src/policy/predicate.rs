//! A policy's condition, as an admin writes it: `region = {{user.region}} AND NOT archived`.

use std::collections::BTreeSet;

use pg_query::NodeEnum;
use pg_query::protobuf::{Node, SelectStmt, Token};
use plinth_core::{AttributeName, AttributeType, Classify, ErrorKind};
use serde_json::{Value, json};

use super::{Piece, PolicyParameter, ROW, quoted};
use crate::parse::{parse, tokens};

/// The longest condition, in bytes.
pub const MAX_PREDICATE_BYTES: usize = 4_000;

/// What the parser gets before the condition.
const BEFORE: &str = "SELECT 1 WHERE ";

/// A condition over the columns of one relation and the attributes of whoever reads it.
///
/// It is no more than that: no other table, no subquery, no comment. So it means the same wherever it is put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predicate {
    pieces: Vec<Piece>,
    columns: BTreeSet<String>,
}

/// What is wrong with a condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPredicate(pub String);

impl Classify for InvalidPredicate {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    fn details(&self) -> Option<Value> {
        Some(json!({ "rows": self.0 }))
    }
}

fn invalid(message: impl Into<String>) -> InvalidPredicate {
    InvalidPredicate(message.into())
}

impl Predicate {
    /// Reads a condition. `{{user.name}}` stands for an attribute that is a text, `{{user.name::type}}` for one of another
    /// type; lists are used as `= ANY({{user.regions::text[]}})`.
    ///
    /// # Errors
    ///
    /// [`InvalidPredicate`] with what is wrong.
    pub fn parse(text: &str) -> Result<Self, InvalidPredicate> {
        if text.len() > MAX_PREDICATE_BYTES {
            return Err(invalid(format!("a condition has at most {MAX_PREDICATE_BYTES} bytes")));
        }
        let (sql, attributes) = with_parameters(text)?;
        let parsed = parse(&sql).map_err(|it| invalid(it.message))?;
        let condition = only_condition(&parsed.select).ok_or_else(|| {
            invalid("write a condition only, like region = {{user.region}}: no GROUP BY, ORDER BY, UNION and the like")
        })?;
        let mut found = Found::default();
        found.visit(condition)?;
        found.places.sort_by_key(|it| it.0);
        let used: Vec<i32> = {
            let mut numbers: Vec<i32> =
                found.places.iter().filter_map(|it| it.1.number()).collect();
            numbers.sort_unstable();
            numbers
        };
        let expected: Vec<i32> = (1..).take(attributes.len()).collect();
        if used != expected {
            return Err(invalid(
                "attributes stand outside quotes, and nothing else is a parameter: region = {{user.region}}",
            ));
        }
        cut_into_pieces(&sql, &found, &attributes)
    }

    /// The columns that it reads.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(String::as_str)
    }

    /// The attributes that it needs.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, AttributeType)> {
        self.pieces.iter().filter_map(|it| match it {
            Piece::Parameter(PolicyParameter::Attribute { name, of }) => Some((name.as_str(), *of)),
            _ => None,
        })
    }

    /// The same condition, asked with attributes under other names: what is known of one reader and what is known of another are
    /// then values of their own in one statement.
    #[must_use]
    pub fn with_attributes(mut self, named: impl Fn(&str) -> String) -> Self {
        for piece in &mut self.pieces {
            if let Piece::Parameter(PolicyParameter::Attribute { name, .. }) = piece {
                *name = named(name);
            }
        }
        self
    }

    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }
}

/// The condition as a statement, with `$1`, `$2`, … where attributes stand.
fn with_parameters(text: &str) -> Result<(String, Vec<PolicyParameter>), InvalidPredicate> {
    let mut sql = BEFORE.to_owned();
    let mut attributes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, after) =
            after.split_once("}}").ok_or_else(|| invalid("`{{` without `}}` after it"))?;
        let (name, of) = inside.split_once("::").unwrap_or((inside, "text"));
        let name = name.trim().strip_prefix("user.").ok_or_else(|| {
            invalid(format!("`{{{{{inside}}}}}` is no attribute; write {{{{user.region}}}}"))
        })?;
        let name = AttributeName::parse(name).map_err(|it| invalid(it.to_string()))?;
        let of: AttributeType =
            of.trim().parse().map_err(|it: plinth_core::InvalidAttribute| invalid(it.0))?;
        if name.is_built_in() && of != AttributeType::TEXT {
            return Err(invalid(format!("{{{{user.{name}}}}} is a text")));
        }
        attributes.push(PolicyParameter::Attribute { name: name.as_str().to_owned(), of });
        sql.push_str(before);
        sql.push_str(&format!(" ${} ", attributes.len()));
        rest = after;
    }
    sql.push_str(rest);
    Ok((sql, attributes))
}

/// The condition of `SELECT 1 WHERE …`; `None` if the text holds more than one.
fn only_condition(select: &SelectStmt) -> Option<&Node> {
    let bare = select.target_list.len() == 1
        && select.distinct_clause.is_empty()
        && select.into_clause.is_none()
        && select.from_clause.is_empty()
        && select.group_clause.is_empty()
        && !select.group_distinct
        && select.having_clause.is_none()
        && select.window_clause.is_empty()
        && select.values_lists.is_empty()
        && select.sort_clause.is_empty()
        && select.limit_offset.is_none()
        && select.limit_count.is_none()
        && select.locking_clause.is_empty()
        && select.with_clause.is_none()
        && select.larg.is_none()
        && select.rarg.is_none();
    select.where_clause.as_deref().filter(|_| bare)
}

/// What is replaced in the text.
#[derive(Clone, Debug)]
enum Place {
    Column(String),
    Parameter(i32),
}

impl Place {
    fn number(&self) -> Option<i32> {
        match self {
            Self::Parameter(number) => Some(*number),
            Self::Column(_) => None,
        }
    }
}

#[derive(Default)]
struct Found {
    places: Vec<(i32, Place)>,
}

impl Found {
    fn all(&mut self, nodes: &[Node]) -> Result<(), InvalidPredicate> {
        nodes.iter().try_for_each(|it| self.visit(it))
    }

    fn optional(&mut self, node: Option<&Node>) -> Result<(), InvalidPredicate> {
        node.map_or(Ok(()), |it| self.visit(it))
    }

    /// What a condition may be made of; anything else is refused. Functions, operators and types are the guard's to judge.
    fn visit(&mut self, node: &Node) -> Result<(), InvalidPredicate> {
        let Some(node) = &node.node else { return Ok(()) };
        match node {
            NodeEnum::ColumnRef(it) => match it.fields.as_slice() {
                [Node { node: Some(NodeEnum::String(name)) }] => {
                    self.places.push((it.location, Place::Column(name.sval.clone())));
                    Ok(())
                }
                _ => Err(invalid(
                    "write the names of columns alone, without their table's before it",
                )),
            },
            NodeEnum::ParamRef(it) => {
                self.places.push((it.location, Place::Parameter(it.number)));
                Ok(())
            }
            NodeEnum::AConst(_) | NodeEnum::SqlvalueFunction(_) => Ok(()),
            NodeEnum::AExpr(it) => {
                self.optional(it.lexpr.as_deref())?;
                self.optional(it.rexpr.as_deref())
            }
            NodeEnum::BoolExpr(it) => self.all(&it.args),
            NodeEnum::NullTest(it) => self.optional(it.arg.as_deref()),
            NodeEnum::BooleanTest(it) => self.optional(it.arg.as_deref()),
            NodeEnum::TypeCast(it) => self.optional(it.arg.as_deref()),
            NodeEnum::CollateClause(it) => self.optional(it.arg.as_deref()),
            NodeEnum::AArrayExpr(it) => self.all(&it.elements),
            NodeEnum::List(it) => self.all(&it.items),
            NodeEnum::CoalesceExpr(it) => self.all(&it.args),
            NodeEnum::MinMaxExpr(it) => self.all(&it.args),
            NodeEnum::CaseExpr(it) => {
                self.optional(it.arg.as_deref())?;
                self.all(&it.args)?;
                self.optional(it.defresult.as_deref())
            }
            NodeEnum::CaseWhen(it) => {
                self.optional(it.expr.as_deref())?;
                self.optional(it.result.as_deref())
            }
            NodeEnum::AIndirection(it) => {
                self.optional(it.arg.as_deref())?;
                for part in &it.indirection {
                    let Some(NodeEnum::AIndices(it)) = &part.node else {
                        return Err(invalid("fields of rows cannot be used in a condition"));
                    };
                    self.optional(it.lidx.as_deref())?;
                    self.optional(it.uidx.as_deref())?;
                }
                Ok(())
            }
            NodeEnum::FuncCall(it) => {
                let plain = it.agg_order.is_empty()
                    && it.agg_filter.is_none()
                    && it.over.is_none()
                    && !it.agg_within_group
                    && !it.agg_distinct
                    && !it.agg_star;
                if !plain {
                    return Err(invalid(
                        "a condition is about one row; it holds no aggregates and no windows",
                    ));
                }
                self.all(&it.args)
            }
            NodeEnum::SubLink(_) => Err(invalid(
                "a condition holds no subquery; put what it depends on into an attribute of the member, or a column",
            )),
            _ => Err(invalid(
                "a condition holds columns, attributes, constants, operators and functions only",
            )),
        }
    }
}

fn cut_into_pieces(
    sql: &str,
    found: &Found,
    attributes: &[PolicyParameter],
) -> Result<Predicate, InvalidPredicate> {
    let unclear = || invalid("the condition cannot be read");
    let tokens = tokens(sql).map_err(|it| invalid(it.message))?;
    for token in &tokens {
        match token.token() {
            Token::SqlComment | Token::CComment => {
                return Err(invalid("a condition holds no comments"));
            }
            Token::Uident => return Err(invalid("write names without Unicode escapes")),
            _ => {}
        }
    }
    let mut pieces = Vec::new();
    let mut columns = BTreeSet::new();
    let mut from = BEFORE.len();
    for (location, place) in &found.places {
        let token = tokens.iter().find(|it| it.start == *location).ok_or_else(unclear)?;
        let is_parameter = token.token() == Token::Param;
        let start = usize::try_from(token.start).map_err(|_| unclear())?;
        let end = usize::try_from(token.end).map_err(|_| unclear())?;
        let before = sql.get(from..start).ok_or_else(unclear)?;
        pieces.push(Piece::Text(before.to_owned()));
        match place {
            Place::Column(name) if !is_parameter => {
                pieces.push(Piece::Text(format!("{ROW}.{}", quoted(name))));
                columns.insert(name.clone());
            }
            Place::Parameter(number) if is_parameter => {
                let at = usize::try_from(*number - 1).map_err(|_| unclear())?;
                pieces.push(Piece::Parameter(attributes.get(at).ok_or_else(unclear)?.clone()));
            }
            _ => return Err(unclear()),
        }
        from = end;
    }
    pieces.push(Piece::Text(sql.get(from..).ok_or_else(unclear)?.to_owned()));
    Ok(Predicate { pieces, columns })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let show = |it: &Piece| match it {
            Piece::Text(text) | Piece::Column(text) | Piece::Relation(text) => text.clone(),
            Piece::Parameter(PolicyParameter::Attribute { name, of }) => format!("<{name} {of}>"),
            Piece::Parameter(_) => unreachable!(),
        };
        let predicate = Predicate::parse(text).unwrap_or_else(|it| panic!("{text}: {it}"));
        predicate
            .pieces()
            .iter()
            .map(show)
            .collect::<String>()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn columns_are_qualified_and_attributes_become_parameters() {
        for (text, expected) in [
            ("region = {{user.region}}", r#"r."region" = <region text>"#),
            (
                "Team = ANY({{ user.teams :: integer[] }}) AND NOT \"Odd \"\"One\" IS NULL",
                r#"r."team" = ANY( <teams integer[]> ) AND NOT r."Odd ""One" IS NULL"#,
            ),
            (
                "lower(owner) = lower({{user.email}}) OR created > current_date - 30",
                r#"lower(r."owner") = lower( <email text> ) OR r."created" > current_date - 30"#,
            ),
            ("tags[1] = 'a {b} c' COLLATE \"C\"", r#"r."tags"[1] = 'a {b} c' COLLATE "C""#),
            ("true", "true"),
            (
                "a IN (1, 2) AND b BETWEEN c AND 5::int",
                r#"r."a" IN (1, 2) AND r."b" BETWEEN r."c" AND 5::int"#,
            ),
            (
                "CASE WHEN a THEN coalesce(b, true) ELSE c = ARRAY[d] END",
                r#"CASE WHEN r."a" THEN coalesce(r."b", true) ELSE r."c" = ARRAY[r."d"] END"#,
            ),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn whatever_is_more_than_a_condition_is_refused() {
        for text in [
            "",
            "  ",
            "a = 1; SELECT 2",
            "a = 1 ORDER BY 1",
            "a = 1 UNION SELECT 1",
            "a = 1 LIMIT 0",
            "a = 1 GROUP BY a",
            "true) OR (true",
            "a = 1 -- b",
            "a = 1 /* b */",
            "a = '{{user.region}}'",
            "a = {{user.region",
            "a = {{region}}",
            "a = {{user.Region}}",
            "a = {{user.region::money}}",
            "a = {{user.email::integer}}",
            "a = $1",
            "a = $1 AND b = {{user.region}}",
            "a = {{user.region}}5",
            "t.a = 1",
            "t.* IS NULL",
            "a IN (SELECT 1)",
            "EXISTS (SELECT 1)",
            "count(*) > 1",
            "row_number() OVER () = 1",
            "(a).b = 1",
            "U&\"\\0061\" = 1",
            "ROW(a) = ROW(1)",
            "a = 1 FOR UPDATE",
            "a = 1 WINDOW w AS ()",
        ] {
            assert!(Predicate::parse(text).is_err(), "{text}: {:?}", Predicate::parse(text));
        }
        assert!(Predicate::parse(&"a".repeat(5_000)).is_err());
    }
}
