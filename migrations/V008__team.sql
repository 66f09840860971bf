-- Custom roles, invitations, what an organization can be set to, and its end.

-- Roles that an organization made for itself: named sets of scopes.
CREATE TABLE roles (
    id                  uuid PRIMARY KEY,
    org_id              uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    name                text NOT NULL,
    description         text NOT NULL,
    scopes              text[] NOT NULL CHECK (cardinality(scopes) > 0),
    saved_queries_only  boolean NOT NULL,
    created_by          uuid NOT NULL,
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL,
    UNIQUE (org_id, id)
);
-- People do not tell `Analyst` from `analyst`.
CREATE UNIQUE INDEX roles_name_key ON roles (org_id, lower(name));
ALTER TABLE roles ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY roles_own ON roles TO plinth_app USING (org_id = current_org());

-- A member has a built-in role, or `custom` and which one. No action at its deletion: a role that somebody holds stays.
ALTER TABLE members
    ADD COLUMN id uuid NOT NULL DEFAULT gen_random_uuid(),
    ADD COLUMN custom_role uuid,
    DROP CONSTRAINT members_role_check,
    ADD CONSTRAINT members_role_check CHECK (
        role IN ('owner', 'admin', 'editor', 'viewer', 'custom') AND (role = 'custom') = (custom_role IS NOT NULL)),
    ADD CONSTRAINT members_id_key UNIQUE (org_id, id),
    ADD CONSTRAINT members_custom_role FOREIGN KEY (org_id, custom_role) REFERENCES roles (org_id, id);
CREATE INDEX members_newest ON members (org_id, created_at DESC, id DESC);
CREATE INDEX members_by_role ON members (org_id, custom_role) WHERE custom_role IS NOT NULL;

-- Who was asked to come. A row is an invitation that can still be accepted or sent again: one that was accepted or
-- taken back is gone, so that none is used twice and none keeps a role from being removed.
CREATE TABLE invitations (
    id           uuid PRIMARY KEY,
    org_id       uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    email        text NOT NULL,
    role         text NOT NULL,
    custom_role  uuid,
    invited_by   uuid NOT NULL,
    -- How often it was sent; the link of the newest sending is the good one.
    sending      integer NOT NULL CHECK (sending > 0),
    created_at   timestamptz NOT NULL,
    sent_at      timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    -- Nobody is invited as the owner.
    CONSTRAINT invitations_role_check CHECK (
        role IN ('admin', 'editor', 'viewer', 'custom') AND (role = 'custom') = (custom_role IS NOT NULL)),
    CONSTRAINT invitations_email_key UNIQUE (org_id, email),
    CONSTRAINT invitations_custom_role FOREIGN KEY (org_id, custom_role) REFERENCES roles (org_id, id),
    -- What somebody granted who was removed is not granted any more.
    FOREIGN KEY (org_id, invited_by) REFERENCES members (org_id, user_id) ON DELETE CASCADE
);
CREATE INDEX invitations_newest ON invitations (org_id, created_at DESC, id DESC);
CREATE INDEX invitations_by_role ON invitations (org_id, custom_role) WHERE custom_role IS NOT NULL;
ALTER TABLE invitations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY invitations_own ON invitations TO plinth_app USING (org_id = current_org());
CREATE POLICY invitations_lookup ON invitations TO CURRENT_USER USING (true);

-- Plans are the operator's; numbers of their own belong to `custom` only.
ALTER TABLE organizations
    ADD COLUMN plan text NOT NULL DEFAULT 'self-hosted',
    ADD COLUMN plan_per_minute integer CHECK (plan_per_minute > 0),
    ADD COLUMN plan_per_day integer CHECK (plan_per_day > 0),
    -- Whether members without the scope `admin` make API keys for themselves.
    ADD COLUMN member_keys boolean NOT NULL DEFAULT true,
    -- When it will be deleted for good; until then its owner may think again.
    ADD COLUMN deleting_at timestamptz,
    ADD CONSTRAINT organizations_plan_check CHECK (
        plan IN ('free', 'pro', 'custom', 'self-hosted')
        AND (plan = 'custom') = (plan_per_minute IS NOT NULL)
        AND (plan = 'custom') = (plan_per_day IS NOT NULL));
CREATE INDEX organizations_deleting ON organizations (deleting_at) WHERE deleting_at IS NOT NULL;

-- Limits of one key below those of its organization.
ALTER TABLE api_keys
    ADD COLUMN rate_limit_per_minute integer CHECK (rate_limit_per_minute > 0),
    ADD COLUMN rate_limit_per_day integer CHECK (rate_limit_per_day > 0);

-- In which organization an invitation is.
CREATE FUNCTION find_invitation(invitation uuid) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        SELECT invitations.org_id FROM invitations WHERE invitations.id = invitation;
    END;

-- Organizations whose time has come.
CREATE FUNCTION organizations_to_delete() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        SELECT organizations.id FROM organizations WHERE organizations.deleting_at <= db_now()
        ORDER BY organizations.deleting_at, organizations.id;
    END;

REVOKE ALL ON FUNCTION find_invitation, organizations_to_delete FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_invitation, organizations_to_delete TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON roles, invitations TO plinth_app;
