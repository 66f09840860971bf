use std::borrow::Cow;
use std::fmt::Write;

use super::kind::{FIRST_USER_OID, Shape, UserTypes, built_in_element};

/// A type's name as `format_type` prints it, like `numeric(12,2)` or `timestamp with time zone`.
///
/// `modifier` is −1 where there is none. A type that is neither built in nor in `types` is `unknown`.
pub fn type_name(type_oid: u32, modifier: i32, types: &UserTypes) -> Cow<'_, str> {
    if let Some(element) = built_in_element(type_oid) {
        return format!("{}[]", type_name(element, modifier, types)).into();
    }
    if let Ok(at) = NAMES.binary_search_by_key(&type_oid, |it| it.0) {
        let name = NAMES[at].1;
        return match modifier {
            // `format_type` tells these two from their namesakes of length 1.
            ..0 if type_oid == CHARACTER => "character".into(),
            ..0 => name.into(),
            _ => with_modifier(type_oid, name, modifier),
        };
    }
    match types.shape(type_oid) {
        Some(Shape::Array { element, .. })
            if types.shape(element).is_some() || element < FIRST_USER_OID =>
        {
            match types.shape(element) {
                Some(Shape::Array { .. }) => types.name(type_oid).unwrap_or("unknown").into(),
                _ => format!("{}[]", type_name(element, modifier, types)).into(),
            }
        }
        Some(_) => types.name(type_oid).unwrap_or("unknown").into(),
        None => "unknown".into(),
    }
}

const CHARACTER: u32 = 1042;

fn with_modifier(type_oid: u32, name: &'static str, modifier: i32) -> Cow<'static, str> {
    let (head, tail) = name.split_once(' ').unwrap_or((name, ""));
    match type_oid {
        // The length with the four bytes of a header.
        1042 | 1043 => format!("{name}({})", modifier - 4).into(),
        1560 | 1562 => format!("{name}({modifier})").into(),
        1083 | 1114 | 1184 | 1266 => format!("{head}({modifier}) {tail}").into(),
        1700 if modifier >= 4 => {
            let (precision, scale) = ((modifier - 4) >> 16 & 0xffff, (modifier - 4) & 0x7ff);
            // Eleven bits with a sign, since Postgres 15.
            format!("{name}({precision},{})", (scale ^ 1024) - 1024).into()
        }
        1186 => interval(modifier).into(),
        _ => name.into(),
    }
}

/// An interval's modifier: in the upper half which fields it keeps, in the lower the digits of its seconds.
fn interval(modifier: i32) -> String {
    const MONTH: i32 = 1 << 1;
    const YEAR: i32 = 1 << 2;
    const DAY: i32 = 1 << 3;
    const HOUR: i32 = 1 << 10;
    const MINUTE: i32 = 1 << 11;
    const SECOND: i32 = 1 << 12;
    const UNLIMITED: i32 = 0xffff;

    let fields = modifier >> 16 & 0x7fff;
    let names = [
        (YEAR, "year"),
        (MONTH, "month"),
        (DAY, "day"),
        (HOUR, "hour"),
        (MINUTE, "minute"),
        (SECOND, "second"),
    ];
    let mut kept = names.iter().filter(|it| fields & it.0 != 0);
    let mut text = String::from("interval");
    if fields != 0x7fff
        && let Some((_, first)) = kept.next()
    {
        let _ = write!(text, " {first}");
        if let Some((_, last)) = kept.next_back() {
            let _ = write!(text, " to {last}");
        }
    }
    let digits = modifier & UNLIMITED;
    if digits != UNLIMITED {
        let _ = write!(text, "({digits})");
    }
    text
}

/// `schema.name`, each in double quotes where it would not be read as it stands.
pub(super) fn quoted_name(schema: Option<&str>, name: &str) -> String {
    let quoted = |it: &str| {
        let plain =
            it.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_')
                && it.bytes().next().is_some_and(|it| !it.is_ascii_digit());
        if plain { it.to_owned() } else { format!("\"{}\"", it.replace('"', "\"\"")) }
    };
    match schema {
        Some(schema) => format!("{}.{}", quoted(schema), quoted(name)),
        None => quoted(name),
    }
}

/// The names of the built-in types that are no arrays, sorted by oid.
#[rustfmt::skip]
const NAMES: &[(u32, &str)] = &[
    (16, "boolean"), (17, "bytea"), (18, "\"char\""), (19, "name"), (20, "bigint"), (21, "smallint"),
    (22, "int2vector"), (23, "integer"), (24, "regproc"), (25, "text"), (26, "oid"), (27, "tid"), (28, "xid"),
    (29, "cid"), (30, "oidvector"), (32, "pg_ddl_command"), (71, "pg_type"), (75, "pg_attribute"), (81, "pg_proc"),
    (83, "pg_class"), (114, "json"), (142, "xml"), (194, "pg_node_tree"), (269, "table_am_handler"),
    (325, "index_am_handler"), (600, "point"), (601, "lseg"), (602, "path"), (603, "box"), (604, "polygon"),
    (628, "line"), (650, "cidr"), (700, "real"), (701, "double precision"), (705, "unknown"), (718, "circle"),
    (774, "macaddr8"), (790, "money"), (829, "macaddr"), (869, "inet"), (1033, "aclitem"), (1042, "character"),
    (1043, "character varying"), (1082, "date"), (1083, "time without time zone"),
    (1114, "timestamp without time zone"), (1184, "timestamp with time zone"), (1186, "interval"),
    (1266, "time with time zone"), (1560, "bit"), (1562, "bit varying"), (1700, "numeric"), (1790, "refcursor"),
    (2202, "regprocedure"), (2203, "regoper"), (2204, "regoperator"), (2205, "regclass"), (2206, "regtype"),
    (2249, "record"), (2275, "cstring"), (2276, "\"any\""), (2277, "anyarray"), (2278, "void"), (2279, "trigger"),
    (2280, "language_handler"), (2281, "internal"), (2283, "anyelement"), (2776, "anynonarray"), (2950, "uuid"),
    (2970, "txid_snapshot"), (3115, "fdw_handler"), (3220, "pg_lsn"), (3310, "tsm_handler"), (3361, "pg_ndistinct"),
    (3402, "pg_dependencies"), (3500, "anyenum"), (3614, "tsvector"), (3615, "tsquery"), (3642, "gtsvector"),
    (3734, "regconfig"), (3769, "regdictionary"), (3802, "jsonb"), (3831, "anyrange"), (3838, "event_trigger"),
    (3904, "int4range"), (3906, "numrange"), (3908, "tsrange"), (3910, "tstzrange"), (3912, "daterange"),
    (3926, "int8range"), (4072, "jsonpath"), (4089, "regnamespace"), (4096, "regrole"), (4191, "regcollation"),
    (4451, "int4multirange"), (4532, "nummultirange"), (4533, "tsmultirange"), (4534, "tstzmultirange"),
    (4535, "datemultirange"), (4536, "int8multirange"), (4537, "anymultirange"), (4538, "anycompatiblemultirange"),
    (4600, "pg_brin_bloom_summary"), (4601, "pg_brin_minmax_multi_summary"), (5017, "pg_mcv_list"),
    (5038, "pg_snapshot"), (5069, "xid8"), (5077, "anycompatible"), (5078, "anycompatiblearray"),
    (5079, "anycompatiblenonarray"), (5080, "anycompatiblerange"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_format_type_prints() {
        let mut types = UserTypes::default();
        types.insert(20_000, Shape::Scalar, Some("shop"), "order_status");
        types.insert(20_001, Shape::Array { element: 20_000, delimiter: b',' }, None, "");
        for (oid, modifier, name) in [
            (1700, 786_438, "numeric(12,2)"),
            (1700, 5 << 16 | 0x7fe | 4, "numeric(5,-6)"),
            (1700, -1, "numeric"),
            (1043, 24, "character varying(20)"),
            (1042, 5, "character(1)"),
            (1042, -1, "character"),
            (1560, 5, "bit(5)"),
            (1184, -1, "timestamp with time zone"),
            (1184, 3, "timestamp(3) with time zone"),
            (1009, -1, "text[]"),
            (1231, 786_438, "numeric(12,2)[]"),
            (1186, 0x7fff_0003, "interval(3)"),
            (1186, 0x1c08_0002, "interval day to second(2)"),
            (1186, 0x0004_ffff, "interval year"),
            (20_000, -1, "shop.order_status"),
            (20_001, -1, "shop.order_status[]"),
            (20_002, -1, "unknown"),
            (9_999, -1, "unknown"),
        ] {
            assert_eq!(type_name(oid, modifier, &types), name);
        }
    }

    #[test]
    fn the_table_of_names_is_sorted() {
        assert!(NAMES.is_sorted_by_key(|it| it.0));
    }

    #[test]
    fn names_are_quoted_where_they_must_be() {
        assert_eq!(quoted_name(Some("Sales"), "a\"b"), "\"Sales\".\"a\"\"b\"");
        assert_eq!(quoted_name(None, "status"), "status");
    }
}
