-- Since when a receiver of events takes nothing, and how often it was tried since; and whose deliveries wait.

ALTER TABLE event_subscriptions
    ADD COLUMN failing_since timestamptz,
    ADD COLUMN failed_tries integer NOT NULL DEFAULT 0,
    ADD CHECK ((failing_since IS NULL) = (failed_tries = 0));

-- From one subscription that has something to the next: what waits for each is not read for that.
CREATE FUNCTION organizations_with_waiting_deliveries() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        WITH RECURSIVE wanting (id) AS (
            (SELECT d.subscription_id FROM event_deliveries d WHERE d.due_at IS NOT NULL
             ORDER BY d.subscription_id LIMIT 1)
            UNION ALL
            SELECT (SELECT d.subscription_id FROM event_deliveries d
                    WHERE d.due_at IS NOT NULL AND d.subscription_id > last.id ORDER BY d.subscription_id LIMIT 1)
            FROM wanting last WHERE last.id IS NOT NULL
        )
        SELECT DISTINCT s.org_id FROM wanting JOIN event_subscriptions s ON s.id = wanting.id ORDER BY s.org_id;
    END;

REVOKE ALL ON FUNCTION organizations_with_waiting_deliveries FROM PUBLIC;
GRANT EXECUTE ON FUNCTION organizations_with_waiting_deliveries TO plinth_app;
