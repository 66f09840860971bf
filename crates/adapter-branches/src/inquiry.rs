use std::io;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use plinth_control_plane::{BranchPlace, Inquiry, Point, SqlName, Substrate as _, SubstrateError};
use plinth_local_postgres::ConnectionParameters;
use secrecy::ExposeSecret as _;
use tokio::process::Command;

use crate::LocalBranches;
use crate::cell::{Cell, admin};
use crate::history;
use crate::node::Inner;
use crate::roles::refused;
use crate::substrate::beside;

/// How long reading definitions may take.
const READING_LIMIT: Duration = Duration::from_mins(1);
/// Definitions longer than this are nobody's to read in one answer.
const MOST_BYTES: usize = 32 << 20;

/// Finds out about a branch: on its own server, or for a point of the past on a copy that is thrown away.
pub(crate) async fn answer(
    branches: &LocalBranches,
    branch: &BranchPlace,
    inquiry: &Inquiry,
) -> Result<String, SubstrateError> {
    let inner = &*branches.inner;
    let (_, point) = inquiry.about();
    if point == Point::Head {
        return on_server(inner, branch, inquiry).await;
    }
    static NTH: AtomicU64 = AtomicU64::new(0);
    let nth = NTH.fetch_add(1, Ordering::Relaxed);
    let copy = beside(branch, &format!("look{nth}"))?;
    let _looked_at = LookedAt::new(inner, &copy);
    let done = async {
        // An earlier process may have left one of that name.
        branches.remove(&copy).await?;
        history::make_at_rest(inner, branch, point, &copy).await?;
        on_server(inner, &copy, inquiry).await
    };
    let done = done.await;
    if let Err(error) = branches.remove(&copy).await {
        tracing::warn!(%error, "a copy that was looked at could not be removed; the next sweep does it");
    }
    done
}

/// Keeps a sweep from taking a copy for a leftover.
struct LookedAt<'a> {
    inner: &'a Inner,
    folder: String,
}

impl<'a> LookedAt<'a> {
    fn new(inner: &'a Inner, copy: &BranchPlace) -> Self {
        let folder = copy.branch.to_string();
        inner.looked_at.lock().expect("not poisoned").insert(folder.clone());
        Self { inner, folder }
    }
}

impl Drop for LookedAt<'_> {
    fn drop(&mut self) {
        self.inner.looked_at.lock().expect("not poisoned").remove(&self.folder);
    }
}

async fn on_server(
    inner: &Inner,
    branch: &BranchPlace,
    inquiry: &Inquiry,
) -> Result<String, SubstrateError> {
    let cell = inner.cell(branch);
    cell.adopt(inner, branch).await?;
    let mut held = cell.hold().await;
    let started = cell.start(inner, branch, &mut held).await?;
    let connection = Cell::connection(&held)
        .ok_or_else(|| SubstrateError::Failed("the branch's Postgres has ended".to_owned()))?;
    let answer = match inquiry {
        Inquiry::Schema { database, .. } => dumped(inner, branch, &connection, database).await,
        Inquiry::Tables { database, .. } => tables(&connection, database).await,
    };
    if started {
        cell.stop(inner, &mut held).await?;
    }
    answer
}

/// One of PostgreSQL's client programs, as the branch's user, that connects to one of its databases.
pub(crate) fn client_program(
    inner: &Inner,
    branch: &BranchPlace,
    connection: &ConnectionParameters,
    name: &str,
    database: &SqlName,
) -> Result<Command, SubstrateError> {
    let version = inner.installation.version().major;
    let program = inner.installation.program(name);
    if !program.is_file() {
        return Err(SubstrateError::Missing(format!(
            "reading a schema takes PostgreSQL's program {name} of version {version}, and there is no {}: install \
             PostgreSQL's client programs on the node's machine, for example `apt-get install postgresql-client-{version}`",
            program.display()
        )));
    }
    let user = inner.user(branch);
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("LC_ALL", "C")
        .env("PGHOST", &connection.host)
        .env("PGPORT", connection.port.to_string())
        .env("PGUSER", &connection.user)
        // By the environment, which takes a name as it is: as an argument, one with `=` would be a list of settings.
        .env("PGDATABASE", database.as_str())
        .env("PGPASSWORD", connection.password.expose_secret())
        .env("PGAPPNAME", "plinth node")
        .current_dir("/")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    if nix::unistd::geteuid().as_raw() != user.uid {
        command.uid(user.uid).gid(user.gid);
    }
    Ok(command)
}

/// What `pg_dump` says of a database's definitions.
async fn dumped(
    inner: &Inner,
    branch: &BranchPlace,
    connection: &ConnectionParameters,
    database: &SqlName,
) -> Result<String, SubstrateError> {
    let mut command = client_program(inner, branch, connection, "pg_dump", database)?;
    command.args(["--schema-only", "--no-password", "--lock-wait-timeout=10000"]);
    let output = tokio::time::timeout(READING_LIMIT, command.output()).await;
    let output =
        output.map_err(|_| SubstrateError::Failed("pg_dump takes too long".to_owned()))?.map_err(
            |err: io::Error| SubstrateError::Failed(format!("pg_dump cannot be run: {err}")),
        )?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().last().unwrap_or_default().trim();
        return Err(SubstrateError::Refused(format!("the schema cannot be read: {said}")));
    }
    if output.stdout.len() > MOST_BYTES {
        return Err(SubstrateError::Refused(format!(
            "the schema has {} bytes, more than an answer can have",
            output.stdout.len()
        )));
    }
    Ok(without_keys(&String::from_utf8_lossy(&output.stdout)))
}

/// Newer versions put a word made by chance around what they write, so that psql runs no commands in it: two dumps of the
/// same would differ.
fn without_keys(text: &str) -> String {
    let key = text.lines().find_map(|it| it.strip_prefix("\\restrict "));
    let Some(key) = key else { return text.to_owned() };
    let (begin, end) = (format!("\\restrict {key}\n\n"), format!("\\unrestrict {key}\n\n"));
    text.replacen(&begin, "", 1).replacen(&end, "", 1)
}

/// The tables of a database. Nothing that its owner made is looked up by its name, or run.
async fn tables(
    connection: &ConnectionParameters,
    database: &SqlName,
) -> Result<String, SubstrateError> {
    const QUERY: &str = "
        SELECT coalesce(json_agg(json_build_object(
            'schema', n.nspname, 'name', c.relname,
            'columns', (
                SELECT coalesce(json_agg(json_build_object(
                    'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
                    'nullable', NOT a.attnotnull, 'generated', a.attgenerated <> '') ORDER BY a.attnum), '[]')
                FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
            'constraints', (
                SELECT coalesce(json_agg(json_strip_nulls(json_build_object(
                    'type', CASE k.contype WHEN 'p' THEN 'primary_key' WHEN 'u' THEN 'unique' ELSE 'foreign_key' END,
                    'name', k.conname,
                    'columns', (
                        SELECT json_agg(a.attname ORDER BY u.place)
                        FROM unnest(k.conkey) WITH ORDINALITY u (number, place)
                        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number),
                    'referenced_table', CASE WHEN k.contype = 'f' THEN (
                        SELECT json_build_object('schema', rn.nspname, 'table', r.relname, 'columns', (
                            SELECT json_agg(a.attname ORDER BY u.place)
                            FROM unnest(k.confkey) WITH ORDINALITY u (number, place)
                            JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number))
                        FROM pg_class r JOIN pg_namespace rn ON rn.oid = r.relnamespace WHERE r.oid = k.confrelid) END
                    )) ORDER BY k.contype, k.conname), '[]')
                FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('p', 'u', 'f'))
            ) ORDER BY n.nspname, c.relname), '[]')::text
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND left(n.nspname, 3) <> 'pg_' AND n.nspname <> 'information_schema'";
    let read = async {
        let client = admin(connection, database.as_str()).await?;
        // The database's owner may have set where names are looked up.
        client.batch_execute("SET search_path = pg_catalog; SET statement_timeout = 60000").await?;
        client.query_one(QUERY, &[]).await
    };
    let text: String = read.await.map_err(refused)?.get(0);
    if text.len() > MOST_BYTES {
        let size = text.len();
        let said = format!("the schema has {size} bytes, more than an answer can have");
        return Err(SubstrateError::Refused(said));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_chance_are_taken_out_and_nothing_else() {
        let dump = "--\n-- PostgreSQL database dump\n--\n\n\\restrict aB3\n\n-- Dumped\n\n\\unrestrict aB3\n\n";
        assert_eq!(without_keys(dump), "--\n-- PostgreSQL database dump\n--\n\n-- Dumped\n\n");
        let older = "--\nSELECT '\\unrestrict x';\n";
        assert_eq!(without_keys(older), older);
    }
}
