//! Questions in plain language become SQL over one schema, without any network.
//!
//! Start with [`Engine::ask`]. The way of a question: tokens (`token`), links to the schema (`link`, over the
//! [`SchemaIndex`]) and to time (`time`), a draft (`interpret`), a typed [`LogicalQuery`] (`assemble`), joins (`join`), SQL
//! (`render`), an explanation (`explain`) and how sure all of it is (`confidence`).
//!
//! **Invariant:** the engine never answers below [`CONFIDENCE_THRESHOLD`]; it asks back or says what it did not understand.

#![expect(
    clippy::struct_excessive_bools,
    clippy::too_many_arguments,
    clippy::single_match_else,
    clippy::needless_range_loop,
    clippy::large_enum_variant,
    reason = "a reader of language keeps many small facts and walks by position"
)]

mod about;
mod aside;
mod assemble;
mod confidence;
pub mod conversation;
mod correct;
mod cut;
mod doubt;
mod engine;
mod explain;
mod hierarchy;
mod idiom;
mod index;
mod interpret;
mod join;
pub mod language;
mod lasting;
mod lexicon;
mod link;
mod logical;
pub mod lookup;
pub mod measure;
mod meta;
mod mirror;
mod misfit;
pub mod model;
mod names;
mod oddity;
mod phrase;
mod read;
mod render;
mod shape;
mod sound;
#[cfg(test)]
mod testing;
mod time;
mod token;
mod values;
pub mod work;

pub use about::asks_for_freshness;
pub use confidence::{CONFIDENCE_THRESHOLD, SIGNALS};
pub use engine::{
    AskContext, Choice, Clarification, Engine, NotUnderstood, Outcome, Reading, RelevantColumn,
    RelevantTable,
};
pub use index::{MAX_VALUES, SchemaIndex};
pub use logical::{
    Aggregate, Arithmetic, ColumnRef, Comparison, Expr, Literal, LogicalQuery, Moment, OrderKey,
    Predicate, SetOperation, TimeUnit, WindowFunction,
};
pub use meta::MetaAnswer;
