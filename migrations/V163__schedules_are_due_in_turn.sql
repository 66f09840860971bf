-- Schedules that are due are acted on in turn: of each organization the first, then of each the second, so that many of one make
-- nobody else's late. What was looked at already and stays due is left out: whoever looks goes on until nothing is left, and what
-- it cannot act on takes no place. Nothing starts for organizations that are being deleted; their slots wait.

CREATE FUNCTION due_workflows(most integer, but uuid[]) RETURNS TABLE (org_id uuid, workflow_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        SELECT due.org_id, due.id FROM (
            SELECT w.org_id, w.id, w.next_slot,
                row_number() OVER (PARTITION BY w.org_id ORDER BY w.next_slot, w.id) AS place
            FROM workflows w
            WHERE w.next_slot <= db_now() AND w.id <> ALL (but)
                AND NOT EXISTS (SELECT FROM organizations o WHERE o.id = w.org_id AND o.deleting_at IS NOT NULL)
        ) due
        ORDER BY due.place, due.next_slot, due.id LIMIT most;
    END;

REVOKE ALL ON FUNCTION due_workflows(integer, uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION due_workflows(integer, uuid[]) TO plinth_app;
