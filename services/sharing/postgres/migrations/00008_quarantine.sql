-- +goose Up

ALTER TABLE log_entry
    DROP CONSTRAINT log_entry_kind_check,
    ADD CONSTRAINT log_entry_kind_check CHECK (kind BETWEEN 1 AND 10);

-- The decisions of persons that a quarantined stream goes on.
CREATE TABLE quarantine_lift (
    id       uuid   PRIMARY KEY,
    stream   text   NOT NULL REFERENCES inbound,
    document bytea  NOT NULL, -- JSON, as logged
    entry    bigint NOT NULL UNIQUE REFERENCES log_entry
);
