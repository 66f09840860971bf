-- What an evaluation found was read with the rights of who owned its alert then, and is theirs also when somebody else has taken the
-- alert over. Nor is what somebody finds compared with what another found.

ALTER TABLE alert_evaluations
    -- As whom it asked; NULL where a server wrote it that is older than this.
    ADD COLUMN owner_id uuid;
