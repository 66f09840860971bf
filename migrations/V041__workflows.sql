-- Workflows, their published versions, their runs, and what their triggers did.

CREATE TABLE workflows (
    id            uuid PRIMARY KEY,
    org_id        uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    name          text NOT NULL,
    description   text NOT NULL,
    -- As whom it runs.
    owner_id      uuid NOT NULL,
    enabled       boolean NOT NULL,
    paused_at     timestamptz,
    paused_why    text,
    -- Runs that failed since one succeeded.
    failures      integer NOT NULL DEFAULT 0,
    draft         jsonb NOT NULL,
    published     integer,
    trigger_kind  text,
    -- When the schedule is due; NULL where none is.
    next_slot     timestamptz,
    -- How many URLs the webhook had.
    hook_number   integer NOT NULL DEFAULT 1,
    revision      bigint NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    UNIQUE (org_id, id),
    CHECK ((paused_at IS NULL) = (paused_why IS NULL))
);
CREATE UNIQUE INDEX workflows_name_key ON workflows (org_id, name);
CREATE INDEX workflows_newest ON workflows (org_id, created_at DESC, id DESC);
CREATE INDEX workflows_due ON workflows (next_slot) WHERE next_slot IS NOT NULL;
ALTER TABLE workflows ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY workflows_own ON workflows TO plinth_app USING (org_id = current_org());
CREATE POLICY workflows_lookup ON workflows TO CURRENT_USER USING (true);

CREATE TABLE workflow_versions (
    org_id        uuid NOT NULL,
    workflow_id   uuid NOT NULL,
    number        integer NOT NULL CHECK (number > 0),
    definition    jsonb NOT NULL,
    -- How many of its runs may be under way at once.
    concurrency   integer NOT NULL CHECK (concurrency > 0),
    published_by  uuid NOT NULL,
    published_at  timestamptz NOT NULL,
    PRIMARY KEY (org_id, workflow_id, number),
    FOREIGN KEY (org_id, workflow_id) REFERENCES workflows (org_id, id) ON DELETE CASCADE
);
ALTER TABLE workflow_versions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY workflow_versions_own ON workflow_versions TO plinth_app USING (org_id = current_org());
CREATE POLICY workflow_versions_lookup ON workflow_versions TO CURRENT_USER USING (true);

-- One row for each organization with workflows: whoever takes runs of it holds the row meanwhile, so that what runs at once
-- is counted by one at a time.
CREATE TABLE workflow_lanes (
    org_id  uuid PRIMARY KEY REFERENCES organizations ON DELETE CASCADE
);
ALTER TABLE workflow_lanes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY workflow_lanes_own ON workflow_lanes TO plinth_app USING (org_id = current_org());
CREATE POLICY workflow_lanes_lookup ON workflow_lanes TO CURRENT_USER USING (true);

CREATE TABLE workflow_runs (
    id            uuid PRIMARY KEY,
    org_id        uuid NOT NULL,
    workflow_id   uuid NOT NULL,
    version       integer NOT NULL,
    state         text NOT NULL
                  CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'timed_out')),
    trigger_kind  text NOT NULL,
    payload       jsonb,
    slot          timestamptz,
    -- Not before then, while it is queued.
    due_at        timestamptz NOT NULL,
    -- Until then its worker has it to itself, while it is running.
    lease_until   timestamptz,
    -- Counts how often it was taken. Who writes with an older number has lost it.
    fence         bigint NOT NULL DEFAULT 0,
    -- How many steps and actions are done, and how often the next one was tried.
    done          integer NOT NULL DEFAULT 0,
    tried         integer NOT NULL DEFAULT 0,
    verdict       text,
    error         text,
    created_at    timestamptz NOT NULL,
    started_at    timestamptz,
    ended_at      timestamptz,
    UNIQUE (org_id, id),
    CHECK ((state = 'running') = (lease_until IS NOT NULL)),
    FOREIGN KEY (org_id, workflow_id) REFERENCES workflows (org_id, id) ON DELETE CASCADE
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX workflow_runs_waiting ON workflow_runs (org_id, workflow_id, due_at, id) WHERE state = 'queued';
CREATE INDEX workflow_runs_running ON workflow_runs (org_id, workflow_id) WHERE state = 'running';
CREATE INDEX workflow_runs_leased ON workflow_runs (lease_until) WHERE state = 'running';
CREATE INDEX workflow_runs_newest ON workflow_runs (org_id, workflow_id, created_at DESC, id DESC);
ALTER TABLE workflow_runs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY workflow_runs_own ON workflow_runs TO plinth_app USING (org_id = current_org());
CREATE POLICY workflow_runs_lookup ON workflow_runs TO CURRENT_USER USING (true);

CREATE TABLE workflow_run_steps (
    org_id      uuid NOT NULL,
    run_id      uuid NOT NULL,
    position    integer NOT NULL,
    name        text NOT NULL,
    is_action   boolean NOT NULL,
    succeeded   boolean NOT NULL,
    result      jsonb,
    query_id    uuid,
    error       text,
    started_at  timestamptz NOT NULL,
    ended_at    timestamptz NOT NULL,
    PRIMARY KEY (org_id, run_id, position),
    FOREIGN KEY (org_id, run_id) REFERENCES workflow_runs (org_id, id) ON DELETE CASCADE
);
ALTER TABLE workflow_run_steps ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY workflow_run_steps_own ON workflow_run_steps TO plinth_app USING (org_id = current_org());

CREATE TABLE workflow_run_attempts (
    org_id      uuid NOT NULL,
    run_id      uuid NOT NULL,
    position    integer NOT NULL,
    -- A try whose worker died and the one after it have the same number, and another fence.
    fence       bigint NOT NULL,
    number      integer NOT NULL,
    succeeded   boolean,
    request     jsonb,
    response    jsonb,
    error       text,
    started_at  timestamptz NOT NULL,
    ended_at    timestamptz,
    PRIMARY KEY (org_id, run_id, position, fence, number),
    FOREIGN KEY (org_id, run_id) REFERENCES workflow_runs (org_id, id) ON DELETE CASCADE
);
ALTER TABLE workflow_run_attempts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY workflow_run_attempts_own ON workflow_run_attempts TO plinth_app USING (org_id = current_org());

CREATE TABLE workflow_events (
    id           uuid PRIMARY KEY,
    org_id       uuid NOT NULL,
    workflow_id  uuid NOT NULL,
    kind         text NOT NULL,
    at           timestamptz NOT NULL,
    source       text NOT NULL,
    slot         timestamptz,
    run_id       uuid,
    outcome      text NOT NULL,
    -- One run or reason for each slot, however many servers there are.
    UNIQUE (org_id, workflow_id, slot),
    FOREIGN KEY (org_id, workflow_id) REFERENCES workflows (org_id, id) ON DELETE CASCADE
);
CREATE INDEX workflow_events_newest ON workflow_events (org_id, workflow_id, at DESC, id DESC);
ALTER TABLE workflow_events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY workflow_events_own ON workflow_events TO plinth_app USING (org_id = current_org());

-- Calls of webhooks that were taken, by the callers' own ids.
CREATE TABLE workflow_calls (
    org_id       uuid NOT NULL,
    workflow_id  uuid NOT NULL,
    call         text NOT NULL,
    at           timestamptz NOT NULL,
    PRIMARY KEY (org_id, workflow_id, call),
    FOREIGN KEY (org_id, workflow_id) REFERENCES workflows (org_id, id) ON DELETE CASCADE
);
ALTER TABLE workflow_calls ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY workflow_calls_own ON workflow_calls TO plinth_app USING (org_id = current_org());

-- Takes runs of all organizations: first those whose worker lost its lease, then those that wait. Organizations take
-- turns, beginning after the one that the caller's last round ended with, and so do the workflows in each: a run waits for
-- the rounds before it, not for the runs.
CREATE FUNCTION take_workflow_runs(
    most integer, lease interval, most_of_one integer, after_org uuid, after_workflow uuid
) RETURNS TABLE (taken_org uuid, taken_run uuid)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = plinth, pg_temp
AS $$
DECLARE
    moment constant timestamptz := db_now();
    room integer := most;
    orgs uuid[] := '{}';
    flows uuid[];
    org uuid;
    flow uuid;
    wrapped boolean := false;
    share integer;
    org_room integer;
    flow_room integer;
    got integer;
BEGIN
    RETURN QUERY
        WITH lost AS (
            SELECT id FROM workflow_runs WHERE state = 'running' AND lease_until <= moment
            ORDER BY lease_until LIMIT room FOR UPDATE SKIP LOCKED
        )
        UPDATE workflow_runs r SET lease_until = moment + lease, fence = fence + 1
        FROM lost WHERE r.id = lost.id RETURNING r.org_id, r.id;
    GET DIAGNOSTICS got = ROW_COUNT;
    room := room - got;

    -- Which organizations have runs waiting: one step in the index for each of them, not for each run.
    org := after_org;
    LOOP
        SELECT r.org_id INTO org FROM workflow_runs r
        WHERE r.state = 'queued' AND r.org_id > org ORDER BY r.org_id LIMIT 1;
        EXIT WHEN wrapped AND org > after_org;
        IF org IS NULL THEN
            EXIT WHEN wrapped;
            wrapped := true;
            org := '00000000-0000-0000-0000-000000000000';
            CONTINUE;
        END IF;
        orgs := orgs || org;
        EXIT WHEN cardinality(orgs) >= 256;
    END LOOP;
    IF room <= 0 OR cardinality(orgs) = 0 THEN
        RETURN;
    END IF;

    -- The first round shares out, the second gives what is left to whoever still has runs waiting.
    FOR round IN 1..2 LOOP
        share := greatest(1, CASE round WHEN 1 THEN room / cardinality(orgs) ELSE room END);
        FOREACH org IN ARRAY orgs LOOP
            EXIT WHEN room <= 0;
            -- Another worker is at this one now, and takes what it can.
            PERFORM FROM workflow_lanes WHERE org_id = org FOR UPDATE SKIP LOCKED;
            CONTINUE WHEN NOT FOUND;
            SELECT most_of_one - count(*) INTO org_room FROM workflow_runs
            WHERE org_id = org AND state = 'running';
            org_room := least(org_room, share, room);
            CONTINUE WHEN org_room <= 0;
            flows := '{}';
            flow := after_workflow;
            wrapped := false;
            LOOP
                SELECT r.workflow_id INTO flow FROM workflow_runs r
                WHERE r.state = 'queued' AND r.org_id = org AND r.workflow_id > flow
                ORDER BY r.workflow_id LIMIT 1;
                EXIT WHEN wrapped AND flow > after_workflow;
                IF flow IS NULL THEN
                    EXIT WHEN wrapped;
                    wrapped := true;
                    flow := '00000000-0000-0000-0000-000000000000';
                    CONTINUE;
                END IF;
                flows := flows || flow;
                EXIT WHEN cardinality(flows) >= 256;
            END LOOP;
            CONTINUE WHEN cardinality(flows) = 0;
            FOREACH flow IN ARRAY flows LOOP
                EXIT WHEN org_room <= 0;
                SELECT v.concurrency INTO flow_room FROM workflows w
                JOIN workflow_versions v ON v.org_id = w.org_id AND v.workflow_id = w.id AND v.number = w.published
                WHERE w.org_id = org AND w.id = flow;
                flow_room := coalesce(flow_room, 1) - (
                    SELECT count(*) FROM workflow_runs
                    WHERE org_id = org AND workflow_id = flow AND state = 'running'
                );
                flow_room := least(
                    flow_room, org_room,
                    greatest(1, CASE round WHEN 1 THEN org_room / cardinality(flows) ELSE org_room END)
                );
                CONTINUE WHEN flow_room <= 0;
                RETURN QUERY
                    WITH due AS (
                        SELECT id FROM workflow_runs
                        WHERE org_id = org AND workflow_id = flow AND state = 'queued' AND due_at <= moment
                        ORDER BY due_at, id LIMIT flow_room FOR UPDATE SKIP LOCKED
                    )
                    UPDATE workflow_runs r
                    SET state = 'running', lease_until = moment + lease, fence = fence + 1,
                        started_at = coalesce(r.started_at, moment)
                    FROM due WHERE r.id = due.id RETURNING r.org_id, r.id;
                GET DIAGNOSTICS got = ROW_COUNT;
                room := room - got;
                org_room := org_room - got;
            END LOOP;
        END LOOP;
        EXIT WHEN room <= 0;
    END LOOP;
END
$$;

-- Keeps runs for another lease; tells which of them are still the caller's.
CREATE FUNCTION keep_workflow_runs(runs uuid[], fences bigint[], lease interval) RETURNS SETOF uuid
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        UPDATE workflow_runs SET lease_until = db_now() + lease
        FROM unnest(runs, fences) AS held (id, fence)
        WHERE workflow_runs.id = held.id AND workflow_runs.fence = held.fence AND state = 'running'
        RETURNING workflow_runs.id;
    END;

-- Workflows of all organizations whose schedules are due.
CREATE FUNCTION due_workflows(most integer) RETURNS TABLE (org_id uuid, workflow_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        SELECT workflows.org_id, workflows.id FROM workflows WHERE next_slot <= db_now()
        ORDER BY next_slot, workflows.id LIMIT most;
    END;

-- Whose workflow that is: the call of a webhook brings its id, under a signature of ours.
CREATE FUNCTION find_workflow(id uuid) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        SELECT workflows.org_id FROM workflows WHERE workflows.id = find_workflow.id;
    END;

REVOKE ALL ON FUNCTION take_workflow_runs, keep_workflow_runs, due_workflows, find_workflow FROM PUBLIC;
GRANT EXECUTE ON FUNCTION take_workflow_runs, keep_workflow_runs, due_workflows, find_workflow TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON workflows, workflow_runs, workflow_run_steps, workflow_run_attempts,
    workflow_events, workflow_calls TO plinth_app;
GRANT SELECT, INSERT, DELETE ON workflow_versions TO plinth_app;
GRANT SELECT, INSERT ON workflow_lanes TO plinth_app;
