//! Statements that a schema has drifted away from: which changes they meet, and what they would have to be now.
//!
//! The statement is rewritten in its tree: each column and table is found there as the server finds it, and gets the name
//! that it has now. The same changes are made to the text at the places that the tree names, so that what people wrote stays
//! as they wrote it, comments and line breaks included; and the new text counts only if its tree is the rewritten one. Nothing
//! is replaced for looking like a name.
//!
//! A fix keeps the names of the result's columns: what is called otherwise now gets the name that it had.

mod figure;
mod names;
mod scope;
#[cfg(test)]
mod tests;
mod text;

use plinth_schema_introspect::{Catalog, Change};
use serde_json::Value;

use self::names::Names;
use self::scope::Resolver;
pub use self::text::Edit;
use self::text::{Words, edited};
use crate::parse::tree;
use crate::rejection::Rejection;

/// What a drift means for a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mending {
    /// The changes that it meets, by their places among those that were given.
    pub concerned: Vec<usize>,
    /// The columns that its result had.
    pub columns: Vec<ResultColumn>,
    /// What it would have to be; else why that cannot be said, for people.
    pub fix: Result<Fix, String>,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultColumn {
    /// Its name; `None` if only the server knows it.
    pub name: Option<String>,
    /// Its type's oid; `None` if only the server knows it.
    pub type_oid: Option<u32>,
}

/// A statement made to fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// Its text.
    pub sql: String,
    /// The same as changes to the text as it was, in order.
    pub edits: Vec<Edit>,
    /// What was done, for which change; sorted, each once.
    pub steps: Vec<Step>,
}

/// Something that a fix does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    /// The change that makes it necessary, by its place among those that were given.
    pub change: usize,
    /// What is done.
    pub action: Action,
}

/// What a fix can do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// A table or column is called what it is called now.
    Renamed,
    /// A column's values are made those of the type that it had.
    Cast {
        /// That type.
        to: String,
    },
    /// A column is left out of the result.
    LeftOut {
        /// Its name there.
        column: String,
    },
}

/// Says what `changes`, which lead from the catalog `before` to the catalog `after`, mean for a statement that was good over the
/// older one.
///
/// # Errors
///
/// A [`Rejection`] if it is not one SELECT.
pub fn mend(
    sql: &str,
    before: &Catalog,
    after: &Catalog,
    changes: &[Change],
) -> Result<Mending, Rejection> {
    let mut rewritten = tree(sql)?;
    let words = Words::of(sql)?;
    let names = Names::new(before, after, changes);
    let mut resolver = Resolver::new(&names, &words);
    let columns = resolver.statement(&mut rewritten);
    let Resolver { mut edits, steps, concerned, blocked, .. } = resolver;
    // Those at one place stay in the order in which they were made.
    edits.sort_by_key(|it| (it.range.start, it.range.end));
    let fix = match blocked {
        Some(why) => Err(why),
        None if edits.is_empty() => Err("nothing that it names is called otherwise now".to_owned()),
        None => proven(sql, &edits, rewritten)
            .map(|sql| Fix { sql, edits, steps: steps.into_iter().collect() })
            .ok_or_else(|| "it is written in a way that cannot be changed safely".to_owned()),
    };
    Ok(Mending { concerned: concerned.into_iter().collect(), columns, fix })
}

/// The edited text, if its tree is the rewritten one.
fn proven(sql: &str, edits: &[Edit], mut rewritten: Value) -> Option<String> {
    let text = edited(sql, edits)?;
    let mut read = tree(&text).ok()?;
    without_places(&mut rewritten);
    without_places(&mut read);
    (read == rewritten).then_some(text)
}

/// Takes out where things stand, and what else only says how they were written.
fn without_places(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_places),
        Value::Object(fields) => {
            fields.retain(|name, it| {
                !(it.is_i64() || it.is_u64())
                    || !(name.ends_with("location")
                        || name.ends_with("list_start")
                        || name.ends_with("list_end"))
            });
            fields.values_mut().for_each(without_places);
        }
        _ => {}
    }
}

/// A type's name as a tree has it.
fn type_name(name: &str) -> Option<Value> {
    let mut tree = tree(&format!("SELECT NULL::{name}")).ok()?;
    let cast = tree.pointer_mut("/SelectStmt/target_list/0/node/ResTarget/val/node/TypeCast")?;
    // Something else may have followed the name.
    let plain = cast.pointer("/arg/node/AConst").is_some();
    plain.then(|| cast["type_name"].take())
}
