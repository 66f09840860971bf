//! Alerts: a condition on a saved query, asked again and again, and who is told when it begins and when it ends.
//!
//! Read in this order: [`Alert`], [`Standing`] (what comes of an evaluation: a pure function), [`Alerts`] (what people do
//! with them), [`AlertWorker`] (what evaluates them), then the port [`AlertStore`].
//!
//! **Invariant:** only the worker whose number (the fence) is the alert's own writes what came of an evaluation, and with
//! it, in one transaction, goes everything that has to be told.

mod alert;
mod error;
mod ports;
mod rules;
mod service;
mod standing;
#[cfg(feature = "testing")]
pub mod testing;
mod worker;

pub use alert::{Alert, Evaluation, Mute};
pub use error::AlertError;
pub use ports::{AlertStore, Conclusion, DecideAlert, Told, Whom};
pub use rules::{AlertRules, Notify};
pub use service::{AlertChange, AlertParts, Alerts, NewAlert};
pub use standing::{AlertState, Episode, Notice, Outcome, Standing, Telling};
pub use worker::{AlertWorker, AlertWorkerParts};

plinth_core::typed_id! {
    /// Identifies an alert.
    AlertId, "alert"
}
plinth_core::typed_id! {
    /// Identifies one evaluation of an alert.
    EvaluationId, "eval"
}
