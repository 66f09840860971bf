-- How the locked values of a link reached each widget when the link was made: a widget that they do not reach so any more is
-- not shown. NULL where nobody noted it; then every locked value has to reach a widget.
ALTER TABLE dashboard_shares ADD COLUMN reach jsonb;
