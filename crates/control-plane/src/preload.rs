use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ControlPlaneError;

/// A library that a project may have loaded at its servers' start, where the node has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownLibrary {
    /// Its name, as in `shared_preload_libraries`.
    pub name: &'static str,
    /// What it does.
    pub description: &'static str,
    /// Whether the extension of that name is made in every database: its objects are of no use without the library, and
    /// no role of a tenant may make it.
    pub makes_extension: bool,
}

/// Those that may be chosen: none of them runs programs, reads the server's files for its caller, or writes what people
/// send into the log.
pub const LIBRARIES: [KnownLibrary; 4] = [
    KnownLibrary {
        name: "pg_hint_plan",
        description: "Lets comments in a statement steer its plan.",
        makes_extension: false,
    },
    KnownLibrary {
        name: "pg_prewarm",
        description: "Reads into memory again, after a start, what was in use before it.",
        makes_extension: true,
    },
    KnownLibrary {
        name: "pg_stat_statements",
        description: "Counts what the statements of each kind take.",
        makes_extension: true,
    },
    KnownLibrary {
        name: "timescaledb",
        description: "Tables that are parted by time.",
        makes_extension: false,
    },
];

/// A library that a node has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferedLibrary {
    /// Its name; one of [`LIBRARIES`].
    pub name: String,
    /// The version of its extension, or of the server that it came with.
    pub version: String,
}

impl OfferedLibrary {
    /// What is known of it.
    pub fn known(&self) -> Option<&'static KnownLibrary> {
        known(&self.name)
    }
}

fn known(name: &str) -> Option<&'static KnownLibrary> {
    LIBRARIES.iter().find(|it| it.name == name)
}

/// The libraries that a project's settings ask for, each once.
pub(crate) fn chosen(settings: &Value) -> Vec<&'static KnownLibrary> {
    let names = settings["preload_libraries"]["enabled_libraries"].as_array();
    let named = |it: &KnownLibrary| {
        names.is_some_and(|names| names.iter().any(|name| name.as_str() == Some(it.name)))
    };
    LIBRARIES.iter().filter(|it| named(it)).collect()
}

/// Whether settings ask for any.
pub(crate) fn asks(settings: &Value) -> bool {
    let names = &settings["preload_libraries"]["enabled_libraries"];
    !names.is_null() && names.as_array().is_none_or(|it| !it.is_empty())
}

/// Whether what settings ask for is known, and the node has it.
///
/// # Errors
///
/// [`ControlPlaneError::Invalid`], naming what there is instead.
pub(crate) fn check(settings: &Value, offered: &[OfferedLibrary]) -> Result<(), ControlPlaneError> {
    let refuse = |reason: String| ControlPlaneError::Invalid { field: "preload_libraries", reason };
    let names = &settings["preload_libraries"]["enabled_libraries"];
    if !asks(settings) {
        return Ok(());
    }
    let names = names.as_array();
    let names = names.ok_or_else(|| refuse("enabled_libraries must be a list".to_owned()))?;
    let is_there = |name: &Value| {
        let name = name.as_str().and_then(known);
        name.is_some_and(|known| offered.iter().any(|it| it.name == known.name))
    };
    if let Some(no) = names.iter().find(|it| !is_there(it)) {
        let all: Vec<_> =
            offered.iter().filter(|it| it.known().is_some()).map(|it| it.name.as_str()).collect();
        return Err(refuse(format!(
            "{no} cannot be loaded on this installation; there are: {}",
            all.join(", ")
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(names: Value) -> Value {
        json!({ "preload_libraries": { "enabled_libraries": names } })
    }

    #[test]
    fn only_what_is_known_and_there_can_be_chosen() {
        let offered = ["pg_stat_statements", "auto_explain"]
            .map(|name| OfferedLibrary { name: name.to_owned(), version: "1".to_owned() });
        for good in [json!({}), settings(json!([])), settings(json!(["pg_stat_statements"]))] {
            assert!(check(&good, &offered).is_ok(), "{good}");
        }
        // Not there, not known although there, no name, no list.
        for bad in [
            json!(["pg_stat_statements", "timescaledb"]),
            json!(["auto_explain"]),
            json!(["pg_stat_statements, /tmp/own.so"]),
            json!([7]),
            json!("pg_stat_statements"),
        ] {
            assert!(check(&settings(bad.clone()), &offered).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_chosen_is_told_once_and_in_one_order() {
        let names = json!(["pg_stat_statements", "pg_prewarm", "pg_prewarm", "other"]);
        let names: Vec<_> = chosen(&settings(names)).iter().map(|it| it.name).collect();
        assert_eq!(names, ["pg_prewarm", "pg_stat_statements"]);
    }
}
