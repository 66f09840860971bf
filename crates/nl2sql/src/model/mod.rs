//! The way from a question to SQL with a language model: the model proposes, the engine's linking, the guard and the
//! planner dispose.
//!
//! Start with [`ModelStrategy::ask`]. The engine cuts the schema to what matters (`prompt` writes it), the model answers
//! (`answer` reads it), the guard and the database's planner judge, at most [`ModelSettings::repairs`] times their words
//! go back to the model, and the embedded engine's own reading is held beside the result (`agreement`). Where both differ,
//! more statements are asked for, and what they find decides (`candidates`).
//!
//! **Invariant:** a model's text becomes a statement that the guard approved, or prose; nothing else. What names, comments
//! and values of a database say can thus lead to a wrong answer at worst, never to a forbidden one.

mod agreement;
mod answer;
mod candidates;
mod ports;
mod prompt;
mod strategy;

pub use agreement::Agreement;
pub use ports::{
    DryRun, DryRunError, LanguageModel, Message, Meter, ModelError, ModelRequest, Role, Tried,
    Usage,
};
pub use strategy::{
    ModelFailure, ModelPrivacy, ModelQuestion, ModelReading, ModelSettings, ModelStrategy, Problem,
    Taught, Withheld,
};
