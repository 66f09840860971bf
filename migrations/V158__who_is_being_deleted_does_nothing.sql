-- An organization that is being deleted does nothing more by itself, for the two weeks in which it can be restored. What is due then
-- goes on: runs and deliveries that waited, schedules by what they say of slots that were missed.

-- Workflows of all organizations whose schedules are due.
CREATE OR REPLACE FUNCTION due_workflows(most integer) RETURNS TABLE (org_id uuid, workflow_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        SELECT workflows.org_id, workflows.id FROM workflows
        WHERE next_slot <= db_now() AND (SELECT o.deleting_at IS NULL FROM organizations o WHERE o.id = workflows.org_id)
        ORDER BY next_slot, workflows.id LIMIT most;
    END;

-- Takes alerts of all organizations that are due, and those whose worker lost its lease: of each organization the first,
-- then of each the second, and so on, so that many of one make nobody else wait.
CREATE OR REPLACE FUNCTION take_alerts(most integer, lease interval, most_of_one integer)
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
                AND (SELECT o.deleting_at IS NULL FROM organizations o WHERE o.id = alerts.org_id)
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

-- Takes connections of all organizations that live workflows listen to and nobody has.
CREATE OR REPLACE FUNCTION take_workflow_listeners(most integer, lease interval)
    RETURNS TABLE (taken_org uuid, taken_connection uuid, taken_fence bigint, heard_until timestamptz)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        WITH wanted AS (
            SELECT DISTINCT w.org_id, substr(v.definition->'trigger'->>'connection_id', 6)::uuid AS connection_id
            FROM workflows w
            JOIN workflow_versions v ON v.org_id = w.org_id AND v.workflow_id = w.id AND v.number = w.published
            WHERE w.trigger_kind = 'listen' AND w.enabled AND w.paused_at IS NULL
                AND (SELECT o.deleting_at IS NULL FROM organizations o WHERE o.id = w.org_id)
        ), free AS (
            SELECT it.org_id, it.connection_id FROM wanted it
            LEFT JOIN workflow_listeners l ON l.org_id = it.org_id AND l.connection_id = it.connection_id
            WHERE l.lease_until IS NULL OR l.lease_until <= db_now()
            ORDER BY it.org_id, it.connection_id LIMIT most
        )
        INSERT INTO workflow_listeners AS l (org_id, connection_id, lease_until, fence)
            SELECT free.org_id, free.connection_id, db_now() + lease, 1 FROM free
        ON CONFLICT (org_id, connection_id) DO UPDATE
            SET lease_until = excluded.lease_until, fence = l.fence + 1
            WHERE l.lease_until IS NULL OR l.lease_until <= db_now()
        RETURNING l.org_id, l.connection_id, l.fence, l.listened_until;
    END;

-- Takes deliveries of all organizations that are due: of each subscription and of each organization only so many that no
-- more than that are under way, on all servers together. A receiver that takes long, or has much waiting, fills its own
-- places and nobody else's.
CREATE OR REPLACE FUNCTION take_event_deliveries(most integer, lease interval, most_of_one integer, most_of_org integer)
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
            SELECT s.id, s.org_id,
                s.enabled AND (SELECT o.deleting_at IS NULL FROM organizations o WHERE o.id = s.org_id) AS enabled, (
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

-- Takes runs of all organizations: first, if `with_lost`, those whose worker lost its lease, then those that wait. Organizations take
-- turns in a circle, beginning after the one that the caller's last round ended with, and so do the workflows in each: a run
-- waits for the rounds before it, not for the runs. A row without a run says that some may still wait: because a limit was reached,
-- or, if it names an organization, because another worker was at it.
--
-- The commit waits for no disk. Whatever a worker writes about a run later is flushed together with everything before it,
-- so the only thing that a crash can take back is a start of which nothing was stored and after which nothing left: the
-- run waits again, and the worker that thinks it has it finds its fence unknown.
--
-- Every look is a step in the index of what waits, whatever the statistics say: they are of a moment when the queue was empty,
-- or full. Only that index has the order that each look asks for, to its last column, and nothing may sort. Who has something
-- waiting is looked for from the end of the index: at its beginning are the entries of what was taken, until they are swept away.
CREATE OR REPLACE FUNCTION take_workflow_runs(
    most integer, lease interval, most_of_one integer, after_org uuid, after_workflow uuid, with_lost boolean
) RETURNS TABLE (taken_org uuid, taken_run uuid, taken_fence bigint)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = plinth, pg_temp
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_incremental_sort = off SET jit = off
    SET enable_hashagg = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    moment constant timestamptz := db_now();
    room integer := most;
    orgs uuid[] := '{}';
    flows uuid[];
    ids uuid[];
    org uuid;
    flow uuid;
    due timestamptz;
    busy_flows uuid[];
    busy_counts bigint[];
    wrapped boolean := false;
    is_short boolean := false;
    is_busy boolean := false;
    is_shared boolean := false;
    share integer;
    org_room integer;
    flow_room integer;
    got integer;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);

    IF with_lost THEN
        SELECT array_agg(lost.id) INTO ids FROM (
            SELECT r.id FROM workflow_runs r
            WHERE r.state = 'running' AND r.lease_until <= moment
                -- As a value, so that it is looked for only where a lease is over.
                AND (SELECT o.deleting_at IS NULL FROM organizations o WHERE o.id = r.org_id)
            ORDER BY r.org_id, r.workflow_id LIMIT room FOR UPDATE SKIP LOCKED
        ) lost;
    END IF;
    IF ids IS NOT NULL THEN
        RETURN QUERY
            UPDATE workflow_runs r
            SET lease_until = moment + lease, fence = next_fence(r.fence), starts = r.starts + 1
            WHERE r.id = ANY (ids) RETURNING r.org_id, r.id, r.fence;
        room := room - cardinality(ids);
    END IF;

    -- Which organizations have runs waiting: one step in the index for each of them, not for each run.
    org := after_org;
    LOOP
        SELECT r.org_id, r.due_at INTO org, due FROM workflow_runs r
        WHERE r.state = 'queued' AND r.org_id < org
        ORDER BY r.org_id DESC, r.workflow_id DESC, r.due_at DESC, r.id DESC LIMIT 1;
        EXIT WHEN wrapped AND org < after_org;
        IF org IS NULL THEN
            EXIT WHEN wrapped;
            wrapped := true;
            org := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
            CONTINUE;
        END IF;
        -- One whose runs all wait for a time of their own takes no place.
        IF due > moment THEN
            PERFORM FROM workflow_runs r WHERE r.state = 'queued' AND r.org_id = org AND r.due_at <= moment
            ORDER BY r.workflow_id, r.due_at, r.id LIMIT 1;
            CONTINUE WHEN NOT FOUND;
        END IF;
        -- One that is being deleted waits until it is restored, or gone.
        PERFORM FROM organizations o WHERE o.id = org AND o.deleting_at IS NULL;
        CONTINUE WHEN NOT FOUND;
        orgs := orgs || org;
        EXIT WHEN cardinality(orgs) >= 256;
    END LOOP;
    IF cardinality(orgs) = 0 THEN
        RETURN;
    END IF;

    -- The first round shares out, the second gives what is left to whoever still has runs waiting.
    FOR round IN 1..2 LOOP
        EXIT WHEN room <= 0 OR (round = 2 AND NOT (is_shared AND (is_short OR is_busy)));
        is_short := false;
        is_busy := false;
        is_shared := is_shared OR cardinality(orgs) > 1;
        share := greatest(1, CASE round WHEN 1 THEN room / cardinality(orgs) ELSE room END);
        FOREACH org IN ARRAY orgs LOOP
            EXIT WHEN room <= 0;
            -- Another worker is at this one now, and takes what it can.
            PERFORM FROM workflow_lanes WHERE org_id = org FOR UPDATE SKIP LOCKED;
            IF NOT FOUND THEN
                is_busy := true;
                CONTINUE;
            END IF;
            SELECT array_agg(busy.workflow_id), array_agg(busy.runs), most_of_one - coalesce(sum(busy.runs), 0)
            INTO busy_flows, busy_counts, org_room FROM (
                SELECT r.workflow_id, count(*) AS runs FROM workflow_runs r
                WHERE r.org_id = org AND r.state = 'running' GROUP BY r.workflow_id
            ) busy;
            org_room := least(org_room, share, room);
            IF org_room <= 0 THEN
                is_short := true;
                CONTINUE;
            END IF;
            flows := '{}';
            flow := after_workflow;
            wrapped := false;
            LOOP
                SELECT r.workflow_id, r.due_at INTO flow, due FROM workflow_runs r
                WHERE r.state = 'queued' AND r.org_id = org AND r.workflow_id < flow
                ORDER BY r.workflow_id DESC, r.due_at DESC, r.id DESC LIMIT 1;
                EXIT WHEN wrapped AND flow < after_workflow;
                IF flow IS NULL THEN
                    EXIT WHEN wrapped;
                    wrapped := true;
                    flow := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
                    CONTINUE;
                END IF;
                IF due > moment THEN
                    PERFORM FROM workflow_runs r
                    WHERE r.state = 'queued' AND r.org_id = org AND r.workflow_id = flow AND r.due_at <= moment
                    ORDER BY r.due_at, r.id LIMIT 1;
                    CONTINUE WHEN NOT FOUND;
                END IF;
                flows := flows || flow;
                EXIT WHEN cardinality(flows) >= 256;
            END LOOP;
            CONTINUE WHEN cardinality(flows) = 0;
            is_shared := is_shared OR cardinality(flows) > 1;
            FOREACH flow IN ARRAY flows LOOP
                EXIT WHEN org_room <= 0;
                SELECT v.concurrency INTO flow_room FROM workflows w
                JOIN workflow_versions v ON v.org_id = w.org_id AND v.workflow_id = w.id AND v.number = w.published
                WHERE w.org_id = org AND w.id = flow;
                flow_room := coalesce(flow_room, 1)
                    - coalesce(busy_counts[array_position(busy_flows, flow)], 0);
                flow_room := least(
                    flow_room, org_room,
                    greatest(1, CASE round WHEN 1 THEN org_room / cardinality(flows) ELSE org_room END)
                );
                IF flow_room <= 0 THEN
                    is_short := true;
                    CONTINUE;
                END IF;
                SELECT array_agg(first.id) INTO ids FROM (
                    SELECT r.id FROM workflow_runs r
                    WHERE r.org_id = org AND r.workflow_id = flow AND r.state = 'queued' AND r.due_at <= moment
                    ORDER BY r.due_at, r.id LIMIT flow_room FOR UPDATE SKIP LOCKED
                ) first;
                CONTINUE WHEN ids IS NULL;
                RETURN QUERY
                    UPDATE workflow_runs r
                    SET state = 'running', lease_until = moment + lease, fence = next_fence(r.fence),
                        starts = r.starts + 1, started_at = coalesce(r.started_at, moment)
                    WHERE r.id = ANY (ids) RETURNING r.org_id, r.id, r.fence;
                got := cardinality(ids);
                is_short := is_short OR got >= flow_room;
                room := room - got;
                org_room := org_room - got;
            END LOOP;
        END LOOP;
    END LOOP;
    IF is_short OR is_busy OR room <= 0 THEN
        taken_org := CASE WHEN is_busy THEN after_org END;
        RETURN NEXT;
    END IF;
END
$$;
