-- Whoever comes, goes or becomes something else in a team that has a database of its own is to be shown there: the change
-- leaves a message in its own transaction, whatever makes it.
CREATE FUNCTION tell_of_team() RETURNS trigger
    LANGUAGE plpgsql SET search_path = plinth, pg_temp AS $$
DECLARE
    org uuid := CASE WHEN TG_OP = 'DELETE' THEN OLD.org_id ELSE NEW.org_id END;
BEGIN
    -- Not while the organization itself goes.
    IF EXISTS (SELECT FROM organizations o WHERE o.id = org)
       AND EXISTS (SELECT FROM cp_projects it WHERE it.org_id = org AND it.own_team IS NOT NULL AND it.deleted_at IS NULL) THEN
        INSERT INTO outbox (id, org_id, topic, payload, created_at, due_at)
        VALUES (gen_random_uuid(), org, 'team', '{}', now(), db_now());
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER members_told AFTER INSERT OR DELETE OR UPDATE OF role, custom_role ON members
    FOR EACH ROW EXECUTE FUNCTION tell_of_team();
