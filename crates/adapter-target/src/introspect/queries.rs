//! What is asked of the catalogs. Every statement holds from Postgres 14 to 18 and for a role without any privilege.
//!
//! Relations of users are told from the server's own by their oids: below [`FIRST_USER_OID`] is what `initdb` made. That is
//! cheaper than asking for their schemas, and is what `pg_dump` does.

/// Objects that were not made by `initdb` have oids from here on.
pub(super) const FIRST_USER_OID: u32 = 16_384;

/// Settings of the transaction in which the catalogs are read. Names are written with their schemas, so that they mean the
/// same to whoever reads them. Compiling (`jit`) takes longer than what it compiles takes here, and other processes of the
/// server are not ours to use.
///
/// Parameters: milliseconds of waiting for a lock, and of one statement.
pub(super) const SETTINGS: &str = "\
SELECT pg_catalog.set_config('lock_timeout', $1, true), \
       pg_catalog.set_config('statement_timeout', $2, true), \
       pg_catalog.set_config('search_path', '', true), \
       pg_catalog.set_config('jit', 'off', true), \
       pg_catalog.set_config('max_parallel_workers_per_gather', '0', true)";

/// Before [`SETTINGS`]: the schemas in which the role finds names.
pub(super) const SEARCH_PATH: &str = "\
SELECT n FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS t (n, at) ORDER BY at";

/// Before [`SETTINGS`] too.
pub(super) const SESSION: &str = "\
SELECT current_setting('server_version_num'), current_database(), current_user, \
       has_table_privilege('pg_catalog.pg_statistic', 'SELECT')";

pub(super) const SCHEMAS: &str = "\
SELECT oid, nspname, has_schema_privilege(oid, 'USAGE') \
FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'";

/// `row_security_active` opens the policy's catalogs, so it is asked only where row security is on.
pub(super) const RELATIONS: &str = "\
SELECT oid, relnamespace, relname, relkind, reltuples, relispartition, has_table_privilege(oid, 'SELECT'), \
       CASE WHEN relrowsecurity THEN row_security_active(oid) ELSE false END \
FROM pg_class \
WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND relpersistence <> 't' AND oid >= 16384";

/// The last one is null where no privilege was granted on the column itself, which is nearly everywhere.
pub(super) const COLUMNS: &str = "\
SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, \
       a.attidentity <> '' OR a.attgenerated <> '', \
       CASE WHEN a.attacl IS NOT NULL THEN has_column_privilege(a.attrelid, a.attnum, 'SELECT') END \
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
WHERE a.attnum > 0 AND NOT a.attisdropped \
  AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't' AND c.oid >= 16384";

/// Printing an expression is the most expensive thing here, and many columns have the same (partitions have all their
/// parent's), so it is printed once for all that are stored alike. One that names columns is its table's own.
pub(super) const DEFAULTS: &str = "\
SELECT pg_get_expr(d.adbin, d.adrelid), g.members \
FROM (SELECT min(oid) AS first, string_agg(adrelid || '.' || adnum, ' ') AS members \
      FROM pg_attrdef WHERE adrelid >= 16384 \
      GROUP BY adbin::text, CASE WHEN strpos(adbin::text, '{VAR ') > 0 THEN adrelid END) g \
JOIN pg_attrdef d ON d.oid = g.first";

pub(super) const DEFINITIONS: &str = "\
SELECT oid, pg_get_viewdef(oid) \
FROM pg_class WHERE relkind IN ('v', 'm') AND relpersistence <> 't' AND oid >= 16384";

/// Neither the row types of tables nor arrays, which are named by their elements.
pub(super) const TYPES: &str = "\
SELECT t.oid, n.nspname, t.typname, t.typtype, t.typcategory, t.typarray, t.typdelim, t.typbasetype, t.typtypmod, t.typnotnull, \
       t.typtype = 'd' AND (t.typdefaultbin IS NOT NULL \
         OR t.oid IN (SELECT contypid FROM pg_constraint WHERE contype = 'c' AND contypid <> 0)) \
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
WHERE t.oid >= 16384 AND t.typinput <> 'array_in'::regproc \
  AND (t.typrelid = 0 OR t.typrelid IN (SELECT oid FROM pg_class WHERE relkind = 'c'))";

/// Those that columns or functions have without being in [`TYPES`]: row types of tables, `information_schema`'s.
pub(super) const OTHER_TYPES: &str = "\
SELECT t.oid, n.nspname, t.typname, t.typtype, t.typcategory, t.typarray, t.typdelim, t.typbasetype, t.typtypmod, t.typnotnull, false, \
       CASE WHEN t.typinput = 'array_in'::regproc THEN t.typelem ELSE 0 END \
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
WHERE t.oid = ANY ($1::oid[]) \
   OR t.oid IN (SELECT e.typelem FROM pg_type e WHERE e.oid = ANY ($1::oid[]) AND e.typinput = 'array_in'::regproc)";

/// Types of extensions print their modifiers by functions of their own: `geometry(Point,4326)`.
pub(super) const MODIFIED_TYPES: &str = "\
SELECT t.oid, t.modifier, format_type(t.oid, t.modifier) \
FROM unnest($1::oid[], $2::int4[]) AS t (oid, modifier)";

pub(super) const ENUM_LABELS: &str =
    "SELECT enumtypid, enumlabel FROM pg_enum ORDER BY enumtypid, enumsortorder";

pub(super) const CONSTRAINTS: &str = "\
SELECT oid, conrelid, contype, conname, conkey, confrelid, confkey, conparentid, conindid \
FROM pg_constraint WHERE contype IN ('p', 'u', 'f') AND conrelid >= 16384";

/// An index that is partial or over expressions does not make its plain columns unique.
pub(super) const INDEXES: &str = "\
SELECT i.indexrelid, i.indrelid, c.relname, m.amname, \
       i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL, i.indkey, i.indnkeyatts \
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam \
WHERE NOT i.indisprimary AND i.indisvalid AND i.indislive AND i.indrelid >= 16384";

pub(super) const COMMENTS: &str = "\
SELECT classoid = 'pg_class'::regclass, objoid, objsubid, description FROM pg_description \
WHERE classoid IN ('pg_class'::regclass, 'pg_namespace'::regclass) AND objoid >= 16384";

pub(super) const PARENTS: &str =
    "SELECT inhrelid, inhparent FROM pg_inherits ORDER BY inhrelid, inhseqno";

pub(super) const FUNCTIONS: &str = "\
SELECT p.oid, n.nspname, p.proname, p.prokind, p.proargtypes, p.prorettype, p.provolatile \
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
WHERE p.oid >= 16384 AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

pub(super) const OPERATORS: &str = "\
SELECT o.oid, n.nspname, o.oprname FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace \
WHERE o.oid >= 16384 AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

pub(super) const CASTS: &str = "\
SELECT oid, castsource, casttarget, castcontext FROM pg_cast WHERE oid >= 16384 AND castfunc <> 0";

/// What belongs to an extension, of the kinds that are looked up.
pub(super) const MEMBERS: &str = "\
SELECT d.classid::regclass::text, d.objid, e.extname \
FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid \
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' \
  AND d.classid IN ('pg_type'::regclass, 'pg_proc'::regclass, 'pg_operator'::regclass, 'pg_cast'::regclass)";

/// For a role that may read the statistics themselves: 30 times cheaper than the view.
pub(super) const STATISTICS: &str = "\
SELECT starelid, staattnum, stadistinct, stawidth FROM pg_statistic WHERE starelid >= 16384 AND NOT stainherit";

/// For every other role, of the schemas `$1` and the relations `$2`: the view judges each column. Only a condition on its
/// own names gets into the view, past the barrier that keeps others' values in; a join with oids is done after it has judged all.
pub(super) const VISIBLE_STATISTICS: &str = "\
SELECT schemaname, tablename, attname, n_distinct, avg_width FROM pg_stats \
WHERE schemaname = ANY ($1::name[]) AND tablename = ANY ($2::name[]) AND NOT inherited";

/// The most frequent values of the columns `$3` of the relations `$2` in the schemas `$1`, at most `$4` of each.
pub(super) const FREQUENT_VALUES: &str = "\
SELECT s.schemaname, s.tablename, s.attname, v.value FROM pg_stats s \
CROSS JOIN unnest(s.most_common_vals::text::text[]) WITH ORDINALITY AS v (value, at) \
WHERE s.schemaname = ANY ($1::name[]) AND s.tablename = ANY ($2::name[]) AND s.attname = ANY ($3::name[]) \
  AND NOT s.inherited AND v.at <= $4::int8 \
ORDER BY s.schemaname, s.tablename, s.attname, v.at";

/// Those of the tables that have pages: their size on disk is asked of the file system, not of the planner's memory,
/// which knows nothing of a table that was filled a moment ago.
pub(super) const FILLED: &str =
    "SELECT t.oid FROM unnest($1::oid[]) AS t (oid) WHERE pg_relation_size(t.oid::regclass) > 0";
