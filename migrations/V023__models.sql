-- Language models that organizations configure, what they decided about them, and what was used.

CREATE TABLE models (
    id              uuid PRIMARY KEY,
    org_id          uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    name            text NOT NULL,
    provider        text NOT NULL CHECK (provider IN ('openai', 'anthropic', 'gemini', 'ollama')),
    base_url        text NOT NULL,
    model           text NOT NULL,
    key_version     integer,
    key_sealed      bytea,
    ca_certificate  text,
    time_limit_ms   integer NOT NULL,
    -- Billionths of the organization's currency, for a million tokens.
    input_price     bigint NOT NULL CHECK (input_price >= 0),
    output_price    bigint NOT NULL CHECK (output_price >= 0),
    is_active       boolean NOT NULL,
    revision        bigint NOT NULL,
    created_by      uuid NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    CONSTRAINT models_name_key UNIQUE (org_id, name),
    UNIQUE (org_id, id),
    CHECK ((key_version IS NULL) = (key_sealed IS NULL))
);
ALTER TABLE models ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY models_own ON models TO plinth_app USING (org_id = current_org());

CREATE TABLE model_settings (
    org_id         uuid PRIMARY KEY REFERENCES organizations ON DELETE CASCADE,
    -- `embedded`, `installation` or a model's id.
    default_model  text,
    token_budget   bigint CHECK (token_budget >= 0),
    -- Billionths, like all amounts.
    cost_budget    bigint CHECK (cost_budget >= 0),
    input_price    bigint NOT NULL CHECK (input_price >= 0),
    output_price   bigint NOT NULL CHECK (output_price >= 0),
    currency       text CHECK (length(currency) = 3),
    revision       bigint NOT NULL
);
ALTER TABLE model_settings ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY model_settings_own ON model_settings TO plinth_app USING (org_id = current_org());

-- Sums, to which servers add about once a second. A model that is removed leaves its sums.
CREATE TABLE model_usage (
    org_id             uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    -- In the organization's time zone.
    day                date NOT NULL,
    model              text NOT NULL,
    label              text NOT NULL,
    calls              bigint NOT NULL,
    prompt_tokens      bigint NOT NULL,
    completion_tokens  bigint NOT NULL,
    cost               bigint NOT NULL,
    PRIMARY KEY (org_id, day, model)
);
ALTER TABLE model_usage ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY model_usage_own ON model_usage TO plinth_app USING (org_id = current_org());

GRANT SELECT, INSERT, UPDATE, DELETE ON models, model_settings, model_usage TO plinth_app;

-- What of a connected database a language model may see.
ALTER TABLE connections
    ADD COLUMN model_privacy text NOT NULL DEFAULT 'schema_only'
        CHECK (model_privacy IN ('schema_only', 'sample_values', 'results'));
