-- In each organization workflows take turns by themselves, and nobody is hidden behind who is at their limits.
--
-- There was one place in the circle of workflows for all organizations: that of whose run was taken last. To all others it told
-- nothing, so they began with their newest workflow each time, and where an organization was at its limit, each place that became
-- free went to those. And of who has something waiting the first 256 were looked at: if they all were at their limits, those behind
-- them waited until one was not.

-- It has a name of its own: for servers that are older, a second function of the old name would be one too many to tell which.
--
-- Takes runs of all organizations that wait. Organizations take turns in a circle, beginning after the one that the caller's last
-- round ended with, and so do the workflows in each, beginning after the one that is named for it: a run waits for the rounds
-- before it, not for the runs. A row without a run says that some may still wait: because a limit was reached, or, if it names an
-- organization, because another worker was at it.
--
-- The commit waits for no disk. Whatever a worker writes about a run later is flushed together with everything before it,
-- so the only thing that a crash can take back is a start of which nothing was stored and after which nothing left: the
-- run waits again, and the worker that thinks it has it finds its fence unknown.
--
-- Every look is a step in the index of what waits, whatever the statistics say: they are of a moment when the queue was empty,
-- or full. Only that index has the order that each look asks for, to its last column, and nothing may sort. Who has something
-- waiting is looked for from the end of the index: at its beginning are the entries of what was taken, until they are swept away.
CREATE FUNCTION take_waiting_workflow_runs(
    most integer, lease interval, most_of_one integer, after_org uuid, of_orgs uuid[], after_workflows uuid[]
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
    walked uuid := after_org;
    flow uuid;
    after_flow uuid;
    due timestamptz;
    busy_flows uuid[];
    busy_counts bigint[];
    has_turned boolean := false;
    has_wrapped boolean;
    was_short boolean := false;
    was_busy boolean := false;
    is_short boolean := false;
    is_busy boolean := false;
    is_shared boolean := false;
    share integer;
    org_room integer;
    flow_room integer;
    got integer;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);

    -- So many organizations at a time, until there is no room or none is left: many that are at their limits hide nobody.
    LOOP
        orgs := '{}';
        -- Which organizations have runs waiting: one step in the index for each of them, not for each run.
        LOOP
            SELECT r.org_id, r.due_at INTO walked, due FROM workflow_runs r
            WHERE r.state = 'queued' AND r.org_id < walked
            ORDER BY r.org_id DESC, r.workflow_id DESC, r.due_at DESC, r.id DESC LIMIT 1;
            EXIT WHEN has_turned AND walked < after_org;
            IF walked IS NULL THEN
                EXIT WHEN has_turned;
                has_turned := true;
                walked := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
                CONTINUE;
            END IF;
            -- One whose runs all wait for a time of their own takes no place.
            IF due > moment THEN
                PERFORM FROM workflow_runs r WHERE r.state = 'queued' AND r.org_id = walked AND r.due_at <= moment
                ORDER BY r.workflow_id, r.due_at, r.id LIMIT 1;
                CONTINUE WHEN NOT FOUND;
            END IF;
            -- One that is being deleted waits until it is restored, or gone.
            PERFORM FROM organizations o WHERE o.id = walked AND o.deleting_at IS NULL;
            CONTINUE WHEN NOT FOUND;
            orgs := orgs || walked;
            EXIT WHEN cardinality(orgs) >= 256;
        END LOOP;
        EXIT WHEN cardinality(orgs) = 0;

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
                after_flow := coalesce(
                    after_workflows[array_position(of_orgs, org)], 'ffffffff-ffff-ffff-ffff-ffffffffffff'
                );
                flow := after_flow;
                has_wrapped := false;
                LOOP
                    SELECT r.workflow_id, r.due_at INTO flow, due FROM workflow_runs r
                    WHERE r.state = 'queued' AND r.org_id = org AND r.workflow_id < flow
                    ORDER BY r.workflow_id DESC, r.due_at DESC, r.id DESC LIMIT 1;
                    EXIT WHEN has_wrapped AND flow < after_flow;
                    IF flow IS NULL THEN
                        EXIT WHEN has_wrapped;
                        has_wrapped := true;
                        flow := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
                        CONTINUE;
                    END IF;
                    IF due > moment THEN
                        PERFORM FROM workflow_runs r
                        WHERE r.state = 'queued' AND r.org_id = org AND r.workflow_id = flow AND r.due_at <= moment
                        ORDER BY r.due_at, r.id LIMIT 1;
                        CONTINUE WHEN NOT FOUND;
                    END IF;
                    -- One that runs as often as it may takes no place either.
                    IF flow = ANY (busy_flows) THEN
                        PERFORM FROM workflows w
                        JOIN workflow_versions v ON v.org_id = w.org_id AND v.workflow_id = w.id AND v.number = w.published
                        WHERE w.org_id = org AND w.id = flow
                            AND v.concurrency > busy_counts[array_position(busy_flows, flow)];
                        IF NOT FOUND THEN
                            is_short := true;
                            CONTINUE;
                        END IF;
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
        was_short := was_short OR is_short;
        was_busy := was_busy OR is_busy;
        -- A full circle ends with the one that it began after, or with none.
        EXIT WHEN room <= 0 OR cardinality(orgs) < 256;
    END LOOP;
    IF was_short OR was_busy OR room <= 0 THEN
        taken_org := CASE WHEN was_busy THEN after_org END;
        RETURN NEXT;
    END IF;
END
$$;

-- Takes runs of all organizations whose worker lost its lease, and counts that. What was given back lost nobody. An organization that
-- is being deleted does nothing more by itself.
CREATE OR REPLACE FUNCTION take_lost_workflow_runs(most integer, lease interval)
    RETURNS TABLE (taken_org uuid, taken_run uuid, taken_fence bigint)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = plinth, pg_temp
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_incremental_sort = off SET jit = off
    SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    moment constant timestamptz := db_now();
    ids uuid[];
BEGIN
    -- As taking what waits: a crash may take it back.
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT array_agg(lost.id) INTO ids FROM (
        SELECT r.id FROM workflow_runs r
        WHERE r.state = 'running' AND r.lease_until <= moment
            -- As a value, so that it is looked for only where a lease is over.
            AND (SELECT o.deleting_at IS NULL FROM organizations o WHERE o.id = r.org_id)
        ORDER BY r.org_id, r.workflow_id LIMIT most FOR UPDATE SKIP LOCKED
    ) lost;
    IF ids IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
        UPDATE workflow_runs r SET
            lease_until = moment + lease, fence = next_fence(r.fence), starts = r.starts + 1,
            losses = CASE WHEN r.lost_done = r.done AND r.lost_tried = r.tried THEN r.losses ELSE 0 END
                + CASE WHEN r.lease_until > '-infinity' THEN 1 ELSE 0 END,
            lost_done = r.done, lost_tried = r.tried
        WHERE r.id = ANY (ids) RETURNING r.org_id, r.id, r.fence;
END
$$;

REVOKE ALL ON FUNCTION take_waiting_workflow_runs(integer, interval, integer, uuid, uuid[], uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION take_waiting_workflow_runs(integer, interval, integer, uuid, uuid[], uuid[]) TO plinth_app;
