-- How much each organization may use, what it has used, and answers that are given again.

ALTER TABLE organizations
    ADD COLUMN IF NOT EXISTS plan text NOT NULL DEFAULT 'self-hosted',
    ADD COLUMN IF NOT EXISTS plan_per_minute integer,
    ADD COLUMN IF NOT EXISTS plan_per_day integer;
ALTER TABLE organizations
    ADD CHECK (plan IN ('self-hosted', 'free', 'pro', 'custom')),
    ADD CHECK (plan_per_minute > 0 AND plan_per_day > 0),
    ADD CHECK (plan <> 'custom' OR (plan_per_minute IS NOT NULL AND plan_per_day IS NOT NULL));

-- A key's own limits, below its organization's.
ALTER TABLE api_keys
    ADD COLUMN IF NOT EXISTS rate_limit_per_minute integer,
    ADD COLUMN IF NOT EXISTS rate_limit_per_day integer;
ALTER TABLE api_keys ADD CHECK (rate_limit_per_minute > 0 AND rate_limit_per_day > 0);

-- Requests that servers have reserved, for each window. A server lets through what it has reserved without asking again.
CREATE TABLE rate_windows (
    org_id     uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    -- The organization, or a key of it.
    subject    uuid NOT NULL,
    period     text NOT NULL CHECK (period IN ('minute', 'day')),
    starts_at  timestamptz NOT NULL,
    reserved   integer NOT NULL CHECK (reserved >= 0),
    PRIMARY KEY (org_id, subject, period)
);
ALTER TABLE rate_windows ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY rate_windows_own ON rate_windows TO plinth_app USING (org_id = current_org());

-- Requests that carry an Idempotency-Key.
CREATE TABLE idempotent_requests (
    id            uuid PRIMARY KEY,
    org_id        uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    -- Whose key it is: two callers may use the same text.
    caller        text NOT NULL,
    key           text NOT NULL,
    -- Of the method, the path and the body.
    fingerprint   bytea NOT NULL CHECK (length(fingerprint) = 32),
    -- Until then a server is at work on it; NULL when it is answered.
    leased_until  timestamptz,
    -- What the request changed, written in the change's own transaction.
    effect_kind   text,
    effect_id     text,
    effect        text,
    answer        bytea,
    created_at    timestamptz NOT NULL,
    UNIQUE (org_id, caller, key),
    CHECK ((answer IS NULL) = (leased_until IS NOT NULL))
);
CREATE INDEX idempotent_requests_age ON idempotent_requests (org_id, created_at);
ALTER TABLE idempotent_requests ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY idempotent_requests_own ON idempotent_requests TO plinth_app USING (org_id = current_org());

GRANT SELECT, INSERT, UPDATE, DELETE ON rate_windows, idempotent_requests TO plinth_app;
