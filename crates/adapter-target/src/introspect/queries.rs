//! What is asked of the catalogs. Every statement holds from Postgres 14 to 18 and for a role without any privilege.
//!
//! Relations of users are told from the server's own by their oids: below [`FIRST_USER_OID`] is what `initdb` made. That is
//! cheaper than asking for their schemas, and is what `pg_dump` does.
//!
//! Where `:oids` stands in a statement, [`Scope::fill`] writes which relations it is about.

use std::borrow::Cow;

/// Objects that were not made by `initdb` have oids from here on.
pub(super) const FIRST_USER_OID: u32 = 16_384;

/// Which relations are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// All of users'.
    All,
    /// The one whose oid is the parameter `$1`.
    One,
}

impl Scope {
    /// The statement for these relations.
    pub(super) fn fill(self, sql: &str) -> String {
        let oids = match self {
            Self::All => ">= 16384",
            Self::One => "= $1::oid",
        };
        sql.replace(":oids", oids)
    }
}

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

/// The same for one relation, whose statements are kept prepared: one plan for whatever relation. Without this the first five
/// times are planned anew.
pub(super) fn settings_of_one() -> String {
    format!("{SETTINGS}, pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', true)")
}

/// Before [`SETTINGS`]: the schemas in which the role finds names.
pub(super) const SEARCH_PATH: &str = "\
SELECT n FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS t (n, at) ORDER BY at";

/// Before [`SETTINGS`] too.
pub(super) const SESSION: &str = "\
SELECT current_setting('server_version_num'), current_database(), current_user, \
       has_table_privilege('pg_catalog.pg_statistic', 'SELECT'), \
       (SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database())";

pub(super) const SCHEMAS: &str = "\
SELECT oid, nspname, has_schema_privilege(oid, 'USAGE') \
FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'";

/// The oid of the relation of the schema `$1` with the name `$2`. Asked among the statements about the relation that is
/// thought to have it.
pub(super) const FIND: &str = "\
SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
WHERE n.nspname = $1 AND c.relname = $2 \
  AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't' AND c.oid >= 16384 \
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

/// `row_security_active` opens the policy's catalogs, so it is asked only where row security is on. Who owns a relation on
/// which nothing was granted or revoked may read it; the server need not look that up for each.
pub(super) const RELATIONS: &str = "\
SELECT oid, relnamespace, relname, relkind, reltuples, relispartition, \
       relacl IS NULL AND relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user) OR has_table_privilege(oid, 'SELECT'), \
       CASE WHEN relrowsecurity THEN row_security_active(oid) ELSE false END \
FROM pg_class \
WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND relpersistence <> 't' AND oid :oids";

/// Of relations and of row types. The privilege is null where none was granted on the column itself, which is nearly
/// everywhere; so is the default collation (100).
pub(super) fn columns(scope: Scope) -> String {
    match scope {
        Scope::All => format!("{COLUMNS} >= 16384"),
        // With the fields of the row types that its columns have.
        Scope::One => format!(
            "{COLUMNS} = ANY (ARRAY(SELECT $1::oid UNION ALL SELECT typrelid FROM pg_type WHERE typrelid <> 0 AND oid {AMONG_COLUMN_TYPES}))"
        ),
    }
}

const COLUMNS: &str = "\
SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, \
       CASE WHEN a.attidentity <> '' THEN a.attidentity WHEN a.attgenerated <> '' THEN a.attgenerated END, \
       nullif(a.attcollation, 100), \
       CASE WHEN a.attacl IS NOT NULL THEN has_column_privilege(a.attrelid, a.attnum, 'SELECT') END \
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
WHERE a.attnum > 0 AND NOT a.attisdropped \
  AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND c.relpersistence <> 't' AND c.oid ";

/// Printing an expression is the most expensive thing here, and many columns have the same (partitions have all their
/// parent's), so it is printed once for all that are stored alike. One that names columns is its table's own. Grouping by a
/// hash of the stored text takes a third of the time that grouping by the text does: it is hundreds of bytes, and would be
/// copied for each group and compared for each row.
pub(super) const DEFAULTS: &str = "\
WITH g AS MATERIALIZED ( \
  SELECT d.adbin, d.adrelid, alike.members, alike.oids, strpos(d.adbin::text, '{VAR ') > 0 AS names_columns \
  FROM (SELECT min(oid) AS first, array_agg(oid) AS oids, string_agg(adrelid || '.' || adnum, ' ') AS members \
        FROM pg_attrdef WHERE adrelid :oids \
        GROUP BY hashtextextended(adbin::text COLLATE \"C\", 0), octet_length(adbin::text)) alike \
  JOIN pg_attrdef d ON d.oid = alike.first) \
SELECT pg_get_expr(adbin, adrelid), members FROM g WHERE NOT names_columns \
UNION ALL \
SELECT pg_get_expr(d.adbin, d.adrelid), d.adrelid || '.' || d.adnum \
FROM g CROSS JOIN unnest(g.oids) AS own (oid) JOIN pg_attrdef d ON d.oid = own.oid WHERE g.names_columns";

pub(super) const DEFINITIONS: &str = "\
SELECT oid, pg_get_viewdef(oid) \
FROM pg_class WHERE relkind IN ('v', 'm') AND relpersistence <> 't' AND oid :oids";

/// Of constraints that are expressions.
pub(super) const CONSTRAINT_DEFINITIONS: &str = "\
SELECT oid, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype IN ('c', 'x') AND conrelid :oids";

pub(super) const DOMAIN_CHECKS: &str = "\
SELECT contypid, conname, pg_get_constraintdef(oid) FROM pg_constraint \
WHERE contype = 'c' AND contypid >= 16384 ORDER BY contypid, conname";

/// Of indexes that their columns, uniqueness and method do not describe: partial, over expressions, with an order, a
/// collation, an operator class or options of their own.
pub(super) const INDEX_DEFINITIONS: &str = "\
SELECT i.indexrelid, pg_get_indexdef(i.indexrelid) FROM pg_index i \
WHERE NOT i.indisprimary AND i.indislive AND i.indrelid :oids \
  AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL OR 0 < ANY (i.indoption) \
    OR i.indclass::oid[] && ARRAY(SELECT oid FROM pg_opclass WHERE NOT opcdefault) \
    OR NOT i.indcollation::oid[] <@ ARRAY[0, 100]::oid[] \
    OR EXISTS (SELECT FROM pg_class c WHERE c.oid = i.indexrelid AND c.reloptions IS NOT NULL))";

/// A bound names no column, so its printing needs no relation, and no lock on one.
pub(super) const PARTITION_BOUNDS: &str = "\
SELECT oid, pg_get_expr(relpartbound, 0) FROM pg_class WHERE relispartition AND relpartbound IS NOT NULL AND oid :oids";

pub(super) const PARTITION_KEYS: &str = "\
SELECT partrelid, partstrat, pg_get_partkeydef(partrelid) FROM pg_partitioned_table WHERE partrelid :oids";

/// Of functions that did not come with an extension, which documents its own.
pub(super) const FUNCTION_TEXTS: &str = "\
SELECT p.oid, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid) \
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
WHERE p.oid >= 16384 AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
  AND p.oid NOT IN (SELECT objid FROM pg_depend WHERE classid = 1255 AND deptype = 'e')";

/// That an oid is one of the types of the columns of the relation `$1`, or of the elements of arrays. As an array, because a
/// join with them reads all types there are, of which every table has two.
const AMONG_COLUMN_TYPES: &str = "\
= ANY (ARRAY(SELECT atttypid FROM pg_attribute WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped \
UNION SELECT e.typelem FROM pg_attribute a JOIN pg_type e ON e.oid = a.atttypid WHERE a.attrelid = $1::oid AND a.attnum > 0))";

/// Neither the row types of tables nor arrays, which are named by their elements; of one relation those that its columns
/// have.
pub(super) fn types(scope: Scope) -> Cow<'static, str> {
    match scope {
        Scope::All => TYPES.into(),
        Scope::One => format!("{TYPES} AND t.oid {AMONG_COLUMN_TYPES}").into(),
    }
}

const TYPES: &str = "\
SELECT t.oid, n.nspname, t.typname, t.typtype, t.typcategory, t.typarray, t.typdelim, t.typbasetype, t.typtypmod, t.typnotnull, \
       t.typtype = 'd' AND (t.typdefaultbin IS NOT NULL \
         OR t.oid IN (SELECT contypid FROM pg_constraint WHERE contype = 'c' AND contypid <> 0)), \
       t.typrelid, t.typdefault \
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
WHERE t.oid >= 16384 AND t.typinput <> 'array_in'::regproc \
  AND (t.typrelid = 0 OR t.typrelid IN (SELECT oid FROM pg_class WHERE relkind = 'c'))";

/// Those that columns or functions have without being in [`TYPES`]: row types of tables, `information_schema`'s.
pub(super) const OTHER_TYPES: &str = "\
SELECT t.oid, n.nspname, t.typname, t.typtype, t.typcategory, t.typarray, t.typdelim, t.typbasetype, t.typtypmod, t.typnotnull, false, t.typrelid, NULL, \
       CASE WHEN t.typinput = 'array_in'::regproc THEN t.typelem ELSE 0 END \
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
WHERE t.oid = ANY ($1::oid[]) \
   OR t.oid IN (SELECT e.typelem FROM pg_type e WHERE e.oid = ANY ($1::oid[]) AND e.typinput = 'array_in'::regproc)";

/// Types of extensions print their modifiers by functions of their own: `geometry(Point,4326)`.
pub(super) const MODIFIED_TYPES: &str = "\
SELECT t.oid, t.modifier, format_type(t.oid, t.modifier) \
FROM unnest($1::oid[], $2::int4[]) AS t (oid, modifier)";

/// As their names would have to be written.
pub(super) const COLLATIONS: &str =
    "SELECT oid, oid::regcollation::text FROM pg_collation WHERE oid = ANY ($1::oid[])";

pub(super) const ENUM_LABELS: &str =
    "SELECT enumtypid, enumlabel FROM pg_enum ORDER BY enumtypid, enumsortorder";

/// What makes a constraint unlike most is six letters (actions on update and on delete, match, deferrable, deferred, valid),
/// and null for most.
pub(super) fn constraints(server_version_num: u32, scope: Scope) -> String {
    // Postgres 14 does not know of it.
    let delete_columns = if server_version_num >= 150_000 { "confdelsetcols" } else { "NULL" };
    scope.fill(&format!(
        "SELECT oid, conrelid, contype, conname, conkey, confrelid, confkey, conparentid, conindid, \
         CASE WHEN condeferrable OR NOT convalidated OR contype = 'f' AND (confupdtype <> 'a' OR confdeltype <> 'a' OR confmatchtype <> 's') \
           THEN concat(confupdtype, confdeltype, confmatchtype, condeferrable, condeferred, convalidated) END, \
         {delete_columns} \
         FROM pg_constraint WHERE contype IN ('p', 'u', 'f', 'c', 'x') AND conrelid :oids"
    ))
}

/// An index that is invalid, partial or over expressions does not make its plain columns unique. Of primary keys' indexes
/// only those that carry other columns along say something that the constraint does not.
pub(super) fn indexes(server_version_num: u32, scope: Scope) -> String {
    let nulls = if server_version_num >= 150_000 { "i.indnullsnotdistinct" } else { "false" };
    scope.fill(&format!(
        "SELECT i.indexrelid, i.indrelid, c.relname, m.amname, \
         i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL, i.indisvalid, {nulls}, i.indkey, i.indnkeyatts \
         FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam \
         WHERE (NOT i.indisprimary OR i.indnkeyatts <> i.indnatts) AND i.indislive AND i.indrelid :oids"
    ))
}

/// On relations and their columns, indexes and constraints, and on schemas, types, functions and sequences.
pub(super) fn comments(scope: Scope) -> String {
    let all = "SELECT classoid, objoid, objsubid, description FROM pg_description \
               WHERE classoid IN (1259, 2615, 2606, 1247, 1255) AND objoid >= 16384";
    let one = "SELECT classoid, objoid, objsubid, description FROM pg_description \
               WHERE classoid = 1259 AND objoid = ANY (ARRAY(SELECT $1::oid UNION ALL SELECT indexrelid FROM pg_index WHERE indrelid = $1::oid)) \
               UNION ALL \
               SELECT classoid, objoid, objsubid, description FROM pg_description \
               WHERE classoid = 2606 AND objoid = ANY (ARRAY(SELECT oid FROM pg_constraint WHERE conrelid = $1::oid)) \
               UNION ALL \
               SELECT classoid, objoid, objsubid, description FROM pg_description WHERE classoid = 1247 AND objoid";
    match scope {
        Scope::All => all.into(),
        Scope::One => format!("{one} {AMONG_COLUMN_TYPES}"),
    }
}

pub(super) const PARENTS: &str =
    "SELECT inhrelid, inhparent FROM pg_inherits WHERE inhrelid :oids ORDER BY inhrelid, inhseqno";

/// Which relations a view's query names.
pub(super) const READS: &str = "\
SELECT DISTINCT r.ev_class, d.refobjid \
FROM pg_rewrite r JOIN pg_depend d ON d.classid = 2618 AND d.objid = r.oid AND d.refclassid = 1259 AND d.deptype = 'n' \
WHERE r.rulename = '_RETURN' AND r.ev_class :oids AND d.refobjid >= 16384 AND d.refobjid <> r.ev_class \
ORDER BY 1, 2";

pub(super) const SERVERS: &str = "\
SELECT t.ftrelid, s.srvname FROM pg_foreign_table t JOIN pg_foreign_server s ON s.oid = t.ftserver WHERE t.ftrelid :oids";

/// Those behind identity columns (on which they depend internally) are left out.
pub(super) const SEQUENCES: &str = "\
SELECT s.seqrelid, c.relnamespace, c.relname, s.seqtypid, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcycle, \
       d.refobjid, d.refobjsubid \
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid \
LEFT JOIN pg_depend d ON d.classid = 1259 AND d.objid = s.seqrelid AND d.objsubid = 0 AND d.refclassid = 1259 AND d.deptype IN ('a', 'i') \
WHERE c.relpersistence <> 't' AND s.seqrelid >= 16384 AND d.deptype IS DISTINCT FROM 'i'";

/// Asked while the rest is being put together. What the server counted when it last vacuumed or analyzed a table costs next
/// to nothing; asking the file system costs 50 µs a table, and a lock on it that is not waited for here. So that is done
/// where nobody has counted yet, and for a single table, of which this also says whether it has pages (as [`FILLED`] does).
pub(super) fn measures(scope: Scope) -> String {
    let (counted, has_pages) = match scope {
        Scope::All => ("c.reltuples >= 0", "NULL"),
        Scope::One => {
            ("false", "CASE WHEN l.relation IS NULL THEN pg_relation_size(c.oid) > 0 END")
        }
    };
    scope.fill(&format!(
        "SELECT c.oid, \
           CASE WHEN {counted} THEN (c.relpages + coalesce(t.relpages, 0)) * b.bytes WHEN l.relation IS NULL THEN pg_table_size(c.oid) END, \
           CASE WHEN {counted} THEN coalesce(x.pages, 0) * b.bytes WHEN l.relation IS NULL THEN pg_indexes_size(c.oid) END, \
           (extract(epoch FROM pg_stat_get_last_analyze_time(c.oid)) * 1000)::int8, \
           (extract(epoch FROM pg_stat_get_last_autoanalyze_time(c.oid)) * 1000)::int8, {has_pages} \
         FROM pg_class c \
         CROSS JOIN (SELECT current_setting('block_size')::int8 AS bytes) b \
         LEFT JOIN (SELECT oid, relpages FROM pg_class WHERE relkind = 't' AND relpages > 0) t ON t.oid = c.reltoastrelid \
         LEFT JOIN (SELECT i.indrelid, sum(ic.relpages)::int8 AS pages FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid \
           WHERE i.indrelid :oids AND ic.relkind = 'i' AND ic.relnamespace <> 99 AND ic.relpages > 0 GROUP BY 1) x ON x.indrelid = c.oid \
         LEFT JOIN (SELECT DISTINCT relation FROM pg_locks WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock' \
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) l ON l.relation = c.oid \
         WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND c.oid :oids"
    ))
}

pub(super) const FUNCTIONS: &str = "\
SELECT p.oid, n.nspname, p.proname, p.prokind, p.proargtypes, p.prorettype, p.provolatile, \
       l.lanname, p.prosecdef, has_function_privilege(p.oid, 'EXECUTE') \
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang \
WHERE p.oid >= 16384 AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

pub(super) const OPERATORS: &str = "\
SELECT o.oid, n.nspname, o.oprname FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace \
WHERE o.oid >= 16384 AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

pub(super) const CASTS: &str = "\
SELECT oid, castsource, casttarget, castcontext FROM pg_cast WHERE oid >= 16384 AND castfunc <> 0";

/// What belongs to an extension, of the kinds that are looked up.
pub(super) fn members(scope: Scope) -> Cow<'static, str> {
    match scope {
        Scope::All => MEMBERS.into(),
        Scope::One => {
            format!("{MEMBERS} AND d.classid = 1247 AND d.objid {AMONG_COLUMN_TYPES}").into()
        }
    }
}

const MEMBERS: &str = "\
SELECT d.classid::regclass::text, d.objid, e.extname \
FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid \
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' \
  AND d.classid IN ('pg_type'::regclass, 'pg_proc'::regclass, 'pg_operator'::regclass, 'pg_cast'::regclass)";

/// For a role that may read the statistics themselves: 30 times cheaper than the view.
pub(super) const STATISTICS: &str = "\
SELECT starelid, staattnum, stadistinct, stawidth FROM pg_statistic WHERE starelid :oids AND NOT stainherit";

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
///
/// Of the tables `$1` each is asked about. That takes five times as long as a look at the server's counters, so those of
/// `$2`, which the planner has counted and found empty, are asked about only if rows came since. Counters are up to ten
/// seconds late, and begin anew when a server crashed; the next count, and the next reading, then tell.
pub(super) const FILLED: &str = "\
SELECT t.oid FROM unnest($1::oid[]) AS t (oid) WHERE pg_relation_size(t.oid::regclass) > 0 \
UNION ALL \
SELECT t.oid FROM unnest($2::oid[]) AS t (oid) \
WHERE CASE WHEN pg_stat_get_tuples_inserted(t.oid) > 0 THEN pg_relation_size(t.oid::regclass) > 0 END";

/// Rows that were written by other transactions, and how many: whoever changes a row of a catalog writes it anew, so either
/// their number changes or the sum of the writers' does (which is told from their ages, `age` being the cheapest that can
/// be asked about a transaction's number; the sum is taken modulo 2³²).
///
/// Of `pg_class` the writers say nothing: `TRUNCATE`, `REINDEX` and `REFRESH` write its rows too. There it is what the rows
/// say, without the counts that `VACUUM` and `ANALYZE` write. Temporary tables are left out, and so are the tables behind
/// large values (TOAST, namespace 99), which come anew with each rewriting. To look up for each column whether it is of one
/// of these would take longer than all the rest: they are taken off the sum of all columns instead. A TOAST table has
/// nine, its index two, all written by the transaction that wrote the row of `pg_index`.
pub(super) const FINGERPRINT: &str = "\
WITH passing AS MATERIALIZED (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_(toast_)?temp_'), \
  temporary AS MATERIALIZED (SELECT ARRAY(SELECT oid FROM pg_class WHERE relpersistence = 't') AS oids) \
SELECT concat_ws(' ', current_setting('server_version_num'), current_user, \
    (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \
  , (SELECT concat(classes.count, '.', classes.hash, ' ', columns.count - 11 * classes.toast - short.count, '.', \
        ((columns.count - 11 * classes.toast - short.count) * s.age - columns.ages + 11 * classes.toast_ages + short.ages) & 4294967295) \
      FROM (SELECT count(*) FILTER (WHERE c.relnamespace <> 99) AS count, \
          sum(hash_record_extended(ROW(c.oid, c.relname, c.relnamespace, c.relkind, c.relowner, c.relacl, c.reloptions, \
            c.relrowsecurity, c.relforcerowsecurity, c.relispartition, i.indisvalid), 0)) FILTER (WHERE c.relnamespace <> 99) AS hash, \
          count(i.indexrelid) FILTER (WHERE c.relnamespace = 99) AS toast, \
          coalesce(sum(age(i.xmin)) FILTER (WHERE c.relnamespace = 99), 0) AS toast_ages \
        FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid \
        WHERE c.oid >= 16384 AND c.relpersistence <> 't') classes, \
      (SELECT count(*), coalesce(sum(age(xmin)), 0) AS ages FROM pg_attribute WHERE attrelid >= 16384) columns, \
      (SELECT count(*), coalesce(sum(age(xmin)), 0) AS ages FROM pg_attribute WHERE attrelid = ANY ((SELECT oids FROM temporary)::oid[])) short) \
  , (SELECT concat(count(*), '.', (count(*) * s.age - sum(age(x.xmin))) & 4294967295) FROM pg_constraint x WHERE x.oid >= 16384 AND x.connamespace NOT IN (SELECT oid FROM passing)) \
  , (SELECT concat(count(*), '.', (count(*) * s.age - sum(age(x.xmin))) & 4294967295) FROM pg_type x WHERE x.oid >= 16384 AND x.typnamespace NOT IN (SELECT oid FROM passing)) \
  , (SELECT concat(count(*), '.', (count(*) * s.age - sum(age(x.xmin))) & 4294967295) FROM pg_attrdef x WHERE x.adrelid <> ALL ((SELECT oids FROM temporary)::oid[])) \
  , (SELECT concat(count(*), '.', (count(*) * s.age - sum(age(x.xmin))) & 4294967295) FROM pg_inherits x WHERE x.inhrelid >= 16384) \
  , (SELECT concat(count(*), '.', (count(*) * s.age - sum(age(x.xmin))) & 4294967295) FROM pg_partitioned_table x WHERE x.partrelid >= 16384) \
  , (SELECT concat(count(*), '.', (count(*) * s.age - sum(age(x.xmin))) & 4294967295) FROM pg_rewrite x WHERE x.ev_class >= 16384) \
  , (SELECT concat(count(*), '.', (count(*) * s.age - sum(age(x.xmin))) & 4294967295) FROM pg_policy x WHERE true) \
  , (SELECT concat(count(*), '.', (count(*) * s.age - sum(age(x.xmin))) & 4294967295) FROM pg_proc x WHERE x.oid >= 16384) \
  , (SELECT concat(count(*), '.', (count(*) * s.age - sum(age(x.xmin))) & 4294967295) FROM pg_operator x WHERE x.oid >= 16384) \
  , (SELECT concat(count(*), '.', (count(*) * s.age - sum(age(x.xmin))) & 4294967295) FROM pg_cast x WHERE x.oid >= 16384) \
  , (SELECT concat(count(*), '.', (count(*) * s.age - sum(age(x.xmin))) & 4294967295) FROM pg_enum x WHERE true) \
  , (SELECT concat(count(*), '.', (count(*) * s.age - sum(age(x.xmin))) & 4294967295) FROM pg_collation x WHERE x.oid >= 16384) \
  , (SELECT concat(count(*), '.', (count(*) * s.age - sum(age(x.xmin))) & 4294967295) FROM pg_sequence x JOIN pg_class c ON c.oid = x.seqrelid WHERE c.relpersistence <> 't') \
  , (SELECT concat(count(*), '.', (count(*) * s.age - sum(age(x.xmin))) & 4294967295) FROM pg_foreign_table x WHERE true) \
  , (SELECT concat(count(*), '.', (count(*) * s.age - sum(age(x.xmin))) & 4294967295) FROM pg_foreign_server x WHERE true) \
  , (SELECT concat(count(*), '.', (count(*) * s.age - sum(age(x.xmin))) & 4294967295) FROM pg_extension x WHERE x.oid >= 16384) \
  , (SELECT concat(count(*), '.', (count(*) * s.age - sum(age(x.xmin))) & 4294967295) FROM pg_namespace x WHERE x.oid >= 16384 AND x.oid NOT IN (SELECT oid FROM passing)) \
  , (SELECT concat(count(*), '.', (count(*) * s.age - sum(age(x.xmin))) & 4294967295) FROM pg_description x WHERE x.objoid >= 16384) \
  , (SELECT concat(count(*), '.', (count(*) * s.age - sum(age(x.xmin))) & 4294967295) FROM pg_shdescription x WHERE x.objoid >= 16384) \
  , (SELECT concat(count(*), '.', (count(*) * s.age - sum(age(x.xmin))) & 4294967295) FROM pg_auth_members x WHERE x.roleid >= 16384) \
  , (SELECT concat(count(*), '.', (count(*) * s.age - sum(age(x.xmin))) & 4294967295) FROM pg_db_role_setting x WHERE true)) \
FROM (SELECT age('3'::xid)::int8 AS age) s";
