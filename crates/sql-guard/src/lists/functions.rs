//! Built-in functions that may be called.
//!
//! A function is on the list if what it answers depends on its arguments only (or on the clock or on chance) and it
//! changes nothing: no file, setting, catalog, other relation, sequence, lock, session or server is touched. The
//! groups follow the chapter "Functions and Operators" of the Postgres documentation (versions 14 to 18).
//!
//! Left out on purpose, so that nobody adds them for completeness:
//! - whatever runs SQL that comes as text: `query_to_xml` and its family, `cursor_to_xml`, `ts_stat`, `ts_rewrite` with
//!   two arguments;
//! - whatever reads a relation that comes as text or oid: `table_to_xml`, `schema_to_xml`, `database_to_xml`,
//!   `currtid2`, `nextval`, `currval`, `lastval`, `setval`;
//! - files and large objects: `pg_read_file`, `pg_ls_dir`, `pg_stat_file`, `lo_*`;
//! - settings and the session: `set_config`, `current_setting`, `setseed`, `pg_backend_pid`, `pg_trigger_depth`;
//! - catalogs and privileges: `pg_get_*`, `has_*_privilege`, `to_reg*`, `obj_description`, `format_type`;
//! - time and locks: `pg_sleep*`, `pg_advisory_*`; signals, replication, backup, statistics, transaction ids;
//! - the network: `inet_server_addr` and its like;
//! - `xmlparse`, `xml(text)`, `xml_is_well_formed`: they hand outside text to an XML parser;
//! - `pg_input_is_valid`: it runs the input function, and so the checks, of any type named in a text.
//!
//! Long-running calls (`repeat`, `generate_series`, regular expressions) are not this list's concern: time, rows and
//! bytes are limited where the statement runs.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Since which `server_version_num` there is an allowed built-in function of that name; `None` if there is none.
/// 0 means that every supported server has it.
pub(crate) fn builtin_since(name: &str) -> Option<u32> {
    SINCE.get(name).copied()
}

/// Functions of which some forms are safe and others not: the numbers of arguments that are safe.
pub(crate) fn safe_arities(name: &str) -> Option<&'static [usize]> {
    match name {
        // With two arguments the second is the text of a query, which is run.
        "ts_rewrite" => Some(&[3]),
        _ => None,
    }
}

/// Functions whose argument of type `xml` a literal would turn into: the position of that argument.
pub(crate) fn xml_argument(name: &str) -> Option<usize> {
    match name {
        "xpath" | "xpath_exists" | "xmlexists" => Some(1),
        "xmlagg" => Some(0),
        _ => None,
    }
}

static SINCE: LazyLock<HashMap<&'static str, u32>> = LazyLock::new(|| {
    let groups = [
        STRING,
        BINARY,
        MATH,
        CONVERSION,
        FORMATTING,
        TIME,
        ENUM,
        GEOMETRY,
        NETWORK,
        TEXT_SEARCH,
        UUID,
        JSON,
        ARRAY,
        RANGE,
        AGGREGATE,
        WINDOW,
        SETS,
        XML,
        HASH,
        INFORMATION,
    ];
    let old = groups.into_iter().flatten().map(|name| (*name, 0));
    old.chain(NEWER.iter().copied()).collect()
});

/// Text ("String Functions and Operators", "Pattern Matching"). `quote_*`, `format` and `parse_ident` only make text of
/// text. `similar_to_escape` and `like_escape` are what `SIMILAR TO` and `LIKE … ESCAPE` become.
const STRING: &[&str] = &[
    "ascii",
    "bit_length",
    "btrim",
    "char_length",
    "character_length",
    "chr",
    "concat",
    "concat_ws",
    "format",
    "initcap",
    "is_normalized",
    "left",
    "length",
    "like_escape",
    "lower",
    "lpad",
    "ltrim",
    "md5",
    "normalize",
    "octet_length",
    "overlay",
    "parse_ident",
    "position",
    "quote_ident",
    "quote_literal",
    "quote_nullable",
    "regexp_match",
    "regexp_matches",
    "regexp_replace",
    "regexp_split_to_array",
    "regexp_split_to_table",
    "repeat",
    "replace",
    "reverse",
    "right",
    "rpad",
    "rtrim",
    "similar_escape",
    "similar_to_escape",
    "split_part",
    "starts_with",
    "string_to_array",
    "strpos",
    "substr",
    "substring",
    "to_ascii",
    "to_hex",
    "translate",
    "upper",
];

/// Bytes ("Binary String Functions", "Bit String Functions").
const BINARY: &[&str] = &[
    "convert",
    "convert_from",
    "convert_to",
    "decode",
    "encode",
    "get_bit",
    "get_byte",
    "set_bit",
    "set_byte",
    "sha224",
    "sha256",
    "sha384",
    "sha512",
];

/// Numbers ("Mathematical Functions"). `random` uses up the session's state of chance, which nobody else sees; `setseed`,
/// which sets it, is left out.
const MATH: &[&str] = &[
    "abs",
    "acos",
    "acosd",
    "acosh",
    "asin",
    "asind",
    "asinh",
    "atan",
    "atan2",
    "atan2d",
    "atand",
    "atanh",
    "cbrt",
    "ceil",
    "ceiling",
    "cos",
    "cosd",
    "cosh",
    "cot",
    "cotd",
    "degrees",
    "div",
    "exp",
    "factorial",
    "floor",
    "gcd",
    "lcm",
    "ln",
    "log",
    "log10",
    "min_scale",
    "mod",
    "pi",
    "pow",
    "power",
    "radians",
    "random",
    "round",
    "scale",
    "sign",
    "sin",
    "sind",
    "sinh",
    "sqrt",
    "tan",
    "tand",
    "tanh",
    "trim_scale",
    "trunc",
    "width_bucket",
];

/// Casts written as calls, and `"char"`, `name` and `bpchar` among them. `xml(text)` would parse XML and is left out;
/// so are `regclass(text)` and `oid`-like ones, which look names up.
const CONVERSION: &[&str] = &[
    "bit",
    "bool",
    "bpchar",
    "char",
    "date",
    "float4",
    "float8",
    "int2",
    "int4",
    "int8",
    "interval",
    "money",
    "name",
    "numeric",
    "text",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "varbit",
    "varchar",
];

/// "Data Type Formatting Functions".
const FORMATTING: &[&str] = &["to_char", "to_date", "to_number", "to_timestamp"];

/// "Date/Time Functions". `timezone` is what `AT TIME ZONE` becomes, `overlaps` what `OVERLAPS` becomes.
const TIME: &[&str] = &[
    "age",
    "clock_timestamp",
    "date_part",
    "date_trunc",
    "extract",
    "isfinite",
    "justify_days",
    "justify_hours",
    "justify_interval",
    "make_date",
    "make_interval",
    "make_time",
    "make_timestamp",
    "make_timestamptz",
    "now",
    "overlaps",
    "statement_timestamp",
    "timeofday",
    "timezone",
    "transaction_timestamp",
];

/// "Enum Support Functions".
const ENUM: &[&str] = &["enum_first", "enum_last", "enum_range"];

/// "Geometric Functions", conversions among them included.
const GEOMETRY: &[&str] = &[
    "area",
    "bound_box",
    "box",
    "center",
    "circle",
    "diagonal",
    "diameter",
    "height",
    "isclosed",
    "ishorizontal",
    "isopen",
    "isparallel",
    "isperp",
    "isvertical",
    "line",
    "lseg",
    "npoints",
    "path",
    "pclose",
    "point",
    "polygon",
    "popen",
    "radius",
    "slope",
    "width",
];

/// "Network Address Functions" on values; those that tell of the connection (`inet_client_addr`…) are left out.
const NETWORK: &[&str] = &[
    "abbrev",
    "broadcast",
    "cidr",
    "family",
    "host",
    "hostmask",
    "inet_merge",
    "inet_same_family",
    "macaddr",
    "macaddr8",
    "macaddr8_set7bit",
    "masklen",
    "netmask",
    "network",
    "set_masklen",
];

/// "Text Search Functions". Configurations and dictionaries are looked up by name, and so may only be shown; `ts_stat`
/// runs a query in a text, `ts_rewrite` does with two arguments (see [`safe_arities`]).
const TEXT_SEARCH: &[&str] = &[
    "array_to_tsvector",
    "get_current_ts_config",
    "json_to_tsvector",
    "jsonb_to_tsvector",
    "numnode",
    "phraseto_tsquery",
    "plainto_tsquery",
    "querytree",
    "setweight",
    "strip",
    "to_tsquery",
    "to_tsvector",
    "ts_delete",
    "ts_filter",
    "ts_headline",
    "ts_lexize",
    "ts_parse",
    "ts_rank",
    "ts_rank_cd",
    "ts_rewrite",
    "ts_token_type",
    "tsquery_phrase",
    "tsvector_to_array",
    "websearch_to_tsquery",
];

/// "UUID Functions".
const UUID: &[&str] = &["gen_random_uuid"];

/// "JSON Functions". The `populate` and `to_record` forms build rows of types that the statement names, and those types
/// are judged where they are named.
const JSON: &[&str] = &[
    "array_to_json",
    "json_array_elements",
    "json_array_elements_text",
    "json_array_length",
    "json_build_array",
    "json_build_object",
    "json_each",
    "json_each_text",
    "json_extract_path",
    "json_extract_path_text",
    "json_object",
    "json_object_keys",
    "json_populate_record",
    "json_populate_recordset",
    "json_strip_nulls",
    "json_to_record",
    "json_to_recordset",
    "json_typeof",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_array_length",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_each",
    "jsonb_each_text",
    "jsonb_extract_path",
    "jsonb_extract_path_text",
    "jsonb_insert",
    "jsonb_object",
    "jsonb_object_keys",
    "jsonb_path_exists",
    "jsonb_path_exists_tz",
    "jsonb_path_match",
    "jsonb_path_match_tz",
    "jsonb_path_query",
    "jsonb_path_query_array",
    "jsonb_path_query_array_tz",
    "jsonb_path_query_first",
    "jsonb_path_query_first_tz",
    "jsonb_path_query_tz",
    "jsonb_populate_record",
    "jsonb_populate_recordset",
    "jsonb_pretty",
    "jsonb_set",
    "jsonb_set_lax",
    "jsonb_strip_nulls",
    "jsonb_to_record",
    "jsonb_to_recordset",
    "jsonb_typeof",
    "row_to_json",
    "to_json",
    "to_jsonb",
];

/// "Array Functions".
const ARRAY: &[&str] = &[
    "array_append",
    "array_cat",
    "array_dims",
    "array_fill",
    "array_length",
    "array_lower",
    "array_ndims",
    "array_position",
    "array_positions",
    "array_prepend",
    "array_remove",
    "array_replace",
    "array_to_string",
    "array_upper",
    "cardinality",
    "unnest",
];

/// "Range Functions" and the constructors of the built-in ranges.
const RANGE: &[&str] = &[
    "daterange",
    "int4range",
    "int8range",
    "isempty",
    "lower_inc",
    "lower_inf",
    "numrange",
    "range_merge",
    "tsrange",
    "tstzrange",
    "upper_inc",
    "upper_inf",
];

/// "Aggregate Functions". `count` and its kin under `OVER` are the same functions.
const AGGREGATE: &[&str] = &[
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "every",
    "json_agg",
    "json_object_agg",
    "jsonb_agg",
    "jsonb_object_agg",
    "max",
    "min",
    "mode",
    "percentile_cont",
    "percentile_disc",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "var_pop",
    "var_samp",
    "variance",
];

/// "Window Functions", of which the ranking ones are hypothetical-set aggregates too.
const WINDOW: &[&str] = &[
    "cume_dist",
    "dense_rank",
    "first_value",
    "lag",
    "last_value",
    "lead",
    "nth_value",
    "ntile",
    "percent_rank",
    "rank",
    "row_number",
];

/// "Set Returning Functions" and "Comparison Functions".
const SETS: &[&str] = &["generate_series", "generate_subscripts", "num_nonnulls", "num_nulls"];

/// "XML Functions" on values that are XML already (see [`xml_argument`]).
const XML: &[&str] = &["xmlagg", "xmlcomment", "xmlexists", "xpath", "xpath_exists"];

/// Hashes that people use to draw stable samples.
const HASH: &[&str] = &[
    "hashfloat8",
    "hashint2",
    "hashint4",
    "hashint8",
    "hashtext",
    "hashtextextended",
    "hash_numeric",
    "uuid_hash",
];

/// Of "System Information Functions" those that tell of a value, of the product's version, or of the database that the
/// caller has named himself.
const INFORMATION: &[&str] = &[
    "current_database",
    "current_schema",
    "pg_client_encoding",
    "pg_collation_for",
    "pg_column_compression",
    "pg_column_size",
    "pg_size_bytes",
    "pg_size_pretty",
    "pg_typeof",
    "version",
];

/// What later versions added, with the version. On an older server the same name can be a function of the database's
/// own, so there it does not count as built-in.
const NEWER: &[(&str, u32)] = &[
    ("bit_count", 140_000),
    ("bit_xor", 140_000),
    ("date_bin", 140_000),
    ("datemultirange", 140_000),
    ("int4multirange", 140_000),
    ("int8multirange", 140_000),
    ("multirange", 140_000),
    ("nummultirange", 140_000),
    ("range_agg", 140_000),
    ("range_intersect_agg", 140_000),
    ("string_to_table", 140_000),
    ("trim_array", 140_000),
    ("tsmultirange", 140_000),
    ("tstzmultirange", 140_000),
    ("unistr", 140_000),
    ("regexp_count", 150_000),
    ("regexp_instr", 150_000),
    ("regexp_like", 150_000),
    ("regexp_substr", 150_000),
    ("any_value", 160_000),
    ("array_sample", 160_000),
    ("array_shuffle", 160_000),
    ("date_add", 160_000),
    ("date_subtract", 160_000),
    ("erf", 160_000),
    ("erfc", 160_000),
    ("json_agg_strict", 160_000),
    ("json_object_agg_strict", 160_000),
    ("json_object_agg_unique", 160_000),
    ("json_object_agg_unique_strict", 160_000),
    ("jsonb_agg_strict", 160_000),
    ("jsonb_object_agg_strict", 160_000),
    ("jsonb_object_agg_unique", 160_000),
    ("jsonb_object_agg_unique_strict", 160_000),
    ("random_normal", 160_000),
    ("jsonb_populate_record_valid", 170_000),
    ("to_bin", 170_000),
    ("to_oct", 170_000),
    ("unicode_assigned", 170_000),
    ("uuid_extract_timestamp", 170_000),
    ("uuid_extract_version", 170_000),
    ("xmltext", 170_000),
    ("array_reverse", 180_000),
    ("array_sort", 180_000),
    ("casefold", 180_000),
    ("crc32", 180_000),
    ("crc32c", 180_000),
    ("gamma", 180_000),
    ("lgamma", 180_000),
    ("uuidv4", 180_000),
    ("uuidv7", 180_000),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_reaches_beyond_its_arguments_is_listed() {
        let never = [
            "query_to_xml",
            "table_to_xml",
            "cursor_to_xml",
            "database_to_xml",
            "ts_stat",
            "pg_read_file",
            "pg_read_binary_file",
            "pg_ls_dir",
            "lo_get",
            "lo_import",
            "set_config",
            "current_setting",
            "setseed",
            "nextval",
            "currval",
            "lastval",
            "setval",
            "pg_sleep",
            "pg_advisory_lock",
            "pg_notify",
            "to_regclass",
            "has_table_privilege",
            "pg_get_viewdef",
            "txid_current",
            "inet_server_addr",
            "xml",
            "xmlparse",
            "pg_input_is_valid",
            "pg_input_error_info",
            "dblink",
            "format_type",
            "current_user",
            "currtid2",
        ];
        for name in never {
            assert_eq!(builtin_since(name), None, "{name}");
        }
        for (name, _) in SINCE.iter() {
            let prefixes =
                ["pg_get", "pg_stat", "pg_ls", "pg_read", "lo_", "has_", "txid_", "to_reg"];
            assert!(!prefixes.iter().any(|it| name.starts_with(it)), "{name}");
        }
    }

    #[test]
    fn no_name_is_listed_twice() {
        let listed = [
            STRING,
            BINARY,
            MATH,
            CONVERSION,
            FORMATTING,
            TIME,
            ENUM,
            GEOMETRY,
            NETWORK,
            TEXT_SEARCH,
            UUID,
            JSON,
            ARRAY,
            RANGE,
            AGGREGATE,
            WINDOW,
            SETS,
            XML,
            HASH,
            INFORMATION,
        ];
        assert_eq!(listed.iter().map(|it| it.len()).sum::<usize>() + NEWER.len(), SINCE.len());
    }
}
