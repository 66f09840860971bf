-- Whether the port after an endpoint's leads to it through a pooler.
ALTER TABLE cp_endpoints ADD COLUMN pooled boolean NOT NULL DEFAULT false;

-- The ports that a node has given away, whoever has them: those of poolers too.
CREATE OR REPLACE FUNCTION cp_ports(node_name text) RETURNS SETOF integer
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        SELECT it.port FROM cp_endpoints it WHERE it.node = node_name AND it.deleted_at IS NULL
        UNION ALL
        SELECT it.port + 1 FROM cp_endpoints it WHERE it.node = node_name AND it.deleted_at IS NULL AND it.pooled;
    END;
