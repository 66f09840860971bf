//! Extensions whose functions, operators, casts and types are known.
//!
//! An extension's code runs with the server's rights, so one that is not known is refused like any function of the
//! database's own. Of the known ones three questions were asked: does a function run SQL that comes as text, does it
//! read or change anything but its arguments, can it hold the server for long without answering to a cancel? Those that
//! come with Postgres are listed by its documentation (appendix "Additional Supplied Modules"); of the others only
//! what is generally known to compute from its arguments is listed, and what is in doubt is refused.

/// Which functions of an extension may be called.
#[derive(Clone, Copy, Debug)]
enum Functions {
    /// All of them.
    All,
    /// All but these.
    Except(&'static [&'static str]),
    /// These only.
    Only(&'static [&'static str]),
    /// Those that begin so, but these.
    Prefixed(&'static [&'static str], &'static [&'static str]),
}

/// Whether that extension's function of that name may be called.
pub(crate) fn allows_function(extension: &str, name: &str) -> bool {
    let Some((_, functions)) = EXTENSIONS.iter().find(|it| it.0 == extension) else { return false };
    match functions {
        Functions::All => true,
        Functions::Except(names) => !names.contains(&name),
        Functions::Only(names) => names.contains(&name),
        Functions::Prefixed(prefixes, except) => {
            prefixes.iter().any(|it| name.starts_with(it)) && !except.contains(&name)
        }
    }
}

/// Whether that extension's types, operators and casts compute from their operands alone.
pub(crate) fn is_known(extension: &str) -> bool {
    EXTENSIONS.iter().any(|it| it.0 == extension)
}

const EXTENSIONS: &[(&str, Functions)] = &[
    // Postgres's own modules.
    ("btree_gin", Functions::All),
    ("btree_gist", Functions::All),
    ("citext", Functions::All),
    ("cube", Functions::All),
    ("dict_int", Functions::All),
    ("dict_xsyn", Functions::All),
    ("earthdistance", Functions::All),
    ("fuzzystrmatch", Functions::All),
    ("hstore", Functions::All),
    ("intagg", Functions::All),
    ("intarray", Functions::All),
    // `isn_weak(boolean)` sets a mode of the session.
    ("isn", Functions::Except(&["isn_weak"])),
    ("ltree", Functions::All),
    // `set_limit` changes a setting.
    ("pg_trgm", Functions::Except(&["set_limit"])),
    // `crypt` and `gen_salt` take minutes to days at a high cost and cannot be cancelled; the `pgp_` functions iterate as
    // often as the message says; the raw ciphers are for code, not for questions.
    (
        "pgcrypto",
        Functions::Only(&[
            "armor",
            "dearmor",
            "digest",
            "gen_random_bytes",
            "gen_random_uuid",
            "hmac",
        ]),
    ),
    ("seg", Functions::All),
    // `crosstab` and `connectby` run SQL that comes as text.
    ("tablefunc", Functions::Only(&["normal_rand"])),
    ("unaccent", Functions::All),
    ("uuid-ossp", Functions::All),
    // Others' modules that analytics databases have.
    ("h3", Functions::Prefixed(&["h3_"], &[])),
    // Those that are left out change settings of the session.
    (
        "hll",
        Functions::Except(&["hll_set_defaults", "hll_set_max_sparse", "hll_set_output_version"]),
    ),
    ("ip4r", Functions::All),
    ("pg_uuidv7", Functions::All),
    // Some read other relations' statistics, run queries over a table that comes as text, or make a table. What is not
    // `st_` administers, or belongs to the operators, which need no call. Old versions had the raster functions too, which
    // read files.
    (
        "postgis",
        Functions::Prefixed(
            &["st_", "geometry", "geography", "box2d", "box3d"],
            &[
                "st_addband",
                "st_createoverview",
                "st_fromgdalraster",
                "st_estimatedextent",
                "st_estimated_extent",
                "st_findextent",
                "st_find_extent",
                "st_fromflatgeobuftotable",
            ],
        ),
    ),
    ("semver", Functions::All),
    ("tdigest", Functions::All),
    (
        "timescaledb",
        Functions::Only(&[
            "first",
            "histogram",
            "interpolate",
            "last",
            "locf",
            "time_bucket",
            "time_bucket_gapfill",
        ]),
    ),
    ("vector", Functions::All),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_that_run_text_or_hold_the_server_are_not_let_through() {
        for (extension, name) in [
            ("tablefunc", "crosstab"),
            ("tablefunc", "connectby"),
            ("xml2", "xpath_table"),
            ("dblink", "dblink"),
            ("pgcrypto", "crypt"),
            ("pgcrypto", "gen_salt"),
            ("pg_trgm", "set_limit"),
            ("postgis", "st_fromflatgeobuftotable"),
            ("postgis", "postgis_extensions_upgrade"),
            ("postgis", "addgeometrycolumn"),
            ("adminpack", "pg_file_write"),
        ] {
            assert!(!allows_function(extension, name), "{extension}.{name}");
        }
        assert!(
            allows_function("pg_trgm", "similarity") && allows_function("postgis", "st_distance")
        );
        assert!(allows_function("pgcrypto", "digest") && allows_function("hstore", "akeys"));
    }
}
