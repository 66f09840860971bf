-- Branches that were made with another's definitions and none of its rows.
ALTER TABLE cp_branches ADD COLUMN schema_only boolean NOT NULL DEFAULT false;
