//! Trying a connection out: who answers, and what its owner should know about the role.

use std::time::Duration;

use plinth_connections::{Diagnosis, SslMode, Stage, Target, TestReport};
use plinth_queries::RawRow;
use tokio::time::Instant;

use crate::diagnose;
use crate::pool::PooledSession;
use crate::session::{Query, ReadLimits};

const LIMITS: ReadLimits =
    ReadLimits { time: Duration::from_secs(10), row_bytes: 64 << 10, total_bytes: 1 << 20 };

/// What the role is and may do beyond reading. Columns in the order of [`warnings`].
///
/// Tables are put in their order before their privileges are looked at (`OFFSET 0` keeps the planner from asking first), so that
/// of ten thousand those of one are asked where the role owns them: it took a fifth of a second. Only where something was granted
/// on a column is every column asked.
const RIGHTS: &str = "
SELECT r.rolsuper, r.rolcreaterole, r.rolcreatedb, r.rolreplication, r.rolbypassrls,
       pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'),
       (SELECT n.nspname FROM pg_catalog.pg_namespace n
         WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
           AND pg_catalog.has_schema_privilege(n.oid, 'CREATE') ORDER BY 1 LIMIT 1),
       (SELECT pg_catalog.format('%I.%I', t.nspname, t.relname)
          FROM (SELECT n.nspname, c.relname, c.oid
                  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                 WHERE c.relkind IN ('r', 'p', 'v', 'f')
                   AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
                 ORDER BY n.nspname, c.relname OFFSET 0) t
         WHERE pg_catalog.has_table_privilege(t.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
            OR t.oid IN (SELECT attrelid FROM pg_catalog.pg_attribute WHERE attacl IS NOT NULL)
               AND pg_catalog.has_any_column_privilege(t.oid, 'INSERT, UPDATE')
         LIMIT 1),
       (SELECT pg_catalog.string_agg(g.rolname, ', ' ORDER BY g.rolname) FROM pg_catalog.pg_roles g
         WHERE g.rolname IN ('pg_write_all_data', 'pg_execute_server_program', 'pg_write_server_files',
                             'pg_read_server_files', 'pg_signal_backend', 'pg_maintain')
           AND pg_catalog.pg_has_role(r.oid, g.oid, 'MEMBER'))
  FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";

/// Looks at a session that was opened for this at `began`.
pub(crate) async fn probe(
    mut session: PooledSession,
    target: &Target,
    began: Instant,
) -> Result<TestReport, Diagnosis> {
    let latency = began.elapsed();
    let rights = [Query { sql: RIGHTS, parameters: &[] }];
    let results = session.query_all(&rights, &LIMITS).await.map_err(|error| {
        let mut diagnosis = diagnose::read_schema(error);
        diagnosis.stage = Stage::Database;
        diagnosis
    })?;
    let mut warnings = Vec::new();
    if let Some(clear) = session.cancel.in_clear_from()
        && !session.is_tls()
    {
        warnings.push(format!(
            "The connection is not encrypted {clear}: passwords and results can be read there. Set `ssl_mode` to `require` or stronger."
        ));
    }
    if target.ssl_mode == SslMode::VerifyCa && target.tls.roots().is_none() {
        warnings.push(
            "`ssl_mode` `verify-ca` without `ssl_root_cert` trusts everybody who has a certificate of a public authority. Use `verify-full`, or give the server's authority."
                .to_owned(),
        );
    }
    if let Some(row) = results.first().and_then(|it| it.first()) {
        warnings.extend(rights_warnings(&target.username, row));
    }
    Ok(TestReport {
        latency_ms: latency.as_secs_f64() * 1000.0,
        server_version: session.server_version().to_owned(),
        server_version_num: session.server_version_num(),
        tls: session.is_tls(),
        warnings,
    })
}

fn rights_warnings(role: &str, row: &RawRow) -> Vec<String> {
    let values: Vec<_> =
        row.values().map(|it| it.map(|it| String::from_utf8_lossy(it).into_owned())).collect();
    let text = |at: usize| values.get(at).cloned().flatten();
    let yes = |at: usize| text(at).as_deref() == Some("t");
    let advice = "Plinth only reads; give it a role that can do no more.";
    if yes(0) {
        return vec![format!(
            "The role {role} is a superuser: nothing at the server limits what it may do. {advice}"
        )];
    }
    let mut can = Vec::new();
    let attributes = ["create roles", "create databases", "replicate", "bypass row-level security"];
    for (at, what) in (1..).zip(attributes) {
        if yes(at) {
            can.push(what.to_owned());
        }
    }
    if yes(5) {
        can.push("create schemas in this database".to_owned());
    }
    if let Some(schema) = text(6) {
        can.push(format!("create objects in the schema {schema}"));
    }
    if let Some(table) = text(7) {
        can.push(format!("write to tables, {table} for one"));
    }
    if let Some(roles) = text(8) {
        can.push(format!("act as {roles}"));
    }
    if can.is_empty() {
        return Vec::new();
    }
    vec![format!("The role {role} can do more than read: it can {}. {advice}", can.join("; "))]
}
