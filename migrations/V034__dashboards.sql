-- Dashboards, and links that show them to others.

CREATE TABLE dashboards (
    id               uuid PRIMARY KEY,
    org_id           uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    name             text NOT NULL,
    description      text NOT NULL,
    -- Who made it.
    owner_id         uuid NOT NULL,
    widgets          jsonb NOT NULL,
    filters          jsonb NOT NULL,
    refresh_seconds  integer CHECK (refresh_seconds > 0),
    revision         bigint NOT NULL,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    UNIQUE (org_id, id)
);
CREATE INDEX dashboards_newest ON dashboards (org_id, created_at DESC, id DESC);
ALTER TABLE dashboards ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY dashboards_own ON dashboards TO plinth_app USING (org_id = current_org());

CREATE TABLE dashboard_shares (
    id            uuid PRIMARY KEY,
    org_id        uuid NOT NULL,
    dashboard_id  uuid NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('link', 'embed')),
    name          text NOT NULL,
    -- As whom it runs.
    made_by       uuid NOT NULL,
    -- Values of filters that nobody changes, and filters that whoever looks may choose.
    locked        jsonb NOT NULL,
    open          text[] NOT NULL,
    expires_at    timestamptz NOT NULL,
    revoked_at    timestamptz,
    created_at    timestamptz NOT NULL,
    FOREIGN KEY (org_id, dashboard_id) REFERENCES dashboards (org_id, id) ON DELETE CASCADE
);
CREATE INDEX dashboard_shares_newest ON dashboard_shares (org_id, dashboard_id, created_at DESC, id DESC);
ALTER TABLE dashboard_shares ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY dashboard_shares_own ON dashboard_shares TO plinth_app USING (org_id = current_org());

GRANT SELECT, INSERT, UPDATE, DELETE ON dashboards, dashboard_shares TO plinth_app;
