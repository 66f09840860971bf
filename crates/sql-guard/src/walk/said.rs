//! What a text says, beside what it reads: for those who go by its words.

use std::collections::HashSet;

use pg_query::NodeEnum;
use pg_query::protobuf::a_const::Val;
use pg_query::protobuf::{AConst, Alias, JoinExpr};

use super::{Columns, Walker};

/// The names and constants of a text, as Postgres's parser reads them: whatever way they are written in.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// The columns that it names, in the order of the walk.
    pub(crate) columns: Vec<ColumnUse>,
    /// The functions that it calls outside of subqueries.
    pub(crate) calls: Vec<String>,
    /// The names by which columns refer to what stands in FROM.
    pub(crate) sources: HashSet<String>,
    /// The names that it gives to columns.
    pub(crate) given: HashSet<String>,
    /// Whether it may speak of columns without their names: by others that it gives to a relation's, or by those that two
    /// sources have in common.
    pub(crate) unnamed: bool,
    /// Its constants of text.
    pub(crate) texts: Vec<String>,
}

/// A column as a text names it.
#[derive(Debug)]
pub(crate) struct ColumnUse {
    /// Where, in bytes; -1 where a join names it.
    pub(crate) location: i32,
    /// The names between its dots.
    pub(crate) fields: Vec<String>,
    /// Whether `*` stands at its end.
    pub(crate) star: bool,
    /// In how many SELECTs it stands, 1 for the outermost alone.
    pub(crate) depth: usize,
    /// Whether its qualifier is a source of the outermost SELECT.
    pub(crate) outermost: bool,
}

impl Walker<'_> {
    /// Whether somebody wants to know what this text says. What a view's text says is nobody's words.
    fn is_heard(&self) -> bool {
        self.listens && !self.in_view()
    }

    pub(super) fn hear_column(&mut self, strings: &[&str], star: bool, location: i32) {
        if !self.is_heard() {
            return;
        }
        let depth = self.levels.len();
        let qualifier = strings.len().checked_sub(if star { 1 } else { 2 });
        let outermost = depth <= 1
            || qualifier.is_some_and(|at| {
                let has =
                    |level: &Vec<super::Source<'_>>| level.iter().any(|it| it.name == strings[at]);
                self.levels.iter().rposition(has) == Some(0)
            });
        self.findings.said.columns.push(ColumnUse {
            location,
            fields: strings.iter().map(|it| (*it).to_owned()).collect(),
            star,
            depth,
            outermost,
        });
    }

    pub(super) fn hear_call(&mut self, name: &str) {
        if self.is_heard() && self.levels.len() == 1 {
            self.findings.said.calls.push(name.to_owned());
        }
    }

    pub(super) fn hear_constant(&mut self, constant: &AConst) {
        if self.is_heard()
            && let Some(Val::Sval(text)) = &constant.val
        {
            self.findings.said.texts.push(text.sval.clone());
        }
    }

    pub(super) fn hear_join(&mut self, join: &JoinExpr) {
        if !self.is_heard() {
            return;
        }
        self.findings.said.unnamed |= join.is_natural;
        for column in &join.using_clause {
            if let Some(NodeEnum::String(name)) = &column.node {
                self.findings.said.columns.push(ColumnUse {
                    location: -1,
                    fields: vec![name.sval.clone()],
                    star: false,
                    depth: self.levels.len(),
                    outermost: false,
                });
            }
        }
    }

    pub(super) fn hear_source(&mut self, name: &str, alias: Option<&Alias>, columns: Columns<'_>) {
        if !self.is_heard() {
            return;
        }
        // What a function gives holds of a relation what its arguments name.
        if matches!(columns, Columns::Value) {
            return;
        }
        self.findings.said.unnamed |= alias.is_some_and(|it| !it.colnames.is_empty());
        self.findings.said.sources.insert(name.to_owned());
    }
}
