//! Workflows: a trigger, queries, conditions and actions, run durably.
//!
//! Read in this order: [`Definition`], [`Workflows`] (what people do with them), [`Worker`] (what runs them), then the
//! ports [`WorkflowStore`] and [`RunQueue`].
//!
//! **Invariant:** a run goes on from its last stored step, whoever does it; only the worker whose number (the fence) is the
//! run's own writes about it; and whatever leaves carries a key made of run and action, so that it can be told when it
//! comes twice.

pub mod actions;
pub mod alerts;
pub mod bell;
pub mod condition;
mod decimal;
pub mod definition;
mod discretion;
mod engine;
mod error;
pub mod events;
mod exact;
mod gathered;
mod held;
pub mod hook;
mod ids;
pub mod listening;
mod members;
mod owners;
mod places;
mod ports;
mod result;
mod resumed;
mod run;
pub mod schedule;
pub mod secrets;
mod service;
mod slack;
mod sql_template;
mod steps;
mod template;
#[cfg(feature = "testing")]
pub mod testing;
mod turns;
mod worker;
mod workflow;
pub mod writes;

/// How long runs and evaluations are kept after their end, and how many of each workflow or alert.
const KEPT: jiff::SignedDuration = jiff::SignedDuration::from_hours(24 * 30);
const KEPT_RUNS: i64 = 10_000;

pub use decimal::Decimal;
pub use definition::Definition;
pub use error::WorkflowError;
pub use ids::{EventId, RunId, WorkflowId};
pub use members::TeamMembers;
pub use ports::{
    Ask, Call, Changed, DecideFiring, DecideWorkflow, Enqueued, Fault, FitsRole, Found, Members,
    Outward, OutwardAnswer, OutwardCall, Queued, Round, RunQueue, StepRunner, TakeLimits,
    WorkflowStore,
};
pub use result::{Glance, StepResult};
pub use run::{
    Advance, Attempt, Begin, NewRun, Run, RunEnd, RunState, RunStep, Taken, Then, TriggerEvent,
};
pub use service::{
    Hook, HookCall, MOST_HOOK_BYTES, MOST_WAITING, NewWorkflow, Previewed, RunDetail,
    WorkflowChange, WorkflowParts, Workflows,
};
pub use sql_template::SqlTemplate;
pub use steps::QuerySteps;
pub use template::{About, AboutRun, AboutWorkflow, Context, Names, Style};
pub use worker::{LEASE, Worker, WorkerParts, WorkerSettings};
pub use workflow::{Published, Workflow};
