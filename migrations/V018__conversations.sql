-- What a person asked one after the other, so that a follow-up has something to go on from, whichever server it reaches.

CREATE TABLE conversations (
    id             uuid PRIMARY KEY,
    org_id         uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    user_id        uuid NOT NULL,
    connection_id  uuid NOT NULL,
    -- Its first question, perhaps cut.
    title          text NOT NULL CHECK (length(title) <= 120),
    -- How many it has had; the oldest may be gone.
    turns          integer NOT NULL CHECK (turns > 0),
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    UNIQUE (org_id, id),
    FOREIGN KEY (org_id, connection_id) REFERENCES connections (org_id, id) ON DELETE CASCADE
);
CREATE INDEX conversations_last_used ON conversations (org_id, user_id, updated_at DESC, id DESC);
CREATE INDEX conversations_expiring ON conversations (org_id, expires_at);
ALTER TABLE conversations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY conversations_own ON conversations TO plinth_app USING (org_id = current_org());

CREATE TABLE conversation_turns (
    org_id           uuid NOT NULL,
    conversation_id  uuid NOT NULL,
    number           integer NOT NULL,
    query_id         uuid NOT NULL,
    -- NULL when the caller sent SQL.
    question         text,
    sql              text,
    outcome          text NOT NULL,
    -- What the answer said beside its rows.
    answer           jsonb NOT NULL,
    -- The typed query that follow-ups change; NULL when nothing was answered by the engine's own reading.
    state            jsonb,
    -- Where "go back" leads from here.
    before_number    integer,
    created_at       timestamptz NOT NULL,
    PRIMARY KEY (org_id, conversation_id, number),
    FOREIGN KEY (org_id, conversation_id) REFERENCES conversations (org_id, id) ON DELETE CASCADE
);
ALTER TABLE conversation_turns ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY conversation_turns_own ON conversation_turns TO plinth_app USING (org_id = current_org());

GRANT SELECT, INSERT, UPDATE, DELETE ON conversations, conversation_turns TO plinth_app;
