//! PostgreSQL's own programs as peers.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use crate::process::Databases;
use crate::sample::Reader;

/// A program to run again and again.
#[derive(Clone, Debug)]
pub(super) struct Tool {
    program: PathBuf,
    arguments: Vec<String>,
    surroundings: Vec<(&'static str, String)>,
}

impl Tool {
    /// The program of this name, connecting as the reader; `None` if it is not installed. Those beside the server come
    /// first: on PATH there may be wrappers that take longer to start.
    pub(super) fn find(databases: &Databases, name: &str, reader: &Reader<'_>) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let places =
            std::iter::once(databases.programs().to_owned()).chain(std::env::split_paths(&path));
        let program = places.map(|folder| folder.join(name)).find(|program| program.is_file())?;
        let connection = databases.connection();
        let surroundings = vec![
            ("PGHOST", connection.host.clone()),
            ("PGPORT", connection.port.to_string()),
            ("PGDATABASE", reader.database.to_owned()),
            ("PGUSER", reader.role.to_owned()),
            ("PGPASSWORD", reader.password.to_owned()),
            // As Plinth's connection.
            ("PGSSLMODE", "disable".to_owned()),
        ];
        Some(Self { program, arguments: Vec::new(), surroundings })
    }

    /// With these arguments.
    pub(super) fn with(&self, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self { arguments, ..self.clone() }
    }

    /// Runs it, its output going nowhere; gives how long it took, its start included.
    ///
    /// # Errors
    /// If it does not start or fails.
    pub(super) async fn run(&self) -> Result<Duration> {
        let started = Instant::now();
        let output = Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .envs(self.surroundings.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", self.program.display()))?
            .wait_with_output()
            .await?;
        let took = started.elapsed();
        ensure!(
            output.status.success(),
            "{} failed: {}",
            self.program.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(took)
    }
}
