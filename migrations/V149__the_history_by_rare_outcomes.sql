-- The history by outcome: nearly all questions are answered, and those are found by the index of all.

CREATE INDEX queries_of_rare_outcome ON queries (org_id, outcome, created_at DESC, id DESC) WHERE outcome <> 'answered';
DROP INDEX queries_of_outcome;
