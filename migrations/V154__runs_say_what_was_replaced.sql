-- Whether text of a run's rows was not UTF-8 and has U+FFFD in it, as the answer to whoever waits says.
ALTER TABLE query_runs ADD COLUMN text_replaced boolean NOT NULL DEFAULT false;
