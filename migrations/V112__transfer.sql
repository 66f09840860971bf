-- How many bytes went through the endpoints of a branch, both ways together.
ALTER TABLE cp_usage ADD COLUMN transfer_bytes bigint NOT NULL DEFAULT 0;
