//! Built-in types that may be named.
//!
//! Naming a type runs its input function on the text that is cast. Those of the listed types compute from the text
//! alone. Left out: `xml`, whose input is a parser of its own (see the rule `xml_parsing`); the `reg…` types, which look
//! names of objects up and so tell what exists ("Object Identifier Types"), text search configurations excepted; the
//! server's internal types.

/// Whether the built-in type of that internal name (`int4`, `timestamptz`; an array's with `_` before it) may be named.
pub(crate) fn is_allowed(name: &str) -> bool {
    let name = name.strip_prefix('_').unwrap_or(name);
    ALLOWED.binary_search(&name).is_ok()
}

/// Whether there is a built-in type of that name that may be named in the text of a view only: a view shows what its
/// owner chose to show.
pub(crate) fn is_allowed_in_views(name: &str) -> bool {
    is_allowed(name) || REFERENCES.contains(&name)
}

/// Whether a text is parsed as XML when it becomes this type.
pub(crate) fn is_xml(name: &str) -> bool {
    matches!(name, "xml" | "_xml")
}

/// The internal name of a type as `format_type` prints it: without modifiers, array brackets, schema and quotes, and
/// with SQL's long names made short. Schemas are dropped, so that a comparison errs towards "the same".
pub(crate) fn internal_name(printed: &str) -> String {
    let mut name = printed.trim();
    while let Some(element) = name.strip_suffix("[]") {
        name = element;
    }
    let sql_name = match name.split_once('(') {
        // `timestamp(3) with time zone`, `numeric(12,2)`
        Some((before, after)) if !name.ends_with('"') => {
            let rest = after.split_once(')').map_or("", |it| it.1);
            format!("{}{rest}", before.trim_end())
        }
        _ => name.to_owned(),
    };
    let short = match sql_name.as_str() {
        "bigint" => "int8",
        "bit varying" => "varbit",
        "boolean" => "bool",
        "character" => "bpchar",
        "character varying" => "varchar",
        "double precision" => "float8",
        "integer" => "int4",
        "real" => "float4",
        "smallint" => "int2",
        "time with time zone" => "timetz",
        "time without time zone" => "time",
        "timestamp with time zone" => "timestamptz",
        "timestamp without time zone" => "timestamp",
        other => return last_identifier(other),
    };
    short.to_owned()
}

/// The last part of a qualified name, unquoted.
fn last_identifier(name: &str) -> String {
    if let Some(inner) = name.strip_suffix('"') {
        // The quote that opens it is the last one that is not doubled.
        let bytes = inner.as_bytes();
        let mut at = bytes.len();
        while at > 0 {
            at -= 1;
            if bytes[at] == b'"' {
                if at > 0 && bytes[at - 1] == b'"' {
                    at -= 1;
                } else {
                    return inner[at + 1..].replace("\"\"", "\"");
                }
            }
        }
        return inner.to_owned();
    }
    name.rsplit('.').next().unwrap_or(name).to_owned()
}

/// Sorted.
const ALLOWED: &[&str] = &[
    "bit",
    "bool",
    "box",
    "bpchar",
    "bytea",
    "char",
    "cidr",
    "circle",
    "date",
    "datemultirange",
    "daterange",
    "float4",
    "float8",
    "inet",
    "int2",
    "int2vector",
    "int4",
    "int4multirange",
    "int4range",
    "int8",
    "int8multirange",
    "int8range",
    "interval",
    "json",
    "jsonb",
    "jsonpath",
    "line",
    "lseg",
    "macaddr",
    "macaddr8",
    "money",
    "name",
    "numeric",
    "nummultirange",
    "numrange",
    "oid",
    "path",
    "pg_lsn",
    "point",
    "polygon",
    "record",
    "regconfig",
    "regdictionary",
    "text",
    "tid",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "tsmultirange",
    "tsquery",
    "tsrange",
    "tstzmultirange",
    "tstzrange",
    "tsvector",
    "unknown",
    "uuid",
    "varbit",
    "varchar",
    "xid",
    "xid8",
];

const REFERENCES: &[&str] = &[
    "regclass",
    "regcollation",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_takes_arrays() {
        assert!(ALLOWED.is_sorted());
        assert!(
            is_allowed("_int4")
                && is_allowed("text")
                && !is_allowed("xml")
                && !is_allowed("regclass")
        );
    }

    #[test]
    fn printed_names_become_internal_ones() {
        for (printed, name) in [
            ("numeric(12,2)", "numeric"),
            ("timestamp(3) with time zone", "timestamptz"),
            ("character varying(20)[]", "varchar"),
            ("public.evil", "evil"),
            ("\"My Schema\".\"a\"\"b\"", "a\"b"),
            ("\"char\"", "char"),
            ("geometry(Point,4326)", "geometry"),
            ("\"odd(name)\"", "odd(name)"),
        ] {
            assert_eq!(internal_name(printed), name, "{printed}");
        }
    }
}
