-- By which master key this installation's secrets are sealed, as a hash: a server that was given another key says so at
-- its start, and not at the first credential that does not open.

ALTER TABLE installation ADD COLUMN master_key_check bytea CHECK (length(master_key_check) = 32);

-- Remembers the first key that is shown; says whether this one is the same.
CREATE FUNCTION check_master_key(key_check bytea) RETURNS boolean
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        UPDATE installation SET master_key_check = coalesce(master_key_check, key_check)
        RETURNING master_key_check = key_check;
    END;

REVOKE ALL ON FUNCTION check_master_key FROM PUBLIC;
GRANT EXECUTE ON FUNCTION check_master_key TO plinth_app;
