-- The trail by outcome: nearly everything succeeds, and that is found by the index of all.

CREATE INDEX audit_entries_of_rare_outcome ON audit_entries (org_id, outcome, at DESC, id DESC) WHERE outcome <> 'succeeded';
