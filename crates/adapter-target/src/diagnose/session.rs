//! What goes wrong on a session that had worked: in a statement, or while the catalog is read.

use plinth_connections::{Diagnosis, Fault, Stage};
use plinth_queries::RunError;

use super::{busy, diagnosis};
use crate::wire::ServerError;

/// A session that had worked was cut.
pub(crate) fn disconnected(words: Option<&ServerError>) -> Diagnosis {
    let explanation = match words {
        Some(it) => format!("The server said: {} ({}).", it.message, it.sqlstate),
        None => {
            "The session was open and was cut: the server was restarted, or something on the way closed it."
                .to_owned()
        }
    };
    diagnosis(
        Stage::Database,
        Fault::Disconnected,
        "The connection to the database was cut",
        explanation,
        &["Try again in a moment.", "Look into the server's log for the reason."],
    )
}

/// Who stands between gives each transaction another session, so that what is said reaches nobody.
pub(crate) fn behind_a_pooler() -> Diagnosis {
    diagnosis(
        Stage::Database,
        Fault::Disconnected,
        "A pooling proxy stands before the database",
        "Postgres tells a session that listens; a pooling proxy gives that session to others.",
        &["Connect to the server itself."],
    )
}

/// A server broke the protocol on a session that had worked.
pub(crate) fn broken_protocol() -> Diagnosis {
    diagnosis(
        Stage::Database,
        Fault::Disconnected,
        "The database's answer could not be understood",
        "It did not follow Postgres's protocol, so the session was closed. A proxy between Plinth and the database may have garbled it.",
        &["Try again.", "If a proxy stands between, connect to the server itself."],
    )
}

/// What a statement's error means for its caller.
pub(crate) fn run_error(error: ServerError) -> RunError {
    let cut = error.fatal
        || error.sqlstate.starts_with("08")
        || matches!(error.sqlstate.as_str(), "57P01" | "57P02" | "57P03" | "57P05" | "25P03");
    if cut {
        RunError::Connection(Box::new(disconnected(Some(&error))))
    } else {
        RunError::Database(Box::new(error.into()))
    }
}

/// What a failed read of the catalog means.
pub(crate) fn read_schema(error: RunError) -> Diagnosis {
    let stage = Stage::ReadSchema;
    match error {
        RunError::Connection(it) => *it,
        RunError::Busy => busy(),
        RunError::TimedOut(limit) => diagnosis(
            stage,
            Fault::TimedOut,
            "Reading the catalog took too long",
            format!("It was not done within {} ms and was cancelled.", limit.as_millis()),
            &["Try again when the server is less busy."],
        ),
        RunError::Cancelled => diagnosis(
            stage,
            Fault::ServerError,
            "Reading the catalog was cancelled",
            "Somebody cancelled it at the server.",
            &["Try again."],
        ),
        RunError::RowTooLarge { limit_bytes } => diagnosis(
            stage,
            Fault::ServerError,
            "The catalog has a row that is too large",
            format!("A single row has more than {limit_bytes} bytes."),
            &["Look for a view or comment of unusual length."],
        ),
        RunError::Database(it) if it.sqlstate == "40001" => Diagnosis {
            retryable: true,
            ..diagnosis(
                stage,
                Fault::ServerError,
                "The standby gave the reading up for its replication",
                format!("The server said: {} ({}).", it.message, it.sqlstate),
                &["Try again in a moment.", "Raise `max_standby_streaming_delay` at the standby."],
            )
        },
        RunError::Database(it) => diagnosis(
            stage,
            if it.sqlstate == "42501" { Fault::PermissionDenied } else { Fault::ServerError },
            "The catalog could not be read",
            format!("The server said: {} ({}).", it.message, it.sqlstate),
            &["Check that the role may read the system catalogs, as every role may by default."],
        ),
    }
}
