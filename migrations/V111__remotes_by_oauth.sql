-- How an organization signs in at a remote by OAuth 2.0, as far as that is no secret; NULL for one with a key.
ALTER TABLE cp_remotes ADD COLUMN oauth jsonb;

-- Until when one server has the right to renew its token: a refresh token is good once.
ALTER TABLE cp_remotes ADD COLUMN renewing_until timestamptz;
