-- Where the tokens of a project's applications are verified by: a list of records, which go where the project goes.
ALTER TABLE cp_projects ADD COLUMN key_sets jsonb NOT NULL DEFAULT '[]';
