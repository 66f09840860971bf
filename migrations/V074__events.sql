-- Subscriptions to events, and events on their way to subscribers.

CREATE TABLE event_subscriptions (
    id              uuid PRIMARY KEY,
    org_id          uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    url             text NOT NULL,
    description     text NOT NULL,
    kinds           text[] NOT NULL CHECK (cardinality(kinds) > 0),
    enabled         boolean NOT NULL,
    -- Why Plinth disabled it.
    ended_why       text,
    -- How many secrets it had, and until when the one before signs too.
    secret_number   integer NOT NULL CHECK (secret_number > 0),
    previous_until  timestamptz,
    made_by         uuid NOT NULL,
    revision        bigint NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    UNIQUE (org_id, id)
);
CREATE INDEX event_subscriptions_newest ON event_subscriptions (org_id, created_at DESC, id DESC);
ALTER TABLE event_subscriptions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY event_subscriptions_own ON event_subscriptions TO plinth_app USING (org_id = current_org());
CREATE POLICY event_subscriptions_lookup ON event_subscriptions TO CURRENT_USER USING (true);

-- Written in the transaction of the change that it tells of.
CREATE TABLE event_deliveries (
    id               uuid PRIMARY KEY,
    org_id           uuid NOT NULL,
    subscription_id  uuid NOT NULL,
    -- The same for everybody who is told of it, and at each redelivery.
    event_id         uuid NOT NULL,
    kind             text NOT NULL,
    -- text and not jsonb: it is signed, and has to stay as it was.
    body             text NOT NULL,
    state            text NOT NULL CHECK (state IN ('waiting', 'delivered', 'failed')),
    -- Not before then: now, after a pause, or when a worker's lease ends.
    due_at           timestamptz,
    -- Whether a worker is at it, until due_at.
    taken            boolean NOT NULL DEFAULT false,
    tries            integer NOT NULL,
    created_at       timestamptz NOT NULL,
    ended_at         timestamptz,
    UNIQUE (org_id, id),
    CHECK ((state = 'waiting') = (due_at IS NOT NULL)),
    FOREIGN KEY (org_id, subscription_id) REFERENCES event_subscriptions (org_id, id) ON DELETE CASCADE
);
CREATE INDEX event_deliveries_due ON event_deliveries (subscription_id, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX event_deliveries_taken ON event_deliveries (subscription_id) WHERE taken;
CREATE INDEX event_deliveries_newest ON event_deliveries (org_id, subscription_id, created_at DESC, id DESC);
CREATE INDEX event_deliveries_old ON event_deliveries (org_id, created_at);
ALTER TABLE event_deliveries ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY event_deliveries_own ON event_deliveries TO plinth_app USING (org_id = current_org());
CREATE POLICY event_deliveries_lookup ON event_deliveries TO CURRENT_USER USING (true);

CREATE TABLE event_tries (
    org_id       uuid NOT NULL,
    delivery_id  uuid NOT NULL,
    number       integer NOT NULL,
    status       integer,
    response     text,
    error        text,
    duration_ms  bigint NOT NULL,
    at           timestamptz NOT NULL,
    PRIMARY KEY (org_id, delivery_id, number),
    FOREIGN KEY (org_id, delivery_id) REFERENCES event_deliveries (org_id, id) ON DELETE CASCADE
);
ALTER TABLE event_tries ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY event_tries_own ON event_tries TO plinth_app USING (org_id = current_org());

-- Takes deliveries of all organizations that are due: of each subscription and of each organization only so many that no
-- more than that are under way, on all servers together. A receiver that takes long, or has much waiting, fills its own
-- places and nobody else's.
CREATE FUNCTION take_event_deliveries(most integer, lease interval, most_of_one integer, most_of_org integer)
    RETURNS TABLE (taken_org uuid, taken_delivery uuid)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        -- From one subscription that has something to the next: what waits for each is not read for that.
        WITH RECURSIVE wanting (id) AS (
            (SELECT d.subscription_id FROM event_deliveries d WHERE d.due_at IS NOT NULL
             ORDER BY d.subscription_id LIMIT 1)
            UNION ALL
            SELECT (SELECT d.subscription_id FROM event_deliveries d
                    WHERE d.due_at IS NOT NULL AND d.subscription_id > last.id ORDER BY d.subscription_id LIMIT 1)
            FROM wanting last WHERE last.id IS NOT NULL
        ), busy AS (
            SELECT s.id, s.org_id, s.enabled, (
                SELECT count(*) FROM event_deliveries d
                WHERE d.subscription_id = s.id AND d.taken AND d.due_at > db_now()
            ) AS many
            FROM wanting JOIN event_subscriptions s ON s.id = wanting.id
        ), busy_org AS (
            SELECT busy.org_id, sum(busy.many) AS many FROM busy GROUP BY busy.org_id
        ), due AS (
            SELECT waiting.id, waiting.due_at,
                busy_org.many + row_number() OVER (
                    PARTITION BY busy.org_id ORDER BY busy.many + waiting.place, waiting.due_at, waiting.id
                ) AS place
            FROM busy JOIN busy_org ON busy_org.org_id = busy.org_id
            CROSS JOIN LATERAL (
                SELECT next.id, next.due_at, row_number() OVER (ORDER BY next.due_at, next.id) AS place FROM (
                    SELECT d.id, d.due_at FROM event_deliveries d
                    WHERE d.subscription_id = busy.id AND d.due_at <= db_now()
                    ORDER BY d.due_at, d.id LIMIT greatest(most_of_one - busy.many, 0)
                ) next
            ) waiting
            WHERE busy.enabled
        ), chosen AS (
            SELECT due.id FROM due WHERE due.place <= most_of_org ORDER BY due.place, due.due_at, due.id LIMIT most
        ), locked AS (
            SELECT event_deliveries.id FROM event_deliveries JOIN chosen ON chosen.id = event_deliveries.id
            WHERE event_deliveries.due_at <= db_now() FOR UPDATE OF event_deliveries SKIP LOCKED
        )
        UPDATE event_deliveries SET due_at = db_now() + lease, taken = true, tries = tries + 1
        FROM locked WHERE event_deliveries.id = locked.id
        RETURNING event_deliveries.org_id, event_deliveries.id;
    END;

REVOKE ALL ON FUNCTION take_event_deliveries FROM PUBLIC;
GRANT EXECUTE ON FUNCTION take_event_deliveries TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON event_subscriptions, event_deliveries TO plinth_app;
GRANT SELECT, INSERT, DELETE ON event_tries TO plinth_app;
