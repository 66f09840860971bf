-- Alerts on saved queries, and what came of their evaluations.

CREATE TABLE alerts (
    id             uuid PRIMARY KEY,
    org_id         uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    name           text NOT NULL,
    description    text NOT NULL,
    -- As whom the query runs.
    owner_id       uuid NOT NULL,
    query_id       uuid NOT NULL,
    parameters     jsonb NOT NULL,
    condition      jsonb NOT NULL,
    schedule       jsonb NOT NULL,
    notify         jsonb NOT NULL,
    rearm_seconds  bigint,
    enabled        boolean NOT NULL,
    muted          boolean NOT NULL,
    -- NULL while it is muted for as long as nobody ends it.
    muted_until    timestamptz,
    paused_at      timestamptz,
    paused_why     text,
    state          text NOT NULL CHECK (state IN ('ok', 'triggered', 'unknown', 'error')),
    state_since    timestamptz NOT NULL,
    -- The episode that is not over, and when it was told of last.
    episode_since  timestamptz,
    told_at        timestamptz,
    trouble_told   boolean NOT NULL,
    -- When it is evaluated next; NULL if it is not.
    due_at         timestamptz,
    -- Until then its worker has it to itself.
    lease_until    timestamptz,
    tried          integer NOT NULL,
    -- Counts how often it was taken or changed. Who writes with an older number has lost it.
    fence          bigint NOT NULL,
    revision       bigint NOT NULL,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    UNIQUE (org_id, id),
    CHECK ((paused_at IS NULL) = (paused_why IS NULL)),
    CHECK (told_at IS NULL OR episode_since IS NOT NULL)
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX alerts_name_key ON alerts (org_id, name);
CREATE INDEX alerts_newest ON alerts (org_id, created_at DESC, id DESC);
CREATE INDEX alerts_due ON alerts (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX alerts_leased ON alerts (lease_until) WHERE lease_until IS NOT NULL;
ALTER TABLE alerts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY alerts_own ON alerts TO plinth_app USING (org_id = current_org());
CREATE POLICY alerts_lookup ON alerts TO CURRENT_USER USING (true);

CREATE TABLE alert_evaluations (
    id          uuid PRIMARY KEY,
    org_id      uuid NOT NULL,
    alert_id    uuid NOT NULL,
    state       text NOT NULL CHECK (state IN ('ok', 'triggered', 'unknown', 'error')),
    verdict     text CHECK (verdict IN ('met', 'not_met', 'unknown')),
    -- How many rows there were, and the first of them.
    glance      jsonb,
    error       text,
    query_id    uuid,
    notice      text CHECK (notice IN ('triggered', 'reminder', 'resolved', 'unknown', 'failing', 'recovered')),
    tries       integer NOT NULL,
    started_at  timestamptz NOT NULL,
    ended_at    timestamptz NOT NULL,
    FOREIGN KEY (org_id, alert_id) REFERENCES alerts (org_id, id) ON DELETE CASCADE
);
CREATE INDEX alert_evaluations_newest ON alert_evaluations (org_id, alert_id, ended_at DESC, id DESC);
ALTER TABLE alert_evaluations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY alert_evaluations_own ON alert_evaluations TO plinth_app USING (org_id = current_org());

-- Takes alerts of all organizations that are due, and those whose worker lost its lease: of each organization the first,
-- then of each the second, and so on, so that many of one make nobody else wait.
CREATE FUNCTION take_alerts(most integer, lease interval, most_of_one integer)
    RETURNS TABLE (taken_org uuid, taken_alert uuid)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        WITH busy AS (
            SELECT alerts.org_id, count(*) AS many FROM alerts WHERE lease_until > db_now() GROUP BY alerts.org_id
        ), due AS (
            SELECT alerts.id, alerts.org_id, alerts.due_at,
                row_number() OVER (PARTITION BY alerts.org_id ORDER BY alerts.due_at, alerts.id) AS place
            FROM alerts
            WHERE alerts.due_at <= db_now() AND (lease_until IS NULL OR lease_until <= db_now())
        ), chosen AS (
            SELECT due.id FROM due LEFT JOIN busy ON busy.org_id = due.org_id
            WHERE due.place + coalesce(busy.many, 0) <= most_of_one
            ORDER BY due.place, due.due_at, due.id LIMIT most
        ), locked AS (
            SELECT alerts.id FROM alerts JOIN chosen ON chosen.id = alerts.id
            WHERE alerts.due_at <= db_now() AND (lease_until IS NULL OR lease_until <= db_now())
            FOR UPDATE OF alerts SKIP LOCKED
        )
        UPDATE alerts SET lease_until = db_now() + lease, fence = fence + 1
        FROM locked WHERE alerts.id = locked.id
        RETURNING alerts.org_id, alerts.id;
    END;

REVOKE ALL ON FUNCTION take_alerts FROM PUBLIC;
GRANT EXECUTE ON FUNCTION take_alerts TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON alerts TO plinth_app;
GRANT SELECT, INSERT, DELETE ON alert_evaluations TO plinth_app;
