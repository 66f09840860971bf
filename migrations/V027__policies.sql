-- Who sees which rows and values of connected databases, and what that depends on.

CREATE TABLE policies (
    id             uuid PRIMARY KEY,
    org_id         uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    connection_id  uuid NOT NULL,
    name           text NOT NULL,
    description    text,
    schema_name    text NOT NULL,
    table_name     text NOT NULL,
    -- Stays when the table is renamed.
    table_oid      bigint,
    -- Built-in roles by their names, others by their ids.
    roles          text[] NOT NULL,
    -- Whether it binds everybody but those roles.
    all_but        boolean NOT NULL,
    -- A condition; NULL: every row.
    row_condition  text,
    -- By column: type, and what belongs to it; the column's number.
    masks          jsonb NOT NULL,
    is_active      boolean NOT NULL,
    revision       bigint NOT NULL,
    created_by     uuid NOT NULL,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    CONSTRAINT policies_audience CHECK (all_but OR cardinality(roles) > 0),
    FOREIGN KEY (org_id, connection_id) REFERENCES connections (org_id, id) ON DELETE CASCADE
);
-- People do not tell `Regions` from `regions`.
CREATE UNIQUE INDEX policies_name_key ON policies (org_id, connection_id, lower(name));
ALTER TABLE policies ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY policies_own ON policies TO plinth_app USING (org_id = current_org());

-- What an organization says of its members; none is no row.
CREATE TABLE member_attributes (
    org_id      uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    user_id     uuid NOT NULL,
    -- By name: type and value.
    attributes  jsonb NOT NULL,
    revision    bigint NOT NULL,
    updated_by  uuid NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (org_id, user_id),
    -- Who leaves and comes back has none.
    FOREIGN KEY (org_id, user_id) REFERENCES members (org_id, user_id) ON DELETE CASCADE
);
ALTER TABLE member_attributes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY member_attributes_own ON member_attributes TO plinth_app USING (org_id = current_org());

-- What the planner may expect of a statement that is run; NULL: anything.
ALTER TABLE organizations
    ADD COLUMN plan_cost_limit double precision CHECK (plan_cost_limit > 0 AND plan_cost_limit < 'infinity'),
    ADD COLUMN plan_row_limit bigint CHECK (plan_row_limit > 0);

GRANT SELECT, INSERT, UPDATE, DELETE ON policies, member_attributes TO plinth_app;
