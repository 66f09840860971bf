//! Names that may not stand after a dot behind a value.
//!
//! `(value).name` selects a field of a row, but where the value is no row, or its row has no such field, Postgres calls
//! the function `name(value)` ("Functional notation", in the chapter on composite types): `('/etc/passwd').pg_read_file`
//! reads a file without a function call anywhere in the tree. So such a name must be one that the database or the
//! statement gives to a column, a function that could be called anyway, or a field that a listed function returns; and
//! whatever the statement says, it is none of the following.

/// Whether a built-in function that must not be called may be meant by that name.
pub(crate) fn is_forbidden(name: &str) -> bool {
    PREFIXES.iter().any(|it| name.starts_with(it)) || NAMES.contains(&name)
}

/// Whether that is the name of a field that a listed function, or a row without names, has.
pub(crate) fn is_field(name: &str) -> bool {
    FIELDS.contains(&name)
        || ["f", "column"].iter().any(|it| {
            let number = name.strip_prefix(it);
            number.is_some_and(|it| !it.is_empty() && it.bytes().all(|b| b.is_ascii_digit()))
        })
}

/// The server's families of functions with one argument, present ones and those to come.
const PREFIXES: &[&str] = &[
    "binary_upgrade_",
    "brin_",
    "database_to_",
    "fmgr_",
    "gin_",
    "has_",
    "inet_client",
    "inet_server",
    "lo_",
    "pg_",
    "query_to_",
    "schema_to_",
    "table_to_",
    "to_reg",
    "txid_",
];

const NAMES: &[&str] = &[
    "amvalidate",
    "col_description",
    "current_schemas",
    "current_setting",
    "currtid2",
    "currval",
    "cursor_to_xml",
    "cursor_to_xmlschema",
    "loread",
    "lowrite",
    "nextval",
    "obj_description",
    "plpgsql_validator",
    "regclass",
    "row_security_active",
    "set_config",
    "setseed",
    "setval",
    "shobj_description",
    "ts_debug",
    "ts_stat",
    "xml",
    "xml_is_well_formed",
    "xml_is_well_formed_content",
    "xml_is_well_formed_document",
];

/// Output names of listed functions: `json_each`, `ts_parse`, `ts_token_type`, `unnest(tsvector)`, `ts_debug`-like rows,
/// `WITH ORDINALITY`, hstore's `each`, and those of `PostGIS` that make rows.
const FIELDS: &[&str] = &[
    "alias",
    "description",
    "geom",
    "key",
    "lexeme",
    "location",
    "ordinality",
    "path",
    "positions",
    "reason",
    "tokid",
    "token",
    "val",
    "valid",
    "value",
    "weights",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_rows_are_known_and_functions_are_not_among_them() {
        assert!(is_field("f1") && is_field("column12") && is_field("key"));
        assert!(!is_field("f") && !is_field("fx") && !is_field("pg_read_file"));
        assert!(is_forbidden("pg_read_file") && is_forbidden("lo_get") && is_forbidden("nextval"));
        assert!(!is_forbidden("name") && !is_forbidden("id"));
    }
}
