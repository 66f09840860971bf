-- What nodes are asked about branches, and what they said: rows of a few seconds.
CREATE TABLE cp_inquiries (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id        uuid NOT NULL,
    project_id    text NOT NULL,
    branch_id     text NOT NULL,
    node          text NOT NULL,
    inquiry       jsonb NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    -- The process that answers it, and until when it has it to itself.
    taken_by      uuid,
    leased_until  timestamptz,
    answer        text,
    FOREIGN KEY (org_id, project_id) REFERENCES cp_projects (org_id, id) ON DELETE CASCADE
);
CREATE INDEX cp_inquiries_waiting ON cp_inquiries (node, created_at) WHERE answer IS NULL;
CREATE INDEX cp_inquiries_oldest ON cp_inquiries (created_at);
ALTER TABLE cp_inquiries ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY cp_inquiries_own ON cp_inquiries TO plinth_app USING (org_id = current_org());
CREATE POLICY cp_inquiries_lookup ON cp_inquiries TO CURRENT_USER USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON cp_inquiries TO plinth_app;

-- Takes an inquiry that nobody answers; what nobody fetched is removed.
CREATE FUNCTION cp_take_inquiry(node_name text, instance uuid, lease interval) RETURNS TABLE (org_id uuid, inquiry_id uuid)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        DELETE FROM cp_inquiries it WHERE it.created_at < now() - interval '15 minutes';
        WITH next AS (
            SELECT it.id FROM cp_inquiries it
            WHERE it.node = node_name AND it.answer IS NULL
              AND (it.taken_by IS NULL OR it.taken_by <> instance OR it.leased_until < now())
            ORDER BY it.created_at, it.id LIMIT 1 FOR UPDATE SKIP LOCKED
        )
        UPDATE cp_inquiries SET taken_by = instance, leased_until = now() + lease
        FROM next WHERE cp_inquiries.id = next.id
        RETURNING cp_inquiries.org_id, cp_inquiries.id;
    END;
REVOKE ALL ON FUNCTION cp_take_inquiry FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cp_take_inquiry TO plinth_app;
