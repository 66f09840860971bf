-- A published version of a workflow notes what the names in it meant when it was published: the version of each saved query, and
-- which credential each name was. So does an alert of its query. What others make of them later is not what its owner vouched for.

ALTER TABLE workflow_versions
    -- `{"queries": {"q_…": version}, "credentials": {"name": {"id": "cred_…", "origin": "https://…"}}}`; NULL where a server wrote it
    -- that is older than this.
    ADD COLUMN meant jsonb;
ALTER TABLE alerts
    -- The version that the owner stands for; NULL where a server wrote it that is older than this.
    ADD COLUMN query_version integer;

-- Of what is published already: the version that was the newest at that moment (0 where nobody had saved the query), and the credential
-- that has the name now, as none is known that had it before. Where no credential has it, one that never was: whoever makes one of
-- that name gets nothing. Row-level security holds for the owner too where it is forced.
ALTER TABLE saved_query_versions NO FORCE ROW LEVEL SECURITY;
ALTER TABLE workflow_credentials NO FORCE ROW LEVEL SECURITY;

UPDATE workflow_versions v SET meant = jsonb_build_object(
    'queries', (
        SELECT coalesce(jsonb_object_agg(step->>'query_id', (
            SELECT coalesce(max(s.number), 0) FROM saved_query_versions s
            WHERE s.org_id = v.org_id AND s.query_id = substr(step->>'query_id', 3)::uuid AND s.made_at <= v.published_at
        )), '{}')
        FROM jsonb_path_query(v.definition, '$.steps[*]') step WHERE step->>'query_id' ~ '^q_[0-9a-f]{32}$'
    ),
    'credentials', (
        SELECT coalesce(jsonb_object_agg(action->>'credential', coalesce(
            (SELECT jsonb_build_object('id', 'cred_' || replace(c.id::text, '-', ''), 'origin', c.origin) FROM workflow_credentials c
             WHERE c.org_id = v.org_id AND c.name = action->>'credential'),
            jsonb_build_object('id', 'cred_' || repeat('0', 32), 'origin', '')
        )), '{}')
        FROM jsonb_path_query(v.definition, '$.actions[*]') action WHERE action->>'credential' IS NOT NULL
    )
);

-- Of an alert it is not noted when it was said last what it asks; not before it was made.
UPDATE alerts a SET query_version = (
    SELECT coalesce(max(s.number), 1) FROM saved_query_versions s
    WHERE s.org_id = a.org_id AND s.query_id = a.query_id AND s.made_at <= a.created_at
);

ALTER TABLE saved_query_versions FORCE ROW LEVEL SECURITY;
ALTER TABLE workflow_credentials FORCE ROW LEVEL SECURITY;
