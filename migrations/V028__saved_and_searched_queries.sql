-- Saving queries under a name, and finding them again.

ALTER TABLE queries
    ADD COLUMN name         text,
    ADD COLUMN description  text,
    ADD COLUMN tags         text[] NOT NULL DEFAULT '{}';

-- Each with the order of the list, so that a page is a short walk along one of them.
CREATE INDEX queries_of_user ON queries (org_id, user_id, created_at DESC, id DESC);
CREATE INDEX queries_of_connection ON queries (org_id, connection_id, created_at DESC, id DESC);
CREATE INDEX queries_of_outcome ON queries (org_id, outcome, created_at DESC, id DESC);
CREATE INDEX queries_saved ON queries (org_id, created_at DESC, id DESC) WHERE saved;
