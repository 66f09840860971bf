//! What no approved text may call, looked for in its tokens and not in the tree from which the guard judges.

use pg_query::protobuf::Token;

/// Functions that read files, sleep, change settings or reach elsewhere.
const FORBIDDEN_CALLS: &[&str] = &[
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "pg_read_file",
    "pg_read_binary_file",
    "pg_ls_dir",
    "pg_stat_file",
    "lo_import",
    "lo_export",
    "lo_get",
    "lo_put",
    "set_config",
    "dblink",
    "dblink_exec",
    "pg_terminate_backend",
    "pg_cancel_backend",
    "pg_reload_conf",
    "pg_advisory_lock",
    "nextval",
    "setval",
    "query_to_xml",
    "table_to_xml",
    "database_to_xml",
    "currval",
    "pg_notify",
    "txid_current",
    "log_visit",
];

/// The forbidden function that the text calls, as its tokens say.
pub(crate) fn forbidden_call(sql: &str) -> Option<String> {
    let tokens = pg_query::scan(sql).ok()?.tokens;
    let tokens: Vec<_> = tokens
        .iter()
        .filter(|it| !matches!(it.token(), Token::SqlComment | Token::CComment))
        .map(|it| {
            let range = usize::try_from(it.start).ok()?..usize::try_from(it.end).ok()?;
            Some((it.token(), sql.get(range)?.trim_matches('"').to_lowercase()))
        })
        .collect::<Option<_>>()?;
    tokens.windows(3).find_map(|it| {
        let [(before, _), (_, name), (after, _)] = it else { return None };
        // A name of the statement's own may be any: `AS pg_sleep(a)`, `WITH pg_sleep(a) AS`.
        let is_own = matches!(before, Token::As | Token::With | Token::Recursive | Token::Ident);
        let is_call = *after == Token::Ascii40 && !is_own;
        (is_call && FORBIDDEN_CALLS.contains(&name.as_str())).then(|| name.clone())
    })
}
