-- +goose Up

-- A withdrawal is in the log from here on; those of before have no entry.
ALTER TABLE agreement_withdrawal
    ADD name     uuid,
    ADD document bytea, -- JSON, as logged
    ADD entry    bigint UNIQUE REFERENCES log_entry,
    ADD CHECK (num_nulls(name, document, entry) IN (0, 3));
