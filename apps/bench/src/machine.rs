//! On what, when and how something was measured: figures mean nothing without.

use std::fs;
use std::thread;

use jiff::Timestamp;
use plinth_core::{Clock as _, SystemClock};
use serde_json::{Value as Json, json};

/// The surroundings of a run.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) started: Timestamp,
    cores: usize,
    memory_gib: u64,
    model: String,
    command: String,
    postgres: String,
}

impl Machine {
    /// Looks at this machine; `postgres` is the server's version.
    pub(crate) fn look(postgres: String) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory_kib = field(&read("/proc/meminfo"), "MemTotal")
            .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        // The path of our own binary and of the one we call are a matter of the build.
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let arguments = match arguments.iter().position(|argument| argument == "--plinth") {
            Some(at) => [&arguments[..at], arguments.get(at + 2..).unwrap_or_default()].concat(),
            None => arguments,
        };
        Self {
            started: SystemClock.now(),
            cores: thread::available_parallelism().map_or(1, usize::from),
            memory_gib: memory_kib.unwrap_or_default().div_ceil(1024 * 1024),
            model: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".into()),
            command: format!("cargo xtask {}", arguments.join(" ")),
            postgres,
        }
    }

    /// In one line.
    pub(crate) fn text(&self) -> String {
        format!(
            "{} · {} cores ({}), {} GiB · PostgreSQL {} · `{}`",
            self.started.strftime("%-d %B %Y %H:%M UTC"),
            self.cores,
            self.model,
            self.memory_gib,
            self.postgres,
            self.command
        )
    }

    pub(crate) fn json(&self) -> Json {
        json!({
            "started": self.started.to_string(),
            "cores": self.cores,
            "cpu": self.model,
            "memory_gib": self.memory_gib,
            "postgres": self.postgres,
            "command": self.command,
        })
    }
}
