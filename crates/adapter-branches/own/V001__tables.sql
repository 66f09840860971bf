-- The tables of an organization's own database. The organization owns them and may add to them; Plinth fills `users` and
-- `tasks` and leaves the others to whoever builds on them.

CREATE TABLE users (
    id         uuid PRIMARY KEY,
    email      text NOT NULL UNIQUE,
    role       text NOT NULL,
    joined_at  timestamptz NOT NULL,
    -- NULL while they are of the team.
    left_at    timestamptz
);
COMMENT ON TABLE users IS 'The people of the organization. Plinth keeps it in step with the team: changes made here are lost.';

CREATE TABLE agents (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name          text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    description   text,
    model         text,
    instructions  text,
    settings      jsonb NOT NULL DEFAULT '{}',
    status        text NOT NULL DEFAULT 'active' CHECK (status IN ('draft', 'active', 'archived')),
    created_by    uuid REFERENCES users ON DELETE SET NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE agents IS 'Agents that work for the organization.';

CREATE TABLE tasks (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind          text NOT NULL DEFAULT 'agent' CHECK (kind IN ('agent', 'query', 'workflow')),
    title         text NOT NULL,
    agent_id      uuid REFERENCES agents ON DELETE SET NULL,
    requested_by  uuid REFERENCES users ON DELETE SET NULL,
    status        text NOT NULL DEFAULT 'queued'
                  CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    input         jsonb NOT NULL DEFAULT '{}',
    output        jsonb,
    error         text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    started_at    timestamptz,
    finished_at   timestamptz,
    CHECK (finished_at IS NULL OR started_at IS NULL OR finished_at >= started_at)
);
CREATE INDEX tasks_newest ON tasks (created_at DESC, id DESC);
CREATE INDEX tasks_open ON tasks (status, created_at) WHERE status IN ('queued', 'running');
COMMENT ON TABLE tasks IS 'What was asked for and what came of it.';

CREATE TABLE knowledge_bases (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name         text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    description  text,
    created_by   uuid REFERENCES users ON DELETE SET NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE knowledge_bases IS 'Collections of documents.';

CREATE TABLE documents (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    knowledge_base_id  uuid NOT NULL REFERENCES knowledge_bases ON DELETE CASCADE,
    title              text NOT NULL,
    source_url         text,
    media_type         text NOT NULL DEFAULT 'text/plain',
    content            text,
    size_bytes         bigint GENERATED ALWAYS AS (octet_length(content)) STORED,
    status             text NOT NULL DEFAULT 'ready' CHECK (status IN ('pending', 'ready', 'failed')),
    created_by         uuid REFERENCES users ON DELETE SET NULL,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX documents_of_base ON documents (knowledge_base_id, created_at DESC);
COMMENT ON TABLE documents IS 'What knowledge bases hold.';
