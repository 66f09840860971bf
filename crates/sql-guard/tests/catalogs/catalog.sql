-- Prints a database's catalog as the JSON that the tests read into `Catalog`. Only what the guard looks at is exact;
-- functions that take `internal`, which no query can call, are left out.
--   psql -XAtq -v role=some_role -f catalog.sql database > database.json
set search_path = pg_catalog;
with ext as (
    select d.classid, d.objid, e.extname from pg_depend d join pg_extension e on e.oid = d.refobjid
    where d.deptype = 'e' and d.refclassid = 'pg_extension'::regclass
), ns as (
    select oid, nspname from pg_namespace where nspname not like 'pg\_%' and nspname <> 'information_schema'
)
select jsonb_build_object(
    'server_version_num', current_setting('server_version_num')::int,
    'database', current_database(),
    'role', :'role',
    'search_path', jsonb_build_array('public'),
    'schemas', (select jsonb_agg(jsonb_build_object('name', nspname, 'comment', null,
        'usable', has_schema_privilege(:'role', oid, 'usage')) order by nspname collate "C") from ns),
    'relations', (select jsonb_agg(jsonb_build_object(
        'oid', c.oid::bigint, 'schema', nspname, 'name', relname,
        'kind', case relkind when 'r' then 'table' when 'p' then 'partitioned_table' when 'v' then 'view'
            when 'm' then 'materialized_view' else 'foreign_table' end,
        'comment', null,
        'readable', has_table_privilege(:'role', c.oid, 'select') and has_schema_privilege(:'role', ns.oid, 'usage'),
        'columns', (select coalesce(jsonb_agg(jsonb_build_object(
            'name', attname, 'type_name', format_type(atttypid, atttypmod), 'type_oid', atttypid::bigint,
            'class', case when typelem <> 0 and typlen = -1 then 'array' when typcategory = 'N' then 'integer'
                when typcategory = 'S' then 'text' when typcategory = 'E' then 'enum' else 'other' end,
            'nullable', not attnotnull, 'default', null, 'generated', false, 'comment', null,
            'readable', has_column_privilege(:'role', c.oid, attnum, 'select'),
            'enum_values', '[]'::jsonb, 'samples', null, 'distinct', null) order by attnum), '[]')
            from pg_attribute join pg_type t on t.oid = atttypid
            where attrelid = c.oid and attnum > 0 and not attisdropped),
        'keys', '[]'::jsonb, 'foreign_keys', '[]'::jsonb, 'indexes', '[]'::jsonb, 'estimated_rows', null,
        'partition_of', case when relispartition then (select inhparent::bigint from pg_inherits where inhrelid = c.oid) end,
        'inherits', (select coalesce(jsonb_agg(inhparent::bigint), '[]') from pg_inherits
            where inhrelid = c.oid and not relispartition),
        'definition', case when relkind in ('v', 'm') then
            (select pg_get_viewdef(c.oid) from set_config('search_path', 'public', true)) end,
        'row_security', relrowsecurity) order by nspname collate "C", relname collate "C")
        from pg_class c join ns on ns.oid = relnamespace where relkind in ('r', 'p', 'v', 'm', 'f')),
    'types', (select coalesce(jsonb_agg(jsonb_build_object(
        'oid', t.oid::bigint, 'schema', nspname, 'name', typname,
        'kind', case typtype when 'e' then jsonb_build_object('kind', 'enum', 'labels',
                (select jsonb_agg(enumlabel order by enumsortorder) from pg_enum where enumtypid = t.oid))
            when 'd' then jsonb_build_object('kind', 'domain', 'base', format_type(typbasetype, typtypmod), 'checked',
                exists (select from pg_constraint where contypid = t.oid) or typdefault is not null)
            when 'c' then '{"kind": "composite"}' when 'r' then '{"kind": "range"}' when 'm' then '{"kind": "range"}'
            else '{"kind": "base"}' end,
        'extension', extname) order by t.oid), '[]')
        from pg_type t join ns on ns.oid = typnamespace
        left join ext on ext.classid = 'pg_type'::regclass and ext.objid = t.oid
        left join pg_class c on c.oid = typrelid
        where (typrelid = 0 or c.relkind = 'c') and not (typelem <> 0 and typlen = -1 and typtype = 'b')),
    'functions', (select coalesce(jsonb_agg(jsonb_build_object(
        'oid', p.oid::bigint, 'schema', nspname, 'name', proname,
        'kind', case prokind when 'f' then 'function' when 'a' then 'aggregate' when 'w' then 'window' else 'procedure' end,
        'arguments', (select coalesce(jsonb_agg(format_type(a, null) order by n), '[]')
            from unnest(proargtypes) with ordinality as u(a, n)),
        'returns', format_type(prorettype, null), 'volatility', provolatile, 'extension', extname) order by p.oid), '[]')
        from pg_proc p join ns on ns.oid = pronamespace
        left join ext on ext.classid = 'pg_proc'::regclass and ext.objid = p.oid
        where not 'internal'::regtype = any (proargtypes)),
    'operators', (select coalesce(jsonb_agg(jsonb_build_object(
        'schema', nspname, 'name', oprname, 'extension', extname) order by o.oid), '[]')
        from pg_operator o join ns on ns.oid = oprnamespace
        left join ext on ext.classid = 'pg_operator'::regclass and ext.objid = o.oid),
    'casts', (select coalesce(jsonb_agg(jsonb_build_object(
        'source', format_type(castsource, null), 'target', format_type(casttarget, null), 'context', castcontext,
        'extension', extname) order by c.oid), '[]')
        from pg_cast c left join ext on ext.classid = 'pg_cast'::regclass and ext.objid = c.oid
        where c.oid >= 16384 and castmethod = 'f')
);
