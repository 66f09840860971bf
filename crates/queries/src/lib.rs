//! Asking and running: from a question or a statement to rows, and the history of both.
//!
//! Read in this order: [`Queries::ask`], then [`Running`], then the ports [`StatementRunner`] and [`QueryStore`].
//!
//! **Invariant:** nothing reaches a customer's database but by the one way in `service.rs`: guard, plan, run.

mod ask;
mod conversation;
mod discretion;
mod error;
mod explain;
mod history;
mod kept;
mod knowledge;
mod language;
mod lookups;
mod members;
mod model;
pub mod policies;
mod ports;
mod reading;
mod render;
pub mod repairs;
mod result;
mod running;
mod runs;
mod saved;
mod service;
pub mod sql_text;
#[cfg(feature = "testing")]
pub mod testing;

pub use ask::{
    Answer, Ask, CallerLimits, Input, MAX_QUESTION_CHARS, Purpose, QuerySettings, StatementRun,
    Told,
};
pub use conversation::{
    Conversation, ConversationFilter, ConversationId, ConversationStore, Conversations,
    KEPT_CONVERSATIONS, KEPT_FOR, KEPT_TURNS, Turn, TurnState,
};
pub use error::QueryError;
pub use explain::Explained;
pub use history::{
    HistoryEntry, HistoryFilter, ModelNote, Notes, QueryId, QueryOutcome, QueryRecord, QueryStore,
    RecordedError, Used,
};
pub use language::{
    Entry, EntryBody, EntryId, EntryKind, EntryStatus, Feedback, FeedbackGiven, InvalidEntry,
    Language, LanguageStore, PutEntryError,
};
pub use members::{Members, TeamMembers};
pub use ports::{
    CutOff, DatabaseMessage, Plan, PlanStep, Rows, RunError, RunLimits, Statement, StatementRunner,
};
pub use render::{
    CsvRows, ElementKind, JsonRows, ParquetFault, ParquetRows, Shape, SheetError, TableFormat,
    UserTypes, ValueKind, XlsxRows, format_table, type_name,
};
pub use result::{RawRow, ResultColumn, Values};
pub use running::{Running, Summary};
pub use runs::{
    BackgroundRuns, Beat, QueryRun, QueryRunId, QueryRunStore, RESULTS_KEPT_FOR, RunFault, RunPage,
    RunParts, RunState, RunViewer, SealedPage, Wanted,
};
pub use saved::{
    Choice, Choices, Definition, MAX_AGE_SECONDS, NewSaved, Parameter, ParameterKind, RunAgain,
    RunOf, SaveChange, SavedColumn, SavedResult, SavedRun, SavedStore, Version, VersionRepair,
    Visibility,
};
pub use service::{JudgedWrite, Queries, QueryParts};
