-- Outside identity providers whose tokens organizations take.

CREATE TABLE identity_providers (
    id            uuid PRIMARY KEY,
    org_id        uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    name          text NOT NULL,
    issuer        text NOT NULL,
    jwks_url      text NOT NULL,
    audience      text NOT NULL,
    email_claim   text NOT NULL,
    groups_claim  text NOT NULL,
    is_active     boolean NOT NULL,
    created_at    timestamptz NOT NULL,
    CONSTRAINT identity_providers_name_key UNIQUE (org_id, name),
    -- Several organizations may take tokens of one issuer; which is meant, the audience or the caller says.
    CONSTRAINT identity_providers_issuer_key UNIQUE (org_id, issuer, audience),
    UNIQUE (org_id, id)
);
CREATE INDEX identity_providers_issuer ON identity_providers (issuer);
ALTER TABLE identity_providers ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY identity_providers_own ON identity_providers TO plinth_app USING (org_id = current_org());
CREATE POLICY identity_providers_lookup ON identity_providers TO CURRENT_USER USING (true);

-- What the members of a provider's groups are. A role that is removed is no longer given.
CREATE TABLE identity_provider_roles (
    org_id       uuid NOT NULL,
    provider_id  uuid NOT NULL,
    -- The first that fits counts.
    position     integer NOT NULL,
    -- NULL: whoever is in none of the others.
    group_name   text,
    role         text NOT NULL,
    custom_role  uuid,
    PRIMARY KEY (provider_id, position),
    CHECK (role IN ('admin', 'editor', 'viewer', 'custom') AND (role = 'custom') = (custom_role IS NOT NULL)),
    FOREIGN KEY (org_id, provider_id) REFERENCES identity_providers (org_id, id) ON DELETE CASCADE,
    CONSTRAINT identity_provider_roles_custom FOREIGN KEY (org_id, custom_role) REFERENCES roles (org_id, id) ON DELETE CASCADE
);
CREATE INDEX identity_provider_roles_custom ON identity_provider_roles (org_id, custom_role) WHERE custom_role IS NOT NULL;
ALTER TABLE identity_provider_roles ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY identity_provider_roles_own ON identity_provider_roles TO plinth_app USING (org_id = current_org());

-- Whom a provider means. Stays when somebody is removed from the organization, so that the provider does not bring
-- them back.
CREATE TABLE identities (
    org_id       uuid NOT NULL,
    provider_id  uuid NOT NULL,
    subject      text NOT NULL,
    user_id      uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (provider_id, subject),
    FOREIGN KEY (org_id, provider_id) REFERENCES identity_providers (org_id, id) ON DELETE CASCADE
);
CREATE INDEX identities_user ON identities (user_id);
ALTER TABLE identities ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY identities_own ON identities TO plinth_app USING (org_id = current_org());

-- Who came by a provider, and is what it says.
ALTER TABLE members
    ADD COLUMN managed_by uuid REFERENCES identity_providers (id) ON DELETE SET NULL;
CREATE INDEX members_managed ON members (managed_by) WHERE managed_by IS NOT NULL;

-- The active providers of an issuer.
CREATE FUNCTION find_identity_providers(wanted text) RETURNS TABLE (org_id uuid, provider_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = plinth, pg_temp
    BEGIN ATOMIC
        SELECT identity_providers.org_id, identity_providers.id FROM identity_providers
        WHERE identity_providers.issuer = wanted AND identity_providers.is_active
        ORDER BY identity_providers.id;
    END;

REVOKE ALL ON FUNCTION find_identity_providers FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_identity_providers TO plinth_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON identity_providers, identity_provider_roles, identities TO plinth_app;
