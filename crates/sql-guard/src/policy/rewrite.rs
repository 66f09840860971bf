//! The statement with subqueries where tables with policies stood.

use std::collections::HashSet;
use std::ops::Range;

use pg_query::protobuf::{ScanToken, Token};
use plinth_core::{AttributeKind, AttributeType};

use super::{Piece, Policing, PolicyParameter, ROW, RewrittenSource, quoted};
use crate::facts::RelationId;
use crate::parse::tokens;
use crate::rejection::{Rejection, Rule};

/// A place where a statement names a relation with a policy.
#[derive(Clone, Debug)]
pub(crate) struct Use {
    /// Where its name begins, in bytes.
    pub(crate) location: i32,
    /// Of how many parts the name is.
    pub(crate) parts: usize,
    /// Its own name.
    pub(crate) name: String,
    /// Whether the statement gives it another.
    pub(crate) aliased: bool,
    /// Whether it is read without what inherits from it.
    pub(crate) only: bool,
    pub(crate) relation: RelationId,
}

/// A place where a column is named with its table's schema, which a subquery does not have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// Where the name begins, in bytes.
    pub(crate) location: i32,
    /// How many parts of it go.
    pub(crate) parts: usize,
}

/// Where a statement is changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places<'a> {
    pub(crate) uses: &'a [Use],
    pub(crate) cuts: &'a [Cut],
    /// Where `pg_catalog.` is put, in bytes.
    pub(crate) qualify: &'a [usize],
}

/// A rewritten statement.
pub(crate) struct Rewritten {
    pub(crate) sql: String,
    /// The same for the planner's estimates, which must not tell of rows that are hidden; `None` if `sql` will do.
    ///
    /// For a condition on a subquery's column the planner looks at the statistics of the column behind it, and those are of
    /// every row. It does not look behind an expression.
    pub(crate) for_estimates: Option<String>,
    /// Where relations with policies stand in it, and nowhere else.
    pub(crate) places: HashSet<i32>,
    /// What its further parameters stand for.
    pub(crate) parameters: Vec<PolicyParameter>,
    opaque: bool,
}

/// Changes to a text, from its beginning to its end.
enum Edit<'a> {
    Source(&'a Use, &'a RewrittenSource, bool),
    Remove,
    Insert(&'static str),
}

/// Rewrites the statement that stands at `span`; its own parameters are `$1` to `$parameters`.
///
/// # Errors
///
/// A [`Rejection`] if a name does not stand in the text as it was read.
pub(crate) fn rewrite(
    policing: &Policing,
    sql: &str,
    span: &Range<usize>,
    parameters: usize,
    Places { uses, cuts, qualify }: Places<'_>,
) -> Result<Rewritten, Rejection> {
    // The words are needed only where some of them go.
    let needs_words = !uses.is_empty() || !cuts.is_empty();
    let mut tokens = if needs_words { tokens(sql)? } else { Vec::new() };
    tokens.retain(|it| !matches!(it.token(), Token::SqlComment | Token::CComment));
    let tokens = Tokens(tokens);
    let mut edits: Vec<(Range<usize>, Edit<'_>)> = Vec::new();
    for it in uses {
        let (range, after_table) = tokens.source(it).ok_or_else(unclear)?;
        let source =
            policing.of(it.relation).and_then(|it| it.source.as_ref()).ok_or_else(unclear)?;
        edits.push((range, Edit::Source(it, source, after_table)));
    }
    for it in cuts {
        edits.push((tokens.prefix(*it).ok_or_else(unclear)?, Edit::Remove));
    }
    let mut qualify = qualify.to_vec();
    qualify.sort_unstable();
    qualify.dedup();
    edits.extend(qualify.into_iter().map(|at| (at..at, Edit::Insert("pg_catalog."))));
    edits.sort_by_key(|it| (it.0.start, it.0.end));
    let mut rewritten = apply(sql, span, parameters, &edits, false)?;
    let hides_rows =
        edits.iter().any(|it| matches!(&it.1, Edit::Source(_, it, _) if it.hides_rows()));
    if hides_rows {
        rewritten.for_estimates = Some(apply(sql, span, parameters, &edits, true)?.sql);
    }
    Ok(rewritten)
}

fn apply(
    sql: &str,
    span: &Range<usize>,
    parameters: usize,
    edits: &[(Range<usize>, Edit<'_>)],
    opaque: bool,
) -> Result<Rewritten, Rejection> {
    let mut out = Rewritten {
        sql: String::new(),
        for_estimates: None,
        places: HashSet::new(),
        parameters: Vec::new(),
        opaque,
    };
    let mut from = span.start;
    for (range, edit) in edits {
        let before = (range.start >= from).then(|| sql.get(from..range.start)).flatten();
        out.sql.push_str(before.ok_or_else(unclear)?);
        match edit {
            Edit::Source(it, source, after_table) => {
                out.source(it, source, *after_table, parameters);
            }
            Edit::Remove => {}
            Edit::Insert(text) => out.sql.push_str(text),
        }
        from = range.end;
    }
    out.sql.push_str(sql.get(from..span.end).ok_or_else(unclear)?);
    Ok(out)
}

fn unclear() -> Rejection {
    Rejection::new(
        Rule::PolicyUnsupported,
        "a policy limits what you see of a table here, and the statement names it in a way that cannot be rewritten; write \
         its name plainly",
    )
}

impl Rewritten {
    fn source(
        &mut self,
        it: &Use,
        source: &RewrittenSource,
        after_table: bool,
        own_parameters: usize,
    ) {
        if after_table {
            self.sql.push_str("SELECT * FROM ");
        }
        for piece in source.pieces(it.only) {
            match piece {
                Piece::Text(text) => self.sql.push_str(&text),
                Piece::Column(name) if self.opaque && source.hides_rows() => {
                    self.sql.push_str(&format!("COALESCE({ROW}.{name}, {ROW}.{name}) AS {name}"));
                }
                Piece::Column(name) => self.sql.push_str(&format!("{ROW}.{name}")),
                Piece::Relation(name) => {
                    self.places.insert(i32::try_from(self.sql.len()).unwrap_or(-1));
                    self.sql.push_str(&name);
                }
                Piece::Parameter(parameter) => self.parameter(&parameter, own_parameters),
            }
        }
        if !it.aliased {
            self.sql.push_str(" AS ");
            self.sql.push_str(&quoted(&it.name));
        }
    }

    fn parameter(&mut self, parameter: &PolicyParameter, own_parameters: usize) {
        let known = self.parameters.iter().position(|it| it == parameter);
        let at = known.unwrap_or_else(|| {
            self.parameters.push(parameter.clone());
            self.parameters.len() - 1
        });
        let type_name = match parameter {
            PolicyParameter::Attribute { of, .. } => type_name(*of),
            PolicyParameter::HashInner | PolicyParameter::HashOuter => {
                "pg_catalog.bytea".to_owned()
            }
        };
        // In brackets, so that nothing around it binds more tightly than the cast.
        self.sql.push_str(&format!("(${}::{type_name})", own_parameters + at + 1));
    }
}

fn type_name(of: AttributeType) -> String {
    let name = match of.kind {
        AttributeKind::Text => "text",
        AttributeKind::Integer => "int8",
        AttributeKind::Number => "numeric",
        AttributeKind::Boolean => "bool",
        AttributeKind::Date => "date",
        AttributeKind::Timestamp => "timestamptz",
        AttributeKind::Uuid => "uuid",
    };
    format!("pg_catalog.{name}{}", if of.list { "[]" } else { "" })
}

/// The statement's words, comments left out.
struct Tokens(Vec<ScanToken>);

impl Tokens {
    fn at(&self, location: i32) -> Option<usize> {
        self.0.iter().position(|it| it.start == location)
    }

    fn is(&self, at: Option<usize>, token: Token) -> bool {
        at.and_then(|at| self.0.get(at)).is_some_and(|it| it.token() == token)
    }

    fn range(&self, first: usize, last: usize) -> Option<Range<usize>> {
        let start = usize::try_from(self.0.get(first)?.start).ok()?;
        let end = usize::try_from(self.0.get(last)?.end).ok()?;
        Some(start..end)
    }

    /// Where a relation stands, with `ONLY`, `*` and `TABLE` that belong to it, and whether `TABLE` is among them.
    fn source(&self, it: &Use) -> Option<(Range<usize>, bool)> {
        let mut first = self.at(it.location)?;
        let mut last = first + 2 * (it.parts - 1);
        if self.is(Some(last + 1), Token::Ascii42) {
            last += 1;
        }
        let before = |at: usize| at.checked_sub(1);
        if it.only {
            if self.is(before(first), Token::Ascii40) && self.is(Some(last + 1), Token::Ascii41) {
                first -= 1;
                last += 1;
            }
            if !self.is(before(first), Token::Only) {
                return None;
            }
            first -= 1;
        }
        let after_table = self.is(before(first), Token::Table);
        if after_table {
            first -= 1;
        }
        Some((self.range(first, last)?, after_table))
    }

    /// The first parts of a name, with the dots after them.
    fn prefix(&self, it: Cut) -> Option<Range<usize>> {
        let first = self.at(it.location)?;
        let next = first + 2 * it.parts;
        let start = usize::try_from(self.0.get(first)?.start).ok()?;
        let end = usize::try_from(self.0.get(next)?.start).ok()?;
        let dots = (0..it.parts).all(|part| self.is(Some(first + 2 * part + 1), Token::Ascii46));
        dots.then_some(start..end)
    }
}
