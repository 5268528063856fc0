-- +goose Up

ALTER TABLE log_entry
    DROP CONSTRAINT log_entry_kind_check,
    ADD CONSTRAINT log_entry_kind_check CHECK (kind >= 1);

-- What was stopped, and what goes on again: of the rows about the same thing the newest counts.
CREATE TABLE switch (
    id        uuid   PRIMARY KEY,
    mode      text   NOT NULL CHECK (mode IN ('KILL', 'READ_ONLY')),
    partner   text   NOT NULL, -- '': everybody, and the public
    indicator text   NOT NULL, -- '': everything
    document  bytea  NOT NULL, -- JSON, as logged
    entry     bigint NOT NULL UNIQUE REFERENCES log_entry,
    CHECK (mode = 'KILL' OR (partner = '' AND indicator = ''))
);
CREATE INDEX switch_newest ON switch (mode, partner, indicator, entry DESC);
