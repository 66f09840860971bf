-- Attributes that a link carries: policies that read them are asked with these values. NULL for none.
ALTER TABLE dashboard_shares ADD COLUMN attributes jsonb;
