//! Loads a kit's databases from plain SQL files, as psql would.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::pin::pin;

use anyhow::{Context as _, Result, ensure};
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _, stream};
use tokio_postgres::Client;

use crate::database::{config, connect};
use crate::process::Databases;

/// So many databases are filled at once.
const AT_ONCE: usize = 4;

/// Where a kit keeps what.
#[derive(Debug)]
pub(crate) struct Kit {
    /// With a file for each database.
    data: PathBuf,
    /// All questions.
    pub(crate) questions: PathBuf,
}

impl Kit {
    /// A kit's folder, or its part with `data` and `questions.jsonl` in it.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn at(folder: &Path) -> Result<Self> {
        let parts = [folder.to_owned(), folder.join("dev")];
        let part = parts
            .into_iter()
            .find(|part| part.join("data").is_dir() && part.join("questions.jsonl").is_file())
            .with_context(|| {
                format!(
                    "{} has neither data and questions.jsonl nor dev with them",
                    folder.display()
                )
            })?;
        Ok(Self { data: part.join("data"), questions: part.join("questions.jsonl") })
    }

    /// Makes and fills these databases; `reader` may read them. `progress` is told how many are ready.
    ///
    /// # Errors
    /// If a file is missing or does not load.
    pub(crate) async fn load(
        &self,
        databases: &Databases,
        names: &BTreeSet<String>,
        reader: &str,
        mut progress: impl FnMut(usize),
    ) -> Result<()> {
        let admin = &connect(&config(databases, "postgres")).await?;
        let loads = names.iter().map(async |name| {
            // As the kit's golds expect it: text sorts by its bytes.
            let sql = format!(
                "CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'",
                quoted(name)
            );
            admin.batch_execute(&sql).await.with_context(|| format!("making database {name}"))?;
            self.fill(databases, name, reader).await.with_context(|| format!("loading {name}"))
        });
        let mut loads = pin!(stream::iter(loads).buffer_unordered(AT_ONCE));
        let mut done = 0;
        while let Some(()) = loads.try_next().await? {
            done += 1;
            progress(done);
        }
        Ok(())
    }

    async fn fill(&self, databases: &Databases, name: &str, reader: &str) -> Result<()> {
        let file = self.data.join(format!("{name}.sql"));
        let script =
            fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let client = connect(&config(databases, name)).await?;
        run_script(&client, &script).await?;
        let schemas = client
            .query(
                "SELECT nspname::text FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'",
                &[],
            )
            .await?;
        for row in schemas {
            let (schema, reader) = (quoted(row.try_get(0)?), quoted(reader));
            let grants = format!(
                "GRANT USAGE ON SCHEMA {schema} TO {reader}; GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {reader}"
            );
            client.batch_execute(&grants).await?;
        }
        Ok(())
    }
}

/// A name as SQL writes it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A part of a script.
#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    /// Statements.
    Sql(&'a str),
    /// `COPY … FROM stdin` and its rows.
    Copy { statement: &'a str, rows: &'a str },
}

async fn run_script(client: &Client, script: &str) -> Result<()> {
    client.batch_execute("SET timezone = 'UTC'").await?;
    for part in parts(script)? {
        match part {
            Part::Sql(sql) => client.batch_execute(sql).await?,
            Part::Copy { statement, rows } => {
                let mut sink =
                    pin!(client.copy_in::<_, std::io::Cursor<Vec<u8>>>(statement).await?);
                sink.send(std::io::Cursor::new(rows.as_bytes().to_vec())).await?;
                sink.finish().await.with_context(|| statement.to_owned())?;
            }
        }
    }
    Ok(())
}

/// Cuts a script where rows for COPY stand in it: they are between the line of the statement and `\.`.
fn parts(script: &str) -> Result<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    let mut sql_from = 0;
    let mut at = 0;
    while let Some(line) = script[at..].split_inclusive('\n').next() {
        let next = at + line.len();
        if !is_copy(line) {
            at = next;
            continue;
        }
        if !script[sql_from..at].trim().is_empty() {
            parts.push(Part::Sql(&script[sql_from..at]));
        }
        let mut end = next;
        loop {
            let line = script[end..].split_inclusive('\n').next();
            let line = line.with_context(|| format!("`{}` has no end", script[at..next].trim()))?;
            if line.trim_end() == "\\." {
                parts.push(Part::Copy {
                    statement: script[at..next].trim_end(),
                    rows: &script[next..end],
                });
                at = end + line.len();
                sql_from = at;
                break;
            }
            ensure!(!line.is_empty(), "an empty line without an end");
            end += line.len();
        }
    }
    if !script[sql_from..].trim().is_empty() {
        parts.push(Part::Sql(&script[sql_from..]));
    }
    Ok(parts)
}

fn is_copy(line: &str) -> bool {
    let line = line.trim_end().to_ascii_lowercase();
    line.starts_with("copy ") && line.ends_with(" from stdin;")
}

#[cfg(test)]
mod tests {
    use plinth_testdb::TestDatabase;

    use super::*;

    #[test]
    fn a_script_is_cut_around_its_rows() {
        let script = "CREATE TABLE a (b text);\nCOPY a (b) FROM stdin;\none\n\ntwo\\n\n\\.\nCOPY a FROM stdin;\n\\.\nANALYZE;";
        let copy = |statement, rows| Part::Copy { statement, rows };
        let expected = [
            Part::Sql("CREATE TABLE a (b text);\n"),
            copy("COPY a (b) FROM stdin;", "one\n\ntwo\\n\n"),
            copy("COPY a FROM stdin;", ""),
            Part::Sql("ANALYZE;"),
        ];
        assert_eq!(parts(script).unwrap(), expected);
        assert_eq!(parts("").unwrap(), []);
    }

    #[test]
    fn rows_without_an_end_are_an_error() {
        assert!(parts("COPY a FROM stdin;\none\n").is_err());
    }

    #[tokio::test]
    async fn a_script_with_rows_loads() {
        let database = TestDatabase::create().await.unwrap();
        let client = connect(&database.url().parse().unwrap()).await.unwrap();
        let script = "CREATE TABLE a (b text, c int);\nCOPY a (b, c) FROM stdin;\none\t1\n\\N\t2\ntäb\\tbed\t3\n\\.\n\nUPDATE a SET c = c + 1;\n";
        run_script(&client, script).await.unwrap();
        let row = client.query_one("SELECT count(b), sum(c) FROM a", &[]).await.unwrap();
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (2, 9));
    }
}
