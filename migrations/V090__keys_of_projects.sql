-- A key that reaches one project only. Not a reference: the key of a project that is gone finds nothing, and stays in the
-- list until somebody revokes it.
ALTER TABLE api_keys ADD COLUMN project_id text;

-- What the node of a project can do beside running Postgres: libraries that it can load, a pooler.
ALTER TABLE cp_nodes ADD COLUMN offers jsonb NOT NULL DEFAULT '{}';

-- A node says that it lives, and what it offers. The one without stays: nodes outlive the upgrade of a server.
CREATE FUNCTION cp_beat(
    node_name text, node_host text, port_from integer, port_to integer, version integer, node_offers jsonb
) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        INSERT INTO cp_nodes (name, host, first_port, last_port, pg_version, seen_at, offers)
        VALUES (node_name, node_host, port_from, port_to, version, now(), node_offers)
        ON CONFLICT (name) DO UPDATE SET host = excluded.host, first_port = excluded.first_port,
            last_port = excluded.last_port, pg_version = excluded.pg_version, seen_at = excluded.seen_at,
            offers = excluded.offers;
    END;
REVOKE ALL ON FUNCTION cp_beat(text, text, integer, integer, integer, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cp_beat(text, text, integer, integer, integer, jsonb) TO plinth_app;
