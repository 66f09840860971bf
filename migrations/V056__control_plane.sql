-- Projects, branches, endpoints, roles and databases, and what nodes have to do about them.

-- A node: one machine's Postgres processes, files and ports. Not an organization's.
CREATE TABLE cp_nodes (
    name        text PRIMARY KEY,
    host        text NOT NULL,
    first_port  integer NOT NULL,
    last_port   integer NOT NULL,
    pg_version  integer NOT NULL,
    seen_at     timestamptz NOT NULL
);
ALTER TABLE cp_nodes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
-- A node's name and address are no secret to any organization; only the function below writes.
CREATE POLICY cp_nodes_read ON cp_nodes FOR SELECT TO plinth_app USING (true);
CREATE POLICY cp_nodes_lookup ON cp_nodes TO CURRENT_USER USING (true);

CREATE TABLE cp_projects (
    id                         text PRIMARY KEY CHECK (id ~ '^[a-z0-9-]{1,60}$'),
    org_id                     uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    node                       text NOT NULL,
    name                       text NOT NULL,
    pg_version                 integer NOT NULL,
    history_retention_seconds  integer NOT NULL,
    store_passwords            boolean NOT NULL,
    default_endpoint_settings  jsonb NOT NULL,
    settings                   jsonb NOT NULL,
    -- From it the node makes the system's user that the project runs as: never given twice.
    number                     bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    revision                   bigint NOT NULL DEFAULT 1,
    created_by                 uuid NOT NULL,
    created_at                 timestamptz NOT NULL,
    updated_at                 timestamptz NOT NULL,
    deleted_at                 timestamptz,
    recoverable                boolean NOT NULL,
    -- Of the organization's own database: which team its table of users was last made to show; empty before. NULL for all
    -- other projects.
    own_team                   text,
    UNIQUE (org_id, id)
);
CREATE INDEX cp_projects_newest ON cp_projects (org_id, created_at DESC, id DESC);
CREATE UNIQUE INDEX cp_projects_own ON cp_projects (org_id) WHERE own_team IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX cp_projects_node ON cp_projects (node);

CREATE TABLE cp_branches (
    id                text PRIMARY KEY CHECK (id ~ '^[a-z0-9-]{1,60}$'),
    org_id            uuid NOT NULL,
    project_id        text NOT NULL,
    -- Checked at the end: branches of one change may hang on each other.
    parent_id         text REFERENCES cp_branches ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
    parent_lsn        text,
    parent_timestamp  timestamptz,
    name              text NOT NULL,
    is_default        boolean NOT NULL,
    protected         boolean NOT NULL,
    state             text NOT NULL CHECK (state IN ('init', 'resetting', 'ready', 'archived')),
    pending           text CHECK (pending IN ('init', 'resetting', 'ready', 'archived')),
    state_changed_at  timestamptz NOT NULL,
    storage           text CHECK (storage IN ('reflink', 'copy')),
    logical_size      bigint,
    created_by        uuid NOT NULL,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    expires_at        timestamptz,
    last_reset_at     timestamptz,
    deleted_at        timestamptz,
    recoverable       boolean NOT NULL,
    FOREIGN KEY (org_id, project_id) REFERENCES cp_projects (org_id, id) ON DELETE CASCADE,
    UNIQUE (org_id, id)
);
CREATE UNIQUE INDEX cp_branches_name ON cp_branches (project_id, name) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX cp_branches_default ON cp_branches (project_id) WHERE is_default AND deleted_at IS NULL;
CREATE INDEX cp_branches_expiring ON cp_branches (expires_at) WHERE expires_at IS NOT NULL AND deleted_at IS NULL;

CREATE TABLE cp_endpoints (
    id               text PRIMARY KEY CHECK (id ~ '^[a-z0-9-]{1,60}$'),
    org_id           uuid NOT NULL,
    project_id       text NOT NULL,
    branch_id        text NOT NULL,
    node             text NOT NULL,
    kind             text NOT NULL CHECK (kind IN ('read_write', 'read_only')),
    name             text,
    port             integer NOT NULL CHECK (port BETWEEN 1 AND 65535),
    settings         jsonb NOT NULL,
    min_computes     double precision NOT NULL,
    max_computes     double precision NOT NULL,
    suspend_timeout  bigint NOT NULL,
    disabled         boolean NOT NULL,
    state            text NOT NULL CHECK (state IN ('init', 'active', 'idle')),
    pending          text CHECK (pending IN ('init', 'active', 'idle')),
    last_active      timestamptz,
    started_at       timestamptz,
    suspended_at     timestamptz,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    deleted_at       timestamptz,
    FOREIGN KEY (org_id, project_id) REFERENCES cp_projects (org_id, id) ON DELETE CASCADE,
    FOREIGN KEY (org_id, branch_id) REFERENCES cp_branches (org_id, id) ON DELETE CASCADE
);
CREATE INDEX cp_endpoints_project ON cp_endpoints (org_id, project_id);
CREATE UNIQUE INDEX cp_endpoints_port ON cp_endpoints (node, port) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX cp_endpoints_writer ON cp_endpoints (branch_id) WHERE kind = 'read_write' AND deleted_at IS NULL;

CREATE TABLE cp_roles (
    id                uuid PRIMARY KEY,
    org_id            uuid NOT NULL,
    branch_id         text NOT NULL,
    name              text NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 63),
    -- NULL: it cannot log in.
    password_version  integer,
    password_sealed   bytea,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    FOREIGN KEY (org_id, branch_id) REFERENCES cp_branches (org_id, id) ON DELETE CASCADE,
    CHECK ((password_version IS NULL) = (password_sealed IS NULL)),
    CONSTRAINT cp_roles_name UNIQUE (branch_id, name)
);

CREATE TABLE cp_databases (
    id          bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    org_id      uuid NOT NULL,
    branch_id   text NOT NULL,
    name        text NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 63),
    owner       text NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    FOREIGN KEY (org_id, branch_id) REFERENCES cp_branches (org_id, id) ON DELETE CASCADE,
    CONSTRAINT cp_databases_name UNIQUE (branch_id, name)
);

-- Work for a node: its operations are done in their order, or undone.
CREATE TABLE cp_chains (
    id           uuid PRIMARY KEY,
    org_id       uuid NOT NULL,
    project_id   text NOT NULL,
    node         text NOT NULL,
    created_at   timestamptz NOT NULL,
    -- The process that works on it, and until when it has it to itself.
    taken_by     uuid,
    leased_until timestamptz,
    finished_at  timestamptz,
    FOREIGN KEY (org_id, project_id) REFERENCES cp_projects (org_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX cp_chains_one ON cp_chains (project_id) WHERE finished_at IS NULL;
CREATE INDEX cp_chains_waiting ON cp_chains (node, created_at) WHERE finished_at IS NULL;

CREATE TABLE cp_operations (
    id           uuid PRIMARY KEY,
    org_id       uuid NOT NULL,
    project_id   text NOT NULL,
    chain_id     uuid NOT NULL REFERENCES cp_chains ON DELETE CASCADE,
    place        integer NOT NULL,
    branch_id    text,
    endpoint_id  text,
    action       text NOT NULL,
    step         jsonb NOT NULL,
    status       text NOT NULL,
    error        text,
    failures     integer NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    duration_ms  integer NOT NULL,
    FOREIGN KEY (org_id, project_id) REFERENCES cp_projects (org_id, id) ON DELETE CASCADE,
    UNIQUE (chain_id, place)
);
CREATE INDEX cp_operations_newest ON cp_operations (org_id, project_id, created_at DESC, id DESC);

DO $$
DECLARE
    it text;
BEGIN
    FOREACH it IN ARRAY ARRAY['cp_projects', 'cp_branches', 'cp_endpoints', 'cp_roles', 'cp_databases', 'cp_chains', 'cp_operations'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', it);
        EXECUTE format('CREATE POLICY %I ON %I TO plinth_app USING (org_id = current_org())', it || '_own', it);
        EXECUTE format('CREATE POLICY %I ON %I TO CURRENT_USER USING (true)', it || '_lookup', it);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO plinth_app', it);
    END LOOP;
END $$;
GRANT SELECT ON cp_nodes TO plinth_app;

-- A node says that it lives.
CREATE FUNCTION cp_beat(node_name text, node_host text, port_from integer, port_to integer, version integer) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        INSERT INTO cp_nodes VALUES (node_name, node_host, port_from, port_to, version, now())
        ON CONFLICT (name) DO UPDATE SET host = excluded.host, first_port = excluded.first_port,
            last_port = excluded.last_port, pg_version = excluded.pg_version, seen_at = excluded.seen_at;
    END;

-- The ports that a node has given away, whoever has them.
CREATE FUNCTION cp_ports(node_name text) RETURNS SETOF integer
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        SELECT it.port FROM cp_endpoints it WHERE it.node = node_name AND it.deleted_at IS NULL;
    END;

-- The projects that a node opens at its start.
CREATE FUNCTION cp_projects_of(node_name text) RETURNS TABLE (org_id uuid, project_id text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        SELECT it.org_id, it.id FROM cp_projects it WHERE it.node = node_name AND it.deleted_at IS NULL ORDER BY it.number;
    END;

-- The branches whose files a node keeps.
CREATE FUNCTION cp_kept(node_name text, since timestamptz) RETURNS TABLE (project_id text, branch_id text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        SELECT p.id, b.id FROM cp_projects p JOIN cp_branches b ON b.project_id = p.id
        WHERE p.node = node_name
          AND (p.deleted_at IS NULL OR p.recoverable AND p.deleted_at > since)
          AND (b.deleted_at IS NULL OR b.recoverable AND b.deleted_at > since);
    END;

-- Takes a chain that nobody works on: what another process of the same node held, it holds no more.
CREATE FUNCTION cp_take(node_name text, instance uuid, lease interval) RETURNS TABLE (org_id uuid, chain_id uuid)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        WITH next AS (
            SELECT it.id FROM cp_chains it
            WHERE it.node = node_name AND it.finished_at IS NULL
              AND (it.taken_by IS NULL OR it.taken_by <> instance OR it.leased_until < now())
            ORDER BY it.created_at, it.id LIMIT 1 FOR UPDATE SKIP LOCKED
        )
        UPDATE cp_chains SET taken_by = instance, leased_until = now() + lease
        FROM next WHERE cp_chains.id = next.id
        RETURNING cp_chains.org_id, cp_chains.id;
    END;

-- Plinth's own certificate authority, which signs the certificates of endpoints. Its key is sealed.
ALTER TABLE installation
    ADD COLUMN authority_certificate  text,
    ADD COLUMN authority_version      integer,
    ADD COLUMN authority_key          bytea;

-- Keeps the first authority that is given; tells the one that is kept.
CREATE FUNCTION cp_keep_authority(certificate text, version integer, key bytea)
    RETURNS TABLE (kept_certificate text, kept_version integer, kept_key bytea)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        UPDATE installation SET authority_certificate = coalesce(authority_certificate, certificate),
            authority_version = coalesce(authority_version, version), authority_key = coalesce(authority_key, key)
        RETURNING authority_certificate, authority_version, authority_key;
    END;

REVOKE ALL ON FUNCTION cp_beat, cp_ports, cp_projects_of, cp_kept, cp_take, cp_keep_authority FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cp_beat, cp_ports, cp_projects_of, cp_kept, cp_take, cp_keep_authority TO plinth_app;
